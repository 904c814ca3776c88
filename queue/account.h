/* account.h - users, their verifiers and flags, aliases, and configured forwards.
 *
 * Addresses are given as struct address and compared by address_key(). Changes answer through the
 * poster; a running daemon sees them with the next read. */
#ifndef QUEUE_ACCOUNT_H
#define QUEUE_ACCOUNT_H

#include "queue/queue.h"

#define QUEUE_SALT_MAX 32
#define QUEUE_KEY_MAX 64

/* What SCRAM keeps instead of a password (RFC 5802 section 3). */
struct queue_verifier {
    unsigned iterations; /* 0: none of this kind */
    uint8_t salt[QUEUE_SALT_MAX];
    uint8_t salt_len;
    uint8_t stored_key[QUEUE_KEY_MAX];
    uint8_t server_key[QUEUE_KEY_MAX];
    uint8_t key_len;
};

struct queue_account {
    char address[ADDRESS_SIZE];
    struct queue_verifier sha256;
    struct queue_verifier sha1; /* only where SCRAM-SHA-1 is configured */
    char language[8];           /* "en", "de"; "" = "en" */
    int64_t hold_back_ms;       /* how long new mail waits before its first attempt */
    bool has_flag;              /* false: guarantee.default_level applies */
    enum level level;           /* of the flag */
    bool is_locked;
    bool is_dry_run;     /* the flag is tried out: its level is recorded, but does not bind */
    int64_t level_since; /* seconds; since when the present level holds */
    int64_t level_until; /* seconds; --for: then it returns to the next two; 0: stays */
    bool back_has_flag;
    enum level back_level;
    bool back_is_locked;
    bool back_is_dry_run;
    bool wants_receipts; /* is told how each of his messages was delivered */
    size_t alias_count;
    char (*aliases)[ADDRESS_SIZE]; /* owned; address_key form as given */
};
void queue_account_clear(struct queue_account *a);
/* The flag as it stands. */
struct queue_flag {
    enum level level;
    int64_t since; /* seconds; 0: unknown */
    bool is_locked;
    bool is_dry_run; /* the level is to be recorded, but does not bind */
};
/* What applies at `now` (seconds): the flag, or what --for returns to, or default_level. */
struct queue_flag queue_account_flag(const struct queue_account *a, enum level default_level,
                                     int64_t now);
/* The same in parts; since and is_locked may be NULL. In dry run the level does not bind: who
 * decides about mail asks for the whole flag. */
enum level queue_account_level(const struct queue_account *a, enum level default_level, int64_t now,
                               int64_t *since, bool *is_locked);

/* By address or alias. 0; -ENOENT: no user; another negative errno: the store could not be read or
 * the record is damaged, so nobody knows. The caller clears. */
NODISCARD int queue_account_find(struct queue *q, const struct address *address,
                                 struct queue_account *out);
/* Is `address` the account's own or one of its aliases? */
bool queue_account_owns(const struct queue_account *a, const struct address *address);
typedef bool queue_account_visit(void *context, const struct queue_account *a);
/* 0, or negative errno: not all could be read. A damaged one is passed over, with an event. */
int queue_accounts_walk(struct queue *q, queue_account_visit *visit, void *context);

/* -EINVAL: a->address is no address. Adds (is_new; -EEXIST when the address is a user's or an alias
 * already) or replaces (-ENOENT) an account; aliases are left as they are. Copied. */
void queue_account_put(struct queue *q, const struct queue_account *a, bool is_new,
                       const struct queue_poster *poster, queue_done *done, void *context);
/* With its aliases, forwards and exceptions. By its own address; -ENOENT. */
void queue_account_remove(struct queue *q, const struct address *address,
                          const struct queue_poster *poster, queue_done *done, void *context);
/* `account` by its address or an alias (-ENOENT). The alias: -EEXIST when it is somebody's already,
 * -ENOENT when it is not this account's. */
void queue_alias_add(struct queue *q, const struct address *account, const struct address *alias,
                     const struct queue_poster *poster, queue_done *done, void *context);
void queue_alias_remove(struct queue *q, const struct address *account, const struct address *alias,
                        const struct queue_poster *poster, queue_done *done, void *context);

/* Configured forwards, kept as address_key(). `owner` must be a user (address or alias; stored
 * under the account's own address), else -ENOENT. -EEXIST: there already; -ENOENT: removing what is
 * not there. */
void queue_forward_add(struct queue *q, const struct address *owner, const struct address *target,
                       const struct queue_poster *poster, queue_done *done, void *context);
void queue_forward_remove(struct queue *q, const struct address *owner,
                          const struct address *target, const struct queue_poster *poster,
                          queue_done *done, void *context);
/* 1 or 0; negative errno: the store could not be read, so nobody knows. */
NODISCARD int queue_forward_has(struct queue *q, const char *owner, const struct address *target);
typedef bool queue_forward_visit(void *context, const char *owner, const char *target);
/* Of one owner, or of all (owner NULL). 0, or negative errno: not all could be read. Of all, those
 * of a damaged list are passed over, with an event. */
int queue_forwards_walk(struct queue *q, const char *owner, queue_forward_visit *visit,
                        void *context);

#endif
