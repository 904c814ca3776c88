#include "gateway/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mail/buffer.h"
#include "mail/date.h"

enum { LINE_MAX_OCTETS = 4096 };

static const char *const severities[] = {"debug", "info", "warning", "error"};

/* One line in the making; what does not fit is dropped. */
struct line {
    char *out;
    size_t size, used;
};

static void put(struct line *l, const char *data, size_t len)
{
    size_t room = l->size - l->used;
    if (len > room)
        len = room;
    memcpy(l->out + l->used, data, len);
    l->used += len;
}

static void put_text(struct line *l, const char *text)
{
    put(l, text, strlen(text));
}

static bool is_plain(const char *text)
{
    if (*text == '\0')
        return false;
    for (; *text; text++)
        if ((unsigned char)*text <= ' ' || (unsigned char)*text > '~' || strchr("\"\\=", *text))
            return false;
    return true;
}

/* Peers choose much of what is logged: nothing of it may look like a key, a line's end or a
 * terminal's command. */
static void put_quoted(struct line *l, const char *text)
{
    char escape[8];
    put(l, "\"", 1);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            snprintf(escape, sizeof escape, "\\%c", c);
        else if (c < ' ' || c > '~')
            snprintf(escape, sizeof escape, "\\x%02x", c);
        else
            snprintf(escape, sizeof escape, "%c", c);
        put_text(l, escape);
    }
    put(l, "\"", 1);
}

static void put_field(struct line *l, const struct event_field *f)
{
    char number[32];
    put(l, " ", 1);
    put_text(l, event_key_name(f->key));
    put(l, "=", 1);
    if (!f->text) {
        snprintf(number, sizeof number, "%lld", (long long)f->number);
        put_text(l, number);
    } else if (is_plain(f->text)) {
        put_text(l, f->text);
    } else {
        put_quoted(l, f->text);
    }
}

size_t log_line(char *out, size_t size, bool with_time, int64_t now_ms,
                enum event_severity severity, const char *event, const struct event_field *fields,
                size_t count)
{
    struct line l = {.out = out, .size = size - 1};
    char date[DATE_SIZE];
    char head[128];
    if (with_time) {
        date_rfc3339(now_ms / 1000, date);
        date[strlen(date) - 1] = '\0'; /* the Z comes behind the milliseconds */
        snprintf(head, sizeof head, "time=%s.%03dZ ", date, (int)(now_ms % 1000));
        put_text(&l, head);
    }
    snprintf(head, sizeof head, "level=%s event=%s", severities[severity], event);
    put_text(&l, head);
    for (size_t i = 0; i < count; i++) {
        bool is_empty = fields[i].text && fields[i].text[0] == '\0';
        if (is_empty && fields[i].key == KEY_FROM)
            put_text(&l, " from=<>");
        else if (!is_empty)
            put_field(&l, &fields[i]);
    }
    out[l.used++] = '\n';
    return l.used;
}

static void emit(void *context, enum event_severity severity, const char *event,
                 const struct event_field *fields, size_t count)
{
    static const char *const prefixes[] = {"<7>", "<6>", "<4>", "<3>"}; /* sd-daemon(3) */
    char line[LINE_MAX_OCTETS];
    bool is_journal = getenv("JOURNAL_STREAM") != NULL;
    (void)context;
    size_t prefix = is_journal ? 3 : 0;
    memcpy(line, prefixes[severity], 3);
    size_t used = prefix + log_line(line + prefix, sizeof line - prefix, !is_journal, date_now_ms(),
                                    severity, event, fields, count);
    /* Nothing can be done about a log that cannot be written. */
    ssize_t written = write(STDERR_FILENO, line, used);
    (void)written;
}

static struct event_sink sink = {.emit = emit, .threshold = EVENT_INFO};

const struct event_sink *log_sink(void)
{
    return &sink;
}

void log_set_threshold(enum event_severity severity)
{
    sink.threshold = severity;
}

bool log_complain(const char *format, ...)
{
    char text[600];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    EVENT(log_sink(), EVENT_ERROR, "start", FIELD(KEY_ERROR, text));
    return false;
}
