/* fake_session.h - drives the SMTP server session without socket, TLS, store or clock: what the
 * unit tests and the fuzzer of the submission room share.
 *
 * Users: alice@example.org (alias al@example.org, password "secret", locked level encrypt) and
 * bob@example.org (password "hunter2"). */
#ifndef TESTS_SUPPORT_FAKE_SESSION_H
#define TESTS_SUPPORT_FAKE_SESSION_H

#include "gateway/submission/session.h"
#include "mail/envelope.h"

enum { FAKE_SUBMISSION, FAKE_SUBMISSIONS, FAKE_RELAY, FAKE_LISTENERS };

struct fake_session {
    struct submission_settings *settings; /* owned; change before fake_session_start() */
    struct submission_limits *limits;     /* owned */
    struct auth_library *auth_library;    /* owned */
    struct event_sink events;
    struct session *session; /* owned */
    struct net_address peer;
    int64_t now_ms;

    struct buffer unread;  /* given by the client, not taken yet */
    struct buffer sent;    /* by the session since the last look */
    struct buffer content; /* of the message being received, or of the last committed one */
    struct buffer log;     /* "event key=value ...\n" */
    unsigned writes;       /* calls of send */
    bool is_held, is_finished, is_aborted, is_handshaking;
    int64_t deadline_ms;
    struct auth *hashing;
    bool is_open; /* a message */
    bool is_committing;
    struct envelope envelope; /* of the last commit */
    int64_t arrived_at_ms, due_at_ms;
    unsigned commits, aborts;
    bool is_asking; /* at RCPT */
    unsigned asked, cancelled;
    char question[ADDRESS_SIZE + 32]; /* the last: "recipient level known|probe" */

    /* What the outside is like. */
    bool is_one_by_one; /* input comes in single octets */
    bool is_handshake_endless;
    bool has_binding;
    uint8_t binding[32];
    bool is_store_full, is_store_broken, is_behind;
    int has_forward;   /* 1, 0, or the error of looking */
    int has_exception; /* the same */
    bool is_hook_missing;
    bool waits_for_answer;     /* comes only with fake_session_answer() */
    const char *rcpt_words;    /* the answer at RCPT; NULL: taken */
    struct status rcpt_status; /* its status; class 0: 5.7.4 */
    /* The accounts answer so many times, then (unless 0) with the error. */
    unsigned accounts_answers;
    int accounts_error;
    int append_error, commit_error, drain_error;
    bool is_hash_refused;
    bool waits_for_commit; /* the answer comes only with fake_session_commit() */
    bool is_alice_gone;
    bool is_dry_run;     /* Alice's flag is only tried out */
    bool wants_receipts; /* alice does */
};

void fake_session_init(struct fake_session *f);
void fake_session_start(struct fake_session *f, int listener);
void fake_session_free(struct fake_session *f); /* ends it first */
/* Gives input and lets everything happen that can: hashes, handshakes, commits. */
void fake_session_say(struct fake_session *f, struct slice bytes);
void fake_session_run(struct fake_session *f);
void fake_session_commit(struct fake_session *f);
void fake_session_answer(struct fake_session *f); /* at RCPT */
/* What was sent since the last call, as a string; valid until the next. */
const char *fake_session_heard(struct fake_session *f);

#endif
