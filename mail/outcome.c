#include "mail/outcome.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "mail/utf8.h"

const char *disposition_name(enum disposition d)
{
    switch (d) {
    case DISPOSITION_DELIVERED:
        return "delivered";
    case DISPOSITION_DEFERRED:
        return "deferred";
    case DISPOSITION_FAILED:
        return "failed";
    case DISPOSITION_HELD:
        return "held";
    }
    panic("disposition_name: %d", (int)d);
}

/* What stands in the text for the character at the front of `in`; *octets is what it takes up
 * there. */
static struct slice shown_as(struct slice in, size_t *octets)
{
    uint32_t c = 0;
    if (slice_starts_nocase(in, SLICE("\r\n"))) {
        *octets = 2;
        return SLICE(" ");
    }
    size_t len = utf8_decode(in, &c);
    *octets = len ? len : 1;
    if (len > 0 && utf8_is_printable(c))
        return slice_sub(in, 0, len);
    return c == '\n' || c == '\t' ? SLICE(" ") : SLICE("?");
}

/* One printable line of UTF-8; cut at a character's edge. A line end becomes one space. */
static void set_text(struct outcome *o, struct slice text)
{
    size_t len = 0, octets = 0;
    for (text = slice_trim(text); text.len > 0; text = slice_sub(text, octets, text.len)) {
        struct slice shown = shown_as(text, &octets);
        if (len + shown.len >= sizeof o->text)
            break;
        memcpy(o->text + len, shown.data, shown.len);
        len += shown.len;
    }
    o->text[len] = '\0';
}

struct outcome outcome_local(struct status status, const char *format, ...)
{
    struct outcome o = {.status = status};
    /* Longer than the member: what is cut off must be cut at a character's edge, in set_text(). */
    char text[OUTCOME_TEXT_SIZE * 2];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    set_text(&o, slice_of(text));
    if (o.text[0] == '\0' || (status.class != 2 && status.class != 4 && status.class != 5))
        panic("outcome_local: status %u.%u.%u \"%s\"", status.class, status.subject, status.detail,
              o.text);
    return o;
}

/* 3xx asks us to go on; where it becomes an outcome it came at the wrong time, and later may be
 * different. */
static struct status status_of_code(unsigned code)
{
    return code / 100 == 3 ? status_make(4, 5, 0) : status_make(code / 100, 0, 0);
}

struct outcome outcome_reply(unsigned code, struct slice text)
{
    if (code < 200 || code > 599)
        panic("outcome_reply: code %u", code);
    struct outcome o = {.code = code, .status = status_of_code(code)};
    struct status said;
    struct slice rest = text;
    if (status_parse(&rest, &said) && said.class == code / 100 &&
        (rest.len == 0 || rest.data[0] == ' ' || rest.data[0] == '\n'))
        o.status = said;
    set_text(&o, text);
    if (o.text[0] == '\0')
        set_text(&o, SLICE("(no text)"));
    return o;
}

static void set_name(char *out, size_t size, const char *text)
{
    /* Too long is a name that cannot exist: the front says more than nothing. */
    snprintf(out, size, "%s", text ? text : "");
}

void outcome_set_host(struct outcome *o, const char *mx, const char *address, uint16_t port)
{
    set_name(o->mx, sizeof o->mx, mx);
    set_name(o->address, sizeof o->address, address);
    o->port = port;
}

bool outcome_is_permanent(const struct outcome *o)
{
    return o->status.class == 5;
}
