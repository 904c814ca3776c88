/* session.h - the client's side of SMTP and LMTP as a state machine. No I/O: it gets events, speaks
 * through a port, and can be driven by a test without a socket.
 *
 * It collects the facts that the judge reads, asks the judge for every recipient immediately before
 * MAIL, and fills in what became of each. Loop thread only. An event function calls rested() or
 * sent() as its very last act, so the owner may free the session from inside these. */
#ifndef GATEWAY_DELIVERY_SESSION_H
#define GATEWAY_DELIVERY_SESSION_H

#include "gateway/delivery/client.h"
#include "gateway/delivery/content.h"

struct delivery_session; /* opaque */

/* What the session speaks through. */
struct delivery_session_port {
    bool (*send)(void *context, struct slice bytes); /* copies; false: our own fault */
    /* Starts the handshake: delivery_session_secured() or _tls_failed() follows. False: our own
     * fault, *failure says why. */
    bool (*start_tls)(void *context, struct tls_failure *failure);
    void (*set_deadline)(void *context, int64_t in_ms); /* replaces the last; negative: none */
    /* Appends the next piece of the transaction's content, as delivery_content_next() does. */
    enum delivery_content_step (*content)(void *context, struct buffer *out);
    void (*wake)(void *context);              /* asks for one delivery_session_woken(), later */
    void (*close)(void *context, bool abort); /* once; only _woken() may come after it */
    void (*rested)(void *context);            /* as in struct client_handler */
    void (*sent)(void *context);
    int64_t (*now)(void *context); /* wall clock, seconds */
};

struct delivery_session_options {
    enum client_protocol protocol;
    int64_t connect_timeout_ms;
    const char *hostname;            /* all texts are borrowed until delivery_session_free() */
    struct guarantee_host host;      /* with address and port; tls as in struct client_options */
    int64_t tlsa_expires_at;         /* as in struct client_options */
    const struct event_sink *events; /* may be NULL */
    const char *number;              /* of the session, for the log */
};

/* Begins in the state "connecting", the deadline for that set. */
NODISCARD struct delivery_session *delivery_session_new(const struct delivery_session_options *o,
                                                        const struct delivery_session_port *port,
                                                        void *context);
void delivery_session_free(struct delivery_session *s); /* NULL is fine */

/* Events. */
void delivery_session_opened(struct delivery_session *s);
/* Takes all of it. */
void delivery_session_data(struct delivery_session *s, struct slice *in);
void delivery_session_drained(struct delivery_session *s);
void delivery_session_secured(struct delivery_session *s, const struct tls_facts *facts);
void delivery_session_tls_failed(struct delivery_session *s, const struct tls_failure *failure);
void delivery_session_deadline(struct delivery_session *s);
/* The connection is gone. `error` says why in words, NULL: the host closed it. */
void delivery_session_gone(struct delivery_session *s, const char *error);
void delivery_session_woken(struct delivery_session *s);

/* What the owner asks for; rested() and sent() never come from inside these. */
/* It could not even begin by a fault of our own (descriptors, memory). */
void delivery_session_our_fault(struct delivery_session *s, const char *why);
void delivery_session_start_tls(struct delivery_session *s);
void delivery_session_send(struct delivery_session *s, struct client_transaction *t);
/* The owner lets go: QUIT at rest, an abort otherwise. rested() and sent() are not called any more.
 */
void delivery_session_quit(struct delivery_session *s);

enum client_state delivery_session_state(const struct delivery_session *s);
/* As client_facts(). A TLSA match that has outlived its TTL makes the records unknown
 * (GUARANTEE_TLSA_ERROR), not mismatched: an old connection must not look like a host with a wrong
 * certificate. */
struct guarantee_host delivery_session_facts(const struct delivery_session *s);
const struct ehlo_facts *delivery_session_ehlo(const struct delivery_session *s);
unsigned delivery_session_transactions(const struct delivery_session *s);

/* Name of each state in the table, for the test that walks it; NULL beyond the last. */
const char *delivery_session_state_name(unsigned state);

#endif
