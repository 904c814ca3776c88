#include <string.h>

#include "gateway/submission/machine.h"

/* Ends the exchange: the state to return. */
static enum state drop_exchange(struct session *s)
{
    auth_free(s->auth);
    s->auth = NULL;
    return STATE_READY;
}

static int find_account(void *context, const struct address *name, struct queue_account *out)
{
    const struct session *s = context;
    return s->outside->find_account(s->options.context, name, out);
}

static enum state malformed(struct session *s, const char *text)
{
    reply(s, 501, STATUS(5, 5, 2), "%s", text);
    return drop_exchange(s);
}

static enum state trouble(struct session *s)
{
    reply(s, 454, STATUS(4, 7, 0), "Temporary authentication failure");
    return drop_exchange(s);
}

/* Feeds an answer (NULL: none yet) and takes the next step, here or off the loop. */
static enum state advance(struct session *s, const struct slice *answer)
{
    if (!auth_feed(s->auth, answer))
        return malformed(s, "Not base64");
    if (!auth_is_slow(s->auth)) {
        auth_run(s->auth);
        return login_result(s);
    }
    return s->outside->hash(s->options.context, s->auth) ? STATE_HASHING : trouble(s);
}

static bool is_blocked(struct session *s)
{
    return limits_auth_is_blocked(s->options.limits, &s->options.peer,
                                  session_settings(s)->auth_failures_per_address,
                                  s->outside->now_ms(s->options.context));
}

/* "MECHANISM [initial-response]" (RFC 4954 section 4); "=" is an empty initial response. */
enum state login_begin(struct session *s, struct slice rest)
{
    unsigned offered = mechanisms_offered(s);
    struct slice name;
    enum submission_mechanism mechanism;
    if (offered == 0 || s->user[0]) {
        reply(s, 503, STATUS(5, 5, 1),
              s->user[0] ? "Already authenticated" : "AUTH is not offered here");
        return s->state;
    }
    if (!slice_cut(&rest, ' ', &name) || name.len == 0) {
        reply(s, 501, STATUS(5, 5, 4), "Syntax: AUTH mechanism");
        return s->state;
    }
    if (is_blocked(s))
        return hang_up(s, 421, STATUS(4, 7, 0), "Too many failed logins from your address");
    if (!auth_mechanism_find(name, offered, &mechanism)) {
        reply(s, 504, STATUS(5, 5, 4), "Unrecognized authentication type");
        return s->state;
    }
    struct auth_directory directory = {find_account, s};
    /* Without the offer a "y" tells the truth. */
    bool offers_binding = offered & MECHANISM_SCRAM_SHA_256_PLUS;
    s->auth = auth_begin(s->options.auth_library, mechanism, offers_binding ? s->tls.binding : NULL,
                         &directory);
    if (!s->auth)
        return trouble(s);
    rest = slice_trim(rest);
    struct slice initial = slice_equal(rest, SLICE("=")) ? SLICE("") : rest;
    return advance(s, rest.len > 0 ? &initial : NULL);
}

enum state login_answer(struct session *s, struct slice line)
{
    if (slice_equal(line, SLICE("*"))) {
        reply(s, 501, STATUS(5, 7, 0), "Authentication aborted");
        return drop_exchange(s);
    }
    return advance(s, &line);
}

enum state login_too_long(struct session *s)
{
    reply(s, 500, STATUS(5, 5, 6), "Authentication exchange line is too long");
    return drop_exchange(s);
}

static enum state succeeded(struct session *s)
{
    if (!slice_copy(slice_of(auth_user(s->auth)), s->user, sizeof s->user) || !s->user[0])
        panic("session: a user without an address");
    EVENT(s->options.events, EVENT_INFO, "auth", FIELD(KEY_SESSION, s->number),
          FIELD(KEY_LISTENER, s->listener->title), FIELD(KEY_CLIENT, s->peer),
          FIELD(KEY_USER, s->user),
          FIELD(KEY_MECHANISM, auth_mechanism_name(auth_mechanism(s->auth))),
          FIELD(KEY_TLS, s->tls.protocol), FIELD(KEY_CIPHER, s->tls.cipher));
    reply(s, 235, STATUS(2, 7, 0), "Authentication successful");
    return drop_exchange(s);
}

static enum state failed(struct session *s)
{
    limits_auth_failed(s->options.limits, &s->options.peer,
                       session_settings(s)->auth_failures_per_address,
                       s->outside->now_ms(s->options.context));
    /* A name that is no user may be a password in the wrong field: it stays out of the log. */
    EVENT(s->options.events, EVENT_WARNING, "auth-failed", FIELD(KEY_SESSION, s->number),
          FIELD(KEY_LISTENER, s->listener->title), FIELD(KEY_CLIENT, s->peer),
          FIELD(KEY_USER, auth_known_user(s->auth)),
          FIELD(KEY_MECHANISM, auth_mechanism_name(auth_mechanism(s->auth))));
    reply(s, 535, STATUS(5, 7, 8), "Authentication credentials invalid");
    return drop_exchange(s);
}

enum state login_result(struct session *s)
{
    switch (auth_result(s->auth)) {
    case AUTH_MORE: {
        struct slice challenge = auth_challenge(s->auth);
        session_reply_line(s, "334 %.*s", SLICE_ARG(challenge));
        return STATE_ANSWER;
    }
    case AUTH_OK:
        return succeeded(s);
    case AUTH_WRONG:
        return failed(s);
    case AUTH_MALFORMED:
        return malformed(s, "Malformed authentication exchange");
    case AUTH_TROUBLE:
        return trouble(s);
    }
    panic("session: auth result");
}
