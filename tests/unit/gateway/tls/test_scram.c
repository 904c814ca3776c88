#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "gateway/tls/scram.h"

static void hex(const uint8_t *in, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[in[i] >> 4];
        out[2 * i + 1] = digits[in[i] & 15];
    }
    out[2 * len] = '\0';
}

/* The examples of RFC 5802 section 5 and RFC 7677 section 3 (password "pencil", 4096 rounds);
 * the keys are what their proofs and signatures were checked with. */
static void the_examples_of_the_rfcs_give_their_server_signatures(void **state)
{
    (void)state;
    static const uint8_t salt1[] = {0x41, 0x25, 0xc2, 0x47, 0xe4, 0x3a,
                                    0xb1, 0xe9, 0x3c, 0x6d, 0xff, 0x76};
    static const uint8_t salt256[] = {0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e,
                                      0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81};
    struct scram_keys k;
    char text[65];
    assert_true(scram_derive(SCRAM_SHA1, SLICE("pencil"), salt1, sizeof(salt1), 4096, &k));
    assert_int_equal(k.key_len, 20);
    hex(k.stored_key, 20, text);
    assert_string_equal(text, "e9d94660c39d65c38fbad91c358f14da0eef2bd6");
    hex(k.server_key, 20, text);
    assert_string_equal(text, "0fe09258b3ac852ba502cc62ba903eaacdbf7d31");
    assert_true(scram_derive(SCRAM_SHA256, SLICE("pencil"), salt256, sizeof(salt256), 4096, &k));
    assert_int_equal(k.key_len, 32);
    hex(k.stored_key, 32, text);
    assert_string_equal(text, "586e5df283e6dceb5c3e791d8b8528ec191e664045ce971792e2e6b5bb13e2a6");
    hex(k.server_key, 32, text);
    assert_string_equal(text, "c1f3cbc1c13a9d35a14c0990eed97629ea225863e566a4314ab99f3f00e5d9d5");
}

static void only_the_right_password_matches(void **state)
{
    (void)state;
    static const enum scram_hash hashes[] = {SCRAM_SHA1, SCRAM_SHA256};
    for (size_t i = 0; i < COUNT_OF(hashes); i++) {
        struct scram_keys k, other;
        assert_true(scram_new(hashes[i], SLICE("correct horse"), &k));
        assert_int_equal(k.salt_len, SCRAM_SALT_LEN);
        assert_int_equal(k.iterations, SCRAM_ITERATIONS);
        assert_true(scram_matches(hashes[i], SLICE("correct horse"), &k));
        assert_false(scram_matches(hashes[i], SLICE("correct horsf"), &k));
        assert_false(scram_matches(hashes[i], SLICE(""), &k));
        assert_false(scram_matches(hashes[1 - i], SLICE("correct horse"), &k));
        assert_true(scram_new(hashes[i], SLICE("correct horse"), &other));
        assert_memory_not_equal(k.salt, other.salt, SCRAM_SALT_LEN);
    }
}

static void what_makes_no_sense_is_refused(void **state)
{
    (void)state;
    struct scram_keys k;
    uint8_t salt[33] = {0};
    assert_false(scram_derive(SCRAM_SHA256, SLICE("x"), salt, sizeof(salt), 4096, &k));
    assert_false(scram_derive(SCRAM_SHA256, SLICE("x"), salt, 16, 0, &k));
    assert_true(scram_derive(SCRAM_SHA256, (struct slice){NULL, 0}, salt, 16, 1, &k));
}

static void a_made_up_salt_is_stable_and_differs_by_name(void **state)
{
    (void)state;
    uint8_t a[SCRAM_SALT_LEN], again[SCRAM_SALT_LEN], b[SCRAM_SALT_LEN];
    assert_true(scram_fake_salt(SLICE("a@example.org"), a));
    assert_true(scram_fake_salt(SLICE("a@example.org"), again));
    assert_true(scram_fake_salt(SLICE("b@example.org"), b));
    assert_memory_equal(a, again, sizeof(a));
    assert_memory_not_equal(a, b, sizeof(a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_the_rfcs_give_their_server_signatures),
        cmocka_unit_test(only_the_right_password_matches),
        cmocka_unit_test(what_makes_no_sense_is_refused),
        cmocka_unit_test(a_made_up_salt_is_stable_and_differs_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
