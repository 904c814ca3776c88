#include "tests/support/https_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void run(const char *folder, const int input[2], const int output[2])
{
    dup2(input[0], 0);
    dup2(output[1], 1);
    close(input[0]);
    close(input[1]);
    close(output[0]);
    close(output[1]);
    execl(HTTPS_SERVER, HTTPS_SERVER, folder, (char *)NULL);
    _exit(127);
}

void https_server_start(struct https_server *s, const char *folder)
{
    int input[2];
    int output[2];
    unsigned long ports[3];
    char line[64];
    char *next = line;
    if (pipe(input) != 0 || pipe(output) != 0)
        panic("https server: no pipe");
    s->pid = fork();
    if (s->pid < 0)
        panic("https server: no fork");
    if (s->pid == 0)
        run(folder, input, output);
    close(input[0]);
    close(output[1]);
    s->input = input[1];
    FILE *from = fdopen(output[0], "r");
    if (!from || !fgets(line, sizeof line, from))
        panic("https server: %s did not come up", HTTPS_SERVER);
    for (unsigned i = 0; i < 3; i++)
        ports[i] = strtoul(next, &next, 10);
    s->port = (uint16_t)ports[0];
    s->old_port = (uint16_t)ports[1];
    s->plain_port = (uint16_t)ports[2];
    (void)fclose(from);
}

void https_server_stop(struct https_server *s)
{
    close(s->input);
    (void)waitpid(s->pid, NULL, 0);
}
