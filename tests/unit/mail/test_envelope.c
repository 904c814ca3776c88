#include "mail/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void a_fresh_envelope_has_empty_texts(void **state)
{
    (void)state;
    struct envelope e;
    envelope_init(&e);
    assert_string_equal(e.reverse_path, "");
    assert_string_equal(e.user, "");
    assert_string_equal(e.envid, "");
    assert_int_equal(e.count, 0);
    envelope_free(&e);
    envelope_free(&e);
}

static void recipients_keep_their_order_and_texts(void **state)
{
    (void)state;
    struct envelope e;
    char address[32];
    envelope_init(&e);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(address, sizeof address, "u%u@example.org", i);
        struct envelope_recipient *r = envelope_add(&e, address);
        assert_string_equal(r->orcpt, "");
        assert_string_equal(r->owner, "");
        envelope_set(&r->owner, "owner@example.org");
    }
    assert_int_equal(e.count, 100);
    assert_string_equal(e.recipients[0].address, "u0@example.org");
    assert_string_equal(e.recipients[99].address, "u99@example.org");
    envelope_set(&e.envid, "QQ314159");
    envelope_set(&e.envid, e.envid + 2);
    assert_string_equal(e.envid, "314159");
    envelope_free(&e);
}

static void names_are_the_pinned_ones(void **state)
{
    (void)state;
    enum level l = LEVEL_OFF;
    assert_true(level_parse(SLICE("verified"), &l) && l == LEVEL_VERIFIED);
    assert_true(level_parse(SLICE("encrypt"), &l) && l == LEVEL_ENCRYPT);
    assert_true(level_parse(SLICE("off"), &l) && l == LEVEL_OFF);
    assert_false(level_parse(SLICE("on"), &l));
    assert_false(level_parse(SLICE(""), &l));
    assert_string_equal(exemption_name(EXEMPTION_NONE), "");
    assert_string_equal(exemption_name(EXEMPTION_AUTO_REPLY), "auto-reply");
    assert_string_equal(exemption_name(EXEMPTION_FORWARD), "forward");
    assert_string_equal(exemption_name(EXEMPTION_TLS_REQUIRED_NO), "tls-required-no");
    assert_string_equal(exemption_name(EXEMPTION_RELEASE), "release");
    assert_string_equal(exemption_name(EXEMPTION_RELEASE_FORCE), "release-force");
    assert_string_equal(exemption_name(EXEMPTION_EXCEPTION), "exception");
    assert_string_equal(exemption_name(EXEMPTION_DRY_RUN), "dry-run");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_envelope_has_empty_texts),
        cmocka_unit_test(recipients_keep_their_order_and_texts),
        cmocka_unit_test(names_are_the_pinned_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
