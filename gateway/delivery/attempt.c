#include "gateway/delivery/attempt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/delivery/client.h"
#include "gateway/delivery/disposition.h"
#include "gateway/tls/scram.h"
#include "mail/arena.h"
#include "mail/date.h"
#include "mail/id.h"

enum {
    ADDRESSES_MAX = 100, /* tried in one attempt */
    FIRST_USE_SECONDS = 60,
    BACK_OFF_MS = 60 * 1000, /* how long an unreachable destination is not asked again */
    EVIDENCE_MAX = 8 * 1024,
};

struct addressee {
    struct queue_recipient recipient; /* owned content, leased */
    struct guarantee_requirement requirement;
    struct guarantee_host *seen; /* owned array: what each host showed; texts in the arena */
    size_t seen_count, seen_capacity;
    bool is_pending;
    bool is_through_here;   /* this address has shown its fact; nothing more to be had of it */
    struct outcome outcome; /* kept for the result until it is settled */
};

struct attempt {
    struct attempt_options o; /* with our own settings reference; recipients moved to `to` */
    struct arena arena;
    struct next_hop next_hop;
    struct addressee *to; /* owned array */
    size_t count;
    size_t pending;
    unsigned settling; /* commits under way */
    bool is_aborted;
    bool is_backed_off; /* deferred with what an earlier attempt found: teaches nothing new */
    bool has_left;

    struct dns_question *question; /* NULL: none under way */
    enum guarantee_destination found;
    char detail[256]; /* of `found` */
    bool is_name_secure;
    bool is_implicit_mx;
    struct dns_mx_host *hosts; /* owned, in the order tried */
    size_t host_count, host_index;
    size_t blocked_hosts;
    struct dns_host host; /* the present one; owned copy */
    size_t address_index;
    unsigned addresses_tried;

    struct client *client; /* owned; NULL: none */
    struct connection_key key;
    int64_t expires_at;
    bool is_reused;
    enum guarantee_tls failed_tls; /* of the connection before this clear one; UNTRIED: this one is
                                      not marked clear */
    struct outcome failed_cause;
    struct guarantee_host
        sent; /* facts of the connection when the judge passed the transaction; kept texts */
    struct client_transaction transaction;
    struct client_recipient *slots; /* owned array; slot i stands for slot_of[i] */
    struct addressee **slot_of;     /* owned array */
};

static void next_host(struct attempt *a);
static void next_address(struct attempt *a);
static void connect_fresh(struct attempt *a);
static void contact_address(struct attempt *a, const struct net_address *to);
static void finish(struct attempt *a);

/* ---- what was seen ---- */

static const char *keep(struct attempt *a, const char *text)
{
    return text && text[0] ? arena_copy(&a->arena, slice_of(text)) : "";
}

static struct guarantee_host keep_facts(struct attempt *a, const struct guarantee_host *h)
{
    struct guarantee_host kept = *h;
    kept.name = keep(a, h->name);
    kept.address = keep(a, h->address);
    kept.keywords = keep(a, h->keywords);
    kept.protocol = keep(a, h->protocol);
    kept.cipher = keep(a, h->cipher);
    kept.certificate_error = keep(a, h->certificate_error);
    return kept;
}

static void record(struct addressee *t, const struct guarantee_host *kept)
{
    if (t->seen_count == t->seen_capacity) {
        t->seen_capacity = t->seen_capacity ? 2 * t->seen_capacity : 4;
        t->seen = xrealloc(t->seen, t->seen_capacity * sizeof *t->seen);
    }
    t->seen[t->seen_count++] = *kept;
    t->is_through_here = true;
}

static bool is_open(const struct addressee *t)
{
    return t->is_pending && !t->is_through_here;
}

/* The fact concerns everybody who has none from this address yet. */
static void record_for_all(struct attempt *a, const struct guarantee_host *facts)
{
    struct guarantee_host kept = keep_facts(a, facts);
    for (size_t i = 0; i < a->count; i++)
        if (is_open(&a->to[i]))
            record(&a->to[i], &kept);
}

static enum guarantee_tlsa tlsa_fact(enum dns_tlsa tlsa)
{
    switch (tlsa) {
    case DNS_TLSA_NONE:
        return GUARANTEE_TLSA_NONE;
    case DNS_TLSA_USABLE:
        return GUARANTEE_TLSA_USABLE;
    case DNS_TLSA_UNUSABLE:
        return GUARANTEE_TLSA_UNUSABLE;
    case DNS_TLSA_ERROR:
        return GUARANTEE_TLSA_ERROR;
    }
    panic("no such TLSA answer: %d", (int)tlsa);
}

static bool is_smarthost(const struct attempt *a)
{
    return a->next_hop.route && strcmp(a->next_hop.route->pattern, "*") == 0;
}

/* What is known of the present host before a connection. `to` NULL: no address. Texts live until
 * the host changes. */
static struct guarantee_host facts_before(struct attempt *a, const struct net_address *to)
{
    char text[NET_ADDRESS_SIZE];
    const struct dns_mx_host *mx = &a->hosts[a->host_index];
    struct guarantee_host h = {
        .name = mx->name,
        .address = to ? arena_copy(&a->arena, slice_of(net_address_text(to, text))) : "",
        .port = to ? to->port : a->next_hop.port,
        .preference = mx->preference,
        .at = date_now(),
        .is_name_secure = a->is_name_secure,
        .is_literal = a->next_hop.target.kind == NEXT_HOP_LITERAL,
        .is_local_route = to && next_hop_is_local(&a->next_hop, to),
        .is_smarthost = is_smarthost(a),
        .is_pkix_for_domain =
            !a->is_name_secure, /* fill_tls_options() then asks for no other name */
        .tlsa = tlsa_fact(a->host.tlsa),
        .contact = GUARANTEE_UNTRIED,
        .tls = a->failed_tls,
        .keywords = "",
        .protocol = "",
        .cipher = "",
        .certificate_error = "",
    };
    if (a->failed_tls != GUARANTEE_TLS_UNTRIED)
        h.cause = a->failed_cause;
    else if (h.tlsa == GUARANTEE_TLSA_ERROR)
        h.cause =
            outcome_local(status_make(4, 7, 5), "%s",
                          a->host.tlsa_detail[0] ? a->host.tlsa_detail : "TLSA look-up failed");
    return h;
}

static void record_no_contact(struct attempt *a, enum guarantee_contact contact,
                              const struct outcome *cause)
{
    struct guarantee_host h = facts_before(a, NULL);
    h.tlsa = GUARANTEE_TLSA_NONE; /* a host that cannot be reached shows nothing about TLS */
    h.contact = contact;
    h.cause = *cause;
    record_for_all(a, &h);
}

/* ---- what became of a recipient ---- */

static const struct guarantee_host *last_seen(const struct addressee *t)
{
    return t->seen_count > 0 ? &t->seen[t->seen_count - 1] : NULL;
}

static const char *verified_word(const struct guarantee_requirement *r,
                                 const struct guarantee_host *h)
{
    switch (guarantee_judge(r, h).verified) {
    case GUARANTEE_VERIFIED_NO:
        return "no";
    case GUARANTEE_VERIFIED_DANE:
        return "dane";
    case GUARANTEE_VERIFIED_STS:
        return "sts";
    case GUARANTEE_VERIFIED_PKIX:
        return "pkix";
    }
    panic("no such verification");
}

static const char *relay_text(const struct outcome *o, char *out, size_t size)
{
    if (o->mx[0] == '\0' && o->address[0] == '\0')
        return "none";
    snprintf(out, size, "%s[%s]:%u", o->mx, o->address, o->port);
    return out;
}

/* Exactly one such line per recipient and attempt. */
static void log_disposition(struct attempt *a, const struct addressee *t,
                            const struct queue_result *result)
{
    char id[ID_SIZE];
    char relay[DOMAIN_SIZE + 96];
    char status[STATUS_SIZE];
    char delay[32];
    char next[DATE_SIZE] = "";
    char reply[OUTCOME_TEXT_SIZE + 8];
    const struct guarantee_host *h = last_seen(t);
    bool has_tls = h && h->tls == GUARANTEE_TLS_ESTABLISHED;
    int64_t delay_ms = result->attempted_at_ms - a->o.message.arrived_at_ms;
    snprintf(delay, sizeof delay, "%lld.%03lld", (long long)(delay_ms / 1000),
             (long long)(delay_ms % 1000));
    if (result->outcome.code > 0)
        snprintf(reply, sizeof reply, "%u %s", result->outcome.code, result->outcome.text);
    else
        snprintf(reply, sizeof reply, "%s", result->outcome.text);
    if (result->disposition == DISPOSITION_DEFERRED)
        date_rfc3339(result->next_attempt_at_ms / 1000, next);
    EVENT(a->o.events, result->disposition == DISPOSITION_DELIVERED ? EVENT_INFO : EVENT_WARNING,
          "disposition", FIELD(KEY_ID, id_text(t->recipient.id, id)),
          FIELD(KEY_FROM, a->o.message.reverse_path), FIELD(KEY_TO, t->recipient.address),
          FIELD(KEY_DISPOSITION, disposition_name(result->disposition)),
          FIELD(KEY_RELAY, relay_text(&result->outcome, relay, sizeof relay)),
          FIELD(KEY_TLS, has_tls ? h->protocol : "none"),
          FIELD(KEY_CIPHER, has_tls ? h->cipher : "none"),
          FIELD(KEY_VERIFIED, has_tls ? verified_word(&t->requirement, h) : "no"),
          FIELD(KEY_LEVEL, level_name(t->recipient.level)),
          FIELD(KEY_EXEMPT, exemption_name(t->recipient.exemption)), FIELD(KEY_DELAY, delay),
          FIELD_NUMBER(KEY_ATTEMPTS, t->recipient.attempts + 1),
          FIELD(KEY_STATUS, status_text(result->outcome.status, status)), FIELD(KEY_REPLY, reply),
          FIELD(KEY_NEXT, next));
}

static void settle_done(void *context, int error)
{
    struct attempt *a = context;
    (void)error; /* never comes: the queue commits until it succeeds */
    a->settling--;
    if (!a->has_left || a->settling > 0)
        return;
    a->o.settled(a->o.context, a);
    for (size_t i = 0; i < a->count; i++) {
        queue_recipient_clear(&a->to[i].recipient);
        free(a->to[i].seen);
    }
    free(a->to);
    free(a->slots);
    free(a->slot_of);
    free(a->hosts);
    dns_host_clear(&a->host);
    queue_message_free(&a->o.message);
    delivery_settings_unref(a->o.settings);
    arena_free(&a->arena);
    free(a);
}

static void post_to_loop(void *context, void (*run)(void *argument), void *argument)
{
    loop_post(context, run, argument);
}

static struct guarantee_conclusion conclude(struct attempt *a, const struct addressee *t,
                                            struct guarantee_attempt *facts)
{
    *facts = (struct guarantee_attempt){
        .destination = a->found,
        .domain = a->o.domain,
        .detail = a->detail,
        .hosts = t->seen,
        .count = t->seen_count,
        .trouble_since = t->recipient.trouble_since,
        .now = date_now(),
        .patience = a->o.settings->patience_ms / 1000,
    };
    struct guarantee_conclusion c = guarantee_conclude(&t->requirement, facts);
    /* Trouble that begins within this second is counted from its end: patience is never shorter
     * than it says. */
    if (t->recipient.trouble_since == 0 && c.trouble_since > 0) {
        c.trouble_since++;
        c.patience_ends_at += c.patience_ends_at > 0;
    }
    return c;
}

static void settle(struct attempt *a, struct addressee *t)
{
    struct guarantee_attempt facts;
    struct guarantee_conclusion conclusion = conclude(a, t, &facts);
    const struct guarantee_host *h = last_seen(t);
    struct disposition_case c = {
        .settings = a->o.settings,
        .message = &a->o.message,
        .recipient = &t->recipient,
        .conclusion = &conclusion,
        .owner_is_sender = disposition_owner_is_sender(a->o.queue, &a->o.message, &t->recipient),
        .now_ms = date_now_ms(),
    };
    for (size_t i = 0; i < a->transaction.count; i++)
        if (a->slot_of[i] == t)
            c.is_dsn_passed_on = !a->slots[i].is_relayed;
    if (!random_bytes(&c.random, sizeof c.random))
        c.random = (uint32_t)c.now_ms; /* only the jitter depends on it */
    struct queue_result result = disposition_of(&c);
    char required[256];
    struct buffer evidence;
    buffer_init(&evidence, EVIDENCE_MAX);
    if (conclusion.decision != GUARANTEE_DELIVERED)
        guarantee_evidence(&t->requirement, &facts, &evidence);
    guarantee_stop_words(&t->requirement, &conclusion, required, sizeof required);
    const char *lines = buffer_text(&evidence);
    result.evidence = lines ? lines : "";
    result.required = required;
    if (conclusion.decision == GUARANTEE_DELIVERED && h) {
        result.is_relayed = a->next_hop.protocol != CLIENT_LMTP;
        result.protocol = h->protocol;
        result.cipher = h->cipher;
        result.verified = verified_word(&t->requirement, h);
    }
    result.is_guarded = t->requirement.policy >= GUARANTEE_POLICY_ENCRYPT ||
                        t->requirement.route >= GUARANTEE_POLICY_ENCRYPT;
    log_disposition(a, t, &result);
    t->is_pending = false;
    a->pending--;
    a->settling++;
    struct queue_poster poster = {.post = post_to_loop, .context = a->o.loop};
    queue_settle(a->o.queue, &result, 1, &poster, settle_done, a);
    buffer_free(&evidence);
}

/* ---- the destination as a whole ---- */

/* Nothing of it answered: the next mail for it need not find that out again at once. */
static void note_back_off(struct attempt *a)
{
    struct destination *d = a->o.destination;
    struct guarantee_attempt facts;
    if (a->is_backed_off)
        return;
    d->back_off_until_ms = 0;
    if (a->is_aborted || a->pending == 0 || a->found == GUARANTEE_DESTINATION_OUR_FAULT)
        return;
    for (size_t i = 0; i < a->count; i++) {
        if (!a->to[i].is_pending)
            continue;
        struct guarantee_conclusion c = conclude(a, &a->to[i], &facts);
        bool is_unreachable =
            a->found == GUARANTEE_DESTINATION_LOOKUP_FAILED ||
            (a->found == GUARANTEE_DESTINATION_FOUND && c.kind == GUARANTEE_UNREACHABLE);
        if (c.decision != GUARANTEE_DEFER || !is_unreachable)
            return;
        d->back_off_reason = c.outcome;
    }
    int64_t length =
        a->o.settings->retry_first_ms < BACK_OFF_MS ? a->o.settings->retry_first_ms : BACK_OFF_MS;
    d->back_off_until_ms = loop_now_ms(a->o.loop) + length / 2;
}

static void leave(struct attempt *a)
{
    a->settling++; /* keeps it alive until the end of this function */
    a->has_left = true;
    a->o.left(a->o.context, a, a->o.destination);
    settle_done(a, 0);
}

static void finish(struct attempt *a)
{
    if (a->found == GUARANTEE_DESTINATION_FOUND && a->host_count > 0 &&
        a->blocked_hosts == a->host_count)
        a->found = GUARANTEE_DESTINATION_BLOCKED;
    note_back_off(a);
    for (size_t i = 0; i < a->count; i++)
        if (a->to[i].is_pending)
            settle(a, &a->to[i]);
    leave(a);
}

static void end_at_destination(struct attempt *a, enum guarantee_destination found,
                               const char *detail)
{
    a->found = found;
    snprintf(a->detail, sizeof a->detail, "%s", detail);
    finish(a);
}

/* The destination was unreachable a moment ago: its reason is this recipient's too. */
static bool is_backed_off(struct attempt *a)
{
    struct destination *d = a->o.destination;
    for (size_t i = 0; i < a->count; i++)
        if (a->to[i].recipient.is_urgent)
            return false; /* the administrator wants it tried now */
    if (d->back_off_until_ms == 0)
        return false;
    if (loop_now_ms(a->o.loop) >= d->back_off_until_ms) {
        d->back_off_until_ms = 0;
        return false;
    }
    return true;
}

static void defer_as_backed_off(struct attempt *a)
{
    const struct outcome *reason = &a->o.destination->back_off_reason;
    struct guarantee_host h = {
        .name = reason->mx,
        .address = reason->address,
        .port = reason->port,
        .at = date_now(),
        .contact = GUARANTEE_NO_CONTACT,
        .keywords = "",
        .protocol = "",
        .cipher = "",
        .certificate_error = "",
        .cause = *reason,
    };
    a->is_backed_off = true;
    record_for_all(a, &h);
    finish(a);
}

/* ---- sending ---- */

static void give_up_connection(struct attempt *a, bool may_serve_again)
{
    struct client *client = a->client;
    a->client = NULL;
    if (!client)
        return;
    if (may_serve_again)
        destination_keep_idle(a->o.destination, client, &a->key, a->expires_at,
                              loop_now_ms(a->o.loop));
    else
        client_free(client);
}

/* The judge on this very connection; those it does not pass have their fact. Returns how many may
 * go. */
static size_t gather(struct attempt *a, const struct guarantee_host *facts)
{
    size_t count = 0;
    struct guarantee_host kept = keep_facts(a, facts);
    a->sent = kept;
    for (size_t i = 0; i < a->count; i++) {
        struct addressee *t = &a->to[i];
        if (!is_open(t))
            continue;
        if (guarantee_judge(&t->requirement, facts).kind != GUARANTEE_ACCEPTABLE) {
            record(t, &kept);
            continue;
        }
        a->slots[count] = (struct client_recipient){
            .address = t->recipient.address,
            .orcpt = t->recipient.orcpt,
            .notify = t->recipient.notify,
            .requirement = t->requirement,
        };
        a->slot_of[count++] = t;
    }
    return count;
}

static void send_what_passes(struct attempt *a)
{
    struct guarantee_host facts = client_facts(a->client);
    size_t count = gather(a, &facts);
    if (count == 0) {
        give_up_connection(a, false); /* it can carry nothing of ours: the host need not wait for more */
        next_address(a);
        return;
    }
    const struct queue_message *m = &a->o.message;
    a->transaction = (struct client_transaction){
        .queue = a->o.queue,
        .id = m->id,
        .reverse_path = m->reverse_path,
        .envid = m->envid,
        .ret = m->ret,
        .size = m->size,
        .content_8bit = m->content_8bit,
        .count = count,
        .recipients = a->slots,
    };
    client_send(a->client, &a->transaction);
}

/* A connection kept from before may have been closed at any time by the host: that says nothing
 * about it. */
static bool is_stale_connection(struct attempt *a)
{
    if (!a->is_reused || client_state(a->client) != CLIENT_DEAD)
        return false;
    for (size_t i = 0; i < a->transaction.count; i++) {
        const struct client_recipient *s = &a->slots[i];
        if (s->answer != GUARANTEE_ANSWER_NONE &&
            !(s->answer == GUARANTEE_ANSWER_TEMPORARY && s->reply.code == 0))
            return false;
    }
    return true;
}

/* What the answers stand on: the facts the judge passed the transaction on. A TTL that ends while
 * the host answers changes nothing of what was answered; only what became of the connection is
 * newer. */
static struct guarantee_host facts_of_answers(struct attempt *a)
{
    struct guarantee_host facts = client_facts(a->client);
    struct guarantee_host h = a->sent;
    h.at = facts.at;
    if (facts.contact != GUARANTEE_IN_CONTACT) {
        h.contact = facts.contact;
        h.cause = facts.cause;
    }
    return h;
}

static void take_answer(struct attempt *a, const struct guarantee_host *facts, size_t slot)
{
    struct addressee *t = a->slot_of[slot];
    struct guarantee_host h = *facts;
    h.answer = a->slots[slot].answer;
    h.reply = a->slots[slot].reply;
    bool was_passed = a->slots[slot].verdict.kind == GUARANTEE_ACCEPTABLE;
    if (h.answer == GUARANTEE_ANSWER_NONE && h.contact == GUARANTEE_IN_CONTACT) {
        h.answer = GUARANTEE_ANSWER_TEMPORARY;
        h.reply = was_passed
                      ? outcome_local(status_make(4, 4, 2), "lost connection with %s[%s]", h.name,
                                      h.address)
                      : outcome_local(status_make(4, 4, 2), "%s[%s] was looked up too long ago",
                                      h.name, h.address);
        outcome_set_host(&h.reply, h.name, h.address, h.port);
    }
    record(t, &h);
    bool is_decided = h.answer == GUARANTEE_ANSWER_DELIVERED ||
                      h.answer == GUARANTEE_ANSWER_PERMANENT ||
                      h.answer == GUARANTEE_ANSWER_UNDECIDED;
    if (is_decided)
        settle(a, t);
}

static void client_sent(void *context, struct client *c)
{
    struct attempt *a = context;
    (void)c;
    if (is_stale_connection(a)) {
        a->transaction.count = 0;
        give_up_connection(a, false);
        connect_fresh(a);
        return;
    }
    struct guarantee_host facts = facts_of_answers(a);
    for (size_t i = 0; i < a->transaction.count; i++)
        take_answer(a, &facts, i);
    a->transaction.count = 0;
    give_up_connection(a, true);
    next_address(a);
}

/* After a handshake that failed or was cut, whoever may go in clear gets a new connection that
 * stays clear (GUARANTEE.md section 3). */
static bool may_anybody_go_clear(struct attempt *a, const struct guarantee_host *facts)
{
    bool is_anybody = false;
    if (facts->tls != GUARANTEE_TLS_FAILED && facts->tls != GUARANTEE_TLS_CUT)
        return false;
    if (a->failed_tls != GUARANTEE_TLS_UNTRIED || facts->contact == GUARANTEE_OUR_FAULT)
        return false;
    struct guarantee_host kept = keep_facts(a, facts);
    for (size_t i = 0; i < a->count; i++) {
        struct addressee *t = &a->to[i];
        if (!is_open(t))
            continue;
        if (guarantee_may_go_clear(&t->requirement, facts))
            is_anybody = true;
        else
            record(t, &kept);
    }
    return is_anybody;
}

static void connection_died(struct attempt *a)
{
    struct guarantee_host facts = client_facts(a->client);
    bool was_reused = a->is_reused;
    bool goes_clear = !was_reused && may_anybody_go_clear(a, &facts);
    if (goes_clear) {
        a->failed_tls = facts.tls;
        a->failed_cause = facts.cause;
    } else if (!was_reused) {
        record_for_all(a, &facts);
    }
    give_up_connection(a, false);
    if (was_reused || goes_clear)
        connect_fresh(a);
    else
        next_address(a);
}

static bool does_anybody_want_tls(struct attempt *a, const struct guarantee_host *facts)
{
    for (size_t i = 0; i < a->count; i++)
        if (is_open(&a->to[i]) && guarantee_wants_starttls(&a->to[i].requirement, facts))
            return true;
    return false;
}

static void client_rested(void *context, struct client *c)
{
    struct attempt *a = context;
    struct guarantee_host facts = client_facts(c);
    switch (client_state(c)) {
    case CLIENT_DEAD:
        connection_died(a);
        return;
    case CLIENT_GREETED:
        if (facts.tls == GUARANTEE_TLS_UNTRIED && does_anybody_want_tls(a, &facts)) {
            client_start_tls(c);
            return;
        }
        send_what_passes(a);
        return;
    case CLIENT_SECURED:
        send_what_passes(a);
        return;
    case CLIENT_CONNECTING:
    case CLIENT_SECURING:
    case CLIENT_BUSY:
        break;
    }
    panic("a connection rests in state %d", (int)client_state(c));
}

/* ---- connecting ---- */

static const struct client_handler handler = {.rested = client_rested, .sent = client_sent};

static void fill_tls_options(struct attempt *a, struct tls_client_options *out,
                             struct tlsa_record *records)
{
    const char *host = a->hosts[a->host_index].name;
    bool is_literal =
        a->next_hop.target.kind == NEXT_HOP_LITERAL || a->next_hop.target.kind == NEXT_HOP_UNIX;
    const char *next_hop_domain = a->next_hop.target.name[0] ? a->next_hop.target.name : NULL;
    *out = (struct tls_client_options){.sni = is_literal ? "" : host};
    out->pkix_names[0] = next_hop_domain;
    out->pkix_names[1] = a->is_name_secure && !is_literal ? host : NULL;
    if (a->host.tlsa != DNS_TLSA_USABLE)
        return;
    for (size_t i = 0; i < a->host.record_count; i++) {
        const struct dns_tlsa_record *from = &a->host.records[i];
        records[i].usage = from->usage;
        records[i].selector = from->selector;
        records[i].matching = from->matching;
        records[i].len = from->len;
        memcpy(records[i].data, from->data, sizeof from->data);
    }
    out->tlsa = records;
    out->tlsa_count = a->host.record_count;
    out->sni = a->host.tlsa_base;
    out->dane_names[0] = next_hop_domain;
    out->dane_names[1] = a->host.tlsa_base;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void connect_fresh(struct attempt *a)
{
    struct destination *d = a->o.destination;
    a->is_reused = false;
    if (d->running + d->idle_count > d->limit)
        destination_close_idle(d, INT64_MAX);
    struct client_options o = {
        .loop = a->o.loop,
        .events = a->o.events,
        .to = a->key.to,
        .source = a->key.source,
        .protocol = a->next_hop.protocol,
        .hostname = a->o.settings->hostname,
        .connect_timeout_ms = a->o.settings->connect_timeout_ms,
        .tls = a->o.settings->tls,
        .host = facts_before(a, &a->key.to),
        /* An answer asked for this attempt serves the connection made with it, however short its
           TTL (RFC 1035 section 3.2.1 on 0). */
        .tlsa_expires_at = later(a->host.expires_at, date_now() + FIRST_USE_SECONDS),
    };
    struct tlsa_record *records = xalloc((a->host.record_count + 1) * sizeof *records);
    fill_tls_options(a, &o.tls_options, records);
    a->expires_at = a->host.expires_at;
    a->client = client_new(&o, &handler, a);
    free(records);
    if (a->client)
        return;
    struct guarantee_host facts = o.host;
    facts.contact = GUARANTEE_OUR_FAULT;
    facts.tls = GUARANTEE_TLS_UNTRIED;
    facts.cause = outcome_local(status_make(4, 3, 0), "no resources for a connection");
    record_for_all(a, &facts);
    next_address(a);
}

static bool is_anybody_open(struct attempt *a)
{
    for (size_t i = 0; i < a->count; i++)
        if (is_open(&a->to[i]))
            return true;
    return false;
}

/* Before anything is connected: a host whose TLSA records could not be learnt is not used by those
 * who depend on them. */
static void leave_out_unusable(struct attempt *a, const struct guarantee_host *facts)
{
    struct guarantee_host kept = keep_facts(a, facts);
    for (size_t i = 0; i < a->count; i++) {
        struct addressee *t = &a->to[i];
        if (!is_open(t))
            continue;
        enum guarantee_kind kind = guarantee_judge(&t->requirement, facts).kind;
        if (kind != GUARANTEE_NOT_YET && kind != GUARANTEE_ACCEPTABLE)
            record(t, &kept);
    }
}

/* A kept connection serves only when the judge passes everybody on it: nobody is stopped, or kept
 * from a better connection, by what an earlier message's connection is. */
static struct client *take_fitting_connection(struct attempt *a)
{
    struct client *client =
        destination_take_idle(a->o.destination, &a->key, date_now(), &a->expires_at);
    if (!client)
        return NULL;
    struct guarantee_host facts = client_facts(client);
    for (size_t i = 0; i < a->count; i++) {
        const struct addressee *t = &a->to[i];
        bool is_unfit =
            is_open(t) && (guarantee_judge(&t->requirement, &facts).kind != GUARANTEE_ACCEPTABLE ||
                           (facts.tls == GUARANTEE_TLS_UNTRIED &&
                            guarantee_wants_starttls(&t->requirement, &facts)));
        if (is_unfit) {
            destination_keep_idle(a->o.destination, client, &a->key, a->expires_at,
                                  loop_now_ms(a->o.loop));
            return NULL;
        }
    }
    return client;
}

/* The addresses before this one took so long that what DNS said of the host is over: its TLSA
 * records are asked for anew, the addresses stay in their order. */
static void host_found_again(void *context, const struct dns_host *host)
{
    struct attempt *a = context;
    struct dns_host fresh;
    a->question = NULL;
    dns_host_copy(&fresh, host);
    if (host->status != DNS_DATA) {
        fresh.tlsa = DNS_TLSA_ERROR;
        memcpy(fresh.tlsa_detail, host->detail, sizeof fresh.tlsa_detail);
    }
    free(fresh.addresses);
    fresh.addresses = a->host.addresses;
    fresh.address_count = a->host.address_count;
    fresh.expires_at = later(fresh.expires_at, date_now() + 1);
    free(a->host.records);
    a->host = fresh;
    contact_address(a, &a->host.addresses[a->address_index - 1]);
}

static bool ask_again(struct attempt *a)
{
    a->question = dns_find_host(a->o.dns, a->o.loop, a->hosts[a->host_index].name, a->next_hop.port,
                                a->o.settings->ip_version, host_found_again, a);
    return a->question;
}

static void contact_address(struct attempt *a, const struct net_address *to)
{
    const struct net_address *source =
        delivery_source_for(a->o.settings, a->o.message.reverse_path, to->family == NET_IPV6);
    a->key =
        (struct connection_key){.to = *to, .is_local_route = next_hop_is_local(&a->next_hop, to)};
    if (source && to->family != NET_UNIX)
        a->key.source = *source;
    if (!slice_copy(slice_of(a->hosts[a->host_index].name), a->key.host, sizeof a->key.host))
        panic("host name too long");
    a->failed_tls = GUARANTEE_TLS_UNTRIED;
    if (date_now() >= a->host.expires_at && ask_again(a))
        return;
    struct guarantee_host facts = facts_before(a, to);
    leave_out_unusable(a, &facts);
    if (!is_anybody_open(a)) {
        next_address(a);
        return;
    }
    a->addresses_tried++;
    a->client = take_fitting_connection(a);
    if (!a->client) {
        connect_fresh(a);
        return;
    }
    a->is_reused = true;
    client_set_handler(a->client, &handler, a);
    send_what_passes(a);
}

/* A limit of ours is no word of the destination's: nobody is stopped while a host of it was not
 * tried. */
static void leave_the_rest(struct attempt *a)
{
    struct outcome cause = outcome_local(
        status_make(4, 3, 0), "more than %d addresses; the rest was not tried", ADDRESSES_MAX);
    record_no_contact(a, GUARANTEE_OUR_FAULT, &cause);
    finish(a);
}

static void next_address(struct attempt *a)
{
    for (size_t i = 0; i < a->count; i++)
        a->to[i].is_through_here = false;
    if (a->pending == 0) {
        finish(a);
        return;
    }
    if (a->address_index >= a->host.address_count) {
        a->host_index++;
        next_host(a);
        return;
    }
    if (a->addresses_tried >= ADDRESSES_MAX) {
        leave_the_rest(a);
        return;
    }
    contact_address(a, &a->host.addresses[a->address_index++]);
}

/* ---- hosts ---- */

static void shuffle(void *base, size_t count, size_t size)
{
    char *bytes = base;
    char swap[sizeof(struct dns_mx_host)];
    if (size > sizeof swap)
        panic("shuffle of %zu octets", size);
    for (size_t i = count; i > 1; i--) {
        uint32_t random = 0;
        if (!random_bytes(&random, sizeof random))
            return; /* any order is a legal order */
        size_t k = random % i;
        memcpy(swap, bytes + k * size, size);
        memcpy(bytes + k * size, bytes + (i - 1) * size, size);
        memcpy(bytes + (i - 1) * size, swap, size);
    }
}

/* Hosts of our own preference and worse would send the mail back to us (RFC 5321 section 5.1). */
static void cut_at_ourselves(struct attempt *a)
{
    unsigned own = a->hosts[a->host_index].preference;
    size_t first = a->host_index;
    while (first > 0 && a->hosts[first - 1].preference == own)
        first--;
    /* Equal hosts tried before us stay tried; what counts is whether anything better than us
     * exists. */
    bool was_any_tried = a->host_index > first;
    a->host_count = a->host_index;
    if (first == 0 && !was_any_tried) {
        a->found = GUARANTEE_DESTINATION_OURSELVES;
        finish(a);
        return;
    }
    next_host(a);
}

/* Keeps the addresses that may be connected to. Returns false when one of them is ourselves. */
static bool filter_addresses(struct attempt *a)
{
    struct dns_host *h = &a->host;
    size_t kept = 0;
    for (size_t i = 0; i < h->address_count; i++) {
        net_address_unmap(&h->addresses[i]);
        h->addresses[i].port = a->next_hop.port;
        if (!a->next_hop.route && delivery_is_own(a->o.settings, &h->addresses[i]))
            return false;
        if (!a->next_hop.route && delivery_is_blocked(a->o.settings, &h->addresses[i]))
            continue;
        h->addresses[kept++] = h->addresses[i];
    }
    if (kept == 0 && h->address_count > 0) {
        struct outcome cause =
            outcome_local(status_make(5, 4, 6), "all addresses of %s are blocked by configuration",
                          a->hosts[a->host_index].name);
        a->blocked_hosts++;
        record_no_contact(a, GUARANTEE_NO_CONTACT, &cause);
    }
    h->address_count = kept;
    return true;
}

static void use_host(struct attempt *a)
{
    a->address_index = 0;
    if (!filter_addresses(a)) {
        cut_at_ourselves(a);
        return;
    }
    shuffle(a->host.addresses, a->host.address_count, sizeof *a->host.addresses);
    next_address(a);
}

/* Why the host has no address to connect to. */
static void host_without_address(struct attempt *a)
{
    const struct dns_host *h = &a->host;
    const char *name = a->hosts[a->host_index].name;
    bool is_denied = h->status == DNS_NODATA || h->status == DNS_NXDOMAIN;
    if (is_denied && a->is_implicit_mx) {
        end_at_destination(a, GUARANTEE_DESTINATION_NO_SUCH, "");
        return;
    }
    struct outcome cause =
        is_denied ? outcome_local(status_make(4, 4, 4), "Host %s has no address", name)
                  : outcome_local(status_make(4, 4, 3), "Address look-up for %s failed: %s", name,
                                  h->detail[0] ? h->detail : "no answer");
    if (h->status == DNS_OUR_FAULT)
        cause.status = status_make(4, 3, 0);
    outcome_set_host(&cause, name, NULL, 0);
    record_no_contact(a, h->status == DNS_OUR_FAULT ? GUARANTEE_OUR_FAULT : GUARANTEE_NO_CONTACT,
                      &cause);
    a->host_index++;
    next_host(a);
}

static void host_found(void *context, const struct dns_host *host)
{
    struct attempt *a = context;
    a->question = NULL;
    dns_host_clear(&a->host);
    dns_host_copy(&a->host, host);
    destination_keep_host(a->o.destination, a->hosts[a->host_index].name, host, date_now());
    if (host->status == DNS_DATA)
        use_host(a);
    else
        host_without_address(a);
}

static void question_failed(struct attempt *a)
{
    end_at_destination(a, GUARANTEE_DESTINATION_OUR_FAULT, "the resolver takes no question");
}

static void next_host(struct attempt *a)
{
    for (size_t i = 0; i < a->count; i++)
        a->to[i].is_through_here = false;
    if (a->host_index >= a->host_count) {
        finish(a);
        return;
    }
    const char *name = a->hosts[a->host_index].name;
    if (!a->next_hop.route && strcasecmp(name, a->o.settings->hostname) == 0) {
        cut_at_ourselves(a);
        return;
    }
    const struct dns_host *known = destination_host(a->o.destination, name, date_now());
    if (known) {
        dns_host_clear(&a->host);
        dns_host_copy(&a->host, known);
        use_host(a);
        return;
    }
    a->question = dns_find_host(a->o.dns, a->o.loop, name, a->next_hop.port,
                                a->o.settings->ip_version, host_found, a);
    if (!a->question)
        question_failed(a);
}

/* ---- the destination ---- */

/* A host that needs no MX look-up: a configured name, an address, a socket. */
static void use_single_host(struct attempt *a, const char *name)
{
    a->hosts = xalloc(sizeof *a->hosts);
    a->host_count = 1;
    if (!slice_copy(slice_of(name), a->hosts[0].name, sizeof a->hosts[0].name))
        panic("host name too long");
}

static void use_address(struct attempt *a)
{
    char text[NET_ADDRESS_SIZE];
    use_single_host(a, net_address_text(&a->next_hop.target.address, text));
    a->host.addresses = xalloc(sizeof *a->host.addresses);
    a->host.addresses[0] = a->next_hop.target.address;
    a->host.address_count = 1;
    a->host.expires_at = INT64_MAX;
    use_host(a);
}

static int compare_preference(const void *x, const void *y)
{
    unsigned a = ((const struct dns_mx_host *)x)->preference;
    unsigned b = ((const struct dns_mx_host *)y)->preference;
    return (a > b) - (a < b);
}

static void order_hosts(struct attempt *a)
{
    qsort(a->hosts, a->host_count, sizeof *a->hosts, compare_preference);
    for (size_t from = 0, to; from < a->host_count; from = to) {
        for (to = from + 1;
             to < a->host_count && a->hosts[to].preference == a->hosts[from].preference; to++)
            continue;
        shuffle(&a->hosts[from], to - from, sizeof *a->hosts);
    }
}

static void use_mx(struct attempt *a, const struct dns_mx *mx)
{
    a->is_name_secure = mx->security == DNS_SECURE;
    a->is_implicit_mx = mx->is_implicit;
    a->host_count = mx->count;
    a->hosts = xalloc((mx->count + 1) * sizeof *a->hosts);
    memcpy(a->hosts, mx->hosts, mx->count * sizeof *a->hosts);
    order_hosts(a);
    next_host(a);
}

static void follow_mx(struct attempt *a, const struct dns_mx *mx)
{
    switch (mx->status) {
    case DNS_DATA:
    case DNS_NODATA:
        if (mx->is_null)
            end_at_destination(a, GUARANTEE_DESTINATION_NULL_MX, "");
        else if (mx->count == 0)
            end_at_destination(a, GUARANTEE_DESTINATION_LOOKUP_FAILED, "no MX record names a host");
        else
            use_mx(a, mx);
        return;
    case DNS_NXDOMAIN:
        end_at_destination(a, GUARANTEE_DESTINATION_NO_SUCH, "");
        return;
    case DNS_FAILED:
    case DNS_BOGUS:
        end_at_destination(a, GUARANTEE_DESTINATION_LOOKUP_FAILED, mx->detail);
        return;
    case DNS_OUR_FAULT:
        end_at_destination(a, GUARANTEE_DESTINATION_OUR_FAULT, mx->detail);
        return;
    }
    panic("no such answer: %d", (int)mx->status);
}

static void mx_found(void *context, const struct dns_mx *mx)
{
    struct attempt *a = context;
    a->question = NULL;
    destination_keep_mx(a->o.destination, mx, date_now());
    follow_mx(a, mx);
}

static void resolve(struct attempt *a)
{
    const struct delivery_next_hop *target = &a->next_hop.target;
    const struct dns_mx *known;
    switch (target->kind) {
    case NEXT_HOP_LITERAL:
    case NEXT_HOP_UNIX:
        use_address(a);
        return;
    case NEXT_HOP_HOST:
        a->is_name_secure = true;
        use_single_host(a, target->name);
        next_host(a);
        return;
    case NEXT_HOP_MX:
        known = destination_mx(a->o.destination, date_now());
        if (known) {
            follow_mx(a, known);
            return;
        }
        a->question = dns_find_mx(a->o.dns, a->o.loop, target->name, mx_found, a);
        if (!a->question)
            question_failed(a);
        return;
    }
    panic("no such next hop: %d", (int)target->kind);
}

static void begin(void *argument)
{
    struct attempt *a = argument;
    if (a->is_aborted)
        leave(a);
    else if (is_backed_off(a))
        defer_as_backed_off(a);
    else
        resolve(a);
}

/* Our own notices go over TLS where they can and are never stopped: a notice nobody gets would undo
 * the promise that every stop is heard of. Those that stand for guarded mail carry none of its
 * content (bounce/), so nothing is lost by that. */
static struct guarantee_requirement required_of(const struct attempt *a,
                                                const struct queue_recipient *r)
{
    const struct queue_message *m = &a->o.message;
    enum guarantee_policy policy = delivery_policy_for(a->o.settings, a->o.domain);
    enum guarantee_policy route = a->next_hop.route ? a->next_hop.route->tls : GUARANTEE_POLICY_MAY;
    struct guarantee_requirement required =
        guarantee_required(r->level, r->exemption, m->requiretls, policy, route);
    if (m->origin == ORIGIN_NOTICE) {
        required.policy = GUARANTEE_POLICY_MAY;
        required.route = GUARANTEE_POLICY_MAY;
        required.ignores_promises = m->is_redacted;
    }
    return required;
}

struct attempt *attempt_new(const struct attempt_options *o)
{
    struct attempt *a = xalloc(sizeof *a);
    a->o = *o;
    delivery_settings_ref(a->o.settings);
    arena_init(&a->arena);
    a->o.domain = arena_copy(&a->arena, slice_of(o->domain));
    next_hop_for(a->o.settings, a->o.domain, &a->next_hop);
    a->count = a->pending = o->count;
    a->to = xalloc(o->count * sizeof *a->to);
    a->slots = xalloc(o->count * sizeof *a->slots);
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): the elements are pointers */
    a->slot_of = xalloc(o->count * sizeof *a->slot_of);
    for (size_t i = 0; i < o->count; i++) {
        a->to[i].recipient = o->recipients[i];
        a->to[i].requirement = required_of(a, &a->to[i].recipient);
        a->to[i].is_pending = true;
    }
    free(o->recipients);
    a->o.recipients = NULL;
    loop_post(a->o.loop, begin, a);
    return a;
}

/* LMTP answers one recipient after the other: what was read is kept, or those recipients would get
 * the message twice. */
static void keep_answers_read(struct attempt *a)
{
    if (a->transaction.count == 0)
        return;
    struct guarantee_host facts = facts_of_answers(a);
    for (size_t i = 0; i < a->transaction.count; i++) {
        enum guarantee_answer answer = a->slots[i].answer;
        if (answer == GUARANTEE_ANSWER_DELIVERED || answer == GUARANTEE_ANSWER_PERMANENT)
            take_answer(a, &facts, i);
    }
}

void attempt_abort(struct attempt *a)
{
    if (a->is_aborted || a->has_left)
        return;
    bool has_begun = a->question || a->client || a->host_count > 0;
    a->is_aborted = true;
    if (a->question)
        dns_cancel(a->question);
    a->question = NULL;
    keep_answers_read(a);
    give_up_connection(a, false);
    for (size_t i = 0; i < a->count; i++) {
        if (a->to[i].is_pending)
            queue_give_back(a->o.queue, a->to[i].recipient.id, a->to[i].recipient.index);
        a->to[i].is_pending = false;
    }
    a->pending = 0;
    if (has_begun)
        leave(a); /* else begin() is still to come, and leaves */
}
