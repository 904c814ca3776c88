/* duration.h - spans of time as people write them: "30s", "15m", "4h", "5d", "2w". Pure. */
#ifndef GATEWAY_CONTROL_DURATION_H
#define GATEWAY_CONTROL_DURATION_H

#include "mail/slice.h"

/* One number and one unit, at most ten years. */
NODISCARD bool duration_parse(struct slice in, int64_t *ms);
#define DURATION_SIZE 32
/* "3d 4h", "45s": the two largest units that are not 0. Returns out. */
const char *duration_text(int64_t seconds, char out[DURATION_SIZE]);

#endif
