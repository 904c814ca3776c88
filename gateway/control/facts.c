#include "gateway/control/facts.h"

#include "gateway/guarantee/judge.h"

static const char *name_of(const char *const *names, size_t count, unsigned number)
{
    return number < count && names[number] ? names[number] : "unknown";
}

const char *fact_tlsa(unsigned tlsa)
{
    static const char *const names[] = {
        [GUARANTEE_TLSA_NONE] = "none",
        [GUARANTEE_TLSA_USABLE] = "usable",
        [GUARANTEE_TLSA_UNUSABLE] = "unusable",
        [GUARANTEE_TLSA_ERROR] = "error",
    };
    return name_of(names, COUNT_OF(names), tlsa);
}

const char *fact_sts(unsigned sts)
{
    static const char *const names[] = {
        [GUARANTEE_STS_NONE] = "none",
        [GUARANTEE_STS_TESTING] = "testing",
        [GUARANTEE_STS_COVERS] = "covered",
        [GUARANTEE_STS_EXCLUDES] = "excluded",
    };
    return name_of(names, COUNT_OF(names), sts);
}

const char *fact_verified(unsigned verified)
{
    static const char *const names[] = {
        [GUARANTEE_VERIFIED_NO] = "no",
        [GUARANTEE_VERIFIED_DANE] = "dane",
        [GUARANTEE_VERIFIED_STS] = "sts",
        [GUARANTEE_VERIFIED_PKIX] = "pkix",
    };
    return name_of(names, COUNT_OF(names), verified);
}
