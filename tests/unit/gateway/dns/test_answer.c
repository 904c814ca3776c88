#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gateway/dns/answer.h"

enum { NOERROR = 0, SERVFAIL = 2, NXDOMAIN = 3, REFUSED = 5 };

static void an_error_or_an_odd_rcode_is_failed_whatever_else_is_set(void **state)
{
    (void)state;
    struct dns_raw_answer error = {.error = -4, .has_data = true};
    struct dns_raw_answer servfail = {.rcode = SERVFAIL, .is_bogus = true, .has_data = true};
    struct dns_raw_answer refused = {.rcode = REFUSED};
    assert_int_equal(dns_answer_status(&error), DNS_FAILED);
    assert_int_equal(dns_answer_status(&servfail), DNS_FAILED);
    assert_int_equal(dns_answer_status(&refused), DNS_FAILED);
}

static void bogus_is_bogus_whatever_data_it_carries(void **state)
{
    (void)state;
    struct dns_raw_answer data = {.is_bogus = true, .has_data = true};
    struct dns_raw_answer denial = {.rcode = NXDOMAIN, .is_bogus = true};
    assert_int_equal(dns_answer_status(&data), DNS_BOGUS);
    assert_int_equal(dns_answer_status(&denial), DNS_BOGUS);
}

static void then_data_nodata_and_nxdomain(void **state)
{
    (void)state;
    struct dns_raw_answer data = {.has_data = true};
    struct dns_raw_answer nodata = {.rcode = NOERROR};
    struct dns_raw_answer nxdomain = {.rcode = NXDOMAIN};
    assert_int_equal(dns_answer_status(&data), DNS_DATA);
    assert_int_equal(dns_answer_status(&nodata), DNS_NODATA);
    assert_int_equal(dns_answer_status(&nxdomain), DNS_NXDOMAIN);
}

static void a_long_name_does_not_crowd_out_the_cause(void **state)
{
    (void)state;
    struct dns_ask ask = {.type = DNS_TYPE_TLSA};
    struct dns_answer answer = {.detail = "SERVFAIL"};
    char out[DNS_DETAIL_SIZE];
    for (size_t i = 0; i < DNS_QUESTION_SIZE - 1; i++)
        ask.name[i] = 'a';
    dns_explain(&ask, &answer, out);
    size_t len = 0;
    while (out[len])
        len++;
    assert_memory_equal(out + len - 8, "SERVFAIL", 8);
    ask.name[3] = '\0';
    dns_explain(&ask, &answer, out);
    assert_string_equal(out, "TLSA look-up of aaa: SERVFAIL");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_or_an_odd_rcode_is_failed_whatever_else_is_set),
        cmocka_unit_test(bogus_is_bogus_whatever_data_it_carries),
        cmocka_unit_test(then_data_nodata_and_nxdomain),
        cmocka_unit_test(a_long_name_does_not_crowd_out_the_cause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
