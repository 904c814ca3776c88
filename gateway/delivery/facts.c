#include <stdlib.h>
#include <string.h>

#include "gateway/delivery/inside.h"
#include "mail/date.h"

static const char *keep(struct attempt *a, const char *text)
{
    return text && text[0] ? arena_copy(&a->arena, slice_of(text)) : "";
}

struct guarantee_host attempt_keep_facts(struct attempt *a, const struct guarantee_host *h)
{
    struct guarantee_host kept = *h;
    kept.name = keep(a, h->name);
    kept.address = keep(a, h->address);
    kept.keywords = keep(a, h->keywords);
    kept.protocol = keep(a, h->protocol);
    kept.cipher = keep(a, h->cipher);
    kept.certificate_error = keep(a, h->certificate_error);
    return kept;
}

void attempt_record(struct addressee *t, const struct guarantee_host *kept)
{
    if (t->seen_count == t->seen_capacity) {
        t->seen_capacity = t->seen_capacity ? 2 * t->seen_capacity : 4;
        t->seen = xrealloc(t->seen, t->seen_capacity * sizeof *t->seen);
    }
    t->seen[t->seen_count++] = *kept;
    t->is_through_here = true;
}

bool addressee_is_open(const struct addressee *t)
{
    return t->is_pending && !t->is_through_here;
}

/* The fact concerns everybody who has none from this address yet. */
void attempt_record_for_all(struct attempt *a, const struct guarantee_host *facts)
{
    struct guarantee_host kept = attempt_keep_facts(a, facts);
    for (size_t i = 0; i < a->count; i++)
        if (addressee_is_open(&a->to[i]))
            attempt_record(&a->to[i], &kept);
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

bool attempt_is_smarthost(const struct attempt *a)
{
    return a->next_hop.route && strcmp(a->next_hop.route->pattern, "*") == 0;
}

/* What is known of the present host before a connection. `to` NULL: no address. Texts live until
 * the host changes. */
struct guarantee_host attempt_facts_before(struct attempt *a, const struct net_address *to)
{
    char text[NET_ADDRESS_SIZE];
    const struct dns_mx_host *mx = &a->hosts[a->host_index];
    struct guarantee_host h = {
        .name = mx->name,
        .address = to ? arena_copy(&a->arena, slice_of(net_address_text(to, text))) : "",
        .port = to ? to->port : a->next_hop.port,
        .preference = mx->preference,
        .at = date_now(),
        .is_name_secure = a->is_name_secure,
        .is_literal = a->next_hop.target.kind == NEXT_HOP_LITERAL,
        .is_local_route = to && next_hop_is_local(&a->next_hop, to),
        .is_smarthost = attempt_is_smarthost(a),
        .is_pkix_for_domain =
            !a->is_name_secure, /* fill_tls_options() then asks for no other name */
        .tlsa = tlsa_fact(a->host.tlsa),
        .contact = GUARANTEE_UNTRIED,
        .tls = a->failed_tls,
        .keywords = "",
        .protocol = "",
        .cipher = "",
        .certificate_error = "",
    };
    if (a->failed_tls != GUARANTEE_TLS_UNTRIED)
        h.cause = a->failed_cause;
    else if (h.tlsa == GUARANTEE_TLSA_ERROR)
        h.cause =
            outcome_local(status_make(4, 7, 5), "%s",
                          a->host.tlsa_detail[0] ? a->host.tlsa_detail : "TLSA look-up failed");
    return h;
}

void attempt_record_no_contact(struct attempt *a, enum guarantee_contact contact,
                               const struct outcome *cause)
{
    struct guarantee_host h = attempt_facts_before(a, NULL);
    h.tlsa = GUARANTEE_TLSA_NONE; /* a host that cannot be reached shows nothing about TLS */
    h.contact = contact;
    h.cause = *cause;
    attempt_record_for_all(a, &h);
}

int64_t attempt_later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}
