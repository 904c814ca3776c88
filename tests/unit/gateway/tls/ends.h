/* ends.h - two streams on the loopback in one loop, for the tests of this folder. Each event is
 * noted as a letter; a test says what an end does when it sees one. */
#ifndef TESTS_UNIT_GATEWAY_TLS_ENDS_H
#define TESTS_UNIT_GATEWAY_TLS_ENDS_H

#include "gateway/tls/stream.h"

struct end {
    struct ends *ends;
    struct stream *stream; /* NULL before and after */
    bool is_server;
    char seen[64]; /* o d s f w e t c: opened data secured failed drained ended deadline closed */
    size_t len;
    int error;
    struct buffer got;
    struct tls_facts facts;     /* of `s` */
    struct tls_failure failure; /* of `f` */
    char error_text[200];       /* of `e` */
    uint8_t binding[32];
    bool has_binding;
    /* What to do on an event; 0 or NULL: nothing. */
    char close_on, abort_on, pause_on;
    const char *say; /* once secured */
    bool echoes;
    bool waits; /* does not start TLS by itself */
    void (*on_event)(struct end *e, char letter);
    size_t (*take)(struct end *e, struct slice in); /* NULL: all */
};

struct ends {
    struct loop *loop;
    struct listener *listener;
    struct net_address address;
    struct tls_context *server_tls, *client_tls; /* borrowed */
    struct tls_client_options options;
    struct end client, server;
    struct loop_timer *timer;
    void (*on_timer)(struct ends *n);
    unsigned open;   /* streams */
    unsigned expect; /* the loop ends when this many have been closed; default 2 */
};

void ends_begin(struct ends *n, struct tls_context *server, struct tls_context *client);
void ends_listen(struct ends *n);
void ends_connect(struct ends *n);
void ends_run(struct ends *n); /* until what was expected has closed */
void ends_finish(struct ends *n);
void end_start_tls(struct end *e);
void end_assert_got(struct end *e, const char *want);

#endif
