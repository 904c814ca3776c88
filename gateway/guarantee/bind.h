/* bind.h - which sender's flag binds a recipient, and which exemption lifts it (GUARANTEE.md
 * section 1).
 *
 * Asked once per recipient before 250 is said; the answer is stored with the recipient and never
 * asked again. Pure but for the directory handed in; any thread. */
#ifndef GATEWAY_GUARANTEE_BIND_H
#define GATEWAY_GUARANTEE_BIND_H

#include "mail/envelope.h"
#include "mail/header.h"

/* A user as far as the guarantee cares. */
struct guarantee_user {
    char address[ADDRESS_SIZE]; /* the account's own address, whichever alias was looked up */
    enum level level;           /* as it stands now, --for and default_level already applied */
    bool is_locked;             /* the user may not lower it */
    bool is_dry_run;            /* the flag is only tried out: it counts as off */
};

/* How the accounts are asked. Functions must not block for long; they are called while the session
 * waits. */
struct guarantee_directory {
    void *context;
    /* The user whose address or alias this is. False: none. */
    bool (*find_user)(void *context, const struct address *address, struct guarantee_user *out);
    /* Was (owner, target) set with `forward add`? `owner` is the account's address. */
    bool (*has_forward)(void *context, const char *owner, const struct address *target);
    /* Has the administrator set an exception, not expired, for this owner and the recipient's
     * domain? NULL: there are none. */
    bool (*has_exception)(void *context, const char *owner, const struct address *recipient);
};

struct guarantee_message {
    enum origin origin;                /* NOTICE, REPORT: nothing ever binds it */
    const struct guarantee_user *user; /* the authenticated one; NULL on the relay listener */
    struct address reverse_path;
    bool requiretls; /* MAIL FROM said it: TLS-Required: No then lifts nothing */
    const struct header_facts *header;
    bool exempt_auto_replies; /* configuration guarantee.exempt_auto_replies */
};

struct guarantee_binding {
    enum level level;         /* of the flag that binds, before the exemption */
    enum exemption exemption; /* NONE, AUTO_REPLY, FORWARD, TLS_REQUIRED_NO, EXCEPTION, DRY_RUN */
    char owner[ADDRESS_SIZE]; /* whose flag it is; "" when no user was found */
};

struct guarantee_binding guarantee_bind(const struct guarantee_message *message,
                                        const struct address *recipient,
                                        const struct guarantee_directory *directory);

/* May this user send with this header From (INTERFACE.md: "Sender must own MAIL FROM and header
 * From")? Every From address, and Sender where present, must be the user's address or an alias; a
 * From that is missing, repeated or unreadable is refused. `owns` is asked per address. */
bool guarantee_owns_from(const struct header_facts *header,
                         bool (*owns)(void *context, const struct address *a), void *context);

#endif
