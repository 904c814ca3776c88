/* held.c - held list, show, drop. */
#include "queue/held.h"

#include <errno.h>
#include <string.h>

#include "gateway/control/message.h"

/* Messages read in one turn of the loop: a few milliseconds. */
#define SLICE_MESSAGES 100

/* Does the message belong to the user asked for: is it his, or is one of its flags? */
static bool is_of(const struct command *c, const struct queue_message *m,
                  const struct queue_recipient *recipients, size_t count)
{
    struct address user;
    for (size_t i = 0; i <= count; i++) {
        const char *text = i == count ? m->user : recipients[i].owner;
        if (address_parse(slice_of(text), &user) == ADDRESS_OK && address_equal(&user, &c->address))
            return true;
    }
    return false;
}

static bool list_message(void *context, const struct queue_message *m,
                         const struct queue_recipient *recipients, size_t count)
{
    struct command *c = context;
    if (c->address.text[0] && !is_of(c, m, recipients, count))
        return true;
    json_t *message = message_json(m, recipients, count, MESSAGE_HELD, false);
    if (message)
        answer_element(c, message);
    return !c->is_over;
}

static void list_slice(struct command *c)
{
    c->after = queue_held_walk(c->host->queue, c->after, SLICE_MESSAGES, list_message, c);
    if (c->after == 0)
        answer_end_list(c);
}

/* Who is no user any more may still have mail here; where there is none, the address was misspelt
 * rather than spared. */
static void list_slice_of_nobody(struct command *c)
{
    c->after = queue_held_walk(c->host->queue, c->after, SLICE_MESSAGES, list_message, c);
    if (c->after != 0)
        return;
    if (c->has_elements)
        answer_end_list(c);
    else
        answer_error(c, EXIT_REFUSED, "%s: no such user", c->address.text);
}

void held_list(struct command *c)
{
    bool is_user = true;
    if (argument_text(c, "user")) {
        if (!argument_address(c, "user", &c->address) || !user_find_own(c, &is_user))
            return;
    }
    command_begin_list(c, is_user ? list_slice : list_slice_of_nobody);
}

void held_show(struct command *c)
{
    if (argument_id(c))
        answer_message(c, MESSAGE_HELD);
}

static void dropped(void *context, int error)
{
    struct command *c = context;
    if (!command_resume(c))
        return;
    if (error == 0) {
        json_t *result = json_object();
        json_put(result, "id", json_id(c->id));
        answer_ok(c, result);
    } else if (error == -ENOENT) {
        answer_error(c, EXIT_REFUSED, "%s: no such held message", argument_text(c, "id"));
    } else {
        answer_queue_error(c, error);
    }
}

void held_drop(struct command *c)
{
    if (!argument_id(c))
        return;
    command_wait(c);
    queue_drop(c->host->queue, c->id, &c->host->poster, dropped, c);
}
