/* commands.h - the administrator's commands, from a request to its answer.
 *
 * A request is a JSON object with "command" ("user add") and its arguments. The answer is one line:
 * {"ok":true,"result":...}, or {"error":"why","exit":1}. A command works on the thread of its host
 * (a loop's, or sealpostctl's own) and never blocks it: slow work goes to jobs, changes to the
 * queue's writer, and long listings come in slices that the owner asks for one by one. */
#ifndef GATEWAY_CONTROL_COMMANDS_H
#define GATEWAY_CONTROL_COMMANDS_H

#include "gateway/control/control.h"
#include "mail/buffer.h"

/* The exit statuses of INTERFACE.md. */
enum {
    EXIT_DONE = 0,
    EXIT_REFUSED = 1,
    EXIT_USAGE = 2,
    EXIT_TEMPORARY = 75,
};

struct command;

/* Where commands are carried out. All calls on one thread; the members are the owner's to set. */
struct command_host {
    struct queue *queue;
    const struct event_sink *events; /* NULL: silent */
    struct control_facts facts;
    struct queue_poster poster;
    /* Runs work(argument) where it may take its time, then done(argument) on the host's thread,
     * never before it returns. False: cannot be done now. */
    bool (*job)(void *context, void (*work)(void *argument), void (*done)(void *argument),
                void *argument);
    void *job_context;
    unsigned count;                 /* commands that are not freed yet */
    void (*emptied)(void *context); /* count came to 0; may be NULL */
    void *emptied_context;
    struct command *turns; /* who changes an account; behind it who waits to. Not the owner's */
};

/* Reads the request and starts it; progress(context) is called whenever there is new text or the
 * end, never before this returns; it must not free the command. uid: who asks, for the log. */
NODISCARD struct command *command_start(struct command_host *h, struct slice request, uint32_t uid,
                                        void (*progress)(void *context), void *context);
/* What of the answer is there; the owner consumes it. */
struct buffer *command_text(struct command *c);
bool command_is_over(const struct command *c); /* nothing comes behind that text */
/* Asks for more of an answer that is not over, once its text is consumed. Too often is fine. */
void command_more(struct command *c);
/* The owner is done with it, at whatever stage: what was handed to the writer is still committed,
 * no progress is told any more. NULL is fine. */
void command_free(struct command *c);

#endif
