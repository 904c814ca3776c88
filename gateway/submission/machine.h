/* machine.h - the inside of the session, shared by the files that make it up: session.c (events,
 * states, lines), verbs.c (the verb table), login.c (AUTH), transaction.c (MAIL, DATA and its end),
 * recipient.c (RCPT). Nobody else includes it.
 *
 * The legal moves; from everywhere a move to ENDED is legal too, except from HASHING and
 * COMMITTING, which wait for their answer:
 *
 *     NEW --(implicit TLS)--> HANDSHAKE
 *      |                       |    ^
 *      +-----------------------+    | STARTTLS
 *      v                            |
 *     GREETED --EHLO, HELO--> READY-+<----------------+
 *                             |  ^  \                 |
 *                        MAIL |  |   +--AUTH--> ANSWER <--> HASHING
 *                             v  | RSET, EHLO
 *                           MAIL +-- RCPT (MAIL: no recipient yet; RCPT: at least one)
 *                              \    / |
 *                              ASKING | (RCPT waits for the word of others, and goes back)
 *                                     |
 *                                     v DATA
 *                            READY <- DATA <--> BEHIND (the store is)
 *                              ^        v
 *                              +--- COMMITTING
 *
 * Only COMMITTING says "queued"; whatever ends before it leaves nothing in the queue. */
#ifndef GATEWAY_SUBMISSION_MACHINE_H
#define GATEWAY_SUBMISSION_MACHINE_H

#include "gateway/submission/receive.h"
#include "gateway/submission/session.h"
#include "mail/arena.h"
#include "mail/command.h"
#include "mail/id.h"

enum state {
    STATE_NEW,
    STATE_HANDSHAKE,
    STATE_GREETED,
    STATE_READY,
    STATE_ANSWER,
    STATE_HASHING,
    STATE_MAIL,
    STATE_RCPT,
    STATE_ASKING,
    STATE_DATA,
    STATE_BEHIND,
    STATE_COMMITTING,
    STATE_ENDED,
    STATE_COUNT,
};

struct recipient {
    struct recipient *next; /* in the transaction's arena, as orcpt */
    struct address address;
    const char *orcpt;
    unsigned notify;
};

/* MAIL to the end of data, or RSET. */
struct transaction {
    struct arena arena;
    struct mail_command mail;
    struct recipient *first, **last;
    unsigned count;               /* recipients */
    struct rcpt_command *asked;   /* in the arena: the RCPT whose answer is awaited, or NULL */
    const char *refused;          /* the recipient that the reply refuses, for the log, or NULL */
    unsigned taken[LIMITS_KINDS]; /* out of the user's hour: given back where nothing was queued */
    int64_t at_ms;                /* when DATA was said, wall clock */
    uint64_t id;
    char id_text[ID_SIZE];
    bool is_message_open;         /* message_begin() was called, and neither commit nor abort */
    struct receive *receive;      /* owned; from DATA on */
    struct queue_account account; /* of the user as he is now; no address on the relay listener */
    char message_id[256];
    uint64_t size;
    /* An account or a forward could not be read while recipients were bound: "no such user" would
     * be a guess, and mail that a flag binds could leave in the clear. */
    bool is_directory_broken;
};

struct session {
    struct session_options options;
    const struct session_outside *outside;      /* borrowed */
    const struct submission_listener *listener; /* borrowed from options.settings */
    char number[20];                            /* hex, for the log */
    char peer[NET_ADDRESS_SIZE];
    enum state state;
    bool is_counted; /* by limits_connect() */
    bool is_held;    /* hold_input(true) was said last */
    bool is_gone;    /* the client; told while an answer is awaited */
    bool is_broken; /* nothing can be sent any more (a client that only closed its side may read) */
    bool is_stopping;
    bool is_cut;                  /* the grace is over too */
    bool is_skipping;             /* inside an over-long line */
    bool is_skipping_auth;        /* which began with AUTH */
    size_t searched;              /* octets of what was left that hold no LF */
    size_t behind;                /* octets that stand behind the line being read */
    unsigned errors;              /* replies of 4xx and 5xx */
    struct buffer out;            /* owned: replies to this batch */
    struct command_error refusal; /* said instead of the greeting */
    bool has_tls;
    struct session_tls tls;
    struct auth *auth;       /* owned: the exchange under way */
    char user[ADDRESS_SIZE]; /* the account's address; "" before AUTH */
    struct transaction transaction;
};

/* session.c */

/* One reply line "code X.Y.Z text"; a 4xx or 5xx is counted and logged as refused. */
void reply(struct session *s, unsigned code, struct status status, const char *format, ...)
    PRINTF_LIKE(4, 5);
void reply_error(struct session *s, struct command_error e);
/* A line as it is, without CRLF, for replies of several lines. */
void session_reply_line(struct session *s, const char *format, ...) PRINTF_LIKE(2, 3);
/* Replies as reply() does and ends: the state to return. */
enum state hang_up(struct session *s, unsigned code, struct status status, const char *text);
const struct submission_settings *session_settings(const struct session *s);
bool session_is_debug(const struct session *s);

/* verbs.c */
enum state verb_line(struct session *s, struct slice line);
unsigned mechanisms_offered(const struct session *s);

/* login.c */
enum state login_begin(struct session *s, struct slice rest);
enum state login_answer(struct session *s, struct slice line);
enum state login_result(struct session *s); /* after auth_run() */
enum state login_too_long(struct session *s);

/* transaction.c */
void transaction_init(struct session *s);
void transaction_end(struct session *s); /* aborts what is open; ready for the next MAIL */
enum state transaction_mail(struct session *s, struct slice rest);
/* Out of the user's hour; on the relay listener nobody's hour runs. */
NODISCARD bool transaction_take(struct session *s, enum limits_kind kind, unsigned max);
enum state transaction_data(struct session *s, struct slice rest);
enum state transaction_content(struct session *s, struct slice *in);
enum state transaction_drained(struct session *s, int error);
enum state transaction_committed(struct session *s, int error);

/* recipient.c */
enum state recipient_rcpt(struct session *s, struct slice rest);
enum state recipient_answered(struct session *s, const struct outcome *why);

#define STATUS(class, subject, detail) status_make((class), (subject), (detail))

#endif
