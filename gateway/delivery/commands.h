/* commands.h - what the client says in a transaction, with the parameters the host offers and no
 * other (RFC 5321, 1870, 6152, 3461, 8689). Pure; any thread.
 *
 * The texts come from the queue, where the grammar was checked before 250 was said. An octet that
 * could end the line is therefore a bug of ours, and these functions panic on it. */
#ifndef GATEWAY_DELIVERY_COMMANDS_H
#define GATEWAY_DELIVERY_COMMANDS_H

#include "gateway/delivery/client.h"

/* Append one command line with its CRLF. `ehlo` is what the EHLO in force offers. False: `out` is
 * at its ceiling. */
NODISCARD bool delivery_say_mail(struct buffer *out, const struct ehlo_facts *ehlo,
                                 const struct client_transaction *t, bool requiretls);
NODISCARD bool delivery_say_rcpt(struct buffer *out, const struct ehlo_facts *ehlo,
                                 const struct client_recipient *r);

#endif
