/* fingerprint.h - what the policy "fingerprint=HEX[,HEX...]" names: SHA-256 digests, each of a
 * certificate (DER) or of a public key (SubjectPublicKeyInfo, as in a TLSA record 3 1 1).
 *
 * Plain values, any thread. */
#ifndef GATEWAY_GUARANTEE_FINGERPRINT_H
#define GATEWAY_GUARANTEE_FINGERPRINT_H

#include "mail/slice.h"

#define FINGERPRINT_SIZE 65 /* 64 digits and a NUL */

struct guarantee_fingerprints {
    size_t count;
    char (*digests)[FINGERPRINT_SIZE]; /* owned; lower case, no colons */
};

/* Reads "fingerprint=" and at least one digest; upper or lower case, without colons or with one
 * between any two octets, spaces around the commas. False: *out is untouched. */
NODISCARD bool guarantee_fingerprints_parse(struct slice in, struct guarantee_fingerprints *out);
void guarantee_fingerprints_clear(struct guarantee_fingerprints *f);

/* Is the digest (64 digits in lower case) one of them? NULL and "" never are. */
bool guarantee_fingerprints_have(const struct guarantee_fingerprints *f, const char *digest);

#endif
