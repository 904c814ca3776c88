/* lanes.h - which senders' mail waits for which domain, and when the next of it is due.
 *
 * What is known here came from the queue's lane events; a lane that has nothing waiting is
 * forgotten. Loop thread only. */
#ifndef GATEWAY_DELIVERY_LANES_H
#define GATEWAY_DELIVERY_LANES_H

#include <sys/queue.h>

#include "queue/due.h"

struct lane {
    struct queue_lane key;
    int64_t due_at_ms;       /* wall clock */
    size_t position;         /* in the heap; LANE_OUTSIDE while a destination works on it */
    TAILQ_ENTRY(lane) entry; /* in that destination's list */
};
TAILQ_HEAD(lane_list, lane);
#define LANE_OUTSIDE SIZE_MAX

struct lanes {
    void *tree;         /* of struct lane by key (tsearch); owns them */
    struct lane **heap; /* owned array: waiting lanes, earliest first */
    size_t count, capacity;
};

void lanes_init(struct lanes *l);
void lanes_free(struct lanes *l);
/* Something of this lane is due at that time: remembers the lane, or moves it to the earlier time.
 * A lane a destination works on is left there: it asks the queue again before it lets go. */
void lanes_note(struct lanes *l, const struct queue_lane *key, int64_t due_at_ms);
/* When the earliest waiting lane is due; INT64_MAX: none. */
int64_t lanes_next_due(const struct lanes *l);
/* Takes a lane that is due out of the waiting ones; NULL: none is due. Then lanes_wait() or
 * lanes_forget() it. */
struct lane *lanes_take_due(struct lanes *l, int64_t now_ms);
void lanes_wait(struct lanes *l, struct lane *lane, int64_t due_at_ms);
void lanes_forget(struct lanes *l, struct lane *lane);

#endif
