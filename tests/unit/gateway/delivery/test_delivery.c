/* Delivery on a real store and a real loop, to a mail store that is not there. Reading the queue is
 * wrapped, so that it can fail; clock and timers run fast. */
#include "gateway/delivery/delivery.h"
#include "gateway/posture/posture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/net/loop.h"
#include "gateway/tls/context.h"
#include "mail/date.h"
#include "tests/support/queue_desk.h"

#define MIB ((uint64_t)1 << 20)
#define SPEED 50 /* a second of delivery's takes 20 ms */
#define RETRY_MS (5000 / SPEED)
#define MANY 150 /* more than are taken from a lane at once */

/* ---- what is between delivery and the store ---- */

static struct {
    _Atomic unsigned takes_to_fail, reads_to_fail;
    _Atomic unsigned takes, reads;
    _Atomic int64_t first_failed_ms, last_failed_ms;
} door;

int64_t __real_date_now_ms(void);
int64_t __wrap_date_now_ms(void);
int64_t __wrap_date_now_ms(void)
{
    static _Atomic int64_t start;
    int64_t now = __real_date_now_ms(), none = 0;
    atomic_compare_exchange_strong(&start, &none, now);
    return start + (now - start) * SPEED;
}

void __real_loop_timer_start(struct loop_timer *t, int64_t in_ms);
void __wrap_loop_timer_start(struct loop_timer *t, int64_t in_ms);
void __wrap_loop_timer_start(struct loop_timer *t, int64_t in_ms)
{
    __real_loop_timer_start(t, in_ms <= 0 ? 0 : (in_ms + SPEED - 1) / SPEED);
}

static bool fails_now(_Atomic unsigned *count)
{
    int64_t none = 0;
    if (*count == 0)
        return false;
    --*count;
    door.last_failed_ms = __real_date_now_ms();
    atomic_compare_exchange_strong(&door.first_failed_ms, &none, door.last_failed_ms);
    return true;
}

ptrdiff_t __real_queue_take(struct queue *q, const struct queue_lane *lane, int64_t now_ms,
                            struct queue_recipient *out, size_t max, int64_t *next_due_at_ms);
ptrdiff_t __wrap_queue_take(struct queue *q, const struct queue_lane *lane, int64_t now_ms,
                            struct queue_recipient *out, size_t max, int64_t *next_due_at_ms);
ptrdiff_t __wrap_queue_take(struct queue *q, const struct queue_lane *lane, int64_t now_ms,
                            struct queue_recipient *out, size_t max, int64_t *next_due_at_ms)
{
    door.takes++;
    if (fails_now(&door.takes_to_fail))
        return -EIO;
    return __real_queue_take(q, lane, now_ms, out, max, next_due_at_ms);
}

int __real_queue_message_read(struct queue *q, uint64_t id, struct queue_message *out);
int __wrap_queue_message_read(struct queue *q, uint64_t id, struct queue_message *out);
int __wrap_queue_message_read(struct queue *q, uint64_t id, struct queue_message *out)
{
    door.reads++;
    if (fails_now(&door.reads_to_fail))
        return -EIO;
    return __real_queue_message_read(q, id, out);
}

/* ---- the scene: store, loop on a thread of its own, events ---- */

static struct desk desk;
static struct {
    struct loop *loop;
    pthread_t thread;
    struct delivery *delivery;
    struct delivery_settings *settings;
    struct posture *posture;
    struct event_sink events;
    struct loop_timer *open; /* keeps the loop running */
    _Atomic bool is_stopped;
    _Atomic unsigned attempted; /* recipients with a disposition */
} scene;

static void emit(void *context, enum event_severity severity, const char *event,
                 const struct event_field *fields, size_t count)
{
    (void)context;
    (void)severity;
    (void)fields;
    (void)count;
    scene.attempted += strcmp(event, "disposition") == 0;
}

static void nothing(void *context)
{
    (void)context;
}

static struct delivery_settings *settings_new(void)
{
    char error[200];
    struct delivery_settings *s = delivery_settings_new();
    snprintf(s->hostname, sizeof s->hostname, "mail.site.example");
    s->port = 25;
    s->concurrency = 4;
    s->connect_timeout_ms = 10000;
    s->retry_first_ms = s->retry_max_ms = 86400000;
    s->lifetime_ms = s->warn_after_ms = s->patience_ms = 5 * 86400000LL;
    s->tls = tls_client_new("", error, sizeof error);
    assert_non_null(s->tls);
    s->route_count = 1;
    s->routes = xalloc(sizeof *s->routes);
    snprintf(s->routes[0].pattern, sizeof s->routes[0].pattern, "store.example");
    s->routes[0].tls = GUARANTEE_POLICY_MAY;
    s->routes[0].protocol = CLIENT_LMTP;
    assert_true(delivery_next_hop_parse(SLICE("unix:/nonexistent/lmtp"), &s->routes[0].next_hop));
    return s;
}

static int setup(void **state)
{
    (void)state;
    memset(&door, 0, sizeof door);
    memset(&scene, 0, sizeof scene);
    scene.events = (struct event_sink){emit, NULL, EVENT_DEBUG};
    desk_open(&desk, 64 * MIB);
    scene.settings = settings_new();
    scene.posture = posture_new(desk.q, NULL);
    return 0;
}

static void *run_loop(void *argument)
{
    loop_run(argument);
    return NULL;
}

/* The mail of the scene is stored; now it is to be delivered. */
static void start(void)
{
    scene.loop = loop_new();
    assert_non_null(scene.loop);
    scene.open = loop_timer_new(scene.loop, nothing, NULL);
    struct delivery_options o = {
        .loop = scene.loop,
        .queue = desk.q,
        .posture = scene.posture,
        .settings = scene.settings,
        .shares = 1,
        .events = &scene.events,
    };
    scene.delivery = delivery_new(&o);
    assert_non_null(scene.delivery);
    assert_int_equal(pthread_create(&scene.thread, NULL, run_loop, scene.loop), 0);
}

static void stopped(void *context)
{
    (void)context;
    scene.is_stopped = true;
}

static void stop_delivery(void *context)
{
    (void)context;
    delivery_stop(scene.delivery, 0, stopped, NULL);
}

static void close_all(void *context)
{
    (void)context;
    delivery_free(scene.delivery);
    loop_timer_free(scene.open);
    loop_stop(scene.loop);
}

static bool is_soon(_Atomic bool *flag, _Atomic unsigned *number, unsigned wanted)
{
    for (unsigned waited_ms = 0; waited_ms < 10000; waited_ms++) {
        if (flag ? *flag : *number >= wanted)
            return true;
        usleep(1000);
    }
    return false;
}

static int teardown(void **state)
{
    (void)state;
    door.takes_to_fail = door.reads_to_fail = 0;
    loop_post(scene.loop, stop_delivery, NULL);
    if (!is_soon(&scene.is_stopped, NULL, 0))
        panic("delivery does not stop");
    loop_post(scene.loop, close_all, NULL);
    pthread_join(scene.thread, NULL);
    loop_free(scene.loop);
    delivery_settings_unref(scene.settings);
    posture_free(scene.posture);
    desk_close(&desk);
    return 0;
}

/* ---- tests ---- */

static void mail_waits_while_the_queue_cannot_be_read(void **state)
{
    (void)state;
    (void)desk_one(&desk, "bob@store.example", date_now_ms());
    door.takes_to_fail = 3;
    start();
    assert_true(is_soon(NULL, &scene.attempted, 1));
    assert_in_range(door.takes, 4, 5);
    assert_true(door.last_failed_ms - door.first_failed_ms >= 2 * RETRY_MS - 10);
}

static void mail_waits_while_its_message_cannot_be_read(void **state)
{
    (void)state;
    (void)desk_one(&desk, "bob@store.example", date_now_ms());
    door.reads_to_fail = 3;
    start();
    assert_true(is_soon(NULL, &scene.attempted, 1));
    assert_int_equal(door.reads, 4);
    assert_true(door.last_failed_ms - door.first_failed_ms >= 2 * RETRY_MS - 10);
}

/* What is left of its lane is no reason to try the same read again at once. */
static void a_message_of_many_recipients_that_cannot_be_read_keeps_nobody_busy(void **state)
{
    (void)state;
    static char addresses[MANY][32];
    const char *recipients[MANY];
    uint64_t id;
    for (size_t i = 0; i < MANY; i++) {
        snprintf(addresses[i], sizeof addresses[i], "r%zu@store.example", i);
        recipients[i] = addresses[i];
    }
    assert_int_equal(
        desk_queue(&desk, "alice@sender.example", recipients, MANY, 500, date_now_ms(), &id), 0);
    door.reads_to_fail = 3;
    start();
    assert_true(is_soon(NULL, &scene.attempted, MANY));
    assert_true(door.last_failed_ms - door.first_failed_ms >= 2 * RETRY_MS - 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(mail_waits_while_the_queue_cannot_be_read, setup, teardown),
        cmocka_unit_test_setup_teardown(mail_waits_while_its_message_cannot_be_read, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            a_message_of_many_recipients_that_cannot_be_read_keeps_nobody_busy, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
