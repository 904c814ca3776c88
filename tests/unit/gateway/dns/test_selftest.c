#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "gateway/dns/selftest.h"
#include "tests/unit/gateway/dns/fake_dns.h"

/* "error failing bad.example\n": severity, state and name of each event. */
static char events[1024];
static char last_reason[512];

static void emit(void *context, enum event_severity severity, const char *event,
                 const struct event_field *fields, size_t count)
{
    static const char *const severities[] = {"debug", "info", "warning", "error"};
    (void)context;
    assert_string_equal(event, "resolver");
    size_t used = strlen(events);
    used += (size_t)snprintf(events + used, sizeof events - used, "%s", severities[severity]);
    for (size_t i = 0; i < count; i++) {
        if (fields[i].key == KEY_REASON)
            snprintf(last_reason, sizeof last_reason, "%s", fields[i].text);
        else
            used += (size_t)snprintf(events + used, sizeof events - used, " %s", fields[i].text);
    }
    snprintf(events + used, sizeof events - used, "\n");
}

static const struct event_sink sink = {.emit = emit};

enum { SIGNED, UNSIGNED, BOGUS };

struct scene {
    struct fake_answer answers[3];
    struct fake_dns dns;
    struct self_test test;
    unsigned done;
};

static void done(void *context)
{
    struct scene *s = context;
    s->done++;
}

static void setup(struct scene *s)
{
    events[0] = '\0';
    *s = (struct scene){
        .answers = {{.name = "good.example", .type = DNS_TYPE_A},
                    {.name = "plain.example", .type = DNS_TYPE_A, .security = DNS_INSECURE},
                    {.name = "bad.example", .type = DNS_TYPE_A, .status = DNS_BOGUS}},
    };
    for (size_t i = 0; i < COUNT_OF(s->answers); i++)
        s->answers[i].records[0] = "192.0.2.1";
    fake_dns_init(&s->dns, s->answers, COUNT_OF(s->answers));
    struct dns_options o = {.self_test_signed = "good.example",
                            .self_test_unsigned = "plain.example",
                            .self_test_bogus = "bad.example"};
    self_test_init(&s->test, &s->dns.asker, &sink, &o, done, s);
}

static void run(struct scene *s)
{
    self_test_run(&s->test);
    fake_dns_pump(&s->dns);
}

static void all_three_are_asked_and_all_well_is_said_by_nobody(void **state)
{
    (void)state;
    struct scene s;
    char words[DNS_SELF_TEST_WORDS_SIZE];
    setup(&s);
    self_test_words(&s.test, words, sizeof words);
    assert_string_equal(words, "not asked yet");
    self_test_run(&s.test);
    self_test_run(&s.test); /* under way: not twice */
    assert_string_equal(s.dns.asked, "A good.example, A plain.example, A bad.example");
    assert_int_equal(s.done, 0);
    fake_dns_pump(&s.dns);
    assert_int_equal(s.done, 1);
    assert_string_equal(events, "");
    assert_string_equal(self_test_culprit(&s.test), "");
    assert_int_equal(self_test_again_in_ms(&s.test), DNS_SELF_TEST_EVERY_MS);
    self_test_words(&s.test, words, sizeof words);
    assert_string_equal(words, "ok");
}

static void each_answer_is_judged_by_what_it_must_be(void **state)
{
    (void)state;
    static const struct {
        unsigned which;
        enum dns_status status;
        enum dns_security security;
        const char *severity; /* "": passed */
        bool is_our_fault;
    } cases[] = {
        {SIGNED, DNS_DATA, DNS_SECURE, "", false},
        {SIGNED, DNS_NODATA, DNS_SECURE, "", false},
        {SIGNED, DNS_DATA, DNS_INSECURE, "error", false},
        {SIGNED, DNS_NODATA, DNS_INSECURE, "error", false},
        {SIGNED, DNS_BOGUS, DNS_INSECURE, "error", true},
        {SIGNED, DNS_NXDOMAIN, DNS_SECURE, "warning", false},
        {SIGNED, DNS_FAILED, DNS_INSECURE, "warning", false},
        {SIGNED, DNS_OUR_FAULT, DNS_INSECURE, "warning", false},
        {UNSIGNED, DNS_DATA, DNS_INSECURE, "", false},
        {UNSIGNED, DNS_NODATA, DNS_INSECURE, "", false},
        {UNSIGNED, DNS_DATA, DNS_SECURE, "error", false},
        {UNSIGNED, DNS_BOGUS, DNS_INSECURE, "error", false},
        {UNSIGNED, DNS_NXDOMAIN, DNS_SECURE, "warning", false},
        {UNSIGNED, DNS_FAILED, DNS_INSECURE, "warning", false},
        {BOGUS, DNS_BOGUS, DNS_INSECURE, "", false},
        {BOGUS, DNS_DATA, DNS_SECURE, "error", false},
        {BOGUS, DNS_DATA, DNS_INSECURE, "error", false},
        {BOGUS, DNS_NODATA, DNS_SECURE, "error", false},
        {BOGUS, DNS_NXDOMAIN, DNS_SECURE, "warning", false},
        {BOGUS, DNS_FAILED, DNS_INSECURE, "warning", false},
    };
    static const char *const names[] = {"good.example", "plain.example", "bad.example"};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct scene s;
        char want[64] = "";
        setup(&s);
        s.answers[cases[i].which].status = cases[i].status;
        s.answers[cases[i].which].security = cases[i].security;
        run(&s);
        bool is_passed = cases[i].severity[0] == '\0';
        if (!is_passed)
            snprintf(want, sizeof want, "%s %s %s\n", cases[i].severity,
                     strcmp(cases[i].severity, "error") == 0 ? "failing" : "unknown",
                     names[cases[i].which]);
        if (strcmp(events, want) != 0)
            fail_msg("case %zu: got %s want %s", i, events, want);
        assert_int_equal(self_test_culprit(&s.test)[0] != '\0', cases[i].is_our_fault);
        assert_int_equal(self_test_again_in_ms(&s.test),
                         is_passed ? DNS_SELF_TEST_EVERY_MS : DNS_SELF_TEST_AGAIN_MS);
    }
}

static void the_words_say_what_was_expected(void **state)
{
    (void)state;
    struct scene s;
    char words[DNS_SELF_TEST_WORDS_SIZE];
    setup(&s);
    s.answers[SIGNED].status = DNS_BOGUS;
    run(&s);
    assert_string_equal(last_reason,
                        "self-test: expected a secure answer for good.example, but the "
                        "answer is bogus: signature crypto failed");
    assert_string_equal(self_test_culprit(&s.test), last_reason);
    s.answers[BOGUS].status = DNS_DATA;
    s.answers[SIGNED].status = DNS_FAILED;
    run(&s);
    self_test_words(&s.test, words, sizeof words);
    assert_string_equal(words,
                        "self-test: expected a secure answer for good.example, but no answer: "
                        "SERVFAIL; self-test: expected a bogus answer for bad.example, but "
                        "the answer is secure");
}

/* The bogus name is somebody else's, who may mend his zone or take its DS away. */
static void
a_bogus_name_that_is_answered_blames_us_only_where_the_signed_one_is_not_secure(void **state)
{
    (void)state;
    static const struct {
        enum dns_status status; /* of the signed name */
        enum dns_security security;
        bool is_our_fault;
    } cases[] = {
        {DNS_DATA, DNS_SECURE, false},        {DNS_NODATA, DNS_SECURE, false},
        {DNS_DATA, DNS_INSECURE, true},       {DNS_NODATA, DNS_INSECURE, true},
        {DNS_BOGUS, DNS_INSECURE, true},      {DNS_NXDOMAIN, DNS_SECURE, false},
        {DNS_OUR_FAULT, DNS_INSECURE, false}, {DNS_FAILED, DNS_INSECURE, false},
    };
    for (size_t i = 0; i < 2 * COUNT_OF(cases); i++) {
        struct scene s;
        char words[DNS_SELF_TEST_WORDS_SIZE];
        setup(&s);
        s.answers[BOGUS].status = DNS_DATA;
        s.answers[BOGUS].security = i % 2 ? DNS_SECURE : DNS_INSECURE;
        s.answers[SIGNED].status = cases[i / 2].status;
        s.answers[SIGNED].security = cases[i / 2].security;
        run(&s);
        if ((self_test_culprit(&s.test)[0] != '\0') != cases[i / 2].is_our_fault)
            fail_msg("case %zu: \"%s\"", i / 2, self_test_culprit(&s.test));
        assert_non_null(strstr(events, "error failing bad.example"));
        self_test_words(&s.test, words, sizeof words);
        assert_non_null(strstr(words, "expected a bogus answer for bad.example"));
    }
}

static void the_operator_hears_of_changes_and_else_once_an_hour(void **state)
{
    (void)state;
    struct scene s;
    char words[DNS_SELF_TEST_WORDS_SIZE];
    setup(&s);
    s.answers[BOGUS].status = DNS_FAILED;
    run(&s);
    s.dns.now_ms += DNS_SELF_TEST_EVERY_MS - 1;
    run(&s);
    assert_string_equal(events, "warning unknown bad.example\n");
    s.dns.now_ms += 1;
    run(&s);
    assert_string_equal(events, "warning unknown bad.example\nwarning unknown bad.example\n");
    events[0] = '\0';
    s.answers[BOGUS].status = DNS_DATA;
    run(&s);
    assert_string_equal(events, "error failing bad.example\n");
    s.answers[BOGUS].status = DNS_BOGUS;
    run(&s);
    run(&s);
    assert_string_equal(events, "error failing bad.example\ninfo working bad.example\n");
    self_test_words(&s.test, words, sizeof words);
    assert_string_equal(words, "ok");
}

static void names_can_be_switched_off(void **state)
{
    (void)state;
    struct scene s;
    char words[DNS_SELF_TEST_WORDS_SIZE];
    setup(&s);
    struct dns_options o = {.self_test_signed = "", .self_test_bogus = "bad.example"};
    self_test_init(&s.test, &s.dns.asker, &sink, &o, done, &s);
    assert_false(self_test_is_off(&s.test));
    run(&s);
    assert_string_equal(s.dns.asked, "A bad.example");
    assert_int_equal(s.done, 1);
    self_test_words(&s.test, words, sizeof words);
    assert_string_equal(words, "ok");

    o.self_test_bogus = NULL;
    self_test_init(&s.test, &s.dns.asker, &sink, &o, done, &s);
    assert_true(self_test_is_off(&s.test));
    run(&s);
    assert_int_equal(s.done, 1);
    self_test_words(&s.test, words, sizeof words);
    assert_string_equal(words, "off");
}

static void its_own_questions_are_known(void **state)
{
    (void)state;
    struct scene s;
    struct dns_ask other = {.name = "good.example"};
    setup(&s);
    self_test_run(&s.test);
    for (size_t i = 0; i < s.dns.open_count; i++)
        assert_true(self_test_owns(&s.test, s.dns.open[i]));
    assert_false(self_test_owns(&s.test, &other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_three_are_asked_and_all_well_is_said_by_nobody),
        cmocka_unit_test(each_answer_is_judged_by_what_it_must_be),
        cmocka_unit_test(the_words_say_what_was_expected),
        cmocka_unit_test(
            a_bogus_name_that_is_answered_blames_us_only_where_the_signed_one_is_not_secure),
        cmocka_unit_test(the_operator_hears_of_changes_and_else_once_an_hour),
        cmocka_unit_test(names_can_be_switched_off),
        cmocka_unit_test(its_own_questions_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
