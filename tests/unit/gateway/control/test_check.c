#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "tests/support/command_desk.h"

/* The daemon's side: remembers what it is asked for, and shows what the test wants seen. */
static struct {
    char domain[DOMAIN_SIZE];
    enum level level;
    control_viewed *viewed;
    void *asker;
    const struct control_view *view;
    bool is_busy;
    bool is_slow; /* the view comes when the test says so */
    unsigned cancelled;
} daemon_side;

static void show(void *argument)
{
    (void)argument;
    daemon_side.viewed(daemon_side.asker, daemon_side.view);
}

static void *look(void *context, const char *domain, enum level level, control_viewed *viewed,
                  void *asker)
{
    assert_ptr_equal(context, &daemon_side);
    if (daemon_side.is_busy)
        return NULL;
    assert_true(slice_copy(slice_of(domain), daemon_side.domain, sizeof daemon_side.domain));
    daemon_side.level = level;
    daemon_side.viewed = viewed;
    daemon_side.asker = asker;
    if (!daemon_side.is_slow)
        desk.poster.post(desk.poster.context, show, NULL);
    return &daemon_side;
}

static void cancel_look(void *context, void *handle)
{
    assert_ptr_equal(context, &daemon_side);
    assert_ptr_equal(handle, &daemon_side);
    daemon_side.cancelled++;
}

static const struct control_view deliverable = {.verdict = "deliverable", .level = "none"};

static int setup(void **state)
{
    memset(&daemon_side, 0, sizeof daemon_side);
    daemon_side.view = &deliverable;
    int rc = commands_setup(state);
    host.facts.look = look;
    host.facts.cancel_look = cancel_look;
    host.facts.context = &daemon_side;
    return rc;
}

static void an_address_and_a_domain_in_any_spelling_are_looked_at(void **state)
{
    static const struct {
        const char *domain;
        const char *want;
    } cases[] = {
        {"y.example", "y.example"},
        {"Y.Example.", "y.example"},
        {"bob@y.example", "y.example"},
        {"\\\"a@b\\\"@y.example", "y.example"},
        {"b\xc3\xbc"
         "cher.example",
         "xn--bcher-kva.example"},
        {"bob@B\xc3\x9c"
         "CHER.example",
         "xn--bcher-kva.example"},
        {"[192.0.2.1]", "[192.0.2.1]"},
        {"bob@[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(askf("{\"command\":\"check\",\"domain\":\"%\"}", cases[i].domain), 0);
        assert_string_equal(daemon_side.domain, cases[i].want);
        assert_string_equal(text_of(result(), "domain"), cases[i].want);
    }
    assert_int_equal(daemon_side.level, LEVEL_ENCRYPT);
    assert_string_equal(event, ""); /* it changes nothing */
}

static void what_is_no_domain_or_level_is_wrong_usage(void **state)
{
    static const char *const requests[] = {
        "{\"command\":\"check\"}",
        "{\"command\":\"check\",\"domain\":\"\"}",
        "{\"command\":\"check\",\"domain\":\"bob@\"}",
        "{\"command\":\"check\",\"domain\":\"@y.example\"}",
        "{\"command\":\"check\",\"domain\":\"y..example\"}",
        "{\"command\":\"check\",\"domain\":\"192.0.2.1\"}",
        "{\"command\":\"check\",\"domain\":\"[192.0.2.256]\"}",
        "{\"command\":\"check\",\"domain\":\"y.example\",\"level\":\"off\"}",
        "{\"command\":\"check\",\"domain\":\"y.example\",\"level\":\"dane\"}",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(requests); i++)
        assert_int_equal(ask(requests[i]), 2);
    assert_string_equal(daemon_side.domain, "");
}

static void without_a_daemon_or_room_the_answer_is_temporary(void **state)
{
    (void)state;
    daemon_side.is_busy = true;
    assert_int_equal(ask("{\"command\":\"check\",\"domain\":\"y.example\"}"), 75);
    host.facts.look = NULL;
    assert_int_equal(ask("{\"command\":\"check\",\"domain\":\"y.example\"}"), 75);
}

static void a_reload_that_comes_between_is_temporary(void **state)
{
    (void)state;
    daemon_side.view = NULL;
    assert_int_equal(ask("{\"command\":\"check\",\"domain\":\"y.example\"}"), 75);
    assert_non_null(strstr(error_text(), "reloaded"));
}

static void nothing_found_leaves_no_hosts_and_a_reason(void **state)
{
    const struct outcome none = outcome_local(status_make(5, 1, 2), "no such domain");
    struct control_view view = {.verdict = "refused", .level = "none", .outcome = &none};
    (void)state;
    daemon_side.view = &view;
    assert_int_equal(ask("{\"command\":\"check\",\"domain\":\"y.example\",\"level\":\"verified\"}"),
                     0);
    assert_int_equal(daemon_side.level, LEVEL_VERIFIED);
    assert_string_equal(text_of(result(), "verdict"), "refused");
    assert_string_equal(text_of(result(), "level"), "none");
    assert_string_equal(text_of(result(), "asked_level"), "verified");
    assert_string_equal(text_of(result(), "reason"), "5.1.2 no such domain");
    assert_true(json_is_array(json_object_get(result(), "hosts")));
    assert_int_equal(json_array_size(json_object_get(result(), "hosts")), 0);
}

static json_t *member(size_t host_index, const char *key)
{
    return json_object_get(json_array_get(json_object_get(result(), "hosts"), host_index), key);
}

/* A member as text: "null", "true", "25", "\"mx\"". */
static const char *shown(size_t host_index, const char *key)
{
    static char out[200];
    size_t len = json_dumpb(member(host_index, key), out, sizeof out - 1, JSON_ENCODE_ANY);
    assert_in_range(len, 1, sizeof out - 1);
    out[len] = '\0';
    return out;
}

static void what_each_host_showed_is_told_in_pinned_words(void **state)
{
    const struct guarantee_host facts[] = {
        {.name = "mx1.y.example",
         .address = "192.0.2.9",
         .port = 25,
         .preference = 10,
         .at = 1795361330,
         .contact = GUARANTEE_IN_CONTACT,
         .tls = GUARANTEE_TLS_ESTABLISHED,
         .protocol = "TLSv1.3",
         .cipher = "TLS_AES_128_GCM_SHA256",
         .tlsa = GUARANTEE_TLSA_USABLE,
         .sts = GUARANTEE_STS_COVERS,
         .offers_requiretls = true},
        {.name = "mx2.y.example",
         .address = "2001:db8::9",
         .port = 25,
         .preference = 20,
         .contact = GUARANTEE_IN_CONTACT,
         .tls = GUARANTEE_TLS_NOT_OFFERED,
         .protocol = "",
         .cipher = "",
         .is_local_route = true,
         .sts = GUARANTEE_STS_UNKNOWN,
         .sts_detail = "HTTP 503"},
        {.name = "mx3.y.example", .address = "", .tlsa = GUARANTEE_TLSA_ERROR},
        {.name = "mx4.y.example",
         .address = "192.0.2.10",
         .contact = GUARANTEE_IN_CONTACT,
         .tls = GUARANTEE_TLS_REFUSED,
         .tlsa = GUARANTEE_TLSA_UNUSABLE,
         .sts = GUARANTEE_STS_EXCLUDES},
        {.name = "mx5.y.example",
         .address = "192.0.2.11",
         .contact = GUARANTEE_NO_CONTACT,
         .sts = GUARANTEE_STS_TESTING},
    };
    const struct outcome why = outcome_local(status_make(5, 7, 4), "no TLS here");
    const struct control_sight sights[] = {
        {.facts = &facts[0],
         .verified = GUARANTEE_VERIFIED_DANE,
         .key_exchange = "X25519",
         .key_digest = "00ff"},
        {.facts = &facts[1], .why = &why, .is_tlsa_insecure = true},
        {.facts = &facts[2], .why = &why, .verified = GUARANTEE_VERIFIED_NO},
        {.facts = &facts[3], .why = &why, .verified = GUARANTEE_VERIFIED_STS},
        {.facts = &facts[4], .why = &why, .verified = GUARANTEE_VERIFIED_PKIX},
    };
    const struct control_view view = {.verdict = "deliverable",
                                      .level = "dane",
                                      .required = "a valid certificate, by our policy",
                                      .sights = sights,
                                      .count = COUNT_OF(sights)};
    static const struct {
        size_t host;
        const char *key;
        const char *want;
    } cases[] = {
        {0, "host", "\"mx1.y.example\""},
        {0, "preference", "10"},
        {0, "address", "\"192.0.2.9\""},
        {0, "port", "25"},
        {0, "at", "\"2026-11-22T15:28:50Z\""},
        {0, "reachable", "true"},
        {0, "starttls", "true"},
        {0, "protocol", "\"TLSv1.3\""},
        {0, "cipher", "\"TLS_AES_128_GCM_SHA256\""},
        {0, "key_exchange", "\"X25519\""},
        {0, "key_digest", "\"00ff\""},
        {0, "tlsa", "\"usable\""},
        {0, "sts", "\"covered\""},
        {0, "verified", "\"dane\""},
        {0, "requiretls", "true"},
        {0, "local_route", "false"},
        {0, "acceptable", "true"},
        {0, "error", "null"},
        {1, "address", "\"2001:db8::9\""},
        {1, "at", "null"},
        {1, "reachable", "true"},
        {1, "starttls", "false"},
        {1, "protocol", "null"},
        {1, "cipher", "null"},
        {1, "key_exchange", "null"},
        {1, "tlsa", "\"insecure\""},
        {1, "sts", "\"unknown\""},
        {1, "sts_error", "\"HTTP 503\""},
        {1, "sts_under_enforce", "null"},
        {1, "local_route", "true"},
        {1, "verified", "\"no\""},
        {1, "acceptable", "false"},
        {1, "error", "\"5.7.4 no TLS here\""},
        {2, "address", "null"},
        {2, "reachable", "false"},
        {2, "starttls", "false"},
        {2, "tlsa", "\"error\""},
        {2, "sts", "\"none\""},
        {3, "starttls", "true"}, /* offered, then refused */
        {3, "tlsa", "\"unusable\""},
        {3, "sts", "\"excluded\""},
        {3, "verified", "\"sts\""},
        {4, "reachable", "false"},
        {4, "tlsa", "\"none\""},
        {4, "sts", "\"testing\""},
        {4, "sts_under_enforce",
         "\"5.7.5 Server certificate not verified: host mx5.y.example[192.0.2.11] is not in the "
         "MTA-STS policy "
         "of the recipient's domain\""},
        {4, "verified", "\"pkix\""},
    };
    (void)state;
    daemon_side.view = &view;
    assert_int_equal(ask("{\"command\":\"check\",\"domain\":\"y.example\"}"), 0);
    assert_string_equal(text_of(result(), "verdict"), "deliverable");
    assert_string_equal(text_of(result(), "level"), "dane");
    assert_true(json_is_null(json_object_get(result(), "reason")));
    assert_string_equal(text_of(result(), "required"), "a valid certificate, by our policy");
    assert_int_equal(json_array_size(json_object_get(result(), "hosts")), COUNT_OF(sights));
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        if (strcmp(shown(cases[i].host, cases[i].key), cases[i].want) != 0)
            fail_msg("host %zu: %s is %s", cases[i].host, cases[i].key,
                     shown(cases[i].host, cases[i].key));
    }
}

static void who_leaves_ends_the_look(void **state)
{
    bool has_progress = false;
    (void)state;
    daemon_side.is_slow = true;
    struct command *c =
        command_start(&host, SLICE("{\"command\":\"check\",\"domain\":\"y.example\"}"), 0,
                      note_progress, &has_progress);
    desk_run(&desk);
    assert_string_equal(daemon_side.domain, "y.example");
    assert_int_equal(daemon_side.cancelled, 0);
    command_free(c);
    assert_int_equal(daemon_side.cancelled, 1);
    assert_int_equal(host.count, 0);
    assert_false(has_progress);
}

static void a_look_that_is_over_is_not_cancelled(void **state)
{
    bool has_progress = false;
    (void)state;
    struct command *c =
        command_start(&host, SLICE("{\"command\":\"check\",\"domain\":\"y.example\"}"), 0,
                      note_progress, &has_progress);
    assert_true(desk_wait_for(&desk, &has_progress, 10000));
    assert_true(command_is_over(c));
    command_free(c);
    assert_int_equal(daemon_side.cancelled, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, commands_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_address_and_a_domain_in_any_spelling_are_looked_at),
        TEST(what_is_no_domain_or_level_is_wrong_usage),
        TEST(without_a_daemon_or_room_the_answer_is_temporary),
        TEST(a_reload_that_comes_between_is_temporary),
        TEST(nothing_found_leaves_no_hosts_and_a_reason),
        TEST(what_each_host_showed_is_told_in_pinned_words),
        TEST(who_leaves_ends_the_look),
        TEST(a_look_that_is_over_is_not_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
