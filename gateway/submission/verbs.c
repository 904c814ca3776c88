#include <inttypes.h>

#include "gateway/submission/machine.h"

#define BIT(state) (1U << (state))
#define IN_ANY (BIT(STATE_GREETED) | BIT(STATE_READY) | BIT(STATE_MAIL) | BIT(STATE_RCPT))

enum need {
    NEED_NOTHING = 0,
    NEED_TLS = 1,  /* where the listener demands it: 530 before */
    NEED_USER = 2, /* where the listener demands one */
    NEED_NO_ARGUMENT = 4,
};

unsigned mechanisms_offered(const struct session *s)
{
    if (s->listener->is_relay || !s->has_tls)
        return 0;
    unsigned offered = session_settings(s)->mechanisms;
    return s->tls.has_binding ? offered : offered & ~(unsigned)MECHANISM_SCRAM_SHA_256_PLUS;
}

static bool offers_starttls(const struct session *s)
{
    return !s->has_tls && s->listener->tls != SUBMISSION_IMPLICIT &&
           (session_settings(s)->tls || s->listener->tls == SUBMISSION_STARTTLS);
}

/* ---- What each verb does ---- */

/* Anything that looks like a name: clients behind NAT and without one say all sorts of things, and
 * nothing is concluded from it. */
static enum state act_hello(struct session *s, struct slice rest)
{
    if (rest.len == 0) {
        reply(s, 501, STATUS(5, 5, 4), "Syntax: EHLO hostname");
        return s->state;
    }
    transaction_end(s);
    return STATE_READY;
}

static enum state act_helo(struct session *s, struct slice rest)
{
    enum state next = act_hello(s, rest);
    if (rest.len > 0)
        session_reply_line(s, "250 %s", session_settings(s)->hostname);
    return next;
}

static enum state act_ehlo(struct session *s, struct slice rest)
{
    enum state next = act_hello(s, rest);
    if (rest.len == 0)
        return next;
    char mechanisms[128];
    auth_mechanism_list(mechanisms_offered(s), mechanisms, sizeof mechanisms);
    session_reply_line(s, "250-%s", session_settings(s)->hostname);
    session_reply_line(s, "250-PIPELINING");
    session_reply_line(s, "250-SIZE %" PRIu64, session_settings(s)->message_size);
    if (offers_starttls(s))
        session_reply_line(s, "250-STARTTLS");
    if (mechanisms[0])
        session_reply_line(s, "250-AUTH %s", mechanisms);
    session_reply_line(s, "250-ENHANCEDSTATUSCODES");
    session_reply_line(s, "250-8BITMIME");
    /* Only where it can be honoured: what came in clear was readable already (RFC 8689 section 2).
     */
    if (s->has_tls)
        session_reply_line(s, "250-REQUIRETLS");
    session_reply_line(s, "250 DSN");
    return next;
}

static enum state act_starttls(struct session *s, struct slice rest)
{
    (void)rest;
    if (s->has_tls) {
        reply(s, 503, STATUS(5, 5, 1), "TLS already active");
        return s->state;
    }
    if (!offers_starttls(s)) {
        reply(s, 502, STATUS(5, 5, 1), "STARTTLS is not offered here");
        return s->state;
    }
    if (!session_settings(s)->tls) {
        reply(s, 454, STATUS(4, 7, 0), "TLS not available due to local problem");
        return s->state;
    }
    /* A client has to wait for the 220. What stands behind STARTTLS was put there by somebody who
     * wants it to be read as if it came through TLS (CVE-2011-0411): nothing of it is looked at. */
    if (s->behind > 0) {
        EVENT(s->options.events, EVENT_WARNING, "starttls-injection", FIELD(KEY_SESSION, s->number),
              FIELD(KEY_LISTENER, s->listener->title), FIELD(KEY_CLIENT, s->peer),
              FIELD_NUMBER(KEY_SIZE, s->behind));
        return hang_up(s, 421, STATUS(4, 7, 0), "Data behind STARTTLS");
    }
    /* RFC 3207 section 4.2: what was said before is forgotten. There is no transaction here, and
     * EHLO has to be said again. */
    reply(s, 220, STATUS(2, 0, 0), "Ready to start TLS");
    return STATE_HANDSHAKE;
}

static enum state act_rset(struct session *s, struct slice rest)
{
    (void)rest;
    transaction_end(s);
    reply(s, 250, STATUS(2, 0, 0), "Ok");
    return s->state == STATE_GREETED ? STATE_GREETED : STATE_READY;
}

static enum state act_noop(struct session *s, struct slice rest)
{
    (void)rest;
    reply(s, 250, STATUS(2, 0, 0), "Ok");
    return s->state;
}

static enum state act_quit(struct session *s, struct slice rest)
{
    (void)rest;
    reply(s, 221, STATUS(2, 0, 0), "Bye");
    return STATE_ENDED;
}

static enum state act_vrfy(struct session *s, struct slice rest)
{
    (void)rest;
    reply(s, 252, STATUS(2, 5, 2), "Send some mail, and see"); /* RFC 5321 section 7.3 */
    return s->state;
}

static enum state act_help(struct session *s, struct slice rest)
{
    (void)rest;
    reply(s, 214, STATUS(2, 0, 0), "See RFC 5321 and RFC 6409");
    return s->state;
}

/* ---- The table ---- */

static const struct {
    enum state (*act)(struct session *s, struct slice rest); /* NULL: not implemented */
    unsigned allowed;                                        /* bits of states */
    unsigned needs;                                          /* enum need */
    const char *otherwise; /* said in a state that is not allowed */
} verbs[VERB_COUNT] = {
    [VERB_EHLO] = {act_ehlo, IN_ANY, NEED_NOTHING, ""},
    [VERB_HELO] = {act_helo, IN_ANY, NEED_NOTHING, ""},
    [VERB_STARTTLS] = {act_starttls, BIT(STATE_GREETED) | BIT(STATE_READY), NEED_NO_ARGUMENT,
                       "STARTTLS within a transaction"},
    [VERB_AUTH] = {login_begin, BIT(STATE_READY), NEED_TLS,
                   "Send EHLO first, then AUTH, then MAIL"},
    [VERB_MAIL] = {transaction_mail, BIT(STATE_READY), NEED_TLS | NEED_USER,
                   "Send EHLO first, then one MAIL for each message"},
    [VERB_RCPT] = {recipient_rcpt, BIT(STATE_MAIL) | BIT(STATE_RCPT), NEED_TLS | NEED_USER,
                   "Need MAIL command"},
    [VERB_DATA] = {transaction_data, BIT(STATE_MAIL) | BIT(STATE_RCPT),
                   NEED_TLS | NEED_USER | NEED_NO_ARGUMENT, "Need RCPT command"},
    [VERB_BDAT] = {NULL, 0, NEED_TLS, ""},
    [VERB_RSET] = {act_rset, IN_ANY, NEED_TLS | NEED_NO_ARGUMENT, ""},
    [VERB_NOOP] = {act_noop, IN_ANY, NEED_NOTHING, ""},
    [VERB_QUIT] = {act_quit, IN_ANY, NEED_NOTHING, ""},
    [VERB_VRFY] = {act_vrfy, IN_ANY, NEED_TLS | NEED_USER, ""},
    [VERB_EXPN] = {NULL, 0, NEED_TLS, ""},
    [VERB_HELP] = {act_help, IN_ANY, NEED_NOTHING, ""},
    [VERB_UNKNOWN] = {NULL, 0, NEED_NOTHING, ""},
};

static void refuse_without_tls(struct session *s)
{
    const char *assistance = session_settings(s)->assistance;
    if (*assistance)
        session_reply_line(s, "530-5.7.0 Must issue a STARTTLS command first");
    reply(s, 530, STATUS(5, 7, 0), "%s",
          *assistance ? assistance : "Must issue a STARTTLS command first");
}

/* A browser made to speak to us (cross-protocol attacks) gives itself away with its first line. */
static bool is_http(struct slice line)
{
    static const char *const methods[] = {"GET ", "POST ", "PUT ", "HEAD ", "CONNECT ", "OPTIONS "};
    for (size_t i = 0; i < COUNT_OF(methods); i++)
        if (slice_starts_nocase(line, slice_of(methods[i])))
            return true;
    return false;
}

enum state verb_line(struct session *s, struct slice line)
{
    struct slice rest;
    enum verb verb = command_parse(line, &rest);
    unsigned needs = verbs[verb].needs;
    bool is_relay = s->listener->is_relay;
    if (verb == VERB_UNKNOWN && is_http(line))
        return hang_up(s, 421, STATUS(4, 7, 0), "This is no web server");
    if ((needs & NEED_TLS) && !s->has_tls && s->listener->tls != SUBMISSION_OPTIONAL)
        refuse_without_tls(s);
    else if ((needs & NEED_USER) && !is_relay && !s->user[0])
        reply(s, 530, STATUS(5, 7, 0), "Authentication required");
    else if (!verbs[verb].act)
        reply(s, 502, STATUS(5, 5, 2), "Command not recognized");
    else if (!(verbs[verb].allowed & BIT(s->state)))
        reply(s, 503, STATUS(5, 5, 1), "%s", verbs[verb].otherwise);
    else if ((needs & NEED_NO_ARGUMENT) && rest.len > 0)
        reply(s, 501, STATUS(5, 5, 4), "%s takes no argument", verb_name(verb));
    else
        return verbs[verb].act(s, rest);
    return s->state;
}
