/* required.h - what is required of one recipient's delivery at one host: every line of GUARANTEE.md
 * section 1 that applies there, side by side. Inside of the room only. Plain values, any thread. */
#ifndef GATEWAY_GUARANTEE_REQUIRED_H
#define GATEWAY_GUARANTEE_REQUIRED_H

#include "gateway/guarantee/judge.h"

struct required_here {
    bool tls; /* TLS 1.2 or newer */
    bool
        tlsa_known; /* the host is not used while its TLSA records could not be learnt (RFC 7672) */
    bool tlsa_match; /* a published usable TLSA record must match */
    bool sts;  /* the enforced MTA-STS policy binds here: the host listed, its certificate valid by
                  WebPKI for its name */
    bool dane; /* authenticated by DANE from a secure MX look-up: policy or route dane */
    bool verified; /* level verified: authenticated by DANE, from a secure MX look-up or where
                      MTA-STS lists the host, or by MTA-STS */
    bool verify;   /* WebPKI or DANE: policy or route verify */
    bool policy_fingerprint; /* a digest that the policy names: on its own, beside all others */
    bool route_fingerprint;  /* one that the route names */
    bool requiretls;         /* RFC 8689: authentic name, certificate, REQUIRETLS after TLS */
    bool onward;          /* through a smarthost: what is beyond it is bound by REQUIRETLS alone */
    bool only_remembered; /* TLS is asked for by nothing but the memory that it was there */
};

struct required_here required_here(const struct guarantee_requirement *r,
                                   const struct guarantee_host *h);

#endif
