#include "gateway/guarantee/fingerprint.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define KEYWORD SLICE("fingerprint=")
#define DIGITS ((size_t)FINGERPRINT_SIZE - 1)
#define DIGITS_AND_COLONS (DIGITS + DIGITS / 2 - 1)

static bool parse_digest(struct slice in, char out[FINGERPRINT_SIZE])
{
    bool has_colons = in.len == DIGITS_AND_COLONS;
    size_t len = 0;
    if (in.len != DIGITS && !has_colons)
        return false;
    for (size_t i = 0; i < in.len; i++) {
        unsigned char c = (unsigned char)in.data[i];
        bool is_colons_place = has_colons && i % 3 == 2;
        if (is_colons_place ? c != ':' : !isxdigit(c))
            return false;
        if (!is_colons_place)
            out[len++] = (char)tolower(c);
    }
    out[len] = '\0';
    return true;
}

bool guarantee_fingerprints_parse(struct slice in, struct guarantee_fingerprints *out)
{
    struct guarantee_fingerprints read = {0};
    struct slice item;
    if (!slice_equal(slice_sub(in, 0, KEYWORD.len), KEYWORD))
        return false;
    in = slice_sub(in, KEYWORD.len, in.len);
    if (in.len > 0 && in.data[in.len - 1] == ',') /* slice_cut() does not see what is not there */
        return false;
    while (slice_cut(&in, ',', &item)) {
        read.digests = xrealloc(read.digests, (read.count + 1) * sizeof *read.digests);
        if (!parse_digest(slice_trim(item), read.digests[read.count++])) {
            guarantee_fingerprints_clear(&read);
            return false;
        }
    }
    if (read.count == 0)
        return false;
    *out = read;
    return true;
}

void guarantee_fingerprints_clear(struct guarantee_fingerprints *f)
{
    free(f->digests);
    *f = (struct guarantee_fingerprints){0};
}

bool guarantee_fingerprints_have(const struct guarantee_fingerprints *f, const char *digest)
{
    if (digest == NULL || digest[0] == '\0')
        return false;
    for (size_t i = 0; i < f->count; i++)
        if (strcmp(f->digests[i], digest) == 0)
            return true;
    return false;
}
