#include "gateway/net/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "gateway/net/loop_uv.h"

/* ---- calls for the end of the turn ---- */

static void list_init(struct loop_later *head)
{
    head->next = head->previous = head;
}

static bool list_is_empty(const struct loop_later *head)
{
    return head->next == head;
}

static void list_append(struct loop_later *head, struct loop_later *later)
{
    later->next = head;
    later->previous = head->previous;
    head->previous->next = later;
    head->previous = later;
}

static void list_move(struct loop_later *from, struct loop_later *to)
{
    list_init(to);
    if (list_is_empty(from))
        return;
    *to = *from;
    to->next->previous = to;
    to->previous->next = to;
    list_init(from);
}

static void start(struct loop_later *head, struct loop_later *later, void (*run)(void *context),
                  void *context)
{
    if (later->next)
        return;
    later->run = run;
    later->context = context;
    list_append(head, later);
}

void loop_later_start(struct loop *l, struct loop_later *later, void (*run)(void *context),
                      void *context)
{
    start(&l->tasks, later, run, context);
}

void loop_flush_start(struct loop *l, struct loop_later *later, void (*run)(void *context),
                      void *context)
{
    start(&l->flushes, later, run, context);
}

void loop_later_cancel(struct loop_later *later)
{
    if (!later->next)
        return;
    later->previous->next = later->next;
    later->next->previous = later->previous;
    later->next = later->previous = NULL;
}

/* What is started meanwhile waits for the next round, so that two that start each other cannot
 * keep the loop from its input. */
static void run_all(struct loop_later *head)
{
    struct loop_later now;
    list_move(head, &now);
    while (!list_is_empty(&now)) {
        struct loop_later *later = now.next;
        loop_later_cancel(later);
        later->run(later->context);
    }
}

static void busy_ran(uv_idle_t *busy)
{
    /* Nothing: an active idle handle is what keeps the poll from waiting. */
    (void)busy;
}

static bool is_quiet(const struct loop *l)
{
    return l->open == 0 && list_is_empty(&l->tasks) && list_is_empty(&l->flushes);
}

static void end_of_turn(struct loop *l)
{
    run_all(&l->tasks);
    run_all(&l->flushes);
    /* Neither of the two can fail with a callback and a live handle. */
    if (list_is_empty(&l->tasks) && list_is_empty(&l->flushes))
        uv_idle_stop(&l->busy);
    else
        uv_idle_start(&l->busy, busy_ran);
    if (is_quiet(l) && __atomic_load_n(&l->is_stopping, __ATOMIC_ACQUIRE))
        uv_stop(&l->uv);
}

static void prepared(uv_prepare_t *prepare)
{
    end_of_turn(prepare->data);
}

static void checked(uv_check_t *check)
{
    end_of_turn(check->data);
}

/* ---- posts ---- */

static struct post *take_posts(struct loop *l)
{
    uv_mutex_lock(&l->lock);
    struct post *first = l->posts;
    l->posts = NULL;
    l->posts_end = &l->posts;
    uv_mutex_unlock(&l->lock);
    return first;
}

static void woken(uv_async_t *wake)
{
    struct post *post = take_posts(wake->data);
    while (post) {
        struct post *next = post->next;
        post->run(post->argument);
        free(post);
        post = next;
    }
}

void loop_post(struct loop *l, void (*run)(void *argument), void *argument)
{
    struct post *post = xalloc(sizeof(*post));
    post->run = run;
    post->argument = argument;
    uv_mutex_lock(&l->lock);
    bool is_dropped = l->is_ended, is_first = !l->posts;
    if (!is_dropped) {
        *l->posts_end = post;
        l->posts_end = &post->next;
    }
    /* Inside the lock: once loop_run() has seen the end, nobody touches the handle any more. */
    if (is_first && !is_dropped && uv_async_send(&l->wake) != 0)
        panic("uv_async_send failed");
    uv_mutex_unlock(&l->lock);
    if (is_dropped)
        free(post);
}

/* ---- the loop itself ---- */

static bool init_handles(struct loop *l)
{
    /* The last of these that can fail is the async handle; the others only link themselves in. */
    if (uv_async_init(&l->uv, &l->wake, woken) != 0)
        return false;
    uv_prepare_init(&l->uv, &l->prepare);
    uv_check_init(&l->uv, &l->check);
    uv_idle_init(&l->uv, &l->busy);
    uv_prepare_start(&l->prepare, prepared);
    uv_check_start(&l->check, checked);
    l->wake.data = l->prepare.data = l->check.data = l;
    return true;
}

struct loop *loop_new(void)
{
    struct loop *l = xalloc(sizeof(*l));
    list_init(&l->tasks);
    list_init(&l->flushes);
    l->posts_end = &l->posts;
    if (uv_loop_init(&l->uv) != 0)
        goto no_loop;
    if (uv_mutex_init(&l->lock) != 0)
        goto no_lock;
    if (!init_handles(l))
        goto no_handles;
    l->read_buffer = xalloc(LOOP_READ_SIZE);
    l->scratch = xalloc(LOOP_SCRATCH_SIZE);
    /* libuv writes without MSG_NOSIGNAL. */
    signal(SIGPIPE, SIG_IGN);
    return l;
no_handles:
    uv_mutex_destroy(&l->lock);
no_lock:
    (void)uv_loop_close(&l->uv);
no_loop:
    free(l);
    return NULL;
}

/* True when nothing is left to do; from then on posts are dropped. */
static bool is_over(struct loop *l)
{
    uv_mutex_lock(&l->lock);
    if (!l->posts && is_quiet(l))
        l->is_ended = true;
    bool is_ended = l->is_ended;
    uv_mutex_unlock(&l->lock);
    return is_ended;
}

void loop_run(struct loop *l)
{
    do
        uv_run(&l->uv, UV_RUN_DEFAULT);
    while (!is_over(l));
}

void loop_stop(struct loop *l)
{
    __atomic_store_n(&l->is_stopping, true, __ATOMIC_RELEASE);
    uv_mutex_lock(&l->lock);
    if (!l->is_ended && uv_async_send(&l->wake) != 0)
        panic("uv_async_send failed");
    uv_mutex_unlock(&l->lock);
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    uv_mutex_lock(&l->lock);
    l->is_ended = true;
    uv_mutex_unlock(&l->lock);
    for (struct post *post = take_posts(l), *next; post; post = next) {
        next = post->next;
        free(post);
    }
    uv_close((uv_handle_t *)&l->wake, NULL);
    uv_close((uv_handle_t *)&l->prepare, NULL);
    uv_close((uv_handle_t *)&l->check, NULL);
    uv_close((uv_handle_t *)&l->busy, NULL);
    uv_run(&l->uv, UV_RUN_NOWAIT);
    if (l->open > 0 || uv_loop_close(&l->uv) != 0)
        panic("loop_free: %zu handles or jobs are still open", l->open);
    uv_mutex_destroy(&l->lock);
    free(l->read_buffer);
    free(l->scratch);
    free(l);
}

int64_t loop_now_ms(struct loop *l)
{
    return (int64_t)uv_now(&l->uv);
}

char *loop_scratch(struct loop *l)
{
    return l->scratch;
}

/* ---- timers ---- */

struct loop_timer {
    uv_timer_t uv;
    struct loop *loop; /* borrowed */
    void (*fire)(void *context);
    void *context;
};

static void timer_fired(uv_timer_t *uv)
{
    struct loop_timer *t = uv->data;
    t->fire(t->context);
}

struct loop_timer *loop_timer_new(struct loop *l, void (*fire)(void *context), void *context)
{
    struct loop_timer *t = xalloc(sizeof(*t));
    t->loop = l;
    t->fire = fire;
    t->context = context;
    uv_timer_init(&l->uv, &t->uv); /* only links itself in */
    t->uv.data = t;
    l->open++;
    return t;
}

void loop_timer_start(struct loop_timer *t, int64_t in_ms)
{
    if (uv_timer_start(&t->uv, timer_fired, in_ms > 0 ? (uint64_t)in_ms : 0, 0) != 0)
        panic("loop_timer_start: on a freed timer");
}

void loop_timer_stop(struct loop_timer *t)
{
    uv_timer_stop(&t->uv);
}

static void timer_closed(uv_handle_t *handle)
{
    struct loop_timer *t = handle->data;
    t->loop->open--;
    free(t);
}

void loop_timer_free(struct loop_timer *t)
{
    if (t)
        uv_close((uv_handle_t *)&t->uv, timer_closed);
}

/* ---- descriptors of others ---- */

struct loop_watch {
    uv_poll_t uv;
    struct loop *loop; /* borrowed */
    /* One of the two is set. */
    void (*readable)(void *context);
    void (*ready)(void *context, bool is_readable, bool is_writable);
    void *context;
    int selected; /* UV_READABLE, UV_WRITABLE, both or neither */
};

static void polled(uv_poll_t *uv, int status, int events)
{
    struct loop_watch *w = uv->data;
    /* On an error the descriptor's owner learns more from its own read or write than we could tell.
     */
    int seen = status == 0 ? events : w->selected;
    if (w->readable)
        w->readable(w->context);
    else
        w->ready(w->context, seen & UV_READABLE, seen & UV_WRITABLE);
}

static void watch_closed(uv_handle_t *handle)
{
    struct loop_watch *w = handle->data;
    w->loop->open--;
    free(w);
}

static struct loop_watch *watch_new(struct loop *l, int fd, void *context)
{
    struct loop_watch *w = xalloc(sizeof(*w));
    w->loop = l;
    w->context = context;
    if (uv_poll_init(&l->uv, &w->uv, fd) != 0) {
        free(w);
        return NULL;
    }
    w->uv.data = w;
    l->open++;
    return w;
}

struct loop_watch *loop_watch_new(struct loop *l, int fd, void (*readable)(void *context),
                                  void *context)
{
    struct loop_watch *w = watch_new(l, fd, context);
    if (!w)
        return NULL;
    w->readable = readable;
    w->selected = UV_READABLE;
    if (uv_poll_start(&w->uv, w->selected, polled) != 0) {
        loop_watch_free(w);
        return NULL;
    }
    return w;
}

struct loop_watch *
loop_watch_new_both(struct loop *l, int fd,
                    void (*ready)(void *context, bool is_readable, bool is_writable), void *context)
{
    struct loop_watch *w = watch_new(l, fd, context);
    if (w)
        w->ready = ready;
    return w;
}

void loop_watch_select(struct loop_watch *w, bool readable, bool writable)
{
    w->selected = (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0);
    /* Zero stops it. Starting can fail for a closing handle alone. */
    if (uv_poll_start(&w->uv, w->selected, polled) != 0)
        panic("loop_watch_select: on a freed watch");
}

void loop_watch_free(struct loop_watch *w)
{
    if (w)
        uv_close((uv_handle_t *)&w->uv, watch_closed);
}

/* ---- jobs ---- */

struct job {
    uv_work_t uv;
    struct loop *loop; /* borrowed */
    void (*work)(void *context);
    void (*done)(void *context);
    void *context;
};

static void job_works(uv_work_t *uv)
{
    struct job *job = uv->data;
    job->work(job->context);
}

static void job_is_done(uv_work_t *uv, int status)
{
    struct job *job = uv->data;
    (void)status; /* nobody cancels a job, so it always ran */
    job->done(job->context);
    job->loop->open--;
    free(job);
}

bool loop_job(struct loop *l, void (*work)(void *context), void (*done)(void *context),
              void *context)
{
    struct job *job = xalloc(sizeof(*job));
    *job = (struct job){.loop = l, .work = work, .done = done, .context = context};
    job->uv.data = job;
    if (uv_queue_work(&l->uv, &job->uv, job_works, job_is_done) != 0) {
        free(job);
        return false;
    }
    l->open++;
    return true;
}

void loop_end_pool(void)
{
    uv_library_shutdown();
}
