#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "queue/posture.h"
#include "queue/room.h"
#include "tests/support/queue_desk.h"

#define MIB ((uint64_t)1 << 20)
#define DAY ((int64_t)86400)

static struct desk desk;

static int setup(void **state)
{
    (void)state;
    desk_open(&desk, 64 * MIB);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    desk_close(&desk);
    return 0;
}

static struct queue_look tls_look(const char *domain, const char *host, int64_t at)
{
    return (struct queue_look){.domain = domain,
                               .host = host,
                               .at = at,
                               .has_tls = true,
                               .protocol = "TLSv1.3",
                               .cipher = "TLS_AES_256_GCM_SHA384",
                               .key_exchange = "X25519",
                               .key_digest = "00ff",
                               .verified = 1,
                               .tlsa = 2,
                               .sts = 3};
}

static struct queue_look refusal_look(const char *domain, const char *host, int64_t at,
                                      const char *refusal)
{
    return (struct queue_look){.domain = domain,
                               .host = host,
                               .at = at,
                               .refusal = refusal,
                               .refusal_kind = 7,
                               .verified = 9,
                               .tlsa = 5};
}

static void learn(const struct queue_look *looks, size_t count)
{
    queue_posture_learn(desk.q, looks, count);
    desk_flush(&desk);
}

static struct queue_posture found(const char *domain, const char *host)
{
    struct queue_posture p;
    assert_int_equal(queue_posture_find(desk.q, domain, host, &p), 0);
    return p;
}

static void looks_add_up_and_outlive_a_restart(void **state)
{
    struct queue_look looks[] = {
        tls_look("one.example", "mx.one.example", 100),
        refusal_look("one.example", "mx.one.example", 200, "no STARTTLS offered"),
        refusal_look("one.example", "mx.one.example", 300, "454 no"),
    };
    struct queue_posture p;
    (void)state;
    assert_int_equal(queue_posture_find(desk.q, "one.example", "mx.one.example", &p), -ENOENT);
    learn(looks, 1);
    p = found("one.example", "mx.one.example");
    assert_int_equal(p.looks, 1);
    assert_int_equal(p.tls_looks, 1);
    assert_int_equal(p.refusals, 0);
    assert_int_equal(p.refusal_first_at, 0);
    assert_int_equal(p.refusal_last_at, 0);
    learn(looks + 1, 2);
    desk_reopen(&desk);
    p = found("one.example", "mx.one.example");
    assert_string_equal(p.domain, "one.example");
    assert_string_equal(p.host, "mx.one.example");
    assert_int_equal(p.first_seen_at, 100);
    assert_int_equal(p.last_seen_at, 300);
    assert_int_equal(p.looks, 3);
    assert_int_equal(p.tls_looks, 1);
    assert_int_equal(p.tls_first_at, 100);
    assert_int_equal(p.tls_last_at, 100);
    assert_int_equal(p.refusals, 2);
    assert_int_equal(p.refusal_first_at, 200);
    assert_int_equal(p.refusal_last_at, 300);
    assert_string_equal(p.refusal, "454 no");
    assert_int_equal(p.refusal_kind, 7);
    /* What TLS was like stays; what DNS says is of the last look. */
    assert_string_equal(p.protocol, "TLSv1.3");
    assert_string_equal(p.cipher, "TLS_AES_256_GCM_SHA384");
    assert_string_equal(p.key_exchange, "X25519");
    assert_string_equal(p.key_digest, "00ff");
    assert_int_equal(p.verified, 1);
    assert_int_equal(p.tlsa, 5);
    assert_int_equal(p.sts, 0);
}

/* A certificate that proves nothing says by its key whose it may be. */
static void tls_that_is_not_acceptable_is_shown_and_counts_as_a_refusal(void **state)
{
    struct queue_look looks[] = {
        tls_look("one.example", "mx.example", 100),
        refusal_look("one.example", "mx.example", 200, "no record matches"),
        refusal_look("one.example", "mx.example", 300, "no STARTTLS"),
    };
    (void)state;
    looks[1].protocol = "TLSv1.2";
    looks[1].cipher = "ECDHE-RSA-AES256-GCM-SHA384";
    looks[1].key_digest = "abcd";
    learn(looks, COUNT_OF(looks));
    struct queue_posture p = found("one.example", "mx.example");
    assert_string_equal(p.protocol, "TLSv1.2");
    assert_string_equal(p.cipher, "ECDHE-RSA-AES256-GCM-SHA384");
    assert_string_equal(p.key_exchange, "");
    assert_string_equal(p.key_digest, "abcd");
    assert_int_equal(p.verified, 9);
    /* The memory is as without it. */
    assert_int_equal(p.tls_looks, 1);
    assert_int_equal(p.tls_last_at, 100);
    assert_int_equal(p.refusals, 2);
    assert_int_equal(p.refusal_first_at, 200);
    assert_int_equal(p.refusal_last_at, 300);
}

static void a_row_of_refusals_ends_when_tls_comes_back(void **state)
{
    struct queue_look looks[] = {
        refusal_look("one.example", "mx.example", 100, "first"),
        tls_look("one.example", "mx.example", 200),
        refusal_look("one.example", "mx.example", 300, "second"),
        tls_look("one.example", "mx.example", 400),
    };
    struct queue_posture p;
    (void)state;
    learn(looks, 2);
    p = found("one.example", "mx.example");
    assert_int_equal(p.refusals, 0);
    assert_int_equal(p.refusal_first_at, 100);
    assert_int_equal(p.refusal_last_at, 100);
    assert_string_equal(p.refusal, "first");
    learn(looks + 2, 1);
    p = found("one.example", "mx.example");
    assert_int_equal(p.refusals, 1);
    assert_int_equal(p.refusal_first_at, 300);
    assert_int_equal(p.tls_looks, 1);
    learn(looks + 3, 1);
    p = found("one.example", "mx.example");
    assert_int_equal(p.refusals, 0);
    assert_int_equal(p.refusal_last_at, 300);
    assert_int_equal(p.tls_looks, 2);
    assert_int_equal(p.tls_first_at, 200);
    assert_int_equal(p.tls_last_at, 400);
}

static void trouble_that_may_pass_neither_counts_as_refusal_nor_ends_a_row(void **state)
{
    struct queue_look looks[] = {
        refusal_look("one.example", "mx.example", 100, "no STARTTLS"),
        refusal_look("one.example", "mx.example", 200, NULL),
        refusal_look("one.example", "mx.example", 300, ""),
        refusal_look("one.example", "mx.example", 400, "again"),
    };
    (void)state;
    learn(looks, 4);
    struct queue_posture p = found("one.example", "mx.example");
    assert_int_equal(p.looks, 4);
    assert_int_equal(p.refusals, 2);
    assert_int_equal(p.refusal_first_at, 100);
    assert_int_equal(p.refusal_last_at, 400);
    assert_int_equal(p.tls_first_at, 0);
}

static void a_look_that_comes_late_turns_no_clock_back(void **state)
{
    struct queue_look looks[] = {
        tls_look("one.example", "mx.example", 500),
        tls_look("one.example", "mx.example", 400),
        refusal_look("one.example", "mx.example", 700, "no"),
        refusal_look("one.example", "mx.example", 600, "no"),
    };
    (void)state;
    learn(looks, 4);
    struct queue_posture p = found("one.example", "mx.example");
    assert_int_equal(p.last_seen_at, 700);
    assert_int_equal(p.tls_last_at, 500);
    assert_int_equal(p.refusal_last_at, 700);
}

static void words_too_long_are_cut_and_looks_at_nothing_left_out(void **state)
{
    char longest[DOMAIN_SIZE];
    char too_long[DOMAIN_SIZE + 1];
    char words[QUEUE_REFUSAL_SIZE + 10];
    (void)state;
    memset(longest, 'd', DOMAIN_MAX);
    longest[DOMAIN_MAX] = '\0';
    memset(too_long, 'd', DOMAIN_MAX + 1);
    too_long[DOMAIN_MAX + 1] = '\0';
    memset(words, 'w', sizeof words);
    memcpy(words + QUEUE_REFUSAL_SIZE - 2, "\xc3\xa4", 2); /* lies across the end */
    words[sizeof words - 1] = '\0';
    struct queue_look looks[] = {
        refusal_look(longest, longest, 100, words),  refusal_look("", "mx.example", 100, "x"),
        refusal_look("one.example", "", 100, "x"),   refusal_look(NULL, "mx.example", 100, "x"),
        refusal_look("one.example", NULL, 100, "x"), refusal_look(too_long, "mx.example", 100, "x"),
    };
    learn(looks, COUNT_OF(looks));
    struct queue_posture p = found(longest, longest);
    assert_int_equal(strlen(p.refusal), QUEUE_REFUSAL_SIZE - 2);
    assert_int_equal(desk.event_count, 0);
    struct queue_posture none;
    assert_int_equal(queue_posture_find(desk.q, "", "mx.example", &none), -ENOENT);
    assert_int_equal(queue_posture_find(desk.q, too_long, "mx.example", &none), -ENOENT);
}

struct names {
    char text[512];
    size_t max;
};

static bool name_posture(void *context, const struct queue_posture *p)
{
    struct names *n = context;
    size_t len = strlen(n->text);
    snprintf(n->text + len, sizeof n->text - len, "%s/%s ", p->domain, p->host);
    return --n->max > 0;
}

static const char *walked(const char *domain, size_t max)
{
    static struct names n;
    n = (struct names){.max = max};
    queue_postures_walk(desk.q, domain, name_posture, &n);
    return n.text;
}

static void a_walk_shows_one_domain_or_all(void **state)
{
    struct queue_look looks[] = {
        tls_look("one.example", "b", 1),
        tls_look("one.example", "a", 1),
        tls_look("one.exampl", "c", 1),
        tls_look("one.example.org", "d", 1),
    };
    (void)state;
    learn(looks, COUNT_OF(looks));
    desk_put(&desk, TABLE_POSTURE, SLICE("one.example\0aa"), SLICE("\1damaged"));
    assert_string_equal(walked("one.example", 9), "one.example/a one.example/b ");
    assert_string_equal(walked("one.example", 1), "one.example/a ");
    assert_string_equal(walked("one", 9), "");
    assert_string_equal(walked("", 9), "");
    assert_string_equal(walked(NULL, 9),
                        "one.exampl/c one.example/a one.example/b one.example.org/d ");
    assert_string_equal(walked(NULL, 2), "one.exampl/c one.example/a ");
}

static void a_damaged_posture_is_told_and_begins_anew_with_the_next_look(void **state)
{
    struct queue_look look = tls_look("one.example", "mx", 100);
    struct queue_posture p;
    (void)state;
    desk_put(&desk, TABLE_POSTURE, SLICE("one.example\0mx"), SLICE("\1damaged"));
    assert_int_equal(queue_posture_find(desk.q, "one.example", "mx", &p), -EIO);
    learn(&look, 1);
    p = found("one.example", "mx");
    assert_int_equal(p.looks, 1);
    assert_int_equal(p.first_seen_at, 100);
}

static void what_was_not_seen_for_90_days_is_swept(void **state)
{
    struct queue_look looks[] = {tls_look("one.example", "old", 1000 * DAY),
                                 tls_look("one.example", "young", 1000 * DAY + 1)};
    (void)state;
    learn(looks, 2);
    desk_put(&desk, TABLE_POSTURE, SLICE("one.example\0aa"), SLICE("\1damaged"));
    desk_sweep(&desk, 1090 * DAY - 1);
    assert_string_equal(walked(NULL, 9), "one.example/old one.example/young ");
    desk_sweep(&desk, 1090 * DAY);
    assert_string_equal(walked(NULL, 9), "one.example/young ");
    struct queue_posture p;
    assert_int_equal(queue_posture_find(desk.q, "one.example", "aa", &p), -ENOENT);
}

static void looks_beyond_the_share_are_dropped_with_one_event(void **state)
{
    uint64_t id;
    const char *recipient = "bob@two.example";
    struct queue_look known = tls_look("one.example", "known", 1);
    struct queue_posture p;
    (void)state;
    learn(&known, 1);
    for (unsigned i = 0; i < 12000; i += 64) {
        struct queue_look looks[64];
        char hosts[64][128];
        for (unsigned j = 0; j < 64; j++) {
            snprintf(hosts[j], sizeof hosts[j], "h%05u.%090d.example", i + j, 0);
            looks[j] = tls_look("many.example", hosts[j], 1);
        }
        learn(looks, 64);
    }
    struct queue_status status;
    queue_status(desk.q, &status);
    assert_in_range(status.used_bytes, MIB / 2, MIB + MIB / 4); /* a 64th of 64 MiB */
    assert_string_equal(desk.last_event, "learning-dropped");
    assert_int_equal(desk.event_count, 1);
    /* What is known is still kept up to date, and mail comes in. */
    known.at = 2;
    learn(&known, 1);
    p = found("one.example", "known");
    assert_int_equal(p.last_seen_at, 2);
    assert_int_equal(p.looks, 2);
    assert_int_equal(desk_queue(&desk, "a@b.example", &recipient, 1, 1000, 1, &id), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(looks_add_up_and_outlive_a_restart),
        TEST(tls_that_is_not_acceptable_is_shown_and_counts_as_a_refusal),
        TEST(a_row_of_refusals_ends_when_tls_comes_back),
        TEST(trouble_that_may_pass_neither_counts_as_refusal_nor_ends_a_row),
        TEST(a_look_that_comes_late_turns_no_clock_back),
        TEST(words_too_long_are_cut_and_looks_at_nothing_left_out),
        TEST(a_walk_shows_one_domain_or_all),
        TEST(a_damaged_posture_is_told_and_begins_anew_with_the_next_look),
        TEST(what_was_not_seen_for_90_days_is_swept),
        TEST(looks_beyond_the_share_are_dropped_with_one_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
