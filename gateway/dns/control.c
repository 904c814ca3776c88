#include "gateway/dns/control.h"

#include <stdio.h>
#include <sys/random.h>

#define NAME_LETTERS 16

static int64_t now_ms(const struct control *c)
{
    return c->asker->now_ms(c->asker->context);
}

void control_init(struct control *c, const struct dns_asker *asker, const struct event_sink *events)
{
    *c = (struct control){.asker = asker, .events = events};
    TAILQ_INIT(&c->waits);
}

bool control_is_fresh(const struct control *c)
{
    return c->suspicion[0] == '\0' && c->has_succeeded &&
           now_ms(c) - c->succeeded_at_ms < DNS_CONTROL_FRESH_MS;
}

void control_suspect(struct control *c, const char *why)
{
    snprintf(c->suspicion, sizeof c->suspicion, "%s", why);
}

static void make_name(char out[DNS_QUESTION_SIZE])
{
    uint8_t bytes[NAME_LETTERS];
    /* 26^16 names: none has been asked before, so no cache on the way can answer. */
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        panic("getrandom failed");
    for (unsigned i = 0; i < NAME_LETTERS; i++)
        out[i] = (char)('a' + bytes[i] % 26);
    out[NAME_LETTERS] = '\0';
}

/* "" when the answer is the secure denial that it must be. */
static void explain(const struct dns_answer *answer, char *why, size_t size)
{
    switch (answer->status) {
    case DNS_NXDOMAIN:
        snprintf(why, size, "%s",
                 answer->security == DNS_SECURE
                     ? ""
                     : "the root's answers are not validated: no trust anchor for the root");
        return;
    case DNS_DATA:
    case DNS_NODATA:
        snprintf(why, size, "a name that cannot exist does: the resolver makes up answers");
        return;
    case DNS_BOGUS:
        snprintf(why, size, "the root's answer is bogus: %s", answer->detail);
        return;
    case DNS_FAILED:
    case DNS_OUR_FAULT:
        snprintf(why, size, "no answer from the root: %s", answer->detail);
        return;
    }
}

static void tell_operator(struct control *c, const char *why)
{
    bool is_failing = why[0] != '\0';
    if (!is_failing && !c->is_failing)
        return;
    /* Recovery is told at once: it happens once, and somebody is waiting for it. */
    if (is_failing && c->has_told && now_ms(c) - c->told_at_ms < DNS_CONTROL_EVENT_MS)
        return;
    if (is_failing) {
        c->has_told = true;
        c->told_at_ms = now_ms(c);
        EVENT(c->events, EVENT_ERROR, "resolver", FIELD(KEY_STATE, "failing"),
              FIELD(KEY_REASON, why));
    } else {
        EVENT(c->events, EVENT_INFO, "resolver", FIELD(KEY_STATE, "working"));
    }
}

static void answered(void *context, struct dns_ask *ask, const struct dns_answer *answer)
{
    struct control *c = context;
    (void)ask;
    char why[DNS_DETAIL_SIZE];
    explain(answer, why, sizeof why);
    tell_operator(c, why);
    c->is_asking = false;
    c->is_failing = why[0] != '\0';
    if (!c->is_failing) {
        c->has_succeeded = true;
        c->succeeded_at_ms = now_ms(c);
    }
    /* From a list of their own: told() may begin new waits, which get a question of their own and
     * must not be told of this one. */
    struct control_waits told = TAILQ_HEAD_INITIALIZER(told);
    TAILQ_CONCAT(&told, &c->waits, entry);
    struct control_wait *wait;
    bool is_our_fault = c->is_failing || c->suspicion[0] != '\0';
    const char *cause = c->is_failing ? why : c->suspicion;
    while ((wait = TAILQ_FIRST(&told)) != NULL) {
        TAILQ_REMOVE(&told, wait, entry);
        wait->told(wait->context, is_our_fault, cause);
    }
}

void control_probe(struct control *c)
{
    if (c->is_asking)
        return;
    c->is_asking = true;
    make_name(c->ask.name);
    c->ask.type = DNS_TYPE_A;
    c->ask.answered = answered;
    c->ask.context = c;
    c->asker->ask(c->asker->context, &c->ask);
}

void control_join(struct control *c, struct control_wait *wait)
{
    TAILQ_INSERT_TAIL(&c->waits, wait, entry);
    control_probe(c);
}
