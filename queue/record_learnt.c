#include "queue/record.h"

#include "queue/codec.h"

/* MTA-STS policies. */

void record_put_policy(struct buffer *out, const struct queue_policy *p)
{
    codec_put_uint(out, RECORD_VERSION, 1);
    codec_put_text(out, p->domain);
    codec_put_text(out, p->id);
    codec_put_uint(out, (uint64_t)p->fetched_at, 8);
    codec_put_uint(out, (uint64_t)p->expires_at, 8);
    codec_put_uint(out, (uint64_t)p->refresh_at, 8);
    codec_put_uint(out, (uint64_t)p->checked_at, 8);
    codec_put_text(out, p->text);
}

bool record_get_policy(struct slice in, struct queue_policy *p)
{
    struct codec_source from = codec_open(in);
    *p = (struct queue_policy){0};
    codec_get_array(&from, p->domain, sizeof p->domain);
    codec_get_array(&from, p->id, sizeof p->id);
    p->fetched_at = codec_get_time(&from);
    p->expires_at = codec_get_time(&from);
    p->refresh_at = codec_get_time(&from);
    p->checked_at = codec_get_time(&from);
    p->text = codec_get_text(&from);
    if (codec_is_complete(&from))
        return true;
    queue_policy_clear(p);
    return false;
}
