/* Exceptions, dry run and receipts; what was learnt of destinations, and what is told of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "gateway/posture/posture.h"
#include "mail/date.h"
#include "queue/exception.h"
#include "queue/policy.h"
#include "queue/posture.h"
#include "queue/trial.h"
#include "tests/support/command_desk.h"

static int64_t number_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static bool is_null(const json_t *object, const char *key)
{
    return json_is_null(json_object_get(object, key));
}

static const json_t *element(size_t i)
{
    return json_array_get(result(), i);
}

static void add_alias(void)
{
    assert_int_equal(ask("{\"command\":\"user alias\",\"address\":\"alice@site.example\","
                         "\"alias\":\"other@site.example\"}"),
                     0);
}

/* ---- exceptions ---- */

static int except(const char *rest)
{
    char request[256];
    snprintf(request, sizeof request,
             "{\"command\":\"exception add\",\"user\":\"alice@site.example\",%s}", rest);
    return ask(request);
}

static void an_exception_is_set_listed_and_taken_back(void **state)
{
    (void)state;
    add_alice();
    add_alias();
    assert_int_equal(ask("{\"command\":\"exception list\"}"), 0);
    assert_int_equal(json_array_size(result()), 0);
    assert_int_equal(ask("{\"command\":\"exception add\",\"user\":\"OTHER@site.example\","
                         "\"domain\":\"B\xc3\x9c"
                         "CHER.example\"}"),
                     0);
    assert_string_equal(text_of(result(), "user"), "Alice@site.example");
    assert_string_equal(text_of(result(), "domain"), "xn--bcher-kva.example");
    assert_true(is_null(result(), "until"));
    assert_int_equal(except("\"domain\":\".y.example\""), 0);
    int64_t now = date_now();
    assert_int_equal(
        queue_exception_has(desk.q, "alice@site.example", "xn--bcher-kva.example", now), 1);
    assert_int_equal(queue_exception_has(desk.q, "alice@site.example", "mx.y.example", now), 1);
    assert_int_equal(queue_exception_has(desk.q, "alice@site.example", "y.example", now), 0);
    assert_int_equal(ask("{\"command\":\"exception list\",\"user\":\"other@site.example\"}"), 0);
    assert_int_equal(json_array_size(result()), 2);
    assert_string_equal(text_of(element(0), "user"), "alice@site.example");
    assert_int_equal(ask("{\"command\":\"exception remove\",\"user\":\"alice@site.example\","
                         "\"domain\":\".y.example\"}"),
                     0);
    assert_int_equal(queue_exception_has(desk.q, "alice@site.example", "mx.y.example", now), 0);
    assert_int_equal(ask("{\"command\":\"exception list\"}"), 0);
    assert_int_equal(json_array_size(result()), 1);
    assert_string_equal(text_of(element(0), "domain"), "xn--bcher-kva.example");
}

static bool keep_until(void *context, const struct queue_exception *e)
{
    *(int64_t *)context = e->until;
    return false;
}

static void an_exception_ends_when_it_was_said_to(void **state)
{
    int64_t until = 0;
    (void)state;
    add_alice();
    int64_t before = date_now();
    assert_int_equal(except("\"domain\":\"y.example\",\"until\":\"30d\""), 0);
    queue_exceptions_walk(desk.q, NULL, before, keep_until, &until);
    assert_in_range(until, before + 30 * 86400, date_now() + 30 * 86400);
    assert_string_equal(event, "control command=exception add uid=1000 user=alice@site.example "
                               "domain=y.example reason=until 30d");
    assert_int_equal(except("\"domain\":\"y.example\",\"until\":\"2099-12-31\""), 0);
    assert_string_equal(text_of(result(), "until"), "2099-12-31T00:00:00Z");
    assert_int_equal(except("\"domain\":\"y.example\",\"until\":\"2099-12-31T18:00:00Z\""), 0);
    assert_string_equal(text_of(result(), "until"), "2099-12-31T18:00:00Z");
    queue_exceptions_walk(desk.q, NULL, before, keep_until, &until);
    assert_int_equal(until, 4102423200);
}

/* A date that is gone must not be gone unseen. */
static void an_exception_says_what_it_replaces(void **state)
{
    (void)state;
    add_alice();
    add_alias();
    assert_int_equal(except("\"domain\":\"y.example\",\"until\":\"2099-12-31\""), 0);
    assert_true(is_null(result(), "replaced"));
    assert_int_equal(except("\"domain\":\"z.example\""), 0);
    assert_true(is_null(result(), "replaced"));
    assert_int_equal(ask("{\"command\":\"exception add\",\"user\":\"other@site.example\","
                         "\"domain\":\"Y.example\"}"),
                     0);
    const json_t *replaced = json_object_get(result(), "replaced");
    assert_string_equal(text_of(replaced, "until"), "2099-12-31T00:00:00Z");
    assert_int_equal(strlen(text_of(replaced, "set_at")), 20);
    /* The same once more replaces nothing. */
    assert_int_equal(except("\"domain\":\"y.example\""), 0);
    assert_true(is_null(result(), "replaced"));
    assert_int_equal(except("\"domain\":\"y.example\",\"until\":\"30d\""), 0);
    replaced = json_object_get(result(), "replaced");
    assert_true(json_is_object(replaced) && is_null(replaced, "until"));
}

static void exceptions_that_cannot_be_are_refused(void **state)
{
    static const struct {
        const char *rest;
        int want;
        const char *words;
    } cases[] = {
        {"\"domain\":\"y..example\"", 2, "no domain"},
        {"\"domain\":\".\"", 2, "no domain"},
        {"\"domain\":\"bob@y.example\"", 2, "no domain"},
        {"\"domain\":\"*.y.example\"", 2, "no domain"},
        {"\"other\":\"y.example\"", 2, "no domain"},
        {"\"domain\":\"y.example\",\"until\":\"soon\"", 2, "--until wants"},
        {"\"domain\":\"y.example\",\"until\":\"2026-13-01\"", 2, "--until wants"},
        {"\"domain\":\"y.example\",\"until\":\"2020-01-01\"", 2, "over already"},
        {"\"domain\":\"y.example\",\"until\":\"0s\"", 2, "over already"},
    };
    (void)state;
    add_alice();
    event[0] = '\0';
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(except(cases[i].rest), cases[i].want);
        if (!strstr(error_text(), cases[i].words))
            fail_msg("%s: %s", cases[i].rest, error_text());
    }
    assert_int_equal(ask("{\"command\":\"exception add\",\"user\":\"x@site.example\","
                         "\"domain\":\"y.example\"}"),
                     1);
    assert_string_equal(error_text(), "x@site.example: no such user");
    assert_int_equal(ask("{\"command\":\"exception remove\",\"user\":\"alice@site.example\","
                         "\"domain\":\"y.example\"}"),
                     1);
    assert_non_null(strstr(error_text(), "has no exception for y.example"));
    assert_int_equal(ask("{\"command\":\"exception list\",\"user\":\"x@site.example\"}"), 1);
    assert_string_equal(event, "");
}

/* ---- dry run ---- */

static int guarantee(const char *rest)
{
    char request[256];
    snprintf(request, sizeof request,
             "{\"command\":\"guarantee\",\"address\":\"alice@site.example\",%s}", rest);
    return ask(request);
}

static struct queue_flag flag(void)
{
    struct queue_account a = {0};
    struct address alice = address_of("alice@site.example");
    assert_int_equal(queue_account_find(desk.q, &alice, &a), 0);
    struct queue_flag found = queue_account_flag(&a, LEVEL_OFF, date_now());
    queue_account_clear(&a);
    return found;
}

static void expect_dry_run(const char *level)
{
    assert_string_equal(text_of(result(), "guarantee"), "off");
    assert_true(json_is_true(json_object_get(result(), "dry_run")));
    assert_string_equal(text_of(result(), "dry_run_level"), level);
    assert_true(flag().is_dry_run);
    assert_string_equal(level_name(flag().level), level);
}

static void in_a_dry_run_the_guarantee_is_off_and_its_level_is_kept(void **state)
{
    (void)state;
    add_alice();
    assert_true(json_is_false(json_object_get(result(), "dry_run")));
    assert_true(is_null(result(), "dry_run_level"));
    assert_int_equal(guarantee("\"level\":\"dry-run\""), 0);
    expect_dry_run("encrypt");
    assert_string_equal(event,
                        "control command=guarantee uid=1000 user=alice@site.example level=dry-run");
    assert_int_equal(guarantee("\"level\":\"dry-run\",\"trial\":\"verified\""), 0);
    expect_dry_run("verified");
    assert_non_null(strstr(event, " level=dry-run verified"));
}

static void any_other_level_ends_a_dry_run(void **state)
{
    static const struct {
        const char *rest;
        const char *want;
    } cases[] = {
        {"\"level\":\"on\"", "encrypt"},
        {"\"level\":\"off\"", "off"},
        {"\"level\":\"verified\"", "verified"},
        {"\"level\":\"default\"", "off"},
    };
    (void)state;
    add_alice();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(guarantee("\"level\":\"dry-run\""), 0);
        assert_int_equal(guarantee(cases[i].rest), 0);
        assert_false(flag().is_dry_run);
        assert_true(json_is_false(json_object_get(result(), "dry_run")));
        assert_string_equal(text_of(result(), "guarantee"), cases[i].want);
    }
}

/* The flag in force begins when it is in force, not when it was first tried out. */
static void what_was_tried_out_begins_anew_when_it_is_meant(void **state)
{
    struct queue_account a = {0};
    struct address alice = address_of("alice@site.example");
    struct desk_answer stored = {0};
    (void)state;
    add_alice();
    assert_int_equal(guarantee("\"level\":\"dry-run\""), 0);
    assert_int_equal(queue_account_find(desk.q, &alice, &a), 0);
    a.level_since -= 1000;
    queue_account_put(desk.q, &a, false, &desk.poster, desk_done, &stored);
    assert_int_equal(desk_wait(&desk, &stored), 0);
    assert_int_equal(guarantee("\"level\":\"dry-run\""), 0);
    assert_int_equal(flag().since, a.level_since);
    assert_int_equal(guarantee("\"level\":\"on\""), 0);
    assert_true(flag().since >= a.level_since + 1000);
    queue_account_clear(&a);
}

static void dry_runs_that_cannot_be_are_wrong_usage(void **state)
{
    static const char *const cases[] = {
        "\"level\":\"dry-run\",\"trial\":\"off\"",
        "\"level\":\"dry-run\",\"trial\":\"dane\"",
        "\"level\":\"on\",\"trial\":\"verified\"",
        "\"level\":\"dryrun\"",
    };
    (void)state;
    add_alice();
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(guarantee(cases[i]), 2);
    assert_false(flag().is_dry_run);
}

static void find(const char *user, const char *recipient, int64_t at)
{
    struct queue_trial t = {.at = at, .arrived_at = at, .id = 7, .status = status_make(5, 7, 4)};
    assert_true(slice_copy(slice_of(user), t.user, sizeof t.user) &&
                slice_copy(slice_of(recipient), t.recipient, sizeof t.recipient) &&
                slice_copy(SLICE("no TLS"), t.reason, sizeof t.reason));
    queue_trial_add(desk.q, &t);
}

static void findings_of_a_dry_run_are_listed(void **state)
{
    int64_t now = date_now();
    (void)state;
    add_alice();
    add_alias();
    find("Alice@site.example", "bob@y.example", now - 10);
    find("eve@site.example", "bob@y.example", now - 5);
    desk_flush(&desk);
    assert_int_equal(ask("{\"command\":\"report dry-run\"}"), 0);
    assert_int_equal(json_array_size(result()), 2);
    assert_string_equal(text_of(element(0), "user"), "Alice@site.example");
    assert_string_equal(text_of(element(0), "recipient"), "bob@y.example");
    assert_string_equal(text_of(element(0), "status"), "5.7.4");
    assert_string_equal(text_of(element(0), "reason"), "no TLS");
    assert_int_equal(strlen(text_of(element(0), "at")), 20);
    assert_true(strlen(text_of(element(0), "id")) > 5);
    /* By an alias, and of a user who is gone. */
    assert_int_equal(ask("{\"command\":\"report dry-run\",\"address\":\"other@site.example\"}"), 0);
    assert_int_equal(json_array_size(result()), 1);
    assert_string_equal(text_of(element(0), "user"), "Alice@site.example");
    assert_int_equal(ask("{\"command\":\"report dry-run\",\"address\":\"eve@site.example\"}"), 0);
    assert_int_equal(json_array_size(result()), 1);
    assert_string_equal(text_of(element(0), "user"), "eve@site.example");
    assert_int_equal(ask("{\"command\":\"report dry-run\",\"address\":\"eve\"}"), 2);
    /* Of nobody there are none either, but that is no good news. */
    assert_int_equal(ask("{\"command\":\"report dry-run\",\"address\":\"alcie@site.example\"}"), 1);
    assert_string_equal(error_text(), "alcie@site.example: no such user");
}

static void a_user_without_findings_has_an_empty_list(void **state)
{
    (void)state;
    add_alice();
    assert_int_equal(ask("{\"command\":\"report dry-run\",\"address\":\"alice@site.example\"}"), 0);
    assert_int_equal(json_array_size(result()), 0);
}

/* ---- receipts ---- */

static void receipts_are_switched_on_and_off(void **state)
{
    (void)state;
    add_alice();
    assert_true(json_is_false(json_object_get(result(), "receipts")));
    assert_int_equal(askf("{\"command\":\"user set\",\"address\":\"alice@site.example\",%}",
                          "\"receipts\":true"),
                     0);
    assert_true(json_is_true(json_object_get(result(), "receipts")));
    assert_int_equal(askf("{\"command\":\"user set\",\"address\":\"alice@site.example\",%}",
                          "\"language\":\"de\""),
                     0);
    assert_true(json_is_true(json_object_get(result(), "receipts")));
    assert_int_equal(askf("{\"command\":\"user set\",\"address\":\"alice@site.example\",%}",
                          "\"receipts\":true,\"no_receipts\":true"),
                     2);
    assert_int_equal(askf("{\"command\":\"user set\",\"address\":\"alice@site.example\",%}",
                          "\"no_receipts\":true"),
                     0);
    assert_true(json_is_false(json_object_get(result(), "receipts")));
}

/* ---- postures ---- */

static void what_failed_authentication_is_listed_with_its_key(void **state)
{
    const struct queue_look looks[] = {
        {.domain = "y.example",
         .host = "mx1.y.example",
         .at = 1795361330,
         .protocol = "TLSv1.3",
         .key_digest = "00ff",
         .verified = POSTURE_FAILED_DANE,
         .tlsa = 1,
         .refusal = "no TLSA record matches"},
        {.domain = "y.example",
         .host = "mx2.y.example",
         .at = 1795361330,
         .protocol = "TLSv1.3",
         .verified = POSTURE_FAILED_STS,
         .refusal = "not listed"},
        {.domain = "y.example", .host = "mx3.y.example", .at = 1795361330, .refusal = "no TLS"},
    };
    (void)state;
    queue_posture_learn(desk.q, looks, COUNT_OF(looks));
    assert_int_equal(ask("{\"command\":\"posture\"}"), 0); /* looks of this very moment too */
    assert_int_equal(json_array_size(result()), 3);
    assert_string_equal(text_of(element(0), "protocol"), "TLSv1.3");
    assert_string_equal(text_of(element(0), "key_digest"), "00ff");
    assert_string_equal(text_of(element(0), "verified"), "no");
    assert_string_equal(text_of(element(0), "failed"), "dane");
    assert_true(is_null(element(0), "tls_last_at"));
    assert_string_equal(text_of(element(1), "failed"), "sts");
    assert_string_equal(text_of(element(1), "verified"), "no");
    assert_true(is_null(element(2), "failed") && is_null(element(2), "protocol"));
}

static void what_hosts_were_seen_to_do_is_listed(void **state)
{
    const struct queue_look looks[] = {
        {.domain = "y.example",
         .host = "mx1.y.example",
         .at = 1795361330,
         .has_tls = true,
         .protocol = "TLSv1.3",
         .cipher = "TLS_AES_128_GCM_SHA256",
         .key_exchange = "X25519",
         .key_digest = "00ff",
         .verified = 1,
         .tlsa = 1,
         .sts = 2},
        {.domain = "y.example", .host = "mx1.y.example", .at = 1795361340, .refusal = "no TLS"},
        {.domain = "z.example", .host = "mx.z.example", .at = 1795361350, .tlsa = 77, .sts = 4},
    };
    (void)state;
    queue_posture_learn(desk.q, looks, COUNT_OF(looks));
    desk_flush(&desk);
    assert_int_equal(ask("{\"command\":\"posture\"}"), 0);
    assert_int_equal(json_array_size(result()), 2);
    assert_string_equal(text_of(element(1), "host"), "mx.z.example");
    assert_string_equal(text_of(element(1), "tlsa"), "unknown");
    assert_string_equal(text_of(element(1), "sts"), "unknown");
    assert_true(is_null(element(1), "protocol") && is_null(element(1), "tls_last_at") &&
                is_null(element(1), "refusal") && is_null(element(1), "refusal_last_at"));
    assert_int_equal(ask("{\"command\":\"posture\",\"domain\":\"bob@Y.example\"}"), 0);
    assert_int_equal(json_array_size(result()), 1);
    const json_t *seen = element(0);
    assert_string_equal(text_of(seen, "domain"), "y.example");
    assert_string_equal(text_of(seen, "host"), "mx1.y.example");
    assert_string_equal(text_of(seen, "first_seen_at"), "2026-11-22T15:28:50Z");
    assert_string_equal(text_of(seen, "last_seen_at"), "2026-11-22T15:29:00Z");
    assert_string_equal(text_of(seen, "tls_first_at"), "2026-11-22T15:28:50Z");
    assert_string_equal(text_of(seen, "tls_last_at"), "2026-11-22T15:28:50Z");
    assert_int_equal(number_of(seen, "looks"), 2);
    assert_int_equal(number_of(seen, "tls_looks"), 1);
    assert_string_equal(text_of(seen, "protocol"), "TLSv1.3");
    assert_string_equal(text_of(seen, "cipher"), "TLS_AES_128_GCM_SHA256");
    assert_string_equal(text_of(seen, "key_exchange"), "X25519");
    assert_string_equal(text_of(seen, "key_digest"), "00ff");
    assert_string_equal(text_of(seen, "verified"), "dane");
    assert_string_equal(text_of(seen, "tlsa"), "none"); /* of the last look */
    assert_int_equal(number_of(seen, "refusals"), 1);
    assert_string_equal(text_of(seen, "refusal"), "no TLS");
    assert_string_equal(text_of(seen, "refusal_first_at"), "2026-11-22T15:29:00Z");
    assert_string_equal(text_of(seen, "refusal_last_at"), "2026-11-22T15:29:00Z");
    assert_int_equal(ask("{\"command\":\"posture\",\"domain\":\"none.example\"}"), 0);
    assert_int_equal(json_array_size(result()), 0);
    assert_int_equal(ask("{\"command\":\"posture\",\"domain\":\"y..example\"}"), 2);
}

/* ---- MTA-STS policies ---- */

static char forgotten[DOMAIN_SIZE];

static void forget_policy(void *context, const char *domain)
{
    assert_ptr_equal(context, &forgotten);
    assert_true(slice_copy(slice_of(domain), forgotten, sizeof forgotten));
}

static void keep_policy(const char *domain, const char *text, int64_t expires_at)
{
    struct desk_answer stored = {0};
    char copy[200];
    struct queue_policy p = {.id = "a1", .text = copy, .fetched_at = 1795361330};
    assert_true(slice_copy(slice_of(domain), p.domain, sizeof p.domain) &&
                slice_copy(slice_of(text), copy, sizeof copy));
    p.expires_at = expires_at;
    queue_policy_put(desk.q, &p, &desk.poster, desk_done, &stored);
    assert_int_equal(desk_wait(&desk, &stored), 0);
}

static void policies_are_listed_as_they_bind(void **state)
{
    (void)state;
    keep_policy("y.example",
                "version: STSv1\r\nmode: enforce\r\nmx: mx.y.example\r\nmx: *.z.example\r\n"
                "max_age: 86400\r\n",
                date_now() + 1000);
    keep_policy("z.example", "nonsense", 1795361340 - 86400 * 365);
    assert_int_equal(ask("{\"command\":\"sts list\"}"), 0);
    assert_int_equal(json_array_size(result()), 2);
    assert_string_equal(text_of(element(0), "domain"), "y.example");
    assert_string_equal(text_of(element(0), "mode"), "enforce");
    assert_string_equal(text_of(element(0), "id"), "a1");
    assert_string_equal(text_of(element(0), "fetched_at"), "2026-11-22T15:28:50Z");
    const json_t *mx = json_object_get(element(0), "mx");
    assert_int_equal(json_array_size(mx), 2);
    assert_string_equal(json_string_value(json_array_get(mx, 1)), "*.z.example");
    assert_true(json_is_false(json_object_get(element(0), "expired")));
    assert_true(is_null(element(1), "mode"));
    assert_true(json_is_true(json_object_get(element(1), "expired")));
}

static void a_purged_policy_is_forgotten_in_memory_too(void **state)
{
    (void)state;
    keep_policy("y.example", "nonsense", date_now() + 1000);
    host.facts.forget_policy = forget_policy;
    host.facts.context = &forgotten;
    assert_int_equal(ask("{\"command\":\"sts purge\",\"domain\":\"Y.example\"}"), 0);
    assert_true(json_is_true(json_object_get(result(), "kept")));
    assert_string_equal(forgotten, "y.example");
    assert_string_equal(event, "control command=sts purge uid=1000 domain=Y.example");
    assert_int_equal(ask("{\"command\":\"sts list\"}"), 0);
    assert_int_equal(json_array_size(result()), 0);
    host.facts.forget_policy = NULL; /* without a daemon */
    assert_int_equal(ask("{\"command\":\"sts purge\",\"domain\":\"y.example\"}"), 0);
    assert_true(json_is_false(json_object_get(result(), "kept")));
    assert_int_equal(ask("{\"command\":\"sts purge\",\"domain\":\"\"}"), 2);
}

/* ---- status ---- */

static void the_status_shows_breaker_and_downgrades(void **state)
{
    (void)state;
    assert_int_equal(ask("{\"command\":\"status\"}"), 0);
    assert_string_equal(text_of(result(), "breaker"), "");
    host.facts.posture = posture_new(desk.q, NULL);
    assert_int_equal(ask("{\"command\":\"status\"}"), 0);
    assert_string_equal(text_of(result(), "breaker"), "closed");
    assert_true(json_is_false(json_object_get(result(), "breaker_open")));
    assert_true(is_null(result(), "breaker_opened_at"));
    assert_int_equal(number_of(result(), "downgrades"), 0);
    for (unsigned i = 0; i < BREAKER_BOGUS_ZONES; i++) {
        char domain[40];
        snprintf(domain, sizeof domain, "zone%u.example%u", i, i);
        posture_learn_zone(host.facts.posture, domain, true, date_now());
    }
    assert_int_equal(ask("{\"command\":\"status\"}"), 0);
    assert_non_null(strstr(text_of(result(), "breaker"), "open: "));
    assert_true(json_is_true(json_object_get(result(), "breaker_open")));
    assert_int_equal(strlen(text_of(result(), "breaker_opened_at")), 20);
    posture_free(host.facts.posture);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, commands_setup, commands_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_exception_is_set_listed_and_taken_back),
        TEST(an_exception_ends_when_it_was_said_to),
        TEST(an_exception_says_what_it_replaces),
        TEST(exceptions_that_cannot_be_are_refused),
        TEST(in_a_dry_run_the_guarantee_is_off_and_its_level_is_kept),
        TEST(any_other_level_ends_a_dry_run),
        TEST(what_was_tried_out_begins_anew_when_it_is_meant),
        TEST(dry_runs_that_cannot_be_are_wrong_usage),
        TEST(findings_of_a_dry_run_are_listed),
        TEST(a_user_without_findings_has_an_empty_list),
        TEST(receipts_are_switched_on_and_off),
        TEST(what_failed_authentication_is_listed_with_its_key),
        TEST(what_hosts_were_seen_to_do_is_listed),
        TEST(policies_are_listed_as_they_bind),
        TEST(a_purged_policy_is_forgotten_in_memory_too),
        TEST(the_status_shows_breaker_and_downgrades),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
