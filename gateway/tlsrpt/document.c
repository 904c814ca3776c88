#include "gateway/tlsrpt/document.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "mail/date.h"
#include "mail/utf8.h"

enum { DAY_SECONDS = 86400 };

struct document {
    json_t *root;     /* owned, and with it the others */
    json_t *policies; /* array */
    json_t *failures; /* array of the last policy; NULL: it has none yet */
    char *domain;     /* owned */
    bool is_broken;   /* memory was out */
};

/* ---- values ---- */

/* jansson takes well-formed UTF-8 alone, and people read it. */
static json_t *text_value(struct slice in)
{
    char *clean = xalloc(in.len + 1);
    size_t len = 0;
    while (in.len > 0) {
        uint32_t code_point;
        size_t octets = utf8_decode(in, &code_point);
        if (octets > 0 && utf8_is_printable(code_point)) {
            memcpy(clean + len, in.data, octets);
            len += octets;
        } else {
            clean[len++] = '?';
        }
        in = slice_sub(in, octets > 0 ? octets : 1, in.len);
    }
    json_t *value = json_stringn(clean, len);
    free(clean);
    return value;
}

/* Takes over `value`; NULL, which jansson gives when memory is out, breaks the document. */
static void put(struct document *d, json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) != 0)
        d->is_broken = true;
}

static void append(struct document *d, json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) != 0)
        d->is_broken = true;
}

static void put_text(struct document *d, json_t *object, const char *key, const char *text)
{
    put(d, object, key, text_value(slice_of(text)));
}

static void put_text_if_any(struct document *d, json_t *object, const char *key, const char *text)
{
    if (text[0] != '\0')
        put_text(d, object, key, text);
}

/* JSON's readers have signed numbers. */
static void put_count(struct document *d, json_t *object, const char *key, uint64_t count)
{
    put(d, object, key, json_integer(count > INT64_MAX ? INT64_MAX : (json_int_t)count));
}

/* An array of one string for each line; no lines are left out. */
static void put_lines(struct document *d, json_t *object, const char *key, const char *lines)
{
    struct slice left = slice_of(lines ? lines : "");
    struct slice line;
    if (left.len == 0)
        return;
    json_t *array = json_array();
    while (slice_cut(&left, '\n', &line))
        append(d, array, text_value(line));
    put(d, object, key, array);
}

/* ---- the parts ---- */

int64_t document_begins_at(const struct document_head *head)
{
    return (int64_t)head->day * DAY_SECONDS;
}

int64_t document_ends_at(const struct document_head *head)
{
    return document_begins_at(head) + DAY_SECONDS - 1;
}

const char *document_id(const struct document_head *head, char out[DOCUMENT_ID_SIZE])
{
    char date[DATE_SIZE];
    snprintf(out, DOCUMENT_ID_SIZE, "%.10s.%.255s@%.255s",
             date_rfc3339(document_begins_at(head), date), head->domain, head->hostname);
    return out;
}

struct document *document_new(const struct document_head *head)
{
    char id[DOCUMENT_ID_SIZE];
    char date[DATE_SIZE];
    struct document *d = xalloc(sizeof *d);
    json_t *range = json_object();
    d->domain = xstrdup(head->domain);
    d->root = json_object();
    put_text(d, d->root, "organization-name", head->organization);
    put_text(d, range, "start-datetime", date_rfc3339(document_begins_at(head), date));
    put_text(d, range, "end-datetime", date_rfc3339(document_ends_at(head), date));
    put(d, d->root, "date-range", range);
    put_text(d, d->root, "contact-info", head->contact);
    put_text(d, d->root, "report-id", document_id(head, id));
    d->policies = json_array();
    put(d, d->root, "policies", d->policies);
    return d;
}

void document_free(struct document *d)
{
    if (!d)
        return;
    json_decref(d->root);
    free(d->domain);
    free(d);
}

static void add_policy(struct document *d, const struct queue_tlsrpt_policy *p)
{
    json_t *entry = json_object();
    json_t *policy = json_object();
    json_t *summary = json_object();
    put_text(d, policy, "policy-type", queue_tlsrpt_type_name(p->type));
    put_lines(d, policy, "policy-string", p->strings);
    put_text(d, policy, "policy-domain", d->domain);
    put_lines(d, policy, "mx-host", p->mx_hosts);
    put(d, entry, "policy", policy);
    put_count(d, summary, "total-successful-session-count", p->successes);
    put_count(d, summary, "total-failure-session-count", p->failures);
    put(d, entry, "summary", summary);
    append(d, d->policies, entry);
    d->failures = NULL;
}

static void add_failure(struct document *d, const struct queue_tlsrpt_failure *f)
{
    if (!d->failures) {
        json_t *entry = json_array_get(d->policies, json_array_size(d->policies) - 1);
        d->failures = json_array();
        put(d, entry, "failure-details", d->failures);
    }
    json_t *details = json_object();
    put_text(d, details, "result-type", queue_tlsrpt_cause_name(f->cause));
    put_text_if_any(d, details, "sending-mta-ip", f->sending_address);
    put_text_if_any(d, details, "receiving-mx-hostname", f->mx_host);
    put_text_if_any(d, details, "receiving-mx-helo", f->receiving_helo);
    put_text_if_any(d, details, "receiving-ip", f->receiving_address);
    put_count(d, details, "failed-session-count", f->count);
    put_text_if_any(d, details, "failure-reason-code", f->reason);
    append(d, d->failures, details);
}

bool document_add(void *context, const struct queue_tlsrpt_policy *policy,
                  const struct queue_tlsrpt_failure *failure)
{
    struct document *d = context;
    if (d->is_broken)
        return false;
    if (!failure)
        add_policy(d, policy);
    else if (json_array_size(d->policies) > 0)
        add_failure(d, failure);
    return !d->is_broken;
}

size_t document_policies(const struct document *d)
{
    return json_array_size(d->policies);
}

static int append_octets(const char *octets, size_t count, void *out)
{
    return buffer_append(out, (struct slice){octets, count}) ? 0 : -1;
}

bool document_write(struct document *d, struct buffer *out)
{
    return !d->is_broken && json_dump_callback(d->root, append_octets, out, JSON_COMPACT) == 0;
}

/* ---- gzip ---- */

static bool deflate_into(z_stream *z, struct slice in, struct buffer *out)
{
    size_t bound = deflateBound(z, in.len);
    char *room = buffer_reserve(out, bound);
    if (!room || bound > UINT32_MAX)
        return false;
    /* zlib's members are not const; it does not write there. */
    memcpy(&z->next_in, &in.data, sizeof in.data);
    z->avail_in = (uInt)in.len;
    z->next_out = (Bytef *)room;
    z->avail_out = (uInt)bound;
    if (deflate(z, Z_FINISH) != Z_STREAM_END)
        return false;
    buffer_commit(out, bound - z->avail_out);
    return true;
}

bool document_pack(struct slice in, struct buffer *out)
{
    enum { WINDOW_BITS = 15, GZIP = 16, MEMORY = 8 };
    z_stream z = {0};
    if (in.len > DOCUMENT_MAX ||
        deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, WINDOW_BITS + GZIP, MEMORY,
                     Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    bool is_packed = deflate_into(&z, in, out);
    (void)deflateEnd(&z);
    return is_packed;
}
