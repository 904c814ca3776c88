/* outcome.h - why a recipient's mail went where it went, in words an administrator can act on.
 *
 * Made by whoever first sees the failure; carried unchanged to the log, the store and the notice.
 * Plain value, any thread. */
#ifndef MAIL_OUTCOME_H
#define MAIL_OUTCOME_H

#include "mail/status.h"

/* What becomes of one recipient (our word; translated to Action of RFC 3464 in bounce/). */
enum disposition {
    DISPOSITION_DELIVERED,
    DISPOSITION_DEFERRED, /* tried again later */
    DISPOSITION_FAILED,   /* permanent, of the message's or the destination's own cause */
    DISPOSITION_HELD,     /* stopped by a requirement: kept for release (or dropped) */
};
const char *disposition_name(enum disposition d);

#define OUTCOME_TEXT_SIZE 512

struct outcome {
    unsigned code;                /* SMTP reply code 200..599 of the host; 0: a local cause */
    struct status status;         /* never 0 */
    char text[OUTCOME_TEXT_SIZE]; /* one line, printable UTF-8, never empty */
    char mx[DOMAIN_SIZE];         /* the MX host this is about; "" when none */
    char address[64]; /* its IP address in text (or the Unix socket path); "" when none connected */
    uint16_t port;    /* 0 when none */
};

/* A cause of our own finding. The text is cut at the size; unprintable octets become '?'. An empty
 * text or a class other than 2, 4, 5 is a bug of ours (panic). */
struct outcome outcome_local(struct status status, const char *format, ...) PRINTF_LIKE(2, 3);
/* What a host replied: code 200..599 (else panic) and its whole text, as in struct reply; lines are
 * joined by a space, no text becomes "(no text)". An enhanced code of the same class at the front
 * becomes `status` and stays in the text; else the status is X.0.0, and for a code of 3xx, which
 * came at the wrong time, 4.5.0. */
struct outcome outcome_reply(unsigned code, struct slice text);
/* Says which host spoke. NULL or "" leaves the member empty. */
void outcome_set_host(struct outcome *o, const char *mx, const char *address, uint16_t port);
bool outcome_is_permanent(const struct outcome *o); /* class 5 */

#endif
