/* Each sentence of GUARANTEE.md section 5 on addresses, aliases and TLSA is a row here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "gateway/dns/host.h"
#include "tests/unit/gateway/dns/fake_dns.h"

struct host_case {
    const char *claim;
    struct fake_answer answers[6];
    enum dns_status want;
    const char *addresses; /* "2001:db8::1 192.0.2.1", all at port 25 */
    enum { NOT_SECURE, SECURE } address_security;
    enum dns_tlsa tlsa;
    const char *base;    /* NULL: the host name */
    const char *records; /* "311", NULL: none */
    const char *asked;   /* behind "AAAA mx.example, A mx.example" */
    const char *detail;  /* part of either detail; NULL: both are empty */
    int ttl;             /* 0: FAKE_TTL */
};

#define A(...)                                                                                     \
    {                                                                                              \
        .name = "mx.example", .type = DNS_TYPE_A, __VA_ARGS__                                      \
    }
#define AAAA(...)                                                                                  \
    {                                                                                              \
        .name = "mx.example", .type = DNS_TYPE_AAAA, __VA_ARGS__                                   \
    }
#define CNAME(...)                                                                                 \
    {                                                                                              \
        .name = "mx.example", .type = DNS_TYPE_CNAME, __VA_ARGS__                                  \
    }
#define TLSA(...)                                                                                  \
    {                                                                                              \
        .name = "_25._tcp.mx.example", .type = DNS_TYPE_TLSA, __VA_ARGS__                          \
    }
#define TLSA_REAL(...)                                                                             \
    {                                                                                              \
        .name = "_25._tcp.real.example", .type = DNS_TYPE_TLSA, __VA_ARGS__                        \
    }
#define V4 .records = {"192.0.2.1"}
#define V6 .records = {"2001:db8::1"}
#define NONE .status = DNS_NODATA
#define MISSING .status = DNS_NXDOMAIN
#define FAILS .status = DNS_FAILED
#define IS_BOGUS .status = DNS_BOGUS
#define OURS .status = DNS_OUR_FAULT
#define UNSIGNED .security = DNS_INSECURE
#define ALIAS .canonical = "real.example"
#define GOOD .records = {"3 1 1 32"}
#define USELESS .records = {"1 1 1 32"}

#define ASK_TLSA ", TLSA _25._tcp.mx.example"
#define ASK_REAL ", TLSA _25._tcp.real.example"
#define ASK_CNAME ", CNAME mx.example"

/* One row is what DNS holds and what is found, in few lines. */
/* clang-format off */
static const struct host_case cases[] = {
    /* addresses */
    {"both_families_are_found_ipv6_first",
     {A(V4), AAAA(V6), TLSA(NONE)},
     DNS_DATA, "2001:db8::1 192.0.2.1", SECURE, DNS_TLSA_NONE, NULL, NULL, ASK_TLSA, NULL, 0},
    {"one_family_with_nodata_of_the_other_is_good",
     {A(V4), AAAA(NONE), TLSA(NONE)},
     DNS_DATA, "192.0.2.1", SECURE, DNS_TLSA_NONE, NULL, NULL, ASK_TLSA, NULL, 0},
    {"a_failed_aaaa_leaves_a_good_a_good",
     {A(V4), AAAA(FAILS), TLSA(GOOD)},
     DNS_DATA, "192.0.2.1", SECURE, DNS_TLSA_USABLE, NULL, "311", ASK_TLSA, NULL, 0},
    {"a_bogus_aaaa_denial_leaves_a_secure_a_secure",
     {A(V4), AAAA(IS_BOGUS), TLSA(GOOD)},
     DNS_DATA, "192.0.2.1", SECURE, DNS_TLSA_USABLE, NULL, "311", ASK_TLSA, NULL, 0},
    {"a_bogus_a_leaves_a_good_aaaa_good_and_its_data_is_not_used",
     {A(IS_BOGUS, V4), AAAA(V6), TLSA(NONE)},
     DNS_DATA, "2001:db8::1", SECURE, DNS_TLSA_NONE, NULL, NULL, ASK_TLSA, NULL, 0},
    {"a_family_that_failed_through_us_leaves_a_good_one_good",
     {A(V4), AAAA(OURS), TLSA(NONE)},
     DNS_DATA, "192.0.2.1", SECURE, DNS_TLSA_NONE, NULL, NULL, ASK_TLSA, NULL, 0},
    {"nodata_of_both_families_is_no_address",
     {A(NONE), AAAA(NONE)},
     DNS_NODATA, "", NOT_SECURE, DNS_TLSA_NONE, NULL, NULL, "", NULL, 0},
    {"nxdomain_of_both_families_is_no_name",
     {A(MISSING), AAAA(MISSING)},
     DNS_NXDOMAIN, "", NOT_SECURE, DNS_TLSA_NONE, NULL, NULL, "", NULL, 0},
    {"nodata_beside_nxdomain_is_nodata",
     {A(NONE), AAAA(MISSING)},
     DNS_NODATA, "", NOT_SECURE, DNS_TLSA_NONE, NULL, NULL, "", NULL, 0},
    {"a_denial_beside_a_failure_is_a_failure",
     {A(NONE), AAAA(FAILS)},
     DNS_FAILED, "", NOT_SECURE, DNS_TLSA_NONE, NULL, NULL, "",
     "AAAA look-up of mx.example: SERVFAIL", 0},
    {"bogus_in_every_family_is_bogus",
     {A(IS_BOGUS), AAAA(IS_BOGUS)},
     DNS_BOGUS, "", NOT_SECURE, DNS_TLSA_NONE, NULL, NULL, "",
     "A look-up of mx.example: signature crypto failed", 0},
    {"failed_in_every_family_is_failed",
     {A(FAILS), AAAA(FAILS)},
     DNS_FAILED, "", NOT_SECURE, DNS_TLSA_NONE, NULL, NULL, "",
     "A look-up of mx.example: SERVFAIL", 0},
    {"our_fault_in_one_family_explains_the_other",
     {A(FAILS), AAAA(OURS)},
     DNS_OUR_FAULT, "", NOT_SECURE, DNS_TLSA_NONE, NULL, NULL, "", "no answer from the root", 0},
    {"a_malformed_address_is_no_address",
     {A(.records = {"hex:c00002"}), AAAA(NONE)},
     DNS_FAILED, "", NOT_SECURE, DNS_TLSA_NONE, NULL, NULL, "", "malformed A records", 0},

    /* address records not secure */
    {"insecure_addresses_get_no_tlsa_question",
     {A(V4, UNSIGNED), AAAA(V6, UNSIGNED)},
     DNS_DATA, "2001:db8::1 192.0.2.1", NOT_SECURE, DNS_TLSA_NONE, NULL, NULL, "", NULL, 0},
    {"one_insecure_family_makes_the_addresses_insecure",
     {A(V4), AAAA(V6, UNSIGNED)},
     DNS_DATA, "2001:db8::1 192.0.2.1", NOT_SECURE, DNS_TLSA_NONE, NULL, NULL, "", NULL, 0},
    {"an_insecure_family_beside_a_failed_one_is_insecure",
     {A(V4, UNSIGNED), AAAA(FAILS)},
     DNS_DATA, "192.0.2.1", NOT_SECURE, DNS_TLSA_NONE, NULL, NULL, "", NULL, 0},
    {"a_secure_alias_to_insecure_addresses_is_asked_at_the_unexpanded_name",
     {A(V4, UNSIGNED, ALIAS), AAAA(NONE, UNSIGNED, ALIAS), CNAME(.records = {"real.example"}),
      TLSA(GOOD)},
     DNS_DATA, "192.0.2.1", NOT_SECURE, DNS_TLSA_USABLE, "mx.example", "311", ASK_CNAME ASK_TLSA,
     NULL, 0},
    {"a_secure_alias_without_tlsa_to_insecure_addresses_has_none",
     {A(V4, UNSIGNED, ALIAS), AAAA(NONE, UNSIGNED, ALIAS), CNAME(.records = {"real.example"}),
      TLSA(NONE)},
     DNS_DATA, "192.0.2.1", NOT_SECURE, DNS_TLSA_NONE, NULL, NULL, ASK_CNAME ASK_TLSA, NULL, 0},
    {"an_insecure_alias_to_insecure_addresses_has_no_dane",
     {A(V4, UNSIGNED, ALIAS), AAAA(NONE, UNSIGNED, ALIAS),
      CNAME(UNSIGNED, .records = {"real.example"})},
     DNS_DATA, "192.0.2.1", NOT_SECURE, DNS_TLSA_NONE, NULL, NULL, ASK_CNAME, NULL, 0},
    {"a_failed_alias_question_leaves_tls_unknown",
     {A(V4, UNSIGNED, ALIAS), AAAA(NONE, UNSIGNED, ALIAS), CNAME(FAILS)},
     DNS_DATA, "192.0.2.1", NOT_SECURE, DNS_TLSA_ERROR, NULL, NULL, ASK_CNAME,
     "CNAME look-up of mx.example: SERVFAIL", 0},
    {"a_bogus_alias_leaves_tls_unknown",
     {A(V4, UNSIGNED, ALIAS), AAAA(NONE, UNSIGNED, ALIAS),
      CNAME(IS_BOGUS, .records = {"real.example"})},
     DNS_DATA, "192.0.2.1", NOT_SECURE, DNS_TLSA_ERROR, NULL, NULL, ASK_CNAME,
     "CNAME look-up of mx.example: signature crypto failed", 0},
    {"tlsa_below_a_secure_alias_may_fail_too",
     {A(V4, UNSIGNED, ALIAS), AAAA(NONE, UNSIGNED, ALIAS), CNAME(.records = {"real.example"}),
      TLSA(FAILS)},
     DNS_DATA, "192.0.2.1", NOT_SECURE, DNS_TLSA_ERROR, NULL, NULL, ASK_CNAME ASK_TLSA,
     "TLSA look-up of _25._tcp.mx.example: SERVFAIL", 0},

    /* all secure: the expanded name, then the unexpanded one */
    {"a_name_that_is_no_alias_is_asked_once",
     {A(V4), AAAA(NONE), TLSA(NONE)},
     DNS_DATA, "192.0.2.1", SECURE, DNS_TLSA_NONE, NULL, NULL, ASK_TLSA, NULL, 0},
    {"records_at_the_expanded_name_are_used_and_the_other_is_not_asked",
     {A(V4, ALIAS), AAAA(NONE, ALIAS), TLSA_REAL(GOOD)},
     DNS_DATA, "192.0.2.1", SECURE, DNS_TLSA_USABLE, "real.example", "311", ASK_REAL, NULL, 0},
    {"unusable_records_at_the_expanded_name_are_used_too",
     {A(V4, ALIAS), AAAA(NONE, ALIAS), TLSA_REAL(USELESS)},
     DNS_DATA, "192.0.2.1", SECURE, DNS_TLSA_UNUSABLE, "real.example", NULL, ASK_REAL, NULL, 0},
    {"a_secure_denial_at_the_expanded_name_leads_to_the_unexpanded_one",
     {A(V4, ALIAS), AAAA(NONE, ALIAS), TLSA_REAL(MISSING), TLSA(GOOD)},
     DNS_DATA, "192.0.2.1", SECURE, DNS_TLSA_USABLE, "mx.example", "311", ASK_REAL ASK_TLSA, NULL,
     0},
    {"nodata_at_the_expanded_name_leads_to_the_unexpanded_one",
     {A(V4, ALIAS), AAAA(NONE, ALIAS), TLSA_REAL(NONE), TLSA(GOOD)},
     DNS_DATA, "192.0.2.1", SECURE, DNS_TLSA_USABLE, "mx.example", "311", ASK_REAL ASK_TLSA, NULL,
     0},
    {"an_insecure_answer_at_the_expanded_name_leads_to_the_unexpanded_one",
     {A(V4, ALIAS), AAAA(NONE, ALIAS), TLSA_REAL(UNSIGNED, GOOD), TLSA(GOOD)},
     DNS_DATA, "192.0.2.1", SECURE, DNS_TLSA_USABLE, "mx.example", "311", ASK_REAL ASK_TLSA, NULL,
     0},
    {"a_failure_at_the_expanded_name_leaves_tls_unknown",
     {A(V4, ALIAS), AAAA(NONE, ALIAS), TLSA_REAL(FAILS)},
     DNS_DATA, "192.0.2.1", SECURE, DNS_TLSA_ERROR, NULL, NULL, ASK_REAL,
     "TLSA look-up of _25._tcp.real.example: SERVFAIL", 0},
    {"a_failure_at_the_unexpanded_name_leaves_tls_unknown",
     {A(V4, ALIAS), AAAA(NONE, ALIAS), TLSA_REAL(NONE), TLSA(FAILS)},
     DNS_DATA, "192.0.2.1", SECURE, DNS_TLSA_ERROR, NULL, NULL, ASK_REAL ASK_TLSA,
     "TLSA look-up of _25._tcp.mx.example: SERVFAIL", 0},
    {"a_secure_alias_without_tlsa_at_either_name_has_none",
     {A(V4, ALIAS), AAAA(NONE, ALIAS), TLSA_REAL(NONE), TLSA(NONE)},
     DNS_DATA, "192.0.2.1", SECURE, DNS_TLSA_NONE, NULL, NULL, ASK_REAL ASK_TLSA, NULL, 0},
    {"bogus_tlsa_leaves_tls_unknown_whatever_data_it_carries",
     {A(V4), AAAA(NONE), TLSA(IS_BOGUS, GOOD)},
     DNS_DATA, "192.0.2.1", SECURE, DNS_TLSA_ERROR, NULL, NULL, ASK_TLSA,
     "TLSA look-up of _25._tcp.mx.example: signature crypto failed", 0},
    {"insecure_tlsa_is_as_none",
     {A(V4), AAAA(NONE), TLSA(UNSIGNED, GOOD)},
     DNS_DATA, "192.0.2.1", SECURE, DNS_TLSA_NONE, NULL, NULL, ASK_TLSA, NULL, 0},
    {"insecure_denial_of_tlsa_is_none",
     {A(V4), AAAA(NONE), TLSA(UNSIGNED, MISSING)},
     DNS_DATA, "192.0.2.1", SECURE, DNS_TLSA_NONE, NULL, NULL, ASK_TLSA, NULL, 0},
    {"tlsa_that_failed_through_us_is_our_fault_for_the_host",
     {A(V4), AAAA(NONE), TLSA(OURS)},
     DNS_OUR_FAULT, "192.0.2.1", SECURE, DNS_TLSA_ERROR, NULL, NULL, ASK_TLSA,
     "TLSA look-up of _25._tcp.mx.example: no answer from the root", 0},
    {"an_alias_question_that_failed_through_us_is_our_fault_for_the_host",
     {A(V4, UNSIGNED, ALIAS), AAAA(NONE, UNSIGNED, ALIAS), CNAME(OURS)},
     DNS_OUR_FAULT, "192.0.2.1", NOT_SECURE, DNS_TLSA_ERROR, NULL, NULL, ASK_CNAME,
     "no answer from the root", 0},

    /* what counts of the records; more in test_tlsa.c */
    {"all_records_unusable_is_told_apart_from_none",
     {A(V4), AAAA(NONE), TLSA(.records = {"0 1 1 32", "1 0 1 32", "3 1 9 32"})},
     DNS_DATA, "192.0.2.1", SECURE, DNS_TLSA_UNUSABLE, NULL, NULL, ASK_TLSA, NULL, 0},
    {"malformed_records_are_unusable_not_none",
     {A(V4), AAAA(NONE), TLSA(.records = {"hex:0301"})},
     DNS_DATA, "192.0.2.1", SECURE, DNS_TLSA_UNUSABLE, NULL, NULL, ASK_TLSA, NULL, 0},
    {"usable_records_are_kept_and_others_left_out",
     {A(V4), AAAA(NONE), TLSA(.records = {"1 1 1 32", "3 1 1 32", "2 0 1 32"})},
     DNS_DATA, "192.0.2.1", SECURE, DNS_TLSA_USABLE, NULL, "311 201", ASK_TLSA, NULL, 0},
    {"a_tlsa_record_behind_an_alias_of_its_own_keeps_the_host_as_base",
     {A(V4), AAAA(NONE), TLSA(.canonical = "shared._dane.example", GOOD)},
     DNS_DATA, "192.0.2.1", SECURE, DNS_TLSA_USABLE, "mx.example", "311", ASK_TLSA, NULL, 0},

    /* time to live */
    {"the_shortest_ttl_of_all_counts",
     {A(V4, .ttl = 200), AAAA(V6, .ttl = 100), TLSA(GOOD, .ttl = 150)},
     DNS_DATA, "2001:db8::1 192.0.2.1", SECURE, DNS_TLSA_USABLE, NULL, "311", ASK_TLSA, NULL, 100},
    {"a_denial_of_tlsa_limits_the_time_too",
     {A(V4), AAAA(NONE), TLSA(NONE, .ttl = 7)},
     DNS_DATA, "192.0.2.1", SECURE, DNS_TLSA_NONE, NULL, NULL, ASK_TLSA, NULL, 7},
    {"a_failed_family_has_no_ttl",
     {A(V4), AAAA(FAILS, .ttl = 1), TLSA(NONE)},
     DNS_DATA, "192.0.2.1", SECURE, DNS_TLSA_NONE, NULL, NULL, ASK_TLSA, NULL, 0},
};
/* clang-format on */

static void done(void *context, struct host_lookup *lookup)
{
    unsigned *count = context;
    assert_int_equal(lookup->pending, 0);
    ++*count;
}

static void show_addresses(const struct dns_host *host, char *out, size_t size)
{
    out[0] = '\0';
    for (size_t i = 0; i < host->address_count; i++) {
        char text[NET_ADDRESS_SIZE];
        size_t used = strlen(out);
        snprintf(out + used, size - used, "%s%s", i ? " " : "",
                 net_address_text(&host->addresses[i], text));
        assert_int_equal(host->addresses[i].port, 25);
    }
}

static void show_records(const struct dns_host *host, char *out, size_t size)
{
    out[0] = '\0';
    for (size_t i = 0; i < host->record_count; i++) {
        size_t used = strlen(out);
        const struct dns_tlsa_record *r = &host->records[i];
        snprintf(out + used, size - used, "%s%u%u%u", i ? " " : "", r->usage, r->selector,
                 r->matching);
    }
}

static void check(const struct host_case *c, const struct dns_host *host)
{
    char got[512];
    assert_int_equal(host->status, c->want);
    show_addresses(host, got, sizeof got);
    assert_string_equal(got, c->addresses);
    assert_int_equal(host->is_address_secure, c->address_security == SECURE);
    assert_int_equal(host->tlsa, c->tlsa);
    assert_string_equal(host->tlsa_base, c->base ? c->base : "mx.example");
    show_records(host, got, sizeof got);
    assert_string_equal(got, c->records ? c->records : "");
    if (c->detail) {
        assert_true(strstr(host->detail, c->detail) || strstr(host->tlsa_detail, c->detail));
    } else {
        assert_string_equal(host->detail, "");
        assert_string_equal(host->tlsa_detail, "");
    }
    if (c->want == DNS_DATA && c->tlsa != DNS_TLSA_ERROR)
        assert_int_equal(host->expires_at, FAKE_NOW + (c->ttl ? c->ttl : FAKE_TTL));
}

/* Whichever of A and AAAA is answered first. */
static void look_up(void **state)
{
    const struct host_case *c = *state;
    for (int turn = 0; turn < 2; turn++) {
        struct fake_dns dns;
        struct host_lookup lookup;
        unsigned done_count = 0;
        char asked[512];
        fake_dns_init(&dns, c->answers, COUNT_OF(c->answers));
        for (size_t i = 0; i < COUNT_OF(c->answers); i++) {
            if (!c->answers[i].name)
                dns.count = dns.count < i ? dns.count : i;
        }
        dns.is_reversed = turn == 1;
        host_lookup_start(&lookup, &dns.asker, "MX.example.", 25, 0, done, &done_count);
        fake_dns_pump(&dns);
        assert_int_equal(done_count, 1);
        snprintf(asked, sizeof asked, "AAAA mx.example, A mx.example%s", c->asked);
        assert_string_equal(dns.asked, asked);
        check(c, &lookup.host);
        host_lookup_clear(&lookup);
    }
}

static void one_ip_version_asks_that_family_alone(void **state)
{
    (void)state;
    static const struct fake_answer answers[] = {A(V4), AAAA(V6), TLSA(NONE)};
    static const struct {
        int ip_version;
        const char *asked;
    } versions[] = {{4, "A mx.example" ASK_TLSA}, {6, "AAAA mx.example" ASK_TLSA}};
    for (size_t i = 0; i < COUNT_OF(versions); i++) {
        struct fake_dns dns;
        struct host_lookup lookup;
        unsigned done_count = 0;
        fake_dns_init(&dns, answers, COUNT_OF(answers));
        host_lookup_start(&lookup, &dns.asker, "mx.example", 25, versions[i].ip_version, done,
                          &done_count);
        fake_dns_pump(&dns);
        assert_int_equal(done_count, 1);
        assert_string_equal(dns.asked, versions[i].asked);
        assert_int_equal(lookup.host.address_count, 1);
        host_lookup_clear(&lookup);
    }
}

static void the_port_is_part_of_the_tlsa_name(void **state)
{
    (void)state;
    static const struct fake_answer answers[] = {
        A(V4), AAAA(NONE), {.name = "_587._tcp.mx.example", .type = DNS_TYPE_TLSA, GOOD}};
    struct fake_dns dns;
    struct host_lookup lookup;
    unsigned done_count = 0;
    fake_dns_init(&dns, answers, COUNT_OF(answers));
    host_lookup_start(&lookup, &dns.asker, "mx.example", 587, 0, done, &done_count);
    fake_dns_pump(&dns);
    assert_int_equal(lookup.host.tlsa, DNS_TLSA_USABLE);
    assert_int_equal(lookup.host.addresses[0].port, 587);
    host_lookup_clear(&lookup);
}

static void insecure_tlsa_records_are_told(void **state)
{
    (void)state;
    static const struct fake_answer answers[] = {A(V4), AAAA(NONE), TLSA(UNSIGNED, GOOD)};
    struct fake_dns dns;
    struct host_lookup lookup;
    unsigned done_count = 0;
    fake_dns_init(&dns, answers, COUNT_OF(answers));
    host_lookup_start(&lookup, &dns.asker, "mx.example", 25, 0, done, &done_count);
    fake_dns_pump(&dns);
    assert_true(lookup.host.is_tlsa_insecure);
    host_lookup_clear(&lookup);
}

static void of_hundreds_of_addresses_fifty_count(void **state)
{
    (void)state;
    static char bytes[200][16];
    static struct slice records[2][200];
    struct fake_dns dns;
    struct host_lookup lookup;
    unsigned done_count = 0;
    for (unsigned i = 0; i < 200; i++) {
        bytes[i][3] = (char)i;
        records[0][i] = (struct slice){bytes[i], 16};
        records[1][i] = (struct slice){bytes[i], 4};
    }
    fake_dns_init(&dns, NULL, 0);
    host_lookup_start(&lookup, &dns.asker, "mx.example", 25, 0, done, &done_count);
    for (unsigned i = 0; i < 2; i++) {
        struct dns_answer answer = {.status = DNS_DATA,
                                    .security = DNS_INSECURE,
                                    .canonical = "",
                                    .detail = "",
                                    .count = 200,
                                    .records = records[i]};
        lookup.asks[i].answered(&lookup, &lookup.asks[i], &answer);
    }
    assert_int_equal(done_count, 1);
    assert_int_equal(lookup.host.address_count, 50);
    assert_int_equal(lookup.host.addresses[0].family, NET_IPV6);
    assert_int_equal(lookup.host.addresses[49].family, NET_IPV4);
    assert_non_null(strstr(lookup.host.detail, "200 A"));
    host_lookup_clear(&lookup);
}

static void every_state_has_a_name(void **state)
{
    (void)state;
    for (int i = 0; i < HOST_STATE_COUNT; i++)
        assert_non_null(host_state_name((enum host_state)i));
}

static void port_0_asks_for_the_addresses_alone(void **state)
{
    (void)state;
    static const struct fake_answer answers[] = {
        {.name = "mx.example", .type = DNS_TYPE_AAAA, .status = DNS_NODATA},
        {.name = "mx.example", .type = DNS_TYPE_A, .canonical = "other.example", V4},
    };
    struct fake_dns dns;
    struct host_lookup lookup;
    unsigned done_count = 0;
    fake_dns_init(&dns, answers, COUNT_OF(answers));
    host_lookup_start(&lookup, &dns.asker, "mx.example", 0, 0, done, &done_count);
    fake_dns_pump(&dns);
    assert_int_equal(done_count, 1);
    assert_string_equal(dns.asked, "AAAA mx.example, A mx.example");
    assert_int_equal(lookup.host.status, DNS_DATA);
    assert_int_equal(lookup.host.address_count, 1);
    assert_int_equal(lookup.host.addresses[0].port, 0);
    assert_int_equal(lookup.host.tlsa, DNS_TLSA_NONE);
    host_lookup_clear(&lookup);
}

int main(void)
{
    static struct host_case copies[COUNT_OF(cases)];
    struct CMUnitTest tests[COUNT_OF(cases) + 6] = {
        cmocka_unit_test(one_ip_version_asks_that_family_alone),
        cmocka_unit_test(the_port_is_part_of_the_tlsa_name),
        cmocka_unit_test(insecure_tlsa_records_are_told),
        cmocka_unit_test(of_hundreds_of_addresses_fifty_count),
        cmocka_unit_test(every_state_has_a_name),
        cmocka_unit_test(port_0_asks_for_the_addresses_alone),
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        copies[i] = cases[i];
        tests[6 + i] = (struct CMUnitTest){cases[i].claim, look_up, NULL, NULL, &copies[i]};
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
