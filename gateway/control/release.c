/* release.c - release ID [RECIPIENT ...] [--recheck | --force], with the refusals of GUARANTEE.md
 * section 4 in words. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/control/message.h"
#include "mail/date.h"
#include "queue/held.h"

struct order {
    enum queue_release_mode mode;
    size_t count;               /* 0: all that are held */
    struct address *recipients; /* owned */
    json_t *released;           /* owned: what the answer names */
};

static void free_order(void *state)
{
    struct order *o = state;
    free(o->recipients);
    json_decref(o->released);
    free(o);
}

static bool read_mode(struct command *c, struct order *o)
{
    const char *mode = argument_text(c, "mode");
    o->mode = QUEUE_RELEASE;
    if (!mode)
        return true;
    if (strcmp(mode, "recheck") == 0)
        o->mode = QUEUE_RELEASE_RECHECK;
    else if (strcmp(mode, "force") == 0)
        o->mode = QUEUE_RELEASE_FORCE;
    if (o->mode != QUEUE_RELEASE)
        return true;
    answer_error(c, EXIT_USAGE, "a release is plain, recheck or force, not \"%s\"", mode);
    return false;
}

static bool read_recipients(struct command *c, struct order *o)
{
    const json_t *list = json_object_get(c->request, "recipients");
    o->count = json_array_size(list);
    o->recipients = xalloc((o->count + 1) * sizeof *o->recipients);
    for (size_t i = 0; i < o->count; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (text && address_parse(slice_of(text), &o->recipients[i]) == ADDRESS_OK)
            continue;
        answer_error(c, EXIT_USAGE, "\"%s\" is no mail address", text ? text : "");
        return false;
    }
    return true;
}

/* The recipients of the message as they are now; an error is answered. */
static bool read_message(struct command *c, struct queue_recipient **recipients, size_t *count)
{
    int error = queue_recipients_read(c->host->queue, c->id, recipients, count);
    if (error == 0)
        return true;
    if (error == -ENOENT)
        answer_error(c, EXIT_REFUSED, "%s: no such message", argument_text(c, "id"));
    else
        answer_queue_error(c, error);
    return false;
}

static bool is_meant(const struct order *o, const struct queue_recipient *r)
{
    struct address address;
    if (r->state != QUEUE_HELD)
        return false;
    if (o->count == 0)
        return true;
    if (address_parse(slice_of(r->address), &address) != ADDRESS_OK)
        return false;
    for (size_t i = 0; i < o->count; i++) {
        if (address_equal(&address, &o->recipients[i]))
            return true;
    }
    return false;
}

static bool is_held(const struct queue_recipient *recipients, size_t count,
                    const struct address *wanted)
{
    struct address address;
    for (size_t i = 0; i < count; i++) {
        if (recipients[i].state == QUEUE_HELD &&
            address_parse(slice_of(recipients[i].address), &address) == ADDRESS_OK &&
            address_equal(&address, wanted))
            return true;
    }
    return false;
}

/* Why nothing was found to release. */
static void answer_not_held(struct command *c, const struct queue_recipient *recipients,
                            size_t count)
{
    const struct order *o = c->state;
    const char *id = argument_text(c, "id");
    for (size_t i = 0; i < o->count; i++) {
        if (!is_held(recipients, count, &o->recipients[i])) {
            answer_error(c, EXIT_REFUSED, "%s: %s is not held there; nothing was released", id,
                         o->recipients[i].text);
            return;
        }
    }
    answer_error(c, EXIT_REFUSED, "%s: nothing of it is held", id);
}

/* Which recipient stands in the way, and what can be done. One line: what people read first. */
static void answer_refused(struct command *c, const struct queue_recipient *recipients,
                           size_t count)
{
    const struct order *o = c->state;
    const char *id = argument_text(c, "id");
    const struct queue_recipient *forced = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct queue_recipient *r = &recipients[i];
        if (!is_meant(o, r))
            continue;
        if (r->is_release_refused) {
            answer_error(c, EXIT_REFUSED,
                         "%s: %s cannot be released: a policy of this gateway, or REQUIRETLS asked "
                         "for by the sender, is the cause (%s); change the policy or wait for the "
                         "destination, then use --recheck; nothing was released",
                         id, r->address, r->outcome.text);
            return;
        }
        if (r->is_force_needed && !forced)
            forced = r;
    }
    if (!forced)
        answer_error(c, EXIT_TEMPORARY, "%s changed in between; try again", id);
    else
        answer_error(c, EXIT_REFUSED,
                     "%s: %s needs --force: the destination itself publishes that its mail must be "
                     "protected (DANE or MTA-STS) and did not meet that (%s); nothing was released",
                     id, forced->address, forced->outcome.text);
}

static void answer_released(struct command *c)
{
    struct order *o = c->state;
    const char *mode = argument_text(c, "mode");
    json_t *result = json_object();
    json_put(result, "id", json_id(c->id));
    json_put(result, "mode", json_text(mode ? mode : "release"));
    json_put(result, "recipients", json_incref(o->released));
    json_put(result, "running", json_boolean(c->facts.started_at != 0));
    answer_ok(c, result);
}

static void released(void *context, int error)
{
    struct command *c = context;
    struct queue_recipient *recipients = NULL;
    size_t count = 0;
    if (!command_resume(c))
        return;
    if (error == 0) {
        answer_released(c);
        return;
    }
    if (error != -EPERM && error != -ENOENT) {
        answer_queue_error(c, error);
        return;
    }
    if (!read_message(c, &recipients, &count))
        return;
    if (error == -EPERM)
        answer_refused(c, recipients, count);
    else
        answer_not_held(c, recipients, count);
    queue_recipients_free(recipients, count);
}

/* Delivery begins the moment the release is committed, so who is meant is noted before. */
static bool note_meant(struct command *c)
{
    struct order *o = c->state;
    struct queue_recipient *recipients = NULL;
    size_t count = 0;
    if (!read_message(c, &recipients, &count))
        return false;
    o->released = json_array();
    for (size_t i = 0; i < count; i++) {
        if (is_meant(o, &recipients[i]))
            json_add(o->released, json_text(recipients[i].address));
    }
    queue_recipients_free(recipients, count);
    return true;
}

void release(struct command *c)
{
    struct order *o = xalloc(sizeof *o);
    c->state = o;
    c->free_state = free_order;
    if (!argument_id(c) || !read_mode(c, o) || !read_recipients(c, o) || !note_meant(c))
        return;
    command_wait(c);
    queue_release(c->host->queue, c->id, o->recipients, o->count, o->mode, date_now_ms(),
                  &c->host->poster, released, c);
}
