#include "gateway/delivery/content.h"

void delivery_content_init(struct delivery_content *c, struct queue *q, uint64_t id, uint64_t size)
{
    *c = (struct delivery_content){.queue = q, .id = id, .size = size};
    dot_writer_init(&c->dot);
    buffer_init(&c->piece, DELIVERY_CONTENT_PIECE);
}

void delivery_content_free(struct delivery_content *c)
{
    buffer_free(&c->piece);
}

enum delivery_content_step delivery_content_next(struct delivery_content *c, struct buffer *out)
{
    uint64_t rest = c->size - c->offset;
    if (rest > 0) {
        size_t max = rest < DELIVERY_CONTENT_PIECE ? (size_t)rest : DELIVERY_CONTENT_PIECE;
        buffer_clear(&c->piece);
        int64_t got = queue_content_read(c->queue, c->id, c->offset, max, &c->piece);
        /* Short of its size the message is damaged, and its front must not pass for the whole. */
        if (got <= 0 || (uint64_t)got > rest)
            return DELIVERY_CONTENT_FAILED;
        c->offset += (uint64_t)got;
        if (!dot_writer_feed(&c->dot, buffer_slice(&c->piece), out))
            return DELIVERY_CONTENT_FAILED;
    }
    if (c->offset < c->size)
        return DELIVERY_CONTENT_MORE;
    return dot_writer_end(&c->dot, out) ? DELIVERY_CONTENT_END : DELIVERY_CONTENT_FAILED;
}
