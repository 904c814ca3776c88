/* fake_dns.h - a DNS made of a table, for the look-ups that ask through struct dns_asker. */
#ifndef TESTS_FAKE_DNS_H
#define TESTS_FAKE_DNS_H

#include "gateway/dns/answer.h"

#define FAKE_NOW 1000000 /* wall clock */
#define FAKE_TTL 300     /* of answers whose ttl is 0 */

/* One answer of the table. Records in text: "192.0.2.1", "2001:db8::1", "10 mx.example", "3 1 1 32"
 * for TLSA with 32 octets of data, "one|two" for the strings of a TXT record, "hex:0a" for any
 * rdata. */
struct fake_answer {
    const char *name;
    enum dns_type type;
    enum dns_status status;
    enum dns_security security;
    const char *canonical; /* NULL: no alias */
    int ttl;
    const char *records[8];
};

struct fake_dns {
    const struct fake_answer *answers;
    size_t count;
    bool is_reversed; /* of several open questions the last one asked is answered first */
    int64_t now_ms;   /* loop clock */
    struct dns_asker asker;
    struct dns_ask *open[8];
    size_t open_count;
    char asked[1024]; /* "AAAA mx.example, A mx.example": every question, in order */
};

void fake_dns_init(struct fake_dns *f, const struct fake_answer *answers, size_t count);
/* Answers all that is open, and what that leads to. What the table lacks fails the test. */
void fake_dns_pump(struct fake_dns *f);
/* Answers the only open question with this. */
void fake_dns_answer(struct fake_dns *f, enum dns_status status, enum dns_security security);

#endif
