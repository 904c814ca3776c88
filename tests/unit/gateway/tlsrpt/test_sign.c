/* What the door signs is verified by the library's other half, with a key record of the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <dkim.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/tlsrpt/letter.h"
#include "gateway/tlsrpt/sign.h"

enum { NOW = 1459468800 };

static char file[] = "/tmp/sealpost-sign-XXXXXX";
static char record[2000]; /* TXT of the selector */
static char asked[600];   /* the name it was asked for under */
static char error[400];

/* ---- the test's keys ---- */

static void publish(EVP_PKEY *key)
{
    unsigned char *der = NULL;
    unsigned char text[1600];
    int len = i2d_PUBKEY(key, &der);
    assert_true(len > 0 && len < 1000);
    EVP_EncodeBlock(text, der, len);
    snprintf(record, sizeof record, "v=DKIM1; k=rsa; p=%s", (const char *)text);
    OPENSSL_free(der);
}

static void write_key(EVP_PKEY *key, const EVP_CIPHER *cipher)
{
    FILE *out = fopen(file, "w");
    assert_non_null(out);
    assert_int_equal(PEM_write_PKCS8PrivateKey(out, key, cipher, "secret", 6, NULL, NULL), 1);
    fclose(out);
}

static void keep(EVP_PKEY *key)
{
    assert_non_null(key);
    write_key(key, NULL);
    publish(key);
    EVP_PKEY_free(key);
}

static struct sign_key *key_of_file(void)
{
    struct sign_key *k = sign_key_new("x.example", "s1", file, error, sizeof error);
    if (!k)
        fail_msg("%s", error);
    return k;
}

/* ---- verification ---- */

static DKIM_CBSTAT find_key(DKIM *dkim, DKIM_SIGINFO *sig, u_char *out, size_t size)
{
    (void)dkim;
    snprintf(asked, sizeof asked, "%s._domainkey.%s", (const char *)dkim_sig_getselector(sig),
             (const char *)dkim_sig_getdomain(sig));
    snprintf((char *)out, size, "%s", record);
    return DKIM_CBSTAT_CONTINUE;
}

static DKIM_STAT verify(const struct buffer *message)
{
    DKIM_STAT status;
    DKIM_LIB *library = dkim_init(NULL, NULL);
    uint64_t now = NOW + 5;
    assert_non_null(library);
    dkim_set_key_lookup(library, find_key);
    assert_int_equal(dkim_options(library, DKIM_OP_SETOPT, DKIM_OPTS_FIXEDTIME, &now, sizeof now),
                     DKIM_STAT_OK);
    DKIM *d = dkim_verify(library, (const u_char *)"test", NULL, &status);
    assert_non_null(d);
    status = dkim_chunk(d, (u_char *)message->data, message->len);
    if (status == DKIM_STAT_OK)
        status = dkim_chunk(d, NULL, 0);
    if (status == DKIM_STAT_OK)
        status = dkim_eom(d, NULL);
    dkim_free(d);
    dkim_close(library);
    return status;
}

/* ---- a report ---- */

static void write_report(struct buffer *out)
{
    struct tlsrpt_place list[] = {
        {.kind = TLSRPT_MAILTO, .address = "a@a.example"},
        {.kind = TLSRPT_MAILTO, .address = "c@c.example"},
    };
    struct tlsrpt_places places = {COUNT_OF(list), list};
    char packed[3000];
    memset(packed, 7, sizeof packed);
    struct letter l = {
        .head = {.organization = "Company-X",
                 .contact = "contact@x.example",
                 .hostname = "mail.x.example",
                 .domain = "y.example",
                 .day = 16892},
        .from = "from@x.example",
        .places = &places,
        .queue_id = "4f2a",
        .now = NOW,
        .report = {packed, sizeof packed},
    };
    assert_true(letter_write(&l, out));
}

static void sign_report(struct buffer *out)
{
    struct buffer message;
    struct sign_key *k = key_of_file();
    buffer_init(&message, 1 << 20);
    buffer_init(out, 1 << 20);
    write_report(&message);
    if (!sign_write(k, buffer_slice(&message), NOW, out, error, sizeof error))
        fail_msg("%s", error);
    assert_true(buffer_append(out, buffer_slice(&message)));
    buffer_free(&message);
    sign_key_free(k);
}

/* ---- claims ---- */

static void a_signed_report_verifies(void **state)
{
    struct buffer signed_report;
    (void)state;
    keep(EVP_RSA_gen(2048));
    sign_report(&signed_report);
    assert_int_equal(verify(&signed_report), DKIM_STAT_OK);
    assert_string_equal(asked, "s1._domainkey.x.example");
    buffer_free(&signed_report);
}

static void what_stands_before_the_key_is_skipped(void **state)
{
    EVP_PKEY *key = EVP_RSA_gen(1024);
    FILE *out = fopen(file, "w");
    (void)state;
    assert_true(key && out);
    fputs("of the reports, since spring\n", out);
    assert_int_equal(PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(out);
    EVP_PKEY_free(key);
    sign_key_free(key_of_file());
}

static void nothing_of_it_can_be_changed(void **state)
{
    static const char *const parts[] = {
        "\r\nFrom: <from",   "\r\nTo: <a",         "\r\nSubject: Rep",   "Date: Fri",
        "\r\nMessage-ID: <", "\r\nTLS-Report-Dom", "\r\nTLS-Report-Sub", "\r\nTLS-Required: N",
        "\r\nMIME-Versi",    "\r\nContent-Type:",  "\r\nThis is",        "tls report--",
    };
    (void)state;
    keep(EVP_RSA_gen(2048));
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        struct buffer signed_report;
        sign_report(&signed_report);
        assert_non_null(buffer_text(&signed_report));
        char *body = strstr(signed_report.data, "\r\nDate: ");
        char *at = strstr(body, parts[i]);
        if (!at)
            fail_msg("no %s", parts[i]);
        at += strlen(parts[i]) - 1;
        *at = *at == 'x' ? 'y' : 'x';
        if (verify(&signed_report) == DKIM_STAT_OK)
            fail_msg("changed: %s", parts[i]);
        buffer_free(&signed_report);
    }
}

static void nothing_can_be_added_behind_it(void **state)
{
    struct buffer signed_report;
    (void)state;
    keep(EVP_RSA_gen(2048));
    sign_report(&signed_report);
    assert_null(strstr(buffer_text(&signed_report), "l="));
    assert_true(buffer_append_text(&signed_report, "more\r\n"));
    assert_int_not_equal(verify(&signed_report), DKIM_STAT_OK);
    buffer_free(&signed_report);
}

static void the_signature_says_what_was_configured(void **state)
{
    struct buffer signed_report;
    (void)state;
    keep(EVP_RSA_gen(2048));
    sign_report(&signed_report);
    const char *text = buffer_text(&signed_report);
    assert_int_equal(strncmp(text, "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; ", 54),
                     0);
    assert_non_null(strstr(text, "d=x.example;"));
    assert_non_null(strstr(text, "s=s1;"));
    assert_non_null(strstr(text, "t=1459468800;"));
    for (size_t at = 0; text[at];) {
        size_t line = strcspn(text + at, "\n") + 1;
        assert_true(line > 1 && text[at + line - 2] == '\r' && line <= 80);
        at += line;
        if (strncmp(text + at, "Date:", 5) == 0)
            break;
    }
    buffer_free(&signed_report);
}

static void refuse(const char *words)
{
    struct sign_key *k = sign_key_new("x.example", "s1", file, error, sizeof error);
    assert_null(k);
    if (!strstr(error, file) || !strstr(error, words))
        fail_msg("%s", error);
}

static void a_key_that_cannot_sign_is_told(void **state)
{
    (void)state;
    keep(EVP_EC_gen("P-256"));
    refuse("not an RSA key");
    keep(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
    refuse("not an RSA key");
    keep(EVP_RSA_gen(768));
    refuse("needs 1024 bits");
}

static void a_passphrase_is_asked_of_nobody(void **state)
{
    EVP_PKEY *key = EVP_RSA_gen(2048);
    (void)state;
    assert_non_null(key);
    write_key(key, EVP_aes_128_cbc());
    EVP_PKEY_free(key);
    refuse("passphrase");
}

static void write_text(const char *text, size_t repeats)
{
    FILE *out = fopen(file, "w");
    assert_non_null(out);
    for (size_t i = 0; i < repeats; i++)
        fputs(text, out);
    fclose(out);
}

static void a_file_that_is_no_key_is_told(void **state)
{
    (void)state;
    write_text("", 1);
    refuse("no private key in PEM form");
    write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 1);
    refuse("no private key in PEM form");
    write_text("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n", 1);
    refuse("no private key in PEM form");
    write_text("-----BEGIN PRIVATE KEY-----\n", 4000);
    refuse("File too large");
    assert_null(sign_key_new("x.example", "s1", "/nonexistent/key", error, sizeof error));
    assert_string_equal(error, "cannot read /nonexistent/key: No such file or directory");
    assert_null(sign_key_new("x.example", "s1", "/tmp", error, sizeof error));
    assert_string_equal(error, "cannot read /tmp: Is a directory");
}

static void what_does_not_fit_is_not_signed_by_halves(void **state)
{
    struct buffer out;
    (void)state;
    keep(EVP_RSA_gen(1024));
    struct sign_key *k = key_of_file();
    buffer_init(&out, 100);
    assert_false(
        sign_write(k, SLICE("From: <a@x.example>\r\n\r\n"), NOW, &out, error, sizeof error));
    assert_string_equal(error, "out of memory");
    assert_false(sign_write(k, SLICE("To: <a@x.example>\r\n\r\n"), NOW, &out, error, sizeof error));
    assert_non_null(strstr(error, "from"));
    buffer_free(&out);
    sign_key_free(k);
}

static void alignment_is_that_of_dmarc(void **state)
{
    static const struct {
        const char *domain, *address;
        bool want;
    } cases[] = {
        {"x.example", "a@x.example", true},      {"x.example", "a@mail.x.example", true},
        {"mail.x.example", "a@x.example", true}, {"x.example", "a@y.example", false},
        {"x.example", "a@ax.example", false},    {"ax.example", "a@x.example", false},
        {"a.x.example", "a@b.x.example", false}, {"example", "a@x.example", false},
        {"x.example", "a@example", false},       {"localhost", "a@localhost", true},
        {"x.example", "a@[192.0.2.1]", false},   {"x.example", "", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (sign_is_aligned(cases[i].domain, cases[i].address) != cases[i].want)
            fail_msg("%s %s", cases[i].domain, cases[i].address);
}

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(file);
    return fd >= 0 ? close(fd) : -1;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signed_report_verifies),
        cmocka_unit_test(what_stands_before_the_key_is_skipped),
        cmocka_unit_test(nothing_of_it_can_be_changed),
        cmocka_unit_test(nothing_can_be_added_behind_it),
        cmocka_unit_test(the_signature_says_what_was_configured),
        cmocka_unit_test(a_key_that_cannot_sign_is_told),
        cmocka_unit_test(a_passphrase_is_asked_of_nobody),
        cmocka_unit_test(a_file_that_is_no_key_is_told),
        cmocka_unit_test(what_does_not_fit_is_not_signed_by_halves),
        cmocka_unit_test(alignment_is_that_of_dmarc),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
