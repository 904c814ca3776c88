#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "gateway/sts/operator.h"

static struct sts_operator operator_at(const char *domain, const char *address)
{
    struct sts_operator o;
    struct net_address parsed;
    assert_true(net_address_parse(slice_of(address), &parsed));
    operator_of(domain, &parsed, 1, &o);
    return o;
}

static void the_registered_domain_is_guessed(void **state)
{
    static const struct {
        const char *domain, *want;
    } cases[] = {
        {"one.example", "one.example"}, {"a.b.one.example", "one.example"},
        {"example", "example"},         {"co.uk", "co.uk"},
        {"one.co.uk", "one.co.uk"},     {"a.one.co.uk", "one.co.uk"},
        {"a.one.com.au", "one.com.au"}, {"a.longer.de", "longer.de"},
        {"a.two.com", "two.com"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sts_operator o = operator_at(cases[i].domain, "192.0.2.1");
        assert_int_equal(o.count, 2);
        assert_string_equal(o.marks[0], cases[i].want);
        assert_string_equal(o.marks[1], "192.0.2.1");
    }
}

static void who_shares_a_domain_or_a_network_is_related(void **state)
{
    struct sts_operator one = operator_at("a.one.example", "192.0.2.1");
    struct sts_operator same_domain = operator_at("b.one.example", "192.0.2.2");
    struct sts_operator same_address = operator_at("two.example", "192.0.2.1");
    struct sts_operator other = operator_at("two.example", "192.0.2.2");
    struct sts_operator six = operator_at("six.example", "2001:db8:1:2::1");
    struct sts_operator same_network = operator_at("seven.example", "2001:db8:1:2:ffff::2");
    struct sts_operator other_network = operator_at("eight.example", "2001:db8:1:3::1");
    (void)state;
    assert_true(operator_is_related(&one, &same_domain));
    assert_true(operator_is_related(&one, &same_address));
    assert_false(operator_is_related(&one, &other));
    assert_true(operator_is_related(&six, &same_network));
    assert_false(operator_is_related(&six, &other_network));
}

static void of_many_addresses_the_first_four_count_each_once(void **state)
{
    struct sts_operator o;
    struct net_address addresses[8];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(addresses); i++) {
        assert_true(net_address_parse(SLICE("192.0.2.0"), &addresses[i]));
        addresses[i].bytes[3] = (uint8_t)(i / 2);
    }
    operator_of("one.example", addresses, COUNT_OF(addresses), &o);
    assert_int_equal(o.count, 3);
    assert_string_equal(o.marks[1], "192.0.2.0");
    assert_string_equal(o.marks[2], "192.0.2.1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_registered_domain_is_guessed),
        cmocka_unit_test(who_shares_a_domain_or_a_network_is_related),
        cmocka_unit_test(of_many_addresses_the_first_four_count_each_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
