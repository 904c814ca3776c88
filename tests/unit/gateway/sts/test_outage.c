#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "gateway/sts/outage.h"

#define NOW 1800000000

/* Domain and address differ by these numbers. */
static bool note(struct outage *o, unsigned domain, unsigned host, bool is_reached, int64_t now)
{
    char name[32];
    struct net_address address;
    struct sts_operator who;
    snprintf(name, sizeof name, "d%u.test", domain);
    assert_true(net_address_parse(SLICE("192.0.2.0"), &address));
    address.bytes[3] = (uint8_t)host;
    operator_of(name, &address, 1, &who);
    return outage_note(o, &who, is_reached, now);
}

static void five_strangers_that_fail_are_our_outage_until_one_is_reached(void **state)
{
    struct outage o = {0};
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        assert_false(note(&o, i, i, false, NOW));
    assert_true(note(&o, 4, 4, false, NOW));
    assert_true(o.is_on);
    assert_false(note(&o, 5, 5, false, NOW + 7200));
    assert_true(o.is_on);
    assert_true(note(&o, 6, 6, true, NOW + 7200));
    assert_false(o.is_on);
    assert_int_equal(o.ended, 1);
}

static void related_failures_count_once(void **state)
{
    struct outage o = {0};
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        assert_false(note(&o, 1, i, false, NOW));     /* one domain */
        assert_false(note(&o, 1 + i, 1, false, NOW)); /* one address */
    }
}

static void a_success_within_ten_minutes_speaks_against_it(void **state)
{
    struct outage o = {0};
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        assert_false(note(&o, i, i, false, NOW));
    assert_false(note(&o, 9, 9, true, NOW));
    for (unsigned i = 0; i < 20; i++)
        assert_false(note(&o, i, i, false, NOW + 599));
    assert_true(note(&o, 3, 3, false, NOW + 600));
}

static void failures_of_more_than_an_hour_ago_do_not_count(void **state)
{
    struct outage o = {0};
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        assert_false(note(&o, i, i, false, NOW));
    assert_false(note(&o, 4, 4, false, NOW + 3600));
    for (unsigned i = 0; i < 3; i++)
        assert_false(note(&o, i, i, false, NOW + 3601));
    assert_true(note(&o, 3, 3, false, NOW + 3602));
}

static bool fail_five(struct outage *o, int64_t now)
{
    bool is_begun = false;
    for (unsigned i = 0; i < 5; i++)
        is_begun |= note(o, i, i, false, now);
    return is_begun;
}

/* Dead policy hosts alone must not keep mail waiting until its lifetime is over. */
static void it_is_ours_for_four_hours_of_a_day_at_most(void **state)
{
    struct outage o = {0};
    (void)state;
    assert_true(fail_five(&o, NOW));
    assert_false(note(&o, 0, 0, false, NOW + 14399));
    assert_true(note(&o, 0, 0, false, NOW + 14400));
    assert_false(o.is_on);
    assert_false(fail_five(&o, NOW + 14401));
    assert_false(fail_five(&o, NOW + 86399));
    assert_true(fail_five(&o, NOW + 86400));
}

static void one_that_comes_and_goes_spends_the_day_too(void **state)
{
    struct outage o = {0};
    unsigned begun = 0;
    (void)state;
    for (int64_t now = NOW; now < NOW + 86400; now += 700) {
        begun += fail_five(&o, now);
        (void)!note(&o, 9, 9, true, now + 1);
    }
    assert_int_equal(begun, 24); /* of ten minutes each */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(five_strangers_that_fail_are_our_outage_until_one_is_reached),
        cmocka_unit_test(related_failures_count_once),
        cmocka_unit_test(a_success_within_ten_minutes_speaks_against_it),
        cmocka_unit_test(failures_of_more_than_an_hour_ago_do_not_count),
        cmocka_unit_test(it_is_ours_for_four_hours_of_a_day_at_most),
        cmocka_unit_test(one_that_comes_and_goes_spends_the_day_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
