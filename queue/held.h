/* held.h - what the administrator does with held and queued mail. All calls answer through the
 * poster after the commit. */
#ifndef QUEUE_HELD_H
#define QUEUE_HELD_H

#include "queue/message.h"

enum queue_release_mode {
    QUEUE_RELEASE, /* without the guarantee: EXEMPTION_RELEASE. -EPERM where is_release_refused, or
                      is_force_needed */
    QUEUE_RELEASE_FORCE,   /* EXEMPTION_RELEASE_FORCE. -EPERM where is_release_refused */
    QUEUE_RELEASE_RECHECK, /* under the guarantee, with the exemption of reception if there was one
                            */
};
/* Releases the held recipients named (count 0: all held ones of the message) as of now_ms: due at
 * once, lifetime, patience, warn_after and schedule start anew (attempts count from 0; a stop whose
 * notice was not made yet is not reported any more), is_urgent. All or nothing. -ENOENT: no such
 * message, or a named recipient is not held there. */
void queue_release(struct queue *q, uint64_t id, const struct address *recipients, size_t count,
                   enum queue_release_mode mode, int64_t now_ms, const struct queue_poster *poster,
                   queue_done *done, void *context);
/* Removes the held recipients of a message; one whose notice is not made yet stays as DISCARDED
 * until it is. -ENOENT: none held. */
void queue_drop(struct queue *q, uint64_t id, const struct queue_poster *poster, queue_done *done,
                void *context);
/* Makes deferred recipients of one message (-ENOENT: no such), or of all (id 0), due now; these,
 * and those that were due already, become is_urgent. What is held back stays so. */
void queue_retry(struct queue *q, uint64_t id, int64_t now_ms, const struct queue_poster *poster,
                 queue_done *done, void *context);
/* Removes a message with all its recipients, held ones too. -ENOENT. */
void queue_remove(struct queue *q, uint64_t id, const struct queue_poster *poster, queue_done *done,
                  void *context);
/* Calls visit for messages that have held recipients, as queue_walk() does. */
uint64_t queue_held_walk(struct queue *q, uint64_t after, size_t max, queue_visit *visit,
                         void *context);
/* Removes held recipients whose time is over and whose notice was made (or can never be made); one
 * event each. To be called now and then (a minute). */
void queue_expire_held(struct queue *q, int64_t now_ms, const struct queue_poster *poster,
                       queue_done *done, void *context);

#endif
