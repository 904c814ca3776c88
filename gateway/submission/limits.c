#include "gateway/submission/limits.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 4096
#define HOUR_MS ((int64_t)60 * 60 * 1000)
#define SWEEP_EVERY 4096 /* insertions: bounds what addresses that never come back leave behind */

struct entry {
    struct entry *next; /* owned, in its bucket */
    unsigned connections;
    double failures; /* as of failures_at_ms; leaks */
    double leak_per_ms;
    int64_t failures_at_ms;
    int64_t hour_at_ms; /* when the user's hour began; 0: none runs */
    unsigned taken[LIMITS_KINDS];
    char key[]; /* an address' text, or "@" and the user */
};

struct submission_limits {
    pthread_mutex_t mutex;
    struct entry *buckets[BUCKETS]; /* owned */
    unsigned connections;
    unsigned insertions;
    uint64_t sessions;
};

struct submission_limits *submission_limits_new(void)
{
    struct submission_limits *l = xalloc(sizeof *l);
    if (pthread_mutex_init(&l->mutex, NULL) != 0)
        panic("limits: no mutex");
    return l;
}

void submission_limits_free(struct submission_limits *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < BUCKETS; i++) {
        while (l->buckets[i]) {
            struct entry *e = l->buckets[i];
            l->buckets[i] = e->next;
            free(e);
        }
    }
    pthread_mutex_destroy(&l->mutex);
    free(l);
}

static size_t bucket_of(const char *key)
{
    uint64_t hash = 1469598103934665603U; /* FNV-1a */
    for (; *key; key++)
        hash = (hash ^ (uint8_t)*key) * 1099511628211U;
    return (hash ^ (hash >> 32)) % BUCKETS;
}

static struct entry *entry_find(struct submission_limits *l, const char *key)
{
    struct entry *e = l->buckets[bucket_of(key)];
    while (e && strcmp(e->key, key) != 0)
        e = e->next;
    return e;
}

static double failures_at(const struct entry *e, int64_t now_ms)
{
    int64_t passed = now_ms > e->failures_at_ms ? now_ms - e->failures_at_ms : 0;
    double left = e->failures - (double)passed * e->leak_per_ms;
    return left > 0 ? left : 0;
}

static bool entry_is_stale(const struct entry *e, int64_t now_ms)
{
    return e->connections == 0 && failures_at(e, now_ms) <= 0 &&
           (e->hour_at_ms == 0 || now_ms - e->hour_at_ms >= HOUR_MS);
}

static void sweep(struct submission_limits *l, int64_t now_ms)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        struct entry **at = &l->buckets[i];
        while (*at) {
            struct entry *e = *at;
            if (entry_is_stale(e, now_ms)) {
                *at = e->next;
                free(e);
            } else {
                at = &e->next;
            }
        }
    }
}

/* now_ms 0: no time is known, nothing is swept. */
static struct entry *entry_get(struct submission_limits *l, const char *key, int64_t now_ms)
{
    struct entry *e = entry_find(l, key);
    if (e)
        return e;
    if (++l->insertions % SWEEP_EVERY == 0 && now_ms > 0)
        sweep(l, now_ms);
    size_t size = strlen(key) + 1;
    e = xalloc(sizeof *e + size);
    memcpy(e->key, key, size);
    struct entry **bucket = &l->buckets[bucket_of(key)];
    e->next = *bucket;
    *bucket = e;
    return e;
}

/* What stands for the peer in the table. */
static void peer_key(const struct net_address *peer, char out[NET_ADDRESS_SIZE])
{
    struct net_address a = *peer;
    net_address_unmap(&a);
    a.port = 0;
    if (a.family == NET_IPV6) {
        memset(a.bytes + 8, 0, 8);
        a.scope = 0;
    }
    if (a.family == NET_UNIX)
        memset(a.path, 0, sizeof a.path);
    net_address_text(&a, out);
}

static void user_key(const char *user, char out[ADDRESS_SIZE + 1])
{
    struct slice s = slice_of(user);
    out[0] = '@';
    if (!slice_copy(s, out + 1, ADDRESS_SIZE))
        panic("limits: user name too long");
}

enum limits_answer limits_connect(struct submission_limits *l, const struct net_address *peer,
                                  unsigned max_total, unsigned max_address)
{
    char key[NET_ADDRESS_SIZE];
    peer_key(peer, key);
    enum limits_answer answer = LIMITS_OK;
    pthread_mutex_lock(&l->mutex);
    struct entry *e = entry_get(l, key, 0);
    if (max_total > 0 && l->connections >= max_total)
        answer = LIMITS_TOTAL;
    else if (max_address > 0 && e->connections >= max_address)
        answer = LIMITS_ADDRESS;
    if (answer == LIMITS_OK) {
        e->connections++;
        l->connections++;
    }
    pthread_mutex_unlock(&l->mutex);
    return answer;
}

static void drop_if_empty(struct submission_limits *l, struct entry *e)
{
    if (e->connections > 0 || e->failures > 0 || e->hour_at_ms != 0)
        return;
    struct entry **at = &l->buckets[bucket_of(e->key)];
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    free(e);
}

void limits_disconnect(struct submission_limits *l, const struct net_address *peer)
{
    char key[NET_ADDRESS_SIZE];
    peer_key(peer, key);
    pthread_mutex_lock(&l->mutex);
    struct entry *e = entry_find(l, key);
    if (!e || e->connections == 0 || l->connections == 0)
        panic("limits: a connection ended that never began");
    e->connections--;
    l->connections--;
    drop_if_empty(l, e);
    pthread_mutex_unlock(&l->mutex);
}

unsigned submission_limits_connections(struct submission_limits *l)
{
    pthread_mutex_lock(&l->mutex);
    unsigned count = l->connections;
    pthread_mutex_unlock(&l->mutex);
    return count;
}

uint64_t limits_session_number(struct submission_limits *l)
{
    pthread_mutex_lock(&l->mutex);
    uint64_t number = ++l->sessions;
    pthread_mutex_unlock(&l->mutex);
    return number;
}

void limits_auth_failed(struct submission_limits *l, const struct net_address *peer, unsigned max,
                        int64_t now_ms)
{
    if (max == 0)
        return;
    char key[NET_ADDRESS_SIZE];
    peer_key(peer, key);
    pthread_mutex_lock(&l->mutex);
    struct entry *e = entry_get(l, key, now_ms);
    e->failures = failures_at(e, now_ms) + 1;
    e->failures_at_ms = now_ms;
    e->leak_per_ms = (double)max / (double)HOUR_MS;
    pthread_mutex_unlock(&l->mutex);
}

bool limits_auth_is_blocked(struct submission_limits *l, const struct net_address *peer,
                            unsigned max, int64_t now_ms)
{
    if (max == 0)
        return false;
    char key[NET_ADDRESS_SIZE];
    peer_key(peer, key);
    pthread_mutex_lock(&l->mutex);
    struct entry *e = entry_find(l, key);
    /* Half a failure of slack: the leak of the milliseconds between the failures must not let one
     * more through. */
    bool is_blocked = e && failures_at(e, now_ms) > (double)max - 0.5;
    pthread_mutex_unlock(&l->mutex);
    return is_blocked;
}

bool limits_take(struct submission_limits *l, const char *user, enum limits_kind kind, unsigned max,
                 int64_t now_ms)
{
    if (max == 0)
        return true;
    char key[ADDRESS_SIZE + 1];
    user_key(user, key);
    pthread_mutex_lock(&l->mutex);
    struct entry *e = entry_get(l, key, now_ms);
    if (e->hour_at_ms == 0 || now_ms - e->hour_at_ms >= HOUR_MS) {
        e->hour_at_ms = now_ms;
        memset(e->taken, 0, sizeof e->taken);
    }
    bool is_left = e->taken[kind] < max;
    if (is_left)
        e->taken[kind]++;
    pthread_mutex_unlock(&l->mutex);
    return is_left;
}

void limits_give_back(struct submission_limits *l, const char *user, enum limits_kind kind,
                      unsigned count)
{
    char key[ADDRESS_SIZE + 1];
    user_key(user, key);
    pthread_mutex_lock(&l->mutex);
    struct entry *e = entry_find(l, key);
    if (e) /* the hour may be over, and its count with it */
        e->taken[kind] -= count < e->taken[kind] ? count : e->taken[kind];
    pthread_mutex_unlock(&l->mutex);
}
