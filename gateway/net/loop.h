/* loop.h - one event loop, one thread: posting, timers, fd watchers, and jobs off the loop.
 *
 * The one door to libuv. All functions but loop_post() belong to the loop's own thread (or to the
 * time before loop_run()). A callback is never run from inside the call that asked for it. */
#ifndef GATEWAY_NET_LOOP_H
#define GATEWAY_NET_LOOP_H

#include "mail/base.h"

struct loop; /* opaque */

/* NULL: descriptors or memory are out. SIGPIPE is ignored in the whole process from then on (a
 * write to a closed connection is an error like any other). */
NODISCARD struct loop *loop_new(void);
void loop_run(
    struct loop *l); /* until loop_stop() and until every handle is closed and every job is done */
void loop_stop(struct loop *l); /* any thread: ends loop_run() once what is open has been closed by
                                   its owners */
void loop_free(struct loop *l); /* after loop_run(), or instead of it; NULL is fine. Panics when
                                   something is still open. */
int64_t loop_now_ms(struct loop *l); /* monotonic, of this turn */

/* Runs run(argument) on the loop's thread, in order of posting. Any thread. What is posted after
 * loop_run() returned is dropped; what was posted before is run first. */
void loop_post(struct loop *l, void (*run)(void *argument), void *argument);

struct loop_timer; /* opaque */
NODISCARD struct loop_timer *loop_timer_new(struct loop *l, void (*fire)(void *context),
                                            void *context);
void loop_timer_start(struct loop_timer *t,
                      int64_t in_ms); /* once; starting again moves it; negative counts as 0 */
void loop_timer_stop(struct loop_timer *t);
void loop_timer_free(struct loop_timer *t); /* NULL is fine; fire is never called again */

/* A call for the end of this loop turn, just before what was written to connections goes out. Lives
 * inside its owner, cannot fail, is done once per start. The owner cancels it before it goes away.
 */
struct loop_later {
    struct loop_later *next, *previous; /* NULL: not waiting */
    void (*run)(void *context);
    void *context;
};
void loop_later_start(struct loop *l, struct loop_later *later, void (*run)(void *context),
                      void *context); /* no-op while waiting */
void loop_later_cancel(struct loop_later *later);

struct loop_watch; /* opaque: events of a file descriptor that somebody else owns */
/* Readable events; `readable` also on an error of the descriptor. NULL: the descriptor is none. */
NODISCARD struct loop_watch *loop_watch_new(struct loop *l, int fd, void (*readable)(void *context),
                                            void *context);
/* The same for both directions. Looks at nothing until loop_watch_select() says at what. An error
 * of the descriptor counts as all that is selected. */
NODISCARD struct loop_watch *loop_watch_new_both(struct loop *l, int fd,
                                                 void (*ready)(void *context, bool is_readable,
                                                               bool is_writable),
                                                 void *context);
/* Only for a watch of loop_watch_new_both(); neither: rests. May be called from `ready`. */
void loop_watch_select(struct loop_watch *w, bool readable, bool writable);
void loop_watch_free(
    struct loop_watch *w); /* NULL is fine; before its owner closes the descriptor */

/* Runs work(context) on a pool thread, then done(context) on the loop. False: could not be queued,
 * nothing will run. */
NODISCARD bool loop_job(struct loop *l, void (*work)(void *context), void (*done)(void *context),
                        void *context);

/* Ends the pool threads and waits for them, so that what libraries keep for each thread is given
 * back. Once, after the last loop_free(); no loop can be made afterwards. */
void loop_end_pool(void);

/* 64 KiB that belong to whoever's callback is running: content is gone when it returns, and is not
 * wiped. */
#define LOOP_SCRATCH_SIZE 65536
char *loop_scratch(struct loop *l);

#endif
