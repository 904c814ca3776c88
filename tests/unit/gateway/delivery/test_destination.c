#include "gateway/delivery/destination.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct delivery_route routes[] = {
    {.pattern = "lmtp.example", .protocol = CLIENT_LMTP},
    {.pattern = ".sub.example", .protocol = CLIENT_SMTP},
    {.pattern = ".example", .protocol = CLIENT_SMTP},
    {.pattern = "*", .protocol = CLIENT_SMTP},
    {.pattern = "mx.org", .protocol = CLIENT_SMTP},
};
static const char *const hops[] = {"[127.0.0.1]:24", "[127.0.0.1]:2525", "[relay.example]:587",
                                   "[192.0.2.9]:26", "other.org"};

static struct delivery_settings *settings(void)
{
    static struct delivery_settings s;
    s.port = 25;
    s.routes = routes;
    s.route_count = COUNT_OF(routes);
    for (size_t i = 0; i < COUNT_OF(routes); i++)
        assert_true(delivery_next_hop_parse(slice_of(hops[i]), &routes[i].next_hop));
    return &s;
}

static void the_most_exact_route_leads(void **state)
{
    (void)state;
    static const struct {
        const char *domain, *want;
    } cases[] = {
        {"lmtp.example", "lmtp:[127.0.0.1]:24"},
        {"a.sub.example", "[127.0.0.1]:2525"},
        {"sub.example", "[relay.example]:587"},
        {"a.example", "[relay.example]:587"},
        {"example", "[192.0.2.9]:26"},
        {"net", "[192.0.2.9]:26"},
        {"mx.org", "other.org:25"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct next_hop hop;
        char key[NEXT_HOP_KEY_SIZE];
        next_hop_for(settings(), cases[i].domain, &hop);
        assert_string_equal(next_hop_key(&hop, key), cases[i].want);
    }
}

static void without_a_route_mail_goes_by_mx_or_literal(void **state)
{
    (void)state;
    struct delivery_settings s = {.port = 25};
    struct next_hop hop;
    char key[NEXT_HOP_KEY_SIZE];
    next_hop_for(&s, "example.net", &hop);
    assert_int_equal(hop.target.kind, NEXT_HOP_MX);
    assert_string_equal(next_hop_key(&hop, key), "example.net:25");
    next_hop_for(&s, "[192.0.2.1]", &hop);
    assert_int_equal(hop.target.kind, NEXT_HOP_LITERAL);
    assert_int_equal(hop.target.address.port, 25);
    assert_null(hop.route);
    next_hop_for(&s, "[IPv6:2001:db8::1]", &hop);
    assert_int_equal(hop.target.kind, NEXT_HOP_LITERAL);
}

/* GUARANTEE.md section 1: a local route is one for a named domain, never "*" or a title that begins
 * with a dot. */
static void only_a_named_domain_on_loopback_is_local(void **state)
{
    (void)state;
    static const struct {
        const char *domain, *connected;
        bool want;
    } cases[] = {
        {"lmtp.example", "127.0.0.1", true},
        {"lmtp.example", "192.0.2.1", false},
        {"a.sub.example", "127.0.0.1", false},
        {"net", "127.0.0.1", false},
        {"mx.org", "::1", true},
        {"lmtp.example", "::ffff:127.0.0.1", true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct next_hop hop;
        struct net_address connected;
        next_hop_for(settings(), cases[i].domain, &hop);
        assert_true(net_address_parse(slice_of(cases[i].connected), &connected));
        assert_int_equal(next_hop_is_local(&hop, &connected), cases[i].want);
    }
    struct delivery_settings none = {.port = 25};
    struct next_hop hop;
    struct net_address loopback;
    next_hop_for(&none, "[127.0.0.1]", &hop); /* a literal in the recipient is no route */
    assert_true(net_address_parse(SLICE("127.0.0.1"), &loopback));
    assert_false(next_hop_is_local(&hop, &loopback));
}

static void next_hops_are_read_or_refused(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        int want; /* kind, -1 refused */
        uint16_t port;
    } cases[] = {
        {"[127.0.0.1]:24", NEXT_HOP_LITERAL, 24},
        {"[2001:db8::1]", NEXT_HOP_LITERAL, 0},
        {"[a.example]:587", NEXT_HOP_HOST, 587},
        {"a.example", NEXT_HOP_MX, 0},
        {"a.example:26", NEXT_HOP_MX, 26},
        {"unix:/run/x", NEXT_HOP_UNIX, 0},
        {"unix:run/x", -1, 0},
        {"[a.example", -1, 0},
        {"[a.example]587", -1, 0},
        {"[a.example]:0", -1, 0},
        {"[a.example]:65536", -1, 0},
        {"", -1, 0},
        {"a.example:", -1, 0},
        {"[]", -1, 0},
        {"a b", -1, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct delivery_next_hop out;
        bool is_read = delivery_next_hop_parse(slice_of(cases[i].in), &out);
        if (is_read != (cases[i].want >= 0))
            fail_msg("%s", cases[i].in);
        if (!is_read)
            continue;
        assert_int_equal(out.kind, cases[i].want);
        assert_int_equal(out.port, cases[i].port);
    }
}

static void memory_of_hosts_ends_with_their_ttl(void **state)
{
    (void)state;
    struct destination *d = destination_new("example.net:25");
    struct net_address address = {.family = NET_IPV4};
    struct dns_host host = {
        .status = DNS_DATA, .address_count = 1, .addresses = &address, .expires_at = 110};
    destination_keep_host(d, "mx.example.net", &host, 100);
    assert_non_null(destination_host(d, "mx.example.net", 109));
    assert_null(destination_host(d, "other.example.net", 109));
    assert_null(destination_host(d, "mx.example.net", 110));
    host.expires_at = 100000; /* a minute at most */
    destination_keep_host(d, "mx.example.net", &host, 100);
    assert_non_null(destination_host(d, "mx.example.net", 159));
    assert_null(destination_host(d, "mx.example.net", 160));
    host.tlsa = DNS_TLSA_ERROR; /* what could not be learnt is asked again */
    destination_keep_host(d, "mx.example.net", &host, 100);
    assert_null(destination_host(d, "mx.example.net", 101));
    destination_free(d);
}

/* ---- kept connections: no more of a client is needed than that it rests ---- */

enum client_state __wrap_client_state(const struct client *c);
enum client_state __wrap_client_state(const struct client *c)
{
    (void)c;
    return CLIENT_SECURED;
}

unsigned __wrap_client_transactions(const struct client *c);
unsigned __wrap_client_transactions(const struct client *c)
{
    (void)c;
    return 1;
}

void __wrap_client_set_handler(struct client *c, const struct client_handler *handler,
                               void *context);
void __wrap_client_set_handler(struct client *c, const struct client_handler *handler,
                               void *context)
{
    (void)c;
    (void)handler;
    (void)context;
}

void __wrap_client_free(struct client *c);
void __wrap_client_free(struct client *c)
{
    (void)c;
}

/* What the judge would be told of it is true of that one way there only. */
static void a_kept_connection_serves_the_very_same_way_there_only(void **state)
{
    (void)state;
    static char connection; /* stands for a client; nobody looks inside */
    struct client *client = (struct client *)&connection;
    struct destination *d = destination_new("[mx.example.net]:25");
    struct connection_key key = {.host = "mx.example.net"};
    int64_t expires_at = 0;
    assert_true(net_address_parse(SLICE("192.0.2.1"), &key.to));
    key.to.port = 25;
    struct connection_key others[7];
    for (size_t i = 0; i < COUNT_OF(others); i++)
        others[i] = key;
    others[0].host[0] = 'n';
    assert_true(net_address_parse(SLICE("192.0.2.2"), &others[1].to));
    others[1].to.port = 25;
    others[2].to.port = 26;
    assert_true(net_address_parse(SLICE("192.0.2.9"), &others[3].source));
    others[4].is_local_route = true;
    others[5].is_smarthost = true;
    others[6].is_name_secure = true;
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        destination_keep_idle(d, client, &key, 200, 0);
        if (destination_take_idle(d, &others[i], 100, &expires_at))
            fail_msg("another key, %zu, was served", i);
        assert_null(destination_take_idle(d, &key, 200, &expires_at)); /* what DNS said is over */
        assert_ptr_equal(destination_take_idle(d, &key, 199, &expires_at), client);
        assert_int_equal(expires_at, 200);
        destination_keep_idle(d, client, &others[i], 200, 0);
        if (destination_take_idle(d, &key, 100, &expires_at))
            fail_msg("a connection of another key, %zu, served", i);
        destination_close_idle(d, INT64_MAX);
    }
    destination_free(d);
}

/* An answer about a policy is kept while nothing changed; where it was new it is that no more. */
static void a_kept_policy_ends_when_any_policy_changes(void **state)
{
    (void)state;
    struct destination *d = destination_new("example.net:25");
    struct sts_policy policy;
    const char *why;
    assert_true(sts_policy_parse(SLICE("version: STSv1\nmode: enforce\nmx: mx.example.net\n"
                                       "max_age: 100\n"),
                                 &policy, &why));
    policy.expires_at = 200;
    struct sts_answer answer = {
        .status = STS_POLICY, .policy = &policy, .detail = "", .is_new = true, .changes = 7};
    struct known_policy known;
    known_policy_set(&known, &answer);
    struct guarantee_host stranger = {.name = "mx.other.example", .sts = GUARANTEE_STS_EXCLUDES};
    assert_false(known_policy_is_in_doubt(&known, &stranger)); /* there is nothing newer */
    destination_keep_policy(d, &known, 100);
    assert_null(destination_policy(d, 8, 101));
    assert_null(destination_policy(d, 7, 160));
    const struct known_policy *kept = destination_policy(d, 7, 101);
    assert_non_null(kept);
    assert_true(known_policy_is_in_doubt(kept, &stranger));
    stranger.tlsa = GUARANTEE_TLSA_USABLE; /* behind an insecure MX look-up */
    assert_true(known_policy_is_in_doubt(kept, &stranger));
    stranger.is_name_secure = true;
    assert_false(known_policy_is_in_doubt(kept, &stranger));
    known_policy_clear(&known);
    sts_policy_clear(&policy);
    destination_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_most_exact_route_leads),
        cmocka_unit_test(without_a_route_mail_goes_by_mx_or_literal),
        cmocka_unit_test(only_a_named_domain_on_loopback_is_local),
        cmocka_unit_test(next_hops_are_read_or_refused),
        cmocka_unit_test(memory_of_hosts_ends_with_their_ttl),
        cmocka_unit_test(a_kept_connection_serves_the_very_same_way_there_only),
        cmocka_unit_test(a_kept_policy_ends_when_any_policy_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
