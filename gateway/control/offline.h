/* offline.h - a command on the store itself, where no daemon runs. Blocks. */
#ifndef GATEWAY_CONTROL_OFFLINE_H
#define GATEWAY_CONTROL_OFFLINE_H

#include "gateway/control/commands.h"

struct offline; /* opaque: the store, and a desk where its answers arrive */

/* Takes the lock and opens the store. NULL with the words in error[];
 * *is_locked says that another process has the store. */
NODISCARD struct offline *offline_open(const struct control_client *c, bool *is_locked, char *error,
                                       size_t error_size);
void offline_close(struct offline *o);
struct queue *offline_queue(struct offline *o); /* borrowed */
/* Appends the whole answer to *answer. uid: who asks, for the log, which is syslog's here. */
void offline_run(struct offline *o, struct slice request, uint32_t uid, struct buffer *answer);

#endif
