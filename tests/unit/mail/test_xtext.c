#include "mail/xtext.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void xtext_is_undone_and_done_again(void **state)
{
    (void)state;
    char out[32];
    assert_true(xtext_decode(SLICE("a+2Bb+3Dc+20d"), out, sizeof out));
    assert_string_equal(out, "a+b=c d");
    assert_true(xtext_encode(SLICE("a+b=c d\n\xFF"), out, sizeof out));
    assert_string_equal(out, "a+2Bb+3Dc+20d+0A+FF");
    assert_true(xtext_decode(SLICE("+41+4A+4F+5a+5f+69"), out, sizeof out));
    assert_string_equal(out, "AJOZ_i");
    assert_true(xtext_decode(SLICE("+2b"), out, sizeof out));
    assert_string_equal(out, "+");
}

static void what_could_break_a_line_is_not_printable(void **state)
{
    (void)state;
    static const char *const bad[] = {"+0A", "+0D",  "+00",      "+7F",  "+80", "+FF", "+",
                                      "+2",  "+2G",  "+G2",      "+@2",  "+`2", "a+2", "a b",
                                      "a=b", "\x7F", "\xC3\xBC", "a\tb", "+1F"};
    char out[32];
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_false(xtext_is_printable(slice_of(bad[i])));
        assert_false(xtext_decode(slice_of(bad[i]), out, sizeof out));
        assert_string_equal(out, "");
    }
    assert_true(xtext_is_printable(SLICE("rfc822+20x~!")));
    assert_false(xtext_is_printable(SLICE("a\0b")));
}

static void what_does_not_fit_leaves_nothing(void **state)
{
    (void)state;
    char out[4];
    assert_true(xtext_decode(SLICE("abc"), out, sizeof out));
    assert_false(xtext_decode(SLICE("abcd"), out, sizeof out));
    assert_string_equal(out, "");
    assert_false(xtext_decode(SLICE(""), out, 0));
    assert_false(xtext_encode(SLICE(""), out, 0));
    assert_true(xtext_encode(SLICE("="), out, sizeof out));
    assert_false(xtext_encode(SLICE("a="), out, sizeof out));
    assert_string_equal(out, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(xtext_is_undone_and_done_again),
        cmocka_unit_test(what_could_break_a_line_is_not_printable),
        cmocka_unit_test(what_does_not_fit_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
