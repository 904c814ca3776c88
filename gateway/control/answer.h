/* answer.h - writing answers: JSON values, and the line that ends a command. Host's thread. */
#ifndef GATEWAY_CONTROL_ANSWER_H
#define GATEWAY_CONTROL_ANSWER_H

#include "gateway/control/command.h"

/* From now on all memory of the JSON library is wiped when it is freed: requests hold passwords.
 * Before any other call of that library; again is fine. */
void json_wipes(void);

/* Values. Octets that are no UTF-8 become '?'; NULL and "" become null in json_text_or_null. */
json_t *json_text(const char *text);
json_t *json_text_or_null(const char *text);
json_t *json_time(int64_t at_ms); /* RFC 3339; 0: null */
json_t *json_id(uint64_t id);
void json_put(json_t *object, const char *key, json_t *value); /* takes the value */
void json_add(json_t *array, json_t *value);                   /* takes the value */

/* Appends a value's text; false when out of memory. Takes the value. */
NODISCARD bool json_write(struct buffer *out, json_t *value);

/* The end of a command. `result` is taken. */
void answer_ok(struct command *c, json_t *result);
void answer_error(struct command *c, int exit_status, const char *format, ...) PRINTF_LIKE(3, 4);
/* For an error of the queue that has no words of its own. */
void answer_queue_error(struct command *c, int error);

/* A listing: elements one by one (taken), then the end. */
void answer_element(struct command *c, json_t *element);
void answer_end_list(struct command *c);

#endif
