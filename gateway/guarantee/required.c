#include "gateway/guarantee/required.h"

#include <stdio.h>
#include <string.h>

static const char *const policy_names[] = {
    [GUARANTEE_POLICY_NONE] = "none",       [GUARANTEE_POLICY_MAY] = "may",
    [GUARANTEE_POLICY_ENCRYPT] = "encrypt", [GUARANTEE_POLICY_DANE] = "dane",
    [GUARANTEE_POLICY_VERIFY] = "verify",   [GUARANTEE_POLICY_FINGERPRINT] = "fingerprint",
};

const char *guarantee_policy_name(enum guarantee_policy p)
{
    if ((unsigned)p >= COUNT_OF(policy_names))
        panic("guarantee_policy_name: %d", (int)p);
    return policy_names[p];
}

bool guarantee_policy_parse(struct slice in, enum guarantee_policy *out)
{
    for (size_t i = 0; i < COUNT_OF(policy_names); i++) {
        if (i != GUARANTEE_POLICY_FINGERPRINT && slice_equal(in, slice_of(policy_names[i]))) {
            *out = (enum guarantee_policy)i;
            return true;
        }
    }
    return false;
}

struct guarantee_requirement guarantee_required(enum level level, enum exemption exemption,
                                                bool requiretls, enum guarantee_policy policy,
                                                enum guarantee_policy route)
{
    struct guarantee_requirement r = {
        .level = level, .policy = policy, .route = route, .requiretls = requiretls};
    switch (exemption) {
    case EXEMPTION_NONE:
        return r;
    case EXEMPTION_AUTO_REPLY:
    case EXEMPTION_FORWARD:
    case EXEMPTION_EXCEPTION:
    case EXEMPTION_DRY_RUN:
        r.level = LEVEL_OFF;
        return r;
    case EXEMPTION_RELEASE:
        r.level = LEVEL_OFF;
        r.ignores_memory = true;
        return r;
    case EXEMPTION_TLS_REQUIRED_NO:
        /* REQUIRETLS wins over the field, which then says nothing (RFC 8689 section 4.1). */
        if (requiretls)
            return r;
        r.level = LEVEL_OFF;
        r.ignores_promises = r.ignores_memory = true;
        return r;
    case EXEMPTION_RELEASE_FORCE:
        r.level = LEVEL_OFF;
        r.ignores_promises = !requiretls;
        r.ignores_memory = true;
        return r;
    }
    panic("guarantee_required: exemption %d", (int)exemption);
}

/* A policy of none or may demands nothing, and lowers nothing. */
static bool policy_demands_tls(enum guarantee_policy p)
{
    switch (p) {
    case GUARANTEE_POLICY_NONE:
    case GUARANTEE_POLICY_MAY:
        return false;
    case GUARANTEE_POLICY_ENCRYPT:
    case GUARANTEE_POLICY_DANE:
    case GUARANTEE_POLICY_VERIFY:
    case GUARANTEE_POLICY_FINGERPRINT:
        return true;
    }
    panic("policy_demands_tls: %d", (int)p);
}

static bool level_demands_tls(enum level l)
{
    switch (l) {
    case LEVEL_OFF:
        return false;
    case LEVEL_ENCRYPT:
    case LEVEL_VERIFIED:
        return true;
    }
    panic("level_demands_tls: %d", (int)l);
}

bool guarantee_demands_tls(const struct guarantee_requirement *r)
{
    return level_demands_tls(r->level) || r->requiretls || policy_demands_tls(r->policy) ||
           policy_demands_tls(r->route);
}

static bool has_policy(const struct guarantee_requirement *r, enum guarantee_policy p)
{
    return r->policy == p || r->route == p;
}

/* Does DNS itself bind us to TLS at this host? */
static bool is_tls_published(enum guarantee_tlsa tlsa)
{
    switch (tlsa) {
    case GUARANTEE_TLSA_NONE:
    case GUARANTEE_TLSA_ERROR:
        return false;
    case GUARANTEE_TLSA_USABLE:
    case GUARANTEE_TLSA_UNUSABLE:
        return true;
    }
    panic("is_tls_published: %d", (int)tlsa);
}

/* DANE at a host wins over MTA-STS there; the look-up error of one is no reason to ask the other
 * instead, but that the host is then not used at all is seen to before. But behind an insecure MX
 * look-up the host itself may be an attacker's, with a zone, a key and a TLSA record of his own:
 * against him the domain's list of its hosts is all there is. */
static bool is_bound_by_sts(const struct guarantee_host *h)
{
    switch (h->sts) {
    case GUARANTEE_STS_NONE:
    case GUARANTEE_STS_TESTING:
    case GUARANTEE_STS_UNKNOWN:
    case GUARANTEE_STS_OUR_FAULT:
        return false;
    case GUARANTEE_STS_COVERS:
        return h->tlsa != GUARANTEE_TLSA_USABLE;
    case GUARANTEE_STS_EXCLUDES:
        return h->tlsa != GUARANTEE_TLSA_USABLE || !h->is_name_secure;
    }
    panic("is_bound_by_sts: %d", (int)h->sts);
}

/* Memory binds where nobody decided otherwise: neither the sender or the administrator for this
 * message, nor the administrator for this destination. */
static bool is_bound_by_memory(const struct guarantee_requirement *r,
                               const struct guarantee_host *h)
{
    return h->is_tls_remembered && !r->ignores_memory && !has_policy(r, GUARANTEE_POLICY_NONE);
}

struct required_here required_here(const struct guarantee_requirement *r,
                                   const struct guarantee_host *h)
{
    struct required_here here = {0};
    /* Nothing crosses a network: every requirement counts as met. */
    if (h->is_local_route)
        return here;
    bool keeps_promises = !r->ignores_promises || r->requiretls;
    bool is_published = is_tls_published(h->tlsa);
    here.dane = has_policy(r, GUARANTEE_POLICY_DANE);
    here.verified = r->level == LEVEL_VERIFIED;
    here.verify = has_policy(r, GUARANTEE_POLICY_VERIFY);
    here.policy_fingerprint = r->policy == GUARANTEE_POLICY_FINGERPRINT;
    here.route_fingerprint = r->route == GUARANTEE_POLICY_FINGERPRINT;
    here.requiretls = r->requiretls;
    here.onward = h->is_smarthost && r->level == LEVEL_VERIFIED;
    here.tlsa_known = keeps_promises || here.dane || here.verified;
    here.tlsa_match = (keeps_promises || here.verified) && h->tlsa == GUARANTEE_TLSA_USABLE;
    here.sts = keeps_promises && is_bound_by_sts(h);
    here.tls = guarantee_demands_tls(r) || (keeps_promises && is_published) || here.sts;
    here.only_remembered = !here.tls && is_bound_by_memory(r, h);
    here.tls |= here.only_remembered;
    return here;
}

/* Adds one requirement to the list in words; cut where `size` ends. */
static void add_words(char *out, size_t size, const char *what, const char *by)
{
    size_t len = strlen(out);
    snprintf(out + len, size - len, "%s%s, %s", len > 0 ? "; " : "", what, by);
}

static const char *policy_words(enum guarantee_policy p)
{
    switch (p) {
    case GUARANTEE_POLICY_NONE:
    case GUARANTEE_POLICY_MAY:
        return NULL;
    case GUARANTEE_POLICY_ENCRYPT:
        return "encrypted transport (TLS 1.2 or newer)";
    case GUARANTEE_POLICY_DANE:
        return "a server authenticated by DANE";
    case GUARANTEE_POLICY_VERIFY:
        return "a server with a valid certificate (WebPKI or DANE)";
    case GUARANTEE_POLICY_FINGERPRINT:
        return "a server whose key or certificate has a fingerprint that is named";
    }
    panic("policy_words: %d", (int)p);
}

static const char *level_words(enum level l)
{
    switch (l) {
    case LEVEL_OFF:
        return NULL;
    case LEVEL_ENCRYPT:
        return "encrypted transport (TLS 1.2 or newer)";
    case LEVEL_VERIFIED:
        return "encrypted transport to a verified server (TLS 1.2 or newer, DANE or "
               "MTA-STS)";
    }
    panic("level_words: %d", (int)l);
}

void guarantee_required_words(const struct guarantee_requirement *r, char *out, size_t size)
{
    if (size == 0)
        panic("guarantee_required_words: no room");
    out[0] = '\0';
    if (level_words(r->level) != NULL)
        add_words(out, size, level_words(r->level), "by the sender's guarantee");
    if (r->requiretls)
        add_words(out, size, "REQUIRETLS (RFC 8689) all the way", "asked for with the message");
    if (policy_words(r->policy) != NULL)
        add_words(out, size, policy_words(r->policy), "by our policy for the recipient's domain");
    if (policy_words(r->route) != NULL)
        add_words(out, size, policy_words(r->route), "by our route for the recipient's domain");
    if (out[0] == '\0')
        snprintf(out, size, "nothing");
}

void guarantee_stop_words(const struct guarantee_requirement *r,
                          const struct guarantee_conclusion *conclusion, char *out, size_t size)
{
    struct guarantee_requirement unmet = *r, others;
    if (conclusion->is_flag_met)
        unmet.level = LEVEL_OFF;
    others = unmet;
    if (conclusion->is_requiretls_met)
        others.requiretls = false;
    if (conclusion->is_policy_met)
        others.policy = GUARANTEE_POLICY_MAY;
    if (conclusion->is_route_met)
        others.route = GUARANTEE_POLICY_MAY;
    /* Each may be met at a host of its own, and together at none. */
    if (guarantee_demands_tls(&others))
        unmet = others;
    guarantee_required_words(&unmet, out, size);
    if (conclusion->is_by_sts)
        add_words(out, size, "a listed host with a certificate valid for its name",
                  "by the MTA-STS policy of the recipient's domain");
}
