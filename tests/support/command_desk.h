/* command_desk.h - the administrator's commands on a store of the test's own, one request at a
 * time. The test's thread only. */
#ifndef TESTS_SUPPORT_COMMAND_DESK_H
#define TESTS_SUPPORT_COMMAND_DESK_H

#include <jansson.h>

#include "gateway/control/commands.h"
#include "tests/support/queue_desk.h"

/* Of the running test. */
extern struct desk desk;
extern struct command_host host; /* job_context: not NULL, and jobs cannot be done */
extern json_t *answer;           /* to the last request */
extern char event[512];          /* the last one emitted: its name, then key=value ... */
extern unsigned slices;          /* in which the last answer came */

int commands_setup(void **state);
int commands_teardown(void **state); /* and nothing was left behind */

/* Carries a request out; the answer stays in `answer`. Returns its exit status. */
int ask(const char *request);
void note_progress(void *context); /* for command_start(): makes the bool at `context` true */
int askf(const char *format, const char *value);            /* the one "%" of it is the value */
const json_t *result(void);                                 /* of the answer */
const char *text_of(const json_t *object, const char *key); /* "" where there is none */
const char *error_text(void);
struct address address_of(const char *text);
void add_alice(void); /* Alice@site.example, with the password "secret" */

#endif
