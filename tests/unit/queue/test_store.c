#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue/store.h"
#include "tests/support/queue_desk.h"

#define MIB ((uint64_t)1 << 20)

static struct desk desk; /* for its directory; the store is opened without the queue */
static struct store *store;

static int setup(void **state)
{
    char error[256] = "";
    (void)state;
    desk_open(&desk, 64 * MIB);
    desk_shut(&desk);
    return store_open(desk.directory, 64 * MIB, &store, error, sizeof error);
}

static int teardown(void **state)
{
    (void)state;
    store_close(store);
    store = NULL;
    desk_close(&desk);
    return 0;
}

static void put_format(const char *four)
{
    struct txn *t;
    assert_int_equal(store_begin(store, &t), 0);
    assert_int_equal(store_put(t, TABLE_META, SLICE("format"), (struct slice){four, 4}), 0);
    assert_int_equal(store_commit(t), 0);
    store_close(store);
    store = NULL;
}

static void a_newer_format_is_refused_in_plain_words(void **state)
{
    char error[256] = "";
    (void)state;
    put_format("\0\0\0\2");
    assert_int_equal(desk_try_open(&desk, error, sizeof error), -EPROTO);
    assert_non_null(strstr(error, "store format 2 is newer than this program's 1: "));
    assert_int_equal(desk_try_open(&desk, error, sizeof error), -EPROTO);
}

static void a_damaged_format_is_refused(void **state)
{
    char error[256] = "";
    (void)state;
    put_format("\0\0\0\0");
    assert_int_equal(desk_try_open(&desk, error, sizeof error), -EIO);
    assert_non_null(strstr(error, "damaged"));
}

static void a_piece_takes_exactly_one_page(void **state)
{
    struct txn *t;
    (void)state;
    size_t size = store_piece_size(store);
    char *value = desk_content(size + 1, 1);
    uint64_t used[3];
    assert_int_equal(store_begin(store, &t), 0);
    assert_int_equal(store_put(t, TABLE_BODY, SLICE("first"), SLICE("small")), 0);
    used[0] = store_used(t);
    assert_int_equal(store_put(t, TABLE_BODY, SLICE("a"), (struct slice){value, size}), 0);
    used[1] = store_used(t);
    assert_int_equal(store_put(t, TABLE_BODY, SLICE("b"), (struct slice){value, size + 1}), 0);
    used[2] = store_used(t);
    assert_int_equal(used[1] - used[0], size + 16);
    assert_int_equal(used[2] - used[1], 2 * (size + 16));
    store_abort(t);
    free(value);
}

static void a_view_shows_one_moment_and_its_age_is_known(void **state)
{
    struct txn *t;
    struct slice value;
    (void)state;
    struct txn *before = store_view(store);
    assert_int_equal(store_begin(store, &t), 0);
    assert_int_equal(store_put(t, TABLE_META, SLICE("k"), SLICE("v")), 0);
    assert_int_equal(store_commit(t), 0);
    assert_int_equal(store_get(before, TABLE_META, SLICE("k"), &value), -ENOENT);
    struct timespec pause = {0, 20000000};
    nanosleep(&pause, NULL);
    assert_in_range(store_oldest_view_ms(store), 15, 10000);
    store_view_end(before);
    assert_int_equal(store_oldest_view_ms(store), 0);
    struct txn *after = store_view(store);
    assert_int_equal(store_get(after, TABLE_META, SLICE("k"), &value), 0);
    store_view_end(after);
}

static void an_abort_leaves_nothing(void **state)
{
    struct txn *t;
    struct slice value;
    (void)state;
    assert_int_equal(store_begin(store, &t), 0);
    assert_int_equal(store_put(t, TABLE_META, SLICE("k"), SLICE("v")), 0);
    store_abort(t);
    struct txn *view = store_view(store);
    assert_int_equal(store_get(view, TABLE_META, SLICE("k"), &value), -ENOENT);
    store_view_end(view);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_newer_format_is_refused_in_plain_words),
        TEST(a_damaged_format_is_refused),
        TEST(a_piece_takes_exactly_one_page),
        TEST(a_view_shows_one_moment_and_its_age_is_known),
        TEST(an_abort_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
