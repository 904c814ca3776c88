#include "mail/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void verbs_are_words_in_any_case(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        enum verb verb;
        const char *rest;
    } cases[] = {
        {"EHLO client.example", VERB_EHLO, "client.example"},
        {"helo x", VERB_HELO, "x"},
        {"StartTLS", VERB_STARTTLS, ""},
        {"MAIL FROM:<a@b> SIZE=1  ", VERB_MAIL, "FROM:<a@b> SIZE=1"},
        {"RCPT\tTO:<a@b>", VERB_RCPT, "TO:<a@b>"},
        {"DATA \t", VERB_DATA, ""},
        {"DATA\r", VERB_UNKNOWN, ""},
        {"DATA \r", VERB_DATA, "\r"},
        {"QUIT", VERB_QUIT, ""},
        {"BDAT 10 LAST", VERB_BDAT, "10 LAST"},
        {" QUIT", VERB_UNKNOWN, "QUIT"},
        {"QUITX", VERB_UNKNOWN, ""},
        {"QUI", VERB_UNKNOWN, ""},
        {"UNKNOWN", VERB_UNKNOWN, ""},
        {"", VERB_UNKNOWN, ""},
        {"GET / HTTP/1.1", VERB_UNKNOWN, "/ HTTP/1.1"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct slice rest;
        assert_int_equal(command_parse(slice_of(cases[i].in), &rest), cases[i].verb);
        assert_true(slice_equal(rest, slice_of(cases[i].rest)));
    }
    struct slice rest;
    assert_int_equal(command_parse(SLICE("QUIT\0"), &rest), VERB_UNKNOWN);
}

static void every_verb_has_a_name(void **state)
{
    (void)state;
    for (int v = 0; v < VERB_COUNT; v++)
        assert_non_null(verb_name((enum verb)v));
    assert_string_equal(verb_name(VERB_STARTTLS), "STARTTLS");
}

/* "code class.subject.detail" or "0" */
static const char *said(struct command_error e, char out[32])
{
    char status[STATUS_SIZE];
    snprintf(out, 32, e.code ? "%u %s" : "%u", e.code, status_text(e.status, status));
    if (e.code != 0)
        assert_true(e.text && e.text[0]);
    return out;
}

static void mail_is_answered_as_the_page_says(void **state)
{
    (void)state;
    static const struct {
        const char *in, *want;
    } cases[] = {
        {"FROM:<>", "0"},
        {"FROM:<a@b.example>", "0"},
        {"from: <a@b.example>", "0"},
        {"FROM:\t<a@b.example> SIZE=1", "0"},
        {"FROM:<a@b.example>  SIZE=1   BODY=8bitmime ", "0"},
        {"FROM:<a@b.example> SIZE=1 BODY=7BIT RET=HDRS ENVID=QQ+20x AUTH=<> REQUIRETLS SMTPUTF8",
         "0"},
        {"FROM:<a@b.example> AUTH=a+2Bb@c", "0"},
        {"FROM:<a@b.example>SIZE=1", "501 5.1.7"},
        {"FROM:<a@b.example>\tSIZE=1", "501 5.1.7"},
        {"FROM:a@b.example", "501 5.1.7"},
        {"FROM:<a>", "501 5.1.7"},
        {"FROM:<postmaster>", "501 5.1.7"},
        {"FROM <a@b.example>", "501 5.1.7"},
        {"FROM", "501 5.1.7"},
        {"FROM:", "501 5.1.7"},
        {"", "501 5.1.7"},
        {"TO:<a@b.example>", "501 5.1.7"},
        {"FROM:<\xC3\xB6@b.example>", "553 5.6.7"},
        {"FROM:<\xC3\xB6@b.example> SMTPUTF8", "553 5.6.7"},
        {"FROM:<a@b.example> SIZE=1 SIZE=2", "501 5.5.4"},
        {"FROM:<a@b.example> SIZE=1 size=1", "501 5.5.4"},
        {"FROM:<a@b.example> REQUIRETLS REQUIRETLS", "501 5.5.4"},
        {"FROM:<a@b.example> SIZE", "501 5.5.4"},
        {"FROM:<a@b.example> SIZE=", "501 5.5.4"},
        {"FROM:<a@b.example> SIZE=x", "501 5.5.4"},
        {"FROM:<a@b.example> SIZE=-1", "501 5.5.4"},
        {"FROM:<a@b.example> SIZE=111111111111111111111", "501 5.5.4"},
        {"FROM:<a@b.example> BODY=BINARYMIME", "501 5.5.4"},
        {"FROM:<a@b.example> RET=ALL", "501 5.5.4"},
        {"FROM:<a@b.example> ENVID=a+0Ab", "501 5.5.4"},
        {"FROM:<a@b.example> ENVID=a=b", "501 5.5.4"},
        {"FROM:<a@b.example> AUTH=+0A", "501 5.5.4"},
        {"FROM:<a@b.example> REQUIRETLS=yes", "501 5.5.4"},
        {"FROM:<a@b.example> SMTPUTF8=1", "501 5.5.4"},
        {"FROM:<a@b.example> FOO=1", "555 5.5.4"},
        {"FROM:<a@b.example> aAzZ0-9", "555 5.5.4"},
        {"FROM:<a@b.example> SIZE =1", "501 5.5.4"},
        {"FROM:<a@b.example> X=\x7F", "501 5.5.4"},
        {"FROM:<a@b.example> X=\xC3\xBC", "501 5.5.4"},
        {"FROM:<a@b.example> NOTIFY=NEVER", "555 5.5.4"},
        {"FROM:<a@b.example> =1", "501 5.5.4"},
        {"FROM:<a@b.example> -X=1", "501 5.5.4"},
        {"FROM:<a@b.example> X_Y=1", "501 5.5.4"},
        {"FROM:<a@b.example> SIZE=1\tBODY=7BIT", "501 5.5.4"},
        {"FROM:<a@b.example> SIZE=1\r", "501 5.5.4"},
        {"FROM:<a@b.example> <c@d.example>", "501 5.5.4"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct mail_command mail;
        char got[32];
        if (strcmp(said(command_parse_mail(slice_of(cases[i].in), &mail), got), cases[i].want) != 0)
            fail_msg("MAIL %s gave %s", cases[i].in, got);
    }
}

static void mail_parameters_are_kept(void **state)
{
    (void)state;
    struct mail_command mail;
    struct command_error e =
        command_parse_mail(SLICE("FROM:<a@b.example> size=1000 BODY=8BITMIME ret=full ENVID=QQ+2B1 "
                                 "AUTH=<> REQUIRETLS SMTPUTF8"),
                           &mail);
    assert_int_equal(e.code, 0);
    assert_string_equal(mail.reverse_path.text, "a@b.example");
    assert_int_equal(mail.size, 1000);
    assert_true(mail.is_8bitmime && mail.requiretls && mail.smtputf8 && mail.has_auth);
    assert_int_equal(mail.ret, RET_FULL);
    assert_string_equal(mail.envid, "QQ+2B1");
    e = command_parse_mail(SLICE("FROM:<> SIZE=99999999999999999999 RET=HDRS"), &mail);
    assert_int_equal(e.code, 0);
    assert_true(address_is_null(&mail.reverse_path));
    assert_true(mail.size == UINT64_MAX);
    assert_int_equal(mail.ret, RET_HDRS);
    assert_false(mail.is_8bitmime || mail.requiretls || mail.smtputf8 || mail.has_auth);
    assert_string_equal(mail.envid, "");
}

static void rcpt_is_answered_as_the_page_says(void **state)
{
    (void)state;
    static const struct {
        const char *in, *want;
    } cases[] = {
        {"TO:<a@b.example>", "0"},
        {"to: <a@b.example>", "0"},
        {"TO:<postmaster>", "0"},
        {"TO:<@c.example:a@b.example>", "0"},
        {"TO:<a@b.example> NOTIFY=NEVER ORCPT=rfc822;a+2Bb@b.example", "0"},
        {"TO:<a@b.example> notify=success,failure,delay", "0"},
        {"TO:<>", "501 5.1.3"},
        {"TO:<a>", "501 5.1.3"},
        {"TO:a@b.example", "501 5.1.3"},
        {"FROM:<a@b.example>", "501 5.1.3"},
        {"TO:<a@\xC3\xB6.example>", "553 5.6.7"},
        {"TO:<a@b.example> NOTIFY=", "501 5.5.4"},
        {"TO:<a@b.example> NOTIFY", "501 5.5.4"},
        {"TO:<a@b.example> NOTIFY=NEVER,FAILURE", "501 5.5.4"},
        {"TO:<a@b.example> NOTIFY=FAILURE,", "501 5.5.4"},
        {"TO:<a@b.example> NOTIFY=,FAILURE", "501 5.5.4"},
        {"TO:<a@b.example> NOTIFY=FAILURE,,DELAY", "501 5.5.4"},
        {"TO:<a@b.example> NOTIFY=MAYBE", "501 5.5.4"},
        {"TO:<a@b.example> NOTIFY=NEVER NOTIFY=FAILURE", "501 5.5.4"},
        {"TO:<a@b.example> ORCPT=rfc822", "501 5.5.4"},
        {"TO:<a@b.example> ORCPT=rfc822;", "501 5.5.4"},
        {"TO:<a@b.example> ORCPT=;a@b", "501 5.5.4"},
        {"TO:<a@b.example> ORCPT=rfc822;a+0Db", "501 5.5.4"},
        {"TO:<a@b.example> ORCPT=rfc822;a=b", "501 5.5.4"},
        {"TO:<a@b.example> ORCPT=rf(c;a@b", "501 5.5.4"},
        {"TO:<a@b.example> SIZE=1", "555 5.5.4"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct rcpt_command rcpt;
        char got[32];
        if (strcmp(said(command_parse_rcpt(slice_of(cases[i].in), &rcpt), got), cases[i].want) != 0)
            fail_msg("RCPT %s gave %s", cases[i].in, got);
    }
}

static void rcpt_parameters_are_kept(void **state)
{
    (void)state;
    struct rcpt_command rcpt;
    struct command_error e = command_parse_rcpt(
        SLICE("TO:<Bob@b.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+2Bx@b.example"), &rcpt);
    assert_int_equal(e.code, 0);
    assert_string_equal(rcpt.recipient.text, "Bob@b.example");
    assert_int_equal(rcpt.notify, NOTIFY_SUCCESS | NOTIFY_DELAY);
    assert_string_equal(rcpt.orcpt, "rfc822;Bob+2Bx@b.example");
    e = command_parse_rcpt(SLICE("TO:<b@b.example>"), &rcpt);
    assert_int_equal(e.code, 0);
    assert_int_equal(rcpt.notify, NOTIFY_DEFAULT);
    assert_string_equal(rcpt.orcpt, "");
}

static void dsn_parameters_have_the_lengths_of_rfc_3461(void **state)
{
    (void)state;
    char line[800];
    struct mail_command mail;
    struct rcpt_command rcpt;
    for (unsigned len = 99; len <= 102; len++) {
        int n = snprintf(line, sizeof line, "FROM:<> ENVID=%0*d", (int)len, 0);
        struct command_error e = command_parse_mail((struct slice){line, (size_t)n}, &mail);
        assert_int_equal(e.code, len <= 100 ? 0 : 501);
        assert_int_equal(strlen(mail.envid), len <= 100 ? len : 0);
    }
    for (unsigned len = 499; len <= 502; len++) {
        int n = snprintf(line, sizeof line, "TO:<a@b.example> ORCPT=x;%0*d", (int)len - 2, 0);
        struct command_error e = command_parse_rcpt((struct slice){line, (size_t)n}, &rcpt);
        assert_int_equal(e.code, len <= 500 ? 0 : 501);
        assert_int_equal(strlen(rcpt.orcpt), len <= 500 ? len : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verbs_are_words_in_any_case),
        cmocka_unit_test(every_verb_has_a_name),
        cmocka_unit_test(mail_is_answered_as_the_page_says),
        cmocka_unit_test(mail_parameters_are_kept),
        cmocka_unit_test(rcpt_is_answered_as_the_page_says),
        cmocka_unit_test(rcpt_parameters_are_kept),
        cmocka_unit_test(dsn_parameters_have_the_lengths_of_rfc_3461),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
