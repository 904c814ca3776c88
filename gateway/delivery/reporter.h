/* reporter.h - carries out the durable orders for notices: reads what is unreported, has bounce/
 * write it, queues it.
 *
 * One in the process, on one loop. Also expires held mail. */
#ifndef GATEWAY_DELIVERY_REPORTER_H
#define GATEWAY_DELIVERY_REPORTER_H

#include "gateway/delivery/settings.h"
#include "queue/queue.h"

struct reporter; /* opaque */

NODISCARD struct reporter *reporter_new(struct loop *l, struct queue *q,
                                        struct delivery_settings *settings,
                                        const struct event_sink *events);
void reporter_reload(struct reporter *r, struct delivery_settings *settings);
/* Begins nothing new; stopped(context) comes when no commit is under way any more. */
void reporter_stop(struct reporter *r, void (*stopped)(void *context), void *context);
void reporter_free(struct reporter *r);

#endif
