#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "gateway/net/address.h"

static void parses_exactly_what_is_an_address(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        const char *want; /* NULL: refused */
    } cases[] = {
        {"192.0.2.1", "192.0.2.1"},
        {"[192.0.2.1]", "192.0.2.1"},
        {"0.0.0.0", "0.0.0.0"},
        {"2001:db8::1", "2001:db8::1"},
        {"[2001:DB8:0:0:0:0:0:1]", "2001:db8::1"},
        {"[IPv6:2001:db8::1]", "2001:db8::1"},
        {"ipv6:::1", "::1"},
        {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
        {"fe80::1%1", "fe80::1%1"},
        {"fe80::1%lo", "fe80::1%1"},
        {"[fe80::1%1]", "fe80::1%1"},
        {"", NULL},
        {"[]", NULL},
        {"[", NULL},
        {"[192.0.2.1", NULL},
        {"192.0.2.1]", NULL},
        {" 192.0.2.1", NULL},
        {"192.0.2.1 ", NULL},
        {"192.0.2", NULL},
        {"192.0.2.256", NULL},
        {"192.0.2.01", NULL},
        {"0x7f.0.0.1", NULL},
        {"2130706433", NULL},
        {"192.0.2.1:25", NULL},
        {"IPv6:192.0.2.1", NULL},
        {"IPv6:fe80::1%1", NULL},
        {"fe80::1%", NULL},
        {"fe80::1%0", NULL},
        {"fe80::1%no-such-interface", NULL},
        {"192.0.2.1%1", NULL},
        {":::", NULL},
        {"1:2:3:4:5:6:7:8:9", NULL},
        {"mx.example", NULL},
        {"[[192.0.2.1]]", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct net_address got;
        char text[NET_ADDRESS_SIZE];
        bool is_parsed = net_address_parse(slice_of(cases[i].in), &got);
        if (is_parsed != (cases[i].want != NULL))
            fail_msg("\"%s\": %s", cases[i].in, is_parsed ? "parsed" : "refused");
        if (is_parsed)
            assert_string_equal(net_address_text(&got, text), cases[i].want);
    }
}

static void a_nul_inside_is_refused(void **state)
{
    (void)state;
    struct net_address got;
    assert_false(net_address_parse((struct slice){"127.0.0.1\0x", 11}, &got));
    assert_false(net_address_unix((struct slice){"/run/x\0y", 8}, &got));
}

static void a_unix_path_must_fit_with_its_nul(void **state)
{
    (void)state;
    struct net_address got;
    char path[109], text[NET_ADDRESS_SIZE];
    memset(path, 'x', sizeof(path));
    path[0] = '/';
    assert_false(net_address_unix((struct slice){path, 108}, &got));
    assert_true(net_address_unix((struct slice){path, 107}, &got));
    assert_int_equal(strlen(net_address_text(&got, text)), 107);
    assert_false(net_address_unix(slice_of(""), &got));
}

static struct net_address parsed(const char *text)
{
    struct net_address a;
    assert_true(net_address_parse(slice_of(text), &a));
    return a;
}

static void equality_counts_the_port_and_the_scope(void **state)
{
    (void)state;
    struct net_address a = parsed("192.0.2.1"), b = parsed("192.0.2.1");
    assert_true(net_address_equal(&a, &b));
    b.port = 25;
    assert_false(net_address_equal(&a, &b));
    a = parsed("fe80::1%1"), b = parsed("fe80::1%2");
    assert_false(net_address_equal(&a, &b));
    a = parsed("::ffff:192.0.2.1"), b = parsed("192.0.2.1");
    assert_false(net_address_equal(&a, &b));
    net_address_unmap(&a);
    assert_true(net_address_equal(&a, &b));
}

static void loopback_is_known_in_every_form(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        bool want;
    } cases[] = {
        {"127.0.0.1", true},  {"127.255.255.254", true},
        {"::1", true},        {"::ffff:127.0.0.9", true},
        {"128.0.0.1", false}, {"::2", false},
        {"::", false},        {"126.255.255.255", false},
        {"::7f00:1", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct net_address a = parsed(cases[i].address);
        if (net_address_is_loopback(&a) != cases[i].want)
            fail_msg("%s", cases[i].address);
    }
    struct net_address a;
    assert_true(net_address_unix(slice_of("/run/lmtp"), &a));
    assert_true(net_address_is_loopback(&a));
}

static void networks_are_parsed_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        int want; /* prefix, -1 refused */
    } cases[] = {
        {"127.0.0.0/8", 8},         {"0.0.0.0/0", 0},         {"192.0.2.1", 32},
        {"192.0.2.1/32", 32},       {"::1/128", 128},         {"fe80::/10", 10},
        {"2001:db8::", 128},        {"[::1]/128", 128},       {"::/0", 0},
        {"::ffff:10.0.0.0/104", 8}, {"::ffff:0.0.0.0/96", 0}, {"127.0.0.1/8", -1},
        {"10.0.0.0/33", -1},        {"10.0.0.0/", -1},        {"10.0.0.0/08", -1},
        {"10.0.0.0/-1", -1},        {"10.0.0.0/ 8", -1},      {"/8", -1},
        {"fe80::1%1/128", -1},      {"::1/129", -1},          {"10.0.0.0/8/8", -1},
        {"example.org/8", -1},      {"192.0.2.128/24", -1},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct net_network n;
        int got = net_network_parse(slice_of(cases[i].in), &n) ? n.prefix : -1;
        if (got != cases[i].want)
            fail_msg("%s: got %d, want %d", cases[i].in, got, cases[i].want);
    }
}

static void a_network_has_its_addresses_and_no_others(void **state)
{
    (void)state;
    static const struct {
        const char *network, *address;
        bool want;
    } cases[] = {
        {"127.0.0.0/8", "127.1.2.3", true},
        {"127.0.0.0/8", "128.0.0.0", false},
        {"127.0.0.0/8", "::ffff:127.0.0.1", true},
        {"127.0.0.0/8", "::1", false},
        {"0.0.0.0/0", "203.0.113.9", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"::/0", "2001:db8::1", true},
        {"::/0", "192.0.2.1", false},
        {"192.0.2.128/25", "192.0.2.127", false},
        {"192.0.2.128/25", "192.0.2.200", true},
        {"fe80::/10", "febf::1", true},
        {"fe80::/10", "fec0::1", false},
        {"::ffff:10.0.0.0/104", "10.9.9.9", true},
        {"::1", "::1", true},
        {"::1", "::2", false},
        {"192.0.2.1", "192.0.2.1", true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct net_network n;
        struct net_address a = parsed(cases[i].address);
        assert_true(net_network_parse(slice_of(cases[i].network), &n));
        if (net_network_has(&n, &a) != cases[i].want)
            fail_msg("%s in %s", cases[i].address, cases[i].network);
    }
    struct net_network all;
    struct net_address path;
    assert_true(net_network_parse(slice_of("0.0.0.0/0"), &all));
    assert_true(net_address_unix(slice_of("/run/x"), &path));
    assert_false(net_network_has(&all, &path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_exactly_what_is_an_address),
        cmocka_unit_test(a_nul_inside_is_refused),
        cmocka_unit_test(a_unix_path_must_fit_with_its_nul),
        cmocka_unit_test(equality_counts_the_port_and_the_scope),
        cmocka_unit_test(loopback_is_known_in_every_form),
        cmocka_unit_test(networks_are_parsed_strictly),
        cmocka_unit_test(a_network_has_its_addresses_and_no_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
