/* learnt.c - what was learnt of destinations: posture, sts list, sts purge. */
#include <errno.h>

#include "gateway/control/answer.h"
#include "gateway/control/facts.h"
#include "gateway/posture/posture.h"
#include "gateway/sts/policy.h"
#include "mail/date.h"
#include "queue/policy.h"
#include "queue/posture.h"

/* ---- posture ---- */

/* What TLS that came about did not satisfy; NULL: nothing. */
static const char *failed_name(unsigned verified)
{
    switch (verified) {
    case POSTURE_FAILED_DANE:
        return "dane";
    case POSTURE_FAILED_STS:
        return "sts";
    default:
        return NULL;
    }
}

static bool list_posture(void *context, const struct queue_posture *p)
{
    json_t *host = json_object();
    json_put(host, "domain", json_text(p->domain));
    json_put(host, "host", json_text(p->host));
    json_put(host, "first_seen_at", json_time(p->first_seen_at * 1000));
    json_put(host, "last_seen_at", json_time(p->last_seen_at * 1000));
    json_put(host, "looks", json_integer(p->looks));
    json_put(host, "tls_looks", json_integer(p->tls_looks));
    json_put(host, "tls_first_at", json_time(p->tls_first_at * 1000));
    json_put(host, "tls_last_at", json_time(p->tls_last_at * 1000));
    json_put(host, "protocol", json_text_or_null(p->protocol));
    json_put(host, "cipher", json_text_or_null(p->cipher));
    json_put(host, "key_exchange", json_text_or_null(p->key_exchange));
    json_put(host, "key_digest", json_text_or_null(p->key_digest));
    json_put(host, "tlsa", json_text(fact_tlsa(p->tlsa)));
    json_put(host, "sts", json_text(fact_sts(p->sts)));
    const char *failed = failed_name(p->verified);
    json_put(host, "verified", json_text(failed ? "no" : fact_verified(p->verified)));
    json_put(host, "failed", json_text_or_null(failed));
    json_put(host, "refusals", json_integer(p->refusals));
    json_put(host, "refusal_first_at", json_time(p->refusal_first_at * 1000));
    json_put(host, "refusal_last_at", json_time(p->refusal_last_at * 1000));
    json_put(host, "refusal", json_text_or_null(p->refusal));
    json_add(context, host);
    return true;
}

static void list_postures(void *command)
{
    struct command *c = command;
    const char *domain = c->domain[0] ? c->domain : NULL;
    queue_postures_walk(c->host->queue, domain, list_posture, c->state);
}

/* Where the store has trouble, what it has is shown all the same. */
static void flushed(void *context, int error)
{
    struct command *c = context;
    (void)error;
    if (command_resume(c))
        command_collect(c, list_postures);
}

/* What a check has just seen is written with the commits of others, or a second later. */
void posture_show(struct command *c)
{
    if (argument_text(c, "domain") && !argument_domain(c, "domain", c->domain))
        return;
    command_wait(c);
    queue_posture_flush(c->host->queue, &c->host->poster, flushed, c);
}

/* ---- MTA-STS policies ---- */

static json_t *patterns_json(const struct sts_policy *policy)
{
    json_t *patterns = json_array();
    for (size_t i = 0; i < policy->mx_count; i++)
        json_add(patterns, json_text(policy->mx[i]));
    return patterns;
}

static bool list_policy(void *context, const struct queue_policy *p)
{
    struct sts_policy policy;
    const char *why;
    json_t *kept = json_object();
    bool is_read = sts_policy_parse(slice_of(p->text), &policy, &why);
    json_put(kept, "domain", json_text(p->domain));
    json_put(kept, "id", json_text(p->id));
    json_put(kept, "mode", is_read ? json_text(sts_mode_name(policy.mode)) : json_null());
    json_put(kept, "mx", is_read ? patterns_json(&policy) : json_array());
    json_put(kept, "fetched_at", json_time(p->fetched_at * 1000));
    json_put(kept, "checked_at", json_time(p->checked_at * 1000));
    json_put(kept, "refresh_at", json_time(p->refresh_at * 1000));
    json_put(kept, "expires_at", json_time(p->expires_at * 1000));
    json_put(kept, "expired", json_boolean(p->expires_at <= date_now()));
    json_add(context, kept);
    if (is_read)
        sts_policy_clear(&policy);
    return true;
}

static void list_policies(void *command)
{
    struct command *c = command;
    queue_policies_walk(c->host->queue, list_policy, c->state);
}

void sts_list(struct command *c)
{
    command_collect(c, list_policies);
}

static void answer_purged(struct command *c, bool was_kept)
{
    json_t *result = json_object();
    json_put(result, "domain", json_text(c->domain));
    json_put(result, "kept", json_boolean(was_kept));
    answer_ok(c, result);
}

static void removed(void *context, int error)
{
    struct command *c = context;
    if (!command_resume(c))
        return;
    if (error == 0 || error == -ENOENT)
        answer_purged(c, error == 0);
    else
        answer_queue_error(c, error);
}

/* The daemon forgets in memory, too, and that a domain had none: so it is no error where nothing
 * was in the store. */
void sts_purge(struct command *c)
{
    if (!argument_domain(c, "domain", c->domain))
        return;
    if (c->facts.forget_policy)
        c->facts.forget_policy(c->facts.context, c->domain);
    command_wait(c);
    queue_policy_remove(c->host->queue, c->domain, &c->host->poster, removed, c);
}
