#include "mail/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void codes_are_read_from_the_front_alone(void **state)
{
    (void)state;
    static const struct {
        const char *in, *status, *rest;
    } cases[] = {
        {"5.7.4 TLS is required", "5.7.4", " TLS is required"},
        {"2.0.0", "2.0.0", ""},
        {"4.999.999x", "4.999.999", "x"},
        {"5.7.30", "5.7.30", ""},
        {"5.1.1.1", "5.1.1", ".1"},
        {"3.0.0 no such class", NULL, NULL},
        {"1.0.0", NULL, NULL},
        {"55.1.1", NULL, NULL},
        {"05.1.1", NULL, NULL},
        {"5.1000.1", NULL, NULL},
        {"5.1.1000", NULL, NULL},
        {"5.1.", NULL, NULL},
        {"5.1", NULL, NULL},
        {"5..1", NULL, NULL},
        {" 5.1.1", NULL, NULL},
        {"-5.1.1", NULL, NULL},
        {"", NULL, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct slice in = slice_of(cases[i].in);
        struct status s = {0};
        char text[STATUS_SIZE];
        bool is_good = status_parse(&in, &s);
        if (is_good != (cases[i].status != NULL))
            fail_msg("\"%s\" gave %d", cases[i].in, is_good);
        assert_true(slice_equal(in, slice_of(is_good ? cases[i].rest : cases[i].in)));
        if (is_good)
            assert_string_equal(status_text(s, text), cases[i].status);
    }
}

static void equality_looks_at_all_three(void **state)
{
    (void)state;
    assert_true(status_equal(status_make(5, 7, 4), status_make(5, 7, 4)));
    assert_false(status_equal(status_make(5, 7, 4), status_make(4, 7, 4)));
    assert_false(status_equal(status_make(5, 7, 4), status_make(5, 1, 4)));
    assert_false(status_equal(status_make(5, 7, 4), status_make(5, 7, 5)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_read_from_the_front_alone),
        cmocka_unit_test(equality_looks_at_all_three),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
