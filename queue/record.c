#include "queue/record.h"

#include <stdlib.h>
#include <string.h>

/* Encoding. A record is at most a dozen texts of RECORD_TEXT_MAX and some numbers, so the buffer's
 * ceiling (see the callers) is never the reason for a refusal; memory is, and then we stop. */

static void put(struct buffer *out, const void *data, size_t len)
{
    if (!buffer_append(out, (struct slice){data, len}))
        panic("record: no room");
}

static void put_uint(struct buffer *out, uint64_t value, unsigned octets)
{
    uint8_t bytes[8];
    for (unsigned i = 0; i < octets; i++)
        bytes[i] = (uint8_t)(value >> (8 * (octets - 1 - i)));
    put(out, bytes, octets);
}

static void put_text(struct buffer *out, const char *text)
{
    struct slice s = slice_of(text);
    if (s.len > RECORD_TEXT_MAX)
        s.len = RECORD_TEXT_MAX;
    put_uint(out, s.len, 4);
    put(out, s.data, s.len);
}

/* Decoding: the first thing wrong clears `ok`, and all that follows reads as 0 and "". */

struct source {
    struct slice in;
    bool ok;
};

static struct slice get(struct source *from, size_t len)
{
    struct slice part = slice_sub(from->in, 0, len);
    if (part.len != len) {
        *from = (struct source){{0}, false};
        return (struct slice){0};
    }
    from->in = slice_sub(from->in, len, from->in.len - len);
    return part;
}

static uint64_t get_uint(struct source *from, unsigned octets)
{
    struct slice part = get(from, octets);
    uint64_t value = 0;
    for (size_t i = 0; i < part.len; i++)
        value = value << 8 | (uint8_t)part.data[i];
    return value;
}

static int64_t get_time(struct source *from)
{
    return (int64_t)get_uint(from, 8);
}

/* A number of at most 4 octets that must not be above `max`. */
static unsigned get_small(struct source *from, unsigned octets, unsigned max)
{
    uint64_t value = get_uint(from, octets);
    if (value > max) {
        from->ok = false;
        return 0;
    }
    return (unsigned)value;
}

static struct slice get_slice(struct source *from)
{
    size_t len = (size_t)get_uint(from, 4);
    struct slice text = get(from, len);
    if (slice_find(text, '\0') >= 0 || len > RECORD_TEXT_MAX) {
        from->ok = false;
        return (struct slice){0};
    }
    return text;
}

static char *get_text(struct source *from)
{
    struct slice text = get_slice(from);
    char *copy = xalloc(text.len + 1);
    if (text.len > 0)
        memcpy(copy, text.data, text.len);
    return copy;
}

static void get_array(struct source *from, char *out, size_t size)
{
    if (!slice_copy(get_slice(from), out, size))
        from->ok = false;
}

static struct source open_record(struct slice in)
{
    struct source from = {in, true};
    if (get_small(&from, 1, 255) != RECORD_VERSION)
        from.ok = false;
    return from;
}

static bool is_complete(const struct source *from)
{
    return from->ok && from->in.len == 0;
}

/* Messages. */

enum { MESSAGE_8BIT = 1, MESSAGE_REQUIRETLS = 2, MESSAGE_REDACTED = 4, MESSAGE_GUARDED = 8 };

void record_put_message(struct buffer *out, const struct queue_message *m)
{
    put_uint(out, RECORD_VERSION, 1);
    put_uint(out, m->size, 8);
    put_uint(out, (uint64_t)m->arrived_at_ms, 8);
    put_uint(out, m->origin, 1);
    put_uint(out, m->ret, 1);
    put_uint(out,
             (m->content_8bit ? MESSAGE_8BIT : 0u) | (m->requiretls ? MESSAGE_REQUIRETLS : 0u) |
                 (m->is_redacted ? MESSAGE_REDACTED : 0u) | (m->is_guarded ? MESSAGE_GUARDED : 0u),
             1);
    put_text(out, m->reverse_path);
    put_text(out, m->user);
    put_text(out, m->envid);
}

bool record_get_message(struct slice in, struct queue_message *m)
{
    struct source from = open_record(in);
    *m = (struct queue_message){0};
    m->size = get_uint(&from, 8);
    m->arrived_at_ms = get_time(&from);
    m->origin = (enum origin)get_small(&from, 1, ORIGIN_NOTICE);
    m->ret = (enum ret)get_small(&from, 1, RET_HDRS);
    unsigned flags = get_small(&from, 1, 15);
    m->content_8bit = flags & MESSAGE_8BIT;
    m->requiretls = flags & MESSAGE_REQUIRETLS;
    m->is_redacted = flags & MESSAGE_REDACTED;
    m->is_guarded = flags & MESSAGE_GUARDED;
    m->reverse_path = get_text(&from);
    m->user = get_text(&from);
    m->envid = get_text(&from);
    if (is_complete(&from))
        return true;
    queue_message_free(m);
    return false;
}

/* Recipients. */

enum {
    RECIPIENT_WARNED = 1,
    RECIPIENT_FORCE_NEEDED = 2,
    RECIPIENT_RELEASE_REFUSED = 4,
    RECIPIENT_UNNOTIFIABLE = 8,
    RECIPIENT_RELAYED = 16,
    RECIPIENT_URGENT = 32,
};

static unsigned recipient_flags(const struct queue_recipient *r)
{
    return (r->was_warned ? RECIPIENT_WARNED : 0u) |
           (r->is_force_needed ? RECIPIENT_FORCE_NEEDED : 0u) |
           (r->is_release_refused ? RECIPIENT_RELEASE_REFUSED : 0u) |
           (r->is_unnotifiable ? RECIPIENT_UNNOTIFIABLE : 0u) |
           (r->is_relayed ? RECIPIENT_RELAYED : 0u) | (r->is_urgent ? RECIPIENT_URGENT : 0u);
}

static void put_outcome(struct buffer *out, const struct outcome *o)
{
    put_uint(out, o->code, 2);
    put_uint(out, o->status.class, 1);
    put_uint(out, o->status.subject, 2);
    put_uint(out, o->status.detail, 2);
    put_uint(out, o->port, 2);
    put_text(out, o->text);
    put_text(out, o->mx);
    put_text(out, o->address);
}

static void get_outcome(struct source *from, struct outcome *o)
{
    o->code = get_small(from, 2, 599);
    o->status.class = (uint8_t)get_small(from, 1, 5);
    o->status.subject = (uint16_t)get_small(from, 2, 999);
    o->status.detail = (uint16_t)get_small(from, 2, 999);
    o->port = (uint16_t)get_small(from, 2, 65535);
    get_array(from, o->text, sizeof o->text);
    get_array(from, o->mx, sizeof o->mx);
    get_array(from, o->address, sizeof o->address);
}

/* state, report, flow, due and the address come first: record_peek_recipient() reads no further. */
void record_put_recipient(struct buffer *out, const struct queue_recipient *r, uint32_t flow)
{
    put_uint(out, RECORD_VERSION, 1);
    put_uint(out, r->state, 1);
    put_uint(out, r->report, 1);
    put_uint(out, flow, 4);
    put_uint(out, (uint64_t)r->due_at_ms, 8);
    put_text(out, r->address);
    put_text(out, r->orcpt);
    put_text(out, r->owner);
    put_uint(out, r->notify, 1);
    put_uint(out, r->level, 1);
    put_uint(out, r->exemption, 1);
    put_uint(out, r->bound_exemption, 1);
    put_uint(out, recipient_flags(r), 1);
    put_uint(out, r->attempts, 4);
    put_uint(out, (uint64_t)r->started_at_ms, 8);
    put_uint(out, (uint64_t)r->trouble_since, 8);
    put_uint(out, (uint64_t)r->last_attempt_at_ms, 8);
    put_uint(out, (uint64_t)r->stopped_at_ms, 8);
    put_uint(out, (uint64_t)r->expires_at_ms, 8);
    put_outcome(out, &r->outcome);
    put_text(out, r->required);
    put_text(out, r->evidence);
    put_text(out, r->protocol);
    put_text(out, r->cipher);
    put_text(out, r->verified);
}

bool record_get_recipient(struct slice in, struct queue_recipient *r, uint32_t *flow)
{
    struct source from = open_record(in);
    *r = (struct queue_recipient){0};
    r->state = (enum queue_state)get_small(&from, 1, QUEUE_DISCARDED);
    r->report = (enum queue_report)get_small(&from, 1, QUEUE_REPORT_SUCCESS);
    *flow = (uint32_t)get_uint(&from, 4);
    r->due_at_ms = get_time(&from);
    r->address = get_text(&from);
    r->orcpt = get_text(&from);
    r->owner = get_text(&from);
    r->notify = get_small(&from, 1, 15);
    r->level = (enum level)get_small(&from, 1, LEVEL_VERIFIED);
    r->exemption = (enum exemption)get_small(&from, 1, EXEMPTION_RELEASE_FORCE);
    r->bound_exemption = (enum exemption)get_small(&from, 1, EXEMPTION_RELEASE_FORCE);
    unsigned flags = get_small(&from, 1, 63);
    r->was_warned = flags & RECIPIENT_WARNED;
    r->is_force_needed = flags & RECIPIENT_FORCE_NEEDED;
    r->is_release_refused = flags & RECIPIENT_RELEASE_REFUSED;
    r->is_unnotifiable = flags & RECIPIENT_UNNOTIFIABLE;
    r->is_relayed = flags & RECIPIENT_RELAYED;
    r->is_urgent = flags & RECIPIENT_URGENT;
    r->attempts = (unsigned)get_uint(&from, 4);
    r->started_at_ms = get_time(&from);
    r->trouble_since = get_time(&from);
    r->last_attempt_at_ms = get_time(&from);
    r->stopped_at_ms = get_time(&from);
    r->expires_at_ms = get_time(&from);
    get_outcome(&from, &r->outcome);
    r->required = get_text(&from);
    r->evidence = get_text(&from);
    r->protocol = get_text(&from);
    r->cipher = get_text(&from);
    r->verified = get_text(&from);
    if (is_complete(&from))
        return true;
    queue_recipient_clear(r);
    return false;
}

void record_lane(struct slice address, uint32_t flow, struct queue_lane *lane)
{
    /* The domain is behind the last '@': a quoted local part may hold one, a domain never. */
    size_t at = address.len;
    while (at > 0 && address.data[at - 1] != '@')
        at--;
    struct slice domain = at > 0 ? slice_sub(address, at, address.len - at) : (struct slice){0};
    *lane = (struct queue_lane){.flow = flow};
    if (!slice_copy(domain, lane->domain, sizeof lane->domain))
        lane->domain[0] = '\0';
}

bool record_peek_recipient(struct slice in, struct record_peek *peek)
{
    struct source from = open_record(in);
    peek->state = (enum queue_state)get_small(&from, 1, QUEUE_DISCARDED);
    peek->report = (enum queue_report)get_small(&from, 1, QUEUE_REPORT_SUCCESS);
    uint32_t flow = (uint32_t)get_uint(&from, 4);
    peek->due_at_ms = get_time(&from);
    record_lane(get_slice(&from), flow, &peek->lane);
    return from.ok;
}

/* Accounts. */

enum { ACCOUNT_FLAG = 1, ACCOUNT_LOCKED = 2, ACCOUNT_BACK_FLAG = 4, ACCOUNT_BACK_LOCKED = 8 };

static void put_verifier(struct buffer *out, const struct queue_verifier *v)
{
    put_uint(out, v->iterations, 4);
    put_uint(out, v->salt_len, 1);
    put_uint(out, v->key_len, 1);
    put(out, v->salt, v->salt_len);
    put(out, v->stored_key, v->key_len);
    put(out, v->server_key, v->key_len);
}

static void get_octets(struct source *from, uint8_t *out, size_t len)
{
    struct slice part = get(from, len);
    if (part.len > 0)
        memcpy(out, part.data, part.len);
}

static void get_verifier(struct source *from, struct queue_verifier *v)
{
    v->iterations = (unsigned)get_uint(from, 4);
    v->salt_len = (uint8_t)get_small(from, 1, QUEUE_SALT_MAX);
    v->key_len = (uint8_t)get_small(from, 1, QUEUE_KEY_MAX);
    get_octets(from, v->salt, v->salt_len);
    get_octets(from, v->stored_key, v->key_len);
    get_octets(from, v->server_key, v->key_len);
}

static void put_addresses(struct buffer *out, char (*list)[ADDRESS_SIZE], size_t count)
{
    put_uint(out, count, 4);
    for (size_t i = 0; i < count; i++)
        put_text(out, list[i]);
}

static void get_addresses(struct source *from, char (**list)[ADDRESS_SIZE], size_t *count)
{
    size_t wanted = (size_t)get_uint(from, 4);
    *list = NULL;
    *count = 0;
    /* Each takes 4 octets at least: a made-up count allocates nothing. */
    if (wanted > from->in.len / 4) {
        from->ok = false;
        return;
    }
    if (wanted > 0)
        *list = xalloc(wanted * sizeof **list);
    for (; *count < wanted; ++*count)
        get_array(from, (*list)[*count], ADDRESS_SIZE);
}

void record_put_account(struct buffer *out, const struct queue_account *a)
{
    put_uint(out, RECORD_VERSION, 1);
    put_text(out, a->address);
    put_verifier(out, &a->sha256);
    put_verifier(out, &a->sha1);
    put_text(out, a->language);
    put_uint(out, (uint64_t)a->hold_back_ms, 8);
    put_uint(out,
             (a->has_flag ? ACCOUNT_FLAG : 0u) | (a->is_locked ? ACCOUNT_LOCKED : 0u) |
                 (a->back_has_flag ? ACCOUNT_BACK_FLAG : 0u) |
                 (a->back_is_locked ? ACCOUNT_BACK_LOCKED : 0u),
             1);
    put_uint(out, a->level, 1);
    put_uint(out, a->back_level, 1);
    put_uint(out, (uint64_t)a->level_since, 8);
    put_uint(out, (uint64_t)a->level_until, 8);
    put_addresses(out, a->aliases, a->alias_count);
}

bool record_get_account(struct slice in, struct queue_account *a)
{
    struct source from = open_record(in);
    *a = (struct queue_account){0};
    get_array(&from, a->address, sizeof a->address);
    get_verifier(&from, &a->sha256);
    get_verifier(&from, &a->sha1);
    get_array(&from, a->language, sizeof a->language);
    a->hold_back_ms = get_time(&from);
    unsigned flags = get_small(&from, 1, 15);
    a->has_flag = flags & ACCOUNT_FLAG;
    a->is_locked = flags & ACCOUNT_LOCKED;
    a->back_has_flag = flags & ACCOUNT_BACK_FLAG;
    a->back_is_locked = flags & ACCOUNT_BACK_LOCKED;
    a->level = (enum level)get_small(&from, 1, LEVEL_VERIFIED);
    a->back_level = (enum level)get_small(&from, 1, LEVEL_VERIFIED);
    a->level_since = get_time(&from);
    a->level_until = get_time(&from);
    get_addresses(&from, &a->aliases, &a->alias_count);
    if (is_complete(&from))
        return true;
    queue_account_clear(a);
    return false;
}

void record_put_list(struct buffer *out, char (*list)[ADDRESS_SIZE], size_t count)
{
    put_uint(out, RECORD_VERSION, 1);
    put_addresses(out, list, count);
}

bool record_get_list(struct slice in, char (**list)[ADDRESS_SIZE], size_t *count)
{
    struct source from = open_record(in);
    get_addresses(&from, list, count);
    if (is_complete(&from))
        return true;
    free(*list);
    *list = NULL;
    *count = 0;
    return false;
}

void record_put_number(struct buffer *out, uint64_t number)
{
    put_uint(out, number, 8);
}

uint64_t record_number(struct slice eight)
{
    struct source from = {eight, true};
    uint64_t number = get_uint(&from, 8);
    return is_complete(&from) ? number : 0;
}
