#include "gateway/delivery/foresight.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "gateway/delivery/contact.h"
#include "gateway/delivery/probe.h"
#include "mail/date.h"

struct foresight_question {
    struct question_list *list; /* it stands in: of a forecast, or of those whose answer is known */
    struct forecast *forecast;
    void (*answered)(void *asker, const struct outcome *why);
    void *asker;
    TAILQ_ENTRY(foresight_question) entry;
};
TAILQ_HEAD(question_list, foresight_question);

/* What is known, or being learnt, of a domain. */
struct forecast {
    struct foresight *owner;
    char domain[DOMAIN_SIZE];
    enum level level;
    bool is_probe;
    int64_t began_at_ms; /* loop clock, as all here */
    int64_t kept_until_ms;
    struct probe *probe; /* at most one of these two; both NULL: it is known */
    struct dns_question *question;
    struct loop_timer *deadline; /* of the question; a probe has its own */
    bool is_refused;
    struct outcome why;             /* where it is refused */
    struct question_list questions; /* until it is known */
    unsigned users;                 /* questions anywhere that point here */
    TAILQ_ENTRY(forecast) entry;
};

struct foresight {
    struct foresight_options o;
    TAILQ_HEAD(, forecast) forecasts; /* the oldest first */
    unsigned count, running;
    struct question_list ready; /* their forecast is known */
    struct loop_timer *telling;
    bool is_stopped;
};

/* ---- telling ---- */

/* One at a time, as whoever hears an answer may ask, or cancel, at once. */
static void tell(void *context)
{
    struct foresight *f = context;
    struct foresight_question *q;
    while ((q = TAILQ_FIRST(&f->ready)) != NULL) {
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it is off the list before it is freed */
        struct foresight_question it = *q;
        struct outcome why = q->forecast->why;
        bool is_refused = q->forecast->is_refused;
        foresight_cancel(q);
        it.answered(it.asker, is_refused ? &why : NULL);
    }
}

static void become_ready(struct foresight *f, struct foresight_question *q)
{
    q->list = &f->ready;
    TAILQ_INSERT_TAIL(&f->ready, q, entry);
    loop_timer_start(f->telling, 0);
}

/* why NULL: nothing speaks against the domain. */
static void become_known(struct forecast *c, const struct outcome *why)
{
    struct foresight *f = c->owner;
    struct foresight_question *q;
    loop_timer_stop(c->deadline);
    f->running--;
    /* Stops are suspended: what seems to be the destination's may be ours. */
    if (why && !posture_suspends_stops(f->o.posture, date_now())) {
        c->is_refused = true;
        c->why = *why;
    }
    while ((q = TAILQ_FIRST(&c->questions)) != NULL) {
        TAILQ_REMOVE(&c->questions, q, entry);
        become_ready(f, q);
    }
}

static bool is_under_way(const struct forecast *c)
{
    return c->probe || c->question;
}

/* Ends it without a result. */
static void give_up(struct forecast *c)
{
    if (c->probe)
        probe_cancel(c->probe);
    if (c->question)
        dns_cancel(c->question);
    c->probe = NULL;
    c->question = NULL;
    become_known(c, NULL);
}

/* ---- by a look ---- */

/* Null MX, no such domain and the like fail with words of their own, and bounce as ever; what the
 * guarantee stops has a status of security. A probe that was cut short did not see all. */
static bool is_sure_stop(const struct forecast *c, const struct probe_result *r)
{
    return r->verdict == PROBE_REFUSED && outcome_is_permanent(&r->outcome) &&
           r->outcome.status.subject == 7 &&
           loop_now_ms(c->owner->o.loop) - c->began_at_ms < FORESIGHT_DEADLINE_MS;
}

static void probed(void *context, const struct probe_result *result)
{
    struct forecast *c = context;
    c->probe = NULL;
    become_known(c, is_sure_stop(c, result) ? &result->outcome : NULL);
}

static void begin_probe(struct forecast *c)
{
    const struct foresight_options *o = &c->owner->o;
    struct probe_options p = {
        .loop = o->loop,
        .dns = o->dns,
        .sts = o->sts,
        .posture = o->posture,
        .settings = o->settings,
        .events = o->events,
        .domain = c->domain,
        .level = c->level,
        .deadline_ms = FORESIGHT_DEADLINE_MS,
        .done = probed,
        .context = c,
    };
    c->probe = probe_new(&p);
}

/* ---- by memory ---- */

/* Every host, the most preferred one first: its words are the reason, as a stop's. */
static bool is_refused_by_all(const struct forecast *c, const struct dns_mx *mx,
                              struct outcome *why)
{
    const struct foresight_options *o = &c->owner->o;
    struct outcome others;
    char detail[256];
    if (contact_destination(mx, detail, sizeof detail) != GUARANTEE_DESTINATION_FOUND)
        return false;
    for (size_t i = 0; i < mx->count; i++) {
        const char *host = mx->hosts[i].name;
        if (strcasecmp(host, o->settings->hostname) == 0 ||
            !posture_refuses_tls(o->posture, c->domain, host, date_now(), i == 0 ? why : &others))
            return false;
    }
    return true;
}

static void mx_found(void *context, const struct dns_mx *mx)
{
    struct forecast *c = context;
    struct outcome why;
    c->question = NULL;
    c->kept_until_ms = 0; /* the memory is as fast as this, and learns */
    become_known(c, is_refused_by_all(c, mx, &why) ? &why : NULL);
}

static void deadline_came(void *context)
{
    give_up(context);
}

static void begin_look_up(struct forecast *c)
{
    const struct foresight_options *o = &c->owner->o;
    c->question = dns_find_mx(o->dns, o->loop, c->domain, mx_found, c);
    if (c->question)
        loop_timer_start(c->deadline, FORESIGHT_DEADLINE_MS);
}

/* ---- forecasts ---- */

static void drop(struct forecast *c)
{
    struct foresight *f = c->owner;
    if (c->users > 0 || is_under_way(c))
        panic("a forecast is dropped that is in use");
    TAILQ_REMOVE(&f->forecasts, c, entry);
    f->count--;
    loop_timer_free(c->deadline);
    free(c);
}

/* Those that are too old, and the oldest where there are too many. */
static void make_room(struct foresight *f)
{
    int64_t now = loop_now_ms(f->o.loop);
    struct forecast *next;
    for (struct forecast *c = TAILQ_FIRST(&f->forecasts); c; c = next) {
        next = TAILQ_NEXT(c, entry);
        bool is_old = now >= c->kept_until_ms;
        if ((is_old || f->count >= FORESIGHT_KEPT_MAX) && c->users == 0 && !is_under_way(c))
            drop(c);
    }
}

static struct forecast *find(const struct foresight *f, const char *domain, enum level level,
                             bool is_probe)
{
    struct forecast *c;
    int64_t now = loop_now_ms(f->o.loop);
    TAILQ_FOREACH(c, &f->forecasts, entry)
    {
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it is off the list before it is freed */
        if (c->level == level && c->is_probe == is_probe && strcmp(c->domain, domain) == 0 &&
            now < c->kept_until_ms)
            return c;
    }
    return NULL;
}

/* NULL: nothing can be learnt now. */
static struct forecast *begin(struct foresight *f, const char *domain, enum level level,
                              bool is_probe)
{
    if (f->running >= FORESIGHT_RUNNING_MAX || f->count >= FORESIGHT_KEPT_MAX)
        return NULL;
    struct forecast *c = xalloc(sizeof *c);
    *c = (struct forecast){.owner = f, .level = level, .is_probe = is_probe};
    TAILQ_INIT(&c->questions);
    TAILQ_INSERT_TAIL(&f->forecasts, c, entry);
    f->count++;
    c->began_at_ms = loop_now_ms(f->o.loop);
    c->kept_until_ms = c->began_at_ms + FORESIGHT_KEPT_MS;
    c->deadline = loop_timer_new(f->o.loop, deadline_came, c);
    if (c->deadline && slice_copy(slice_of(domain), c->domain, sizeof c->domain)) {
        if (is_probe)
            begin_probe(c);
        else
            begin_look_up(c);
    }
    if (is_under_way(c)) {
        f->running++;
        return c;
    }
    drop(c);
    return NULL;
}

/* ---- questions ---- */

/* What goes by a route or to an address is the configuration's or the sender's own choice. */
static bool goes_by_mx(const struct foresight *f, const char *domain)
{
    struct next_hop hop;
    if (strlen(domain) >= DOMAIN_SIZE)
        return false;
    next_hop_for(f->o.settings, domain, &hop);
    return !hop.route && hop.target.kind == NEXT_HOP_MX;
}

struct foresight_question *foresight_ask(struct foresight *f, const char *domain, enum level level,
                                         bool may_probe,
                                         void (*answered)(void *asker, const struct outcome *why),
                                         void *asker)
{
    if (f->is_stopped || !goes_by_mx(f, domain) || posture_suspends_stops(f->o.posture, date_now()))
        return NULL;
    make_room(f);
    struct forecast *c = find(f, domain, level, may_probe);
    if (!c)
        c = begin(f, domain, level, may_probe);
    if (!c)
        return NULL;
    struct foresight_question *q = xalloc(sizeof *q);
    *q = (struct foresight_question){.forecast = c, .answered = answered, .asker = asker};
    c->users++;
    if (!is_under_way(c)) {
        become_ready(f, q);
        return q;
    }
    q->list = &c->questions;
    TAILQ_INSERT_TAIL(&c->questions, q, entry);
    return q;
}

void foresight_cancel(struct foresight_question *q)
{
    q->forecast->users--;
    TAILQ_REMOVE(q->list, q, entry);
    free(q);
}

/* ---- the object ---- */

struct foresight *foresight_new(const struct foresight_options *o)
{
    struct foresight *f = xalloc(sizeof *f);
    *f = (struct foresight){.o = *o};
    TAILQ_INIT(&f->forecasts);
    TAILQ_INIT(&f->ready);
    f->telling = loop_timer_new(o->loop, tell, f);
    if (!f->telling) {
        free(f);
        return NULL;
    }
    delivery_settings_ref(f->o.settings);
    return f;
}

/* Nothing that was learnt counts any more. */
static void forget_all(struct foresight *f)
{
    struct forecast *c;
    TAILQ_FOREACH(c, &f->forecasts, entry)
    {
        if (is_under_way(c))
            give_up(c);
        c->kept_until_ms = 0;
    }
    make_room(f);
}

void foresight_reload(struct foresight *f, struct delivery_settings *settings, struct dns *dns,
                      struct sts *sts)
{
    struct delivery_settings *old = f->o.settings;
    forget_all(f);
    f->o.settings = delivery_settings_ref(settings);
    f->o.dns = dns;
    f->o.sts = sts;
    delivery_settings_unref(old);
}

void foresight_stop(struct foresight *f)
{
    f->is_stopped = true;
    forget_all(f);
}

void foresight_free(struct foresight *f)
{
    if (!f)
        return;
    foresight_stop(f);
    if (!TAILQ_EMPTY(&f->forecasts))
        panic("foresight is freed while somebody waits for it");
    loop_timer_free(f->telling);
    delivery_settings_unref(f->o.settings);
    free(f);
}
