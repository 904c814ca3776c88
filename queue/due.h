/* due.h - what is to be delivered when, and what became of it.
 *
 * Waiting recipients stand in lanes: one lane per (recipient domain, sender). The delivery side
 * learns of lanes, takes what is due from them under a lease, and settles each lease with a result.
 * A lease lives in memory: after a crash everything unsettled is due again. */
#ifndef QUEUE_DUE_H
#define QUEUE_DUE_H

#include "queue/message.h"

struct queue_lane {
    char domain[DOMAIN_SIZE]; /* of the recipients, A-label (a literal's brackets included) */
    /* Stands for one sender (user, or reverse-path): one sender's flood waits beside others' mail.
     */
    uint32_t flow;
};

/* After every commit that gave a recipient of a lane a due time (new mail, settled as deferred,
 * released, retried), on the poster's thread, in order of commits; several in one commit come as
 * one call per lane with the earliest time. */
typedef void queue_lane_event(void *context, const struct queue_lane *lane, int64_t due_at_ms);
/* Also tells of every lane the store holds now (or, where they can not be read, as soon as they
 * can; then all watchers hear of them, perhaps not for the first time). One watcher per `share` of
 * `shares`: a domain belongs to share hash(domain) % shares. All watchers are set before mail
 * flows; unwatch with queue_unwatch() on the poster's thread, after which no event comes. */
struct queue_watch;
NODISCARD struct queue_watch *queue_watch_lanes(struct queue *q, const struct queue_poster *poster,
                                                unsigned share, unsigned shares,
                                                queue_lane_event *event, void *context);
void queue_unwatch(struct queue_watch *w);

/* Takes up to `max` recipients of the lane that are due at now_ms and not leased, oldest due first,
 * and leases them. Returns how many are in out[] (owned by the caller: free each content with
 * queue_recipient_clear()). *next_due_at_ms: when the next unleased is due (INT64_MAX: none).
 * Negative errno: the store could not be read, nothing is leased and *next_due_at_ms says nothing;
 * the lane may hold mail, so try again in some seconds. */
NODISCARD ptrdiff_t queue_take(struct queue *q, const struct queue_lane *lane, int64_t now_ms,
                               struct queue_recipient *out, size_t max, int64_t *next_due_at_ms);
void queue_recipient_clear(struct queue_recipient *r);
/* Gives a lease back untried (shutdown, or the destination moved): nothing is stored, due as
 * before. */
void queue_give_back(struct queue *q, uint64_t id, uint32_t index);

/* What became of a leased recipient in one attempt. Texts are borrowed and copied. */
struct queue_result {
    uint64_t id;
    uint32_t index;
    /* HELD with is_discarded: on_stop = discard; without a report it is held all the same. */
    enum disposition disposition;
    bool is_discarded;
    struct outcome outcome;
    int64_t attempted_at_ms;
    int64_t tls_seen_at; /* as in struct queue_recipient, like the next */
    bool is_suspended;
    /* A flag, REQUIRETLS, a policy or a route demanded TLS for it, or one was lifted: the message
     * is guarded from now on (struct queue_message). HELD says so by itself. */
    bool is_guarded;
    int64_t next_attempt_at_ms; /* DEFERRED */
    int64_t trouble_since;      /* DEFERRED: to be kept with it */
    /* What a notice is to say; NONE: nothing. An order for it is stored in the same commit. */
    enum queue_report report;
    /* HELD: */
    int64_t expires_at_ms;
    const char *required;
    const char *evidence;
    bool is_force_needed;
    bool is_release_refused;
    bool is_unnotifiable;
    /* DELIVERED with report SUCCESS: */
    bool is_relayed;
    bool is_passed_on;
    bool is_local;
    const char *protocol, *cipher, *verified;
};
/* Stores the results, all in one commit, ends the leases, then calls done(context, 0). It never
 * fails: what cannot be committed now (disk full) is kept in memory and committed again until it
 * succeeds, the leases held meanwhile (GUARANTEE.md section 4); an event tells the operator. Only
 * queue_begin_close() and queue_close() give up: then done gets the error, and after the next start
 * the recipients are due again. A recipient that was removed or dropped in between is passed over.
 * A recipient with nothing more to report and nothing more to do is removed, and the message with
 * its last one. */
void queue_settle(struct queue *q, const struct queue_result *results, size_t count,
                  const struct queue_poster *poster, queue_done *done, void *context);

#endif
