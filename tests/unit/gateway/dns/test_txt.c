#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "gateway/dns/txt.h"
#include "tests/unit/gateway/dns/fake_dns.h"

struct txt_case {
    const char *claim;
    struct fake_answer answer;
    enum dns_status want;
    const char *texts; /* each in brackets */
    const char *detail;
};

#define TXT(...) .name = "_mta-sts.example", .type = DNS_TYPE_TXT, __VA_ARGS__

static const struct txt_case cases[] = {
    {"each_record_is_a_text",
     {TXT(.records = {"v=STSv1; id=1;", "other"})},
     DNS_DATA,
     "[v=STSv1; id=1;][other]",
     ""},
    {"the_strings_of_a_record_are_joined",
     {TXT(.records = {"v=STS|v1; |id=1;"})},
     DNS_DATA,
     "[v=STSv1; id=1;]",
     ""},
    {"an_empty_text_is_one", {TXT(.records = {"hex:00"})}, DNS_DATA, "[]", ""},
    {"a_malformed_record_is_left_out",
     {TXT(.records = {"hex:0561", "good"})},
     DNS_DATA,
     "[good]",
     ""},
    {"an_insecure_answer_is_told_as_such",
     {TXT(.security = DNS_INSECURE, .records = {"a"})},
     DNS_DATA,
     "[a]",
     ""},
    {"no_such_type", {TXT(.status = DNS_NODATA)}, DNS_NODATA, "", ""},
    {"no_such_name", {TXT(.status = DNS_NXDOMAIN)}, DNS_NXDOMAIN, "", ""},
    {"a_failure_says_why",
     {TXT(.status = DNS_FAILED)},
     DNS_FAILED,
     "",
     "TXT look-up of _mta-sts.example: SERVFAIL"},
    {"bogus_data_is_not_read",
     {TXT(.status = DNS_BOGUS, .records = {"v=STSv1; id=1;"})},
     DNS_BOGUS,
     "",
     "TXT look-up of _mta-sts.example: signature crypto failed"},
    {"our_own_fault_is_told_as_such",
     {TXT(.status = DNS_OUR_FAULT)},
     DNS_OUR_FAULT,
     "",
     "TXT look-up of _mta-sts.example: no answer from the root"},
};

static void done(void *context, struct txt_lookup *lookup)
{
    (void)lookup;
    unsigned *count = context;
    ++*count;
}

static void look_up(void **state)
{
    const struct txt_case *c = *state;
    struct fake_dns dns;
    struct txt_lookup lookup;
    unsigned done_count = 0;
    char got[512] = "";
    fake_dns_init(&dns, &c->answer, 1);
    txt_lookup_start(&lookup, &dns.asker, "_MTA-STS.Example.", done, &done_count);
    fake_dns_pump(&dns);
    assert_int_equal(done_count, 1);
    assert_int_equal(lookup.txt.status, c->want);
    assert_int_equal(lookup.txt.security, c->answer.security);
    assert_int_equal(lookup.txt.expires_at, FAKE_NOW + FAKE_TTL);
    for (size_t i = 0; i < lookup.txt.count; i++) {
        size_t used = strlen(got);
        snprintf(got + used, sizeof got - used, "[%.*s]", SLICE_ARG(lookup.txt.texts[i]));
    }
    assert_string_equal(got, c->texts);
    assert_string_equal(lookup.txt.detail, c->detail);
    txt_lookup_clear(&lookup);
}

static void of_more_records_the_first_64_count(void **state)
{
    (void)state;
    struct fake_dns dns;
    struct txt_lookup lookup;
    unsigned done_count = 0;
    static struct slice records[100];
    for (size_t i = 0; i < COUNT_OF(records); i++)
        records[i] = SLICE("\1x");
    struct dns_answer answer = {
        .status = DNS_DATA, .canonical = "", .detail = "", .count = 100, .records = records};
    fake_dns_init(&dns, NULL, 0);
    txt_lookup_start(&lookup, &dns.asker, "example", done, &done_count);
    lookup.ask.answered(lookup.ask.context, &lookup.ask, &answer);
    assert_int_equal(lookup.txt.count, 64);
    assert_string_equal(lookup.txt.detail, "100 TXT records, of which the first 64 count");
    txt_lookup_clear(&lookup);
}

int main(void)
{
    struct CMUnitTest tests[COUNT_OF(cases) + 1];
    static struct txt_case copies[COUNT_OF(cases)];
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        copies[i] = cases[i];
        tests[i] = (struct CMUnitTest){cases[i].claim, look_up, NULL, NULL, &copies[i]};
    }
    tests[COUNT_OF(cases)] =
        (struct CMUnitTest)cmocka_unit_test(of_more_records_the_first_64_count);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
