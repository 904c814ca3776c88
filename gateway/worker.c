#include "gateway/worker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define GAUGE_MS 1000

struct call {
    void (*run)(void *context);
    void *context;
};

struct worker {
    struct loop *loop; /* owned */
    struct loop *home; /* borrowed from the first worker, or its own */
    pthread_t thread;
    struct submission *submission;       /* owned; NULL after the stop, as the next two */
    struct delivery *delivery;           /* owned */
    struct loop_timer *gauge;            /* owned */
    struct submission_ask_rcpt ask_rcpt; /* submission asks delivery */
    atomic_uint connections;
    struct worker_options new; /* on the way with a reload; its settings: one reference each */
    struct call released;
    int64_t grace_ms;
    unsigned parts; /* still to stop */
    struct call stopped;
};

struct worker *worker_new(const struct worker *home)
{
    struct worker *w = xalloc(sizeof *w);
    w->loop = loop_new();
    w->home = home ? home->loop : w->loop;
    if (w->loop)
        return w;
    free(w);
    return NULL;
}

struct loop *worker_loop(const struct worker *w)
{
    return w->loop;
}

unsigned worker_connections(const struct worker *w)
{
    return atomic_load(&w->connections);
}

static void read_gauge(void *context)
{
    struct worker *w = context;
    if (!w->delivery)
        return;
    atomic_store(&w->connections, delivery_connections(w->delivery));
    loop_timer_start(w->gauge, GAUGE_MS);
}

static void *ask_foresight(void *context, struct loop *loop,
                           const struct submission_question *question,
                           void (*answered)(void *asker, const struct outcome *why), void *asker)
{
    struct worker *w = context;
    (void)loop; /* the worker's own */
    return foresight_ask(delivery_foresight(w->delivery), address_domain(question->recipient),
                         question->level, question->may_probe, answered, asker);
}

static void cancel_foresight(void *context, void *asked)
{
    (void)context;
    foresight_cancel(asked);
}

bool worker_furnish(struct worker *w, const struct worker_options *o)
{
    struct delivery_options d = {
        .loop = w->loop,
        .queue = o->queue,
        .dns = o->dns,
        .sts = o->sts,
        .posture = o->posture,
        .settings = o->delivery,
        .share = o->share,
        .shares = o->shares,
        .events = o->events,
    };
    struct submission_options s = {
        .loop = w->loop,
        .queue = o->queue,
        .settings = o->submission,
        .limits = o->limits,
        .events = o->events,
        .ask_rcpt = &w->ask_rcpt,
    };
    w->ask_rcpt = (struct submission_ask_rcpt){w, ask_foresight, cancel_foresight};
    w->delivery = delivery_new(&d);
    w->submission = submission_new(&s);
    w->gauge = loop_timer_new(w->loop, read_gauge, w);
    if (!w->delivery || !w->submission || !w->gauge)
        return false;
    loop_timer_start(w->gauge, GAUGE_MS);
    return true;
}

int worker_listen(struct worker *w, int fd, size_t listener)
{
    return submission_listen(w->submission, fd, listener);
}

/* ---- the thread ---- */

static void *run(void *argument)
{
    struct worker *w = argument;
    loop_run(w->loop);
    return NULL;
}

int worker_start(struct worker *w)
{
    return pthread_create(&w->thread, NULL, run, w);
}

void worker_join(struct worker *w)
{
    pthread_join(w->thread, NULL);
}

/* ---- reload ---- */

static void tell_released(void *argument)
{
    struct worker *w = argument;
    w->released.run(w->released.context);
}

static void delivery_released(void *context)
{
    struct worker *w = context;
    loop_post(w->home, tell_released, w);
}

static void reload(void *argument)
{
    struct worker *w = argument;
    if (w->submission && w->delivery) {
        submission_reload(w->submission, w->new.submission);
        delivery_reload(w->delivery, w->new.delivery, w->new.dns, w->new.sts, delivery_released, w);
    }
    submission_settings_unref(w->new.submission);
    delivery_settings_unref(w->new.delivery);
}

void worker_reload(struct worker *w, const struct worker_options *new,
                   void (*released)(void *context), void *context)
{
    w->new = *new;
    w->new.submission = submission_settings_ref(new->submission);
    w->new.delivery = delivery_settings_ref(new->delivery);
    w->released = (struct call){released, context};
    loop_post(w->loop, reload, w);
}

/* ---- the end ---- */

static void tell_stopped(void *argument)
{
    struct worker *w = argument;
    w->stopped.run(w->stopped.context);
}

static void close_parts(void *argument)
{
    struct worker *w = argument;
    loop_timer_free(w->gauge);
    submission_free(w->submission);
    delivery_free(w->delivery);
    w->gauge = NULL;
    w->submission = NULL;
    w->delivery = NULL;
    loop_post(w->home, tell_stopped, w);
}

static void part_stopped(void *context)
{
    struct worker *w = context;
    /* Freed with the next turn: this is called from inside the part. */
    if (--w->parts == 0)
        loop_post(w->loop, close_parts, w);
}

static void stop(void *argument)
{
    struct worker *w = argument;
    w->parts = 2;
    submission_stop(w->submission, w->grace_ms, part_stopped, w);
    delivery_stop(w->delivery, w->grace_ms, part_stopped, w);
}

void worker_stop(struct worker *w, int64_t grace_ms, void (*stopped)(void *context), void *context)
{
    w->grace_ms = grace_ms;
    w->stopped = (struct call){stopped, context};
    loop_post(w->loop, stop, w);
}

void worker_free(struct worker *w)
{
    if (!w)
        return;
    loop_free(w->loop);
    free(w);
}
