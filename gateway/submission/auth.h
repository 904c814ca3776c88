/* auth.h - one SASL exchange on the server's side (RFC 4422): who is it that speaks?
 *
 * The one door to libgsasl. An exchange is fed what the client answered and says what to do next:
 * auth_begin(), auth_feed(), auth_run(), auth_result(), and around again while it says AUTH_MORE.
 * One thread at a time; auth_run() may be called on another one (a job off the loop), and should be
 * where auth_is_slow() says so. */
#ifndef GATEWAY_SUBMISSION_AUTH_H
#define GATEWAY_SUBMISSION_AUTH_H

#include "gateway/submission/settings.h"
#include "mail/buffer.h"
#include "queue/account.h"

struct auth_library; /* opaque; libgsasl's context: one for the process, any thread */
struct auth;         /* opaque; one exchange */

NODISCARD struct auth_library *auth_library_new(void); /* NULL: memory, or the library is unfit */
void auth_library_free(struct auth_library *l);        /* NULL is fine; after all its exchanges */

/* "SCRAM-SHA-256-PLUS"; names are compared without case (RFC 4422 asks for upper case, clients do
 * not care). */
const char *auth_mechanism_name(enum submission_mechanism mechanism);
/* Only a mechanism in `offered` is found: libgsasl knows more than we want to speak. False: none.
 */
NODISCARD bool auth_mechanism_find(struct slice name, unsigned offered,
                                   enum submission_mechanism *out);
/* The names of those offered, strongest first, joined by a space. */
void auth_mechanism_list(unsigned offered, char *out, size_t size);

/* Where users are found. `find` must be callable from any thread; 0 or -ENOENT, as
 * queue_account_find(). */
struct auth_directory {
    int (*find)(void *context, const struct address *name, struct queue_account *out);
    void *context;
};

enum auth_result {
    AUTH_MORE,      /* send auth_challenge() and feed the answer */
    AUTH_OK,        /* auth_user() is who it is */
    AUTH_WRONG,     /* credentials, or a channel binding that does not fit */
    AUTH_MALFORMED, /* not what this mechanism speaks */
    AUTH_TROUBLE,   /* our own fault */
};

/* Begins an exchange. binding: 32 octets of tls-exporter (RFC 9266), NULL where SCRAM-SHA-256-PLUS
 * is not offered; copied. It is wanted for SCRAM-SHA-256 too: a client that says "y" (you offered
 * no binding) when it was offered was robbed of the offer. NULL: our own fault. */
NODISCARD struct auth *auth_begin(struct auth_library *l, enum submission_mechanism mechanism,
                                  const uint8_t *binding, const struct auth_directory *directory);
void auth_free(struct auth *a); /* wipes what it held; NULL is fine */

/* Gives the client's answer (still in base64, "" for an empty one), or at the start NULL where
 * there is no initial response. False: not base64; only auth_free() is allowed now. */
NODISCARD bool auth_feed(struct auth *a, const struct slice *base64);
/* Will the next auth_run() derive a key from a password (about a millisecond)? */
bool auth_is_slow(const struct auth *a);
void auth_run(struct auth *a);
enum auth_result auth_result(const struct auth *a);
struct slice auth_challenge(const struct auth *a); /* base64; borrowed until the next auth_feed() */

enum submission_mechanism auth_mechanism(const struct auth *a);
/* The account's own address, whichever alias was the login name. After AUTH_OK. */
const char *auth_user(const struct auth *a);
/* For the log, also after a failure: the account's address if the login name is a user, else "". A
 * name that is no user may be a password typed into the wrong field. */
const char *auth_known_user(const struct auth *a);

/* SASLprep (RFC 4013) of a password as it is stored. False: it holds what no password may (or is
 * not UTF-8, or too long, or empty). */
NODISCARD bool auth_password_prepare(struct slice password, char *out, size_t size);

#endif
