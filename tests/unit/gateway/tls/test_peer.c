/* Who a server is: the table of TLSA records (RFC 6698, 7671, 7672) and the table of names and
 * chains (WebPKI), each over a real handshake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/pki.h"
#include "tests/unit/gateway/tls/ends.h"

enum { CA, OTHER_CA, GOOD, EXPIRED, FUTURE, WILDCARD, PARTIAL, CN_ONLY, NO_NAMES, SELF, COUNT };

static const struct {
    struct pki_options options;
    int issuer; /* -1: itself */
} identities[COUNT] = {
    [CA] = {{.common_name = "Test CA", .is_ca = true}, -1},
    [OTHER_CA] = {{.common_name = "Other CA", .is_ca = true}, -1},
    [GOOD] = {{.common_name = "x", .alt_names = "DNS:mx.example.test, DNS:mail.example.test"}, CA},
    [EXPIRED] = {{.common_name = "x",
                  .alt_names = "DNS:mx.example.test",
                  .from_s = -200000,
                  .until_s = -100},
                 CA},
    [FUTURE] = {{.common_name = "x",
                 .alt_names = "DNS:mx.example.test",
                 .from_s = 100000,
                 .until_s = 200000},
                CA},
    [WILDCARD] = {{.common_name = "x", .alt_names = "DNS:*.example.test"}, CA},
    [PARTIAL] = {{.common_name = "x", .alt_names = "DNS:m*.example.test"}, CA},
    [CN_ONLY] = {{.common_name = "mx.example.test"}, CA},
    [NO_NAMES] = {{.common_name = "x", .alt_names = "IP:192.0.2.1"}, CA},
    [SELF] = {{.common_name = "x", .alt_names = "DNS:mx.example.test"}, -1},
};

static char directory[] = "/tmp/test-peer-XXXXXX";
static char ca_file[64];
static struct pki_identity made[COUNT];
static struct tls_context *servers[COUNT], *client_tls;

/* One handshake; the client's facts. */
static struct tls_facts meet(int server, const struct tls_client_options *o)
{
    struct ends n;
    ends_begin(&n, servers[server], client_tls);
    ends_listen(&n);
    n.options = *o;
    n.client.close_on = 's';
    n.client.abort_on = 'f';
    n.server.close_on = 'e';
    n.server.abort_on = 'f';
    ends_connect(&n);
    ends_run(&n);
    if (strchr(n.client.seen, 'f'))
        fail_msg("handshake: %s", n.client.failure.text);
    struct tls_facts facts = n.client.facts;
    ends_finish(&n);
    return facts;
}

/* ---- DANE ---- */

enum twist { AS_IS, FLIPPED, CUT_SHORT, TOO_LONG };
struct record {
    int of; /* identity */
    unsigned usage, selector, matching;
    enum twist twist;
};

static struct tlsa_record record_of(const struct record *r)
{
    struct tlsa_record t =
        pki_tlsa(&made[r->of], r->usage <= 3 ? r->usage : 3, r->selector <= 1 ? r->selector : 1,
                 r->matching <= 2 ? r->matching : 1);
    t.usage = (uint8_t)r->usage;
    t.selector = (uint8_t)r->selector;
    t.matching = (uint8_t)r->matching;
    if (r->twist == FLIPPED)
        t.data[t.len - 1] ^= 1;
    else if (r->twist == CUT_SHORT)
        t.len--;
    else if (r->twist == TOO_LONG)
        t.len = sizeof(t.data) + 1;
    return t;
}

static void records_match_as_rfc_7672_says(void **state)
{
    (void)state;
    static const char *const right[2] = {"mx.example.test", NULL};
    static const char *const second[2] = {"example.test", "mx.example.test"};
    static const char *const wrong[2] = {"other.test", "example.test"};
    static const struct {
        const char *claim;
        int server;
        const char *const *names;
        struct record records[3]; /* until one with usage, selector and matching all 0 */
        enum tls_dane_result want;
        const char *why; /* part of dane_error */
    } cases[] = {
        {"3 1 1", GOOD, right, {{GOOD, 3, 1, 1, 0}}, TLS_DANE_MATCHED, ""},
        {"3 1 2", GOOD, right, {{GOOD, 3, 1, 2, 0}}, TLS_DANE_MATCHED, ""},
        {"3 1 0", GOOD, right, {{GOOD, 3, 1, 0, 0}}, TLS_DANE_MATCHED, ""},
        {"3 0 1", GOOD, right, {{GOOD, 3, 0, 1, 0}}, TLS_DANE_MATCHED, ""},
        {"3 0 0", GOOD, right, {{GOOD, 3, 0, 0, 0}}, TLS_DANE_MATCHED, ""},
        {"3 1 1, other names: no name check",
         GOOD,
         wrong,
         {{GOOD, 3, 1, 1, 0}},
         TLS_DANE_MATCHED,
         ""},
        {"3 1 1, expired: no date check",
         EXPIRED,
         right,
         {{EXPIRED, 3, 1, 1, 0}},
         TLS_DANE_MATCHED,
         ""},
        {"3 1 1, not yet valid", FUTURE, right, {{FUTURE, 3, 1, 1, 0}}, TLS_DANE_MATCHED, ""},
        {"3 1 1, signed by itself", SELF, wrong, {{SELF, 3, 1, 1, 0}}, TLS_DANE_MATCHED, ""},
        {"3 1 1 of another key",
         GOOD,
         right,
         {{SELF, 3, 1, 1, 0}},
         TLS_DANE_MISMATCHED,
         "no matching DANE TLSA records"},
        {"3 1 1, a bit off",
         GOOD,
         right,
         {{GOOD, 3, 1, 1, FLIPPED}},
         TLS_DANE_MISMATCHED,
         "no matching DANE TLSA records"},
        {"3 1 1 of the CA is not the server",
         GOOD,
         right,
         {{CA, 3, 1, 1, 0}},
         TLS_DANE_MISMATCHED,
         "no matching DANE TLSA records"},
        {"2 0 1", GOOD, right, {{CA, 2, 0, 1, 0}}, TLS_DANE_MATCHED, ""},
        {"2 1 1", GOOD, right, {{CA, 2, 1, 1, 0}}, TLS_DANE_MATCHED, ""},
        {"2 0 0", GOOD, right, {{CA, 2, 0, 0, 0}}, TLS_DANE_MATCHED, ""},
        {"2 1 0", GOOD, right, {{CA, 2, 1, 0, 0}}, TLS_DANE_MATCHED, ""},
        {"2 0 1, the second name", GOOD, second, {{CA, 2, 0, 1, 0}}, TLS_DANE_MATCHED, ""},
        {"2 0 1, a wildcard", WILDCARD, right, {{CA, 2, 0, 1, 0}}, TLS_DANE_MATCHED, ""},
        {"2 0 1, a partial wildcard",
         PARTIAL,
         right,
         {{CA, 2, 0, 1, 0}},
         TLS_DANE_MISMATCHED,
         "hostname mismatch"},
        {"2 0 1, neither name",
         GOOD,
         wrong,
         {{CA, 2, 0, 1, 0}},
         TLS_DANE_MISMATCHED,
         "hostname mismatch: wanted other.test or example.test, the certificate is for "
         "mx.example.test, "},
        {"2 0 1, expired",
         EXPIRED,
         right,
         {{CA, 2, 0, 1, 0}},
         TLS_DANE_MISMATCHED,
         "certificate has expired"},
        {"2 0 1, not yet valid",
         FUTURE,
         right,
         {{CA, 2, 0, 1, 0}},
         TLS_DANE_MISMATCHED,
         "not yet valid"},
        {"2 0 1 of a CA that has not signed",
         GOOD,
         right,
         {{OTHER_CA, 2, 0, 1, 0}},
         TLS_DANE_MISMATCHED,
         "no matching DANE TLSA records"},
        {"one of two", GOOD, wrong, {{SELF, 3, 1, 1, 0}, {GOOD, 3, 1, 1, 0}}, TLS_DANE_MATCHED, ""},
        {"usage 2 wrong, usage 3 right",
         GOOD,
         wrong,
         {{OTHER_CA, 2, 0, 1, 0}, {GOOD, 3, 1, 1, 0}},
         TLS_DANE_MATCHED,
         ""},
        {"usage 3 wrong, usage 2 right",
         GOOD,
         right,
         {{SELF, 3, 1, 1, 0}, {CA, 2, 0, 1, 0}},
         TLS_DANE_MATCHED,
         ""},
        {"the stronger digest decides: right",
         GOOD,
         right,
         {{SELF, 3, 1, 1, 0}, {GOOD, 3, 1, 2, 0}},
         TLS_DANE_MATCHED,
         ""},
        {"the stronger digest decides: wrong",
         GOOD,
         right,
         {{GOOD, 3, 1, 1, 0}, {SELF, 3, 1, 2, 0}},
         TLS_DANE_MISMATCHED,
         "no matching DANE TLSA records"},
        {"a digest too short",
         GOOD,
         right,
         {{GOOD, 3, 1, 1, CUT_SHORT}},
         TLS_DANE_NONE_USABLE,
         "no usable TLSA record"},
        {"a record too long",
         GOOD,
         right,
         {{GOOD, 3, 1, 1, TOO_LONG}},
         TLS_DANE_NONE_USABLE,
         "no usable TLSA record"},
        {"a certificate cut short",
         GOOD,
         right,
         {{GOOD, 3, 0, 0, CUT_SHORT}},
         TLS_DANE_NONE_USABLE,
         "no usable TLSA record"},
        {"usage 0 and 1 are not for mail",
         GOOD,
         right,
         {{CA, 0, 0, 1, 0}, {GOOD, 1, 1, 1, 0}},
         TLS_DANE_NONE_USABLE,
         "no usable TLSA record"},
        {"usage 4, selector 2, matching 3",
         GOOD,
         right,
         {{GOOD, 4, 1, 1, 0}, {GOOD, 3, 2, 1, 0}, {GOOD, 3, 1, 3, 0}},
         TLS_DANE_NONE_USABLE,
         "no usable TLSA record"},
        {"an unusable one beside a right one",
         GOOD,
         right,
         {{GOOD, 3, 1, 1, CUT_SHORT}, {GOOD, 3, 1, 1, 0}},
         TLS_DANE_MATCHED,
         ""},
        {"an unusable one beside a wrong one",
         GOOD,
         right,
         {{GOOD, 3, 1, 1, CUT_SHORT}, {SELF, 3, 1, 1, 0}},
         TLS_DANE_MISMATCHED,
         "no matching DANE TLSA records"},
        {"none", GOOD, right, {{0, 0, 0, 0, 0}}, TLS_DANE_NOT_ASKED, ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct tlsa_record records[3];
        struct tls_client_options o = {.sni = "mx.example.test", .tlsa = records};
        for (size_t r = 0; r < 3; r++) {
            const struct record *from = &cases[i].records[r];
            if (from->usage || from->selector || from->matching)
                records[o.tlsa_count++] = record_of(from);
        }
        o.dane_names[0] = cases[i].names[0];
        o.dane_names[1] = cases[i].names[1];
        struct tls_facts got = meet(cases[i].server, &o);
        if (got.dane != cases[i].want || !strstr(got.dane_error, cases[i].why) ||
            (cases[i].why[0] == '\0') != (got.dane_error[0] == '\0'))
            fail_msg("%s: got %d \"%s\"", cases[i].claim, (int)got.dane, got.dane_error);
        if (got.is_pkix_valid)
            fail_msg("%s: WebPKI valid, though nobody gave a name", cases[i].claim);
    }
}

/* ---- WebPKI ---- */

#define LABEL_50 "x123456789012345678901234567890123456789012345678."

static void chains_and_names_are_judged_as_webpki(void **state)
{
    (void)state;
    static const struct {
        int server;
        const char *names[2];
        bool want;
        const char *why;
    } cases[] = {
        {GOOD, {"mx.example.test", NULL}, true, ""},
        {GOOD, {"MX.Example.TEST", NULL}, true, ""},
        {GOOD, {"other.test", "mail.example.test"}, true, ""},
        {GOOD, {NULL, "mail.example.test"}, true, ""},
        {GOOD,
         {"other.test", NULL},
         false,
         "hostname mismatch: wanted other.test, the certificate is for mx.example.test, "
         "mail.example.test"},
        {GOOD,
         {"example.test", "other.test"},
         false,
         "hostname mismatch: wanted example.test or other.test, the certificate is for "},
        {GOOD,
         {NULL, "other.test"},
         false,
         "hostname mismatch: wanted other.test, the certificate is for "},
        {GOOD,
         {"other.test", "Other.test"},
         false,
         "hostname mismatch: wanted other.test, the certificate is for "},
        {GOOD,
         {LABEL_50 LABEL_50 LABEL_50 "test", LABEL_50 LABEL_50 LABEL_50 "test"},
         false,
         "hostname mismatch: wanted " LABEL_50 LABEL_50 ", the certificate is for mx.ex"},
        {GOOD, {"example.test", NULL}, false, "hostname mismatch"},
        {GOOD, {".example.test", NULL}, false, "hostname mismatch"},
        {GOOD, {NULL, NULL}, false, "not looked at"},
        {WILDCARD, {"mx.example.test", NULL}, true, ""},
        {WILDCARD, {"a.mx.example.test", NULL}, false, "the certificate is for *.example.test"},
        {WILDCARD, {"example.test", NULL}, false, "hostname mismatch"},
        {PARTIAL, {"mx.example.test", NULL}, false, "hostname mismatch"},
        {CN_ONLY, {"mx.example.test", NULL}, false, "the certificate names no host"},
        {NO_NAMES, {"192.0.2.1", NULL}, false, "the certificate names no host"},
        {EXPIRED, {"mx.example.test", NULL}, false, "certificate has expired"},
        {FUTURE, {"mx.example.test", NULL}, false, "certificate is not yet valid"},
        {SELF, {"mx.example.test", NULL}, false, "self-signed certificate"},
        {OTHER_CA, {"mx.example.test", NULL}, false, "self-signed certificate"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct tls_client_options o = {.sni = "mx.example.test"};
        o.pkix_names[0] = cases[i].names[0];
        o.pkix_names[1] = cases[i].names[1];
        struct tls_facts got = meet(cases[i].server, &o);
        if (got.is_pkix_valid != cases[i].want || !strstr(got.pkix_error, cases[i].why) ||
            got.is_pkix_valid != (got.pkix_error[0] == '\0'))
            fail_msg("case %zu: got %d \"%s\"", i, got.is_pkix_valid, got.pkix_error);
        assert_int_equal(got.dane, TLS_DANE_NOT_ASKED);
    }
}

static void which_name_the_certificate_carries_is_known(void **state)
{
    (void)state;
    static const struct {
        int server;
        const char *names[2];
        bool want[2];
    } cases[] = {
        {GOOD, {"mx.example.test", "other.test"}, {true, false}},
        {GOOD, {"example.test", "mx.example.test"}, {false, true}},
        {GOOD, {"mail.example.test", "mx.example.test"}, {true, true}},
        {EXPIRED, {"mx.example.test", "mx.example.test"}, {false, false}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct tls_client_options o = {.sni = "mx.example.test"};
        o.pkix_names[0] = cases[i].names[0];
        o.pkix_names[1] = cases[i].names[1];
        struct tls_facts got = meet(cases[i].server, &o);
        assert_int_equal(got.has_pkix_name[0], cases[i].want[0]);
        assert_int_equal(got.has_pkix_name[1], cases[i].want[1]);
    }
}

static void dane_and_webpki_are_known_apart(void **state)
{
    (void)state;
    static const struct {
        int server, record_of;
        enum tls_dane_result dane;
        bool is_valid;
    } cases[] = {
        {GOOD, GOOD, TLS_DANE_MATCHED, true},
        {GOOD, SELF, TLS_DANE_MISMATCHED, true},
        {EXPIRED, EXPIRED, TLS_DANE_MATCHED, false},
        {SELF, GOOD, TLS_DANE_MISMATCHED, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct tlsa_record r = pki_tlsa(&made[cases[i].record_of], 3, 1, 1);
        struct tls_client_options o = {.sni = "mx.example.test", .tlsa = &r, .tlsa_count = 1};
        o.dane_names[0] = o.pkix_names[0] = "mx.example.test";
        struct tls_facts got = meet(cases[i].server, &o);
        assert_int_equal(got.dane, cases[i].dane);
        assert_int_equal(got.is_pkix_valid, cases[i].is_valid);
    }
}

static int make_all(void **state)
{
    (void)state;
    char certificate[80], key[80], error[300] = "";
    if (!mkdtemp(directory))
        return -1;
    snprintf(ca_file, sizeof(ca_file), "%s/ca.pem", directory);
    snprintf(certificate, sizeof(certificate), "%s/cert.pem", directory);
    snprintf(key, sizeof(key), "%s/key.pem", directory);
    for (int i = 0; i < COUNT; i++) {
        const struct pki_identity *issuer =
            identities[i].issuer < 0 ? NULL : &made[identities[i].issuer];
        made[i] = pki_make(&identities[i].options, issuer);
        pki_write(&made[i], issuer, i == CA ? ca_file : certificate, key);
        struct tls_server_options o = {i == CA ? ca_file : certificate, key, true};
        servers[i] = tls_server_new(&o, error, sizeof(error));
        if (!servers[i])
            print_error("%d: %s\n", i, error);
    }
    client_tls = tls_client_new(ca_file, error, sizeof(error));
    unlink(certificate);
    unlink(key);
    unlink(ca_file);
    rmdir(directory);
    return client_tls ? 0 : -1;
}

static int free_all(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        pki_free(&made[i]);
        tls_context_unref(servers[i]);
    }
    tls_context_unref(client_tls);
    return 0;
}

static void in_hex(const struct tlsa_record *r, char out[65])
{
    assert_int_equal(r->len, 32);
    for (size_t i = 0; i < r->len; i++)
        snprintf(out + 2 * i, 3, "%02x", r->data[i]);
}

/* What is remembered of a host, and what a policy may name: key and certificate as TLSA records
 * 3 1 1 and 3 0 1 say them, and the group. */
static void the_digests_and_the_key_exchange_are_told(void **state)
{
    (void)state;
    struct tls_client_options o = {.sni = "mx.example.test"};
    struct tlsa_record key = pki_tlsa(&made[GOOD], 3, 1, 1);
    struct tlsa_record certificate = pki_tlsa(&made[GOOD], 3, 0, 1);
    char hex[65];
    struct tls_facts facts = meet(GOOD, &o);
    in_hex(&key, hex);
    assert_string_equal(facts.key_digest, hex);
    in_hex(&certificate, hex);
    assert_string_equal(facts.certificate_digest, hex);
    assert_string_equal(facts.key_exchange, "X25519");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_match_as_rfc_7672_says),
        cmocka_unit_test(chains_and_names_are_judged_as_webpki),
        cmocka_unit_test(which_name_the_certificate_carries_is_known),
        cmocka_unit_test(dane_and_webpki_are_known_apart),
        cmocka_unit_test(the_digests_and_the_key_exchange_are_told),
    };
    return cmocka_run_group_tests(tests, make_all, free_all);
}
