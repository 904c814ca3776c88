/* words.h - the sentence and the status of each verdict (INTERFACE.md "The notice"). Inside of the
 * room only.
 *
 * Where Postfix has a sentence for the cause it is ours too, so that programs which read bounces
 * know it. Each cause has its own true words. Any thread. */
#ifndef GATEWAY_GUARANTEE_WORDS_H
#define GATEWAY_GUARANTEE_WORDS_H

#include "gateway/guarantee/judge.h"

/* What an established TLS lacks. */
enum shortfall {
    SHORTFALL_NONE,
    SHORTFALL_TLSA_MATCH,      /* published records, none matches */
    SHORTFALL_STS_EXCLUDES,    /* the MTA-STS policy does not list the host */
    SHORTFALL_STS_CERTIFICATE, /* it does, but the certificate is not valid for the host's name */
    SHORTFALL_DANE,            /* DANE is required and cannot authenticate the host, or does not */
    SHORTFALL_POLICY_FINGERPRINT,     /* neither key nor certificate is one that the policy names */
    SHORTFALL_ROUTE_FINGERPRINT,      /* nor that the route names */
    SHORTFALL_VERIFIED,               /* neither DANE nor MTA-STS authenticates the host */
    SHORTFALL_PKIX,                   /* neither WebPKI nor DANE authenticates the host */
    SHORTFALL_REQUIRETLS_NAME,        /* REQUIRETLS: the host's name is not authentic */
    SHORTFALL_REQUIRETLS_CERTIFICATE, /* REQUIRETLS: neither DANE nor WebPKI */
    SHORTFALL_REQUIRETLS_OFFER,       /* REQUIRETLS not offered after TLS */
    /* Nothing else authenticates the host, and the policy that might could not be learnt. */
    SHORTFALL_STS_UNKNOWN,
    SHORTFALL_REQUIRETLS_STS_UNKNOWN,
    SHORTFALL_STS_OUR_FAULT,
    SHORTFALL_ONWARD, /* level verified over a smarthost that is not bound by REQUIRETLS */
};

#define WORDS_HOST_SIZE (DOMAIN_SIZE + 80)
/* "mx.example[192.0.2.9]", as Postfix writes it; a literal or a host without address stands alone.
 */
const char *words_host(const struct guarantee_host *h, char out[WORDS_HOST_SIZE]);

/* The outcome of every kind but ACCEPTABLE and NOT_YET; asking for these is a bug. `shortfall`
 * is what the verdict's kind comes from, NONE where it is none of these. */
struct outcome words_verdict(enum guarantee_kind kind, enum shortfall shortfall,
                             const struct guarantee_requirement *r, const struct guarantee_host *h);

#endif
