/* queued.c - queue list, show, retry, remove. */
#include <errno.h>
#include <stdlib.h>

#include "gateway/control/message.h"
#include "mail/date.h"
#include "queue/held.h"

/* Messages read in one turn of the loop: a few milliseconds. */
#define SLICE_MESSAGES 100

static bool list_message(void *context, const struct queue_message *m,
                         const struct queue_recipient *recipients, size_t count)
{
    struct command *c = context;
    json_t *message = message_json(m, recipients, count, MESSAGE_QUEUE, false);
    if (message)
        answer_element(c, message);
    return !c->is_over;
}

static void list_slice(struct command *c)
{
    c->after = queue_walk(c->host->queue, c->after, SLICE_MESSAGES, list_message, c);
    if (c->after == 0)
        answer_end_list(c);
}

void queue_list(struct command *c)
{
    command_begin_list(c, list_slice);
}

void queue_show(struct command *c)
{
    if (argument_id(c))
        answer_message(c, MESSAGE_QUEUE);
}

static void message_changed(void *context, int error)
{
    struct command *c = context;
    if (!command_resume(c))
        return;
    if (error == 0) {
        json_t *result = json_object();
        json_put(result, "id", c->id ? json_id(c->id) : json_null());
        json_put(result, "running", json_boolean(c->facts.started_at != 0));
        answer_ok(c, result);
    } else if (error == -ENOENT) {
        answer_error(c, EXIT_REFUSED, "%s: no such message", argument_text(c, "id"));
    } else {
        answer_queue_error(c, error);
    }
}

/* Does some recipient wait for an attempt? If not, why is answered. */
static bool has_waiting(struct command *c)
{
    struct queue_recipient *recipients = NULL;
    size_t count = 0, held = 0, waiting = 0;
    int error = queue_recipients_read(c->host->queue, c->id, &recipients, &count);
    for (size_t i = 0; error == 0 && i < count; i++) {
        enum queue_state state = recipients[i].state;
        held += state == QUEUE_HELD;
        waiting += state == QUEUE_QUEUED || state == QUEUE_DEFERRED;
    }
    queue_recipients_free(recipients, count);
    if (error != 0 && error != -ENOENT)
        answer_queue_error(c, error);
    else if (held > 0 && waiting == 0)
        answer_error(c, EXIT_REFUSED,
                     "nothing of %s waits; %zu recipient%s held: see sealpostctl release",
                     argument_text(c, "id"), held, held == 1 ? " is" : "s are");
    else if (waiting == 0)
        answer_error(c, EXIT_REFUSED, "%s: no such message", argument_text(c, "id"));
    return waiting > 0;
}

void queue_retry_now(struct command *c)
{
    c->id = 0; /* all */
    if (argument_text(c, "id") && (!argument_id(c) || !has_waiting(c)))
        return;
    command_wait(c);
    queue_retry(c->host->queue, c->id, date_now_ms(), &c->host->poster, message_changed, c);
}

void queue_remove_message(struct command *c)
{
    if (!argument_id(c))
        return;
    command_wait(c);
    queue_remove(c->host->queue, c->id, &c->host->poster, message_changed, c);
}
