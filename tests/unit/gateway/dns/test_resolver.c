/* The resolver against a name server of the test's own on loopback; signed zones are met in
 * tests/system/test_dns.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "gateway/dns/dns.h"

/* The real root's key: nothing on loopback is signed with it. */
static const char anchor[] =
    ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\n";

struct scene {
    struct loop *home;
    struct dns *dns;
    struct loop_timer *timer;
    char anchor_file[64];
    char resolver[64];
    int server; /* a socket that answers nothing */
    unsigned found;
    enum dns_status status;
    char detail[200];
};

static void write_file(char path[64], const char *content)
{
    snprintf(path, 64, "/tmp/sealpost-test-dns-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), strlen(content));
    close(fd);
}

static int silent_server(char resolver[64])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    snprintf(resolver, 64, "127.0.0.1@%u", ntohs(address.sin_port));
    return fd;
}

static void setup(struct scene *s)
{
    *s = (struct scene){0};
    write_file(s->anchor_file, anchor);
    s->server = silent_server(s->resolver);
    s->home = loop_new();
    assert_non_null(s->home);
    const char *resolvers[] = {s->resolver};
    struct dns_options options = {.resolvers = resolvers,
                                  .resolver_count = 1,
                                  .trust_anchor = s->anchor_file,
                                  .unbound_config = ""};
    char error[256] = "";
    s->dns = dns_new(s->home, &options, error, sizeof error);
    assert_string_equal(error, "");
    assert_non_null(s->dns);
}

static void teardown(struct scene *s)
{
    loop_free(s->home);
    close(s->server);
    unlink(s->anchor_file);
}

static void found_mx(void *context, const struct dns_mx *mx)
{
    struct scene *s = context;
    s->found++;
    s->status = mx->status;
    snprintf(s->detail, sizeof s->detail, "%s", mx->detail);
}

static void found_host(void *context, const struct dns_host *host)
{
    struct scene *s = context;
    s->found++;
    s->status = host->status;
    snprintf(s->detail, sizeof s->detail, "%s", host->detail);
}

static void found_txt(void *context, const struct dns_txt *txt)
{
    struct scene *s = context;
    s->found++;
    s->status = txt->status;
    snprintf(s->detail, sizeof s->detail, "%s", txt->detail);
}

static void stop(void *context)
{
    struct scene *s = context;
    dns_free(s->dns);
    loop_timer_free(s->timer);
    loop_stop(s->home);
}

static void stop_in(struct scene *s, int64_t in_ms)
{
    s->timer = loop_timer_new(s->home, stop, s);
    loop_timer_start(s->timer, in_ms);
}

static void freeing_tells_those_who_wait_that_it_is_our_fault(void **state)
{
    (void)state;
    struct scene s;
    setup(&s);
    assert_non_null(dns_find_mx(s.dns, s.home, "example.org", found_mx, &s));
    assert_non_null(dns_find_host(s.dns, s.home, "mx.example.org", 25, 0, found_host, &s));
    assert_non_null(dns_find_txt(s.dns, s.home, "_mta-sts.example.org", found_txt, &s));
    stop_in(&s, 100);
    loop_run(s.home);
    assert_int_equal(s.found, 3);
    assert_int_equal(s.status, DNS_OUR_FAULT);
    assert_string_equal(s.detail, "the resolver was stopped");
    teardown(&s);
}

static void a_look_up_that_had_no_time_to_start_is_told_too(void **state)
{
    (void)state;
    struct scene s;
    setup(&s);
    assert_non_null(dns_find_mx(s.dns, s.home, "example.org", found_mx, &s));
    dns_free(s.dns);
    loop_stop(s.home);
    loop_run(s.home);
    assert_int_equal(s.found, 1);
    assert_int_equal(s.status, DNS_OUR_FAULT);
    teardown(&s);
}

static void a_cancelled_look_up_never_calls_back(void **state)
{
    (void)state;
    struct scene s;
    setup(&s);
    struct dns_question *early = dns_find_mx(s.dns, s.home, "example.org", found_mx, &s);
    struct dns_question *never = dns_find_host(s.dns, s.home, "x", 25, 0, found_host, &s);
    struct dns_question *text = dns_find_txt(s.dns, s.home, "y", found_txt, &s);
    dns_cancel(early);
    dns_cancel(never);
    dns_cancel(text);
    stop_in(&s, 50);
    loop_run(s.home);
    assert_int_equal(s.found, 0);
    teardown(&s);
}

static struct dns_question *other_question;

static void found_and_cancels_the_other(void *context, const struct dns_mx *mx)
{
    found_mx(context, mx);
    dns_cancel(other_question);
}

static void a_look_up_may_be_cancelled_while_its_result_is_on_the_way(void **state)
{
    (void)state;
    struct scene s;
    setup(&s);
    /* Ending the resolver posts both results in one go; the first callback cancels the second. */
    assert_non_null(dns_find_mx(s.dns, s.home, "example.org", found_and_cancels_the_other, &s));
    other_question = dns_find_mx(s.dns, s.home, "example.net", found_mx, &s);
    stop_in(&s, 50);
    loop_run(s.home);
    assert_int_equal(s.found, 1);
    teardown(&s);
}

static void a_name_that_cannot_be_one_does_not_exist(void **state)
{
    (void)state;
    struct scene s;
    setup(&s);
    char name[80];
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_non_null(dns_find_mx(s.dns, s.home, name, found_mx, &s));
    stop_in(&s, 200);
    loop_run(s.home);
    assert_int_equal(s.found, 1);
    assert_int_equal(s.status, DNS_NXDOMAIN);
    teardown(&s);
}

/* Askers on loops of their own, some of whom change their mind at once or a little later. */
struct asker {
    struct loop *loop;
    struct dns *dns;
    struct loop_timer *timer;
    struct dns_question *questions[40];
    unsigned found;
};

static void asker_found(void *context, const struct dns_host *host)
{
    struct asker *a = context;
    assert_int_equal(host->status, DNS_OUR_FAULT);
    a->found++;
}

static void asker_changes_its_mind(void *context)
{
    struct asker *a = context;
    for (unsigned i = 1; i < COUNT_OF(a->questions); i += 2)
        dns_cancel(a->questions[i]);
    loop_timer_free(a->timer);
}

static void asker_asks(void *context)
{
    struct asker *a = context;
    for (unsigned i = 0; i < COUNT_OF(a->questions); i++)
        a->questions[i] = dns_find_host(a->dns, a->loop, "mx.example", 25, 0, asker_found, a);
    a->timer = loop_timer_new(a->loop, asker_changes_its_mind, a);
    loop_timer_start(a->timer, 20);
}

static void *asker_main(void *context)
{
    struct asker *a = context;
    loop_run(a->loop);
    return NULL;
}

static void many_loops_may_ask_and_cancel_while_the_resolver_ends(void **state)
{
    (void)state;
    struct scene s;
    struct asker askers[3] = {0};
    pthread_t threads[3];
    setup(&s);
    for (unsigned i = 0; i < 3; i++) {
        askers[i].loop = loop_new();
        askers[i].dns = s.dns;
        loop_post(askers[i].loop, asker_asks, &askers[i]);
        assert_int_equal(pthread_create(&threads[i], NULL, asker_main, &askers[i]), 0);
    }
    stop_in(&s, 300);
    loop_run(s.home);
    for (unsigned i = 0; i < 3; i++) {
        loop_stop(askers[i].loop);
        pthread_join(threads[i], NULL);
        loop_free(askers[i].loop);
        assert_int_equal(askers[i].found, 20);
    }
    teardown(&s);
}

struct refusal {
    const char *anchor; /* content; NULL: no such file */
    const char *config; /* the same */
    const char *resolver;
    const char *want; /* part of the error */
};

static void mistakes_are_refused_with_the_name_of_what_is_wrong(void **state)
{
    (void)state;
    static const struct refusal cases[] = {
        {"", NULL, NULL, "no DS or DNSKEY record"},
        {"; . IN DS 1 8 2 00\n", NULL, NULL, "no DS or DNSKEY record"},
        {". IN DS nonsense\n", NULL, NULL, "trust anchor \"/tmp/sealpost-test-dns-"},
        {NULL, NULL, NULL, "trust anchor \"/nonexistent\": No such file"},
        {anchor, "server: nonsense\n", NULL, "unbound_config \"/tmp/sealpost-test-dns-"},
        {anchor, NULL, "resolver.example", "resolver \"resolver.example\""},
        {anchor, NULL, "192.0.2.1@", "resolver \"192.0.2.1@\""},
        {anchor, NULL, "192.0.2.1@0", "resolver \"192.0.2.1@0\""},
        {anchor, NULL, "192.0.2.1@65536", "resolver \"192.0.2.1@65536\""},
        {anchor, NULL, "192.0.2.1:53", "resolver \"192.0.2.1:53\""},
        {anchor, NULL, "", "resolver \"\""},
    };
    struct loop *home = loop_new();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char anchor_file[64] = "/nonexistent";
        char config_file[64] = "";
        char error[300] = "";
        if (cases[i].anchor)
            write_file(anchor_file, cases[i].anchor);
        if (cases[i].config)
            write_file(config_file, cases[i].config);
        struct dns_options options = {.resolvers = &cases[i].resolver,
                                      .resolver_count = cases[i].resolver ? 1 : 0,
                                      .trust_anchor = anchor_file,
                                      .unbound_config = config_file};
        assert_null(dns_new(home, &options, error, sizeof error));
        if (!strstr(error, cases[i].want))
            fail_msg("case %zu: %s", i, error);
        if (cases[i].anchor)
            unlink(anchor_file);
        if (cases[i].config)
            unlink(config_file);
    }
    loop_stop(home);
    loop_run(home);
    loop_free(home);
}

static void resolvers_are_addresses_with_or_without_a_port(void **state)
{
    (void)state;
    static const char *const resolvers[] = {"192.0.2.1", "192.0.2.1@5353", "2001:db8::1@53",
                                            "[2001:db8::1]@53", "::1"};
    char anchor_file[64];
    char error[300] = "";
    struct loop *home = loop_new();
    write_file(anchor_file, anchor);
    struct dns_options options = {
        .resolvers = resolvers, .resolver_count = COUNT_OF(resolvers), .trust_anchor = anchor_file};
    struct dns *dns = dns_new(home, &options, error, sizeof error);
    assert_string_equal(error, "");
    dns_free(dns);
    loop_stop(home);
    loop_run(home);
    loop_free(home);
    unlink(anchor_file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mistakes_are_refused_with_the_name_of_what_is_wrong),
        cmocka_unit_test(resolvers_are_addresses_with_or_without_a_port),
        cmocka_unit_test(freeing_tells_those_who_wait_that_it_is_our_fault),
        cmocka_unit_test(a_look_up_that_had_no_time_to_start_is_told_too),
        cmocka_unit_test(a_cancelled_look_up_never_calls_back),
        cmocka_unit_test(a_look_up_may_be_cancelled_while_its_result_is_on_the_way),
        cmocka_unit_test(a_name_that_cannot_be_one_does_not_exist),
        cmocka_unit_test(many_loops_may_ask_and_cancel_while_the_resolver_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
