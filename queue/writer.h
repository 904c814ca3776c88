/* writer.h - the one thread that writes: operations in, commits out, answers back.
 *
 * An operation is a struct with `struct op` as its first member. The writer takes all that wait,
 * runs them in one transaction, commits, then answers all of them on their posters' threads. What
 * piles up during a commit makes the next group: no artificial delay. When the engine refuses one
 * of them, the transaction is given up and each operation gets a transaction of its own, so that
 * only the culprit fails. */
#ifndef QUEUE_WRITER_H
#define QUEUE_WRITER_H

#include "queue/change.h"
#include "queue/queue.h"

struct op {
    /* Works inside b->txn. 0, with op->answer set where it refuses (what was asked for must not
     * have been written then), or the store's error. May run more than once (an aborted group): it
     * starts from nothing. */
    int (*run)(struct op *op, struct batch *b);
    /* After the commit that holds it, on the writer's thread; may be NULL. */
    void (*committed)(struct op *op, struct queue *q);
    /* On the writer's thread, when the answer is an error; what it returns is run next. May be
     * NULL. */
    struct op *(*failed)(struct op *op, struct queue *q);
    void (*free)(struct op *op); /* NULL: free() */
    struct queue_poster poster;
    queue_done *done; /* NULL: nobody waits */
    void *context;
    size_t weight;   /* octets of content in it */
    bool is_durable; /* a failed commit is tried again until it succeeds */
    /* All below is the writer's. */
    bool is_unfinished; /* set by run: after this commit, run again (a long job in bounded steps) */
    int answer;
    struct op *next;
};

struct writer; /* opaque */

NODISCARD int writer_start(struct queue *q, struct writer **out);
/* From now on a durable operation is given up like any other. Any thread. */
void writer_begin_close(struct writer *w);
/* Commits and answers what was handed in, then stops. */
void writer_stop(struct writer *w);
/* Takes the operation; any thread. */
void writer_submit(struct queue *q, struct op *op);
/* Takes an operation that nobody waits for and nothing depends on. It goes along with the next
 * commit, or has one of its own a second later; where a commit fails, it is given up so that the
 * others get theirs. While too many wait it is dropped at once. What is dropped, here or by an
 * answer other than 0, is counted and told in an event, at most once a minute. Any thread. */
void writer_submit_idle(struct queue *q, struct op *op);
/* Fills in the usual members of a new operation of `size` octets. */
NODISCARD void *op_new(size_t size, int (*run)(struct op *op, struct batch *b),
                       const struct queue_poster *poster, queue_done *done, void *context);
uint64_t writer_commits(struct writer *w);

/* The named points where the crash tests kill the process; defined by those tests alone. */
#ifdef SEALPOST_CRASH_POINTS
__attribute__((weak)) void queue_crash_point(const char *name);
#define CRASH_POINT(name)                                                                          \
    do {                                                                                           \
        if (queue_crash_point)                                                                     \
            queue_crash_point(name);                                                               \
    } while (0)
#else
#define CRASH_POINT(name) ((void)0)
#endif

#endif
