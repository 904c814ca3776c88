#include "queue/incoming.h"

#include <errno.h>
#include <stdlib.h>

#include "queue/room.h"

/* Content is handed to the writer in chunks of whole pieces. A message that fits into one chunk
 * goes in with its commit and costs no write of its own. */
#define CHUNK_PIECES 16

struct queue_incoming {
    struct queue *q;
    struct queue_poster poster;
    uint64_t id;
    struct buffer tail;  /* not handed over yet; at most a chunk */
    size_t handed_bytes; /* with the writer, not yet answered */
    unsigned handed_count;
    uint32_t next_piece;
    uint64_t size;
    int error;       /* of a chunk; the poster's thread */
    int store_error; /* the same; the writer's thread */
    bool is_streaming;
    bool is_aborted;
    queue_done *drained; /* NULL: nobody waits */
    void *drained_context;
};

struct chunk_op {
    struct op op;
    struct queue_incoming *in; /* borrowed: it outlives its operations */
    uint64_t id;
    uint32_t first_piece;
    bool is_first;
    struct buffer content;
};

struct commit_op {
    struct op op;
    struct queue_incoming *in; /* owned from here on */
    uint32_t first_piece;
    bool is_streaming;
    int error; /* known before */
    struct prepared message;
};

struct forget_op {
    struct op op;
    uint64_t id;
};

static void incoming_free(struct queue_incoming *in)
{
    buffer_free(&in->tail);
    free(in);
}

/* Removing what a message left behind that will not be. */

static int run_forget(struct op *op, struct batch *b)
{
    return change_remove_content(b, ((struct forget_op *)op)->id);
}

static struct op *forget_new(uint64_t id)
{
    struct forget_op *forget = op_new(sizeof *forget, run_forget, NULL, NULL, NULL);
    forget->id = id;
    forget->op.is_durable = true;
    return &forget->op;
}

/* Chunks. */

static int run_chunk(struct op *op, struct batch *b)
{
    struct chunk_op *chunk = (struct chunk_op *)op;
    struct key key = key_id(chunk->id);
    /* Noted here and not only after the commit: the message's own commit may stand in this group.
     */
    if (chunk->in->store_error == 0 && !change_has_room(b, chunk->content.len))
        chunk->in->store_error = -ENOSPC;
    op->answer = chunk->in->store_error;
    if (op->answer != 0)
        return 0;
    int rc = 0;
    if (chunk->is_first)
        rc = store_put(b->txn, TABLE_PARTIAL, key_slice(&key), (struct slice){0});
    if (rc == 0)
        rc = change_add_content(b, chunk->id, chunk->first_piece, buffer_slice(&chunk->content));
    return rc;
}

static struct op *chunk_failed(struct op *op, struct queue *q)
{
    (void)q;
    ((struct chunk_op *)op)->in->store_error = op->answer;
    return NULL;
}

static void chunk_free(struct op *op)
{
    buffer_free(&((struct chunk_op *)op)->content);
    free(op);
}

static void chunk_done(void *context, int error)
{
    struct chunk_op *chunk = context;
    struct queue_incoming *in = chunk->in;
    in->handed_bytes -= chunk->content.len;
    in->handed_count--;
    if (error != 0)
        in->error = error;
    if (in->is_aborted) {
        if (in->handed_count == 0)
            incoming_free(in);
        return;
    }
    if (in->drained && (in->error || queue_incoming_pending(in) < QUEUE_INCOMING_PENDING_MAX / 2)) {
        queue_done *drained = in->drained;
        in->drained = NULL;
        /* May abort or commit, and so free `in`. */
        drained(in->drained_context, in->error);
    }
}

static struct chunk_op *chunk_new(struct queue_incoming *in,
                                  int (*run)(struct op *op, struct batch *b))
{
    struct chunk_op *chunk = op_new(sizeof *chunk, run, &in->poster, chunk_done, NULL);
    chunk->op.context = chunk;
    chunk->op.free = chunk_free;
    chunk->in = in;
    chunk->id = in->id;
    in->handed_count++;
    return chunk;
}

static void hand_over(struct queue_incoming *in)
{
    struct chunk_op *chunk = chunk_new(in, run_chunk);
    chunk->op.failed = chunk_failed;
    chunk->op.weight = in->tail.len;
    chunk->first_piece = in->next_piece;
    chunk->is_first = !in->is_streaming;
    chunk->content = in->tail;
    buffer_init(&in->tail, chunk->content.ceiling);
    in->handed_bytes += chunk->content.len;
    in->next_piece += CHUNK_PIECES;
    in->is_streaming = true;
    writer_submit(in->q, &chunk->op);
}

struct queue_incoming *queue_incoming_begin(struct queue *q, const struct queue_poster *poster)
{
    uint64_t id = room_new_id(q);
    struct queue_incoming *in = id ? calloc(1, sizeof *in) : NULL;
    if (!in)
        return NULL;
    in->q = q;
    in->poster = *poster;
    in->id = id;
    buffer_init(&in->tail, CHUNK_PIECES * store_piece_size(q->store));
    return in;
}

uint64_t queue_incoming_id(const struct queue_incoming *in)
{
    return in->id;
}

size_t queue_incoming_pending(const struct queue_incoming *in)
{
    return in->handed_bytes + in->tail.len;
}

int queue_incoming_append(struct queue_incoming *in, struct slice content)
{
    uint64_t expected = atomic_load(&in->q->used) + queue_incoming_pending(in) + content.len;
    if (in->error == 0 && expected > in->q->limit)
        in->error = -ENOSPC;
    while (in->error == 0 && content.len > 0) {
        if (buffer_room(&in->tail) == 0)
            hand_over(in);
        struct slice part = slice_sub(content, 0, buffer_room(&in->tail));
        if (!buffer_append(&in->tail, part)) {
            in->error = -ENOMEM;
            break;
        }
        in->size += part.len;
        content = slice_sub(content, part.len, content.len - part.len);
    }
    return in->error;
}

static int run_nothing(struct op *op, struct batch *b)
{
    (void)op;
    (void)b;
    return 0;
}

void queue_incoming_when_drained(struct queue_incoming *in, queue_done *drained, void *context)
{
    in->drained = drained;
    in->drained_context = context;
    /* Drained already: the answer still comes later, as the caller expects. */
    if (in->handed_count == 0)
        writer_submit(in->q, &chunk_new(in, run_nothing)->op);
}

/* The commit. */

static int run_commit(struct op *op, struct batch *b)
{
    struct commit_op *commit = (struct commit_op *)op;
    const struct queue_incoming *in = commit->in;
    struct key key = key_id(in->id);
    op->answer = commit->error ? commit->error : in->store_error;
    if (op->answer == 0 && commit->message.count == 0)
        op->answer = -EINVAL;
    if (op->answer == 0 && !change_has_room(b, in->tail.len + commit->message.recipients.len))
        op->answer = -ENOSPC;
    if (op->answer != 0)
        return 0;
    int rc = change_add_content(b, in->id, commit->first_piece, buffer_slice(&in->tail));
    if (rc == 0 && commit->is_streaming)
        rc = store_delete(b->txn, TABLE_PARTIAL, key_slice(&key));
    return rc == 0 ? change_add_message(b, &commit->message) : rc;
}

static struct op *commit_failed(struct op *op, struct queue *q)
{
    struct commit_op *commit = (struct commit_op *)op;
    (void)q;
    return commit->is_streaming ? forget_new(commit->in->id) : NULL;
}

static void commit_free(struct op *op)
{
    struct commit_op *commit = (struct commit_op *)op;
    struct queue_incoming *in = commit->in;
    prepared_free(&commit->message);
    in->is_aborted = true;
    if (in->handed_count == 0)
        incoming_free(in);
    free(op);
}

void queue_incoming_commit(struct queue_incoming *in, struct envelope *envelope,
                           int64_t arrived_at_ms, int64_t due_at_ms, queue_done *done,
                           void *context)
{
    struct commit_op *commit = op_new(sizeof *commit, run_commit, &in->poster, done, context);
    in->drained = NULL;
    commit->op.failed = commit_failed;
    commit->op.free = commit_free;
    commit->op.weight = in->tail.len;
    commit->in = in;
    commit->first_piece = in->next_piece;
    commit->is_streaming = in->is_streaming;
    commit->error = in->error;
    prepare(&commit->message, in->id, envelope, in->size, arrived_at_ms, due_at_ms);
    envelope_free(envelope);
    writer_submit(in->q, &commit->op);
}

void queue_incoming_abort(struct queue_incoming *in)
{
    if (!in)
        return;
    if (in->is_streaming)
        writer_submit(in->q, forget_new(in->id));
    in->is_aborted = true;
    if (in->handed_count == 0)
        incoming_free(in);
}
