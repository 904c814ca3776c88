#include "mail/xtext.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    /* Not of the grammar, but written by some clients and clear in meaning. */
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Takes one character off the front; -1: no xtext, or a character that is not printable ASCII. */
static int take(struct slice *in)
{
    size_t len = 1;
    int c = (uint8_t)in->data[0];
    if (c <= 32 || c > 126 || c == '=')
        return -1;
    if (c == '+') {
        if (in->len < 3 || hex_value(in->data[1]) < 0 || hex_value(in->data[2]) < 0)
            return -1;
        len = 3;
        c = hex_value(in->data[1]) << 4 | hex_value(in->data[2]);
    }
    if (c < 32 || c > 126)
        return -1;
    *in = slice_sub(*in, len, in->len);
    return c;
}

bool xtext_is_printable(struct slice in)
{
    while (in.len > 0)
        if (take(&in) < 0)
            return false;
    return true;
}

bool xtext_decode(struct slice in, char *out, size_t size)
{
    size_t len = 0;
    while (in.len > 0 && len < size) {
        int c = take(&in);
        if (c < 0)
            break;
        out[len++] = (char)c;
    }
    bool is_done = in.len == 0 && len < size;
    if (size > 0)
        out[is_done ? len : 0] = '\0';
    return is_done;
}

bool xtext_encode(struct slice in, char *out, size_t size)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t len = 0;
    if (size == 0)
        return false;
    out[0] = '\0';
    for (size_t i = 0; i < in.len; i++) {
        uint8_t c = (uint8_t)in.data[i];
        bool is_plain = c > 32 && c <= 126 && c != '+' && c != '=';
        if (len + (is_plain ? 1u : 3u) >= size) {
            out[0] = '\0';
            return false;
        }
        if (is_plain)
            out[len++] = (char)c;
        else {
            out[len++] = '+';
            out[len++] = digits[c >> 4];
            out[len++] = digits[c & 15];
        }
    }
    out[len] = '\0';
    return true;
}
