/* lease.h - which recipients are being worked on: a set in memory. Any thread. */
#ifndef QUEUE_LEASE_H
#define QUEUE_LEASE_H

#include "mail/base.h"

struct leases; /* opaque */

NODISCARD struct leases *leases_new(void);
void leases_free(struct leases *l);
/* False: somebody has it already. */
bool leases_take(struct leases *l, uint64_t id, uint32_t index);
void leases_end(struct leases *l, uint64_t id, uint32_t index);
bool leases_has(struct leases *l, uint64_t id, uint32_t index);
size_t leases_count(struct leases *l);

#endif
