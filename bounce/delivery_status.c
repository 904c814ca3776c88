/* Part 2: message/delivery-status (RFC 3464). Every value passes page_field(): what a peer or a
 * client wrote cannot begin a field of its own. */
#include <stdio.h>
#include <string.h>

#include "bounce/parts.h"
#include "mail/date.h"
#include "mail/xtext.h"

static void put_date(struct page *out, const char *name, int64_t at)
{
    char date[DATE_SIZE];
    if (at != 0)
        page_field(out, name, date_rfc5322(at, date));
}

static void put_typed(struct page *out, const char *name, const char *type, const char *value)
{
    char line[960];
    if (value[0] == '\0')
        return;
    snprintf(line, sizeof line, "%s; %s", type, value);
    page_field(out, name, line);
}

/* ENVID comes back decoded (RFC 3464 section 2.2.1). What does not decode is not ours to guess. */
static void put_envelope_id(struct page *out, const char *envid)
{
    char decoded[ENVID_SIZE];
    if (envid[0] != '\0' && xtext_decode(slice_of(envid), decoded, sizeof decoded))
        page_field(out, "Original-Envelope-Id", decoded);
}

/* "rfc822;bob+2Bx@example" becomes "rfc822; bob+x@example" (RFC 3464 section 2.3.1). */
static void put_original_recipient(struct page *out, const char *orcpt)
{
    struct slice rest = slice_of(orcpt), type;
    char type_text[64], decoded[ORCPT_SIZE];
    if (slice_find(rest, ';') < 1 || !slice_cut(&rest, ';', &type))
        return;
    if (slice_copy(type, type_text, sizeof type_text) &&
        xtext_decode(rest, decoded, sizeof decoded))
        put_typed(out, "Original-Recipient", type_text, decoded);
}

static const char *action(const struct bounce_recipient *r)
{
    switch (r->disposition) {
    case DISPOSITION_DELIVERED:
        return r->is_relayed ? "relayed" : "delivered";
    case DISPOSITION_DEFERRED:
        return "delayed";
    case DISPOSITION_FAILED:
    case DISPOSITION_HELD: /* the RFC has no word for it; X-Sealpost-Held-ID says the rest */
        return "failed";
    }
    panic("action: disposition %d", (int)r->disposition);
}

static void put_outcome(const struct outcome *o, struct page *out)
{
    char status[STATUS_SIZE], diagnostic[PAGE_DIAGNOSTIC_SIZE];
    page_field(out, "Status", status_text(o->status, status));
    put_typed(out, "Remote-MTA", "dns", o->mx);
    page_diagnostic(o, diagnostic);
    put_typed(out, "Diagnostic-Code", o->code != 0 ? "smtp" : "X-Sealpost", diagnostic);
}

static const char *or_none(const char *value)
{
    return value[0] != '\0' && strcmp(value, "no") != 0 ? value : "none";
}

/* How it left, for programs; sealpostd(8) lists the fields. The host's name is in Remote-MTA, the
 * time in Last-Attempt-Date: the address has no field of the RFC's. */
static void put_receipt(const struct bounce_recipient *r, struct page *out)
{
    char host[PAGE_HOST_SIZE], peer[PAGE_HOST_SIZE + 8];
    if (r->disposition != DISPOSITION_DELIVERED)
        return;
    page_field(out, "X-Sealpost-TLS-Protocol", or_none(r->protocol));
    page_field(out, "X-Sealpost-TLS-Cipher", or_none(r->cipher));
    page_field(out, "X-Sealpost-TLS-Verified", or_none(r->verified));
    page_host(r->outcome, host);
    if (r->outcome->port != 0)
        snprintf(peer, sizeof peer, "%s:%u", host, r->outcome->port);
    else
        snprintf(peer, sizeof peer, "%s", host);
    page_field(out, "X-Sealpost-TLS-Peer", peer);
    page_field(out, "X-Sealpost-TLS-Route", r->is_local ? "local" : "network");
}

static void put_recipient(const struct bounce_report *report, const struct bounce_recipient *r,
                          struct page *out)
{
    page_text(out, "\r\n");
    put_typed(out, "Final-Recipient", "rfc822", r->address);
    put_original_recipient(out, r->orcpt);
    page_field(out, "Action", action(r));
    put_outcome(r->outcome, out);
    put_date(out, "Last-Attempt-Date", r->last_attempt_at);
    page_field(out, "Final-Log-ID", report->id);
    if (report->kind == BOUNCE_DELAY)
        put_date(out, "Will-Retry-Until", r->retry_until);
    put_receipt(r, out);
    if (r->disposition != DISPOSITION_DELIVERED)
        put_date(out, "X-Sealpost-TLS-Last-Seen", r->tls_seen_at);
    if (r->disposition == DISPOSITION_HELD && r->release != BOUNCE_NOT_HELD) {
        page_field(out, "X-Sealpost-Held-ID", report->id);
        put_date(out, "X-Sealpost-Held-Until", r->held_until);
    }
}

void delivery_status_write(const struct bounce_report *report, struct page *out)
{
    page_text(out, "Content-Description: Delivery report\r\n"
                   "Content-Type: message/delivery-status\r\n"
                   "Content-Transfer-Encoding: 7bit\r\n\r\n");
    put_typed(out, "Reporting-MTA", "dns", report->hostname);
    put_envelope_id(out, report->envid);
    page_field(out, "X-Sealpost-Queue-ID", report->id);
    put_typed(out, "X-Sealpost-Sender", "rfc822", report->reverse_path);
    put_date(out, "Arrival-Date", report->arrived_at);
    for (size_t i = 0; i < report->count; i++)
        put_recipient(report, &report->recipients[i], out);
}
