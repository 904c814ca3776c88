#include "queue/record.h"

#include <string.h>

struct slice key_slice(const struct key *k)
{
    return (struct slice){k->bytes, k->len};
}

static void add(struct key *k, uint64_t value, unsigned octets)
{
    for (unsigned i = 0; i < octets; i++)
        k->bytes[k->len++] = (char)(uint8_t)(value >> (8 * (octets - 1 - i)));
}

/* Times are never before the epoch; a negative one would sort behind all others. */
static uint64_t sortable(int64_t at_ms)
{
    return at_ms > 0 ? (uint64_t)at_ms : 0;
}

struct key key_id(uint64_t id)
{
    struct key k;
    k.len = 0;
    add(&k, id, 8);
    return k;
}

struct key key_part(uint64_t id, uint32_t part)
{
    struct key k = key_id(id);
    add(&k, part, 4);
    return k;
}

struct key key_notice_due(int64_t due_at_ms, uint64_t id)
{
    struct key k = key_id(sortable(due_at_ms));
    add(&k, id, 8);
    return k;
}

struct key key_lane(const struct queue_lane *lane)
{
    struct key k;
    k.len = strnlen(lane->domain, DOMAIN_MAX);
    memcpy(k.bytes, lane->domain, k.len);
    k.bytes[k.len++] = '\0';
    add(&k, lane->flow, 4);
    return k;
}

struct key key_due(const struct queue_lane *lane, int64_t due_at_ms, uint64_t id, uint32_t index)
{
    struct key k = key_lane(lane);
    add(&k, sortable(due_at_ms), 8);
    add(&k, id, 8);
    add(&k, index, 4);
    return k;
}

static uint64_t number_at(struct slice in, size_t from, size_t octets)
{
    uint64_t value = 0;
    for (size_t i = from; i < from + octets; i++)
        value = value << 8 | (uint8_t)in.data[i];
    return value;
}

bool key_get_id(struct slice in, uint64_t *id)
{
    if (in.len < KEY_ID_SIZE)
        return false;
    *id = number_at(in, 0, 8);
    return true;
}

bool key_get_part(struct slice in, uint64_t *id, uint32_t *part)
{
    if (in.len != KEY_PART_SIZE)
        return false;
    *id = number_at(in, 0, 8);
    *part = (uint32_t)number_at(in, 8, 4);
    return true;
}

bool key_get_notice_due(struct slice in, int64_t *due_at_ms, uint64_t *id)
{
    if (in.len != KEY_NOTICE_DUE_SIZE)
        return false;
    *due_at_ms = (int64_t)number_at(in, 0, 8);
    *id = number_at(in, 8, 8);
    return true;
}

bool key_get_due(struct slice in, struct queue_lane *lane, int64_t *due_at_ms, uint64_t *id,
                 uint32_t *index)
{
    ptrdiff_t nul = slice_find(in, '\0');
    if (nul < 0 || in.len != (size_t)nul + 1 + 4 + 8 + 8 + 4 ||
        !slice_copy(slice_sub(in, 0, (size_t)nul), lane->domain, sizeof lane->domain))
        return false;
    size_t at = (size_t)nul + 1;
    lane->flow = (uint32_t)number_at(in, at, 4);
    *due_at_ms = (int64_t)number_at(in, at + 4, 8);
    *id = number_at(in, at + 12, 8);
    *index = (uint32_t)number_at(in, at + 20, 4);
    return true;
}
