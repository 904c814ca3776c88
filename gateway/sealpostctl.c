/* sealpostctl.c - the administrator's command: options, configuration, and on to control/. */
#include <getopt.h>
#include <stdio.h>

#include "gateway/config.h"
#include "gateway/control/control.h"
#include "gateway/submission/auth.h"

static int run(const char *file, bool wants_json, int argc, char **argv)
{
    char error[1024];
    struct config *config = config_load(file, CONFIG_CONTROL, error, sizeof error);
    if (!config) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    struct control_client client = {
        .socket = config->control_socket,
        .state_directory = config->state_directory,
        .run_as = config->run_as,
        .queue_size = config->queue_size,
        .facts = {.default_level = config->default_level,
                  .keeps_sha1 = config->keeps_sha1,
                  .prepare_password = auth_password_prepare},
        .wants_json = wants_json,
    };
    int status = control_command(&client, argc, argv);
    config_free(config);
    return status;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    const char *file = "/etc/sealpost/sealpost.conf";
    bool wants_json = false;
    /* "+": options of the command itself are the command's. */
    for (int option; (option = getopt_long(argc, argv, "+c:hV", options, NULL)) != -1;) {
        switch (option) {
        case 'c':
            file = optarg;
            break;
        case 'j':
            wants_json = true;
            break;
        case 'h':
            return control_usage(optind < argc ? argv[optind] : NULL);
        case 'V':
            puts("sealpost " SEALPOST_VERSION);
            return 0;
        default:
            return 2;
        }
    }
    if (optind >= argc) {
        fputs("sealpostctl: a command is missing; sealpostctl --help lists them\n", stderr);
        return 2;
    }
    int status;
    if (control_help(argc - optind, argv + optind, &status))
        return status;
    return run(file, wants_json, argc - optind, argv + optind);
}
