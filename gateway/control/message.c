#include "gateway/control/message.h"

#include <errno.h>

static bool is_in_view(const struct queue_recipient *r, enum message_view view)
{
    switch (r->state) {
    case QUEUE_QUEUED:
    case QUEUE_DEFERRED:
        return view == MESSAGE_QUEUE;
    case QUEUE_HELD:
        return true;
    case QUEUE_FAILED:
    case QUEUE_DELIVERED:
    case QUEUE_DISCARDED:
        return false; /* only its notice is still to be made */
    }
    panic("state %d", (int)r->state);
}

static const char *release_name(const struct queue_recipient *r)
{
    if (r->is_release_refused)
        return "refused";
    return r->is_force_needed ? "force" : "allowed";
}

static void put_reason(json_t *out, const struct queue_recipient *r)
{
    char status[STATUS_SIZE];
    bool was_tried = r->outcome.status.class != 0;
    json_put(out, "reason", was_tried ? json_text(r->outcome.text) : json_null());
    json_put(out, "status",
             was_tried ? json_text(status_text(r->outcome.status, status)) : json_null());
}

static void put_whole(json_t *out, const struct queue_recipient *r)
{
    json_put(out, "owner", json_text_or_null(r->owner));
    json_put(out, "guarantee", json_text(level_name(r->level)));
    json_put(out, "exemption", json_text_or_null(exemption_name(r->exemption)));
    json_put(out, "last_attempt_at", json_time(r->last_attempt_at_ms));
    json_put(out, "mx", json_text_or_null(r->outcome.mx));
    json_put(out, "mx_address", json_text_or_null(r->outcome.address));
    if (r->state == QUEUE_HELD) {
        json_put(out, "required", json_text_or_null(r->required));
        json_put(out, "evidence", json_text_or_null(r->evidence));
    }
}

static json_t *recipient_json(const struct queue_recipient *r, enum message_view view,
                              bool is_whole)
{
    json_t *out = json_object();
    json_put(out, "address", json_text(r->address));
    if (view == MESSAGE_QUEUE) {
        json_put(out, "state", json_text(queue_state_name(r->state)));
        json_put(out, "attempts", json_integer(r->attempts));
        json_put(out, "next_attempt_at", json_time(r->due_at_ms));
    }
    put_reason(out, r);
    if (r->state == QUEUE_HELD) {
        json_put(out, "stopped_at", json_time(r->stopped_at_ms));
        json_put(out, "expires_at", json_time(r->expires_at_ms));
        json_put(out, "release", json_text(release_name(r)));
        json_put(out, "notice", json_boolean(!r->is_unnotifiable));
    }
    if (is_whole)
        put_whole(out, r);
    return out;
}

const char *message_user(const struct queue_message *m, const struct queue_recipient *recipients,
                         size_t count)
{
    if (m->user[0])
        return m->user;
    for (size_t i = 0; i < count; i++) {
        if (recipients[i].owner[0])
            return recipients[i].owner;
    }
    return "";
}

/* The earliest of a time of the held recipients. */
static int64_t earliest(const struct queue_recipient *recipients, size_t count, bool is_expiry)
{
    int64_t found = 0;
    for (size_t i = 0; i < count; i++) {
        const struct queue_recipient *r = &recipients[i];
        int64_t at = is_expiry ? r->expires_at_ms : r->stopped_at_ms;
        if (r->state == QUEUE_HELD && (found == 0 || at < found))
            found = at;
    }
    return found;
}

static const char *origin_name(enum origin o)
{
    switch (o) {
    case ORIGIN_SUBMISSION:
        return "submission";
    case ORIGIN_RELAY:
        return "relay";
    case ORIGIN_NOTICE:
        return "notice";
    case ORIGIN_REPORT:
        return "report";
    }
    panic("origin %d", (int)o);
}

json_t *message_json(const struct queue_message *m, const struct queue_recipient *recipients,
                     size_t count, enum message_view view, bool is_whole)
{
    json_t *list = NULL;
    for (size_t i = 0; i < count; i++) {
        if (!is_in_view(&recipients[i], view))
            continue;
        if (!list)
            list = json_array();
        json_add(list, recipient_json(&recipients[i], view, is_whole));
    }
    if (!list)
        return NULL;
    json_t *out = json_object();
    json_put(out, "id", json_id(m->id));
    json_put(out, "sender", json_text(m->reverse_path));
    json_put(out, "user", json_text_or_null(message_user(m, recipients, count)));
    json_put(out, "size", json_integer((json_int_t)m->size));
    json_put(out, "arrived_at", json_time(m->arrived_at_ms));
    if (view == MESSAGE_HELD) {
        json_put(out, "stopped_at", json_time(earliest(recipients, count, false)));
        json_put(out, "expires_at", json_time(earliest(recipients, count, true)));
    }
    if (is_whole) {
        json_put(out, "origin", json_text(origin_name(m->origin)));
        json_put(out, "envid", json_text_or_null(m->envid));
    }
    json_put(out, "recipients", list);
    return out;
}

void answer_message(struct command *c, enum message_view view)
{
    struct queue_message m = {0};
    struct queue_recipient *recipients = NULL;
    size_t count = 0;
    int error = queue_message_read(c->host->queue, c->id, &m);
    if (error == 0)
        error = queue_recipients_read(c->host->queue, c->id, &recipients, &count);
    json_t *result = error == 0 ? message_json(&m, recipients, count, view, true) : NULL;
    if (result)
        answer_ok(c, result);
    else if (error != 0 && error != -ENOENT)
        answer_queue_error(c, error);
    else if (error == 0 && view == MESSAGE_HELD)
        answer_error(c, EXIT_REFUSED, "%s: nothing of it is held", argument_text(c, "id"));
    else
        answer_error(c, EXIT_REFUSED, "%s: no such message", argument_text(c, "id"));
    queue_recipients_free(recipients, count);
    if (m.reverse_path)
        queue_message_free(&m);
}
