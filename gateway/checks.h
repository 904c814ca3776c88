/* checks.h - the looks at a domain that `sealpostctl check` asked for: the control room asks,
 * delivery's probe looks.
 *
 * Loop thread only, all on the same loop. */
#ifndef GATEWAY_CHECKS_H
#define GATEWAY_CHECKS_H

#include <sys/queue.h>

#include "gateway/control/control.h"
#include "gateway/delivery/probe.h"

#define CHECKS_MAX 16 /* at once; each may open a hundred connections */

struct check; /* opaque: one look under way */

/* A plain value; all zero is empty. */
struct checks {
    LIST_HEAD(check_list, check) under_way; /* owned */
    unsigned count;
};

/* Looks as `look` says; its deadline, done and context are filled in here. viewed(asker, view)
 * comes once, never from inside; the check is gone after it. NULL: no resources, or CHECKS_MAX are
 * under way. */
NODISCARD struct check *checks_begin(struct checks *c, const struct probe_options *look,
                                     control_viewed *viewed, void *asker);
void checks_cancel(struct check *check); /* before viewed(): it will not come */
/* All at once: everybody who waits is told that nothing is known. */
void checks_end(struct checks *c);

#endif
