#include "mail/id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void text_and_back_gives_the_number(void **state)
{
    (void)state;
    static const uint64_t ids[] = {0,
                                   1,
                                   30,
                                   31,
                                   961,
                                   1ULL << 32,
                                   787662783788549760ULL,
                                   787662783788549761ULL,
                                   UINT64_MAX - 1,
                                   UINT64_MAX};
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        char text[ID_SIZE];
        uint64_t back = 42;
        assert_ptr_equal(id_text(ids[i], text), text);
        assert_true(strlen(text) >= 12);
        assert_null(strpbrk(text, "AEIOUaeiou"));
        assert_true(id_parse(slice_of(text), &back));
        assert_true(back == ids[i]);
    }
}

static void case_does_not_matter(void **state)
{
    (void)state;
    uint64_t a = 0, b = 1;
    assert_true(id_parse(SLICE("00000000bcfz"), &a));
    assert_true(id_parse(SLICE("00000000BCFZ"), &b));
    assert_true(a == b);
}

static void what_is_no_id_is_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {"",
                                        "0",
                                        "00000000000",
                                        "0000000000000",
                                        "00000000000A",
                                        "00000000000 ",
                                        "ZZZZZZZZZZZZZ",
                                        "0000000000-1",
                                        "00000000000000"};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint64_t id = 42;
        assert_false(id_parse(slice_of(cases[i]), &id));
        assert_true(id == 42);
    }
    uint64_t id = 0;
    assert_false(id_parse((struct slice){"00000000000\0", 12}, &id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_back_gives_the_number),
        cmocka_unit_test(case_does_not_matter),
        cmocka_unit_test(what_is_no_id_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
