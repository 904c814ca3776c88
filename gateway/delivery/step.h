/* step.h - inside the session: its states, and the steps that its table names.
 *
 * Private to session.c, step.c, greet.c and transfer.c. A step looks at the session and what was
 * said, and returns the next state; only session.c enters it. */
#ifndef GATEWAY_DELIVERY_STEP_H
#define GATEWAY_DELIVERY_STEP_H

#include "gateway/delivery/session.h"

enum {
    /* Replies awaited at once under PIPELINING: bounds what one write must hold. */
    PIPELINE_WINDOW = 100,
    SAY_MAX = 256 * 1024,
};

enum state {
    STATE_CONNECTING,
    STATE_GREETING,
    STATE_EHLO,
    STATE_HELO,
    STATE_GREETED,
    STATE_STARTTLS,
    STATE_HANDSHAKE,
    STATE_EHLO_AGAIN,
    STATE_SECURED,
    STATE_PASSED_OVER,
    STATE_ENVELOPE,
    STATE_CONTENT,
    STATE_END_OF_DATA,
    STATE_LONE_DOT,
    STATE_RESET,
    STATE_QUIT,
    STATE_DEAD,
    STATE_COUNT,
};

enum loss {
    LOSS_GONE,     /* closed, reset, timed out */
    LOSS_NONSENSE, /* what came is no SMTP, or nobody asked for it */
};

/* A recipient that the judge has passed. */
struct party {
    struct client_recipient *recipient; /* borrowed from the transaction */
    bool is_accepted;                   /* RCPT was answered 2xx */
};

struct delivery_session {
    struct delivery_session_options o;
    const struct delivery_session_port *port; /* borrowed */
    void *context;
    enum state state;
    struct reply_parser parser;
    struct buffer out; /* owned: what is being said */
    size_t behind;     /* octets that came behind the reply being read */

    struct ehlo_facts ehlo; /* of the EHLO in force; nothing from before TLS survives it */
    struct guarantee_host facts;
    bool is_secure;
    char keywords[sizeof(((struct ehlo_facts *)0)->keywords)]; /* facts point to these six */
    char protocol[16];
    char cipher[64];
    char certificate_error[sizeof(((struct tls_facts *)0)->dane_error)];
    char key_digest[sizeof(((struct tls_facts *)0)->key_digest)];
    char certificate_digest[sizeof(((struct tls_facts *)0)->certificate_digest)];

    struct client_transaction *t; /* borrowed; NULL: none */
    struct party *parties;        /* owned */
    size_t party_count;
    size_t accepted_count;
    bool needs_requiretls;
    bool is_mail_refused;
    bool is_closing; /* 421 was read */
    /* The envelope is a fixed row of steps: MAIL is 0, RCPT of party i is i + 1, DATA is the last.
     * What was said and not yet heard is the queue of awaited replies. */
    size_t said, heard;
    size_t data_heard; /* LMTP: parties up to here have their reply to the end of data */

    unsigned transactions;
    bool is_polite;     /* QUIT before closing */
    bool must_abort;    /* bytes that are still unsent must not reach the host */
    bool is_disowned;   /* the owner has let go */
    bool is_in_request; /* the owner's call is on the stack: tell it later */
    enum { NOTHING, RESTED, SENT } pending;
};

/* Words (session.c, step.c). */
struct outcome step_at_host(const struct delivery_session *s, struct outcome o);
struct outcome step_replied(const struct delivery_session *s, const struct reply *r);
bool step_says_goodbye(const struct reply *r);            /* 421 */
const char *step_doing(const struct delivery_session *s); /* completes "timed out while ..." */

/* Answers and facts. */
void step_set_cause(struct delivery_session *s, const struct outcome *why);
void step_answer(struct delivery_session *s, struct party *p, enum guarantee_answer a,
                 const struct outcome *o);
void step_answer_all(struct delivery_session *s, enum guarantee_answer a, const struct outcome *o);
enum state step_fail_ourselves(struct delivery_session *s, const char *why);
enum state step_rest(const struct delivery_session *s);

/* Saying: what stands in s->out, or one line. `next` (or the present state) unless we fail. */
enum state step_say_out(struct delivery_session *s, bool is_complete, enum state next);
enum state step_say(struct delivery_session *s, const char *verb, const char *argument);

/* What the loss of the connection means (step.c). */
void loss_before_tls(struct delivery_session *s, enum loss loss, const struct outcome *why);
void loss_in_starttls(struct delivery_session *s, enum loss loss, const struct outcome *why);
void loss_at_rest(struct delivery_session *s, enum loss loss, const struct outcome *why);
void loss_before_end_of_data(struct delivery_session *s, enum loss loss, const struct outcome *why);
void loss_after_end_of_data(struct delivery_session *s, enum loss loss, const struct outcome *why);
void loss_before_ehlo_again(struct delivery_session *s, enum loss loss, const struct outcome *why);
void loss_later(struct delivery_session *s, enum loss loss, const struct outcome *why);

/* greet.c */
enum state greet_greeting_reply(struct delivery_session *s, const struct reply *r);
enum state greet_say_ehlo(struct delivery_session *s);
enum state greet_ehlo_reply(struct delivery_session *s, const struct reply *r);
enum state greet_say_helo(struct delivery_session *s);
enum state greet_helo_reply(struct delivery_session *s, const struct reply *r);
enum state greet_say_starttls(struct delivery_session *s);
enum state greet_starttls_reply(struct delivery_session *s, const struct reply *r);
enum state greet_start_handshake(struct delivery_session *s);
enum state greet_ehlo_again_reply(struct delivery_session *s, const struct reply *r);

/* transfer.c */
enum state transfer_say_envelope(struct delivery_session *s);
enum state transfer_envelope_reply(struct delivery_session *s, const struct reply *r);
enum state transfer_send_content(struct delivery_session *s);
enum state transfer_early_reply(struct delivery_session *s, const struct reply *r);
enum state transfer_end_of_data_reply(struct delivery_session *s, const struct reply *r);
enum state transfer_say_lone_dot(struct delivery_session *s);
enum state transfer_lone_dot_reply(struct delivery_session *s, const struct reply *r);
enum state transfer_say_rset(struct delivery_session *s);
enum state transfer_rset_reply(struct delivery_session *s, const struct reply *r);
#endif
