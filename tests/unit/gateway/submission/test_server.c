/* The glue on real sockets: a listener on the loopback, a real queue, a client in a thread of its
 * own. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/net/conn.h"
#include "gateway/submission/submission.h"
#include "queue/message.h"

struct house {
    char directory[64];
    struct loop *loop;
    struct queue *queue;
    struct submission_settings *settings;
    struct submission_limits *limits;
    struct submission *submission;
    uint16_t port;
    int64_t grace_ms;
    bool (*client)(const struct house *h); /* runs in a thread; true: all as wanted */
    bool is_good;
};

/* ---- The client's side ---- */

static int dial(const struct house *h)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(h->port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct timeval patience = {.tv_sec = 10};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    return connect(fd, (struct sockaddr *)&to, sizeof to) == 0 ? fd : -1;
}

/* Says, and reads until the last line of what is heard begins with `want` (NULL: until the end). */
static bool ask(int fd, const char *say, const char *want)
{
    char heard[4096];
    size_t len = 0;
    if (send(fd, say, strlen(say), MSG_NOSIGNAL) != (ssize_t)strlen(say))
        return false;
    while (len < sizeof heard - 1) {
        ssize_t got = recv(fd, heard + len, sizeof heard - 1 - len, 0);
        if (got <= 0)
            return got == 0 && !want;
        len += (size_t)got;
        heard[len] = '\0';
        if (!want || len < 2 || heard[len - 1] != '\n')
            continue;
        const char *line = memrchr(heard, '\n', len - 1);
        if (strncmp(line ? line + 1 : heard, want, strlen(want)) == 0)
            return true;
    }
    return false;
}

#define ENVELOPE "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"

static bool sends_two_messages(const struct house *h)
{
    int fd = dial(h);
    bool is_good =
        ask(fd, "", "220 ") && ask(fd, "EHLO x\r\n", "250 DSN") && ask(fd, ENVELOPE, "354 ") &&
        ask(fd, "From: a@example.net\r\n\r\nHello\r\n.\r\n", "250 2.0.0 Ok: queued as ") &&
        ask(fd, ENVELOPE, "354 ") &&
        ask(fd, "From: a@example.net\r\n\r\nAgain\r\n.\r\nQUIT\r\n", "221 ") && ask(fd, "", NULL);
    close(fd);
    return is_good;
}

static bool sends_four_mebibytes(const struct house *h)
{
    int fd = dial(h);
    bool is_good =
        ask(fd, "", "220 ") && ask(fd, "EHLO x\r\n", "250 DSN") && ask(fd, ENVELOPE, "354 ");
    char lines[4096 + 1];
    for (size_t i = 0; i < 4096; i += 64)
        memcpy(lines + i, "0123456789 0123456789 0123456789 0123456789 0123456789 01234\r\n\r\n",
               64);
    is_good = is_good && send(fd, "\r\n", 2, MSG_NOSIGNAL) == 2;
    for (int i = 0; i < 1024 && is_good; i++)
        is_good = send(fd, lines, 4096, MSG_NOSIGNAL) == 4096;
    is_good = is_good && ask(fd, ".\r\n", "250 2.0.0 Ok: queued as ");
    close(fd);
    return is_good;
}

static bool leaves_in_the_data(const struct house *h)
{
    int fd = dial(h);
    bool is_good = ask(fd, "", "220 ") && ask(fd, "EHLO x\r\n", "250 DSN") &&
                   ask(fd, ENVELOPE, "354 ") &&
                   send(fd, "From: a@b\r\n\r\nhalf", 17, MSG_NOSIGNAL) > 0;
    close(fd);
    return is_good;
}

static bool floods_and_then_reads(const struct house *h)
{
    enum { COUNT = 800000 }; /* replies beyond what a connection may have unsent */
    int fd = dial(h);
    bool is_good = ask(fd, "", "220 ");
    char *noops = malloc(COUNT * 6 + 1);
    for (int i = 0; i < COUNT; i++)
        memcpy(noops + (size_t)i * 6, "NOOP\r\n", 6);
    size_t sent = 0, heard = 0;
    char replies[16384];
    /* First until nothing more is taken. */
    struct timeval impatience = {.tv_usec = 200000}, patience = {.tv_sec = 10};
    int small = 16384;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &impatience, sizeof impatience);
    ssize_t put = 1;
    while (put > 0 && sent < COUNT * 6U) {
        put = send(fd, noops + sent, COUNT * 6U - sent, MSG_NOSIGNAL);
        sent += put > 0 ? (size_t)put : 0;
    }
    sleep(1); /* long enough for a server that does not mind to answer it all */
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    while (is_good && heard < COUNT * 14U) {
        if (sent < COUNT * 6U) {
            put = send(fd, noops + sent, COUNT * 6U - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
            sent += put > 0 ? (size_t)put : 0;
        }
        ssize_t got = recv(fd, replies, sizeof replies, 0);
        is_good = got > 0;
        heard += got > 0 ? (size_t)got : 0;
    }
    free(noops);
    close(fd);
    return is_good;
}

static void stopped(void *context)
{
    struct house *h = context;
    submission_free(h->submission);
    h->submission = NULL;
    loop_stop(h->loop);
}

static void stop(void *context)
{
    struct house *h = context;
    submission_stop(h->submission, h->grace_ms, stopped, h);
}

/* One idle session, one in a transaction: the idle one ends at once, the other after the grace. */
static bool sees_the_end(const struct house *h)
{
    int idle = dial(h), busy = dial(h);
    bool is_good = ask(idle, "", "220 ") && ask(busy, "", "220 ") &&
                   ask(busy, "EHLO x\r\n", "250 DSN") &&
                   ask(busy, "MAIL FROM:<a@example.net>\r\n", "250 2.1.0");
    loop_post(h->loop, stop, (void *)(uintptr_t)h);
    is_good = is_good && ask(idle, "", "421 4.3.2") && ask(idle, "", NULL) &&
              ask(busy, "NOOP\r\n", "250") && ask(busy, "", "421 4.3.2") && ask(busy, "", NULL);
    close(idle);
    close(busy);
    return is_good;
}

static void *client_main(void *argument)
{
    struct house *h = argument;
    h->is_good = h->client(h);
    if (h->client != sees_the_end)
        loop_post(h->loop, stop, h);
    return NULL;
}

/* ---- The house ---- */

static int listen_fd(uint16_t *port)
{
    char error[256];
    struct net_address loopback;
    struct sockaddr_in bound;
    socklen_t len = sizeof bound;
    assert_true(net_address_parse(SLICE("127.0.0.1"), &loopback));
    int fd = net_bind(&loopback, error, sizeof error);
    assert_true(fd >= 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&bound, &len), 0);
    *port = ntohs(bound.sin_port);
    return fd;
}

static void build(struct house *h)
{
    char error[256];
    strcpy(h->directory, "/tmp/sealpost-server-XXXXXX");
    assert_non_null(mkdtemp(h->directory));
    struct queue_options q = {.directory = h->directory, .size_limit = 64 << 20};
    assert_int_equal(queue_open(&q, &h->queue, error, sizeof error), 0);
    h->loop = loop_new();
    h->settings = submission_settings_new();
    strcpy(h->settings->hostname, "mail.example.org");
    h->settings->listener_count = 1;
    h->settings->listeners = xalloc(sizeof *h->settings->listeners);
    struct submission_listener *l = h->settings->listeners;
    strcpy(l->title, "relay");
    l->tls = SUBMISSION_OPTIONAL;
    l->is_relay = true;
    l->trusted_count = 1;
    l->trusted = xalloc(sizeof *l->trusted);
    assert_true(net_network_parse(SLICE("127.0.0.0/8"), l->trusted));
    h->limits = submission_limits_new();
    struct submission_options o = {
        .loop = h->loop, .queue = h->queue, .settings = h->settings, .limits = h->limits};
    h->submission = submission_new(&o);
    int fd = listen_fd(&h->port);
    assert_int_equal(submission_listen(h->submission, fd, 0), 0);
    close(fd);
}

static bool count(void *context, const struct queue_message *m, const struct queue_recipient *r,
                  size_t recipients)
{
    (void)r;
    uint64_t *total = context;
    total[0] += recipients;
    total[1] += m->size;
    return true;
}

/* Runs the client against the house to its end; how many recipients are queued, how many octets. */
static void run(bool (*client)(const struct house *h), int64_t grace_ms, uint64_t total[2])
{
    struct house h = {.client = client, .grace_ms = grace_ms};
    pthread_t thread;
    build(&h);
    assert_int_equal(pthread_create(&thread, NULL, client_main, &h), 0);
    loop_run(h.loop);
    pthread_join(thread, NULL);
    assert_true(h.is_good);
    assert_null(h.submission);
    assert_int_equal(submission_limits_connections(h.limits), 0);
    total[0] = total[1] = 0;
    queue_walk(h.queue, 0, 100, count, total);
    loop_free(h.loop);
    queue_close(h.queue);
    submission_settings_unref(h.settings);
    submission_limits_free(h.limits);
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", h.directory);
    assert_int_equal(system(command), 0);
}

static void messages_reach_the_queue(void **state)
{
    (void)state;
    uint64_t total[2];
    run(sends_two_messages, 1000, total);
    assert_int_equal(total[0], 2);
}

static void a_large_message_reaches_the_queue_whole(void **state)
{
    (void)state;
    uint64_t total[2];
    run(sends_four_mebibytes, 1000, total);
    assert_int_equal(total[0], 1);
    assert_true(total[1] > 4 << 20);
}

static void a_client_that_leaves_leaves_nothing(void **state)
{
    (void)state;
    uint64_t total[2];
    run(leaves_in_the_data, 1000, total);
    assert_int_equal(total[0], 0);
}

static void a_client_that_does_not_read_is_not_read(void **state)
{
    (void)state;
    uint64_t total[2];
    run(floods_and_then_reads, 1000, total);
    assert_int_equal(total[0], 0);
}

static void stopping_ends_the_idle_at_once_and_the_rest_after_the_grace(void **state)
{
    (void)state;
    uint64_t total[2];
    run(sees_the_end, 300, total);
    assert_int_equal(total[0], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_reach_the_queue),
        cmocka_unit_test(a_large_message_reaches_the_queue_whole),
        cmocka_unit_test(a_client_that_leaves_leaves_nothing),
        cmocka_unit_test(a_client_that_does_not_read_is_not_read),
        cmocka_unit_test(stopping_ends_the_idle_at_once_and_the_rest_after_the_grace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
