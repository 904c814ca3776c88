/* attempt.h - one attempt for one message's recipients at one destination: host by host until each
 * recipient is decided.
 *
 * Walks the MX hosts in order of preference (equal ones shuffled, each with all its addresses),
 * asks the judge about every connection, sends what it passes, and hands the queue one result per
 * recipient and one log line. Loop thread only.
 *
 *     resolve -> next_host -> look up host -> next_address -> connect -> rested -> send -> sent
 *                    ^                             ^--------------------------------'   |
 *                    '------------------------------------------------------------------'  ->
 * settle
 */
#ifndef GATEWAY_DELIVERY_ATTEMPT_H
#define GATEWAY_DELIVERY_ATTEMPT_H

#include "gateway/delivery/destination.h"
#include "gateway/posture/posture.h"

struct attempt; /* opaque */

struct attempt_options {
    struct loop *loop;
    struct queue *queue;
    struct dns *dns;
    struct sts *sts;
    struct posture *posture;
    struct delivery_settings *settings; /* a reference is taken */
    const struct event_sink *events;
    struct destination *destination;    /* borrowed until `left` */
    const char *domain;                 /* of the recipients; copied */
    struct queue_message message;       /* taken over */
    struct queue_recipient *recipients; /* array and contents taken over; leased */
    size_t count;
    /* The destination is free for the next attempt. Then, when the queue has committed all results,
     * `settled`: the attempt is gone after that. */
    void (*left)(void *context, struct attempt *a, struct destination *d);
    void (*settled)(void *context, struct attempt *a);
    void *context;
};
/* Begins with the next loop turn; no callback comes from inside. */
struct attempt *attempt_new(const struct attempt_options *o);
/* Ends it now: connections are dropped, recipients that are not decided yet are given back. `left`
 * and `settled` still come. */
void attempt_abort(struct attempt *a);

#endif
