/* parts.h - the three parts of a report (RFC 6522), each written by its own file. Inside of the
 * room only. */
#ifndef BOUNCE_PARTS_H
#define BOUNCE_PARTS_H

#include "bounce/bounce.h"
#include "bounce/page.h"

/* Who asked that TLS be no condition for the message asked it for reports about it too (RFC 8689
 * section 5). */
bool report_says_tls_required_no(const struct bounce_report *report);

/* Part 1, for people: plain text in UTF-8 with LF line ends, to be wrapped by wrap_text() and
 * encoded by encode_text(). */
void explanation_write(const struct bounce_report *report, struct page *text);
/* A space at which no line is broken. No value that page_clean() saw has one. */
#define WRAP_HARD_SPACE '\x1f'
/* Begins a line that is not broken at all. */
#define WRAP_WHOLE_LINE '\x1e'
/* Lines of at most 78 columns where there are spaces to break them at. */
void wrap_text(struct slice text, struct page *out);
/* Its MIME header and body. 7bit where it is ASCII with lines that fit, else quoted-printable: a
 * notice must reach hosts without 8BITMIME, and its reasons must arrive word for word. */
void encode_text(struct slice text, struct page *out);

/* Part 2, for programs: message/delivery-status with its MIME header. */
void delivery_status_write(const struct bounce_report *report, struct page *out);

/* Part 3: what came back, with its MIME header. */
void returned_write(const struct bounce_report *report, struct page *out);

#endif
