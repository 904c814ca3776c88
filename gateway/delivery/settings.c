#include "gateway/delivery/settings.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "mail/domain.h"

struct counted {
    atomic_uint references;
    struct delivery_settings settings;
};

static struct counted *counted_of(struct delivery_settings *s)
{
    return (struct counted *)(void *)((char *)s - offsetof(struct counted, settings));
}

struct delivery_settings *delivery_settings_new(void)
{
    struct counted *c = xalloc(sizeof *c);
    atomic_init(&c->references, 1);
    return &c->settings;
}

struct delivery_settings *delivery_settings_ref(struct delivery_settings *s)
{
    atomic_fetch_add(&counted_of(s)->references, 1);
    return s;
}

void delivery_settings_unref(struct delivery_settings *s)
{
    if (!s || atomic_fetch_sub(&counted_of(s)->references, 1) != 1)
        return;
    tls_context_unref(s->tls);
    free(s->blocked);
    free(s->own);
    for (size_t i = 0; i < s->route_count; i++)
        guarantee_fingerprints_clear(&s->routes[i].fingerprints);
    free(s->routes);
    for (size_t i = 0; i < s->policy_count; i++)
        guarantee_fingerprints_clear(&s->policies[i].fingerprints);
    free(s->policies);
    free(s->sources);
    free(counted_of(s));
}

/* "[...]" with an optional ":port": the part in brackets, and the port (0 when absent). */
static bool split_brackets(struct slice in, struct slice *inside, uint16_t *port)
{
    ptrdiff_t end = slice_find(in, ']');
    uint64_t number = 0;
    if (end < 0)
        return false;
    *inside = slice_sub(in, 1, (size_t)end - 1);
    struct slice rest = slice_sub(in, (size_t)end + 1, in.len);
    if (rest.len > 0) {
        if (rest.data[0] != ':' || !slice_number(slice_sub(rest, 1, rest.len), 65535, &number) ||
            number == 0)
            return false;
    }
    *port = (uint16_t)number;
    return true;
}

static bool parse_bracketed(struct slice in, struct delivery_next_hop *out)
{
    struct slice inside;
    if (!split_brackets(in, &inside, &out->port))
        return false;
    if (net_address_parse(inside, &out->address)) {
        out->kind = NEXT_HOP_LITERAL;
        out->address.port = out->port;
        return true;
    }
    out->kind = NEXT_HOP_HOST;
    return domain_to_ascii(inside, out->name);
}

static bool parse_unix(struct slice path, struct delivery_next_hop *out)
{
    out->kind = NEXT_HOP_UNIX;
    out->address.family = NET_UNIX;
    return path.len > 0 && path.data[0] == '/' &&
           slice_copy(path, out->address.path, sizeof out->address.path);
}

bool delivery_next_hop_parse(struct slice in, struct delivery_next_hop *out)
{
    struct slice unix_tag = SLICE("unix:");
    memset(out, 0, sizeof *out);
    if (in.len > 0 && in.data[0] == '[')
        return parse_bracketed(in, out);
    if (slice_starts_nocase(in, unix_tag))
        return parse_unix(slice_sub(in, unix_tag.len, in.len), out);
    out->kind = NEXT_HOP_MX;
    ptrdiff_t colon = slice_find(in, ':');
    if (colon >= 0) {
        uint64_t number;
        if (!slice_number(slice_sub(in, (size_t)colon + 1, in.len), 65535, &number) || number == 0)
            return false;
        out->port = (uint16_t)number;
        in = slice_sub(in, 0, (size_t)colon);
    }
    return domain_to_ascii(in, out->name);
}

/* How well `pattern` fits: an exact title beats any parent, a longer parent a shorter one, "*"
 * comes last; 0 is no fit. */
static size_t fit(const char *pattern, const char *domain)
{
    if (strcmp(pattern, "*") == 0)
        return 1;
    if (!domain_matches(pattern, domain))
        return 0;
    return pattern[0] == '.' ? 1 + strlen(pattern) : 2 * (size_t)DOMAIN_SIZE;
}

const struct delivery_route *delivery_route_for(const struct delivery_settings *s,
                                                const char *domain)
{
    const struct delivery_route *best = NULL;
    size_t best_fit = 0;
    for (size_t i = 0; i < s->route_count; i++) {
        size_t this_fit = fit(s->routes[i].pattern, domain);
        if (this_fit > best_fit) {
            best = &s->routes[i];
            best_fit = this_fit;
        }
    }
    return best;
}

/* NULL: none is set. */
static const struct delivery_policy *policy_for(const struct delivery_settings *s,
                                                const char *domain)
{
    const struct delivery_policy *best = NULL;
    size_t best_fit = 0;
    for (size_t i = 0; i < s->policy_count; i++) {
        size_t this_fit = fit(s->policies[i].pattern, domain);
        if (this_fit > best_fit) {
            best = &s->policies[i];
            best_fit = this_fit;
        }
    }
    return best;
}

enum guarantee_policy delivery_policy_for(const struct delivery_settings *s, const char *domain)
{
    const struct delivery_policy *policy = policy_for(s, domain);
    return policy ? policy->tls : GUARANTEE_POLICY_MAY;
}

struct guarantee_requirement delivery_required(const struct delivery_settings *s,
                                               const char *domain,
                                               const struct delivery_route *route, enum level level,
                                               enum exemption exemption, bool requiretls)
{
    const struct delivery_policy *policy = policy_for(s, domain);
    struct guarantee_requirement r = guarantee_required(level, exemption, requiretls,
                                                        policy ? policy->tls : GUARANTEE_POLICY_MAY,
                                                        route ? route->tls : GUARANTEE_POLICY_MAY);
    r.policy_fingerprints = policy ? &policy->fingerprints : NULL;
    r.route_fingerprints = route ? &route->fingerprints : NULL;
    return r;
}

bool delivery_is_blocked(const struct delivery_settings *s, const struct net_address *a)
{
    for (size_t i = 0; i < s->blocked_count; i++)
        if (net_network_has(&s->blocked[i], a))
            return true;
    return false;
}

bool delivery_is_own(const struct delivery_settings *s, const struct net_address *a)
{
    for (size_t i = 0; i < s->own_count; i++)
        if (net_address_equal(&s->own[i], a))
            return true;
    return false;
}

const struct net_address *delivery_source_for(const struct delivery_settings *s,
                                              const char *reverse_path, bool ipv6)
{
    const char *at = strrchr(reverse_path, '@');
    if (!at)
        return NULL;
    for (size_t i = 0; i < s->source_count; i++) {
        if (strcasecmp(s->sources[i].domain, at + 1) != 0)
            continue;
        for (size_t k = 0; k < 2; k++) {
            const struct net_address *a = &s->sources[i].addresses[k];
            if (a->family == (ipv6 ? NET_IPV6 : NET_IPV4))
                return a;
        }
    }
    return NULL;
}
