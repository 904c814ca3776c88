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
 * TLS m  smarthost */
static void set_letters(struct guarantee_host *h, const char *letters)
{
    h->is_name_secure = strchr(letters, 's') != NULL;
    h->is_literal = strchr(letters, 'l') != NULL;
    h->is_local_route = strchr(letters, 'x') != NULL;
    h->is_dane_matched = strchr(letters, 'd') != NULL;
    h->is_pkix_valid = strchr(letters, 'p') != NULL || strchr(letters, 'n') != NULL;
    h->is_pkix_for_domain = strchr(letters, 'n') != NULL;
    h->offers_requiretls = strchr(letters, 'q') != NULL;
    h->is_smarthost = strchr(letters, 'm') != NULL;
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
};
#define MAY GUARANTEE_POLICY_MAY
#define REQ(l, p, r, q, i)                                                                         \
    {                                                                                              \
        .level = LEVEL_##l, .policy = GUARANTEE_POLICY_##p, .route = GUARANTEE_POLICY_##r,         \
        .requiretls = (q), .ignores_promises = (i)                                                 \
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
/* clang-format on */

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
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct guarantee_host h = host_of(cases[i].tlsa, IN, cases[i].tls, cases[i].letters);
        struct guarantee_verdict got = guarantee_judge(&requirements[R_OFF], &h);
        assert_int_equal(got.kind, OK);
        if ((int)got.verified != cases[i].want)
            fail_msg("row %zu: got %d want %d", i, (int)got.verified, cases[i].want);
    }
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
        bool want_ignores;
    } cases[] = {
        {EXEMPTION_NONE, false, LEVEL_VERIFIED, false},
        {EXEMPTION_AUTO_REPLY, false, LEVEL_OFF, false},
        {EXEMPTION_FORWARD, false, LEVEL_OFF, false},
        {EXEMPTION_TLS_REQUIRED_NO, false, LEVEL_OFF, true},
        {EXEMPTION_RELEASE, false, LEVEL_OFF, false},
        {EXEMPTION_RELEASE_FORCE, false, LEVEL_OFF, true},
        {EXEMPTION_TLS_REQUIRED_NO, true, LEVEL_VERIFIED, false},
        {EXEMPTION_RELEASE_FORCE, true, LEVEL_OFF, false},
        {EXEMPTION_AUTO_REPLY, true, LEVEL_OFF, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct guarantee_requirement got =
            guarantee_required(LEVEL_VERIFIED, cases[i].exemption, cases[i].requiretls,
                               GUARANTEE_POLICY_DANE, GUARANTEE_POLICY_ENCRYPT);
        assert_int_equal(got.level, cases[i].want_level);
        assert_int_equal(got.ignores_promises, cases[i].want_ignores);
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
        got, "encrypted transport to a verified server (TLS 1.2 or newer, DANE), by the sender's "
             "guarantee; a server with a valid certificate (WebPKI or DANE), by our policy for the "
             "recipient's domain");
    guarantee_required_words(&requirements[R_REQUIRETLS], got, sizeof got);
    assert_string_equal(got, "REQUIRETLS (RFC 8689) all the way, asked for with the message");
    guarantee_required_words(&requirements[R_ROUTE_DANE], got, sizeof got);
    assert_string_equal(got,
                        "a server authenticated by DANE, by our route for the recipient's domain");
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
    bool any_policy_from_encrypt_up =
        r->policy >= GUARANTEE_POLICY_ENCRYPT || r->route >= GUARANTEE_POLICY_ENCRYPT;
    forbidden |= r->level == LEVEL_ENCRYPT && !up;
    forbidden |= r->level == LEVEL_VERIFIED && !strong_dane;
    forbidden |= any_policy_from_encrypt_up && !up;
    forbidden |= r->policy == GUARANTEE_POLICY_DANE && !strong_dane;
    forbidden |= r->route == GUARANTEE_POLICY_DANE && !strong_dane;
    if (r->policy == GUARANTEE_POLICY_VERIFY || r->route == GUARANTEE_POLICY_VERIFY)
        forbidden |= !strong_dane && (!up || !h->is_pkix_valid || h->is_literal ||
                                      (!h->is_name_secure && !h->is_pkix_for_domain));
    if (r->requiretls)
        forbidden |= !up || !h->offers_requiretls || !h->is_name_secure || h->is_literal ||
                     (!dane && !h->is_pkix_valid);
    if (!lifted) {
        forbidden |= h->tlsa == GUARANTEE_TLSA_ERROR;
        forbidden |= h->tlsa == GUARANTEE_TLSA_USABLE && !dane;
        forbidden |= h->tlsa == GUARANTEE_TLSA_UNUSABLE && !up;
    }
    forbidden |= h->is_smarthost && r->level == LEVEL_VERIFIED && !r->requiretls;
    return forbidden;
}

static struct guarantee_requirement requirement_number(unsigned n)
{
    struct guarantee_requirement r = {.level = (enum level)(n % 3)};
    n /= 3;
    r.policy = (enum guarantee_policy)(n % 5);
    n /= 5;
    r.route = (enum guarantee_policy)(n % 5);
    n /= 5;
    r.requiretls = BIT(n, 0);
    r.ignores_promises = BIT(n, 1);
    return r;
}
#define REQUIREMENTS (3 * 5 * 5 * 4)

static struct guarantee_host host_number(unsigned n)
{
    enum guarantee_tlsa tlsa = (enum guarantee_tlsa)(n % 4);
    n /= 4;
    enum guarantee_contact contact = (enum guarantee_contact)(n % 4);
    n /= 4;
    enum guarantee_tls tls = (enum guarantee_tls)(n % 7);
    n /= 7;
    struct guarantee_host h = host_of(tlsa, contact, tls, "");
    h.is_name_secure = BIT(n, 0);
    h.is_literal = BIT(n, 1);
    h.is_local_route = BIT(n, 2);
    h.is_dane_matched = BIT(n, 3);
    h.is_pkix_valid = BIT(n, 4);
    h.is_pkix_for_domain = BIT(n, 5);
    h.offers_requiretls = BIT(n, 6);
    h.is_smarthost = BIT(n, 7);
    return h;
}
#define HOSTS (4 * 4 * 7 * 256)

/* The sanitizers make a full walk (8.6 million verdicts) slow. A stride that shares no factor with
 * the number of hosts meets all facts alike, with every requirement. */
#define STRIDE 11

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
        for (unsigned j = i % 31; j < HOSTS; j += 31) {
            struct guarantee_host h = host_number(j);
            struct guarantee_host clear = h;
            clear.contact = GUARANTEE_IN_CONTACT;
            clear.tls = GUARANTEE_TLS_NOT_OFFERED;
            assert_int_equal(guarantee_may_go_clear(&r, &h), !oracle_forbids(&r, &clear));
        }
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
        cmocka_unit_test(requiretls_needs_name_certificate_and_offer),
        cmocka_unit_test(on_a_local_route_every_requirement_counts_as_met),
        cmocka_unit_test(facts_without_a_cause_still_get_true_words),
        cmocka_unit_test(a_tlsa_error_says_what_the_resolver_said),
        cmocka_unit_test(own_faults_are_always_of_subject_three),
        cmocka_unit_test(what_is_claimed_as_verified_was_verified),
        cmocka_unit_test(starttls_is_said_unless_switched_off_and_unneeded),
        cmocka_unit_test(the_stored_exemption_lifts_the_flag_and_nothing_else),
        cmocka_unit_test(policies_have_names_both_ways),
        cmocka_unit_test(what_was_required_is_said_in_words),
        cmocka_unit_test(over_the_whole_space_acceptable_means_what_was_promised),
        cmocka_unit_test(going_clear_is_the_judges_answer_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
