/* domain.h - domain names as SMTP and DNS want them (RFC 5321 2.3.5, RFC 5891). Any thread.
 *
 * The A-label form, lower case, without a trailing dot, is the only one stored or compared. */
#ifndef MAIL_DOMAIN_H
#define MAIL_DOMAIN_H

#include "mail/slice.h"

/* Turns U-labels (UTF-8) or A-labels in any case into the A-label form (libidn2, non-transitional,
 * STD3 rules off for underscores). False: no domain name (empty, label too long, forbidden
 * characters, a last label of digits alone, which is an address); out is "". One final dot is
 * dropped. */
NODISCARD bool domain_to_ascii(struct slice in, char out[DOMAIN_SIZE]);
/* For people: U-labels where no label can be taken for another (one script in each, none with Latin
 * look-alikes such as Cyrillic), else the input. out is "" when that does not fit either. */
void domain_to_unicode(const char *ascii, char *out, size_t size);
/* Does `domain` equal `pattern`, or, where the pattern begins with a dot, lie below it? Both
 * A-labels. */
bool domain_matches(const char *pattern, const char *domain);

#endif
