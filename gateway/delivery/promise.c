#include "gateway/delivery/inside.h"
#include "mail/date.h"

static void keep_answer(struct attempt *a, const struct sts_answer *answer)
{
    a->policy_question = NULL;
    known_policy_clear(&a->policy);
    known_policy_set(&a->policy, answer);
    a->policy_taken_at = date_now();
    destination_keep_policy(a->o.destination, &a->policy, date_now());
}

static void answered(void *context, const struct sts_answer *answer)
{
    struct attempt *a = context;
    keep_answer(a, answer);
    attempt_resolved(a);
}

static void answered_anew(void *context, const struct sts_answer *answer)
{
    struct attempt *a = context;
    keep_answer(a, answer);
    attempt_contact_again(a);
}

void attempt_ask_policy(struct attempt *a)
{
    const struct known_policy *known =
        destination_policy(a->o.destination, sts_changes(a->o.sts), date_now());
    if (known)
        known_policy_copy(&a->policy, known);
    else
        a->policy_question =
            sts_find(a->o.sts, a->o.loop, a->next_hop.target.name, STS_CACHED_FIRST, answered, a);
}

bool attempt_doubts_policy(struct attempt *a, const struct guarantee_host *facts)
{
    if (a->was_policy_fetched_anew || !known_policy_is_in_doubt(&a->policy, facts))
        return false;
    a->was_policy_fetched_anew = true;
    a->policy_question =
        sts_find(a->o.sts, a->o.loop, a->next_hop.target.name, STS_REFETCH, answered_anew, a);
    return true;
}

/* An answer serves the second it came in, and is asked for once for each address, however short its
 * max_age: else one of 0 would be asked for without end. */
bool attempt_renews_policy(struct attempt *a)
{
    int64_t now = date_now();
    if (now < attempt_policy_until(a) || now <= a->policy_taken_at || a->was_policy_renewed)
        return false;
    a->was_policy_renewed = true;
    a->policy_question =
        sts_find(a->o.sts, a->o.loop, a->next_hop.target.name, STS_CACHED_FIRST, answered_anew, a);
    return true;
}

void attempt_cancel_policy(struct attempt *a)
{
    if (a->policy_question)
        sts_cancel(a->policy_question);
    a->policy_question = NULL;
}

int64_t attempt_policy_until(const struct attempt *a)
{
    return a->policy.status == STS_POLICY ? a->policy.policy.expires_at : INT64_MAX;
}
