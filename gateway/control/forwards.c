/* forwards.c - forward add, remove, list. */
#include <errno.h>

#include "gateway/control/answer.h"

static void forward_changed(void *context, int error)
{
    struct command *c = context;
    if (!command_resume(c))
        return;
    if (error == 0) {
        json_t *result = json_object();
        json_put(result, "owner", json_text(c->address.text));
        json_put(result, "target", json_text(c->other.text));
        answer_ok(c, result);
    } else if (error == -EEXIST) {
        answer_error(c, EXIT_REFUSED, "%s is a forward of %s already", c->other.text,
                     c->address.text);
    } else if (error != -ENOENT) {
        answer_queue_error(c, error);
    } else if (user_exists(c)) {
        answer_error(c, EXIT_REFUSED, "%s is no forward of %s", c->other.text, c->address.text);
    }
}

void forward_add(struct command *c)
{
    if (!argument_address(c, "owner", &c->address) || !argument_address(c, "target", &c->other))
        return;
    command_wait(c);
    queue_forward_add(c->host->queue, &c->address, &c->other, &c->host->poster, forward_changed, c);
}

void forward_remove(struct command *c)
{
    if (!argument_address(c, "owner", &c->address) || !argument_address(c, "target", &c->other))
        return;
    command_wait(c);
    queue_forward_remove(c->host->queue, &c->address, &c->other, &c->host->poster, forward_changed,
                         c);
}

static bool list_forward(void *context, const char *owner, const char *target)
{
    json_t *forward = json_object();
    json_put(forward, "owner", json_text(owner));
    json_put(forward, "target", json_text(target));
    json_add(context, forward);
    return true;
}

static void list_forwards(void *command)
{
    struct command *c = command;
    const char *owner = c->address.text[0] ? c->address.text : NULL;
    c->error = queue_forwards_walk(c->host->queue, owner, list_forward, c->state);
}

void forward_list(struct command *c)
{
    if (argument_text(c, "owner")) {
        if (!argument_address(c, "owner", &c->address) || !user_exists(c))
            return;
    }
    command_collect(c, list_forwards);
}
