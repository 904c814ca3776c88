/* xtext.h - the encoding of DSN parameters (RFC 3461 section 4). Pure, any thread. */
#ifndef MAIL_XTEXT_H
#define MAIL_XTEXT_H

#include "mail/slice.h"

/* Is it xtext that stands for printable ASCII (32 to 126) alone? What passes can go into a DSN
 * field. */
bool xtext_is_printable(struct slice in);
/* Undoes the encoding. False, and out is "", when xtext_is_printable() says no or it does not fit.
 */
NODISCARD bool xtext_decode(struct slice in, char *out, size_t size);
/* Encodes any octets, a NUL too. False, and out is "", when it does not fit. */
NODISCARD bool xtext_encode(struct slice in, char *out, size_t size);

#endif
