/* sign.h - the signature of a report that goes out by mail (RFC 8460 section 3: DKIM, RFC 6376).
 *
 * The one door to libopendkim. One thread at a time for a key; nothing is looked up in DNS. */
#ifndef GATEWAY_TLSRPT_SIGN_H
#define GATEWAY_TLSRPT_SIGN_H

#include "mail/buffer.h"

struct sign_key; /* opaque: a private key, and the name under which the public one is found */

/* A PEM file with an RSA key of 1024 bits at least, for SELECTOR._domainkey.DOMAIN; both A-labels,
 * copied. The file is read here and not again. NULL: it cannot be read or used, with words that
 * name the file. */
NODISCARD struct sign_key *sign_key_new(const char *domain, const char *selector, const char *file,
                                        char *error, size_t error_size);
void sign_key_free(struct sign_key *k); /* NULL is fine; wipes the key */

/* May a signature of that domain stand for mail from that address? The domains are the same, or one
 * lies below the other ("relaxed alignment", RFC 7489 section 3.1.1, without a list of public
 * suffixes: of a bare top-level domain nothing is said to be below). */
bool sign_is_aligned(const char *domain, const char *address);

/* Appends the DKIM-Signature field with its CRLF: rsa-sha256, relaxed/relaxed, over every field of
 * the header and the whole body. The message has CRLF lines; nothing but fields on top may be added
 * to it later. False: the library says why, or out is full. */
NODISCARD bool sign_write(const struct sign_key *k, struct slice message, int64_t now,
                          struct buffer *out, char *error, size_t error_size);

#endif
