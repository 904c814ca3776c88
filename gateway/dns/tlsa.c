#include "gateway/dns/tlsa.h"

#include <stdlib.h>

#include "gateway/dns/message.h"

enum {
    USAGE_DANE_TA = 2,
    USAGE_DANE_EE = 3,
    SELECTOR_CERTIFICATE = 0,
    SELECTOR_KEY = 1,
    MATCHING_FULL = 0,
    MATCHING_SHA256 = 1,
    MATCHING_SHA512 = 2,
};

static bool fits_matching(const struct dns_tlsa_record *record)
{
    switch (record->matching) {
    case MATCHING_FULL:
        return record->len > 0;
    case MATCHING_SHA256:
        return record->len == 32;
    case MATCHING_SHA512:
        return record->len == 64;
    default:
        return false;
    }
}

bool dns_tlsa_is_usable(const struct dns_tlsa_record *record)
{
    return (record->usage == USAGE_DANE_TA || record->usage == USAGE_DANE_EE) &&
           (record->selector == SELECTOR_CERTIFICATE || record->selector == SELECTOR_KEY) &&
           fits_matching(record);
}

/* The slot of a usable record's usage and selector. */
static unsigned kind(const struct dns_tlsa_record *record)
{
    return (record->usage - USAGE_DANE_TA) * 2u + record->selector;
}

size_t dns_tlsa_filter(const struct slice *records, size_t count, struct dns_tlsa_record **kept)
{
    *kept = NULL;
    if (count > DNS_TLSA_MAX)
        count = DNS_TLSA_MAX;
    if (count == 0)
        return 0;
    struct dns_tlsa_record *usable = xalloc(count * sizeof *usable);
    size_t usable_count = 0;
    unsigned strongest[4] = {0}; /* SHA-512 has the higher number of the two digests */
    for (size_t i = 0; i < count; i++) {
        struct dns_tlsa_record *record = &usable[usable_count];
        /* A malformed SHA-512 record must not push out a good SHA-256 one: usable ones alone vie.
         */
        if (!dns_read_tlsa(records[i], record) || !dns_tlsa_is_usable(record))
            continue;
        usable_count++;
        if (record->matching > strongest[kind(record)])
            strongest[kind(record)] = record->matching;
    }
    size_t left = 0;
    for (size_t i = 0; i < usable_count; i++) {
        if (usable[i].matching == MATCHING_FULL ||
            usable[i].matching == strongest[kind(&usable[i])])
            usable[left++] = usable[i];
    }
    if (left == 0) {
        free(usable);
        usable = NULL;
    }
    *kept = usable;
    return left;
}
