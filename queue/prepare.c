#include <stdlib.h>

#include "queue/room.h"

static struct queue_recipient recipient_of(const struct envelope_recipient *from,
                                           int64_t arrived_at_ms, int64_t due_at_ms, char *nothing)
{
    return (struct queue_recipient){
        .address = from->address,
        .orcpt = from->orcpt,
        .owner = from->owner,
        .notify = from->notify,
        .wants_receipt = from->wants_receipt,
        .level = from->level,
        .exemption = from->exemption,
        .bound_exemption = from->exemption,
        .state = QUEUE_QUEUED,
        .started_at_ms = arrived_at_ms,
        .due_at_ms = due_at_ms,
        .required = nothing,
        .evidence = nothing,
        .protocol = nothing,
        .cipher = nothing,
        .verified = nothing,
    };
}

static bool is_guarded(const struct envelope *e)
{
    bool is_any = e->requiretls;
    for (size_t i = 0; i < e->count; i++)
        is_any |=
            e->recipients[i].level != LEVEL_OFF || e->recipients[i].exemption != EXEMPTION_NONE;
    return is_any;
}

void prepare(struct prepared *p, uint64_t id, const struct envelope *e, uint64_t size,
             int64_t arrived_at_ms, int64_t due_at_ms)
{
    *p = (struct prepared){.id = id, .count = e->count, .due_at_ms = due_at_ms, .size = size};
    struct queue_message m = {
        .origin = e->origin,
        .reverse_path = e->reverse_path,
        .user = e->user,
        .envid = e->envid,
        .ret = e->ret,
        .content_8bit = e->content_8bit,
        .requiretls = e->requiretls,
        .is_redacted = e->is_redacted,
        .is_guarded = is_guarded(e),
        .size = size,
        .arrived_at_ms = arrived_at_ms,
    };
    char nothing[] = "";
    uint32_t flow = room_flow(e->user, e->reverse_path);
    buffer_init(&p->message, 4 * RECORD_TEXT_MAX);
    record_put_message(&p->message, &m);
    buffer_init(&p->recipients, (e->count + 1) * 4 * RECORD_TEXT_MAX);
    p->lanes = xalloc(e->count * sizeof *p->lanes);
    for (size_t i = 0; i < e->count; i++) {
        struct queue_recipient r =
            recipient_of(&e->recipients[i], arrived_at_ms, due_at_ms, nothing);
        record_put_recipient(&p->recipients, &r, flow);
        p->lanes[i].end = p->recipients.len;
        record_lane(slice_of(r.address), flow, &p->lanes[i].lane);
    }
}

void prepared_free(struct prepared *p)
{
    buffer_free(&p->message);
    buffer_free(&p->recipients);
    free(p->lanes);
    p->lanes = NULL;
}
