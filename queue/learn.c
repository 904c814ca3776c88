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
