#include "gateway/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "gateway/control/control.h"
#include "gateway/delivery/delivery.h"
#include "gateway/delivery/probe.h"
#include "gateway/delivery/reporter.h"
#include "gateway/dns/dns.h"
#include "gateway/log.h"
#include "gateway/posture/posture.h"
#include "gateway/sts/sts.h"
#include "gateway/submission/auth.h"
#include "gateway/submission/submission.h"
#include "gateway/tlsrpt/tlsrpt.h"
#include "mail/date.h"

#define CHECKS_MAX 16 /* at once; each may open a hundred connections */
#define CHECK_DEADLINE_MS 60000

struct bound {
    int fd;
    size_t listener; /* index in the submission settings */
};

struct gateway;
/* One event loop with its share of clients and destinations. The first one is the main thread's. */
struct worker {
    struct gateway *gateway;
    unsigned index;
    struct loop *loop;
    pthread_t thread;
    struct submission *submission;
    struct submission_ask_rcpt ask_rcpt; /* submission asks delivery */
    struct delivery *delivery;
    unsigned parts;          /* still to stop */
    atomic_uint connections; /* of delivery, for the status */
    struct loop_timer *gauge;
    struct submission_settings *new_submission; /* on the way with a reload */
    struct delivery_settings *new_delivery;
    struct dns *new_dns;
    struct sts *new_sts;
};

struct gateway {
    const char *file;
    struct config *config;
    struct bound *bound;
    size_t bound_count;
    int control_fd;
    struct queue *queue;
    struct dns *dns;
    struct sts *sts;
    struct dns *old_dns; /* of a reload under way: until nothing asks it any more */
    struct sts *old_sts;
    unsigned releasing; /* workers that still ask it */
    bool reload_again;
    struct posture *posture;
    struct loop_timer *ticks; /* of the posture's breaker */
    struct submission_limits *limits;
    struct control_server *control;
    LIST_HEAD(check_list, check) checks; /* under way */
    unsigned check_count;
    struct reporter *reporter;
    struct tlsrpt *tlsrpt;
    struct worker *workers;
    unsigned worker_count;
    unsigned running; /* workers that have not stopped */
    struct loop_signal *signals[3];
    bool is_stopping;
    int64_t started_at;
};

static bool complain(const char *format, ...) PRINTF_LIKE(1, 2);
static bool complain(const char *format, ...)
{
    char text[600];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    EVENT(log_sink(), EVENT_ERROR, "start", FIELD(KEY_ERROR, text));
    return false;
}

/* ---- before privileges are dropped ---- */

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* what is there must do */
}

static bool bind_listeners(struct gateway *g)
{
    char error[200];
    char text[NET_ADDRESS_SIZE];
    const struct submission_settings *s = g->config->submission;
    for (size_t i = 0; i < s->listener_count; i++) {
        for (size_t k = 0; k < s->listeners[i].address_count; k++) {
            const struct net_address *a = &s->listeners[i].addresses[k];
            int fd = net_bind(a, error, sizeof error);
            if (fd < 0)
                return complain("listen \"%s\": cannot bind %s port %u: %s", s->listeners[i].title,
                                net_address_text(a, text), a->port, error);
            g->bound = xrealloc(g->bound, (g->bound_count + 1) * sizeof *g->bound);
            g->bound[g->bound_count++] = (struct bound){fd, i};
        }
    }
    return true;
}

static bool make_directory(const char *path, mode_t mode, const struct passwd *owner)
{
    if (mkdir(path, mode) != 0) {
        if (errno == EEXIST)
            return true;
        return complain("cannot make %s: %s", path, strerror(errno));
    }
    if (owner && chown(path, owner->pw_uid, owner->pw_gid) != 0)
        return complain("cannot give %s to %s: %s", path, owner->pw_name, strerror(errno));
    return true;
}

/* Bound as the user we became: 0660, and the group of that user may ask. */
static bool bind_control(struct gateway *g)
{
    char error[200];
    struct net_address a = {.family = NET_UNIX};
    snprintf(a.path, sizeof a.path, "%s", g->config->control_socket);
    mode_t before = umask(0117); /* 0660 from the first moment */
    g->control_fd = net_bind(&a, error, sizeof error);
    umask(before);
    return g->control_fd >= 0 || complain("cannot bind the control socket %s: %s", a.path, error);
}

static bool make_directories(const struct config *c, const struct passwd *owner)
{
    char *socket = xstrdup(c->control_socket);
    bool are_made = make_directory(c->state_directory, 0700, owner) &&
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
        return complain("cannot become %s: %s", user->pw_name, strerror(errno));
    if (user->pw_uid != 0 && setuid(0) == 0)
        return complain("could become root again after becoming %s", user->pw_name);
    return true;
}

/* Whom to become: NULL in *out when we stay who we are. */
static bool find_user(const struct config *c, struct passwd **out)
{
    *out = NULL;
    if (c->run_as[0] == '\0' || geteuid() != 0)
        return true;
    /* cppcheck-suppress getpwnamCalled; no other thread runs yet */
    *out = getpwnam(c->run_as);
    return *out || complain("run_as: there is no user \"%s\"", c->run_as);
}

static bool open_store(struct gateway *g)
{
    char error[400];
    struct queue_options o = {
        .directory = g->config->state_directory,
        .size_limit = g->config->queue_size,
        .events = log_sink(),
    };
    return queue_open(&o, &g->queue, error, sizeof error) == 0 ||
           complain("%s: %s", o.directory, error);
}

static bool prepare(struct gateway *g)
{
    struct passwd *user;
    if (!find_user(g->config, &user))
        return false;
    raise_descriptor_limit();
    /* The lock on the store comes before the control socket: a second daemon must not take the
     * first one's away. */
    return bind_listeners(g) && make_directories(g->config, user) && drop_privileges(user) &&
           open_store(g) && bind_control(g);
}

/* ---- the rooms ---- */

static struct dns *new_dns(struct gateway *g, const struct config *c)
{
    char error[400];
    struct dns_options o = {
        .resolvers = (const char *const *)c->resolvers,
        .resolver_count = c->resolver_count,
        .trust_anchor = c->trust_anchor,
        .unbound_config = c->unbound_config,
        .self_test_signed = c->self_test_signed,
        .self_test_unsigned = c->self_test_unsigned,
        .self_test_bogus = c->self_test_bogus,
        .events = log_sink(),
    };
    struct dns *dns = dns_new(g->workers[0].loop, &o, error, sizeof error);
    if (!dns)
        EVENT(log_sink(), EVENT_ERROR, "resolver", FIELD(KEY_ERROR, error));
    return dns;
}

static struct sts *new_sts(struct gateway *g, const struct config *c, struct dns *dns)
{
    struct sts_options o = {
        .dns = dns,
        .queue = g->queue,
        .ca_file = c->ca_file,
        .blocked = c->delivery->blocked,
        .blocked_count = c->delivery->blocked_count,
        .ip_version = c->delivery->ip_version,
        .events = log_sink(),
    };
    struct sts *sts = sts_new(g->workers[0].loop, &o);
    if (!sts)
        EVENT(log_sink(), EVENT_ERROR, "mta-sts", FIELD(KEY_ERROR, "no resources for HTTPS"));
    return sts;
}

static unsigned count_connections(void *context)
{
    struct gateway *g = context;
    unsigned count = submission_limits_connections(g->limits);
    for (unsigned i = 0; i < g->worker_count; i++)
        count += atomic_load(&g->workers[i].connections);
    return count;
}

static void resolver_words(void *context, char *out, size_t size)
{
    struct gateway *g = context;
    dns_self_test_words(g->dns, out, size);
}

/* ---- check: the control room asks, delivery's probe looks; home loop ---- */

struct check {
    struct gateway *gateway;
    struct probe *probe;
    control_viewed *viewed;
    void *asker;
    LIST_ENTRY(check) entry;
};

static void end_check(struct check *check)
{
    check->gateway->check_count--;
    LIST_REMOVE(check, entry);
    free(check);
}

static void probed(void *context, const struct probe_result *result)
{
    struct check *check = context;
    struct control_sight *sights = xalloc((result->count + 1) * sizeof *sights);
    for (size_t i = 0; i < result->count; i++) {
        const struct probe_host *h = &result->hosts[i];
        sights[i] = (struct control_sight){
            .facts = &h->facts,
            .why = h->is_acceptable ? NULL : &h->why,
            .is_tlsa_insecure = h->is_tlsa_insecure,
            .verified = h->verified,
            .key_exchange = h->key_exchange,
            .key_digest = h->key_digest,
        };
    }
    struct control_view view = {
        .verdict = probe_verdict_name(result->verdict),
        .level = result->level,
        .outcome = result->verdict == PROBE_DELIVERABLE ? NULL : &result->outcome,
        .sights = sights,
        .count = result->count,
    };
    check->viewed(check->asker, &view);
    free(sights);
    end_check(check);
}

static void *look(void *context, const char *domain, enum level level, control_viewed *viewed,
                  void *asker)
{
    struct gateway *g = context;
    if (g->check_count == CHECKS_MAX)
        return NULL;
    struct check *check = xalloc(sizeof *check);
    *check = (struct check){.gateway = g, .viewed = viewed, .asker = asker};
    struct probe_options o = {
        .loop = g->workers[0].loop,
        .dns = g->dns,
        .sts = g->sts,
        .posture = g->posture,
        .settings = g->config->delivery,
        .events = log_sink(),
        .domain = domain,
        .level = level,
        .deadline_ms = CHECK_DEADLINE_MS,
        .done = probed,
        .context = check,
    };
    check->probe = probe_new(&o);
    if (!check->probe) {
        free(check);
        return NULL;
    }
    g->check_count++;
    LIST_INSERT_HEAD(&g->checks, check, entry);
    return check;
}

static void cancel_look(void *context, void *look)
{
    struct check *check = look;
    (void)context;
    probe_cancel(check->probe);
    end_check(check);
}

/* A reload takes resolver and settings away from under them. */
static void end_checks(struct gateway *g)
{
    while (!LIST_EMPTY(&g->checks)) {
        struct check *check = LIST_FIRST(&g->checks);
        probe_cancel(check->probe);
        check->viewed(check->asker, NULL);
        end_check(check);
    }
}

static void forget_policy(void *context, const char *domain)
{
    struct gateway *g = context;
    sts_forget(g->sts, domain);
    if (g->old_sts)
        sts_forget(g->old_sts, domain);
}

static struct control_facts control_facts_of(struct gateway *g)
{
    return (struct control_facts){
        .default_level = g->config->default_level,
        .keeps_sha1 = g->config->keeps_sha1,
        .prepare_password = auth_password_prepare,
        .started_at = g->started_at,
        .connections = count_connections,
        .resolver = resolver_words,
        .look = look,
        .cancel_look = cancel_look,
        .forget_policy = forget_policy,
        .posture = g->posture,
        .context = g,
    };
}

static struct tlsrpt_settings tlsrpt_settings_of(const struct config *c)
{
    return (struct tlsrpt_settings){
        .organization = c->report_organization,
        .contact = c->report_contact,
        .from = c->report_from,
        .hostname = c->hostname,
        .spread_ms = c->report_spread_ms,
        .ca_file = c->ca_file,
        .ip_version = c->delivery->ip_version,
        .blocked = c->delivery->blocked,
        .blocked_count = c->delivery->blocked_count,
    };
}

static bool open_tlsrpt(struct gateway *g)
{
    struct tlsrpt_settings settings = tlsrpt_settings_of(g->config);
    struct tlsrpt_options o = {
        .loop = g->workers[0].loop,
        .queue = g->queue,
        .dns = g->dns,
        .settings = &settings,
        .events = log_sink(),
    };
    g->tlsrpt = tlsrpt_new(&o);
    return g->tlsrpt || complain("no resources for the reports about TLS");
}

static void read_gauge(void *context)
{
    struct worker *w = context;
    if (!w->delivery)
        return;
    atomic_store(&w->connections, delivery_connections(w->delivery));
    loop_timer_start(w->gauge, 1000);
}

static void *ask_foresight(void *context, struct loop *loop,
                           const struct submission_question *question,
                           void (*answered)(void *asker, const struct outcome *why), void *asker)
{
    struct worker *w = context;
    (void)loop; /* the worker's own */
    return foresight_ask(delivery_foresight(w->delivery), address_domain(question->recipient),
                         question->level, question->may_probe, answered, asker);
}

static void cancel_foresight(void *context, void *asked)
{
    (void)context;
    foresight_cancel(asked);
}

static bool furnish(struct worker *w)
{
    struct gateway *g = w->gateway;
    struct delivery_options d = {
        .loop = w->loop,
        .queue = g->queue,
        .dns = g->dns,
        .sts = g->sts,
        .posture = g->posture,
        .settings = g->config->delivery,
        .share = w->index,
        .shares = g->worker_count,
        .events = log_sink(),
    };
    struct submission_options s = {
        .loop = w->loop,
        .queue = g->queue,
        .settings = g->config->submission,
        .limits = g->limits,
        .events = log_sink(),
        .ask_rcpt = &w->ask_rcpt,
    };
    w->ask_rcpt = (struct submission_ask_rcpt){w, ask_foresight, cancel_foresight};
    w->delivery = delivery_new(&d);
    w->submission = submission_new(&s);
    w->gauge = loop_timer_new(w->loop, read_gauge, w);
    if (!w->delivery || !w->submission || !w->gauge)
        return complain("no resources for worker %u", w->index);
    loop_timer_start(w->gauge, 1000);
    return true;
}

static bool listen_on_all(struct worker *w)
{
    for (size_t i = 0; i < w->gateway->bound_count; i++) {
        const struct bound *b = &w->gateway->bound[i];
        int error = submission_listen(w->submission, b->fd, b->listener);
        if (error != 0)
            return complain("cannot listen: %s", strerror(-error));
    }
    return true;
}

static void *run_worker(void *argument)
{
    struct worker *w = argument;
    loop_run(w->loop);
    return NULL;
}

/* ---- reload ---- */

static void begin_reload(void *context);

static void reload_is_over(struct gateway *g)
{
    sts_free(g->old_sts);
    dns_free(g->old_dns);
    g->old_sts = NULL;
    g->old_dns = NULL;
    EVENT(log_sink(), EVENT_INFO, "reloaded", FIELD(KEY_FILE, g->file));
    if (!g->reload_again || g->is_stopping)
        return;
    g->reload_again = false;
    begin_reload(g);
}

static void worker_released_home(void *argument)
{
    struct gateway *g = argument;
    if (--g->releasing == 0)
        reload_is_over(g);
}

static void worker_released(void *context)
{
    struct worker *w = context;
    loop_post(w->gateway->workers[0].loop, worker_released_home, w->gateway);
}

static void reload_worker(void *argument)
{
    struct worker *w = argument;
    if (w->submission && w->delivery) {
        submission_reload(w->submission, w->new_submission);
        delivery_reload(w->delivery, w->new_delivery, w->new_dns, w->new_sts, worker_released, w);
    }
    submission_settings_unref(w->new_submission);
    delivery_settings_unref(w->new_delivery);
}

/* What only a restart can change must stay as it is, or the file would say one thing and the daemon
 * do another. */
static const char *what_needs_restart(const struct config *old, const struct config *new)
{
    const struct submission_settings *a = old->submission;
    const struct submission_settings *b = new->submission;
    if (strcmp(old->state_directory, new->state_directory) != 0)
        return "state_directory";
    if (strcmp(old->control_socket, new->control_socket) != 0)
        return "control_socket";
    if (old->workers != new->workers)
        return "workers";
    if (old->queue_size != new->queue_size)
        return "limits: queue_size";
    if (a->listener_count != b->listener_count)
        return "listen";
    for (size_t i = 0; i < a->listener_count; i++) {
        const struct submission_listener *x = &a->listeners[i];
        const struct submission_listener *y = &b->listeners[i];
        if (strcmp(x->title, y->title) != 0 || x->tls != y->tls || x->is_relay != y->is_relay ||
            x->address_count != y->address_count ||
            memcmp(x->addresses, y->addresses, x->address_count * sizeof *x->addresses) != 0)
            return "listen";
    }
    return NULL;
}

static void apply(struct gateway *g, struct config *new, struct dns *dns, struct sts *sts)
{
    struct control_facts facts;
    log_set_threshold(new->log_level);
    end_checks(g);
    g->old_dns = g->dns;
    g->old_sts = g->sts;
    sts_retire(g->old_sts);
    g->dns = dns;
    g->sts = sts;
    g->releasing = g->worker_count;
    for (unsigned i = 0; i < g->worker_count; i++) {
        struct worker *w = &g->workers[i];
        w->new_submission = submission_settings_ref(new->submission);
        w->new_delivery = delivery_settings_ref(new->delivery);
        w->new_dns = dns;
        w->new_sts = sts;
        loop_post(w->loop, reload_worker, w);
    }
    struct tlsrpt_settings reports = tlsrpt_settings_of(new);
    reporter_reload(g->reporter, new->delivery);
    tlsrpt_reload(g->tlsrpt, &reports, dns);
    config_free(g->config);
    g->config = new;
    facts = control_facts_of(g);
    control_server_update(g->control, &facts);
}

static void begin_reload(void *context)
{
    struct gateway *g = context;
    char error[1024];
    if (g->is_stopping)
        return;
    if (g->old_dns) {
        g->reload_again = true;
        return;
    }
    struct config *new = config_load(g->file, CONFIG_WHOLE, error, sizeof error);
    if (!new) {
        EVENT(log_sink(), EVENT_ERROR, "reload", FIELD(KEY_ERROR, error),
              FIELD(KEY_REASON, "the old configuration stays"));
        return;
    }
    const char *what = what_needs_restart(g->config, new);
    struct dns *dns = what ? NULL : new_dns(g, new);
    struct sts *sts = dns ? new_sts(g, new, dns) : NULL;
    if (!sts) {
        dns_free(dns);
        EVENT(log_sink(), EVENT_ERROR, "reload", FIELD(KEY_ERROR, what ? what : "resolver"),
              FIELD(KEY_REASON, what ? "needs a restart; the old configuration stays"
                                     : "the old configuration stays"));
        config_free(new);
        return;
    }
    apply(g, new, dns, sts);
}

/* ---- the end ---- */

static void end_loops(struct gateway *g)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP}; /* as in handle_signals() */
    for (size_t i = 0; i < COUNT_OF(g->signals); i++) {
        loop_signal_free(g->signals[i]);
        /* Without a handler the next one would end us before the last commit. */
        signal(numbers[i], SIG_IGN);
    }
    sts_free(g->old_sts);
    sts_free(g->sts);
    dns_free(g->old_dns);
    dns_free(g->dns);
    loop_timer_free(g->ticks);
    control_server_free(g->control);
    reporter_free(g->reporter);
    tlsrpt_free(g->tlsrpt);
    for (unsigned i = 0; i < g->worker_count; i++)
        loop_stop(g->workers[i].loop);
}

static void control_stopped(void *context)
{
    end_loops(context);
}

static void tlsrpt_stopped(void *context)
{
    struct gateway *g = context;
    control_server_stop(g->control, control_stopped, g);
}

static void reporter_stopped(void *context)
{
    struct gateway *g = context;
    tlsrpt_stop(g->tlsrpt, tlsrpt_stopped, g);
}

static void worker_stopped_home(void *argument)
{
    struct gateway *g = argument;
    if (--g->running == 0)
        reporter_stop(g->reporter, reporter_stopped, g);
}

static void close_worker(void *argument)
{
    struct worker *w = argument;
    loop_timer_free(w->gauge);
    submission_free(w->submission);
    delivery_free(w->delivery);
    w->gauge = NULL;
    w->submission = NULL;
    w->delivery = NULL;
    loop_post(w->gateway->workers[0].loop, worker_stopped_home, w->gateway);
}

static void part_stopped(void *context)
{
    struct worker *w = context;
    /* Freed with the next turn: this is called from inside the part. */
    if (--w->parts == 0)
        loop_post(w->loop, close_worker, w);
}

static void stop_worker(void *argument)
{
    struct worker *w = argument;
    int64_t grace = w->gateway->config->shutdown_grace_ms;
    /* The wire gets most of the time, commits and the rest of the house the remainder. */
    grace = grace > 2000 ? grace - 1000 : grace / 2;
    w->parts = 2;
    submission_stop(w->submission, grace, part_stopped, w);
    delivery_stop(w->delivery, grace, part_stopped, w);
}

static void begin_stop(void *context)
{
    struct gateway *g = context;
    if (g->is_stopping)
        return;
    g->is_stopping = true;
    sd_notify(0, "STOPPING=1");
    EVENT(log_sink(), EVENT_INFO, "stopping", FIELD_NUMBER(KEY_COUNT, count_connections(g)));
    for (unsigned i = 0; i < g->worker_count; i++)
        loop_post(g->workers[i].loop, stop_worker, &g->workers[i]);
}

/* ---- the beginning ---- */

static bool handle_signals(struct gateway *g)
{
    struct loop *l = g->workers[0].loop;
    signal(SIGPIPE, SIG_IGN);
    g->signals[0] = loop_signal_new(l, SIGTERM, begin_stop, g);
    g->signals[1] = loop_signal_new(l, SIGINT, begin_stop, g);
    g->signals[2] = loop_signal_new(l, SIGHUP, begin_reload, g);
    return (g->signals[0] && g->signals[1] && g->signals[2]) ||
           complain("no resources for signals");
}

static unsigned count_cores(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (unsigned)count : 1;
}

static bool make_loops(struct gateway *g)
{
    g->worker_count = g->config->workers > 0 ? g->config->workers : count_cores();
    g->workers = xalloc(g->worker_count * sizeof *g->workers);
    for (unsigned i = 0; i < g->worker_count; i++) {
        g->workers[i].gateway = g;
        g->workers[i].index = i;
        g->workers[i].loop = loop_new();
        if (!g->workers[i].loop)
            return complain("no resources for worker %u", i);
    }
    return true;
}

static bool make_resolver(struct gateway *g)
{
    g->dns = new_dns(g, g->config);
    g->sts = g->dns ? new_sts(g, g->config, g->dns) : NULL;
    return g->sts;
}

static void tick(void *context)
{
    struct gateway *g = context;
    posture_tick(g->posture, date_now());
    loop_timer_start(g->ticks, 60000);
}

static bool make_posture(struct gateway *g)
{
    g->posture = posture_new(g->queue, log_sink());
    g->ticks = loop_timer_new(g->workers[0].loop, tick, g);
    if (!g->posture || !g->ticks)
        return complain("no resources for the posture");
    loop_timer_start(g->ticks, 60000);
    return true;
}

/* The control socket answers before any listener accepts (INTERFACE.md). */
static bool open_rooms(struct gateway *g)
{
    struct loop *home = g->workers[0].loop;
    g->limits = submission_limits_new();
    if (!g->limits)
        return complain("no resources for the limits");
    if (!make_posture(g))
        return false;
    for (unsigned i = 0; i < g->worker_count; i++)
        if (!furnish(&g->workers[i]))
            return false;
    if (!open_tlsrpt(g))
        return false;
    g->reporter = reporter_new(home, g->queue, g->config->delivery, log_sink());
    struct control_facts facts = control_facts_of(g);
    g->control = control_server_new(home, g->control_fd, g->queue, &facts, log_sink());
    return (g->reporter && g->control) || complain("no resources for the control socket");
}

static bool open_doors(struct gateway *g)
{
    for (unsigned i = 0; i < g->worker_count; i++)
        if (!listen_on_all(&g->workers[i]))
            return false;
    return handle_signals(g);
}

static bool start_threads(struct gateway *g)
{
    for (unsigned i = 1; i < g->worker_count; i++) {
        int error = pthread_create(&g->workers[i].thread, NULL, run_worker, &g->workers[i]);
        if (error != 0)
            return complain("cannot start worker %u: %s", i, strerror(error));
    }
    return true;
}

static void run(struct gateway *g)
{
    g->running = g->worker_count;
    EVENT(log_sink(), EVENT_INFO, "ready", FIELD(KEY_FILE, g->file),
          FIELD_NUMBER(KEY_COUNT, g->bound_count));
    sd_notify(0, "READY=1");
    loop_run(g->workers[0].loop);
    for (unsigned i = 1; i < g->worker_count; i++)
        pthread_join(g->workers[i].thread, NULL);
}

/* Also of what was made before a start failed. */
static void take_down(struct gateway *g)
{
    posture_free(g->posture);
    queue_close(g->queue);
    submission_limits_free(g->limits);
    for (unsigned i = 0; i < g->worker_count; i++)
        loop_free(g->workers[i].loop);
    /* Password hashing left OpenSSL's state of each thread there, and exit() would end OpenSSL
     * before the threads. */
    loop_end_pool();
    for (size_t i = 0; i < g->bound_count; i++)
        close(g->bound[i].fd);
    /* One that was not bound here is another daemon's. */
    if (g->control_fd >= 0) {
        close(g->control_fd);
        (void)unlink(g->config->control_socket); /* its directory may not be ours to write in */
    }
    free(g->workers);
    free(g->bound);
    config_free(g->config);
}

int daemon_run(const char *file, struct config *config)
{
    struct gateway g = {.file = file, .config = config, .control_fd = -1, .started_at = date_now()};
    log_set_threshold(config->log_level);
    if (!prepare(&g) || !make_loops(&g) || !make_resolver(&g)) {
        take_down(&g);
        return 1;
    }
    /* What fails from here on ends the process as it stands, for rooms stop on running loops only:
     * nothing has been accepted yet, and the store is crash-safe. */
    if (!open_rooms(&g) || !open_doors(&g) || !start_threads(&g))
        return 1;
    run(&g);
    take_down(&g);
    return 0;
}
