#include "queue/record.h"

#include <stdlib.h>

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

/* Postures. */

void record_put_posture(struct buffer *out, const struct queue_posture *p)
{
    codec_put_uint(out, RECORD_VERSION, 1);
    codec_put_text(out, p->domain);
    codec_put_text(out, p->host);
    codec_put_uint(out, (uint64_t)p->first_seen_at, 8);
    codec_put_uint(out, (uint64_t)p->last_seen_at, 8);
    codec_put_uint(out, p->looks, 4);
    codec_put_uint(out, p->tls_looks, 4);
    codec_put_uint(out, (uint64_t)p->tls_first_at, 8);
    codec_put_uint(out, (uint64_t)p->tls_last_at, 8);
    codec_put_uint(out, p->refusals, 4);
    codec_put_uint(out, (uint64_t)p->refusal_first_at, 8);
    codec_put_uint(out, (uint64_t)p->refusal_last_at, 8);
    codec_put_text(out, p->refusal);
    codec_put_uint(out, p->refusal_kind, 1);
    codec_put_text(out, p->protocol);
    codec_put_text(out, p->cipher);
    codec_put_text(out, p->key_exchange);
    codec_put_text(out, p->key_digest);
    codec_put_uint(out, p->verified, 1);
    codec_put_uint(out, p->tlsa, 1);
    codec_put_uint(out, p->sts, 1);
}

bool record_get_posture(struct slice in, struct queue_posture *p)
{
    struct codec_source from = codec_open(in);
    *p = (struct queue_posture){0};
    codec_get_array(&from, p->domain, sizeof p->domain);
    codec_get_array(&from, p->host, sizeof p->host);
    p->first_seen_at = codec_get_time(&from);
    p->last_seen_at = codec_get_time(&from);
    p->looks = (unsigned)codec_get_uint(&from, 4);
    p->tls_looks = (unsigned)codec_get_uint(&from, 4);
    p->tls_first_at = codec_get_time(&from);
    p->tls_last_at = codec_get_time(&from);
    p->refusals = (unsigned)codec_get_uint(&from, 4);
    p->refusal_first_at = codec_get_time(&from);
    p->refusal_last_at = codec_get_time(&from);
    codec_get_array(&from, p->refusal, sizeof p->refusal);
    p->refusal_kind = (uint8_t)codec_get_uint(&from, 1);
    codec_get_array(&from, p->protocol, sizeof p->protocol);
    codec_get_array(&from, p->cipher, sizeof p->cipher);
    codec_get_array(&from, p->key_exchange, sizeof p->key_exchange);
    codec_get_array(&from, p->key_digest, sizeof p->key_digest);
    p->verified = (uint8_t)codec_get_uint(&from, 1);
    p->tlsa = (uint8_t)codec_get_uint(&from, 1);
    p->sts = (uint8_t)codec_get_uint(&from, 1);
    if (codec_is_complete(&from))
        return true;
    *p = (struct queue_posture){0};
    return false;
}

/* Exceptions of one user. */

void record_put_exceptions(struct buffer *out, const struct queue_exception *list, size_t count)
{
    codec_put_uint(out, RECORD_VERSION, 1);
    codec_put_uint(out, count, 4);
    for (size_t i = 0; i < count; i++) {
        codec_put_text(out, list[i].domain);
        codec_put_uint(out, (uint64_t)list[i].set_at, 8);
        codec_put_uint(out, (uint64_t)list[i].until, 8);
    }
}

bool record_get_exceptions(struct slice in, struct queue_exception **list, size_t *count)
{
    struct codec_source from = codec_open(in);
    size_t wanted = (size_t)codec_get_uint(&from, 4);
    *list = NULL;
    *count = 0;
    /* Each takes 20 octets at least: a made-up count allocates nothing. */
    if (wanted > from.in.len / 20)
        return false;
    if (wanted > 0)
        *list = xalloc(wanted * sizeof **list);
    for (size_t i = 0; i < wanted; i++) {
        codec_get_array(&from, (*list)[i].domain, sizeof(*list)[i].domain);
        (*list)[i].set_at = codec_get_time(&from);
        (*list)[i].until = codec_get_time(&from);
    }
    *count = wanted;
    if (codec_is_complete(&from))
        return true;
    free(*list);
    *list = NULL;
    *count = 0;
    return false;
}

/* Findings of dry run. */

void record_put_trial(struct buffer *out, const struct queue_trial *t)
{
    codec_put_uint(out, RECORD_VERSION, 1);
    codec_put_uint(out, (uint64_t)t->at, 8);
    codec_put_uint(out, t->id, 8);
    codec_put_text(out, t->user);
    codec_put_text(out, t->recipient);
    codec_put_text(out, t->reason);
    codec_put_uint(out, t->status.class, 1);
    codec_put_uint(out, t->status.subject, 2);
    codec_put_uint(out, t->status.detail, 2);
}

bool record_get_trial(struct slice in, struct queue_trial *t)
{
    struct codec_source from = codec_open(in);
    *t = (struct queue_trial){0};
    t->at = codec_get_time(&from);
    t->id = codec_get_uint(&from, 8);
    codec_get_array(&from, t->user, sizeof t->user);
    codec_get_array(&from, t->recipient, sizeof t->recipient);
    codec_get_array(&from, t->reason, sizeof t->reason);
    t->status.class = (uint8_t)codec_get_small(&from, 1, 5);
    t->status.subject = (uint16_t)codec_get_small(&from, 2, 999);
    t->status.detail = (uint16_t)codec_get_small(&from, 2, 999);
    if (codec_is_complete(&from))
        return true;
    *t = (struct queue_trial){0};
    return false;
}

/* Counts for TLS reports. */

void record_put_tlsrpt_policy(struct buffer *out, const struct queue_tlsrpt_policy *p)
{
    codec_put_uint(out, RECORD_VERSION, 1);
    codec_put_uint(out, p->type, 1);
    codec_put_text(out, p->strings);
    codec_put_text(out, p->mx_hosts);
    codec_put_uint(out, p->successes, 8);
    codec_put_uint(out, p->failures, 8);
}

bool record_get_tlsrpt_policy(struct slice in, struct queue_tlsrpt_policy *p)
{
    struct codec_source from = codec_open(in);
    *p = (struct queue_tlsrpt_policy){0};
    p->type = (enum queue_tlsrpt_type)codec_get_small(&from, 1, QUEUE_TLSRPT_STS);
    p->strings = codec_get_text(&from);
    p->mx_hosts = codec_get_text(&from);
    p->successes = codec_get_uint(&from, 8);
    p->failures = codec_get_uint(&from, 8);
    if (codec_is_complete(&from))
        return true;
    free(p->strings);
    free(p->mx_hosts);
    *p = (struct queue_tlsrpt_policy){0};
    return false;
}

void record_put_tlsrpt_failure(struct buffer *out, const struct queue_tlsrpt_failure *f)
{
    codec_put_uint(out, RECORD_VERSION, 1);
    codec_put_uint(out, f->count, 8);
    codec_put_uint(out, f->cause, 1);
    codec_put_text(out, f->sending_address);
    codec_put_text(out, f->mx_host);
    codec_put_text(out, f->receiving_address);
    codec_put_text(out, f->receiving_helo);
    codec_put_text(out, f->reason);
}

bool record_get_tlsrpt_failure(struct slice in, struct queue_tlsrpt_failure *f)
{
    struct codec_source from = codec_open(in);
    *f = (struct queue_tlsrpt_failure){0};
    f->count = codec_get_uint(&from, 8);
    f->cause = (enum queue_tlsrpt_cause)codec_get_small(&from, 1, QUEUE_TLSRPT_STS_WEBPKI_INVALID);
    codec_get_array(&from, f->sending_address, sizeof f->sending_address);
    codec_get_array(&from, f->mx_host, sizeof f->mx_host);
    codec_get_array(&from, f->receiving_address, sizeof f->receiving_address);
    codec_get_array(&from, f->receiving_helo, sizeof f->receiving_helo);
    codec_get_array(&from, f->reason, sizeof f->reason);
    if (codec_is_complete(&from))
        return true;
    *f = (struct queue_tlsrpt_failure){0};
    return false;
}
