#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "gateway/dns/control.h"
#include "tests/unit/gateway/dns/fake_dns.h"

/* The events as "failing", "working", one per line. */
static char events[256];

static void emit(void *context, enum event_severity severity, const char *event,
                 const struct event_field *fields, size_t count)
{
    (void)context;
    (void)severity;
    assert_string_equal(event, "resolver");
    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(events);
        if (fields[i].key == KEY_STATE)
            snprintf(events + used, sizeof events - used, "%s\n", fields[i].text);
    }
}

static const struct event_sink sink = {.emit = emit};

struct waiter {
    struct control_wait wait;
    struct control *control;
    bool joins_again;
    unsigned told;
    bool is_our_fault;
    char why[DNS_DETAIL_SIZE];
};

static void told(void *context, bool is_our_fault, const char *why)
{
    struct waiter *w = context;
    w->told++;
    w->is_our_fault = is_our_fault;
    snprintf(w->why, sizeof w->why, "%s", why);
    if (w->joins_again) {
        w->joins_again = false;
        control_join(w->control, &w->wait);
    }
}

struct scene {
    struct fake_dns dns;
    struct control control;
    struct waiter waiters[3];
};

static void setup(struct scene *s)
{
    events[0] = '\0';
    *s = (struct scene){0};
    fake_dns_init(&s->dns, NULL, 0);
    control_init(&s->control, &s->dns.asker, &sink);
    for (size_t i = 0; i < COUNT_OF(s->waiters); i++) {
        s->waiters[i].control = &s->control;
        s->waiters[i].wait.told = told;
        s->waiters[i].wait.context = &s->waiters[i];
    }
}

static void join(struct scene *s, unsigned i)
{
    control_join(&s->control, &s->waiters[i].wait);
}

static void the_question_is_a_fresh_random_name_under_the_root(void **state)
{
    (void)state;
    struct scene s;
    char first[DNS_QUESTION_SIZE];
    setup(&s);
    join(&s, 0);
    memcpy(first, s.dns.open[0]->name, sizeof first);
    assert_int_equal(s.dns.open[0]->type, DNS_TYPE_A);
    assert_int_equal(strlen(first), 16);
    assert_int_equal(strspn(first, "abcdefghijklmnopqrstuvwxyz"), 16);
    fake_dns_answer(&s.dns, DNS_NXDOMAIN, DNS_SECURE);
    join(&s, 1);
    assert_string_not_equal(s.dns.open[0]->name, first);
}

static void only_a_secure_denial_of_the_name_clears_us(void **state)
{
    (void)state;
    static const struct {
        enum dns_status status;
        enum dns_security security;
        bool is_our_fault;
    } cases[] = {
        {DNS_NXDOMAIN, DNS_SECURE, false}, {DNS_NXDOMAIN, DNS_INSECURE, true},
        {DNS_NODATA, DNS_SECURE, true},    {DNS_DATA, DNS_SECURE, true},
        {DNS_DATA, DNS_INSECURE, true},    {DNS_FAILED, DNS_SECURE, true},
        {DNS_BOGUS, DNS_SECURE, true},     {DNS_OUR_FAULT, DNS_SECURE, true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct scene s;
        setup(&s);
        join(&s, 0);
        fake_dns_answer(&s.dns, cases[i].status, cases[i].security);
        assert_int_equal(s.waiters[0].told, 1);
        assert_int_equal(s.waiters[0].is_our_fault, cases[i].is_our_fault);
        assert_int_equal(s.waiters[0].why[0] != '\0', cases[i].is_our_fault);
        assert_int_equal(control_is_fresh(&s.control), !cases[i].is_our_fault);
    }
}

static void a_suspicion_against_us_outweighs_what_the_root_says(void **state)
{
    (void)state;
    struct scene s;
    setup(&s);
    join(&s, 0);
    fake_dns_answer(&s.dns, DNS_NXDOMAIN, DNS_SECURE);
    assert_true(control_is_fresh(&s.control));
    control_suspect(&s.control, "good.example is bogus");
    assert_false(control_is_fresh(&s.control));
    join(&s, 1);
    fake_dns_answer(&s.dns, DNS_NXDOMAIN, DNS_SECURE);
    assert_true(s.waiters[1].is_our_fault);
    assert_string_equal(s.waiters[1].why, "good.example is bogus");
    assert_string_equal(events, ""); /* who suspects tells */
    control_suspect(&s.control, "");
    assert_true(control_is_fresh(&s.control));
    join(&s, 2);
    fake_dns_answer(&s.dns, DNS_NXDOMAIN, DNS_SECURE);
    assert_false(s.waiters[2].is_our_fault);
}

static void success_is_remembered_for_one_minute(void **state)
{
    (void)state;
    struct scene s;
    setup(&s);
    assert_false(control_is_fresh(&s.control));
    join(&s, 0);
    fake_dns_answer(&s.dns, DNS_NXDOMAIN, DNS_SECURE);
    s.dns.now_ms += 59999;
    assert_true(control_is_fresh(&s.control));
    s.dns.now_ms += 1;
    assert_false(control_is_fresh(&s.control));
}

static void look_ups_that_fail_together_share_one_question(void **state)
{
    (void)state;
    struct scene s;
    setup(&s);
    for (unsigned i = 0; i < 3; i++)
        join(&s, i);
    assert_int_equal(s.dns.open_count, 1);
    fake_dns_answer(&s.dns, DNS_FAILED, DNS_INSECURE);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(s.waiters[i].told, 1);
        assert_true(s.waiters[i].is_our_fault);
        assert_string_equal(s.waiters[i].why, "no answer from the root: SERVFAIL");
    }
}

static void who_joins_while_told_waits_for_a_question_of_its_own(void **state)
{
    (void)state;
    struct scene s;
    setup(&s);
    s.waiters[0].joins_again = true;
    join(&s, 0);
    join(&s, 1);
    fake_dns_answer(&s.dns, DNS_FAILED, DNS_INSECURE);
    assert_int_equal(s.waiters[0].told, 1);
    assert_int_equal(s.waiters[1].told, 1);
    assert_int_equal(s.dns.open_count, 1);
    fake_dns_answer(&s.dns, DNS_NXDOMAIN, DNS_SECURE);
    assert_int_equal(s.waiters[0].told, 2);
    assert_false(s.waiters[0].is_our_fault);
    assert_int_equal(s.waiters[1].told, 1);
}

static void fail_once(struct scene *s)
{
    join(s, 0);
    fake_dns_answer(&s->dns, DNS_FAILED, DNS_INSECURE);
}

static void the_operator_hears_at_most_once_a_minute_and_of_the_recovery(void **state)
{
    (void)state;
    struct scene s;
    setup(&s);
    fail_once(&s);
    s.dns.now_ms += 59999;
    fail_once(&s);
    assert_string_equal(events, "failing\n");
    s.dns.now_ms += 1;
    fail_once(&s);
    assert_string_equal(events, "failing\nfailing\n");
    control_probe(&s.control);
    fake_dns_answer(&s.dns, DNS_NXDOMAIN, DNS_SECURE);
    assert_string_equal(events, "failing\nfailing\nworking\n");
    control_probe(&s.control);
    fake_dns_answer(&s.dns, DNS_NXDOMAIN, DNS_SECURE);
    assert_string_equal(events, "failing\nfailing\nworking\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_question_is_a_fresh_random_name_under_the_root),
        cmocka_unit_test(only_a_secure_denial_of_the_name_clears_us),
        cmocka_unit_test(a_suspicion_against_us_outweighs_what_the_root_says),
        cmocka_unit_test(success_is_remembered_for_one_minute),
        cmocka_unit_test(look_ups_that_fail_together_share_one_question),
        cmocka_unit_test(who_joins_while_told_waits_for_a_question_of_its_own),
        cmocka_unit_test(the_operator_hears_at_most_once_a_minute_and_of_the_recovery),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
