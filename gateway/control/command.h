/* command.h - one command under way, as the files of this room see it.
 *
 * A command's function reads the request, starts what has to be done and returns. What comes later
 * comes by callback: each begins with command_resume(), which ends a command whose owner has gone.
 * Exactly one answer_...() call ends a command. */
#ifndef GATEWAY_CONTROL_COMMAND_H
#define GATEWAY_CONTROL_COMMAND_H

#include <jansson.h>

#include "gateway/control/commands.h"
#include "queue/account.h"

struct command {
    struct command_host *host;
    struct control_facts facts; /* as they were when it began: jobs read them, too */
    const struct command_row *row;
    json_t *request; /* owned */
    uint32_t uid;
    struct buffer text; /* owned */
    bool is_over;
    bool is_waiting; /* a callback is still to come */
    bool is_gone;    /* the owner has freed it */
    void (*progress)(void *context);
    void *context;
    /* Ends what is waited for, so that its callback does not come; NULL: it has to come. */
    void (*cancel)(struct command *c);
    /* Makes the next slice of a listing; NULL where the answer comes at once. */
    void (*slice)(struct command *c);
    struct command *next_turn;
    void (*my_turn)(struct command *c);
    /* What the command remembers between its steps. */
    struct address address; /* of the user, owner */
    struct address other;   /* alias, target */
    char domain[DOMAIN_SIZE];
    uint64_t id;       /* queue ID */
    uint64_t after;    /* of a listing */
    bool has_elements; /* of a listing */
    int error;         /* of a listing made off the thread */
    void *state;       /* owned */
    void (*free_state)(void *state);
};

/* To be said before a callback is asked for, and first thing in it: false when there is nobody to
 * answer any more (the command is gone then). */
void command_wait(struct command *c);
NODISCARD bool command_resume(struct command *c);
/* Runs work(c) off the thread, then done(c); answers 75 itself where that is impossible. */
void command_job(struct command *c, void (*work)(void *command), void (*done)(void *command));
/* Answers with the array c->state, once work(c) has filled it off the thread (and c->error;
 * -ENOENT: c->address is nobody's). */
void command_collect(struct command *c, void (*work)(void *command));
/* Reading an account and writing it back is one step: run(c) when no other command is at it, until
 * c is answered. */
void command_take_turn(struct command *c, void (*run)(struct command *c));
/* Goes on with run(c) in a later turn, slice by slice, and tells the owner after each. */
void command_begin_list(struct command *c, void (*slice)(struct command *c));

bool command_is_change(const struct command *c);
void command_end(struct command *c); /* what is in ->text is all; called by answer.c alone */

/* Arguments of the request. NULL: absent. */
const char *argument_text(const struct command *c, const char *key);
bool argument_flag(const struct command *c, const char *key);
/* False: answered with what is wrong (usage). */
NODISCARD bool argument_address(struct command *c, const char *key, struct address *out);
/* The domain itself, in any spelling, or that of an address; literals too. */
NODISCARD bool argument_domain(struct command *c, const char *key, char out[DOMAIN_SIZE]);
/* False: answered as not found: what is no queue ID names nothing. */
NODISCARD bool argument_id(struct command *c);

/* The commands; each file has its theme. */
void user_add(struct command *c);
void user_set(struct command *c);
void user_list(struct command *c);
void user_show(struct command *c);
void user_remove(struct command *c);
void user_alias(struct command *c);
void user_unalias(struct command *c);
void guarantee_set(struct command *c);
void forward_add(struct command *c);
void forward_remove(struct command *c);
void forward_list(struct command *c);
void queue_list(struct command *c);
void queue_show(struct command *c);
void queue_retry_now(struct command *c);
void queue_remove_message(struct command *c);
void held_list(struct command *c);
void held_show(struct command *c);
void held_drop(struct command *c);
void release(struct command *c);
void check(struct command *c);
void exception_add(struct command *c);
void exception_remove(struct command *c);
void exception_list(struct command *c);
void posture_show(struct command *c);
void report_dry_run(struct command *c);
void status(struct command *c);
void sts_list(struct command *c);
void sts_purge(struct command *c);

/* Makes an alias in c->address the user's own address, under which things are kept. Who is no user
 * (any more) stays as he is, and *is_user says so. False: answered, the store cannot say. */
NODISCARD bool user_find_own(struct command *c, bool *is_user);
/* Is c->address a user's? False: answered, that he is none or that the store cannot say. */
NODISCARD bool user_exists(struct command *c);
/* The account of c->address as it is now: what `user show` prints. The caller owns it. NULL:
 * answered, that there is none or that the store cannot say. */
NODISCARD json_t *user_read(struct command *c);
/* Answers with it. */
void answer_user(struct command *c);

#endif
