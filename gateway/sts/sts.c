/* sts.c - questions from any loop, and the rules of keeping, checking and refreshing.
 *
 * Threads. All is decided on the home loop; a question crosses threads twice, as a posted start and
 * as a posted answer, and no lock exists. A struct sts_question has two owners, its asker and the
 * home loop, each of which lets go once; `state` settles on the asker's thread whether the answer
 * is still wanted. (As gateway/dns/resolver.c.) */
#include "gateway/sts/sts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "gateway/sts/cache.h"
#include "gateway/sts/https.h"
#include "gateway/sts/outage.h"
#include "mail/date.h"

#define LOOKS_BEHIND_MAX (2 * TURNS_OF_ONE_MAX) /* that nobody waits for */
#define LOOKS_LATE_MAX 1000
#define PATIENCE_MS 15000 /* of who waits until the policy host may be asked */
/* Seconds. */
#define CHECK_AFTER 3600 /* the id in the TXT record is looked at anew */
#define REFETCH_AFTER 60
#define REFRESH_SPAN 172800 /* refreshed after 40 to 60 % of this or of max_age: once a day */
#define BELIEVE_DENIAL_MAX 3600
#define BELIEVE_DENIAL_MIN 60
#define BELIEVE_NONE 300       /* a record, but no policy behind it */
#define BELIEVE_UNKNOWN_MIN 60 /* the first time on end, then ever longer */
#define BELIEVE_UNKNOWN_MAX 3600
#define RETRY_FIRST 300
#define RETRY_MAX 21600
#define SWEEP_MS 600000 /* between two looks for policies to refresh */
#define SWEEP_FIRST_MS 1000
#define SWEEP_MORE_MS 1000 /* between two parts of one */
#define SWEEP_FULL_MS 5000 /* while as many looks as may be are under way */
#define SWEEP_BATCH 128

#define OUTAGE                                                                                     \
    "no policy host of several operators could be reached or trusted: is port 443 open for us, "   \
    "is the CA file good?"
#define WAITS "too many policy hosts do not answer: this one waits for its turn to be asked"
#define BLIND "the store could not be read for an MTA-STS policy"

enum question_state { QUESTION_RUNNING, QUESTION_ANSWERED, QUESTION_CANCELLED };

struct sts_question {
    atomic_int refs;
    _Atomic enum question_state state;
    struct loop *loop; /* the asker's; borrowed */
    struct sts *sts;   /* home loop only */
    TAILQ_ENTRY(sts_question) entry;
    enum sts_how how;
    char domain[DOMAIN_SIZE];
    void (*found)(void *context, const struct sts_answer *answer);
    void *context;
    /* The answer. */
    enum sts_status status;
    struct kept_policy *kept; /* owned reference */
    enum sts_failure failure;
    bool is_new;
    unsigned changes;
    char detail[FETCH_DETAIL_SIZE];
};

struct sts {
    atomic_int refs; /* of the memory: one until sts_free(), one for each post on its way */
    atomic_uint changes;
    bool is_ended;
    bool is_retired;
    struct loop *home;
    struct dns *dns;
    int ip_version;
    const struct event_sink *events;
    struct sts_outside outside;
    char *ca_file;               /* owned */
    struct net_network *blocked; /* owned */
    struct fetch_settings settings;
    struct cache cache;
    struct turns *turns;   /* owned */
    unsigned looks_behind; /* under way */
    unsigned looks_late;   /* wait on for their turn */
    struct outage outage;
    struct loop_timer *sweep;
    char swept[DOMAIN_SIZE]; /* the policy looked at last; "": none yet */
};

static void sts_unref(struct sts *s)
{
    if (atomic_fetch_sub(&s->refs, 1) == 1)
        free(s);
}

static int64_t now_of(const struct sts *s)
{
    return s->outside.now(s->outside.context);
}

/* --- questions --- */

static void question_unref(struct sts_question *q)
{
    if (atomic_fetch_sub(&q->refs, 1) != 1)
        return;
    kept_policy_unref(q->kept);
    free(q);
}

/* Asker's loop. */
static void deliver(void *argument)
{
    struct sts_question *q = argument;
    if (atomic_load(&q->state) != QUESTION_CANCELLED) {
        struct sts_answer answer = {
            .status = q->status,
            .policy = q->kept ? &q->kept->policy : NULL,
            .failure = q->failure,
            .detail = q->detail,
            .is_new = q->is_new,
            .changes = q->changes,
        };
        q->found(q->context, &answer);
    }
    question_unref(q);
}

/* Home loop; the last thing it does with the question. */
static void answer(struct sts_question *q, enum sts_status status, struct kept_policy *kept,
                   enum sts_failure failure, const char *detail)
{
    q->status = status;
    q->changes = atomic_load(&q->sts->changes);
    q->kept = kept ? kept_policy_ref(kept) : NULL;
    q->failure = failure;
    snprintf(q->detail, sizeof q->detail, "%s", detail);
    enum question_state running = QUESTION_RUNNING;
    if (atomic_compare_exchange_strong(&q->state, &running, QUESTION_ANSWERED))
        loop_post(q->loop, deliver, q);
    question_unref(q);
}

static enum sts_status status_of(enum fetch_result negative)
{
    switch (negative) {
    case FETCH_NONE:
        return STS_NONE;
    case FETCH_UNKNOWN:
        return STS_UNKNOWN;
    case FETCH_OUR_FAULT:
        return STS_OUR_FAULT;
    case FETCH_POLICY:
    case FETCH_SAME:
        break;
    }
    panic("sts: a policy is no negative answer");
}

static void answer_all(struct cached_domain *d, enum sts_status status, struct kept_policy *kept,
                       enum sts_failure failure, const char *detail)
{
    struct sts_question *q;
    while ((q = TAILQ_FIRST(&d->questions)) != NULL) {
        TAILQ_REMOVE(&d->questions, q, entry);
        answer(q, status, kept, failure, detail);
    }
}

/* --- looks: what a fetch brings --- */

static void tell(struct sts *s, const struct cached_domain *d, enum event_severity severity,
                 const char *state, const char *detail)
{
    if (!detail[0])
        EVENT(s->events, severity, "sts", FIELD(KEY_DOMAIN, d->name), FIELD(KEY_STATE, state));
    else
        EVENT(s->events, severity, "sts", FIELD(KEY_DOMAIN, d->name), FIELD(KEY_STATE, state),
              FIELD(KEY_REASON, detail));
}

/* So that policies that were fetched together are not refreshed together. */
static int64_t refresh_at(struct sts *s, const struct sts_policy *policy)
{
    int64_t span = policy->max_age < REFRESH_SPAN ? policy->max_age : REFRESH_SPAN;
    int64_t percent = 40 + s->outside.random(s->outside.context) % 21;
    return policy->fetched_at + span * percent / 100;
}

static void note_success(struct cached_domain *d)
{
    d->failures = 0;
    d->unknowns = 0;
    d->retry_at = 0;
    d->negative_until = 0;
}

struct storing {
    struct sts *sts;
    char domain[DOMAIN_SIZE];
};

/* The queue's thread, where it stays: the home loop may have ended by then. */
static void stored(void *context, int error)
{
    struct storing *storing = context;
    struct sts *s = storing->sts;
    if (error != 0)
        EVENT(s->events, EVENT_WARNING, "sts", FIELD(KEY_DOMAIN, storing->domain),
              FIELD(KEY_STATE, "not-kept"),
              FIELD(KEY_REASON, error == -ENOSPC
                                    ? "no room for it in the store: a restart forgets it"
                                    : "it cannot be stored: a restart forgets it"),
              FIELD(KEY_ERROR, strerror(-error)));
    sts_unref(s);
    free(storing);
}

static void run_at_once(void *context, void (*run)(void *argument), void *argument)
{
    (void)context;
    run(argument);
}

static void store(struct sts *s, const struct cached_domain *d)
{
    struct queue_poster poster = {.post = run_at_once};
    struct storing *storing = xalloc(sizeof *storing);
    storing->sts = s;
    memcpy(storing->domain, d->name, sizeof storing->domain);
    atomic_fetch_add(&s->refs, 1);
    cache_store(&s->cache, d, &poster, stored, storing);
}

static void take_policy(struct sts *s, struct cached_domain *d, struct sts_policy *policy)
{
    int64_t now = now_of(s);
    policy->fetched_at = now;
    policy->expires_at = now + policy->max_age;
    d->checked_at = now;
    d->refresh_at = refresh_at(s, policy);
    note_success(d);
    tell(s, d, EVENT_INFO, sts_mode_name(policy->mode), "");
    cache_put(&s->cache, d, policy);
    if (!s->is_retired)
        store(s, d);
    atomic_fetch_add(&s->changes, 1);
    struct sts_question *q;
    TAILQ_FOREACH(q, &d->questions, entry)
    {
        q->is_new = true;
    }
    answer_all(d, STS_POLICY, d->kept, STS_FAILURE_NONE, "");
}

static int64_t doubled(int64_t first, unsigned times, int64_t max)
{
    int64_t wait = first << (times < 16 ? times : 16);
    return wait < max ? wait : max;
}

/* The one in force stays (section 6); ask again later, ever more rarely. */
static void keep_policy(struct sts *s, struct cached_domain *d, const struct fetch_answer *got)
{
    d->retry_at = now_of(s) + doubled(RETRY_FIRST, d->failures++, RETRY_MAX);
    tell(s, d, EVENT_WARNING, "kept", got->detail[0] ? got->detail : "there is no TXT record");
    answer_all(d, STS_POLICY, d->kept, STS_FAILURE_NONE, "");
}

static int64_t believe_until(struct cached_domain *d, const struct fetch_answer *got,
                             bool is_outage, int64_t now)
{
    /* In an outage of ours nothing is learnt of the destination. */
    if (d->is_unreached && is_outage)
        return now + BELIEVE_UNKNOWN_MIN;
    if (got->result == FETCH_UNKNOWN)
        return now + doubled(BELIEVE_UNKNOWN_MIN, d->unknowns++, BELIEVE_UNKNOWN_MAX);
    d->unknowns = 0;
    if (got->none_until == 0)
        return now + BELIEVE_NONE;
    int64_t ttl = got->none_until - now;
    return now + (ttl < BELIEVE_DENIAL_MIN   ? BELIEVE_DENIAL_MIN
                  : ttl > BELIEVE_DENIAL_MAX ? BELIEVE_DENIAL_MAX
                                             : ttl);
}

static void take_nothing(struct sts *s, struct cached_domain *d, const struct fetch_answer *got)
{
    int64_t now = now_of(s);
    if (d->is_blind) {
        answer_all(d, STS_OUR_FAULT, NULL, STS_FAILURE_NONE, BLIND);
        return;
    }
    if (got->result != FETCH_OUR_FAULT) {
        d->negative = got->result;
        d->failure = got->failure;
        d->is_unreached = got->asked && !got->is_reached;
        d->outages_ended = s->outage.ended;
        d->negative_until = believe_until(d, got, s->outage.is_on, now);
        snprintf(d->detail, sizeof d->detail, "%s", got->detail);
    }
    if (got->detail[0])
        tell(s, d, got->result == FETCH_OUR_FAULT ? EVENT_WARNING : EVENT_INFO,
             got->result == FETCH_NONE ? "no policy" : "unknown", got->detail);
    if (got->asked && !got->is_reached && s->outage.is_on)
        answer_all(d, STS_OUR_FAULT, NULL, STS_FAILURE_NONE, OUTAGE);
    else
        answer_all(d, status_of(got->result), NULL, got->failure, got->detail);
}

/* Whoever keeps an answer asks anew when that changes. */
static void note_reach(struct sts *s, const struct fetch_answer *got)
{
    if (!got->asked || !outage_note(&s->outage, got->asked, got->is_reached, now_of(s)))
        return;
    atomic_fetch_add(&s->changes, 1);
    if (s->outage.is_on)
        EVENT(s->events, EVENT_ERROR, "sts", FIELD(KEY_STATE, "outage"), FIELD(KEY_REASON, OUTAGE),
              FIELD(KEY_ERROR, got->detail));
    else
        EVENT(s->events, EVENT_INFO, "sts", FIELD(KEY_STATE, "outage over"));
}

static void look(struct sts *s, struct cached_domain *d, bool is_insisting);

static void fetched(void *context, struct fetch_answer *got)
{
    struct cached_domain *d = context;
    struct sts *s = d->owner;
    d->fetch = NULL;
    s->looks_late -= d->is_late;
    d->is_late = false;
    s->looks_behind -= d->is_behind;
    note_reach(s, got);
    if (got->result == FETCH_POLICY) {
        take_policy(s, d, &got->policy);
    } else if (got->result == FETCH_SAME && !cached_is_in_force(d, now_of(s))) {
        /* The policy ended during this very look: the next one knows no id. */
        look(s, d, false);
    } else if (!cached_is_in_force(d, now_of(s))) {
        take_nothing(s, d, got);
    } else if (got->result == FETCH_SAME) {
        note_success(d);
        d->checked_at = now_of(s);
        answer_all(d, STS_POLICY, d->kept, STS_FAILURE_NONE, "");
    } else {
        keep_policy(s, d, got);
    }
}

static void give_up_turn(struct sts *s, struct cached_domain *d)
{
    fetch_cancel(d->fetch);
    d->fetch = NULL;
    s->looks_behind -= d->is_behind;
    if (cached_is_in_force(d, now_of(s)))
        keep_policy(s, d, &(struct fetch_answer){.detail = WAITS});
}

/* For its turn may take long. */
static void answer_who_waits(struct cached_domain *d)
{
    struct sts *s = d->owner;
    if (cached_is_in_force(d, now_of(s)))
        answer_all(d, STS_POLICY, d->kept, STS_FAILURE_NONE, "");
    else if (d->is_blind || s->outage.is_on)
        answer_all(d, STS_OUR_FAULT, NULL, STS_FAILURE_NONE, d->is_blind ? BLIND : OUTAGE);
    else
        answer_all(d, STS_UNKNOWN, NULL, STS_FAILURE_FETCH, WAITS);
}

static void wait_long(void *context)
{
    struct cached_domain *d = context;
    struct sts *s = d->owner;
    /* Few looks behind may be under way: one operator's, that wait, must not keep out all others',
     * be they asked for meanwhile or not. And whose domains are without end must not fill the
     * memory with looks. */
    if ((d->is_behind && TAILQ_EMPTY(&d->questions)) || s->looks_late == LOOKS_LATE_MAX) {
        give_up_turn(s, d);
    } else {
        s->looks_behind -= d->is_behind;
        d->is_behind = false;
        d->is_late = true;
        s->looks_late++;
    }
    answer_who_waits(d);
}

/* --- looks: which, and when --- */

static bool is_refresh_due(const struct cached_domain *d, int64_t now)
{
    return !cached_is_in_force(d, now) || now >= d->refresh_at;
}

static void look(struct sts *s, struct cached_domain *d, bool is_insisting)
{
    if (!d->fetch) {
        d->owner = s;
        d->is_behind = TAILQ_EMPTY(&d->questions);
        s->looks_behind += d->is_behind;
        d->fetch = fetch_start(&s->settings, d->name,
                               is_refresh_due(d, now_of(s)) ? "" : d->kept->policy.id, fetched, d);
    }
    if (is_insisting)
        fetch_insist(d->fetch);
}

/* A policy is in force and answers; is it time to look whether it still is the domain's? */
static void look_behind(struct sts *s, struct cached_domain *d)
{
    int64_t now = now_of(s);
    bool is_due = now >= d->refresh_at || now >= d->checked_at + CHECK_AFTER;
    if (is_due && !s->is_retired && now >= d->retry_at && s->looks_behind < LOOKS_BEHIND_MAX)
        look(s, d, false);
}

static void wait_for_look(struct sts *s, struct cached_domain *d, struct sts_question *q,
                          bool is_insisting)
{
    TAILQ_INSERT_TAIL(&d->questions, q, entry);
    look(s, d, is_insisting);
    if (d->is_late)
        answer_who_waits(d);
}

static bool may_refetch(struct cached_domain *d, int64_t now)
{
    if (d->refetched_at != 0 && now < d->refetched_at + REFETCH_AFTER && now >= d->refetched_at)
        return false;
    d->refetched_at = now;
    return true;
}

/* What was learnt before or in an outage, which is over, says nothing. */
static bool is_negative_good(const struct sts *s, struct cached_domain *d, int64_t now)
{
    if (now < d->negative_until && d->is_unreached && d->outages_ended != s->outage.ended) {
        d->negative_until = 0;
        d->unknowns = 0;
    }
    return now < d->negative_until;
}

static void consider(struct sts *s, struct sts_question *q)
{
    int64_t now = now_of(s);
    if (!fetch_fits(q->domain)) {
        answer(q, STS_NONE, NULL, STS_FAILURE_NONE, "");
        return;
    }
    struct cached_domain *d = cache_find(&s->cache, q->domain, now);
    if (q->how == STS_REFETCH && may_refetch(d, now)) {
        wait_for_look(s, d, q, true);
    } else if (cached_is_in_force(d, now)) {
        answer(q, STS_POLICY, d->kept, STS_FAILURE_NONE, "");
        look_behind(s, d);
    } else if (is_negative_good(s, d, now)) {
        if (d->is_unreached && s->outage.is_on)
            answer(q, STS_OUR_FAULT, NULL, STS_FAILURE_NONE, OUTAGE);
        else
            answer(q, status_of(d->negative), NULL, d->failure, d->detail);
    } else {
        wait_for_look(s, d, q, false);
    }
}

/* --- refreshing what nobody asks for --- */

static bool refresh(void *context, const struct queue_policy *stored)
{
    struct sts *s = context;
    int64_t now = now_of(s);
    const struct cached_domain *known = cache_peek(&s->cache, stored->domain);
    if (s->looks_behind >= LOOKS_BEHIND_MAX)
        return false;
    if (now < stored->refresh_at || now >= stored->expires_at)
        return true;
    /* What memory knows is newer: a refresh whose commit is under way, a failure. */
    if (known &&
        (known->fetch || now < known->retry_at || (known->kept && now < known->refresh_at)))
        return true;
    struct cached_domain *d = cache_find(&s->cache, stored->domain, now);
    if (cached_is_in_force(d, now))
        look_behind(s, d);
    return true;
}

/* In parts: the store may have very many, and this is the loop of the mail. */
static void sweep_policies(void *context)
{
    struct sts *s = context;
    bool has_more = true;
    if (s->looks_behind < LOOKS_BEHIND_MAX)
        has_more = queue_policies_walk_some(s->cache.queue, s->swept, SWEEP_BATCH, refresh, s);
    bool is_full = s->looks_behind >= LOOKS_BEHIND_MAX;
    loop_timer_start(s->sweep, !has_more ? SWEEP_MS : is_full ? SWEEP_FULL_MS : SWEEP_MORE_MS);
}

/* --- from outside --- */

static void fold(const char *domain, char out[DOMAIN_SIZE])
{
    struct slice name = slice_of(domain);
    if (name.len > 1 && name.data[name.len - 1] == '.')
        name.len--;
    /* One that does not fit is "", which has no policy. */
    (void)!slice_copy(name, out, DOMAIN_SIZE);
    for (char *c = out; *c; c++)
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + ('a' - 'A') : *c);
}

static void start(void *argument)
{
    struct sts_question *q = argument;
    struct sts *s = q->sts;
    if (s->is_ended)
        answer(q, STS_OUR_FAULT, NULL, STS_FAILURE_NONE, "MTA-STS was stopped");
    else if (atomic_load(&q->state) == QUESTION_CANCELLED)
        question_unref(q);
    else
        consider(s, q);
    sts_unref(s);
}

struct sts_question *sts_find(struct sts *s, struct loop *l, const char *domain, enum sts_how how,
                              void (*found)(void *context, const struct sts_answer *answer),
                              void *context)
{
    struct sts_question *q = xalloc(sizeof *q);
    atomic_init(&q->refs, 2);
    atomic_init(&q->state, QUESTION_RUNNING);
    q->loop = l;
    q->sts = s;
    q->how = how;
    q->found = found;
    q->context = context;
    fold(domain, q->domain);
    atomic_fetch_add(&s->refs, 1);
    loop_post(s->home, start, q);
    return q;
}

void sts_cancel(struct sts_question *q)
{
    /* Answered: deliver() is on its way on this very thread, sees the state and lets go. Else the
     * home loop will find nobody to deliver to. */
    if (atomic_exchange(&q->state, QUESTION_CANCELLED) == QUESTION_RUNNING)
        question_unref(q);
}

unsigned sts_changes(const struct sts *s)
{
    return atomic_load(&s->changes);
}

struct forgetting {
    struct sts *sts;
    char domain[DOMAIN_SIZE];
};

static void forget(void *argument)
{
    struct forgetting *f = argument;
    if (!f->sts->is_ended)
        cache_forget(&f->sts->cache, f->domain);
    atomic_fetch_add(&f->sts->changes, 1);
    sts_unref(f->sts);
    free(f);
}

void sts_forget(struct sts *s, const char *domain)
{
    struct forgetting *f = xalloc(sizeof *f);
    f->sts = s;
    fold(domain, f->domain);
    atomic_fetch_add(&s->refs, 1);
    loop_post(s->home, forget, f);
}

/* --- the world as it is --- */

static struct dns_question *find_txt(void *context, const char *name,
                                     void (*found)(void *asker, const struct dns_txt *txt),
                                     void *asker)
{
    struct sts *s = context;
    return dns_find_txt(s->dns, s->home, name, found, asker);
}

static struct dns_question *find_host(void *context, const char *host,
                                      void (*found)(void *asker, const struct dns_host *host),
                                      void *asker)
{
    struct sts *s = context;
    return dns_find_host(s->dns, s->home, host, 0, s->ip_version, found, asker);
}

static void cancel_dns(void *context, struct dns_question *question)
{
    (void)context;
    dns_cancel(question);
}

static int64_t wall_clock(void *context)
{
    (void)context;
    return date_now();
}

static uint32_t chance(void *context)
{
    uint32_t number;
    (void)context;
    if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
        panic("getrandom failed");
    return number;
}

struct sts *sts_new(struct loop *home, const struct sts_options *o)
{
    struct sts *s = xalloc(sizeof *s);
    https_begin();
    atomic_init(&s->refs, 1);
    s->home = home;
    s->dns = o->dns;
    s->ip_version = o->ip_version;
    s->events = o->events;
    s->outside = o->outside ? *o->outside
                            : (struct sts_outside){.find_txt = find_txt,
                                                   .find_host = find_host,
                                                   .cancel = cancel_dns,
                                                   .now = wall_clock,
                                                   .random = chance,
                                                   .context = s,
                                                   .port = 443};
    s->ca_file = xstrdup(o->ca_file);
    s->blocked = xalloc((o->blocked_count + 1) * sizeof *s->blocked);
    if (o->blocked_count > 0)
        memcpy(s->blocked, o->blocked, o->blocked_count * sizeof *s->blocked);
    s->turns = turns_new(home, s->outside.patience_ms > 0 ? s->outside.patience_ms : PATIENCE_MS);
    s->settings = (struct fetch_settings){.home = home,
                                          .outside = &s->outside,
                                          .turns = s->turns,
                                          .late = wait_long,
                                          .ca_file = s->ca_file,
                                          .blocked = s->blocked,
                                          .blocked_count = o->blocked_count};
    cache_init(&s->cache, o->queue);
    s->sweep = loop_timer_new(home, sweep_policies, s);
    loop_timer_start(s->sweep, SWEEP_FIRST_MS);
    return s;
}

void sts_retire(struct sts *s)
{
    s->is_retired = true;
    loop_timer_stop(s->sweep);
}

void sts_free(struct sts *s)
{
    struct cached_domain *d;
    if (!s)
        return;
    s->is_ended = true;
    loop_timer_free(s->sweep);
    turns_stop(s->turns);
    TAILQ_FOREACH(d, &s->cache.used, used)
    {
        fetch_cancel(d->fetch);
        answer_all(d, STS_OUR_FAULT, NULL, STS_FAILURE_NONE, "MTA-STS was stopped");
    }
    cache_clear(&s->cache);
    turns_free(s->turns);
    free(s->ca_file);
    free(s->blocked);
    sts_unref(s);
}
