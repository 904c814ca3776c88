#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/delivery/disposition.h"
#include "gateway/delivery/inside.h"
#include "gateway/tls/scram.h"
#include "mail/date.h"
#include "mail/id.h"
#include "queue/trial.h"

enum { EVIDENCE_MAX = 8 * 1024 };

/* The host that the outcome is about, as it was seen last; the last of all where it names none that
 * was seen. */
static const struct guarantee_host *seen_by(const struct addressee *t, const struct outcome *o)
{
    for (size_t i = t->seen_count; i > 0; i--) {
        const struct guarantee_host *h = &t->seen[i - 1];
        if (strcmp(h->name, o->mx) == 0 && strcmp(h->address, o->address) == 0 &&
            h->port == o->port)
            return h;
    }
    return t->seen_count > 0 ? &t->seen[t->seen_count - 1] : NULL;
}

static const char *verified_word(const struct guarantee_requirement *r,
                                 const struct guarantee_host *h)
{
    switch (guarantee_judge(r, h).verified) {
    case GUARANTEE_VERIFIED_NO:
        return "no";
    case GUARANTEE_VERIFIED_DANE:
        return "dane";
    case GUARANTEE_VERIFIED_STS:
        return "sts";
    case GUARANTEE_VERIFIED_PKIX:
        return "pkix";
    }
    panic("no such verification");
}

static const char *relay_text(const struct outcome *o, char *out, size_t size)
{
    if (o->mx[0] == '\0' && o->address[0] == '\0')
        return "none";
    snprintf(out, size, "%s[%s]:%u", o->mx, o->address, o->port);
    return out;
}

/* Exactly one such line per recipient and attempt. */
static void log_disposition(struct attempt *a, const struct addressee *t,
                            const struct queue_result *result)
{
    char id[ID_SIZE];
    char relay[DOMAIN_SIZE + 96];
    char status[STATUS_SIZE];
    char delay[32];
    char next[DATE_SIZE] = "";
    char reply[OUTCOME_TEXT_SIZE + 16];
    const struct guarantee_host *h = seen_by(t, &result->outcome);
    bool has_tls = h && h->tls == GUARANTEE_TLS_ESTABLISHED;
    int64_t delay_ms = result->attempted_at_ms - a->o.message.arrived_at_ms;
    snprintf(delay, sizeof delay, "%lld.%03lld", (long long)(delay_ms / 1000),
             (long long)(delay_ms % 1000));
    if (result->outcome.code > 0)
        snprintf(reply, sizeof reply, "%u %s", result->outcome.code, result->outcome.text);
    else
        snprintf(reply, sizeof reply, "%s", result->outcome.text);
    if (result->disposition == DISPOSITION_DEFERRED)
        date_rfc3339(result->next_attempt_at_ms / 1000, next);
    EVENT(a->o.events, result->disposition == DISPOSITION_DELIVERED ? EVENT_INFO : EVENT_WARNING,
          "disposition", FIELD(KEY_ID, id_text(t->recipient.id, id)),
          FIELD(KEY_FROM, a->o.message.reverse_path), FIELD(KEY_TO, t->recipient.address),
          FIELD(KEY_DISPOSITION, disposition_name(result->disposition)),
          FIELD(KEY_RELAY, relay_text(&result->outcome, relay, sizeof relay)),
          FIELD(KEY_TLS, has_tls ? h->protocol : "none"),
          FIELD(KEY_CIPHER, has_tls ? h->cipher : "none"),
          FIELD(KEY_VERIFIED, has_tls ? verified_word(&t->requirement, h) : "no"),
          FIELD(KEY_LEVEL, level_name(t->recipient.level)),
          FIELD(KEY_EXEMPT, exemption_name(t->recipient.exemption)), FIELD(KEY_DELAY, delay),
          FIELD_NUMBER(KEY_ATTEMPTS, t->recipient.attempts + 1),
          FIELD(KEY_STATUS, status_text(result->outcome.status, status)), FIELD(KEY_REPLY, reply),
          FIELD(KEY_NEXT, next));
}

void attempt_settle_done(void *context, int error)
{
    struct attempt *a = context;
    (void)error; /* never comes: the queue commits until it succeeds */
    a->settling--;
    if (!a->has_left || a->settling > 0)
        return;
    a->o.settled(a->o.context, a);
    for (size_t i = 0; i < a->count; i++) {
        queue_recipient_clear(&a->to[i].recipient);
        free(a->to[i].seen);
    }
    free(a->to);
    free(a->slots);
    free(a->slot_of);
    free(a->hosts);
    dns_host_clear(&a->host);
    known_policy_clear(&a->policy);
    queue_message_free(&a->o.message);
    delivery_settings_unref(a->o.settings);
    arena_free(&a->arena);
    free(a);
}

static void post_to_loop(void *context, void (*run)(void *argument), void *argument)
{
    loop_post(context, run, argument);
}

struct guarantee_conclusion attempt_conclude(struct attempt *a, const struct addressee *t,
                                             struct guarantee_attempt *facts)
{
    *facts = (struct guarantee_attempt){
        .destination = a->found,
        .domain = a->o.domain,
        .detail = a->detail,
        .hosts = t->seen,
        .count = t->seen_count,
        .trouble_since = t->recipient.trouble_since,
        .now = date_now(),
        .patience = a->o.settings->patience_ms / 1000,
    };
    facts->are_stops_suspended = posture_suspends_stops(a->o.posture, facts->now);
    struct guarantee_conclusion c = guarantee_conclude(&t->requirement, facts);
    /* Not to have tried is no result: patience goes on (GUARANTEE.md section 3, rule 3). */
    if (a->is_backed_off && facts->trouble_since > 0) {
        c.trouble_since = facts->trouble_since;
        c.patience_ends_at = facts->trouble_since + facts->patience;
    }
    /* Trouble that begins within this second is counted from its end: patience is never shorter
     * than it says. */
    if (t->recipient.trouble_since == 0 && c.trouble_since > 0) {
        c.trouble_since++;
        c.patience_ends_at += c.patience_ends_at > 0;
    }
    return c;
}

/* Since when the host of the outcome has no TLS any more; 0 where it is no downgrade. */
static int64_t tls_seen_at(const struct addressee *t, const struct guarantee_conclusion *c)
{
    int64_t at = 0;
    for (size_t i = 0; c->is_downgrade && i < t->seen_count; i++)
        if (strcmp(t->seen[i].name, c->outcome.mx) == 0 && t->seen[i].tls_seen_at > at)
            at = t->seen[i].tls_seen_at;
    return at;
}

/* Dry run: what the flag would have done at this attempt, whatever became of the mail without it: a
 * host that breaks its own DANE has it wait, where the flag would have stopped it. Told once for
 * each recipient, with the first such attempt. */
static void note_trial(struct attempt *a, const struct addressee *t,
                       const struct guarantee_attempt *facts)
{
    struct guarantee_requirement flag = t->requirement;
    struct outcome would;
    char id[ID_SIZE];
    flag.level = t->recipient.level;
    if (t->recipient.exemption != EXEMPTION_DRY_RUN || !guarantee_would_stop(&flag, facts, &would))
        return;
    struct queue_trial trial = {.at = facts->now,
                                .arrived_at = a->o.message.arrived_at_ms / 1000,
                                .id = t->recipient.id,
                                .status = would.status};
    snprintf(trial.user, sizeof trial.user, "%s", t->recipient.owner);
    snprintf(trial.recipient, sizeof trial.recipient, "%s", t->recipient.address);
    snprintf(trial.reason, sizeof trial.reason, "%s", would.text);
    if (queue_trial_has(a->o.queue, &trial) > 0)
        return;
    EVENT(a->o.events, EVENT_INFO, "dry-run", FIELD(KEY_ID, id_text(trial.id, id)),
          FIELD(KEY_USER, trial.user), FIELD(KEY_TO, trial.recipient),
          FIELD(KEY_REASON, trial.reason));
    queue_trial_add(a->o.queue, &trial);
}

void attempt_settle(struct attempt *a, struct addressee *t)
{
    struct guarantee_attempt facts;
    struct guarantee_conclusion conclusion = attempt_conclude(a, t, &facts);
    const struct guarantee_host *h = seen_by(t, &conclusion.outcome);
    struct disposition_case c = {
        .settings = a->o.settings,
        .message = &a->o.message,
        .recipient = &t->recipient,
        .conclusion = &conclusion,
        .owner_is_sender = disposition_owner_is_sender(a->o.queue, &a->o.message, &t->recipient),
        .now_ms = date_now_ms(),
    };
    for (size_t i = 0; i < a->transaction.count; i++)
        if (a->slot_of[i] == t)
            c.is_dsn_passed_on = !a->slots[i].is_relayed;
    if (!random_bytes(&c.random, sizeof c.random))
        c.random = (uint32_t)c.now_ms; /* only the jitter depends on it */
    if (conclusion.is_suspended && disposition_is_over(c.settings, c.recipient, c.now_ms)) {
        facts.are_stops_suspended = false;
        conclusion = guarantee_conclude(&t->requirement, &facts);
    }
    struct queue_result result = disposition_of(&c);
    char required[512]; /* flag, REQUIRETLS, policy and route together */
    struct buffer evidence;
    buffer_init(&evidence, EVIDENCE_MAX);
    if (conclusion.decision != GUARANTEE_DELIVERED)
        guarantee_evidence(&t->requirement, &facts, &evidence);
    guarantee_stop_words(&t->requirement, &conclusion, required, sizeof required);
    const char *lines = buffer_text(&evidence);
    result.evidence = lines ? lines : "";
    result.required = required;
    if (conclusion.decision == GUARANTEE_DELIVERED && h) {
        result.is_relayed = a->next_hop.protocol != CLIENT_LMTP;
        result.is_local = h->is_local_route;
        result.protocol = h->protocol;
        result.cipher = h->cipher;
        result.verified = verified_word(&t->requirement, h);
    }
    result.tls_seen_at = tls_seen_at(t, &conclusion);
    result.is_guarded = t->requirement.policy >= GUARANTEE_POLICY_ENCRYPT ||
                        t->requirement.route >= GUARANTEE_POLICY_ENCRYPT;
    log_disposition(a, t, &result);
    note_trial(a, t, &facts);
    t->is_pending = false;
    a->pending--;
    a->settling++;
    struct queue_poster poster = {.post = post_to_loop, .context = a->o.loop};
    queue_settle(a->o.queue, &result, 1, &poster, attempt_settle_done, a);
    buffer_free(&evidence);
}
