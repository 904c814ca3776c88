/* report.h - what one session is in the terms of TLS reports (RFC 8460 section 4): which policy
 * applied, and did the session live up to it.
 *
 * Pure: facts in, result out; the caller counts it (queue/tlsrpt.h). Any thread. */
#ifndef GATEWAY_DELIVERY_REPORT_H
#define GATEWAY_DELIVERY_REPORT_H

#include "gateway/dns/dns.h"
#include "gateway/guarantee/judge.h"
#include "gateway/sts/policy.h"
#include "queue/tlsrpt.h"

/* One connection to one address of one MX host, or a host that was left out for what DNS or its
 * MTA-STS policy say of it. Not for routes and literals: no domain's policy is about them. All
 * borrowed. */
struct report_session {
    const char *domain;                /* policy domain: the recipients', an A-label */
    const struct guarantee_host *host; /* `at` gives the day */
    const struct sts_policy *policy;   /* the domain's, in whatever mode; NULL: none is known */
    enum sts_failure sts_failure;      /* why none is known although one is announced */
    const char *tlsa;                  /* the host's records, as report_tlsa_lines() writes them */
    const char *sending_address;       /* our end of the connection; "" or NULL: not known */
    bool requires_dane;                /* configured: policy or route "dane" */
};

/* Give it to queue_tlsrpt_count(q, &report.result, 1), then report_free(). */
struct report {
    struct queue_tlsrpt_result result;
    char *strings, *mx_hosts; /* owned; the result borrows them */
};

/* False: nothing to be counted, as the session came to no word about TLS (no contact, trouble of
 * our own, TLS not tried); nothing is to be freed then. What a session has against it is one
 * failure: a policy that cannot be applied goes before the negotiation. */
NODISCARD bool report_of_session(const struct report_session *s, struct report *out);
void report_free(struct report *r);

/* The records in their presentation form, "3 1 1 0B..", LF between them. The caller frees. */
NODISCARD char *report_tlsa_lines(const struct dns_tlsa_record *records, size_t count);

#endif
