/* ticket.h - the keys that session tickets are sealed with: new ones every twelve hours, the last
 * ones accepted as long again. Not for other rooms.
 *
 * Without this OpenSSL keeps one key as long as the context lives, and who gets hold of it reads
 * every TLS 1.2 session that was ever resumed. */
#ifndef GATEWAY_TLS_TICKET_H
#define GATEWAY_TLS_TICKET_H

#include <openssl/ssl.h>

#include "gateway/tls/scram.h"

struct tls_tickets; /* opaque; any thread */

NODISCARD struct tls_tickets *tls_tickets_new(SSL_CTX *ctx); /* NULL: the library failed */
void tls_tickets_free(struct tls_tickets *t);                /* after the SSL_CTX; NULL is fine */

/* For tests: as if so many seconds had gone by. */
void tls_tickets_age(struct tls_tickets *t, int64_t seconds);

#endif
