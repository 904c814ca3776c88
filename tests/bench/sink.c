/* sink.c - an MX host that takes everything over TLS 1.3, keeps nothing and counts: messages, and
 * how often each X-Bench-Tag came, so that what was lost or sent twice is seen. One JSON object on
 * standard output at SIGUSR1, and at SIGTERM, which ends it. bench_sink --help tells the options.
 */
#include <errno.h>
#include <getopt.h>
#include <search.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/bench/wire.h"

#define LISTENERS_MAX 16
#define TAG_NAME "X-Bench-Tag: "

struct peer {
    struct wire wire;
    uint32_t watched; /* epoll's events */
    bool in_data;
    bool in_header;
    bool is_leaving; /* QUIT: close when the reply is out */
};

struct tag {
    unsigned count;
    char text[];
};

static struct {
    const char *certificate, *key, *tags_file, *hostname;
    const char *listeners[LISTENERS_MAX];
    unsigned listener_count, seconds;
    bool is_silent;
} options = {.hostname = "sink.example", .seconds = 3600};

static struct {
    SSL_CTX *context;
    int epoll;
    int listeners[LISTENERS_MAX]; /* epoll tells them by their address */
    void *tags;                   /* of struct tag by text (tsearch) */
    FILE *tags_file;
    unsigned long long bytes;
    unsigned messages, messages_in_clear, unique, untagged, recipients, connections, handshakes;
    double last_at; /* when the last message ended, on the monotonic clock */
} sink;

static volatile sig_atomic_t is_asked, is_told_to_end;

/* ---- counting ---- */

static int compare_tags(const void *a, const void *b)
{
    return strcmp(((const struct tag *)a)->text, ((const struct tag *)b)->text);
}

static void count_tag(struct slice text)
{
    struct tag *tag = xalloc(sizeof *tag + text.len + 1);
    memcpy(tag->text, text.data, text.len);
    struct tag **found = tsearch(tag, &sink.tags, compare_tags);
    if (!found)
        panic("no memory for tags");
    if (*found == tag)
        sink.unique++;
    else
        free(tag);
    (*found)->count++;
}

static void print_tag(const void *node, VISIT visit, int depth)
{
    const struct tag *tag = *(struct tag *const *)node;
    (void)depth;
    if (visit == postorder || visit == leaf)
        fprintf(sink.tags_file, "%s %u\n", tag->text, tag->count);
}

static void report(void)
{
    printf("{\"messages\": %u, \"unique\": %u, \"duplicates\": %u, \"untagged\": %u, "
           "\"in_clear\": %u, \"recipients\": %u, \"connections\": %u, \"handshakes\": %u, "
           "\"bytes\": %llu, \"last_at\": %.4f}\n",
           sink.messages, sink.unique, sink.messages - sink.untagged - sink.unique, sink.untagged,
           sink.messages_in_clear, sink.recipients, sink.connections, sink.handshakes, sink.bytes,
           sink.last_at);
    fflush(stdout);
}

/* ---- one peer ---- */

static void reply(struct peer *p, const char *text)
{
    wire_send(&p->wire, slice_of(text));
}

static void reply_ehlo(struct peer *p)
{
    char text[400];
    snprintf(text, sizeof text,
             "250-%s\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n%s"
             "250 SIZE 104857600\r\n",
             options.hostname, p->wire.ssl ? "" : "250-STARTTLS\r\n");
    reply(p, text);
}

static void take_content(struct peer *p, struct slice line)
{
    sink.bytes += line.len + 2;
    if (line.len == 1 && line.data[0] == '.') {
        sink.messages++;
        sink.messages_in_clear += !p->wire.ssl;
        sink.untagged += p->in_header; /* the header is left at the tag */
        sink.last_at = wire_now();
        p->in_data = false;
        reply(p, "250 2.0.0 taken\r\n");
    } else if (p->in_header && slice_starts_nocase(line, SLICE(TAG_NAME))) {
        count_tag(slice_sub(line, sizeof TAG_NAME - 1, SIZE_MAX));
        p->in_header = false;
    }
}

static void take_command(struct peer *p, struct slice line)
{
    struct slice verb = slice_sub(line, 0, 4);
    if (slice_equal_nocase(verb, SLICE("EHLO")) || slice_equal_nocase(verb, SLICE("HELO"))) {
        reply_ehlo(p);
    } else if (slice_equal_nocase(verb, SLICE("STAR")) && !p->wire.ssl) {
        p->wire.awaits_tls = true;
        reply(p, "220 2.0.0 go ahead\r\n");
    } else if (slice_equal_nocase(verb, SLICE("RCPT"))) {
        sink.recipients++;
        reply(p, "250 2.1.5 ok\r\n");
    } else if (slice_equal_nocase(verb, SLICE("DATA"))) {
        p->in_data = p->in_header = true;
        reply(p, "354 go ahead\r\n");
    } else if (slice_equal_nocase(verb, SLICE("QUIT"))) {
        p->is_leaving = true;
        reply(p, "221 2.0.0 bye\r\n");
    } else if (slice_equal_nocase(verb, SLICE("MAIL")) || slice_equal_nocase(verb, SLICE("RSET")) ||
               slice_equal_nocase(verb, SLICE("NOOP"))) {
        reply(p, "250 2.0.0 ok\r\n");
    } else {
        reply(p, "502 5.5.1 not here\r\n");
    }
}

static void take_lines(struct peer *p)
{
    struct slice line;
    if (options.is_silent)
        buffer_clear(&p->wire.in);
    while (!p->wire.in_handshake && !p->wire.awaits_tls && wire_line(&p->wire, &line)) {
        if (p->in_data)
            take_content(p, line);
        else
            take_command(p, line);
    }
}

static void watch(struct peer *p, int operation)
{
    struct epoll_event event = {.events = wire_events(&p->wire), .data.ptr = p};
    if (operation == EPOLL_CTL_MOD && event.events == p->watched)
        return;
    p->watched = event.events;
    if (epoll_ctl(sink.epoll, operation, p->wire.fd, &event) != 0)
        panic("epoll_ctl: %s", strerror(errno));
}

static void start_tls(struct peer *p)
{
    buffer_clear(&p->wire.in); /* what came behind STARTTLS in the clear */
    wire_start_tls(&p->wire, sink.context, true);
}

static void serve(struct peer *p)
{
    do {
        bool was_in_handshake = p->wire.in_handshake;
        wire_pump(&p->wire);
        sink.handshakes += was_in_handshake && !p->wire.in_handshake;
        take_lines(p);
        if (p->wire.awaits_tls && wire_is_idle(&p->wire))
            start_tls(p);
    } while (!p->wire.is_over && p->wire.needs_pump);
    if (p->wire.is_over || (p->is_leaving && wire_is_idle(&p->wire))) {
        wire_close(&p->wire);
        free(p);
        return;
    }
    watch(p, EPOLL_CTL_MOD);
}

/* ---- all peers ---- */

static void welcome(int listener)
{
    char text[300];
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return; /* gone again */
    struct peer *p = xalloc(sizeof *p);
    wire_open(&p->wire, fd);
    sink.connections++;
    watch(p, EPOLL_CTL_ADD);
    if (options.is_silent)
        return;
    snprintf(text, sizeof text, "220 %s ESMTP\r\n", options.hostname);
    reply(p, text);
    serve(p);
}

static void dispatch(void *who)
{
    for (unsigned i = 0; i < options.listener_count; i++) {
        if (who == &sink.listeners[i]) {
            welcome(sink.listeners[i]);
            return;
        }
    }
    serve(who);
}

static void run(double deadline)
{
    struct epoll_event events[256];
    sigset_t none;
    sigemptyset(&none);
    while (!is_told_to_end && wire_now() < deadline) {
        /* Signals come here and nowhere else. */
        int count = epoll_pwait(sink.epoll, events, COUNT_OF(events), 1000, &none);
        for (int i = 0; i < count; i++)
            dispatch(events[i].data.ptr);
        if (is_asked)
            report();
        is_asked = 0;
    }
}

/* ---- before and after ---- */

static void take_signal(int number)
{
    if (number == SIGUSR1)
        is_asked = 1;
    else
        is_told_to_end = 1;
}

static void catch_signals(void)
{
    static const int numbers[] = {SIGUSR1, SIGTERM, SIGINT};
    const struct sigaction action = {.sa_handler = take_signal};
    sigset_t blocked;
    sigemptyset(&blocked);
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        sigaddset(&blocked, numbers[i]);
        sigaction(numbers[i], &action, NULL);
    }
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int listen_on(const char *text)
{
    struct sockaddr_storage address;
    unsigned len;
    if (!wire_address(text, &address, &len))
        panic("%s is not ADDRESS:PORT", text);
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(fd, (const struct sockaddr *)&address, len) != 0 || listen(fd, 1024) != 0)
        panic("%s: %s", text, strerror(errno));
    return fd;
}

static void listen_all(void)
{
    for (unsigned i = 0; i < options.listener_count; i++) {
        sink.listeners[i] = listen_on(options.listeners[i]);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &sink.listeners[i]};
        if (epoll_ctl(sink.epoll, EPOLL_CTL_ADD, sink.listeners[i], &event) != 0)
            panic("epoll_ctl: %s", strerror(errno));
    }
}

static bool write_tags(void)
{
    if (!options.tags_file)
        return true;
    sink.tags_file = fopen(options.tags_file, "w");
    if (!sink.tags_file)
        return false;
    twalk(sink.tags, print_tag);
    return fclose(sink.tags_file) == 0;
}

static int usage(int status)
{
    fputs("usage: bench_sink --listen ADDRESS:PORT ... --certificate FILE --key FILE [options]\n"
          "  --hostname NAME   in greeting and EHLO\n"
          "  --silent          accepts connections and never says a word\n"
          "  --tags FILE       at the end: each tag, and how often it came\n"
          "  --seconds N       ends by itself after that (3600)\n",
          status == 0 ? stdout : stderr);
    return status;
}

static void read_options(int argc, char **argv)
{
    static const struct option names[] = {
        {"listen", 1, NULL, 'l'},  {"certificate", 1, NULL, 'c'}, {"key", 1, NULL, 'k'},
        {"silent", 0, NULL, 's'},  {"tags", 1, NULL, 't'},        {"hostname", 1, NULL, 'n'},
        {"seconds", 1, NULL, 'S'}, {"help", 0, NULL, 'h'},        {NULL, 0, NULL, 0},
    };
    for (int name; (name = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (name == 'l' && options.listener_count < LISTENERS_MAX)
            options.listeners[options.listener_count++] = optarg;
        else if (name == 'c')
            options.certificate = optarg;
        else if (name == 'k')
            options.key = optarg;
        else if (name == 's')
            options.is_silent = true;
        else if (name == 't')
            options.tags_file = optarg;
        else if (name == 'n')
            options.hostname = optarg;
        else if (name == 'S')
            options.seconds = (unsigned)strtoul(optarg, NULL, 10);
        else
            exit(usage(name == 'h' ? 0 : 2));
    }
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    if (optind < argc || options.listener_count == 0 || !options.certificate || !options.key)
        return usage(2);
    wire_raise_limits();
    catch_signals();
    sink.context = wire_context(options.certificate, options.key);
    sink.epoll = epoll_create1(EPOLL_CLOEXEC);
    listen_all();
    report(); /* ready */
    run(wire_now() + options.seconds);
    report();
    return write_tags() ? 0 : 1;
}
