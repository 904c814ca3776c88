/* What is known of a host before a connection. */
#include "gateway/delivery/contact.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static void why_a_host_is_not_contacted_is_said_of_the_look_up_that_failed(void **state)
{
    (void)state;
    static const struct {
        enum dns_status status;
        enum dns_tlsa tlsa;
        const char *detail;
        enum guarantee_contact contact;
        const char *want_status, *want;
    } cases[] = {
        {DNS_NODATA, DNS_TLSA_NONE, "", GUARANTEE_NO_CONTACT, "4.4.4", "Host mx has no address"},
        {DNS_NXDOMAIN, DNS_TLSA_NONE, "", GUARANTEE_NO_CONTACT, "4.4.4", "Host mx has no address"},
        {DNS_FAILED, DNS_TLSA_NONE, "", GUARANTEE_NO_CONTACT, "4.4.3",
         "Address look-up for mx failed: no answer"},
        {DNS_BOGUS, DNS_TLSA_NONE, "A look-up of mx: bogus", GUARANTEE_NO_CONTACT, "4.4.3",
         "Address look-up for mx failed: A look-up of mx: bogus"},
        {DNS_OUR_FAULT, DNS_TLSA_NONE, "A look-up of mx: no memory", GUARANTEE_OUR_FAULT, "4.3.0",
         "Address look-up for mx failed: A look-up of mx: no memory"},
        {DNS_OUR_FAULT, DNS_TLSA_ERROR, "TLSA look-up of _25._tcp.mx: self-test",
         GUARANTEE_OUR_FAULT, "4.3.0", "TLSA look-up of _25._tcp.mx: self-test"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct dns_host host = {.status = cases[i].status, .tlsa = cases[i].tlsa};
        enum guarantee_contact contact;
        char status[STATUS_SIZE];
        snprintf(host.detail, sizeof host.detail, "%s", cases[i].detail);
        struct outcome got = contact_no_address("mx", &host, &contact);
        if (contact != cases[i].contact || strcmp(got.text, cases[i].want) != 0 ||
            strcmp(status_text(got.status, status), cases[i].want_status) != 0)
            fail_msg("row %zu: got %d %s %s", i, (int)contact, status, got.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(why_a_host_is_not_contacted_is_said_of_the_look_up_that_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
