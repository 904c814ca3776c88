/* dns_probe.c - prints what dns_find_mx() and dns_find_host() say, for test_dns.py.
 *
 *   dns_probe [-r RESOLVER]... [-a ANCHOR] [-c CONFIG] [-v 4|6] [-p PORT] [-s SIGNED] [-b BOGUS]
 *             [-w MS] mx:DOMAIN|host:NAME ...
 *
 * -s, -b: names of the self-test; -w: waits so long, that it may end. All questions are asked at
 * once, from a loop that is not the resolver's home. One line each, in
 * the order given: tab-separated "key=value". Events of the resolver are lines too, on stderr. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/dns/dns.h"
#include "mail/buffer.h"
#include "mail/date.h"

#define QUESTIONS_MAX 64

struct probe;

struct question {
    struct probe *probe;
    const char *text;
    bool is_mx;
    struct buffer line;
};

struct probe {
    struct loop *home;
    struct loop *asker;
    struct dns *dns;
    uint16_t port;
    int ip_version;
    unsigned wait_ms; /* before the questions */
    int64_t started_ms;
    struct question questions[QUESTIONS_MAX];
    size_t count;
    size_t open;
};

static const char *status_name(enum dns_status status)
{
    static const char *const names[] = {
        [DNS_DATA] = "data",     [DNS_NODATA] = "nodata", [DNS_NXDOMAIN] = "nxdomain",
        [DNS_FAILED] = "failed", [DNS_BOGUS] = "bogus",   [DNS_OUR_FAULT] = "our-fault",
    };
    return names[status];
}

static const char *tlsa_name(enum dns_tlsa tlsa)
{
    static const char *const names[] = {
        [DNS_TLSA_NONE] = "none",
        [DNS_TLSA_USABLE] = "usable",
        [DNS_TLSA_UNUSABLE] = "unusable",
        [DNS_TLSA_ERROR] = "error",
    };
    return names[tlsa];
}

static void add(struct buffer *line, const char *format, ...) PRINTF_LIKE(2, 3);
static void add(struct buffer *line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (!buffer_vprintf(line, format, arguments))
        panic("dns_probe: line too long");
    va_end(arguments);
}

static void stop_home(void *context)
{
    struct probe *p = context;
    dns_free(p->dns);
    loop_stop(p->home);
}

static void end_line(struct question *q, int64_t expires_at)
{
    struct probe *p = q->probe;
    add(&q->line, "\tttl=%lld\ttook_ms=%lld\n",
        expires_at ? (long long)(expires_at - date_now()) : -1LL,
        (long long)(date_now_ms() - p->started_ms));
    if (--p->open == 0) {
        loop_post(p->home, stop_home, p);
        loop_stop(p->asker);
    }
}

static void found_mx(void *context, const struct dns_mx *mx)
{
    struct question *q = context;
    add(&q->line, "question=%s\tstatus=%s\tsecurity=%s\thosts=", q->text, status_name(mx->status),
        mx->security == DNS_SECURE ? "secure" : "insecure");
    for (size_t i = 0; i < mx->count; i++)
        add(&q->line, "%s%u:%s", i ? "," : "", mx->hosts[i].preference, mx->hosts[i].name);
    add(&q->line, "\timplicit=%d\tnull=%d\tdetail=%s", mx->is_implicit, mx->is_null, mx->detail);
    end_line(q, mx->expires_at);
}

static void found_host(void *context, const struct dns_host *host)
{
    struct question *q = context;
    char text[NET_ADDRESS_SIZE];
    add(&q->line, "question=%s\tstatus=%s\tsecurity=%s\taddresses=", q->text,
        status_name(host->status), host->is_address_secure ? "secure" : "insecure");
    for (size_t i = 0; i < host->address_count; i++)
        add(&q->line, "%s%s", i ? "," : "", net_address_text(&host->addresses[i], text));
    add(&q->line, "\ttlsa=%s\tbase=%s\trecords=", tlsa_name(host->tlsa), host->tlsa_base);
    for (size_t i = 0; i < host->record_count; i++) {
        const struct dns_tlsa_record *r = &host->records[i];
        add(&q->line, "%s%u%u%u:%02x%02x", i ? "," : "", r->usage, r->selector, r->matching,
            r->data[0], r->data[1]);
    }
    add(&q->line, "\tinsecure_tlsa=%d\tdetail=%s\ttlsa_detail=%s", host->is_tlsa_insecure,
        host->detail, host->tlsa_detail);
    end_line(q, host->expires_at);
}

static void ask_all(void *context)
{
    struct probe *p = context;
    p->started_ms = date_now_ms();
    p->open = p->count;
    for (size_t i = 0; i < p->count; i++) {
        struct question *q = &p->questions[i];
        const char *name = strchr(q->text, ':') + 1;
        struct dns_question *asked =
            q->is_mx ? dns_find_mx(p->dns, p->asker, name, found_mx, q)
                     : dns_find_host(p->dns, p->asker, name, p->port, p->ip_version, found_host, q);
        (void)asked; /* nothing is cancelled here */
    }
}

static void *run_asker(void *context)
{
    struct probe *p = context;
    usleep(p->wait_ms * 1000);
    loop_run(p->asker);
    return NULL;
}

static void emit(void *context, enum event_severity severity, const char *event,
                 const struct event_field *fields, size_t count)
{
    (void)context;
    (void)severity;
    fprintf(stderr, "event=%s", event);
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, "\t%s=%s", event_key_name(fields[i].key),
                fields[i].text ? fields[i].text : "");
    fprintf(stderr, "\n");
}

static void usage(void)
{
    fprintf(stderr, "usage: dns_probe [-r RESOLVER] [-a ANCHOR] [-c CONFIG] [-v 4|6] [-p PORT] "
                    "[-s SIGNED] [-b BOGUS] [-w MS] mx:DOMAIN|host:NAME ...\n");
    exit(2);
}

static void read_questions(struct probe *p, char **names)
{
    for (; *names; names++) {
        struct question *q = &p->questions[p->count];
        q->is_mx = strncmp(*names, "mx:", 3) == 0;
        if (p->count == QUESTIONS_MAX || (!q->is_mx && strncmp(*names, "host:", 5) != 0))
            usage();
        q->probe = p;
        q->text = *names;
        buffer_init(&q->line, 65536);
        p->count++;
    }
    if (p->count == 0)
        usage();
}

static void run(struct probe *p)
{
    pthread_t thread;
    loop_post(p->asker, ask_all, p);
    if (pthread_create(&thread, NULL, run_asker, p) != 0)
        panic("dns_probe: no thread");
    loop_run(p->home);
    pthread_join(thread, NULL);
    for (size_t i = 0; i < p->count; i++) {
        fwrite(p->questions[i].line.data, 1, p->questions[i].line.len, stdout);
        buffer_free(&p->questions[i].line);
    }
    loop_free(p->asker);
    loop_free(p->home);
}

int main(int argc, char **argv)
{
    static struct probe probe = {.port = 25};
    static const struct event_sink sink = {.emit = emit};
    const char *resolvers[8];
    struct dns_options options = {.resolvers = resolvers,
                                  .trust_anchor = "/usr/share/dns/root.key",
                                  .unbound_config = "",
                                  .events = &sink};
    char error[300];
    int option;
    while ((option = getopt(argc, argv, "r:a:c:v:p:s:b:w:")) != -1) {
        if (option == 'r' && options.resolver_count < COUNT_OF(resolvers))
            resolvers[options.resolver_count++] = optarg;
        else if (option == 'a')
            options.trust_anchor = optarg;
        else if (option == 'c')
            options.unbound_config = optarg;
        else if (option == 'v')
            probe.ip_version = optarg[0] - '0';
        else if (option == 'p')
            probe.port = (uint16_t)strtoul(optarg, NULL, 10);
        else if (option == 's')
            options.self_test_signed = optarg;
        else if (option == 'b')
            options.self_test_bogus = optarg;
        else if (option == 'w')
            probe.wait_ms = (unsigned)strtoul(optarg, NULL, 10);
        else
            usage();
    }
    read_questions(&probe, argv + optind);
    probe.home = loop_new();
    probe.asker = loop_new();
    if (!probe.home || !probe.asker)
        panic("dns_probe: no loop");
    probe.dns = dns_new(probe.home, &options, error, sizeof error);
    if (!probe.dns) {
        fprintf(stderr, "dns_probe: %s\n", error);
        return 1;
    }
    run(&probe);
    return 0;
}
