#include "gateway/tls/ticket.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { NAME_LEN = 16, IV_LEN = 16, KEY_LEN = 32, LIFETIME_S = 12 * 3600 };

struct key {
    uint8_t name[NAME_LEN];
    uint8_t cipher[KEY_LEN];
    uint8_t mac[KEY_LEN];
    int64_t made_at_s; /* monotonic */
};

struct tls_tickets {
    pthread_mutex_t lock; /* the context serves several loops */
    struct key keys[2];   /* the one to seal with, and the one before */
};

static int64_t now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static bool make_key(struct key *k)
{
    k->made_at_s = now_s();
    return random_bytes(k->name, sizeof(k->name)) && random_bytes(k->cipher, sizeof(k->cipher)) &&
           random_bytes(k->mac, sizeof(k->mac));
}

static bool has_expired(const struct key *k, int64_t lifetimes)
{
    return now_s() - k->made_at_s >= lifetimes * LIFETIME_S;
}

/* Locked. False: no fresh key could be made; then no ticket is given. */
static bool renew(struct tls_tickets *t)
{
    struct key fresh;
    if (!has_expired(&t->keys[0], 1))
        return true;
    if (!make_key(&fresh))
        return false;
    t->keys[1] = t->keys[0];
    t->keys[0] = fresh;
    explicit_bzero(&fresh, sizeof(fresh));
    return true;
}

/* Locked. The key to seal with (name NULL), or the one of that name; NULL: none, or too old. */
static const struct key *find(struct tls_tickets *t, const unsigned char *name)
{
    if (!name)
        return renew(t) ? &t->keys[0] : NULL;
    for (size_t i = 0; i < COUNT_OF(t->keys); i++)
        if (memcmp(t->keys[i].name, name, NAME_LEN) == 0)
            return has_expired(&t->keys[i], 2) ? NULL : &t->keys[i];
    return NULL;
}

static bool take_key(struct tls_tickets *t, const unsigned char *name, struct key *out)
{
    pthread_mutex_lock(&t->lock);
    const struct key *k = find(t, name);
    if (k)
        *out = *k;
    pthread_mutex_unlock(&t->lock);
    return k != NULL;
}

static bool set_keys(const struct key *k, const unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int seals)
{
    char digest[] = "SHA256";
    uint8_t mac_key[KEY_LEN];
    memcpy(mac_key, k->mac, sizeof(mac_key));
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, mac_key, sizeof(mac_key)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    bool is_done = EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, k->cipher, iv, seals) == 1 &&
                   EVP_MAC_CTX_set_params(mac, parameters) == 1;
    explicit_bzero(mac_key, sizeof(mac_key));
    return is_done;
}

static int contexts_index = -1;
static pthread_once_t index_once = PTHREAD_ONCE_INIT;

static void make_index(void)
{
    contexts_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

/* 1: done; 2: opened, and a fresh ticket is due; 0: no such key, so a whole handshake; -1: error.
 */
static int with_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                    EVP_MAC_CTX *mac, int seals)
{
    struct tls_tickets *t = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), contexts_index);
    struct key k;
    if (!take_key(t, seals ? NULL : name, &k))
        return 0;
    if (seals)
        memcpy(name, k.name, NAME_LEN);
    bool is_done = (!seals || random_bytes(iv, IV_LEN)) && set_keys(&k, iv, cipher, mac, seals);
    bool is_old = has_expired(&k, 1);
    explicit_bzero(&k, sizeof(k));
    if (!is_done)
        return -1;
    return !seals && is_old ? 2 : 1;
}

struct tls_tickets *tls_tickets_new(SSL_CTX *ctx)
{
    struct tls_tickets *t = xalloc(sizeof(*t));
    pthread_mutex_init(&t->lock, NULL);
    pthread_once(&index_once, make_index);
    if (contexts_index >= 0 && make_key(&t->keys[0]) && make_key(&t->keys[1]) &&
        SSL_CTX_set_ex_data(ctx, contexts_index, t) == 1 &&
        SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, with_key) == 1)
        return t;
    tls_tickets_free(t);
    return NULL;
}

void tls_tickets_free(struct tls_tickets *t)
{
    if (!t)
        return;
    pthread_mutex_destroy(&t->lock);
    explicit_bzero(t->keys, sizeof(t->keys));
    free(t);
}

void tls_tickets_age(struct tls_tickets *t, int64_t seconds)
{
    pthread_mutex_lock(&t->lock);
    for (size_t i = 0; i < COUNT_OF(t->keys); i++)
        t->keys[i].made_at_s -= seconds;
    pthread_mutex_unlock(&t->lock);
}
