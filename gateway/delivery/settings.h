/* settings.h - what delivery is configured to do: an immutable snapshot, shared between loops by
 * reference count. */
#ifndef GATEWAY_DELIVERY_SETTINGS_H
#define GATEWAY_DELIVERY_SETTINGS_H

#include "bounce/bounce.h"
#include "gateway/delivery/client.h"

/* Where a route leads. "[192.0.2.1]:24", "[host.example]:587" (no MX look-up), "example.net" (MX
 * look-up), "unix:/path". */
struct delivery_next_hop {
    enum { NEXT_HOP_MX, NEXT_HOP_HOST, NEXT_HOP_LITERAL, NEXT_HOP_UNIX } kind;
    char name[DOMAIN_SIZE];     /* MX and HOST: A-label */
    struct net_address address; /* LITERAL and UNIX; port set */
    uint16_t port;              /* 0: delivery.port */
};
NODISCARD bool delivery_next_hop_parse(struct slice in, struct delivery_next_hop *out);

struct delivery_route {
    char pattern[DOMAIN_SIZE]; /* "example.org", ".example.org" (below it), "*" */
    struct delivery_next_hop next_hop;
    enum client_protocol protocol;
    enum guarantee_policy tls;                  /* MAY unless said */
    struct guarantee_fingerprints fingerprints; /* owned content; of FINGERPRINT */
};
struct delivery_policy {
    char pattern[DOMAIN_SIZE]; /* "bank.example", ".example" */
    enum guarantee_policy tls;
    struct guarantee_fingerprints fingerprints; /* owned content; of FINGERPRINT */
};
struct delivery_source {
    char domain[DOMAIN_SIZE];        /* of the reverse-path */
    struct net_address addresses[2]; /* at most one per family; NET_NONE: none */
};

struct delivery_settings {
    char hostname[DOMAIN_SIZE];
    uint16_t port;
    struct tls_context *tls; /* owned reference */
    int64_t connect_timeout_ms;
    unsigned concurrency; /* connections per destination */
    int ip_version;       /* 4, 6, 0 = both */
    size_t blocked_count;
    struct net_network *blocked; /* owned */
    size_t own_count; /* addresses our listeners are bound to, with ports: "best host ourselves"; a
                       * wildcard listener stands here with the addresses of this machine's
                       * interfaces */
    struct net_address *own; /* owned */
    int64_t retry_first_ms, retry_max_ms, lifetime_ms, warn_after_ms;
    int64_t remember_tls_ms; /* delivery.remember_tls; 0: off */
    bool discards_stopped;   /* guarantee.on_stop = discard */
    int64_t hold_for_ms, patience_ms;
    bool counts_for_reports; /* results of sessions are counted (RFC 8460) */
    size_t route_count;
    struct delivery_route *routes; /* owned */
    size_t policy_count;
    struct delivery_policy *policies; /* owned */
    size_t source_count;
    struct delivery_source *sources; /* owned */
};
struct delivery_settings *delivery_settings_new(void); /* one reference, all zero */
struct delivery_settings *delivery_settings_ref(struct delivery_settings *s);
void delivery_settings_unref(struct delivery_settings *s); /* any thread */

/* The route for a recipient domain: exact title, then the longest ".parent", then "*"; NULL: by MX.
 */
const struct delivery_route *delivery_route_for(const struct delivery_settings *s,
                                                const char *domain);
/* The policy of a recipient domain, likewise; MAY where none is set. */
enum guarantee_policy delivery_policy_for(const struct delivery_settings *s, const char *domain);
/* What is required of a stored recipient: guarantee_required() with the policy of its domain and
 * the tls key of its route (NULL: none). Borrows the fingerprints from the settings: only who holds
 * a reference may keep it. */
struct guarantee_requirement delivery_required(const struct delivery_settings *s,
                                               const char *domain,
                                               const struct delivery_route *route, enum level level,
                                               enum exemption exemption, bool requiretls);
bool delivery_is_blocked(const struct delivery_settings *s, const struct net_address *a);
bool delivery_is_own(const struct delivery_settings *s, const struct net_address *a);
/* NULL: any. */
const struct net_address *delivery_source_for(const struct delivery_settings *s,
                                              const char *reverse_path, bool ipv6);

#endif
