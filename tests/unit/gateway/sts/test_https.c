/* Requests to a real HTTPS server on loopback, with certificates of the test's own authority. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "gateway/sts/https.h"
#include "tests/support/https_server.h"
#include "tests/support/pki.h"

static const struct {
    const char *name;
    struct pki_options options;
    enum { FROM_CA, FROM_OTHER, FROM_SELF } issuer;
} identities[] = {
    {"good.test", {.common_name = "x", .alt_names = "DNS:good.test, DNS:other.test"}, FROM_CA},
    {"wild.good.test", {.common_name = "x", .alt_names = "DNS:*.good.test"}, FROM_CA},
    {"a.b.good.test", {.common_name = "x", .alt_names = "DNS:*.good.test"}, FROM_CA},
    {"partial.good.test", {.common_name = "x", .alt_names = "DNS:p*.good.test"}, FROM_CA},
    {"wrong.test", {.common_name = "wrong.test", .alt_names = "DNS:good.test"}, FROM_CA},
    {"cn.test", {.common_name = "cn.test"}, FROM_CA},
    {"mail.test", {.common_name = "mail.test", .alt_names = "email:DNS@mail.test"}, FROM_CA},
    {"foreign.test", {.common_name = "x", .alt_names = "DNS:foreign.test"}, FROM_OTHER},
    {"self.test", {.common_name = "x", .alt_names = "DNS:self.test"}, FROM_SELF},
    {"expired.test",
     {.common_name = "x", .alt_names = "DNS:expired.test", .from_s = -9999, .until_s = -99},
     FROM_CA},
    {"future.test",
     {.common_name = "x", .alt_names = "DNS:future.test", .from_s = 9999, .until_s = 99999},
     FROM_CA},
};

static char folder[] = "/tmp/sealpost-test-https-XXXXXX";
static char ca_file[64];
static struct https_server server;

static void write_identity(const char *name, const struct pki_options *options,
                           const struct pki_identity *issuer)
{
    char certificate[128];
    char key[128];
    struct pki_identity made = pki_make(options, issuer);
    snprintf(certificate, sizeof certificate, "%s/%s.pem", folder, name);
    snprintf(key, sizeof key, "%s/%s.key", folder, name);
    pki_write(&made, NULL, certificate, key);
    pki_free(&made);
}

/* A certificate whose name stands behind a hundred others. */
static void write_crowded(const struct pki_identity *ca)
{
    char names[8192] = "";
    for (unsigned i = 0; i < 100; i++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "DNS:host-number-%u.good.test, ", i);
    }
    strncat(names, "DNS:crowded.test", sizeof names - strlen(names) - 1);
    write_identity("crowded.test", &(struct pki_options){.common_name = "x", .alt_names = names},
                   ca);
}

static int begin(void **state)
{
    (void)state;
    char key_file[64];
    struct pki_identity ca =
        pki_make(&(struct pki_options){.common_name = "CA", .is_ca = true}, NULL);
    struct pki_identity other =
        pki_make(&(struct pki_options){.common_name = "Other", .is_ca = true}, NULL);
    assert_non_null(mkdtemp(folder));
    snprintf(ca_file, sizeof ca_file, "%s/ca", folder);
    snprintf(key_file, sizeof key_file, "%s/ca-key", folder);
    pki_write(&ca, NULL, ca_file, key_file);
    for (size_t i = 0; i < COUNT_OF(identities); i++)
        write_identity(identities[i].name, &identities[i].options,
                       identities[i].issuer == FROM_CA      ? &ca
                       : identities[i].issuer == FROM_OTHER ? &other
                                                            : NULL);
    write_crowded(&ca);
    pki_free(&ca);
    pki_free(&other);
    https_server_start(&server, folder);
    return 0;
}

static int end(void **state)
{
    (void)state;
    char command[128];
    https_server_stop(&server);
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command);
}

struct seen {
    struct loop *loop;
    unsigned count;
    enum https_status status;
    bool is_reached;
    unsigned code;
    char type[64];
    char body[256];
    size_t body_len;
    char detail[512];
};

static void done(void *context, const struct https_answer *answer)
{
    struct seen *s = context;
    s->count++;
    s->status = answer->status;
    s->is_reached = answer->is_reached;
    s->code = answer->code;
    s->body_len = answer->body.len;
    snprintf(s->body, sizeof s->body, "%.*s", SLICE_ARG(answer->body));
    snprintf(s->detail, sizeof s->detail, "%s", answer->detail ? answer->detail : "");
    snprintf(s->type, sizeof s->type, "%s", answer->content_type);
    loop_stop(s->loop);
}

static struct net_address loopback(void)
{
    struct net_address a;
    assert_true(net_address_parse(SLICE("127.0.0.1"), &a));
    return a;
}

static struct seen run(struct https_call call)
{
    struct net_address address = loopback();
    struct seen s = {.loop = loop_new()};
    call.ca_file = call.ca_file ? call.ca_file : ca_file;
    call.port = call.port ? call.port : server.port;
    if (call.address_count == 0) {
        call.addresses = &address;
        call.address_count = 1;
    }
    call.timeout_ms = call.timeout_ms ? call.timeout_ms : 10000;
    assert_non_null(https_start(s.loop, &call, done, &s));
    assert_int_equal(s.count, 0);
    loop_run(s.loop);
    assert_int_equal(s.count, 1);
    loop_free(s.loop);
    return s;
}

static struct seen get(const char *host, const char *path)
{
    return run((struct https_call){.host = host, .path = path, .answer_max = 1000});
}

static unsigned requests_seen(void)
{
    struct seen s = get("good.test", "/seen");
    assert_int_equal(s.code, 200);
    return (unsigned)strtoul(s.body, NULL, 10);
}

static void an_answer_comes_with_code_type_and_body(void **state)
{
    (void)state;
    struct seen s = get("good.test", "/size/5");
    assert_int_equal(s.status, HTTPS_ANSWERED);
    assert_int_equal(s.code, 200);
    assert_string_equal(s.type, "text/plain");
    assert_string_equal(s.body, "xxxxx");
    assert_string_equal(s.detail, "");
}

static void what_we_say_of_ourselves_is_little(void **state)
{
    (void)state;
    char want[256];
    snprintf(want, sizeof want,
             "Host: good.test:%u\nUser-Agent: sealpost/" SEALPOST_VERSION "\nAccept: */*\n",
             server.port);
    assert_string_equal(get("good.test", "/head").body, want);
}

static void every_code_is_an_answer_and_no_redirect_is_followed(void **state)
{
    (void)state;
    assert_int_equal(get("good.test", "/status/404").code, 404);
    assert_int_equal(get("good.test", "/status/500").code, 500);
    unsigned before = requests_seen();
    struct seen s = get("good.test", "/redirect");
    assert_int_equal(s.status, HTTPS_ANSWERED);
    assert_int_equal(s.code, 301);
    assert_int_equal(requests_seen(), before + 2);
}

static void the_type_is_told_as_it_came(void **state)
{
    (void)state;
    assert_string_equal(get("good.test", "/html").type, "text/html; charset=utf-8");
    assert_string_equal(get("good.test", "/no-type").type, "");
}

struct name_case {
    const char *host;
    bool is_good;
    const char *words;
    bool is_untrusted;
};

static const struct name_case names[] = {
    {"good.test", true, "", false},
    {"other.test", true, "",
     false}, /* the server shows good.test's certificate, which names both */
    {"wild.good.test", true, "", false},
    {"crowded.test", true, "", false},
    {"a.b.good.test", false, "no alternative certificate subject name matches", false},
    {"partial.good.test", false, "", false},
    {"wrong.test", false, "no alternative certificate subject name matches", false},
    {"cn.test", false, "no DNS name in the certificate is that of the host", false},
    {"mail.test", false, "no DNS name in the certificate is that of the host", false},
    {"foreign.test", false, "issuer", true},
    {"self.test", false, "self", true},
    {"expired.test", false, "expired", true},
    {"future.test", false, "not yet valid", true},
};

static void certificate(void **state)
{
    const struct name_case *c = *state;
    unsigned before = requests_seen();
    struct seen s = get(c->host, "/size/1");
    if (s.status != (c->is_good ? HTTPS_ANSWERED : HTTPS_CERTIFICATE) ||
        !strstr(s.detail, c->words))
        fail_msg("%s: %d %s", c->host, s.status, s.detail);
    assert_int_equal(s.is_reached, !c->is_untrusted);
    /* Nothing is asked of a server that is not the one. */
    assert_int_equal(requests_seen(), before + 1 + c->is_good);
}

static void a_body_may_be_as_large_as_allowed_and_no_larger(void **state)
{
    (void)state;
    assert_int_equal(get("good.test", "/size/1000").body_len, 1000);
    assert_int_equal(get("good.test", "/size/1001").status, HTTPS_TOO_LARGE);
    assert_int_equal(get("good.test", "/endless").status, HTTPS_TOO_LARGE);
}

static void a_head_may_not_go_on_for_ever(void **state)
{
    (void)state;
    assert_int_equal(get("good.test", "/long-head").status, HTTPS_TOO_LARGE);
}

static void what_may_pass_is_trouble(void **state)
{
    (void)state;
    struct seen cut = get("good.test", "/cut");
    assert_int_equal(cut.status, HTTPS_TROUBLE);
    assert_true(cut.is_reached);
    assert_int_equal(get("good.test", "/gone").status, HTTPS_TROUBLE);
    assert_int_equal(get("good.test", "/no-http").status, HTTPS_TROUBLE);
    struct seen slow = run((struct https_call){
        .host = "good.test", .path = "/slow", .answer_max = 1000, .timeout_ms = 400});
    assert_int_equal(slow.status, HTTPS_TROUBLE);
    assert_non_null(strstr(slow.detail, "timed out"));
    const uint16_t ports[] = {1, server.old_port, server.plain_port};
    for (size_t i = 0; i < COUNT_OF(ports); i++) {
        struct seen s =
            run((struct https_call){.host = "good.test", .path = "/seen", .port = ports[i]});
        assert_int_equal(s.status, HTTPS_TROUBLE);
        assert_false(s.is_reached);
    }
}

static void every_address_is_tried(void **state)
{
    (void)state;
    struct net_address both[3] = {{0}, {0}, loopback()};
    assert_true(net_address_parse(SLICE("127.0.0.9"), &both[0]));
    assert_true(net_address_parse(SLICE("::1"), &both[1]));
    struct seen s = run((struct https_call){.host = "good.test",
                                            .path = "/size/3",
                                            .addresses = both,
                                            .address_count = 3,
                                            .answer_max = 10});
    assert_string_equal(s.body, "xxx");
}

static void a_post_carries_its_body_and_type(void **state)
{
    (void)state;
    char want[256];
    struct seen s = run((struct https_call){.host = "good.test",
                                            .path = "/in?x=1",
                                            .content_type = "application/tlsrpt+gzip",
                                            .body = SLICE("a\0b"),
                                            .answer_max = 1000});
    snprintf(want, sizeof want, "/in?x=1 application/tlsrpt+gzip good.test:%u a", server.port);
    assert_string_equal(s.body, want);
    assert_int_equal(s.body_len, strlen(want) + 2);
}

static void a_large_post_arrives_whole(void **state)
{
    (void)state;
    size_t size = (size_t)3 << 20;
    char *body = calloc(1, size);
    struct seen s = run((struct https_call){.host = "good.test",
                                            .path = "/in",
                                            .content_type = "x/y",
                                            .body = {body, size},
                                            .answer_max = size + 1000});
    assert_int_equal(s.status, HTTPS_ANSWERED);
    assert_true(s.body_len > size);
    free(body);
}

static void no_ca_file_and_no_descriptor_are_our_own_faults(void **state)
{
    (void)state;
    assert_int_equal(run((struct https_call){
                             .host = "good.test", .path = "/seen", .ca_file = "/nonexistent/file"})
                         .status,
                     HTTPS_OUR_FAULT);
    struct rlimit old;
    struct net_address address = loopback();
    struct seen s = {.loop = loop_new()};
    struct https_call call = {.host = "good.test",
                              .path = "/seen",
                              .port = server.port,
                              .addresses = &address,
                              .address_count = 1,
                              .ca_file = ca_file,
                              .timeout_ms = 5000};
    assert_non_null(https_start(s.loop, &call, done, &s));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    struct rlimit none = {.rlim_cur = 3, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    loop_run(s.loop);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(s.status, HTTPS_OUR_FAULT);
    loop_free(s.loop);
}

static void the_authorities_of_the_system_are_those_without_a_file(void **state)
{
    (void)state;
    enum https_status status =
        run((struct https_call){.host = "good.test", .path = "/seen", .ca_file = ""}).status;
    /* They do not know ours; a machine without any has a fault of its own. */
    assert_true(status == HTTPS_CERTIFICATE || status == HTTPS_OUR_FAULT);
}

static void the_environment_has_no_say(void **state)
{
    (void)state;
    setenv("https_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    setenv("SSL_CERT_FILE", "/dev/null", 1);
    struct seen s = get("good.test", "/size/1");
    unsetenv("https_proxy");
    unsetenv("ALL_PROXY");
    unsetenv("SSL_CERT_FILE");
    assert_int_equal(s.status, HTTPS_ANSWERED);
}

struct cancel {
    struct loop *loop;
    struct https_request *request;
    struct loop_timer *timer;
    unsigned count;
};

static void never(void *context, const struct https_answer *answer)
{
    (void)answer;
    struct cancel *c = context;
    c->count++;
}

static void cancel_and_stop(void *context)
{
    struct cancel *c = context;
    https_cancel(c->request);
    loop_timer_free(c->timer);
    loop_stop(c->loop);
}

/* Before it began, in the middle of connecting or of the handshake, and while the answer comes. */
static void a_request_may_be_cancelled_at_any_moment(void **state)
{
    (void)state;
    static const int moments_ms[] = {0, 1, 2, 3, 5, 8, 13, 100};
    struct net_address address = loopback();
    for (size_t i = 0; i < COUNT_OF(moments_ms); i++) {
        struct cancel c = {.loop = loop_new()};
        struct https_call call = {.host = "good.test",
                                  .path = "/slow",
                                  .port = server.port,
                                  .addresses = &address,
                                  .address_count = 1,
                                  .ca_file = ca_file,
                                  .answer_max = 1000,
                                  .timeout_ms = 5000};
        c.request = https_start(c.loop, &call, never, &c);
        c.timer = loop_timer_new(c.loop, cancel_and_stop, &c);
        loop_timer_start(c.timer, moments_ms[i]);
        loop_run(c.loop);
        loop_free(c.loop);
        assert_int_equal(c.count, 0);
    }
}

static void an_address_on_the_web_is_taken_apart(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        const char *want; /* NULL: refused */
    } cases[] = {
        {"https://Reports.Example/v1?x=y&z", "reports.example 443 /v1?x=y&z"},
        {"https://reports.example", "reports.example 443 /"},
        {"https://reports.example:8443/a/b", "reports.example 8443 /a/b"},
        {"HTTPS://reports.example/", "reports.example 443 /"},
        {"http://reports.example/", NULL},
        {"ftp://reports.example/", NULL},
        {"reports.example/", NULL},
        {"mailto:a@reports.example", NULL},
        {"https://user@reports.example/", NULL},
        {"https://user:word@reports.example/", NULL},
        {"https://reports.example/#part", NULL},
        {"https://192.0.2.1/", NULL},
        {"https://2130706433/", NULL},
        {"https://[2001:db8::1]/", NULL},
        {"https://reports.example:0/", NULL},
        {"https://reports.example:65536/", NULL},
        {"https:///path", NULL},
        {"https://reports.example/a b", NULL},
        {"https://reports.example/a\r\nX: y", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct https_url url;
        char got[2048] = "refused";
        if (https_url_parse(slice_of(cases[i].url), &url))
            snprintf(got, sizeof got, "%s %u %s", url.host, url.port, url.path);
        assert_string_equal(got, cases[i].want ? cases[i].want : "refused");
    }
    char longest[3000] = "https://a.example/";
    memset(longest + strlen(longest), 'x', 1100);
    struct https_url url;
    assert_false(https_url_parse(slice_of(longest), &url));
    assert_string_equal(url.host, "");
}

int main(void)
{
    static struct name_case copies[COUNT_OF(names)];
    struct CMUnitTest tests[COUNT_OF(names) + 15] = {
        cmocka_unit_test(an_answer_comes_with_code_type_and_body),
        cmocka_unit_test(what_we_say_of_ourselves_is_little),
        cmocka_unit_test(every_code_is_an_answer_and_no_redirect_is_followed),
        cmocka_unit_test(the_type_is_told_as_it_came),
        cmocka_unit_test(a_body_may_be_as_large_as_allowed_and_no_larger),
        cmocka_unit_test(a_head_may_not_go_on_for_ever),
        cmocka_unit_test(what_may_pass_is_trouble),
        cmocka_unit_test(every_address_is_tried),
        cmocka_unit_test(a_post_carries_its_body_and_type),
        cmocka_unit_test(a_large_post_arrives_whole),
        cmocka_unit_test(no_ca_file_and_no_descriptor_are_our_own_faults),
        cmocka_unit_test(the_authorities_of_the_system_are_those_without_a_file),
        cmocka_unit_test(the_environment_has_no_say),
        cmocka_unit_test(a_request_may_be_cancelled_at_any_moment),
        cmocka_unit_test(an_address_on_the_web_is_taken_apart),
    };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        copies[i] = names[i];
        tests[15 + i] = (struct CMUnitTest){names[i].host, certificate, NULL, NULL, &copies[i]};
    }
    https_begin();
    return cmocka_run_group_tests(tests, begin, end);
}
