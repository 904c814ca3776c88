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
    kept.key_digest = keep(a, h->key_digest);
    kept.certificate_digest = keep(a, h->certificate_digest);
    kept.sts_domain = keep(a, h->sts_domain);
    kept.sts_detail = keep(a, h->sts_detail);
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

struct contact attempt_contact(const struct attempt *a)
{
    return (struct contact){
        .settings = a->o.settings,
        .next_hop = &a->next_hop,
        .mx = &a->hosts[a->host_index],
        .host = &a->host,
        .is_name_secure = a->is_name_secure,
        .policy = &a->policy,
        .memory = &a->memory,
        .failed_tls = a->failed_tls,
        .failed_cause = &a->failed_cause,
    };
}

/* What is known of the present host before a connection. `to` NULL: no address. Texts live until
 * the host changes. */
struct guarantee_host attempt_facts_before(struct attempt *a, const struct net_address *to)
{
    char address[NET_ADDRESS_SIZE];
    struct contact c = attempt_contact(a);
    struct guarantee_host h = contact_facts(&c, to, address);
    h.address = keep(a, h.address);
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
