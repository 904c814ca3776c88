/* queue.h - all that must outlive a crash: messages, recipients, held messages, accounts, forwards,
 * exceptions, and what was learnt about destinations.
 *
 * One store, one writer thread, group commit: callers hand in work and are called back once it is
 * on stable storage. Reading functions (those that take no poster) run at once on the caller's
 * thread, in a read transaction that ends before they return; they may be called from any thread.
 * Nothing about the engine (LMDB) is visible outside this room; operations are named for what they
 * mean, so that another engine can take its place. */
#ifndef QUEUE_QUEUE_H
#define QUEUE_QUEUE_H

#include "mail/envelope.h"
#include "mail/event.h"
#include "mail/outcome.h"

struct queue; /* opaque */

/* Where an answer is wanted: `post` must arrange for run(argument) on the thread that owns
 * `context` (a loop), in the order of the calls, and may be called from any thread. It must not
 * drop a call: what `argument` holds is freed by the run. Copied by the callee. */
struct queue_poster {
    void (*post)(void *context, void (*run)(void *argument), void *argument);
    void *context;
};
/* Called once, on the poster's thread, after the commit (error 0), or when nothing was changed
 * (negative errno: -ENOSPC full, -ENOENT no such thing, -EEXIST there already, -EINVAL refused as
 * it stands, -EIO store broken). */
typedef void queue_done(void *context, int error);

struct queue_options {
    const char *directory; /* state_directory; made (0700) when missing */
    uint64_t size_limit;   /* limits.queue_size in bytes; new mail is refused with -ENOSPC above it,
                              while outcomes still commit */
    const struct event_sink *events; /* borrowed until queue_close(); may be NULL */
};

/* Takes the exclusive lock on directory/lock, opens (or makes) the store, checks its format
 * version, sweeps what unfinished incoming messages left behind, and starts the writer thread. 0,
 * or negative errno with the words in error[]: -EWOULDBLOCK the lock is held; -EPROTO the store is
 * of a newer format. */
NODISCARD int queue_open(const struct queue_options *options, struct queue **out, char *error,
                         size_t error_size);
/* The time for an orderly end is over: what can still be committed is, but an outcome whose commit
 * fails is given up after one more try instead of being kept (queue_settle()): its done gets the
 * error, and the recipient is due again, as it was, at the next start. Until then its lease holds:
 * nobody is to send it once more before. Any thread; cannot be taken back. */
void queue_begin_close(struct queue *q);
/* Commits what was handed in, posts all answers, stops the thread, closes. No other call may be
 * under way; incoming messages are committed or aborted and watches closed before. Answers posted
 * by it may run after it returned. */
void queue_close(struct queue *q);

struct queue_status {
    uint64_t queued;   /* recipients never tried yet */
    uint64_t deferred; /* recipients */
    uint64_t held;     /* recipients */
    uint64_t messages;
    uint64_t used_bytes;
    uint64_t limit_bytes;
    uint64_t oldest_reader_ms; /* age of the oldest read transaction, for the operator */
    uint64_t commits;          /* since open */
};
void queue_status(struct queue *q, struct queue_status *out);
/* Would new mail be refused (-ENOSPC) as of the last commit? Takes no lock. */
bool queue_is_full(const struct queue *q);

#endif
