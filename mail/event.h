/* event.h - one event, one log line: handed down as a function so that no room includes the log.
 * Any thread.
 *
 * Keys are an enum: one table gives their names, so a grep for "relay=" finds every line that has
 * it. Values are escaped by the sink; credentials and message content are never given to it. */
#ifndef MAIL_EVENT_H
#define MAIL_EVENT_H

#include "mail/base.h"

enum event_severity { EVENT_DEBUG, EVENT_INFO, EVENT_WARNING, EVENT_ERROR };

enum event_key {
    KEY_SESSION,  /* number of the connection, hex */
    KEY_ID,       /* queue ID */
    KEY_LISTENER, /* title of the listen section */
    KEY_CLIENT,   /* address of the peer that connected to us */
    KEY_USER,
    KEY_FROM,
    KEY_TO,
    KEY_SIZE,
    KEY_RECIPIENTS,
    KEY_RELAY, /* MX host[address]:port */
    KEY_DOMAIN,
    KEY_TLS, /* "TLSv1.3", or "none" */
    KEY_CIPHER,
    KEY_VERIFIED, /* no, dane, sts, pkix */
    KEY_LEVEL,
    KEY_EXEMPT, /* cause of an exemption */
    KEY_OWNER,
    KEY_DISPOSITION,
    KEY_STATUS, /* enhanced status code */
    KEY_REPLY,  /* text of a reply or of a local cause */
    KEY_DELAY,  /* seconds since arrival, with milliseconds */
    KEY_ATTEMPTS,
    KEY_NEXT, /* RFC 3339 time of the next attempt */
    KEY_STATE,
    KEY_MECHANISM,
    KEY_MESSAGE_ID,
    KEY_REASON,
    KEY_ERROR,
    KEY_FILE,
    KEY_COMMAND, /* the administrator's, "user add" */
    KEY_UID,     /* of the process that asked for it */
    KEY_SINCE,   /* RFC 3339 time */
    KEY_COUNT,   /* a number of things */
};

struct event_field {
    enum event_key key;
    const char *text; /* used when not NULL */
    int64_t number;   /* else this */
};
#define FIELD(key, value) ((struct event_field){(key), (value), 0})
#define FIELD_NUMBER(key, value) ((struct event_field){(key), NULL, (int64_t)(value)})

/* Handed down by gateway/. `emit` may be called from any thread. */
struct event_sink {
    void (*emit)(void *context, enum event_severity severity, const char *event,
                 const struct event_field *fields, size_t count);
    void *context;
    _Atomic enum event_severity
        threshold; /* events below it need not be built; may change at any time */
};

/* EVENT(sink, EVENT_INFO, "disposition", FIELD(KEY_ID, id), FIELD_NUMBER(KEY_SIZE, n)); a NULL sink
 * is silent. */
#define EVENT(sink, severity, name, ...)                                                           \
    event_emit((sink), (severity), (name), (const struct event_field[]){__VA_ARGS__},              \
               sizeof((const struct event_field[]){__VA_ARGS__}) / sizeof(struct event_field))
void event_emit(const struct event_sink *sink, enum event_severity severity, const char *event,
                const struct event_field *fields, size_t count);
const char *event_key_name(enum event_key key); /* "id", "from", ... */

#endif
