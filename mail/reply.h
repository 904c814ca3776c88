/* reply.h - SMTP replies as a client reads them (RFC 5321 section 4.2), fed in pieces of any size.
 * Pure.
 *
 * Limits of GUARANTEE.md section 2: a line over 4,096 octets, a reply over 64 KiB, a code outside
 * 200-599, CR or LF alone, NUL, or a changing code are "no reply". Text may hold any other octet
 * and may be empty. "250" alone is a final line. */
#ifndef MAIL_REPLY_H
#define MAIL_REPLY_H

#include "mail/buffer.h"
#include "mail/status.h"

struct reply {
    unsigned code; /* 200..599 */
    unsigned lines;
    struct buffer text; /* owned: the lines' texts joined by '\n' */
};

enum reply_progress {
    REPLY_MORE,     /* all input taken, the reply is not complete */
    REPLY_COMPLETE, /* one reply is in ->reply; *in stands behind it */
    REPLY_INVALID,  /* not a reply: only reply_parser_free() is allowed now; why is in ->error */
};

struct reply_parser {
    struct reply reply;
    struct buffer line; /* owned: the unfinished line */
    size_t total;       /* octets of this reply so far */
    bool is_complete;   /* the next feed starts a new reply */
    const char *error;  /* static text */
};

void reply_parser_init(struct reply_parser *p);
void reply_parser_free(struct reply_parser *p);
/* Takes bytes off *in up to the end of one reply. The reply stays valid until the next feed. */
enum reply_progress reply_parser_feed(struct reply_parser *p, struct slice *in);

/* Line `index` (0 = first) of the reply's text; an empty slice beyond the last. */
struct slice reply_line(const struct reply *r, unsigned index);
/* The enhanced status code at the front of the text when it fits the code's class; class 0 when
 * none. */
struct status reply_status(const struct reply *r);

/* What an EHLO reply offers (first line skipped; RFC 5321 section 4.1.1.1). */
struct ehlo_facts {
    bool starttls;
    bool pipelining;
    bool eightbitmime;
    bool dsn;
    bool size;
    uint64_t size_limit; /* 0: no fixed limit */
    bool smtputf8;
    bool requiretls;
    bool chunking;
    bool enhancedstatuscodes;
    char keywords[256]; /* all keywords, separated by a space, cut to fit: evidence for notices */
};
void ehlo_read(const struct reply *r, struct ehlo_facts *out);

#endif
