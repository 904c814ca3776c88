/* disposition.h - from the judge's conclusion to what is stored: retry or give up, hold or discard,
 * and who is told (GUARANTEE.md section 4, RFC 3461 section 5, RFC 5321 section 4.5.4.1). Pure but
 * for the accounts it is handed; any thread. */
#ifndef GATEWAY_DELIVERY_DISPOSITION_H
#define GATEWAY_DELIVERY_DISPOSITION_H

#include "gateway/delivery/settings.h"
#include "queue/due.h"

struct disposition_case {
    const struct delivery_settings *settings;
    const struct queue_message *message;
    const struct queue_recipient *recipient;
    const struct guarantee_conclusion *conclusion;
    bool owner_is_sender;  /* the reverse-path is the flag's owner (by address or alias), or no flag
                              applies */
    bool is_dsn_passed_on; /* delivered to a host that offers DSN: success is its to report (RFC
                              3461 section 5.2.2) */
    int64_t now_ms;        /* wall clock */
    uint32_t random;       /* for the jitter */
};
/* Texts of the result borrow from the conclusion's outcome; required, evidence, protocol, cipher,
 * verified, is_relayed, is_local and tls_seen_at are the caller's to add. */
struct queue_result disposition_of(const struct disposition_case *c);

/* When the attempt after this many is due, counted from now, jitter of a tenth either way included:
 * first, doubled each time, at most max. */
int64_t disposition_delay_ms(const struct delivery_settings *s, unsigned attempts, uint32_t random);

/* Is it given up, if it is not delivered now? What is suspended then is to be concluded as the stop
 * it stands for: it would fail unheard of where the stop is held. */
bool disposition_is_over(const struct delivery_settings *s, const struct queue_recipient *r,
                         int64_t now_ms);

/* Is the reverse-path the flag's owner (by address or alias), or is there no flag? Reads the
 * accounts; false where they cannot be read, so that the owner is told whatever NOTIFY says. */
bool disposition_owner_is_sender(struct queue *q, const struct queue_message *m,
                                 const struct queue_recipient *r);

/* Whom a notice about a stop goes to, or one about a delay for which it is suspended: the flag's
 * owner; "" when nobody can be told by mail (GUARANTEE.md section 4). */
const char *disposition_stop_addressee(const struct queue_message *m,
                                       const struct queue_recipient *r, bool owner_is_sender);

#endif
