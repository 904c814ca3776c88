/* The text part's transfer encoding (RFC 2045 sections 2.7 and 6.7). */
#include "bounce/parts.h"

#define LINE_MAX_7BIT 998
#define LINE_MAX_QUOTED 76

static bool is_7bit(struct slice text)
{
    struct slice rest = text, line;
    while (slice_cut(&rest, '\n', &line))
        if (line.len > LINE_MAX_7BIT)
            return false;
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.data[i] > 126)
            return false;
    return true;
}

static void write_7bit(struct slice text, struct page *out)
{
    struct slice line;
    while (slice_cut(&text, '\n', &line)) {
        page_put(out, line);
        page_text(out, "\r\n");
    }
}

/* How one octet stands in quoted-printable. White space at a line's end would be lost under way. */
static struct slice quoted(const char *octet, bool is_last, char out[4])
{
    static const char hex[] = "0123456789ABCDEF";
    unsigned char c = (unsigned char)*octet;
    bool is_plain = (c > ' ' && c < 127 && c != '=') || (c == ' ' && !is_last);
    if (is_plain)
        return (struct slice){octet, 1};
    out[0] = '=';
    out[1] = hex[c >> 4];
    out[2] = hex[c & 15];
    return (struct slice){out, 3};
}

static void write_quoted_line(struct slice line, struct page *out)
{
    size_t column = 0;
    for (size_t i = 0; i < line.len; i++) {
        char code[4];
        bool is_last = i + 1 == line.len;
        struct slice piece = quoted(line.data + i, is_last, code);
        /* Room for the "=" of a soft line break, but behind the last octet there is none. */
        if (column + piece.len > LINE_MAX_QUOTED - (is_last ? 0U : 1U)) {
            page_text(out, "=\r\n");
            column = 0;
        }
        page_put(out, piece);
        column += piece.len;
    }
    page_text(out, "\r\n");
}

void encode_text(struct slice text, struct page *out)
{
    page_text(out, "Content-Description: Notification\r\n");
    if (is_7bit(text)) {
        page_text(out, "Content-Type: text/plain; charset=us-ascii\r\n"
                       "Content-Transfer-Encoding: 7bit\r\n\r\n");
        write_7bit(text, out);
        return;
    }
    page_text(out, "Content-Type: text/plain; charset=utf-8\r\n"
                   "Content-Transfer-Encoding: quoted-printable\r\n\r\n");
    struct slice line;
    while (slice_cut(&text, '\n', &line))
        write_quoted_line(line, out);
}
