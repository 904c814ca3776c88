#include "queue/learn.h"

#include <errno.h>
#include <string.h>

#include "queue/room.h"

/* There are four such tables: together they have a sixteenth. */
#define SHARE 64

bool learn_has_room(struct batch *b, enum table table, uint64_t growth)
{
    if (growth == 0)
        return true;
    return b->used + b->added + growth <= b->q->limit &&
           store_table_used(b->txn, table) + growth <= b->q->limit / SHARE;
}

bool learn_may_replace(struct batch *b, enum table table, uint64_t growth)
{
    return growth == 0 || store_table_used(b->txn, table) + growth <= 2 * (b->q->limit / SHARE);
}

void learn_text(const char *text, char *out, size_t size)
{
    struct slice s = slice_of(text);
    if (s.len >= size) {
        /* No octet of a character that does not fit as a whole. */
        for (s.len = size - 1; s.len > 0 && ((uint8_t)s.data[s.len] & 0xc0) == 0x80;)
            s.len--;
    }
    if (!slice_copy(s, out, size))
        panic("learnt text of %zu octets", s.len);
}

/* Sweeping. */

/* How many entries one commit looks at. */
#define STEP 1000

static const struct {
    enum table table;
    learn_sweep_entry *sweep;
} swept[] = {
    {TABLE_POLICY, policy_sweep},       {TABLE_POSTURE, posture_sweep},
    {TABLE_EXCEPTION, exception_sweep}, {TABLE_TRIAL, trial_sweep},
    {TABLE_TLSRPT, tlsrpt_sweep},
};

struct place {
    size_t at; /* in swept[] */
    char key[511];
    size_t key_len; /* the entry looked at last; 0: none of this table yet */
};

struct sweep_op {
    struct op op;
    int64_t now;
    struct place done; /* committed */
    struct place next;
};

/* One entry behind the place. -ENOENT: the table has no more. */
static int sweep_one(struct sweep_op *sweep, struct batch *b)
{
    struct place *p = &sweep->next;
    struct cursor c;
    struct slice value = {0};
    int rc = cursor_open(b->txn, swept[p->at].table, &c);
    if (rc == 0)
        rc = cursor_seek(&c, (struct slice){p->key, p->key_len});
    if (rc == 0 && p->key_len > 0 && slice_equal(c.key, (struct slice){p->key, p->key_len}))
        rc = cursor_next(&c);
    if (rc == 0 && c.key.len > sizeof p->key)
        rc = -EIO;
    if (rc == 0) {
        p->key_len = c.key.len;
        memcpy(p->key, c.key.data, c.key.len);
        value = c.value;
    }
    cursor_close(&c);
    if (rc != 0)
        return rc;
    return swept[p->at].sweep(b, (struct slice){p->key, p->key_len}, value, sweep->now);
}

static int run_sweep(struct op *op, struct batch *b)
{
    struct sweep_op *sweep = (struct sweep_op *)op;
    sweep->next = sweep->done;
    for (unsigned i = 0; i < STEP && sweep->next.at < COUNT_OF(swept); i++) {
        int rc = sweep_one(sweep, b);
        if (rc == -ENOENT)
            sweep->next = (struct place){.at = sweep->next.at + 1};
        else if (rc != 0)
            return rc;
    }
    op->is_unfinished = sweep->next.at < COUNT_OF(swept);
    return 0;
}

static void sweep_committed(struct op *op, struct queue *q)
{
    struct sweep_op *sweep = (struct sweep_op *)op;
    (void)q;
    sweep->done = sweep->next;
}

void learn_sweep(struct queue *q, int64_t now, const struct queue_poster *poster, queue_done *done,
                 void *context)
{
    struct sweep_op *sweep = op_new(sizeof *sweep, run_sweep, poster, done, context);
    sweep->op.committed = sweep_committed;
    sweep->now = now;
    writer_submit(q, &sweep->op);
}

/* Walking. */

void walk_init(struct walk *w, struct slice from)
{
    *w = (struct walk){.key_len = from.len};
    if (from.len > sizeof w->key)
        panic("walk: key of %zu octets", from.len);
    if (from.len > 0)
        memcpy(w->key, from.data, from.len);
    buffer_init(&w->value, (size_t)1 << 30);
}

static int find_next(struct walk *w, struct txn *view, enum table table)
{
    struct cursor c;
    int rc = cursor_open(view, table, &c);
    if (rc == 0)
        rc = cursor_seek(&c, walk_key(w));
    if (rc == 0 && w->is_begun && slice_equal(c.key, walk_key(w)))
        rc = cursor_next(&c);
    if (rc == 0 && c.key.len > sizeof w->key)
        rc = -EIO;
    if (rc == 0) {
        w->key_len = c.key.len;
        memcpy(w->key, c.key.data, c.key.len);
        buffer_clear(&w->value);
        if (!buffer_append(&w->value, c.value))
            rc = -ENOMEM;
    }
    cursor_close(&c);
    return rc;
}

bool walk_next(struct walk *w, struct queue *q, enum table table)
{
    struct txn *view = store_view(q->store);
    if (!view)
        return false;
    int rc = find_next(w, view, table);
    store_view_end(view);
    w->is_begun = true;
    return rc == 0;
}

struct slice walk_key(const struct walk *w)
{
    return (struct slice){w->key, w->key_len};
}

void walk_free(struct walk *w)
{
    buffer_free(&w->value);
}
