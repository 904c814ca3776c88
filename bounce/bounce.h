/* bounce.h - from outcomes to notices: RFC 3464 reports in English and German.
 *
 * Pure: the caller gives all facts, the result is a complete message. A notice is mail like any
 * other: the caller queues it with the null reverse-path. Any thread. */
#ifndef BOUNCE_BOUNCE_H
#define BOUNCE_BOUNCE_H

#include "mail/buffer.h"
#include "mail/envelope.h"
#include "mail/outcome.h"

enum bounce_kind {
    BOUNCE_FAILURE, /* failed and stopped recipients: "Undelivered Mail Returned to Sender" */
    BOUNCE_DELAY,   /* "Delayed Mail (still being retried)" */
    BOUNCE_SUCCESS, /* "Successful Mail Delivery Report" */
};

enum bounce_language {
    BOUNCE_ENGLISH = 0,
    BOUNCE_GERMAN = 1,
};
NODISCARD bool bounce_language_parse(struct slice in, enum bounce_language *out); /* "en", "de" */
const char *bounce_language_name(enum bounce_language l);

/* What the sender of a held message can do now; offered only where it works. */
enum bounce_release {
    BOUNCE_NOT_HELD,        /* discarded, or an ordinary failure */
    BOUNCE_RELEASE,         /* the administrator can release it */
    BOUNCE_RELEASE_FORCE,   /* with --force: the destination publishes DANE or MTA-STS */
    BOUNCE_RELEASE_REFUSED, /* policy or REQUIRETLS is the cause: only `--recheck` */
};

struct bounce_recipient {
    const char *address; /* borrowed, as all texts here */
    const char *orcpt;   /* "type;xtext" or "" */
    const struct outcome *outcome;
    /* BOUNCE_FAILURE: HELD (stopped) or FAILED; BOUNCE_DELAY: DEFERRED; BOUNCE_SUCCESS: DELIVERED.
     */
    enum disposition disposition;
    bool is_relayed; /* SUCCESS: handed on by SMTP: Action relayed, else delivered (RFC 3464 2.3.3)
                      */
    bool is_passed_on;    /* SUCCESS, relayed: the next host was asked to report too */
    bool is_stopped;      /* by the guarantee, policy or REQUIRETLS, held or discarded */
    const char *required; /* what was required, in words (guarantee_required_words), "" when not
                           * stopped; the notice names the guarantee as the cause where the word
                           * "guarantee" is among them */
    const char *evidence; /* lines, what each host showed; "" when none */
    enum bounce_release release;
    bool would_stop_again;   /* stopped: without the sender's guarantee too, by policy, REQUIRETLS,
                                DANE or MTA-STS */
    int64_t held_until;      /* seconds; 0 when not held */
    int64_t last_attempt_at; /* seconds; 0 when none */
    int64_t retry_until;     /* seconds; DELAY only */
    int64_t tls_seen_at;     /* FAILURE, DELAY: when (seconds) the outcome's host was last seen with
                                TLS that it has not now; 0: nothing such is known */
    bool is_suspended; /* DELAY: it would be a stop if stops were not suspended (the breaker) */
    /* SUCCESS: how it left, to the outcome's host at last_attempt_at: "TLSv1.3", cipher, "dane",
     * "sts", "pkix" or "no"; "" in clear. */
    const char *protocol, *cipher, *verified;
    bool is_local; /* SUCCESS: over a local route: nothing crossed a network */
};

struct bounce_report {
    enum bounce_kind kind;
    enum bounce_language language;
    const char *hostname;     /* Reporting-MTA, From domain, Message-ID domain */
    const char *id;           /* queue ID of the message reported on; X-Sealpost-Held-ID */
    const char *notice_id;    /* queue ID of the notice itself: Message-ID, boundary */
    const char *to;           /* path text: envelope sender or the flag's owner */
    const char *reverse_path; /* of the message reported on */
    const char *envid;        /* xtext or "" */
    int64_t arrived_at;       /* seconds */
    int64_t now;              /* seconds */
    int64_t guarantee_since;  /* since when the flag is on, 0 unknown: "your TLS guarantee, on since
                                 ..." */
    enum ret ret;
    bool is_redacted;    /* third part is Date, Message-ID and From alone */
    struct slice header; /* header section of the message reported on */
    struct slice body; /* its body when RET=FULL and it is small enough for the caller to give; else
                          empty (data NULL) */
    bool has_8bit;     /* in header or body as given */
    size_t evidence_max; /* octets of each evidence that are shown, whole lines; 0: all */
    size_t count;
    const struct bounce_recipient
        *recipients; /* evidence that several share is shown with the first and referred to */
};

/* Appends the complete message (CRLF lines, at most 998 octets each). False at out's ceiling. */
NODISCARD bool bounce_write(const struct bounce_report *report, struct buffer *out);

#endif
