/* Bytes from a server: the same replies whatever the pieces, and none with a stray octet. The first
 * byte chooses the size of the pieces. */
#include <string.h>

#include "mail/outcome.h"
#include "mail/reply.h"
#include "tests/fuzz/fuzz.h"

static void check_reply(const struct reply *r)
{
    struct ehlo_facts facts;
    struct slice text = buffer_slice(&r->text);
    HOLDS(r->code >= 200 && r->code <= 599 && r->lines > 0);
    HOLDS(slice_find(text, '\0') < 0 && slice_find(text, '\r') < 0);
    unsigned lines = 1;
    for (size_t i = 0; i < text.len; i++)
        lines += text.data[i] == '\n';
    HOLDS(lines == r->lines && reply_line(r, r->lines).len == 0);
    ehlo_read(r, &facts);
    HOLDS(fuzz_is_printable(facts.keywords) && (!facts.starttls || r->lines > 1));
    struct outcome o = outcome_reply(r->code, text);
    HOLDS(o.text[0] != '\0' && !strpbrk(o.text, "\r\n") && o.status.class != 0);
    struct status status = reply_status(r);
    HOLDS(status.class == 0 || status_equal(status, o.status));
}

/* Sums up all replies in the input as one number; *valid is false when it ended in none. */
static uint64_t read_all(struct slice in, size_t step, bool *is_valid)
{
    struct reply_parser p;
    uint64_t sum = 0;
    enum reply_progress progress = REPLY_MORE;
    reply_parser_init(&p);
    while (in.len > 0 && progress != REPLY_INVALID) {
        struct slice piece = slice_sub(in, 0, step);
        size_t before = piece.len;
        progress = reply_parser_feed(&p, &piece);
        HOLDS(progress != REPLY_MORE || piece.len == 0);
        in = slice_sub(in, before - piece.len, in.len);
        if (progress != REPLY_COMPLETE)
            continue;
        check_reply(&p.reply);
        sum = sum * 31 + p.reply.code;
        for (size_t i = 0; i < p.reply.text.len; i++)
            sum = sum * 31 + (uint8_t)p.reply.text.data[i];
    }
    HOLDS((progress == REPLY_INVALID) == (p.error != NULL));
    *is_valid = progress != REPLY_INVALID;
    reply_parser_free(&p);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = fuzz_input(data, size);
    bool is_valid = false, is_valid_whole = false;
    size_t step = 1 + fuzz_choice(&in);
    uint64_t sum = read_all(in, step, &is_valid);
    uint64_t whole = read_all(in, in.len + 1, &is_valid_whole);
    HOLDS(is_valid == is_valid_whole && sum == whole);
    return 0;
}
