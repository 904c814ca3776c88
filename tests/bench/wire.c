#include "tests/bench/wire.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_SIZE 16384
#define READ_MAX (8 * READ_SIZE) /* in one go */
#define BUFFER_MAX (1 << 20)

void wire_open(struct wire *w, int fd)
{
    *w = (struct wire){.fd = fd};
    buffer_init(&w->in, BUFFER_MAX);
    buffer_init(&w->out, BUFFER_MAX);
    /* A last small piece must not wait for an acknowledgement: that would measure the kernel. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
}

bool wire_connect(struct wire *w, const struct sockaddr_storage *to, unsigned len)
{
    int fd = socket(to->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    if (connect(fd, (const struct sockaddr *)to, len) != 0 && errno != EINPROGRESS) {
        close(fd);
        return false;
    }
    wire_open(w, fd);
    w->is_connecting = w->is_blocked = true; /* writable: connected, or failed */
    return true;
}

void wire_close(struct wire *w)
{
    if (w->ssl && !w->in_handshake)
        (void)SSL_shutdown(w->ssl); /* close_notify, if it can go */
    ERR_clear_error();
    SSL_free(w->ssl);
    if (w->fd >= 0)
        close(w->fd);
    buffer_free(&w->in);
    buffer_free(&w->out);
    *w = (struct wire){.fd = -1, .is_over = true};
}

void wire_start_tls(struct wire *w, SSL_CTX *context, bool is_server)
{
    w->ssl = SSL_new(context);
    if (!w->ssl || SSL_set_fd(w->ssl, w->fd) != 1)
        panic("no memory for TLS");
    if (is_server)
        SSL_set_accept_state(w->ssl);
    else
        SSL_set_connect_state(w->ssl);
    w->awaits_tls = false;
    w->in_handshake = w->needs_pump = true;
}

void wire_send(struct wire *w, struct slice bytes)
{
    if (!buffer_append(&w->out, bytes))
        panic("%zu bytes waiting to be written", w->out.len);
    w->needs_pump = true;
}

void wire_send_tail(struct wire *w, struct slice bytes)
{
    w->tail = bytes;
    w->needs_pump = true;
}

bool wire_is_idle(const struct wire *w)
{
    return w->out.len == 0 && w->tail.len == 0;
}

/* What an SSL call that did not succeed means. */
static void note_trouble(struct wire *w, int result)
{
    switch (SSL_get_error(w->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        break;
    case SSL_ERROR_WANT_WRITE:
        w->is_blocked = true;
        break;
    default:
        w->is_over = true;
    }
}

static void shake_hands(struct wire *w)
{
    ERR_clear_error();
    int result = SSL_do_handshake(w->ssl);
    if (result == 1)
        w->in_handshake = false;
    else
        note_trouble(w, result);
}

/* Bytes written; 0: not now, or over. */
static size_t write_some(struct wire *w, struct slice bytes)
{
    size_t len = bytes.len < INT_MAX ? bytes.len : INT_MAX;
    if (w->ssl) {
        ERR_clear_error();
        int written = SSL_write(w->ssl, bytes.data, (int)len);
        if (written <= 0)
            note_trouble(w, written);
        return written > 0 ? (size_t)written : 0;
    }
    ssize_t written = send(w->fd, bytes.data, len, MSG_NOSIGNAL);
    if (written < 0 && errno == EAGAIN)
        w->is_blocked = true;
    else if (written < 0)
        w->is_over = true;
    return written > 0 ? (size_t)written : 0;
}

static void write_all(struct wire *w)
{
    size_t written = 1;
    while (w->out.len > 0 && written > 0) {
        written = write_some(w, buffer_slice(&w->out));
        buffer_consume(&w->out, written);
    }
    while (w->tail.len > 0 && written > 0) {
        written = write_some(w, w->tail);
        w->tail = slice_sub(w->tail, written, SIZE_MAX);
    }
}

/* Bytes read; 0: nothing there, or over. */
static size_t read_some(struct wire *w)
{
    char *space = buffer_reserve(&w->in, READ_SIZE);
    if (!space)
        panic("the owner has not taken %zu bytes", w->in.len);
    ssize_t got;
    if (w->ssl) {
        ERR_clear_error();
        got = SSL_read(w->ssl, space, READ_SIZE);
        if (got <= 0)
            note_trouble(w, (int)got);
    } else {
        got = recv(w->fd, space, READ_SIZE, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            w->is_over = true;
    }
    buffer_commit(&w->in, got > 0 ? (size_t)got : 0);
    return got > 0 ? (size_t)got : 0;
}

static void finish_connecting(struct wire *w)
{
    int error = 0;
    socklen_t len = sizeof error;
    w->is_connecting = false;
    w->is_over = getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0;
}

void wire_pump(struct wire *w)
{
    w->is_blocked = w->needs_pump = false;
    if (w->is_connecting)
        finish_connecting(w);
    if (w->in_handshake && !w->is_over)
        shake_hands(w);
    if (w->in_handshake || w->is_over)
        return; /* what waits to be written goes when the handshake is done */
    write_all(w);
    /* In the clear one piece: what is behind it may be a handshake, which is not ours to read. */
    while (!w->is_over && !w->awaits_tls && read_some(w) > 0 && w->ssl && !w->needs_pump)
        w->needs_pump = w->in.len >= READ_MAX;
}

uint32_t wire_events(const struct wire *w)
{
    return EPOLLIN | (w->is_blocked ? EPOLLOUT : 0);
}

bool wire_line(struct wire *w, struct slice *line)
{
    /* What is taken goes at once; the memory stays as it is until the next pump. */
    ptrdiff_t end = slice_find(buffer_slice(&w->in), '\n');
    if (end < 0)
        return false;
    *line = slice_sub(buffer_slice(&w->in), 0, (size_t)end);
    if (line->len > 0 && line->data[line->len - 1] == '\r')
        line->len--;
    buffer_consume(&w->in, (size_t)end + 1);
    return true;
}

SSL_CTX *wire_context(const char *certificate_file, const char *key_file)
{
    SSL_CTX *context = SSL_CTX_new(certificate_file ? TLS_server_method() : TLS_client_method());
    if (!context || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1)
        panic("no TLS 1.3");
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 0);
    if (certificate_file &&
        (SSL_CTX_use_certificate_chain_file(context, certificate_file) != 1 ||
         SSL_CTX_use_PrivateKey_file(context, key_file, SSL_FILETYPE_PEM) != 1)) {
        ERR_print_errors_fp(stderr);
        exit(2);
    }
    return context;
}

void wire_raise_limits(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

bool wire_address(const char *text, struct sockaddr_storage *out, unsigned *len)
{
    char host[64];
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                                   .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    const char *colon = strrchr(text, ':');
    if (!colon)
        return false;
    struct slice name = {text, (size_t)(colon - text)};
    if (name.len > 1 && name.data[0] == '[' && name.data[name.len - 1] == ']')
        name = slice_sub(name, 1, name.len - 2);
    if (!slice_copy(name, host, sizeof host) || getaddrinfo(host, colon + 1, &hints, &found) != 0)
        return false;
    memcpy(out, found->ai_addr, found->ai_addrlen);
    *len = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

double wire_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}
