/* probe.h - what all MX hosts of a domain show at this moment, without sending mail: `check` and
 * the answer at RCPT stand on it.
 *
 * All addresses of all hosts are looked at side by side, through the same look-ups, the same
 * connections and the same judge as delivery's; so the verdict is the one that delivery would
 * reach. Loop thread only. */
#ifndef GATEWAY_DELIVERY_PROBE_H
#define GATEWAY_DELIVERY_PROBE_H

#include "gateway/delivery/contact.h"

struct probe; /* opaque */

enum probe_verdict {
    PROBE_DELIVERABLE, /* delivery would be tried on an acceptable host */
    PROBE_REFUSED,     /* it would stop or fail */
    PROBE_UNKNOWN,     /* it would defer */
};
const char *probe_verdict_name(enum probe_verdict v); /* "deliverable", "refused", "unknown" */

/* One address of one host; or a host without address, and why. Texts are borrowed. */
struct probe_host {
    struct guarantee_host facts;
    bool is_acceptable;
    bool is_tlsa_insecure; /* TLSA records are there and do not count */
    int verified;          /* as in struct guarantee_verdict, of what the connection is */
    struct outcome why;    /* not acceptable: the judge's words; status class 0: none */
    const char *key_exchange, *key_digest;
};

struct probe_result {
    const char *domain;
    enum probe_verdict verdict;
    struct outcome outcome; /* why; of PROBE_DELIVERABLE without meaning (class 0) */
    /* What was required and not met, in words; of PROBE_REFUSED by the guarantee, else NULL. */
    const char *required;
    const char *level; /* what the best host reaches: none, encrypt, dane, sts, verify */
    const struct probe_host *hosts; /* by preference */
    size_t count;
};

struct probe_options {
    struct loop *loop;
    struct dns *dns;
    struct sts *sts;
    struct posture *posture;            /* learns of what is seen */
    struct delivery_settings *settings; /* a reference is taken */
    const struct event_sink *events;    /* may be NULL */
    const char *domain;                 /* A-label or literal; copied */
    enum level level;                   /* of the flag to be judged by */
    int64_t deadline_ms;                /* then hosts that have not answered are unreachable */
    /* The result is borrowed for the call; the probe is gone after it. */
    void (*done)(void *context, const struct probe_result *result);
    void *context;
};
/* Begins with the next loop turn; done never comes from inside. NULL: no resources. */
NODISCARD struct probe *probe_new(const struct probe_options *o);
void probe_cancel(struct probe *p); /* before done: it will not come */

#endif
