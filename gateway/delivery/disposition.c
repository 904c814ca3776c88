#include "gateway/delivery/disposition.h"

#include <string.h>

#include "queue/account.h"

int64_t disposition_delay_ms(const struct delivery_settings *s, unsigned attempts, uint32_t random)
{
    int64_t delay = s->retry_first_ms;
    for (unsigned i = 1; i < attempts && delay < s->retry_max_ms; i++)
        delay *= 2;
    if (delay > s->retry_max_ms)
        delay = s->retry_max_ms;
    /* The jitter keeps what failed together from coming back together. */
    return delay - delay / 10 + (int64_t)((uint64_t)delay / 5 * (random % 1024) / 1023);
}

bool disposition_is_over(const struct delivery_settings *s, const struct queue_recipient *r,
                         int64_t now_ms)
{
    return now_ms >= r->started_at_ms + s->lifetime_ms;
}

bool disposition_owner_is_sender(struct queue *q, const struct queue_message *m,
                                 const struct queue_recipient *r)
{
    struct address address;
    struct queue_account account;
    if (r->owner[0] == '\0' || strcasecmp(r->owner, m->reverse_path) == 0)
        return true;
    /* Where the accounts cannot be read, too: what the owner is told once too often, NOTIFY of
     * somebody else can not silence. */
    if (address_parse(slice_of(m->reverse_path), &address) != ADDRESS_OK ||
        queue_account_find(q, &address, &account) != 0)
        return false;
    bool is_same = strcasecmp(account.address, r->owner) == 0;
    queue_account_clear(&account);
    return is_same;
}

const char *disposition_stop_addressee(const struct queue_message *m,
                                       const struct queue_recipient *r, bool owner_is_sender)
{
    if (m->reverse_path[0] == '\0' || m->origin == ORIGIN_NOTICE)
        return "";
    if (!owner_is_sender)
        return r->owner;
    return r->notify & NOTIFY_NEVER ? "" : m->reverse_path;
}

static bool may_report(const struct disposition_case *c, enum notify kind, bool by_default)
{
    unsigned notify = c->recipient->notify;
    if (c->message->reverse_path[0] == '\0')
        return false;
    return notify == NOTIFY_DEFAULT ? by_default : (notify & kind) != 0;
}

/* What the client asked for is the next host's to report where that takes it over. What the account
 * asks for is ours: nobody else can say how the message left us. */
static void deliver(const struct disposition_case *c, struct queue_result *out)
{
    bool is_asked = may_report(c, NOTIFY_SUCCESS, false);
    bool wants_receipt = c->recipient->wants_receipt && c->message->reverse_path[0] != '\0' &&
                         !(c->recipient->notify & NOTIFY_NEVER);
    out->disposition = DISPOSITION_DELIVERED;
    out->is_passed_on = is_asked && c->is_dsn_passed_on;
    if (wants_receipt || (is_asked && !c->is_dsn_passed_on))
        out->report = QUEUE_REPORT_SUCCESS;
}

static void fail(const struct disposition_case *c, struct queue_result *out)
{
    out->disposition = DISPOSITION_FAILED;
    if (may_report(c, NOTIFY_FAILURE, true))
        out->report = QUEUE_REPORT_FAILURE;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static bool is_told_of_stop(const struct disposition_case *c)
{
    return disposition_stop_addressee(c->message, c->recipient, c->owner_is_sender)[0] != '\0';
}

/* Whom the stop would have told hears at once that the mail waits, once. Somebody else's mail: what
 * its sender was told before, the owner did not hear. */
static bool tells_of_suspension(const struct disposition_case *c)
{
    const struct queue_recipient *r = c->recipient;
    bool is_known = c->owner_is_sender ? r->was_warned : r->was_warned && r->is_suspended;
    return is_told_of_stop(c) && !is_known;
}

static void defer(const struct disposition_case *c, struct queue_result *out)
{
    const struct delivery_settings *s = c->settings;
    const struct queue_recipient *r = c->recipient;
    int64_t gives_up_at = r->started_at_ms + s->lifetime_ms;
    int64_t warns_at = r->started_at_ms + s->warn_after_ms;
    if (disposition_is_over(s, r, c->now_ms)) {
        fail(c, out);
        return;
    }
    out->disposition = DISPOSITION_DEFERRED;
    out->trouble_since = c->conclusion->trouble_since;
    int64_t next = c->now_ms + disposition_delay_ms(s, r->attempts + 1, c->random);
    next = earlier(next, gives_up_at);
    if (c->conclusion->patience_ends_at > 0)
        next = earlier(next, c->conclusion->patience_ends_at * 1000);
    bool warns = s->warn_after_ms > 0 && !r->was_warned && may_report(c, NOTIFY_DELAY, true);
    if (c->conclusion->is_suspended)
        out->report = tells_of_suspension(c) ? QUEUE_REPORT_DELAY : QUEUE_REPORT_NONE;
    else if (warns && c->now_ms >= warns_at)
        out->report = QUEUE_REPORT_DELAY;
    else if (warns)
        next = earlier(next, warns_at);
    /* Never at once: a destination that answers fast would be asked in a tight circle. */
    out->next_attempt_at_ms = next > c->now_ms + 1000 ? next : c->now_ms + 1000;
}

static void stop(const struct disposition_case *c, struct queue_result *out)
{
    bool is_told = is_told_of_stop(c);
    out->disposition = DISPOSITION_HELD;
    out->is_unnotifiable = !is_told;
    out->report = is_told ? QUEUE_REPORT_FAILURE : QUEUE_REPORT_NONE;
    /* What nobody is told of must not vanish: it is held whatever on_stop says. */
    out->is_discarded = c->settings->discards_stopped && is_told;
    out->expires_at_ms = c->now_ms + c->settings->hold_for_ms;
    out->is_force_needed = c->conclusion->is_force_needed;
    out->is_release_refused = c->conclusion->is_release_refused;
}

struct queue_result disposition_of(const struct disposition_case *c)
{
    struct queue_result out = {
        .id = c->recipient->id,
        .index = c->recipient->index,
        .outcome = c->conclusion->outcome,
        .attempted_at_ms = c->now_ms,
        .is_suspended = c->conclusion->is_suspended,
        .report = QUEUE_REPORT_NONE,
    };
    switch (c->conclusion->decision) {
    case GUARANTEE_DELIVERED:
        deliver(c, &out);
        return out;
    case GUARANTEE_FAIL:
        fail(c, &out);
        return out;
    case GUARANTEE_DEFER:
        defer(c, &out);
        return out;
    case GUARANTEE_STOP:
        /* A notice is never stopped (GUARANTEE.md section 4): one that stands for guarded mail in
         * full waits for its local route. */
        if (c->message->origin == ORIGIN_NOTICE)
            defer(c, &out);
        else
            stop(c, &out);
        return out;
    }
    panic("no such decision: %d", (int)c->conclusion->decision);
}
