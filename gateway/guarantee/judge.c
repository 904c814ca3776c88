/* The judge. "When TLS is required we must never, ever, end up in plain text": every way to
 * ACCEPTABLE leads through guarantee_judge(), whose last lines look once more; what cannot be is a
 * panic, never a guess. */
#include "gateway/guarantee/judge.h"

#include "gateway/guarantee/required.h"
#include "gateway/guarantee/words.h"

const char *guarantee_kind_name(enum guarantee_kind kind)
{
    switch (kind) {
    case GUARANTEE_ACCEPTABLE:
        return "acceptable";
    case GUARANTEE_NOT_YET:
        return "not yet known";
    case GUARANTEE_OWN_FAULT:
        return "fault of our own";
    case GUARANTEE_UNREACHABLE:
        return "unreachable";
    case GUARANTEE_TLS_UNKNOWN:
        return "TLS unknown";
    case GUARANTEE_PASSING_TROUBLE:
        return "passing TLS trouble";
    case GUARANTEE_NOT_OFFERED:
        return "TLS not offered";
    case GUARANTEE_REFUSED:
        return "TLS refused";
    case GUARANTEE_HANDSHAKE_FAILED:
        return "TLS failed";
    case GUARANTEE_NOT_AUTHENTICATED:
        return "TLS not authenticated";
    case GUARANTEE_NO_REQUIRETLS:
        return "REQUIRETLS not offered";
    }
    panic("guarantee_kind_name: %d", (int)kind);
}

bool guarantee_is_final(enum guarantee_kind kind)
{
    switch (kind) {
    case GUARANTEE_ACCEPTABLE:
    case GUARANTEE_NOT_YET:
    case GUARANTEE_OWN_FAULT:
    case GUARANTEE_UNREACHABLE:
    case GUARANTEE_TLS_UNKNOWN:
    case GUARANTEE_PASSING_TROUBLE:
        return false;
    case GUARANTEE_NOT_OFFERED:
    case GUARANTEE_REFUSED:
    case GUARANTEE_HANDSHAKE_FAILED:
    case GUARANTEE_NOT_AUTHENTICATED:
    case GUARANTEE_NO_REQUIRETLS:
        return true;
    }
    panic("guarantee_is_final: %d", (int)kind);
}

static bool is_matched_by_dane(const struct guarantee_host *h)
{
    return h->tls == GUARANTEE_TLS_ESTABLISHED && h->tlsa == GUARANTEE_TLSA_USABLE &&
           h->is_dane_matched;
}

static bool is_listed_by_sts(const struct guarantee_host *h)
{
    return h->sts == GUARANTEE_STS_COVERS && !h->is_literal;
}

/* Is this the host that the recipient's domain named? An insecure MX look-up alone may have been
 * answered by an attacker. */
static bool is_name_authentic(const struct guarantee_host *h)
{
    return (h->is_name_secure && !h->is_literal) || is_listed_by_sts(h);
}

/* Policy dane takes names from DNSSEC only. */
static bool is_verified_by_dane_alone(const struct guarantee_host *h)
{
    return is_matched_by_dane(h) && h->is_name_secure && !h->is_literal;
}

/* Where the name is not authentic it may be the attacker's own: then a match proves encryption and
 * no more (GUARANTEE.md section 5). */
static bool is_verified_by_dane(const struct guarantee_host *h)
{
    return is_matched_by_dane(h) && is_name_authentic(h);
}

/* DANE at a host wins over MTA-STS there. */
static bool is_verified_by_sts(const struct guarantee_host *h)
{
    return h->tls == GUARANTEE_TLS_ESTABLISHED && h->tlsa != GUARANTEE_TLSA_USABLE &&
           is_listed_by_sts(h) && h->is_pkix_valid && h->is_pkix_for_host;
}

static bool is_verified_by_pkix(const struct guarantee_host *h)
{
    return h->tls == GUARANTEE_TLS_ESTABLISHED && h->is_pkix_valid && !h->is_literal &&
           (h->is_name_secure || h->is_pkix_for_domain ||
            (is_listed_by_sts(h) && h->is_pkix_for_host));
}

/* The handshake proved that the server holds the key, so the key's digest is as good as the
 * certificate's. Chain, name and dates do not matter, nor does what DANE says. */
static bool has_fingerprint(const struct guarantee_fingerprints *named,
                            const struct guarantee_host *h)
{
    return named != NULL && h->tls == GUARANTEE_TLS_ESTABLISHED &&
           (guarantee_fingerprints_have(named, h->key_digest) ||
            guarantee_fingerprints_have(named, h->certificate_digest));
}

/* Does something lack that the policy of the domain might make good, were it known? */
static bool is_sts_unlearnt(const struct guarantee_host *h)
{
    return !h->is_literal && (h->sts == GUARANTEE_STS_UNKNOWN || h->sts == GUARANTEE_STS_OUR_FAULT);
}

/* What lacks although the policy of the domain is known, or whatever it says. What was published
 * comes first: the record that does not match is the cause, whatever else asked for it. */
static enum shortfall certain_shortfall(const struct required_here *here,
                                        const struct guarantee_requirement *r,
                                        const struct guarantee_host *h)
{
    bool may_be_listed = is_sts_unlearnt(h);
    if (here->tlsa_match && !is_matched_by_dane(h))
        return SHORTFALL_TLSA_MATCH;
    if (here->sts && !is_verified_by_sts(h))
        return SHORTFALL_STS_CERTIFICATE;
    if (here->dane && !is_verified_by_dane_alone(h))
        return SHORTFALL_DANE;
    if (here->policy_fingerprint && !has_fingerprint(r->policy_fingerprints, h))
        return SHORTFALL_POLICY_FINGERPRINT;
    if (here->route_fingerprint && !has_fingerprint(r->route_fingerprints, h))
        return SHORTFALL_ROUTE_FINGERPRINT;
    if (here->verified && !is_verified_by_dane(h) && !is_verified_by_sts(h) && !may_be_listed)
        return SHORTFALL_VERIFIED;
    if (here->verify && !is_verified_by_dane(h) && !is_verified_by_pkix(h) && !may_be_listed)
        return SHORTFALL_PKIX;
    /* REQUIRETLS asks for more than a policy: the name itself must be authentic (RFC 8689 section
     * 4.2.1). */
    if (here->requiretls && !is_name_authentic(h) && !may_be_listed)
        return SHORTFALL_REQUIRETLS_NAME;
    if (here->requiretls && !is_matched_by_dane(h) && !h->is_pkix_valid)
        return SHORTFALL_REQUIRETLS_CERTIFICATE;
    if (here->requiretls && !h->offers_requiretls)
        return SHORTFALL_REQUIRETLS_OFFER;
    /* What is beyond a smarthost nobody can see from here; only REQUIRETLS, offered there and used
     * in the transaction, binds it (GUARANTEE.md section 1). */
    if (here->onward && !(r->requiretls && h->offers_requiretls))
        return SHORTFALL_ONWARD;
    return SHORTFALL_NONE;
}

/* What waits for the policy of the domain to be learnt. */
static enum shortfall uncertain_shortfall(const struct required_here *here,
                                          const struct guarantee_host *h)
{
    bool lacks_certificate =
        (here->verified && !is_verified_by_dane(h) && !is_verified_by_sts(h)) ||
        (here->verify && !is_verified_by_dane(h) && !is_verified_by_pkix(h));
    bool lacks_name = here->requiretls && !is_name_authentic(h);
    if (!lacks_certificate && !lacks_name)
        return SHORTFALL_NONE;
    if (h->sts == GUARANTEE_STS_OUR_FAULT)
        return SHORTFALL_STS_OUR_FAULT;
    return lacks_certificate ? SHORTFALL_STS_UNKNOWN : SHORTFALL_REQUIRETLS_STS_UNKNOWN;
}

/* What the established TLS lacks of all that is required here. What is certain goes before what may
 * turn out well: one line that fails is enough. */
static enum shortfall shortfall_of(const struct required_here *here,
                                   const struct guarantee_requirement *r,
                                   const struct guarantee_host *h)
{
    enum shortfall certain = certain_shortfall(here, r, h);
    return certain != SHORTFALL_NONE ? certain : uncertain_shortfall(here, h);
}

static enum guarantee_kind kind_of_shortfall(enum shortfall shortfall)
{
    switch (shortfall) {
    case SHORTFALL_NONE:
        return GUARANTEE_ACCEPTABLE;
    case SHORTFALL_TLSA_MATCH:
    case SHORTFALL_STS_EXCLUDES:
    case SHORTFALL_STS_CERTIFICATE:
    case SHORTFALL_DANE:
    case SHORTFALL_POLICY_FINGERPRINT:
    case SHORTFALL_ROUTE_FINGERPRINT:
    case SHORTFALL_VERIFIED:
    case SHORTFALL_PKIX:
    case SHORTFALL_REQUIRETLS_NAME:
    case SHORTFALL_REQUIRETLS_CERTIFICATE:
        return GUARANTEE_NOT_AUTHENTICATED;
    case SHORTFALL_STS_UNKNOWN:
    case SHORTFALL_REQUIRETLS_STS_UNKNOWN:
        return GUARANTEE_PASSING_TROUBLE;
    case SHORTFALL_STS_OUR_FAULT:
        return GUARANTEE_OWN_FAULT;
    case SHORTFALL_REQUIRETLS_OFFER:
    case SHORTFALL_ONWARD:
        return GUARANTEE_NO_REQUIRETLS;
    }
    panic("kind_of_shortfall: %d", (int)shortfall);
}

/* The host has greeted us and taken EHLO or HELO, and TLS is required. */
static enum guarantee_kind kind_under_tls(const struct required_here *here,
                                          const struct guarantee_requirement *r,
                                          const struct guarantee_host *h, enum shortfall *shortfall)
{
    switch (h->tls) {
    case GUARANTEE_TLS_UNTRIED:
        return GUARANTEE_NOT_YET;
    case GUARANTEE_TLS_NOT_OFFERED:
        return GUARANTEE_NOT_OFFERED;
    case GUARANTEE_TLS_TRY_LATER:
    case GUARANTEE_TLS_CUT:
        return GUARANTEE_PASSING_TROUBLE;
    case GUARANTEE_TLS_REFUSED:
        return GUARANTEE_REFUSED;
    case GUARANTEE_TLS_FAILED:
        return GUARANTEE_HANDSHAKE_FAILED;
    case GUARANTEE_TLS_ESTABLISHED:
        *shortfall = shortfall_of(here, r, h);
        return kind_of_shortfall(*shortfall);
    }
    panic("kind_under_tls: tls %d", (int)h->tls);
}

static enum guarantee_kind kind_of(const struct required_here *here,
                                   const struct guarantee_requirement *r,
                                   const struct guarantee_host *h, enum shortfall *shortfall)
{
    if (h->contact == GUARANTEE_OUR_FAULT)
        return GUARANTEE_OWN_FAULT;
    if (here->tlsa_known && h->tlsa == GUARANTEE_TLSA_ERROR)
        return GUARANTEE_TLS_UNKNOWN;
    /* Not even connected; a connection that is there all the same changes nothing. */
    if (here->sts && h->sts == GUARANTEE_STS_EXCLUDES) {
        *shortfall = SHORTFALL_STS_EXCLUDES;
        return GUARANTEE_NOT_AUTHENTICATED;
    }
    switch (h->contact) {
    case GUARANTEE_UNTRIED:
        return GUARANTEE_NOT_YET;
    case GUARANTEE_NO_CONTACT:
        return GUARANTEE_UNREACHABLE;
    case GUARANTEE_IN_CONTACT:
        return here->tls ? kind_under_tls(here, r, h, shortfall) : GUARANTEE_ACCEPTABLE;
    case GUARANTEE_OUR_FAULT:
        break;
    }
    panic("kind_of: contact %d", (int)h->contact);
}

/* Looks once more at what was found acceptable, by other ways than those that led there. */
static void check_acceptable(const struct guarantee_requirement *r, const struct guarantee_host *h)
{
    if (h->contact != GUARANTEE_IN_CONTACT ||
        (!h->is_local_route && guarantee_demands_tls(r) && h->tls != GUARANTEE_TLS_ESTABLISHED))
        panic("guarantee_judge: acceptable without TLS: contact %d tls %d", (int)h->contact,
              (int)h->tls);
    if (!h->is_local_route &&
        ((r->policy == GUARANTEE_POLICY_FINGERPRINT &&
          !has_fingerprint(r->policy_fingerprints, h)) ||
         (r->route == GUARANTEE_POLICY_FINGERPRINT && !has_fingerprint(r->route_fingerprints, h))))
        panic("guarantee_judge: acceptable without a fingerprint that is named");
    bool has_dane = h->tlsa == GUARANTEE_TLSA_USABLE;
    bool is_left_out = h->sts == GUARANTEE_STS_EXCLUDES && !(has_dane && h->is_name_secure);
    bool is_unproved = h->sts == GUARANTEE_STS_COVERS && !has_dane &&
                       (h->tls != GUARANTEE_TLS_ESTABLISHED || !h->is_pkix_for_host);
    bool is_bound = !h->is_local_route && (!r->ignores_promises || r->requiretls);
    if (is_bound && (is_left_out || is_unproved))
        panic("guarantee_judge: acceptable against the MTA-STS policy: sts %d tls %d", (int)h->sts,
              (int)h->tls);
}

struct guarantee_verdict guarantee_judge(const struct guarantee_requirement *r,
                                         const struct guarantee_host *h)
{
    struct required_here here = required_here(r, h);
    enum shortfall shortfall = SHORTFALL_NONE;
    struct guarantee_verdict verdict = {.kind = kind_of(&here, r, h, &shortfall)};
    if (verdict.kind == GUARANTEE_NOT_YET)
        return verdict;
    if (verdict.kind != GUARANTEE_ACCEPTABLE) {
        verdict.outcome = words_verdict(verdict.kind, shortfall, r, h);
        verdict.is_by_sts =
            shortfall == SHORTFALL_STS_EXCLUDES || shortfall == SHORTFALL_STS_CERTIFICATE;
        return verdict;
    }
    check_acceptable(r, h);
    if (is_verified_by_dane(h))
        verdict.verified = GUARANTEE_VERIFIED_DANE;
    else if (is_verified_by_sts(h))
        verdict.verified = GUARANTEE_VERIFIED_STS;
    else if (is_verified_by_pkix(h))
        verdict.verified = GUARANTEE_VERIFIED_PKIX;
    return verdict;
}

bool guarantee_wants_starttls(const struct guarantee_requirement *r, const struct guarantee_host *h)
{
    bool is_switched_off = r->policy == GUARANTEE_POLICY_NONE || r->route == GUARANTEE_POLICY_NONE;
    return !is_switched_off || required_here(r, h).tls;
}

bool guarantee_may_go_clear(const struct guarantee_requirement *r, const struct guarantee_host *h)
{
    struct guarantee_host clear = *h;
    clear.contact = GUARANTEE_IN_CONTACT;
    clear.tls = GUARANTEE_TLS_FAILED;
    return guarantee_judge(r, &clear).kind == GUARANTEE_ACCEPTABLE;
}
