#include "gateway/delivery/lanes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct queue_lane key_of(unsigned number, uint32_t flow)
{
    struct queue_lane key = {.flow = flow};
    snprintf(key.domain, sizeof key.domain, "d%u.example", number);
    return key;
}

static void lanes_come_in_order_of_time(void **state)
{
    (void)state;
    struct lanes l;
    lanes_init(&l);
    srandom(1);
    for (unsigned i = 0; i < 500; i++) {
        struct queue_lane key = key_of(i % 100, i / 100);
        lanes_note(&l, &key, random() % 1000);
    }
    int64_t before = -1;
    unsigned count = 0;
    for (struct lane *lane; (lane = lanes_take_due(&l, 1000)) != NULL; count++) {
        assert_true(lane->due_at_ms >= before);
        before = lane->due_at_ms;
        lanes_forget(&l, lane);
    }
    assert_int_equal(count, 500);
    assert_int_equal(lanes_next_due(&l), INT64_MAX);
    lanes_free(&l);
}

static void only_what_is_due_is_taken(void **state)
{
    (void)state;
    struct lanes l;
    lanes_init(&l);
    struct queue_lane key = key_of(1, 1);
    lanes_note(&l, &key, 100);
    assert_null(lanes_take_due(&l, 99));
    struct lane *lane = lanes_take_due(&l, 100);
    assert_non_null(lane);
    assert_null(lanes_take_due(&l, 1000));
    lanes_forget(&l, lane);
    lanes_free(&l);
}

static void an_earlier_time_moves_a_lane_and_a_later_one_does_not(void **state)
{
    (void)state;
    struct lanes l;
    lanes_init(&l);
    struct queue_lane key = key_of(1, 1);
    struct queue_lane other = key_of(2, 1);
    lanes_note(&l, &key, 100);
    lanes_note(&l, &other, 50);
    lanes_note(&l, &key, 200);
    assert_int_equal(lanes_next_due(&l), 50);
    lanes_note(&l, &key, 10);
    assert_int_equal(lanes_next_due(&l), 10);
    assert_string_equal(lanes_take_due(&l, 10)->key.domain, key.domain);
    lanes_free(&l);
}

static void a_lane_in_service_stays_there(void **state)
{
    (void)state;
    struct lanes l;
    lanes_init(&l);
    struct queue_lane key = key_of(1, 1);
    lanes_note(&l, &key, 10);
    struct lane *lane = lanes_take_due(&l, 10);
    lanes_note(&l, &key, 5);
    assert_int_equal(lanes_next_due(&l), INT64_MAX);
    lanes_wait(&l, lane, 20);
    assert_int_equal(lanes_next_due(&l), 20);
    lanes_free(&l);
}

static void senders_to_one_domain_have_lanes_of_their_own(void **state)
{
    (void)state;
    struct lanes l;
    lanes_init(&l);
    struct queue_lane one = key_of(1, 1);
    struct queue_lane two = key_of(1, 2);
    lanes_note(&l, &one, 10);
    lanes_note(&l, &two, 10);
    assert_non_null(lanes_take_due(&l, 10));
    assert_non_null(lanes_take_due(&l, 10));
    lanes_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lanes_come_in_order_of_time),
        cmocka_unit_test(only_what_is_due_is_taken),
        cmocka_unit_test(an_earlier_time_moves_a_lane_and_a_later_one_does_not),
        cmocka_unit_test(a_lane_in_service_stays_there),
        cmocka_unit_test(senders_to_one_domain_have_lanes_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
