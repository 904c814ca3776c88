/* The life of a probe that never comes to ask anybody; what it finds is tested on real hosts
 * (tests/system/test_check.py). */
#include "gateway/delivery/probe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <unistd.h>

static struct {
    struct loop *loop;
    struct delivery_settings *settings;
    struct loop_timer *end;
    struct posture *posture;
    unsigned done;
} scene;

static void done(void *context, const struct probe_result *result)
{
    (void)context;
    (void)result;
    scene.done++;
}

static struct probe *new_probe(int64_t deadline_ms)
{
    struct probe_options o = {.loop = scene.loop,
                              .settings = scene.settings,
                              .posture = scene.posture,
                              .domain = "unix-route.example",
                              .level = LEVEL_ENCRYPT,
                              .deadline_ms = deadline_ms,
                              .done = done};
    struct probe *p = probe_new(&o);
    assert_non_null(p);
    return p;
}

static void end(void *context)
{
    (void)context;
    loop_timer_free(scene.end);
    loop_stop(scene.loop);
}

static void run_from(void (*first)(void *argument))
{
    char error[200];
    scene.loop = loop_new();
    scene.settings = delivery_settings_new();
    scene.settings->connect_timeout_ms = 5000;
    scene.settings->tls = tls_client_new("", error, sizeof error);
    scene.settings->route_count = 1;
    scene.settings->routes = xalloc(sizeof *scene.settings->routes);
    scene.settings->routes[0] =
        (struct delivery_route){.pattern = "unix-route.example", .tls = GUARANTEE_POLICY_MAY};
    assert_true(delivery_next_hop_parse(SLICE("unix:/nonexistent/smtp"),
                                        &scene.settings->routes[0].next_hop));
    scene.done = 0;
    scene.end = loop_timer_new(scene.loop, end, NULL);
    loop_timer_start(scene.end, 400);
    loop_post(scene.loop, first, NULL);
    loop_run(scene.loop);
    loop_free(scene.loop);
    delivery_settings_unref(scene.settings);
}

static void ask_in_a_long_turn(void *argument)
{
    (void)argument;
    (void)new_probe(50);
    usleep(120000); /* the turn takes longer than the deadline */
}

static void a_turn_longer_than_the_deadline_does_not_end_it_before_it_began(void **state)
{
    (void)state;
    run_from(ask_in_a_long_turn);
    assert_int_equal(scene.done, 1);
}

static void ask_and_cancel(void *argument)
{
    (void)argument;
    probe_cancel(new_probe(50));
}

static void one_that_is_cancelled_before_it_began_tells_nobody(void **state)
{
    (void)state;
    run_from(ask_and_cancel);
    assert_int_equal(scene.done, 0);
}

/* Memory and what is learnt are of no matter here. */
struct posture_memory __wrap_posture_memory(struct posture *p, const char *domain, const char *host,
                                            int64_t remember, int64_t now);
struct posture_memory __wrap_posture_memory(struct posture *p, const char *domain, const char *host,
                                            int64_t remember, int64_t now)
{
    (void)p;
    (void)domain;
    (void)host;
    (void)remember;
    (void)now;
    return (struct posture_memory){.tls_seen_at = 0};
}

void __wrap_posture_learn(struct posture *p, const char *domain, const struct guarantee_host *h,
                          const char *key_exchange, const char *key_digest, int64_t now);
void __wrap_posture_learn(struct posture *p, const char *domain, const struct guarantee_host *h,
                          const char *key_exchange, const char *key_digest, int64_t now)
{
    (void)p;
    (void)domain;
    (void)h;
    (void)key_exchange;
    (void)key_digest;
    (void)now;
}

bool __wrap_posture_suspends_stops(const struct posture *p, int64_t now);
bool __wrap_posture_suspends_stops(const struct posture *p, int64_t now)
{
    (void)p;
    (void)now;
    return false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_turn_longer_than_the_deadline_does_not_end_it_before_it_began),
        cmocka_unit_test(one_that_is_cancelled_before_it_began_tells_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
