#include "gateway/dns/answer.h"

#include <stdio.h>

enum {
    RCODE_NOERROR = 0,
    RCODE_NXDOMAIN = 3,
};

enum dns_status dns_answer_status(const struct dns_raw_answer *raw)
{
    if (raw->error != 0 || (raw->rcode != RCODE_NOERROR && raw->rcode != RCODE_NXDOMAIN))
        return DNS_FAILED;
    if (raw->is_bogus)
        return DNS_BOGUS;
    if (raw->has_data)
        return DNS_DATA;
    return raw->rcode == RCODE_NXDOMAIN ? DNS_NXDOMAIN : DNS_NODATA;
}

const char *dns_type_name(enum dns_type type)
{
    switch (type) {
    case DNS_TYPE_A:
        return "A";
    case DNS_TYPE_CNAME:
        return "CNAME";
    case DNS_TYPE_MX:
        return "MX";
    case DNS_TYPE_TXT:
        return "TXT";
    case DNS_TYPE_AAAA:
        return "AAAA";
    case DNS_TYPE_TLSA:
        return "TLSA";
    }
    return "?";
}

const char *dns_rcode_name(int rcode)
{
    static const char *const names[] = {"NOERROR",  "FORMERR", "SERVFAIL",
                                        "NXDOMAIN", "NOTIMP",  "REFUSED"};
    return rcode >= 0 && (size_t)rcode < COUNT_OF(names) ? names[rcode] : "unusual rcode";
}

void dns_explain(const struct dns_ask *ask, const struct dns_answer *answer,
                 char out[DNS_DETAIL_SIZE])
{
    snprintf(out, DNS_DETAIL_SIZE, "%s look-up of %.100s: %s", dns_type_name(ask->type), ask->name,
             answer->detail);
}
