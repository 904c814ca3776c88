/* tlsa.h - which TLSA records of an answer count (RFC 7672 section 3.1, RFC 7671 section 9).
 *
 * Pure, any thread. */
#ifndef GATEWAY_DNS_TLSA_H
#define GATEWAY_DNS_TLSA_H

#include "gateway/dns/dns.h"
#include "mail/slice.h"

/* Usages 2 and 3, selectors 0 and 1, matching types 0 to 2, data of the length that the digest has.
 * Usages 0 and 1 must not reach OpenSSL, which would use them. */
bool dns_tlsa_is_usable(const struct dns_tlsa_record *record);

#define DNS_TLSA_MAX 100

/* From the rdata of an answer: the usable records, of each usage and selector only those of the
 * strongest digest (a full certificate or key is no digest and always stays). At most DNS_TLSA_MAX
 * are read. Allocates *kept (free()), NULL when none is left; returns how many. */
NODISCARD size_t dns_tlsa_filter(const struct slice *records, size_t count,
                                 struct dns_tlsa_record **kept);

#endif
