#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue/policy.h"
#include "queue/room.h"
#include "tests/support/queue_desk.h"

#define MIB ((uint64_t)1 << 20)

static struct desk desk;

static int setup(void **state)
{
    (void)state;
    desk_open(&desk, 64 * MIB);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    desk_close(&desk);
    return 0;
}

static int put(const char *domain, const char *id, size_t text_len)
{
    struct desk_answer answer = {0};
    struct queue_policy p = {
        .fetched_at = 100, .expires_at = 700, .refresh_at = 500, .checked_at = 200};
    snprintf(p.domain, sizeof p.domain, "%s", domain);
    snprintf(p.id, sizeof p.id, "%s", id);
    p.text = xalloc(text_len + 1);
    memset(p.text, 'v', text_len);
    queue_policy_put(desk.q, &p, &desk.poster, desk_done, &answer);
    queue_policy_clear(&p);
    return desk_wait(&desk, &answer);
}

static int removed(const char *domain)
{
    struct desk_answer answer = {0};
    queue_policy_remove(desk.q, domain, &desk.poster, desk_done, &answer);
    return desk_wait(&desk, &answer);
}

static void a_policy_outlives_a_restart_and_is_replaced_as_a_whole(void **state)
{
    struct queue_policy p;
    (void)state;
    assert_int_equal(queue_policy_find(desk.q, "one.example", &p), -ENOENT);
    assert_int_equal(put("one.example", "20261122", 60), 0);
    desk_reopen(&desk);
    assert_int_equal(queue_policy_find(desk.q, "one.example", &p), 0);
    assert_string_equal(p.domain, "one.example");
    assert_string_equal(p.id, "20261122");
    assert_int_equal(strlen(p.text), 60);
    assert_int_equal(p.fetched_at, 100);
    assert_int_equal(p.expires_at, 700);
    assert_int_equal(p.refresh_at, 500);
    assert_int_equal(p.checked_at, 200);
    queue_policy_clear(&p);
    assert_int_equal(put("one.example", "", 0), 0);
    assert_int_equal(queue_policy_find(desk.q, "one.example", &p), 0);
    assert_string_equal(p.id, "");
    assert_string_equal(p.text, "");
    queue_policy_clear(&p);
    assert_int_equal(queue_policy_find(desk.q, "one.exampl", &p), -ENOENT);
    assert_int_equal(queue_policy_find(desk.q, "", &p), -ENOENT);
}

static void a_policy_without_domain_or_beyond_the_limit_is_refused(void **state)
{
    struct queue_policy p;
    (void)state;
    assert_int_equal(put("", "1", 10), -EINVAL);
    assert_int_equal(put("one.example", "1", QUEUE_POLICY_TEXT_MAX + 1), -EINVAL);
    assert_int_equal(put("one.example", "1", QUEUE_POLICY_TEXT_MAX), 0);
    assert_int_equal(queue_policy_find(desk.q, "one.example", &p), 0);
    assert_int_equal(strlen(p.text), QUEUE_POLICY_TEXT_MAX);
    queue_policy_clear(&p);
}

static void a_removed_policy_is_gone(void **state)
{
    struct queue_policy p;
    (void)state;
    assert_int_equal(removed("one.example"), -ENOENT);
    assert_int_equal(removed(""), -ENOENT);
    assert_int_equal(put("one.example", "1", 10), 0);
    assert_int_equal(removed("one.example"), 0);
    assert_int_equal(removed("one.example"), -ENOENT);
    assert_int_equal(queue_policy_find(desk.q, "one.example", &p), -ENOENT);
}

static void policies_take_a_small_share_of_the_store_only(void **state)
{
    uint64_t id;
    const char *recipient = "bob@two.example";
    unsigned count = 0;
    int rc = 0;
    (void)state;
    for (; rc == 0 && count < 1000; count++) {
        char domain[64];
        snprintf(domain, sizeof domain, "d%03u.example", count);
        rc = put(domain, "1", 60000);
    }
    assert_int_equal(rc, -ENOSPC);
    assert_in_range(count, 12, 20); /* a 64th of 64 MiB */
    /* Neither mail nor a new version of what is there is kept out. */
    assert_int_equal(put("d001.example", "2", 60000), 0);
    assert_int_equal(desk_queue(&desk, "a@b.example", &recipient, 1, 1000, 1, &id), 0);
    assert_int_equal(removed("d002.example"), 0);
    assert_int_equal(put("new.example", "1", 50000), 0);
}

static bool is_out_of_store(const char *domain)
{
    struct queue_policy p;
    int rc = queue_policy_find(desk.q, domain, &p);
    queue_policy_clear(&p);
    return rc == -ENOENT;
}

static void a_policy_is_replaced_by_a_larger_one_though_the_share_is_taken(void **state)
{
    struct queue_policy p;
    (void)state;
    assert_int_equal(put("one.example", "1", 100), 0);
    char domain[64];
    unsigned count = 0;
    do {
        snprintf(domain, sizeof domain, "d%03u.example", count);
    } while (count++ < 1000 && put(domain, "1", 6000) == 0);
    assert_int_equal(put("two.example", "1", 6000), -ENOSPC);
    assert_int_equal(put("one.example", "2", 60000), 0);
    assert_int_equal(queue_policy_find(desk.q, "one.example", &p), 0);
    assert_string_equal(p.id, "2");
    queue_policy_clear(&p);
}

/* Twice the share is the end: else domains whose policies grow would take the room that outcomes
 * need. */
static void where_a_new_policy_cannot_be_stored_the_older_one_goes(void **state)
{
    char domain[64];
    unsigned before = 0;
    unsigned grown = 0;
    int rc = 0;
    (void)state;
    do {
        snprintf(domain, sizeof domain, "d%03u.example", before);
    } while (before++ < 1000 && put(domain, "1", 6000) == 0);
    for (; rc == 0 && grown < before - 1; grown++) {
        snprintf(domain, sizeof domain, "d%03u.example", grown);
        rc = put(domain, "2", 60000);
    }
    assert_int_equal(rc, -ENOSPC);
    assert_in_range(grown, 12, 40);
    assert_int_equal(removed("none.example"), -ENOENT); /* has come after the removal */
    assert_true(is_out_of_store(domain));
    assert_false(is_out_of_store("d000.example"));
}

static int put_next(unsigned *number, const char *id, size_t text_len, char domain[64])
{
    snprintf(domain, 64, "d%03u.example", (*number)++);
    return put(domain, id, text_len);
}

static void a_refresh_that_cannot_be_stored_leaves_the_same_policy(void **state)
{
    const char *longer_id = "20261122000000";
    char domain[64];
    unsigned next = 0;
    (void)state;
    while (put_next(&next, "1", 6000, domain) == 0)
        assert_in_range(next, 0, 1000);
    next = 0;
    while (put_next(&next, "2", 60000, domain) == 0)
        assert_in_range(next, 0, 100);
    while (put_next(&next, "2", 10000, domain) == 0) /* by a page each, until there is none */
        assert_in_range(next, 0, 100);
    for (int i = 0; i < 2; i++) /* nor the two of the policy that went for it */
        assert_int_equal(put_next(&next, "2", 10000, domain), 0);
    assert_int_equal(put_next(&next, longer_id, 6000, domain), -ENOSPC);
    assert_int_equal(removed("none.example"), -ENOENT); /* comes after a removal */
    assert_false(is_out_of_store(domain));
    assert_int_equal(put(domain, longer_id, 6001), -ENOSPC);
    assert_int_equal(removed("none.example"), -ENOENT);
    assert_true(is_out_of_store(domain));
}

static void what_no_policy_can_be_leaves_the_one_there_is(void **state)
{
    (void)state;
    assert_int_equal(put("one.example", "1", 10), 0);
    assert_int_equal(put("one.example", "1", QUEUE_POLICY_TEXT_MAX + 1), -EINVAL);
    assert_int_equal(removed("none.example"), -ENOENT);
    assert_false(is_out_of_store("one.example"));
}

static void a_store_full_of_mail_takes_no_new_policies(void **state)
{
    uint64_t id;
    const char *recipient = "bob@two.example";
    (void)state;
    assert_int_equal(put("one.example", "1", 100), 0);
    bool is_refused = false;
    for (int i = 0; i < 200 && !queue_is_full(desk.q); i++) {
        size_t left = 64 * MIB - atomic_load(&desk.q->used);
        bool is_small = is_refused || left <= 16384;
        size_t size = is_small ? 500 : left > 5 * MIB ? 4 * MIB : left * 3 / 4;
        is_refused = desk_queue(&desk, "a@b.example", &recipient, 1, size, 1, &id) != 0;
        if (is_refused && is_small)
            break;
        if (is_refused) /* its pieces are removed before what is answered after them */
            assert_int_equal(removed("none.example"), -ENOENT);
    }
    assert_int_equal(put("two.example", "1", 20000), -ENOSPC);
    assert_int_equal(put("one.example", "2", 100), 0);
    assert_int_equal(put("one.example", "3", 60000), 0);
}

struct names {
    char text[256];
    size_t max;
};

static bool name_policy(void *context, const struct queue_policy *p)
{
    struct names *n = context;
    size_t len = strlen(n->text);
    snprintf(n->text + len, sizeof n->text - len, "%s ", p->domain);
    return --n->max > 0;
}

static int break_policy(struct op *op, struct batch *b)
{
    (void)op;
    return store_put(b->txn, TABLE_POLICY, SLICE("one.example.org"), SLICE("\1damaged"));
}

static void a_walk_passes_over_a_damaged_policy(void **state)
{
    struct desk_answer answer = {0};
    struct names all = {.max = 10};
    struct names two = {.max = 2};
    struct queue_policy p;
    (void)state;
    assert_int_equal(put("two.example", "1", 70), 0);
    assert_int_equal(put("one.example", "1", 10), 0);
    assert_int_equal(put("zzz.example", "1", 7000), 0);
    writer_submit(desk.q,
                  op_new(sizeof(struct op), break_policy, &desk.poster, desk_done, &answer));
    assert_int_equal(desk_wait(&desk, &answer), 0);
    assert_int_equal(queue_policy_find(desk.q, "one.example.org", &p), -EIO);
    queue_policies_walk(desk.q, name_policy, &all);
    assert_string_equal(all.text, "one.example two.example zzz.example ");
    queue_policies_walk(desk.q, name_policy, &two);
    assert_string_equal(two.text, "one.example two.example ");
}

static bool name_one(void *context, const struct queue_policy *p)
{
    struct names *n = context;
    if (n->max == 0)
        return false;
    (void)name_policy(context, p);
    return true;
}

static void a_walk_in_parts_meets_each_once(void **state)
{
    struct desk_answer answer = {0};
    char at[DOMAIN_SIZE] = "";
    char domain[64];
    struct names n = {.max = 100};
    (void)state;
    assert_false(queue_policies_walk_some(desk.q, at, 2, name_one, &n));
    for (unsigned i = 0; i < 5; i++) {
        snprintf(domain, sizeof domain, "%c.example", "abcde"[i]);
        assert_int_equal(put(domain, "1", 10), 0);
    }
    /* One that is damaged counts, so that any number of them takes bounded time. */
    writer_submit(desk.q,
                  op_new(sizeof(struct op), break_policy, &desk.poster, desk_done, &answer));
    assert_int_equal(desk_wait(&desk, &answer), 0);
    assert_true(queue_policies_walk_some(desk.q, at, 2, name_one, &n));
    assert_string_equal(n.text, "a.example b.example ");
    assert_string_equal(at, "b.example");
    assert_int_equal(removed("b.example"), 0);
    n.max = 1;
    assert_true(queue_policies_walk_some(desk.q, at, 2, name_one, &n));
    assert_string_equal(n.text, "a.example b.example c.example ");
    assert_string_equal(at, "c.example");
    n.max = 100;
    assert_true(queue_policies_walk_some(desk.q, at, 3, name_one, &n));
    assert_string_equal(n.text, "a.example b.example c.example d.example e.example ");
    assert_string_equal(at, "one.example.org");
    assert_false(queue_policies_walk_some(desk.q, at, 3, name_one, &n));
    assert_string_equal(n.text, "a.example b.example c.example d.example e.example ");
    assert_string_equal(at, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(a_policy_outlives_a_restart_and_is_replaced_as_a_whole),
        TEST(a_policy_without_domain_or_beyond_the_limit_is_refused),
        TEST(a_removed_policy_is_gone),
        TEST(policies_take_a_small_share_of_the_store_only),
        TEST(a_store_full_of_mail_takes_no_new_policies),
        TEST(a_walk_passes_over_a_damaged_policy),
        TEST(a_walk_in_parts_meets_each_once),
        TEST(a_policy_is_replaced_by_a_larger_one_though_the_share_is_taken),
        TEST(where_a_new_policy_cannot_be_stored_the_older_one_goes),
        TEST(a_refresh_that_cannot_be_stored_leaves_the_same_policy),
        TEST(what_no_policy_can_be_leaves_the_one_there_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
