#include "mail/slice.h"

#include <string.h>
#include <strings.h>

struct slice slice_of(const char *text)
{
    return (struct slice){text, text ? strlen(text) : 0};
}

bool slice_equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static char lower(char c)
{
    /* Not tolower(): the locale must have no say in what a protocol word is. */
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool slice_equal_nocase(struct slice a, struct slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.data[i]) != lower(b.data[i]))
            return false;
    return true;
}

bool slice_starts_nocase(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && slice_equal_nocase(slice_sub(s, 0, prefix.len), prefix);
}

bool slice_ends_nocase(struct slice s, struct slice suffix)
{
    return s.len >= suffix.len &&
           slice_equal_nocase(slice_sub(s, s.len - suffix.len, suffix.len), suffix);
}

bool slice_has_8bit(struct slice s)
{
    /* Eight octets at a time: whole messages pass through here. */
    uint64_t all = 0, word = 0;
    size_t i = 0;
    for (; s.len - i >= sizeof word; i += sizeof word) {
        memcpy(&word, s.data + i, sizeof word);
        all |= word;
    }
    for (; i < s.len; i++)
        all |= (uint8_t)s.data[i];
    return (all & 0x8080808080808080u) != 0;
}

ptrdiff_t slice_find(struct slice s, char byte)
{
    const char *found = s.len > 0 ? memchr(s.data, byte, s.len) : NULL;
    return found ? found - s.data : -1;
}

struct slice slice_sub(struct slice s, size_t from, size_t len)
{
    if (from >= s.len)
        return (struct slice){NULL, 0};
    return (struct slice){s.data + from, len < s.len - from ? len : s.len - from};
}

static bool is_white(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct slice slice_trim(struct slice s)
{
    while (s.len > 0 && is_white(s.data[0]))
        s = slice_sub(s, 1, s.len);
    while (s.len > 0 && is_white(s.data[s.len - 1]))
        s.len--;
    return s;
}

bool slice_cut(struct slice *in, char byte, struct slice *part)
{
    if (in->len == 0)
        return false;
    ptrdiff_t at = slice_find(*in, byte);
    size_t len = at < 0 ? in->len : (size_t)at;
    *part = (struct slice){in->data, len};
    *in = slice_sub(*in, len + (at >= 0), in->len);
    return true;
}

bool slice_copy(struct slice s, char *out, size_t size)
{
    if (size == 0)
        return false;
    out[0] = '\0';
    if (s.len >= size || slice_find(s, '\0') >= 0)
        return false;
    if (s.len > 0)
        memcpy(out, s.data, s.len);
    out[s.len] = '\0';
    return true;
}

bool slice_number(struct slice s, uint64_t max, uint64_t *value)
{
    uint64_t number = 0;
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] < '0' || s.data[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(s.data[i] - '0');
        if (digit > max || number > (max - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *value = number;
    return true;
}
