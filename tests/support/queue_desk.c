#include "tests/support/queue_desk.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "queue/learn.h"

#include "queue/room.h"

struct desk_post {
    struct desk_post *next;
    void (*run)(void *argument);
    void *argument;
};

static void post(void *context, void (*run)(void *argument), void *argument)
{
    struct desk *d = context;
    struct desk_post *p = xalloc(sizeof *p);
    p->run = run;
    p->argument = argument;
    pthread_mutex_lock(&d->lock);
    *d->last = p;
    d->last = &p->next;
    pthread_cond_signal(&d->wake);
    pthread_mutex_unlock(&d->lock);
}

static void emit(void *context, enum event_severity severity, const char *event,
                 const struct event_field *fields, size_t count)
{
    struct desk *d = context;
    (void)severity;
    (void)fields;
    (void)count;
    pthread_mutex_lock(&d->lock);
    snprintf(d->last_event, sizeof d->last_event, "%s", event);
    d->event_count++;
    pthread_mutex_unlock(&d->lock);
}

void desk_done(void *context, int error)
{
    struct desk_answer *a = context;
    if (a->is_done)
        panic("answered twice");
    *a = (struct desk_answer){true, error};
}

int desk_try_open(struct desk *d, char *error, size_t error_size)
{
    struct queue_options options = {
        .directory = d->directory, .size_limit = d->limit, .events = &d->events};
    return queue_open(&options, &d->q, error, error_size);
}

void desk_open_at(struct desk *d, const char *directory, uint64_t limit)
{
    char error[256] = "";
    memset(d, 0, sizeof *d);
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->wake, NULL);
    d->last = &d->first;
    d->poster = (struct queue_poster){post, d};
    d->events = (struct event_sink){emit, d, EVENT_DEBUG};
    d->limit = limit;
    snprintf(d->directory, sizeof d->directory, "%s", directory);
    if (desk_try_open(d, error, sizeof error) != 0)
        panic("%s", error);
}

void desk_open(struct desk *d, uint64_t limit)
{
    char directory[] = "/tmp/sealpost-queue-XXXXXX";
    if (!mkdtemp(directory))
        panic("mkdtemp: %s", strerror(errno));
    desk_open_at(d, directory, limit);
}

void desk_run(struct desk *d)
{
    for (;;) {
        pthread_mutex_lock(&d->lock);
        struct desk_post *p = d->first;
        if (p) {
            d->first = p->next;
            if (!d->first)
                d->last = &d->first;
        }
        pthread_mutex_unlock(&d->lock);
        if (!p)
            return;
        p->run(p->argument);
        free(p);
    }
}

bool desk_wait_for(struct desk *d, const bool *flag, unsigned timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    for (;;) {
        desk_run(d);
        if (*flag)
            return true;
        int rc = 0;
        pthread_mutex_lock(&d->lock);
        while (!d->first && rc == 0)
            rc = pthread_cond_timedwait(&d->wake, &d->lock, &until);
        pthread_mutex_unlock(&d->lock);
        if (rc == ETIMEDOUT)
            return false;
    }
}

int desk_wait(struct desk *d, struct desk_answer *a)
{
    if (!desk_wait_for(d, &a->is_done, 10000))
        panic("no answer");
    return a->error;
}

static int run_nothing(struct op *op, struct batch *b)
{
    (void)op;
    (void)b;
    return 0;
}

void desk_flush(struct desk *d)
{
    struct desk_answer a = {0};
    writer_submit(d->q, op_new(sizeof(struct op), run_nothing, &d->poster, desk_done, &a));
    if (desk_wait(d, &a) != 0)
        panic("flush: %s", strerror(-a.error));
}

void desk_sweep(struct desk *d, int64_t now)
{
    struct desk_answer a = {0};
    learn_sweep(d->q, now, &d->poster, desk_done, &a);
    if (desk_wait(d, &a) != 0)
        panic("sweep: %s", strerror(-a.error));
}

struct put_op {
    struct op op;
    enum table table;
    struct slice key;
    struct slice value;
};

static int run_put(struct op *op, struct batch *b)
{
    struct put_op *put = (struct put_op *)op;
    return store_put(b->txn, put->table, put->key, put->value);
}

void desk_put(struct desk *d, enum table table, struct slice key, struct slice value)
{
    struct desk_answer a = {0};
    struct put_op *put = op_new(sizeof *put, run_put, &d->poster, desk_done, &a);
    put->table = table;
    put->key = key;
    put->value = value;
    writer_submit(d->q, &put->op);
    if (desk_wait(d, &a) != 0)
        panic("put: %s", strerror(-a.error));
}

void desk_shut(struct desk *d)
{
    queue_close(d->q);
    d->q = NULL;
    desk_run(d);
}

void desk_reopen(struct desk *d)
{
    char error[256] = "";
    desk_shut(d);
    if (desk_try_open(d, error, sizeof error) != 0)
        panic("%s", error);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void desk_close(struct desk *d)
{
    if (d->q)
        desk_shut(d);
    nftw(d->directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    pthread_mutex_destroy(&d->lock);
    pthread_cond_destroy(&d->wake);
}

char *desk_content(size_t size, unsigned seed)
{
    char *content = xalloc(size + 1);
    uint32_t x = seed * 2654435761u + 12345u;
    for (size_t i = 0; i < size; i++) {
        x = x * 1664525u + 1013904223u;
        content[i] = (char)(x >> 24);
    }
    return content;
}

static void drained(void *context, int error)
{
    desk_done(context, error);
}

int desk_queue(struct desk *d, const char *sender, const char *const *recipients, size_t count,
               size_t size, int64_t now_ms, uint64_t *id)
{
    struct envelope e;
    struct desk_answer a = {0};
    struct queue_incoming *in = queue_incoming_begin(d->q, &d->poster);
    if (!in)
        return -EIO;
    *id = queue_incoming_id(in);
    char *content = desk_content(size, (unsigned)*id);
    int rc = 0;
    for (size_t from = 0; rc == 0 && from < size; from += 10000) {
        size_t len = size - from < 10000 ? size - from : 10000;
        rc = queue_incoming_append(in, (struct slice){content + from, len});
        if (rc == 0 && queue_incoming_pending(in) >= QUEUE_INCOMING_PENDING_MAX) {
            struct desk_answer pause = {0};
            queue_incoming_when_drained(in, drained, &pause);
            rc = desk_wait(d, &pause);
        }
    }
    free(content);
    if (rc != 0) {
        queue_incoming_abort(in);
        return rc;
    }
    envelope_init(&e);
    envelope_set(&e.reverse_path, sender);
    envelope_set(&e.user, sender);
    e.size = size;
    for (size_t i = 0; i < count; i++)
        envelope_add(&e, recipients[i])->level = LEVEL_ENCRYPT;
    queue_incoming_commit(in, &e, now_ms, now_ms, desk_done, &a);
    envelope_free(&e);
    return desk_wait(d, &a);
}

uint64_t desk_one(struct desk *d, const char *recipient, int64_t now_ms)
{
    uint64_t id = 0;
    if (desk_queue(d, "alice@sender.example", &recipient, 1, 500, now_ms, &id) != 0)
        panic("desk_one: refused");
    return id;
}

struct lanes {
    struct queue_lane list[256];
    size_t count;
    bool is_told;
};

static void note_lane(void *context, const struct queue_lane *lane, int64_t due_at_ms)
{
    struct lanes *lanes = context;
    (void)due_at_ms;
    if (lanes->count < COUNT_OF(lanes->list))
        lanes->list[lanes->count++] = *lane;
    lanes->is_told = true;
}

size_t desk_take(struct desk *d, int64_t now_ms, struct queue_recipient *out, size_t max)
{
    static struct lanes lanes;
    size_t count = 0;
    int64_t next;
    lanes.count = 0;
    lanes.is_told = false;
    struct queue_watch *w = queue_watch_lanes(d->q, &d->poster, 0, 1, note_lane, &lanes);
    desk_run(d);
    queue_unwatch(w);
    for (size_t i = 0; i < lanes.count && count < max; i++) {
        ptrdiff_t got = queue_take(d->q, &lanes.list[i], now_ms, out + count, max - count, &next);
        if (got < 0)
            panic("queue_take: %s", strerror((int)-got));
        count += (size_t)got;
    }
    return count;
}

struct queue_result desk_result(const struct queue_recipient *r, enum disposition disposition,
                                enum queue_report report, int64_t now_ms)
{
    struct queue_result result = {
        .id = r->id,
        .index = r->index,
        .disposition = disposition,
        .outcome = outcome_local(status_make(disposition == DISPOSITION_DELIVERED  ? 2
                                             : disposition == DISPOSITION_DEFERRED ? 4
                                                                                   : 5,
                                             7, 4),
                                 "because of a test"),
        .attempted_at_ms = now_ms,
        .report = report,
    };
    if (disposition == DISPOSITION_DEFERRED)
        result.next_attempt_at_ms = now_ms + 300000;
    if (disposition == DISPOSITION_HELD) {
        result.expires_at_ms = now_ms + 7 * 86400000LL;
        result.required = "TLS";
        result.evidence = "mx.example[192.0.2.1]:25 offered no STARTTLS";
    }
    return result;
}

int desk_settle(struct desk *d, const struct queue_result *results, size_t count)
{
    struct desk_answer a = {0};
    queue_settle(d->q, results, count, &d->poster, desk_done, &a);
    return desk_wait(d, &a);
}

int desk_recipient(struct desk *d, uint64_t id, uint32_t index, struct queue_recipient *out)
{
    struct queue_recipient *list;
    size_t count;
    int rc = queue_recipients_read(d->q, id, &list, &count);
    if (rc != 0)
        return rc;
    rc = -ENOENT;
    for (size_t i = 0; i < count; i++) {
        if (list[i].index != index)
            continue;
        *out = list[i];
        list[i] = (struct queue_recipient){0};
        rc = 0;
    }
    queue_recipients_free(list, count);
    return rc;
}

struct damage_op {
    struct op op;
    const char *key;
};

static int run_damage(struct op *op, struct batch *b)
{
    struct damage_op *damage = (struct damage_op *)op;
    return store_put(b->txn, TABLE_ACCOUNT, slice_of(damage->key), SLICE("?"));
}

void desk_damage_account(struct desk *d, const char *key)
{
    struct desk_answer a = {0};
    struct damage_op *damage = op_new(sizeof *damage, run_damage, &d->poster, desk_done, &a);
    damage->key = key;
    writer_submit(d->q, &damage->op);
    if (desk_wait(d, &a) != 0)
        panic("the account could not be damaged");
}
