#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "queue/room.h"
#include "queue/trial.h"
#include "tests/support/queue_desk.h"

#define MIB ((uint64_t)1 << 20)
#define DAY ((int64_t)86400)

static struct desk desk;

static int setup(void **state)
{
    (void)state;
    desk_open(&desk, 64 * MIB);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    desk_close(&desk);
    return 0;
}

static void add(int64_t at, uint64_t id, const char *user, const char *recipient,
                const char *reason)
{
    struct queue_trial t = {.at = at, .arrived_at = at, .id = id, .status = status_make(5, 7, 10)};
    snprintf(t.user, sizeof t.user, "%s", user);
    snprintf(t.recipient, sizeof t.recipient, "%s", recipient);
    snprintf(t.reason, sizeof t.reason, "%s", reason);
    queue_trial_add(desk.q, &t);
}

struct names {
    char text[512];
    size_t max;
};

static bool name_trial(void *context, const struct queue_trial *t)
{
    struct names *n = context;
    char status[STATUS_SIZE];
    size_t len = strlen(n->text);
    snprintf(n->text + len, sizeof n->text - len, "%lld %llu %s>%s %s %s; ", (long long)t->at,
             (unsigned long long)t->id, t->user, t->recipient, status_text(t->status, status),
             t->reason);
    return --n->max > 0;
}

static const char *walked(const char *user, int64_t since, size_t max)
{
    static struct names n;
    n = (struct names){.max = max};
    queue_trials_walk(desk.q, user, since, name_trial, &n);
    return n.text;
}

#define OF_BOB_7 "7 2 bob@x.example>d@e.example 5.7.10 no TLS; "
#define OF_ALICE_8 "8 1 Alice@x.example>b@c.example 5.7.10 too old; "
#define OF_ALICE_9 "9 1 Alice@x.example>b@c.example 5.7.10 later; "

static void findings_are_read_in_time_of_one_user_or_of_all(void **state)
{
    (void)state;
    add(9, 1, "Alice@x.example", "b@c.example", "later");
    add(8, 1, "Alice@x.example", "b@c.example", "too old");
    add(7, 2, "bob@x.example", "d@e.example", "no TLS");
    desk_flush(&desk);
    desk_reopen(&desk);
    desk_put(&desk, TABLE_TRIAL, SLICE("\0\0\0\0\0\0\0\10\0"), SLICE("\1damaged"));
    assert_string_equal(walked(NULL, 0, 9), OF_BOB_7 OF_ALICE_8 OF_ALICE_9);
    assert_string_equal(walked(NULL, -5, 2), OF_BOB_7 OF_ALICE_8);
    assert_string_equal(walked(NULL, 8, 9), OF_ALICE_8 OF_ALICE_9);
    assert_string_equal(walked("alice@X.example", 0, 9), OF_ALICE_8 OF_ALICE_9);
    assert_string_equal(walked("alice@x.example", 0, 1), OF_ALICE_8);
    assert_string_equal(walked("carol@x.example", 0, 9), "");
    assert_string_equal(walked("carol", 0, 9), "");
}

static bool has(int64_t arrived_at, uint64_t id, const char *recipient)
{
    struct queue_trial t = {.at = arrived_at + 5, .arrived_at = arrived_at, .id = id};
    snprintf(t.recipient, sizeof t.recipient, "%s", recipient);
    int found = queue_trial_has(desk.q, &t);
    assert_true(found >= 0);
    return found > 0;
}

static void what_was_found_of_a_recipient_is_known_at_the_next_attempt(void **state)
{
    (void)state;
    add(8, 1, "a@x.example", "b@c.example", "first");
    desk_flush(&desk);
    desk_reopen(&desk);
    assert_true(has(8, 1, "b@c.example"));
    assert_false(has(8, 1, "c@c.example"));
    assert_false(has(8, 2, "b@c.example"));
    assert_false(has(9, 1, "b@c.example"));
}

static void one_recipient_of_a_message_is_found_once(void **state)
{
    (void)state;
    add(8, 1, "a@x.example", "b@c.example", "first");
    add(8, 1, "a@x.example", "b@c.example", "second");
    add(8, 1, "a@x.example", "c@c.example", "other");
    desk_flush(&desk);
    const char *text = walked(NULL, 0, 9);
    assert_null(strstr(text, "first"));
    assert_non_null(strstr(text, "a@x.example>b@c.example 5.7.10 second; "));
    assert_non_null(strstr(text, "a@x.example>c@c.example 5.7.10 other; "));
}

static void findings_are_swept_after_30_days(void **state)
{
    (void)state;
    add(1000 * DAY, 1, "a@x.example", "b@c.example", "old");
    add(1000 * DAY + 1, 2, "a@x.example", "b@c.example", "young");
    desk_flush(&desk);
    desk_put(&desk, TABLE_TRIAL, SLICE("damaged"), SLICE("\1"));
    desk_sweep(&desk, 1030 * DAY - 1);
    assert_non_null(strstr(walked(NULL, 0, 9), "old"));
    desk_sweep(&desk, 1030 * DAY);
    assert_null(strstr(walked(NULL, 0, 9), "old"));
    assert_non_null(strstr(walked(NULL, 0, 9), "young"));
}

static void findings_take_their_share_only(void **state)
{
    char reason[QUEUE_TRIAL_REASON_SIZE];
    struct queue_status status;
    (void)state;
    memset(reason, 'r', sizeof reason);
    reason[sizeof reason - 1] = '\0';
    for (unsigned i = 0; i < 4000; i++) {
        add(i, i, "a@x.example", "b@c.example", reason);
        if (i % 256 == 255)
            desk_flush(&desk);
    }
    desk_flush(&desk);
    queue_status(desk.q, &status);
    assert_in_range(status.used_bytes, MIB / 2, MIB + MIB / 4);
    assert_string_equal(desk.last_event, "learning-dropped");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(findings_are_read_in_time_of_one_user_or_of_all),
        TEST(what_was_found_of_a_recipient_is_known_at_the_next_attempt),
        TEST(one_recipient_of_a_message_is_found_once),
        TEST(findings_are_swept_after_30_days),
        TEST(findings_take_their_share_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
