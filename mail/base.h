/* base.h - what every file of the house may use: attributes, panic, array length. */
#ifndef MAIL_BASE_H
#define MAIL_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NODISCARD __attribute__((warn_unused_result))
#define PRINTF_LIKE(string, first) __attribute__((format(printf, string, first)))
#define NORETURN __attribute__((noreturn))
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* The longest domain name in text (RFC 1035 section 2.3.4) and room for the NUL. */
#define DOMAIN_MAX 255
#define DOMAIN_SIZE (DOMAIN_MAX + 1)
/* The longest path we keep: 64 + "@" + 255 (RFC 5321 section 4.5.3.1), and the NUL. */
#define ADDRESS_SIZE 321

/* A bug of ours: says where, aborts. The queue is crash-safe, so stopping loses nothing. */
NORETURN void panic(const char *format, ...) PRINTF_LIKE(1, 2);

/* malloc, calloc, realloc and strdup for small sizes of our own choosing: abort when memory is out.
 * Where the peer chose the size, use struct buffer with its ceiling instead. The caller frees. */
NODISCARD void *xalloc(size_t size); /* zeroed */
NODISCARD void *xrealloc(void *old, size_t size);
NODISCARD char *xstrdup(const char *text);
NODISCARD char *xprintf(const char *format, ...) PRINTF_LIKE(1, 2);

#endif
