#include "queue/held.h"

#include <errno.h>
#include <stdlib.h>

#include "mail/id.h"
#include "queue/room.h"

const char *queue_state_name(enum queue_state s)
{
    switch (s) {
    case QUEUE_QUEUED:
        return "queued";
    case QUEUE_DEFERRED:
        return "deferred";
    case QUEUE_HELD:
        return "held";
    case QUEUE_FAILED:
        return "failed";
    case QUEUE_DELIVERED:
        return "delivered";
    case QUEUE_DISCARDED:
        return "discarded";
    }
    panic("queue_state_name: %d", (int)s);
}

void queue_message_free(struct queue_message *m)
{
    free(m->reverse_path);
    free(m->user);
    free(m->envid);
    *m = (struct queue_message){0};
}

void queue_recipient_clear(struct queue_recipient *r)
{
    free(r->address);
    free(r->orcpt);
    free(r->owner);
    free(r->required);
    free(r->evidence);
    free(r->protocol);
    free(r->cipher);
    free(r->verified);
    *r = (struct queue_recipient){0};
}

void queue_recipients_free(struct queue_recipient *recipients, size_t count)
{
    for (size_t i = 0; i < count; i++)
        queue_recipient_clear(&recipients[i]);
    free(recipients);
}

static void report_damage(struct queue *q, const char *what, uint64_t id)
{
    char text[ID_SIZE];
    EVENT(room_events(q), EVENT_ERROR, "store-damaged", FIELD(KEY_ID, id_text(id, text)),
          FIELD(KEY_ERROR, what));
}

static int read_message(struct txn *view, uint64_t id, struct queue_message *out)
{
    struct slice value;
    struct key key = key_id(id);
    int rc = store_get(view, TABLE_MESSAGE, key_slice(&key), &value);
    if (rc != 0)
        return rc;
    if (!record_get_message(value, out))
        return -EIO;
    out->id = id;
    return 0;
}

int queue_message_read(struct queue *q, uint64_t id, struct queue_message *out)
{
    struct txn *view = store_view(q->store);
    if (!view)
        return -EIO;
    int rc = read_message(view, id, out);
    store_view_end(view);
    if (rc == -EIO)
        report_damage(q, "message", id);
    return rc;
}

struct recipient_list {
    struct queue_recipient *items;
    size_t count;
    size_t room;
};

static int read_recipients(struct queue *q, struct txn *view, uint64_t id,
                           struct recipient_list *out)
{
    struct cursor c;
    struct key key = key_id(id);
    uint64_t found = 0;
    uint32_t index = 0;
    uint32_t flow;
    *out = (struct recipient_list){0};
    int rc = cursor_open(view, TABLE_RECIPIENT, &c);
    if (rc == 0)
        rc = cursor_seek(&c, key_slice(&key));
    for (; rc == 0 && key_get_part(c.key, &found, &index) && found == id; rc = cursor_next(&c)) {
        if (out->count == out->room) {
            out->room = out->room ? out->room * 2 : 4;
            out->items = xrealloc(out->items, out->room * sizeof *out->items);
        }
        struct queue_recipient *r = &out->items[out->count];
        if (!record_get_recipient(c.value, r, &flow)) {
            report_damage(q, "recipient", id);
            continue;
        }
        r->id = id;
        r->index = index;
        out->count++;
    }
    cursor_close(&c);
    return rc == -ENOENT ? 0 : rc;
}

int queue_recipients_read(struct queue *q, uint64_t id, struct queue_recipient **out, size_t *count)
{
    struct slice value;
    struct key key = key_id(id);
    struct recipient_list list = {0};
    struct txn *view = store_view(q->store);
    if (!view)
        return -EIO;
    int rc = store_get(view, TABLE_MESSAGE, key_slice(&key), &value);
    if (rc == 0)
        rc = read_recipients(q, view, id, &list);
    store_view_end(view);
    if (rc != 0) {
        queue_recipients_free(list.items, list.count);
        return rc;
    }
    *out = list.items;
    *count = list.count;
    return 0;
}

static int64_t read_content(struct queue *q, struct txn *view, uint64_t id, uint64_t offset,
                            size_t max, struct buffer *out)
{
    struct queue_message m;
    int rc = read_message(view, id, &m);
    if (rc != 0)
        return rc;
    uint64_t size = m.size;
    queue_message_free(&m);
    size_t piece_size = store_piece_size(q->store);
    uint64_t end = offset < size ? size : offset;
    if (end - offset > max)
        end = offset + max;
    uint64_t at = offset;
    while (at < end) {
        struct slice piece;
        struct key key = key_part(id, (uint32_t)(at / piece_size));
        rc = store_get(view, TABLE_BODY, key_slice(&key), &piece);
        if (rc != 0)
            return -EIO;
        struct slice part = slice_sub(piece, (size_t)(at % piece_size), (size_t)(end - at));
        if (part.len == 0)
            return -EIO;
        if (!buffer_append(out, part))
            return at > offset ? (int64_t)(at - offset) : -ENOMEM;
        at += part.len;
    }
    return (int64_t)(at - offset);
}

int64_t queue_content_read(struct queue *q, uint64_t id, uint64_t offset, size_t max,
                           struct buffer *out)
{
    struct txn *view = store_view(q->store);
    if (!view)
        return -EIO;
    int64_t got = read_content(q, view, id, offset, max, out);
    store_view_end(view);
    if (got == -EIO)
        report_damage(q, "content", id);
    return got;
}

/* The first ID above `after` in a table whose keys begin with the ID; 0: none. */
static uint64_t id_above(struct txn *view, enum table table, uint64_t after)
{
    struct cursor c;
    struct key key = key_id(after + 1);
    uint64_t id = 0;
    int rc = after == UINT64_MAX ? -ENOENT : cursor_open(view, table, &c);
    if (rc != 0)
        return 0;
    if (cursor_seek(&c, key_slice(&key)) != 0 || !key_get_id(c.key, &id))
        id = 0;
    cursor_close(&c);
    return id;
}

/* A view for each message: a listing of a million holds back no page for longer than one. */
static uint64_t walk(struct queue *q, enum table table, uint64_t after, size_t max,
                     queue_visit *visit, void *context)
{
    uint64_t last = 0;
    bool goes_on = true;
    for (size_t i = 0; i < max && goes_on; i++) {
        struct queue_message m = {0};
        struct recipient_list list = {0};
        struct txn *view = store_view(q->store);
        if (!view)
            break;
        uint64_t id = id_above(view, table, after);
        int rc = id == 0 ? -ENOENT : read_message(view, id, &m);
        if (rc == 0)
            rc = read_recipients(q, view, id, &list);
        store_view_end(view);
        if (id == 0)
            break;
        last = after = id;
        if (rc == 0)
            goes_on = visit(context, &m, list.items, list.count);
        else
            report_damage(q, "message", id);
        queue_message_free(&m);
        queue_recipients_free(list.items, list.count);
    }
    return last;
}

uint64_t queue_walk(struct queue *q, uint64_t after, size_t max, queue_visit *visit, void *context)
{
    return walk(q, TABLE_MESSAGE, after, max, visit, context);
}

uint64_t queue_held_walk(struct queue *q, uint64_t after, size_t max, queue_visit *visit,
                         void *context)
{
    return walk(q, TABLE_HELD, after, max, visit, context);
}
