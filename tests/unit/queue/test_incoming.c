#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mail/id.h"
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

static const char *const bob[] = {"bob@one.example"};

static void assert_content(uint64_t id, size_t size)
{
    struct buffer got;
    char *want = desk_content(size, (unsigned)id);
    buffer_init(&got, size + 1);
    /* Odd steps cross the pieces' borders at all places. */
    for (uint64_t at = 0;;) {
        int64_t n = queue_content_read(desk.q, id, at, 3001, &got);
        assert_true(n >= 0);
        if (n == 0)
            break;
        at += (uint64_t)n;
    }
    assert_int_equal(got.len, size);
    assert_memory_equal(size ? got.data : "", want, size);
    buffer_free(&got);
    free(want);
}

static void a_message_of_any_size_reads_back_after_a_restart(void **state)
{
    static const size_t sizes[] = {0,     1,     4079,   4080,   4081,   8160,   65279,
                                   65280, 65281, 130560, 262144, 300001, 1000000};
    uint64_t ids[COUNT_OF(sizes)];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        assert_int_equal(desk_queue(&desk, "a@b.example", bob, 1, sizes[i], 1000, &ids[i]), 0);
    desk_reopen(&desk);
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        assert_content(ids[i], sizes[i]);
}

static void the_envelope_reads_back_after_a_restart(void **state)
{
    struct envelope e;
    struct desk_answer a = {0};
    struct queue_message m;
    struct queue_recipient *r;
    size_t count;
    (void)state;
    struct queue_incoming *in = queue_incoming_begin(desk.q, &desk.poster);
    uint64_t id = queue_incoming_id(in);
    assert_int_equal(queue_incoming_append(in, SLICE("Subject: x\r\n\r\n")), 0);
    envelope_init(&e);
    e.origin = ORIGIN_RELAY;
    envelope_set(&e.reverse_path, "Alice@sender.example");
    envelope_set(&e.user, "u@sender.example");
    envelope_set(&e.envid, "QQ314159");
    e.ret = RET_HDRS;
    e.content_8bit = true;
    struct envelope_recipient *er = envelope_add(&e, "Bob@one.example");
    envelope_set(&er->orcpt, "rfc822;Bob@one.example");
    envelope_set(&er->owner, "u@sender.example");
    er->notify = NOTIFY_SUCCESS | NOTIFY_DELAY;
    er->level = LEVEL_VERIFIED;
    er->exemption = EXEMPTION_FORWARD;
    envelope_add(&e, "carol@two.example");
    queue_incoming_commit(in, &e, 111, 222, desk_done, &a);
    assert_null(e.recipients);
    assert_int_equal(desk_wait(&desk, &a), 0);
    desk_reopen(&desk);

    assert_int_equal(queue_message_read(desk.q, id, &m), 0);
    assert_int_equal(m.id, id);
    assert_int_equal(m.origin, ORIGIN_RELAY);
    assert_string_equal(m.reverse_path, "Alice@sender.example");
    assert_string_equal(m.user, "u@sender.example");
    assert_string_equal(m.envid, "QQ314159");
    assert_int_equal(m.ret, RET_HDRS);
    assert_true(m.content_8bit);
    assert_false(m.requiretls || m.is_redacted);
    assert_int_equal(m.size, 14);
    assert_int_equal(m.arrived_at_ms, 111);
    queue_message_free(&m);

    assert_int_equal(queue_recipients_read(desk.q, id, &r, &count), 0);
    assert_int_equal(count, 2);
    assert_string_equal(r[0].address, "Bob@one.example");
    assert_string_equal(r[0].orcpt, "rfc822;Bob@one.example");
    assert_string_equal(r[0].owner, "u@sender.example");
    assert_int_equal(r[0].notify, NOTIFY_SUCCESS | NOTIFY_DELAY);
    assert_int_equal(r[0].level, LEVEL_VERIFIED);
    assert_int_equal(r[0].exemption, EXEMPTION_FORWARD);
    assert_int_equal(r[0].state, QUEUE_QUEUED);
    assert_int_equal(r[0].started_at_ms, 111);
    assert_int_equal(r[0].due_at_ms, 222);
    assert_int_equal(r[0].outcome.status.class, 0);
    assert_int_equal(r[1].index, 1);
    assert_int_equal(r[1].id, id);
    assert_string_equal(r[1].address, "carol@two.example");
    queue_recipients_free(r, count);
}

static void a_message_is_guarded_from_reception_where_anything_binds_it_or_was_lifted(void **state)
{
    static const struct {
        enum level level;
        enum exemption exemption;
        bool requiretls;
        bool want;
    } cases[] = {
        {LEVEL_OFF, EXEMPTION_NONE, false, false},
        {LEVEL_ENCRYPT, EXEMPTION_NONE, false, true},
        {LEVEL_VERIFIED, EXEMPTION_FORWARD, false, true},
        {LEVEL_OFF, EXEMPTION_TLS_REQUIRED_NO, false, true},
        {LEVEL_OFF, EXEMPTION_NONE, true, true},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct envelope e;
        struct queue_message m;
        struct desk_answer a = {0};
        struct queue_incoming *in = queue_incoming_begin(desk.q, &desk.poster);
        uint64_t id = queue_incoming_id(in);
        envelope_init(&e);
        e.requiretls = cases[i].requiretls;
        (void)envelope_add(&e, "first@one.example");
        struct envelope_recipient *r = envelope_add(&e, "bob@one.example");
        r->level = cases[i].level;
        r->exemption = cases[i].exemption;
        queue_incoming_commit(in, &e, 1, 1, desk_done, &a);
        envelope_free(&e);
        assert_int_equal(desk_wait(&desk, &a), 0);
        desk_reopen(&desk);
        assert_int_equal(queue_message_read(desk.q, id, &m), 0);
        assert_int_equal(m.is_guarded, cases[i].want);
        queue_message_free(&m);
    }
}

static void what_is_not_there_is_enoent(void **state)
{
    struct queue_message m;
    struct queue_recipient *r;
    struct buffer b;
    size_t count;
    (void)state;
    buffer_init(&b, 100);
    assert_int_equal(queue_message_read(desk.q, 42, &m), -ENOENT);
    assert_int_equal(queue_recipients_read(desk.q, 42, &r, &count), -ENOENT);
    assert_int_equal(queue_content_read(desk.q, 42, 0, 10, &b), -ENOENT);
}

static void an_aborted_message_leaves_nothing(void **state)
{
    struct queue_status before, after;
    (void)state;
    /* The first stream makes the tables' own pages. */
    for (int i = 0; i < 3; i++) {
        struct queue_incoming *in = queue_incoming_begin(desk.q, &desk.poster);
        char *content = desk_content(200000, 1);
        assert_int_equal(queue_incoming_append(in, (struct slice){content, 200000}), 0);
        free(content);
        queue_incoming_abort(in);
        desk_reopen(&desk);
        queue_status(desk.q, i == 0 ? &before : &after);
    }
    assert_int_equal(after.messages, 0);
    assert_int_equal(after.used_bytes, before.used_bytes);
}

static void copy_store(const char *from_directory, const char *to_directory)
{
    char path[512];
    size_t len;
    static char bytes[1 << 16];
    snprintf(path, sizeof path, "%.200s/data.mdb", from_directory);
    FILE *from = fopen(path, "rb");
    assert_int_equal(mkdir(to_directory, 0700), 0);
    snprintf(path, sizeof path, "%.200s/data.mdb", to_directory);
    FILE *to = fopen(path, "wb");
    assert_true(from && to);
    while ((len = fread(bytes, 1, sizeof bytes, from)) > 0)
        assert_int_equal(fwrite(bytes, 1, len, to), len);
    fclose(from);
    fclose(to);
}

static void the_sweep_removes_what_was_never_committed(void **state)
{
    struct queue_status status;
    struct desk_answer a = {0};
    struct desk later;
    char path[512];
    (void)state;
    struct queue_incoming *in = queue_incoming_begin(desk.q, &desk.poster);
    char *content = desk_content(200000, 1);
    assert_int_equal(queue_incoming_append(in, (struct slice){content, 200000}), 0);
    free(content);
    queue_incoming_when_drained(in, desk_done, &a);
    assert_int_equal(desk_wait(&desk, &a), 0);
    queue_status(desk.q, &status);
    assert_true(status.used_bytes > 100000);

    /* What a crash at this moment would leave. */
    snprintf(path, sizeof path, "%s/later", desk.directory);
    copy_store(desk.directory, path);
    desk_open_at(&later, path, MIB);
    assert_string_equal(later.last_event, "store-swept");
    queue_status(later.q, &status);
    assert_true(status.used_bytes < 100000);
    desk_close(&later);
    queue_incoming_abort(in);
}

static void pending_falls_again_and_drained_is_told(void **state)
{
    struct desk_answer a = {0};
    (void)state;
    struct queue_incoming *in = queue_incoming_begin(desk.q, &desk.poster);
    char *content = desk_content(QUEUE_INCOMING_PENDING_MAX, 1);
    assert_int_equal(queue_incoming_append(in, (struct slice){content, QUEUE_INCOMING_PENDING_MAX}),
                     0);
    free(content);
    assert_int_equal(queue_incoming_pending(in), QUEUE_INCOMING_PENDING_MAX);
    queue_incoming_when_drained(in, desk_done, &a);
    assert_false(a.is_done);
    assert_int_equal(desk_wait(&desk, &a), 0);
    assert_true(queue_incoming_pending(in) < QUEUE_INCOMING_PENDING_MAX / 2);
    queue_incoming_abort(in);
}

static void drained_is_told_later_even_when_nothing_is_pending(void **state)
{
    struct desk_answer a = {0};
    (void)state;
    struct queue_incoming *in = queue_incoming_begin(desk.q, &desk.poster);
    queue_incoming_when_drained(in, desk_done, &a);
    assert_false(a.is_done);
    assert_int_equal(desk_wait(&desk, &a), 0);
    /* Aborted while one is on its way: never told. */
    a.is_done = false;
    queue_incoming_when_drained(in, desk_done, &a);
    queue_incoming_abort(in);
    desk_reopen(&desk);
    assert_false(a.is_done);
}

static void a_message_without_recipients_is_refused(void **state)
{
    uint64_t id;
    (void)state;
    assert_int_equal(desk_queue(&desk, "a@b.example", NULL, 0, 100, 1000, &id), -EINVAL);
    assert_int_equal(desk_queue(&desk, "a@b.example", NULL, 0, 200000, 1000, &id), -EINVAL);
    desk_reopen(&desk);
    assert_int_equal(desk.event_count, 0); /* nothing to sweep */
}

static void a_full_store_refuses_mail_and_takes_it_again_after_removal(void **state)
{
    struct queue_status status;
    uint64_t ids[64];
    size_t count = 0;
    int rc = 0;
    (void)state;
    desk_close(&desk);
    desk_open(&desk, 4 * MIB);
    while (count < COUNT_OF(ids) &&
           (rc = desk_queue(&desk, "a@b.example", bob, 1, 300000, 1000, &ids[count])) == 0)
        count++;
    assert_int_equal(rc, -ENOSPC);
    assert_in_range(count, 10, 14);
    queue_status(desk.q, &status);
    assert_int_equal(status.messages, count);
    assert_true(status.used_bytes <= status.limit_bytes);
    for (size_t i = 0; i < count; i++) {
        struct desk_answer a = {0};
        queue_remove(desk.q, ids[i], &desk.poster, desk_done, &a);
        assert_int_equal(desk_wait(&desk, &a), 0);
    }
    queue_status(desk.q, &status);
    assert_int_equal(status.messages, 0);
    assert_true(status.used_bytes < 200000);
    assert_int_equal(desk_queue(&desk, "a@b.example", bob, 1, 300000, 1000, &ids[0]), 0);
}

static void the_store_is_full_when_not_even_an_empty_message_comes_in(void **state)
{
    uint64_t id;
    unsigned count = 0;
    (void)state;
    desk_close(&desk);
    desk_open(&desk, 300000);
    for (bool is_full = false; !is_full; count++) {
        is_full = queue_is_full(desk.q);
        int rc = desk_queue(&desk, "a@b.example", bob, 1, 0, 1000, &id);
        assert_int_equal(rc, is_full ? -ENOSPC : 0);
    }
    assert_in_range(count, 50, 5000);
    desk_reopen(&desk);
    assert_true(queue_is_full(desk.q));
}

static void many_messages_share_commits(void **state)
{
    enum { COUNT = 200 };
    static struct desk_answer answers[COUNT];
    struct queue_status status;
    (void)state;
    memset(answers, 0, sizeof answers);
    for (size_t i = 0; i < COUNT; i++) {
        struct envelope e;
        struct queue_incoming *in = queue_incoming_begin(desk.q, &desk.poster);
        assert_int_equal(queue_incoming_append(in, SLICE("x\r\n")), 0);
        envelope_init(&e);
        (void)envelope_add(&e, "bob@one.example");
        queue_incoming_commit(in, &e, 1, 1, desk_done, &answers[i]);
    }
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(desk_wait(&desk, &answers[i]), 0);
    queue_status(desk.q, &status);
    assert_int_equal(status.messages, COUNT);
    assert_int_equal(status.queued, COUNT);
    assert_true(status.commits < COUNT / 2);
}

static void ids_look_proper_and_are_never_used_again(void **state)
{
    char text[ID_SIZE];
    uint64_t last = 0;
    (void)state;
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 1000; j++) {
            struct queue_incoming *in = queue_incoming_begin(desk.q, &desk.poster);
            uint64_t id = queue_incoming_id(in);
            queue_incoming_abort(in);
            assert_true(id > last);
            last = id;
        }
        assert_int_equal(strlen(id_text(last, text)), 12);
        assert_int_not_equal(text[0], '0');
        desk_reopen(&desk);
    }
}

static void the_reserve_of_ids_is_moved_on_ahead_of_time(void **state)
{
    uint64_t first = queue_notice_id(desk.q);
    uint64_t last = first;
    unsigned refused = 0;
    (void)state;
    /* A loop this tight may outrun the disk; then it waits, and goes on. */
    while (last < first + 1500000 && refused < 20000) {
        uint64_t id = queue_notice_id(desk.q);
        if (id != 0) {
            last = id;
            continue;
        }
        refused++;
        usleep(1000);
    }
    assert_true(last >= first + 1500000);
    desk_reopen(&desk);
    assert_true(queue_notice_id(desk.q) > last);
}

static void a_second_opener_is_told_that_the_lock_is_held(void **state)
{
    struct desk other = desk;
    char error[256];
    (void)state;
    assert_int_equal(desk_try_open(&other, error, sizeof error), -EWOULDBLOCK);
    assert_non_null(strstr(error, "held by another process"));
}

static void files_are_for_the_owner_alone(void **state)
{
    static const char *const names[] = {"lock", "data.mdb", "lock.mdb"};
    char path[512];
    struct stat st;
    (void)state;
    snprintf(path, sizeof path, "%s/state", desk.directory);
    struct desk other;
    desk_open_at(&other, path, MIB);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        snprintf(path, sizeof path, "%s/%s", other.directory, names[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    desk_close(&other);
}

struct visits {
    uint64_t ids[10];
    size_t count;
    size_t stop_after;
};

static bool visit(void *context, const struct queue_message *m, const struct queue_recipient *r,
                  size_t count)
{
    struct visits *v = context;
    assert_int_equal(count, 1);
    assert_int_equal(r[0].id, m->id);
    v->ids[v->count++] = m->id;
    return v->count != v->stop_after;
}

static void a_walk_visits_all_in_order_and_stops_when_told(void **state)
{
    struct visits v = {.stop_after = 0};
    uint64_t ids[5];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        ids[i] = desk_one(&desk, "bob@one.example", 1000);
    assert_int_equal(queue_walk(desk.q, 0, 3, visit, &v), ids[2]);
    assert_int_equal(queue_walk(desk.q, ids[2], 3, visit, &v), ids[4]);
    assert_int_equal(queue_walk(desk.q, ids[4], 3, visit, &v), 0);
    assert_int_equal(v.count, 5);
    assert_memory_equal(v.ids, ids, sizeof ids);
    v = (struct visits){.stop_after = 2};
    assert_int_equal(queue_walk(desk.q, 0, 10, visit, &v), ids[1]);
    assert_int_equal(queue_held_walk(desk.q, 0, 10, visit, &v), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_message_of_any_size_reads_back_after_a_restart),
        TEST(the_envelope_reads_back_after_a_restart),
        TEST(a_message_is_guarded_from_reception_where_anything_binds_it_or_was_lifted),
        TEST(what_is_not_there_is_enoent),
        TEST(an_aborted_message_leaves_nothing),
        TEST(the_sweep_removes_what_was_never_committed),
        TEST(pending_falls_again_and_drained_is_told),
        TEST(drained_is_told_later_even_when_nothing_is_pending),
        TEST(a_message_without_recipients_is_refused),
        TEST(a_full_store_refuses_mail_and_takes_it_again_after_removal),
        TEST(the_store_is_full_when_not_even_an_empty_message_comes_in),
        TEST(many_messages_share_commits),
        TEST(ids_look_proper_and_are_never_used_again),
        TEST(the_reserve_of_ids_is_moved_on_ahead_of_time),
        TEST(a_second_opener_is_told_that_the_lock_is_held),
        TEST(files_are_for_the_owner_alone),
        TEST(a_walk_visits_all_in_order_and_stops_when_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
