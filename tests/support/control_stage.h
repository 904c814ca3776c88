/* control_stage.h - sealpostctl's commands as a test calls them: in a directory of its own, with
 * what they print caught. One thread, the test's. */
#ifndef TESTS_SUPPORT_CONTROL_STAGE_H
#define TESTS_SUPPORT_CONTROL_STAGE_H

#include "gateway/control/control.h"

struct stage {
    char directory[64];
    char state[96];
    char socket[96];
    struct control_client client;
    char *out; /* owned: what the last command printed */
    char *err;
};

void stage_open(struct stage *s);
void stage_close(struct stage *s); /* and removes the files */
/* Runs one command, its arguments apart by '|' ("user|show|a@b.example"), with that standard input.
 * Returns its exit status. */
int stage_run(struct stage *s, const char *input, const char *arguments);
/* Takes any password but one that holds "forbidden"; makes "A" of "a". */
bool stage_prepare(struct slice password, char *out, size_t size);

#endif
