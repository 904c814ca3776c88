/* id.h - queue IDs: a 64-bit number in the store, 12 or more characters in text, never used twice.
 * Any thread. */
#ifndef MAIL_ID_H
#define MAIL_ID_H

#include "mail/slice.h"

#define ID_SIZE 20

const char *
id_text(uint64_t id,
        char out[ID_SIZE]); /* digits and upper-case letters without vowels; returns out */
NODISCARD bool id_parse(struct slice in, uint64_t *id); /* case does not matter */

#endif
