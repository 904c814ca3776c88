#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "gateway/posture/posture.h"
#include "tests/support/queue_desk.h"

#define HOUR ((int64_t)3600)
#define DAY (24 * HOUR)
#define START ((int64_t)1795000000) /* 2026-11-18T11:06:40Z */

static struct desk desk;
static struct posture *posture;
static char events[65536]; /* "warning downgrade domain=a.example relay=... \n" */

static void emit(void *context, enum event_severity severity, const char *event,
                 const struct event_field *fields, size_t count)
{
    static const char *const severities[] = {"debug", "info", "warning", "error"};
    (void)context;
    size_t used = strlen(events);
    used +=
        (size_t)snprintf(events + used, sizeof events - used, "%s %s", severities[severity], event);
    for (size_t i = 0; i < count && used < sizeof events; i++) {
        if (fields[i].text)
            used += (size_t)snprintf(events + used, sizeof events - used, " %s=%s",
                                     event_key_name(fields[i].key), fields[i].text);
        else
            used += (size_t)snprintf(events + used, sizeof events - used, " %s=%d",
                                     event_key_name(fields[i].key), (int)fields[i].number);
    }
    assert_true(used + 1 < sizeof events);
    snprintf(events + used, sizeof events - used, "\n");
}

static const struct event_sink sink = {.emit = emit};

static int setup(void **state)
{
    (void)state;
    events[0] = '\0';
    desk_open(&desk, (uint64_t)64 << 20);
    posture = posture_new(desk.q, &sink);
    assert_non_null(posture);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    posture_free(posture);
    desk_close(&desk);
    return 0;
}

static struct guarantee_host host_with(enum guarantee_tls tls)
{
    return (struct guarantee_host){
        .name = "mx.a.example",
        .address = "192.0.2.1",
        .port = 25,
        .contact = GUARANTEE_IN_CONTACT,
        .tls = tls,
        .keywords = "",
        .protocol = tls == GUARANTEE_TLS_ESTABLISHED ? "TLSv1.3" : "",
        .cipher = tls == GUARANTEE_TLS_ESTABLISHED ? "TLS_AES_256_GCM_SHA384" : "",
        .certificate_error = "",
    };
}

static void learn_of(const char *domain, const char *name, enum guarantee_tls tls, int64_t now)
{
    struct guarantee_host h = host_with(tls);
    h.name = name;
    posture_learn(posture, domain, &h, "x25519", "ab12", now);
    desk_flush(&desk);
}

static void learn_at(const char *name, enum guarantee_tls tls, int64_t now)
{
    learn_of("a.example", name, tls, now);
}

/* "mx.DOMAIN" */
static void learn_site(const char *name, enum guarantee_tls tls, int64_t now)
{
    learn_of(name + 3, name, tls, now);
}

static void learn(enum guarantee_tls tls, int64_t now)
{
    learn_at("mx.a.example", tls, now);
}

/* Three looks with TLS over the time that is needed; the last one at START. */
static void make_known(const char *name)
{
    learn_at(name, GUARANTEE_TLS_ESTABLISHED, START - POSTURE_REMEMBERED_SPREAD);
    learn_at(name, GUARANTEE_TLS_ESTABLISHED, START - HOUR);
    learn_at(name, GUARANTEE_TLS_ESTABLISHED, START);
}

static struct queue_posture find(void)
{
    struct queue_posture found;
    assert_int_equal(queue_posture_find(desk.q, "a.example", "mx.a.example", &found), 0);
    return found;
}

static struct posture_memory memory(int64_t remember, int64_t now)
{
    return posture_memory(posture, "a.example", "mx.a.example", remember, now);
}

static void a_look_with_tls_is_written_with_all_it_showed(void **state)
{
    (void)state;
    struct guarantee_host h = host_with(GUARANTEE_TLS_ESTABLISHED);
    h.tlsa = GUARANTEE_TLSA_USABLE;
    h.is_name_secure = true;
    h.is_dane_matched = true;
    h.sts = GUARANTEE_STS_TESTING;
    posture_learn(posture, "a.example", &h, "x25519", "ab12", START);
    desk_flush(&desk);
    struct queue_posture found = find();
    assert_int_equal(found.looks, 1);
    assert_int_equal(found.tls_looks, 1);
    assert_int_equal(found.tls_last_at, START);
    assert_string_equal(found.protocol, "TLSv1.3");
    assert_string_equal(found.cipher, "TLS_AES_256_GCM_SHA384");
    assert_string_equal(found.key_exchange, "x25519");
    assert_string_equal(found.key_digest, "ab12");
    assert_int_equal(found.verified, GUARANTEE_VERIFIED_DANE);
    assert_int_equal(found.tlsa, GUARANTEE_TLSA_USABLE);
    assert_int_equal(found.sts, GUARANTEE_STS_TESTING);
}

/* A mismatch over TLS 1.3 is no refusal of TLS: the operator needs the key to see whose it is. */
static void tls_that_fails_authentication_is_kept_with_its_key(void **state)
{
    (void)state;
    struct guarantee_host h = host_with(GUARANTEE_TLS_ESTABLISHED);
    h.tlsa = GUARANTEE_TLSA_USABLE;
    posture_learn(posture, "a.example", &h, "x25519", "ab12", START);
    desk_flush(&desk);
    struct queue_posture found = find();
    assert_string_equal(found.protocol, "TLSv1.3");
    assert_string_equal(found.cipher, "TLS_AES_256_GCM_SHA384");
    assert_string_equal(found.key_exchange, "x25519");
    assert_string_equal(found.key_digest, "ab12");
    assert_int_equal(found.verified, POSTURE_FAILED_DANE);
    assert_int_equal(found.refusals, 1);
    assert_int_equal(found.tls_looks, 0); /* the memory of TLS takes what was acceptable alone */
    assert_int_equal(found.tls_last_at, 0);
    static const enum guarantee_sts policies[] = {GUARANTEE_STS_COVERS, GUARANTEE_STS_EXCLUDES};
    for (size_t i = 0; i < COUNT_OF(policies); i++) {
        h.tlsa = GUARANTEE_TLSA_NONE;
        h.sts = policies[i];
        posture_learn(posture, "a.example", &h, "x25519", i ? "ef56" : "cd34", START + 1);
        desk_flush(&desk);
        assert_int_equal(find().verified, POSTURE_FAILED_STS);
        assert_string_equal(find().key_digest, i ? "ef56" : "cd34");
    }
    h = host_with(GUARANTEE_TLS_NOT_OFFERED);
    h.sts = GUARANTEE_STS_EXCLUDES; /* no TLS at all: what is known of the last stays */
    posture_learn(posture, "a.example", &h, NULL, NULL, START + 2);
    desk_flush(&desk);
    assert_string_equal(find().key_digest, "ef56");
    assert_int_equal(find().refusals, 4);
    assert_int_equal(find().tls_looks, 0);
}

/* Bad certificates leave no memory, and end no row of those that had TLS. */
static void tls_that_fails_authentication_is_no_memory_of_tls(void **state)
{
    (void)state;
    struct guarantee_host h = host_with(GUARANTEE_TLS_ESTABLISHED);
    h.tlsa = GUARANTEE_TLSA_USABLE;
    for (int i = 0; i < 5; i++)
        posture_learn(posture, "a.example", &h, "x25519", "ab12", START + i * 3 * HOUR);
    desk_flush(&desk);
    assert_int_equal(memory(DAY, START + DAY).tls_seen_at, 0);
    assert_false(memory(DAY, START + DAY).is_tls_remembered);
}

static void what_a_look_teaches(void **state)
{
    (void)state;
    static const struct {
        enum guarantee_contact contact;
        enum guarantee_tls tls;
        enum guarantee_tlsa tlsa;
        bool is_local_route;
        unsigned looks, tls_looks, refusals;
    } cases[] = {
        {GUARANTEE_IN_CONTACT, GUARANTEE_TLS_ESTABLISHED, GUARANTEE_TLSA_NONE, false, 1, 1, 0},
        {GUARANTEE_IN_CONTACT, GUARANTEE_TLS_NOT_OFFERED, GUARANTEE_TLSA_NONE, false, 1, 0, 1},
        {GUARANTEE_IN_CONTACT, GUARANTEE_TLS_REFUSED, GUARANTEE_TLSA_NONE, false, 1, 0, 1},
        {GUARANTEE_IN_CONTACT, GUARANTEE_TLS_FAILED, GUARANTEE_TLSA_NONE, false, 1, 0, 1},
        /* no TLSA record matches: TLS, but not acceptable */
        {GUARANTEE_IN_CONTACT, GUARANTEE_TLS_ESTABLISHED, GUARANTEE_TLSA_USABLE, false, 1, 0, 1},
        {GUARANTEE_IN_CONTACT, GUARANTEE_TLS_ESTABLISHED, GUARANTEE_TLSA_UNUSABLE, false, 1, 1, 0},
        {GUARANTEE_IN_CONTACT, GUARANTEE_TLS_TRY_LATER, GUARANTEE_TLSA_NONE, false, 1, 0, 0},
        {GUARANTEE_IN_CONTACT, GUARANTEE_TLS_CUT, GUARANTEE_TLSA_NONE, false, 1, 0, 0},
        {GUARANTEE_IN_CONTACT, GUARANTEE_TLS_ESTABLISHED, GUARANTEE_TLSA_ERROR, false, 1, 0, 0},
        {GUARANTEE_IN_CONTACT, GUARANTEE_TLS_UNTRIED, GUARANTEE_TLSA_NONE, false, 0, 0, 0},
        {GUARANTEE_NO_CONTACT, GUARANTEE_TLS_UNTRIED, GUARANTEE_TLSA_NONE, false, 0, 0, 0},
        {GUARANTEE_OUR_FAULT, GUARANTEE_TLS_UNTRIED, GUARANTEE_TLSA_NONE, false, 0, 0, 0},
        {GUARANTEE_UNTRIED, GUARANTEE_TLS_UNTRIED, GUARANTEE_TLSA_NONE, false, 0, 0, 0},
        {GUARANTEE_IN_CONTACT, GUARANTEE_TLS_NOT_OFFERED, GUARANTEE_TLSA_NONE, true, 0, 0, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char name[64];
        struct queue_posture found;
        struct guarantee_host h = host_with(cases[i].tls);
        snprintf(name, sizeof name, "mx%zu.a.example", i);
        h.name = name;
        h.contact = cases[i].contact;
        h.tlsa = cases[i].tlsa;
        h.is_local_route = cases[i].is_local_route;
        h.cause = outcome_local((struct status){4, 4, 0}, "cause");
        posture_learn(posture, "a.example", &h, NULL, NULL, START);
        desk_flush(&desk);
        int error = queue_posture_find(desk.q, "a.example", name, &found);
        assert_int_equal(error, cases[i].looks ? 0 : -ENOENT);
        if (found.looks != cases[i].looks || found.tls_looks != cases[i].tls_looks ||
            found.refusals != cases[i].refusals)
            fail_msg("case %zu: %u looks, %u with TLS, %u refusals", i, found.looks,
                     found.tls_looks, found.refusals);
        assert_int_equal(found.refusal[0] != '\0', cases[i].refusals > 0);
        bool is_shown = cases[i].tls == GUARANTEE_TLS_ESTABLISHED &&
                        (cases[i].tls_looks > 0 || cases[i].refusals > 0);
        assert_int_equal(found.protocol[0] != '\0', is_shown);
    }
}

static void equal_looks_within_a_minute_are_written_once(void **state)
{
    (void)state;
    learn(GUARANTEE_TLS_ESTABLISHED, START);
    learn(GUARANTEE_TLS_ESTABLISHED, START + 59);
    assert_int_equal(find().looks, 1);
    learn(GUARANTEE_TLS_ESTABLISHED, START + 60);
    assert_int_equal(find().looks, 2);
    learn(GUARANTEE_TLS_NOT_OFFERED, START + 61); /* not equal */
    learn(GUARANTEE_TLS_ESTABLISHED, START + 62);
    assert_int_equal(find().looks, 4);
    learn(GUARANTEE_TLS_ESTABLISHED, START); /* the clock was set back */
    assert_int_equal(find().looks, 5);
    struct guarantee_host h = host_with(GUARANTEE_TLS_ESTABLISHED);
    posture_learn(posture, "a.example", &h, "x25519", "cd34", START + 1); /* another key */
    posture_learn(posture, "a.example", &h, "P-256", "cd34", START + 2);
    h.sts = GUARANTEE_STS_TESTING;
    posture_learn(posture, "a.example", &h, "P-256", "cd34", START + 3);
    posture_learn(posture, "b.example", &h, "P-256", "cd34", START + 3); /* another domain */
    desk_flush(&desk);
    assert_int_equal(find().looks, 8);
    struct queue_posture other;
    assert_int_equal(queue_posture_find(desk.q, "b.example", "mx.a.example", &other), 0);
}

static void tls_is_remembered_after_some_looks_over_some_hours(void **state)
{
    (void)state;
    learn(GUARANTEE_TLS_ESTABLISHED, START - POSTURE_REMEMBERED_SPREAD);
    learn(GUARANTEE_TLS_ESTABLISHED, START);
    assert_int_equal(memory(DAY, START).tls_seen_at, 0); /* two looks */
    learn_at("mx2.a.example", GUARANTEE_TLS_ESTABLISHED, START - POSTURE_REMEMBERED_SPREAD + 1);
    learn_at("mx2.a.example", GUARANTEE_TLS_ESTABLISHED, START - HOUR);
    learn_at("mx2.a.example", GUARANTEE_TLS_ESTABLISHED, START);
    assert_int_equal(posture_memory(posture, "a.example", "mx2.a.example", DAY, START).tls_seen_at,
                     0);
    learn(GUARANTEE_TLS_ESTABLISHED, START + 100);
    assert_int_equal(memory(DAY, START + 100).tls_seen_at, START + 100);
    assert_int_equal(memory(DAY, START + 100).tls_looks, 3);
    assert_int_equal(posture_memory(posture, "b.example", "mx.a.example", DAY, START).tls_seen_at,
                     0);
}

static void memory_outlives_refusals_but_not_for_ever(void **state)
{
    (void)state;
    make_known("mx.a.example");
    for (int i = 1; i <= 20; i++)
        learn(GUARANTEE_TLS_NOT_OFFERED, START + i * DAY);
    assert_int_equal(memory(DAY, START + 20 * DAY).tls_seen_at, START);
    assert_int_equal(memory(DAY, START + POSTURE_REMEMBERED_FOR).tls_seen_at, START);
    assert_int_equal(memory(DAY, START + POSTURE_REMEMBERED_FOR + 1).tls_seen_at, 0);
}

static void remember_tls_ends_when_it_is_over(void **state)
{
    (void)state;
    make_known("mx.a.example");
    assert_true(memory(7 * DAY, START + 7 * DAY - 1).is_tls_remembered);
    assert_false(memory(7 * DAY, START + 7 * DAY).is_tls_remembered);
    assert_int_equal(memory(7 * DAY, START + 7 * DAY).tls_seen_at, START);
    assert_false(memory(0, START).is_tls_remembered);
}

static unsigned count_events(const char *words)
{
    unsigned count = 0;
    for (const char *at = events; (at = strstr(at, words)); at++)
        count++;
    return count;
}

static void a_downgrade_is_told_once_a_day_and_host(void **state)
{
    (void)state;
    struct posture_status s;
    make_known("mx.a.example");
    assert_string_equal(events, "");
    learn(GUARANTEE_TLS_NOT_OFFERED, START + 100);
    assert_string_equal(events,
                        "warning downgrade domain=a.example relay=mx.a.example[192.0.2.1]:25 "
                        "since=2026-11-18T11:08:20Z reason=TLS is required, but was not offered by "
                        "host mx.a.example[192.0.2.1]; TLS was there on 3 earlier looks, last "
                        "2026-11-18T11:06:40Z\n");
    learn(GUARANTEE_TLS_REFUSED, START + HOUR);
    learn(GUARANTEE_TLS_FAILED, START + 100 + DAY - 1);
    assert_int_equal(count_events("downgrade"), 1);
    learn(GUARANTEE_TLS_NOT_OFFERED, START + 100 + DAY);
    assert_int_equal(count_events("downgrade"), 2);
    assert_int_equal(count_events("since=2026-11-18T11:08:20Z"), 2);
    posture_status(posture, START + 2 * DAY, &s);
    assert_int_equal(s.downgrades, 2);
}

/* Delivery tells the judge what is remembered; the event says it once. */
static void a_downgrade_says_once_what_is_remembered(void **state)
{
    (void)state;
    make_known("mx.a.example");
    struct guarantee_host h = host_with(GUARANTEE_TLS_NOT_OFFERED);
    h.tls_seen_at = START;
    h.tls_looks = 3;
    posture_learn(posture, "a.example", &h, NULL, NULL, START + 100);
    assert_int_equal(count_events("3 earlier looks"), 1);
    assert_int_equal(count_events("TLS was there on 3 earlier looks"), 1);
}

static void a_downgrade_needs_a_memory_and_a_final_loss_of_encryption(void **state)
{
    (void)state;
    learn(GUARANTEE_TLS_ESTABLISHED, START - DAY);
    learn(GUARANTEE_TLS_NOT_OFFERED, START); /* one look is no memory */
    make_known("mx2.a.example");
    learn_at("mx2.a.example", GUARANTEE_TLS_CUT, START + 100);
    learn_at("mx2.a.example", GUARANTEE_TLS_TRY_LATER, START + 200);
    struct guarantee_host h = host_with(GUARANTEE_TLS_ESTABLISHED);
    h.name = "mx2.a.example";
    h.tlsa = GUARANTEE_TLSA_USABLE; /* that does not match */
    posture_learn(posture, "a.example", &h, "x25519", "ab12", START + 300);
    assert_string_equal(events, "");
}

static void make_sites_known(char names[][48], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        snprintf(names[i], 48, "mx.site%zu.example", i);
        learn_site(names[i], GUARANTEE_TLS_ESTABLISHED, START - POSTURE_REMEMBERED_SPREAD);
        learn_site(names[i], GUARANTEE_TLS_ESTABLISHED, START - HOUR);
        learn_site(names[i], GUARANTEE_TLS_ESTABLISHED, START);
    }
}

static void many_that_lose_tls_open_the_breaker_and_it_closes_again(void **state)
{
    (void)state;
    char names[5][48];
    struct posture_status s;
    make_sites_known(names, 5);
    for (size_t i = 0; i < 4; i++)
        learn_site(names[i], GUARANTEE_TLS_NOT_OFFERED, START + DAY);
    assert_false(posture_suspends_stops(posture, START + DAY));
    learn_site(names[4], GUARANTEE_TLS_CUT, START + DAY);
    assert_true(posture_suspends_stops(posture, START + DAY));
    assert_int_equal(count_events("error breaker state=open count=5 reason=5 of 5 unrelated "
                                  "destinations lost TLS within 10 minutes (site0.example"),
                     1);
    posture_status(posture, START + DAY + 60, &s);
    assert_true(s.is_breaker_open);
    assert_int_equal(s.breaker_opened_at, START + DAY);
    assert_int_equal(strncmp(s.breaker, "open: 5 of 5", 12), 0);
    for (size_t i = 0; i < 3; i++)
        learn_site(names[i], GUARANTEE_TLS_ESTABLISHED, START + DAY + 120);
    assert_false(posture_suspends_stops(posture, START + DAY + 120));
    assert_int_equal(count_events("warning breaker state=closed reason=3 of 3 destinations"), 1);
    posture_status(posture, START + DAY + 120, &s);
    assert_false(s.is_breaker_open);
    assert_int_equal(s.breaker_opened_at, 0);
    assert_string_equal(s.breaker, "closed");
}

/* ---- what is known to refuse TLS ---- */

static bool refuses(int64_t now, struct outcome *why)
{
    return posture_refuses_tls(posture, "a.example", "mx.a.example", now, why);
}

/* Three looks within the least time; the last one at START. */
static void make_refusing(enum guarantee_tls tls)
{
    learn(tls, START - POSTURE_REFUSED_SPREAD);
    learn(tls, START - 100);
    learn(tls, START);
}

static void a_host_that_refused_tls_on_three_looks_is_known_for_a_while(void **state)
{
    (void)state;
    struct outcome why;
    assert_false(refuses(START, &why)); /* never seen */
    learn(GUARANTEE_TLS_NOT_OFFERED, START - POSTURE_REFUSED_SPREAD);
    learn(GUARANTEE_TLS_NOT_OFFERED, START);
    assert_false(refuses(START, &why)); /* two looks */
    learn(GUARANTEE_TLS_NOT_OFFERED, START + 100);
    assert_true(refuses(START + 100, &why));
    assert_int_equal(why.status.class, 5);
    assert_int_equal(why.status.detail, 4);
    assert_string_equal(why.text,
                        "TLS is required, but was not offered by host mx.a.example[192.0.2.1]");
    assert_true(refuses(START + 100 + POSTURE_REFUSED_FOR, &why));
    assert_false(refuses(START + 100 + POSTURE_REFUSED_FOR + 1, &why));
    assert_false(refuses(START + 99, &why)); /* the clock was set back */
    assert_false(posture_refuses_tls(posture, "b.example", "mx.a.example", START + 100, &why));
}

static void looks_of_one_moment_are_not_several(void **state)
{
    (void)state;
    struct outcome why;
    learn(GUARANTEE_TLS_NOT_OFFERED, START - POSTURE_REFUSED_SPREAD + 1);
    learn(GUARANTEE_TLS_NOT_OFFERED, START - 100);
    learn(GUARANTEE_TLS_NOT_OFFERED, START);
    assert_int_equal(find().refusals, 3);
    assert_false(refuses(START, &why));
    learn(GUARANTEE_TLS_NOT_OFFERED, START + 60);
    assert_true(refuses(START + 60, &why));
}

/* Where the recipient is refused nothing is tried, so nothing would correct it. */
static void an_episode_without_tls_is_no_habit_and_a_habit_is_looked_at_every_hour(void **state)
{
    (void)state;
    struct outcome why;
    for (int64_t at = START - 40 * 60; at <= START; at += 300)
        learn(GUARANTEE_TLS_NOT_OFFERED, at);
    assert_int_equal(find().refusals, 9);
    assert_false(refuses(START, &why));
    learn(GUARANTEE_TLS_NOT_OFFERED, START + 20 * 60);
    assert_true(refuses(START + 20 * 60, &why));
    assert_false(refuses(START + 20 * 60 + HOUR + 1, &why));
}

static void another_look_after_the_refusals_leaves_doubt(void **state)
{
    (void)state;
    static const enum guarantee_tls looks[] = {GUARANTEE_TLS_ESTABLISHED, GUARANTEE_TLS_TRY_LATER,
                                               GUARANTEE_TLS_CUT};
    struct outcome why;
    for (size_t i = 0; i < COUNT_OF(looks); i++) {
        teardown(NULL);
        setup(NULL);
        make_refusing(GUARANTEE_TLS_NOT_OFFERED);
        assert_true(refuses(START, &why));
        learn(looks[i], START + 1);
        assert_false(refuses(START + 1, &why));
    }
}

static void only_a_refusal_of_tls_itself_is_known(void **state)
{
    (void)state;
    static const struct {
        enum guarantee_tls tls;
        enum guarantee_tlsa tlsa;
        enum guarantee_sts sts;
        int detail; /* of 5.7.x; 0: nothing is known */
    } cases[] = {
        {GUARANTEE_TLS_NOT_OFFERED, GUARANTEE_TLSA_NONE, GUARANTEE_STS_NONE, 4},
        {GUARANTEE_TLS_REFUSED, GUARANTEE_TLSA_NONE, GUARANTEE_STS_NONE, 4},
        {GUARANTEE_TLS_FAILED, GUARANTEE_TLSA_NONE, GUARANTEE_STS_NONE, 5},
        {GUARANTEE_TLS_NOT_OFFERED, GUARANTEE_TLSA_NONE, GUARANTEE_STS_TESTING, 4},
        {GUARANTEE_TLS_NOT_OFFERED, GUARANTEE_TLSA_NONE, GUARANTEE_STS_COVERS, 0},
        {GUARANTEE_TLS_NOT_OFFERED, GUARANTEE_TLSA_NONE, GUARANTEE_STS_UNKNOWN, 0},
        {GUARANTEE_TLS_NOT_OFFERED, GUARANTEE_TLSA_USABLE, GUARANTEE_STS_NONE, 0},
        {GUARANTEE_TLS_NOT_OFFERED, GUARANTEE_TLSA_UNUSABLE, GUARANTEE_STS_NONE, 0},
        {GUARANTEE_TLS_ESTABLISHED, GUARANTEE_TLSA_USABLE, GUARANTEE_STS_NONE, 0},
        {GUARANTEE_TLS_TRY_LATER, GUARANTEE_TLSA_NONE, GUARANTEE_STS_NONE, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct guarantee_host h = host_with(cases[i].tls);
        struct outcome why = {.status = {0, 0, 0}};
        teardown(NULL);
        setup(NULL);
        h.tlsa = cases[i].tlsa;
        h.sts = cases[i].sts;
        h.cause = outcome_local(status_make(4, 4, 0), "cause");
        for (int64_t at = START - HOUR; at <= START; at += 600)
            posture_learn(posture, "a.example", &h, NULL, NULL, at);
        desk_flush(&desk);
        if (refuses(START, &why) != (cases[i].detail > 0) || why.status.detail != cases[i].detail)
            fail_msg("case %zu: 5.7.%d", i, (int)why.status.detail);
    }
}

static void learn_zones(int count, bool is_bogus, int64_t now)
{
    char zone[48];
    for (int i = 0; i < count; i++) {
        snprintf(zone, sizeof zone, "www.zone%d.example", i);
        posture_learn_zone(posture, zone, is_bogus, now);
    }
}

static void the_breaker_closes_in_time_though_nothing_is_looked_at(void **state)
{
    (void)state;
    char names[5][48];
    make_sites_known(names, 5);
    for (size_t i = 0; i < 5; i++)
        learn_site(names[i], GUARANTEE_TLS_NOT_OFFERED, START + DAY);
    assert_true(posture_suspends_stops(posture, START + DAY + BREAKER_QUIET - 1));
    assert_false(posture_suspends_stops(posture, START + DAY + BREAKER_QUIET));
    posture_tick(posture, START + DAY + BREAKER_QUIET - 1);
    assert_int_equal(count_events("breaker"), 1);
    posture_tick(posture, START + DAY + BREAKER_QUIET);
    assert_int_equal(count_events("warning breaker state=closed reason=nothing new was lost"), 1);
    learn_zones(5, true, START + 2 * DAY);
    for (size_t i = 0; i < 10; i++) {
        char name[48];
        snprintf(name, sizeof name, "mx.new%zu.example", i);
        learn_site(name, GUARANTEE_TLS_NOT_OFFERED, START + 2 * DAY);
    }
    assert_int_equal(count_events("error breaker"), 3);
    struct posture_status s;
    posture_status(posture, START + 2 * DAY + BREAKER_QUIET, &s);
    assert_false(s.is_breaker_open);
    assert_int_equal(count_events("warning breaker"), 3);
}

static void hosts_without_tls_for_days_have_not_lost_it_now(void **state)
{
    (void)state;
    char names[5][48];
    make_sites_known(names, 5);
    for (size_t i = 0; i < 5; i++) /* one after the other, an hour apart */
        learn_site(names[i], GUARANTEE_TLS_NOT_OFFERED, START + DAY + (int64_t)i * HOUR);
    for (size_t i = 0; i < 5; i++)
        learn_site(names[i], GUARANTEE_TLS_NOT_OFFERED, START + 3 * DAY);
    assert_int_equal(count_events("breaker"), 0);
}

static void where_no_destination_shows_tls_the_breaker_opens(void **state)
{
    (void)state;
    char name[48];
    for (int i = 0; i < 10; i++) {
        assert_false(posture_suspends_stops(posture, START));
        snprintf(name, sizeof name, "mx.new%d.example", i);
        learn_site(name, GUARANTEE_TLS_NOT_OFFERED, START);
    }
    assert_true(posture_suspends_stops(posture, START));
    assert_int_equal(count_events("none of 10 unrelated destinations showed TLS"), 1);
}

static void one_domain_does_not_open_the_breaker_nor_do_literals(void **state)
{
    (void)state;
    char name[48];
    for (int i = 0; i < 12; i++) {
        snprintf(name, sizeof name, "mx.new%d.example", i);
        learn_of("evil.example", name, GUARANTEE_TLS_NOT_OFFERED, START);
        snprintf(name, sizeof name, "[192.0.2.%d]", i);
        learn_of(name, name, GUARANTEE_TLS_NOT_OFFERED, START);
    }
    assert_false(posture_suspends_stops(posture, START));
    assert_int_equal(count_events("breaker"), 0);
}

static void after_four_hours_stops_go_on_and_the_operator_is_told(void **state)
{
    (void)state;
    char zone[48];
    for (int64_t at = 0; at < 10 * HOUR; at += BREAKER_QUIET / 2)
        for (int i = 0; i < 5; i++) {
            snprintf(zone, sizeof zone, "zone%d-%d.example", (int)at, i);
            posture_learn_zone(posture, zone, true, START + at);
        }
    assert_int_equal(count_events("error breaker state=open"), 1);
    assert_int_equal(count_events("warning breaker state=closed reason=stops go on, as"), 1);
    assert_false(posture_suspends_stops(posture, START + 10 * HOUR));
}

static void a_host_that_asks_for_patience_has_lost_nothing(void **state)
{
    (void)state;
    char names[5][48];
    make_sites_known(names, 5);
    for (size_t i = 0; i < 5; i++)
        learn_site(names[i], GUARANTEE_TLS_TRY_LATER, START + DAY);
    assert_false(posture_suspends_stops(posture, START + DAY));
}

static void certificates_that_do_not_match_are_a_loss_only_where_tls_was_known(void **state)
{
    (void)state;
    char names[5][48];
    struct guarantee_host h = host_with(GUARANTEE_TLS_ESTABLISHED);
    h.tlsa = GUARANTEE_TLSA_USABLE;
    for (int i = 0; i < 12; i++) {
        char name[48];
        snprintf(name, sizeof name, "mx.new%d.example", i);
        h.name = name;
        posture_learn(posture, name + 3, &h, NULL, NULL, START - 2 * HOUR);
    }
    desk_flush(&desk);
    assert_int_equal(count_events("breaker"), 0);
    make_sites_known(names, 5);
    for (size_t i = 0; i < 5; i++) {
        h.name = names[i];
        posture_learn(posture, names[i] + 3, &h, NULL, NULL, START + DAY);
    }
    assert_int_equal(count_events("error breaker"), 1);
}

static void bogus_zones_open_the_breaker_and_secure_ones_close_it(void **state)
{
    (void)state;
    struct posture_status s;
    learn_zones(5, true, START);
    assert_true(posture_suspends_stops(posture, START));
    posture_status(posture, START, &s);
    assert_int_equal(s.breaker_opened_at, START);
    learn_zones(3, false, START + 10);
    assert_false(posture_suspends_stops(posture, START + 10));
}

#define CLAIM(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_look_with_tls_is_written_with_all_it_showed),
        CLAIM(tls_that_fails_authentication_is_kept_with_its_key),
        CLAIM(tls_that_fails_authentication_is_no_memory_of_tls),
        CLAIM(what_a_look_teaches),
        CLAIM(equal_looks_within_a_minute_are_written_once),
        CLAIM(tls_is_remembered_after_some_looks_over_some_hours),
        CLAIM(memory_outlives_refusals_but_not_for_ever),
        CLAIM(remember_tls_ends_when_it_is_over),
        CLAIM(a_downgrade_is_told_once_a_day_and_host),
        CLAIM(a_downgrade_says_once_what_is_remembered),
        CLAIM(a_downgrade_needs_a_memory_and_a_final_loss_of_encryption),
        CLAIM(a_host_that_refused_tls_on_three_looks_is_known_for_a_while),
        CLAIM(looks_of_one_moment_are_not_several),
        CLAIM(an_episode_without_tls_is_no_habit_and_a_habit_is_looked_at_every_hour),
        CLAIM(another_look_after_the_refusals_leaves_doubt),
        CLAIM(only_a_refusal_of_tls_itself_is_known),
        CLAIM(many_that_lose_tls_open_the_breaker_and_it_closes_again),
        CLAIM(the_breaker_closes_in_time_though_nothing_is_looked_at),
        CLAIM(hosts_without_tls_for_days_have_not_lost_it_now),
        CLAIM(where_no_destination_shows_tls_the_breaker_opens),
        CLAIM(one_domain_does_not_open_the_breaker_nor_do_literals),
        CLAIM(after_four_hours_stops_go_on_and_the_operator_is_told),
        CLAIM(a_host_that_asks_for_patience_has_lost_nothing),
        CLAIM(certificates_that_do_not_match_are_a_loss_only_where_tls_was_known),
        CLAIM(bogus_zones_open_the_breaker_and_secure_ones_close_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
