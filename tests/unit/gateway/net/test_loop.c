#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/net/loop.h"

/* What happened, in order, as letters. */
struct trace {
    struct loop *loop;
    char seen[64];
    size_t len;
    struct loop_timer *timer;
    struct loop_watch *watch;
    struct loop_later later[2];
    int fd;
    int rounds;
};

static void note(struct trace *t, char letter)
{
    if (t->len + 1 < sizeof(t->seen))
        t->seen[t->len++] = letter;
}

static struct trace begin(void)
{
    struct trace t = {.loop = loop_new()};
    assert_non_null(t.loop);
    return t;
}

static void note_a(void *context)
{
    note(context, 'a');
}

static void note_b(void *context)
{
    note(context, 'b');
}

static void note_c_and_stop(void *context)
{
    struct trace *t = context;
    note(t, 'c');
    loop_stop(t->loop);
}

static void posts_run_in_order_and_not_inside_the_call(void **state)
{
    (void)state;
    struct trace t = begin();
    loop_post(t.loop, note_a, &t);
    loop_post(t.loop, note_b, &t);
    loop_post(t.loop, note_c_and_stop, &t);
    assert_string_equal(t.seen, "");
    loop_run(t.loop);
    assert_string_equal(t.seen, "abc");
    loop_post(t.loop, note_a, &t); /* dropped */
    loop_free(t.loop);
    assert_string_equal(t.seen, "abc");
}

static void what_was_posted_before_the_end_is_run(void **state)
{
    (void)state;
    struct trace t = begin();
    loop_stop(t.loop);
    loop_post(t.loop, note_a, &t);
    loop_run(t.loop);
    loop_free(t.loop);
    assert_string_equal(t.seen, "a");
}

enum { POSTERS = 3, POSTS = 2000 };

struct counter {
    struct loop *loop;
    unsigned long seen, last[POSTERS];
    bool is_in_order;
};
struct numbered {
    struct counter *counter;
    unsigned long poster, number;
};

static void count(void *argument)
{
    struct numbered *n = argument;
    struct counter *c = n->counter;
    if (n->number != c->last[n->poster] + 1)
        c->is_in_order = false;
    c->last[n->poster] = n->number;
    if (++c->seen == POSTERS * POSTS)
        loop_stop(c->loop);
}

static void *post_many(void *argument)
{
    struct numbered *numbers = argument;
    for (size_t i = 0; i < POSTS; i++)
        loop_post(numbers[i].counter->loop, count, &numbers[i]);
    return NULL;
}

static void threads_post_at_once_and_nothing_is_lost(void **state)
{
    (void)state;
    static struct numbered numbers[POSTERS][POSTS];
    pthread_t threads[POSTERS];
    struct counter c = {.loop = loop_new(), .is_in_order = true};
    assert_non_null(c.loop);
    for (unsigned long p = 0; p < POSTERS; p++) {
        for (unsigned long i = 0; i < POSTS; i++)
            numbers[p][i] = (struct numbered){&c, p, i + 1};
        assert_int_equal(pthread_create(&threads[p], NULL, post_many, numbers[p]), 0);
    }
    loop_run(c.loop);
    for (size_t p = 0; p < POSTERS; p++)
        pthread_join(threads[p], NULL);
    assert_int_equal(c.seen, POSTERS * POSTS);
    assert_true(c.is_in_order);
    loop_free(c.loop);
}

static void *stop_soon(void *argument)
{
    struct loop *l = argument;
    usleep(20000);
    loop_stop(l);
    return NULL;
}

static void another_thread_can_stop_a_waiting_loop(void **state)
{
    (void)state;
    pthread_t thread;
    struct trace t = begin();
    assert_int_equal(pthread_create(&thread, NULL, stop_soon, t.loop), 0);
    loop_run(t.loop);
    pthread_join(thread, NULL);
    loop_free(t.loop);
}

static void free_timer_and_stop(void *context)
{
    struct trace *t = context;
    note(t, 't');
    loop_timer_free(t->timer);
    loop_stop(t->loop);
}

static void a_timer_may_be_freed_in_its_own_callback(void **state)
{
    (void)state;
    struct trace t = begin();
    t.timer = loop_timer_new(t.loop, free_timer_and_stop, &t);
    loop_timer_start(t.timer, -5);
    loop_run(t.loop);
    assert_string_equal(t.seen, "t");
    loop_free(t.loop);
}

static void freed_or_stopped_timers_never_fire(void **state)
{
    (void)state;
    struct trace t = begin();
    struct loop_timer *freed = loop_timer_new(t.loop, note_a, &t);
    loop_timer_start(freed, 0);
    loop_timer_free(freed);
    struct loop_timer *stopped = loop_timer_new(t.loop, note_b, &t);
    loop_timer_start(stopped, 0);
    loop_timer_stop(stopped);
    t.timer = loop_timer_new(t.loop, free_timer_and_stop, &t);
    loop_timer_start(t.timer, 5);
    loop_timer_free(stopped);
    loop_timer_free(NULL);
    loop_run(t.loop);
    assert_string_equal(t.seen, "t");
    loop_free(t.loop);
}

static void stop_waits_for_what_is_open(void **state)
{
    (void)state;
    struct trace t = begin();
    t.timer = loop_timer_new(t.loop, free_timer_and_stop, &t);
    loop_timer_start(t.timer, 10);
    loop_stop(t.loop);
    loop_run(t.loop);
    assert_string_equal(t.seen, "t");
    loop_free(t.loop);
}

static void start_the_other(void *context)
{
    struct trace *t = context;
    note(t, 'l');
    if (++t->rounds < 6)
        loop_later_start(t->loop, &t->later[t->rounds % 2], start_the_other, t);
    else
        loop_stop(t->loop);
}

static void later_calls_that_start_each_other_do_not_block_the_poll(void **state)
{
    (void)state;
    struct trace t = begin();
    loop_later_start(t.loop, &t.later[0], start_the_other, &t);
    loop_later_start(t.loop, &t.later[0], start_the_other, &t); /* no-op while waiting */
    loop_run(t.loop);
    assert_string_equal(t.seen, "llllll");
    loop_free(t.loop);
}

static void cancel_second(void *context)
{
    struct trace *t = context;
    note(t, 'x');
    loop_later_cancel(&t->later[1]);
    loop_later_cancel(&t->later[0]); /* is running: no-op */
    loop_stop(t->loop);
}

static void a_later_call_can_be_cancelled_by_the_one_before(void **state)
{
    (void)state;
    struct trace t = begin();
    loop_later_start(t.loop, &t.later[0], cancel_second, &t);
    loop_later_start(t.loop, &t.later[1], note_b, &t);
    loop_run(t.loop);
    assert_string_equal(t.seen, "x");
    loop_free(t.loop);
}

static void read_and_free_watch(void *context)
{
    struct trace *t = context;
    char byte;
    assert_int_equal(read(t->fd, &byte, 1), 1);
    note(t, byte);
    loop_watch_free(t->watch);
    loop_stop(t->loop);
}

static void a_watch_tells_when_a_descriptor_is_readable(void **state)
{
    (void)state;
    int ends[2];
    struct trace t = begin();
    assert_int_equal(pipe(ends), 0);
    t.fd = ends[0];
    t.watch = loop_watch_new(t.loop, ends[0], read_and_free_watch, &t);
    assert_non_null(t.watch);
    assert_int_equal(write(ends[1], "w", 1), 1);
    loop_run(t.loop);
    assert_string_equal(t.seen, "w");
    loop_free(t.loop);
    close(ends[0]);
    close(ends[1]);
}

/* Writes one byte when it may, then reads it back when it comes. */
static void write_then_read(void *context, bool is_readable, bool is_writable)
{
    struct trace *t = context;
    char byte;
    if (is_readable)
        note(t, 'r');
    if (is_writable)
        note(t, 'w');
    if (++t->rounds == 1) {
        /* The peer has sent a byte already; it is told only once it is asked for. */
        loop_watch_select(t->watch, true, false);
    } else {
        assert_int_equal(read(t->fd, &byte, 1), 1);
        loop_watch_select(t->watch, false, false);
        loop_timer_start(t->timer, 20);
    }
}

static void free_watch_and_stop(void *context)
{
    struct trace *t = context;
    note(t, '.');
    loop_watch_free(t->watch);
    loop_timer_free(t->timer);
    loop_stop(t->loop);
}

static void a_watch_of_both_tells_what_is_selected_and_nothing_else(void **state)
{
    (void)state;
    int ends[2];
    struct trace t = begin();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_int_equal(write(ends[1], "xy", 2), 2);
    t.fd = ends[0];
    t.timer = loop_timer_new(t.loop, free_watch_and_stop, &t);
    t.watch = loop_watch_new_both(t.loop, ends[0], write_then_read, &t);
    assert_non_null(t.watch);
    loop_watch_select(t.watch, false, true);
    loop_run(t.loop);
    assert_string_equal(t.seen, "wr.");
    loop_free(t.loop);
    close(ends[0]);
    close(ends[1]);
}

static void note_ready_and_stop(void *context, bool is_readable, bool is_writable)
{
    struct trace *t = context;
    note(t, is_readable ? 'r' : '-');
    note(t, is_writable ? 'w' : '-');
    loop_watch_free(t->watch);
    loop_stop(t->loop);
}

static void the_end_of_the_peer_wakes_a_watch_that_only_writes(void **state)
{
    (void)state;
    int ends[2];
    struct trace t = begin();
    assert_int_equal(pipe(ends), 0);
    t.watch = loop_watch_new_both(t.loop, ends[1], note_ready_and_stop, &t);
    assert_non_null(t.watch);
    /* Nothing more fits, so that only the error can wake it. */
    static const char full[65536];
    assert_int_equal(write(ends[1], full, sizeof full), sizeof full);
    loop_watch_select(t.watch, false, true);
    close(ends[0]);
    loop_run(t.loop);
    assert_string_equal(t.seen, "-w");
    loop_free(t.loop);
    close(ends[1]);
}

static void a_watch_on_no_descriptor_is_refused(void **state)
{
    (void)state;
    struct trace t = begin();
    assert_null(loop_watch_new(t.loop, 9999, note_a, &t));
    assert_null(loop_watch_new_both(t.loop, 9999, note_ready_and_stop, &t));
    loop_stop(t.loop);
    loop_run(t.loop);
    loop_free(t.loop);
}

struct job_trace {
    pthread_t loop_thread, work_thread, done_thread;
    bool is_done;
};

static void job_work(void *context)
{
    struct job_trace *j = context;
    usleep(10000);
    j->work_thread = pthread_self();
}

static void job_done(void *context)
{
    struct job_trace *j = context;
    j->done_thread = pthread_self();
    j->is_done = true;
}

static void a_job_runs_off_the_loop_and_is_waited_for(void **state)
{
    (void)state;
    struct trace t = begin();
    struct job_trace j = {.loop_thread = pthread_self()};
    assert_true(loop_job(t.loop, job_work, job_done, &j));
    loop_stop(t.loop);
    loop_run(t.loop);
    assert_true(j.is_done);
    assert_true(pthread_equal(j.done_thread, j.loop_thread));
    assert_false(pthread_equal(j.work_thread, j.loop_thread));
    loop_free(t.loop);
}

static void a_loop_that_never_ran_can_be_freed(void **state)
{
    (void)state;
    struct trace t = begin();
    loop_timer_free(loop_timer_new(t.loop, note_a, &t));
    loop_post(t.loop, note_a, &t);
    loop_free(t.loop);
    loop_free(NULL);
    assert_string_equal(t.seen, "");
}

static bool has_thread_ended;

static void end_of_thread(void *value)
{
    has_thread_ended = value == &has_thread_ended;
}

static void leave_something(void *context)
{
    pthread_key_t *key = context;
    pthread_setspecific(*key, &has_thread_ended);
}

static void ignore(void *context)
{
    (void)context;
}

/* The last test: there is no pool after it. */
static void what_jobs_left_in_their_threads_is_given_back_at_the_end(void **state)
{
    (void)state;
    struct trace t = begin();
    pthread_key_t key;
    assert_int_equal(pthread_key_create(&key, end_of_thread), 0);
    assert_true(loop_job(t.loop, leave_something, ignore, &key));
    loop_stop(t.loop);
    loop_run(t.loop);
    loop_free(t.loop);
    assert_false(has_thread_ended);
    loop_end_pool();
    assert_true(has_thread_ended);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(posts_run_in_order_and_not_inside_the_call),
        cmocka_unit_test(what_was_posted_before_the_end_is_run),
        cmocka_unit_test(threads_post_at_once_and_nothing_is_lost),
        cmocka_unit_test(another_thread_can_stop_a_waiting_loop),
        cmocka_unit_test(a_timer_may_be_freed_in_its_own_callback),
        cmocka_unit_test(freed_or_stopped_timers_never_fire),
        cmocka_unit_test(stop_waits_for_what_is_open),
        cmocka_unit_test(later_calls_that_start_each_other_do_not_block_the_poll),
        cmocka_unit_test(a_later_call_can_be_cancelled_by_the_one_before),
        cmocka_unit_test(a_watch_tells_when_a_descriptor_is_readable),
        cmocka_unit_test(a_watch_of_both_tells_what_is_selected_and_nothing_else),
        cmocka_unit_test(the_end_of_the_peer_wakes_a_watch_that_only_writes),
        cmocka_unit_test(a_watch_on_no_descriptor_is_refused),
        cmocka_unit_test(a_job_runs_off_the_loop_and_is_waited_for),
        cmocka_unit_test(a_loop_that_never_ran_can_be_freed),
        cmocka_unit_test(what_jobs_left_in_their_threads_is_given_back_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
