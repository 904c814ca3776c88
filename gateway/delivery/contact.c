#include "gateway/delivery/contact.h"

#include <stdlib.h>
#include <string.h>

#include "mail/date.h"

enum { FIRST_USE_SECONDS = 60 };

bool contact_is_smarthost(const struct next_hop *n)
{
    return n->route && strcmp(n->route->pattern, "*") == 0;
}

static bool is_literal(const struct contact *c)
{
    return c->next_hop->target.kind == NEXT_HOP_LITERAL;
}

static enum guarantee_tlsa tlsa_fact(enum dns_tlsa tlsa)
{
    switch (tlsa) {
    case DNS_TLSA_NONE:
        return GUARANTEE_TLSA_NONE;
    case DNS_TLSA_USABLE:
        return GUARANTEE_TLSA_USABLE;
    case DNS_TLSA_UNUSABLE:
        return GUARANTEE_TLSA_UNUSABLE;
    case DNS_TLSA_ERROR:
        return GUARANTEE_TLSA_ERROR;
    }
    panic("no such TLSA answer: %d", (int)tlsa);
}

struct guarantee_host contact_facts(const struct contact *c, const struct net_address *to,
                                    char address[NET_ADDRESS_SIZE])
{
    struct guarantee_host h = {
        .name = c->mx->name,
        .address = to ? net_address_text(to, address) : "",
        .port = to ? to->port : c->next_hop->port,
        .preference = c->mx->preference,
        .at = date_now(),
        .is_name_secure = c->is_name_secure,
        .is_literal = is_literal(c),
        .is_local_route = to && next_hop_is_local(c->next_hop, to),
        .is_smarthost = contact_is_smarthost(c->next_hop),
        .tlsa = tlsa_fact(c->host->tlsa),
        .contact = GUARANTEE_UNTRIED,
        .tls = c->failed_tls,
        .keywords = "",
        .protocol = "",
        .cipher = "",
        .certificate_error = "",
    };
    if (c->failed_tls != GUARANTEE_TLS_UNTRIED)
        h.cause = *c->failed_cause;
    else if (h.tlsa == GUARANTEE_TLSA_ERROR)
        h.cause =
            outcome_local(status_make(4, 7, 5), "%s",
                          c->host->tlsa_detail[0] ? c->host->tlsa_detail : "TLSA look-up failed");
    return h;
}

bool contact_filter(const struct contact *c, struct dns_host *host, size_t *blocked)
{
    size_t kept = 0;
    *blocked = 0;
    for (size_t i = 0; i < host->address_count; i++) {
        struct net_address *a = &host->addresses[i];
        net_address_unmap(a);
        a->port = c->next_hop->port;
        if (!c->next_hop->route && delivery_is_own(c->settings, a))
            return false;
        if (!c->next_hop->route && delivery_is_blocked(c->settings, a))
            ++*blocked;
        else
            host->addresses[kept++] = *a;
    }
    host->address_count = kept;
    return true;
}

/* Names for WebPKI: the next-hop domain, and the host's own name where it is authentic: else it may
 * be an attacker's, and his certificate would be valid. */
static void fill_tls_options(const struct contact *c, struct tls_client_options *out,
                             struct tlsa_record *records)
{
    const char *host = c->mx->name;
    const struct delivery_next_hop *target = &c->next_hop->target;
    bool has_no_name = is_literal(c) || target->kind == NEXT_HOP_UNIX;
    const char *next_hop_domain = target->name[0] ? target->name : NULL;
    *out = (struct tls_client_options){.sni = has_no_name ? "" : host};
    out->pkix_names[0] = next_hop_domain;
    out->pkix_names[1] = c->is_name_secure && !has_no_name ? host : NULL;
    if (c->host->tlsa != DNS_TLSA_USABLE)
        return;
    for (size_t i = 0; i < c->host->record_count; i++) {
        const struct dns_tlsa_record *from = &c->host->records[i];
        records[i].usage = from->usage;
        records[i].selector = from->selector;
        records[i].matching = from->matching;
        records[i].len = from->len;
        _Static_assert(sizeof from->data == sizeof records[i].data, "one size of TLSA records");
        memcpy(records[i].data, from->data, from->len);
    }
    out->tlsa = records;
    out->tlsa_count = c->host->record_count;
    out->sni = c->host->tlsa_base;
    out->dane_names[0] = next_hop_domain;
    out->dane_names[1] = c->host->tlsa_base;
}

struct client *contact_open(const struct contact *c, const struct contact_way *way,
                            const struct client_handler *handler, void *context)
{
    char address[NET_ADDRESS_SIZE];
    int64_t first_use_ends_at = date_now() + FIRST_USE_SECONDS;
    struct client_options o = {
        .loop = way->loop,
        .events = way->events,
        .to = *way->to,
        .source = *way->source,
        .protocol = c->next_hop->protocol,
        .hostname = c->settings->hostname,
        .connect_timeout_ms = c->settings->connect_timeout_ms,
        .tls = c->settings->tls,
        .host = contact_facts(c, way->to, address),
        /* An answer asked for this attempt serves the connection made with it, however short its
           TTL (RFC 1035 section 3.2.1 on 0). */
        .tlsa_expires_at =
            c->host->expires_at > first_use_ends_at ? c->host->expires_at : first_use_ends_at,
    };
    struct tlsa_record *records = xalloc((c->host->record_count + 1) * sizeof *records);
    fill_tls_options(c, &o.tls_options, records);
    struct client *client = client_new(&o, handler, context);
    free(records);
    return client;
}
