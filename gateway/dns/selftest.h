/* selftest.h - does the resolver tell signed, unsigned and bogus names apart?
 *
 * A resolver that does not validate makes every destination look unsigned; one behind a box that
 * strips DNSSEC makes every signed one bogus. So three names of which the answer is known are asked
 * at start and every hour, sooner while one of them is not answered as it must be. What is wrong is
 * told to the operator; where it proves that validation does not work, failed and bogus look-ups
 * are nobody's fault but ours (control.h). No I/O of its own; home loop only. */
#ifndef GATEWAY_DNS_SELFTEST_H
#define GATEWAY_DNS_SELFTEST_H

#include "gateway/dns/control.h"

#define DNS_SELF_TEST_EVERY_MS 3600000
#define DNS_SELF_TEST_AGAIN_MS 300000 /* while one of them is not as it must be */
#define DNS_SELF_TEST_WORDS_SIZE 800

enum self_test_result {
    SELF_TEST_UNKNOWN, /* not asked yet, or switched off */
    SELF_TEST_PASSED,
    SELF_TEST_NO_WORD,  /* the look-up failed, or the name is gone: proves nothing */
    SELF_TEST_WRONG,    /* not what it must be */
    SELF_TEST_CULPABLE, /* wrong, and no other failure can be blamed on anybody meanwhile */
};

struct self_test;
struct self_test_question {
    struct self_test *test;
    struct dns_ask ask; /* without a name: switched off */
    enum self_test_result result;
    char why[DNS_SUSPICION_SIZE]; /* "" when passed or not known */
    int64_t told_at_ms;
};

struct self_test {
    const struct dns_asker *asker;          /* borrowed */
    const struct event_sink *events;        /* borrowed; may be NULL */
    unsigned open;                          /* questions under way */
    struct self_test_question questions[3]; /* signed, unsigned, bogus */
    /* After the last answer of a run. */
    void (*done)(void *context);
    void *context;
};

/* Names are copied; NULL and "" switch a question off. */
void self_test_init(struct self_test *t, const struct dns_asker *asker,
                    const struct event_sink *events, const struct dns_options *o,
                    void (*done)(void *context), void *context);
bool self_test_is_off(const struct self_test *t);
/* Asks all that are not switched off; done() is not called from inside. A no-op while a run is
 * under way, or when all are off. */
void self_test_run(struct self_test *t);
int64_t self_test_again_in_ms(const struct self_test *t);
/* Is it one of ours? Its answer is to be handed out as it is. */
bool self_test_owns(const struct self_test *t, const struct dns_ask *ask);
/* Why a failed or bogus look-up is our own fault at present; "": it need not be. */
const char *self_test_culprit(const struct self_test *t);
/* "off", "not asked yet", "ok", or what is wrong with which name. */
void self_test_words(const struct self_test *t, char *out, size_t size);

#endif
