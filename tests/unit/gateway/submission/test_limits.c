#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/submission/limits.h"

#define MINUTE_MS ((int64_t)60 * 1000)
#define NOW ((int64_t)1795361330000)

static struct net_address address(const char *text)
{
    struct net_address a;
    assert_true(net_address_parse(slice_of(text), &a));
    return a;
}

static void connections_are_limited_per_address_and_in_all(void **state)
{
    (void)state;
    struct submission_limits *l = submission_limits_new();
    struct net_address a = address("192.0.2.1"), b = address("192.0.2.2"), c = address("192.0.2.3");
    assert_int_equal(limits_connect(l, &a, 3, 2), LIMITS_OK);
    assert_int_equal(limits_connect(l, &a, 3, 2), LIMITS_OK);
    assert_int_equal(limits_connect(l, &a, 3, 2), LIMITS_ADDRESS);
    assert_int_equal(limits_connect(l, &b, 3, 2), LIMITS_OK);
    assert_int_equal(limits_connect(l, &c, 3, 2), LIMITS_TOTAL);
    assert_int_equal(submission_limits_connections(l), 3);
    limits_disconnect(l, &a);
    assert_int_equal(limits_connect(l, &a, 3, 2), LIMITS_OK);
    submission_limits_free(l);
}

static void zero_is_no_limit(void **state)
{
    (void)state;
    struct submission_limits *l = submission_limits_new();
    struct net_address a = address("192.0.2.1");
    for (int i = 0; i < 100; i++) {
        assert_int_equal(limits_connect(l, &a, 0, 0), LIMITS_OK);
        limits_auth_failed(l, &a, 0, NOW);
        assert_true(limits_take(l, "a@example.org", LIMITS_MESSAGES, 0, NOW));
    }
    assert_false(limits_auth_is_blocked(l, &a, 0, NOW));
    submission_limits_free(l);
}

static void ipv6_counts_by_its_64_and_mapped_addresses_as_ipv4(void **state)
{
    (void)state;
    struct submission_limits *l = submission_limits_new();
    struct net_address a = address("2001:db8:1:2::1"), b = address("2001:db8:1:2:3:4:5:6"),
                       c = address("2001:db8:1:3::1"), d = address("192.0.2.1"),
                       e = address("::ffff:192.0.2.1");
    assert_int_equal(limits_connect(l, &a, 0, 1), LIMITS_OK);
    assert_int_equal(limits_connect(l, &b, 0, 1), LIMITS_ADDRESS);
    assert_int_equal(limits_connect(l, &c, 0, 1), LIMITS_OK);
    assert_int_equal(limits_connect(l, &d, 0, 1), LIMITS_OK);
    assert_int_equal(limits_connect(l, &e, 0, 1), LIMITS_ADDRESS);
    submission_limits_free(l);
}

static void failed_logins_block_an_address_until_they_have_leaked_away(void **state)
{
    (void)state;
    struct submission_limits *l = submission_limits_new();
    struct net_address a = address("192.0.2.1"), b = address("192.0.2.2");
    for (int i = 0; i < 10; i++) {
        assert_false(limits_auth_is_blocked(l, &a, 10, NOW + i));
        limits_auth_failed(l, &a, 10, NOW + i);
    }
    assert_true(limits_auth_is_blocked(l, &a, 10, NOW + 10));
    assert_false(limits_auth_is_blocked(l, &b, 10, NOW + 10));
    assert_true(limits_auth_is_blocked(l, &a, 10, NOW + 2 * MINUTE_MS));
    assert_false(limits_auth_is_blocked(l, &a, 10, NOW + 7 * MINUTE_MS));
    limits_auth_failed(l, &a, 10, NOW + 7 * MINUTE_MS);
    assert_true(limits_auth_is_blocked(l, &a, 10, NOW + 7 * MINUTE_MS));
    submission_limits_free(l);
}

static void an_hour_holds_so_many_messages_and_begins_anew(void **state)
{
    (void)state;
    struct submission_limits *l = submission_limits_new();
    const char *user = "alice@example.org";
    assert_true(limits_take(l, user, LIMITS_MESSAGES, 2, NOW));
    assert_true(limits_take(l, user, LIMITS_MESSAGES, 2, NOW));
    assert_false(limits_take(l, user, LIMITS_MESSAGES, 2, NOW));
    assert_true(limits_take(l, user, LIMITS_RECIPIENTS, 1, NOW));
    assert_true(limits_take(l, "bob@example.org", LIMITS_MESSAGES, 2, NOW));
    limits_give_back(l, user, LIMITS_MESSAGES, 1);
    assert_true(limits_take(l, user, LIMITS_MESSAGES, 2, NOW));
    assert_false(limits_take(l, user, LIMITS_MESSAGES, 2, NOW + 59 * MINUTE_MS));
    assert_true(limits_take(l, user, LIMITS_MESSAGES, 2, NOW + 60 * MINUTE_MS));
    limits_give_back(l, "nobody@example.org", LIMITS_MESSAGES, 5);
    submission_limits_free(l);
}

static void many_addresses_that_never_return_are_swept(void **state)
{
    (void)state;
    struct submission_limits *l = submission_limits_new();
    for (uint32_t i = 0; i < 20000; i++) {
        struct net_address a = {.family = NET_IPV4};
        a.bytes[0] = 10;
        a.bytes[1] = (uint8_t)(i >> 16);
        a.bytes[2] = (uint8_t)(i >> 8);
        a.bytes[3] = (uint8_t)i;
        assert_int_equal(limits_connect(l, &a, 0, 0), LIMITS_OK);
        limits_auth_failed(l, &a, 10, NOW + (int64_t)i * MINUTE_MS);
        limits_disconnect(l, &a);
    }
    assert_int_equal(submission_limits_connections(l), 0);
    submission_limits_free(l);
}

static void session_numbers_never_repeat(void **state)
{
    (void)state;
    struct submission_limits *l = submission_limits_new();
    uint64_t first = limits_session_number(l);
    assert_true(limits_session_number(l) != first);
    submission_limits_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_are_limited_per_address_and_in_all),
        cmocka_unit_test(zero_is_no_limit),
        cmocka_unit_test(ipv6_counts_by_its_64_and_mapped_addresses_as_ipv4),
        cmocka_unit_test(failed_logins_block_an_address_until_they_have_leaked_away),
        cmocka_unit_test(an_hour_holds_so_many_messages_and_begins_anew),
        cmocka_unit_test(many_addresses_that_never_return_are_swept),
        cmocka_unit_test(session_numbers_never_repeat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
