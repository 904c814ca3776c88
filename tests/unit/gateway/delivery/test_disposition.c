#include "gateway/delivery/disposition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define NOW ((int64_t)1800000000000)
#define MINUTE ((int64_t)60000)
#define HOUR (60 * MINUTE)

static char sender[] = "alice@example.org";
static char nobody[] = "";
static char owner[] = "owner@example.org";
static char recipient[] = "bob@example.net";

/* Everything a case needs; tests change what they are about. */
struct scene {
    struct delivery_settings settings;
    struct queue_message message;
    struct queue_recipient recipient;
    struct guarantee_conclusion conclusion;
    struct disposition_case c;
};

static struct disposition_case *scene_of(struct scene *s, enum guarantee_decision decision)
{
    memset(s, 0, sizeof *s);
    s->settings = (struct delivery_settings){.retry_first_ms = 5 * MINUTE,
                                             .retry_max_ms = 4 * HOUR,
                                             .lifetime_ms = 5 * 24 * HOUR,
                                             .warn_after_ms = 4 * HOUR,
                                             .hold_for_ms = 7 * 24 * HOUR};
    s->message =
        (struct queue_message){.reverse_path = sender, .user = sender, .arrived_at_ms = NOW};
    s->recipient = (struct queue_recipient){
        .id = 7, .index = 3, .address = recipient, .owner = sender, .started_at_ms = NOW};
    s->conclusion.decision = decision;
    s->conclusion.outcome = outcome_local(status_make(4, 4, 1), "why");
    s->c = (struct disposition_case){.settings = &s->settings,
                                     .message = &s->message,
                                     .recipient = &s->recipient,
                                     .conclusion = &s->conclusion,
                                     .owner_is_sender = true,
                                     .now_ms = NOW,
                                     .random = 512};
    return &s->c;
}

static void waits_double_up_to_the_maximum(void **state)
{
    (void)state;
    struct scene s;
    scene_of(&s, GUARANTEE_DEFER);
    static const struct {
        unsigned attempts;
        int64_t want;
    } cases[] = {{1, 5}, {2, 10}, {3, 20}, {6, 160}, {7, 240}, {8, 240}, {4000000000u, 240}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t low = disposition_delay_ms(&s.settings, cases[i].attempts, 0);
        int64_t high = disposition_delay_ms(&s.settings, cases[i].attempts, 1023);
        assert_int_equal(low, cases[i].want * MINUTE * 9 / 10);
        assert_int_equal(high, cases[i].want * MINUTE * 11 / 10);
    }
}

static void deferral_is_due_by_schedule_and_keeps_the_trouble(void **state)
{
    (void)state;
    struct scene s;
    struct disposition_case *c = scene_of(&s, GUARANTEE_DEFER);
    s.conclusion.trouble_since = 42;
    struct queue_result r = disposition_of(c);
    assert_int_equal(r.disposition, DISPOSITION_DEFERRED);
    assert_int_equal(r.id, 7);
    assert_int_equal(r.index, 3);
    assert_int_equal(r.trouble_since, 42);
    assert_int_equal(r.report, QUEUE_REPORT_NONE);
    assert_in_range(r.next_attempt_at_ms, NOW + 5 * MINUTE * 9 / 10, NOW + 5 * MINUTE * 11 / 10);
}

static void the_end_of_patience_has_an_attempt(void **state)
{
    (void)state;
    struct scene s;
    struct disposition_case *c = scene_of(&s, GUARANTEE_DEFER);
    s.recipient.attempts = 9;
    s.conclusion.patience_ends_at = NOW / 1000 + 90;
    assert_int_equal(disposition_of(c).next_attempt_at_ms, NOW + 90000);
    s.conclusion.patience_ends_at = NOW / 1000; /* over this moment: not in a tight circle */
    assert_int_equal(disposition_of(c).next_attempt_at_ms, NOW + 1000);
}

static void lifetime_ends_in_failure_that_is_reported(void **state)
{
    (void)state;
    struct scene s;
    struct disposition_case *c = scene_of(&s, GUARANTEE_DEFER);
    s.recipient.started_at_ms = NOW - s.settings.lifetime_ms;
    struct queue_result r = disposition_of(c);
    assert_int_equal(r.disposition, DISPOSITION_FAILED);
    assert_int_equal(r.report, QUEUE_REPORT_FAILURE);
    s.recipient.started_at_ms += 5000; /* the last attempt falls on the end */
    s.recipient.was_warned = true;
    assert_int_equal(disposition_of(c).next_attempt_at_ms, NOW + 5000);
}

static void a_delay_is_reported_once_and_on_time(void **state)
{
    (void)state;
    struct scene s;
    struct disposition_case *c = scene_of(&s, GUARANTEE_DEFER);
    s.recipient.attempts = 8;
    s.recipient.started_at_ms = NOW - 4 * HOUR + 10 * MINUTE;
    assert_int_equal(disposition_of(c).next_attempt_at_ms, NOW + 10 * MINUTE);
    s.recipient.started_at_ms = NOW - 4 * HOUR;
    assert_int_equal(disposition_of(c).report, QUEUE_REPORT_DELAY);
    s.recipient.was_warned = true;
    assert_int_equal(disposition_of(c).report, QUEUE_REPORT_NONE);
    s.recipient.was_warned = false;
    s.recipient.notify = NOTIFY_FAILURE;
    assert_int_equal(disposition_of(c).report, QUEUE_REPORT_NONE);
    s.recipient.notify = NOTIFY_FAILURE | NOTIFY_DELAY;
    assert_int_equal(disposition_of(c).report, QUEUE_REPORT_DELAY);
    s.message.reverse_path = nobody;
    assert_int_equal(disposition_of(c).report, QUEUE_REPORT_NONE);
    s.message.reverse_path = sender;
    s.settings.warn_after_ms = 0;
    assert_int_equal(disposition_of(c).report, QUEUE_REPORT_NONE);
}

static void failure_is_reported_as_notify_asks(void **state)
{
    (void)state;
    static const struct {
        unsigned notify;
        char *reverse_path;
        enum queue_report want;
    } cases[] = {
        {NOTIFY_DEFAULT, sender, QUEUE_REPORT_FAILURE},
        {NOTIFY_FAILURE, sender, QUEUE_REPORT_FAILURE},
        {NOTIFY_NEVER, sender, QUEUE_REPORT_NONE},
        {NOTIFY_SUCCESS, sender, QUEUE_REPORT_NONE},
        {NOTIFY_DEFAULT, nobody, QUEUE_REPORT_NONE},
        {NOTIFY_FAILURE, nobody, QUEUE_REPORT_NONE},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct scene s;
        struct disposition_case *c = scene_of(&s, GUARANTEE_FAIL);
        s.recipient.notify = cases[i].notify;
        s.message.reverse_path = cases[i].reverse_path;
        struct queue_result r = disposition_of(c);
        assert_int_equal(r.disposition, DISPOSITION_FAILED);
        assert_int_equal(r.report, cases[i].want);
    }
}

static void success_is_reported_only_where_asked_and_not_passed_on(void **state)
{
    (void)state;
    struct scene s;
    struct disposition_case *c = scene_of(&s, GUARANTEE_DELIVERED);
    assert_int_equal(disposition_of(c).report, QUEUE_REPORT_NONE);
    s.recipient.notify = NOTIFY_SUCCESS;
    assert_int_equal(disposition_of(c).report, QUEUE_REPORT_SUCCESS);
    c->is_dsn_passed_on = true;
    assert_int_equal(disposition_of(c).report, QUEUE_REPORT_NONE);
}

/* The account asks for it whatever the host offers; RFC 3461 lets NEVER and a null reverse-path
 * forbid it. NOTIFY stays what the client said. */
static void an_account_that_wants_receipts_has_one_for_each_recipient(void **state)
{
    (void)state;
    static const struct {
        unsigned notify;
        bool is_dsn_passed_on;
        char *reverse_path;
        bool want, want_passed_on;
    } cases[] = {
        {NOTIFY_DEFAULT, false, sender, true, false}, {NOTIFY_DEFAULT, true, sender, true, false},
        {NOTIFY_FAILURE, true, sender, true, false},  {NOTIFY_SUCCESS, false, sender, true, false},
        {NOTIFY_SUCCESS, true, sender, true, true},   {NOTIFY_NEVER, false, sender, false, false},
        {NOTIFY_NEVER, true, sender, false, false},   {NOTIFY_DEFAULT, false, nobody, false, false},
        {NOTIFY_SUCCESS, true, nobody, false, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct scene s;
        struct disposition_case *c = scene_of(&s, GUARANTEE_DELIVERED);
        s.recipient.wants_receipt = true;
        s.recipient.notify = cases[i].notify;
        s.message.reverse_path = cases[i].reverse_path;
        c->is_dsn_passed_on = cases[i].is_dsn_passed_on;
        struct queue_result r = disposition_of(c);
        assert_int_equal(r.report, cases[i].want ? QUEUE_REPORT_SUCCESS : QUEUE_REPORT_NONE);
        assert_int_equal(r.is_passed_on, cases[i].want_passed_on);
        assert_int_equal(s.recipient.notify, cases[i].notify);
    }
}

static void a_receipt_changes_nothing_of_other_notices(void **state)
{
    (void)state;
    struct scene s;
    struct disposition_case *c = scene_of(&s, GUARANTEE_FAIL);
    s.recipient.wants_receipt = true;
    assert_int_equal(disposition_of(c).report, QUEUE_REPORT_FAILURE);
    s.recipient.notify = NOTIFY_NEVER;
    assert_int_equal(disposition_of(c).report, QUEUE_REPORT_NONE);
}

static void a_suspended_stop_is_kept_as_such(void **state)
{
    (void)state;
    struct scene s;
    struct disposition_case *c = scene_of(&s, GUARANTEE_DEFER);
    assert_false(disposition_of(c).is_suspended);
    s.conclusion.is_suspended = true;
    assert_true(disposition_of(c).is_suspended);
}

/* As of the stop it stands for; however long it takes, nobody may find out by himself. */
static void a_suspended_stop_is_told_at_once_to_whom_the_stop_would_be(void **state)
{
    (void)state;
    static const struct {
        char *reverse_path;
        bool owner_is_sender;
        unsigned notify;
        bool was_warned, was_suspended;
        bool want;
    } cases[] = {
        {sender, true, NOTIFY_DEFAULT, false, false, true},
        {sender, true, NOTIFY_FAILURE, false, false, true},
        {sender, true, NOTIFY_NEVER, false, false, false},
        {sender, true, NOTIFY_DEFAULT, false, true, true}, /* it was not told then */
        {sender, true, NOTIFY_DEFAULT, true, false, false},
        {sender, true, NOTIFY_DELAY, true, true, false},
        {sender, false, NOTIFY_NEVER, false, false, true},
        {sender, false, NOTIFY_DEFAULT, true, false, true}, /* the sender was warned */
        {sender, false, NOTIFY_DEFAULT, true, true, false},
        {nobody, true, NOTIFY_DEFAULT, false, false, false},
        {nobody, false, NOTIFY_DEFAULT, false, false, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct scene s;
        struct disposition_case *c = scene_of(&s, GUARANTEE_DEFER);
        s.conclusion.is_suspended = true;
        s.settings.warn_after_ms = i % 2 ? 0 : 4 * HOUR;
        s.message.reverse_path = cases[i].reverse_path;
        s.recipient.owner = cases[i].owner_is_sender ? sender : owner;
        s.recipient.notify = cases[i].notify;
        s.recipient.was_warned = cases[i].was_warned;
        s.recipient.is_suspended = cases[i].was_suspended;
        c->owner_is_sender = cases[i].owner_is_sender;
        struct queue_result r = disposition_of(c);
        assert_int_equal(r.disposition, DISPOSITION_DEFERRED);
        if (r.report != (cases[i].want ? QUEUE_REPORT_DELAY : QUEUE_REPORT_NONE))
            fail_msg("case %zu: report %d", i, (int)r.report);
    }
}

/* GUARANTEE.md section 4: who hears of a stop, and what is kept where nobody does. */
static void a_stop_is_told_or_held(void **state)
{
    (void)state;
    static const struct {
        char *reverse_path;
        bool owner_is_sender;
        unsigned notify;
        bool discards;
        const char *told; /* "" nobody */
        bool want_discarded;
    } cases[] = {
        {sender, true, NOTIFY_DEFAULT, false, sender, false},
        {sender, true, NOTIFY_DEFAULT, true, sender, true},
        {sender, true, NOTIFY_SUCCESS, false, sender,
         false}, /* a stop is heard of unless NEVER was said */
        {sender, true, NOTIFY_NEVER, false, nobody, false},
        {sender, true, NOTIFY_NEVER, true, nobody, false},
        {sender, false, NOTIFY_DEFAULT, false, owner, false},
        {sender, false, NOTIFY_NEVER, true, owner,
         true}, /* NEVER is the sender's word, not the owner's */
        {nobody, true, NOTIFY_DEFAULT, true, nobody, false},
        {nobody, false, NOTIFY_DEFAULT, true, nobody, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct scene s;
        struct disposition_case *c = scene_of(&s, GUARANTEE_STOP);
        s.message.reverse_path = cases[i].reverse_path;
        s.recipient.owner = cases[i].owner_is_sender ? sender : owner;
        s.recipient.notify = cases[i].notify;
        s.settings.discards_stopped = cases[i].discards;
        s.conclusion.is_force_needed = true;
        c->owner_is_sender = cases[i].owner_is_sender;
        struct queue_result r = disposition_of(c);
        assert_int_equal(r.disposition, DISPOSITION_HELD);
        assert_string_equal(
            disposition_stop_addressee(&s.message, &s.recipient, c->owner_is_sender),
            cases[i].told);
        assert_int_equal(r.is_unnotifiable, cases[i].told[0] == '\0');
        assert_int_equal(r.report, cases[i].told[0] ? QUEUE_REPORT_FAILURE : QUEUE_REPORT_NONE);
        assert_int_equal(r.is_discarded, cases[i].want_discarded);
        assert_int_equal(r.expires_at_ms, NOW + s.settings.hold_for_ms);
        assert_true(r.is_force_needed);
    }
}

/* Held, it would say to nobody what it has to say; released, it would go in clear. */
static void a_notice_waits_where_other_mail_is_stopped(void **state)
{
    (void)state;
    struct scene s;
    struct disposition_case *c = scene_of(&s, GUARANTEE_STOP);
    s.message.origin = ORIGIN_NOTICE;
    s.message.reverse_path = nobody;
    assert_int_equal(disposition_of(c).disposition, DISPOSITION_DEFERRED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_double_up_to_the_maximum),
        cmocka_unit_test(deferral_is_due_by_schedule_and_keeps_the_trouble),
        cmocka_unit_test(the_end_of_patience_has_an_attempt),
        cmocka_unit_test(lifetime_ends_in_failure_that_is_reported),
        cmocka_unit_test(a_delay_is_reported_once_and_on_time),
        cmocka_unit_test(failure_is_reported_as_notify_asks),
        cmocka_unit_test(success_is_reported_only_where_asked_and_not_passed_on),
        cmocka_unit_test(an_account_that_wants_receipts_has_one_for_each_recipient),
        cmocka_unit_test(a_receipt_changes_nothing_of_other_notices),
        cmocka_unit_test(a_suspended_stop_is_kept_as_such),
        cmocka_unit_test(a_suspended_stop_is_told_at_once_to_whom_the_stop_would_be),
        cmocka_unit_test(a_stop_is_told_or_held),
        cmocka_unit_test(a_notice_waits_where_other_mail_is_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
