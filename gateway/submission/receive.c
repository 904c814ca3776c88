#include "gateway/submission/receive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mail/dot.h"

#define PIECE_MAX ((size_t)32 * 1024)
/* What the fix-ups add: Received, Date, Message-ID, with the longest names they can hold. */
#define FIXUP_MAX ((size_t)4096)

struct receive {
    struct receive_options options;
    struct dot_reader dot;
    struct buffer held; /* owned: the header section until its end, then pieces of the body */
    size_t searched;    /* octets of `held` in which the header section does not end */
    bool is_in_body;
    uint64_t stored;
    struct command_error refusal; /* the first one found; code 0: none */
    struct header_facts facts;
};

struct receive *receive_new(const struct receive_options *o)
{
    struct receive *r = xalloc(sizeof *r);
    r->options = *o;
    dot_reader_init(&r->dot);
    /* The empty line behind the section and a piece of the body come along before we see the end.
     */
    buffer_init(&r->held, RECEIVE_HEADER_MAX + 4);
    return r;
}

void receive_free(struct receive *r)
{
    if (!r)
        return;
    buffer_free(&r->held);
    free(r);
}

static void refuse(struct receive *r, struct command_error why)
{
    if (r->refusal.code == 0)
        r->refusal = why;
    buffer_free(&r->held);
    r->held.ceiling = PIECE_MAX;
    r->is_in_body = true;
}

static struct command_error store_error(int error)
{
    if (error == -ENOSPC || error == -ENOMEM)
        return (struct command_error){452, status_make(4, 3, 1), "Insufficient system storage"};
    return (struct command_error){451, status_make(4, 3, 0), "The queue is not available"};
}

void receive_store_failed(struct receive *r, int error)
{
    refuse(r, store_error(error));
}

static void store(struct receive *r, struct slice content)
{
    if (r->refusal.code != 0 || content.len == 0)
        return;
    int error = r->options.append(r->options.context, content);
    if (error != 0)
        refuse(r, store_error(error));
    else
        r->stored += content.len;
}

/* Octets up to and with the CRLF before the empty line; false: the section has not ended yet. An
 * empty section ends at once. */
static bool section_end(struct receive *r, size_t *len)
{
    const struct buffer *b = &r->held;
    *len = 0;
    if (b->len >= 2 && memcmp(b->data, "\r\n", 2) == 0)
        return true;
    size_t from = r->searched > 3 ? r->searched - 3 : 0;
    const char *found = b->len > from ? memmem(b->data + from, b->len - from, "\r\n\r\n", 4) : NULL;
    r->searched = b->len;
    if (!found)
        return false;
    *len = (size_t)(found - b->data) + 2;
    return true;
}

static void header_complete(struct receive *r, size_t section_len)
{
    const struct receive_options *o = &r->options;
    struct slice section = {r->held.data, section_len};
    struct slice rest = {r->held.data + section_len, r->held.len - section_len};
    header_scan(section, &r->facts);
    struct command_error why =
        fixup_check(&r->facts, o->max_received, o->fixup.is_relay, o->owns, o->context);
    if (why.code != 0) {
        refuse(r, why);
        return;
    }
    struct buffer fixed;
    buffer_init(&fixed, RECEIVE_HEADER_MAX + FIXUP_MAX);
    if (fixup_apply(&o->fixup, section, &r->facts, &fixed)) {
        store(r, buffer_slice(&fixed));
        store(r, rest);
    } else {
        refuse(r, store_error(-ENOMEM));
    }
    buffer_free(&fixed);
    buffer_free(&r->held);
    r->held.ceiling = PIECE_MAX;
    r->is_in_body = true;
}

static void look_at_header(struct receive *r, bool is_end)
{
    size_t len;
    if (section_end(r, &len))
        header_complete(r, len);
    else if (is_end)
        header_complete(r, r->held.len); /* no body at all */
    else if (buffer_room(&r->held) <= 1) /* dot_reader_feed() wants one octet to spare */
        refuse(r, (struct command_error){552, status_make(5, 3, 4),
                                         "The header section is too large"});
}

static void check_size(struct receive *r)
{
    uint64_t max = r->options.message_size;
    if (max > 0 && r->dot.size > max)
        refuse(r, (struct command_error){552, status_make(5, 3, 4),
                                         "Message size exceeds the fixed limit"});
}

bool receive_feed(struct receive *r, struct slice *in)
{
    bool is_end = false;
    while (!is_end && in->len > 0) {
        size_t before = in->len;
        is_end = dot_reader_feed(&r->dot, in, &r->held);
        check_size(r);
        if (!r->is_in_body) {
            look_at_header(r, is_end);
        } else {
            store(r, buffer_slice(&r->held));
            buffer_clear(&r->held);
        }
        if (is_end || in->len != before)
            continue;
        /* Room and input, and nothing moves: memory is out. Without the header section there may
         * be enough to read on to the end. */
        if (r->held.ceiling == PIECE_MAX)
            panic("receive: out of memory");
        refuse(r, store_error(-ENOMEM));
    }
    return is_end;
}

struct command_error receive_verdict(const struct receive *r)
{
    /* How the lines ended comes first: such a message may not even be one. */
    if (r->dot.has_bare_cr_lf)
        return (struct command_error){550, status_make(5, 5, 2),
                                      "Message data holds a bare CR or LF; lines end in CRLF"};
    if (r->dot.has_nul)
        return (struct command_error){550, status_make(5, 6, 0), "Message data holds a NUL"};
    return r->refusal;
}

const struct header_facts *receive_header(const struct receive *r)
{
    return &r->facts;
}

uint64_t receive_size(const struct receive *r)
{
    return r->stored;
}

bool receive_has_8bit(const struct receive *r)
{
    return r->dot.has_8bit;
}
