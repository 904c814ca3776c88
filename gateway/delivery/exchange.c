#include <stdlib.h>
#include <string.h>

#include "gateway/delivery/inside.h"
#include "mail/date.h"

static void connect_fresh(struct attempt *a);

void attempt_give_up_connection(struct attempt *a, bool may_serve_again)
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
    struct guarantee_host kept = attempt_keep_facts(a, facts);
    a->sent = kept;
    for (size_t i = 0; i < a->count; i++) {
        struct addressee *t = &a->to[i];
        if (!addressee_is_open(t))
            continue;
        if (guarantee_judge(&t->requirement, facts).kind != GUARANTEE_ACCEPTABLE) {
            attempt_record(t, &kept);
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

/* What REQUIRETLS says of returned content, RET=HDRS says to a host that takes the message without
 * REQUIRETLS: only a local route may (RFC 8689 section 5, GUARANTEE.md section 4). */
static enum ret ret_for(const struct queue_message *m, const struct guarantee_host *facts)
{
    return m->requiretls && !facts->offers_requiretls ? RET_HDRS : m->ret;
}

static void send_what_passes(struct attempt *a)
{
    struct guarantee_host facts = client_facts(a->client);
    size_t count = gather(a, &facts);
    if (count == 0) {
        attempt_give_up_connection(
            a, false); /* it can carry nothing of ours: the host need not wait for more */
        attempt_next_address(a);
        return;
    }
    const struct queue_message *m = &a->o.message;
    a->transaction = (struct client_transaction){
        .queue = a->o.queue,
        .id = m->id,
        .reverse_path = m->reverse_path,
        .envid = m->envid,
        .ret = ret_for(m, &facts),
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

/* It may have taken minutes to die: what was learnt of the host and its policy may be over. */
static void contact_afresh(struct attempt *a)
{
    a->must_be_fresh = true;
    a->was_policy_renewed = false;
    attempt_contact_again(a);
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
    attempt_record(t, &h);
    bool is_decided = h.answer == GUARANTEE_ANSWER_DELIVERED ||
                      h.answer == GUARANTEE_ANSWER_PERMANENT ||
                      h.answer == GUARANTEE_ANSWER_UNDECIDED;
    if (is_decided)
        attempt_settle(a, t);
}

static void client_sent(void *context, struct client *c)
{
    struct attempt *a = context;
    (void)c;
    if (is_stale_connection(a)) {
        a->transaction.count = 0;
        attempt_give_up_connection(a, false);
        contact_afresh(a);
        return;
    }
    struct guarantee_host facts = facts_of_answers(a);
    for (size_t i = 0; i < a->transaction.count; i++)
        take_answer(a, &facts, i);
    a->transaction.count = 0;
    attempt_give_up_connection(a, true);
    attempt_next_address(a);
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
    struct guarantee_host kept = attempt_keep_facts(a, facts);
    for (size_t i = 0; i < a->count; i++) {
        struct addressee *t = &a->to[i];
        if (!addressee_is_open(t))
            continue;
        if (guarantee_may_go_clear(&t->requirement, facts))
            is_anybody = true;
        else
            attempt_record(t, &kept);
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
        attempt_record_for_all(a, &facts);
    }
    attempt_give_up_connection(a, false);
    if (was_reused)
        contact_afresh(a);
    else if (goes_clear)
        connect_fresh(a);
    else
        attempt_next_address(a);
}

static bool does_anybody_want_tls(struct attempt *a, const struct guarantee_host *facts)
{
    for (size_t i = 0; i < a->count; i++)
        if (addressee_is_open(&a->to[i]) && guarantee_wants_starttls(&a->to[i].requirement, facts))
            return true;
    return false;
}

static void client_rested(void *context, struct client *c)
{
    struct attempt *a = context;
    struct guarantee_host facts = client_facts(c);
    switch (client_state(c)) {
    case CLIENT_DEAD:
        attempt_learn(a, &facts);
        attempt_count(a, &facts);
        connection_died(a);
        return;
    case CLIENT_GREETED:
        if (facts.tls == GUARANTEE_TLS_UNTRIED && does_anybody_want_tls(a, &facts)) {
            client_start_tls(c);
            return;
        }
        attempt_learn(a, &facts);
        attempt_count(a, &facts);
        send_what_passes(a);
        return;
    case CLIENT_SECURED:
        attempt_learn(a, &facts);
        if (attempt_doubts_policy(a, &facts)) {
            attempt_give_up_connection(a, false);
            return;
        }
        attempt_count(a, &facts);
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

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void no_connection(struct attempt *a)
{
    struct guarantee_host facts = attempt_facts_before(a, &a->key.to);
    facts.contact = GUARANTEE_OUR_FAULT;
    facts.tls = GUARANTEE_TLS_UNTRIED;
    facts.cause = outcome_local(status_make(4, 3, 0), "no resources for a connection");
    attempt_record_for_all(a, &facts);
    attempt_next_address(a);
}

static void connect_fresh(struct attempt *a)
{
    struct destination *d = a->o.destination;
    a->is_reused = false;
    if (d->running + d->idle_count > d->limit)
        destination_close_idle(d, INT64_MAX);
    struct contact c = attempt_contact(a);
    struct contact_way way = {
        .loop = a->o.loop, .events = a->o.events, .to = &a->key.to, .source = &a->key.source};
    a->expires_at = earlier(a->host.expires_at, attempt_policy_until(a));
    a->client = contact_open(&c, &way, &handler, a);
    if (!a->client)
        no_connection(a);
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
        bool is_unfit = addressee_is_open(t) &&
                        (guarantee_judge(&t->requirement, &facts).kind != GUARANTEE_ACCEPTABLE ||
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

void attempt_connect(struct attempt *a)
{
    a->client = a->must_be_fresh ? NULL : take_fitting_connection(a);
    if (!a->client) {
        connect_fresh(a);
        return;
    }
    a->is_reused = true;
    client_set_handler(a->client, &handler, a);
    send_what_passes(a);
}

/* LMTP answers one recipient after the other: what was read is kept, or those recipients would get
 * the message twice. */
void attempt_keep_answers_read(struct attempt *a)
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
