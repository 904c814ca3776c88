#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "gateway/dns/tlsa.h"

/* "311/32": usage, selector, matching type, octets of data. */
struct filter_case {
    const char *claim;
    const char *records;
    const char *want;
};

static const struct filter_case cases[] = {
    {"usages_2_and_3_count", "311/32 211/32", "311/32 211/32"},
    {"usages_0_and_1_are_unusable", "011/32 111/32", ""},
    {"private_and_unknown_usages_are_unusable", "411/32 911/32", ""},
    {"selectors_0_and_1_count", "301/32 311/32", "301/32 311/32"},
    {"other_selectors_are_unusable", "321/32 371/32", ""},
    {"matching_types_0_1_and_2_count", "300/500", "300/500"},
    {"other_matching_types_are_unusable", "313/32 319/64", ""},
    {"a_sha256_digest_has_32_octets", "311/31 311/33 311/0", ""},
    {"a_sha512_digest_has_64_octets", "312/32 312/63 312/65", ""},
    {"an_empty_certificate_is_unusable", "300/0", ""},
    {"a_certificate_too_large_to_keep_is_unusable", "300/4097 311/32", "311/32"},
    {"the_stronger_digest_of_a_usage_and_selector_counts", "311/32 312/64 311/32", "312/64"},
    {"order_does_not_matter_for_the_stronger_digest", "312/64 311/32 312/64", "312/64 312/64"},
    {"usages_and_selectors_have_their_own_strongest_digest", "312/64 301/32 211/32 202/64 201/32",
     "312/64 301/32 211/32 202/64"},
    {"a_full_key_is_no_digest_and_stays", "310/91 312/64 311/32", "310/91 312/64"},
    {"a_malformed_strong_digest_does_not_push_out_a_good_weak_one", "312/32 311/32", "311/32"},
    {"an_unusable_usage_does_not_push_out_another", "112/64 311/32", "311/32"},
    {"several_keys_of_one_kind_all_count", "311/32 311/32", "311/32 311/32"},
};

static size_t build(const char *text, struct slice records[8], char bytes[8][8192])
{
    size_t count = 0;
    struct slice rest = slice_of(text);
    struct slice one;
    while (slice_cut(&rest, ' ', &one)) {
        uint64_t len = 0;
        assert_true(slice_number(slice_sub(one, 4, one.len), 8000, &len));
        for (unsigned i = 0; i < 3; i++)
            bytes[count][i] = (char)(one.data[i] - '0');
        memset(bytes[count] + 3, 'd', len);
        records[count] = (struct slice){bytes[count], 3 + len};
        count++;
    }
    return count;
}

static void filter(void **state)
{
    const struct filter_case *c = *state;
    static char bytes[8][8192];
    struct slice records[8];
    struct dns_tlsa_record *kept;
    char got[256] = "";
    size_t count = dns_tlsa_filter(records, build(c->records, records, bytes), &kept);
    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(got);
        snprintf(got + used, sizeof got - used, "%s%u%u%u/%u", i ? " " : "", kept[i].usage,
                 kept[i].selector, kept[i].matching, kept[i].len);
    }
    assert_string_equal(got, c->want);
    assert_true((count == 0) == (kept == NULL));
    free(kept);
}

int main(void)
{
    struct CMUnitTest tests[COUNT_OF(cases)];
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        static struct filter_case copies[COUNT_OF(cases)];
        copies[i] = cases[i];
        tests[i] = (struct CMUnitTest){cases[i].claim, filter, NULL, NULL, &copies[i]};
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
