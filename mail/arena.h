/* arena.h - small things that die together (a session's, a transaction's). One thread at a time.
 *
 * Allocation aborts when memory is out: use it only for things whose size and number are bounded by
 * limits already checked. Nothing is freed singly. */
#ifndef MAIL_ARENA_H
#define MAIL_ARENA_H

#include "mail/slice.h"

struct arena {
    struct arena_block *first; /* owned */
};

void arena_init(struct arena *a);
void arena_free(struct arena *a); /* all of it; the arena is ready for use again */
NODISCARD void *arena_alloc(struct arena *a, size_t size);   /* zeroed, aligned for any type */
NODISCARD char *arena_copy(struct arena *a, struct slice s); /* NUL-terminated copy */
NODISCARD char *arena_printf(struct arena *a, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
