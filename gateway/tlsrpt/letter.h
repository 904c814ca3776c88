/* letter.h - a packed report as a mail (RFC 8460 section 5.3). Pure, any thread. */
#ifndef GATEWAY_TLSRPT_LETTER_H
#define GATEWAY_TLSRPT_LETTER_H

#include "gateway/tlsrpt/document.h"
#include "gateway/tlsrpt/txt.h"

struct letter {
    struct document_head head;
    const char *from;                   /* address, borrowed */
    const struct tlsrpt_places *places; /* those with an address are told; borrowed */
    const char *queue_id;               /* of the mail: Message-ID */
    int64_t now;                        /* seconds */
    struct slice report;                /* packed */
};
/* Appends the complete message: CRLF lines, seven bits. False at out's ceiling. */
NODISCARD bool letter_write(const struct letter *l, struct buffer *out);

#endif
