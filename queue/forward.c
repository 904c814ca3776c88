#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "queue/directory.h"
#include "queue/room.h"

/* Configured forwards: one list for each owner. */

struct targets {
    char (*list)[ADDRESS_SIZE]; /* owned */
    size_t count;
};

static int read_targets(struct txn *txn, const char *owner, struct targets *t)
{
    struct slice value;
    *t = (struct targets){0};
    int rc = store_get(txn, TABLE_FORWARD, slice_of(owner), &value);
    if (rc == -ENOENT)
        return 0;
    return rc != 0 ? rc : record_get_list(value, &t->list, &t->count) ? 0 : -EIO;
}

static int write_targets(struct batch *b, const char *owner, const struct targets *t)
{
    struct buffer record;
    if (t->count == 0)
        return directory_forget(b, TABLE_FORWARD, owner);
    buffer_init(&record, 64 + t->count * (ADDRESS_SIZE + 4));
    record_put_list(&record, t->list, t->count);
    int rc = store_put(b->txn, TABLE_FORWARD, slice_of(owner), buffer_slice(&record));
    buffer_free(&record);
    return rc;
}

static int run_forward(struct op *op, struct batch *b)
{
    struct directory_op *change = (struct directory_op *)op;
    struct targets t = {0};
    char owner[ADDRESS_SIZE];
    memcpy(owner, change->key, sizeof owner);
    int rc = directory_resolve(b->txn, owner);
    if (rc == 0)
        rc = read_targets(b->txn, owner, &t);
    if (rc != 0)
        return directory_answer(op, rc);
    size_t at = addresses_find(t.list, t.count, change->other);
    bool is_there = at < t.count;
    if (is_there == change->is_new)
        rc = is_there ? -EEXIST : -ENOENT;
    else if (change->is_new)
        addresses_add(&t.list, &t.count, change->other);
    else
        addresses_remove(t.list, &t.count, at);
    if (rc == 0)
        rc = write_targets(b, owner, &t);
    free(t.list);
    return directory_answer(op, rc);
}

void queue_forward_add(struct queue *q, const struct address *owner, const struct address *target,
                       const struct queue_poster *poster, queue_done *done, void *context)
{
    struct directory_op *change =
        directory_op_new(run_forward, owner, target, poster, done, context);
    change->is_new = true;
    writer_submit(q, &change->op);
}

void queue_forward_remove(struct queue *q, const struct address *owner,
                          const struct address *target, const struct queue_poster *poster,
                          queue_done *done, void *context)
{
    writer_submit(q, &directory_op_new(run_forward, owner, target, poster, done, context)->op);
}

int queue_forward_has(struct queue *q, const char *owner, const struct address *target)
{
    struct targets t = {0};
    char key[ADDRESS_SIZE];
    char wanted[ADDRESS_SIZE];
    if (!directory_key(owner, key))
        return 0;
    address_key(target, wanted);
    struct txn *view = store_view(q->store);
    if (!view)
        return -EIO;
    int rc = directory_resolve(view, key);
    if (rc == 0)
        rc = read_targets(view, key, &t);
    store_view_end(view);
    bool has = rc == 0 && addresses_find(t.list, t.count, wanted) < t.count;
    free(t.list);
    return has ? 1 : rc == -ENOENT ? 0 : rc;
}

static bool visit_targets(const char *owner, const struct targets *t, queue_forward_visit *visit,
                          void *context)
{
    for (size_t i = 0; i < t->count; i++) {
        if (!visit(context, owner, t->list[i]))
            return false;
    }
    return true;
}

static void report_damage(struct queue *q, const char *owner)
{
    EVENT(room_events(q), EVENT_ERROR, "store-damaged", FIELD(KEY_USER, owner),
          FIELD(KEY_ERROR, "forwards"));
}

/* The forwards of the owner whose key this is; or, of all, of the first from these octets of the
 * key on, whose key it is then. A damaged record is no error, and leaves *t empty. */
static int read_next(struct queue *q, bool is_one, char key[ADDRESS_SIZE], size_t len,
                     struct targets *t, bool *is_sound)
{
    struct cursor c = {0};
    struct txn *view = store_view(q->store);
    if (!view)
        return -EIO;
    int rc = is_one ? directory_resolve(view, key) : 0;
    if (rc == 0)
        rc = cursor_open(view, TABLE_FORWARD, &c);
    if (rc == 0)
        rc = cursor_seek(&c, (struct slice){key, is_one ? strlen(key) : len});
    if (rc == 0 && is_one && !slice_equal(c.key, slice_of(key)))
        rc = -ENOENT;
    if (rc == 0 && !slice_copy(c.key, key, ADDRESS_SIZE))
        rc = -EIO;
    *is_sound = rc == 0 && record_get_list(c.value, &t->list, &t->count);
    cursor_close(&c);
    store_view_end(view);
    return rc;
}

int queue_forwards_walk(struct queue *q, const char *owner, queue_forward_visit *visit,
                        void *context)
{
    char key[ADDRESS_SIZE] = "";
    size_t len = 0;
    if (owner && !directory_key(owner, key))
        return 0;
    for (bool goes_on = true; goes_on; len = strlen(key) + 1) {
        struct targets t = {0};
        bool is_sound;
        int rc = read_next(q, owner != NULL, key, len, &t, &is_sound);
        if (rc == 0 && !is_sound)
            report_damage(q, key);
        goes_on = rc == 0 && visit_targets(key, &t, visit, context) && !owner;
        free(t.list);
        if (rc != 0 || (owner && !is_sound))
            return rc == -ENOENT ? 0 : -EIO;
    }
    return 0;
}
