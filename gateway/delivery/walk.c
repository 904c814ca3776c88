#include <stdlib.h>
#include <string.h>

#include "gateway/delivery/inside.h"
#include "gateway/tls/scram.h"
#include "mail/date.h"

enum { ADDRESSES_MAX = 100 }; /* tried in one attempt */

static void next_host(struct attempt *a);
static void contact_address(struct attempt *a, const struct net_address *to);

static bool is_anybody_open(struct attempt *a)
{
    for (size_t i = 0; i < a->count; i++)
        if (addressee_is_open(&a->to[i]))
            return true;
    return false;
}

/* Before anything is connected: a host whose TLSA records could not be learnt is not used by those
 * who depend on them. */
static void leave_out_unusable(struct attempt *a, const struct guarantee_host *facts)
{
    struct guarantee_host kept = attempt_keep_facts(a, facts);
    for (size_t i = 0; i < a->count; i++) {
        struct addressee *t = &a->to[i];
        if (!addressee_is_open(t))
            continue;
        enum guarantee_kind kind = guarantee_judge(&t->requirement, facts).kind;
        if (kind != GUARANTEE_NOT_YET && kind != GUARANTEE_ACCEPTABLE)
            attempt_record(t, &kept);
    }
}

/* The addresses before this one took so long that what DNS said of the host is over: its TLSA
 * records are asked for anew, the addresses stay in their order. */
static void host_found_again(void *context, const struct dns_host *host)
{
    struct attempt *a = context;
    struct dns_host fresh;
    a->question = NULL;
    dns_host_copy(&fresh, host);
    if (host->status != DNS_DATA) {
        fresh.tlsa = DNS_TLSA_ERROR;
        memcpy(fresh.tlsa_detail, host->detail, sizeof fresh.tlsa_detail);
    }
    free(fresh.addresses);
    fresh.addresses = a->host.addresses;
    fresh.address_count = a->host.address_count;
    fresh.expires_at = attempt_later(fresh.expires_at, date_now() + 1);
    free(a->host.records);
    a->host = fresh;
    attempt_contact_again(a);
}

static void ask_again(struct attempt *a)
{
    const char *name = a->hosts[a->host_index].name;
    a->question = dns_find_host(a->o.dns, a->o.loop, name, a->next_hop.port,
                                a->o.settings->ip_version, host_found_again, a);
    if (a->question)
        return;
    struct outcome cause =
        outcome_local(status_make(4, 3, 0),
                      "the resolver takes no question, and what it said of %s is over", name);
    outcome_set_host(&cause, name, NULL, 0);
    attempt_record_no_contact(a, GUARANTEE_OUR_FAULT, &cause);
    a->host_index++;
    next_host(a);
}

static void contact_address(struct attempt *a, const struct net_address *to)
{
    const struct net_address *source =
        delivery_source_for(a->o.settings, a->o.message.reverse_path, to->family == NET_IPV6);
    a->key = (struct connection_key){
        .to = *to,
        .is_local_route = next_hop_is_local(&a->next_hop, to),
        .is_smarthost = contact_is_smarthost(&a->next_hop),
        .is_name_secure = a->is_name_secure,
        .is_tls_remembered = a->memory.is_tls_remembered,
    };
    if (source && to->family != NET_UNIX)
        a->key.source = *source;
    if (!slice_copy(slice_of(a->hosts[a->host_index].name), a->key.host, sizeof a->key.host))
        panic("host name too long");
    a->failed_tls = GUARANTEE_TLS_UNTRIED;
    a->is_reused = false;
    if (date_now() >= a->host.expires_at) {
        ask_again(a);
        return;
    }
    if (attempt_renews_policy(a))
        return;
    struct guarantee_host facts = attempt_facts_before(a, to);
    if (attempt_doubts_policy(a, &facts))
        return;
    a->key.sts = facts.sts;
    leave_out_unusable(a, &facts);
    if (!is_anybody_open(a)) {
        attempt_count(a, &facts);
        attempt_next_address(a);
        return;
    }
    a->addresses_tried++;
    attempt_connect(a);
}

void attempt_contact_again(struct attempt *a)
{
    contact_address(a, &a->host.addresses[a->address_index - 1]);
}

/* A limit of ours is no word of the destination's: nobody is stopped while a host of it was not
 * tried. */
static void leave_the_rest(struct attempt *a)
{
    struct outcome cause = outcome_local(
        status_make(4, 3, 0), "more than %d addresses; the rest was not tried", ADDRESSES_MAX);
    attempt_record_no_contact(a, GUARANTEE_OUR_FAULT, &cause);
    attempt_finish(a);
}

void attempt_next_address(struct attempt *a)
{
    for (size_t i = 0; i < a->count; i++)
        a->to[i].is_through_here = false;
    if (a->pending == 0) {
        attempt_finish(a);
        return;
    }
    if (a->address_index >= a->host.address_count) {
        a->host_index++;
        next_host(a);
        return;
    }
    if (a->addresses_tried >= ADDRESSES_MAX) {
        leave_the_rest(a);
        return;
    }
    a->was_policy_renewed = a->must_be_fresh = false;
    contact_address(a, &a->host.addresses[a->address_index++]);
}

/* ---- hosts ---- */

static void shuffle(void *base, size_t count, size_t size)
{
    char *bytes = base;
    char swap[sizeof(struct dns_mx_host)];
    if (size > sizeof swap)
        panic("shuffle of %zu octets", size);
    for (size_t i = count; i > 1; i--) {
        uint32_t random = 0;
        if (!random_bytes(&random, sizeof random))
            return; /* any order is a legal order */
        size_t k = random % i;
        memcpy(swap, bytes + k * size, size);
        memcpy(bytes + k * size, bytes + (i - 1) * size, size);
        memcpy(bytes + (i - 1) * size, swap, size);
    }
}

/* Hosts of our own preference and worse would send the mail back to us (RFC 5321 section 5.1). */
static void cut_at_ourselves(struct attempt *a)
{
    unsigned own = a->hosts[a->host_index].preference;
    size_t first = a->host_index;
    while (first > 0 && a->hosts[first - 1].preference == own)
        first--;
    /* Equal hosts tried before us stay tried; what counts is whether anything better than us
     * exists. */
    bool was_any_tried = a->host_index > first;
    a->host_count = a->host_index;
    if (first == 0 && !was_any_tried) {
        a->found = GUARANTEE_DESTINATION_OURSELVES;
        attempt_finish(a);
        return;
    }
    next_host(a);
}

/* Returns false when one of the addresses is ourselves. */
static bool filter_addresses(struct attempt *a)
{
    size_t blocked;
    struct contact c = attempt_contact(a);
    if (!contact_filter(&c, &a->host, &blocked))
        return false;
    if (a->host.address_count == 0 && blocked > 0) {
        struct outcome cause = outcome_local(
            status_make(5, 4, 6), "all addresses of %s are blocked by configuration", c.mx->name);
        a->blocked_hosts++;
        attempt_record_no_contact(a, GUARANTEE_NO_CONTACT, &cause);
    }
    return true;
}

static void use_host(struct attempt *a)
{
    a->address_index = 0;
    a->memory = posture_memory(a->o.posture, a->o.domain, a->hosts[a->host_index].name,
                               a->o.settings->remember_tls_ms / 1000, date_now());
    if (!filter_addresses(a)) {
        cut_at_ourselves(a);
        return;
    }
    shuffle(a->host.addresses, a->host.address_count, sizeof *a->host.addresses);
    attempt_next_address(a);
}

/* Why the host has no address to connect to. */
static void host_without_address(struct attempt *a)
{
    const struct dns_host *h = &a->host;
    const char *name = a->hosts[a->host_index].name;
    bool is_denied = h->status == DNS_NODATA || h->status == DNS_NXDOMAIN;
    if (is_denied && a->is_implicit_mx) {
        attempt_end_at(a, GUARANTEE_DESTINATION_NO_SUCH, "");
        return;
    }
    enum guarantee_contact contact;
    struct outcome cause = contact_no_address(name, h, &contact);
    attempt_record_no_contact(a, contact, &cause);
    a->host_index++;
    next_host(a);
}

static void host_found(void *context, const struct dns_host *host)
{
    struct attempt *a = context;
    a->question = NULL;
    dns_host_clear(&a->host);
    dns_host_copy(&a->host, host);
    destination_keep_host(a->o.destination, a->hosts[a->host_index].name, host, date_now());
    if (host->status == DNS_DATA)
        use_host(a);
    else
        host_without_address(a);
}

static void question_failed(struct attempt *a)
{
    attempt_end_at(a, GUARANTEE_DESTINATION_OUR_FAULT, "the resolver takes no question");
}

static void next_host(struct attempt *a)
{
    for (size_t i = 0; i < a->count; i++)
        a->to[i].is_through_here = false;
    if (a->host_index >= a->host_count) {
        attempt_finish(a);
        return;
    }
    const char *name = a->hosts[a->host_index].name;
    if (!a->next_hop.route && strcasecmp(name, a->o.settings->hostname) == 0) {
        cut_at_ourselves(a);
        return;
    }
    const struct dns_host *known = destination_host(a->o.destination, name, date_now());
    if (known) {
        dns_host_clear(&a->host);
        dns_host_copy(&a->host, known);
        use_host(a);
        return;
    }
    a->question = dns_find_host(a->o.dns, a->o.loop, name, a->next_hop.port,
                                a->o.settings->ip_version, host_found, a);
    if (!a->question)
        question_failed(a);
}

/* ---- the destination ---- */

/* A host that needs no MX look-up: a configured name, an address, a socket. */
static void use_single_host(struct attempt *a, const char *name)
{
    a->hosts = xalloc(sizeof *a->hosts);
    a->host_count = 1;
    if (!slice_copy(slice_of(name), a->hosts[0].name, sizeof a->hosts[0].name))
        panic("host name too long");
}

static void use_address(struct attempt *a)
{
    char text[NET_ADDRESS_SIZE];
    use_single_host(a, net_address_text(&a->next_hop.target.address, text));
    a->host.addresses = xalloc(sizeof *a->host.addresses);
    a->host.addresses[0] = a->next_hop.target.address;
    a->host.address_count = 1;
    a->host.expires_at = INT64_MAX;
    use_host(a);
}

static int compare_preference(const void *x, const void *y)
{
    unsigned a = ((const struct dns_mx_host *)x)->preference;
    unsigned b = ((const struct dns_mx_host *)y)->preference;
    return (a > b) - (a < b);
}

static void order_hosts(struct attempt *a)
{
    qsort(a->hosts, a->host_count, sizeof *a->hosts, compare_preference);
    for (size_t from = 0, to; from < a->host_count; from = to) {
        for (to = from + 1;
             to < a->host_count && a->hosts[to].preference == a->hosts[from].preference; to++)
            continue;
        shuffle(&a->hosts[from], to - from, sizeof *a->hosts);
    }
}

static void use_mx(struct attempt *a, const struct dns_mx *mx)
{
    a->is_name_secure = mx->security == DNS_SECURE;
    a->is_implicit_mx = mx->is_implicit;
    a->host_count = mx->count;
    a->hosts = xalloc((mx->count + 1) * sizeof *a->hosts);
    memcpy(a->hosts, mx->hosts, mx->count * sizeof *a->hosts);
    order_hosts(a);
    attempt_resolved(a);
}

void attempt_resolved(struct attempt *a)
{
    if (!a->question && !a->policy_question)
        next_host(a);
}

static void follow_mx(struct attempt *a, const struct dns_mx *mx)
{
    a->found = contact_destination(mx, a->detail, sizeof a->detail);
    if (a->found == GUARANTEE_DESTINATION_FOUND)
        use_mx(a, mx);
    else
        attempt_finish(a);
}

static void mx_found(void *context, const struct dns_mx *mx)
{
    struct attempt *a = context;
    a->question = NULL;
    contact_learn_zone(a->o.posture, a->o.domain, mx);
    destination_keep_mx(a->o.destination, mx, date_now());
    follow_mx(a, mx);
}

void attempt_resolve(struct attempt *a)
{
    const struct delivery_next_hop *target = &a->next_hop.target;
    const struct dns_mx *known;
    switch (target->kind) {
    case NEXT_HOP_LITERAL:
    case NEXT_HOP_UNIX:
        use_address(a);
        return;
    case NEXT_HOP_HOST:
        a->is_name_secure = true;
        use_single_host(a, target->name);
        next_host(a);
        return;
    case NEXT_HOP_MX:
        attempt_ask_policy(a);
        known = destination_mx(a->o.destination, date_now());
        if (known) {
            follow_mx(a, known);
            return;
        }
        a->question = dns_find_mx(a->o.dns, a->o.loop, target->name, mx_found, a);
        if (!a->question)
            question_failed(a);
        return;
    }
    panic("no such next hop: %d", (int)target->kind);
}
