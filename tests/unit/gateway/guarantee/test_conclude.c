/* What follows for the recipient: GUARANTEE.md section 3, rule by rule. */
#include "gateway/guarantee/judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NOW 1795000000
#define HOUR 3600

/* What a host showed, in a word. Facts are those that a delivery would fill in. */
enum shows {
    NOTHING, /* end of the list */
    DELIVERED,
    PERMANENT,
    TEMPORARY,
    UNDECIDED,
    SILENT,         /* acceptable TLS, no answer for this recipient */
    DEAD,           /* refused, timed out, ... */
    NO_TLS,         /* EHLO without STARTTLS */
    NO_TLS_TOO_BIG, /* the same, and its SIZE limit is below our message */
    TRY_LATER,      /* 454 */
    CUT,
    REFUSED,
    FAILED,
    MISMATCH, /* usable TLSA, none matches */
    TLSA_ERROR,
    PLAIN_TLS,       /* TLS without DANE, nothing else done */
    LOST_IN_EHLO,    /* EHLO refused after TLS */
    CLEAR_TEMPORARY, /* without TLS, answered 4xx */
    CLEAR_DELIVERED,
    OWN_FAULT,
    UNTRIED,
    DANE_NO_TLS, /* usable TLSA, and EHLO without STARTTLS */
    DANE_LATER,  /* usable TLSA, and 454 */
    STS_DELIVERED,
    STS_MISFIT,   /* listed by the MTA-STS policy, certificate not valid for the host name */
    STS_NO_TLS,   /* listed, and EHLO without STARTTLS */
    STS_LATER,    /* listed, and 454 */
    STS_EXCLUDED, /* not listed */
    STS_UNLEARNT, /* TLS without DANE, the policy could not be learnt */
    STS_UNLEARNT_NO_TLS,
    STS_FAULT,   /* the same, by a fault of our own */
    LOST_NO_TLS, /* TLS was there on many looks: EHLO without STARTTLS */
    LOST_REFUSED,
    LOST_FAILED,
    LOST_CUT,
    LOST_LATER,
    LOST_MISMATCH,
    LOST_DEAD,
    KEPT_NO_TLS, /* the same, and delivery.remember_tls applies */
    KEPT_CUT,
    LAST_SHOWN = KEPT_CUT,
};

static bool is_lost(enum shows shows)
{
    return shows >= LOST_NO_TLS && shows <= LAST_SHOWN;
}

static enum guarantee_sts sts_of(enum shows shows)
{
    if (shows >= STS_DELIVERED && shows <= STS_LATER)
        return GUARANTEE_STS_COVERS;
    if (shows == STS_EXCLUDED)
        return GUARANTEE_STS_EXCLUDES;
    if (shows == STS_UNLEARNT || shows == STS_UNLEARNT_NO_TLS)
        return GUARANTEE_STS_UNKNOWN;
    return shows == STS_FAULT ? GUARANTEE_STS_OUR_FAULT : GUARANTEE_STS_NONE;
}

static void set_answer(struct guarantee_host *h, enum guarantee_answer answer, unsigned code,
                       const char *text)
{
    h->answer = answer;
    h->reply = code ? outcome_reply(code, slice_of(text))
                    : outcome_local(status_make(4, 4, 2), "%s", text);
}

static void set_tls(struct guarantee_host *h, enum shows shows)
{
    switch (shows) {
    case NO_TLS:
    case NO_TLS_TOO_BIG:
    case CLEAR_TEMPORARY:
    case CLEAR_DELIVERED:
    case DANE_NO_TLS:
    case STS_NO_TLS:
    case STS_UNLEARNT_NO_TLS:
    case LOST_NO_TLS:
    case KEPT_NO_TLS:
        h->tls = GUARANTEE_TLS_NOT_OFFERED;
        return;
    case TRY_LATER:
    case DANE_LATER:
    case STS_LATER:
    case LOST_LATER:
        h->tls = GUARANTEE_TLS_TRY_LATER;
        h->cause = outcome_reply(454, SLICE("4.7.0 busy"));
        return;
    case CUT:
    case LOST_CUT:
    case KEPT_CUT:
        h->tls = GUARANTEE_TLS_CUT;
        return;
    case REFUSED:
    case LOST_REFUSED:
        h->tls = GUARANTEE_TLS_REFUSED;
        h->cause = outcome_reply(502, SLICE("no"));
        return;
    case FAILED:
    case LOST_FAILED:
        h->tls = GUARANTEE_TLS_FAILED;
        h->cause = outcome_local(status_make(4, 7, 5), "no shared cipher");
        return;
    case NOTHING:
    case DEAD:
    case TLSA_ERROR:
    case OWN_FAULT:
    case UNTRIED:
    case STS_EXCLUDED:
    case LOST_DEAD:
        return;
    case DELIVERED:
    case PERMANENT:
    case TEMPORARY:
    case UNDECIDED:
    case SILENT:
    case MISMATCH:
    case PLAIN_TLS:
    case LOST_IN_EHLO:
    case STS_DELIVERED:
    case STS_MISFIT:
    case STS_UNLEARNT:
    case STS_FAULT:
    case LOST_MISMATCH:
        h->tls = GUARANTEE_TLS_ESTABLISHED;
        return;
    }
}

static void set_transaction(struct guarantee_host *h, enum shows shows)
{
    if (shows == DELIVERED || shows == CLEAR_DELIVERED || shows == STS_DELIVERED)
        set_answer(h, GUARANTEE_ANSWER_DELIVERED, 250, "2.0.0 queued");
    else if (shows == PERMANENT)
        set_answer(h, GUARANTEE_ANSWER_PERMANENT, 550, "5.1.1 no such user");
    else if (shows == NO_TLS_TOO_BIG)
        set_answer(h, GUARANTEE_ANSWER_PERMANENT, 552, "5.3.4 too big");
    else if (shows == TEMPORARY || shows == CLEAR_TEMPORARY)
        set_answer(h, GUARANTEE_ANSWER_TEMPORARY, 451, "4.7.1 greylisted");
    else if (shows == UNDECIDED)
        set_answer(h, GUARANTEE_ANSWER_UNDECIDED, 0, "lost after the end of data");
    else if (shows == LOST_IN_EHLO)
        set_answer(h, GUARANTEE_ANSWER_TEMPORARY, 550, "5.0.0 EHLO again?");
}

static struct guarantee_host host(enum shows shows, unsigned preference, const char *name)
{
    struct guarantee_host h = {.name = name,
                               .address = "192.0.2.9",
                               .port = 25,
                               .preference = preference,
                               .is_name_secure = true,
                               .contact = GUARANTEE_IN_CONTACT,
                               .keywords = "",
                               .protocol = "",
                               .cipher = "",
                               .certificate_error = ""};
    h.sts = sts_of(shows);
    h.sts_domain = "plain.example";
    h.is_pkix_valid = h.is_pkix_for_host = shows == STS_DELIVERED;
    if (is_lost(shows))
        h.tls_seen_at = NOW - 2 * HOUR;
    h.is_tls_remembered = shows == KEPT_NO_TLS || shows == KEPT_CUT;
    if (shows == MISMATCH || shows == DANE_NO_TLS || shows == DANE_LATER || shows == LOST_MISMATCH)
        h.tlsa = GUARANTEE_TLSA_USABLE;
    if (shows == TLSA_ERROR)
        h.tlsa = GUARANTEE_TLSA_ERROR;
    if (shows == TLSA_ERROR || shows == UNTRIED || shows == STS_EXCLUDED)
        h.contact = GUARANTEE_UNTRIED;
    if (shows == DEAD || shows == LOST_DEAD) {
        h.contact = GUARANTEE_NO_CONTACT;
        h.cause = outcome_local(status_make(4, 4, 1), "Connection refused");
    }
    if (shows == OWN_FAULT) {
        h.contact = GUARANTEE_OUR_FAULT;
        h.cause = outcome_local(status_make(4, 3, 0), "too many open files");
    }
    set_tls(&h, shows);
    set_transaction(&h, shows);
    return h;
}

enum req {
    OFF,
    ENCRYPT,
    VERIFIED,
    POLICY,
    POLICY_DANE,
    REQUIRETLS,
    ENCRYPT_POLICY,
    VERIFIED_POLICY
};
static struct guarantee_requirement requirement(enum req req)
{
    struct guarantee_requirement r = {.policy = GUARANTEE_POLICY_MAY,
                                      .route = GUARANTEE_POLICY_MAY};
    if (req == ENCRYPT || req == ENCRYPT_POLICY)
        r.level = LEVEL_ENCRYPT;
    if (req == VERIFIED || req == VERIFIED_POLICY)
        r.level = LEVEL_VERIFIED;
    if (req == POLICY || req == ENCRYPT_POLICY || req == VERIFIED_POLICY)
        r.policy = GUARANTEE_POLICY_ENCRYPT;
    if (req == POLICY_DANE)
        r.policy = GUARANTEE_POLICY_DANE;
    r.requiretls = req == REQUIRETLS;
    return r;
}

/* Every host its own name unless `is_one_host`: then the records are addresses of one. */
static const char *const names[] = {"mx1.example", "mx2.example", "mx3.example", "mx4.example"};

struct conclude_case {
    enum req req;
    struct {
        enum shows shows;
        unsigned preference;
    } hosts[4];
    bool is_one_host;
    int64_t trouble_for; /* seconds; -1: was none */
    enum guarantee_decision want;
    const char *want_status, *want_mx;
    int64_t want_since_ago; /* -1: 0 is to be stored */
    int64_t want_wait;      /* patience_ends_at - now; -1: 0 */
};

static struct guarantee_conclusion conclude_hosts(enum req req, const struct guarantee_host *hosts,
                                                  size_t count, int64_t trouble_since)
{
    struct guarantee_requirement r = requirement(req);
    struct guarantee_attempt attempt = {.destination = GUARANTEE_DESTINATION_FOUND,
                                        .domain = "plain.example",
                                        .detail = "",
                                        .hosts = hosts,
                                        .count = count,
                                        .trouble_since = trouble_since,
                                        .now = NOW,
                                        .patience = HOUR};
    return guarantee_conclude(&r, &attempt);
}

static struct guarantee_conclusion run(const struct conclude_case *c)
{
    struct guarantee_host hosts[4];
    size_t count = 0;
    for (; count < 4 && c->hosts[count].shows != NOTHING; count++)
        hosts[count] = host(c->hosts[count].shows, c->hosts[count].preference,
                            names[c->is_one_host ? 0 : count]);
    return conclude_hosts(c->req, hosts, count, c->trouble_for < 0 ? 0 : NOW - c->trouble_for);
}

static void check(const struct conclude_case *cases, size_t count)
{
    static const char *const decisions[] = {"delivered", "fail", "defer", "stop"};
    unsigned wrong = 0;
    for (size_t i = 0; i < count; i++) {
        const struct conclude_case *c = &cases[i];
        struct guarantee_conclusion got = run(c);
        char status[STATUS_SIZE];
        int64_t since = c->want_since_ago < 0 ? 0 : NOW - c->want_since_ago;
        int64_t ends = c->want_wait < 0 ? 0 : NOW + c->want_wait;
        if (got.decision == c->want && got.trouble_since == since && got.patience_ends_at == ends &&
            strcmp(status_text(got.outcome.status, status), c->want_status) == 0 &&
            (c->want_mx[0] == '\0' || strcmp(got.outcome.mx, c->want_mx) == 0))
            continue;
        wrong++;
        print_error("row %zu: got %s %s %s since %lld ends %lld want %s %s %s since %lld ends "
                    "%lld\n",
                    i, decisions[got.decision], status_text(got.outcome.status, status),
                    got.outcome.mx, (long long)got.trouble_since, (long long)got.patience_ends_at,
                    decisions[c->want], c->want_status, c->want_mx, (long long)since,
                    (long long)ends);
    }
    assert_int_equal(wrong, 0);
}

#define DONE GUARANTEE_DELIVERED
#define FAIL GUARANTEE_FAIL
#define DEFER GUARANTEE_DEFER
#define STOP GUARANTEE_STOP

/* clang-format off */
static void rule_1_a_host_with_acceptable_tls_decides(void **state)
{
    (void)state;
    static const struct conclude_case cases[] = {
        {ENCRYPT, {{DELIVERED, 10}}, false, -1, DONE, "2.0.0", "", -1, -1},
        {ENCRYPT, {{PERMANENT, 10}}, false, -1, FAIL, "5.1.1", "", -1, -1},
        {ENCRYPT, {{NO_TLS, 10}, {DELIVERED, 20}}, false, -1, DONE, "2.0.0", "", -1, -1},
        {ENCRYPT, {{DEAD, 10}, {DELIVERED, 20}}, false, -1, DONE, "2.0.0", "", -1, -1},
        {ENCRYPT, {{TRY_LATER, 10}, {PERMANENT, 20}}, false, HOUR, FAIL, "5.1.1", "", -1, -1},
        {ENCRYPT, {{TEMPORARY, 10}, {DELIVERED, 20}}, false, -1, DONE, "2.0.0", "", -1, -1},
        {ENCRYPT, {{OWN_FAULT, 10}, {DELIVERED, 20}}, false, -1, DONE, "2.0.0", "", -1, -1},
        {OFF, {{CLEAR_DELIVERED, 10}}, false, -1, DONE, "2.0.0", "", -1, -1},
        {OFF, {{PERMANENT, 10}}, false, -1, FAIL, "5.1.1", "", -1, -1},
        /* Who has no acceptable TLS has no say about the recipient. */
        {ENCRYPT, {{NO_TLS_TOO_BIG, 10}}, false, -1, STOP, "5.7.4", "mx1.example", -1, -1},
        {OFF, {{NO_TLS_TOO_BIG, 10}}, false, -1, FAIL, "5.3.4", "", -1, -1},
        /* RFC 1047: it may have been delivered. */
        {ENCRYPT, {{UNDECIDED, 10}}, false, -1, DEFER, "4.4.2", "", -1, -1},
        {ENCRYPT, {{NO_TLS, 10}, {UNDECIDED, 20}}, false, HOUR, DEFER, "4.4.2", "", -1, -1},
        {ENCRYPT, {{TEMPORARY, 10}, {UNDECIDED, 20}}, false, -1, DEFER, "4.4.2", "", -1, -1},
    };
    check(cases, COUNT_OF(cases));
}

static void rule_2_a_temporary_answer_behind_tls_defers(void **state)
{
    (void)state;
    static const struct conclude_case cases[] = {
        {ENCRYPT, {{TEMPORARY, 10}}, false, -1, DEFER, "4.7.1", "", -1, -1},
        {ENCRYPT, {{TEMPORARY, 10}, {NO_TLS, 20}}, false, -1, DEFER, "4.7.1", "", -1, -1},
        {ENCRYPT, {{NO_TLS, 10}, {TEMPORARY, 20}}, false, -1, DEFER, "4.7.1", "", -1, -1},
        {ENCRYPT, {{TRY_LATER, 10}, {TEMPORARY, 20}}, false, 2 * HOUR, DEFER, "4.7.1", "", -1, -1},
        {ENCRYPT, {{MISMATCH, 10}, {TEMPORARY, 20}}, false, 2 * HOUR, DEFER, "4.7.1", "", -1, -1},
        {ENCRYPT, {{OWN_FAULT, 10}, {TEMPORARY, 20}}, false, -1, DEFER, "4.7.1", "", -1, -1},
        {ENCRYPT, {{LOST_IN_EHLO, 10}, {NO_TLS, 20}}, false, -1, DEFER, "4.0.0", "", -1, -1},
        {REQUIRETLS, {{LOST_IN_EHLO, 10}}, false, -1, STOP, "5.7.10", "", -1, -1},
        {ENCRYPT, {{SILENT, 10}}, false, -1, DEFER, "4.4.2", "mx1.example", -1, -1},
        {ENCRYPT, {{SILENT, 10}, {NO_TLS, 20}}, false, -1, DEFER, "4.4.2", "mx1.example", -1, -1},
        /* A temporary answer in clear is none for who needs TLS. */
        {ENCRYPT, {{CLEAR_TEMPORARY, 10}}, false, -1, STOP, "5.7.4", "mx1.example", -1, -1},
        {OFF, {{CLEAR_TEMPORARY, 10}}, false, -1, DEFER, "4.7.1", "", -1, -1},
    };
    check(cases, COUNT_OF(cases));
}

static void rule_3_trouble_that_may_pass_defers_for_patience(void **state)
{
    (void)state;
    static const struct conclude_case cases[] = {
        /* It starts, is kept, and ends. */
        {ENCRYPT, {{TRY_LATER, 10}}, false, -1, DEFER, "4.7.4", "mx1.example", 0, HOUR},
        {ENCRYPT, {{TRY_LATER, 10}}, false, 600, DEFER, "4.7.4", "mx1.example", 600, HOUR - 600},
        {ENCRYPT, {{TRY_LATER, 10}}, false, HOUR - 1, DEFER, "4.7.4", "mx1.example", HOUR - 1, 1},
        {ENCRYPT, {{TRY_LATER, 10}}, false, HOUR, STOP, "5.7.4", "mx1.example", -1, -1},
        {ENCRYPT, {{TRY_LATER, 10}}, false, 9 * HOUR, STOP, "5.7.4", "mx1.example", -1, -1},
        {ENCRYPT, {{CUT, 10}}, false, -1, DEFER, "4.7.5", "mx1.example", 0, HOUR},
        {ENCRYPT, {{CUT, 10}}, false, HOUR, STOP, "5.7.5", "mx1.example", -1, -1},
        {ENCRYPT, {{TLSA_ERROR, 10}}, false, -1, DEFER, "4.7.5", "mx1.example", 0, HOUR},
        {ENCRYPT, {{TLSA_ERROR, 10}}, false, HOUR, STOP, "5.7.5", "mx1.example", -1, -1},
        {VERIFIED, {{TLSA_ERROR, 10}}, false, 60, DEFER, "4.7.5", "mx1.example", 60, HOUR - 60},
        {POLICY, {{CUT, 10}}, false, HOUR, STOP, "5.7.5", "mx1.example", -1, -1},
        {REQUIRETLS, {{TRY_LATER, 10}}, false, HOUR, STOP, "5.7.10", "mx1.example", -1, -1},
        /* The kind of trouble may change meanwhile. */
        {ENCRYPT, {{CUT, 10}, {TLSA_ERROR, 20}}, false, 600, DEFER, "4.7.5", "mx1.example", 600, HOUR - 600},
        /* Beside final verdicts of any preference. */
        {ENCRYPT, {{NO_TLS, 10}, {TRY_LATER, 20}}, false, -1, DEFER, "4.7.4", "mx1.example", 0, HOUR},
        {ENCRYPT, {{TRY_LATER, 10}, {NO_TLS, 20}}, false, -1, DEFER, "4.7.4", "mx1.example", 0, HOUR},
        {ENCRYPT, {{CUT, 10}, {NO_TLS, 20}}, false, HOUR, STOP, "5.7.5", "mx1.example", -1, -1},
        {ENCRYPT, {{NO_TLS, 10}, {CUT, 20}}, false, HOUR, STOP, "5.7.4", "mx1.example", -1, -1},
        {ENCRYPT, {{CUT, 10}, {NO_TLS, 10}}, false, HOUR, STOP, "5.7.4", "mx2.example", -1, -1},
        {ENCRYPT, {{DEAD, 10}, {CUT, 20}}, false, -1, DEFER, "4.7.5", "mx2.example", 0, HOUR},
        /* A host of equal or better preference than the best final one was unreachable. */
        {ENCRYPT, {{DEAD, 10}, {NO_TLS, 20}}, false, -1, DEFER, "4.7.4", "mx2.example", 0, HOUR},
        {ENCRYPT, {{DEAD, 10}, {NO_TLS, 10}}, false, -1, DEFER, "4.7.4", "mx2.example", 0, HOUR},
        {ENCRYPT, {{NO_TLS, 10}, {DEAD, 10}}, false, -1, DEFER, "4.7.4", "mx1.example", 0, HOUR},
        {ENCRYPT, {{DEAD, 10}, {NO_TLS, 20}}, false, HOUR, STOP, "5.7.4", "mx2.example", -1, -1},
        {ENCRYPT, {{DEAD, 10}, {FAILED, 20}}, false, 1, DEFER, "4.7.5", "mx2.example", 1, HOUR - 1},
        {ENCRYPT, {{DEAD, 10}, {REFUSED, 20}, {NO_TLS, 30}}, false, HOUR, STOP, "5.7.4", "mx2.example", -1, -1},
        {ENCRYPT, {{NO_TLS, 10}, {NO_TLS, 20}, {DEAD, 20}}, false, -1, STOP, "5.7.4", "mx1.example", -1, -1},
        {ENCRYPT, {{NO_TLS, 20}, {DEAD, 20}, {DEAD, 30}}, false, -1, DEFER, "4.7.4", "mx1.example", 0, HOUR},
        {VERIFIED, {{DEAD, 10}, {PLAIN_TLS, 20}}, false, -1, DEFER, "4.7.5", "mx2.example", 0, HOUR},
    };
    check(cases, COUNT_OF(cases));
}

static void rule_4_a_final_tls_verdict_stops_now(void **state)
{
    (void)state;
    static const struct conclude_case cases[] = {
        {ENCRYPT, {{NO_TLS, 10}}, false, -1, STOP, "5.7.4", "mx1.example", -1, -1},
        {ENCRYPT, {{REFUSED, 10}}, false, -1, STOP, "5.7.4", "mx1.example", -1, -1},
        {ENCRYPT, {{FAILED, 10}}, false, -1, STOP, "5.7.5", "mx1.example", -1, -1},
        {ENCRYPT, {{MISMATCH, 10}}, false, -1, STOP, "5.7.5", "mx1.example", -1, -1},
        {VERIFIED, {{PLAIN_TLS, 10}}, false, -1, STOP, "5.7.5", "mx1.example", -1, -1},
        {VERIFIED, {{NO_TLS, 10}}, false, -1, STOP, "5.7.4", "mx1.example", -1, -1},
        {POLICY, {{NO_TLS, 10}}, false, -1, STOP, "5.7.4", "mx1.example", -1, -1},
        {POLICY_DANE, {{PLAIN_TLS, 10}}, false, -1, STOP, "5.7.5", "mx1.example", -1, -1},
        {REQUIRETLS, {{NO_TLS, 10}}, false, -1, STOP, "5.7.30", "mx1.example", -1, -1},
        {REQUIRETLS, {{REFUSED, 10}}, false, -1, STOP, "5.7.10", "mx1.example", -1, -1},
        /* The reason is that of the most preferred host, whatever the order tried. */
        {ENCRYPT, {{NO_TLS, 10}, {FAILED, 20}}, false, -1, STOP, "5.7.4", "mx1.example", -1, -1},
        {ENCRYPT, {{FAILED, 10}, {NO_TLS, 20}}, false, -1, STOP, "5.7.5", "mx1.example", -1, -1},
        {ENCRYPT, {{FAILED, 20}, {NO_TLS, 10}}, false, -1, STOP, "5.7.4", "mx2.example", -1, -1},
        {ENCRYPT, {{NO_TLS, 10}, {FAILED, 10}}, false, -1, STOP, "5.7.4", "mx1.example", -1, -1},
        /* A worse host that is unreachable changes nothing. */
        {ENCRYPT, {{NO_TLS, 10}, {DEAD, 20}}, false, -1, STOP, "5.7.4", "mx1.example", -1, -1},
        {ENCRYPT, {{FAILED, 10}, {NO_TLS, 10}, {DEAD, 11}}, false, -1, STOP, "5.7.5", "mx1.example", -1, -1},
        /* Nor does a dead address of a host that another address shows. */
        {ENCRYPT, {{DEAD, 10}, {NO_TLS, 10}}, true, -1, STOP, "5.7.4", "mx1.example", -1, -1},
        {ENCRYPT, {{NO_TLS, 10}, {DEAD, 10}}, true, -1, STOP, "5.7.4", "mx1.example", -1, -1},
        {ENCRYPT, {{DEAD, 10}, {CUT, 10}}, true, -1, DEFER, "4.7.5", "mx1.example", 0, HOUR},
        /* Patience that ran before does not matter. */
        {ENCRYPT, {{NO_TLS, 10}}, false, 600, STOP, "5.7.4", "mx1.example", -1, -1},
    };
    check(cases, COUNT_OF(cases));
}

static void rule_5_nothing_reachable_defers_as_any_mail(void **state)
{
    (void)state;
    static const struct conclude_case cases[] = {
        {ENCRYPT, {{DEAD, 10}}, false, -1, DEFER, "4.4.1", "mx1.example", -1, -1},
        {ENCRYPT, {{DEAD, 10}, {DEAD, 20}}, false, -1, DEFER, "4.4.1", "mx1.example", -1, -1},
        {ENCRYPT, {{DEAD, 10}, {DEAD, 10}}, true, -1, DEFER, "4.4.1", "mx1.example", -1, -1},
        {ENCRYPT, {{DEAD, 20}, {DEAD, 10}}, false, -1, DEFER, "4.4.1", "mx2.example", -1, -1},
        {OFF, {{DEAD, 10}}, false, -1, DEFER, "4.4.1", "mx1.example", -1, -1},
        /* It is another result: patience starts anew. */
        {ENCRYPT, {{DEAD, 10}}, false, 600, DEFER, "4.4.1", "mx1.example", -1, -1},
        {ENCRYPT, {{DEAD, 10}}, false, 9 * HOUR, DEFER, "4.4.1", "mx1.example", -1, -1},
        {ENCRYPT, {{NOTHING, 0}}, false, -1, DEFER, "4.4.1", "", -1, -1},
    };
    check(cases, COUNT_OF(cases));
}

static void without_a_demand_nothing_ever_stops(void **state)
{
    (void)state;
    static const struct conclude_case cases[] = {
        {OFF, {{MISMATCH, 10}}, false, -1, DEFER, "4.7.5", "mx1.example", -1, -1},
        {OFF, {{MISMATCH, 10}}, false, 9 * HOUR, DEFER, "4.7.5", "mx1.example", -1, -1},
        {OFF, {{DANE_NO_TLS, 10}}, false, -1, DEFER, "4.7.4", "mx1.example", -1, -1},
        {OFF, {{TLSA_ERROR, 10}}, false, -1, DEFER, "4.7.5", "mx1.example", -1, -1},
        {OFF, {{TLSA_ERROR, 10}}, false, 9 * HOUR, DEFER, "4.7.5", "mx1.example", -1, -1},
        {OFF, {{DANE_LATER, 10}}, false, 9 * HOUR, DEFER, "4.7.4", "mx1.example", -1, -1},
        {OFF, {{DEAD, 10}, {MISMATCH, 20}}, false, 9 * HOUR, DEFER, "4.7.5", "mx2.example", -1, -1},
        {OFF, {{MISMATCH, 10}, {NO_TLS, 20}}, false, -1, DEFER, "4.4.2", "mx2.example", -1, -1},
    };
    check(cases, COUNT_OF(cases));
}

static void a_fault_of_our_own_never_counts_against_the_destination(void **state)
{
    (void)state;
    static const struct conclude_case cases[] = {
        {ENCRYPT, {{OWN_FAULT, 10}}, false, -1, DEFER, "4.3.0", "mx1.example", -1, -1},
        {ENCRYPT, {{OWN_FAULT, 10}}, false, 9 * HOUR, DEFER, "4.3.0", "mx1.example", -1, -1},
        {ENCRYPT, {{OWN_FAULT, 10}, {NO_TLS, 20}}, false, -1, DEFER, "4.3.0", "mx1.example", -1, -1},
        {ENCRYPT, {{NO_TLS, 10}, {OWN_FAULT, 20}}, false, -1, DEFER, "4.3.0", "mx2.example", -1, -1},
        {ENCRYPT, {{CUT, 10}, {OWN_FAULT, 20}}, false, 9 * HOUR, DEFER, "4.3.0", "mx2.example", -1, -1},
        {ENCRYPT, {{DEAD, 10}, {OWN_FAULT, 20}}, false, -1, DEFER, "4.3.0", "mx2.example", -1, -1},
        {OFF, {{OWN_FAULT, 10}}, false, -1, DEFER, "4.3.0", "mx1.example", -1, -1},
        /* Nor does what was not looked at. */
        {ENCRYPT, {{NO_TLS, 10}, {UNTRIED, 20}}, false, -1, DEFER, "4.3.0", "", -1, -1},
        {ENCRYPT, {{UNTRIED, 10}}, false, 9 * HOUR, DEFER, "4.3.0", "", -1, -1},
    };
    check(cases, COUNT_OF(cases));
}

static void the_policy_of_the_domain_stops_who_is_guaranteed_and_defers_the_others(void **state)
{
    (void)state;
    static const struct conclude_case cases[] = {
        {ENCRYPT, {{STS_DELIVERED, 10}}, false, -1, DONE, "2.0.0", "", -1, -1},
        {VERIFIED, {{STS_DELIVERED, 10}}, false, -1, DONE, "2.0.0", "", -1, -1},
        {VERIFIED, {{STS_EXCLUDED, 10}, {STS_DELIVERED, 20}}, false, -1, DONE, "2.0.0", "", -1, -1},
        {ENCRYPT, {{STS_EXCLUDED, 10}}, false, -1, STOP, "5.7.5", "mx1.example", -1, -1},
        {ENCRYPT, {{STS_MISFIT, 10}}, false, -1, STOP, "5.7.5", "mx1.example", -1, -1},
        {ENCRYPT, {{STS_NO_TLS, 10}}, false, -1, STOP, "5.7.4", "mx1.example", -1, -1},
        {ENCRYPT, {{STS_EXCLUDED, 10}, {STS_NO_TLS, 20}}, false, -1, STOP, "5.7.5", "mx1.example", -1, -1},
        {ENCRYPT, {{STS_EXCLUDED, 20}, {STS_NO_TLS, 10}}, false, -1, STOP, "5.7.4", "mx2.example", -1, -1},
        {VERIFIED, {{STS_EXCLUDED, 10}}, false, -1, STOP, "5.7.5", "mx1.example", -1, -1},
        {POLICY, {{STS_EXCLUDED, 10}}, false, -1, STOP, "5.7.5", "mx1.example", -1, -1},
        {REQUIRETLS, {{STS_EXCLUDED, 10}}, false, -1, STOP, "5.7.5", "mx1.example", -1, -1},
        /* A listed host of equal or better preference is dead: it may come back. */
        {ENCRYPT, {{DEAD, 10}, {STS_EXCLUDED, 20}}, false, -1, DEFER, "4.7.5", "mx2.example", 0, HOUR},
        {ENCRYPT, {{STS_EXCLUDED, 10}, {DEAD, 10}}, false, 600, DEFER, "4.7.5", "mx1.example", 600, HOUR - 600},
        {ENCRYPT, {{STS_LATER, 10}, {STS_EXCLUDED, 20}}, false, -1, DEFER, "4.7.4", "mx1.example", 0, HOUR},
        {OFF, {{STS_EXCLUDED, 10}}, false, 9 * HOUR, DEFER, "4.7.5", "mx1.example", -1, -1},
        {OFF, {{STS_MISFIT, 10}}, false, 9 * HOUR, DEFER, "4.7.5", "mx1.example", -1, -1},
        {OFF, {{STS_NO_TLS, 10}}, false, 9 * HOUR, DEFER, "4.7.4", "mx1.example", -1, -1},
        {OFF, {{STS_LATER, 10}}, false, 9 * HOUR, DEFER, "4.7.4", "mx1.example", -1, -1},
        /* Not learnt: passing where it is needed. */
        {VERIFIED, {{STS_UNLEARNT, 10}}, false, -1, DEFER, "4.7.5", "mx1.example", 0, HOUR},
        {VERIFIED, {{STS_UNLEARNT, 10}}, false, HOUR - 1, DEFER, "4.7.5", "mx1.example", HOUR - 1, 1},
        {VERIFIED, {{STS_UNLEARNT, 10}}, false, HOUR, STOP, "5.7.5", "mx1.example", -1, -1},
        {VERIFIED, {{STS_UNLEARNT, 10}, {NO_TLS, 20}}, false, -1, DEFER, "4.7.5", "mx1.example", 0, HOUR},
        {VERIFIED, {{STS_UNLEARNT_NO_TLS, 10}, {STS_UNLEARNT, 20}}, false, -1, DEFER, "4.7.4", "mx1.example", 0, HOUR},
        {VERIFIED, {{STS_UNLEARNT_NO_TLS, 10}}, false, -1, STOP, "5.7.4", "mx1.example", -1, -1},
        {VERIFIED, {{STS_FAULT, 10}}, false, 9 * HOUR, DEFER, "4.3.0", "mx1.example", -1, -1},
        {VERIFIED, {{STS_FAULT, 10}, {NO_TLS, 20}}, false, -1, DEFER, "4.3.0", "mx1.example", -1, -1},
        {ENCRYPT, {{STS_UNLEARNT, 10}}, false, 9 * HOUR, DEFER, "4.4.2", "mx1.example", -1, -1},
        {ENCRYPT, {{STS_UNLEARNT_NO_TLS, 10}}, false, -1, STOP, "5.7.4", "mx1.example", -1, -1},
        {REQUIRETLS, {{STS_UNLEARNT_NO_TLS, 10}}, false, -1, STOP, "5.7.30", "mx1.example", -1, -1},
        /* Remembered TLS defers those whom nothing binds, and never stops them. */
        {OFF, {{KEPT_NO_TLS, 10}}, false, 9 * HOUR, DEFER, "4.7.4", "mx1.example", -1, -1},
        {OFF, {{KEPT_CUT, 10}}, false, 9 * HOUR, DEFER, "4.7.5", "mx1.example", -1, -1},
        {OFF, {{LOST_NO_TLS, 10}}, false, -1, DEFER, "4.4.2", "mx1.example", -1, -1},
        {OFF, {{KEPT_NO_TLS, 10}, {DELIVERED, 20}}, false, -1, DONE, "2.0.0", "", -1, -1},
        {ENCRYPT, {{KEPT_NO_TLS, 10}}, false, -1, STOP, "5.7.4", "mx1.example", -1, -1},
    };
    check(cases, COUNT_OF(cases));
}
/* clang-format on */

static void tls_that_was_there_before_is_a_downgrade(void **state)
{
    (void)state;
    static const struct {
        enum req req;
        enum shows first, second;
        int64_t trouble_for;
        enum guarantee_decision want;
        bool want_downgrade;
    } cases[] = {
        {ENCRYPT, LOST_NO_TLS, NOTHING, 0, STOP, true},
        {ENCRYPT, LOST_REFUSED, NOTHING, 0, STOP, true},
        {ENCRYPT, LOST_FAILED, NOTHING, 0, STOP, true},
        {ENCRYPT, LOST_CUT, NOTHING, 0, DEFER, false},
        {ENCRYPT, LOST_CUT, NOTHING, HOUR, STOP, true},
        {ENCRYPT, LOST_LATER, NOTHING, 0, DEFER, false},
        {ENCRYPT, LOST_LATER, NOTHING, HOUR, STOP, true},
        {ENCRYPT, LOST_MISMATCH, NOTHING, 0, STOP, false},
        {ENCRYPT, LOST_DEAD, NOTHING, 0, DEFER, false},
        {ENCRYPT, NO_TLS, NOTHING, 0, STOP, false},
        {ENCRYPT, LOST_NO_TLS, NO_TLS, 0, STOP, true},
        {ENCRYPT, NO_TLS, LOST_NO_TLS, 0, STOP, false},
        {ENCRYPT, DEAD, LOST_NO_TLS, 0, DEFER, true},
        {ENCRYPT, DEAD, LOST_REFUSED, 0, DEFER, true},
        {ENCRYPT, DEAD, LOST_FAILED, 0, DEFER, true},
        {ENCRYPT, LOST_NO_TLS, TEMPORARY, 0, DEFER, false},
        {ENCRYPT, LOST_NO_TLS, OWN_FAULT, 0, DEFER, false},
        {ENCRYPT, LOST_NO_TLS, DELIVERED, 0, DONE, false},
        {OFF, KEPT_NO_TLS, NOTHING, 0, DEFER, true},
        {OFF, KEPT_CUT, NOTHING, 9 * HOUR, DEFER, false},
        {OFF, LOST_NO_TLS, NOTHING, 0, DEFER, false},
        {VERIFIED, STS_UNLEARNT, NOTHING, HOUR, STOP, false},
        {REQUIRETLS, LOST_NO_TLS, NOTHING, 0, STOP, true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct guarantee_host hosts[2] = {host(cases[i].first, 10, names[0])};
        size_t count = 1;
        if (cases[i].second != NOTHING)
            hosts[count++] = host(cases[i].second, 20, names[1]);
        struct guarantee_conclusion got =
            conclude_hosts(cases[i].req, hosts, count, NOW - cases[i].trouble_for);
        if (got.decision != cases[i].want || got.is_downgrade != cases[i].want_downgrade)
            fail_msg("row %zu: got %d downgrade %d want %d downgrade %d", i, got.decision,
                     got.is_downgrade, cases[i].want, cases[i].want_downgrade);
    }
    /* An authenticated policy that was unlearnt beside TLS is none, whatever is remembered. */
    struct guarantee_host h = host(STS_UNLEARNT, 10, names[0]);
    h.tls_seen_at = NOW - HOUR;
    assert_false(conclude_hosts(VERIFIED, &h, 1, NOW - HOUR).is_downgrade);
}

static void suspended_stops_defer_and_change_nothing_that_is_known(void **state)
{
    (void)state;
    static const struct {
        enum req req;
        enum shows first, second;
        int64_t trouble_for; /* -1: was none */
        enum guarantee_decision want;
        bool want_suspended;
        const char *want_status;
        int64_t want_since_ago, want_wait; /* -1: 0 */
    } cases[] = {
        {ENCRYPT, NO_TLS, NOTHING, -1, DEFER, true, "4.3.0", -1, -1},
        {ENCRYPT, NO_TLS, NOTHING, 600, DEFER, true, "4.3.0", 600, -1},
        {ENCRYPT, MISMATCH, NOTHING, -1, DEFER, true, "4.3.0", -1, -1},
        {ENCRYPT, STS_EXCLUDED, NOTHING, -1, DEFER, true, "4.3.0", -1, -1},
        {VERIFIED, PLAIN_TLS, NOTHING, -1, DEFER, true, "4.3.0", -1, -1},
        {POLICY, NO_TLS, NOTHING, -1, DEFER, true, "4.3.0", -1, -1},
        {REQUIRETLS, NO_TLS, NOTHING, -1, DEFER, true, "4.3.0", -1, -1},
        {ENCRYPT, LOST_NO_TLS, NOTHING, -1, DEFER, true, "4.3.0", -1, -1},
        {ENCRYPT, CUT, NOTHING, 9 * HOUR, DEFER, true, "4.3.0", 9 * HOUR, -1},
        {ENCRYPT, TLSA_ERROR, NOTHING, HOUR, DEFER, true, "4.3.0", HOUR, -1},
        /* Patience goes on where it ran, and does not begin. */
        {ENCRYPT, CUT, NOTHING, 600, DEFER, false, "4.7.5", 600, HOUR - 600},
        {ENCRYPT, CUT, NOTHING, -1, DEFER, false, "4.7.5", -1, -1},
        {ENCRYPT, TLSA_ERROR, NOTHING, -1, DEFER, false, "4.7.5", -1, -1},
        {ENCRYPT, DEAD, NO_TLS, -1, DEFER, false, "4.7.4", -1, -1},
        /* All else is as ever. */
        {ENCRYPT, NO_TLS, DELIVERED, 600, DONE, false, "2.0.0", -1, -1},
        {ENCRYPT, PERMANENT, NOTHING, 600, FAIL, false, "5.1.1", -1, -1},
        {ENCRYPT, TEMPORARY, NOTHING, 600, DEFER, false, "4.7.1", -1, -1},
        {ENCRYPT, DEAD, NOTHING, 600, DEFER, false, "4.4.1", -1, -1},
        {OFF, MISMATCH, NOTHING, -1, DEFER, false, "4.7.5", -1, -1},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct guarantee_host hosts[2] = {host(cases[i].first, 10, names[0])};
        struct guarantee_requirement r = requirement(cases[i].req);
        struct guarantee_attempt attempt = {.domain = "plain.example",
                                            .detail = "",
                                            .hosts = hosts,
                                            .count = 1,
                                            .now = NOW,
                                            .patience = HOUR,
                                            .are_stops_suspended = true};
        if (cases[i].second != NOTHING)
            hosts[attempt.count++] = host(cases[i].second, 20, names[1]);
        if (cases[i].trouble_for >= 0)
            attempt.trouble_since = NOW - cases[i].trouble_for;
        struct guarantee_conclusion got = guarantee_conclude(&r, &attempt);
        int64_t since = cases[i].want_since_ago < 0 ? 0 : NOW - cases[i].want_since_ago;
        int64_t ends = cases[i].want_wait < 0 ? 0 : NOW + cases[i].want_wait;
        char status[STATUS_SIZE];
        if (got.decision != cases[i].want || got.is_suspended != cases[i].want_suspended ||
            strcmp(status_text(got.outcome.status, status), cases[i].want_status) != 0 ||
            got.trouble_since != since || got.patience_ends_at != ends || got.is_force_needed ||
            got.is_release_refused || got.is_flag_met)
            fail_msg("row %zu: got %d suspended %d %s since %lld ends %lld", i, got.decision,
                     got.is_suspended, status, (long long)got.trouble_since,
                     (long long)got.patience_ends_at);
    }
}

static void a_suspended_stop_says_so_and_why(void **state)
{
    (void)state;
    struct guarantee_host h = host(LOST_NO_TLS, 10, "mx.plain.example");
    h.tls_looks = 12;
    struct guarantee_requirement r = requirement(ENCRYPT);
    struct guarantee_attempt attempt = {.domain = "plain.example",
                                        .detail = "",
                                        .hosts = &h,
                                        .count = 1,
                                        .now = NOW,
                                        .patience = HOUR,
                                        .are_stops_suspended = true};
    struct guarantee_conclusion got = guarantee_conclude(&r, &attempt);
    assert_string_equal(got.outcome.text,
                        "stops are suspended, as TLS is missing at many destinations at once; "
                        "here: TLS is required, but was not offered by host "
                        "mx.plain.example[192.0.2.9]; on 12 earlier looks it offered TLS, last on "
                        "2026-11-18");
    assert_string_equal(got.outcome.mx, "mx.plain.example");
    assert_string_equal(got.outcome.address, "192.0.2.9");
    assert_int_equal(got.outcome.port, 25);
    assert_int_equal(got.kind, GUARANTEE_NOT_OFFERED);
    assert_true(got.is_downgrade);
}

static void a_dry_run_says_what_the_flag_would_have_stopped(void **state)
{
    (void)state;
    static const struct {
        enum req req; /* as the flag has it */
        enum shows first, second;
        const char *want; /* status of the stop; NULL: would not have been stopped */
    } cases[] = {
        {ENCRYPT, CLEAR_DELIVERED, NOTHING, "5.7.4"},
        {VERIFIED, CLEAR_DELIVERED, NOTHING, "5.7.4"},
        {VERIFIED, DELIVERED, NOTHING, "5.7.5"},
        {ENCRYPT, DELIVERED, NOTHING, NULL},
        {ENCRYPT, STS_DELIVERED, NOTHING, NULL},
        {VERIFIED, STS_DELIVERED, NOTHING, NULL},
        {OFF, CLEAR_DELIVERED, NOTHING, NULL},
        {ENCRYPT, CLEAR_TEMPORARY, NOTHING, "5.7.4"},
        {ENCRYPT, NO_TLS_TOO_BIG, NOTHING, "5.7.4"},
        {ENCRYPT, PERMANENT, NOTHING, NULL},
        {ENCRYPT, UNDECIDED, NOTHING, NULL},
        {VERIFIED, UNDECIDED, NOTHING, "5.7.5"},
        {ENCRYPT, TEMPORARY, NOTHING, NULL},
        {ENCRYPT, MISMATCH, NOTHING, "5.7.5"},
        {ENCRYPT, STS_EXCLUDED, NOTHING, "5.7.5"},
        {VERIFIED, STS_UNLEARNT, NOTHING, NULL},
        {ENCRYPT, CUT, NOTHING, NULL},
        {ENCRYPT, DEAD, NOTHING, NULL},
        {ENCRYPT, DEAD, CLEAR_DELIVERED, NULL},
        {ENCRYPT, NO_TLS, CLEAR_DELIVERED, "5.7.4"},
        {ENCRYPT, CLEAR_DELIVERED, UNTRIED, NULL},
        {ENCRYPT, OWN_FAULT, CLEAR_DELIVERED, NULL},
        {ENCRYPT, CLEAR_TEMPORARY, DELIVERED, NULL},
        {VERIFIED, CLEAR_TEMPORARY, DELIVERED, "5.7.4"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct guarantee_host hosts[2] = {host(cases[i].first, 10, names[0])};
        struct guarantee_requirement r = requirement(cases[i].req);
        struct guarantee_attempt attempt = {.domain = "plain.example",
                                            .detail = "",
                                            .hosts = hosts,
                                            .count = 1,
                                            .now = NOW,
                                            .patience = HOUR};
        if (cases[i].second != NOTHING)
            hosts[attempt.count++] = host(cases[i].second, 20, names[1]);
        char status[STATUS_SIZE] = "not stopped";
        for (int is_lost_later = 0; is_lost_later < 2; is_lost_later++) {
            struct outcome out = {0};
            bool got = guarantee_would_stop(&r, &attempt, &out);
            if (got)
                status_text(out.status, status);
            if (got != (cases[i].want != NULL) || (got && strcmp(status, cases[i].want) != 0))
                fail_msg("row %zu: got %s", i, status);
            if (!got)
                assert_int_equal(out.status.class, 0);
            /* The contact may have been lost since. */
            for (size_t k = 0; k < attempt.count; k++)
                if (hosts[k].answer != GUARANTEE_ANSWER_NONE)
                    hosts[k].contact = GUARANTEE_NO_CONTACT;
        }
        attempt.are_stops_suspended = true;
        struct outcome out = {0};
        assert_false(guarantee_would_stop(&r, &attempt, &out));
    }
}

static void the_destination_itself_may_decide(void **state)
{
    (void)state;
    static const struct {
        enum guarantee_destination destination;
        const char *detail;
        enum guarantee_decision want;
        const char *want_status, *want_text;
    } cases[] = {
        {GUARANTEE_DESTINATION_NULL_MX, "", FAIL, "5.1.10",
         "Domain plain.example does not accept mail (nullMX)"},
        {GUARANTEE_DESTINATION_NO_SUCH, "", FAIL, "5.1.2",
         "Host or domain name not found: plain.example"},
        {GUARANTEE_DESTINATION_OURSELVES, "", FAIL, "5.4.6",
         "mail for plain.example loops back to myself"},
        {GUARANTEE_DESTINATION_BLOCKED, "", FAIL, "5.4.6",
         "all addresses of the mail hosts of plain.example are in blocked networks"},
        {GUARANTEE_DESTINATION_LOOKUP_FAILED, "SERVFAIL", DEFER, "4.4.3",
         "Host or domain name not found. Name service error for name plain.example: SERVFAIL"},
        {GUARANTEE_DESTINATION_LOOKUP_FAILED, "", DEFER, "4.4.3",
         "Host or domain name not found. Name service error for name plain.example"},
        {GUARANTEE_DESTINATION_LOOKUP_FAILED, NULL, DEFER, "4.4.3",
         "Host or domain name not found. Name service error for name plain.example"},
        {GUARANTEE_DESTINATION_OUR_FAULT, "no memory", DEFER, "4.3.0",
         "a fault of this mail system kept it from looking up plain.example: no memory"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct guarantee_requirement r = requirement(ENCRYPT);
        /* Patience does not apply: it ran out long ago, and nothing stops. */
        struct guarantee_attempt attempt = {.destination = cases[i].destination,
                                            .domain = "plain.example",
                                            .detail = cases[i].detail,
                                            .trouble_since = NOW - 9 * HOUR,
                                            .now = NOW,
                                            .patience = HOUR};
        struct guarantee_conclusion got = guarantee_conclude(&r, &attempt);
        char status[STATUS_SIZE];
        assert_int_equal(got.decision, cases[i].want);
        assert_string_equal(status_text(got.outcome.status, status), cases[i].want_status);
        assert_string_equal(got.outcome.text, cases[i].want_text);
        assert_int_equal(got.trouble_since, 0);
        assert_int_equal(got.patience_ends_at, 0);
    }
}

static void a_stop_says_what_a_release_would_need(void **state)
{
    (void)state;
    static const struct {
        enum req req;
        enum shows first, second;
        bool want_force, want_refused;
    } cases[] = {
        {ENCRYPT, NO_TLS, NOTHING, false, false},
        {ENCRYPT, FAILED, NOTHING, false, false},
        {ENCRYPT, REFUSED, NOTHING, false, false},
        {ENCRYPT, CUT, NOTHING, false, false},
        {VERIFIED, PLAIN_TLS, NOTHING, false, false},
        {VERIFIED, NO_TLS, NOTHING, false, false},
        /* The destination's own DANE stands in the way. */
        {ENCRYPT, MISMATCH, NOTHING, true, false},
        {ENCRYPT, DANE_NO_TLS, NOTHING, true, false},
        {ENCRYPT, DANE_LATER, NOTHING, true, false},
        {ENCRYPT, TLSA_ERROR, NOTHING, true, false},
        {VERIFIED, MISMATCH, NOTHING, true, false},
        /* One host without it is way enough. */
        {ENCRYPT, MISMATCH, NO_TLS, false, false},
        {ENCRYPT, NO_TLS, TLSA_ERROR, false, false},
        /* Policy or REQUIRETLS is the cause. */
        {POLICY, NO_TLS, NOTHING, false, true},
        {POLICY, CUT, NOTHING, false, true},
        {POLICY_DANE, PLAIN_TLS, NOTHING, false, true},
        {POLICY_DANE, MISMATCH, NOTHING, false, true},
        {REQUIRETLS, NO_TLS, NOTHING, false, true},
        {REQUIRETLS, MISMATCH, NOTHING, false, true},
        {ENCRYPT_POLICY, NO_TLS, NOTHING, false, true},
        /* The policy is satisfied: the flag, or DANE, is the cause. */
        {VERIFIED_POLICY, PLAIN_TLS, NOTHING, false, false},
        {ENCRYPT_POLICY, MISMATCH, NOTHING, true, false},
        {POLICY, MISMATCH, NOTHING, true, false},
        /* The policy of the domain stands in the way. */
        {ENCRYPT, STS_EXCLUDED, NOTHING, true, false},
        {ENCRYPT, STS_MISFIT, NOTHING, true, false},
        {ENCRYPT, STS_NO_TLS, NOTHING, true, false},
        {ENCRYPT, STS_LATER, NOTHING, true, false},
        {VERIFIED, STS_EXCLUDED, NOTHING, true, false},
        {VERIFIED, STS_MISFIT, NOTHING, true, false},
        {ENCRYPT, STS_EXCLUDED, NO_TLS, false, false},
        {ENCRYPT, STS_MISFIT, STS_EXCLUDED, true, false},
        {POLICY, STS_MISFIT, NOTHING, true, false},
        {POLICY, STS_EXCLUDED, NOTHING, true, false},
        {POLICY, STS_NO_TLS, NOTHING, false, true},
        {POLICY_DANE, STS_MISFIT, NOTHING, false, true},
        {REQUIRETLS, STS_EXCLUDED, NOTHING, false, true},
        {REQUIRETLS, STS_MISFIT, NOTHING, false, true},
        {VERIFIED, STS_UNLEARNT, NOTHING, false, false},
        {VERIFIED_POLICY, STS_UNLEARNT, NOTHING, false, false},
        /* What is remembered does not bind who is released. */
        {ENCRYPT, KEPT_NO_TLS, NOTHING, false, false},
        {ENCRYPT, KEPT_CUT, NOTHING, false, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct guarantee_host hosts[2] = {host(cases[i].first, 10, names[0])};
        size_t count = 1;
        if (cases[i].second != NOTHING)
            hosts[count++] = host(cases[i].second, 20, names[1]);
        struct guarantee_conclusion got =
            conclude_hosts(cases[i].req, hosts, count, NOW - 2 * HOUR);
        if (got.decision != STOP || got.is_force_needed != cases[i].want_force ||
            got.is_release_refused != cases[i].want_refused)
            fail_msg("row %zu: got %d force %d refused %d want %d force %d refused %d", i,
                     got.decision, got.is_force_needed, got.is_release_refused, STOP,
                     cases[i].want_force, cases[i].want_refused);
    }
}

#define FLAG "encrypted transport (TLS 1.2 or newer), by the sender's guarantee"
#define VERIFY                                                                                     \
    "a server with a valid certificate (WebPKI or DANE), by our policy for the recipient's domain"
#define NAMED                                                                                      \
    "a server whose key or certificate has a fingerprint that is named, by our policy for the "    \
    "recipient's domain"
#define ALL_THE_WAY "REQUIRETLS (RFC 8689) all the way, asked for with the message"
#define STS                                                                                        \
    "a listed host with a certificate valid for its name, by the MTA-STS policy of the "           \
    "recipient's "                                                                                 \
    "domain"
static void a_flag_that_was_met_is_not_among_the_words_of_the_stop(void **state)
{
    (void)state;
    static const struct {
        enum level level;
        enum guarantee_policy policy;
        bool requiretls;
        enum shows shows;
        bool want_met;
        const char *want;
    } cases[] = {
        {LEVEL_ENCRYPT, GUARANTEE_POLICY_VERIFY, false, PLAIN_TLS, true, VERIFY},
        {LEVEL_ENCRYPT, GUARANTEE_POLICY_VERIFY, false, NO_TLS, false, FLAG "; " VERIFY},
        {LEVEL_ENCRYPT, GUARANTEE_POLICY_VERIFY, false, CUT, false, FLAG "; " VERIFY},
        {LEVEL_ENCRYPT, GUARANTEE_POLICY_VERIFY, false, MISMATCH, false, FLAG "; " VERIFY},
        {LEVEL_ENCRYPT, GUARANTEE_POLICY_MAY, true, PLAIN_TLS, true, ALL_THE_WAY},
        {LEVEL_OFF, GUARANTEE_POLICY_ENCRYPT, true, PLAIN_TLS, false, ALL_THE_WAY},
        {LEVEL_OFF, GUARANTEE_POLICY_VERIFY, true, NO_TLS, false, ALL_THE_WAY "; " VERIFY},
        {LEVEL_OFF, GUARANTEE_POLICY_FINGERPRINT, true, PLAIN_TLS, false, ALL_THE_WAY "; " NAMED},
        {LEVEL_ENCRYPT, GUARANTEE_POLICY_MAY, false, NO_TLS, false, FLAG},
        {LEVEL_VERIFIED, GUARANTEE_POLICY_VERIFY, false, PLAIN_TLS, false,
         "encrypted transport to a verified server (TLS 1.2 or newer, DANE or MTA-STS), by the "
         "sender's "
         "guarantee; " VERIFY},
        {LEVEL_OFF, GUARANTEE_POLICY_VERIFY, false, PLAIN_TLS, false, VERIFY},
        {LEVEL_ENCRYPT, GUARANTEE_POLICY_MAY, false, STS_EXCLUDED, false, FLAG "; " STS},
        {LEVEL_ENCRYPT, GUARANTEE_POLICY_MAY, false, STS_MISFIT, false, FLAG "; " STS},
        {LEVEL_ENCRYPT, GUARANTEE_POLICY_MAY, false, STS_NO_TLS, false, FLAG},
        {LEVEL_OFF, GUARANTEE_POLICY_VERIFY, false, STS_MISFIT, false, VERIFY "; " STS},
        {LEVEL_ENCRYPT, GUARANTEE_POLICY_VERIFY, false, STS_UNLEARNT, true, VERIFY},
        {LEVEL_ENCRYPT, GUARANTEE_POLICY_FINGERPRINT, false, PLAIN_TLS, true, NAMED},
        {LEVEL_ENCRYPT, GUARANTEE_POLICY_FINGERPRINT, false, NO_TLS, false, FLAG "; " NAMED},
        {LEVEL_OFF, GUARANTEE_POLICY_FINGERPRINT, false, PLAIN_TLS, false, NAMED},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct guarantee_requirement r = {.level = cases[i].level,
                                          .policy = cases[i].policy,
                                          .route = GUARANTEE_POLICY_MAY,
                                          .requiretls = cases[i].requiretls};
        struct guarantee_host h = host(cases[i].shows, 10, names[0]);
        struct guarantee_attempt attempt = {.destination = GUARANTEE_DESTINATION_FOUND,
                                            .domain = "plain.example",
                                            .detail = "",
                                            .hosts = &h,
                                            .count = 1,
                                            .trouble_since = NOW - 2 * HOUR,
                                            .now = NOW,
                                            .patience = HOUR};
        struct guarantee_conclusion got = guarantee_conclude(&r, &attempt);
        char words[512];
        guarantee_stop_words(&r, &got, words, sizeof words);
        if (got.decision != STOP || got.is_flag_met != cases[i].want_met ||
            strcmp(words, cases[i].want) != 0)
            fail_msg("row %zu: got %d met %d %s want met %d %s", i, got.decision, got.is_flag_met,
                     words, cases[i].want_met, cases[i].want);
    }
}

/* The administrator named it, so the administrator takes it back: no release goes round it. */
static void a_fingerprint_that_does_not_match_stops_everybody_and_is_not_released(void **state)
{
    (void)state;
    static char named[][FINGERPRINT_SIZE] = {
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"};
    static const struct guarantee_fingerprints list = {1, named};
    static const enum exemption exemptions[] = {
        EXEMPTION_NONE,    EXEMPTION_AUTO_REPLY,    EXEMPTION_FORWARD,   EXEMPTION_TLS_REQUIRED_NO,
        EXEMPTION_RELEASE, EXEMPTION_RELEASE_FORCE, EXEMPTION_EXCEPTION, EXEMPTION_DRY_RUN};
    for (size_t i = 0; i < 2 * COUNT_OF(exemptions); i++) {
        bool is_named = i % 2;
        enum exemption exemption = exemptions[i / 2];
        struct guarantee_requirement r = guarantee_required(
            LEVEL_ENCRYPT, exemption, false, GUARANTEE_POLICY_FINGERPRINT, GUARANTEE_POLICY_MAY);
        r.policy_fingerprints = &list;
        struct guarantee_host h = host(PLAIN_TLS, 10, names[0]);
        h.key_digest = is_named ? named[0] : "00";
        struct guarantee_attempt attempt = {.domain = "plain.example",
                                            .detail = "",
                                            .hosts = &h,
                                            .count = 1,
                                            .now = NOW,
                                            .patience = HOUR};
        struct guarantee_conclusion got = guarantee_conclude(&r, &attempt);
        if ((got.decision == STOP) == is_named || got.is_release_refused == is_named ||
            got.is_force_needed)
            fail_msg("row %zu: got %d refused %d force %d", i, got.decision, got.is_release_refused,
                     got.is_force_needed);
    }
}

static void release_and_force_do_what_the_stop_said(void **state)
{
    (void)state;
    /* What stopped because of DANE goes in clear with --force, and is deferred without. */
    struct guarantee_host h = host(MISMATCH, 10, names[0]);
    struct guarantee_requirement released = guarantee_required(
        LEVEL_ENCRYPT, EXEMPTION_RELEASE, false, GUARANTEE_POLICY_MAY, GUARANTEE_POLICY_MAY);
    struct guarantee_requirement forced = guarantee_required(
        LEVEL_ENCRYPT, EXEMPTION_RELEASE_FORCE, false, GUARANTEE_POLICY_MAY, GUARANTEE_POLICY_MAY);
    assert_int_equal(guarantee_judge(&released, &h).kind, GUARANTEE_NOT_AUTHENTICATED);
    assert_int_equal(guarantee_judge(&forced, &h).kind, GUARANTEE_ACCEPTABLE);
    struct guarantee_attempt attempt = {.domain = "plain.example",
                                        .detail = "",
                                        .hosts = &h,
                                        .count = 1,
                                        .now = NOW,
                                        .patience = HOUR};
    assert_int_equal(guarantee_conclude(&released, &attempt).decision, GUARANTEE_DEFER);
}

static void the_words_of_a_stop_are_those_of_the_verdict(void **state)
{
    (void)state;
    struct guarantee_host h = host(NO_TLS, 10, "mx.plain.example");
    struct guarantee_conclusion got = conclude_hosts(ENCRYPT, &h, 1, 0);
    assert_string_equal(got.outcome.text,
                        "TLS is required, but was not offered by host mx.plain.example[192.0.2.9]");
    assert_int_equal(got.kind, GUARANTEE_NOT_OFFERED);
    assert_int_equal(got.outcome.code, 0);
    assert_string_equal(got.outcome.address, "192.0.2.9");
    assert_int_equal(got.outcome.port, 25);
}

static void a_connection_that_died_behind_tls_keeps_its_words(void **state)
{
    (void)state;
    struct guarantee_host h = host(SILENT, 10, "mx.plain.example");
    h.cause = outcome_reply(554, SLICE("5.3.2 no more today"));
    struct guarantee_conclusion got = conclude_hosts(ENCRYPT, &h, 1, 0);
    assert_int_equal(got.decision, GUARANTEE_DEFER);
    assert_string_equal(got.outcome.text, "5.3.2 no more today");
    assert_int_equal(got.outcome.code, 554);
    assert_int_equal(got.outcome.status.class, 4);
    assert_string_equal(got.outcome.mx, "mx.plain.example");
}

static void what_was_delivered_stays_delivered_when_the_contact_is_lost_later(void **state)
{
    (void)state;
    struct guarantee_host h = host(DELIVERED, 10, names[0]);
    h.contact = GUARANTEE_NO_CONTACT;
    assert_int_equal(conclude_hosts(ENCRYPT, &h, 1, 0).decision, GUARANTEE_DELIVERED);
    h = host(CLEAR_DELIVERED, 10, names[0]);
    h.contact = GUARANTEE_NO_CONTACT;
    assert_int_equal(conclude_hosts(OFF, &h, 1, 0).decision, GUARANTEE_DELIVERED);
}

static void without_patience_trouble_stops_at_once(void **state)
{
    (void)state;
    struct guarantee_host h = host(CUT, 10, names[0]);
    struct guarantee_requirement r = requirement(ENCRYPT);
    struct guarantee_attempt attempt = {
        .domain = "plain.example", .detail = "", .hosts = &h, .count = 1, .now = NOW};
    assert_int_equal(guarantee_conclude(&r, &attempt).decision, GUARANTEE_STOP);
}

static void a_clock_set_back_starts_patience_anew(void **state)
{
    (void)state;
    struct guarantee_host h = host(CUT, 10, names[0]);
    struct guarantee_conclusion got = conclude_hosts(ENCRYPT, &h, 1, NOW + 9 * HOUR);
    assert_int_equal(got.decision, GUARANTEE_DEFER);
    assert_int_equal(got.trouble_since, NOW);
    assert_int_equal(got.patience_ends_at, NOW + HOUR);
}

static void a_local_route_delivers_in_clear_whatever_is_required(void **state)
{
    (void)state;
    struct guarantee_host h = host(CLEAR_DELIVERED, 0, "localhost");
    h.is_local_route = true;
    assert_int_equal(conclude_hosts(REQUIRETLS, &h, 1, 0).decision, GUARANTEE_DELIVERED);
    h = host(DEAD, 0, "localhost");
    h.is_local_route = true;
    assert_int_equal(conclude_hosts(REQUIRETLS, &h, 1, 0).decision, GUARANTEE_DEFER);
}

/* Over all pairs of hosts: a stop needs a demand and never comes where some host had a way; nothing
 * is deferred under rule 3 without an end. */
static void no_pair_of_hosts_breaks_the_rules(void **state)
{
    (void)state;
    for (int req = OFF; req <= VERIFIED_POLICY; req++) {
        for (int a = DELIVERED; a <= LAST_SHOWN; a++) {
            for (int b = DELIVERED; b <= LAST_SHOWN; b++) {
                struct guarantee_requirement r = requirement((enum req)req);
                struct guarantee_host hosts[] = {host((enum shows)a, 10, names[0]),
                                                 host((enum shows)b, 20, names[1])};
                bool has_clear_delivery = a == CLEAR_DELIVERED || b == CLEAR_DELIVERED;
                if (has_clear_delivery && guarantee_demands_tls(&r))
                    continue; /* panics, as it must: see below */
                struct guarantee_conclusion got =
                    conclude_hosts((enum req)req, hosts, 2, NOW - 600);
                if (got.decision == STOP) {
                    assert_true(guarantee_demands_tls(&r));
                    for (int i = 0; i < 2; i++)
                        assert_true(guarantee_judge(&r, &hosts[i]).kind > GUARANTEE_OWN_FAULT);
                }
                assert_int_equal(got.patience_ends_at != 0, got.trouble_since != 0);
                assert_int_equal(got.outcome.status.class, got.decision == DONE    ? 2
                                                           : got.decision == DEFER ? 4
                                                                                   : 5);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_1_a_host_with_acceptable_tls_decides),
        cmocka_unit_test(rule_2_a_temporary_answer_behind_tls_defers),
        cmocka_unit_test(rule_3_trouble_that_may_pass_defers_for_patience),
        cmocka_unit_test(rule_4_a_final_tls_verdict_stops_now),
        cmocka_unit_test(rule_5_nothing_reachable_defers_as_any_mail),
        cmocka_unit_test(without_a_demand_nothing_ever_stops),
        cmocka_unit_test(a_fault_of_our_own_never_counts_against_the_destination),
        cmocka_unit_test(the_policy_of_the_domain_stops_who_is_guaranteed_and_defers_the_others),
        cmocka_unit_test(tls_that_was_there_before_is_a_downgrade),
        cmocka_unit_test(suspended_stops_defer_and_change_nothing_that_is_known),
        cmocka_unit_test(a_suspended_stop_says_so_and_why),
        cmocka_unit_test(a_dry_run_says_what_the_flag_would_have_stopped),
        cmocka_unit_test(the_destination_itself_may_decide),
        cmocka_unit_test(a_stop_says_what_a_release_would_need),
        cmocka_unit_test(a_flag_that_was_met_is_not_among_the_words_of_the_stop),
        cmocka_unit_test(a_fingerprint_that_does_not_match_stops_everybody_and_is_not_released),
        cmocka_unit_test(release_and_force_do_what_the_stop_said),
        cmocka_unit_test(the_words_of_a_stop_are_those_of_the_verdict),
        cmocka_unit_test(a_connection_that_died_behind_tls_keeps_its_words),
        cmocka_unit_test(what_was_delivered_stays_delivered_when_the_contact_is_lost_later),
        cmocka_unit_test(without_patience_trouble_stops_at_once),
        cmocka_unit_test(a_clock_set_back_starts_patience_anew),
        cmocka_unit_test(a_local_route_delivers_in_clear_whatever_is_required),
        cmocka_unit_test(no_pair_of_hosts_breaks_the_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
