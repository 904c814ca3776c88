#include "mail/buffer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buffer_init(struct buffer *b, size_t ceiling)
{
    *b = (struct buffer){.ceiling = ceiling};
}

void buffer_free(struct buffer *b)
{
    free(b->data ? b->data - b->gap : NULL);
    buffer_init(b, b->ceiling);
}

void buffer_wipe_free(struct buffer *b)
{
    if (b->data)
        explicit_bzero(b->data - b->gap, b->gap + b->capacity + 1);
    buffer_free(b);
}

/* Gives the room before the content back to the room behind it. */
static void close_gap(struct buffer *b)
{
    if (b->gap == 0)
        return;
    memmove(b->data - b->gap, b->data, b->len);
    b->data -= b->gap;
    b->capacity += b->gap;
    b->gap = 0;
}

void buffer_clear(struct buffer *b)
{
    b->len = 0;
    close_gap(b);
}

struct slice buffer_slice(const struct buffer *b)
{
    return (struct slice){b->data, b->len};
}

size_t buffer_room(const struct buffer *b)
{
    return b->ceiling - b->len;
}

/* The memory behind `data`, beyond `capacity`, always has one more byte: buffer_text() needs it. */
static bool grow(struct buffer *b, size_t wanted)
{
    enum { SMALLEST = 64 };
    size_t capacity = b->capacity < SMALLEST ? SMALLEST : b->capacity;
    while (capacity < wanted)
        capacity = capacity > b->ceiling / 2 ? b->ceiling : capacity * 2;
    if (capacity > b->ceiling)
        capacity = b->ceiling;
    /* A fresh block, not realloc(): what is left behind in a gap need not be copied. */
    char *data = malloc(capacity + 1);
    if (!data)
        return false;
    if (b->data)
        memcpy(data, b->data, b->len);
    size_t ceiling = b->ceiling, len = b->len;
    buffer_wipe_free(b);
    *b = (struct buffer){.data = data, .len = len, .capacity = capacity, .ceiling = ceiling};
    return true;
}

static bool make_room(struct buffer *b, size_t size)
{
    if (size > buffer_room(b))
        return false;
    size_t wanted = b->len + size;
    if (b->data && wanted <= b->capacity)
        return true;
    /* Moving is cheap against what has been taken off the front since the last move. */
    if (b->gap >= b->len && b->data && wanted <= b->capacity + b->gap) {
        close_gap(b);
        return true;
    }
    return grow(b, wanted);
}

char *buffer_reserve(struct buffer *b, size_t size)
{
    return make_room(b, size) ? b->data + b->len : NULL;
}

void buffer_commit(struct buffer *b, size_t written)
{
    if (written > b->capacity - b->len)
        panic("buffer_commit: %zu bytes into room for %zu", written, b->capacity - b->len);
    b->len += written;
}

void buffer_consume(struct buffer *b, size_t count)
{
    if (count > b->len)
        panic("buffer_consume: %zu of %zu bytes", count, b->len);
    if (count == b->len) {
        buffer_clear(b);
        return;
    }
    b->data += count;
    b->gap += count;
    b->capacity -= count;
    b->len -= count;
}

bool buffer_append(struct buffer *b, struct slice s)
{
    if (s.len == 0)
        return true;
    char *to = buffer_reserve(b, s.len);
    if (!to)
        return false;
    memcpy(to, s.data, s.len);
    b->len += s.len;
    return true;
}

bool buffer_append_text(struct buffer *b, const char *text)
{
    return buffer_append(b, slice_of(text));
}

bool buffer_append_byte(struct buffer *b, char byte)
{
    return buffer_append(b, (struct slice){&byte, 1});
}

bool buffer_vprintf(struct buffer *b, const char *format, va_list arguments)
{
    va_list again;
    va_copy(again, arguments);
    int len = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (len < 0)
        panic("buffer_vprintf: bad format \"%s\"", format);
    char *to = buffer_reserve(b, (size_t)len);
    if (!to)
        return false;
    /* The NUL goes where buffer_text() would put it. */
    vsnprintf(to, (size_t)len + 1, format, arguments);
    b->len += (size_t)len;
    return true;
}

bool buffer_printf(struct buffer *b, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    bool is_done = buffer_vprintf(b, format, arguments);
    va_end(arguments);
    return is_done;
}

const char *buffer_text(struct buffer *b)
{
    if (!make_room(b, 0))
        return NULL;
    b->data[b->len] = '\0';
    return b->data;
}
