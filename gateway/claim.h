/* claim.h - what the daemon takes from the machine before it serves: ports, directories, the user
 * it becomes, the store with its lock, the control socket.
 *
 * Main thread only, before there is another. What cannot be had is logged (log_complain()). */
#ifndef GATEWAY_CLAIM_H
#define GATEWAY_CLAIM_H

#include "gateway/config.h"
#include "queue/queue.h"

struct claim_port {
    int fd;          /* as net_bind() gives it */
    size_t listener; /* index in the submission settings */
};

struct claim {
    struct claim_port *ports; /* owned, as all here */
    size_t port_count;
    struct queue *queue; /* NULL: not opened */
    int control_fd;      /* negative: not bound */
};

/* In this order: binds the ports as whoever started us, becomes the configured user, opens the
 * store, binds the control socket. On false, too, the claim is to be released. */
NODISCARD bool claim_take(struct claim *c, const struct config *config);
/* Closes all that was taken; config: the one it was taken with, or one with the same
 * control_socket. The loops have run out, and are not freed yet: the store posts its last answers
 * to them. */
void claim_release(struct claim *c, const struct config *config);

#endif
