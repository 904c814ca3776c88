/* mx.h - where a domain's mail goes: the decision behind dns_find_mx() (RFC 5321 5.1, RFC 7505).
 *
 * One question. No I/O of its own: it asks through struct dns_asker. Home loop only. */
#ifndef GATEWAY_DNS_MX_H
#define GATEWAY_DNS_MX_H

#include "gateway/dns/answer.h"

#define DNS_MX_HOSTS_MAX 100

struct mx_lookup {
    struct dns_ask ask;
    void (*done)(void *context, struct mx_lookup *lookup);
    void *context;
    struct dns_mx mx; /* the result; hosts are owned */
};

/* done() is called once, as the last thing the look-up does; it may free the look-up. */
void mx_lookup_start(struct mx_lookup *lookup, const struct dns_asker *asker, const char *domain,
                     void (*done)(void *context, struct mx_lookup *lookup), void *context);
void mx_lookup_clear(struct mx_lookup *lookup); /* frees what the result holds */

#endif
