#include "tests/support/control_stage.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

bool stage_prepare(struct slice password, char *out, size_t size)
{
    if (!slice_copy(password, out, size) || strstr(out, "forbidden"))
        return false;
    for (char *c = out; *c; c++)
        *c = *c == 'a' ? 'A' : *c;
    return true;
}

void stage_open(struct stage *s)
{
    memset(s, 0, sizeof *s);
    snprintf(s->directory, sizeof s->directory, "/tmp/sealpost-control-XXXXXX");
    if (!mkdtemp(s->directory))
        panic("mkdtemp: %s", strerror(errno));
    snprintf(s->state, sizeof s->state, "%s/state", s->directory);
    snprintf(s->socket, sizeof s->socket, "%s/control", s->directory);
    s->client = (struct control_client){
        .socket = s->socket,
        .state_directory = s->state,
        .run_as = "",
        .queue_size = (uint64_t)64 << 20,
        .facts = {.prepare_password = stage_prepare},
    };
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void stage_close(struct stage *s)
{
    free(s->out);
    free(s->err);
    nftw(s->directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* libuv closes by a bare system call, which TSan does not see: to it a number that comes back would
 * still be another thread's. */
#define OUT_OF_THE_WAY 500

/* Puts a file in memory in the place of a standard stream. */
static int replace(int stream, int *saved)
{
    int file = memfd_create("stage", 0);
    *saved = fcntl(stream, F_DUPFD_CLOEXEC, OUT_OF_THE_WAY);
    if (file < 0 || *saved < 0 || dup2(file, stream) < 0)
        panic("stage: %s", strerror(errno));
    return file;
}

static void put_back(int stream, int saved)
{
    dup2(saved, stream);
    close(saved);
}

static char *content_of(int file)
{
    off_t size = lseek(file, 0, SEEK_END);
    char *text = xalloc((size_t)size + 1);
    if (pread(file, text, (size_t)size, 0) != size)
        panic("stage: %s", strerror(errno));
    close(file);
    return text;
}

static int split(char *text, char **argv, int max)
{
    int count = 0;
    for (char *at = text; at && count < max; count++) {
        argv[count] = at;
        at = strchr(at, '|');
        if (at)
            *at++ = '\0';
    }
    argv[count] = NULL;
    return count;
}

int stage_run(struct stage *s, const char *input, const char *arguments)
{
    char *text = xstrdup(arguments);
    char *argv[64];
    int saved[3];
    int argc = split(text, argv, 63);
    fflush(stdout);
    fflush(stderr);
    int in = replace(STDIN_FILENO, &saved[0]);
    int out = replace(STDOUT_FILENO, &saved[1]);
    int err = replace(STDERR_FILENO, &saved[2]);
    if (write(in, input, strlen(input)) < 0 || lseek(in, 0, SEEK_SET) != 0)
        panic("stage: %s", strerror(errno));
    int status = control_command(&s->client, argc, argv);
    fflush(stdout);
    fflush(stderr);
    put_back(STDIN_FILENO, saved[0]);
    put_back(STDOUT_FILENO, saved[1]);
    put_back(STDERR_FILENO, saved[2]);
    close(in);
    free(s->out);
    free(s->err);
    s->out = content_of(out);
    s->err = content_of(err);
    free(text);
    return status;
}
