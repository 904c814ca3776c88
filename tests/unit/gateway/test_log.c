#include "gateway/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void check(const struct event_field *fields, size_t count, const char *want)
{
    char line[512];
    size_t len = log_line(line, sizeof line, false, 0, EVENT_INFO, "test", fields, count);
    assert_int_equal(line[len - 1], '\n');
    line[len - 1] = '\0';
    assert_string_equal(line, want);
}

static void plain_values_stand_as_they_are(void **state)
{
    (void)state;
    const struct event_field fields[] = {FIELD(KEY_TO, "bob@example.net"),
                                         FIELD_NUMBER(KEY_SIZE, -12)};
    check(fields, 2, "level=info event=test to=bob@example.net size=-12");
}

/* What a peer says cannot look like a key, end the line, or command a terminal. */
static void peers_words_are_escaped(void **state)
{
    (void)state;
    const struct event_field fields[] = {
        FIELD(KEY_REPLY, "a \"b\" x=y\r\nevent=forged \x1b[31m\xff\\")};
    check(
        fields, 1,
        "level=info event=test reply=\"a \\\"b\\\" x=y\\x0d\\x0aevent=forged \\x1b[31m\\xff\\\\\"");
}

static void empty_values_are_left_out_but_for_the_null_sender(void **state)
{
    (void)state;
    const struct event_field fields[] = {FIELD(KEY_EXEMPT, ""), FIELD(KEY_FROM, ""),
                                         FIELD(KEY_NEXT, "")};
    check(fields, 3, "level=info event=test from=<>");
}

static void a_long_line_is_cut_and_still_ends(void **state)
{
    (void)state;
    char line[64];
    char value[200];
    memset(value, 'x', sizeof value);
    value[sizeof value - 1] = '\0';
    const struct event_field fields[] = {FIELD(KEY_REPLY, value)};
    size_t len = log_line(line, sizeof line, false, 0, EVENT_ERROR, "test", fields, 1);
    assert_int_equal(len, sizeof line);
    assert_int_equal(line[len - 1], '\n');
}

static void the_time_has_milliseconds(void **state)
{
    (void)state;
    char line[128];
    size_t len = log_line(line, sizeof line, true, 1795361330007, EVENT_WARNING, "test", NULL, 0);
    line[len] = '\0';
    assert_string_equal(line, "time=2026-11-22T15:28:50.007Z level=warning event=test\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_values_stand_as_they_are),
        cmocka_unit_test(peers_words_are_escaped),
        cmocka_unit_test(empty_values_are_left_out_but_for_the_null_sender),
        cmocka_unit_test(a_long_line_is_cut_and_still_ends),
        cmocka_unit_test(the_time_has_milliseconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
