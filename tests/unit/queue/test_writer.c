#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

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

/* A disk that is full when the test says so: LMDB's writes come here before the C library. */

static bool is_disk_full;

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    if (__atomic_load_n(&is_disk_full, __ATOMIC_SEQ_CST)) {
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, data, size, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    if (__atomic_load_n(&is_disk_full, __ATOMIC_SEQ_CST)) {
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_writev, fd, parts, count);
}

static void a_full_disk_refuses_mail_but_loses_no_outcome(void **state)
{
    static const char *const bob[] = {"bob@one.example"};
    struct queue_recipient r;
    struct queue_message m;
    struct desk_answer a = {0};
    uint64_t id, refused;
    int64_t next;
    (void)state;
    assert_int_equal(desk_queue(&desk, "a@s.example", bob, 1, 100, 1000, &id), 0);
    assert_int_equal(desk_take(&desk, 1000, &r, 1), 1);
    __atomic_store_n(&is_disk_full, true, __ATOMIC_SEQ_CST);
    struct queue_result result = desk_result(&r, DISPOSITION_HELD, QUEUE_REPORT_FAILURE, 2000);
    queue_settle(desk.q, &result, 1, &desk.poster, desk_done, &a);
    assert_int_equal(desk_queue(&desk, "a@s.example", bob, 1, 100, 1000, &refused), -ENOSPC);
    assert_int_equal(queue_message_read(desk.q, refused, &m), -ENOENT);
    assert_false(a.is_done);
    assert_int_equal(desk_take(&desk, 5000, &r, 1), 0); /* the lease holds */
    __atomic_store_n(&is_disk_full, false, __ATOMIC_SEQ_CST);
    assert_int_equal(desk_wait(&desk, &a), 0);
    assert_int_equal(queue_notices_due(desk.q, 2000, &refused, 1, &next), 1);
    assert_int_equal(refused, id);
    queue_recipient_clear(&r);
}

/* An operation that writes one key, then does as it is told. */
struct trial_op {
    struct op op;
    char key[8];
    int failures; /* how often the engine shall refuse it; -1: always */
    unsigned *runs;
};

static int run_trial(struct op *op, struct batch *b)
{
    struct trial_op *trial = (struct trial_op *)op;
    ++*trial->runs;
    int rc = store_put(b->txn, TABLE_META, slice_of(trial->key), SLICE("here"));
    assert_int_equal(rc, 0);
    if (trial->failures == 0)
        return 0;
    if (trial->failures > 0)
        trial->failures--;
    return -ENOSPC;
}

/* Holds the writer until the test has handed in a whole group. */
struct gate_op {
    struct op op;
    bool *is_open;
};

static int run_gate(struct op *op, struct batch *b)
{
    (void)b;
    while (!__atomic_load_n(((struct gate_op *)op)->is_open, __ATOMIC_SEQ_CST)) {
        struct timespec pause = {0, 1000000};
        nanosleep(&pause, NULL);
    }
    return 0;
}

static void close_gate(bool *is_open)
{
    *is_open = false;
    struct gate_op *gate = op_new(sizeof *gate, run_gate, NULL, NULL, NULL);
    gate->is_open = is_open;
    writer_submit(desk.q, &gate->op);
}

static void submit(const char *key, int failures, bool is_durable, unsigned *runs,
                   struct desk_answer *answer)
{
    struct trial_op *trial = op_new(sizeof *trial, run_trial, &desk.poster, desk_done, answer);
    snprintf(trial->key, sizeof trial->key, "%s", key);
    trial->failures = failures;
    trial->op.is_durable = is_durable;
    trial->runs = runs;
    *runs = 0;
    *answer = (struct desk_answer){0};
    writer_submit(desk.q, &trial->op);
}

static bool has_key(const char *key)
{
    struct slice value;
    struct txn *view = store_view(desk.q->store);
    int rc = store_get(view, TABLE_META, slice_of(key), &value);
    store_view_end(view);
    return rc == 0;
}

static void what_piles_up_is_committed_together(void **state)
{
    struct desk_answer answers[3];
    unsigned runs[3];
    struct queue_status before, after;
    bool is_open;
    (void)state;
    queue_status(desk.q, &before);
    close_gate(&is_open);
    struct timespec pause = {0, 20000000};
    nanosleep(&pause, NULL); /* the gate is the first group alone */
    submit("a", 0, false, &runs[0], &answers[0]);
    submit("b", 0, false, &runs[1], &answers[1]);
    submit("c", 0, false, &runs[2], &answers[2]);
    __atomic_store_n(&is_open, true, __ATOMIC_SEQ_CST);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(desk_wait(&desk, &answers[i]), 0);
    queue_status(desk.q, &after);
    assert_int_equal(after.commits - before.commits, 2);
}

/* Each fits alone; in one group only the first does. Of the other nothing may be left. */
static void a_group_does_not_outgrow_the_limit(void **state)
{
    struct desk_answer answers[2] = {{0}};
    struct queue_incoming *in[2];
    struct queue_status status;
    struct queue_message m;
    uint64_t ids[2];
    bool is_open;
    (void)state;
    desk_close(&desk);
    desk_open(&desk, 400000);
    char *content = desk_content(200000, 1);
    close_gate(&is_open);
    for (size_t i = 0; i < 2; i++) {
        struct envelope e;
        in[i] = queue_incoming_begin(desk.q, &desk.poster);
        ids[i] = queue_incoming_id(in[i]);
        assert_int_equal(queue_incoming_append(in[i], (struct slice){content, 200000}), 0);
        envelope_init(&e);
        (void)envelope_add(&e, "bob@one.example");
        queue_incoming_commit(in[i], &e, 1, 1, desk_done, &answers[i]);
    }
    free(content);
    __atomic_store_n(&is_open, true, __ATOMIC_SEQ_CST);
    assert_int_equal(desk_wait(&desk, &answers[0]), 0);
    assert_int_equal(desk_wait(&desk, &answers[1]), -ENOSPC);
    assert_int_equal(queue_message_read(desk.q, ids[0], &m), 0);
    queue_message_free(&m);
    assert_int_equal(queue_message_read(desk.q, ids[1], &m), -ENOENT);
    desk_reopen(&desk);
    assert_int_equal(desk.event_count, 0); /* nothing to sweep */
    queue_status(desk.q, &status);
    assert_true(status.used_bytes < 300000);
}

static void only_the_culprit_fails(void **state)
{
    struct desk_answer answers[3];
    unsigned runs[3];
    bool is_open;
    (void)state;
    close_gate(&is_open);
    submit("a", 0, false, &runs[0], &answers[0]);
    submit("b", -1, false, &runs[1], &answers[1]);
    submit("c", 0, false, &runs[2], &answers[2]);
    __atomic_store_n(&is_open, true, __ATOMIC_SEQ_CST);
    assert_int_equal(desk_wait(&desk, &answers[0]), 0);
    assert_int_equal(desk_wait(&desk, &answers[1]), -ENOSPC);
    assert_int_equal(desk_wait(&desk, &answers[2]), 0);
    assert_true(has_key("a"));
    assert_false(has_key("b"));
    assert_true(has_key("c"));
    assert_string_equal(desk.last_event, "store-trouble");
}

static void a_durable_operation_is_tried_until_it_succeeds_and_told_once(void **state)
{
    struct desk_answer answers[2];
    unsigned runs[2];
    (void)state;
    submit("a", 3, true, &runs[0], &answers[0]);
    submit("b", 0, false, &runs[1], &answers[1]);
    assert_int_equal(desk_wait(&desk, &answers[1]), 0); /* is not held up */
    assert_false(answers[0].is_done);
    assert_int_equal(desk_wait(&desk, &answers[0]), 0);
    assert_in_range(runs[0], 4, 5);
    assert_true(has_key("a"));
    assert_int_equal(desk.event_count, 1);
}

static void closing_answers_even_what_can_not_be_committed(void **state)
{
    struct desk_answer answer;
    unsigned runs;
    (void)state;
    submit("a", -1, true, &runs, &answer);
    desk_reopen(&desk);
    assert_true(answer.is_done);
    assert_int_equal(answer.error, -EIO);
    assert_false(has_key("a"));
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void once_closing_begins_a_full_disk_holds_up_no_end(void **state)
{
    static const char *const two[] = {"bob@one.example", "carol@one.example"};
    struct queue_recipient r[2];
    struct queue_result results[2];
    struct desk_answer answers[2] = {{0}};
    struct desk_answer none = {0};
    uint64_t id;
    (void)state;
    assert_int_equal(desk_queue(&desk, "a@s.example", two, 2, 100, 1000, &id), 0);
    assert_int_equal(desk_take(&desk, 1000, r, 2), 2);
    for (size_t i = 0; i < 2; i++) {
        results[i] = desk_result(&r[i], DISPOSITION_DELIVERED, QUEUE_REPORT_NONE, 2000);
        queue_recipient_clear(&r[i]);
    }
    __atomic_store_n(&is_disk_full, true, __ATOMIC_SEQ_CST);
    queue_settle(desk.q, &results[0], 1, &desk.poster, desk_done, &answers[0]);
    queue_retry(desk.q, 4711, 1, &desk.poster, desk_done, &none);
    (void)desk_wait(&desk, &none); /* so the first try is over */
    desk_run(&desk);
    assert_false(answers[0].is_done);
    int64_t began_ms = now_ms();
    queue_begin_close(desk.q);
    assert_int_equal(desk_wait(&desk, &answers[0]), -ENOSPC);
    queue_settle(desk.q, &results[1], 1, &desk.poster, desk_done, &answers[1]);
    assert_int_equal(desk_wait(&desk, &answers[1]), -ENOSPC);
    assert_true(now_ms() - began_ms < 500); /* at once, not with the next retry */
    __atomic_store_n(&is_disk_full, false, __ATOMIC_SEQ_CST);
    assert_int_equal(desk_take(&desk, 5000, r, 2), 0); /* the leases hold until the end */
    desk_reopen(&desk);
    assert_int_equal(desk_take(&desk, 5000, r, 2), 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(r[i].attempts, 0);
        assert_int_equal(r[i].state, QUEUE_QUEUED);
        queue_recipient_clear(&r[i]);
    }
}

static void what_can_be_committed_is_after_closing_began(void **state)
{
    struct queue_recipient r;
    struct queue_message m;
    (void)state;
    uint64_t id = desk_one(&desk, "bob@one.example", 1000);
    assert_int_equal(desk_take(&desk, 1000, &r, 1), 1);
    queue_begin_close(desk.q);
    struct queue_result result = desk_result(&r, DISPOSITION_DELIVERED, QUEUE_REPORT_NONE, 2000);
    assert_int_equal(desk_settle(&desk, &result, 1), 0);
    assert_int_equal(queue_message_read(desk.q, id, &m), -ENOENT);
    queue_recipient_clear(&r);
}

/* Takes the only message's recipients and settles each of `count` alone, all handed in at once. */
static void settle_one_by_one(struct queue_recipient *r, size_t count, enum disposition disposition,
                              enum queue_report report, struct desk_answer *a)
{
    bool is_open;
    close_gate(&is_open);
    for (size_t i = 0; i < count; i++) {
        struct queue_result result = desk_result(&r[i], disposition, report, 2000);
        queue_settle(desk.q, &result, 1, &desk.poster, desk_done, &a[i]);
    }
    __atomic_store_n(&is_open, true, __ATOMIC_SEQ_CST);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(desk_wait(&desk, &a[i]), 0);
}

static uint64_t queue_many(size_t count)
{
    uint64_t id;
    char(*texts)[48] = xalloc(count * sizeof *texts);
    const char **to = xalloc(count * sizeof *to);
    for (size_t i = 0; i < count; i++) {
        snprintf(texts[i], sizeof texts[i], "u%zu@one.example", i);
        to[i] = texts[i];
    }
    assert_int_equal(desk_queue(&desk, "a@s.example", to, count, 100, 1000, &id), 0);
    free(to);
    free(texts);
    return id;
}

static void recipients_settled_one_by_one_cost_no_look_at_all_for_each(void **state)
{
    enum { COUNT = 5000 };
    struct queue_recipient *r = xalloc(COUNT * sizeof *r);
    struct desk_answer *a = xalloc(COUNT * sizeof *a);
    uint64_t due;
    int64_t next;
    (void)state;
    uint64_t id = queue_many(COUNT);
    assert_int_equal(desk_take(&desk, 1000, r, COUNT), COUNT);
    settle_one_by_one(r, COUNT, DISPOSITION_HELD, QUEUE_REPORT_FAILURE, a);
    /* The gate alone or with the first, then at most 4096 in a group. */
    assert_in_range(atomic_load(&desk.q->surveyed), COUNT, 3 * COUNT);
    assert_int_equal(queue_notices_due(desk.q, 2000, &due, 1, &next), 1);
    assert_int_equal(due, id);
    for (size_t i = 0; i < COUNT; i++)
        queue_recipient_clear(&r[i]);
    free(r);
    free(a);
}

static void an_operation_behind_the_last_settle_of_a_group_finds_the_message_gone(void **state)
{
    struct queue_recipient r[3];
    struct desk_answer a[3] = {{0}}, removed = {0}, retried = {0};
    struct queue_status status;
    bool is_open;
    (void)state;
    uint64_t id = queue_many(3);
    assert_int_equal(desk_take(&desk, 1000, r, 3), 3);
    close_gate(&is_open);
    for (size_t i = 0; i < 3; i++) {
        struct queue_result result =
            desk_result(&r[i], DISPOSITION_DELIVERED, QUEUE_REPORT_NONE, 2000);
        queue_settle(desk.q, &result, 1, &desk.poster, desk_done, &a[i]);
    }
    queue_retry(desk.q, id, 2000, &desk.poster, desk_done, &retried);
    queue_remove(desk.q, id, &desk.poster, desk_done, &removed);
    __atomic_store_n(&is_open, true, __ATOMIC_SEQ_CST);
    assert_int_equal(desk_wait(&desk, &retried), -ENOENT);
    assert_int_equal(desk_wait(&desk, &removed), -ENOENT);
    queue_status(desk.q, &status);
    assert_int_equal(status.messages, 0);
    assert_int_equal(status.queued, 0);
    for (size_t i = 0; i < 3; i++)
        queue_recipient_clear(&r[i]);
}

/* The order is due at once when nobody is on a first attempt any more at the end of the group. */
static void the_order_of_a_group_is_due_as_its_last_state_wants(void **state)
{
    struct queue_recipient r[3];
    struct desk_answer a[3] = {{0}};
    uint64_t due;
    int64_t next;
    (void)state;
    uint64_t id = queue_many(3);
    assert_int_equal(desk_take(&desk, 1000, r, 3), 3);
    settle_one_by_one(r, 2, DISPOSITION_FAILED, QUEUE_REPORT_FAILURE, a);
    assert_int_equal(queue_notices_due(desk.q, 2000, &due, 1, &next), 0);
    assert_int_equal(next, 3000);
    settle_one_by_one(&r[2], 1, DISPOSITION_DELIVERED, QUEUE_REPORT_NONE, &a[2]);
    assert_int_equal(queue_notices_due(desk.q, 2000, &due, 1, &next), 1);
    assert_int_equal(due, id);
    for (size_t i = 0; i < 3; i++)
        queue_recipient_clear(&r[i]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_full_disk_refuses_mail_but_loses_no_outcome),
        TEST(what_piles_up_is_committed_together),
        TEST(a_group_does_not_outgrow_the_limit),
        TEST(only_the_culprit_fails),
        TEST(a_durable_operation_is_tried_until_it_succeeds_and_told_once),
        TEST(closing_answers_even_what_can_not_be_committed),
        TEST(once_closing_begins_a_full_disk_holds_up_no_end),
        TEST(what_can_be_committed_is_after_closing_began),
        TEST(recipients_settled_one_by_one_cost_no_look_at_all_for_each),
        TEST(an_operation_behind_the_last_settle_of_a_group_finds_the_message_gone),
        TEST(the_order_of_a_group_is_due_as_its_last_state_wants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
