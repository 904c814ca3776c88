#include "bounce/page.h"

#include <stdio.h>
#include <string.h>

#include "mail/utf8.h"

void page_put(struct page *p, struct slice s)
{
    p->is_full = p->is_full || !buffer_append(p->out, s);
}

void page_text(struct page *p, const char *text)
{
    page_put(p, slice_of(text));
}

void page_printf(struct page *p, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    p->is_full = p->is_full || !buffer_vprintf(p->out, format, arguments);
    va_end(arguments);
}

static void clean(const char *in, char *out, size_t size, bool is_ascii)
{
    struct slice rest = slice_of(in);
    size_t len = 0;
    while (rest.len > 0) {
        uint32_t c = 0;
        size_t octets = utf8_decode(rest, &c);
        bool is_kept = octets > 0 && utf8_is_printable(c) && (!is_ascii || c < 0x80);
        struct slice shown = is_kept ? slice_sub(rest, 0, octets) : SLICE("?");
        if (len + shown.len >= size)
            break;
        memcpy(out + len, shown.data, shown.len);
        len += shown.len;
        rest = slice_sub(rest, octets ? octets : 1, rest.len);
    }
    out[len] = '\0';
}

void page_clean(const char *in, char *out, size_t size)
{
    clean(in, out, size, false);
}

void page_clean_ascii(const char *in, char *out, size_t size)
{
    clean(in, out, size, true);
}

void page_field(struct page *p, const char *name, const char *value)
{
    char line[960]; /* and a name of ours stay below 998 (RFC 5322 section 2.1.1) */
    page_clean_ascii(value, line, sizeof line);
    if (line[0] != '\0')
        page_printf(p, "%s: %s\r\n", name, line);
}

const char *page_host(const struct outcome *o, char out[PAGE_HOST_SIZE])
{
    bool is_named = o->address[0] != '\0' && strcmp(o->mx, o->address) != 0;
    if (is_named)
        snprintf(out, PAGE_HOST_SIZE, "%s[%s]", o->mx, o->address);
    else
        snprintf(out, PAGE_HOST_SIZE, "%s", o->mx);
    return out;
}

void page_diagnostic(const struct outcome *o, char out[PAGE_DIAGNOSTIC_SIZE])
{
    if (o->code != 0)
        snprintf(out, PAGE_DIAGNOSTIC_SIZE, "%u %s", o->code, o->text);
    else
        snprintf(out, PAGE_DIAGNOSTIC_SIZE, "%s", o->text);
}
