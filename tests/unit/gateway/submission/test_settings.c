#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/submission/settings.h"

static void new_settings_are_empty_but_for_loops_and_timeouts(void **state)
{
    (void)state;
    struct submission_settings *s = submission_settings_new();
    assert_int_equal(s->max_received, 50);
    assert_int_equal(s->command_timeout_ms, 5 * 60 * 1000);
    assert_int_equal(s->data_timeout_ms, 5 * 60 * 1000);
    assert_string_equal(s->assistance, "");
    assert_int_equal(s->listener_count, 0);
    submission_settings_unref(s);
}

static void the_last_reference_frees(void **state) /* the leak checker is the judge */
{
    (void)state;
    struct submission_settings *s = submission_settings_new();
    s->listener_count = 1;
    s->listeners = xalloc(sizeof *s->listeners);
    s->listeners[0].trusted = xalloc(sizeof *s->listeners[0].trusted);
    s->listeners[0].addresses = xalloc(sizeof *s->listeners[0].addresses);
    assert_ptr_equal(submission_settings_ref(s), s);
    submission_settings_unref(s);
    assert_int_equal(s->listener_count, 1);
    submission_settings_unref(s);
    submission_settings_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_settings_are_empty_but_for_loops_and_timeouts),
        cmocka_unit_test(the_last_reference_frees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
