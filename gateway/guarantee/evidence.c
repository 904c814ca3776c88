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

static const char *tlsa_words(const struct guarantee_host *h)
{
    switch (h->tlsa) {
    case GUARANTEE_TLSA_NONE:
        return h->is_tlsa_insecure ? "insecure" : "none";
    case GUARANTEE_TLSA_USABLE:
        return "usable";
    case GUARANTEE_TLSA_UNUSABLE:
        return "unusable";
    case GUARANTEE_TLSA_ERROR:
        return "lookup error";
    }
    panic("tlsa_words: %d", (int)h->tlsa);
}

/* How we came to the name. */
static const char *mx_words(const struct guarantee_host *h)
{
    if (h->is_literal)
        return "address literal, no MX look-up";
    if (h->is_configured)
        return "configured next hop, no MX look-up";
    return h->is_name_secure ? "MX look-up secure" : "MX look-up insecure";
}

/* Nothing where the domain has simply none, as most. */
static void add_sts(struct line *line, const struct guarantee_host *h)
{
    const char *detail = or_empty(h->sts_detail);
    switch (h->sts) {
    case GUARANTEE_STS_NONE:
        if (detail[0])
            add(line, ", no MTA-STS policy: %s", detail);
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

/* The verdict, unless it says more than was seen: about a host that was not connected to, or about
 * TLS that is up where the policy lacks. */
static const char *heading(enum guarantee_kind kind, const struct guarantee_host *h)
{
    if (h->contact == GUARANTEE_UNTRIED && kind == GUARANTEE_NOT_AUTHENTICATED)
        return "left out, not connected";
    if (h->tls == GUARANTEE_TLS_ESTABLISHED && kind == GUARANTEE_PASSING_TROUBLE)
        return "MTA-STS policy unknown";
    return guarantee_kind_name(kind);
}

static void add_contact(struct line *line, const struct guarantee_requirement *r,
                        const struct guarantee_host *h, enum guarantee_kind kind)
{
    add(line, ": %s", heading(kind, h));
    switch (h->contact) {
    case GUARANTEE_UNTRIED:
        if (kind != GUARANTEE_NOT_AUTHENTICATED)
            add(line, ": not connected");
        add_cause(line, &h->cause);
        return;
    case GUARANTEE_OUR_FAULT:
        /* The heading has said it. */
        add_cause(line, &h->cause);
        return;
    case GUARANTEE_NO_CONTACT:
        /* The heading has said it. */
        if (kind != GUARANTEE_UNREACHABLE)
            add(line, ": unreachable");
        add_cause(line, &h->cause);
        return;
    case GUARANTEE_IN_CONTACT:
        add(line, ": ");
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
    if (h->is_recalled) {
        add(line, "not tried again yet; an earlier attempt found");
        add_cause(line, &h->cause);
        make_printable(line);
        return;
    }
    add(line, "%s:%u (preference %u)", words_host(h, host), h->port, h->preference);
    if (h->at != 0)
        add(line, " at %s", date_rfc3339(h->at, when));
    add_contact(line, r, h, kind);
    add(line, "; %s, TLSA %s", mx_words(h), tlsa_words(h));
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
