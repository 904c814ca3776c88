#include "gateway/control/usage.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "gateway/control/commands.h"

const struct usage usages[] = {
    {
        .command = "user add",
        .synopsis = "ADDRESS --password-stdin [--language de|en]\n"
                    "           [--hold-back TIME]",
        .help = "Makes a user. The password is read from standard input.",
        .words = {"address"},
        .required = 1,
        .options = {{"--password-stdin", OPTION_PASSWORD, "password"},
                    {"--language", OPTION_VALUE, "language"},
                    {"--hold-back", OPTION_VALUE, "hold_back"}},
    },
    {
        .command = "user set",
        .synopsis = "ADDRESS [--password-stdin] [--language de|en]\n"
                    "           [--hold-back TIME] [--receipts | --no-receipts]",
        .help = "Changes a user: the password, the language of notices, how long new\n"
                "mail waits before it is first sent (0s: not at all), or whether a receipt\n"
                "says how each message was delivered, without being asked for one.",
        .words = {"address"},
        .required = 1,
        .options = {{"--password-stdin", OPTION_PASSWORD, "password"},
                    {"--language", OPTION_VALUE, "language"},
                    {"--hold-back", OPTION_VALUE, "hold_back"},
                    {"--receipts", OPTION_FLAG, "receipts"},
                    {"--no-receipts", OPTION_FLAG, "no_receipts"}},
    },
    {
        .command = "user list",
        .synopsis = "",
        .help = "Lists all users with their guarantee.",
    },
    {
        .command = "user show",
        .synopsis = "ADDRESS",
        .help = "Shows one user, found by his address or an alias, with his exceptions and\n"
                "forwards.",
        .words = {"address"},
        .required = 1,
    },
    {
        .command = "user remove",
        .synopsis = "ADDRESS",
        .help = "Removes a user with his aliases and forwards. Mail that he has sent\n"
                "already stays in the queue.",
        .words = {"address"},
        .required = 1,
    },
    {
        .command = "user alias",
        .synopsis = "ADDRESS ALIAS",
        .help = "Lets a user log in and send as ALIAS, too.",
        .words = {"address", "alias"},
        .required = 2,
    },
    {
        .command = "user unalias",
        .synopsis = "ADDRESS ALIAS",
        .help = "Takes an alias away.",
        .words = {"address", "alias"},
        .required = 2,
    },
    {
        .command = "guarantee",
        .synopsis = "ADDRESS on|off|verified|default|dry-run [verified]\n"
                    "           [--for TIME] [--locked]",
        .help = "Sets what a user's mail must have: on, TLS to every recipient's host;\n"
                "verified, TLS to an authenticated host (DANE or MTA-STS); default, what\n"
                "the configuration says. Mail accepted before is not touched.\n"
                "dry-run: delivers as if off, and reports what on (or verified) would\n"
                "have stopped.\n"
                "--for: returns to what it was by itself, say after 30m; a lock stays.\n"
                "--locked: the user may not lower it; without it a level for good unlocks.",
        .words = {"address", "level", "trial"},
        .required = 2,
        .options = {{"--for", OPTION_VALUE, "for"}, {"--locked", OPTION_FLAG, "locked"}},
    },
    {
        .command = "forward add",
        .synopsis = "OWNER TARGET",
        .help = "Exempts what OWNER's mail store sends on to TARGET from his guarantee.",
        .words = {"owner", "target"},
        .required = 2,
    },
    {
        .command = "forward remove",
        .synopsis = "OWNER TARGET",
        .help = "Takes that exemption back.",
        .words = {"owner", "target"},
        .required = 2,
    },
    {
        .command = "forward list",
        .synopsis = "[OWNER]",
        .help = "Lists the forwards of one user or of all.",
        .words = {"owner"},
    },
    {
        .command = "queue list",
        .synopsis = "",
        .help = "Lists all messages that wait, with the reason and the next attempt.",
    },
    {
        .command = "queue show",
        .synopsis = "ID",
        .help = "Shows all that is known of one message.",
        .words = {"id"},
        .required = 1,
    },
    {
        .command = "queue retry",
        .synopsis = "[ID]",
        .help = "Tries one message, or all that wait, again now.",
        .words = {"id"},
        .is_long_without_words = true,
    },
    {
        .command = "queue remove",
        .synopsis = "ID",
        .help = "Removes a message without a notice to anybody.",
        .words = {"id"},
        .required = 1,
    },
    {
        .command = "held list",
        .synopsis = "[--user ADDRESS]",
        .help = "Lists the messages that were stopped for lack of the TLS that is required.",
        .options = {{"--user", OPTION_VALUE, "user"}},
    },
    {
        .command = "held show",
        .synopsis = "ID",
        .help = "Shows what was required and what each host of the recipient offered.",
        .words = {"id"},
        .required = 1,
    },
    {
        .command = "held drop",
        .synopsis = "ID",
        .help = "Removes what is held of a message. The sender gets no further notice.",
        .words = {"id"},
        .required = 1,
    },
    {
        .command = "release",
        .synopsis = "ID [RECIPIENT ...] [--recheck | --force]",
        .help = "Sends held mail without the guarantee, to all its held recipients or to\n"
                "those named.\n"
                "--recheck: tries again under the guarantee.\n"
                "--force: although the destination publishes DANE or MTA-STS.",
        .words = {"id"},
        .required = 1,
        .rest = "recipients",
        .options = {{"--recheck", OPTION_MODE, "mode"}, {"--force", OPTION_MODE, "mode"}},
    },
    {
        .command = "check",
        .synopsis = "ADDRESS|DOMAIN [--level encrypt|verified]",
        .help = "Looks at every host of a domain, and says whether mail with the guarantee\n"
                "would be delivered. Sends no mail. Exit status 1: it would not be; 75: it\n"
                "would wait. --level: of the guarantee; encrypt where nothing is said.",
        .words = {"domain"},
        .required = 1,
        .needs_daemon = true,
        .options = {{"--level", OPTION_VALUE, "level"}},
    },
    {
        .command = "exception add",
        .synopsis = "USER DOMAIN [--until DATE|TIME]",
        .help = "Takes mail to a recipient domain out of a user's guarantee; \".example\"\n"
                "is for all domains below it.\n"
                "--until: ends by itself, say in 30d or on 2026-12-31 (UTC).",
        .words = {"user", "domain"},
        .required = 2,
        .options = {{"--until", OPTION_VALUE, "until"}},
    },
    {
        .command = "exception remove",
        .synopsis = "USER DOMAIN",
        .help = "Takes that exception back.",
        .words = {"user", "domain"},
        .required = 2,
    },
    {
        .command = "exception list",
        .synopsis = "[USER]",
        .help = "Lists the exceptions of one user or of all.",
        .words = {"user"},
    },
    {
        .command = "posture",
        .synopsis = "[DOMAIN]",
        .help = "Shows what the hosts of a domain, or of all, were seen to do about TLS.",
        .words = {"domain"},
    },
    {
        .command = "report dry-run",
        .synopsis = "[ADDRESS]",
        .help = "Lists what the guarantee would have stopped of the users in a dry run.",
        .words = {"address"},
    },
    {
        .command = "status",
        .synopsis = "",
        .help = "Shows how the gateway does.",
    },
    {
        .command = "sts list",
        .synopsis = "",
        .help = "Lists the MTA-STS policies that are kept.",
    },
    {
        .command = "sts purge",
        .synopsis = "DOMAIN",
        .help = "Forgets the MTA-STS policy of a domain: the next mail asks anew.",
        .words = {"domain"},
        .required = 1,
    },
};
const size_t usage_count = COUNT_OF(usages);

/* How many of the arguments name this command; 0: they do not. */
static int words_matched(const struct usage *u, int argc, char **argv)
{
    const char *space = strchr(u->command, ' ');
    size_t first = space ? (size_t)(space - u->command) : strlen(u->command);
    if (argc < 1 || strlen(argv[0]) != first || memcmp(argv[0], u->command, first) != 0)
        return 0;
    if (!space)
        return 1;
    return argc > 1 && strcmp(argv[1], space + 1) == 0 ? 2 : 0;
}

const struct usage *usage_find(int argc, char **argv, int *used)
{
    for (size_t i = 0; i < COUNT_OF(usages); i++) {
        *used = words_matched(&usages[i], argc, argv);
        if (*used > 0)
            return &usages[i];
    }
    return NULL;
}

static bool is_of_group(const struct usage *u, const char *word)
{
    size_t len = strlen(word);
    return strncmp(u->command, word, len) == 0 && (u->command[len] == ' ' || !u->command[len]);
}

static void print_line(FILE *out, const struct usage *u)
{
    fprintf(out, "  %s%s%s\n", u->command, u->synopsis[0] ? " " : "", u->synopsis);
}

static void print_help(FILE *out, const struct usage *u)
{
    print_line(out, u);
    for (const char *at = u->help; *at;) {
        size_t len = strcspn(at, "\n");
        fprintf(out, "      %.*s\n", (int)len, at);
        at += len + (at[len] == '\n');
    }
}

int control_usage(const char *command)
{
    bool is_found = false;
    for (size_t i = 0; command && i < COUNT_OF(usages); i++) {
        if (!is_of_group(&usages[i], command))
            continue;
        if (!is_found)
            puts("usage: sealpostctl [-c FILE] [--json] COMMAND ...\n");
        is_found = true;
        print_help(stdout, &usages[i]);
    }
    if (is_found)
        return EXIT_DONE;
    if (command) {
        usage_complain(NULL, "there is no command \"%s\"", command);
        return EXIT_USAGE;
    }
    puts("usage: sealpostctl [-c FILE] [--json] COMMAND ...\n");
    for (size_t i = 0; i < COUNT_OF(usages); i++)
        print_line(stdout, &usages[i]);
    puts("\nTimes are a number and a unit: 30s, 15m, 4h, 5d, 2w.\n"
         "sealpostctl --help COMMAND says more; so does sealpostctl(8).");
    return EXIT_DONE;
}

bool control_help(int argc, char **argv, int *status)
{
    bool is_wanted = false;
    if (argc > 0 && strcmp(argv[0], "help") == 0) {
        *status = control_usage(argc > 1 ? argv[1] : NULL);
        return true;
    }
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        is_wanted = is_wanted || strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0;
    if (is_wanted)
        *status = control_usage(argv[0]);
    return is_wanted;
}

void usage_complain(const struct usage *u, const char *format, ...)
{
    va_list arguments;
    fputs("sealpostctl: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    if (u)
        fprintf(stderr, "\nusage: sealpostctl %s%s%s\n", u->command, u->synopsis[0] ? " " : "",
                u->synopsis);
    else
        fputs("\nsealpostctl --help lists the commands\n", stderr);
}

/* Of "user", or "user frobnicate", those that do exist. */
void usage_complain_unknown(int argc, char **argv)
{
    bool is_group = false;
    for (size_t i = 0; i < COUNT_OF(usages) && !is_group; i++)
        is_group = is_of_group(&usages[i], argv[0]);
    if (is_group && argc == 1)
        fprintf(stderr, "sealpostctl: \"%s\" is no command by itself\n", argv[0]);
    else
        fprintf(stderr, "sealpostctl: there is no command \"%s%s%s\"\n", argv[0],
                argc > 1 ? " " : "", argc > 1 ? argv[1] : "");
    if (!is_group)
        fputs("sealpostctl --help lists the commands\n", stderr);
    const char *front = "usage:";
    for (size_t i = 0; i < COUNT_OF(usages); i++) {
        const struct usage *u = &usages[i];
        if (!is_of_group(u, argv[0]))
            continue;
        fprintf(stderr, "%s sealpostctl %s%s%s\n", front, u->command, u->synopsis[0] ? " " : "",
                u->synopsis);
        front = "      ";
    }
}
