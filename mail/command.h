/* command.h - one SMTP command line, as a server reads it (RFC 5321 section 4.1, RFC 3461, 1870,
 * 6152, 4954). Pure. */
#ifndef MAIL_COMMAND_H
#define MAIL_COMMAND_H

#include "mail/address.h"
#include "mail/status.h"

enum verb {
    VERB_EHLO,
    VERB_HELO,
    VERB_STARTTLS,
    VERB_AUTH,
    VERB_MAIL,
    VERB_RCPT,
    VERB_DATA,
    VERB_BDAT,
    VERB_RSET,
    VERB_NOOP,
    VERB_QUIT,
    VERB_VRFY,
    VERB_EXPN,
    VERB_HELP,
    VERB_UNKNOWN,
    VERB_COUNT,
};
const char *verb_name(enum verb v);

/* Splits "VERB rest" (no CRLF). The rest is trimmed at both ends; MAIL and RCPT keep "FROM:<...>
 * ..." as rest. */
enum verb command_parse(struct slice line, struct slice *rest);

#define ORCPT_SIZE 512 /* RFC 3461 allows 500 characters for ORCPT and 100 for ENVID */
#define ENVID_SIZE 104

enum notify {                     /* RFC 3461 section 4.1; a set of bits */
              NOTIFY_DEFAULT = 0, /* parameter absent: FAILURE and DELAY at our choice */
              NOTIFY_NEVER = 1,
              NOTIFY_SUCCESS = 2,
              NOTIFY_FAILURE = 4,
              NOTIFY_DELAY = 8,
};
enum ret { RET_ABSENT, RET_FULL, RET_HDRS };

struct mail_command {
    struct address reverse_path; /* null for <> */
    uint64_t size;               /* SIZE=, 0 when absent */
    bool is_8bitmime;            /* BODY=8BITMIME */
    enum ret ret;
    char envid[ENVID_SIZE]; /* xtext as received, checked; "" when absent */
    bool requiretls;        /* REQUIRETLS was said (the session decides whether that is allowed) */
    bool smtputf8;          /* SMTPUTF8 was said */
    bool has_auth;          /* AUTH= was said; its value is not kept */
};
struct rcpt_command {
    struct address recipient;
    unsigned notify;        /* enum notify bits */
    char orcpt[ORCPT_SIZE]; /* "type;xtext" as received, checked; "" when absent */
};

/* What was wrong, as a complete reply. */
struct command_error {
    unsigned code; /* 0: nothing */
    struct status status;
    const char *text; /* static */
};

/* Parse what follows MAIL or RCPT ("FROM:<...> SIZE=1"). Unknown or repeated parameters are 555 /
 * 501 5.5.4; white space behind "FROM:" is tolerated (as Postfix does). A non-ASCII address gives
 * 553 5.6.7. */
struct command_error command_parse_mail(struct slice rest, struct mail_command *out);
struct command_error command_parse_rcpt(struct slice rest, struct rcpt_command *out);

#endif
