/* conn.h - one TCP (or Unix) connection: bytes in, bytes out, deadlines, an end. And the listener
 * they come from.
 *
 * Loop thread only. Lifetime: the owner calls conn_close(), from within any callback or outside;
 * `closed` is the last callback, after which the conn is gone and the owner may free itself. After
 * conn_close() no other callback comes. Never freed while a callback of it is on the stack, and no
 * callback comes from inside a call of this header. A NULL member of the handler is skipped. */
#ifndef GATEWAY_NET_CONN_H
#define GATEWAY_NET_CONN_H

#include "gateway/net/address.h"
#include "gateway/net/loop.h"
#include "mail/buffer.h"

struct conn; /* opaque */

struct conn_handler {
    void (*opened)(void *context);                   /* a client connection is established */
    void (*data)(void *context, struct slice bytes); /* all of it is the owner's now */
    void (*drained)(void *context); /* everything written has been given to the kernel */
    void (*ended)(
        void *context,
        int error); /* 0: the peer closed its side; else negative errno-like (uv) value, also for
                     * connect failures and a write that failed; no more data comes. At most once:
                     * what is written after a 0 and cannot be sent is swallowed, so close the conn
                     * (a close still sends what is unsent) */
    void (*deadline)(void *context);
    void (*closed)(void *context);
};

/* Words for an error given to `ended`: "Connection refused". */
const char *conn_error_text(int error);

/* Starts connecting; source may be NULL (its port is used if not 0). NULL with *error set:
 * descriptors, memory, bad source (our own fault). All else, an unreachable network too, comes
 * through `ended`. TCP_NODELAY is set. There is no deadline but conn_set_deadline(). */
NODISCARD struct conn *conn_connect(struct loop *l, const struct net_address *to,
                                    const struct net_address *source,
                                    const struct conn_handler *handler, void *context, int *error);
void conn_set_handler(struct conn *c, const struct conn_handler *handler, void *context);
const struct net_address *conn_peer(const struct conn *c);
const struct net_address *conn_local(const struct conn *c); /* NET_NONE before `opened` */
struct loop *conn_loop(const struct conn *c);

/* Copies; goes out at the end of this loop turn, together with what else was written in it. False:
 * over the ceiling (1 MiB) or out of memory: the owner should close. After an error writes are
 * swallowed. */
NODISCARD bool conn_write(struct conn *c, struct slice bytes);
size_t conn_unsent(const struct conn *c);
void conn_pause(struct conn *c); /* stop reading (back-pressure); an accepted or connected conn
                                    reads from the start */
void conn_resume(struct conn *c);
/* Replaces the last; negative: none. Counted from the start of this loop turn (loop_now_ms()). */
void conn_set_deadline(struct conn *c, int64_t in_ms);
/* Sends what is unsent (for at most 5 s), then closes its side, discards what still comes for at
 * most a second (closing with unread bytes would reset the connection and could take our last reply
 * with it), then is gone. With abort (true) drops all and resets. A second call with abort hastens
 * the first. */
void conn_close(struct conn *c, bool abort);
/* Peer credentials of a Unix connection; false on any other. */
NODISCARD bool conn_peer_uid(const struct conn *c, uint32_t *uid, uint32_t *gid);

/* A bound address. Binding and accepting are apart: addresses are bound in the main thread before
 * privileges are dropped; every loop then accepts from its own listener on the same descriptor
 * (each accepted connection goes to one of them). */
NODISCARD int net_bind(const struct net_address *a, char *error,
                       size_t error_size); /* fd, or negative errno with words; listening; IPv6 is
                                              v6-only; a stale Unix socket is replaced, mode 0660 */
struct listener;                           /* opaque */
/* The handler of the accepted conn is set by `accepted` through conn_set_handler() before it
 * returns. Out of descriptors: accepting pauses for a moment, `trouble` is told. */
NODISCARD struct listener *listener_new(struct loop *l, int fd,
                                        void (*accepted)(void *context, struct conn *c),
                                        void (*trouble)(void *context, int error), void *context,
                                        int *error);
void listener_free(struct listener *l); /* stops accepting, closes its descriptor (a dup of fd) */

#endif
