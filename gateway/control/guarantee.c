/* guarantee.c - guarantee ADDRESS on | off | verified | default | dry-run [verified] [--for 30m]
 * [--locked]. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/control/answer.h"
#include "gateway/control/duration.h"
#include "mail/date.h"

struct flag {
    enum level level;
    bool is_dry_run;
    bool has_flag; /* false: back to guarantee.default_level */
    bool is_locked;
    int64_t for_ms;  /* 0: for good */
    bool loses_lock; /* the user was locked, and is not any more */
};

static bool is_word(const char *text, const char *word)
{
    return text && strcmp(text, word) == 0;
}

/* "dry-run" alone tries out what "on" would do. */
static bool read_trial(struct command *c, struct flag *f)
{
    const char *text = argument_text(c, "trial");
    f->is_dry_run = true;
    f->level = LEVEL_ENCRYPT;
    if (!text || is_word(text, "on") ||
        (level_parse(slice_of(text), &f->level) && f->level != LEVEL_OFF))
        return true;
    answer_error(c, EXIT_USAGE, "a dry run is of on or verified, not \"%s\"", text);
    return false;
}

static bool read_level(struct command *c, struct flag *f)
{
    const char *text = argument_text(c, "level");
    f->has_flag = true;
    if (is_word(text, "dry-run"))
        return read_trial(c, f);
    if (argument_text(c, "trial")) {
        answer_error(c, EXIT_USAGE, "\"%s\" is one argument too many", argument_text(c, "trial"));
        return false;
    }
    if (is_word(text, "on")) {
        f->level = LEVEL_ENCRYPT;
        return true;
    }
    if (is_word(text, "default")) {
        f->has_flag = false;
        return true;
    }
    if (text && level_parse(slice_of(text), &f->level))
        return true;
    answer_error(c, EXIT_USAGE,
                 "the guarantee is on, off, verified, default or dry-run, not \"%s\"",
                 text ? text : "");
    return false;
}

static bool read_flag(struct command *c, struct flag *f)
{
    const char *text = argument_text(c, "for");
    if (!argument_address(c, "address", &c->address) || !read_level(c, f))
        return false;
    f->is_locked = argument_flag(c, "locked");
    if (text && (!duration_parse(slice_of(text), &f->for_ms) || f->for_ms < 1000)) {
        answer_error(c, EXIT_USAGE, "--for wants a time such as 30m, not \"%s\"", text);
        return false;
    }
    if (!f->has_flag && (f->is_locked || text)) {
        answer_error(c, EXIT_USAGE, "default goes with neither --for nor --locked");
        return false;
    }
    return true;
}

/* What is to come back after --for is what holds for good, never another --for. A lock stays while
 * that lasts: what is meant for a moment must not let the user lower what he may not. */
static void raise(struct queue_account *a, struct flag *f, enum level default_level)
{
    int64_t now = date_now();
    bool was_for_a_while = a->level_until != 0;
    bool had_flag = was_for_a_while ? a->back_has_flag : a->has_flag;
    enum level had_level = was_for_a_while ? a->back_level : a->level;
    bool was_locked = was_for_a_while ? a->back_is_locked : a->is_locked;
    bool was_dry_run = was_for_a_while ? a->back_is_dry_run : a->is_dry_run;
    struct queue_flag present = queue_account_flag(a, default_level, now);
    bool holds_lock = was_locked || present.is_locked;
    f->is_locked = f->is_locked || (f->for_ms > 0 && holds_lock);
    f->loses_lock = holds_lock && !f->is_locked;
    a->has_flag = f->has_flag;
    a->level = f->level;
    a->is_locked = f->is_locked;
    a->is_dry_run = f->is_dry_run;
    a->level_until = 0;
    a->back_has_flag = false;
    a->back_level = LEVEL_OFF;
    a->back_is_locked = false;
    a->back_is_dry_run = false;
    /* The same level once more began when it began. */
    bool is_same = present.since != 0 && f->has_flag && present.level == f->level &&
                   present.is_dry_run == f->is_dry_run;
    a->level_since = is_same ? present.since : now;
    if (f->for_ms == 0)
        return;
    a->level_until = now + f->for_ms / 1000;
    a->back_has_flag = had_flag;
    a->back_level = had_level;
    a->back_is_locked = was_locked;
    a->back_is_dry_run = was_dry_run;
}

static void answer_flag(struct command *c)
{
    const struct flag *f = c->state;
    json_t *user = user_read(c);
    if (!user)
        return;
    json_put(user, "lock_removed", json_boolean(f->loses_lock));
    answer_ok(c, user);
}

static void flag_stored(void *context, int error)
{
    struct command *c = context;
    if (!command_resume(c))
        return;
    if (error == 0)
        answer_flag(c);
    else if (error == -ENOENT)
        answer_error(c, EXIT_REFUSED, "%s: no such user", c->address.text);
    else
        answer_queue_error(c, error);
}

static void set_in_turn(struct command *c)
{
    struct queue_account a = {0};
    int error = queue_account_find(c->host->queue, &c->address, &a);
    if (error == 0) {
        raise(&a, c->state, c->facts.default_level);
        command_wait(c);
        queue_account_put(c->host->queue, &a, false, &c->host->poster, flag_stored, c);
    } else if (error == -ENOENT) {
        answer_error(c, EXIT_REFUSED, "%s: no such user", c->address.text);
    } else {
        answer_queue_error(c, error);
    }
    queue_account_clear(&a);
}

void guarantee_set(struct command *c)
{
    struct flag *f = xalloc(sizeof *f);
    c->state = f;
    c->free_state = free;
    if (read_flag(c, f))
        command_take_turn(c, set_in_turn);
}
