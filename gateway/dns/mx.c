#include "gateway/dns/mx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/dns/message.h"
#include "gateway/net/address.h"

/* More records than this are not even read: far beyond what a 64 KiB answer of real names holds. */
#define RECORDS_MAX 4096

static int by_preference(const void *a, const void *b)
{
    const struct dns_mx_host *left = a;
    const struct dns_mx_host *right = b;
    if (left->preference != right->preference)
        return left->preference < right->preference ? -1 : 1;
    return strcmp(left->name, right->name);
}

static int by_name(const void *a, const void *b)
{
    const struct dns_mx_host *left = a;
    const struct dns_mx_host *right = b;
    int order = strcmp(left->name, right->name);
    return order != 0 ? order : by_preference(a, b);
}

/* "." says that there is no mail (alone) or is a mistake (beside others); an address where a name
 * belongs is one too (RFC 5321 section 5.1 wants a domain name). */
static bool is_host_name(const char *name)
{
    struct net_address address;
    return strcmp(name, ".") != 0 && !net_address_parse(slice_of(name), &address);
}

/* Lists each host once, with its best preference. */
static size_t drop_repeated(struct dns_mx_host *hosts, size_t count)
{
    size_t left = 0;
    if (count > 1)
        qsort(hosts, count, sizeof *hosts, by_name);
    for (size_t i = 0; i < count; i++) {
        if (left == 0 || strcmp(hosts[left - 1].name, hosts[i].name) != 0)
            hosts[left++] = hosts[i];
    }
    return left;
}

static void read_hosts(struct dns_mx *mx, const struct dns_answer *answer)
{
    size_t count = answer->count < RECORDS_MAX ? answer->count : RECORDS_MAX;
    mx->hosts = xalloc((count + 1) * sizeof *mx->hosts);
    for (size_t i = 0; i < count; i++) {
        struct dns_mx_host *host = &mx->hosts[mx->count];
        if (!dns_read_mx(answer->records[i], &host->preference, host->name))
            continue;
        if (answer->count == 1 && strcmp(host->name, ".") == 0)
            mx->is_null = true;
        if (is_host_name(host->name))
            mx->count++;
    }
    mx->count = drop_repeated(mx->hosts, mx->count);
    if (mx->count > 1)
        qsort(mx->hosts, mx->count, sizeof *mx->hosts, by_preference);
    if (mx->count > DNS_MX_HOSTS_MAX) {
        snprintf(mx->detail, sizeof mx->detail, "%zu MX hosts, of which the first %d count",
                 mx->count, DNS_MX_HOSTS_MAX);
        mx->count = DNS_MX_HOSTS_MAX;
    }
    if (mx->count == 0 && !mx->is_null)
        snprintf(mx->detail, sizeof mx->detail, "no MX record names a host");
}

/* No MX record: the domain is its own MX host (RFC 5321 section 5.1). */
static void set_implicit(struct dns_mx *mx, const char *domain)
{
    mx->is_implicit = true;
    mx->hosts = xalloc(sizeof *mx->hosts);
    mx->count = slice_copy(slice_of(domain), mx->hosts[0].name, DOMAIN_SIZE) ? 1 : 0;
}

static void answered(void *context, struct dns_ask *ask, const struct dns_answer *answer)
{
    struct mx_lookup *lookup = context;
    struct dns_mx *mx = &lookup->mx;
    mx->status = answer->status;
    mx->security = answer->security;
    mx->expires_at = answer->expires_at;
    switch (answer->status) {
    case DNS_DATA:
        read_hosts(mx, answer);
        break;
    case DNS_NODATA:
        set_implicit(mx, ask->name);
        break;
    case DNS_NXDOMAIN:
        break;
    case DNS_FAILED:
    case DNS_BOGUS:
    case DNS_OUR_FAULT:
        dns_explain(ask, answer, mx->detail);
        break;
    }
    lookup->done(lookup->context, lookup);
}

void mx_lookup_start(struct mx_lookup *lookup, const struct dns_asker *asker, const char *domain,
                     void (*done)(void *context, struct mx_lookup *lookup), void *context)
{
    *lookup = (struct mx_lookup){.done = done, .context = context};
    lookup->ask.type = DNS_TYPE_MX;
    lookup->ask.answered = answered;
    lookup->ask.context = lookup;
    char name[DOMAIN_SIZE];
    /* A name that does not fit is cut, and not found. */
    bool fits = dns_fold_name(slice_of(domain), name);
    snprintf(lookup->ask.name, sizeof lookup->ask.name, "%s", fits ? name : domain);
    asker->ask(asker->context, &lookup->ask);
}

void mx_lookup_clear(struct mx_lookup *lookup)
{
    free(lookup->mx.hosts);
    lookup->mx.hosts = NULL;
    lookup->mx.count = 0;
}
