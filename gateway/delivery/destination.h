/* destination.h - one next hop: the mail that waits for it, its open connections, and what is
 * remembered of it for a while.
 *
 * Everything for one next hop is scheduled together, so that the limit per destination holds and
 * one dead host never delays another's mail. What is remembered may only defer; permission always
 * comes from the connection itself. Loop thread only. */
#ifndef GATEWAY_DELIVERY_DESTINATION_H
#define GATEWAY_DELIVERY_DESTINATION_H

#include "gateway/delivery/lanes.h"
#include "gateway/delivery/settings.h"
#include "gateway/dns/dns.h"
#include "gateway/sts/sts.h"

/* Where mail for one recipient domain goes, read from the configuration. */
struct next_hop {
    struct delivery_next_hop target;
    uint16_t port;
    enum client_protocol protocol;
    const struct delivery_route *
        route; /* borrowed from the settings; NULL: by MX, or an address literal in the recipient */
};
void next_hop_for(const struct delivery_settings *s, const char *domain, struct next_hop *out);
/* Names the next hop: equal text, equal destination. Returns out. */
#define NEXT_HOP_KEY_SIZE (DOMAIN_SIZE + NET_ADDRESS_SIZE + 16)
const char *next_hop_key(const struct next_hop *n, char out[NEXT_HOP_KEY_SIZE]);
/* A route for a named domain that leads to loopback or a Unix socket (GUARANTEE.md section 1). */
bool next_hop_is_local(const struct next_hop *n, const struct net_address *connected);

/* The answer about a domain's MTA-STS policy, kept. */
struct known_policy {
    enum sts_status status;
    struct sts_policy policy; /* owned content; of STS_POLICY */
    enum sts_failure failure; /* why there is none, for reports */
    char detail[200];
    bool is_new; /* as in struct sts_answer */
    unsigned changes;
};
void known_policy_set(struct known_policy *k, const struct sts_answer *answer); /* copies */
void known_policy_copy(struct known_policy *to, const struct known_policy *from);
void known_policy_clear(struct known_policy *k);
/* An enforced policy does not fit the host: it lists others, or the certificate is not valid for
 * the host's name. It may have changed, so it is to be fetched anew (GUARANTEE.md section 6); not
 * so where a usable TLSA record makes it count for nothing, or where it is new. */
bool known_policy_is_in_doubt(const struct known_policy *k, const struct guarantee_host *h);

/* Which connection would do: everything that must be equal for a connection to be used again. The
 * judge looks at it all the same. */
struct connection_key {
    char host[DOMAIN_SIZE];
    struct net_address to;
    struct net_address source;
    bool is_local_route;
    bool is_smarthost; /* facts of the way there, not of the connection: two routes may share a next
                          hop */
    bool is_name_secure;
    enum guarantee_sts sts;
    bool is_tls_remembered;
};

struct idle_connection {
    struct client *client; /* owned */
    struct connection_key key;
    int64_t expires_at;   /* wall clock seconds: end of what DNS said of the host */
    int64_t closes_at_ms; /* loop clock */
    struct destination *destination;
    TAILQ_ENTRY(idle_connection) entry;
};

struct remembered_host {
    struct dns_host host; /* owned copy */
    char name[DOMAIN_SIZE];
    TAILQ_ENTRY(remembered_host) entry;
};

/* One message's recipients of one lane, leased, waiting for a free place. */
struct recipient_group {
    struct queue_lane lane;
    struct queue_recipient *recipients; /* owned array and contents */
    size_t count;
    TAILQ_ENTRY(recipient_group) entry;
};

struct destination {
    char key[NEXT_HOP_KEY_SIZE];
    struct lane_list lanes;               /* with something due, served in turn */
    TAILQ_HEAD(, recipient_group) groups; /* taken from the lane served last */
    unsigned limit;                       /* attempts at a time */
    unsigned running;                     /* attempts under way */
    unsigned idle_count;
    bool is_stale; /* the configuration changed: nothing new begins here */
    bool is_ready; /* stands in the delivery's list of those that may begin something */
    TAILQ_ENTRY(destination) ready;
    TAILQ_ENTRY(destination) all;
    TAILQ_HEAD(, idle_connection) idle;
    TAILQ_HEAD(, remembered_host) hosts;
    bool has_mx;
    struct dns_mx mx; /* owned copy */
    struct known_policy policy;
    int64_t policy_until;      /* wall clock seconds; 0: not known */
    int64_t back_off_until_ms; /* loop clock; 0: none */
    struct outcome back_off_reason;
};

struct destination *destination_new(const char *key);
void destination_free(struct destination *d); /* closes idle connections; nothing may run or wait */

/* What was learnt of names is kept until its TTL ends, and a minute at most. Borrowed until the
 * next call; NULL: ask. */
const struct dns_mx *destination_mx(const struct destination *d, int64_t now);
void destination_keep_mx(struct destination *d, const struct dns_mx *mx, int64_t now);
/* `changes`: sts_changes() now. */
const struct known_policy *destination_policy(const struct destination *d, unsigned changes,
                                              int64_t now);
void destination_keep_policy(struct destination *d, const struct known_policy *k, int64_t now);
const struct dns_host *destination_host(struct destination *d, const char *name, int64_t now);
void destination_keep_host(struct destination *d, const char *name, const struct dns_host *host,
                           int64_t now);

/* An idle connection of that key, taken out; NULL: none. */
struct client *destination_take_idle(struct destination *d, const struct connection_key *key,
                                     int64_t now, int64_t *expires_at);
/* Keeps a connection at rest for the next message; it closes itself after a while. Owns it from now
 * on. */
void destination_keep_idle(struct destination *d, struct client *client,
                           const struct connection_key *key, int64_t expires_at, int64_t now_ms);
void destination_close_idle(struct destination *d,
                            int64_t now_ms); /* those whose time is over; INT64_MAX: all */

/* Deep copies of resolver answers. */
void dns_host_copy(struct dns_host *to, const struct dns_host *from);
void dns_host_clear(struct dns_host *h);

#endif
