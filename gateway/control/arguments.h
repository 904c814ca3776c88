/* arguments.h - the command line as a request. Main thread of sealpostctl; complains on stderr. */
#ifndef GATEWAY_CONTROL_ARGUMENTS_H
#define GATEWAY_CONTROL_ARGUMENTS_H

#include "gateway/control/usage.h"
#include "mail/buffer.h"

struct arguments {
    const struct usage *usage;
    struct buffer request; /* owned: one line with its newline; may hold a password */
    bool wants_json;       /* --json among the arguments */
    bool is_long;          /* it may take minutes until the answer begins */
};

/* True, or *status is what to exit with. The caller frees in both cases. */
NODISCARD bool arguments_read(int argc, char **argv, struct arguments *out, int *status);
void arguments_free(struct arguments *a);

#endif
