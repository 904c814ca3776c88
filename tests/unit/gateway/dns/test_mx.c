#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "gateway/dns/mx.h"
#include "tests/unit/gateway/dns/fake_dns.h"

struct mx_case {
    const char *claim;
    struct fake_answer answer; /* to MX of "example" */
    enum dns_status want;
    const char *hosts; /* "10 a.example, 20 b.example"; " implicit" and " null" behind */
    const char *detail;
};

#define MX(...) .name = "example", .type = DNS_TYPE_MX, __VA_ARGS__

static const struct mx_case cases[] = {
    {"hosts_come_in_order_of_preference",
     {MX(.records = {"20 b.example", "10 a.example", "300 c.example"})},
     DNS_DATA,
     "10 a.example, 20 b.example, 300 c.example",
     ""},
    {"a_host_named_twice_counts_once_with_its_best_preference",
     {MX(.records = {"20 a.example", "30 b.example", "10 A.example"})},
     DNS_DATA,
     "10 a.example, 30 b.example",
     ""},
    {"an_insecure_answer_is_data_too",
     {MX(.security = DNS_INSECURE, .records = {"10 a.example"})},
     DNS_DATA,
     "10 a.example",
     ""},
    {"a_domain_without_mx_is_its_own_host",
     {MX(.status = DNS_NODATA)},
     DNS_NODATA,
     "0 example implicit",
     ""},
    {"a_domain_that_does_not_exist_has_no_host",
     {MX(.status = DNS_NXDOMAIN)},
     DNS_NXDOMAIN,
     "",
     ""},
    {"the_only_mx_being_a_dot_is_a_null_mx", {MX(.records = {"0 ."})}, DNS_DATA, " null", ""},
    {"a_null_mx_of_any_preference_is_one", {MX(.records = {"10 ."})}, DNS_DATA, " null", ""},
    {"a_dot_beside_others_is_left_out",
     {MX(.records = {"0 .", "10 a.example"})},
     DNS_DATA,
     "10 a.example",
     ""},
    {"an_address_as_a_host_is_left_out",
     {MX(.records = {"10 192.0.2.1", "20 a.example"})},
     DNS_DATA,
     "20 a.example",
     ""},
    {"mx_records_that_name_no_host_leave_none_and_no_implicit_one",
     {MX(.records = {"10 192.0.2.1", "20 ."})},
     DNS_DATA,
     "",
     "no MX record names a host"},
    {"malformed_records_are_left_out",
     {MX(.records = {"hex:00", "hex:000a026d78", "hex:000ac000", "10 a.example"})},
     DNS_DATA,
     "10 a.example",
     ""},
    {"a_lone_malformed_record_is_no_null_mx",
     {MX(.records = {"hex:000a"})},
     DNS_DATA,
     "",
     "no MX record names a host"},
    {"a_failed_look_up_says_why",
     {MX(.status = DNS_FAILED)},
     DNS_FAILED,
     "",
     "MX look-up of example: SERVFAIL"},
    {"a_bogus_answer_is_bogus_whatever_data_it_carries",
     {MX(.status = DNS_BOGUS, .records = {"10 a.example"})},
     DNS_BOGUS,
     "",
     "MX look-up of example: signature crypto failed"},
    {"our_own_fault_is_told_as_such",
     {MX(.status = DNS_OUR_FAULT)},
     DNS_OUR_FAULT,
     "",
     "MX look-up of example: no answer from the root"},
    {"an_alias_is_followed_to_the_hosts_at_its_end",
     {MX(.canonical = "target.example", .records = {"10 a.example"})},
     DNS_DATA,
     "10 a.example",
     ""},
};

static void done(void *context, struct mx_lookup *lookup)
{
    (void)lookup;
    unsigned *count = context;
    ++*count;
}

static void show(const struct dns_mx *mx, char *out, size_t size)
{
    out[0] = '\0';
    for (size_t i = 0; i < mx->count; i++) {
        size_t used = strlen(out);
        snprintf(out + used, size - used, "%s%u %s", i ? ", " : "", mx->hosts[i].preference,
                 mx->hosts[i].name);
    }
    size_t used = strlen(out);
    snprintf(out + used, size - used, "%s%s", mx->is_implicit ? " implicit" : "",
             mx->is_null ? " null" : "");
}

static void look_up(void **state)
{
    const struct mx_case *c = *state;
    struct fake_dns dns;
    struct mx_lookup lookup;
    unsigned done_count = 0;
    char got[512];
    fake_dns_init(&dns, &c->answer, 1);
    mx_lookup_start(&lookup, &dns.asker, "Example.", done, &done_count);
    fake_dns_pump(&dns);
    assert_int_equal(done_count, 1);
    assert_int_equal(lookup.mx.status, c->want);
    assert_int_equal(lookup.mx.security, c->answer.security);
    assert_int_equal(lookup.mx.expires_at, FAKE_NOW + FAKE_TTL);
    show(&lookup.mx, got, sizeof got);
    assert_string_equal(got, c->hosts);
    assert_string_equal(lookup.mx.detail, c->detail);
    mx_lookup_clear(&lookup);
}

static void of_hundreds_of_records_the_hundred_most_preferred_count(void **state)
{
    (void)state;
    struct fake_dns dns;
    struct mx_lookup lookup;
    unsigned done_count = 0;
    static char bytes[300][16];
    static struct slice records[300];
    for (unsigned i = 0; i < 300; i++) {
        unsigned preference = 1000 - i;
        int len = snprintf(bytes[i], sizeof bytes[i], "%c%c\4h%03u", (char)(preference >> 8),
                           (char)preference, i);
        records[i] = (struct slice){bytes[i], (size_t)len + 1};
    }
    struct dns_answer answer = {
        .status = DNS_DATA, .canonical = "", .detail = "", .count = 300, .records = records};
    fake_dns_init(&dns, NULL, 0);
    mx_lookup_start(&lookup, &dns.asker, "example", done, &done_count);
    lookup.ask.answered(lookup.ask.context, &lookup.ask, &answer);
    assert_int_equal(lookup.mx.count, 100);
    assert_int_equal(lookup.mx.hosts[0].preference, 701);
    assert_int_equal(lookup.mx.hosts[99].preference, 800);
    assert_string_equal(lookup.mx.detail, "300 MX hosts, of which the first 100 count");
    mx_lookup_clear(&lookup);
}

int main(void)
{
    struct CMUnitTest tests[COUNT_OF(cases) + 1];
    static struct mx_case copies[COUNT_OF(cases)];
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        copies[i] = cases[i];
        tests[i] = (struct CMUnitTest){cases[i].claim, look_up, NULL, NULL, &copies[i]};
    }
    tests[COUNT_OF(cases)] = (struct CMUnitTest)cmocka_unit_test(
        of_hundreds_of_records_the_hundred_most_preferred_count);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
