#include "mail/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void panic(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("panic: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    abort();
}

static void *or_panic(void *memory)
{
    if (!memory)
        panic("out of memory");
    return memory;
}

void *xalloc(size_t size)
{
    return or_panic(calloc(1, size ? size : 1));
}

void *xrealloc(void *old, size_t size)
{
    return or_panic(realloc(old, size ? size : 1));
}

char *xstrdup(const char *text)
{
    return or_panic(strdup(text));
}

char *xprintf(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int len = vasprintf(&text, format, arguments);
    va_end(arguments);
    return or_panic(len < 0 ? NULL : text);
}
