/* print.h - an answer as people (or, with --json, programs) read it. Main thread of sealpostctl. */
#ifndef GATEWAY_CONTROL_PRINT_H
#define GATEWAY_CONTROL_PRINT_H

#include <stdio.h>

#include "mail/slice.h"

/* Prints the answer of `command` ("user add"): its result to `out`, its error as one line to
 * `errors`. with_unicode: domains as U-labels, where the terminal can show them. Returns the exit
 * status; an answer that is not whole is 75. */
int print_answer(const char *command, struct slice answer, bool wants_json, bool with_unicode,
                 FILE *out, FILE *errors);

#endif
