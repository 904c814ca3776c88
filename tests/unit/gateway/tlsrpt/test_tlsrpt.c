/* The engine between a store, a resolver, collectors and a clock of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>

#include "gateway/net/loop.h"
#include "gateway/sts/https.h"
#include "gateway/tlsrpt/document.h"
#include "gateway/tlsrpt/tlsrpt.h"
#include "queue/tlsrpt.h"

enum { DOMAINS_MAX = 700, DAY = 20779, DAY_SECONDS = 86400, HOUR = 3600 };
enum { QUIET_LOOKS = 10, WAIT_MAX_MS = 20000 };

struct counted {
    char domain[32];
    bool is_removed;
    unsigned asked, posted, removals;
};

struct pending {
    struct pending *next;
    void (*run)(struct pending *p);
    void *found; /* one of the callbacks, as a pointer to it */
    void *asker;
    struct counted *about;
    int error;
};

static struct {
    struct loop *loop;
    struct tlsrpt *tlsrpt;
    int64_t now;
    struct counted list[DOMAINS_MAX];
    size_t count;
    const char *txt;              /* "" none; NULL: the look-up fails */
    const char *address;          /* of collectors */
    bool holds_txt, holds_remove; /* answers wait for the test */
    struct pending *held;
    unsigned running, most, cancelled, looks, mails, posts;
    unsigned post_code;
    int remove_error;
    struct dns *asked_dns;
    bool is_stopped;
    unsigned flying;  /* answers and jobs on their way; held ones are not */
    unsigned clocked; /* how often the engine looked at the clock */
    unsigned stirred; /* `clocked` when anything last happened */
    char wrong[200];  /* the first claim that did not hold while the loop ran */
} w;

/* A claim made inside a callback. One of cmocka's would jump out of the loop and leave its handles
 * open, and loop_free() would then abort the program instead of telling what is wrong. */
#define EXPECT(claim) expect((claim), #claim, __LINE__)
static void expect(bool holds, const char *claim, int line)
{
    if (!holds && !w.wrong[0])
        snprintf(w.wrong, sizeof w.wrong, "line %d: %s", line, claim);
}

static void stir(void)
{
    w.stirred = w.clocked;
}

/* ---- what is wrapped ---- */

int64_t __wrap_date_now(void);
int64_t __wrap_date_now(void)
{
    w.clocked++;
    return w.now;
}

void __real_loop_timer_start(struct loop_timer *t, int64_t in_ms);
void __wrap_loop_timer_start(struct loop_timer *t, int64_t in_ms);
void __wrap_loop_timer_start(struct loop_timer *t, int64_t in_ms)
{
    __real_loop_timer_start(t, in_ms > 0 ? 1 : 0);
}

void __wrap_queue_tlsrpt_due(struct queue *q, uint32_t before_day, queue_tlsrpt_due_visit *visit,
                             void *context);
void __wrap_queue_tlsrpt_due(struct queue *q, uint32_t before_day, queue_tlsrpt_due_visit *visit,
                             void *context)
{
    (void)q;
    stir();
    w.looks++;
    for (size_t i = 0; i < w.count; i++)
        if (!w.list[i].is_removed && before_day > DAY && !visit(context, w.list[i].domain, DAY))
            return;
}

void __wrap_queue_tlsrpt_read(struct queue *q, const char *domain, uint32_t day,
                              queue_tlsrpt_visit *visit, void *context);
void __wrap_queue_tlsrpt_read(struct queue *q, const char *domain, uint32_t day,
                              queue_tlsrpt_visit *visit, void *context)
{
    struct queue_tlsrpt_policy p = {.strings = NULL, .mx_hosts = NULL, .successes = 1};
    (void)q;
    (void)domain;
    (void)day;
    (void)visit(context, &p, NULL);
}

static struct counted *counted_of(const char *domain)
{
    for (size_t i = 0; i < w.count; i++)
        if (strcmp(w.list[i].domain, domain) == 0)
            return &w.list[i];
    expect(false, "the domain is one of the test's", __LINE__);
    return &w.list[0];
}

static void run_pending(void *argument)
{
    struct pending *p = argument;
    w.flying--;
    stir();
    p->run(p);
    free(p);
}

static void fly(struct pending *p)
{
    w.flying++;
    loop_post(w.loop, run_pending, p);
}

/* Answers with a turn of its own, or when the test lets go of it. */
static struct pending *answer_later(struct pending p, bool is_held)
{
    struct pending *copy = xalloc(sizeof *copy);
    *copy = p;
    stir();
    if (is_held) {
        copy->next = w.held;
        w.held = copy;
    } else {
        fly(copy);
    }
    return copy;
}

static void let_go(void)
{
    while (w.held) {
        struct pending *p = w.held;
        w.held = p->next;
        fly(p);
    }
}

static void answer_txt(struct pending *p)
{
    void (*found)(void *context, const struct dns_txt *txt);
    struct slice text = slice_of(w.txt);
    struct dns_txt txt = {.status = DNS_DATA, .count = 1, .texts = &text};
    if (!w.txt)
        txt = (struct dns_txt){.status = DNS_FAILED, .detail = "timed out"};
    else if (text.len == 0)
        txt = (struct dns_txt){.status = DNS_NODATA};
    memcpy(&found, &p->found, sizeof found);
    w.running--;
    found(p->asker, &txt);
}

struct dns_question *__wrap_dns_find_txt(struct dns *d, struct loop *l, const char *name,
                                         void (*found)(void *context, const struct dns_txt *txt),
                                         void *context);
struct dns_question *__wrap_dns_find_txt(struct dns *d, struct loop *l, const char *name,
                                         void (*found)(void *context, const struct dns_txt *txt),
                                         void *context)
{
    (void)l;
    EXPECT(strncmp(name, "_smtp._tls.", 11) == 0);
    struct pending p = {.run = answer_txt, .asker = context, .about = counted_of(name + 11)};
    memcpy(&p.found, &found, sizeof found);
    p.about->asked++;
    w.asked_dns = d;
    w.running++;
    w.most = w.running > w.most ? w.running : w.most;
    return (struct dns_question *)answer_later(p, w.holds_txt);
}

static void answer_nobody(struct pending *p)
{
    (void)p;
}

void __wrap_dns_cancel(struct dns_question *q);
void __wrap_dns_cancel(struct dns_question *q)
{
    struct pending *p = (struct pending *)q;
    struct pending **at = &w.held;
    while (*at && *at != p)
        at = &(*at)->next;
    EXPECT(*at == p); /* the test holds all that is cancelled */
    if (*at) {
        *at = p->next;
        free(p);
    } else {
        p->run = answer_nobody;
    }
    w.running--;
    w.cancelled++;
}

static void answer_host(struct pending *p)
{
    void (*found)(void *context, const struct dns_host *host);
    struct net_address address;
    struct dns_host host = {.status = DNS_DATA, .address_count = 1, .addresses = &address};
    EXPECT(net_address_parse(slice_of(w.address), &address));
    memcpy(&found, &p->found, sizeof found);
    found(p->asker, &host);
}

struct dns_question *__wrap_dns_find_host(struct dns *d, struct loop *l, const char *host,
                                          uint16_t port, int ip_version,
                                          void (*found)(void *context, const struct dns_host *host),
                                          void *context);
struct dns_question *__wrap_dns_find_host(struct dns *d, struct loop *l, const char *host,
                                          uint16_t port, int ip_version,
                                          void (*found)(void *context, const struct dns_host *host),
                                          void *context)
{
    struct pending p = {.run = answer_host, .asker = context};
    (void)d;
    (void)l;
    (void)ip_version;
    EXPECT(strcmp(host, "c.example") == 0);
    EXPECT(port == 0);
    memcpy(&p.found, &found, sizeof found);
    return (struct dns_question *)answer_later(p, false);
}

static void answer_post(struct pending *p)
{
    void (*done)(void *context, const struct https_answer *answer);
    struct https_answer answer = {.status = HTTPS_ANSWERED, .code = w.post_code};
    memcpy(&done, &p->found, sizeof done);
    done(p->asker, &answer);
}

struct https_request *
__wrap_https_start(struct loop *l, const struct https_call *call,
                   void (*done)(void *context, const struct https_answer *answer), void *context);
struct https_request *
__wrap_https_start(struct loop *l, const struct https_call *call,
                   void (*done)(void *context, const struct https_answer *answer), void *context)
{
    struct pending p = {.run = answer_post, .asker = context};
    (void)l;
    EXPECT(strcmp(call->content_type, "application/tlsrpt+gzip") == 0);
    EXPECT(call->body.len > 20 && call->address_count == 1);
    memcpy(&p.found, &done, sizeof done);
    w.posts++;
    return (struct https_request *)answer_later(p, false);
}

static void answer_remove(struct pending *p)
{
    queue_done *done;
    memcpy(&done, &p->found, sizeof done);
    if (p->error == 0)
        p->about->is_removed = true;
    done(p->asker, p->error);
}

void __wrap_queue_tlsrpt_remove(struct queue *q, const char *domain, uint32_t day,
                                const struct queue_poster *poster, queue_done *done, void *context);
void __wrap_queue_tlsrpt_remove(struct queue *q, const char *domain, uint32_t day,
                                const struct queue_poster *poster, queue_done *done, void *context)
{
    struct pending p = {.run = answer_remove,
                        .asker = context,
                        .about = counted_of(domain),
                        .error = w.remove_error};
    (void)q;
    (void)poster;
    EXPECT(day == DAY);
    memcpy(&p.found, &done, sizeof done);
    p.about->removals++;
    (void)answer_later(p, w.holds_remove);
}

struct job {
    void (*work)(void *context);
    void (*done)(void *context);
    void *context;
};

static void job_work(void *context)
{
    const struct job *j = context;
    j->work(j->context);
}

static void job_done(void *context)
{
    struct job *j = context;
    w.flying--;
    stir();
    j->done(j->context);
    free(j);
}

bool __real_loop_job(struct loop *l, void (*work)(void *context), void (*done)(void *context),
                     void *context);
bool __wrap_loop_job(struct loop *l, void (*work)(void *context), void (*done)(void *context),
                     void *context);
bool __wrap_loop_job(struct loop *l, void (*work)(void *context), void (*done)(void *context),
                     void *context)
{
    struct job *j = xalloc(sizeof *j);
    *j = (struct job){work, done, context};
    w.flying++;
    stir();
    return __real_loop_job(l, job_work, job_done, j);
}

/* ---- the test's hand ---- */

static struct net_network blocked;
static const struct tlsrpt_settings settings = {
    .organization = "Company-X",
    .contact = "contact@x.example",
    .from = "from@x.example",
    .hostname = "mail.x.example",
    .spread_ms = 0,
    .ca_file = "",
    .blocked = &blocked,
    .blocked_count = 1,
};

static int begin(void **state)
{
    (void)state;
    memset(&w, 0, sizeof w);
    w.loop = loop_new();
    w.txt = "v=TLSRPTv1; rua=https://c.example/";
    w.address = "192.0.2.1";
    w.post_code = 200;
    w.now = ((int64_t)DAY + 1) * DAY_SECONDS + HOUR;
    return w.loop && net_network_parse(SLICE("127.0.0.0/8"), &blocked) ? 0 : -1;
}

static void add(size_t count)
{
    w.count = count;
    for (size_t i = 0; i < count; i++)
        snprintf(w.list[i].domain, sizeof w.list[i].domain, "d%zu.example", i);
}

static void open_engine(const struct tlsrpt_settings *s)
{
    struct tlsrpt_options o = {.loop = w.loop, .dns = (struct dns *)&w.count, .settings = s};
    w.tlsrpt = tlsrpt_new(&o);
    assert_non_null(w.tlsrpt);
}

static void end_run(void *context)
{
    (void)context;
    loop_stop(w.loop);
}

struct turn {
    struct loop_timer *timer;
    int64_t deadline_ms;
    void (*then)(void);
};

/* Nothing is on its way, and the engine has looked at the clock often enough since then to begin
 * whatever it has to begin. */
static bool is_quiet(void)
{
    return w.flying == 0 && w.clocked - w.stirred >= QUIET_LOOKS;
}

static void take_turn(void *context)
{
    struct turn *t = context;
    bool is_late = loop_now_ms(w.loop) >= t->deadline_ms;
    if (!is_quiet() && !is_late && !w.wrong[0]) {
        __real_loop_timer_start(t->timer, 1);
        return;
    }
    EXPECT(is_quiet());
    loop_timer_free(t->timer);
    t->then();
    free(t);
}

/* After the engine has done all that it can do by itself, however long that takes here. */
static void when_quiet(void (*then)(void))
{
    struct turn *t = xalloc(sizeof *t);
    stir();
    t->then = then;
    t->deadline_ms = loop_now_ms(w.loop) + WAIT_MAX_MS;
    t->timer = loop_timer_new(w.loop, take_turn, t);
    __real_loop_timer_start(t->timer, 1);
}

static void run(void (*then)(void))
{
    when_quiet(then);
    loop_run(w.loop);
    if (w.wrong[0])
        fail_msg("%s", w.wrong);
}

static void stopped(void *context)
{
    (void)context;
    w.is_stopped = true;
}

static void free_engine(void *context)
{
    (void)context;
    if (!w.is_stopped) {
        loop_post(w.loop, free_engine, NULL);
        return;
    }
    tlsrpt_free(w.tlsrpt);
    end_run(NULL);
}

static void close_engine(void)
{
    tlsrpt_stop(w.tlsrpt, stopped, NULL);
    free_engine(NULL);
}

static int finish(void **state)
{
    (void)state;
    loop_free(w.loop);
    return 0;
}

static size_t removed_count(void)
{
    size_t removed = 0;
    for (size_t i = 0; i < w.count; i++)
        removed += w.list[i].is_removed;
    return removed;
}

/* ---- claims ---- */

static void each_domain_is_asked_once_and_few_at_a_time(void **state)
{
    (void)state;
    add(DOMAINS_MAX);
    w.txt = "";
    open_engine(&settings);
    run(close_engine);
    assert_int_equal(removed_count(), DOMAINS_MAX);
    assert_int_equal(w.most, 8);
    assert_true(w.looks >= 3 && w.looks < 10); /* some hundreds at a time */
    for (size_t i = 0; i < w.count; i++)
        assert_int_equal(w.list[i].asked, 1);
}

static void late_in_the_night(void)
{
    EXPECT(w.list[0].asked == 0 || w.list[0].asked == 1);
    size_t asked = 0;
    for (size_t i = 0; i < w.count; i++)
        asked += w.list[i].asked;
    EXPECT(asked > 10 && asked < 90); /* of 100, at half the time */
    w.now = ((int64_t)DAY + 1) * DAY_SECONDS + 900 + 4 * HOUR;
    when_quiet(close_engine);
}

static void half_the_night(void)
{
    for (size_t i = 0; i < w.count; i++)
        EXPECT(w.list[i].asked == 0);
    w.now = ((int64_t)DAY + 1) * DAY_SECONDS + 900 + 2 * HOUR;
    when_quiet(late_in_the_night);
}

static void reports_are_spread_over_the_night(void **state)
{
    struct tlsrpt_settings s = settings;
    (void)state;
    s.spread_ms = (int64_t)4 * HOUR * 1000;
    add(100);
    w.now = ((int64_t)DAY + 1) * DAY_SECONDS + 899; /* sessions of the day may still be counted */
    open_engine(&s);
    run(half_the_night);
    assert_int_equal(removed_count(), 100);
    assert_int_equal(w.posts, 100);
}

static void a_day_that_is_not_over_waits(void **state)
{
    (void)state;
    add(1);
    w.now = ((int64_t)DAY + 1) * DAY_SECONDS - 1;
    open_engine(&settings);
    run(close_engine);
    assert_int_equal(w.list[0].asked, 0);
}

static void nobody_is_asked_without_an_organization(void **state)
{
    struct tlsrpt_settings s = settings;
    (void)state;
    s.organization = "";
    add(1);
    open_engine(&s);
    run(close_engine);
    assert_int_equal(w.looks, 0);
}

static void five_minutes_later(void)
{
    EXPECT(w.posts == 1);
    EXPECT(w.list[0].removals == 1);
    w.remove_error = 0;
    w.now += 301;
    when_quiet(close_engine);
}

static void what_was_sent_is_not_sent_again_though_the_store_fails(void **state)
{
    (void)state;
    add(1);
    w.remove_error = -EIO;
    open_engine(&settings);
    run(five_minutes_later);
    assert_int_equal(w.posts, 1);
    assert_int_equal(w.list[0].removals, 2);
    assert_int_equal(removed_count(), 1);
}

static unsigned seen_posts[8];
static unsigned waits;

static void back_off(void)
{
    seen_posts[waits++] = w.posts;
    w.now += 301;
    when_quiet(waits < 4 ? back_off : close_engine);
}

static void waits_grow(void **state)
{
    (void)state;
    add(1);
    w.post_code = 500;
    waits = 0;
    open_engine(&settings);
    run(back_off);
    assert_int_equal(seen_posts[0], 1);
    assert_int_equal(seen_posts[1], 2); /* after 5 minutes */
    assert_int_equal(seen_posts[2], 2); /* then after 10 */
    assert_int_equal(seen_posts[3], 3);
    assert_int_equal(removed_count(), 0);
    assert_int_equal(w.list[0].asked, 1); /* where it goes is known */
}

static void collectors_in_blocked_networks_get_nothing(void **state)
{
    (void)state;
    add(1);
    w.address = "127.0.0.1";
    open_engine(&settings);
    run(close_engine);
    assert_int_equal(w.posts, 0);
    assert_int_equal(removed_count(), 0);
}

static void look_ups_that_fail_keep_the_counts(void **state)
{
    (void)state;
    add(3);
    w.txt = NULL;
    open_engine(&settings);
    run(close_engine);
    assert_int_equal(removed_count(), 0);
    assert_int_equal(w.list[0].asked, 1);
}

static void old_age(void)
{
    w.now = ((int64_t)DAY + 1) * DAY_SECONDS + (int64_t)48 * HOUR;
    when_quiet(close_engine);
}

static void what_is_two_days_old_is_given_up(void **state)
{
    (void)state;
    add(1);
    w.txt = NULL;
    open_engine(&settings);
    run(old_age);
    assert_true(w.looks > 1);
    assert_int_equal(w.list[0].asked, 1);
    assert_int_equal(w.list[0].removals, 1);
    assert_int_equal(removed_count(), 1);
}

static void after_midnight(void)
{
    EXPECT(w.list[0].asked == 1);
    w.now += 60; /* another day, and not yet the time to try again */
    when_quiet(close_engine);
}

static void what_waits_is_not_begun_anew_by_the_next_look(void **state)
{
    (void)state;
    add(1);
    w.txt = NULL;
    w.now = ((int64_t)DAY + 2) * DAY_SECONDS - 30;
    open_engine(&settings);
    run(after_midnight);
    assert_true(w.looks > 1);
    assert_int_equal(w.list[0].asked, 1);
}

static void stop_with_questions(void)
{
    EXPECT(w.running == 2);
    tlsrpt_stop(w.tlsrpt, stopped, NULL);
    EXPECT(w.is_stopped);
    free_engine(NULL);
}

static void the_end_waits_for_no_look_up(void **state)
{
    (void)state;
    add(2);
    w.holds_txt = true;
    open_engine(&settings);
    run(stop_with_questions);
    assert_int_equal(w.cancelled, 2);
}

static void stop_with_a_commit(void)
{
    EXPECT(w.held != NULL);
    tlsrpt_stop(w.tlsrpt, stopped, NULL);
    EXPECT(!w.is_stopped);
    let_go();
    free_engine(NULL);
}

static void the_end_waits_for_a_commit(void **state)
{
    (void)state;
    add(1);
    w.holds_remove = true;
    open_engine(&settings);
    run(stop_with_a_commit);
    assert_true(w.is_stopped);
    assert_int_equal(removed_count(), 1);
}

static void reload_with_questions(void)
{
    w.holds_txt = false;
    tlsrpt_reload(w.tlsrpt, &settings, (struct dns *)&w.now);
    EXPECT(w.cancelled == 2);
    EXPECT(w.running == 0);
    when_quiet(close_engine);
}

static void after_a_reload_the_new_resolver_is_asked(void **state)
{
    (void)state;
    add(2);
    w.holds_txt = true;
    open_engine(&settings);
    run(reload_with_questions);
    assert_ptr_equal(w.asked_dns, &w.now);
    assert_int_equal(w.list[0].asked, 2);
    assert_int_equal(removed_count(), 2);
}

#define CLAIM(name) cmocka_unit_test_setup_teardown(name, begin, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(each_domain_is_asked_once_and_few_at_a_time),
        CLAIM(reports_are_spread_over_the_night),
        CLAIM(a_day_that_is_not_over_waits),
        CLAIM(nobody_is_asked_without_an_organization),
        CLAIM(what_was_sent_is_not_sent_again_though_the_store_fails),
        CLAIM(waits_grow),
        CLAIM(collectors_in_blocked_networks_get_nothing),
        CLAIM(look_ups_that_fail_keep_the_counts),
        CLAIM(what_is_two_days_old_is_given_up),
        CLAIM(what_waits_is_not_begun_anew_by_the_next_look),
        CLAIM(the_end_waits_for_no_look_up),
        CLAIM(the_end_waits_for_a_commit),
        CLAIM(after_a_reload_the_new_resolver_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
