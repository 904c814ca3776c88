/* room.h - what the files of the queue share: the struct behind `struct queue`. Not for others. */
#ifndef QUEUE_ROOM_H
#define QUEUE_ROOM_H

#include <pthread.h>
#include <stdatomic.h>

#include "queue/lane.h"
#include "queue/lease.h"
#include "queue/notice.h"
#include "queue/store.h"
#include "queue/writer.h"

struct queue {
    struct store *store;
    struct writer *writer;
    struct leases *leases;
    struct watches *watches;
    struct event_sink events; /* a copy; emit is NULL when there is none */
    uint64_t limit;
    int lock_fd;
    _Atomic uint64_t next_id;
    _Atomic uint64_t id_limit; /* durable: no ID from here on was ever handed out */
    atomic_bool is_reserving;
    _Atomic uint64_t used; /* as of the last commit */
    /* Recipients looked at to finish messages, since open: the writer's work that could grow beyond
     * all bounds unnoticed. Tests count it. */
    _Atomic uint64_t surveyed;
    pthread_mutex_t tally_lock;
    struct tally tally;
};

const struct event_sink *room_events(struct queue *q);
/* 0: the durable reserve is used up, because the store is broken. */
uint64_t room_new_id(struct queue *q);
/* Runs `run` on the poster's thread. */
void room_post(const struct queue_poster *poster, void (*run)(void *argument), void *argument);
char *room_text(const char *text);  /* an owned copy; NULL gives "" */
uint64_t room_hash(struct slice s); /* FNV-1a */
uint32_t room_flow(const char *user, const char *reverse_path);

#endif
