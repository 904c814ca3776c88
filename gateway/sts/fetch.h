/* fetch.h - one look at what a domain says of MTA-STS: TXT record, policy host, policy (RFC 8461
 * sections 3.1 to 3.3).
 *
 *   TXT --+--> HOST --> turn --> POLICY --> done
 *         +--> done                       no record, or its id is the one that is known
 *
 * Keeps nothing and decides nothing of what follows. Home loop only. */
#ifndef GATEWAY_STS_FETCH_H
#define GATEWAY_STS_FETCH_H

#include "gateway/dns/dns.h"
#include "gateway/net/loop.h"
#include "gateway/sts/policy.h"
#include "gateway/sts/turns.h"

#define FETCH_DETAIL_SIZE 300

/* DNS, time and chance: the system's in the product, a table in tests. Answers come on the home
 * loop, never from inside the call. */
struct sts_outside {
    struct dns_question *(*find_txt)(void *context, const char *name,
                                     void (*found)(void *asker, const struct dns_txt *txt),
                                     void *asker);
    struct dns_question *(*find_host)(void *context, const char *host,
                                      void (*found)(void *asker, const struct dns_host *host),
                                      void *asker);
    void (*cancel)(void *context, struct dns_question *question);
    int64_t (*now)(void *context); /* wall clock, seconds */
    uint32_t (*random)(void *context);
    void *context;
    uint16_t port;       /* of policy hosts */
    int64_t patience_ms; /* of who waits for a turn; 0: the usual */
};

struct fetch_settings {
    struct loop *home; /* borrowed, as all of this */
    const struct sts_outside *outside;
    struct turns *turns;
    /* Called with a fetch's context while it waits long for its turn, and goes on waiting; may
     * cancel this fetch. */
    void (*late)(void *context);
    const char *ca_file;
    const struct net_network *blocked; /* addresses that are not asked */
    size_t blocked_count;
};

enum fetch_result {
    FETCH_POLICY,  /* a valid one */
    FETCH_SAME,    /* the TXT record has the id that is known */
    FETCH_NONE,    /* a definite answer that leaves no policy */
    FETCH_UNKNOWN, /* what may pass */
    FETCH_OUR_FAULT,
};

struct fetch_answer {
    enum fetch_result result;
    enum sts_failure failure;         /* NONE, UNKNOWN: as reports name it */
    struct sts_policy policy;         /* POLICY: the callee's own from then on, with id; no times */
    const struct sts_operator *asked; /* borrowed; whose policy host it was; NULL: none was asked */
    bool is_reached;                  /* it answered, with a certificate that is trusted */
    int64_t none_until; /* wall clock: the TXT answer is good until then; 0: it came further */
    const char *detail; /* borrowed; NONE: why, where there was a record */
};

struct fetch; /* opaque */
/* known_id: of the policy in force, "" if none. The answer comes once, never from inside this call;
 * the fetch is gone after it. Borrows settings until then. */
NODISCARD struct fetch *fetch_start(const struct fetch_settings *settings, const char *domain,
                                    const char *known_id,
                                    void (*done)(void *context, struct fetch_answer *answer),
                                    void *context);
/* The policy is wanted even if the id is the one that is known. Also once it is under way. */
void fetch_insist(struct fetch *f);
void fetch_cancel(struct fetch *f); /* NULL is fine; done does not come */
/* Does the domain leave room for the names that MTA-STS puts before it? */
bool fetch_fits(const char *domain);

#endif
