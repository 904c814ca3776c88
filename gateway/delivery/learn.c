#include "gateway/delivery/inside.h"
#include "mail/date.h"

void attempt_learn(struct attempt *a, const struct guarantee_host *facts)
{
    const struct tls_facts *tls = client_tls(a->client);
    if (a->is_reused || a->failed_tls != GUARANTEE_TLS_UNTRIED)
        return;
    posture_learn(a->o.posture, a->o.domain, facts, tls ? tls->key_exchange : "",
                  tls ? tls->key_digest : "", date_now());
}
