/* record.h - how messages, recipients, accounts and keys look in the store. Pure, any thread.
 *
 * Every record begins with its version; numbers are big-endian, texts have a length in front.
 * Decoding trusts nothing: what is cut, too long, out of range or of an unknown version is refused.
 * Keys compare bytewise in the order of what they say. */
#ifndef QUEUE_RECORD_H
#define QUEUE_RECORD_H

#include "queue/account.h"
#include "queue/due.h"
#include "queue/message.h"
#include "queue/exception.h"
#include "queue/policy.h"
#include "queue/posture.h"
#include "queue/tlsrpt.h"
#include "queue/trial.h"

#define RECORD_VERSION 1
/* Longer texts (only evidence could be) are cut. */
#define RECORD_TEXT_MAX ((size_t)64 * 1024)

/* The stored form is appended to *out. */
void record_put_message(struct buffer *out, const struct queue_message *m);
/* False: damaged, nothing to free. */
NODISCARD bool record_get_message(struct slice in, struct queue_message *m);

/* `flow` is kept beside the recipient: the lane must be known without the message. */
void record_put_recipient(struct buffer *out, const struct queue_recipient *r, uint32_t flow);
/* id and index are the key's matter and stay 0. */
NODISCARD bool record_get_recipient(struct slice in, struct queue_recipient *r, uint32_t *flow);

/* What the queue itself asks of a recipient most often, without allocation. */
struct record_peek {
    enum queue_state state;
    enum queue_report report;
    int64_t due_at_ms;
    struct queue_lane lane;
};
NODISCARD bool record_peek_recipient(struct slice in, struct record_peek *peek);
/* The lane of a recipient: its domain, and the flow. */
void record_lane(struct slice address, uint32_t flow, struct queue_lane *lane);

/* The account with its aliases; a->address as given. */
void record_put_account(struct buffer *out, const struct queue_account *a);
NODISCARD bool record_get_account(struct slice in, struct queue_account *a);

/* A list of addresses. The walk ends when visit returns false; false: damaged. */
void record_put_list(struct buffer *out, char (*list)[ADDRESS_SIZE], size_t count);
NODISCARD bool record_get_list(struct slice in, char (**list)[ADDRESS_SIZE], size_t *count);

/* Learnt things. False: damaged, nothing to clear. */
void record_put_policy(struct buffer *out, const struct queue_policy *p);
NODISCARD bool record_get_policy(struct slice in, struct queue_policy *p);
void record_put_posture(struct buffer *out, const struct queue_posture *p);
NODISCARD bool record_get_posture(struct slice in, struct queue_posture *p);
void record_put_trial(struct buffer *out, const struct queue_trial *t);
NODISCARD bool record_get_trial(struct slice in, struct queue_trial *t);
void record_put_tlsrpt_policy(struct buffer *out, const struct queue_tlsrpt_policy *p);
/* The caller frees both texts. */
NODISCARD bool record_get_tlsrpt_policy(struct slice in, struct queue_tlsrpt_policy *p);
void record_put_tlsrpt_failure(struct buffer *out, const struct queue_tlsrpt_failure *f);
NODISCARD bool record_get_tlsrpt_failure(struct slice in, struct queue_tlsrpt_failure *f);

/* The exceptions of one user; list[i].user is the key's matter and stays "". The caller frees the
 * list. */
void record_put_exceptions(struct buffer *out, const struct queue_exception *list, size_t count);
NODISCARD bool record_get_exceptions(struct slice in, struct queue_exception **list, size_t *count);

#define KEY_ID_SIZE 8
#define KEY_PART_SIZE 12
#define KEY_NOTICE_DUE_SIZE 16
#define KEY_DUE_SIZE (DOMAIN_SIZE + 4 + 8 + 8 + 4)

/* A key in the making; slice() of it is borrowed from it. */
struct key {
    char bytes[KEY_DUE_SIZE];
    size_t len;
};
struct slice key_slice(const struct key *k);
struct key key_id(uint64_t id);
struct key key_part(uint64_t id, uint32_t part); /* recipient index, or number of a piece */
struct key key_notice_due(int64_t due_at_ms, uint64_t id);
struct key key_lane(const struct queue_lane *lane); /* what all keys of a lane begin with */
struct key key_due(const struct queue_lane *lane, int64_t due_at_ms, uint64_t id, uint32_t index);
NODISCARD bool key_get_id(struct slice in, uint64_t *id); /* reads the front of any key but due's */
NODISCARD bool key_get_part(struct slice in, uint64_t *id, uint32_t *part);
NODISCARD bool key_get_notice_due(struct slice in, int64_t *due_at_ms, uint64_t *id);
NODISCARD bool key_get_due(struct slice in, struct queue_lane *lane, int64_t *due_at_ms,
                           uint64_t *id, uint32_t *index);

uint64_t record_number(struct slice eight); /* of exactly 8 octets; else 0 */
void record_put_number(struct buffer *out, uint64_t number);

#endif
