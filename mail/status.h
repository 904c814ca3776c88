/* status.h - enhanced status codes (RFC 3463). Plain values, any thread. */
#ifndef MAIL_STATUS_H
#define MAIL_STATUS_H

#include "mail/slice.h"

struct status {
    uint8_t class;    /* 2, 4 or 5; 0: none */
    uint16_t subject; /* 0..999 */
    uint16_t detail;  /* 0..999 */
};

#define STATUS_SIZE 12 /* "5.999.999" and the NUL */

struct status status_make(unsigned class, unsigned subject, unsigned detail);
bool status_equal(struct status a, struct status b);
/* Reads "5.7.4" at the front of *in and moves behind it (and not behind what follows). Moves only
 * on success. */
NODISCARD bool status_parse(struct slice *in, struct status *out);
const char *status_text(struct status s, char out[STATUS_SIZE]); /* returns out */

#endif
