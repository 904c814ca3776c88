#include "gateway/sts/turns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 256

/* One mark of an operator, while some turn has it. */
struct turn_mark {
    LIST_ENTRY(turn_mark) bucket;
    unsigned refs;
    unsigned running;
    char name[DOMAIN_SIZE];
};
LIST_HEAD(mark_bucket, turn_mark);

struct turns {
    struct loop *home;
    int64_t patience_ms;
    bool is_stopped;
    unsigned running;
    struct loop_timer *timer; /* for the next one that will be late */
    TAILQ_HEAD(, turn) waiting;
    TAILQ_HEAD(, turn) begun;
    struct mark_bucket buckets[BUCKETS];
};

/* --- marks --- */

static struct mark_bucket *bucket_of(struct turns *t, const char *name)
{
    uint32_t hash = 2166136261U; /* FNV-1a */
    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * 16777619U;
    return &t->buckets[hash % BUCKETS];
}

static struct turn_mark *mark_ref(struct turns *t, const char *name)
{
    struct mark_bucket *bucket = bucket_of(t, name);
    struct turn_mark *mark;
    LIST_FOREACH(mark, bucket, bucket)
    {
        if (strcmp(mark->name, name) == 0)
            break;
    }
    if (!mark) {
        mark = xalloc(sizeof *mark);
        snprintf(mark->name, sizeof mark->name, "%s", name);
        LIST_INSERT_HEAD(bucket, mark, bucket);
    }
    mark->refs++;
    return mark;
}

static void mark_unref(struct turn_mark *mark)
{
    if (--mark->refs > 0)
        return;
    LIST_REMOVE(mark, bucket);
    free(mark);
}

/* --- turns --- */

static bool has_address(const struct turn *turn, const struct turn_mark *address)
{
    for (size_t i = OPERATOR_DOMAIN_MARK + 1; i < turn->mark_count; i++) {
        if (turn->marks[i] == address)
            return true;
    }
    return false;
}

static unsigned running_of_pair(const struct turns *t, const struct turn_mark *domain,
                                const struct turn_mark *address)
{
    unsigned count = 0;
    const struct turn *other;
    if (domain->running < TURNS_OF_PAIR_MAX || address->running < TURNS_OF_PAIR_MAX)
        return 0;
    TAILQ_FOREACH(other, &t->begun, entry)
    {
        count += other->marks[OPERATOR_DOMAIN_MARK] == domain && has_address(other, address);
    }
    return count;
}

static bool may_begin(const struct turns *t, const struct turn *turn)
{
    const struct turn_mark *domain = turn->marks[OPERATOR_DOMAIN_MARK];
    if (t->running >= TURNS_MAX || domain->running >= TURNS_OF_ONE_MAX)
        return false;
    for (size_t i = OPERATOR_DOMAIN_MARK + 1; i < turn->mark_count; i++) {
        if (turn->marks[i]->running >= TURNS_OF_ONE_MAX ||
            running_of_pair(t, domain, turn->marks[i]) >= TURNS_OF_PAIR_MAX)
            return false;
    }
    return true;
}

static void begin(struct turns *t, struct turn *turn)
{
    TAILQ_REMOVE(&t->waiting, turn, entry);
    TAILQ_INSERT_TAIL(&t->begun, turn, entry);
    turn->is_running = true;
    t->running++;
    for (size_t i = 0; i < turn->mark_count; i++)
        turn->marks[i]->running++;
    turn->begin(turn->context);
}

static void begin_who_may(struct turns *t)
{
    struct turn *next;
    if (t->is_stopped)
        return;
    for (struct turn *turn = TAILQ_FIRST(&t->waiting); turn && t->running < TURNS_MAX;
         turn = next) {
        next = TAILQ_NEXT(turn, entry);
        if (may_begin(t, turn))
            begin(t, turn);
    }
}

/* They wait in the order of coming: so they become late in this order. */
static void tell_who_is_late(void *context)
{
    struct turns *t = context;
    int64_t now_ms = loop_now_ms(t->home);
    struct turn *next;
    for (struct turn *turn = TAILQ_FIRST(&t->waiting); turn; turn = next) {
        next = TAILQ_NEXT(turn, entry);
        if (turn->is_late)
            continue;
        if (turn->late_at_ms > now_ms) {
            loop_timer_start(t->timer, turn->late_at_ms - now_ms);
            return;
        }
        turn->is_late = true;
        turn->late(turn->context);
    }
}

void turn_take(struct turns *t, struct turn *turn, const struct sts_operator *whose,
               void (*begins)(void *context), void (*late)(void *context), void *context)
{
    *turn = (struct turn){.turns = t, .begin = begins, .late = late, .context = context};
    for (; turn->mark_count < whose->count; turn->mark_count++)
        turn->marks[turn->mark_count] = mark_ref(t, whose->marks[turn->mark_count]);
    turn->late_at_ms = loop_now_ms(t->home) + t->patience_ms;
    TAILQ_INSERT_TAIL(&t->waiting, turn, entry);
    if (!t->is_stopped && may_begin(t, turn))
        begin(t, turn);
    else
        tell_who_is_late(t);
}

void turn_end(struct turn *turn)
{
    struct turns *t = turn->turns;
    bool was_running = turn->is_running;
    if (!t)
        return;
    if (was_running) {
        t->running--;
        TAILQ_REMOVE(&t->begun, turn, entry);
    } else {
        TAILQ_REMOVE(&t->waiting, turn, entry);
    }
    for (size_t i = 0; i < turn->mark_count; i++) {
        turn->marks[i]->running -= was_running;
        mark_unref(turn->marks[i]);
    }
    turn->turns = NULL;
    if (was_running)
        begin_who_may(t);
}

struct turns *turns_new(struct loop *home, int64_t patience_ms)
{
    struct turns *t = xalloc(sizeof *t);
    t->home = home;
    t->patience_ms = patience_ms;
    t->timer = loop_timer_new(home, tell_who_is_late, t);
    TAILQ_INIT(&t->waiting);
    TAILQ_INIT(&t->begun);
    for (size_t i = 0; i < BUCKETS; i++)
        LIST_INIT(&t->buckets[i]);
    return t;
}

void turns_stop(struct turns *t)
{
    t->is_stopped = true;
}

void turns_free(struct turns *t)
{
    loop_timer_free(t->timer);
    free(t);
}
