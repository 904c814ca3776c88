/* stream.h - one connection with TLS on it or not yet: the only way sessions talk to the network.
 *
 * Wraps a conn (gateway/net) and, after stream_start_tls(), an SSL on memory BIOs. Loop thread
 * only. Plaintext flows only after the handshake and after the certificate has been looked at:
 * `secured` comes first. Lifetime as conn: one stream_close(), from within any callback or outside;
 * `closed` is last. No callback comes from inside a call of this header. A NULL member of the
 * handler is skipped (data: all taken).
 *
 * The end: `ended` comes at most once, and not after tls_failed. 0 is close_notify or a TCP end
 * without one, which many SMTP peers do after QUIT: SMTP has its own ends, so a cut shows as a
 * reply or data that is not complete. -EPROTO is an alert or garbage after the handshake,
 * stream_error_text() says which. */
#ifndef GATEWAY_TLS_STREAM_H
#define GATEWAY_TLS_STREAM_H

#include "gateway/net/conn.h"
#include "gateway/tls/context.h"

struct stream; /* opaque */

enum tls_dane_result {
    TLS_DANE_NOT_ASKED,
    TLS_DANE_MATCHED,
    TLS_DANE_MISMATCHED,
    TLS_DANE_NONE_USABLE, /* records were given, OpenSSL could use none */
};

/* What an established TLS connection is. Texts live as long as the stream. */
struct tls_facts {
    const char *protocol;  /* "TLSv1.2", "TLSv1.3" */
    const char *cipher;    /* OpenSSL's name */
    char key_exchange[32]; /* "X25519", "prime256v1", "ffdhe2048"; "" where nothing tells (resumed,
                              RSA key exchange) */
    char key_digest[65];   /* of the server we connected to: SHA-256 of its public key
                              (SubjectPublicKeyInfo) in hex; "" without certificate */
    char certificate_digest[65]; /* and of the whole certificate (DER) */
    enum tls_dane_result dane;
    bool is_pkix_valid;   /* chain to the store and one of pkix_names; checked apart from DANE */
    char dane_error[320]; /* why DANE did not match, "" */
    char pkix_error[320]; /* why WebPKI is not valid, "" */
    bool is_resumed;
    bool has_pkix_name[2]; /* is_pkix_valid, and the certificate carries this one of pkix_names */
};

enum tls_failure_kind {
    TLS_FAILURE_CUT, /* end of file, reset or deadline before the handshake ended (`deadline` and
                        `ended` do not come then) */
    TLS_FAILURE_HANDSHAKE, /* alert (ours or theirs), no shared version or cipher, bytes that are no
                              TLS, below 1.2 */
    TLS_FAILURE_OURS, /* memory, TLS engine, a record OpenSSL called our fault: never counts against
                         the peer */
};
struct tls_failure {
    enum tls_failure_kind kind;
    char text[200]; /* "unsupported protocol", "no shared cipher", "peer sent alert: handshake
                       failure", ... */
};

struct tlsa_record {
    uint8_t usage, selector, matching;
    uint16_t len;
    uint8_t data[4096]; /* longer ones count as unusable */
};

struct tls_client_options {
    const char
        *sni; /* TLSA base domain with DANE, else the MX host name; "" sends none (literal) */
    const struct tlsa_record *tlsa; /* only usage 2 and 3, selector 0-1, matching 0-2 (the caller
                                       filtered); count 0: DANE not asked */
    size_t tlsa_count;
    const char *dane_names[2]; /* usage 2: names the certificate may carry; NULL: none */
    const char *pkix_names[2]; /* for is_pkix_valid; NULL: none */
};

struct stream_handler {
    void (*opened)(void *context);
    /* Plaintext (or clear text before TLS). Take bytes off *in; what is left is kept and offered
     * again together with what comes next. */
    void (*data)(void *context, struct slice *in); /* over 256 KiB not taken: ended(-ENOBUFS) */
    void (*secured)(void *context, const struct tls_facts *facts);
    void (*tls_failed)(void *context,
                       const struct tls_failure *failure); /* only stream_close() is allowed now */
    void (*drained)(void *context);                        /* not during the handshake */
    void (*ended)(void *context, int error);               /* as conn; 0 also for close_notify */
    void (*deadline)(void *context);
    void (*closed)(void *context);
};

/* Takes over an accepted conn. */
NODISCARD struct stream *stream_accept(struct conn *c, const struct stream_handler *handler,
                                       void *context);
NODISCARD struct stream *stream_connect(struct loop *l, const struct net_address *to,
                                        const struct net_address *source,
                                        const struct stream_handler *handler, void *context,
                                        int *error);
void stream_set_handler(struct stream *s, const struct stream_handler *handler, void *context);
struct conn *stream_conn(struct stream *s); /* for peer and local addresses */

/* From now on everything is TLS. Clear bytes that came and were not taken are never given to
 * anybody: the caller must have looked at stream_unread() first. What was written before goes out
 * in clear first (the 220). False: our own fault, words in *failure. */
NODISCARD bool stream_start_tls_server(struct stream *s, struct tls_context *context,
                                       struct tls_failure *failure);
NODISCARD bool stream_start_tls_client(struct stream *s, struct tls_context *context,
                                       const struct tls_client_options *options,
                                       struct tls_failure *failure);
bool stream_is_secure(const struct stream *s);                /* the handshake is done */
const struct tls_facts *stream_facts(const struct stream *s); /* NULL before */
/* tls-exporter channel binding (RFC 9266): 32 octets; false on TLS 1.2 without extended master
 * secret, or before the handshake. */
NODISCARD bool stream_channel_binding(const struct stream *s, uint8_t out[32]);

size_t stream_unread(const struct stream *s); /* bytes received, offered and not taken; inside
                                                 `data` those *in still holds */
/* Why TLS ended a connection after the handshake ("peer sent alert: unknown CA"), "" when it did
 * not. */
const char *stream_error_text(const struct stream *s);
NODISCARD bool stream_write(
    struct stream *s,
    struct slice bytes); /* as conn_write(); false during the handshake, too: never in clear */
size_t stream_unsent(const struct stream *s);
void stream_pause(struct stream *s);
void stream_resume(struct stream *s); /* offers what was left, too (not from inside this call) */
void stream_set_deadline(struct stream *s, int64_t in_ms);
void stream_close(struct stream *s,
                  bool abort); /* close_notify where TLS is up, then as conn_close(); after
                                  tls_failed the alert is sent in any case */

#endif
