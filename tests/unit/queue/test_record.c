#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "queue/record.h"

static char text_a[] = "bob@one.example";
static char text_b[] = "rfc822;bob@one.example";
static char text_c[] = "";

static struct queue_recipient sample(void)
{
    struct queue_recipient r = {
        .address = text_a,
        .orcpt = text_b,
        .owner = text_c,
        .notify = 14,
        .level = LEVEL_VERIFIED,
        .exemption = EXEMPTION_RELEASE_FORCE,
        .bound_exemption = EXEMPTION_FORWARD,
        .state = QUEUE_DISCARDED,
        .attempts = 7,
        .started_at_ms = 1,
        .due_at_ms = 2,
        .trouble_since = 3,
        .was_warned = true,
        .wants_receipt = true,
        .tls_seen_at = 8,
        .is_suspended = true,
        .report = QUEUE_REPORT_SUCCESS,
        .last_attempt_at_ms = 4,
        .stopped_at_ms = 5,
        .expires_at_ms = 6,
        .required = text_a,
        .evidence = text_b,
        .is_release_refused = true,
        .is_relayed = true,
        .is_passed_on = true,
        .is_local = true,
        .is_urgent = true,
        .protocol = text_c,
        .cipher = text_a,
        .verified = text_b,
    };
    r.outcome = outcome_local(status_make(5, 7, 4), "no TLS");
    outcome_set_host(&r.outcome, "mx.example", "2001:db8::1", 25);
    return r;
}

static void a_recipient_survives_the_round_trip(void **state)
{
    struct queue_recipient want = sample();
    struct queue_recipient got;
    struct record_peek peek;
    struct buffer b;
    uint32_t flow;
    (void)state;
    buffer_init(&b, 65536);
    record_put_recipient(&b, &want, 0xdeadbeef);
    assert_true(record_get_recipient(buffer_slice(&b), &got, &flow));
    assert_int_equal(flow, 0xdeadbeef);
    assert_string_equal(got.address, want.address);
    assert_string_equal(got.orcpt, want.orcpt);
    assert_string_equal(got.owner, "");
    assert_int_equal(got.notify, 14);
    assert_int_equal(got.level, LEVEL_VERIFIED);
    assert_int_equal(got.exemption, EXEMPTION_RELEASE_FORCE);
    assert_int_equal(got.bound_exemption, EXEMPTION_FORWARD);
    assert_true(got.is_urgent);
    assert_int_equal(got.state, QUEUE_DISCARDED);
    assert_int_equal(got.attempts, 7);
    assert_int_equal(got.started_at_ms, 1);
    assert_int_equal(got.due_at_ms, 2);
    assert_int_equal(got.trouble_since, 3);
    assert_true(got.was_warned && got.is_release_refused && got.is_relayed);
    assert_true(got.wants_receipt && got.is_passed_on && got.is_local && got.is_suspended);
    assert_int_equal(got.tls_seen_at, 8);
    assert_false(got.is_force_needed || got.is_unnotifiable);
    assert_int_equal(got.report, QUEUE_REPORT_SUCCESS);
    assert_int_equal(got.last_attempt_at_ms, 4);
    assert_int_equal(got.stopped_at_ms, 5);
    assert_int_equal(got.expires_at_ms, 6);
    assert_string_equal(got.required, want.required);
    assert_string_equal(got.evidence, want.evidence);
    assert_string_equal(got.cipher, want.cipher);
    assert_string_equal(got.verified, want.verified);
    assert_int_equal(got.outcome.status.detail, 4);
    assert_string_equal(got.outcome.text, "no TLS");
    assert_string_equal(got.outcome.address, "2001:db8::1");
    assert_int_equal(got.outcome.port, 25);
    queue_recipient_clear(&got);

    assert_true(record_peek_recipient(buffer_slice(&b), &peek));
    assert_int_equal(peek.state, QUEUE_DISCARDED);
    assert_int_equal(peek.report, QUEUE_REPORT_SUCCESS);
    assert_int_equal(peek.due_at_ms, 2);
    assert_int_equal(peek.lane.flow, 0xdeadbeef);
    assert_string_equal(peek.lane.domain, "one.example");
    buffer_free(&b);
}

/* All there are: one that could not be read again would lose the recipient. */
static void every_exemption_survives_the_round_trip(void **state)
{
    struct queue_recipient got;
    struct buffer b;
    uint32_t flow;
    (void)state;
    buffer_init(&b, 65536);
    for (enum exemption e = EXEMPTION_NONE; e <= EXEMPTION_DRY_RUN; e++) {
        struct queue_recipient want = sample();
        want.exemption = want.bound_exemption = e;
        buffer_clear(&b);
        record_put_recipient(&b, &want, 1);
        if (!record_get_recipient(buffer_slice(&b), &got, &flow))
            fail_msg("exemption \"%s\" cannot be read again", exemption_name(e));
        assert_int_equal(got.exemption, e);
        assert_int_equal(got.bound_exemption, e);
        queue_recipient_clear(&got);
    }
    buffer_free(&b);
}

/* Each by itself: none stands for another. */
static void every_flag_of_a_recipient_has_a_bit_of_its_own(void **state)
{
    struct queue_recipient r = sample(), got;
    bool *const flags[] = {&r.was_warned,      &r.is_force_needed, &r.is_release_refused,
                           &r.is_unnotifiable, &r.is_relayed,      &r.is_urgent,
                           &r.wants_receipt,   &r.is_passed_on,    &r.is_local,
                           &r.is_suspended};
    struct buffer b;
    uint32_t flow;
    (void)state;
    buffer_init(&b, 65536);
    for (size_t i = 0; i < COUNT_OF(flags); i++) {
        for (size_t k = 0; k < COUNT_OF(flags); k++)
            *flags[k] = k == i;
        buffer_clear(&b);
        record_put_recipient(&b, &r, 1);
        assert_true(record_get_recipient(buffer_slice(&b), &got, &flow));
        const bool seen[] = {got.was_warned,      got.is_force_needed, got.is_release_refused,
                             got.is_unnotifiable, got.is_relayed,      got.is_urgent,
                             got.wants_receipt,   got.is_passed_on,    got.is_local,
                             got.is_suspended};
        for (size_t k = 0; k < COUNT_OF(flags); k++)
            assert_int_equal(seen[k], k == i);
        queue_recipient_clear(&got);
    }
    buffer_free(&b);
}

static void a_guarded_message_survives_the_round_trip(void **state)
{
    struct queue_message got;
    struct buffer b;
    (void)state;
    buffer_init(&b, 65536);
    for (int is_guarded = 0; is_guarded < 2; is_guarded++) {
        struct queue_message want = {
            .reverse_path = text_a, .user = text_a, .envid = text_c, .is_guarded = is_guarded};
        buffer_clear(&b);
        record_put_message(&b, &want);
        assert_true(record_get_message(buffer_slice(&b), &got));
        assert_int_equal(got.is_guarded, is_guarded);
        assert_false(got.content_8bit || got.requiretls || got.is_redacted);
        queue_message_free(&got);
    }
    buffer_free(&b);
}

/* Every cut of every kind of record is refused, and so is anything behind its end. */
static void assert_only_whole(const struct buffer *b, bool (*get)(struct slice in))
{
    for (size_t len = 0; len < b->len; len++) {
        char *exact = malloc(len ? len : 1);
        memcpy(exact, b->data, len);
        assert_false(get((struct slice){exact, len}));
        free(exact);
    }
    assert_true(get(buffer_slice(b)));
}

static bool get_recipient(struct slice in)
{
    struct queue_recipient r;
    uint32_t flow;
    bool ok = record_get_recipient(in, &r, &flow);
    if (ok)
        queue_recipient_clear(&r);
    return ok;
}

static bool get_message(struct slice in)
{
    struct queue_message m;
    bool ok = record_get_message(in, &m);
    if (ok)
        queue_message_free(&m);
    return ok;
}

static bool get_account(struct slice in)
{
    struct queue_account a;
    bool ok = record_get_account(in, &a);
    if (ok)
        queue_account_clear(&a);
    return ok;
}

static void cut_records_are_refused(void **state)
{
    struct queue_recipient r = sample();
    struct queue_message m = {.reverse_path = text_a, .user = text_a, .envid = text_c};
    char aliases[2][ADDRESS_SIZE] = {"a@b.example", "c@d.example"};
    struct queue_account a = {.address = "x@y.example",
                              .sha256 = {.salt_len = 16, .key_len = 32},
                              .aliases = aliases,
                              .alias_count = 2};
    struct buffer b;
    (void)state;
    buffer_init(&b, 65536);
    record_put_recipient(&b, &r, 1);
    assert_only_whole(&b, get_recipient);
    assert_true(buffer_append_byte(&b, 'x'));
    assert_false(get_recipient(buffer_slice(&b)));
    buffer_clear(&b);
    record_put_message(&b, &m);
    assert_only_whole(&b, get_message);
    buffer_clear(&b);
    record_put_account(&b, &a);
    assert_only_whole(&b, get_account);
    buffer_free(&b);
}

static bool get_policy(struct slice in)
{
    struct queue_policy p;
    bool ok = record_get_policy(in, &p);
    queue_policy_clear(&p);
    return ok;
}

static bool get_posture(struct slice in)
{
    struct queue_posture p;
    return record_get_posture(in, &p);
}

static bool get_exceptions(struct slice in)
{
    struct queue_exception *list;
    size_t count;
    bool ok = record_get_exceptions(in, &list, &count);
    free(list);
    return ok;
}

static bool get_trial(struct slice in)
{
    struct queue_trial t;
    return record_get_trial(in, &t);
}

static bool get_tlsrpt_policy(struct slice in)
{
    struct queue_tlsrpt_policy p;
    bool ok = record_get_tlsrpt_policy(in, &p);
    free(p.strings);
    free(p.mx_hosts);
    return ok;
}

static bool get_tlsrpt_failure(struct slice in)
{
    struct queue_tlsrpt_failure f;
    return record_get_tlsrpt_failure(in, &f);
}

static void assert_refused_cut(struct buffer *b, bool (*get)(struct slice in))
{
    assert_only_whole(b, get);
    assert_true(buffer_append_byte(b, 'x'));
    assert_false(get(buffer_slice(b)));
    b->data[0] = RECORD_VERSION + 1;
    b->len--;
    assert_false(get(buffer_slice(b)));
    buffer_clear(b);
}

static void cut_records_of_learnt_things_are_refused(void **state)
{
    struct queue_policy policy = {.domain = "one.example", .id = "1", .text = text_a};
    struct queue_posture posture = {
        .domain = "one.example", .host = "mx.example", .refusal = "no", .protocol = "TLSv1.3"};
    struct queue_exception exceptions[2] = {{.domain = "one.example"}, {.domain = ".two.example"}};
    struct queue_trial trial = {.user = "a@b.example", .status = status_make(5, 7, 4)};
    struct queue_tlsrpt_policy counted = {.type = QUEUE_TLSRPT_STS, .strings = text_b};
    struct queue_tlsrpt_failure failure = {.cause = QUEUE_TLSRPT_STS_WEBPKI_INVALID};
    struct buffer b;
    (void)state;
    buffer_init(&b, 65536);
    record_put_policy(&b, &policy);
    assert_refused_cut(&b, get_policy);
    record_put_posture(&b, &posture);
    assert_refused_cut(&b, get_posture);
    record_put_exceptions(&b, exceptions, 2);
    assert_refused_cut(&b, get_exceptions);
    record_put_trial(&b, &trial);
    assert_refused_cut(&b, get_trial);
    record_put_tlsrpt_policy(&b, &counted);
    assert_refused_cut(&b, get_tlsrpt_policy);
    record_put_tlsrpt_failure(&b, &failure);
    assert_refused_cut(&b, get_tlsrpt_failure);
    buffer_free(&b);
}

static void numbers_out_of_range_are_refused(void **state)
{
    struct queue_trial trial = {.status = {.class = 6}};
    struct queue_tlsrpt_policy counted = {.type = (enum queue_tlsrpt_type)(QUEUE_TLSRPT_STS + 1)};
    struct queue_tlsrpt_failure failure = {
        .cause = (enum queue_tlsrpt_cause)(QUEUE_TLSRPT_STS_WEBPKI_INVALID + 1)};
    struct buffer b;
    (void)state;
    buffer_init(&b, 65536);
    record_put_trial(&b, &trial);
    assert_false(get_trial(buffer_slice(&b)));
    buffer_clear(&b);
    record_put_tlsrpt_policy(&b, &counted);
    assert_false(get_tlsrpt_policy(buffer_slice(&b)));
    buffer_clear(&b);
    record_put_tlsrpt_failure(&b, &failure);
    assert_false(get_tlsrpt_failure(buffer_slice(&b)));
    buffer_free(&b);
    /* A made-up count allocates nothing. */
    assert_false(get_exceptions(SLICE("\1\xff\xff\xff\xff")));
}

static void another_version_is_refused(void **state)
{
    struct queue_recipient r = sample();
    struct buffer b;
    (void)state;
    buffer_init(&b, 65536);
    record_put_recipient(&b, &r, 1);
    b.data[0] = RECORD_VERSION + 1;
    assert_false(get_recipient(buffer_slice(&b)));
    buffer_free(&b);
}

static void evidence_beyond_the_limit_is_cut(void **state)
{
    struct queue_recipient r = sample();
    struct queue_recipient got;
    struct buffer b;
    uint32_t flow;
    (void)state;
    r.evidence = malloc(RECORD_TEXT_MAX + 100);
    memset(r.evidence, 'x', RECORD_TEXT_MAX + 99);
    r.evidence[RECORD_TEXT_MAX + 99] = '\0';
    buffer_init(&b, 16 * RECORD_TEXT_MAX);
    record_put_recipient(&b, &r, 1);
    assert_true(record_get_recipient(buffer_slice(&b), &got, &flow));
    assert_int_equal(strlen(got.evidence), RECORD_TEXT_MAX);
    queue_recipient_clear(&got);
    buffer_free(&b);
    free(r.evidence);
}

static void due_keys_sort_by_lane_and_time(void **state)
{
    const struct queue_lane a = {"one.example", 7};
    const struct queue_lane b = {"one.example", 8};
    const struct queue_lane c = {"one.example.org", 1};
    const struct key keys[] = {
        key_due(&a, -5, 9, 9),        key_due(&a, 1, 9, 9),   key_due(&a, 255, 1, 1),
        key_due(&a, 256, 1, 1),       key_due(&a, 256, 1, 2), key_due(&a, 256, 256, 1),
        key_due(&a, 1LL << 40, 1, 1), key_due(&b, 0, 0, 0),   key_due(&c, 0, 0, 0),
    };
    (void)state;
    for (size_t i = 1; i < COUNT_OF(keys); i++) {
        size_t len = keys[i - 1].len < keys[i].len ? keys[i - 1].len : keys[i].len;
        int order = memcmp(keys[i - 1].bytes, keys[i].bytes, len);
        assert_true(order < 0);
    }
    struct queue_lane lane;
    int64_t due;
    uint64_t id;
    uint32_t index;
    assert_true(key_get_due(key_slice(&keys[5]), &lane, &due, &id, &index));
    assert_string_equal(lane.domain, "one.example");
    assert_int_equal(lane.flow, 7);
    assert_int_equal(due, 256);
    assert_int_equal(id, 256);
    assert_int_equal(index, 1);
    assert_false(
        key_get_due(slice_sub(key_slice(&keys[5]), 0, keys[5].len - 1), &lane, &due, &id, &index));
}

static void the_lane_is_what_stands_behind_the_last_at(void **state)
{
    static const struct {
        const char *address;
        const char *want;
    } cases[] = {
        {"bob@one.example", "one.example"},
        {"\"a@b\"@one.example", "one.example"},
        {"bob@[192.0.2.1]", "[192.0.2.1]"},
        {"postmaster", ""},
        {"", ""},
    };
    struct queue_lane lane;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        record_lane(slice_of(cases[i].address), 3, &lane);
        assert_string_equal(lane.domain, cases[i].want);
        assert_int_equal(lane.flow, 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_recipient_survives_the_round_trip),
        cmocka_unit_test(every_exemption_survives_the_round_trip),
        cmocka_unit_test(every_flag_of_a_recipient_has_a_bit_of_its_own),
        cmocka_unit_test(a_guarded_message_survives_the_round_trip),
        cmocka_unit_test(cut_records_are_refused),
        cmocka_unit_test(cut_records_of_learnt_things_are_refused),
        cmocka_unit_test(numbers_out_of_range_are_refused),
        cmocka_unit_test(another_version_is_refused),
        cmocka_unit_test(evidence_beyond_the_limit_is_cut),
        cmocka_unit_test(due_keys_sort_by_lane_and_time),
        cmocka_unit_test(the_lane_is_what_stands_behind_the_last_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
