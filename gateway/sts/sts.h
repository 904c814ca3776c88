/* sts.h - MTA-STS: which policy is in force for a domain (RFC 8461, GUARANTEE.md section 6).
 *
 * The one door to libcurl, and to the policies in the store. One for the process: made and freed on
 * its home loop, asked from any loop's thread; answers come on the asker's loop. A policy is kept
 * for its max_age whatever TXT record and policy host say meanwhile; only a newly fetched valid one
 * takes its place. About once a day it is fetched anew, also where nobody asks, so that it does not
 * run out. One look at a domain at a time, whoever asks meanwhile joins it. Policy hosts are asked
 * 256 at once, of which eight at one address and two of one registered domain; who waits long for
 * that is told STS_UNKNOWN meanwhile. */
#ifndef GATEWAY_STS_STS_H
#define GATEWAY_STS_STS_H

#include "gateway/dns/dns.h"
#include "gateway/net/loop.h"
#include "gateway/sts/policy.h"
#include "mail/event.h"

struct queue;
struct sts; /* opaque */
struct sts_outside;

struct sts_options {
    struct dns *dns;     /* borrowed until sts_free(); so is queue */
    struct queue *queue; /* keeps the policies */
    const char *ca_file; /* PEM; "": the system's */
    const struct net_network
        *blocked; /* delivery.blocked_networks: no policy host is asked there */
    size_t blocked_count;
    int ip_version;                    /* 4, 6, 0: both */
    const struct event_sink *events;   /* may be NULL; until the queue closed */
    const struct sts_outside *outside; /* NULL; a test's stands for dns and the clock */
};
/* Copies what is not said to be borrowed. Main thread, before other threads begin: starts libcurl.
 */
NODISCARD struct sts *sts_new(struct loop *home, const struct sts_options *o);
/* Another has taken its place, and this one only answers who still asks it: it stores nothing, for
 * the other would not know of it, and refreshes nothing. Home loop only. */
void sts_retire(struct sts *s);
/* Ends what is under way: questions are answered with STS_OUR_FAULT, or not at all once their loop
 * ended. Home loop only; before its dns and queue go. NULL is fine. */
void sts_free(struct sts *s);

enum sts_status {
    STS_NONE,      /* no policy in force */
    STS_POLICY,    /* one is, in whatever mode, "none" and "testing" too */
    STS_UNKNOWN,   /* what may pass: TXT failed or bogus, timeout, 5xx; and none is cached */
    STS_OUR_FAULT, /* resolver, descriptors, store, CA file, no policy host of several operators
                    * can be reached or trusted; and none is cached */
};
/* Borrowed for the call. */
struct sts_answer {
    enum sts_status status;
    /* POLICY. A max_age of 0 has expired already, and still is this answer. */
    const struct sts_policy *policy;
    enum sts_failure failure; /* for reports */
    const char *detail;       /* why not, "": there is simply no record */
    bool is_new;      /* POLICY: fetched while this question waited: nothing newer is to be had */
    unsigned changes; /* sts_changes() as this answer was given */
};

enum sts_how {
    STS_CACHED_FIRST, /* what is cached answers at once; a look that is due runs behind it */
    /* The TXT record and the policy are fetched anew first: for a host that no longer fits. At most
     * once a minute and domain, else as STS_CACHED_FIRST. Fails: what is cached answers. */
    STS_REFETCH,
};

struct sts_question; /* opaque */
/* domain: an A-label, in any case. found() comes once, on loop l, never from inside this call. */
NODISCARD struct sts_question *
sts_find(struct sts *s, struct loop *l, const char *domain, enum sts_how how,
         void (*found)(void *context, const struct sts_answer *answer), void *context);
/* Asker's thread, before found() began, which does not come. An asker cancels before its loop ends.
 */
void sts_cancel(struct sts_question *q);

/* Counts what changes in what is in force for any domain: who keeps an answer for a while keeps it
 * while this stays the same. Any thread. */
unsigned sts_changes(const struct sts *s);

/* The operator's purge: the domain's policy is forgotten, in memory and in the store, and so is
 * what was learnt of its absence. Any thread. */
void sts_forget(struct sts *s, const char *domain);

#endif
