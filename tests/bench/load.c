/* load.c - many mail clients in one process: connects, starts TLS 1.3, logs in, submits, and counts
 * what was answered 250. Prints one JSON object. bench_load --help tells the options.
 *
 * A client's steps, each left by the reply it waits for:
 *
 *   GREETING -> EHLO -> STARTTLS -> HANDSHAKE -> EHLO_TLS -> AUTH -> MAIL -> RCPT -> DATA ->
 * CONTENT |                                 |   \________^             ^____________|   |
 *                 +--------- implicit TLS ----------+                                         QUIT
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/bench/wire.h"

#define BODY_COPIED_MAX 65536 /* a larger one is sent from where it is */
#define FAILURES_MAX 100      /* clients lost: then there is nothing to measure */

enum step {
    STEP_GREETING,
    STEP_EHLO,
    STEP_STARTTLS,
    STEP_HANDSHAKE,
    STEP_EHLO_TLS,
    STEP_AUTH,
    STEP_IDLE,
    STEP_MAIL,
    STEP_RCPT,
    STEP_DATA,
    STEP_CONTENT,
    STEP_QUIT,
    STEP_COUNT,
};

struct client {
    struct wire wire;
    enum step step;
    uint32_t watched;   /* epoll's events */
    bool is_settled;    /* logged in: no longer counted as opening */
    unsigned submitted; /* on this connection */
    unsigned message;   /* number of the one under way */
    double began;       /* when its MAIL was sent */
};

static struct {
    const char *server, *user, *password, *from, *tag, *acknowledged_file;
    bool is_implicit, is_idle;
    unsigned connections, messages, per_connection, opening, seconds;
    size_t size;
    char *recipients[64]; /* owned; taken in turn */
    unsigned recipient_count;
} options = {.from = "alice@site.example",
             .tag = "bench",
             .connections = 1,
             .messages = 1,
             .per_connection = 1,
             .opening = 50,
             .seconds = 60,
             .size = 4096};

static struct {
    struct sockaddr_storage address;
    unsigned address_len;
    SSL_CTX *context;
    int epoll;
    struct client *clients;
    struct slice body; /* of every message, with the end of data */
    char *plain;       /* AUTH PLAIN's base64 */
    unsigned begun, acknowledged, failed;
    unsigned opening, open, settled; /* clients */
    double *latency;                 /* seconds, of the acknowledged */
    FILE *acknowledged_file;
    bool has_complained;
} load;

static void say(struct client *c, enum step step, const char *command)
{
    wire_send(&c->wire, slice_of(command));
    c->step = step;
}

/* ---- one client's steps ---- */

static void submit(struct client *c)
{
    char text[600];
    c->message = load.begun++;
    c->began = wire_now();
    snprintf(text, sizeof text, "MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n", options.from,
             options.recipients[c->message % options.recipient_count]);
    say(c, STEP_MAIL, text);
}

static void settle(struct client *c)
{
    c->is_settled = true;
    load.opening--;
    load.settled++;
}

static void next_message(struct client *c)
{
    bool is_enough = c->submitted >= options.per_connection || load.begun >= options.messages;
    if (!c->is_settled)
        settle(c);
    if (options.is_idle)
        c->step = STEP_IDLE;
    else if (is_enough)
        say(c, STEP_QUIT, "QUIT\r\n");
    else
        submit(c);
}

static void after_greeting(struct client *c)
{
    say(c, options.is_implicit ? STEP_EHLO_TLS : STEP_EHLO, "EHLO client.example\r\n");
}

static void after_ehlo(struct client *c)
{
    say(c, STEP_STARTTLS, "STARTTLS\r\n");
}

static void after_starttls(struct client *c)
{
    wire_start_tls(&c->wire, load.context, false);
    c->step = STEP_HANDSHAKE;
}

static void after_handshake(struct client *c)
{
    say(c, STEP_EHLO_TLS, "EHLO client.example\r\n");
}

static void after_ehlo_tls(struct client *c)
{
    char text[600];
    if (!load.plain) {
        next_message(c);
        return;
    }
    snprintf(text, sizeof text, "AUTH PLAIN %s\r\n", load.plain);
    say(c, STEP_AUTH, text);
}

static void after_mail(struct client *c)
{
    c->step = STEP_RCPT;
}

static void after_rcpt(struct client *c)
{
    c->step = STEP_DATA;
}

static void after_data(struct client *c)
{
    char text[800];
    snprintf(text, sizeof text,
             "From: <%s>\r\nTo: <%s>\r\nSubject: Figures of the quarter\r\n"
             "Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <%s.%u@client.example>\r\n"
             "X-Bench-Tag: %s.%u\r\n\r\n",
             options.from, options.recipients[c->message % options.recipient_count], options.tag,
             c->message, options.tag, c->message);
    say(c, STEP_CONTENT, text);
    if (load.body.len <= BODY_COPIED_MAX)
        wire_send(&c->wire, load.body);
    else
        wire_send_tail(&c->wire, load.body);
}

static void after_content(struct client *c)
{
    load.latency[load.acknowledged++] = wire_now() - c->began;
    if (load.acknowledged_file)
        fprintf(load.acknowledged_file, "%s.%u\n", options.tag, c->message);
    c->submitted++;
    next_message(c);
}

static void after_quit(struct client *c)
{
    c->wire.is_over = true;
}

static const struct {
    const char *name;
    char first_digit; /* of the reply that leads on; 0: no reply is due */
    void (*after)(struct client *c);
} steps[STEP_COUNT] = {
    [STEP_GREETING] = {"greeting", '2', after_greeting},
    [STEP_EHLO] = {"EHLO", '2', after_ehlo},
    [STEP_STARTTLS] = {"STARTTLS", '2', after_starttls},
    [STEP_HANDSHAKE] = {"handshake", 0, NULL},
    [STEP_EHLO_TLS] = {"EHLO under TLS", '2', after_ehlo_tls},
    [STEP_AUTH] = {"AUTH", '2', next_message},
    [STEP_IDLE] = {"idle", 0, NULL},
    [STEP_MAIL] = {"MAIL", '2', after_mail},
    [STEP_RCPT] = {"RCPT", '2', after_rcpt},
    [STEP_DATA] = {"DATA", '3', after_data},
    [STEP_CONTENT] = {"content", '2', after_content},
    [STEP_QUIT] = {"QUIT", '2', after_quit},
};

static void fail(struct client *c, struct slice reply)
{
    if (!load.has_complained)
        fprintf(stderr, "bench_load: at %s: %.*s\n", steps[c->step].name, SLICE_ARG(reply));
    load.has_complained = true;
    c->wire.is_over = true;
}

static void take_replies(struct client *c)
{
    struct slice line;
    while (!c->wire.in_handshake && wire_line(&c->wire, &line)) {
        if (line.len > 3 && line.data[3] == '-')
            continue;
        if (line.len == 0 || line.data[0] != steps[c->step].first_digit) {
            fail(c, line);
            return;
        }
        steps[c->step].after(c);
    }
}

/* ---- all clients ---- */

static void watch(struct client *c, int operation)
{
    struct epoll_event event = {.events = wire_events(&c->wire), .data.ptr = c};
    if (operation == EPOLL_CTL_MOD && event.events == c->watched)
        return;
    c->watched = event.events;
    if (epoll_ctl(load.epoll, operation, c->wire.fd, &event) != 0)
        panic("epoll_ctl: %s", strerror(errno));
}

static void open_client(struct client *c)
{
    *c = (struct client){.step = STEP_GREETING};
    if (!wire_connect(&c->wire, &load.address, load.address_len)) {
        fail(c, slice_of(strerror(errno)));
        c->wire.fd = -1;
        load.failed++;
        return;
    }
    if (options.is_implicit)
        wire_start_tls(&c->wire, load.context, false);
    load.open++;
    load.opening++;
    watch(c, EPOLL_CTL_ADD);
}

static void close_client(struct client *c)
{
    if (c->step != STEP_QUIT) {
        fail(c, SLICE("connection lost"));
        load.failed++;
    }
    if (c->is_settled)
        load.settled--;
    else
        load.opening--;
    load.open--;
    wire_close(&c->wire);
}

static void serve(struct client *c)
{
    do {
        wire_pump(&c->wire);
        if (c->step == STEP_HANDSHAKE && !c->wire.in_handshake && !c->wire.is_over)
            after_handshake(c);
        take_replies(c);
        /* What the replies made us say goes out at once. */
    } while (!c->wire.is_over && c->wire.needs_pump);
    if (c->wire.is_over)
        close_client(c);
    else
        watch(c, EPOLL_CTL_MOD);
}

/* Opens what is allowed now. False: nothing is left to do. */
static bool open_more(void)
{
    for (unsigned i = 0; i < options.connections && load.opening < options.opening; i++) {
        if (load.failed >= FAILURES_MAX ||
            (!options.is_idle && load.begun + load.opening >= options.messages))
            break;
        if (load.clients[i].wire.fd < 0)
            open_client(&load.clients[i]);
    }
    return load.open > 0 && load.failed < FAILURES_MAX;
}

static void idle_until_told(void)
{
    char byte;
    printf("idle %u\n", load.settled);
    fflush(stdout);
    (void)!read(STDIN_FILENO, &byte, 1);
}

static void run(double deadline)
{
    struct epoll_event events[256];
    while (open_more() && wire_now() < deadline) {
        int count = epoll_wait(load.epoll, events, COUNT_OF(events), 200);
        for (int i = 0; i < count; i++)
            serve(events[i].data.ptr);
        if (options.is_idle && load.settled == options.connections) {
            idle_until_told();
            return;
        }
    }
}

/* ---- before and after ---- */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile_ms(double share)
{
    if (load.acknowledged == 0)
        return 0;
    return 1e3 * load.latency[(size_t)(share * (load.acknowledged - 1) + 0.5)];
}

static bool report(double began)
{
    double seconds = wire_now() - began;
    qsort(load.latency, load.acknowledged, sizeof *load.latency, compare);
    printf("{\"acknowledged\": %u, \"failed\": %u, \"began_at\": %.4f, \"seconds\": %.4f, "
           "\"p50_ms\": %.2f, "
           "\"p95_ms\": %.2f, \"p99_ms\": %.2f, \"max_ms\": %.2f}\n",
           load.acknowledged, load.failed, began, seconds, percentile_ms(0.5), percentile_ms(0.95),
           percentile_ms(0.99), percentile_ms(1));
    return load.failed == 0 && (options.is_idle || load.acknowledged == options.messages);
}

/* Lines that no dot begins, up to about `size`, and the end of data. */
static struct slice make_body(size_t size)
{
    static const char line[] =
        "The quick brown fox jumps over the lazy dog, and the figures are in the table.\r\n";
    size_t count = size / (sizeof line - 1) + 1;
    char *body = malloc(count * (sizeof line - 1) + 3);
    if (!body)
        panic("no memory for %zu bytes", size);
    for (size_t i = 0; i < count; i++)
        memcpy(body + i * (sizeof line - 1), line, sizeof line - 1);
    memcpy(body + count * (sizeof line - 1), ".\r\n", 3);
    return (struct slice){body, count * (sizeof line - 1) + 3};
}

static char *plain_of(const char *user, const char *password)
{
    unsigned char text[300];
    static unsigned char encoded[410];
    int len = snprintf((char *)text, sizeof text, "%c%s%c%s", 0, user, 0, password);
    if (len < 0 || len >= (int)sizeof text)
        panic("user and password are too long");
    EVP_EncodeBlock(encoded, text, len);
    return (char *)encoded;
}

static int usage(int status)
{
    fputs("usage: bench_load --server ADDRESS:PORT --to ADDRESS[,...] [options]\n"
          "  --implicit            TLS from the first byte (default: STARTTLS)\n"
          "  --user U --password P log in with AUTH PLAIN\n"
          "  --from ADDRESS        reverse-path and header From\n"
          "  --connections N       open at a time (1)\n"
          "  --opening N           of them before AUTH is done (50)\n"
          "  --messages N          in all (1)\n"
          "  --per-connection N    then QUIT and connect anew (1)\n"
          "  --size BYTES          of the body (4096)\n"
          "  --tag PREFIX          X-Bench-Tag: PREFIX.0, PREFIX.1, ...\n"
          "  --acknowledged FILE   writes the tags answered 250\n"
          "  --idle                log in, say so, and wait for the end of standard input\n"
          "  --seconds N           give up after that (60)\n"
          "exit status: 0 every message was answered 250, 1 not, 2 wrong usage\n",
          status == 0 ? stdout : stderr);
    return status;
}

static void split_recipients(const char *text)
{
    struct slice rest = slice_of(text), one;
    while (slice_cut(&rest, ',', &one) && options.recipient_count < COUNT_OF(options.recipients))
        options.recipients[options.recipient_count++] = xprintf("%.*s", SLICE_ARG(one));
}

static unsigned number(const char *text)
{
    uint64_t value;
    if (!slice_number(slice_of(text), UINT32_MAX, &value))
        exit(usage(2));
    return (unsigned)value;
}

static void read_options(int argc, char **argv)
{
    static const struct option names[] = {
        {"server", 1, NULL, 's'},         {"to", 1, NULL, 't'},       {"implicit", 0, NULL, 'i'},
        {"user", 1, NULL, 'u'},           {"password", 1, NULL, 'p'}, {"from", 1, NULL, 'f'},
        {"connections", 1, NULL, 'c'},    {"opening", 1, NULL, 'o'},  {"messages", 1, NULL, 'm'},
        {"per-connection", 1, NULL, 'k'}, {"size", 1, NULL, 'z'},     {"tag", 1, NULL, 'g'},
        {"acknowledged", 1, NULL, 'a'},   {"idle", 0, NULL, 'I'},     {"seconds", 1, NULL, 'S'},
        {"help", 0, NULL, 'h'},           {NULL, 0, NULL, 0},
    };
    for (int name; (name = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (name) {
        case 's':
            options.server = optarg;
            break;
        case 't':
            split_recipients(optarg);
            break;
        case 'i':
            options.is_implicit = true;
            break;
        case 'u':
            options.user = optarg;
            break;
        case 'p':
            options.password = optarg;
            break;
        case 'f':
            options.from = optarg;
            break;
        case 'c':
            options.connections = number(optarg);
            break;
        case 'o':
            options.opening = number(optarg);
            break;
        case 'm':
            options.messages = number(optarg);
            break;
        case 'k':
            options.per_connection = number(optarg);
            break;
        case 'z':
            options.size = number(optarg);
            break;
        case 'g':
            options.tag = optarg;
            break;
        case 'a':
            options.acknowledged_file = optarg;
            break;
        case 'I':
            options.is_idle = true;
            break;
        case 'S':
            options.seconds = number(optarg);
            break;
        default:
            exit(usage(name == 'h' ? 0 : 2));
        }
    }
}

static bool prepare(void)
{
    if (!options.server || (options.recipient_count == 0 && !options.is_idle) ||
        !wire_address(options.server, &load.address, &load.address_len))
        return false;
    wire_raise_limits();
    load.context = wire_context(NULL, NULL);
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    load.clients = xalloc(options.connections * sizeof *load.clients);
    for (unsigned i = 0; i < options.connections; i++)
        load.clients[i].wire.fd = -1;
    load.latency = xalloc((options.messages + 1) * sizeof *load.latency);
    load.body = make_body(options.size);
    if (options.user && options.password)
        load.plain = plain_of(options.user, options.password);
    if (options.acknowledged_file &&
        !(load.acknowledged_file = fopen(options.acknowledged_file, "w")))
        panic("%s: %s", options.acknowledged_file, strerror(errno));
    return true;
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    if (optind < argc || !prepare())
        return usage(2);
    signal(SIGPIPE, SIG_IGN);
    double began = wire_now();
    run(began + options.seconds);
    bool is_good = report(began);
    if (load.acknowledged_file && fclose(load.acknowledged_file) != 0)
        is_good = false;
    return is_good ? 0 : 1;
}
