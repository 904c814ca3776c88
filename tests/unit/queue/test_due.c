#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
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

struct news {
    struct queue_lane lanes[32];
    int64_t due[32];
    size_t count;
};

static void note(void *context, const struct queue_lane *lane, int64_t due_at_ms)
{
    struct news *news = context;
    assert_true(news->count < COUNT_OF(news->lanes));
    news->lanes[news->count] = *lane;
    news->due[news->count++] = due_at_ms;
}

static void take_one(int64_t now_ms, struct queue_recipient *r)
{
    assert_int_equal(desk_take(&desk, now_ms, r, 1), 1);
}

static void settle_one(const struct queue_recipient *r, enum disposition disposition,
                       enum queue_report report, int64_t now_ms)
{
    struct queue_result result = desk_result(r, disposition, report, now_ms);
    assert_int_equal(desk_settle(&desk, &result, 1), 0);
}

static void new_mail_makes_one_lane_for_each_domain_and_sender(void **state)
{
    static const char *const two[] = {"bob@one.example", "Carol@two.example", "dan@one.example"};
    struct news news = {.count = 0};
    uint64_t id;
    (void)state;
    struct queue_watch *w = queue_watch_lanes(desk.q, &desk.poster, 0, 1, note, &news);
    assert_int_equal(desk_queue(&desk, "a@s.example", two, 3, 10, 5000, &id), 0);
    assert_int_equal(desk_queue(&desk, "b@s.example", two, 1, 10, 6000, &id), 0);
    desk_run(&desk);
    assert_int_equal(news.count, 3);
    assert_string_equal(news.lanes[0].domain, "one.example");
    assert_string_equal(news.lanes[1].domain, "two.example");
    assert_int_equal(news.due[0], 5000);
    assert_int_equal(news.lanes[0].flow, news.lanes[1].flow);
    assert_string_equal(news.lanes[2].domain, "one.example");
    assert_int_not_equal(news.lanes[2].flow, news.lanes[0].flow);
    queue_unwatch(w);

    /* A later watcher, or one after a restart, hears of the same lanes. */
    desk_reopen(&desk);
    struct news again = {.count = 0};
    w = queue_watch_lanes(desk.q, &desk.poster, 0, 1, note, &again);
    desk_run(&desk);
    assert_int_equal(again.count, 3);
    queue_unwatch(w);
}

static void each_domain_belongs_to_one_share(void **state)
{
    static const char *const list[] = {"a@d1.example", "a@d2.example", "a@d3.example",
                                       "a@d4.example", "a@d5.example", "a@d6.example"};
    struct news news[3] = {{.count = 0}};
    struct queue_watch *w[3];
    uint64_t id;
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        w[i] = queue_watch_lanes(desk.q, &desk.poster, i, 3, note, &news[i]);
    assert_int_equal(desk_queue(&desk, "a@s.example", list, 6, 10, 5000, &id), 0);
    desk_run(&desk);
    assert_int_equal(news[0].count + news[1].count + news[2].count, 6);
    assert_true(news[0].count < 6 && news[1].count < 6 && news[2].count < 6);
    for (unsigned i = 0; i < 3; i++)
        queue_unwatch(w[i]);
}

static void a_closed_watch_hears_nothing_of_what_is_on_its_way(void **state)
{
    struct news news = {.count = 0};
    (void)state;
    struct queue_watch *w = queue_watch_lanes(desk.q, &desk.poster, 0, 1, note, &news);
    struct envelope e;
    struct desk_answer a = {0};
    struct queue_incoming *in = queue_incoming_begin(desk.q, &desk.poster);
    envelope_init(&e);
    (void)envelope_add(&e, "bob@one.example");
    queue_incoming_commit(in, &e, 1, 1, desk_done, &a);
    struct queue_status status;
    do
        queue_status(desk.q, &status);
    while (status.messages == 0);
    queue_unwatch(w);
    desk_reopen(&desk);
    assert_true(a.is_done);
    assert_int_equal(news.count, 0);
}

static void take_gives_what_is_due_oldest_first_and_only_once(void **state)
{
    struct queue_recipient r[8];
    struct news news = {.count = 0};
    int64_t next;
    (void)state;
    uint64_t third = desk_one(&desk, "bob@one.example", 3000);
    uint64_t first = desk_one(&desk, "bob@one.example", 1000);
    uint64_t second = desk_one(&desk, "bob@one.example", 2000);
    uint64_t later = desk_one(&desk, "bob@one.example", 9000);
    struct queue_watch *w = queue_watch_lanes(desk.q, &desk.poster, 0, 1, note, &news);
    desk_run(&desk);
    queue_unwatch(w);
    assert_int_equal(news.count, 1);
    assert_int_equal(news.due[0], 1000);
    const struct queue_lane *lane = &news.lanes[0];

    assert_int_equal(queue_take(desk.q, lane, 500, r, 8, &next), 0);
    assert_int_equal(next, 1000);
    assert_int_equal(queue_take(desk.q, lane, 5000, r, 2, &next), 2);
    assert_int_equal(next, 3000);
    assert_int_equal(r[0].id, first);
    assert_int_equal(r[1].id, second);
    assert_string_equal(r[0].address, "bob@one.example");
    assert_int_equal(queue_take(desk.q, lane, 5000, r + 2, 6, &next), 1);
    assert_int_equal(r[2].id, third);
    assert_int_equal(next, 9000);
    assert_int_equal(queue_take(desk.q, lane, 5000, r + 3, 5, &next), 0);
    assert_int_equal(next, 9000);
    queue_give_back(desk.q, r[1].id, r[1].index);
    assert_int_equal(queue_take(desk.q, lane, 9000, r + 3, 5, &next), 2);
    assert_int_equal(r[3].id, second);
    assert_int_equal(r[4].id, later);
    assert_int_equal(next, INT64_MAX);
    for (size_t i = 0; i < 5; i++)
        queue_recipient_clear(&r[i]);
}

/* Takes every view there is, so that nothing can be read. */
enum { VIEWS_MAX = 2048 };

static size_t use_up_views(struct txn *views[VIEWS_MAX])
{
    size_t count = 0;
    while (count < VIEWS_MAX && (views[count] = store_view(desk.q->store)) != NULL)
        count++;
    assert_in_range(count, 1, VIEWS_MAX - 1);
    return count;
}

static void give_back_views(struct txn *views[VIEWS_MAX], size_t count)
{
    for (size_t i = 0; i < count; i++)
        store_view_end(views[i]);
}

static void a_store_that_can_not_be_read_is_told_apart_from_an_empty_lane(void **state)
{
    static struct txn *views[VIEWS_MAX];
    struct queue_recipient r[2];
    struct queue_lane lane;
    int64_t next = 0;
    (void)state;
    uint64_t id = desk_one(&desk, "bob@one.example", 1000);
    assert_int_equal(desk_take(&desk, 1000, r, 1), 1);
    record_lane(slice_of(r[0].address), room_flow("alice@sender.example", ""), &lane);
    queue_give_back(desk.q, id, 0);
    queue_recipient_clear(r);
    size_t count = use_up_views(views);
    assert_int_equal(queue_take(desk.q, &lane, 1000, r, 2, &next), -EIO);
    assert_int_equal(leases_count(desk.q->leases), 0);
    give_back_views(views, count);
    assert_int_equal(queue_take(desk.q, &lane, 1000, r, 2, &next), 1);
    queue_recipient_clear(r);
}

/* LMDB takes up an idle view here before the library does: so many times more it succeeds. */

static unsigned renewals_left = UINT_MAX;
struct MDB_txn;
int mdb_txn_renew(struct MDB_txn *txn);

int mdb_txn_renew(struct MDB_txn *txn)
{
    union {
        void *symbol;
        int (*call)(struct MDB_txn *txn);
    } real = {.symbol = dlsym(RTLD_NEXT, "mdb_txn_renew")};
    if (__atomic_load_n(&renewals_left, __ATOMIC_SEQ_CST) == 0)
        return EIO;
    __atomic_fetch_sub(&renewals_left, 1, __ATOMIC_SEQ_CST);
    return real.call(txn);
}

static void what_was_chosen_and_can_not_be_read_then_is_not_leased(void **state)
{
    struct queue_recipient r[2];
    struct queue_lane lane;
    int64_t next = 0;
    (void)state;
    (void)desk_one(&desk, "bob@one.example", 1000);
    record_lane(SLICE("bob@one.example"), room_flow("alice@sender.example", ""), &lane);
    store_view_end(store_view(desk.q->store));
    __atomic_store_n(&renewals_left, 1, __ATOMIC_SEQ_CST);
    ptrdiff_t got = queue_take(desk.q, &lane, 1000, r, 2, &next);
    __atomic_store_n(&renewals_left, UINT_MAX, __ATOMIC_SEQ_CST);
    assert_int_equal(got, -EIO);
    assert_int_equal(leases_count(desk.q->leases), 0);
    assert_int_equal(queue_take(desk.q, &lane, 1000, r, 2, &next), 1);
    queue_recipient_clear(r);
}

static void a_watch_hears_of_its_lanes_even_if_they_can_not_be_read_at_first(void **state)
{
    static struct txn *views[VIEWS_MAX];
    struct news news = {.count = 0};
    struct desk_answer later = {0};
    (void)state;
    (void)desk_one(&desk, "bob@one.example", 1000);
    size_t count = use_up_views(views);
    struct queue_watch *w = queue_watch_lanes(desk.q, &desk.poster, 0, 1, note, &news);
    give_back_views(views, count);
    queue_retry(desk.q, 4711, 1000, &desk.poster, desk_done, &later);
    assert_int_equal(desk_wait(&desk, &later), -ENOENT); /* the writer has passed by */
    desk_run(&desk);
    assert_in_range(news.count, 1, 2);
    assert_string_equal(news.lanes[0].domain, "one.example");
    queue_unwatch(w);
}

static void lanes_whose_names_begin_alike_are_kept_apart(void **state)
{
    struct queue_recipient r[8];
    struct queue_lane lane = {.domain = "one.example"};
    struct news news = {.count = 0};
    int64_t next;
    (void)state;
    uint64_t id = desk_one(&desk, "bob@one.example", 1000);
    (void)desk_one(&desk, "bob@one.example.org", 1000);
    (void)desk_one(&desk, "bob@one.exampl", 1000);
    struct queue_watch *w = queue_watch_lanes(desk.q, &desk.poster, 0, 1, note, &news);
    desk_run(&desk);
    queue_unwatch(w);
    assert_int_equal(news.count, 3);
    lane.flow = news.lanes[0].flow;
    assert_int_equal(queue_take(desk.q, &lane, 5000, r, 8, &next), 1);
    assert_int_equal(r[0].id, id);
    assert_int_equal(next, INT64_MAX);
    queue_recipient_clear(&r[0]);
}

static void a_delivered_recipient_is_gone_and_the_message_with_the_last_one(void **state)
{
    static const char *const two[] = {"bob@one.example", "carol@two.example"};
    struct queue_recipient r[2];
    struct queue_recipient *list;
    struct queue_message m;
    struct queue_status status;
    size_t count;
    uint64_t id;
    (void)state;
    assert_int_equal(desk_queue(&desk, "a@s.example", two, 2, 10000, 1000, &id), 0);
    assert_int_equal(desk_take(&desk, 1000, r, 2), 2);
    settle_one(&r[0], DISPOSITION_DELIVERED, QUEUE_REPORT_NONE, 1500);
    assert_int_equal(queue_recipients_read(desk.q, id, &list, &count), 0);
    assert_int_equal(count, 1);
    assert_int_equal(list[0].index, r[1].index);
    queue_recipients_free(list, count);
    settle_one(&r[1], DISPOSITION_DELIVERED, QUEUE_REPORT_NONE, 1600);
    assert_int_equal(queue_message_read(desk.q, id, &m), -ENOENT);
    queue_status(desk.q, &status);
    assert_int_equal(status.messages, 0);
    assert_int_equal(status.queued, 0);
    queue_recipient_clear(&r[0]);
    queue_recipient_clear(&r[1]);
}

static void a_deferred_recipient_is_due_again_at_its_time(void **state)
{
    struct queue_recipient r;
    struct queue_recipient after;
    struct queue_status status;
    struct news news = {.count = 0};
    (void)state;
    uint64_t id = desk_one(&desk, "bob@one.example", 1000);
    take_one(1000, &r);
    struct queue_watch *w = queue_watch_lanes(desk.q, &desk.poster, 0, 1, note, &news);
    desk_run(&desk);
    news.count = 0;
    struct queue_result result = desk_result(&r, DISPOSITION_DEFERRED, QUEUE_REPORT_NONE, 2000);
    result.trouble_since = 77;
    outcome_set_host(&result.outcome, "mx.one.example", "192.0.2.7", 25);
    assert_int_equal(desk_settle(&desk, &result, 1), 0);
    desk_run(&desk);
    assert_int_equal(news.count, 1);
    assert_int_equal(news.due[0], 302000);
    queue_unwatch(w);
    queue_recipient_clear(&r);

    desk_reopen(&desk);
    queue_status(desk.q, &status);
    assert_int_equal(status.deferred, 1);
    assert_int_equal(status.queued, 0);
    assert_int_equal(desk_take(&desk, 301999, &after, 1), 0);
    take_one(302000, &after);
    assert_int_equal(after.id, id);
    assert_int_equal(after.state, QUEUE_DEFERRED);
    assert_int_equal(after.attempts, 1);
    assert_int_equal(after.trouble_since, 77);
    assert_int_equal(after.last_attempt_at_ms, 2000);
    assert_int_equal(after.started_at_ms, 1000);
    assert_string_equal(after.outcome.text, "because of a test");
    assert_string_equal(after.outcome.mx, "mx.one.example");
    assert_string_equal(after.outcome.address, "192.0.2.7");
    assert_int_equal(after.outcome.port, 25);
    queue_recipient_clear(&after);
}

static void a_held_recipient_is_kept_with_what_was_shown(void **state)
{
    struct queue_recipient r;
    struct queue_recipient held;
    struct queue_status status;
    (void)state;
    uint64_t id = desk_one(&desk, "bob@one.example", 1000);
    take_one(1000, &r);
    struct queue_result result = desk_result(&r, DISPOSITION_HELD, QUEUE_REPORT_FAILURE, 2000);
    result.is_force_needed = true;
    assert_int_equal(desk_settle(&desk, &result, 1), 0);
    queue_recipient_clear(&r);
    desk_reopen(&desk);
    queue_status(desk.q, &status);
    assert_int_equal(status.held, 1);
    assert_int_equal(desk_take(&desk, INT64_MAX, &held, 1), 0);
    assert_int_equal(desk_recipient(&desk, id, 0, &held), 0);
    assert_int_equal(held.state, QUEUE_HELD);
    assert_int_equal(held.report, QUEUE_REPORT_FAILURE);
    assert_int_equal(held.stopped_at_ms, 2000);
    assert_int_equal(held.expires_at_ms, result.expires_at_ms);
    assert_string_equal(held.required, "TLS");
    assert_string_equal(held.evidence, result.evidence);
    assert_true(held.is_force_needed);
    assert_false(held.is_release_refused);
    queue_recipient_clear(&held);
}

static void a_discarded_stop_without_a_notice_is_held_all_the_same(void **state)
{
    static const char *const two[] = {"bob@one.example", "carol@one.example"};
    struct queue_recipient r[2];
    struct queue_recipient got;
    uint64_t id;
    (void)state;
    assert_int_equal(desk_queue(&desk, "a@s.example", two, 2, 10, 1000, &id), 0);
    assert_int_equal(desk_take(&desk, 1000, r, 2), 2);
    struct queue_result results[2] = {
        desk_result(&r[0], DISPOSITION_HELD, QUEUE_REPORT_NONE, 2000),
        desk_result(&r[1], DISPOSITION_HELD, QUEUE_REPORT_FAILURE, 2000)};
    results[0].is_discarded = results[1].is_discarded = true;
    assert_int_equal(desk_settle(&desk, results, 2), 0);
    assert_int_equal(desk_recipient(&desk, id, r[0].index, &got), 0);
    assert_int_equal(got.state, QUEUE_HELD);
    queue_recipient_clear(&got);
    assert_int_equal(desk_recipient(&desk, id, r[1].index, &got), 0);
    assert_int_equal(got.state, QUEUE_DISCARDED);
    queue_recipient_clear(&got);
    queue_recipient_clear(&r[0]);
    queue_recipient_clear(&r[1]);
}

static void a_result_for_what_was_removed_meanwhile_is_passed_over(void **state)
{
    struct queue_recipient r;
    struct queue_status status;
    struct desk_answer a = {0};
    (void)state;
    uint64_t id = desk_one(&desk, "bob@one.example", 1000);
    take_one(1000, &r);
    queue_remove(desk.q, id, &desk.poster, desk_done, &a);
    assert_int_equal(desk_wait(&desk, &a), 0);
    settle_one(&r, DISPOSITION_DEFERRED, QUEUE_REPORT_NONE, 2000);
    queue_status(desk.q, &status);
    assert_int_equal(status.messages, 0);
    assert_int_equal(status.deferred, 0);
    queue_recipient_clear(&r);
}

static bool is_guarded(uint64_t id)
{
    struct queue_message m;
    assert_int_equal(queue_message_read(desk.q, id, &m), 0);
    bool yes = m.is_guarded;
    queue_message_free(&m);
    return yes;
}

/* Not bound by anything at reception, to three. */
static uint64_t unguarded_message(struct queue_recipient r[3])
{
    static const char *const three[] = {"a@one.example", "b@one.example", "c@one.example"};
    struct envelope e;
    struct desk_answer a = {0};
    struct queue_incoming *in = queue_incoming_begin(desk.q, &desk.poster);
    uint64_t id = queue_incoming_id(in);
    envelope_init(&e);
    for (size_t i = 0; i < 3; i++)
        (void)envelope_add(&e, three[i]);
    queue_incoming_commit(in, &e, 1000, 1000, desk_done, &a);
    envelope_free(&e);
    assert_int_equal(desk_wait(&desk, &a), 0);
    assert_int_equal(desk_take(&desk, 1000, r, 3), 3);
    assert_false(is_guarded(id));
    return id;
}

static void a_message_once_guarded_stays_so_when_the_recipient_is_gone(void **state)
{
    struct queue_recipient r[3];
    (void)state;
    uint64_t id = unguarded_message(r);
    settle_one(&r[0], DISPOSITION_DELIVERED, QUEUE_REPORT_NONE, 2000);
    assert_false(is_guarded(id));
    struct queue_result result = desk_result(&r[1], DISPOSITION_DELIVERED, QUEUE_REPORT_NONE, 2000);
    result.is_guarded = true;
    assert_int_equal(desk_settle(&desk, &result, 1), 0);
    assert_true(is_guarded(id));
    settle_one(&r[2], DISPOSITION_FAILED, QUEUE_REPORT_FAILURE, 3000);
    desk_reopen(&desk);
    assert_true(is_guarded(id));
    for (size_t i = 0; i < 3; i++)
        queue_recipient_clear(&r[i]);
}

static void a_stop_guards_the_message_by_itself(void **state)
{
    struct queue_recipient r[3];
    (void)state;
    uint64_t id = unguarded_message(r);
    settle_one(&r[0], DISPOSITION_FAILED, QUEUE_REPORT_FAILURE, 2000);
    assert_false(is_guarded(id));
    settle_one(&r[1], DISPOSITION_HELD, QUEUE_REPORT_FAILURE, 2000);
    assert_true(is_guarded(id));
    for (size_t i = 0; i < 3; i++)
        queue_recipient_clear(&r[i]);
}

static void everything_unsettled_is_due_again_after_a_restart(void **state)
{
    struct queue_recipient r;
    (void)state;
    uint64_t id = desk_one(&desk, "bob@one.example", 1000);
    take_one(1000, &r);
    queue_recipient_clear(&r);
    desk_reopen(&desk);
    take_one(1000, &r);
    assert_int_equal(r.id, id);
    assert_int_equal(r.attempts, 0);
    queue_recipient_clear(&r);
}

static void retry_makes_deferred_recipients_due_now(void **state)
{
    struct queue_recipient r[3];
    struct desk_answer one = {0};
    struct desk_answer none = {0};
    struct desk_answer all = {0};
    (void)state;
    uint64_t id = desk_one(&desk, "bob@one.example", 1000);
    (void)desk_one(&desk, "bob@two.example", 1000);
    (void)desk_one(&desk, "bob@three.example", 50000);
    for (int i = 0; i < 2; i++) {
        take_one(1000, r);
        settle_one(r, DISPOSITION_DEFERRED, QUEUE_REPORT_NONE, 2000);
        queue_recipient_clear(r);
    }
    queue_retry(desk.q, 4711, 3000, &desk.poster, desk_done, &none);
    assert_int_equal(desk_wait(&desk, &none), -ENOENT);
    queue_retry(desk.q, id, 3000, &desk.poster, desk_done, &one);
    assert_int_equal(desk_wait(&desk, &one), 0);
    take_one(3000, r);
    assert_int_equal(r[0].id, id);
    queue_recipient_clear(r);
    assert_int_equal(desk_take(&desk, 3000, r, 1), 0);
    queue_retry(desk.q, 0, 4000, &desk.poster, desk_done, &all);
    assert_int_equal(desk_wait(&desk, &all), 0);
    /* Not the one on a lease, and not the one that was never tried. */
    take_one(4000, r);
    assert_string_equal(r[0].address, "bob@two.example");
    queue_recipient_clear(r);
    assert_int_equal(desk_take(&desk, 4000, r, 1), 0);
}

static void take_urgent(int64_t now_ms, struct queue_recipient *r, bool want)
{
    take_one(now_ms, r);
    assert_int_equal(r->is_urgent, want);
}

static void what_was_retried_is_urgent_until_it_is_settled(void **state)
{
    struct queue_recipient r;
    struct desk_answer one = {0};
    struct desk_answer due = {0};
    struct desk_answer all = {0};
    (void)state;
    uint64_t id = desk_one(&desk, "bob@one.example", 1000);
    take_urgent(1000, &r, false);
    settle_one(&r, DISPOSITION_DEFERRED, QUEUE_REPORT_NONE, 2000);
    queue_recipient_clear(&r);
    queue_retry(desk.q, id, 3000, &desk.poster, desk_done, &one);
    assert_int_equal(desk_wait(&desk, &one), 0);
    take_urgent(3000, &r, true);
    queue_give_back(desk.q, id, 0);
    queue_recipient_clear(&r);
    desk_reopen(&desk);
    take_urgent(3000, &r, true);
    settle_one(&r, DISPOSITION_DEFERRED, QUEUE_REPORT_NONE, 4000);
    queue_recipient_clear(&r);
    take_urgent(304000, &r, false);
    queue_give_back(desk.q, id, 0);
    queue_recipient_clear(&r);
    /* Due already, but perhaps not tried because of its destination. */
    queue_retry(desk.q, id, 304000, &desk.poster, desk_done, &due);
    assert_int_equal(desk_wait(&desk, &due), 0);
    take_urgent(304000, &r, true);
    queue_recipient_clear(&r);
    /* So may be what was never tried; what is held back is not due. */
    (void)desk_one(&desk, "carol@two.example", 304000);
    (void)desk_one(&desk, "dan@three.example", 305000);
    queue_retry(desk.q, 0, 304000, &desk.poster, desk_done, &all);
    assert_int_equal(desk_wait(&desk, &all), 0);
    take_urgent(304000, &r, true);
    assert_string_equal(r.address, "carol@two.example");
    queue_recipient_clear(&r);
    assert_int_equal(desk_take(&desk, 304000, &r, 1), 0);
    take_urgent(305000, &r, false);
    queue_recipient_clear(&r);
}

/* Takers on several threads while results are committed: nobody gets what is done. */

enum { CROWD = 400, TAKERS = 3 };

struct taker {
    pthread_t thread;
    struct queue_lane lane;
    unsigned *seen; /* shared, one for each message; atomic */
    uint64_t first;
};

static void nothing_done(void *context, int error)
{
    (void)error;
    __atomic_fetch_sub((unsigned *)context, 1, __ATOMIC_SEQ_CST);
}

static void post_inline(void *context, void (*run)(void *argument), void *argument)
{
    (void)context;
    run(argument);
}

static void *take_all(void *argument)
{
    struct taker *t = argument;
    struct queue_poster poster = {post_inline, NULL};
    unsigned open = 0;
    int64_t next = 0;
    for (int round = 0; round < 100000 && next != INT64_MAX; round++) {
        struct queue_recipient r[7];
        ptrdiff_t count = queue_take(desk.q, &t->lane, 5000, r, COUNT_OF(r), &next);
        for (ptrdiff_t i = 0; i < count; i++) {
            struct queue_result result =
                desk_result(&r[i], DISPOSITION_DELIVERED, QUEUE_REPORT_NONE, 5000);
            __atomic_fetch_add(&t->seen[r[i].id - t->first], 1, __ATOMIC_SEQ_CST);
            __atomic_fetch_add(&open, 1, __ATOMIC_SEQ_CST);
            queue_settle(desk.q, &result, 1, &poster, nothing_done, &open);
            queue_recipient_clear(&r[i]);
        }
    }
    while (__atomic_load_n(&open, __ATOMIC_SEQ_CST) > 0)
        sched_yield();
    return NULL;
}

static void nobody_takes_a_recipient_twice(void **state)
{
    static unsigned seen[CROWD];
    static struct desk_answer answers[CROWD];
    struct taker takers[TAKERS];
    struct news news = {.count = 0};
    struct queue_status status;
    uint64_t first = 0;
    (void)state;
    for (size_t i = 0; i < CROWD; i++) {
        struct envelope e;
        struct queue_incoming *in = queue_incoming_begin(desk.q, &desk.poster);
        if (first == 0)
            first = queue_incoming_id(in);
        envelope_init(&e);
        (void)envelope_add(&e, "bob@one.example");
        queue_incoming_commit(in, &e, 1, 1, desk_done, &answers[i]);
    }
    for (size_t i = 0; i < CROWD; i++)
        assert_int_equal(desk_wait(&desk, &answers[i]), 0);
    struct queue_watch *w = queue_watch_lanes(desk.q, &desk.poster, 0, 1, note, &news);
    desk_run(&desk);
    queue_unwatch(w);
    for (size_t i = 0; i < TAKERS; i++) {
        takers[i] = (struct taker){.lane = news.lanes[0], .seen = seen, .first = first};
        assert_int_equal(pthread_create(&takers[i].thread, NULL, take_all, &takers[i]), 0);
    }
    for (size_t i = 0; i < TAKERS; i++)
        pthread_join(takers[i].thread, NULL);
    for (size_t i = 0; i < CROWD; i++)
        assert_int_equal(seen[i], 1);
    assert_int_equal(leases_count(desk.q->leases), 0);
    queue_status(desk.q, &status);
    assert_int_equal(status.messages, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(new_mail_makes_one_lane_for_each_domain_and_sender),
        TEST(each_domain_belongs_to_one_share),
        TEST(a_closed_watch_hears_nothing_of_what_is_on_its_way),
        TEST(take_gives_what_is_due_oldest_first_and_only_once),
        TEST(a_store_that_can_not_be_read_is_told_apart_from_an_empty_lane),
        TEST(what_was_chosen_and_can_not_be_read_then_is_not_leased),
        TEST(a_watch_hears_of_its_lanes_even_if_they_can_not_be_read_at_first),
        TEST(lanes_whose_names_begin_alike_are_kept_apart),
        TEST(a_delivered_recipient_is_gone_and_the_message_with_the_last_one),
        TEST(a_deferred_recipient_is_due_again_at_its_time),
        TEST(a_held_recipient_is_kept_with_what_was_shown),
        TEST(a_discarded_stop_without_a_notice_is_held_all_the_same),
        TEST(a_result_for_what_was_removed_meanwhile_is_passed_over),
        TEST(a_message_once_guarded_stays_so_when_the_recipient_is_gone),
        TEST(a_stop_guards_the_message_by_itself),
        TEST(everything_unsettled_is_due_again_after_a_restart),
        TEST(retry_makes_deferred_recipients_due_now),
        TEST(what_was_retried_is_urgent_until_it_is_settled),
        TEST(nobody_takes_a_recipient_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
