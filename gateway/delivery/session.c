/* The legal moves; besides, a loss leads from everywhere to DEAD, and QUIT from every state at
 * rest:
 *
 *   CONNECTING -> GREETING -> EHLO ------> GREETED <-> STARTTLS (454, 5xx: back)
 *                               \> HELO ---^             \> HANDSHAKE -> EHLO_AGAIN -> SECURED
 *
 *   at rest (GREETED or SECURED)
 *      -> PASSED_OVER (nothing to say) -------------------> at rest
 *      -> ENVELOPE -> CONTENT -> END_OF_DATA -------------> at rest
 *            |   \-> LONE_DOT --\     \-> RESET (not 250) -> at rest
 *            \------------------> RESET ------------------> at rest
 *
 * What a loss means for the recipients of the transaction: ENVELOPE and CONTENT temporary;
 * END_OF_DATA undecided; in the others every answer has been read. Before any transaction it is a
 * fact about the host: unreachable up to GREETED, TLS cut in STARTTLS and HANDSHAKE, and under TLS
 * a connection that was fine and then lost. */
#include "gateway/delivery/step.h"

#include <stdio.h>
#include <stdlib.h>

#define SECONDS(n) ((int64_t)(n)*1000)
#define MINUTES(n) SECONDS((n)*60)
#define FROM_OPTIONS INT64_MAX

struct row {
    const char *name;
    const char *doing; /* completes "timed out while ..." */
    enum client_state seen_as;
    /* Both return the next state; the same state means: stay, the deadline begins anew. */
    enum state (*on_enter)(struct delivery_session *s);
    enum state (*on_reply)(struct delivery_session *s,
                           const struct reply *r); /* NULL: none awaited */
    void (*on_loss)(struct delivery_session *s, enum loss loss, const struct outcome *why);
    int64_t wait_ms; /* 0: no deadline */
};
static const struct row rows[STATE_COUNT];

/* The first awaited step of the envelope, in words. */
const char *step_doing(const struct delivery_session *s)
{
    if (s->state != STATE_ENVELOPE)
        return rows[s->state].doing;
    if (s->heard == 0)
        return "waiting for the reply to MAIL";
    return s->heard <= s->party_count ? "waiting for the reply to RCPT"
                                      : "waiting for the reply to DATA";
}

/* ---- the end of a connection ---- */

static enum state lose(struct delivery_session *s, enum loss loss, struct outcome why)
{
    why = step_at_host(s, why);
    if (loss == LOSS_NONSENSE)
        s->must_abort = true;
    if (s->state == STATE_CONNECTING)
        s->facts.at = s->port->now(s->context);
    rows[s->state].on_loss(s, loss, &why);
    return STATE_DEAD;
}

/* Never counts against the host, and nobody gets an answer by it; but once the end of data is out,
 * whose fault it was does not matter any more. */
enum state step_fail_ourselves(struct delivery_session *s, const char *why)
{
    struct outcome o = step_at_host(s, outcome_local(status_make(4, 3, 0), "%s", why));
    if (s->state >= STATE_END_OF_DATA)
        rows[s->state].on_loss(s, LOSS_GONE, &o);
    else
        s->facts.contact = GUARANTEE_OUR_FAULT;
    step_set_cause(s, &o);
    s->must_abort = true;
    return STATE_DEAD;
}

/* ---- rest ---- */

enum state step_rest(const struct delivery_session *s)
{
    return s->is_secure ? STATE_SECURED : STATE_GREETED;
}

static void end_transaction(struct delivery_session *s)
{
    if (s->said > 0)
        s->transactions++;
    s->t = NULL;
    free(s->parties);
    s->parties = NULL;
    s->party_count = 0;
    buffer_free(&s->out); /* a resting connection holds no piece of the last message */
    s->pending = SENT;
}

static enum state be_at_rest(struct delivery_session *s)
{
    if (s->t)
        end_transaction(s);
    else if (s->pending == NOTHING)
        s->pending = RESTED;
    return s->state;
}

static enum state be_dead(struct delivery_session *s)
{
    (void)be_at_rest(s);
    if (s->is_polite && !s->must_abort)
        (void)s->port->send(s->context, SLICE("QUIT\r\n"));
    s->port->close(s->context, s->must_abort);
    return STATE_DEAD;
}

static enum state ask_to_be_woken(struct delivery_session *s)
{
    s->port->wake(s->context);
    return STATE_PASSED_OVER;
}

static enum state say_quit(struct delivery_session *s)
{
    return step_say(s, "QUIT", "");
}

static enum state quit_reply(struct delivery_session *s, const struct reply *r)
{
    (void)s;
    (void)r;
    return STATE_DEAD;
}

/* ---- the machine ---- */

static const struct row rows[STATE_COUNT] = {
    /* Waits: RFC 5321 section 4.5.3.2. */
    [STATE_CONNECTING] = {"connecting", "connecting", CLIENT_CONNECTING, NULL, NULL,
                          loss_before_tls, FROM_OPTIONS},
    [STATE_GREETING] = {"greeting", "waiting for the greeting", CLIENT_CONNECTING, NULL,
                        greet_greeting_reply, loss_before_tls, MINUTES(5)},
    [STATE_EHLO] = {"ehlo", "waiting for the reply to EHLO", CLIENT_CONNECTING, greet_say_ehlo,
                    greet_ehlo_reply, loss_before_tls, MINUTES(5)},
    [STATE_HELO] = {"helo", "waiting for the reply to HELO", CLIENT_CONNECTING, greet_say_helo,
                    greet_helo_reply, loss_before_tls, MINUTES(5)},
    [STATE_GREETED] = {"greeted", "at rest", CLIENT_GREETED, be_at_rest, NULL, loss_at_rest, 0},
    [STATE_STARTTLS] = {"starttls", "waiting for the reply to STARTTLS", CLIENT_SECURING,
                        greet_say_starttls, greet_starttls_reply, loss_in_starttls, MINUTES(2)},
    [STATE_HANDSHAKE] = {"handshake", "shaking hands for TLS", CLIENT_SECURING,
                         greet_start_handshake, NULL, loss_in_starttls, MINUTES(2)},
    [STATE_EHLO_AGAIN] = {"ehlo-again", "waiting for the reply to EHLO under TLS", CLIENT_SECURING,
                          greet_say_ehlo, greet_ehlo_again_reply, loss_before_ehlo_again,
                          MINUTES(5)},
    [STATE_SECURED] = {"secured", "at rest", CLIENT_SECURED, be_at_rest, NULL, loss_at_rest, 0},
    [STATE_PASSED_OVER] = {"passed-over", "at rest", CLIENT_BUSY, ask_to_be_woken, NULL,
                           loss_at_rest, 0},
    /* DATA has 2 minutes of its own; the loop clock starts anew with every reply. */
    [STATE_ENVELOPE] = {"envelope", NULL, CLIENT_BUSY, transfer_say_envelope,
                        transfer_envelope_reply, loss_before_end_of_data, MINUTES(5)},
    [STATE_CONTENT] = {"content", "sending the message", CLIENT_BUSY, transfer_send_content,
                       transfer_early_reply, loss_before_end_of_data, MINUTES(3)},
    [STATE_END_OF_DATA] = {"end-of-data", "waiting for the reply to the end of data", CLIENT_BUSY,
                           NULL, transfer_end_of_data_reply, loss_after_end_of_data, MINUTES(10)},
    [STATE_LONE_DOT] = {"lone-dot", "waiting for the reply to the end of data", CLIENT_BUSY,
                        transfer_say_lone_dot, transfer_lone_dot_reply, loss_later, MINUTES(2)},
    /* Every answer is known by now and waits for this: not for long. */
    [STATE_RESET] = {"reset", "waiting for the reply to RSET", CLIENT_BUSY, transfer_say_rset,
                     transfer_rset_reply, loss_later, SECONDS(20)},
    [STATE_QUIT] = {"quit", "waiting for the reply to QUIT", CLIENT_DEAD, say_quit, quit_reply,
                    loss_later, SECONDS(5)},
    [STATE_DEAD] = {"dead", "dead", CLIENT_DEAD, be_dead, NULL, NULL, 0},
};

static int64_t wait_ms(const struct delivery_session *s)
{
    int64_t wait = rows[s->state].wait_ms;
    if (wait == FROM_OPTIONS)
        return s->o.connect_timeout_ms;
    if (s->state == STATE_ENVELOPE && s->heard == s->party_count + 1)
        return MINUTES(2);
    return wait > 0 ? wait : -1;
}

/* The one place that writes the state. */
static void enter(struct delivery_session *s, enum state next)
{
    do {
        if (next != s->state)
            EVENT(s->o.events, EVENT_DEBUG, "delivery-state", FIELD(KEY_SESSION, s->o.number),
                  FIELD(KEY_RELAY, s->facts.name), FIELD(KEY_STATE, rows[next].name));
        s->state = next;
        if (s->state != STATE_DEAD)
            s->port->set_deadline(s->context, wait_ms(s));
        next = rows[s->state].on_enter ? rows[s->state].on_enter(s) : s->state;
    } while (next != s->state);
}

/* Tells the owner. Nothing of the session may be touched afterwards: the owner may have freed it.
 */
static void tell(struct delivery_session *s)
{
    if (s->pending == NOTHING || s->is_disowned)
        return;
    if (s->is_in_request) {
        s->port->wake(s->context);
        return;
    }
    bool is_sent = s->pending == SENT;
    s->pending = NOTHING;
    if (is_sent)
        s->port->sent(s->context);
    else
        s->port->rested(s->context);
}

static void move(struct delivery_session *s, enum state next)
{
    enter(s, next);
    tell(s);
}

/* How many replies the host owes us. */
static size_t awaited(const struct delivery_session *s)
{
    if (s->state == STATE_ENVELOPE)
        return s->said - s->heard;
    if (s->state == STATE_END_OF_DATA && s->o.protocol == CLIENT_LMTP) {
        size_t count = 0;
        for (size_t i = s->data_heard; i < s->party_count; i++)
            count += s->parties[i].is_accepted;
        return count;
    }
    return rows[s->state].on_reply ? 1 : 0;
}

static void log_reply(const struct delivery_session *s, const struct reply *r)
{
    if (!s->o.events || s->o.events->threshold > EVENT_DEBUG)
        return;
    char text[160];
    struct slice first = reply_line(r, 0);
    if (first.len > 120)
        first.len = 120;
    snprintf(text, sizeof text, "%u %.*s", r->code, SLICE_ARG(first));
    EVENT(s->o.events, EVENT_DEBUG, "delivery-reply", FIELD(KEY_SESSION, s->o.number),
          FIELD(KEY_RELAY, s->facts.name), FIELD(KEY_STATE, rows[s->state].name),
          FIELD(KEY_REPLY, text));
}

static struct outcome nonsense(const struct delivery_session *s, const char *what)
{
    return outcome_local(status_make(4, 5, 0), "%s while %s", what, step_doing(s));
}

/* Reads one reply off *in. */
static void hear(struct delivery_session *s, struct slice *in)
{
    char what[120];
    switch (reply_parser_feed(&s->parser, in)) {
    case REPLY_MORE:
        return;
    case REPLY_INVALID:
        snprintf(what, sizeof what, "no valid SMTP reply (%s)", s->parser.error);
        enter(s, lose(s, LOSS_NONSENSE, nonsense(s, what)));
        return;
    case REPLY_COMPLETE:
        s->behind = in->len;
        log_reply(s, &s->parser.reply);
        enter(s, rows[s->state].on_reply(s, &s->parser.reply));
        return;
    }
}

/* ---- events ---- */

void delivery_session_opened(struct delivery_session *s)
{
    if (s->state == STATE_CONNECTING)
        move(s, STATE_GREETING);
}

void delivery_session_data(struct delivery_session *s, struct slice *in)
{
    /* What is in this input was sent before the host can have read what we say to it, so it can
     * hold no more replies than were awaited when it came. */
    size_t due = awaited(s);
    if (in->len > 0)
        s->facts.at = s->port->now(s->context);
    while (in->len > 0 && s->state != STATE_DEAD) {
        if (due == 0) {
            enter(s, lose(s, LOSS_NONSENSE, nonsense(s, "the host spoke unasked")));
            break;
        }
        hear(s, in);
        due--; /* an incomplete reply has taken all of the input */
    }
    *in = slice_sub(*in, in->len, 0);
    tell(s);
}

void delivery_session_drained(struct delivery_session *s)
{
    if (s->state == STATE_CONTENT)
        move(s, STATE_CONTENT);
}

static void set_certificate_facts(struct delivery_session *s, const struct tls_facts *t)
{
    const char *error = "";
    switch (t->dane) {
    case TLS_DANE_MATCHED:
        s->facts.is_dane_matched = true;
        break;
    case TLS_DANE_NONE_USABLE:
        s->facts.tlsa = GUARANTEE_TLSA_UNUSABLE; /* RFC 7671 section 10: OpenSSL's word counts */
        error = t->pkix_error;
        break;
    case TLS_DANE_MISMATCHED:
        error = t->dane_error;
        break;
    case TLS_DANE_NOT_ASKED:
        error = t->pkix_error;
        break;
    }
    s->facts.is_pkix_valid = t->is_pkix_valid;
    s->facts.is_pkix_for_domain = t->has_pkix_name[0];
    s->facts.is_pkix_for_host = t->has_pkix_name[1];
    snprintf(s->key_digest, sizeof s->key_digest, "%s", t->key_digest);
    snprintf(s->certificate_digest, sizeof s->certificate_digest, "%s", t->certificate_digest);
    snprintf(s->certificate_error, sizeof s->certificate_error, "%s",
             t->is_pkix_valid && t->dane != TLS_DANE_MISMATCHED ? "" : error);
}

void delivery_session_secured(struct delivery_session *s, const struct tls_facts *facts)
{
    if (s->state != STATE_HANDSHAKE)
        panic("TLS was established in state %s", rows[s->state].name);
    /* Everything learnt before TLS is forgotten (RFC 3207 section 4.2). */
    s->ehlo = (struct ehlo_facts){.starttls = false};
    reply_parser_free(&s->parser);
    reply_parser_init(&s->parser);
    s->is_secure = true;
    s->facts.tls = GUARANTEE_TLS_ESTABLISHED;
    s->facts.at = s->port->now(s->context);
    snprintf(s->protocol, sizeof s->protocol, "%s", facts->protocol);
    snprintf(s->cipher, sizeof s->cipher, "%s", facts->cipher);
    set_certificate_facts(s, facts);
    move(s, STATE_EHLO_AGAIN);
}

void delivery_session_tls_failed(struct delivery_session *s, const struct tls_failure *failure)
{
    const char *text = failure->text[0] ? failure->text : "no cause was given";
    if (s->state == STATE_DEAD)
        return;
    if (failure->kind == TLS_FAILURE_OURS) {
        move(s, step_fail_ourselves(s, text));
        return;
    }
    if (s->state != STATE_HANDSHAKE || failure->kind == TLS_FAILURE_CUT) {
        move(s, lose(s, LOSS_GONE,
                     outcome_local(status_make(4, 4, 2), "%s while %s", text, step_doing(s))));
        return;
    }
    struct outcome why = step_at_host(s, outcome_local(status_make(4, 7, 5), "%s", text));
    s->facts.tls = GUARANTEE_TLS_FAILED;
    s->facts.at = s->port->now(s->context);
    step_set_cause(s, &why);
    move(s, STATE_DEAD);
}

void delivery_session_deadline(struct delivery_session *s)
{
    if (s->state == STATE_DEAD)
        return;
    struct status status = status_make(4, 4, s->state == STATE_CONNECTING ? 1 : 2);
    s->must_abort = s->state != STATE_QUIT;
    move(s, lose(s, LOSS_GONE, outcome_local(status, "timed out while %s", step_doing(s))));
}

void delivery_session_gone(struct delivery_session *s, const char *error)
{
    if (s->state == STATE_DEAD)
        return;
    struct outcome why;
    if (s->state == STATE_CONNECTING)
        why =
            outcome_local(status_make(4, 4, 1), "%s", error ? error : "the connection was closed");
    else
        why = outcome_local(status_make(4, 4, 2), "%s while %s",
                            error ? error : "the host closed the connection", step_doing(s));
    move(s, lose(s, LOSS_GONE, why));
}

void delivery_session_woken(struct delivery_session *s)
{
    if (s->state == STATE_PASSED_OVER)
        enter(s, step_rest(s));
    tell(s);
}

/* ---- what the owner asks for ---- */

/* Runs on behalf of the owner, who hears of the result later. */
static void move_for_owner(struct delivery_session *s, enum state next)
{
    s->is_in_request = true;
    enter(s, next);
    tell(s);
    s->is_in_request = false;
}

void delivery_session_our_fault(struct delivery_session *s, const char *why)
{
    if (s->state != STATE_DEAD)
        move_for_owner(s, step_fail_ourselves(s, why));
}

void delivery_session_start_tls(struct delivery_session *s)
{
    if (s->state != STATE_GREETED || s->facts.tls != GUARANTEE_TLS_UNTRIED || !s->ehlo.starttls)
        panic("STARTTLS in state %s", rows[s->state].name);
    move_for_owner(s, STATE_STARTTLS);
}

/* Will this host not take such a message at all, by what its EHLO says? */
static bool is_ruled_out(const struct delivery_session *s, struct outcome *why)
{
    const struct client_transaction *t = s->t;
    if (s->ehlo.size && s->ehlo.size_limit > 0 && t->size > s->ehlo.size_limit)
        *why = outcome_local(status_make(5, 3, 4),
                             "the message is too large: %llu octets, the host takes %llu",
                             (unsigned long long)t->size, (unsigned long long)s->ehlo.size_limit);
    else if (t->content_8bit && !s->ehlo.eightbitmime)
        *why = outcome_local(status_make(5, 6, 3),
                             "the message has 8-bit content, and the host does not offer 8BITMIME");
    else
        return false;
    *why = step_at_host(s, *why);
    return true;
}

/* The judge has the word, and it is asked about this very connection. What it passes is looked at
 * once more: mail that demands TLS on a connection without it would be the one thing that must not
 * happen. */
static bool is_passed(const struct delivery_session *s, struct client_recipient *r,
                      const struct guarantee_host *facts)
{
    r->verdict = guarantee_judge(&r->requirement, facts);
    if (r->verdict.kind != GUARANTEE_ACCEPTABLE)
        return false;
    bool is_really_secure = s->is_secure && facts->tls == GUARANTEE_TLS_ESTABLISHED;
    if (guarantee_demands_tls(&r->requirement) && !is_really_secure && !facts->is_local_route)
        panic("a recipient that demands TLS was passed on a connection in clear");
    return true;
}

static void gather_parties(struct delivery_session *s)
{
    struct client_transaction *t = s->t;
    struct guarantee_host facts = delivery_session_facts(s);
    s->parties = xalloc((t->count + 1) * sizeof *s->parties);
    s->party_count = 0;
    s->needs_requiretls = false;
    for (size_t i = 0; i < t->count; i++) {
        struct client_recipient *r = &t->recipients[i];
        r->answer = GUARANTEE_ANSWER_NONE;
        r->is_relayed = false;
        if (!is_passed(s, r, &facts))
            continue;
        s->parties[s->party_count++] = (struct party){.recipient = r};
        s->needs_requiretls |= r->requirement.requiretls;
    }
}

void delivery_session_send(struct delivery_session *s, struct client_transaction *t)
{
    struct outcome why;
    if (s->state != STATE_GREETED && s->state != STATE_SECURED)
        panic("a transaction in state %s", rows[s->state].name);
    s->t = t;
    s->said = s->heard = s->data_heard = s->accepted_count = 0;
    s->is_mail_refused = s->is_closing = false;
    gather_parties(s);
    if (is_ruled_out(s, &why)) {
        step_answer_all(s, GUARANTEE_ANSWER_PERMANENT, &why);
        s->party_count = 0;
    }
    move_for_owner(s, s->party_count > 0 ? STATE_ENVELOPE : STATE_PASSED_OVER);
}

void delivery_session_quit(struct delivery_session *s)
{
    s->is_disowned = true;
    if (s->state == STATE_DEAD)
        return;
    bool is_at_rest =
        s->state == STATE_GREETED || s->state == STATE_SECURED || s->state == STATE_PASSED_OVER;
    s->t = NULL; /* the owner's: it may be gone when the next event comes */
    s->party_count = 0;
    s->must_abort = !is_at_rest;
    move_for_owner(s, is_at_rest ? STATE_QUIT : STATE_DEAD);
}

/* ---- looks ---- */

enum client_state delivery_session_state(const struct delivery_session *s)
{
    return rows[s->state].seen_as;
}

struct guarantee_host delivery_session_facts(const struct delivery_session *s)
{
    struct guarantee_host facts = s->facts;
    if (facts.is_dane_matched && s->o.tlsa_expires_at > 0 &&
        s->port->now(s->context) > s->o.tlsa_expires_at) {
        facts.is_dane_matched = false;
        facts.tlsa = GUARANTEE_TLSA_ERROR;
    }
    return facts;
}

const struct ehlo_facts *delivery_session_ehlo(const struct delivery_session *s)
{
    return &s->ehlo;
}

unsigned delivery_session_transactions(const struct delivery_session *s)
{
    return s->transactions;
}

const char *delivery_session_state_name(unsigned state)
{
    return state < STATE_COUNT ? rows[state].name : NULL;
}

struct delivery_session *delivery_session_new(const struct delivery_session_options *o,
                                              const struct delivery_session_port *port,
                                              void *context)
{
    bool is_marked_clear = o->host.tls == GUARANTEE_TLS_FAILED || o->host.tls == GUARANTEE_TLS_CUT;
    if (o->host.tls != GUARANTEE_TLS_UNTRIED && !is_marked_clear)
        panic("a session begins with TLS fact %d", (int)o->host.tls);
    struct delivery_session *s = xalloc(sizeof *s);
    *s = (struct delivery_session){.o = *o, .port = port, .context = context, .facts = o->host};
    reply_parser_init(&s->parser);
    buffer_init(&s->out, SAY_MAX);
    s->facts.keywords = s->keywords;
    s->facts.protocol = s->protocol;
    s->facts.cipher = s->cipher;
    s->facts.certificate_error = s->certificate_error;
    s->facts.key_digest = s->key_digest;
    s->facts.certificate_digest = s->certificate_digest;
    s->facts.contact = GUARANTEE_UNTRIED;
    s->facts.is_dane_matched = s->facts.is_pkix_valid = false;
    s->facts.is_pkix_for_domain = s->facts.is_pkix_for_host = false;
    s->facts.offers_requiretls = false;
    s->facts.answer = GUARANTEE_ANSWER_NONE;
    s->facts.at = port->now(context);
    enter(s, STATE_CONNECTING);
    return s;
}

void delivery_session_free(struct delivery_session *s)
{
    if (!s)
        return;
    reply_parser_free(&s->parser);
    buffer_free(&s->out);
    free(s->parties);
    free(s);
}
