/* host.h - one MX host: addresses and TLSA, the decision behind dns_find_host() (GUARANTEE.md 5).
 *
 *   ADDRESSES --+--> EXPANDED --> UNEXPANDED --> done     addresses secure
 *               +--> ALIAS -----> UNEXPANDED --> done     not secure, but the name is an alias
 *               +--> done                                 no addresses, or nothing secure leads
 * there
 *               +--> done                                 port 0: nobody wants TLSA
 *
 * EXPANDED is skipped to the end by usable or unusable records, by failure, and where the name is
 * no alias. No I/O of its own: it asks through struct dns_asker. Home loop only. */
#ifndef GATEWAY_DNS_HOST_H
#define GATEWAY_DNS_HOST_H

#include "gateway/dns/answer.h"

#define DNS_HOST_ADDRESSES_MAX 50

enum host_state {
    HOST_ADDRESSES,  /* A and AAAA are asked, side by side */
    HOST_ALIAS,      /* the CNAME record of the name itself */
    HOST_EXPANDED,   /* TLSA at the name that the aliases lead to; the name itself if it is none */
    HOST_UNEXPANDED, /* TLSA at the name as the MX record gives it */
    HOST_DONE,
    HOST_STATE_COUNT
};

/* What A or AAAA said. */
struct host_family {
    bool is_asked;
    enum dns_status status;
    enum dns_security security;
    char detail[DNS_DETAIL_SIZE];
    char canonical[DOMAIN_SIZE]; /* "": no alias */
    size_t count;
    struct net_address *addresses; /* owned */
};

struct host_lookup {
    const struct dns_asker *asker; /* borrowed */
    void (*done)(void *context, struct host_lookup *lookup);
    void *context;
    enum host_state state;
    char name[DOMAIN_SIZE];
    char expanded[DOMAIN_SIZE]; /* the name itself where it is no alias */
    uint16_t port;
    struct dns_ask asks[2]; /* AAAA and A; later the first alone */
    unsigned pending;
    struct host_family families[2];
    struct dns_host host; /* the result; addresses and records are owned */
};

/* ip_version 4 or 6 asks that family alone, 0 both. done() is called once, as the last thing the
 * look-up does; it may free the look-up. Borrows asker until then. */
void host_lookup_start(struct host_lookup *lookup, const struct dns_asker *asker, const char *name,
                       uint16_t port, int ip_version,
                       void (*done)(void *context, struct host_lookup *lookup), void *context);
void host_lookup_clear(struct host_lookup *lookup); /* frees what it holds */
const char *host_state_name(enum host_state state);

#endif
