/* Part 3: the message, its header, or three fields of it.
 *
 * What is returned is always 7-bit with lines of at most 998 octets: a notice that its way back
 * cannot carry would be lost, as nobody bounces a bounce. message/rfc822 and text/rfc822-headers
 * may not be encoded (RFC 2046 section 5.2.1), so a message with 8-bit octets comes back as its
 * header alone, with those octets as '?'. */
#include "bounce/parts.h"
#include "mail/header.h"

#define LINE_LIMIT 998

/* Lines ending in CRLF, ASCII, short enough: may it be returned as it is? */
static bool is_plain(struct slice content)
{
    size_t line = 0;
    for (size_t i = 0; i < content.len; i++) {
        unsigned char c = (unsigned char)content.data[i];
        bool is_crlf = c == '\r' && i + 1 < content.len && content.data[i + 1] == '\n';
        if (is_crlf) {
            line = 0;
            i++;
            continue;
        }
        if (c == '\r' || c == '\n' || c == '\0' || c > 127 || ++line > LINE_LIMIT)
            return false;
    }
    return true;
}

static char shown_as(unsigned char c)
{
    return (c >= ' ' && c < 127) || c == '\t' ? (char)c : '?';
}

/* Copies header lines; what a header may not hold becomes '?', what is too long is folded. */
static void put_header(struct slice header, struct page *out)
{
    struct slice line;
    while (slice_cut(&header, '\n', &line)) {
        if (line.len > 0 && line.data[line.len - 1] == '\r')
            line.len--;
        /* An empty line would end the header; there should be none. */
        for (size_t i = 0, column = 0; i < line.len; i++) {
            if (column == LINE_LIMIT) {
                page_text(out, "\r\n ");
                column = 1;
            }
            char c = shown_as((unsigned char)line.data[i]);
            page_put(out, (struct slice){&c, 1});
            column++;
        }
        if (line.len > 0)
            page_text(out, "\r\n");
    }
}

/* GUARANTEE.md section 4: what does not come back cannot be read under way. */
static void put_redacted(struct slice header, struct page *out)
{
    static const struct slice kept[] = {
        {"Date", 4},
        {"Message-ID", 10},
        {"From", 4},
    };
    bool is_done[COUNT_OF(kept)] = {false};
    struct header_field field;
    while (header_next(&header, &field)) {
        for (size_t i = 0; i < COUNT_OF(kept); i++) {
            if (is_done[i] || !slice_equal_nocase(field.name, kept[i]))
                continue;
            put_header(field.whole, out);
            is_done[i] = true;
        }
    }
}

static const char *state(enum bounce_kind kind)
{
    switch (kind) {
    case BOUNCE_FAILURE:
        return "Undelivered ";
    case BOUNCE_DELAY:
        return "Delayed ";
    case BOUNCE_SUCCESS:
        return "";
    }
    panic("state: kind %d", (int)kind);
}

static bool is_full_returned(const struct bounce_report *report)
{
    return report->ret == RET_FULL && !report->is_redacted && report->body.data != NULL &&
           !report->has_8bit && is_plain(report->header) && is_plain(report->body);
}

static void put_return_path(const struct bounce_report *report, struct page *out)
{
    char path[ADDRESS_SIZE];
    page_clean_ascii(report->reverse_path, path, sizeof path);
    page_printf(out, "Return-Path: <%s>\r\n", path);
}

void returned_write(const struct bounce_report *report, struct page *out)
{
    bool is_full = is_full_returned(report);
    page_printf(out,
                "Content-Description: %sMessage%s\r\n"
                "Content-Type: %s\r\n"
                "Content-Transfer-Encoding: 7bit\r\n\r\n",
                state(report->kind), is_full ? "" : " Headers",
                is_full ? "message/rfc822" : "text/rfc822-headers");
    if (report->is_redacted) {
        put_redacted(report->header, out);
        return;
    }
    put_return_path(report, out);
    put_header(report->header, out);
    if (!is_full)
        return;
    page_text(out, "\r\n");
    page_put(out, report->body);
    if (!slice_ends_nocase(report->body, SLICE("\r\n")))
        page_text(out, "\r\n");
}
