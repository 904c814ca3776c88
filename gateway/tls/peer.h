/* peer.h - who the server is that we connected to: DANE and WebPKI, each judged for itself.
 * Not for other rooms. */
#ifndef GATEWAY_TLS_PEER_H
#define GATEWAY_TLS_PEER_H

#include <openssl/ssl.h>

#include "gateway/tls/stream.h"

/* What the owner wants to know about one server; lives as long as the SSL that points to it. */
struct tls_peer {
    bool is_dane_asked;
    unsigned usable;     /* TLSA records that OpenSSL took */
    char *pkix_names[2]; /* owned, or NULL */
    char *dane_names[2]; /* the same */
};

/* Sets SNI, TLSA records and names before the handshake. False: our own fault, *failure filled. */
NODISCARD bool tls_peer_ask(struct tls_peer *p, SSL *ssl, const struct tls_client_options *options,
                            struct tls_failure *failure);
/* After the handshake: fills dane, is_pkix_valid and their errors, key_exchange and the digests.
 * False: our own fault. */
NODISCARD bool tls_peer_judge(const struct tls_peer *p, SSL *ssl, struct tls_facts *facts,
                              struct tls_failure *failure);
void tls_peer_free(struct tls_peer *p);

/* For SSL_CTX_set_cert_verify_callback(): never stops a handshake. */
int tls_peer_verify(X509_STORE_CTX *store, void *unused);

#endif
