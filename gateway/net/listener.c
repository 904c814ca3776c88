#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/net/conn_uv.h"
#include "gateway/net/loop_uv.h"

enum {
    BACKLOG = 4096,
    ACCEPTS_PER_TURN = 16, /* then other loops and our own connections have their turn */
    PAUSE_MS = 100,
};

/* We accept ourselves: libuv's answer to EMFILE is to accept and drop every waiting client. */
struct listener {
    uv_poll_t poll;
    uv_timer_t pause;
    struct loop *loop; /* borrowed */
    int fd;            /* owned */
    unsigned open_handles;
    bool is_closing;
    void (*accepted)(void *context, struct conn *c);
    void (*trouble)(void *context, int error);
    void *context;
};

/* ---- binding ---- */

__attribute__((format(printf, 4, 5))) static int bind_failed(int fd, char *error, size_t error_size,
                                                             const char *format, ...)
{
    int cause = errno;
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(error, error_size, format, arguments);
    va_end(arguments);
    if (len >= 0 && (size_t)len < error_size)
        snprintf(error + len, error_size - (size_t)len, ": %s", strerrordesc_np(cause));
    if (fd >= 0)
        close(fd);
    return -cause;
}

/* A socket file that nobody listens on is left over from a process that died. */
static void remove_stale(const struct sockaddr_storage *name, socklen_t len, const char *path)
{
    struct stat info;
    if (lstat(path, &info) != 0 || !S_ISSOCK(info.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)name, len) != 0 && errno == ECONNREFUSED)
        unlink(path); /* bind() tells if that failed */
    close(fd);
}

static int bind_unix(int fd, const struct net_address *a, const struct sockaddr_storage *name,
                     socklen_t len)
{
    remove_stale(name, len, a->path);
    if (bind(fd, (const struct sockaddr *)name, len) != 0)
        return -1;
    /* Before listen(): until then nobody can connect, whatever the mode. */
    return chmod(a->path, 0660);
}

static int bind_ip(int fd, const struct net_address *a, const struct sockaddr_storage *name,
                   socklen_t len)
{
    static const int on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
        return -1;
    if (a->family == NET_IPV6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0)
        return -1;
    return bind(fd, (const struct sockaddr *)name, len);
}

int net_bind(const struct net_address *a, char *error, size_t error_size)
{
    char text[NET_ADDRESS_SIZE];
    struct sockaddr_storage name;
    net_address_text(a, text);
    socklen_t len = sockaddr_of(a, &name);
    int fd = socket(name.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int result = -1;
    if (fd >= 0)
        result = a->family == NET_UNIX ? bind_unix(fd, a, &name, len) : bind_ip(fd, a, &name, len);
    if (result == 0)
        result = listen(fd, BACKLOG);
    if (result == 0)
        return fd;
    if (a->family == NET_UNIX)
        return bind_failed(fd, error, error_size, "cannot listen on %s", text);
    return bind_failed(fd, error, error_size, "cannot listen on %s port %u", text, a->port);
}

/* ---- accepting ---- */

static void handle_closed(uv_handle_t *handle)
{
    struct listener *l = handle->data;
    if (--l->open_handles > 0)
        return;
    close(l->fd);
    l->loop->open--;
    free(l);
}

static void polled(uv_poll_t *poll, int status, int events);

static void pause_over(uv_timer_t *pause)
{
    struct listener *l = pause->data;
    /* It was started on this descriptor before, so it can be again. */
    if (uv_poll_start(&l->poll, UV_READABLE, polled) != 0)
        panic("listener: cannot poll its descriptor again");
}

static void have_trouble(struct listener *l, int error)
{
    uv_poll_stop(&l->poll);
    uv_timer_start(&l->pause, pause_over, PAUSE_MS, 0);
    if (l->trouble)
        l->trouble(l->context, error);
}

static void adopt(struct listener *l, int fd, const struct sockaddr_storage *peer, socklen_t len)
{
    int error;
    struct conn *c = conn_adopt(l->loop, fd, peer, len, &error);
    if (!c) {
        have_trouble(l, error);
        return;
    }
    l->accepted(l->context, c);
    conn_begin(c);
}

/* accept(2): errors of the one connection that was waiting, not of the socket. */
static bool is_of_one_connection(int error)
{
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    case ENETDOWN:
    case EPROTO:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
        return true;
    default:
        return false;
    }
}

/* False: nothing more to accept now. */
static bool accept_one(struct listener *l)
{
    struct sockaddr_storage peer = {0};
    socklen_t len = sizeof(peer);
    int fd = accept4(l->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        adopt(l, fd, &peer, len);
        return true;
    }
    if (errno == EAGAIN)
        return false;
    if (is_of_one_connection(errno))
        return true;
    have_trouble(l, -errno);
    return false;
}

static void polled(uv_poll_t *poll, int status, int events)
{
    struct listener *l = poll->data;
    (void)status, (void)events; /* accept4() says what is wrong */
    for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++)
        if (l->is_closing || !uv_is_active((uv_handle_t *)&l->poll) || !accept_one(l))
            return;
}

struct listener *listener_new(struct loop *loop, int fd,
                              void (*accepted)(void *context, struct conn *c),
                              void (*trouble)(void *context, int error), void *context, int *error)
{
    struct listener *l = xalloc(sizeof(*l));
    *l = (struct listener){
        .loop = loop, .accepted = accepted, .trouble = trouble, .context = context};
    l->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (l->fd < 0) {
        *error = -errno;
        free(l);
        return NULL;
    }
    *error = uv_poll_init(&loop->uv, &l->poll, l->fd);
    if (*error != 0) {
        close(l->fd);
        free(l);
        return NULL;
    }
    uv_timer_init(&loop->uv, &l->pause); /* only links itself in */
    l->poll.data = l->pause.data = l;
    l->open_handles = 2;
    loop->open++;
    *error = uv_poll_start(&l->poll, UV_READABLE, polled);
    if (*error == 0)
        return l;
    listener_free(l);
    return NULL;
}

void listener_free(struct listener *l)
{
    if (!l)
        return;
    l->is_closing = true;
    uv_close((uv_handle_t *)&l->poll, handle_closed);
    uv_close((uv_handle_t *)&l->pause, handle_closed);
}
