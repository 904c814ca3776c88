/* answer.h - one question to DNS and its answer as plain values, and how a look-up asks.
 *
 * The look-ups of mx.h, host.h and txt.h decide; whoever stands behind struct dns_asker fetches:
 * the resolver in the product, a table in tests. Home loop only. */
#ifndef GATEWAY_DNS_ANSWER_H
#define GATEWAY_DNS_ANSWER_H

#include "gateway/dns/dns.h"
#include "mail/slice.h"

enum dns_type {
    DNS_TYPE_A = 1,
    DNS_TYPE_CNAME = 5,
    DNS_TYPE_MX = 15,
    DNS_TYPE_TXT = 16,
    DNS_TYPE_AAAA = 28,
    DNS_TYPE_TLSA = 52,
};

#define DNS_DETAIL_SIZE 200
#define DNS_QUESTION_SIZE (DOMAIN_SIZE + 16) /* "_65535._tcp." before a name */

struct dns_answer {
    enum dns_status status;
    enum dns_security security; /* of data or denial */
    int64_t expires_at;         /* wall clock seconds; for DATA, NODATA, NXDOMAIN */
    const char *canonical; /* the name at the end of the aliases; "" where the name asked is none */
    const char *detail;    /* why it failed, "" */
    size_t count;
    const struct slice *records; /* rdata */
};

/* The order of GUARANTEE.md section 5: an error or an odd rcode first, then bogus whatever the
 * answer carries, then what it says. */
struct dns_raw_answer {
    int error; /* of the library; 0: none */
    int rcode;
    bool is_bogus;
    bool has_data;
};
enum dns_status dns_answer_status(const struct dns_raw_answer *raw);

const char *dns_type_name(enum dns_type type);
/* "SERVFAIL"; "unusual rcode" for those that no resolver should say. */
const char *dns_rcode_name(int rcode);

/* One question under way; a member of the look-up that asks. */
struct dns_ask {
    char name[DNS_QUESTION_SIZE];
    enum dns_type type;
    /* The answer is borrowed for the call. Called once; the ask may be gone or in use again after.
     */
    void (*answered)(void *context, struct dns_ask *ask, const struct dns_answer *answer);
    void *context;
};

/* "MX look-up of example.org: SERVFAIL". A long name is cut so that the cause has room. */
void dns_explain(const struct dns_ask *ask, const struct dns_answer *answer,
                 char out[DNS_DETAIL_SIZE]);

struct dns_asker {
    /* Name, type, answered and context are set. The answer never comes from inside this call. */
    void (*ask)(void *context, struct dns_ask *ask);
    int64_t (*now_ms)(void *context); /* loop clock */
    void *context;
};

#endif
