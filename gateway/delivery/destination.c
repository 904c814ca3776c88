#include "gateway/delivery/destination.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/delivery/client.h"

enum {
    KEPT_SECONDS = 60, /* the resolver's own cache knows TTLs; this one only spares it questions */
    IDLE_MS = 5000,    /* Postfix keeps 2 s; a burst for one domain has gaps of that order */
    TRANSACTIONS_MAX = 100, /* per connection: hosts that count them do so at this order */
};

void next_hop_for(const struct delivery_settings *s, const char *domain, struct next_hop *out)
{
    memset(out, 0, sizeof *out);
    out->protocol = CLIENT_SMTP;
    out->port = s->port;
    out->route = delivery_route_for(s, domain);
    if (out->route) {
        out->target = out->route->next_hop;
        out->protocol = out->route->protocol;
        if (out->target.port > 0)
            out->port = out->target.port;
    } else if (domain[0] == '[' && delivery_next_hop_parse(slice_of(domain), &out->target)) {
        out->target.port = 0;
    } else {
        out->target.kind = NEXT_HOP_MX;
        if (!slice_copy(slice_of(domain), out->target.name, sizeof out->target.name))
            panic("domain of %zu octets in the queue", strlen(domain));
    }
    if (out->target.address.family != NET_UNIX)
        out->target.address.port = out->port;
}

const char *next_hop_key(const struct next_hop *n, char out[NEXT_HOP_KEY_SIZE])
{
    char address[NET_ADDRESS_SIZE];
    const char *protocol = n->protocol == CLIENT_LMTP ? "lmtp:" : "";
    switch (n->target.kind) {
    case NEXT_HOP_MX:
        snprintf(out, NEXT_HOP_KEY_SIZE, "%s%s:%u", protocol, n->target.name, n->port);
        return out;
    case NEXT_HOP_HOST:
        snprintf(out, NEXT_HOP_KEY_SIZE, "%s[%s]:%u", protocol, n->target.name, n->port);
        return out;
    case NEXT_HOP_LITERAL:
    case NEXT_HOP_UNIX:
        snprintf(out, NEXT_HOP_KEY_SIZE, "%s%s[%s]:%u", protocol,
                 n->route ? "" : "literal:", net_address_text(&n->target.address, address),
                 n->port);
        return out;
    }
    panic("no such next hop: %d", (int)n->target.kind);
}

bool next_hop_is_local(const struct next_hop *n, const struct net_address *connected)
{
    return n->route && strcmp(n->route->pattern, "*") != 0 && n->route->pattern[0] != '.' &&
           net_address_is_loopback(connected);
}

struct destination *destination_new(const char *key)
{
    struct destination *d = xalloc(sizeof *d);
    if (!slice_copy(slice_of(key), d->key, sizeof d->key))
        panic("next hop key of %zu octets", strlen(key));
    TAILQ_INIT(&d->lanes);
    TAILQ_INIT(&d->groups);
    TAILQ_INIT(&d->idle);
    TAILQ_INIT(&d->hosts);
    return d;
}

static void forget_mx(struct destination *d)
{
    free(d->mx.hosts);
    memset(&d->mx, 0, sizeof d->mx);
    d->has_mx = false;
}

static void forget_host(struct destination *d, struct remembered_host *h)
{
    TAILQ_REMOVE(&d->hosts, h, entry);
    dns_host_clear(&h->host);
    free(h);
}

void destination_free(struct destination *d)
{
    if (!d)
        return;
    if (d->running > 0 || !TAILQ_EMPTY(&d->lanes) || !TAILQ_EMPTY(&d->groups))
        panic("destination %s is freed while in use", d->key);
    destination_close_idle(d, INT64_MAX);
    while (!TAILQ_EMPTY(&d->hosts))
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it is off the list before it is freed */
        forget_host(d, TAILQ_FIRST(&d->hosts));
    forget_mx(d);
    known_policy_clear(&d->policy);
    free(d);
}

static int64_t kept_until(int64_t expires_at, int64_t now)
{
    return expires_at < now + KEPT_SECONDS ? expires_at : now + KEPT_SECONDS;
}

const struct dns_mx *destination_mx(const struct destination *d, int64_t now)
{
    return d->has_mx && now < d->mx.expires_at ? &d->mx : NULL;
}

static void *copy_array(const void *from, size_t count, size_t size)
{
    void *to = xalloc((count ? count : 1) * size);
    if (count > 0)
        memcpy(to, from, count * size);
    return to;
}

void destination_keep_mx(struct destination *d, const struct dns_mx *mx, int64_t now)
{
    forget_mx(d);
    if (mx->status != DNS_DATA && mx->status != DNS_NODATA)
        return;
    d->mx = *mx;
    d->mx.hosts = copy_array(mx->hosts, mx->count, sizeof *mx->hosts);
    d->mx.expires_at = kept_until(mx->expires_at, now);
    d->has_mx = true;
}

/* What is no definite answer is asked for anew with the next attempt. */
void destination_keep_policy(struct destination *d, const struct known_policy *k, int64_t now)
{
    bool is_policy = k->status == STS_POLICY;
    known_policy_clear(&d->policy);
    d->policy_until = 0;
    if (!is_policy && k->status != STS_NONE)
        return;
    known_policy_copy(&d->policy, k);
    d->policy.is_new = false; /* for whoever finds it here */
    d->policy_until = is_policy ? kept_until(k->policy.expires_at, now) : now + KEPT_SECONDS;
}

const struct known_policy *destination_policy(const struct destination *d, unsigned changes,
                                              int64_t now)
{
    return now < d->policy_until && changes == d->policy.changes ? &d->policy : NULL;
}

bool known_policy_is_in_doubt(const struct known_policy *k, const struct guarantee_host *h)
{
    bool has_wrong_certificate = h->sts == GUARANTEE_STS_COVERS &&
                                 h->tls == GUARANTEE_TLS_ESTABLISHED && !h->is_pkix_for_host;
    bool has_dane = h->tlsa == GUARANTEE_TLSA_USABLE;
    bool is_left_out = h->sts == GUARANTEE_STS_EXCLUDES && (!has_dane || !h->is_name_secure);
    return k->status == STS_POLICY && !k->is_new &&
           (is_left_out || (has_wrong_certificate && !has_dane));
}

void known_policy_set(struct known_policy *k, const struct sts_answer *answer)
{
    *k = (struct known_policy){.status = answer->status,
                               .failure = answer->failure,
                               .is_new = answer->is_new,
                               .changes = answer->changes};
    snprintf(k->detail, sizeof k->detail, "%s", answer->detail ? answer->detail : "");
    if (answer->status == STS_POLICY)
        sts_policy_copy(&k->policy, answer->policy);
}

void known_policy_copy(struct known_policy *to, const struct known_policy *from)
{
    *to = *from;
    if (from->status == STS_POLICY)
        sts_policy_copy(&to->policy, &from->policy);
}

void known_policy_clear(struct known_policy *k)
{
    if (k->status == STS_POLICY)
        sts_policy_clear(&k->policy);
    *k = (struct known_policy){.status = STS_NONE};
}

void dns_host_copy(struct dns_host *to, const struct dns_host *from)
{
    *to = *from;
    to->addresses = copy_array(from->addresses, from->address_count, sizeof *from->addresses);
    to->records = copy_array(from->records, from->record_count, sizeof *from->records);
}

void dns_host_clear(struct dns_host *h)
{
    free(h->addresses);
    free(h->records);
    memset(h, 0, sizeof *h);
}

const struct dns_host *destination_host(struct destination *d, const char *name, int64_t now)
{
    struct remembered_host *h;
    struct remembered_host *next;
    for (h = TAILQ_FIRST(&d->hosts); h; h = next) {
        next = TAILQ_NEXT(h, entry);
        if (now >= h->host.expires_at)
            forget_host(d, h);
        else if (strcmp(h->name, name) == 0)
            return &h->host;
    }
    return NULL;
}

void destination_keep_host(struct destination *d, const char *name, const struct dns_host *host,
                           int64_t now)
{
    if (host->status != DNS_DATA || host->tlsa == DNS_TLSA_ERROR)
        return;
    struct remembered_host *h;
    TAILQ_FOREACH(h, &d->hosts, entry)
    {
        if (strcmp(h->name, name) == 0) {
            forget_host(d, h);
            break;
        }
    }
    h = xalloc(sizeof *h);
    dns_host_copy(&h->host, host);
    h->host.expires_at = kept_until(host->expires_at, now);
    if (!slice_copy(slice_of(name), h->name, sizeof h->name))
        panic("host name of %zu octets", strlen(name));
    TAILQ_INSERT_HEAD(&d->hosts, h, entry);
}

static bool keys_equal(const struct connection_key *a, const struct connection_key *b)
{
    return strcmp(a->host, b->host) == 0 && net_address_equal(&a->to, &b->to) &&
           net_address_equal(&a->source, &b->source) && a->is_local_route == b->is_local_route &&
           a->is_smarthost == b->is_smarthost && a->is_name_secure == b->is_name_secure &&
           a->sts == b->sts && a->is_tls_remembered == b->is_tls_remembered;
}

static struct client *take_out(struct idle_connection *i)
{
    struct client *client = i->client;
    TAILQ_REMOVE(&i->destination->idle, i, entry);
    i->destination->idle_count--;
    free(i);
    return client;
}

struct client *destination_take_idle(struct destination *d, const struct connection_key *key,
                                     int64_t now, int64_t *expires_at)
{
    struct idle_connection *i;
    TAILQ_FOREACH(i, &d->idle, entry)
    {
        if (keys_equal(&i->key, key) && now < i->expires_at) {
            *expires_at = i->expires_at;
            return take_out(i);
        }
    }
    return NULL;
}

/* The host closed it, or spoke without being asked: either way it is of no more use. */
static void idle_rested(void *context, struct client *c)
{
    struct idle_connection *i = context;
    take_out(i);
    client_free(c);
}

static void idle_sent(void *context, struct client *c)
{
    (void)context;
    panic("an idle connection sent a message (%d)", (int)client_state(c));
}

void destination_keep_idle(struct destination *d, struct client *client,
                           const struct connection_key *key, int64_t expires_at, int64_t now_ms)
{
    static const struct client_handler handler = {.rested = idle_rested, .sent = idle_sent};
    if (client_state(client) == CLIENT_DEAD || d->is_stale ||
        client_transactions(client) >= TRANSACTIONS_MAX) {
        client_free(client);
        return;
    }
    struct idle_connection *i = xalloc(sizeof *i);
    i->client = client;
    i->key = *key;
    i->expires_at = expires_at;
    i->closes_at_ms = now_ms + IDLE_MS;
    i->destination = d;
    /* The warmest is used first, so that the rest can close. */
    TAILQ_INSERT_HEAD(&d->idle, i, entry);
    d->idle_count++;
    client_set_handler(client, &handler, i);
}

void destination_close_idle(struct destination *d, int64_t now_ms)
{
    struct idle_connection *i;
    struct idle_connection *next;
    for (i = TAILQ_FIRST(&d->idle); i; i = next) {
        next = TAILQ_NEXT(i, entry);
        if (now_ms >= i->closes_at_ms)
            client_free(take_out(i));
    }
}
