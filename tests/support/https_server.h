/* https_server.h - tests/support/https_server.py as a child of a unit test. */
#ifndef TESTS_SUPPORT_HTTPS_SERVER_H
#define TESTS_SUPPORT_HTTPS_SERVER_H

#include "mail/base.h"

struct https_server {
    int pid;
    int input; /* it ends when this is closed */
    uint16_t port, old_port, plain_port;
};

/* Panics when it does not come up. `folder` has the certificates. */
void https_server_start(struct https_server *s, const char *folder);
void https_server_stop(struct https_server *s);

#endif
