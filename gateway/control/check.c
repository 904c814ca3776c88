/* check.c - check ADDRESS|DOMAIN [--level encrypt|verified]: what every host of a domain shows now.
 *
 * The daemon looks with delivery's own eyes; here it is only asked, and its view written down. */
#include <stdlib.h>
#include <string.h>

#include "gateway/control/answer.h"
#include "gateway/control/facts.h"
#include "mail/date.h"

struct checking {
    enum level level; /* of the guarantee asked about */
    void *look;       /* NULL: not begun, or over */
};

/* ---- words ---- */

static const char *tlsa_name(const struct control_sight *s)
{
    return s->is_tlsa_insecure && s->facts->tlsa == GUARANTEE_TLSA_NONE ? "insecure"
                                                                        : fact_tlsa(s->facts->tlsa);
}

/* Was STARTTLS in the EHLO reply? */
static bool offers_starttls(const struct guarantee_host *h)
{
    return h->contact == GUARANTEE_IN_CONTACT && h->tls != GUARANTEE_TLS_NOT_OFFERED;
}

static json_t *outcome_json(const struct outcome *o)
{
    char status[STATUS_SIZE];
    char words[OUTCOME_TEXT_SIZE + STATUS_SIZE];
    if (!o || o->status.class == 0)
        return json_null();
    snprintf(words, sizeof words, "%s %s", status_text(o->status, status), o->text);
    return json_text(words);
}

/* What the MTA-STS policy in testing mode would have against the host, were it enforced. */
static json_t *under_enforce_json(const struct guarantee_host *h)
{
    const struct guarantee_requirement none = {.policy = GUARANTEE_POLICY_MAY,
                                               .route = GUARANTEE_POLICY_MAY};
    struct guarantee_host enforced = *h;
    if (h->sts != GUARANTEE_STS_TESTING)
        return json_null();
    enforced.sts = h->is_sts_listed ? GUARANTEE_STS_COVERS : GUARANTEE_STS_EXCLUDES;
    struct guarantee_verdict verdict = guarantee_judge(&none, &enforced);
    return guarantee_is_final(verdict.kind) ? outcome_json(&verdict.outcome) : json_null();
}

static json_t *sight_json(const struct control_sight *s)
{
    const struct guarantee_host *h = s->facts;
    bool is_established = h->tls == GUARANTEE_TLS_ESTABLISHED;
    json_t *host = json_object();
    json_put(host, "host", json_text(h->name));
    json_put(host, "preference", json_integer(h->preference));
    json_put(host, "address", json_text_or_null(h->address));
    json_put(host, "port", json_integer(h->port));
    json_put(host, "at", json_time(h->at * 1000));
    json_put(host, "reachable", json_boolean(h->contact == GUARANTEE_IN_CONTACT));
    json_put(host, "starttls", json_boolean(offers_starttls(h)));
    json_put(host, "protocol", json_text_or_null(is_established ? h->protocol : ""));
    json_put(host, "cipher", json_text_or_null(is_established ? h->cipher : ""));
    json_put(host, "key_exchange", json_text_or_null(s->key_exchange));
    json_put(host, "key_digest", json_text_or_null(s->key_digest));
    json_put(host, "tlsa", json_text(tlsa_name(s)));
    json_put(host, "sts", json_text(fact_sts(h->sts)));
    json_put(host, "sts_error", json_text_or_null(h->sts_detail));
    json_put(host, "sts_under_enforce", under_enforce_json(h));
    json_put(host, "local_route", json_boolean(h->is_local_route));
    json_put(host, "verified", json_text(fact_verified((unsigned)s->verified)));
    json_put(host, "requiretls", json_boolean(h->offers_requiretls));
    json_put(host, "acceptable", json_boolean(!s->why));
    json_put(host, "certificate_error", json_text_or_null(h->certificate_error));
    json_put(host, "error", outcome_json(s->why));
    return host;
}

/* ---- the command ---- */

static void viewed(void *asker, const struct control_view *view)
{
    struct command *c = asker;
    const struct checking *k = c->state;
    c->cancel = NULL;
    if (!command_resume(c))
        return;
    if (!view) {
        answer_error(c, EXIT_TEMPORARY, "the configuration was reloaded meanwhile; try again");
        return;
    }
    json_t *result = json_object();
    json_t *hosts = json_array();
    for (size_t i = 0; i < view->count; i++)
        json_add(hosts, sight_json(&view->sights[i]));
    json_put(result, "domain", json_text(c->domain));
    json_put(result, "verdict", json_text(view->verdict));
    json_put(result, "level", json_text(view->level));
    json_put(result, "asked_level", json_text(level_name(k->level)));
    json_put(result, "at", json_time(date_now() * 1000));
    json_put(result, "reason", outcome_json(view->outcome));
    json_put(result, "required", json_text_or_null(view->required));
    json_put(result, "hosts", hosts);
    answer_ok(c, result);
}

static void cancel(struct command *c)
{
    struct checking *k = c->state;
    c->facts.cancel_look(c->facts.context, k->look);
}

static bool read_level(struct command *c, struct checking *k)
{
    const char *text = argument_text(c, "level");
    k->level = LEVEL_ENCRYPT;
    if (!text || (level_parse(slice_of(text), &k->level) && k->level != LEVEL_OFF))
        return true;
    answer_error(c, EXIT_USAGE, "--level is encrypt or verified, not \"%s\"", text);
    return false;
}

void check(struct command *c)
{
    struct checking *k = xalloc(sizeof *k);
    c->state = k;
    c->free_state = free;
    if (!argument_domain(c, "domain", c->domain) || !read_level(c, k))
        return;
    if (!c->facts.look) {
        answer_error(c, EXIT_TEMPORARY, "only the running daemon can look at hosts");
        return;
    }
    k->look = c->facts.look(c->facts.context, c->domain, k->level, viewed, c);
    if (!k->look) {
        answer_error(c, EXIT_TEMPORARY, "too many checks run at once; try again");
        return;
    }
    c->cancel = cancel;
    command_wait(c);
}
