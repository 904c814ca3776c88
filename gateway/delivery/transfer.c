/* One transaction: MAIL to the end of data, and the answers of the recipients. */
#include "gateway/delivery/commands.h"
#include "gateway/delivery/step.h"

static size_t window(const struct delivery_session *s)
{
    return s->ehlo.pipelining ? PIPELINE_WINDOW : 1;
}

static bool say_step(struct delivery_session *s, size_t step)
{
    /* What was offered in clear is no offer, on a local route neither (RFC 8689 section 2). */
    if (step == 0)
        return delivery_say_mail(&s->out, &s->ehlo, s->t, s->needs_requiretls && s->is_secure);
    if (step <= s->party_count)
        return delivery_say_rcpt(&s->out, &s->ehlo, s->parties[step - 1].recipient);
    return buffer_append_text(&s->out, "DATA\r\n");
}

/* Says as much of MAIL, RCPT ... DATA as may stand unanswered, in one write (RFC 2920). */
enum state transfer_say_envelope(struct delivery_session *s)
{
    bool is_complete = true;
    if (s->is_mail_refused || s->said == s->party_count + 2)
        return STATE_ENVELOPE;
    while (is_complete && s->said < s->party_count + 2 && s->said - s->heard < window(s))
        is_complete = say_step(s, s->said++);
    return s->out.len > 0 || !is_complete ? step_say_out(s, is_complete, STATE_ENVELOPE)
                                          : STATE_ENVELOPE;
}

/* The answer that a reply other than the one hoped for means. 2xx and 3xx where they make no sense
 * leave the message where it is. */
static enum guarantee_answer answer_of(unsigned code)
{
    return code / 100 == 5 ? GUARANTEE_ANSWER_PERMANENT : GUARANTEE_ANSWER_TEMPORARY;
}

static struct outcome refusal(const struct delivery_session *s, const struct reply *r)
{
    if (r->code / 100 == 2)
        return step_at_host(s, outcome_local(status_make(4, 5, 0), "unexpected reply %u while %s",
                                             r->code, step_doing(s)));
    return step_replied(s, r);
}

static void mail_reply(struct delivery_session *s, const struct reply *r)
{
    if (r->code / 100 == 2)
        return;
    struct outcome why = refusal(s, r);
    s->is_mail_refused = true;
    step_answer_all(s, answer_of(r->code), &why);
}

/* RFC 5321 section 4.5.3.1.10: 552 for too many recipients is to be taken as 452. One that says by
 * its enhanced code that it is about the mailbox or the message is what it seems. */
static bool is_too_many(const struct delivery_session *s, const struct reply *r)
{
    struct status said = reply_status(r);
    return r->code == 552 && s->accepted_count > 0 &&
           (said.class == 0 || status_equal(said, status_make(5, 5, 3)));
}

static void rcpt_reply(struct delivery_session *s, struct party *p, const struct reply *r)
{
    if (r->code / 100 == 2) {
        p->is_accepted = true;
        s->accepted_count++;
        return;
    }
    struct outcome why = refusal(s, r);
    enum guarantee_answer a = answer_of(r->code);
    if (is_too_many(s, r)) {
        a = GUARANTEE_ANSWER_TEMPORARY;
        why.status = status_make(4, 5, 3);
    }
    step_answer(s, p, a, &why);
}

static enum state data_reply(struct delivery_session *s, const struct reply *r)
{
    if (r->code == 354 && s->accepted_count == 0)
        return STATE_LONE_DOT;
    /* MAIL was refused, yet recipients are accepted and data is wanted: a lone dot could arrive as
     * an empty message. Only the end of the connection is safe. */
    if (r->code == 354 && s->is_mail_refused) {
        s->must_abort = true;
        return STATE_DEAD;
    }
    if (r->code == 354)
        return STATE_CONTENT;
    struct outcome why = refusal(s, r);
    step_answer_all(s, answer_of(r->code), &why);
    return STATE_RESET;
}

/* 421 ends the transaction wherever it stands: what has no answer yet gets this one. */
static enum state goodbye(struct delivery_session *s, const struct reply *r)
{
    struct outcome why = step_replied(s, r);
    step_set_cause(s, &why);
    s->must_abort = s->state == STATE_CONTENT;
    /* "Idle for too long", said before MAIL arrived on a kept connection, is no word about this
     * mail. */
    if (s->transactions == 0 || s->state != STATE_ENVELOPE || s->heard > 1)
        step_answer_all(s, GUARANTEE_ANSWER_TEMPORARY, &why);
    return STATE_DEAD;
}

enum state transfer_envelope_reply(struct delivery_session *s, const struct reply *r)
{
    size_t step = s->heard++;
    if (step_says_goodbye(r))
        return goodbye(s, r);
    if (step == s->party_count + 1)
        return data_reply(s, r);
    if (step == 0)
        mail_reply(s, r);
    else
        rcpt_reply(s, &s->parties[step - 1], r);
    bool is_hopeless =
        s->is_mail_refused || (s->heard == s->party_count + 1 && s->accepted_count == 0);
    return is_hopeless && s->said == s->heard ? STATE_RESET : STATE_ENVELOPE;
}

enum state transfer_send_content(struct delivery_session *s)
{
    enum delivery_content_step step = s->port->content(s->context, &s->out);
    if (step == DELIVERY_CONTENT_FAILED) {
        buffer_clear(&s->out);
        return step_fail_ourselves(s, "the message cannot be read from the queue");
    }
    return step_say_out(s, true, step == DELIVERY_CONTENT_END ? STATE_END_OF_DATA : STATE_CONTENT);
}

/* Nobody asked yet: the host gives up on the message in its midst. The data is never ended then. */
enum state transfer_early_reply(struct delivery_session *s, const struct reply *r)
{
    if (step_says_goodbye(r))
        return goodbye(s, r);
    struct outcome why = refusal(s, r);
    step_set_cause(s, &why);
    step_answer_all(s, answer_of(r->code), &why);
    s->must_abort = true;
    return STATE_DEAD;
}

static struct party *next_accepted(struct delivery_session *s)
{
    while (s->data_heard < s->party_count && !s->parties[s->data_heard].is_accepted)
        s->data_heard++;
    return s->data_heard < s->party_count ? &s->parties[s->data_heard] : NULL;
}

static void take_answer(struct delivery_session *s, struct party *p, const struct reply *r)
{
    struct outcome o = step_replied(s, r);
    step_answer(s, p, r->code / 100 == 2 ? GUARANTEE_ANSWER_DELIVERED : answer_of(r->code), &o);
}

/* The answers are filled in here and now: whatever becomes of the connection, a 250 that was read
 * is never followed by a second delivery. */
enum state transfer_end_of_data_reply(struct delivery_session *s, const struct reply *r)
{
    s->is_closing |= step_says_goodbye(r);
    for (struct party *p; (p = next_accepted(s)) != NULL;) {
        take_answer(s, p, r);
        s->data_heard++;
        if (s->o.protocol == CLIENT_LMTP && next_accepted(s))
            return STATE_END_OF_DATA; /* RFC 2033: one reply for each */
    }
    if (s->is_closing)
        return STATE_DEAD;
    return r->code / 100 == 2 ? step_rest(s) : STATE_RESET;
}

enum state transfer_say_lone_dot(struct delivery_session *s)
{
    return step_say(s, ".", "");
}

enum state transfer_lone_dot_reply(struct delivery_session *s, const struct reply *r)
{
    (void)s;
    return step_says_goodbye(r) ? STATE_DEAD : STATE_RESET;
}

enum state transfer_say_rset(struct delivery_session *s)
{
    return step_say(s, "RSET", "");
}

enum state transfer_rset_reply(struct delivery_session *s, const struct reply *r)
{
    return r->code / 100 == 2 ? step_rest(s) : STATE_DEAD;
}
