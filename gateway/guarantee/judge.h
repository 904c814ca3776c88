/* judge.h - the decision of GUARANTEE.md: facts in, verdict out.
 *
 * guarantee_judge() answers "may this recipient's mail be sent to this host over this very
 * connection?". Only its GUARANTEE_ACCEPTABLE opens the way to MAIL. guarantee_conclude() then says
 * what becomes of the recipient when all hosts of an attempt have shown what they are. Pure: no
 * sockets, clocks or storage; any thread. */
#ifndef GATEWAY_GUARANTEE_JUDGE_H
#define GATEWAY_GUARANTEE_JUDGE_H

#include "gateway/guarantee/fingerprint.h"
#include "mail/buffer.h"
#include "mail/envelope.h"
#include "mail/outcome.h"

/* `policy` of the recipient's domain, or the `tls` key of its route (which only raises). Ordered by
 * strength for display only: requirements add up, each is judged on its own. */
enum guarantee_policy {
    GUARANTEE_POLICY_NONE = 0, /* do not even try TLS unless something requires it */
    GUARANTEE_POLICY_MAY,      /* opportunistic: the default */
    GUARANTEE_POLICY_ENCRYPT,
    GUARANTEE_POLICY_DANE,
    GUARANTEE_POLICY_VERIFY,
    /* One of the digests that it names is that of the certificate or of its key, whatever chain,
     * name and dates say. That authenticates nothing for level verified and nothing for REQUIRETLS,
     * and DANE is no match for it. */
    GUARANTEE_POLICY_FINGERPRINT,
};
const char *guarantee_policy_name(enum guarantee_policy p); /* "none", "may", ... */
/* The words that stand alone; "fingerprint" needs what guarantee_fingerprints_parse() reads. */
NODISCARD bool guarantee_policy_parse(struct slice in, enum guarantee_policy *out);

/* What is required of one recipient's delivery, at this attempt. */
struct guarantee_requirement {
    enum level level;             /* the stored flag; LEVEL_OFF where an exemption lifts it */
    enum guarantee_policy policy; /* of the recipient's domain */
    enum guarantee_policy route;  /* the route's tls key; MAY where there is no route */
    /* Where that is FINGERPRINT; borrowed, set behind guarantee_required(). NULL matches nothing.
     */
    const struct guarantee_fingerprints *policy_fingerprints, *route_fingerprints;
    bool requiretls;       /* RFC 8689 */
    bool ignores_promises; /* TLS-Required: No, or release --force: DANE and MTA-STS failures do
                              not count */
    bool ignores_memory;   /* released, or TLS-Required: No: that TLS was there before binds not */
};
/* The requirement of a stored recipient: applies the exemption to the flag. */
struct guarantee_requirement guarantee_required(enum level level, enum exemption exemption,
                                                bool requiretls, enum guarantee_policy policy,
                                                enum guarantee_policy route);
/* Does the flag, REQUIRETLS or a policy (or route) of encrypt and above require anything? Where
 * not, rules 3 and 4 never stop. */
bool guarantee_demands_tls(const struct guarantee_requirement *r);

/* What DNS says about DANE at one host (section 5). */
enum guarantee_tlsa {
    GUARANTEE_TLSA_NONE, /* none published, securely denied, or insecure */
    GUARANTEE_TLSA_USABLE,
    GUARANTEE_TLSA_UNUSABLE, /* published, all unusable: TLS required, unauthenticated */
    GUARANTEE_TLSA_ERROR,    /* look-up failed, timed out or bogus */
};

/* What the recipient domain's MTA-STS policy says of one host (section 6). It binds hosts without
 * usable TLSA records; that a host is listed makes its name authentic wherever it counts. */
enum guarantee_sts {
    GUARANTEE_STS_NONE,      /* no policy in force, or none applies (named host, literal) */
    GUARANTEE_STS_TESTING,   /* report only: as NONE for every verdict */
    GUARANTEE_STS_COVERS,    /* enforced, and it lists the host */
    GUARANTEE_STS_EXCLUDES,  /* enforced, and it does not list the host */
    GUARANTEE_STS_UNKNOWN,   /* none is cached and what kept us from it may pass (TXT failed or
                                bogus, timeout, 5xx) */
    GUARANTEE_STS_OUR_FAULT, /* none is cached and a fault of our own kept us from it: defers where
                                the policy is needed, without patience; elsewhere as UNKNOWN */
};

/* How far contact with the host came. */
enum guarantee_contact {
    GUARANTEE_UNTRIED,    /* not connected yet */
    GUARANTEE_OUR_FAULT,  /* resolver, TLS engine, descriptors, memory: never counts against the
                             destination; see `cause` */
    GUARANTEE_NO_CONTACT, /* section 2, row "unreachable", EHLO refused before TLS too; see `cause`
                           */
    GUARANTEE_IN_CONTACT, /* greeting and EHLO (or HELO) were accepted */
};

/* What became of TLS on this connection. */
enum guarantee_tls {
    GUARANTEE_TLS_UNTRIED,     /* offered, not tried (policy none and nothing requires it) */
    GUARANTEE_TLS_NOT_OFFERED, /* EHLO without STARTTLS, or HELO only */
    GUARANTEE_TLS_TRY_LATER,   /* STARTTLS answered 454; see `cause` */
    GUARANTEE_TLS_CUT, /* connection lost or timed out after STARTTLS, before the handshake ended */
    GUARANTEE_TLS_REFUSED,     /* STARTTLS answered anything else but 220; see `cause` */
    GUARANTEE_TLS_FAILED,      /* alert, no shared version or cipher, below 1.2, no TLS bytes, bytes
                                  behind the 220; see `cause` */
    GUARANTEE_TLS_ESTABLISHED, /* TLS 1.2 or newer is up */
};

/* What a transaction (or the loss of the connection in it) said about one recipient. */
enum guarantee_answer {
    GUARANTEE_ANSWER_NONE, /* no transaction came to an answer for this recipient here */
    GUARANTEE_ANSWER_DELIVERED,
    GUARANTEE_ANSWER_TEMPORARY, /* 4xx, EHLO refused after TLS, connection lost before the end of
                                   data was sent */
    GUARANTEE_ANSWER_PERMANENT, /* 5xx, or a limit of the host (SIZE, 8BITMIME) that our message
                                   does not fit */
    GUARANTEE_ANSWER_UNDECIDED, /* lost after the end of data, before the whole reply (RFC 1047) */
};

/* One address of one MX host, and all it showed to one recipient in one attempt. Texts are
 * borrowed. */
struct guarantee_host {
    const char
        *name; /* host name as in the MX record, A-label; for a literal next hop the literal */
    const char *address; /* textual address connected to; "" when none */
    uint16_t port;
    unsigned preference;
    int64_t at;          /* wall clock seconds of the last word heard, for the evidence */
    bool is_name_secure; /* the MX look-up was secure (a secure denial of MX is one), or the name
                            was configured (route) */
    bool is_recalled;    /* not tried in this attempt: `cause` is what an earlier one found */
    bool is_literal;     /* reached by address literal: never verified */
    bool is_configured;  /* a route names it: no MX look-up was made. Words only */
    bool is_local_route; /* named route and the connected address is loopback or a Unix socket:
                            every requirement counts as met */
    enum guarantee_tlsa tlsa;
    bool is_tlsa_insecure; /* NONE: records are there and do not count. Words only */
    enum guarantee_sts sts;
    bool is_sts_listed;     /* TESTING: the policy lists the host. Words only */
    const char *sts_domain; /* whose policy, for the words; NULL or "": "the recipient's domain" */
    const char
        *sts_detail; /* why NONE, UNKNOWN or OUR_FAULT; NULL or "" when nothing is to be said */
    enum guarantee_contact contact;
    enum guarantee_tls tls;
    const char *keywords;   /* EHLO keywords offered before TLS, "" when none: evidence */
    const char *protocol;   /* "TLSv1.3" when established, else "" */
    const char *cipher;     /* when established */
    const char *key_digest; /* when established: SHA-256 of the server's public key, in hex as in
                               fingerprint.h; NULL or "": none */
    const char *certificate_digest; /* and of its certificate */
    bool is_dane_matched; /* a usable TLSA record matched this connection's certificate, within TTL
                           */
    bool
        is_pkix_valid; /* WebPKI chain and name valid for the MX host name or the next-hop domain */
    bool is_pkix_for_domain; /* that name is the next-hop domain: counts for `verify` after an
                              * insecure MX look-up too, where the host name may be an attacker's */
    bool is_pkix_for_host; /* that name is (also) the MX host name itself: what MTA-STS asks for */
    bool is_smarthost; /* reached by route "*": level verified passes only where the mail goes on
                          with REQUIRETLS */
    bool offers_requiretls;        /* in the EHLO after TLS */
    const char *certificate_error; /* OpenSSL's words where a verification failed, else "" */
    struct outcome cause; /* the words for contact and tls facts that need some (the reply, the
                             alert, the errno); status 0 when unset */
    /* What is remembered of the host. No remembered fact ever permits. */
    int64_t tls_seen_at;    /* wall clock second of the last of many looks with TLS; 0: nothing such
                               is remembered. Words only ("downgrade") */
    unsigned tls_looks;     /* how many looks these were, for the words; 0: not said */
    bool is_tls_remembered; /* delivery.remember_tls applies: without a demand the mail is deferred
                               rather than sent in clear. Policy or route none is not bound */
    enum guarantee_answer answer;
    struct outcome reply; /* when answer is not NONE */
};

/* Kinds of section 2. */
enum guarantee_kind {
    GUARANTEE_ACCEPTABLE, /* what is required of this recipient at this host is there: MAIL may be
                             sent */
    GUARANTEE_NOT_YET, /* nothing against it so far, but MAIL may not be sent: go on (connect, EHLO,
                          STARTTLS) */
    GUARANTEE_OWN_FAULT,
    GUARANTEE_UNREACHABLE,
    GUARANTEE_TLS_UNKNOWN, /* the host is not used */
    GUARANTEE_PASSING_TROUBLE,
    GUARANTEE_NOT_OFFERED, /* from here on: final TLS verdicts */
    GUARANTEE_REFUSED,
    GUARANTEE_HANDSHAKE_FAILED,
    GUARANTEE_NOT_AUTHENTICATED,
    GUARANTEE_NO_REQUIRETLS,
};
bool guarantee_is_final(
    enum guarantee_kind kind); /* a final TLS verdict: NOT_OFFERED and below it */
const char *guarantee_kind_name(enum guarantee_kind kind);

struct guarantee_verdict {
    enum guarantee_kind kind;
    /* For every kind but ACCEPTABLE and NOT_YET: the words and status (INTERFACE.md "The notice"),
     * temporary class 4 for UNREACHABLE, OWN_FAULT, TLS_UNKNOWN, PASSING_TROUBLE and 5.7.x for
     * final verdicts; host filled in. */
    struct outcome outcome;
    /* ACCEPTABLE: what the delivery may claim in log and receipt. */
    enum {
        GUARANTEE_VERIFIED_NO,
        GUARANTEE_VERIFIED_DANE,
        GUARANTEE_VERIFIED_STS,
        GUARANTEE_VERIFIED_PKIX
    } verified;
    bool is_by_sts; /* the enforced MTA-STS policy is what stands in the way: it does not list the
                       host, or the certificate is not valid for its name */
};

/* May be asked at any point of a connection's life, with the facts known so far. An established TLS
 * is judged by what the connection is, not by what was hoped. Before connecting, TLS_UNKNOWN and
 * NOT_AUTHENTICATED (a host that the MTA-STS policy does not list) say that the host is not to be
 * used for this recipient; every kind but ACCEPTABLE and NOT_YET does. */
struct guarantee_verdict guarantee_judge(const struct guarantee_requirement *r,
                                         const struct guarantee_host *h);

/* Should STARTTLS be said where it is offered? Yes, always, but for policy or route none with
 * nothing that requires TLS. */
bool guarantee_wants_starttls(const struct guarantee_requirement *r,
                              const struct guarantee_host *h);
/* After TLS was refused (true) or the handshake failed or was cut (false): may this recipient go on
 * in clear: on the same connection (refused) or on a new one (failed, cut)? The same answer as
 * guarantee_judge() with the TLS fact set. */
bool guarantee_may_go_clear(const struct guarantee_requirement *r, const struct guarantee_host *h);

/* What the look-up of the destination itself said (section 3, last bullets). */
enum guarantee_destination {
    GUARANTEE_DESTINATION_FOUND,
    GUARANTEE_DESTINATION_NULL_MX,       /* 5.1.10 */
    GUARANTEE_DESTINATION_NO_SUCH,       /* 5.1.2 */
    GUARANTEE_DESTINATION_OURSELVES,     /* 5.4.6, best host is ourselves */
    GUARANTEE_DESTINATION_BLOCKED,       /* 5.4.6, all addresses in delivery.blocked_networks */
    GUARANTEE_DESTINATION_LOOKUP_FAILED, /* defer 4.4.3; patience does not apply */
    GUARANTEE_DESTINATION_OUR_FAULT,     /* defer 4.3.x */
};

struct guarantee_attempt {
    enum guarantee_destination destination;
    const char *domain; /* of the recipient (or the route's next hop), for the words */
    const char
        *detail; /* what the resolver said, "" when nothing; for LOOKUP_FAILED and OUR_FAULT */
    const struct guarantee_host
        *hosts; /* in the order tried; hosts not tried because one decided are left out */
    size_t count;
    int64_t trouble_since;    /* seconds; stored with the recipient: since when passing trouble has
                                 been its result on end; 0: was not */
    int64_t now;              /* seconds */
    int64_t patience;         /* seconds */
    bool are_stops_suspended; /* the breaker: so many destinations lost TLS at once that the fault
                                 is ours; a stop becomes a deferral, trouble_since is kept and
                                 does not begin */
};

enum guarantee_decision {
    GUARANTEE_DELIVERED,
    GUARANTEE_FAIL,
    GUARANTEE_DEFER,
    GUARANTEE_STOP,
};

struct guarantee_conclusion {
    enum guarantee_decision decision;
    struct outcome outcome;   /* a stop's: of the most preferred host with a TLS verdict */
    enum guarantee_kind kind; /* of the host whose outcome this is */
    int64_t trouble_since;    /* to be stored: kept, begun now, or 0 */
    int64_t patience_ends_at; /* DEFER under rule 3 with a demand: an attempt is to be scheduled for
                                 this second; else 0 */
    bool is_force_needed; /* STOP: the destination's own DANE or MTA-STS stands in the way: release
                             needs --force */
    bool is_flag_met; /* STOP: what the sender's flag demands was there; policy or REQUIRETLS alone
                         is the cause */
    /* STOP: the same of the other lines; each that is not met is a cause. */
    bool is_requiretls_met, is_policy_met, is_route_met;
    bool is_release_refused; /* STOP: policy or REQUIRETLS is the cause (also without the flag, and
                                with --force, it would stop) */
    bool is_by_sts;    /* STOP or DEFER: as in the verdict of the host whose outcome this is */
    bool is_downgrade; /* the host whose outcome this is has tls_seen_at, and now no TLS: STOP,
                          or DEFER that is not for passing trouble (454, cut handshake) */
    bool is_suspended; /* DEFER in place of a STOP, as stops are suspended */
};

struct guarantee_conclusion guarantee_conclude(const struct guarantee_requirement *r,
                                               const struct guarantee_attempt *attempt);

/* Dry run: would this recipient have been stopped with the flag on, and with which words? `r` is
 * the requirement as the flag has it; the attempt's hosts may hold the answers of a delivery made
 * without it, in clear too. Answers on what was seen: a host that the delivery did not come to try
 * and that is not in the list does not count, one that is listed as UNTRIED makes it false, as does
 * trouble that may pass. `out` is written where true. */
bool guarantee_would_stop(const struct guarantee_requirement *r,
                          const struct guarantee_attempt *attempt, struct outcome *out);

/* What each host showed, one line each (name, address, port, time, what it offered, which alert it
 * sent), for the notice and for `held show`; English, never translated. Appends to out up to its
 * ceiling and then stops at a line's end. */
void guarantee_evidence(const struct guarantee_requirement *r,
                        const struct guarantee_attempt *attempt, struct buffer *out);
/* What was required, in words: "encrypted transport (TLS 1.2 or newer), by the sender's guarantee".
 */
void guarantee_required_words(const struct guarantee_requirement *r, char *out, size_t size);
/* What stopped it: the same, without what was met. A guarantee that was kept is not to be blamed,
 * nor switched off; and where policy or REQUIRETLS is the cause it is said which. */
void guarantee_stop_words(const struct guarantee_requirement *r,
                          const struct guarantee_conclusion *conclusion, char *out, size_t size);

#endif
