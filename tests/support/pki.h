/* pki.h - keys, certificates and TLSA records made for one test. Any failure ends the program. */
#ifndef TESTS_SUPPORT_PKI_H
#define TESTS_SUPPORT_PKI_H

#include <openssl/ssl.h>

#include "gateway/tls/stream.h"

struct pki_identity {
    X509 *certificate; /* owned */
    EVP_PKEY *key;     /* owned */
};

struct pki_options {
    const char *common_name;
    const char *alt_names; /* "DNS:mx.example.test, DNS:*.example.test"; NULL: no such extension */
    long from_s, until_s;  /* seconds from now; both 0: from a day ago until tomorrow */
    bool is_ca;
};

/* A new P-256 key and its certificate, signed by `issuer`, by itself when NULL. */
struct pki_identity pki_make(const struct pki_options *o, const struct pki_identity *issuer);
void pki_free(struct pki_identity *i);
/* PEM files: the certificate with its chain (issuer may be NULL), and the key. */
void pki_write(const struct pki_identity *i, const struct pki_identity *issuer,
               const char *certificate_file, const char *key_file);
struct tlsa_record pki_tlsa(const struct pki_identity *i, unsigned usage, unsigned selector,
                            unsigned matching);

#endif
