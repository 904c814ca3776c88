#include "queue/notice.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mail/date.h"
#include "mail/id.h"
#include "queue/room.h"

ptrdiff_t queue_notices_due(struct queue *q, int64_t now_ms, uint64_t *ids, size_t max,
                            int64_t *next_due_at_ms)
{
    struct cursor c;
    size_t count = 0;
    int64_t due_at_ms;
    uint64_t id;
    *next_due_at_ms = INT64_MAX;
    struct txn *view = store_view(q->store);
    if (!view)
        return -EIO;
    int rc = cursor_open(view, TABLE_NOTICE_DUE, &c);
    if (rc == 0)
        rc = cursor_seek(&c, (struct slice){0});
    for (; rc == 0; rc = cursor_next(&c)) {
        if (!key_get_notice_due(c.key, &due_at_ms, &id))
            continue; /* damaged: it must not stand in the way of the others */
        if (count == max || due_at_ms > now_ms) {
            *next_due_at_ms = due_at_ms;
            break;
        }
        ids[count++] = id;
    }
    cursor_close(&c);
    store_view_end(view);
    return rc == 0 || rc == -ENOENT ? (ptrdiff_t)count : rc;
}

uint64_t queue_notice_id(struct queue *q)
{
    return room_new_id(q);
}

struct notices_op {
    struct op op;
    uint64_t id;
    int64_t now_ms;
    struct queue_reported *reported; /* owned */
    size_t reported_count;
    struct prepared *notices; /* owned */
    struct buffer *contents;  /* owned, one for each */
    size_t count;
    bool is_order_dropped; /* of one run */
};

static bool is_still(const struct queue_recipient *r, const struct queue_reported *reported)
{
    return r->report == reported->report && r->last_attempt_at_ms == reported->last_attempt_at_ms;
}

static int mark_reported(struct batch *b, uint64_t id, const struct queue_reported *reported)
{
    struct record_peek before;
    struct queue_recipient r;
    uint32_t flow;
    int rc = change_peek(b, id, reported->index, &before);
    if (rc == 0)
        rc = change_read(b, id, reported->index, &r, &flow);
    if (rc != 0)
        return rc == -ENOENT || rc == -EBADMSG ? 0 : rc;
    if (is_still(&r, reported)) {
        r.was_warned |= r.report == QUEUE_REPORT_DELAY;
        r.report = QUEUE_REPORT_NONE;
        if (r.state == QUEUE_FAILED || r.state == QUEUE_DELIVERED || r.state == QUEUE_DISCARDED)
            rc = change_remove_recipient(b, id, reported->index, &before);
        else
            rc = change_recipient(b, &before, &r);
    }
    queue_recipient_clear(&r);
    return rc;
}

/* Is the notice about nothing any more? One that names no recipient is the caller's affair. */
static int is_about_nothing(const struct notices_op *notices, struct batch *b, uint32_t notice,
                            bool *is_stale)
{
    struct queue_recipient r;
    uint32_t flow;
    for (size_t i = 0; i < notices->reported_count; i++) {
        const struct queue_reported *reported = &notices->reported[i];
        if (reported->notice != notice)
            continue;
        int rc = change_read(b, notices->id, reported->index, &r, &flow);
        *is_stale = rc != 0 || !is_still(&r, reported);
        if (rc == 0)
            queue_recipient_clear(&r);
        else if (rc != -ENOENT && rc != -EBADMSG)
            return rc;
        if (!*is_stale)
            return 0;
    }
    return 0;
}

static int find_stale(const struct notices_op *notices, struct batch *b, bool *is_stale)
{
    int rc = 0;
    *is_stale = false;
    for (uint32_t i = 0; rc == 0 && i < notices->count && !*is_stale; i++)
        rc = is_about_nothing(notices, b, i, is_stale);
    return rc;
}

static int queue_all(struct notices_op *notices, struct batch *b)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < notices->count; i++) {
        rc = change_add_content(b, notices->notices[i].id, 0, buffer_slice(&notices->contents[i]));
        if (rc == 0)
            rc = change_add_message(b, &notices->notices[i]);
    }
    for (size_t i = 0; rc == 0 && i < notices->reported_count; i++)
        rc = mark_reported(b, notices->id, &notices->reported[i]);
    return rc;
}

static int run_notices(struct op *op, struct batch *b)
{
    struct notices_op *notices = (struct notices_op *)op;
    bool is_stale = false;
    int rc = 0;
    notices->is_order_dropped = false;
    if (!change_has_message(b, notices->id, &rc)) {
        op->answer = rc == 0 ? -ENOENT : 0;
        return rc == 0 ? change_drop_order(b, notices->id, &notices->is_order_dropped) : rc;
    }
    rc = find_stale(notices, b, &is_stale);
    if (rc == 0 && is_stale) {
        op->answer = -ESTALE;
    } else if (rc == 0 && notices->count > 0 && !change_has_notice_room(b, notices->op.weight)) {
        op->answer = -ENOSPC;
        return 0;
    } else if (rc == 0) {
        rc = queue_all(notices, b);
    }
    return rc == 0 ? change_finish_message(b, notices->id, notices->now_ms) : rc;
}

static void notices_committed(struct op *op, struct queue *q)
{
    struct notices_op *notices = (struct notices_op *)op;
    char id[ID_SIZE];
    if (notices->is_order_dropped)
        EVENT(room_events(q), EVENT_ERROR, "notice-dropped",
              FIELD(KEY_ID, id_text(notices->id, id)),
              FIELD(KEY_ERROR, "the message it was to report on is gone"));
}

static void notices_free(struct op *op)
{
    struct notices_op *notices = (struct notices_op *)op;
    for (size_t i = 0; i < notices->count; i++) {
        prepared_free(&notices->notices[i]);
        buffer_free(&notices->contents[i]);
    }
    free(notices->notices);
    free(notices->contents);
    free(notices->reported);
    free(notices);
}

void queue_notices_commit(struct queue *q, uint64_t id, const struct queue_reported *reported,
                          size_t reported_count, struct queue_notice *list, size_t count,
                          const struct queue_poster *poster, queue_done *done, void *context)
{
    struct notices_op *op = op_new(sizeof *op, run_notices, poster, done, context);
    op->op.free = notices_free;
    op->op.committed = notices_committed;
    op->id = id;
    op->now_ms = date_now_ms();
    op->reported_count = reported_count;
    op->reported = xalloc(reported_count * sizeof *reported);
    if (reported_count > 0)
        memcpy(op->reported, reported, reported_count * sizeof *reported);
    op->count = count;
    op->notices = xalloc(count * sizeof *op->notices);
    op->contents = xalloc(count * sizeof *op->contents);
    for (size_t i = 0; i < count; i++) {
        prepare(&op->notices[i], list[i].id, &list[i].envelope, list[i].content.len, op->now_ms,
                op->now_ms);
        envelope_free(&list[i].envelope);
        buffer_init(&op->contents[i], list[i].content.len);
        if (!buffer_append(&op->contents[i], list[i].content))
            panic("out of memory");
        op->op.weight += list[i].content.len;
    }
    writer_submit(q, &op->op);
}
