/* schema.h - the one table of configuration keys: parser, `sealpostd -t`, the sample and the man
 * page are tested against it. */
#ifndef GATEWAY_SCHEMA_H
#define GATEWAY_SCHEMA_H

#include "mail/slice.h"

enum schema_kind {
    SCHEMA_TEXT,      /* any string, at least `min` octets */
    SCHEMA_DOMAIN,    /* a domain name; "" too where min is 0 */
    SCHEMA_NUMBER,    /* min..max */
    SCHEMA_SWITCH,    /* true or false */
    SCHEMA_DURATION,  /* "30s", "15m", "4h", "5d"; min..max in milliseconds */
    SCHEMA_SIZE,      /* "25M"; K, M, G, T are powers of 1024; min..max in octets */
    SCHEMA_CHOICE,    /* one of `choices`, separated by '|' */
    SCHEMA_CHOICES,   /* a list of them */
    SCHEMA_TLS,       /* one of `choices`, or "fingerprint=HEX[,HEX...]" */
    SCHEMA_ADDRESSES, /* a list of IP addresses, "*" */
    SCHEMA_NETWORKS,  /* a list of ADDRESS/PREFIX */
    SCHEMA_RESOLVERS, /* a list of ADDRESS@PORT */
    SCHEMA_NEXT_HOP,  /* "[HOST]:PORT", "DOMAIN", "unix:/PATH" */
};

struct schema_key {
    const char *section; /* "" is the top level */
    const char *key;
    enum schema_kind kind;
    const char *preset; /* as it would be written; lists as "a, b"; NULL: must be set */
    int64_t min, max;
    const char *choices;
    const char *help; /* one line */
};
extern const struct schema_key schema_keys[];
extern const size_t schema_key_count;

/* Sections that may stand several times, under a title. */
bool schema_is_titled(const char *section);
const struct schema_key *schema_find(const char *section, const char *key);
/* Does `value` fit? False: what was expected is in expected[]. Lists are checked item by item. */
NODISCARD bool schema_check(const struct schema_key *key, const char *value, char *expected,
                            size_t size);

NODISCARD bool schema_duration(struct slice in, int64_t *ms);
NODISCARD bool schema_size(struct slice in, uint64_t *octets);

#endif
