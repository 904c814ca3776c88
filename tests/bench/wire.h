/* wire.h - one TCP connection with or without TLS, for the programs that measure. Not the gateway's
 * own code on purpose: a benchmark must not share the faults of what it measures.
 *
 * Sockets do not block. The owner waits on `fd` for wire_events() and calls wire_pump() after each
 * wake-up, then takes whole lines with wire_line(). One thread. */
#ifndef TESTS_BENCH_WIRE_H
#define TESTS_BENCH_WIRE_H

#include <openssl/ssl.h>
#include <sys/socket.h>

#include "mail/buffer.h"

struct wire {
    int fd;            /* owned; -1: closed */
    SSL *ssl;          /* owned; NULL in the clear */
    struct buffer in;  /* read, not yet taken */
    struct buffer out; /* to write */
    struct slice tail; /* borrowed: to write behind `out` */
    bool in_handshake;
    bool is_connecting;
    bool awaits_tls; /* set by the owner: what comes next is a handshake, and left unread */
    bool is_blocked; /* writing must wait for the peer */
    bool needs_pump; /* there is something to do that no event of the socket will tell */
    bool is_over;    /* the peer has closed, or an error */
};

void wire_open(struct wire *w, int fd); /* takes fd, accepted from a listener */
/* Opens a socket and begins to connect. False: errno says why, and nothing is to be closed. */
bool wire_connect(struct wire *w, const struct sockaddr_storage *to, unsigned len);
void wire_close(struct wire *w);
/* Begins the handshake at the next pump. */
void wire_start_tls(struct wire *w, SSL_CTX *context, bool is_server);
void wire_send(struct wire *w, struct slice bytes);
/* Written behind everything sent so far, and nothing may be sent until wire_is_idle(). Borrowed. */
void wire_send_tail(struct wire *w, struct slice bytes);
bool wire_is_idle(const struct wire *w); /* nothing to write */
/* Shakes hands, writes and reads what is possible now. After it `is_over` may be set; `in` still
 * holds what came before. Take the lines, and pump again while `needs_pump`. */
void wire_pump(struct wire *w);
uint32_t wire_events(const struct wire *w); /* for epoll */
/* Takes the next line off `in`, without its CRLF; borrowed until the next pump. */
bool wire_line(struct wire *w, struct slice *line);

/* A context for TLS 1.3 alone, without session tickets: every handshake is a full one. Without
 * files a client's, which checks no certificate. Ends the program when the files are bad. */
SSL_CTX *wire_context(const char *certificate_file, const char *key_file);
/* As many descriptors as the system gives. */
void wire_raise_limits(void);
/* "ADDRESS:PORT" or "[ADDRESS]:PORT"; false: neither. */
bool wire_address(const char *text, struct sockaddr_storage *out, unsigned *len);
double wire_now(void); /* seconds, monotonic */

#endif
