#include "gateway/dns/selftest.h"

#include <stdio.h>
#include <string.h>

enum { SIGNED, UNSIGNED, BOGUS };

static const char *const expected[] = {
    [SIGNED] = "a secure answer",
    [UNSIGNED] = "an insecure answer",
    [BOGUS] = "a bogus answer",
};

/* What an answer makes of each of the three. */
static enum self_test_result judge(unsigned which, const struct dns_answer *answer)
{
    bool is_secure = answer->security == DNS_SECURE;
    switch (answer->status) {
    case DNS_DATA:
    case DNS_NODATA:
        if (which == BOGUS)
            return SELF_TEST_WRONG;
        return is_secure == (which == SIGNED) ? SELF_TEST_PASSED : SELF_TEST_WRONG;
    case DNS_BOGUS:
        return which == BOGUS    ? SELF_TEST_PASSED
               : which == SIGNED ? SELF_TEST_CULPABLE
                                 : SELF_TEST_WRONG;
    case DNS_NXDOMAIN: /* names come and go; the zone above says nothing of them */
    case DNS_FAILED:
    case DNS_OUR_FAULT:
        return SELF_TEST_NO_WORD;
    }
    panic("self-test: status %d", (int)answer->status);
}

static void explain(struct self_test_question *q, unsigned which, const struct dns_answer *answer)
{
    char got[DNS_DETAIL_SIZE + 32] = "";
    switch (answer->status) {
    case DNS_DATA:
    case DNS_NODATA:
        snprintf(got, sizeof got, "%s",
                 answer->security == DNS_SECURE ? "the answer is secure"
                                                : "the answer is insecure");
        break;
    case DNS_NXDOMAIN:
        snprintf(got, sizeof got, "the name does not exist");
        break;
    case DNS_BOGUS:
        snprintf(got, sizeof got, "the answer is bogus: %s", answer->detail);
        break;
    case DNS_FAILED:
    case DNS_OUR_FAULT:
        snprintf(got, sizeof got, "no answer: %s", answer->detail);
        break;
    }
    snprintf(q->why, sizeof q->why, "self-test: expected %s for %s, but %s", expected[which],
             q->ask.name, got);
}

/* At once when something changes, else once an hour. */
static void tell_operator(struct self_test *t, struct self_test_question *q,
                          enum self_test_result before)
{
    int64_t now = t->asker->now_ms(t->asker->context);
    bool was_told = before != SELF_TEST_UNKNOWN && before != SELF_TEST_PASSED;
    if (q->result == SELF_TEST_PASSED) {
        if (was_told)
            EVENT(t->events, EVENT_INFO, "resolver", FIELD(KEY_STATE, "working"),
                  FIELD(KEY_DOMAIN, q->ask.name));
        return;
    }
    if (q->result == before && now - q->told_at_ms < DNS_SELF_TEST_EVERY_MS)
        return;
    q->told_at_ms = now;
    bool is_wrong = q->result != SELF_TEST_NO_WORD;
    EVENT(t->events, is_wrong ? EVENT_ERROR : EVENT_WARNING, "resolver",
          FIELD(KEY_STATE, is_wrong ? "failing" : "unknown"), FIELD(KEY_DOMAIN, q->ask.name),
          FIELD(KEY_REASON, q->why));
}

static void answered(void *context, struct dns_ask *ask, const struct dns_answer *answer)
{
    struct self_test_question *q = context;
    struct self_test *t = q->test;
    unsigned which = (unsigned)(q - t->questions);
    enum self_test_result before = q->result;
    (void)ask;
    q->result = judge(which, answer);
    q->why[0] = '\0';
    if (q->result != SELF_TEST_PASSED)
        explain(q, which, answer);
    tell_operator(t, q, before);
    if (--t->open == 0)
        t->done(t->context);
}

void self_test_init(struct self_test *t, const struct dns_asker *asker,
                    const struct event_sink *events, const struct dns_options *o,
                    void (*done)(void *context), void *context)
{
    const char *const names[] = {
        [SIGNED] = o->self_test_signed,
        [UNSIGNED] = o->self_test_unsigned,
        [BOGUS] = o->self_test_bogus,
    };
    *t = (struct self_test){.asker = asker, .events = events, .done = done, .context = context};
    for (size_t i = 0; i < COUNT_OF(t->questions); i++) {
        struct self_test_question *q = &t->questions[i];
        q->test = t;
        q->ask = (struct dns_ask){.type = DNS_TYPE_A, .answered = answered, .context = q};
        snprintf(q->ask.name, sizeof q->ask.name, "%s", names[i] ? names[i] : "");
    }
}

bool self_test_is_off(const struct self_test *t)
{
    for (size_t i = 0; i < COUNT_OF(t->questions); i++)
        if (t->questions[i].ask.name[0] != '\0')
            return false;
    return true;
}

void self_test_run(struct self_test *t)
{
    if (t->open > 0)
        return;
    for (size_t i = 0; i < COUNT_OF(t->questions); i++)
        t->open += t->questions[i].ask.name[0] != '\0';
    for (size_t i = 0; i < COUNT_OF(t->questions); i++) {
        struct self_test_question *q = &t->questions[i];
        if (q->ask.name[0] != '\0')
            t->asker->ask(t->asker->context, &q->ask);
    }
}

int64_t self_test_again_in_ms(const struct self_test *t)
{
    for (size_t i = 0; i < COUNT_OF(t->questions); i++)
        if (t->questions[i].result > SELF_TEST_PASSED)
            return DNS_SELF_TEST_AGAIN_MS;
    return DNS_SELF_TEST_EVERY_MS;
}

bool self_test_owns(const struct self_test *t, const struct dns_ask *ask)
{
    for (size_t i = 0; i < COUNT_OF(t->questions); i++)
        if (ask == &t->questions[i].ask)
            return true;
    return false;
}

/* A signed name that is bogus proves it alone. A bogus one that is answered does not: its zone may
 * have been mended, or its DS be gone; only where the signed name is no longer secure either. */
const char *self_test_culprit(const struct self_test *t)
{
    const struct self_test_question *is_signed = &t->questions[SIGNED];
    const struct self_test_question *bogus = &t->questions[BOGUS];
    if (is_signed->result == SELF_TEST_CULPABLE)
        return is_signed->why;
    if (bogus->result == SELF_TEST_WRONG && is_signed->result == SELF_TEST_WRONG)
        return bogus->why;
    return "";
}

void self_test_words(const struct self_test *t, char *out, size_t size)
{
    size_t used = 0;
    bool has_passed = false;
    snprintf(out, size, "%s", "");
    for (size_t i = 0; i < COUNT_OF(t->questions); i++) {
        const struct self_test_question *q = &t->questions[i];
        has_passed |= q->result == SELF_TEST_PASSED;
        if (q->why[0] == '\0' || used >= size)
            continue;
        used += (size_t)snprintf(out + used, size - used, "%s%s", used ? "; " : "", q->why);
    }
    if (used == 0)
        snprintf(out, size, "%s",
                 self_test_is_off(t) ? "off"
                 : has_passed        ? "ok"
                                     : "not asked yet");
}
