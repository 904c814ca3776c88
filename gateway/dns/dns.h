/* dns.h - MX hosts, addresses, TLSA records and texts, each with what DNSSEC says of it
 * (GUARANTEE.md section 5).
 *
 * The one door to libunbound, which validates itself. One resolver for the process: made and freed
 * on its home loop, asked from any loop's thread; answers come on the asker's loop. A question is
 * given up after 20 s; a look-up is up to four of them in a row, and the control question. At most
 * 100 MX hosts, 50 addresses of a host and 64 texts are kept (detail says so). */
#ifndef GATEWAY_DNS_DNS_H
#define GATEWAY_DNS_DNS_H

#include "gateway/net/address.h"
#include "gateway/net/loop.h"
#include "mail/event.h"
#include "mail/slice.h"

struct dns; /* opaque */

struct dns_options {
    /* "ADDRESS@PORT" (or "ADDRESS"); count 0: recurse from the root */
    const char *const *resolvers;
    size_t resolver_count;
    const char *trust_anchor;        /* file */
    const char *unbound_config;      /* "" or a further libunbound configuration file */
    const struct event_sink *events; /* borrowed; may be NULL */
    /* Names whose answer must be secure, insecure, bogus (selftest.h): asked at start and every
     * hour. Copied; "" or NULL: not asked. */
    const char *self_test_signed;
    const char *self_test_unsigned;
    const char *self_test_bogus;
};
/* NULL with words that name the file or the resolver. */
NODISCARD struct dns *dns_new(struct loop *home, const struct dns_options *o, char *error,
                              size_t error_size);
/* Cancels what is under way (its callbacks come with DNS_OUR_FAULT, or not at all once their loop
 * ended) and frees. Home loop only. */
void dns_free(struct dns *d);
/* What the self-test found, for the operator: "ok", "off", "not asked yet", or what is wrong. Home
 * loop only. */
void dns_self_test_words(const struct dns *d, char *out, size_t size);

enum dns_security { DNS_SECURE, DNS_INSECURE };
enum dns_status {
    DNS_DATA,
    DNS_NODATA,    /* the name exists, not this type; secure or insecure */
    DNS_NXDOMAIN,  /* secure or insecure */
    DNS_FAILED,    /* timed out, SERVFAIL and the like, counted against the destination: the control
                      question succeeded within the last minute */
    DNS_BOGUS,     /* whatever data it carried */
    DNS_OUR_FAULT, /* a look-up failed and the control question failed too, or the resolver itself
                      is broken */
};

struct dns_question; /* opaque: a look-up under way */
/* Asker's thread, before the callback began (it ends the question); the callback will not come. An
 * asker cancels before its loop ends. */
void dns_cancel(struct dns_question *q);

/* Where a domain's mail goes (RFC 5321 section 5.1, RFC 7505). */
struct dns_mx_host {
    char name[DOMAIN_SIZE]; /* A-label, lower case, no trailing dot */
    unsigned preference;
};
struct dns_mx {
    /* Of the MX look-up. DATA: is_null, or hosts (count 0: no record names a host, see detail);
     * NODATA: implicit MX, hosts[0] is the domain itself; NXDOMAIN: none. */
    enum dns_status status;
    enum dns_security security; /* of data or denial */
    bool is_implicit;
    bool is_null;       /* the only MX is "." */
    char detail[200];   /* what went wrong, "" */
    int64_t expires_at; /* wall clock seconds: end of the TTL */
    size_t count;
    struct dns_mx_host *hosts; /* by preference; equal ones in no order (the caller shuffles) */
};
/* The answer is borrowed during the callback. domain is an A-label; an MX target that is no host
 * name ("." beside others, an address) is left out. */
NODISCARD struct dns_question *dns_find_mx(struct dns *d, struct loop *l, const char *domain,
                                           void (*found)(void *context, const struct dns_mx *mx),
                                           void *context);

enum dns_tlsa { DNS_TLSA_NONE, DNS_TLSA_USABLE, DNS_TLSA_UNUSABLE, DNS_TLSA_ERROR };

/* A whole certificate with a 4,096-bit key and many names fits; a longer record counts as unusable.
 */
#define TLSA_DATA_MAX 4096

struct dns_tlsa_record {
    uint8_t usage, selector, matching;
    uint16_t len;
    uint8_t data[TLSA_DATA_MAX];
};

/* One MX host: where it is, and what it promises. */
struct dns_host {
    /* DATA: addresses has some; NODATA, NXDOMAIN: none exist; else why every family failed.
     * OUR_FAULT (with tlsa ERROR) also where only the TLSA question failed, and through us. */
    enum dns_status status;
    char detail[200];
    size_t address_count;
    struct net_address *addresses; /* port set; IPv6 and IPv4 as found */
    bool is_address_secure;        /* judged on the families that answered */
    /* NONE also where addresses are insecure and no secure alias leads there: no TLSA question was
     * asked. ERROR: learnt from nobody, the host must not be used (RFC 7672 section 2.1.2). */
    enum dns_tlsa tlsa;
    bool is_tlsa_insecure; /* an insecure answer carried TLSA records, which do not count */
    char tlsa_detail[200];
    /* TLSA base domain: SNI and reference name; the host name where there are no records. */
    char tlsa_base[DOMAIN_SIZE];
    size_t record_count; /* usable ones only, strongest digest of each usage and selector */
    struct dns_tlsa_record *records;
    int64_t expires_at; /* wall clock seconds: the shortest TTL of all that this says */
};
/* Looks up A and AAAA (as ip_version says: 4, 6, or 0 for both), the alias rule, and TLSA of
 * _port._tcp (section 5, all of it). Port 0 asks for the addresses alone: tlsa is NONE, and the
 * port of the addresses 0. */
NODISCARD struct dns_question *
dns_find_host(struct dns *d, struct loop *l, const char *host, uint16_t port, int ip_version,
              void (*found)(void *context, const struct dns_host *host), void *context);

/* The TXT records of a name. */
struct dns_txt {
    enum dns_status status;
    enum dns_security security; /* of data or denial */
    char detail[200];           /* what went wrong, "" */
    int64_t expires_at;         /* wall clock seconds: end of the TTL */
    size_t count;
    struct slice *texts; /* one of each record, its strings joined; may hold any octet */
};
NODISCARD struct dns_question *dns_find_txt(struct dns *d, struct loop *l, const char *name,
                                            void (*found)(void *context, const struct dns_txt *txt),
                                            void *context);

#endif
