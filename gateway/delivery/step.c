/* What all steps share: words, saying, and what a loss means in each state. */
#include "gateway/delivery/step.h"

struct outcome step_at_host(const struct delivery_session *s, struct outcome o)
{
    outcome_set_host(&o, s->facts.name, s->facts.address, s->facts.port);
    return o;
}

struct outcome step_replied(const struct delivery_session *s, const struct reply *r)
{
    return step_at_host(s, outcome_reply(r->code, buffer_slice(&r->text)));
}

/* 421 may come at any time, and then the host closes (RFC 5321 section 3.8). */
bool step_says_goodbye(const struct reply *r)
{
    return r->code == 421;
}

void step_set_cause(struct delivery_session *s, const struct outcome *why)
{
    s->facts.cause = *why;
}

void loss_before_tls(struct delivery_session *s, enum loss loss, const struct outcome *why)
{
    /* A host that has refused STARTTLS and hangs up has said what it had to say. */
    if (loss == LOSS_GONE && s->state == STATE_GREETED && s->facts.tls != GUARANTEE_TLS_UNTRIED &&
        s->facts.tls != GUARANTEE_TLS_NOT_OFFERED)
        return;
    s->facts.contact = GUARANTEE_NO_CONTACT;
    step_set_cause(s, why);
}

void loss_in_starttls(struct delivery_session *s, enum loss loss, const struct outcome *why)
{
    if (loss == LOSS_GONE)
        s->facts.tls = GUARANTEE_TLS_CUT;
    else if (s->state == STATE_HANDSHAKE)
        s->facts.tls = GUARANTEE_TLS_FAILED;
    else
        s->facts.contact = GUARANTEE_NO_CONTACT;
    step_set_cause(s, why);
}

void loss_at_rest(struct delivery_session *s, enum loss loss, const struct outcome *why)
{
    if (s->is_secure)
        step_set_cause(s, why);
    else
        loss_before_tls(s, loss, why);
}

void step_answer(struct delivery_session *s, struct party *p, enum guarantee_answer a,
                 const struct outcome *o)
{
    struct client_recipient *r = p->recipient;
    if (r->answer != GUARANTEE_ANSWER_NONE)
        return; /* the first word about a recipient stands */
    r->answer = a;
    r->reply = *o;
    r->is_relayed = a == GUARANTEE_ANSWER_DELIVERED && !s->ehlo.dsn;
}

void step_answer_all(struct delivery_session *s, enum guarantee_answer a, const struct outcome *o)
{
    for (size_t i = 0; i < s->party_count; i++)
        step_answer(s, &s->parties[i], a, o);
}

void loss_before_end_of_data(struct delivery_session *s, enum loss loss, const struct outcome *why)
{
    (void)loss;
    step_set_cause(s, why);
    s->must_abort = true;
    /* A kept connection that was closed while it rested: nothing was said for these recipients, and
     * nothing but commands was sent. A new connection may carry them. */
    if (s->transactions > 0 && s->heard == 0)
        return;
    step_answer_all(s, GUARANTEE_ANSWER_TEMPORARY, why);
}

/* RFC 1047: the host may have taken the message. */
void loss_after_end_of_data(struct delivery_session *s, enum loss loss, const struct outcome *why)
{
    (void)loss;
    step_set_cause(s, why);
    step_answer_all(s, GUARANTEE_ANSWER_UNDECIDED, why);
}

/* TLS is there and the host will not talk: temporary for all, also for who needs what the second
 * EHLO would have offered. */
void loss_before_ehlo_again(struct delivery_session *s, enum loss loss, const struct outcome *why)
{
    (void)loss;
    step_set_cause(s, why);
    s->facts.answer = GUARANTEE_ANSWER_TEMPORARY;
    s->facts.reply = *why;
}

/* Nobody's answer depends on it. */
void loss_later(struct delivery_session *s, enum loss loss, const struct outcome *why)
{
    (void)loss;
    step_set_cause(s, why);
}

enum state step_say_out(struct delivery_session *s, bool is_complete, enum state next)
{
    bool is_said = is_complete && s->port->send(s->context, buffer_slice(&s->out));
    buffer_clear(&s->out);
    return is_said ? next : step_fail_ourselves(s, "out of memory while sending");
}

enum state step_say(struct delivery_session *s, const char *verb, const char *argument)
{
    bool is_complete = buffer_printf(&s->out, "%s%s\r\n", verb, argument);
    return step_say_out(s, is_complete, s->state);
}
