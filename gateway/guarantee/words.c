#include "gateway/guarantee/words.h"

#include <stdio.h>
#include <string.h>

#include "gateway/guarantee/required.h"
#include "mail/date.h"

const char *words_host(const struct guarantee_host *h, char out[WORDS_HOST_SIZE])
{
    if (h->address == NULL || h->address[0] == '\0')
        snprintf(out, WORDS_HOST_SIZE, "%.*s", DOMAIN_MAX, h->name);
    else
        snprintf(out, WORDS_HOST_SIZE, "%.*s[%.64s]", DOMAIN_MAX, h->is_literal ? "" : h->name,
                 h->address);
    return out;
}

#define STS_DOMAIN_SIZE (DOMAIN_SIZE + 1)
/* Whose policy. */
static const char *sts_domain(const struct guarantee_host *h, char out[STS_DOMAIN_SIZE])
{
    bool has_domain = h->sts_domain != NULL && h->sts_domain[0] != '\0';
    snprintf(out, STS_DOMAIN_SIZE, "%.*s", DOMAIN_MAX,
             has_domain ? h->sts_domain : "the recipient's domain");
    return out;
}

/* ": why the policy could not be learnt", or nothing. */
#define STS_DETAIL_SIZE 160
static const char *sts_detail(const struct guarantee_host *h, char out[STS_DETAIL_SIZE])
{
    bool has_words = h->sts_detail != NULL && h->sts_detail[0] != '\0';
    snprintf(out, STS_DETAIL_SIZE, "%s%s", has_words ? ": " : "", has_words ? h->sts_detail : "");
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
static struct outcome own_fault(enum shortfall shortfall, const struct guarantee_host *h)
{
    char domain[STS_DOMAIN_SIZE], why[STS_DETAIL_SIZE];
    struct status fault = status_make(4, 3, 0);
    if (shortfall == SHORTFALL_STS_OUR_FAULT)
        return outcome_local(
            fault, "a fault of this mail system kept it from learning the MTA-STS policy of %s%s",
            sts_domain(h, domain), sts_detail(h, why));
    if (h->cause.status.class == 0)
        return outcome_local(fault, "a fault of this mail system kept host %.*s from being used",
                             DOMAIN_MAX, h->name);
    struct outcome o = h->cause;
    o.status.class = 4;
    if (o.status.subject != 3)
        o.status = fault;
    return o;
}

/* What the resolver said, without the question where that is the one the sentence names. */
static const char *tlsa_cause(const struct guarantee_host *h)
{
    char question[DOMAIN_SIZE + 64];
    snprintf(question, sizeof question, "TLSA look-up of _%u._tcp.%.*s: ", h->port, DOMAIN_MAX,
             h->name);
    size_t len = strlen(question);
    return strncasecmp(h->cause.text, question, len) == 0 ? h->cause.text + len : h->cause.text;
}

static struct outcome unknown_tls(const struct guarantee_host *h)
{
    struct status status = status_make(4, 7, 5);
    if (h->cause.status.class == 0)
        return outcome_local(status, "TLSA lookup error for %.*s:%u", DOMAIN_MAX, h->name, h->port);
    return outcome_local(status, "TLSA lookup error for %.*s:%u: %s", DOMAIN_MAX, h->name, h->port,
                         tlsa_cause(h));
}

/* Who wants TLS here. */
static const char *demand_words(const struct guarantee_requirement *r,
                                const struct guarantee_host *h)
{
    if (r->requiretls)
        return "Sender requested REQUIRETLS";
    return required_here(r, h).only_remembered ? "TLS is expected" : "TLS is required";
}

/* What TLS there is none of now, though it was there: another event than a host that never had it,
 * so it is said, behind the sentence that programs know. */
static struct outcome with_memory(struct outcome o, const char *had, const struct guarantee_host *h)
{
    char when[DATE_SIZE], looks[32] = "earlier looks";
    if (h->tls_seen_at == 0)
        return o;
    if (h->tls_looks > 0)
        snprintf(looks, sizeof looks, "%u earlier looks", h->tls_looks);
    size_t len = strlen(o.text);
    snprintf(o.text + len, sizeof o.text - len, "; on %s %s, last on %.10s", looks, had,
             date_rfc3339(h->tls_seen_at, when));
    return o;
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
    return outcome_local(status_make(5, 7, 4), "%s, but was not offered by host %s",
                         demand_words(r, h), host);
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
                         "%s, but host %s refused to start TLS: %s", demand_words(r, h),
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
#define CERTIFICATE_ERROR_SIZE 330
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

/* And why MTA-STS does not either; one that is there and broken is what its owner has to mend. */
static void add_without_sts(struct outcome *o, const struct guarantee_host *h)
{
    char why[STS_DETAIL_SIZE];
    size_t len = strlen(o->text), size = sizeof o->text - len;
    if (h->is_literal)
        return;
    switch (h->sts) {
    case GUARANTEE_STS_NONE:
        snprintf(o->text + len, size, "; no MTA-STS policy applies%s", sts_detail(h, why));
        return;
    case GUARANTEE_STS_TESTING:
        snprintf(o->text + len, size, "; the MTA-STS policy is in testing mode");
        return;
    case GUARANTEE_STS_EXCLUDES:
        snprintf(o->text + len, size, "; the MTA-STS policy does not list it");
        return;
    case GUARANTEE_STS_COVERS:
    case GUARANTEE_STS_UNKNOWN:
    case GUARANTEE_STS_OUR_FAULT:
        return;
    }
    panic("without_sts: %d", (int)h->sts);
}

static struct outcome unverified(struct status status, const struct guarantee_host *h)
{
    struct outcome o = without_dane(status, h);
    add_without_sts(&o, h);
    return o;
}

/* What MTA-STS requires and does not find. */
static struct outcome against_sts(enum shortfall shortfall, struct status status,
                                  const struct guarantee_host *h)
{
    char host[WORDS_HOST_SIZE], domain[STS_DOMAIN_SIZE], why[CERTIFICATE_ERROR_SIZE];
    words_host(h, host);
    sts_domain(h, domain);
    if (shortfall == SHORTFALL_STS_EXCLUDES)
        return outcome_local(
            status, "Server certificate not verified: host %s is not in the MTA-STS policy of %s",
            host, domain);
    return outcome_local(status,
                         "Server certificate not verified: certificate of host %s is not valid for "
                         "its name, as the MTA-STS policy of %s requires%s",
                         host, domain, certificate_error(h, why));
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

/* With the digests, for whoever has to compare them. */
static struct outcome without_fingerprint(struct status status, const char *whose,
                                          const struct guarantee_host *h)
{
    char host[WORDS_HOST_SIZE];
    const char *key = h->key_digest != NULL ? h->key_digest : "";
    const char *certificate = h->certificate_digest != NULL ? h->certificate_digest : "";
    words_host(h, host);
    if (key[0] == '\0' && certificate[0] == '\0')
        return outcome_local(status,
                             "Server certificate not verified: host %s shows no certificate, and "
                             "%s names fingerprints",
                             host, whose);
    return outcome_local(status,
                         "Server certificate not verified: host %s shows key %s / certificate %s, "
                         "none of the fingerprints that %s names",
                         host, key, certificate, whose);
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
    case SHORTFALL_STS_EXCLUDES:
    case SHORTFALL_STS_CERTIFICATE:
        return against_sts(shortfall, not_verified, h);
    case SHORTFALL_DANE:
        return without_dane(not_verified, h);
    case SHORTFALL_POLICY_FINGERPRINT:
        return without_fingerprint(not_verified, "our policy", h);
    case SHORTFALL_ROUTE_FINGERPRINT:
        return without_fingerprint(not_verified, "our route", h);
    case SHORTFALL_VERIFIED:
        return unverified(not_verified, h);
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
    case SHORTFALL_STS_UNKNOWN:
    case SHORTFALL_REQUIRETLS_STS_UNKNOWN:
    case SHORTFALL_STS_OUR_FAULT:
    case SHORTFALL_NONE:
        break;
    }
    panic("not_authenticated: shortfall %d", (int)shortfall);
}

/* The policy that might authenticate the host could not be learnt. */
static struct outcome unlearnt(enum shortfall shortfall, const struct guarantee_host *h)
{
    char host[WORDS_HOST_SIZE], domain[STS_DOMAIN_SIZE], why[STS_DETAIL_SIZE];
    sts_domain(h, domain);
    sts_detail(h, why);
    if (shortfall == SHORTFALL_REQUIRETLS_STS_UNKNOWN)
        return outcome_local(status_make(4, 7, 10),
                             "Sender requested REQUIRETLS, but the name of host %s is not "
                             "authentic: the MTA-STS policy of %s could not be learnt%s",
                             words_host(h, host), domain, why);
    return outcome_local(
        status_make(4, 7, 5),
        "Server certificate not verified: the MTA-STS policy of %s could not be learnt%s", domain,
        why);
}

static struct outcome passing(enum shortfall shortfall, const struct guarantee_requirement *r,
                              const struct guarantee_host *h)
{
    if (shortfall != SHORTFALL_NONE)
        return unlearnt(shortfall, h);
    if (h->tls == GUARANTEE_TLS_CUT)
        return with_memory(handshake(4, "connection lost", h), "it had TLS", h);
    return with_memory(refused(4, r, h), "it had TLS", h);
}

static struct outcome sentence(enum guarantee_kind kind, enum shortfall shortfall,
                               const struct guarantee_requirement *r,
                               const struct guarantee_host *h)
{
    switch (kind) {
    case GUARANTEE_OWN_FAULT:
        return own_fault(shortfall, h);
    case GUARANTEE_UNREACHABLE:
        return unreachable(h);
    case GUARANTEE_TLS_UNKNOWN:
        return unknown_tls(h);
    case GUARANTEE_PASSING_TROUBLE:
        return passing(shortfall, r, h);
    case GUARANTEE_NOT_OFFERED:
        return with_memory(not_offered(r, h), "it offered TLS", h);
    case GUARANTEE_REFUSED:
        return with_memory(refused(5, r, h), "it had TLS", h);
    case GUARANTEE_HANDSHAKE_FAILED:
        return with_memory(handshake(5, "no common ground", h), "it had TLS", h);
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
