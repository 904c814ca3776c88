/* session.h - the SMTP server session: one client, from greeting to goodbye (RFC 5321, 6409, 3207,
 * 4954, 2920).
 *
 * A state machine without I/O: events come in through the functions below, and it speaks through
 * struct session_outside. Tests and the fuzzer drive it without a socket. Loop thread only. Calling
 * one of the outside's functions that answers later (hash, message_commit, ...) never answers from
 * inside that call. */
#ifndef GATEWAY_SUBMISSION_SESSION_H
#define GATEWAY_SUBMISSION_SESSION_H

#include "gateway/submission/auth.h"
#include "gateway/submission/limits.h"
#include "mail/outcome.h"

struct session; /* opaque */

struct session_outside {
    void (*send)(void *context, struct slice bytes);
    void (*start_tls)(void *context); /* session_tls_ready() or session_tls_failed() follows */
    void (*set_deadline)(void *context, int64_t in_ms); /* replaces the last; negative: none */
    /* While held, session_data() is not called; when it ends, what was left is offered again. */
    void (*hold_input)(void *context, bool is_held);
    /* The end: what was sent goes out (or, with abort, does not), the connection closes. The last
     * call; nothing comes in any more. */
    void (*finish)(void *context, bool abort);
    /* auth_run(a) off the loop, then session_auth_done(). False: cannot. */
    bool (*hash)(void *context, struct auth *a);
    int64_t (*now_ms)(void *context); /* wall clock */

    /* The store. At most one message is open; find_account is called on other threads too. */
    int (*find_account)(void *context, const struct address *name, struct queue_account *out);
    /* 1, 0, or negative errno: it could not be found out. */
    int (*has_forward)(void *context, const char *owner, const struct address *target);
    /* As has_forward: did the administrator lift the flag of `owner` towards the recipient's
     * domain? NULL: that cannot be. */
    int (*has_exception)(void *context, const char *owner, const struct address *recipient);
    bool (*is_store_full)(void *context);
    bool (*message_begin)(void *context, uint64_t *id); /* false: the store is broken */
    int (*message_append)(void *context, struct slice content);
    /* Is the store behind? Then session_drained() follows. */
    bool (*message_is_behind)(void *context);
    /* Takes the content of *envelope; session_committed() follows. */
    void (*message_commit)(void *context, struct envelope *envelope, int64_t arrived_at_ms,
                           int64_t due_at_ms);
    void (*message_abort)(void *context);

    /* session_rcpt_answered() follows, unless cancel_rcpt() is said before. False: nobody can be
     * asked. One question at a time. */
    bool (*ask_rcpt)(void *context, const struct submission_question *question);
    void (*cancel_rcpt)(void *context);
};

struct session_tls {
    const char *protocol; /* borrowed for the life of the session */
    const char *cipher;
    bool has_binding;
    uint8_t binding[32]; /* tls-exporter (RFC 9266) */
};

struct session_options {
    struct submission_settings *settings; /* a reference is taken */
    size_t listener;                      /* index in settings->listeners */
    struct net_address peer;
    struct submission_limits *limits;      /* borrowed */
    struct auth_library *auth_library;     /* borrowed */
    const struct event_sink *events;       /* borrowed */
    const struct session_outside *outside; /* borrowed */
    void *context;
};

NODISCARD struct session *session_new(const struct session_options *o);
void session_free(struct session *s); /* after finish; NULL is fine */

/* Events. */
void session_start(struct session *s); /* once, first */
/* Takes bytes off *in; what is left is to be offered again together with what comes next. */
void session_data(struct session *s, struct slice *in);
void session_tls_ready(struct session *s, const struct session_tls *tls);
void session_tls_failed(struct session *s, const char *why);
void session_deadline(struct session *s);
void session_gone(
    struct session *s,
    const char *why); /* the client closed, or the connection broke; "" for the first */
void session_auth_done(struct session *s);
void session_drained(struct session *s, int error); /* an error: the store refused a piece */
void session_committed(struct session *s, int error);
void session_rcpt_answered(struct session *s, const struct outcome *why); /* NULL: taken */
/* The daemon stops: an idle session, or one in its handshake, ends; one in a transaction after it.
 */
void session_stop(struct session *s);
/* The grace is over: ends, but for a message being committed, whose reply is still said. */
void session_stop_now(struct session *s);

#endif
