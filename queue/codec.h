/* codec.h - the parts that records are made of: numbers, times, texts. Pure, any thread. Not for
 * others.
 *
 * Numbers are big-endian; texts have their length in four octets in front and hold no NUL. */
#ifndef QUEUE_CODEC_H
#define QUEUE_CODEC_H

#include "mail/buffer.h"

/* Appended to *out, whose ceiling must be high enough (else panic). */
void codec_put(struct buffer *out, const void *data, size_t len);
void codec_put_uint(struct buffer *out, uint64_t value, unsigned octets);
/* Longer texts than RECORD_TEXT_MAX are cut. NULL is written as "". */
void codec_put_text(struct buffer *out, const char *text);

/* What is yet to be read. The first thing wrong clears `ok`, and all that follows reads as 0 and
 * "". */
struct codec_source {
    struct slice in;
    bool ok;
};
struct codec_source codec_open(struct slice in); /* reads the version */
struct slice codec_get(struct codec_source *from, size_t len);
uint64_t codec_get_uint(struct codec_source *from, unsigned octets);
int64_t codec_get_time(struct codec_source *from);
/* A number of at most 4 octets that must not be above `max`. */
unsigned codec_get_small(struct codec_source *from, unsigned octets, unsigned max);
struct slice codec_get_slice(struct codec_source *from); /* a text, borrowed from the record */
char *codec_get_text(struct codec_source *from);         /* owned; never NULL */
void codec_get_array(struct codec_source *from, char *out, size_t size);
/* Was all sound, and is nothing left? */
bool codec_is_complete(const struct codec_source *from);

#endif
