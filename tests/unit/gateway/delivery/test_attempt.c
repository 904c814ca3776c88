/* An attempt between a resolver, connections, a queue and a clock that do what the test says. What
 * was asked for from the loop runs in order, each at its own time. */
#include "gateway/delivery/attempt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/delivery/client.h"

#define NOW 1795000000
#define HOST "mx.example.net"
#define EXPIRED "the records are unknown"

/* One answer about the host. */
struct answer {
    bool is_missing; /* the resolver takes no question */
    enum dns_status status;
    enum dns_tlsa tlsa;
    int64_t ttl;
    uint8_t record; /* first octet of the TLSA record */
};

/* One answer about the MTA-STS policy, in mode enforce. */
struct promise {
    enum sts_status status;
    int64_t max_age;
    bool is_for_others; /* lists another host */
    int64_t answer_s;
};

/* One connection. */
struct visit {
    int64_t connect_s;
    bool is_refused;
    bool is_clear; /* STARTTLS is not offered */
    int64_t handshake_s;
    int64_t answer_s; /* from MAIL to the end of the transaction */
    int64_t dies_s;   /* so long into the second transaction, without an answer */
};

struct verdict {
    char to[ADDRESS_SIZE];
    enum disposition disposition;
    char status[STATUS_SIZE];
    char reply[OUTCOME_TEXT_SIZE];
    char verified[8];
    enum queue_report report;
    int64_t tls_seen_at;
    int64_t trouble_since, next_attempt_at_ms;
    bool is_suspended, is_local, is_relayed, is_passed_on;
};

/* What a test has otherwise than most. */
static struct {
    bool is_local_route; /* the destination, by LMTP */
    bool are_stops_suspended;
    int64_t age_s; /* of the message; its lifetime is a day */
    bool requiretls, offers_requiretls;
    enum ret ret;
    int64_t tls_seen_at; /* remembered of the host */
    unsigned notify;
    bool wants_receipt;
    bool offers_dsn;
    const struct promise *promises; /* NULL: no policy */
    int64_t host_answer_s;
    bool has_one_address; /* the host; else two */
    int64_t trouble_since;
    int64_t patience_s;     /* 0: a day */
    int64_t next_message_s; /* so long after the first a second one goes the same way; 0: none */
} special;

static struct scene {
    int64_t now;
    const struct answer *answers;
    const struct visit *visits;
    unsigned asked, connections, sent, policies_asked;
    uint8_t records[4]; /* what each connection was given */
    enum ret ret;       /* of the last transaction */
    unsigned notify;
    bool has_left, is_settled;
    struct verdict verdicts[4];
    size_t verdict_count;
    struct {
        void (*run)(void *argument);
        void *argument;
    } posts[64];
    size_t first, last;
} scene;

static void post(void (*run)(void *argument), void *argument)
{
    assert_true(scene.last < COUNT_OF(scene.posts));
    scene.posts[scene.last].run = run;
    scene.posts[scene.last++].argument = argument;
}

#define WRAP(type, name, ...)                                                                      \
    type __wrap_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__)

/* ---- clock and loop ---- */

WRAP(int64_t, date_now, void)
{
    return scene.now;
}

WRAP(int64_t, date_now_ms, void)
{
    return scene.now * 1000;
}

WRAP(int64_t, loop_now_ms, struct loop *l)
{
    (void)l;
    return scene.now * 1000;
}

WRAP(void, loop_post, struct loop *l, void (*run)(void *argument), void *argument)
{
    (void)l;
    post(run, argument);
}

/* ---- resolver: one secure MX host with two addresses ---- */

static struct dns_question *const question = (struct dns_question *)&scene;
static struct {
    void (*mx)(void *context, const struct dns_mx *mx);
    void (*host)(void *context, const struct dns_host *host);
    void *context;
} asker;

static void answer_mx(void *argument)
{
    (void)argument;
    struct dns_mx_host host = {.name = HOST, .preference = 10};
    struct dns_mx mx = {
        .security = DNS_SECURE, .expires_at = scene.now + 3600, .count = 1, .hosts = &host};
    asker.mx(asker.context, &mx);
}

WRAP(struct dns_question *, dns_find_mx, struct dns *d, struct loop *l, const char *domain,
     void (*found)(void *context, const struct dns_mx *mx), void *context)
{
    (void)d;
    (void)l;
    assert_string_equal(domain, "example.net");
    asker.mx = found;
    asker.context = context;
    post(answer_mx, NULL);
    return question;
}

static void answer_host(void *argument)
{
    const struct answer *a = argument;
    scene.now += special.host_answer_s;
    struct net_address addresses[2];
    struct dns_tlsa_record record = {.usage = 3, .selector = 1, .matching = 1, .len = 32};
    record.data[0] = a->record;
    assert_true(net_address_parse(SLICE("192.0.2.1"), &addresses[0]));
    assert_true(net_address_parse(SLICE("192.0.2.2"), &addresses[1]));
    struct dns_host host = {.status = a->status,
                            .address_count = a->status != DNS_DATA     ? 0
                                             : special.has_one_address ? 1
                                                                       : 2,
                            .addresses = addresses,
                            .is_address_secure = true,
                            .tlsa = a->tlsa,
                            .tlsa_base = HOST,
                            .record_count = a->tlsa == DNS_TLSA_USABLE,
                            .records = &record,
                            .expires_at = scene.now + a->ttl};
    asker.host(asker.context, &host);
}

WRAP(struct dns_question *, dns_find_host, struct dns *d, struct loop *l, const char *host,
     uint16_t port, int ip_version, void (*found)(void *context, const struct dns_host *host),
     void *context)
{
    (void)d;
    (void)l;
    (void)ip_version;
    const struct answer *a = &scene.answers[scene.asked++];
    assert_string_equal(host, HOST);
    assert_int_equal(port, 25);
    if (a->is_missing)
        return NULL;
    asker.host = found;
    asker.context = context;
    /* NOLINTNEXTLINE(clang-diagnostic-cast-qual): it is read only */
    post(answer_host, (void *)(uintptr_t)a);
    return question;
}

/* ---- the MTA-STS policy, no memory ---- */

static struct {
    void (*found)(void *context, const struct sts_answer *answer);
    void *context;
} policy_asker;

static void answer_policy(void *argument)
{
    static const struct promise none = {.status = STS_NONE};
    const struct promise *p = argument ? argument : &none;
    char mx[1][DOMAIN_SIZE] = {HOST};
    char text[] = "as it was served";
    scene.now += p->answer_s;
    if (p->is_for_others)
        snprintf(mx[0], sizeof mx[0], "mx.example.org");
    struct sts_policy policy = {.mode = STS_MODE_ENFORCE,
                                .max_age = p->max_age,
                                .expires_at = scene.now + p->max_age,
                                .mx_count = 1,
                                .mx = mx,
                                .text = text};
    struct sts_answer answer = {.status = p->status,
                                .policy = p->status == STS_POLICY ? &policy : NULL,
                                .is_new = true,
                                .detail = ""};
    policy_asker.found(policy_asker.context, &answer);
}

WRAP(struct sts_question *, sts_find, struct sts *s, struct loop *l, const char *domain,
     enum sts_how how, void (*found)(void *context, const struct sts_answer *answer), void *context)
{
    (void)s;
    (void)l;
    assert_string_equal(domain, "example.net");
    assert_int_equal(how, STS_CACHED_FIRST);
    policy_asker.found = found;
    policy_asker.context = context;
    unsigned number = scene.policies_asked++;
    /* NOLINTNEXTLINE(clang-diagnostic-cast-qual): it is read only */
    post(answer_policy, special.promises ? (void *)(uintptr_t)&special.promises[number] : NULL);
    return (struct sts_question *)&policy_asker;
}

WRAP(unsigned, sts_changes, const struct sts *s)
{
    (void)s;
    return 0;
}

WRAP(struct posture_memory, posture_memory, struct posture *p, const char *domain, const char *host,
     int64_t remember, int64_t now)
{
    (void)p;
    (void)domain;
    (void)host;
    (void)remember;
    (void)now;
    return (struct posture_memory){.tls_seen_at = special.tls_seen_at};
}

WRAP(void, posture_learn, struct posture *p, const char *domain, const struct guarantee_host *h,
     const char *key_exchange, const char *key_digest, int64_t now)
{
    (void)p;
    (void)domain;
    (void)h;
    (void)key_exchange;
    (void)key_digest;
    (void)now;
}

WRAP(void, posture_learn_zone, struct posture *p, const char *domain, bool is_bogus, int64_t now)
{
    (void)p;
    (void)domain;
    (void)now;
    assert_false(is_bogus);
}

WRAP(bool, posture_suspends_stops, const struct posture *p, int64_t now)
{
    (void)p;
    (void)now;
    return special.are_stops_suspended;
}

/* ---- connections, as client.h describes them ---- */

struct client {
    struct client_options o;
    const struct client_handler *handler;
    void *context;
    enum client_state state;
    const struct visit *visit;
    bool is_reached, is_secured, is_freed;
    unsigned sent;
    struct client_transaction *t;
    /* As the real one, it copies what is lent for the call. */
    char name[DOMAIN_SIZE];
    char address[NET_ADDRESS_SIZE];
    char sts_domain[DOMAIN_SIZE];
};
static struct client clients[4];

static void arrive(void *argument)
{
    struct client *c = argument;
    scene.now += c->visit->connect_s;
    c->is_reached = !c->visit->is_refused;
    c->state = c->is_reached ? CLIENT_GREETED : CLIENT_DEAD;
    c->handler->rested(c->context, c);
}

WRAP(const struct tls_facts *, client_tls, const struct client *c)
{
    (void)c;
    return NULL;
}

WRAP(struct client *, client_new, const struct client_options *o,
     const struct client_handler *handler, void *context)
{
    struct client *c = &clients[scene.connections];
    assert_true(scene.connections < COUNT_OF(clients));
    *c = (struct client){.o = *o, .handler = handler, .context = context};
    c->visit = &scene.visits[scene.connections];
    snprintf(c->address, sizeof c->address, "%s", o->host.address);
    c->o.host.address = c->address;
    snprintf(c->name, sizeof c->name, "%s", o->host.name);
    c->o.host.name = c->name;
    snprintf(c->sts_domain, sizeof c->sts_domain, "%s", o->host.sts_domain);
    c->o.host.sts_domain = c->sts_domain;
    c->o.host.sts_detail = "";
    if (o->tls_options.tlsa_count > 0)
        scene.records[scene.connections] = o->tls_options.tlsa[0].data[0];
    scene.connections++;
    post(arrive, c);
    return c;
}

static void shake_hands(void *argument)
{
    struct client *c = argument;
    scene.now += c->visit->handshake_s;
    c->is_secured = true;
    c->state = CLIENT_SECURED;
    c->handler->rested(c->context, c);
}

WRAP(void, client_start_tls, struct client *c)
{
    assert_int_equal(c->state, CLIENT_GREETED);
    c->state = CLIENT_SECURING;
    post(shake_hands, c);
}

WRAP(enum client_state, client_state, const struct client *c)
{
    return c->state;
}

WRAP(struct guarantee_host, client_facts, const struct client *c)
{
    struct guarantee_host facts = c->o.host;
    facts.at = scene.now;
    facts.contact = c->is_reached ? GUARANTEE_IN_CONTACT : GUARANTEE_NO_CONTACT;
    if (!c->is_reached)
        facts.cause = outcome_local(status_make(4, 4, 1), "connection refused");
    if (c->is_reached && c->visit->is_clear)
        facts.tls = GUARANTEE_TLS_NOT_OFFERED;
    if (!c->is_secured)
        return facts;
    facts.offers_requiretls = special.offers_requiretls;
    facts.tls = GUARANTEE_TLS_ESTABLISHED;
    facts.protocol = "TLSv1.3";
    facts.cipher = "TLS_AES_128_GCM_SHA256";
    facts.is_pkix_valid = facts.is_pkix_for_host = special.promises != NULL;
    facts.is_dane_matched = facts.tlsa == GUARANTEE_TLSA_USABLE;
    if (facts.is_dane_matched && scene.now > c->o.tlsa_expires_at) {
        facts.is_dane_matched = false;
        facts.tlsa = GUARANTEE_TLSA_ERROR;
        facts.cause = outcome_local(status_make(4, 7, 5), EXPIRED);
    }
    return facts;
}

static void answer_recipient(const struct client *c, struct client_recipient *r)
{
    char address[NET_ADDRESS_SIZE];
    static const struct {
        const char *to;
        enum guarantee_answer answer;
        unsigned code;
        struct status status;
    } answers[] = {
        {"bob@example.net", GUARANTEE_ANSWER_DELIVERED, 250, {2, 0, 0}},
        {"later@example.net", GUARANTEE_ANSWER_TEMPORARY, 450, {4, 2, 0}},
        {"never@example.net", GUARANTEE_ANSWER_PERMANENT, 550, {5, 1, 1}},
    };
    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        if (strcmp(answers[i].to, r->address) != 0)
            continue;
        r->answer = answers[i].answer;
        r->reply = outcome_local(answers[i].status, "said by the host");
        r->reply.code = answers[i].code;
        outcome_set_host(&r->reply, HOST, net_address_text(&c->o.to, address), c->o.to.port);
        r->is_relayed = !special.offers_dsn;
        scene.sent++;
        return;
    }
    fail_msg("no answer for %s", r->address);
}

static void end_transaction(void *argument)
{
    struct client *c = argument;
    if (c->visit->dies_s > 0 && c->sent++ > 0) {
        scene.now += c->visit->dies_s;
        c->state = CLIENT_DEAD;
        c->handler->sent(c->context, c);
        return;
    }
    scene.now += c->visit->answer_s;
    for (size_t i = 0; i < c->t->count; i++)
        if (c->t->recipients[i].verdict.kind == GUARANTEE_ACCEPTABLE)
            answer_recipient(c, &c->t->recipients[i]);
    c->state = c->is_secured ? CLIENT_SECURED : CLIENT_GREETED;
    c->handler->sent(c->context, c);
}

WRAP(void, client_send, struct client *c, struct client_transaction *t)
{
    struct guarantee_host facts = __wrap_client_facts(c);
    for (size_t i = 0; i < t->count; i++)
        t->recipients[i].verdict = guarantee_judge(&t->recipients[i].requirement, &facts);
    c->t = t;
    scene.ret = t->ret;
    scene.notify = t->recipients[0].notify;
    c->state = CLIENT_BUSY;
    post(end_transaction, c);
}

WRAP(void, client_set_handler, struct client *c, const struct client_handler *handler,
     void *context)
{
    c->handler = handler;
    c->context = context;
}

WRAP(unsigned, client_transactions, const struct client *c)
{
    (void)c;
    return 1;
}

WRAP(void, client_free, struct client *c)
{
    if (c)
        c->is_freed = true;
}

/* ---- queue ---- */

static struct {
    queue_done *done;
    void *context;
} settling[4];

static void commit(void *argument)
{
    size_t i = (size_t)(uintptr_t)argument;
    settling[i].done(settling[i].context, 0);
}

static const char *const recipients[] = {"bob@example.net", "later@example.net",
                                         "never@example.net"};

WRAP(void, queue_settle, struct queue *q, const struct queue_result *results, size_t count,
     const struct queue_poster *poster, queue_done *done, void *context)
{
    (void)q;
    (void)poster;
    assert_int_equal(count, 1);
    assert_true(scene.verdict_count < COUNT_OF(scene.verdicts));
    size_t number = scene.verdict_count++;
    struct verdict *v = &scene.verdicts[number];
    snprintf(v->to, sizeof v->to, "%s", recipients[results->index]);
    v->disposition = results->disposition;
    status_text(results->outcome.status, v->status);
    snprintf(v->reply, sizeof v->reply, "%s", results->outcome.text);
    snprintf(v->verified, sizeof v->verified, "%s", results->verified ? results->verified : "");
    v->report = results->report;
    v->tls_seen_at = results->tls_seen_at;
    v->trouble_since = results->trouble_since;
    v->next_attempt_at_ms = results->next_attempt_at_ms;
    v->is_suspended = results->is_suspended;
    v->is_local = results->is_local;
    v->is_relayed = results->is_relayed;
    v->is_passed_on = results->is_passed_on;
    settling[number].done = done;
    settling[number].context = context;
    post(commit, (void *)(uintptr_t)number);
}

/* ---- one attempt ---- */

static void left(void *context, struct attempt *a, struct destination *d)
{
    (void)context;
    (void)a;
    (void)d;
    scene.has_left = true;
}

static void settled(void *context, struct attempt *a)
{
    (void)context;
    (void)a;
    scene.is_settled = true;
}

static void add_local_route(struct delivery_settings *s)
{
    s->route_count = 1;
    s->routes = xalloc(sizeof *s->routes);
    snprintf(s->routes[0].pattern, sizeof s->routes[0].pattern, "example.net");
    s->routes[0].tls = GUARANTEE_POLICY_MAY;
    s->routes[0].protocol = CLIENT_LMTP;
    assert_true(delivery_next_hop_parse(SLICE("[127.0.0.1]:24"), &s->routes[0].next_hop));
}

static struct delivery_settings *new_settings(void)
{
    struct delivery_settings *settings = delivery_settings_new();
    snprintf(settings->hostname, sizeof settings->hostname, "mail.site.example");
    settings->port = 25;
    settings->concurrency = 4;
    settings->retry_first_ms = settings->retry_max_ms = 60000;
    settings->lifetime_ms = settings->warn_after_ms = settings->patience_ms = 86400000;
    if (special.patience_s > 0)
        settings->patience_ms = special.patience_s * 1000;
    if (special.is_local_route)
        add_local_route(settings);
    return settings;
}

static void send_message(struct delivery_settings *settings, struct destination *d, size_t count)
{
    scene.has_left = scene.is_settled = false;
    scene.verdict_count = 0;
    struct queue_recipient *to = xalloc(count * sizeof *to);
    for (size_t i = 0; i < count; i++) {
        to[i].index = (uint32_t)i;
        to[i].address = xstrdup(recipients[i]);
        to[i].orcpt = xstrdup("");
        to[i].owner = xstrdup("alice@site.example");
        to[i].level = LEVEL_VERIFIED;
        to[i].notify = special.notify;
        to[i].trouble_since = special.trouble_since;
        to[i].wants_receipt = special.wants_receipt;
        to[i].started_at_ms = (NOW - special.age_s) * 1000LL;
    }
    struct attempt_options o = {
        .settings = settings,
        .destination = d,
        .domain = "example.net",
        .message = {.reverse_path = xstrdup("alice@site.example"),
                    .user = xstrdup("alice@site.example"),
                    .envid = xstrdup(""),
                    .ret = special.ret,
                    .requiretls = special.requiretls,
                    .arrived_at_ms = NOW * 1000LL},
        .recipients = to,
        .count = count,
        .left = left,
        .settled = settled,
    };
    (void)attempt_new(&o);
    while (scene.first < scene.last) {
        size_t next = scene.first++;
        scene.posts[next].run(scene.posts[next].argument);
    }
    assert_true(scene.has_left && scene.is_settled);
    assert_int_equal(scene.verdict_count, count);
}

/* Level verified, to the first `count` recipients, until all are decided. */
static void attempt(const struct answer *answers, const struct visit *visits, size_t count)
{
    scene = (struct scene){.now = NOW, .answers = answers, .visits = visits};
    struct delivery_settings *settings = new_settings();
    struct destination *d = destination_new("example.net:25");
    d->limit = 4;
    send_message(settings, d, count);
    if (special.next_message_s > 0) {
        scene.now += special.next_message_s;
        send_message(settings, d, count);
    }
    destination_free(d);
    delivery_settings_unref(settings);
    for (unsigned i = 0; i < scene.connections; i++)
        assert_true(clients[i].is_freed);
}

static const struct verdict *verdict_for(const char *to)
{
    for (size_t i = 0; i < scene.verdict_count; i++)
        if (strcmp(scene.verdicts[i].to, to) == 0)
            return &scene.verdicts[i];
    fail_msg("no result for %s", to);
    return NULL;
}

static void expect(const char *to, enum disposition disposition, const char *status)
{
    const struct verdict *v = verdict_for(to);
    if (v->disposition != disposition || strcmp(v->status, status) != 0)
        fail_msg("%s: disposition %d, %s \"%s\"", to, (int)v->disposition, v->status, v->reply);
}

#define USABLE(seconds) DNS_DATA, DNS_TLSA_USABLE, (seconds), 1
#define REFUSED_AFTER(seconds)                                                                     \
    {                                                                                              \
        .connect_s = (seconds), .is_refused = true                                                 \
    }

static void a_match_counts_for_a_minute_on_the_connection_made_with_it(void **state)
{
    (void)state;
    static const struct answer brief[] = {{false, USABLE(1)}};
    static const struct visit in_time[] = {{.connect_s = 20, .handshake_s = 40}};
    attempt(brief, in_time, 1);
    expect("bob@example.net", DISPOSITION_DELIVERED, "2.0.0");
    assert_string_equal(verdict_for("bob@example.net")->verified, "dane");
}

static void a_match_does_not_outlive_its_ttl_and_that_minute(void **state)
{
    (void)state;
    static const struct answer answers[] = {{false, USABLE(1)}, {false, USABLE(3600)}};
    static const struct visit visits[] = {{.handshake_s = 61}, {.handshake_s = 1}};
    attempt(answers, visits, 1);
    assert_int_equal(scene.connections, 2); /* the first one carried nothing */
    assert_int_equal(scene.sent, 1);
    assert_string_equal(verdict_for("bob@example.net")->verified, "dane");
    static const struct answer long_lived[] = {{false, USABLE(300)}};
    static const struct visit slow[] = {{.handshake_s = 299}};
    attempt(long_lived, slow, 1);
    assert_string_equal(verdict_for("bob@example.net")->verified, "dane");
}

static void a_ttl_that_ends_while_the_host_answers_changes_nothing_of_the_answers(void **state)
{
    (void)state;
    static const struct answer answers[] = {{false, USABLE(1)}, {false, USABLE(3600)}};
    /* The second address answers as the first one did. */
    static const struct visit visits[] = {{.answer_s = 90}, {.answer_s = 1}};
    attempt(answers, visits, 3);
    expect("bob@example.net", DISPOSITION_DELIVERED, "2.0.0");
    assert_string_equal(verdict_for("bob@example.net")->verified, "dane");
    expect("never@example.net", DISPOSITION_FAILED, "5.1.1");
    expect("later@example.net", DISPOSITION_DEFERRED, "4.2.0");
    /* The last address: nothing newer hides what its facts became. */
    static const struct visit refused_first[] = {REFUSED_AFTER(0), {.answer_s = 90}};
    static const struct answer once[] = {{false, USABLE(1)}};
    attempt(once, refused_first, 3);
    expect("bob@example.net", DISPOSITION_DELIVERED, "2.0.0");
    assert_string_equal(verdict_for("bob@example.net")->verified, "dane");
    expect("never@example.net", DISPOSITION_FAILED, "5.1.1");
    expect("later@example.net", DISPOSITION_DEFERRED, "4.2.0");
}

static void facts_that_ended_before_the_next_address_are_asked_for_anew(void **state)
{
    (void)state;
    static const struct answer answers[] = {{false, DNS_DATA, DNS_TLSA_USABLE, 5, 1},
                                            {false, DNS_DATA, DNS_TLSA_USABLE, 5, 2}};
    static const struct visit late[] = {REFUSED_AFTER(10), {.handshake_s = 1}};
    attempt(answers, late, 1);
    assert_int_equal(scene.asked, 2);
    assert_int_equal(scene.connections, 2);
    assert_int_equal(scene.records[0], 1);
    assert_int_equal(scene.records[1], 2);
    expect("bob@example.net", DISPOSITION_DELIVERED, "2.0.0");
    static const struct visit in_time[] = {REFUSED_AFTER(4), {.handshake_s = 1}};
    attempt(answers, in_time, 1);
    assert_int_equal(scene.asked, 1);
    assert_int_equal(scene.records[1], 1);
}

static void a_host_whose_records_cannot_be_learnt_again_is_not_used(void **state)
{
    (void)state;
    static const struct answer cases[][2] = {
        {{false, USABLE(5)}, {false, DNS_DATA, DNS_TLSA_ERROR, 5, 0}},
        {{false, USABLE(5)}, {false, DNS_FAILED, DNS_TLSA_NONE, 5, 0}},
        {{false, USABLE(5)}, {false, DNS_NXDOMAIN, DNS_TLSA_NONE, 5, 0}},
    };
    static const struct visit visits[] = {REFUSED_AFTER(10), {.handshake_s = 1}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        attempt(cases[i], visits, 1);
        assert_int_equal(scene.asked, 2);
        assert_int_equal(scene.connections, 1);
        assert_int_equal(verdict_for("bob@example.net")->disposition, DISPOSITION_DEFERRED);
    }
}

/* What is over is not gone on with, and our own trouble is told as ours. */
static void a_resolver_that_takes_no_question_again_is_our_fault(void **state)
{
    (void)state;
    static const struct answer answers[] = {{false, USABLE(5)}, {.is_missing = true}};
    static const struct visit visits[] = {REFUSED_AFTER(10), {.handshake_s = 1}};
    attempt(answers, visits, 1);
    assert_int_equal(scene.asked, 2);
    assert_int_equal(scene.connections, 1);
    expect("bob@example.net", DISPOSITION_DEFERRED, "4.3.0");
    assert_non_null(strstr(verdict_for("bob@example.net")->reply, "resolver"));
}

static void answers_without_a_lifetime_are_asked_for_twice_at_most(void **state)
{
    (void)state;
    static const struct answer answers[] = {{false, USABLE(0)}, {false, USABLE(0)}};
    static const struct visit visits[] = {{.handshake_s = 1}};
    attempt(answers, visits, 1);
    assert_true(scene.asked <= 2);
    expect("bob@example.net", DISPOSITION_DELIVERED, "2.0.0");
}

static int forget_special(void **state)
{
    (void)state;
    memset(&special, 0, sizeof special);
    return 0;
}

#define PROMISED(seconds)                                                                          \
    {                                                                                              \
        .status = STS_POLICY, .max_age = (seconds)                                                 \
    }
static const struct answer found[] = {{false, USABLE(3600)}};
static const struct answer without_dane[] = {{false, DNS_DATA, DNS_TLSA_NONE, 3600, 0}};

static void a_policy_that_ended_before_the_next_address_is_asked_for_anew(void **state)
{
    (void)state;
    static const struct promise promises[] = {PROMISED(10), PROMISED(3600)};
    static const struct visit late[] = {REFUSED_AFTER(10), {.handshake_s = 1}};
    special.promises = promises;
    attempt(without_dane, late, 1);
    assert_int_equal(scene.policies_asked, 2);
    assert_int_equal(scene.connections, 2);
    expect("bob@example.net", DISPOSITION_DELIVERED, "2.0.0");
    assert_string_equal(verdict_for("bob@example.net")->verified, "sts");
    static const struct visit in_time[] = {REFUSED_AFTER(9), {.handshake_s = 1}};
    attempt(without_dane, in_time, 1);
    assert_int_equal(scene.policies_asked, 1);
    assert_string_equal(verdict_for("bob@example.net")->verified, "sts");
}

static void nothing_is_sent_under_a_policy_that_ended(void **state)
{
    (void)state;
    static const struct promise cases[][2] = {
        {PROMISED(10), {.status = STS_NONE}},
        {PROMISED(10), {.status = STS_UNKNOWN}},
        {PROMISED(10), {.status = STS_OUR_FAULT}},
        {PROMISED(10), {.status = STS_POLICY, .max_age = 3600, .is_for_others = true}},
    };
    static const struct visit late[] = {REFUSED_AFTER(10), {.handshake_s = 1}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        special.promises = cases[i];
        attempt(without_dane, late, 1);
        assert_int_equal(scene.policies_asked, 2);
        assert_int_equal(scene.sent, 0);
    }
}

static void a_kept_connection_serves_no_longer_than_the_policy_it_was_made_under(void **state)
{
    (void)state;
    static const struct promise promises[] = {PROMISED(10), PROMISED(3600)};
    static const struct visit visits[] = {{.handshake_s = 1}, {.handshake_s = 1}};
    special.promises = promises;
    special.has_one_address = true;
    special.next_message_s = 8;
    attempt(without_dane, visits, 1);
    assert_int_equal(scene.connections, 1);
    special.next_message_s = 9;
    attempt(without_dane, visits, 1);
    assert_int_equal(scene.policies_asked, 2);
    assert_int_equal(scene.connections, 2);
    assert_int_equal(scene.sent, 2);
    assert_string_equal(verdict_for("bob@example.net")->verified, "sts");
}

static void what_ended_while_a_kept_connection_died_is_asked_for_anew(void **state)
{
    (void)state;
    static const struct visit visits[] = {{.dies_s = 60}, {.handshake_s = 1}};
    static const struct answer answers[] = {{false, DNS_DATA, DNS_TLSA_USABLE, 30, 1},
                                            {false, DNS_DATA, DNS_TLSA_USABLE, 30, 2}};
    special.has_one_address = true;
    special.next_message_s = 5;
    attempt(answers, visits, 1);
    assert_int_equal(scene.asked, 2);
    assert_int_equal(scene.connections, 2);
    assert_int_equal(scene.records[1], 2);
    assert_string_equal(verdict_for("bob@example.net")->verified, "dane");
    static const struct promise promises[] = {PROMISED(30), {.status = STS_NONE}};
    special.promises = promises;
    static const struct answer no_records[] = {{false, DNS_DATA, DNS_TLSA_NONE, 3600, 0},
                                               {false, DNS_DATA, DNS_TLSA_NONE, 3600, 0}};
    attempt(no_records, visits, 1);
    assert_int_equal(scene.policies_asked, 2);
    assert_int_equal(scene.sent, 1); /* the first message */
}

/* Neither is asked for without end where both are over as soon as they come. */
static void policies_without_a_lifetime_are_asked_for_once_an_address_at_most(void **state)
{
    (void)state;
    static const struct promise at_once[] = {PROMISED(0)};
    static const struct visit visits[] = {REFUSED_AFTER(0), {.handshake_s = 1}};
    special.promises = at_once;
    attempt(without_dane, visits, 1);
    assert_int_equal(scene.policies_asked, 1);
    assert_string_equal(verdict_for("bob@example.net")->verified, "sts");
    static const struct promise slow[] = {{.status = STS_POLICY, .answer_s = 2},
                                          {.status = STS_POLICY, .answer_s = 2},
                                          {.status = STS_POLICY, .answer_s = 2},
                                          {.status = STS_POLICY, .answer_s = 2}};
    static const struct answer brief[] = {
        {false, DNS_DATA, DNS_TLSA_NONE, 0, 0}, {false, DNS_DATA, DNS_TLSA_NONE, 0, 0},
        {false, DNS_DATA, DNS_TLSA_NONE, 0, 0}, {false, DNS_DATA, DNS_TLSA_NONE, 0, 0},
        {false, DNS_DATA, DNS_TLSA_NONE, 0, 0}, {false, DNS_DATA, DNS_TLSA_NONE, 0, 0}};
    static const struct visit refused_late[] = {REFUSED_AFTER(2), {.handshake_s = 1}};
    special.promises = slow;
    special.host_answer_s = 2;
    attempt(brief, refused_late, 1);
    assert_int_equal(scene.policies_asked, 3);
    assert_int_equal(scene.connections, 2);
    assert_string_equal(verdict_for("bob@example.net")->verified, "sts");
}

static const struct visit encrypted[] = {{.handshake_s = 1}, {.handshake_s = 1}};
/* Both addresses. */
static const struct visit in_clear[] = {{.is_clear = true}, {.is_clear = true}};

/* RFC 8689 section 5: what is bound by REQUIRETLS comes back as headers alone. A host that takes it
 * over without REQUIRETLS would not know. */
static void where_requiretls_is_not_passed_on_no_content_may_come_back(void **state)
{
    (void)state;
    static const struct {
        bool is_local_route, requiretls, offers_requiretls;
        enum ret ret, want;
    } cases[] = {
        {true, true, false, RET_FULL, RET_HDRS},
        {true, true, false, RET_ABSENT, RET_HDRS}, /* absent, the host might choose */
        {true, false, false, RET_FULL, RET_FULL},
        {false, true, true, RET_FULL, RET_FULL}, /* the host knows what REQUIRETLS means */
        {false, false, true, RET_FULL, RET_FULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        special.is_local_route = cases[i].is_local_route;
        special.requiretls = cases[i].requiretls;
        special.offers_requiretls = cases[i].offers_requiretls;
        special.ret = cases[i].ret;
        attempt(found, cases[i].is_local_route ? in_clear : encrypted, 1);
        expect("bob@example.net", DISPOSITION_DELIVERED, "2.0.0");
        assert_int_equal(scene.ret, cases[i].want);
    }
}

static void what_a_receipt_says_is_kept_with_the_recipient(void **state)
{
    (void)state;
    special.wants_receipt = true;
    special.is_local_route = true;
    attempt(found, in_clear, 1);
    assert_int_equal(verdict_for("bob@example.net")->report, QUEUE_REPORT_SUCCESS);
    assert_true(verdict_for("bob@example.net")->is_local);
    assert_false(verdict_for("bob@example.net")->is_relayed);
    special.is_local_route = false;
    special.offers_dsn = true;
    attempt(found, encrypted, 1);
    assert_int_equal(verdict_for("bob@example.net")->report, QUEUE_REPORT_SUCCESS);
    assert_false(verdict_for("bob@example.net")->is_local);
    assert_true(verdict_for("bob@example.net")->is_relayed);
    assert_false(verdict_for("bob@example.net")->is_passed_on);
    assert_int_equal(scene.notify, NOTIFY_DEFAULT); /* the host is asked for nothing */
    special.notify = NOTIFY_SUCCESS;
    attempt(found, encrypted, 1);
    assert_true(verdict_for("bob@example.net")->is_passed_on);
    special.wants_receipt = false;
    attempt(found, encrypted, 1);
    assert_int_equal(verdict_for("bob@example.net")->report, QUEUE_REPORT_NONE);
}

static void a_stop_at_a_host_that_had_tls_keeps_until_when(void **state)
{
    (void)state;
    attempt(found, in_clear, 1);
    expect("bob@example.net", DISPOSITION_HELD, "5.7.4");
    assert_int_equal(verdict_for("bob@example.net")->tls_seen_at, 0);
    special.tls_seen_at = NOW - 7200;
    attempt(found, in_clear, 1);
    expect("bob@example.net", DISPOSITION_HELD, "5.7.4");
    assert_int_equal(verdict_for("bob@example.net")->tls_seen_at, NOW - 7200);
    assert_false(verdict_for("bob@example.net")->is_suspended);
    special.are_stops_suspended = true;
    attempt(found, in_clear, 1);
    expect("bob@example.net", DISPOSITION_DEFERRED, "4.3.0");
    assert_int_equal(verdict_for("bob@example.net")->tls_seen_at, NOW - 7200);
    assert_true(verdict_for("bob@example.net")->is_suspended);
}

/* Failed, it would be gone, and where NOTIFY asks for nothing nobody would hear of it. */
static void at_the_end_of_its_lifetime_a_suspended_stop_is_the_stop_it_stands_for(void **state)
{
    (void)state;
    static const unsigned notify[] = {NOTIFY_DEFAULT, NOTIFY_NEVER};
    special.are_stops_suspended = true;
    for (size_t i = 0; i < COUNT_OF(notify); i++) {
        special.notify = notify[i];
        special.age_s = 86400 - 60;
        attempt(found, in_clear, 1);
        expect("bob@example.net", DISPOSITION_DEFERRED, "4.3.0");
        special.age_s = 86400;
        attempt(found, in_clear, 1);
        expect("bob@example.net", DISPOSITION_HELD, "5.7.4");
        assert_null(strstr(verdict_for("bob@example.net")->reply, "suspended"));
        assert_false(verdict_for("bob@example.net")->is_suspended);
        assert_int_equal(verdict_for("bob@example.net")->report,
                         notify[i] == NOTIFY_NEVER ? QUEUE_REPORT_NONE : QUEUE_REPORT_FAILURE);
    }
}

static void what_is_remembered_of_tls_is_not_said_of_other_ends(void **state)
{
    (void)state;
    special.tls_seen_at = NOW - 7200;
    attempt(found, encrypted, 3);
    for (size_t i = 0; i < COUNT_OF(recipients); i++)
        assert_int_equal(verdict_for(recipients[i])->tls_seen_at, 0);
}

/* GUARANTEE.md section 3, rule 3: any other result restarts patience, and not to have tried is
 * none. */
static void to_be_backed_off_neither_ends_patience_nor_restarts_it(void **state)
{
    (void)state;
    static const struct visit refused[] = {REFUSED_AFTER(0), REFUSED_AFTER(0), REFUSED_AFTER(0),
                                           REFUSED_AFTER(0)};
    const struct verdict *v;
    special.trouble_since = NOW - 100;
    attempt(found, refused, 1);
    v = verdict_for("bob@example.net");
    assert_int_equal(v->disposition, DISPOSITION_DEFERRED);
    assert_int_equal(v->trouble_since, 0); /* it was tried, and this is another result */
    special.next_message_s = 2;
    attempt(found, refused, 1);
    assert_int_equal(scene.connections, 2); /* the second message is backed off */
    v = verdict_for("bob@example.net");
    expect("bob@example.net", DISPOSITION_DEFERRED, "4.4.1");
    assert_int_equal(v->trouble_since, NOW - 100);
    assert_true(v->next_attempt_at_ms <= (NOW + 120) * 1000LL);
    special.patience_s = 107;
    attempt(found, refused, 1);
    assert_int_equal(v->trouble_since, NOW - 100);
    assert_int_equal(v->next_attempt_at_ms, (NOW + 7) * 1000LL);
    special.trouble_since = 0;
    attempt(found, refused, 1);
    assert_int_equal(scene.connections, 2);
    assert_int_equal(v->trouble_since, 0);
    assert_true(v->next_attempt_at_ms > (NOW + 7) * 1000LL);
}

/* It would be asked for every second else, and not be answered. */
static void at_the_end_of_patience_the_host_is_tried_whatever_it_did_to_others(void **state)
{
    (void)state;
    static const struct visit refused[] = {REFUSED_AFTER(0), REFUSED_AFTER(0), REFUSED_AFTER(0),
                                           REFUSED_AFTER(0)};
    special.trouble_since = NOW - 100;
    special.patience_s = 103;
    special.next_message_s = 2;
    attempt(found, refused, 1);
    assert_int_equal(scene.connections, 2);
    special.next_message_s = 3;
    attempt(found, refused, 1);
    assert_int_equal(scene.connections, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_match_counts_for_a_minute_on_the_connection_made_with_it),
        cmocka_unit_test(a_match_does_not_outlive_its_ttl_and_that_minute),
        cmocka_unit_test(a_ttl_that_ends_while_the_host_answers_changes_nothing_of_the_answers),
        cmocka_unit_test(facts_that_ended_before_the_next_address_are_asked_for_anew),
        cmocka_unit_test(a_host_whose_records_cannot_be_learnt_again_is_not_used),
        cmocka_unit_test(a_resolver_that_takes_no_question_again_is_our_fault),
        cmocka_unit_test(answers_without_a_lifetime_are_asked_for_twice_at_most),
        cmocka_unit_test_teardown(a_policy_that_ended_before_the_next_address_is_asked_for_anew,
                                  forget_special),
        cmocka_unit_test_teardown(nothing_is_sent_under_a_policy_that_ended, forget_special),
        cmocka_unit_test_teardown(
            a_kept_connection_serves_no_longer_than_the_policy_it_was_made_under, forget_special),
        cmocka_unit_test_teardown(what_ended_while_a_kept_connection_died_is_asked_for_anew,
                                  forget_special),
        cmocka_unit_test_teardown(policies_without_a_lifetime_are_asked_for_once_an_address_at_most,
                                  forget_special),
        cmocka_unit_test_teardown(where_requiretls_is_not_passed_on_no_content_may_come_back,
                                  forget_special),
        cmocka_unit_test_teardown(what_a_receipt_says_is_kept_with_the_recipient, forget_special),
        cmocka_unit_test_teardown(a_stop_at_a_host_that_had_tls_keeps_until_when, forget_special),
        cmocka_unit_test_teardown(
            at_the_end_of_its_lifetime_a_suspended_stop_is_the_stop_it_stands_for, forget_special),
        cmocka_unit_test_teardown(to_be_backed_off_neither_ends_patience_nor_restarts_it,
                                  forget_special),
        cmocka_unit_test_teardown(
            at_the_end_of_patience_the_host_is_tried_whatever_it_did_to_others, forget_special),
        cmocka_unit_test_teardown(what_is_remembered_of_tls_is_not_said_of_other_ends,
                                  forget_special),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
