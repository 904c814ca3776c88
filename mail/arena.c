#include "mail/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE 4000 /* with its header and malloc's a little under a page */

struct arena_block {
    struct arena_block *next; /* owned */
    size_t used;
    size_t size;
    max_align_t memory[];
};

void arena_init(struct arena *a)
{
    a->first = NULL;
}

void arena_free(struct arena *a)
{
    struct arena_block *block = a->first;
    while (block) {
        struct arena_block *next = block->next;
        free(block);
        block = next;
    }
    a->first = NULL;
}

static struct arena_block *block_new(size_t size)
{
    struct arena_block *block = xalloc(sizeof *block + size);
    block->size = size;
    return block;
}

void *arena_alloc(struct arena *a, size_t size)
{
    const size_t align = _Alignof(max_align_t);
    if (size > SIZE_MAX / 2)
        panic("arena_alloc: %zu bytes", size);
    size = (size ? size + align - 1 : align) / align * align;
    struct arena_block *block = a->first;
    if (!block || block->size - block->used < size) {
        block = block_new(size > BLOCK_SIZE ? size : BLOCK_SIZE);
        if (size > BLOCK_SIZE && a->first) {
            /* A big piece fills its own block: the one in use stays in front. */
            block->next = a->first->next;
            a->first->next = block;
        } else {
            block->next = a->first;
            a->first = block;
        }
    }
    char *memory = (char *)block->memory + block->used;
    block->used += size;
    return memory;
}

char *arena_copy(struct arena *a, struct slice s)
{
    char *copy = arena_alloc(a, s.len + 1);
    if (s.len > 0)
        memcpy(copy, s.data, s.len);
    return copy;
}

char *arena_printf(struct arena *a, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (len < 0)
        panic("arena_printf: bad format \"%s\"", format);
    char *text = arena_alloc(a, (size_t)len + 1);
    va_start(arguments, format);
    vsnprintf(text, (size_t)len + 1, format, arguments);
    va_end(arguments);
    return text;
}
