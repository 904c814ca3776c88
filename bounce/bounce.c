#include "bounce/bounce.h"

#include <stdio.h>
#include <string.h>

#include "bounce/parts.h"
#include "mail/date.h"
#include "mail/header.h"

static const char *subject(enum bounce_kind kind)
{
    switch (kind) {
    case BOUNCE_FAILURE:
        return "Undelivered Mail Returned to Sender";
    case BOUNCE_DELAY:
        return "Delayed Mail (still being retried)";
    case BOUNCE_SUCCESS:
        return "Successful Mail Delivery Report";
    }
    panic("subject: kind %d", (int)kind);
}

#define BOUNDARY_SIZE 64
/* A line of the returned message could end our part: then another boundary is taken. */
static void choose_boundary(const struct bounce_report *report, char out[BOUNDARY_SIZE])
{
    for (unsigned i = 0;; i++) {
        int len = snprintf(out, BOUNDARY_SIZE, "=_%.40s.%u", report->notice_id, i);
        bool is_used =
            (report->header.len > 0 &&
             memmem(report->header.data, report->header.len, out, (size_t)len)) ||
            (report->body.len > 0 && memmem(report->body.data, report->body.len, out, (size_t)len));
        if (!is_used)
            return;
    }
}

/* The original's Message-ID as it is quoted in References; "" when it is no plain <id>. */
static void original_id(struct slice header, char *out, size_t size)
{
    if (!header_value(header, SLICE("Message-ID"), out, size)) {
        out[0] = '\0';
        return;
    }
    size_t len = strlen(out);
    bool is_id = len > 2 && out[0] == '<' && out[len - 1] == '>';
    for (size_t i = 0; i < len; i++)
        is_id = is_id && out[i] > ' ' && out[i] < 127;
    if (!is_id)
        out[0] = '\0';
}

bool report_says_tls_required_no(const struct bounce_report *report)
{
    struct header_facts facts;
    header_scan(report->header, &facts);
    return facts.tls_required_no;
}

/* The order of Postfix, which programs that read bounces know. */
static void write_header(const struct bounce_report *report, const char *boundary, struct page *out)
{
    char date[DATE_SIZE], host[DOMAIN_SIZE], notice_id[64], id[512];
    page_clean_ascii(report->hostname, host, sizeof host);
    page_clean_ascii(report->notice_id, notice_id, sizeof notice_id);
    original_id(report->header, id, sizeof id);
    page_field(out, "Date", date_rfc5322(report->now, date));
    page_printf(out, "From: Mail Delivery System <MAILER-DAEMON@%s>\r\n", host);
    page_field(out, "Subject", subject(report->kind));
    page_field(out, "To", report->to);
    page_field(out, "References", id);
    page_field(out, "In-Reply-To", id);
    if (report_says_tls_required_no(report))
        page_field(out, "TLS-Required", "No");
    page_printf(out,
                "Auto-Submitted: auto-replied\r\n"
                "MIME-Version: 1.0\r\n"
                "Content-Type: multipart/report; report-type=delivery-status;\r\n"
                "\tboundary=\"%s\"\r\n"
                "Message-ID: <%s@%s>\r\n"
                "\r\n"
                "This is a MIME-encapsulated message.\r\n",
                boundary, notice_id, host);
}

static void write_explanation(const struct bounce_report *report, struct page *out)
{
    struct buffer raw, text;
    buffer_init(&raw, out->out->ceiling);
    buffer_init(&text, out->out->ceiling);
    struct page raw_page = {.out = &raw}, page = {.out = &text};
    explanation_write(report, &raw_page);
    wrap_text(buffer_slice(&raw), &page);
    out->is_full = out->is_full || raw_page.is_full || page.is_full;
    encode_text(buffer_slice(&text), out);
    buffer_free(&raw);
    buffer_free(&text);
}

bool bounce_write(const struct bounce_report *report, struct buffer *out)
{
    size_t before = out->len;
    struct page page = {.out = out};
    char boundary[BOUNDARY_SIZE];
    choose_boundary(report, boundary);
    write_header(report, boundary, &page);
    page_printf(&page, "\r\n--%s\r\n", boundary);
    write_explanation(report, &page);
    page_printf(&page, "\r\n--%s\r\n", boundary);
    delivery_status_write(report, &page);
    page_printf(&page, "\r\n--%s\r\n", boundary);
    returned_write(report, &page);
    page_printf(&page, "\r\n--%s--\r\n", boundary);
    if (page.is_full)
        out->len = before;
    return !page.is_full;
}
