#include "gateway/sts/cache.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct kept_policy *kept_policy_ref(struct kept_policy *kept)
{
    atomic_fetch_add(&kept->refs, 1);
    return kept;
}

void kept_policy_unref(struct kept_policy *kept)
{
    if (!kept || atomic_fetch_sub(&kept->refs, 1) != 1)
        return;
    sts_policy_clear(&kept->policy);
    free(kept);
}

bool cached_is_in_force(const struct cached_domain *d, int64_t now)
{
    return d->kept && now < d->kept->policy.expires_at;
}

/* FNV-1a. Who fills a bucket on purpose slows down 4,096 entries at most. */
static size_t bucket_of(const char *name)
{
    uint32_t hash = 2166136261U;
    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * 16777619U;
    return hash % CACHE_BUCKETS;
}

static size_t size_of(const struct kept_policy *kept)
{
    if (!kept)
        return 0;
    return sizeof *kept + strlen(kept->policy.text) +
           2 * kept->policy.mx_count * sizeof *kept->policy.mx;
}

static void set_policy(struct cache *c, struct cached_domain *d, struct sts_policy *policy)
{
    c->bytes -= size_of(d->kept);
    kept_policy_unref(d->kept);
    d->kept = NULL;
    if (policy) {
        d->kept = xalloc(sizeof *d->kept);
        atomic_init(&d->kept->refs, 1);
        d->kept->policy = *policy;
        *policy = (struct sts_policy){0};
    }
    c->bytes += size_of(d->kept);
}

static void drop(struct cache *c, struct cached_domain *d)
{
    set_policy(c, d, NULL);
    LIST_REMOVE(d, bucket);
    TAILQ_REMOVE(&c->used, d, used);
    c->count--;
    free(d);
}

static bool is_busy(const struct cached_domain *d)
{
    return d->fetch || !TAILQ_EMPTY(&d->questions);
}

static void make_room(struct cache *c)
{
    struct cached_domain *d = TAILQ_FIRST(&c->used);
    while (d && (c->count >= CACHE_DOMAINS_MAX || c->bytes > CACHE_BYTES_MAX)) {
        struct cached_domain *next = TAILQ_NEXT(d, used);
        if (!is_busy(d))
            drop(c, d);
        d = next;
    }
}

/* A text that was good when it was stored and is not any more was read by an older sealpost. */
static void load(struct cache *c, struct cached_domain *d, int64_t now)
{
    struct queue_policy stored;
    struct sts_policy policy;
    const char *why;
    int rc = queue_policy_find(c->queue, d->name, &stored);
    d->is_blind = rc != 0 && rc != -ENOENT;
    if (rc != 0)
        return;
    if (now < stored.expires_at && sts_policy_parse(slice_of(stored.text), &policy, &why)) {
        snprintf(policy.id, sizeof policy.id, "%s", stored.id);
        policy.fetched_at = stored.fetched_at;
        policy.expires_at = stored.expires_at;
        d->refresh_at = stored.refresh_at;
        d->checked_at = stored.checked_at;
        set_policy(c, d, &policy);
    }
    queue_policy_clear(&stored);
}

struct cached_domain *cache_peek(struct cache *c, const char *name)
{
    struct cached_domain *d;
    LIST_FOREACH(d, &c->buckets[bucket_of(name)], bucket)
    {
        if (strcmp(d->name, name) == 0)
            return d;
    }
    return NULL;
}

struct cached_domain *cache_find(struct cache *c, const char *name, int64_t now)
{
    struct cached_domain *d = cache_peek(c, name);
    if (d) {
        TAILQ_REMOVE(&c->used, d, used);
    } else {
        make_room(c);
        d = xalloc(sizeof *d);
        snprintf(d->name, sizeof d->name, "%s", name);
        TAILQ_INIT(&d->questions);
        LIST_INSERT_HEAD(&c->buckets[bucket_of(name)], d, bucket);
        c->count++;
        load(c, d, now);
    }
    TAILQ_INSERT_TAIL(&c->used, d, used);
    if (d->is_blind && !is_busy(d))
        load(c, d, now);
    return d;
}

void cache_put(struct cache *c, struct cached_domain *d, struct sts_policy *policy)
{
    set_policy(c, d, policy);
    d->is_blind = false;
}

void cache_store(struct cache *c, const struct cached_domain *d, const struct queue_poster *poster,
                 queue_done *done, void *context)
{
    const struct sts_policy *policy = &d->kept->policy;
    struct queue_policy stored = {
        .text = policy->text, /* borrowed: it is copied in the call */
        .fetched_at = policy->fetched_at,
        .expires_at = policy->expires_at,
        .refresh_at = d->refresh_at,
        .checked_at = d->checked_at,
    };
    memcpy(stored.domain, d->name, sizeof stored.domain);
    memcpy(stored.id, policy->id, sizeof stored.id);
    queue_policy_put(c->queue, &stored, poster, done, context);
}

void cache_forget(struct cache *c, const char *name)
{
    struct cached_domain *d = cache_peek(c, name);
    queue_policy_remove(c->queue, name, NULL, NULL, NULL);
    if (!d)
        return;
    set_policy(c, d, NULL);
    d->negative_until = d->retry_at = d->refetched_at = 0;
    d->failures = d->unknowns = 0;
    d->is_blind = false;
}

void cache_init(struct cache *c, struct queue *queue)
{
    *c = (struct cache){.queue = queue};
    TAILQ_INIT(&c->used);
    for (size_t i = 0; i < CACHE_BUCKETS; i++)
        LIST_INIT(&c->buckets[i]);
}

void cache_clear(struct cache *c)
{
    struct cached_domain *d;
    while ((d = TAILQ_FIRST(&c->used)) != NULL) {
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it is off the list before it is freed */
        drop(c, d);
    }
}
