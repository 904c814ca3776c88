#include "gateway/tls/peer.h"

#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/tls/fault.h"

enum { USAGE_DANE_TA = 2, USAGE_DANE_EE = 3, SELECTOR_MAX = 1, MATCHING_MAX = 2 };
enum { PKIX_SECURITY_LEVEL = 2 }; /* 112 bits: RSA 2048, no SHA-1, as public CAs must */
enum { WANTED_SHOWN = 100 };      /* of each name that was wanted */

/* ---- before the handshake ---- */

/* OpenSSL would use records of usage 0 and 1, which RFC 7672 section 3.1.3 does not. */
static bool is_considered(const struct tlsa_record *r)
{
    return (r->usage == USAGE_DANE_TA || r->usage == USAGE_DANE_EE) &&
           r->selector <= SELECTOR_MAX && r->matching <= MATCHING_MAX && r->len > 0 &&
           r->len <= sizeof(r->data);
}

static bool add_record(struct tls_peer *p, SSL *ssl, const struct tlsa_record *r,
                       struct tls_failure *failure)
{
    if (!is_considered(r))
        return true;
    ERR_clear_error();
    int result = SSL_dane_tlsa_add(ssl, r->usage, r->selector, r->matching, r->data, r->len);
    if (result < 0)
        return tls_fault_ours(failure, "cannot use a TLSA record");
    /* 0: a record that means nothing (wrong digest length, no certificate in it). */
    ERR_clear_error();
    p->usable += result > 0;
    return true;
}

static bool ask_dane(struct tls_peer *p, SSL *ssl, const struct tls_client_options *o,
                     struct tls_failure *failure)
{
    if (o->tlsa_count == 0)
        return true;
    p->is_dane_asked = true;
    if (SSL_dane_enable(ssl, o->sni[0] ? o->sni : NULL) <= 0)
        return tls_fault_ours(failure, "cannot use DANE");
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    /* OpenSSL takes a name that begins with a dot for "any host below"; no domain begins so. */
    if ((o->dane_names[0] && o->dane_names[0][0] == '.') ||
        (o->dane_names[1] && o->dane_names[1][0] == '.'))
        return tls_fault_ours(failure, "a name for DANE begins with a dot");
    /* The first replaces the name that SSL_dane_enable() set. */
    if ((o->dane_names[0] && SSL_set1_host(ssl, o->dane_names[0]) != 1) ||
        (o->dane_names[1] && SSL_add1_host(ssl, o->dane_names[1]) != 1))
        return tls_fault_ours(failure, "cannot use DANE");
    for (size_t i = 0; i < o->tlsa_count; i++)
        if (!add_record(p, ssl, &o->tlsa[i], failure))
            return false;
    return true;
}

bool tls_peer_ask(struct tls_peer *p, SSL *ssl, const struct tls_client_options *o,
                  struct tls_failure *failure)
{
    for (size_t i = 0; i < COUNT_OF(p->pkix_names); i++) {
        if (o->pkix_names[i])
            p->pkix_names[i] = xstrdup(o->pkix_names[i]);
        if (o->dane_names[i])
            p->dane_names[i] = xstrdup(o->dane_names[i]);
    }
    ERR_clear_error();
    char name[DOMAIN_SIZE]; /* not const: OpenSSL's macro casts that away */
    if (!slice_copy(slice_of(o->sni), name, sizeof(name)) ||
        (name[0] && SSL_set_tlsext_host_name(ssl, name) != 1))
        return tls_fault_ours(failure, "cannot set the server name");
    SSL_set_app_data(ssl, p);
    return ask_dane(p, ssl, o, failure);
}

void tls_peer_free(struct tls_peer *p)
{
    for (size_t i = 0; i < COUNT_OF(p->pkix_names); i++) {
        free(p->pkix_names[i]);
        free(p->dane_names[i]);
    }
    *p = (struct tls_peer){0};
}

/* ---- in the handshake ---- */

int tls_peer_verify(X509_STORE_CTX *store, void *unused)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    const struct tls_peer *p = SSL_get_app_data(ssl);
    (void)unused;
    /* Nobody reads the result without records, and WebPKI has a look of its own. */
    if (p->usable == 0)
        X509_STORE_CTX_set_error(store, X509_V_OK);
    else
        (void)X509_verify_cert(store);
    return 1;
}

/* ---- after it ---- */

static bool is_our_fault(long error)
{
    return error == X509_V_ERR_OUT_OF_MEM || error == X509_V_ERR_STORE_LOOKUP ||
           error == X509_V_ERR_INVALID_CALL || error == X509_V_ERR_UNSPECIFIED;
}

static bool verify_is_ours(struct tls_failure *failure, long error)
{
    failure->kind = TLS_FAILURE_OURS;
    snprintf(failure->text, sizeof(failure->text), "cannot verify the certificate: %s",
             X509_verify_cert_error_string(error));
    ERR_clear_error();
    return false;
}

/* "wanted a.example or b.example": the recipient's domain, the host, or both. */
static void tell_wanted(char *const names[2], char *out, size_t size)
{
    const char *first = names[0] ? names[0] : names[1] ? names[1] : "another name";
    bool has_second = names[0] && names[1] && strcasecmp(names[0], names[1]) != 0;
    snprintf(out, size, "hostname mismatch: wanted %.*s%s%.*s, the certificate ", WANTED_SHOWN,
             first, has_second ? " or " : "", WANTED_SHOWN, has_second ? names[1] : "");
}

/* Adds a name of the certificate to out, as far as it fits; unprintable octets become '?'. */
static bool append_name(char *out, size_t size, bool is_first, const ASN1_STRING *name)
{
    size_t len = strlen(out);
    const char *before = is_first ? "is for " : ", ";
    const unsigned char *from = ASN1_STRING_get0_data(name);
    size_t name_len = (size_t)ASN1_STRING_length(name);
    if (len + strlen(before) + name_len >= size)
        return false;
    len += (size_t)snprintf(out + len, size - len, "%s", before);
    for (size_t i = 0; i < name_len; i++)
        out[len++] = (char)(from[i] > ' ' && from[i] < 0x7f ? from[i] : '?');
    out[len] = '\0';
    return true;
}

/* Both sides of it: whoever reads this compares them, and the host's own name need not be one that
 * was asked for (behind an insecure MX look-up it is not). */
static void tell_mismatch(char *const wanted[2], X509 *leaf, char *out, size_t size)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    int count = names ? sk_GENERAL_NAME_num(names) : 0;
    unsigned hosts = 0, told = 0;
    tell_wanted(wanted, out, size);
    for (int i = 0; i < count; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_DNS)
            continue;
        hosts++;
        told += append_name(out, size, told == 0, name->d.dNSName);
    }
    size_t len = strlen(out);
    if (told == 0)
        snprintf(out + len, size - len, "%s", hosts > 0 ? "is for another" : "names no host");
    GENERAL_NAMES_free(names);
}

static bool judge_dane(const struct tls_peer *p, SSL *ssl, X509 *leaf, struct tls_facts *facts,
                       struct tls_failure *failure)
{
    long result = SSL_get_verify_result(ssl);
    const char *why = "";
    if (!p->is_dane_asked) {
        facts->dane = TLS_DANE_NOT_ASKED;
    } else if (p->usable == 0) {
        facts->dane = TLS_DANE_NONE_USABLE;
        why = "no usable TLSA record";
    } else if (is_our_fault(result)) {
        return verify_is_ours(failure, result);
    } else if (result == X509_V_OK && SSL_get0_dane_authority(ssl, NULL, NULL) >= 0) {
        facts->dane = TLS_DANE_MATCHED;
    } else {
        facts->dane = TLS_DANE_MISMATCHED;
        why =
            X509_verify_cert_error_string(result == X509_V_OK ? X509_V_ERR_DANE_NO_MATCH : result);
    }
    snprintf(facts->dane_error, sizeof(facts->dane_error), "%s", why);
    if (facts->dane == TLS_DANE_MISMATCHED && result == X509_V_ERR_HOSTNAME_MISMATCH && leaf)
        tell_mismatch(p->dane_names, leaf, facts->dane_error, sizeof(facts->dane_error));
    return true;
}

/* 1 valid, 0 not (*result says why), negative: our fault. */
static int verify_chain(SSL *ssl, X509 *leaf, int *result)
{
    X509_STORE *store = SSL_CTX_get_cert_store(SSL_get_SSL_CTX(ssl));
    X509_STORE_CTX *x = X509_STORE_CTX_new();
    int verdict = -1;
    *result = X509_V_ERR_OUT_OF_MEM;
    if (!x || X509_STORE_CTX_init(x, store, leaf, SSL_get_peer_cert_chain(ssl)) != 1 ||
        X509_STORE_CTX_set_default(x, "ssl_server") != 1)
        goto out;
    X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(x), PKIX_SECURITY_LEVEL);
    verdict = X509_verify_cert(x) == 1;
    *result = X509_STORE_CTX_get_error(x);
    if (!verdict && is_our_fault(*result))
        verdict = -1;
out:
    X509_STORE_CTX_free(x);
    return verdict;
}

/* RFC 8461 section 4.1 and RFC 6125: DNS-IDs alone, a wildcard only as the whole leftmost label.
 * OpenSSL takes a name that begins with a dot for "any host below". */
static bool has_name(X509 *leaf, const char *name)
{
    return name[0] != '.' && X509_check_host(leaf, name, 0,
                                             X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
                                                 X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS,
                                             NULL) == 1;
}

static bool judge_certificate(const struct tls_peer *p, SSL *ssl, X509 *leaf,
                              struct tls_facts *facts, struct tls_failure *failure)
{
    int result;
    int verdict = verify_chain(ssl, leaf, &result);
    if (verdict < 0)
        return verify_is_ours(failure, result);
    if (verdict == 0) {
        snprintf(facts->pkix_error, sizeof(facts->pkix_error), "%s",
                 X509_verify_cert_error_string(result));
        return true;
    }
    for (size_t i = 0; i < COUNT_OF(p->pkix_names); i++)
        facts->has_pkix_name[i] = p->pkix_names[i] && has_name(leaf, p->pkix_names[i]);
    facts->is_pkix_valid = facts->has_pkix_name[0] || facts->has_pkix_name[1];
    if (!facts->is_pkix_valid)
        tell_mismatch(p->pkix_names, leaf, facts->pkix_error, sizeof(facts->pkix_error));
    return true;
}

static bool judge_pkix(const struct tls_peer *p, SSL *ssl, X509 *leaf, struct tls_facts *facts,
                       struct tls_failure *failure)
{
    facts->is_pkix_valid = false;
    facts->pkix_error[0] = '\0';
    if (!p->pkix_names[0] && !p->pkix_names[1]) {
        snprintf(facts->pkix_error, sizeof(facts->pkix_error), "not looked at");
        return true;
    }
    if (!leaf) {
        snprintf(facts->pkix_error, sizeof(facts->pkix_error), "no certificate");
        return true;
    }
    return judge_certificate(p, ssl, leaf, facts, failure);
}

/* Takes over what OpenSSL encoded. */
static void digest_of(unsigned char *encoded, int len, char out[65])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    out[0] = '\0';
    if (len > 0) {
        SHA256(encoded, (size_t)len, digest);
        for (size_t i = 0; i < sizeof(digest); i++)
            snprintf(out + 2 * i, 3, "%02x", digest[i]);
    }
    OPENSSL_free(encoded);
}

/* What an operator compares, and may have named; the same digests as in TLSA records 3 1 1 and
 * 3 0 1. What cannot be read stays "", which is nobody's fingerprint. */
static void read_digests(X509 *leaf, struct tls_facts *facts)
{
    unsigned char *key = NULL, *certificate = NULL;
    int key_len = leaf ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(leaf), &key) : -1;
    digest_of(key, key_len, facts->key_digest);
    int certificate_len = leaf ? i2d_X509(leaf, &certificate) : -1;
    digest_of(certificate, certificate_len, facts->certificate_digest);
}

/* The server's ephemeral key tells the group, for TLS 1.2 and 1.3 alike. */
static void read_key_exchange(SSL *ssl, char *out, size_t size)
{
    EVP_PKEY *key = NULL;
    const char *type = NULL;
    out[0] = '\0';
    if (SSL_get_peer_tmp_key(ssl, &key) != 1)
        return;
    if (EVP_PKEY_get_group_name(key, out, size, NULL) != 1) {
        type = EVP_PKEY_get0_type_name(key);
        snprintf(out, size, "%s", type ? type : "");
    }
    EVP_PKEY_free(key);
}

bool tls_peer_judge(const struct tls_peer *p, SSL *ssl, struct tls_facts *facts,
                    struct tls_failure *failure)
{
    X509 *leaf = SSL_get1_peer_certificate(ssl);
    read_digests(leaf, facts);
    read_key_exchange(ssl, facts->key_exchange, sizeof(facts->key_exchange));
    bool is_judged =
        judge_dane(p, ssl, leaf, facts, failure) && judge_pkix(p, ssl, leaf, facts, failure);
    X509_free(leaf);
    ERR_clear_error();
    return is_judged;
}
