/* change.h - what operations do to the store, within the writer's transaction.
 *
 * Keeps the tables in step: a recipient's record with its place in the lanes or among the held, a
 * message with its order for a notice and its end. All return 0 or the store's error. Writer's
 * thread. */
#ifndef QUEUE_CHANGE_H
#define QUEUE_CHANGE_H

#include "queue/record.h"
#include "queue/store.h"

/* How the counts of queue_status() change with a transaction. */
struct tally {
    int64_t recipients[QUEUE_DISCARDED + 1]; /* by state */
    int64_t messages;
};

struct lane_due {
    struct queue_lane lane;
    int64_t due_at_ms;
};

/* One transaction of the writer, and what follows from it once it is committed. */
struct batch {
    struct queue *q;
    struct txn *txn;
    struct tally tally;
    uint64_t used;          /* bytes, before */
    uint64_t added;         /* bytes, by new mail in it */
    struct lane_due *lanes; /* owned */
    size_t lane_count;
    size_t lane_room;
    int64_t notice_due_ms; /* the earliest order stored; INT64_MAX: none */
    /* What change_finish_touched() has yet to finish; one message may stand here several times. */
    struct touched {
        uint64_t id;
        int64_t now_ms;
    } * touched; /* owned */
    size_t touched_count;
    size_t touched_room;
};

/* What a message takes besides its content, at most in the common case. */
#define MESSAGE_OVERHEAD 4096

/* May new mail of that size still come in? Counts it when it may. */
bool change_has_room(struct batch *b, uint64_t size);
/* The same for a notice, which may use most of the headroom. */
bool change_has_notice_room(struct batch *b, uint64_t size);

/* A message as it will be stored, encoded on the caller's thread. */
struct prepared {
    uint64_t id;
    struct buffer message;
    struct buffer recipients; /* records, one behind the other */
    size_t count;
    struct prepared_recipient {
        size_t end; /* of its record in `recipients` */
        struct queue_lane lane;
    } * lanes; /* owned */
    int64_t due_at_ms;
    uint64_t size;
};
/* Reads the envelope; size is the content's. */
void prepare(struct prepared *p, uint64_t id, const struct envelope *e, uint64_t size,
             int64_t arrived_at_ms, int64_t due_at_ms);
void prepared_free(struct prepared *p);

int change_add_message(struct batch *b, const struct prepared *p);
int change_add_content(struct batch *b, uint64_t id, uint32_t first_piece, struct slice content);
int change_remove_content(struct batch *b, uint64_t id);

/* -ENOENT: no such recipient. Of a damaged record: -EBADMSG. */
int change_peek(struct batch *b, uint64_t id, uint32_t index, struct record_peek *peek);
int change_read(struct batch *b, uint64_t id, uint32_t index, struct queue_recipient *r,
                uint32_t *flow);
/* Stores r (id, index and all) in place of what `before` says. */
int change_recipient(struct batch *b, const struct record_peek *before,
                     const struct queue_recipient *r);
int change_remove_recipient(struct batch *b, uint64_t id, uint32_t index,
                            const struct record_peek *before);

/* Sets is_guarded of a message for good. One that is gone or damaged is passed over. */
int change_guard_message(struct batch *b, uint64_t id);

/* Called with 0 or more recipients of a message; stops at the first result other than 0 and returns
 * it. It may change or remove the recipient it is given. Finishes the message first when it was
 * touched. */
typedef int change_visit(struct batch *b, uint64_t id, uint32_t index,
                         const struct record_peek *peek, void *context);
int change_each_recipient(struct batch *b, uint64_t id, change_visit *visit, void *context);
/* To be called for each message changed, last: orders a notice where something is unreported
 * (now, or at most a second later while a recipient is on its first attempt), cancels one that has
 * nothing left to say, and removes the message when no recipient is left. */
int change_finish_message(struct batch *b, uint64_t id, int64_t now_ms);
/* The same, later: once for all operations of the batch that touch the message, at the earliest
 * now_ms of them. To finish a message means to look at all its recipients: with thousands of them,
 * settled one by one, that must not be done for each. */
void change_touch_message(struct batch *b, uint64_t id, int64_t now_ms);
/* The writer's, behind the last operation of the batch. */
int change_finish_touched(struct batch *b);
/* Ends the order of a message whose record is gone. *was_there: there was one. */
int change_drop_order(struct batch *b, uint64_t id, bool *was_there);
int change_remove_message(struct batch *b, uint64_t id); /* with all its recipients */
/* Finishes the message first when it was touched: it may be gone with that. */
bool change_has_message(struct batch *b, uint64_t id, int *error);

#endif
