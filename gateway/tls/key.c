#include "gateway/tls/key.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>

#include "gateway/tls/fault.h"

/* Without a callback OpenSSL would ask for the passphrase on the terminal. */
static int no_passphrase(char *out, int size, int is_writing, void *is_asked)
{
    (void)out, (void)size, (void)is_writing;
    *(bool *)is_asked = true;
    return -1;
}

static EVP_PKEY *read_key(struct slice pem, char *error, size_t error_size)
{
    char words[150];
    bool is_asked = false;
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &is_asked) : NULL;
    BIO_free(bio);
    if (key)
        return key;
    tls_fault_text(words, sizeof words);
    if (is_asked)
        snprintf(error, error_size, "the key is protected by a passphrase");
    else
        snprintf(error, error_size, "no private key in PEM form: %s", words);
    return NULL;
}

enum tls_key_kind tls_key_look(struct slice pem, unsigned *bits, char *error, size_t error_size)
{
    ERR_clear_error();
    EVP_PKEY *key = read_key(pem, error, error_size);
    ERR_clear_error();
    *bits = 0;
    if (!key)
        return TLS_KEY_NONE;
    *bits = (unsigned)EVP_PKEY_get_bits(key);
    enum tls_key_kind kind = EVP_PKEY_is_a(key, "RSA") ? TLS_KEY_RSA : TLS_KEY_OTHER;
    EVP_PKEY_free(key);
    return kind;
}
