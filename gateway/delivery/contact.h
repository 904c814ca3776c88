/* contact.h - one MX host before a connection: what is known of it, and what a connection to it is
 * made with.
 *
 * Delivery and the probe go through here alike, so that `check` looks at exactly what delivery
 * would. Loop thread only. */
#ifndef GATEWAY_DELIVERY_CONTACT_H
#define GATEWAY_DELIVERY_CONTACT_H

#include "gateway/delivery/client.h"
#include "gateway/delivery/destination.h"
#include "gateway/posture/posture.h"

/* All pointers are borrowed. */
struct contact {
    const struct delivery_settings *settings;
    const struct next_hop *next_hop;
    const struct dns_mx_host *mx;
    const struct dns_host *host;
    bool is_name_secure;                 /* as in struct guarantee_host */
    const struct known_policy *policy;   /* MTA-STS of the next-hop domain */
    const struct posture_memory *memory; /* of the host */
    /* On the new connection after a handshake that FAILED or was CUT: that fact with its cause.
     * UNTRIED otherwise. */
    enum guarantee_tls failed_tls;
    const struct outcome *failed_cause;
};

/* What the MX look-up says of DNSSEC there, for the breaker. */
void contact_learn_zone(struct posture *p, const char *domain, const struct dns_mx *mx);

/* Whether the MX look-up found hosts; if not, what, and detail says why. */
enum guarantee_destination contact_destination(const struct dns_mx *mx, char *detail, size_t size);

bool contact_is_smarthost(const struct next_hop *n);

/* What is known before connecting. `to` NULL: no address; else its text goes to address[], which
 * the facts borrow. */
struct guarantee_host contact_facts(const struct contact *c, const struct net_address *to,
                                    char address[NET_ADDRESS_SIZE]);

/* Keeps those of the host's addresses that may be connected to, ports set. *blocked: how many may
 * not, by configuration. False: one of them is a listener of our own. */
NODISCARD bool contact_filter(const struct contact *c, struct dns_host *host, size_t *blocked);

/* Why a host has no address to connect to; also *contact. */
struct outcome contact_no_address(const char *name, const struct dns_host *host,
                                  enum guarantee_contact *contact);

struct contact_way {
    struct loop *loop;
    const struct event_sink *events;
    const struct net_address *to;
    const struct net_address *source; /* family NET_NONE: any */
};
/* NULL: no resources. The client copies what it needs. */
NODISCARD struct client *contact_open(const struct contact *c, const struct contact_way *way,
                                      const struct client_handler *handler, void *context);

#endif
