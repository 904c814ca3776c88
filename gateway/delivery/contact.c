#include "gateway/delivery/contact.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mail/date.h"

enum { FIRST_USE_SECONDS = 60 };

void contact_learn_zone(struct posture *p, const char *domain, const struct dns_mx *mx)
{
    bool is_answer =
        mx->status == DNS_DATA || mx->status == DNS_NODATA || mx->status == DNS_NXDOMAIN;
    if (mx->status == DNS_BOGUS || (is_answer && mx->security == DNS_SECURE))
        posture_learn_zone(p, domain, mx->status == DNS_BOGUS, date_now());
}

enum guarantee_destination contact_destination(const struct dns_mx *mx, char *detail, size_t size)
{
    detail[0] = '\0';
    switch (mx->status) {
    case DNS_DATA:
    case DNS_NODATA:
        if (mx->is_null)
            return GUARANTEE_DESTINATION_NULL_MX;
        if (mx->count > 0)
            return GUARANTEE_DESTINATION_FOUND;
        snprintf(detail, size, "no MX record names a host");
        return GUARANTEE_DESTINATION_LOOKUP_FAILED;
    case DNS_NXDOMAIN:
        return GUARANTEE_DESTINATION_NO_SUCH;
    case DNS_FAILED:
    case DNS_BOGUS:
        snprintf(detail, size, "%s", mx->detail);
        return GUARANTEE_DESTINATION_LOOKUP_FAILED;
    case DNS_OUR_FAULT:
        snprintf(detail, size, "%s", mx->detail);
        return GUARANTEE_DESTINATION_OUR_FAULT;
    }
    panic("no such answer: %d", (int)mx->status);
}

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

/* GUARANTEE.md section 6. A policy of mode none is one, and says that there is nothing to keep. */
static enum guarantee_sts sts_fact(const struct contact *c)
{
    const struct known_policy *known = c->policy;
    switch (known->status) {
    case STS_NONE:
        return GUARANTEE_STS_NONE;
    case STS_UNKNOWN:
        return GUARANTEE_STS_UNKNOWN;
    case STS_OUR_FAULT:
        return GUARANTEE_STS_OUR_FAULT;
    case STS_POLICY:
        break;
    }
    switch (known->policy.mode) {
    case STS_MODE_NONE:
        return GUARANTEE_STS_NONE;
    case STS_MODE_TESTING:
        return GUARANTEE_STS_TESTING;
    case STS_MODE_ENFORCE:
        return sts_policy_covers(&known->policy, c->mx->name) ? GUARANTEE_STS_COVERS
                                                              : GUARANTEE_STS_EXCLUDES;
    }
    panic("no such policy: %d", (int)known->policy.mode);
}

/* Would it be one of the policy's hosts, were it enforced? */
static bool is_listed_in_test(const struct contact *c)
{
    return sts_fact(c) == GUARANTEE_STS_TESTING &&
           sts_policy_covers(&c->policy->policy, c->mx->name);
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
        .is_configured = !is_literal(c) && c->next_hop->target.kind != NEXT_HOP_MX,
        .is_local_route = to && next_hop_is_local(c->next_hop, to),
        .is_smarthost = contact_is_smarthost(c->next_hop),
        .tlsa = tlsa_fact(c->host->tlsa),
        .is_tlsa_insecure = c->host->is_tlsa_insecure,
        .sts = sts_fact(c),
        .is_sts_listed = is_listed_in_test(c),
        .sts_domain = c->next_hop->target.name,
        .sts_detail = c->policy->detail,
        .tls_seen_at = c->memory->tls_seen_at,
        .tls_looks = c->memory->tls_looks,
        .is_tls_remembered = c->memory->is_tls_remembered,
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

struct outcome contact_no_address(const char *name, const struct dns_host *host,
                                  enum guarantee_contact *contact)
{
    bool is_denied = host->status == DNS_NODATA || host->status == DNS_NXDOMAIN;
    const char *detail = host->detail[0] ? host->detail : "no answer";
    struct outcome cause;
    if (is_denied)
        cause = outcome_local(status_make(4, 4, 4), "Host %s has no address", name);
    else if (host->tlsa == DNS_TLSA_ERROR) /* the addresses were found */
        cause = outcome_local(status_make(4, 4, 3), "%s", detail);
    else
        cause =
            outcome_local(status_make(4, 4, 3), "Address look-up for %s failed: %s", name, detail);
    *contact = GUARANTEE_NO_CONTACT;
    if (host->status == DNS_OUR_FAULT) {
        *contact = GUARANTEE_OUR_FAULT;
        cause.status = status_make(4, 3, 0);
    }
    outcome_set_host(&cause, name, NULL, 0);
    return cause;
}

/* Is the host's own name one to ask a certificate for? Behind an insecure MX look-up it may be an
 * attacker's, and his certificate would be valid; the MTA-STS policy makes it authentic. A policy
 * in testing is judged for its report. */
static bool is_name_authentic(const struct contact *c, enum guarantee_sts sts)
{
    return c->is_name_secure || sts == GUARANTEE_STS_COVERS || sts == GUARANTEE_STS_TESTING;
}

static void fill_tls_options(const struct contact *c, enum guarantee_sts sts,
                             struct tls_client_options *out, struct tlsa_record *records)
{
    const char *host = c->mx->name;
    const struct delivery_next_hop *target = &c->next_hop->target;
    bool has_no_name = is_literal(c) || target->kind == NEXT_HOP_UNIX;
    const char *next_hop_domain = target->name[0] ? target->name : NULL;
    *out = (struct tls_client_options){.sni = has_no_name ? "" : host};
    out->pkix_names[0] = next_hop_domain;
    out->pkix_names[1] = is_name_authentic(c, sts) && !has_no_name ? host : NULL;
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
    fill_tls_options(c, o.host.sts, &o.tls_options, records);
    struct client *client = client_new(&o, handler, context);
    free(records);
    return client;
}
