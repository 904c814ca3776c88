#include "gateway/tlsrpt/txt.h"

#include <stdlib.h>
#include <string.h>

#include "mail/address.h"

#define VERSION SLICE("v=TLSRPTv1")
#define EXTENSION_NAME_MAX 32

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct slice trim(struct slice s)
{
    while (s.len > 0 && is_blank(s.data[0]))
        s = slice_sub(s, 1, s.len);
    while (s.len > 0 && is_blank(s.data[s.len - 1]))
        s.len--;
    return s;
}

/* Does it begin with the version and a semicolon? What stands behind them goes to *fields. */
static bool take_version(struct slice text, struct slice *fields)
{
    struct slice version = VERSION;
    if (!slice_equal(slice_sub(text, 0, version.len), version))
        return false;
    struct slice rest = trim(slice_sub(text, version.len, text.len));
    if (rest.len == 0 || rest.data[0] != ';')
        return false;
    *fields = slice_sub(rest, 1, rest.len);
    return true;
}

/* ---- the places ---- */

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    char lower = c >= 'A' && c <= 'F' ? (char)(c - 'A' + 'a') : c;
    const char *found = c ? strchr(digits, lower) : NULL;
    return found ? (int)(found - digits) : -1;
}

/* RFC 3986 section 2.1. Only what can be seen may be meant: an address has no use for the rest. */
static bool percent_decode(struct slice in, char *out, size_t size)
{
    size_t len = 0;
    for (size_t i = 0; i < in.len; i++) {
        char c = in.data[i];
        if (c == '%') {
            int high = i + 2 < in.len ? hex_digit(in.data[i + 1]) : -1;
            int low = i + 2 < in.len ? hex_digit(in.data[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(16 * high + low);
            i += 2;
        }
        if (c <= ' ' || c > '~' || len + 1 >= size)
            return false;
        out[len++] = c;
    }
    out[len] = '\0';
    return len > 0;
}

/* RFC 6068; what stands behind a "?" would be header fields, which are ours to choose. */
static bool read_mailto(struct slice in, struct tlsrpt_place *out)
{
    char text[ADDRESS_SIZE];
    struct slice left = in;
    struct slice path;
    struct address address;
    out->kind = TLSRPT_MAILTO;
    if (!slice_cut(&left, '?', &path) || !percent_decode(path, text, sizeof text) ||
        address_parse(slice_of(text), &address) != ADDRESS_OK || address.is_literal)
        return false;
    memcpy(out->address, address.text, sizeof out->address);
    return true;
}

static bool read_place(struct slice uri, struct tlsrpt_place *out)
{
    struct slice mailto = SLICE("mailto:");
    *out = (struct tlsrpt_place){0};
    if (slice_find(uri, '!') >= 0)
        return false; /* must be encoded: it once stood before a size */
    if (slice_starts_nocase(uri, mailto))
        return read_mailto(slice_sub(uri, mailto.len, uri.len), out);
    out->kind = TLSRPT_HTTPS;
    return https_url_parse(uri, &out->url);
}

static bool is_same(const struct tlsrpt_place *a, const struct tlsrpt_place *b)
{
    return a->kind == b->kind && strcmp(a->address, b->address) == 0 &&
           strcmp(a->url.host, b->url.host) == 0 && a->url.port == b->url.port &&
           strcmp(a->url.path, b->url.path) == 0;
}

static void add_place(struct tlsrpt_places *p, const struct tlsrpt_place *place)
{
    for (size_t i = 0; i < p->count; i++)
        if (is_same(&p->list[i], place))
            return;
    if (p->count == TLSRPT_PLACES_MAX)
        return;
    p->list = xrealloc(p->list, (p->count + 1) * sizeof *p->list);
    p->list[p->count++] = *place;
}

static void read_rua(struct slice value, struct tlsrpt_places *out)
{
    struct slice uri;
    while (slice_cut(&value, ',', &uri)) {
        struct tlsrpt_place place;
        if (read_place(trim(uri), &place))
            add_place(out, &place);
    }
}

/* ---- the fields ---- */

static bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_field_name(struct slice name)
{
    if (name.len == 0 || name.len > EXTENSION_NAME_MAX || !is_alphanumeric(name.data[0]))
        return false;
    for (size_t i = 1; i < name.len; i++)
        if (!is_alphanumeric(name.data[i]) && !strchr("_-.", name.data[i]))
            return false;
    return slice_find(name, '\0') < 0;
}

/* rua may hold blanks around its commas and a "=" within an address; no other field may. */
static bool is_value(struct slice value, bool is_rua)
{
    for (size_t i = 0; i < value.len; i++) {
        char c = value.data[i];
        bool is_odd = is_blank(c) || c == '=';
        if ((c < '!' || c > '~' || is_odd) && !(is_rua && is_odd))
            return false;
    }
    return value.len > 0;
}

static const char *read_fields(struct slice fields, struct tlsrpt_places *out)
{
    struct slice field;
    bool has_rua = false;
    fields = trim(fields);
    while (slice_cut(&fields, ';', &field)) {
        struct slice value = trim(field);
        struct slice name;
        if (value.len == 0 || value.data[0] == '=' || slice_find(value, '=') < 0)
            return "a field without name or value";
        if (!slice_cut(&value, '=', &name) || !is_field_name(name))
            return "a field name with a character that may not stand there";
        bool is_rua = slice_equal(name, SLICE("rua"));
        if (!is_value(value, is_rua))
            return "a value with a character that may not stand there";
        if (is_rua && !has_rua)
            read_rua(value, out);
        has_rua = has_rua || is_rua;
        fields = trim(fields);
    }
    if (!has_rua)
        return "no rua";
    return out->count == 0 ? "rua names no mailto or https address that can be used" : "";
}

enum tlsrpt_txt tlsrpt_txt_read(const struct slice *texts, size_t count, struct tlsrpt_places *out,
                                const char **why)
{
    struct slice fields = {0};
    size_t found = 0;
    *out = (struct tlsrpt_places){0};
    *why = "";
    for (size_t i = 0; i < count; i++)
        found += take_version(texts[i], &fields);
    if (found != 1) {
        *why = found == 0 ? "no record" : "several records";
        return TLSRPT_TXT_NONE;
    }
    *why = read_fields(fields, out);
    if ((*why)[0] == '\0')
        return TLSRPT_TXT_VALID;
    tlsrpt_places_clear(out);
    return TLSRPT_TXT_INVALID;
}

void tlsrpt_places_clear(struct tlsrpt_places *p)
{
    free(p->list);
    *p = (struct tlsrpt_places){0};
}
