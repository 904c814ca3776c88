/* domain --> MX hosts and MTA-STS policy --> addresses and TLSA of every host --> a connection to
 * every address --> the judge. Each arrow waits for all of the step before it, or the deadline. */
#include "gateway/delivery/probe.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mail/arena.h"
#include "mail/date.h"

enum { LOOKS_MAX = 100 }; /* connections of one probe, as of one attempt */

struct look;
/* One MX host. */
struct target {
    struct probe *probe;
    struct dns_mx_host mx;
    struct dns_question *question; /* NULL: answered */
    struct dns_host host;          /* owned content */
    struct posture_memory memory;
    bool is_ourselves;
};

/* One address of it. */
struct look {
    struct probe *probe;
    struct target *target;
    struct client *client; /* owned; NULL: over */
};

struct probe {
    struct probe_options o;
    struct arena arena; /* texts of the results */
    struct next_hop next_hop;
    struct guarantee_requirement requirement;
    struct loop_timer *deadline;
    struct dns_question *question;
    struct sts_question *policy_question;
    struct known_policy policy; /* owned content */
    bool was_policy_fetched_anew;
    bool is_name_secure;
    bool is_implicit_mx;
    bool has_begun, is_cancelled;
    enum guarantee_destination found;
    char detail[256];
    struct target *targets; /* owned array */
    size_t target_count;
    struct look *looks; /* owned array */
    size_t look_count;
    size_t pending;           /* questions about hosts, then connections */
    struct probe_host *hosts; /* owned array */
    size_t host_count, host_capacity;
    size_t blocked_count;
};

const char *probe_verdict_name(enum probe_verdict v)
{
    switch (v) {
    case PROBE_DELIVERABLE:
        return "deliverable";
    case PROBE_REFUSED:
        return "refused";
    case PROBE_UNKNOWN:
        return "unknown";
    }
    panic("probe_verdict_name: %d", (int)v);
}

/* ---- the end ---- */

static void clear_looks(struct probe *p)
{
    for (size_t i = 0; i < p->look_count; i++)
        client_free(p->looks[i].client);
    free(p->looks);
    p->looks = NULL;
    p->look_count = 0;
}

static void probe_free(struct probe *p)
{
    loop_timer_free(p->deadline);
    if (p->question)
        dns_cancel(p->question);
    if (p->policy_question)
        sts_cancel(p->policy_question);
    clear_looks(p);
    for (size_t i = 0; i < p->target_count; i++) {
        if (p->targets[i].question)
            dns_cancel(p->targets[i].question);
        dns_host_clear(&p->targets[i].host);
    }
    free(p->targets);
    free(p->hosts);
    known_policy_clear(&p->policy);
    delivery_settings_unref(p->o.settings);
    arena_free(&p->arena);
    free(p);
}

static int compare_hosts(const void *x, const void *y)
{
    const struct guarantee_host *a = &((const struct probe_host *)x)->facts;
    const struct guarantee_host *b = &((const struct probe_host *)y)->facts;
    if (a->preference != b->preference)
        return a->preference < b->preference ? -1 : 1;
    int order = strcmp(a->name, b->name);
    return order != 0 ? order : strcmp(a->address, b->address);
}

/* What the connection is, whatever is required of it. */
static int verified_of(const struct guarantee_host *h)
{
    struct guarantee_requirement none = {
        .policy = GUARANTEE_POLICY_MAY, .route = GUARANTEE_POLICY_MAY, .ignores_promises = true};
    return guarantee_judge(&none, h).verified;
}

static const char *level_of(const struct probe *p)
{
    static const char *const names[] = {"none", "encrypt", "verify", "sts", "dane"};
    size_t best = 0;
    for (size_t i = 0; i < p->host_count; i++) {
        const struct probe_host *h = &p->hosts[i];
        size_t rank = h->facts.tls == GUARANTEE_TLS_ESTABLISHED;
        if (rank && h->verified == GUARANTEE_VERIFIED_PKIX)
            rank = 2;
        else if (rank && h->verified == GUARANTEE_VERIFIED_STS)
            rank = 3;
        else if (rank && h->verified == GUARANTEE_VERIFIED_DANE)
            rank = 4;
        best = rank > best ? rank : best;
    }
    return names[best];
}

/* Whose demand it was: the one asked about, or a policy of our own. */
static const char *unmet(struct probe *p, const struct guarantee_conclusion *conclusion)
{
    char words[512];
    if (conclusion->decision != GUARANTEE_STOP)
        return NULL;
    guarantee_stop_words(&p->requirement, conclusion, words, sizeof words);
    return arena_copy(&p->arena, slice_of(words));
}

static void conclude(struct probe *p, struct probe_result *result)
{
    bool is_any_acceptable = false;
    struct guarantee_host *facts = xalloc((p->host_count + 1) * sizeof *facts);
    for (size_t i = 0; i < p->host_count; i++) {
        struct probe_host *h = &p->hosts[i];
        struct guarantee_verdict verdict = guarantee_judge(&p->requirement, &h->facts);
        h->is_acceptable = verdict.kind == GUARANTEE_ACCEPTABLE;
        if (!h->is_acceptable)
            h->why = verdict.outcome;
        h->verified = verified_of(&h->facts);
        is_any_acceptable |= h->is_acceptable;
        facts[i] = h->facts;
    }
    struct guarantee_attempt attempt = {
        .destination = p->found,
        .domain = p->o.domain,
        .detail = p->detail,
        .hosts = facts,
        .count = p->host_count,
        .now = date_now(),
        .are_stops_suspended = posture_suspends_stops(p->o.posture, date_now()),
        .patience = INT64_MAX / 4, /* what may pass is unknown for as long as one asks */
    };
    struct guarantee_conclusion conclusion = guarantee_conclude(&p->requirement, &attempt);
    free(facts);
    if (p->found == GUARANTEE_DESTINATION_FOUND && is_any_acceptable) {
        result->verdict = PROBE_DELIVERABLE;
        return;
    }
    result->outcome = conclusion.outcome;
    result->required = unmet(p, &conclusion);
    result->verdict = conclusion.decision == GUARANTEE_DEFER ? PROBE_UNKNOWN : PROBE_REFUSED;
}

static void finish(struct probe *p)
{
    struct probe_result result = {.domain = p->o.domain};
    if (p->host_count > 0)
        qsort(p->hosts, p->host_count, sizeof *p->hosts, compare_hosts);
    if (p->found == GUARANTEE_DESTINATION_FOUND && p->target_count > 0 &&
        p->blocked_count == p->target_count)
        p->found = GUARANTEE_DESTINATION_BLOCKED;
    conclude(p, &result);
    result.level = level_of(p);
    result.hosts = p->hosts;
    result.count = p->host_count;
    p->o.done(p->o.context, &result);
    probe_free(p);
}

static void end_at(struct probe *p, enum guarantee_destination found, const char *detail)
{
    p->found = found;
    snprintf(p->detail, sizeof p->detail, "%.*s", (int)sizeof p->detail - 1, detail);
    finish(p);
}

/* ---- what a host showed ---- */

static const char *keep(struct probe *p, const char *text)
{
    return text && text[0] ? arena_copy(&p->arena, slice_of(text)) : "";
}

static struct probe_host *add_host(struct probe *p, const struct target *t,
                                   const struct guarantee_host *facts)
{
    if (p->host_count == p->host_capacity) {
        p->host_capacity = p->host_capacity ? 2 * p->host_capacity : 8;
        p->hosts = xrealloc(p->hosts, p->host_capacity * sizeof *p->hosts);
    }
    struct probe_host *h = &p->hosts[p->host_count++];
    *h = (struct probe_host){.facts = *facts,
                             .is_tlsa_insecure = t->host.is_tlsa_insecure,
                             .key_exchange = "",
                             .key_digest = ""};
    h->facts.name = keep(p, facts->name);
    h->facts.address = keep(p, facts->address);
    h->facts.keywords = keep(p, facts->keywords);
    h->facts.protocol = keep(p, facts->protocol);
    h->facts.cipher = keep(p, facts->cipher);
    h->facts.certificate_error = keep(p, facts->certificate_error);
    h->facts.key_digest = keep(p, facts->key_digest);
    h->facts.certificate_digest = keep(p, facts->certificate_digest);
    h->facts.sts_domain = keep(p, facts->sts_domain);
    h->facts.sts_detail = keep(p, facts->sts_detail);
    return h;
}

static struct contact contact_of(const struct probe *p, const struct target *t)
{
    return (struct contact){
        .settings = p->o.settings,
        .next_hop = &p->next_hop,
        .mx = &t->mx,
        .host = &t->host,
        .is_name_secure = p->is_name_secure,
        .policy = &p->policy,
        .memory = &t->memory,
    };
}

static void add_unreached(struct probe *p, const struct target *t, const struct net_address *to,
                          enum guarantee_contact contact, const struct outcome *cause)
{
    char address[NET_ADDRESS_SIZE];
    struct contact c = contact_of(p, t);
    struct guarantee_host facts = contact_facts(&c, to, address);
    facts.contact = contact;
    facts.cause = *cause;
    add_host(p, t, &facts);
}

/* ---- connections ---- */

static void ask_policy_anew(struct probe *p);

/* As delivery: a policy that does not fit is fetched anew, once. */
static bool doubts_policy(const struct probe *p)
{
    if (p->was_policy_fetched_anew)
        return false;
    for (size_t i = 0; i < p->host_count; i++)
        if (known_policy_is_in_doubt(&p->policy, &p->hosts[i].facts))
            return true;
    return false;
}

static void looks_are_over(struct probe *p)
{
    if (doubts_policy(p))
        ask_policy_anew(p);
    else
        finish(p);
}

static void look_is_over(struct look *l)
{
    struct probe *p = l->probe;
    struct guarantee_host facts = client_facts(l->client);
    const struct tls_facts *tls = client_tls(l->client);
    struct probe_host *h = add_host(p, l->target, &facts);
    h->key_exchange = keep(p, tls ? tls->key_exchange : "");
    h->key_digest = keep(p, tls ? tls->key_digest : "");
    posture_learn(p->o.posture, p->o.domain, &facts, h->key_exchange, h->key_digest, date_now());
    client_free(l->client);
    l->client = NULL;
    if (--p->pending == 0)
        looks_are_over(p);
}

static void look_rested(void *context, struct client *c)
{
    struct look *l = context;
    switch (client_state(c)) {
    case CLIENT_GREETED:
        if (client_facts(c).tls == GUARANTEE_TLS_UNTRIED)
            client_start_tls(c);
        else
            look_is_over(l);
        return;
    case CLIENT_SECURED:
    case CLIENT_DEAD:
        look_is_over(l);
        return;
    case CLIENT_CONNECTING:
    case CLIENT_SECURING:
    case CLIENT_BUSY:
        break;
    }
    panic("a look rests in state %d", (int)client_state(c));
}

static void look_sent(void *context, struct client *c)
{
    (void)context;
    panic("a look sent a message (%d)", (int)client_state(c));
}

static const struct client_handler look_handler = {.rested = look_rested, .sent = look_sent};

/* A host that delivery would not connect to is not connected to here either. */
static bool is_left_out(struct probe *p, struct target *t, const struct net_address *to)
{
    char address[NET_ADDRESS_SIZE];
    struct contact c = contact_of(p, t);
    struct guarantee_host facts = contact_facts(&c, to, address);
    if (guarantee_judge(&p->requirement, &facts).kind == GUARANTEE_NOT_YET)
        return false;
    add_host(p, t, &facts);
    return true;
}

static void look_at(struct probe *p, struct target *t, const struct net_address *to)
{
    static const struct net_address any = {.family = NET_NONE};
    struct look *l = &p->looks[p->look_count];
    struct contact c = contact_of(p, t);
    struct contact_way way = {.loop = p->o.loop, .events = p->o.events, .to = to, .source = &any};
    if (is_left_out(p, t, to))
        return;
    if (p->look_count == LOOKS_MAX) { /* a limit of ours is no word of the destination's */
        struct outcome cause =
            outcome_local(status_make(4, 3, 0), "more than %d addresses; not looked at", LOOKS_MAX);
        add_unreached(p, t, to, GUARANTEE_OUR_FAULT, &cause);
        return;
    }
    *l = (struct look){.probe = p, .target = t};
    l->client = contact_open(&c, &way, &look_handler, l);
    if (!l->client) {
        struct outcome cause = outcome_local(status_make(4, 3, 0), "no resources for a connection");
        add_unreached(p, t, to, GUARANTEE_OUR_FAULT, &cause);
        return;
    }
    p->look_count++;
    p->pending++;
}

static void look_at_all(struct probe *p)
{
    p->looks = xalloc((LOOKS_MAX + 1) * sizeof *p->looks);
    p->pending = 1; /* until all have begun */
    for (size_t i = 0; i < p->target_count; i++)
        for (size_t k = 0; k < p->targets[i].host.address_count; k++)
            look_at(p, &p->targets[i], &p->targets[i].host.addresses[k]);
    if (--p->pending == 0)
        looks_are_over(p);
}

/* ---- hosts ---- */

static void host_without_address(struct probe *p, struct target *t)
{
    enum guarantee_contact contact;
    struct outcome cause = contact_no_address(t->mx.name, &t->host, &contact);
    bool is_denied = t->host.status == DNS_NODATA || t->host.status == DNS_NXDOMAIN;
    /* It may be the TLSA look-up alone that failed. */
    const struct net_address *to = t->host.address_count > 0 ? t->host.addresses : NULL;
    if (is_denied && p->is_implicit_mx)
        p->found = GUARANTEE_DESTINATION_NO_SUCH;
    add_unreached(p, t, to, contact, &cause);
}

/* Is the host, or what is left of it, one that delivery would connect to? */
static void take_host(struct probe *p, struct target *t)
{
    size_t blocked;
    struct contact c = contact_of(p, t);
    t->memory = posture_memory(p->o.posture, p->o.domain, t->mx.name,
                               p->o.settings->remember_tls_ms / 1000, date_now());
    if (t->host.status != DNS_DATA) {
        host_without_address(p, t);
        t->host.address_count = 0;
        return;
    }
    if (!contact_filter(&c, &t->host, &blocked)) {
        t->is_ourselves = true;
        return;
    }
    if (t->host.address_count == 0 && blocked > 0) {
        struct outcome cause = outcome_local(
            status_make(5, 4, 6), "all addresses of %s are blocked by configuration", t->mx.name);
        p->blocked_count++;
        add_unreached(p, t, NULL, GUARANTEE_NO_CONTACT, &cause);
    }
}

/* Hosts of our own preference and worse would send the mail back to us (RFC 5321 section 5.1). */
static void leave_out_from_ourselves(struct probe *p)
{
    unsigned own = UINT_MAX;
    bool is_any_better = false;
    for (size_t i = 0; i < p->target_count; i++)
        if (p->targets[i].is_ourselves && p->targets[i].mx.preference < own)
            own = p->targets[i].mx.preference;
    for (size_t i = 0; i < p->target_count; i++) {
        if (p->targets[i].mx.preference < own)
            is_any_better = true;
        else if (own != UINT_MAX)
            p->targets[i].host.address_count = 0;
    }
    if (own != UINT_MAX && !is_any_better)
        p->found = GUARANTEE_DESTINATION_OURSELVES;
}

static void hosts_are_known(struct probe *p)
{
    for (size_t i = 0; i < p->target_count; i++)
        take_host(p, &p->targets[i]);
    leave_out_from_ourselves(p);
    look_at_all(p);
}

static void host_found(void *context, const struct dns_host *host)
{
    struct target *t = context;
    t->question = NULL;
    dns_host_copy(&t->host, host);
    if (--t->probe->pending == 0)
        hosts_are_known(t->probe);
}

static void find_host(struct probe *p, struct target *t)
{
    if (!p->next_hop.route && strcasecmp(t->mx.name, p->o.settings->hostname) == 0) {
        t->is_ourselves = true;
        return;
    }
    t->question = dns_find_host(p->o.dns, p->o.loop, t->mx.name, p->next_hop.port,
                                p->o.settings->ip_version, host_found, t);
    if (t->question)
        p->pending++;
    else
        t->host.status = DNS_OUR_FAULT;
}

static void find_hosts(struct probe *p)
{
    if (p->question || p->policy_question)
        return;
    if (p->target_count == 1 && p->targets[0].host.address_count > 0) { /* a literal */
        hosts_are_known(p);
        return;
    }
    p->pending = 1; /* until all are asked for */
    for (size_t i = 0; i < p->target_count; i++)
        find_host(p, &p->targets[i]);
    if (--p->pending == 0)
        hosts_are_known(p);
}

/* ---- the destination ---- */

static void policy_found(void *context, const struct sts_answer *answer)
{
    struct probe *p = context;
    p->policy_question = NULL;
    known_policy_set(&p->policy, answer);
    find_hosts(p);
}

static void policy_found_anew(void *context, const struct sts_answer *answer)
{
    struct probe *p = context;
    p->policy_question = NULL;
    known_policy_clear(&p->policy);
    known_policy_set(&p->policy, answer);
    clear_looks(p);
    p->host_count = p->blocked_count = 0;
    hosts_are_known(p);
}

static void ask_policy_anew(struct probe *p)
{
    p->was_policy_fetched_anew = true;
    p->policy_question =
        sts_find(p->o.sts, p->o.loop, p->next_hop.target.name, STS_REFETCH, policy_found_anew, p);
}

static void add_targets(struct probe *p, const struct dns_mx_host *hosts, size_t count)
{
    p->targets = xalloc((count + 1) * sizeof *p->targets);
    p->target_count = count;
    for (size_t i = 0; i < count; i++)
        p->targets[i] = (struct target){.probe = p, .mx = hosts[i]};
}

static void mx_found(void *context, const struct dns_mx *mx)
{
    struct probe *p = context;
    p->question = NULL;
    contact_learn_zone(p->o.posture, p->o.domain, mx);
    p->is_name_secure = mx->security == DNS_SECURE;
    p->is_implicit_mx = mx->is_implicit;
    p->found = contact_destination(mx, p->detail, sizeof p->detail);
    if (p->found != GUARANTEE_DESTINATION_FOUND) {
        finish(p);
        return;
    }
    add_targets(p, mx->hosts, mx->count);
    find_hosts(p);
}

static void add_single_target(struct probe *p, const char *name, const struct net_address *address)
{
    struct dns_mx_host host = {.preference = 0};
    if (!slice_copy(slice_of(name), host.name, sizeof host.name))
        panic("host name too long");
    add_targets(p, &host, 1);
    if (!address)
        return;
    p->targets[0].host.addresses = xalloc(sizeof *address);
    p->targets[0].host.addresses[0] = *address;
    p->targets[0].host.address_count = 1;
    p->targets[0].host.expires_at = INT64_MAX;
}

static void begin(void *argument)
{
    struct probe *p = argument;
    const struct delivery_next_hop *target = &p->next_hop.target;
    char text[NET_ADDRESS_SIZE];
    p->has_begun = true;
    if (p->is_cancelled) {
        probe_free(p);
        return;
    }
    /* Not before: a loop turn that took long would end it before it has begun. */
    loop_timer_start(p->deadline, p->o.deadline_ms);
    switch (target->kind) {
    case NEXT_HOP_LITERAL:
    case NEXT_HOP_UNIX:
        add_single_target(p, net_address_text(&target->address, text), &target->address);
        find_hosts(p);
        return;
    case NEXT_HOP_HOST:
        p->is_name_secure = true;
        add_single_target(p, target->name, NULL);
        find_hosts(p);
        return;
    case NEXT_HOP_MX:
        p->policy_question =
            sts_find(p->o.sts, p->o.loop, target->name, STS_CACHED_FIRST, policy_found, p);
        p->question = dns_find_mx(p->o.dns, p->o.loop, target->name, mx_found, p);
        if (!p->question)
            end_at(p, GUARANTEE_DESTINATION_OUR_FAULT, "the resolver takes no question");
        return;
    }
    panic("no such next hop: %d", (int)target->kind);
}

/* What has not answered by now is unreachable to whoever waits. */
static void deadline_came(void *context)
{
    struct probe *p = context;
    struct outcome cause = outcome_local(status_make(4, 4, 1), "no answer within %lld ms",
                                         (long long)p->o.deadline_ms);
    for (size_t i = 0; i < p->look_count; i++) {
        struct look *l = &p->looks[i];
        if (l->client)
            add_unreached(p, l->target, client_address(l->client), GUARANTEE_NO_CONTACT, &cause);
    }
    bool is_nothing_known = p->look_count == 0 && p->host_count == 0;
    if (is_nothing_known || p->policy_question)
        end_at(p, GUARANTEE_DESTINATION_LOOKUP_FAILED, cause.text);
    else
        finish(p);
}

struct probe *probe_new(const struct probe_options *o)
{
    struct probe *p = xalloc(sizeof *p);
    *p = (struct probe){.o = *o};
    arena_init(&p->arena);
    delivery_settings_ref(p->o.settings);
    p->o.domain = arena_copy(&p->arena, slice_of(o->domain));
    next_hop_for(p->o.settings, p->o.domain, &p->next_hop);
    p->requirement = delivery_required(p->o.settings, p->o.domain, p->next_hop.route, o->level,
                                       EXEMPTION_NONE, false);
    p->deadline = loop_timer_new(o->loop, deadline_came, p);
    if (!p->deadline) {
        probe_free(p);
        return NULL;
    }
    loop_post(o->loop, begin, p);
    return p;
}

void probe_cancel(struct probe *p)
{
    if (p->has_begun)
        probe_free(p);
    else
        p->is_cancelled = true; /* begin() is still to come */
}
