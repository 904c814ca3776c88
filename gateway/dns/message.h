/* message.h - rdata as DNS carries it, read with strict bounds (RFC 1035 3.3, RFC 3596, RFC
 * 6698 2.1).
 *
 * Pure, any thread. The bytes come from strangers: every reader takes the whole of one record's
 * rdata and refuses what is too short, too long or not what the type says. */
#ifndef GATEWAY_DNS_MESSAGE_H
#define GATEWAY_DNS_MESSAGE_H

#include "gateway/dns/dns.h"
#include "mail/slice.h"

/* Takes one uncompressed name off the front of *in: lower case, no trailing dot, "." for the root.
 * False, *in unmoved: truncated, compressed, too long, or a label that no host name has (anything
 * but letters, digits, hyphen and underscore). */
NODISCARD bool dns_read_name(struct slice *in, char out[DOMAIN_SIZE]);
NODISCARD bool dns_read_mx(struct slice rdata, unsigned *preference, char name[DOMAIN_SIZE]);
/* A and AAAA; the port is 0. */
NODISCARD bool dns_read_a(struct slice rdata, struct net_address *out);
NODISCARD bool dns_read_aaaa(struct slice rdata, struct net_address *out);
/* False: shorter than a record can be, or longer than struct dns_tlsa_record holds. Says nothing of
 * whether the record is usable, see tlsa.h. */
NODISCARD bool dns_read_tlsa(struct slice rdata, struct dns_tlsa_record *out);

/* TXT: the strings of the record joined into out[rdata.len] (RFC 1035 3.3.14), any octet. False: a
 * string runs over the end, or there is none. */
NODISCARD bool dns_read_txt(struct slice rdata, char *out, size_t *len);

/* A name in text, as libunbound writes it ("Mx.Example.", odd bytes escaped), in the form we keep:
 * lower case, no trailing dot. False: does not fit. */
NODISCARD bool dns_fold_name(struct slice text, char out[DOMAIN_SIZE]);

#endif
