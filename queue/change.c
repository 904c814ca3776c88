#include "queue/change.h"

#include <errno.h>
#include <stdlib.h>

#include "queue/room.h"

/* How long a notice waits for the other recipients' first attempts (GUARANTEE.md section 4). */
#define NOTICE_WAIT_MS 1000

static bool has_room(struct batch *b, uint64_t size, uint64_t limit)
{
    uint64_t needed = size + MESSAGE_OVERHEAD;
    if (b->used + b->added + needed > limit)
        return false;
    b->added += needed;
    return true;
}

bool change_has_room(struct batch *b, uint64_t size)
{
    return has_room(b, size, b->q->limit);
}

bool change_has_notice_room(struct batch *b, uint64_t size)
{
    return has_room(b, size, store_safe_size(b->q->store));
}

static struct slice none(void)
{
    return (struct slice){0};
}

/* Removing what is not there is no error. */
static int forget(struct batch *b, enum table table, struct slice key)
{
    int rc = store_delete(b->txn, table, key);
    return rc == -ENOENT ? 0 : rc;
}

/* Puts a recipient where its state wants it to be found, or takes it away from there. */
static int place(struct batch *b, uint64_t id, uint32_t index, const struct record_peek *peek,
                 int64_t expires_at_ms, bool is_in)
{
    b->tally.recipients[peek->state] += is_in ? 1 : -1;
    if (peek->state == QUEUE_QUEUED || peek->state == QUEUE_DEFERRED) {
        struct key key = key_due(&peek->lane, peek->due_at_ms, id, index);
        if (!is_in)
            return forget(b, TABLE_DUE, key_slice(&key));
        lane_note(b, &peek->lane, peek->due_at_ms);
        return store_put(b->txn, TABLE_DUE, key_slice(&key), none());
    }
    if (peek->state == QUEUE_HELD) {
        struct key key = key_part(id, index);
        if (!is_in)
            return forget(b, TABLE_HELD, key_slice(&key));
        struct key expires = key_id((uint64_t)expires_at_ms);
        return store_put(b->txn, TABLE_HELD, key_slice(&key), key_slice(&expires));
    }
    return 0;
}

int change_add_message(struct batch *b, const struct prepared *p)
{
    struct key id = key_id(p->id);
    int rc = store_put(b->txn, TABLE_MESSAGE, key_slice(&id), buffer_slice(&p->message));
    size_t from = 0;
    for (size_t i = 0; rc == 0 && i < p->count; i++) {
        struct key key = key_part(p->id, (uint32_t)i);
        struct slice record = slice_sub(buffer_slice(&p->recipients), from, p->lanes[i].end - from);
        from = p->lanes[i].end;
        rc = store_put(b->txn, TABLE_RECIPIENT, key_slice(&key), record);
        struct record_peek peek = {
            .state = QUEUE_QUEUED, .due_at_ms = p->due_at_ms, .lane = p->lanes[i].lane};
        if (rc == 0)
            rc = place(b, p->id, (uint32_t)i, &peek, 0, true);
    }
    b->tally.messages++;
    return rc;
}

int change_add_content(struct batch *b, uint64_t id, uint32_t first_piece, struct slice content)
{
    size_t piece_size = store_piece_size(b->q->store);
    for (size_t from = 0; from < content.len; from += piece_size) {
        struct key key = key_part(id, first_piece++);
        struct slice piece = slice_sub(content, from, piece_size);
        int rc = store_put(b->txn, TABLE_BODY, key_slice(&key), piece);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* Removes every entry whose key begins with the ID. */
static int remove_all(struct batch *b, enum table table, uint64_t id)
{
    struct cursor c;
    struct key key = key_id(id);
    uint64_t found = 0;
    int rc = cursor_open(b->txn, table, &c);
    while (rc == 0 && (rc = cursor_seek(&c, key_slice(&key))) == 0) {
        if (!key_get_id(c.key, &found) || found != id)
            break;
        rc = cursor_delete(&c);
    }
    cursor_close(&c);
    return rc == -ENOENT ? 0 : rc;
}

int change_remove_content(struct batch *b, uint64_t id)
{
    struct key key = key_id(id);
    int rc = remove_all(b, TABLE_BODY, id);
    return rc == 0 ? forget(b, TABLE_PARTIAL, key_slice(&key)) : rc;
}

/* For an operation that asks about a message as a whole: it is to find what it would find if those
 * before it in the batch had finished it themselves. */
static int finish_if_touched(struct batch *b, uint64_t id)
{
    size_t kept = 0;
    int64_t now_ms = INT64_MAX;
    for (size_t i = 0; i < b->touched_count; i++) {
        if (b->touched[i].id != id)
            b->touched[kept++] = b->touched[i];
        else if (b->touched[i].now_ms < now_ms)
            now_ms = b->touched[i].now_ms;
    }
    bool is_touched = kept < b->touched_count;
    b->touched_count = kept;
    return is_touched ? change_finish_message(b, id, now_ms) : 0;
}

bool change_has_message(struct batch *b, uint64_t id, int *error)
{
    struct key key = key_id(id);
    struct slice value;
    int rc = finish_if_touched(b, id);
    if (rc == 0)
        rc = store_get(b->txn, TABLE_MESSAGE, key_slice(&key), &value);
    *error = rc == -ENOENT ? 0 : rc;
    return rc == 0;
}

int change_guard_message(struct batch *b, uint64_t id)
{
    struct key key = key_id(id);
    struct slice value;
    struct queue_message m;
    int rc = store_get(b->txn, TABLE_MESSAGE, key_slice(&key), &value);
    if (rc != 0 || !record_get_message(value, &m))
        return rc == -ENOENT ? 0 : rc;
    if (!m.is_guarded) {
        struct buffer record;
        m.is_guarded = true;
        buffer_init(&record, 4 * RECORD_TEXT_MAX);
        record_put_message(&record, &m);
        rc = store_put(b->txn, TABLE_MESSAGE, key_slice(&key), buffer_slice(&record));
        buffer_free(&record);
    }
    queue_message_free(&m);
    return rc;
}

int change_peek(struct batch *b, uint64_t id, uint32_t index, struct record_peek *peek)
{
    struct key key = key_part(id, index);
    struct slice value;
    int rc = store_get(b->txn, TABLE_RECIPIENT, key_slice(&key), &value);
    return rc != 0 ? rc : record_peek_recipient(value, peek) ? 0 : -EBADMSG;
}

int change_read(struct batch *b, uint64_t id, uint32_t index, struct queue_recipient *r,
                uint32_t *flow)
{
    struct key key = key_part(id, index);
    struct slice value;
    int rc = store_get(b->txn, TABLE_RECIPIENT, key_slice(&key), &value);
    if (rc != 0)
        return rc;
    if (!record_get_recipient(value, r, flow))
        return -EBADMSG;
    r->id = id;
    r->index = index;
    return 0;
}

int change_recipient(struct batch *b, const struct record_peek *before,
                     const struct queue_recipient *r)
{
    struct record_peek after = {r->state, r->report, r->due_at_ms, before->lane};
    int rc = place(b, r->id, r->index, before, 0, false);
    if (rc == 0)
        rc = place(b, r->id, r->index, &after, r->expires_at_ms, true);
    if (rc != 0)
        return rc;
    struct buffer record;
    buffer_init(&record, 16 * RECORD_TEXT_MAX);
    record_put_recipient(&record, r, before->lane.flow);
    struct key key = key_part(r->id, r->index);
    rc = store_put(b->txn, TABLE_RECIPIENT, key_slice(&key), buffer_slice(&record));
    buffer_free(&record);
    return rc;
}

int change_remove_recipient(struct batch *b, uint64_t id, uint32_t index,
                            const struct record_peek *before)
{
    struct key key = key_part(id, index);
    int rc = place(b, id, index, before, 0, false);
    return rc == 0 ? forget(b, TABLE_RECIPIENT, key_slice(&key)) : rc;
}

/* Finds the recipient of `id` with this index or a later one. */
static int find_recipient(struct batch *b, uint64_t id, uint32_t from, uint32_t *index,
                          struct record_peek *peek)
{
    struct cursor c;
    struct key key = key_part(id, from);
    uint64_t found = 0;
    int rc = cursor_open(b->txn, TABLE_RECIPIENT, &c);
    if (rc == 0)
        rc = cursor_seek(&c, key_slice(&key));
    if (rc == 0 && (!key_get_part(c.key, &found, index) || found != id))
        rc = -ENOENT;
    if (rc == 0 && !record_peek_recipient(c.value, peek))
        rc = -EBADMSG;
    cursor_close(&c);
    return rc;
}

int change_each_recipient(struct batch *b, uint64_t id, change_visit *visit, void *context)
{
    struct record_peek peek;
    uint32_t index = 0;
    int rc = finish_if_touched(b, id);
    for (uint32_t from = 0; rc == 0; from = index + 1) {
        rc = find_recipient(b, id, from, &index, &peek);
        if (rc == -ENOENT)
            return 0;
        if (rc == -EBADMSG)
            rc = 0; /* stays as it is, for somebody to look at */
        else if (rc == 0)
            rc = visit(b, id, index, &peek, context);
    }
    return rc;
}

struct survey {
    bool is_any;
    bool is_first_attempt; /* of some recipient */
    bool is_unreported;
};

static int survey_recipients(struct batch *b, uint64_t id, struct survey *s)
{
    struct cursor c;
    struct record_peek peek;
    struct key key = key_id(id);
    uint64_t found = 0;
    *s = (struct survey){0};
    int rc = cursor_open(b->txn, TABLE_RECIPIENT, &c);
    if (rc == 0)
        rc = cursor_seek(&c, key_slice(&key));
    for (; rc == 0 && key_get_id(c.key, &found) && found == id; rc = cursor_next(&c)) {
        s->is_any = true;
        atomic_fetch_add_explicit(&b->q->surveyed, 1, memory_order_relaxed);
        if (!record_peek_recipient(c.value, &peek))
            continue;
        s->is_first_attempt |= peek.state == QUEUE_QUEUED;
        s->is_unreported |= peek.report != QUEUE_REPORT_NONE;
    }
    cursor_close(&c);
    return rc == -ENOENT ? 0 : rc;
}

static int cancel_order(struct batch *b, uint64_t id, int64_t due_at_ms)
{
    struct key by_id = key_id(id);
    struct key by_due = key_notice_due(due_at_ms, id);
    int rc = forget(b, TABLE_NOTICE, key_slice(&by_id));
    return rc == 0 ? forget(b, TABLE_NOTICE_DUE, key_slice(&by_due)) : rc;
}

static int store_order(struct batch *b, uint64_t id, int64_t due_at_ms)
{
    struct key by_id = key_id(id);
    struct key by_due = key_notice_due(due_at_ms, id);
    struct key due = key_id((uint64_t)due_at_ms);
    if (due_at_ms < b->notice_due_ms)
        b->notice_due_ms = due_at_ms;
    int rc = store_put(b->txn, TABLE_NOTICE, key_slice(&by_id), key_slice(&due));
    return rc == 0 ? store_put(b->txn, TABLE_NOTICE_DUE, key_slice(&by_due), none()) : rc;
}

/* When the order of the message is due. By ID if it can be, else by looking at all: one that lost
 * its entry by ID would come up for ever. */
static int find_order(struct batch *b, uint64_t id, int64_t *due_at_ms)
{
    struct cursor c;
    struct slice value;
    struct key by_id = key_id(id);
    uint64_t found = 0;
    int rc = store_get(b->txn, TABLE_NOTICE, key_slice(&by_id), &value);
    if (rc == 0)
        *due_at_ms = (int64_t)record_number(value);
    if (rc != -ENOENT)
        return rc;
    rc = cursor_open(b->txn, TABLE_NOTICE_DUE, &c);
    if (rc == 0)
        rc = cursor_seek(&c, none());
    while (rc == 0 && !(key_get_notice_due(c.key, due_at_ms, &found) && found == id))
        rc = cursor_next(&c);
    cursor_close(&c);
    return rc;
}

int change_drop_order(struct batch *b, uint64_t id, bool *was_there)
{
    int64_t due_at_ms;
    int rc = find_order(b, id, &due_at_ms);
    *was_there = rc == 0;
    if (rc != 0)
        return rc == -ENOENT ? 0 : rc;
    return cancel_order(b, id, due_at_ms);
}

static int keep_order(struct batch *b, uint64_t id, const struct survey *s, int64_t now_ms)
{
    struct key by_id = key_id(id);
    struct slice value;
    int64_t wanted = s->is_first_attempt ? now_ms + NOTICE_WAIT_MS : now_ms;
    int rc = store_get(b->txn, TABLE_NOTICE, key_slice(&by_id), &value);
    if (rc == -ENOENT)
        return s->is_unreported ? store_order(b, id, wanted) : 0;
    if (rc != 0)
        return rc;
    int64_t due_at_ms = (int64_t)record_number(value);
    if (s->is_unreported && due_at_ms <= wanted)
        return 0;
    rc = cancel_order(b, id, due_at_ms);
    return rc == 0 && s->is_unreported ? store_order(b, id, wanted) : rc;
}

int change_finish_message(struct batch *b, uint64_t id, int64_t now_ms)
{
    struct survey s;
    int rc = survey_recipients(b, id, &s);
    if (rc == 0 && s.is_any)
        return keep_order(b, id, &s, now_ms);
    return rc == 0 ? change_remove_message(b, id) : rc;
}

void change_touch_message(struct batch *b, uint64_t id, int64_t now_ms)
{
    if (b->touched_count == b->touched_room) {
        b->touched_room = b->touched_room ? b->touched_room * 2 : 16;
        b->touched = xrealloc(b->touched, b->touched_room * sizeof *b->touched);
    }
    b->touched[b->touched_count++] = (struct touched){id, now_ms};
}

static int compare_touched(const void *left, const void *right)
{
    const struct touched *a = left;
    const struct touched *b = right;
    int order = (a->id > b->id) - (a->id < b->id);
    return order != 0 ? order : (a->now_ms > b->now_ms) - (a->now_ms < b->now_ms);
}

int change_finish_touched(struct batch *b)
{
    int rc = 0;
    size_t count = b->touched_count;
    b->touched_count = 0; /* nothing is added from here on: the array stays as it is */
    if (count > 1)
        qsort(b->touched, count, sizeof *b->touched, compare_touched);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (i == 0 || b->touched[i].id != b->touched[i - 1].id)
            rc = change_finish_message(b, b->touched[i].id, b->touched[i].now_ms);
    }
    return rc;
}

static int remove_one(struct batch *b, uint64_t id, uint32_t index, const struct record_peek *peek,
                      void *context)
{
    (void)context;
    return change_remove_recipient(b, id, index, peek);
}

int change_remove_message(struct batch *b, uint64_t id)
{
    struct key key = key_id(id);
    struct survey nothing = {0};
    int rc = change_each_recipient(b, id, remove_one, NULL);
    if (rc == 0)
        rc = remove_all(b, TABLE_RECIPIENT, id); /* damaged ones */
    if (rc == 0)
        rc = keep_order(b, id, &nothing, 0);
    if (rc == 0)
        rc = change_remove_content(b, id);
    if (rc == 0)
        rc = store_delete(b->txn, TABLE_MESSAGE, key_slice(&key));
    if (rc == 0)
        b->tally.messages--;
    return rc == -ENOENT ? 0 : rc;
}
