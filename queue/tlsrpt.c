#include "queue/tlsrpt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "queue/learn.h"
#include "queue/room.h"

#define RESULTS_MAX 64
/* Failures leave room for a policy that changes in the course of the day. */
#define FAILURES_MAX (QUEUE_TLSRPT_ENTRIES - 10)
#define DAY ((int64_t)86400)
#define KEEP_SECONDS ((int64_t)48 * 3600)

static const char *const types[] = {
    [QUEUE_TLSRPT_NO_POLICY_FOUND] = "no-policy-found",
    [QUEUE_TLSRPT_TLSA] = "tlsa",
    [QUEUE_TLSRPT_STS] = "sts",
};

static const char *const causes[] = {
    [QUEUE_TLSRPT_STARTTLS_NOT_SUPPORTED] = "starttls-not-supported",
    [QUEUE_TLSRPT_CERTIFICATE_HOST_MISMATCH] = "certificate-host-mismatch",
    [QUEUE_TLSRPT_CERTIFICATE_EXPIRED] = "certificate-expired",
    [QUEUE_TLSRPT_CERTIFICATE_NOT_TRUSTED] = "certificate-not-trusted",
    [QUEUE_TLSRPT_VALIDATION_FAILURE] = "validation-failure",
    [QUEUE_TLSRPT_TLSA_INVALID] = "tlsa-invalid",
    [QUEUE_TLSRPT_DNSSEC_INVALID] = "dnssec-invalid",
    [QUEUE_TLSRPT_DANE_REQUIRED] = "dane-required",
    [QUEUE_TLSRPT_STS_POLICY_FETCH_ERROR] = "sts-policy-fetch-error",
    [QUEUE_TLSRPT_STS_POLICY_INVALID] = "sts-policy-invalid",
    [QUEUE_TLSRPT_STS_WEBPKI_INVALID] = "sts-webpki-invalid",
};

const char *queue_tlsrpt_type_name(enum queue_tlsrpt_type type)
{
    if ((unsigned)type >= COUNT_OF(types))
        panic("tlsrpt: type %d", (int)type);
    return types[type];
}

const char *queue_tlsrpt_cause_name(enum queue_tlsrpt_cause cause)
{
    if ((unsigned)cause >= COUNT_OF(causes))
        panic("tlsrpt: cause %d", (int)cause);
    return causes[cause];
}

/* Keys: day, domain, NUL, hash of the policy, and for a failure its hash. What two policies or
 * failures with the same hash are counted as one: both are of one domain, whose report it is. */

#define HASH_SIZE ((size_t)8)

struct tlsrpt_key {
    char bytes[4 + DOMAIN_SIZE + 2 * HASH_SIZE];
    size_t len;
};

static struct slice whole(const struct tlsrpt_key *k)
{
    return (struct slice){k->bytes, k->len};
}

static struct tlsrpt_key key_of_day(uint32_t day)
{
    struct tlsrpt_key k = {.len = 4};
    for (unsigned i = 0; i < 4; i++)
        k.bytes[i] = (char)(uint8_t)(day >> (8 * (3 - i)));
    return k;
}

/* What all entries of a domain and day begin with; `domain` fits. */
static struct tlsrpt_key key_of_domain(const char *domain, uint32_t day)
{
    struct tlsrpt_key k = key_of_day(day);
    size_t len = strlen(domain) + 1;
    memcpy(k.bytes + k.len, domain, len);
    k.len += len;
    return k;
}

static void add_hash(struct tlsrpt_key *k, const struct buffer *of)
{
    struct key hash = key_id(room_hash(buffer_slice(of)));
    memcpy(k->bytes + k->len, hash.bytes, HASH_SIZE);
    k->len += HASH_SIZE;
}

/* How long the front of the key is, up to and with the NUL; 0: it is none of ours. */
static size_t read_key(struct slice key, char domain[DOMAIN_SIZE], uint32_t *day)
{
    ptrdiff_t end = key.len > 4 ? slice_find(slice_sub(key, 4, key.len), '\0') : -1;
    if (end <= 0 || !slice_copy(slice_sub(key, 4, (size_t)end), domain, DOMAIN_SIZE))
        return 0;
    *day = 0;
    for (unsigned i = 0; i < 4; i++)
        *day = *day << 8 | (uint8_t)key.data[i];
    size_t front = 4 + (size_t)end + 1;
    bool is_policy = key.len == front + HASH_SIZE;
    bool is_failure = key.len == front + 2 * HASH_SIZE;
    return is_policy || is_failure ? front : 0;
}

static bool begins_with(struct slice key, struct slice front)
{
    return slice_equal(slice_sub(key, 0, front.len), front);
}

/* Counting. */

/* Each of them is a record without its counts; what differs is counted apart. */
struct counted {
    char domain[DOMAIN_SIZE];
    uint32_t day;
    struct queue_tlsrpt_policy policy; /* texts owned; counts: to be added */
    struct queue_tlsrpt_failure failure;
};

struct count_op {
    struct op op;
    size_t count;
    struct counted results[];
};

static void count_free(struct op *op)
{
    struct count_op *c = (struct count_op *)op;
    for (size_t i = 0; i < c->count; i++) {
        free(c->results[i].policy.strings);
        free(c->results[i].policy.mx_hosts);
    }
    free(c);
}

static void add_to(uint64_t *total, uint64_t more)
{
    *total = *total > UINT64_MAX - more ? UINT64_MAX : *total + more;
}

/* Up to `max` of the entries that begin so. */
static int count_entries(struct batch *b, struct slice front, size_t max, size_t *count)
{
    struct cursor c;
    int rc = cursor_open(b->txn, TABLE_TLSRPT, &c);
    if (rc == 0)
        rc = cursor_seek(&c, front);
    for (*count = 0; rc == 0 && *count < max && begins_with(c.key, front); ++*count)
        rc = cursor_next(&c);
    cursor_close(&c);
    return rc == -ENOENT ? 0 : rc;
}

/* Stores an entry, unless it is new (old_len 0) and there are `max` of its domain and day, or there
 * is no room for it. */
static int store_entry(struct batch *b, const struct counted *r, const struct tlsrpt_key *key,
                       size_t old_len, size_t max, const struct buffer *record, bool *is_stored)
{
    struct tlsrpt_key front = key_of_domain(r->domain, r->day);
    size_t count = 0;
    int rc = old_len == 0 ? count_entries(b, whole(&front), max, &count) : 0;
    uint64_t growth = record->len > old_len ? record->len - old_len : 0;
    *is_stored = count < max && learn_has_room(b, TABLE_TLSRPT, growth);
    if (rc != 0 || !*is_stored)
        return rc;
    return store_put(b->txn, TABLE_TLSRPT, whole(key), buffer_slice(record));
}

static int get_entry(struct batch *b, const struct tlsrpt_key *key, struct slice *old)
{
    *old = (struct slice){0};
    int rc = store_get(b->txn, TABLE_TLSRPT, whole(key), old);
    return rc == -ENOENT ? 0 : rc;
}

static int count_policy(struct batch *b, const struct counted *r, struct tlsrpt_key *key,
                        bool *is_stored)
{
    struct queue_tlsrpt_policy p = r->policy;
    struct queue_tlsrpt_policy before;
    struct buffer record;
    struct slice old;
    buffer_init(&record, 3 * RECORD_TEXT_MAX);
    p.successes = p.failures = 0;
    record_put_tlsrpt_policy(&record, &p);
    add_hash(key, &record);
    int rc = get_entry(b, key, &old);
    /* One that is damaged begins anew. */
    if (record_get_tlsrpt_policy(old, &before)) {
        p.successes = before.successes;
        p.failures = before.failures;
        free(before.strings);
        free(before.mx_hosts);
    }
    add_to(&p.successes, r->policy.successes);
    add_to(&p.failures, r->failure.count);
    buffer_clear(&record);
    record_put_tlsrpt_policy(&record, &p);
    if (rc == 0)
        rc = store_entry(b, r, key, old.len, QUEUE_TLSRPT_ENTRIES, &record, is_stored);
    buffer_free(&record);
    return rc;
}

static int count_failure(struct batch *b, const struct counted *r, struct tlsrpt_key *key)
{
    bool is_stored; /* if not, the failure is in the totals */
    struct queue_tlsrpt_failure f = r->failure;
    struct queue_tlsrpt_failure before;
    struct buffer record;
    struct slice old;
    buffer_init(&record, sizeof f + 256);
    f.count = 0;
    record_put_tlsrpt_failure(&record, &f);
    add_hash(key, &record);
    int rc = get_entry(b, key, &old);
    if (record_get_tlsrpt_failure(old, &before))
        f.count = before.count;
    add_to(&f.count, r->failure.count);
    buffer_clear(&record);
    record_put_tlsrpt_failure(&record, &f);
    if (rc == 0)
        rc = store_entry(b, r, key, old.len, FAILURES_MAX, &record, &is_stored);
    buffer_free(&record);
    return rc;
}

static int run_count(struct op *op, struct batch *b)
{
    struct count_op *c = (struct count_op *)op;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < c->count; i++) {
        struct tlsrpt_key key = key_of_domain(c->results[i].domain, c->results[i].day);
        bool is_stored = false;
        rc = count_policy(b, &c->results[i], &key, &is_stored);
        if (rc == 0 && is_stored && c->results[i].failure.count > 0)
            rc = count_failure(b, &c->results[i], &key);
        if (!is_stored)
            op->answer = -ENOSPC;
    }
    return rc;
}

/* Lines, up to QUEUE_TLSRPT_TEXT_MAX. */
static char *take_lines(const char *text)
{
    struct slice s = slice_of(text);
    if (s.len > QUEUE_TLSRPT_TEXT_MAX) {
        s.len = QUEUE_TLSRPT_TEXT_MAX;
        while (s.len > 0 && text[s.len] != '\n')
            s.len--;
    }
    char *copy = xalloc(s.len + 1);
    if (s.len > 0)
        memcpy(copy, s.data, s.len);
    return copy;
}

static bool take_result(const struct queue_tlsrpt_result *from, struct counted *to)
{
    size_t domain_len = slice_of(from->domain).len;
    if (domain_len == 0 || domain_len > DOMAIN_MAX)
        return false;
    learn_text(from->domain, to->domain, sizeof to->domain);
    to->day = from->day;
    to->policy = (struct queue_tlsrpt_policy){.type = from->type,
                                              .strings = take_lines(from->strings),
                                              .mx_hosts = take_lines(from->mx_hosts),
                                              .successes = from->successes};
    to->failure = from->failure;
    return true;
}

void queue_tlsrpt_count(struct queue *q, const struct queue_tlsrpt_result *results, size_t count)
{
    size_t room = count < RESULTS_MAX ? count : RESULTS_MAX;
    size_t size = sizeof(struct count_op) + room * sizeof(struct counted);
    struct count_op *c = op_new(size, run_count, NULL, NULL, NULL);
    c->op.free = count_free;
    c->op.weight = size;
    for (size_t i = 0; i < room; i++) {
        struct counted *to = &c->results[c->count];
        if (!take_result(&results[i], to))
            continue;
        c->op.weight += strlen(to->policy.strings) + strlen(to->policy.mx_hosts);
        c->count++;
    }
    if (c->count > 0)
        writer_submit_idle(q, &c->op);
    else
        count_free(&c->op);
}

/* Reading. */

void queue_tlsrpt_due(struct queue *q, uint32_t before_day, queue_tlsrpt_due_visit *visit,
                      void *context)
{
    struct walk w;
    char domain[DOMAIN_SIZE];
    uint32_t day;
    walk_init(&w, (struct slice){0});
    for (bool goes_on = true; goes_on && walk_next(&w, q, TABLE_TLSRPT);) {
        size_t front = read_key(walk_key(&w), domain, &day);
        if (front == 0)
            continue;
        if (day >= before_day)
            break;
        goes_on = visit(context, domain, day);
        /* Behind all entries of this domain and day. */
        memset(w.key + front, 0xff, 2 * HASH_SIZE);
        w.key_len = front + 2 * HASH_SIZE;
    }
    walk_free(&w);
}

/* The policy whose failures come next. */
struct reading {
    struct queue_tlsrpt_policy policy; /* texts owned */
    char key[sizeof((struct tlsrpt_key *)0)->bytes];
    size_t key_len; /* 0: none, or a damaged one */
};

static void reading_end(struct reading *r)
{
    free(r->policy.strings);
    free(r->policy.mx_hosts);
    *r = (struct reading){0};
}

static bool read_entry(struct reading *r, struct slice key, struct slice value, size_t front,
                       queue_tlsrpt_visit *visit, void *context)
{
    struct queue_tlsrpt_failure f;
    if (key.len == front + HASH_SIZE) {
        reading_end(r);
        if (!record_get_tlsrpt_policy(value, &r->policy))
            return true;
        r->key_len = key.len;
        memcpy(r->key, key.data, key.len);
        return visit(context, &r->policy, NULL);
    }
    bool is_ours = r->key_len > 0 && begins_with(key, (struct slice){r->key, r->key_len});
    if (!is_ours || !record_get_tlsrpt_failure(value, &f))
        return true;
    return visit(context, &r->policy, &f);
}

void queue_tlsrpt_read(struct queue *q, const char *domain, uint32_t day, queue_tlsrpt_visit *visit,
                       void *context)
{
    struct walk w;
    struct reading r = {0};
    char present[DOMAIN_SIZE];
    uint32_t present_day;
    if (*domain == '\0' || strlen(domain) > DOMAIN_MAX)
        return;
    struct tlsrpt_key from = key_of_domain(domain, day);
    walk_init(&w, whole(&from));
    for (bool goes_on = true; goes_on && walk_next(&w, q, TABLE_TLSRPT);) {
        struct slice key = walk_key(&w);
        if (!begins_with(key, whole(&from)))
            break;
        size_t front = read_key(key, present, &present_day);
        if (front > 0)
            goes_on = read_entry(&r, key, buffer_slice(&w.value), front, visit, context);
    }
    reading_end(&r);
    walk_free(&w);
}

/* Removing. */

struct remove_op {
    struct op op;
    struct tlsrpt_key front;
};

static int run_remove(struct op *op, struct batch *b)
{
    struct slice front = whole(&((struct remove_op *)op)->front);
    struct cursor c;
    int rc = cursor_open(b->txn, TABLE_TLSRPT, &c);
    while (rc == 0 && (rc = cursor_seek(&c, front)) == 0 && begins_with(c.key, front))
        rc = cursor_delete(&c);
    cursor_close(&c);
    return rc == -ENOENT ? 0 : rc;
}

static int run_nothing(struct op *op, struct batch *b)
{
    (void)op;
    (void)b;
    return 0;
}

void queue_tlsrpt_remove(struct queue *q, const char *domain, uint32_t day,
                         const struct queue_poster *poster, queue_done *done, void *context)
{
    bool is_any = *domain != '\0' && strlen(domain) <= DOMAIN_MAX;
    struct remove_op *remove =
        op_new(sizeof *remove, is_any ? run_remove : run_nothing, poster, done, context);
    if (is_any)
        remove->front = key_of_domain(domain, day);
    writer_submit(q, &remove->op);
}

int tlsrpt_sweep(struct batch *b, struct slice key, struct slice value, int64_t now)
{
    char domain[DOMAIN_SIZE];
    uint32_t day;
    (void)value;
    if (read_key(key, domain, &day) > 0 && ((int64_t)day + 1) * DAY + KEEP_SECONDS > now)
        return 0;
    return store_delete(b->txn, TABLE_TLSRPT, key);
}
