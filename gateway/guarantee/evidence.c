/* What each host showed, one line each, for the postmaster on the other side. */
#include "gateway/guarantee/judge.h"

#include <stdio.h>

#include "gateway/guarantee/words.h"
#include "mail/date.h"

/* One line being written; what does not fit is left out at its end. */
struct line {
    size_t len;
    char text[2048];
};

PRINTF_LIKE(2, 3) static void add(struct line *line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int written =
        vsnprintf(line->text + line->len, sizeof line->text - line->len, format, arguments);
    va_end(arguments);
    if (written > 0)
        line->len += (size_t)written;
    if (line->len >= sizeof line->text)
        line->len = sizeof line->text - 1;
}

static const char *or_empty(const char *text)
{
    return text != NULL ? text : "";
}

static const char *tlsa_words(enum guarantee_tlsa tlsa)
{
    switch (tlsa) {
    case GUARANTEE_TLSA_NONE:
        return "none";
    case GUARANTEE_TLSA_USABLE:
        return "usable";
    case GUARANTEE_TLSA_UNUSABLE:
        return "unusable";
    case GUARANTEE_TLSA_ERROR:
        return "lookup error";
    }
    panic("tlsa_words: %d", (int)tlsa);
}

/* Nothing where no policy is in force: most domains have none. */
static void add_sts(struct line *line, const struct guarantee_host *h)
{
    const char *detail = or_empty(h->sts_detail);
    switch (h->sts) {
    case GUARANTEE_STS_NONE:
        return;
    case GUARANTEE_STS_TESTING:
        add(line, ", MTA-STS policy in testing mode");
        return;
    case GUARANTEE_STS_COVERS:
        add(line, ", MTA-STS policy lists the host");
        return;
    case GUARANTEE_STS_EXCLUDES:
        add(line, ", MTA-STS policy does not list the host");
        return;
    case GUARANTEE_STS_UNKNOWN:
        add(line, ", MTA-STS policy could not be learnt%s%s", detail[0] ? ": " : "", detail);
        return;
    case GUARANTEE_STS_OUR_FAULT:
        add(line, ", MTA-STS policy not learnt by a fault of our own%s%s", detail[0] ? ": " : "",
            detail);
        return;
    }
    panic("add_sts: %d", (int)h->sts);
}

static void add_memory(struct line *line, const struct guarantee_host *h)
{
    char when[DATE_SIZE];
    if (h->tls_seen_at == 0 || h->tls == GUARANTEE_TLS_ESTABLISHED)
        return;
    add(line, "; had TLS on earlier looks, last at %s", date_rfc3339(h->tls_seen_at, when));
}

static void add_cause(struct line *line, const struct outcome *o)
{
    if (o->status.class == 0)
        return;
    if (o->code != 0)
        add(line, " (%u %s)", o->code, o->text);
    else
        add(line, " (%s)", o->text);
}

/* Only where somebody has to compare them. */
static void add_digests(struct line *line, const struct guarantee_requirement *r,
                        const struct guarantee_host *h)
{
    bool is_asked =
        r->policy == GUARANTEE_POLICY_FINGERPRINT || r->route == GUARANTEE_POLICY_FINGERPRINT;
    if (is_asked && or_empty(h->key_digest)[0])
        add(line, "; SHA-256 of the key %s, of the certificate %s", h->key_digest,
            or_empty(h->certificate_digest));
}

static void add_certificate(struct line *line, const struct guarantee_requirement *r,
                            const struct guarantee_host *h)
{
    add(line, "; %s%s%s", or_empty(h->protocol), or_empty(h->cipher)[0] ? " with " : "",
        or_empty(h->cipher));
    if (h->tlsa == GUARANTEE_TLSA_USABLE)
        add(line, "; certificate %s a TLSA record",
            h->is_dane_matched ? "matches" : "does not match");
    if (or_empty(h->certificate_error)[0])
        add(line, "; certificate: %s", h->certificate_error);
    if (h->is_pkix_valid)
        add(line, "; certificate is valid by WebPKI%s",
            h->sts == GUARANTEE_STS_COVERS && !h->is_pkix_for_host ? ", not for the host name"
                                                                   : "");
    add_digests(line, r, h);
}

static void add_tls(struct line *line, const struct guarantee_requirement *r,
                    const struct guarantee_host *h)
{
    add(line, "EHLO offered: %s", or_empty(h->keywords)[0] ? h->keywords : "nothing");
    switch (h->tls) {
    case GUARANTEE_TLS_UNTRIED:
        add(line, "; STARTTLS not tried");
        return;
    case GUARANTEE_TLS_NOT_OFFERED:
        add(line, "; no STARTTLS");
        return;
    case GUARANTEE_TLS_TRY_LATER:
        add(line, "; STARTTLS put off");
        add_cause(line, &h->cause);
        return;
    case GUARANTEE_TLS_CUT:
        add(line, "; handshake cut");
        add_cause(line, &h->cause);
        return;
    case GUARANTEE_TLS_REFUSED:
        add(line, "; STARTTLS refused");
        add_cause(line, &h->cause);
        return;
    case GUARANTEE_TLS_FAILED:
        add(line, "; handshake failed");
        add_cause(line, &h->cause);
        return;
    case GUARANTEE_TLS_ESTABLISHED:
        add_certificate(line, r, h);
        return;
    }
    panic("add_tls: %d", (int)h->tls);
}

static void add_contact(struct line *line, const struct guarantee_requirement *r,
                        const struct guarantee_host *h)
{
    switch (h->contact) {
    case GUARANTEE_UNTRIED:
        add(line, "not connected");
        add_cause(line, &h->cause);
        return;
    case GUARANTEE_OUR_FAULT:
        add(line, "a fault of our own");
        add_cause(line, &h->cause);
        return;
    case GUARANTEE_NO_CONTACT:
        add(line, "unreachable");
        add_cause(line, &h->cause);
        return;
    case GUARANTEE_IN_CONTACT:
        add_tls(line, r, h);
        return;
    }
    panic("add_contact: %d", (int)h->contact);
}

/* What peers said may hold any octet; one host is one line. */
static void make_printable(struct line *line)
{
    for (size_t i = 0; i < line->len; i++) {
        unsigned char octet = (unsigned char)line->text[i];
        if (octet < ' ' || octet == 0x7f)
            line->text[i] = '?';
    }
}

static void write_line(struct line *line, const struct guarantee_requirement *r,
                       const struct guarantee_host *h)
{
    char host[WORDS_HOST_SIZE], when[DATE_SIZE];
    enum guarantee_kind kind = guarantee_judge(r, h).kind;
    line->len = 0;
    add(line, "%s:%u (preference %u)", words_host(h, host), h->port, h->preference);
    if (h->at != 0)
        add(line, " at %s", date_rfc3339(h->at, when));
    add(line, ": %s: ", guarantee_kind_name(kind));
    add_contact(line, r, h);
    add(line, "; MX look-up %s, TLSA %s", h->is_name_secure ? "secure" : "insecure",
        tlsa_words(h->tlsa));
    add_sts(line, h);
    add_memory(line, h);
    if (h->answer != GUARANTEE_ANSWER_NONE && h->reply.status.class != 0) {
        add(line, "; answered");
        add_cause(line, &h->reply);
    }
    make_printable(line);
}

void guarantee_evidence(const struct guarantee_requirement *r,
                        const struct guarantee_attempt *attempt, struct buffer *out)
{
    for (size_t i = 0; i < attempt->count; i++) {
        struct line line;
        write_line(&line, r, &attempt->hosts[i]);
        if (buffer_room(out) < line.len + 1 ||
            !buffer_append(out, (struct slice){line.text, line.len}) ||
            !buffer_append_byte(out, '\n'))
            return;
    }
}
