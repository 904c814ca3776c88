/* outage.h - is it our own way to policy hosts that is broken, rather than theirs?
 *
 * If port 443 is closed to us, or the CA file has no roots, no policy host can be reached or
 * trusted, and every destination would be blamed. When hosts of several operators that have nothing
 * to do with each other fail on end, and none was reached for a while, it is taken for our fault,
 * until one is reached, and for four hours of a day at most: what seems ours for longer is theirs,
 * and mail that needs their policies must come to an end that its sender hears of. Times are
 * seconds. Plain value; home loop only. */
#ifndef GATEWAY_STS_OUTAGE_H
#define GATEWAY_STS_OUTAGE_H

#include "gateway/sts/operator.h"

#define OUTAGE_OPERATORS 5
#define OUTAGE_QUIET 600 /* no success for so long */
#define OUTAGE_SPAN 3600 /* older failures do not count */
#define OUTAGE_MAX 14400 /* of a day; each counts as OUTAGE_QUIET at least */

struct outage {
    bool is_on;
    unsigned ended;     /* how many there were */
    int64_t reached_at; /* 0: never */
    int64_t began_at;   /* of the present or last one */
    int64_t day_at;     /* begin of the day that `spent` is of */
    int64_t spent;      /* in outages of that day that are over */
    size_t count;       /* of operators that failed since */
    struct {
        struct sts_operator who;
        int64_t at;
    } failed[OUTAGE_OPERATORS];
};

/* A policy host was asked. True: is_on has changed. */
NODISCARD bool outage_note(struct outage *o, const struct sts_operator *who, bool is_reached,
                           int64_t now);

#endif
