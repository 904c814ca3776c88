#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "queue/room.h"
#include "queue/tlsrpt.h"
#include "tests/support/queue_desk.h"

#define MIB ((uint64_t)1 << 20)
#define TODAY 20779u

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

static struct queue_tlsrpt_result success(const char *domain, uint32_t day)
{
    return (struct queue_tlsrpt_result){.domain = domain,
                                        .day = day,
                                        .type = QUEUE_TLSRPT_STS,
                                        .strings = "version: STSv1\nmode: enforce",
                                        .mx_hosts = "*.one.example\nmx.example",
                                        .successes = 1};
}

static struct queue_tlsrpt_result failure(const char *domain, uint32_t day, const char *mx)
{
    struct queue_tlsrpt_result r = success(domain, day);
    r.successes = 0;
    r.failure = (struct queue_tlsrpt_failure){.cause = QUEUE_TLSRPT_CERTIFICATE_EXPIRED,
                                              .sending_address = "192.0.2.1",
                                              .receiving_address = "2001:db8::1",
                                              .receiving_helo = "helo.example",
                                              .reason = "X509_V_ERR",
                                              .count = 1};
    snprintf(r.failure.mx_host, sizeof r.failure.mx_host, "%s", mx);
    return r;
}

static void count(const struct queue_tlsrpt_result *results, size_t n)
{
    queue_tlsrpt_count(desk.q, results, n);
    desk_flush(&desk);
}

struct reading {
    char text[1024];
    size_t max;
    size_t failures;
    uint64_t total;
};

static bool read_one(void *context, const struct queue_tlsrpt_policy *p,
                     const struct queue_tlsrpt_failure *f)
{
    struct reading *r = context;
    size_t len = strlen(r->text);
    if (f) {
        snprintf(r->text + len, sizeof r->text - len, "%s %s %s %s %s %s %d; ",
                 queue_tlsrpt_cause_name(f->cause), f->sending_address, f->mx_host,
                 f->receiving_address, f->receiving_helo, f->reason, (int)f->count);
        r->failures++;
    } else {
        snprintf(r->text + len, sizeof r->text - len, "%s %zu %zu %d/%d; ",
                 queue_tlsrpt_type_name(p->type), strlen(p->strings), strlen(p->mx_hosts),
                 (int)p->successes, (int)p->failures);
        r->total += p->failures;
    }
    return --r->max > 0;
}

static struct reading reading;

static const char *read_all(const char *domain, uint32_t day, size_t max)
{
    reading = (struct reading){.max = max};
    queue_tlsrpt_read(desk.q, domain, day, read_one, &reading);
    return reading.text;
}

#define EXPIRED(mx) "certificate-expired 192.0.2.1 " mx " 2001:db8::1 helo.example X509_V_ERR "

static void equal_results_add_up_and_outlive_a_restart(void **state)
{
    const struct queue_tlsrpt_result results[] = {
        success("one.example", TODAY),
        failure("one.example", TODAY, "mx.example"),
        failure("one.example", TODAY, "mx.example"),
        success("one.example", TODAY),
        success("one.example", TODAY + 1),
        success("one.example.org", TODAY),
    };
    (void)state;
    count(results, 3);
    desk_reopen(&desk);
    count(results + 3, 3);
    assert_string_equal(read_all("one.example", TODAY, 9),
                        "sts 28 24 2/2; " EXPIRED("mx.example") "2; ");
    assert_string_equal(read_all("one.example", TODAY, 1), "sts 28 24 2/2; ");
    assert_string_equal(read_all("one.example", TODAY + 1, 9), "sts 28 24 1/0; ");
    assert_string_equal(read_all("one.example", TODAY - 1, 9), "");
    assert_string_equal(read_all("one.exampl", TODAY, 9), "");
    assert_string_equal(read_all("", TODAY, 9), "");
}

static void what_differs_is_counted_apart(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 7; i++) {
        struct queue_tlsrpt_result r = failure("one.example", TODAY, "mx.example");
        if (i == 1)
            r.failure.cause = QUEUE_TLSRPT_VALIDATION_FAILURE;
        else if (i == 2)
            r.failure.sending_address[0] = '2';
        else if (i == 3)
            r.failure.mx_host[0] = 'x';
        else if (i == 4)
            r.failure.receiving_address[0] = '3';
        else if (i == 5)
            r.failure.receiving_helo[0] = 'x';
        else if (i == 6)
            r.failure.reason[0] = 'Y';
        count(&r, 1);
    }
    read_all("one.example", TODAY, 99);
    assert_int_equal(reading.failures, 7);
    assert_int_equal(reading.total, 7);
    for (unsigned i = 0; i < 3; i++) {
        struct queue_tlsrpt_result r = failure("two.example", TODAY, "mx.example");
        if (i == 0)
            r.type = QUEUE_TLSRPT_TLSA;
        else if (i == 1)
            r.strings = NULL;
        else
            r.mx_hosts = "mx.example";
        count(&r, 1);
    }
    const char *text = read_all("two.example", TODAY, 99);
    assert_non_null(strstr(text, "tlsa 28 24 0/1; " EXPIRED("mx.example") "1; "));
    assert_non_null(strstr(text, "sts 0 24 0/1; " EXPIRED("mx.example") "1; "));
    assert_non_null(strstr(text, "sts 28 10 0/1; " EXPIRED("mx.example") "1; "));
}

static void failures_of_too_many_kinds_count_in_the_totals_alone(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        char mx[32];
        snprintf(mx, sizeof mx, "mx%03u.example", i);
        struct queue_tlsrpt_result r = failure("one.example", TODAY, mx);
        count(&r, 1);
    }
    read_all("one.example", TODAY, 1000);
    assert_in_range(reading.failures, QUEUE_TLSRPT_ENTRIES / 2, QUEUE_TLSRPT_ENTRIES);
    assert_int_equal(reading.total, 200);
    /* That is no loss. */
    assert_int_equal(desk.event_count, 0);
    /* A policy that changes that day finds room; policies without end do not. */
    for (unsigned i = 0; i < 20; i++) {
        char strings[32];
        snprintf(strings, sizeof strings, "v%03u", i);
        struct queue_tlsrpt_result r = success("one.example", TODAY);
        r.strings = strings;
        count(&r, 1);
    }
    size_t failures = reading.failures;
    read_all("one.example", TODAY, 1000);
    assert_int_equal(reading.failures, failures);
    assert_true(1000 - reading.max - failures > 1);
    assert_in_range(1000 - reading.max, QUEUE_TLSRPT_ENTRIES, QUEUE_TLSRPT_ENTRIES);
    assert_string_equal(desk.last_event, "learning-dropped");
    /* Another day is another matter. */
    struct queue_tlsrpt_result r = failure("one.example", TODAY + 1, "mx");
    count(&r, 1);
    assert_string_equal(read_all("one.example", TODAY + 1, 9),
                        "sts 28 24 0/1; " EXPIRED("mx") "1; ");
}

static void texts_too_long_are_cut_between_lines(void **state)
{
    char lines[QUEUE_TLSRPT_TEXT_MAX + 100];
    (void)state;
    memset(lines, 'x', sizeof lines);
    for (size_t i = 100; i < sizeof lines; i += 101)
        lines[i] = '\n';
    lines[sizeof lines - 1] = '\0';
    char too_long[DOMAIN_SIZE + 1];
    memset(too_long, 'd', DOMAIN_MAX + 1);
    too_long[DOMAIN_MAX + 1] = '\0';
    struct queue_tlsrpt_result results[] = {success("one.example", TODAY), success("", TODAY),
                                            success(NULL, TODAY), success(too_long, TODAY)};
    results[0].strings = lines;
    count(results, COUNT_OF(results));
    assert_string_equal(read_all("one.example", TODAY, 9), "sts 8180 24 1/0; ");
    assert_string_equal(read_all(too_long, TODAY, 9), "");
    assert_int_equal(desk.event_count, 0);
}

struct days {
    char text[256];
    size_t max;
};

static bool name_day(void *context, const char *domain, uint32_t day)
{
    struct days *d = context;
    size_t len = strlen(d->text);
    snprintf(d->text + len, sizeof d->text - len, "%s@%d ", domain, (int)(day - TODAY));
    return --d->max > 0;
}

static const char *due(uint32_t before_day, size_t max)
{
    static struct days d;
    d = (struct days){.max = max};
    queue_tlsrpt_due(desk.q, before_day, name_day, &d);
    return d.text;
}

static void what_is_due_is_named_once_by_day(void **state)
{
    const struct queue_tlsrpt_result results[] = {
        failure("b.example", TODAY, "mx1"),     failure("b.example", TODAY, "mx2"),
        success("a.example", TODAY + 1),        success("a.example", TODAY),
        failure("z.example", TODAY - 300, "x"),
    };
    (void)state;
    assert_string_equal(due(TODAY, 9), "");
    count(results, COUNT_OF(results));
    desk_put(&desk, TABLE_TLSRPT, SLICE("\0\0damaged"), SLICE("\1"));
    assert_string_equal(due(TODAY + 2, 9), "z.example@-300 a.example@0 b.example@0 a.example@1 ");
    assert_string_equal(due(TODAY + 1, 9), "z.example@-300 a.example@0 b.example@0 ");
    assert_string_equal(due(TODAY + 1, 2), "z.example@-300 a.example@0 ");
    assert_string_equal(due(TODAY - 300, 9), "");
}

static int removed(const char *domain, uint32_t day)
{
    struct desk_answer answer = {0};
    queue_tlsrpt_remove(desk.q, domain, day, &desk.poster, desk_done, &answer);
    return desk_wait(&desk, &answer);
}

static void one_domain_and_day_is_removed(void **state)
{
    const struct queue_tlsrpt_result results[] = {
        failure("b.example", TODAY, "mx1"), failure("b.example", TODAY, "mx2"),
        success("b.example", TODAY + 1),    success("b.example.org", TODAY),
        success("a.example", TODAY),
    };
    (void)state;
    count(results, COUNT_OF(results));
    assert_int_equal(removed("b.example", TODAY), 0);
    assert_int_equal(removed("b.example", TODAY), 0);
    assert_int_equal(removed("", TODAY), 0);
    assert_string_equal(due(TODAY + 9, 9), "a.example@0 b.example.org@0 b.example@1 ");
    assert_string_equal(read_all("b.example", TODAY, 9), "");
}

static void damage_costs_no_more_than_what_is_damaged(void **state)
{
    const struct queue_tlsrpt_result results[] = {failure("b.example", TODAY, "mx1"),
                                                  success("b.example", TODAY)};
    char key[64];
    size_t front = 4 + sizeof "b.example";
    (void)state;
    memcpy(key,
           "\0\0\x51\x2b"
           "b.example",
           front);
    memset(key + front, 0, 8);
    count(results, 2);
    struct buffer sound;
    buffer_init(&sound, 4096);
    record_put_tlsrpt_failure(&sound, &results[0].failure);
    /* A policy that cannot be read with its failure, a failure without a policy, and one that
     * cannot be read. */
    desk_put(&desk, TABLE_TLSRPT, (struct slice){key, front + 8}, SLICE("\1damaged"));
    memset(key + front + 8, 7, 8);
    desk_put(&desk, TABLE_TLSRPT, (struct slice){key, front + 16}, buffer_slice(&sound));
    memset(key + front, 0xff, 8);
    desk_put(&desk, TABLE_TLSRPT, (struct slice){key, front + 16}, buffer_slice(&sound));
    memset(key + front + 8, 8, 8);
    desk_put(&desk, TABLE_TLSRPT, (struct slice){key, front + 16}, SLICE("\1damaged"));
    buffer_free(&sound);
    assert_string_equal(read_all("b.example", TODAY, 9), "sts 28 24 1/1; " EXPIRED("mx1") "1; ");
    assert_int_equal(removed("b.example", TODAY), 0);
    assert_string_equal(due(TODAY + 9, 9), "");
}

static void counts_are_swept_48_hours_after_their_day(void **state)
{
    const struct queue_tlsrpt_result results[] = {failure("a.example", TODAY, "mx"),
                                                  success("b.example", TODAY + 1)};
    (void)state;
    count(results, 2);
    desk_put(&desk, TABLE_TLSRPT, SLICE("\0\0damaged"), SLICE("\1"));
    desk_sweep(&desk, (int64_t)(TODAY + 3) * 86400 - 1);
    assert_string_equal(due(TODAY + 9, 9), "a.example@0 b.example@1 ");
    desk_sweep(&desk, (int64_t)(TODAY + 3) * 86400);
    assert_string_equal(due(TODAY + 9, 9), "b.example@1 ");
    desk_sweep(&desk, (int64_t)(TODAY + 4) * 86400);
    assert_string_equal(due(TODAY + 9, 9), "");
}

static void every_name_is_that_of_rfc_8460(void **state)
{
    (void)state;
    assert_string_equal(queue_tlsrpt_type_name(QUEUE_TLSRPT_NO_POLICY_FOUND), "no-policy-found");
    assert_string_equal(queue_tlsrpt_cause_name(QUEUE_TLSRPT_STARTTLS_NOT_SUPPORTED),
                        "starttls-not-supported");
    for (unsigned i = 0; i <= QUEUE_TLSRPT_STS_WEBPKI_INVALID; i++)
        assert_non_null(queue_tlsrpt_cause_name((enum queue_tlsrpt_cause)i));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(equal_results_add_up_and_outlive_a_restart),
        TEST(what_differs_is_counted_apart),
        TEST(failures_of_too_many_kinds_count_in_the_totals_alone),
        TEST(texts_too_long_are_cut_between_lines),
        TEST(what_is_due_is_named_once_by_day),
        TEST(one_domain_and_day_is_removed),
        TEST(damage_costs_no_more_than_what_is_damaged),
        TEST(counts_are_swept_48_hours_after_their_day),
        TEST(every_name_is_that_of_rfc_8460),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
