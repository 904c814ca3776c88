/* The evidence for the postmaster on the other side, and the panic where the impossible is told. */
#include "gateway/guarantee/judge.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define AT 1795361330 /* 2026-11-22T15:28:50Z */

static const struct guarantee_requirement encrypt = {
    .level = LEVEL_ENCRYPT, .policy = GUARANTEE_POLICY_MAY, .route = GUARANTEE_POLICY_MAY};

static struct guarantee_host host(enum guarantee_contact contact, enum guarantee_tls tls)
{
    return (struct guarantee_host){.name = "mx.plain.example",
                                   .address = "192.0.2.9",
                                   .port = 25,
                                   .preference = 10,
                                   .at = AT,
                                   .contact = contact,
                                   .tls = tls,
                                   .keywords = "PIPELINING SIZE",
                                   .protocol = "",
                                   .cipher = "",
                                   .certificate_error = ""};
}

#define FRONT "mx.plain.example[192.0.2.9]:25 (preference 10) at 2026-11-22T15:28:50Z: "
#define EHLO "EHLO offered: PIPELINING SIZE"
#define BACK "; MX look-up insecure, TLSA none\n"

static void each_host_is_one_line_of_what_it_showed(void **state)
{
    (void)state;
    struct guarantee_host hosts[] = {
        host(GUARANTEE_IN_CONTACT, GUARANTEE_TLS_NOT_OFFERED),
        host(GUARANTEE_IN_CONTACT, GUARANTEE_TLS_FAILED),
        host(GUARANTEE_IN_CONTACT, GUARANTEE_TLS_REFUSED),
        host(GUARANTEE_NO_CONTACT, GUARANTEE_TLS_UNTRIED),
        host(GUARANTEE_IN_CONTACT, GUARANTEE_TLS_ESTABLISHED),
        host(GUARANTEE_UNTRIED, GUARANTEE_TLS_UNTRIED),
    };
    hosts[1].cause = outcome_local(status_make(4, 7, 5), "alert handshake failure");
    hosts[2].cause = outcome_reply(502, SLICE("5.5.1 no"));
    hosts[3].cause = outcome_local(status_make(4, 4, 1), "Connection refused");
    hosts[4].protocol = "TLSv1.3";
    hosts[4].cipher = "TLS_AES_256_GCM_SHA384";
    hosts[4].tlsa = GUARANTEE_TLSA_USABLE;
    hosts[4].is_name_secure = true;
    hosts[4].certificate_error = "No matching DANE TLSA records";
    hosts[5].tlsa = GUARANTEE_TLSA_ERROR;
    hosts[5].address = "";
    hosts[5].keywords = NULL;
    hosts[5].at = 0;
    struct guarantee_attempt attempt = {
        .domain = "plain.example", .detail = "", .hosts = hosts, .count = COUNT_OF(hosts)};
    struct buffer out;
    buffer_init(&out, 8192);
    guarantee_evidence(&encrypt, &attempt, &out);
    static const char want[] = FRONT
        "TLS not offered: " EHLO "; no STARTTLS" BACK                                     /**/
            FRONT "TLS failed: " EHLO "; handshake failed (alert handshake failure)" BACK /**/
                FRONT "TLS refused: " EHLO "; STARTTLS refused (502 5.5.1 no)" BACK       /**/
                    FRONT "unreachable (Connection refused)" BACK                         /**/
                        FRONT "TLS not authenticated: " EHLO
        "; TLSv1.3 with TLS_AES_256_GCM_SHA384; certificate "
        "does not match a TLSA record; certificate: No matching DANE TLSA records; MX "
        "look-up secure, TLSA usable\n"
        "mx.plain.example:25 (preference 10): TLS unknown: not connected; MX look-up insecure, "
        "TLSA lookup error\n";
    assert_string_equal(buffer_text(&out), want);
    buffer_free(&out);
}

static void the_policy_and_what_is_remembered_are_in_the_evidence(void **state)
{
    (void)state;
    static const struct {
        enum guarantee_sts sts;
        const char *detail;
        int64_t seen_at;
        enum guarantee_tls tls;
        const char *want; /* how the line ends */
    } cases[] = {
        {GUARANTEE_STS_NONE, "", 0, GUARANTEE_TLS_NOT_OFFERED, "TLSA none\n"},
        {GUARANTEE_STS_NONE, "certificate has expired", 0, GUARANTEE_TLS_NOT_OFFERED,
         "TLSA none, no MTA-STS policy: certificate has expired\n"},
        {GUARANTEE_STS_TESTING, "", 0, GUARANTEE_TLS_NOT_OFFERED,
         "TLSA none, MTA-STS policy in testing mode\n"},
        {GUARANTEE_STS_COVERS, "", 0, GUARANTEE_TLS_NOT_OFFERED,
         "TLSA none, MTA-STS policy lists the host\n"},
        {GUARANTEE_STS_EXCLUDES, "", 0, GUARANTEE_TLS_NOT_OFFERED,
         "TLSA none, MTA-STS policy does not list the host\n"},
        {GUARANTEE_STS_UNKNOWN, "HTTP 503", 0, GUARANTEE_TLS_NOT_OFFERED,
         "TLSA none, MTA-STS policy could not be learnt: HTTP 503\n"},
        {GUARANTEE_STS_UNKNOWN, NULL, 0, GUARANTEE_TLS_NOT_OFFERED,
         "TLSA none, MTA-STS policy could not be learnt\n"},
        {GUARANTEE_STS_UNKNOWN, "a\r\nb", 0, GUARANTEE_TLS_NOT_OFFERED,
         "TLSA none, MTA-STS policy could not be learnt: a??b\n"},
        {GUARANTEE_STS_OUR_FAULT, "no memory", 0, GUARANTEE_TLS_NOT_OFFERED,
         "TLSA none, MTA-STS policy not learnt by a fault of our own: no memory\n"},
        {GUARANTEE_STS_OUR_FAULT, NULL, 0, GUARANTEE_TLS_NOT_OFFERED,
         "TLSA none, MTA-STS policy not learnt by a fault of our own\n"},
        {GUARANTEE_STS_NONE, "", AT, GUARANTEE_TLS_NOT_OFFERED,
         "TLSA none; had TLS on earlier looks, last at 2026-11-22T15:28:50Z\n"},
        {GUARANTEE_STS_NONE, "", AT, GUARANTEE_TLS_ESTABLISHED, "TLSA none\n"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct guarantee_host h = host(GUARANTEE_IN_CONTACT, cases[i].tls);
        h.sts = cases[i].sts;
        h.sts_detail = cases[i].detail;
        h.tls_seen_at = cases[i].seen_at;
        struct guarantee_attempt attempt = {
            .domain = "plain.example", .detail = "", .hosts = &h, .count = 1};
        struct buffer out;
        buffer_init(&out, 8192);
        guarantee_evidence(&encrypt, &attempt, &out);
        const char *got = buffer_text(&out);
        size_t len = strlen(cases[i].want);
        if (out.len < len || strcmp(got + out.len - len, cases[i].want) != 0)
            fail_msg("row %zu: got %s want %s", i, got, cases[i].want);
        buffer_free(&out);
    }
}

/* Of the destination now: nothing was looked up or tried. */
static void what_an_earlier_attempt_found_is_told_as_such(void **state)
{
    (void)state;
    struct guarantee_host h = {.name = "mx.plain.example",
                               .address = "192.0.2.9",
                               .port = 25,
                               .is_recalled = true,
                               .contact = GUARANTEE_NO_CONTACT,
                               .cause =
                                   outcome_local(status_make(4, 4, 1), "Connection timed out")};
    struct guarantee_attempt attempt = {
        .domain = "plain.example", .detail = "", .hosts = &h, .count = 1};
    struct buffer out;
    buffer_init(&out, 8192);
    guarantee_evidence(&encrypt, &attempt, &out);
    assert_string_equal(buffer_text(&out),
                        "not tried again yet; an earlier attempt found (Connection timed out)\n");
    buffer_free(&out);
}

/* What was not asked has no answer, and what was left out was not looked at. */
static void what_was_not_done_is_not_told_as_a_finding(void **state)
{
    (void)state;
    static const struct {
        struct guarantee_host what;
        enum level level;
        const char *want;
    } cases[] = {
        {{.contact = GUARANTEE_IN_CONTACT, .tls = GUARANTEE_TLS_NOT_OFFERED, .is_literal = true},
         LEVEL_ENCRYPT,
         "; no STARTTLS; address literal, no MX look-up, TLSA none\n"},
        {{.contact = GUARANTEE_IN_CONTACT,
          .tls = GUARANTEE_TLS_NOT_OFFERED,
          .is_name_secure = true,
          .is_configured = true},
         LEVEL_ENCRYPT,
         "; no STARTTLS; configured next hop, no MX look-up, TLSA none\n"},
        {{.contact = GUARANTEE_IN_CONTACT,
          .tls = GUARANTEE_TLS_NOT_OFFERED,
          .is_tlsa_insecure = true},
         LEVEL_ENCRYPT,
         "; MX look-up insecure, TLSA insecure\n"},
        {{.contact = GUARANTEE_UNTRIED, .sts = GUARANTEE_STS_EXCLUDES},
         LEVEL_ENCRYPT,
         "Z: left out, not connected; MX look-up insecure, TLSA none, MTA-STS policy does not list "
         "the host\n"},
        {{.contact = GUARANTEE_IN_CONTACT,
          .tls = GUARANTEE_TLS_ESTABLISHED,
          .sts = GUARANTEE_STS_UNKNOWN},
         LEVEL_VERIFIED,
         "Z: MTA-STS policy unknown: " EHLO "; ; MX look-up insecure, TLSA none, MTA-STS policy "
         "could not be learnt\n"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct guarantee_host h = host(cases[i].what.contact, cases[i].what.tls);
        struct guarantee_requirement r = encrypt;
        struct guarantee_attempt attempt = {
            .domain = "plain.example", .detail = "", .hosts = &h, .count = 1};
        struct buffer out;
        r.level = cases[i].level;
        h.is_literal = cases[i].what.is_literal;
        h.is_configured = cases[i].what.is_configured;
        h.is_name_secure = cases[i].what.is_name_secure;
        h.is_tlsa_insecure = cases[i].what.is_tlsa_insecure;
        h.sts = cases[i].what.sts;
        buffer_init(&out, 8192);
        guarantee_evidence(&r, &attempt, &out);
        if (strstr(buffer_text(&out), cases[i].want) == NULL)
            fail_msg("row %zu: got %s want %s", i, buffer_text(&out), cases[i].want);
        buffer_free(&out);
    }
}

static void digests_are_said_where_somebody_has_to_compare_them(void **state)
{
    (void)state;
    static const struct {
        enum guarantee_policy policy, route;
        const char *key, *want;
    } cases[] = {
        {GUARANTEE_POLICY_FINGERPRINT, GUARANTEE_POLICY_MAY, "01ab",
         "; SHA-256 of the key 01ab, of the certificate 02cd" BACK},
        {GUARANTEE_POLICY_MAY, GUARANTEE_POLICY_FINGERPRINT, "01ab",
         "; SHA-256 of the key 01ab, of the certificate 02cd" BACK},
        {GUARANTEE_POLICY_FINGERPRINT, GUARANTEE_POLICY_MAY, "", "SHA384" BACK},
        {GUARANTEE_POLICY_VERIFY, GUARANTEE_POLICY_MAY, "01ab", "SHA384" BACK},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct guarantee_host h = host(GUARANTEE_IN_CONTACT, GUARANTEE_TLS_ESTABLISHED);
        struct guarantee_requirement r = {.policy = cases[i].policy, .route = cases[i].route};
        h.protocol = "TLSv1.3";
        h.cipher = "TLS_AES_256_GCM_SHA384";
        h.key_digest = cases[i].key;
        h.certificate_digest = "02cd";
        struct guarantee_attempt attempt = {
            .domain = "plain.example", .detail = "", .hosts = &h, .count = 1};
        struct buffer out;
        buffer_init(&out, 8192);
        guarantee_evidence(&r, &attempt, &out);
        const char *got = buffer_text(&out);
        size_t len = strlen(cases[i].want);
        if (out.len < len || strcmp(got + out.len - len, cases[i].want) != 0)
            fail_msg("row %zu: got %s want %s", i, got, cases[i].want);
        buffer_free(&out);
    }
}

static void a_certificate_for_another_name_is_said_where_the_policy_asks(void **state)
{
    (void)state;
    static const struct {
        enum guarantee_sts sts;
        bool is_for_host;
        const char *want;
    } cases[] = {
        {GUARANTEE_STS_NONE, false, "; certificate is valid by WebPKI; MX"},
        {GUARANTEE_STS_COVERS, true, "; certificate is valid by WebPKI; MX"},
        {GUARANTEE_STS_COVERS, false,
         "; certificate is valid by WebPKI, not for the host name; MX"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct guarantee_host h = host(GUARANTEE_IN_CONTACT, GUARANTEE_TLS_ESTABLISHED);
        h.sts = cases[i].sts;
        h.is_pkix_valid = true;
        h.is_pkix_for_host = cases[i].is_for_host;
        struct guarantee_attempt attempt = {
            .domain = "plain.example", .detail = "", .hosts = &h, .count = 1};
        struct buffer out;
        buffer_init(&out, 8192);
        guarantee_evidence(&encrypt, &attempt, &out);
        if (strstr(buffer_text(&out), cases[i].want) == NULL)
            fail_msg("row %zu: got %s want %s", i, buffer_text(&out), cases[i].want);
        buffer_free(&out);
    }
}

static void evidence_stops_at_a_lines_end_at_the_ceiling(void **state)
{
    (void)state;
    struct guarantee_host hosts[] = {host(GUARANTEE_IN_CONTACT, GUARANTEE_TLS_NOT_OFFERED),
                                     host(GUARANTEE_IN_CONTACT, GUARANTEE_TLS_NOT_OFFERED)};
    struct guarantee_attempt attempt = {
        .domain = "plain.example", .detail = "", .hosts = hosts, .count = 2};
    static const char line[] = FRONT "TLS not offered: " EHLO "; no STARTTLS" BACK;
    for (size_t ceiling = 0; ceiling < 3 * sizeof line; ceiling++) {
        struct buffer out;
        buffer_init(&out, ceiling);
        guarantee_evidence(&encrypt, &attempt, &out);
        size_t want = ceiling / (sizeof line - 1);
        assert_int_equal(out.len, (want > 2 ? 2 : want) * (sizeof line - 1));
        buffer_free(&out);
    }
}

static void what_a_peer_says_cannot_start_a_new_line(void **state)
{
    (void)state;
    struct guarantee_host h = host(GUARANTEE_IN_CONTACT, GUARANTEE_TLS_NOT_OFFERED);
    h.keywords = "A\r\nFinal-Recipient: x\033[2J\x7f";
    struct guarantee_attempt attempt = {
        .domain = "plain.example", .detail = "", .hosts = &h, .count = 1};
    struct buffer out;
    buffer_init(&out, 4096);
    guarantee_evidence(&encrypt, &attempt, &out);
    assert_non_null(strstr(buffer_text(&out), "A??Final-Recipient: x?[2J?; no STARTTLS"));
    assert_ptr_equal(strchr(out.data, '\n'), out.data + out.len - 1);
    buffer_free(&out);
}

/* Runs `what` in a child: a panic must end it with SIGABRT. */
static bool panics(void (*what)(void))
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        fclose(stderr);
        what();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void conclude_one(struct guarantee_host h)
{
    struct guarantee_attempt attempt = {
        .domain = "plain.example", .detail = "", .hosts = &h, .count = 1};
    (void)guarantee_conclude(&encrypt, &attempt);
}

static void deliver_in_clear(void)
{
    struct guarantee_host h = host(GUARANTEE_IN_CONTACT, GUARANTEE_TLS_NOT_OFFERED);
    h.answer = GUARANTEE_ANSWER_DELIVERED;
    h.reply = outcome_reply(250, SLICE("ok"));
    conclude_one(h);
}

static void lose_the_reply_in_clear(void)
{
    struct guarantee_host h = host(GUARANTEE_IN_CONTACT, GUARANTEE_TLS_CUT);
    h.answer = GUARANTEE_ANSWER_UNDECIDED;
    h.reply = outcome_local(status_make(4, 4, 2), "lost");
    conclude_one(h);
}

static void answer_without_words(void)
{
    struct guarantee_host h = host(GUARANTEE_IN_CONTACT, GUARANTEE_TLS_ESTABLISHED);
    h.answer = GUARANTEE_ANSWER_DELIVERED;
    conclude_one(h);
}

static void judge_unheard_of_tls(void)
{
    struct guarantee_host h = host(GUARANTEE_IN_CONTACT, (enum guarantee_tls)7);
    (void)guarantee_judge(&encrypt, &h);
}

static void judge_unheard_of_contact(void)
{
    struct guarantee_host h = host((enum guarantee_contact)4, GUARANTEE_TLS_ESTABLISHED);
    (void)guarantee_judge(&encrypt, &h);
}

static void judge_unheard_of_policy(void)
{
    struct guarantee_host h = host(GUARANTEE_IN_CONTACT, GUARANTEE_TLS_NOT_OFFERED);
    struct guarantee_requirement r = {
        .policy = (enum guarantee_policy)(GUARANTEE_POLICY_FINGERPRINT + 1)};
    (void)guarantee_judge(&r, &h);
}

static void judge_unheard_of_sts(void)
{
    struct guarantee_host h = host(GUARANTEE_IN_CONTACT, GUARANTEE_TLS_ESTABLISHED);
    h.sts = (enum guarantee_sts)6;
    (void)guarantee_judge(&encrypt, &h);
}

static void dry_run_unheard_of_answer(void)
{
    struct guarantee_host h = host(GUARANTEE_IN_CONTACT, GUARANTEE_TLS_ESTABLISHED);
    struct guarantee_attempt attempt = {
        .domain = "plain.example", .detail = "", .hosts = &h, .count = 1};
    struct outcome out;
    h.answer = (enum guarantee_answer)5;
    (void)guarantee_would_stop(&encrypt, &attempt, &out);
}

static void judge_unheard_of_level(void)
{
    struct guarantee_host h = host(GUARANTEE_IN_CONTACT, GUARANTEE_TLS_NOT_OFFERED);
    struct guarantee_requirement r = {.level = (enum level)3, .policy = GUARANTEE_POLICY_MAY};
    (void)guarantee_judge(&r, &h);
}

static void the_impossible_is_a_panic_and_never_a_guess(void **state)
{
    (void)state;
    assert_true(panics(deliver_in_clear));
    assert_true(panics(lose_the_reply_in_clear));
    assert_true(panics(answer_without_words));
    assert_true(panics(judge_unheard_of_tls));
    assert_true(panics(judge_unheard_of_contact));
    assert_true(panics(judge_unheard_of_policy));
    assert_true(panics(judge_unheard_of_level));
    assert_true(panics(judge_unheard_of_sts));
    assert_true(panics(dry_run_unheard_of_answer));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_host_is_one_line_of_what_it_showed),
        cmocka_unit_test(the_policy_and_what_is_remembered_are_in_the_evidence),
        cmocka_unit_test(what_an_earlier_attempt_found_is_told_as_such),
        cmocka_unit_test(what_was_not_done_is_not_told_as_a_finding),
        cmocka_unit_test(digests_are_said_where_somebody_has_to_compare_them),
        cmocka_unit_test(a_certificate_for_another_name_is_said_where_the_policy_asks),
        cmocka_unit_test(evidence_stops_at_a_lines_end_at_the_ceiling),
        cmocka_unit_test(what_a_peer_says_cannot_start_a_new_line),
        cmocka_unit_test(the_impossible_is_a_panic_and_never_a_guess),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
