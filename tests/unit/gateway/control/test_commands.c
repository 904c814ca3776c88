#include "gateway/control/commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/tls/scram.h"
#include "mail/date.h"
#include "mail/id.h"
#include "queue/room.h"
#include "tests/support/command_desk.h"

static struct queue_account account(void)
{
    struct queue_account a = {0};
    struct address alice = address_of("alice@site.example");
    assert_int_equal(queue_account_find(desk.q, &alice, &a), 0);
    return a;
}

/* ---- users ---- */

static bool password_fits(const char *address, const char *password)
{
    struct queue_account a = {0};
    struct address parsed = address_of(address);
    assert_int_equal(queue_account_find(desk.q, &parsed, &a), 0);
    struct scram_keys keys = {.iterations = a.sha256.iterations,
                              .salt_len = a.sha256.salt_len,
                              .key_len = a.sha256.key_len};
    memcpy(keys.salt, a.sha256.salt, sizeof a.sha256.salt);
    memcpy(keys.stored_key, a.sha256.stored_key, sizeof keys.stored_key);
    bool fits = scram_matches(SCRAM_SHA256, slice_of(password), &keys);
    queue_account_clear(&a);
    return fits;
}

static void a_user_is_added_with_a_verifier_of_his_password(void **state)
{
    (void)state;
    add_alice();
    assert_string_equal(text_of(result(), "address"), "Alice@site.example");
    assert_string_equal(text_of(result(), "guarantee"), "off");
    assert_string_equal(text_of(result(), "language"), "en");
    assert_true(json_is_null(json_object_get(result(), "guarantee_until")));
    assert_int_equal(json_array_size(json_object_get(result(), "aliases")), 0);
    assert_true(password_fits("alice@SITE.example", "secret"));
    assert_false(password_fits("alice@site.example", "Secret"));
    assert_string_equal(event, "control command=user add uid=1000 user=alice@site.example");
}

static void sha1_verifiers_are_made_where_they_are_configured(void **state)
{
    struct queue_account a = {0};
    struct address alice = address_of("alice@site.example");
    (void)state;
    add_alice();
    assert_int_equal(queue_account_find(desk.q, &alice, &a), 0);
    assert_int_equal(a.sha1.iterations, 0);
    queue_account_clear(&a);
    host.facts.keeps_sha1 = true;
    assert_int_equal(ask("{\"command\":\"user set\",\"address\":\"alice@site.example\","
                         "\"password\":\"other\"}"),
                     0);
    assert_int_equal(queue_account_find(desk.q, &alice, &a), 0);
    assert_int_equal(a.sha1.key_len, 20);
    assert_true(a.sha1.iterations > 0);
    queue_account_clear(&a);
    assert_true(password_fits("alice@site.example", "other"));
}

static void users_that_cannot_be_are_refused(void **state)
{
    static const struct {
        const char *request;
        int want;
        const char *words;
    } cases[] = {
        {"{\"command\":\"user add\",\"address\":\"alice@site.example\",\"password\":\"x\"}", 1,
         "already"},
        {"{\"command\":\"user add\",\"address\":\"other@site.example\",\"password\":\"x\"}", 1,
         "already"},
        {"{\"command\":\"user add\",\"address\":\"new@site.example\",\"password\":\"\"}", 1,
         "empty"},
        {"{\"command\":\"user add\",\"address\":\"new@site.example\",\"password\":\"forbidden\"}",
         1, "no password may have"},
        {"{\"command\":\"user add\",\"address\":\"new@site.example\"}", 2, "needs a password"},
        {"{\"command\":\"user add\",\"address\":\"nonsense\",\"password\":\"x\"}", 2,
         "no mail address"},
        {"{\"command\":\"user add\",\"password\":\"x\"}", 2, "missing"},
        {"{\"command\":\"user add\",\"address\":\"new@site.example\",\"password\":\"x\","
         "\"language\":\"fr\"}",
         2, "de or en"},
        {"{\"command\":\"user set\",\"address\":\"alice@site.example\",\"hold_back\":\"8d\"}", 2,
         "7d"},
        {"{\"command\":\"user set\",\"address\":\"alice@site.example\",\"hold_back\":\"soon\"}", 2,
         "7d"},
        {"{\"command\":\"user set\",\"address\":\"alice@site.example\"}", 2, "nothing to set"},
        {"{\"command\":\"user set\",\"address\":\"x@site.example\",\"language\":\"de\"}", 1,
         "no such user"},
        {"{\"command\":\"user set\",\"address\":\"x@site.example\",\"password\":\"x\"}", 1,
         "no such user"},
        {"{\"command\":\"user show\",\"address\":\"x@site.example\"}", 1, "no such user"},
        {"{\"command\":\"user remove\",\"address\":\"x@site.example\"}", 1, "no such user"},
        {"{\"command\":\"user remove\",\"address\":\"other@site.example\"}", 1, "no such user"},
        {"{\"command\":\"user alias\",\"address\":\"x@site.example\",\"alias\":\"y@site.example\"}",
         1, "no such user"},
        {"{\"command\":\"user alias\",\"address\":\"alice@site.example\",\"alias\":"
         "\"OTHER@site.example\"}",
         1, "already"},
        {"{\"command\":\"user unalias\",\"address\":\"alice@site.example\",\"alias\":"
         "\"y@site.example\"}",
         1, "no alias of"},
        {"{\"command\":\"user unalias\",\"address\":\"x@site.example\",\"alias\":"
         "\"y@site.example\"}",
         1, "no such user"},
        {"{\"command\":\"user frobnicate\"}", 2, "no such command"},
        {"{}", 2, "no such command"},
        {"[]", 2, "no such command"},
        {"no json", 2, "no such command"},
        {"", 2, "no such command"},
        {"{\"command\":7}", 2, "no such command"},
    };
    (void)state;
    add_alice();
    assert_int_equal(ask("{\"command\":\"user alias\",\"address\":\"alice@site.example\","
                         "\"alias\":\"other@site.example\"}"),
                     0);
    event[0] = '\0';
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(ask(cases[i].request), cases[i].want);
        assert_non_null(strstr(error_text(), cases[i].words));
    }
    assert_string_equal(event, "");
    host.facts.prepare_password = NULL;
    assert_int_equal(ask(cases[0].request), 75);
}

static void set_changes_what_is_named_and_nothing_else(void **state)
{
    struct queue_account a = {0};
    struct address alice = address_of("alice@site.example");
    (void)state;
    add_alice();
    assert_int_equal(ask("{\"command\":\"guarantee\",\"address\":\"alice@site.example\","
                         "\"level\":\"verified\"}"),
                     0);
    assert_int_equal(ask("{\"command\":\"user alias\",\"address\":\"alice@site.example\","
                         "\"alias\":\"other@site.example\"}"),
                     0);
    assert_int_equal(ask("{\"command\":\"user set\",\"address\":\"other@site.example\","
                         "\"language\":\"de\",\"hold_back\":\"30s\"}"),
                     0);
    assert_string_equal(text_of(result(), "language"), "de");
    assert_int_equal(json_integer_value(json_object_get(result(), "hold_back_seconds")), 30);
    assert_string_equal(text_of(result(), "guarantee"), "verified");
    assert_int_equal(json_array_size(json_object_get(result(), "aliases")), 1);
    assert_true(password_fits("alice@site.example", "secret"));
    assert_int_equal(queue_account_find(desk.q, &alice, &a), 0);
    assert_int_equal(a.hold_back_ms, 30000);
    queue_account_clear(&a);
}

static void users_are_listed_and_removed(void **state)
{
    (void)state;
    assert_int_equal(ask("{\"command\":\"user list\"}"), 0);
    assert_int_equal(json_array_size(result()), 0);
    assert_string_equal(event, ""); /* only changes are logged */
    add_alice();
    assert_int_equal(ask("{\"command\":\"user add\",\"address\":\"bob@b\xc3\xbc"
                         "cher.example\","
                         "\"password\":\"x\"}"),
                     0);
    assert_int_equal(ask("{\"command\":\"user list\"}"), 0);
    assert_int_equal(json_array_size(result()), 2);
    assert_string_equal(text_of(json_array_get(result(), 1), "address"),
                        "bob@xn--bcher-kva.example");
    assert_int_equal(ask("{\"command\":\"user remove\",\"address\":\"Bob@xn--bcher-kva.example\"}"),
                     0);
    assert_int_equal(ask("{\"command\":\"user list\"}"), 0);
    assert_int_equal(json_array_size(result()), 1);
    assert_int_equal(ask("{\"command\":\"user unalias\",\"address\":\"alice@site.example\","
                         "\"alias\":\"other@site.example\"}"),
                     1);
}

/* Two that change the same account at the same time: neither is lost. */
static void changes_of_one_account_do_not_undo_each_other(void **state)
{
    bool has_progress[2] = {false, false};
    (void)state;
    add_alice();
    struct command *c[2] = {
        command_start(&host,
                      SLICE("{\"command\":\"user set\",\"address\":\"alice@site.example\","
                            "\"language\":\"de\"}"),
                      0, note_progress, &has_progress[0]),
        command_start(&host,
                      SLICE("{\"command\":\"guarantee\",\"address\":\"alice@site.example\","
                            "\"level\":\"on\"}"),
                      0, note_progress, &has_progress[1]),
    };
    assert_true(desk_wait_for(&desk, &has_progress[0], 10000));
    assert_true(desk_wait_for(&desk, &has_progress[1], 10000));
    command_free(c[0]);
    command_free(c[1]);
    assert_int_equal(ask("{\"command\":\"user show\",\"address\":\"alice@site.example\"}"), 0);
    assert_string_equal(text_of(result(), "language"), "de");
    assert_string_equal(text_of(result(), "guarantee"), "encrypt");
}

static void who_leaves_before_the_answer_makes_room_for_the_next(void **state)
{
    bool has_progress[3] = {false, false, false};
    struct command *c[3];
    (void)state;
    add_alice();
    for (size_t i = 0; i < 3; i++)
        c[i] = command_start(&host,
                             i == 2 ? SLICE("{\"command\":\"guarantee\",\"address\":"
                                            "\"alice@site.example\",\"level\":\"on\"}")
                                    : SLICE("{\"command\":\"user set\",\"address\":"
                                            "\"alice@site.example\",\"language\":\"de\"}"),
                             0, note_progress, &has_progress[i]);
    desk_run(&desk); /* the first has the turn, the others wait for it, or are to come to it */
    command_free(c[1]);
    command_free(c[0]);
    assert_true(desk_wait_for(&desk, &has_progress[2], 10000));
    assert_true(command_is_over(c[2]));
    command_free(c[2]);
    struct queue_account a = account();
    assert_int_equal(a.level, LEVEL_ENCRYPT);
    queue_account_clear(&a);
}

static void without_resources_for_slow_work_the_answer_is_temporary(void **state)
{
    (void)state;
    host.job_context = &host;
    assert_int_equal(ask("{\"command\":\"user list\"}"), 75);
    assert_int_equal(
        ask("{\"command\":\"user add\",\"address\":\"a@x.example\",\"password\":\"x\"}"), 75);
}

/* ---- the guarantee ---- */

static int guarantee(const char *rest)
{
    char request[256];
    snprintf(request, sizeof request,
             "{\"command\":\"guarantee\",\"address\":\"alice@site.example\",%s}", rest);
    return ask(request);
}

static void the_flag_is_set_and_taken_back(void **state)
{
    static const struct {
        const char *rest;
        const char *want;
    } cases[] = {
        {"\"level\":\"on\"", "encrypt"},       {"\"level\":\"verified\"", "verified"},
        {"\"level\":\"off\"", "off"},          {"\"level\":\"encrypt\"", "encrypt"},
        {"\"level\":\"default\"", "verified"},
    };
    (void)state;
    host.facts.default_level = LEVEL_VERIFIED;
    add_alice();
    assert_string_equal(text_of(result(), "guarantee"), "verified");
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(guarantee(cases[i].rest), 0);
        assert_string_equal(text_of(result(), "guarantee"), cases[i].want);
        assert_true(json_is_null(json_object_get(result(), "guarantee_until")));
        assert_true(json_is_false(json_object_get(result(), "guarantee_locked")));
    }
}

static void a_flag_is_logged_by_the_name_of_its_level(void **state)
{
    static const struct {
        const char *rest;
        const char *want;
    } cases[] = {
        {"\"level\":\"on\"", "encrypt"},
        {"\"level\":\"on\",\"for\":\"30m\",\"locked\":true", "encrypt for 30m, locked"},
        {"\"level\":\"verified\"", "verified, not locked any more"},
        {"\"level\":\"off\"", "off"},
        {"\"level\":\"default\"", "default"},
    };
    char want[200];
    (void)state;
    add_alice();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(guarantee(cases[i].rest), 0);
        snprintf(want, sizeof want,
                 "control command=guarantee uid=1000 user=alice@site.example level=%s",
                 cases[i].want);
        assert_string_equal(event, want);
    }
}

static void a_flag_for_a_while_returns_to_what_held_for_good(void **state)
{
    (void)state;
    add_alice();
    assert_int_equal(guarantee("\"level\":\"on\",\"locked\":true"), 0);
    assert_true(json_is_true(json_object_get(result(), "guarantee_locked")));
    assert_int_equal(guarantee("\"level\":\"off\",\"for\":\"30m\""), 0);
    assert_string_equal(text_of(result(), "guarantee"), "off");
    assert_int_equal(strlen(text_of(result(), "guarantee_until")), 20);
    assert_non_null(strstr(event, "level=off for 30m"));
    /* A second one replaces the first, not what comes back. */
    assert_int_equal(guarantee("\"level\":\"verified\",\"for\":\"1h\""), 0);
    struct queue_account a = account();
    int64_t later = date_now() + 3700;
    bool is_locked;
    assert_int_equal(queue_account_level(&a, LEVEL_OFF, date_now(), NULL, &is_locked),
                     LEVEL_VERIFIED);
    assert_true(is_locked);
    assert_int_equal(queue_account_level(&a, LEVEL_OFF, later, NULL, &is_locked), LEVEL_ENCRYPT);
    assert_true(is_locked);
    assert_in_range(a.level_until, date_now() + 3595, date_now() + 3600);
    queue_account_clear(&a);
    /* And one without --for is for good. */
    assert_int_equal(guarantee("\"level\":\"off\""), 0);
    a = account();
    assert_int_equal(queue_account_level(&a, LEVEL_ENCRYPT, later, NULL, NULL), LEVEL_OFF);
    queue_account_clear(&a);
}

static void a_flag_for_a_while_returns_to_a_dry_run_and_is_none_itself(void **state)
{
    struct desk_answer stored = {0};
    (void)state;
    add_alice();
    assert_int_equal(guarantee("\"level\":\"verified\""), 0);
    struct queue_account a = account();
    a.is_dry_run = true;
    queue_account_put(desk.q, &a, false, &desk.poster, desk_done, &stored);
    assert_int_equal(desk_wait(&desk, &stored), 0);
    queue_account_clear(&a);
    assert_int_equal(guarantee("\"level\":\"on\",\"for\":\"30m\""), 0);
    a = account();
    assert_false(queue_account_flag(&a, LEVEL_OFF, date_now()).is_dry_run);
    struct queue_flag later = queue_account_flag(&a, LEVEL_OFF, date_now() + 1900);
    assert_int_equal(later.level, LEVEL_VERIFIED);
    assert_true(later.is_dry_run);
    queue_account_clear(&a);
    /* For good means for good. */
    assert_int_equal(guarantee("\"level\":\"on\""), 0);
    a = account();
    assert_false(queue_account_flag(&a, LEVEL_OFF, date_now() + 1900).is_dry_run);
    queue_account_clear(&a);
}

static void a_flag_for_a_while_returns_to_the_default_where_there_was_none(void **state)
{
    (void)state;
    add_alice();
    assert_int_equal(guarantee("\"level\":\"on\",\"for\":\"30m\""), 0);
    struct queue_account a = account();
    int64_t later = date_now() + 3700;
    assert_int_equal(queue_account_level(&a, LEVEL_VERIFIED, later, NULL, NULL), LEVEL_VERIFIED);
    queue_account_clear(&a);
}

/* Who may not lower his flag may not do so because it was raised for a while. */
static void a_lock_that_holds_lasts_through_a_flag_for_a_while(void **state)
{
    static const struct {
        const char *good, *first, *second;
        bool is_locked, is_locked_after;
    } cases[] = {
        {"\"level\":\"on\",\"locked\":true", "\"level\":\"verified\",\"for\":\"1h\"", NULL, true,
         true},
        {"\"level\":\"on\",\"locked\":true", "\"level\":\"off\",\"for\":\"1h\"",
         "\"level\":\"dry-run\",\"for\":\"1h\"", true, true},
        {"\"level\":\"on\"", "\"level\":\"verified\",\"for\":\"1h\"", NULL, false, false},
        {"\"level\":\"on\"", "\"level\":\"verified\",\"for\":\"1h\",\"locked\":true", NULL, true,
         false},
        {"\"level\":\"on\"", "\"level\":\"verified\",\"for\":\"1h\",\"locked\":true",
         "\"level\":\"on\",\"for\":\"1h\"", true, false},
    };
    (void)state;
    add_alice();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(guarantee(cases[i].good), 0);
        assert_int_equal(guarantee(cases[i].first), 0);
        if (cases[i].second)
            assert_int_equal(guarantee(cases[i].second), 0);
        assert_true(json_is_false(json_object_get(result(), "lock_removed")));
        struct queue_account a = account();
        assert_int_equal(queue_account_flag(&a, LEVEL_OFF, date_now()).is_locked,
                         cases[i].is_locked);
        assert_int_equal(queue_account_flag(&a, LEVEL_OFF, date_now() + 3700).is_locked,
                         cases[i].is_locked_after);
        queue_account_clear(&a);
    }
}

static void a_lock_that_is_taken_away_is_told(void **state)
{
    static const struct {
        const char *before, *rest;
        bool is_told;
    } cases[] = {
        {"\"level\":\"on\",\"locked\":true", "\"level\":\"on\"", true},
        {"\"level\":\"on\",\"locked\":true", "\"level\":\"default\"", true},
        {"\"level\":\"on\",\"locked\":true", "\"level\":\"verified\",\"locked\":true", false},
        {"\"level\":\"on\",\"for\":\"1h\",\"locked\":true", "\"level\":\"off\"", true},
        {"\"level\":\"on\"", "\"level\":\"verified\"", false},
        {"\"level\":\"default\"", "\"level\":\"on\"", false},
    };
    (void)state;
    add_alice();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(guarantee(cases[i].before), 0);
        assert_int_equal(guarantee(cases[i].rest), 0);
        if (json_is_true(json_object_get(result(), "lock_removed")) != cases[i].is_told)
            fail_msg("%s, then %s", cases[i].before, cases[i].rest);
        assert_int_equal(strstr(event, "not locked any more") != NULL, cases[i].is_told);
    }
    assert_int_equal(ask("{\"command\":\"user show\",\"address\":\"alice@site.example\"}"), 0);
    assert_null(json_object_get(result(), "lock_removed"));
}

static void the_same_level_again_does_not_begin_anew(void **state)
{
    (void)state;
    add_alice();
    assert_int_equal(guarantee("\"level\":\"on\""), 0);
    struct queue_account a = account();
    struct desk_answer put = {0};
    a.level_since = 1000;
    queue_account_put(desk.q, &a, false, &desk.poster, desk_done, &put);
    assert_int_equal(desk_wait(&desk, &put), 0);
    queue_account_clear(&a);
    assert_int_equal(guarantee("\"level\":\"on\",\"locked\":true"), 0);
    assert_string_equal(text_of(result(), "guarantee_since"), "1970-01-01T00:16:40Z");
    assert_int_equal(guarantee("\"level\":\"verified\""), 0);
    assert_string_not_equal(text_of(result(), "guarantee_since"), "1970-01-01T00:16:40Z");
}

static void a_user_is_shown_with_whose_level_it_is_and_what_comes_back(void **state)
{
    (void)state;
    host.facts.default_level = LEVEL_VERIFIED;
    add_alice();
    assert_true(json_is_false(json_object_get(result(), "guarantee_own")));
    assert_true(json_is_null(json_object_get(result(), "guarantee_back")));
    assert_int_equal(guarantee("\"level\":\"off\",\"for\":\"30m\""), 0);
    assert_true(json_is_true(json_object_get(result(), "guarantee_own")));
    const json_t *back = json_object_get(result(), "guarantee_back");
    assert_string_equal(text_of(back, "guarantee"), "verified");
    assert_true(json_is_false(json_object_get(back, "guarantee_own")));
    assert_int_equal(guarantee("\"level\":\"dry-run\",\"locked\":true"), 0);
    assert_true(json_is_null(json_object_get(result(), "guarantee_back")));
    assert_int_equal(guarantee("\"level\":\"on\",\"for\":\"30m\""), 0);
    back = json_object_get(result(), "guarantee_back");
    assert_string_equal(text_of(back, "guarantee"), "off");
    assert_string_equal(text_of(back, "dry_run_level"), "encrypt");
    assert_true(json_is_true(json_object_get(back, "guarantee_locked")));
    assert_true(json_is_true(json_object_get(back, "guarantee_own")));
}

static void a_user_is_shown_with_exceptions_and_forwards(void **state)
{
    (void)state;
    add_alice();
    assert_int_equal(json_array_size(json_object_get(result(), "exceptions")), 0);
    assert_int_equal(json_array_size(json_object_get(result(), "forwards")), 0);
    assert_int_equal(ask("{\"command\":\"user alias\",\"address\":\"alice@site.example\","
                         "\"alias\":\"other@site.example\"}"),
                     0);
    assert_int_equal(ask("{\"command\":\"exception add\",\"user\":\"alice@site.example\","
                         "\"domain\":\"y.example\",\"until\":\"2099-12-31\"}"),
                     0);
    assert_int_equal(ask("{\"command\":\"forward add\",\"owner\":\"alice@site.example\","
                         "\"target\":\"bob@else.example\"}"),
                     0);
    assert_int_equal(ask("{\"command\":\"user show\",\"address\":\"other@site.example\"}"), 0);
    const json_t *exceptions = json_object_get(result(), "exceptions");
    const json_t *forwards = json_object_get(result(), "forwards");
    assert_int_equal(json_array_size(exceptions), 1);
    assert_string_equal(text_of(json_array_get(exceptions, 0), "domain"), "y.example");
    assert_string_equal(text_of(json_array_get(exceptions, 0), "until"), "2099-12-31T00:00:00Z");
    assert_int_equal(json_array_size(forwards), 1);
    assert_string_equal(json_string_value(json_array_get(forwards, 0)), "bob@else.example");
}

static void a_wrong_flag_is_refused(void **state)
{
    static const char *const cases[] = {
        "\"level\":\"sideways\"",
        "\"level\":\"\"",
        "\"other\":1",
        "\"level\":\"on\",\"for\":\"soon\"",
        "\"level\":\"on\",\"for\":\"0s\"",
        "\"level\":\"default\",\"for\":\"30m\"",
        "\"level\":\"default\",\"locked\":true",
    };
    (void)state;
    assert_int_equal(guarantee("\"level\":\"on\""), 1);
    add_alice();
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(guarantee(cases[i]), 2);
}

/* ---- forwards ---- */

static void forwards_are_added_listed_and_removed(void **state)
{
    static const char add[] = "{\"command\":\"forward add\",\"owner\":\"alice@site.example\","
                              "\"target\":\"bob@else.example\"}";
    static const char drop[] = "{\"command\":\"forward remove\",\"owner\":\"alice@site.example\","
                               "\"target\":\"Bob@else.example\"}";
    (void)state;
    assert_int_equal(ask(add), 1);
    assert_non_null(strstr(error_text(), "no such user"));
    add_alice();
    assert_int_equal(ask(add), 0);
    assert_int_equal(ask(add), 1);
    assert_non_null(strstr(error_text(), "already"));
    assert_int_equal(ask("{\"command\":\"forward list\"}"), 0);
    assert_int_equal(json_array_size(result()), 1);
    assert_string_equal(text_of(json_array_get(result(), 0), "owner"), "alice@site.example");
    assert_string_equal(text_of(json_array_get(result(), 0), "target"), "bob@else.example");
    assert_int_equal(ask("{\"command\":\"forward list\",\"owner\":\"ALICE@site.example\"}"), 0);
    assert_int_equal(json_array_size(result()), 1);
    assert_int_equal(ask("{\"command\":\"forward list\",\"owner\":\"x@site.example\"}"), 1);
    assert_int_equal(ask(drop), 0);
    assert_string_equal(event, "control command=forward remove uid=1000 owner=alice@site.example "
                               "to=bob@else.example");
    assert_int_equal(ask(drop), 1);
    assert_non_null(strstr(error_text(), "no forward of"));
    assert_int_equal(ask("{\"command\":\"forward list\"}"), 0);
    assert_int_equal(json_array_size(result()), 0);
    assert_int_equal(ask("{\"command\":\"forward list\",\"owner\":\"nonsense\"}"), 2);
}

/* What the store cannot say is told apart from what is not there. */
static void a_user_that_cannot_be_read_is_not_a_user_that_is_not_there(void **state)
{
#define ALICE "\"alice@site.example\""
    static const char *const cases[] = {
        "{\"command\":\"user show\",\"address\":" ALICE "}",
        "{\"command\":\"user set\",\"address\":" ALICE ",\"language\":\"de\"}",
        "{\"command\":\"user remove\",\"address\":" ALICE "}",
        "{\"command\":\"user alias\",\"address\":" ALICE ",\"alias\":\"b@site.example\"}",
        "{\"command\":\"user unalias\",\"address\":" ALICE ",\"alias\":\"b@site.example\"}",
        "{\"command\":\"guarantee\",\"address\":" ALICE ",\"level\":\"on\"}",
        "{\"command\":\"forward remove\",\"owner\":" ALICE ",\"target\":\"b@else.example\"}",
        "{\"command\":\"forward list\",\"owner\":" ALICE "}",
        "{\"command\":\"held list\",\"user\":" ALICE "}",
    };
#undef ALICE
    (void)state;
    add_alice();
    desk_damage_account(&desk, "alice@site.example");
    event[0] = '\0';
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        desk.last_event[0] = '\0';
        if (ask(cases[i]) != 75 || !strstr(error_text(), "the store says: Input/output error"))
            fail_msg("%s: got \"%s\"", cases[i], error_text());
        assert_string_equal(event, "");
        if (strstr(cases[i], "show"))
            assert_string_equal(desk.last_event, "store-damaged");
    }
}

static void a_damaged_user_is_missing_from_the_list_with_an_event(void **state)
{
    (void)state;
    add_alice();
    assert_int_equal(
        ask("{\"command\":\"user add\",\"address\":\"bob@site.example\",\"password\":\"x\"}"), 0);
    desk_damage_account(&desk, "alice@site.example");
    desk.last_event[0] = '\0';
    assert_int_equal(ask("{\"command\":\"user list\"}"), 0);
    assert_int_equal(json_array_size(result()), 1);
    assert_string_equal(text_of(json_array_get(result(), 0), "address"), "bob@site.example");
    assert_string_equal(desk.last_event, "store-damaged");
}

/* No reader finds room in the store. */
static void a_store_that_cannot_be_read_gives_no_empty_list(void **state)
{
    static struct txn *views[4096];
    static const char *const cases[] = {
        "{\"command\":\"user list\"}",
        "{\"command\":\"forward list\"}",
        "{\"command\":\"held list\",\"user\":\"alice@site.example\"}",
        "{\"command\":\"user show\",\"address\":\"alice@site.example\"}",
    };
    size_t count = 0;
    int got[COUNT_OF(cases)];
    (void)state;
    while (count < COUNT_OF(views) && (views[count] = store_view(desk.q->store)) != NULL)
        count++;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        got[i] = ask(cases[i]);
    assert_in_range(count, 1, COUNT_OF(views) - 1);
    while (count > 0)
        store_view_end(views[--count]);
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(got[i], 75);
}

/* ---- the queue ---- */

#define FIRST 1u
#define SECOND 2u

/* A message to a@, B@one.example (held, with marks on those named) and c@two.example. */
static uint64_t held_message(unsigned force_needed, unsigned release_refused)
{
    static const char *const three[] = {"a@one.example", "B@one.example", "c@two.example"};
    struct queue_recipient r[3];
    uint64_t id;
    int64_t now = date_now_ms();
    assert_int_equal(desk_queue(&desk, "alice@site.example", three, 3, 10, now, &id), 0);
    assert_int_equal(desk_take(&desk, now, r, 3), 3);
    for (size_t i = 0; i < 3; i++) {
        if (r[i].index == 2) {
            queue_give_back(desk.q, id, 2);
        } else {
            struct queue_result held =
                desk_result(&r[i], DISPOSITION_HELD, QUEUE_REPORT_FAILURE, now);
            held.is_force_needed = force_needed >> r[i].index & 1;
            held.is_release_refused = release_refused >> r[i].index & 1;
            assert_int_equal(desk_settle(&desk, &held, 1), 0);
        }
        queue_recipient_clear(&r[i]);
    }
    return id;
}

static void the_queue_is_listed_with_what_is_still_to_come(void **state)
{
    char id[ID_SIZE];
    (void)state;
    id_text(held_message(0, 0), id);
    assert_int_equal(ask("{\"command\":\"queue list\"}"), 0);
    assert_int_equal(json_array_size(result()), 1);
    const json_t *m = json_array_get(result(), 0);
    const json_t *recipients = json_object_get(m, "recipients");
    assert_string_equal(text_of(m, "id"), id);
    assert_string_equal(text_of(m, "sender"), "alice@site.example");
    assert_string_equal(text_of(m, "user"), "alice@site.example");
    assert_int_equal(json_integer_value(json_object_get(m, "size")), 10);
    assert_int_equal(strlen(text_of(m, "arrived_at")), 20);
    assert_int_equal(json_array_size(recipients), 3);
    const json_t *held = json_array_get(recipients, 0);
    const json_t *queued = json_array_get(recipients, 2);
    assert_string_equal(text_of(held, "address"), "a@one.example");
    assert_string_equal(text_of(held, "state"), "held");
    assert_string_equal(text_of(held, "reason"), "because of a test");
    assert_string_equal(text_of(held, "status"), "5.7.4");
    assert_true(json_is_null(json_object_get(held, "next_attempt_at")));
    assert_string_equal(text_of(queued, "state"), "queued");
    assert_int_equal(json_integer_value(json_object_get(queued, "attempts")), 0);
    assert_true(json_is_null(json_object_get(queued, "reason")));
    assert_int_equal(strlen(text_of(queued, "next_attempt_at")), 20);
}

/* Mail over the relay listener has no user; the flag's owner stands for it. */
static void mail_of_a_flags_owner_is_his(void **state)
{
    struct envelope e;
    struct desk_answer done = {0};
    struct queue_recipient r;
    int64_t now = date_now_ms();
    (void)state;
    struct queue_incoming *in = queue_incoming_begin(desk.q, &desk.poster);
    assert_non_null(in);
    assert_int_equal(queue_incoming_append(in, SLICE("x\r\n")), 0);
    envelope_init(&e);
    envelope_set(&e.reverse_path, "stranger@else.example");
    e.size = 3;
    envelope_set(&envelope_add(&e, "bob@one.example")->owner, "alice@site.example");
    queue_incoming_commit(in, &e, now, now, desk_done, &done);
    envelope_free(&e);
    assert_int_equal(desk_wait(&desk, &done), 0);
    assert_int_equal(desk_take(&desk, now, &r, 1), 1);
    struct queue_result held = desk_result(&r, DISPOSITION_HELD, QUEUE_REPORT_FAILURE, now);
    assert_int_equal(desk_settle(&desk, &held, 1), 0);
    queue_recipient_clear(&r);
    assert_int_equal(ask("{\"command\":\"held list\",\"user\":\"alice@site.example\"}"), 0);
    assert_int_equal(json_array_size(result()), 1);
    assert_string_equal(text_of(json_array_get(result(), 0), "sender"), "stranger@else.example");
    assert_string_equal(text_of(json_array_get(result(), 0), "user"), "alice@site.example");
}

/* A recipient that only waits for its notice is in no listing. */
static void what_has_its_end_is_not_listed(void **state)
{
    struct queue_recipient r;
    int64_t now = date_now_ms();
    (void)state;
    (void)desk_one(&desk, "a@one.example", now);
    assert_int_equal(desk_take(&desk, now, &r, 1), 1);
    struct queue_result failed = desk_result(&r, DISPOSITION_FAILED, QUEUE_REPORT_FAILURE, now);
    assert_int_equal(desk_settle(&desk, &failed, 1), 0);
    queue_recipient_clear(&r);
    assert_int_equal(ask("{\"command\":\"queue list\"}"), 0);
    assert_int_equal(json_array_size(result()), 0);
}

static void a_long_listing_comes_in_slices(void **state)
{
    char last[ID_SIZE] = "";
    (void)state;
    for (size_t i = 0; i < 250; i++)
        id_text(desk_one(&desk, "a@one.example", 1000), last);
    assert_int_equal(ask("{\"command\":\"queue list\"}"), 0);
    assert_int_equal(json_array_size(result()), 250);
    assert_string_equal(text_of(json_array_get(result(), 249), "id"), last);
    assert_true(slices >= 3);
}

static void one_message_is_shown_retried_and_removed(void **state)
{
    char id[ID_SIZE];
    struct queue_recipient r;
    int64_t now = date_now_ms();
    (void)state;
    id_text(desk_one(&desk, "a@one.example", now), id);
    assert_int_equal(desk_take(&desk, now, &r, 1), 1);
    struct queue_result deferred = desk_result(&r, DISPOSITION_DEFERRED, QUEUE_REPORT_NONE, now);
    assert_int_equal(desk_settle(&desk, &deferred, 1), 0);
    queue_recipient_clear(&r);
    assert_int_equal(askf("{\"command\":\"queue show\",\"id\":\"%\"}", id), 0);
    const json_t *shown = json_array_get(json_object_get(result(), "recipients"), 0);
    assert_string_equal(text_of(shown, "state"), "deferred");
    assert_int_equal(json_integer_value(json_object_get(shown, "attempts")), 1);
    assert_int_equal(desk_take(&desk, date_now_ms(), &r, 1), 0);
    assert_int_equal(askf("{\"command\":\"queue retry\",\"id\":\"%\"}", id), 0);
    assert_int_equal(desk_take(&desk, date_now_ms() + 1, &r, 1), 1);
    queue_give_back(desk.q, r.id, r.index);
    queue_recipient_clear(&r);
    assert_true(json_is_false(json_object_get(result(), "running"))); /* nobody tries it now */
    host.facts.started_at = date_now();
    assert_int_equal(ask("{\"command\":\"queue retry\"}"), 0);
    assert_true(json_is_null(json_object_get(result(), "id")));
    assert_true(json_is_true(json_object_get(result(), "running")));
    assert_int_equal(askf("{\"command\":\"queue remove\",\"id\":\"%\"}", id), 0);
    assert_non_null(strstr(event, id));
    static const char *const gone[] = {"queue show", "queue retry", "queue remove",
                                       "held show",  "held drop",   "release"};
    for (size_t i = 0; i < COUNT_OF(gone); i++) {
        char request[128];
        snprintf(request, sizeof request, "{\"command\":\"%s\",\"id\":\"%s\"}", gone[i], id);
        assert_int_equal(ask(request), 1);
        assert_non_null(strstr(error_text(), id));
        snprintf(request, sizeof request, "{\"command\":\"%s\",\"id\":\"no-such-id\"}", gone[i]);
        assert_int_equal(ask(request), 1);
        snprintf(request, sizeof request, "{\"command\":\"%s\"}", gone[i]);
        assert_int_equal(ask(request), strcmp(gone[i], "queue retry") == 0 ? 0 : 2);
    }
}

/* Says what stands in the way, instead of a retry that touches nothing. */
static void what_is_all_held_is_not_retried(void **state)
{
    char id[ID_SIZE], want[128];
    struct queue_recipient r;
    int64_t now = date_now_ms();
    (void)state;
    uint64_t partly = held_message(0, 0);
    id_text(partly, id);
    assert_int_equal(askf("{\"command\":\"queue retry\",\"id\":\"%\"}", id), 0);
    assert_int_equal(desk_take(&desk, now + 1000, &r, 1), 1);
    struct queue_result third = desk_result(&r, DISPOSITION_HELD, QUEUE_REPORT_FAILURE, now);
    assert_int_equal(desk_settle(&desk, &third, 1), 0);
    queue_recipient_clear(&r);
    assert_int_equal(askf("{\"command\":\"queue retry\",\"id\":\"%\"}", id), 1);
    snprintf(want, sizeof want,
             "nothing of %s waits; 3 recipients are held: see sealpostctl release", id);
    assert_string_equal(error_text(), want);
    id_text(desk_one(&desk, "a@one.example", now), id);
    assert_int_equal(desk_take(&desk, now, &r, 1), 1);
    struct queue_result one = desk_result(&r, DISPOSITION_HELD, QUEUE_REPORT_FAILURE, now);
    assert_int_equal(desk_settle(&desk, &one, 1), 0);
    queue_recipient_clear(&r);
    assert_int_equal(askf("{\"command\":\"queue retry\",\"id\":\"%\"}", id), 1);
    snprintf(want, sizeof want, "nothing of %s waits; 1 recipient is held: see sealpostctl release",
             id);
    assert_string_equal(error_text(), want);
    assert_int_equal(ask("{\"command\":\"queue retry\"}"), 0);
}

/* ---- held mail ---- */

static void held_mail_is_listed_by_user(void **state)
{
    char id[ID_SIZE];
    (void)state;
    id_text(held_message(FIRST, 0), id);
    assert_int_equal(ask("{\"command\":\"held list\"}"), 0);
    assert_int_equal(json_array_size(result()), 1);
    const json_t *m = json_array_get(result(), 0);
    const json_t *recipients = json_object_get(m, "recipients");
    assert_string_equal(text_of(m, "id"), id);
    assert_true(strcmp(text_of(m, "stopped_at"), text_of(m, "expires_at")) < 0);
    assert_int_equal(json_array_size(recipients), 2);
    assert_string_equal(text_of(json_array_get(recipients, 0), "reason"), "because of a test");
    assert_string_equal(text_of(json_array_get(recipients, 0), "status"), "5.7.4");
    assert_string_equal(text_of(json_array_get(recipients, 0), "release"), "force");
    assert_string_equal(text_of(json_array_get(recipients, 1), "release"), "allowed");
    assert_int_equal(ask("{\"command\":\"held list\",\"user\":\"ALICE@site.example\"}"), 0);
    assert_int_equal(json_array_size(result()), 1);
    assert_int_equal(ask("{\"command\":\"held list\",\"user\":\"bob\"}"), 2);
    assert_int_equal(askf("{\"command\":\"held show\",\"id\":\"%\"}", id), 0);
    const json_t *shown = json_array_get(json_object_get(result(), "recipients"), 0);
    assert_string_equal(text_of(shown, "required"), "TLS");
    assert_non_null(strstr(text_of(shown, "evidence"), "no STARTTLS"));
}

static void held_mail_of_an_alias_is_found(void **state)
{
    (void)state;
    add_alice();
    (void)held_message(0, 0);
    assert_int_equal(ask("{\"command\":\"user alias\",\"address\":\"alice@site.example\","
                         "\"alias\":\"other@site.example\"}"),
                     0);
    assert_int_equal(ask("{\"command\":\"held list\",\"user\":\"other@site.example\"}"), 0);
    assert_int_equal(json_array_size(result()), 1);
}

/* "Nothing is held" of a misspelt user would read as good news. */
static void held_mail_of_nobody_is_told_from_a_user_without_any(void **state)
{
    (void)state;
    (void)held_message(FIRST, 0); /* of alice, who is none (any more) */
    assert_int_equal(ask("{\"command\":\"held list\",\"user\":\"alice@site.example\"}"), 0);
    assert_int_equal(json_array_size(result()), 1);
    assert_int_equal(ask("{\"command\":\"held list\",\"user\":\"bob@site.example\"}"), 1);
    assert_string_equal(error_text(), "bob@site.example: no such user");
    assert_int_equal(
        ask("{\"command\":\"user add\",\"address\":\"bob@site.example\",\"password\":\"x\"}"), 0);
    assert_int_equal(ask("{\"command\":\"held list\",\"user\":\"bob@site.example\"}"), 0);
    assert_int_equal(json_array_size(result()), 0);
}

static enum queue_state state_of(uint64_t id, uint32_t index)
{
    struct queue_recipient r;
    assert_int_equal(desk_recipient(&desk, id, index, &r), 0);
    enum queue_state state = r.state;
    queue_recipient_clear(&r);
    return state;
}

static void dropped_mail_is_held_no_more(void **state)
{
    char id[ID_SIZE];
    (void)state;
    uint64_t number = held_message(0, 0);
    id_text(number, id);
    assert_int_equal(askf("{\"command\":\"held drop\",\"id\":\"%\"}", id), 0);
    assert_int_equal(state_of(number, 0), QUEUE_DISCARDED);
    assert_int_equal(askf("{\"command\":\"held drop\",\"id\":\"%\"}", id), 1);
    assert_int_equal(askf("{\"command\":\"held show\",\"id\":\"%\"}", id), 1);
    assert_non_null(strstr(error_text(), "nothing of it is held"));
    assert_int_equal(askf("{\"command\":\"queue show\",\"id\":\"%\"}", id), 0);
    assert_int_equal(json_array_size(json_object_get(result(), "recipients")), 1);
}

static void release_sends_all_that_is_held_or_those_named(void **state)
{
    char id[ID_SIZE];
    (void)state;
    uint64_t number = held_message(0, 0);
    id_text(number, id);
    assert_int_equal(
        askf("{\"command\":\"release\",\"id\":\"%\",\"recipients\":[\"b@ONE.example\"]}", id), 0);
    assert_int_equal(json_array_size(json_object_get(result(), "recipients")), 1);
    assert_string_equal(
        json_string_value(json_array_get(json_object_get(result(), "recipients"), 0)),
        "B@one.example");
    assert_true(json_is_false(json_object_get(result(), "running"))); /* nobody sends it now */
    assert_int_equal(state_of(number, 0), QUEUE_HELD);
    assert_int_equal(state_of(number, 1), QUEUE_QUEUED);
    host.facts.started_at = date_now();
    assert_int_equal(askf("{\"command\":\"release\",\"id\":\"%\",\"mode\":\"recheck\"}", id), 0);
    assert_true(json_is_true(json_object_get(result(), "running")));
    assert_int_equal(state_of(number, 0), QUEUE_QUEUED);
    assert_string_equal(text_of(result(), "mode"), "recheck");
    assert_int_equal(askf("{\"command\":\"release\",\"id\":\"%\"}", id), 1);
    assert_non_null(strstr(error_text(), "nothing of it is held"));
}

static void release_says_which_recipient_is_not_held(void **state)
{
    char id[ID_SIZE];
    (void)state;
    uint64_t number = held_message(0, 0);
    id_text(number, id);
    assert_int_equal(askf("{\"command\":\"release\",\"id\":\"%\",\"recipients\":"
                          "[\"a@one.example\",\"c@two.example\"]}",
                          id),
                     1);
    assert_non_null(strstr(error_text(), "c@two.example is not held"));
    assert_int_equal(state_of(number, 0), QUEUE_HELD);
    assert_int_equal(
        askf("{\"command\":\"release\",\"id\":\"%\",\"recipients\":[\"nonsense\"]}", id), 2);
    assert_int_equal(askf("{\"command\":\"release\",\"id\":\"%\",\"recipients\":[7]}", id), 2);
    assert_int_equal(askf("{\"command\":\"release\",\"id\":\"%\",\"mode\":\"somehow\"}", id), 2);
}

static void release_against_the_destination_needs_force(void **state)
{
    char id[ID_SIZE];
    (void)state;
    uint64_t number = held_message(FIRST, 0);
    id_text(number, id);
    assert_int_equal(askf("{\"command\":\"release\",\"id\":\"%\"}", id), 1);
    assert_non_null(strstr(error_text(), "a@one.example needs --force"));
    assert_non_null(strstr(error_text(), "because of a test"));
    assert_int_equal(state_of(number, 1), QUEUE_HELD);
    /* The other one stands in nobody's way. */
    assert_int_equal(
        askf("{\"command\":\"release\",\"id\":\"%\",\"recipients\":[\"b@one.example\"]}", id), 0);
    assert_int_equal(askf("{\"command\":\"release\",\"id\":\"%\",\"mode\":\"force\"}", id), 0);
    assert_int_equal(state_of(number, 0), QUEUE_QUEUED);
    assert_non_null(strstr(event, "reason=force"));
}

static void release_is_refused_where_a_policy_is_the_cause(void **state)
{
    static const char *const modes[] = {"", ",\"mode\":\"force\""};
    char id[ID_SIZE];
    (void)state;
    uint64_t number = held_message(FIRST, FIRST);
    id_text(number, id);
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        char request[128];
        snprintf(request, sizeof request, "{\"command\":\"release\",\"id\":\"%s\"%s}", id,
                 modes[i]);
        assert_int_equal(ask(request), 1);
        assert_non_null(strstr(error_text(), "a@one.example cannot be released"));
        assert_non_null(strstr(error_text(), "policy"));
        assert_non_null(strstr(error_text(), "REQUIRETLS"));
    }
    assert_int_equal(state_of(number, 0), QUEUE_HELD);
    assert_int_equal(askf("{\"command\":\"release\",\"id\":\"%\",\"mode\":\"recheck\"}", id), 0);
}

static void a_refusal_is_about_those_who_are_named(void **state)
{
    char id[ID_SIZE];
    (void)state;
    id_text(held_message(SECOND, FIRST), id);
    assert_int_equal(
        askf("{\"command\":\"release\",\"id\":\"%\",\"recipients\":[\"b@one.example\"]}", id), 1);
    assert_non_null(strstr(error_text(), "B@one.example needs --force"));
}

/* ---- status ---- */

static unsigned seven(void *context)
{
    (void)context;
    return 7;
}

static void all_is_well(void *context, char *out, size_t size)
{
    (void)context;
    snprintf(out, size, "ok");
}

static void status_counts_what_there_is(void **state)
{
    (void)state;
    (void)held_message(0, 0);
    assert_int_equal(ask("{\"command\":\"status\"}"), 0);
    assert_string_equal(text_of(result(), "version"), SEALPOST_VERSION);
    assert_int_equal(json_integer_value(json_object_get(result(), "queued")), 1);
    assert_int_equal(json_integer_value(json_object_get(result(), "deferred")), 0);
    assert_int_equal(json_integer_value(json_object_get(result(), "held")), 2);
    assert_int_equal(json_integer_value(json_object_get(result(), "held_without_notice")), 0);
    assert_int_equal(json_integer_value(json_object_get(result(), "connections")), 0);
    assert_int_equal(json_integer_value(json_object_get(result(), "uptime_seconds")), 0);
    host.facts.started_at = date_now() - 100;
    assert_string_equal(text_of(result(), "resolver"), "");
    host.facts.connections = seven;
    host.facts.resolver = all_is_well;
    assert_int_equal(ask("{\"command\":\"status\"}"), 0);
    assert_int_equal(json_integer_value(json_object_get(result(), "connections")), 7);
    assert_string_equal(text_of(result(), "resolver"), "ok");
    assert_in_range(json_integer_value(json_object_get(result(), "uptime_seconds")), 100, 110);
}

static void status_counts_stops_that_nobody_was_told_of(void **state)
{
    struct queue_recipient r;
    int64_t now = date_now_ms();
    (void)state;
    (void)desk_one(&desk, "a@one.example", now);
    assert_int_equal(desk_take(&desk, now, &r, 1), 1);
    struct queue_result held = desk_result(&r, DISPOSITION_HELD, QUEUE_REPORT_NONE, now);
    held.is_unnotifiable = true;
    assert_int_equal(desk_settle(&desk, &held, 1), 0);
    queue_recipient_clear(&r);
    assert_int_equal(ask("{\"command\":\"status\"}"), 0);
    assert_int_equal(json_integer_value(json_object_get(result(), "held_without_notice")), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, commands_setup, commands_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_user_is_added_with_a_verifier_of_his_password),
        TEST(sha1_verifiers_are_made_where_they_are_configured),
        TEST(users_that_cannot_be_are_refused),
        TEST(set_changes_what_is_named_and_nothing_else),
        TEST(users_are_listed_and_removed),
        TEST(changes_of_one_account_do_not_undo_each_other),
        TEST(who_leaves_before_the_answer_makes_room_for_the_next),
        TEST(without_resources_for_slow_work_the_answer_is_temporary),
        TEST(the_flag_is_set_and_taken_back),
        TEST(a_flag_is_logged_by_the_name_of_its_level),
        TEST(a_flag_for_a_while_returns_to_what_held_for_good),
        TEST(a_flag_for_a_while_returns_to_a_dry_run_and_is_none_itself),
        TEST(a_flag_for_a_while_returns_to_the_default_where_there_was_none),
        TEST(a_lock_that_holds_lasts_through_a_flag_for_a_while),
        TEST(a_lock_that_is_taken_away_is_told),
        TEST(the_same_level_again_does_not_begin_anew),
        TEST(a_user_is_shown_with_whose_level_it_is_and_what_comes_back),
        TEST(a_user_is_shown_with_exceptions_and_forwards),
        TEST(a_wrong_flag_is_refused),
        TEST(forwards_are_added_listed_and_removed),
        TEST(a_user_that_cannot_be_read_is_not_a_user_that_is_not_there),
        TEST(a_damaged_user_is_missing_from_the_list_with_an_event),
        TEST(a_store_that_cannot_be_read_gives_no_empty_list),
        TEST(the_queue_is_listed_with_what_is_still_to_come),
        TEST(what_has_its_end_is_not_listed),
        TEST(a_long_listing_comes_in_slices),
        TEST(one_message_is_shown_retried_and_removed),
        TEST(what_is_all_held_is_not_retried),
        TEST(held_mail_is_listed_by_user),
        TEST(held_mail_of_an_alias_is_found),
        TEST(held_mail_of_nobody_is_told_from_a_user_without_any),
        TEST(mail_of_a_flags_owner_is_his),
        TEST(dropped_mail_is_held_no_more),
        TEST(release_sends_all_that_is_held_or_those_named),
        TEST(release_says_which_recipient_is_not_held),
        TEST(release_against_the_destination_needs_force),
        TEST(release_is_refused_where_a_policy_is_the_cause),
        TEST(a_refusal_is_about_those_who_are_named),
        TEST(status_counts_what_there_is),
        TEST(status_counts_stops_that_nobody_was_told_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
