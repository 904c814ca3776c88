/* learn.h - what the files that keep learnt things share. Not for others.
 *
 * Learnt things (policies, postures, findings of dry run, counts for reports) help, but nothing is
 * lost without them. So they never keep mail out: each of their tables has a bounded share of
 * limits.queue_size, and what does not fit is not learnt. */
#ifndef QUEUE_LEARN_H
#define QUEUE_LEARN_H

#include "queue/change.h"

/* May a table of learnt things grow by that many octets? 0 may always be. Writer's thread. */
bool learn_has_room(struct batch *b, enum table table, uint64_t growth);

/* One entry after the other, with a view for each: the visitor takes its time without holding back
 * pages. Any thread. */
struct walk {
    char key[511]; /* of the entry at hand; LMDB takes no longer one */
    size_t key_len;
    struct buffer value;
    bool is_begun; /* the entry with this key was seen */
};
/* Starts at the first key that is not below `from`. */
void walk_init(struct walk *w, struct slice from);
/* False: no more, or the store is broken. */
NODISCARD bool walk_next(struct walk *w, struct queue *q, enum table table);
struct slice walk_key(const struct walk *w);
void walk_free(struct walk *w);

#endif
