/* The TXT records of _mta-sts.DOMAIN, one a line. */
#include <string.h>

#include "gateway/sts/policy.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = fuzz_input(data, size);
    struct slice texts[8];
    size_t count = 0;
    char id[STS_ID_SIZE];
    const char *why;
    while (count < COUNT_OF(texts) && slice_cut(&in, '\n', &texts[count]))
        count++;
    enum sts_txt txt = sts_txt_read(texts, count, id, &why);
    HOLDS((txt == STS_TXT_VALID) == (id[0] != '\0'));
    HOLDS((txt == STS_TXT_INVALID) == (why[0] != '\0'));
    HOLDS(strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") ==
          strlen(id));
    /* What is valid remains so beside a record that is nobody's business. */
    if (txt == STS_TXT_VALID && count < COUNT_OF(texts)) {
        char again[STS_ID_SIZE];
        texts[count++] = SLICE("v=spf1 -all");
        HOLDS(sts_txt_read(texts, count, again, &why) == STS_TXT_VALID && strcmp(id, again) == 0);
    }
    return 0;
}
