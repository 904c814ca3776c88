#include "mail/buffer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void growing_past_the_ceiling_leaves_the_content(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, 5);
    assert_true(buffer_append_text(&b, "abc"));
    assert_false(buffer_append_text(&b, "def"));
    assert_false(buffer_printf(&b, "%s", "def"));
    assert_null(buffer_reserve(&b, 3));
    assert_null(buffer_reserve(&b, SIZE_MAX));
    assert_int_equal(buffer_room(&b), 2);
    assert_true(buffer_printf(&b, "%c%c", 'd', 'e'));
    assert_string_equal(buffer_text(&b), "abcde");
    assert_false(buffer_append_byte(&b, 'x'));
    assert_true(buffer_append(&b, (struct slice){NULL, 0}));
    buffer_free(&b);
    assert_true(buffer_append_text(&b, "again"));
    buffer_wipe_free(&b);
    assert_int_equal(b.ceiling, 5);
}

static void a_ceiling_of_nothing_still_has_a_text(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, 0);
    assert_string_equal(buffer_text(&b), "");
    assert_false(buffer_append_byte(&b, 'x'));
    buffer_free(&b);
}

static void consume_drops_from_the_front(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, 100);
    assert_true(buffer_append_text(&b, "hello world"));
    buffer_consume(&b, 6);
    assert_true(slice_equal(buffer_slice(&b), SLICE("world")));
    assert_int_equal(buffer_room(&b), 95);
    assert_true(buffer_append_text(&b, "!"));
    assert_string_equal(buffer_text(&b), "world!");
    buffer_consume(&b, 6);
    assert_int_equal(b.len, 0);
    assert_int_equal(b.gap, 0);
    buffer_free(&b);
}

/* A queue that is written behind and drained in front keeps its bytes in order and its memory below
 * the ceiling. */
static void a_long_lived_queue_stays_small_and_true(void **state)
{
    (void)state;
    struct buffer b;
    uint8_t in = 0, out = 0;
    buffer_init(&b, 1000);
    for (unsigned round = 0; round < 5000; round++) {
        size_t add = (round * 7919u) % 97;
        for (size_t i = 0; i < add && buffer_room(&b) > 0; i++)
            assert_true(buffer_append_byte(&b, (char)in++));
        size_t take = (round * 104729u) % 113;
        for (size_t i = 0; i < take && i < b.len; i++)
            assert_int_equal((uint8_t)b.data[i], (uint8_t)(out + i));
        take = take < b.len ? take : b.len;
        out = (uint8_t)(out + take);
        buffer_consume(&b, take);
        assert_true(b.gap + b.capacity <= 1000);
    }
    buffer_free(&b);
}

static void reserve_and_commit_write_in_place(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, 1 << 20);
    char *to = buffer_reserve(&b, 70000);
    assert_non_null(to);
    memset(to, 'x', 70000);
    buffer_commit(&b, 69999);
    assert_int_equal(b.len, 69999);
    assert_int_equal(b.data[69998], 'x');
    buffer_clear(&b);
    assert_int_equal(b.len, 0);
    assert_non_null(b.data);
    buffer_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(growing_past_the_ceiling_leaves_the_content),
        cmocka_unit_test(a_ceiling_of_nothing_still_has_a_text),
        cmocka_unit_test(consume_drops_from_the_front),
        cmocka_unit_test(a_long_lived_queue_stays_small_and_true),
        cmocka_unit_test(reserve_and_commit_write_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
