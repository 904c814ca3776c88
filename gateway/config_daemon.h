/* config_daemon.h - what the configuration file says to the daemon itself: the top level, the
 * resolver with its self-test, the reports about TLS. */
#ifndef GATEWAY_CONFIG_DAEMON_H
#define GATEWAY_CONFIG_DAEMON_H

#include "gateway/config.h"
#include "gateway/section.h"

/* Fills the fields of c that are its own; config_free() frees them. CONFIG_WHOLE: what the daemon
 * would trip over at its start is reported, too. */
void config_daemon_read(struct section root, struct config *c, enum config_use use);

#endif
