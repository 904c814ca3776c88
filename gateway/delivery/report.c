#include "gateway/delivery/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DAY_SECONDS = 86400 };

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

/* ---- which policy applied ---- */

static bool is_in_force(const struct sts_policy *policy)
{
    return policy && policy->mode != STS_MODE_NONE;
}

/* DANE goes first, host by host (GUARANTEE.md section 6). */
static enum queue_tlsrpt_type type_of(const struct report_session *s)
{
    if (s->host->tlsa != GUARANTEE_TLSA_NONE || s->requires_dane)
        return QUEUE_TLSRPT_TLSA;
    if (is_in_force(s->policy) || s->sts_failure != STS_FAILURE_NONE)
        return QUEUE_TLSRPT_STS;
    return QUEUE_TLSRPT_NO_POLICY_FOUND;
}

/* ---- did the session live up to it ---- */

enum word { WORD_NOTHING, WORD_SUCCESS, WORD_FAILURE };

struct finding {
    enum word word;
    enum queue_tlsrpt_cause cause; /* of a failure */
    const char *reason;            /* borrowed; "" says nothing */
};

static struct finding failure(enum queue_tlsrpt_cause cause, const char *reason)
{
    return (struct finding){WORD_FAILURE, cause, or_empty(reason)};
}

static const struct finding nothing = {.word = WORD_NOTHING, .reason = ""};
static const struct finding success = {.word = WORD_SUCCESS, .reason = ""};

/* By OpenSSL's words, and our own about names (gateway/tls/peer.c). */
static struct finding certificate_failure(const char *error)
{
    if (strstr(error, "expired"))
        return failure(QUEUE_TLSRPT_CERTIFICATE_EXPIRED, error);
    if (strstr(error, "ostname mismatch"))
        return failure(QUEUE_TLSRPT_CERTIFICATE_HOST_MISMATCH, error);
    return failure(QUEUE_TLSRPT_CERTIFICATE_NOT_TRUSTED, error);
}

static struct finding sts_failure(const struct report_session *s)
{
    const char *detail = s->host->sts_detail;
    switch (s->sts_failure) {
    case STS_FAILURE_FETCH:
        return failure(QUEUE_TLSRPT_STS_POLICY_FETCH_ERROR, detail);
    case STS_FAILURE_INVALID:
        return failure(QUEUE_TLSRPT_STS_POLICY_INVALID, detail);
    case STS_FAILURE_WEBPKI:
        return failure(QUEUE_TLSRPT_STS_WEBPKI_INVALID, detail);
    case STS_FAILURE_NONE:
        return nothing;
    }
    panic("no such failure of MTA-STS: %d", (int)s->sts_failure);
}

/* What stands against the session before anything was negotiated. */
static struct finding policy_failure(const struct report_session *s, enum queue_tlsrpt_type type)
{
    const struct guarantee_host *h = s->host;
    if (type == QUEUE_TLSRPT_TLSA && h->tlsa == GUARANTEE_TLSA_ERROR) {
        /* On a connection it says that the records ran out under way: nobody failed. */
        return h->contact == GUARANTEE_UNTRIED ? failure(QUEUE_TLSRPT_DNSSEC_INVALID, h->cause.text)
                                               : nothing;
    }
    if (type == QUEUE_TLSRPT_TLSA && h->tlsa == GUARANTEE_TLSA_UNUSABLE)
        return failure(QUEUE_TLSRPT_TLSA_INVALID, "no usable TLSA record");
    if (type == QUEUE_TLSRPT_TLSA && h->tlsa == GUARANTEE_TLSA_NONE)
        return failure(QUEUE_TLSRPT_DANE_REQUIRED, "");
    if (type != QUEUE_TLSRPT_STS)
        return nothing;
    if (!is_in_force(s->policy))
        return sts_failure(s);
    /* RFC 8460 has no result of its own for it (section 4.3: "a reason not matching"). */
    return sts_policy_covers(s->policy, h->name)
               ? nothing
               : failure(QUEUE_TLSRPT_VALIDATION_FAILURE, "MX host not in MTA-STS policy");
}

static struct finding certificate_finding(const struct guarantee_host *h,
                                          enum queue_tlsrpt_type type)
{
    bool is_good = type == QUEUE_TLSRPT_NO_POLICY_FOUND ||
                   (type == QUEUE_TLSRPT_TLSA && h->is_dane_matched) ||
                   (type == QUEUE_TLSRPT_STS && h->is_pkix_for_host);
    if (is_good)
        return success;
    /* Valid, but for the domain alone: MTA-STS asks for the name of the host. */
    if (type == QUEUE_TLSRPT_STS && h->is_pkix_valid)
        return failure(QUEUE_TLSRPT_CERTIFICATE_HOST_MISMATCH, "not valid for the MX host's name");
    return certificate_failure(or_empty(h->certificate_error));
}

static struct finding negotiation(const struct guarantee_host *h, enum queue_tlsrpt_type type)
{
    switch (h->tls) {
    case GUARANTEE_TLS_UNTRIED:
        return nothing;
    case GUARANTEE_TLS_NOT_OFFERED:
        return failure(QUEUE_TLSRPT_STARTTLS_NOT_SUPPORTED, "");
    case GUARANTEE_TLS_TRY_LATER:
    case GUARANTEE_TLS_CUT:
    case GUARANTEE_TLS_REFUSED:
    case GUARANTEE_TLS_FAILED:
        return failure(QUEUE_TLSRPT_VALIDATION_FAILURE, h->cause.text);
    case GUARANTEE_TLS_ESTABLISHED:
        return certificate_finding(h, type);
    }
    panic("no such TLS fact: %d", (int)h->tls);
}

static struct finding find(const struct report_session *s, enum queue_tlsrpt_type type)
{
    const struct guarantee_host *h = s->host;
    bool is_contact = h->contact == GUARANTEE_IN_CONTACT;
    if (h->is_literal || (!is_contact && h->contact != GUARANTEE_UNTRIED))
        return nothing;
    /* That it is left out is known of every host; the rest is a matter of sessions. */
    bool is_left_out = h->tlsa == GUARANTEE_TLSA_ERROR || h->sts == GUARANTEE_STS_EXCLUDES;
    if (!is_contact && !is_left_out)
        return nothing;
    if (is_contact && h->tls == GUARANTEE_TLS_UNTRIED)
        return nothing;
    struct finding found = policy_failure(s, type);
    bool is_over = found.word != WORD_NOTHING || !is_contact || h->tlsa == GUARANTEE_TLSA_ERROR;
    return is_over ? found : negotiation(h, type);
}

/* ---- the result ---- */

/* RFC 8460 section 4.4: one string for each line. */
static char *policy_lines(const struct sts_policy *policy)
{
    size_t len = 0;
    char *lines = xalloc(strlen(policy->text) + 1);
    for (const char *p = policy->text; *p; p++)
        if (*p != '\r')
            lines[len++] = *p;
    while (len > 0 && lines[len - 1] == '\n')
        lines[--len] = '\0';
    return lines;
}

static char *pattern_lines(const struct sts_policy *policy)
{
    struct buffer lines;
    bool fits = true;
    buffer_init(&lines, STS_TEXT_MAX + STS_MX_MAX);
    for (size_t i = 0; fits && i < policy->mx_count; i++)
        fits = (i == 0 || buffer_append_byte(&lines, '\n')) &&
               buffer_append_text(&lines, policy->mx[i]);
    const char *text = buffer_text(&lines);
    char *copy = xstrdup(or_empty(text));
    buffer_free(&lines);
    return copy;
}

/* A host's own words are endless in number, and equal failures are to add up: its code is enough.
 */
static void write_reason(const struct guarantee_host *h, const struct finding *f, char *out,
                         size_t size)
{
    char status[STATUS_SIZE];
    bool is_reply = f->reason == h->cause.text && h->cause.code > 0;
    if (is_reply)
        snprintf(out, size, "STARTTLS answered %u %s", h->cause.code,
                 status_text(h->cause.status, status));
    else
        snprintf(out, size, "%.*s", (int)size - 1, f->reason);
}

static void write_failure(const struct report_session *s, const struct finding *found,
                          struct queue_tlsrpt_failure *out)
{
    const struct guarantee_host *h = s->host;
    out->cause = found->cause;
    out->count = 1;
    snprintf(out->sending_address, sizeof out->sending_address, "%s", or_empty(s->sending_address));
    snprintf(out->mx_host, sizeof out->mx_host, "%s", or_empty(h->name));
    snprintf(out->receiving_address, sizeof out->receiving_address, "%s", or_empty(h->address));
    write_reason(h, found, out->reason, sizeof out->reason);
}

bool report_of_session(const struct report_session *s, struct report *out)
{
    enum queue_tlsrpt_type type = type_of(s);
    struct finding found = find(s, type);
    if (found.word == WORD_NOTHING || s->host->at < 0)
        return false;
    bool has_policy = type == QUEUE_TLSRPT_STS && is_in_force(s->policy);
    bool has_tlsa = type == QUEUE_TLSRPT_TLSA && s->tlsa;
    *out = (struct report){
        .strings = has_policy ? policy_lines(s->policy) : xstrdup(has_tlsa ? s->tlsa : ""),
        .mx_hosts = has_policy ? pattern_lines(s->policy) : xstrdup(""),
    };
    out->result = (struct queue_tlsrpt_result){
        .domain = s->domain,
        .day = (uint32_t)(s->host->at / DAY_SECONDS),
        .type = type,
        .strings = out->strings,
        .mx_hosts = out->mx_hosts,
        .successes = found.word == WORD_SUCCESS,
    };
    if (found.word == WORD_FAILURE)
        write_failure(s, &found, &out->result.failure);
    return true;
}

void report_free(struct report *r)
{
    free(r->strings);
    free(r->mx_hosts);
    *r = (struct report){0};
}

/* ---- TLSA records ---- */

static char *record_line(const struct dns_tlsa_record *r)
{
    char *line = xalloc(16 + 2 * (size_t)r->len);
    size_t used = (size_t)snprintf(line, 16, "%u %u %u ", r->usage, r->selector, r->matching);
    for (size_t i = 0; i < r->len; i++, used += 2)
        snprintf(line + used, 3, "%02X", r->data[i]);
    return line;
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The order of an answer may be another each time, and is no other policy. */
char *report_tlsa_lines(const struct dns_tlsa_record *records, size_t count)
{
    struct buffer text;
    bool fits = true;
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): the elements are pointers */
    char **lines = xalloc((count + 1) * sizeof *lines);
    for (size_t i = 0; i < count; i++)
        lines[i] = record_line(&records[i]);
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): the same */
    qsort(lines, count, sizeof *lines, compare_lines);
    buffer_init(&text, QUEUE_TLSRPT_TEXT_MAX);
    for (size_t i = 0; i < count; i++) {
        fits = fits && strlen(lines[i]) + 1 <= buffer_room(&text) &&
               (i == 0 || buffer_append_byte(&text, '\n')) && buffer_append_text(&text, lines[i]);
        free(lines[i]);
    }
    char *copy = xstrdup(or_empty(buffer_text(&text)));
    free(lines);
    buffer_free(&text);
    return copy;
}
