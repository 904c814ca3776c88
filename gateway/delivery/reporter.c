#include "gateway/delivery/reporter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/delivery/destination.h"
#include "gateway/delivery/disposition.h"
#include "mail/date.h"
#include "mail/id.h"
#include "queue/account.h"
#include "queue/held.h"
#include "queue/notice.h"

enum {
    BATCH = 16,               /* messages reported on at a time */
    RETRY_MS = 5000,          /* after a commit that failed */
    EXPIRY_MS = 60 * 1000,    /* between looks for held mail whose time is over */
    CONTENT_MAX = 256 * 1024, /* of the message reported on that is read */
    NOTICE_MAX = 1024 * 1024,
};

struct reporter {
    struct loop *loop;
    struct queue *queue;
    struct delivery_settings *settings;
    const struct event_sink *events;
    struct queue_notice_watch *watch;
    struct loop_timer *timer;
    struct loop_timer *expiry_timer;
    int64_t due_at_ms;   /* what the timer stands at, wall clock; INT64_MAX: nothing */
    unsigned committing; /* commits under way, the expiry's too */
    bool has_failed;     /* a commit of this batch failed: pause before the next */
    bool is_stopping;
    void (*stopped)(void *context);
    void *stopped_context;
};

/* One notice in the making: the recipients of one message that one person is told of in one kind of
 * report. */
struct draft {
    const char *to;
    enum queue_report report;
    struct bounce_recipient *recipients; /* owned array */
    size_t count;
    struct buffer content;
    int64_t guarantee_since;
};

/* One message's order being carried out. */
struct order {
    struct reporter *reporter;
    struct queue_message message;
    struct queue_recipient *recipients;
    size_t count;
    struct draft *drafts;
    size_t draft_count;
    struct queue_reported *reported;
    size_t reported_count;
    struct queue_notice *notices;
    struct buffer original; /* the beginning of the message reported on */
    bool is_guarded;        /* a flag, REQUIRETLS or policy applies to it, or was lifted */
};

static void process(void *context);

static void maybe_stopped(struct reporter *r)
{
    if (!r->is_stopping || r->committing > 0 || !r->stopped)
        return;
    void (*stopped)(void *context) = r->stopped;
    r->stopped = NULL;
    stopped(r->stopped_context);
}

static void arm(struct reporter *r, int64_t due_at_ms)
{
    r->due_at_ms = due_at_ms;
    if (r->is_stopping || due_at_ms == INT64_MAX)
        return;
    int64_t in = due_at_ms - date_now_ms();
    loop_timer_start(r->timer, in > EXPIRY_MS ? EXPIRY_MS : in);
}

static void order_free(struct order *o)
{
    for (size_t i = 0; i < o->draft_count; i++) {
        free(o->drafts[i].recipients);
        buffer_free(&o->drafts[i].content);
        envelope_free(&o->notices[i].envelope);
    }
    free(o->drafts);
    free(o->notices);
    free(o->reported);
    buffer_free(&o->original);
    queue_recipients_free(o->recipients, o->count);
    queue_message_free(&o->message);
    free(o);
}

/* ---- who is told what ---- */

/* The account behind an address, for its language and the age of its flag. */
static bool find_account(struct reporter *r, const char *text, struct queue_account *out)
{
    struct address address;
    return text[0] != '\0' && address_parse(slice_of(text), &address) == ADDRESS_OK &&
           queue_account_find(r->queue, &address, out) == 0;
}

static bool is_stopped_recipient(const struct queue_recipient *to)
{
    return to->state == QUEUE_HELD || to->state == QUEUE_DISCARDED;
}

static const char *addressee(struct order *o, const struct queue_recipient *to)
{
    if (is_stopped_recipient(to))
        return disposition_stop_addressee(
            &o->message, to, disposition_owner_is_sender(o->reporter->queue, &o->message, to));
    return o->message.reverse_path;
}

static struct draft *draft_for(struct order *o, const char *to, enum queue_report report)
{
    for (size_t i = 0; i < o->draft_count; i++)
        if (o->drafts[i].report == report && strcmp(o->drafts[i].to, to) == 0)
            return &o->drafts[i];
    struct draft *d = &o->drafts[o->draft_count++];
    d->to = to;
    d->report = report;
    d->recipients = xalloc(o->count * sizeof *d->recipients);
    buffer_init(&d->content, NOTICE_MAX);
    return d;
}

static enum disposition disposition_in(const struct queue_recipient *to)
{
    switch (to->state) {
    case QUEUE_QUEUED:
    case QUEUE_DEFERRED:
        return DISPOSITION_DEFERRED;
    case QUEUE_HELD:
    case QUEUE_DISCARDED:
        return DISPOSITION_HELD;
    case QUEUE_FAILED:
        return DISPOSITION_FAILED;
    case QUEUE_DELIVERED:
        return DISPOSITION_DELIVERED;
    }
    panic("no such state: %d", (int)to->state);
}

static enum bounce_release release_of(const struct queue_recipient *to)
{
    if (to->state != QUEUE_HELD)
        return BOUNCE_NOT_HELD;
    if (to->is_release_refused)
        return BOUNCE_RELEASE_REFUSED;
    return to->is_force_needed ? BOUNCE_RELEASE_FORCE : BOUNCE_RELEASE;
}

static void add_recipient(struct order *o, struct draft *d, const struct queue_recipient *to)
{
    const struct delivery_settings *s = o->reporter->settings;
    d->recipients[d->count++] = (struct bounce_recipient){
        .address = to->address,
        .orcpt = to->orcpt,
        .outcome = &to->outcome,
        .disposition = disposition_in(to),
        .is_relayed = to->is_relayed,
        .is_stopped = is_stopped_recipient(to),
        .required = to->required,
        .evidence = to->evidence,
        .release = release_of(to),
        .held_until = to->state == QUEUE_HELD ? to->expires_at_ms / 1000 : 0,
        .last_attempt_at = to->last_attempt_at_ms / 1000,
        .retry_until = (to->started_at_ms + s->lifetime_ms) / 1000,
        .protocol = to->protocol,
        .cipher = to->cipher,
        .verified = to->verified,
    };
    struct queue_account account;
    if (d->guarantee_since == 0 && is_stopped_recipient(to) &&
        find_account(o->reporter, to->owner, &account)) {
        (void)queue_account_level(&account, LEVEL_OFF, date_now(), &d->guarantee_since, NULL);
        queue_account_clear(&account);
    }
}

static bool is_guarded(const struct order *o, const struct queue_recipient *to)
{
    const char *at = strrchr(to->address, '@');
    enum guarantee_policy policy = delivery_policy_for(o->reporter->settings, at ? at + 1 : "");
    return to->level != LEVEL_OFF || to->exemption != EXEMPTION_NONE ||
           policy >= GUARANTEE_POLICY_ENCRYPT;
}

static void sort_recipients(struct order *o)
{
    o->drafts = xalloc(o->count * sizeof *o->drafts);
    o->reported = xalloc(o->count * sizeof *o->reported);
    o->is_guarded = o->message.requiretls;
    for (size_t i = 0; i < o->count; i++) {
        const struct queue_recipient *to = &o->recipients[i];
        o->is_guarded |= is_guarded(o, to);
        if (to->report == QUEUE_REPORT_NONE)
            continue;
        o->reported[o->reported_count++] = (struct queue_reported){
            .index = to->index, .report = to->report, .last_attempt_at_ms = to->last_attempt_at_ms};
        const char *whom = addressee(o, to);
        if (whom[0] != '\0')
            add_recipient(o, draft_for(o, whom, to->report), to);
    }
}

/* ---- what it says ---- */

static bool is_reached_locally(const struct reporter *r, const char *address)
{
    struct next_hop hop;
    const char *at = strrchr(address, '@');
    next_hop_for(r->settings, at ? at + 1 : "", &hop);
    bool has_address = hop.target.kind == NEXT_HOP_LITERAL || hop.target.kind == NEXT_HOP_UNIX;
    return has_address && next_hop_is_local(&hop, &hop.target.address);
}

static enum bounce_kind kind_of(enum queue_report report)
{
    switch (report) {
    case QUEUE_REPORT_FAILURE:
        return BOUNCE_FAILURE;
    case QUEUE_REPORT_DELAY:
        return BOUNCE_DELAY;
    case QUEUE_REPORT_SUCCESS:
        return BOUNCE_SUCCESS;
    case QUEUE_REPORT_NONE:
        break;
    }
    panic("no such report: %d", (int)report);
}

static bool has_8bit(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.data[i] > 127)
            return true;
    return false;
}

/* Splits what was read of the message into its header section and body. */
static void split_original(struct order *o, struct slice *header, struct slice *body)
{
    struct slice all = buffer_slice(&o->original);
    const char *end = all.len > 0 ? memmem(all.data, all.len, "\r\n\r\n", 4) : NULL;
    *header = all;
    *body = (struct slice){NULL, 0};
    if (!end)
        return;
    header->len = (size_t)(end - all.data) + 2;
    *body = slice_sub(all, header->len + 2, all.len);
}

static enum bounce_language language_of(struct reporter *r, const char *to)
{
    enum bounce_language language = BOUNCE_ENGLISH;
    struct queue_account account;
    if (!find_account(r, to, &account))
        return language;
    if (!bounce_language_parse(slice_of(account.language), &language))
        language = BOUNCE_ENGLISH;
    queue_account_clear(&account);
    return language;
}

static bool write_draft(struct order *o, struct draft *d, uint64_t notice_id)
{
    struct reporter *r = o->reporter;
    char id[ID_SIZE];
    char own_id[ID_SIZE];
    bool is_local = is_reached_locally(r, d->to);
    struct bounce_report report = {
        .kind = kind_of(d->report),
        .language = language_of(r, d->to),
        .hostname = r->settings->hostname,
        .id = id_text(o->message.id, id),
        .notice_id = id_text(notice_id, own_id),
        .to = d->to,
        .reverse_path = o->message.reverse_path,
        .envid = o->message.envid,
        .arrived_at = o->message.arrived_at_ms / 1000,
        .now = date_now(),
        .guarantee_since = d->guarantee_since,
        .ret = o->message.requiretls ? RET_HDRS : o->message.ret,
        .is_redacted = o->is_guarded && !is_local,
        .count = d->count,
        .recipients = d->recipients,
    };
    split_original(o, &report.header, &report.body);
    bool is_whole = o->original.len == o->message.size;
    if (report.ret != RET_FULL || !is_whole || d->report != QUEUE_REPORT_FAILURE)
        report.body = (struct slice){NULL, 0};
    report.has_8bit = has_8bit(report.header) || has_8bit(report.body);
    return bounce_write(&report, &d->content);
}

static bool make_notice(struct order *o, size_t index)
{
    struct draft *d = &o->drafts[index];
    struct queue_notice *n = &o->notices[index];
    n->id = queue_notice_id(o->reporter->queue);
    if (n->id == 0 || !write_draft(o, d, n->id))
        return false;
    n->content = buffer_slice(&d->content);
    envelope_init(&n->envelope);
    n->envelope.origin = ORIGIN_NOTICE;
    n->envelope.size = n->content.len;
    n->envelope.content_8bit = has_8bit(n->content);
    n->envelope.is_redacted = o->is_guarded;
    (void)envelope_add(&n->envelope, d->to);
    return true;
}

/* ---- carrying it out ---- */

static void batch_is_over(struct reporter *r)
{
    if (r->committing > 0)
        return;
    arm(r, date_now_ms() + (r->has_failed ? RETRY_MS : 0));
    r->has_failed = false;
    maybe_stopped(r);
}

static void log_notices(struct order *o)
{
    char id[ID_SIZE];
    char own_id[ID_SIZE];
    static const char *const kinds[] = {"none", "failure", "delay", "success"};
    for (size_t i = 0; i < o->draft_count; i++)
        EVENT(o->reporter->events, EVENT_INFO, "notice",
              FIELD(KEY_ID, id_text(o->notices[i].id, own_id)), FIELD(KEY_TO, o->drafts[i].to),
              FIELD(KEY_REASON, kinds[o->drafts[i].report]),
              FIELD(KEY_MESSAGE_ID, id_text(o->message.id, id)),
              FIELD_NUMBER(KEY_RECIPIENTS, o->drafts[i].count));
}

static void committed(void *context, int error)
{
    struct order *o = context;
    struct reporter *r = o->reporter;
    if (error == 0)
        log_notices(o);
    else if (error != -ENOENT)
        r->has_failed = true;
    order_free(o);
    r->committing--;
    batch_is_over(r);
}

static void post_to_loop(void *context, void (*run)(void *argument), void *argument)
{
    loop_post(context, run, argument);
}

static bool carry_out(struct reporter *r, uint64_t id)
{
    struct queue_poster poster = {.post = post_to_loop, .context = r->loop};
    struct order *o = xalloc(sizeof *o);
    o->reporter = r;
    buffer_init(&o->original, CONTENT_MAX);
    bool is_ready = queue_message_read(r->queue, id, &o->message) == 0 &&
                    queue_recipients_read(r->queue, id, &o->recipients, &o->count) == 0 &&
                    queue_content_read(r->queue, id, 0, CONTENT_MAX, &o->original) >= 0;
    if (is_ready) {
        sort_recipients(o);
        o->notices = xalloc((o->draft_count + 1) * sizeof *o->notices);
        for (size_t i = 0; i < o->draft_count && is_ready; i++)
            is_ready = make_notice(o, i);
    }
    if (!is_ready) {
        order_free(o);
        return false;
    }
    r->committing++;
    queue_notices_commit(r->queue, id, o->reported, o->reported_count, o->notices, o->draft_count,
                         &poster, committed, o);
    return true;
}

static void process(void *context)
{
    struct reporter *r = context;
    uint64_t ids[BATCH];
    int64_t next_due_at_ms;
    if (r->committing > 0 || r->is_stopping)
        return; /* batch_is_over() looks again */
    size_t count = queue_notices_due(r->queue, date_now_ms(), ids, BATCH, &next_due_at_ms);
    for (size_t i = 0; i < count; i++)
        if (!carry_out(r, ids[i]))
            r->has_failed = true;
    if (count == 0)
        arm(r, next_due_at_ms);
    else
        batch_is_over(r);
}

static void order_stored(void *context, int64_t due_at_ms)
{
    struct reporter *r = context;
    if (due_at_ms < r->due_at_ms)
        arm(r, due_at_ms);
}

static void expired(void *context, int error)
{
    struct reporter *r = context;
    (void)error; /* tried again in a minute */
    r->committing--;
    batch_is_over(r);
}

/* A hold that is short is also ended with some precision. */
static int64_t expiry_interval_ms(const struct reporter *r)
{
    int64_t quarter = r->settings->hold_for_ms / 4;
    return quarter < EXPIRY_MS ? quarter : EXPIRY_MS;
}

static void expire(void *context)
{
    struct reporter *r = context;
    struct queue_poster poster = {.post = post_to_loop, .context = r->loop};
    if (r->is_stopping)
        return;
    r->committing++;
    queue_expire_held(r->queue, date_now_ms(), &poster, expired, r);
    loop_timer_start(r->expiry_timer, expiry_interval_ms(r));
}

struct reporter *reporter_new(struct loop *l, struct queue *q, struct delivery_settings *settings,
                              const struct event_sink *events)
{
    struct queue_poster poster = {.post = post_to_loop, .context = l};
    struct reporter *r = xalloc(sizeof *r);
    r->loop = l;
    r->queue = q;
    r->settings = delivery_settings_ref(settings);
    r->events = events;
    r->due_at_ms = INT64_MAX;
    r->timer = loop_timer_new(l, process, r);
    r->expiry_timer = loop_timer_new(l, expire, r);
    if (r->timer && r->expiry_timer)
        r->watch = queue_watch_notices(q, &poster, order_stored, r);
    if (!r->watch) {
        reporter_free(r);
        return NULL;
    }
    loop_timer_start(r->expiry_timer, expiry_interval_ms(r));
    return r;
}

void reporter_reload(struct reporter *r, struct delivery_settings *settings)
{
    struct delivery_settings *old = r->settings;
    r->settings = delivery_settings_ref(settings);
    delivery_settings_unref(old);
}

void reporter_stop(struct reporter *r, void (*stopped)(void *context), void *context)
{
    r->is_stopping = true;
    r->stopped = stopped;
    r->stopped_context = context;
    loop_timer_stop(r->timer);
    loop_timer_stop(r->expiry_timer);
    maybe_stopped(r);
}

void reporter_free(struct reporter *r)
{
    if (!r)
        return;
    if (r->watch)
        queue_unwatch_notices(r->watch);
    loop_timer_free(r->timer);
    loop_timer_free(r->expiry_timer);
    delivery_settings_unref(r->settings);
    free(r);
}
