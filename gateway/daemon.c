#include "gateway/daemon.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "gateway/checks.h"
#include "gateway/claim.h"
#include "gateway/control/control.h"
#include "gateway/delivery/reporter.h"
#include "gateway/dns/dns.h"
#include "gateway/log.h"
#include "gateway/posture/posture.h"
#include "gateway/sts/sts.h"
#include "gateway/submission/auth.h"
#include "gateway/tlsrpt/tlsrpt.h"
#include "gateway/worker.h"
#include "mail/date.h"

struct gateway {
    const char *file;
    struct config *config;
    struct claim claim;
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
    struct checks checks;
    struct reporter *reporter;
    struct tlsrpt *tlsrpt;
    struct worker **workers; /* [0] is home */
    unsigned worker_count;
    unsigned running; /* workers that have not stopped */
    int signal_fd;
    struct loop_watch *signals;
    bool is_stopping;
    int64_t started_at;
};

static struct loop *home(const struct gateway *g)
{
    return worker_loop(g->workers[0]);
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
    struct dns *dns = dns_new(home(g), &o, error, sizeof error);
    if (!dns)
        EVENT(log_sink(), EVENT_ERROR, "resolver", FIELD(KEY_ERROR, error));
    return dns;
}

static struct sts *new_sts(struct gateway *g, const struct config *c, struct dns *dns)
{
    struct sts_options o = {
        .dns = dns,
        .queue = g->claim.queue,
        .ca_file = c->ca_file,
        .blocked = c->delivery->blocked,
        .blocked_count = c->delivery->blocked_count,
        .ip_version = c->delivery->ip_version,
        .events = log_sink(),
    };
    struct sts *sts = sts_new(home(g), &o);
    if (!sts)
        EVENT(log_sink(), EVENT_ERROR, "mta-sts", FIELD(KEY_ERROR, "no resources for HTTPS"));
    return sts;
}

static unsigned count_connections(void *context)
{
    struct gateway *g = context;
    unsigned count = submission_limits_connections(g->limits);
    for (unsigned i = 0; i < g->worker_count; i++)
        count += worker_connections(g->workers[i]);
    return count;
}

static void resolver_words(void *context, char *out, size_t size)
{
    struct gateway *g = context;
    dns_self_test_words(g->dns, out, size);
}

static void *look(void *context, const char *domain, enum level level, control_viewed *viewed,
                  void *asker)
{
    struct gateway *g = context;
    struct probe_options o = {
        .loop = home(g),
        .dns = g->dns,
        .sts = g->sts,
        .posture = g->posture,
        .settings = g->config->delivery,
        .events = log_sink(),
        .domain = domain,
        .level = level,
    };
    return checks_begin(&g->checks, &o, viewed, asker);
}

static void cancel_look(void *context, void *look)
{
    (void)context;
    checks_cancel(look);
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
        .key = c->report_key,
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
        .loop = home(g),
        .queue = g->claim.queue,
        .dns = g->dns,
        .settings = &settings,
        .events = log_sink(),
    };
    g->tlsrpt = tlsrpt_new(&o);
    return g->tlsrpt || log_complain("no resources for the reports about TLS");
}

static struct worker_options worker_options_of(struct gateway *g, const struct config *c,
                                               unsigned index)
{
    return (struct worker_options){
        .queue = g->claim.queue,
        .dns = g->dns,
        .sts = g->sts,
        .posture = g->posture,
        .limits = g->limits,
        .submission = c->submission,
        .delivery = c->delivery,
        .share = index,
        .shares = g->worker_count,
        .events = log_sink(),
    };
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

static void worker_released(void *context)
{
    struct gateway *g = context;
    if (--g->releasing == 0)
        reload_is_over(g);
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
    checks_end(&g->checks); /* resolver and settings are taken away from under them */
    g->old_dns = g->dns;
    g->old_sts = g->sts;
    sts_retire(g->old_sts);
    g->dns = dns;
    g->sts = sts;
    g->releasing = g->worker_count;
    for (unsigned i = 0; i < g->worker_count; i++) {
        struct worker_options o = worker_options_of(g, new, i);
        worker_reload(g->workers[i], &o, worker_released, g);
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
    loop_watch_free(g->signals);
    sts_free(g->old_sts);
    sts_free(g->sts);
    dns_free(g->old_dns);
    dns_free(g->dns);
    loop_timer_free(g->ticks);
    control_server_free(g->control);
    reporter_free(g->reporter);
    tlsrpt_free(g->tlsrpt);
    for (unsigned i = 0; i < g->worker_count; i++)
        loop_stop(worker_loop(g->workers[i]));
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

static void worker_stopped(void *context)
{
    struct gateway *g = context;
    if (--g->running == 0)
        reporter_stop(g->reporter, reporter_stopped, g);
}

static void begin_stop(void *context)
{
    struct gateway *g = context;
    if (g->is_stopping)
        return;
    g->is_stopping = true;
    /* The wire gets most of the time, commits and the rest of the house the remainder. */
    int64_t grace = g->config->shutdown_grace_ms;
    grace = grace > 2000 ? grace - 1000 : grace / 2;
    sd_notify(0, "STOPPING=1");
    EVENT(log_sink(), EVENT_INFO, "stopping", FIELD_NUMBER(KEY_COUNT, count_connections(g)));
    for (unsigned i = 0; i < g->worker_count; i++)
        worker_stop(g->workers[i], grace, worker_stopped, g);
}

/* ---- the beginning ---- */

/* Blocked in every thread, from before there is a second one to the end: with no handler at any
 * moment, none can end us before the last commit. */
static sigset_t block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    return set;
}

static void take_signals(void *context)
{
    struct gateway *g = context;
    struct signalfd_siginfo info;
    while (read(g->signal_fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGHUP)
            begin_reload(g);
        else
            begin_stop(g);
    }
}

static bool handle_signals(struct gateway *g)
{
    sigset_t set = block_signals();
    g->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    g->signals = g->signal_fd >= 0 ? loop_watch_new(home(g), g->signal_fd, take_signals, g) : NULL;
    return g->signals || log_complain("no resources for signals");
}

static unsigned count_cores(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (unsigned)count : 1;
}

static bool make_loops(struct gateway *g)
{
    g->worker_count = g->config->workers > 0 ? g->config->workers : count_cores();
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): the elements are pointers */
    g->workers = xalloc(g->worker_count * sizeof *g->workers);
    for (unsigned i = 0; i < g->worker_count; i++) {
        g->workers[i] = worker_new(g->workers[0]);
        if (!g->workers[i])
            return log_complain("no resources for worker %u", i);
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
    g->posture = posture_new(g->claim.queue, log_sink());
    g->ticks = loop_timer_new(home(g), tick, g);
    if (!g->posture || !g->ticks)
        return log_complain("no resources for the posture");
    loop_timer_start(g->ticks, 60000);
    return true;
}

/* The control socket answers before any listener accepts (INTERFACE.md). */
static bool open_rooms(struct gateway *g)
{
    g->limits = submission_limits_new();
    if (!g->limits)
        return log_complain("no resources for the limits");
    if (!make_posture(g))
        return false;
    for (unsigned i = 0; i < g->worker_count; i++) {
        struct worker_options o = worker_options_of(g, g->config, i);
        if (!worker_furnish(g->workers[i], &o))
            return log_complain("no resources for worker %u", i);
    }
    if (!open_tlsrpt(g))
        return false;
    g->reporter = reporter_new(home(g), g->claim.queue, g->config->delivery, log_sink());
    struct control_facts facts = control_facts_of(g);
    g->control =
        control_server_new(home(g), g->claim.control_fd, g->claim.queue, &facts, log_sink());
    return (g->reporter && g->control) || log_complain("no resources for the control socket");
}

static bool listen_on(struct worker *w, const struct claim *c)
{
    for (size_t i = 0; i < c->port_count; i++) {
        int error = worker_listen(w, c->ports[i].fd, c->ports[i].listener);
        if (error != 0)
            return log_complain("cannot listen: %s", strerror(-error));
    }
    return true;
}

static bool open_doors(struct gateway *g)
{
    for (unsigned i = 0; i < g->worker_count; i++)
        if (!listen_on(g->workers[i], &g->claim))
            return false;
    return handle_signals(g);
}

static bool start_threads(struct gateway *g)
{
    for (unsigned i = 1; i < g->worker_count; i++) {
        int error = worker_start(g->workers[i]);
        if (error != 0)
            return log_complain("cannot start worker %u: %s", i, strerror(error));
    }
    return true;
}

static void run(struct gateway *g)
{
    g->running = g->worker_count;
    EVENT(log_sink(), EVENT_INFO, "ready", FIELD(KEY_FILE, g->file),
          FIELD_NUMBER(KEY_COUNT, g->claim.port_count));
    sd_notify(0, "READY=1");
    loop_run(home(g));
    for (unsigned i = 1; i < g->worker_count; i++)
        worker_join(g->workers[i]);
}

/* Also of what was made before a start failed. */
static void take_down(struct gateway *g)
{
    if (g->signal_fd >= 0)
        close(g->signal_fd);
    posture_free(g->posture);
    claim_release(&g->claim, g->config);
    submission_limits_free(g->limits);
    for (unsigned i = 0; i < g->worker_count; i++)
        worker_free(g->workers[i]);
    /* Password hashing left OpenSSL's state of each thread there, and exit() would end OpenSSL
     * before the threads. */
    loop_end_pool();
    free(g->workers);
    config_free(g->config);
}

int daemon_run(const char *file, struct config *config)
{
    struct gateway g = {.file = file, .config = config, .signal_fd = -1, .started_at = date_now()};
    block_signals();
    log_set_threshold(config->log_level);
    if (!claim_take(&g.claim, config) || !make_loops(&g) || !make_resolver(&g)) {
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
