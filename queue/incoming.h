/* incoming.h - taking a message into the store: begin, append, commit.
 *
 * Content streams into the store in bounded pieces while it arrives; a message that was not
 * committed leaves nothing (abort, or the sweep at the next start). One thread (the poster's) per
 * incoming message. */
#ifndef QUEUE_INCOMING_H
#define QUEUE_INCOMING_H

#include "queue/queue.h"

struct queue_incoming; /* opaque */

/* Bytes that may wait in memory for the store, per message; above them stop reading from the
 * client. */
#define QUEUE_INCOMING_PENDING_MAX ((size_t)256 * 1024)

/* Hands out a queue ID that was never used and never will be again. Never blocks. NULL: out of
 * memory, or the store is broken. */
NODISCARD struct queue_incoming *queue_incoming_begin(struct queue *q,
                                                      const struct queue_poster *poster);
uint64_t queue_incoming_id(const struct queue_incoming *in);
/* Copies content behind what came before. 0; -ENOSPC: full (abort it; 452 4.3.1); -ENOMEM. May be
 * called above the ceiling, but the caller should have stopped. */
NODISCARD int queue_incoming_append(struct queue_incoming *in, struct slice content);
size_t queue_incoming_pending(const struct queue_incoming *in);
/* Calls drained(context, 0) once pending is below half the ceiling again (or with an error when the
 * store refused a piece). One at a time. */
void queue_incoming_when_drained(struct queue_incoming *in, queue_done *drained, void *context);
/* Makes the message and all its recipients durable and due at due_at_ms (wall clock), then calls
 * done. Takes the content of *envelope (left empty, as after envelope_free()); its size is what was
 * appended. After done, and only then, `in` is gone. -ENOSPC, -ENOMEM, -EIO, or -EINVAL (no
 * recipient): nothing was kept. */
void queue_incoming_commit(struct queue_incoming *in, struct envelope *envelope,
                           int64_t arrived_at_ms, int64_t due_at_ms, queue_done *done,
                           void *context);
/* Forgets the message. `in` is gone at once; its `when_drained` is not called any more. Not after
 * commit. */
void queue_incoming_abort(struct queue_incoming *in);

#endif
