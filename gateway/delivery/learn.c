#include <stdlib.h>

#include "gateway/delivery/inside.h"
#include "gateway/delivery/report.h"
#include "mail/date.h"

void attempt_learn(struct attempt *a, const struct guarantee_host *facts)
{
    const struct tls_facts *tls = client_tls(a->client);
    if (a->is_reused || a->failed_tls != GUARANTEE_TLS_UNTRIED)
        return;
    posture_learn(a->o.posture, a->o.domain, facts, tls ? tls->key_exchange : "",
                  tls ? tls->key_digest : "", date_now());
}

/* A kept connection was counted when it was new, and one that stays in clear is what became of one
 * that was. What carries a report is not reported on, or there would be no end of it. */
static bool is_counted(const struct attempt *a)
{
    return a->o.settings->counts_for_reports && !a->next_hop.route && !a->is_reused &&
           a->failed_tls == GUARANTEE_TLS_UNTRIED && a->o.message.origin != ORIGIN_REPORT;
}

void attempt_count(struct attempt *a, const struct guarantee_host *facts)
{
    struct report report;
    char sending[NET_ADDRESS_SIZE] = "";
    if (!is_counted(a))
        return;
    struct net_address local =
        a->client ? client_local(a->client) : (struct net_address){.family = NET_NONE};
    char *tlsa = report_tlsa_lines(a->host.records, a->host.record_count);
    struct report_session session = {
        .domain = a->o.domain,
        .host = facts,
        .policy = a->policy.status == STS_POLICY ? &a->policy.policy : NULL,
        .sts_failure = a->policy.failure,
        .tlsa = tlsa,
        .sending_address = local.family == NET_NONE ? "" : net_address_text(&local, sending),
        .requires_dane = delivery_policy_for(a->o.settings, a->o.domain) == GUARANTEE_POLICY_DANE,
    };
    if (report_of_session(&session, &report)) {
        queue_tlsrpt_count(a->o.queue, &report.result, 1);
        report_free(&report);
    }
    free(tlsa);
}
