#include "gateway/tls/scram.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <string.h>

static const EVP_MD *digest_of(enum scram_hash hash)
{
    return hash == SCRAM_SHA1 ? EVP_sha1() : EVP_sha256();
}

static bool keyed(const EVP_MD *md, const uint8_t *key, size_t key_len, struct slice text,
                  uint8_t *out)
{
    static const char nothing[1] = "";
    const void *data = text.len > 0 ? text.data : nothing;
    return HMAC(md, key, (int)key_len, data, text.len, out, NULL) != NULL;
}

/* RFC 5802 section 3: StoredKey := H(HMAC(SaltedPassword, "Client Key")), ServerKey :=
 * HMAC(SaltedPassword, "Server Key"). */
static bool derive_keys(const EVP_MD *md, const uint8_t *salted, struct scram_keys *out)
{
    uint8_t client_key[EVP_MAX_MD_SIZE];
    bool is_done = keyed(md, salted, out->key_len, SLICE("Client Key"), client_key) &&
                   EVP_Digest(client_key, out->key_len, out->stored_key, NULL, md, NULL) == 1 &&
                   keyed(md, salted, out->key_len, SLICE("Server Key"), out->server_key);
    explicit_bzero(client_key, sizeof(client_key));
    return is_done;
}

bool scram_derive(enum scram_hash hash, struct slice password, const uint8_t *salt, size_t salt_len,
                  unsigned iterations, struct scram_keys *out)
{
    const EVP_MD *md = digest_of(hash);
    uint8_t salted[EVP_MAX_MD_SIZE];
    struct scram_keys keys = {
        .iterations = iterations, .salt_len = salt_len, .key_len = (size_t)EVP_MD_get_size(md)};
    if (salt_len > sizeof(keys.salt) || password.len > INT_MAX || iterations == 0 ||
        iterations > INT_MAX)
        return false;
    memcpy(keys.salt, salt, salt_len);
    bool is_done =
        PKCS5_PBKDF2_HMAC(password.len > 0 ? password.data : "", (int)password.len, salt,
                          (int)salt_len, (int)iterations, md, (int)keys.key_len, salted) == 1 &&
        derive_keys(md, salted, &keys);
    if (is_done)
        *out = keys;
    explicit_bzero(salted, sizeof(salted));
    explicit_bzero(&keys, sizeof(keys));
    ERR_clear_error();
    return is_done;
}

bool scram_new(enum scram_hash hash, struct slice password, struct scram_keys *out)
{
    uint8_t salt[SCRAM_SALT_LEN];
    return random_bytes(salt, sizeof(salt)) &&
           scram_derive(hash, password, salt, sizeof(salt), SCRAM_ITERATIONS, out);
}

bool scram_matches(enum scram_hash hash, struct slice password, const struct scram_keys *keys)
{
    struct scram_keys got;
    if (!scram_derive(hash, password, keys->salt, keys->salt_len, keys->iterations, &got))
        return false;
    bool is_same = got.key_len == keys->key_len &&
                   CRYPTO_memcmp(got.stored_key, keys->stored_key, got.key_len) == 0;
    explicit_bzero(&got, sizeof(got));
    return is_same;
}

/* The secret is made once, on first use, and lives as long as the process. */
static pthread_once_t secret_once = PTHREAD_ONCE_INIT;
static uint8_t secret[32];
static bool has_secret;

static void make_secret(void)
{
    has_secret = random_bytes(secret, sizeof(secret));
}

bool scram_fake_salt(struct slice name, uint8_t out[SCRAM_SALT_LEN])
{
    uint8_t whole[EVP_MAX_MD_SIZE];
    pthread_once(&secret_once, make_secret);
    if (!has_secret || !keyed(EVP_sha256(), secret, sizeof(secret), name, whole))
        return false;
    memcpy(out, whole, SCRAM_SALT_LEN);
    return true;
}

bool random_bytes(void *out, size_t size)
{
    bool is_done = size <= INT_MAX && RAND_bytes(out, (int)size) == 1;
    ERR_clear_error();
    return is_done;
}
