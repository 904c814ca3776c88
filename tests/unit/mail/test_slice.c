#include "mail/slice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void comparison_without_case_is_ascii_only(void **state)
{
    (void)state;
    assert_true(slice_equal_nocase(SLICE("StartTLS"), SLICE("STARTTLS")));
    assert_true(slice_equal_nocase(SLICE("AZ"), SLICE("az")));
    assert_false(slice_equal_nocase(SLICE("@"), SLICE("`")));
    assert_true(slice_ends_nocase(SLICE("X"), SLICE("x")));
    assert_false(slice_equal_nocase(SLICE("\xC4"), SLICE("\xE4")));
    assert_false(slice_equal_nocase(SLICE("["), SLICE("{")));
    assert_false(slice_equal_nocase(SLICE("ab"), SLICE("abc")));
    assert_true(slice_equal((struct slice){NULL, 0}, SLICE("")));
    assert_true(slice_starts_nocase(SLICE("from:<>"), SLICE("FROM:")));
    assert_false(slice_starts_nocase(SLICE("FR"), SLICE("FROM:")));
    assert_true(slice_ends_nocase(SLICE("a.Example"), SLICE(".example")));
    assert_false(slice_ends_nocase(SLICE("example"), SLICE(".example")));
}

static void sub_out_of_range_gives_less(void **state)
{
    (void)state;
    assert_true(slice_equal(slice_sub(SLICE("abc"), 1, 9), SLICE("bc")));
    assert_true(slice_equal(slice_sub(SLICE("abc"), 3, 1), SLICE("")));
    assert_true(slice_equal(slice_sub(SLICE("abc"), 9, SIZE_MAX), SLICE("")));
    assert_true(slice_equal(slice_sub((struct slice){NULL, 0}, 0, 5), SLICE("")));
}

static void trim_takes_white_space_at_both_ends_only(void **state)
{
    (void)state;
    assert_true(slice_equal(slice_trim(SLICE(" \t\r\na b\r\n ")), SLICE("a b")));
    assert_true(slice_equal(slice_trim(SLICE(" \r\n")), SLICE("")));
}

static void cut_walks_the_parts(void **state)
{
    (void)state;
    struct slice in = SLICE("a,,b"), part;
    assert_true(slice_cut(&in, ',', &part) && slice_equal(part, SLICE("a")));
    assert_true(slice_cut(&in, ',', &part) && slice_equal(part, SLICE("")));
    assert_true(slice_cut(&in, ',', &part) && slice_equal(part, SLICE("b")));
    assert_false(slice_cut(&in, ',', &part));
}

static void copy_refuses_what_a_c_string_cannot_hold(void **state)
{
    (void)state;
    char out[4] = "zzz";
    assert_true(slice_copy(SLICE("abc"), out, sizeof out));
    assert_string_equal(out, "abc");
    assert_false(slice_copy(SLICE("abcd"), out, sizeof out));
    assert_string_equal(out, "");
    assert_false(slice_copy(SLICE("a\0b"), out, sizeof out));
    assert_string_equal(out, "");
    assert_true(slice_copy((struct slice){NULL, 0}, out, sizeof out));
    assert_false(slice_copy(SLICE("\0"), out, sizeof out));
    assert_false(slice_copy(SLICE(""), out, 0));
}

static void eight_bit_is_seen_at_any_place(void **state)
{
    (void)state;
    for (size_t len = 0; len < 40; len++) {
        char text[40];
        memset(text, 'a', sizeof text);
        assert_false(slice_has_8bit((struct slice){text, len}));
        for (size_t at = 0; at < len; at++) {
            text[at] = (char)0x80;
            assert_true(slice_has_8bit((struct slice){text, len}));
            text[at] = 'a';
        }
    }
}

static void number_takes_digits_up_to_the_maximum(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t max;
        bool is_good;
        uint64_t want;
    } cases[] = {
        {"0", 0, true, 0},
        {"1", 0, false, 0},
        {"007", 9, true, 7},
        {"99", 99, true, 99},
        {"100", 99, false, 0},
        {"9", 5, false, 0},
        {"18446744073709551615", UINT64_MAX, true, UINT64_MAX},
        {"18446744073709551616", UINT64_MAX, false, 0},
        {"99999999999999999999", UINT64_MAX, false, 0},
        {"", 9, false, 0},
        {"-1", 9, false, 0},
        {"+1", 9, false, 0},
        {"1 ", 9, false, 0},
        {"0x1", 9, false, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint64_t got = 42;
        bool is_good = slice_number(slice_of(cases[i].text), cases[i].max, &got);
        if (is_good != cases[i].is_good || got != (is_good ? cases[i].want : 42))
            fail_msg("\"%s\" gave %d, %llu", cases[i].text, is_good, (unsigned long long)got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comparison_without_case_is_ascii_only),
        cmocka_unit_test(sub_out_of_range_gives_less),
        cmocka_unit_test(trim_takes_white_space_at_both_ends_only),
        cmocka_unit_test(cut_walks_the_parts),
        cmocka_unit_test(copy_refuses_what_a_c_string_cannot_hold),
        cmocka_unit_test(eight_bit_is_seen_at_any_place),
        cmocka_unit_test(number_takes_digits_up_to_the_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
