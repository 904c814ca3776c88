/* control.h - whose fault is a failed look-up? The control question (GUARANTEE.md section 3).
 *
 * A fresh random name directly under the root, type A: nobody can have its answer cached, the
 * root's servers are up, and the answer is a denial signed by the very key we anchor trust in.
 * Where even that fails, the network, the resolver, the clock or the trust anchor is ours to mend,
 * and no destination is to blame. Success counts for one minute; look-ups that fail together share
 * one question. Home loop only. */
#ifndef GATEWAY_DNS_CONTROL_H
#define GATEWAY_DNS_CONTROL_H

#include <sys/queue.h>

#include "gateway/dns/answer.h"

#define DNS_CONTROL_FRESH_MS 60000
#define DNS_SUSPICION_SIZE 600
#define DNS_CONTROL_EVENT_MS 60000 /* at most one event in this time */

/* Somebody who waits for the verdict; lies in the waiter's own memory. */
struct control_wait {
    TAILQ_ENTRY(control_wait) entry;
    /* why: what the control question met, "" if all is well. */
    void (*told)(void *context, bool is_our_fault, const char *why);
    void *context;
};

TAILQ_HEAD(control_waits, control_wait);

struct control {
    const struct dns_asker *asker;   /* borrowed */
    const struct event_sink *events; /* borrowed; may be NULL */
    struct dns_ask ask;
    bool is_asking;
    bool is_failing; /* the last answer was not a secure denial */
    bool has_succeeded;
    bool has_told;
    int64_t succeeded_at_ms;
    int64_t told_at_ms;
    char suspicion[DNS_SUSPICION_SIZE]; /* why we are to blame whatever the root says; "" */
    struct control_waits waits;
};

void control_init(struct control *c, const struct dns_asker *asker,
                  const struct event_sink *events);
/* Succeeded within the last minute, and nothing speaks against us? */
bool control_is_fresh(const struct control *c);
/* Something else proves (not "") that we cannot tell a good answer from a bad one: until it is
 * taken back every verdict is that the fault is ours. Copied. */
void control_suspect(struct control *c, const char *why);
/* Tells the verdict of the question under way, else of a new one. Never from inside this call. */
void control_join(struct control *c, struct control_wait *wait);
/* Asks although nobody waits: at start, so that the operator hears of a broken resolver at once. */
void control_probe(struct control *c);

#endif
