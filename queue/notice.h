/* notice.h - the durable orders for notices (GUARANTEE.md section 4): which message has something
 * to report and when it is due.
 *
 * An order is stored by queue_settle() in the commit of the outcome itself: due at once if no other
 * recipient of the message is on its first attempt, else after at most one second. */
#ifndef QUEUE_NOTICE_H
#define QUEUE_NOTICE_H

#include "queue/message.h"

/* After every commit that stored an order, on the poster's thread, and once for the earliest order
 * when set (with 0 where the orders could not be read then). One watcher. */
typedef void queue_notice_event(void *context, int64_t due_at_ms);
struct queue_notice_watch;
NODISCARD struct queue_notice_watch *queue_watch_notices(struct queue *q,
                                                         const struct queue_poster *poster,
                                                         queue_notice_event *event, void *context);
void queue_unwatch_notices(struct queue_notice_watch *w);
/* Message IDs whose order is due at now_ms, oldest first; *next_due_at_ms: of the first not
 * returned (INT64_MAX: none). Returns how many. Negative errno: the store could not be read and
 * *next_due_at_ms says nothing; try again in some seconds. */
NODISCARD ptrdiff_t queue_notices_due(struct queue *q, int64_t now_ms, uint64_t *ids, size_t max,
                                      int64_t *next_due_at_ms);

struct queue_reported {
    uint32_t index;
    enum queue_report report;   /* what was reported: a recipient whose report has changed meanwhile
                                   stays unreported */
    int64_t last_attempt_at_ms; /* likewise */
    uint32_t notice;            /* which of the notices tells of it; QUEUE_NO_NOTICE: none does */
};
#define QUEUE_NO_NOTICE UINT32_MAX
/* A notice to be queued, due at once. */
struct queue_notice {
    struct envelope envelope; /* content is taken (left empty) */
    struct slice content;     /* borrowed, copied */
    uint64_t id;              /* from queue_notice_id() */
};
/* An ID for a notice about to be made (it stands in its Message-ID). Never blocks. 0: the store is
 * broken. */
uint64_t queue_notice_id(struct queue *q);
/* In one commit: queues the notices (count may be 0: nobody can be told), marks the recipients as
 * reported, ends the order (or keeps it when something is still unreported), removes what has
 * nothing left to do. done: 0, -ENOSPC: try again later. Notices are not refused for queue_size:
 * they may use the map's headroom. An order that is kept is due as before.
 * -ESTALE: of one of the notices there is nothing left to tell (released, or told already); nothing
 * was queued or marked, and the order is kept if something is still unreported: make them anew.
 * -ENOENT: the message is gone; an order that it left behind is dropped with an event. */
void queue_notices_commit(struct queue *q, uint64_t id, const struct queue_reported *reported,
                          size_t reported_count, struct queue_notice *notices, size_t count,
                          const struct queue_poster *poster, queue_done *done, void *context);

#endif
