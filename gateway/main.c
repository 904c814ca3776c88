/* main.c - sealpostd: options, and away. */
#include <getopt.h>
#include <stdio.h>

#include "gateway/config.h"
#include "gateway/daemon.h"

static int usage(int status)
{
    fputs("usage: sealpostd [-c FILE] [-t]\n"
          "  -c FILE  configuration (default /etc/sealpost/sealpost.conf)\n"
          "  -t       check the configuration and exit: 0 good, 1 not\n"
          "  -V       print the version\n",
          status == 0 ? stdout : stderr);
    return status;
}

int main(int argc, char **argv)
{
    const char *file = "/etc/sealpost/sealpost.conf";
    bool only_checks = false;
    char error[1024];
    for (int option; (option = getopt(argc, argv, "c:thV")) != -1;) {
        switch (option) {
        case 'c':
            file = optarg;
            break;
        case 't':
            only_checks = true;
            break;
        case 'h':
            return usage(0);
        case 'V':
            puts("sealpost " SEALPOST_VERSION);
            return 0;
        default:
            return usage(2);
        }
    }
    if (optind < argc)
        return usage(2);
    struct config *config = config_load(file, CONFIG_WHOLE, error, sizeof error);
    if (!config) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    for (size_t i = 0; i < config->warning_count; i++)
        fprintf(stderr, "%s\n", config->warnings[i]);
    if (!only_checks)
        return daemon_run(file, config);
    config_free(config);
    return 0;
}
