/* fault.h - what an OpenSSL call came to: the one reader of SSL_get_error() and of the error queue.
 * Not for other rooms. */
#ifndef GATEWAY_TLS_FAULT_H
#define GATEWAY_TLS_FAULT_H

#include <openssl/ssl.h>

#include "gateway/tls/stream.h"

enum tls_step {
    TLS_STEP_DONE,
    TLS_STEP_WAIT,   /* needs more ciphertext */
    TLS_STEP_CLOSED, /* the peer sent close_notify */
    TLS_STEP_FAILED, /* *failure is filled */
};

/* `result` is what the SSL call returned; the error queue was cleared before it, and is after. */
enum tls_step tls_step_of(const SSL *ssl, int result, struct tls_failure *failure);
/* A call that should never fail did: ours, with what the library says. Always returns false. */
bool tls_fault_ours(struct tls_failure *failure, const char *doing);
/* The library's reason into text, error queue cleared. */
void tls_fault_text(char *out, size_t size);

#endif
