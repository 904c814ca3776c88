/* Probes are the test's own: they find what it says, when it says so. */
#include "gateway/checks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static struct {
    struct probe_options last; /* as the probe that was made last was told */
    unsigned begun, cancelled;
    bool has_no_resources;
    unsigned viewed;
    bool was_told_nothing;
    struct control_view view;
    struct control_sight sights[2];
    void *asker;
} scene;

struct probe *__wrap_probe_new(const struct probe_options *o);
struct probe *__wrap_probe_new(const struct probe_options *o)
{
    static char probe;
    if (scene.has_no_resources)
        return NULL;
    scene.last = *o;
    scene.begun++;
    return (struct probe *)(void *)&probe;
}

void __wrap_probe_cancel(struct probe *p);
void __wrap_probe_cancel(struct probe *p)
{
    assert_non_null(p);
    scene.cancelled++;
}

static void viewed(void *asker, const struct control_view *view)
{
    scene.viewed++;
    scene.asker = asker;
    scene.was_told_nothing = !view;
    if (!view)
        return;
    scene.view = *view;
    memcpy(scene.sights, view->sights, view->count * sizeof *view->sights);
}

static struct check *begin(struct checks *c, void *asker)
{
    struct probe_options look = {.domain = "a.example", .level = LEVEL_ENCRYPT};
    return checks_begin(c, &look, viewed, asker);
}

static int clear(void **state)
{
    (void)state;
    memset(&scene, 0, sizeof scene);
    return 0;
}

static void only_so_many_are_under_way_at_once(void **state)
{
    struct checks c = {0};
    struct check *last = NULL;
    (void)state;
    for (unsigned i = 0; i < CHECKS_MAX; i++) {
        last = begin(&c, NULL);
        assert_non_null(last);
    }
    assert_null(begin(&c, NULL));
    assert_int_equal(scene.begun, CHECKS_MAX);
    checks_cancel(last);
    assert_non_null(begin(&c, NULL));
    checks_end(&c);
}

static void a_look_that_cannot_begin_takes_no_place(void **state)
{
    struct checks c = {0};
    (void)state;
    scene.has_no_resources = true;
    for (unsigned i = 0; i < 2 * CHECKS_MAX; i++)
        assert_null(begin(&c, NULL));
    scene.has_no_resources = false;
    assert_non_null(begin(&c, NULL));
    checks_end(&c);
}

static void one_that_is_cancelled_tells_nobody(void **state)
{
    struct checks c = {0};
    (void)state;
    checks_cancel(begin(&c, NULL));
    checks_end(&c);
    assert_int_equal(scene.cancelled, 1);
    assert_int_equal(scene.viewed, 0);
}

static void everybody_who_waits_at_the_end_hears_that_nothing_is_known(void **state)
{
    struct checks c = {0};
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        assert_non_null(begin(&c, &c));
    checks_end(&c);
    assert_int_equal(scene.cancelled, 3);
    assert_int_equal(scene.viewed, 3);
    assert_true(scene.was_told_nothing);
    assert_ptr_equal(scene.asker, &c);
}

static void a_reason_is_shown_only_where_something_is_wrong(void **state)
{
    static const struct {
        enum probe_verdict verdict;
        const char *want;
        bool has_reason;
    } cases[] = {
        {PROBE_DELIVERABLE, "deliverable", false},
        {PROBE_REFUSED, "refused", true},
        {PROBE_UNKNOWN, "unknown", true},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct checks c = {0};
        const struct probe_host hosts[] = {{.is_acceptable = true, .key_digest = "a"},
                                           {.is_tlsa_insecure = true, .verified = 7}};
        struct probe_result result = {.verdict = cases[i].verdict,
                                      .level = "encrypt",
                                      .hosts = hosts,
                                      .count = COUNT_OF(hosts)};
        assert_non_null(begin(&c, &scene));
        assert_true(scene.last.deadline_ms > 0);
        scene.last.done(scene.last.context, &result);
        assert_int_equal(scene.viewed, i + 1);
        assert_ptr_equal(scene.asker, &scene);
        assert_string_equal(scene.view.verdict, cases[i].want);
        assert_string_equal(scene.view.level, "encrypt");
        assert_ptr_equal(scene.view.outcome, cases[i].has_reason ? &result.outcome : NULL);
        assert_int_equal(scene.view.count, 2);
        assert_ptr_equal(scene.sights[0].facts, &hosts[0].facts);
        assert_null(scene.sights[0].why);
        assert_string_equal(scene.sights[0].key_digest, "a");
        assert_ptr_equal(scene.sights[1].why, &hosts[1].why);
        assert_true(scene.sights[1].is_tlsa_insecure);
        assert_int_equal(scene.sights[1].verified, 7);
        checks_end(&c); /* it is gone: nobody is told twice */
        assert_int_equal(scene.viewed, i + 1);
        assert_int_equal(scene.cancelled, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(only_so_many_are_under_way_at_once, clear),
        cmocka_unit_test_setup(a_look_that_cannot_begin_takes_no_place, clear),
        cmocka_unit_test_setup(one_that_is_cancelled_tells_nobody, clear),
        cmocka_unit_test_setup(everybody_who_waits_at_the_end_hears_that_nothing_is_known, clear),
        cmocka_unit_test_setup(a_reason_is_shown_only_where_something_is_wrong, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
