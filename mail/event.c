#include "mail/event.h"

static const char *const names[] = {
    [KEY_SESSION] = "session",
    [KEY_ID] = "id",
    [KEY_LISTENER] = "listener",
    [KEY_CLIENT] = "client",
    [KEY_USER] = "user",
    [KEY_FROM] = "from",
    [KEY_TO] = "to",
    [KEY_SIZE] = "size",
    [KEY_RECIPIENTS] = "recipients",
    [KEY_RELAY] = "relay",
    [KEY_DOMAIN] = "domain",
    [KEY_TLS] = "tls",
    [KEY_CIPHER] = "cipher",
    [KEY_VERIFIED] = "verified",
    [KEY_LEVEL] = "level",
    [KEY_EXEMPT] = "exempt",
    [KEY_OWNER] = "owner",
    [KEY_DISPOSITION] = "disposition",
    [KEY_STATUS] = "status",
    [KEY_REPLY] = "reply",
    [KEY_DELAY] = "delay",
    [KEY_ATTEMPTS] = "attempts",
    [KEY_NEXT] = "next",
    [KEY_STATE] = "state",
    [KEY_MECHANISM] = "mechanism",
    [KEY_MESSAGE_ID] = "message-id",
    [KEY_REASON] = "reason",
    [KEY_ERROR] = "error",
    [KEY_FILE] = "file",
    [KEY_COMMAND] = "command",
    [KEY_UID] = "uid",
    [KEY_SINCE] = "since",
    [KEY_COUNT] = "count",
};
/* KEY_COUNT is a key like the others and the last one. */
_Static_assert(COUNT_OF(names) == KEY_COUNT + 1, "a key without a name");

void event_emit(const struct event_sink *sink, enum event_severity severity, const char *event,
                const struct event_field *fields, size_t count)
{
    if (sink && sink->emit && severity >= sink->threshold)
        sink->emit(sink->context, severity, event, fields, count);
}

const char *event_key_name(enum event_key key)
{
    if ((unsigned)key >= COUNT_OF(names))
        panic("event_key_name: %d", (int)key);
    return names[key];
}
