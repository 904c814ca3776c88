#include "queue/held.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mail/date.h"
#include "mail/id.h"
#include "queue/room.h"

/* How many recipients a job over the whole store looks at before it lets others commit. */
#define STEP 1000

struct held_op {
    struct op op;
    uint64_t id;
    int64_t now_ms;
    enum queue_release_mode mode;
    size_t count;                     /* 0: all held ones */
    char (*recipients)[ADDRESS_SIZE]; /* owned, keys */
    /* Of one run: */
    bool *found; /* owned, one for each of recipients */
    size_t held;
    int refusal;
    /* Of a job in steps: */
    uint64_t after_id;
    uint32_t after_index;
    uint64_t next_id;
    uint32_t next_index;
    int64_t expires_at_ms; /* of the entry at hand, when it is one of TABLE_HELD */
    struct gone {
        uint64_t id;
        char *address; /* owned */
    } * gone;          /* owned, for the events */
    size_t gone_count;
};

static void forget_gone(struct held_op *held)
{
    for (size_t i = 0; i < held->gone_count; i++)
        free(held->gone[i].address);
    free(held->gone);
    held->gone = NULL;
    held->gone_count = 0;
}

static void held_free(struct op *op)
{
    struct held_op *held = (struct held_op *)op;
    forget_gone(held);
    free(held->recipients);
    free(held->found);
    free(held);
}

static struct held_op *held_new(int (*run)(struct op *op, struct batch *b), uint64_t id,
                                int64_t now_ms, const struct queue_poster *poster, queue_done *done,
                                void *context)
{
    struct held_op *held = op_new(sizeof *held, run, poster, done, context);
    held->op.free = held_free;
    held->id = id;
    held->now_ms = now_ms;
    return held;
}

/* Is this one of the recipients named? Notes that it was found. */
static bool is_named(struct held_op *held, const char *text)
{
    struct address address;
    char key[ADDRESS_SIZE];
    bool is_any = held->count == 0;
    if (is_any || address_parse(slice_of(text), &address) != ADDRESS_OK)
        return is_any;
    address_key(&address, key);
    for (size_t i = 0; i < held->count; i++) {
        if (strcmp(held->recipients[i], key) == 0) {
            held->found[i] = true;
            is_any = true;
        }
    }
    return is_any;
}

static int read_held(struct batch *b, uint64_t id, uint32_t index, const struct record_peek *peek,
                     struct held_op *held, struct queue_recipient *r)
{
    uint32_t flow;
    if (peek->state != QUEUE_HELD)
        return -ENOENT;
    int rc = change_read(b, id, index, r, &flow);
    if (rc == 0 && !is_named(held, r->address)) {
        queue_recipient_clear(r);
        return -ENOENT;
    }
    return rc;
}

/* The first round of a release only looks: all or nothing. */
static int may_release(struct batch *b, uint64_t id, uint32_t index, const struct record_peek *peek,
                       void *context)
{
    struct held_op *held = context;
    struct queue_recipient r;
    int rc = read_held(b, id, index, peek, held, &r);
    if (rc != 0)
        return rc == -ENOENT || rc == -EBADMSG ? 0 : rc;
    held->held++;
    if ((held->mode != QUEUE_RELEASE_RECHECK && r.is_release_refused) ||
        (held->mode == QUEUE_RELEASE && r.is_force_needed))
        held->refusal = -EPERM;
    queue_recipient_clear(&r);
    return 0;
}

static enum exemption exemption_after(const struct queue_recipient *r, enum queue_release_mode mode)
{
    switch (mode) {
    case QUEUE_RELEASE:
        return EXEMPTION_RELEASE;
    case QUEUE_RELEASE_FORCE:
        return EXEMPTION_RELEASE_FORCE;
    case QUEUE_RELEASE_RECHECK:
        /* A release that came before counts no more: it goes under the guarantee. */
        return r->bound_exemption;
    }
    panic("release: mode %d", (int)mode);
}

static void start_anew(struct queue_recipient *r, enum queue_release_mode mode, int64_t now_ms)
{
    r->state = QUEUE_QUEUED;
    r->due_at_ms = now_ms;
    r->started_at_ms = now_ms;
    r->attempts = 0;
    r->trouble_since = 0;
    r->was_warned = false;
    /* A stop not yet reported is none any more. */
    r->report = QUEUE_REPORT_NONE;
    r->is_urgent = true;
    r->exemption = exemption_after(r, mode);
    r->stopped_at_ms = 0;
    r->expires_at_ms = 0;
    envelope_set(&r->required, "");
    envelope_set(&r->evidence, "");
    r->is_force_needed = false;
    r->is_release_refused = false;
    r->is_unnotifiable = false;
}

static int release_one(struct batch *b, uint64_t id, uint32_t index, const struct record_peek *peek,
                       void *context)
{
    struct held_op *held = context;
    struct queue_recipient r;
    int rc = read_held(b, id, index, peek, held, &r);
    if (rc != 0)
        return rc == -ENOENT || rc == -EBADMSG ? 0 : rc;
    start_anew(&r, held->mode, held->now_ms);
    rc = change_recipient(b, peek, &r);
    queue_recipient_clear(&r);
    return rc;
}

static int run_release(struct op *op, struct batch *b)
{
    struct held_op *held = (struct held_op *)op;
    held->held = 0;
    held->refusal = 0;
    memset(held->found, 0, held->count * sizeof *held->found);
    int rc = change_each_recipient(b, held->id, may_release, held);
    op->answer = held->held == 0 ? -ENOENT : held->refusal;
    for (size_t i = 0; i < held->count; i++) {
        if (!held->found[i])
            op->answer = -ENOENT;
    }
    if (rc != 0 || op->answer != 0)
        return rc;
    rc = change_each_recipient(b, held->id, release_one, held);
    return rc == 0 ? change_finish_message(b, held->id, held->now_ms) : rc;
}

void queue_release(struct queue *q, uint64_t id, const struct address *recipients, size_t count,
                   enum queue_release_mode mode, int64_t now_ms, const struct queue_poster *poster,
                   queue_done *done, void *context)
{
    struct held_op *held = held_new(run_release, id, now_ms, poster, done, context);
    held->mode = mode;
    held->count = count;
    held->recipients = xalloc(count * sizeof *held->recipients);
    held->found = xalloc(count * sizeof *held->found);
    for (size_t i = 0; i < count; i++)
        address_key(&recipients[i], held->recipients[i]);
    writer_submit(q, &held->op);
}

/* Drops a held recipient. A stop whose notice is still owed is kept until the notice is made:
 * dropping takes the mail away, not the sender's right to know. */
static int drop_one(struct batch *b, uint64_t id, uint32_t index, const struct record_peek *peek,
                    void *context)
{
    struct held_op *held = context;
    struct queue_recipient r;
    uint32_t flow;
    if (peek->state != QUEUE_HELD)
        return 0;
    held->held++;
    if (peek->report == QUEUE_REPORT_NONE)
        return change_remove_recipient(b, id, index, peek);
    int rc = change_read(b, id, index, &r, &flow);
    if (rc != 0)
        return rc == -EBADMSG ? 0 : rc;
    r.state = QUEUE_DISCARDED;
    rc = change_recipient(b, peek, &r);
    queue_recipient_clear(&r);
    return rc;
}

static int run_drop(struct op *op, struct batch *b)
{
    struct held_op *held = (struct held_op *)op;
    held->held = 0;
    int rc = change_each_recipient(b, held->id, drop_one, held);
    if (rc != 0 || held->held == 0) {
        op->answer = -ENOENT;
        return rc;
    }
    return change_finish_message(b, held->id, held->now_ms);
}

void queue_drop(struct queue *q, uint64_t id, const struct queue_poster *poster, queue_done *done,
                void *context)
{
    writer_submit(q, &held_new(run_drop, id, date_now_ms(), poster, done, context)->op);
}

static int run_remove(struct op *op, struct batch *b)
{
    struct held_op *held = (struct held_op *)op;
    int rc = 0;
    if (change_has_message(b, held->id, &rc))
        return change_remove_message(b, held->id);
    op->answer = -ENOENT;
    return rc;
}

void queue_remove(struct queue *q, uint64_t id, const struct queue_poster *poster, queue_done *done,
                  void *context)
{
    writer_submit(q, &held_new(run_remove, id, date_now_ms(), poster, done, context)->op);
}

/* Retrying. */

static int retry_one(struct batch *b, uint64_t id, uint32_t index, const struct record_peek *peek,
                     void *context)
{
    struct held_op *held = context;
    struct queue_recipient r;
    uint32_t flow;
    bool is_due = peek->due_at_ms <= held->now_ms;
    /* What was never tried may be due and wait for its destination all the same; what is held back
     * waits on. */
    if (peek->state != QUEUE_DEFERRED && (peek->state != QUEUE_QUEUED || !is_due))
        return 0;
    int rc = change_read(b, id, index, &r, &flow);
    if (rc != 0)
        return rc == -EBADMSG ? 0 : rc;
    if (!is_due)
        r.due_at_ms = held->now_ms;
    r.is_urgent = true;
    rc = change_recipient(b, peek, &r);
    queue_recipient_clear(&r);
    return rc;
}

static int run_retry(struct op *op, struct batch *b)
{
    struct held_op *held = (struct held_op *)op;
    int rc = 0;
    if (change_has_message(b, held->id, &rc))
        return change_each_recipient(b, held->id, retry_one, held);
    op->answer = -ENOENT;
    return rc;
}

/* The next entry of a table with keys (id, index) at or behind the place given; it is moved behind.
 */
static int next_part(struct batch *b, enum table table, uint64_t *id, uint32_t *index,
                     struct slice *value)
{
    struct cursor c;
    struct key key = key_part(*id, *index);
    int rc = cursor_open(b->txn, table, &c);
    if (rc == 0)
        rc = cursor_seek(&c, key_slice(&key));
    if (rc == 0 && !key_get_part(c.key, id, index))
        rc = -EIO;
    *value = c.value;
    cursor_close(&c);
    return rc;
}

/* Calls step for up to STEP entries from where the last commit left off. */
static int run_step(struct held_op *held, struct batch *b, enum table table, change_visit *step)
{
    struct slice value;
    held->next_id = held->after_id;
    held->next_index = held->after_index;
    for (unsigned i = 0; i < STEP; i++) {
        int rc = next_part(b, table, &held->next_id, &held->next_index, &value);
        if (rc != 0)
            return rc == -ENOENT ? 0 : rc;
        uint64_t id = held->next_id;
        uint32_t index = held->next_index++;
        held->expires_at_ms = (int64_t)record_number(value);
        struct record_peek peek;
        rc = change_peek(b, id, index, &peek);
        if (rc == 0)
            rc = step(b, id, index, &peek, held);
        if (rc != 0 && rc != -ENOENT && rc != -EBADMSG)
            return rc;
    }
    held->op.is_unfinished = true;
    return 0;
}

static void step_committed(struct op *op, struct queue *q)
{
    struct held_op *held = (struct held_op *)op;
    held->after_id = held->next_id;
    held->after_index = held->next_index;
    for (size_t i = 0; i < held->gone_count; i++) {
        char id[ID_SIZE];
        EVENT(room_events(q), EVENT_INFO, "held-expired",
              FIELD(KEY_ID, id_text(held->gone[i].id, id)), FIELD(KEY_TO, held->gone[i].address));
    }
    forget_gone(held);
}

static int run_retry_all(struct op *op, struct batch *b)
{
    return run_step((struct held_op *)op, b, TABLE_RECIPIENT, retry_one);
}

void queue_retry(struct queue *q, uint64_t id, int64_t now_ms, const struct queue_poster *poster,
                 queue_done *done, void *context)
{
    struct held_op *held =
        held_new(id == 0 ? run_retry_all : run_retry, id, now_ms, poster, done, context);
    if (id == 0)
        held->op.committed = step_committed;
    writer_submit(q, &held->op);
}

/* Expiring. */

static int expire_one(struct batch *b, uint64_t id, uint32_t index, const struct record_peek *peek,
                      void *context)
{
    struct held_op *held = context;
    struct queue_recipient r;
    uint32_t flow;
    if (peek->state != QUEUE_HELD || peek->report != QUEUE_REPORT_NONE ||
        held->expires_at_ms > held->now_ms)
        return 0;
    int rc = change_read(b, id, index, &r, &flow);
    if (rc != 0)
        return rc;
    held->gone = xrealloc(held->gone, (held->gone_count + 1) * sizeof *held->gone);
    held->gone[held->gone_count++] = (struct gone){id, xstrdup(r.address)};
    queue_recipient_clear(&r);
    change_touch_message(b, id, held->now_ms);
    return change_remove_recipient(b, id, index, peek);
}

static int run_expire(struct op *op, struct batch *b)
{
    struct held_op *held = (struct held_op *)op;
    forget_gone(held);
    return run_step(held, b, TABLE_HELD, expire_one);
}

void queue_expire_held(struct queue *q, int64_t now_ms, const struct queue_poster *poster,
                       queue_done *done, void *context)
{
    struct held_op *held = held_new(run_expire, 0, now_ms, poster, done, context);
    held->op.committed = step_committed;
    writer_submit(q, &held->op);
}
