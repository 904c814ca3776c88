#include "tests/support/pki.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

enum { DAY = 86400 };

static void must(bool is_done, const char *what)
{
    if (!is_done)
        panic("pki: %s failed", what);
}

static void add_extension(X509 *certificate, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    must(e && X509_add_ext(certificate, e, -1) == 1, value);
    X509_EXTENSION_free(e);
}

static void set_names(X509 *c, const struct pki_options *o, const struct pki_identity *issuer)
{
    X509_NAME *name = X509_get_subject_name(c);
    const unsigned char *text = (const unsigned char *)o->common_name;
    must(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, text, -1, -1, 0) == 1, "name");
    const X509_NAME *by = issuer ? X509_get_subject_name(issuer->certificate) : name;
    must(X509_set_issuer_name(c, by) == 1, "issuer");
}

struct pki_identity pki_make(const struct pki_options *o, const struct pki_identity *issuer)
{
    static long serial = 1000;
    struct pki_identity i = {.certificate = X509_new(), .key = EVP_EC_gen("P-256")};
    must(i.certificate && i.key, "key");
    bool is_default = o->from_s == 0 && o->until_s == 0;
    X509_set_version(i.certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(i.certificate), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(i.certificate), is_default ? -DAY : o->from_s);
    X509_gmtime_adj(X509_getm_notAfter(i.certificate), is_default ? DAY : o->until_s);
    X509_set_pubkey(i.certificate, i.key);
    set_names(i.certificate, o, issuer);
    add_extension(i.certificate, NID_basic_constraints,
                  o->is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    add_extension(i.certificate, NID_key_usage,
                  o->is_ca ? "critical,keyCertSign" : "critical,digitalSignature");
    if (o->alt_names)
        add_extension(i.certificate, NID_subject_alt_name, o->alt_names);
    must(X509_sign(i.certificate, issuer ? issuer->key : i.key, EVP_sha256()) > 0, "signing");
    return i;
}

void pki_free(struct pki_identity *i)
{
    X509_free(i->certificate);
    EVP_PKEY_free(i->key);
    *i = (struct pki_identity){NULL, NULL};
}

void pki_write(const struct pki_identity *i, const struct pki_identity *issuer,
               const char *certificate_file, const char *key_file)
{
    FILE *f = fopen(certificate_file, "w");
    must(f && PEM_write_X509(f, i->certificate) == 1, certificate_file);
    must(!issuer || PEM_write_X509(f, issuer->certificate) == 1, certificate_file);
    must(fclose(f) == 0, certificate_file);
    f = fopen(key_file, "w");
    must(f && PEM_write_PrivateKey(f, i->key, NULL, NULL, 0, NULL, NULL) == 1, key_file);
    must(fclose(f) == 0, key_file);
}

struct tlsa_record pki_tlsa(const struct pki_identity *i, unsigned usage, unsigned selector,
                            unsigned matching)
{
    struct tlsa_record r = {
        .usage = (uint8_t)usage, .selector = (uint8_t)selector, .matching = (uint8_t)matching};
    unsigned char *der = NULL;
    unsigned digest_len = 0;
    int len = selector == 0 ? i2d_X509(i->certificate, &der)
                            : i2d_X509_PUBKEY(X509_get_X509_PUBKEY(i->certificate), &der);
    must(len > 0 && (size_t)len <= sizeof(r.data), "DER");
    r.len = (uint16_t)len;
    if (matching == 0) {
        memcpy(r.data, der, (size_t)len);
    } else {
        const EVP_MD *md = matching == 1 ? EVP_sha256() : EVP_sha512();
        must(EVP_Digest(der, (size_t)len, r.data, &digest_len, md, NULL) == 1, "digest");
        r.len = (uint16_t)digest_len;
    }
    OPENSSL_free(der);
    return r;
}
