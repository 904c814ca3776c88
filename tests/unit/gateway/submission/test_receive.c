#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/submission/receive.h"

struct store {
    struct buffer content;
    int error;
    uint64_t full_at;
};

static int append(void *context, struct slice content)
{
    struct store *s = context;
    if (s->error != 0 && s->content.len + content.len > s->full_at)
        return s->error;
    assert_true(buffer_append(&s->content, content));
    return 0;
}

static bool owns(void *context, const struct address *a)
{
    (void)context;
    return strcmp(a->text, "alice@example.org") == 0;
}

#define HEADER "From: alice@example.org\r\nDate: now\r\nMessage-ID: <a@b>\r\n"
#define RECEIVED                                                                                   \
    "Received: from localhost (authenticated)\r\n by mail.example.org with ESMTPSA (TLSv1.3 "      \
    "C)\r\n id 3FGX;\r\n Sun, 22 Nov 2026 15:28:50 +0000\r\n"

static struct receive_options options(struct store *s)
{
    buffer_init(&s->content, 64 * 1024 * 1024);
    return (struct receive_options){.fixup = {.hostname = "mail.example.org",
                                              .id = "3FGX",
                                              .at = 1795361330,
                                              .tls_protocol = "TLSv1.3",
                                              .tls_cipher = "C"},
                                    .message_size = 1000000,
                                    .max_received = 50,
                                    .append = append,
                                    .owns = owns,
                                    .context = s};
}

/* Feeds in steps; returns what is left behind the end. */
static size_t feed(struct receive *r, struct slice data, size_t step)
{
    for (size_t at = 0; at < data.len;) {
        struct slice in = slice_sub(data, at, step);
        size_t given = in.len;
        bool is_end = receive_feed(r, &in);
        at += given - in.len;
        if (is_end)
            return data.len - at;
        assert_int_equal(in.len, 0);
    }
    fail_msg("the data did not end");
    return 0;
}

static void data_is_unstuffed_fixed_up_and_stored(void **state)
{
    (void)state;
    static const struct {
        const char *data, *want;
    } cases[] = {
        {HEADER "\r\nHello\r\n.\r\n", RECEIVED HEADER "\r\nHello\r\n"},
        {HEADER "\r\n..dot\r\n.\r\n", RECEIVED HEADER "\r\n.dot\r\n"},
        {HEADER "\r\n\r\n\r\n.\r\n", RECEIVED HEADER "\r\n\r\n\r\n"},
        {HEADER "\r\n.\r\n", RECEIVED HEADER "\r\n"},
        {HEADER ".\r\n", RECEIVED HEADER},
        {HEADER "\r\nHello\r\n.\r\nQUIT\r\n", RECEIVED HEADER "\r\nHello\r\n"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct slice data = slice_of(cases[i].data);
        for (size_t step = 1; step <= data.len; step++) {
            struct store s = {.error = 0};
            struct receive_options o = options(&s);
            struct receive *r = receive_new(&o);
            size_t behind = feed(r, data, step);
            if (step == data.len)
                assert_int_equal(behind, i == 5 ? 6 : 0);
            assert_int_equal(receive_verdict(r).code, 0);
            assert_string_equal(buffer_text(&s.content), cases[i].want);
            assert_int_equal(receive_size(r), strlen(cases[i].want));
            assert_int_equal(receive_header(r)->from.fields, 1);
            receive_free(r);
            buffer_free(&s.content);
        }
    }
}

/* A literal with its NULs, fit for a static table. */
#define DATA(literal)                                                                              \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }

static void what_is_refused_is_read_to_its_end(void **state)
{
    (void)state;
    static const struct {
        struct slice data;
        unsigned code, subject, detail;
    } cases[] = {
        {DATA(HEADER "\r\nbare\nlf\r\n.\r\n"), 550, 5, 2},
        {DATA(HEADER "\r\nbare\rcr\r\n.\r\n"), 550, 5, 2},
        {DATA(HEADER "\r\nx\n.\nMAIL\r\n.\r\n"), 550, 5, 2},
        {DATA(HEADER "\r\nx\n.\r\nMAIL\r\n.\r\n"), 550, 5, 2},
        {DATA(HEADER "\r\nx\r.\r\nMAIL\r\n.\r\n"), 550, 5, 2},
        {DATA("bare\n\n" HEADER "\r\nx\r\n.\r\n"), 550, 5, 2},
        {DATA(HEADER "\r\nnul\0nul\r\n.\r\n"), 550, 6, 0},
        {DATA("From: eve@example.org\r\n\r\nx\r\n.\r\n"), 550, 7, 1},
        {DATA("\r\nno header\r\n.\r\n"), 550, 7, 1},
        {DATA("no header\r\n.\r\n"), 554, 6, 0},
        {DATA(".\r\n"), 550, 7, 1},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (size_t step = 1; step <= cases[i].data.len; step++) {
            struct store s = {.error = 0};
            struct receive_options o = options(&s);
            struct receive *r = receive_new(&o);
            assert_int_equal(feed(r, cases[i].data, step), 0);
            struct command_error got = receive_verdict(r);
            assert_int_equal(got.code, cases[i].code);
            assert_int_equal(got.status.subject, cases[i].subject);
            assert_int_equal(got.status.detail, cases[i].detail);
            receive_free(r);
            buffer_free(&s.content);
        }
    }
}

/* A message of `size` octets in lines, its header section `header_size` of them. */
static struct slice big(size_t header_size, size_t size)
{
    struct buffer b;
    buffer_init(&b, 16 * 1024 * 1024);
    assert_true(buffer_append_text(&b, HEADER));
    while (b.len < header_size)
        assert_true(buffer_append_text(&b, "X-Filler: 0123456789 0123456789 0123456789\r\n"));
    assert_true(buffer_append_text(&b, "\r\n"));
    while (b.len < size)
        assert_true(buffer_append_text(&b, "0123456789 0123456789 0123456789 0123456789\r\n"));
    assert_true(buffer_append_text(&b, ".\r\n"));
    return buffer_slice(&b);
}

static struct command_error verdict_of(struct receive_options *o, struct slice data, size_t step)
{
    struct receive *r = receive_new(o);
    assert_int_equal(feed(r, data, step), 0);
    struct command_error got = receive_verdict(r);
    receive_free(r);
    return got;
}

static void a_large_message_passes_whole_and_a_larger_one_is_552(void **state)
{
    (void)state;
    struct slice data = big(0, 900000);
    struct store s = {.error = 0};
    struct receive_options o = options(&s);
    assert_int_equal(verdict_of(&o, data, 65536).code, 0);
    assert_int_equal(s.content.len, strlen(RECEIVED) + data.len - 3);
    assert_memory_equal(s.content.data + strlen(RECEIVED), data.data, data.len - 3);
    buffer_free(&s.content);
    o.message_size = data.len - 3;
    assert_int_equal(verdict_of(&o, data, 1000).code, 0);
    o.message_size = data.len - 4;
    buffer_free(&s.content);
    struct command_error got = verdict_of(&o, data, 1000);
    assert_int_equal(got.code, 552);
    assert_int_equal(got.status.detail, 4);
    o.message_size = 0;
    assert_int_equal(verdict_of(&o, data, 1000).code, 0);
    buffer_free(&s.content);
    free((void *)(uintptr_t)data.data);
}

static void a_header_section_over_its_limit_is_552(void **state)
{
    (void)state;
    struct store s = {.error = 0};
    struct receive_options o = options(&s);
    struct slice fits = big(RECEIVE_HEADER_MAX - 100, RECEIVE_HEADER_MAX + 50000);
    struct slice exceeds = big(RECEIVE_HEADER_MAX + 10, RECEIVE_HEADER_MAX + 50000);
    assert_int_equal(verdict_of(&o, fits, 65536).code, 0);
    assert_int_equal(verdict_of(&o, exceeds, 65536).code, 552);
    assert_int_equal(verdict_of(&o, exceeds, 7777).code, 552);
    buffer_free(&s.content);
    free((void *)(uintptr_t)fits.data);
    free((void *)(uintptr_t)exceeds.data);
}

static void a_full_store_is_452_and_a_broken_one_451(void **state)
{
    (void)state;
    static const struct {
        int error;
        uint64_t full_at;
        unsigned code, detail;
    } cases[] = {{-ENOSPC, 0, 452, 1},
                 {-ENOSPC, 100000, 452, 1},
                 {-EIO, 0, 451, 0},
                 {-EIO, 5000, 451, 0},
                 {-ENOMEM, 70000, 452, 1}};
    struct slice data = big(0, 200000);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct store s = {.error = cases[i].error, .full_at = cases[i].full_at};
        struct receive_options o = options(&s);
        struct command_error got = verdict_of(&o, data, 4096);
        assert_int_equal(got.code, cases[i].code);
        assert_int_equal(got.status.class, 4);
        assert_int_equal(got.status.detail, cases[i].detail);
        buffer_free(&s.content);
    }
    free((void *)(uintptr_t)data.data);
}

static void a_store_that_fails_between_two_pieces_is_told(void **state)
{
    (void)state;
    struct store s = {.error = 0};
    struct receive_options o = options(&s);
    struct receive *r = receive_new(&o);
    struct slice in = SLICE(HEADER "\r\nbegin\r\n");
    assert_false(receive_feed(r, &in));
    size_t stored = s.content.len;
    receive_store_failed(r, -ENOSPC);
    assert_int_equal(feed(r, SLICE("more\r\n.\r\n"), 3), 0);
    assert_int_equal(receive_verdict(r).code, 452);
    assert_int_equal(s.content.len, stored);
    receive_free(r);
    buffer_free(&s.content);
}

static void eight_bit_is_decided_by_content(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        bool want;
    } cases[] = {{HEADER "\r\nplain\r\n.\r\n", false},
                 {HEADER "\r\nno\xc3\xabl\r\n.\r\n", true},
                 {HEADER "X: \xc3\xab\r\n\r\nplain\r\n.\r\n", true}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct store s = {.error = 0};
        struct receive_options o = options(&s);
        struct receive *r = receive_new(&o);
        assert_int_equal(feed(r, slice_of(cases[i].data), 5), 0);
        assert_int_equal(receive_has_8bit(r), cases[i].want);
        receive_free(r);
        buffer_free(&s.content);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_is_unstuffed_fixed_up_and_stored),
        cmocka_unit_test(what_is_refused_is_read_to_its_end),
        cmocka_unit_test(a_large_message_passes_whole_and_a_larger_one_is_552),
        cmocka_unit_test(a_header_section_over_its_limit_is_552),
        cmocka_unit_test(a_full_store_is_452_and_a_broken_one_451),
        cmocka_unit_test(a_store_that_fails_between_two_pieces_is_told),
        cmocka_unit_test(eight_bit_is_decided_by_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
