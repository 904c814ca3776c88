#include "queue/policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "queue/learn.h"
#include "queue/room.h"

void queue_policy_clear(struct queue_policy *p)
{
    free(p->text);
    *p = (struct queue_policy){0};
}

int queue_policy_find(struct queue *q, const char *domain, struct queue_policy *out)
{
    struct slice value;
    *out = (struct queue_policy){0};
    if (*domain == '\0')
        return -ENOENT;
    struct txn *view = store_view(q->store);
    if (!view)
        return -EIO;
    int rc = store_get(view, TABLE_POLICY, slice_of(domain), &value);
    if (rc == 0 && !record_get_policy(value, out))
        rc = -EIO;
    store_view_end(view);
    return rc;
}

void queue_policies_walk(struct queue *q, queue_policy_visit *visit, void *context)
{
    struct walk w;
    walk_init(&w, (struct slice){0});
    for (bool goes_on = true; goes_on && walk_next(&w, q, TABLE_POLICY);) {
        struct queue_policy p;
        if (!record_get_policy(buffer_slice(&w.value), &p))
            continue;
        goes_on = visit(context, &p);
        queue_policy_clear(&p);
    }
    walk_free(&w);
}

bool queue_policies_walk_some(struct queue *q, char at[DOMAIN_SIZE], size_t max,
                              queue_policy_visit *visit, void *context)
{
    struct walk w;
    bool has_more = true;
    walk_init(&w, slice_of(at));
    w.is_begun = at[0] != '\0';
    for (bool goes_on = true; goes_on && max > 0; max--) {
        struct queue_policy p;
        has_more = walk_next(&w, q, TABLE_POLICY) && walk_key(&w).len < DOMAIN_SIZE;
        if (!has_more)
            break;
        if (record_get_policy(buffer_slice(&w.value), &p)) {
            goes_on = visit(context, &p);
            queue_policy_clear(&p);
        }
        if (goes_on && !slice_copy(walk_key(&w), at, DOMAIN_SIZE))
            panic("policy: a key became longer");
    }
    if (!has_more)
        at[0] = '\0';
    walk_free(&w);
    return has_more;
}

/* Changes. */

struct policy_op {
    struct op op;
    char domain[DOMAIN_SIZE];
    struct buffer record; /* what to store; owned */
};

static void policy_free(struct op *op)
{
    struct policy_op *change = (struct policy_op *)op;
    buffer_free(&change->record);
    free(change);
}

static struct policy_op *policy_op_new(int (*run)(struct op *op, struct batch *b),
                                       const char *domain, const struct queue_poster *poster,
                                       queue_done *done, void *context)
{
    struct policy_op *change = op_new(sizeof *change, run, poster, done, context);
    change->op.free = policy_free;
    buffer_init(&change->record, 2 * RECORD_TEXT_MAX);
    if (!slice_copy(slice_of(domain), change->domain, sizeof change->domain))
        change->domain[0] = '\0';
    return change;
}

static int run_put(struct op *op, struct batch *b)
{
    struct policy_op *change = (struct policy_op *)op;
    struct slice record = buffer_slice(&change->record);
    struct slice old;
    if (record.len == 0) {
        op->answer = -EINVAL;
        return 0;
    }
    int rc = store_get(b->txn, TABLE_POLICY, slice_of(change->domain), &old);
    if (rc != 0 && rc != -ENOENT)
        return rc;
    bool has_room =
        rc == -ENOENT
            ? learn_has_room(b, TABLE_POLICY, record.len)
            : learn_may_replace(b, TABLE_POLICY, record.len > old.len ? record.len - old.len : 0);
    if (!has_room) {
        op->answer = -ENOSPC;
        return 0;
    }
    return store_put(b->txn, TABLE_POLICY, slice_of(change->domain), record);
}

static int run_remove(struct op *op, struct batch *b)
{
    struct policy_op *change = (struct policy_op *)op;
    int rc = change->domain[0] != '\0'
                 ? store_delete(b->txn, TABLE_POLICY, slice_of(change->domain))
                 : -ENOENT;
    if (rc == -ENOENT)
        op->answer = rc;
    return rc == -ENOENT ? 0 : rc;
}

static bool has_text_of(struct slice record, struct slice other)
{
    struct queue_policy p;
    struct queue_policy q;
    bool is_same = record_get_policy(record, &p);
    is_same = record_get_policy(other, &q) && is_same && strcmp(p.text, q.text) == 0;
    queue_policy_clear(&p);
    queue_policy_clear(&q);
    return is_same;
}

static int run_remove_older(struct op *op, struct batch *b)
{
    struct policy_op *change = (struct policy_op *)op;
    struct slice old;
    int rc = store_get(b->txn, TABLE_POLICY, slice_of(change->domain), &old);
    if (rc != 0 || has_text_of(old, buffer_slice(&change->record)))
        return rc == -ENOENT ? 0 : rc;
    return store_delete(b->txn, TABLE_POLICY, slice_of(change->domain));
}

/* After a restart the older one would be in force again: "testing", say, though the domain has gone
 * on to "enforce". One that says the same is as true as before. */
static struct op *remove_older(struct op *op, struct queue *q)
{
    struct policy_op *change = (struct policy_op *)op;
    struct policy_op *removal;
    (void)q;
    if (op->answer == -EINVAL)
        return NULL;
    removal = policy_op_new(run_remove_older, change->domain, NULL, NULL, NULL);
    if (!buffer_append(&removal->record, buffer_slice(&change->record)))
        panic("policy: a record became longer");
    return &removal->op;
}

void queue_policy_put(struct queue *q, const struct queue_policy *p,
                      const struct queue_poster *poster, queue_done *done, void *context)
{
    struct policy_op *change = policy_op_new(run_put, p->domain, poster, done, context);
    if (change->domain[0] != '\0' && slice_of(p->text).len <= QUEUE_POLICY_TEXT_MAX)
        record_put_policy(&change->record, p);
    change->op.weight = change->record.len;
    change->op.failed = remove_older;
    writer_submit(q, &change->op);
}

void queue_policy_remove(struct queue *q, const char *domain, const struct queue_poster *poster,
                         queue_done *done, void *context)
{
    writer_submit(q, &policy_op_new(run_remove, domain, poster, done, context)->op);
}

int policy_sweep(struct batch *b, struct slice key, struct slice value, int64_t now)
{
    struct queue_policy p;
    bool is_kept = record_get_policy(value, &p) && p.expires_at > now;
    queue_policy_clear(&p);
    return is_kept ? 0 : store_delete(b->txn, TABLE_POLICY, key);
}
