/* key.h - what a private key is, before it is handed to a library that does not look. Any thread.
 *
 * Keys of certificates are not read by this: see tls_server_new(). */
#ifndef GATEWAY_TLS_KEY_H
#define GATEWAY_TLS_KEY_H

#include "mail/slice.h"

enum tls_key_kind {
    TLS_KEY_NONE, /* cannot be read, or only with a passphrase, which nobody is asked for */
    TLS_KEY_RSA,
    TLS_KEY_OTHER,
};

/* Of the first private key in a PEM text. Its size is in *bits. TLS_KEY_NONE: *bits is 0, and
 * error says why. */
enum tls_key_kind tls_key_look(struct slice pem, unsigned *bits, char *error, size_t error_size);

#endif
