/* loop_uv.h - the loop as this room's own files see it. Not for other rooms: they have no uv.h. */
#ifndef GATEWAY_NET_LOOP_UV_H
#define GATEWAY_NET_LOOP_UV_H

#include <uv.h>

#include "gateway/net/loop.h"

#define LOOP_READ_SIZE 65536

struct post {
    struct post *next; /* owned */
    void (*run)(void *argument);
    void *argument;
};

struct loop {
    uv_loop_t uv;
    uv_async_t wake;      /* a post or a stop from another thread */
    uv_prepare_t prepare; /* both run end_of_turn(): before the poll for what timers and closing */
    uv_check_t check;     /* did, after it for what input did */
    uv_idle_t busy;       /* active while end_of_turn() left work: the poll must not wait */
    uv_mutex_t lock;      /* guards the next three */
    struct post *posts;   /* owned list, oldest first */
    struct post **posts_end;
    bool is_ended;             /* loop_run() is over: posts are dropped */
    bool is_stopping;          /* atomic */
    size_t open;               /* handles of others not yet closed, and jobs not yet done */
    struct loop_later tasks;   /* list head: loop_later_start() */
    struct loop_later flushes; /* list head: connections with something to send */
    char *read_buffer;         /* owned, LOOP_READ_SIZE: one for all connections */
    char *scratch;             /* owned */
};

/* As loop_later_start(), but after all of those: writes what the turn brought together. */
void loop_flush_start(struct loop *l, struct loop_later *later, void (*run)(void *context),
                      void *context);

#endif
