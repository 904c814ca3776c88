#include "gateway/guarantee/words.h"

#include <stdio.h>

const char *words_host(const struct guarantee_host *h, char out[WORDS_HOST_SIZE])
{
    if (h->address == NULL || h->address[0] == '\0')
        snprintf(out, WORDS_HOST_SIZE, "%.*s", DOMAIN_MAX, h->name);
    else
        snprintf(out, WORDS_HOST_SIZE, "%.*s[%.64s]", DOMAIN_MAX, h->is_literal ? "" : h->name,
                 h->address);
    return out;
}

/* What the connection brought along, as something that passes: what a peer says about being
 * permanent counts for nothing before TLS. */
static struct outcome unreachable(const struct guarantee_host *h)
{
    char host[WORDS_HOST_SIZE];
    if (h->cause.status.class == 0)
        return outcome_local(status_make(4, 4, 1), "host %s could not be reached",
                             words_host(h, host));
    struct outcome o = h->cause;
    o.status.class = 4;
    return o;
}

/* Our own faults are of subject 3 (mail system), whatever number the library's error was given. */
static struct outcome own_fault(const struct guarantee_host *h)
{
    struct status fault = status_make(4, 3, 0);
    if (h->cause.status.class == 0)
        return outcome_local(fault, "a fault of this mail system kept host %.*s from being used",
                             DOMAIN_MAX, h->name);
    struct outcome o = h->cause;
    o.status.class = 4;
    if (o.status.subject != 3)
        o.status = fault;
    return o;
}

static struct outcome unknown_tls(const struct guarantee_host *h)
{
    struct status status = status_make(4, 7, 5);
    if (h->cause.status.class == 0)
        return outcome_local(status, "TLSA lookup error for %.*s:%u", DOMAIN_MAX, h->name, h->port);
    return outcome_local(status, "TLSA lookup error for %.*s:%u: %s", DOMAIN_MAX, h->name, h->port,
                         h->cause.text);
}

static struct outcome not_offered(const struct guarantee_requirement *r,
                                  const struct guarantee_host *h)
{
    char host[WORDS_HOST_SIZE];
    words_host(h, host);
    if (r->requiretls)
        return outcome_local(
            status_make(5, 7, 30),
            "Sender requested REQUIRETLS, but TLS service was not offered by host %s", host);
    return outcome_local(status_make(5, 7, 4), "TLS is required, but was not offered by host %s",
                         host);
}

/* A refusal of STARTTLS, passing (class 4) or final (class 5). */
static struct outcome refused(unsigned class, const struct guarantee_requirement *r,
                              const struct guarantee_host *h)
{
    char host[WORDS_HOST_SIZE], reply[OUTCOME_TEXT_SIZE + 16] = "no reason given";
    if (h->cause.status.class != 0 && h->cause.code != 0)
        snprintf(reply, sizeof reply, "%u %s", h->cause.code, h->cause.text);
    else if (h->cause.status.class != 0)
        snprintf(reply, sizeof reply, "%s", h->cause.text);
    return outcome_local(status_make(class, 7, r->requiretls ? 10 : 4),
                         "%s, but host %s refused to start TLS: %s",
                         r->requiretls ? "Sender requested REQUIRETLS" : "TLS is required",
                         words_host(h, host), reply);
}

/* A handshake that was cut (class 4) or failed (class 5), with the library's cause. */
static struct outcome handshake(unsigned class, const char *otherwise,
                                const struct guarantee_host *h)
{
    char host[WORDS_HOST_SIZE];
    return outcome_local(
        status_make(class, 7, 5), "Cannot start TLS: handshake failure with host %s: %s",
        words_host(h, host), h->cause.status.class != 0 ? h->cause.text : otherwise);
}

/* ": what OpenSSL said", or nothing. */
#define CERTIFICATE_ERROR_SIZE 160
static const char *certificate_error(const struct guarantee_host *h,
                                     char out[CERTIFICATE_ERROR_SIZE])
{
    bool has_words = h->certificate_error != NULL && h->certificate_error[0] != '\0';
    snprintf(out, CERTIFICATE_ERROR_SIZE, "%s%s", has_words ? ": " : "",
             has_words ? h->certificate_error : "");
    return out;
}

/* Why DANE cannot or does not authenticate the host: the first thing that the postmaster there, or
 * the administrator here, would have to change. */
static struct outcome without_dane(struct status status, const struct guarantee_host *h)
{
    char host[WORDS_HOST_SIZE], why[CERTIFICATE_ERROR_SIZE];
    words_host(h, host);
    if (h->is_literal)
        return outcome_local(status,
                             "Server certificate not verified: host %s is named by its address "
                             "alone, which nothing can verify",
                             host);
    if (!h->is_name_secure)
        return outcome_local(status,
                             "Server certificate not verified: non DNSSEC destination, DANE cannot "
                             "authenticate host %s",
                             host);
    switch (h->tlsa) {
    case GUARANTEE_TLSA_NONE:
        return outcome_local(
            status, "Server certificate not verified: no TLSA records found for host %s", host);
    case GUARANTEE_TLSA_UNUSABLE:
        return outcome_local(
            status, "Server certificate not verified: TLSA records unusable for host %s", host);
    case GUARANTEE_TLSA_USABLE:
        return outcome_local(status,
                             "Server certificate not verified: no TLSA record matches the "
                             "certificate of host %s%s",
                             host, certificate_error(h, why));
    case GUARANTEE_TLSA_ERROR:
        return unknown_tls(h);
    }
    panic("without_dane: tlsa %d", (int)h->tlsa);
}

static struct outcome without_pkix(struct status status, const struct guarantee_host *h)
{
    char host[WORDS_HOST_SIZE], why[CERTIFICATE_ERROR_SIZE];
    words_host(h, host);
    if (h->is_literal)
        return without_dane(status, h);
    if (h->is_pkix_valid)
        return outcome_local(status,
                             "Server certificate not verified: non DNSSEC destination, and the "
                             "certificate of host %s is not valid for the recipient's domain",
                             host);
    return outcome_local(status,
                         "Server certificate not verified: certificate of host %s is not valid%s",
                         host, certificate_error(h, why));
}

static struct outcome not_authenticated(enum shortfall shortfall, const struct guarantee_host *h)
{
    struct status not_verified = status_make(5, 7, 5), not_possible = status_make(5, 7, 10);
    char host[WORDS_HOST_SIZE], why[CERTIFICATE_ERROR_SIZE];
    switch (shortfall) {
    case SHORTFALL_TLSA_MATCH:
        return outcome_local(not_verified,
                             "Server certificate not verified: no TLSA record matches the "
                             "certificate of host %s%s",
                             words_host(h, host), certificate_error(h, why));
    case SHORTFALL_DANE:
        return without_dane(not_verified, h);
    case SHORTFALL_PKIX:
        return without_pkix(not_verified, h);
    case SHORTFALL_REQUIRETLS_NAME:
        return outcome_local(not_possible,
                             "Sender requested REQUIRETLS, but the name of host %s is not "
                             "authentic (non DNSSEC destination)",
                             words_host(h, host));
    case SHORTFALL_REQUIRETLS_CERTIFICATE:
        return outcome_local(not_possible,
                             "Sender requested REQUIRETLS, but no matching server certificate was "
                             "found. The last attempted server was %s",
                             words_host(h, host));
    case SHORTFALL_REQUIRETLS_OFFER:
        return outcome_local(status_make(5, 7, 30),
                             "Sender requested REQUIRETLS, but no server was found that supports "
                             "REQUIRETLS. The last attempted server was %s",
                             words_host(h, host));
    case SHORTFALL_ONWARD:
        return outcome_local(status_make(5, 7, 30),
                             "Verified TLS is required, but mail through smarthost %s does not go "
                             "on with REQUIRETLS",
                             words_host(h, host));
    case SHORTFALL_NONE:
        break;
    }
    panic("not_authenticated: shortfall %d", (int)shortfall);
}

static struct outcome sentence(enum guarantee_kind kind, enum shortfall shortfall,
                               const struct guarantee_requirement *r,
                               const struct guarantee_host *h)
{
    switch (kind) {
    case GUARANTEE_OWN_FAULT:
        return own_fault(h);
    case GUARANTEE_UNREACHABLE:
        return unreachable(h);
    case GUARANTEE_TLS_UNKNOWN:
        return unknown_tls(h);
    case GUARANTEE_PASSING_TROUBLE:
        return h->tls == GUARANTEE_TLS_CUT ? handshake(4, "connection lost", h) : refused(4, r, h);
    case GUARANTEE_NOT_OFFERED:
        return not_offered(r, h);
    case GUARANTEE_REFUSED:
        return refused(5, r, h);
    case GUARANTEE_HANDSHAKE_FAILED:
        return handshake(5, "no common ground", h);
    case GUARANTEE_NOT_AUTHENTICATED:
    case GUARANTEE_NO_REQUIRETLS:
        return not_authenticated(shortfall, h);
    case GUARANTEE_ACCEPTABLE:
    case GUARANTEE_NOT_YET:
        break;
    }
    panic("words_verdict: no words for %s", guarantee_kind_name(kind));
}

struct outcome words_verdict(enum guarantee_kind kind, enum shortfall shortfall,
                             const struct guarantee_requirement *r, const struct guarantee_host *h)
{
    struct outcome o = sentence(kind, shortfall, r, h);
    outcome_set_host(&o, h->name, h->address, h->port);
    return o;
}
