/* slice.h - a borrowed, read-only run of bytes. A plain value, any thread, never NUL-terminated.
 *
 * Comparison without case is ASCII-only, as SMTP wants it (RFC 5321 section 2.4). */
#ifndef MAIL_SLICE_H
#define MAIL_SLICE_H

#include "mail/base.h"

struct slice {
    const char *data; /* borrowed; may be NULL when len is 0 */
    size_t len;
};

#define SLICE(literal) ((struct slice){"" literal, sizeof(literal) - 1})
/* For printf's "%.*s". */
#define SLICE_ARG(s) (int)(s).len, (s).data ? (s).data : ""

struct slice slice_of(const char *text); /* NULL makes an empty slice */
bool slice_equal(struct slice a, struct slice b);
bool slice_equal_nocase(struct slice a, struct slice b);
bool slice_starts_nocase(struct slice s, struct slice prefix);
bool slice_ends_nocase(struct slice s, struct slice suffix);
bool slice_has_8bit(struct slice s); /* an octet above 127 */
/* Index of the first `byte`, or -1. */
ptrdiff_t slice_find(struct slice s, char byte);
/* The part from `from` on; at most `len` bytes. Out of range gives a shorter or empty slice. */
struct slice slice_sub(struct slice s, size_t from, size_t len);
struct slice slice_trim(struct slice s); /* spaces, tabs, CR and LF at both ends */
/* Takes the part before the first `byte` off the front of *in, and the byte itself. When there is
 * none, takes all. False when *in is already empty. */
bool slice_cut(struct slice *in, char byte, struct slice *part);
/* Copies into out[size] with a NUL. False, and out is "", when it does not fit or holds a NUL. */
NODISCARD bool slice_copy(struct slice s, char *out, size_t size);
/* A decimal number of digits only, at most `max`. False leaves *value alone. */
NODISCARD bool slice_number(struct slice s, uint64_t max, uint64_t *value);

#endif
