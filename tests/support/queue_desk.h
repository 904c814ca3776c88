/* queue_desk.h - a store in a directory of its own and a poster whose callbacks run when the test
 * says so.
 *
 * Everything is on the test's thread but `post`. Waiting is bounded: ten seconds without an answer
 * end the program. */
#ifndef TESTS_SUPPORT_QUEUE_DESK_H
#define TESTS_SUPPORT_QUEUE_DESK_H

#include <pthread.h>

#include "queue/account.h"
#include "queue/due.h"
#include "queue/held.h"
#include "queue/incoming.h"
#include "queue/message.h"
#include "queue/notice.h"
#include "queue/store.h"

struct desk_post;

struct desk {
    struct queue *q;
    struct queue_poster poster;
    struct event_sink events;
    char directory[128];
    uint64_t limit;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct desk_post *first;
    struct desk_post **last;
    char last_event[64]; /* name of the last event emitted; under lock */
    unsigned event_count;
};

/* An answer waited for. */
struct desk_answer {
    bool is_done;
    int error;
};
void desk_done(void *context, int error); /* a queue_done for a struct desk_answer */

void desk_open(struct desk *d, uint64_t limit); /* in a fresh directory */
void desk_open_at(struct desk *d, const char *directory, uint64_t limit);
int desk_try_open(struct desk *d, char *error, size_t error_size);
void desk_shut(struct desk *d);   /* closes the store, runs what was answered; the files stay */
void desk_close(struct desk *d);  /* and removes the files */
void desk_reopen(struct desk *d); /* shut and open again */
void desk_run(struct desk *d);    /* runs what was posted so far */
int desk_wait(struct desk *d, struct desk_answer *a); /* runs posts until it is there */
/* Commits what was handed in so far and nobody waits for (at most 256 operations of that kind, of 1
 * MiB together). */
void desk_flush(struct desk *d);
/* Sweeps what is old at `now` (seconds). */
void desk_sweep(struct desk *d, int64_t now);
/* Stores any octets in a table, to damage what is there. */
void desk_put(struct desk *d, enum table table, struct slice key, struct slice value);
bool desk_wait_for(struct desk *d, const bool *flag, unsigned timeout_ms);

/* Content of `size` octets that differs with seed and offset. */
char *desk_content(size_t size, unsigned seed);
/* Queues a message from `sender` to `count` recipients; due and arrived at `now_ms`. 0 or error. */
int desk_queue(struct desk *d, const char *sender, const char *const *recipients, size_t count,
               size_t size, int64_t now_ms, uint64_t *id);
uint64_t desk_one(struct desk *d, const char *recipient, int64_t now_ms); /* a small one */
/* Takes everything due from all lanes (by a watch of its own). */
size_t desk_take(struct desk *d, int64_t now_ms, struct queue_recipient *out, size_t max);
struct queue_result desk_result(const struct queue_recipient *r, enum disposition disposition,
                                enum queue_report report, int64_t now_ms);
int desk_settle(struct desk *d, const struct queue_result *results, size_t count);
/* Damages the record of an account, given by its address key. */
void desk_damage_account(struct desk *d, const char *key);
/* The only recipient, or the one at `index`; the caller clears. -ENOENT. */
int desk_recipient(struct desk *d, uint64_t id, uint32_t index, struct queue_recipient *out);

#endif
