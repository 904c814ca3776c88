#include "queue/codec.h"

#include <string.h>

#include "queue/record.h"

/* The ceilings of the buffers (see the callers) are never the reason for a refusal; memory is, and
 * then we stop. */

void codec_put(struct buffer *out, const void *data, size_t len)
{
    if (!buffer_append(out, (struct slice){data, len}))
        panic("record: no room");
}

void codec_put_uint(struct buffer *out, uint64_t value, unsigned octets)
{
    uint8_t bytes[8];
    for (unsigned i = 0; i < octets; i++)
        bytes[i] = (uint8_t)(value >> (8 * (octets - 1 - i)));
    codec_put(out, bytes, octets);
}

void codec_put_text(struct buffer *out, const char *text)
{
    struct slice s = slice_of(text);
    if (s.len > RECORD_TEXT_MAX)
        s.len = RECORD_TEXT_MAX;
    codec_put_uint(out, s.len, 4);
    codec_put(out, s.data, s.len);
}

struct slice codec_get(struct codec_source *from, size_t len)
{
    struct slice part = slice_sub(from->in, 0, len);
    if (part.len != len) {
        *from = (struct codec_source){{0}, false};
        return (struct slice){0};
    }
    from->in = slice_sub(from->in, len, from->in.len - len);
    return part;
}

uint64_t codec_get_uint(struct codec_source *from, unsigned octets)
{
    struct slice part = codec_get(from, octets);
    uint64_t value = 0;
    for (size_t i = 0; i < part.len; i++)
        value = value << 8 | (uint8_t)part.data[i];
    return value;
}

int64_t codec_get_time(struct codec_source *from)
{
    return (int64_t)codec_get_uint(from, 8);
}

unsigned codec_get_small(struct codec_source *from, unsigned octets, unsigned max)
{
    uint64_t value = codec_get_uint(from, octets);
    if (value > max) {
        from->ok = false;
        return 0;
    }
    return (unsigned)value;
}

struct slice codec_get_slice(struct codec_source *from)
{
    size_t len = (size_t)codec_get_uint(from, 4);
    struct slice text = codec_get(from, len);
    if (slice_find(text, '\0') >= 0 || len > RECORD_TEXT_MAX) {
        from->ok = false;
        return (struct slice){0};
    }
    return text;
}

char *codec_get_text(struct codec_source *from)
{
    struct slice text = codec_get_slice(from);
    char *copy = xalloc(text.len + 1);
    if (text.len > 0)
        memcpy(copy, text.data, text.len);
    return copy;
}

void codec_get_array(struct codec_source *from, char *out, size_t size)
{
    if (!slice_copy(codec_get_slice(from), out, size))
        from->ok = false;
}

struct codec_source codec_open(struct slice in)
{
    struct codec_source from = {in, true};
    if (codec_get_small(&from, 1, 255) != RECORD_VERSION)
        from.ok = false;
    return from;
}

bool codec_is_complete(const struct codec_source *from)
{
    return from->ok && from->in.len == 0;
}
