#include "gateway/posture/breaker.h"

#include <stdio.h>
#include <string.h>

#include "mail/slice.h"

#define NAMED 3 /* groups that the words name */

struct tally {
    unsigned lost, bare, fine;
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

void breaker_group(const char *host, char out[BREAKER_GROUP_SIZE])
{
    unsigned dots = 0;
    const char *from = host + strlen(host);
    if (is_address(host))
        from = host;
    while (from > host && dots < 2)
        if (*--from == '.')
            dots++;
    if (dots == 2)
        from++;
    snprintf(out, BREAKER_GROUP_SIZE, "%s", from);
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

static struct breaker_sight *find(struct breaker_fuse *f, const char *group, uint32_t hash)
{
    for (size_t i = 0; i < f->count; i++)
        if (f->sights[i].hash == hash && strcmp(f->sights[i].group, group) == 0)
            return &f->sights[i];
    return NULL;
}

/* A new one, in the place of the one not looked at for longest when all are taken. */
static struct breaker_sight *add(struct breaker_fuse *f, const char *group, uint32_t hash)
{
    struct breaker_sight *s = &f->sights[0];
    if (f->count < BREAKER_FUSE_GROUPS)
        s = &f->sights[f->count++];
    else
        for (size_t i = 1; i < f->count; i++)
            if (f->sights[i].at < s->at)
                s = &f->sights[i];
    *s = (struct breaker_sight){.hash = hash};
    snprintf(s->group, sizeof s->group, "%s", group);
    return s;
}

static void count_look(struct tally *t, enum breaker_look look)
{
    switch (look) {
    case BREAKER_TLS:
    case BREAKER_SECURE:
        t->fine++;
        return;
    case BREAKER_TLS_LOST:
    case BREAKER_BOGUS:
        t->lost++;
        return;
    case BREAKER_NO_TLS:
        t->bare++;
        return;
    }
}

static struct tally count_recent(const struct breaker_fuse *f, int64_t now)
{
    struct tally t = {0};
    for (size_t i = 0; i < f->count; i++) {
        const struct breaker_sight *s = &f->sights[i];
        if (!s->is_written_off && now - s->at < BREAKER_WINDOW)
            count_look(&t, s->look);
    }
    return t;
}

/* Those that might tell of recovery: looked at since it opened, and not well all the time. */
static struct tally count_since(const struct breaker_fuse *f)
{
    struct tally t = {0};
    for (size_t i = 0; i < f->count; i++) {
        const struct breaker_sight *s = &f->sights[i];
        if (s->is_seen && !s->is_sound && !s->is_written_off)
            count_look(&t, s->look);
    }
    return t;
}

/* " (a.example, b.example, ...)" behind the words. */
static void name_some(struct breaker_fuse *f, int64_t now)
{
    unsigned named = 0;
    size_t used = strlen(f->words);
    for (size_t i = 0; i < f->count && named <= NAMED && used + 8 < sizeof f->words; i++) {
        const struct breaker_sight *s = &f->sights[i];
        if (!is_bad(s->look) || s->is_written_off || now - s->at >= BREAKER_WINDOW)
            continue;
        snprintf(f->words + used, sizeof f->words - used, "%s%.60s", named ? ", " : " (",
                 named < NAMED ? s->group : "...");
        used += strlen(f->words + used);
        named++;
    }
    if (used + 1 < sizeof f->words)
        snprintf(f->words + used, sizeof f->words - used, ")");
}

static void open_fuse(struct breaker_fuse *f, int64_t now)
{
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
    int64_t since = now - BREAKER_MOMENT;
    unsigned fine = 0;
    for (size_t i = 0; i < f->count; i++) {
        const struct breaker_sight *s = &f->sights[i];
        bool is_loss = s->look == BREAKER_TLS_LOST && !s->is_written_off;
        if (is_loss && now - s->at < BREAKER_WINDOW && s->at < since)
            since = s->at;
    }
    for (size_t i = 0; i < f->count; i++)
        fine += f->sights[i].look == BREAKER_TLS && f->sights[i].at >= since;
    return fine;
}

static bool trip_tls(struct breaker_fuse *f, int64_t now)
{
    struct tally t = count_recent(f, now);
    f->bad = t.lost;
    f->looked = t.lost + t.bare + count_still_fine(f, now);
    if (t.lost >= BREAKER_LOST && 2 * t.lost >= f->looked) {
        snprintf(f->words, sizeof f->words,
                 "%u of %u unrelated destinations lost TLS within 10 minutes", t.lost, f->looked);
        return true;
    }
    f->bad += t.bare;
    f->looked = t.lost + t.bare + t.fine;
    if (f->bad >= BREAKER_BARE && t.fine == 0) {
        snprintf(f->words, sizeof f->words,
                 "none of %u unrelated destinations showed TLS within 10 minutes", f->looked);
        return true;
    }
    return false;
}

static bool trip_dns(struct breaker_fuse *f, int64_t now)
{
    struct tally t = count_recent(f, now);
    f->bad = t.lost;
    f->looked = t.lost + t.fine;
    if (t.lost < BREAKER_BOGUS_ZONES || t.fine > 0)
        return false;
    snprintf(f->words, sizeof f->words,
             "%u unrelated signed zones were bogus within 10 minutes, and none answered securely",
             t.lost);
    return true;
}

/* Those still bad are forgotten: to open it again takes as much as it took the first time. Or they
 * are written off: counted on, they would open it again with every retry. */
static void close_fuse(struct breaker_fuse *f, bool writes_off)
{
    size_t kept = 0;
    f->is_open = false;
    for (size_t i = 0; i < f->count; i++) {
        struct breaker_sight s = f->sights[i];
        s.is_written_off |= is_bad(s.look) && writes_off;
        if (!is_bad(s.look) || s.is_written_off)
            f->sights[kept++] = s;
    }
    f->count = kept;
}

static bool has_recovered(struct breaker_fuse *f, const char *sign)
{
    struct tally t = count_since(f);
    unsigned looked = t.fine + t.lost + t.bare;
    if (t.fine < BREAKER_RECOVERED || 2 * t.fine <= looked)
        return false;
    snprintf(f->words, sizeof f->words, "%u of %u %s", t.fine, looked, sign);
    close_fuse(f, false);
    return true;
}

static bool is_quiet(struct breaker_fuse *f, int64_t now)
{
    if (!f->is_open || now - f->lost_at < BREAKER_QUIET)
        return false;
    snprintf(f->words, sizeof f->words, "nothing new was lost for an hour");
    close_fuse(f, true);
    return true;
}

static void note(struct breaker_fuse *f, const char *group, enum breaker_look look, int64_t now)
{
    uint32_t hash = hash_of(group);
    struct breaker_sight *s = find(f, group, hash);
    if (!s)
        s = add(f, group, hash);
    s->look = look;
    s->at = now;
    s->is_seen = true;
    if (f->lost_at > now)
        f->lost_at = now; /* the clock was set back */
    if (!is_bad(look)) {
        s->is_written_off = false;
        return;
    }
    s->is_sound = false;
    /* Only the first loss of a group is news: one host that comes and goes must not keep the fuse
     * open for ever. */
    if (!s->was_lost && !s->is_written_off)
        f->lost_at = now;
    s->was_lost = true;
}

const struct breaker_fuse *breaker_look(struct breaker *b, const char *group,
                                        enum breaker_look look, int64_t now)
{
    bool is_dns = look == BREAKER_SECURE || look == BREAKER_BOGUS;
    struct breaker_fuse *f = is_dns ? &b->dns : &b->tls;
    note(f, group, look, now);
    if (f->is_open) {
        const char *sign = is_dns ? "signed zones looked at since answer securely again"
                                  : "destinations looked at since show TLS again";
        return has_recovered(f, sign) || is_quiet(f, now) ? f : NULL;
    }
    if (!is_bad(look) || !(is_dns ? trip_dns(f, now) : trip_tls(f, now)))
        return NULL;
    open_fuse(f, now);
    return f;
}

const struct breaker_fuse *breaker_tick(struct breaker *b, int64_t now)
{
    if (is_quiet(&b->tls, now))
        return &b->tls;
    return is_quiet(&b->dns, now) ? &b->dns : NULL;
}

bool breaker_is_open(const struct breaker *b)
{
    return b->tls.is_open || b->dns.is_open;
}

int64_t breaker_open_until(const struct breaker *b)
{
    int64_t tls = b->tls.is_open ? b->tls.lost_at + BREAKER_QUIET : 0;
    int64_t dns = b->dns.is_open ? b->dns.lost_at + BREAKER_QUIET : 0;
    return tls > dns ? tls : dns;
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
