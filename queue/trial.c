#include "queue/trial.h"

#include <errno.h>
#include <string.h>

#include "queue/directory.h"
#include "queue/learn.h"
#include "queue/room.h"

#define KEEP_SECONDS ((int64_t)30 * 86400)

/* By the message's time, so that a walk can begin in the middle, and a later attempt finds what an
 * earlier one found. */
struct trial_key {
    char bytes[24];
};

static struct slice trial_key(const struct queue_trial *t, struct trial_key *k)
{
    struct key front = key_notice_due(t->arrived_at, t->id);
    struct key back = key_id(room_hash(slice_of(t->recipient)));
    memcpy(k->bytes, front.bytes, front.len);
    memcpy(k->bytes + front.len, back.bytes, back.len);
    return (struct slice){k->bytes, front.len + back.len};
}

struct trial_op {
    struct op op;
    struct queue_trial trial;
};

static int run_add(struct op *op, struct batch *b)
{
    const struct queue_trial *t = &((struct trial_op *)op)->trial;
    struct trial_key k;
    struct buffer record;
    int rc = 0;
    buffer_init(&record, sizeof *t + 256);
    record_put_trial(&record, t);
    if (learn_has_room(b, TABLE_TRIAL, record.len))
        rc = store_put(b->txn, TABLE_TRIAL, trial_key(t, &k), buffer_slice(&record));
    else
        op->answer = -ENOSPC;
    buffer_free(&record);
    return rc;
}

void queue_trial_add(struct queue *q, const struct queue_trial *t)
{
    struct trial_op *add = op_new(sizeof *add, run_add, NULL, NULL, NULL);
    add->op.weight = sizeof *add;
    add->trial = *t;
    writer_submit_idle(q, &add->op);
}

int queue_trial_has(struct queue *q, const struct queue_trial *t)
{
    struct trial_key k;
    struct slice value;
    struct txn *view = store_view(q->store);
    if (!view)
        return -EIO;
    int rc = store_get(view, TABLE_TRIAL, trial_key(t, &k), &value);
    store_view_end(view);
    return rc == -ENOENT ? 0 : rc == 0 ? 1 : rc;
}

void queue_trials_walk(struct queue *q, const char *user, int64_t since, queue_trial_visit *visit,
                       void *context)
{
    struct walk w;
    struct key from = key_notice_due(since, 0);
    char wanted[ADDRESS_SIZE] = "";
    char present[ADDRESS_SIZE];
    if (user && !directory_key(user, wanted))
        return;
    walk_init(&w, key_slice(&from));
    for (bool goes_on = true; goes_on && walk_next(&w, q, TABLE_TRIAL);) {
        struct queue_trial t;
        if (!record_get_trial(buffer_slice(&w.value), &t))
            continue;
        if (!user || (directory_key(t.user, present) && strcmp(present, wanted) == 0))
            goes_on = visit(context, &t);
    }
    walk_free(&w);
}

int trial_sweep(struct batch *b, struct slice key, struct slice value, int64_t now)
{
    struct queue_trial t;
    if (record_get_trial(value, &t) && t.at > now - KEEP_SECONDS)
        return 0;
    return store_delete(b->txn, TABLE_TRIAL, key);
}
