#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <jansson.h>
#include <zlib.h>

#include "gateway/tlsrpt/document.h"

#define DAY 16892 /* 2016-04-01 */

static const struct document_head head = {
    .organization = "Company-X",
    .contact = "sts-reporting@company-x.example",
    .hostname = "mail.company-x.example",
    .domain = "company-y.example",
    .day = DAY,
};

static struct queue_tlsrpt_policy policy_of(enum queue_tlsrpt_type type, const char *strings,
                                            const char *mx_hosts, uint64_t successes,
                                            uint64_t failures)
{
    return (struct queue_tlsrpt_policy){
        .type = type,
        .strings = strdup(strings),
        .mx_hosts = strdup(mx_hosts),
        .successes = successes,
        .failures = failures,
    };
}

static void policy_free(struct queue_tlsrpt_policy *p)
{
    free(p->strings);
    free(p->mx_hosts);
}

static json_t *written(struct document *d)
{
    struct buffer text;
    json_error_t error;
    buffer_init(&text, DOCUMENT_MAX);
    assert_true(document_write(d, &text));
    json_t *json = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, &error);
    if (!json)
        fail_msg("%s", error.text);
    buffer_free(&text);
    return json;
}

/* The example of RFC 8460 appendix B, with what we say of it. */
static const char want[] = "{\"organization-name\":\"Company-X\","
                           "\"date-range\":{\"start-datetime\":\"2016-04-01T00:00:00Z\","
                           "\"end-datetime\":\"2016-04-01T23:59:59Z\"},"
                           "\"contact-info\":\"sts-reporting@company-x.example\","
                           "\"report-id\":\"2016-04-01.company-y.example@mail.company-x.example\","
                           "\"policies\":[{\"policy\":{\"policy-type\":\"sts\","
                           "\"policy-string\":[\"version: STSv1\",\"mode: testing\","
                           "\"mx: *.mail.company-y.example\",\"max_age: 86400\"],"
                           "\"policy-domain\":\"company-y.example\","
                           "\"mx-host\":[\"*.mail.company-y.example\"]},"
                           "\"summary\":{\"total-successful-session-count\":5326,"
                           "\"total-failure-session-count\":303},"
                           "\"failure-details\":[{\"result-type\":\"certificate-expired\","
                           "\"sending-mta-ip\":\"2001:db8:abcd:0012::1\","
                           "\"receiving-mx-hostname\":\"mx1.mail.company-y.example\","
                           "\"failed-session-count\":100},"
                           "{\"result-type\":\"starttls-not-supported\","
                           "\"sending-mta-ip\":\"2001:db8:abcd:0013::1\","
                           "\"receiving-mx-hostname\":\"mx2.mail.company-y.example\","
                           "\"receiving-ip\":\"203.0.113.56\","
                           "\"failed-session-count\":200},"
                           "{\"result-type\":\"validation-failure\","
                           "\"sending-mta-ip\":\"198.51.100.62\","
                           "\"receiving-mx-hostname\":\"mx-backup.mail.company-y.example\","
                           "\"receiving-mx-helo\":\"backup\","
                           "\"receiving-ip\":\"203.0.113.58\","
                           "\"failed-session-count\":3,"
                           "\"failure-reason-code\":\"X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED\"}]}]}";

static const struct queue_tlsrpt_failure example[] = {
    {QUEUE_TLSRPT_CERTIFICATE_EXPIRED, "2001:db8:abcd:0012::1", "mx1.mail.company-y.example", "",
     "", "", 100},
    {QUEUE_TLSRPT_STARTTLS_NOT_SUPPORTED, "2001:db8:abcd:0013::1", "mx2.mail.company-y.example",
     "203.0.113.56", "", "", 200},
    {QUEUE_TLSRPT_VALIDATION_FAILURE, "198.51.100.62", "mx-backup.mail.company-y.example",
     "203.0.113.58", "backup", "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED", 3},
};

static void the_example_of_the_rfc_is_written(void **state)
{
    struct buffer text;
    struct document *d = document_new(&head);
    struct queue_tlsrpt_policy p =
        policy_of(QUEUE_TLSRPT_STS,
                  "version: STSv1\nmode: testing\nmx: *.mail.company-y.example\nmax_age: 86400",
                  "*.mail.company-y.example", 5326, 303);
    (void)state;
    assert_true(document_add(d, &p, NULL));
    for (size_t i = 0; i < COUNT_OF(example); i++)
        assert_true(document_add(d, &p, &example[i]));
    assert_int_equal(document_policies(d), 1);
    buffer_init(&text, DOCUMENT_MAX);
    assert_true(document_write(d, &text));
    assert_int_equal(text.len, sizeof want - 1);
    assert_memory_equal(text.data, want, text.len);
    buffer_free(&text);
    policy_free(&p);
    document_free(d);
}

static void failures_stand_with_their_policy(void **state)
{
    struct document *d = document_new(&head);
    struct queue_tlsrpt_policy none = policy_of(QUEUE_TLSRPT_NO_POLICY_FOUND, "", "", 1, 0);
    struct queue_tlsrpt_policy tlsa = policy_of(QUEUE_TLSRPT_TLSA, "3 1 1 AA\n3 1 1 BB", "", 2, 9);
    struct queue_tlsrpt_policy sts = policy_of(QUEUE_TLSRPT_STS, "mode: testing", "*.a", 0, 18);
    struct queue_tlsrpt_failure f = {.cause = QUEUE_TLSRPT_TLSA_INVALID, .count = 9};
    (void)state;
    assert_true(document_add(d, &none, NULL));
    assert_true(document_add(d, &tlsa, NULL));
    assert_true(document_add(d, &tlsa, &f));
    assert_true(document_add(d, &sts, NULL));
    assert_true(document_add(d, &sts, &f));
    assert_true(document_add(d, &sts, &f));
    json_t *json = written(d);
    json_t *policies = json_object_get(json, "policies");
    assert_int_equal(json_array_size(policies), 3);
    json_t *third = json_array_get(policies, 2);
    assert_int_equal(json_array_size(json_object_get(third, "failure-details")), 2);
    json_t *first = json_array_get(policies, 0);
    json_t *second = json_array_get(policies, 1);
    assert_null(json_object_get(first, "failure-details"));
    assert_null(json_object_get(json_object_get(first, "policy"), "policy-string"));
    assert_null(json_object_get(json_object_get(first, "policy"), "mx-host"));
    assert_int_equal(json_array_size(json_object_get(second, "failure-details")), 1);
    assert_int_equal(
        json_array_size(json_object_get(json_object_get(second, "policy"), "policy-string")), 2);
    json_decref(json);
    policy_free(&none);
    policy_free(&tlsa);
    policy_free(&sts);
    document_free(d);
}

/* One failure with this reason; what stands for the reason in the JSON. */
static void check_reason(const char *reason, const char *expected)
{
    struct document *d = document_new(&head);
    struct queue_tlsrpt_policy p = policy_of(QUEUE_TLSRPT_TLSA, reason, "", 0, 1);
    struct queue_tlsrpt_failure f = {.count = 1};
    snprintf(f.reason, sizeof f.reason, "%s", reason);
    assert_true(document_add(d, &p, NULL));
    assert_true(document_add(d, &p, &f));
    json_t *json = written(d);
    json_t *entry = json_array_get(json_object_get(json, "policies"), 0);
    json_t *details = json_array_get(json_object_get(entry, "failure-details"), 0);
    assert_string_equal(json_string_value(json_object_get(details, "failure-reason-code")),
                        expected);
    json_decref(json);
    policy_free(&p);
    document_free(d);
}

static void what_is_no_text_becomes_question_marks(void **state)
{
    (void)state;
    check_reason("quotes \" and \\ stay", "quotes \" and \\ stay");
    check_reason("\303\244\342\202\254", "\303\244\342\202\254");
    check_reason("cut \342\202", "cut ??");
    check_reason("\300\200overlong", "??overlong");
    check_reason("\355\240\200surrogate", "???surrogate");
    check_reason("\001\033[31m", "??[31m");
    check_reason("\342\200\256turned", "?turned");
}

static void counts_are_bounded_by_what_json_readers_hold(void **state)
{
    struct document *d = document_new(&head);
    struct queue_tlsrpt_policy p =
        policy_of(QUEUE_TLSRPT_TLSA, "", "", UINT64_MAX, (uint64_t)INT64_MAX + 1);
    (void)state;
    assert_true(document_add(d, &p, NULL));
    json_t *json = written(d);
    json_t *entry = json_array_get(json_object_get(json, "policies"), 0);
    json_t *summary = json_object_get(entry, "summary");
    assert_int_equal(json_integer_value(json_object_get(summary, "total-successful-session-count")),
                     INT64_MAX);
    assert_int_equal(json_integer_value(json_object_get(summary, "total-failure-session-count")),
                     INT64_MAX);
    json_decref(json);
    policy_free(&p);
    document_free(d);
}

static void a_document_that_does_not_fit_is_none(void **state)
{
    struct buffer text;
    struct document *d = document_new(&head);
    (void)state;
    buffer_init(&text, 100);
    assert_false(document_write(d, &text));
    buffer_free(&text);
    document_free(d);
}

static void a_report_id_is_of_domain_day_and_gateway(void **state)
{
    char first[DOCUMENT_ID_SIZE];
    char second[DOCUMENT_ID_SIZE];
    char long_name[DOMAIN_SIZE];
    struct document_head other = head;
    (void)state;
    other.organization = "renamed";
    assert_string_equal(document_id(&head, first), document_id(&other, second));
    other.day++;
    assert_string_not_equal(first, document_id(&other, second));
    other = head;
    other.hostname = "mail2.company-x.example";
    assert_string_not_equal(first, document_id(&other, second));
    memset(long_name, 'x', DOMAIN_MAX);
    long_name[DOMAIN_MAX] = '\0';
    other.hostname = other.domain = long_name;
    assert_int_equal(strlen(document_id(&other, second)), 2 * DOMAIN_MAX + 12);
}

static void what_is_packed_is_unpacked_to_the_same(void **state)
{
    struct buffer packed, again;
    unsigned char text[sizeof want + 16];
    z_stream z = {0};
    (void)state;
    buffer_init(&packed, DOCUMENT_MAX);
    buffer_init(&again, DOCUMENT_MAX);
    assert_true(document_pack(slice_of(want), &packed));
    assert_true(document_pack(slice_of(want), &again));
    assert_true(slice_equal(buffer_slice(&packed), buffer_slice(&again)));
    assert_true(packed.len < sizeof want / 2 && memcmp(packed.data, "\x1f\x8b", 2) == 0);
    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
    z.next_in = (unsigned char *)packed.data;
    z.avail_in = (uInt)packed.len;
    z.next_out = text;
    z.avail_out = sizeof text;
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(z.total_out, sizeof want - 1);
    assert_memory_equal(text, want, sizeof want - 1);
    inflateEnd(&z);
    buffer_free(&packed);
    buffer_free(&again);
}

static void nothing_is_packed_beyond_the_ceiling(void **state)
{
    struct buffer packed;
    (void)state;
    buffer_init(&packed, 20);
    assert_false(document_pack(slice_of(want), &packed));
    assert_int_equal(packed.len, 0);
    buffer_free(&packed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_the_rfc_is_written),
        cmocka_unit_test(failures_stand_with_their_policy),
        cmocka_unit_test(what_is_no_text_becomes_question_marks),
        cmocka_unit_test(counts_are_bounded_by_what_json_readers_hold),
        cmocka_unit_test(a_document_that_does_not_fit_is_none),
        cmocka_unit_test(a_report_id_is_of_domain_day_and_gateway),
        cmocka_unit_test(what_is_packed_is_unpacked_to_the_same),
        cmocka_unit_test(nothing_is_packed_beyond_the_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
