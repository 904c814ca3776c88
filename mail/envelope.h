/* envelope.h - a message as the queue keeps it: who sent it, to whom, and what is required for each
 * recipient.
 *
 * Plain values with owned strings; one thread at a time. "" stands for an absent text, never NULL.
 */
#ifndef MAIL_ENVELOPE_H
#define MAIL_ENVELOPE_H

#include "mail/command.h"

/* What the sender's flag demands (GUARANTEE.md section 1). Stored; values never change. */
enum level {
    LEVEL_OFF = 0,
    LEVEL_ENCRYPT = 1,
    LEVEL_VERIFIED = 2,
};
const char *level_name(enum level l); /* "off", "encrypt", "verified" */
NODISCARD bool level_parse(struct slice in, enum level *out);

/* Why the sender's own flag does not bind a recipient. Stored; values never change. */
enum exemption {
    EXEMPTION_NONE = 0,
    EXEMPTION_AUTO_REPLY = 1,
    EXEMPTION_FORWARD = 2,
    EXEMPTION_TLS_REQUIRED_NO = 3, /* also lifts DANE and MTA-STS (RFC 8689 section 5) */
    EXEMPTION_RELEASE = 4,
    EXEMPTION_RELEASE_FORCE = 5, /* as TLS-Required: No */
    EXEMPTION_EXCEPTION = 6,     /* set by the administrator for user and recipient domain */
    EXEMPTION_DRY_RUN = 7,       /* the flag is only tried out: what it would stop is listed */
};
#define EXEMPTION_LAST EXEMPTION_DRY_RUN      /* for whoever bounds a stored value */
const char *exemption_name(enum exemption e); /* "", "auto-reply", "forward", "tls-required-no",
                                                 "release", "release-force", "exception", "dry-run"
                                               */

/* How a message came to us. Stored; values never change. */
enum origin {
    ORIGIN_SUBMISSION = 0, /* 587 or 465, authenticated */
    ORIGIN_RELAY = 1,
    ORIGIN_NOTICE = 2, /* made by ourselves */
    ORIGIN_REPORT = 3, /* the same: about TLS (RFC 8460). Sent over TLS if possible and never
                        * stopped; what it meets is not reported */
};
#define ORIGIN_LAST ORIGIN_REPORT /* for whoever bounds a stored value */

struct envelope_recipient {
    char *address;      /* path text, as in struct address */
    char *orcpt;        /* "" when absent */
    unsigned notify;    /* enum notify bits, as the client said them */
    bool wants_receipt; /* a receipt is due for it whatever NOTIFY (but NEVER) and the next host
                         * say: a wish of the sender's account, never passed on as NOTIFY */
    enum level level;   /* the flag as it stood when 250 was said */
    enum exemption exemption; /* lifts it; the level stays recorded for the log and the notices */
    char *owner; /* address of the flag's owner, "" when no flag applies: the notice about a stop
                    goes here */
};

struct envelope {
    enum origin origin;
    char *reverse_path; /* "" is <> */
    char *user;         /* authenticated user's address; "" on the relay listener and for notices */
    char *envid;
    enum ret ret;
    bool content_8bit; /* decided by content, not by BODY= */
    bool requiretls;   /* MAIL FROM said REQUIRETLS (RFC 8689): binds every recipient */
    bool is_redacted;  /* a notice about a message under a requirement: see GUARANTEE.md section 4
                        * (sent over TLS if possible and never stopped) */
    uint64_t size;     /* octets of content */
    size_t count;
    struct envelope_recipient *recipients; /* owned array */
};

void envelope_init(struct envelope *e); /* all texts "" */
void envelope_free(struct envelope *e); /* the content; the struct is the caller's */
/* Appends a recipient with all texts ""; the pointer is valid until the next call. */
struct envelope_recipient *envelope_add(struct envelope *e, const char *address);
void envelope_set(char **member, const char *text); /* frees the old text, copies the new */

#endif
