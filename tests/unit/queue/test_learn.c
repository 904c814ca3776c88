#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "queue/learn.h"
#include "queue/room.h"
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

static void look(const char *host, int64_t at)
{
    struct queue_look l = {.domain = "one.example", .host = host, .at = at, .has_tls = true};
    queue_posture_learn(desk.q, &l, 1);
}

static bool count_posture(void *context, const struct queue_posture *p)
{
    (void)p;
    ++*(unsigned *)context;
    return true;
}

static unsigned postures(void)
{
    unsigned count = 0;
    queue_postures_walk(desk.q, NULL, count_posture, &count);
    return count;
}

static void pause_ms(unsigned ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

static uint64_t commits(void)
{
    struct queue_status status;
    queue_status(desk.q, &status);
    return status.commits;
}

static void an_idle_operation_goes_along_with_the_next_commit(void **state)
{
    (void)state;
    desk_flush(&desk);
    uint64_t before = commits();
    look("mx1", 1);
    look("mx2", 1);
    desk_one(&desk, "bob@far.example", 1);
    assert_int_equal(postures(), 2);
    assert_true(commits() > before);
    assert_in_range(commits() - before, 1, 3); /* what the message takes alone */
}

static void an_idle_operation_has_a_commit_of_its_own_after_a_second(void **state)
{
    (void)state;
    look("mx1", 1);
    look("mx2", 1);
    pause_ms(300);
    assert_int_equal(postures(), 0);
    for (unsigned i = 0; i < 100 && postures() == 0; i++)
        pause_ms(100);
    assert_int_equal(postures(), 2);
    assert_int_equal(commits(), 1);
}

static void what_is_idle_is_committed_at_the_end(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 600; i++) {
        char host[32];
        snprintf(host, sizeof host, "mx%03u", i);
        look(host, 1);
    }
    desk_reopen(&desk);
    assert_int_equal(postures(), 600);
}

/* The writer is kept in an operation while others are handed in. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool is_open;
    bool is_entered;
};
static struct gate gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, false};

static int run_gate(struct op *op, struct batch *b)
{
    (void)op;
    (void)b;
    pthread_mutex_lock(&gate.lock);
    gate.is_entered = true;
    pthread_cond_broadcast(&gate.wake);
    while (!gate.is_open)
        pthread_cond_wait(&gate.wake, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
    return 0;
}

static void close_gate(void)
{
    gate.is_open = gate.is_entered = false;
    writer_submit(desk.q, op_new(sizeof(struct op), run_gate, NULL, NULL, NULL));
    pthread_mutex_lock(&gate.lock);
    while (!gate.is_entered)
        pthread_cond_wait(&gate.wake, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
}

static void open_gate(void)
{
    pthread_mutex_lock(&gate.lock);
    gate.is_open = true;
    pthread_cond_broadcast(&gate.wake);
    pthread_mutex_unlock(&gate.lock);
}

static void what_waits_is_bounded_and_the_rest_is_dropped_with_an_event(void **state)
{
    (void)state;
    close_gate();
    for (unsigned i = 0; i < 20000; i++) {
        char host[32];
        snprintf(host, sizeof host, "mx%05u", i);
        look(host, 1);
    }
    open_gate();
    for (unsigned i = 0; i < 8; i++)
        desk_flush(&desk);
    assert_in_range(postures(), 500, 1024);
    assert_string_equal(desk.last_event, "learning-dropped");
    assert_int_equal(desk.event_count, 1);
    unsigned before = postures();
    look("another", 1);
    desk_flush(&desk);
    assert_int_equal(postures(), before + 1);
}

static int run_broken(struct op *op, struct batch *b)
{
    (void)op;
    (void)b;
    return -EIO;
}

struct order_op {
    struct op op;
    unsigned *runs;
};

static int run_counted(struct op *op, struct batch *b)
{
    (void)b;
    ++*((struct order_op *)op)->runs;
    return 0;
}

static void an_idle_operation_that_fails_costs_others_their_commit_never(void **state)
{
    struct desk_answer answers[3] = {0};
    unsigned runs[3] = {0};
    (void)state;
    close_gate();
    writer_submit_idle(desk.q, op_new(sizeof(struct op), run_broken, NULL, NULL, NULL));
    for (unsigned i = 0; i < 3; i++) {
        struct order_op *op = op_new(sizeof *op, run_counted, &desk.poster, desk_done, &answers[i]);
        op->runs = &runs[i];
        writer_submit(desk.q, &op->op);
    }
    uint64_t before = commits();
    open_gate();
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(desk_wait(&desk, &answers[i]), 0);
        assert_int_equal(runs[i], 2);
    }
    /* The gate's own, and one for all three. */
    assert_int_equal(commits() - before, 2);
    desk_flush(&desk);
    assert_string_equal(desk.last_event, "learning-dropped");
}

static void a_sweep_goes_over_thousands_in_steps(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2500; i++) {
        char host[32];
        snprintf(host, sizeof host, "mx%04u", i);
        look(host, i % 2 ? 1000 * DAY : 1);
        if (i % 200 == 0)
            desk_flush(&desk);
    }
    desk_flush(&desk);
    assert_int_equal(postures(), 2500);
    uint64_t before = commits();
    desk_sweep(&desk, 1001 * DAY);
    assert_int_equal(postures(), 1250);
    assert_in_range(commits() - before, 3, 4);
    desk_sweep(&desk, 2000 * DAY);
    assert_int_equal(postures(), 0);
}

static void expired_policies_are_swept(void **state)
{
    struct queue_policy p = {.expires_at = 100};
    char text[] = "mode: none";
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct desk_answer answer = {0};
        snprintf(p.domain, sizeof p.domain, "d%u.example", i);
        p.expires_at = 100 + i;
        p.text = text;
        queue_policy_put(desk.q, &p, &desk.poster, desk_done, &answer);
        assert_int_equal(desk_wait(&desk, &answer), 0);
    }
    desk_sweep(&desk, 101);
    assert_int_equal(queue_policy_find(desk.q, "d0.example", &p), -ENOENT);
    assert_int_equal(queue_policy_find(desk.q, "d1.example", &p), -ENOENT);
    assert_int_equal(queue_policy_find(desk.q, "d2.example", &p), 0);
    queue_policy_clear(&p);
}

static void a_text_is_cut_between_characters(void **state)
{
    static const struct {
        const char *text;
        const char *want;
    } cases[] = {
        {NULL, ""},
        {"", ""},
        {"abcd", "abcd"},
        {"abcde", "abcd"},
        {"abc\xc3\xa4", "abc"},
        {"ab\xe2\x82\xac", "ab"},
        {"ab\xc3\xa4z", "ab\xc3\xa4"},
        {"\xbf\xbf\xbf\xbf\xbf\xbf", ""},
    };
    char out[5];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        learn_text(cases[i].text, out, sizeof out);
        assert_string_equal(out, cases[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(an_idle_operation_goes_along_with_the_next_commit),
        TEST(an_idle_operation_has_a_commit_of_its_own_after_a_second),
        TEST(what_is_idle_is_committed_at_the_end),
        TEST(what_waits_is_bounded_and_the_rest_is_dropped_with_an_event),
        TEST(an_idle_operation_that_fails_costs_others_their_commit_never),
        TEST(a_sweep_goes_over_thousands_in_steps),
        TEST(expired_policies_are_swept),
        TEST(a_text_is_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
