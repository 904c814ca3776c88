/* resolver.c - libunbound on the home loop, and look-ups from any loop.
 *
 * Threads. A look-up runs on the home loop from its first question to its last; it crosses threads
 * twice, as a posted start and as a posted result, and no lock exists. A struct dns_question has
 * two owners, its asker and the home loop, each of which lets go once; `state` settles on the
 * asker's thread whether the result is still wanted. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <unbound.h>

#include "gateway/dns/answer.h"
#include "gateway/dns/context.h"
#include "gateway/dns/control.h"
#include "gateway/dns/selftest.h"
#include "gateway/dns/dns.h"
#include "gateway/dns/host.h"
#include "gateway/dns/message.h"
#include "gateway/dns/mx.h"
#include "gateway/dns/txt.h"
#include "mail/date.h"

#define GIVE_UP_MS 20000
#define CLASS_IN 1

/* One question at libunbound. */
struct query {
    TAILQ_ENTRY(query) entry;
    struct dns *dns;     /* borrowed */
    struct dns_ask *ask; /* borrowed from the look-up */
    int number;          /* libunbound's, to cancel it */
    int64_t deadline_ms;
    /* A failure: of a question that was not taken, or that waits for the control question. */
    enum dns_status status;
    char detail[DNS_DETAIL_SIZE];
    struct control_wait wait;
};
TAILQ_HEAD(queries, query);

enum question_state {
    QUESTION_RUNNING,   /* the home loop works on it */
    QUESTION_ANSWERED,  /* the result is on its way to the asker's loop */
    QUESTION_CANCELLED, /* the asker does not want it any more */
};

/* One dns_find_...(). */
struct dns_question {
    atomic_int refs;
    _Atomic enum question_state state;
    struct loop *loop; /* the asker's; borrowed */
    struct dns *dns;   /* home loop only */
    TAILQ_ENTRY(dns_question) entry;
    char name[DOMAIN_SIZE];
    uint16_t port;
    int ip_version;
    /* Set is the one that was asked for. */
    void (*found_mx)(void *context, const struct dns_mx *mx);
    void (*found_host)(void *context, const struct dns_host *host);
    void (*found_txt)(void *context, const struct dns_txt *txt);
    void *context;
    union {
        struct mx_lookup mx;
        struct host_lookup host;
        struct txt_lookup txt;
    };
};
TAILQ_HEAD(questions, dns_question);

struct dns {
    atomic_int refs; /* of the memory: one until dns_free(), one for each start on its way */
    struct loop *home;
    const struct event_sink *events;
    struct ub_ctx *ctx; /* NULL after dns_free() */
    struct loop_watch *watch;
    struct loop_timer *timer;
    bool is_broken;         /* libunbound's thread does not speak to us any more */
    struct queries asked;   /* at libunbound, in order of deadline */
    struct queries refused; /* not taken by it; told at the next turn */
    struct queries doubted; /* failed; wait for the control question */
    struct questions questions;
    struct dns_asker asker;
    struct control control;
    struct self_test self_test;
    struct loop_timer *self_test_timer;
};

static void dns_unref(struct dns *d)
{
    if (atomic_fetch_sub(&d->refs, 1) == 1)
        free(d);
}

/* --- questions to libunbound; home loop --- */

static void arm(struct dns *d)
{
    if (!TAILQ_EMPTY(&d->refused))
        loop_timer_start(d->timer, 0);
    else if (!TAILQ_EMPTY(&d->asked))
        loop_timer_start(d->timer, TAILQ_FIRST(&d->asked)->deadline_ms - loop_now_ms(d->home));
    else
        loop_timer_stop(d->timer);
}

/* The query is on no list any more. */
static void hand_out(struct query *q, const struct dns_answer *answer)
{
    q->ask->answered(q->ask->context, q->ask, answer);
    free(q);
}

/* A failure, or a name that libunbound does not even take for one. */
static void hand_out_status(struct query *q)
{
    struct dns_answer answer = {.status = q->status, .canonical = "", .detail = q->detail};
    if (q->status == DNS_NXDOMAIN) {
        answer.security = DNS_SECURE;
        answer.expires_at = date_now() + 3600;
    }
    hand_out(q, &answer);
}

static void control_told(void *context, bool is_our_fault, const char *why)
{
    struct query *q = context;
    TAILQ_REMOVE(&q->dns->doubted, q, entry);
    if (is_our_fault) {
        q->status = DNS_OUR_FAULT;
        snprintf(q->detail, sizeof q->detail, "%s", why);
    }
    hand_out_status(q);
}

/* Failed or bogus: the destination's doing only if the rest of DNS works for us. */
static void hand_out_doubtful(struct query *q)
{
    struct dns *d = q->dns;
    bool is_own = q->ask == &d->control.ask || self_test_owns(&d->self_test, q->ask);
    if (is_own || control_is_fresh(&d->control)) {
        hand_out_status(q);
        return;
    }
    TAILQ_INSERT_TAIL(&d->doubted, q, entry);
    q->wait.told = control_told;
    q->wait.context = q;
    control_join(&d->control, &q->wait);
}

static size_t count_records(const struct ub_result *result)
{
    size_t count = 0;
    while (result->data && result->data[count])
        count++;
    return count;
}

static void hand_out_words(struct query *q, enum dns_status status, const struct ub_result *result)
{
    char canonical[DOMAIN_SIZE] = "";
    if (result->canonname && !dns_fold_name(slice_of(result->canonname), canonical)) {
        q->status = DNS_FAILED;
        snprintf(q->detail, sizeof q->detail, "an alias for a name that is too long");
        hand_out_doubtful(q);
        return;
    }
    size_t count = status == DNS_DATA ? count_records(result) : 0;
    struct slice *records = xalloc((count + 1) * sizeof *records);
    for (size_t i = 0; i < count; i++)
        records[i] = (struct slice){result->data[i], (size_t)result->len[i]};
    struct dns_answer answer = {
        .status = status,
        .security = result->secure ? DNS_SECURE : DNS_INSECURE,
        .expires_at = date_now() + (result->ttl > 0 ? result->ttl : 0),
        .canonical = canonical,
        .detail = "",
        .count = count,
        .records = records,
    };
    hand_out(q, &answer);
    free(records);
}

static void explain_failure(struct query *q, int error, const struct ub_result *result)
{
    const char *why;
    if (error != 0 || !result)
        why = ub_strerror(error);
    else if (q->status == DNS_BOGUS)
        why = result->why_bogus ? result->why_bogus : "validation failure";
    else
        why = dns_rcode_name(result->rcode);
    snprintf(q->detail, sizeof q->detail, "%s", why);
}

static void library_answered(void *context, int error, struct ub_result *result)
{
    struct query *q = context;
    TAILQ_REMOVE(&q->dns->asked, q, entry);
    struct dns_raw_answer raw = {.error = error ? error : (result ? 0 : UB_NOMEM)};
    if (result) {
        raw.rcode = result->rcode;
        raw.is_bogus = result->bogus;
        raw.has_data = result->havedata;
    }
    q->status = dns_answer_status(&raw);
    if (error == UB_SYNTAX) {
        /* Too long, or a label that is: what cannot be a name cannot exist. */
        q->status = DNS_NXDOMAIN;
        hand_out_status(q);
    } else if (!result || q->status == DNS_FAILED || q->status == DNS_BOGUS) {
        explain_failure(q, raw.error, result);
        hand_out_doubtful(q);
    } else {
        hand_out_words(q, q->status, result);
    }
    ub_resolve_free(result);
}

static void refuse(struct query *q, const char *why)
{
    q->status = DNS_OUR_FAULT;
    snprintf(q->detail, sizeof q->detail, "%s", why);
    TAILQ_INSERT_TAIL(&q->dns->refused, q, entry);
    arm(q->dns);
}

static void ask_library(void *context, struct dns_ask *ask)
{
    struct dns *d = context;
    struct query *q = xalloc(sizeof *q);
    q->dns = d;
    q->ask = ask;
    if (d->is_broken) {
        refuse(q, "the resolver is broken");
        return;
    }
    q->deadline_ms = loop_now_ms(d->home) + GIVE_UP_MS;
    int error =
        ub_resolve_async(d->ctx, ask->name, ask->type, CLASS_IN, q, library_answered, &q->number);
    if (error != 0) {
        refuse(q, ub_strerror(error));
    } else {
        TAILQ_INSERT_TAIL(&d->asked, q, entry);
        arm(d);
    }
}

static int64_t clock_ms(void *context)
{
    struct dns *d = context;
    return loop_now_ms(d->home);
}

static void give_up(struct query *q)
{
    struct dns *d = q->dns;
    TAILQ_REMOVE(&d->asked, q, entry);
    /* Whatever it returns, library_answered() will not come for this number any more. */
    ub_cancel(d->ctx, q->number);
    q->status = DNS_FAILED;
    snprintf(q->detail, sizeof q->detail, "no answer within %d s", GIVE_UP_MS / 1000);
    hand_out_doubtful(q);
}

static void time_is_up(void *context)
{
    struct dns *d = context;
    struct query *q;
    while ((q = TAILQ_FIRST(&d->refused)) != NULL) {
        TAILQ_REMOVE(&d->refused, q, entry);
        hand_out_status(q);
    }
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it is off the list before it is freed */
    while ((q = TAILQ_FIRST(&d->asked)) != NULL && q->deadline_ms <= loop_now_ms(d->home))
        give_up(q);
    arm(d);
}

/* Its descriptor would stay readable for ever, and no answer can come. */
static void break_down(struct dns *d, int error)
{
    EVENT(d->events, EVENT_ERROR, "resolver", FIELD(KEY_STATE, "broken"),
          FIELD(KEY_REASON, ub_strerror(error)));
    loop_watch_free(d->watch);
    d->watch = NULL;
    d->is_broken = true;
    struct query *q;
    while ((q = TAILQ_FIRST(&d->asked)) != NULL) {
        TAILQ_REMOVE(&d->asked, q, entry);
        ub_cancel(d->ctx, q->number);
        refuse(q, "the resolver is broken");
    }
}

static void library_is_readable(void *context)
{
    struct dns *d = context;
    int error = ub_process(d->ctx);
    if (error != 0)
        break_down(d, error);
}

/* --- look-ups --- */

static void clear_lookup(struct dns_question *q)
{
    if (q->found_mx)
        mx_lookup_clear(&q->mx);
    else if (q->found_host)
        host_lookup_clear(&q->host);
    else
        txt_lookup_clear(&q->txt);
}

static void question_unref(struct dns_question *q)
{
    if (atomic_fetch_sub(&q->refs, 1) != 1)
        return;
    clear_lookup(q);
    free(q);
}

/* Asker's loop. */
static void deliver(void *argument)
{
    struct dns_question *q = argument;
    if (atomic_load(&q->state) != QUESTION_CANCELLED) {
        if (q->found_mx)
            q->found_mx(q->context, &q->mx.mx);
        else if (q->found_host)
            q->found_host(q->context, &q->host.host);
        else
            q->found_txt(q->context, &q->txt.txt);
    }
    question_unref(q);
}

/* Home loop; the last thing it does with the question. */
static void send_result(struct dns_question *q)
{
    enum question_state running = QUESTION_RUNNING;
    if (atomic_compare_exchange_strong(&q->state, &running, QUESTION_ANSWERED))
        loop_post(q->loop, deliver, q);
    question_unref(q);
}

static void mx_done(void *context, struct mx_lookup *lookup)
{
    struct dns_question *q = context;
    (void)lookup;
    TAILQ_REMOVE(&q->dns->questions, q, entry);
    send_result(q);
}

static void host_done(void *context, struct host_lookup *lookup)
{
    struct dns_question *q = context;
    (void)lookup;
    TAILQ_REMOVE(&q->dns->questions, q, entry);
    send_result(q);
}

static void txt_done(void *context, struct txt_lookup *lookup)
{
    struct dns_question *q = context;
    (void)lookup;
    TAILQ_REMOVE(&q->dns->questions, q, entry);
    send_result(q);
}

/* Home loop, the resolver going or gone: the asker is told that it is nobody's fault but ours. */
static void end_stopped(struct dns_question *q)
{
    static const char why[] = "the resolver was stopped";
    clear_lookup(q);
    if (q->found_mx) {
        q->mx.mx = (struct dns_mx){.status = DNS_OUR_FAULT};
        snprintf(q->mx.mx.detail, sizeof q->mx.mx.detail, "%s", why);
    } else if (q->found_host) {
        q->host.host = (struct dns_host){.status = DNS_OUR_FAULT};
        snprintf(q->host.host.detail, sizeof q->host.host.detail, "%s", why);
        snprintf(q->host.host.tlsa_base, sizeof q->host.host.tlsa_base, "%s", q->name);
    } else {
        q->txt.txt = (struct dns_txt){.status = DNS_OUR_FAULT};
        snprintf(q->txt.txt.detail, sizeof q->txt.txt.detail, "%s", why);
    }
    send_result(q);
}

static void start(void *argument)
{
    struct dns_question *q = argument;
    struct dns *d = q->dns;
    if (!d->ctx) {
        end_stopped(q);
    } else if (atomic_load(&q->state) == QUESTION_CANCELLED) {
        question_unref(q);
    } else {
        TAILQ_INSERT_TAIL(&d->questions, q, entry);
        if (q->found_mx)
            mx_lookup_start(&q->mx, &d->asker, q->name, mx_done, q);
        else if (q->found_txt)
            txt_lookup_start(&q->txt, &d->asker, q->name, txt_done, q);
        else
            host_lookup_start(&q->host, &d->asker, q->name, q->port, q->ip_version, host_done, q);
    }
    dns_unref(d);
}

static struct dns_question *question_new(struct dns *d, struct loop *l, const char *name,
                                         void *context)
{
    struct dns_question *q = xalloc(sizeof *q);
    atomic_init(&q->refs, 2);
    atomic_init(&q->state, QUESTION_RUNNING);
    q->loop = l;
    q->dns = d;
    q->context = context;
    snprintf(q->name, sizeof q->name, "%s", name);
    atomic_fetch_add(&d->refs, 1);
    return q;
}

struct dns_question *dns_find_mx(struct dns *d, struct loop *l, const char *domain,
                                 void (*found)(void *context, const struct dns_mx *mx),
                                 void *context)
{
    struct dns_question *q = question_new(d, l, domain, context);
    q->found_mx = found;
    loop_post(d->home, start, q);
    return q;
}

struct dns_question *dns_find_host(struct dns *d, struct loop *l, const char *host, uint16_t port,
                                   int ip_version,
                                   void (*found)(void *context, const struct dns_host *host),
                                   void *context)
{
    struct dns_question *q = question_new(d, l, host, context);
    q->port = port;
    q->ip_version = ip_version;
    q->found_host = found;
    loop_post(d->home, start, q);
    return q;
}

struct dns_question *dns_find_txt(struct dns *d, struct loop *l, const char *name,
                                  void (*found)(void *context, const struct dns_txt *txt),
                                  void *context)
{
    struct dns_question *q = question_new(d, l, name, context);
    q->found_txt = found;
    loop_post(d->home, start, q);
    return q;
}

void dns_cancel(struct dns_question *q)
{
    /* Answered: deliver() is on its way on this very thread, sees the state and lets go. Else the
     * home loop will find nobody to deliver to. */
    if (atomic_exchange(&q->state, QUESTION_CANCELLED) == QUESTION_RUNNING)
        question_unref(q);
}

/* --- the resolver --- */

static void self_tested(void *context)
{
    struct dns *d = context;
    control_suspect(&d->control, self_test_culprit(&d->self_test));
    loop_timer_start(d->self_test_timer, self_test_again_in_ms(&d->self_test));
}

static void self_test_is_due(void *context)
{
    struct dns *d = context;
    self_test_run(&d->self_test);
}

void dns_self_test_words(const struct dns *d, char *out, size_t size)
{
    self_test_words(&d->self_test, out, size);
}

static void first_probe(void *argument)
{
    struct dns *d = argument;
    if (d->ctx) {
        control_probe(&d->control);
        self_test_run(&d->self_test);
    }
    dns_unref(d);
}

static bool attach(struct dns *d, char *error, size_t error_size)
{
    int fd = ub_fd(d->ctx);
    d->watch = fd >= 0 ? loop_watch_new(d->home, fd, library_is_readable, d) : NULL;
    d->timer = loop_timer_new(d->home, time_is_up, d);
    d->self_test_timer = loop_timer_new(d->home, self_test_is_due, d);
    if (d->watch && d->timer && d->self_test_timer)
        return true;
    snprintf(error, error_size, "resolver: out of descriptors or memory");
    return false;
}

struct dns *dns_new(struct loop *home, const struct dns_options *o, char *error, size_t error_size)
{
    struct ub_ctx *ctx = dns_context_new(o, error, error_size);
    if (!ctx)
        return NULL;
    struct dns *d = xalloc(sizeof *d);
    atomic_init(&d->refs, 1);
    d->home = home;
    d->events = o->events;
    d->ctx = ctx;
    TAILQ_INIT(&d->asked);
    TAILQ_INIT(&d->refused);
    TAILQ_INIT(&d->doubted);
    TAILQ_INIT(&d->questions);
    d->asker = (struct dns_asker){.ask = ask_library, .now_ms = clock_ms, .context = d};
    control_init(&d->control, &d->asker, o->events);
    self_test_init(&d->self_test, &d->asker, o->events, o, self_tested, d);
    if (!attach(d, error, error_size)) {
        dns_free(d);
        return NULL;
    }
    /* A broken resolver is told at start, not when the first mail is stuck. */
    atomic_fetch_add(&d->refs, 1);
    loop_post(home, first_probe, d);
    return d;
}

static void drop_queries(struct queries *list)
{
    struct query *q;
    while ((q = TAILQ_FIRST(list)) != NULL) {
        TAILQ_REMOVE(list, q, entry);
        free(q);
    }
}

void dns_free(struct dns *d)
{
    if (!d)
        return;
    loop_watch_free(d->watch);
    loop_timer_free(d->timer);
    loop_timer_free(d->self_test_timer);
    /* Ends libunbound's thread; no callback comes for what was under way. */
    ub_ctx_delete(d->ctx);
    d->ctx = NULL;
    drop_queries(&d->asked);
    drop_queries(&d->refused);
    drop_queries(&d->doubted);
    struct dns_question *q;
    while ((q = TAILQ_FIRST(&d->questions)) != NULL) {
        TAILQ_REMOVE(&d->questions, q, entry);
        end_stopped(q);
    }
    dns_unref(d);
}
