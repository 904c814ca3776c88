#include "gateway/submission/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/submission/machine.h"

/* RFC 5321 section 4.5.3.1.4 asks for 512 and more where extensions need it; RFC 4954 section 4 for
 * 12288 in AUTH. */
#define LINE_MAX ((size_t)2048)
#define AUTH_LINE_MAX ((size_t)12288)
#define OUT_MAX ((size_t)64 * 1024)
#define HANDSHAKE_MS ((int64_t)60 * 1000)
#define REFUSED_HANDSHAKE_MS ((int64_t)10 * 1000)
#define ERRORS_MAX 20
/* A mail program waits with it: long enough for a probe, short enough for a person. */
#define ASKING_MS ((int64_t)3 * 1000)

enum line_kind {
    LINE_PARTIAL, /* no end yet */
    LINE_WHOLE,
    LINE_TOO_LONG,
    LINE_BROKEN, /* a bare CR or LF, or a NUL */
};

static enum state read_command(struct session *s, struct slice *in);
static enum state read_answer(struct session *s, struct slice *in);
static void start_handshake(struct session *s);

enum wait { WAIT_NONE, WAIT_COMMAND, WAIT_DATA, WAIT_HANDSHAKE, WAIT_ASKING };

static const struct {
    const char *name;
    enum state (*read)(struct session *s, struct slice *in); /* NULL: input is held */
    void (*arrive)(struct session *s);                       /* after what was replied went out */
    enum wait wait;
} states[STATE_COUNT] = {
    [STATE_NEW] = {"new", NULL, NULL, WAIT_NONE},
    [STATE_HANDSHAKE] = {"handshake", NULL, start_handshake, WAIT_HANDSHAKE},
    [STATE_GREETED] = {"greeted", read_command, NULL, WAIT_COMMAND},
    [STATE_READY] = {"ready", read_command, NULL, WAIT_COMMAND},
    [STATE_ANSWER] = {"auth", read_answer, NULL, WAIT_COMMAND},
    [STATE_HASHING] = {"hashing", NULL, NULL, WAIT_NONE},
    [STATE_MAIL] = {"mail", read_command, NULL, WAIT_COMMAND},
    [STATE_RCPT] = {"rcpt", read_command, NULL, WAIT_COMMAND},
    [STATE_ASKING] = {"asking", NULL, NULL, WAIT_ASKING},
    [STATE_DATA] = {"data", transaction_content, NULL, WAIT_DATA},
    [STATE_BEHIND] = {"behind", NULL, NULL, WAIT_NONE},
    [STATE_COMMITTING] = {"committing", NULL, NULL, WAIT_NONE},
    [STATE_ENDED] = {"ended", NULL, NULL, WAIT_NONE},
};

/* ---- Speaking ---- */

const struct submission_settings *session_settings(const struct session *s)
{
    return s->options.settings;
}

static void flush(struct session *s)
{
    if (s->out.len > 0 && !s->is_broken)
        s->outside->send(s->options.context, buffer_slice(&s->out));
    buffer_clear(&s->out);
}

static void put_line(struct session *s, struct slice text)
{
    if (buffer_room(&s->out) < text.len + 2)
        flush(s);
    if (!buffer_append(&s->out, text) || !buffer_append_text(&s->out, "\r\n"))
        panic("session: no room for a reply line of %zu octets", text.len);
}

void session_reply_line(struct session *s, const char *format, ...)
{
    char line[AUTH_LINE_MAX];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (len < 0 || (size_t)len >= sizeof line)
        panic("session: reply line of %d octets", len);
    put_line(s, (struct slice){line, (size_t)len});
}

static void log_refused(struct session *s, const char *line)
{
    const char *to = s->transaction.refused;
    s->errors++;
    EVENT(s->options.events, EVENT_INFO, "reject", FIELD(KEY_SESSION, s->number),
          FIELD(KEY_LISTENER, s->listener->title), FIELD(KEY_CLIENT, s->peer),
          FIELD(KEY_USER, s->user), FIELD(KEY_FROM, s->transaction.mail.reverse_path.text),
          FIELD(KEY_TO, to ? to : ""), FIELD(KEY_STATE, states[s->state].name),
          FIELD(KEY_REPLY, line));
}

void reply(struct session *s, unsigned code, struct status status, const char *format, ...)
{
    char line[1024], esc[STATUS_SIZE];
    int head = snprintf(line, sizeof line, "%u %s ", code, status_text(status, esc));
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line + head, sizeof line - (size_t)head, format, arguments);
    va_end(arguments);
    put_line(s, slice_of(line));
    if (code >= 400)
        log_refused(s, line);
}

void reply_error(struct session *s, struct command_error e)
{
    reply(s, e.code, e.status, "%s", e.text);
}

enum state hang_up(struct session *s, unsigned code, struct status status, const char *text)
{
    reply(s, code, status, "%s %s", session_settings(s)->hostname, text);
    return STATE_ENDED;
}

/* ---- Moving ---- */

static int64_t wait_ms(const struct session *s, enum wait wait)
{
    switch (wait) {
    case WAIT_NONE:
        return -1;
    case WAIT_COMMAND:
        return session_settings(s)->command_timeout_ms;
    case WAIT_DATA:
        return session_settings(s)->data_timeout_ms;
    case WAIT_HANDSHAKE:
        return s->refusal.code != 0 ? REFUSED_HANDSHAKE_MS : HANDSHAKE_MS;
    case WAIT_ASKING:
        return ASKING_MS;
    }
    panic("session: wait %d", (int)wait);
}

static void log_step(const struct session *s, enum state next)
{
    const struct event_sink *events = s->options.events;
    if (next == s->state || !events || events->threshold > EVENT_DEBUG)
        return;
    EVENT(events, EVENT_DEBUG, next == STATE_ENDED ? "disconnect" : "state",
          FIELD(KEY_SESSION, s->number), FIELD(KEY_LISTENER, s->listener->title),
          FIELD(KEY_CLIENT, s->peer), FIELD(KEY_STATE, states[next].name));
}

static void leave(struct session *s)
{
    transaction_end(s);
    auth_free(s->auth);
    s->auth = NULL;
    if (s->is_counted)
        limits_disconnect(s->options.limits, &s->options.peer);
    s->is_counted = false;
    s->outside->set_deadline(s->options.context, -1);
    s->outside->finish(s->options.context, s->is_broken);
}

/* The one place that moves the session. */
static void enter(struct session *s, enum state next)
{
    if (s->state == STATE_ENDED)
        return;
    /* Nobody is left to talk to, or the daemon wants to go: what waits for an answer waits, the
     * rest ends where no transaction is open. */
    bool is_waiting = next == STATE_HASHING || next == STATE_COMMITTING;
    bool is_idle = next == STATE_GREETED || next == STATE_READY || next == STATE_ANSWER;
    if (s->is_gone && !is_waiting)
        next = STATE_ENDED;
    else if (next != STATE_ENDED && ((s->is_stopping && is_idle) || (s->is_cut && !is_waiting)))
        next = hang_up(s, 421, STATUS(4, 3, 2), "Service shuts down, try again later");
    log_step(s, next);
    s->state = next;
    /* A handshake has to read, though nothing of it is ours to see. */
    bool is_held = states[next].read == NULL && next != STATE_HANDSHAKE;
    if (next != STATE_ENDED && is_held != s->is_held) {
        s->is_held = is_held;
        s->outside->hold_input(s->options.context, is_held);
    }
    if (next == STATE_ENDED) {
        flush(s);
        leave(s);
        return;
    }
    s->outside->set_deadline(s->options.context, wait_ms(s, states[next].wait));
    if (states[next].arrive)
        states[next].arrive(s);
}

static void start_handshake(struct session *s)
{
    flush(s);
    s->outside->start_tls(s->options.context);
}

/* ---- Reading ---- */

static enum line_kind judge_line(struct slice whole, struct slice *line)
{
    if (whole.len < 2 || whole.data[whole.len - 2] != '\r')
        return LINE_BROKEN;
    *line = slice_sub(whole, 0, whole.len - 2);
    if (slice_find(*line, '\r') >= 0 || slice_find(*line, '\0') >= 0)
        return LINE_BROKEN;
    return LINE_WHOLE;
}

/* Takes one line off *in. Only CRLF ends a good one; a line that ends otherwise is taken to its LF
 * and refused, so that a client of such kind gets an answer instead of silence. */
static enum line_kind take_line(struct session *s, struct slice *in, size_t max, struct slice *line)
{
    size_t from = s->searched < in->len ? s->searched : in->len;
    ptrdiff_t found = slice_find(slice_sub(*in, from, SIZE_MAX), '\n');
    if (found < 0 && in->len <= max && !s->is_skipping) {
        s->searched = in->len;
        return LINE_PARTIAL;
    }
    s->searched = 0;
    if (found < 0) {
        s->is_skipping = true;
        *in = slice_sub(*in, in->len, 0);
        return LINE_PARTIAL;
    }
    struct slice whole = slice_sub(*in, 0, from + (size_t)found + 1);
    *in = slice_sub(*in, whole.len, SIZE_MAX);
    s->behind = in->len;
    bool is_too_long = s->is_skipping || whole.len > max;
    s->is_skipping = false;
    return is_too_long ? LINE_TOO_LONG : judge_line(whole, line);
}

static enum state too_many_errors(struct session *s, enum state next)
{
    if (s->errors < ERRORS_MAX || next == STATE_ENDED)
        return next;
    return hang_up(s, 421, STATUS(4, 7, 0), "Too many errors");
}

static enum state read_command(struct session *s, struct slice *in)
{
    if (!s->is_skipping)
        s->is_skipping_auth = slice_starts_nocase(*in, SLICE("AUTH "));
    bool is_auth = s->is_skipping_auth;
    struct slice line;
    switch (take_line(s, in, is_auth ? AUTH_LINE_MAX : LINE_MAX, &line)) {
    case LINE_PARTIAL:
        return s->state;
    case LINE_WHOLE:
        return too_many_errors(s, verb_line(s, line));
    case LINE_TOO_LONG:
        reply(s, 500, is_auth ? STATUS(5, 5, 6) : STATUS(5, 5, 2), "Line too long");
        return too_many_errors(s, s->state);
    case LINE_BROKEN:
        reply(s, 500, STATUS(5, 5, 2), "Bare CR or LF, or NUL; lines end in CRLF");
        return too_many_errors(s, s->state);
    }
    panic("session: line kind");
}

static enum state read_answer(struct session *s, struct slice *in)
{
    struct slice line;
    switch (take_line(s, in, AUTH_LINE_MAX, &line)) {
    case LINE_PARTIAL:
        return s->state;
    case LINE_WHOLE:
        return too_many_errors(s, login_answer(s, line));
    case LINE_TOO_LONG:
        return too_many_errors(s, login_too_long(s));
    case LINE_BROKEN: /* a CR or NUL is not base64 */
        return too_many_errors(s, login_answer(s, SLICE("\r")));
    }
    panic("session: line kind");
}

/* ---- Life and events ---- */

struct session *session_new(const struct session_options *o)
{
    struct session *s = xalloc(sizeof *s);
    s->options = *o;
    s->options.settings = submission_settings_ref(o->settings);
    s->outside = o->outside;
    s->listener = &o->settings->listeners[o->listener];
    snprintf(s->number, sizeof s->number, "%" PRIx64, limits_session_number(o->limits));
    net_address_unmap(&s->options.peer);
    net_address_text(&s->options.peer, s->peer);
    buffer_init(&s->out, OUT_MAX);
    transaction_init(s);
    return s;
}

void session_free(struct session *s)
{
    if (!s)
        return;
    if (s->is_counted || s->transaction.is_message_open || s->transaction.asked)
        panic("session: freed before its end");
    auth_free(s->auth);
    transaction_end(s);
    buffer_free(&s->out);
    submission_settings_unref(s->options.settings);
    free(s);
}

static bool is_trusted(const struct session *s)
{
    if (!s->listener->is_relay)
        return true;
    for (size_t i = 0; i < s->listener->trusted_count; i++)
        if (net_network_has(&s->listener->trusted[i], &s->options.peer))
            return true;
    return false;
}

static struct command_error admit(struct session *s)
{
    const struct submission_settings *settings = session_settings(s);
    if (!is_trusted(s))
        return (struct command_error){554, STATUS(5, 7, 1), "Access denied"};
    switch (limits_connect(s->options.limits, &s->options.peer, settings->connections,
                           settings->connections_per_address)) {
    case LIMITS_OK:
        s->is_counted = true;
        return (struct command_error){0};
    case LIMITS_TOTAL:
        return (struct command_error){421, STATUS(4, 7, 0), "Too many connections"};
    case LIMITS_ADDRESS:
        return (struct command_error){421, STATUS(4, 7, 0),
                                      "Too many connections from your address"};
    }
    panic("session: limits answer");
}

static enum state greet(struct session *s)
{
    if (s->refusal.code != 0)
        return hang_up(s, s->refusal.code, s->refusal.status, s->refusal.text);
    session_reply_line(s, "220 %s ESMTP", session_settings(s)->hostname);
    return STATE_GREETED;
}

void session_start(struct session *s)
{
    EVENT(s->options.events, EVENT_DEBUG, "connect", FIELD(KEY_SESSION, s->number),
          FIELD(KEY_LISTENER, s->listener->title), FIELD(KEY_CLIENT, s->peer));
    s->refusal = admit(s);
    enter(s, s->listener->tls == SUBMISSION_IMPLICIT ? STATE_HANDSHAKE : greet(s));
    flush(s);
}

/* Several commands of one batch are answered in one write (RFC 2920 section 3.2). */
void session_data(struct session *s, struct slice *in)
{
    while (states[s->state].read && in->len > 0) {
        size_t before = in->len;
        enum state next = states[s->state].read(s, in);
        if (in->len == before && next == s->state)
            break;
        enter(s, next);
    }
    flush(s);
}

void session_tls_ready(struct session *s, const struct session_tls *tls)
{
    if (s->state != STATE_HANDSHAKE)
        return;
    s->tls = *tls;
    s->has_tls = true;
    enter(s, s->listener->tls == SUBMISSION_IMPLICIT ? greet(s) : STATE_GREETED);
    flush(s);
}

void session_tls_failed(struct session *s, const char *why)
{
    if (s->state == STATE_ENDED)
        return;
    EVENT(s->options.events, EVENT_INFO, "tls-failed", FIELD(KEY_SESSION, s->number),
          FIELD(KEY_LISTENER, s->listener->title), FIELD(KEY_CLIENT, s->peer),
          FIELD(KEY_REASON, why));
    s->is_broken = true; /* no reply can be read by anybody */
    enter(s, STATE_ENDED);
}

void session_deadline(struct session *s)
{
    if (s->state == STATE_HANDSHAKE) {
        session_tls_failed(s, "timed out");
        return;
    }
    if (s->state == STATE_ASKING) {
        s->outside->cancel_rcpt(s->options.context);
        session_rcpt_answered(s, NULL); /* doubt means that it is taken */
        return;
    }
    if (states[s->state].wait == WAIT_NONE)
        return;
    enter(s, hang_up(s, 421, STATUS(4, 4, 2), "Timeout exceeded"));
}

void session_gone(struct session *s, const char *why)
{
    if (s->state == STATE_ENDED)
        return;
    if (s->state == STATE_HANDSHAKE) {
        session_tls_failed(s, *why ? why : "connection closed");
        return;
    }
    s->is_gone = true;
    s->is_broken = *why != '\0';
    /* What waits for an answer ends when it comes. */
    if (s->state != STATE_HASHING && s->state != STATE_COMMITTING)
        enter(s, STATE_ENDED);
}

void session_auth_done(struct session *s)
{
    if (s->state != STATE_HASHING)
        panic("session: no hash was asked for");
    enter(s, too_many_errors(s, login_result(s)));
    flush(s);
}

void session_drained(struct session *s, int error)
{
    if (s->state != STATE_BEHIND)
        return;
    enter(s, transaction_drained(s, error));
    flush(s);
}

void session_committed(struct session *s, int error)
{
    if (s->state != STATE_COMMITTING)
        panic("session: no commit was asked for");
    enter(s, too_many_errors(s, transaction_committed(s, error)));
    flush(s);
}

void session_rcpt_answered(struct session *s, const struct outcome *why)
{
    if (s->state != STATE_ASKING)
        panic("session: nobody was asked");
    enter(s, too_many_errors(s, recipient_answered(s, why)));
    flush(s);
}

void session_stop(struct session *s)
{
    s->is_stopping = true;
    if (s->state == STATE_HANDSHAKE) {
        s->is_broken = true; /* no reply can be said in the middle of it */
        enter(s, STATE_ENDED);
    }
    if (s->state == STATE_GREETED || s->state == STATE_READY || s->state == STATE_ANSWER)
        enter(s, s->state);
}

void session_stop_now(struct session *s)
{
    s->is_stopping = true;
    s->is_cut = true;
    s->is_broken = s->is_broken || s->state == STATE_HANDSHAKE;
    if (s->state != STATE_HASHING && s->state != STATE_COMMITTING && s->state != STATE_NEW)
        enter(s, s->state);
}
