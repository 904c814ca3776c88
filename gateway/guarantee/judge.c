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

/* Behind an insecure MX look-up the matched name may be the attacker's own: then a match proves
 * encryption and no more (GUARANTEE.md section 5). */
static bool is_verified_by_dane(const struct guarantee_host *h)
{
    return is_matched_by_dane(h) && h->is_name_secure && !h->is_literal;
}

static bool is_verified_by_pkix(const struct guarantee_host *h)
{
    return h->tls == GUARANTEE_TLS_ESTABLISHED && h->is_pkix_valid && !h->is_literal &&
           (h->is_name_secure || h->is_pkix_for_domain);
}

/* REQUIRETLS asks for more than a policy: the name itself must be authentic (RFC 8689 section
 * 4.2.1). */
static enum shortfall shortfall_of_requiretls(const struct guarantee_host *h)
{
    if (!h->is_name_secure || h->is_literal)
        return SHORTFALL_REQUIRETLS_NAME;
    if (!is_matched_by_dane(h) && !h->is_pkix_valid)
        return SHORTFALL_REQUIRETLS_CERTIFICATE;
    return h->offers_requiretls ? SHORTFALL_NONE : SHORTFALL_REQUIRETLS_OFFER;
}

/* What the established TLS lacks of all that is required here. What DNS published comes first: the
 * record that does not match is the cause, whatever else asked for it. */
static enum shortfall shortfall_of(const struct required_here *here,
                                   const struct guarantee_requirement *r,
                                   const struct guarantee_host *h)
{
    if (here->tlsa_match && !is_matched_by_dane(h))
        return SHORTFALL_TLSA_MATCH;
    if (here->dane && !is_verified_by_dane(h))
        return SHORTFALL_DANE;
    if (here->verify && !is_verified_by_dane(h) && !is_verified_by_pkix(h))
        return SHORTFALL_PKIX;
    enum shortfall of_requiretls = here->requiretls ? shortfall_of_requiretls(h) : SHORTFALL_NONE;
    if (of_requiretls != SHORTFALL_NONE)
        return of_requiretls;
    /* What is beyond a smarthost nobody can see from here; only REQUIRETLS, offered there and used
     * in the transaction, binds it (GUARANTEE.md section 1). */
    if (here->onward && !(r->requiretls && h->offers_requiretls))
        return SHORTFALL_ONWARD;
    return SHORTFALL_NONE;
}

static enum guarantee_kind kind_of_shortfall(enum shortfall shortfall)
{
    switch (shortfall) {
    case SHORTFALL_NONE:
        return GUARANTEE_ACCEPTABLE;
    case SHORTFALL_TLSA_MATCH:
    case SHORTFALL_DANE:
    case SHORTFALL_PKIX:
    case SHORTFALL_REQUIRETLS_NAME:
    case SHORTFALL_REQUIRETLS_CERTIFICATE:
        return GUARANTEE_NOT_AUTHENTICATED;
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
        return verdict;
    }
    if (h->contact != GUARANTEE_IN_CONTACT ||
        (!h->is_local_route && guarantee_demands_tls(r) && h->tls != GUARANTEE_TLS_ESTABLISHED))
        panic("guarantee_judge: acceptable without TLS: contact %d tls %d", (int)h->contact,
              (int)h->tls);
    if (is_verified_by_dane(h))
        verdict.verified = GUARANTEE_VERIFIED_DANE;
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
