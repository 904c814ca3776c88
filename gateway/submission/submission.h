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
#include "mail/outcome.h"
#include "queue/queue.h"

struct submission;        /* opaque */
struct submission_limits; /* opaque; any thread */

NODISCARD struct submission_limits *submission_limits_new(void);
void submission_limits_free(struct submission_limits *l);
unsigned
submission_limits_connections(struct submission_limits *l); /* open now, in the whole process */

/* What is asked at RCPT where guarantee.at_rcpt is not off: would mail of a sender with this flag
 * be stopped at all hosts of the recipient's domain? */
struct submission_question {
    const struct address *recipient; /* borrowed for the call */
    enum level level;                /* of the sender's flag: encrypt or verified */
    bool may_probe;                  /* false: from what is remembered, nothing is connected to */
};

/* Who is asked. */
struct submission_ask_rcpt {
    void *context; /* shared by all loops that have the hook */
    /* Called on the asker's loop, whose thread it must not block. Never answers from inside the
     * call; later, on that loop and at most once, answered(asker, why): NULL takes the recipient,
     * anything else refuses it with 550, its status (of class 5) and its text (borrowed for the
     * call; the first 480 octets are said). Doubt means NULL. Who does not answer within 3 s is
     * cancelled, and the recipient is taken. The result stands for the question until the answer or
     * cancel(); NULL: it cannot be asked, the recipient is taken. */
    void *(*ask)(void *context, struct loop *loop, const struct submission_question *question,
                 void (*answered)(void *asker, const struct outcome *why), void *asker);
    /* On the asker's loop: no answer comes any more. */
    void (*cancel)(void *context, void *asked);
};

struct submission_options {
    struct loop *loop;
    struct queue *queue;
    struct submission_settings *settings; /* a reference is taken */
    struct submission_limits *limits;
    const struct event_sink *events;
    const struct submission_ask_rcpt *ask_rcpt; /* borrowed; NULL: as at_rcpt = off */
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
