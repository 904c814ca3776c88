/* posture.h - what destinations were seen to do about TLS: one record for each policy domain and MX
 * host.
 *
 * Learnt from every look at a host, and shown to people; a posture may warn, or make mail wait, but
 * it never permits anything. It is kept for 90 days after the last look. Losing looks does no harm:
 * they join the commits of others, and are dropped, with an event, when the store or the share of
 * learnt things is full or the writer is behind. All times are seconds of the wall clock. */
#ifndef QUEUE_POSTURE_H
#define QUEUE_POSTURE_H

#include "queue/queue.h"

#define QUEUE_REFUSAL_SIZE 200
#define QUEUE_PROTOCOL_SIZE 16
#define QUEUE_CIPHER_SIZE 64
#define QUEUE_KEY_EXCHANGE_SIZE 32
#define QUEUE_KEY_DIGEST_SIZE 65 /* SHA-256 in hex */

struct queue_posture {
    char domain[DOMAIN_SIZE]; /* of the recipients; A-label */
    char host[DOMAIN_SIZE];   /* MX host; A-label, or an address literal */
    int64_t first_seen_at;
    int64_t last_seen_at;
    unsigned looks; /* with contact */
    /* Looks with acceptable TLS: what came about and failed authentication is none of these. */
    unsigned tls_looks;
    int64_t tls_first_at; /* 0: never */
    int64_t tls_last_at;
    /* Looks without acceptable TLS in a row, each for good and not in passing. 0 when TLS came
     * back: then the times and the words are those of the last row (0: there was none). */
    unsigned refusals;
    int64_t refusal_first_at;
    int64_t refusal_last_at;
    char refusal[QUEUE_REFUSAL_SIZE]; /* words of the last refusal */
    uint8_t refusal_kind;             /* of the last refusal: the caller's number */
    /* Of the last look at which TLS came about, acceptable or not; "": never: */
    char protocol[QUEUE_PROTOCOL_SIZE];
    char cipher[QUEUE_CIPHER_SIZE];
    char key_exchange[QUEUE_KEY_EXCHANGE_SIZE];
    char key_digest[QUEUE_KEY_DIGEST_SIZE]; /* of the server's public key (SPKI), in hex */
    uint8_t verified; /* as these three all the caller's number, kept as it is; 255 at most */
    /* Of the last look: */
    uint8_t tlsa;
    uint8_t sts;
};

/* One look at a host that was reached. All borrowed for the call; what is too long is cut, NULL is
 * "". */
struct queue_look {
    const char *domain;
    const char *host;
    int64_t at;
    bool has_tls; /* such as level encrypt accepts */
    /* Without TLS: why, where the host refuses it for good; NULL or "" for trouble that may pass.
     */
    const char *refusal;
    uint8_t refusal_kind;
    /* Where TLS came about, acceptable or not: */
    const char *protocol;
    const char *cipher;
    const char *key_exchange;
    const char *key_digest;
    uint8_t verified;
    /* In any case: */
    uint8_t tlsa;
    uint8_t sts;
};
/* Merges the looks into what is known, in the order given. Returns at once; nobody is told when it
 * is done. Looks without domain or host, and those beyond the 64th of a call, are left out. */
void queue_posture_learn(struct queue *q, const struct queue_look *looks, size_t count);

/* done() is told when all looks before this call can be found, or were dropped; error is not 0
 * where the store has trouble. */
void queue_posture_flush(struct queue *q, const struct queue_poster *poster, queue_done *done,
                         void *context);

/* 0; -ENOENT: never seen, or not for 90 days; another negative errno: the store could not be read
 * or the record is damaged. Otherwise *out is empty. */
NODISCARD int queue_posture_find(struct queue *q, const char *domain, const char *host,
                                 struct queue_posture *out);
/* Of one domain, or of all (NULL); by domain and host, until visit returns false. Damaged records
 * are passed over. No view is open during the visit. */
typedef bool queue_posture_visit(void *context, const struct queue_posture *p);
void queue_postures_walk(struct queue *q, const char *domain, queue_posture_visit *visit,
                         void *context);

#endif
