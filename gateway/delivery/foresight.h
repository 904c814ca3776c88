/* foresight.h - what delivery would say of a recipient, before he is taken: the answer at RCPT
 * (configuration guarantee.at_rcpt).
 *
 * It goes by what is remembered of all MX hosts of the domain, or by a look at them now (probe.h).
 * Only a stop that is sure is told: what was not learnt in time, what may pass, null MX and missing
 * domains, routes, literals, and a breaker that is open all mean that the recipient is taken. One
 * look-up or probe serves everybody who asks about a domain meanwhile, and a probe for some seconds
 * after.
 *
 * One per loop, owned by its delivery. Loop thread only. */
#ifndef GATEWAY_DELIVERY_FORESIGHT_H
#define GATEWAY_DELIVERY_FORESIGHT_H

#include "gateway/delivery/settings.h"
#include "gateway/posture/posture.h"

struct dns;
struct sts;

#define FORESIGHT_DEADLINE_MS 3000 /* then nothing is known */
#define FORESIGHT_KEPT_MS 15000    /* what a probe found serves so long from its beginning */
#define FORESIGHT_RUNNING_MAX 32   /* domains learnt of at once */
#define FORESIGHT_KEPT_MAX 256     /* these, and those whose answer is kept */

struct foresight; /* opaque */
struct foresight_options {
    struct loop *loop;
    struct dns *dns;
    struct sts *sts;
    struct posture *posture;
    struct delivery_settings *settings; /* a reference is taken */
    const struct event_sink *events;    /* may be NULL */
};
/* NULL: no resources. */
NODISCARD struct foresight *foresight_new(const struct foresight_options *o);
/* For what is asked from now on. What is under way ends at once, and those who asked are told that
 * nothing is known: nobody asks the old resolver and policies any more when this returns. */
void foresight_reload(struct foresight *f, struct delivery_settings *settings, struct dns *dns,
                      struct sts *sts);
/* The same, and nothing is looked at from now on. */
void foresight_stop(struct foresight *f);
/* When nobody waits for an answer any more; NULL is fine. */
void foresight_free(struct foresight *f);

struct foresight_question; /* opaque */
/* domain: of the recipient, A-label or literal. level: of the flag that will bind him. may_probe:
 * false: nothing is connected to. answered() comes once, never from inside this call: NULL: nothing
 * speaks against the recipient; else why delivery would stop him, of class 5 (borrowed for the
 * call). NULL is returned where nothing can be known; then answered() does not come. */
NODISCARD struct foresight_question *
foresight_ask(struct foresight *f, const char *domain, enum level level, bool may_probe,
              void (*answered)(void *asker, const struct outcome *why), void *asker);
void foresight_cancel(struct foresight_question *q); /* before the answer: it will not come */

#endif
