/* exception.h - exceptions from a user's flag that the administrator sets: for one recipient
 * domain, for a time or for good. All times are seconds of the wall clock. */
#ifndef QUEUE_EXCEPTION_H
#define QUEUE_EXCEPTION_H

#include "mail/address.h"
#include "queue/queue.h"

struct queue_exception {
    char user[ADDRESS_SIZE];  /* address_key() of the account */
    char domain[DOMAIN_SIZE]; /* A-label; ".example" is for all domains below it */
    int64_t set_at;
    int64_t until; /* 0: for good */
};

/* `user` by address or alias (-ENOENT: nobody's); the exception is kept under the account's own
 * address, and goes when the account is removed. Replaces one for the same domain. -EINVAL: no
 * domain. Copied. */
void queue_exception_add(struct queue *q, const struct address *user, const char *domain,
                         int64_t set_at, int64_t until, const struct queue_poster *poster,
                         queue_done *done, void *context);
/* -ENOENT: no such user, or none for exactly this domain (an expired one may be removed). */
void queue_exception_remove(struct queue *q, const struct address *user, const char *domain,
                            const struct queue_poster *poster, queue_done *done, void *context);
/* Is there one for this recipient domain that has not expired? `user` is the text of an address or
 * alias. 1 or 0; negative errno: the store could not be read or the record is damaged, so nobody
 * knows. */
NODISCARD int queue_exception_has(struct queue *q, const char *user, const char *domain,
                                  int64_t now);
/* Of one user (address or alias), or of all (NULL), until visit returns false; those that have
 * expired by `now` are passed over. */
typedef bool queue_exception_visit(void *context, const struct queue_exception *e);
void queue_exceptions_walk(struct queue *q, const char *user, int64_t now,
                           queue_exception_visit *visit, void *context);

#endif
