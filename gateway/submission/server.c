#include "gateway/submission/submission.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/net/conn.h"
#include "gateway/submission/session.h"
#include "gateway/tls/stream.h"
#include "mail/date.h"
#include "queue/account.h"
#include "queue/exception.h"
#include "queue/incoming.h"

/* Replies that a client asked for and does not read: above this nothing more is read from it. */
#define UNSENT_MAX ((size_t)64 * 1024)

struct door { /* one listener */
    struct door *next;
    struct submission *owner;  /* borrowed */
    struct listener *listener; /* owned */
    size_t index;
};

struct submission {
    struct submission_options options; /* settings: an owned reference, the present ones */
    struct auth_library *auth_library; /* owned */
    struct queue_poster poster;
    struct door *doors;     /* owned */
    struct client *clients; /* owned, each until its stream is closed */
    struct loop_timer *grace;
    bool is_stopping;
    void (*stopped)(void *context);
    void *stopped_context;
};

struct client {
    struct client *next, **link;
    struct submission *owner;             /* borrowed */
    struct submission_settings *settings; /* owned reference: the session's */
    struct stream *stream;                /* owned until `closed` */
    struct session *session;              /* owned */
    struct queue_incoming *incoming;      /* owned by us until commit or abort */
    struct auth *hashing;                 /* borrowed from the session: a job is under way */
    void *asked;                          /* of the hook: a question under way */
    bool is_held;                         /* by the session */
    bool is_full;                         /* too much is unsent */
    bool is_finished;                     /* the session said finish */
};

/* ---- The end of a client, and of the house ---- */

static void check_stopped(struct submission *s)
{
    if (!s->is_stopping || s->clients || !s->stopped)
        return;
    void (*stopped)(void *context) = s->stopped;
    s->stopped = NULL;
    loop_timer_stop(s->grace);
    stopped(s->stopped_context);
}

/* The session says finish only when it waits for no answer, so nothing can come for it any more. */
static void client_free(struct client *c)
{
    struct submission *s = c->owner;
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    session_free(c->session);
    submission_settings_unref(c->settings);
    free(c);
    check_stopped(s);
}

/* ---- What the session asks for ---- */

static void do_send(void *context, struct slice bytes)
{
    struct client *c = context;
    /* A failure shows as `ended`; over the ceiling cannot be, for nothing is read above UNSENT_MAX.
     */
    if (!stream_write(c->stream, bytes))
        stream_set_deadline(c->stream, 0);
}

static void do_start_tls(void *context)
{
    struct client *c = context;
    struct tls_failure failure;
    if (!stream_start_tls_server(c->stream, c->settings->tls, &failure))
        session_tls_failed(c->session, failure.text);
}

static void do_set_deadline(void *context, int64_t in_ms)
{
    struct client *c = context;
    stream_set_deadline(c->stream, in_ms);
}

static void flow(struct client *c)
{
    if (c->is_finished)
        return;
    if (c->is_held || c->is_full)
        stream_pause(c->stream);
    else
        stream_resume(c->stream);
}

static void do_hold_input(void *context, bool is_held)
{
    struct client *c = context;
    c->is_held = is_held;
    flow(c);
}

static void do_finish(void *context, bool abort)
{
    struct client *c = context;
    c->is_finished = true;
    stream_close(c->stream, abort);
}

static void hash_work(void *context)
{
    struct client *c = context;
    auth_run(c->hashing);
}

static void hash_done(void *context)
{
    struct client *c = context;
    c->hashing = NULL;
    session_auth_done(c->session);
}

static bool do_hash(void *context, struct auth *a)
{
    struct client *c = context;
    c->hashing = a;
    bool is_under_way = loop_job(c->owner->options.loop, hash_work, hash_done, c);
    if (!is_under_way)
        c->hashing = NULL;
    return is_under_way;
}

static int64_t do_now_ms(void *context)
{
    (void)context;
    return date_now_ms();
}

static int do_find_account(void *context, const struct address *name, struct queue_account *out)
{
    const struct client *c = context;
    return queue_account_find(c->owner->options.queue, name, out);
}

static int do_has_forward(void *context, const char *owner, const struct address *target)
{
    const struct client *c = context;
    return queue_forward_has(c->owner->options.queue, owner, target);
}

static int do_has_exception(void *context, const char *owner, const struct address *recipient)
{
    const struct client *c = context;
    return queue_exception_has(c->owner->options.queue, owner, address_domain(recipient),
                               date_now());
}

static bool do_is_store_full(void *context)
{
    const struct client *c = context;
    return queue_is_full(c->owner->options.queue);
}

static bool do_message_begin(void *context, uint64_t *id)
{
    struct client *c = context;
    c->incoming = queue_incoming_begin(c->owner->options.queue, &c->owner->poster);
    if (c->incoming)
        *id = queue_incoming_id(c->incoming);
    return c->incoming != NULL;
}

static int do_message_append(void *context, struct slice content)
{
    struct client *c = context;
    return queue_incoming_append(c->incoming, content);
}

static void drained(void *context, int error)
{
    struct client *c = context;
    session_drained(c->session, error);
}

static bool do_message_is_behind(void *context)
{
    struct client *c = context;
    if (queue_incoming_pending(c->incoming) < QUEUE_INCOMING_PENDING_MAX)
        return false;
    queue_incoming_when_drained(c->incoming, drained, c);
    return true;
}

static void committed(void *context, int error)
{
    struct client *c = context;
    session_committed(c->session, error);
}

static void do_message_commit(void *context, struct envelope *envelope, int64_t arrived_at_ms,
                              int64_t due_at_ms)
{
    struct client *c = context;
    struct queue_incoming *in = c->incoming;
    c->incoming = NULL;
    queue_incoming_commit(in, envelope, arrived_at_ms, due_at_ms, committed, c);
}

static void do_message_abort(void *context)
{
    struct client *c = context;
    queue_incoming_abort(c->incoming);
    c->incoming = NULL;
}

static void rcpt_answered(void *context, const struct outcome *why)
{
    struct client *c = context;
    c->asked = NULL;
    session_rcpt_answered(c->session, why);
}

static bool do_ask_rcpt(void *context, const struct submission_question *question)
{
    struct client *c = context;
    const struct submission_options *o = &c->owner->options;
    if (o->ask_rcpt)
        c->asked = o->ask_rcpt->ask(o->ask_rcpt->context, o->loop, question, rcpt_answered, c);
    return c->asked != NULL;
}

static void do_cancel_rcpt(void *context)
{
    struct client *c = context;
    const struct submission_ask_rcpt *hook = c->owner->options.ask_rcpt;
    void *asked = c->asked;
    c->asked = NULL;
    hook->cancel(hook->context, asked);
}

static const struct session_outside outside = {
    .send = do_send,
    .start_tls = do_start_tls,
    .set_deadline = do_set_deadline,
    .hold_input = do_hold_input,
    .finish = do_finish,
    .hash = do_hash,
    .now_ms = do_now_ms,
    .find_account = do_find_account,
    .has_forward = do_has_forward,
    .has_exception = do_has_exception,
    .is_store_full = do_is_store_full,
    .message_begin = do_message_begin,
    .message_append = do_message_append,
    .message_is_behind = do_message_is_behind,
    .message_commit = do_message_commit,
    .message_abort = do_message_abort,
    .ask_rcpt = do_ask_rcpt,
    .cancel_rcpt = do_cancel_rcpt,
};

/* ---- What the stream tells ---- */

static void on_data(void *context, struct slice *in)
{
    struct client *c = context;
    session_data(c->session, in);
    if (c->is_finished || stream_unsent(c->stream) <= UNSENT_MAX)
        return;
    c->is_full = true;
    flow(c);
}

static void on_secured(void *context, const struct tls_facts *facts)
{
    struct client *c = context;
    struct session_tls tls = {.protocol = facts->protocol, .cipher = facts->cipher};
    tls.has_binding = stream_channel_binding(c->stream, tls.binding);
    session_tls_ready(c->session, &tls);
}

static void on_tls_failed(void *context, const struct tls_failure *failure)
{
    struct client *c = context;
    session_tls_failed(c->session, failure->text);
}

static void on_drained(void *context)
{
    struct client *c = context;
    if (!c->is_full)
        return;
    c->is_full = false;
    flow(c);
}

static void on_ended(void *context, int error)
{
    struct client *c = context;
    session_gone(c->session, error == 0 ? "" : conn_error_text(error));
}

static void on_deadline(void *context)
{
    struct client *c = context;
    session_deadline(c->session);
}

static void on_closed(void *context)
{
    client_free(context);
}

static const struct stream_handler stream_events = {
    .data = on_data,
    .secured = on_secured,
    .tls_failed = on_tls_failed,
    .drained = on_drained,
    .ended = on_ended,
    .deadline = on_deadline,
    .closed = on_closed,
};

/* ---- Accepting ---- */

static struct client *client_new(struct door *d, const struct net_address *peer)
{
    struct submission *s = d->owner;
    struct client *c = xalloc(sizeof *c);
    c->owner = s;
    c->settings = submission_settings_ref(s->options.settings);
    struct session_options o = {.settings = c->settings,
                                .listener = d->index,
                                .peer = *peer,
                                .limits = s->options.limits,
                                .auth_library = s->auth_library,
                                .events = s->options.events,
                                .outside = &outside,
                                .context = c};
    c->session = session_new(&o);
    c->next = s->clients;
    c->link = &s->clients;
    if (c->next)
        c->next->link = &c->next;
    s->clients = c;
    return c;
}

static void accepted(void *context, struct conn *conn)
{
    struct client *c = client_new(context, conn_peer(conn));
    c->stream = stream_accept(conn, &stream_events, c);
    session_start(c->session);
}

static void trouble(void *context, int error)
{
    const struct door *d = context;
    const struct submission *s = d->owner;
    EVENT(s->options.events, EVENT_ERROR, "accept-failed",
          FIELD(KEY_LISTENER, s->options.settings->listeners[d->index].title),
          FIELD(KEY_ERROR, conn_error_text(error)));
}

static void post(void *context, void (*run)(void *argument), void *argument)
{
    loop_post(context, run, argument);
}

static void grace_over(void *context)
{
    struct submission *s = context;
    struct client *next;
    for (struct client *c = s->clients; c; c = next) {
        next = c->next; /* nobody is freed from inside: that waits for `closed` */
        session_stop_now(c->session);
    }
}

struct submission *submission_new(const struct submission_options *o)
{
    struct submission *s = xalloc(sizeof *s);
    s->options = *o;
    s->options.settings = submission_settings_ref(o->settings);
    s->poster = (struct queue_poster){post, o->loop};
    s->auth_library = auth_library_new();
    s->grace = loop_timer_new(o->loop, grace_over, s);
    if (!s->auth_library || !s->grace) {
        submission_free(s);
        return NULL;
    }
    return s;
}

int submission_listen(struct submission *s, int fd, size_t index)
{
    struct door *d = xalloc(sizeof *d);
    int error = 0;
    d->owner = s;
    d->index = index;
    d->listener = listener_new(s->options.loop, fd, accepted, trouble, d, &error);
    if (!d->listener) {
        free(d);
        return error;
    }
    d->next = s->doors;
    s->doors = d;
    return 0;
}

void submission_reload(struct submission *s, struct submission_settings *settings)
{
    submission_settings_ref(settings);
    submission_settings_unref(s->options.settings);
    s->options.settings = settings;
}

static void close_doors(struct submission *s)
{
    while (s->doors) {
        struct door *d = s->doors;
        s->doors = d->next;
        listener_free(d->listener);
        free(d);
    }
}

static void stop_posted(void *argument)
{
    check_stopped(argument);
}

void submission_stop(struct submission *s, int64_t grace_ms, void (*stopped)(void *context),
                     void *context)
{
    s->is_stopping = true;
    s->stopped = stopped;
    s->stopped_context = context;
    close_doors(s);
    loop_timer_start(s->grace, grace_ms);
    struct client *next;
    for (struct client *c = s->clients; c; c = next) {
        next = c->next;
        session_stop(c->session);
    }
    /* `stopped` never comes from inside this call. */
    if (!s->clients)
        loop_post(s->options.loop, stop_posted, s);
}

void submission_free(struct submission *s)
{
    if (!s)
        return;
    if (s->clients)
        panic("submission: freed while clients are connected");
    close_doors(s);
    loop_timer_free(s->grace);
    auth_library_free(s->auth_library);
    submission_settings_unref(s->options.settings);
    free(s);
}
