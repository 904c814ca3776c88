/* worker.h - one event loop with its share of the clients and of the destinations.
 *
 * The first worker's loop is "home", the main thread's; the others have a thread each. Who makes
 * and ends the workers is at home: what is asked here is carried out on the worker's own loop, and
 * is answered at home. */
#ifndef GATEWAY_WORKER_H
#define GATEWAY_WORKER_H

#include "gateway/delivery/delivery.h"
#include "gateway/submission/submission.h"

struct worker; /* opaque */

/* References to the settings are taken. The rest is borrowed until the worker has stopped; dns and
 * sts, until a reload has released them. */
struct worker_options {
    struct queue *queue;
    struct dns *dns;
    struct sts *sts;
    struct posture *posture;
    struct submission_limits *limits;
    struct submission_settings *submission;
    struct delivery_settings *delivery;
    unsigned share, shares; /* of the destinations */
    const struct event_sink *events;
};

/* With a loop and nothing else. home: the first worker; NULL: this is the first. NULL: no
 * resources. */
NODISCARD struct worker *worker_new(const struct worker *home);
struct loop *worker_loop(const struct worker *w); /* borrowed */
/* Opens its delivery and its submission; once, before any loop runs. False: no resources; what was
 * opened cannot be closed, only the process can end then. */
NODISCARD bool worker_furnish(struct worker *w, const struct worker_options *o);
/* Accepts on fd for the settings' listener of that index. 0 or negative errno. */
NODISCARD int worker_listen(struct worker *w, int fd, size_t listener);

/* Runs the loop in a thread of its own; worker_join() waits for that. Not for the first, whose loop
 * the main thread runs. 0 or a positive errno. */
NODISCARD int worker_start(struct worker *w);
void worker_join(struct worker *w);

/* The settings, resolver and policies of `new` for what begins from now on; the rest of it stays as
 * it was. released(context) comes at home when nothing here asks the old resolver and policies any
 * more; where the worker has stopped before, it does not come. One reload at a time. */
void worker_reload(struct worker *w, const struct worker_options *new,
                   void (*released)(void *context), void *context);
/* Takes no clients and no mail any more; what is on the wire may finish within grace_ms. Then
 * stopped(context) comes at home, and nothing is left but the loop. */
void worker_stop(struct worker *w, int64_t grace_ms, void (*stopped)(void *context), void *context);
void worker_free(struct worker *w); /* after its loop ended; NULL is fine */

/* Open connections of delivery, at most a second ago. Any thread. */
unsigned worker_connections(const struct worker *w);

#endif
