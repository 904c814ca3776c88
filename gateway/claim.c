#include "gateway/claim.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/log.h"

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* what is there must do */
}

static bool bind_listeners(struct claim *c, const struct config *config)
{
    char error[200];
    char text[NET_ADDRESS_SIZE];
    const struct submission_settings *s = config->submission;
    for (size_t i = 0; i < s->listener_count; i++) {
        for (size_t k = 0; k < s->listeners[i].address_count; k++) {
            const struct net_address *a = &s->listeners[i].addresses[k];
            int fd = net_bind(a, error, sizeof error);
            if (fd < 0)
                return log_complain("listen \"%s\": cannot bind %s port %u: %s",
                                    s->listeners[i].title, net_address_text(a, text), a->port,
                                    error);
            c->ports = xrealloc(c->ports, (c->port_count + 1) * sizeof *c->ports);
            c->ports[c->port_count++] = (struct claim_port){fd, i};
        }
    }
    return true;
}

static bool make_directory(const char *path, mode_t mode, const struct passwd *owner)
{
    if (mkdir(path, mode) != 0) {
        if (errno == EEXIST)
            return true;
        return log_complain("cannot make %s: %s", path, strerror(errno));
    }
    if (owner && chown(path, owner->pw_uid, owner->pw_gid) != 0)
        return log_complain("cannot give %s to %s: %s", path, owner->pw_name, strerror(errno));
    return true;
}

/* Bound as the user we became: 0660, and the group of that user may ask. */
static bool bind_control(struct claim *c, const struct config *config)
{
    char error[200];
    struct net_address a = {.family = NET_UNIX};
    snprintf(a.path, sizeof a.path, "%s", config->control_socket);
    mode_t before = umask(0117); /* 0660 from the first moment */
    c->control_fd = net_bind(&a, error, sizeof error);
    umask(before);
    return c->control_fd >= 0 ||
           log_complain("cannot bind the control socket %s: %s", a.path, error);
}

static bool make_directories(const struct config *config, const struct passwd *owner)
{
    char *socket = xstrdup(config->control_socket);
    bool are_made = make_directory(config->state_directory, 0700, owner) &&
                    make_directory(dirname(socket), 0755, owner);
    free(socket);
    return are_made;
}

static bool drop_privileges(const struct passwd *user)
{
    if (!user)
        return true;
    if (initgroups(user->pw_name, user->pw_gid) != 0 || setgid(user->pw_gid) != 0 ||
        setuid(user->pw_uid) != 0)
        return log_complain("cannot become %s: %s", user->pw_name, strerror(errno));
    if (user->pw_uid != 0 && setuid(0) == 0)
        return log_complain("could become root again after becoming %s", user->pw_name);
    return true;
}

/* Whom to become: NULL in *out when we stay who we are. */
static bool find_user(const struct config *config, struct passwd **out)
{
    *out = NULL;
    if (config->run_as[0] == '\0' || geteuid() != 0)
        return true;
    /* cppcheck-suppress getpwnamCalled; no other thread runs yet */
    *out = getpwnam(config->run_as);
    return *out || log_complain("run_as: there is no user \"%s\"", config->run_as);
}

static bool open_store(struct claim *c, const struct config *config)
{
    char error[400];
    struct queue_options o = {
        .directory = config->state_directory,
        .size_limit = config->queue_size,
        .events = log_sink(),
    };
    return queue_open(&o, &c->queue, error, sizeof error) == 0 ||
           log_complain("%s: %s", o.directory, error);
}

bool claim_take(struct claim *c, const struct config *config)
{
    struct passwd *user;
    *c = (struct claim){.control_fd = -1};
    if (!find_user(config, &user))
        return false;
    raise_descriptor_limit();
    /* The lock on the store comes before the control socket: a second daemon must not take the
     * first one's away. */
    return bind_listeners(c, config) && make_directories(config, user) && drop_privileges(user) &&
           open_store(c, config) && bind_control(c, config);
}

void claim_release(struct claim *c, const struct config *config)
{
    queue_close(c->queue);
    for (size_t i = 0; i < c->port_count; i++)
        close(c->ports[i].fd);
    free(c->ports);
    /* One that was not bound here is another daemon's. */
    if (c->control_fd < 0)
        return;
    close(c->control_fd);
    (void)unlink(config->control_socket); /* its directory may not be ours to write in */
}
