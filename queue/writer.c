#include "queue/writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mail/date.h"
#include "queue/learn.h"
#include "queue/room.h"

/* Bounds of one group: a transaction's dirty pages are held in memory until its commit. */
#define GROUP_OPS_MAX 4096
#define GROUP_WEIGHT_MAX ((size_t)32 << 20)
#define CHECK_READERS_MS 60000
/* Idle operations: how long they wait for a commit to go along with, how many may wait, and how
 * many one commit takes. */
#define IDLE_MS 1000
#define IDLE_OPS_MAX 1024
#define IDLE_WEIGHT_MAX ((size_t)4 << 20)
#define GROUP_IDLE_MAX 256
#define GROUP_IDLE_WEIGHT_MAX ((size_t)1 << 20)
/* What is old is removed an hour after the last time. */
#define SWEEP_FIRST_MS 60000
#define SWEEP_MS 3600000
#define RETRY_MS 1000
#define COMPLAIN_MS 60000

struct list {
    struct op *first;
    struct op **last;
};

struct writer {
    struct queue *q;
    pthread_t thread;
    pthread_mutex_t lock; /* for mailbox and is_stopping */
    pthread_cond_t wake;
    struct list mailbox;
    struct list idle;
    size_t idle_count;
    size_t idle_weight;
    int64_t idle_due_ms;   /* of the first of them */
    uint64_t idle_dropped; /* and not yet told */
    bool is_stopping;
    atomic_bool is_closing; /* nothing is tried for ever any more; set under the lock */
    _Atomic uint64_t commits;
    /* The thread's own: */
    struct list waiting; /* durable operations whose commit failed */
    int64_t retry_at_ms;
    int64_t check_readers_at_ms;
    int64_t sweep_at_ms;
    int64_t complain_at_ms;
    int64_t tell_dropped_at_ms;
};

static void list_init(struct list *l)
{
    l->first = NULL;
    l->last = &l->first;
}

static void list_add(struct list *l, struct op *op)
{
    op->next = NULL;
    *l->last = op;
    l->last = &op->next;
}

static struct op *list_take(struct list *l)
{
    struct op *op = l->first;
    if (op) {
        l->first = op->next;
        if (!l->first)
            l->last = &l->first;
    }
    return op;
}

static int64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void *op_new(size_t size, int (*run)(struct op *op, struct batch *b),
             const struct queue_poster *poster, queue_done *done, void *context)
{
    struct op *op = xalloc(size);
    op->run = run;
    if (poster)
        op->poster = *poster;
    op->done = done;
    op->context = context;
    return op;
}

static void op_free(struct op *op)
{
    if (op->free)
        op->free(op);
    else
        free(op);
}

void writer_submit(struct queue *q, struct op *op)
{
    struct writer *w = q->writer;
    pthread_mutex_lock(&w->lock);
    bool was_empty = !w->mailbox.first;
    list_add(&w->mailbox, op);
    pthread_mutex_unlock(&w->lock);
    if (was_empty)
        pthread_cond_signal(&w->wake);
}

void writer_submit_idle(struct queue *q, struct op *op)
{
    struct writer *w = q->writer;
    pthread_mutex_lock(&w->lock);
    bool is_taken = w->idle_count < IDLE_OPS_MAX && w->idle_weight + op->weight <= IDLE_WEIGHT_MAX;
    bool was_empty = !w->idle.first;
    if (is_taken) {
        if (was_empty)
            w->idle_due_ms = clock_ms() + IDLE_MS;
        list_add(&w->idle, op);
        w->idle_count++;
        w->idle_weight += op->weight;
    } else {
        w->idle_dropped++;
    }
    pthread_mutex_unlock(&w->lock);
    if (!is_taken)
        op_free(op);
    else if (was_empty)
        pthread_cond_signal(&w->wake);
}

uint64_t writer_commits(struct writer *w)
{
    return atomic_load(&w->commits);
}

/* Answers: one post for each poster, with all that it waits for in the order of the group. */

struct answers {
    struct queue_poster poster;
    struct list ops;
};

static void run_answers(void *argument)
{
    struct answers *a = argument;
    for (struct op *op; (op = list_take(&a->ops)) != NULL;) {
        op->done(op->context, op->answer);
        op_free(op);
    }
    free(a);
}

static void answer_all(struct list *ops)
{
    struct answers **groups = NULL;
    size_t count = 0;
    for (struct op *op; (op = list_take(ops)) != NULL;) {
        if (!op->done) {
            op_free(op);
            continue;
        }
        size_t i = 0;
        while (i < count && (groups[i]->poster.post != op->poster.post ||
                             groups[i]->poster.context != op->poster.context))
            i++;
        if (i == count) {
            /* NOLINTNEXTLINE(bugprone-sizeof-expression): the elements are pointers */
            groups = xrealloc(groups, ++count * sizeof *groups);
            groups[i] = xalloc(sizeof *groups[i]);
            groups[i]->poster = op->poster;
            list_init(&groups[i]->ops);
        }
        list_add(&groups[i]->ops, op);
    }
    for (size_t i = 0; i < count; i++)
        room_post(&groups[i]->poster, run_answers, groups[i]);
    free(groups);
}

/* Commits. */

static void batch_clear(struct batch *b)
{
    free(b->lanes);
    free(b->touched);
    *b = (struct batch){.q = b->q, .notice_due_ms = INT64_MAX};
}

static int batch_begin(struct batch *b)
{
    batch_clear(b);
    int rc = store_begin(b->q->store, &b->txn);
    if (rc == 0)
        b->used = store_used(b->txn);
    return rc;
}

static void apply_tally(struct queue *q, const struct tally *change)
{
    pthread_mutex_lock(&q->tally_lock);
    for (size_t i = 0; i < COUNT_OF(change->recipients); i++)
        q->tally.recipients[i] += change->recipients[i];
    q->tally.messages += change->messages;
    pthread_mutex_unlock(&q->tally_lock);
}

static int batch_commit(struct writer *w, struct batch *b)
{
    uint64_t used = store_used(b->txn);
    CRASH_POINT("before-commit");
    int rc = store_commit(b->txn);
    b->txn = NULL;
    CRASH_POINT("after-commit");
    if (rc != 0)
        return rc;
    atomic_fetch_add(&w->commits, 1);
    atomic_store(&b->q->used, used);
    apply_tally(b->q, &b->tally);
    return 0;
}

static int run_all(struct batch *b, struct op *first)
{
    int rc = 0;
    for (struct op *op = first; rc == 0 && op; op = op->next) {
        op->answer = 0;
        op->is_unfinished = false;
        rc = op->run(op, b);
        CRASH_POINT("operation");
    }
    return rc;
}

/* Runs the operations of both lists and commits. */
static int try_group(struct writer *w, struct batch *b, struct op *first, struct op *idle)
{
    int rc = batch_begin(b);
    if (rc != 0)
        return rc;
    rc = run_all(b, first);
    if (rc == 0)
        rc = run_all(b, idle);
    if (rc == 0)
        rc = change_finish_touched(b);
    if (rc == 0)
        return batch_commit(w, b);
    store_abort(b->txn);
    b->txn = NULL;
    return rc;
}

static void complain(struct writer *w, int error, size_t count)
{
    int64_t now = clock_ms();
    if (now < w->complain_at_ms)
        return;
    w->complain_at_ms = now + COMPLAIN_MS;
    EVENT(room_events(w->q), EVENT_ERROR, "store-trouble",
          FIELD(KEY_ERROR, error == -ENOSPC ? "the store is full" : strerror(-error)),
          FIELD_NUMBER(KEY_COUNT, count));
}

/* What becomes of an operation after its commit (error 0), or without one. */
static void conclude(struct writer *w, struct op *op, int error, struct list *answered)
{
    if (error != 0) {
        complain(w, error, 1);
        if (op->is_durable && !atomic_load(&w->is_closing)) {
            list_add(&w->waiting, op);
            w->retry_at_ms = clock_ms() + RETRY_MS;
            return;
        }
        op->answer = error == -ENOSPC || error == -ENOMEM ? error : -EIO;
    }
    if (error == 0 && op->committed)
        op->committed(op, w->q);
    if (error == 0 && op->is_unfinished) {
        writer_submit(w->q, op);
        return;
    }
    if (op->answer != 0 && op->failed) {
        struct op *next = op->failed(op, w->q);
        if (next)
            writer_submit(w->q, next);
    }
    list_add(answered, op);
}

/* Ends idle operations; what was not done is counted. */
static void conclude_idle(struct writer *w, struct list *idle, bool is_done)
{
    uint64_t dropped = 0;
    for (struct op *op; (op = list_take(idle)) != NULL;) {
        dropped += !is_done || op->answer != 0;
        op_free(op);
    }
    pthread_mutex_lock(&w->lock);
    w->idle_dropped += dropped;
    pthread_mutex_unlock(&w->lock);
}

/* Runs and concludes operations in one commit. */
static int run_together(struct writer *w, struct list *ops, struct list *idle,
                        struct list *answered)
{
    struct batch b = {.q = w->q};
    int rc = try_group(w, &b, ops->first, idle->first);
    if (rc == 0) {
        conclude_idle(w, idle, true);
        for (struct op *op; (op = list_take(ops)) != NULL;)
            conclude(w, op, 0, answered);
        watches_tell(w->q->watches, &b);
    }
    batch_clear(&b);
    return rc;
}

static void run_alone(struct writer *w, struct op *op, struct list *answered)
{
    struct list one;
    struct list none;
    list_init(&one);
    list_init(&none);
    list_add(&one, op);
    int rc = run_together(w, &one, &none, answered);
    if (rc != 0)
        conclude(w, op, rc, answered);
}

static void run_list(struct writer *w, struct list *ops, struct list *idle)
{
    struct list answered;
    list_init(&answered);
    int rc = run_together(w, ops, idle, &answered);
    if (rc != 0 && idle->first) {
        conclude_idle(w, idle, false);
        rc = run_together(w, ops, idle, &answered);
    }
    if (rc != 0) {
        for (struct op *op; (op = list_take(ops)) != NULL;)
            run_alone(w, op, &answered);
    }
    answer_all(&answered);
    CRASH_POINT("answered");
}

static void retry_waiting(struct writer *w)
{
    struct list again = w->waiting;
    struct list answered;
    if (!w->waiting.first)
        return;
    list_init(&w->waiting);
    list_init(&answered);
    for (struct op *op; (op = list_take(&again)) != NULL;)
        run_alone(w, op, &answered);
    answer_all(&answered);
}

/* The thread. */

static bool take_group(struct writer *w, struct list *group)
{
    size_t count = 0;
    size_t weight = 0;
    list_init(group);
    while (w->mailbox.first && count < GROUP_OPS_MAX && weight < GROUP_WEIGHT_MAX) {
        struct op *op = list_take(&w->mailbox);
        weight += op->weight;
        count++;
        list_add(group, op);
    }
    return count > 0;
}

/* Idle operations for the group: along with others, when they have waited long enough, and at the
 * end. */
static bool take_idle(struct writer *w, bool is_group, struct list *idle)
{
    list_init(idle);
    if (!w->idle.first || (!is_group && !w->is_stopping && clock_ms() < w->idle_due_ms))
        return false;
    size_t weight = 0;
    for (size_t count = 0;
         w->idle.first && count < GROUP_IDLE_MAX && weight < GROUP_IDLE_WEIGHT_MAX; count++) {
        struct op *op = list_take(&w->idle);
        w->idle_count--;
        w->idle_weight -= op->weight;
        weight += op->weight;
        list_add(idle, op);
    }
    return true;
}

/* Sleeps until there is work or the next duty; the lock is held. */
static void doze(struct writer *w)
{
    int64_t until_ms = w->check_readers_at_ms;
    if (w->waiting.first && w->retry_at_ms < until_ms)
        until_ms = w->retry_at_ms;
    if (w->idle.first && w->idle_due_ms < until_ms)
        until_ms = w->idle_due_ms;
    if (w->sweep_at_ms < until_ms)
        until_ms = w->sweep_at_ms;
    bool is_last_try = w->waiting.first && atomic_load(&w->is_closing);
    struct timespec until = {.tv_sec = until_ms / 1000,
                             .tv_nsec = (long)(until_ms % 1000) * 1000000};
    if (!w->mailbox.first && !w->is_stopping && !is_last_try)
        pthread_cond_timedwait(&w->wake, &w->lock, &until);
}

static void tell_dropped(struct writer *w, int64_t now)
{
    pthread_mutex_lock(&w->lock);
    uint64_t dropped = now >= w->tell_dropped_at_ms ? w->idle_dropped : 0;
    w->idle_dropped -= dropped;
    pthread_mutex_unlock(&w->lock);
    if (dropped == 0)
        return;
    w->tell_dropped_at_ms = now + COMPLAIN_MS;
    EVENT(room_events(w->q), EVENT_WARNING, "learning-dropped", FIELD_NUMBER(KEY_COUNT, dropped));
}

static void do_duties(struct writer *w)
{
    int64_t now = clock_ms();
    if (w->waiting.first && (now >= w->retry_at_ms || atomic_load(&w->is_closing)))
        retry_waiting(w);
    if (now >= w->check_readers_at_ms) {
        store_check_readers(w->q->store);
        w->check_readers_at_ms = now + CHECK_READERS_MS;
    }
    tell_dropped(w, now);
    if (now >= w->sweep_at_ms) {
        w->sweep_at_ms = now + SWEEP_MS;
        learn_sweep(w->q, date_now(), NULL, NULL, NULL);
    }
}

/* At the end nothing can wait any longer. What still does not commit is told so: after the next
 * start these recipients are due again. */
static void give_up_waiting(struct writer *w)
{
    struct list answered;
    retry_waiting(w);
    list_init(&answered);
    for (struct op *op; (op = list_take(&w->waiting)) != NULL;) {
        op->answer = -EIO;
        list_add(&answered, op);
    }
    answer_all(&answered);
}

static void *writer_main(void *argument)
{
    struct writer *w = argument;
    struct list group;
    struct list idle;
    for (;;) {
        pthread_mutex_lock(&w->lock);
        doze(w);
        bool is_work = take_group(w, &group);
        is_work |= take_idle(w, is_work, &idle);
        bool is_end = !is_work && w->is_stopping;
        pthread_mutex_unlock(&w->lock);
        if (is_end)
            break;
        if (is_work)
            run_list(w, &group, &idle);
        do_duties(w);
    }
    give_up_waiting(w);
    return NULL;
}

int writer_start(struct queue *q, struct writer **out)
{
    struct writer *w = xalloc(sizeof *w);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&w->lock, NULL);
    w->q = q;
    list_init(&w->mailbox);
    list_init(&w->idle);
    list_init(&w->waiting);
    w->check_readers_at_ms = clock_ms() + CHECK_READERS_MS;
    w->sweep_at_ms = clock_ms() + SWEEP_FIRST_MS;
    *out = w;
    int rc = pthread_create(&w->thread, NULL, writer_main, w);
    if (rc != 0) {
        pthread_cond_destroy(&w->wake);
        pthread_mutex_destroy(&w->lock);
        free(w);
        *out = NULL;
    }
    return -rc;
}

void writer_begin_close(struct writer *w)
{
    pthread_mutex_lock(&w->lock);
    atomic_store(&w->is_closing, true);
    pthread_mutex_unlock(&w->lock);
    pthread_cond_signal(&w->wake);
}

void writer_stop(struct writer *w)
{
    pthread_mutex_lock(&w->lock);
    w->is_stopping = true;
    pthread_mutex_unlock(&w->lock);
    pthread_cond_signal(&w->wake);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
