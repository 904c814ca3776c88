/* scram.h - password verifiers as SCRAM keeps them (RFC 5802, RFC 7677), and random bytes. Pure
 * CPU: 1 ms and more a call, so off the loop. */
#ifndef GATEWAY_TLS_SCRAM_H
#define GATEWAY_TLS_SCRAM_H

#include "mail/slice.h"

enum scram_hash { SCRAM_SHA1, SCRAM_SHA256 };
#define SCRAM_SALT_LEN 16
#define SCRAM_KEY_MAX 32
#define SCRAM_ITERATIONS 10000

struct scram_keys {
    unsigned iterations;
    uint8_t salt[32];
    size_t salt_len;
    uint8_t stored_key[SCRAM_KEY_MAX];
    uint8_t server_key[SCRAM_KEY_MAX];
    size_t key_len; /* 20 or 32 */
};

/* The password must be SASLprep'd (RFC 4013) already. False: the library failed. */
NODISCARD bool scram_derive(enum scram_hash hash, struct slice password, const uint8_t *salt,
                            size_t salt_len, unsigned iterations, struct scram_keys *out);
NODISCARD bool scram_new(enum scram_hash hash, struct slice password,
                         struct scram_keys *out); /* with a fresh salt */
/* Does the password give this stored key? In constant time. */
bool scram_matches(enum scram_hash hash, struct slice password, const struct scram_keys *keys);
/* A stable made-up salt for a name that is no user, from a secret of this process (HMAC), so that
 * probing does not tell users apart. */
NODISCARD bool scram_fake_salt(struct slice name, uint8_t out[SCRAM_SALT_LEN]);
NODISCARD bool random_bytes(void *out, size_t size);

#endif
