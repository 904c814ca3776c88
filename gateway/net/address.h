/* address.h - IP addresses, ports, networks and Unix socket paths as values. Any thread. */
#ifndef GATEWAY_NET_ADDRESS_H
#define GATEWAY_NET_ADDRESS_H

#include "mail/slice.h"

#define NET_ADDRESS_SIZE 112 /* textual form: IPv6 with scope, or a Unix socket path */

struct net_address {
    enum { NET_NONE, NET_IPV4, NET_IPV6, NET_UNIX } family;
    uint8_t bytes[16]; /* network order; 4 or 16 of them */
    uint32_t scope;    /* IPv6 scope id, 0 */
    uint16_t port;     /* host order */
    char path[108];    /* NET_UNIX */
};

/* "192.0.2.1", "2001:db8::1", also in brackets and with the "IPv6:" tag of RFC 5321; no port, no
 * names. Without the tag an IPv6 scope may follow ("fe80::1%eth0", "fe80::1%2"). All of `in`,
 * nothing around it; port and path of *out become 0 and "". */
NODISCARD bool net_address_parse(struct slice in, struct net_address *out);
/* A Unix socket path. False when it is empty, too long or holds a NUL. */
NODISCARD bool net_address_unix(struct slice path, struct net_address *out);
const char *net_address_text(const struct net_address *a,
                             char out[NET_ADDRESS_SIZE]); /* without port; returns out */
bool net_address_equal(const struct net_address *a, const struct net_address *b); /* port too */
/* IPv4-mapped IPv6 becomes IPv4. */
void net_address_unmap(struct net_address *a);
bool net_address_is_loopback(
    const struct net_address *a); /* 127/8, ::1, unmapped first; a Unix socket too */

struct net_network {
    struct net_address base;
    uint8_t prefix;
};
/* "127.0.0.0/8"; without a prefix: one host. Bits set behind the prefix, a scope or a sign are
 * errors. An IPv4-mapped network of 96 bits and more becomes the IPv4 network. */
NODISCARD bool net_network_parse(struct slice in, struct net_network *out);
bool net_network_has(const struct net_network *n,
                     const struct net_address *a); /* unmaps a copy of a first */

#endif
