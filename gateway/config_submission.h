/* config_submission.h - what the configuration file says of the front door: listeners, their TLS,
 * limits. */
#ifndef GATEWAY_CONFIG_SUBMISSION_H
#define GATEWAY_CONFIG_SUBMISSION_H

#include "gateway/config.h"
#include "gateway/section.h"

/* c: what the daemon itself is told has been read. The caller owns one reference. */
NODISCARD struct submission_settings *
config_submission_read(struct section root, const struct config *c, enum config_use use);

#endif
