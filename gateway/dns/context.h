/* context.h - makes libunbound's context as we want it: what it is told, and what it must not do.
 *
 * Home loop only. */
#ifndef GATEWAY_DNS_CONTEXT_H
#define GATEWAY_DNS_CONTEXT_H

#include <unbound.h>

#include "gateway/dns/dns.h"

/* Reads every file that the options name, so that mistakes show now and not at the first question.
 * NULL: error names the file, resolver or option. The caller deletes it with ub_ctx_delete(). */
NODISCARD struct ub_ctx *dns_context_new(const struct dns_options *o, char *error,
                                         size_t error_size);

#endif
