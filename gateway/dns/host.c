#include "gateway/dns/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/dns/message.h"
#include "gateway/dns/tlsa.h"

static enum host_state addresses_answer(struct host_lookup *l, const struct dns_answer *answer);
static enum host_state alias_answer(struct host_lookup *l, const struct dns_answer *answer);
static enum host_state expanded_answer(struct host_lookup *l, const struct dns_answer *answer);
static enum host_state unexpanded_answer(struct host_lookup *l, const struct dns_answer *answer);
static void ask_addresses(struct host_lookup *l);
static void ask_alias(struct host_lookup *l);
static void ask_expanded(struct host_lookup *l);
static void ask_unexpanded(struct host_lookup *l);

static const struct {
    const char *name;
    void (*on_enter)(struct host_lookup *l);
    /* The answer to the last open question of the state. */
    enum host_state (*on_answer)(struct host_lookup *l, const struct dns_answer *answer);
} states[HOST_STATE_COUNT] = {
    [HOST_ADDRESSES] = {"addresses", ask_addresses, addresses_answer},
    [HOST_ALIAS] = {"alias", ask_alias, alias_answer},
    [HOST_EXPANDED] = {"tlsa-expanded", ask_expanded, expanded_answer},
    [HOST_UNEXPANDED] = {"tlsa-unexpanded", ask_unexpanded, unexpanded_answer},
    [HOST_DONE] = {"done", NULL, NULL},
};

const char *host_state_name(enum host_state state)
{
    return states[state].name;
}

static void answered(void *context, struct dns_ask *ask, const struct dns_answer *answer);

static void enter(struct host_lookup *l, enum host_state state)
{
    l->state = state;
    if (state == HOST_DONE)
        l->done(l->context, l);
    else
        states[state].on_enter(l);
}

static void ask(struct host_lookup *l, struct dns_ask *slot, enum dns_type type)
{
    slot->type = type;
    slot->answered = answered;
    slot->context = l;
    l->pending++;
    l->asker->ask(l->asker->context, slot);
}

static void note_expiry(struct host_lookup *l, const struct dns_answer *answer)
{
    if (l->host.expires_at == 0 || answer->expires_at < l->host.expires_at)
        l->host.expires_at = answer->expires_at;
}

static bool has_word(enum dns_status status)
{
    return status == DNS_DATA || status == DNS_NODATA || status == DNS_NXDOMAIN;
}

/* --- addresses --- */

static void ask_addresses(struct host_lookup *l)
{
    static const enum dns_type types[2] = {DNS_TYPE_AAAA, DNS_TYPE_A};
    for (unsigned i = 0; i < 2; i++) {
        if (!l->families[i].is_asked)
            continue;
        snprintf(l->asks[i].name, sizeof l->asks[i].name, "%s", l->name);
        ask(l, &l->asks[i], types[i]);
    }
}

static bool read_address(enum dns_type type, struct slice rdata, struct net_address *out)
{
    return type == DNS_TYPE_A ? dns_read_a(rdata, out) : dns_read_aaaa(rdata, out);
}

static void read_addresses(struct host_lookup *l, struct host_family *family, enum dns_type type,
                           const struct dns_answer *answer)
{
    size_t both = l->families[0].is_asked && l->families[1].is_asked ? 2 : 1;
    size_t max = DNS_HOST_ADDRESSES_MAX / both;
    family->addresses = xalloc(max * sizeof *family->addresses);
    for (size_t i = 0; i < answer->count && family->count < max; i++) {
        struct net_address *address = &family->addresses[family->count];
        if (!read_address(type, answer->records[i], address))
            continue;
        address->port = l->port;
        family->count++;
    }
    if (family->count == 0) {
        family->status = DNS_FAILED;
        snprintf(family->detail, sizeof family->detail, "malformed %s records",
                 dns_type_name(type));
    } else if (answer->count > max) {
        snprintf(l->host.detail, sizeof l->host.detail,
                 "%zu %s records, of which the first %zu count", answer->count, dns_type_name(type),
                 max);
    }
}

static void keep_family(struct host_lookup *l, const struct dns_ask *slot,
                        const struct dns_answer *answer)
{
    struct host_family *family = &l->families[slot - l->asks];
    family->status = answer->status;
    family->security = answer->security;
    snprintf(family->canonical, sizeof family->canonical, "%s", answer->canonical);
    if (answer->status == DNS_DATA)
        read_addresses(l, family, slot->type, answer);
    else if (!has_word(answer->status))
        dns_explain(slot, answer, family->detail);
    if (has_word(family->status))
        note_expiry(l, answer);
}

/* One good family is enough, whatever became of the other. Without one: a failure of ours explains
 * all, any other failure leaves open whether there are addresses, and only denials of both deny. */
static enum dns_status joined_status(const struct host_lookup *l, const struct host_family **why)
{
    static const enum dns_status order[] = {DNS_DATA,  DNS_OUR_FAULT, DNS_FAILED,
                                            DNS_BOGUS, DNS_NODATA,    DNS_NXDOMAIN};
    for (size_t rank = 0; rank < COUNT_OF(order); rank++) {
        /* A before AAAA: the words of the family that nearly every host has. */
        for (int i = 1; i >= 0; i--) {
            *why = &l->families[i];
            if ((*why)->is_asked && (*why)->status == order[rank])
                return order[rank];
        }
    }
    panic("dns host look-up: no family was asked");
}

static void join_addresses(struct host_lookup *l)
{
    struct dns_host *host = &l->host;
    host->addresses =
        xalloc((l->families[0].count + l->families[1].count) * sizeof *host->addresses);
    host->is_address_secure = true;
    for (unsigned i = 0; i < 2; i++) {
        struct host_family *family = &l->families[i];
        if (!family->is_asked || family->status != DNS_DATA)
            continue;
        memcpy(host->addresses + host->address_count, family->addresses,
               family->count * sizeof *host->addresses);
        host->address_count += family->count;
        if (family->security != DNS_SECURE)
            host->is_address_secure = false;
        if (family->canonical[0])
            snprintf(l->expanded, sizeof l->expanded, "%s", family->canonical);
    }
}

static bool is_alias(const struct host_lookup *l)
{
    return strcmp(l->expanded, l->name) != 0;
}

static enum host_state addresses_answer(struct host_lookup *l, const struct dns_answer *answer)
{
    (void)answer; /* keep_family() has taken both */
    const struct host_family *why;
    l->host.status = joined_status(l, &why);
    if (l->host.status != DNS_DATA) {
        snprintf(l->host.detail, sizeof l->host.detail, "%s", why->detail);
        return HOST_DONE;
    }
    join_addresses(l);
    if (l->port == 0)
        return HOST_DONE;
    if (l->host.is_address_secure)
        return HOST_EXPANDED;
    /* Never a TLSA question below insecure addresses: some servers answer it with SERVFAIL, and no
     * answer could bind them anyway. A secure alias is the exception (RFC 7672 section 2.2.2). */
    return is_alias(l) ? HOST_ALIAS : HOST_DONE;
}

/* --- the alias and TLSA --- */

/* TLS of this host is unknown: going on without would hand the choice to whoever suppressed the
 * answer (RFC 7672 section 2.1.2). */
static enum host_state unknown(struct host_lookup *l, const struct dns_answer *answer)
{
    l->host.tlsa = DNS_TLSA_ERROR;
    dns_explain(&l->asks[0], answer, l->host.tlsa_detail);
    if (answer->status == DNS_OUR_FAULT) {
        l->host.status = DNS_OUR_FAULT;
        memcpy(l->host.detail, l->host.tlsa_detail, sizeof l->host.detail);
    }
    return HOST_DONE;
}

static void ask_alias(struct host_lookup *l)
{
    /* The address answer speaks for the whole chain of aliases; only a question of its own tells
     * whether the first link is signed. */
    snprintf(l->asks[0].name, sizeof l->asks[0].name, "%s", l->name);
    ask(l, &l->asks[0], DNS_TYPE_CNAME);
}

static enum host_state alias_answer(struct host_lookup *l, const struct dns_answer *answer)
{
    if (!has_word(answer->status))
        return unknown(l, answer);
    note_expiry(l, answer);
    bool is_secure_alias = answer->status == DNS_DATA && answer->security == DNS_SECURE;
    return is_secure_alias ? HOST_UNEXPANDED : HOST_DONE;
}

static void ask_tlsa(struct host_lookup *l, const char *base)
{
    snprintf(l->asks[0].name, sizeof l->asks[0].name, "_%u._tcp.%s", (unsigned)l->port, base);
    ask(l, &l->asks[0], DNS_TYPE_TLSA);
}

static void ask_expanded(struct host_lookup *l)
{
    ask_tlsa(l, l->expanded);
}

static void ask_unexpanded(struct host_lookup *l)
{
    ask_tlsa(l, l->name);
}

static void take_records(struct host_lookup *l, const char *base, const struct dns_answer *answer)
{
    struct dns_host *host = &l->host;
    host->record_count = dns_tlsa_filter(answer->records, answer->count, &host->records);
    host->tlsa = host->record_count > 0 ? DNS_TLSA_USABLE : DNS_TLSA_UNUSABLE;
    if (answer->count > DNS_TLSA_MAX)
        snprintf(host->tlsa_detail, sizeof host->tlsa_detail,
                 "%zu TLSA records, of which the first %d count", answer->count, DNS_TLSA_MAX);
    snprintf(host->tlsa_base, sizeof host->tlsa_base, "%s", base);
}

static enum host_state tlsa_answer(struct host_lookup *l, const char *base,
                                   const struct dns_answer *answer, enum host_state if_none)
{
    if (!has_word(answer->status))
        return unknown(l, answer);
    note_expiry(l, answer);
    if (answer->status != DNS_DATA)
        return if_none;
    if (answer->security != DNS_SECURE) {
        l->host.is_tlsa_insecure = true;
        return if_none;
    }
    take_records(l, base, answer);
    return HOST_DONE;
}

static enum host_state expanded_answer(struct host_lookup *l, const struct dns_answer *answer)
{
    return tlsa_answer(l, l->expanded, answer, is_alias(l) ? HOST_UNEXPANDED : HOST_DONE);
}

static enum host_state unexpanded_answer(struct host_lookup *l, const struct dns_answer *answer)
{
    return tlsa_answer(l, l->name, answer, HOST_DONE);
}

/* --- from outside --- */

static void answered(void *context, struct dns_ask *slot, const struct dns_answer *answer)
{
    struct host_lookup *l = context;
    l->pending--;
    if (l->state == HOST_ADDRESSES)
        keep_family(l, slot, answer);
    if (l->pending == 0)
        enter(l, states[l->state].on_answer(l, answer));
}

void host_lookup_start(struct host_lookup *l, const struct dns_asker *asker, const char *name,
                       uint16_t port, int ip_version,
                       void (*done)(void *context, struct host_lookup *lookup), void *context)
{
    *l = (struct host_lookup){.asker = asker, .done = done, .context = context, .port = port};
    /* A name that does not fit is cut, and not found. */
    if (!dns_fold_name(slice_of(name), l->name))
        snprintf(l->name, sizeof l->name, "%s", name);
    memcpy(l->expanded, l->name, sizeof l->expanded);
    memcpy(l->host.tlsa_base, l->name, sizeof l->host.tlsa_base);
    l->families[0].is_asked = ip_version != 4;
    l->families[1].is_asked = ip_version != 6;
    enter(l, HOST_ADDRESSES);
}

void host_lookup_clear(struct host_lookup *l)
{
    for (unsigned i = 0; i < 2; i++) {
        free(l->families[i].addresses);
        l->families[i].addresses = NULL;
    }
    free(l->host.addresses);
    free(l->host.records);
    l->host.addresses = NULL;
    l->host.records = NULL;
    l->host.address_count = 0;
    l->host.record_count = 0;
}
