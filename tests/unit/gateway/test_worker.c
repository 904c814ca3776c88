/* Submission and delivery are the test's own; loops and threads are real. */
#include "gateway/worker.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct {
    struct worker *home, *away;
    struct submission_settings *submission;
    struct delivery_settings *delivery;
    void (*releases)(void *context);
    void *released_context;
    pthread_t main_thread;
    bool is_inside; /* a part's stop */
    bool was_freed_too_early;
    bool was_told_elsewhere;
    bool was_reloaded_away;
    unsigned submissions, deliveries; /* open */
    unsigned reloads, released, stopped;
    int64_t grace_ms;
} scene;

static char part;

/* What stands for a delivery; its stop takes until the next turn of its loop. */
static struct fake_delivery {
    struct loop *loop;
    void (*stopped)(void *context);
    void *context;
} deliveries[2];

struct submission *__wrap_submission_new(const struct submission_options *o);
struct submission *__wrap_submission_new(const struct submission_options *o)
{
    (void)o;
    scene.submissions++;
    return (struct submission *)(void *)&part;
}

struct delivery *__wrap_delivery_new(const struct delivery_options *o);
struct delivery *__wrap_delivery_new(const struct delivery_options *o)
{
    deliveries[scene.deliveries].loop = o->loop;
    return (struct delivery *)(void *)&deliveries[scene.deliveries++];
}

void __wrap_submission_free(struct submission *s);
void __wrap_submission_free(struct submission *s)
{
    (void)s;
    scene.was_freed_too_early |= scene.is_inside;
    scene.submissions--;
}

void __wrap_delivery_free(struct delivery *d);
void __wrap_delivery_free(struct delivery *d)
{
    struct fake_delivery *f = (struct fake_delivery *)(void *)d;
    scene.was_freed_too_early |= scene.is_inside || f->stopped;
    scene.deliveries--;
}

unsigned __wrap_delivery_connections(const struct delivery *d);
unsigned __wrap_delivery_connections(const struct delivery *d)
{
    (void)d;
    return 3;
}

void __wrap_submission_stop(struct submission *s, int64_t grace_ms, void (*stopped)(void *context),
                            void *context);
void __wrap_submission_stop(struct submission *s, int64_t grace_ms, void (*stopped)(void *context),
                            void *context)
{
    (void)s;
    scene.grace_ms += grace_ms;
    scene.is_inside = true;
    stopped(context);
    scene.is_inside = false;
}

static void stop_delivery(void *argument)
{
    struct fake_delivery *f = argument;
    scene.is_inside = true;
    f->stopped(f->context);
    scene.is_inside = false;
    f->stopped = NULL;
}

void __wrap_delivery_stop(struct delivery *d, int64_t grace_ms, void (*stopped)(void *context),
                          void *context);
void __wrap_delivery_stop(struct delivery *d, int64_t grace_ms, void (*stopped)(void *context),
                          void *context)
{
    struct fake_delivery *f = (struct fake_delivery *)(void *)d;
    scene.grace_ms += grace_ms;
    f->stopped = stopped;
    f->context = context;
    loop_post(f->loop, stop_delivery, f);
}

void __wrap_submission_reload(struct submission *s, struct submission_settings *settings);
void __wrap_submission_reload(struct submission *s, struct submission_settings *settings)
{
    (void)s;
    assert_ptr_equal(settings, scene.submission);
}

void __wrap_delivery_reload(struct delivery *d, struct delivery_settings *settings, struct dns *dns,
                            struct sts *sts, void (*released)(void *context), void *context);
void __wrap_delivery_reload(struct delivery *d, struct delivery_settings *settings, struct dns *dns,
                            struct sts *sts, void (*released)(void *context), void *context)
{
    (void)d;
    (void)dns;
    (void)sts;
    assert_ptr_equal(settings, scene.delivery);
    scene.was_reloaded_away = !pthread_equal(pthread_self(), scene.main_thread);
    scene.reloads++;
    released(context);
}

static void note_where(void)
{
    scene.was_told_elsewhere |= pthread_equal(pthread_self(), scene.main_thread) == 0;
}

static struct worker_options options(void)
{
    return (struct worker_options){
        .submission = scene.submission, .delivery = scene.delivery, .shares = 2};
}

static void released(void *context)
{
    (void)context;
    note_where();
    scene.released++;
}

static void end_loops(void *argument)
{
    (void)argument;
    loop_stop(worker_loop(scene.home));
    loop_stop(worker_loop(scene.away));
}

static void stopped(void *context)
{
    (void)context;
    note_where();
    if (++scene.stopped == 1) {
        worker_stop(scene.home, 2, stopped, NULL);
        return;
    }
    struct worker_options o = options();
    worker_reload(scene.home, &o, released, NULL);
    loop_post(worker_loop(scene.home), end_loops, NULL);
}

static void reload_and_stop(void *argument)
{
    (void)argument;
    struct worker_options o = options();
    worker_reload(scene.away, &o, released, NULL);
    worker_stop(scene.away, 40, stopped, NULL);
}

/* The life of two workers: the one away is reloaded and stopped, then the one at home is stopped,
 * and asked to reload after that. */
static int live(void **state)
{
    (void)state;
    scene.main_thread = pthread_self();
    scene.submission = submission_settings_new();
    scene.delivery = delivery_settings_new();
    scene.home = worker_new(NULL);
    scene.away = worker_new(scene.home);
    struct worker_options o = options();
    if (!worker_furnish(scene.home, &o) || !worker_furnish(scene.away, &o) ||
        worker_start(scene.away) != 0)
        return -1;
    loop_post(worker_loop(scene.home), reload_and_stop, NULL);
    loop_run(worker_loop(scene.home));
    worker_join(scene.away);
    worker_free(scene.home);
    worker_free(scene.away);
    worker_free(NULL);
    submission_settings_unref(scene.submission);
    delivery_settings_unref(scene.delivery);
    scene.submission = NULL; /* what is left of them is a leak, and seen as one */
    scene.delivery = NULL;
    return 0;
}

static void each_is_asked_on_its_own_loop_and_answers_at_home(void **state)
{
    (void)state;
    assert_int_equal(scene.stopped, 2);
    assert_int_equal(scene.grace_ms, 2 * 40 + 2 * 2);
    assert_true(scene.was_reloaded_away);
    assert_false(scene.was_told_elsewhere);
}

static void a_reload_is_done_by_who_runs_and_by_nobody_who_has_stopped(void **state)
{
    (void)state;
    assert_int_equal(scene.reloads, 1);
    assert_int_equal(scene.released, 1);
}

static void parts_are_freed_when_both_have_stopped_and_never_from_inside(void **state)
{
    (void)state;
    assert_int_equal(scene.submissions, 0);
    assert_int_equal(scene.deliveries, 0);
    assert_false(scene.was_freed_too_early);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_asked_on_its_own_loop_and_answers_at_home),
        cmocka_unit_test(a_reload_is_done_by_who_runs_and_by_nobody_who_has_stopped),
        cmocka_unit_test(parts_are_freed_when_both_have_stopped_and_never_from_inside),
    };
    return cmocka_run_group_tests(tests, live, NULL);
}
