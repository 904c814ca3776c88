#include "mail/dot.h"

#include <string.h>

enum state {
    LINE_START, /* a dot here is stuffing, or the end */
    IN_LINE,
    AFTER_CR,     /* in a line; the CR is content already */
    AFTER_DOT,    /* the dot at a line's start, not given out */
    AFTER_DOT_CR, /* ".CR" at a line's start, neither given out */
    AT_END,
};

void dot_reader_init(struct dot_reader *r)
{
    *r = (struct dot_reader){.state = LINE_START};
}

static void note_line_end(struct dot_reader *r)
{
    if (r->line_len > r->longest_line)
        r->longest_line = r->line_len;
    r->line_len = 0;
}

/* Walks from p towards end in big steps, as long as the octets are content exactly as they stand.
 * Stops at a dot that begins a line (state LINE_START then) or at the end. */
static const char *walk_content(struct dot_reader *r, const char *p, const char *end)
{
    while (p < end) {
        if (r->state == AFTER_CR) {
            if (*p == '\n') {
                /* The CR was counted with the line. */
                r->line_len--;
                note_line_end(r);
                r->state = LINE_START;
                p++;
                continue;
            }
            r->has_bare_cr_lf = true;
        } else if (r->state == LINE_START && *p == '.') {
            return p;
        }
        const char *cr = memchr(p, '\r', (size_t)(end - p));
        const char *stop = cr ? cr : end;
        if (!r->has_bare_cr_lf && memchr(p, '\n', (size_t)(stop - p)))
            r->has_bare_cr_lf = true;
        r->line_len += (size_t)(stop - p) + (cr != NULL);
        r->state = cr ? AFTER_CR : IN_LINE;
        p = cr ? cr + 1 : end;
    }
    return p;
}

/* The octets behind a dot at a line's start. Returns where to go on; AT_END when that was the end.
 * The CR of a ".CR" that is no end is content: it is added to *out, whose room was made sure of. */
static const char *walk_dot(struct dot_reader *r, const char *p, struct buffer *out)
{
    if (r->state == AFTER_DOT && *p == '\r') {
        r->state = AFTER_DOT_CR;
        return p + 1;
    }
    if (r->state == AFTER_DOT) {
        r->state = IN_LINE;
        return p;
    }
    if (*p == '\n') {
        r->state = AT_END;
        return p + 1;
    }
    *buffer_reserve(out, 1) = '\r';
    buffer_commit(out, 1);
    r->line_len++;
    r->state = AFTER_CR;
    return p;
}

static void give_out(struct dot_reader *r, struct slice content, struct buffer *out)
{
    if (content.len == 0)
        return;
    memcpy(buffer_reserve(out, content.len), content.data, content.len);
    buffer_commit(out, content.len);
    r->has_nul = r->has_nul || memchr(content.data, '\0', content.len) != NULL;
    r->has_8bit = r->has_8bit || slice_has_8bit(content);
}

bool dot_reader_feed(struct dot_reader *r, struct slice *in, struct buffer *out)
{
    /* One octet more than is taken may go out: the CR kept back in AFTER_DOT_CR. */
    size_t room = buffer_room(out), before = out->len;
    size_t limit = room <= 1 ? 0 : in->len < room - 1 ? in->len : room - 1;
    if (limit == 0 || !buffer_reserve(out, limit + 1))
        return false;
    const char *p = in->data, *end = in->data + limit;
    while (p < end && r->state != AT_END) {
        if (r->state == AFTER_DOT || r->state == AFTER_DOT_CR) {
            p = walk_dot(r, p, out);
            continue;
        }
        const char *from = p;
        p = walk_content(r, p, end);
        give_out(r, (struct slice){from, (size_t)(p - from)}, out);
        if (p < end) {
            r->state = AFTER_DOT;
            p++;
        }
    }
    r->size += out->len - before;
    *in = slice_sub(*in, (size_t)(p - in->data), in->len);
    return r->state == AT_END;
}

/* ---- Writing ---- */

void dot_writer_init(struct dot_writer *w)
{
    w->state = LINE_START;
}

/* Where the next line begins within content, from p on: behind a CRLF; NULL when there is none. A
 * CR at the very end is the state's matter. */
static const char *next_line(const char *start, const char *p, const char *end, bool had_cr)
{
    while (p < end) {
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        if (!lf)
            return NULL;
        if (lf > start ? lf[-1] == '\r' : had_cr)
            return lf + 1;
        p = lf + 1;
    }
    return NULL;
}

static bool write_content(struct dot_writer *w, struct slice content, struct buffer *out)
{
    const char *p = content.data, *end = p + content.len, *kept = p;
    bool had_cr = w->state == AFTER_CR;
    const char *line = w->state == LINE_START ? p : next_line(p, p, end, had_cr);
    for (; line && line < end; line = next_line(p, line, end, had_cr)) {
        if (*line != '.')
            continue;
        if (!buffer_append(out, (struct slice){kept, (size_t)(line - kept)}) ||
            !buffer_append_byte(out, '.'))
            return false;
        kept = line;
    }
    if (!buffer_append(out, (struct slice){kept, (size_t)(end - kept)}))
        return false;
    w->state = line ? LINE_START : end[-1] == '\r' ? AFTER_CR : IN_LINE;
    return true;
}

bool dot_writer_feed(struct dot_writer *w, struct slice content, struct buffer *out)
{
    size_t before = out->len;
    if (content.len == 0)
        return true;
    if (!buffer_reserve(out, content.len))
        return false;
    if (write_content(w, content, out))
        return true;
    out->len = before;
    return false;
}

bool dot_writer_end(struct dot_writer *w, struct buffer *out)
{
    struct slice end = w->state == LINE_START ? SLICE(".\r\n") : SLICE("\r\n.\r\n");
    if (!buffer_append(out, end))
        return false;
    w->state = LINE_START;
    return true;
}
