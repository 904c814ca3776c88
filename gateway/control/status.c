/* status.c - how the gateway does, in one look. */
#include <stdlib.h>

#include "gateway/control/answer.h"
#include "mail/date.h"
#include "queue/held.h"

/* Messages looked at in one call of the store. */
#define STEP_MESSAGES 1000
#define RESOLVER_WORDS_SIZE 800

/* Held recipients of whom no mail can tell anybody: only the operator is left to (GUARANTEE.md
 * section 4). */
struct untold {
    json_int_t count;
};

static bool count_untold(void *context, const struct queue_message *m,
                         const struct queue_recipient *recipients, size_t count)
{
    struct untold *u = context;
    (void)m;
    for (size_t i = 0; i < count; i++) {
        if (recipients[i].state == QUEUE_HELD && recipients[i].is_unnotifiable)
            u->count++;
    }
    return true;
}

static void look(void *command)
{
    struct command *c = command;
    uint64_t after = 0;
    do {
        after = queue_held_walk(c->host->queue, after, STEP_MESSAGES, count_untold, c->state);
    } while (after != 0);
}

static void put_posture(json_t *out, struct posture *posture)
{
    struct posture_status s = {0};
    if (posture)
        posture_status(posture, date_now(), &s);
    json_put(out, "breaker", json_text(s.breaker));
    json_put(out, "breaker_open", json_boolean(s.is_breaker_open));
    json_put(out, "breaker_opened_at", json_time(s.breaker_opened_at * 1000));
    json_put(out, "downgrades", json_integer((json_int_t)s.downgrades));
}

static void looked(void *command)
{
    struct command *c = command;
    struct queue_status s;
    if (!command_resume(c))
        return;
    const struct control_facts *facts = &c->facts;
    const struct untold *u = c->state;
    char resolver[RESOLVER_WORDS_SIZE] = "";
    bool is_running = facts->started_at != 0;
    json_t *out = json_object();
    queue_status(c->host->queue, &s);
    if (facts->resolver)
        facts->resolver(facts->context, resolver, sizeof resolver);
    json_put(out, "version", json_text(SEALPOST_VERSION));
    json_put(out, "running", json_boolean(is_running));
    json_put(out, "uptime_seconds", json_integer(is_running ? date_now() - facts->started_at : 0));
    json_put(out, "queued", json_integer((json_int_t)s.queued));
    json_put(out, "deferred", json_integer((json_int_t)s.deferred));
    json_put(out, "held", json_integer((json_int_t)s.held));
    json_put(out, "held_without_notice", json_integer(u->count));
    json_put(out, "connections",
             json_integer(facts->connections ? facts->connections(facts->context) : 0));
    json_put(out, "resolver", json_text(resolver));
    put_posture(out, facts->posture);
    json_put(out, "messages", json_integer((json_int_t)s.messages));
    json_put(out, "used_bytes", json_integer((json_int_t)s.used_bytes));
    json_put(out, "limit_bytes", json_integer((json_int_t)s.limit_bytes));
    json_put(out, "oldest_reader_ms", json_integer((json_int_t)s.oldest_reader_ms));
    json_put(out, "commits", json_integer((json_int_t)s.commits));
    answer_ok(c, out);
}

void status(struct command *c)
{
    c->state = xalloc(sizeof(struct untold));
    c->free_state = free;
    command_job(c, look, looked);
}
