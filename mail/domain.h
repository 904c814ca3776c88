/* domain.h - domain names as SMTP and DNS want them (RFC 5321 2.3.5, RFC 5891). Any thread.
 *
 * The A-label form, lower case, without a trailing dot, is the only one stored or compared. */
#ifndef MAIL_DOMAIN_H
#define MAIL_DOMAIN_H

#include "mail/slice.h"

/* Turns U-labels (UTF-8) or A-labels in any case into the A-label form (libidn2, non-transitional,
 * STD3 rules off for underscores). False: no domain name (empty, label too long, forbidden
 * characters); out is "". */
NODISCARD bool domain_to_ascii(struct slice in, char out[DOMAIN_SIZE]);
/* For people: U-labels where that is safe, else the input. */
void domain_to_unicode(const char *ascii, char *out, size_t size);
/* Does `domain` equal `pattern`, or, where the pattern begins with a dot, lie below it? Both
 * A-labels. */
bool domain_matches(const char *pattern, const char *domain);

#endif
