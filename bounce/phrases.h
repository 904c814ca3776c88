/* phrases.h - what a notice says, in each language. Inside of the room only. */
#ifndef BOUNCE_PHRASES_H
#define BOUNCE_PHRASES_H

#include "bounce/bounce.h"
#include "bounce/page.h"

enum phrase {
    PHRASE_GREETING, /* hostname */
    PHRASE_FAILURE,
    PHRASE_DELAY,
    PHRASE_SUCCESS,
    PHRASE_HOST_SAID,       /* host; the reply follows */
    PHRASE_GUARANTEE_SINCE, /* date */
    PHRASE_GUARANTEE,
    PHRASE_REQUIREMENT,
    PHRASE_REQUIRED, /* phrase_required() follows */
    PHRASE_REQUIRED_BY_DOMAIN,
    PHRASE_TLS_REQUIRED_NO, /* that the message said it was to no avail */
    PHRASE_EVIDENCE,
    PHRASE_EVIDENCE_AS_FOR, /* address */
    PHRASE_EVIDENCE_CUT,
    PHRASE_HELD_UNTIL, /* ID, date */
    PHRASE_HELD,       /* ID */
    PHRASE_NOT_HELD,
    PHRASE_NOW,
    PHRASE_RELEASE,       /* command */
    PHRASE_RELEASE_FORCE, /* command */
    PHRASE_RELEASE_REFUSED,
    PHRASE_RECHECK, /* command */
    PHRASE_SWITCH,
    PHRASE_SWITCH_FIRST, /* where no other advice comes before it */
    PHRASE_LOWER,        /* in its place where encryption is there, and its proof is not */
    PHRASE_LOWER_FIRST,
    PHRASE_POSTMASTER,
    PHRASE_TIME_IS_OVER,
    PHRASE_RETRY_UNTIL,     /* date */
    PHRASE_RETRY_SUSPENDED, /* date */
    PHRASE_DELIVERED,
    PHRASE_RELAYED,
    PHRASE_PASSED_ON,
    PHRASE_LEFT_AT,       /* date, host */
    PHRASE_LEFT_TLS,      /* protocol and cipher */
    PHRASE_LEFT_VERIFIED, /* by what */
    PHRASE_LEFT_UNVERIFIED,
    PHRASE_LEFT_CLEAR,
    PHRASE_LEFT_LOCAL,
    PHRASE_DOWNGRADE, /* host, date */
    PHRASE_NOT_IN_CLEAR,
    PHRASE_SUSPENDED,
    PHRASE_REDACTED,
    PHRASE_COUNT,
};

/* LF line ends; a '%' stands for each value named above, in that order. */
const char *phrase_text(enum bounce_language language, enum phrase phrase);
/* What was required, from the words of guarantee_required_words(); what of them is not known stays
 * as it is. */
void phrase_required(enum bounce_language language, const char *required, struct page *out);

#endif
