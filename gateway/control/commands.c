#include "gateway/control/commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/control/answer.h"
#include "mail/id.h"

/* An answer waits here until the owner takes it; a slice of a listing is far below. */
#define TEXT_CEILING ((size_t)256 * 1024 * 1024)

static const struct command_row {
    const char *name;
    void (*run)(struct command *c);
    bool is_change; /* to be logged */
} rows[] = {
    {"user add", user_add, true},
    {"user set", user_set, true},
    {"user list", user_list, false},
    {"user show", user_show, false},
    {"user remove", user_remove, true},
    {"user alias", user_alias, true},
    {"user unalias", user_unalias, true},
    {"guarantee", guarantee_set, true},
    {"forward add", forward_add, true},
    {"forward remove", forward_remove, true},
    {"forward list", forward_list, false},
    {"queue list", queue_list, false},
    {"queue show", queue_show, false},
    {"queue retry", queue_retry_now, true},
    {"queue remove", queue_remove_message, true},
    {"held list", held_list, false},
    {"held show", held_show, false},
    {"held drop", held_drop, true},
    {"release", release, true},
    {"check", check, false},
    {"exception add", exception_add, true},
    {"exception remove", exception_remove, true},
    {"exception list", exception_list, false},
    {"posture", posture_show, false},
    {"report dry-run", report_dry_run, false},
    {"status", status, false},
    {"sts list", sts_list, false},
    {"sts purge", sts_purge, true},
};

/* ---- arguments ---- */

const char *argument_text(const struct command *c, const char *key)
{
    return json_string_value(json_object_get(c->request, key));
}

bool argument_flag(const struct command *c, const char *key)
{
    return json_is_true(json_object_get(c->request, key));
}

bool argument_address(struct command *c, const char *key, struct address *out)
{
    const char *text = argument_text(c, key);
    if (!text) {
        answer_error(c, EXIT_USAGE, "%s is missing", key);
        return false;
    }
    if (address_parse(slice_of(text), out) == ADDRESS_OK)
        return true;
    answer_error(c, EXIT_USAGE, "\"%s\" is no mail address", text);
    return false;
}

/* What stands behind the '@' of an address, so that literals and U-labels need no second reader. */
static bool read_domain(const char *given, char out[DOMAIN_SIZE])
{
    char text[ADDRESS_SIZE];
    struct address a;
    int printed = snprintf(text, sizeof text, "%s%s", strchr(given, '@') ? "" : "a@", given);
    if (printed >= (int)sizeof text)
        return false;
    size_t len = strlen(text);
    if (text[len - 1] == '.') /* as DNS tools write it */
        text[len - 1] = '\0';
    return address_parse(slice_of(text), &a) == ADDRESS_OK &&
           slice_copy(slice_of(address_domain(&a)), out, DOMAIN_SIZE);
}

bool argument_domain(struct command *c, const char *key, char out[DOMAIN_SIZE])
{
    const char *given = argument_text(c, key);
    if (given && read_domain(given, out))
        return true;
    if (given)
        answer_error(c, EXIT_USAGE, "\"%s\" is no domain and no mail address", given);
    else
        answer_error(c, EXIT_USAGE, "%s is missing", key);
    return false;
}

bool argument_id(struct command *c)
{
    const char *text = argument_text(c, "id");
    if (text && id_parse(slice_of(text), &c->id))
        return true;
    answer_error(c, text ? EXIT_REFUSED : EXIT_USAGE,
                 text ? "%s: no such message" : "%s is missing", text ? text : "id");
    return false;
}

/* ---- turns ---- */

void command_take_turn(struct command *c, void (*run)(struct command *c))
{
    struct command **last = &c->host->turns;
    while (*last)
        last = &(*last)->next_turn;
    *last = c;
    c->my_turn = run;
    if (c->host->turns == c)
        run(c);
}

static void leave_turns(struct command *c)
{
    struct command **at = &c->host->turns;
    bool was_first = *at == c;
    while (*at && *at != c)
        at = &(*at)->next_turn;
    if (!*at)
        return;
    *at = c->next_turn;
    c->next_turn = NULL;
    if (was_first && c->host->turns)
        c->host->turns->my_turn(c->host->turns);
}

/* ---- life ---- */

static void discard(struct command *c)
{
    struct command_host *h = c->host;
    leave_turns(c);
    if (c->free_state)
        c->free_state(c->state);
    json_decref(c->request);
    buffer_free(&c->text);
    free(c);
    if (--h->count == 0 && h->emptied)
        h->emptied(h->emptied_context);
}

void command_free(struct command *c)
{
    if (!c)
        return;
    c->is_gone = true;
    if (c->is_waiting && c->cancel) {
        c->is_waiting = false;
        c->cancel(c);
    }
    if (!c->is_waiting)
        discard(c);
}

void command_wait(struct command *c)
{
    c->is_waiting = true;
}

bool command_resume(struct command *c)
{
    c->is_waiting = false;
    if (!c->is_gone)
        return true;
    discard(c);
    return false;
}

void command_end(struct command *c)
{
    c->is_over = true;
    leave_turns(c);
    c->progress(c->context);
}

bool command_is_change(const struct command *c)
{
    return c->row && c->row->is_change;
}

static void run_slice(void *argument)
{
    struct command *c = argument;
    if (!command_resume(c))
        return;
    c->slice(c);
    if (!c->is_over)
        c->progress(c->context);
}

/* Posted, not called: others of the same thread get their turn between two slices. */
static void post_slice(struct command *c)
{
    command_wait(c);
    c->host->poster.post(c->host->poster.context, run_slice, c);
}

void command_begin_list(struct command *c, void (*slice)(struct command *c))
{
    c->slice = slice;
    post_slice(c);
}

void command_more(struct command *c)
{
    if (!c->is_over && !c->is_waiting && c->slice)
        post_slice(c);
}

void command_job(struct command *c, void (*work)(void *command), void (*done)(void *command))
{
    command_wait(c);
    if (c->host->job(c->host->job_context, work, done, c))
        return;
    c->is_waiting = false;
    answer_error(c, EXIT_TEMPORARY, "no resources for this now; try again");
}

static void collected(void *command)
{
    struct command *c = command;
    if (!command_resume(c))
        return;
    if (c->error == 0)
        answer_ok(c, json_incref(c->state));
    else if (c->error == -ENOENT && c->address.text[0])
        answer_error(c, EXIT_REFUSED, "%s: no such user", c->address.text);
    else
        answer_queue_error(c, c->error);
}

static void free_json(void *state)
{
    json_decref(state);
}

void command_collect(struct command *c, void (*work)(void *command))
{
    c->state = json_array();
    c->free_state = free_json;
    command_job(c, work, collected);
}

static void run_command(void *argument)
{
    struct command *c = argument;
    if (!command_resume(c))
        return;
    if (!c->row)
        answer_error(c, EXIT_USAGE, "there is no such command");
    else
        c->row->run(c);
}

struct command *command_start(struct command_host *h, struct slice request, uint32_t uid,
                              void (*progress)(void *context), void *context)
{
    json_wipes();
    struct command *c = xalloc(sizeof *c);
    c->host = h;
    c->facts = h->facts;
    c->uid = uid;
    c->progress = progress;
    c->context = context;
    c->request = json_loadb(request.data ? request.data : "", request.len, 0, NULL);
    buffer_init(&c->text, TEXT_CEILING);
    const char *name = argument_text(c, "command");
    for (size_t i = 0; name && i < COUNT_OF(rows) && !c->row; i++) {
        if (strcmp(rows[i].name, name) == 0)
            c->row = &rows[i];
    }
    h->count++;
    command_wait(c);
    h->poster.post(h->poster.context, run_command, c);
    return c;
}

struct buffer *command_text(struct command *c)
{
    return &c->text;
}

bool command_is_over(const struct command *c)
{
    return c->is_over;
}
