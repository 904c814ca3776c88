/* A store that has been in use for long: mail of all sizes comes and goes, the file must not grow
 * for ever. Bounded in rounds and in time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "tests/support/queue_desk.h"

#define MIB ((uint64_t)1 << 20)

enum { LIVE = 60, ROUNDS = 1500, WARM = 500, SECONDS = 20 };

static struct desk desk;

static uint64_t file_size(void)
{
    char path[512];
    struct stat st;
    snprintf(path, sizeof path, "%s/data.mdb", desk.directory);
    assert_int_equal(stat(path, &st), 0);
    return (uint64_t)st.st_size;
}

static size_t random_size(uint32_t *x)
{
    static const size_t most[] = {3000, 3000, 3000, 30000, 30000, 100000, 400000};
    *x = *x * 1664525u + 1013904223u;
    size_t ceiling = most[(*x >> 8) % COUNT_OF(most)];
    *x = *x * 1664525u + 1013904223u;
    return (*x >> 8) % ceiling;
}

static void the_file_stops_growing_while_mail_comes_and_goes(void **state)
{
    static const char *const bob[] = {"bob@one.example"};
    uint64_t live[LIVE] = {0};
    uint64_t warm = 0;
    uint32_t x = 5;
    time_t end = time(NULL) + SECONDS;
    int round = 0;
    (void)state;
    desk_open(&desk, 256 * MIB);
    for (; round < ROUNDS && time(NULL) < end; round++) {
        x = x * 1664525u + 1013904223u;
        uint64_t *slot = &live[(x >> 8) % LIVE];
        if (*slot) {
            struct desk_answer a = {0};
            queue_remove(desk.q, *slot, &desk.poster, desk_done, &a);
            assert_int_equal(desk_wait(&desk, &a), 0);
        }
        assert_int_equal(desk_queue(&desk, "a@s.example", bob, 1, random_size(&x), 1, slot), 0);
        if (round == WARM)
            warm = file_size();
    }
    struct queue_status status;
    queue_status(desk.q, &status);
    print_message("%d rounds: %llu KiB in use, file %llu KiB warm, %llu KiB at the end\n", round,
                  (unsigned long long)status.used_bytes >> 10, (unsigned long long)warm >> 10,
                  (unsigned long long)file_size() >> 10);
    assert_true(round > WARM);
    assert_true(file_size() < warm + warm / 2);
    desk_close(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_file_stops_growing_while_mail_comes_and_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
