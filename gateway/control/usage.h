/* usage.h - what sealpostctl understands: one table for reading arguments, for help and for the
 * tests of completion and man page. Constant data. */
#ifndef GATEWAY_CONTROL_USAGE_H
#define GATEWAY_CONTROL_USAGE_H

#include "mail/base.h"

enum option_kind {
    OPTION_FLAG,     /* "locked": true */
    OPTION_VALUE,    /* the next argument, or what stands behind "=" */
    OPTION_MODE,     /* key: the option's own name without the dashes; excludes the others */
    OPTION_PASSWORD, /* read from standard input */
};

#define USAGE_OPTIONS 6
#define USAGE_WORDS 3

struct usage_option {
    const char *name; /* "--for"; NULL ends the list */
    enum option_kind kind;
    const char *key; /* in the request */
};

struct usage {
    const char *command; /* "user add", as in the request */
    const char *synopsis;
    const char *help;
    const char *words[USAGE_WORDS]; /* keys of the request, in the order of arguments */
    unsigned required;              /* how many of them */
    bool is_long_without_words;     /* the whole queue is gone through before it answers */
    bool needs_daemon;              /* and hosts are asked before it answers */
    const char *rest;               /* key of a list that takes all further arguments */
    struct usage_option options[USAGE_OPTIONS];
};

extern const struct usage usages[];
extern const size_t usage_count;

/* By one or two words; *used says how many. NULL: no such command. */
const struct usage *usage_find(int argc, char **argv, int *used);
/* To stderr: what was wrong, and how the command (or, NULL, the program) is used. */
void usage_complain(const struct usage *u, const char *format, ...) PRINTF_LIKE(2, 3);

/* Of words that usage_find() does not know: what there is instead. */
void usage_complain_unknown(int argc, char **argv);

#endif
