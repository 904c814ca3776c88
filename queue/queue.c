#include "queue/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mail/date.h"
#include "queue/room.h"

/* IDs are handed out from memory below a durable limit, which the writer moves on ahead of time.
 * After a crash we go on at the limit: what was handed out below it is never used again. */
#define ID_RESERVE ((uint64_t)1 << 20)
/* A new store starts at the present millisecond, shifted: its IDs lie above all those that an
 * earlier store in the same place handed out, and have the usual number of digits. */
#define ID_TIME_SHIFT 16

const struct event_sink *room_events(struct queue *q)
{
    return q->events.emit ? &q->events : NULL;
}

void room_post(const struct queue_poster *poster, void (*run)(void *argument), void *argument)
{
    poster->post(poster->context, run, argument);
}

char *room_text(const char *text)
{
    return xstrdup(text ? text : "");
}

uint64_t room_hash(struct slice s)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < s.len; i++)
        hash = (hash ^ (uint8_t)s.data[i]) * 0x100000001b3u;
    return hash;
}

uint32_t room_flow(const char *user, const char *reverse_path)
{
    uint64_t hash = room_hash(slice_of(user && *user ? user : reverse_path));
    return (uint32_t)(hash ^ hash >> 32);
}

/* IDs. */

struct reserve_op {
    struct op op;
    uint64_t limit;
};

static int store_id_limit(struct txn *txn, uint64_t limit)
{
    struct key value = key_id(limit);
    return store_put(txn, TABLE_META, SLICE("id_limit"), key_slice(&value));
}

static int run_reserve(struct op *op, struct batch *b)
{
    struct reserve_op *reserve = (struct reserve_op *)op;
    reserve->limit = atomic_load(&b->q->id_limit) + ID_RESERVE;
    return store_id_limit(b->txn, reserve->limit);
}

static void reserve_committed(struct op *op, struct queue *q)
{
    atomic_store(&q->id_limit, ((struct reserve_op *)op)->limit);
    atomic_store(&q->is_reserving, false);
}

uint64_t room_new_id(struct queue *q)
{
    uint64_t id = atomic_fetch_add(&q->next_id, 1);
    uint64_t limit = atomic_load(&q->id_limit);
    if (id + ID_RESERVE / 2 > limit && !atomic_exchange(&q->is_reserving, true)) {
        struct op *op = op_new(sizeof(struct reserve_op), run_reserve, NULL, NULL, NULL);
        op->committed = reserve_committed;
        op->is_durable = true;
        writer_submit(q, op);
    }
    return id < limit ? id : 0;
}

/* Opening. */

static int take_lock(const char *directory, int *fd, char *error, size_t error_size)
{
    char path[4096];
    if (mkdir(directory, 0700) != 0 && errno != EEXIST) {
        int rc = -errno;
        snprintf(error, error_size, "%s: %s", directory, strerror(-rc));
        return rc;
    }
    snprintf(path, sizeof path, "%s/lock", directory);
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (*fd < 0) {
        int rc = -errno;
        snprintf(error, error_size, "%s: %s", path, strerror(-rc));
        return rc;
    }
    if (flock(*fd, LOCK_EX | LOCK_NB) != 0) {
        int rc = -errno;
        snprintf(error, error_size, "%s: %s", path,
                 rc == -EWOULDBLOCK ? "held by another process that uses this store"
                                    : strerror(-rc));
        return rc;
    }
    return 0;
}

/* Content of messages that were never committed. */
static int sweep(struct batch *b, size_t *swept)
{
    struct cursor c;
    for (*swept = 0;; ++*swept) {
        uint64_t id = 0;
        int rc = cursor_open(b->txn, TABLE_PARTIAL, &c);
        if (rc == 0)
            rc = cursor_seek(&c, (struct slice){0});
        if (rc == 0 && !key_get_id(c.key, &id))
            rc = -EIO;
        cursor_close(&c);
        if (rc != 0)
            return rc == -ENOENT ? 0 : rc;
        rc = change_remove_content(b, id);
        if (rc != 0)
            return rc;
    }
}

static int count_all(struct batch *b)
{
    struct cursor c;
    struct record_peek peek;
    int rc = cursor_open(b->txn, TABLE_RECIPIENT, &c);
    if (rc == 0)
        rc = cursor_seek(&c, (struct slice){0});
    for (; rc == 0; rc = cursor_next(&c)) {
        if (record_peek_recipient(c.value, &peek))
            b->tally.recipients[peek.state]++;
    }
    cursor_close(&c);
    if (rc == -ENOENT)
        rc = cursor_open(b->txn, TABLE_MESSAGE, &c);
    if (rc == 0)
        rc = cursor_seek(&c, (struct slice){0});
    for (; rc == 0; rc = cursor_next(&c))
        b->tally.messages++;
    cursor_close(&c);
    return rc == -ENOENT ? 0 : rc;
}

static int start_ids(struct queue *q, struct txn *txn)
{
    struct slice value;
    uint64_t next = (uint64_t)date_now_ms() << ID_TIME_SHIFT;
    int rc = store_get(txn, TABLE_META, SLICE("id_limit"), &value);
    if (rc == 0) {
        next = record_number(value);
        if (next == 0)
            return -EIO;
    } else if (rc != -ENOENT) {
        return rc;
    }
    atomic_store(&q->next_id, next);
    atomic_store(&q->id_limit, next + ID_RESERVE);
    return store_id_limit(txn, next + ID_RESERVE);
}

static int prepare_store(struct queue *q, char *error, size_t error_size)
{
    struct batch b = {.q = q, .notice_due_ms = INT64_MAX};
    size_t swept = 0;
    int rc = store_begin(q->store, &b.txn);
    if (rc == 0) {
        rc = sweep(&b, &swept);
        if (rc == 0)
            rc = start_ids(q, b.txn);
        if (rc == 0)
            rc = count_all(&b);
        atomic_store(&q->used, store_used(b.txn));
        if (rc == 0)
            rc = store_commit(b.txn);
        else
            store_abort(b.txn);
    }
    free(b.lanes);
    q->tally = b.tally;
    if (rc != 0)
        snprintf(error, error_size, "preparing the store: %s", strerror(-rc));
    else if (swept > 0)
        EVENT(room_events(q), EVENT_INFO, "store-swept", FIELD_NUMBER(KEY_COUNT, swept));
    return rc;
}

static void discard(struct queue *q)
{
    store_close(q->store);
    if (q->lock_fd >= 0)
        close(q->lock_fd);
    leases_free(q->leases);
    watches_free(q->watches);
    pthread_mutex_destroy(&q->tally_lock);
    free(q);
}

int queue_open(const struct queue_options *options, struct queue **out, char *error,
               size_t error_size)
{
    struct queue *q = xalloc(sizeof *q);
    q->lock_fd = -1;
    q->limit = options->size_limit;
    if (options->events)
        q->events = *options->events;
    q->leases = leases_new();
    q->watches = watches_new();
    pthread_mutex_init(&q->tally_lock, NULL);
    int rc = take_lock(options->directory, &q->lock_fd, error, error_size);
    if (rc == 0)
        rc = store_open(options->directory, options->size_limit, &q->store, error, error_size);
    if (rc == 0)
        rc = prepare_store(q, error, error_size);
    if (rc == 0) {
        rc = writer_start(q, &q->writer);
        if (rc != 0)
            snprintf(error, error_size, "starting the writer: %s", strerror(-rc));
    }
    if (rc != 0) {
        discard(q);
        return rc;
    }
    *out = q;
    return 0;
}

void queue_begin_close(struct queue *q)
{
    writer_begin_close(q->writer);
}

void queue_close(struct queue *q)
{
    if (!q)
        return;
    writer_stop(q->writer);
    discard(q);
}

void queue_status(struct queue *q, struct queue_status *out)
{
    pthread_mutex_lock(&q->tally_lock);
    struct tally t = q->tally;
    pthread_mutex_unlock(&q->tally_lock);
    *out = (struct queue_status){
        .queued = (uint64_t)t.recipients[QUEUE_QUEUED],
        .deferred = (uint64_t)t.recipients[QUEUE_DEFERRED],
        .held = (uint64_t)t.recipients[QUEUE_HELD],
        .messages = (uint64_t)t.messages,
        .used_bytes = atomic_load(&q->used),
        .limit_bytes = q->limit,
        .oldest_reader_ms = store_oldest_view_ms(q->store),
        .commits = writer_commits(q->writer),
    };
}

bool queue_is_full(const struct queue *q)
{
    return atomic_load(&q->used) + MESSAGE_OVERHEAD > q->limit;
}
