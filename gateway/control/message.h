/* message.h - messages and recipients as JSON: the fields of `queue list` and `held list`
 * (INTERFACE.md) and what `show` says more. */
#ifndef GATEWAY_CONTROL_MESSAGE_H
#define GATEWAY_CONTROL_MESSAGE_H

#include "gateway/control/answer.h"
#include "queue/message.h"

enum message_view {
    MESSAGE_QUEUE, /* recipients with something still to come */
    MESSAGE_HELD,  /* held recipients */
};

/* NULL: no recipient of it belongs to that view. */
json_t *message_json(const struct queue_message *m, const struct queue_recipient *recipients,
                     size_t count, enum message_view view, bool is_whole);
/* Whose flag it is: the authenticated user, else the owner of a recipient's flag; "" for nobody. */
const char *message_user(const struct queue_message *m, const struct queue_recipient *recipients,
                         size_t count);
/* The answer of `show`. */
void answer_message(struct command *c, enum message_view view);

#endif
