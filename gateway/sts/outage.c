#include "gateway/sts/outage.h"

static bool end(struct outage *o, int64_t now)
{
    int64_t length = now - o->began_at;
    if (!o->is_on)
        return false;
    o->is_on = false;
    o->count = 0;
    o->ended++;
    o->spent += length > OUTAGE_QUIET ? length : OUTAGE_QUIET;
    return true;
}

static bool note_reached(struct outage *o, int64_t now)
{
    o->reached_at = now;
    o->count = 0;
    return end(o, now);
}

static bool may_begin(struct outage *o, int64_t now)
{
    if (now - o->day_at >= 86400 || now < o->day_at) {
        o->day_at = now;
        o->spent = 0;
    }
    return o->count == OUTAGE_OPERATORS && o->spent < OUTAGE_MAX &&
           (o->reached_at == 0 || now - o->reached_at >= OUTAGE_QUIET);
}

static void forget_old(struct outage *o, int64_t now)
{
    size_t kept = 0;
    for (size_t i = 0; i < o->count; i++) {
        if (now - o->failed[i].at < OUTAGE_SPAN)
            o->failed[kept++] = o->failed[i];
    }
    o->count = kept;
}

static void remember(struct outage *o, const struct sts_operator *who, int64_t now)
{
    for (size_t i = 0; i < o->count; i++) {
        if (operator_is_related(&o->failed[i].who, who)) {
            o->failed[i].at = now;
            return;
        }
    }
    if (o->count == OUTAGE_OPERATORS)
        return;
    o->failed[o->count].who = *who;
    o->failed[o->count++].at = now;
}

bool outage_note(struct outage *o, const struct sts_operator *who, bool is_reached, int64_t now)
{
    if (is_reached)
        return note_reached(o, now);
    if (o->is_on)
        return o->spent + now - o->began_at >= OUTAGE_MAX && end(o, now);
    forget_old(o, now);
    remember(o, who, now);
    o->is_on = may_begin(o, now);
    if (o->is_on)
        o->began_at = now;
    return o->is_on;
}
