#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "gateway/delivery/report.h"

#define AT ((int64_t)20779 * 86400 + 3601)
#define RECORD "3 1 1 AB"
#define TEXT "version: STSv1\r\nmode: enforce\r\nmx: *.one.example\r\nmax_age: 86400\r\n"

enum policy { NO_POLICY, ENFORCE, TESTING, MODE_NONE };

/* `want` is "TYPE success", "TYPE RESULT-TYPE: reason", or "" for nothing to be counted. */
struct session_case {
    const char *claim;
    struct guarantee_host host;
    enum policy policy;
    enum sts_failure sts_failure;
    bool requires_dane;
    const char *want;
};

#define CONTACT .contact = GUARANTEE_IN_CONTACT
#define TLS CONTACT, .tls = GUARANTEE_TLS_ESTABLISHED
#define DANE .tlsa = GUARANTEE_TLSA_USABLE
#define LOCAL(words)                                                                               \
    {                                                                                              \
        .status = {4, 7, 5}, .text = words                                                         \
    }
#define REPLY(number, words)                                                                       \
    {                                                                                              \
        .code = (number), .status = {(number) / 100, 7, 0}, .text = words                          \
    }

static const struct session_case cases[] = {
    /* No policy: TLS is all that is asked for. */
    {"tls_without_a_policy_is_a_success", {TLS}, NO_POLICY, 0, false, "no-policy-found success"},
    {"a_certificate_does_not_count_without_a_policy",
     {TLS, .certificate_error = "self-signed certificate"},
     NO_POLICY,
     0,
     false,
     "no-policy-found success"},
    {"no_starttls",
     {CONTACT, .tls = GUARANTEE_TLS_NOT_OFFERED},
     NO_POLICY,
     0,
     false,
     "no-policy-found starttls-not-supported: "},
    {"454_is_told_by_its_code",
     {CONTACT, .tls = GUARANTEE_TLS_TRY_LATER, .cause = REPLY(454, "4.7.0 busy, id 123")},
     NO_POLICY,
     0,
     false,
     "no-policy-found validation-failure: STARTTLS answered 454 4.7.0"},
    {"a_refusal_is_told_by_its_code",
     {CONTACT, .tls = GUARANTEE_TLS_REFUSED, .cause = REPLY(502, "what?")},
     NO_POLICY,
     0,
     false,
     "no-policy-found validation-failure: STARTTLS answered 502 5.7.0"},
    {"a_cut_handshake",
     {CONTACT, .tls = GUARANTEE_TLS_CUT, .cause = LOCAL("connection reset")},
     NO_POLICY,
     0,
     false,
     "no-policy-found validation-failure: connection reset"},
    {"a_failed_handshake",
     {CONTACT, .tls = GUARANTEE_TLS_FAILED, .cause = LOCAL("unsupported protocol")},
     NO_POLICY,
     0,
     false,
     "no-policy-found validation-failure: unsupported protocol"},
    {"mode_none_is_no_policy", {TLS}, MODE_NONE, 0, false, "no-policy-found success"},

    /* DANE. */
    {"a_match", {TLS, DANE, .is_dane_matched = true}, NO_POLICY, 0, false, "tlsa success"},
    {"dane_goes_before_mta_sts",
     {TLS, DANE, .is_dane_matched = true},
     ENFORCE,
     0,
     false,
     "tlsa success"},
    {"dane_goes_before_mta_sts_that_excludes_the_host",
     {TLS, DANE, .is_dane_matched = true, .name = "mx.other.example"},
     ENFORCE,
     0,
     false,
     "tlsa success"},
    {"no_match",
     {TLS, DANE, .certificate_error = "no matching DANE TLSA records"},
     NO_POLICY,
     0,
     false,
     "tlsa certificate-not-trusted: no matching DANE TLSA records"},
    {"webpki_is_no_match",
     {TLS, DANE, .is_pkix_valid = true, .is_pkix_for_host = true,
      .certificate_error = "no matching DANE TLSA records"},
     NO_POLICY,
     0,
     false,
     "tlsa certificate-not-trusted: no matching DANE TLSA records"},
    {"dane_of_another_name",
     {TLS, DANE, .certificate_error = "hostname mismatch"},
     NO_POLICY,
     0,
     false,
     "tlsa certificate-host-mismatch: hostname mismatch"},
    {"dane_expired",
     {TLS, DANE, .certificate_error = "certificate has expired"},
     NO_POLICY,
     0,
     false,
     "tlsa certificate-expired: certificate has expired"},
    {"dane_without_starttls",
     {CONTACT, DANE, .tls = GUARANTEE_TLS_NOT_OFFERED},
     NO_POLICY,
     0,
     false,
     "tlsa starttls-not-supported: "},
    {"records_that_are_of_no_use",
     {TLS, .tlsa = GUARANTEE_TLSA_UNUSABLE},
     NO_POLICY,
     0,
     false,
     "tlsa tlsa-invalid: no usable TLSA record"},
    {"a_look_up_that_failed",
     {.contact = GUARANTEE_UNTRIED, .tlsa = GUARANTEE_TLSA_ERROR, .cause = LOCAL("bogus: expired")},
     NO_POLICY,
     0,
     false,
     "tlsa dnssec-invalid: bogus: expired"},
    {"records_that_ran_out_on_a_connection_are_nobodys_failure",
     {TLS, .tlsa = GUARANTEE_TLSA_ERROR},
     NO_POLICY,
     0,
     false,
     ""},
    {"dane_that_we_require",
     {TLS, .is_pkix_valid = true},
     NO_POLICY,
     0,
     true,
     "tlsa dane-required: "},
    {"dane_that_we_require_and_get",
     {TLS, DANE, .is_dane_matched = true},
     NO_POLICY,
     0,
     true,
     "tlsa success"},

    /* MTA-STS. */
    {"a_host_that_is_listed",
     {TLS, .is_pkix_valid = true, .is_pkix_for_host = true, .sts = GUARANTEE_STS_COVERS},
     ENFORCE,
     0,
     false,
     "sts success"},
    {"testing_is_reported",
     {TLS, .is_pkix_valid = true, .is_pkix_for_host = true, .sts = GUARANTEE_STS_TESTING},
     TESTING,
     0,
     false,
     "sts success"},
    {"testing_tells_what_would_fail",
     {TLS, .certificate_error = "self-signed certificate", .sts = GUARANTEE_STS_TESTING},
     TESTING,
     0,
     false,
     "sts certificate-not-trusted: self-signed certificate"},
    {"testing_without_starttls",
     {CONTACT, .tls = GUARANTEE_TLS_NOT_OFFERED, .sts = GUARANTEE_STS_TESTING},
     TESTING,
     0,
     false,
     "sts starttls-not-supported: "},
    {"testing_of_a_host_that_is_not_listed",
     {TLS, .is_pkix_for_host = true, .name = "mx.other.example", .sts = GUARANTEE_STS_TESTING},
     TESTING,
     0,
     false,
     "sts validation-failure: MX host not in MTA-STS policy"},
    {"a_host_that_is_left_out",
     {.contact = GUARANTEE_UNTRIED, .name = "mx.other.example", .sts = GUARANTEE_STS_EXCLUDES},
     ENFORCE,
     0,
     false,
     "sts validation-failure: MX host not in MTA-STS policy"},
    {"sts_of_another_name",
     {TLS, .certificate_error = "hostname mismatch: the certificate is for x.example"},
     ENFORCE,
     0,
     false,
     "sts certificate-host-mismatch: hostname mismatch: the certificate is for x.example"},
    {"sts_of_the_domain_s_name_alone",
     {TLS, .is_pkix_valid = true, .is_pkix_for_domain = true},
     ENFORCE,
     0,
     false,
     "sts certificate-host-mismatch: not valid for the MX host's name"},
    {"sts_expired",
     {TLS, .certificate_error = "certificate has expired"},
     ENFORCE,
     0,
     false,
     "sts certificate-expired: certificate has expired"},
    {"a_policy_that_cannot_be_fetched",
     {TLS, .sts_detail = "mta-sts.one.example answered with status 500"},
     NO_POLICY,
     STS_FAILURE_FETCH,
     false,
     "sts sts-policy-fetch-error: mta-sts.one.example answered with status 500"},
    {"a_policy_that_cannot_be_read",
     {TLS, .sts_detail = "no mode"},
     NO_POLICY,
     STS_FAILURE_INVALID,
     false,
     "sts sts-policy-invalid: no mode"},
    {"a_policy_host_that_is_not_itself",
     {TLS},
     NO_POLICY,
     STS_FAILURE_WEBPKI,
     false,
     "sts sts-webpki-invalid: "},
    {"a_policy_in_force_outlives_a_failed_fetch",
     {TLS, .is_pkix_for_host = true},
     ENFORCE,
     STS_FAILURE_FETCH,
     false,
     "sts success"},

    /* Nothing to be said about TLS. */
    {"no_contact", {.contact = GUARANTEE_NO_CONTACT}, ENFORCE, 0, false, ""},
    {"our_own_fault",
     {.contact = GUARANTEE_OUR_FAULT, .tlsa = GUARANTEE_TLSA_ERROR},
     NO_POLICY,
     0,
     false,
     ""},
    {"not_tried", {.contact = GUARANTEE_UNTRIED}, ENFORCE, 0, false, ""},
    {"not_tried_with_a_policy_that_cannot_be_fetched",
     {.contact = GUARANTEE_UNTRIED},
     NO_POLICY,
     STS_FAILURE_FETCH,
     false,
     ""},
    {"tls_not_tried", {CONTACT, .tls = GUARANTEE_TLS_UNTRIED}, ENFORCE, 0, false, ""},
    {"tls_not_tried_with_a_policy_that_cannot_be_fetched",
     {CONTACT, .tls = GUARANTEE_TLS_UNTRIED},
     NO_POLICY,
     STS_FAILURE_FETCH,
     false,
     ""},
    {"a_literal", {TLS, .is_literal = true}, NO_POLICY, 0, false, ""},
};

static char pattern[DOMAIN_SIZE] = "*.one.example";
static char text[] = TEXT;

static struct report_session session_of(const struct session_case *c, struct guarantee_host *host,
                                        struct sts_policy *policy)
{
    static const enum sts_mode modes[] = {
        [ENFORCE] = STS_MODE_ENFORCE, [TESTING] = STS_MODE_TESTING, [MODE_NONE] = STS_MODE_NONE};
    *host = c->host;
    host->name = host->name ? host->name : "mx1.one.example";
    host->address = "192.0.2.25";
    host->at = AT;
    *policy =
        (struct sts_policy){.mode = modes[c->policy], .mx_count = 1, .mx = &pattern, .text = text};
    return (struct report_session){
        .domain = "one.example",
        .host = host,
        .policy = c->policy == NO_POLICY ? NULL : policy,
        .sts_failure = c->sts_failure,
        .tlsa = host->tlsa == GUARANTEE_TLSA_USABLE ? RECORD : NULL,
        .sending_address = "192.0.2.1",
        .requires_dane = c->requires_dane,
    };
}

static void write_words(const struct queue_tlsrpt_result *r, char *out, size_t size)
{
    if (r->successes)
        snprintf(out, size, "%s success", queue_tlsrpt_type_name(r->type));
    else
        snprintf(out, size, "%s %s: %s", queue_tlsrpt_type_name(r->type),
                 queue_tlsrpt_cause_name(r->failure.cause), r->failure.reason);
}

static void every_session_has_its_result(void **state)
{
    unsigned seen = 0;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct guarantee_host host;
        struct sts_policy policy;
        struct report report;
        char got[300] = "";
        struct report_session session = session_of(&cases[i], &host, &policy);
        if (report_of_session(&session, &report)) {
            write_words(&report.result, got, sizeof got);
            assert_int_equal(report.result.successes + report.result.failure.count, 1);
            assert_int_equal(report.result.day, 20779);
            assert_string_equal(report.result.domain, "one.example");
            if (report.result.failure.count > 0)
                seen |= 1U << report.result.failure.cause;
            report_free(&report);
        }
        if (strcmp(got, cases[i].want) != 0)
            fail_msg("%s: got \"%s\", want \"%s\"", cases[i].claim, got, cases[i].want);
    }
    /* Each result type of RFC 8460 section 4.3 is one of these. */
    assert_int_equal(seen, (1U << (QUEUE_TLSRPT_STS_WEBPKI_INVALID + 1)) - 1);
}

static void a_failure_says_between_whom(void **state)
{
    struct session_case c = {.host = {CONTACT, .tls = GUARANTEE_TLS_NOT_OFFERED}};
    struct guarantee_host host;
    struct sts_policy policy;
    struct report report;
    (void)state;
    struct report_session session = session_of(&c, &host, &policy);
    assert_true(report_of_session(&session, &report));
    assert_string_equal(report.result.failure.mx_host, "mx1.one.example");
    assert_string_equal(report.result.failure.receiving_address, "192.0.2.25");
    assert_string_equal(report.result.failure.sending_address, "192.0.2.1");
    report_free(&report);
}

static void a_policy_is_told_line_by_line(void **state)
{
    struct session_case c = {.host = {TLS, .is_pkix_for_host = true}, .policy = ENFORCE};
    struct guarantee_host host;
    struct sts_policy policy;
    struct report report;
    (void)state;
    struct report_session session = session_of(&c, &host, &policy);
    assert_true(report_of_session(&session, &report));
    assert_string_equal(report.result.strings,
                        "version: STSv1\nmode: enforce\nmx: *.one.example\nmax_age: 86400");
    assert_string_equal(report.result.mx_hosts, "*.one.example");
    report_free(&report);
    c = (struct session_case){.host = {TLS, DANE}, .policy = ENFORCE};
    session = session_of(&c, &host, &policy);
    assert_true(report_of_session(&session, &report));
    assert_string_equal(report.result.strings, RECORD);
    assert_string_equal(report.result.mx_hosts, "");
    report_free(&report);
}

static void long_words_of_a_failure_are_cut(void **state)
{
    struct session_case c = {.host = {CONTACT, .tls = GUARANTEE_TLS_FAILED}};
    struct guarantee_host host;
    struct sts_policy policy;
    struct report report;
    (void)state;
    struct report_session session = session_of(&c, &host, &policy);
    memset(host.cause.text, 'x', sizeof host.cause.text - 1);
    assert_true(report_of_session(&session, &report));
    assert_int_equal(strlen(report.result.failure.reason), QUEUE_TLSRPT_REASON_SIZE - 1);
    report_free(&report);
}

static void tlsa_records_are_written_in_one_order(void **state)
{
    struct dns_tlsa_record *records = calloc(2, sizeof *records);
    (void)state;
    assert_non_null(records);
    records[0] = (struct dns_tlsa_record){3, 1, 1, 3, {0x0b, 0xff, 0x01}};
    records[1] = (struct dns_tlsa_record){2, 0, 2, 1, {0xaa}};
    for (int turn = 0; turn < 2; turn++) {
        char *lines = report_tlsa_lines(records, 2);
        assert_string_equal(lines, "2 0 2 AA\n3 1 1 0BFF01");
        free(lines);
        struct dns_tlsa_record first = records[0];
        records[0] = records[1];
        records[1] = first;
    }
    free(records);
}

static void more_tlsa_records_than_fit_are_left_out_whole(void **state)
{
    enum { COUNT = 3 };
    struct dns_tlsa_record *records = calloc(COUNT, sizeof *records);
    (void)state;
    assert_non_null(records);
    for (uint8_t i = 0; i < COUNT; i++)
        records[i] = (struct dns_tlsa_record){3, 1, 0, TLSA_DATA_MAX - 100, {i}};
    char *lines = report_tlsa_lines(records, COUNT);
    assert_int_equal(strlen(lines), 6 + 2 * (TLSA_DATA_MAX - 100));
    free(lines);
    lines = report_tlsa_lines(records, 0);
    assert_string_equal(lines, "");
    free(lines);
    free(records);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_session_has_its_result),
        cmocka_unit_test(a_failure_says_between_whom),
        cmocka_unit_test(a_policy_is_told_line_by_line),
        cmocka_unit_test(long_words_of_a_failure_are_cut),
        cmocka_unit_test(tlsa_records_are_written_in_one_order),
        cmocka_unit_test(more_tlsa_records_than_fit_are_left_out_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
