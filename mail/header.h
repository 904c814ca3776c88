/* header.h - the header section of a message (RFC 5322), read once for all that the house wants to
 * know.
 *
 * Pure, any thread. Works on the whole section, lines ending in CRLF, without the empty line that
 * ends it. */
#ifndef MAIL_HEADER_H
#define MAIL_HEADER_H

#include "mail/address.h"
#include "mail/buffer.h"

struct header_field {
    struct slice name; /* without the colon and white space before it */
    /* Raw: folding and the final CRLF are gone at the ends, inner folding is kept. */
    struct slice value;
    struct slice whole; /* the field with its final CRLF */
};

/* Takes the next field off *in. False at the end. A line that is no field (no colon, bad name,
 * leading white space at the start of the section) comes with an empty name and the whole line as
 * value. */
bool header_next(struct slice *in, struct header_field *out);

/* Does the value of an Auto-Submitted field say `auto-replied` (RFC 3834 section 5: case, comments,
 * folding and parameters do not matter)? */
bool header_says_auto_replied(struct slice value);

#define HEADER_NAMED_MAX 8    /* addresses of a readable field; more make it unreadable */
#define HEADER_SEEN_MAX 1000  /* addresses looked at in an unreadable one */
#define HEADER_SEEN_SIZE 5120 /* octets of text kept of them */

/* The addresses of the topmost field of one name. */
struct header_named {
    unsigned fields;    /* how many fields of this name the section has */
    unsigned count;     /* addresses of the topmost one; 0 when it is unreadable */
    bool is_unreadable; /* it did not parse, named nobody, or more than HEADER_NAMED_MAX */
    union {             /* use header_named_walk() where an unreadable field counts too */
        struct address addresses[HEADER_NAMED_MAX];
        struct {
            size_t len;
            char text[HEADER_SEEN_SIZE]; /* addresses, each ending in a NUL */
        } seen; /* unreadable: whatever looks like an address anywhere in the value, each once */
    };
};

/* Calls visit for each address of the field, for those seen in it when it is unreadable; visit
 * returns false to stop. Of an unreadable field what is beyond HEADER_SEEN_MAX or finds no room in
 * HEADER_SEEN_SIZE is not seen. */
void header_named_walk(const struct header_named *named, address_visit *visit, void *context);

/* The fields that show that a message was delivered to somebody and sent on (GUARANTEE.md section
 * 1). */
enum header_forwarding {
    HEADER_X_SIEVE_REDIRECTED_FROM,
    HEADER_RESENT_FROM,
    HEADER_DELIVERED_TO,
    HEADER_X_ORIGINAL_TO,
    HEADER_FORWARDING_COUNT,
};

/* What lifts a requirement (is_auto_replied, tls_required_no) is believed only where no reader
 * could see it otherwise: never in a malformed section, never from a field with white space before
 * its colon. Such a field still counts in all the numbers, so that none can be hidden by it. */
struct header_facts {
    unsigned received; /* Received fields: loop detection */
    bool has_date;
    bool has_message_id;
    char message_id[256]; /* of the first field; "" when none, longer, or with control characters */
    bool is_malformed;    /* a line that is no field, a bare CR or LF, a NUL */
    bool has_8bit;        /* an octet above 127 */
    struct header_named from; /* From: `fields` should be 1 */
    struct header_named sender;
    struct header_named forwarding[HEADER_FORWARDING_COUNT];
    unsigned auto_submitted; /* how many Auto-Submitted fields */
    /* Exactly one Auto-Submitted, saying auto-replied; or none at all, and X-Autoreply or
     * X-Autorespond (not "no"), or one Precedence saying auto_reply (GUARANTEE.md section 1). */
    bool is_auto_replied;
    unsigned tls_required; /* how many TLS-Required fields */
    bool tls_required_no;  /* exactly one, whose value is "No" (RFC 8689 section 5) */
};

/* Fills *out (about 31 KiB: mind the stack). Never fails: what cannot be read is said so in the
 * facts. */
void header_scan(struct slice section, struct header_facts *out);

/* Copies the section without the fields whose names are in `drop` (count of them, without case).
 * False at the buffer's ceiling, then nothing was appended. */
NODISCARD bool header_copy_without(struct slice section, const struct slice *drop, size_t count,
                                   struct buffer *out);
/* The value of the first field of that name with folding undone and trimmed, into out[size]; cut
 * when longer, control characters shown as '?'. False, and out is "", when there is none. */
bool header_value(struct slice section, struct slice name, char *out, size_t size);

#endif
