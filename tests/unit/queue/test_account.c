#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static int put(const char *text, bool is_new, unsigned iterations)
{
    struct desk_answer answer = {0};
    struct queue_account a = {.sha256 = {.iterations = iterations, .salt_len = 16, .key_len = 32},
                              .hold_back_ms = 30000,
                              .has_flag = true,
                              .level = LEVEL_VERIFIED,
                              .level_since = 5};
    snprintf(a.address, sizeof a.address, "%s", text);
    snprintf(a.language, sizeof a.language, "de");
    memset(a.sha256.salt, 7, 16);
    memset(a.sha256.stored_key, 8, 32);
    memset(a.sha256.server_key, 9, 32);
    queue_account_put(desk.q, &a, is_new, &desk.poster, desk_done, &answer);
    return desk_wait(&desk, &answer);
}

typedef void pair_change(struct queue *q, const struct address *one, const struct address *other,
                         const struct queue_poster *poster, queue_done *done, void *context);

static int change(pair_change *run, const char *one, const char *other)
{
    struct desk_answer answer = {0};
    struct address a = address_of(one);
    struct address b = address_of(other);
    run(desk.q, &a, &b, &desk.poster, desk_done, &answer);
    return desk_wait(&desk, &answer);
}

static int account_remove(const char *text)
{
    struct desk_answer answer = {0};
    struct address a = address_of(text);
    queue_account_remove(desk.q, &a, &desk.poster, desk_done, &answer);
    return desk_wait(&desk, &answer);
}

static int find(const char *text, struct queue_account *out)
{
    struct address a = address_of(text);
    return queue_account_find(desk.q, &a, out);
}

static void an_account_reads_back_by_address_in_any_case_and_by_alias(void **state)
{
    struct queue_account a;
    struct address other = address_of("info@example.org");
    (void)state;
    assert_int_equal(put("Alice@Example.org", true, 4096), 0);
    assert_int_equal(change(queue_alias_add, "alice@example.org", "Info@example.org"), 0);
    desk_reopen(&desk);
    assert_int_equal(find("ALICE@example.ORG", &a), 0);
    assert_int_equal(a.sha256.iterations, 4096);
    assert_int_equal(a.sha256.salt_len, 16);
    assert_int_equal(a.sha256.salt[15], 7);
    assert_int_equal(a.sha256.stored_key[31], 8);
    assert_int_equal(a.sha256.server_key[31], 9);
    assert_int_equal(a.sha1.iterations, 0);
    assert_string_equal(a.language, "de");
    assert_int_equal(a.hold_back_ms, 30000);
    assert_int_equal(a.level, LEVEL_VERIFIED);
    assert_int_equal(a.level_since, 5);
    assert_int_equal(a.alias_count, 1);
    assert_string_equal(a.aliases[0], "info@example.org");
    assert_true(queue_account_owns(&a, &other));
    other = address_of("ALICE@example.org");
    assert_true(queue_account_owns(&a, &other));
    other = address_of("bob@example.org");
    assert_false(queue_account_owns(&a, &other));
    queue_account_clear(&a);
    assert_int_equal(find("INFO@example.org", &a), 0);
    queue_account_clear(&a);
    assert_int_equal(find("bob@example.org", &a), -ENOENT);
}

static void an_address_belongs_to_one_user_only(void **state)
{
    (void)state;
    assert_int_equal(put("alice@example.org", true, 1), 0);
    assert_int_equal(put("bob@example.org", true, 1), 0);
    assert_int_equal(put("ALICE@example.org", true, 1), -EEXIST);
    assert_int_equal(put("no address", true, 1), -EINVAL);
    assert_int_equal(change(queue_alias_add, "alice@example.org", "info@example.org"), 0);
    assert_int_equal(change(queue_alias_add, "bob@example.org", "info@example.org"), -EEXIST);
    assert_int_equal(change(queue_alias_add, "bob@example.org", "alice@example.org"), -EEXIST);
    assert_int_equal(change(queue_alias_add, "carol@example.org", "x@example.org"), -ENOENT);
    assert_int_equal(put("info@example.org", true, 1), -EEXIST);
    assert_int_equal(put("info@example.org", false, 1), -ENOENT);
    assert_int_equal(change(queue_alias_remove, "bob@example.org", "info@example.org"), -ENOENT);
    assert_int_equal(change(queue_alias_remove, "alice@example.org", "info@example.org"), 0);
    assert_int_equal(change(queue_alias_add, "bob@example.org", "info@example.org"), 0);
}

static void replacing_an_account_keeps_its_aliases(void **state)
{
    struct queue_account a;
    (void)state;
    assert_int_equal(put("alice@example.org", false, 1), -ENOENT);
    assert_int_equal(put("alice@example.org", true, 1), 0);
    assert_int_equal(change(queue_alias_add, "alice@example.org", "info@example.org"), 0);
    assert_int_equal(put("alice@example.org", false, 2), 0);
    assert_int_equal(find("info@example.org", &a), 0);
    assert_int_equal(a.sha256.iterations, 2);
    assert_int_equal(a.alias_count, 1);
    queue_account_clear(&a);
}

struct names {
    char text[512];
    size_t count;
};

static bool name_account(void *context, const struct queue_account *a)
{
    struct names *n = context;
    size_t len = strlen(n->text);
    snprintf(n->text + len, sizeof n->text - len, "%s ", a->address);
    n->count++;
    return n->count != 3;
}

static bool name_forward(void *context, const char *owner, const char *target)
{
    struct names *n = context;
    size_t len = strlen(n->text);
    snprintf(n->text + len, sizeof n->text - len, "%s>%s ", owner, target);
    return true;
}

static void a_walk_shows_all_accounts_until_told_to_stop(void **state)
{
    struct names n = {.text = ""};
    (void)state;
    queue_accounts_walk(desk.q, name_account, &n);
    assert_string_equal(n.text, "");
    assert_int_equal(put("bob@example.org", true, 1), 0);
    assert_int_equal(put("bob@example.organic", true, 1), 0);
    queue_accounts_walk(desk.q, name_account, &n);
    assert_string_equal(n.text, "bob@example.org bob@example.organic ");
    assert_int_equal(put("alice@example.org", true, 1), 0);
    assert_int_equal(put("carol@example.org", true, 1), 0);
    n = (struct names){.text = ""};
    queue_accounts_walk(desk.q, name_account, &n);
    assert_string_equal(n.text, "alice@example.org bob@example.org bob@example.organic ");
}

static void forwards_belong_to_the_account_behind_the_name(void **state)
{
    struct names all = {.text = ""};
    struct names one = {.text = ""};
    struct address target = address_of("ALICE@far.example");
    struct address stranger = address_of("bob@far.example");
    (void)state;
    assert_int_equal(change(queue_forward_add, "alice@example.org", "a@far.example"), -ENOENT);
    assert_int_equal(put("Alice@example.org", true, 1), 0);
    assert_int_equal(put("bob@example.org", true, 1), 0);
    assert_int_equal(change(queue_alias_add, "alice@example.org", "info@example.org"), 0);
    assert_int_equal(change(queue_forward_add, "info@example.org", "Alice@far.example"), 0);
    assert_int_equal(change(queue_forward_add, "alice@example.org", "alice@far.example"), -EEXIST);
    assert_int_equal(change(queue_forward_add, "alice@example.org", "z@far.example"), 0);
    assert_int_equal(change(queue_forward_add, "bob@example.org", "y@far.example"), 0);
    assert_true(queue_forward_has(desk.q, "alice@example.org", &target));
    assert_true(queue_forward_has(desk.q, "Info@example.org", &target));
    assert_false(queue_forward_has(desk.q, "alice@example.org", &stranger));
    assert_false(queue_forward_has(desk.q, "bob@example.org", &target));
    assert_false(queue_forward_has(desk.q, "nobody@example.org", &target));
    queue_forwards_walk(desk.q, NULL, name_forward, &all);
    assert_string_equal(all.text, "alice@example.org>alice@far.example "
                                  "alice@example.org>z@far.example bob@example.org>y@far.example ");
    queue_forwards_walk(desk.q, "info@example.org", name_forward, &one);
    assert_string_equal(one.text,
                        "alice@example.org>alice@far.example alice@example.org>z@far.example ");
    assert_int_equal(change(queue_forward_remove, "alice@example.org", "a@far.example"), -ENOENT);
    assert_int_equal(change(queue_forward_remove, "alice@example.org", "alice@far.example"), 0);
    assert_false(queue_forward_has(desk.q, "alice@example.org", &target));
}

static void what_can_not_be_read_is_neither_there_nor_missing(void **state)
{
    static struct txn *views[2048];
    struct address owner = address_of("alice@example.org");
    struct address target = address_of("a@far.example");
    struct queue_account a;
    struct txn *txn;
    size_t count = 0;
    (void)state;
    assert_int_equal(put("alice@example.org", true, 1), 0);
    assert_int_equal(change(queue_alias_add, "alice@example.org", "info@example.org"), 0);
    assert_int_equal(change(queue_forward_add, "alice@example.org", "a@far.example"), 0);
    assert_int_equal(queue_forward_has(desk.q, "alice@example.org", &target), 1);
    while (count < COUNT_OF(views) && (views[count] = store_view(desk.q->store)) != NULL)
        count++;
    assert_int_equal(queue_account_find(desk.q, &owner, &a), -EIO);
    assert_int_equal(queue_forward_has(desk.q, "alice@example.org", &target), -EIO);
    while (count > 0)
        store_view_end(views[--count]);

    assert_int_equal(store_begin(desk.q->store, &txn), 0);
    assert_int_equal(store_put(txn, TABLE_FORWARD, SLICE("alice@example.org"), SLICE("damaged")),
                     0);
    assert_int_equal(store_commit(txn), 0);
    assert_int_equal(queue_forward_has(desk.q, "alice@example.org", &target), -EIO);
    /* An alias of nobody is damage, too. */
    assert_int_equal(store_begin(desk.q->store, &txn), 0);
    assert_int_equal(store_delete(txn, TABLE_ACCOUNT, SLICE("alice@example.org")), 0);
    assert_int_equal(store_commit(txn), 0);
    assert_int_equal(find("alice@example.org", &a), -ENOENT);
    assert_int_equal(find("info@example.org", &a), -EIO);
}

static void removing_an_account_removes_its_aliases_and_forwards(void **state)
{
    struct queue_account a;
    struct names all = {.text = ""};
    (void)state;
    assert_int_equal(account_remove("alice@example.org"), -ENOENT);
    assert_int_equal(put("alice@example.org", true, 1), 0);
    assert_int_equal(change(queue_alias_add, "alice@example.org", "info@example.org"), 0);
    assert_int_equal(change(queue_forward_add, "alice@example.org", "a@far.example"), 0);
    assert_int_equal(account_remove("alice@example.org"), 0);
    assert_int_equal(find("alice@example.org", &a), -ENOENT);
    assert_int_equal(find("info@example.org", &a), -ENOENT);
    queue_forwards_walk(desk.q, NULL, name_forward, &all);
    assert_string_equal(all.text, "");
    assert_int_equal(put("info@example.org", true, 1), 0);
}

static void the_level_returns_by_itself(void **state)
{
    struct queue_account a = {.has_flag = true,
                              .level = LEVEL_OFF,
                              .is_locked = false,
                              .level_since = 100,
                              .level_until = 200,
                              .back_has_flag = true,
                              .back_level = LEVEL_VERIFIED,
                              .back_is_locked = true};
    int64_t since;
    bool is_locked;
    (void)state;
    assert_int_equal(queue_account_level(&a, LEVEL_ENCRYPT, 199, &since, &is_locked), LEVEL_OFF);
    assert_int_equal(since, 100);
    assert_false(is_locked);
    assert_int_equal(queue_account_level(&a, LEVEL_ENCRYPT, 200, &since, &is_locked),
                     LEVEL_VERIFIED);
    assert_int_equal(since, 200);
    assert_true(is_locked);
    a.back_has_flag = false;
    assert_int_equal(queue_account_level(&a, LEVEL_ENCRYPT, 200, NULL, NULL), LEVEL_ENCRYPT);
    assert_false(queue_account_flag(&a, LEVEL_ENCRYPT, 200).is_locked);
    a.level_until = 0;
    a.has_flag = false;
    assert_int_equal(queue_account_level(&a, LEVEL_ENCRYPT, 200, &since, NULL), LEVEL_ENCRYPT);
}

static void a_dry_run_goes_with_its_flag(void **state)
{
    struct queue_account a = {.has_flag = true,
                              .level = LEVEL_VERIFIED,
                              .is_dry_run = true,
                              .level_since = 100,
                              .level_until = 200,
                              .back_has_flag = true,
                              .back_level = LEVEL_ENCRYPT};
    struct queue_flag flag = queue_account_flag(&a, LEVEL_OFF, 199);
    (void)state;
    assert_int_equal(flag.level, LEVEL_VERIFIED);
    assert_int_equal(flag.since, 100);
    assert_true(flag.is_dry_run);
    flag = queue_account_flag(&a, LEVEL_OFF, 200);
    assert_int_equal(flag.level, LEVEL_ENCRYPT);
    assert_false(flag.is_dry_run);
    a.is_dry_run = false;
    a.back_is_dry_run = true;
    assert_false(queue_account_flag(&a, LEVEL_OFF, 199).is_dry_run);
    assert_true(queue_account_flag(&a, LEVEL_OFF, 200).is_dry_run);
    /* The default is nobody's flag and is not tried out. */
    a.back_has_flag = false;
    flag = queue_account_flag(&a, LEVEL_ENCRYPT, 200);
    assert_int_equal(flag.level, LEVEL_ENCRYPT);
    assert_false(flag.is_dry_run);
}

static void each_claim_of_an_account_is_stored_apart(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 7; i++) {
        struct desk_answer answer = {0};
        struct queue_account a = {.address = "alice@example.org",
                                  .has_flag = i == 0,
                                  .is_locked = i == 1,
                                  .back_has_flag = i == 2,
                                  .back_is_locked = i == 3,
                                  .is_dry_run = i == 4,
                                  .back_is_dry_run = i == 5,
                                  .wants_receipts = i == 6};
        queue_account_put(desk.q, &a, i == 0, &desk.poster, desk_done, &answer);
        assert_int_equal(desk_wait(&desk, &answer), 0);
        assert_int_equal(find("alice@example.org", &a), 0);
        const bool got[] = {a.has_flag,   a.is_locked,       a.back_has_flag, a.back_is_locked,
                            a.is_dry_run, a.back_is_dry_run, a.wants_receipts};
        for (unsigned j = 0; j < COUNT_OF(got); j++)
            assert_int_equal(got[j], i == j);
        queue_account_clear(&a);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_account_reads_back_by_address_in_any_case_and_by_alias),
        TEST(an_address_belongs_to_one_user_only),
        TEST(replacing_an_account_keeps_its_aliases),
        TEST(a_walk_shows_all_accounts_until_told_to_stop),
        TEST(forwards_belong_to_the_account_behind_the_name),
        TEST(what_can_not_be_read_is_neither_there_nor_missing),
        TEST(removing_an_account_removes_its_aliases_and_forwards),
        TEST(the_level_returns_by_itself),
        TEST(a_dry_run_goes_with_its_flag),
        TEST(each_claim_of_an_account_is_stored_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
