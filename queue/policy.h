/* policy.h - MTA-STS policies (RFC 8461), kept over a restart.
 *
 * The queue keeps them and knows nothing of what they say. They are learnt: together with what else
 * is learnt they take only a small share of limits.queue_size, above which new ones are refused. An
 * expired policy is removed some time later: who reads one compares expires_at. All times are
 * seconds of the wall clock. */
#ifndef QUEUE_POLICY_H
#define QUEUE_POLICY_H

#include "queue/queue.h"

#define QUEUE_POLICY_ID_SIZE 33
#define QUEUE_POLICY_TEXT_MAX ((size_t)64 * 1024)

struct queue_policy {
    char domain[DOMAIN_SIZE]; /* policy domain, A-label, lower case */
    char id[QUEUE_POLICY_ID_SIZE];
    char *text; /* owned; as fetched, no NUL in it */
    int64_t fetched_at;
    int64_t expires_at;
    int64_t refresh_at; /* when it is to be fetched anew, ahead of expiry */
    int64_t checked_at; /* when the TXT record was last asked for its id */
};
void queue_policy_clear(struct queue_policy *p);

/* 0, and the caller clears; -ENOENT: none; another negative errno: the store could not be read or
 * the record is damaged. Otherwise *out is empty. */
NODISCARD int queue_policy_find(struct queue *q, const char *domain, struct queue_policy *out);
/* Adds or replaces. Copied. -EINVAL: no domain, or text above QUEUE_POLICY_TEXT_MAX; -ENOSPC: the
 * store or the share of learnt things is full. One that replaces another is taken all the same, as
 * long as there is any room. Where it could not be written, an older one of another text is
 * removed: it is not the domain's any more. done may be NULL, and then poster too. */
void queue_policy_put(struct queue *q, const struct queue_policy *p,
                      const struct queue_poster *poster, queue_done *done, void *context);
/* -ENOENT: none. done may be NULL. */
void queue_policy_remove(struct queue *q, const char *domain, const struct queue_poster *poster,
                         queue_done *done, void *context);

/* In the order of domains, until visit returns false. *p is borrowed for the call. Damaged records
 * are passed over. No view is open during the visit. */
typedef bool queue_policy_visit(void *context, const struct queue_policy *p);
void queue_policies_walk(struct queue *q, queue_policy_visit *visit, void *context);
/* The same for at most `max`, those behind `at`, which moves along; "" is the start. One for which
 * visit returned false is the first of the next call. False: that was the end, and `at` is "". */
NODISCARD bool queue_policies_walk_some(struct queue *q, char at[DOMAIN_SIZE], size_t max,
                                        queue_policy_visit *visit, void *context);

#endif
