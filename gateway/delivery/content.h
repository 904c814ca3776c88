/* content.h - a message's content on its way from the queue to the wire, piece by piece.
 *
 * Holds one piece in memory however large the message is: the caller asks for the next when the
 * last one has been given to the kernel. Loop thread only. */
#ifndef GATEWAY_DELIVERY_CONTENT_H
#define GATEWAY_DELIVERY_CONTENT_H

#include "mail/dot.h"
#include "queue/message.h"

/* Octets read from the queue in one step; dot-stuffing may double them. */
#define DELIVERY_CONTENT_PIECE ((size_t)32 * 1024)

struct delivery_content {
    struct queue *queue; /* borrowed */
    uint64_t id;
    uint64_t size;   /* octets the message must have */
    uint64_t offset; /* octets taken so far */
    struct dot_writer dot;
    struct buffer piece; /* owned */
};

enum delivery_content_step {
    DELIVERY_CONTENT_MORE, /* a piece was appended, more follows */
    DELIVERY_CONTENT_END,  /* the last piece, with the final "." CRLF */
    /* The content cannot be read, or is not as long as it should be. Nothing that could end the
     * data was appended: the connection must be dropped, never ended, or part of a message arrives.
     */
    DELIVERY_CONTENT_FAILED,
};

void delivery_content_init(struct delivery_content *c, struct queue *q, uint64_t id, uint64_t size);
void delivery_content_free(struct delivery_content *c);
/* Appends the next piece, dot-stuffed. `out` needs room for 2 * DELIVERY_CONTENT_PIECE + 5 octets.
 */
NODISCARD enum delivery_content_step delivery_content_next(struct delivery_content *c,
                                                           struct buffer *out);

#endif
