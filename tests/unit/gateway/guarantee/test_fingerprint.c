#include "gateway/guarantee/fingerprint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define A16 "0123456789abcdef"
#define A64 A16 A16 A16 A16
#define U16 "0123456789ABCDEF"
#define U64 U16 U16 U16 U16
#define C16 "01:23:45:67:89:aB:CD:ef"
#define C64 C16 ":" C16 ":" C16 ":" C16
#define B64 "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
#define IS "fingerprint="

static void digests_are_read_with_and_without_colons_in_any_case(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        size_t want;
    } cases[] = {
        {IS A64, 1},         {IS U64, 1},
        {IS C64, 1},         {IS A64 "," B64, 2},
        {IS B64 "," C64, 2}, {IS " " A64 " ,\t" B64 " ", 2},
        {IS A64 "," A64, 2}, {IS B64 "," B64 "," U64, 3},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct guarantee_fingerprints got = {0};
        if (!guarantee_fingerprints_parse(slice_of(cases[i].in), &got))
            fail_msg("refused: %s", cases[i].in);
        assert_int_equal(got.count, cases[i].want);
        assert_true(guarantee_fingerprints_have(&got, A64));
        guarantee_fingerprints_clear(&got);
        assert_int_equal(got.count, 0);
    }
}

static void what_is_no_list_of_digests_is_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "fingerprint",
        IS,
        IS ",",
        IS A64 ",",
        IS "," A64,
        IS A64 ",," B64,
        IS A64 " " B64,
        IS A64 ":",
        IS A64 "0",
        IS A16,
        IS "g123456789abcdef" A16 A16 A16,
        IS "0x23456789abcdef" A16 A16 A16,
        IS "01:23456789abcdef" A16 A16 A16,
        IS C16 ":" C16 ":" C16 ":01:23:45:67:89:aB:CDe:f",
        IS C16 ":" C16 ":" C16 ":01:23:45:67:89:aB:CD-ef",
        IS C64 ":00",
        IS "sha256:" A64,
        "Fingerprint=" A64,
        A64,
        "verify," IS A64,
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char untouched[1][FINGERPRINT_SIZE] = {"x"};
        struct guarantee_fingerprints got = {.count = 7, .digests = untouched};
        if (guarantee_fingerprints_parse(slice_of(cases[i]), &got))
            fail_msg("accepted: %s", cases[i]);
        assert_int_equal(got.count, 7);
        assert_ptr_equal(got.digests, untouched);
    }
    struct guarantee_fingerprints got = {0};
    assert_false(guarantee_fingerprints_parse(
        (struct slice){IS "0123\0" A16 A16 A16 "56789abcdef", sizeof IS - 1 + 64}, &got));
}

static void nothing_but_a_whole_digest_is_one_of_them(void **state)
{
    (void)state;
    struct guarantee_fingerprints f = {0};
    assert_false(guarantee_fingerprints_have(&f, A64));
    assert_true(guarantee_fingerprints_parse(SLICE(IS U64 "," C64), &f));
    assert_true(guarantee_fingerprints_have(&f, A64));
    assert_false(guarantee_fingerprints_have(&f, B64));
    assert_false(guarantee_fingerprints_have(&f, A16));
    assert_false(guarantee_fingerprints_have(&f, ""));
    assert_false(guarantee_fingerprints_have(&f, NULL));
    guarantee_fingerprints_clear(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_are_read_with_and_without_colons_in_any_case),
        cmocka_unit_test(what_is_no_list_of_digests_is_refused),
        cmocka_unit_test(nothing_but_a_whole_digest_is_one_of_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
