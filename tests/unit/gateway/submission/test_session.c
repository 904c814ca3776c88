/* Transcripts: what the client says, and every octet of what it hears. Each runs twice: in whole
 * batches, and one octet at a time. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mail/id.h"
#include "tests/support/fake_session.h"

struct step {
    const char *say, *hear;
};

static void play(struct fake_session *f, const struct step *steps)
{
    for (; steps->say; steps++) {
        fake_session_say(f, slice_of(steps->say));
        const char *heard = fake_session_heard(f);
        if (strcmp(heard, steps->hear) != 0)
            fail_msg("said:\n%s\nheard:\n%s\nwant:\n%s", steps->say, heard, steps->hear);
    }
}

#define GREETING "220 mail.example.org ESMTP\r\n"
#define EHLO "EHLO client.example\r\n"
#define CLEAR_EHLO                                                                                 \
    "250-mail.example.org\r\n250-PIPELINING\r\n250-SIZE 100000\r\n250-STARTTLS\r\n"                \
    "250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250 DSN\r\n"
#define TLS_EHLO                                                                                   \
    "250-mail.example.org\r\n250-PIPELINING\r\n250-SIZE 100000\r\n"                                \
    "250-AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN\r\n"                                    \
    "250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-REQUIRETLS\r\n250 DSN\r\n"
#define RELAY_EHLO                                                                                 \
    "250-mail.example.org\r\n250-PIPELINING\r\n250-SIZE 100000\r\n"                                \
    "250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250 DSN\r\n"
#define RELAY_TLS_EHLO                                                                             \
    "250-mail.example.org\r\n250-PIPELINING\r\n250-SIZE 100000\r\n"                                \
    "250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-REQUIRETLS\r\n250 DSN\r\n"
#define STARTTLS "STARTTLS\r\n"
#define READY_FOR_TLS "220 2.0.0 Ready to start TLS\r\n"
/* "\0alice@example.org\0secret" */
#define AUTH_ALICE "AUTH PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldA==\r\n"
#define AUTH_BOB "AUTH PLAIN AGJvYkBleGFtcGxlLm9yZwBodW50ZXIy\r\n"
#define AUTH_WRONG_LINE "AUTH PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHdyb25n\r\n"
#define AUTHED "235 2.7.0 Authentication successful\r\n"
#define MUST_TLS "530 5.7.0 Must issue a STARTTLS command first\r\n"
#define MUST_AUTH "530 5.7.0 Authentication required\r\n"
#define MAIL "MAIL FROM:<alice@example.org>\r\n"
#define MAIL_OK "250 2.1.0 Ok\r\n"
#define RCPT "RCPT TO:<carol@example.net>\r\n"
#define RCPT_OK "250 2.1.5 Ok\r\n"
#define OK "250 2.0.0 Ok\r\n"
#define GO "354 End data with <CR><LF>.<CR><LF>\r\n"
#define HEADER "From: alice@example.org\r\nDate: now\r\nMessage-ID: <a@b>\r\n"
#define MESSAGE HEADER "\r\nHello\r\n.\r\n"
#define END                                                                                        \
    {                                                                                              \
        NULL, NULL                                                                                 \
    }

/* How far the listener takes the client before the transcript begins. */
enum from { FROM_START, FROM_TLS, FROM_LOGIN, FROM_RELAY };

static void begin(struct fake_session *f, enum from from)
{
    if (from == FROM_RELAY) {
        f->settings->tls = NULL;
        fake_session_start(f, FAKE_RELAY);
        play(f, (const struct step[]){{"", GREETING}, {EHLO, RELAY_EHLO}, END});
        return;
    }
    fake_session_start(f, FAKE_SUBMISSION);
    play(f, (const struct step[]){{"", GREETING}, END});
    if (from == FROM_START)
        return;
    play(f, (const struct step[]){
                {EHLO, CLEAR_EHLO}, {STARTTLS, READY_FOR_TLS}, {EHLO, TLS_EHLO}, END});
    if (from == FROM_LOGIN)
        play(f, (const struct step[]){{AUTH_ALICE, AUTHED}, END});
}

static void both_ways(enum from from, const struct step *steps)
{
    for (int is_one_by_one = 0; is_one_by_one < 2; is_one_by_one++) {
        struct fake_session f;
        fake_session_init(&f);
        begin(&f, from);
        f.is_one_by_one = is_one_by_one;
        play(&f, steps);
        fake_session_free(&f);
    }
}

/* ---- Before TLS ---- */

static void before_tls_nothing_but_starttls_is_to_be_had(void **state)
{
    (void)state;
    both_ways(FROM_START, (const struct step[]){
                              {"MAIL FROM:<alice@example.org>\r\n", MUST_TLS},
                              {AUTH_ALICE, MUST_TLS},
                              {EHLO, CLEAR_EHLO},
                              {"ehlo again\r\n", CLEAR_EHLO},
                              {AUTH_ALICE, MUST_TLS},
                              {"AUTH LOGIN\r\n", MUST_TLS},
                              {MAIL, MUST_TLS},
                              {RCPT, MUST_TLS},
                              {"DATA\r\n", MUST_TLS},
                              {"RSET\r\n", MUST_TLS},
                              {"VRFY alice\r\n", MUST_TLS},
                              {"BDAT 5 LAST\r\n", MUST_TLS},
                              {"NOOP\r\n", OK},
                              {"HELP\r\n", "214 2.0.0 See RFC 5321 and RFC 6409\r\n"},
                              {"XYZZY\r\n", "502 5.5.2 Command not recognized\r\n"},
                              {"\r\n", "502 5.5.2 Command not recognized\r\n"},
                              {"HELO client\r\n", "250 mail.example.org\r\n"},
                              {"EHLO\r\n", "501 5.5.4 Syntax: EHLO hostname\r\n"},
                              {"STARTTLS now\r\n", "501 5.5.4 STARTTLS takes no argument\r\n"},
                              {STARTTLS, READY_FOR_TLS},
                              {"QUIT\r\n", "221 2.0.0 Bye\r\n"},
                              END,
                          });
}

static void the_530_carries_the_assistance(void **state)
{
    (void)state;
    struct fake_session f;
    fake_session_init(&f);
    free(f.settings->assistance);
    f.settings->assistance = xstrdup("For assistance, visit https://help.example.org/tls");
    begin(&f, FROM_START);
    play(&f, (const struct step[]){
                 {MAIL, "530-5.7.0 Must issue a STARTTLS command first\r\n"
                        "530 5.7.0 For assistance, visit https://help.example.org/tls\r\n"},
                 END});
    fake_session_free(&f);
}

static void bytes_behind_starttls_end_the_session_unread(void **state)
{
    (void)state;
    static const char *const injected[] = {
        STARTTLS "NOOP\r\n",
        STARTTLS "\r\n",
        STARTTLS "X",
        "NOOP\r\n" STARTTLS "EHLO evil\r\n" AUTH_BOB MAIL,
    };
    for (size_t i = 0; i < COUNT_OF(injected); i++) {
        struct fake_session f;
        fake_session_init(&f);
        begin(&f, FROM_START);
        play(&f, (const struct step[]){{EHLO, CLEAR_EHLO}, END});
        fake_session_say(&f, slice_of(injected[i]));
        const char *heard = fake_session_heard(&f);
        const char *want = i == 3 ? OK "421 4.7.0 mail.example.org Data behind STARTTLS\r\n"
                                  : "421 4.7.0 mail.example.org Data behind STARTTLS\r\n";
        assert_string_equal(heard, want);
        assert_true(f.is_finished);
        assert_false(f.is_handshaking);
        assert_non_null(strstr(buffer_text(&f.log), "starttls-injection"));
        fake_session_free(&f);
    }
}

static void all_is_forgotten_after_starttls(void **state)
{
    (void)state;
    both_ways(FROM_START, (const struct step[]){
                              {EHLO, CLEAR_EHLO},
                              {STARTTLS, READY_FOR_TLS},
                              {AUTH_ALICE, "503 5.5.1 Send EHLO first, then AUTH, then MAIL\r\n"},
                              {STARTTLS, "503 5.5.1 TLS already active\r\n"},
                              {EHLO, TLS_EHLO},
                              {STARTTLS, "503 5.5.1 TLS already active\r\n"},
                              END,
                          });
}

static void implicit_tls_greets_after_the_handshake(void **state)
{
    (void)state;
    struct fake_session f;
    fake_session_init(&f);
    fake_session_start(&f, FAKE_SUBMISSIONS);
    play(&f, (const struct step[]){
                 {"", GREETING},
                 {EHLO, TLS_EHLO},
                 {STARTTLS, "503 5.5.1 TLS already active\r\n"},
                 {AUTH_BOB, AUTHED},
                 END,
             });
    fake_session_free(&f);
}

static void without_a_channel_binding_plus_is_not_offered(void **state)
{
    (void)state;
    struct fake_session f;
    fake_session_init(&f);
    f.has_binding = false;
    f.settings->mechanisms = MECHANISM_SCRAM_SHA_256 | MECHANISM_SCRAM_SHA_256_PLUS;
    fake_session_start(&f, FAKE_SUBMISSIONS);
    fake_session_heard(&f);
    play(&f, (const struct step[]){
                 {EHLO, "250-mail.example.org\r\n250-PIPELINING\r\n250-SIZE 100000\r\n"
                        "250-AUTH SCRAM-SHA-256\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n"
                        "250-REQUIRETLS\r\n250 DSN\r\n"},
                 {"AUTH SCRAM-SHA-256-PLUS\r\n", "504 5.5.4 Unrecognized authentication type\r\n"},
                 {AUTH_ALICE, "504 5.5.4 Unrecognized authentication type\r\n"},
                 END,
             });
    fake_session_free(&f);
}

static void a_failed_handshake_is_logged_with_its_cause(void **state)
{
    (void)state;
    struct fake_session f;
    fake_session_init(&f);
    begin(&f, FROM_START);
    f.waits_for_commit = true;
    assert_true(buffer_append_text(&f.unread, STARTTLS));
    struct slice in = buffer_slice(&f.unread);
    session_data(f.session, &in);
    session_tls_failed(f.session, "no shared cipher");
    assert_true(f.is_finished);
    assert_true(f.is_aborted);
    assert_non_null(strstr(buffer_text(&f.log),
                           "tls-failed session=1 listener=submission client=127.0.0.1 "
                           "reason=no shared cipher\n"));
    fake_session_free(&f);
}

/* ---- AUTH ---- */

static void before_auth_no_mail(void **state)
{
    (void)state;
    both_ways(FROM_TLS, (const struct step[]){
                            {MAIL, MUST_AUTH},
                            {RCPT, MUST_AUTH},
                            {"DATA\r\n", MUST_AUTH},
                            {"VRFY x\r\n", MUST_AUTH},
                            {"BDAT 1\r\n", "502 5.5.2 Command not recognized\r\n"},
                            {"RSET\r\n", OK},
                            {AUTH_ALICE, AUTHED},
                            {AUTH_ALICE, "503 5.5.1 Already authenticated\r\n"},
                            {MAIL, MAIL_OK},
                            {AUTH_ALICE, "503 5.5.1 Send EHLO first, then AUTH, then MAIL\r\n"},
                            END,
                        });
}

static void auth_exchanges_end_as_rfc_4954_says(void **state)
{
    (void)state;
    both_ways(FROM_TLS,
              (const struct step[]){
                  {"AUTH\r\n", "501 5.5.4 Syntax: AUTH mechanism\r\n"},
                  {"AUTH CRAM-MD5\r\n", "504 5.5.4 Unrecognized authentication type\r\n"},
                  {"AUTH PLAIN\r\n", "334 \r\n"},
                  {"*\r\n", "501 5.7.0 Authentication aborted\r\n"},
                  {"AUTH PLAIN\r\n", "334 \r\n"},
                  {"no base64!\r\n", "501 5.5.2 Not base64\r\n"},
                  {"AUTH PLAIN =\r\n", "501 5.5.2 Malformed authentication exchange\r\n"},
                  {"AUTH PLAIN ==\r\n", "501 5.5.2 Not base64\r\n"},
                  {"AUTH PLAIN\r\n", "334 \r\n"},
                  {"\r\n", "501 5.5.2 Malformed authentication exchange\r\n"},
                  {"AUTH PLAIN\r\n", "334 \r\n"},
                  {"AGFsaWNl\rQGV4YW1wbGUub3JnAHNlY3JldA==\r\n", "501 5.5.2 Not base64\r\n"},
                  {AUTH_WRONG_LINE, "535 5.7.8 Authentication credentials invalid\r\n"},
                  {"auth login\r\n", "334 VXNlciBOYW1l\r\n"},
                  {"YWxpY2VAZXhhbXBsZS5vcmc=\r\n", "334 UGFzc3dvcmQ=\r\n"},
                  {"d3Jvbmc=\r\n", "535 5.7.8 Authentication credentials invalid\r\n"},
                  {"AUTH LOGIN YWxpY2VAZXhhbXBsZS5vcmc=\r\n", "334 UGFzc3dvcmQ=\r\n"},
                  {"*\r\n", "501 5.7.0 Authentication aborted\r\n"},
                  {"AUTH PLAIN\r\n", "334 \r\n"},
                  {"AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldA==\r\n", AUTHED},
                  END,
              });
}

static void login_with_an_initial_response(void **state)
{
    (void)state;
    both_ways(FROM_TLS, (const struct step[]){
                            {"AUTH LOGIN YWxAZXhhbXBsZS5vcmc=\r\n", "334 UGFzc3dvcmQ=\r\n"},
                            {"c2VjcmV0\r\n", AUTHED},
                            {MAIL, MAIL_OK},
                            END,
                        });
}

static void a_y_is_true_where_plus_is_not_configured(void **state)
{
    (void)state;
    /* "y,,n=bob@example.org,r=abcdefgh" */
    const char *line = "AUTH SCRAM-SHA-256 eSwsbj1ib2JAZXhhbXBsZS5vcmcscj1hYmNkZWZnaA==\r\n";
    for (int has_plus = 0; has_plus < 2; has_plus++) {
        struct fake_session f;
        fake_session_init(&f);
        f.settings->mechanisms =
            MECHANISM_SCRAM_SHA_256 | (has_plus ? MECHANISM_SCRAM_SHA_256_PLUS : 0);
        fake_session_start(&f, FAKE_SUBMISSIONS);
        fake_session_say(&f, slice_of(EHLO));
        fake_session_heard(&f);
        fake_session_say(&f, slice_of(line));
        assert_int_equal(
            strncmp(fake_session_heard(&f), has_plus ? "535 5.7.8" : "334 ", has_plus ? 9 : 4), 0);
        fake_session_free(&f);
    }
}

static void lines_that_are_too_long_are_refused_whole(void **state)
{
    (void)state;
    struct fake_session f;
    fake_session_init(&f);
    begin(&f, FROM_TLS);
    char *line = xalloc(20000);
    memset(line, 'A', 19990);
    memcpy(line, "AUTH PLAIN ", 11);
    strcpy(line + 19000, "\r\n");
    play(&f, (const struct step[]){{line, "500 5.5.6 Line too long\r\n"}, END});
    memcpy(line, "NOOP LALALA ", 12);
    strcpy(line + 2100, "\r\n");
    play(&f, (const struct step[]){{line, "500 5.5.2 Line too long\r\n"}, {"NOOP\r\n", OK}, END});
    f.is_one_by_one = true;
    play(&f, (const struct step[]){{line, "500 5.5.2 Line too long\r\n"}, {"NOOP\r\n", OK}, END});
    strcpy(line + 1900, "\r\n");
    play(&f, (const struct step[]){{line, OK}, END});
    memset(line, 'A', 19990);
    strcpy(line + 13000, "\r\n");
    play(&f, (const struct step[]){{"AUTH PLAIN\r\n", "334 \r\n"},
                                   {line, "500 5.5.6 Authentication exchange line is too long\r\n"},
                                   {"NOOP\r\n", OK},
                                   END});
    free(line);
    fake_session_free(&f);
}

static void failed_logins_block_the_address(void **state)
{
    (void)state;
    struct fake_session f;
    fake_session_init(&f);
    f.settings->auth_failures_per_address = 2;
    begin(&f, FROM_TLS);
    play(&f, (const struct step[]){
                 {AUTH_WRONG_LINE, "535 5.7.8 Authentication credentials invalid\r\n"},
                 {AUTH_WRONG_LINE, "535 5.7.8 Authentication credentials invalid\r\n"},
                 {AUTH_ALICE,
                  "421 4.7.0 mail.example.org Too many failed logins from your address\r\n"},
                 END,
             });
    assert_true(f.is_finished);
    fake_session_free(&f);
}

static void the_log_tells_who_but_never_what(void **state)
{
    (void)state;
    struct fake_session f;
    fake_session_init(&f);
    begin(&f, FROM_TLS);
    fake_session_say(&f, slice_of(AUTH_WRONG_LINE));
    /* "\0secret\0secret": somebody typed the password as the name. */
    fake_session_say(&f, SLICE("AUTH PLAIN AHNlY3JldABzZWNyZXQ=\r\n"));
    fake_session_say(&f, slice_of(AUTH_ALICE));
    const char *log = buffer_text(&f.log);
    assert_non_null(strstr(log, "auth-failed session=1 listener=submission client=127.0.0.1 "
                                "user=alice@example.org mechanism=PLAIN\n"));
    assert_non_null(strstr(log, "auth-failed session=1 listener=submission client=127.0.0.1 user= "
                                "mechanism=PLAIN\n"));
    assert_non_null(strstr(log, "auth session=1 listener=submission client=127.0.0.1 "
                                "user=alice@example.org mechanism=PLAIN tls=TLSv1.3"));
    assert_null(strstr(log, "secret"));
    assert_null(strstr(log, "wrong"));
    assert_null(strstr(log, "AGFsaWNl"));
    fake_session_free(&f);
}

static void a_hash_that_cannot_be_made_is_454(void **state)
{
    (void)state;
    struct fake_session f;
    fake_session_init(&f);
    f.is_hash_refused = true;
    begin(&f, FROM_TLS);
    play(&f, (const struct step[]){{AUTH_ALICE, "454 4.7.0 Temporary authentication failure\r\n"},
                                   END});
    fake_session_free(&f);
}

static void too_many_errors_end_the_session(void **state)
{
    (void)state;
    struct fake_session f;
    fake_session_init(&f);
    begin(&f, FROM_TLS);
    for (int i = 0; i < 19; i++)
        play(&f, (const struct step[]){{"X\r\n", "502 5.5.2 Command not recognized\r\n"}, END});
    play(&f, (const struct step[]){{"X\r\n", "502 5.5.2 Command not recognized\r\n"
                                             "421 4.7.0 mail.example.org Too many errors\r\n"},
                                   END});
    assert_true(f.is_finished);
    fake_session_free(&f);
}

/* ---- Transactions ---- */

static void commands_out_of_order_are_503(void **state)
{
    (void)state;
    both_ways(FROM_LOGIN,
              (const struct step[]){
                  {RCPT, "503 5.5.1 Need MAIL command\r\n"},
                  {"DATA\r\n", "503 5.5.1 Need RCPT command\r\n"},
                  {MAIL, MAIL_OK},
                  {MAIL, "503 5.5.1 Send EHLO first, then one MAIL for each message\r\n"},
                  {"DATA\r\n", "554 5.5.1 No valid recipients\r\n"},
                  {STARTTLS, "503 5.5.1 STARTTLS within a transaction\r\n"},
                  {RCPT, RCPT_OK},
                  {"DATA now\r\n", "501 5.5.4 DATA takes no argument\r\n"},
                  {"RSET\r\n", OK},
                  {RCPT, "503 5.5.1 Need MAIL command\r\n"},
                  {MAIL, MAIL_OK},
                  {EHLO, TLS_EHLO},
                  {RCPT, "503 5.5.1 Need MAIL command\r\n"},
                  {MAIL, MAIL_OK},
                  {"VRFY x\r\n", "252 2.5.2 Send some mail, and see\r\n"},
                  {"NOOP\r\n", OK},
                  {"QUIT\r\n", "221 2.0.0 Bye\r\n"},
                  END,
              });
}

static void mail_is_refused_with_the_pinned_replies(void **state)
{
    (void)state;
    both_ways(FROM_LOGIN,
              (const struct step[]){
                  {"MAIL FROM:<bob@example.org>\r\n",
                   "553 5.7.1 The sender address is neither yours nor an alias of yours\r\n"},
                  {"MAIL FROM:<AL@Example.ORG>\r\n", MAIL_OK},
                  {"RSET\r\n", OK},
                  {"MAIL FROM:<>\r\n", MAIL_OK},
                  {"RSET\r\n", OK},
                  {"MAIL FROM:<alice@example.org> SIZE=100001\r\n",
                   "552 5.3.4 Message size exceeds the fixed limit\r\n"},
                  {"MAIL FROM:<alice@example.org> SIZE=100000 BODY=8BITMIME RET=HDRS ENVID=x\r\n",
                   MAIL_OK},
                  {"RSET\r\n", OK},
                  {"MAIL FROM:<alice@example.org> AUTH=<>\r\n", MAIL_OK},
                  {"RSET\r\n", OK},
                  {"MAIL FROM:<alice@example.org> REQUIRETLS\r\n", MAIL_OK},
                  {"RSET\r\n", OK},
                  {"MAIL FROM:<alice@example.org> REQUIRETLS=yes\r\n",
                   "501 5.5.4 REQUIRETLS takes no value\r\n"},
                  {"MAIL FROM:<alice@example.org> REQUIRETLS requiretls\r\n",
                   "501 5.5.4 A parameter is given twice\r\n"},
                  {"MAIL FROM:<alice@example.org> SMTPUTF8\r\n",
                   "555 5.5.4 Unsupported parameter: it was not offered\r\n"},
                  {"RCPT TO:<x@y.example>\r\n", "503 5.5.1 Need MAIL command\r\n"},
                  END,
              });
}

/* RFC 8689 section 2: under TLS alone, on whatever listener. */
static void requiretls_is_neither_offered_nor_taken_in_clear(void **state)
{
    (void)state;
    struct fake_session f;
    fake_session_init(&f);
    fake_session_start(&f, FAKE_RELAY);
    play(&f, (const struct step[]){
                 {"", GREETING},
                 {EHLO, CLEAR_EHLO},
                 {"MAIL FROM:<a@example.net> REQUIRETLS\r\n",
                  "555 5.5.4 REQUIRETLS needs TLS: it was not offered\r\n"},
                 {RCPT, "503 5.5.1 Need MAIL command\r\n"},
                 {STARTTLS, READY_FOR_TLS},
                 {EHLO, RELAY_TLS_EHLO},
                 {"MAIL FROM:<a@example.net> REQUIRETLS\r\n", MAIL_OK},
                 {RCPT, RCPT_OK},
                 {"DATA\r\n", GO},
                 {MESSAGE, "250 2.0.0 Ok: queued as 00000049P302\r\n"},
                 END,
             });
    assert_true(f.envelope.requiretls);
    assert_int_equal(f.envelope.origin, ORIGIN_RELAY);
    fake_session_free(&f);
}

static void requiretls_is_kept_with_its_message_alone(void **state)
{
    (void)state;
    static const struct {
        const char *before, *mail;
        bool want;
    } cases[] = {
        {"", "MAIL FROM:<alice@example.org> REQUIRETLS\r\n", true},
        {"", "MAIL FROM:<> requiretls\r\n", true},
        {"MAIL FROM:<alice@example.org> REQUIRETLS\r\nRSET\r\n", MAIL, false},
        {"MAIL FROM:<alice@example.org> REQUIRETLS\r\nEHLO x\r\n", MAIL, false},
        {"MAIL FROM:<alice@example.org> REQUIRETLS\r\n" RCPT "DATA\r\n" MESSAGE, MAIL, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct fake_session f;
        fake_session_init(&f);
        begin(&f, FROM_LOGIN);
        fake_session_say(&f, slice_of(cases[i].before));
        assert_int_equal(f.envelope.requiretls, f.commits > 0);
        fake_session_say(&f, slice_of(cases[i].mail));
        fake_session_say(&f, SLICE(RCPT "DATA\r\n" MESSAGE));
        assert_int_equal(f.commits, i == 4 ? 2 : 1);
        assert_int_equal(f.envelope.requiretls, cases[i].want);
        fake_session_free(&f);
    }
}

static void code_of(enum from from, const char *before, const char *line, const char *code)
{
    struct fake_session f;
    fake_session_init(&f);
    begin(&f, from);
    fake_session_say(&f, slice_of(before));
    fake_session_heard(&f);
    fake_session_say(&f, slice_of(line));
    const char *heard = fake_session_heard(&f);
    if (strncmp(heard, code, strlen(code)) != 0)
        fail_msg("said:\n%s\nheard:\n%s\nwant:\n%s", line, heard, code);
    fake_session_free(&f);
}

static void odd_lines_and_their_codes(void **state)
{
    (void)state;
    static const struct {
        enum from from;
        const char *before, *line, *code;
    } cases[] = {
        {FROM_LOGIN, "", "MAIL FROM:<alice@example.org> FOO=1\r\n", "555 5.5.4"},
        {FROM_LOGIN, "", "MAIL FROM:alice\r\n", "501 5."},
        {FROM_LOGIN, "", "MAIL\r\n", "501 5."},
        {FROM_LOGIN, "", "MAIL FROM:<jos\xc3\xb6@example.org>\r\n", "553 5.6.7"},
        {FROM_LOGIN, "", "MAIL FROM:<postmaster>\r\n", "501 5.1.7"},
        {FROM_LOGIN, "", "MAIL FROM:<@a,@b:alice@example.org>\r\n", "250 2.1.0"},
        {FROM_LOGIN, MAIL, "RCPT TO:<>\r\n", "501 5."},
        {FROM_LOGIN, MAIL, "RCPT TO:<nobody\r\n", "501 5."},
        {FROM_LOGIN, MAIL, "RCPT TO:<postmaster>\r\n", "250 2.1.5"},
        {FROM_LOGIN, MAIL, "RCPT TO:<a%b@example.net>\r\n", "250 2.1.5"},
        {FROM_LOGIN, MAIL, "RCPT TO:<a!b@example.net>\r\n", "250 2.1.5"},
        {FROM_LOGIN, MAIL, "RCPT TO:<x@example.net> NOTIFY=NEVER ORCPT=rfc822;x@y\r\n",
         "250 2.1.5"},
        {FROM_LOGIN, MAIL, "RCPT TO:<x@example.net> NOTIFY=NEVER,DELAY\r\n", "501 5.5.4"},
        {FROM_LOGIN, MAIL, "RCPT TO:<k\xc3\xb6rol@example.net>\r\n", "553 5.6.7"},
        {FROM_TLS, "", "NOOP\n", "500 5.5.2"},
        {FROM_TLS, "", "NO\rOP\r\n", "500 5.5.2"},
        {FROM_TLS, "", "GET / HTTP/1.1\r\n", "421 4.7.0"},
        {FROM_RELAY, "", "AUTH PLAIN\r\n", "503 5.5.1"},
        {FROM_RELAY, "", "STARTTLS\r\n", "502 5.5.1"},
        {FROM_RELAY, "", "MAIL FROM:<x@y.example> AUTH=<>\r\n", "555 5.5.4"},
        {FROM_RELAY, "", "MAIL FROM:<anybody@anywhere.example>\r\n", "250 2.1.0"},
        {FROM_RELAY, "", "MAIL FROM:<postmaster>\r\n", "501 5.1.7"},
        {FROM_RELAY, "", "MAIL FROM:<>\r\n", "250 2.1.0"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        code_of(cases[i].from, cases[i].before, cases[i].line, cases[i].code);
}

static void more_recipients_than_allowed_are_452(void **state)
{
    (void)state;
    both_ways(FROM_LOGIN, (const struct step[]){
                              {MAIL, MAIL_OK},
                              {"RCPT TO:<a@example.net>\r\n", RCPT_OK},
                              {"RCPT TO:<b@example.net>\r\n", RCPT_OK},
                              {"RCPT TO:<a@example.net>\r\n", RCPT_OK},
                              {"RCPT TO:<c@example.net>\r\n", RCPT_OK},
                              {"RCPT TO:<d@example.net>\r\n", "452 4.5.3 Too many recipients\r\n"},
                              {"DATA\r\n", GO},
                              {MESSAGE, "250 2.0.0 Ok: queued as 00000049P302\r\n"},
                              END,
                          });
}

#define RECEIVED_FOR                                                                               \
    "Received: from localhost (authenticated)\r\n by mail.example.org with ESMTPSA (TLSv1.3 "      \
    "TLS_AES_256_GCM_SHA384)\r\n id %s\r\n for <carol@example.net>;\r\n Sun, 22 Nov 2026 "         \
    "15:28:50 +0000\r\n" HEADER "\r\nHello\r\n"

static void a_message_is_queued_as_it_should_be(void **state)
{
    (void)state;
    struct fake_session f;
    fake_session_init(&f);
    begin(&f, FROM_LOGIN);
    char id[ID_SIZE], reply[64], content[1024];
    id_text(123456789, id);
    snprintf(reply, sizeof reply, "250 2.0.0 Ok: queued as %s\r\n", id);
    snprintf(content, sizeof content, RECEIVED_FOR, id);
    play(&f,
         (const struct step[]){
             {"MAIL FROM:<al@example.org> RET=FULL ENVID=env+2B1\r\n", MAIL_OK},
             {"RCPT TO:<carol@example.net> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;c@x\r\n", RCPT_OK},
             {"DATA\r\n", GO},
             {MESSAGE, reply},
             END,
         });
    assert_string_equal(buffer_text(&f.content), content);
    const struct envelope *e = &f.envelope;
    assert_int_equal(e->origin, ORIGIN_SUBMISSION);
    assert_string_equal(e->reverse_path, "al@example.org");
    assert_string_equal(e->user, "alice@example.org");
    assert_string_equal(e->envid, "env+2B1");
    assert_int_equal(e->ret, RET_FULL);
    assert_false(e->content_8bit);
    assert_int_equal(e->size, strlen(content));
    assert_int_equal(e->count, 1);
    assert_string_equal(e->recipients[0].address, "carol@example.net");
    assert_string_equal(e->recipients[0].orcpt, "rfc822;c@x");
    assert_int_equal(e->recipients[0].notify, NOTIFY_SUCCESS | NOTIFY_FAILURE);
    assert_int_equal(e->recipients[0].level, LEVEL_ENCRYPT);
    assert_int_equal(e->recipients[0].exemption, EXEMPTION_NONE);
    assert_string_equal(e->recipients[0].owner, "alice@example.org");
    assert_int_equal(f.arrived_at_ms, f.now_ms);
    assert_int_equal(f.due_at_ms, f.now_ms + 30000); /* the user's hold_back */
    char line[512];
    snprintf(line, sizeof line,
             "queued session=1 id=%s listener=submission user=alice@example.org "
             "from=al@example.org size=%zu recipients=1 message-id=<a@b> tls=TLSv1.3 "
             "cipher=TLS_AES_256_GCM_SHA384\n",
             id, strlen(content));
    assert_non_null(strstr(buffer_text(&f.log), line));
    assert_null(strstr(buffer_text(&f.log), "Hello"));
    fake_session_free(&f);
}

/* The wish of the account is no NOTIFY of the client's, which is passed on. */
static void a_user_who_wants_receipts_has_them_for_every_recipient(void **state)
{
    (void)state;
    for (int wants = 0; wants < 2; wants++) {
        struct fake_session f;
        fake_session_init(&f);
        f.wants_receipts = wants;
        begin(&f, FROM_LOGIN);
        fake_session_say(&f, SLICE("MAIL FROM:<al@example.org>\r\nRCPT TO:<carol@example.net>\r\n"
                                   "RCPT TO:<dave@example.net> NOTIFY=NEVER\r\nDATA\r\n"));
        fake_session_say(&f, SLICE(MESSAGE));
        assert_non_null(strstr(fake_session_heard(&f), "250 2.0.0 Ok: queued as"));
        assert_int_equal(f.envelope.count, 2);
        assert_int_equal(f.envelope.recipients[0].wants_receipt, wants);
        assert_int_equal(f.envelope.recipients[0].notify, NOTIFY_DEFAULT);
        assert_int_equal(f.envelope.recipients[1].wants_receipt, wants);
        assert_int_equal(f.envelope.recipients[1].notify, NOTIFY_NEVER);
        fake_session_free(&f);
    }
}

/* What the mail store sends on was not written by the user. */
static void mail_on_the_relay_listener_has_no_receipts(void **state)
{
    (void)state;
    struct fake_session f;
    fake_session_init(&f);
    f.wants_receipts = true;
    begin(&f, FROM_RELAY);
    fake_session_say(
        &f, SLICE("MAIL FROM:<alice@example.org>\r\nRCPT TO:<carol@example.net>\r\nDATA\r\n"));
    fake_session_say(&f, SLICE(MESSAGE));
    assert_string_equal(f.envelope.recipients[0].owner, "alice@example.org");
    assert_false(f.envelope.recipients[0].wants_receipt);
    fake_session_free(&f);
}

static void the_relay_listener_takes_mail_without_auth_and_binds_the_named_user(void **state)
{
    (void)state;
    struct fake_session f;
    fake_session_init(&f);
    begin(&f, FROM_RELAY);
    fake_session_say(&f, SLICE("MAIL FROM:<alice@example.org>\r\nRCPT TO:<carol@example.net>\r\n"
                               "RCPT TO:<dave@example.net>\r\nDATA\r\n"));
    fake_session_say(&f, SLICE("Bcc: stays\r\nAuto-Submitted: auto-replied\r\n\r\nHi\r\n.\r\n"));
    assert_non_null(strstr(fake_session_heard(&f), "250 2.0.0 Ok: queued as"));
    const char *content = buffer_text(&f.content);
    assert_non_null(
        strstr(content, "Received: from localhost\r\n by mail.example.org with ESMTP\r\n id "));
    assert_null(strstr(content, "Date:"));
    assert_null(strstr(content, " for <"));
    assert_non_null(strstr(content, "\r\nBcc: stays\r\n"));
    assert_int_equal(f.envelope.origin, ORIGIN_RELAY);
    assert_string_equal(f.envelope.user, "");
    assert_int_equal(f.envelope.count, 2);
    assert_int_equal(f.envelope.recipients[0].level, LEVEL_ENCRYPT);
    assert_int_equal(f.envelope.recipients[0].exemption, EXEMPTION_AUTO_REPLY);
    assert_string_equal(f.envelope.recipients[0].owner, "alice@example.org");
    assert_int_equal(f.due_at_ms, f.now_ms);
    assert_non_null(strstr(buffer_text(&f.log), "to=carol@example.net owner=alice@example.org "
                                                "level=encrypt exempt=auto-reply\n"));
    fake_session_free(&f);
}

/* Whichever look-up fails: who is bound is not known, so the mail is not taken. */
static void mail_is_not_taken_while_the_accounts_can_not_be_read(void **state)
{
    static const struct {
        enum from from;
        const char *commands, *content;
        unsigned lookups_min;
    } cases[] = {
        /* MAIL, and at the end of the data. */
        {FROM_LOGIN, MAIL RCPT "DATA\r\n", MESSAGE, 2},
        {FROM_RELAY, MAIL RCPT "DATA\r\n", MESSAGE, 1},
        /* Nobody's reverse-path, a forward of alice's, somebody else's From; two recipients. */
        {FROM_RELAY,
         "MAIL FROM:<stranger@example.net>\r\n" RCPT "RCPT TO:<dave@example.net>\r\nDATA\r\n",
         "From: stranger@example.net\r\nDelivered-To: alice@example.org\r\n\r\nHi\r\n.\r\n", 4},
        {FROM_RELAY, "MAIL FROM:<>\r\n" RCPT "DATA\r\n",
         "From: alice@example.org\r\n\r\nHi\r\n.\r\n", 1},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        bool is_queued = false;
        for (unsigned answers = 0; !is_queued; answers++) {
            struct fake_session f;
            fake_session_init(&f);
            begin(&f, cases[i].from);
            f.accounts_error = -EIO;
            f.accounts_answers = answers;
            fake_session_say(&f, slice_of(cases[i].commands));
            if (f.is_open)
                fake_session_say(&f, slice_of(cases[i].content));
            const char *heard = fake_session_heard(&f);
            is_queued = f.commits == 1;
            assert_int_equal(is_queued, strstr(heard, "250 2.0.0 Ok: queued as") != NULL);
            assert_int_equal(!is_queued,
                             strstr(heard, "451 4.3.0 Accounts cannot be read\r\n") != NULL);
            if (is_queued)
                assert_in_range(answers, cases[i].lookups_min, 50);
            /* And then it goes on. */
            f.accounts_error = 0;
            fake_session_say(&f, SLICE(MAIL));
            assert_string_equal(fake_session_heard(&f), MAIL_OK);
            fake_session_free(&f);
        }
    }
}

static void mail_is_not_taken_while_the_forwards_can_not_be_read(void **state)
{
    (void)state;
    for (int has = -EIO; has <= 1; has = has < 0 ? 0 : has + 1) {
        struct fake_session f;
        fake_session_init(&f);
        f.has_forward = has;
        begin(&f, FROM_RELAY);
        fake_session_say(&f, SLICE("MAIL FROM:<stranger@example.net>\r\n" RCPT "DATA\r\n"));
        fake_session_say(&f, SLICE("From: stranger@example.net\r\n"
                                   "Delivered-To: alice@example.org\r\n\r\nHi\r\n.\r\n"));
        const char *heard = fake_session_heard(&f);
        assert_int_equal(f.commits, has >= 0);
        assert_int_equal(has < 0, strstr(heard, "451 4.3.0 Accounts cannot be read\r\n") != NULL);
        if (has >= 0)
            assert_int_equal(f.envelope.recipients[0].exemption,
                             has ? EXEMPTION_FORWARD : EXEMPTION_NONE);
        else
            assert_null(strstr(buffer_text(&f.log), "exempt"));
        fake_session_free(&f);
    }
}

/* Bob's flag is the default one. */
static void an_exception_of_the_administrator_lifts_the_flag(void **state)
{
    (void)state;
    for (int has = -EIO; has <= 1; has = has < 0 ? 0 : has + 1) {
        struct fake_session f;
        fake_session_init(&f);
        f.has_exception = has;
        f.settings->default_level = LEVEL_ENCRYPT;
        begin(&f, FROM_TLS);
        fake_session_say(&f, SLICE(AUTH_BOB));
        fake_session_say(&f, SLICE("MAIL FROM:<bob@example.org>\r\n" RCPT "DATA\r\n"));
        fake_session_say(&f, SLICE("From: bob@example.org\r\n\r\nHi\r\n.\r\n"));
        const char *heard = fake_session_heard(&f);
        assert_int_equal(f.commits, has >= 0);
        assert_int_equal(has < 0, strstr(heard, "451 4.3.0 Accounts cannot be read\r\n") != NULL);
        if (has >= 0) {
            assert_int_equal(f.envelope.recipients[0].level, LEVEL_ENCRYPT);
            assert_int_equal(f.envelope.recipients[0].exemption,
                             has ? EXEMPTION_EXCEPTION : EXEMPTION_NONE);
        }
        fake_session_free(&f);
    }
}

/* The field lifts nothing there (RFC 8689 section 4.1), so nothing says that it did. */
static void tls_required_no_is_no_exemption_in_a_message_with_requiretls(void **state)
{
    (void)state;
    for (int is_strict = 0; is_strict <= 1; is_strict++) {
        struct fake_session f;
        fake_session_init(&f);
        begin(&f, FROM_TLS);
        fake_session_say(&f, SLICE(AUTH_BOB));
        fake_session_say(&f, is_strict ? SLICE("MAIL FROM:<bob@example.org> REQUIRETLS\r\n")
                                       : SLICE("MAIL FROM:<bob@example.org>\r\n"));
        fake_session_say(&f, SLICE(RCPT "DATA\r\n"));
        fake_session_say(&f, SLICE("From: bob@example.org\r\nTLS-Required: No\r\n\r\nHi\r\n.\r\n"));
        assert_int_equal(f.commits, 1);
        assert_int_equal(f.envelope.requiretls, is_strict);
        assert_int_equal(f.envelope.recipients[0].exemption,
                         is_strict ? EXEMPTION_NONE : EXEMPTION_TLS_REQUIRED_NO);
        assert_int_equal(strstr(buffer_text(&f.log), "exempt") == NULL, is_strict);
        fake_session_free(&f);
    }
}

static void a_flag_in_dry_run_is_recorded_and_lifted(void **state)
{
    (void)state;
    for (int is_dry_run = 0; is_dry_run <= 1; is_dry_run++) {
        struct fake_session f;
        fake_session_init(&f);
        f.is_dry_run = is_dry_run;
        begin(&f, FROM_TLS);
        fake_session_say(&f, SLICE(AUTH_ALICE));
        fake_session_say(&f, SLICE(MAIL RCPT "DATA\r\n"));
        fake_session_say(&f, SLICE("From: alice@example.org\r\n\r\nHi\r\n.\r\n"));
        assert_int_equal(f.commits, 1);
        assert_int_equal(f.envelope.recipients[0].level, LEVEL_ENCRYPT);
        assert_int_equal(f.envelope.recipients[0].exemption,
                         is_dry_run ? EXEMPTION_DRY_RUN : EXEMPTION_NONE);
        fake_session_free(&f);
    }
}

static void auth_is_454_while_the_accounts_can_not_be_read(void **state)
{
    (void)state;
    static const char *const lines[] = {AUTH_ALICE, AUTH_WRONG_LINE, AUTH_BOB};
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        struct fake_session f;
        fake_session_init(&f);
        f.settings->auth_failures_per_address = 1;
        begin(&f, FROM_TLS);
        f.accounts_error = -EIO;
        for (int tries = 0; tries < 3; tries++) { /* and is not counted against the client */
            fake_session_say(&f, slice_of(lines[i]));
            assert_string_equal(fake_session_heard(&f),
                                "454 4.7.0 Temporary authentication failure\r\n");
        }
        f.accounts_error = 0;
        play(&f, (const struct step[]){{AUTH_ALICE, AUTHED}, END});
        fake_session_free(&f);
    }
}

static void pipelined_commands_are_answered_in_one_write(void **state)
{
    (void)state;
    struct fake_session f;
    fake_session_init(&f);
    begin(&f, FROM_LOGIN);
    unsigned before = f.writes;
    play(&f,
         (const struct step[]){
             {MAIL RCPT "RCPT TO:<bad\r\n"
                        "RCPT TO:<dave@example.net>\r\nDATA\r\n",
              MAIL_OK RCPT_OK "501 5.1.3 Syntax: RCPT TO:<address> [parameters]\r\n" RCPT_OK GO},
             END,
         });
    assert_int_equal(f.writes - before, 1);
    before = f.writes;
    play(&f, (const struct step[]){{MESSAGE MAIL RCPT "QUIT\r\n",
                                    "250 2.0.0 Ok: queued as 00000049P302\r\n" MAIL_OK RCPT_OK
                                    "221 2.0.0 Bye\r\n"},
                                   END});
    assert_int_equal(f.writes - before, 2); /* the first after the commit */
    assert_int_equal(f.commits, 1);
    assert_true(f.is_finished);
    fake_session_free(&f);
}

static void data_that_is_no_good_is_refused_and_the_session_goes_on(void **state)
{
    (void)state;
    static const struct {
        const char *data, *code;
    } cases[] = {
        {HEADER "\r\nbare\nlf\r\n.\r\n", "550 5.5.2"},
        {HEADER "\r\nsmuggle\n.\r\nMAIL FROM:<x@y>\r\n.\r\n", "550 5.5.2"},
        {HEADER "\r\nsmuggle\r.\r\nRCPT\r\n.\r\n", "550 5.5.2"},
        {"From: bob@example.org\r\n\r\nx\r\n.\r\n", "550 5.7.1"},
        {"From: alice@example.org\r\nSender: bob@example.org\r\n\r\nx\r\n.\r\n", "550 5.7.1"},
        {"no header\r\n.\r\n", "554 5.6.0"},
    };
    for (size_t i = 0; i < 2 * COUNT_OF(cases); i++) {
        struct fake_session f;
        fake_session_init(&f);
        begin(&f, FROM_LOGIN);
        f.is_one_by_one = i % 2;
        fake_session_say(&f, slice_of(MAIL RCPT "DATA\r\n"));
        fake_session_heard(&f);
        fake_session_say(&f, slice_of(cases[i / 2].data));
        const char *heard = fake_session_heard(&f);
        assert_int_equal(strncmp(heard, cases[i / 2].code, 9), 0);
        assert_string_equal(strstr(heard, "\r\n"), "\r\n"); /* one line and no more */
        assert_int_equal(f.commits, 0);
        assert_int_equal(f.aborts, 1);
        play(&f, (const struct step[]){{"NOOP\r\n", OK}, {MAIL, MAIL_OK}, END});
        fake_session_free(&f);
    }
}

static void a_null_reverse_path_needs_the_users_from(void **state)
{
    (void)state;
    both_ways(FROM_LOGIN,
              (const struct step[]){
                  {"MAIL FROM:<>\r\n", MAIL_OK},
                  {RCPT, RCPT_OK},
                  {"DATA\r\n", GO},
                  {MESSAGE, "250 2.0.0 Ok: queued as 00000049P302\r\n"},
                  {"MAIL FROM:<>\r\n", MAIL_OK},
                  {RCPT, RCPT_OK},
                  {"DATA\r\n", GO},
                  {"From: eve@example.org\r\n\r\n.\r\n",
                   "550 5.7.1 The From (or Sender) field is missing or not your address\r\n"},
                  END,
              });
}

static void a_full_or_broken_store_is_said_where_it_shows(void **state)
{
    (void)state;
    struct fake_session f;
    fake_session_init(&f);
    begin(&f, FROM_LOGIN);
    f.is_store_full = true;
    play(&f, (const struct step[]){{MAIL, "452 4.3.1 Insufficient system storage\r\n"}, END});
    f.is_store_full = false;
    f.is_store_broken = true;
    play(&f, (const struct step[]){{MAIL, MAIL_OK},
                                   {RCPT, RCPT_OK},
                                   {"DATA\r\n", "451 4.3.0 The queue is not available\r\n"},
                                   END});
    f.is_store_broken = false;
    f.append_error = -ENOSPC;
    play(&f, (const struct step[]){
                 {"DATA\r\n", GO}, {MESSAGE, "452 4.3.1 Insufficient system storage\r\n"}, END});
    f.append_error = 0;
    f.commit_error = -ENOSPC;
    play(&f, (const struct step[]){{MAIL, MAIL_OK},
                                   {RCPT, RCPT_OK},
                                   {"DATA\r\n", GO},
                                   {MESSAGE, "452 4.3.1 Insufficient system storage\r\n"},
                                   END});
    f.commit_error = -EIO;
    play(&f, (const struct step[]){{MAIL, MAIL_OK},
                                   {RCPT, RCPT_OK},
                                   {"DATA\r\n", GO},
                                   {MESSAGE, "451 4.3.0 The queue is not available\r\n"},
                                   END});
    f.commit_error = 0;
    f.is_behind = true;
    f.drain_error = -ENOSPC;
    play(&f, (const struct step[]){{MAIL, MAIL_OK}, {RCPT, RCPT_OK}, {"DATA\r\n", GO}, END});
    f.is_one_by_one = true;
    play(&f, (const struct step[]){{MESSAGE, "452 4.3.1 Insufficient system storage\r\n"}, END});
    assert_null(strstr(buffer_text(&f.log), "queued"));
    fake_session_free(&f);
}

static void reading_stops_while_the_store_is_behind(void **state)
{
    (void)state;
    struct fake_session f;
    fake_session_init(&f);
    begin(&f, FROM_LOGIN);
    fake_session_say(&f, slice_of(MAIL RCPT "DATA\r\n"));
    f.is_behind = true;
    struct slice in = SLICE(HEADER "\r\nfirst\r\n");
    session_data(f.session, &in);
    assert_true(f.is_held);
    assert_int_equal(f.deadline_ms, -1);
    session_drained(f.session, 0);
    assert_false(f.is_held);
    f.is_behind = false;
    fake_session_heard(&f);
    play(&f, (const struct step[]){{"second\r\n.\r\n", "250 2.0.0 Ok: queued as 00000049P302\r\n"},
                                   END});
    assert_non_null(strstr(buffer_text(&f.content), "first\r\nsecond\r\n"));
    fake_session_free(&f);
}

static void nothing_is_said_before_the_commit(void **state)
{
    (void)state;
    struct fake_session f;
    fake_session_init(&f);
    begin(&f, FROM_LOGIN);
    f.waits_for_commit = true;
    fake_session_say(&f, slice_of(MAIL RCPT "DATA\r\n"));
    fake_session_heard(&f);
    play(&f, (const struct step[]){{MESSAGE "NOOP\r\n", ""}, END});
    assert_true(f.is_held);
    fake_session_commit(&f);
    fake_session_run(&f);
    assert_string_equal(fake_session_heard(&f), "250 2.0.0 Ok: queued as 00000049P302\r\n" OK);
    fake_session_free(&f);
}

static void a_client_that_leaves_before_the_reply_has_its_message_queued(void **state)
{
    (void)state;
    struct fake_session f;
    fake_session_init(&f);
    begin(&f, FROM_LOGIN);
    f.waits_for_commit = true;
    fake_session_say(&f, slice_of(MAIL RCPT "DATA\r\n"));
    fake_session_say(&f, slice_of(MESSAGE));
    session_gone(f.session, "Connection reset by peer");
    assert_false(f.is_finished);
    fake_session_commit(&f);
    assert_true(f.is_finished);
    assert_int_equal(f.commits, 1);
    assert_int_equal(f.aborts, 0);
    assert_non_null(strstr(buffer_text(&f.log), "the client left before the reply"));
    fake_session_free(&f);
}

static void a_client_that_leaves_in_the_data_leaves_nothing(void **state)
{
    (void)state;
    struct fake_session f;
    fake_session_init(&f);
    begin(&f, FROM_LOGIN);
    fake_session_say(&f, slice_of(MAIL RCPT "DATA\r\n"));
    fake_session_say(&f, slice_of(HEADER "\r\nHel"));
    session_gone(f.session, "");
    assert_true(f.is_finished);
    assert_int_equal(f.aborts, 1);
    assert_int_equal(f.commits, 0);
    fake_session_free(&f);
}

static void an_idle_client_gets_421(void **state)
{
    (void)state;
    struct fake_session f;
    fake_session_init(&f);
    begin(&f, FROM_LOGIN);
    assert_int_equal(f.deadline_ms, 5 * 60 * 1000);
    session_deadline(f.session);
    assert_string_equal(fake_session_heard(&f), "421 4.4.2 mail.example.org Timeout exceeded\r\n");
    assert_true(f.is_finished);
    assert_false(f.is_aborted);
    fake_session_free(&f);
}

static void hourly_limits_are_450_and_count_what_was_queued(void **state)
{
    (void)state;
    struct fake_session f;
    fake_session_init(&f);
    f.settings->messages_per_hour = 1;
    f.settings->recipients_per_hour = 2;
    begin(&f, FROM_LOGIN);
    play(&f,
         (const struct step[]){
             {MAIL, MAIL_OK},
             {"RSET\r\n", OK},
             {MAIL, MAIL_OK},
             {RCPT, RCPT_OK},
             {"RCPT TO:<b@example.net>\r\n", RCPT_OK},
             {"RCPT TO:<c@example.net>\r\n", "450 4.7.1 Too many recipients within an hour\r\n"},
             {"DATA\r\n", GO},
             {MESSAGE, "250 2.0.0 Ok: queued as 00000049P302\r\n"},
             {MAIL, "450 4.7.1 Too many messages within an hour\r\n"},
             END,
         });
    f.now_ms += 60 * 60 * 1000;
    play(&f, (const struct step[]){{MAIL, MAIL_OK}, END});
    fake_session_free(&f);
}

static void a_user_who_was_removed_cannot_send_any_more(void **state)
{
    (void)state;
    struct fake_session f;
    fake_session_init(&f);
    begin(&f, FROM_LOGIN);
    f.is_alice_gone = true;
    play(&f, (const struct step[]){{MAIL, "550 5.7.1 Your account is gone\r\n"}, END});
    fake_session_free(&f);
}

/* ---- Doors ---- */

static void strangers_at_the_relay_listener_get_554(void **state)
{
    (void)state;
    struct fake_session f;
    fake_session_init(&f);
    assert_true(net_address_parse(SLICE("192.0.2.1"), &f.peer));
    fake_session_start(&f, FAKE_RELAY);
    assert_string_equal(fake_session_heard(&f), "554 5.7.1 mail.example.org Access denied\r\n");
    assert_true(f.is_finished);
    fake_session_free(&f);
}

static void too_many_connections_get_421(void **state)
{
    (void)state;
    for (int listener = FAKE_SUBMISSION; listener <= FAKE_SUBMISSIONS; listener++) {
        struct fake_session f;
        fake_session_init(&f);
        f.settings->connections_per_address = 1;
        assert_int_equal(limits_connect(f.limits, &f.peer, 0, 0), LIMITS_OK);
        fake_session_start(&f, listener);
        assert_string_equal(
            fake_session_heard(&f),
            "421 4.7.0 mail.example.org Too many connections from your address\r\n");
        assert_true(f.is_finished);
        limits_disconnect(f.limits, &f.peer);
        fake_session_free(&f);
    }
}

static void at_shutdown_idle_sessions_end_and_transactions_come_to_their_end(void **state)
{
    (void)state;
    struct fake_session idle, busy, cut;
    fake_session_init(&idle);
    begin(&idle, FROM_LOGIN);
    session_stop(idle.session);
    assert_string_equal(fake_session_heard(&idle),
                        "421 4.3.2 mail.example.org Service shuts down, try again later\r\n");
    assert_true(idle.is_finished);
    fake_session_free(&idle);

    fake_session_init(&busy);
    begin(&busy, FROM_LOGIN);
    fake_session_say(&busy, slice_of(MAIL RCPT));
    session_stop(busy.session);
    assert_false(busy.is_finished);
    fake_session_say(&busy, slice_of("DATA\r\n"));
    fake_session_heard(&busy);
    play(&busy, (const struct step[]){
                    {MESSAGE, "250 2.0.0 Ok: queued as 00000049P302\r\n421 4.3.2 mail.example.org "
                              "Service shuts down, try again later\r\n"},
                    END});
    assert_true(busy.is_finished);
    fake_session_free(&busy);

    fake_session_init(&cut);
    begin(&cut, FROM_LOGIN);
    fake_session_say(&cut, slice_of(MAIL RCPT "DATA\r\n"));
    cut.waits_for_commit = true;
    fake_session_say(&cut, slice_of(MESSAGE));
    session_stop(cut.session);
    session_stop_now(cut.session);
    assert_false(cut.is_finished); /* the commit is under way */
    fake_session_heard(&cut);
    fake_session_commit(&cut);
    assert_string_equal(
        fake_session_heard(&cut),
        "250 2.0.0 Ok: queued as 00000049P302\r\n421 4.3.2 mail.example.org Service "
        "shuts down, try again later\r\n");
    assert_true(cut.is_finished);
    fake_session_free(&cut);
}

/* A client that never finishes its handshake has nothing under way that is worth the grace. */
static void at_shutdown_a_handshake_under_way_ends_at_once(void **state)
{
    (void)state;
    for (int is_implicit = 0; is_implicit < 2; is_implicit++) {
        struct fake_session f;
        fake_session_init(&f);
        f.is_handshake_endless = true;
        fake_session_start(&f, is_implicit ? FAKE_SUBMISSIONS : FAKE_SUBMISSION);
        if (!is_implicit)
            play(&f, (const struct step[]){{"", GREETING}, {STARTTLS, READY_FOR_TLS}, END});
        assert_true(f.is_handshaking);
        session_stop(f.session);
        assert_true(f.is_finished);
        assert_true(f.is_aborted); /* nothing can be said in the middle of a handshake */
        assert_string_equal(fake_session_heard(&f), "");
        assert_null(strstr(buffer_text(&f.log), "reject"));
        assert_null(strstr(buffer_text(&f.log), "tls-failed"));
        fake_session_free(&f);
    }
}

static void each_listener_survives_any_event_in_any_order(void **state)
{
    (void)state;
    for (int listener = 0; listener < FAKE_LISTENERS; listener++) {
        struct fake_session f;
        fake_session_init(&f);
        fake_session_start(&f, listener);
        session_drained(f.session, 0);
        struct session_tls tls = {"TLSv1.2", "X", false, {0}};
        session_tls_ready(f.session, &tls);
        session_stop_now(f.session);
        session_deadline(f.session);
        session_gone(f.session, "");
        session_stop(f.session);
        assert_true(f.is_finished);
        fake_session_free(&f);
    }
}

/* ---- The answer at RCPT ---- */

#define NO_TLS "TLS is required, but was not offered by host mx.carol.example[192.0.2.9]"
#define REFUSED "550 5.7.4 " NO_TLS "\r\n"

static void begin_asking(struct fake_session *f, const char *words)
{
    fake_session_init(f);
    f->settings->at_rcpt = SUBMISSION_AT_RCPT_KNOWN;
    f->rcpt_words = words;
    begin(f, FROM_LOGIN);
}

static unsigned count_of(const char *text, const char *word)
{
    unsigned count = 0;
    for (text = strstr(text, word); text; text = strstr(text + 1, word))
        count++;
    return count;
}

static void a_recipient_known_to_have_no_tls_is_refused(void **state)
{
    (void)state;
    for (int is_one_by_one = 0; is_one_by_one < 2; is_one_by_one++) {
        struct fake_session f;
        begin_asking(&f, NO_TLS);
        f.is_one_by_one = is_one_by_one;
        play(&f, (const struct step[]){{MAIL, MAIL_OK},
                                       {RCPT, REFUSED},
                                       {"DATA\r\n", "554 5.5.1 No valid recipients\r\n"},
                                       END});
        assert_string_equal(f.question, "carol@example.net encrypt known");
        assert_int_equal(count_of(buffer_text(&f.log), " to=carol@example.net "), 1);
        f.rcpt_words = NULL;
        play(&f, (const struct step[]){{RCPT, RCPT_OK}, END});
        f.rcpt_words = NO_TLS;
        play(&f, (const struct step[]){{"RCPT TO:<dave@example.net>\r\n", REFUSED},
                                       {"DATA\r\n", GO},
                                       {MESSAGE, "250 2.0.0 Ok: queued as 00000049P302\r\n"},
                                       END});
        assert_int_equal(f.asked, 3);
        assert_int_equal(f.envelope.count, 1);
        assert_string_equal(f.envelope.recipients[0].address, "carol@example.net");
        fake_session_free(&f);
    }
}

/* Whether it is asked, and how. */
static void who_is_asked_about(void **state)
{
    (void)state;
    static const struct {
        const char *claim, *mail; /* mail NULL: the usual */
        enum submission_at_rcpt at_rcpt;
        const char *question; /* NULL: none */
        enum level default_level;
        int has_forward, has_exception;
        bool is_bob, is_relay, is_dry_run;
    } cases[] = {
        {"off", .at_rcpt = SUBMISSION_AT_RCPT_OFF},
        {"known", .at_rcpt = SUBMISSION_AT_RCPT_KNOWN,
         .question = "carol@example.net encrypt known"},
        {"probe", .at_rcpt = SUBMISSION_AT_RCPT_PROBE,
         .question = "carol@example.net encrypt probe"},
        {"an alias", "MAIL FROM:<AL@example.org>\r\n", .at_rcpt = SUBMISSION_AT_RCPT_PROBE,
         .question = "carol@example.net encrypt probe"},
        {"null reverse-path", "MAIL FROM:<>\r\n", .at_rcpt = SUBMISSION_AT_RCPT_PROBE},
        {"forward target", .at_rcpt = SUBMISSION_AT_RCPT_PROBE, .has_forward = 1},
        {"forwards unreadable", .at_rcpt = SUBMISSION_AT_RCPT_PROBE, .has_forward = -EIO},
        {"exception", .at_rcpt = SUBMISSION_AT_RCPT_PROBE, .has_exception = 1},
        {"exceptions unreadable", .at_rcpt = SUBMISSION_AT_RCPT_PROBE, .has_exception = -EIO},
        {"dry run", .at_rcpt = SUBMISSION_AT_RCPT_PROBE, .is_dry_run = true},
        {"flag off", .at_rcpt = SUBMISSION_AT_RCPT_PROBE, .is_bob = true},
        {"flag by default", .at_rcpt = SUBMISSION_AT_RCPT_PROBE, .default_level = LEVEL_VERIFIED,
         .is_bob = true, .question = "carol@example.net verified probe"},
        {"relay", .at_rcpt = SUBMISSION_AT_RCPT_PROBE, .default_level = LEVEL_VERIFIED,
         .is_relay = true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct fake_session f;
        fake_session_init(&f);
        f.settings->at_rcpt = cases[i].at_rcpt;
        f.settings->default_level = cases[i].default_level;
        f.has_forward = cases[i].has_forward;
        f.has_exception = cases[i].has_exception;
        f.is_dry_run = cases[i].is_dry_run;
        f.rcpt_words = NO_TLS;
        begin(&f, cases[i].is_relay ? FROM_RELAY : FROM_TLS);
        if (!cases[i].is_relay)
            fake_session_say(&f, slice_of(cases[i].is_bob ? AUTH_BOB : AUTH_ALICE));
        const char *usual = cases[i].is_bob ? "MAIL FROM:<bob@example.org>\r\n" : MAIL;
        fake_session_say(&f, slice_of(cases[i].mail ? cases[i].mail : usual));
        fake_session_heard(&f);
        fake_session_say(&f, SLICE(RCPT));
        const char *want = cases[i].question ? REFUSED : RCPT_OK;
        const char *heard = fake_session_heard(&f);
        if (strcmp(heard, want) != 0)
            fail_msg("%s: heard %s, want %s", cases[i].claim, heard, want);
        assert_string_equal(f.question, cases[i].question ? cases[i].question : "");
        fake_session_free(&f);
    }
}

static void what_cannot_be_asked_is_taken(void **state)
{
    (void)state;
    struct fake_session f;
    begin_asking(&f, NO_TLS);
    f.is_hook_missing = true;
    play(&f, (const struct step[]){{MAIL, MAIL_OK}, {RCPT, RCPT_OK}, END});
    assert_int_equal(f.asked, 0);
    fake_session_free(&f);
}

static void pipelined_commands_wait_for_the_answer_and_keep_their_order(void **state)
{
    (void)state;
    struct fake_session f;
    begin_asking(&f, NULL);
    f.waits_for_answer = true;
    play(&f, (const struct step[]){
                 {MAIL RCPT "RCPT TO:<dave@example.net>\r\nNOOP\r\nDATA\r\n", MAIL_OK}, END});
    assert_true(f.is_held);
    assert_int_equal(f.deadline_ms, 3000);
    assert_string_equal(f.question, "carol@example.net encrypt known");
    fake_session_answer(&f);
    fake_session_run(&f);
    assert_string_equal(fake_session_heard(&f), RCPT_OK);
    assert_string_equal(f.question, "dave@example.net encrypt known");
    f.rcpt_words = NO_TLS;
    fake_session_answer(&f);
    fake_session_run(&f);
    assert_string_equal(fake_session_heard(&f), REFUSED OK GO);
    assert_false(f.is_held);
    fake_session_free(&f);
}

static void no_answer_in_time_takes_the_recipient(void **state)
{
    (void)state;
    struct fake_session f;
    begin_asking(&f, NO_TLS);
    f.waits_for_answer = true;
    play(&f, (const struct step[]){{MAIL RCPT "NOOP\r\n", MAIL_OK}, END});
    session_deadline(f.session);
    assert_int_equal(f.cancelled, 1);
    fake_session_run(&f);
    assert_string_equal(fake_session_heard(&f), RCPT_OK OK);
    assert_true(f.deadline_ms > 3000);
    fake_session_free(&f);
}

static void a_client_that_vanishes_cancels_its_question(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++) {
        struct fake_session f;
        begin_asking(&f, NULL);
        f.waits_for_answer = true;
        play(&f, (const struct step[]){{MAIL RCPT, MAIL_OK}, END});
        if (how == 0)
            session_gone(f.session, "");
        else if (how == 1)
            session_gone(f.session, "Connection reset by peer");
        else
            session_stop(f.session);
        if (how >= 2)
            assert_false(f.is_finished); /* a transaction may end within the grace */
        if (how == 3) {
            fake_session_answer(&f);
            assert_string_equal(fake_session_heard(&f), RCPT_OK);
        }
        if (how >= 2)
            session_stop_now(f.session);
        assert_true(f.is_finished);
        assert_int_equal(f.cancelled, how < 3);
        assert_false(f.is_asking);
        fake_session_free(&f);
    }
}

static void a_recipient_said_twice_is_asked_about_once(void **state)
{
    (void)state;
    struct fake_session f;
    begin_asking(&f, NULL);
    play(&f, (const struct step[]){{MAIL RCPT, MAIL_OK RCPT_OK}, END});
    f.rcpt_words = NO_TLS;
    play(&f, (const struct step[]){{RCPT, RCPT_OK}, END});
    assert_int_equal(f.asked, 1);
    fake_session_free(&f);
}

static void a_refusal_has_the_status_of_its_cause(void **state)
{
    (void)state;
    struct fake_session f;
    begin_asking(&f, "Cannot start TLS");
    f.rcpt_status = status_make(5, 7, 5);
    play(&f, (const struct step[]){{MAIL, MAIL_OK}, {RCPT, "550 5.7.5 Cannot start TLS\r\n"}, END});
    fake_session_free(&f);
}

static void words_of_a_host_cannot_break_the_reply(void **state)
{
    (void)state;
    struct fake_session f;
    char words[1000];
    begin_asking(&f, "host mx refused: 502 \xff\r\n250 2.1.5 Ok\x01");
    play(&f, (const struct step[]){{MAIL, MAIL_OK},
                                   {RCPT, "550 5.7.4 host mx refused: 502 ???250 2.1.5 Ok?\r\n"},
                                   END});
    memset(words, 'x', sizeof words - 1);
    words[sizeof words - 1] = '\0';
    f.rcpt_words = words;
    fake_session_say(&f, SLICE(RCPT));
    assert_int_equal(strlen(fake_session_heard(&f)), strlen("550 5.7.4 ") + 480 + 2);
    fake_session_free(&f);
}

static void a_recipient_that_is_refused_does_not_count_within_the_hour(void **state)
{
    (void)state;
    struct fake_session f;
    begin_asking(&f, NO_TLS);
    f.settings->recipients_per_hour = 1;
    play(&f, (const struct step[]){{MAIL RCPT RCPT, MAIL_OK REFUSED REFUSED}, END});
    f.rcpt_words = NULL;
    play(&f,
         (const struct step[]){{RCPT "DATA\r\n", RCPT_OK GO},
                               {MESSAGE MAIL, "250 2.0.0 Ok: queued as 00000049P302\r\n" MAIL_OK},
                               {RCPT, "450 4.7.1 Too many recipients within an hour\r\n"},
                               END});
    fake_session_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_tls_nothing_but_starttls_is_to_be_had),
        cmocka_unit_test(the_530_carries_the_assistance),
        cmocka_unit_test(bytes_behind_starttls_end_the_session_unread),
        cmocka_unit_test(all_is_forgotten_after_starttls),
        cmocka_unit_test(implicit_tls_greets_after_the_handshake),
        cmocka_unit_test(without_a_channel_binding_plus_is_not_offered),
        cmocka_unit_test(a_failed_handshake_is_logged_with_its_cause),
        cmocka_unit_test(before_auth_no_mail),
        cmocka_unit_test(auth_exchanges_end_as_rfc_4954_says),
        cmocka_unit_test(login_with_an_initial_response),
        cmocka_unit_test(a_y_is_true_where_plus_is_not_configured),
        cmocka_unit_test(lines_that_are_too_long_are_refused_whole),
        cmocka_unit_test(failed_logins_block_the_address),
        cmocka_unit_test(the_log_tells_who_but_never_what),
        cmocka_unit_test(a_hash_that_cannot_be_made_is_454),
        cmocka_unit_test(too_many_errors_end_the_session),
        cmocka_unit_test(commands_out_of_order_are_503),
        cmocka_unit_test(mail_is_refused_with_the_pinned_replies),
        cmocka_unit_test(requiretls_is_neither_offered_nor_taken_in_clear),
        cmocka_unit_test(requiretls_is_kept_with_its_message_alone),
        cmocka_unit_test(odd_lines_and_their_codes),
        cmocka_unit_test(more_recipients_than_allowed_are_452),
        cmocka_unit_test(a_message_is_queued_as_it_should_be),
        cmocka_unit_test(a_user_who_wants_receipts_has_them_for_every_recipient),
        cmocka_unit_test(mail_on_the_relay_listener_has_no_receipts),
        cmocka_unit_test(the_relay_listener_takes_mail_without_auth_and_binds_the_named_user),
        cmocka_unit_test(mail_is_not_taken_while_the_accounts_can_not_be_read),
        cmocka_unit_test(mail_is_not_taken_while_the_forwards_can_not_be_read),
        cmocka_unit_test(an_exception_of_the_administrator_lifts_the_flag),
        cmocka_unit_test(tls_required_no_is_no_exemption_in_a_message_with_requiretls),
        cmocka_unit_test(a_flag_in_dry_run_is_recorded_and_lifted),
        cmocka_unit_test(auth_is_454_while_the_accounts_can_not_be_read),
        cmocka_unit_test(pipelined_commands_are_answered_in_one_write),
        cmocka_unit_test(data_that_is_no_good_is_refused_and_the_session_goes_on),
        cmocka_unit_test(a_null_reverse_path_needs_the_users_from),
        cmocka_unit_test(a_full_or_broken_store_is_said_where_it_shows),
        cmocka_unit_test(reading_stops_while_the_store_is_behind),
        cmocka_unit_test(nothing_is_said_before_the_commit),
        cmocka_unit_test(a_client_that_leaves_before_the_reply_has_its_message_queued),
        cmocka_unit_test(a_client_that_leaves_in_the_data_leaves_nothing),
        cmocka_unit_test(an_idle_client_gets_421),
        cmocka_unit_test(hourly_limits_are_450_and_count_what_was_queued),
        cmocka_unit_test(a_user_who_was_removed_cannot_send_any_more),
        cmocka_unit_test(strangers_at_the_relay_listener_get_554),
        cmocka_unit_test(too_many_connections_get_421),
        cmocka_unit_test(at_shutdown_idle_sessions_end_and_transactions_come_to_their_end),
        cmocka_unit_test(at_shutdown_a_handshake_under_way_ends_at_once),
        cmocka_unit_test(each_listener_survives_any_event_in_any_order),
        cmocka_unit_test(a_recipient_known_to_have_no_tls_is_refused),
        cmocka_unit_test(who_is_asked_about),
        cmocka_unit_test(what_cannot_be_asked_is_taken),
        cmocka_unit_test(pipelined_commands_wait_for_the_answer_and_keep_their_order),
        cmocka_unit_test(no_answer_in_time_takes_the_recipient),
        cmocka_unit_test(a_client_that_vanishes_cancels_its_question),
        cmocka_unit_test(a_recipient_said_twice_is_asked_about_once),
        cmocka_unit_test(a_refusal_has_the_status_of_its_cause),
        cmocka_unit_test(words_of_a_host_cannot_break_the_reply),
        cmocka_unit_test(a_recipient_that_is_refused_does_not_count_within_the_hour),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
