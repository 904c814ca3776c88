#include "gateway/delivery/content.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Stands in for the queue's own function: one message in memory. */
static struct {
    const char *content;
    size_t len;
    size_t longest; /* octets given at once; 0: as many as asked for */
    size_t largest_step;
    int64_t error_at; /* offset at which reading fails; negative: never */
} stored;

int64_t queue_content_read(struct queue *q, uint64_t id, uint64_t offset, size_t max,
                           struct buffer *out)
{
    (void)q;
    assert_int_equal(id, 77);
    if (stored.error_at >= 0 && offset >= (uint64_t)stored.error_at)
        return -5;
    struct slice part = slice_sub((struct slice){stored.content, stored.len}, (size_t)offset, max);
    if (stored.longest > 0 && part.len > stored.longest)
        part.len = stored.longest;
    if (part.len > stored.largest_step)
        stored.largest_step = part.len;
    return buffer_append(out, part) ? (int64_t)part.len : -12;
}

/* Sends all of it; returns what came last. */
static enum delivery_content_step send_all(uint64_t size, struct buffer *wire)
{
    struct delivery_content c;
    struct buffer piece;
    enum delivery_content_step step = DELIVERY_CONTENT_MORE;
    delivery_content_init(&c, NULL, 77, size);
    buffer_init(&piece, 2 * DELIVERY_CONTENT_PIECE + 5);
    while (step == DELIVERY_CONTENT_MORE) {
        buffer_clear(&piece);
        step = delivery_content_next(&c, &piece);
        if (step != DELIVERY_CONTENT_FAILED)
            assert_true(buffer_append(wire, buffer_slice(&piece)));
    }
    buffer_free(&piece);
    delivery_content_free(&c);
    return step;
}

static void store(const char *content, size_t len, size_t longest, int64_t error_at)
{
    memset(&stored, 0, sizeof stored);
    stored.content = content;
    stored.len = len;
    stored.longest = longest;
    stored.error_at = error_at;
}

static void content_is_stuffed_and_ended_however_it_is_cut(void **state)
{
    (void)state;
    static const struct {
        const char *in, *want;
    } cases[] = {
        {"", ".\r\n"},
        {"a\r\n", "a\r\n.\r\n"},
        {"a", "a\r\n.\r\n"},
        {".\r\n", "..\r\n.\r\n"},
        {"a\r\n.\r\n..b\r\n", "a\r\n..\r\n...b\r\n.\r\n"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (size_t longest = 0; longest < 4; longest++) {
            struct buffer wire;
            buffer_init(&wire, 4096);
            store(cases[i].in, strlen(cases[i].in), longest, -1);
            assert_int_equal(send_all(stored.len, &wire), DELIVERY_CONTENT_END);
            const char *got = buffer_text(&wire);
            /* Nothing at all may stand as an empty line or as none. */
            if (stored.len == 0 && strcmp(got, "\r\n.\r\n") == 0)
                got += 2;
            assert_string_equal(got, cases[i].want);
            buffer_free(&wire);
        }
    }
}

static void large_content_is_held_one_piece_at_a_time(void **state)
{
    (void)state;
    enum { LEN = 1000 * 1000 };
    char *content = malloc(LEN);
    for (size_t i = 0; i + 5 <= LEN; i += 5)
        memcpy(content + i, ".ab\r\n", 5);
    struct buffer wire;
    buffer_init(&wire, 2 * LEN);
    store(content, LEN, 0, -1);
    assert_int_equal(send_all(LEN, &wire), DELIVERY_CONTENT_END);
    assert_int_equal(stored.largest_step, DELIVERY_CONTENT_PIECE);
    assert_int_equal(wire.len, LEN + LEN / 5 + 3);
    buffer_free(&wire);
    free(content);
}

static void dots_alone_fit_into_the_room_asked_for(void **state)
{
    (void)state;
    enum { LEN = 3 * 32 * 1024 };
    char *content = malloc(LEN);
    memset(content, '.', LEN);
    for (size_t i = 0; i + 3 <= LEN; i += 3)
        memcpy(content + i, ".\r\n", 3);
    struct buffer wire;
    buffer_init(&wire, 2 * LEN);
    store(content, LEN, 0, -1);
    assert_int_equal(send_all(LEN, &wire), DELIVERY_CONTENT_END);
    buffer_free(&wire);
    free(content);
}

static void content_that_is_cut_short_is_never_ended(void **state)
{
    (void)state;
    static const struct {
        size_t has, size;
        int64_t error_at;
    } cases[] = {{10, 11, -1}, {0, 1, -1}, {10, 10, 0}, {40000, 40000, 32768}};
    char *content = malloc(40000);
    memset(content, 'a', 40000);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buffer wire;
        buffer_init(&wire, 200000);
        store(content, cases[i].has, 0, cases[i].error_at);
        assert_int_equal(send_all(cases[i].size, &wire), DELIVERY_CONTENT_FAILED);
        assert_true(slice_find(buffer_slice(&wire), '.') < 0);
        buffer_free(&wire);
    }
    free(content);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(content_is_stuffed_and_ended_however_it_is_cut),
        cmocka_unit_test(large_content_is_held_one_piece_at_a_time),
        cmocka_unit_test(dots_alone_fit_into_the_room_asked_for),
        cmocka_unit_test(content_that_is_cut_short_is_never_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
