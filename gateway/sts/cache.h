/* cache.h - what is known of each domain: in memory, and behind it the policies in the store.
 *
 * Bounded: the least recently used domains that nobody waits for are forgotten first; their
 * policies remain in the store. Home loop only, but a kept policy may be read and let go on any
 * thread. */
#ifndef GATEWAY_STS_CACHE_H
#define GATEWAY_STS_CACHE_H

#include <stdatomic.h>
#include <sys/queue.h>

#include "gateway/sts/fetch.h"
#include "queue/policy.h"

/* A policy that several hold; never changed. */
struct kept_policy {
    atomic_int refs;
    struct sts_policy policy;
};
struct kept_policy *kept_policy_ref(struct kept_policy *kept);
void kept_policy_unref(struct kept_policy *kept); /* NULL is fine */

struct sts_question;
TAILQ_HEAD(sts_questions, sts_question);

struct cached_domain {
    LIST_ENTRY(cached_domain) bucket;
    TAILQ_ENTRY(cached_domain) used;
    char name[DOMAIN_SIZE];
    struct kept_policy *kept; /* owned reference; NULL: none; may have expired */
    int64_t refresh_at;
    int64_t checked_at;   /* the TXT record was last seen with this id */
    int64_t refetched_at; /* somebody last insisted */
    bool is_blind; /* the store could not be read: a policy may be in force that we do not see */
    /* After a failure: not again before. */
    int64_t retry_at;
    unsigned failures;
    /* No policy in force: what the last look said, until when it is believed. */
    unsigned unknowns; /* on end */
    int64_t negative_until;
    enum fetch_result negative;
    enum sts_failure failure;
    bool is_unreached;      /* because the policy host was not reached */
    unsigned outages_ended; /* by then */
    char detail[FETCH_DETAIL_SIZE];
    /* Under way. */
    void *owner; /* the struct sts that fetches; for its callback */
    struct fetch *fetch;
    bool is_behind; /* nobody waited for it as it began */
    bool is_late;   /* has waited long for its turn, and waits on */
    struct sts_questions questions;
};
TAILQ_HEAD(cached_domains, cached_domain);

#define CACHE_BUCKETS 1024
#define CACHE_DOMAINS_MAX 4096
#define CACHE_BYTES_MAX ((size_t)16 << 20) /* of policies */

struct cache {
    struct queue *queue; /* borrowed */
    LIST_HEAD(, cached_domain) buckets[CACHE_BUCKETS];
    struct cached_domains used; /* the least recently used first */
    size_t count;
    size_t bytes;
};

void cache_init(struct cache *c, struct queue *queue);
void cache_clear(struct cache *c); /* nobody waits any more */
/* What is known of the domain; read from the store where it is new. Never NULL; stays until the
 * next call of this function, and as long as somebody waits or fetches. */
struct cached_domain *cache_find(struct cache *c, const char *name, int64_t now);
/* Only if it is in memory; NULL. Does not count as a use. */
struct cached_domain *cache_peek(struct cache *c, const char *name);
/* Takes over the policy in memory. */
void cache_put(struct cache *c, struct cached_domain *d, struct sts_policy *policy);
/* The domain's policy is written to the store; done as queue_policy_put() has it. */
void cache_store(struct cache *c, const struct cached_domain *d, const struct queue_poster *poster,
                 queue_done *done, void *context);
/* Memory and store. */
void cache_forget(struct cache *c, const char *name);
bool cached_is_in_force(const struct cached_domain *d, int64_t now);

#endif
