#include "mail/reply.h"

#include <string.h>

#define LINE_MAX_OCTETS 4096
#define REPLY_MAX_OCTETS ((size_t)64 * 1024)

void reply_parser_init(struct reply_parser *p)
{
    *p = (struct reply_parser){.total = 0};
    buffer_init(&p->reply.text, REPLY_MAX_OCTETS);
    buffer_init(&p->line, LINE_MAX_OCTETS);
}

void reply_parser_free(struct reply_parser *p)
{
    buffer_free(&p->reply.text);
    buffer_free(&p->line);
}

static void start_reply(struct reply_parser *p)
{
    p->reply.code = 0;
    p->reply.lines = 0;
    p->total = 0;
    p->is_complete = false;
    buffer_clear(&p->reply.text);
}

static enum reply_progress invalid(struct reply_parser *p, const char *error)
{
    p->error = error;
    return REPLY_INVALID;
}

/* The code at the front of a line, 0 when there is none in 200..599. */
static unsigned code_of(struct slice line)
{
    uint64_t code = 0;
    if (line.len < 3 || !slice_number(slice_sub(line, 0, 3), 599, &code) || code < 200)
        return 0;
    return (unsigned)code;
}

/* One whole line, without its CRLF. */
static enum reply_progress take_line(struct reply_parser *p, struct slice line)
{
    unsigned code = code_of(line);
    char separator = line.len > 3 ? line.data[3] : ' ';
    if (code == 0 || (separator != ' ' && separator != '-'))
        return invalid(p, "a line without a reply code");
    if (p->reply.lines > 0 && code != p->reply.code)
        return invalid(p, "the code changes within a reply");
    if ((p->reply.lines > 0 && !buffer_append_byte(&p->reply.text, '\n')) ||
        !buffer_append(&p->reply.text, slice_sub(line, 4, line.len)))
        return invalid(p, "out of memory");
    p->reply.code = code;
    p->reply.lines++;
    if (separator == '-')
        return REPLY_MORE;
    p->is_complete = true;
    return REPLY_COMPLETE;
}

/* Looks at what was just added to the line (from `from` on): a stray octet is found when it comes,
 * not when the peer cares to end the line. */
static const char *stray_octet(const struct buffer *line, size_t from)
{
    struct slice fresh = slice_sub(buffer_slice(line), from, line->len);
    if (slice_find(fresh, '\0') >= 0)
        return "a NUL octet";
    /* The octet before may be a CR that waits for its LF. */
    for (size_t i = from > 0 ? from - 1 : 0; i < line->len; i++) {
        bool is_cr = line->data[i] == '\r', is_lf = line->data[i] == '\n';
        if (is_cr && i + 1 < line->len && line->data[i + 1] != '\n')
            return "a CR without LF";
        if (is_lf && (i == 0 || line->data[i - 1] != '\r'))
            return "an LF without CR";
    }
    return NULL;
}

/* Moves bytes up to and with the next LF from *in to the line. */
static const char *fill_line(struct reply_parser *p, struct slice *in)
{
    ptrdiff_t end = slice_find(*in, '\n');
    size_t from = p->line.len, take = end < 0 ? in->len : (size_t)end + 1;
    if (take > LINE_MAX_OCTETS - from)
        return "a line over 4096 octets";
    if (take > REPLY_MAX_OCTETS - p->total)
        return "a reply over 64 KiB";
    if (!buffer_append(&p->line, slice_sub(*in, 0, take)))
        return "out of memory";
    p->total += take;
    *in = slice_sub(*in, take, in->len);
    return stray_octet(&p->line, from);
}

enum reply_progress reply_parser_feed(struct reply_parser *p, struct slice *in)
{
    if (p->error)
        return REPLY_INVALID;
    while (in->len > 0) {
        if (p->is_complete)
            start_reply(p);
        const char *error = fill_line(p, in);
        if (error)
            return invalid(p, error);
        if (p->line.data[p->line.len - 1] != '\n')
            continue;
        enum reply_progress progress =
            take_line(p, slice_sub(buffer_slice(&p->line), 0, p->line.len - 2));
        buffer_clear(&p->line);
        if (progress != REPLY_MORE)
            return progress;
    }
    return REPLY_MORE;
}

struct slice reply_line(const struct reply *r, unsigned index)
{
    struct slice rest = buffer_slice(&r->text);
    for (unsigned i = 0; i < index; i++) {
        ptrdiff_t end = slice_find(rest, '\n');
        if (end < 0)
            return (struct slice){NULL, 0};
        rest = slice_sub(rest, (size_t)end + 1, rest.len);
    }
    ptrdiff_t end = slice_find(rest, '\n');
    return end < 0 ? rest : slice_sub(rest, 0, (size_t)end);
}

struct status reply_status(const struct reply *r)
{
    struct status status = {0};
    struct slice rest = buffer_slice(&r->text);
    if (!status_parse(&rest, &status) || status.class != r->code / 100 ||
        (rest.len > 0 && rest.data[0] != ' ' && rest.data[0] != '\n'))
        return (struct status){0};
    return status;
}

/* ---- EHLO ---- */

/* RFC 5321: a keyword is letters, digits and '-'. Others ("AUTH=LOGIN") are nothing to act on or to
 * show. */
static bool is_keyword(struct slice word)
{
    for (size_t i = 0; i < word.len; i++) {
        char c = word.data[i];
        if (!((c | 32) >= 'a' && (c | 32) <= 'z') && !(c >= '0' && c <= '9') && c != '-')
            return false;
    }
    return word.len > 0 && word.data[0] != '-';
}

static void keep_keyword(struct ehlo_facts *facts, struct slice word)
{
    size_t len = strlen(facts->keywords);
    if (len + (len > 0) + word.len >= sizeof facts->keywords)
        return;
    if (len > 0)
        facts->keywords[len++] = ' ';
    memcpy(facts->keywords + len, word.data, word.len);
    facts->keywords[len + word.len] = '\0';
}

static void read_offer(struct ehlo_facts *facts, struct slice line)
{
    const struct {
        const char *keyword;
        bool *is_offered;
    } known[] = {
        {"STARTTLS", &facts->starttls},
        {"PIPELINING", &facts->pipelining},
        {"8BITMIME", &facts->eightbitmime},
        {"DSN", &facts->dsn},
        {"SIZE", &facts->size},
        {"SMTPUTF8", &facts->smtputf8},
        {"REQUIRETLS", &facts->requiretls},
        {"CHUNKING", &facts->chunking},
        {"ENHANCEDSTATUSCODES", &facts->enhancedstatuscodes},
    };
    struct slice word;
    if (!slice_cut(&line, ' ', &word) || !is_keyword(word))
        return;
    keep_keyword(facts, word);
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (slice_equal_nocase(word, slice_of(known[i].keyword)))
            *known[i].is_offered = true;
    /* A limit that cannot be read is as none: the peer will say so when it is passed. */
    uint64_t limit = 0;
    if (slice_equal_nocase(word, SLICE("SIZE")) &&
        slice_number(slice_trim(line), UINT64_MAX, &limit))
        facts->size_limit = limit;
}

void ehlo_read(const struct reply *r, struct ehlo_facts *out)
{
    *out = (struct ehlo_facts){.size_limit = 0};
    struct slice rest = buffer_slice(&r->text), line;
    if (r->code != 250 || !slice_cut(&rest, '\n', &line))
        return;
    /* The greeting line may be empty, so lines are counted and not words. */
    while (slice_cut(&rest, '\n', &line))
        read_offer(out, slice_trim(line));
}
