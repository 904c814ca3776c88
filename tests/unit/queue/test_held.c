#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/queue_desk.h"

#define MIB ((uint64_t)1 << 20)

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

static struct address address_of(const char *text)
{
    struct address a;
    assert_int_equal(address_parse(slice_of(text), &a), ADDRESS_OK);
    return a;
}

/* A message to three, of whom the first two are held; the flags are the first one's. */
static uint64_t held_message(enum queue_report report, bool is_force_needed,
                             bool is_release_refused)
{
    static const char *const three[] = {"a@one.example", "B@one.example", "c@two.example"};
    struct queue_recipient r[3];
    uint64_t id;
    assert_int_equal(desk_queue(&desk, "alice@s.example", three, 3, 10, 1000, &id), 0);
    assert_int_equal(desk_take(&desk, 1000, r, 3), 3);
    for (size_t i = 0; i < 3; i++) {
        if (r[i].index == 2) {
            queue_give_back(desk.q, id, 2);
        } else {
            struct queue_result result = desk_result(&r[i], DISPOSITION_HELD, report, 2000);
            result.is_force_needed = is_force_needed && r[i].index == 0;
            result.is_release_refused = is_release_refused && r[i].index == 0;
            result.is_unnotifiable = report == QUEUE_REPORT_NONE;
            assert_int_equal(desk_settle(&desk, &result, 1), 0);
        }
        queue_recipient_clear(&r[i]);
    }
    return id;
}

static int release(uint64_t id, const char *to, enum queue_release_mode mode)
{
    struct desk_answer a = {0};
    struct address address;
    if (to)
        address = address_of(to);
    queue_release(desk.q, id, &address, to ? 1 : 0, mode, 9000, &desk.poster, desk_done, &a);
    return desk_wait(&desk, &a);
}

static enum queue_state state_of(uint64_t id, uint32_t index)
{
    struct queue_recipient r;
    assert_int_equal(desk_recipient(&desk, id, index, &r), 0);
    enum queue_state state = r.state;
    queue_recipient_clear(&r);
    return state;
}

static bool has_order(void)
{
    uint64_t id;
    int64_t next;
    return queue_notices_due(desk.q, INT64_MAX, &id, 1, &next) > 0;
}

static void release_starts_all_anew_without_the_guarantee(void **state)
{
    struct queue_recipient r[3];
    struct queue_recipient got;
    struct queue_status status;
    (void)state;
    uint64_t id = held_message(QUEUE_REPORT_FAILURE, false, false);
    assert_int_equal(release(id, NULL, QUEUE_RELEASE), 0);
    desk_reopen(&desk);
    queue_status(desk.q, &status);
    assert_int_equal(status.held, 0);
    assert_int_equal(status.queued, 3);
    assert_int_equal(desk_recipient(&desk, id, 0, &got), 0);
    assert_int_equal(got.state, QUEUE_QUEUED);
    assert_int_equal(got.exemption, EXEMPTION_RELEASE);
    assert_int_equal(got.level, LEVEL_ENCRYPT);
    assert_int_equal(got.due_at_ms, 9000);
    assert_int_equal(got.started_at_ms, 9000);
    assert_int_equal(got.attempts, 0);
    assert_int_equal(got.report, QUEUE_REPORT_NONE);
    assert_string_equal(got.evidence, "");
    queue_recipient_clear(&got);
    assert_int_equal(desk_take(&desk, 9000, r, 3), 3);
    for (size_t i = 0; i < 3; i++)
        queue_recipient_clear(&r[i]);
    assert_false(has_order());
}

static void release_of_one_recipient_leaves_the_others_held(void **state)
{
    (void)state;
    uint64_t id = held_message(QUEUE_REPORT_FAILURE, false, false);
    assert_int_equal(release(id, "b@ONE.example", QUEUE_RELEASE), 0);
    assert_int_equal(state_of(id, 0), QUEUE_HELD);
    assert_int_equal(state_of(id, 1), QUEUE_QUEUED);
    assert_true(has_order());
    assert_int_equal(release(id, "b@one.example", QUEUE_RELEASE), -ENOENT);
    assert_int_equal(release(id, "c@two.example", QUEUE_RELEASE), -ENOENT);
    assert_int_equal(release(id, "nobody@one.example", QUEUE_RELEASE), -ENOENT);
    assert_int_equal(release(4711, NULL, QUEUE_RELEASE), -ENOENT);
}

static void release_is_refused_where_it_may_not_be_and_then_nothing_is_released(void **state)
{
    struct queue_recipient got;
    (void)state;
    uint64_t forced = held_message(QUEUE_REPORT_FAILURE, true, false);
    uint64_t refused = held_message(QUEUE_REPORT_FAILURE, false, true);
    assert_int_equal(release(forced, NULL, QUEUE_RELEASE), -EPERM);
    assert_int_equal(release(refused, NULL, QUEUE_RELEASE), -EPERM);
    assert_int_equal(release(refused, NULL, QUEUE_RELEASE_FORCE), -EPERM);
    assert_int_equal(state_of(forced, 1), QUEUE_HELD);
    assert_int_equal(state_of(refused, 1), QUEUE_HELD);
    assert_int_equal(release(forced, NULL, QUEUE_RELEASE_FORCE), 0);
    assert_int_equal(release(refused, NULL, QUEUE_RELEASE_RECHECK), 0);
    assert_int_equal(desk_recipient(&desk, forced, 0, &got), 0);
    assert_int_equal(got.exemption, EXEMPTION_RELEASE_FORCE);
    queue_recipient_clear(&got);
    assert_int_equal(desk_recipient(&desk, refused, 0, &got), 0);
    assert_int_equal(got.exemption, EXEMPTION_NONE);
    queue_recipient_clear(&got);
}

/* One held recipient whose flag was lifted at reception. */
static uint64_t exempt_message(void)
{
    struct envelope e;
    struct desk_answer a = {0};
    struct queue_recipient r;
    struct queue_incoming *in = queue_incoming_begin(desk.q, &desk.poster);
    uint64_t id = queue_incoming_id(in);
    envelope_init(&e);
    envelope_add(&e, "bob@one.example")->exemption = EXEMPTION_FORWARD;
    queue_incoming_commit(in, &e, 1000, 1000, desk_done, &a);
    envelope_free(&e);
    assert_int_equal(desk_wait(&desk, &a), 0);
    assert_int_equal(desk_take(&desk, 1000, &r, 1), 1);
    struct queue_result result = desk_result(&r, DISPOSITION_HELD, QUEUE_REPORT_NONE, 2000);
    assert_int_equal(desk_settle(&desk, &result, 1), 0);
    queue_recipient_clear(&r);
    return id;
}

static void recheck_brings_back_the_exemption_of_reception(void **state)
{
    static const struct {
        enum queue_release_mode mode;
        enum exemption want;
    } cases[] = {
        {QUEUE_RELEASE_RECHECK, EXEMPTION_FORWARD}, {QUEUE_RELEASE, EXEMPTION_RELEASE},
        {QUEUE_RELEASE_RECHECK, EXEMPTION_FORWARD}, {QUEUE_RELEASE_FORCE, EXEMPTION_RELEASE_FORCE},
        {QUEUE_RELEASE, EXEMPTION_RELEASE},         {QUEUE_RELEASE_RECHECK, EXEMPTION_FORWARD},
    };
    struct queue_recipient r;
    (void)state;
    uint64_t id = exempt_message();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(release(id, NULL, cases[i].mode), 0);
        desk_reopen(&desk);
        assert_int_equal(desk_take(&desk, 9000, &r, 1), 1);
        assert_int_equal(r.exemption, cases[i].want);
        assert_true(r.is_urgent);
        struct queue_result result = desk_result(&r, DISPOSITION_HELD, QUEUE_REPORT_NONE, 9500);
        assert_int_equal(desk_settle(&desk, &result, 1), 0);
        queue_recipient_clear(&r);
        assert_int_equal(desk_recipient(&desk, id, 0, &r), 0);
        assert_false(r.is_urgent);
        queue_recipient_clear(&r);
    }
}

static void drop_removes_held_recipients_only(void **state)
{
    struct desk_answer a = {0};
    struct desk_answer again = {0};
    struct queue_recipient *list;
    size_t count;
    (void)state;
    uint64_t id = held_message(QUEUE_REPORT_NONE, false, false);
    queue_drop(desk.q, id, &desk.poster, desk_done, &a);
    assert_int_equal(desk_wait(&desk, &a), 0);
    assert_int_equal(queue_recipients_read(desk.q, id, &list, &count), 0);
    assert_int_equal(count, 1);
    assert_int_equal(list[0].index, 2);
    queue_recipients_free(list, count);
    queue_drop(desk.q, id, &desk.poster, desk_done, &again);
    assert_int_equal(desk_wait(&desk, &again), -ENOENT);
}

static void a_dropped_stop_is_still_reported(void **state)
{
    struct desk_answer a = {0};
    struct queue_status status;
    (void)state;
    uint64_t id = held_message(QUEUE_REPORT_FAILURE, false, false);
    queue_drop(desk.q, id, &desk.poster, desk_done, &a);
    assert_int_equal(desk_wait(&desk, &a), 0);
    assert_int_equal(state_of(id, 0), QUEUE_DISCARDED);
    queue_status(desk.q, &status);
    assert_int_equal(status.held, 0);
    assert_true(has_order());
}

static void remove_takes_the_message_with_all_that_belongs_to_it(void **state)
{
    struct desk_answer a = {0};
    struct desk_answer again = {0};
    struct queue_status status;
    struct queue_recipient r;
    (void)state;
    uint64_t id = held_message(QUEUE_REPORT_FAILURE, false, false);
    queue_remove(desk.q, id, &desk.poster, desk_done, &a);
    assert_int_equal(desk_wait(&desk, &a), 0);
    queue_status(desk.q, &status);
    assert_int_equal(status.messages + status.held + status.queued, 0);
    assert_false(has_order());
    assert_int_equal(desk_take(&desk, INT64_MAX, &r, 1), 0);
    queue_remove(desk.q, id, &desk.poster, desk_done, &again);
    assert_int_equal(desk_wait(&desk, &again), -ENOENT);
}

static bool count_visit(void *context, const struct queue_message *m,
                        const struct queue_recipient *r, size_t count)
{
    (void)m;
    (void)r;
    *(size_t *)context += count;
    return true;
}

static void held_walk_shows_messages_that_have_held_recipients(void **state)
{
    size_t count = 0;
    (void)state;
    (void)desk_one(&desk, "bob@one.example", 5000);
    uint64_t id = held_message(QUEUE_REPORT_FAILURE, false, false);
    (void)desk_one(&desk, "bob@one.example", 5000);
    assert_int_equal(queue_held_walk(desk.q, 0, 10, count_visit, &count), id);
    assert_int_equal(count, 3);
}

static void held_mail_expires_once_its_notice_is_made(void **state)
{
    struct desk_answer a[3] = {{0}};
    struct queue_status status;
    int64_t over = 2000 + 7 * 86400000LL;
    (void)state;
    uint64_t unreported = held_message(QUEUE_REPORT_FAILURE, false, false);
    uint64_t silent = held_message(QUEUE_REPORT_NONE, false, false);
    queue_expire_held(desk.q, over - 1, &desk.poster, desk_done, &a[0]);
    assert_int_equal(desk_wait(&desk, &a[0]), 0);
    queue_status(desk.q, &status);
    assert_int_equal(status.held, 4);
    queue_expire_held(desk.q, over, &desk.poster, desk_done, &a[1]);
    assert_int_equal(desk_wait(&desk, &a[1]), 0);
    queue_status(desk.q, &status);
    assert_int_equal(status.held, 2);
    assert_int_equal(state_of(silent, 2), QUEUE_QUEUED);
    assert_int_equal(desk.event_count, 2);
    assert_string_equal(desk.last_event, "held-expired");

    struct queue_reported reported[] = {{0, QUEUE_REPORT_FAILURE, 2000, 0},
                                        {1, QUEUE_REPORT_FAILURE, 2000, 0}};
    struct desk_answer made = {0};
    queue_notices_commit(desk.q, unreported, reported, 2, NULL, 0, &desk.poster, desk_done, &made);
    assert_int_equal(desk_wait(&desk, &made), 0);
    queue_expire_held(desk.q, over, &desk.poster, desk_done, &a[2]);
    assert_int_equal(desk_wait(&desk, &a[2]), 0);
    queue_status(desk.q, &status);
    assert_int_equal(status.held, 0);
}

static void long_jobs_go_on_until_all_is_done(void **state)
{
    static char names[1100][32];
    static const char *list[1100];
    static struct queue_recipient r[1100];
    static struct queue_result results[1100];
    struct desk_answer a = {0};
    struct queue_status before, after;
    uint64_t id;
    (void)state;
    for (size_t i = 0; i < 1100; i++) {
        snprintf(names[i], sizeof names[i], "u%zu@one.example", i);
        list[i] = names[i];
    }
    for (int round = 0; round < 2; round++) {
        assert_int_equal(desk_queue(&desk, "a@s.example", list, 1100, 10, 1000, &id), 0);
        assert_int_equal(desk_take(&desk, 1000, r, 1100), 1100);
        for (size_t i = 0; i < 1100; i++)
            results[i] = desk_result(&r[i], DISPOSITION_DEFERRED, QUEUE_REPORT_NONE, 2000);
        assert_int_equal(desk_settle(&desk, results, 1100), 0);
        for (size_t i = 0; i < 1100; i++)
            queue_recipient_clear(&r[i]);
    }
    queue_status(desk.q, &before);
    queue_retry(desk.q, 0, 3000, &desk.poster, desk_done, &a);
    assert_int_equal(desk_wait(&desk, &a), 0);
    queue_status(desk.q, &after);
    assert_int_equal(after.commits - before.commits, 3);
    for (int round = 0; round < 2; round++) {
        size_t count = desk_take(&desk, 3000, r, 1100);
        assert_int_equal(count, 1100);
        for (size_t i = 0; i < count; i++)
            queue_recipient_clear(&r[i]);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(release_starts_all_anew_without_the_guarantee),
        TEST(release_of_one_recipient_leaves_the_others_held),
        TEST(release_is_refused_where_it_may_not_be_and_then_nothing_is_released),
        TEST(recheck_brings_back_the_exemption_of_reception),
        TEST(drop_removes_held_recipients_only),
        TEST(a_dropped_stop_is_still_reported),
        TEST(remove_takes_the_message_with_all_that_belongs_to_it),
        TEST(held_walk_shows_messages_that_have_held_recipients),
        TEST(held_mail_expires_once_its_notice_is_made),
        TEST(long_jobs_go_on_until_all_is_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
