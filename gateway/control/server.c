/* server.c - the daemon's end of the control socket: a request a connection, one line each way. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/control/commands.h"
#include "gateway/net/conn.h"

#define REQUEST_MAX ((size_t)256 * 1024)
#define REQUEST_ROOM ((size_t)8192)
#define CONNECTIONS_MAX 64
#define REQUEST_DEADLINE_MS 10000
#define PROGRESS_DEADLINE_MS 60000 /* for the client to take a piece of the answer */
#define STOP_MS 700                /* within the second that a stop leaves to this room */
#define PIECE_MAX ((size_t)256 * 1024)
#define GROUPS_MAX 1024

enum right { RIGHT_ASKED_FOR, RIGHT_GIVEN, RIGHT_REFUSED };

/* One connection. Gone when both its conn and the look at its peer's groups have ended. */
struct asker {
    struct control_server *server; /* borrowed */
    struct conn *conn;             /* NULL after `closed` */
    struct asker *next, *previous;
    struct buffer request; /* owned; may hold a password: wiped */
    bool has_request;
    bool is_closing;
    bool is_looked_up; /* a job about its groups is under way */
    enum right right;
    uint32_t uid;
    gid_t group;             /* who is in it may ask */
    struct command *command; /* owned */
};

struct control_server {
    struct loop *loop;
    struct command_host host;
    struct listener *listener;
    struct asker *askers; /* list */
    unsigned count;
    bool has_group;
    gid_t group; /* of the socket */
    bool is_stopping;
    bool is_stop_posted;
    struct loop_timer *patience; /* of a stop */
    void (*stopped)(void *context);
    void *stopped_context;
};

/* ---- the end of a connection and of the server ---- */

static void tell_stopped(void *argument)
{
    struct control_server *s = argument;
    s->stopped(s->stopped_context);
}

static void check_stopped(struct control_server *s)
{
    if (!s->is_stopping || s->is_stop_posted || s->count > 0 || s->host.count > 0)
        return;
    s->is_stop_posted = true;
    loop_timer_free(s->patience);
    s->patience = NULL;
    loop_post(s->loop, tell_stopped, s);
}

static void host_emptied(void *context)
{
    check_stopped(context);
}

static void discard(struct asker *a)
{
    struct control_server *s = a->server;
    if (a->conn || a->is_looked_up)
        return;
    if (a->previous)
        a->previous->next = a->next;
    else
        s->askers = a->next;
    if (a->next)
        a->next->previous = a->previous;
    buffer_wipe_free(&a->request);
    free(a);
    s->count--;
    check_stopped(s);
}

static void close_asker(struct asker *a, bool abort)
{
    a->is_closing = true;
    if (a->conn)
        conn_close(a->conn, abort);
}

static void closed(void *context)
{
    struct asker *a = context;
    a->conn = NULL;
    command_free(a->command);
    a->command = NULL;
    discard(a);
}

static void deadline(void *context)
{
    close_asker(context, true);
}

static void ended(void *context, int error)
{
    struct asker *a = context;
    /* A client may say with the end of its side that its request is whole; one that has gone shows
     * by taking nothing. */
    if (error != 0 || !a->has_request)
        close_asker(a, true);
}

/* ---- answers ---- */

/* A piece at a time: what the client does not take stays with us, and the next slice is made when
 * it has taken this one. */
static void send_piece(struct asker *a)
{
    if (a->is_closing || conn_unsent(a->conn) > 0)
        return;
    struct buffer *text = command_text(a->command);
    if (text->len > 0) {
        struct slice piece = slice_sub(buffer_slice(text), 0, PIECE_MAX);
        conn_set_deadline(a->conn, PROGRESS_DEADLINE_MS);
        if (!conn_write(a->conn, piece)) {
            close_asker(a, true);
            return;
        }
        buffer_consume(text, piece.len);
    } else if (!command_is_over(a->command)) {
        command_more(a->command);
    }
    if (text->len == 0 && command_is_over(a->command))
        close_asker(a, false);
}

static void progress(void *context)
{
    send_piece(context);
}

static void drained(void *context)
{
    struct asker *a = context;
    if (a->has_request)
        conn_set_deadline(a->conn, -1);
    if (a->command)
        send_piece(a);
}

static void say_and_close(struct asker *a, const char *line)
{
    bool is_written = conn_write(a->conn, slice_of(line));
    close_asker(a, !is_written);
}

/* ---- who may ask ---- */

static void begin(struct asker *a)
{
    struct control_server *s = a->server;
    conn_set_deadline(a->conn, -1); /* the time is ours now */
    a->command = command_start(&s->host, buffer_slice(&a->request), a->uid, progress, a);
    buffer_wipe_free(&a->request);
}

static void refuse(struct asker *a)
{
    EVENT(a->server->host.events, EVENT_WARNING, "control-refused", FIELD_NUMBER(KEY_UID, a->uid));
    say_and_close(a, "{\"error\":\"you may not: only root, the daemon's own user and the group of "
                     "the control socket may ask the daemon\",\"exit\":1}\n");
}

/* On a pool thread: the answer may come from a directory service. The credentials of the connection
 * name only the primary group. */
static void look_up_groups(void *argument)
{
    struct asker *a = argument;
    struct passwd entry, *found = NULL;
    char text[16384];
    gid_t *groups = xalloc(GROUPS_MAX * sizeof *groups);
    int count = GROUPS_MAX;
    a->right = RIGHT_REFUSED;
    if (getpwuid_r(a->uid, &entry, text, sizeof text, &found) == 0 && found &&
        getgrouplist(entry.pw_name, entry.pw_gid, groups, &count) >= 0) {
        for (int i = 0; i < count; i++) {
            if (groups[i] == a->group)
                a->right = RIGHT_GIVEN;
        }
    }
    free(groups);
}

static void groups_looked_up(void *argument)
{
    struct asker *a = argument;
    a->is_looked_up = false;
    if (!a->conn) {
        discard(a);
        return;
    }
    if (a->is_closing)
        return;
    if (a->right == RIGHT_GIVEN)
        begin(a);
    else
        refuse(a);
}

static enum right right_of(struct asker *a)
{
    uint32_t gid;
    if (!conn_peer_uid(a->conn, &a->uid, &gid))
        return RIGHT_REFUSED;
    if (a->uid == 0 || a->uid == geteuid())
        return RIGHT_GIVEN;
    if (!a->server->has_group)
        return RIGHT_REFUSED;
    a->group = a->server->group;
    return gid == a->group ? RIGHT_GIVEN : RIGHT_ASKED_FOR;
}

static void check_right(struct asker *a)
{
    a->right = right_of(a);
    if (a->right == RIGHT_GIVEN) {
        begin(a);
    } else if (a->right == RIGHT_REFUSED) {
        refuse(a);
    } else {
        a->is_looked_up = loop_job(a->server->loop, look_up_groups, groups_looked_up, a);
        if (!a->is_looked_up)
            refuse(a);
    }
}

/* ---- requests ---- */

static void data(void *context, struct slice bytes)
{
    struct asker *a = context;
    if (a->has_request)
        return; /* one request a connection */
    ptrdiff_t end = slice_find(bytes, '\n');
    struct slice part = end < 0 ? bytes : slice_sub(bytes, 0, (size_t)end);
    /* Enough from the start for any password: growing would leave a copy behind. */
    bool fits = (a->request.len > 0 || buffer_reserve(&a->request, REQUEST_ROOM)) &&
                buffer_append(&a->request, part);
    /* What was read into belongs to us while we run, and nobody else wipes it. */
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): the way around -Wcast-qual */
    explicit_bzero((void *)(uintptr_t)bytes.data, bytes.len);
    if (!fits) {
        say_and_close(a, "{\"error\":\"the request is too long\",\"exit\":1}\n");
        return;
    }
    if (end < 0)
        return;
    a->has_request = true;
    check_right(a);
}

static const struct conn_handler handler = {
    .data = data,
    .drained = drained,
    .ended = ended,
    .deadline = deadline,
    .closed = closed,
};

static void accepted(void *context, struct conn *conn)
{
    struct control_server *s = context;
    struct asker *a = xalloc(sizeof *a);
    a->server = s;
    a->conn = conn;
    buffer_init(&a->request, REQUEST_MAX);
    a->next = s->askers;
    if (a->next)
        a->next->previous = a;
    s->askers = a;
    s->count++;
    conn_set_handler(conn, &handler, a);
    conn_set_deadline(conn, REQUEST_DEADLINE_MS);
    if (s->count > CONNECTIONS_MAX)
        say_and_close(a, "{\"error\":\"too many ask at once; try again\",\"exit\":75}\n");
}

static void trouble(void *context, int error)
{
    struct control_server *s = context;
    EVENT(s->host.events, EVENT_ERROR, "control-accept", FIELD(KEY_ERROR, conn_error_text(error)));
}

/* ---- the server ---- */

static void post_to_loop(void *context, void (*run)(void *argument), void *argument)
{
    loop_post(context, run, argument);
}

static bool job_of_loop(void *context, void (*work)(void *argument), void (*done)(void *argument),
                        void *argument)
{
    return loop_job(context, work, done, argument);
}

/* The group of the socket's file; a socket without one (in tests) has none. */
static void find_group(struct control_server *s, int fd)
{
    struct sockaddr_un name = {0};
    socklen_t len = sizeof name - 1;
    struct stat st;
    if (getsockname(fd, (struct sockaddr *)&name, &len) == 0 && name.sun_family == AF_UNIX &&
        name.sun_path[0] && stat(name.sun_path, &st) == 0) {
        s->has_group = true;
        s->group = st.st_gid;
    }
}

struct control_server *control_server_new(struct loop *l, int fd, struct queue *q,
                                          const struct control_facts *facts,
                                          const struct event_sink *events)
{
    int error = 0;
    struct control_server *s = xalloc(sizeof *s);
    s->loop = l;
    s->host = (struct command_host){
        .queue = q,
        .events = events,
        .facts = *facts,
        .poster = {post_to_loop, l},
        .job = job_of_loop,
        .job_context = l,
        .emptied = host_emptied,
        .emptied_context = s,
    };
    find_group(s, fd);
    s->listener = listener_new(l, fd, accepted, trouble, s, &error);
    if (!s->listener) {
        free(s);
        return NULL;
    }
    return s;
}

void control_server_update(struct control_server *s, const struct control_facts *facts)
{
    s->host.facts = *facts;
}

static void abort_all(void *context)
{
    struct control_server *s = context;
    for (struct asker *a = s->askers; a; a = a->next)
        close_asker(a, true);
}

void control_server_stop(struct control_server *s, void (*stopped)(void *context), void *context)
{
    s->is_stopping = true;
    s->stopped = stopped;
    s->stopped_context = context;
    listener_free(s->listener);
    s->listener = NULL;
    for (struct asker *a = s->askers; a; a = a->next) {
        if (!a->has_request)
            close_asker(a, true);
    }
    s->patience = loop_timer_new(s->loop, abort_all, s);
    if (s->patience)
        loop_timer_start(s->patience, STOP_MS);
    else
        abort_all(s);
    check_stopped(s);
}

void control_server_free(struct control_server *s)
{
    if (!s)
        return;
    if (s->count > 0 || s->host.count > 0)
        panic("control server freed with %u connections", s->count);
    listener_free(s->listener);
    loop_timer_free(s->patience);
    free(s);
}
