#include "gateway/schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void durations_need_a_unit(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        int64_t want; /* -1: refused */
    } cases[] = {
        {"30s", 30000},    {"15m", 900000},
        {"4h", 14400000},  {"5d", 432000000},
        {"1w", 604800000}, {"0s", 0},
        {"30", -1},        {"s", -1},
        {"", -1},          {"-1s", -1},
        {"1.5h", -1},      {"1 h", -1},
        {"1hh", -1},       {"9223372036854775807d", -1},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t got = -1;
        bool is_read = schema_duration(slice_of(cases[i].in), &got);
        if (is_read != (cases[i].want >= 0) || got != cases[i].want)
            fail_msg("%s: %lld", cases[i].in, (long long)got);
    }
}

static void sizes_take_a_unit(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        uint64_t want; /* 0: refused */
    } cases[] = {{"25M", 26214400}, {"64G", 68719476736}, {"1T", 1099511627776},
                 {"10K", 10240},    {"4096", 4096},       {"25m", 0},
                 {"M", 0},          {"-1M", 0},           {"1.5M", 0},
                 {"16777216T", 0}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint64_t got = 0;
        bool is_read = schema_size(slice_of(cases[i].in), &got);
        if (is_read != (cases[i].want > 0) || got != cases[i].want)
            fail_msg("%s: %llu", cases[i].in, (unsigned long long)got);
    }
}

static void every_preset_is_a_good_value(void **state)
{
    (void)state;
    char expected[200];
    for (size_t i = 0; i < schema_key_count; i++) {
        const struct schema_key *key = &schema_keys[i];
        struct slice left = slice_of(key->preset);
        struct slice item;
        bool is_list = key->kind == SCHEMA_CHOICES || key->kind == SCHEMA_ADDRESSES ||
                       key->kind == SCHEMA_NETWORKS || key->kind == SCHEMA_RESOLVERS;
        assert_true(key->help && key->help[0]);
        assert_ptr_equal(schema_find(key->section, key->key), key); /* no key twice */
        while (key->preset && slice_cut(&left, is_list ? ',' : '\n', &item)) {
            char value[200];
            assert_true(slice_copy(slice_trim(item), value, sizeof value));
            if (!schema_check(key, value, expected, sizeof expected))
                fail_msg("%s: %s = %s: expected %s", key->section, key->key, value, expected);
        }
    }
}

static void bad_values_say_what_was_expected(void **state)
{
    (void)state;
    static const struct {
        const char *section, *key, *value, *want;
    } cases[] = {
        {"delivery", "port", "0", "a whole number from 1 to 65535"},
        {"delivery", "port", "http", "a whole number"},
        {"retry", "first", "5", "a duration such as"},
        {"retry", "first", "0s", "from 1s to 366d"},
        {"tlsrpt", "spread", "21h", "from 0s to 20h"},
        {"listen", "tls", "yes", "starttls|implicit|optional"},
        {"delivery", "blocked_networks", "127.0.0.0/33", "a network such as"},
        {"dns", "resolvers", "dns.example", "ADDRESS@PORT"},
        {"route", "next_hop", "[x", "[HOST]:PORT"},
        {"", "hostname", "", "a domain name"},
        {"dns", "self_test_bogus", "a b", "a domain name"},
        {"", "state_directory", "", "not empty"},
        {"guarantee", "exempt_auto_replies", "1", "true or false"},
        {"guarantee", "at_rcpt", "true", "off|known|probe"},
        {"limits", "message_size", "big", "a size such as"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char expected[200] = "";
        const struct schema_key *key = schema_find(cases[i].section, cases[i].key);
        assert_non_null(key);
        assert_false(schema_check(key, cases[i].value, expected, sizeof expected));
        if (!strstr(expected, cases[i].want))
            fail_msg("%s: %s", cases[i].key, expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_need_a_unit),
        cmocka_unit_test(sizes_take_a_unit),
        cmocka_unit_test(every_preset_is_a_good_value),
        cmocka_unit_test(bad_values_say_what_was_expected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
