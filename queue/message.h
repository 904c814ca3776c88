/* message.h - reading what the queue holds. All functions read a moment's state and copy it out. */
#ifndef QUEUE_MESSAGE_H
#define QUEUE_MESSAGE_H

#include "mail/buffer.h"
#include "queue/queue.h"

enum queue_state {                   /* stored; values never change */
                   QUEUE_QUEUED = 0, /* not tried yet (or released, or to be rechecked) */
                   QUEUE_DEFERRED = 1,
                   QUEUE_HELD = 2,
                   QUEUE_FAILED = 3,    /* only until its notice is made */
                   QUEUE_DELIVERED = 4, /* only until its success notice is made */
                   QUEUE_DISCARDED =
                       5, /* stopped with on_stop = discard: only until its notice is made */
};
const char *queue_state_name(enum queue_state s);

enum queue_report { /* what a notice has still to say of this recipient; stored */
                    QUEUE_REPORT_NONE = 0,
                    QUEUE_REPORT_FAILURE = 1, /* failed or stopped */
                    QUEUE_REPORT_DELAY = 2,
                    QUEUE_REPORT_SUCCESS = 3,
};

struct queue_message {
    uint64_t id;
    enum origin origin;
    char *reverse_path; /* owned, as all texts here; "" for absent */
    char *user;
    char *envid;
    enum ret ret;
    bool content_8bit;
    bool requiretls;
    bool is_redacted;
    /* At some time a flag, REQUIRETLS or a policy applied to some recipient of it, or was lifted:
     * notices about it show no content. Never taken back. */
    bool is_guarded;
    uint64_t size;
    int64_t arrived_at_ms; /* wall clock */
};

struct queue_recipient {
    uint64_t id;
    uint32_t index; /* within the message, from 0; never reused */
    char *address;
    char *orcpt;
    char *owner;
    unsigned notify;
    bool wants_receipt; /* by the sender's account, whatever NOTIFY says but NEVER */
    enum level level;
    enum exemption exemption;
    enum exemption bound_exemption; /* that of reception, whatever was released since */
    enum queue_state state;
    unsigned attempts;     /* every time it came due and was not delivered */
    int64_t started_at_ms; /* arrival, or the last release or recheck: lifetime, warn_after and the
                              schedule count from here */
    int64_t due_at_ms;     /* next attempt; 0 when held or done */
    int64_t trouble_since; /* seconds; since when passing TLS trouble is its result on end; 0 */
    bool was_warned;       /* a delay notice was made since started_at */
    /* An administrator asked for the next attempt (retry, release, recheck): the back-off of its
     * destination does not apply. Until that attempt is settled. */
    bool is_urgent;
    enum queue_report report;
    /* Of the last attempt; outcome.status.class is 0 when there was none. */
    struct outcome outcome;
    int64_t last_attempt_at_ms;
    /* A downgrade: until then (seconds) the host of `outcome` was seen with TLS on many looks, and
     * has none now; 0: it is none. */
    int64_t tls_seen_at;
    bool is_suspended; /* deferred in place of a stop, as stops are suspended */
    /* When held (or discarded): */
    int64_t stopped_at_ms;
    int64_t expires_at_ms;
    char *required; /* guarantee_required_words() */
    char *evidence; /* lines */
    bool is_force_needed;
    bool is_release_refused;
    bool is_unnotifiable; /* no mail can tell anybody (null reverse-path, NOTIFY=NEVER): the
                             operator is told */
    /* When delivered and a success notice is wanted: */
    bool is_relayed;
    bool is_passed_on; /* the client's NOTIFY=SUCCESS went with it to a host that reports by itself:
                          ours is a receipt that the account asked for */
    bool is_local;     /* over a local route */
    char *protocol, *cipher, *verified;
};

/* 0 or -ENOENT. The caller frees with queue_message_free(). */
NODISCARD int queue_message_read(struct queue *q, uint64_t id, struct queue_message *out);
void queue_message_free(struct queue_message *m); /* the content */
/* All recipients of a message in order of index. *out is owned by the caller
 * (queue_recipients_free). -ENOENT: no such message. */
NODISCARD int queue_recipients_read(struct queue *q, uint64_t id, struct queue_recipient **out,
                                    size_t *count);
void queue_recipients_free(struct queue_recipient *recipients, size_t count);

/* Appends up to `max` octets of the content from `offset` on. Returns how many (0 at the end) or
 * negative errno (-ENOENT). */
NODISCARD int64_t queue_content_read(struct queue *q, uint64_t id, uint64_t offset, size_t max,
                                     struct buffer *out);

/* Calls visit for up to `max` messages with an ID above `after`, in order; visit returns false to
 * stop. What it is given is borrowed. Returns the last ID visited, 0 when there was none. For
 * listings: call again with the result. */
typedef bool queue_visit(void *context, const struct queue_message *m,
                         const struct queue_recipient *recipients, size_t count);
uint64_t queue_walk(struct queue *q, uint64_t after, size_t max, queue_visit *visit, void *context);

#endif
