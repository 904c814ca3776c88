#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "queue/exception.h"
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

static struct address address_of(const char *text)
{
    struct address a;
    assert_int_equal(address_parse(slice_of(text), &a), ADDRESS_OK);
    return a;
}

static void add_user(const char *text, const char *alias)
{
    struct desk_answer answer = {0};
    struct queue_account a = {0};
    snprintf(a.address, sizeof a.address, "%s", text);
    queue_account_put(desk.q, &a, true, &desk.poster, desk_done, &answer);
    assert_int_equal(desk_wait(&desk, &answer), 0);
    struct address own = address_of(text);
    struct address other = address_of(alias);
    answer = (struct desk_answer){0};
    queue_alias_add(desk.q, &own, &other, &desk.poster, desk_done, &answer);
    assert_int_equal(desk_wait(&desk, &answer), 0);
}

static int add(const char *user, const char *domain, int64_t until)
{
    struct desk_answer answer = {0};
    struct address a = address_of(user);
    queue_exception_add(desk.q, &a, domain, 50, until, &desk.poster, desk_done, &answer);
    return desk_wait(&desk, &answer);
}

static int removed(const char *user, const char *domain)
{
    struct desk_answer answer = {0};
    struct address a = address_of(user);
    queue_exception_remove(desk.q, &a, domain, &desk.poster, desk_done, &answer);
    return desk_wait(&desk, &answer);
}

static int has(const char *user, const char *domain, int64_t now)
{
    return queue_exception_has(desk.q, user, domain, now);
}

struct names {
    char text[512];
    size_t max;
};

static bool name_exception(void *context, const struct queue_exception *e)
{
    struct names *n = context;
    size_t len = strlen(n->text);
    snprintf(n->text + len, sizeof n->text - len, "%s>%s:%d-%d ", e->user, e->domain,
             (int)e->set_at, (int)e->until);
    return --n->max > 0;
}

static const char *walked(const char *user, int64_t now, size_t max)
{
    static struct names n;
    n = (struct names){.max = max};
    queue_exceptions_walk(desk.q, user, now, name_exception, &n);
    return n.text;
}

static void an_exception_holds_for_its_user_domain_and_time(void **state)
{
    (void)state;
    add_user("Alice@example.org", "al@example.org");
    add_user("bob@example.org", "b@example.org");
    assert_int_equal(has("alice@example.org", "far.example", 1), 0);
    assert_int_equal(add("al@example.org", "far.example", 200), 0);
    assert_int_equal(add("alice@example.org", ".below.example", 0), 0);
    desk_reopen(&desk);
    assert_int_equal(has("ALICE@example.org", "far.example", 199), 1);
    assert_int_equal(has("al@example.org", "far.example", 199), 1);
    assert_int_equal(has("alice@example.org", "far.example", 200), 0);
    assert_int_equal(has("bob@example.org", "far.example", 199), 0);
    assert_int_equal(has("nobody@example.org", "far.example", 199), 0);
    assert_int_equal(has("no address", "far.example", 199), 0);
    assert_int_equal(has("alice@example.org", "x.far.example", 199), 0);
    assert_int_equal(has("alice@example.org", "x.below.example", 1LL << 40), 1);
    assert_int_equal(has("alice@example.org", "below.example", 1), 0);
    assert_int_equal(has("alice@example.org", "", 1), 0);
}

static void an_exception_is_replaced_and_removed_by_its_domain(void **state)
{
    (void)state;
    add_user("alice@example.org", "al@example.org");
    assert_int_equal(add("carol@example.org", "far.example", 0), -ENOENT);
    assert_int_equal(add("alice@example.org", "", 0), -EINVAL);
    assert_int_equal(removed("alice@example.org", "far.example"), -ENOENT);
    assert_int_equal(removed("carol@example.org", "far.example"), -ENOENT);
    assert_int_equal(add("alice@example.org", "one.example", 0), 0);
    assert_int_equal(add("alice@example.org", "far.example", 100), 0);
    assert_int_equal(add("alice@example.org", "far.example", 300), 0);
    assert_string_equal(walked("al@example.org", 1, 9),
                        "alice@example.org>one.example:50-0 alice@example.org>far.example:50-300 ");
    assert_int_equal(removed("al@example.org", "one.example"), 0);
    assert_int_equal(removed("al@example.org", "one.example"), -ENOENT);
    assert_int_equal(has("alice@example.org", "one.example", 1), 0);
    assert_int_equal(has("alice@example.org", "far.example", 299), 1);
    assert_int_equal(removed("alice@example.org", "far.example"), 0);
    assert_string_equal(walked(NULL, 1, 9), "");
}

static void a_walk_shows_what_holds_for_one_or_for_all(void **state)
{
    (void)state;
    add_user("alice@example.org", "al@example.org");
    add_user("bob@example.org", "b@example.org");
    assert_int_equal(add("bob@example.org", "x.example", 0), 0);
    assert_int_equal(add("alice@example.org", "y.example", 100), 0);
    assert_int_equal(add("alice@example.org", "z.example", 101), 0);
    desk_put(&desk, TABLE_EXCEPTION, SLICE("b.damaged@example.org"), SLICE("\1x"));
    assert_string_equal(walked(NULL, 100, 9),
                        "alice@example.org>z.example:50-101 bob@example.org>x.example:50-0 ");
    assert_string_equal(walked(NULL, 1, 2),
                        "alice@example.org>y.example:50-100 alice@example.org>z.example:50-101 ");
    assert_string_equal(walked("b@example.org", 1, 9), "bob@example.org>x.example:50-0 ");
    assert_string_equal(walked("nobody@example.org", 1, 9), "");
    assert_string_equal(walked("nobody", 1, 9), "");
}

static void an_exception_goes_with_its_account(void **state)
{
    struct desk_answer answer = {0};
    (void)state;
    add_user("alice@example.org", "al@example.org");
    assert_int_equal(add("alice@example.org", "far.example", 0), 0);
    struct address a = address_of("alice@example.org");
    queue_account_remove(desk.q, &a, &desk.poster, desk_done, &answer);
    assert_int_equal(desk_wait(&desk, &answer), 0);
    assert_string_equal(walked(NULL, 1, 9), "");
    add_user("alice@example.org", "al@example.org");
    assert_int_equal(has("alice@example.org", "far.example", 1), 0);
}

static void nobody_knows_of_exceptions_that_can_not_be_read(void **state)
{
    (void)state;
    add_user("alice@example.org", "al@example.org");
    desk_put(&desk, TABLE_EXCEPTION, SLICE("alice@example.org"), SLICE("\1\0\0\0\1"));
    assert_int_equal(has("alice@example.org", "far.example", 1), -EIO);
    assert_int_equal(add("alice@example.org", "far.example", 0), -EIO);
    /* It is not for the sweep to say that there were none. */
    desk_sweep(&desk, 1LL << 40);
    assert_int_equal(has("alice@example.org", "far.example", 1), -EIO);
}

static void expired_exceptions_are_swept_and_others_stay(void **state)
{
    (void)state;
    add_user("alice@example.org", "al@example.org");
    add_user("bob@example.org", "b@example.org");
    assert_int_equal(add("alice@example.org", "a.example", 100), 0);
    assert_int_equal(add("alice@example.org", "b.example", 0), 0);
    assert_int_equal(add("alice@example.org", "c.example", 200), 0);
    assert_int_equal(add("alice@example.org", "d.example", 100), 0);
    assert_int_equal(add("bob@example.org", "a.example", 100), 0);
    desk_sweep(&desk, 99);
    assert_int_equal(has("bob@example.org", "a.example", 99), 1);
    desk_sweep(&desk, 100);
    /* Seen with an early clock, nothing hides what is stored. */
    assert_string_equal(walked(NULL, 1, 9),
                        "alice@example.org>b.example:50-0 alice@example.org>c.example:50-200 ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(an_exception_holds_for_its_user_domain_and_time),
        TEST(an_exception_is_replaced_and_removed_by_its_domain),
        TEST(a_walk_shows_what_holds_for_one_or_for_all),
        TEST(an_exception_goes_with_its_account),
        TEST(nobody_knows_of_exceptions_that_can_not_be_read),
        TEST(expired_exceptions_are_swept_and_others_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
