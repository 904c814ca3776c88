/* trial.h - findings of dry run: what would have been stopped, had the flag been in force.
 *
 * Kept for 30 days. A finding joins the commits of others, and is dropped, with an event, when the
 * store or the share of learnt things is full or the writer is behind. */
#ifndef QUEUE_TRIAL_H
#define QUEUE_TRIAL_H

#include "mail/status.h"
#include "queue/queue.h"

#define QUEUE_TRIAL_REASON_SIZE 512

struct queue_trial {
    int64_t at;              /* seconds */
    int64_t arrived_at;      /* of the message, seconds; for its key alone: a walk leaves it 0 */
    uint64_t id;             /* of the message */
    char user[ADDRESS_SIZE]; /* whose flag is tried out; the account's own address */
    char recipient[ADDRESS_SIZE];
    char reason[QUEUE_TRIAL_REASON_SIZE];
    struct status status;
};
/* Copied. Returns at once; nobody is told when it is done. Another finding for the same message and
 * recipient replaces it. */
void queue_trial_add(struct queue *q, const struct queue_trial *t);
/* Is a finding stored for the message and recipient of `t` (arrived_at, id, recipient)? Negative
 * error where that cannot be read. */
int queue_trial_has(struct queue *q, const struct queue_trial *t);

/* Findings about messages that arrived from `since` (seconds) on, the oldest message first, of one
 * user (text of an address, compared as addresses are; an alias is not looked up) or of all (NULL),
 * until visit returns false. Damaged records are passed over. No view is open during the visit. */
typedef bool queue_trial_visit(void *context, const struct queue_trial *t);
void queue_trials_walk(struct queue *q, const char *user, int64_t since, queue_trial_visit *visit,
                       void *context);

#endif
