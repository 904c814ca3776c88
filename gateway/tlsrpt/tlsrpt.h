/* tlsrpt.h - sends what was counted about TLS to the domains that ask for it (RFC 8460).
 *
 * One for the process, on its home loop; all functions are its thread's. Looks for days that have
 * ended, one report for each domain and day, at a point of the first hours after midnight UTC that
 * is the domain's own. What is not sent stays in the store and is tried again until it is 48 hours
 * old. A crash between sending and removing sends once more, with the same report-id. */
#ifndef GATEWAY_TLSRPT_TLSRPT_H
#define GATEWAY_TLSRPT_TLSRPT_H

#include "gateway/dns/dns.h"
#include "mail/event.h"
#include "queue/queue.h"

struct sign_key; /* gateway/tlsrpt/sign.h */

/* Texts and networks are borrowed from the configuration that is in force. */
struct tlsrpt_settings {
    const char *organization;   /* "": off, nothing is looked up or sent */
    const char *contact;        /* address, said in the report */
    const char *from;           /* address the mail comes from */
    const struct sign_key *key; /* signs the mail; NULL: nothing does. Borrowed, too */
    const char *hostname;
    int64_t spread_ms;                 /* reports of a day go out within this time after its end */
    const char *ca_file;               /* for HTTPS; "": the system's */
    int ip_version;                    /* 4, 6, 0: both */
    const struct net_network *blocked; /* nobody there is posted to */
    size_t blocked_count;
};

struct tlsrpt; /* opaque */

struct tlsrpt_options {
    struct loop *loop; /* borrowed until tlsrpt_free(), as the others */
    struct queue *queue;
    struct dns *dns;                        /* until reload */
    const struct tlsrpt_settings *settings; /* copied; what it borrows until reload */
    const struct event_sink *events;        /* may be NULL */
};
/* NULL: no resources. */
NODISCARD struct tlsrpt *tlsrpt_new(const struct tlsrpt_options *o);
/* From now on the old settings and resolver are not used any more. */
void tlsrpt_reload(struct tlsrpt *t, const struct tlsrpt_settings *settings, struct dns *dns);
/* Begins nothing new, and gives up what is on the wire; stopped(context) comes once no commit is
 * under way, possibly from inside this call. Then tlsrpt_free(). */
void tlsrpt_stop(struct tlsrpt *t, void (*stopped)(void *context), void *context);
void tlsrpt_free(struct tlsrpt *t); /* NULL is fine */

#endif
