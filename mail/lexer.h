/* lexer.h - the small tokens that headers share (RFC 5322 section 3.2). Pure, any thread.
 *
 * Each function takes its token off *in and moves only on success. Strict where leniency would let
 * two readers see two things: a CR or LF that is not folding, a NUL or another control character is
 * never skipped. */
#ifndef MAIL_LEXER_H
#define MAIL_LEXER_H

#include "mail/slice.h"

#define LEXER_COMMENT_DEPTH 16 /* deeper is nobody's comment: refused */

/* An octet of an atom: atext, or above 127 (RFC 6532). */
bool lexer_is_atext(char c);
/* Comments and folding white space, maybe none. False: a comment that does not end, is nested too
 * deeply, or a stray control character. */
NODISCARD bool lexer_skip_cfws(struct slice *in);
/* One or more octets of atext; false when there is none. */
NODISCARD bool lexer_atom(struct slice *in, struct slice *atom);
/* A quoted string; *inside is what stands between the quotes, quoted-pairs and folding still in it.
 */
NODISCARD bool lexer_quoted(struct slice *in, struct slice *inside);
/* Takes one given byte. */
NODISCARD bool lexer_byte(struct slice *in, char byte);

#endif
