/* turns.h - who may ask a policy host now: 256 at once, of which eight at one address and eight of
 * one registered domain, so that hosts that take a connection and keep silent hold up their own
 * operator's alone.
 *
 * In the order of coming, but who waits for an operator's others is passed by. Home loop only. */
#ifndef GATEWAY_STS_TURNS_H
#define GATEWAY_STS_TURNS_H

#include <sys/queue.h>

#include "gateway/net/loop.h"
#include "gateway/sts/operator.h"

#define TURNS_MAX 256
#define TURNS_OF_ONE_MAX 8 /* address, or registered domain */
/* One domain's at one address: its owner may point it at an address that others share, and must not
 * fill that. */
#define TURNS_OF_PAIR_MAX 2

struct turns; /* opaque */
struct turn_mark;

/* Part of who waits; zeroed before the first use. */
struct turn {
    struct turns *turns; /* NULL: neither waits nor runs */
    bool is_running;
    bool is_late;
    int64_t late_at_ms;
    size_t mark_count;
    struct turn_mark *marks[OPERATOR_MARKS_MAX];
    TAILQ_ENTRY(turn) entry; /* among those that wait, or run */
    void (*begin)(void *context);
    void (*late)(void *context);
    void *context;
};

/* patience_ms: after so long a wait a turn is late. */
struct turns *turns_new(struct loop *home, int64_t patience_ms);
/* From now on nobody begins. */
void turns_stop(struct turns *t);
void turns_free(struct turns *t); /* all have ended */

/* begin(context) comes once, perhaps from inside this call; late(context) at most once, while it
 * waits and goes on waiting. begin may end no turn, late only its own. */
void turn_take(struct turns *t, struct turn *turn, const struct sts_operator *whose,
               void (*begin)(void *context), void (*late)(void *context), void *context);
/* It waits or runs no more; others may begin now. Harmless for one that was not taken. */
void turn_end(struct turn *turn);

#endif
