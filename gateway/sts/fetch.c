#include "gateway/sts/fetch.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/sts/https.h"

#define TXT_PREFIX "_mta-sts."
#define HOST_PREFIX "mta-sts."
/* A name has 253 characters at most in text, and the longer prefix takes nine. */
#define DOMAIN_LEN_MAX 244
#define PATH "/.well-known/mta-sts.txt"
#define TIMEOUT_MS 60000 /* RFC 8461 section 3.3 */

struct fetch {
    const struct fetch_settings *settings;
    void (*done)(void *context, struct fetch_answer *answer);
    void *context;
    char domain[DOMAIN_SIZE];
    char known_id[STS_ID_SIZE];
    char id[STS_ID_SIZE];
    bool is_insisting;
    struct dns_question *question;
    struct net_address *addresses; /* of the policy host; owned */
    size_t address_count;
    struct turn turn;
    struct sts_operator whose;
    bool is_asked;
    bool is_reached;
    struct https_request *request;
    char detail[FETCH_DETAIL_SIZE];
};

bool fetch_fits(const char *domain)
{
    return domain[0] && strlen(domain) <= DOMAIN_LEN_MAX;
}

void fetch_cancel(struct fetch *f)
{
    if (!f)
        return;
    if (f->question)
        f->settings->outside->cancel(f->settings->outside->context, f->question);
    if (f->request)
        https_cancel(f->request);
    turn_end(&f->turn);
    free(f->addresses);
    free(f);
}

static void end(struct fetch *f, struct fetch_answer *answer)
{
    answer->detail = f->detail;
    answer->asked = f->is_asked ? &f->whose : NULL;
    answer->is_reached = f->is_reached;
    turn_end(&f->turn);
    f->done(f->context, answer);
    free(f->addresses);
    free(f);
}

PRINTF_LIKE(4, 5)
static void end_with(struct fetch *f, enum fetch_result result, enum sts_failure failure,
                     const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): va_start() is right above */
    (void)vsnprintf(f->detail, sizeof f->detail, format, arguments);
    va_end(arguments);
    end(f, &(struct fetch_answer){.result = result, .failure = failure});
}

/* --- the policy --- */

/* "text/plain; charset=utf-8" */
static bool is_plain_text(const char *content_type)
{
    struct slice rest = slice_of(content_type);
    struct slice type = SLICE("");
    (void)slice_cut(&rest, ';', &type);
    return slice_equal_nocase(slice_trim(type), SLICE("text/plain"));
}

static void read_policy(struct fetch *f, const struct https_answer *got)
{
    struct fetch_answer answer = {.result = FETCH_POLICY};
    const char *why;
    if (got->code >= 500)
        end_with(f, FETCH_UNKNOWN, STS_FAILURE_FETCH, HOST_PREFIX "%s answered with status %u",
                 f->domain, got->code);
    else if (got->code != 200)
        end_with(f, FETCH_NONE, STS_FAILURE_FETCH, HOST_PREFIX "%s answered with status %u",
                 f->domain, got->code);
    else if (!is_plain_text(got->content_type))
        end_with(f, FETCH_NONE, STS_FAILURE_INVALID,
                 "the policy of " HOST_PREFIX "%s is not text/plain", f->domain);
    else if (!sts_policy_parse(got->body, &answer.policy, &why))
        end_with(f, FETCH_NONE, STS_FAILURE_INVALID,
                 "the policy of " HOST_PREFIX "%s is invalid: %s", f->domain, why);
    else {
        memcpy(answer.policy.id, f->id, sizeof answer.policy.id);
        end(f, &answer);
    }
}

static void answered(void *context, const struct https_answer *answer)
{
    struct fetch *f = context;
    f->request = NULL;
    f->is_asked = answer->status != HTTPS_OUR_FAULT;
    f->is_reached = answer->is_reached;
    switch (answer->status) {
    case HTTPS_ANSWERED:
        read_policy(f, answer);
        break;
    case HTTPS_CERTIFICATE:
        end_with(f, FETCH_NONE, STS_FAILURE_WEBPKI, "%s", answer->detail);
        break;
    case HTTPS_TOO_LARGE:
        end_with(f, FETCH_NONE, STS_FAILURE_INVALID, "%s", answer->detail);
        break;
    case HTTPS_TROUBLE:
        end_with(f, FETCH_UNKNOWN, STS_FAILURE_FETCH, "%s", answer->detail);
        break;
    case HTTPS_OUR_FAULT:
        end_with(f, FETCH_OUR_FAULT, STS_FAILURE_NONE, "%s", answer->detail);
        break;
    }
}

/* --- the policy host --- */

static bool is_blocked(const struct fetch_settings *s, const struct net_address *address)
{
    for (size_t i = 0; i < s->blocked_count; i++) {
        if (net_network_has(&s->blocked[i], address))
            return true;
    }
    return false;
}

static void ask_policy_host(void *context)
{
    struct fetch *f = context;
    char name[DOMAIN_SIZE];
    struct https_call call = {
        .host = name,
        .port = f->settings->outside->port,
        .path = PATH,
        .addresses = f->addresses,
        .address_count = f->address_count,
        .ca_file = f->settings->ca_file,
        .answer_max = STS_TEXT_MAX,
        .timeout_ms = TIMEOUT_MS,
    };
    snprintf(name, sizeof name, HOST_PREFIX "%.*s", DOMAIN_LEN_MAX, f->domain);
    f->request = https_start(f->settings->home, &call, answered, f);
}

static void wait_long(void *context)
{
    struct fetch *f = context;
    f->settings->late(f->context);
}

static void wait_for_turn(struct fetch *f, const struct dns_host *host)
{
    f->addresses = xalloc(host->address_count * sizeof *f->addresses);
    for (size_t i = 0; i < host->address_count; i++) {
        if (!is_blocked(f->settings, &host->addresses[i]))
            f->addresses[f->address_count++] = host->addresses[i];
    }
    if (f->address_count == 0) {
        end_with(f, FETCH_NONE, STS_FAILURE_FETCH,
                 "every address of " HOST_PREFIX "%s is in a blocked network", f->domain);
        return;
    }
    operator_of(f->domain, f->addresses, f->address_count, &f->whose);
    turn_take(f->settings->turns, &f->turn, &f->whose, ask_policy_host, wait_long, f);
}

static void host_found(void *asker, const struct dns_host *host)
{
    struct fetch *f = asker;
    f->question = NULL;
    switch (host->status) {
    case DNS_DATA:
        wait_for_turn(f, host);
        break;
    case DNS_NODATA:
    case DNS_NXDOMAIN:
        end_with(f, FETCH_NONE, STS_FAILURE_FETCH, HOST_PREFIX "%s has no address", f->domain);
        break;
    case DNS_FAILED:
    case DNS_BOGUS:
        end_with(f, FETCH_UNKNOWN, STS_FAILURE_FETCH, "%s", host->detail);
        break;
    case DNS_OUR_FAULT:
        end_with(f, FETCH_OUR_FAULT, STS_FAILURE_NONE, "%s", host->detail);
        break;
    }
}

/* --- the TXT record --- */

static void find_host(struct fetch *f)
{
    const struct sts_outside *o = f->settings->outside;
    char name[DOMAIN_SIZE];
    snprintf(name, sizeof name, HOST_PREFIX "%.*s", DOMAIN_LEN_MAX, f->domain);
    f->question = o->find_host(o->context, name, host_found, f);
}

static void end_without_record(struct fetch *f, const struct dns_txt *txt, const char *why)
{
    snprintf(f->detail, sizeof f->detail, "%s%s%s", why, why[0] ? " at " TXT_PREFIX : "",
             why[0] ? f->domain : "");
    end(f, &(struct fetch_answer){.result = FETCH_NONE,
                                  .failure = why[0] ? STS_FAILURE_INVALID : STS_FAILURE_NONE,
                                  .none_until = txt->expires_at});
}

static void read_record(struct fetch *f, const struct dns_txt *txt)
{
    const char *why;
    enum sts_txt record = sts_txt_read(txt->texts, txt->count, f->id, &why);
    if (record != STS_TXT_VALID)
        end_without_record(f, txt, why);
    else if (!f->is_insisting && strcmp(f->id, f->known_id) == 0)
        end_with(f, FETCH_SAME, STS_FAILURE_NONE, "%s", "");
    else
        find_host(f);
}

static void txt_found(void *asker, const struct dns_txt *txt)
{
    struct fetch *f = asker;
    f->question = NULL;
    switch (txt->status) {
    case DNS_DATA:
        read_record(f, txt);
        break;
    case DNS_NODATA:
    case DNS_NXDOMAIN:
        end_without_record(f, txt, "");
        break;
    case DNS_FAILED:
    case DNS_BOGUS:
        end_with(f, FETCH_UNKNOWN, STS_FAILURE_FETCH, "%s", txt->detail);
        break;
    case DNS_OUR_FAULT:
        end_with(f, FETCH_OUR_FAULT, STS_FAILURE_NONE, "%s", txt->detail);
        break;
    }
}

struct fetch *fetch_start(const struct fetch_settings *settings, const char *domain,
                          const char *known_id,
                          void (*done)(void *context, struct fetch_answer *answer), void *context)
{
    const struct sts_outside *o = settings->outside;
    struct fetch *f = xalloc(sizeof *f);
    char name[DOMAIN_SIZE];
    f->settings = settings;
    f->done = done;
    f->context = context;
    snprintf(f->domain, sizeof f->domain, "%s", domain);
    snprintf(f->known_id, sizeof f->known_id, "%s", known_id);
    snprintf(name, sizeof name, TXT_PREFIX "%.*s", DOMAIN_LEN_MAX, domain);
    f->question = o->find_txt(o->context, name, txt_found, f);
    return f;
}

void fetch_insist(struct fetch *f)
{
    f->is_insisting = true;
}
