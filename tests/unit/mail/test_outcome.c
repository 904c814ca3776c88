#include "mail/outcome.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void a_reply_keeps_its_own_enhanced_code(void **state)
{
    (void)state;
    static const struct {
        unsigned code;
        const char *text, *status;
    } cases[] = {
        {550, "5.1.1 User unknown", "5.1.1"},
        {550, "5.1.1", "5.1.1"},
        {250, "2.1.5 Ok", "2.1.5"},
        {550, "4.7.1 a class that does not fit", "5.0.0"},
        {451, "later", "4.0.0"},
        {550, "5.1.1.2 an address?", "5.0.0"},
        {550, "5.1.1x", "5.0.0"},
        {354, "go ahead", "4.5.0"},
        {554, "", "5.0.0"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[STATUS_SIZE];
        struct outcome o = outcome_reply(cases[i].code, slice_of(cases[i].text));
        assert_string_equal(status_text(o.status, text), cases[i].status);
        assert_string_equal(o.text, cases[i].text[0] ? cases[i].text : "(no text)");
        assert_int_equal(o.code, cases[i].code);
    }
}

static void text_is_one_printable_line(void **state)
{
    (void)state;
    static const struct {
        const char *in, *want;
    } cases[] = {
        {"5.1.1 first\n5.1.1 second", "5.1.1 first 5.1.1 second"},
        {"a\r\nb\tc", "a b c"},
        {"bell\a esc\x1b[31m", "bell? esc?[31m"},
        {"gr\xC3\xBC\xC3\x9F", "gr\xC3\xBC\xC3\x9F"},
        {"latin1 gr\xFC\xDF", "latin1 gr??"},
        {"overlong \xC0\x8A", "overlong ??"},
        {"next line \xC2\x85, turn \xE2\x80\xAE", "next line ?, turn ?"},
        {"\n\r\n", "(no text)"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_string_equal(outcome_reply(550, slice_of(cases[i].in)).text, cases[i].want);
    struct outcome o = outcome_reply(550, SLICE("nul \0 here"));
    assert_string_equal(o.text, "nul ? here");
}

static void a_long_text_is_cut_between_characters(void **state)
{
    (void)state;
    char text[2 * OUTCOME_TEXT_SIZE + 1];
    for (size_t i = 0; i + 1 < sizeof text; i += 2)
        memcpy(text + i, "\xC3\xBC", 2);
    text[sizeof text - 1] = '\0';
    struct outcome o = outcome_local(status_make(4, 3, 0), "x%s", text);
    assert_int_equal(strlen(o.text), 511);
    assert_memory_equal(o.text + 509, "\xC3\xBC", 3);
    assert_int_equal(strlen(outcome_reply(450, slice_of(text)).text), 510);
}

static void the_host_is_said_apart(void **state)
{
    (void)state;
    struct outcome o =
        outcome_local(status_make(5, 7, 4), "TLS is required, but %s", "was not offered");
    assert_int_equal(o.code, 0);
    assert_string_equal(o.mx, "");
    assert_true(outcome_is_permanent(&o));
    outcome_set_host(&o, "mx.plain.example", "192.0.2.9", 25);
    assert_string_equal(o.mx, "mx.plain.example");
    assert_string_equal(o.address, "192.0.2.9");
    assert_int_equal(o.port, 25);
    outcome_set_host(&o, NULL, "", 0);
    assert_string_equal(o.mx, "");
    o = outcome_local(status_make(4, 4, 1), "refused");
    assert_false(outcome_is_permanent(&o));
}

/* Does the call end the process? */
static bool panics(void (*call)(void))
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        call();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void local_without_text(void)
{
    (void)outcome_local(status_make(4, 3, 0), "%s", " ");
}

static void local_without_status(void)
{
    (void)outcome_local((struct status){0}, "text");
}

static void reply_below_200(void)
{
    (void)outcome_reply(199, SLICE("x"));
}

static void reply_above_599(void)
{
    (void)outcome_reply(600, SLICE("x"));
}

static void status_of_class_3(void)
{
    (void)status_make(3, 0, 0);
}

static void status_with_a_subject_too_big(void)
{
    (void)status_make(5, 1000, 0);
}

static void nothing_wrong(void)
{
    (void)outcome_local(status_make(2, 999, 999), "x");
    (void)outcome_reply(200, SLICE("x"));
    (void)outcome_reply(599, SLICE("x"));
}

static void an_outcome_without_text_or_code_cannot_be_built(void **state)
{
    (void)state;
    assert_true(panics(local_without_text));
    assert_true(panics(local_without_status));
    assert_true(panics(reply_below_200));
    assert_true(panics(reply_above_599));
    assert_true(panics(status_of_class_3));
    assert_true(panics(status_with_a_subject_too_big));
    assert_false(panics(nothing_wrong));
}

static void every_disposition_has_a_name(void **state)
{
    (void)state;
    assert_string_equal(disposition_name(DISPOSITION_DELIVERED), "delivered");
    assert_string_equal(disposition_name(DISPOSITION_DEFERRED), "deferred");
    assert_string_equal(disposition_name(DISPOSITION_FAILED), "failed");
    assert_string_equal(disposition_name(DISPOSITION_HELD), "held");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reply_keeps_its_own_enhanced_code),
        cmocka_unit_test(text_is_one_printable_line),
        cmocka_unit_test(a_long_text_is_cut_between_characters),
        cmocka_unit_test(the_host_is_said_apart),
        cmocka_unit_test(an_outcome_without_text_or_code_cannot_be_built),
        cmocka_unit_test(every_disposition_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
