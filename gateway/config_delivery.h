/* config_delivery.h - what the configuration file says of delivery: routes, policies and sources,
 * retries, TLS to the MX hosts. */
#ifndef GATEWAY_CONFIG_DELIVERY_H
#define GATEWAY_CONFIG_DELIVERY_H

#include "gateway/config.h"
#include "gateway/section.h"

/* c: all else has been read. The caller owns one reference. */
NODISCARD struct delivery_settings *
config_delivery_read(struct section root, const struct config *c, enum config_use use);

#endif
