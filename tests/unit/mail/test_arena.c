#include "mail/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void pieces_are_zeroed_aligned_and_apart(void **state)
{
    (void)state;
    struct arena a;
    char *pieces[500];
    arena_init(&a);
    for (size_t i = 0; i < COUNT_OF(pieces); i++) {
        size_t size = i * 37 % 300;
        pieces[i] = arena_alloc(&a, size);
        assert_int_equal((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
        for (size_t k = 0; k < size; k++)
            assert_int_equal(pieces[i][k], 0);
        memset(pieces[i], (int)(i % 251), size);
    }
    for (size_t i = 0; i < COUNT_OF(pieces); i++)
        for (size_t k = 0; k < i * 37 % 300; k++)
            assert_int_equal((uint8_t)pieces[i][k], i % 251);
    arena_free(&a);
}

static void a_big_piece_leaves_the_block_in_use(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    char *first = arena_alloc(&a, 16);
    char *big = arena_alloc(&a, 100000);
    memset(big, 1, 100000);
    char *second = arena_alloc(&a, 16);
    assert_ptr_equal(second, first + 16);
    arena_free(&a);
    assert_null(a.first);
    assert_non_null(arena_alloc(&a, 100000));
    assert_non_null(arena_alloc(&a, 1));
    arena_free(&a);
}

static void texts_are_copied_and_ended(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    assert_string_equal(arena_copy(&a, SLICE("abc")), "abc");
    assert_string_equal(arena_copy(&a, (struct slice){NULL, 0}), "");
    assert_string_equal(arena_printf(&a, "%s/%d", "x", 12), "x/12");
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_zeroed_aligned_and_apart),
        cmocka_unit_test(a_big_piece_leaves_the_block_in_use),
        cmocka_unit_test(texts_are_copied_and_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
