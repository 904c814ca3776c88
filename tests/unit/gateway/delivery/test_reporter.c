/* The reporter on a real store and a real loop. The store's calls that it makes are wrapped, so
 * that they can fail or wait; its clock and timers run fast. */
#include "gateway/delivery/reporter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/delivery/disposition.h"
#include "gateway/net/loop.h"
#include "mail/date.h"
#include "queue/room.h"
#include "tests/support/queue_desk.h"

#define PATIENCE_S (6 * 3600)
#define MIB ((uint64_t)1 << 20)
#define SPEED 50 /* a second of the reporter's takes 20 ms */
#define NOTICE_SIZE_MAX MIB

#define ALICE "alice@site.example"
#define HEADER                                                                                     \
    "From: Alice <alice@site.example>\r\nTo: bob@plain.example\r\nSubject: a secret\r\n"           \
    "Date: Sun, 22 Nov 2026 15:28:49 +0000\r\nMessage-ID: <1@site.example>\r\n"
#define CONTENT HEADER "\r\nthe body\r\n"

/* ---- what is between the reporter and the store ---- */

static struct {
    _Atomic bool is_list_unreadable;
    _Atomic bool is_content_unreadable;
    _Atomic bool hides_recipients; /* as if their records were damaged */
    _Atomic bool is_guarded;       /* what the store remembers of every message */
    _Atomic bool fails_commits;
    _Atomic uint64_t broken_from, broken_to; /* messages that cannot be read */
    _Atomic uint64_t fails_commits_of;
    _Atomic uint64_t releases; /* this message, just before its notice is committed */
    _Atomic bool holds_commits;
    _Atomic unsigned looks, commits, expiries, failed_reads;
    _Atomic(struct held_answer *) held; /* a commit's answer that is kept back */
} door;

struct held_answer {
    queue_done *done;
    void *context;
    int error;
};

int64_t __real_date_now_ms(void);
int64_t __wrap_date_now_ms(void);
int64_t __wrap_date_now_ms(void)
{
    static _Atomic int64_t start;
    int64_t now = __real_date_now_ms(), none = 0;
    atomic_compare_exchange_strong(&start, &none, now);
    return start + (now - start) * SPEED;
}

void __real_loop_timer_start(struct loop_timer *t, int64_t in_ms);
void __wrap_loop_timer_start(struct loop_timer *t, int64_t in_ms);
void __wrap_loop_timer_start(struct loop_timer *t, int64_t in_ms)
{
    __real_loop_timer_start(t, in_ms <= 0 ? 0 : (in_ms + SPEED - 1) / SPEED);
}

ptrdiff_t __real_queue_notices_due(struct queue *q, int64_t now_ms, uint64_t *ids, size_t max,
                                   int64_t *next_due_at_ms);
ptrdiff_t __wrap_queue_notices_due(struct queue *q, int64_t now_ms, uint64_t *ids, size_t max,
                                   int64_t *next_due_at_ms);
ptrdiff_t __wrap_queue_notices_due(struct queue *q, int64_t now_ms, uint64_t *ids, size_t max,
                                   int64_t *next_due_at_ms)
{
    door.looks++;
    if (door.is_list_unreadable) {
        *next_due_at_ms = INT64_MAX;
        return -EIO;
    }
    return __real_queue_notices_due(q, now_ms, ids, max, next_due_at_ms);
}

int __real_queue_message_read(struct queue *q, uint64_t id, struct queue_message *out);
int __wrap_queue_message_read(struct queue *q, uint64_t id, struct queue_message *out);
int __wrap_queue_message_read(struct queue *q, uint64_t id, struct queue_message *out)
{
    if (id >= door.broken_from && id <= door.broken_to) {
        door.failed_reads++;
        return -EIO;
    }
    int rc = __real_queue_message_read(q, id, out);
    if (rc == 0)
        out->is_guarded |= door.is_guarded;
    return rc;
}

static void released(void *context, int error)
{
    (void)context;
    assert_int_equal(error, 0);
}

int64_t __real_queue_content_read(struct queue *q, uint64_t id, uint64_t offset, size_t max,
                                  struct buffer *out);
int64_t __wrap_queue_content_read(struct queue *q, uint64_t id, uint64_t offset, size_t max,
                                  struct buffer *out);
int64_t __wrap_queue_content_read(struct queue *q, uint64_t id, uint64_t offset, size_t max,
                                  struct buffer *out)
{
    if (door.is_content_unreadable)
        return -EIO;
    return __real_queue_content_read(q, id, offset, max, out);
}

int __real_queue_recipients_read(struct queue *q, uint64_t id, struct queue_recipient **out,
                                 size_t *count);
int __wrap_queue_recipients_read(struct queue *q, uint64_t id, struct queue_recipient **out,
                                 size_t *count);
int __wrap_queue_recipients_read(struct queue *q, uint64_t id, struct queue_recipient **out,
                                 size_t *count)
{
    if (!door.hides_recipients)
        return __real_queue_recipients_read(q, id, out, count);
    *out = NULL;
    *count = 0;
    return 0;
}

static void run_answer(void *argument)
{
    struct held_answer *a = argument;
    a->done(a->context, a->error);
    free(a);
}

static void keep_answer(void *context, int error)
{
    struct held_answer *a = context;
    a->error = error;
    if (door.holds_commits)
        door.held = a;
    else
        run_answer(a);
}

void __real_queue_notices_commit(struct queue *q, uint64_t id,
                                 const struct queue_reported *reported, size_t reported_count,
                                 struct queue_notice *notices, size_t count,
                                 const struct queue_poster *poster, queue_done *done,
                                 void *context);
void __wrap_queue_notices_commit(struct queue *q, uint64_t id,
                                 const struct queue_reported *reported, size_t reported_count,
                                 struct queue_notice *notices, size_t count,
                                 const struct queue_poster *poster, queue_done *done,
                                 void *context);
void __wrap_queue_notices_commit(struct queue *q, uint64_t id,
                                 const struct queue_reported *reported, size_t reported_count,
                                 struct queue_notice *notices, size_t count,
                                 const struct queue_poster *poster, queue_done *done, void *context)
{
    struct held_answer *a = xalloc(sizeof *a);
    *a = (struct held_answer){done, context, -ENOSPC};
    door.commits++;
    if (door.fails_commits || id == door.fails_commits_of) {
        for (size_t i = 0; i < count; i++)
            envelope_free(&notices[i].envelope);
        poster->post(poster->context, run_answer, a);
        return;
    }
    if (id == door.releases)
        queue_release(q, id, NULL, 0, QUEUE_RELEASE, __wrap_date_now_ms(), poster, released, NULL);
    __real_queue_notices_commit(q, id, reported, reported_count, notices, count, poster,
                                keep_answer, a);
}

void __real_queue_expire_held(struct queue *q, int64_t now_ms, const struct queue_poster *poster,
                              queue_done *done, void *context);
void __wrap_queue_expire_held(struct queue *q, int64_t now_ms, const struct queue_poster *poster,
                              queue_done *done, void *context);
void __wrap_queue_expire_held(struct queue *q, int64_t now_ms, const struct queue_poster *poster,
                              queue_done *done, void *context)
{
    door.expiries++;
    __real_queue_expire_held(q, now_ms, poster, done, context);
}

/* ---- the scene: store, loop on a thread of its own, events ---- */

static struct desk desk;
static struct {
    struct loop *loop;
    pthread_t thread;
    struct reporter *reporter;
    struct delivery_settings *settings;
    struct event_sink events;
    struct loop_timer *open; /* keeps the loop running */
    _Atomic bool is_stopped;
    pthread_mutex_t lock;
    char seen[64][32]; /* names of events */
    size_t seen_count;
} scene;

static void emit(void *context, enum event_severity severity, const char *event,
                 const struct event_field *fields, size_t count)
{
    (void)context;
    (void)severity;
    (void)fields;
    (void)count;
    pthread_mutex_lock(&scene.lock);
    if (scene.seen_count < COUNT_OF(scene.seen))
        snprintf(scene.seen[scene.seen_count++], sizeof scene.seen[0], "%s", event);
    pthread_mutex_unlock(&scene.lock);
}

static bool has_event(const char *name)
{
    bool has = false;
    pthread_mutex_lock(&scene.lock);
    for (size_t i = 0; i < scene.seen_count; i++)
        has |= strcmp(scene.seen[i], name) == 0;
    pthread_mutex_unlock(&scene.lock);
    return has;
}

static bool has_store_event(const char *name)
{
    pthread_mutex_lock(&desk.lock);
    bool has = strcmp(desk.last_event, name) == 0;
    pthread_mutex_unlock(&desk.lock);
    return has;
}

static void nothing(void *context)
{
    (void)context;
}

static struct delivery_settings *settings_new(const char *hostname)
{
    struct delivery_settings *s = delivery_settings_new();
    snprintf(s->hostname, sizeof s->hostname, "%s", hostname);
    s->port = 25;
    s->lifetime_ms = 5 * 86400000LL;
    s->hold_for_ms = 7 * 86400000LL;
    s->patience_ms = PATIENCE_S * 1000LL;
    return s;
}

static void add_local_route(struct delivery_settings *s)
{
    s->route_count = 1;
    s->routes = xalloc(sizeof *s->routes);
    snprintf(s->routes[0].pattern, sizeof s->routes[0].pattern, "site.example");
    s->routes[0].tls = GUARANTEE_POLICY_MAY;
    assert_true(delivery_next_hop_parse(SLICE("[127.0.0.1]:24"), &s->routes[0].next_hop));
}

static int setup(void **state)
{
    (void)state;
    memset(&door, 0, sizeof door);
    memset(&scene, 0, sizeof scene);
    pthread_mutex_init(&scene.lock, NULL);
    scene.events = (struct event_sink){emit, NULL, EVENT_DEBUG};
    desk_open(&desk, 256 * MIB);
    scene.settings = settings_new("mail.site.example");
    return 0;
}

static void *run_loop(void *argument)
{
    loop_run(argument);
    return NULL;
}

/* The mail of the scene is stored; now somebody reports on it. */
static void start(void)
{
    scene.loop = loop_new();
    assert_non_null(scene.loop);
    scene.open = loop_timer_new(scene.loop, nothing, NULL);
    scene.reporter = reporter_new(scene.loop, desk.q, scene.settings, &scene.events);
    assert_non_null(scene.reporter);
    assert_int_equal(pthread_create(&scene.thread, NULL, run_loop, scene.loop), 0);
}

static void stopped(void *context)
{
    (void)context;
    scene.is_stopped = true;
}

static void stop_reporter(void *context)
{
    (void)context;
    reporter_stop(scene.reporter, stopped, NULL);
}

static void close_all(void *context)
{
    (void)context;
    reporter_free(scene.reporter);
    loop_timer_free(scene.open);
    loop_stop(scene.loop);
}

#define WAIT_UNTIL(condition)                                                                      \
    do {                                                                                           \
        unsigned waited_ms = 0;                                                                    \
        while (!(condition) && waited_ms++ < 20000)                                                \
            usleep(1000);                                                                          \
        if (!(condition))                                                                          \
            fail_msg("never came true: %s", #condition);                                           \
    } while (0)

static void finish(void)
{
    loop_post(scene.loop, stop_reporter, NULL);
    WAIT_UNTIL(scene.is_stopped);
    loop_post(scene.loop, close_all, NULL);
    pthread_join(scene.thread, NULL);
    loop_free(scene.loop);
    scene.loop = NULL;
}

static int teardown(void **state)
{
    (void)state;
    if (scene.loop) { /* the test failed midway */
        door.holds_commits = false;
        loop_post(scene.loop, stop_reporter, NULL);
        for (unsigned i = 0; i < 2000 && !scene.is_stopped; i++)
            usleep(1000);
        loop_post(scene.loop, close_all, NULL);
        pthread_join(scene.thread, NULL);
        loop_free(scene.loop);
    }
    delivery_settings_unref(scene.settings);
    desk_close(&desk);
    pthread_mutex_destroy(&scene.lock);
    return 0;
}

/* ---- mail and its fate ---- */

struct to {
    const char *address;
    const char *owner; /* NULL: the sender under no flag */
    unsigned notify;
    /* What became of it: */
    enum disposition disposition;
    enum queue_report report;
    bool is_discarded;
    bool is_force_needed;
};

struct mail {
    const char *sender;
    enum ret ret;
    size_t count;
    const struct to *to;
    const char *evidence; /* of all; NULL: a line for each */
    int64_t trouble_since;
    bool requiretls;
    const struct queue_result *trace; /* what else each result says; NULL: nothing */
};

static uint64_t put(const struct mail *m, int64_t now_ms)
{
    struct envelope e;
    struct desk_answer a = {0};
    struct queue_incoming *in = queue_incoming_begin(desk.q, &desk.poster);
    assert_non_null(in);
    uint64_t id = queue_incoming_id(in);
    assert_int_equal(queue_incoming_append(in, SLICE(CONTENT)), 0);
    envelope_init(&e);
    envelope_set(&e.reverse_path, m->sender);
    envelope_set(&e.user, m->sender);
    e.ret = m->ret;
    e.requiretls = m->requiretls;
    e.size = sizeof CONTENT - 1;
    for (size_t i = 0; i < m->count; i++) {
        struct envelope_recipient *r = envelope_add(&e, m->to[i].address);
        r->notify = m->to[i].notify;
        r->level = m->to[i].owner ? LEVEL_ENCRYPT : LEVEL_OFF;
        envelope_set(&r->owner, m->to[i].owner ? m->to[i].owner : "");
    }
    queue_incoming_commit(in, &e, now_ms, now_ms, desk_done, &a);
    envelope_free(&e);
    assert_int_equal(desk_wait(&desk, &a), 0);
    return id;
}

static void leave_trace(struct queue_result *result, const struct queue_result *trace)
{
    result->is_relayed = trace->is_relayed;
    result->is_passed_on = trace->is_passed_on;
    result->is_local = trace->is_local;
    result->protocol = trace->protocol;
    result->cipher = trace->cipher;
    result->verified = trace->verified;
    result->tls_seen_at = trace->tls_seen_at;
    result->is_suspended = trace->is_suspended;
}

/* Stores the message, and in one commit what became of its recipients. */
static uint64_t put_and_settle(const struct mail *m)
{
    int64_t now_ms = date_now_ms();
    uint64_t id = put(m, now_ms);
    struct queue_recipient *taken = xalloc(m->count * sizeof *taken);
    struct queue_result *results = xalloc(m->count * sizeof *results);
    char **lines = xalloc(m->count * sizeof *lines);
    assert_int_equal(desk_take(&desk, now_ms, taken, m->count), m->count);
    for (size_t i = 0; i < m->count; i++) {
        const struct to *to = &m->to[taken[i].index];
        results[i] = desk_result(&taken[i], to->disposition, to->report, now_ms);
        lines[i] = m->evidence ? xstrdup(m->evidence) : xprintf("of %s\n", to->address);
        results[i].evidence = lines[i];
        results[i].required = "encrypted transport, by the sender's guarantee";
        results[i].is_discarded = to->is_discarded;
        results[i].trouble_since = m->trouble_since;
        results[i].is_force_needed = to->is_force_needed;
        results[i].protocol = results[i].cipher = results[i].verified = "";
        if (m->trace)
            leave_trace(&results[i], m->trace);
    }
    assert_int_equal(desk_settle(&desk, results, m->count), 0);
    for (size_t i = 0; i < m->count; i++) {
        queue_recipient_clear(&taken[i]);
        free(lines[i]);
    }
    free(taken);
    free(results);
    free(lines);
    return id;
}

#define STOPPED DISPOSITION_HELD, QUEUE_REPORT_FAILURE, false, false
#define DISCARDED DISPOSITION_HELD, QUEUE_REPORT_FAILURE, true, false
#define FAILED DISPOSITION_FAILED, QUEUE_REPORT_FAILURE, false, false

/* One message of Alice's that stopped. */
static uint64_t put_stop(const char *address)
{
    struct to to = {address, ALICE, NOTIFY_DEFAULT, STOPPED};
    return put_and_settle(&(struct mail){.sender = ALICE, .count = 1, .to = &to});
}

/* ---- the notices ---- */

struct notice {
    uint64_t id;
    char to[ADDRESS_SIZE];
    enum level level;
    bool is_redacted, requiretls;
    char *text; /* owned */
};
static struct {
    struct notice list[128];
    size_t count;
} notices;

static bool collect(void *context, const struct queue_message *m,
                    const struct queue_recipient *recipients, size_t count)
{
    (void)context;
    if (m->origin != ORIGIN_NOTICE || count != 1 || notices.count == COUNT_OF(notices.list))
        return true;
    struct notice *n = &notices.list[notices.count++];
    *n = (struct notice){.id = m->id,
                         .level = recipients[0].level,
                         .is_redacted = m->is_redacted,
                         .requiretls = m->requiretls};
    snprintf(n->to, sizeof n->to, "%s", recipients[0].address);
    assert_string_equal(m->reverse_path, "");
    assert_string_equal(recipients[0].owner, "");
    return true;
}

static void forget_notices(void)
{
    for (size_t i = 0; i < notices.count; i++)
        free(notices.list[i].text);
    notices.count = 0;
}

/* How many there are; the content of all is read. */
static size_t read_notices(void)
{
    uint64_t last = 0, next;
    forget_notices();
    while ((next = queue_walk(desk.q, last, 1000, collect, NULL)) != 0)
        last = next;
    for (size_t i = 0; i < notices.count; i++) {
        struct buffer b;
        buffer_init(&b, 2 * MIB);
        assert_true(__real_queue_content_read(desk.q, notices.list[i].id, 0, 2 * MIB, &b) > 0);
        notices.list[i].text = xstrdup(buffer_text(&b));
        buffer_free(&b);
    }
    return notices.count;
}

/* An order that is still there. */
static bool is_anything_ordered(void)
{
    uint64_t id;
    int64_t next;
    return __real_queue_notices_due(desk.q, INT64_MAX - 1, &id, 1, &next) != 0;
}

/* Reports until nothing is left to be reported. */
static size_t report_all(void)
{
    start();
    WAIT_UNTIL(!is_anything_ordered());
    finish();
    return read_notices();
}

static const struct notice *notice_to(const char *address)
{
    for (size_t i = 0; i < notices.count; i++)
        if (strcmp(notices.list[i].to, address) == 0)
            return &notices.list[i];
    fail_msg("no notice to %s", address);
    return NULL;
}

static void has(const struct notice *n, const char *want)
{
    if (!strstr(n->text, want))
        fail_msg("got:\n%s\nwant in it:\n%s", n->text, want);
}

static void lacks(const struct notice *n, const char *unwanted)
{
    if (strstr(n->text, unwanted))
        fail_msg("got:\n%s\nunwanted in it:\n%s", n->text, unwanted);
}

/* ---- who is told ---- */

static void several_stops_of_one_message_make_one_notice(void **state)
{
    static const struct to to[] = {
        {"bob@plain.example", ALICE, NOTIFY_DEFAULT, STOPPED},
        {"carol@other.example", ALICE, NOTIFY_DEFAULT, STOPPED},
        {"dave@none.example", ALICE, NOTIFY_DEFAULT, FAILED},
    };
    struct queue_recipient r;
    (void)state;
    uint64_t id = put_and_settle(&(struct mail){.sender = ALICE, .count = 3, .to = to});
    assert_int_equal(report_all(), 1);
    const struct notice *n = notice_to(ALICE);
    has(n, "Final-Recipient: rfc822; bob@plain.example\r\n");
    has(n, "Final-Recipient: rfc822; carol@other.example\r\n");
    has(n, "Final-Recipient: rfc822; dave@none.example\r\n");
    has(n, "X-Sealpost-Held-ID: ");
    /* What was held is still there, what failed is done. */
    assert_int_equal(desk_recipient(&desk, id, 0, &r), 0);
    assert_int_equal(r.state, QUEUE_HELD);
    assert_int_equal(r.report, QUEUE_REPORT_NONE);
    queue_recipient_clear(&r);
    assert_int_equal(desk_recipient(&desk, id, 2, &r), -ENOENT);
}

static void the_flags_owner_is_told_where_he_is_not_the_reverse_path(void **state)
{
    static const struct to to[] = {
        {"bob@plain.example", "owner@site.example", NOTIFY_NEVER, STOPPED},
        {"dave@none.example", ALICE, NOTIFY_DEFAULT, FAILED},
    };
    (void)state;
    put_and_settle(&(struct mail){.sender = "remote@far.example", .count = 2, .to = to});
    assert_int_equal(report_all(), 2);
    has(notice_to("owner@site.example"), "bob@plain.example");
    lacks(notice_to("owner@site.example"), "dave@none.example");
    has(notice_to("remote@far.example"), "dave@none.example");
    lacks(notice_to("remote@far.example"), "bob@plain.example");
}

static void nobody_is_told_of_mail_with_a_null_reverse_path(void **state)
{
    static const struct to to[] = {
        {"bob@plain.example", "owner@site.example", NOTIFY_DEFAULT, STOPPED},
        {"dave@none.example", "owner@site.example", NOTIFY_DEFAULT, DISCARDED},
    };
    (void)state;
    put_and_settle(&(struct mail){.sender = "", .count = 2, .to = to});
    assert_int_equal(report_all(), 0);
    assert_true(has_event("notice-unsent"));
}

static void notify_never_is_not_in_the_notice_of_the_others(void **state)
{
    static const struct to to[] = {
        {"bob@plain.example", ALICE, NOTIFY_NEVER, DISPOSITION_HELD, QUEUE_REPORT_NONE, false,
         false},
        {"carol@other.example", ALICE, NOTIFY_DEFAULT, STOPPED},
    };
    (void)state;
    put_and_settle(&(struct mail){.sender = ALICE, .count = 2, .to = to});
    assert_int_equal(report_all(), 1);
    has(notice_to(ALICE), "carol@other.example");
    lacks(notice_to(ALICE), "bob@plain.example");
}

static void put_account(const char *address, const char *language, const char *alias)
{
    struct queue_account account = {0};
    struct desk_answer a = {0}, b = {0};
    struct address of, also;
    snprintf(account.address, sizeof account.address, "%s", address);
    snprintf(account.language, sizeof account.language, "%s", language);
    queue_account_put(desk.q, &account, true, &desk.poster, desk_done, &a);
    assert_int_equal(desk_wait(&desk, &a), 0);
    if (!alias)
        return;
    assert_int_equal(address_parse(slice_of(address), &of), ADDRESS_OK);
    assert_int_equal(address_parse(slice_of(alias), &also), ADDRESS_OK);
    queue_alias_add(desk.q, &of, &also, &desk.poster, desk_done, &b);
    assert_int_equal(desk_wait(&desk, &b), 0);
}

/* At the stop the owner was to be told; then the reverse-path became an alias of his, and NOTIFY
 * would bind him. */
static void a_stop_is_told_though_accounts_changed_since(void **state)
{
    static const struct to to[] = {
        {"bob@plain.example", "owner@site.example", NOTIFY_NEVER, DISCARDED},
    };
    (void)state;
    put_account("owner@site.example", "en", ALICE);
    put_and_settle(&(struct mail){.sender = ALICE, .count = 1, .to = to});
    assert_int_equal(report_all(), 1);
    has(notice_to("owner@site.example"), "bob@plain.example");
}

/* Whose address the reverse-path is cannot be read: it may be another's, whom NOTIFY would silence.
 */
static void the_owner_is_told_where_the_accounts_cannot_be_read(void **state)
{
    static const struct to to[] = {
        {"bob@plain.example", "owner@site.example", NOTIFY_NEVER, STOPPED},
    };
    (void)state;
    put_account("owner@site.example", "en", ALICE);
    uint64_t id = put_and_settle(&(struct mail){.sender = ALICE, .count = 1, .to = to});
    struct queue_message m;
    struct queue_recipient r;
    assert_int_equal(queue_message_read(desk.q, id, &m), 0);
    assert_int_equal(desk_recipient(&desk, id, 0, &r), 0);
    assert_true(disposition_owner_is_sender(desk.q, &m, &r));
    assert_string_equal(disposition_stop_addressee(&m, &r, true), "");
    desk_damage_account(&desk, "owner@site.example");
    assert_false(disposition_owner_is_sender(desk.q, &m, &r));
    assert_string_equal(disposition_stop_addressee(&m, &r, false), "owner@site.example");
    queue_message_free(&m);
    queue_recipient_clear(&r);
    assert_int_equal(report_all(), 1);
    has(notice_to("owner@site.example"), "bob@plain.example");
    assert_true(has_store_event("store-damaged"));
}

static void the_addressees_language_is_spoken(void **state)
{
    (void)state;
    put_account("anna@site.example", "de", ALICE);
    put_stop("bob@plain.example");
    assert_int_equal(report_all(), 1);
    has(notice_to(ALICE), "Dies ist das Mailsystem auf");
}

/* ---- what comes back ---- */

static const struct to guarded[] = {{"bob@plain.example", ALICE, NOTIFY_DEFAULT, STOPPED}};
static const struct to unguarded[] = {{"bob@plain.example", NULL, NOTIFY_DEFAULT, FAILED}};

static void a_notice_of_guarded_mail_returns_three_fields_and_may_go_any_way(void **state)
{
    (void)state;
    put_and_settle(&(struct mail){.sender = ALICE, .ret = RET_FULL, .count = 1, .to = guarded});
    assert_int_equal(report_all(), 1);
    const struct notice *n = notice_to(ALICE);
    has(n, "\r\nFrom: Alice <alice@site.example>\r\n");
    has(n, "\r\nMessage-ID: <1@site.example>\r\n");
    lacks(n, "a secret");
    lacks(n, "the body");
    assert_true(n->is_redacted);
    assert_int_equal(n->level, LEVEL_OFF);
}

static void over_a_local_route_all_comes_back_and_may_leave_over_tls_alone(void **state)
{
    (void)state;
    add_local_route(scene.settings);
    put_and_settle(&(struct mail){.sender = ALICE, .ret = RET_FULL, .count = 1, .to = guarded});
    assert_int_equal(report_all(), 1);
    const struct notice *n = notice_to(ALICE);
    has(n, "Subject: a secret\r\n");
    has(n, "the body");
    assert_false(n->is_redacted);
    assert_int_equal(n->level, LEVEL_ENCRYPT);
}

/* RFC 8689 section 5: never more than the header; redacted, or under REQUIRETLS itself. */
static void across_the_network_a_notice_about_requiretls_is_redacted(void **state)
{
    (void)state;
    const struct mail mail = {
        .sender = ALICE, .ret = RET_FULL, .count = 1, .to = unguarded, .requiretls = true};
    put_and_settle(&mail);
    assert_int_equal(report_all(), 1);
    const struct notice *n = notice_to(ALICE);
    lacks(n, "a secret");
    lacks(n, "the body");
    assert_true(n->is_redacted);
    assert_false(n->requiretls);
}

static void over_a_local_route_a_notice_about_requiretls_is_bound_by_it_too(void **state)
{
    (void)state;
    add_local_route(scene.settings);
    const struct mail mail = {
        .sender = ALICE, .ret = RET_FULL, .count = 1, .to = unguarded, .requiretls = true};
    put_and_settle(&mail);
    assert_int_equal(report_all(), 1);
    const struct notice *n = notice_to(ALICE);
    has(n, "Subject: a secret\r\n");
    lacks(n, "the body");
    assert_false(n->is_redacted);
    assert_true(n->requiretls);
}

static void a_notice_of_other_mail_is_bound_by_nothing(void **state)
{
    (void)state;
    put_and_settle(&(struct mail){.sender = ALICE, .ret = RET_FULL, .count = 1, .to = unguarded});
    assert_int_equal(report_all(), 1);
    const struct notice *n = notice_to(ALICE);
    has(n, "the body");
    assert_false(n->is_redacted);
    assert_int_equal(n->level, LEVEL_OFF);
}

static void what_was_guarded_once_stays_so_when_that_recipient_is_gone(void **state)
{
    (void)state;
    door.is_guarded = true;
    put_and_settle(&(struct mail){.sender = ALICE, .ret = RET_FULL, .count = 1, .to = unguarded});
    assert_int_equal(report_all(), 1);
    lacks(notice_to(ALICE), "a secret");
    assert_true(notice_to(ALICE)->is_redacted);
}

static void success_and_delay_have_notices_of_their_own(void **state)
{
    static const struct to to[] = {
        {"bob@plain.example", NULL, NOTIFY_SUCCESS, DISPOSITION_DELIVERED, QUEUE_REPORT_SUCCESS,
         false, false},
        {"carol@slow.example", NULL, NOTIFY_DELAY, DISPOSITION_DEFERRED, QUEUE_REPORT_DELAY, false,
         false},
    };
    struct queue_recipient r;
    (void)state;
    uint64_t id =
        put_and_settle(&(struct mail){.sender = ALICE, .ret = RET_FULL, .count = 2, .to = to});
    assert_int_equal(report_all(), 2);
    bool is_success_first = strstr(notices.list[0].text, "Successful Mail Delivery Report");
    const struct notice *success = &notices.list[is_success_first ? 0 : 1];
    const struct notice *delay = &notices.list[is_success_first ? 1 : 0];
    has(success, "Final-Recipient: rfc822; bob@plain.example\r\n");
    has(delay, "Subject: Delayed Mail (still being retried)\r\n");
    has(delay, "Final-Recipient: rfc822; carol@slow.example\r\n");
    lacks(success, "the body");
    lacks(delay, "the body");
    assert_int_equal(desk_recipient(&desk, id, 1, &r), 0);
    assert_true(r.was_warned);
    queue_recipient_clear(&r);
    assert_int_equal(desk_recipient(&desk, id, 0, &r), -ENOENT);
}

#define DELIVERED DISPOSITION_DELIVERED, QUEUE_REPORT_SUCCESS, false, false
#define DELAYED DISPOSITION_DEFERRED, QUEUE_REPORT_DELAY, false, false

static void one_message_makes_one_receipt_that_says_how_it_left(void **state)
{
    static const struct to to[] = {{"bob@plain.example", NULL, NOTIFY_SUCCESS, DELIVERED},
                                   {"carol@plain.example", NULL, NOTIFY_SUCCESS, DELIVERED},
                                   {"dave@plain.example", NULL, NOTIFY_SUCCESS, DELIVERED},
                                   {"eve@plain.example", NULL, NOTIFY_SUCCESS, DELIVERED},
                                   {"frank@plain.example", NULL, NOTIFY_SUCCESS, DELIVERED}};
    static const struct queue_result trace = {.is_relayed = true,
                                              .is_passed_on = true,
                                              .protocol = "TLSv1.3",
                                              .cipher = "TLS_AES_128_GCM_SHA256",
                                              .verified = "sts"};
    char field[96];
    (void)state;
    put_and_settle(&(struct mail){.sender = ALICE, .count = 5, .to = to, .trace = &trace});
    assert_int_equal(report_all(), 1);
    const struct notice *n = notice_to(ALICE);
    for (size_t i = 0; i < COUNT_OF(to); i++) {
        snprintf(field, sizeof field, "Final-Recipient: rfc822; %s\r\nAction: relayed\r\n",
                 to[i].address);
        has(n, field);
    }
    has(n, "X-Sealpost-TLS-Verified: sts\r\n");
    has(n, "which was asked to report its delivery.\r\n");
    lacks(n, "X-Sealpost-TLS-Route: local");
}

static void a_receipt_of_a_local_route_and_of_guarded_mail(void **state)
{
    static const struct to to[] = {{"bob@plain.example", ALICE, NOTIFY_SUCCESS, DELIVERED}};
    static const struct queue_result trace = {
        .is_local = true, .protocol = "", .cipher = "", .verified = "no"};
    (void)state;
    put_and_settle(
        &(struct mail){.sender = ALICE, .ret = RET_FULL, .count = 1, .to = to, .trace = &trace});
    assert_int_equal(report_all(), 1);
    const struct notice *n = notice_to(ALICE);
    has(n, "Action: delivered\r\n");
    has(n, "X-Sealpost-TLS-Route: local\r\n");
    has(n, "nothing crossed a network.\r\n");
    lacks(n, "the body");
    lacks(n, "Subject: a secret");
    assert_true(n->is_redacted);
}

static void a_downgrade_and_a_suspended_stop_reach_the_notice(void **state)
{
    static const struct to stop[] = {{"bob@plain.example", ALICE, NOTIFY_DEFAULT, STOPPED}};
    static const struct to delay[] = {
        {"bob@plain.example", "carol@site.example", NOTIFY_DEFAULT, DELAYED}};
    static const struct queue_result lost = {
        .tls_seen_at = 1795188531, .protocol = "", .cipher = "", .verified = ""};
    static const struct queue_result waits = {
        .is_suspended = true, .protocol = "", .cipher = "", .verified = ""};
    (void)state;
    put_and_settle(&(struct mail){.sender = ALICE, .count = 1, .to = stop, .trace = &lost});
    put_and_settle(
        &(struct mail){.sender = "carol@site.example", .count = 1, .to = delay, .trace = &waits});
    assert_int_equal(report_all(), 2);
    has(notice_to(ALICE), "This is new: host ");
    has(notice_to(ALICE), "X-Sealpost-TLS-Last-Seen: Fri, 20 Nov 2026 15:28:51 +0000\r\n");
    lacks(notice_to(ALICE), "at many destinations");
    has(notice_to("carol@site.example"), "TLS is missing at many destinations at once");
    lacks(notice_to("carol@site.example"), "This is new");
}

/* Whom the stop would have told, whatever the sender asked to hear of delays. */
static void a_suspended_stop_is_told_to_the_owner_of_the_guarantee(void **state)
{
    static const struct to suspended[] = {
        {"bob@plain.example", "owner@site.example", NOTIFY_NEVER, DELAYED},
        {"carol@plain.example", ALICE, NOTIFY_FAILURE, DELAYED},
        {"dave@plain.example", "owner@site.example", NOTIFY_DEFAULT, DELAYED}};
    static const struct to over[] = {
        {"eve@plain.example", "other@site.example", NOTIFY_NEVER, DELAYED}};
    static const struct queue_result waits = {
        .is_suspended = true, .protocol = "", .cipher = "", .verified = ""};
    (void)state;
    put_and_settle(&(struct mail){.sender = ALICE, .count = 3, .to = suspended, .trace = &waits});
    put_and_settle(&(struct mail){.sender = ALICE, .count = 1, .to = over});
    assert_int_equal(report_all(), 3);
    const struct notice *owner = notice_to("owner@site.example");
    has(owner, "Subject: Delayed Mail (still being retried)\r\n");
    has(owner, "Final-Recipient: rfc822; bob@plain.example\r\n");
    has(owner, "Final-Recipient: rfc822; dave@plain.example\r\n");
    lacks(owner, "carol@plain.example");
    has(owner, "TLS is missing at many destinations at once");
    has(owner, "nor\r\n    sent unencrypted");
    has(notice_to(ALICE), "Final-Recipient: rfc822; carol@plain.example\r\n");
    lacks(notice_to(ALICE), "bob@plain.example");
    lacks(notice_to(ALICE), "eve@plain.example");
    has(notice_to("other@site.example"), "Final-Recipient: rfc822; eve@plain.example\r\n");
}

/* Passing TLS trouble stops the mail when the patience is over, long before its lifetime is. */
static void a_delay_names_the_end_of_the_patience_where_that_comes_first(void **state)
{
    const int64_t now = date_now_ms() / 1000;
    const struct {
        const char *owner;
        int64_t trouble_since;
        bool ends_with_patience;
    } cases[] = {
        {ALICE, now - 3600, true},
        {ALICE, 0, false},
        {NULL, now - 3600, false},               /* nothing is demanded any more */
        {ALICE, now - PATIENCE_S - 3600, false}, /* the last attempt was not stopped by it */
    };
    char sender[COUNT_OF(cases)][64], date[DATE_SIZE], want[128];
    int64_t until[COUNT_OF(cases)];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct to to = {
            "bob@slow.example", cases[i].owner, NOTIFY_DELAY, DISPOSITION_DEFERRED,
            QUEUE_REPORT_DELAY, false,          false};
        struct queue_recipient r;
        snprintf(sender[i], sizeof sender[i], "sender%zu@site.example", i);
        uint64_t id = put_and_settle(&(struct mail){
            .sender = sender[i], .count = 1, .to = &to, .trouble_since = cases[i].trouble_since});
        assert_int_equal(desk_recipient(&desk, id, 0, &r), 0);
        until[i] = cases[i].ends_with_patience ? cases[i].trouble_since + PATIENCE_S
                                               : r.started_at_ms / 1000 + 5 * 86400;
        queue_recipient_clear(&r);
    }
    assert_int_equal(report_all(), COUNT_OF(cases));
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        snprintf(want, sizeof want, "It will be tried until %s.\r\n", date_rfc5322(until[i], date));
        has(notice_to(sender[i]), want);
    }
}

static void a_stop_without_readable_content_is_told_all_the_same(void **state)
{
    (void)state;
    door.is_content_unreadable = true;
    put_and_settle(&(struct mail){.sender = ALICE, .count = 1, .to = guarded});
    assert_int_equal(report_all(), 1);
    has(notice_to(ALICE), "Final-Recipient: rfc822; bob@plain.example\r\n");
    lacks(notice_to(ALICE), "Message-ID: <1@site.example>");
    assert_true(has_event("notice-without-content"));
}

static void a_discarded_message_is_not_offered_what_would_stop_again(void **state)
{
    static const struct to to[] = {{"bob@plain.example", ALICE, NOTIFY_DEFAULT, DISPOSITION_HELD,
                                    QUEUE_REPORT_FAILURE, true, true}};
    (void)state;
    put_and_settle(&(struct mail){.sender = ALICE, .count = 1, .to = to});
    assert_int_equal(report_all(), 1);
    has(notice_to(ALICE), "The message is not kept for this recipient.");
    lacks(notice_to(ALICE), "switched off");
}

/* ---- size ---- */

enum { MANY = 2000 };

static void check_many(const char *evidence, size_t most_notices)
{
    struct to *to = xalloc(MANY * sizeof *to);
    char(*addresses)[ADDRESS_SIZE] = xalloc(MANY * sizeof *addresses);
    size_t total = 0;
    for (size_t i = 0; i < MANY; i++) {
        snprintf(addresses[i], sizeof addresses[i],
                 "recipient.number.%04zu@a.rather.long.domain.name.plain.example", i);
        to[i] = (struct to){addresses[i], ALICE, NOTIFY_DEFAULT, STOPPED};
    }
    put_account(ALICE, "de", NULL);
    put_and_settle(&(struct mail){
        .sender = ALICE, .ret = RET_FULL, .count = MANY, .to = to, .evidence = evidence});
    assert_in_range(report_all(), 2, most_notices);
    for (size_t i = 0; i < notices.count; i++) {
        assert_in_range(strlen(notices.list[i].text), 1000, NOTICE_SIZE_MAX);
        for (const char *at = notices.list[i].text; (at = strstr(at, "\r\nFinal-Recipient: "));
             at++)
            total++;
    }
    assert_int_equal(total, MANY); /* each once */
    free(to);
    free(addresses);
}

static char *long_evidence(void)
{
    char *text = xalloc(8192);
    size_t len = 0;
    for (unsigned i = 0; len < 7800; i++)
        len += (size_t)snprintf(text + len, 8192 - len,
                                "mx%u.plain.example[192.0.2.%u]:25 (preference 10): TLS=not "
                                "offered=no STARTTLS among =20 =3D keywords\n",
                                i, i);
    return text;
}

static void two_thousand_stops_with_one_evidence_make_a_few_bounded_notices(void **state)
{
    (void)state;
    char *evidence = long_evidence();
    check_many(evidence, 8);
    free(evidence);
}

static void each_with_its_own_long_evidence_is_reported_in_bounded_notices(void **state)
{
    struct to to[300];
    char addresses[300][ADDRESS_SIZE];
    char *evidence = long_evidence();
    size_t total = 0;
    (void)state;
    /* Different in its first octets, so nothing can be said once for all. */
    struct queue_recipient *taken = xalloc(300 * sizeof *taken);
    for (size_t i = 0; i < 300; i++) {
        snprintf(addresses[i], sizeof addresses[i], "r%03zu@plain.example", i);
        to[i] = (struct to){addresses[i], ALICE, NOTIFY_DEFAULT, STOPPED};
    }
    int64_t now_ms = date_now_ms();
    put(&(struct mail){.sender = ALICE, .count = 300, .to = to}, now_ms);
    assert_int_equal(desk_take(&desk, now_ms, taken, 300), 300);
    for (size_t i = 0; i < 300; i++) {
        struct queue_result r =
            desk_result(&taken[i], DISPOSITION_HELD, QUEUE_REPORT_FAILURE, now_ms);
        char *own = xprintf("%03zu %s", i, evidence);
        r.evidence = own;
        assert_int_equal(desk_settle(&desk, &r, 1), 0);
        free(own);
        queue_recipient_clear(&taken[i]);
    }
    free(taken);
    free(evidence);
    assert_in_range(report_all(), 1, 4);
    for (size_t i = 0; i < notices.count; i++) {
        assert_in_range(strlen(notices.list[i].text), 1000, NOTICE_SIZE_MAX);
        for (const char *at = notices.list[i].text; (at = strstr(at, "\r\nFinal-Recipient: "));
             at++)
            total++;
    }
    assert_int_equal(total, 300);
}

/* ---- what fails ---- */

static void broken_orders_do_not_keep_others_waiting(void **state)
{
    uint64_t broken[20];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(broken); i++)
        broken[i] = put_stop("bob@plain.example");
    for (size_t i = 0; i < 5; i++)
        put_stop("carol@good.example");
    door.broken_to = broken[COUNT_OF(broken) - 1];
    door.broken_from = broken[0];
    start();
    WAIT_UNTIL(read_notices() >= 5);
    assert_int_equal(read_notices(), 5);
    assert_true(has_event("notice-failed"));
    /* Ten more seconds: each is tried a few times, not in a circle. */
    usleep(10 * 1000 * 1000 / SPEED);
    assert_in_range(door.failed_reads, 20, 100);
    /* And made good when it can be read again. */
    door.broken_to = 0;
    WAIT_UNTIL(!is_anything_ordered());
    finish();
    assert_int_equal(read_notices(), 25);
}

static void a_commit_refused_does_not_keep_others_waiting(void **state)
{
    (void)state;
    door.fails_commits_of = put_stop("bob@plain.example");
    for (size_t i = 0; i < 40; i++)
        put_stop("carol@good.example");
    int64_t began = __real_date_now_ms();
    start();
    WAIT_UNTIL(read_notices() == 40);
    assert_true(__real_date_now_ms() - began < 5000 / SPEED + 2000);
    assert_true(has_event("notice-failed"));
    door.fails_commits_of = 0;
    WAIT_UNTIL(!is_anything_ordered());
    finish();
    assert_int_equal(read_notices(), 41);
}

static void failing_commits_are_tried_at_intervals_that_expiry_does_not_shorten(void **state)
{
    (void)state;
    scene.settings->hold_for_ms = 2000; /* looked at every half second */
    put_stop("bob@plain.example");
    door.fails_commits = true;
    start();
    WAIT_UNTIL(door.expiries >= 20);
    assert_in_range(door.commits, 1, 4);
    door.fails_commits = false;
    WAIT_UNTIL(!is_anything_ordered());
    finish();
    assert_int_equal(read_notices(), 1);
}

static void an_order_with_nothing_to_read_is_not_tried_in_a_circle(void **state)
{
    (void)state;
    put_stop("bob@plain.example");
    door.hides_recipients = true;
    start();
    WAIT_UNTIL(has_event("notice-failed"));
    usleep(10 * 1000 * 1000 / SPEED);
    assert_in_range(door.commits, 1, 4);
    door.hides_recipients = false;
    WAIT_UNTIL(!is_anything_ordered());
    finish();
    assert_int_equal(read_notices(), 1);
}

/* As damage leaves it: the record of the message taken out, its order left. */
static int lose_message(struct op *op, struct batch *b)
{
    struct key key = key_id(*(uint64_t *)op->context);
    return store_delete(b->txn, TABLE_MESSAGE, key_slice(&key));
}

static void an_order_whose_message_is_gone_ends_with_an_event(void **state)
{
    (void)state;
    uint64_t id = put_stop("bob@plain.example");
    struct op *op = op_new(sizeof *op, lose_message, NULL, NULL, &id);
    writer_submit(desk.q, op);
    put_stop("carol@good.example");
    assert_int_equal(report_all(), 1);
    assert_true(has_store_event("notice-dropped"));
    assert_false(has_event("notice-failed"));
}

/* Released between the drawing up and the commit. */
static void a_notice_that_comes_too_late_is_neither_stored_nor_logged(void **state)
{
    (void)state;
    door.releases = put_stop("bob@plain.example");
    assert_int_equal(report_all(), 0);
    assert_int_equal(door.commits, 1);
    assert_false(has_event("notice"));
    assert_false(has_event("notice-failed"));
}

static void a_list_that_cannot_be_read_is_read_again(void **state)
{
    (void)state;
    put_stop("bob@plain.example");
    door.is_list_unreadable = true;
    start();
    WAIT_UNTIL(door.looks >= 3);
    assert_true(has_event("notices-unreadable"));
    door.is_list_unreadable = false;
    WAIT_UNTIL(!is_anything_ordered());
    finish();
    assert_int_equal(read_notices(), 1);
    assert_in_range(door.looks, 4, 10);
}

/* ---- reload and stop ---- */

static void reload(void *context)
{
    struct delivery_settings *fresh = context;
    reporter_reload(scene.reporter, fresh);
    delivery_settings_unref(fresh);
}

static void a_reload_counts_from_the_next_notice_on(void **state)
{
    (void)state;
    put_stop("bob@plain.example");
    start();
    WAIT_UNTIL(!is_anything_ordered());
    loop_post(scene.loop, reload, settings_new("new.site.example"));
    put_stop("carol@plain.example");
    WAIT_UNTIL(read_notices() == 2);
    finish();
    has(&notices.list[0], "Reporting-MTA: dns; mail.site.example\r\n");
    has(&notices.list[1], "Reporting-MTA: dns; new.site.example\r\n");
}

static void release_answer(void *argument)
{
    run_answer(argument);
}

static void stopping_waits_for_the_commit_under_way_and_begins_no_other(void **state)
{
    (void)state;
    door.holds_commits = true;
    put_stop("bob@plain.example");
    start();
    WAIT_UNTIL(door.held != NULL);
    put_stop("carol@plain.example");
    loop_post(scene.loop, stop_reporter, NULL);
    usleep(20000);
    assert_false(scene.is_stopped);
    loop_post(scene.loop, release_answer, door.held);
    WAIT_UNTIL(scene.is_stopped);
    usleep(20000);
    assert_int_equal(door.commits, 1);
    loop_post(scene.loop, close_all, NULL);
    pthread_join(scene.thread, NULL);
    loop_free(scene.loop);
    scene.loop = NULL;
    assert_int_equal(read_notices(), 1);
    assert_true(is_anything_ordered()); /* the next start makes it */
}

static int teardown_notices(void **state)
{
    forget_notices();
    return teardown(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown_notices)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(several_stops_of_one_message_make_one_notice),
        TEST(the_flags_owner_is_told_where_he_is_not_the_reverse_path),
        TEST(nobody_is_told_of_mail_with_a_null_reverse_path),
        TEST(notify_never_is_not_in_the_notice_of_the_others),
        TEST(a_stop_is_told_though_accounts_changed_since),
        TEST(the_owner_is_told_where_the_accounts_cannot_be_read),
        TEST(the_addressees_language_is_spoken),
        TEST(a_notice_of_guarded_mail_returns_three_fields_and_may_go_any_way),
        TEST(over_a_local_route_all_comes_back_and_may_leave_over_tls_alone),
        TEST(across_the_network_a_notice_about_requiretls_is_redacted),
        TEST(over_a_local_route_a_notice_about_requiretls_is_bound_by_it_too),
        TEST(a_notice_of_other_mail_is_bound_by_nothing),
        TEST(what_was_guarded_once_stays_so_when_that_recipient_is_gone),
        TEST(success_and_delay_have_notices_of_their_own),
        TEST(one_message_makes_one_receipt_that_says_how_it_left),
        TEST(a_receipt_of_a_local_route_and_of_guarded_mail),
        TEST(a_downgrade_and_a_suspended_stop_reach_the_notice),
        TEST(a_suspended_stop_is_told_to_the_owner_of_the_guarantee),
        TEST(a_delay_names_the_end_of_the_patience_where_that_comes_first),
        TEST(a_stop_without_readable_content_is_told_all_the_same),
        TEST(a_discarded_message_is_not_offered_what_would_stop_again),
        TEST(two_thousand_stops_with_one_evidence_make_a_few_bounded_notices),
        TEST(each_with_its_own_long_evidence_is_reported_in_bounded_notices),
        TEST(broken_orders_do_not_keep_others_waiting),
        TEST(a_commit_refused_does_not_keep_others_waiting),
        TEST(failing_commits_are_tried_at_intervals_that_expiry_does_not_shorten),
        TEST(an_order_with_nothing_to_read_is_not_tried_in_a_circle),
        TEST(an_order_whose_message_is_gone_ends_with_an_event),
        TEST(a_notice_that_comes_too_late_is_neither_stored_nor_logged),
        TEST(a_list_that_cannot_be_read_is_read_again),
        TEST(a_reload_counts_from_the_next_notice_on),
        TEST(stopping_waits_for_the_commit_under_way_and_begins_no_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
