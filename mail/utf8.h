/* utf8.h - UTF-8 (RFC 3629), one character at a time. Pure, any thread. */
#ifndef MAIL_UTF8_H
#define MAIL_UTF8_H

#include "mail/slice.h"

/* Octets of the character at the front of `in`, 0 when there is none that is well formed (overlong
 * forms, surrogates and values above U+10FFFF are not). The character goes to *code_point. */
size_t utf8_decode(struct slice in, uint32_t *code_point);
/* Can it stand in one line of a log or notice without moving the reader's eye: no control, no line
 * or paragraph separator, nothing that turns the writing direction, nothing without width. */
bool utf8_is_printable(uint32_t code_point);

#endif
