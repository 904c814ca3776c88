/* conn_uv.h - what conn.c and listener.c share. Not for other rooms. */
#ifndef GATEWAY_NET_CONN_UV_H
#define GATEWAY_NET_CONN_UV_H

#include <sys/socket.h>

#include "gateway/net/conn.h"

/* Wraps an accepted descriptor, which it owns from now on, also on failure (NULL, *error). Reads
 * nothing before conn_begin(). */
NODISCARD struct conn *conn_adopt(struct loop *l, int fd, const struct sockaddr_storage *peer,
                                  socklen_t peer_len, int *error);
void conn_begin(struct conn *c); /* the handler is set: reading starts */

/* 0 for NET_NONE. */
socklen_t sockaddr_of(const struct net_address *a, struct sockaddr_storage *out);
void sockaddr_read(const struct sockaddr_storage *from, socklen_t len, struct net_address *out);

#endif
