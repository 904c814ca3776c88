#include "gateway/delivery/commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct ehlo_facts everything = {
    .size = true, .eightbitmime = true, .dsn = true, .requiretls = true, .pipelining = true};
static const struct ehlo_facts nothing = {.size = false};

static void mail_carries_what_is_offered_and_no_more(void **state)
{
    (void)state;
    static const struct {
        const struct ehlo_facts *ehlo;
        struct client_transaction t;
        bool requiretls;
        const char *want;
    } cases[] = {
        {&nothing, {.reverse_path = "", .envid = ""}, false, "MAIL FROM:<>\r\n"},
        {&everything,
         {.reverse_path = "", .envid = "", .size = 12},
         false,
         "MAIL FROM:<> SIZE=12\r\n"},
        {&everything,
         {.reverse_path = "a@b.example",
          .envid = "x+2By",
          .ret = RET_FULL,
          .size = UINT64_MAX,
          .content_8bit = true},
         true,
         "MAIL FROM:<a@b.example> SIZE=18446744073709551615 BODY=8BITMIME REQUIRETLS RET=FULL "
         "ENVID=x+2By\r\n"},
        {&nothing,
         {.reverse_path = "a@b.example",
          .envid = "x",
          .ret = RET_HDRS,
          .size = 1,
          .content_8bit = true},
         true,
         "MAIL FROM:<a@b.example>\r\n"},
        {&everything,
         {.reverse_path = "\"a b\"@c.example", .envid = "", .ret = RET_HDRS},
         false,
         "MAIL FROM:<\"a b\"@c.example> SIZE=0 RET=HDRS\r\n"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buffer out;
        buffer_init(&out, 4096);
        assert_true(delivery_say_mail(&out, cases[i].ehlo, &cases[i].t, cases[i].requiretls));
        assert_string_equal(buffer_text(&out), cases[i].want);
        buffer_free(&out);
    }
}

static void rcpt_carries_what_is_offered_and_no_more(void **state)
{
    (void)state;
    static const struct {
        const struct ehlo_facts *ehlo;
        struct client_recipient r;
        const char *want;
    } cases[] = {
        {&everything, {.address = "a@b.example", .orcpt = ""}, "RCPT TO:<a@b.example>\r\n"},
        {&everything,
         {.address = "a@b.example", .orcpt = "rfc822;c@d.example", .notify = NOTIFY_NEVER},
         "RCPT TO:<a@b.example> NOTIFY=NEVER ORCPT=rfc822;c@d.example\r\n"},
        {&everything,
         {.address = "a@b.example",
          .orcpt = "",
          .notify = NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY},
         "RCPT TO:<a@b.example> NOTIFY=SUCCESS,FAILURE,DELAY\r\n"},
        {&nothing,
         {.address = "a@b.example", .orcpt = "rfc822;c@d.example", .notify = NOTIFY_NEVER},
         "RCPT TO:<a@b.example>\r\n"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buffer out;
        buffer_init(&out, 4096);
        assert_true(delivery_say_rcpt(&out, cases[i].ehlo, &cases[i].r));
        assert_string_equal(buffer_text(&out), cases[i].want);
        buffer_free(&out);
    }
}

static void a_line_that_does_not_fit_is_told(void **state)
{
    (void)state;
    struct client_transaction t = {.reverse_path = "a@b.example", .envid = "x", .ret = RET_FULL};
    struct client_recipient r = {
        .address = "a@b.example", .orcpt = "rfc822;c", .notify = NOTIFY_NEVER};
    for (size_t ceiling = 1; ceiling < 40; ceiling++) {
        struct buffer out;
        buffer_init(&out, ceiling);
        assert_false(delivery_say_mail(&out, &everything, &t, true));
        buffer_free(&out);
        buffer_init(&out, ceiling);
        assert_false(delivery_say_rcpt(&out, &everything, &r));
        buffer_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mail_carries_what_is_offered_and_no_more),
        cmocka_unit_test(rcpt_carries_what_is_offered_and_no_more),
        cmocka_unit_test(a_line_that_does_not_fit_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
