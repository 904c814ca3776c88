/* context.h - TLS settings for many connections, made once and shared: what clients get, and how we
 * look at MX hosts.
 *
 * The one door to OpenSSL is this room. Contexts are immutable, reference-counted, and may be used
 * from any thread: a reload makes new ones, connections keep the one they began with. */
#ifndef GATEWAY_TLS_CONTEXT_H
#define GATEWAY_TLS_CONTEXT_H

#include "mail/slice.h"

struct tls_context; /* opaque */

struct tls_server_options {
    const char *certificate; /* PEM chain file */
    const char *key;         /* PEM file */
    bool allows_tls12;       /* min_protocol TLSv1.2; else 1.3 only */
};
/* Server preference, no renegotiation, no compression, ALPN ignored, session tickets in the
 * handshake's last flight. NULL with words that name the file. */
NODISCARD struct tls_context *tls_server_new(const struct tls_server_options *o, char *error,
                                             size_t error_size);

/* For delivery: TLS 1.2 and newer, broad ciphers (a guarantee must not narrow them), no
 * renegotiation, no compression, no verification during the handshake: every cause is read
 * afterwards. ca_file "" is the system's store. */
NODISCARD struct tls_context *tls_client_new(const char *ca_file, char *error, size_t error_size);

struct tls_context *tls_context_ref(struct tls_context *c);
void tls_context_unref(struct tls_context *c);

#endif
