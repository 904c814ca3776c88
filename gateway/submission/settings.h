/* settings.h - what the listeners are configured to do: an immutable snapshot, shared between loops
 * by reference count.
 *
 * A session keeps the snapshot it began with. */
#ifndef GATEWAY_SUBMISSION_SETTINGS_H
#define GATEWAY_SUBMISSION_SETTINGS_H

#include "gateway/tls/context.h"
#include "gateway/net/address.h"
#include "mail/envelope.h"

enum submission_mechanism { /* bits */
                            MECHANISM_PLAIN = 1,
                            MECHANISM_LOGIN = 2,
                            MECHANISM_SCRAM_SHA_1 = 4,
                            MECHANISM_SCRAM_SHA_256 = 8,
                            MECHANISM_SCRAM_SHA_256_PLUS = 16,
};

enum submission_tls { SUBMISSION_STARTTLS, SUBMISSION_IMPLICIT, SUBMISSION_OPTIONAL };

/* Configuration guarantee.at_rcpt: whether a recipient that would be stopped is refused at RCPT. */
enum submission_at_rcpt {
    SUBMISSION_AT_RCPT_OFF,
    SUBMISSION_AT_RCPT_KNOWN, /* by what is remembered of its hosts */
    SUBMISSION_AT_RCPT_PROBE, /* or by a look at them now */
};

struct submission_listener {
    char title[64]; /* "submission", "relay", ... */
    enum submission_tls tls;
    bool is_relay; /* `trusted` was set: no AUTH, these networks only, EHLO etc. as a relay */
    size_t trusted_count;
    struct net_network *trusted; /* owned */
    size_t address_count;
    struct net_address *addresses; /* owned; port set */
};

struct submission_settings {
    char hostname[DOMAIN_SIZE];
    struct tls_context *tls; /* owned reference */
    char *assistance;        /* owned; "" none */
    unsigned mechanisms;     /* bits of enum submission_mechanism */
    size_t listener_count;
    struct submission_listener *listeners; /* owned */
    enum level default_level;
    bool exempt_auto_replies;
    enum submission_at_rcpt at_rcpt;
    uint64_t message_size; /* octets */
    unsigned recipients;
    unsigned messages_per_hour, recipients_per_hour; /* per user; 0 no limit */
    unsigned connections, connections_per_address, auth_failures_per_address;
    int64_t command_timeout_ms; /* RFC 5321 4.5.3.2.7: 5 minutes */
    int64_t data_timeout_ms;
    unsigned max_received; /* loop detection; 50 unless said */
};
struct submission_settings *
submission_settings_new(void); /* one reference; all zero but max_received and the timeouts */
struct submission_settings *submission_settings_ref(struct submission_settings *s);
void submission_settings_unref(struct submission_settings *s); /* any thread */

#endif
