/* trials.c - report dry-run: what the flag would have stopped, had it been in force. */
#include "queue/trial.h"

#include <errno.h>

#include "gateway/control/answer.h"

static bool list_one(void *context, const struct queue_trial *t)
{
    char status[STATUS_SIZE];
    json_t *finding = json_object();
    json_put(finding, "at", json_time(t->at * 1000));
    json_put(finding, "id", json_id(t->id));
    json_put(finding, "user", json_text(t->user));
    json_put(finding, "recipient", json_text(t->recipient));
    json_put(finding, "status", json_text(status_text(t->status, status)));
    json_put(finding, "reason", json_text(t->reason));
    json_add(context, finding);
    return true;
}

static void list_all(void *command)
{
    struct command *c = command;
    const char *user = c->address.text[0] ? c->address.text : NULL;
    queue_trials_walk(c->host->queue, user, 0, list_one, c->state);
}

/* Who is no user any more may have left findings; where there are none, the address was misspelt
 * rather than its mail safe. */
static void list_all_of_nobody(void *command)
{
    struct command *c = command;
    list_all(c);
    if (json_array_size(c->state) == 0)
        c->error = -ENOENT;
}

void report_dry_run(struct command *c)
{
    bool is_user = true;
    if (argument_text(c, "address") &&
        (!argument_address(c, "address", &c->address) || !user_find_own(c, &is_user)))
        return;
    command_collect(c, is_user ? list_all : list_all_of_nobody);
}
