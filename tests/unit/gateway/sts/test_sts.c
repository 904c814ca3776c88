/* Finding, keeping and refreshing: DNS is a table and the clock stands still, the policy host and
 * the store are real. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/sts/fetch.h"
#include "gateway/sts/sts.h"
#include "queue/policy.h"
#include "queue/room.h"
#include "tests/support/https_server.h"
#include "tests/support/pki.h"
#include "tests/support/queue_desk.h"

#define NOW 1800000000
#define HEAD "version: STSv1\nmax_age: 604800\n"
#define ENFORCE HEAD "mode: enforce\nmx: mx.one.test\n"
#define OTHER HEAD "mode: enforce\nmx: other.one.test\n"

static char folder[] = "/tmp/sealpost-test-sts-XXXXXX";
static char ca_file[64];
static struct pki_identity true_ca;
static struct https_server server;
static struct desk desk;

/* The home loop has a thread of its own; the lock guards the world and the answers got. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t bell = PTHREAD_COND_INITIALIZER;

#define LOCKED(statement)                                                                          \
    do {                                                                                           \
        pthread_mutex_lock(&lock);                                                                 \
        statement;                                                                                 \
        pthread_mutex_unlock(&lock);                                                               \
    } while (0)

/* What DNS says of every name, and what was asked. */
struct world {
    struct loop *loop; /* home */
    pthread_t thread;
    int64_t now;
    enum dns_status txt_status;
    const char *record;
    enum dns_status host_status;
    const char *address;
    const char *also; /* each policy host's second address; NULL: it has one */
    bool is_holding;  /* nothing is answered */
    bool is_spread;   /* the policy host of dN has the address 127.1.0.N */
    unsigned txt_asked;
    unsigned host_asked;
    unsigned live; /* questions neither answered nor cancelled */
    struct sts_outside outside;
    struct sts *sts;
};

struct asked {
    struct world *world;
    void (*txt)(void *asker, const struct dns_txt *txt);
    void (*host)(void *asker, const struct dns_host *host);
    void *asker;
    char name[DOMAIN_SIZE];
    bool is_cancelled;
    bool is_held;
};

static void answer_dns(void *argument)
{
    struct asked *a = argument;
    struct world *w = a->world;
    if (a->is_cancelled) {
        free(a);
        return;
    }
    pthread_mutex_lock(&lock);
    w->live--;
    if (a->txt) {
        struct slice text = slice_of(w->record);
        struct dns_txt txt = {.status = w->txt_status,
                              .expires_at = w->now + 300,
                              .count = w->txt_status == DNS_DATA ? 1 : 0,
                              .texts = &text};
        if (w->txt_status != DNS_DATA)
            snprintf(txt.detail, sizeof txt.detail, "TXT did not work");
        pthread_mutex_unlock(&lock);
        a->txt(a->asker, &txt);
    } else {
        struct net_address addresses[2];
        struct dns_host host = {.status = w->host_status, .addresses = addresses};
        unsigned number = 0;
        char spread[32];
        const char *digits = a->name + strlen("mta-sts.d");
        if (w->is_spread && strncmp(a->name, "mta-sts.d", 9) == 0)
            number = (unsigned)strtoul(digits, NULL, 10);
        snprintf(spread, sizeof spread, "127.1.0.%u", number);
        assert_true(net_address_parse(slice_of(number > 0 ? spread : w->address), &addresses[0]));
        if (w->also)
            assert_true(net_address_parse(slice_of(w->also), &addresses[1]));
        if (w->host_status == DNS_DATA)
            host.address_count = w->also ? 2 : 1;
        snprintf(host.detail, sizeof host.detail, "the host did not work");
        pthread_mutex_unlock(&lock);
        a->host(a->asker, &host);
    }
    free(a);
}

static struct dns_question *ask(struct world *w, struct asked asked)
{
    struct asked *a = xalloc(sizeof *a);
    *a = asked;
    a->world = w;
    LOCKED(a->is_held = w->is_holding; w->live++; w->txt_asked += asked.txt != NULL;
           w->host_asked += asked.host != NULL);
    if (!a->is_held)
        loop_post(w->loop, answer_dns, a);
    return (struct dns_question *)a;
}

static struct dns_question *find_txt(void *context, const char *name,
                                     void (*found)(void *asker, const struct dns_txt *txt),
                                     void *asker)
{
    struct world *w = context;
    assert_int_equal(strncmp(name, "_mta-sts.", 9), 0);
    return ask(w, (struct asked){.txt = found, .asker = asker});
}

static struct dns_question *find_host(void *context, const char *host,
                                      void (*found)(void *asker, const struct dns_host *host),
                                      void *asker)
{
    struct world *w = context;
    assert_int_equal(strncmp(host, "mta-sts.", 8), 0);
    struct asked asked = {.host = found, .asker = asker};
    snprintf(asked.name, sizeof asked.name, "%s", host);
    return ask(w, asked);
}

static void cancel(void *context, struct dns_question *question)
{
    struct world *w = context;
    struct asked *a = (struct asked *)question;
    LOCKED(w->live--);
    a->is_cancelled = true;
    if (a->is_held)
        free(a);
}

static int64_t now(void *context)
{
    struct world *w = context;
    int64_t at;
    LOCKED(at = w->now);
    return at;
}

static uint32_t middle(void *context)
{
    (void)context;
    return 10; /* of 0 to 20 */
}

static void write_policy(const char *host, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s.policy", folder, host);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static unsigned requests(void)
{
    char path[256];
    struct stat st;
    snprintf(path, sizeof path, "%s/seen", folder);
    return stat(path, &st) == 0 ? (unsigned)st.st_size : 0;
}

/* What events of states said, "enforce one.test\n". */
static char told[4096];

static void emit(void *context, enum event_severity severity, const char *event,
                 const struct event_field *fields, size_t count)
{
    const char *domain = "";
    const char *state = "";
    (void)context, (void)severity;
    assert_string_equal(event, "sts");
    for (size_t i = 0; i < count; i++) {
        if (fields[i].key == KEY_DOMAIN)
            domain = fields[i].text;
        if (fields[i].key == KEY_STATE)
            state = fields[i].text;
    }
    pthread_mutex_lock(&lock);
    size_t len = strlen(told);
    snprintf(told + len, sizeof told - len, "%s %s\n", state, domain);
    pthread_mutex_unlock(&lock);
}

static struct event_sink events = {.emit = emit};

static void start_sts(struct world *w, const char *blocked)
{
    struct net_network network;
    struct sts_options o = {.queue = desk.q,
                            .ca_file = ca_file,
                            .blocked = &network,
                            .blocked_count = blocked ? 1 : 0,
                            .events = &events,
                            .outside = &w->outside};
    if (blocked)
        assert_true(net_network_parse(slice_of(blocked), &network));
    w->sts = sts_new(w->loop, &o);
}

static void *run_home(void *context)
{
    struct world *w = context;
    loop_run(w->loop);
    return NULL;
}

static void open_world(struct world *w)
{
    *w = (struct world){
        .loop = loop_new(), .now = NOW, .record = "v=STSv1; id=1;", .address = "127.0.0.1"};
    w->outside = (struct sts_outside){.find_txt = find_txt,
                                      .find_host = find_host,
                                      .cancel = cancel,
                                      .now = now,
                                      .random = middle,
                                      .context = w,
                                      .port = server.port};
    LOCKED(told[0] = '\0');
    desk_open(&desk, (uint64_t)64 << 20);
    write_policy("mta-sts.one.test", ENFORCE);
    start_sts(w, NULL);
    assert_int_equal(pthread_create(&w->thread, NULL, run_home, w), 0);
}

static void stop_all(void *context)
{
    struct world *w = context;
    sts_free(w->sts);
    loop_stop(w->loop);
}

static void close_world(struct world *w)
{
    loop_post(w->loop, stop_all, w);
    pthread_join(w->thread, NULL);
    assert_int_equal(w->live, 0);
    loop_free(w->loop);
    desk_close(&desk);
}

struct got {
    unsigned count;
    enum sts_status status;
    enum sts_mode mode;
    enum sts_failure failure;
    char id[STS_ID_SIZE];
    char mx[DOMAIN_SIZE];
    int64_t fetched_at, expires_at;
    char detail[400];
};

static void found(void *context, const struct sts_answer *answer)
{
    struct got *g = context;
    pthread_mutex_lock(&lock);
    g->count++;
    g->status = answer->status;
    g->failure = answer->failure;
    snprintf(g->detail, sizeof g->detail, "%s", answer->detail);
    if (answer->policy) {
        g->mode = answer->policy->mode;
        g->fetched_at = answer->policy->fetched_at;
        g->expires_at = answer->policy->expires_at;
        memcpy(g->id, answer->policy->id, sizeof g->id);
        if (answer->policy->mx_count > 0)
            memcpy(g->mx, answer->policy->mx[0], sizeof g->mx);
    }
    pthread_cond_broadcast(&bell);
    pthread_mutex_unlock(&lock);
}

/* Ten seconds without it end the test. */
static void wait_until_in(bool (*is_so)(const void *of), const void *of, int line)
{
    for (unsigned rounds = 0; rounds < 2000; rounds++) {
        bool is_over;
        LOCKED(is_over = is_so(of));
        if (is_over)
            return;
        usleep(5000);
    }
    fail_msg("line %d: it does not come", line);
}
#define wait_until(is_so, of) wait_until_in(is_so, of, __LINE__)

static bool has_answer(const void *of)
{
    const struct got *g = of;
    return g->count > 0;
}

static bool is_idle(const void *of)
{
    const struct world *w = of;
    return w->live == 0;
}

static bool has_asked_all(const void *of)
{
    const struct world *w = of;
    return w->live == 60;
}

static size_t walked_most; /* in one go */
bool __real_queue_policies_walk_some(struct queue *q, char at[DOMAIN_SIZE], size_t max,
                                     queue_policy_visit *visit, void *context);
bool __wrap_queue_policies_walk_some(struct queue *q, char at[DOMAIN_SIZE], size_t max,
                                     queue_policy_visit *visit, void *context);
bool __wrap_queue_policies_walk_some(struct queue *q, char at[DOMAIN_SIZE], size_t max,
                                     queue_policy_visit *visit, void *context)
{
    LOCKED(walked_most = max > walked_most ? max : walked_most);
    return __real_queue_policies_walk_some(q, at, max, visit, context);
}

struct restart {
    struct world *world;
    const char *blocked;
    bool is_done;
};

static void begin_anew(void *context)
{
    struct restart *r = context;
    sts_free(r->world->sts);
    start_sts(r->world, r->blocked);
    LOCKED(r->is_done = true);
}

static bool has_begun(const void *of)
{
    const struct restart *r = of;
    return r->is_done;
}

/* On its home loop, as it must be. */
static void restart(struct world *w, const char *blocked)
{
    struct restart r = {.world = w, .blocked = blocked};
    loop_post(w->loop, begin_anew, &r);
    wait_until(has_begun, &r);
}

static void retire(void *sts)
{
    sts_retire(sts);
}

static void cancel_question(void *question)
{
    sts_cancel(question);
}

static struct got find_how(struct world *w, const char *domain, enum sts_how how)
{
    struct got g = {0};
    struct got copy;
    assert_non_null(sts_find(w->sts, w->loop, domain, how, found, &g));
    wait_until(has_answer, &g);
    LOCKED(copy = g);
    assert_int_equal(copy.count, 1);
    return copy;
}

static struct got find(struct world *w, const char *domain)
{
    return find_how(w, domain, STS_CACHED_FIRST);
}

static struct got refetch(struct world *w, const char *domain)
{
    return find_how(w, domain, STS_REFETCH);
}

static void wait_for_id(const char *domain, const char *id)
{
    for (unsigned rounds = 0; rounds < 2000; rounds++, usleep(5000)) {
        struct queue_policy p;
        if (queue_policy_find(desk.q, domain, &p) != 0)
            continue;
        bool is_it = strcmp(p.id, id) == 0;
        queue_policy_clear(&p);
        if (is_it)
            return;
    }
    fail_msg("%s: no policy with id %s in the store", domain, id);
}

static unsigned count_of(struct world *w, const unsigned *counter)
{
    unsigned count;
    (void)w;
    LOCKED(count = *counter);
    return count;
}

static void the_policy_is_found_and_kept(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    unsigned before = requests();
    struct got g = find(&w, "One.Test.");
    assert_int_equal(g.status, STS_POLICY);
    assert_int_equal(g.mode, STS_MODE_ENFORCE);
    assert_string_equal(g.mx, "mx.one.test");
    assert_string_equal(g.id, "1");
    assert_int_equal(g.fetched_at, NOW);
    assert_int_equal(g.expires_at, NOW + 604800);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(find(&w, "one.test").status, STS_POLICY);
    assert_int_equal(requests(), before + 1);
    assert_int_equal(count_of(&w, &w.txt_asked), 1);
    wait_for_id("one.test", "1");
    close_world(&w);
}

static void it_outlives_a_restart(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    assert_int_equal(find(&w, "one.test").status, STS_POLICY);
    wait_for_id("one.test", "1");
    restart(&w, NULL);
    struct got g = find(&w, "one.test");
    assert_int_equal(g.status, STS_POLICY);
    assert_string_equal(g.mx, "mx.one.test");
    assert_string_equal(g.id, "1");
    assert_int_equal(g.expires_at, NOW + 604800);
    assert_int_equal(count_of(&w, &w.txt_asked), 1);
    close_world(&w);
}

static void who_asks_together_shares_one_look(void **state)
{
    (void)state;
    struct world w;
    struct got g[20] = {0};
    open_world(&w);
    unsigned before = requests();
    for (unsigned i = 0; i < 20; i++)
        assert_non_null(sts_find(w.sts, w.loop, "one.test",
                                 i % 4 == 3 ? STS_REFETCH : STS_CACHED_FIRST, found, &g[i]));
    for (unsigned i = 0; i < 20; i++) {
        wait_until(has_answer, &g[i]);
        assert_int_equal(g[i].status, STS_POLICY);
    }
    assert_int_equal(requests(), before + 1);
    assert_int_equal(count_of(&w, &w.txt_asked), 1);
    close_world(&w);
}

/* What a look may meet; asked with nothing cached, and again with a policy in force. */
struct look_case {
    const char *claim;
    enum dns_status txt;
    const char *record;
    enum dns_status host;
    const char *domain; /* "one.test" unless said */
    const char *served;
    enum sts_status want;
    enum sts_failure failure;
    const char *detail;
};

#define GOOD "v=STSv1; id=2;"
static const struct look_case looks[] = {
    {"no_record", DNS_NXDOMAIN, GOOD, DNS_DATA, NULL, OTHER, STS_NONE, STS_FAILURE_NONE, ""},
    {"no_text", DNS_NODATA, GOOD, DNS_DATA, NULL, OTHER, STS_NONE, STS_FAILURE_NONE, ""},
    {"texts_of_others", DNS_DATA, "v=spf1", DNS_DATA, NULL, OTHER, STS_NONE, STS_FAILURE_NONE, ""},
    {"a_malformed_record", DNS_DATA, "v=STSv1; id=;", DNS_DATA, NULL, OTHER, STS_NONE,
     STS_FAILURE_INVALID, "malformed MTA-STS TXT record at _mta-sts.one.test"},
    {"a_failed_txt_look_up", DNS_FAILED, GOOD, DNS_DATA, NULL, OTHER, STS_UNKNOWN,
     STS_FAILURE_FETCH, "TXT did not work"},
    {"a_bogus_txt_record", DNS_BOGUS, GOOD, DNS_DATA, NULL, OTHER, STS_UNKNOWN, STS_FAILURE_FETCH,
     "TXT did not work"},
    {"our_resolver_at_the_txt_record", DNS_OUR_FAULT, GOOD, DNS_DATA, NULL, OTHER, STS_OUR_FAULT,
     STS_FAILURE_NONE, "TXT did not work"},
    {"no_policy_host", DNS_DATA, GOOD, DNS_NXDOMAIN, NULL, OTHER, STS_NONE, STS_FAILURE_FETCH,
     "mta-sts.one.test has no address"},
    {"a_policy_host_without_address", DNS_DATA, GOOD, DNS_NODATA, NULL, OTHER, STS_NONE,
     STS_FAILURE_FETCH, "mta-sts.one.test has no address"},
    {"a_failed_look_up_of_the_policy_host", DNS_DATA, GOOD, DNS_FAILED, NULL, OTHER, STS_UNKNOWN,
     STS_FAILURE_FETCH, "the host did not work"},
    {"a_bogus_policy_host", DNS_DATA, GOOD, DNS_BOGUS, NULL, OTHER, STS_UNKNOWN, STS_FAILURE_FETCH,
     "the host did not work"},
    {"our_resolver_at_the_policy_host", DNS_DATA, GOOD, DNS_OUR_FAULT, NULL, OTHER, STS_OUR_FAULT,
     STS_FAILURE_NONE, "the host did not work"},
    {"not_found", DNS_DATA, GOOD, DNS_DATA, NULL, "!/status/404", STS_NONE, STS_FAILURE_FETCH,
     "mta-sts.one.test answered with status 404"},
    {"a_success_that_is_not_200", DNS_DATA, GOOD, DNS_DATA, NULL, "!/status/203", STS_NONE,
     STS_FAILURE_FETCH, "mta-sts.one.test answered with status 203"},
    {"a_server_error", DNS_DATA, GOOD, DNS_DATA, NULL, "!/status/503", STS_UNKNOWN,
     STS_FAILURE_FETCH, "mta-sts.one.test answered with status 503"},
    {"a_redirect", DNS_DATA, GOOD, DNS_DATA, NULL, "!/redirect", STS_NONE, STS_FAILURE_FETCH,
     "mta-sts.one.test answered with status 301"},
    {"another_type", DNS_DATA, GOOD, DNS_DATA, NULL, "!/html", STS_NONE, STS_FAILURE_INVALID,
     "the policy of mta-sts.one.test is not text/plain"},
    {"no_type", DNS_DATA, GOOD, DNS_DATA, NULL, "!/no-type", STS_NONE, STS_FAILURE_INVALID,
     "the policy of mta-sts.one.test is not text/plain"},
    {"an_invalid_policy", DNS_DATA, GOOD, DNS_DATA, NULL, HEAD "mode: enforce\n", STS_NONE,
     STS_FAILURE_INVALID, "the policy of mta-sts.one.test is invalid: no mx"},
    {"too_large_a_policy", DNS_DATA, GOOD, DNS_DATA, NULL, "!/size/65537", STS_NONE,
     STS_FAILURE_INVALID, "https://mta-sts.one.test: the answer is too large"},
    {"a_policy_that_is_cut_off", DNS_DATA, GOOD, DNS_DATA, NULL, "!/cut", STS_UNKNOWN,
     STS_FAILURE_FETCH, NULL},
    {"a_certificate_of_another", DNS_DATA, GOOD, DNS_DATA, "foreign.test", OTHER, STS_NONE,
     STS_FAILURE_WEBPKI, NULL},
};

static void set_look(struct world *w, const struct look_case *c)
{
    const char *domain = c->domain ? c->domain : "one.test";
    char host[128];
    snprintf(host, sizeof host, "mta-sts.%s", domain);
    LOCKED(w->txt_status = c->txt; w->record = c->record; w->host_status = c->host);
    write_policy(host, c->served);
}

static void without_a_policy(void **state)
{
    const struct look_case *c = *state;
    struct world w;
    open_world(&w);
    set_look(&w, c);
    struct got g = find(&w, c->domain ? c->domain : "one.test");
    assert_int_equal(g.status, c->want);
    assert_int_equal(g.failure, c->failure);
    if (c->detail)
        assert_string_equal(g.detail, c->detail);
    close_world(&w);
}

static void with_a_policy_in_force(void **state)
{
    const struct look_case *c = *state;
    struct world w;
    open_world(&w);
    if (!c->domain) {
        assert_int_equal(find(&w, "one.test").status, STS_POLICY);
        set_look(&w, c);
        LOCKED(w.now += 86400 * 6);
        struct got g = refetch(&w, "one.test");
        assert_int_equal(g.status, STS_POLICY);
        assert_string_equal(g.mx, "mx.one.test");
        assert_string_equal(g.id, "1");
        wait_for_id("one.test", "1");
        /* When it ends, the look counts. */
        LOCKED(w.now = NOW + 604800);
        assert_int_equal(find(&w, "one.test").status, c->want);
    }
    close_world(&w);
}

static void a_new_id_brings_the_new_policy_behind_the_answer(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    assert_int_equal(find(&w, "one.test").status, STS_POLICY);
    write_policy("mta-sts.one.test", OTHER);
    LOCKED(w.record = "v=STSv1; id=2"; w.now += 3599);
    assert_string_equal(find(&w, "one.test").id, "1");
    assert_int_equal(count_of(&w, &w.txt_asked), 1);
    LOCKED(w.now += 1);
    assert_string_equal(find(&w, "one.test").id, "1");
    wait_for_id("one.test", "2");
    struct got g = find(&w, "one.test");
    assert_string_equal(g.id, "2");
    assert_string_equal(g.mx, "other.one.test");
    assert_int_equal(g.expires_at, NOW + 3600 + 604800);
    close_world(&w);
}

static void the_id_that_is_known_asks_for_no_policy(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    assert_int_equal(find(&w, "one.test").status, STS_POLICY);
    unsigned before = requests();
    LOCKED(w.now += 3600);
    assert_int_equal(find(&w, "one.test").status, STS_POLICY);
    wait_until(is_idle, &w);
    assert_int_equal(find(&w, "one.test").status, STS_POLICY);
    assert_int_equal(count_of(&w, &w.txt_asked), 2);
    assert_int_equal(count_of(&w, &w.host_asked), 1);
    assert_int_equal(requests(), before);
    close_world(&w);
}

static void refetching_takes_the_policy_though_the_id_is_known_once_a_minute(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    assert_int_equal(find(&w, "one.test").status, STS_POLICY);
    write_policy("mta-sts.one.test", OTHER);
    assert_string_equal(refetch(&w, "one.test").mx, "other.one.test");
    write_policy("mta-sts.one.test", ENFORCE);
    LOCKED(w.now += 59);
    assert_string_equal(refetch(&w, "one.test").mx, "other.one.test");
    LOCKED(w.now += 1);
    assert_string_equal(refetch(&w, "one.test").mx, "mx.one.test");
    assert_int_equal(count_of(&w, &w.txt_asked), 3);
    close_world(&w);
}

static void a_policy_of_mode_none_takes_the_place_of_an_enforced_one(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    assert_int_equal(find(&w, "one.test").mode, STS_MODE_ENFORCE);
    write_policy("mta-sts.one.test", HEAD "mode: none\n");
    LOCKED(w.record = "v=STSv1; id=3");
    struct got g = refetch(&w, "one.test");
    assert_int_equal(g.status, STS_POLICY);
    assert_int_equal(g.mode, STS_MODE_NONE);
    wait_for_id("one.test", "3");
    close_world(&w);
}

static void a_policy_is_refreshed_ahead_of_its_end_though_nobody_asks(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    assert_int_equal(find(&w, "one.test").status, STS_POLICY);
    wait_for_id("one.test", "1");
    struct queue_policy p;
    assert_int_equal(queue_policy_find(desk.q, "one.test", &p), 0);
    assert_int_equal(p.refresh_at, NOW + 86400); /* the middle of 40 to 60 % of two days */
    assert_int_equal(p.checked_at, NOW);
    queue_policy_clear(&p);
    LOCKED(w.now += 86400; w.record = "v=STSv1; id=4");
    /* The sweep comes a second after the start. */
    wait_for_id("one.test", "4");
    close_world(&w);
}

static void a_refresh_that_fails_is_tried_again_ever_more_rarely(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    assert_int_equal(find(&w, "one.test").status, STS_POLICY);
    LOCKED(w.now += 86400; w.txt_status = DNS_FAILED);
    assert_int_equal(find(&w, "one.test").status, STS_POLICY);
    wait_until(is_idle, &w);
    unsigned asked = count_of(&w, &w.txt_asked);
    LOCKED(w.now += 299);
    assert_int_equal(find(&w, "one.test").status, STS_POLICY);
    wait_until(is_idle, &w);
    assert_int_equal(count_of(&w, &w.txt_asked), asked);
    LOCKED(w.now += 1);
    assert_int_equal(find(&w, "one.test").status, STS_POLICY);
    wait_until(is_idle, &w);
    (void)find(&w, "one.test");
    assert_int_equal(count_of(&w, &w.txt_asked), asked + 1);
    LOCKED(w.now += 599);
    (void)find(&w, "one.test");
    (void)find(&w, "one.test");
    assert_int_equal(count_of(&w, &w.txt_asked), asked + 1);
    close_world(&w);
}

/* How long an answer without policy is believed, by what it was. */
static void absence_is_believed_for_some_time(void **state)
{
    (void)state;
    static const struct {
        enum dns_status txt;
        const char *served;
        int64_t seconds; /* 0: not at all */
    } cases[] = {
        {DNS_NXDOMAIN, ENFORCE, 300}, /* the TTL of the table */
        {DNS_DATA, "!/status/404", 300}, {DNS_DATA, "!/status/500", 60},
        {DNS_FAILED, ENFORCE, 60},       {DNS_OUR_FAULT, ENFORCE, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct world w;
        open_world(&w);
        LOCKED(w.txt_status = cases[i].txt);
        write_policy("mta-sts.one.test", cases[i].served);
        enum sts_status first = find(&w, "one.test").status;
        assert_int_not_equal(first, STS_POLICY);
        LOCKED(w.txt_status = DNS_DATA; w.now += cases[i].seconds - (cases[i].seconds > 0));
        write_policy("mta-sts.one.test", ENFORCE);
        if (cases[i].seconds > 0) {
            assert_int_equal(find(&w, "one.test").status, first);
            LOCKED(w.now += 1);
        }
        assert_int_equal(find(&w, "one.test").status, STS_POLICY);
        close_world(&w);
    }
}

static void a_policy_host_in_a_blocked_network_is_not_asked(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    unsigned before = requests();
    restart(&w, "127.0.0.0/8");
    struct got g = find(&w, "one.test");
    assert_int_equal(g.status, STS_NONE);
    assert_string_equal(g.detail, "every address of mta-sts.one.test is in a blocked network");
    assert_int_equal(requests(), before);
    close_world(&w);
}

static void a_max_age_of_0_is_an_answer_and_no_more(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    write_policy("mta-sts.one.test", "version: STSv1\nmode: enforce\nmx: a\nmax_age: 0\n");
    assert_int_equal(find(&w, "one.test").status, STS_POLICY);
    LOCKED(w.txt_status = DNS_NXDOMAIN);
    assert_int_equal(find(&w, "one.test").status, STS_NONE);
    close_world(&w);
}

static void what_cannot_have_a_record_has_no_policy(void **state)
{
    (void)state;
    struct world w;
    char name[DOMAIN_SIZE + 20];
    open_world(&w);
    memset(name, 'a', sizeof name);
    for (size_t i = 60; i < sizeof name; i += 60)
        name[i] = '.';
    name[245] = '\0';
    assert_int_equal(find(&w, name).status, STS_NONE);
    assert_int_equal(find(&w, "").status, STS_NONE);
    memset(name + 245, 'b', 20);
    name[sizeof name - 1] = '\0';
    assert_int_equal(find(&w, name).status, STS_NONE);
    assert_int_equal(count_of(&w, &w.txt_asked), 0);
    name[244] = '\0';
    LOCKED(w.txt_status = DNS_NXDOMAIN);
    assert_int_equal(find(&w, name).status, STS_NONE);
    assert_int_equal(count_of(&w, &w.txt_asked), 1);
    close_world(&w);
}

static bool is_out_of_store(const void *domain)
{
    struct queue_policy p;
    int rc = queue_policy_find(desk.q, domain, &p);
    queue_policy_clear(&p);
    return rc == -ENOENT;
}

static void what_is_forgotten_is_fetched_anew(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    assert_int_equal(find(&w, "one.test").status, STS_POLICY);
    wait_for_id("one.test", "1");
    LOCKED(w.record = "v=STSv1; id=5");
    sts_forget(w.sts, "One.test");
    assert_string_equal(find(&w, "one.test").id, "5");
    LOCKED(w.txt_status = DNS_NXDOMAIN);
    sts_forget(w.sts, "one.test");
    assert_int_equal(find(&w, "one.test").status, STS_NONE);
    wait_until(is_out_of_store, "one.test");
    LOCKED(w.txt_status = DNS_DATA);
    sts_forget(w.sts, "one.test");
    assert_int_equal(find(&w, "one.test").status, STS_POLICY);
    close_world(&w);
}

struct damage_op {
    struct op op;
};

static int run_damage(struct op *op, struct batch *b)
{
    (void)op;
    return store_put(b->txn, TABLE_POLICY, SLICE("one.test"), SLICE("?"));
}

/* Nobody knows what was in it: perhaps a policy in force. */
static void a_record_that_cannot_be_read_is_our_fault_until_a_policy_takes_its_place(void **state)
{
    (void)state;
    struct world w;
    struct desk_answer done = {0};
    open_world(&w);
    struct damage_op *damage = op_new(sizeof *damage, run_damage, &desk.poster, desk_done, &done);
    writer_submit(desk.q, &damage->op);
    assert_int_equal(desk_wait(&desk, &done), 0);
    LOCKED(w.txt_status = DNS_NXDOMAIN);
    struct got g = find(&w, "one.test");
    assert_int_equal(g.status, STS_OUR_FAULT);
    assert_string_equal(g.detail, "the store could not be read for an MTA-STS policy");
    LOCKED(w.txt_status = DNS_DATA);
    assert_int_equal(find(&w, "one.test").status, STS_POLICY);
    wait_for_id("one.test", "1");
    close_world(&w);
}

static void a_cancelled_question_is_never_answered(void **state)
{
    (void)state;
    struct world w;
    struct got g[2] = {0};
    open_world(&w);
    struct sts_question *q = sts_find(w.sts, w.loop, "one.test", STS_CACHED_FIRST, found, &g[0]);
    assert_non_null(sts_find(w.sts, w.loop, "one.test", STS_CACHED_FIRST, found, &g[1]));
    loop_post(w.loop, cancel_question, q);
    wait_until(has_answer, &g[1]);
    assert_int_equal(find(&w, "one.test").status, STS_POLICY);
    assert_int_equal(g[0].count, 0);
    close_world(&w);
}

static void freeing_tells_those_who_wait_that_it_is_our_fault(void **state)
{
    (void)state;
    struct world w;
    struct got g[60] = {0};
    open_world(&w);
    LOCKED(w.is_holding = true);
    for (unsigned i = 0; i < 60; i++) {
        char domain[32];
        snprintf(domain, sizeof domain, "d%u.test", i);
        assert_non_null(sts_find(w.sts, w.loop, domain, STS_CACHED_FIRST, found, &g[i]));
    }
    wait_until(has_asked_all, &w);
    close_world(&w);
    for (unsigned i = 0; i < 60; i++) {
        assert_int_equal(g[i].count, 1);
        assert_int_equal(g[i].status, STS_OUR_FAULT);
    }
}

/* Takes connections and says nothing. */
static int silent_host(const char *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(server.port)};
    assert_int_equal(inet_pton(AF_INET, address, &at.sin_addr), 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 128), 0);
    return fd;
}

#define SILENT 40
struct silence {
    int hosts[SILENT];
    struct got got[SILENT];
    struct sts_question *questions[SILENT];
};

/* d1 has 127.1.0.1, and so on; else all are at 127.1.0.1. */
static void ask_silent_hosts(struct world *w, struct silence *s, const char *parent)
{
    for (unsigned i = 0; i < SILENT; i++) {
        char text[64];
        snprintf(text, sizeof text, "127.1.0.%u", i + 1);
        s->hosts[i] = silent_host(text);
        snprintf(text, sizeof text, "d%u.%s", i + 1, parent);
        s->questions[i] = sts_find(w->sts, w->loop, text, STS_CACHED_FIRST, found, &s->got[i]);
    }
}

static void end_silence(struct silence *s)
{
    for (unsigned i = 0; i < SILENT; i++) {
        if (s->hosts[i] >= 0)
            close(s->hosts[i]);
    }
}

static bool has_asked_for_all_hosts(const void *of)
{
    const struct world *w = of;
    return w->host_asked >= SILENT && w->live == 0;
}

static void silent_policy_hosts_of_one_domain_hold_up_no_other(void **state)
{
    (void)state;
    struct world w;
    static struct silence s;
    open_world(&w);
    LOCKED(w.is_spread = true);
    ask_silent_hosts(&w, &s, "silent.test");
    wait_until(has_asked_for_all_hosts, &w);
    assert_int_equal(find(&w, "one.test").status, STS_POLICY);
    close_world(&w);
    end_silence(&s);
}

static void silent_policy_hosts_at_one_address_hold_up_no_other(void **state)
{
    (void)state;
    struct world w;
    static struct silence s;
    open_world(&w);
    LOCKED(w.address = "127.1.0.1");
    ask_silent_hosts(&w, &s, "test");
    wait_until(has_asked_for_all_hosts, &w);
    LOCKED(w.address = "127.0.0.1");
    assert_int_equal(find(&w, "one.test").status, STS_POLICY);
    close_world(&w);
    end_silence(&s);
}

/* They have the address of one.test too, which others share. */
static void silent_policy_hosts_of_one_domain_leave_turns_at_their_address(void **state)
{
    (void)state;
    struct world w;
    static struct silence s;
    open_world(&w);
    LOCKED(w.address = "127.1.0.1"; w.also = "127.0.0.1");
    ask_silent_hosts(&w, &s, "silent.test");
    wait_until(has_asked_for_all_hosts, &w);
    LOCKED(w.address = "127.0.0.1"; w.also = NULL);
    assert_int_equal(find(&w, "one.test").status, STS_POLICY);
    close_world(&w);
    end_silence(&s);
}

static void a_silent_dns_holds_up_no_other(void **state)
{
    (void)state;
    struct world w;
    struct got g[60] = {0};
    open_world(&w);
    LOCKED(w.is_holding = true);
    for (unsigned i = 0; i < 60; i++) {
        char domain[32];
        snprintf(domain, sizeof domain, "d%u.test", i);
        assert_non_null(sts_find(w.sts, w.loop, domain, STS_CACHED_FIRST, found, &g[i]));
    }
    wait_until(has_asked_all, &w);
    LOCKED(w.is_holding = false);
    assert_int_equal(find(&w, "one.test").status, STS_POLICY);
    close_world(&w);
}

#define WAITS "too many policy hosts do not answer: this one waits for its turn to be asked"

static void all_wait_but(struct world *w, struct silence *s, unsigned running)
{
    for (unsigned i = running; i < SILENT; i++) {
        wait_until(has_answer, &s->got[i]);
        assert_int_equal(s->got[i].status, STS_UNKNOWN);
        assert_string_equal(s->got[i].detail, WAITS);
    }
    for (unsigned i = 0; i < running; i++)
        assert_int_equal(count_of(w, &s->got[i].count), 0);
}

static void who_waits_long_for_a_turn_is_told_so_and_keeps_it(void **state)
{
    (void)state;
    struct world w;
    static struct silence s;
    open_world(&w);
    LOCKED(w.is_spread = true; w.outside.patience_ms = 200);
    restart(&w, NULL);
    ask_silent_hosts(&w, &s, "silent.test");
    all_wait_but(&w, &s, 8);
    assert_string_equal(find(&w, "d20.silent.test").detail, WAITS);
    unsigned asked = count_of(&w, &w.txt_asked);
    assert_int_equal(asked, SILENT);
    /* Now they answer, in a way: who waits gets the turn. */
    end_silence(&s);
    for (unsigned rounds = 0; strcmp(find(&w, "d20.silent.test").detail, WAITS) == 0; rounds++) {
        assert_in_range(rounds, 0, 1000);
        usleep(5000);
    }
    assert_int_equal(count_of(&w, &w.txt_asked), asked);
    close_world(&w);
}

/* Else ever new domains of one silent operator would fill the memory. */
static void of_many_who_wait_long_the_last_ones_give_up_their_turn(void **state)
{
    enum { MANY = 1010 };
    (void)state;
    struct world w;
    static struct got got[MANY];
    char domain[64];
    open_world(&w);
    int host = silent_host("127.1.0.1");
    LOCKED(w.address = "127.1.0.1"; w.outside.patience_ms = 1000);
    restart(&w, NULL);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(domain, sizeof domain, "d%u.silent.test", i);
        assert_non_null(sts_find(w.sts, w.loop, domain, STS_CACHED_FIRST, found, &got[i]));
    }
    for (unsigned i = 2; i < MANY; i++)
        wait_until(has_answer, &got[i]);
    assert_string_equal(got[MANY - 1].detail, WAITS);
    assert_int_equal(count_of(&w, &w.txt_asked), MANY);
    assert_string_equal(find(&w, "d3.silent.test").detail, WAITS);
    assert_int_equal(count_of(&w, &w.txt_asked), MANY); /* it has waited on */
    assert_non_null(sts_find(w.sts, w.loop, domain, STS_CACHED_FIRST, found, &got[3]));
    for (unsigned rounds = 0; count_of(&w, &w.txt_asked) == MANY; rounds++) {
        assert_in_range(rounds, 0, 1000);
        usleep(5000);
    }
    close_world(&w);
    close(host);
}

/* Such are a hoster's customers, whose policy hosts are CNAMEs of one of its own. */
static void eight_domains_with_one_address_are_asked_at_once(void **state)
{
    (void)state;
    struct world w;
    static struct silence s;
    open_world(&w);
    LOCKED(w.address = "127.1.0.1"; w.outside.patience_ms = 200);
    restart(&w, NULL);
    ask_silent_hosts(&w, &s, "test");
    all_wait_but(&w, &s, 8);
    close_world(&w);
    end_silence(&s);
}

/* A policy in force is the answer all the same. */
static void who_waits_long_to_have_it_anew_gets_the_policy_in_force(void **state)
{
    (void)state;
    struct world w;
    static struct silence s;
    open_world(&w);
    LOCKED(w.outside.patience_ms = 200);
    restart(&w, NULL);
    assert_int_equal(find(&w, "one.test").status, STS_POLICY);
    LOCKED(w.address = "127.1.0.1");
    ask_silent_hosts(&w, &s, "test");
    wait_until(has_asked_for_all_hosts, &w);
    assert_int_equal(refetch(&w, "one.test").status, STS_POLICY);
    close_world(&w);
    end_silence(&s);
}

static void what_stays_unknown_is_believed_ever_longer(void **state)
{
    (void)state;
    static const int64_t seconds[] = {60, 120, 240, 480, 960, 1920, 3600, 3600};
    struct world w;
    open_world(&w);
    LOCKED(w.txt_status = DNS_FAILED);
    for (unsigned i = 0; i < COUNT_OF(seconds); i++) {
        assert_int_equal(find(&w, "one.test").status, STS_UNKNOWN);
        assert_int_equal(count_of(&w, &w.txt_asked), i + 1);
        LOCKED(w.now += seconds[i] - 1);
        assert_int_equal(find(&w, "one.test").status, STS_UNKNOWN);
        assert_int_equal(count_of(&w, &w.txt_asked), i + 1);
        LOCKED(w.now++);
    }
    LOCKED(w.txt_status = DNS_NXDOMAIN);
    assert_int_equal(find(&w, "one.test").status, STS_NONE);
    LOCKED(w.now += 300; w.txt_status = DNS_FAILED);
    assert_int_equal(find(&w, "one.test").status, STS_UNKNOWN);
    LOCKED(w.now += 60; w.txt_status = DNS_NXDOMAIN);
    assert_int_equal(find(&w, "one.test").status, STS_NONE);
    close_world(&w);
}

static bool is_told(const void *of)
{
    return strstr(told, of) != NULL;
}

#define OUTAGE                                                                                     \
    "no policy host of several operators could be reached or trusted: is port 443 open for us, "   \
    "is the CA file good?"

static struct got find_number(struct world *w, unsigned number)
{
    char domain[32];
    snprintf(domain, sizeof domain, "d%u.test", number);
    return find(w, domain);
}

/* Nobody listens at the addresses of d1 and so on. */
static void where_no_policy_host_can_be_reached_it_is_our_fault(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    LOCKED(w.is_spread = true);
    for (unsigned i = 1; i < 5; i++)
        assert_int_equal(find_number(&w, i).status, STS_UNKNOWN);
    unsigned changes = sts_changes(w.sts);
    struct got g = find_number(&w, 5);
    assert_int_equal(g.status, STS_OUR_FAULT);
    assert_int_equal(g.failure, STS_FAILURE_NONE);
    assert_string_equal(g.detail, OUTAGE);
    assert_int_not_equal(sts_changes(w.sts), changes);
    assert_true(is_told("outage \n"));
    unsigned asked = count_of(&w, &w.txt_asked);
    assert_int_equal(find_number(&w, 1).status, STS_OUR_FAULT);
    assert_int_equal(count_of(&w, &w.txt_asked), asked);
    /* One that is reached ends it, and what was learnt in it. */
    assert_int_equal(find(&w, "one.test").status, STS_POLICY);
    assert_true(is_told("outage over \n"));
    assert_int_equal(find_number(&w, 1).status, STS_UNKNOWN);
    assert_int_equal(count_of(&w, &w.txt_asked), asked + 2);
    /* And for ten minutes there is none. */
    for (unsigned i = 6; i < 20; i++)
        assert_int_equal(find_number(&w, i).status, STS_UNKNOWN);
    close_world(&w);
}

static void write_ca(const struct pki_identity *ca)
{
    char key[128];
    snprintf(key, sizeof key, "%s/other-key", folder);
    pki_write(ca, NULL, ca_file, key);
}

/* Alone it means that there is no policy. */
static void a_certificate_that_is_not_trusted_may_be_our_fault_too(void **state)
{
    (void)state;
    struct world w;
    struct pki_identity other =
        pki_make(&(struct pki_options){.common_name = "Other", .is_ca = true}, NULL);
    open_world(&w);
    write_ca(&other);
    assert_int_equal(find(&w, "one.test").status, STS_NONE);
    LOCKED(w.is_spread = true);
    for (unsigned i = 1; i < 4; i++)
        assert_int_equal(find_number(&w, i).status, STS_UNKNOWN);
    assert_int_equal(find_number(&w, 4).status, STS_OUR_FAULT);
    assert_int_equal(find(&w, "one.test").status, STS_OUR_FAULT);
    LOCKED(w.now += 300);
    assert_int_equal(find(&w, "one.test").status, STS_OUR_FAULT);
    write_ca(&true_ca);
    LOCKED(w.now += 60);
    assert_int_equal(find(&w, "one.test").status, STS_POLICY);
    close_world(&w);
    pki_free(&other);
}

/* Fills the share of policies. `refresh_at` of each. */
static void fill_store(const char *domain, size_t text_len, unsigned max, int64_t refresh_at)
{
    int rc = 0;
    struct queue_policy p = {.fetched_at = NOW,
                             .expires_at = NOW + 604800,
                             .refresh_at = refresh_at,
                             .checked_at = NOW,
                             .text = xalloc(text_len + 1)};
    memset(p.text, 'x', text_len);
    for (unsigned i = 0; rc == 0 && i < max; i++) {
        struct desk_answer answer = {0};
        snprintf(p.domain, sizeof p.domain, "%s%u.test", domain, i);
        queue_policy_put(desk.q, &p, &desk.poster, desk_done, &answer);
        rc = desk_wait(&desk, &answer);
    }
    queue_policy_clear(&p);
}

static void store_policy_to_refresh(const char *domain)
{
    struct desk_answer answer = {0};
    struct queue_policy p = {.fetched_at = NOW,
                             .expires_at = NOW + 604800,
                             .refresh_at = NOW,
                             .checked_at = NOW,
                             .text = xstrdup(ENFORCE)};
    snprintf(p.domain, sizeof p.domain, "%s", domain);
    queue_policy_put(desk.q, &p, &desk.poster, desk_done, &answer);
    assert_int_equal(desk_wait(&desk, &answer), 0);
    queue_policy_clear(&p);
}

/* As many as are refreshed at once, of one domain: all but eight wait long for their turn. Somebody
 * who asks for one meanwhile does not wait so long. */
static void refreshes_that_wait_for_a_turn_hold_up_no_other(void **state)
{
    (void)state;
    struct world w;
    int hosts[16];
    static struct got joined[COUNT_OF(hosts)];
    struct got g;
    open_world(&w);
    LOCKED(w.is_spread = true; w.outside.patience_ms = 200);
    restart(&w, NULL);
    assert_int_equal(find(&w, "one.test").status, STS_POLICY);
    LOCKED(w.now += 86400; w.record = "v=STSv1; id=4");
    for (unsigned i = 0; i < COUNT_OF(hosts); i++) {
        char text[64];
        snprintf(text, sizeof text, "127.1.0.%u", i + 1);
        hosts[i] = silent_host(text);
        snprintf(text, sizeof text, "d%u.silent.test", i + 1);
        store_policy_to_refresh(text);
        assert_int_equal(find(&w, text).status, STS_POLICY);
        assert_non_null(sts_find(w.sts, w.loop, text, STS_REFETCH, found, &joined[i]));
    }
    for (unsigned rounds = 0; g = find(&w, "one.test"), strcmp(g.id, "4") != 0; rounds++) {
        assert_in_range(rounds, 0, 1000);
        usleep(5000);
    }
    close_world(&w);
    for (unsigned i = 0; i < COUNT_OF(hosts); i++)
        close(hosts[i]);
}

static void a_policy_that_the_store_does_not_take_is_told(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    fill_store("x", 60000, 100, NOW + 1000);
    fill_store("y", 100, 10000, NOW + 1000);
    assert_int_equal(find(&w, "one.test").status, STS_POLICY);
    wait_until(is_told, "not-kept one.test\n");
    close_world(&w);
}

static void one_that_was_replaced_answers_and_stores_nothing(void **state)
{
    (void)state;
    struct world w;
    struct queue_policy p;
    struct desk_answer none = {0};
    open_world(&w);
    loop_post(w.loop, retire, w.sts);
    assert_int_equal(find(&w, "one.test").status, STS_POLICY);
    queue_policy_remove(desk.q, "none.test", &desk.poster, desk_done, &none);
    assert_int_equal(desk_wait(&desk, &none), -ENOENT); /* after what was handed in before */
    assert_int_equal(queue_policy_find(desk.q, "one.test", &p), -ENOENT);
    /* Nor does it look for what would be stored. */
    LOCKED(w.now += 86400);
    unsigned asked = count_of(&w, &w.txt_asked);
    assert_int_equal(find(&w, "one.test").status, STS_POLICY);
    assert_int_equal(find(&w, "one.test").status, STS_POLICY);
    assert_int_equal(count_of(&w, &w.txt_asked), asked);
    close_world(&w);
}

/* More than one part of a sweep holds, and the one that is due is the last. */
static void a_sweep_comes_to_the_last_policy_in_parts(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    assert_int_equal(find(&w, "one.test").status, STS_POLICY);
    wait_for_id("one.test", "1");
    fill_store("a", 10, 300, NOW + 604800);
    LOCKED(w.now += 86400; w.record = "v=STSv1; id=4");
    walked_most = 0;
    restart(&w, NULL);
    wait_for_id("one.test", "4");
    assert_in_range(walked_most, 1, 128);
    close_world(&w);
}

/* Askers on loops of their own, some of whom change their mind. */
struct asker {
    struct world *world;
    struct loop *loop;
    struct loop_timer *timer;
    struct sts_question *questions[40];
    struct got got[40];
};

static void asker_changes_its_mind(void *context)
{
    struct asker *a = context;
    for (unsigned i = 1; i < COUNT_OF(a->questions); i += 2) {
        if (a->got[i].count == 0)
            sts_cancel(a->questions[i]);
    }
    loop_timer_free(a->timer);
}

static void asker_asks(void *context)
{
    struct asker *a = context;
    for (unsigned i = 0; i < COUNT_OF(a->questions); i++) {
        char domain[32];
        snprintf(domain, sizeof domain, "%s.test", i % 3 == 0 ? "one" : i % 3 == 1 ? "two" : "x");
        a->questions[i] = sts_find(a->world->sts, a->loop, domain,
                                   i % 5 == 0 ? STS_REFETCH : STS_CACHED_FIRST, found, &a->got[i]);
    }
    a->timer = loop_timer_new(a->loop, asker_changes_its_mind, a);
    loop_timer_start(a->timer, 5);
}

static void *run_asker(void *context)
{
    struct asker *a = context;
    loop_run(a->loop);
    return NULL;
}

static void many_loops_may_ask_and_cancel(void **state)
{
    (void)state;
    struct world w;
    static struct asker askers[3];
    pthread_t threads[3];
    open_world(&w);
    for (unsigned i = 0; i < 3; i++) {
        askers[i] = (struct asker){.world = &w, .loop = loop_new()};
        loop_post(askers[i].loop, asker_asks, &askers[i]);
        assert_int_equal(pthread_create(&threads[i], NULL, run_asker, &askers[i]), 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned n = 0; n < COUNT_OF(askers[i].got); n += 2)
            wait_until(has_answer, &askers[i].got[n]);
    }
    close_world(&w);
    for (unsigned i = 0; i < 3; i++) {
        loop_stop(askers[i].loop);
        pthread_join(threads[i], NULL);
        loop_free(askers[i].loop);
    }
}

static int begin(void **state)
{
    (void)state;
    char certificate[128];
    char key[128];
    true_ca = pki_make(&(struct pki_options){.common_name = "CA", .is_ca = true}, NULL);
    struct pki_identity good = pki_make(
        &(struct pki_options){.common_name = "x", .alt_names = "DNS:*.one.test, DNS:*.two.test"},
        &true_ca);
    assert_non_null(mkdtemp(folder));
    snprintf(ca_file, sizeof ca_file, "%s/ca", folder);
    snprintf(key, sizeof key, "%s/ca-key", folder);
    pki_write(&true_ca, NULL, ca_file, key);
    snprintf(certificate, sizeof certificate, "%s/good.test.pem", folder);
    snprintf(key, sizeof key, "%s/good.test.key", folder);
    pki_write(&good, NULL, certificate, key);
    pki_free(&good);
    write_policy("mta-sts.two.test", ENFORCE);
    https_server_start(&server, folder);
    return 0;
}

static int end(void **state)
{
    (void)state;
    char command[128];
    https_server_stop(&server);
    pki_free(&true_ca);
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command);
}

#define SINGLE_TESTS 32

int main(void)
{
    static struct look_case copies[COUNT_OF(looks)];
    static char claims[COUNT_OF(looks)][100];
    struct CMUnitTest tests[2 * COUNT_OF(looks) + SINGLE_TESTS] = {
        cmocka_unit_test(the_policy_is_found_and_kept),
        cmocka_unit_test(it_outlives_a_restart),
        cmocka_unit_test(who_asks_together_shares_one_look),
        cmocka_unit_test(a_new_id_brings_the_new_policy_behind_the_answer),
        cmocka_unit_test(the_id_that_is_known_asks_for_no_policy),
        cmocka_unit_test(refetching_takes_the_policy_though_the_id_is_known_once_a_minute),
        cmocka_unit_test(a_policy_of_mode_none_takes_the_place_of_an_enforced_one),
        cmocka_unit_test(a_policy_is_refreshed_ahead_of_its_end_though_nobody_asks),
        cmocka_unit_test(a_refresh_that_fails_is_tried_again_ever_more_rarely),
        cmocka_unit_test(absence_is_believed_for_some_time),
        cmocka_unit_test(a_policy_host_in_a_blocked_network_is_not_asked),
        cmocka_unit_test(a_max_age_of_0_is_an_answer_and_no_more),
        cmocka_unit_test(what_cannot_have_a_record_has_no_policy),
        cmocka_unit_test(what_is_forgotten_is_fetched_anew),
        cmocka_unit_test(a_cancelled_question_is_never_answered),
        cmocka_unit_test(freeing_tells_those_who_wait_that_it_is_our_fault),
        cmocka_unit_test(many_loops_may_ask_and_cancel),
        cmocka_unit_test(a_record_that_cannot_be_read_is_our_fault_until_a_policy_takes_its_place),
        cmocka_unit_test(silent_policy_hosts_of_one_domain_hold_up_no_other),
        cmocka_unit_test(silent_policy_hosts_at_one_address_hold_up_no_other),
        cmocka_unit_test(silent_policy_hosts_of_one_domain_leave_turns_at_their_address),
        cmocka_unit_test(a_silent_dns_holds_up_no_other),
        cmocka_unit_test(who_waits_long_for_a_turn_is_told_so_and_keeps_it),
        cmocka_unit_test(of_many_who_wait_long_the_last_ones_give_up_their_turn),
        cmocka_unit_test(eight_domains_with_one_address_are_asked_at_once),
        cmocka_unit_test(who_waits_long_to_have_it_anew_gets_the_policy_in_force),
        cmocka_unit_test(what_stays_unknown_is_believed_ever_longer),
        cmocka_unit_test(refreshes_that_wait_for_a_turn_hold_up_no_other),
        cmocka_unit_test(a_policy_that_the_store_does_not_take_is_told),
        cmocka_unit_test(where_no_policy_host_can_be_reached_it_is_our_fault),
        cmocka_unit_test(a_certificate_that_is_not_trusted_may_be_our_fault_too),
        cmocka_unit_test(one_that_was_replaced_answers_and_stores_nothing),
        cmocka_unit_test(a_sweep_comes_to_the_last_policy_in_parts),
    };
    struct CMUnitTest *next = &tests[SINGLE_TESTS];
    for (size_t i = 0; i < COUNT_OF(looks); i++) {
        copies[i] = looks[i];
        snprintf(claims[i], sizeof claims[i], "%s_leaves_the_policy_in_force", looks[i].claim);
        *next++ = (struct CMUnitTest){looks[i].claim, without_a_policy, NULL, NULL, &copies[i]};
        *next++ = (struct CMUnitTest){claims[i], with_a_policy_in_force, NULL, NULL, &copies[i]};
    }
    return cmocka_run_group_tests(tests, begin, end);
}
