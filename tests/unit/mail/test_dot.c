#include "mail/dot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Reads `wire` in pieces of `step` into a buffer that holds `room` octets at a time; true at the
 * end of data. */
static bool read_all(struct dot_reader *r, struct slice wire, size_t step, size_t room,
                     struct buffer *content, size_t *rest)
{
    struct buffer out;
    bool is_end = false;
    size_t at = 0;
    buffer_init(&out, room);
    dot_reader_init(r);
    while (!is_end && at < wire.len) {
        struct slice piece = slice_sub(wire, at, step);
        size_t before = piece.len;
        is_end = dot_reader_feed(r, &piece, &out);
        assert_true(is_end || piece.len < before);
        at += before - piece.len;
        assert_true(buffer_append(content, buffer_slice(&out)));
        buffer_clear(&out);
    }
    buffer_free(&out);
    *rest = wire.len - at;
    return is_end;
}

struct read_case {
    struct slice wire;
    struct slice content;
    bool is_end, bare, nul, eight;
    size_t longest;
    size_t rest;
};
#define BYTES(text)                                                                                \
    {                                                                                              \
        "" text, sizeof(text) - 1                                                                  \
    }

static const struct read_case read_cases[] = {
    {BYTES(".\r\n"), BYTES(""), true, false, false, false, 0, 0},
    {BYTES("a\r\n.\r\nQUIT\r\n"), BYTES("a\r\n"), true, false, false, false, 1, 6},
    {BYTES("..a\r\n...\r\n.\r\n"), BYTES(".a\r\n..\r\n"), true, false, false, false, 2, 0},
    {BYTES(".a\r\n.\r\n"), BYTES("a\r\n"), true, false, false, false, 1, 0},
    {BYTES("\r\n\r\nabc\r\nab\r\n.\r\n"), BYTES("\r\n\r\nabc\r\nab\r\n"), true, false, false, false,
     3, 0},
    {BYTES("a.\r\n.\r\n"), BYTES("a.\r\n"), true, false, false, false, 2, 0},
    /* None of the endings that smuggling is made of. */
    {BYTES("a\n.\n"), BYTES("a\n.\n"), false, true, false, false, 0, 0},
    {BYTES("a\n.\r\n.\r\n"), BYTES("a\n.\r\n"), true, true, false, false, 3, 0},
    {BYTES("a\r.\r\n.\r\n"), BYTES("a\r.\r\n"), true, true, false, false, 3, 0},
    {BYTES("a\r\n.\n.\r\n"), BYTES("a\r\n\n.\r\n"), false, true, false, false, 2, 0},
    {BYTES("a\r\n.\r.\r\n.\r\n"), BYTES("a\r\n\r.\r\n"), true, true, false, false, 2, 0},
    {BYTES("a\r\n.\r\r\n.\r\n"), BYTES("a\r\n\r\r\n"), true, true, false, false, 1, 0},
    {BYTES(".\r"), BYTES(""), false, false, false, false, 0, 0},
    {BYTES("\n.\r\n\r\n.\r\n"), BYTES("\n.\r\n\r\n"), true, true, false, false, 2, 0},
    {BYTES("\r\n.\r\n"), BYTES("\r\n"), true, false, false, false, 0, 0},
    {BYTES("\r\r\n.\r\n"), BYTES("\r\r\n"), true, true, false, false, 1, 0},
    {BYTES("a\r\n\0.\r\n.\r\n"), BYTES("a\r\n\0.\r\n"), true, false, true, false, 2, 0},
    {BYTES("a\r\n.\0\r\n.\r\n"), BYTES("a\r\n\0\r\n"), true, false, true, false, 1, 0},
    {BYTES("gr\xC3\xBC\r\n.\r\n"), BYTES("gr\xC3\xBC\r\n"), true, false, false, true, 4, 0},
    {BYTES("a\r\n.\r\n\0\xFF\n"), BYTES("a\r\n"), true, false, false, false, 1, 3},
};

static void data_is_read_the_same_in_pieces_of_any_size(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(read_cases); i++) {
        const struct read_case *c = &read_cases[i];
        for (size_t step = 1; step < 20; step++) {
            for (size_t room = 2; room < 20; room++) {
                struct buffer content;
                struct dot_reader r;
                size_t rest = 0;
                buffer_init(&content, 1000);
                bool is_end = read_all(&r, c->wire, step, room, &content, &rest);
                if (is_end != c->is_end || !slice_equal(buffer_slice(&content), c->content) ||
                    rest != c->rest)
                    fail_msg("case %zu, step %zu, room %zu: end %d, rest %zu, %zu octets", i, step,
                             room, is_end, rest, content.len);
                assert_int_equal(r.has_bare_cr_lf, c->bare);
                assert_int_equal(r.has_nul, c->nul);
                assert_int_equal(r.has_8bit, c->eight);
                assert_int_equal(r.longest_line, c->longest);
                assert_int_equal(r.size, c->content.len);
                buffer_free(&content);
            }
        }
    }
}

static void eight_bit_is_seen_at_any_place(void **state)
{
    (void)state;
    for (size_t at = 0; at < 40; at++) {
        char wire[] = "0123456789012345678901234567890123456789\r\n.\r\n";
        struct buffer content;
        struct dot_reader r;
        size_t rest = 0;
        wire[at] = (char)0x80;
        buffer_init(&content, 1000);
        assert_true(read_all(&r, slice_of(wire), 100, 100, &content, &rest));
        assert_true(r.has_8bit);
        buffer_free(&content);
    }
}

static void write_all(struct slice content, size_t step, struct buffer *wire)
{
    struct dot_writer w;
    dot_writer_init(&w);
    for (size_t at = 0; at < content.len; at += step)
        assert_true(dot_writer_feed(&w, slice_sub(content, at, step), wire));
    assert_true(dot_writer_end(&w, wire));
}

static void content_is_stuffed_the_same_in_pieces_of_any_size(void **state)
{
    (void)state;
    static const struct {
        struct slice content, wire;
    } cases[] = {
        {BYTES(""), BYTES(".\r\n")},
        {BYTES("a"), BYTES("a\r\n.\r\n")},
        {BYTES("a\r\n"), BYTES("a\r\n.\r\n")},
        {BYTES(".\r\n"), BYTES("..\r\n.\r\n")},
        {BYTES("..a\r\n.b.\r\nc.d\r\n"), BYTES("...a\r\n..b.\r\nc.d\r\n.\r\n")},
        {BYTES("a\r\n\r\n.\r\n"), BYTES("a\r\n\r\n..\r\n.\r\n")},
        {BYTES("a\r"), BYTES("a\r\r\n.\r\n")},
        {BYTES("a\n.b\r.c\r\n.d"), BYTES("a\n.b\r.c\r\n..d\r\n.\r\n")},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (size_t step = 1; step < 20; step++) {
            struct buffer wire;
            buffer_init(&wire, 1000);
            write_all(cases[i].content, step, &wire);
            if (!slice_equal(buffer_slice(&wire), cases[i].wire))
                fail_msg("case %zu, step %zu: %.*s", i, step, SLICE_ARG(buffer_slice(&wire)));
            buffer_free(&wire);
        }
    }
}

static void at_the_ceiling_nothing_is_taken(void **state)
{
    (void)state;
    for (size_t ceiling = 0; ceiling < 12; ceiling++) {
        struct buffer wire;
        struct dot_writer w;
        buffer_init(&wire, ceiling);
        dot_writer_init(&w);
        bool is_done = dot_writer_feed(&w, SLICE(".a\r\n.b\r\n"), &wire);
        assert_int_equal(is_done, ceiling >= 10);
        assert_int_equal(wire.len, is_done ? 10 : 0);
        buffer_clear(&wire);
        if (!is_done)
            buffer_free(&wire);
        wire.ceiling = 100;
        if (!is_done)
            assert_true(dot_writer_feed(&w, SLICE(".a\r\n.b\r\n"), &wire) && wire.len == 10);
        buffer_free(&wire);
    }
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    static const char octets[] = ".\r\n.\r\nax";
    srandom(1);
    for (unsigned round = 0; round < 3000; round++) {
        char content[40];
        size_t len = (size_t)random() % 38, rest = 0;
        for (size_t i = 0; i < len; i++)
            content[i] = octets[(size_t)random() % (sizeof octets - 1)];
        if (len < 2 || content[len - 2] != '\r' || content[len - 1] != '\n') {
            content[len++] = '\r';
            content[len++] = '\n';
        }
        struct buffer wire, back;
        struct dot_reader r;
        buffer_init(&wire, 1000);
        buffer_init(&back, 1000);
        write_all((struct slice){content, len}, 1 + (size_t)random() % 40, &wire);
        assert_true(read_all(&r, buffer_slice(&wire), 1 + (size_t)random() % 40, 40, &back, &rest));
        assert_true(slice_equal(buffer_slice(&back), (struct slice){content, len}));
        assert_int_equal(rest, 0);
        buffer_free(&wire);
        buffer_free(&back);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_is_read_the_same_in_pieces_of_any_size),
        cmocka_unit_test(eight_bit_is_seen_at_any_place),
        cmocka_unit_test(content_is_stuffed_the_same_in_pieces_of_any_size),
        cmocka_unit_test(at_the_ceiling_nothing_is_taken),
        cmocka_unit_test(what_is_written_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
