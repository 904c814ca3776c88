#include "gateway/posture/posture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mail/date.h"

#define RECENT                                                                                     \
    1024           /* looks that may be found equal; more hosts at a time are written more often   \
                    */
#define ALARMS 512 /* hosts whose downgrade was told; the oldest gives way */

struct recent {
    uint64_t key;     /* of domain and host */
    uint64_t content; /* of all that is written */
    int64_t at;
};

struct alarm {
    uint64_t key; /* of the host; 0: none */
    int64_t at;
};

struct posture {
    struct queue *queue;             /* borrowed */
    const struct event_sink *events; /* borrowed; may be NULL */
    _Atomic int64_t open_until;      /* of the breaker; 0: closed */
    pthread_mutex_t lock;            /* of what follows; no event is written under it */
    struct breaker breaker;
    struct recent recent[RECENT];
    struct alarm alarms[ALARMS];
    uint64_t downgrades;
};

struct posture *posture_new(struct queue *q, const struct event_sink *events)
{
    struct posture *p = xalloc(sizeof *p);
    p->queue = q;
    p->events = events;
    if (pthread_mutex_init(&p->lock, NULL) != 0) {
        free(p);
        return NULL;
    }
    breaker_init(&p->breaker);
    return p;
}

void posture_free(struct posture *p)
{
    if (!p)
        return;
    pthread_mutex_destroy(&p->lock);
    free(p);
}

/* ---- the breaker ---- */

/* What a look made of the breaker, to be told when the lock is released. */
struct breaker_news {
    bool is_any;
    bool is_open;
    unsigned count;
    char words[BREAKER_WORDS_SIZE];
};

static void take_news(struct posture *p, const struct breaker_fuse *f, struct breaker_news *news)
{
    atomic_store(&p->open_until, breaker_open_until(&p->breaker));
    news->is_any = f;
    if (!f)
        return;
    news->is_open = f->is_open;
    news->count = f->bad;
    snprintf(news->words, sizeof news->words, "%s", f->words);
}

static void tell_news(const struct posture *p, const struct breaker_news *news)
{
    if (!news->is_any)
        return;
    if (news->is_open)
        EVENT(p->events, EVENT_ERROR, "breaker", FIELD(KEY_STATE, "open"),
              FIELD_NUMBER(KEY_COUNT, news->count), FIELD(KEY_REASON, news->words));
    else
        EVENT(p->events, EVENT_WARNING, "breaker", FIELD(KEY_STATE, "closed"),
              FIELD(KEY_REASON, news->words));
}

static void feed(struct posture *p, const char *domain, const char *host, enum breaker_look look,
                 int64_t now)
{
    struct breaker_news news;
    pthread_mutex_lock(&p->lock);
    take_news(p, breaker_look(&p->breaker, domain, host, look, now), &news);
    pthread_mutex_unlock(&p->lock);
    tell_news(p, &news);
}

void posture_learn_zone(struct posture *p, const char *domain, bool is_bogus, int64_t now)
{
    feed(p, domain, domain, is_bogus ? BREAKER_BOGUS : BREAKER_SECURE, now);
}

bool posture_suspends_stops(const struct posture *p, int64_t now)
{
    return now < atomic_load(&p->open_until);
}

void posture_tick(struct posture *p, int64_t now)
{
    struct breaker_news news;
    do {
        pthread_mutex_lock(&p->lock);
        take_news(p, breaker_tick(&p->breaker, now), &news);
        pthread_mutex_unlock(&p->lock);
        tell_news(p, &news);
    } while (news.is_any);
}

void posture_status(struct posture *p, int64_t now, struct posture_status *out)
{
    posture_tick(p, now);
    pthread_mutex_lock(&p->lock);
    const struct breaker_fuse *tls = &p->breaker.tls;
    const struct breaker_fuse *dns = &p->breaker.dns;
    *out = (struct posture_status){
        .is_breaker_open = breaker_is_open(&p->breaker),
        .downgrades = p->downgrades,
    };
    if (tls->is_open)
        out->breaker_opened_at = tls->opened_at;
    if (dns->is_open && (!tls->is_open || dns->opened_at < tls->opened_at))
        out->breaker_opened_at = dns->opened_at;
    breaker_words(&p->breaker, out->breaker, sizeof out->breaker);
    pthread_mutex_unlock(&p->lock);
}

/* ---- memory ---- */

static bool is_tls_remembered(const struct queue_posture *known, int64_t now)
{
    return now - known->tls_last_at <= POSTURE_REMEMBERED_FOR &&
           known->tls_looks >= POSTURE_REMEMBERED_LOOKS &&
           known->tls_last_at - known->tls_first_at >= POSTURE_REMEMBERED_SPREAD &&
           /* So the look before this row had TLS (a clock set back can say otherwise). */
           (known->refusals == 0 || known->refusal_first_at >= known->tls_last_at);
}

struct posture_memory posture_memory(struct posture *p, const char *domain, const char *host,
                                     int64_t remember, int64_t now)
{
    struct queue_posture known;
    struct posture_memory memory = {0};
    if (queue_posture_find(p->queue, domain, host, &known) != 0 || !is_tls_remembered(&known, now))
        return memory;
    memory.tls_seen_at = known.tls_last_at;
    memory.tls_looks = known.tls_looks;
    memory.is_tls_remembered = now - known.tls_last_at < remember;
    return memory;
}

/* What the status of such a refusal is; false: TLS was not refused, but found wanting, and that may
 * be repaired where it stands written: at the certificate, in DNS, in the policy. */
static bool is_refusal_of_tls(enum guarantee_kind kind, struct status *status)
{
    switch (kind) {
    case GUARANTEE_NOT_OFFERED:
    case GUARANTEE_REFUSED:
        *status = status_make(5, 7, 4);
        return true;
    case GUARANTEE_HANDSHAKE_FAILED:
        *status = status_make(5, 7, 5);
        return true;
    case GUARANTEE_ACCEPTABLE:
    case GUARANTEE_NOT_YET:
    case GUARANTEE_OWN_FAULT:
    case GUARANTEE_UNREACHABLE:
    case GUARANTEE_TLS_UNKNOWN:
    case GUARANTEE_PASSING_TROUBLE:
    case GUARANTEE_NOT_AUTHENTICATED:
    case GUARANTEE_NO_REQUIRETLS:
        break;
    }
    return false;
}

/* TLS ends a row, and trouble that may pass leaves it standing. */
static bool is_row_of_refusals(const struct queue_posture *known, int64_t now)
{
    return known->refusals >= POSTURE_REFUSED_LOOKS &&
           known->refusal_last_at - known->refusal_first_at >= POSTURE_REFUSED_SPREAD &&
           known->last_seen_at == known->refusal_last_at &&
           /* A clock that was set back makes no look fresh. */
           now >= known->refusal_last_at && now - known->refusal_last_at <= POSTURE_REFUSED_FOR;
}

bool posture_refuses_tls(struct posture *p, const char *domain, const char *host, int64_t now,
                         struct outcome *why)
{
    struct queue_posture known;
    struct status status;
    if (queue_posture_find(p->queue, domain, host, &known) != 0 ||
        !is_row_of_refusals(&known, now) || known.tlsa != GUARANTEE_TLSA_NONE ||
        (known.sts != GUARANTEE_STS_NONE && known.sts != GUARANTEE_STS_TESTING) ||
        !is_refusal_of_tls(known.refusal_kind, &status))
        return false;
    *why = outcome_local(status, "%s", known.refusal);
    outcome_set_host(why, host, NULL, 0);
    return true;
}

/* ---- learning ---- */

/* FNV-1a over texts and numbers, each with an end of its own. */
static uint64_t mix(uint64_t hash, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 1099511628211U;
    return hash;
}

static uint64_t mix_text(uint64_t hash, const char *text)
{
    return mix(hash, text ? text : "", strlen(text ? text : "") + 1);
}

#define HASH_START 14695981039346656037U

static uint64_t content_of(const struct queue_look *look)
{
    const uint8_t numbers[] = {look->has_tls, look->verified, look->tlsa, look->sts};
    const char *const texts[] = {look->refusal, look->protocol, look->cipher, look->key_exchange,
                                 look->key_digest};
    uint64_t hash = mix(HASH_START, numbers, sizeof numbers);
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        hash = mix_text(hash, texts[i]);
    return hash;
}

/* Under the lock. */
static bool was_just_written(struct posture *p, const struct queue_look *look)
{
    uint64_t key = mix_text(mix_text(HASH_START, look->domain), look->host);
    uint64_t content = content_of(look);
    struct recent *r = &p->recent[key % RECENT];
    int64_t age = look->at - r->at;
    if (r->key == key && r->content == content && age >= 0 && age < POSTURE_DEBOUNCE)
        return true;
    *r = (struct recent){key, content, look->at};
    return false;
}

static void write_look(struct posture *p, const struct queue_look *look)
{
    pthread_mutex_lock(&p->lock);
    bool is_known = was_just_written(p, look);
    pthread_mutex_unlock(&p->lock);
    if (!is_known)
        queue_posture_learn(p->queue, look, 1);
}

/* Under the lock. Is this host's turn, and nobody told of it today? */
static bool claim_alarm(struct posture *p, const char *host, int64_t now)
{
    uint64_t key = mix_text(HASH_START, host) | 1;
    struct alarm *oldest = &p->alarms[0];
    for (size_t i = 0; i < ALARMS; i++) {
        struct alarm *a = &p->alarms[i];
        if (a->key == key) {
            oldest = a;
            break;
        }
        if (a->at < oldest->at)
            oldest = a;
    }
    if (oldest->key == key && now >= oldest->at && now - oldest->at < POSTURE_ALARM_EVERY)
        return false;
    *oldest = (struct alarm){key, now};
    p->downgrades++;
    return true;
}

/* What the connection was worth for someone whose guarantee demands encryption. */
static struct guarantee_verdict judge(const struct guarantee_host *h)
{
    static const struct guarantee_requirement encrypted = {
        .level = LEVEL_ENCRYPT,
        .policy = GUARANTEE_POLICY_MAY,
        .route = GUARANTEE_POLICY_MAY,
    };
    return guarantee_judge(&encrypted, h);
}

static void tell_downgrade(struct posture *p, const char *domain, const struct guarantee_host *h,
                           const struct queue_posture *known, int64_t now)
{
    /* The record knows more than the connection does, and the same is said once. */
    struct guarantee_host without_memory = *h;
    without_memory.tls_seen_at = 0;
    char relay[DOMAIN_SIZE + 80];
    char since[DATE_SIZE];
    char last[DATE_SIZE];
    char reason[600];
    pthread_mutex_lock(&p->lock);
    bool is_news = claim_alarm(p, h->name, now);
    pthread_mutex_unlock(&p->lock);
    if (!is_news)
        return;
    snprintf(relay, sizeof relay, "%s[%.63s]:%u", h->name, h->address ? h->address : "", h->port);
    date_rfc3339(known->refusals > 0 ? known->refusal_first_at : now, since);
    date_rfc3339(known->tls_last_at, last);
    snprintf(reason, sizeof reason, "%.400s; TLS was there on %u earlier looks, last %s",
             judge(&without_memory).outcome.text, known->tls_looks, last);
    EVENT(p->events, EVENT_WARNING, "downgrade", FIELD(KEY_DOMAIN, domain), FIELD(KEY_RELAY, relay),
          FIELD(KEY_SINCE, since), FIELD(KEY_REASON, reason));
}

/* TLS that is up but proves to be somebody else's (a TLSA record that does not match) is no
 * downgrade to plain text; at many destinations known for TLS it speaks against our network all the
 * same. */
static void learn_trouble(struct posture *p, const char *domain, const struct guarantee_host *h,
                          const struct guarantee_verdict *verdict, int64_t now)
{
    struct queue_posture known;
    bool is_known = queue_posture_find(p->queue, domain, h->name, &known) == 0 &&
                    is_tls_remembered(&known, now);
    bool is_encrypted = h->tls == GUARANTEE_TLS_ESTABLISHED;
    bool is_final = guarantee_is_final(verdict->kind);
    if (!is_final && h->tls != GUARANTEE_TLS_CUT)
        return;
    if (is_known && is_final && !is_encrypted)
        tell_downgrade(p, domain, h, &known, now);
    bool is_lately = known.refusals == 0 || now - known.refusal_first_at < POSTURE_LOST_LATELY;
    if (is_known && is_lately)
        feed(p, domain, h->name, BREAKER_TLS_LOST, now);
    else if (!is_encrypted)
        feed(p, domain, h->name, BREAKER_NO_TLS, now);
}

/* TLS that is up and is no refusal, but may be somebody else's. */
static bool has_failed_authentication(const struct guarantee_host *h,
                                      const struct guarantee_verdict *verdict)
{
    return h->tls == GUARANTEE_TLS_ESTABLISHED && guarantee_is_final(verdict->kind);
}

static uint8_t verified_of(const struct guarantee_host *h, const struct guarantee_verdict *verdict)
{
    if (has_failed_authentication(h, verdict))
        return verdict->is_by_sts ? POSTURE_FAILED_STS : POSTURE_FAILED_DANE;
    return (uint8_t)verdict->verified;
}

void posture_learn(struct posture *p, const char *domain, const struct guarantee_host *h,
                   const char *key_exchange, const char *key_digest, int64_t now)
{
    if (h->contact != GUARANTEE_IN_CONTACT || h->is_local_route)
        return;
    struct guarantee_verdict verdict = judge(h);
    if (verdict.kind == GUARANTEE_NOT_YET || verdict.kind == GUARANTEE_OWN_FAULT)
        return;
    bool has_tls = verdict.kind == GUARANTEE_ACCEPTABLE;
    bool is_shown = has_tls || has_failed_authentication(h, &verdict);
    struct queue_look look = {
        .domain = domain,
        .host = h->name,
        .at = now,
        .has_tls = has_tls,
        .refusal = guarantee_is_final(verdict.kind) ? verdict.outcome.text : NULL,
        .refusal_kind = (uint8_t)verdict.kind,
        .protocol = is_shown ? h->protocol : NULL,
        .cipher = is_shown ? h->cipher : NULL,
        .key_exchange = is_shown ? key_exchange : NULL,
        .key_digest = is_shown ? key_digest : NULL,
        .verified = verified_of(h, &verdict),
        .tlsa = (uint8_t)h->tlsa,
        .sts = (uint8_t)h->sts,
    };
    if (has_tls)
        feed(p, domain, h->name, BREAKER_TLS, now);
    else
        learn_trouble(p, domain, h, &verdict, now); /* before the record knows of it */
    write_look(p, &look);
}
