#include "mail/date.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void times_are_written_in_utc_and_english(void **state)
{
    (void)state;
    char out[DATE_SIZE];
    assert_string_equal(date_rfc5322(1795361330, out), "Sun, 22 Nov 2026 15:28:50 +0000");
    assert_string_equal(date_rfc3339(1795361330, out), "2026-11-22T15:28:50Z");
    assert_string_equal(date_rfc5322(0, out), "Thu, 1 Jan 1970 00:00:00 +0000");
    assert_string_equal(date_rfc3339(-1, out), "1969-12-31T23:59:59Z");
    assert_string_equal(date_rfc3339(INT64_MAX, out), "9999-12-31T23:59:59Z");
    assert_string_equal(date_rfc3339(INT64_MIN, out), "0000-01-01T00:00:00Z");
}

static void rfc3339_is_read_with_any_zone(void **state)
{
    (void)state;
    static const char *const cases[] = {"2026-11-22T15:28:50Z", "2026-11-22t15:28:50z",
                                        "2026-11-22T15:28:50.120987Z", "2026-11-22T16:58:50+01:30",
                                        "2026-11-22T07:28:50-08:00"};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t at = 0;
        assert_true(date_parse_rfc3339(slice_of(cases[i]), &at));
        assert_int_equal(at, 1795361330);
    }
}

static void what_is_no_time_is_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "2026-11-22",
        "2026-11-22T15:28:50",
        "2026-11-22 15:28:50Z",
        "2026-13-22T15:28:50Z",
        "2026-00-22T15:28:50Z",
        "2026-02-29T15:28:50Z",
        "2026-11-31T15:28:50Z",
        "2026-11-00T15:28:50Z",
        "2026-11-22T24:28:50Z",
        "2026-11-22T15:60:50Z",
        "2026-11-22T15:28:61Z",
        "2026\r11\r22T15:28:50Z",
        "2026-11-22T15:28:50.Z",
        "2026-11-22T15:28:50.",
        "2026-11",
        "2026",
        "202",
        "2026-11-22T15:28:5",
        "2026x11-22T15:28:50Z",
        "2026-11-22T15:28:50+0100",
        "2026-11-22T15:28:50+01:00x",
        "2026-11-22T15:28:50Zx",
        "+026-11-22T15:28:50Z",
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t at = 42;
        if (date_parse_rfc3339(slice_of(cases[i]), &at))
            fail_msg("\"%s\" was read", cases[i]);
        assert_int_equal(at, 42);
    }
    int64_t at = 0;
    assert_true(date_parse_rfc3339(SLICE("2024-02-29T00:00:00Z"), &at));
    assert_true(date_parse_rfc3339(SLICE("2000-02-29T00:00:00Z"), &at));
    assert_false(date_parse_rfc3339(SLICE("1900-02-29T00:00:00Z"), &at));
}

static void both_clocks_agree(void **state)
{
    (void)state;
    int64_t before = date_now(), ms = date_now_ms(), after = date_now();
    assert_true(before > 1700000000 && before <= ms / 1000 && ms / 1000 <= after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_written_in_utc_and_english),
        cmocka_unit_test(rfc3339_is_read_with_any_zone),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(both_clocks_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
