#include "mail/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char seen[256];

static void record(void *context, enum event_severity severity, const char *event,
                   const struct event_field *fields, size_t count)
{
    (void)context;
    (void)severity;
    size_t len = (size_t)snprintf(seen, sizeof seen, "%s", event);
    for (size_t i = 0; i < count && len < sizeof seen; i++) {
        const char *key = event_key_name(fields[i].key);
        if (fields[i].text)
            len += (size_t)snprintf(seen + len, sizeof seen - len, " %s=%s", key, fields[i].text);
        else
            len += (size_t)snprintf(seen + len, sizeof seen - len, " %s=%lld", key,
                                    (long long)fields[i].number);
    }
}

static void an_event_carries_texts_and_numbers(void **state)
{
    (void)state;
    struct event_sink sink = {.emit = record, .threshold = EVENT_INFO};
    EVENT(&sink, EVENT_INFO, "disposition", FIELD(KEY_ID, "B1"), FIELD_NUMBER(KEY_SIZE, 7),
          FIELD_NUMBER(KEY_COUNT, 1));
    assert_string_equal(seen, "disposition id=B1 size=7 count=1");
}

static void below_the_threshold_and_without_a_sink_it_is_silent(void **state)
{
    (void)state;
    struct event_sink sink = {.emit = record, .threshold = EVENT_WARNING};
    seen[0] = '\0';
    EVENT(&sink, EVENT_INFO, "quiet", FIELD(KEY_ID, "B1"));
    EVENT(NULL, EVENT_ERROR, "nobody", FIELD(KEY_ID, "B1"));
    assert_string_equal(seen, "");
    EVENT(&sink, EVENT_ERROR, "loud", FIELD(KEY_ID, "B1"));
    assert_string_equal(seen, "loud id=B1");
}

static void every_key_has_its_own_name(void **state)
{
    (void)state;
    for (int i = 0; i <= KEY_COUNT; i++) {
        const char *name = event_key_name((enum event_key)i);
        assert_non_null(name);
        assert_true(strlen(name) > 0 &&
                    strspn(name, "abcdefghijklmnopqrstuvwxyz-") == strlen(name));
        for (int k = 0; k < i; k++)
            assert_string_not_equal(name, event_key_name((enum event_key)k));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_carries_texts_and_numbers),
        cmocka_unit_test(below_the_threshold_and_without_a_sink_it_is_silent),
        cmocka_unit_test(every_key_has_its_own_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
