/* dot.h - message data on the wire: transparency and its end (RFC 5321 section 4.5.2), fed in
 * pieces. Pure.
 *
 * Only CRLF ends a line and only CRLF.CRLF ends the data. A bare CR, a bare LF or a NUL never ends
 * anything; it is noted, and the message is refused at the end (INTERFACE.md: 5.5.2 and 5.6.0; no
 * smuggling). */
#ifndef MAIL_DOT_H
#define MAIL_DOT_H

#include "mail/buffer.h"

struct dot_reader {
    unsigned char state;
    uint64_t size;       /* octets of content so far, CRLFs counted, stuffing not */
    size_t line_len;     /* of the present line */
    size_t longest_line; /* without CRLF */
    bool has_bare_cr_lf;
    bool has_nul;
    bool has_8bit;
};

void dot_reader_init(struct dot_reader *r);
/* Takes bytes off *in and appends content to *out until the end of the data (true; *in stands
 * behind it), or the input or out's room is used up (false; the caller empties out and comes back
 * with what is left). `out` needs a ceiling of 2 at least; when it is empty and still nothing is
 * taken, memory is out. After the end, dot_reader_init() comes first. */
bool dot_reader_feed(struct dot_reader *r, struct slice *in, struct buffer *out);

/* The writing side: stuffs leading dots; dot_writer_end() adds the final ".CRLF", and CRLF before
 * it where the content did not end in one. */
struct dot_writer {
    unsigned char state;
};
void dot_writer_init(struct dot_writer *w);
/* At most 2 * content.len octets are appended. False at out's ceiling, then nothing was taken. */
NODISCARD bool dot_writer_feed(struct dot_writer *w, struct slice content, struct buffer *out);
NODISCARD bool dot_writer_end(struct dot_writer *w, struct buffer *out);

#endif
