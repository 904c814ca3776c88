#include "queue/lane.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "queue/room.h"

/* News travel to the watcher's thread in a post of their own. A watch lives until it is closed and
 * the last post about it has run; `is_closed` belongs to the poster's thread. */

struct queue_watch {
    struct queue *q;
    struct queue_poster poster;
    unsigned share;
    unsigned shares;
    queue_lane_event *event;
    void *context;
    bool is_closed;
    atomic_uint references;
    struct queue_watch *next; /* in watches->lanes */
};

struct queue_notice_watch {
    struct queue *q;
    struct queue_poster poster;
    queue_notice_event *event;
    void *context;
    bool is_closed;
    atomic_uint references;
};

struct watches {
    pthread_mutex_t lock;
    struct queue_watch *lanes;
    struct queue_notice_watch *notices;
};

struct watches *watches_new(void)
{
    struct watches *w = xalloc(sizeof *w);
    pthread_mutex_init(&w->lock, NULL);
    return w;
}

void watches_free(struct watches *w)
{
    if (!w)
        return;
    pthread_mutex_destroy(&w->lock);
    free(w);
}

static void watch_release(struct queue_watch *w)
{
    if (atomic_fetch_sub(&w->references, 1) == 1)
        free(w);
}

static void notice_watch_release(struct queue_notice_watch *w)
{
    if (atomic_fetch_sub(&w->references, 1) == 1)
        free(w);
}

struct lane_news {
    struct queue_watch *watch;
    size_t count;
    struct lane_due lanes[];
};

static void tell_lanes(void *argument)
{
    struct lane_news *news = argument;
    /* The event may close the watch. */
    for (size_t i = 0; i < news->count && !news->watch->is_closed; i++)
        news->watch->event(news->watch->context, &news->lanes[i].lane, news->lanes[i].due_at_ms);
    watch_release(news->watch);
    free(news);
}

static bool is_in_share(const struct queue_watch *w, const struct queue_lane *lane)
{
    return room_hash(slice_of(lane->domain)) % w->shares == w->share;
}

static void post_lanes(struct queue_watch *w, const struct lane_due *lanes, size_t count)
{
    struct lane_news *news = xalloc(sizeof *news + count * sizeof *lanes);
    for (size_t i = 0; i < count; i++) {
        if (is_in_share(w, &lanes[i].lane))
            news->lanes[news->count++] = lanes[i];
    }
    if (news->count == 0) {
        free(news);
        return;
    }
    news->watch = w;
    atomic_fetch_add(&w->references, 1);
    room_post(&w->poster, tell_lanes, news);
}

struct notice_news {
    struct queue_notice_watch *watch;
    int64_t due_at_ms;
};

static void tell_notice(void *argument)
{
    struct notice_news *news = argument;
    if (!news->watch->is_closed)
        news->watch->event(news->watch->context, news->due_at_ms);
    notice_watch_release(news->watch);
    free(news);
}

static void post_notice(struct queue_notice_watch *w, int64_t due_at_ms)
{
    struct notice_news *news = xalloc(sizeof *news);
    *news = (struct notice_news){w, due_at_ms};
    atomic_fetch_add(&w->references, 1);
    room_post(&w->poster, tell_notice, news);
}

void lane_note(struct batch *b, const struct queue_lane *lane, int64_t due_at_ms)
{
    if (b->lane_count == b->lane_room) {
        b->lane_room = b->lane_room ? b->lane_room * 2 : 16;
        b->lanes = xrealloc(b->lanes, b->lane_room * sizeof *b->lanes);
    }
    b->lanes[b->lane_count++] = (struct lane_due){*lane, due_at_ms};
}

static int compare_lanes(const void *left, const void *right)
{
    const struct lane_due *a = left;
    const struct lane_due *b = right;
    int order = strcmp(a->lane.domain, b->lane.domain);
    if (order == 0)
        order = (a->lane.flow > b->lane.flow) - (a->lane.flow < b->lane.flow);
    return order != 0 ? order : (a->due_at_ms > b->due_at_ms) - (a->due_at_ms < b->due_at_ms);
}

/* Keeps the earliest time of each lane. */
static size_t merge_lanes(struct lane_due *lanes, size_t count)
{
    size_t kept = 0;
    qsort(lanes, count, sizeof *lanes, compare_lanes);
    for (size_t i = 0; i < count; i++) {
        if (kept > 0 && lanes[kept - 1].lane.flow == lanes[i].lane.flow &&
            strcmp(lanes[kept - 1].lane.domain, lanes[i].lane.domain) == 0)
            continue;
        lanes[kept++] = lanes[i];
    }
    return kept;
}

void watches_tell(struct watches *w, struct batch *b)
{
    pthread_mutex_lock(&w->lock);
    if (w->lanes && b->lane_count > 0) {
        b->lane_count = merge_lanes(b->lanes, b->lane_count);
        for (struct queue_watch *watch = w->lanes; watch; watch = watch->next)
            post_lanes(watch, b->lanes, b->lane_count);
    }
    if (w->notices && b->notice_due_ms != INT64_MAX)
        post_notice(w->notices, b->notice_due_ms);
    pthread_mutex_unlock(&w->lock);
}

/* The lanes in the store, one look-up each: from a lane's first key to the first behind the lane.
 */
static int list_lanes(struct txn *view, struct batch *out)
{
    struct cursor c;
    struct key key = {.len = 0};
    struct lane_due found;
    uint64_t id;
    uint32_t index;
    int rc = cursor_open(view, TABLE_DUE, &c);
    while (rc == 0 && (rc = cursor_seek(&c, key_slice(&key))) == 0) {
        if (!key_get_due(c.key, &found.lane, &found.due_at_ms, &id, &index)) {
            rc = -EBADMSG;
            break;
        }
        lane_note(out, &found.lane, found.due_at_ms);
        key = key_lane(&found.lane);
        /* Behind every key of this lane: one past the last byte that is not 0xff. */
        while (key.len > 0 && (uint8_t)key.bytes[key.len - 1] == 0xff)
            key.len--;
        key.bytes[key.len - 1] = (char)((uint8_t)key.bytes[key.len - 1] + 1);
    }
    cursor_close(&c);
    return rc == -ENOENT ? 0 : rc;
}

/* Where they can not be listed now, the writer does it as soon as it can: a lane nobody was told of
 * is mail that nobody delivers. All watchers hear of it, some of them twice. */
static int run_list(struct op *op, struct batch *b)
{
    (void)op;
    return list_lanes(b->txn, b);
}

static void list_later(struct queue *q)
{
    struct op *op = op_new(sizeof *op, run_list, NULL, NULL, NULL);
    op->is_durable = true;
    writer_submit(q, op);
}

struct queue_watch *queue_watch_lanes(struct queue *q, const struct queue_poster *poster,
                                      unsigned share, unsigned shares, queue_lane_event *event,
                                      void *context)
{
    struct queue_watch *w = xalloc(sizeof *w);
    *w = (struct queue_watch){
        .q = q,
        .poster = *poster,
        .share = share,
        .shares = shares,
        .event = event,
        .context = context,
    };
    atomic_init(&w->references, 1);
    /* First the watch, then the look: what is committed in between is told twice, never missed. */
    pthread_mutex_lock(&q->watches->lock);
    w->next = q->watches->lanes;
    q->watches->lanes = w;
    pthread_mutex_unlock(&q->watches->lock);

    struct batch present = {.q = q};
    struct txn *view = store_view(q->store);
    int rc = view ? list_lanes(view, &present) : -EIO;
    if (view)
        store_view_end(view);
    if (rc != 0) {
        EVENT(room_events(q), EVENT_ERROR, "store-trouble", FIELD(KEY_ERROR, "listing lanes"));
        list_later(q);
    }
    if (present.lane_count > 0)
        post_lanes(w, present.lanes, present.lane_count);
    free(present.lanes);
    return w;
}

void queue_unwatch(struct queue_watch *w)
{
    if (!w)
        return;
    struct watches *all = w->q->watches;
    pthread_mutex_lock(&all->lock);
    struct queue_watch **at = &all->lanes;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    pthread_mutex_unlock(&all->lock);
    w->is_closed = true;
    watch_release(w);
}

struct queue_notice_watch *queue_watch_notices(struct queue *q, const struct queue_poster *poster,
                                               queue_notice_event *event, void *context)
{
    struct queue_notice_watch *w = xalloc(sizeof *w);
    *w = (struct queue_notice_watch){.q = q, .poster = *poster, .event = event, .context = context};
    atomic_init(&w->references, 1);
    pthread_mutex_lock(&q->watches->lock);
    q->watches->notices = w;
    pthread_mutex_unlock(&q->watches->lock);

    uint64_t nothing;
    int64_t due_at_ms = INT64_MAX;
    if (queue_notices_due(q, INT64_MAX, &nothing, 0, &due_at_ms) < 0)
        due_at_ms = 0; /* it looks again by itself */
    if (due_at_ms != INT64_MAX)
        post_notice(w, due_at_ms);
    return w;
}

void queue_unwatch_notices(struct queue_notice_watch *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->q->watches->lock);
    if (w->q->watches->notices == w)
        w->q->watches->notices = NULL;
    pthread_mutex_unlock(&w->q->watches->lock);
    w->is_closed = true;
    notice_watch_release(w);
}
