/* tlsrpt.h - what TLS reports (RFC 8460) are made of: counts by policy domain and day.
 *
 * Equal results add up. A domain and day has at most QUEUE_TLSRPT_ENTRIES entries; failures of more
 * kinds count in the totals alone. Kept until removed, or 48 hours after the end of the day. Counts
 * join the commits of others, and are dropped, with an event, when the store or the share of learnt
 * things is full or the writer is behind. */
#ifndef QUEUE_TLSRPT_H
#define QUEUE_TLSRPT_H

#include "queue/queue.h"

#define QUEUE_TLSRPT_ENTRIES 100
/* Longer texts of a policy are cut, at the end of a line. */
#define QUEUE_TLSRPT_TEXT_MAX 8192
#define QUEUE_TLSRPT_ADDRESS_SIZE 64
#define QUEUE_TLSRPT_REASON_SIZE 128

/* RFC 8460 section 4.4: policy-type. */
enum queue_tlsrpt_type {
    QUEUE_TLSRPT_NO_POLICY_FOUND,
    QUEUE_TLSRPT_TLSA,
    QUEUE_TLSRPT_STS,
};
const char *queue_tlsrpt_type_name(enum queue_tlsrpt_type type); /* "no-policy-found" ... */

/* RFC 8460 section 4.3: result-type. */
enum queue_tlsrpt_cause {
    QUEUE_TLSRPT_STARTTLS_NOT_SUPPORTED,
    QUEUE_TLSRPT_CERTIFICATE_HOST_MISMATCH,
    QUEUE_TLSRPT_CERTIFICATE_EXPIRED,
    QUEUE_TLSRPT_CERTIFICATE_NOT_TRUSTED,
    QUEUE_TLSRPT_VALIDATION_FAILURE,
    QUEUE_TLSRPT_TLSA_INVALID,
    QUEUE_TLSRPT_DNSSEC_INVALID,
    QUEUE_TLSRPT_DANE_REQUIRED,
    QUEUE_TLSRPT_STS_POLICY_FETCH_ERROR,
    QUEUE_TLSRPT_STS_POLICY_INVALID,
    QUEUE_TLSRPT_STS_WEBPKI_INVALID,
};
const char *queue_tlsrpt_cause_name(enum queue_tlsrpt_cause cause); /* "tlsa-invalid" ... */

/* Texts are "" where nothing is to be said. */
struct queue_tlsrpt_failure {
    enum queue_tlsrpt_cause cause;
    char sending_address[QUEUE_TLSRPT_ADDRESS_SIZE]; /* sending-mta-ip */
    char mx_host[DOMAIN_SIZE];                       /* receiving-mx-hostname */
    char receiving_address[QUEUE_TLSRPT_ADDRESS_SIZE];
    char receiving_helo[DOMAIN_SIZE];
    char reason[QUEUE_TLSRPT_REASON_SIZE]; /* failure-reason-code */
    uint64_t count;                        /* sessions */
};

/* To be added to what is counted; the texts are borrowed for the call. Usually one session: either
 * successes or failure.count is 1, and the other 0. */
struct queue_tlsrpt_result {
    const char *domain; /* policy domain */
    uint32_t day;       /* UTC, in days since the epoch: seconds / 86400 */
    enum queue_tlsrpt_type type;
    const char *strings;                 /* policy-string: lines with LF between them */
    const char *mx_hosts;                /* mx-host: the patterns of an MTA-STS policy, likewise */
    uint64_t successes;                  /* sessions without failure */
    struct queue_tlsrpt_failure failure; /* looked at when its count is not 0 */
};
/* Returns at once; nobody is told when it is done. Results without a domain, and those beyond the
 * 64th of a call, are left out. */
void queue_tlsrpt_count(struct queue *q, const struct queue_tlsrpt_result *results, size_t count);

/* All (domain, day) with a day before `before_day`, by day and domain, until visit returns false.
 */
typedef bool queue_tlsrpt_due_visit(void *context, const char *domain, uint32_t day);
void queue_tlsrpt_due(struct queue *q, uint32_t before_day, queue_tlsrpt_due_visit *visit,
                      void *context);

/* One policy of a domain and day, with its totals. */
struct queue_tlsrpt_policy {
    enum queue_tlsrpt_type type;
    char *strings; /* owned by the reader; as above */
    char *mx_hosts;
    uint64_t successes;
    uint64_t failures; /* not less than the counts of the failures together */
};
/* Each policy with failure NULL, then once more with each of its failures. All borrowed for the
 * call; until visit returns false. Damaged records are passed over, a policy's with its failures.
 * What is counted meanwhile may or may not be seen: read days that have ended. */
typedef bool queue_tlsrpt_visit(void *context, const struct queue_tlsrpt_policy *policy,
                                const struct queue_tlsrpt_failure *failure);
void queue_tlsrpt_read(struct queue *q, const char *domain, uint32_t day, queue_tlsrpt_visit *visit,
                       void *context);
/* All of a domain and day; nothing there is no error. done may be NULL, and then poster too. */
void queue_tlsrpt_remove(struct queue *q, const char *domain, uint32_t day,
                         const struct queue_poster *poster, queue_done *done, void *context);

#endif
