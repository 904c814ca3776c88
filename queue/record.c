#include "queue/record.h"

#include <stdlib.h>
#include <string.h>

#include "queue/codec.h"

/* Messages. */

enum { MESSAGE_8BIT = 1, MESSAGE_REQUIRETLS = 2, MESSAGE_REDACTED = 4, MESSAGE_GUARDED = 8 };

void record_put_message(struct buffer *out, const struct queue_message *m)
{
    codec_put_uint(out, RECORD_VERSION, 1);
    codec_put_uint(out, m->size, 8);
    codec_put_uint(out, (uint64_t)m->arrived_at_ms, 8);
    codec_put_uint(out, m->origin, 1);
    codec_put_uint(out, m->ret, 1);
    codec_put_uint(
        out,
        (m->content_8bit ? MESSAGE_8BIT : 0u) | (m->requiretls ? MESSAGE_REQUIRETLS : 0u) |
            (m->is_redacted ? MESSAGE_REDACTED : 0u) | (m->is_guarded ? MESSAGE_GUARDED : 0u),
        1);
    codec_put_text(out, m->reverse_path);
    codec_put_text(out, m->user);
    codec_put_text(out, m->envid);
}

bool record_get_message(struct slice in, struct queue_message *m)
{
    struct codec_source from = codec_open(in);
    *m = (struct queue_message){0};
    m->size = codec_get_uint(&from, 8);
    m->arrived_at_ms = codec_get_time(&from);
    m->origin = (enum origin)codec_get_small(&from, 1, ORIGIN_LAST);
    m->ret = (enum ret)codec_get_small(&from, 1, RET_HDRS);
    unsigned flags = codec_get_small(&from, 1, 15);
    m->content_8bit = flags & MESSAGE_8BIT;
    m->requiretls = flags & MESSAGE_REQUIRETLS;
    m->is_redacted = flags & MESSAGE_REDACTED;
    m->is_guarded = flags & MESSAGE_GUARDED;
    m->reverse_path = codec_get_text(&from);
    m->user = codec_get_text(&from);
    m->envid = codec_get_text(&from);
    if (codec_is_complete(&from))
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
    RECIPIENT_RECEIPT = 64,
    RECIPIENT_PASSED_ON = 128,
    RECIPIENT_LOCAL = 256,
    RECIPIENT_SUSPENDED = 512,
    RECIPIENT_FLAGS = 1023, /* all of them */
};

static unsigned recipient_flags(const struct queue_recipient *r)
{
    return (r->was_warned ? RECIPIENT_WARNED : 0u) |
           (r->is_force_needed ? RECIPIENT_FORCE_NEEDED : 0u) |
           (r->is_release_refused ? RECIPIENT_RELEASE_REFUSED : 0u) |
           (r->is_unnotifiable ? RECIPIENT_UNNOTIFIABLE : 0u) |
           (r->is_relayed ? RECIPIENT_RELAYED : 0u) | (r->is_urgent ? RECIPIENT_URGENT : 0u) |
           (r->wants_receipt ? RECIPIENT_RECEIPT : 0u) |
           (r->is_passed_on ? RECIPIENT_PASSED_ON : 0u) | (r->is_local ? RECIPIENT_LOCAL : 0u) |
           (r->is_suspended ? RECIPIENT_SUSPENDED : 0u);
}

static void put_outcome(struct buffer *out, const struct outcome *o)
{
    codec_put_uint(out, o->code, 2);
    codec_put_uint(out, o->status.class, 1);
    codec_put_uint(out, o->status.subject, 2);
    codec_put_uint(out, o->status.detail, 2);
    codec_put_uint(out, o->port, 2);
    codec_put_text(out, o->text);
    codec_put_text(out, o->mx);
    codec_put_text(out, o->address);
}

static void get_outcome(struct codec_source *from, struct outcome *o)
{
    o->code = codec_get_small(from, 2, 599);
    o->status.class = (uint8_t)codec_get_small(from, 1, 5);
    o->status.subject = (uint16_t)codec_get_small(from, 2, 999);
    o->status.detail = (uint16_t)codec_get_small(from, 2, 999);
    o->port = (uint16_t)codec_get_small(from, 2, 65535);
    codec_get_array(from, o->text, sizeof o->text);
    codec_get_array(from, o->mx, sizeof o->mx);
    codec_get_array(from, o->address, sizeof o->address);
}

/* state, report, flow, due and the address come first: record_peek_recipient() reads no further. */
void record_put_recipient(struct buffer *out, const struct queue_recipient *r, uint32_t flow)
{
    codec_put_uint(out, RECORD_VERSION, 1);
    codec_put_uint(out, r->state, 1);
    codec_put_uint(out, r->report, 1);
    codec_put_uint(out, flow, 4);
    codec_put_uint(out, (uint64_t)r->due_at_ms, 8);
    codec_put_text(out, r->address);
    codec_put_text(out, r->orcpt);
    codec_put_text(out, r->owner);
    codec_put_uint(out, r->notify, 1);
    codec_put_uint(out, r->level, 1);
    codec_put_uint(out, r->exemption, 1);
    codec_put_uint(out, r->bound_exemption, 1);
    codec_put_uint(out, recipient_flags(r), 2);
    codec_put_uint(out, r->attempts, 4);
    codec_put_uint(out, (uint64_t)r->started_at_ms, 8);
    codec_put_uint(out, (uint64_t)r->trouble_since, 8);
    codec_put_uint(out, (uint64_t)r->last_attempt_at_ms, 8);
    codec_put_uint(out, (uint64_t)r->tls_seen_at, 8);
    codec_put_uint(out, (uint64_t)r->stopped_at_ms, 8);
    codec_put_uint(out, (uint64_t)r->expires_at_ms, 8);
    put_outcome(out, &r->outcome);
    codec_put_text(out, r->required);
    codec_put_text(out, r->evidence);
    codec_put_text(out, r->protocol);
    codec_put_text(out, r->cipher);
    codec_put_text(out, r->verified);
}

bool record_get_recipient(struct slice in, struct queue_recipient *r, uint32_t *flow)
{
    struct codec_source from = codec_open(in);
    *r = (struct queue_recipient){0};
    r->state = (enum queue_state)codec_get_small(&from, 1, QUEUE_DISCARDED);
    r->report = (enum queue_report)codec_get_small(&from, 1, QUEUE_REPORT_SUCCESS);
    *flow = (uint32_t)codec_get_uint(&from, 4);
    r->due_at_ms = codec_get_time(&from);
    r->address = codec_get_text(&from);
    r->orcpt = codec_get_text(&from);
    r->owner = codec_get_text(&from);
    r->notify = codec_get_small(&from, 1, 15);
    r->level = (enum level)codec_get_small(&from, 1, LEVEL_VERIFIED);
    r->exemption = (enum exemption)codec_get_small(&from, 1, EXEMPTION_LAST);
    r->bound_exemption = (enum exemption)codec_get_small(&from, 1, EXEMPTION_LAST);
    unsigned flags = codec_get_small(&from, 2, RECIPIENT_FLAGS);
    r->was_warned = flags & RECIPIENT_WARNED;
    r->is_force_needed = flags & RECIPIENT_FORCE_NEEDED;
    r->is_release_refused = flags & RECIPIENT_RELEASE_REFUSED;
    r->is_unnotifiable = flags & RECIPIENT_UNNOTIFIABLE;
    r->is_relayed = flags & RECIPIENT_RELAYED;
    r->is_urgent = flags & RECIPIENT_URGENT;
    r->wants_receipt = flags & RECIPIENT_RECEIPT;
    r->is_passed_on = flags & RECIPIENT_PASSED_ON;
    r->is_local = flags & RECIPIENT_LOCAL;
    r->is_suspended = flags & RECIPIENT_SUSPENDED;
    r->attempts = (unsigned)codec_get_uint(&from, 4);
    r->started_at_ms = codec_get_time(&from);
    r->trouble_since = codec_get_time(&from);
    r->last_attempt_at_ms = codec_get_time(&from);
    r->tls_seen_at = codec_get_time(&from);
    r->stopped_at_ms = codec_get_time(&from);
    r->expires_at_ms = codec_get_time(&from);
    get_outcome(&from, &r->outcome);
    r->required = codec_get_text(&from);
    r->evidence = codec_get_text(&from);
    r->protocol = codec_get_text(&from);
    r->cipher = codec_get_text(&from);
    r->verified = codec_get_text(&from);
    if (codec_is_complete(&from))
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
    struct codec_source from = codec_open(in);
    peek->state = (enum queue_state)codec_get_small(&from, 1, QUEUE_DISCARDED);
    peek->report = (enum queue_report)codec_get_small(&from, 1, QUEUE_REPORT_SUCCESS);
    uint32_t flow = (uint32_t)codec_get_uint(&from, 4);
    peek->due_at_ms = codec_get_time(&from);
    record_lane(codec_get_slice(&from), flow, &peek->lane);
    return from.ok;
}

/* Accounts. */

enum {
    ACCOUNT_FLAG = 1,
    ACCOUNT_LOCKED = 2,
    ACCOUNT_BACK_FLAG = 4,
    ACCOUNT_BACK_LOCKED = 8,
    ACCOUNT_DRY_RUN = 16,
    ACCOUNT_BACK_DRY_RUN = 32,
    ACCOUNT_RECEIPTS = 64,
};

static unsigned account_flags(const struct queue_account *a)
{
    return (a->has_flag ? ACCOUNT_FLAG : 0u) | (a->is_locked ? ACCOUNT_LOCKED : 0u) |
           (a->back_has_flag ? ACCOUNT_BACK_FLAG : 0u) |
           (a->back_is_locked ? ACCOUNT_BACK_LOCKED : 0u) | (a->is_dry_run ? ACCOUNT_DRY_RUN : 0u) |
           (a->back_is_dry_run ? ACCOUNT_BACK_DRY_RUN : 0u) |
           (a->wants_receipts ? ACCOUNT_RECEIPTS : 0u);
}

static void put_verifier(struct buffer *out, const struct queue_verifier *v)
{
    codec_put_uint(out, v->iterations, 4);
    codec_put_uint(out, v->salt_len, 1);
    codec_put_uint(out, v->key_len, 1);
    codec_put(out, v->salt, v->salt_len);
    codec_put(out, v->stored_key, v->key_len);
    codec_put(out, v->server_key, v->key_len);
}

static void get_octets(struct codec_source *from, uint8_t *out, size_t len)
{
    struct slice part = codec_get(from, len);
    if (part.len > 0)
        memcpy(out, part.data, part.len);
}

static void get_verifier(struct codec_source *from, struct queue_verifier *v)
{
    v->iterations = (unsigned)codec_get_uint(from, 4);
    v->salt_len = (uint8_t)codec_get_small(from, 1, QUEUE_SALT_MAX);
    v->key_len = (uint8_t)codec_get_small(from, 1, QUEUE_KEY_MAX);
    get_octets(from, v->salt, v->salt_len);
    get_octets(from, v->stored_key, v->key_len);
    get_octets(from, v->server_key, v->key_len);
}

static void put_addresses(struct buffer *out, char (*list)[ADDRESS_SIZE], size_t count)
{
    codec_put_uint(out, count, 4);
    for (size_t i = 0; i < count; i++)
        codec_put_text(out, list[i]);
}

static void get_addresses(struct codec_source *from, char (**list)[ADDRESS_SIZE], size_t *count)
{
    size_t wanted = (size_t)codec_get_uint(from, 4);
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
        codec_get_array(from, (*list)[*count], ADDRESS_SIZE);
}

void record_put_account(struct buffer *out, const struct queue_account *a)
{
    codec_put_uint(out, RECORD_VERSION, 1);
    codec_put_text(out, a->address);
    put_verifier(out, &a->sha256);
    put_verifier(out, &a->sha1);
    codec_put_text(out, a->language);
    codec_put_uint(out, (uint64_t)a->hold_back_ms, 8);
    codec_put_uint(out, account_flags(a), 1);
    codec_put_uint(out, a->level, 1);
    codec_put_uint(out, a->back_level, 1);
    codec_put_uint(out, (uint64_t)a->level_since, 8);
    codec_put_uint(out, (uint64_t)a->level_until, 8);
    put_addresses(out, a->aliases, a->alias_count);
}

bool record_get_account(struct slice in, struct queue_account *a)
{
    struct codec_source from = codec_open(in);
    *a = (struct queue_account){0};
    codec_get_array(&from, a->address, sizeof a->address);
    get_verifier(&from, &a->sha256);
    get_verifier(&from, &a->sha1);
    codec_get_array(&from, a->language, sizeof a->language);
    a->hold_back_ms = codec_get_time(&from);
    unsigned flags = codec_get_small(&from, 1, 127);
    a->has_flag = flags & ACCOUNT_FLAG;
    a->is_locked = flags & ACCOUNT_LOCKED;
    a->back_has_flag = flags & ACCOUNT_BACK_FLAG;
    a->back_is_locked = flags & ACCOUNT_BACK_LOCKED;
    a->is_dry_run = flags & ACCOUNT_DRY_RUN;
    a->back_is_dry_run = flags & ACCOUNT_BACK_DRY_RUN;
    a->wants_receipts = flags & ACCOUNT_RECEIPTS;
    a->level = (enum level)codec_get_small(&from, 1, LEVEL_VERIFIED);
    a->back_level = (enum level)codec_get_small(&from, 1, LEVEL_VERIFIED);
    a->level_since = codec_get_time(&from);
    a->level_until = codec_get_time(&from);
    get_addresses(&from, &a->aliases, &a->alias_count);
    if (codec_is_complete(&from))
        return true;
    queue_account_clear(a);
    return false;
}

void record_put_list(struct buffer *out, char (*list)[ADDRESS_SIZE], size_t count)
{
    codec_put_uint(out, RECORD_VERSION, 1);
    put_addresses(out, list, count);
}

bool record_get_list(struct slice in, char (**list)[ADDRESS_SIZE], size_t *count)
{
    struct codec_source from = codec_open(in);
    get_addresses(&from, list, count);
    if (codec_is_complete(&from))
        return true;
    free(*list);
    *list = NULL;
    *count = 0;
    return false;
}

void record_put_number(struct buffer *out, uint64_t number)
{
    codec_put_uint(out, number, 8);
}

uint64_t record_number(struct slice eight)
{
    struct codec_source from = {eight, true};
    uint64_t number = codec_get_uint(&from, 8);
    return codec_is_complete(&from) ? number : 0;
}
