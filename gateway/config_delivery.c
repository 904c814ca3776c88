#include "gateway/config_delivery.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/section.h"
#include "mail/address.h"
#include "mail/domain.h"

/* ---- titles ---- */

/* "[192.0.2.1]", in the one spelling that it has in a recipient's address. */
static bool is_literal(const char *title, char out[DOMAIN_SIZE])
{
    struct address mailbox;
    char text[DOMAIN_SIZE];
    snprintf(text, sizeof text, "x@%.250s", title);
    return title[0] == '[' && address_parse(slice_of(text), &mailbox) == ADDRESS_OK &&
           mailbox.is_literal && slice_copy(slice_of(address_domain(&mailbox)), out, DOMAIN_SIZE);
}

/* Titles are domains: exact, ".below", or (routes only) "*", or (policies only) a literal. */
static void read_pattern(struct section section, bool allows_star, char out[DOMAIN_SIZE])
{
    const char *title = section_title(section);
    char domain[DOMAIN_SIZE];
    bool is_below = title[0] == '.';
    bool is_policy = strcmp(section_name(section), "policy") == 0;
    if (allows_star && strcmp(title, "*") == 0) {
        snprintf(out, DOMAIN_SIZE, "*");
        return;
    }
    if (is_policy && is_literal(title, out))
        return;
    if (domain_to_ascii(slice_of(title + is_below), domain) &&
        snprintf(out, DOMAIN_SIZE, "%s%.254s", is_below ? "." : "", domain) < DOMAIN_SIZE)
        return;
    section_report_title(section, "expected a domain name%s",
                         allows_star ? ", \".DOMAIN\" or \"*\""
                         : is_policy ? ", \".DOMAIN\" or an address literal such as \"[192.0.2.1]\""
                                     : " or \".DOMAIN\"");
}

/* libConfuse compares titles as they are written; A-labels and case make other spellings of the
 * same domain. */
static void check_repeated(struct section section, const char *pattern, const char *before)
{
    if (strcmp(pattern, before) == 0)
        section_report_title(section, "the same domain as an earlier title (%s)", pattern);
}

/* ---- the listeners' addresses: mail must not come back to them ---- */

static void add_own(struct delivery_settings *s, struct net_address a)
{
    net_address_unmap(&a);
    s->own = xrealloc(s->own, (s->own_count + 1) * sizeof *s->own);
    s->own[s->own_count++] = a;
}

/* A wildcard listener answers on every address this machine has. */
static void add_own_interfaces(struct delivery_settings *s, const struct net_address *wildcard)
{
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) != 0)
        return; /* the loop check then rests on the host name and the Received count */
    for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
        struct net_address a = {.family = wildcard->family, .port = wildcard->port};
        if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET && a.family == NET_IPV4)
            memcpy(a.bytes, &((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr, 4);
        else if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET6 && a.family == NET_IPV6)
            memcpy(a.bytes, &((const struct sockaddr_in6 *)(const void *)i->ifa_addr)->sin6_addr,
                   16);
        else
            continue;
        add_own(s, a);
    }
    freeifaddrs(all);
}

static void read_own(struct delivery_settings *s, const struct submission_settings *from)
{
    static const uint8_t zero[16];
    for (size_t i = 0; i < from->listener_count; i++) {
        const struct submission_listener *l = &from->listeners[i];
        for (size_t k = 0; k < l->address_count; k++) {
            if (memcmp(l->addresses[k].bytes, zero, sizeof zero) == 0)
                add_own_interfaces(s, &l->addresses[k]);
            else
                add_own(s, l->addresses[k]);
        }
    }
}

/* ---- routes, policies, sources ---- */

static enum guarantee_policy tls_words(struct section section, struct guarantee_fingerprints *named)
{
    enum guarantee_policy policy = GUARANTEE_POLICY_MAY;
    struct slice in = slice_of(section_text(section, "tls"));
    if (guarantee_fingerprints_parse(in, named))
        return GUARANTEE_POLICY_FINGERPRINT;
    if (!guarantee_policy_parse(in, &policy) && !section_has_errors(section))
        panic("unchecked tls word");
    return policy;
}

static void read_route(struct section section, struct delivery_route *route)
{
    read_pattern(section, true, route->pattern);
    route->protocol = section_is(section, "protocol", "lmtp") ? CLIENT_LMTP : CLIENT_SMTP;
    route->tls = tls_words(section, &route->fingerprints);
    if (!delivery_next_hop_parse(slice_of(section_text(section, "next_hop")), &route->next_hop))
        return; /* reported as missing */
    bool is_address =
        route->next_hop.kind == NEXT_HOP_LITERAL || route->next_hop.kind == NEXT_HOP_UNIX;
    bool is_local = is_address && net_address_is_loopback(&route->next_hop.address) &&
                    route->pattern[0] != '.' && strcmp(route->pattern, "*") != 0;
    if (!is_local && route->tls <= GUARANTEE_POLICY_MAY)
        section_warn(
            section, NULL,
            "route \"%s\" is not local and has tls = \"%s\": mail without a guarantee may travel "
            "in clear text to %s",
            route->pattern, guarantee_policy_name(route->tls), section_text(section, "next_hop"));
}

static void read_source(struct section section, struct delivery_source *source)
{
    size_t count;
    struct net_address *list = section_addresses(section, "address", 0, &count);
    read_pattern(section, false, source->domain);
    for (size_t i = 0; i < count; i++) {
        struct net_address *slot = &source->addresses[list[i].family == NET_IPV6];
        if (slot->family != NET_NONE)
            section_report(section, "address", "at most one address per family");
        *slot = list[i];
    }
    if (count == 0)
        section_report(section, "address", "must be set");
    free(list);
}

static void read_destinations(struct section root, struct delivery_settings *s)
{
    s->route_count = section_count(root, "route");
    s->routes = xalloc((s->route_count + 1) * sizeof *s->routes);
    for (unsigned i = 0; i < s->route_count; i++) {
        read_route(section_at(root, "route", i), &s->routes[i]);
        for (unsigned k = 0; k < i; k++)
            check_repeated(section_at(root, "route", i), s->routes[i].pattern,
                           s->routes[k].pattern);
    }
    s->policy_count = section_count(root, "policy");
    s->policies = xalloc((s->policy_count + 1) * sizeof *s->policies);
    for (unsigned i = 0; i < s->policy_count; i++) {
        struct section section = section_at(root, "policy", i);
        read_pattern(section, false, s->policies[i].pattern);
        s->policies[i].tls = tls_words(section, &s->policies[i].fingerprints);
        for (unsigned k = 0; k < i; k++)
            check_repeated(section, s->policies[i].pattern, s->policies[k].pattern);
    }
    s->source_count = section_count(root, "source");
    s->sources = xalloc((s->source_count + 1) * sizeof *s->sources);
    for (unsigned i = 0; i < s->source_count; i++) {
        read_source(section_at(root, "source", i), &s->sources[i]);
        for (unsigned k = 0; k < i; k++)
            check_repeated(section_at(root, "source", i), s->sources[i].domain,
                           s->sources[k].domain);
    }
}

/* ---- all of it ---- */

static void read_client_tls(struct section delivery, struct delivery_settings *s)
{
    char why[400];
    s->tls = tls_client_new(section_text(delivery, "ca_file"), why, sizeof why);
    if (!s->tls)
        section_report(delivery, "ca_file", "%s", why);
}

struct delivery_settings *config_delivery_read(struct section root, const struct config *c,
                                               enum config_use use)
{
    struct delivery_settings *s = delivery_settings_new();
    struct section delivery = section_of(root, "delivery");
    struct section retry = section_of(root, "retry");
    struct section guarantee = section_of(root, "guarantee");
    const char *ip_version = section_text(delivery, "ip_version");
    memcpy(s->hostname, c->hostname, sizeof s->hostname);
    s->port = (uint16_t)section_number(delivery, "port");
    s->blocked = section_networks(delivery, "blocked_networks", &s->blocked_count);
    s->concurrency = (unsigned)section_number(delivery, "concurrency_per_destination");
    s->connect_timeout_ms = section_duration(delivery, "connect_timeout");
    s->remember_tls_ms = section_duration(delivery, "remember_tls");
    s->ip_version = ip_version[0] == 'b' ? 0 : ip_version[0] - '0';
    s->retry_first_ms = section_duration(retry, "first");
    s->retry_max_ms = section_duration(retry, "max");
    s->lifetime_ms = section_duration(retry, "lifetime");
    s->warn_after_ms = section_duration(retry, "warn_after");
    s->discards_stopped = section_is(guarantee, "on_stop", "discard");
    s->hold_for_ms = section_duration(guarantee, "hold_for");
    s->patience_ms = section_duration(guarantee, "patience");
    s->counts_for_reports = c->report_organization[0] != '\0';
    read_own(s, c->submission);
    read_destinations(root, s);
    if (use == CONFIG_WHOLE && !section_has_errors(root))
        read_client_tls(delivery, s);
    return s;
}
