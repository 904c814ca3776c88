#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/delivery/inside.h"
#include "mail/date.h"

enum { BACK_OFF_MS = 60 * 1000 }; /* how long an unreachable destination is not asked again */

/* Nothing of it answered: the next mail for it need not find that out again at once. */
static void note_back_off(struct attempt *a)
{
    struct destination *d = a->o.destination;
    struct guarantee_attempt facts;
    if (a->is_backed_off)
        return;
    d->back_off_until_ms = 0;
    if (a->is_aborted || a->pending == 0 || a->found == GUARANTEE_DESTINATION_OUR_FAULT)
        return;
    for (size_t i = 0; i < a->count; i++) {
        if (!a->to[i].is_pending)
            continue;
        struct guarantee_conclusion c = attempt_conclude(a, &a->to[i], &facts);
        bool is_unreachable =
            a->found == GUARANTEE_DESTINATION_LOOKUP_FAILED ||
            (a->found == GUARANTEE_DESTINATION_FOUND && c.kind == GUARANTEE_UNREACHABLE);
        if (c.decision != GUARANTEE_DEFER || !is_unreachable)
            return;
        d->back_off_reason = c.outcome;
    }
    int64_t length =
        a->o.settings->retry_first_ms < BACK_OFF_MS ? a->o.settings->retry_first_ms : BACK_OFF_MS;
    d->back_off_until_ms = loop_now_ms(a->o.loop) + length / 2;
}

static void leave(struct attempt *a)
{
    a->settling++; /* keeps it alive until the end of this function */
    a->has_left = true;
    a->o.left(a->o.context, a, a->o.destination);
    attempt_settle_done(a, 0);
}

void attempt_finish(struct attempt *a)
{
    attempt_cancel_policy(a); /* hosts that need none were told of before it came */
    if (a->found == GUARANTEE_DESTINATION_FOUND && a->host_count > 0 &&
        a->blocked_hosts == a->host_count)
        a->found = GUARANTEE_DESTINATION_BLOCKED;
    note_back_off(a);
    for (size_t i = 0; i < a->count; i++)
        if (a->to[i].is_pending)
            attempt_settle(a, &a->to[i]);
    leave(a);
}

void attempt_end_at(struct attempt *a, enum guarantee_destination found, const char *detail)
{
    a->found = found;
    snprintf(a->detail, sizeof a->detail, "%s", detail);
    attempt_finish(a);
}

/* The attempt that patience ends with is a real one, or nothing would come of it. */
static bool is_patience_over(const struct attempt *a, const struct queue_recipient *r)
{
    return r->trouble_since > 0 &&
           date_now() >= r->trouble_since + a->o.settings->patience_ms / 1000;
}

/* The destination was unreachable a moment ago: its reason is this recipient's too. */
static bool is_backed_off(struct attempt *a)
{
    struct destination *d = a->o.destination;
    for (size_t i = 0; i < a->count; i++) {
        const struct queue_recipient *r = &a->to[i].recipient;
        if (r->is_urgent || is_patience_over(a, r))
            return false; /* the administrator wants it tried now, or the guarantee does */
    }
    if (d->back_off_until_ms == 0)
        return false;
    if (loop_now_ms(a->o.loop) >= d->back_off_until_ms) {
        d->back_off_until_ms = 0;
        return false;
    }
    return true;
}

static void defer_as_backed_off(struct attempt *a)
{
    const struct outcome *reason = &a->o.destination->back_off_reason;
    struct guarantee_host h = {
        .name = reason->mx,
        .address = reason->address,
        .port = reason->port,
        .is_recalled = true,
        .contact = GUARANTEE_NO_CONTACT,
        .keywords = "",
        .protocol = "",
        .cipher = "",
        .certificate_error = "",
        .cause = *reason,
    };
    a->is_backed_off = true;
    attempt_record_for_all(a, &h);
    attempt_finish(a);
}

static void begin(void *argument)
{
    struct attempt *a = argument;
    if (a->is_aborted)
        leave(a);
    else if (is_backed_off(a))
        defer_as_backed_off(a);
    else
        attempt_resolve(a);
}

/* Our own notices go over TLS where they can and are never stopped: a notice nobody gets would undo
 * the promise that every stop is heard of. Those that stand for guarded mail carry none of its
 * content (bounce/), so nothing is lost by that. */
static struct guarantee_requirement required_of(const struct attempt *a,
                                                const struct queue_recipient *r)
{
    const struct queue_message *m = &a->o.message;
    struct guarantee_requirement required = delivery_required(
        a->o.settings, a->o.domain, a->next_hop.route, r->level, r->exemption, m->requiretls);
    if (m->origin == ORIGIN_NOTICE) {
        required.policy = GUARANTEE_POLICY_MAY;
        required.route = GUARANTEE_POLICY_MAY;
        required.ignores_promises = m->is_redacted;
    }
    /* RFC 8460 section 3: what a report tells of must not keep it back. */
    if (m->origin == ORIGIN_REPORT) {
        required.policy = GUARANTEE_POLICY_MAY;
        required.route = GUARANTEE_POLICY_MAY;
        required.ignores_promises = true;
        required.ignores_memory = true;
    }
    return required;
}

struct attempt *attempt_new(const struct attempt_options *o)
{
    struct attempt *a = xalloc(sizeof *a);
    a->o = *o;
    delivery_settings_ref(a->o.settings);
    arena_init(&a->arena);
    a->o.domain = arena_copy(&a->arena, slice_of(o->domain));
    next_hop_for(a->o.settings, a->o.domain, &a->next_hop);
    a->count = a->pending = o->count;
    a->to = xalloc(o->count * sizeof *a->to);
    a->slots = xalloc(o->count * sizeof *a->slots);
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): the elements are pointers */
    a->slot_of = xalloc(o->count * sizeof *a->slot_of);
    for (size_t i = 0; i < o->count; i++) {
        a->to[i].recipient = o->recipients[i];
        a->to[i].requirement = required_of(a, &a->to[i].recipient);
        a->to[i].is_pending = true;
    }
    free(o->recipients);
    a->o.recipients = NULL;
    loop_post(a->o.loop, begin, a);
    return a;
}

void attempt_abort(struct attempt *a)
{
    if (a->is_aborted || a->has_left)
        return;
    bool has_begun = a->question || a->policy_question || a->client || a->host_count > 0;
    a->is_aborted = true;
    if (a->question)
        dns_cancel(a->question);
    a->question = NULL;
    attempt_cancel_policy(a);
    attempt_keep_answers_read(a);
    attempt_give_up_connection(a, false);
    for (size_t i = 0; i < a->count; i++) {
        if (a->to[i].is_pending)
            queue_give_back(a->o.queue, a->to[i].recipient.id, a->to[i].recipient.index);
        a->to[i].is_pending = false;
    }
    a->pending = 0;
    if (has_begun)
        leave(a); /* else begin() is still to come, and leaves */
}
