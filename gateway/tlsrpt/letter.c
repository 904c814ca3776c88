#include "gateway/tlsrpt/letter.h"

#include "mail/date.h"

enum { LINE_OCTETS = 57 }; /* 76 characters, RFC 2045 section 6.8 */

/* A line of base64 has no blank in it, so that this cannot be one. */
#define BOUNDARY "=_ tls report"

static bool write_recipients(const struct letter *l, struct buffer *out)
{
    const char *lead = "To: ";
    bool fits = true;
    for (size_t i = 0; fits && i < l->places->count; i++) {
        if (l->places->list[i].kind != TLSRPT_MAILTO)
            continue;
        fits = buffer_printf(out, "%s<%s>", lead, l->places->list[i].address);
        lead = ",\r\n ";
    }
    return fits && buffer_append_text(out, "\r\n");
}

static bool write_header(const struct letter *l, struct buffer *out)
{
    char date[DATE_SIZE];
    char id[DOCUMENT_ID_SIZE];
    const struct document_head *h = &l->head;
    return buffer_printf(out, "Date: %s\r\nFrom: <%s>\r\n", date_rfc5322(l->now, date), l->from) &&
           write_recipients(l, out) &&
           buffer_printf(out,
                         "Subject: Report Domain: %s\r\n"
                         " Submitter: %s\r\n"
                         " Report-ID: <%s>\r\n"
                         "Message-ID: <%s.tls-report@%s>\r\n"
                         "TLS-Report-Domain: %s\r\n"
                         "TLS-Report-Submitter: %s\r\n",
                         h->domain, h->hostname, document_id(h, id), l->queue_id, h->hostname,
                         h->domain, h->hostname) &&
           /* What a report tells of must not keep it back on its way either (RFC 8689). */
           buffer_append_text(out, "TLS-Required: No\r\n"
                                   "Auto-Submitted: auto-generated\r\n"
                                   "MIME-Version: 1.0\r\n"
                                   "Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n"
                                   "\tboundary=\"" BOUNDARY "\"\r\n"
                                   "\r\n");
}

static bool write_words(const struct letter *l, struct buffer *out)
{
    char date[DATE_SIZE];
    return buffer_printf(
        out,
        "--" BOUNDARY "\r\n"
        "Content-Type: text/plain; charset=us-ascii\r\n"
        "\r\n"
        "This is a report about TLS in mail to the domain\r\n"
        "    %s\r\n"
        "on %.10s (UTC), as the mail gateway\r\n"
        "    %s\r\n"
        "saw it (RFC 8460). The TXT record of " TLSRPT_NAME_PREFIX "DOMAIN asks for it.\r\n"
        "\r\n",
        l->head.domain, date_rfc3339(document_begins_at(&l->head), date), l->head.hostname);
}

static bool write_base64(struct slice in, struct buffer *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bool fits = true;
    for (size_t i = 0; fits && i < in.len; i += 3) {
        uint32_t bits = 0;
        size_t count = in.len - i < 3 ? in.len - i : 3;
        for (size_t k = 0; k < 3; k++)
            bits = bits << 8 | (k < count ? (uint8_t)in.data[i + k] : 0);
        char four[4] = {digits[bits >> 18], digits[bits >> 12 & 63],
                        count > 1 ? digits[bits >> 6 & 63] : '=',
                        count > 2 ? digits[bits & 63] : '='};
        bool is_end = i + 3 >= in.len || (i + 3) % LINE_OCTETS == 0;
        fits = buffer_append(out, (struct slice){four, sizeof four}) &&
               (!is_end || buffer_append_text(out, "\r\n"));
    }
    return fits;
}

static bool write_report(const struct letter *l, struct buffer *out)
{
    return buffer_printf(out,
                         "--" BOUNDARY "\r\n"
                         "Content-Type: application/tlsrpt+gzip\r\n"
                         "Content-Transfer-Encoding: base64\r\n"
                         "Content-Disposition: attachment;\r\n"
                         "\tfilename=\"%s!%s!%lld!%lld!001.json.gz\"\r\n"
                         "\r\n",
                         l->head.hostname, l->head.domain, (long long)document_begins_at(&l->head),
                         (long long)document_ends_at(&l->head)) &&
           write_base64(l->report, out) && buffer_append_text(out, "--" BOUNDARY "--\r\n");
}

bool letter_write(const struct letter *l, struct buffer *out)
{
    return write_header(l, out) && write_words(l, out) && write_report(l, out);
}
