/* date.h - times in text. Wall-clock times are seconds or milliseconds since the epoch, UTC. Any
 * thread. */
#ifndef MAIL_DATE_H
#define MAIL_DATE_H

#include "mail/slice.h"

#define DATE_SIZE 40

const char *date_rfc5322(int64_t at,
                         char out[DATE_SIZE]); /* "Sun, 22 Nov 2026 15:28:50 +0000"; returns out */
const char *date_rfc3339(int64_t at, char out[DATE_SIZE]); /* "2026-11-22T15:28:50Z"; returns out */
NODISCARD bool date_parse_rfc3339(struct slice in, int64_t *at);
int64_t date_now(void);    /* seconds */
int64_t date_now_ms(void); /* milliseconds */

#endif
