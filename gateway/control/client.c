/* client.c - sealpostctl: asks the daemon, or does it itself where none runs. */
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "gateway/control/arguments.h"
#include "gateway/control/offline.h"
#include "gateway/control/print.h"

#define ANSWER_MAX ((size_t)4 * 1024 * 1024 * 1024)
#define ANSWER_PIECE ((size_t)64 * 1024)
#define FIRST_PATIENCE_S 20 /* for the daemon to take the request, and for its first piece */
#define CHECK_PATIENCE_S 90 /* the daemon itself gives up before */
#define LONG_PATIENCE_S 600 /* for the first piece after a million recipients were gone through */
#define PATIENCE_S 120      /* for the next piece of an answer that has begun */
/* A daemon that is starting has the lock before it has the socket; another sealpostctl has it for a
 * moment only. */
#define TRIES 15
#define TRY_WAIT_MS 200

enum asked {
    ASKED_ANSWERED,
    ASKED_NOBODY, /* nobody answers on that socket */
    ASKED_FAILED, /* *status is set and words were printed */
};

static enum asked fail(int *status, int value, const char *what, const char *socket_path)
{
    fprintf(stderr, "sealpostctl: %s: %s: %s\n", socket_path, what, strerror(errno));
    *status = value;
    return ASKED_FAILED;
}

static enum asked connect_to(const char *path, int fd, int *status)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    if (!slice_copy(slice_of(path), name.sun_path, sizeof name.sun_path)) {
        errno = ENAMETOOLONG;
        return fail(status, EXIT_REFUSED, "cannot be asked", path);
    }
    if (connect(fd, (const struct sockaddr *)&name, sizeof name) == 0)
        return ASKED_ANSWERED;
    if (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR)
        return ASKED_NOBODY;
    return fail(status, errno == EACCES || errno == EPERM ? EXIT_REFUSED : EXIT_TEMPORARY,
                "cannot ask the daemon", path);
}

static bool send_all(int fd, struct slice bytes)
{
    while (bytes.len > 0) {
        ssize_t sent = send(fd, bytes.data, bytes.len, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return false;
        bytes = slice_sub(bytes, (size_t)sent, bytes.len);
    }
    return true;
}

static void set_patience(int fd, int option, int seconds)
{
    const struct timeval patience = {.tv_sec = seconds};
    setsockopt(fd, SOL_SOCKET, option, &patience, sizeof patience);
}

static int patience_for(const struct arguments *a)
{
    if (a->is_long)
        return LONG_PATIENCE_S;
    return a->usage->needs_daemon ? CHECK_PATIENCE_S : FIRST_PATIENCE_S;
}

static bool receive_all(int fd, int patience_s, struct buffer *answer)
{
    set_patience(fd, SO_RCVTIMEO, patience_s);
    for (;;) {
        char *room = buffer_reserve(answer, ANSWER_PIECE);
        if (!room) {
            errno = ENOMEM;
            return false;
        }
        ssize_t got = recv(fd, room, ANSWER_PIECE, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            errno = ETIMEDOUT;
        if (got <= 0)
            return got == 0;
        if (answer->len == 0)
            set_patience(fd, SO_RCVTIMEO, PATIENCE_S);
        buffer_commit(answer, (size_t)got);
    }
}

static enum asked ask_over(int fd, const char *path, const struct arguments *a,
                           struct buffer *answer, int *status)
{
    set_patience(fd, SO_SNDTIMEO, FIRST_PATIENCE_S);
    enum asked asked = connect_to(path, fd, status);
    if (asked != ASKED_ANSWERED)
        return asked;
    /* A daemon that refuses us may answer before it has read all. */
    bool is_sent = send_all(fd, buffer_slice(&a->request));
    if (!receive_all(fd, patience_for(a), answer) || (!is_sent && answer->len == 0))
        return fail(status, EXIT_TEMPORARY, "no answer from the daemon", path);
    return ASKED_ANSWERED;
}

static enum asked ask(const char *path, const struct arguments *a, struct buffer *answer,
                      int *status)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail(status, EXIT_TEMPORARY, "no socket", path);
    enum asked asked = ask_over(fd, path, a, answer, status);
    close(fd);
    return asked;
}

/* The daemon, or the store; while neither can be had, again for a moment. */
static bool carry_out(const struct control_client *c, const struct arguments *a,
                      struct buffer *answer, int *status)
{
    uid_t uid = getuid(); /* before we become run_as */
    char error[512] = "";
    for (int i = 0; i < TRIES; i++) {
        enum asked asked = ask(c->socket, a, answer, status);
        if (asked != ASKED_NOBODY)
            return asked == ASKED_ANSWERED;
        if (a->usage->needs_daemon) {
            fprintf(stderr, "sealpostctl: nobody answers on %s, and %s needs the daemon\n",
                    c->socket, a->usage->command);
            *status = EXIT_TEMPORARY;
            return false;
        }
        bool is_locked;
        struct offline *o = offline_open(c, &is_locked, error, sizeof error);
        if (o) {
            offline_run(o, buffer_slice(&a->request), uid, answer);
            offline_close(o);
            return true;
        }
        if (!is_locked) {
            fprintf(stderr, "sealpostctl: %s\n", error);
            *status = EXIT_REFUSED;
            return false;
        }
        const struct timespec pause = {.tv_nsec = TRY_WAIT_MS * 1000000L};
        nanosleep(&pause, NULL);
    }
    fprintf(stderr, "sealpostctl: nobody answers on %s, but %s\n", c->socket, error);
    *status = EXIT_TEMPORARY;
    return false;
}

/* Can the terminal show what is no ASCII? */
static bool has_unicode(void)
{
    setlocale(LC_CTYPE, "");
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

static int print(const struct arguments *a, bool wants_json, const struct buffer *answer)
{
    int status = print_answer(a->usage->command, buffer_slice(answer), wants_json, has_unicode(),
                              stdout, stderr);
    if (status == EXIT_USAGE)
        fprintf(stderr, "usage: sealpostctl %s %s\n", a->usage->command, a->usage->synopsis);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    fprintf(stderr, "sealpostctl: cannot print the answer: %s\n", strerror(errno));
    return EXIT_REFUSED;
}

int control_command(const struct control_client *c, int argc, char **argv)
{
    struct arguments a;
    struct buffer answer;
    int status = EXIT_USAGE;
    if (control_help(argc, argv, &status))
        return status;
    buffer_init(&answer, ANSWER_MAX);
    if (arguments_read(argc, argv, &a, &status) && carry_out(c, &a, &answer, &status))
        status = print(&a, c->wants_json || a.wants_json, &answer);
    buffer_free(&answer);
    arguments_free(&a);
    return status;
}
