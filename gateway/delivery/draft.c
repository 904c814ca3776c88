#include "gateway/delivery/draft.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/delivery/destination.h"
#include "gateway/delivery/disposition.h"
#include "mail/date.h"
#include "mail/id.h"
#include "queue/account.h"

enum {
    CONTENT_MAX = 256 * 1024, /* of the message reported on that is read */
    NOTICE_MAX = 1024 * 1024,
    RECIPIENTS_MAX = 500, /* in one notice */
    EVIDENCE_CUT = 1024,  /* of each recipient, in a notice that else would not fit */
};

/* The recipients of the message that one person is told of in one kind of report. */
struct letter {
    const char *to;
    enum queue_report report;
    size_t count;
    struct bounce_recipient *recipients; /* owned array */
    struct queue_reported *reported;     /* owned array, in step with recipients */
    bool is_since_known;
    int64_t guarantee_since;
};

struct draft_source {
    struct queue *queue;
    const struct delivery_settings *settings; /* borrowed while the draft is made */
    const struct event_sink *events;
    struct queue_message message;
    struct queue_recipient *recipients;
    size_t count;
    struct letter *letters;
    size_t letter_count;
    struct buffer original; /* the beginning of the message reported on */
    struct slice header, body;
    struct buffer contents[DRAFT_NOTICES_MAX]; /* of the notices */
    bool is_whole;                             /* `original` is all of it */
    bool is_guarded; /* a flag, REQUIRETLS or policy applies to it, or was lifted */
};

/* ---- who is told what ---- */

/* The account behind an address, for its language and the age of its flag. */
static bool find_account(struct queue *q, const char *text, struct queue_account *out)
{
    struct address address;
    return text[0] != '\0' && address_parse(slice_of(text), &address) == ADDRESS_OK &&
           queue_account_find(q, &address, out) == 0;
}

static bool is_stopped_recipient(const struct queue_recipient *to)
{
    return to->state == QUEUE_HELD || to->state == QUEUE_DISCARDED;
}

/* A delay that NOTIFY asks nobody to report is told because a stop is suspended, though it may not
 * be any more. */
static bool stands_for_stop(const struct queue_recipient *to)
{
    bool is_asked = to->notify == NOTIFY_DEFAULT || (to->notify & NOTIFY_DELAY) != 0;
    return is_stopped_recipient(to) ||
           (to->report == QUEUE_REPORT_DELAY && (to->is_suspended || !is_asked));
}

/* Whom to tell; "" when nobody can be told. That a report is stored at all says that somebody was
 * to be told when the mail stopped. Accounts and aliases may have changed since: then the owner
 * hears of it, or the sender, rather than nobody. */
static const char *addressee(const struct draft_source *s, const struct queue_recipient *to)
{
    const struct queue_message *m = &s->message;
    if (!stands_for_stop(to))
        return m->reverse_path;
    const char *whom =
        disposition_stop_addressee(m, to, disposition_owner_is_sender(s->queue, m, to));
    if (whom[0] != '\0' || m->reverse_path[0] == '\0' || m->origin == ORIGIN_NOTICE)
        return whom;
    return to->owner[0] != '\0' ? to->owner : m->reverse_path;
}

static struct letter *letter_for(struct draft_source *s, const char *to, enum queue_report report)
{
    for (size_t i = 0; i < s->letter_count; i++)
        if (s->letters[i].report == report && strcmp(s->letters[i].to, to) == 0)
            return &s->letters[i];
    s->letters = xrealloc(s->letters, (s->letter_count + 1) * sizeof *s->letters);
    struct letter *l = &s->letters[s->letter_count++];
    *l = (struct letter){.to = to, .report = report};
    l->recipients = xalloc(s->count * sizeof *l->recipients);
    l->reported = xalloc(s->count * sizeof *l->reported);
    return l;
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

static struct queue_reported reported_of(const struct queue_recipient *to)
{
    return (struct queue_reported){
        .index = to->index,
        .report = to->report,
        .last_attempt_at_ms = to->last_attempt_at_ms,
        .notice = QUEUE_NO_NOTICE,
    };
}

static void note_since(struct draft_source *s, struct letter *l, const struct queue_recipient *to)
{
    struct queue_account account;
    if (l->is_since_known || !is_stopped_recipient(to) || to->owner[0] == '\0')
        return;
    l->is_since_known = true;
    if (!find_account(s->queue, to->owner, &account))
        return;
    (void)queue_account_level(&account, LEVEL_OFF, date_now(), &l->guarantee_since, NULL);
    queue_account_clear(&account);
}

/* As at an attempt: the policy of the recipient's domain, or of the route it takes, counts too. */
static bool is_tls_demanded(const struct draft_source *s, const struct queue_recipient *to)
{
    const char *at = strrchr(to->address, '@');
    const char *domain = at ? at + 1 : "";
    struct next_hop hop;
    next_hop_for(s->settings, domain, &hop);
    struct guarantee_requirement required = delivery_required(
        s->settings, domain, hop.route, to->level, to->exemption, s->message.requiretls);
    return guarantee_demands_tls(&required);
}

/* When it is given up, if things stay as they are: passing TLS trouble stops it when the patience
 * is over. Where the last attempt came later still, something else is the trouble now. */
static int64_t retry_until_ms(const struct draft_source *s, const struct queue_recipient *to)
{
    int64_t lifetime_ends = to->started_at_ms + s->settings->lifetime_ms;
    int64_t patience_ends = to->trouble_since * 1000 + s->settings->patience_ms;
    bool is_patience_running =
        to->trouble_since > 0 && patience_ends > to->last_attempt_at_ms && is_tls_demanded(s, to);
    return is_patience_running && patience_ends < lifetime_ends ? patience_ends : lifetime_ends;
}

static void add_recipient(struct draft_source *s, struct letter *l,
                          const struct queue_recipient *to)
{
    l->reported[l->count] = reported_of(to);
    l->recipients[l->count++] = (struct bounce_recipient){
        .address = to->address,
        .orcpt = to->orcpt,
        .outcome = &to->outcome,
        .disposition = disposition_in(to),
        .is_relayed = to->is_relayed,
        .is_passed_on = to->is_passed_on,
        .is_stopped = is_stopped_recipient(to),
        .required = to->required,
        .evidence = to->evidence,
        .release = release_of(to),
        .would_stop_again = to->is_release_refused || to->is_force_needed,
        .held_until = to->state == QUEUE_HELD ? to->expires_at_ms / 1000 : 0,
        .last_attempt_at = to->last_attempt_at_ms / 1000,
        .retry_until = retry_until_ms(s, to) / 1000,
        .tls_seen_at = to->tls_seen_at,
        .is_suspended = to->is_suspended,
        .protocol = to->protocol,
        .cipher = to->cipher,
        .verified = to->verified,
        .is_local = to->is_local,
    };
    note_since(s, l, to);
}

static bool is_guarded(const struct draft_source *s, const struct queue_recipient *to)
{
    const char *at = strrchr(to->address, '@');
    enum guarantee_policy policy = delivery_policy_for(s->settings, at ? at + 1 : "");
    return to->level != LEVEL_OFF || to->exemption != EXEMPTION_NONE || is_stopped_recipient(to) ||
           policy >= GUARANTEE_POLICY_ENCRYPT;
}

/* No mail may tell of it (a notice about a null reverse-path would breed notices): what is done
 * with it now is done before the operator's eyes. */
static void tell_operator(const struct draft_source *s, const struct queue_recipient *to)
{
    char id[ID_SIZE];
    EVENT(s->events, EVENT_WARNING, "notice-unsent", FIELD(KEY_ID, id_text(s->message.id, id)),
          FIELD(KEY_TO, to->address), FIELD(KEY_STATE, queue_state_name(to->state)),
          FIELD(KEY_REPLY, to->outcome.text));
}

static void sort_recipients(struct draft *d)
{
    struct draft_source *s = d->source;
    d->reported = xalloc((s->count + 1) * sizeof *d->reported);
    s->is_guarded = s->message.requiretls || s->message.is_guarded;
    for (size_t i = 0; i < s->count; i++) {
        const struct queue_recipient *to = &s->recipients[i];
        s->is_guarded |= is_guarded(s, to);
        if (to->report == QUEUE_REPORT_NONE)
            continue;
        const char *whom = addressee(s, to);
        if (whom[0] != '\0') {
            add_recipient(s, letter_for(s, whom, to->report), to);
        } else {
            tell_operator(s, to);
            d->reported[d->reported_count++] = reported_of(to);
        }
    }
}

/* ---- what it says ---- */

static bool is_reached_locally(const struct delivery_settings *s, const char *address)
{
    struct next_hop hop;
    const char *at = strrchr(address, '@');
    next_hop_for(s, at ? at + 1 : "", &hop);
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

/* Splits what was read of the message into its header section and body. */
static void split_original(struct draft_source *s)
{
    struct slice all = buffer_slice(&s->original);
    const char *end = all.len > 0 ? memmem(all.data, all.len, "\r\n\r\n", 4) : NULL;
    s->header = all;
    if (!end)
        return;
    s->header.len = (size_t)(end - all.data) + 2;
    s->body = slice_sub(all, s->header.len + 2, all.len);
}

/* A message that cannot be read any more is reported on all the same: nothing comes back with it.
 */
static void read_original(struct draft_source *s)
{
    char id[ID_SIZE];
    int64_t rc = queue_content_read(s->queue, s->message.id, 0, CONTENT_MAX, &s->original);
    if (rc < 0) {
        buffer_clear(&s->original);
        EVENT(s->events, EVENT_ERROR, "notice-without-content",
              FIELD(KEY_ID, id_text(s->message.id, id)), FIELD(KEY_ERROR, strerror((int)-rc)));
    }
    s->is_whole = rc >= 0 && s->original.len == s->message.size;
    split_original(s);
}

static enum bounce_language language_of(struct queue *q, const char *to)
{
    enum bounce_language language = BOUNCE_ENGLISH;
    struct queue_account account;
    if (!find_account(q, to, &account))
        return language;
    if (!bounce_language_parse(slice_of(account.language), &language))
        language = BOUNCE_ENGLISH;
    queue_account_clear(&account);
    return language;
}

static struct bounce_report report_of(const struct draft_source *s, const struct letter *l)
{
    const struct queue_message *m = &s->message;
    struct bounce_report report = {
        .kind = kind_of(l->report),
        .language = language_of(s->queue, l->to),
        .hostname = s->settings->hostname,
        .to = l->to,
        .reverse_path = m->reverse_path,
        .envid = m->envid,
        .arrived_at = m->arrived_at_ms / 1000,
        .now = date_now(),
        .guarantee_since = l->guarantee_since,
        .ret = m->requiretls ? RET_HDRS : m->ret,
        .is_redacted = s->is_guarded && !is_reached_locally(s->settings, l->to),
        .header = s->header,
    };
    if (report.ret == RET_FULL && s->is_whole && l->report == QUEUE_REPORT_FAILURE)
        report.body = s->body;
    report.has_8bit = slice_has_8bit(report.header) || slice_has_8bit(report.body);
    return report;
}

/* Writes as many of the recipients in `report` as fit, from the first on, and says in it how many:
 * first with all evidence, then with some, then fewer recipients. One alone fits with all that can
 * come with it; if ever not, what comes back is left out. */
static bool write_some(struct bounce_report *report, struct buffer *out)
{
    report->evidence_max = 0;
    while (!bounce_write(report, out)) {
        if (report->evidence_max == 0) {
            report->evidence_max = EVIDENCE_CUT;
        } else if (report->count > 1) {
            report->count /= 2;
        } else if (report->header.len > 0) {
            report->header = report->body = (struct slice){NULL, 0};
        } else {
            return false;
        }
    }
    return true;
}

/* What is said in full of guarded mail was said for a local route. Should the configuration change
 * before it leaves, it goes over TLS or not at all. */
static void address_notice(struct queue_notice *n, const struct draft_source *s,
                           const struct bounce_report *report)
{
    envelope_init(&n->envelope);
    n->envelope.origin = ORIGIN_NOTICE;
    n->envelope.size = n->content.len;
    n->envelope.content_8bit = slice_has_8bit(n->content);
    n->envelope.is_redacted = report->is_redacted;
    /* RFC 8689 section 5: what is not redacted is bound as the message was. */
    n->envelope.requiretls = s->message.requiretls && !report->is_redacted;
    struct envelope_recipient *to = envelope_add(&n->envelope, report->to);
    if (s->is_guarded && !report->is_redacted)
        to->level = LEVEL_ENCRYPT;
}

/* One notice about recipients of `l` from `from` on. How many, or negative errno. */
static ptrdiff_t add_notice(struct draft *d, const struct letter *l, struct bounce_report *report,
                            size_t from)
{
    struct draft_source *s = d->source;
    struct buffer *content = &s->contents[d->notice_count];
    char id[ID_SIZE], own_id[ID_SIZE];
    uint64_t notice_id = queue_notice_id(s->queue);
    if (notice_id == 0)
        return -EIO;
    report->id = id_text(s->message.id, id);
    report->notice_id = id_text(notice_id, own_id);
    report->recipients = l->recipients + from;
    report->count = l->count - from < RECIPIENTS_MAX ? l->count - from : RECIPIENTS_MAX;
    buffer_init(content, NOTICE_MAX);
    if (!write_some(report, content))
        return -EMSGSIZE;
    struct queue_notice *n = &d->notices[d->notice_count];
    *n = (struct queue_notice){.content = buffer_slice(content), .id = notice_id};
    address_notice(n, s, report);
    for (size_t i = 0; i < report->count; i++) {
        d->reported[d->reported_count] = l->reported[from + i];
        d->reported[d->reported_count++].notice = (uint32_t)d->notice_count;
    }
    d->summaries[d->notice_count++] = (struct draft_summary){l->to, l->report, report->count};
    return (ptrdiff_t)report->count;
}

static int write_letter(struct draft *d, const struct letter *l)
{
    struct bounce_report report = report_of(d->source, l);
    for (size_t from = 0; from < l->count && d->notice_count < DRAFT_NOTICES_MAX;) {
        ptrdiff_t count = add_notice(d, l, &report, from);
        if (count < 0)
            return (int)count;
        from += (size_t)count;
        report.body = (struct slice){NULL, 0}; /* once is enough */
    }
    return 0;
}

/* ---- the whole ---- */

static void source_free(struct draft_source *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->letter_count; i++) {
        free(s->letters[i].recipients);
        free(s->letters[i].reported);
    }
    free(s->letters);
    for (size_t i = 0; i < DRAFT_NOTICES_MAX; i++)
        buffer_free(&s->contents[i]);
    buffer_free(&s->original);
    queue_recipients_free(s->recipients, s->count);
    queue_message_free(&s->message);
    free(s);
}

void draft_free(struct draft *d)
{
    for (size_t i = 0; i < d->notice_count; i++)
        envelope_free(&d->notices[i].envelope);
    free(d->notices);
    free(d->summaries);
    free(d->reported);
    source_free(d->source);
    *d = (struct draft){0};
}

int draft_make(struct queue *q, const struct delivery_settings *s, const struct event_sink *events,
               uint64_t id, struct draft *out)
{
    *out = (struct draft){0};
    struct draft_source *source = out->source = xalloc(sizeof *source);
    source->queue = q;
    source->settings = s;
    source->events = events;
    buffer_init(&source->original, CONTENT_MAX);
    int rc = queue_message_read(q, id, &source->message);
    if (rc == 0)
        rc = queue_recipients_read(q, id, &source->recipients, &source->count);
    if (rc == 0) {
        sort_recipients(out);
        read_original(source);
        out->notices = xalloc(DRAFT_NOTICES_MAX * sizeof *out->notices);
        out->summaries = xalloc(DRAFT_NOTICES_MAX * sizeof *out->summaries);
    }
    for (size_t i = 0; rc == 0 && i < source->letter_count; i++)
        rc = write_letter(out, &source->letters[i]);
    if (rc != 0)
        draft_free(out);
    return rc;
}
