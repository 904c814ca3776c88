/* submission.h - the front door: accepts clients on the listeners and brings their messages into
 * the queue (RFC 6409, 5321, 4954, 3207, 8314).
 *
 * One per loop, on descriptors bound beforehand. Loop thread only; what users may do per hour and
 * what addresses may do is counted in one struct submission_limits for the process. */
#ifndef GATEWAY_SUBMISSION_SUBMISSION_H
#define GATEWAY_SUBMISSION_SUBMISSION_H

#include "gateway/submission/settings.h"
#include "gateway/net/loop.h"
#include "mail/event.h"
#include "queue/queue.h"

struct submission;        /* opaque */
struct submission_limits; /* opaque; any thread */

NODISCARD struct submission_limits *submission_limits_new(void);
void submission_limits_free(struct submission_limits *l);
unsigned
submission_limits_connections(struct submission_limits *l); /* open now, in the whole process */

struct submission_options {
    struct loop *loop;
    struct queue *queue;
    struct submission_settings *settings; /* a reference is taken */
    struct submission_limits *limits;
    const struct event_sink *events;
};
NODISCARD struct submission *submission_new(const struct submission_options *o);
/* Accepts on fd (as net_bind() gives it; a dup is taken) for settings->listeners[index]. 0 or
 * negative errno. */
NODISCARD int submission_listen(struct submission *s, int fd, size_t index);
void submission_reload(
    struct submission *s,
    struct submission_settings *settings); /* for sessions that begin from now on; same listeners */
/* Stops accepting; idle sessions get 421 at once, those in a transaction may finish within
 * grace_ms. Then stopped(context): submission_free() is allowed. */
void submission_stop(struct submission *s, int64_t grace_ms, void (*stopped)(void *context),
                     void *context);
void submission_free(struct submission *s);

#endif
