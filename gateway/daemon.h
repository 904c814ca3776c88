/* daemon.h - the running gateway: binds, becomes its user, opens the store, wires the rooms
 * together, and takes them down again. Main thread only. */
#ifndef GATEWAY_DAEMON_H
#define GATEWAY_DAEMON_H

#include "gateway/config.h"

/* Runs until SIGTERM or SIGINT. Takes the configuration; `file` is read again on SIGHUP. Returns
 * the exit status: 0, or 1 when it could not start (words on stderr). */
int daemon_run(const char *file, struct config *config);

#endif
