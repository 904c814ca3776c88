/* bench_queue.c - how much mail goes through the queue, and what it costs: a number of sessions,
 * each with one message under way, are answered, taken and settled; then one message
 * whose recipients are all stopped, each told on its own. bench_queue [messages [size [sessions
 * [recipients]]]] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "tests/support/queue_desk.h"

struct bench {
    struct desk desk;
    char *content;
    size_t size;
    unsigned to_begin;
    unsigned under_way;
    unsigned messages;
    bool is_done;
};

static double wall(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double cpu(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void begin(struct bench *b);

static void answered(void *context, int error)
{
    struct bench *b = context;
    if (error != 0)
        panic("refused: %d", error);
    b->under_way--;
    if (b->to_begin > 0)
        begin(b);
    b->is_done = b->under_way == 0;
}

static void begin(struct bench *b)
{
    struct envelope e;
    char to[64];
    struct queue_incoming *in = queue_incoming_begin(b->desk.q, &b->desk.poster);
    if (!in || queue_incoming_append(in, (struct slice){b->content, b->size}) != 0)
        panic("no room");
    snprintf(to, sizeof to, "bob@d%u.example", b->to_begin % 50);
    b->to_begin--;
    b->under_way++;
    envelope_init(&e);
    envelope_set(&e.user, "alice@s.example");
    (void)envelope_add(&e, to);
    queue_incoming_commit(in, &e, 1, 1, answered, b);
}

static void show(struct bench *b, const char *what, double seconds, double used,
                 const struct queue_status *before)
{
    struct queue_status after;
    queue_status(b->desk.q, &after);
    uint64_t commits = after.commits - before->commits;
    printf("%-8s %6u messages, %8.0f/s, %6llu commits (%.1f messages each), %.1f us CPU each\n",
           what, b->messages, b->messages / seconds, (unsigned long long)commits,
           (double)b->messages / (double)(commits ? commits : 1), used * 1e6 / b->messages);
}

static void bench_incoming(struct bench *b, unsigned sessions)
{
    struct queue_status before;
    queue_status(b->desk.q, &before);
    double from = wall();
    double from_cpu = cpu();
    b->to_begin = b->messages;
    for (unsigned i = 0; i < sessions && b->to_begin > 0; i++)
        begin(b);
    if (!desk_wait_for(&b->desk, &b->is_done, 120000))
        panic("too slow");
    show(b, "accept", wall() - from, cpu() - from_cpu, &before);
}

static void bench_delivery(struct bench *b, unsigned sessions)
{
    struct queue_status before;
    struct queue_recipient *r = xalloc(sessions * sizeof *r);
    size_t count;
    queue_status(b->desk.q, &before);
    double from = wall();
    double from_cpu = cpu();
    while ((count = desk_take(&b->desk, 1, r, sessions)) > 0) {
        b->is_done = false;
        for (size_t i = 0; i < count; i++) {
            struct queue_result result =
                desk_result(&r[i], DISPOSITION_DELIVERED, QUEUE_REPORT_NONE, 1);
            b->under_way++;
            queue_settle(b->desk.q, &result, 1, &b->desk.poster, answered, b);
            queue_recipient_clear(&r[i]);
        }
        if (!desk_wait_for(&b->desk, &b->is_done, 120000))
            panic("too slow");
    }
    show(b, "deliver", wall() - from, cpu() - from_cpu, &before);
    free(r);
}

static void queue_to_many(struct bench *b, unsigned recipients)
{
    char(*addresses)[64] = xalloc(recipients * sizeof *addresses);
    const char **list = xalloc(recipients * sizeof *list);
    uint64_t id;
    for (unsigned i = 0; i < recipients; i++) {
        snprintf(addresses[i], sizeof addresses[i], "u%u@many.example", i);
        list[i] = addresses[i];
    }
    if (desk_queue(&b->desk, "alice@s.example", list, recipients, b->size, 1, &id) != 0)
        panic("refused");
    free(list);
    free(addresses);
}

/* Each settled alone, as deliveries do: the last answer tells how long other mail may wait. */
static void bench_stops(struct bench *b, unsigned recipients)
{
    struct queue_status before;
    struct queue_recipient *r = xalloc(recipients * sizeof *r);
    queue_to_many(b, recipients);
    if (desk_take(&b->desk, 1, r, recipients) != recipients)
        panic("not all are due");
    queue_status(b->desk.q, &before);
    double from = wall();
    double from_cpu = cpu();
    b->messages = recipients;
    b->is_done = false;
    for (unsigned i = 0; i < recipients; i++) {
        struct queue_result result = desk_result(&r[i], DISPOSITION_HELD, QUEUE_REPORT_FAILURE, 1);
        b->under_way++;
        queue_settle(b->desk.q, &result, 1, &b->desk.poster, answered, b);
        queue_recipient_clear(&r[i]);
    }
    if (!desk_wait_for(&b->desk, &b->is_done, 120000))
        panic("too slow");
    printf("stops    %6u recipients of one message in %.3f s\n", recipients, wall() - from);
    show(b, "stop", wall() - from, cpu() - from_cpu, &before);
    free(r);
}

int main(int argc, char **argv)
{
    static struct bench b;
    unsigned sessions = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 100;
    b.messages = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 10000;
    b.size = argc > 2 ? strtoul(argv[2], NULL, 10) : 4096;
    b.content = desk_content(b.size, 1);
    desk_open(&b.desk, (uint64_t)4 << 30);
    bench_incoming(&b, sessions);
    bench_delivery(&b, sessions);
    bench_stops(&b, argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 8000);
    desk_close(&b.desk);
    free(b.content);
    return 0;
}
