#include "gateway/delivery/reporter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/delivery/draft.h"
#include "gateway/net/loop.h"
#include "mail/date.h"
#include "mail/id.h"
#include "queue/held.h"

enum {
    BATCH = 16,            /* messages reported on at a time */
    RETRY_MS = 5000,       /* after a failure; doubled for each further one of the same order */
    RETRY_DOUBLINGS = 6,   /* at most */
    EXPIRY_MS = 60 * 1000, /* between looks for held mail whose time is over */
};

/* An order that could not be carried out: others go before it until its time has come. */
struct setback {
    uint64_t id; /* of the message */
    unsigned failures;
    int64_t retry_at_ms; /* wall clock */
    bool is_due;         /* seen in the list at the last look */
};

struct reporter {
    struct loop *loop;
    struct queue *queue;
    struct delivery_settings *settings;
    const struct event_sink *events;
    struct queue_notice_watch *watch;
    struct loop_timer *timer;
    struct loop_timer *expiry_timer;
    int64_t due_at_ms;        /* what the timer stands at, wall clock; INT64_MAX: nothing */
    struct setback *setbacks; /* owned, in order of ID */
    size_t setback_count;
    unsigned committing;        /* orders whose commits are under way */
    unsigned expiring;          /* the same for the expiry */
    unsigned succeeded, failed; /* commits of this batch */
    bool is_stopping;
    void (*stopped)(void *context);
    void *stopped_context;
};

/* One message's order being carried out. */
struct order {
    struct reporter *reporter;
    uint64_t id; /* of the message */
    struct draft draft;
};

static void maybe_stopped(struct reporter *r)
{
    if (!r->is_stopping || r->committing > 0 || r->expiring > 0 || !r->stopped)
        return;
    void (*stopped)(void *context) = r->stopped;
    r->stopped = NULL;
    stopped(r->stopped_context);
}

static void arm(struct reporter *r, int64_t due_at_ms)
{
    r->due_at_ms = due_at_ms;
    if (r->is_stopping || due_at_ms == INT64_MAX)
        return;
    int64_t in = due_at_ms - date_now_ms();
    loop_timer_start(r->timer, in > EXPIRY_MS ? EXPIRY_MS : in);
}

/* ---- orders that failed ---- */

/* Where the order stands among the setbacks, or would stand. */
static size_t setback_place(const struct reporter *r, uint64_t id)
{
    size_t from = 0;
    size_t to = r->setback_count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (r->setbacks[middle].id < id)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

static struct setback *setback_of(const struct reporter *r, uint64_t id)
{
    size_t place = setback_place(r, id);
    return place < r->setback_count && r->setbacks[place].id == id ? &r->setbacks[place] : NULL;
}

static void note_setback(struct reporter *r, uint64_t id, int error)
{
    char text[ID_SIZE];
    struct setback *b = setback_of(r, id);
    if (!b) {
        size_t place = setback_place(r, id);
        r->setbacks = xrealloc(r->setbacks, (r->setback_count + 1) * sizeof *r->setbacks);
        b = &r->setbacks[place];
        memmove(b + 1, b, (r->setback_count - place) * sizeof *b);
        *b = (struct setback){.id = id, .is_due = true};
        r->setback_count++;
    }
    unsigned doublings = b->failures < RETRY_DOUBLINGS ? b->failures : RETRY_DOUBLINGS;
    b->failures++;
    b->retry_at_ms = date_now_ms() + ((int64_t)RETRY_MS << doublings);
    EVENT(r->events, EVENT_ERROR, "notice-failed", FIELD(KEY_ID, id_text(id, text)),
          FIELD(KEY_ERROR, strerror(-error)), FIELD_NUMBER(KEY_ATTEMPTS, b->failures));
}

static void forget_setback(struct reporter *r, uint64_t id)
{
    struct setback *b = setback_of(r, id);
    if (!b)
        return;
    memmove(b, b + 1, (r->setback_count - 1 - (size_t)(b - r->setbacks)) * sizeof *b);
    r->setback_count--;
}

/* Those whose order is gone, and when the first of the others is to be tried again. */
static int64_t review_setbacks(struct reporter *r)
{
    int64_t next_ms = INT64_MAX;
    size_t kept = 0;
    for (size_t i = 0; i < r->setback_count; i++) {
        if (!r->setbacks[i].is_due)
            continue;
        r->setbacks[kept] = r->setbacks[i];
        r->setbacks[kept].is_due = false;
        if (r->setbacks[kept].retry_at_ms < next_ms)
            next_ms = r->setbacks[kept].retry_at_ms;
        kept++;
    }
    r->setback_count = kept;
    return next_ms;
}

/* ---- carrying it out ---- */

/* Others are tried at once after one has failed; when all of a batch failed it is the store, which
 * gets a pause. */
static void batch_is_over(struct reporter *r)
{
    if (r->committing > 0)
        return;
    bool is_store_failing = r->failed > 0 && r->succeeded == 0;
    r->failed = r->succeeded = 0;
    arm(r, date_now_ms() + (is_store_failing ? RETRY_MS : 0));
    maybe_stopped(r);
}

static void log_notices(const struct order *o)
{
    char id[ID_SIZE];
    char own_id[ID_SIZE];
    static const char *const kinds[] = {"none", "failure", "delay", "success"};
    for (size_t i = 0; i < o->draft.notice_count; i++) {
        const struct draft_summary *s = &o->draft.summaries[i];
        EVENT(o->reporter->events, EVENT_INFO, "notice",
              FIELD(KEY_ID, id_text(o->draft.notices[i].id, own_id)), FIELD(KEY_TO, s->to),
              FIELD(KEY_REASON, kinds[s->report]), FIELD(KEY_MESSAGE_ID, id_text(o->id, id)),
              FIELD_NUMBER(KEY_RECIPIENTS, s->recipients));
    }
}

static void committed(void *context, int error)
{
    struct order *o = context;
    struct reporter *r = o->reporter;
    /* Nothing of it could be read: where the order stays, it is not tried in a circle. */
    if (error == 0 && o->draft.reported_count == 0)
        error = -EBADMSG;
    if (error == 0)
        log_notices(o);
    /* With its message the order is gone too; one that came too late is made anew, at once. */
    if (error == 0 || error == -ENOENT || error == -ESTALE) {
        forget_setback(r, o->id);
        r->succeeded++;
    } else {
        note_setback(r, o->id, error);
        r->failed++;
    }
    draft_free(&o->draft);
    free(o);
    r->committing--;
    batch_is_over(r);
}

static void post_to_loop(void *context, void (*run)(void *argument), void *argument)
{
    loop_post(context, run, argument);
}

static void carry_out(struct reporter *r, uint64_t id)
{
    struct queue_poster poster = {.post = post_to_loop, .context = r->loop};
    struct order *o = xalloc(sizeof *o);
    o->reporter = r;
    o->id = id;
    int rc = draft_make(r->queue, r->settings, r->events, id, &o->draft);
    /* Where the message is gone the commit finds that, and ends an order that outlived it. */
    if (rc != 0 && rc != -ENOENT) {
        note_setback(r, id, rc);
        free(o);
        return;
    }
    r->committing++;
    queue_notices_commit(r->queue, id, o->draft.reported, o->draft.reported_count, o->draft.notices,
                         o->draft.notice_count, &poster, committed, o);
}

/* Of the orders that are due, up to BATCH that may be tried now; the rest of them, whose time has
 * not come, is marked. */
static size_t choose(struct reporter *r, uint64_t *ids, size_t count, int64_t now_ms)
{
    size_t chosen = 0;
    for (size_t i = 0; i < count; i++) {
        struct setback *b = setback_of(r, ids[i]);
        if (b)
            b->is_due = true;
        if (chosen < BATCH && (!b || b->retry_at_ms <= now_ms))
            ids[chosen++] = ids[i];
    }
    return chosen;
}

static void process(void *context)
{
    struct reporter *r = context;
    int64_t next_due_at_ms;
    if (r->committing > 0 || r->is_stopping)
        return; /* batch_is_over() looks again */
    int64_t now_ms = date_now_ms();
    /* However many stand in front that are to wait, there is room for a batch behind them. */
    size_t max = BATCH + r->setback_count;
    uint64_t *ids = xalloc(max * sizeof *ids);
    ptrdiff_t count = queue_notices_due(r->queue, now_ms, ids, max, &next_due_at_ms);
    size_t chosen = count > 0 ? choose(r, ids, (size_t)count, now_ms) : 0;
    if (count < 0) {
        EVENT(r->events, EVENT_ERROR, "notices-unreadable",
              FIELD(KEY_ERROR, strerror((int)-count)));
        next_due_at_ms = now_ms + RETRY_MS;
    } else {
        int64_t retry_at_ms = review_setbacks(r);
        if (retry_at_ms < next_due_at_ms)
            next_due_at_ms = retry_at_ms;
    }
    for (size_t i = 0; i < chosen; i++)
        carry_out(r, ids[i]);
    free(ids);
    if (chosen == 0)
        arm(r, next_due_at_ms);
    else
        batch_is_over(r);
}

static void order_stored(void *context, int64_t due_at_ms)
{
    struct reporter *r = context;
    if (due_at_ms < r->due_at_ms)
        arm(r, due_at_ms);
}

static void expired(void *context, int error)
{
    struct reporter *r = context;
    (void)error; /* tried again in a minute */
    r->expiring--;
    maybe_stopped(r);
}

/* A hold that is short is also ended with some precision. */
static int64_t expiry_interval_ms(const struct reporter *r)
{
    int64_t quarter = r->settings->hold_for_ms / 4;
    return quarter < EXPIRY_MS ? quarter : EXPIRY_MS;
}

static void expire(void *context)
{
    struct reporter *r = context;
    struct queue_poster poster = {.post = post_to_loop, .context = r->loop};
    if (r->is_stopping)
        return;
    r->expiring++;
    queue_expire_held(r->queue, date_now_ms(), &poster, expired, r);
    loop_timer_start(r->expiry_timer, expiry_interval_ms(r));
}

struct reporter *reporter_new(struct loop *l, struct queue *q, struct delivery_settings *settings,
                              const struct event_sink *events)
{
    struct queue_poster poster = {.post = post_to_loop, .context = l};
    struct reporter *r = xalloc(sizeof *r);
    r->loop = l;
    r->queue = q;
    r->settings = delivery_settings_ref(settings);
    r->events = events;
    r->due_at_ms = INT64_MAX;
    r->timer = loop_timer_new(l, process, r);
    r->expiry_timer = loop_timer_new(l, expire, r);
    if (r->timer && r->expiry_timer)
        r->watch = queue_watch_notices(q, &poster, order_stored, r);
    if (!r->watch) {
        reporter_free(r);
        return NULL;
    }
    loop_timer_start(r->expiry_timer, expiry_interval_ms(r));
    return r;
}

void reporter_reload(struct reporter *r, struct delivery_settings *settings)
{
    struct delivery_settings *old = r->settings;
    r->settings = delivery_settings_ref(settings);
    delivery_settings_unref(old);
}

void reporter_stop(struct reporter *r, void (*stopped)(void *context), void *context)
{
    r->is_stopping = true;
    r->stopped = stopped;
    r->stopped_context = context;
    loop_timer_stop(r->timer);
    loop_timer_stop(r->expiry_timer);
    maybe_stopped(r);
}

void reporter_free(struct reporter *r)
{
    if (!r)
        return;
    if (r->watch)
        queue_unwatch_notices(r->watch);
    loop_timer_free(r->timer);
    loop_timer_free(r->expiry_timer);
    delivery_settings_unref(r->settings);
    free(r->setbacks);
    free(r);
}
