#include "queue/due.h"

#include <errno.h>
#include <stdlib.h>

#include "mail/id.h"
#include "queue/room.h"

/* Taking. What was chosen in one view is leased and then looked up again in a newer one: a result
 * committed between the two would else let us try a recipient again that is already done. Leases
 * end after the commit, so a view taken with the lease in hand shows all that was settled before
 * it. */

struct candidate {
    int64_t due_at_ms;
    uint64_t id;
    uint32_t index;
};

struct choice {
    struct candidate *items; /* owned */
    size_t count;
    int64_t next_due_at_ms;
};

static int choose(struct queue *q, struct txn *view, const struct queue_lane *lane, int64_t now_ms,
                  size_t max, struct choice *out)
{
    struct cursor c;
    struct key prefix = key_lane(lane);
    struct queue_lane at;
    struct candidate found;
    int rc = cursor_open(view, TABLE_DUE, &c);
    if (rc == 0)
        rc = cursor_seek(&c, key_slice(&prefix));
    for (; rc == 0; rc = cursor_next(&c)) {
        if (!slice_equal(slice_sub(c.key, 0, prefix.len), key_slice(&prefix)))
            break;
        if (!key_get_due(c.key, &at, &found.due_at_ms, &found.id, &found.index))
            continue; /* damaged: it must not stand in the way of the others */
        if (found.due_at_ms > now_ms || out->count == max) {
            if (leases_has(q->leases, found.id, found.index))
                continue;
            out->next_due_at_ms = found.due_at_ms;
            break;
        }
        if (leases_take(q->leases, found.id, found.index))
            out->items[out->count++] = found;
    }
    cursor_close(&c);
    return rc == -ENOENT ? 0 : rc;
}

/* 1: *out is filled and stays leased; 0: nothing to be had here; negative: the store's error. */
static int read_candidate(struct queue *q, struct txn *view, const struct queue_lane *lane,
                          const struct candidate *from, struct queue_recipient *out)
{
    struct slice value;
    uint32_t flow;
    struct key due = key_due(lane, from->due_at_ms, from->id, from->index);
    struct key key = key_part(from->id, from->index);
    int rc = store_get(view, TABLE_DUE, key_slice(&due), &value);
    if (rc == 0)
        rc = store_get(view, TABLE_RECIPIENT, key_slice(&key), &value);
    if (rc == -ENOENT)
        leases_end(q->leases, from->id, from->index);
    if (rc != 0)
        return rc == -ENOENT ? 0 : rc;
    if (!record_get_recipient(value, out, &flow)) {
        /* The lease stays: one event, not one for each look at the lane. */
        char id[ID_SIZE];
        EVENT(room_events(q), EVENT_ERROR, "store-damaged", FIELD(KEY_ID, id_text(from->id, id)),
              FIELD(KEY_ERROR, "recipient"));
        return 0;
    }
    out->id = from->id;
    out->index = from->index;
    return 1;
}

static ptrdiff_t read_choice(struct queue *q, const struct queue_lane *lane, struct choice *choice,
                             struct queue_recipient *out)
{
    size_t count = 0;
    int rc = 0;
    struct txn *view = choice->count > 0 ? store_view(q->store) : NULL;
    if (choice->count > 0 && !view)
        return -EIO;
    for (size_t i = 0; rc >= 0 && i < choice->count; i++) {
        rc = read_candidate(q, view, lane, &choice->items[i], &out[count]);
        if (rc > 0)
            count++;
        else if (rc == 0)
            choice->items[i].id = 0; /* its lease is no longer this call's */
    }
    if (view)
        store_view_end(view);
    for (size_t i = 0; rc < 0 && i < count; i++)
        queue_recipient_clear(&out[i]);
    return rc < 0 ? rc : (ptrdiff_t)count;
}

ptrdiff_t queue_take(struct queue *q, const struct queue_lane *lane, int64_t now_ms,
                     struct queue_recipient *out, size_t max, int64_t *next_due_at_ms)
{
    struct choice choice = {.next_due_at_ms = INT64_MAX};
    struct txn *view = store_view(q->store);
    if (!view)
        return -EIO;
    choice.items = xalloc(max * sizeof *choice.items);
    ptrdiff_t count = choose(q, view, lane, now_ms, max, &choice);
    store_view_end(view);
    if (count == 0)
        count = read_choice(q, lane, &choice, out);
    for (size_t i = 0; count < 0 && i < choice.count; i++) {
        if (choice.items[i].id != 0)
            leases_end(q->leases, choice.items[i].id, choice.items[i].index);
    }
    free(choice.items);
    *next_due_at_ms = choice.next_due_at_ms;
    return count;
}

void queue_give_back(struct queue *q, uint64_t id, uint32_t index)
{
    leases_end(q->leases, id, index);
}

/* Settling. */

struct settle_op {
    struct op op;
    size_t count;
    struct queue_result results[]; /* their texts are owned */
};

static void set_text(char **member, const char *text)
{
    envelope_set(member, text ? text : "");
}

static bool is_waiting(enum queue_state state)
{
    return state == QUEUE_QUEUED || state == QUEUE_DEFERRED;
}

/* What the recipient's record says after the attempt. False: it has nothing to do any more. */
static bool apply(struct queue_recipient *r, const struct queue_result *result)
{
    r->outcome = result->outcome;
    r->last_attempt_at_ms = result->attempted_at_ms;
    r->tls_seen_at = result->tls_seen_at;
    r->is_suspended = result->is_suspended;
    r->due_at_ms = 0;
    r->is_urgent = false;
    if (result->disposition != DISPOSITION_DELIVERED)
        r->attempts++;
    /* A delay not yet reported stays so until something worse or better is known. */
    if (result->disposition != DISPOSITION_DEFERRED || result->report != QUEUE_REPORT_NONE)
        r->report = result->report;
    switch (result->disposition) {
    case DISPOSITION_DELIVERED:
        r->state = QUEUE_DELIVERED;
        r->is_relayed = result->is_relayed;
        r->is_passed_on = result->is_passed_on;
        r->is_local = result->is_local;
        set_text(&r->protocol, result->protocol);
        set_text(&r->cipher, result->cipher);
        set_text(&r->verified, result->verified);
        return r->report != QUEUE_REPORT_NONE;
    case DISPOSITION_DEFERRED:
        r->state = QUEUE_DEFERRED;
        r->due_at_ms = result->next_attempt_at_ms;
        r->trouble_since = result->trouble_since;
        return true;
    case DISPOSITION_FAILED:
        r->state = QUEUE_FAILED;
        return r->report != QUEUE_REPORT_NONE;
    case DISPOSITION_HELD:
        /* Who gets no notice has his mail held all the same (GUARANTEE.md section 4). */
        r->state = result->is_discarded && result->report != QUEUE_REPORT_NONE ? QUEUE_DISCARDED
                                                                               : QUEUE_HELD;
        r->stopped_at_ms = result->attempted_at_ms;
        r->expires_at_ms = result->expires_at_ms;
        set_text(&r->required, result->required);
        set_text(&r->evidence, result->evidence);
        r->is_force_needed = result->is_force_needed;
        r->is_release_refused = result->is_release_refused;
        r->is_unnotifiable = result->is_unnotifiable;
        return true;
    }
    panic("settle: disposition %d", (int)result->disposition);
}

static int settle_one(struct batch *b, const struct queue_result *result)
{
    struct queue_recipient r;
    struct record_peek before;
    uint32_t flow;
    int rc = change_peek(b, result->id, result->index, &before);
    if (rc == -ENOENT || rc == -EBADMSG || (rc == 0 && !is_waiting(before.state)))
        return 0; /* removed meanwhile */
    /* Delivered without a report is the common end: no need to read the rest of it. */
    if (rc == 0 && result->disposition == DISPOSITION_DELIVERED &&
        result->report == QUEUE_REPORT_NONE)
        return change_remove_recipient(b, result->id, result->index, &before);
    if (rc == 0)
        rc = change_read(b, result->id, result->index, &r, &flow);
    if (rc != 0)
        return rc == -EBADMSG ? 0 : rc;
    if (apply(&r, result))
        rc = change_recipient(b, &before, &r);
    else
        rc = change_remove_recipient(b, result->id, result->index, &before);
    queue_recipient_clear(&r);
    return rc;
}

static int run_settle(struct op *op, struct batch *b)
{
    struct settle_op *settle = (struct settle_op *)op;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < settle->count; i++) {
        const struct queue_result *result = &settle->results[i];
        rc = settle_one(b, result);
        /* Also where the recipient leaves the store: the others' notices must know. A stop is the
         * work of a guarantee, whoever forgot to say so. */
        if (rc == 0 && (result->is_guarded || result->disposition == DISPOSITION_HELD))
            rc = change_guard_message(b, result->id);
        change_touch_message(b, result->id, result->attempted_at_ms);
    }
    return rc;
}

static void settle_committed(struct op *op, struct queue *q)
{
    struct settle_op *settle = (struct settle_op *)op;
    for (size_t i = 0; i < settle->count; i++)
        leases_end(q->leases, settle->results[i].id, settle->results[i].index);
}

/* Copies of our own, kept as the const pointers of the struct. */
static const char *own(const char *text)
{
    return room_text(text);
}

static void disown(const char *text)
{
    union {
        const char *in;
        void *out;
    } pointer = {.in = text};
    free(pointer.out);
}

static void settle_free(struct op *op)
{
    struct settle_op *settle = (struct settle_op *)op;
    for (size_t i = 0; i < settle->count; i++) {
        disown(settle->results[i].required);
        disown(settle->results[i].evidence);
        disown(settle->results[i].protocol);
        disown(settle->results[i].cipher);
        disown(settle->results[i].verified);
    }
    free(op);
}

void queue_settle(struct queue *q, const struct queue_result *results, size_t count,
                  const struct queue_poster *poster, queue_done *done, void *context)
{
    struct settle_op *settle =
        op_new(sizeof *settle + count * sizeof *results, run_settle, poster, done, context);
    settle->op.committed = settle_committed;
    settle->op.free = settle_free;
    settle->op.is_durable = true;
    settle->count = count;
    for (size_t i = 0; i < count; i++) {
        settle->results[i] = results[i];
        settle->results[i].required = own(results[i].required);
        settle->results[i].evidence = own(results[i].evidence);
        settle->results[i].protocol = own(results[i].protocol);
        settle->results[i].cipher = own(results[i].cipher);
        settle->results[i].verified = own(results[i].verified);
    }
    writer_submit(q, &settle->op);
}
