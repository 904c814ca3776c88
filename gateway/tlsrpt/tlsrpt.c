#include "gateway/tlsrpt/tlsrpt.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/tlsrpt/errand.h"
#include "mail/date.h"
#include "queue/tlsrpt.h"

enum {
    DAY_SECONDS = 86400,
    LOOK_MS = 5000, /* between looks at the clock */
    RUNNING_MAX = 8,
    BATCH = 256,         /* errands begun by one look at the store */
    ERRANDS_MAX = 1024,  /* with those that wait to be tried again */
    LATE_SECONDS = 900,  /* sessions that began before midnight are counted by then */
    AGAIN_SECONDS = 300, /* until the next look, where the list is full */
};

struct tlsrpt {
    struct errand_desk desk;
    struct loop_timer *timer;
    struct errand **errands; /* owned, and each of them */
    size_t count;
    size_t running;
    int64_t look_at;   /* the store is to be looked at, wall clock seconds */
    int64_t looked_on; /* that day, in days since the epoch: a clock set back is noticed by it */
    bool is_stopping;
    void (*stopped)(void *context);
    void *stopped_context;
};

static bool is_off(const struct tlsrpt_settings *s)
{
    return s->organization[0] == '\0';
}

/* ---- when ---- */

/* The domain's own point of the time over which reports are spread: the same each time it is asked,
 * so that a restart changes nothing, and another each day. */
static int64_t send_at(const struct tlsrpt *t, const char *domain, uint32_t day)
{
    uint64_t hash = 14695981039346656037U ^ day; /* FNV-1a */
    for (const char *p = domain; *p; p++)
        hash = (hash ^ (uint8_t)*p) * 1099511628211U;
    for (const char *p = t->desk.settings.hostname; *p; p++)
        hash = (hash ^ (uint8_t)*p) * 1099511628211U;
    uint64_t spread = (uint64_t)t->desk.settings.spread_ms / 1000;
    return ((int64_t)day + 1) * DAY_SECONDS + LATE_SECONDS + (int64_t)((hash >> 16) % (spread + 1));
}

/* ---- looking at the store ---- */

struct look {
    struct tlsrpt *t;
    int64_t now;
    int64_t next; /* the earliest that is not due yet */
    size_t begun;
};

static bool is_known(const struct tlsrpt *t, const char *domain, uint32_t day)
{
    for (size_t i = 0; i < t->count; i++)
        if (errand_is_about(t->errands[i], domain, day))
            return true;
    return false;
}

static bool consider(void *context, const char *domain, uint32_t day)
{
    struct look *l = context;
    struct tlsrpt *t = l->t;
    int64_t at = send_at(t, domain, day);
    if (at > l->now) {
        l->next = at < l->next ? at : l->next;
        return true;
    }
    if (is_known(t, domain, day))
        return true;
    if (l->begun == BATCH || t->count == ERRANDS_MAX) {
        /* The rest is seen by the look that follows when these have run. */
        l->next = l->now + (t->count == ERRANDS_MAX ? AGAIN_SECONDS : 0);
        return false;
    }
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): the elements are pointers */
    t->errands = xrealloc(t->errands, (t->count + 1) * sizeof *t->errands);
    t->errands[t->count++] = errand_new(&t->desk, domain, day);
    l->begun++;
    return true;
}

static void look(struct tlsrpt *t, int64_t now)
{
    int64_t today = now / DAY_SECONDS;
    struct look l = {.t = t, .now = now, .next = (today + 1) * DAY_SECONDS};
    queue_tlsrpt_due(t->desk.queue, (uint32_t)today, consider, &l);
    t->look_at = l.next;
    t->looked_on = today;
}

/* ---- running ---- */

static void run_due(struct tlsrpt *t, int64_t now)
{
    for (size_t i = 0; i < t->count && t->running < RUNNING_MAX; i++) {
        struct errand *e = t->errands[i];
        if (errand_is_running(e) || errand_due_at(e) > now)
            continue;
        t->running++;
        errand_run(e);
    }
}

static bool has_due(const struct tlsrpt *t, int64_t now)
{
    for (size_t i = 0; i < t->count; i++)
        if (!errand_is_running(t->errands[i]) && errand_due_at(t->errands[i]) <= now)
            return true;
    return false;
}

static void tick(void *context)
{
    struct tlsrpt *t = context;
    int64_t now = date_now();
    loop_timer_start(t->timer, LOOK_MS);
    if (t->desk.is_halted || now < 0)
        return;
    bool is_time = now >= t->look_at || now / DAY_SECONDS != t->looked_on;
    if (is_time && !has_due(t, now))
        look(t, now);
    run_due(t, now);
}

static void drop(struct tlsrpt *t, struct errand *e)
{
    size_t i = 0;
    while (t->errands[i] != e)
        i++;
    t->errands[i] = t->errands[--t->count];
    errand_free(e);
}

static void maybe_stopped(struct tlsrpt *t)
{
    if (!t->stopped || t->running > 0)
        return;
    void (*stopped)(void *context) = t->stopped;
    t->stopped = NULL;
    stopped(t->stopped_context);
}

static void rested(void *context, struct errand *e, bool is_gone)
{
    struct tlsrpt *t = context;
    t->running--;
    if (is_gone)
        drop(t, e);
    if (t->is_stopping)
        maybe_stopped(t);
    else
        loop_timer_start(t->timer, 0); /* the next one, with a stack of its own */
}

/* Those that are not bound to end by themselves rest from now on. */
static void interrupt_all(struct tlsrpt *t)
{
    for (size_t i = 0; i < t->count; i++)
        if (errand_is_running(t->errands[i]) && errand_interrupt(t->errands[i]))
            t->running--;
}

static void drop_resting(struct tlsrpt *t)
{
    for (size_t i = t->count; i-- > 0;)
        if (!errand_is_running(t->errands[i]))
            drop(t, t->errands[i]);
}

/* ---- its life ---- */

struct tlsrpt *tlsrpt_new(const struct tlsrpt_options *o)
{
    struct tlsrpt *t = xalloc(sizeof *t);
    t->desk = (struct errand_desk){
        .loop = o->loop,
        .queue = o->queue,
        .dns = o->dns,
        .settings = *o->settings,
        .events = o->events,
        .is_halted = is_off(o->settings),
        .rested = rested,
        .context = t,
    };
    t->timer = loop_timer_new(o->loop, tick, t);
    if (!t->timer) {
        free(t);
        return NULL;
    }
    loop_timer_start(t->timer, LOOK_MS);
    return t;
}

void tlsrpt_reload(struct tlsrpt *t, const struct tlsrpt_settings *settings, struct dns *dns)
{
    interrupt_all(t);
    t->desk.settings = *settings;
    t->desk.dns = dns;
    t->look_at = 0; /* the spread may be another */
    t->desk.is_halted = is_off(settings) || t->is_stopping;
    if (t->desk.is_halted)
        drop_resting(t);
    else
        loop_timer_start(t->timer, 0);
}

void tlsrpt_stop(struct tlsrpt *t, void (*stopped)(void *context), void *context)
{
    t->is_stopping = t->desk.is_halted = true;
    t->stopped = stopped;
    t->stopped_context = context;
    loop_timer_stop(t->timer);
    interrupt_all(t);
    maybe_stopped(t);
}

void tlsrpt_free(struct tlsrpt *t)
{
    if (!t)
        return;
    loop_timer_free(t->timer);
    for (size_t i = 0; i < t->count; i++)
        errand_free(t->errands[i]);
    free(t->errands);
    free(t);
}
