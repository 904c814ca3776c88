#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "queue/room.h"
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

static int64_t order_of(uint64_t id)
{
    uint64_t ids[16];
    int64_t next;
    for (int64_t at = 0; at < INT64_MAX;) {
        ptrdiff_t count = queue_notices_due(desk.q, at, ids, COUNT_OF(ids), &next);
        for (ptrdiff_t i = 0; i < count; i++) {
            if (ids[i] == id)
                return at;
        }
        at = next;
    }
    return -1;
}

static int commit(uint64_t id, const struct queue_reported *reported, size_t reported_count,
                  const char *to, uint64_t *notice_id)
{
    struct desk_answer a = {0};
    struct queue_notice notice = {.content = SLICE("Subject: Undelivered\r\n\r\nSorry.\r\n")};
    if (to) {
        envelope_init(&notice.envelope);
        notice.envelope.origin = ORIGIN_NOTICE;
        notice.envelope.is_redacted = true;
        (void)envelope_add(&notice.envelope, to);
        notice.id = *notice_id = queue_notice_id(desk.q);
    }
    queue_notices_commit(desk.q, id, reported, reported_count, &notice, to ? 1 : 0, &desk.poster,
                         desk_done, &a);
    envelope_free(&notice.envelope);
    return desk_wait(&desk, &a);
}

static void settle(const struct queue_recipient *r, enum disposition disposition,
                   enum queue_report report, int64_t now_ms)
{
    struct queue_result result = desk_result(r, disposition, report, now_ms);
    assert_int_equal(desk_settle(&desk, &result, 1), 0);
}

static void clear(struct queue_recipient *r, size_t count)
{
    for (size_t i = 0; i < count; i++)
        queue_recipient_clear(&r[i]);
}

static void note(void *context, int64_t due_at_ms)
{
    *(int64_t *)context = due_at_ms;
}

static void the_only_recipients_stop_is_ordered_at_once(void **state)
{
    struct queue_recipient r;
    int64_t told = 0;
    (void)state;
    struct queue_notice_watch *w = queue_watch_notices(desk.q, &desk.poster, note, &told);
    uint64_t id = desk_one(&desk, "bob@one.example", 1000);
    assert_int_equal(desk_take(&desk, 1000, &r, 1), 1);
    settle(&r, DISPOSITION_HELD, QUEUE_REPORT_FAILURE, 2000);
    desk_run(&desk);
    assert_int_equal(order_of(id), 2000);
    assert_int_equal(told, 2000);
    queue_unwatch_notices(w);
    clear(&r, 1);

    /* The order outlives the process, and the next watcher hears of it. */
    desk_reopen(&desk);
    told = 0;
    w = queue_watch_notices(desk.q, &desk.poster, note, &told);
    desk_run(&desk);
    assert_int_equal(told, 2000);
    queue_unwatch_notices(w);
}

static void
a_stop_waits_a_second_for_others_first_attempts_and_no_longer_than_they_take(void **state)
{
    static const char *const three[] = {"a@one.example", "b@one.example", "c@one.example"};
    struct queue_recipient r[3];
    uint64_t id;
    (void)state;
    assert_int_equal(desk_queue(&desk, "a@s.example", three, 3, 10, 1000, &id), 0);
    assert_int_equal(desk_take(&desk, 1000, r, 3), 3);
    settle(&r[0], DISPOSITION_FAILED, QUEUE_REPORT_FAILURE, 2000);
    assert_int_equal(order_of(id), 3000);
    settle(&r[1], DISPOSITION_DEFERRED, QUEUE_REPORT_NONE, 2100);
    assert_int_equal(order_of(id), 3000);
    settle(&r[2], DISPOSITION_DELIVERED, QUEUE_REPORT_NONE, 2200);
    assert_int_equal(order_of(id), 2200);
    clear(r, 3);
}

static void orders_that_can_not_be_read_are_no_empty_list(void **state)
{
    static struct txn *views[2048];
    struct queue_recipient r;
    uint64_t ids[4];
    int64_t next = 0;
    int64_t told = -1;
    size_t count = 0;
    (void)state;
    uint64_t id = desk_one(&desk, "bob@one.example", 1000);
    assert_int_equal(desk_take(&desk, 1000, &r, 1), 1);
    settle(&r, DISPOSITION_HELD, QUEUE_REPORT_FAILURE, 2000);
    clear(&r, 1);
    while (count < COUNT_OF(views) && (views[count] = store_view(desk.q->store)) != NULL)
        count++;
    assert_int_equal(queue_notices_due(desk.q, 9000, ids, COUNT_OF(ids), &next), -EIO);
    struct queue_notice_watch *w = queue_watch_notices(desk.q, &desk.poster, note, &told);
    while (count > 0)
        store_view_end(views[--count]);
    /* Told to look, and then it is there. */
    desk_run(&desk);
    assert_int_equal(told, 0);
    assert_int_equal(queue_notices_due(desk.q, 9000, ids, COUNT_OF(ids), &next), 1);
    assert_int_equal(ids[0], id);
    queue_unwatch_notices(w);
}

static void nothing_to_report_orders_nothing(void **state)
{
    struct queue_recipient r;
    (void)state;
    uint64_t id = desk_one(&desk, "bob@one.example", 1000);
    assert_int_equal(desk_take(&desk, 1000, &r, 1), 1);
    settle(&r, DISPOSITION_HELD, QUEUE_REPORT_NONE, 2000);
    assert_int_equal(order_of(id), -1);
    clear(&r, 1);
}

static void a_committed_notice_is_mail_and_what_it_said_is_reported(void **state)
{
    static const char *const two[] = {"a@one.example", "b@one.example"};
    struct queue_recipient r[2];
    struct queue_recipient got;
    struct queue_message m;
    struct queue_status status;
    uint64_t id, notice_id = 0;
    (void)state;
    assert_int_equal(desk_queue(&desk, "alice@s.example", two, 2, 10, 1000, &id), 0);
    assert_int_equal(desk_take(&desk, 1000, r, 2), 2);
    settle(&r[0], DISPOSITION_HELD, QUEUE_REPORT_FAILURE, 2000);
    settle(&r[1], DISPOSITION_FAILED, QUEUE_REPORT_FAILURE, 2001);
    struct queue_reported reported[] = {{r[0].index, QUEUE_REPORT_FAILURE, 2000, 0},
                                        {r[1].index, QUEUE_REPORT_FAILURE, 2001, 0}};
    assert_int_equal(commit(id, reported, 2, "alice@s.example", &notice_id), 0);
    desk_reopen(&desk);
    assert_int_equal(order_of(id), -1);
    assert_int_equal(desk_recipient(&desk, id, r[0].index, &got), 0);
    assert_int_equal(got.state, QUEUE_HELD);
    assert_int_equal(got.report, QUEUE_REPORT_NONE);
    clear(&got, 1);
    assert_int_equal(desk_recipient(&desk, id, r[1].index, &got), -ENOENT);
    clear(r, 2);

    assert_int_equal(queue_message_read(desk.q, notice_id, &m), 0);
    assert_int_equal(m.origin, ORIGIN_NOTICE);
    assert_true(m.is_redacted);
    assert_string_equal(m.reverse_path, "");
    queue_message_free(&m);
    assert_int_equal(desk_take(&desk, INT64_MAX, &got, 1), 1);
    assert_int_equal(got.id, notice_id);
    assert_string_equal(got.address, "alice@s.example");
    clear(&got, 1);
    queue_status(desk.q, &status);
    assert_int_equal(status.messages, 2);
    assert_int_equal(status.held, 1);
    assert_int_equal(status.queued, 1);
}

static void the_message_goes_with_its_last_reported_recipient(void **state)
{
    struct queue_recipient r;
    struct queue_message m;
    (void)state;
    uint64_t id = desk_one(&desk, "bob@one.example", 1000);
    assert_int_equal(desk_take(&desk, 1000, &r, 1), 1);
    settle(&r, DISPOSITION_DELIVERED, QUEUE_REPORT_SUCCESS, 2000);
    assert_int_equal(queue_message_read(desk.q, id, &m), 0);
    queue_message_free(&m);
    struct queue_reported reported = {r.index, QUEUE_REPORT_SUCCESS, 2000, 0};
    assert_int_equal(commit(id, &reported, 1, NULL, NULL), 0);
    assert_int_equal(queue_message_read(desk.q, id, &m), -ENOENT);
    assert_int_equal(order_of(id), -1);
    assert_int_equal(commit(id, &reported, 1, NULL, NULL), -ENOENT);
    clear(&r, 1);
}

static void what_changed_while_the_notice_was_made_stays_unreported(void **state)
{
    /* It says a delay at 2000; meanwhile one of these has happened. */
    static const struct {
        enum disposition disposition;
        enum queue_report report;
        int64_t at_ms;
    } cases[] = {
        {DISPOSITION_FAILED, QUEUE_REPORT_FAILURE, 3000},
        {DISPOSITION_FAILED, QUEUE_REPORT_FAILURE, 2000},
        {DISPOSITION_DEFERRED, QUEUE_REPORT_DELAY, 3000},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct queue_recipient r;
        struct queue_recipient got;
        struct desk_answer removed = {0};
        uint64_t id = desk_one(&desk, "bob@one.example", 1000);
        assert_int_equal(desk_take(&desk, 1000, &r, 1), 1);
        settle(&r, DISPOSITION_DEFERRED, QUEUE_REPORT_DELAY, 2000);
        clear(&r, 1);
        assert_int_equal(desk_take(&desk, INT64_MAX, &r, 1), 1);
        settle(&r, cases[i].disposition, cases[i].report, cases[i].at_ms);
        struct queue_reported reported = {r.index, QUEUE_REPORT_DELAY, 2000, 0};
        assert_int_equal(commit(id, &reported, 1, NULL, NULL), 0);
        assert_int_equal(desk_recipient(&desk, id, r.index, &got), 0);
        assert_int_equal(got.report, cases[i].report);
        assert_true(order_of(id) >= 0);
        clear(&got, 1);
        clear(&r, 1);
        queue_remove(desk.q, id, &desk.poster, desk_done, &removed);
        assert_int_equal(desk_wait(&desk, &removed), 0);
    }
}

/* What damage does: takes the record of the message, or the order by ID, out of the store. */
struct damage_op {
    struct op op;
    enum table table;
    uint64_t id;
};

static int run_damage(struct op *op, struct batch *b)
{
    struct damage_op *damage = (struct damage_op *)op;
    struct key key = key_id(damage->id);
    return store_delete(b->txn, damage->table, key_slice(&key));
}

static void damage(enum table table, uint64_t id)
{
    struct desk_answer a = {0};
    struct damage_op *op = op_new(sizeof *op, run_damage, &desk.poster, desk_done, &a);
    op->table = table;
    op->id = id;
    writer_submit(desk.q, &op->op);
    assert_int_equal(desk_wait(&desk, &a), 0);
}

static uint64_t order_one(int64_t now_ms)
{
    struct queue_recipient r;
    uint64_t id = desk_one(&desk, "bob@one.example", now_ms);
    assert_int_equal(desk_take(&desk, now_ms, &r, 1), 1);
    settle(&r, DISPOSITION_HELD, QUEUE_REPORT_FAILURE, now_ms);
    clear(&r, 1);
    return id;
}

static void an_order_whose_message_is_gone_is_dropped_with_an_event(void **state)
{
    (void)state;
    uint64_t other = order_one(2000);
    for (unsigned is_half = 0; is_half < 2; is_half++) {
        uint64_t id = order_one(3000);
        damage(TABLE_MESSAGE, id);
        if (is_half)
            damage(TABLE_NOTICE, id);
        assert_int_equal(order_of(id), 3000);
        desk.last_event[0] = '\0';
        assert_int_equal(commit(id, NULL, 0, NULL, NULL), -ENOENT);
        assert_int_equal(order_of(id), -1);
        assert_string_equal(desk.last_event, "notice-dropped");
    }
    assert_int_equal(order_of(other), 2000);
    /* Where there is none to drop, nothing is said. */
    desk.last_event[0] = '\0';
    assert_int_equal(commit(4711, NULL, 0, NULL, NULL), -ENOENT);
    assert_string_equal(desk.last_event, "");
}

static int64_t messages(void)
{
    struct queue_status status;
    queue_status(desk.q, &status);
    return (int64_t)status.messages;
}

static void a_notice_about_nothing_is_not_stored(void **state)
{
    struct desk_answer released = {0}, removed = {0};
    struct queue_recipient got;
    uint64_t notice_id = 0;
    (void)state;
    uint64_t id = order_one(2000);
    struct queue_reported reported = {0, QUEUE_REPORT_FAILURE, 2000, 0};
    /* Released while the notice was made: there is no stop any more. */
    queue_release(desk.q, id, NULL, 0, QUEUE_RELEASE, 2500, &desk.poster, desk_done, &released);
    assert_int_equal(desk_wait(&desk, &released), 0);
    assert_int_equal(commit(id, &reported, 1, "alice@s.example", &notice_id), -ESTALE);
    assert_int_equal(messages(), 1);
    assert_int_equal(order_of(id), -1);
    queue_remove(desk.q, id, &desk.poster, desk_done, &removed);
    assert_int_equal(desk_wait(&desk, &removed), 0);

    /* Told already. */
    id = order_one(3000);
    reported.last_attempt_at_ms = 3000;
    assert_int_equal(commit(id, &reported, 1, "alice@s.example", &notice_id), 0);
    assert_int_equal(messages(), 2);
    assert_int_equal(commit(id, &reported, 1, "alice@s.example", &notice_id), -ESTALE);
    assert_int_equal(messages(), 2);

    /* Something else is to be told now. */
    id = order_one(4000);
    assert_int_equal(commit(id, &reported, 1, "alice@s.example", &notice_id), -ESTALE);
    assert_int_equal(messages(), 3);
    assert_int_equal(order_of(id), 4000);
    assert_int_equal(desk_recipient(&desk, id, 0, &got), 0);
    assert_int_equal(got.report, QUEUE_REPORT_FAILURE);
    clear(&got, 1);
}

/* Of two notices one is about nothing: neither is stored, and nothing is marked, so that both can
 * be made anew. One with something left to tell of is stored. */
static void one_notice_about_nothing_refuses_them_all(void **state)
{
    static const char *const two[] = {"a@one.example", "b@one.example"};
    struct queue_recipient r[2];
    struct queue_recipient got;
    struct desk_answer a = {0};
    uint64_t id;
    (void)state;
    assert_int_equal(desk_queue(&desk, "alice@s.example", two, 2, 10, 1000, &id), 0);
    assert_int_equal(desk_take(&desk, 1000, r, 2), 2);
    settle(&r[0], DISPOSITION_HELD, QUEUE_REPORT_FAILURE, 2000);
    settle(&r[1], DISPOSITION_HELD, QUEUE_REPORT_FAILURE, 2001);
    struct queue_reported reported[] = {{r[0].index, QUEUE_REPORT_FAILURE, 2000, 0},
                                        {r[1].index, QUEUE_REPORT_FAILURE, 1999, 1}};
    struct queue_notice list[2];
    for (size_t i = 0; i < 2; i++) {
        list[i] =
            (struct queue_notice){.content = SLICE("S: x\r\n\r\n"), .id = queue_notice_id(desk.q)};
        envelope_init(&list[i].envelope);
        (void)envelope_add(&list[i].envelope, "alice@s.example");
    }
    queue_notices_commit(desk.q, id, reported, 2, list, 2, &desk.poster, desk_done, &a);
    assert_int_equal(desk_wait(&desk, &a), -ESTALE);
    assert_int_equal(messages(), 1);
    assert_true(order_of(id) >= 0);
    assert_int_equal(desk_recipient(&desk, id, r[0].index, &got), 0);
    assert_int_equal(got.report, QUEUE_REPORT_FAILURE);
    clear(&got, 1);

    /* Both in one notice: there is one left to tell of. */
    uint64_t notice_id = 0;
    reported[1].notice = 0;
    assert_int_equal(commit(id, reported, 2, "alice@s.example", &notice_id), 0);
    assert_int_equal(messages(), 2);
    clear(r, 2);
}

static void a_reported_delay_is_remembered(void **state)
{
    struct queue_recipient r;
    struct queue_recipient got;
    uint64_t notice_id = 0;
    (void)state;
    uint64_t id = desk_one(&desk, "bob@one.example", 1000);
    assert_int_equal(desk_take(&desk, 1000, &r, 1), 1);
    settle(&r, DISPOSITION_DEFERRED, QUEUE_REPORT_DELAY, 2000);
    struct queue_reported reported = {r.index, QUEUE_REPORT_DELAY, 2000, 0};
    assert_int_equal(commit(id, &reported, 1, "alice@s.example", &notice_id), 0);
    assert_int_equal(desk_recipient(&desk, id, r.index, &got), 0);
    assert_true(got.was_warned);
    assert_int_equal(got.state, QUEUE_DEFERRED);
    assert_int_equal(got.due_at_ms, 302000);
    clear(&got, 1);
    clear(&r, 1);
}

static void notices_may_use_the_headroom_and_outcomes_commit_all_the_same(void **state)
{
    struct queue_recipient r;
    struct desk_answer a;
    struct queue_message m;
    int rc = 0;
    unsigned count = 0;
    uint64_t id = 0;
    (void)state;
    desk_close(&desk);
    desk_open(&desk, 2 * MIB);
    id = desk_one(&desk, "bob@one.example", 1000);
    assert_int_equal(desk_take(&desk, 1000, &r, 1), 1);
    char *content = desk_content(2 * MIB, 1);
    for (; count < 100 && rc == 0; count++) {
        struct queue_notice notice = {.content = {content, 2 * MIB}, .id = queue_notice_id(desk.q)};
        envelope_init(&notice.envelope);
        (void)envelope_add(&notice.envelope, "alice@s.example");
        a = (struct desk_answer){0};
        queue_notices_commit(desk.q, id, NULL, 0, &notice, 1, &desk.poster, desk_done, &a);
        rc = desk_wait(&desk, &a);
    }
    free(content);
    assert_int_equal(rc, -ENOSPC);
    assert_in_range(count, 20, 28);
    settle(&r, DISPOSITION_DELIVERED, QUEUE_REPORT_NONE, 2000);
    assert_int_equal(queue_message_read(desk.q, id, &m), -ENOENT);
    clear(&r, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_only_recipients_stop_is_ordered_at_once),
        TEST(a_stop_waits_a_second_for_others_first_attempts_and_no_longer_than_they_take),
        TEST(orders_that_can_not_be_read_are_no_empty_list),
        TEST(nothing_to_report_orders_nothing),
        TEST(a_committed_notice_is_mail_and_what_it_said_is_reported),
        TEST(the_message_goes_with_its_last_reported_recipient),
        TEST(what_changed_while_the_notice_was_made_stays_unreported),
        TEST(an_order_whose_message_is_gone_is_dropped_with_an_event),
        TEST(a_notice_about_nothing_is_not_stored),
        TEST(one_notice_about_nothing_refuses_them_all),
        TEST(a_reported_delay_is_remembered),
        TEST(notices_may_use_the_headroom_and_outcomes_commit_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
