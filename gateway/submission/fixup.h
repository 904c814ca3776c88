/* fixup.h - what we change in a header section, and for what we refuse one (RFC 6409 sections 6 and
 * 8, RFC 5321 section 4.4). Pure, any thread.
 *
 * On 587 and 465: Received in front; Bcc, Resent-Bcc, Return-Path and X-Originating-IP gone; Date
 * and Message-ID where they are missing. On the relay listener: Received in front, the rest as it
 * came. */
#ifndef GATEWAY_SUBMISSION_FIXUP_H
#define GATEWAY_SUBMISSION_FIXUP_H

#include "mail/header.h"
#include "mail/command.h"

struct fixup { /* all borrowed */
    const char *hostname;
    const char *id;           /* queue ID in text */
    int64_t at;               /* seconds, wall clock */
    const char *tls_protocol; /* NULL: not over TLS */
    const char *tls_cipher;
    bool is_relay;
    const char
        *only_recipient; /* NULL when there are several: `for` would tell one about another */
};

/* Appends the new section to out; `section` ends in CRLF and comes without the empty line. False at
 * out's ceiling. */
NODISCARD bool fixup_apply(const struct fixup *f, struct slice section,
                           const struct header_facts *facts, struct buffer *out);

#define FIXUP_MESSAGE_ID_SIZE (DOMAIN_SIZE + 64)
/* The Message-ID that a message without one gets, with its angle brackets; returns out. */
const char *fixup_message_id(const struct fixup *f, char out[FIXUP_MESSAGE_ID_SIZE]);

/* Why the section is refused; code 0: it is not. `owns` (the user's addresses) is not asked on the
 * relay listener. */
struct command_error fixup_check(const struct header_facts *facts, unsigned max_received,
                                 bool is_relay,
                                 bool (*owns)(void *context, const struct address *a),
                                 void *context);

#endif
