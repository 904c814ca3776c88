/* From the greeting to EHLO under TLS: the facts about the host are learnt here. */
#include "gateway/delivery/step.h"

#include <string.h>

static enum state no_contact(struct delivery_session *s, const struct reply *r)
{
    struct outcome why = step_replied(s, r);
    s->facts.contact = GUARANTEE_NO_CONTACT;
    step_set_cause(s, &why);
    s->is_polite = !step_says_goodbye(r);
    return STATE_DEAD;
}

enum state greet_greeting_reply(struct delivery_session *s, const struct reply *r)
{
    return r->code / 100 == 2 ? STATE_EHLO : no_contact(s, r);
}

enum state greet_say_ehlo(struct delivery_session *s)
{
    return step_say(s, s->o.protocol == CLIENT_LMTP ? "LHLO " : "EHLO ", s->o.hostname);
}

static bool is_ehlo_unknown(unsigned code)
{
    return code == 500 || code == 502 || code == 504 || code == 550;
}

/* A connection that follows a handshake that failed or was cut keeps that fact, whatever is offered
 * now: it is marked clear for life. */
static enum state be_in_contact(struct delivery_session *s)
{
    s->facts.contact = GUARANTEE_IN_CONTACT;
    if (s->facts.tls == GUARANTEE_TLS_UNTRIED && !s->ehlo.starttls)
        s->facts.tls = GUARANTEE_TLS_NOT_OFFERED;
    return STATE_GREETED;
}

enum state greet_ehlo_reply(struct delivery_session *s, const struct reply *r)
{
    if (is_ehlo_unknown(r->code) && s->o.protocol == CLIENT_SMTP)
        return STATE_HELO;
    if (r->code / 100 != 2)
        return no_contact(s, r);
    ehlo_read(r, &s->ehlo);
    /* What was offered before TLS is kept as evidence for the notice, and for nothing else. */
    memcpy(s->keywords, s->ehlo.keywords, sizeof s->keywords);
    return be_in_contact(s);
}

enum state greet_say_helo(struct delivery_session *s)
{
    return step_say(s, "HELO ", s->o.hostname);
}

enum state greet_helo_reply(struct delivery_session *s, const struct reply *r)
{
    if (r->code / 100 != 2)
        return no_contact(s, r);
    return be_in_contact(s);
}

enum state greet_say_starttls(struct delivery_session *s)
{
    return step_say(s, "STARTTLS", "");
}

enum state greet_starttls_reply(struct delivery_session *s, const struct reply *r)
{
    if (r->code != 220) {
        struct outcome why = step_replied(s, r);
        s->facts.tls = r->code == 454 ? GUARANTEE_TLS_TRY_LATER : GUARANTEE_TLS_REFUSED;
        step_set_cause(s, &why);
        return step_says_goodbye(r) ? STATE_DEAD : STATE_GREETED;
    }
    /* Bytes behind the 220 came in the clear; read after the handshake they would pass for
     * protected ones (CVE-2011-0411 and its kin). */
    if (s->behind > 0) {
        struct outcome why =
            step_at_host(s, outcome_local(status_make(4, 7, 5),
                                          "bytes in the clear behind the reply to STARTTLS"));
        s->facts.tls = GUARANTEE_TLS_FAILED;
        step_set_cause(s, &why);
        s->must_abort = true;
        return STATE_DEAD;
    }
    return STATE_HANDSHAKE;
}

enum state greet_start_handshake(struct delivery_session *s)
{
    struct tls_failure failure = {.text = ""};
    if (s->port->start_tls(s->context, &failure))
        return STATE_HANDSHAKE;
    return step_fail_ourselves(s, failure.text[0] ? failure.text : "the TLS engine failed");
}

enum state greet_ehlo_again_reply(struct delivery_session *s, const struct reply *r)
{
    if (r->code / 100 != 2) {
        struct outcome why = step_replied(s, r);
        loss_before_ehlo_again(s, LOSS_GONE, &why);
        s->is_polite = !step_says_goodbye(r);
        return STATE_DEAD;
    }
    ehlo_read(r, &s->ehlo);
    s->facts.offers_requiretls = s->ehlo.requiretls;
    return STATE_SECURED;
}
