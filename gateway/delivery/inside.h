/* inside.h - the inside of an attempt, shared by the files that carry it out and by nobody else:
 * attempt.c (its life), walk.c (hosts and addresses in order), promise.c (the MTA-STS policy),
 * exchange.c (connections and transactions), facts.c (what was seen), learn.c (what is remembered
 * of it), settle.c (what becomes of each recipient). */
#ifndef GATEWAY_DELIVERY_INSIDE_H
#define GATEWAY_DELIVERY_INSIDE_H

#include "gateway/delivery/attempt.h"
#include "gateway/delivery/contact.h"
#include "mail/arena.h"

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
    struct sts_question *policy_question;
    struct known_policy policy; /* owned content */
    int64_t policy_taken_at;    /* wall clock seconds */
    bool was_policy_renewed;    /* for the present address */
    bool was_policy_fetched_anew;
    enum guarantee_destination found;
    char detail[256]; /* of `found` */
    bool is_name_secure;
    bool is_implicit_mx;
    struct dns_mx_host *hosts; /* owned, in the order tried */
    size_t host_count, host_index;
    size_t blocked_hosts;
    struct dns_host host;         /* the present one; owned copy */
    struct posture_memory memory; /* of the present host */
    size_t address_index;
    unsigned addresses_tried;

    struct client *client; /* owned; NULL: none */
    struct connection_key key;
    int64_t expires_at;
    bool is_reused;
    bool must_be_fresh;            /* the connection to the present address: a kept one has died */
    enum guarantee_tls failed_tls; /* of the connection before this clear one; UNTRIED: this one is
                                      not marked clear */
    struct outcome failed_cause;
    struct guarantee_host
        sent; /* facts of the connection when the judge passed the transaction; kept texts */
    struct client_transaction transaction;
    struct client_recipient *slots; /* owned array; slot i stands for slot_of[i] */
    struct addressee **slot_of;     /* owned array */
};

/* ---- facts.c ---- */

/* The same facts, with texts that live as long as the attempt. */
struct guarantee_host attempt_keep_facts(struct attempt *a, const struct guarantee_host *h);
bool addressee_is_open(
    const struct addressee *t); /* pending, and without a fact from this address */
void attempt_record(struct addressee *t, const struct guarantee_host *kept);
void attempt_record_for_all(struct attempt *a,
                            const struct guarantee_host *facts); /* who is open */
void attempt_record_no_contact(struct attempt *a, enum guarantee_contact contact,
                               const struct outcome *cause);
struct contact attempt_contact(const struct attempt *a); /* of the present host; borrows from a */
struct guarantee_host attempt_facts_before(struct attempt *a, const struct net_address *to);
int64_t attempt_later(int64_t a, int64_t b);

/* ---- learn.c ---- */

/* Remembers what a new connection showed, once it rests or is over. The clear one that follows a
 * handshake that failed shows nothing new. */
void attempt_learn(struct attempt *a, const struct guarantee_host *facts);
/* Counts the session for the report to the domain (RFC 8460), where reports are made: once for each
 * connection, when it is known what it is; and for a host that nobody could be sent to. */
void attempt_count(struct attempt *a, const struct guarantee_host *facts);

/* ---- settle.c ---- */

struct guarantee_conclusion attempt_conclude(struct attempt *a, const struct addressee *t,
                                             struct guarantee_attempt *facts);
void attempt_settle(struct attempt *a, struct addressee *t);
void attempt_settle_done(void *context, int error);

/* ---- walk.c ---- */

void attempt_resolve(struct attempt *a);
void attempt_resolved(struct attempt *a); /* goes on when hosts and policy are both known */
void attempt_next_address(struct attempt *a);
void attempt_contact_again(struct attempt *a); /* the present address, with facts as they are now */

/* ---- promise.c ---- */

/* Begins to ask for the MTA-STS policy of the next-hop domain; attempt_resolved() when it is there.
 */
void attempt_ask_policy(struct attempt *a);
/* An enforced policy does not fit this host (facts before contact, or of a connection): it is
 * fetched anew, once in an attempt, and the present address is contacted under what came of it
 * (GUARANTEE.md section 6). False: nothing to do, or done before. */
bool attempt_doubts_policy(struct attempt *a, const struct guarantee_host *facts);
/* The policy is over before the present address is contacted: it is asked for again, and the
 * address is contacted under what came of it. False: nothing to do. */
bool attempt_renews_policy(struct attempt *a);
void attempt_cancel_policy(struct attempt *a);
int64_t attempt_policy_until(const struct attempt *a); /* INT64_MAX where none is in force */

/* ---- exchange.c ---- */

/* With the address in a->key: over a kept connection that fits, else over a new one. */
void attempt_connect(struct attempt *a);
void attempt_give_up_connection(struct attempt *a, bool may_serve_again);
void attempt_keep_answers_read(struct attempt *a);

/* ---- attempt.c ---- */

void attempt_end_at(struct attempt *a, enum guarantee_destination found, const char *detail);
void attempt_finish(struct attempt *a); /* concludes for all who are pending, and leaves */

#endif
