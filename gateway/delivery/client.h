/* client.h - one SMTP or LMTP connection to one address of one host (RFC 5321, 2033, 3207, 2920,
 * 1870, 6152, 3461).
 *
 * Loop thread only. The client connects, says EHLO, starts TLS when told, and carries one
 * transaction at a time; it keeps the facts that the judge reads. It decides nothing about the
 * guarantee, and cannot be talked past it: client_send() asks guarantee_judge() itself, with the
 * facts of this very connection, for every recipient, immediately before MAIL. */
#ifndef GATEWAY_DELIVERY_CLIENT_H
#define GATEWAY_DELIVERY_CLIENT_H

#include "gateway/guarantee/judge.h"
#include "gateway/tls/stream.h"
#include "mail/event.h"
#include "mail/reply.h"
#include "queue/message.h"

enum client_protocol { CLIENT_SMTP, CLIENT_LMTP };

struct client_options {
    struct loop *loop;               /* borrowed */
    const struct event_sink *events; /* borrowed; may be NULL */
    struct net_address to;           /* with port; or a Unix socket */
    struct net_address source;       /* family NET_NONE: any */
    enum client_protocol protocol;
    const char *hostname; /* for EHLO / LHLO; copied */
    int64_t connect_timeout_ms;
    struct tls_context *tls; /* referenced */
    /* Texts and records are copied. pkix_names[0] is the next-hop domain, [1] the host's own name
     * where it is authentic; either may be NULL. */
    struct tls_client_options tls_options;
    /* What is known of the host before connecting: name, preference, is_name_secure, is_literal,
     * is_local_route, tlsa. Texts are copied. tls is UNTRIED; or, on the new connection after a
     * handshake that FAILED or was CUT, that fact with its cause: then it stays so, STARTTLS is not
     * said again, and the connection is marked clear for its whole life. */
    struct guarantee_host host;
    int64_t tlsa_expires_at; /* wall clock seconds; a match counts until then (0: no TLSA) */
};

enum client_state {
    CLIENT_CONNECTING, /* up to the first EHLO reply */
    CLIENT_GREETED,  /* at rest in clear: EHLO accepted; facts tell whether STARTTLS is offered, was
                        tried, was refused */
    CLIENT_SECURING, /* STARTTLS said, up to the EHLO reply under TLS */
    CLIENT_SECURED,  /* at rest under TLS */
    CLIENT_BUSY,     /* in a transaction */
    CLIENT_DEAD,     /* the connection is over, facts say why; nothing but client_free() */
};

struct client;
struct client_handler {
    /* The state is at rest (GREETED, SECURED) or DEAD. Not called for the end of a transaction.
     * Also called when a resting connection dies. */
    void (*rested)(void *context, struct client *c);
    /* The transaction is over: every recipient's answer is filled in. The state is GREETED, SECURED
     * or DEAD by then. */
    void (*sent)(void *context, struct client *c);
};

NODISCARD struct client *client_new(const struct client_options *o,
                                    const struct client_handler *handler, void *context);
void client_set_handler(struct client *c, const struct client_handler *handler,
                        void *context); /* a reused connection changes hands */
enum client_state client_state(const struct client *c);
/* The facts of this connection, as the judge wants them (answer NONE; TEMPORARY with its reply
 * where EHLO under TLS was refused or never answered). A TLSA match that has outlived its TTL is no
 * match any more, and the records are unknown from then on (tlsa ERROR). */
struct guarantee_host client_facts(const struct client *c);
const struct tls_facts *client_tls(const struct client *c);   /* NULL: no TLS, or none any more */
const struct ehlo_facts *client_ehlo(const struct client *c); /* of the last EHLO */
unsigned client_transactions(const struct client *c);         /* carried so far */
const struct net_address *client_address(const struct client *c);
/* Our end of the connection; NET_NONE where there was none, or is none any more. */
struct net_address client_local(const struct client *c);

/* Says STARTTLS; only in GREETED with STARTTLS offered and not tried yet (a bug of ours otherwise).
 */
void client_start_tls(struct client *c);

struct client_recipient {
    const char *address; /* borrowed until `sent` */
    const char *orcpt;
    unsigned notify;
    struct guarantee_requirement requirement;
    /* Filled in: */
    struct guarantee_verdict verdict; /* what the judge said before MAIL */
    enum guarantee_answer answer; /* NONE: the judge did not pass it, or the connection died before
                                     anything was said for it */
    struct outcome reply;
    bool is_relayed; /* delivered to a host that does not offer DSN */
};
struct client_transaction {
    struct queue *queue; /* content is read from it in pieces while it is sent */
    uint64_t id;
    const char *reverse_path;
    const char *envid;
    enum ret ret;
    uint64_t size;
    bool content_8bit;
    size_t count;
    struct client_recipient *recipients; /* borrowed, filled in, until `sent` */
};
/* Only at rest. Recipients the judge does not pass are left out; when none is left, or the host's
 * SIZE or missing 8BITMIME (content_8bit) rules the message out (PERMANENT 5.3.4, 5.6.3), nothing
 * is said on the wire. `sent` comes later, never from inside this call. */
void client_send(struct client *c, struct client_transaction *t);

/* QUIT where polite, then closes by itself; the client is gone for the caller at once and calls
 * nothing any more. In a transaction: aborted. */
void client_free(struct client *c);

#endif
