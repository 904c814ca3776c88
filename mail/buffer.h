/* buffer.h - owned bytes with a ceiling fixed at birth. One thread at a time.
 *
 * Growing past the ceiling fails and leaves the content as it was: the peer never decides how much
 * memory we hold. Out of memory below the ceiling counts the same. */
#ifndef MAIL_BUFFER_H
#define MAIL_BUFFER_H

#include <stdarg.h>

#include "mail/slice.h"

struct buffer {
    char *data; /* owned */
    size_t len;
    size_t capacity;
    size_t ceiling;
    size_t gap; /* bytes before `data` that buffer_consume() left in the same memory */
};

void buffer_init(struct buffer *b, size_t ceiling); /* allocates nothing yet */
void buffer_free(struct buffer *b);                 /* and ready for use again, same ceiling */
void buffer_wipe_free(struct buffer *b);            /* the same, content wiped first: for secrets */
void buffer_clear(struct buffer *b);                /* keeps the memory */
struct slice buffer_slice(const struct buffer *b);  /* borrowed until the next change */
size_t buffer_room(const struct buffer *b);         /* bytes until the ceiling */
NODISCARD bool buffer_append(struct buffer *b, struct slice s);
NODISCARD bool buffer_append_text(struct buffer *b, const char *text);
NODISCARD bool buffer_append_byte(struct buffer *b, char byte);
NODISCARD bool buffer_printf(struct buffer *b, const char *format, ...) PRINTF_LIKE(2, 3);
NODISCARD bool buffer_vprintf(struct buffer *b, const char *format, va_list arguments)
    PRINTF_LIKE(2, 0);
/* Makes room for `size` more bytes and returns where to write them (then buffer_commit); NULL at
 * the ceiling. */
NODISCARD char *buffer_reserve(struct buffer *b, size_t size);
void buffer_commit(struct buffer *b, size_t written);
void buffer_consume(struct buffer *b, size_t count); /* drops from the front; count <= len */
/* A NUL behind the content (not counted), so that data is a C string; NULL when out of memory. */
NODISCARD const char *buffer_text(struct buffer *b);

#endif
