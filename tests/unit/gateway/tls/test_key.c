#include "gateway/tls/key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

static char error[200];

/* Writes the key behind `lead` and frees it. */
static enum tls_key_kind look_at(const char *lead, EVP_PKEY *key, const EVP_CIPHER *cipher,
                                 unsigned *bits)
{
    char *data;
    BIO *bio = BIO_new(BIO_s_mem());
    assert_non_null(bio);
    assert_non_null(key);
    BIO_puts(bio, lead);
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, cipher, "secret", 6, NULL, NULL), 1);
    size_t len = (size_t)BIO_get_mem_data(bio, &data);
    enum tls_key_kind kind = tls_key_look((struct slice){data, len}, bits, error, sizeof error);
    BIO_free(bio);
    EVP_PKEY_free(key);
    return kind;
}

static void rsa_is_told_from_the_others(void **state)
{
    unsigned bits;
    (void)state;
    assert_int_equal(look_at("", EVP_RSA_gen(1024), NULL, &bits), TLS_KEY_RSA);
    assert_int_equal(bits, 1024);
    assert_int_equal(look_at("", EVP_EC_gen("P-256"), NULL, &bits), TLS_KEY_OTHER);
    assert_int_equal(look_at("", EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), NULL, &bits),
                     TLS_KEY_OTHER);
}

static void what_stands_before_the_key_is_skipped(void **state)
{
    unsigned bits;
    (void)state;
    assert_int_equal(look_at("of the reports\n", EVP_RSA_gen(1024), NULL, &bits), TLS_KEY_RSA);
}

static void a_passphrase_is_asked_of_nobody(void **state)
{
    unsigned bits;
    (void)state;
    assert_int_equal(look_at("", EVP_RSA_gen(1024), EVP_aes_128_cbc(), &bits), TLS_KEY_NONE);
    assert_string_equal(error, "the key is protected by a passphrase");
    assert_int_equal(bits, 0);
}

static void what_is_no_key_is_told(void **state)
{
    static const char *const texts[] = {
        "",
        "-----BEGIN PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        unsigned bits = 7;
        error[0] = '\0';
        assert_int_equal(tls_key_look(slice_of(texts[i]), &bits, error, sizeof error),
                         TLS_KEY_NONE);
        assert_int_equal(bits, 0);
        assert_non_null(strstr(error, "no private key in PEM form: "));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rsa_is_told_from_the_others),
        cmocka_unit_test(what_stands_before_the_key_is_skipped),
        cmocka_unit_test(a_passphrase_is_asked_of_nobody),
        cmocka_unit_test(what_is_no_key_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
