/* learn.h - what the files that keep learnt things share. Not for others.
 *
 * Learnt things (policies, postures, findings of dry run, counts for reports) help, but nothing is
 * lost without them. So they never keep mail out: each of their tables has a bounded share of
 * limits.queue_size, and what does not fit is not learnt. */
#ifndef QUEUE_LEARN_H
#define QUEUE_LEARN_H

#include "queue/writer.h"

/* May a table of learnt things grow by that many octets? 0 may always be. Writer's thread. */
bool learn_has_room(struct batch *b, enum table table, uint64_t growth);
/* May an entry be replaced by one that is larger by that? So that what is there already does not
 * become false, the table may have twice its share, also while the store is full of mail. */
bool learn_may_replace(struct batch *b, enum table table, uint64_t growth);

/* A text of the caller's, cut to the octets that fit; NULL is "". */
void learn_text(const char *text, char *out, size_t size);

/* Looks at one entry and removes it, or what is old in it. `value` is borrowed until the first
 * change. */
typedef int learn_sweep_entry(struct batch *b, struct slice key, struct slice value, int64_t now);
learn_sweep_entry policy_sweep;
learn_sweep_entry posture_sweep;
learn_sweep_entry exception_sweep;
learn_sweep_entry trial_sweep;
learn_sweep_entry tlsrpt_sweep;
/* Removes what is old: policies and exceptions that have expired, postures not seen for 90 days,
 * findings of dry run after 30 days, counts for reports 48 hours after their day. In steps, others
 * commit between them. `now` is in seconds. */
void learn_sweep(struct queue *q, int64_t now, const struct queue_poster *poster, queue_done *done,
                 void *context);

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
