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

static void try_policy(struct slice in, struct buffer *again)
{
    struct queue_policy p;
    if (!record_get_policy(in, &p))
        return;
    record_put_policy(again, &p);
    check(in, again);
    queue_policy_clear(&p);
}

static void try_posture(struct slice in, struct buffer *again)
{
    struct queue_posture p;
    if (!record_get_posture(in, &p))
        return;
    record_put_posture(again, &p);
    check(in, again);
}

static void try_exceptions(struct slice in, struct buffer *again)
{
    struct queue_exception *list;
    size_t count;
    if (!record_get_exceptions(in, &list, &count))
        return;
    record_put_exceptions(again, list, count);
    check(in, again);
    free(list);
}

static void try_trial(struct slice in, struct buffer *again)
{
    struct queue_trial t;
    if (!record_get_trial(in, &t))
        return;
    record_put_trial(again, &t);
    check(in, again);
}

static void try_tlsrpt_policy(struct slice in, struct buffer *again)
{
    struct queue_tlsrpt_policy p;
    if (!record_get_tlsrpt_policy(in, &p))
        return;
    record_put_tlsrpt_policy(again, &p);
    check(in, again);
    free(p.strings);
    free(p.mx_hosts);
}

static void try_tlsrpt_failure(struct slice in, struct buffer *again)
{
    struct queue_tlsrpt_failure f;
    if (!record_get_tlsrpt_failure(in, &f))
        return;
    record_put_tlsrpt_failure(again, &f);
    check(in, again);
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
    switch (data[0] % 11) {
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
    case 5:
        try_policy(in, &again);
        break;
    case 6:
        try_posture(in, &again);
        break;
    case 7:
        try_exceptions(in, &again);
        break;
    case 8:
        try_trial(in, &again);
        break;
    case 9:
        try_tlsrpt_policy(in, &again);
        break;
    case 10:
        try_tlsrpt_failure(in, &again);
        break;
    }
    buffer_free(&again);
    return 0;
}
