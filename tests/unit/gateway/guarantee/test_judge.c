/* One host, one recipient: each requirement of GUARANTEE.md section 1 against each fact of section
 * 2, as a table, and then the whole space of facts against an oracle that is written in another
 * way. */
#include "gateway/guarantee/judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* What a host is, in letters: easier to read in a table than eight booleans.
 *   s  MX look-up secure          l  address literal       x  local route       d  TLSA matched
 *   p  WebPKI valid               n  ... for the next-hop domain                q  REQUIRETLS after
 * TLS m  smarthost              h  WebPKI valid for the host name itself       r  TLS remembered
 *   k  key named by the policy    c  certificate named by it
 *   K, F: likewise by the route
 *   MTA-STS:  C covers  E excludes  U unknown  T testing  O a fault of our own */
static enum guarantee_sts sts_of(const char *letters)
{
    static const char sts_letters[] = "-TCEUO";
    for (int sts = GUARANTEE_STS_TESTING; sts <= GUARANTEE_STS_OUR_FAULT; sts++)
        if (strchr(letters, sts_letters[sts]) != NULL)
            return (enum guarantee_sts)sts;
    return GUARANTEE_STS_NONE;
}

/* What policy and route name, and what else there is. */
#define HEX16 "0123456789abcdef"
#define HEX(n) HEX16 HEX16 HEX16 "0123456789abcd" #n
static char policy_digests[][FINGERPRINT_SIZE] = {HEX(00), HEX(01), HEX(02)};
static char route_digests[][FINGERPRINT_SIZE] = {HEX(03), HEX(04)};
static const struct guarantee_fingerprints policy_list = {3, policy_digests};
static const struct guarantee_fingerprints route_list = {2, route_digests};

static void set_digests(struct guarantee_host *h, const char *letters)
{
    h->key_digest = strchr(letters, 'k')   ? policy_digests[1]
                    : strchr(letters, 'K') ? route_digests[0]
                                           : HEX(0a);
    h->certificate_digest = strchr(letters, 'c')   ? policy_digests[2]
                            : strchr(letters, 'F') ? route_digests[1]
                                                   : HEX(0b);
}

static void set_letters(struct guarantee_host *h, const char *letters)
{
    h->is_name_secure = strchr(letters, 's') != NULL;
    h->is_literal = strchr(letters, 'l') != NULL;
    h->is_local_route = strchr(letters, 'x') != NULL;
    h->is_dane_matched = strchr(letters, 'd') != NULL;
    h->is_pkix_valid = strpbrk(letters, "pnh") != NULL;
    h->is_pkix_for_host = strchr(letters, 'h') != NULL;
    h->is_tls_remembered = strchr(letters, 'r') != NULL;
    h->sts = sts_of(letters);
    h->is_pkix_for_domain = strchr(letters, 'n') != NULL;
    h->offers_requiretls = strchr(letters, 'q') != NULL;
    h->is_smarthost = strchr(letters, 'm') != NULL;
    set_digests(h, letters);
}

#define HOST "mx.plain.example"
#define ADDRESS "192.0.2.9"
#define SHOWN HOST "[" ADDRESS "]"

/* The requirements, by name. */
enum req {
    R_OFF,
    R_ENCRYPT,
    R_VERIFIED,
    R_POLICY_NONE,
    R_POLICY_ENCRYPT,
    R_POLICY_DANE,
    R_POLICY_VERIFY,
    R_ROUTE_NONE,
    R_ROUTE_ENCRYPT,
    R_ROUTE_DANE,
    R_ROUTE_VERIFY,
    R_REQUIRETLS,
    R_TLS_REQUIRED_NO,
    R_FLAG_AND_ROUTE_NONE,
    R_NO_AND_POLICY_ENCRYPT,
    R_NO_AND_POLICY_DANE,
    R_NO_AND_POLICY_VERIFY,
    R_NO_AND_REQUIRETLS,
    R_VERIFIED_AND_REQUIRETLS,
    R_VERIFIED_AND_POLICY_VERIFY,
    R_VERIFIED_AND_POLICY_DANE,
    R_RELEASED,
    R_RELEASED_POLICY_VERIFY,
    R_POLICY_FINGERPRINT,
    R_ROUTE_FINGERPRINT,
    R_BOTH_FINGERPRINT,
    R_ENCRYPT_AND_FINGERPRINT,
    R_VERIFIED_AND_FINGERPRINT,
    R_REQUIRETLS_AND_FINGERPRINT,
    R_NO_AND_FINGERPRINT,
    R_RELEASED_FINGERPRINT,
    R_DANE_AND_ROUTE_FINGERPRINT,
    R_FINGERPRINT_WITHOUT_LIST,
};
#define MAY GUARANTEE_POLICY_MAY
#define REQ(l, p, r, q, i)                                                                         \
    {                                                                                              \
        .level = LEVEL_##l, .policy = GUARANTEE_POLICY_##p, .route = GUARANTEE_POLICY_##r,         \
        .requiretls = (q), .ignores_promises = (i)                                                 \
    }
#define FINGERPRINTS(l, p, r, q, i)                                                                \
    {                                                                                              \
        .level = LEVEL_##l, .policy = GUARANTEE_POLICY_##p, .route = GUARANTEE_POLICY_##r,         \
        .policy_fingerprints = &policy_list, .route_fingerprints = &route_list, .requiretls = (q), \
        .ignores_promises = (i)                                                                    \
    }
static const struct guarantee_requirement requirements[] = {
    [R_OFF] = REQ(OFF, MAY, MAY, false, false),
    [R_ENCRYPT] = REQ(ENCRYPT, MAY, MAY, false, false),
    [R_VERIFIED] = REQ(VERIFIED, MAY, MAY, false, false),
    [R_POLICY_NONE] = REQ(OFF, NONE, MAY, false, false),
    [R_POLICY_ENCRYPT] = REQ(OFF, ENCRYPT, MAY, false, false),
    [R_POLICY_DANE] = REQ(OFF, DANE, MAY, false, false),
    [R_POLICY_VERIFY] = REQ(OFF, VERIFY, MAY, false, false),
    [R_ROUTE_NONE] = REQ(OFF, MAY, NONE, false, false),
    [R_ROUTE_ENCRYPT] = REQ(OFF, MAY, ENCRYPT, false, false),
    [R_ROUTE_DANE] = REQ(OFF, MAY, DANE, false, false),
    [R_ROUTE_VERIFY] = REQ(OFF, MAY, VERIFY, false, false),
    [R_REQUIRETLS] = REQ(OFF, MAY, MAY, true, false),
    [R_TLS_REQUIRED_NO] = REQ(OFF, MAY, MAY, false, true),
    [R_FLAG_AND_ROUTE_NONE] = REQ(ENCRYPT, NONE, NONE, false, false),
    [R_NO_AND_POLICY_ENCRYPT] = REQ(OFF, ENCRYPT, MAY, false, true),
    [R_NO_AND_POLICY_DANE] = REQ(OFF, DANE, MAY, false, true),
    [R_NO_AND_POLICY_VERIFY] = REQ(OFF, VERIFY, MAY, false, true),
    [R_NO_AND_REQUIRETLS] = REQ(OFF, MAY, MAY, true, true),
    [R_VERIFIED_AND_REQUIRETLS] = REQ(VERIFIED, MAY, MAY, true, false),
    [R_VERIFIED_AND_POLICY_VERIFY] = REQ(VERIFIED, VERIFY, MAY, false, false),
    [R_VERIFIED_AND_POLICY_DANE] = REQ(VERIFIED, DANE, MAY, false, false),
    [R_RELEASED] = {.policy = GUARANTEE_POLICY_MAY,
                    .route = GUARANTEE_POLICY_MAY,
                    .ignores_memory = true},
    [R_RELEASED_POLICY_VERIFY] = {.policy = GUARANTEE_POLICY_VERIFY,
                                  .route = GUARANTEE_POLICY_MAY,
                                  .ignores_memory = true},
    [R_POLICY_FINGERPRINT] = FINGERPRINTS(OFF, FINGERPRINT, MAY, false, false),
    [R_ROUTE_FINGERPRINT] = FINGERPRINTS(OFF, MAY, FINGERPRINT, false, false),
    [R_BOTH_FINGERPRINT] = FINGERPRINTS(OFF, FINGERPRINT, FINGERPRINT, false, false),
    [R_ENCRYPT_AND_FINGERPRINT] = FINGERPRINTS(ENCRYPT, FINGERPRINT, MAY, false, false),
    [R_VERIFIED_AND_FINGERPRINT] = FINGERPRINTS(VERIFIED, FINGERPRINT, MAY, false, false),
    [R_REQUIRETLS_AND_FINGERPRINT] = FINGERPRINTS(OFF, FINGERPRINT, MAY, true, false),
    [R_NO_AND_FINGERPRINT] = FINGERPRINTS(OFF, FINGERPRINT, MAY, false, true),
    [R_RELEASED_FINGERPRINT] = {.policy = GUARANTEE_POLICY_FINGERPRINT,
                                .route = GUARANTEE_POLICY_NONE,
                                .policy_fingerprints = &policy_list,
                                .ignores_memory = true},
    [R_DANE_AND_ROUTE_FINGERPRINT] = FINGERPRINTS(OFF, DANE, FINGERPRINT, false, false),
    [R_FINGERPRINT_WITHOUT_LIST] = REQ(OFF, FINGERPRINT, MAY, false, false),
};

struct judge_case {
    enum req req;
    enum guarantee_tlsa tlsa;
    enum guarantee_contact contact;
    enum guarantee_tls tls;
    const char *letters;
    enum guarantee_kind want;
    const char *want_status; /* NULL: kind ACCEPTABLE or NOT_YET */
    const char *want_text;   /* the text begins so */
};

/* Short names, so that a row is a line. */
#define NO_TLSA GUARANTEE_TLSA_NONE
#define USABLE GUARANTEE_TLSA_USABLE
#define UNUSABLE GUARANTEE_TLSA_UNUSABLE
#define TLSA_ERR GUARANTEE_TLSA_ERROR
#define UNTRIED GUARANTEE_UNTRIED
#define FAULT GUARANTEE_OUR_FAULT
#define DEAD GUARANTEE_NO_CONTACT
#define IN GUARANTEE_IN_CONTACT
#define T_UNTRIED GUARANTEE_TLS_UNTRIED
#define T_NONE GUARANTEE_TLS_NOT_OFFERED
#define T_LATER GUARANTEE_TLS_TRY_LATER
#define T_CUT GUARANTEE_TLS_CUT
#define T_REFUSED GUARANTEE_TLS_REFUSED
#define T_FAILED GUARANTEE_TLS_FAILED
#define T_UP GUARANTEE_TLS_ESTABLISHED
#define OK GUARANTEE_ACCEPTABLE
#define NOT_YET GUARANTEE_NOT_YET
#define OWN GUARANTEE_OWN_FAULT
#define UNREACH GUARANTEE_UNREACHABLE
#define UNKNOWN GUARANTEE_TLS_UNKNOWN
#define PASSING GUARANTEE_PASSING_TROUBLE
#define NOT_OFFERED GUARANTEE_NOT_OFFERED
#define REFUSED GUARANTEE_REFUSED
#define FAILED GUARANTEE_HANDSHAKE_FAILED
#define NOT_AUTH GUARANTEE_NOT_AUTHENTICATED
#define NO_RTLS GUARANTEE_NO_REQUIRETLS

#define W_NOT_OFFERED "TLS is required, but was not offered by host " SHOWN
#define W_REFUSED "TLS is required, but host " SHOWN " refused to start TLS: "
#define W_HANDSHAKE "Cannot start TLS: handshake failure with host " SHOWN ": "
#define W_TLSA_ERR "TLSA lookup error for " HOST ":25"
#define W_CERT "Server certificate not verified: "
#define W_NO_MATCH W_CERT "no TLSA record matches the certificate of host " SHOWN
#define W_NO_DNSSEC W_CERT "non DNSSEC destination, DANE cannot authenticate host " SHOWN
#define W_NO_TLSA W_CERT "no TLSA records found for host " SHOWN
#define W_TLSA_UNUSABLE W_CERT "TLSA records unusable for host " SHOWN
#define W_PKIX W_CERT "certificate of host " SHOWN " is not valid: " CERTIFICATE_ERROR
#define W_RTLS "Sender requested REQUIRETLS, but "
#define W_EXCLUDED W_CERT "host " SHOWN " is not in the MTA-STS policy of plain.example"
#define W_STS_CERT                                                                                 \
    W_CERT "certificate of host " SHOWN                                                            \
           " is not valid for its name, as the MTA-STS policy of plain.example requires"
#define W_STS_UNKNOWN W_CERT "the MTA-STS policy of plain.example could not be learnt: it timed out"
#define W_RTLS_STS_UNKNOWN                                                                         \
    W_RTLS "the name of host " SHOWN                                                               \
           " is not authentic: the MTA-STS policy of plain.example could"                          \
           " not be learnt: it timed out"
#define W_STS_FAULT                                                                                \
    "a fault of this mail system kept it from learning the MTA-STS policy of plain.example: it "   \
    "timed out"
#define W_NOT_NAMED                                                                                \
    W_CERT "host " SHOWN " shows key " HEX(0a) " / certificate " HEX(                              \
        0b) ", none of the fingerprints that our policy names"
#define W_NOT_NAMED_HERE W_CERT "host " SHOWN " shows key "
#define W_EXPECTED_NOT "TLS is expected, but was not offered by host " SHOWN
#define W_EXPECTED_REFUSED "TLS is expected, but host " SHOWN " refused to start TLS: "
#define CERTIFICATE_ERROR "self-signed certificate"

/* What the connection brings along where its facts need words. */
static struct outcome cause_of(enum guarantee_contact contact, enum guarantee_tls tls)
{
    if (contact == FAULT)
        return outcome_local(status_make(4, 3, 0), "too many open files");
    if (contact == DEAD)
        return outcome_reply(554, SLICE("5.3.2 go away"));
    if (tls == T_LATER)
        return outcome_reply(454, SLICE("4.7.0 TLS not available due to temporary reason"));
    if (tls == T_REFUSED)
        return outcome_reply(502, SLICE("5.5.1 no such thing"));
    if (tls == T_CUT)
        return outcome_local(status_make(4, 4, 2), "Connection reset by peer");
    if (tls == T_FAILED)
        return outcome_local(status_make(4, 7, 5), "no shared cipher");
    return (struct outcome){0};
}

static struct guarantee_host host_of(enum guarantee_tlsa tlsa, enum guarantee_contact contact,
                                     enum guarantee_tls tls, const char *letters)
{
    struct guarantee_host h = {.name = HOST,
                               .address = ADDRESS,
                               .port = 25,
                               .preference = 10,
                               .tlsa = tlsa,
                               .contact = contact,
                               .tls = tls,
                               .keywords = "",
                               .protocol = "",
                               .cipher = "",
                               .certificate_error = "",
                               .sts_domain = "plain.example",
                               .sts_detail = "it timed out",
                               .cause = cause_of(contact, tls)};
    set_letters(&h, letters);
    if (tls == T_UP && !h.is_dane_matched && !h.is_pkix_valid)
        h.certificate_error = CERTIFICATE_ERROR;
    return h;
}

static bool is_as_wanted(const struct judge_case *c, const struct guarantee_verdict *got)
{
    char status[STATUS_SIZE];
    if (got->kind != c->want)
        return false;
    if (c->want_status == NULL)
        return got->outcome.status.class == 0;
    return strcmp(status_text(got->outcome.status, status), c->want_status) == 0 &&
           strncmp(got->outcome.text, c->want_text, strlen(c->want_text)) == 0 &&
           strcmp(got->outcome.mx, HOST) == 0 && strcmp(got->outcome.address, ADDRESS) == 0 &&
           got->outcome.port == 25;
}

static void check(const struct judge_case *cases, size_t count)
{
    unsigned wrong = 0;
    for (size_t i = 0; i < count; i++) {
        const struct judge_case *c = &cases[i];
        struct guarantee_host h = host_of(c->tlsa, c->contact, c->tls, c->letters);
        struct guarantee_verdict got = guarantee_judge(&requirements[c->req], &h);
        if (is_as_wanted(c, &got))
            continue;
        char status[STATUS_SIZE];
        wrong++;
        print_error("row %zu: got %s %s \"%s\" want %s %s \"%s\"\n", i,
                    guarantee_kind_name(got.kind), status_text(got.outcome.status, status),
                    got.outcome.text, guarantee_kind_name(c->want),
                    c->want_status ? c->want_status : "-", c->want_text ? c->want_text : "-");
    }
    assert_int_equal(wrong, 0);
}

/* clang-format off */
static void without_a_requirement_any_connection_will_do(void **state)
{
    (void)state;
    static const struct judge_case cases[] = {
        {R_OFF, NO_TLSA, UNTRIED, T_UNTRIED, "", NOT_YET, NULL, NULL},
        {R_OFF, NO_TLSA, IN, T_UNTRIED, "", OK, NULL, NULL},
        {R_OFF, NO_TLSA, IN, T_NONE, "", OK, NULL, NULL},
        {R_OFF, NO_TLSA, IN, T_LATER, "", OK, NULL, NULL},
        {R_OFF, NO_TLSA, IN, T_CUT, "", OK, NULL, NULL},
        {R_OFF, NO_TLSA, IN, T_REFUSED, "", OK, NULL, NULL},
        {R_OFF, NO_TLSA, IN, T_FAILED, "", OK, NULL, NULL},
        {R_OFF, NO_TLSA, IN, T_UP, "", OK, NULL, NULL},
        {R_OFF, NO_TLSA, IN, T_NONE, "l", OK, NULL, NULL},
        {R_OFF, NO_TLSA, IN, T_NONE, "m", OK, NULL, NULL},
        {R_OFF, NO_TLSA, DEAD, T_UNTRIED, "", UNREACH, "4.3.2", "5.3.2 go away"},
        {R_OFF, NO_TLSA, FAULT, T_UNTRIED, "", OWN, "4.3.0", "too many open files"},
        {R_POLICY_NONE, NO_TLSA, IN, T_UNTRIED, "s", OK, NULL, NULL},
        {R_POLICY_NONE, NO_TLSA, IN, T_NONE, "s", OK, NULL, NULL},
        {R_ROUTE_NONE, NO_TLSA, IN, T_UNTRIED, "s", OK, NULL, NULL},
        {R_ROUTE_NONE, NO_TLSA, IN, T_FAILED, "s", OK, NULL, NULL},
        {R_TLS_REQUIRED_NO, NO_TLSA, IN, T_NONE, "s", OK, NULL, NULL},
    };
    check(cases, COUNT_OF(cases));
}

static void encrypt_asks_for_tls_and_not_for_the_certificate(void **state)
{
    (void)state;
    static const struct judge_case cases[] = {
        {R_ENCRYPT, NO_TLSA, UNTRIED, T_UNTRIED, "", NOT_YET, NULL, NULL},
        {R_ENCRYPT, NO_TLSA, IN, T_UNTRIED, "", NOT_YET, NULL, NULL},
        {R_ENCRYPT, NO_TLSA, IN, T_NONE, "", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
        {R_ENCRYPT, NO_TLSA, IN, T_NONE, "sdpq", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
        {R_ENCRYPT, NO_TLSA, IN, T_LATER, "", PASSING, "4.7.4", W_REFUSED "454 4.7.0 TLS not available due to temporary reason"},
        {R_ENCRYPT, NO_TLSA, IN, T_CUT, "", PASSING, "4.7.5", W_HANDSHAKE "Connection reset by peer"},
        {R_ENCRYPT, NO_TLSA, IN, T_REFUSED, "", REFUSED, "5.7.4", W_REFUSED "502 5.5.1 no such thing"},
        {R_ENCRYPT, NO_TLSA, IN, T_FAILED, "", FAILED, "5.7.5", W_HANDSHAKE "no shared cipher"},
        {R_ENCRYPT, NO_TLSA, IN, T_UP, "", OK, NULL, NULL},
        {R_ENCRYPT, NO_TLSA, IN, T_UP, "l", OK, NULL, NULL},
        {R_ENCRYPT, NO_TLSA, IN, T_UP, "m", OK, NULL, NULL},
        {R_ENCRYPT, NO_TLSA, DEAD, T_UNTRIED, "", UNREACH, "4.3.2", "5.3.2 go away"},
        {R_ENCRYPT, NO_TLSA, FAULT, T_UNTRIED, "", OWN, "4.3.0", "too many open files"},
        {R_POLICY_ENCRYPT, NO_TLSA, IN, T_UNTRIED, "", NOT_YET, NULL, NULL},
        {R_POLICY_ENCRYPT, NO_TLSA, IN, T_NONE, "", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
        {R_POLICY_ENCRYPT, NO_TLSA, IN, T_LATER, "", PASSING, "4.7.4", W_REFUSED "454 "},
        {R_POLICY_ENCRYPT, NO_TLSA, IN, T_REFUSED, "", REFUSED, "5.7.4", W_REFUSED "502 "},
        {R_POLICY_ENCRYPT, NO_TLSA, IN, T_FAILED, "", FAILED, "5.7.5", W_HANDSHAKE},
        {R_POLICY_ENCRYPT, NO_TLSA, IN, T_UP, "", OK, NULL, NULL},
        {R_ROUTE_ENCRYPT, NO_TLSA, IN, T_NONE, "s", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
        {R_ROUTE_ENCRYPT, NO_TLSA, IN, T_CUT, "s", PASSING, "4.7.5", W_HANDSHAKE},
        {R_ROUTE_ENCRYPT, NO_TLSA, IN, T_UP, "s", OK, NULL, NULL},
        {R_NO_AND_POLICY_ENCRYPT, NO_TLSA, IN, T_NONE, "s", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
        {R_NO_AND_POLICY_ENCRYPT, NO_TLSA, IN, T_UP, "s", OK, NULL, NULL},
        /* The flag is a floor: tls = "none" of policy and route lowers nothing. */
        {R_FLAG_AND_ROUTE_NONE, NO_TLSA, IN, T_UNTRIED, "", NOT_YET, NULL, NULL},
        {R_FLAG_AND_ROUTE_NONE, NO_TLSA, IN, T_NONE, "", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
        {R_FLAG_AND_ROUTE_NONE, NO_TLSA, IN, T_FAILED, "", FAILED, "5.7.5", W_HANDSHAKE},
        {R_FLAG_AND_ROUTE_NONE, NO_TLSA, IN, T_UP, "", OK, NULL, NULL},
    };
    check(cases, COUNT_OF(cases));
}

static void what_dns_publishes_binds_every_sender(void **state)
{
    (void)state;
    static const struct judge_case cases[] = {
        {R_OFF, USABLE, UNTRIED, T_UNTRIED, "s", NOT_YET, NULL, NULL},
        {R_OFF, USABLE, IN, T_UNTRIED, "s", NOT_YET, NULL, NULL},
        {R_OFF, USABLE, IN, T_NONE, "s", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
        {R_OFF, USABLE, IN, T_LATER, "s", PASSING, "4.7.4", W_REFUSED},
        {R_OFF, USABLE, IN, T_CUT, "s", PASSING, "4.7.5", W_HANDSHAKE},
        {R_OFF, USABLE, IN, T_REFUSED, "s", REFUSED, "5.7.4", W_REFUSED},
        {R_OFF, USABLE, IN, T_FAILED, "s", FAILED, "5.7.5", W_HANDSHAKE},
        {R_OFF, USABLE, IN, T_UP, "s", NOT_AUTH, "5.7.5", W_NO_MATCH ": " CERTIFICATE_ERROR},
        {R_OFF, USABLE, IN, T_UP, "sp", NOT_AUTH, "5.7.5", W_NO_MATCH},
        {R_OFF, USABLE, IN, T_UP, "sd", OK, NULL, NULL},
        {R_OFF, USABLE, IN, T_UP, "", NOT_AUTH, "5.7.5", W_NO_MATCH},
        {R_OFF, USABLE, IN, T_UP, "d", OK, NULL, NULL},
        {R_OFF, UNUSABLE, IN, T_UNTRIED, "s", NOT_YET, NULL, NULL},
        {R_OFF, UNUSABLE, IN, T_NONE, "s", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
        {R_OFF, UNUSABLE, IN, T_FAILED, "s", FAILED, "5.7.5", W_HANDSHAKE},
        {R_OFF, UNUSABLE, IN, T_UP, "s", OK, NULL, NULL},
        {R_OFF, TLSA_ERR, UNTRIED, T_UNTRIED, "s", UNKNOWN, "4.7.5", W_TLSA_ERR},
        {R_OFF, TLSA_ERR, IN, T_UP, "s", UNKNOWN, "4.7.5", W_TLSA_ERR},
        {R_OFF, TLSA_ERR, FAULT, T_UNTRIED, "s", OWN, "4.3.0", "too many open files"},
        {R_POLICY_NONE, USABLE, IN, T_UNTRIED, "s", NOT_YET, NULL, NULL},
        {R_POLICY_NONE, USABLE, IN, T_NONE, "s", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
        {R_POLICY_NONE, TLSA_ERR, UNTRIED, T_UNTRIED, "s", UNKNOWN, "4.7.5", W_TLSA_ERR},
        {R_ROUTE_NONE, USABLE, IN, T_UP, "s", NOT_AUTH, "5.7.5", W_NO_MATCH},
        {R_ENCRYPT, USABLE, IN, T_UP, "s", NOT_AUTH, "5.7.5", W_NO_MATCH},
        {R_ENCRYPT, USABLE, IN, T_UP, "sd", OK, NULL, NULL},
        {R_ENCRYPT, UNUSABLE, IN, T_UP, "s", OK, NULL, NULL},
        {R_ENCRYPT, TLSA_ERR, UNTRIED, T_UNTRIED, "s", UNKNOWN, "4.7.5", W_TLSA_ERR},
        {R_POLICY_ENCRYPT, USABLE, IN, T_UP, "s", NOT_AUTH, "5.7.5", W_NO_MATCH},
        {R_POLICY_ENCRYPT, TLSA_ERR, UNTRIED, T_UNTRIED, "s", UNKNOWN, "4.7.5", W_TLSA_ERR},
        /* TLS-Required: No and release --force lift what the destination publishes, and no policy. */
        {R_TLS_REQUIRED_NO, USABLE, IN, T_NONE, "s", OK, NULL, NULL},
        {R_TLS_REQUIRED_NO, USABLE, IN, T_FAILED, "s", OK, NULL, NULL},
        {R_TLS_REQUIRED_NO, USABLE, IN, T_UP, "s", OK, NULL, NULL},
        {R_TLS_REQUIRED_NO, UNUSABLE, IN, T_REFUSED, "s", OK, NULL, NULL},
        {R_TLS_REQUIRED_NO, TLSA_ERR, UNTRIED, T_UNTRIED, "s", NOT_YET, NULL, NULL},
        {R_TLS_REQUIRED_NO, TLSA_ERR, IN, T_NONE, "s", OK, NULL, NULL},
        {R_NO_AND_POLICY_ENCRYPT, USABLE, IN, T_UP, "s", OK, NULL, NULL},
        {R_NO_AND_POLICY_ENCRYPT, TLSA_ERR, IN, T_UP, "s", OK, NULL, NULL},
        {R_NO_AND_POLICY_ENCRYPT, TLSA_ERR, IN, T_NONE, "s", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
        {R_NO_AND_POLICY_DANE, USABLE, IN, T_UP, "s", NOT_AUTH, "5.7.5", W_NO_MATCH},
        {R_NO_AND_POLICY_DANE, USABLE, IN, T_UP, "sd", OK, NULL, NULL},
        {R_NO_AND_POLICY_DANE, TLSA_ERR, UNTRIED, T_UNTRIED, "s", UNKNOWN, "4.7.5", W_TLSA_ERR},
        {R_NO_AND_POLICY_VERIFY, TLSA_ERR, IN, T_UP, "sp", OK, NULL, NULL},
        {R_NO_AND_POLICY_VERIFY, USABLE, IN, T_UP, "sp", OK, NULL, NULL},
        {R_NO_AND_POLICY_VERIFY, USABLE, IN, T_UP, "s", NOT_AUTH, "5.7.5", W_PKIX},
        /* REQUIRETLS wins over TLS-Required: No. */
        {R_NO_AND_REQUIRETLS, USABLE, IN, T_UP, "spq", NOT_AUTH, "5.7.5", W_NO_MATCH},
        {R_NO_AND_REQUIRETLS, TLSA_ERR, UNTRIED, T_UNTRIED, "s", UNKNOWN, "4.7.5", W_TLSA_ERR},
    };
    check(cases, COUNT_OF(cases));
}

static void verified_and_dane_need_a_match_from_a_secure_mx_look_up(void **state)
{
    (void)state;
    static const struct judge_case cases[] = {
        /* It is connected all the same: what STARTTLS shows goes before. */
        {R_VERIFIED, NO_TLSA, UNTRIED, T_UNTRIED, "", NOT_YET, NULL, NULL},
        {R_VERIFIED, NO_TLSA, IN, T_UNTRIED, "", NOT_YET, NULL, NULL},
        {R_VERIFIED, NO_TLSA, IN, T_NONE, "", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
        {R_VERIFIED, NO_TLSA, IN, T_LATER, "s", PASSING, "4.7.4", W_REFUSED},
        {R_VERIFIED, NO_TLSA, IN, T_CUT, "s", PASSING, "4.7.5", W_HANDSHAKE},
        {R_VERIFIED, NO_TLSA, IN, T_REFUSED, "s", REFUSED, "5.7.4", W_REFUSED},
        {R_VERIFIED, NO_TLSA, IN, T_FAILED, "s", FAILED, "5.7.5", W_HANDSHAKE},
        {R_VERIFIED, NO_TLSA, IN, T_UP, "", NOT_AUTH, "5.7.5", W_NO_DNSSEC},
        {R_VERIFIED, NO_TLSA, IN, T_UP, "s", NOT_AUTH, "5.7.5", W_NO_TLSA},
        {R_VERIFIED, NO_TLSA, IN, T_UP, "sp", NOT_AUTH, "5.7.5", W_NO_TLSA},
        {R_VERIFIED, NO_TLSA, IN, T_UP, "snd", NOT_AUTH, "5.7.5", W_NO_TLSA},
        {R_VERIFIED, UNUSABLE, IN, T_UP, "s", NOT_AUTH, "5.7.5", W_TLSA_UNUSABLE},
        {R_VERIFIED, UNUSABLE, IN, T_UP, "sd", NOT_AUTH, "5.7.5", W_TLSA_UNUSABLE},
        {R_VERIFIED, USABLE, IN, T_UP, "s", NOT_AUTH, "5.7.5", W_NO_MATCH},
        {R_VERIFIED, USABLE, IN, T_UP, "sd", OK, NULL, NULL},
        {R_VERIFIED, USABLE, IN, T_NONE, "sd", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
        {R_VERIFIED, TLSA_ERR, UNTRIED, T_UNTRIED, "s", UNKNOWN, "4.7.5", W_TLSA_ERR},
        {R_VERIFIED, NO_TLSA, DEAD, T_UNTRIED, "s", UNREACH, "4.3.2", "5.3.2 go away"},
        {R_VERIFIED, USABLE, FAULT, T_UNTRIED, "s", OWN, "4.3.0", "too many open files"},
        /* A match behind an insecure MX look-up counts as encrypted, not verified. */
        {R_VERIFIED, USABLE, IN, T_UP, "d", NOT_AUTH, "5.7.5", W_NO_DNSSEC},
        {R_VERIFIED, USABLE, IN, T_UP, "sdl", NOT_AUTH, "5.7.5", W_CERT "host [" ADDRESS "] is named by its address alone"},
        {R_POLICY_DANE, NO_TLSA, IN, T_UNTRIED, "s", NOT_YET, NULL, NULL},
        {R_POLICY_DANE, NO_TLSA, IN, T_NONE, "s", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
        {R_POLICY_DANE, NO_TLSA, IN, T_UP, "s", NOT_AUTH, "5.7.5", W_NO_TLSA},
        {R_POLICY_DANE, NO_TLSA, IN, T_UP, "sp", NOT_AUTH, "5.7.5", W_NO_TLSA},
        {R_POLICY_DANE, UNUSABLE, IN, T_UP, "sp", NOT_AUTH, "5.7.5", W_TLSA_UNUSABLE},
        {R_POLICY_DANE, USABLE, IN, T_UP, "s", NOT_AUTH, "5.7.5", W_NO_MATCH},
        {R_POLICY_DANE, USABLE, IN, T_UP, "sd", OK, NULL, NULL},
        {R_POLICY_DANE, USABLE, IN, T_UP, "d", NOT_AUTH, "5.7.5", W_NO_DNSSEC},
        {R_POLICY_DANE, TLSA_ERR, UNTRIED, T_UNTRIED, "s", UNKNOWN, "4.7.5", W_TLSA_ERR},
        {R_ROUTE_DANE, USABLE, IN, T_UP, "sd", OK, NULL, NULL},
        {R_ROUTE_DANE, USABLE, IN, T_UP, "sld", NOT_AUTH, "5.7.5", W_CERT "host [" ADDRESS "]"},
        {R_ROUTE_DANE, NO_TLSA, IN, T_UP, "s", NOT_AUTH, "5.7.5", W_NO_TLSA},
        {R_ROUTE_DANE, NO_TLSA, IN, T_NONE, "s", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
    };
    check(cases, COUNT_OF(cases));
}

static void verify_takes_webpki_for_an_authentic_name_or_dane(void **state)
{
    (void)state;
    static const struct judge_case cases[] = {
        {R_POLICY_VERIFY, NO_TLSA, UNTRIED, T_UNTRIED, "s", NOT_YET, NULL, NULL},
        {R_POLICY_VERIFY, NO_TLSA, IN, T_UNTRIED, "s", NOT_YET, NULL, NULL},
        {R_POLICY_VERIFY, NO_TLSA, IN, T_NONE, "s", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
        {R_POLICY_VERIFY, NO_TLSA, IN, T_LATER, "s", PASSING, "4.7.4", W_REFUSED},
        {R_POLICY_VERIFY, NO_TLSA, IN, T_FAILED, "s", FAILED, "5.7.5", W_HANDSHAKE},
        {R_POLICY_VERIFY, NO_TLSA, IN, T_UP, "s", NOT_AUTH, "5.7.5", W_PKIX},
        {R_POLICY_VERIFY, NO_TLSA, IN, T_UP, "sp", OK, NULL, NULL},
        {R_POLICY_VERIFY, NO_TLSA, IN, T_UP, "sn", OK, NULL, NULL},
        {R_POLICY_VERIFY, NO_TLSA, IN, T_UP, "n", OK, NULL, NULL},
        /* The name came by an insecure look-up: it may be the attacker's, with a valid certificate. */
        {R_POLICY_VERIFY, NO_TLSA, IN, T_UP, "p", NOT_AUTH, "5.7.5", W_CERT "non DNSSEC destination, and the certificate of host " SHOWN},
        {R_POLICY_VERIFY, NO_TLSA, IN, T_UP, "spl", NOT_AUTH, "5.7.5", W_CERT "host [" ADDRESS "] is named by its address alone"},
        {R_POLICY_VERIFY, NO_TLSA, IN, T_UP, "nl", NOT_AUTH, "5.7.5", W_CERT "host [" ADDRESS "]"},
        {R_POLICY_VERIFY, USABLE, IN, T_UP, "sd", OK, NULL, NULL},
        {R_POLICY_VERIFY, USABLE, IN, T_UP, "sp", NOT_AUTH, "5.7.5", W_NO_MATCH},
        {R_POLICY_VERIFY, USABLE, IN, T_UP, "sdp", OK, NULL, NULL},
        {R_POLICY_VERIFY, USABLE, IN, T_UP, "d", NOT_AUTH, "5.7.5", W_CERT "certificate of host " SHOWN " is not valid"},
        {R_POLICY_VERIFY, UNUSABLE, IN, T_UP, "sp", OK, NULL, NULL},
        {R_POLICY_VERIFY, UNUSABLE, IN, T_UP, "s", NOT_AUTH, "5.7.5", W_PKIX},
        {R_POLICY_VERIFY, TLSA_ERR, UNTRIED, T_UNTRIED, "s", UNKNOWN, "4.7.5", W_TLSA_ERR},
        {R_ROUTE_VERIFY, NO_TLSA, IN, T_UP, "sp", OK, NULL, NULL},
        {R_ROUTE_VERIFY, NO_TLSA, IN, T_UP, "s", NOT_AUTH, "5.7.5", W_PKIX},
        {R_ROUTE_VERIFY, NO_TLSA, IN, T_NONE, "s", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
        /* Requirements add up: WebPKI satisfies the policy and not the flag. */
        {R_VERIFIED_AND_POLICY_VERIFY, NO_TLSA, IN, T_UP, "sp", NOT_AUTH, "5.7.5", W_NO_TLSA},
        {R_VERIFIED_AND_POLICY_VERIFY, USABLE, IN, T_UP, "sd", OK, NULL, NULL},
    };
    check(cases, COUNT_OF(cases));
}

static void a_fingerprint_is_one_that_is_named_and_nothing_else_will_do(void **state)
{
    (void)state;
    static const struct judge_case cases[] = {
        {R_POLICY_FINGERPRINT, NO_TLSA, UNTRIED, T_UNTRIED, "k", NOT_YET, NULL, NULL},
        {R_POLICY_FINGERPRINT, NO_TLSA, IN, T_UNTRIED, "k", NOT_YET, NULL, NULL},
        {R_POLICY_FINGERPRINT, NO_TLSA, IN, T_NONE, "k", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
        {R_POLICY_FINGERPRINT, NO_TLSA, IN, T_LATER, "k", PASSING, "4.7.4", W_REFUSED},
        {R_POLICY_FINGERPRINT, NO_TLSA, IN, T_CUT, "k", PASSING, "4.7.5", W_HANDSHAKE},
        {R_POLICY_FINGERPRINT, NO_TLSA, IN, T_REFUSED, "k", REFUSED, "5.7.4", W_REFUSED},
        {R_POLICY_FINGERPRINT, NO_TLSA, IN, T_FAILED, "kc", FAILED, "5.7.5", W_HANDSHAKE},
        {R_POLICY_FINGERPRINT, NO_TLSA, DEAD, T_UNTRIED, "k", UNREACH, "4.3.2", "5.3.2 go away"},
        {R_POLICY_FINGERPRINT, NO_TLSA, FAULT, T_UNTRIED, "k", OWN, "4.3.0", "too many open files"},
        /* By key, by certificate; no chain, no name, no secure look-up is asked for. */
        {R_POLICY_FINGERPRINT, NO_TLSA, IN, T_UP, "k", OK, NULL, NULL},
        {R_POLICY_FINGERPRINT, NO_TLSA, IN, T_UP, "c", OK, NULL, NULL},
        {R_POLICY_FINGERPRINT, NO_TLSA, IN, T_UP, "kc", OK, NULL, NULL},
        {R_POLICY_FINGERPRINT, NO_TLSA, IN, T_UP, "", NOT_AUTH, "5.7.5", W_NOT_NAMED},
        {R_POLICY_FINGERPRINT, NO_TLSA, IN, T_UP, "snh", NOT_AUTH, "5.7.5", W_NOT_NAMED},
        {R_POLICY_FINGERPRINT, NO_TLSA, IN, T_UP, "KF", NOT_AUTH, "5.7.5", W_NOT_NAMED_HERE},
        {R_POLICY_FINGERPRINT, NO_TLSA, IN, T_UP, "m", NOT_AUTH, "5.7.5", W_NOT_NAMED},
        {R_FINGERPRINT_WITHOUT_LIST, NO_TLSA, IN, T_UP, "kc", NOT_AUTH, "5.7.5", W_NOT_NAMED_HERE},
        /* Nothing else can verify a literal. */
        {R_POLICY_FINGERPRINT, NO_TLSA, IN, T_UP, "lk", OK, NULL, NULL},
        {R_POLICY_FINGERPRINT, NO_TLSA, IN, T_UP, "lc", OK, NULL, NULL},
        {R_POLICY_FINGERPRINT, NO_TLSA, IN, T_UP, "l", NOT_AUTH, "5.7.5", W_CERT "host [" ADDRESS "] shows key " HEX(0a) " / certificate "},
        {R_POLICY_FINGERPRINT, NO_TLSA, IN, T_NONE, "x", OK, NULL, NULL},
        {R_POLICY_FINGERPRINT, NO_TLSA, IN, T_UP, "x", OK, NULL, NULL},
        /* The route likewise, on its own. */
        {R_ROUTE_FINGERPRINT, NO_TLSA, IN, T_UP, "K", OK, NULL, NULL},
        {R_ROUTE_FINGERPRINT, NO_TLSA, IN, T_UP, "F", OK, NULL, NULL},
        {R_ROUTE_FINGERPRINT, NO_TLSA, IN, T_UP, "mlK", OK, NULL, NULL},
        {R_ROUTE_FINGERPRINT, NO_TLSA, IN, T_UP, "kc", NOT_AUTH, "5.7.5", W_NOT_NAMED_HERE},
        {R_ROUTE_FINGERPRINT, NO_TLSA, IN, T_NONE, "K", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
        {R_BOTH_FINGERPRINT, NO_TLSA, IN, T_UP, "kF", OK, NULL, NULL},
        {R_BOTH_FINGERPRINT, NO_TLSA, IN, T_UP, "Kc", OK, NULL, NULL},
        {R_BOTH_FINGERPRINT, NO_TLSA, IN, T_UP, "kc", NOT_AUTH, "5.7.5", W_NOT_NAMED_HERE},
        {R_BOTH_FINGERPRINT, NO_TLSA, IN, T_UP, "KF", NOT_AUTH, "5.7.5", W_NOT_NAMED_HERE},
        {R_BOTH_FINGERPRINT, NO_TLSA, IN, T_NONE, "x", OK, NULL, NULL},
    };
    check(cases, COUNT_OF(cases));
}

static void a_fingerprint_stands_beside_all_other_lines(void **state)
{
    (void)state;
    static const struct judge_case cases[] = {
        /* DANE is no match for it, and it is none for DANE. */
        {R_POLICY_FINGERPRINT, USABLE, IN, T_UP, "sdk", OK, NULL, NULL},
        {R_POLICY_FINGERPRINT, USABLE, IN, T_UP, "sd", NOT_AUTH, "5.7.5", W_NOT_NAMED},
        {R_POLICY_FINGERPRINT, USABLE, IN, T_UP, "skc", NOT_AUTH, "5.7.5", W_NO_MATCH},
        {R_POLICY_FINGERPRINT, UNUSABLE, IN, T_UP, "sk", OK, NULL, NULL},
        {R_POLICY_FINGERPRINT, UNUSABLE, IN, T_UP, "s", NOT_AUTH, "5.7.5", W_NOT_NAMED},
        {R_POLICY_FINGERPRINT, TLSA_ERR, UNTRIED, T_UNTRIED, "sk", UNKNOWN, "4.7.5", W_TLSA_ERR},
        {R_DANE_AND_ROUTE_FINGERPRINT, USABLE, IN, T_UP, "sdK", OK, NULL, NULL},
        {R_DANE_AND_ROUTE_FINGERPRINT, USABLE, IN, T_UP, "sd", NOT_AUTH, "5.7.5", W_NOT_NAMED_HERE},
        {R_DANE_AND_ROUTE_FINGERPRINT, NO_TLSA, IN, T_UP, "sK", NOT_AUTH, "5.7.5", W_NO_TLSA},
        /* MTA-STS. */
        {R_POLICY_FINGERPRINT, NO_TLSA, IN, T_UP, "hkC", OK, NULL, NULL},
        {R_POLICY_FINGERPRINT, NO_TLSA, IN, T_UP, "hC", NOT_AUTH, "5.7.5", W_NOT_NAMED},
        {R_POLICY_FINGERPRINT, NO_TLSA, IN, T_UP, "kC", NOT_AUTH, "5.7.5", W_STS_CERT},
        {R_POLICY_FINGERPRINT, NO_TLSA, UNTRIED, T_UNTRIED, "kE", NOT_AUTH, "5.7.5", W_EXCLUDED},
        {R_POLICY_FINGERPRINT, NO_TLSA, IN, T_UP, "kU", OK, NULL, NULL},
        {R_POLICY_FINGERPRINT, NO_TLSA, IN, T_UP, "hU", NOT_AUTH, "5.7.5", W_NOT_NAMED},
        {R_POLICY_FINGERPRINT, NO_TLSA, IN, T_UP, "hO", NOT_AUTH, "5.7.5", W_NOT_NAMED},
        {R_POLICY_FINGERPRINT, NO_TLSA, IN, T_UP, "kT", OK, NULL, NULL},
        /* The flag. It authenticates nothing for level verified, */
        {R_ENCRYPT_AND_FINGERPRINT, NO_TLSA, IN, T_UP, "k", OK, NULL, NULL},
        {R_ENCRYPT_AND_FINGERPRINT, NO_TLSA, IN, T_UP, "", NOT_AUTH, "5.7.5", W_NOT_NAMED},
        {R_VERIFIED_AND_FINGERPRINT, NO_TLSA, IN, T_UP, "skc", NOT_AUTH, "5.7.5", W_NO_TLSA},
        {R_VERIFIED_AND_FINGERPRINT, USABLE, IN, T_UP, "sd", NOT_AUTH, "5.7.5", W_NOT_NAMED},
        {R_VERIFIED_AND_FINGERPRINT, USABLE, IN, T_UP, "sdk", OK, NULL, NULL},
        {R_VERIFIED_AND_FINGERPRINT, NO_TLSA, IN, T_UP, "hkC", OK, NULL, NULL},
        {R_VERIFIED_AND_FINGERPRINT, NO_TLSA, IN, T_UP, "hkU", PASSING, "4.7.5", W_STS_UNKNOWN},
        {R_VERIFIED_AND_FINGERPRINT, NO_TLSA, IN, T_UP, "lk", NOT_AUTH, "5.7.5", W_CERT "host [" ADDRESS "] is named by its address alone"},
        /* and nothing for REQUIRETLS. */
        {R_REQUIRETLS_AND_FINGERPRINT, NO_TLSA, IN, T_UP, "skcq", NOT_AUTH, "5.7.10", W_RTLS "no matching server certificate was found"},
        {R_REQUIRETLS_AND_FINGERPRINT, NO_TLSA, IN, T_UP, "kpq", NOT_AUTH, "5.7.10", W_RTLS "the name of host"},
        {R_REQUIRETLS_AND_FINGERPRINT, NO_TLSA, IN, T_UP, "spkq", OK, NULL, NULL},
        {R_REQUIRETLS_AND_FINGERPRINT, NO_TLSA, IN, T_UP, "spq", NOT_AUTH, "5.7.5", W_NOT_NAMED},
        /* Ours to lift, so neither TLS-Required: No nor release lifts it. */
        {R_NO_AND_FINGERPRINT, USABLE, IN, T_UP, "sk", OK, NULL, NULL},
        {R_NO_AND_FINGERPRINT, USABLE, IN, T_UP, "sd", NOT_AUTH, "5.7.5", W_NOT_NAMED},
        {R_NO_AND_FINGERPRINT, NO_TLSA, IN, T_NONE, "k", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
        {R_NO_AND_FINGERPRINT, NO_TLSA, IN, T_UP, "kE", OK, NULL, NULL},
        {R_RELEASED_FINGERPRINT, NO_TLSA, IN, T_UP, "k", OK, NULL, NULL},
        {R_RELEASED_FINGERPRINT, NO_TLSA, IN, T_UP, "h", NOT_AUTH, "5.7.5", W_NOT_NAMED},
        {R_RELEASED_FINGERPRINT, NO_TLSA, IN, T_NONE, "k", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
        {R_RELEASED_FINGERPRINT, NO_TLSA, IN, T_UNTRIED, "k", NOT_YET, NULL, NULL},
    };
    check(cases, COUNT_OF(cases));
}

/* What may be claimed of a connection does not grow by it. */
static void a_fingerprint_claims_no_verification(void **state)
{
    (void)state;
    struct guarantee_host h = host_of(NO_TLSA, IN, T_UP, "sk");
    assert_int_equal(guarantee_judge(&requirements[R_POLICY_FINGERPRINT], &h).verified,
                     GUARANTEE_VERIFIED_NO);
    h = host_of(NO_TLSA, IN, T_UP, "skp");
    assert_int_equal(guarantee_judge(&requirements[R_POLICY_FINGERPRINT], &h).verified,
                     GUARANTEE_VERIFIED_PKIX);
}

static void a_host_without_a_certificate_has_no_fingerprint(void **state)
{
    (void)state;
    static const char *const none[] = {NULL, ""};
    for (size_t i = 0; i < COUNT_OF(none); i++) {
        struct guarantee_host h = host_of(NO_TLSA, IN, T_UP, "");
        h.key_digest = h.certificate_digest = none[i];
        struct guarantee_verdict got = guarantee_judge(&requirements[R_POLICY_FINGERPRINT], &h);
        assert_int_equal(got.kind, NOT_AUTH);
        assert_string_equal(got.outcome.text, W_CERT "host " SHOWN " shows no certificate, and our "
                                                     "policy names fingerprints");
    }
    struct guarantee_host h = host_of(NO_TLSA, IN, T_UP, "");
    struct guarantee_verdict got = guarantee_judge(&requirements[R_ROUTE_FINGERPRINT], &h);
    assert_non_null(strstr(got.outcome.text, "none of the fingerprints that our route names"));
}

static void requiretls_needs_name_certificate_and_offer(void **state)
{
    (void)state;
    static const struct judge_case cases[] = {
        {R_REQUIRETLS, NO_TLSA, IN, T_UNTRIED, "s", NOT_YET, NULL, NULL},
        {R_REQUIRETLS, NO_TLSA, IN, T_NONE, "s", NOT_OFFERED, "5.7.30", W_RTLS "TLS service was not offered by host " SHOWN},
        {R_REQUIRETLS, NO_TLSA, IN, T_LATER, "s", PASSING, "4.7.10", W_RTLS "host " SHOWN " refused to start TLS: 454 "},
        {R_REQUIRETLS, NO_TLSA, IN, T_REFUSED, "s", REFUSED, "5.7.10", W_RTLS "host " SHOWN " refused to start TLS: 502 5.5.1 no such thing"},
        {R_REQUIRETLS, NO_TLSA, IN, T_CUT, "s", PASSING, "4.7.5", W_HANDSHAKE},
        {R_REQUIRETLS, NO_TLSA, IN, T_FAILED, "s", FAILED, "5.7.5", W_HANDSHAKE},
        {R_REQUIRETLS, NO_TLSA, IN, T_UP, "npq", NOT_AUTH, "5.7.10", W_RTLS "the name of host " SHOWN " is not authentic"},
        {R_REQUIRETLS, NO_TLSA, IN, T_UP, "slpq", NOT_AUTH, "5.7.10", W_RTLS "the name of host"},
        {R_REQUIRETLS, NO_TLSA, IN, T_UP, "sq", NOT_AUTH, "5.7.10", W_RTLS "no matching server certificate was found. The last attempted server was " SHOWN},
        {R_REQUIRETLS, NO_TLSA, IN, T_UP, "sp", NO_RTLS, "5.7.30", W_RTLS "no server was found that supports REQUIRETLS. The last attempted server was " SHOWN},
        {R_REQUIRETLS, NO_TLSA, IN, T_UP, "spq", OK, NULL, NULL},
        {R_REQUIRETLS, USABLE, IN, T_UP, "sdq", OK, NULL, NULL},
        {R_REQUIRETLS, USABLE, IN, T_UP, "sd", NO_RTLS, "5.7.30", W_RTLS "no server was found"},
        {R_REQUIRETLS, USABLE, IN, T_UP, "spq", NOT_AUTH, "5.7.5", W_NO_MATCH},
        {R_REQUIRETLS, UNUSABLE, IN, T_UP, "sdq", NOT_AUTH, "5.7.10", W_RTLS "no matching server certificate"},
        {R_REQUIRETLS, UNUSABLE, IN, T_UP, "spq", OK, NULL, NULL},
        {R_REQUIRETLS, TLSA_ERR, UNTRIED, T_UNTRIED, "s", UNKNOWN, "4.7.5", W_TLSA_ERR},
        {R_REQUIRETLS, NO_TLSA, DEAD, T_UNTRIED, "s", UNREACH, "4.3.2", "5.3.2 go away"},
        {R_VERIFIED_AND_REQUIRETLS, NO_TLSA, IN, T_UP, "spq", NOT_AUTH, "5.7.5", W_NO_TLSA},
        {R_VERIFIED_AND_REQUIRETLS, USABLE, IN, T_UP, "sdq", OK, NULL, NULL},
        /* Over a smarthost level verified passes only if REQUIRETLS is offered and used there. */
        {R_VERIFIED, USABLE, IN, T_UP, "msd", NO_RTLS, "5.7.30", "Verified TLS is required, but mail through smarthost " SHOWN " does not go on with REQUIRETLS"},
        {R_VERIFIED, USABLE, IN, T_UP, "msdq", NO_RTLS, "5.7.30", "Verified TLS is required, but mail through smarthost"},
        {R_VERIFIED_AND_REQUIRETLS, USABLE, IN, T_UP, "msd", NO_RTLS, "5.7.30", W_RTLS "no server was found"},
        {R_VERIFIED_AND_REQUIRETLS, USABLE, IN, T_UP, "msdq", OK, NULL, NULL},
        {R_POLICY_DANE, USABLE, IN, T_UP, "msd", OK, NULL, NULL},
    };
    check(cases, COUNT_OF(cases));
}

static void on_a_local_route_every_requirement_counts_as_met(void **state)
{
    (void)state;
    static const struct judge_case cases[] = {
        {R_ENCRYPT, NO_TLSA, UNTRIED, T_UNTRIED, "x", NOT_YET, NULL, NULL},
        {R_ENCRYPT, NO_TLSA, IN, T_UNTRIED, "x", OK, NULL, NULL},
        {R_ENCRYPT, NO_TLSA, IN, T_NONE, "x", OK, NULL, NULL},
        {R_ENCRYPT, NO_TLSA, IN, T_LATER, "x", OK, NULL, NULL},
        {R_ENCRYPT, NO_TLSA, IN, T_FAILED, "x", OK, NULL, NULL},
        {R_ENCRYPT, NO_TLSA, IN, T_UP, "x", OK, NULL, NULL},
        {R_VERIFIED, NO_TLSA, IN, T_NONE, "xl", OK, NULL, NULL},
        {R_REQUIRETLS, NO_TLSA, IN, T_NONE, "x", OK, NULL, NULL},
        {R_POLICY_DANE, TLSA_ERR, IN, T_NONE, "x", OK, NULL, NULL},
        {R_POLICY_VERIFY, NO_TLSA, IN, T_NONE, "xl", OK, NULL, NULL},
        {R_ROUTE_ENCRYPT, NO_TLSA, IN, T_NONE, "x", OK, NULL, NULL},
        {R_VERIFIED, NO_TLSA, DEAD, T_UNTRIED, "x", UNREACH, "4.3.2", "5.3.2 go away"},
        {R_VERIFIED, NO_TLSA, FAULT, T_UNTRIED, "x", OWN, "4.3.0", "too many open files"},
    };
    check(cases, COUNT_OF(cases));
}

static void an_enforced_policy_binds_every_sender(void **state)
{
    (void)state;
    static const struct judge_case cases[] = {
        /* It lists the host: TLS, and a certificate valid for the host name. */
        {R_OFF, NO_TLSA, UNTRIED, T_UNTRIED, "C", NOT_YET, NULL, NULL},
        {R_OFF, NO_TLSA, IN, T_UNTRIED, "C", NOT_YET, NULL, NULL},
        {R_OFF, NO_TLSA, IN, T_NONE, "C", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
        {R_OFF, NO_TLSA, IN, T_NONE, "Csh", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
        {R_OFF, NO_TLSA, IN, T_LATER, "C", PASSING, "4.7.4", W_REFUSED "454 "},
        {R_OFF, NO_TLSA, IN, T_CUT, "C", PASSING, "4.7.5", W_HANDSHAKE},
        {R_OFF, NO_TLSA, IN, T_REFUSED, "C", REFUSED, "5.7.4", W_REFUSED "502 "},
        {R_OFF, NO_TLSA, IN, T_FAILED, "C", FAILED, "5.7.5", W_HANDSHAKE "no shared cipher"},
        {R_OFF, NO_TLSA, IN, T_UP, "C", NOT_AUTH, "5.7.5", W_STS_CERT ": " CERTIFICATE_ERROR},
        {R_OFF, NO_TLSA, IN, T_UP, "Cs", NOT_AUTH, "5.7.5", W_STS_CERT},
        {R_OFF, NO_TLSA, IN, T_UP, "Cp", NOT_AUTH, "5.7.5", W_STS_CERT},
        {R_OFF, NO_TLSA, IN, T_UP, "Cn", NOT_AUTH, "5.7.5", W_STS_CERT},
        {R_OFF, NO_TLSA, IN, T_UP, "Ch", OK, NULL, NULL},
        {R_OFF, NO_TLSA, IN, T_UP, "Csh", OK, NULL, NULL},
        {R_OFF, NO_TLSA, IN, T_UP, "Chl", NOT_AUTH, "5.7.5", W_CERT},
        {R_OFF, NO_TLSA, DEAD, T_UNTRIED, "C", UNREACH, "4.3.2", "5.3.2 go away"},
        {R_OFF, NO_TLSA, FAULT, T_UNTRIED, "C", OWN, "4.3.0", "too many open files"},
        {R_ENCRYPT, NO_TLSA, IN, T_UP, "C", NOT_AUTH, "5.7.5", W_STS_CERT},
        {R_ENCRYPT, NO_TLSA, IN, T_UP, "Ch", OK, NULL, NULL},
        {R_ENCRYPT, NO_TLSA, IN, T_NONE, "Ch", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
        {R_POLICY_NONE, NO_TLSA, IN, T_UNTRIED, "C", NOT_YET, NULL, NULL},
        {R_POLICY_NONE, NO_TLSA, IN, T_NONE, "C", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
        {R_POLICY_ENCRYPT, NO_TLSA, IN, T_UP, "C", NOT_AUTH, "5.7.5", W_STS_CERT},
        {R_POLICY_ENCRYPT, NO_TLSA, IN, T_UP, "Ch", OK, NULL, NULL},
        {R_RELEASED, NO_TLSA, IN, T_NONE, "C", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
        {R_RELEASED, NO_TLSA, IN, T_UP, "C", NOT_AUTH, "5.7.5", W_STS_CERT},
        /* It does not list the host: not even connected. */
        {R_OFF, NO_TLSA, UNTRIED, T_UNTRIED, "E", NOT_AUTH, "5.7.5", W_EXCLUDED},
        {R_OFF, NO_TLSA, UNTRIED, T_UNTRIED, "Esh", NOT_AUTH, "5.7.5", W_EXCLUDED},
        {R_OFF, NO_TLSA, IN, T_UNTRIED, "E", NOT_AUTH, "5.7.5", W_EXCLUDED},
        {R_OFF, NO_TLSA, IN, T_NONE, "E", NOT_AUTH, "5.7.5", W_EXCLUDED},
        {R_OFF, NO_TLSA, IN, T_UP, "Esh", NOT_AUTH, "5.7.5", W_EXCLUDED},
        {R_OFF, NO_TLSA, DEAD, T_UNTRIED, "E", NOT_AUTH, "5.7.5", W_EXCLUDED},
        {R_OFF, NO_TLSA, FAULT, T_UNTRIED, "E", OWN, "4.3.0", "too many open files"},
        {R_ENCRYPT, NO_TLSA, UNTRIED, T_UNTRIED, "Es", NOT_AUTH, "5.7.5", W_EXCLUDED},
        {R_ENCRYPT, NO_TLSA, IN, T_UP, "Esh", NOT_AUTH, "5.7.5", W_EXCLUDED},
        {R_VERIFIED, NO_TLSA, IN, T_UP, "Esh", NOT_AUTH, "5.7.5", W_EXCLUDED},
        {R_POLICY_NONE, NO_TLSA, UNTRIED, T_UNTRIED, "E", NOT_AUTH, "5.7.5", W_EXCLUDED},
        {R_POLICY_VERIFY, NO_TLSA, IN, T_UP, "Esh", NOT_AUTH, "5.7.5", W_EXCLUDED},
        {R_POLICY_DANE, NO_TLSA, UNTRIED, T_UNTRIED, "Es", NOT_AUTH, "5.7.5", W_EXCLUDED},
        {R_REQUIRETLS, NO_TLSA, IN, T_UP, "Eshq", NOT_AUTH, "5.7.5", W_EXCLUDED},
        {R_RELEASED, NO_TLSA, UNTRIED, T_UNTRIED, "E", NOT_AUTH, "5.7.5", W_EXCLUDED},
        /* Testing is for reports alone. */
        {R_OFF, NO_TLSA, IN, T_NONE, "T", OK, NULL, NULL},
        {R_OFF, NO_TLSA, IN, T_UP, "T", OK, NULL, NULL},
        {R_ENCRYPT, NO_TLSA, IN, T_UP, "T", OK, NULL, NULL},
        {R_ENCRYPT, NO_TLSA, IN, T_NONE, "T", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
        {R_VERIFIED, NO_TLSA, IN, T_UP, "Th", NOT_AUTH, "5.7.5", W_NO_DNSSEC "; the MTA-STS policy is in testing mode"},
        {R_POLICY_VERIFY, NO_TLSA, IN, T_UP, "Th", NOT_AUTH, "5.7.5", W_CERT "non DNSSEC destination"},
        {R_REQUIRETLS, NO_TLSA, IN, T_UP, "Thq", NOT_AUTH, "5.7.10", W_RTLS "the name of host"},
        /* What could not be learnt is no policy where nothing needs one. */
        {R_OFF, NO_TLSA, IN, T_NONE, "U", OK, NULL, NULL},
        {R_OFF, NO_TLSA, IN, T_UP, "U", OK, NULL, NULL},
        {R_OFF, NO_TLSA, IN, T_NONE, "O", OK, NULL, NULL},
        {R_ENCRYPT, NO_TLSA, IN, T_UP, "U", OK, NULL, NULL},
        {R_ENCRYPT, NO_TLSA, IN, T_UP, "O", OK, NULL, NULL},
        {R_ENCRYPT, NO_TLSA, IN, T_NONE, "U", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
        {R_ENCRYPT, NO_TLSA, UNTRIED, T_UNTRIED, "U", NOT_YET, NULL, NULL},
        {R_POLICY_ENCRYPT, NO_TLSA, IN, T_UP, "U", OK, NULL, NULL},
        {R_POLICY_NONE, NO_TLSA, IN, T_UNTRIED, "U", OK, NULL, NULL},
        /* A local route is bound by nothing. */
        {R_OFF, NO_TLSA, IN, T_NONE, "xE", OK, NULL, NULL},
        {R_VERIFIED, NO_TLSA, IN, T_NONE, "xC", OK, NULL, NULL},
        {R_VERIFIED, NO_TLSA, IN, T_NONE, "xU", OK, NULL, NULL},
    };
    check(cases, COUNT_OF(cases));
}

static void dane_at_a_host_wins_over_the_policy_there(void **state)
{
    (void)state;
    static const struct judge_case cases[] = {
        {R_OFF, USABLE, UNTRIED, T_UNTRIED, "sE", NOT_YET, NULL, NULL},
        {R_OFF, USABLE, IN, T_UP, "sdE", OK, NULL, NULL},
        {R_OFF, USABLE, IN, T_UP, "sE", NOT_AUTH, "5.7.5", W_NO_MATCH},
        {R_OFF, USABLE, IN, T_UP, "sdC", OK, NULL, NULL},
        {R_OFF, USABLE, IN, T_UP, "shC", NOT_AUTH, "5.7.5", W_NO_MATCH},
        {R_ENCRYPT, USABLE, IN, T_UP, "sdC", OK, NULL, NULL},
        {R_ENCRYPT, USABLE, IN, T_UP, "shC", NOT_AUTH, "5.7.5", W_NO_MATCH},
        {R_VERIFIED, USABLE, IN, T_UP, "sdE", OK, NULL, NULL},
        {R_VERIFIED, USABLE, IN, T_UP, "sdC", OK, NULL, NULL},
        {R_VERIFIED, USABLE, IN, T_UP, "shC", NOT_AUTH, "5.7.5", W_NO_MATCH},
        {R_VERIFIED, USABLE, IN, T_UP, "sdU", OK, NULL, NULL},
        {R_REQUIRETLS, USABLE, IN, T_UP, "sdqE", OK, NULL, NULL},
        {R_POLICY_VERIFY, USABLE, IN, T_UP, "shC", NOT_AUTH, "5.7.5", W_NO_MATCH},
        /* Unusable records ask for TLS; the policy binds beside them. */
        {R_OFF, UNUSABLE, IN, T_UP, "sC", NOT_AUTH, "5.7.5", W_STS_CERT},
        {R_OFF, UNUSABLE, IN, T_UP, "shC", OK, NULL, NULL},
        {R_OFF, UNUSABLE, UNTRIED, T_UNTRIED, "sE", NOT_AUTH, "5.7.5", W_EXCLUDED},
        {R_VERIFIED, UNUSABLE, IN, T_UP, "shC", OK, NULL, NULL},
        /* A look-up error is no way round DANE. */
        {R_OFF, TLSA_ERR, UNTRIED, T_UNTRIED, "sC", UNKNOWN, "4.7.5", W_TLSA_ERR},
        {R_OFF, TLSA_ERR, IN, T_UP, "shC", UNKNOWN, "4.7.5", W_TLSA_ERR},
        {R_ENCRYPT, TLSA_ERR, IN, T_UP, "shC", UNKNOWN, "4.7.5", W_TLSA_ERR},
        {R_VERIFIED, TLSA_ERR, IN, T_UP, "shC", UNKNOWN, "4.7.5", W_TLSA_ERR},
        {R_POLICY_VERIFY, TLSA_ERR, IN, T_UP, "shC", UNKNOWN, "4.7.5", W_TLSA_ERR},
        {R_REQUIRETLS, TLSA_ERR, IN, T_UP, "shqC", UNKNOWN, "4.7.5", W_TLSA_ERR},
        /* Nor is it final: were the records learnt, the policy might not count here. */
        {R_ENCRYPT, TLSA_ERR, UNTRIED, T_UNTRIED, "sE", UNKNOWN, "4.7.5", W_TLSA_ERR},
        {R_VERIFIED, TLSA_ERR, UNTRIED, T_UNTRIED, "sU", UNKNOWN, "4.7.5", W_TLSA_ERR},
    };
    check(cases, COUNT_OF(cases));
}

static void a_policy_that_lists_the_host_makes_its_name_authentic(void **state)
{
    (void)state;
    static const struct judge_case cases[] = {
        /* Level verified: by MTA-STS, or by a DANE match at a listed host. */
        {R_VERIFIED, NO_TLSA, IN, T_UP, "hC", OK, NULL, NULL},
        {R_VERIFIED, NO_TLSA, IN, T_UP, "shC", OK, NULL, NULL},
        {R_VERIFIED, NO_TLSA, IN, T_UP, "pC", NOT_AUTH, "5.7.5", W_STS_CERT},
        {R_VERIFIED, NO_TLSA, IN, T_UP, "nC", NOT_AUTH, "5.7.5", W_STS_CERT},
        {R_VERIFIED, NO_TLSA, IN, T_UP, "C", NOT_AUTH, "5.7.5", W_STS_CERT},
        {R_VERIFIED, NO_TLSA, IN, T_UP, "hlC", NOT_AUTH, "5.7.5", W_CERT},
        {R_VERIFIED, NO_TLSA, IN, T_UP, "h", NOT_AUTH, "5.7.5", W_NO_DNSSEC "; no MTA-STS policy applies"},
        {R_VERIFIED, NO_TLSA, IN, T_UP, "sh", NOT_AUTH, "5.7.5", W_NO_TLSA "; no MTA-STS policy applies"},
        {R_VERIFIED, USABLE, IN, T_UP, "dC", OK, NULL, NULL},
        {R_VERIFIED, USABLE, IN, T_UP, "dlC", NOT_AUTH, "5.7.5", W_CERT "host [" ADDRESS "] is named by its address alone"},
        {R_VERIFIED, USABLE, IN, T_UP, "hC", NOT_AUTH, "5.7.5", W_NO_MATCH},
        {R_VERIFIED, USABLE, IN, T_UP, "dE", NOT_AUTH, "5.7.5", W_EXCLUDED},
        {R_VERIFIED, USABLE, IN, T_UP, "sdE", OK, NULL, NULL},
        {R_VERIFIED, USABLE, IN, T_UP, "dT", NOT_AUTH, "5.7.5", W_NO_DNSSEC "; the MTA-STS policy is in testing mode"},
        {R_VERIFIED, NO_TLSA, IN, T_NONE, "hC", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
        {R_VERIFIED, NO_TLSA, IN, T_UP, "mhC", NO_RTLS, "5.7.30", "Verified TLS is required, but mail through smarthost"},
        /* Policy dane takes DNSSEC alone. */
        {R_POLICY_DANE, USABLE, IN, T_UP, "dC", NOT_AUTH, "5.7.5", W_NO_DNSSEC},
        {R_POLICY_DANE, NO_TLSA, IN, T_UP, "shC", NOT_AUTH, "5.7.5", W_NO_TLSA},
        {R_POLICY_DANE, NO_TLSA, IN, T_UP, "hC", NOT_AUTH, "5.7.5", W_NO_DNSSEC},
        {R_ROUTE_DANE, USABLE, IN, T_UP, "dC", NOT_AUTH, "5.7.5", W_NO_DNSSEC},
        {R_VERIFIED_AND_POLICY_DANE, NO_TLSA, IN, T_UP, "shC", NOT_AUTH, "5.7.5", W_NO_TLSA},
        {R_VERIFIED_AND_POLICY_DANE, USABLE, IN, T_UP, "dC", NOT_AUTH, "5.7.5", W_NO_DNSSEC},
        {R_VERIFIED_AND_POLICY_DANE, USABLE, IN, T_UP, "sdC", OK, NULL, NULL},
        /* verify. */
        {R_POLICY_VERIFY, NO_TLSA, IN, T_UP, "hC", OK, NULL, NULL},
        {R_POLICY_VERIFY, NO_TLSA, IN, T_UP, "pC", NOT_AUTH, "5.7.5", W_STS_CERT},
        {R_POLICY_VERIFY, NO_TLSA, IN, T_UP, "h", NOT_AUTH, "5.7.5", W_CERT "non DNSSEC destination"},
        {R_POLICY_VERIFY, USABLE, IN, T_UP, "dC", OK, NULL, NULL},
        {R_POLICY_VERIFY, USABLE, IN, T_UP, "dE", NOT_AUTH, "5.7.5", W_CERT},
        {R_POLICY_VERIFY, NO_TLSA, IN, T_UP, "hlC", NOT_AUTH, "5.7.5", W_CERT},
        {R_ROUTE_VERIFY, NO_TLSA, IN, T_UP, "hC", OK, NULL, NULL},
        {R_VERIFIED_AND_POLICY_VERIFY, NO_TLSA, IN, T_UP, "hC", OK, NULL, NULL},
        {R_RELEASED_POLICY_VERIFY, NO_TLSA, IN, T_UP, "hC", OK, NULL, NULL},
        /* REQUIRETLS. */
        {R_REQUIRETLS, NO_TLSA, IN, T_UP, "hqC", OK, NULL, NULL},
        {R_REQUIRETLS, NO_TLSA, IN, T_UP, "hC", NO_RTLS, "5.7.30", W_RTLS "no server was found that supports REQUIRETLS"},
        {R_REQUIRETLS, NO_TLSA, IN, T_UP, "pqC", NOT_AUTH, "5.7.5", W_STS_CERT},
        {R_REQUIRETLS, NO_TLSA, IN, T_UP, "qC", NOT_AUTH, "5.7.5", W_STS_CERT},
        {R_REQUIRETLS, NO_TLSA, IN, T_UP, "hlqC", NOT_AUTH, "5.7.5", W_CERT},
        {R_REQUIRETLS, USABLE, IN, T_UP, "dqC", OK, NULL, NULL},
        {R_REQUIRETLS, USABLE, IN, T_UP, "dqE", NOT_AUTH, "5.7.5", W_EXCLUDED},
        {R_REQUIRETLS, USABLE, IN, T_UP, "dq", NOT_AUTH, "5.7.10", W_RTLS "the name of host " SHOWN " is not authentic"},
        {R_VERIFIED_AND_REQUIRETLS, NO_TLSA, IN, T_UP, "hqC", OK, NULL, NULL},
        {R_VERIFIED_AND_REQUIRETLS, NO_TLSA, IN, T_UP, "mhqC", OK, NULL, NULL},
        {R_VERIFIED_AND_REQUIRETLS, NO_TLSA, IN, T_UP, "hC", NO_RTLS, "5.7.30", W_RTLS},
    };
    check(cases, COUNT_OF(cases));
}

/* Whoever forges an insecure MX answer has a signed zone, a key and a TLSA record of his own. */
static void a_tlsa_match_does_not_make_good_that_a_forged_host_is_not_listed(void **state)
{
    (void)state;
    static const struct judge_case cases[] = {
        {R_OFF, USABLE, IN, T_UP, "dE", NOT_AUTH, "5.7.5", W_EXCLUDED},
        {R_OFF, USABLE, UNTRIED, T_UNTRIED, "E", NOT_AUTH, "5.7.5", W_EXCLUDED},
        {R_ENCRYPT, USABLE, IN, T_UP, "dE", NOT_AUTH, "5.7.5", W_EXCLUDED},
        {R_ENCRYPT, USABLE, IN, T_UP, "dhE", NOT_AUTH, "5.7.5", W_EXCLUDED},
        {R_ENCRYPT, USABLE, IN, T_UP, "sdE", OK, NULL, NULL},
        {R_ENCRYPT, USABLE, IN, T_UP, "dC", OK, NULL, NULL},
        {R_ENCRYPT, USABLE, IN, T_UP, "dT", OK, NULL, NULL},
        {R_TLS_REQUIRED_NO, USABLE, IN, T_UP, "dE", OK, NULL, NULL},
    };
    check(cases, COUNT_OF(cases));
}

static void a_policy_that_is_needed_and_could_not_be_learnt_may_pass(void **state)
{
    (void)state;
    static const struct judge_case cases[] = {
        {R_VERIFIED, NO_TLSA, UNTRIED, T_UNTRIED, "U", NOT_YET, NULL, NULL},
        {R_VERIFIED, NO_TLSA, IN, T_UNTRIED, "U", NOT_YET, NULL, NULL},
        /* What STARTTLS shows goes before. */
        {R_VERIFIED, NO_TLSA, IN, T_NONE, "U", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
        {R_VERIFIED, NO_TLSA, IN, T_REFUSED, "U", REFUSED, "5.7.4", W_REFUSED},
        {R_VERIFIED, NO_TLSA, IN, T_FAILED, "U", FAILED, "5.7.5", W_HANDSHAKE},
        {R_VERIFIED, NO_TLSA, IN, T_LATER, "U", PASSING, "4.7.4", W_REFUSED},
        {R_VERIFIED, NO_TLSA, DEAD, T_UNTRIED, "U", UNREACH, "4.3.2", "5.3.2 go away"},
        {R_VERIFIED, NO_TLSA, IN, T_UP, "U", PASSING, "4.7.5", W_STS_UNKNOWN},
        {R_VERIFIED, NO_TLSA, IN, T_UP, "sU", PASSING, "4.7.5", W_STS_UNKNOWN},
        {R_VERIFIED, NO_TLSA, IN, T_UP, "hU", PASSING, "4.7.5", W_STS_UNKNOWN},
        {R_VERIFIED, NO_TLSA, IN, T_UP, "shU", PASSING, "4.7.5", W_STS_UNKNOWN},
        {R_VERIFIED, UNUSABLE, IN, T_UP, "sU", PASSING, "4.7.5", W_STS_UNKNOWN},
        {R_VERIFIED, USABLE, IN, T_UP, "dU", PASSING, "4.7.5", W_STS_UNKNOWN},
        {R_VERIFIED, NO_TLSA, IN, T_UP, "O", OWN, "4.3.0", W_STS_FAULT},
        {R_VERIFIED, USABLE, IN, T_UP, "dO", OWN, "4.3.0", W_STS_FAULT},
        {R_POLICY_VERIFY, NO_TLSA, IN, T_UP, "hU", PASSING, "4.7.5", W_STS_UNKNOWN},
        {R_POLICY_VERIFY, NO_TLSA, IN, T_UP, "U", PASSING, "4.7.5", W_STS_UNKNOWN},
        {R_POLICY_VERIFY, NO_TLSA, IN, T_UP, "hO", OWN, "4.3.0", W_STS_FAULT},
        {R_ROUTE_VERIFY, NO_TLSA, IN, T_UP, "hU", PASSING, "4.7.5", W_STS_UNKNOWN},
        {R_NO_AND_POLICY_VERIFY, NO_TLSA, IN, T_UP, "hU", PASSING, "4.7.5", W_STS_UNKNOWN},
        {R_REQUIRETLS, NO_TLSA, IN, T_UP, "hqU", PASSING, "4.7.10", W_RTLS_STS_UNKNOWN},
        {R_REQUIRETLS, USABLE, IN, T_UP, "dqU", PASSING, "4.7.10", W_RTLS_STS_UNKNOWN},
        {R_REQUIRETLS, NO_TLSA, IN, T_UP, "hqO", OWN, "4.3.0", W_STS_FAULT},
        /* Something else authenticates. */
        {R_VERIFIED, USABLE, IN, T_UP, "sdU", OK, NULL, NULL},
        {R_VERIFIED, USABLE, IN, T_UP, "sdO", OK, NULL, NULL},
        {R_POLICY_VERIFY, NO_TLSA, IN, T_UP, "shU", OK, NULL, NULL},
        {R_POLICY_VERIFY, NO_TLSA, IN, T_UP, "nU", OK, NULL, NULL},
        {R_REQUIRETLS, NO_TLSA, IN, T_UP, "shqU", OK, NULL, NULL},
        /* Whatever the policy says, another line fails. */
        {R_VERIFIED, USABLE, IN, T_UP, "hU", NOT_AUTH, "5.7.5", W_NO_MATCH},
        {R_VERIFIED, NO_TLSA, IN, T_UP, "lhU", NOT_AUTH, "5.7.5", W_CERT "host [" ADDRESS "] is named by its address alone"},
        {R_VERIFIED, NO_TLSA, IN, T_UP, "lhO", NOT_AUTH, "5.7.5", W_CERT "host [" ADDRESS "] is named by its address alone"},
        {R_VERIFIED, NO_TLSA, IN, T_UP, "mhU", NO_RTLS, "5.7.30", "Verified TLS is required, but mail through smarthost"},
        {R_POLICY_DANE, NO_TLSA, IN, T_UP, "shU", NOT_AUTH, "5.7.5", W_NO_TLSA},
        {R_POLICY_DANE, USABLE, IN, T_UP, "dU", NOT_AUTH, "5.7.5", W_NO_DNSSEC},
        {R_VERIFIED_AND_POLICY_DANE, NO_TLSA, IN, T_UP, "shU", NOT_AUTH, "5.7.5", W_NO_TLSA},
        {R_REQUIRETLS, NO_TLSA, IN, T_UP, "hU", NO_RTLS, "5.7.30", W_RTLS "no server was found"},
        {R_REQUIRETLS, NO_TLSA, IN, T_UP, "qU", NOT_AUTH, "5.7.10", W_RTLS "no matching server certificate"},
        {R_REQUIRETLS, NO_TLSA, IN, T_UP, "lhqU", NOT_AUTH, "5.7.10", W_RTLS "the name of host"},
        {R_VERIFIED_AND_REQUIRETLS, NO_TLSA, IN, T_UP, "shU", NO_RTLS, "5.7.30", W_RTLS "no server was found"},
        {R_VERIFIED_AND_REQUIRETLS, NO_TLSA, IN, T_UP, "shqU", PASSING, "4.7.5", W_STS_UNKNOWN},
    };
    check(cases, COUNT_OF(cases));
}

static void tls_required_no_and_force_lift_the_policy_of_the_domain_and_not_ours(void **state)
{
    (void)state;
    static const struct judge_case cases[] = {
        {R_TLS_REQUIRED_NO, NO_TLSA, UNTRIED, T_UNTRIED, "E", NOT_YET, NULL, NULL},
        {R_TLS_REQUIRED_NO, NO_TLSA, IN, T_NONE, "E", OK, NULL, NULL},
        {R_TLS_REQUIRED_NO, NO_TLSA, IN, T_UP, "E", OK, NULL, NULL},
        {R_TLS_REQUIRED_NO, NO_TLSA, IN, T_NONE, "C", OK, NULL, NULL},
        {R_TLS_REQUIRED_NO, NO_TLSA, IN, T_FAILED, "C", OK, NULL, NULL},
        {R_TLS_REQUIRED_NO, NO_TLSA, IN, T_UP, "C", OK, NULL, NULL},
        {R_TLS_REQUIRED_NO, TLSA_ERR, IN, T_NONE, "C", OK, NULL, NULL},
        {R_TLS_REQUIRED_NO, NO_TLSA, IN, T_NONE, "U", OK, NULL, NULL},
        {R_NO_AND_POLICY_ENCRYPT, NO_TLSA, IN, T_NONE, "E", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
        {R_NO_AND_POLICY_ENCRYPT, NO_TLSA, IN, T_UP, "E", OK, NULL, NULL},
        {R_NO_AND_POLICY_ENCRYPT, NO_TLSA, IN, T_UP, "C", OK, NULL, NULL},
        {R_NO_AND_POLICY_VERIFY, NO_TLSA, IN, T_UP, "E", NOT_AUTH, "5.7.5", W_PKIX},
        {R_NO_AND_POLICY_VERIFY, NO_TLSA, IN, T_UP, "shE", OK, NULL, NULL},
        {R_NO_AND_POLICY_VERIFY, NO_TLSA, IN, T_UP, "hE", NOT_AUTH, "5.7.5", W_CERT "non DNSSEC destination"},
        {R_NO_AND_POLICY_VERIFY, NO_TLSA, IN, T_UP, "hC", OK, NULL, NULL},
        {R_NO_AND_POLICY_VERIFY, NO_TLSA, IN, T_UP, "pC", NOT_AUTH, "5.7.5", W_CERT},
        {R_NO_AND_POLICY_DANE, NO_TLSA, IN, T_UP, "shE", NOT_AUTH, "5.7.5", W_NO_TLSA},
        /* REQUIRETLS wins over both. */
        {R_NO_AND_REQUIRETLS, NO_TLSA, UNTRIED, T_UNTRIED, "E", NOT_AUTH, "5.7.5", W_EXCLUDED},
        {R_NO_AND_REQUIRETLS, NO_TLSA, IN, T_UP, "sqC", NOT_AUTH, "5.7.5", W_STS_CERT},
        {R_NO_AND_REQUIRETLS, NO_TLSA, IN, T_UP, "hqC", OK, NULL, NULL},
    };
    check(cases, COUNT_OF(cases));
}

static void remembered_tls_keeps_mail_out_of_clear_text(void **state)
{
    (void)state;
    static const struct judge_case cases[] = {
        {R_OFF, NO_TLSA, UNTRIED, T_UNTRIED, "r", NOT_YET, NULL, NULL},
        {R_OFF, NO_TLSA, IN, T_UNTRIED, "r", NOT_YET, NULL, NULL},
        {R_OFF, NO_TLSA, IN, T_NONE, "r", NOT_OFFERED, "5.7.4", W_EXPECTED_NOT},
        {R_OFF, NO_TLSA, IN, T_LATER, "r", PASSING, "4.7.4", W_EXPECTED_REFUSED "454 "},
        {R_OFF, NO_TLSA, IN, T_CUT, "r", PASSING, "4.7.5", W_HANDSHAKE},
        {R_OFF, NO_TLSA, IN, T_REFUSED, "r", REFUSED, "5.7.4", W_EXPECTED_REFUSED "502 "},
        {R_OFF, NO_TLSA, IN, T_FAILED, "r", FAILED, "5.7.5", W_HANDSHAKE},
        {R_OFF, NO_TLSA, IN, T_UP, "r", OK, NULL, NULL},
        {R_OFF, NO_TLSA, IN, T_UP, "rU", OK, NULL, NULL},
        {R_OFF, NO_TLSA, DEAD, T_UNTRIED, "r", UNREACH, "4.3.2", "5.3.2 go away"},
        {R_OFF, NO_TLSA, IN, T_NONE, "rx", OK, NULL, NULL},
        {R_ENCRYPT, NO_TLSA, IN, T_NONE, "r", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
        {R_OFF, USABLE, IN, T_NONE, "rs", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
        {R_OFF, NO_TLSA, IN, T_NONE, "rC", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
        /* It never permits. */
        {R_VERIFIED, NO_TLSA, IN, T_UP, "rsh", NOT_AUTH, "5.7.5", W_NO_TLSA},
        {R_REQUIRETLS, NO_TLSA, IN, T_NONE, "r", NOT_OFFERED, "5.7.30", W_RTLS},
        /* It binds nobody who decided otherwise. */
        {R_RELEASED, NO_TLSA, IN, T_NONE, "r", OK, NULL, NULL},
        {R_RELEASED, NO_TLSA, IN, T_FAILED, "r", OK, NULL, NULL},
        {R_POLICY_NONE, NO_TLSA, IN, T_UNTRIED, "r", OK, NULL, NULL},
        {R_ROUTE_NONE, NO_TLSA, IN, T_NONE, "r", OK, NULL, NULL},
        {R_FLAG_AND_ROUTE_NONE, NO_TLSA, IN, T_NONE, "r", NOT_OFFERED, "5.7.4", W_NOT_OFFERED},
    };
    check(cases, COUNT_OF(cases));
}
/* clang-format on */

static void a_downgrade_is_said_behind_the_sentence(void **state)
{
    (void)state;
    static const struct {
        enum guarantee_tls tls;
        unsigned looks;
        const char *want;
    } cases[] = {
        {T_NONE, 12, W_NOT_OFFERED "; on 12 earlier looks it offered TLS, last on 2026-11-22"},
        {T_NONE, 0, W_NOT_OFFERED "; on earlier looks it offered TLS, last on 2026-11-22"},
        {T_REFUSED, 12,
         W_REFUSED "502 5.5.1 no such thing; on 12 earlier looks it had TLS, last on 2026-11-22"},
        {T_FAILED, 12,
         W_HANDSHAKE "no shared cipher; on 12 earlier looks it had TLS, last on 2026-11-22"},
        {T_CUT, 12,
         W_HANDSHAKE
         "Connection reset by peer; on 12 earlier looks it had TLS, last on 2026-11-22"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct guarantee_host h = host_of(NO_TLSA, IN, cases[i].tls, "s");
        h.tls_seen_at = 1795361330; /* 2026-11-22T15:28:50Z */
        h.tls_looks = cases[i].looks;
        assert_string_equal(guarantee_judge(&requirements[R_ENCRYPT], &h).outcome.text,
                            cases[i].want);
    }
    /* Words only: it binds nobody by itself. */
    struct guarantee_host h = host_of(NO_TLSA, IN, T_NONE, "");
    h.tls_seen_at = 1795361330;
    assert_int_equal(guarantee_judge(&requirements[R_OFF], &h).kind, OK);
}

static void the_policys_words_need_no_domain_and_no_detail(void **state)
{
    (void)state;
    static const struct {
        const char *letters, *want;
    } cases[] = {
        {"E", W_CERT "host " SHOWN " is not in the MTA-STS policy of the recipient's domain"},
        {"Ch", ""},
        {"U", W_CERT "the MTA-STS policy of the recipient's domain could not be learnt"},
        {"O", "a fault of this mail system kept it from learning the MTA-STS policy of the "
              "recipient's domain"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct guarantee_host h = host_of(NO_TLSA, IN, T_UP, cases[i].letters);
        h.sts_domain = h.sts_detail = i % 2 ? "" : NULL;
        assert_string_equal(guarantee_judge(&requirements[R_VERIFIED], &h).outcome.text,
                            cases[i].want);
    }
}

static void a_verdict_says_where_the_policy_of_the_domain_stands_in_the_way(void **state)
{
    (void)state;
    static const struct {
        enum req req;
        enum guarantee_tlsa tlsa;
        enum guarantee_tls tls;
        const char *letters;
        bool want;
    } cases[] = {
        {R_ENCRYPT, NO_TLSA, T_UP, "E", true},   {R_ENCRYPT, NO_TLSA, T_UP, "C", true},
        {R_ENCRYPT, NO_TLSA, T_UP, "Ch", false}, {R_ENCRYPT, NO_TLSA, T_NONE, "C", false},
        {R_VERIFIED, NO_TLSA, T_UP, "U", false}, {R_VERIFIED, NO_TLSA, T_UP, "s", false},
        {R_ENCRYPT, USABLE, T_UP, "sE", false},  {R_TLS_REQUIRED_NO, NO_TLSA, T_UP, "E", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct guarantee_host h = host_of(cases[i].tlsa, IN, cases[i].tls, cases[i].letters);
        bool got = guarantee_judge(&requirements[cases[i].req], &h).is_by_sts;
        if (got != cases[i].want)
            fail_msg("row %zu: got %d want %d", i, got, cases[i].want);
    }
}

static void facts_without_a_cause_still_get_true_words(void **state)
{
    (void)state;
    static const struct {
        enum guarantee_tlsa tlsa;
        enum guarantee_contact contact;
        enum guarantee_tls tls;
        const char *want_status, *want_text;
    } cases[] = {
        {NO_TLSA, FAULT, T_UNTRIED, "4.3.0",
         "a fault of this mail system kept host " HOST " from being used"},
        {NO_TLSA, DEAD, T_UNTRIED, "4.4.1", "host " SHOWN " could not be reached"},
        {NO_TLSA, IN, T_LATER, "4.7.4", W_REFUSED "no reason given"},
        {NO_TLSA, IN, T_CUT, "4.7.5", W_HANDSHAKE "connection lost"},
        {NO_TLSA, IN, T_REFUSED, "5.7.4", W_REFUSED "no reason given"},
        {NO_TLSA, IN, T_FAILED, "5.7.5", W_HANDSHAKE "no common ground"},
        {TLSA_ERR, UNTRIED, T_UNTRIED, "4.7.5", W_TLSA_ERR},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char status[STATUS_SIZE];
        struct guarantee_host h = host_of(cases[i].tlsa, cases[i].contact, cases[i].tls, "s");
        h.cause = (struct outcome){0};
        struct outcome got = guarantee_judge(&requirements[R_ENCRYPT], &h).outcome;
        assert_string_equal(status_text(got.status, status), cases[i].want_status);
        assert_string_equal(got.text, cases[i].want_text);
    }
}

static void a_tlsa_error_says_what_the_resolver_said(void **state)
{
    (void)state;
    struct guarantee_host h = host_of(TLSA_ERR, UNTRIED, T_UNTRIED, "s");
    h.cause = outcome_local(status_make(4, 7, 5), "bogus: signature expired");
    struct guarantee_verdict got = guarantee_judge(&requirements[R_ENCRYPT], &h);
    assert_string_equal(got.outcome.text, W_TLSA_ERR ": bogus: signature expired");
}

static void own_faults_are_always_of_subject_three(void **state)
{
    (void)state;
    struct guarantee_host h = host_of(NO_TLSA, FAULT, T_UNTRIED, "s");
    h.cause = outcome_local(status_make(5, 7, 5), "TLS engine unavailable");
    char status[STATUS_SIZE];
    struct guarantee_verdict got = guarantee_judge(&requirements[R_ENCRYPT], &h);
    assert_string_equal(status_text(got.outcome.status, status), "4.3.0");
    h.cause = outcome_local(status_make(4, 3, 1), "out of memory");
    got = guarantee_judge(&requirements[R_ENCRYPT], &h);
    assert_string_equal(status_text(got.outcome.status, status), "4.3.1");
}

static void what_is_claimed_as_verified_was_verified(void **state)
{
    (void)state;
    static const struct {
        enum guarantee_tlsa tlsa;
        enum guarantee_tls tls;
        const char *letters;
        int want;
    } cases[] = {
        {USABLE, T_UP, "sd", GUARANTEE_VERIFIED_DANE},
        {USABLE, T_UP, "sdp", GUARANTEE_VERIFIED_DANE},
        {USABLE, T_UP, "d", GUARANTEE_VERIFIED_NO},
        {USABLE, T_UP, "dn", GUARANTEE_VERIFIED_PKIX},
        {NO_TLSA, T_UP, "sp", GUARANTEE_VERIFIED_PKIX},
        {NO_TLSA, T_UP, "n", GUARANTEE_VERIFIED_PKIX},
        {NO_TLSA, T_UP, "p", GUARANTEE_VERIFIED_NO},
        {NO_TLSA, T_UP, "spl", GUARANTEE_VERIFIED_NO},
        {NO_TLSA, T_UP, "s", GUARANTEE_VERIFIED_NO},
        {NO_TLSA, T_UP, "sd", GUARANTEE_VERIFIED_NO},
        {NO_TLSA, T_NONE, "sdp", GUARANTEE_VERIFIED_NO},
        {UNUSABLE, T_UP, "sd", GUARANTEE_VERIFIED_NO},
        {NO_TLSA, T_UP, "hC", GUARANTEE_VERIFIED_STS},
        {NO_TLSA, T_UP, "shC", GUARANTEE_VERIFIED_STS},
        {UNUSABLE, T_UP, "hC", GUARANTEE_VERIFIED_STS},
        {USABLE, T_UP, "sdhC", GUARANTEE_VERIFIED_DANE},
        {USABLE, T_UP, "dC", GUARANTEE_VERIFIED_DANE},
        {USABLE, T_UP, "sdE", GUARANTEE_VERIFIED_DANE},
        {USABLE, T_UP, "dT", GUARANTEE_VERIFIED_NO},
        {NO_TLSA, T_UP, "hT", GUARANTEE_VERIFIED_NO},
        {NO_TLSA, T_UP, "hU", GUARANTEE_VERIFIED_NO},
        {NO_TLSA, T_UP, "hO", GUARANTEE_VERIFIED_NO},
        {NO_TLSA, T_UP, "shT", GUARANTEE_VERIFIED_PKIX},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct guarantee_host h = host_of(cases[i].tlsa, IN, cases[i].tls, cases[i].letters);
        struct guarantee_verdict got = guarantee_judge(&requirements[R_OFF], &h);
        assert_int_equal(got.kind, OK);
        if ((int)got.verified != cases[i].want)
            fail_msg("row %zu: got %d want %d", i, (int)got.verified, cases[i].want);
    }
}

/* Nor is a certificate that no TLSA record matches claimed as verified by MTA-STS, where a message
 * that needs neither went over it. */
static void dane_that_fails_is_not_made_good_by_the_policy(void **state)
{
    (void)state;
    struct guarantee_host h = host_of(USABLE, IN, T_UP, "hC");
    struct guarantee_verdict got = guarantee_judge(&requirements[R_TLS_REQUIRED_NO], &h);
    assert_int_equal(got.kind, OK);
    assert_int_equal(got.verified, GUARANTEE_VERIFIED_PKIX);
}

static void starttls_is_said_unless_switched_off_and_unneeded(void **state)
{
    (void)state;
    static const struct {
        enum req req;
        enum guarantee_tlsa tlsa;
        const char *letters;
        bool want;
    } cases[] = {
        {R_OFF, NO_TLSA, "", true},           {R_TLS_REQUIRED_NO, NO_TLSA, "", true},
        {R_ENCRYPT, NO_TLSA, "", true},       {R_POLICY_NONE, NO_TLSA, "", false},
        {R_ROUTE_NONE, NO_TLSA, "", false},   {R_POLICY_NONE, USABLE, "s", true},
        {R_POLICY_NONE, UNUSABLE, "s", true}, {R_FLAG_AND_ROUTE_NONE, NO_TLSA, "", true},
        {R_ROUTE_NONE, NO_TLSA, "x", false},  {R_FLAG_AND_ROUTE_NONE, NO_TLSA, "x", false},
        {R_ENCRYPT, NO_TLSA, "x", true},      {R_OFF, NO_TLSA, "x", true},
        {R_POLICY_NONE, NO_TLSA, "C", true},  {R_POLICY_NONE, NO_TLSA, "T", false},
        {R_POLICY_NONE, NO_TLSA, "U", false}, {R_POLICY_NONE, NO_TLSA, "r", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct guarantee_host h = host_of(cases[i].tlsa, IN, T_UNTRIED, cases[i].letters);
        bool got = guarantee_wants_starttls(&requirements[cases[i].req], &h);
        if (got != cases[i].want)
            fail_msg("row %zu: got %d want %d", i, got, cases[i].want);
    }
}

static void the_stored_exemption_lifts_the_flag_and_nothing_else(void **state)
{
    (void)state;
    static const struct {
        enum exemption exemption;
        bool requiretls;
        enum level want_level;
        bool want_ignores, want_forgets;
    } cases[] = {
        {EXEMPTION_NONE, false, LEVEL_VERIFIED, false, false},
        {EXEMPTION_AUTO_REPLY, false, LEVEL_OFF, false, false},
        {EXEMPTION_FORWARD, false, LEVEL_OFF, false, false},
        {EXEMPTION_TLS_REQUIRED_NO, false, LEVEL_OFF, true, true},
        {EXEMPTION_RELEASE, false, LEVEL_OFF, false, true},
        {EXEMPTION_RELEASE_FORCE, false, LEVEL_OFF, true, true},
        {EXEMPTION_EXCEPTION, false, LEVEL_OFF, false, false},
        {EXEMPTION_DRY_RUN, false, LEVEL_OFF, false, false},
        {EXEMPTION_TLS_REQUIRED_NO, true, LEVEL_VERIFIED, false, false},
        {EXEMPTION_RELEASE_FORCE, true, LEVEL_OFF, false, true},
        {EXEMPTION_RELEASE, true, LEVEL_OFF, false, true},
        {EXEMPTION_AUTO_REPLY, true, LEVEL_OFF, false, false},
        {EXEMPTION_EXCEPTION, true, LEVEL_OFF, false, false},
        {EXEMPTION_DRY_RUN, true, LEVEL_OFF, false, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct guarantee_requirement got =
            guarantee_required(LEVEL_VERIFIED, cases[i].exemption, cases[i].requiretls,
                               GUARANTEE_POLICY_DANE, GUARANTEE_POLICY_ENCRYPT);
        assert_int_equal(got.level, cases[i].want_level);
        assert_int_equal(got.ignores_promises, cases[i].want_ignores);
        assert_int_equal(got.ignores_memory, cases[i].want_forgets);
        assert_int_equal(got.requiretls, cases[i].requiretls);
        assert_int_equal(got.policy, GUARANTEE_POLICY_DANE);
        assert_int_equal(got.route, GUARANTEE_POLICY_ENCRYPT);
    }
}

static void policies_have_names_both_ways(void **state)
{
    (void)state;
    static const char *const names[] = {"none", "may", "encrypt", "dane", "verify"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        enum guarantee_policy got = GUARANTEE_POLICY_MAY;
        assert_true(guarantee_policy_parse(slice_of(names[i]), &got));
        assert_int_equal(got, i);
        assert_string_equal(guarantee_policy_name(got), names[i]);
    }
    enum guarantee_policy untouched = GUARANTEE_POLICY_DANE;
    assert_false(guarantee_policy_parse(SLICE("secure"), &untouched));
    assert_false(guarantee_policy_parse(SLICE(""), &untouched));
    assert_false(guarantee_policy_parse(SLICE("encryptx"), &untouched));
    assert_false(guarantee_policy_parse(SLICE("fingerprint"), &untouched)); /* of what? */
    assert_string_equal(guarantee_policy_name(GUARANTEE_POLICY_FINGERPRINT), "fingerprint");
    assert_int_equal(untouched, GUARANTEE_POLICY_DANE);
}

static void what_was_required_is_said_in_words(void **state)
{
    (void)state;
    char got[512];
    guarantee_required_words(&requirements[R_ENCRYPT], got, sizeof got);
    assert_string_equal(got, "encrypted transport (TLS 1.2 or newer), by the sender's guarantee");
    guarantee_required_words(&requirements[R_VERIFIED_AND_POLICY_VERIFY], got, sizeof got);
    assert_string_equal(
        got, "encrypted transport to a verified server (TLS 1.2 or newer, DANE or MTA-STS), by the "
             "sender's "
             "guarantee; a server with a valid certificate (WebPKI or DANE), by our policy for the "
             "recipient's domain");
    guarantee_required_words(&requirements[R_REQUIRETLS], got, sizeof got);
    assert_string_equal(got, "REQUIRETLS (RFC 8689) all the way, asked for with the message");
    guarantee_required_words(&requirements[R_ROUTE_DANE], got, sizeof got);
    assert_string_equal(got,
                        "a server authenticated by DANE, by our route for the recipient's domain");
    guarantee_required_words(&requirements[R_POLICY_FINGERPRINT], got, sizeof got);
    assert_string_equal(got, "a server whose key or certificate has a fingerprint that is named, "
                             "by our policy for the recipient's domain");
    guarantee_required_words(&requirements[R_OFF], got, sizeof got);
    assert_string_equal(got, "nothing");
    guarantee_required_words(&requirements[R_VERIFIED_AND_POLICY_VERIFY], got, 20);
    assert_string_equal(got, "encrypted transport");
}

/* The whole space. The facts are numbered; the oracle below asks, one line of GUARANTEE.md after
 * the other, what may never be true of an acceptable host. */
#define BIT(n, bit) (((n) >> (bit)&1u) != 0)

static bool oracle_forbids(const struct guarantee_requirement *r, const struct guarantee_host *h)
{
    bool forbidden = h->contact != GUARANTEE_IN_CONTACT;
    if (h->is_local_route)
        return forbidden;
    bool up = h->tls == GUARANTEE_TLS_ESTABLISHED;
    bool lifted = r->ignores_promises && !r->requiretls;
    bool dane = up && h->tlsa == GUARANTEE_TLSA_USABLE && h->is_dane_matched;
    bool strong_dane = dane && h->is_name_secure && !h->is_literal;
    /* The policy of the domain: in force only where enforced, and a literal is in none. */
    bool listed = h->sts == GUARANTEE_STS_COVERS && !h->is_literal;
    bool fits_policy = up && listed && h->is_pkix_valid && h->is_pkix_for_host;
    bool dane_free = h->tlsa != GUARANTEE_TLSA_USABLE;
    bool authentic_name = listed || (h->is_name_secure && !h->is_literal);
    bool dane_at_authentic_name = dane && authentic_name;
    bool any_policy_from_encrypt_up =
        r->policy >= GUARANTEE_POLICY_ENCRYPT || r->route >= GUARANTEE_POLICY_ENCRYPT;
    forbidden |= r->level == LEVEL_ENCRYPT && !up;
    forbidden |=
        r->level == LEVEL_VERIFIED && !dane_at_authentic_name && !(fits_policy && dane_free);
    forbidden |= any_policy_from_encrypt_up && !up;
    forbidden |= r->policy == GUARANTEE_POLICY_DANE && !strong_dane;
    forbidden |= r->route == GUARANTEE_POLICY_DANE && !strong_dane;
    /* The policy names digests 00 to 02, the route 03 and 04; the last digit tells them apart. */
    char key = h->key_digest[63], certificate = h->certificate_digest[63];
    if (r->policy == GUARANTEE_POLICY_FINGERPRINT)
        forbidden |= strchr("012", key) == NULL && strchr("012", certificate) == NULL;
    if (r->route == GUARANTEE_POLICY_FINGERPRINT)
        forbidden |= strchr("34", key) == NULL && strchr("34", certificate) == NULL;
    if (r->policy == GUARANTEE_POLICY_VERIFY || r->route == GUARANTEE_POLICY_VERIFY)
        forbidden |= !dane_at_authentic_name && !fits_policy &&
                     (!up || !h->is_pkix_valid || h->is_literal ||
                      (!h->is_name_secure && !h->is_pkix_for_domain));
    if (r->requiretls)
        forbidden |=
            !up || !h->offers_requiretls || !authentic_name || (!dane && !h->is_pkix_valid);
    if (!lifted) {
        forbidden |= h->tlsa == GUARANTEE_TLSA_ERROR;
        forbidden |= h->tlsa == GUARANTEE_TLSA_USABLE && !dane;
        forbidden |= h->tlsa == GUARANTEE_TLSA_UNUSABLE && !up;
        /* DANE goes before the policy where DNSSEC names the host, and not where a forger may. */
        forbidden |= h->sts == GUARANTEE_STS_EXCLUDES && (dane_free || !h->is_name_secure);
        forbidden |= h->sts == GUARANTEE_STS_COVERS && dane_free && !fits_policy;
    }
    /* Nor is MTA-STS asked instead of a TLSA look-up that failed. */
    forbidden |= r->level == LEVEL_VERIFIED && h->tlsa == GUARANTEE_TLSA_ERROR;
    bool is_clear_by_choice = r->ignores_memory || r->policy == GUARANTEE_POLICY_NONE ||
                              r->route == GUARANTEE_POLICY_NONE;
    forbidden |= h->is_tls_remembered && !is_clear_by_choice && !up;
    forbidden |= h->is_smarthost && r->level == LEVEL_VERIFIED && !r->requiretls;
    return forbidden;
}

static struct guarantee_requirement requirement_number(unsigned n)
{
    struct guarantee_requirement r = {.level = (enum level)(n % 3)};
    n /= 3;
    r.policy = (enum guarantee_policy)(n % 6);
    n /= 6;
    r.route = (enum guarantee_policy)(n % 6);
    n /= 6;
    r.policy_fingerprints = &policy_list;
    r.route_fingerprints = &route_list;
    r.requiretls = BIT(n, 0);
    r.ignores_promises = BIT(n, 1);
    r.ignores_memory = BIT(n, 2);
    return r;
}
#define REQUIREMENTS (3 * 6 * 6 * 8)

static struct guarantee_host host_number(unsigned n)
{
    enum guarantee_tlsa tlsa = (enum guarantee_tlsa)(n % 4);
    n /= 4;
    enum guarantee_contact contact = (enum guarantee_contact)(n % 4);
    n /= 4;
    enum guarantee_tls tls = (enum guarantee_tls)(n % 7);
    n /= 7;
    struct guarantee_host h = host_of(tlsa, contact, tls, "");
    h.sts = (enum guarantee_sts)(n % 6);
    n /= 6;
    h.is_name_secure = BIT(n, 0);
    h.is_literal = BIT(n, 1);
    h.is_local_route = BIT(n, 2);
    h.is_dane_matched = BIT(n, 3);
    h.is_pkix_valid = BIT(n, 4);
    h.is_pkix_for_domain = BIT(n, 5);
    h.offers_requiretls = BIT(n, 6);
    h.is_smarthost = BIT(n, 7);
    h.is_pkix_for_host = BIT(n, 8);
    h.is_tls_remembered = BIT(n, 9);
    static const char *const letters[] = {"", "k", "c", "K", "F", "kF", "Kc", "kc"};
    set_digests(&h, letters[(n >> 10) % COUNT_OF(letters)]);
    return h;
}
#define HOSTS (4 * 4 * 7 * 6 * 1024 * 8)

/* The sanitizers make a full walk (4.8 thousand million verdicts) slow. A stride that shares no
 * factor with the number of hosts meets all facts alike, with every requirement. */
#define STRIDE 7001

static void over_the_whole_space_acceptable_means_what_was_promised(void **state)
{
    (void)state;
    unsigned long acceptable = 0;
    for (unsigned i = 0; i < REQUIREMENTS; i++) {
        struct guarantee_requirement r = requirement_number(i);
        for (unsigned j = i % STRIDE; j < HOSTS; j += r.level == LEVEL_OFF ? STRIDE * 3 : STRIDE) {
            struct guarantee_host h = host_number(j);
            struct guarantee_verdict got = guarantee_judge(&r, &h);
            if ((got.kind == GUARANTEE_ACCEPTABLE) == oracle_forbids(&r, &h))
                fail_msg("requirement %u host %u: got %s, the oracle %s", i, j,
                         guarantee_kind_name(got.kind),
                         oracle_forbids(&r, &h) && got.kind == GUARANTEE_ACCEPTABLE ? "forbids"
                                                                                    : "allows");
            acceptable += got.kind == GUARANTEE_ACCEPTABLE;
            if (got.kind == GUARANTEE_ACCEPTABLE && guarantee_demands_tls(&r) && !h.is_local_route)
                assert_int_equal(h.tls, GUARANTEE_TLS_ESTABLISHED);
            if (got.kind > GUARANTEE_NOT_YET)
                assert_int_equal(got.outcome.status.class, guarantee_is_final(got.kind) ? 5 : 4);
        }
    }
    assert_true(acceptable > 1000);
}

static void going_clear_is_the_judges_answer_too(void **state)
{
    (void)state;
    for (unsigned i = 0; i < REQUIREMENTS; i++) {
        struct guarantee_requirement r = requirement_number(i);
        for (unsigned j = i % 16001; j < HOSTS; j += 16001) {
            struct guarantee_host h = host_number(j);
            struct guarantee_host clear = h;
            clear.contact = GUARANTEE_IN_CONTACT;
            clear.tls = GUARANTEE_TLS_NOT_OFFERED;
            assert_int_equal(guarantee_may_go_clear(&r, &h), !oracle_forbids(&r, &clear));
        }
    }
}

/* Could the policy of the domain, if only it were known, and a certificate that fits it make this
 * host acceptable? That the certificate is valid at all REQUIRETLS asks whatever the policy says.
 */
static bool oracle_waits(const struct guarantee_requirement *r, const struct guarantee_host *h)
{
    struct guarantee_host hoped = *h;
    bool dane = h->tlsa == GUARANTEE_TLSA_USABLE && h->is_dane_matched;
    if (r->requiretls && !dane && !h->is_pkix_valid)
        return false;
    hoped.sts = GUARANTEE_STS_COVERS;
    hoped.is_pkix_valid = hoped.is_pkix_for_host = true;
    return h->tls == GUARANTEE_TLS_ESTABLISHED && oracle_forbids(r, h) &&
           !oracle_forbids(r, &hoped);
}

static void over_the_whole_space_an_unlearnt_policy_stops_nobody_whom_it_might_help(void **state)
{
    (void)state;
    unsigned long waiting = 0;
    for (unsigned i = 0; i < REQUIREMENTS; i++) {
        struct guarantee_requirement r = requirement_number(i);
        for (unsigned j = i % 12007; j < HOSTS; j += 12007) {
            struct guarantee_host h = host_number(j);
            if (j % 2 == 0) { /* only where TLS is up there is something to wait for */
                h.contact = GUARANTEE_IN_CONTACT;
                h.tls = GUARANTEE_TLS_ESTABLISHED;
            }
            h.sts = GUARANTEE_STS_NONE;
            enum guarantee_kind without = guarantee_judge(&r, &h).kind;
            h.sts = GUARANTEE_STS_TESTING;
            assert_int_equal(guarantee_judge(&r, &h).kind, without);
            bool waits = oracle_waits(&r, &h);
            h.sts = GUARANTEE_STS_UNKNOWN;
            enum guarantee_kind unlearnt = guarantee_judge(&r, &h).kind;
            h.sts = GUARANTEE_STS_OUR_FAULT;
            enum guarantee_kind fault = guarantee_judge(&r, &h).kind;
            /* Which of several lines that fail is named may differ. */
            bool is_as_without = unlearnt == fault &&
                                 (unlearnt == without ||
                                  (guarantee_is_final(unlearnt) && guarantee_is_final(without)));
            bool is_deferred =
                unlearnt == GUARANTEE_PASSING_TROUBLE && fault == GUARANTEE_OWN_FAULT;
            if (!(waits ? is_deferred : is_as_without))
                fail_msg("requirement %u host %u: got %s and %s, without %s, waits %d", i, j,
                         guarantee_kind_name(unlearnt), guarantee_kind_name(fault),
                         guarantee_kind_name(without), waits);
            waiting += waits;
        }
    }
    assert_true(waiting > 1000);
}

static void what_kept_dane_or_the_policy_from_counting_is_said_once(void **state)
{
    (void)state;
    static const struct {
        enum guarantee_tlsa tlsa;
        const char *cause, *sts_detail, *want;
    } cases[] = {
        {GUARANTEE_TLSA_NONE, NULL, "mta-sts.x.example: certificate has expired",
         "; no MTA-STS policy applies: mta-sts.x.example: certificate has expired"},
        {GUARANTEE_TLSA_NONE, NULL, NULL, "; no MTA-STS policy applies"},
        {GUARANTEE_TLSA_ERROR, "TLSA look-up of _25._tcp.mx.plain.example: SERVFAIL", NULL,
         "TLSA lookup error for mx.plain.example:25: SERVFAIL"},
        {GUARANTEE_TLSA_ERROR, "TLSA look-up of _25._tcp.other.example: SERVFAIL", NULL,
         "TLSA lookup error for mx.plain.example:25: TLSA look-up of _25._tcp.other.example: "
         "SERVFAIL"},
    };
    struct guarantee_requirement r = {
        .level = LEVEL_VERIFIED, .policy = GUARANTEE_POLICY_MAY, .route = GUARANTEE_POLICY_MAY};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct guarantee_host h = {.name = "mx.plain.example",
                                   .address = "192.0.2.9",
                                   .port = 25,
                                   .contact = GUARANTEE_IN_CONTACT,
                                   .tls = GUARANTEE_TLS_ESTABLISHED,
                                   .tlsa = cases[i].tlsa,
                                   .sts_detail = cases[i].sts_detail};
        if (cases[i].cause)
            h.cause = outcome_local(status_make(4, 7, 5), "%s", cases[i].cause);
        struct guarantee_verdict got = guarantee_judge(&r, &h);
        size_t len = strlen(got.outcome.text), want = strlen(cases[i].want);
        if (len < want || strcmp(got.outcome.text + len - want, cases[i].want) != 0)
            fail_msg("row %zu: got %s want %s", i, got.outcome.text, cases[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_requirement_any_connection_will_do),
        cmocka_unit_test(encrypt_asks_for_tls_and_not_for_the_certificate),
        cmocka_unit_test(what_dns_publishes_binds_every_sender),
        cmocka_unit_test(verified_and_dane_need_a_match_from_a_secure_mx_look_up),
        cmocka_unit_test(verify_takes_webpki_for_an_authentic_name_or_dane),
        cmocka_unit_test(a_fingerprint_is_one_that_is_named_and_nothing_else_will_do),
        cmocka_unit_test(a_fingerprint_stands_beside_all_other_lines),
        cmocka_unit_test(a_fingerprint_claims_no_verification),
        cmocka_unit_test(a_host_without_a_certificate_has_no_fingerprint),
        cmocka_unit_test(requiretls_needs_name_certificate_and_offer),
        cmocka_unit_test(on_a_local_route_every_requirement_counts_as_met),
        cmocka_unit_test(an_enforced_policy_binds_every_sender),
        cmocka_unit_test(dane_at_a_host_wins_over_the_policy_there),
        cmocka_unit_test(a_policy_that_lists_the_host_makes_its_name_authentic),
        cmocka_unit_test(a_tlsa_match_does_not_make_good_that_a_forged_host_is_not_listed),
        cmocka_unit_test(a_policy_that_is_needed_and_could_not_be_learnt_may_pass),
        cmocka_unit_test(tls_required_no_and_force_lift_the_policy_of_the_domain_and_not_ours),
        cmocka_unit_test(remembered_tls_keeps_mail_out_of_clear_text),
        cmocka_unit_test(a_downgrade_is_said_behind_the_sentence),
        cmocka_unit_test(the_policys_words_need_no_domain_and_no_detail),
        cmocka_unit_test(a_verdict_says_where_the_policy_of_the_domain_stands_in_the_way),
        cmocka_unit_test(facts_without_a_cause_still_get_true_words),
        cmocka_unit_test(a_tlsa_error_says_what_the_resolver_said),
        cmocka_unit_test(own_faults_are_always_of_subject_three),
        cmocka_unit_test(what_is_claimed_as_verified_was_verified),
        cmocka_unit_test(dane_that_fails_is_not_made_good_by_the_policy),
        cmocka_unit_test(starttls_is_said_unless_switched_off_and_unneeded),
        cmocka_unit_test(the_stored_exemption_lifts_the_flag_and_nothing_else),
        cmocka_unit_test(policies_have_names_both_ways),
        cmocka_unit_test(what_was_required_is_said_in_words),
        cmocka_unit_test(over_the_whole_space_acceptable_means_what_was_promised),
        cmocka_unit_test(going_clear_is_the_judges_answer_too),
        cmocka_unit_test(over_the_whole_space_an_unlearnt_policy_stops_nobody_whom_it_might_help),
        cmocka_unit_test(what_kept_dane_or_the_policy_from_counting_is_said_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
