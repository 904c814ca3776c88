#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>

#include "queue/lease.h"

static void a_lease_is_had_by_one_until_it_ends(void **state)
{
    struct leases *l = leases_new();
    (void)state;
    assert_true(leases_take(l, 5, 0));
    assert_false(leases_take(l, 5, 0));
    assert_true(leases_take(l, 5, 1));
    assert_true(leases_take(l, 6, 0));
    leases_end(l, 5, 0);
    leases_end(l, 5, 0);
    assert_false(leases_has(l, 5, 0));
    assert_true(leases_has(l, 5, 1));
    assert_true(leases_take(l, 5, 0));
    assert_int_equal(leases_count(l), 3);
    leases_free(l);
}

/* Against a plain array, over many random steps: growth, collisions, holes. */
static void a_random_walk_agrees_with_an_array(void **state)
{
    enum { IDS = 300, PARTS = 3 };
    static bool has[IDS][PARTS];
    struct leases *l = leases_new();
    uint32_t x = 1;
    (void)state;
    for (int step = 0; step < 200000; step++) {
        x = x * 1664525u + 1013904223u;
        uint32_t id = (x >> 8) % IDS;
        uint32_t part = (x >> 20) % PARTS;
        if (x >> 31) {
            assert_int_equal(leases_take(l, id + 1, part), !has[id][part]);
            has[id][part] = true;
        } else {
            leases_end(l, id + 1, part);
            has[id][part] = false;
        }
    }
    size_t count = 0;
    for (uint32_t id = 0; id < IDS; id++) {
        for (uint32_t part = 0; part < PARTS; part++) {
            assert_int_equal(leases_has(l, id + 1, part), has[id][part]);
            count += has[id][part];
        }
    }
    assert_int_equal(leases_count(l), count);
    leases_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_is_had_by_one_until_it_ends),
        cmocka_unit_test(a_random_walk_agrees_with_an_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
