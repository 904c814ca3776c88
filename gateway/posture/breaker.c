#include "gateway/posture/breaker.h"

#include <stdio.h>
#include <string.h>

#include "mail/slice.h"

#define NAMED 3 /* groups that the words name */

/* Which sights are asked. */
struct choice {
    unsigned looks; /* bits 1 << enum breaker_look */
    int64_t since;  /* looked at then or later */
    /* Those that might tell of recovery: looked at since it opened, and not well all the time. */
    bool is_of_recovery;
};

#define LOST (1U << BREAKER_TLS_LOST | 1U << BREAKER_BOGUS)
#define BARE (1U << BREAKER_NO_TLS)
#define FINE (1U << BREAKER_TLS | 1U << BREAKER_SECURE)

/* Sights of which no two share a domain or a host. */
struct vote {
    unsigned count;
    const struct breaker_sight *of[BREAKER_FUSE_SIGHTS];
};

void breaker_init(struct breaker *b)
{
    memset(b, 0, sizeof *b);
}

static bool is_address(const char *host)
{
    const char *last = strrchr(host, '.');
    const char *label = last ? last + 1 : host;
    return strchr(host, ':') || host[0] == '[' || strspn(label, "0123456789") == strlen(label);
}

bool breaker_group(const char *host, char out[BREAKER_GROUP_SIZE])
{
    unsigned dots = 0;
    const char *from = host + strlen(host);
    out[0] = '\0';
    if (is_address(host))
        return false;
    while (from > host && dots < 2)
        if (*--from == '.')
            dots++;
    if (dots == 2)
        from++;
    snprintf(out, BREAKER_GROUP_SIZE, "%s", from);
    return true;
}

/* FNV-1a: it only saves comparing names; who makes collisions makes nothing but work. */
static uint32_t hash_of(const char *text)
{
    uint32_t hash = 2166136261U;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 16777619U;
    return hash;
}

static bool is_bad(enum breaker_look look)
{
    switch (look) {
    case BREAKER_TLS:
    case BREAKER_SECURE:
        return false;
    case BREAKER_TLS_LOST:
    case BREAKER_NO_TLS:
    case BREAKER_BOGUS:
        return true;
    }
    panic("breaker: look %d", (int)look);
}

static bool is_same(const struct breaker_group *a, const struct breaker_group *b)
{
    return a->hash == b->hash && strcmp(a->name, b->name) == 0;
}

/* What is said of both may be the doing of one. */
static bool is_akin(const struct breaker_sight *a, const struct breaker_sight *b)
{
    return is_same(&a->domain, &b->domain) || is_same(&a->host, &b->host);
}

static struct breaker_sight *find(struct breaker_fuse *f, const struct breaker_sight *like)
{
    for (size_t i = 0; i < f->count; i++)
        if (is_same(&f->sights[i].host, &like->host) &&
            is_same(&f->sights[i].domain, &like->domain))
            return &f->sights[i];
    return NULL;
}

/* A new one, in the place of the one not looked at for longest when all are taken. */
static struct breaker_sight *add(struct breaker_fuse *f, const struct breaker_sight *like)
{
    struct breaker_sight *s = &f->sights[0];
    if (f->count < BREAKER_FUSE_SIGHTS)
        s = &f->sights[f->count++];
    else
        for (size_t i = 1; i < f->count; i++)
            if (f->sights[i].at < s->at)
                s = &f->sights[i];
    *s = *like;
    return s;
}

/* ---- votes ---- */

static bool is_chosen(const struct breaker_sight *s, const struct choice *c)
{
    return (c->looks >> s->look & 1U) && !s->is_written_off && s->at >= c->since &&
           (!c->is_of_recovery || (s->is_seen && !s->is_sound));
}

static bool has_akin(const struct vote *v, const struct breaker_sight *s)
{
    for (unsigned i = 0; i < v->count; i++)
        if (is_akin(v->of[i], s))
            return true;
    return false;
}

/* Who has one domain with many hosts, or one host for many domains, has one vote. */
static unsigned count_votes(const struct breaker_fuse *f, const struct choice *c, struct vote *v)
{
    v->count = 0;
    for (size_t i = 0; i < f->count; i++)
        if (is_chosen(&f->sights[i], c) && !has_akin(v, &f->sights[i]))
            v->of[v->count++] = &f->sights[i];
    return v->count;
}

static unsigned count_recent(const struct breaker_fuse *f, unsigned looks, int64_t now)
{
    struct choice c = {.looks = looks, .since = now - BREAKER_WINDOW + 1};
    struct vote v;
    return count_votes(f, &c, &v);
}

static unsigned count_of_recovery(const struct breaker_fuse *f, unsigned looks)
{
    struct choice c = {.looks = looks, .since = INT64_MIN, .is_of_recovery = true};
    struct vote v;
    return count_votes(f, &c, &v);
}

/* ---- opening ---- */

/* " (a.example, b.example, ...)" behind the words. */
static void name_some(struct breaker_fuse *f, int64_t now)
{
    struct choice bad = {.looks = LOST | BARE, .since = now - BREAKER_WINDOW + 1};
    struct vote v;
    size_t used = strlen(f->words);
    count_votes(f, &bad, &v);
    for (unsigned i = 0; i < v.count && i <= NAMED && used + 8 < sizeof f->words; i++) {
        snprintf(f->words + used, sizeof f->words - used, "%s%.60s", i ? ", " : " (",
                 i < NAMED ? v.of[i]->host.name : "...");
        used += strlen(f->words + used);
    }
    if (used + 1 < sizeof f->words)
        snprintf(f->words + used, sizeof f->words - used, ")");
}

static void open_fuse(struct breaker *b, struct breaker_fuse *f, int64_t now)
{
    if (!breaker_is_open(b)) {
        if (now - b->day_began_at >= BREAKER_DAY) {
            b->day_began_at = now;
            b->spent = 0;
        }
        b->open_since = now;
    }
    f->is_open = true;
    f->opened_at = now;
    f->lost_at = now;
    for (size_t i = 0; i < f->count; i++) {
        struct breaker_sight *s = &f->sights[i];
        s->was_lost = is_bad(s->look);
        s->is_sound = !s->was_lost && now - s->at < BREAKER_WINDOW;
        s->is_seen = false;
    }
    name_some(f, now);
}

/* Those that were well since the losses began, or a minute ago. What was well before says nothing
 * of now: on a busy site it would keep the fuse closed until half of the destinations are lost. */
static unsigned count_still_fine(const struct breaker_fuse *f, int64_t now)
{
    struct choice fine = {.looks = FINE, .since = now - BREAKER_MOMENT};
    struct choice lost = {.looks = LOST, .since = now - BREAKER_WINDOW + 1};
    struct vote v;
    for (size_t i = 0; i < f->count; i++)
        if (is_chosen(&f->sights[i], &lost) && f->sights[i].at < fine.since)
            fine.since = f->sights[i].at;
    return count_votes(f, &fine, &v);
}

static bool trip_tls(struct breaker_fuse *f, int64_t now)
{
    unsigned lost = count_recent(f, LOST, now);
    f->bad = lost;
    f->looked = lost + count_recent(f, BARE, now) + count_still_fine(f, now);
    if (lost >= BREAKER_LOST && 2 * lost >= f->looked) {
        snprintf(f->words, sizeof f->words,
                 "%u of %u unrelated destinations lost TLS within 10 minutes", lost, f->looked);
        return true;
    }
    f->bad = f->looked = count_recent(f, LOST | BARE, now);
    if (f->bad >= BREAKER_BARE && count_recent(f, FINE, now) == 0) {
        snprintf(f->words, sizeof f->words,
                 "none of %u unrelated destinations showed TLS within 10 minutes", f->looked);
        return true;
    }
    return false;
}

static bool trip_dns(struct breaker_fuse *f, int64_t now)
{
    f->bad = f->looked = count_recent(f, LOST, now);
    if (f->bad < BREAKER_BOGUS_ZONES || count_recent(f, FINE, now) > 0)
        return false;
    snprintf(f->words, sizeof f->words,
             "%u unrelated signed zones were bogus within 10 minutes, and none answered securely",
             f->bad);
    return true;
}

/* ---- closing ---- */

/* When the day's measure is full, whatever is seen. */
static int64_t limit_of(const struct breaker *b)
{
    return b->open_since + BREAKER_OPEN_MAX - b->spent;
}

/* Those still bad are forgotten: to open it again takes as much as it took the first time. Or they
 * are written off: counted on, they would open it again with every retry. */
static void close_fuse(struct breaker *b, struct breaker_fuse *f, bool writes_off, int64_t now)
{
    size_t kept = 0;
    int64_t until = breaker_open_until(b);
    f->is_open = false;
    for (size_t i = 0; i < f->count; i++) {
        struct breaker_sight s = f->sights[i];
        s.is_written_off |= is_bad(s.look) && writes_off;
        if (!is_bad(s.look) || s.is_written_off)
            f->sights[kept++] = s;
    }
    f->count = kept;
    if (breaker_is_open(b))
        return;
    b->spent += (now < until ? now : until) - b->open_since;
    if (b->spent >= BREAKER_OPEN_MAX)
        b->rests_until = now + BREAKER_DAY - BREAKER_OPEN_MAX;
}

/* Hosts of which no TLS was ever known do not count: there are such at all times. */
static bool has_recovered(struct breaker *b, struct breaker_fuse *f, int64_t now)
{
    const char *sign = f == &b->dns ? "signed zones looked at since answer securely again"
                                    : "destinations looked at since show TLS again";
    unsigned fine = count_of_recovery(f, FINE);
    unsigned looked = fine + count_of_recovery(f, LOST);
    if (fine < BREAKER_RECOVERED || 2 * fine <= looked)
        return false;
    snprintf(f->words, sizeof f->words, "%u of %u %s", fine, looked, sign);
    close_fuse(b, f, false, now);
    return true;
}

static bool is_over(struct breaker *b, struct breaker_fuse *f, int64_t now)
{
    if (!f->is_open)
        return false;
    if (now >= limit_of(b))
        snprintf(f->words, sizeof f->words,
                 "stops go on, as they were suspended for %d hours of a day; what was lost may be "
                 "lost still",
                 BREAKER_OPEN_MAX / 3600);
    else if (now - f->lost_at >= BREAKER_QUIET)
        snprintf(f->words, sizeof f->words, "nothing new was lost for an hour");
    else
        return false;
    close_fuse(b, f, true, now);
    return true;
}

/* ---- looks ---- */

/* A clock that was set back keeps nothing open, or closed, for longer. */
static void mind_clock(struct breaker *b, int64_t now)
{
    int64_t *const past[] = {&b->tls.lost_at, &b->dns.lost_at, &b->open_since};
    for (size_t i = 0; i < COUNT_OF(past); i++)
        if (*past[i] > now)
            *past[i] = now;
    if (b->day_began_at > now) {
        b->day_began_at = b->rests_until = now;
        b->spent = 0;
    }
}

/* Only the first loss of a domain and its hosts is news: one that comes and goes, or that has ever
 * new hosts, must not keep the fuse open. Nor must hosts of which no TLS was known. */
static bool is_new_loss(const struct breaker_fuse *f, const struct breaker_sight *s)
{
    if (s->look == BREAKER_NO_TLS)
        return false;
    for (size_t i = 0; i < f->count; i++) {
        const struct breaker_sight *other = &f->sights[i];
        if ((other->was_lost || other->is_written_off) && is_akin(s, other))
            return false;
    }
    return true;
}

static void note(struct breaker_fuse *f, const struct breaker_sight *like, enum breaker_look look,
                 int64_t now)
{
    struct breaker_sight *s = find(f, like);
    if (!s)
        s = add(f, like);
    s->look = look;
    s->at = now;
    s->is_seen = true;
    if (!is_bad(look)) {
        s->is_written_off = false;
        return;
    }
    s->is_sound = false;
    if (is_new_loss(f, s))
        f->lost_at = now;
    s->was_lost = true;
}

static bool name_group(const char *host, struct breaker_group *g)
{
    bool is_name = breaker_group(host, g->name);
    g->hash = hash_of(g->name);
    return is_name;
}

const struct breaker_fuse *breaker_look(struct breaker *b, const char *domain, const char *host,
                                        enum breaker_look look, int64_t now)
{
    bool is_dns = look == BREAKER_SECURE || look == BREAKER_BOGUS;
    struct breaker_fuse *f = is_dns ? &b->dns : &b->tls;
    struct breaker_sight like = {.at = 0};
    if (!name_group(domain, &like.domain) || !name_group(host, &like.host))
        return NULL;
    mind_clock(b, now);
    note(f, &like, look, now);
    if (f->is_open)
        return has_recovered(b, f, now) || is_over(b, f, now) ? f : NULL;
    if (now < b->rests_until || !is_bad(look) || !(is_dns ? trip_dns(f, now) : trip_tls(f, now)))
        return NULL;
    open_fuse(b, f, now);
    return f;
}

const struct breaker_fuse *breaker_tick(struct breaker *b, int64_t now)
{
    mind_clock(b, now);
    if (is_over(b, &b->tls, now))
        return &b->tls;
    return is_over(b, &b->dns, now) ? &b->dns : NULL;
}

bool breaker_is_open(const struct breaker *b)
{
    return b->tls.is_open || b->dns.is_open;
}

int64_t breaker_open_until(const struct breaker *b)
{
    if (!breaker_is_open(b))
        return 0;
    int64_t tls = b->tls.is_open ? b->tls.lost_at + BREAKER_QUIET : 0;
    int64_t dns = b->dns.is_open ? b->dns.lost_at + BREAKER_QUIET : 0;
    int64_t until = tls > dns ? tls : dns;
    return until > limit_of(b) ? limit_of(b) : until;
}

void breaker_words(const struct breaker *b, char *out, size_t size)
{
    if (!breaker_is_open(b)) {
        snprintf(out, size, "closed");
        return;
    }
    snprintf(out, size, "open: %s%s%s", b->tls.is_open ? b->tls.words : "",
             b->tls.is_open && b->dns.is_open ? "; " : "", b->dns.is_open ? b->dns.words : "");
}
