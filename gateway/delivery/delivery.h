/* delivery.h - takes what is due and brings it to its destination, under the guarantee.
 *
 * One per loop; each serves its share of the recipient domains. Loop thread only. */
#ifndef GATEWAY_DELIVERY_DELIVERY_H
#define GATEWAY_DELIVERY_DELIVERY_H

#include "gateway/delivery/foresight.h"
#include "gateway/dns/dns.h"
#include "queue/queue.h"

struct delivery; /* opaque */

struct delivery_options {
    struct loop *loop;
    struct queue *queue;
    struct dns *dns;
    struct sts *sts;
    struct posture *posture;
    struct delivery_settings *settings; /* a reference is taken */
    unsigned share, shares;
    const struct event_sink *events;
};
NODISCARD struct delivery *delivery_new(const struct delivery_options *o);
/* New settings, resolver and policies for what begins from now on. The old ones must live until
 * `released` has come: nothing asks them any more. */
void delivery_reload(struct delivery *d, struct delivery_settings *settings, struct dns *dns,
                     struct sts *sts, void (*released)(void *context), void *context);
/* Takes nothing new; transactions on the wire may finish within grace_ms, the rest is given back.
 * Then stopped(context): delivery_free() is allowed. */
void delivery_stop(struct delivery *d, int64_t grace_ms, void (*stopped)(void *context),
                   void *context);
void delivery_free(struct delivery *d);
/* Borrowed; reloaded and stopped with the delivery, and to be left in peace before
 * delivery_free(). */
struct foresight *delivery_foresight(struct delivery *d);
unsigned delivery_connections(const struct delivery *d);

#endif
