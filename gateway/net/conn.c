#include "gateway/net/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/net/conn_uv.h"
#include "gateway/net/loop_uv.h"

enum { WRITE_CEILING = 1024 * 1024, SEND_MS = 5000, LINGER_MS = 1000 };

/* CONNECTING -> OPEN -> SENDING -> LINGERING -> GONE. Any state may go to GONE, none goes back.
 * From SENDING on the owner has let go: it hears nothing more but `closed`. */
enum state {
    CONNECTING,
    OPEN,
    SENDING,   /* closed by the owner, what is unsent goes out */
    LINGERING, /* our side is shut, what still comes is thrown away until the peer shuts its side */
    GONE,      /* the handles are being closed */
};

struct conn {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } io;
    uv_timer_t timer;
    uv_connect_t connect;
    uv_write_t write;
    struct loop *loop;                  /* borrowed */
    const struct conn_handler *handler; /* borrowed; NULL until an accepted conn gets one */
    void *context;
    struct loop_later flush;
    struct loop_later failure; /* an error found inside a call of the owner, told later */
    struct buffer out;         /* collected in this turn */
    struct buffer sending;     /* lent to a uv_write() that is under way */
    int64_t deadline_at_ms;    /* -1: none */
    int64_t timer_at_ms;       /* when the timer fires, -1: it is not running */
    int error;                 /* of `failure` */
    unsigned open_handles;
    enum state state;
    bool is_unix;
    bool is_paused;
    bool is_reading;
    bool is_writing; /* uv_write() is under way */
    bool has_ended;  /* no more data comes */
    bool has_failed; /* writes are swallowed */
    struct net_address peer, local;
};

const char *conn_error_text(int error)
{
    const char *text = error == 0 ? "Connection closed by the peer" : strerrordesc_np(-error);
    return text ? text : uv_strerror(error);
}

/* ---- the end ---- */

static void handle_closed(uv_handle_t *handle)
{
    struct conn *c = handle->data;
    if (--c->open_handles > 0)
        return;
    c->loop->open--;
    buffer_wipe_free(&c->out);
    buffer_wipe_free(&c->sending);
    if (c->handler && c->handler->closed)
        c->handler->closed(c->context);
    free(c);
}

static void let_go(struct conn *c, bool reset)
{
    if (c->state == GONE)
        return;
    bool may_reset = reset && !c->is_unix && c->state != CONNECTING;
    c->state = GONE;
    loop_later_cancel(&c->flush);
    loop_later_cancel(&c->failure);
    uv_close((uv_handle_t *)&c->timer, handle_closed);
    if (!may_reset || uv_tcp_close_reset(&c->io.tcp, handle_closed) != 0)
        uv_close(&c->io.handle, handle_closed);
}

static void read_stop(struct conn *c)
{
    if (c->is_reading)
        uv_read_stop(&c->io.stream); /* cannot fail */
    c->is_reading = false;
}

/* Never called from inside a call of the owner. */
static void fail(struct conn *c, int error)
{
    if (c->state == GONE)
        return;
    read_stop(c);
    buffer_free(&c->out);
    c->has_failed = true;
    bool is_news = !c->has_ended;
    c->has_ended = true;
    if (c->state >= SENDING)
        let_go(c, false);
    else if (is_news && c->handler->ended)
        c->handler->ended(c->context, error);
}

static void failure_told(void *context)
{
    struct conn *c = context;
    fail(c, c->error);
}

static void fail_later(struct conn *c, int error)
{
    c->error = error;
    loop_later_start(c->loop, &c->failure, failure_told, c);
}

/* ---- time ---- */

static void timer_fired(uv_timer_t *timer);

/* Deadlines move with every command and mostly further away: the timer is left alone until it
 * fires too early. */
static void timer_arm(struct conn *c)
{
    if (c->deadline_at_ms < 0 || (c->timer_at_ms >= 0 && c->timer_at_ms <= c->deadline_at_ms))
        return;
    int64_t in_ms = c->deadline_at_ms - loop_now_ms(c->loop);
    c->timer_at_ms = c->deadline_at_ms;
    if (uv_timer_start(&c->timer, timer_fired, in_ms > 0 ? (uint64_t)in_ms : 0, 0) != 0)
        panic("conn: timer of a closed connection");
}

static void set_deadline(struct conn *c, int64_t in_ms)
{
    c->deadline_at_ms = in_ms < 0 ? -1 : loop_now_ms(c->loop) + in_ms;
    timer_arm(c);
}

static void deadline_passed(struct conn *c)
{
    if (c->state >= SENDING)
        let_go(c, false);
    else if (c->handler->deadline)
        c->handler->deadline(c->context);
}

static void timer_fired(uv_timer_t *timer)
{
    struct conn *c = timer->data;
    c->timer_at_ms = -1;
    if (c->deadline_at_ms < 0)
        return;
    if (loop_now_ms(c->loop) < c->deadline_at_ms) {
        timer_arm(c);
        return;
    }
    c->deadline_at_ms = -1;
    deadline_passed(c);
}

void conn_set_deadline(struct conn *c, int64_t in_ms)
{
    if (c->state < SENDING)
        set_deadline(c, in_ms);
}

/* ---- reading ---- */

static void lend_read_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct conn *c = handle->data;
    (void)suggested;
    *buffer = uv_buf_init(c->loop->read_buffer, LOOP_READ_SIZE);
}

static void peer_closed(struct conn *c)
{
    read_stop(c);
    c->has_ended = true;
    if (c->state == LINGERING)
        let_go(c, false);
    else if (c->state == OPEN && c->handler->ended)
        c->handler->ended(c->context, 0);
}

static void read_done(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    struct conn *c = stream->data;
    if (count == UV_EOF)
        peer_closed(c);
    else if (count < 0)
        fail(c, (int)count);
    else if (count > 0 && c->state == OPEN && c->handler->data)
        c->handler->data(c->context, (struct slice){buffer->base, (size_t)count});
}

static void read_start(struct conn *c)
{
    if (c->is_reading || c->has_ended)
        return;
    int error = uv_read_start(&c->io.stream, lend_read_buffer, read_done);
    if (error != 0)
        fail_later(c, error);
    else
        c->is_reading = true;
}

void conn_pause(struct conn *c)
{
    c->is_paused = true;
    if (c->state == OPEN)
        read_stop(c);
}

void conn_resume(struct conn *c)
{
    c->is_paused = false;
    if (c->state == OPEN)
        read_start(c);
}

/* ---- writing ---- */

/* SENDING is over. Closing a socket with unread bytes makes the kernel send a reset, which may
 * overtake our last reply on its way into the peer's hands; so the peer gets a moment to read it.
 */
static void linger(struct conn *c)
{
    uv_os_fd_t fd;
    if (c->has_ended || uv_fileno(&c->io.handle, &fd) != 0 || shutdown(fd, SHUT_WR) != 0) {
        let_go(c, false);
        return;
    }
    c->state = LINGERING;
    set_deadline(c, LINGER_MS);
    read_start(c);
}

static void sent_all(struct conn *c)
{
    buffer_free(&c->out);
    if (c->state == SENDING)
        linger(c);
    else if (c->state == OPEN && c->handler->drained)
        c->handler->drained(c->context);
}

static void write_done(uv_write_t *write, int status);

/* The kernel's buffer is full: libuv waits for room. */
static void send_rest(struct conn *c)
{
    c->sending = c->out;
    buffer_init(&c->out, WRITE_CEILING);
    uv_buf_t piece = uv_buf_init(c->sending.data, (unsigned)c->sending.len);
    int error = uv_write(&c->write, &c->io.stream, &piece, 1, write_done);
    if (error != 0) {
        buffer_free(&c->sending);
        fail(c, error);
        return;
    }
    c->is_writing = true;
}

static void send_out(struct conn *c)
{
    if (c->is_writing || c->state == CONNECTING || c->state >= LINGERING)
        return;
    uv_buf_t piece = uv_buf_init(c->out.data, (unsigned)c->out.len);
    int sent = c->out.len > 0 ? uv_try_write(&c->io.stream, &piece, 1) : 0;
    if (sent < 0 && sent != UV_EAGAIN) {
        fail(c, sent);
        return;
    }
    if (sent > 0)
        buffer_consume(&c->out, (size_t)sent);
    if (c->out.len > 0)
        send_rest(c);
    else
        sent_all(c);
}

static void flushed(void *context)
{
    send_out(context);
}

static void write_done(uv_write_t *write, int status)
{
    struct conn *c = write->data;
    c->is_writing = false;
    buffer_free(&c->sending);
    if (status < 0)
        fail(c, status);
    else
        send_out(c);
}

bool conn_write(struct conn *c, struct slice bytes)
{
    if (c->has_failed || c->state >= SENDING || bytes.len == 0)
        return true;
    /* `sending` shrinks only when all of it is gone, so what counts is what it holds in memory. */
    if (bytes.len > WRITE_CEILING - c->sending.len - c->out.len || !buffer_append(&c->out, bytes))
        return false;
    if (c->state == OPEN && !c->is_writing)
        loop_flush_start(c->loop, &c->flush, flushed, c);
    return true;
}

size_t conn_unsent(const struct conn *c)
{
    size_t under_way = c->is_writing ? uv_stream_get_write_queue_size(&c->io.stream) : 0;
    return c->out.len + under_way;
}

void conn_close(struct conn *c, bool abort)
{
    if (abort || c->state == CONNECTING || c->has_failed) {
        let_go(c, abort);
        return;
    }
    if (c->state != OPEN)
        return;
    read_stop(c);
    c->state = SENDING;
    c->timer_at_ms = -1;
    set_deadline(c, SEND_MS);
    if (!c->is_writing)
        loop_flush_start(c->loop, &c->flush, flushed, c);
}

/* ---- the beginning ---- */

static struct conn *conn_new(struct loop *l, bool is_unix)
{
    struct conn *c = xalloc(sizeof(*c));
    c->loop = l;
    c->is_unix = is_unix;
    c->deadline_at_ms = c->timer_at_ms = -1;
    buffer_init(&c->out, WRITE_CEILING);
    /* Neither makes a descriptor yet, so neither can fail. */
    if ((is_unix ? uv_pipe_init(&l->uv, &c->io.pipe, 0) : uv_tcp_init(&l->uv, &c->io.tcp)) != 0 ||
        uv_timer_init(&l->uv, &c->timer) != 0)
        panic("conn: libuv could not set up a handle");
    c->io.handle.data = c->timer.data = c->connect.data = c->write.data = c;
    c->open_handles = 2;
    l->open++;
    return c;
}

/* Gives fd to libuv; on failure it is closed. */
static int open_fd(struct conn *c, int fd)
{
    static const int on = 1;
    if (!c->is_unix)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* slower without */
    int error = c->is_unix ? uv_pipe_open(&c->io.pipe, fd) : uv_tcp_open(&c->io.tcp, fd);
    if (error != 0)
        close(fd);
    return error;
}

static void read_local(struct conn *c)
{
    struct sockaddr_storage name = {0};
    socklen_t len = sizeof(name);
    uv_os_fd_t fd;
    if (uv_fileno(&c->io.handle, &fd) == 0 && getsockname(fd, (struct sockaddr *)&name, &len) == 0)
        sockaddr_read(&name, len, &c->local);
}

static void connected(uv_connect_t *connect, int status)
{
    struct conn *c = connect->data;
    if (c->state == GONE)
        return;
    if (status < 0) {
        fail(c, status);
        return;
    }
    c->state = OPEN;
    read_local(c);
    if (c->out.len > 0)
        loop_flush_start(c->loop, &c->flush, flushed, c);
    if (c->handler->opened)
        c->handler->opened(c->context);
    if (c->state == OPEN && !c->is_paused)
        read_start(c);
}

static int bind_source(int fd, const struct net_address *to, const struct net_address *source)
{
    static const int on = 1;
    struct sockaddr_storage name;
    if (source->family != to->family)
        return -EAFNOSUPPORT;
    /* The port is chosen when the peer is known: else 28,000 connections would be the end. */
    if (source->port == 0 && source->family != NET_UNIX)
        (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    socklen_t len = sockaddr_of(source, &name);
    return bind(fd, (struct sockaddr *)&name, len) == 0 ? 0 : -errno;
}

static bool is_our_own_fault(int error)
{
    /* EADDRNOTAVAIL: all local ports towards that peer are in use, or the source is not ours. */
    return error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -ENOBUFS ||
           error == -EADDRNOTAVAIL;
}

/* A descriptor, or the error; *is_ours tells whose fault that is. */
static int make_socket(const struct net_address *to, const struct net_address *source,
                       bool *is_ours)
{
    int domain = to->family == NET_UNIX ? AF_UNIX : to->family == NET_IPV6 ? AF_INET6 : AF_INET;
    int fd = socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        /* A machine without IPv6: that address cannot be reached, others can. */
        *is_ours = errno != EAFNOSUPPORT;
        return -errno;
    }
    int error = source ? bind_source(fd, to, source) : 0;
    if (error == 0)
        return fd;
    close(fd);
    *is_ours = true;
    return error;
}

static int begin_connect(struct conn *c, const struct net_address *to)
{
    struct sockaddr_storage name;
    if (c->is_unix) {
        /* Its errors come through the callback. */
        uv_pipe_connect(&c->connect, &c->io.pipe, to->path, connected);
        return 0;
    }
    sockaddr_of(to, &name);
    return uv_tcp_connect(&c->connect, &c->io.tcp, (struct sockaddr *)&name, connected);
}

struct conn *conn_connect(struct loop *l, const struct net_address *to,
                          const struct net_address *source, const struct conn_handler *handler,
                          void *context, int *error)
{
    bool is_ours = false;
    if (to->family == NET_NONE)
        panic("conn_connect: to no address");
    int fd = make_socket(to, source, &is_ours);
    if (fd < 0 && is_ours) {
        *error = fd;
        return NULL;
    }
    struct conn *c = conn_new(l, to->family == NET_UNIX);
    c->peer = *to;
    *error = fd < 0 ? fd : open_fd(c, fd);
    if (*error == 0)
        *error = begin_connect(c, to);
    if (is_our_own_fault(*error)) {
        let_go(c, false);
        return NULL;
    }
    conn_set_handler(c, handler, context);
    if (*error != 0)
        fail_later(c, *error);
    *error = 0;
    return c;
}

struct conn *conn_adopt(struct loop *l, int fd, const struct sockaddr_storage *peer,
                        socklen_t peer_len, int *error)
{
    struct conn *c = conn_new(l, peer->ss_family == AF_UNIX);
    *error = open_fd(c, fd);
    if (*error != 0) {
        let_go(c, false);
        return NULL;
    }
    sockaddr_read(peer, peer_len, &c->peer);
    read_local(c);
    c->state = OPEN;
    return c;
}

void conn_begin(struct conn *c)
{
    if (!c->handler && c->state == OPEN)
        panic("conn: nobody took over an accepted connection");
    if (c->state == OPEN && !c->is_paused)
        read_start(c);
}

void conn_set_handler(struct conn *c, const struct conn_handler *handler, void *context)
{
    c->handler = handler;
    c->context = context;
}

const struct net_address *conn_peer(const struct conn *c)
{
    return &c->peer;
}

const struct net_address *conn_local(const struct conn *c)
{
    return &c->local;
}

struct loop *conn_loop(const struct conn *c)
{
    return c->loop;
}

bool conn_peer_uid(const struct conn *c, uint32_t *uid, uint32_t *gid)
{
    struct ucred who;
    socklen_t len = sizeof(who);
    uv_os_fd_t fd;
    if (!c->is_unix || uv_fileno(&c->io.handle, &fd) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0)
        return false;
    *uid = who.uid;
    *gid = who.gid;
    return true;
}
