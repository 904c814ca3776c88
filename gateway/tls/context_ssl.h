/* context_ssl.h - a context as this room's own files see it. Not for other rooms. */
#ifndef GATEWAY_TLS_CONTEXT_SSL_H
#define GATEWAY_TLS_CONTEXT_SSL_H

#include <openssl/ssl.h>

#include "gateway/tls/context.h"
#include "gateway/tls/ticket.h"

struct tls_context {
    unsigned references; /* atomic */
    bool is_server;
    SSL_CTX *ssl;                /* owned */
    struct tls_tickets *tickets; /* owned; servers only */
    /* Owned; clients only: the same with anonymous ciphers behind all others, for connections on
     * which nobody asks for a certificate. */
    SSL_CTX *anonymous;
};

#endif
