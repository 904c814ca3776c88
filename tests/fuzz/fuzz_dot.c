/* Message data: what dot_writer writes dot_reader reads back, whatever the pieces; and raw bytes
 * off the wire are read the same in any pieces. The first two bytes choose the pieces. */
#include <string.h>

#include "mail/dot.h"
#include "tests/fuzz/fuzz.h"

#define CEILING (1u << 22)

/* Reads from *wire in pieces of `step` through a buffer that takes `room` octets; true at the end
 * of data. */
static bool read_pieces(struct dot_reader *r, struct slice *wire, size_t step, size_t room,
                        struct buffer *content)
{
    struct buffer out;
    bool is_end = false;
    buffer_init(&out, room);
    dot_reader_init(r);
    while (!is_end && wire->len > 0) {
        struct slice piece = slice_sub(*wire, 0, step);
        size_t before = piece.len;
        is_end = dot_reader_feed(r, &piece, &out);
        HOLDS(is_end || piece.len < before);
        *wire = slice_sub(*wire, before - piece.len, wire->len);
        HOLDS(buffer_append(content, buffer_slice(&out)));
        buffer_clear(&out);
    }
    HOLDS(r->size == content->len);
    buffer_free(&out);
    return is_end;
}

static void write_pieces(struct slice content, size_t step, struct buffer *wire)
{
    struct dot_writer w;
    dot_writer_init(&w);
    while (content.len > 0) {
        struct slice piece = slice_sub(content, 0, step);
        size_t before = wire->len;
        HOLDS(dot_writer_feed(&w, piece, wire));
        HOLDS(wire->len - before <= 2 * piece.len);
        content = slice_sub(content, piece.len, content.len);
    }
    HOLDS(dot_writer_end(&w, wire));
}

static bool ends_in_crlf(struct slice s)
{
    return s.len >= 2 && s.data[s.len - 2] == '\r' && s.data[s.len - 1] == '\n';
}

static void check_round_trip(struct slice content, size_t step, size_t room)
{
    struct buffer wire, back;
    struct dot_reader r;
    buffer_init(&wire, CEILING);
    buffer_init(&back, CEILING);
    write_pieces(content, step, &wire);
    struct slice rest = buffer_slice(&wire);
    HOLDS(read_pieces(&r, &rest, room, step + 1, &back) && rest.len == 0);
    struct slice got = buffer_slice(&back);
    if (content.len > 0 && !ends_in_crlf(content)) {
        HOLDS(ends_in_crlf(got));
        got.len -= 2;
    }
    HOLDS(slice_equal(got, content));
    HOLDS(r.has_nul == (slice_find(content, '\0') >= 0));
    HOLDS(r.has_8bit == slice_has_8bit(content));
    buffer_free(&wire);
    buffer_free(&back);
}

static void check_pieces(struct slice wire, size_t step, size_t room)
{
    struct buffer a, b;
    struct dot_reader ra, rb;
    struct slice rest_a = wire, rest_b = wire;
    buffer_init(&a, CEILING);
    buffer_init(&b, CEILING);
    bool end_a = read_pieces(&ra, &rest_a, wire.len + 1, wire.len + 2, &a);
    bool end_b = read_pieces(&rb, &rest_b, step, room + 1, &b);
    HOLDS(end_a == end_b && rest_a.len == rest_b.len);
    HOLDS(slice_equal(buffer_slice(&a), buffer_slice(&b)));
    HOLDS(ra.has_bare_cr_lf == rb.has_bare_cr_lf && ra.has_nul == rb.has_nul);
    HOLDS(ra.has_8bit == rb.has_8bit && ra.longest_line == rb.longest_line);
    /* Nothing but CRLF.CRLF (or .CRLF at the very front) may have ended it. */
    size_t taken = wire.len - rest_a.len;
    HOLDS(!end_a || taken == 3 || memcmp(wire.data + taken - 5, "\r\n.\r\n", 5) == 0);
    buffer_free(&a);
    buffer_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = fuzz_input(data, size);
    if (size > CEILING / 4)
        return 0;
    size_t step = 1 + fuzz_choice(&in), room = 1 + fuzz_choice(&in);
    check_round_trip(in, step, room);
    check_pieces(in, step, room);
    return 0;
}
