/* What follows for the recipient: GUARANTEE.md section 3, rules 1 to 5 in their order. */
#include "gateway/guarantee/judge.h"

#include <stdlib.h>

#include "gateway/guarantee/words.h"

/* One host record as the rules see it. */
struct shown {
    const struct guarantee_host *host;
    enum guarantee_kind kind;
    struct outcome outcome; /* of the verdict; unset for ACCEPTABLE and NOT_YET */
    bool is_by_sts;         /* of the verdict */
};

static struct shown show(const struct guarantee_requirement *r, const struct guarantee_host *h)
{
    struct guarantee_verdict verdict = guarantee_judge(r, h);
    return (struct shown){.host = h,
                          .kind = verdict.kind,
                          .outcome = verdict.outcome,
                          .is_by_sts = verdict.is_by_sts};
}

/* Message data crossed this connection: then TLS was up where it is required, or our own delivery
 * broke the promise. Going on as if nothing had happened would do it again. (The contact may have
 * been lost since; that says nothing about the transaction.) */
static void check_transaction(const struct guarantee_requirement *r, const struct guarantee_host *h)
{
    if (guarantee_demands_tls(r) && !h->is_local_route && h->tls != GUARANTEE_TLS_ESTABLISHED)
        panic("guarantee_conclude: a transaction without TLS at %s: tls %d", h->name, (int)h->tls);
}

static const struct outcome *checked_reply(const struct guarantee_host *h)
{
    if (h->reply.status.class == 0)
        panic("guarantee_conclude: an answer of %s without words", h->name);
    return &h->reply;
}

static struct guarantee_conclusion decide(enum guarantee_decision decision,
                                          enum guarantee_kind kind, struct outcome outcome)
{
    return (struct guarantee_conclusion){.decision = decision, .outcome = outcome, .kind = kind};
}

/* Says it with another class: the same cause passes (4) or is final (5) as the rule has it. */
static struct outcome with_class(struct outcome o, uint8_t class)
{
    o.status.class = class;
    return o;
}

/* Rule 1, and the answer that never came (RFC 1047): after it no further host counts. */
static bool is_decided_by_answer(const struct guarantee_requirement *r,
                                 const struct guarantee_attempt *attempt,
                                 struct guarantee_conclusion *out)
{
    for (size_t i = 0; i < attempt->count; i++) {
        const struct guarantee_host *h = &attempt->hosts[i];
        switch (h->answer) {
        case GUARANTEE_ANSWER_NONE:
        case GUARANTEE_ANSWER_TEMPORARY:
            continue;
        case GUARANTEE_ANSWER_DELIVERED:
            check_transaction(r, h);
            *out = decide(GUARANTEE_DELIVERED, GUARANTEE_ACCEPTABLE, *checked_reply(h));
            return true;
        case GUARANTEE_ANSWER_UNDECIDED:
            check_transaction(r, h);
            *out = decide(GUARANTEE_DEFER, GUARANTEE_ACCEPTABLE, with_class(*checked_reply(h), 4));
            return true;
        case GUARANTEE_ANSWER_PERMANENT:
            /* Who has no acceptable TLS has no say about the recipient. */
            if (guarantee_judge(r, h).kind != GUARANTEE_ACCEPTABLE)
                continue;
            *out = decide(GUARANTEE_FAIL, GUARANTEE_ACCEPTABLE, with_class(*checked_reply(h), 5));
            return true;
        }
        panic("guarantee_conclude: answer %d", (int)h->answer);
    }
    return false;
}

/* Did TLS come up as required and something passing went wrong behind it? EHLO refused after TLS
 * leaves unknown whether REQUIRETLS is offered: that is passing too. */
static bool is_temporary(const struct shown *s)
{
    if (s->kind == GUARANTEE_ACCEPTABLE)
        return true;
    return s->kind == GUARANTEE_NO_REQUIRETLS && s->host->answer == GUARANTEE_ANSWER_TEMPORARY;
}

static struct outcome temporary_words(const struct shown *s)
{
    char host[WORDS_HOST_SIZE];
    if (s->host->answer == GUARANTEE_ANSWER_TEMPORARY)
        return with_class(*checked_reply(s->host), 4);
    struct outcome o = s->host->cause;
    if (o.status.class == 0)
        o = outcome_local(status_make(4, 4, 2), "no answer came from host %s",
                          words_host(s->host, host));
    o.status.class = 4;
    outcome_set_host(&o, s->host->name, s->host->address, s->host->port);
    return o;
}

/* What all the hosts showed: of each kind the most preferred, the first tried among equals. */
struct summary {
    struct shown temporary, own_fault, not_yet, passing, final, unreachable;
    bool has_temporary, has_own_fault, has_not_yet, has_passing, has_final, has_unreachable;
};

static void keep_better(struct shown *kept, bool *has, const struct shown *s)
{
    if (!*has || s->host->preference < kept->host->preference)
        *kept = *s;
    *has = true;
}

/* A host has several addresses. It is unreachable when none of them made contact: a dead IPv6
 * address beside a living IPv4 one says nothing. */
static bool is_reached_elsewhere(const struct guarantee_requirement *r,
                                 const struct guarantee_attempt *attempt,
                                 const struct guarantee_host *h)
{
    for (size_t i = 0; i < attempt->count; i++) {
        const struct guarantee_host *other = &attempt->hosts[i];
        if (other != h && slice_equal_nocase(slice_of(other->name), slice_of(h->name)) &&
            guarantee_judge(r, other).kind != GUARANTEE_UNREACHABLE)
            return true;
    }
    return false;
}

static void sum_up(struct summary *sum, const struct guarantee_requirement *r,
                   const struct guarantee_attempt *attempt, const struct shown *s)
{
    if (is_temporary(s)) {
        keep_better(&sum->temporary, &sum->has_temporary, s);
        return;
    }
    switch (s->kind) {
    case GUARANTEE_ACCEPTABLE:
        break;
    case GUARANTEE_NOT_YET:
        keep_better(&sum->not_yet, &sum->has_not_yet, s);
        return;
    case GUARANTEE_OWN_FAULT:
        keep_better(&sum->own_fault, &sum->has_own_fault, s);
        return;
    case GUARANTEE_UNREACHABLE:
        if (!is_reached_elsewhere(r, attempt, s->host))
            keep_better(&sum->unreachable, &sum->has_unreachable, s);
        return;
    case GUARANTEE_TLS_UNKNOWN:
    case GUARANTEE_PASSING_TROUBLE:
        keep_better(&sum->passing, &sum->has_passing, s);
        return;
    case GUARANTEE_NOT_OFFERED:
    case GUARANTEE_REFUSED:
    case GUARANTEE_HANDSHAKE_FAILED:
    case GUARANTEE_NOT_AUTHENTICATED:
    case GUARANTEE_NO_REQUIRETLS:
        keep_better(&sum->final, &sum->has_final, s);
        return;
    }
    panic("guarantee_conclude: kind %d", (int)s->kind);
}

/* Rule 3: could what stands in the way pass by itself? */
static bool may_pass(const struct summary *sum)
{
    if (sum->has_passing)
        return true;
    return sum->has_final && sum->has_unreachable &&
           sum->unreachable.host->preference <= sum->final.host->preference;
}

/* "A stop's reason is that of the most preferred host with a TLS verdict": among equals one that is
 * final says more. */
static const struct shown *reason_of(const struct summary *sum)
{
    if (!sum->has_passing)
        return &sum->final;
    if (!sum->has_final || sum->passing.host->preference < sum->final.host->preference)
        return &sum->passing;
    return &sum->final;
}

/* TLS was there on many looks and is not now. 454 and a cut handshake are what they are, until the
 * patience with them has ended. */
static bool is_downgrade(enum guarantee_decision decision, const struct shown *s)
{
    if (s->host->tls_seen_at == 0)
        return false;
    switch (s->kind) {
    case GUARANTEE_NOT_OFFERED:
    case GUARANTEE_REFUSED:
    case GUARANTEE_HANDSHAKE_FAILED:
        return true;
    case GUARANTEE_PASSING_TROUBLE:
        return decision == GUARANTEE_STOP && s->host->tls != GUARANTEE_TLS_ESTABLISHED;
    case GUARANTEE_ACCEPTABLE:
    case GUARANTEE_NOT_YET:
    case GUARANTEE_OWN_FAULT:
    case GUARANTEE_UNREACHABLE:
    case GUARANTEE_TLS_UNKNOWN:
    case GUARANTEE_NOT_AUTHENTICATED:
    case GUARANTEE_NO_REQUIRETLS:
        return false;
    }
    panic("is_downgrade: kind %d", (int)s->kind);
}

static struct guarantee_conclusion decide_by(enum guarantee_decision decision,
                                             const struct shown *reason)
{
    struct outcome words = with_class(reason->outcome, decision == GUARANTEE_STOP ? 5 : 4);
    struct guarantee_conclusion conclusion = decide(decision, reason->kind, words);
    conclusion.is_by_sts = reason->is_by_sts;
    conclusion.is_downgrade = is_downgrade(decision, reason);
    return conclusion;
}

static struct guarantee_conclusion defer_or_stop(const struct guarantee_requirement *r,
                                                 const struct guarantee_attempt *attempt,
                                                 const struct summary *sum)
{
    const struct shown *reason = reason_of(sum);
    /* Without a demand of ours nothing ever stops, and no patience runs: a policy that comes later
     * begins with a full one. */
    if (!guarantee_demands_tls(r))
        return decide_by(GUARANTEE_DEFER, reason);
    if (!may_pass(sum))
        return decide_by(GUARANTEE_STOP, reason);
    int64_t since = attempt->trouble_since;
    if (since == 0 || since > attempt->now) /* the clock may have been set back */
        since = attempt->now;
    if (attempt->now - since >= attempt->patience)
        return decide_by(GUARANTEE_STOP, reason);
    struct guarantee_conclusion conclusion = decide_by(GUARANTEE_DEFER, reason);
    conclusion.trouble_since = since;
    conclusion.patience_ends_at = since + attempt->patience;
    return conclusion;
}

/* Rules 2 to 5. A fault of our own goes before rule 3: but for it the mail might have left, so
 * nothing is held against the destination. */
static struct guarantee_conclusion conclude_hosts(const struct guarantee_requirement *r,
                                                  const struct guarantee_attempt *attempt)
{
    struct guarantee_conclusion decided;
    if (is_decided_by_answer(r, attempt, &decided))
        return decided;
    struct summary sum = {0};
    for (size_t i = 0; i < attempt->count; i++) {
        struct shown s = show(r, &attempt->hosts[i]);
        sum_up(&sum, r, attempt, &s);
    }
    if (sum.has_temporary)
        return decide(GUARANTEE_DEFER, sum.temporary.kind, temporary_words(&sum.temporary));
    if (sum.has_own_fault)
        return decide(GUARANTEE_DEFER, GUARANTEE_OWN_FAULT, sum.own_fault.outcome);
    if (sum.has_not_yet)
        return decide(GUARANTEE_DEFER, GUARANTEE_NOT_YET,
                      outcome_local(status_make(4, 3, 0),
                                    "the attempt ended before host %.*s had shown what it offers",
                                    DOMAIN_MAX, sum.not_yet.host->name));
    if (sum.has_passing || sum.has_final)
        return defer_or_stop(r, attempt, &sum);
    if (sum.has_unreachable)
        return decide(GUARANTEE_DEFER, GUARANTEE_UNREACHABLE, sum.unreachable.outcome);
    return decide(GUARANTEE_DEFER, GUARANTEE_UNREACHABLE,
                  outcome_local(status_make(4, 4, 1), "no host for %s was tried", attempt->domain));
}

/* ": what the resolver said", or nothing. */
static struct outcome lookup_words(struct status status, const char *what,
                                   const struct guarantee_attempt *attempt)
{
    const char *detail = attempt->detail != NULL ? attempt->detail : "";
    return outcome_local(status, "%s %s%s%s", what, attempt->domain, detail[0] ? ": " : "", detail);
}

static struct guarantee_conclusion conclude(const struct guarantee_requirement *r,
                                            const struct guarantee_attempt *attempt)
{
    const enum guarantee_kind none = GUARANTEE_UNREACHABLE;
    switch (attempt->destination) {
    case GUARANTEE_DESTINATION_FOUND:
        return conclude_hosts(r, attempt);
    case GUARANTEE_DESTINATION_NULL_MX:
        return decide(GUARANTEE_FAIL, none,
                      outcome_local(status_make(5, 1, 10),
                                    "Domain %s does not accept mail (nullMX)", attempt->domain));
    case GUARANTEE_DESTINATION_NO_SUCH:
        return decide(GUARANTEE_FAIL, none,
                      outcome_local(status_make(5, 1, 2), "Host or domain name not found: %s",
                                    attempt->domain));
    case GUARANTEE_DESTINATION_OURSELVES:
        return decide(GUARANTEE_FAIL, none,
                      outcome_local(status_make(5, 4, 6), "mail for %s loops back to myself",
                                    attempt->domain));
    case GUARANTEE_DESTINATION_BLOCKED:
        return decide(GUARANTEE_FAIL, none,
                      outcome_local(status_make(5, 4, 6),
                                    "all addresses of the mail hosts of %s are in blocked networks",
                                    attempt->domain));
    case GUARANTEE_DESTINATION_LOOKUP_FAILED:
        return decide(GUARANTEE_DEFER, none,
                      lookup_words(status_make(4, 4, 3),
                                   "Host or domain name not found. Name service error for name",
                                   attempt));
    case GUARANTEE_DESTINATION_OUR_FAULT:
        return decide(GUARANTEE_DEFER, GUARANTEE_OWN_FAULT,
                      lookup_words(status_make(4, 3, 0),
                                   "a fault of this mail system kept it from looking up", attempt));
    }
    panic("guarantee_conclude: destination %d", (int)attempt->destination);
}

/* Would some host let the message through, or at least not be known to refuse, under `r`? */
static bool has_way(const struct guarantee_requirement *r, const struct guarantee_attempt *attempt)
{
    for (size_t i = 0; i < attempt->count; i++) {
        switch (guarantee_judge(r, &attempt->hosts[i]).kind) {
        case GUARANTEE_ACCEPTABLE:
        case GUARANTEE_NOT_YET:
            return true;
        case GUARANTEE_OWN_FAULT:
        case GUARANTEE_UNREACHABLE:
        case GUARANTEE_TLS_UNKNOWN:
        case GUARANTEE_PASSING_TROUBLE:
        case GUARANTEE_NOT_OFFERED:
        case GUARANTEE_REFUSED:
        case GUARANTEE_HANDSHAKE_FAILED:
        case GUARANTEE_NOT_AUTHENTICATED:
        case GUARANTEE_NO_REQUIRETLS:
            continue;
        }
    }
    return false;
}

/* The fault is ours, so nothing is held against the destination: no stop, and no patience that
 * begins or ends. What is known of it before is kept. */
static struct guarantee_conclusion suspended(struct guarantee_conclusion c,
                                             const struct guarantee_attempt *attempt)
{
    if (c.decision == GUARANTEE_STOP) {
        struct outcome why = c.outcome;
        c.decision = GUARANTEE_DEFER;
        c.is_suspended = true;
        c.outcome = outcome_local(status_make(4, 3, 0),
                                  "stops are suspended, as TLS is missing at many destinations at "
                                  "once; here: %s",
                                  why.text);
        outcome_set_host(&c.outcome, why.mx, why.address, why.port);
        c.trouble_since = attempt->trouble_since;
    } else if (attempt->trouble_since == 0) {
        c.trouble_since = c.patience_ends_at = 0;
    }
    return c;
}

/* One line of what is required, as if it were all. */
static bool stops_alone(struct guarantee_requirement line, const struct guarantee_requirement *r,
                        const struct guarantee_attempt *attempt)
{
    line.ignores_promises = r->ignores_promises;
    return conclude(&line, attempt).decision == GUARANTEE_STOP;
}

/* Which lines are the cause, and which were kept? */
static void find_causes(const struct guarantee_requirement *r,
                        const struct guarantee_attempt *attempt, struct guarantee_conclusion *c)
{
    const struct guarantee_requirement none = {.policy = GUARANTEE_POLICY_MAY,
                                               .route = GUARANTEE_POLICY_MAY};
    struct guarantee_requirement flag = none, requiretls = none, policy = none, route = none;
    flag.level = r->level;
    requiretls.requiretls = true;
    policy.policy = r->policy;
    policy.policy_fingerprints = r->policy_fingerprints;
    route.route = r->route;
    route.route_fingerprints = r->route_fingerprints;
    c->is_flag_met = r->level != LEVEL_OFF && !stops_alone(flag, r, attempt);
    c->is_requiretls_met = r->requiretls && !stops_alone(requiretls, r, attempt);
    c->is_policy_met = guarantee_demands_tls(&policy) && !stops_alone(policy, r, attempt);
    c->is_route_met = guarantee_demands_tls(&route) && !stops_alone(route, r, attempt);
}

struct guarantee_conclusion guarantee_conclude(const struct guarantee_requirement *r,
                                               const struct guarantee_attempt *attempt)
{
    struct guarantee_conclusion conclusion = conclude(r, attempt);
    if (attempt->are_stops_suspended)
        return suspended(conclusion, attempt);
    if (conclusion.decision != GUARANTEE_STOP)
        return conclusion;
    /* What a release would meet: the same hosts, without the flag and what is remembered; with
     * --force without DANE and MTA-STS. */
    struct guarantee_requirement released = *r, forced = *r;
    released.level = forced.level = LEVEL_OFF;
    released.ignores_memory = forced.ignores_memory = true;
    forced.ignores_promises = !r->requiretls;
    conclusion.is_release_refused = conclude(&forced, attempt).decision == GUARANTEE_STOP;
    conclusion.is_force_needed = !conclusion.is_release_refused && !has_way(&released, attempt);
    find_causes(r, attempt, &conclusion);
    return conclusion;
}

/* Mail that went where the flag would not have let it is no answer under the flag; where it would
 * have, the host stands as acceptable without it, and that stops nobody. What the host showed
 * before it lost the contact counts. */
static void take_back_answer(struct guarantee_host *h)
{
    if (h->answer != GUARANTEE_ANSWER_NONE)
        h->contact = GUARANTEE_IN_CONTACT;
    switch (h->answer) {
    case GUARANTEE_ANSWER_NONE:
    case GUARANTEE_ANSWER_TEMPORARY:
    case GUARANTEE_ANSWER_PERMANENT:
        return;
    case GUARANTEE_ANSWER_DELIVERED:
    case GUARANTEE_ANSWER_UNDECIDED:
        h->answer = GUARANTEE_ANSWER_NONE;
        return;
    }
    panic("take_back_answer: answer %d", (int)h->answer);
}

bool guarantee_would_stop(const struct guarantee_requirement *r,
                          const struct guarantee_attempt *attempt, struct outcome *out)
{
    struct guarantee_attempt under_flag = *attempt;
    struct guarantee_host *hosts = xalloc((attempt->count + 1) * sizeof *hosts);
    for (size_t i = 0; i < attempt->count; i++) {
        hosts[i] = attempt->hosts[i];
        take_back_answer(&hosts[i]);
    }
    under_flag.hosts = hosts;
    struct guarantee_conclusion conclusion = guarantee_conclude(r, &under_flag);
    free(hosts);
    if (conclusion.decision == GUARANTEE_STOP)
        *out = conclusion.outcome;
    return conclusion.decision == GUARANTEE_STOP;
}
