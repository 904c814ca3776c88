/* Foresight between a resolver, probes, a memory, timers and clocks of the test's own. */
#include "gateway/delivery/foresight.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/delivery/probe.h"
#include "gateway/dns/dns.h"

#define NO_TLS "TLS is required, but was not offered by host mx1.a.example[192.0.2.1]"

struct loop_timer {
    void (*fire)(void *context);
    void *context;
    int64_t at_ms; /* -1: stopped */
};

struct probe {
    struct probe_options o;
};

struct dns_question {
    struct dns *dns;
    void (*found)(void *context, const struct dns_mx *mx);
    void *context;
};

static struct {
    int64_t now_ms;
    struct loop_timer *timers[2000];
    struct probe *probes[300]; /* NULL: over */
    size_t probe_count;
    struct dns_question *questions[300];
    size_t question_count;
    bool is_resolver_deaf, is_out_of_probes, is_breaker_open;
    const char *without_tls; /* hosts that are known to refuse it: " mx1.a.example mx2..." */
    struct foresight *foresight;
    struct delivery_settings *settings;
} scene;

/* Marks of two resolvers. */
static char old_resolver, new_resolver;

#define WRAP(type, name, ...)                                                                      \
    type __wrap_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__)

/* ---- clocks and timers ---- */

WRAP(int64_t, loop_now_ms, struct loop *l)
{
    (void)l;
    return scene.now_ms;
}

WRAP(struct loop_timer *, loop_timer_new, struct loop *l, void (*fire)(void *context),
     void *context)
{
    (void)l;
    for (size_t i = 0; i < COUNT_OF(scene.timers); i++) {
        if (scene.timers[i])
            continue;
        scene.timers[i] = xalloc(sizeof *scene.timers[i]);
        *scene.timers[i] = (struct loop_timer){fire, context, -1};
        return scene.timers[i];
    }
    fail_msg("too many timers");
    return NULL;
}

WRAP(void, loop_timer_start, struct loop_timer *t, int64_t in_ms)
{
    t->at_ms = scene.now_ms + in_ms;
}

WRAP(void, loop_timer_stop, struct loop_timer *t)
{
    t->at_ms = -1;
}

WRAP(void, loop_timer_free, struct loop_timer *t)
{
    for (size_t i = 0; t && i < COUNT_OF(scene.timers); i++)
        if (scene.timers[i] == t)
            scene.timers[i] = NULL;
    free(t);
}

static void run_due(void)
{
    for (size_t i = 0; i < COUNT_OF(scene.timers); i++) {
        struct loop_timer *t = scene.timers[i];
        if (!t || t->at_ms < 0 || t->at_ms > scene.now_ms)
            continue;
        t->at_ms = -1;
        t->fire(t->context);
    }
}

static void pass(int64_t ms)
{
    scene.now_ms += ms;
    run_due();
    run_due(); /* what was started by a timer */
}

/* ---- memory ---- */

WRAP(bool, posture_suspends_stops, const struct posture *p, int64_t now)
{
    (void)p;
    (void)now;
    return scene.is_breaker_open;
}

WRAP(bool, posture_refuses_tls, struct posture *p, const char *domain, const char *host,
     int64_t now, struct outcome *why)
{
    char word[DOMAIN_SIZE + 2];
    (void)p;
    (void)now;
    assert_string_equal(domain, "a.example");
    snprintf(word, sizeof word, " %s", host);
    if (!strstr(scene.without_tls, word))
        return false;
    *why = outcome_local(status_make(5, 7, 4),
                         "TLS is required, but was not offered by host %s[192.0.2.1]", host);
    return true;
}

/* ---- resolver ---- */

WRAP(struct dns_question *, dns_find_mx, struct dns *d, struct loop *l, const char *domain,
     void (*found)(void *context, const struct dns_mx *mx), void *context)
{
    (void)l;
    assert_non_null(domain);
    if (scene.is_resolver_deaf)
        return NULL;
    struct dns_question *q = xalloc(sizeof *q);
    *q = (struct dns_question){d, found, context};
    scene.questions[scene.question_count++] = q;
    return q;
}

static void forget_question(const struct dns_question *q)
{
    for (size_t i = 0; i < scene.question_count; i++)
        if (scene.questions[i] == q)
            scene.questions[i] = NULL;
}

WRAP(void, dns_cancel, struct dns_question *q)
{
    forget_question(q);
    free(q);
}

/* Answers the n-th question with these hosts, "" for none. */
static void resolve(size_t n, enum dns_status status, const char *hosts)
{
    struct dns_mx_host list[4];
    struct dns_mx mx = {.status = status, .hosts = list};
    struct slice in = slice_of(hosts);
    while (in.len > 0) {
        size_t len = 0;
        while (len < in.len && in.data[len] != ' ')
            len++;
        list[mx.count].preference = 10;
        assert_true(slice_copy(slice_sub(in, 0, len), list[mx.count].name, DOMAIN_SIZE));
        mx.count++;
        in = slice_sub(in, len < in.len ? len + 1 : len, in.len);
    }
    mx.is_null = status == DNS_DATA && mx.count == 0;
    struct dns_question *q = scene.questions[n];
    assert_non_null(q);
    forget_question(q);
    q->found(q->context, &mx);
    free(q);
}

/* ---- probes ---- */

WRAP(struct probe *, probe_new, const struct probe_options *o)
{
    if (scene.is_out_of_probes)
        return NULL;
    struct probe *p = xalloc(sizeof *p);
    p->o = *o;
    assert_int_equal(o->deadline_ms, FORESIGHT_DEADLINE_MS);
    scene.probes[scene.probe_count++] = p;
    return p;
}

static void forget_probe(const struct probe *p)
{
    for (size_t i = 0; i < scene.probe_count; i++)
        if (scene.probes[i] == p)
            scene.probes[i] = NULL;
}

WRAP(void, probe_cancel, struct probe *p)
{
    forget_probe(p);
    free(p);
}

static void end_probe(size_t n, enum probe_verdict verdict, struct status status)
{
    struct probe *p = scene.probes[n];
    assert_non_null(p);
    forget_probe(p);
    struct probe_result r = {.domain = p->o.domain, .verdict = verdict};
    if (verdict != PROBE_DELIVERABLE)
        r.outcome = outcome_local(status, "%s", NO_TLS);
    p->o.done(p->o.context, &r);
    free(p);
}

static const struct status not_offered = {5, 7, 4};

/* ---- who asks ---- */

struct asker {
    struct foresight_question *question;
    unsigned answers;
    bool is_refused;
    char words[OUTCOME_TEXT_SIZE];
    struct asker *next; /* asks when this one is answered */
};
static char order[64]; /* of the answers, by the askers' names */

static void ask(struct asker *a, const char *domain, bool may_probe);

static void answered(void *context, const struct outcome *why)
{
    struct asker *a = context;
    a->answers++;
    a->question = NULL;
    a->is_refused = why;
    snprintf(a->words, sizeof a->words, "%s", why ? why->text : "");
    size_t len = strlen(order);
    snprintf(order + len, sizeof order - len, "%s", why ? "-" : "+");
    if (a->next)
        ask(a->next, "a.example", true);
}

static void ask(struct asker *a, const char *domain, bool may_probe)
{
    unsigned before = a->answers;
    a->question = foresight_ask(scene.foresight, domain, LEVEL_ENCRYPT, may_probe, answered, a);
    assert_int_equal(a->answers, before);
}

static int setup(void **state)
{
    (void)state;
    memset(&scene, 0, sizeof scene);
    order[0] = '\0';
    scene.now_ms = 1000000;
    scene.without_tls = "";
    scene.settings = delivery_settings_new();
    strcpy(scene.settings->hostname, "mail.example.org");
    scene.settings->routes = xalloc(sizeof *scene.settings->routes);
    scene.settings->route_count = 1;
    strcpy(scene.settings->routes[0].pattern, "routed.example");
    scene.settings->routes[0].next_hop.kind = NEXT_HOP_MX;
    strcpy(scene.settings->routes[0].next_hop.name, "a.example");
    struct foresight_options o = {.dns = (struct dns *)&old_resolver, .settings = scene.settings};
    scene.foresight = foresight_new(&o);
    assert_non_null(scene.foresight);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    foresight_free(scene.foresight);
    delivery_settings_unref(scene.settings);
    for (size_t i = 0; i < COUNT_OF(scene.timers); i++)
        assert_null(scene.timers[i]);
    for (size_t i = 0; i < scene.probe_count; i++)
        assert_null(scene.probes[i]);
    for (size_t i = 0; i < scene.question_count; i++)
        assert_null(scene.questions[i]);
    return 0;
}

/* ---- claims: memory ---- */

static void a_domain_is_refused_only_where_all_its_hosts_are_known_to(void **state)
{
    (void)state;
    static const struct {
        enum dns_status status;
        const char *hosts;
        const char *without_tls;
        bool is_refused;
    } cases[] = {
        {DNS_DATA, "mx1.a.example", " mx1.a.example", true},
        {DNS_DATA, "mx1.a.example mx2.a.example", " mx1.a.example mx2.a.example", true},
        {DNS_DATA, "mx1.a.example mx2.a.example", " mx1.a.example", false},
        {DNS_DATA, "mx1.a.example mx2.a.example", " mx2.a.example", false},
        {DNS_DATA, "mx1.a.example", "", false},
        {DNS_DATA, "", "", false},                                  /* null MX */
        {DNS_DATA, "mail.example.org", " mail.example.org", false}, /* ourselves */
        {DNS_NODATA, "a.example", " a.example", true},              /* implicit MX */
        {DNS_NXDOMAIN, "", "", false},
        {DNS_FAILED, "", "", false},
        {DNS_BOGUS, "mx1.a.example", " mx1.a.example", false},
        {DNS_OUR_FAULT, "", "", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct asker a = {.question = NULL};
        scene.without_tls = cases[i].without_tls;
        ask(&a, "a.example", false);
        assert_non_null(a.question);
        assert_int_equal(scene.question_count, i + 1);
        pass(100);
        assert_int_equal(a.answers, 0);
        resolve(i, cases[i].status, cases[i].hosts);
        assert_int_equal(a.answers, 0); /* in a turn of its own */
        pass(0);
        assert_int_equal(a.answers, 1);
        if (a.is_refused != cases[i].is_refused)
            fail_msg("case %zu: %s", i, a.words);
        if (a.is_refused && strncmp(cases[i].hosts, "mx1", 3) == 0)
            assert_string_equal(a.words, NO_TLS);
    }
    assert_int_equal(scene.probe_count, 0);
}

static void a_resolver_that_is_slow_is_waited_for_three_seconds(void **state)
{
    (void)state;
    struct asker a = {.question = NULL}, b = {.question = NULL};
    scene.without_tls = " mx1.a.example";
    ask(&a, "a.example", false);
    pass(FORESIGHT_DEADLINE_MS - 1);
    assert_int_equal(a.answers, 0);
    pass(1);
    assert_int_equal(a.answers, 1);
    assert_false(a.is_refused);
    assert_null(scene.questions[0]);
    /* The next one need not wait for the same. */
    ask(&b, "a.example", false);
    pass(0);
    assert_int_equal(b.answers, 1);
    assert_int_equal(scene.question_count, 1);
}

/* ---- claims: probes ---- */

static void only_a_sure_stop_of_the_guarantee_refuses(void **state)
{
    (void)state;
    static const struct {
        enum probe_verdict verdict;
        struct status status;
        int64_t after_ms;
        bool is_refused;
    } cases[] = {
        {PROBE_REFUSED, {5, 7, 4}, 200, true},
        {PROBE_REFUSED, {5, 7, 5}, FORESIGHT_DEADLINE_MS - 1, true},
        {PROBE_REFUSED, {5, 7, 4}, FORESIGHT_DEADLINE_MS, false}, /* cut short */
        {PROBE_REFUSED, {5, 1, 10}, 200, false},
        {PROBE_REFUSED, {5, 1, 2}, 200, false},
        {PROBE_REFUSED, {5, 4, 6}, 200, false},
        {PROBE_REFUSED, {4, 7, 4}, 200, false},
        {PROBE_UNKNOWN, {4, 7, 5}, 200, false},
        {PROBE_UNKNOWN, {5, 7, 5}, 200, false},
        {PROBE_DELIVERABLE, {0, 0, 0}, 200, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct asker a = {.question = NULL};
        ask(&a, "a.example", true);
        assert_int_equal(scene.probe_count, i + 1);
        assert_string_equal(scene.probes[i]->o.domain, "a.example");
        assert_int_equal(scene.probes[i]->o.level, LEVEL_ENCRYPT);
        pass(cases[i].after_ms);
        end_probe(i, cases[i].verdict, cases[i].status);
        assert_int_equal(a.answers, 0);
        pass(0);
        assert_int_equal(a.answers, 1);
        if (a.is_refused != cases[i].is_refused)
            fail_msg("case %zu: %s", i, a.words);
        pass(FORESIGHT_KEPT_MS);
    }
    assert_int_equal(scene.question_count, 0);
}

static void one_probe_serves_all_who_ask_and_for_some_seconds_more(void **state)
{
    (void)state;
    struct asker a = {.question = NULL}, b = {.question = NULL}, c = {.question = NULL};
    ask(&a, "a.example", true);
    pass(1000);
    ask(&b, "a.example", true);
    end_probe(0, PROBE_REFUSED, not_offered);
    pass(0);
    assert_true(a.is_refused && b.is_refused);
    pass(FORESIGHT_KEPT_MS - 1001);
    ask(&c, "a.example", true);
    pass(0);
    assert_true(c.is_refused);
    assert_string_equal(c.words, NO_TLS);
    assert_int_equal(scene.probe_count, 1);
    pass(1);
    ask(&c, "a.example", true);
    assert_int_equal(scene.probe_count, 2);
    end_probe(1, PROBE_DELIVERABLE, not_offered);
    pass(0);
    assert_int_equal(c.answers, 2);
    assert_false(c.is_refused);
}

static void levels_and_ways_are_told_apart(void **state)
{
    (void)state;
    struct asker a = {.question = NULL}, b = {.question = NULL}, c = {.question = NULL};
    ask(&a, "a.example", true);
    ask(&c, "a.example", false);
    b.question = foresight_ask(scene.foresight, "a.example", LEVEL_VERIFIED, true, answered, &b);
    assert_int_equal(scene.probe_count, 2);
    assert_int_equal(scene.question_count, 1);
    assert_int_equal(scene.probes[1]->o.level, LEVEL_VERIFIED);
    end_probe(1, PROBE_REFUSED, (struct status){5, 7, 5});
    end_probe(0, PROBE_DELIVERABLE, not_offered);
    resolve(0, DNS_DATA, "mx1.a.example");
    pass(0);
    assert_true(b.is_refused);
    assert_false(a.is_refused || c.is_refused);
    assert_string_equal(order, "-++");
}

static void who_is_answered_may_ask_again_at_once(void **state)
{
    (void)state;
    struct asker c = {.question = NULL}, b = {.next = &c}, a = {.next = &b};
    ask(&a, "a.example", true);
    end_probe(0, PROBE_REFUSED, not_offered);
    pass(0);
    assert_true(a.is_refused && b.is_refused && c.is_refused);
    assert_int_equal(a.answers + b.answers + c.answers, 3);
    assert_int_equal(scene.probe_count, 1);
}

static void who_cancels_hears_nothing(void **state)
{
    (void)state;
    struct asker a = {.question = NULL}, b = {.question = NULL}, c = {.question = NULL};
    ask(&a, "a.example", true);
    ask(&b, "a.example", true);
    foresight_cancel(a.question);
    end_probe(0, PROBE_REFUSED, not_offered);
    foresight_cancel(b.question); /* it is known, and not yet told */
    ask(&c, "a.example", true);
    pass(0);
    assert_int_equal(a.answers + b.answers, 0);
    assert_int_equal(c.answers, 1);
}

/* ---- claims: doubt ---- */

static void what_does_not_go_by_mx_is_not_asked_about(void **state)
{
    (void)state;
    static const char *const domains[] = {"routed.example", "[192.0.2.1]", "[IPv6:2001:db8::1]"};
    for (size_t i = 0; i < COUNT_OF(domains); i++) {
        struct asker a = {.question = NULL};
        ask(&a, domains[i], i % 2);
        assert_null(a.question);
    }
    assert_int_equal(scene.probe_count + scene.question_count, 0);
}

static void an_open_breaker_refuses_nobody(void **state)
{
    (void)state;
    struct asker a = {.question = NULL}, b = {.question = NULL};
    scene.without_tls = " mx1.a.example";
    scene.is_breaker_open = true;
    ask(&a, "a.example", true);
    assert_null(a.question);
    scene.is_breaker_open = false;
    ask(&a, "a.example", true);
    ask(&b, "a.example", false);
    scene.is_breaker_open = true; /* meanwhile: perhaps by this very probe */
    end_probe(0, PROBE_REFUSED, not_offered);
    resolve(0, DNS_DATA, "mx1.a.example");
    pass(0);
    assert_int_equal(a.answers + b.answers, 2);
    assert_false(a.is_refused || b.is_refused);
}

static void only_so_many_domains_are_learnt_of_at_once(void **state)
{
    (void)state;
    static struct asker askers[FORESIGHT_RUNNING_MAX + 1];
    char domain[32];
    memset(askers, 0, sizeof askers);
    for (size_t i = 0; i < COUNT_OF(askers); i++) {
        snprintf(domain, sizeof domain, "d%zu.example", i);
        ask(&askers[i], domain, true);
    }
    assert_int_equal(scene.probe_count, FORESIGHT_RUNNING_MAX);
    assert_null(askers[FORESIGHT_RUNNING_MAX].question);
    end_probe(0, PROBE_REFUSED, not_offered);
    ask(&askers[FORESIGHT_RUNNING_MAX], domain, true);
    assert_non_null(askers[FORESIGHT_RUNNING_MAX].question);
    for (size_t i = 1; i < scene.probe_count; i++)
        end_probe(i, PROBE_DELIVERABLE, not_offered);
    pass(0);
    for (size_t i = 0; i < COUNT_OF(askers); i++)
        assert_int_equal(askers[i].answers, 1);
}

static void what_is_kept_is_bounded(void **state)
{
    (void)state;
    struct asker a = {.question = NULL};
    char domain[32];
    for (size_t i = 0; i < FORESIGHT_KEPT_MAX + 10; i++) {
        snprintf(domain, sizeof domain, "d%zu.example", i);
        ask(&a, domain, true);
        assert_non_null(a.question);
        end_probe(i, PROBE_REFUSED, not_offered);
        pass(0);
    }
    assert_int_equal(a.answers, FORESIGHT_KEPT_MAX + 10);
    size_t timers = 0;
    for (size_t i = 0; i < COUNT_OF(scene.timers); i++)
        timers += scene.timers[i] != NULL;
    assert_in_range(timers, 2, FORESIGHT_KEPT_MAX + 1);
}

static void without_resources_nobody_is_asked(void **state)
{
    (void)state;
    struct asker a = {.question = NULL};
    scene.is_out_of_probes = scene.is_resolver_deaf = true;
    ask(&a, "a.example", true);
    assert_null(a.question);
    ask(&a, "a.example", false);
    assert_null(a.question);
    scene.is_out_of_probes = false;
    ask(&a, "a.example", true);
    assert_non_null(a.question);
    foresight_cancel(a.question);
}

/* ---- claims: reload and end ---- */

static void a_reload_ends_what_asks_the_old_resolver(void **state)
{
    (void)state;
    struct asker a = {.question = NULL}, b = {.question = NULL}, c = {.question = NULL};
    struct asker d = {.question = NULL};
    ask(&c, "kept.example", true);
    end_probe(0, PROBE_REFUSED, not_offered);
    pass(0);
    ask(&a, "a.example", true);
    ask(&b, "a.example", false);
    foresight_reload(scene.foresight, scene.settings, (struct dns *)&new_resolver, NULL);
    assert_null(scene.probes[1]);
    assert_null(scene.questions[0]);
    assert_int_equal(a.answers + b.answers, 0);
    ask(&d, "a.example", true); /* before the others are told */
    assert_int_equal(scene.probe_count, 3);
    pass(0);
    assert_int_equal(a.answers + b.answers, 2);
    assert_false(a.is_refused || b.is_refused);
    assert_int_equal(d.answers, 0);
    ask(&b, "a.example", false);
    ask(&c, "kept.example", true); /* what was learnt before counts no more */
    assert_int_equal(scene.probe_count, 4);
    assert_ptr_equal(scene.probes[2]->o.dns, &new_resolver);
    assert_ptr_equal(scene.questions[1]->dns, &new_resolver);
    foresight_cancel(b.question);
    foresight_cancel(c.question);
    foresight_cancel(d.question);
}

static void after_the_stop_nothing_is_looked_at(void **state)
{
    (void)state;
    struct asker a = {.question = NULL}, b = {.question = NULL};
    ask(&a, "a.example", true);
    foresight_stop(scene.foresight);
    assert_null(scene.probes[0]);
    ask(&b, "a.example", true);
    assert_null(b.question);
    pass(0);
    assert_int_equal(a.answers, 1);
    assert_false(a.is_refused);
}

#define CLAIM(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_domain_is_refused_only_where_all_its_hosts_are_known_to),
        CLAIM(a_resolver_that_is_slow_is_waited_for_three_seconds),
        CLAIM(only_a_sure_stop_of_the_guarantee_refuses),
        CLAIM(one_probe_serves_all_who_ask_and_for_some_seconds_more),
        CLAIM(levels_and_ways_are_told_apart),
        CLAIM(who_is_answered_may_ask_again_at_once),
        CLAIM(who_cancels_hears_nothing),
        CLAIM(what_does_not_go_by_mx_is_not_asked_about),
        CLAIM(an_open_breaker_refuses_nobody),
        CLAIM(only_so_many_domains_are_learnt_of_at_once),
        CLAIM(what_is_kept_is_bounded),
        CLAIM(without_resources_nobody_is_asked),
        CLAIM(a_reload_ends_what_asks_the_old_resolver),
        CLAIM(after_the_stop_nothing_is_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
