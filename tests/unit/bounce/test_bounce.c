/* The notices: golden texts per cause and language, the fields that programs read, and the MIME
 * structure, taken apart by a reader that is written here. */
#include "bounce/bounce.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW 1795361331 /* Sun, 22 Nov 2026 15:28:51 +0000 */
#define SINCE 1795000000
#define DAY 86400
#define REASON "TLS is required, but was not offered by host mx.plain.example[192.0.2.9]"
#define REQUIRED "encrypted transport (TLS 1.2 or newer), by the sender's guarantee"
#define VERIFIED                                                                                   \
    "encrypted transport to a verified server (TLS 1.2 or newer, DANE or MTA-STS), by the "        \
    "sender's guarantee"
#define UNPROVED                                                                                   \
    "Server certificate not verified: no TLSA records found for host mx.plain.example[192.0.2.9]"
#define POLICY "encrypted transport (TLS 1.2 or newer), by our policy for the recipient's domain"
#define EVIDENCE "mx.plain.example[192.0.2.9]:25 (preference 10): TLS not offered: no STARTTLS"
#define HEADER                                                                                     \
    "Received: from localhost\r\n\tby mail.site.example\r\n"                                       \
    "From: Anna <anna@site.example>\r\nTo: bob@plain.example\r\nSubject: a secret\r\n"             \
    "Date: Sun, 22 Nov 2026 15:28:49 +0000\r\nMessage-ID: <1@site.example>\r\n"

static struct outcome stopped, replied;

static int make_outcomes(void **state)
{
    (void)state;
    stopped = outcome_local(status_make(5, 7, 4), "%s", REASON);
    outcome_set_host(&stopped, "mx.plain.example", "192.0.2.9", 25);
    replied = outcome_reply(550, SLICE("5.1.1 <carol@far.example>: User unknown"));
    outcome_set_host(&replied, "mx.far.example", "192.0.2.7", 25);
    return 0;
}

static struct bounce_recipient stop(enum bounce_release release)
{
    bool is_held = release != BOUNCE_NOT_HELD;
    return (struct bounce_recipient){
        .address = "bob@plain.example",
        .orcpt = "",
        .outcome = &stopped,
        .disposition = is_held ? DISPOSITION_HELD : DISPOSITION_FAILED,
        .is_stopped = true,
        .required = REQUIRED,
        .evidence = EVIDENCE "\n",
        .release = release,
        .held_until = is_held ? NOW + 7 * DAY : 0,
        .last_attempt_at = NOW - 1,
        .protocol = "",
        .cipher = "",
        .verified = "",
    };
}

static struct bounce_recipient other(enum disposition disposition, const struct outcome *outcome)
{
    return (struct bounce_recipient){.address = "carol@far.example",
                                     .orcpt = "",
                                     .outcome = outcome,
                                     .disposition = disposition,
                                     .required = "",
                                     .evidence = "",
                                     .last_attempt_at = NOW - 1,
                                     .retry_until = NOW + 5 * DAY,
                                     .protocol = "",
                                     .cipher = "",
                                     .verified = ""};
}

static struct bounce_report report(const struct bounce_recipient *recipients, size_t count)
{
    return (struct bounce_report){.kind = BOUNCE_FAILURE,
                                  .hostname = "mail.site.example",
                                  .id = "B1",
                                  .notice_id = "B2",
                                  .to = "anna@site.example",
                                  .reverse_path = "anna@site.example",
                                  .envid = "",
                                  .arrived_at = NOW - 2,
                                  .now = NOW,
                                  .guarantee_since = SINCE,
                                  .header = SLICE(HEADER),
                                  .count = count,
                                  .recipients = recipients};
}

/* A notice taken apart. All texts are owned. */
struct notice {
    struct buffer raw;
    char *header;
    char *part_header[3], *part[3]; /* as on the wire */
    char *text;                     /* of part 1, decoded, LF */
};

static char *copy(const char *from, const char *end)
{
    char *text = calloc(1, (size_t)(end - from) + 1);
    assert_non_null(text);
    memcpy(text, from, (size_t)(end - from));
    return text;
}

/* Undoes quoted-printable (or nothing) and turns CRLF into LF. */
static char *decoded(const char *in, bool is_quoted)
{
    char *text = calloc(1, strlen(in) + 1);
    size_t len = 0;
    assert_non_null(text);
    for (; *in; in++) {
        if (in[0] == '\r' && in[1] == '\n')
            continue;
        if (!is_quoted || *in != '=') {
            text[len++] = *in;
        } else if (in[1] == '\r') {
            in += 2;
        } else {
            char hex[3] = {in[1], in[2], '\0'};
            text[len++] = (char)strtoul(hex, NULL, 16);
            in += 2;
        }
    }
    return text;
}

/* Every octet is 7-bit, every line ends in CRLF and fits. */
static void check_octets(struct slice raw)
{
    size_t line = 0;
    for (size_t i = 0; i < raw.len; i++) {
        unsigned char c = (unsigned char)raw.data[i];
        assert_true(c != '\0' && c < 128);
        if (c == '\n')
            assert_true(i > 0 && raw.data[i - 1] == '\r');
        if (c == '\r')
            assert_true(i + 1 < raw.len && raw.data[i + 1] == '\n');
        line = c == '\n' ? 0 : line + (c != '\r');
        assert_true(line <= 998);
    }
}

static struct notice write_notice(const struct bounce_report *r)
{
    struct notice n = {0};
    buffer_init(&n.raw, 1 << 20);
    assert_true(bounce_write(r, &n.raw));
    check_octets(buffer_slice(&n.raw));
    const char *all = buffer_text(&n.raw);
    const char *end = strstr(all, "\r\n\r\n");
    assert_non_null(end);
    n.header = copy(all, end + 2);
    const char *mark = strstr(n.header, "\tboundary=\"");
    assert_non_null(mark);
    char boundary[80] = "\r\n--";
    size_t len = strcspn(mark + 11, "\"");
    assert_true(len > 0 && len <= 70);
    memcpy(boundary + 4, mark + 11, len);
    const char *at = strstr(end, boundary);
    for (int i = 0; i < 3; i++) {
        assert_non_null(at);
        at += strlen(boundary);
        assert_memory_equal(at, "\r\n", 2);
        const char *body = strstr(at, "\r\n\r\n");
        const char *next = strstr(at, boundary);
        assert_true(body != NULL && next != NULL && body < next);
        n.part_header[i] = copy(at + 2, body + 2);
        n.part[i] = copy(body + 4, next);
        at = next;
    }
    assert_string_equal(at + strlen(boundary), "--\r\n");
    n.text = decoded(n.part[0], strstr(n.part_header[0], "quoted-printable") != NULL);
    return n;
}

static void free_notice(struct notice *n)
{
    free(n->header);
    for (int i = 0; i < 3; i++) {
        free(n->part_header[i]);
        free(n->part[i]);
    }
    free(n->text);
    buffer_free(&n->raw);
}

static void has(const char *text, const char *want)
{
    if (strstr(text, want) == NULL)
        fail_msg("got:\n%s\nwant in it:\n%s", text, want);
}

static void lacks(const char *text, const char *unwanted)
{
    if (strstr(text, unwanted) != NULL)
        fail_msg("got:\n%s\nunwanted in it:\n%s", text, unwanted);
}

/* With every run of white space as one space. */
static char *joined(const char *in)
{
    char *text = calloc(1, strlen(in) + 1);
    size_t len = 0;
    assert_non_null(text);
    for (; *in != '\0'; in++) {
        bool is_space = *in == ' ' || *in == '\n';
        if (!is_space)
            text[len++] = *in;
        else if (len > 0 && text[len - 1] != ' ')
            text[len++] = ' ';
    }
    return text;
}

/* Word for word, wherever the lines are broken. */
static void says(const char *text, const char *want)
{
    char *have = joined(text), *words = joined(want);
    has(have, words);
    free(have);
    free(words);
}

#define STATUS_FRONT                                                                               \
    "Reporting-MTA: dns; mail.site.example\r\n"                                                    \
    "X-Sealpost-Queue-ID: B1\r\n"                                                                  \
    "X-Sealpost-Sender: rfc822; anna@site.example\r\n"                                             \
    "Arrival-Date: Sun, 22 Nov 2026 15:28:49 +0000\r\n"

static void a_stop_makes_this_notice_in_english(void **state)
{
    (void)state;
    struct bounce_recipient r = stop(BOUNCE_RELEASE);
    struct bounce_report rep = report(&r, 1);
    struct notice n = write_notice(&rep);
    assert_string_equal(n.header, "Date: Sun, 22 Nov 2026 15:28:51 +0000\r\n"
                                  "From: Mail Delivery System <MAILER-DAEMON@mail.site.example>\r\n"
                                  "Subject: Undelivered Mail Returned to Sender\r\n"
                                  "To: anna@site.example\r\n"
                                  "References: <1@site.example>\r\n"
                                  "In-Reply-To: <1@site.example>\r\n"
                                  "Auto-Submitted: auto-replied\r\n"
                                  "MIME-Version: 1.0\r\n"
                                  "Content-Type: multipart/report; report-type=delivery-status;\r\n"
                                  "\tboundary=\"=_B2.0\"\r\n"
                                  "Message-ID: <B2@mail.site.example>\r\n");
    assert_string_equal(n.part_header[0], "Content-Description: Notification\r\n"
                                          "Content-Type: text/plain; charset=us-ascii\r\n"
                                          "Content-Transfer-Encoding: 7bit\r\n");
    assert_string_equal(
        n.text, "This is the mail system at host mail.site.example.\n\n"
                "Your message could not be delivered to one or more recipients. What\n"
                "happened is said below for each of them.\n\n"
                "<bob@plain.example>: " REASON "\n\n"
                "    Your TLS guarantee, on since Wed, 18 Nov 2026 11:06:40 +0000, stopped this\n"
                "    message. No part of it was sent to this recipient.\n"
                "    Required: encrypted transport (TLS 1.2 or newer), by the sender's\n"
                "    guarantee\n"
                "    What the recipient's mail hosts showed:\n"
                "      mx.plain.example[192.0.2.9]:25 (preference 10): TLS not offered: no\n"
                "        STARTTLS\n\n"
                "    The message is held for this recipient under the ID B1 until\n"
                "    Sun, 29 Nov 2026 15:28:51 +0000, and dropped then without a further\n"
                "    notice.\n"
                "    What you can do now:\n"
                "    - Ask your administrator to send it without the guarantee:\n"
                "      sealpostctl release B1 bob@plain.example\n"
                "    - When the recipient's side has been repaired, ask your administrator to\n"
                "      have it tried again as it is:\n"
                "      sealpostctl release B1 bob@plain.example --recheck\n"
                "    - Or have the guarantee of your account switched off, and send the\n"
                "      message again: it may then go unencrypted.\n"
                "    - Send this notice to the recipient's postmaster, by another way: the\n"
                "      lines above say what to look for.\n");
    assert_string_equal(n.part_header[1], "Content-Description: Delivery report\r\n"
                                          "Content-Type: message/delivery-status\r\n"
                                          "Content-Transfer-Encoding: 7bit\r\n");
    assert_string_equal(n.part[1],
                        STATUS_FRONT "\r\n"
                                     "Final-Recipient: rfc822; bob@plain.example\r\n"
                                     "Action: failed\r\n"
                                     "Status: 5.7.4\r\n"
                                     "Remote-MTA: dns; mx.plain.example\r\n"
                                     "Diagnostic-Code: X-Sealpost; " REASON "\r\n"
                                     "Last-Attempt-Date: Sun, 22 Nov 2026 15:28:50 +0000\r\n"
                                     "Final-Log-ID: B1\r\n"
                                     "X-Sealpost-Held-ID: B1\r\n"
                                     "X-Sealpost-Held-Until: Sun, 29 Nov 2026 15:28:51 +0000\r\n");
    assert_string_equal(n.part_header[2], "Content-Description: Undelivered Message Headers\r\n"
                                          "Content-Type: text/rfc822-headers\r\n"
                                          "Content-Transfer-Encoding: 7bit\r\n");
    assert_string_equal(n.part[2], "Return-Path: <anna@site.example>\r\n" HEADER);
    free_notice(&n);
}

static void a_stop_makes_this_notice_in_german(void **state)
{
    (void)state;
    struct bounce_recipient r = stop(BOUNCE_RELEASE);
    struct bounce_report rep = report(&r, 1);
    rep.language = BOUNCE_GERMAN;
    struct notice n = write_notice(&rep);
    has(n.header, "Subject: Undelivered Mail Returned to Sender\r\n");
    assert_string_equal(n.part_header[0], "Content-Description: Notification\r\n"
                                          "Content-Type: text/plain; charset=utf-8\r\n"
                                          "Content-Transfer-Encoding: quoted-printable\r\n");
    assert_string_equal(
        n.text, "Dies ist das Mailsystem auf mail.site.example.\n\n"
                "Ihre Nachricht konnte an mindestens einen Empfänger nicht zugestellt\n"
                "werden. Was geschehen ist, steht unten bei jedem Empfänger.\n\n"
                "<bob@plain.example>: " REASON "\n\n"
                "    Ihre TLS-Versandgarantie, eingeschaltet seit 18.11.2026 11:06:40 UTC, hat\n"
                "    diese Nachricht angehalten. Nichts davon ging an diesen Empfänger.\n"
                "    Verlangt war: verschlüsselter Versand (TLS 1.2 oder neuer), durch die\n"
                "    Garantie des Absenders\n"
                "    Was die Mailserver des Empfängers gezeigt haben:\n"
                "      mx.plain.example[192.0.2.9]:25 (preference 10): TLS not offered: no\n"
                "        STARTTLS\n\n"
                "    Die Nachricht wird für diesen Empfänger unter der Kennung B1 bis\n"
                "    29.11.2026 15:28:51 UTC aufbewahrt und danach ohne weitere Meldung\n"
                "    verworfen.\n"
                "    Was Sie jetzt tun können:\n"
                "    - Bitten Sie Ihren Administrator, sie ohne die Garantie zu senden:\n"
                "      sealpostctl release B1 bob@plain.example\n"
                "    - Wenn die Seite des Empfängers in Ordnung gebracht ist, bitten Sie Ihren\n"
                "      Administrator, sie so, wie sie ist, noch einmal versuchen zu lassen:\n"
                "      sealpostctl release B1 bob@plain.example --recheck\n"
                "    - Oder lassen Sie die Garantie für Ihr Konto ausschalten, und senden Sie\n"
                "      die Nachricht noch einmal: Dann geht sie womöglich unverschlüsselt.\n"
                "    - Geben Sie diese Meldung auf anderem Weg an den Postmaster des\n"
                "      Empfängers weiter: Die Zeilen oben sagen, wonach zu suchen ist.\n");
    struct slice rest = slice_of(n.part[0]), line;
    while (slice_cut(&rest, '\n', &line))
        assert_true(line.len <= 77); /* 76 and the CR (RFC 2045 section 6.7) */
    free_notice(&n);
}

/* Every cause of INTERFACE.md and GUARANTEE.md keeps its own words, in text and status. */
static void every_cause_keeps_its_own_words_in_both_languages(void **state)
{
    (void)state;
    static const struct {
        unsigned subject, detail;
        const char *text;
    } causes[] = {
        {7, 4, REASON},
        {7, 4,
         "TLS is required, but host mx.plain.example[192.0.2.9] refused to start TLS: 502 5.5.1 "
         "no"},
        {7, 5,
         "Cannot start TLS: handshake failure with host mx.plain.example[192.0.2.9]: unsupported "
         "protocol"},
        {7, 5,
         "Cannot start TLS: handshake failure with host mx.plain.example[192.0.2.9]: no shared "
         "cipher"},
        {7, 5,
         "Server certificate not verified: no TLSA record matches the certificate of host "
         "mx.plain.example[192.0.2.9]: No matching DANE TLSA records"},
        {7, 5, "TLSA lookup error for mx.plain.example:25: SERVFAIL"},
        {7, 30,
         "Sender requested REQUIRETLS, but no server was found that supports REQUIRETLS. The last "
         "attempted server was mx.plain.example[192.0.2.9]"},
        {7, 10,
         "Sender requested REQUIRETLS, but host mx.plain.example[192.0.2.9] refused to start TLS: "
         "502 no"},
        {1, 10, "Domain plain.example does not accept mail (nullMX)"},
        {1, 2, "Host or domain name not found: plain.example"},
        {4, 6, "mail for plain.example loops back to myself"},
    };
    for (size_t i = 0; i < COUNT_OF(causes); i++) {
        for (int language = BOUNCE_ENGLISH; language <= BOUNCE_GERMAN; language++) {
            struct outcome o = outcome_local(status_make(5, causes[i].subject, causes[i].detail),
                                             "%s", causes[i].text);
            struct bounce_recipient r = stop(BOUNCE_RELEASE);
            r.outcome = &o;
            r.is_stopped = causes[i].subject == 7;
            r.disposition = r.is_stopped ? DISPOSITION_HELD : DISPOSITION_FAILED;
            struct bounce_report rep = report(&r, 1);
            rep.language = (enum bounce_language)language;
            struct notice n = write_notice(&rep);
            char want[1024];
            snprintf(want, sizeof want, "\n<bob@plain.example>: %s\n", causes[i].text);
            has(n.text, want);
            snprintf(want, sizeof want,
                     "\r\nStatus: 5.%u.%u\r\nDiagnostic-Code: X-Sealpost; %s\r\n",
                     causes[i].subject, causes[i].detail, causes[i].text);
            has(n.part[1], want);
            if (strcmp(causes[i].text, REASON) != 0)
                lacks(n.raw.data, "not offered by host");
            if (!r.is_stopped) {
                lacks(n.text, "release");
                lacks(n.text, language == BOUNCE_ENGLISH ? "guarantee" : "garantie");
                lacks(n.part[1], "Held");
            }
            free_notice(&n);
        }
    }
}

static void a_remote_reply_is_quoted_as_the_host_said_it(void **state)
{
    (void)state;
    struct bounce_recipient both[] = {other(DISPOSITION_FAILED, &replied), stop(BOUNCE_RELEASE)};
    struct bounce_report rep = report(both, 2);
    struct notice n = write_notice(&rep);
    has(n.text, "\n<carol@far.example>: host mx.far.example[192.0.2.7] said: 550 5.1.1 "
                "<carol@far.example>: User unknown\n\n<bob@plain.example>: " REASON "\n");
    has(n.part[1], STATUS_FRONT "\r\n"
                                "Final-Recipient: rfc822; carol@far.example\r\n"
                                "Action: failed\r\n"
                                "Status: 5.1.1\r\n"
                                "Remote-MTA: dns; mx.far.example\r\n"
                                "Diagnostic-Code: smtp; 550 5.1.1 <carol@far.example>: User "
                                "unknown\r\n"
                                "Last-Attempt-Date: Sun, 22 Nov 2026 15:28:50 +0000\r\n"
                                "Final-Log-ID: B1\r\n"
                                "\r\n"
                                "Final-Recipient: rfc822; bob@plain.example\r\n");
    free_notice(&n);
}

static void release_is_offered_only_where_it_works(void **state)
{
    (void)state;
    static const struct {
        enum bounce_release release;
        const char *required, *want[3], *unwanted[3];
    } cases[] = {
        {BOUNCE_RELEASE,
         REQUIRED,
         {"release B1 bob@plain.example\n", "--recheck", "switched off"},
         {"--force", "cannot be released", "not kept"}},
        {BOUNCE_RELEASE_FORCE,
         REQUIRED,
         {"release B1 bob@plain.example --force\n", "--recheck", "DANE"},
         {"switched off", "cannot be released", "without the guarantee"}},
        {BOUNCE_RELEASE_REFUSED,
         REQUIRED,
         {"cannot be released", "--recheck", "held for this recipient"},
         {"--force", "switched off", "release B1 bob@plain.example\n"}},
        {BOUNCE_RELEASE_REFUSED,
         POLICY,
         {"A TLS requirement for this message or", "--recheck", "cannot be released"},
         {"Your TLS guarantee", "switched off", "--force"}},
        {BOUNCE_NOT_HELD,
         REQUIRED,
         {"Your TLS guarantee, on since", "not kept", "switched off"},
         {"sealpostctl", "is held", "under the ID"}},
        {BOUNCE_NOT_HELD,
         POLICY,
         {"A TLS requirement", "not kept", "postmaster"},
         {"sealpostctl", "switched off", "Your TLS guarantee"}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct bounce_recipient r = stop(cases[i].release);
        r.required = cases[i].required;
        struct bounce_report rep = report(&r, 1);
        struct notice n = write_notice(&rep);
        for (int j = 0; j < 3; j++) {
            has(n.text, cases[i].want[j]);
            lacks(n.text, cases[i].unwanted[j]);
        }
        bool is_held = strstr(n.part[1], "X-Sealpost-Held-ID: B1\r\n") != NULL;
        assert_int_equal(is_held, cases[i].release != BOUNCE_NOT_HELD);
        free_notice(&n);
    }
}

static void switching_the_guarantee_off_is_no_advice_where_it_would_stop_again(void **state)
{
    (void)state;
    struct bounce_recipient r = stop(BOUNCE_NOT_HELD);
    r.would_stop_again = true;
    struct bounce_report rep = report(&r, 1);
    struct notice n = write_notice(&rep);
    has(n.text, "not kept for this recipient");
    has(n.text, "Your TLS guarantee, on since");
    has(n.text, "postmaster");
    lacks(n.text, "switched off");
    free_notice(&n);
}

static void the_first_advice_does_not_begin_with_or(void **state)
{
    static const char *const want[] = {
        [BOUNCE_ENGLISH] =
            "    What you can do now:\n"
            "    - Have the guarantee of your account switched off, and send the message\n"
            "      again: it may then go unencrypted.\n"
            "    - Send this notice",
        [BOUNCE_GERMAN] =
            "    Was Sie jetzt tun können:\n"
            "    - Lassen Sie die Garantie für Ihr Konto ausschalten, und senden Sie die\n"
            "      Nachricht noch einmal: Dann geht sie womöglich unverschlüsselt.\n"
            "    - Geben Sie",
    };
    (void)state;
    for (size_t language = 0; language < COUNT_OF(want); language++) {
        struct bounce_recipient r = stop(BOUNCE_NOT_HELD);
        struct bounce_report rep = report(&r, 1);
        rep.language = (enum bounce_language)language;
        struct notice n = write_notice(&rep);
        has(n.text, want[language]);
        free_notice(&n);
    }
}

static void evidence_that_recipients_share_is_said_once(void **state)
{
    (void)state;
    struct bounce_recipient three[] = {stop(BOUNCE_RELEASE), stop(BOUNCE_RELEASE),
                                       stop(BOUNCE_RELEASE)};
    three[1].address = "carl@plain.example";
    three[1].evidence = "another host\n";
    three[2].address = "dora@plain.example";
    struct bounce_report rep = report(three, 3);
    struct notice n = write_notice(&rep);
    const char *first = strstr(n.text, "TLS not offered");
    assert_non_null(first);
    assert_null(strstr(first + 1, "TLS not offered"));
    has(n.text, "      another host\n");
    has(n.text, "<dora@plain.example>: " REASON "\n");
    has(n.text, "    What the recipient's mail hosts showed is said above for\n"
                "    <bob@plain.example>.\n");
    free_notice(&n);
}

static void evidence_is_cut_at_a_lines_end_where_it_has_to_be(void **state)
{
    (void)state;
    struct bounce_recipient r = stop(BOUNCE_RELEASE);
    r.evidence = "first\nsecond\nthird\n";
    struct bounce_report rep = report(&r, 1);
    rep.evidence_max = 13;
    struct notice n = write_notice(&rep);
    has(n.text, "      first\n      second\n      (and more that is left out here)\n\n");
    free_notice(&n);
    rep.evidence_max = 18;
    n = write_notice(&rep);
    has(n.text, "      third\n\n");
    lacks(n.text, "left out");
    free_notice(&n);
}

static void an_unknown_since_is_left_out(void **state)
{
    (void)state;
    struct bounce_recipient r = stop(BOUNCE_RELEASE);
    r.held_until = 0;
    struct bounce_report rep = report(&r, 1);
    rep.guarantee_since = 0;
    struct notice n = write_notice(&rep);
    has(n.text, "    Your TLS guarantee stopped this message.");
    has(n.text, "under the ID B1.\n");
    lacks(n.text, "1970");
    lacks(n.part[1], "Held-Until");
    free_notice(&n);
}

static void commands_name_no_address_that_a_shell_would_read(void **state)
{
    (void)state;
    static const char *const addresses[] = {"$(reboot)@plain.example", "a;b@plain.example",
                                            "-rf@plain.example",       "`x`@plain.example",
                                            "\"a b\"@plain.example",   "a|b@[192.0.2.1]"};
    for (size_t i = 0; i < COUNT_OF(addresses); i++) {
        struct bounce_recipient r = stop(BOUNCE_RELEASE);
        r.address = addresses[i];
        struct bounce_report rep = report(&r, 1);
        struct notice n = write_notice(&rep);
        has(n.text, "\n      sealpostctl release B1\n");
        has(n.text, "\n      sealpostctl release B1 --recheck\n");
        free_notice(&n);
    }
}

static void a_delay_notice_says_until_when_it_is_tried(void **state)
{
    (void)state;
    struct outcome o = outcome_local(status_make(4, 4, 1), "connect to mx: Connection refused");
    struct bounce_recipient r = other(DISPOSITION_DEFERRED, &o);
    struct bounce_report rep = report(&r, 1);
    rep.kind = BOUNCE_DELAY;
    struct notice n = write_notice(&rep);
    has(n.header, "\r\nSubject: Delayed Mail (still being retried)\r\n");
    has(n.text, "This is a warning only: you need not send your message again.");
    has(n.text, "<carol@far.example>: connect to mx: Connection refused\n"
                "    It will be tried until Fri, 27 Nov 2026 15:28:51 +0000.\n");
    has(n.part[1], "\r\nAction: delayed\r\nStatus: 4.4.1\r\nDiagnostic-Code: X-Sealpost; connect "
                   "to mx: Connection refused\r\n");
    has(n.part[1], "\r\nWill-Retry-Until: Fri, 27 Nov 2026 15:28:51 +0000\r\n");
    has(n.part_header[2], "Content-Description: Delayed Message Headers\r\n");
    free_notice(&n);
    rep.language = BOUNCE_GERMAN;
    n = write_notice(&rep);
    has(n.text, "Dies ist nur eine Warnung");
    has(n.text, "    Die Zustellung wird versucht bis 27.11.2026 15:28:51 UTC.\n");
    free_notice(&n);
}

static void will_retry_until_is_for_delays_alone(void **state)
{
    (void)state;
    struct bounce_recipient r = other(DISPOSITION_FAILED, &replied);
    struct bounce_report rep = report(&r, 1);
    struct notice n = write_notice(&rep);
    lacks(n.part[1], "Will-Retry-Until");
    free_notice(&n);
}

static void mail_whose_time_is_over_says_so(void **state)
{
    (void)state;
    struct outcome o = outcome_local(status_make(4, 4, 1), "connect to mx: Connection refused");
    struct bounce_recipient r = other(DISPOSITION_FAILED, &o);
    struct bounce_report rep = report(&r, 1);
    struct notice n = write_notice(&rep);
    has(n.text, "Connection refused\n    It was tried again and again until its time was over.\n");
    has(n.part[1], "\r\nAction: failed\r\nStatus: 4.4.1\r\n");
    free_notice(&n);
}

static struct outcome taken(void)
{
    struct outcome o = outcome_reply(250, SLICE("2.0.0 queued as X"));
    outcome_set_host(&o, "mx.far.example", "192.0.2.7", 25);
    return o;
}

static struct bounce_recipient receipt(const struct outcome *o)
{
    struct bounce_recipient r = other(DISPOSITION_DELIVERED, o);
    r.is_relayed = true;
    r.protocol = "TLSv1.3";
    r.cipher = "TLS_AES_256_GCM_SHA384";
    r.verified = "dane";
    return r;
}

static void a_receipt_says_how_the_message_left(void **state)
{
    (void)state;
    struct outcome o = taken();
    struct bounce_recipient r = receipt(&o);
    struct bounce_report rep = report(&r, 1);
    rep.kind = BOUNCE_SUCCESS;
    struct notice n = write_notice(&rep);
    has(n.header, "\r\nSubject: Successful Mail Delivery Report\r\n");
    assert_string_equal(
        n.text, "This is the mail system at host mail.site.example.\n\n"
                "As you asked, this reports that your message left for these recipients.\n\n"
                "<carol@far.example>: host mx.far.example[192.0.2.7] said: 250 2.0.0 queued as X\n"
                "    Taken over by the next host, which does not report its delivery.\n"
                "    It left at Sun, 22 Nov 2026 15:28:50 +0000\n"
                "    for host mx.far.example[192.0.2.7].\n"
                "    It left encrypted: TLSv1.3 TLS_AES_256_GCM_SHA384.\n"
                "    That this is the right host was verified by DANE.\n");
    assert_string_equal(n.part[1],
                        STATUS_FRONT "\r\n"
                                     "Final-Recipient: rfc822; carol@far.example\r\n"
                                     "Action: relayed\r\n"
                                     "Status: 2.0.0\r\n"
                                     "Remote-MTA: dns; mx.far.example\r\n"
                                     "Diagnostic-Code: smtp; 250 2.0.0 queued as X\r\n"
                                     "Last-Attempt-Date: Sun, 22 Nov 2026 15:28:50 +0000\r\n"
                                     "Final-Log-ID: B1\r\n"
                                     "X-Sealpost-TLS-Protocol: TLSv1.3\r\n"
                                     "X-Sealpost-TLS-Cipher: TLS_AES_256_GCM_SHA384\r\n"
                                     "X-Sealpost-TLS-Verified: dane\r\n"
                                     "X-Sealpost-TLS-Peer: mx.far.example[192.0.2.7]:25\r\n"
                                     "X-Sealpost-TLS-Route: network\r\n");
    has(n.part_header[2], "Content-Description: Message Headers\r\n");
    free_notice(&n);
    rep.language = BOUNCE_GERMAN;
    n = write_notice(&rep);
    has(n.text, "said: 250 2.0.0 queued as X\n"
                "    Vom nächsten Server übernommen; er meldet die Zustellung nicht.\n"
                "    Gesendet am 22.11.2026 15:28:50 UTC\n"
                "    an den Server mx.far.example[192.0.2.7].\n"
                "    Verschlüsselt gesendet: TLSv1.3 TLS_AES_256_GCM_SHA384.\n"
                "    Dass es der richtige Server ist, wurde geprüft durch DANE.\n");
    free_notice(&n);
}

static void a_receipt_names_each_way_of_verification(void **state)
{
    (void)state;
    static const struct {
        const char *verified, *want_field, *want, *want_german;
    } cases[] = {
        {"dane", "dane", "was verified by DANE.\n", "wurde geprüft durch DANE.\n"},
        {"sts", "sts", "was verified by MTA-STS.\n", "wurde geprüft durch MTA-STS.\n"},
        {"pkix", "pkix", "was verified by WebPKI.\n", "wurde geprüft durch WebPKI.\n"},
        {"no", "none", "was not verified.\n", "wurde nicht geprüft.\n"},
        {"", "none", "was not verified.\n", "wurde nicht geprüft.\n"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char field[64];
        struct outcome o = taken();
        struct bounce_recipient r = receipt(&o);
        r.verified = cases[i].verified;
        struct bounce_report rep = report(&r, 1);
        rep.kind = BOUNCE_SUCCESS;
        struct notice n = write_notice(&rep);
        snprintf(field, sizeof field, "\r\nX-Sealpost-TLS-Verified: %s\r\n", cases[i].want_field);
        has(n.part[1], field);
        has(n.text, cases[i].want);
        free_notice(&n);
        rep.language = BOUNCE_GERMAN;
        n = write_notice(&rep);
        has(n.text, cases[i].want_german);
        free_notice(&n);
    }
}

static void a_receipt_of_clear_text_says_so_in_plain_words(void **state)
{
    (void)state;
    struct outcome o = taken();
    struct bounce_recipient r = receipt(&o);
    r.protocol = r.cipher = "";
    r.verified = "no";
    struct bounce_report rep = report(&r, 1);
    rep.kind = BOUNCE_SUCCESS;
    struct notice n = write_notice(&rep);
    has(n.text, "for host mx.far.example[192.0.2.7].\n"
                "    It left unencrypted, in clear text: on the way it could be read.\n");
    lacks(n.text, "verified");
    lacks(n.text, "It left encrypted");
    has(n.part[1], "\r\nX-Sealpost-TLS-Protocol: none\r\nX-Sealpost-TLS-Cipher: none\r\n"
                   "X-Sealpost-TLS-Verified: none\r\n");
    free_notice(&n);
    rep.language = BOUNCE_GERMAN;
    n = write_notice(&rep);
    has(n.text, "    Unverschlüsselt gesendet, im Klartext: Unterwegs war sie lesbar.\n");
    free_notice(&n);
}

/* A host by name, a literal, a socket. */
static void a_receipt_of_a_local_route_says_that_nothing_crossed_a_network(void **state)
{
    (void)state;
    static const struct {
        const char *mx, *address;
        uint16_t port;
        const char *want, *want_field;
    } cases[] = {
        {"store.site.example", "127.0.0.1", 24, "for host store.site.example[127.0.0.1].\n",
         "X-Sealpost-TLS-Peer: store.site.example[127.0.0.1]:24\r\n"},
        {"127.0.0.1", "127.0.0.1", 24, "for host 127.0.0.1.\n",
         "X-Sealpost-TLS-Peer: 127.0.0.1:24\r\n"},
        {"/run/lmtp", "/run/lmtp", 0, "for host /run/lmtp.\n",
         "X-Sealpost-TLS-Peer: /run/lmtp\r\n"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct outcome o = taken();
        outcome_set_host(&o, cases[i].mx, cases[i].address, cases[i].port);
        struct bounce_recipient r = receipt(&o);
        r.is_relayed = false;
        r.is_local = true;
        r.protocol = r.cipher = "";
        r.verified = "no";
        struct bounce_report rep = report(&r, 1);
        rep.kind = BOUNCE_SUCCESS;
        struct notice n = write_notice(&rep);
        has(n.text, "    Delivered to the recipient's mail host.\n");
        has(n.text, cases[i].want);
        has(n.text, "    It stayed on this machine: nothing crossed a network.\n");
        lacks(n.text, "clear text");
        has(n.part[1], "\r\nAction: delivered\r\n");
        has(n.part[1], cases[i].want_field);
        has(n.part[1], "\r\nX-Sealpost-TLS-Route: local\r\n");
        free_notice(&n);
        rep.language = BOUNCE_GERMAN;
        r.protocol = "TLSv1.3";
        n = write_notice(&rep);
        has(n.text, "    Sie blieb auf dieser Maschine: Nichts davon ging über ein Netz.\n"
                    "    Verschlüsselt gesendet: TLSv1.3.\n");
        lacks(n.text, "nicht geprüft");
        free_notice(&n);
    }
}

static void a_receipt_says_whether_the_next_host_will_report_too(void **state)
{
    (void)state;
    struct outcome o = taken();
    struct bounce_recipient r = receipt(&o);
    r.is_passed_on = true;
    struct bounce_report rep = report(&r, 1);
    rep.kind = BOUNCE_SUCCESS;
    struct notice n = write_notice(&rep);
    has(n.text, "    Taken over by the next host, which was asked to report its delivery.\n");
    lacks(n.text, "which does not report");
    has(n.part[1], "\r\nAction: relayed\r\n");
    free_notice(&n);
    rep.language = BOUNCE_GERMAN;
    n = write_notice(&rep);
    has(n.text, "er ist gebeten, die Zustellung zu melden.\n");
    free_notice(&n);
}

/* GUARANTEE.md section 4: any notice. */
static void a_receipt_of_guarded_mail_returns_three_fields(void **state)
{
    (void)state;
    struct outcome o = taken();
    struct bounce_recipient r = receipt(&o);
    struct bounce_report rep = report(&r, 1);
    rep.kind = BOUNCE_SUCCESS;
    rep.is_redacted = true;
    struct notice n = write_notice(&rep);
    lacks(n.raw.data, "a secret");
    has(n.text, "It left encrypted: TLSv1.3 TLS_AES_256_GCM_SHA384.\n");
    has(n.part[2], "Message-ID: <1@site.example>\r\n");
    free_notice(&n);
}

#define SEEN (NOW - 2 * DAY)
#define DOWNGRADED REASON "; on 12 earlier looks it offered TLS, last on 2026-11-20"

/* A host that never had TLS, and one that had it yesterday, are two things. */
static void a_downgrade_has_words_of_its_own_in_both_languages(void **state)
{
    (void)state;
    struct outcome o = outcome_local(status_make(5, 7, 4), "%s", DOWNGRADED);
    outcome_set_host(&o, "mx.plain.example", "192.0.2.9", 25);
    struct bounce_recipient r = stop(BOUNCE_RELEASE);
    struct bounce_report rep = report(&r, 1);
    struct notice n = write_notice(&rep);
    lacks(n.text, "This is new");
    lacks(n.part[1], "Last-Seen");
    free_notice(&n);
    r.outcome = &o;
    r.tls_seen_at = SEEN;
    n = write_notice(&rep);
    has(n.text, "<bob@plain.example>: " DOWNGRADED "\n");
    has(n.text, "    This is new: host mx.plain.example[192.0.2.9] was seen with working TLS as\n"
                "    late as Fri, 20 Nov 2026 15:28:51 +0000. It may be a mistake there, or\n"
                "    somebody on the way keeps TLS from being used.\n");
    has(n.part[1], "\r\nDiagnostic-Code: X-Sealpost; " DOWNGRADED "\r\n");
    has(n.part[1], "\r\nX-Sealpost-TLS-Last-Seen: Fri, 20 Nov 2026 15:28:51 +0000\r\n");
    free_notice(&n);
    rep.language = BOUNCE_GERMAN;
    n = write_notice(&rep);
    has(n.text, "    Das ist neu: Der Server mx.plain.example[192.0.2.9] bot zuletzt am\n"
                "    20.11.2026 15:28:51 UTC noch funktionierendes TLS an. Das kann ein Fehler\n"
                "    dort sein, oder jemand auf dem Weg verhindert TLS.\n");
    free_notice(&n);
}

static void a_delay_by_a_downgrade_says_that_nothing_went_in_clear(void **state)
{
    (void)state;
    struct outcome o = outcome_local(status_make(4, 7, 4), "TLS is expected, but was not offered");
    outcome_set_host(&o, "mx.far.example", "192.0.2.7", 25);
    struct bounce_recipient r = other(DISPOSITION_DEFERRED, &o);
    r.tls_seen_at = SEEN;
    struct bounce_report rep = report(&r, 1);
    rep.kind = BOUNCE_DELAY;
    struct notice n = write_notice(&rep);
    has(n.text, "    This is new: host mx.far.example[192.0.2.7] was seen with working TLS as\n");
    has(n.text, "    It was not sent there unencrypted.\n    It will be tried until ");
    free_notice(&n);
    rep.language = BOUNCE_GERMAN;
    n = write_notice(&rep);
    has(n.text, "    Sie wurde dorthin nicht unverschlüsselt gesendet.\n");
    free_notice(&n);
}

static void a_delay_in_place_of_a_stop_says_whose_fault_it_may_be(void **state)
{
    (void)state;
    struct outcome o = outcome_local(status_make(4, 3, 0), "stops are suspended, here: %s", REASON);
    outcome_set_host(&o, "mx.plain.example", "192.0.2.9", 25);
    struct bounce_recipient r = other(DISPOSITION_DEFERRED, &o);
    r.is_suspended = true;
    struct bounce_report rep = report(&r, 1);
    rep.kind = BOUNCE_DELAY;
    struct notice n = write_notice(&rep);
    has(n.text, "    TLS is missing at many destinations at once, so the fault may lie on our\n"
                "    side, not on the recipient's. Therefore the message is not stopped, nor\n"
                "    sent unencrypted: it is tried again.\n");
    lacks(n.text, "This is new");
    says(n.text, "It will be tried until Fri, 27 Nov 2026 15:28:51 +0000 at the latest. Once TLS "
                 "is no longer missing at many destinations, it is stopped if what it requires "
                 "is still missing here, and you get another notice.");
    has(n.part[1], "\r\nAction: delayed\r\nStatus: 4.3.0\r\n");
    free_notice(&n);
    rep.language = BOUNCE_GERMAN;
    n = write_notice(&rep);
    says(n.text, "TLS fehlt an vielen Zielen zugleich; der Fehler liegt womöglich bei uns und "
                 "nicht beim Empfänger.");
    has(n.text, "<carol@far.example>: stops are suspended, here: " REASON "\n");
    says(n.text, "Die Zustellung wird längstens versucht bis 27.11.2026 15:28:51 UTC. Sobald TLS");
    free_notice(&n);
}

/* What people read on any screen. Commands and the reasons, which programs look for, stay whole. */
static void no_other_line_for_people_is_longer_than_78_columns(void **state)
{
    (void)state;
    static const char *const reasons[] = {
        REASON,
        DOWNGRADED,
        "stops are suspended, as TLS is missing at many destinations at once: " REASON,
        "Cannot start TLS: handshake failure with host "
        "mx1.mail.plain.example[2001:db8::192:0:2:9]: "
        "unsupported protocol",
        "Server certificate not verified: host mx.plain.example[192.0.2.9] shows key "
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef / certificate "
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef, none of the "
        "fingerprints that our policy names",
    };
    for (size_t i = 0; i < COUNT_OF(reasons); i++) {
        for (unsigned variant = 0; variant < 24; variant++) {
            struct outcome o = outcome_local(status_make(5, 7, 5), "%s", reasons[i]);
            outcome_set_host(&o, "mx.plain.example", "192.0.2.9", 25);
            struct bounce_recipient r = stop((enum bounce_release)(variant % 4));
            r.outcome = &o;
            r.required = VERIFIED "; " POLICY;
            r.tls_seen_at = NOW - DAY;
            r.evidence = EVIDENCE "; offered PIPELINING, SIZE 10240000, ETRN, 8BITMIME, DSN\n";
            r.is_suspended = variant & 4;
            struct bounce_report rep = report(&r, 1);
            rep.language = variant & 8 ? BOUNCE_GERMAN : BOUNCE_ENGLISH;
            rep.header = SLICE("TLS-Required: No\r\n");
            rep.kind = variant & 16 ? BOUNCE_DELAY : BOUNCE_FAILURE;
            r.disposition = variant & 16 ? DISPOSITION_DEFERRED : r.disposition;
            rep.is_redacted = true;
            struct notice n = write_notice(&rep);
            struct slice rest = slice_of(n.text), line;
            while (slice_cut(&rest, '\n', &line)) {
                size_t columns = 0;
                if (slice_equal(slice_sub(line, 0, 1), SLICE("<")))
                    continue;
                for (size_t at = 0; at < line.len; at++)
                    columns += ((unsigned char)line.data[at] & 0xc0) != 0x80;
                if (columns > 78)
                    fail_msg("%zu columns: %.*s", columns, (int)line.len, line.data);
            }
            has(n.text, reasons[i]);
            lacks(n.text, "\x1f");
            lacks(n.text, "\x1e");
            free_notice(&n);
        }
    }
    struct outcome o = outcome_local(status_make(5, 7, 5), "%s", reasons[3]);
    struct bounce_recipient r = stop(BOUNCE_RELEASE);
    r.outcome = &o;
    r.address = "somebody.with.a.name.as.long.as.that@a-domain-of-some-length.plain.example";
    struct bounce_report rep = report(&r, 1);
    struct notice n = write_notice(&rep);
    has(n.text, "unsupported protocol");
    has(n.text, "      sealpostctl release B1 "
                "somebody.with.a.name.as.long.as.that@a-domain-of-some-length.plain.example "
                "--recheck\n");
    free_notice(&n);
}

static void what_was_required_is_said_in_the_readers_language(void **state)
{
    (void)state;
    static const struct {
        const char *required, *want;
    } cases[] = {
        {REQUIRED,
         "verschlüsselter Versand (TLS 1.2 oder neuer), durch die Garantie des Absenders "},
        {VERIFIED "; a listed host with a certificate valid for its name, by the MTA-STS policy of "
                  "the recipient's domain",
         "verschlüsselter Versand an einen geprüften Server (TLS 1.2 oder neuer, DANE oder "
         "MTA-STS), durch die Garantie des Absenders; ein aufgeführter Server mit einem "
         "Zertifikat, das für seinen Namen gilt, durch die MTA-STS-Richtlinie der Domain des "
         "Empfängers "},
        {"REQUIRETLS (RFC 8689) all the way, asked for with the message",
         "REQUIRETLS (RFC 8689) auf dem ganzen Weg, mit der Nachricht verlangt "},
        {"a server authenticated by DANE, by our policy for the recipient's domain",
         "ein durch DANE ausgewiesener Server, durch unsere Regel für die Domain des Empfängers "},
        {"a server with a valid certificate (WebPKI or DANE), by our route for the recipient's "
         "domain",
         "ein Server mit gültigem Zertifikat (WebPKI oder DANE), durch unsere Route für die Domain "
         "des Empfängers "},
        {"something new", "Verlangt war: something new "},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct bounce_recipient r = stop(BOUNCE_RELEASE);
        r.required = cases[i].required;
        struct bounce_report rep = report(&r, 1);
        struct notice n = write_notice(&rep);
        says(n.text, cases[i].required);
        free_notice(&n);
        rep.language = BOUNCE_GERMAN;
        n = write_notice(&rep);
        says(n.text, cases[i].want);
        free_notice(&n);
    }
}

/* Below `verified` there is `on`: off is more than it takes where TLS is there. */
static void who_lacks_a_proof_alone_is_advised_to_go_down_to_encryption(void **state)
{
    (void)state;
    static const struct {
        const char *required, *reason;
        enum bounce_release release;
        bool is_lower;
    } cases[] = {
        {VERIFIED, UNPROVED, BOUNCE_RELEASE, true},
        {VERIFIED, UNPROVED, BOUNCE_NOT_HELD, true},
        {VERIFIED, REASON, BOUNCE_RELEASE, false},
        {REQUIRED, UNPROVED, BOUNCE_RELEASE, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct outcome o = outcome_local(status_make(5, 7, 5), "%s", cases[i].reason);
        struct bounce_recipient r = stop(cases[i].release);
        r.outcome = &o;
        r.required = cases[i].required;
        struct bounce_report rep = report(&r, 1);
        struct notice n = write_notice(&rep);
        const char *lower = "ave the guarantee of your account lowered to encryption without "
                            "verification (level on)";
        if (cases[i].is_lower) {
            says(n.text, lower);
            says(n.text, cases[i].release == BOUNCE_NOT_HELD ? "- Have the" : "- Or have the");
            lacks(n.text, "switched off");
        } else {
            has(n.text, "switched off");
            lacks(n.text, "lowered");
        }
        free_notice(&n);
    }
}

static void that_the_domain_requires_tls_itself_stands_among_what_is_required(void **state)
{
    (void)state;
    static const char by_domain[] =
        "    What the recipient's domain itself requires, by DANE or MTA-STS, is not\n"
        "    met either, or could not be learnt.\n";
    struct bounce_recipient r = stop(BOUNCE_RELEASE_FORCE);
    struct bounce_report rep = report(&r, 1);
    struct notice n = write_notice(&rep);
    has(n.text, by_domain);
    free_notice(&n);
    r.required = REQUIRED "; a listed host with a certificate valid for its name, by the MTA-STS "
                          "policy of the recipient's domain";
    n = write_notice(&rep);
    lacks(n.text, by_domain);
    free_notice(&n);
    r = stop(BOUNCE_RELEASE);
    n = write_notice(&rep);
    lacks(n.text, by_domain);
    free_notice(&n);
}

static void a_wish_for_no_tls_that_did_not_count_is_answered(void **state)
{
    (void)state;
    struct bounce_recipient r = stop(BOUNCE_RELEASE);
    struct bounce_report rep = report(&r, 1);
    struct notice n = write_notice(&rep);
    lacks(n.text, "TLS-Required");
    free_notice(&n);
    rep.header = SLICE("From: a@x.example\r\nTLS-Required: No\r\n");
    n = write_notice(&rep);
    says(n.text, "Its field TLS-Required: No did not lift the guarantee: that takes a guarantee "
                 "that is not locked, and a message that its sender submits without REQUIRETLS.");
    free_notice(&n);
    rep.language = BOUNCE_GERMAN;
    n = write_notice(&rep);
    says(n.text, "Ihr Feld TLS-Required: No hob die Garantie nicht auf");
    free_notice(&n);
    r.required = POLICY; /* it lifts none */
    n = write_notice(&rep);
    lacks(n.text, "TLS-Required");
    free_notice(&n);
}

static void dsn_parameters_come_back_decoded_and_harmless(void **state)
{
    (void)state;
    static const struct {
        const char *envid, *orcpt, *want_envid, *want_orcpt;
    } cases[] = {
        {"QQ314159", "rfc822;Bob+2Btag@plain.example", "\r\nOriginal-Envelope-Id: QQ314159\r\n",
         "\r\nOriginal-Recipient: rfc822; Bob+tag@plain.example\r\n"},
        {"a+3Db", "x400;/S+3Dbob", "\r\nOriginal-Envelope-Id: a=b\r\n",
         "\r\nOriginal-Recipient: x400; /S=bob\r\n"},
        /* What would begin a line of its own is left out. */
        {"a+0D+0AX-Evil: 1", "rfc822;a+0D+0AX-Evil:+201", NULL, NULL},
        {"+00", "rfc822;+FF", NULL, NULL},
        {"", "rfc822", NULL, NULL},
        {"", ";bob", NULL, NULL},
        {"", "", NULL, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct bounce_recipient r = stop(BOUNCE_RELEASE);
        r.orcpt = cases[i].orcpt;
        struct bounce_report rep = report(&r, 1);
        rep.envid = cases[i].envid;
        struct notice n = write_notice(&rep);
        if (cases[i].want_envid)
            has(n.part[1], cases[i].want_envid);
        else
            lacks(n.part[1], "Original-Envelope-Id");
        if (cases[i].want_orcpt)
            has(n.part[1], cases[i].want_orcpt);
        else
            lacks(n.part[1], "Original-Recipient");
        lacks(n.raw.data, "\nX-Evil");
        free_notice(&n);
    }
}

static void no_value_can_begin_a_line_of_its_own(void **state)
{
    (void)state;
    struct outcome o = stopped;
    snprintf(o.text, sizeof o.text, "bad\r\nX-Evil: 1\n--=_B2.0");
    snprintf(o.mx, sizeof o.mx, "mx\r\nX-Evil: 2");
    struct bounce_recipient r = stop(BOUNCE_RELEASE);
    r.outcome = &o;
    r.address = "a\r\nX-Evil: 3@plain.example";
    r.required = "x\r\nX-Evil: 4";
    r.evidence = "one\r\n--=_B2.0\r\nX-Evil: 5\n\xff\xfe";
    r.protocol = r.cipher = r.verified = "\r\nX-Evil: 6";
    struct bounce_report rep = report(&r, 1);
    rep.to = "anna@site.example\r\nX-Evil: 7";
    rep.reverse_path = "anna@site.example\r\nX-Evil: 8";
    rep.header = SLICE("Subject: x\r\nMessage-ID: <a\r\n X-Evil: 9>\r\n");
    for (int kind = BOUNCE_FAILURE; kind <= BOUNCE_SUCCESS; kind++) {
        rep.kind = (enum bounce_kind)kind;
        r.disposition = kind == BOUNCE_FAILURE ? DISPOSITION_HELD
                        : kind == BOUNCE_DELAY ? DISPOSITION_DEFERRED
                                               : DISPOSITION_DELIVERED;
        struct notice n = write_notice(&rep);
        lacks(n.raw.data, "\nX-Evil");
        lacks(n.header, "References");
        free_notice(&n);
    }
}

static void a_reply_in_utf8_is_whole_in_the_text_and_ascii_in_the_status(void **state)
{
    (void)state;
    struct outcome o = outcome_reply(550, SLICE("5.1.1 Empfänger unbekannt"));
    struct bounce_recipient r = other(DISPOSITION_FAILED, &o);
    struct bounce_report rep = report(&r, 1);
    struct notice n = write_notice(&rep);
    has(n.part_header[0], "quoted-printable");
    has(n.text, "<carol@far.example>: 550 5.1.1 Empfänger unbekannt\n");
    has(n.part[1], "\r\nDiagnostic-Code: smtp; 550 5.1.1 Empf?nger unbekannt\r\n");
    free_notice(&n);
}

static void white_space_at_a_lines_end_survives_the_way(void **state)
{
    (void)state;
    struct bounce_recipient r = stop(BOUNCE_RELEASE);
    r.evidence = "said nothing \n";
    struct bounce_report rep = report(&r, 1);
    rep.language = BOUNCE_GERMAN;
    struct notice n = write_notice(&rep);
    has(n.part[0], "      said nothing=20\r\n");
    has(n.text, "      said nothing \n");
    free_notice(&n);
}

static void the_longest_word_stays_whole(void **state)
{
    (void)state;
    struct outcome o = {.code = 550, .status = status_make(5, 0, 0)};
    memset(o.text, 'r', sizeof o.text - 1);
    memset(o.mx, 'm', sizeof o.mx - 1);
    memset(o.address, '1', sizeof o.address - 1);
    char address[ADDRESS_SIZE] = "";
    memset(address, 'a', sizeof address - 1);
    struct bounce_recipient r = other(DISPOSITION_FAILED, &o);
    r.address = address;
    struct bounce_report rep = report(&r, 1);
    struct notice n = write_notice(&rep);
    char want[2048];
    snprintf(want, sizeof want, "\n<%s>: host %s[%s] said: 550 %s\n", address, o.mx, o.address,
             o.text);
    has(n.text, want);
    free_notice(&n);
}

#define BODY "Hello\r\n.\r\n--=_B2\r\n"
static void ret_full_returns_the_message_where_that_cannot_hurt(void **state)
{
    (void)state;
    static char long_line[1100];
    memset(long_line, 'x', sizeof long_line - 2);
    memcpy(long_line + sizeof long_line - 2, "\r\n", 2);
    const struct slice none = {NULL, 0}, too_long = {long_line, sizeof long_line};
    const struct {
        enum ret ret;
        bool is_redacted, has_8bit;
        struct slice body;
        bool want;
    } cases[] = {
        {RET_FULL, false, false, SLICE(BODY), true},
        {RET_FULL, false, false, SLICE("no line end"), true},
        {RET_FULL, false, false, SLICE(""), true},
        {RET_HDRS, false, false, SLICE(BODY), false},
        {RET_ABSENT, false, false, SLICE(BODY), false},
        {RET_FULL, true, false, SLICE(BODY), false},
        {RET_FULL, false, true, SLICE(BODY), false},
        {RET_FULL, false, false, none, false},
        {RET_FULL, false, false, SLICE("gr\xc3\xbc\xc3\x9f\r\n"), false},
        {RET_FULL, false, false, SLICE("bare\nline\r\n"), false},
        {RET_FULL, false, false, SLICE("nul\0\r\n"), false},
        {RET_FULL, false, false, too_long, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct bounce_recipient r = stop(BOUNCE_RELEASE);
        struct bounce_report rep = report(&r, 1);
        rep.ret = cases[i].ret;
        rep.is_redacted = cases[i].is_redacted;
        rep.has_8bit = cases[i].has_8bit;
        rep.body = cases[i].body;
        struct notice n = write_notice(&rep);
        bool got = strstr(n.part_header[2], "Content-Type: message/rfc822\r\n") != NULL;
        if (got != cases[i].want)
            fail_msg("row %zu: got %d want %d", i, got, cases[i].want);
        if (got) {
            has(n.part_header[2], "Content-Description: Undelivered Message\r\n");
            has(n.part[2], "Return-Path: <anna@site.example>\r\n" HEADER "\r\n");
        } else {
            has(n.part_header[2], "Content-Type: text/rfc822-headers\r\n");
            lacks(n.part[2], "Hello");
        }
        free_notice(&n);
    }
}

static void the_returned_body_is_returned_as_it_was(void **state)
{
    (void)state;
    struct bounce_recipient r = stop(BOUNCE_RELEASE);
    struct bounce_report rep = report(&r, 1);
    rep.ret = RET_FULL;
    rep.body = SLICE(BODY);
    struct notice n = write_notice(&rep);
    assert_string_equal(n.part[2], "Return-Path: <anna@site.example>\r\n" HEADER "\r\n" BODY);
    free_notice(&n);
}

static void a_message_cannot_end_the_part_that_it_is_returned_in(void **state)
{
    (void)state;
    struct bounce_recipient r = stop(BOUNCE_RELEASE);
    struct bounce_report rep = report(&r, 1);
    rep.ret = RET_FULL;
    rep.body = SLICE("--=_B2.0--\r\n--=_B2.1\r\n");
    struct notice n = write_notice(&rep);
    has(n.header, "boundary=\"=_B2.2\"");
    has(n.part[2], "\r\n\r\n--=_B2.0--\r\n--=_B2.1\r\n");
    free_notice(&n);
    rep.body = (struct slice){NULL, 0};
    rep.header = SLICE("Subject: x\r\n--=_B2.0\r\n");
    n = write_notice(&rep);
    has(n.header, "boundary=\"=_B2.1\"");
    free_notice(&n);
}

static void a_redacted_notice_returns_three_fields_and_says_so(void **state)
{
    (void)state;
    struct bounce_recipient r = stop(BOUNCE_RELEASE);
    struct bounce_report rep = report(&r, 1);
    rep.is_redacted = true;
    rep.ret = RET_FULL;
    rep.body = SLICE(BODY);
    struct notice n = write_notice(&rep);
    assert_string_equal(n.part[2], "From: Anna <anna@site.example>\r\n"
                                   "Date: Sun, 22 Nov 2026 15:28:49 +0000\r\n"
                                   "Message-ID: <1@site.example>\r\n");
    has(n.text, "only the date, the\nMessage-ID and the author");
    lacks(n.raw.data, "a secret");
    free_notice(&n);
    rep.language = BOUNCE_GERMAN;
    rep.header = SLICE("FROM: A\r\n <a@x.example>\r\nFrom: second\r\nSubject: a secret\r\n");
    n = write_notice(&rep);
    assert_string_equal(n.part[2], "FROM: A\r\n <a@x.example>\r\n");
    has(n.text, "nur das Datum, die Message-ID und den Absender.");
    free_notice(&n);
}

static void returned_headers_are_seven_bit_and_short_enough(void **state)
{
    (void)state;
    static char header[3000];
    int len = snprintf(header, sizeof header, "Subject: gr\xc3\xbc\xc3\x9f\r\nX-Long: ");
    memset(header + len, 'y', 2200);
    memcpy(header + len + 2200, "\r\n", 3);
    struct bounce_recipient r = stop(BOUNCE_RELEASE);
    struct bounce_report rep = report(&r, 1);
    rep.header = slice_of(header);
    rep.has_8bit = true;
    struct notice n = write_notice(&rep); /* looks at every octet and line */
    has(n.part[2], "Subject: gr????\r\nX-Long: yyy");
    free_notice(&n);
}

static void tls_required_no_of_the_original_is_passed_on(void **state)
{
    (void)state;
    struct bounce_recipient r = other(DISPOSITION_FAILED, &replied);
    struct bounce_report rep = report(&r, 1);
    rep.header = SLICE("From: a@x.example\r\nTLS-Required: No\r\n");
    struct notice n = write_notice(&rep);
    has(n.header, "\r\nTLS-Required: No\r\n");
    free_notice(&n);
    rep.header = SLICE("From: a@x.example\r\nTLS-Required: Yes\r\n");
    n = write_notice(&rep);
    lacks(n.header, "TLS-Required");
    free_notice(&n);
}

static void an_original_without_a_plain_message_id_is_not_referred_to(void **state)
{
    (void)state;
    static const char *const headers[] = {
        "From: a@x.example\r\n",        "",
        "Message-ID: nonsense\r\n",     "Message-ID: <a b>\r\n",
        "Message-ID: <\xc3\xbc@x>\r\n", "Message-ID: <>\r\n",
    };
    for (size_t i = 0; i < COUNT_OF(headers); i++) {
        struct bounce_recipient r = stop(BOUNCE_RELEASE);
        struct bounce_report rep = report(&r, 1);
        rep.header = slice_of(headers[i]);
        struct notice n = write_notice(&rep);
        lacks(n.header, "References");
        lacks(n.header, "In-Reply-To");
        free_notice(&n);
    }
}

static void at_the_ceiling_nothing_is_left_behind(void **state)
{
    (void)state;
    struct bounce_recipient r = stop(BOUNCE_RELEASE);
    struct bounce_report rep = report(&r, 1);
    struct notice whole = write_notice(&rep);
    size_t size = whole.raw.len;
    free_notice(&whole);
    for (size_t ceiling = 0; ceiling < size + 5; ceiling += 97) {
        struct buffer out;
        buffer_init(&out, ceiling + 5);
        bool has_front = buffer_append(&out, SLICE("front"));
        assert_true(has_front);
        bool got = bounce_write(&rep, &out);
        assert_int_equal(got, ceiling >= size);
        if (!got)
            assert_int_equal(out.len, 5);
        buffer_free(&out);
    }
}

static void languages_have_names_both_ways(void **state)
{
    (void)state;
    enum bounce_language got = BOUNCE_ENGLISH;
    assert_true(bounce_language_parse(SLICE("de"), &got));
    assert_int_equal(got, BOUNCE_GERMAN);
    assert_true(bounce_language_parse(SLICE("EN"), &got));
    assert_int_equal(got, BOUNCE_ENGLISH);
    assert_false(bounce_language_parse(SLICE("fr"), &got));
    assert_false(bounce_language_parse(SLICE(""), &got));
    assert_string_equal(bounce_language_name(BOUNCE_GERMAN), "de");
    assert_string_equal(bounce_language_name(BOUNCE_ENGLISH), "en");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stop_makes_this_notice_in_english),
        cmocka_unit_test(a_stop_makes_this_notice_in_german),
        cmocka_unit_test(every_cause_keeps_its_own_words_in_both_languages),
        cmocka_unit_test(a_remote_reply_is_quoted_as_the_host_said_it),
        cmocka_unit_test(release_is_offered_only_where_it_works),
        cmocka_unit_test(switching_the_guarantee_off_is_no_advice_where_it_would_stop_again),
        cmocka_unit_test(the_first_advice_does_not_begin_with_or),
        cmocka_unit_test(evidence_that_recipients_share_is_said_once),
        cmocka_unit_test(evidence_is_cut_at_a_lines_end_where_it_has_to_be),
        cmocka_unit_test(an_unknown_since_is_left_out),
        cmocka_unit_test(commands_name_no_address_that_a_shell_would_read),
        cmocka_unit_test(a_delay_notice_says_until_when_it_is_tried),
        cmocka_unit_test(will_retry_until_is_for_delays_alone),
        cmocka_unit_test(mail_whose_time_is_over_says_so),
        cmocka_unit_test(a_receipt_says_how_the_message_left),
        cmocka_unit_test(a_receipt_names_each_way_of_verification),
        cmocka_unit_test(a_receipt_of_clear_text_says_so_in_plain_words),
        cmocka_unit_test(a_receipt_of_a_local_route_says_that_nothing_crossed_a_network),
        cmocka_unit_test(a_receipt_says_whether_the_next_host_will_report_too),
        cmocka_unit_test(a_receipt_of_guarded_mail_returns_three_fields),
        cmocka_unit_test(a_downgrade_has_words_of_its_own_in_both_languages),
        cmocka_unit_test(a_delay_by_a_downgrade_says_that_nothing_went_in_clear),
        cmocka_unit_test(a_delay_in_place_of_a_stop_says_whose_fault_it_may_be),
        cmocka_unit_test(no_other_line_for_people_is_longer_than_78_columns),
        cmocka_unit_test(what_was_required_is_said_in_the_readers_language),
        cmocka_unit_test(who_lacks_a_proof_alone_is_advised_to_go_down_to_encryption),
        cmocka_unit_test(that_the_domain_requires_tls_itself_stands_among_what_is_required),
        cmocka_unit_test(a_wish_for_no_tls_that_did_not_count_is_answered),
        cmocka_unit_test(dsn_parameters_come_back_decoded_and_harmless),
        cmocka_unit_test(no_value_can_begin_a_line_of_its_own),
        cmocka_unit_test(a_reply_in_utf8_is_whole_in_the_text_and_ascii_in_the_status),
        cmocka_unit_test(white_space_at_a_lines_end_survives_the_way),
        cmocka_unit_test(the_longest_word_stays_whole),
        cmocka_unit_test(ret_full_returns_the_message_where_that_cannot_hurt),
        cmocka_unit_test(the_returned_body_is_returned_as_it_was),
        cmocka_unit_test(a_message_cannot_end_the_part_that_it_is_returned_in),
        cmocka_unit_test(a_redacted_notice_returns_three_fields_and_says_so),
        cmocka_unit_test(returned_headers_are_seven_bit_and_short_enough),
        cmocka_unit_test(tls_required_no_of_the_original_is_passed_on),
        cmocka_unit_test(an_original_without_a_plain_message_id_is_not_referred_to),
        cmocka_unit_test(at_the_ceiling_nothing_is_left_behind),
        cmocka_unit_test(languages_have_names_both_ways),
    };
    return cmocka_run_group_tests(tests, make_outcomes, NULL);
}
