#include "gateway/control/offline.h"

#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

struct post {
    struct post *next;
    void (*run)(void *argument);
    void *argument;
};

struct offline {
    struct queue *queue; /* owned */
    struct command_host host;
    /* What the writer's thread leaves for ours. */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct post *first;
    struct post **last;
};

static void post(void *context, void (*run)(void *argument), void *argument)
{
    struct offline *o = context;
    struct post *p = xalloc(sizeof *p);
    p->run = run;
    p->argument = argument;
    pthread_mutex_lock(&o->lock);
    *o->last = p;
    o->last = &p->next;
    pthread_cond_signal(&o->wake);
    pthread_mutex_unlock(&o->lock);
}

/* Nobody waits for this thread but the command itself. */
static bool job(void *context, void (*work)(void *argument), void (*done)(void *argument),
                void *argument)
{
    work(argument);
    post(context, done, argument);
    return true;
}

static bool run_next(struct offline *o, bool is_waiting)
{
    pthread_mutex_lock(&o->lock);
    while (is_waiting && !o->first)
        pthread_cond_wait(&o->wake, &o->lock);
    struct post *p = o->first;
    if (p) {
        o->first = p->next;
        if (!o->first)
            o->last = &o->first;
    }
    pthread_mutex_unlock(&o->lock);
    if (!p)
        return false;
    p->run(p->argument);
    free(p);
    return true;
}

/* ---- events ---- */

/* Standard error belongs to the person at the terminal, and there is no daemon to log: a change
 * still leaves its line. */
static void emit(void *context, enum event_severity severity, const char *event,
                 const struct event_field *fields, size_t count)
{
    static const int priorities[] = {LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERR};
    struct buffer line;
    (void)context;
    buffer_init(&line, 8192);
    bool fits = buffer_printf(&line, "event=%s", event);
    for (size_t i = 0; fits && i < count; i++) {
        const char *key = event_key_name(fields[i].key);
        if (!fields[i].text) {
            fits = buffer_printf(&line, " %s=%lld", key, (long long)fields[i].number);
            continue;
        }
        size_t start = line.len;
        fits = buffer_printf(&line, " %s=\"%s", key, fields[i].text);
        for (size_t at = start + strlen(key) + 3; at < line.len; at++) {
            if ((unsigned char)line.data[at] < ' ' || line.data[at] == '"' || line.data[at] == 0x7F)
                line.data[at] = '?';
        }
        fits = fits && buffer_append_byte(&line, '"');
    }
    syslog(LOG_MAIL | priorities[severity], "%.*s", SLICE_ARG(buffer_slice(&line)));
    buffer_free(&line);
}

static const struct event_sink events = {.emit = emit, .threshold = EVENT_INFO};

/* ---- opening ---- */

/* A store made by root before the daemon's first start would lock the daemon out: the directory is
 * the user's from its first moment, and we become that user. */
static bool become(const struct control_client *c, char *error, size_t error_size)
{
    if (!c->run_as || !*c->run_as || geteuid() != 0)
        return true;
    /* cppcheck-suppress getpwnamCalled; sealpostctl has one thread */
    const struct passwd *user = getpwnam(c->run_as);
    if (!user) {
        snprintf(error, error_size, "run_as: there is no user \"%s\"", c->run_as);
        return false;
    }
    bool is_made = mkdir(c->state_directory, 0700) == 0;
    if ((!is_made && errno != EEXIST) ||
        (is_made && chown(c->state_directory, user->pw_uid, user->pw_gid) != 0)) {
        snprintf(error, error_size, "%s: %s", c->state_directory, strerror(errno));
        return false;
    }
    if (initgroups(user->pw_name, user->pw_gid) == 0 && setgid(user->pw_gid) == 0 &&
        setuid(user->pw_uid) == 0)
        return true;
    snprintf(error, error_size, "cannot become %s: %s", c->run_as, strerror(errno));
    return false;
}

struct offline *offline_open(const struct control_client *c, bool *is_locked, char *error,
                             size_t error_size)
{
    *is_locked = false;
    if (!become(c, error, error_size))
        return NULL;
    openlog("sealpostctl", 0, LOG_MAIL);
    struct queue_options options = {
        .directory = c->state_directory, .size_limit = c->queue_size, .events = &events};
    struct queue *queue = NULL;
    int rc = queue_open(&options, &queue, error, error_size);
    if (rc != 0) {
        *is_locked = rc == -EWOULDBLOCK;
        return NULL;
    }
    struct offline *o = xalloc(sizeof *o);
    o->queue = queue;
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->wake, NULL);
    o->last = &o->first;
    o->host = (struct command_host){
        .queue = queue,
        .events = &events,
        .facts = c->facts,
        .poster = {post, o},
        .job = job,
        .job_context = o,
    };
    return o;
}

void offline_close(struct offline *o)
{
    if (!o)
        return;
    queue_close(o->queue);
    while (run_next(o, false)) {
    }
    pthread_mutex_destroy(&o->lock);
    pthread_cond_destroy(&o->wake);
    free(o);
}

struct queue *offline_queue(struct offline *o)
{
    return o->queue;
}

static void progress(void *context)
{
    (void)context; /* whoever runs the posts looks by himself */
}

void offline_run(struct offline *o, struct slice request, uint32_t uid, struct buffer *answer)
{
    struct command *c = command_start(&o->host, request, uid, progress, NULL);
    struct buffer *text = command_text(c);
    bool fits = true;
    for (;;) {
        fits = fits && buffer_append(answer, buffer_slice(text));
        buffer_clear(text);
        if (command_is_over(c))
            break;
        command_more(c);
        run_next(o, true);
    }
    command_free(c);
    if (!fits)
        buffer_clear(answer); /* a cut answer must not pass for a whole one */
}
