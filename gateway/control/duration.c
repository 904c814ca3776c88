#include "gateway/control/duration.h"

#include <inttypes.h>
#include <stdio.h>

#define MAX_SECONDS ((uint64_t)10 * 365 * 86400)

static const struct {
    char letter;
    uint64_t seconds;
} units[] = {{'w', 604800}, {'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};
#define LARGEST_SHOWN 1 /* days: weeks are read, as in the configuration, and not shown */

bool duration_parse(struct slice in, int64_t *ms)
{
    uint64_t count;
    if (in.len < 2 || !slice_number(slice_sub(in, 0, in.len - 1), MAX_SECONDS, &count))
        return false;
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        if (in.data[in.len - 1] != units[i].letter || count > MAX_SECONDS / units[i].seconds)
            continue;
        *ms = (int64_t)(count * units[i].seconds * 1000);
        return true;
    }
    return false;
}

const char *duration_text(int64_t seconds, char out[DURATION_SIZE])
{
    uint64_t rest = seconds < 0 ? 0 : (uint64_t)seconds;
    size_t first = LARGEST_SHOWN;
    while (first + 1 < COUNT_OF(units) && rest < units[first].seconds)
        first++;
    /* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): no unit has no seconds */
    uint64_t count = rest / units[first].seconds;
    rest %= units[first].seconds;
    int len = snprintf(out, DURATION_SIZE, "%" PRIu64 "%c", count, units[first].letter);
    if (first + 1 < COUNT_OF(units) && rest / units[first + 1].seconds > 0)
        snprintf(out + len, DURATION_SIZE - (size_t)len, " %" PRIu64 "%c",
                 rest / units[first + 1].seconds, units[first + 1].letter);
    return out;
}
