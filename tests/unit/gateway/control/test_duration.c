#include "gateway/control/duration.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void a_number_and_a_unit_make_a_time(void **state)
{
    static const struct {
        const char *text;
        int64_t want_ms;
    } cases[] = {
        {"0s", 0},         {"2s", 2000},       {"30m", 1800000},        {"4h", 14400000},
        {"5d", 432000000}, {"2w", 1209600000}, {"3650d", 315360000000}, {"87600h", 315360000000},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t ms = -1;
        assert_true(duration_parse(slice_of(cases[i].text), &ms));
        assert_int_equal(ms, cases[i].want_ms);
    }
}

static void what_is_no_time_is_refused(void **state)
{
    static const char *const cases[] = {
        "",     "s",     "5",    "30",  "-5s",   "5 s",    "5S",
        "5ms",  "1h30m", "0x5s", "+5s", "3651d", "87601h", "99999999999999999999s",
        "522w", "5y"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t ms;
        assert_false(duration_parse(slice_of(cases[i]), &ms));
    }
}

static void a_time_is_shown_with_its_two_largest_units(void **state)
{
    static const struct {
        int64_t seconds;
        const char *want;
    } cases[] = {
        {0, "0s"},       {45, "45s"},      {60, "1m"},         {61, "1m 1s"},       {3600, "1h"},
        {3661, "1h 1m"}, {90000, "1d 1h"}, {86400 + 59, "1d"}, {14 * 86400, "14d"}, {-3, "0s"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[DURATION_SIZE];
        assert_string_equal(duration_text(cases[i].seconds, text), cases[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_and_a_unit_make_a_time),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(a_time_is_shown_with_its_two_largest_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
