#include "mail/reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Feeds all of `bytes` in pieces of `step`; gives the progress of the first reply and where it
 * ended. */
static enum reply_progress feed(struct reply_parser *p, struct slice bytes, size_t step,
                                size_t *taken)
{
    enum reply_progress progress = REPLY_MORE;
    *taken = 0;
    while (*taken < bytes.len && progress == REPLY_MORE) {
        struct slice piece = slice_sub(bytes, *taken, step);
        size_t before = piece.len;
        progress = reply_parser_feed(p, &piece);
        *taken += before - piece.len;
    }
    return progress;
}

static void replies_are_the_same_in_pieces_of_any_size(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        enum reply_progress progress;
        unsigned code, lines;
        const char *text;
        size_t rest;
    } cases[] = {
        {"250 Ok\r\n", REPLY_COMPLETE, 250, 1, "Ok", 0},
        {"250\r\n", REPLY_COMPLETE, 250, 1, "", 0},
        {"250 \r\n", REPLY_COMPLETE, 250, 1, "", 0},
        {"250-a\r\n250-b\r\n250 c\r\n", REPLY_COMPLETE, 250, 3, "a\nb\nc", 0},
        {"250-\r\n250\r\n", REPLY_COMPLETE, 250, 2, "\n", 0},
        {"220 a\r\n221 b\r\n", REPLY_COMPLETE, 220, 1, "a", 7},
        {"599 \xFF\x01\t~\r\n", REPLY_COMPLETE, 599, 1, "\xFF\x01\t~", 0},
        {"250-a\r\n", REPLY_MORE, 250, 1, "a", 0},
        {"250 a\r", REPLY_MORE, 0, 0, "", 0},
        {"199 a\r\n", REPLY_INVALID, 0, 0, NULL, 0},
        {"600 a\r\n", REPLY_INVALID, 0, 0, NULL, 0},
        {"25 a\r\n", REPLY_INVALID, 0, 0, NULL, 0},
        {"2500 a\r\n", REPLY_INVALID, 0, 0, NULL, 0},
        {"+250 a\r\n", REPLY_INVALID, 0, 0, NULL, 0},
        {" 250 a\r\n", REPLY_INVALID, 0, 0, NULL, 0},
        {"250\ta\r\n", REPLY_INVALID, 0, 0, NULL, 0},
        {"250_a\r\n", REPLY_INVALID, 0, 0, NULL, 0},
        {"\r\n", REPLY_INVALID, 0, 0, NULL, 0},
        {"SSH-2.0-x\r\n", REPLY_INVALID, 0, 0, NULL, 0},
        {"250-a\r\n251 b\r\n", REPLY_INVALID, 0, 0, NULL, 0},
        {"250-a\r\nb\r\n", REPLY_INVALID, 0, 0, NULL, 0},
        {"250 a\n", REPLY_INVALID, 0, 0, NULL, 0},
        {"250 a\rb\r\n", REPLY_INVALID, 0, 0, NULL, 0},
        {"250 a\r\r\n", REPLY_INVALID, 0, 0, NULL, 0},
        {"250 a\rb", REPLY_INVALID, 0, 0, NULL, 0},
        {"\n", REPLY_INVALID, 0, 0, NULL, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (size_t step = 1; step < 12; step++) {
            struct reply_parser p;
            size_t taken = 0;
            reply_parser_init(&p);
            struct slice in = slice_of(cases[i].in);
            enum reply_progress progress = feed(&p, in, step, &taken);
            if (progress != cases[i].progress)
                fail_msg("case %zu in steps of %zu gave %d", i, step, (int)progress);
            if (progress != REPLY_INVALID) {
                assert_int_equal(p.reply.code, cases[i].code);
                assert_int_equal(p.reply.lines, cases[i].lines);
                assert_true(slice_equal(buffer_slice(&p.reply.text), slice_of(cases[i].text)));
                assert_int_equal(in.len - taken, cases[i].rest);
            } else {
                assert_non_null(p.error);
                in = SLICE("250 fine\r\n");
                assert_int_equal(reply_parser_feed(&p, &in), REPLY_INVALID);
            }
            reply_parser_free(&p);
        }
    }
}

static void nul_is_no_reply(void **state)
{
    (void)state;
    struct reply_parser p;
    reply_parser_init(&p);
    struct slice in = SLICE("250 a\0b\r\n");
    assert_int_equal(reply_parser_feed(&p, &in), REPLY_INVALID);
    reply_parser_free(&p);
}

static void a_line_has_4096_octets_and_no_more(void **state)
{
    (void)state;
    static char line[5000];
    for (size_t len = 4095; len <= 4097; len++) {
        struct reply_parser p;
        reply_parser_init(&p);
        memset(line, 'x', sizeof line);
        memcpy(line, "250 ", 4);
        memcpy(line + len - 2, "\r\n", 2);
        struct slice in = {line, len};
        assert_int_equal(reply_parser_feed(&p, &in), len <= 4096 ? REPLY_COMPLETE : REPLY_INVALID);
        reply_parser_free(&p);
    }
    /* Without a line end it is over as soon as it is too long. */
    struct reply_parser p;
    reply_parser_init(&p);
    memset(line, '2', sizeof line);
    struct slice in = {line, 4096};
    assert_int_equal(reply_parser_feed(&p, &in), REPLY_MORE);
    in = (struct slice){line, 1};
    assert_int_equal(reply_parser_feed(&p, &in), REPLY_INVALID);
    reply_parser_free(&p);
}

static void a_reply_has_64_kib_and_no_more(void **state)
{
    (void)state;
    struct reply_parser p;
    reply_parser_init(&p);
    /* 8192 lines of 8 octets are 64 KiB. */
    for (unsigned i = 0; i < 8191; i++) {
        struct slice in = SLICE("250-ab\r\n");
        assert_int_equal(reply_parser_feed(&p, &in), REPLY_MORE);
    }
    struct slice in = SLICE("250 ab\r\n250 next\r\n");
    assert_int_equal(reply_parser_feed(&p, &in), REPLY_COMPLETE);
    assert_int_equal(p.reply.lines, 8192);
    assert_int_equal(reply_parser_feed(&p, &in), REPLY_COMPLETE);
    assert_int_equal(p.reply.lines, 1);
    for (unsigned i = 0; i < 8192; i++) {
        in = SLICE("250-ab\r\n");
        assert_int_equal(reply_parser_feed(&p, &in), REPLY_MORE);
    }
    in = SLICE("250 \r\n");
    assert_int_equal(reply_parser_feed(&p, &in), REPLY_INVALID);
    reply_parser_free(&p);
}

static void replies_in_one_packet_come_one_by_one(void **state)
{
    (void)state;
    struct reply_parser p;
    reply_parser_init(&p);
    struct slice in = SLICE("250 2.1.0 sender\r\n550-5.1.1 no\r\n550 5.1.1 really\r\n354 go");
    assert_int_equal(reply_parser_feed(&p, &in), REPLY_COMPLETE);
    assert_true(status_equal(reply_status(&p.reply), status_make(2, 1, 0)));
    assert_int_equal(reply_parser_feed(&p, &in), REPLY_COMPLETE);
    assert_int_equal(p.reply.code, 550);
    assert_true(slice_equal(reply_line(&p.reply, 0), SLICE("5.1.1 no")));
    assert_true(slice_equal(reply_line(&p.reply, 1), SLICE("5.1.1 really")));
    assert_int_equal(reply_line(&p.reply, 2).len, 0);
    assert_int_equal(reply_line(&p.reply, 99).len, 0);
    assert_int_equal(reply_parser_feed(&p, &in), REPLY_MORE);
    assert_int_equal(in.len, 0);
    in = SLICE(" ahead\r\n");
    assert_int_equal(reply_parser_feed(&p, &in), REPLY_COMPLETE);
    assert_int_equal(p.reply.code, 354);
    reply_parser_free(&p);
}

static void read_one(struct reply_parser *p, const char *text)
{
    reply_parser_init(p);
    struct slice in = slice_of(text);
    assert_int_equal(reply_parser_feed(p, &in), REPLY_COMPLETE);
}

static void an_enhanced_code_must_fit_the_reply(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        unsigned class;
    } cases[] = {
        {"550 5.7.1 no\r\n", 5}, {"550 5.7.1\r\n", 5},    {"550 4.7.1 no\r\n", 0},
        {"550 no 5.7.1\r\n", 0}, {"550 5.7.1x\r\n", 0},   {"550-5.7.1\r\n550 x\r\n", 5},
        {"550 \r\n", 0},         {"354 2.0.0 go\r\n", 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct reply_parser p;
        read_one(&p, cases[i].in);
        assert_int_equal(reply_status(&p.reply).class, cases[i].class);
        reply_parser_free(&p);
    }
}

static void ehlo_offers_are_read_line_by_line(void **state)
{
    (void)state;
    struct reply_parser p;
    struct ehlo_facts f;
    read_one(&p, "250-mx.example STARTTLS\r\n250-PIPELINING\r\n250-SIZE "
                 "35882577\r\n250-starttls\r\n250-AUTH=LOGIN\r\n"
                 "250-\r\n250-X\x01Y\r\n250-8BITMIME x\r\n250 DSN\r\n");
    ehlo_read(&p.reply, &f);
    assert_true(f.pipelining && f.size && f.starttls && f.eightbitmime && f.dsn);
    assert_false(f.smtputf8 || f.requiretls || f.chunking || f.enhancedstatuscodes);
    assert_true(f.size_limit == 35882577);
    assert_string_equal(f.keywords, "PIPELINING SIZE starttls 8BITMIME DSN");
    reply_parser_free(&p);

    read_one(&p, "250-\r\n250-SMTPUTF8\r\n250-REQUIRETLS\r\n250-CHUNKING\r\n250-SIZE x\r\n250 "
                 "ENHANCEDSTATUSCODES\r\n");
    ehlo_read(&p.reply, &f);
    assert_true(f.smtputf8 && f.requiretls && f.chunking && f.enhancedstatuscodes && f.size &&
                f.size_limit == 0);
    reply_parser_free(&p);
}

static void the_first_line_and_other_codes_offer_nothing(void **state)
{
    (void)state;
    static const char *const cases[] = {"250 STARTTLS\r\n", "250 mx STARTTLS\r\n",
                                        "550-x\r\n550 STARTTLS\r\n", "250-x\r\n250 STARTTLSX\r\n",
                                        "250-x\r\n250 X STARTTLS\r\n"};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct reply_parser p;
        struct ehlo_facts f;
        read_one(&p, cases[i]);
        ehlo_read(&p.reply, &f);
        assert_false(f.starttls);
        reply_parser_free(&p);
    }
}

static void many_keywords_are_cut_between_words(void **state)
{
    (void)state;
    char text[4000] = "250-x\r\n";
    for (unsigned i = 0; i < 100; i++) {
        size_t len = strlen(text);
        snprintf(text + len, sizeof text - len, "250%cKEYWORD%02u\r\n", i < 99 ? '-' : ' ', i);
    }
    struct reply_parser p;
    struct ehlo_facts f;
    read_one(&p, text);
    ehlo_read(&p.reply, &f);
    assert_int_equal(strlen(f.keywords), 25 * 10 - 1);
    assert_string_equal(f.keywords + 240, "KEYWORD24");
    reply_parser_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_are_the_same_in_pieces_of_any_size),
        cmocka_unit_test(nul_is_no_reply),
        cmocka_unit_test(a_line_has_4096_octets_and_no_more),
        cmocka_unit_test(a_reply_has_64_kib_and_no_more),
        cmocka_unit_test(replies_in_one_packet_come_one_by_one),
        cmocka_unit_test(an_enhanced_code_must_fit_the_reply),
        cmocka_unit_test(ehlo_offers_are_read_line_by_line),
        cmocka_unit_test(the_first_line_and_other_codes_offer_nothing),
        cmocka_unit_test(many_keywords_are_cut_between_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
