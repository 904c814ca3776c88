/* The client session against scripts: what the host says, what we must say, what follows. Every row
 * runs twice: once with each input whole, once octet by octet. */
#include "gateway/delivery/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { RECIPIENTS_MAX = 4, STEPS_MAX = 24, NOW = 1000 };

/* `in` is what the host says, or an event (@...); `want` is all that we say then. */
struct step {
    const char *in, *want;
};

struct script {
    const char *claim;
    struct step steps[STEPS_MAX];
    enum client_state state;
    enum guarantee_contact contact;
    enum guarantee_tls tls;
    enum guarantee_answer facts_answer;
    const char *cause; /* NULL: not looked at */
    /* What the judge makes of it for a recipient with `level`, and for one without. */
    enum guarantee_kind kind, kind_off;
    size_t count; /* recipients of the transaction, the answers they get, the status of the last */
    enum guarantee_answer answers[RECIPIENTS_MAX];
    const char *status;
    bool is_aborted; /* closed with a reset */
    /* What differs from the usual. */
    enum level level; /* LEVEL_OFF stands for LEVEL_ENCRYPT; see demands_nothing */
    bool demands_nothing;
    bool is_mixed;                 /* recipient 0 demands nothing, the others do */
    enum guarantee_tls tls_before; /* the connection before this one had a failed handshake */
    bool is_lmtp, is_local_route, is_8bit, has_tlsa, needs_requiretls;
    enum ret ret;
    unsigned notify;
    uint64_t size;
    const char *content[4]; /* pieces; the last one ends the data; "!" fails */
    const char *send_fails_at;
    bool whole_only; /* the octets behind a reply are seen only when they come with it */
};

struct fake {
    const struct script *script;
    struct delivery_session *session;
    struct buffer said;
    struct client_transaction transaction;
    struct client_recipient recipients[RECIPIENTS_MAX];
    unsigned piece;
    unsigned rested, sent;
    bool is_in_call, is_awaited, is_handshaking, is_closed, is_aborted;
    int64_t deadline_ms, now;
    struct tls_facts tls_facts;
};

static bool fake_send(void *context, struct slice bytes)
{
    struct fake *f = context;
    assert_false(f->is_closed);
    if (f->script->send_fails_at && slice_starts_nocase(bytes, slice_of(f->script->send_fails_at)))
        return false;
    assert_true(buffer_append(&f->said, bytes));
    return true;
}

static bool fake_start_tls(void *context, struct tls_failure *failure)
{
    struct fake *f = context;
    if (f->script->send_fails_at && strcmp(f->script->send_fails_at, "@start_tls") == 0) {
        snprintf(failure->text, sizeof failure->text, "no memory for TLS");
        return false;
    }
    f->is_handshaking = true;
    return true;
}

static void fake_set_deadline(void *context, int64_t in_ms)
{
    struct fake *f = context;
    f->deadline_ms = in_ms;
}

static enum delivery_content_step fake_content(void *context, struct buffer *out)
{
    struct fake *f = context;
    const char *piece = f->script->content[f->piece++];
    if (!piece)
        piece = "Subject: x\r\n\r\n.\r\n";
    if (strcmp(piece, "!") == 0)
        return DELIVERY_CONTENT_FAILED;
    assert_true(buffer_append_text(out, piece));
    bool is_last = f->piece == COUNT_OF(f->script->content) || !f->script->content[f->piece];
    return is_last ? DELIVERY_CONTENT_END : DELIVERY_CONTENT_MORE;
}

static void fake_wake(void *context)
{
    struct fake *f = context;
    f->is_awaited = true;
}

static void fake_close(void *context, bool abort)
{
    struct fake *f = context;
    assert_false(f->is_closed);
    f->is_closed = true;
    f->is_aborted = abort;
}

static void fake_rested(void *context)
{
    struct fake *f = context;
    assert_false(f->is_in_call);
    f->rested++;
}

static void fake_sent(void *context)
{
    struct fake *f = context;
    assert_false(f->is_in_call);
    assert_int_not_equal(delivery_session_state(f->session), CLIENT_BUSY);
    f->sent++;
}

static int64_t fake_now(void *context)
{
    const struct fake *f = context;
    return f->now;
}

static const struct delivery_session_port port = {
    .send = fake_send,
    .start_tls = fake_start_tls,
    .set_deadline = fake_set_deadline,
    .content = fake_content,
    .wake = fake_wake,
    .close = fake_close,
    .rested = fake_rested,
    .sent = fake_sent,
    .now = fake_now,
};

static struct guarantee_requirement requirement_of(const struct script *r, size_t index)
{
    bool is_free = r->demands_nothing || (r->is_mixed && index == 0);
    return (struct guarantee_requirement){
        .level = is_free                 ? LEVEL_OFF
                 : r->level == LEVEL_OFF ? LEVEL_ENCRYPT
                                         : r->level,
        .policy = GUARANTEE_POLICY_MAY,
        .route = GUARANTEE_POLICY_MAY,
        .requiretls = r->needs_requiretls,
    };
}

static void set_up(struct fake *f, const struct script *script)
{
    *f = (struct fake){.script = script, .now = NOW};
    buffer_init(&f->said, (size_t)1 << 20);
    f->tls_facts = (struct tls_facts){.protocol = "TLSv1.3",
                                      .cipher = "TLS_AES_256_GCM_SHA384",
                                      .pkix_error = "self-signed certificate"};
    struct delivery_session_options o = {
        .protocol = script->is_lmtp ? CLIENT_LMTP : CLIENT_SMTP,
        .connect_timeout_ms = 30000,
        .hostname = "client.example",
        .host = {.name = "mx.example",
                 .address = "192.0.2.9",
                 .port = 25,
                 .is_name_secure = true,
                 .tls = script->tls_before,
                 .tlsa = script->has_tlsa ? GUARANTEE_TLSA_USABLE : GUARANTEE_TLSA_NONE,
                 .is_local_route = script->is_local_route},
        .tlsa_expires_at = script->has_tlsa ? NOW + 60 : 0,
        .number = "1",
    };
    f->session = delivery_session_new(&o, &port, f);
    for (size_t i = 0; i < RECIPIENTS_MAX; i++) {
        static const char *const addresses[] = {"a@x.example", "b@x.example", "c@x.example",
                                                "d@x.example"};
        f->recipients[i] = (struct client_recipient){.address = addresses[i],
                                                     .orcpt = "",
                                                     .notify = script->notify,
                                                     .requirement = requirement_of(script, i)};
    }
    f->transaction = (struct client_transaction){.reverse_path = "s@y.example",
                                                 .envid = script->ret == RET_ABSENT ? "" : "E+2B1",
                                                 .ret = script->ret,
                                                 .size = script->size ? script->size : 500,
                                                 .content_8bit = script->is_8bit,
                                                 .count = script->count,
                                                 .recipients = f->recipients};
}

static void tear_down(struct fake *f)
{
    delivery_session_free(f->session);
    buffer_free(&f->said);
}

static void fail_tls(struct fake *f, enum tls_failure_kind kind, const char *text)
{
    struct tls_failure failure = {.kind = kind};
    snprintf(failure.text, sizeof failure.text, "%s", text);
    f->is_handshaking = false;
    delivery_session_tls_failed(f->session, &failure);
}

static void feed(struct fake *f, struct slice in)
{
    if (f->is_closed)
        return;
    if (f->is_handshaking) {
        fail_tls(f, TLS_FAILURE_HANDSHAKE, "wrong version number");
        return;
    }
    delivery_session_data(f->session, &in);
    assert_int_equal(in.len, 0);
}

static void call(struct fake *f, void (*request)(struct fake *f))
{
    f->is_in_call = true;
    request(f);
    f->is_in_call = false;
    while (f->is_awaited) {
        f->is_awaited = false;
        delivery_session_woken(f->session);
    }
}

static void request_tls(struct fake *f)
{
    delivery_session_start_tls(f->session);
}

static void request_send(struct fake *f)
{
    f->piece = 0;
    delivery_session_send(f->session, &f->transaction);
}

static void request_quit(struct fake *f)
{
    delivery_session_quit(f->session);
}

static void happen(struct fake *f, const char *event)
{
    if (strcmp(event, "@open") == 0)
        delivery_session_opened(f->session);
    else if (strcmp(event, "@starttls") == 0)
        call(f, request_tls);
    else if (strcmp(event, "@send") == 0)
        call(f, request_send);
    else if (strcmp(event, "@quit") == 0)
        call(f, request_quit);
    else if (strcmp(event, "@drained") == 0)
        delivery_session_drained(f->session);
    else if (strcmp(event, "@gone") == 0)
        delivery_session_gone(f->session, NULL);
    else if (strcmp(event, "@reset") == 0)
        delivery_session_gone(f->session, "Connection reset by peer");
    else if (strcmp(event, "@refused") == 0)
        delivery_session_gone(f->session, "Connection refused");
    else if (strcmp(event, "@deadline") == 0)
        delivery_session_deadline(f->session);
    else if (strcmp(event, "@late") == 0)
        f->now += 3600;
    else if (strcmp(event, "@alert") == 0)
        fail_tls(f, TLS_FAILURE_HANDSHAKE, "peer sent alert: handshake failure");
    else if (strcmp(event, "@cut") == 0)
        fail_tls(f, TLS_FAILURE_CUT, "the connection was closed");
    else if (strcmp(event, "@tls-ours") == 0)
        fail_tls(f, TLS_FAILURE_OURS, "out of memory");
    else {
        assert_true(strncmp(event, "@tls", 4) == 0 && f->is_handshaking);
        f->is_handshaking = false;
        f->tls_facts.dane = strcmp(event, "@tls-match") == 0   ? TLS_DANE_MATCHED
                            : strcmp(event, "@tls-wrong") == 0 ? TLS_DANE_MISMATCHED
                                                               : TLS_DANE_NOT_ASKED;
        strcpy(f->tls_facts.dane_error, "no TLSA record matches");
        delivery_session_secured(f->session, &f->tls_facts);
    }
}

static void play_step(struct fake *f, const struct step *step, bool is_bytewise)
{
    struct slice in = slice_of(step->in);
    buffer_clear(&f->said);
    if (step->in[0] == '@')
        happen(f, step->in);
    else if (!is_bytewise)
        feed(f, in);
    else
        for (size_t i = 0; i < in.len; i++)
            feed(f, slice_sub(in, i, 1));
    const char *said = buffer_text(&f->said);
    if (strcmp(said, step->want) != 0)
        fail_msg("after \"%s\" we said \"%s\", not \"%s\"", step->in, said, step->want);
}

static void check(struct fake *f)
{
    const struct script *r = f->script;
    struct guarantee_host facts = delivery_session_facts(f->session);
    struct guarantee_requirement demanding = requirement_of(r, 1),
                                 free_of_demands = {.policy = GUARANTEE_POLICY_MAY,
                                                    .route = GUARANTEE_POLICY_MAY};
    assert_int_equal(delivery_session_state(f->session), r->state);
    assert_int_equal(f->is_closed, r->state == CLIENT_DEAD);
    assert_int_equal(f->is_aborted, r->is_aborted);
    assert_int_equal(facts.contact, r->contact);
    assert_int_equal(facts.tls, r->tls);
    assert_int_equal(facts.answer, r->facts_answer);
    if (facts.answer != GUARANTEE_ANSWER_NONE)
        assert_string_equal(facts.reply.text, facts.cause.text);
    if (r->cause)
        assert_string_equal(facts.cause.text, r->cause);
    if (facts.cause.status.class)
        assert_string_equal(facts.cause.mx, "mx.example");
    if (!r->demands_nothing)
        assert_string_equal(guarantee_kind_name(guarantee_judge(&demanding, &facts).kind),
                            guarantee_kind_name(r->kind));
    assert_string_equal(guarantee_kind_name(guarantee_judge(&free_of_demands, &facts).kind),
                        guarantee_kind_name(r->kind_off));
    for (size_t i = 0; i < r->count; i++)
        assert_int_equal(f->recipients[i].answer, r->answers[i]);
    assert_int_equal(f->sent, r->count > 0 ? 1 : f->sent);
    if (r->status) {
        char text[STATUS_SIZE];
        assert_string_equal(status_text(f->recipients[r->count - 1].reply.status, text), r->status);
    }
}

static void play(const struct script *script, bool is_bytewise)
{
    struct fake f;
    set_up(&f, script);
    for (size_t i = 0; i < STEPS_MAX && script->steps[i].in; i++)
        play_step(&f, &script->steps[i], is_bytewise);
    check(&f);
    tear_down(&f);
}

/* ---- the scripts ---- */

#define EHLO "EHLO client.example\r\n"
#define GREETING                                                                                   \
    {"@open", ""},                                                                                 \
    {                                                                                              \
        "220 mx.example ESMTP\r\n", EHLO                                                           \
    }
#define PLAIN                                                                                      \
    {                                                                                              \
        "250-mx.example\r\n250 SIZE\r\n", ""                                                       \
    }
#define OFFER                                                                                      \
    {                                                                                              \
        "250-mx.example\r\n250-PIPELINING\r\n250-DSN\r\n250 STARTTLS\r\n", ""                      \
    }
#define STARTTLS                                                                                   \
    {                                                                                              \
        "@starttls", "STARTTLS\r\n"                                                                \
    }
#define SHAKE                                                                                      \
    STARTTLS,                                                                                      \
    {                                                                                              \
        "220 go ahead\r\n", ""                                                                     \
    }
#define TLS                                                                                        \
    SHAKE,                                                                                         \
    {                                                                                              \
        "@tls", EHLO                                                                               \
    }
#define SECURED                                                                                    \
    GREETING, OFFER, TLS,                                                                          \
    {                                                                                              \
        "250 mx.example\r\n", ""                                                                   \
    }
#define PIPELINED                                                                                  \
    GREETING, OFFER, TLS,                                                                          \
    {                                                                                              \
        "250-mx.example\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250-DSN\r\n250 PIPELINING\r\n", ""     \
    }
#define MAIL_A "MAIL FROM:<s@y.example>"
#define RCPT(who) "RCPT TO:<" who "@x.example>\r\n"
#define MESSAGE "Subject: x\r\n\r\n.\r\n"
#define UNREACHABLE                                                                                \
    .state = CLIENT_DEAD, .contact = GUARANTEE_NO_CONTACT, .kind = GUARANTEE_UNREACHABLE,          \
    .kind_off = GUARANTEE_UNREACHABLE
#define IN_CONTACT .contact = GUARANTEE_IN_CONTACT, .kind_off = GUARANTEE_ACCEPTABLE
#define UNDER_TLS IN_CONTACT, .tls = GUARANTEE_TLS_ESTABLISHED
#define DELIVERED GUARANTEE_ANSWER_DELIVERED
#define TEMPORARY GUARANTEE_ANSWER_TEMPORARY
#define PERMANENT GUARANTEE_ANSWER_PERMANENT
#define UNDECIDED GUARANTEE_ANSWER_UNDECIDED
#define NONE GUARANTEE_ANSWER_NONE

static const struct script scripts[] = {
    /* GUARANTEE.md section 2, row "unreachable". */
    {.claim = "connection_refused_is_unreachable",
     .steps = {{"@refused", ""}},
     .cause = "Connection refused",
     UNREACHABLE},
    {.claim = "connect_timeout_is_unreachable",
     .steps = {{"@deadline", ""}},
     .cause = "timed out while connecting",
     .is_aborted = true,
     UNREACHABLE},
    {.claim = "greeting_4xx_is_unreachable",
     .steps = {{"@open", ""}, {"421 4.3.2 too busy\r\n", ""}},
     .cause = "4.3.2 too busy",
     UNREACHABLE},
    {.claim = "greeting_5xx_is_unreachable",
     .steps = {{"@open", ""}, {"554-no\r\n554 5.7.1 go away\r\n", "QUIT\r\n"}},
     .cause = "no 5.7.1 go away",
     UNREACHABLE},
    {.claim = "silence_instead_of_a_greeting_is_unreachable",
     .steps = {{"@open", ""}, {"@deadline", ""}},
     .cause = "timed out while waiting for the greeting",
     .is_aborted = true,
     UNREACHABLE},
    {.claim = "closed_before_the_greeting_is_unreachable",
     .steps = {{"@open", ""}, {"@gone", ""}},
     .cause = "the host closed the connection while waiting for the greeting",
     UNREACHABLE},
    {.claim = "closed_within_the_greeting_is_unreachable",
     .steps = {{"@open", ""}, {"220-mx.example\r\n220 ES", ""}, {"@reset", ""}},
     .cause = "Connection reset by peer while waiting for the greeting",
     UNREACHABLE},
    {.claim = "closed_after_ehlo_is_unreachable",
     .steps = {GREETING, {"@gone", ""}},
     .cause = "the host closed the connection while waiting for the reply to EHLO",
     UNREACHABLE},
    {.claim = "greeting_that_is_no_reply_is_unreachable",
     .steps = {{"@open", ""}, {"SSH-2.0-OpenSSH_9.2\r\n", ""}},
     .is_aborted = true,
     UNREACHABLE},
    {.claim = "greeting_with_code_199_is_unreachable",
     .steps = {{"@open", ""}, {"199 mx.example\r\n", ""}},
     .is_aborted = true,
     UNREACHABLE},
    {.claim = "greeting_with_a_bare_lf_is_unreachable",
     .steps = {{"@open", ""}, {"220 mx.example\n", ""}},
     .is_aborted = true,
     UNREACHABLE},
    {.claim = "ehlo_reply_that_is_none_is_unreachable",
     .steps = {GREETING, {"250-mx.example\r\n550 STARTTLS\r\n", ""}},
     .is_aborted = true,
     UNREACHABLE},
    {.claim = "bytes_behind_the_greeting_are_unreachable",
     .steps = {{"@open", ""}, {"220 mx.example\r\n250-mx.example\r\n250 STARTTLS\r\n", EHLO}},
     .whole_only = true,
     .is_aborted = true,
     UNREACHABLE},
    {.claim = "bytes_behind_the_ehlo_reply_are_unreachable",
     .steps = {GREETING, {"250-mx.example\r\n250 STARTTLS\r\n220 go ahead\r\n", ""}},
     .is_aborted = true,
     UNREACHABLE},
    {.claim = "bytes_nobody_asked_for_at_rest_are_unreachable",
     .steps = {GREETING, OFFER, {"2", ""}},
     .is_aborted = true,
     .cause = "the host spoke unasked while at rest",
     UNREACHABLE},
    {.claim = "starttls_reply_that_is_none_is_unreachable",
     .steps = {GREETING, OFFER, STARTTLS, {"ok go ahead\r\n", ""}},
     .is_aborted = true,
     UNREACHABLE},
    {.claim = "bytes_behind_a_refusal_of_starttls_are_unreachable",
     .steps = {GREETING, OFFER, STARTTLS, {"454 not now\r\n250 ok\r\n", ""}},
     .is_aborted = true,
     UNREACHABLE,
     .tls = GUARANTEE_TLS_TRY_LATER},
    {.claim = "ehlo_refused_otherwise_is_unreachable",
     .steps = {GREETING, {"554 5.7.1 no\r\n", "QUIT\r\n"}},
     .cause = "5.7.1 no",
     UNREACHABLE},
    {.claim = "ehlo_refused_with_4xx_is_unreachable",
     .steps = {GREETING, {"451 4.3.0 no\r\n", "QUIT\r\n"}},
     UNREACHABLE},
    {.claim = "helo_refused_is_unreachable",
     .steps = {GREETING, {"500 what\r\n", "HELO client.example\r\n"}, {"550 no\r\n", "QUIT\r\n"}},
     UNREACHABLE},
    {.claim = "lhlo_has_no_helo_to_fall_back_to",
     .steps = {{"@open", ""},
               {"220 hi\r\n", "LHLO client.example\r\n"},
               {"500 what\r\n", "QUIT\r\n"}},
     .is_lmtp = true,
     UNREACHABLE},

    /* Row "no TLS offered". */
    {.claim = "ehlo_without_starttls_is_not_offered",
     .steps = {GREETING, PLAIN},
     .state = CLIENT_GREETED,
     IN_CONTACT,
     .tls = GUARANTEE_TLS_NOT_OFFERED,
     .kind = GUARANTEE_NOT_OFFERED},
    {.claim = "ehlo_502_and_helo_accepted_is_not_offered",
     .steps = {GREETING, {"502 what\r\n", "HELO client.example\r\n"}, {"250 mx\r\n", ""}},
     .state = CLIENT_GREETED,
     IN_CONTACT,
     .tls = GUARANTEE_TLS_NOT_OFFERED,
     .kind = GUARANTEE_NOT_OFFERED},
    {.claim = "ehlo_504_and_helo_accepted_is_not_offered",
     .steps = {GREETING, {"504 what\r\n", "HELO client.example\r\n"}, {"250 mx\r\n", ""}},
     .state = CLIENT_GREETED,
     IN_CONTACT,
     .tls = GUARANTEE_TLS_NOT_OFFERED,
     .kind = GUARANTEE_NOT_OFFERED},
    {.claim = "ehlo_550_and_helo_accepted_is_not_offered",
     .steps = {GREETING, {"550 what\r\n", "HELO client.example\r\n"}, {"250 mx\r\n", ""}},
     .state = CLIENT_GREETED,
     IN_CONTACT,
     .tls = GUARANTEE_TLS_NOT_OFFERED,
     .kind = GUARANTEE_NOT_OFFERED},
    {.claim = "starttls_in_the_greeting_line_is_no_offer",
     .steps = {GREETING, {"250 STARTTLS\r\n", ""}},
     .state = CLIENT_GREETED,
     IN_CONTACT,
     .tls = GUARANTEE_TLS_NOT_OFFERED,
     .kind = GUARANTEE_NOT_OFFERED},
    {.claim = "offered_and_not_tried_is_not_yet",
     .steps = {GREETING, OFFER},
     .state = CLIENT_GREETED,
     IN_CONTACT,
     .kind = GUARANTEE_NOT_YET},

    /* Row "TLS passing trouble". */
    {.claim = "starttls_454_is_passing_trouble",
     .steps = {GREETING, OFFER, STARTTLS, {"454 4.7.0 not now\r\n", ""}},
     .state = CLIENT_GREETED,
     IN_CONTACT,
     .tls = GUARANTEE_TLS_TRY_LATER,
     .cause = "4.7.0 not now",
     .kind = GUARANTEE_PASSING_TROUBLE},
    {.claim = "handshake_cut_is_passing_trouble",
     .steps = {GREETING, OFFER, SHAKE, {"@cut", ""}},
     .state = CLIENT_DEAD,
     IN_CONTACT,
     .tls = GUARANTEE_TLS_CUT,
     .kind = GUARANTEE_PASSING_TROUBLE},
    {.claim = "end_of_connection_in_the_handshake_is_passing_trouble",
     .steps = {GREETING, OFFER, SHAKE, {"@gone", ""}},
     .state = CLIENT_DEAD,
     IN_CONTACT,
     .tls = GUARANTEE_TLS_CUT,
     .kind = GUARANTEE_PASSING_TROUBLE},
    {.claim = "handshake_timeout_is_passing_trouble",
     .steps = {GREETING, OFFER, SHAKE, {"@deadline", ""}},
     .state = CLIENT_DEAD,
     IN_CONTACT,
     .is_aborted = true,
     .tls = GUARANTEE_TLS_CUT,
     .cause = "timed out while shaking hands for TLS",
     .kind = GUARANTEE_PASSING_TROUBLE},
    {.claim = "silence_after_starttls_is_passing_trouble",
     .steps = {GREETING, OFFER, STARTTLS, {"@deadline", ""}},
     .state = CLIENT_DEAD,
     IN_CONTACT,
     .is_aborted = true,
     .tls = GUARANTEE_TLS_CUT,
     .cause = "timed out while waiting for the reply to STARTTLS",
     .kind = GUARANTEE_PASSING_TROUBLE},

    /* Row "TLS refused". */
    {.claim = "starttls_5xx_is_refused",
     .steps = {GREETING, OFFER, STARTTLS, {"502 5.5.1 no\r\n", ""}},
     .state = CLIENT_GREETED,
     IN_CONTACT,
     .tls = GUARANTEE_TLS_REFUSED,
     .cause = "5.5.1 no",
     .kind = GUARANTEE_REFUSED},
    {.claim = "starttls_250_is_refused",
     .steps = {GREETING, OFFER, STARTTLS, {"250 ok\r\n", ""}},
     .state = CLIENT_GREETED,
     IN_CONTACT,
     .tls = GUARANTEE_TLS_REFUSED,
     .kind = GUARANTEE_REFUSED},
    {.claim = "starttls_421_is_refused_and_ends_the_connection",
     .steps = {GREETING, OFFER, STARTTLS, {"421 bye\r\n", ""}},
     .state = CLIENT_DEAD,
     IN_CONTACT,
     .tls = GUARANTEE_TLS_REFUSED,
     .kind = GUARANTEE_REFUSED},
    {.claim = "hanging_up_after_a_refusal_does_not_undo_it",
     .steps = {GREETING, OFFER, STARTTLS, {"554 5.7.3 no\r\n", ""}, {"@gone", ""}},
     .state = CLIENT_DEAD,
     IN_CONTACT,
     .tls = GUARANTEE_TLS_REFUSED,
     .cause = "5.7.3 no",
     .kind = GUARANTEE_REFUSED},
    {.claim = "after_a_refusal_who_demands_nothing_goes_on_in_clear",
     .steps = {GREETING,
               OFFER,
               STARTTLS,
               {"502 no\r\n", ""},
               {"@send", MAIL_A "\r\n" RCPT("a") "DATA\r\n"},
               {"250 ok\r\n250 ok\r\n354 go\r\n", MESSAGE},
               {"250 2.0.0 taken\r\n", ""}},
     .state = CLIENT_GREETED,
     IN_CONTACT,
     .tls = GUARANTEE_TLS_REFUSED,
     .is_mixed = true,
     .count = 2,
     .answers = {DELIVERED, NONE},
     .kind = GUARANTEE_REFUSED},

    /* Row "TLS failed". */
    {.claim = "alert_is_failed",
     .steps = {GREETING, OFFER, SHAKE, {"@alert", ""}},
     .state = CLIENT_DEAD,
     IN_CONTACT,
     .tls = GUARANTEE_TLS_FAILED,
     .cause = "peer sent alert: handshake failure",
     .kind = GUARANTEE_HANDSHAKE_FAILED},
    {.claim = "starttls_reply_with_bytes_behind_it_is_failed_and_dropped",
     .steps = {GREETING, OFFER, STARTTLS, {"220 go ahead\r\n250 injected\r\n", ""}},
     .whole_only = true,
     .state = CLIENT_DEAD,
     IN_CONTACT,
     .is_aborted = true,
     .tls = GUARANTEE_TLS_FAILED,
     .cause = "bytes in the clear behind the reply to STARTTLS",
     .kind = GUARANTEE_HANDSHAKE_FAILED},
    {.claim = "bytes_that_are_no_tls_are_failed",
     .steps = {GREETING, OFFER, SHAKE, {"250 injected\r\n", ""}},
     .state = CLIENT_DEAD,
     IN_CONTACT,
     .tls = GUARANTEE_TLS_FAILED,
     .kind = GUARANTEE_HANDSHAKE_FAILED},

    /* A fault of our own. */
    {.claim = "tls_engine_trouble_is_our_own_fault",
     .steps = {GREETING, OFFER, SHAKE, {"@tls-ours", ""}},
     .state = CLIENT_DEAD,
     .is_aborted = true,
     .contact = GUARANTEE_OUR_FAULT,
     .cause = "out of memory",
     .kind = GUARANTEE_OWN_FAULT,
     .kind_off = GUARANTEE_OWN_FAULT},
    {.claim = "handshake_that_cannot_begin_is_our_own_fault",
     .steps = {GREETING, OFFER, STARTTLS, {"220 go\r\n", ""}},
     .send_fails_at = "@start_tls",
     .state = CLIENT_DEAD,
     .is_aborted = true,
     .contact = GUARANTEE_OUR_FAULT,
     .cause = "no memory for TLS",
     .kind = GUARANTEE_OWN_FAULT,
     .kind_off = GUARANTEE_OWN_FAULT},
    {.claim = "failed_write_of_starttls_is_told_later",
     .steps = {GREETING, OFFER, {"@starttls", ""}},
     .send_fails_at = "STARTTLS",
     .state = CLIENT_DEAD,
     .is_aborted = true,
     .contact = GUARANTEE_OUR_FAULT,
     .kind = GUARANTEE_OWN_FAULT,
     .kind_off = GUARANTEE_OWN_FAULT},
    {.claim = "unreadable_content_never_ends_the_data",
     .steps = {SECURED,
               {"@send", MAIL_A "\r\n"},
               {"250 ok\r\n", RCPT("a")},
               {"250 ok\r\n", "DATA\r\n"},
               {"354 go\r\n", "one\r\n"},
               {"@drained", ""}},
     .content = {"one\r\n", "!"},
     .state = CLIENT_DEAD,
     .is_aborted = true,
     .contact = GUARANTEE_OUR_FAULT,
     .tls = GUARANTEE_TLS_ESTABLISHED,
     .cause = "the message cannot be read from the queue",
     .kind = GUARANTEE_OWN_FAULT,
     .kind_off = GUARANTEE_OWN_FAULT,
     .count = 1,
     .answers = {NONE}},

    /* Row "TLS not authenticated". */
    {.claim = "certificate_that_does_not_match_is_not_authenticated_and_gets_no_mail",
     .steps = {GREETING, OFFER, SHAKE, {"@tls-wrong", EHLO}, {"250 mx\r\n", ""}, {"@send", ""}},
     .has_tlsa = true,
     .state = CLIENT_SECURED,
     .contact = GUARANTEE_IN_CONTACT,
     .tls = GUARANTEE_TLS_ESTABLISHED,
     .kind = GUARANTEE_NOT_AUTHENTICATED,
     .kind_off = GUARANTEE_NOT_AUTHENTICATED,
     .count = 2,
     .answers = {NONE, NONE}},
    {.claim = "level_verified_without_dane_is_not_authenticated_and_gets_no_mail",
     .steps = {SECURED, {"@send", ""}},
     .level = LEVEL_VERIFIED,
     .state = CLIENT_SECURED,
     UNDER_TLS,
     .kind = GUARANTEE_NOT_AUTHENTICATED,
     .count = 1,
     .answers = {NONE}},
    {.claim = "match_that_outlived_its_ttl_makes_tlsa_unknown",
     .steps = {GREETING,
               OFFER,
               SHAKE,
               {"@tls-match", EHLO},
               {"250 mx\r\n", ""},
               {"@late", ""},
               {"@send", ""}},
     .has_tlsa = true,
     .state = CLIENT_SECURED,
     .contact = GUARANTEE_IN_CONTACT,
     .tls = GUARANTEE_TLS_ESTABLISHED,
     .kind = GUARANTEE_TLS_UNKNOWN,
     .kind_off = GUARANTEE_TLS_UNKNOWN,
     .count = 1,
     .answers = {NONE}},
    {.claim = "match_delivers_at_level_verified",
     .steps = {GREETING,
               OFFER,
               SHAKE,
               {"@tls-match", EHLO},
               {"250 mx\r\n", ""},
               {"@send", MAIL_A "\r\n"},
               {"250 ok\r\n", RCPT("a")},
               {"250 ok\r\n", "DATA\r\n"},
               {"354 go\r\n", MESSAGE},
               {"250 2.0.0 taken\r\n", ""}},
     .has_tlsa = true,
     .level = LEVEL_VERIFIED,
     .state = CLIENT_SECURED,
     UNDER_TLS,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 1,
     .status = "2.0.0",
     .answers = {DELIVERED}},

    /* Row "REQUIRETLS required, not offered after acceptable TLS". */
    {.claim = "requiretls_offered_only_before_tls_does_not_count",
     .steps = {GREETING,
               {"250-mx.example\r\n250-REQUIRETLS\r\n250 STARTTLS\r\n", ""},
               SHAKE,
               {"@tls-match", EHLO},
               {"250 mx\r\n", ""},
               {"@send", ""}},
     .has_tlsa = true,
     .needs_requiretls = true,
     .state = CLIENT_SECURED,
     UNDER_TLS,
     .kind = GUARANTEE_NO_REQUIRETLS,
     .count = 1,
     .answers = {NONE}},
    {.claim = "requiretls_that_is_required_is_said",
     .steps = {GREETING,
               OFFER,
               SHAKE,
               {"@tls-match", EHLO},
               {"250-mx\r\n250 REQUIRETLS\r\n", ""},
               {"@send", MAIL_A " REQUIRETLS\r\n"},
               {"@gone", ""}},
     .has_tlsa = true,
     .needs_requiretls = true,
     .state = CLIENT_DEAD,
     UNDER_TLS,
     .is_aborted = true,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 1,
     .answers = {TEMPORARY}},

    /* Clear text and demands. */
    {.claim = "no_mail_in_clear_for_who_demands_tls",
     .steps = {GREETING, PLAIN, {"@send", ""}},
     .state = CLIENT_GREETED,
     IN_CONTACT,
     .tls = GUARANTEE_TLS_NOT_OFFERED,
     .kind = GUARANTEE_NOT_OFFERED,
     .count = 2,
     .answers = {NONE, NONE}},
    {.claim = "no_mail_in_clear_before_starttls_was_tried",
     .steps = {GREETING, OFFER, {"@send", ""}},
     .state = CLIENT_GREETED,
     IN_CONTACT,
     .kind = GUARANTEE_NOT_YET,
     .count = 2,
     .answers = {NONE, NONE}},
    {.claim = "only_who_demands_nothing_is_sent_in_clear",
     .steps = {GREETING,
               PLAIN,
               {"@send", MAIL_A " SIZE=500\r\n"},
               {"250 ok\r\n", RCPT("a")},
               {"250 ok\r\n", "DATA\r\n"},
               {"354 go\r\n", MESSAGE},
               {"250 taken\r\n", ""}},
     .is_mixed = true,
     .state = CLIENT_GREETED,
     IN_CONTACT,
     .tls = GUARANTEE_TLS_NOT_OFFERED,
     .kind = GUARANTEE_NOT_OFFERED,
     .count = 3,
     .answers = {DELIVERED, NONE, NONE}},
    {.claim = "local_route_in_clear_offers_no_requiretls_whatever_it_says",
     .steps = {{"@open", ""},
               {"220 hi\r\n", "LHLO client.example\r\n"},
               {"250-hi\r\n250 REQUIRETLS\r\n", ""},
               {"@send", MAIL_A "\r\n"},
               {"@gone", ""}},
     .is_lmtp = true,
     .is_local_route = true,
     .needs_requiretls = true,
     .state = CLIENT_DEAD,
     IN_CONTACT,
     .tls = GUARANTEE_TLS_NOT_OFFERED,
     .is_aborted = true,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 1,
     .answers = {TEMPORARY}},
    {.claim = "local_route_carries_demands_in_clear",
     .steps = {{"@open", ""},
               {"220 hi\r\n", "LHLO client.example\r\n"},
               {"250-hi\r\n250 PIPELINING\r\n", ""},
               {"@send", MAIL_A "\r\n" RCPT("a") RCPT("b") RCPT("c") "DATA\r\n"},
               {"250 ok\r\n250 ok\r\n550 5.1.1 who\r\n250 ok\r\n354 go\r\n", MESSAGE},
               {"250 2.0.0 taken\r\n452 4.2.2 full\r\n", "RSET\r\n"},
               {"250 ok\r\n", ""}},
     .is_lmtp = true,
     .is_local_route = true,
     .state = CLIENT_GREETED,
     IN_CONTACT,
     .tls = GUARANTEE_TLS_NOT_OFFERED,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 3,
     .status = "4.2.2",
     .answers = {DELIVERED, PERMANENT, TEMPORARY}},

    {.claim = "connection_after_a_failed_handshake_stays_clear_and_carries_no_demands",
     .steps = {GREETING,
               OFFER,
               {"@send", MAIL_A "\r\n" RCPT("a") "DATA\r\n"},
               {"250 ok\r\n250 ok\r\n354 go\r\n", MESSAGE},
               {"250 ok\r\n", ""}},
     .tls_before = GUARANTEE_TLS_FAILED,
     .is_mixed = true,
     .state = CLIENT_GREETED,
     IN_CONTACT,
     .tls = GUARANTEE_TLS_FAILED,
     .kind = GUARANTEE_HANDSHAKE_FAILED,
     .count = 2,
     .answers = {DELIVERED, NONE}},
    {.claim = "connection_after_a_cut_handshake_keeps_that_fact",
     .steps = {GREETING, PLAIN, {"@gone", ""}},
     .tls_before = GUARANTEE_TLS_CUT,
     .state = CLIENT_DEAD,
     IN_CONTACT,
     .tls = GUARANTEE_TLS_CUT,
     .kind = GUARANTEE_PASSING_TROUBLE},

    /* Everything learnt before TLS is forgotten. */
    {.claim = "extensions_offered_before_tls_are_forgotten",
     .steps = {GREETING,
               {"250-mx\r\n250-PIPELINING\r\n250-SIZE 10\r\n250-DSN\r\n250 STARTTLS\r\n", ""},
               TLS,
               {"250 mx\r\n", ""},
               {"@send", MAIL_A "\r\n"},
               {"550 5.7.1 no\r\n", "RSET\r\n"},
               {"250 ok\r\n", ""}},
     .ret = RET_FULL,
     .state = CLIENT_SECURED,
     UNDER_TLS,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 1,
     .answers = {PERMANENT}},
    {.claim = "ehlo_refused_after_tls_is_temporary",
     .steps = {GREETING, OFFER, TLS, {"502 5.5.1 what\r\n", "QUIT\r\n"}},
     .state = CLIENT_DEAD,
     UNDER_TLS,
     .cause = "5.5.1 what",
     .facts_answer = TEMPORARY,
     .kind = GUARANTEE_ACCEPTABLE},
    {.claim = "lost_between_the_handshake_and_ehlo_is_temporary",
     .steps = {GREETING, OFFER, TLS, {"@gone", ""}},
     .state = CLIENT_DEAD,
     UNDER_TLS,
     .cause = "the host closed the connection while waiting for the reply to EHLO under TLS",
     .facts_answer = TEMPORARY,
     .kind = GUARANTEE_ACCEPTABLE},

    /* Row "connection lost after acceptable TLS, before the end of data was sent". */
    {.claim = "lost_after_mail_is_temporary",
     .steps = {SECURED, {"@send", MAIL_A "\r\n"}, {"@reset", ""}},
     .state = CLIENT_DEAD,
     UNDER_TLS,
     .is_aborted = true,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 2,
     .status = "4.4.2",
     .answers = {TEMPORARY, TEMPORARY}},
    {.claim = "lost_after_a_recipient_was_refused_leaves_that_answer",
     .steps = {SECURED,
               {"@send", MAIL_A "\r\n"},
               {"250 ok\r\n", RCPT("a")},
               {"550 5.1.1 who\r\n", RCPT("b")},
               {"250 ok\r\n", "DATA\r\n"},
               {"@deadline", ""}},
     .state = CLIENT_DEAD,
     UNDER_TLS,
     .is_aborted = true,
     .cause = "timed out while waiting for the reply to DATA",
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 2,
     .status = "4.4.2",
     .answers = {PERMANENT, TEMPORARY}},
    {.claim = "lost_within_the_data_is_temporary_and_never_ends_it",
     .steps = {SECURED,
               {"@send", MAIL_A "\r\n"},
               {"250 ok\r\n", RCPT("a")},
               {"250 ok\r\n", "DATA\r\n"},
               {"354 go\r\n", "one\r\n"},
               {"@drained", "two\r\n"},
               {"@gone", ""}},
     .content = {"one\r\n", "two\r\n", ".\r\n"},
     .state = CLIENT_DEAD,
     UNDER_TLS,
     .is_aborted = true,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 1,
     .status = "4.4.2",
     .answers = {TEMPORARY}},
    {.claim = "nonsense_before_the_end_of_data_is_temporary",
     .steps = {SECURED, {"@send", MAIL_A "\r\n"}, {"hello\r\n", ""}},
     .state = CLIENT_DEAD,
     UNDER_TLS,
     .is_aborted = true,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 1,
     .status = "4.5.0",
     .answers = {TEMPORARY}},

    /* Row "lost after the end of data, before the whole reply". */
    {.claim = "lost_after_the_end_of_data_is_undecided",
     .steps = {PIPELINED,
               {"@send", MAIL_A " SIZE=500\r\n" RCPT("a") RCPT("b") "DATA\r\n"},
               {"250 ok\r\n250 ok\r\n550 5.1.1 who\r\n354 go\r\n", MESSAGE},
               {"@gone", ""}},
     .state = CLIENT_DEAD,
     UNDER_TLS,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 2,
     .answers = {UNDECIDED, PERMANENT}},
    {.claim = "half_a_reply_to_the_end_of_data_is_undecided",
     .steps = {SECURED,
               {"@send", MAIL_A "\r\n"},
               {"250 ok\r\n", RCPT("a")},
               {"250 ok\r\n", "DATA\r\n"},
               {"354 go\r\n", MESSAGE},
               {"250-2.0.0 taken\r\n250 2.0.0 tak", ""},
               {"@reset", ""}},
     .state = CLIENT_DEAD,
     UNDER_TLS,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 1,
     .status = "4.4.2",
     .answers = {UNDECIDED}},
    {.claim = "timeout_after_the_end_of_data_is_undecided",
     .steps = {SECURED,
               {"@send", MAIL_A "\r\n"},
               {"250 ok\r\n", RCPT("a")},
               {"250 ok\r\n", "DATA\r\n"},
               {"354 go\r\n", MESSAGE},
               {"@deadline", ""}},
     .state = CLIENT_DEAD,
     UNDER_TLS,
     .is_aborted = true,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 1,
     .answers = {UNDECIDED}},
    {.claim = "our_own_trouble_after_the_end_of_data_is_undecided_all_the_same",
     .steps = {SECURED,
               {"@send", MAIL_A "\r\n"},
               {"250 ok\r\n", RCPT("a")},
               {"250 ok\r\n", "DATA\r\n"},
               {"354 go\r\n", MESSAGE},
               {"@tls-ours", ""}},
     .state = CLIENT_DEAD,
     UNDER_TLS,
     .is_aborted = true,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 1,
     .answers = {UNDECIDED}},
    {.claim = "answers_stand_when_rset_cannot_be_sent",
     .steps = {SECURED, {"@send", MAIL_A "\r\n"}, {"550 5.7.1 no\r\n", ""}},
     .send_fails_at = "RSET",
     .state = CLIENT_DEAD,
     UNDER_TLS,
     .is_aborted = true,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 1,
     .status = "5.7.1",
     .answers = {PERMANENT}},
    {.claim = "nonsense_after_the_end_of_data_is_undecided",
     .steps = {SECURED,
               {"@send", MAIL_A "\r\n"},
               {"250 ok\r\n", RCPT("a")},
               {"250 ok\r\n", "DATA\r\n"},
               {"354 go\r\n", MESSAGE},
               {"OK\r\n", ""}},
     .state = CLIENT_DEAD,
     UNDER_TLS,
     .is_aborted = true,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 1,
     .answers = {UNDECIDED}},
    {.claim = "whole_250_and_then_gone_is_delivered",
     .steps = {SECURED,
               {"@send", MAIL_A "\r\n"},
               {"250 ok\r\n", RCPT("a")},
               {"250 ok\r\n", "DATA\r\n"},
               {"354 go\r\n", MESSAGE},
               {"250 2.0.0 taken\r\n", ""},
               {"@reset", ""}},
     .state = CLIENT_DEAD,
     UNDER_TLS,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 1,
     .answers = {DELIVERED}},
    {.claim = "whole_250_and_then_garbage_is_delivered",
     .steps = {SECURED,
               {"@send", MAIL_A "\r\n"},
               {"250 ok\r\n", RCPT("a")},
               {"250 ok\r\n", "DATA\r\n"},
               {"354 go\r\n", MESSAGE},
               {"250 2.0.0 taken\r\n\001", ""}},
     .state = CLIENT_DEAD,
     UNDER_TLS,
     .is_aborted = true,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 1,
     .answers = {DELIVERED}},
    {.claim = "lmtp_lost_among_the_replies_leaves_the_rest_undecided",
     .steps = {{"@open", ""},
               {"220 hi\r\n", "LHLO client.example\r\n"},
               {"250-hi\r\n250 PIPELINING\r\n", ""},
               {"@send", MAIL_A "\r\n" RCPT("a") RCPT("b") RCPT("c") "DATA\r\n"},
               {"250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n", MESSAGE},
               {"250 ok\r\n421 4.3.0 bye\r\n", ""},
               {"@gone", ""}},
     .is_lmtp = true,
     .is_local_route = true,
     .state = CLIENT_DEAD,
     IN_CONTACT,
     .tls = GUARANTEE_TLS_NOT_OFFERED,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 3,
     .answers = {DELIVERED, TEMPORARY, UNDECIDED}},

    /* Row "acceptable TLS, then replies". */
    {.claim = "mail_4xx_is_temporary",
     .steps = {SECURED,
               {"@send", MAIL_A "\r\n"},
               {"451 4.7.1 later\r\n", "RSET\r\n"},
               {"250 ok\r\n", ""}},
     .state = CLIENT_SECURED,
     UNDER_TLS,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 2,
     .status = "4.7.1",
     .answers = {TEMPORARY, TEMPORARY}},
    {.claim = "mail_5xx_with_pipelined_recipients_is_permanent_for_all",
     .steps = {PIPELINED,
               {"@send", MAIL_A " SIZE=500\r\n" RCPT("a") RCPT("b") "DATA\r\n"},
               {"550 5.7.1 no\r\n", ""},
               {"503 5.5.1 order\r\n503 5.5.1 order\r\n503 5.5.1 order\r\n", "RSET\r\n"},
               {"250 ok\r\n", ""}},
     .state = CLIENT_SECURED,
     UNDER_TLS,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 2,
     .status = "5.7.1",
     .answers = {PERMANENT, PERMANENT}},
    {.claim = "mail_refused_but_data_wanted_for_accepted_recipients_ends_the_connection",
     .steps = {PIPELINED,
               {"@send", MAIL_A " SIZE=500\r\n" RCPT("a") "DATA\r\n"},
               {"550 5.7.1 no\r\n250 ok\r\n354 go\r\n", ""}},
     .state = CLIENT_DEAD,
     UNDER_TLS,
     .is_aborted = true,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 1,
     .answers = {PERMANENT}},
    {.claim = "all_recipients_refused_and_data_wanted_gets_a_lone_dot",
     .steps = {PIPELINED,
               {"@send", MAIL_A " SIZE=500\r\n" RCPT("a") RCPT("b") "DATA\r\n"},
               {"250 ok\r\n550 5.1.1 who\r\n450 4.2.1 later\r\n354 go\r\n", ".\r\n"},
               {"250 2.0.0 queued\r\n", "RSET\r\n"},
               {"250 ok\r\n", ""}},
     .state = CLIENT_SECURED,
     UNDER_TLS,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 2,
     .status = "4.2.1",
     .answers = {PERMANENT, TEMPORARY}},
    {.claim = "all_recipients_refused_and_data_refused_needs_no_dot",
     .steps = {PIPELINED,
               {"@send", MAIL_A " SIZE=500\r\n" RCPT("a") "DATA\r\n"},
               {"250 ok\r\n550 5.1.1 who\r\n503 5.5.1 none\r\n", "RSET\r\n"},
               {"250 ok\r\n", ""}},
     .state = CLIENT_SECURED,
     UNDER_TLS,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 1,
     .status = "5.1.1",
     .answers = {PERMANENT}},
    {.claim = "without_pipelining_data_is_not_said_for_nobody",
     .steps = {SECURED,
               {"@send", MAIL_A "\r\n"},
               {"250 ok\r\n", RCPT("a")},
               {"550 5.1.1 who\r\n", "RSET\r\n"},
               {"250 ok\r\n", ""}},
     .state = CLIENT_SECURED,
     UNDER_TLS,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 1,
     .answers = {PERMANENT}},
    {.claim = "too_many_recipients_552_is_temporary_for_the_rest",
     .steps = {SECURED,
               {"@send", MAIL_A "\r\n"},
               {"250 ok\r\n", RCPT("a")},
               {"250 ok\r\n", RCPT("b")},
               {"452 4.5.3 too many\r\n", RCPT("c")},
               {"552 too many\r\n", "DATA\r\n"},
               {"354 go\r\n", MESSAGE},
               {"250 ok\r\n", ""}},
     .state = CLIENT_SECURED,
     UNDER_TLS,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 3,
     .status = "4.5.3",
     .answers = {DELIVERED, TEMPORARY, TEMPORARY}},
    {.claim = "mailbox_full_552_is_permanent_also_behind_accepted_ones",
     .steps = {SECURED,
               {"@send", MAIL_A "\r\n"},
               {"250 ok\r\n", RCPT("a")},
               {"251 ok\r\n", RCPT("b")},
               {"552 5.2.2 full\r\n", "DATA\r\n"},
               {"354 go\r\n", MESSAGE},
               {"250 ok\r\n", ""}},
     .state = CLIENT_SECURED,
     UNDER_TLS,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 2,
     .status = "5.2.2",
     .answers = {DELIVERED, PERMANENT}},
    {.claim = "first_recipient_552_is_permanent",
     .steps = {SECURED,
               {"@send", MAIL_A "\r\n"},
               {"250 ok\r\n", RCPT("a")},
               {"552 full\r\n", "RSET\r\n"},
               {"250 ok\r\n", ""}},
     .state = CLIENT_SECURED,
     UNDER_TLS,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 1,
     .status = "5.0.0",
     .answers = {PERMANENT}},
    {.claim = "data_refused_is_the_answer_of_the_accepted",
     .steps = {SECURED,
               {"@send", MAIL_A "\r\n"},
               {"250 ok\r\n", RCPT("a")},
               {"250 ok\r\n", RCPT("b")},
               {"550 5.1.1 who\r\n", "DATA\r\n"},
               {"451 4.3.0 later\r\n", "RSET\r\n"},
               {"250 ok\r\n", ""}},
     .state = CLIENT_SECURED,
     UNDER_TLS,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 2,
     .status = "5.1.1",
     .answers = {TEMPORARY, PERMANENT}},
    {.claim = "data_answered_250_is_not_taken_for_success",
     .steps = {SECURED,
               {"@send", MAIL_A "\r\n"},
               {"250 ok\r\n", RCPT("a")},
               {"250 ok\r\n", "DATA\r\n"},
               {"250 ok\r\n", "RSET\r\n"},
               {"250 ok\r\n", ""}},
     .state = CLIENT_SECURED,
     UNDER_TLS,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 1,
     .status = "4.5.0",
     .answers = {TEMPORARY}},
    {.claim = "end_of_data_5xx_is_permanent",
     .steps = {SECURED,
               {"@send", MAIL_A "\r\n"},
               {"250 ok\r\n", RCPT("a")},
               {"250 ok\r\n", "DATA\r\n"},
               {"354 go\r\n", MESSAGE},
               {"554-5.6.0 bad\r\n554 5.6.0 mail\r\n", "RSET\r\n"},
               {"250 ok\r\n", ""}},
     .state = CLIENT_SECURED,
     UNDER_TLS,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 1,
     .status = "5.6.0",
     .answers = {PERMANENT}},
    {.claim = "end_of_data_354_is_not_taken_for_success",
     .steps = {SECURED,
               {"@send", MAIL_A "\r\n"},
               {"250 ok\r\n", RCPT("a")},
               {"250 ok\r\n", "DATA\r\n"},
               {"354 go\r\n", MESSAGE},
               {"354 go on\r\n", "RSET\r\n"},
               {"@gone", ""}},
     .state = CLIENT_DEAD,
     UNDER_TLS,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 1,
     .answers = {TEMPORARY}},
    {.claim = "empty_reply_text_is_a_reply",
     .steps = {SECURED,
               {"@send", MAIL_A "\r\n"},
               {"250\r\n", RCPT("a")},
               {"250\r\n", "DATA\r\n"},
               {"354\r\n", MESSAGE},
               {"250\r\n", ""}},
     .state = CLIENT_SECURED,
     UNDER_TLS,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 1,
     .answers = {DELIVERED}},
    {.claim = "421_to_rcpt_is_temporary_for_all_that_are_open",
     .steps = {SECURED,
               {"@send", MAIL_A "\r\n"},
               {"250 ok\r\n", RCPT("a")},
               {"250 ok\r\n", RCPT("b")},
               {"421 4.3.2 bye\r\n", ""}},
     .state = CLIENT_DEAD,
     UNDER_TLS,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 3,
     .status = "4.3.2",
     .answers = {TEMPORARY, TEMPORARY, TEMPORARY}},
    {.claim = "421_to_the_end_of_data_is_temporary",
     .steps = {SECURED,
               {"@send", MAIL_A "\r\n"},
               {"250 ok\r\n", RCPT("a")},
               {"250 ok\r\n", "DATA\r\n"},
               {"354 go\r\n", MESSAGE},
               {"421 4.3.2 bye\r\n", ""}},
     .state = CLIENT_DEAD,
     UNDER_TLS,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 1,
     .status = "4.3.2",
     .answers = {TEMPORARY}},
    {.claim = "refusal_within_the_data_is_the_answer_and_the_data_is_never_ended",
     .steps = {SECURED,
               {"@send", MAIL_A "\r\n"},
               {"250 ok\r\n", RCPT("a")},
               {"250 ok\r\n", "DATA\r\n"},
               {"354 go\r\n", "one\r\n"},
               {"552 5.3.4 too large\r\n", ""}},
     .content = {"one\r\n", ".\r\n"},
     .state = CLIENT_DEAD,
     UNDER_TLS,
     .is_aborted = true,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 1,
     .status = "5.3.4",
     .answers = {PERMANENT}},
    {.claim = "250_within_the_data_is_not_taken_for_success",
     .steps = {SECURED,
               {"@send", MAIL_A "\r\n"},
               {"250 ok\r\n", RCPT("a")},
               {"250 ok\r\n", "DATA\r\n"},
               {"354 go\r\n", "one\r\n"},
               {"250 2.0.0 taken\r\n", ""}},
     .content = {"one\r\n", ".\r\n"},
     .state = CLIENT_DEAD,
     UNDER_TLS,
     .is_aborted = true,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 1,
     .status = "4.5.0",
     .answers = {TEMPORARY}},
    {.claim = "content_goes_out_piece_by_piece_as_the_wire_drains",
     .steps = {SECURED,
               {"@send", MAIL_A "\r\n"},
               {"250 ok\r\n", RCPT("a")},
               {"250 ok\r\n", "DATA\r\n"},
               {"354 go\r\n", "one\r\n"},
               {"@drained", "two\r\n"},
               {"@drained", ".\r\n"},
               {"@drained", ""},
               {"250 ok\r\n", ""}},
     .content = {"one\r\n", "two\r\n", ".\r\n"},
     .state = CLIENT_SECURED,
     UNDER_TLS,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 1,
     .answers = {DELIVERED}},
    {.claim = "answers_stand_when_rset_fails",
     .steps = {SECURED, {"@send", MAIL_A "\r\n"}, {"550 5.7.1 no\r\n", "RSET\r\n"}, {"@gone", ""}},
     .state = CLIENT_DEAD,
     UNDER_TLS,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 1,
     .status = "5.7.1",
     .answers = {PERMANENT}},

    /* Limits of the host, and parameters only where they are offered. */
    {.claim = "message_over_the_size_limit_is_permanent_and_nothing_is_said",
     .steps = {PIPELINED, {"@send", ""}},
     .size = 1001,
     .state = CLIENT_SECURED,
     UNDER_TLS,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 1,
     .status = "5.3.4",
     .answers = {PERMANENT}},
    {.claim = "8bit_content_without_8bitmime_is_permanent_and_nothing_is_said",
     .steps = {SECURED, {"@send", ""}},
     .is_8bit = true,
     .state = CLIENT_SECURED,
     UNDER_TLS,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 1,
     .status = "5.6.3",
     .answers = {PERMANENT}},
    {.claim = "limits_say_nothing_of_who_the_judge_does_not_pass",
     .steps = {GREETING, PLAIN, {"@send", ""}},
     .is_8bit = true,
     .state = CLIENT_GREETED,
     IN_CONTACT,
     .tls = GUARANTEE_TLS_NOT_OFFERED,
     .kind = GUARANTEE_NOT_OFFERED,
     .count = 1,
     .answers = {NONE}},
    {.claim = "8bitmime_and_dsn_parameters_are_said_where_offered",
     .steps = {PIPELINED,
               {"@send", MAIL_A " SIZE=1000 BODY=8BITMIME RET=HDRS ENVID=E+2B1\r\n"
                                "RCPT TO:<a@x.example> NOTIFY=SUCCESS,DELAY\r\nDATA\r\n"},
               {"250 ok\r\n250 ok\r\n354 go\r\n", MESSAGE},
               {"250 ok\r\n", ""}},
     .is_8bit = true,
     .ret = RET_HDRS,
     .notify = NOTIFY_SUCCESS | NOTIFY_DELAY,
     .size = 1000,
     .state = CLIENT_SECURED,
     UNDER_TLS,
     .kind = GUARANTEE_ACCEPTABLE,
     .count = 1,
     .answers = {DELIVERED}},

    /* Letting go. */
    {.claim = "quit_is_said_at_rest",
     .steps = {SECURED, {"@quit", "QUIT\r\n"}, {"221 bye\r\n", ""}},
     .state = CLIENT_DEAD,
     UNDER_TLS,
     .kind = GUARANTEE_ACCEPTABLE},
    {.claim = "letting_go_before_rest_aborts",
     .steps = {GREETING, {"@quit", ""}},
     .state = CLIENT_DEAD,
     .is_aborted = true,
     .contact = GUARANTEE_UNTRIED,
     .kind = GUARANTEE_NOT_YET,
     .kind_off = GUARANTEE_NOT_YET},
};

static void script_test(void **state)
{
    const struct script *script = *state;
    play(script, false);
    if (!script->whole_only)
        play(script, true);
}

/* ---- what no script shows ---- */

static void play_all(struct fake *f, const struct step *steps, size_t count)
{
    for (size_t i = 0; i < count; i++)
        play_step(f, &steps[i], false);
}

static void every_state_has_a_row(void **state)
{
    (void)state;
    unsigned count = 0;
    for (const char *name; (name = delivery_session_state_name(count)) != NULL; count++)
        assert_true(name[0] != '\0');
    assert_int_equal(count, 17);
}

static void deadlines_are_those_of_rfc_5321(void **state)
{
    (void)state;
    static const struct {
        struct step step;
        int minutes;
    } cases[] = {
        {{"@open", ""}, 5},
        {{"220 mx\r\n", EHLO}, 5},
        {{"250-mx\r\n250 STARTTLS\r\n", ""}, 0},
        {{"@starttls", "STARTTLS\r\n"}, 2},
        {{"220 go\r\n", ""}, 2},
        {{"@tls", EHLO}, 5},
        {{"250 mx\r\n", ""}, 0},
        {{"@send", MAIL_A "\r\n"}, 5},
        {{"250 ok\r\n", RCPT("a")}, 5},
        {{"250 ok\r\n", "DATA\r\n"}, 2},
        {{"354 go\r\n", "one\r\n"}, 3},
        {{"@drained", ".\r\n"}, 10},
        {{"250 ok\r\n", ""}, 0},
    };
    struct script script = {.count = 1, .content = {"one\r\n", ".\r\n"}};
    struct fake f;
    set_up(&f, &script);
    assert_int_equal(f.deadline_ms, 30000);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        play_step(&f, &cases[i].step, true);
        assert_int_equal(f.deadline_ms, cases[i].minutes ? cases[i].minutes * 60000 : -1);
    }
    assert_int_equal(f.rested, 2);
    assert_int_equal(f.sent, 1);
    assert_int_equal(delivery_session_transactions(f.session), 1);
    tear_down(&f);
}

static void evidence_of_both_ehlos_and_of_tls_is_kept(void **state)
{
    (void)state;
    static const struct step steps[] = {
        GREETING, OFFER, SHAKE, {"@tls-wrong", EHLO}, {"250-mx\r\n250 SIZE\r\n", ""}};
    struct script script = {.has_tlsa = true};
    struct fake f;
    set_up(&f, &script);
    strcpy(f.tls_facts.key_digest, "01ab");
    strcpy(f.tls_facts.certificate_digest, "02cd");
    play_all(&f, steps, COUNT_OF(steps));
    struct guarantee_host facts = delivery_session_facts(f.session);
    assert_string_equal(facts.keywords, "PIPELINING DSN STARTTLS");
    assert_string_equal(delivery_session_ehlo(f.session)->keywords, "SIZE");
    assert_string_equal(facts.protocol, "TLSv1.3");
    assert_string_equal(facts.cipher, "TLS_AES_256_GCM_SHA384");
    assert_string_equal(facts.certificate_error, "no TLSA record matches");
    assert_string_equal(facts.key_digest, "01ab");
    assert_string_equal(facts.certificate_digest, "02cd");
    assert_int_equal(facts.at, NOW);
    tear_down(&f);
}

static void offers_of_the_first_ehlo_end_with_the_handshake(void **state)
{
    (void)state;
    static const struct step steps[] = {GREETING, OFFER, TLS};
    struct script script = {.count = 0};
    struct fake f;
    set_up(&f, &script);
    play_all(&f, steps, COUNT_OF(steps));
    const struct ehlo_facts *ehlo = delivery_session_ehlo(f.session);
    assert_false(ehlo->starttls || ehlo->pipelining || ehlo->dsn);
    assert_string_equal(ehlo->keywords, "");
    tear_down(&f);
}

static void kept_connection_that_closes_under_mail_says_nothing(void **state)
{
    (void)state;
    static const struct step steps[] = {SECURED,
                                        {"@send", MAIL_A "\r\n"},
                                        {"250 ok\r\n", RCPT("a")},
                                        {"250 ok\r\n", "DATA\r\n"},
                                        {"354 go\r\n", MESSAGE},
                                        {"250 ok\r\n", ""},
                                        {"@send", MAIL_A "\r\n"}};
    static const char *const ends[] = {"@gone", "421 4.4.2 idle\r\n"};
    struct script script = {.count = 1};
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        struct fake f;
        set_up(&f, &script);
        play_all(&f, steps, COUNT_OF(steps));
        play_all(&f, &(struct step){ends[i], ""}, 1);
        assert_int_equal(f.sent, 2);
        assert_int_equal(f.recipients[0].answer, GUARANTEE_ANSWER_NONE);
        assert_int_equal(delivery_session_state(f.session), CLIENT_DEAD);
        tear_down(&f);
    }
}

static void delivery_without_dsn_is_a_relay(void **state)
{
    (void)state;
    static const char *const offers[] = {"250 mx\r\n", "250-mx\r\n250 DSN\r\n"};
    for (size_t i = 0; i < COUNT_OF(offers); i++) {
        const struct step steps[] = {GREETING,
                                     OFFER,
                                     TLS,
                                     {offers[i], ""},
                                     {"@send", MAIL_A "\r\n"},
                                     {"250 ok\r\n", RCPT("a")},
                                     {"250 ok\r\n", "DATA\r\n"},
                                     {"354 go\r\n", MESSAGE},
                                     {"250 ok\r\n", ""}};
        struct script script = {.count = 1};
        struct fake f;
        set_up(&f, &script);
        play_all(&f, steps, COUNT_OF(steps));
        assert_int_equal(f.recipients[0].is_relayed, i == 0);
        tear_down(&f);
    }
}

static void more_recipients_than_the_window_are_said_as_replies_come(void **state)
{
    (void)state;
    enum { MANY = 250 };
    static const struct step steps[] = {PIPELINED};
    struct script script = {.count = 1};
    struct fake f;
    set_up(&f, &script);
    play_all(&f, steps, COUNT_OF(steps));
    struct client_recipient *many = calloc(MANY, sizeof *many);
    for (size_t i = 0; i < MANY; i++)
        many[i] = f.recipients[0];
    f.transaction.count = MANY;
    f.transaction.recipients = many;
    buffer_clear(&f.said);
    happen(&f, "@send");
    for (size_t i = 0; i < MANY + 1; i++)
        feed(&f, SLICE("250 ok\r\n"));
    size_t lines = 0;
    for (size_t i = 0; i < f.said.len; i++)
        lines += f.said.data[i] == '\n';
    assert_int_equal(lines, MANY + 2);
    feed(&f, SLICE("354 go\r\n"));
    feed(&f, SLICE("250 ok\r\n"));
    assert_int_equal(f.sent, 1);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(many[i].answer, GUARANTEE_ANSWER_DELIVERED);
    free(many);
    tear_down(&f);
}

static void released_session_tells_nobody(void **state)
{
    (void)state;
    static const struct step in_data[] = {SECURED, {"@send", MAIL_A "\r\n"}, {"@quit", ""}};
    struct script script = {.count = 1};
    struct fake f;
    set_up(&f, &script);
    play_all(&f, in_data, COUNT_OF(in_data));
    assert_true(f.is_closed && f.is_aborted);
    assert_int_equal(f.sent, 0);
    assert_int_equal(f.rested, 2);
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest others[] = {
        cmocka_unit_test(every_state_has_a_row),
        cmocka_unit_test(deadlines_are_those_of_rfc_5321),
        cmocka_unit_test(evidence_of_both_ehlos_and_of_tls_is_kept),
        cmocka_unit_test(offers_of_the_first_ehlo_end_with_the_handshake),
        cmocka_unit_test(kept_connection_that_closes_under_mail_says_nothing),
        cmocka_unit_test(delivery_without_dsn_is_a_relay),
        cmocka_unit_test(more_recipients_than_the_window_are_said_as_replies_come),
        cmocka_unit_test(released_session_tells_nobody),
    };
    struct CMUnitTest rows[COUNT_OF(scripts)];
    for (size_t i = 0; i < COUNT_OF(scripts); i++) {
        /* cmocka's state is not const; the scripts are never written. */
        union {
            const struct script *in;
            void *out;
        } script = {.in = &scripts[i]};
        rows[i] = (struct CMUnitTest){
            .name = scripts[i].claim, .test_func = script_test, .initial_state = script.out};
    }
    int failed = cmocka_run_group_tests_name("scripts", rows, NULL, NULL);
    return failed + cmocka_run_group_tests_name("session", others, NULL, NULL);
}
