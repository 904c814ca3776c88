#include "queue/policy.h"

#include <errno.h>
#include <stdlib.h>

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
    bool is_growing = rc == -ENOENT || old.len < record.len;
    if (is_growing && !learn_has_room(b, TABLE_POLICY, record.len)) {
        op->answer = -ENOSPC;
        return 0;
    }
    return store_put(b->txn, TABLE_POLICY, slice_of(change->domain), record);
}

void queue_policy_put(struct queue *q, const struct queue_policy *p,
                      const struct queue_poster *poster, queue_done *done, void *context)
{
    struct policy_op *change = policy_op_new(run_put, p->domain, poster, done, context);
    if (change->domain[0] != '\0' && slice_of(p->text).len <= QUEUE_POLICY_TEXT_MAX)
        record_put_policy(&change->record, p);
    change->op.weight = change->record.len;
    writer_submit(q, &change->op);
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
