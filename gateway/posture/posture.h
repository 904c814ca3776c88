/* posture.h - what hosts were seen to do about TLS, learnt in one place and read by delivery, check
 * and the answer at RCPT alike.
 *
 * One object for the process, on any thread: a lock of its own, held for a moment. The records live
 * in queue/posture.h. No remembered fact ever permits anything: memory may refuse, defer or warn
 * (GUARANTEE.md section 3). All times are seconds of the wall clock. */
#ifndef GATEWAY_POSTURE_POSTURE_H
#define GATEWAY_POSTURE_POSTURE_H

#include "gateway/guarantee/judge.h"
#include "gateway/posture/breaker.h"
#include "queue/posture.h"

/* TLS is remembered of a host that showed it on at least 3 looks, the first and the last of them at
 * least 6 hours apart and the last at most 90 days ago, whatever was seen since. */
#define POSTURE_REMEMBERED_LOOKS 3
#define POSTURE_REMEMBERED_SPREAD ((int64_t)6 * 3600)
#define POSTURE_REMEMBERED_FOR ((int64_t)90 * 86400)
/* For the breaker a loss is one whose row of refusals began in this time: a host without TLS for
 * weeks says nothing of today's network. */
#define POSTURE_LOST_LATELY 86400
#define POSTURE_DEBOUNCE 60       /* an equal look within this time is not written */
#define POSTURE_ALARM_EVERY 86400 /* a downgrade of one host is told once in this time */

struct posture; /* opaque */
/* Both borrowed until posture_free(); events may be NULL. */
NODISCARD struct posture *posture_new(struct queue *q, const struct event_sink *events);
void posture_free(struct posture *p); /* NULL is fine; before queue_close() */

/* What is remembered of one host of a domain: members of struct guarantee_host of the same name. */
struct posture_memory {
    int64_t tls_seen_at; /* the last of many looks with TLS; 0: nothing such is remembered */
    unsigned tls_looks;
    bool is_tls_remembered; /* and that was not longer ago than `remember` */
};
/* Asked before the connection is judged: what the judge is told is what was known before this look.
 * `remember`: seconds of delivery.remember_tls; 0: off. */
struct posture_memory posture_memory(struct posture *p, const char *domain, const char *host,
                                     int64_t remember, int64_t now);

/* A host is known to refuse TLS when it did so, for good, on at least 3 looks in a row, the first
 * and the last of them at least an hour apart (an episode of somebody who strips STARTTLS is no
 * habit of the host), no look came after them, the last is at most an hour old, and neither DANE
 * nor MTA-STS had a say there. Then no mail goes there in clear whose sender demands TLS, whatever
 * the level. Where nothing is taken nothing is looked at, so the hour after which one is taken
 * again is all that corrects it. */
#define POSTURE_REFUSED_LOOKS 3
#define POSTURE_REFUSED_SPREAD 3600
#define POSTURE_REFUSED_FOR 3600
/* *why is written where true: the words of the last look. In doubt false. */
bool posture_refuses_tls(struct posture *p, const char *domain, const char *host, int64_t now,
                         struct outcome *why);

/* What queue_posture.verified is beside the numbers of guarantee_verdict.verified: TLS came about,
 * but was not acceptable, for what DANE or MTA-STS asks of the host. */
#define POSTURE_FAILED_DANE 16
#define POSTURE_FAILED_STS 17

/* After every connection of delivery and check, when it is known what became of TLS on it. `domain`
 * is the recipients' (or the policy domain), A-label, as in posture_memory(). Looks that taught
 * nothing (no contact, local routes, TLS not tried) are passed over. key_exchange and key_digest:
 * of an established TLS; NULL and "" are the same. All borrowed for the call. */
void posture_learn(struct posture *p, const char *domain, const struct guarantee_host *h,
                   const char *key_exchange, const char *key_digest, int64_t now);
/* After every look-up of a domain's MX hosts that was bogus, or answered or denied securely; not
 * for faults of our own. For the breaker. */
void posture_learn_zone(struct posture *p, const char *domain, bool is_bogus, int64_t now);

/* Is the breaker open (breaker.h)? Then stops are suspended. Takes no lock. */
bool posture_suspends_stops(const struct posture *p, int64_t now);
/* Lets the breaker close when it is its time, so that the operator hears of it; every minute or so.
 * posture_suspends_stops() does not wait for it. */
void posture_tick(struct posture *p, int64_t now);

struct posture_status {
    bool is_breaker_open;
    int64_t breaker_opened_at;                 /* 0: closed */
    char breaker[2 * BREAKER_WORDS_SIZE + 16]; /* "closed", or "open: " and why */
    uint64_t downgrades;                       /* told since start: each host counts once a day */
};
void posture_status(struct posture *p, int64_t now, struct posture_status *out);

#endif
