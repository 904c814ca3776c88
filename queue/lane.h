/* lane.h - telling the delivery side about lanes, and the notice maker about orders. */
#ifndef QUEUE_LANE_H
#define QUEUE_LANE_H

#include "queue/change.h"

struct watches; /* opaque */

NODISCARD struct watches *watches_new(void);
void watches_free(struct watches *w);
/* After a commit: posts the batch's lanes (sorted and merged here) and its earliest order. */
void watches_tell(struct watches *w, struct batch *b);
/* Notes that a recipient of this lane became due; within the batch. */
void lane_note(struct batch *b, const struct queue_lane *lane, int64_t due_at_ms);

#endif
