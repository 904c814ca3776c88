#include "mail/domain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void names_become_lower_case_a_labels(void **state)
{
    (void)state;
    static const struct {
        const char *in, *want; /* NULL: refused */
    } cases[] = {
        {"Example.ORG", "example.org"},
        {"example.org.", "example.org"},
        {"localhost", "localhost"},
        {"_25._tcp.mx.example", "_25._tcp.mx.example"},
        {"b\xC3\xBC"
         "cher.example",
         "xn--bcher-kva.example"},
        {"B\xC3\x9C"
         "CHER.example",
         "xn--bcher-kva.example"},
        {"bu\xCC\x88"
         "cher.example",
         "xn--bcher-kva.example"}, /* decomposed */
        {"stra\xC3\x9F"
         "e.example",
         "xn--strae-oqa.example"}, /* non-transitional: no "ss" */
        {"XN--BCHER-KVA.example", "xn--bcher-kva.example"},
        {"xn--bcher-kva.b\xC3\xBC"
         "cher",
         "xn--bcher-kva.xn--bcher-kva"},
        {"a\xE3\x80\x82"
         "example",
         "a.example"}, /* ideographic full stop */
        {"123.example", "123.example"},
        {"", NULL},
        {".", NULL},
        {"a..b", NULL},
        {".a", NULL},
        {"a..", NULL},
        {"-a.example", NULL},
        {"a-.example", NULL},
        {"a b.example", NULL},
        {"a@b.example", NULL},
        {"[192.0.2.1]", NULL},
        {"192.0.2.1", NULL},
        {"a\nb.example", NULL},
        {"a\x7F.example", NULL},
        {"\xFF.example", NULL},
        {"\xE2\x84\x80.example", NULL}, /* maps to "a/c" */
        {"a\xEF\xBC\xA0"
         "b.example",
         NULL}, /* full-width @ */
        {"a\xE2\x80\xAE"
         "b.example",
         NULL}, /* right-to-left override */
        {"a234567890123456789012345678901234567890123456789012345678901234.example", NULL},
        {"a23456789012345678901234567890123456789012345678901234567890123.example",
         "a23456789012345678901234567890123456789012345678901234567890123.example"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char out[DOMAIN_SIZE] = "x";
        bool is_good = domain_to_ascii(slice_of(cases[i].in), out);
        if (is_good != (cases[i].want != NULL) || strcmp(out, is_good ? cases[i].want : "") != 0)
            fail_msg("\"%s\" gave %d \"%s\"", cases[i].in, is_good, out);
    }
    char out[DOMAIN_SIZE];
    assert_false(domain_to_ascii(SLICE("a\0.example"), out));
    assert_false(domain_to_ascii(SLICE("\xC3\xBC\0.example"), out));
}

static void a_name_fits_in_253_characters(void **state)
{
    (void)state;
    char name[256], out[DOMAIN_SIZE];
    memset(name, 'a', sizeof name);
    name[63] = name[127] = name[191] = '.';
    assert_true(domain_to_ascii((struct slice){name, 253}, out));
    assert_int_equal(strlen(out), 253);
    assert_false(domain_to_ascii((struct slice){name, 254}, out));
    assert_string_equal(out, "");
}

static void people_see_u_labels_where_that_is_safe(void **state)
{
    (void)state;
    static const struct {
        const char *in, *want;
    } cases[] = {
        {"xn--bcher-kva.example", "b\xC3\xBC"
                                  "cher.example"},
        {"example.org", "example.org"},
        {"xn--fiqs8s", "\xE4\xB8\xAD\xE5\x9B\xBD"},
        {"xn--80ak6aa92e.com", "xn--80ak6aa92e.com"}, /* "apple" in Cyrillic letters */
        {"xn--pple-43d.com", "xn--pple-43d.com"},     /* its first letter Cyrillic */
        {"xn--.example", "xn--.example"},
        {"xn--zzzzzzzzzz99.example", "xn--zzzzzzzzzz99.example"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char out[300];
        domain_to_unicode(cases[i].in, out, sizeof out);
        assert_string_equal(out, cases[i].want);
    }
    char small[4] = "zzz";
    domain_to_unicode("example.org", small, sizeof small);
    assert_string_equal(small, "");
}

static void a_leading_dot_means_below(void **state)
{
    (void)state;
    assert_true(domain_matches("example.org", "example.org"));
    assert_false(domain_matches("example.org", "a.example.org"));
    assert_true(domain_matches(".example.org", "a.example.org"));
    assert_true(domain_matches(".example.org", "b.a.example.org"));
    assert_false(domain_matches(".example.org", "example.org"));
    assert_false(domain_matches(".example.org", "badexample.org"));
    assert_false(domain_matches(".example.org", ".example.org"));
    assert_false(domain_matches("", ""));
    assert_false(domain_matches("", "example.org"));
    assert_false(domain_matches(".", ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_become_lower_case_a_labels),
        cmocka_unit_test(a_name_fits_in_253_characters),
        cmocka_unit_test(people_see_u_labels_where_that_is_safe),
        cmocka_unit_test(a_leading_dot_means_below),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
