#include "gateway/delivery/delivery.h"

#include <ctype.h>
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/delivery/attempt.h"
#include "gateway/delivery/destination.h"
#include "gateway/delivery/lanes.h"
#include "mail/date.h"
#include "queue/due.h"

enum {
    TAKE_MAX = 100, /* recipients taken from a lane at once: a full transaction of one message, or a
                       share of a sender's many */
    RUNNING_MAX = 2000, /* attempts per loop */
    HOUSEKEEPING_MS = 1000,
    STORE_RETRY_MS = 5000, /* after a read that failed */
};

struct delivery {
    struct delivery_options o;
    struct queue_watch *watch;
    struct foresight *foresight; /* owned */
    struct lanes lanes;
    void *by_key;                  /* tree of destinations (tsearch) */
    TAILQ_HEAD(, destination) all; /* owns those in the tree, and stale ones until they are idle */
    TAILQ_HEAD(, destination) ready; /* with lanes to serve and room to begin */
    struct loop_timer *due_timer;
    struct loop_timer *house_timer;
    struct loop_timer *grace_timer;
    TAILQ_HEAD(, running_attempt) attempts;
    unsigned running; /* attempts that have not left their destination */
    bool is_stopping;
    void (*stopped)(void *context);
    void *stopped_context;
    void (*released)(
        void *context); /* of a reload: waits until attempts with the old resolver are gone */
    void *released_context;
    unsigned old_attempts;
};

struct running_attempt {
    struct delivery *delivery;
    struct attempt *attempt;
    bool is_old; /* began before the last reload */
    bool has_left;
    TAILQ_ENTRY(running_attempt) entry;
};

static void pump(struct delivery *d);

static int compare_keys(const void *a, const void *b)
{
    return strcmp(((const struct destination *)a)->key, ((const struct destination *)b)->key);
}

static struct destination *destination_for(struct delivery *d, const char *domain)
{
    struct next_hop hop;
    char key[NEXT_HOP_KEY_SIZE];
    next_hop_for(d->o.settings, domain, &hop);
    struct destination *fresh = destination_new(next_hop_key(&hop, key));
    void *node = tsearch(fresh, &d->by_key, compare_keys);
    if (!node)
        panic("out of memory");
    struct destination *found = *(struct destination **)node;
    if (found != fresh) {
        destination_free(fresh);
        return found;
    }
    TAILQ_INSERT_TAIL(&d->all, fresh, all);
    fresh->limit = d->o.settings->concurrency;
    /* Recipient domains are shared out among the loops, so a route for many domains is served by
     * all of them. */
    if (hop.route && !isalnum((unsigned char)hop.route->pattern[0]))
        fresh->limit = (fresh->limit + d->o.shares - 1) / d->o.shares;
    return fresh;
}

/* ---- what is due ---- */

static void arm(struct delivery *d)
{
    int64_t due = lanes_next_due(&d->lanes);
    if (d->is_stopping || due == INT64_MAX) {
        loop_timer_stop(d->due_timer);
        return;
    }
    int64_t in = due - date_now_ms();
    /* The wall clock may be set back and forth: look again within a minute whatever it says now. */
    loop_timer_start(d->due_timer, in < 0 ? 0 : in > 60000 ? 60000 : in);
}

static void make_ready(struct delivery *d, struct destination *destination)
{
    bool has_work = !TAILQ_EMPTY(&destination->lanes) || !TAILQ_EMPTY(&destination->groups);
    if (destination->is_ready || destination->is_stale || !has_work ||
        destination->running >= destination->limit)
        return;
    destination->is_ready = true;
    TAILQ_INSERT_TAIL(&d->ready, destination, ready);
}

static void lanes_became_due(void *context)
{
    struct delivery *d = context;
    int64_t now = date_now_ms();
    for (struct lane *lane; (lane = lanes_take_due(&d->lanes, now)) != NULL;) {
        struct destination *destination = destination_for(d, lane->key.domain);
        TAILQ_INSERT_TAIL(&destination->lanes, lane, entry);
        make_ready(d, destination);
    }
    pump(d);
    arm(d);
}

static void lane_event(void *context, const struct queue_lane *lane, int64_t due_at_ms)
{
    struct delivery *d = context;
    if (d->is_stopping)
        return;
    int64_t before = lanes_next_due(&d->lanes);
    lanes_note(&d->lanes, lane, due_at_ms);
    if (lanes_next_due(&d->lanes) < before)
        arm(d);
}

/* ---- attempts ---- */

static void maybe_stopped(struct delivery *d)
{
    if (!d->is_stopping || !TAILQ_EMPTY(&d->attempts) || !d->stopped)
        return;
    void (*stopped)(void *context) = d->stopped;
    d->stopped = NULL;
    stopped(d->stopped_context);
}

static void drop_if_idle(struct delivery *d, struct destination *destination)
{
    bool has_work = !TAILQ_EMPTY(&destination->lanes) || !TAILQ_EMPTY(&destination->groups);
    if (destination->running > 0 || has_work || destination->idle_count > 0)
        return;
    if (!destination->is_stale)
        tdelete(destination, &d->by_key, compare_keys);
    TAILQ_REMOVE(&d->all, destination, all);
    destination_free(destination);
}

static void old_attempt_left(struct delivery *d)
{
    if (--d->old_attempts > 0 || !d->released)
        return;
    void (*released)(void *context) = d->released;
    d->released = NULL;
    released(d->released_context);
}

static void attempt_left(void *context, struct attempt *attempt, struct destination *destination)
{
    struct running_attempt *r = context;
    struct delivery *d = r->delivery;
    (void)attempt;
    destination->running--;
    d->running--;
    r->has_left = true;
    if (r->is_old)
        old_attempt_left(d);
    if (destination->is_stale) {
        drop_if_idle(d, destination);
        return;
    }
    make_ready(d, destination);
    pump(d);
}

static void attempt_settled(void *context, struct attempt *attempt)
{
    struct running_attempt *r = context;
    struct delivery *d = r->delivery;
    (void)attempt;
    TAILQ_REMOVE(&d->attempts, r, entry);
    free(r);
    maybe_stopped(d);
}

static void group_free(struct recipient_group *g)
{
    free(g->recipients);
    free(g);
}

static void group_give_back(struct delivery *d, struct recipient_group *g)
{
    for (size_t i = 0; i < g->count; i++) {
        queue_give_back(d->o.queue, g->recipients[i].id, g->recipients[i].index);
        queue_recipient_clear(&g->recipients[i]);
    }
    group_free(g);
}

/* The store could not be read. Nothing of the lane begins for a while, neither what was taken nor
 * what is still due: it would be the same read again, and at once. */
static void let_lane_wait(struct delivery *d, struct destination *destination,
                          const struct queue_lane *key)
{
    int64_t due_at_ms = date_now_ms() + STORE_RETRY_MS;
    struct lane *lane;
    TAILQ_FOREACH(lane, &destination->lanes, entry)
    {
        if (lane->key.flow == key->flow && strcmp(lane->key.domain, key->domain) == 0) {
            TAILQ_REMOVE(&destination->lanes, lane, entry);
            lanes_wait(&d->lanes, lane, due_at_ms);
            return;
        }
    }
    lanes_note(&d->lanes, key, due_at_ms);
}

static void begin_attempt(struct delivery *d, struct destination *destination,
                          struct recipient_group *g)
{
    struct attempt_options o = {
        .loop = d->o.loop,
        .queue = d->o.queue,
        .dns = d->o.dns,
        .sts = d->o.sts,
        .posture = d->o.posture,
        .settings = d->o.settings,
        .events = d->o.events,
        .destination = destination,
        .domain = g->lane.domain,
        .recipients = g->recipients,
        .count = g->count,
        .left = attempt_left,
        .settled = attempt_settled,
    };
    int error = queue_message_read(d->o.queue, g->recipients[0].id, &o.message);
    if (error != 0) {
        if (error != -ENOENT) /* else removed by the administrator this moment */
            let_lane_wait(d, destination, &g->lane);
        group_give_back(d, g);
        return;
    }
    struct running_attempt *r = xalloc(sizeof *r);
    r->delivery = d;
    o.context = r;
    TAILQ_INSERT_TAIL(&d->attempts, r, entry);
    destination->running++;
    d->running++;
    r->attempt = attempt_new(&o);
    g->recipients = NULL;
    group_free(g);
}

/* Recipients come ordered by time and ID, so a message's stand together. */
static void add_groups(struct destination *destination, const struct queue_lane *lane,
                       struct queue_recipient *taken, size_t count)
{
    for (size_t from = 0, to; from < count; from = to) {
        for (to = from + 1; to < count && taken[to].id == taken[from].id; to++)
            continue;
        struct recipient_group *g = xalloc(sizeof *g);
        g->count = to - from;
        g->recipients = xalloc(g->count * sizeof *g->recipients);
        memcpy(g->recipients, taken + from, g->count * sizeof *taken);
        g->lane = *lane;
        TAILQ_INSERT_TAIL(&destination->groups, g, entry);
    }
}

/* One turn for one lane of the destination; the next turn is another sender's. */
static void serve_lane(struct delivery *d, struct destination *destination)
{
    struct queue_recipient taken[TAKE_MAX];
    struct lane *lane = TAILQ_FIRST(&destination->lanes);
    int64_t now = date_now_ms();
    int64_t next_due_at_ms = INT64_MAX;
    TAILQ_REMOVE(&destination->lanes, lane, entry);
    ptrdiff_t count = queue_take(d->o.queue, &lane->key, now, taken, TAKE_MAX, &next_due_at_ms);
    if (count < 0) { /* the store could not be read, which says nothing about what is due */
        lanes_wait(&d->lanes, lane, now + STORE_RETRY_MS);
        return;
    }
    add_groups(destination, &lane->key, taken, (size_t)count);
    if (next_due_at_ms <= now && count > 0)
        TAILQ_INSERT_TAIL(&destination->lanes, lane, entry);
    else if (next_due_at_ms == INT64_MAX)
        lanes_forget(&d->lanes, lane);
    else
        lanes_wait(&d->lanes, lane, next_due_at_ms);
}

static void begin_next(struct delivery *d, struct destination *destination)
{
    if (TAILQ_EMPTY(&destination->groups))
        serve_lane(d, destination);
    struct recipient_group *g = TAILQ_FIRST(&destination->groups);
    if (!g)
        return;
    TAILQ_REMOVE(&destination->groups, g, entry);
    begin_attempt(d, destination, g);
}

/* Destinations take turns, so that a burst for one does not starve the rest. */
static void pump(struct delivery *d)
{
    struct destination *destination;
    if (d->is_stopping)
        return;
    while (d->running < RUNNING_MAX && (destination = TAILQ_FIRST(&d->ready)) != NULL) {
        TAILQ_REMOVE(&d->ready, destination, ready);
        destination->is_ready = false;
        begin_next(d, destination);
        make_ready(d, destination);
    }
    arm(d);
}

/* ---- housekeeping, reload, end ---- */

static void keep_house(void *context)
{
    struct delivery *d = context;
    struct destination *destination = TAILQ_FIRST(&d->all);
    while (destination) {
        struct destination *next = TAILQ_NEXT(destination, all);
        destination_close_idle(destination, loop_now_ms(d->o.loop));
        bool is_remembered = destination->back_off_until_ms > loop_now_ms(d->o.loop);
        if (!is_remembered)
            drop_if_idle(d, destination);
        destination = next;
    }
    if (!d->is_stopping)
        loop_timer_start(d->house_timer, HOUSEKEEPING_MS);
}

/* Lanes wait again, groups go back: what begins from now on finds its destination anew. */
static void unload(struct delivery *d, struct destination *destination)
{
    struct lane *lane;
    struct recipient_group *g;
    int64_t now = date_now_ms();
    while ((lane = TAILQ_FIRST(&destination->lanes)) != NULL) {
        TAILQ_REMOVE(&destination->lanes, lane, entry);
        lanes_wait(&d->lanes, lane, now);
    }
    while ((g = TAILQ_FIRST(&destination->groups)) != NULL) {
        TAILQ_REMOVE(&destination->groups, g, entry);
        lanes_note(&d->lanes, &g->lane, now);
        group_give_back(d, g);
    }
    if (destination->is_ready)
        TAILQ_REMOVE(&d->ready, destination, ready);
    destination->is_ready = false;
}

static void grace_is_over(void *context)
{
    struct delivery *d = context;
    struct running_attempt *r;
    struct running_attempt *next;
    queue_begin_close(d->o.queue); /* a full disk does not keep us either */
    for (r = TAILQ_FIRST(&d->attempts); r; r = next) {
        next = TAILQ_NEXT(r, entry);
        if (!r->has_left)
            attempt_abort(r->attempt);
    }
}

static void post_to_loop(void *context, void (*run)(void *argument), void *argument)
{
    loop_post(context, run, argument);
}

/* Nothing new begins there and no connection is kept: it goes with the last attempt that works on
 * it. */
static void retire(struct delivery *d, struct destination *destination)
{
    unload(d, destination);
    if (!destination->is_stale)
        tdelete(destination, &d->by_key, compare_keys);
    destination->is_stale = true;
    destination_close_idle(destination, INT64_MAX);
    drop_if_idle(d, destination);
}

static void retire_all(struct delivery *d)
{
    struct destination *next;
    for (struct destination *destination = TAILQ_FIRST(&d->all); destination; destination = next) {
        next = TAILQ_NEXT(destination, all);
        retire(d, destination);
    }
}

static struct foresight *new_foresight(const struct delivery_options *o)
{
    struct foresight_options f = {
        .loop = o->loop,
        .dns = o->dns,
        .sts = o->sts,
        .posture = o->posture,
        .settings = o->settings,
        .events = o->events,
    };
    return foresight_new(&f);
}

struct foresight *delivery_foresight(struct delivery *d)
{
    return d->foresight;
}

struct delivery *delivery_new(const struct delivery_options *o)
{
    struct delivery *d = xalloc(sizeof *d);
    d->o = *o;
    delivery_settings_ref(d->o.settings);
    lanes_init(&d->lanes);
    TAILQ_INIT(&d->all);
    TAILQ_INIT(&d->ready);
    TAILQ_INIT(&d->attempts);
    d->due_timer = loop_timer_new(o->loop, lanes_became_due, d);
    d->house_timer = loop_timer_new(o->loop, keep_house, d);
    d->grace_timer = loop_timer_new(o->loop, grace_is_over, d);
    d->foresight = new_foresight(o);
    struct queue_poster poster = {.post = post_to_loop, .context = o->loop};
    if (d->due_timer && d->house_timer && d->grace_timer && d->foresight)
        d->watch = queue_watch_lanes(o->queue, &poster, o->share, o->shares, lane_event, d);
    if (!d->watch) {
        delivery_free(d);
        return NULL;
    }
    loop_timer_start(d->house_timer, HOUSEKEEPING_MS);
    return d;
}

void delivery_reload(struct delivery *d, struct delivery_settings *settings, struct dns *dns,
                     struct sts *sts, void (*released)(void *context), void *context)
{
    struct running_attempt *r;
    retire_all(d);
    struct delivery_settings *old = d->o.settings;
    d->o.settings = delivery_settings_ref(settings);
    delivery_settings_unref(old);
    d->o.dns = dns;
    d->o.sts = sts;
    foresight_reload(d->foresight, settings, dns, sts);
    d->old_attempts = 0;
    TAILQ_FOREACH(r, &d->attempts, entry)
    {
        r->is_old = !r->has_left;
        d->old_attempts += r->is_old;
    }
    d->released = released;
    d->released_context = context;
    arm(d);
    if (d->old_attempts == 0) {
        d->old_attempts = 1;
        old_attempt_left(d);
    }
}

void delivery_stop(struct delivery *d, int64_t grace_ms, void (*stopped)(void *context),
                   void *context)
{
    d->is_stopping = true;
    d->stopped = stopped;
    d->stopped_context = context;
    loop_timer_stop(d->due_timer);
    foresight_stop(d->foresight);
    retire_all(d);
    loop_timer_start(d->grace_timer, grace_ms);
    maybe_stopped(d);
}

void delivery_free(struct delivery *d)
{
    if (!d)
        return;
    if (!TAILQ_EMPTY(&d->attempts))
        panic("delivery is freed while attempts run");
    if (d->watch)
        queue_unwatch(d->watch);
    foresight_free(d->foresight);
    loop_timer_free(d->due_timer);
    loop_timer_free(d->house_timer);
    loop_timer_free(d->grace_timer);
    retire_all(d);
    if (!TAILQ_EMPTY(&d->all))
        panic("a destination is left");
    lanes_free(&d->lanes);
    delivery_settings_unref(d->o.settings);
    free(d);
}

unsigned delivery_connections(const struct delivery *d)
{
    const struct destination *destination;
    unsigned count = 0;
    TAILQ_FOREACH(destination, &d->all, all)
    count += destination->running + destination->idle_count;
    return count;
}
