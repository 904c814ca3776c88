/* Whatever is read from the store and passes as a record must come out the same when it is written
 * and read again. The first octet says which kind it is. */
#include <stdlib.h>
#include <string.h>

#include "queue/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct slice in, const struct buffer *again)
{
    if (!slice_equal(in, buffer_slice(again)))
        abort();
}

static void try_recipient(struct slice in, struct buffer *again)
{
    struct queue_recipient r;
    struct record_peek peek;
    uint32_t flow;
    bool can_peek = record_peek_recipient(in, &peek);
    if (!record_get_recipient(in, &r, &flow))
        return;
    if (!can_peek || peek.state != r.state || peek.due_at_ms != r.due_at_ms)
        abort();
    record_put_recipient(again, &r, flow);
    check(in, again);
    queue_recipient_clear(&r);
}

static void try_message(struct slice in, struct buffer *again)
{
    struct queue_message m;
    if (!record_get_message(in, &m))
        return;
    record_put_message(again, &m);
    check(in, again);
    queue_message_free(&m);
}

static void try_account(struct slice in, struct buffer *again)
{
    struct queue_account a;
    if (!record_get_account(in, &a))
        return;
    record_put_account(again, &a);
    check(in, again);
    queue_account_clear(&a);
}

static void try_list(struct slice in, struct buffer *again)
{
    char(*list)[ADDRESS_SIZE];
    size_t count;
    if (!record_get_list(in, &list, &count))
        return;
    record_put_list(again, list, count);
    check(in, again);
    free(list);
}

static void try_key(struct slice in)
{
    struct queue_lane lane;
    int64_t due;
    uint64_t id;
    uint32_t index;
    if (!key_get_due(in, &lane, &due, &id, &index) || due < 0)
        return;
    struct key again = key_due(&lane, due, id, index);
    if (!slice_equal(in, key_slice(&again)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer again;
    if (size == 0)
        return 0;
    struct slice in = {(const char *)data + 1, size - 1};
    buffer_init(&again, (size_t)8 << 20);
    switch (data[0] % 5) {
    case 0:
        try_recipient(in, &again);
        break;
    case 1:
        try_message(in, &again);
        break;
    case 2:
        try_account(in, &again);
        break;
    case 3:
        try_list(in, &again);
        break;
    case 4:
        try_key(in);
        break;
    }
    buffer_free(&again);
    return 0;
}
