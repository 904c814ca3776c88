/* exceptions.c - exception add, remove, list: recipient domains that a user's flag does not bind.
 */
#include "queue/exception.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/control/answer.h"
#include "gateway/control/duration.h"
#include "mail/date.h"
#include "mail/domain.h"

struct excepting {
    char domain[DOMAIN_SIZE];
    int64_t until; /* seconds; 0: for good */
    bool replaces; /* another that had not ended */
    struct queue_exception replaced;
};

static json_t *exception_json(const char *user, const char *domain, int64_t until)
{
    json_t *exception = json_object();
    json_put(exception, "user", json_text(user));
    json_put(exception, "domain", json_text(domain));
    json_put(exception, "until", json_time(until * 1000));
    return exception;
}

/* A domain, or ".example" for all below it. */
static bool read_domain(struct command *c, struct excepting *e)
{
    const char *text = argument_text(c, "domain");
    bool is_below = text && text[0] == '.';
    char domain[DOMAIN_SIZE];
    if (text && domain_to_ascii(slice_of(text + is_below), domain) &&
        snprintf(e->domain, sizeof e->domain, "%s%s", is_below ? "." : "", domain) <
            (int)sizeof e->domain)
        return true;
    answer_error(c, EXIT_USAGE, "\"%s\" is no domain", text ? text : "");
    return false;
}

/* A span from now on, a time, or a day: then its first second in UTC, for a guarantee rather comes
 * back too early. */
static bool read_until(struct command *c, struct excepting *e)
{
    const char *text = argument_text(c, "until");
    char day[DATE_SIZE];
    int64_t span_ms;
    int64_t now = date_now();
    if (!text)
        return true;
    snprintf(day, sizeof day, "%sT00:00:00Z", text);
    if (duration_parse(slice_of(text), &span_ms)) {
        e->until = now + span_ms / 1000;
    } else if (!date_parse_rfc3339(slice_of(text), &e->until) &&
               !date_parse_rfc3339(slice_of(day), &e->until)) {
        answer_error(c, EXIT_USAGE,
                     "--until wants a time such as 30d, 2026-12-31 or 2026-12-31T18:00:00Z, not "
                     "\"%s\"",
                     text);
        return false;
    }
    if (e->until > now)
        return true;
    answer_error(c, EXIT_USAGE, "--until %s is over already", text);
    return false;
}

/* What is asked for; what is changed is the user's own address. */
static struct excepting *read_exception(struct command *c)
{
    struct excepting *e = xalloc(sizeof *e);
    bool is_user;
    c->state = e;
    c->free_state = free;
    if (!argument_address(c, "user", &c->address) || !read_domain(c, e) || !read_until(c, e) ||
        !user_find_own(c, &is_user))
        return NULL;
    return e;
}

static bool compare_one(void *context, const struct queue_exception *found)
{
    struct excepting *e = context;
    if (strcmp(found->domain, e->domain) != 0)
        return true;
    e->replaces = found->until != e->until;
    e->replaced = *found;
    return false;
}

static void added(void *context, int error)
{
    struct command *c = context;
    const struct excepting *e = c->state;
    if (!command_resume(c))
        return;
    if (error == -ENOENT) {
        answer_error(c, EXIT_REFUSED, "%s: no such user", c->address.text);
        return;
    }
    if (error != 0) {
        answer_queue_error(c, error);
        return;
    }
    json_t *exception = exception_json(c->address.text, e->domain, e->until);
    json_t *replaced = e->replaces ? json_object() : json_null();
    if (e->replaces) {
        json_put(replaced, "until", json_time(e->replaced.until * 1000));
        json_put(replaced, "set_at", json_time(e->replaced.set_at * 1000));
    }
    json_put(exception, "replaced", replaced);
    answer_ok(c, exception);
}

static void add_in_turn(struct command *c)
{
    struct excepting *e = c->state;
    int64_t now = date_now();
    queue_exceptions_walk(c->host->queue, c->address.text, now, compare_one, e);
    command_wait(c);
    queue_exception_add(c->host->queue, &c->address, e->domain, now, e->until, &c->host->poster,
                        added, c);
}

void exception_add(struct command *c)
{
    if (read_exception(c))
        command_take_turn(c, add_in_turn);
}

static void removed(void *context, int error)
{
    struct command *c = context;
    const struct excepting *e = c->state;
    if (!command_resume(c))
        return;
    if (error == 0)
        answer_ok(c, exception_json(c->address.text, e->domain, e->until));
    else if (error != -ENOENT)
        answer_queue_error(c, error);
    else if (user_exists(c))
        answer_error(c, EXIT_REFUSED, "%s has no exception for %s", c->address.text, e->domain);
}

void exception_remove(struct command *c)
{
    const struct excepting *e = read_exception(c);
    if (!e)
        return;
    command_wait(c);
    queue_exception_remove(c->host->queue, &c->address, e->domain, &c->host->poster, removed, c);
}

static bool list_one(void *context, const struct queue_exception *e)
{
    json_t *exception = exception_json(e->user, e->domain, e->until);
    json_put(exception, "set_at", json_time(e->set_at * 1000));
    json_add(context, exception);
    return true;
}

static void list_all(void *command)
{
    struct command *c = command;
    const char *user = c->address.text[0] ? c->address.text : NULL;
    queue_exceptions_walk(c->host->queue, user, date_now(), list_one, c->state);
}

void exception_list(struct command *c)
{
    if (argument_text(c, "user") && (!argument_address(c, "user", &c->address) || !user_exists(c)))
        return;
    command_collect(c, list_all);
}
