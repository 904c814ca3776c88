#include "queue/posture.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "queue/learn.h"
#include "queue/room.h"

#define LOOKS_MAX 64
#define KEEP_SECONDS ((int64_t)90 * 86400)

/* domain, NUL, host: those of a domain stand together. */
struct posture_key {
    char bytes[2 * DOMAIN_SIZE];
    size_t len;
};

static struct slice posture_key(const char *domain, const char *host, struct posture_key *k)
{
    size_t domain_len = strlen(domain);
    size_t host_len = strlen(host);
    if (domain_len == 0 || domain_len > DOMAIN_MAX || host_len == 0 || host_len > DOMAIN_MAX)
        return (struct slice){0};
    memcpy(k->bytes, domain, domain_len + 1);
    memcpy(k->bytes + domain_len + 1, host, host_len);
    k->len = domain_len + 1 + host_len;
    return (struct slice){k->bytes, k->len};
}

int queue_posture_find(struct queue *q, const char *domain, const char *host,
                       struct queue_posture *out)
{
    struct posture_key k;
    struct slice value;
    struct slice key = posture_key(domain, host, &k);
    *out = (struct queue_posture){0};
    if (key.len == 0)
        return -ENOENT;
    struct txn *view = store_view(q->store);
    if (!view)
        return -EIO;
    int rc = store_get(view, TABLE_POSTURE, key, &value);
    if (rc == 0 && !record_get_posture(value, out))
        rc = -EIO;
    store_view_end(view);
    return rc;
}

static bool is_below(struct slice key, struct slice domain)
{
    return slice_equal(slice_sub(key, 0, domain.len), domain) && key.len > domain.len &&
           key.data[domain.len] == '\0';
}

void queue_postures_walk(struct queue *q, const char *domain, queue_posture_visit *visit,
                         void *context)
{
    struct walk w;
    char from[DOMAIN_SIZE + 1] = "";
    if (domain && (*domain == '\0' || !slice_copy(slice_of(domain), from, DOMAIN_SIZE)))
        return;
    walk_init(&w, (struct slice){from, domain ? strlen(from) + 1 : 0});
    for (bool goes_on = true; goes_on && walk_next(&w, q, TABLE_POSTURE);) {
        struct queue_posture p;
        if (domain && !is_below(walk_key(&w), slice_of(from)))
            break;
        if (record_get_posture(buffer_slice(&w.value), &p))
            goes_on = visit(context, &p);
    }
    walk_free(&w);
}

/* Learning. */

struct posture_op {
    struct op op;
    size_t count;
    struct look {
        struct queue_posture seen; /* only what a look shows */
        bool has_tls;
        bool is_refusal;
    } looks[];
};

static void count_up(unsigned *count)
{
    if (*count < UINT_MAX)
        ++*count;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void merge_session(struct queue_posture *p, const struct queue_posture *seen)
{
    p->verified = seen->verified;
    memcpy(p->protocol, seen->protocol, sizeof p->protocol);
    memcpy(p->cipher, seen->cipher, sizeof p->cipher);
    memcpy(p->key_exchange, seen->key_exchange, sizeof p->key_exchange);
    memcpy(p->key_digest, seen->key_digest, sizeof p->key_digest);
}

static void merge_tls(struct queue_posture *p, const struct queue_posture *seen)
{
    count_up(&p->tls_looks);
    if (p->tls_first_at == 0)
        p->tls_first_at = seen->last_seen_at;
    p->tls_last_at = later(p->tls_last_at, seen->last_seen_at);
    p->refusals = 0;
}

static void merge_refusal(struct queue_posture *p, const struct queue_posture *seen)
{
    if (p->refusals == 0)
        p->refusal_first_at = seen->last_seen_at;
    count_up(&p->refusals);
    p->refusal_last_at = later(p->refusal_last_at, seen->last_seen_at);
    memcpy(p->refusal, seen->refusal, sizeof p->refusal);
    p->refusal_kind = seen->refusal_kind;
}

static void merge(struct queue_posture *p, const struct look *look)
{
    const struct queue_posture *seen = &look->seen;
    if (p->looks == 0) {
        memcpy(p->domain, seen->domain, sizeof p->domain);
        memcpy(p->host, seen->host, sizeof p->host);
        p->first_seen_at = seen->last_seen_at;
    }
    count_up(&p->looks);
    p->last_seen_at = later(p->last_seen_at, seen->last_seen_at);
    p->tlsa = seen->tlsa;
    p->sts = seen->sts;
    if (look->has_tls || seen->protocol[0] != '\0')
        merge_session(p, seen);
    if (look->has_tls)
        merge_tls(p, seen);
    else if (look->is_refusal)
        merge_refusal(p, seen);
}

static int learn_look(struct batch *b, const struct look *look, bool *is_dropped)
{
    struct posture_key k;
    struct queue_posture p = {0};
    struct slice key = posture_key(look->seen.domain, look->seen.host, &k);
    struct slice old = {0};
    struct buffer record;
    int rc = store_get(b->txn, TABLE_POSTURE, key, &old);
    if (rc != 0 && rc != -ENOENT)
        return rc;
    /* One that is damaged begins anew. */
    if (rc == 0 && !record_get_posture(old, &p))
        p = (struct queue_posture){0};
    merge(&p, look);
    buffer_init(&record, sizeof p + 256);
    record_put_posture(&record, &p);
    rc = 0;
    if (record.len > old.len && !learn_has_room(b, TABLE_POSTURE, record.len - old.len))
        *is_dropped = true;
    else
        rc = store_put(b->txn, TABLE_POSTURE, key, buffer_slice(&record));
    buffer_free(&record);
    return rc;
}

static int run_learn(struct op *op, struct batch *b)
{
    struct posture_op *learn = (struct posture_op *)op;
    bool is_dropped = false;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < learn->count; i++)
        rc = learn_look(b, &learn->looks[i], &is_dropped);
    if (is_dropped)
        op->answer = -ENOSPC;
    return rc;
}

static bool take_look(const struct queue_look *from, struct look *look)
{
    struct posture_key k;
    struct queue_posture *seen = &look->seen;
    if (!from->domain || !from->host || posture_key(from->domain, from->host, &k).len == 0)
        return false;
    learn_text(from->domain, seen->domain, sizeof seen->domain);
    learn_text(from->host, seen->host, sizeof seen->host);
    learn_text(from->refusal, seen->refusal, sizeof seen->refusal);
    learn_text(from->protocol, seen->protocol, sizeof seen->protocol);
    learn_text(from->cipher, seen->cipher, sizeof seen->cipher);
    learn_text(from->key_exchange, seen->key_exchange, sizeof seen->key_exchange);
    learn_text(from->key_digest, seen->key_digest, sizeof seen->key_digest);
    seen->refusal_kind = from->refusal_kind;
    seen->last_seen_at = from->at;
    seen->verified = from->verified;
    seen->tlsa = from->tlsa;
    seen->sts = from->sts;
    look->has_tls = from->has_tls;
    look->is_refusal = seen->refusal[0] != '\0';
    return true;
}

void queue_posture_learn(struct queue *q, const struct queue_look *looks, size_t count)
{
    size_t room = count < LOOKS_MAX ? count : LOOKS_MAX;
    size_t size = sizeof(struct posture_op) + room * sizeof(struct look);
    struct posture_op *learn = op_new(size, run_learn, NULL, NULL, NULL);
    learn->op.weight = size;
    for (size_t i = 0; i < room; i++) {
        if (take_look(&looks[i], &learn->looks[learn->count]))
            learn->count++;
    }
    if (learn->count > 0)
        writer_submit_idle(q, &learn->op);
    else
        free(learn);
}

static int run_nothing(struct op *op, struct batch *b)
{
    (void)op;
    (void)b;
    return 0;
}

/* Any operation that somebody waits for takes along what is idle. */
void queue_posture_flush(struct queue *q, const struct queue_poster *poster, queue_done *done,
                         void *context)
{
    writer_submit(q, op_new(sizeof(struct op), run_nothing, poster, done, context));
}

int posture_sweep(struct batch *b, struct slice key, struct slice value, int64_t now)
{
    struct queue_posture p;
    if (record_get_posture(value, &p) && p.last_seen_at > now - KEEP_SECONDS)
        return 0;
    return store_delete(b->txn, TABLE_POSTURE, key);
}
