#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "gateway/dns/message.h"

#define BYTES(literal) ((struct slice){"" literal, sizeof(literal) - 1})

static void a_name_is_read_in_lower_case_without_trailing_dot(void **state)
{
    (void)state;
    char name[DOMAIN_SIZE];
    struct slice in = BYTES("\2Mx\7ExAmple\0rest");
    assert_true(dns_read_name(&in, name));
    assert_string_equal(name, "mx.example");
    assert_int_equal(in.len, 4);
}

static void the_root_is_a_dot(void **state)
{
    (void)state;
    char name[DOMAIN_SIZE];
    struct slice in = BYTES("\0");
    assert_true(dns_read_name(&in, name));
    assert_string_equal(name, ".");
    assert_int_equal(in.len, 0);
}

static void what_is_no_host_name_is_refused(void **state)
{
    (void)state;
    const struct slice cases[] = {
        BYTES(""),
        BYTES("\2"),
        BYTES("\2mx"),          /* no root label */
        BYTES("\3mx\0"),        /* the label takes the root label in */
        BYTES("\2mx\300\0"),    /* a compression pointer */
        BYTES("\100a\0"),       /* label type 01 */
        BYTES("\3a.b\0"),       /* a dot inside a label */
        BYTES("\2m\0\0"),       /* NUL */
        BYTES("\2m \0"),        /* space */
        BYTES("\3m\303\274\0"), /* not ASCII */
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char name[DOMAIN_SIZE];
        /* An exact copy lets the sanitizer see a read behind the end. */
        char *copy = malloc(cases[i].len ? cases[i].len : 1);
        memcpy(copy, cases[i].data, cases[i].len);
        struct slice in = {copy, cases[i].len};
        assert_false(dns_read_name(&in, name));
        assert_int_equal(in.len, cases[i].len);
        free(copy);
    }
}

static void a_label_has_at_most_63_octets(void **state)
{
    (void)state;
    char wire[70] = {63};
    char name[DOMAIN_SIZE];
    memset(wire + 1, 'a', 64);
    wire[64] = '\0';
    struct slice in = {wire, 65};
    assert_true(dns_read_name(&in, name));
    wire[0] = 64;
    wire[64] = 'a';
    wire[65] = '\0';
    in = (struct slice){wire, 66};
    assert_false(dns_read_name(&in, name));
}

/* Labels of 62 octets, 63 with the length: four make 252, and the root label ends the name. */
static size_t long_name(char *out, char last_label_len)
{
    size_t len = 0;
    for (int i = 0; i < 4; i++) {
        out[len++] = i == 3 ? last_label_len : 62;
        memset(out + len, 'a', (size_t)out[len - 1]);
        len += (size_t)out[len - 1];
    }
    out[len++] = '\0';
    return len;
}

static void a_name_of_255_octets_is_the_longest(void **state)
{
    (void)state;
    char wire[300];
    char name[DOMAIN_SIZE];
    /* The last label may be of 63 octets; one more label of one octet makes 255 in all. */
    size_t len = long_name(wire, 63);
    struct slice in = {wire, len};
    assert_int_equal(len, 254);
    assert_true(dns_read_name(&in, name));
    assert_int_equal(strlen(name), 252);
    memcpy(wire + len - 1, "\1a\0", 3);
    in = (struct slice){wire, len + 2};
    assert_false(dns_read_name(&in, name));
}

static void mx_rdata_is_a_preference_and_a_name_and_nothing_else(void **state)
{
    (void)state;
    unsigned preference;
    char name[DOMAIN_SIZE];
    assert_true(dns_read_mx(BYTES("\1\2\2mx\0"), &preference, name));
    assert_int_equal(preference, 0x102);
    assert_string_equal(name, "mx");
    assert_true(dns_read_mx(BYTES("\0\0\0"), &preference, name));
    assert_string_equal(name, ".");
    assert_false(dns_read_mx(BYTES("\0\12"), &preference, name));
    assert_false(dns_read_mx(BYTES("\0\12\2mx\0x"), &preference, name));
    assert_false(dns_read_mx(BYTES("\0\12\2mx"), &preference, name));
}

static void addresses_have_exactly_their_length(void **state)
{
    (void)state;
    struct net_address a;
    char text[NET_ADDRESS_SIZE];
    assert_true(dns_read_a(BYTES("\300\0\2\1"), &a));
    assert_string_equal(net_address_text(&a, text), "192.0.2.1");
    assert_false(dns_read_a(BYTES("\300\0\2"), &a));
    assert_false(dns_read_a(BYTES("\300\0\2\1\1"), &a));
    assert_true(dns_read_aaaa(BYTES("\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1"), &a));
    assert_string_equal(net_address_text(&a, text), "2001:db8::1");
    assert_false(dns_read_aaaa(BYTES("\300\0\2\1"), &a));
}

static void tlsa_rdata_has_three_octets_and_data_that_fits(void **state)
{
    (void)state;
    static char wire[3 + TLSA_DATA_MAX + 1];
    struct dns_tlsa_record record;
    assert_true(dns_read_tlsa(BYTES("\3\1\2ab"), &record));
    assert_int_equal(record.usage, 3);
    assert_int_equal(record.selector, 1);
    assert_int_equal(record.matching, 2);
    assert_int_equal(record.len, 2);
    assert_memory_equal(record.data, "ab", 2);
    assert_true(dns_read_tlsa(BYTES("\3\1\1"), &record));
    assert_false(dns_read_tlsa(BYTES("\3\1"), &record));
    assert_true(dns_read_tlsa((struct slice){wire, 3 + TLSA_DATA_MAX}, &record));
    assert_false(dns_read_tlsa((struct slice){wire, 3 + TLSA_DATA_MAX + 1}, &record));
}

static void a_name_in_text_loses_case_and_its_last_dot(void **state)
{
    (void)state;
    char name[DOMAIN_SIZE];
    char long_text[DOMAIN_SIZE + 2];
    assert_true(dns_fold_name(slice_of("Mx.EXAMPLE."), name));
    assert_string_equal(name, "mx.example");
    assert_true(dns_fold_name(slice_of("."), name));
    assert_string_equal(name, ".");
    memset(long_text, 'a', sizeof long_text);
    assert_false(dns_fold_name((struct slice){long_text, sizeof long_text}, name));
}

static void txt_rdata_is_strings_that_are_joined(void **state)
{
    (void)state;
    char out[16];
    size_t len;
    assert_true(dns_read_txt(BYTES("\3one\0\3two"), out, &len));
    assert_int_equal(len, 6);
    assert_memory_equal(out, "onetwo", 6);
    assert_true(dns_read_txt(BYTES("\2\0\377"), out, &len));
    assert_int_equal(len, 2);
    assert_memory_equal(out, "\0\377", 2);
    assert_true(dns_read_txt(BYTES("\0"), out, &len));
    assert_int_equal(len, 0);
}

static void txt_rdata_that_ends_inside_a_string_is_refused(void **state)
{
    (void)state;
    char out[16];
    size_t len;
    assert_false(dns_read_txt(BYTES(""), out, &len));
    assert_false(dns_read_txt(BYTES("\1"), out, &len));
    assert_false(dns_read_txt(BYTES("\3one\4two"), out, &len));
    assert_false(dns_read_txt(BYTES("\377one"), out, &len));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_read_in_lower_case_without_trailing_dot),
        cmocka_unit_test(the_root_is_a_dot),
        cmocka_unit_test(what_is_no_host_name_is_refused),
        cmocka_unit_test(a_label_has_at_most_63_octets),
        cmocka_unit_test(a_name_of_255_octets_is_the_longest),
        cmocka_unit_test(mx_rdata_is_a_preference_and_a_name_and_nothing_else),
        cmocka_unit_test(addresses_have_exactly_their_length),
        cmocka_unit_test(tlsa_rdata_has_three_octets_and_data_that_fits),
        cmocka_unit_test(a_name_in_text_loses_case_and_its_last_dot),
        cmocka_unit_test(txt_rdata_is_strings_that_are_joined),
        cmocka_unit_test(txt_rdata_that_ends_inside_a_string_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
