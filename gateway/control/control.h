/* control.h - the administrator's side: the daemon's socket, and the command that asks it.
 *
 * One request a connection: a JSON document in one line; the answer is one JSON document in one
 * line; then the daemon closes. The same functions carry out a command whether the daemon runs it
 * or sealpostctl does on the store itself (INTERFACE.md, "Commands"). */
#ifndef GATEWAY_CONTROL_CONTROL_H
#define GATEWAY_CONTROL_CONTROL_H

#include "gateway/guarantee/judge.h"
#include "gateway/net/loop.h"
#include "gateway/posture/posture.h"
#include "mail/event.h"
#include "queue/queue.h"

/* What `check` found: every address of every MX host. Texts are borrowed for the call. */
struct control_sight {
    const struct guarantee_host *facts;
    const struct outcome *why; /* not acceptable: why; NULL */
    bool is_tlsa_insecure;     /* TLSA records are there and do not count */
    int verified;              /* as in struct guarantee_verdict */
    const char *key_exchange, *key_digest;
};
struct control_view {
    const char *verdict;           /* "deliverable", "refused", "unknown" */
    const char *level;             /* "none", "encrypt", "dane", "sts", "verify" */
    const struct outcome *outcome; /* why not deliverable; NULL */
    const char *required;          /* what of all that is required was not met; NULL */
    const struct control_sight *sights;
    size_t count;
};
/* view NULL: a reload came between; nothing is known. */
typedef void control_viewed(void *asker, const struct control_view *view);

/* What commands need to know besides the store. Copied. */
struct control_facts {
    enum level default_level;
    bool keeps_sha1; /* make SCRAM-SHA-1 verifiers, too */
    /* auth_password_prepare(): what a password is made before its verifiers are, by the same rules
     * as when somebody logs in with it. Any thread. NULL: passwords cannot be set. */
    bool (*prepare_password)(struct slice password, char *out, size_t size);
    int64_t started_at; /* wall clock seconds; 0: no daemon */
    unsigned (*connections)(
        void *context); /* open client and delivery connections; NULL: no daemon */
    /* How the resolver's self-test went, in words, on the server's loop; NULL: no daemon. */
    void (*resolver)(void *context, char *out, size_t size);
    /* Looks at all hosts of a domain (A-label or literal), as mail of that level would find them.
     * viewed() comes once, on the server's loop, never from inside; until then the look that is
     * returned may be cancelled. NULL: no resources. Both NULL: no daemon. */
    void *(*look)(void *context, const char *domain, enum level level, control_viewed *viewed,
                  void *asker);
    void (*cancel_look)(void *context, void *look);
    /* The domain's MTA-STS policy, and that there was none, is forgotten in memory and in the
     * store; NULL: no daemon, the store is all there is. */
    void (*forget_policy)(void *context, const char *domain);
    struct posture *posture; /* borrowed; NULL: no daemon */
    void *context;
};

struct control_server; /* opaque; loop thread only */
/* Serves on a bound Unix socket (net_bind; mode 0660 and owner are the caller's to set). Peers must
 * be root, the daemon's own user, or in the group that owns the socket; others are refused. */
NODISCARD struct control_server *control_server_new(struct loop *l, int fd, struct queue *q,
                                                    const struct control_facts *facts,
                                                    const struct event_sink *events);
void control_server_update(struct control_server *s,
                           const struct control_facts *facts); /* after a reload */
void control_server_stop(struct control_server *s, void (*stopped)(void *context),
                         void *context); /* open requests are answered first */
void control_server_free(struct control_server *s);

/* sealpostctl, behind its -c and --json options. */
struct control_client {
    const char *socket; /* control_socket */
    const char *state_directory;
    const char *run_as; /* becomes that user (when root) before it opens the store itself */
    uint64_t queue_size;
    struct control_facts facts;
    bool wants_json;
};
/* Carries out argv[0..argc-1] ("user", "add", ...). Returns the exit status of INTERFACE.md: 0, 1,
 * 2, 75. */
int control_command(const struct control_client *c, int argc, char **argv);
/* The help text of a command, or of all (NULL). Returns the exit status: 2, there is no such. */
int control_usage(const char *command);
/* Is help asked for, as in "help user" or "user --help"? Then it is printed (no configuration is
 * needed for that), and *status is set. */
NODISCARD bool control_help(int argc, char **argv, int *status);

#endif
