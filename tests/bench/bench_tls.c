/* bench_tls.c - what TLS costs the server: CPU per new connection, memory of an idle one, and
 * bytes per second one way. The clients are a process of their own, so that getrusage() counts the
 * server alone.
 *
 *     bench_tls [CONNECTIONS [IDLE [MEGABYTES]]]      default 2000 500 256 */
#include <arpa/inet.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "gateway/tls/stream.h"
#include "tests/support/pki.h"

enum { AT_ONCE = 16, BLOCK = 128 * 1024 };

/* ---- the server ---- */

struct server {
    struct loop *loop;
    struct tls_context *tls;
    struct listener *listener;
    struct loop_timer *quiet; /* measure_idle() */
    size_t secured, closed, until_closed, until_secured, octets;
};

struct session {
    struct server *server;
    struct stream *stream;
};

static void session_secured(void *context, const struct tls_facts *facts)
{
    struct session *s = context;
    (void)facts;
    if (!stream_write(s->stream, SLICE("220 mx.example.test ESMTP\r\n")))
        panic("greeting");
    if (++s->server->secured == s->server->until_secured)
        loop_timer_start(s->server->quiet, 200);
}

static void session_data(void *context, struct slice *in)
{
    struct session *s = context;
    s->server->octets += in->len;
    in->len = 0;
}

static void session_failed(void *context, const struct tls_failure *failure)
{
    (void)context;
    panic("handshake: %s", failure->text);
}

static void session_ended(void *context, int error)
{
    struct session *s = context;
    (void)error;
    stream_close(s->stream, false);
}

static void session_closed(void *context)
{
    struct session *s = context;
    struct server *server = s->server;
    free(s);
    if (++server->closed < server->until_closed)
        return;
    listener_free(server->listener);
    loop_stop(server->loop);
}

static const struct stream_handler session_events = {
    .data = session_data,
    .secured = session_secured,
    .tls_failed = session_failed,
    .ended = session_ended,
    .closed = session_closed,
};

static void accepted(void *context, struct conn *c)
{
    struct session *s = xalloc(sizeof(*s));
    struct tls_failure failure;
    s->server = context;
    s->stream = stream_accept(c, &session_events, s);
    if (!stream_start_tls_server(s->stream, s->server->tls, &failure))
        panic("%s", failure.text);
}

/* ---- the clients ---- */

struct clients {
    struct loop *loop;
    struct tls_context *tls;
    struct net_address to;
    size_t to_start, under_way, octets; /* octets each sends */
    bool stays;
};

struct client {
    struct clients *clients;
    struct stream *stream;
    size_t sent;
};

static void start_one(struct clients *c);

static void client_opened(void *context)
{
    static const struct tls_client_options options = {.sni = "mx.example.test"};
    struct client *c = context;
    struct tls_failure failure;
    if (!stream_start_tls_client(c->stream, c->clients->tls, &options, &failure))
        panic("%s", failure.text);
}

static void client_sends(void *context)
{
    static char block[BLOCK];
    struct client *c = context;
    if (!stream_is_secure(c->stream) || c->clients->stays || c->clients->octets == 0)
        return;
    if (c->sent < c->clients->octets) {
        if (!stream_write(c->stream, (struct slice){block, sizeof(block)}))
            panic("write");
        c->sent += sizeof(block);
    } else {
        stream_close(c->stream, false);
    }
}

static void client_data(void *context, struct slice *in)
{
    struct client *c = context;
    in->len = 0;
    if (c->clients->octets > 0)
        client_sends(c);
    else if (!c->clients->stays)
        stream_close(c->stream, false);
}

static void client_ended(void *context, int error)
{
    struct client *c = context;
    (void)error;
    stream_close(c->stream, true);
}

static void client_closed(void *context)
{
    struct client *c = context;
    struct clients *all = c->clients;
    free(c);
    all->under_way--;
    if (all->to_start > 0)
        start_one(all);
    else if (all->under_way == 0)
        loop_stop(all->loop);
}

static const struct stream_handler client_events = {
    .opened = client_opened,
    .data = client_data,
    .drained = client_sends,
    .ended = client_ended,
    .closed = client_closed,
};

static void start_one(struct clients *all)
{
    int error;
    struct client *c = xalloc(sizeof(*c));
    c->clients = all;
    c->stream = stream_connect(all->loop, &all->to, NULL, &client_events, c, &error);
    if (!c->stream)
        panic("connect: %s", conn_error_text(error));
    all->to_start--;
    all->under_way++;
}

static pid_t start_clients(struct tls_context *tls, const struct net_address *to, size_t count,
                           size_t octets, bool stays)
{
    fflush(stdout);
    pid_t child = fork();
    if (child != 0)
        return child;
    struct clients all = {loop_new(), tls, *to, count, 0, octets, stays};
    for (size_t i = 0; i < (stays ? count : AT_ONCE) && all.to_start > 0; i++)
        start_one(&all);
    loop_run(all.loop);
    _exit(0);
}

/* ---- measuring ---- */

static double cpu_s(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double wall_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int listen_anywhere(struct net_address *a)
{
    char error[200];
    struct sockaddr_in name;
    socklen_t len = sizeof(name);
    if (!net_address_parse(slice_of("127.0.0.1"), a))
        panic("address");
    int fd = net_bind(a, error, sizeof(error));
    if (fd < 0 || getsockname(fd, (struct sockaddr *)&name, &len) != 0)
        panic("%s", error);
    a->port = ntohs(name.sin_port);
    return fd;
}

/* Serves `count` clients to the end; what it cost is between the two clocks. */
static void serve(struct server *s, int fd)
{
    int error;
    s->loop = loop_new();
    s->listener = listener_new(s->loop, fd, accepted, NULL, s, &error);
    if (!s->listener)
        panic("%s", conn_error_text(error));
    loop_run(s->loop);
    loop_free(s->loop);
}

static void measure_connections(struct tls_context *tls, struct tls_context *client, size_t count)
{
    struct net_address a;
    int fd = listen_anywhere(&a);
    struct server s = {.tls = tls, .until_closed = count};
    pid_t child = start_clients(client, &a, count, 0, false);
    double from = cpu_s();
    serve(&s, fd);
    double cpu = cpu_s() - from;
    waitpid(child, NULL, 0);
    close(fd);
    printf("connections: %zu, %.3f ms CPU each, %.0f a CPU second\n", count,
           cpu * 1e3 / (double)count, (double)count / cpu);
}

static size_t heap_before;

/* All are up and have gone quiet. */
static void tell_idle(void *context)
{
    struct server *s = context;
    printf("idle: %zu connections, %zu octets of heap each\n", s->secured,
           (mallinfo2().uordblks - heap_before) / s->secured);
    fflush(stdout);
    _exit(0); /* which resets them, and so ends the clients */
}

static void measure_idle(struct tls_context *tls, struct tls_context *client, size_t count)
{
    struct net_address a;
    int fd = listen_anywhere(&a), error;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        struct server s = {.loop = loop_new(), .tls = tls, .until_closed = count + 1};
        s.listener = listener_new(s.loop, fd, accepted, NULL, &s, &error);
        s.quiet = loop_timer_new(s.loop, tell_idle, &s);
        s.until_secured = count;
        heap_before = mallinfo2().uordblks;
        loop_run(s.loop);
    }
    pid_t clients = start_clients(client, &a, count, 0, true);
    close(fd);
    waitpid(child, NULL, 0);
    waitpid(clients, NULL, 0);
}

static void measure_bytes(struct tls_context *tls, struct tls_context *client, size_t megabytes)
{
    struct net_address a;
    int fd = listen_anywhere(&a);
    struct server s = {.tls = tls, .until_closed = 1};
    pid_t child = start_clients(client, &a, 1, megabytes << 20, false);
    double from = cpu_s(), wall = wall_s();
    serve(&s, fd);
    double cpu = cpu_s() - from;
    wall = wall_s() - wall;
    waitpid(child, NULL, 0);
    close(fd);
    printf("bytes: %zu MiB, %.0f MiB/s, %.0f MiB a CPU second\n", s.octets >> 20,
           (double)(s.octets >> 20) / wall, (double)(s.octets >> 20) / cpu);
}

static size_t number(int argc, char **argv, int at, size_t otherwise)
{
    uint64_t value = otherwise;
    if (argc > at && !slice_number(slice_of(argv[at]), 1000000, &value))
        panic("not a number: %s", argv[at]);
    return value;
}

int main(int argc, char **argv)
{
    char directory[] = "/tmp/bench-tls-XXXXXX", certificate[64], key[64], error[300] = "";
    struct pki_options o = {.common_name = "mx.example.test", .alt_names = "DNS:mx.example.test"};
    if (!mkdtemp(directory))
        return 1;
    snprintf(certificate, sizeof(certificate), "%s/cert.pem", directory);
    snprintf(key, sizeof(key), "%s/key.pem", directory);
    struct pki_identity i = pki_make(&o, NULL);
    pki_write(&i, NULL, certificate, key);
    struct tls_server_options options = {certificate, key, true};
    struct tls_context *server = tls_server_new(&options, error, sizeof(error));
    struct tls_context *client = tls_client_new(certificate, error, sizeof(error));
    unlink(certificate);
    unlink(key);
    rmdir(directory);
    pki_free(&i);
    if (!server || !client)
        panic("%s", error);
    measure_connections(server, client, number(argc, argv, 1, 2000));
    measure_idle(server, client, number(argc, argv, 2, 500));
    measure_bytes(server, client, number(argc, argv, 3, 256));
    tls_context_unref(server);
    tls_context_unref(client);
    return 0;
}
