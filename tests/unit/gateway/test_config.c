#include "gateway/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[] = "/tmp/sealpost-config-XXXXXX";
static char error[1024];

static struct config *load(const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    return config_load(path, CONFIG_CONTROL, error, sizeof error);
}

static void defaults_are_those_of_the_documents(void **state)
{
    (void)state;
    struct config *c = load("hostname = \"Mail.Example.org\"\n");
    if (!c)
        fail_msg("%s", error);
    assert_string_equal(c->hostname, "mail.example.org");
    assert_string_equal(c->state_directory, "/var/lib/sealpost");
    assert_string_equal(c->run_as, "sealpost");
    /* As it is said, for a reload to compare: the number of cores may change. */
    assert_int_equal(c->workers, 0);
    assert_int_equal(c->shutdown_grace_ms, 30000);
    assert_int_equal(c->default_level, LEVEL_OFF);
    assert_int_equal(c->delivery->port, 25);
    assert_int_equal(c->delivery->blocked_count, 8);
    assert_int_equal(c->delivery->lifetime_ms, 5 * 86400000LL);
    assert_int_equal(c->delivery->patience_ms, 3600000);
    assert_int_equal(c->submission->message_size, 50 << 20);
    assert_int_equal(c->queue_size, (uint64_t)64 << 30);
    assert_true(c->submission->exempt_auto_replies);
    assert_int_equal(c->submission->at_rcpt, SUBMISSION_AT_RCPT_OFF);
    assert_false(c->keeps_sha1);
    assert_int_equal(c->warning_count, 0);
    config_free(c);
}

static void a_whole_file_is_read(void **state)
{
    (void)state;
    struct config *c = load(
        "hostname = \"mail.example.org\"\n"
        "listen submission { address = {\"0.0.0.0\", \"::\"} port = 587 tls = \"starttls\" }\n"
        "listen submissions { address = \"*\" port = 465 tls = \"implicit\" }\n"
        "listen relay { address = \"127.0.0.1\" port = 2525 tls = \"optional\" trusted = "
        "{\"127.0.0.0/8\", \"::1/128\"} }\n"
        "dns { resolvers = {\"127.0.0.1@5353\"} self_test_signed = \"B\\xc3\\xbccher.example\" "
        "self_test_unsigned = \"\" }\n"
        "delivery { blocked_networks = {} ip_version = \"6\" }\n"
        "route \"example.org\" { next_hop = \"[127.0.0.1]:24\" protocol = \"lmtp\" tls = "
        "\"none\" }\n"
        "route \"*\" { next_hop = \"[smart.example.net]:587\" tls = encrypt }\n"
        "policy \".bank.example\" { tls = \"verify\" }\n"
        "source \"business.example\" { address = {\"192.0.2.2\", \"2001:db8::2\"} }\n"
        "guarantee { default_level = encrypt on_stop = discard exempt_auto_replies = false }\n"
        "auth_mechanisms = {\"SCRAM-SHA-1\"}\n");
    if (!c)
        fail_msg("%s", error);
    const struct submission_settings *s = c->submission;
    assert_int_equal(s->listener_count, 3);
    assert_int_equal(s->listeners[0].address_count, 2);
    assert_int_equal(s->listeners[1].address_count, 2);
    assert_int_equal(s->listeners[1].addresses[0].family, NET_IPV4);
    assert_int_equal(s->listeners[1].addresses[1].family, NET_IPV6);
    assert_int_equal(s->listeners[1].tls, SUBMISSION_IMPLICIT);
    assert_true(s->listeners[2].is_relay);
    assert_int_equal(s->listeners[2].trusted_count, 2);
    assert_int_equal(s->listeners[2].addresses[0].port, 2525);
    assert_int_equal(c->resolver_count, 1);
    assert_string_equal(c->self_test_signed, "xn--bcher-kva.example");
    assert_string_equal(c->self_test_unsigned, "");
    assert_string_equal(c->self_test_bogus, "dnssec-failed.org");
    assert_int_equal(c->delivery->blocked_count, 0);
    assert_int_equal(c->delivery->ip_version, 6);
    assert_int_equal(c->delivery->routes[0].protocol, CLIENT_LMTP);
    assert_int_equal(c->delivery->routes[0].tls, GUARANTEE_POLICY_NONE);
    assert_int_equal(c->delivery->policies[0].tls, GUARANTEE_POLICY_VERIFY);
    assert_string_equal(c->delivery->policies[0].pattern, ".bank.example");
    assert_int_equal(c->delivery->sources[0].addresses[1].family, NET_IPV6);
    assert_int_equal(c->default_level, LEVEL_ENCRYPT);
    assert_true(c->delivery->discards_stopped);
    assert_false(s->exempt_auto_replies);
    assert_true(c->keeps_sha1);
    assert_int_equal(c->warning_count, 0);
    config_free(c);
}

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define UPPER "0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF"
#define COLONS8 "01:23:45:67:89:AB:cd:ef"
#define COLONS COLONS8 ":" COLONS8 ":" COLONS8 ":" COLONS8

static void fingerprints_of_policies_and_routes_are_kept(void **state)
{
    (void)state;
    static const struct {
        const char *tls;
        size_t want;
    } cases[] = {
        {"fingerprint=" DIGEST, 1},
        {"fingerprint=" UPPER, 1},
        {"fingerprint=" COLONS, 1},
        {"fingerprint=" UPPER "," COLONS ", " DIGEST, 3},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[1600];
        snprintf(text, sizeof text,
                 "hostname = \"mail.example.org\"\npolicy \"x.example\" { tls = \"%s\" }\n"
                 "policy \".x.example\" { tls = dane }\n"
                 "route \"y.example\" { next_hop = \"[192.0.2.1]:25\" tls = \"%s\" }\n",
                 cases[i].tls, cases[i].tls);
        struct config *c = load(text);
        if (!c)
            fail_msg("%s", error);
        const struct delivery_settings *s = c->delivery;
        struct guarantee_requirement r =
            delivery_required(s, "x.example", &s->routes[0], LEVEL_OFF, EXEMPTION_NONE, false);
        assert_int_equal(r.policy, GUARANTEE_POLICY_FINGERPRINT);
        assert_int_equal(r.route, GUARANTEE_POLICY_FINGERPRINT);
        assert_int_equal(r.policy_fingerprints->count, cases[i].want);
        assert_int_equal(r.route_fingerprints->count, cases[i].want);
        for (size_t k = 0; k < cases[i].want; k++) {
            assert_string_equal(r.policy_fingerprints->digests[k], DIGEST);
            assert_string_equal(r.route_fingerprints->digests[k], DIGEST);
        }
        r = delivery_required(s, "a.x.example", NULL, LEVEL_OFF, EXEMPTION_NONE, false);
        assert_int_equal(r.policy, GUARANTEE_POLICY_DANE);
        assert_int_equal(r.route, GUARANTEE_POLICY_MAY);
        assert_int_equal(c->warning_count, 0); /* what a fingerprint guards is not in clear */
        config_free(c);
    }
}

static void a_policy_may_be_that_of_an_address_literal(void **state)
{
    (void)state;
    struct config *c = load("hostname = \"mail.example.org\"\n"
                            "policy \"[192.0.2.1]\" { tls = \"fingerprint=" DIGEST "\" }\n"
                            "policy \"[ipv6:2001:DB8:0::1]\" { tls = encrypt }\n");
    if (!c)
        fail_msg("%s", error);
    assert_int_equal(delivery_policy_for(c->delivery, "[192.0.2.1]"), GUARANTEE_POLICY_FINGERPRINT);
    assert_int_equal(delivery_policy_for(c->delivery, "[IPv6:2001:db8::1]"),
                     GUARANTEE_POLICY_ENCRYPT);
    assert_int_equal(delivery_policy_for(c->delivery, "[192.0.2.2]"), GUARANTEE_POLICY_MAY);
    config_free(c);
}

static void the_answer_at_rcpt_is_what_the_file_says(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum submission_at_rcpt want;
    } cases[] = {
        {"guarantee { at_rcpt = \"off\" }\n", SUBMISSION_AT_RCPT_OFF},
        {"guarantee { at_rcpt = \"known\" }\n", SUBMISSION_AT_RCPT_KNOWN},
        {"guarantee { at_rcpt = \"probe\" }\n", SUBMISSION_AT_RCPT_PROBE},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[200];
        snprintf(text, sizeof text, "hostname = \"mail.example.org\"\n%s", cases[i].text);
        struct config *c = load(text);
        if (!c)
            fail_msg("%s", error);
        assert_int_equal(c->submission->at_rcpt, cases[i].want);
        config_free(c);
    }
}

static void reports_are_made_for_an_organization_alone(void **state)
{
    (void)state;
    struct config *c = load("hostname = \"mail.example.org\"\n");
    assert_string_equal(c->report_organization, "");
    assert_false(c->delivery->counts_for_reports);
    config_free(c);
    c = load("hostname = \"mail.example.org\"\ntlsrpt {\n organization = \"X\"\n "
             "contact = \"tls@EXAMPLE.org\"\n}\n");
    assert_non_null(c);
    assert_true(c->delivery->counts_for_reports);
    assert_string_equal(c->report_contact, "tls@example.org");
    assert_string_equal(c->report_from, "tls@example.org");
    assert_int_equal(c->report_spread_ms, 4 * 3600 * 1000);
    config_free(c);
    c = load("hostname = \"mail.example.org\"\ntlsrpt {\n organization = \"X\"\n "
             "contact = \"tls@example.org\"\n from = \"noreply@example.org\"\n}\n");
    assert_non_null(c);
    assert_string_equal(c->report_from, "noreply@example.org");
    assert_int_equal(c->warning_count, 1);
    assert_non_null(strstr(c->warnings[0], ":3: warning: tlsrpt: without dkim_key "));
    config_free(c);
    c = load("hostname = \"mail.example.org\"\ntlsrpt {\n organization = \"X\"\n "
             "contact = \"tls@example.org\"\n dkim_domain = \"Example.org\"\n "
             "dkim_selector = \"s1\"\n dkim_key = \"/nowhere\"\n}\n");
    assert_non_null(c); /* what only asks the daemon may not be able to read keys */
    assert_int_equal(c->warning_count, 0);
    assert_null(c->report_key);
    config_free(c);
}

static void what_is_wrong_names_line_and_key(void **state)
{
    (void)state;
    static const struct {
        const char *text, *place, *want;
    } cases[] = {
        {"hostname = \"a.example\"\ncolour = 1\n", ":2: ", "colour"},
        {"hostname = \"a.example\"\ntlsrpt {\n organisation = \"X\"\n}\n",
         ":3: ", "tlsrpt: no such option 'organisation'"},
        {"hostname = \"a.example\"\nlisten a { adress = \"*\" }\n",
         ":2: ", "listen \"a\": no such option 'adress'"},
        {"\nhostname = \"a b\"\n", ":2: ", "hostname = \"a b\": expected a domain name"},
        {"state_directory = \"/x\"\n", ": ", "hostname: must be set"},
        {"hostname = \"a.example\"\ndelivery {\n port = 70000\n}\n",
         ":3: ", "delivery: port = \"70000\": expected"},
        {"hostname = \"a.example\"\nretry { first = \"5\" }\n", ":2: ", "expected a duration"},
        {"hostname = \"a.example\"\nlisten a { port = 25 }\n",
         ":2: ", "listen \"a\": address: must be set"},
        {"hostname = \"a.example\"\nlisten a { address = \"*\" }\n",
         ":2: ", "listen \"a\": port: must be set"},
        {"hostname = \"a.example\"\nlisten a { address = \"*\" port = 1 tls = optional }\n",
         ":2: ", "needs `trusted`"},
        {"hostname = \"a.example\"\nroute \"a b\" { next_hop = \"x.example\" }\n",
         ":2: ", "route \"a b\": expected a domain name"},
        {"hostname = \"a.example\"\npolicy \"*\" { tls = dane }\n",
         ":2: ", "policy \"*\": expected a domain name, \".DOMAIN\" or an address literal"},
        {"hostname = \"a.example\"\npolicy \"[192.0.2.1\" { tls = dane }\n",
         ":2: ", "expected a domain name"},
        {"hostname = \"a.example\"\npolicy \"[x.example]\" { tls = dane }\n",
         ":2: ", "expected a domain name"},
        {"hostname = \"a.example\"\nsource \"[192.0.2.1]\" { address = \"192.0.2.2\" }\n",
         ":2: ", "expected a domain name"},
        {"hostname = \"a.example\"\nroute \"[192.0.2.1]\" { next_hop = \"x.example\" }\n",
         ":2: ", "expected a domain name"},
        {"hostname = \"a.example\"\npolicy \"x.example\" {\n tls = \"fingerprint=0123\"\n}\n",
         ":3: ",
         "policy \"x.example\": tls = \"fingerprint=0123\": expected "
         "none|may|encrypt|dane|verify or "
         "fingerprint=HEX[,HEX...], each HEX a SHA-256 digest of 64 hex digits, with or without "
         "colons"},
        {"hostname = \"a.example\"\npolicy \"x.example\" { tls = \"fingerprint=\" }\n",
         ":2: ", "expected none|may|encrypt|dane|verify or fingerprint=HEX"},
        {"hostname = \"a.example\"\npolicy \"x.example\" { tls = \"fingerprint\" }\n",
         ":2: ", "expected none|may|encrypt|dane|verify or fingerprint=HEX"},
        {"hostname = \"a.example\"\npolicy \"x.example\" { tls = \"fingerprint=" DIGEST "," DIGEST
         "," DIGEST "," DIGEST "," DIGEST "," DIGEST "," DIGEST "," DIGEST "," DIGEST "x\" }\n",
         ":2: ", "...\": expected none|may|encrypt|dane|verify or fingerprint=HEX"},
        {"hostname = \"a.example\"\nroute \"x.example\" { next_hop = \"[192.0.2.1]:25\"\n tls = "
         "\"fingerprint=" DIGEST "," DIGEST "0\" }\n",
         ":3: ", "with or without colons"},
        {"hostname = \"a.example\"\nroute \"x.example\" { next_hop = \"[192.0.2.1]:25\"\n tls = "
         "\"fingerprint=g123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\" }\n",
         ":3: ", "route \"x.example\": tls = \"fingerprint=g123"},
        {"hostname = \"a.example\"\npolicy \"x.example\" { tls = dane }\npolicy \"x.example\" { "
         "tls = may }\n",
         ":3: ", "x.example"},
        {"hostname = \"a.example\"\nsource \"x.example\" { address = {\"192.0.2.1\", "
         "\"192.0.2.2\"} }\n",
         ":2: ", "one address per family"},
        {"hostname = \"a.example\"\ntlsrpt {\n organization = \"X\"\n}\n",
         ":4: ", "tlsrpt: contact: must be set: organization is"},
        {"hostname = \"a.example\"\ntlsrpt {\n organization = \"X\"\n contact = \"nobody\"\n}\n",
         ":4: ", "tlsrpt: contact: expected an address"},
        {"hostname = \"a.example\"\ntlsrpt {\n dkim_key = \"/x\"\n dkim_selector = \"s\"\n}\n",
         ":5: ", "tlsrpt: dkim_domain: must be set: "},
        {"hostname = \"a.example\"\ntlsrpt {\n dkim_selector = \"a b\"\n}\n",
         ":3: ", "tlsrpt: dkim_selector = \"a b\": expected a domain name"},
        {"hostname = \"a.example\"\ntlsrpt {\n contact = \"x@a.example\"\n dkim_domain = "
         "\"b.example\"\n dkim_key = \"/x\"\n dkim_selector = \"s\"\n}\n",
         ":4: ", "tlsrpt: dkim_domain: expected the domain of x@a.example"},
        {"hostname = \"a.example\"\nworkers = 2 /* left open\npolicy \"x.example\" { tls = dane "
         "}\n",
         ":2: ", "this comment is not closed"},
        {"hostname = \"a.example\"\n\"junk\npolicy x.example { tls = dane }\n",
         ":2: ", "this text is not closed"},
        {"hostname = \"a.example\"\npolicy \"x.example\" { tls = dane }\npolicy \"X.example\" { "
         "tls = may }\n",
         ":3: ", "the same domain as an earlier title"},
        {"hostname = \"a.example\"\nroute \"xn--bcher-kva.example\" { next_hop = "
         "\"[127.0.0.1]:24\" }\nroute \"b\xc3\xbc"
         "cher.example\" { next_hop = \"[127.0.0.1]:25\" }\n",
         ":3: ", "the same domain as an earlier title"},
        {"hostname = \"a.example\"\ndelivery {\n port = 26\n", ":",
         "a section, list or text is not closed"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct config *c = load(cases[i].text);
        if (c)
            fail_msg("accepted: %s", cases[i].text);
        if (strncmp(error, path, strlen(path)) != 0 || !strstr(error, cases[i].place) ||
            !strstr(error, cases[i].want))
            fail_msg("%s\n-> %s", cases[i].text, error);
    }
    assert_null(config_load("/nowhere/sealpost.conf", CONFIG_CONTROL, error, sizeof error));
    assert_non_null(strstr(error, "/nowhere/sealpost.conf: "));
}

static void a_certificate_that_cannot_be_read_names_its_line(void **state)
{
    (void)state;
    struct config *c =
        load("hostname = \"a.example\"\nlisten a { address = \"127.0.0.1\" port = 2587 }\ntls {\n "
             "certificate = \"/nowhere/c.pem\"\n key = \"/nowhere/k.pem\"\n}\n");
    assert_non_null(c); /* sealpostctl need not read it */
    config_free(c);
    assert_null(config_load(path, CONFIG_WHOLE, error, sizeof error));
    assert_non_null(strstr(error, ":4: tls: certificate: cannot read /nowhere/c.pem"));
}

static void the_daemon_checks_its_surroundings(void **state)
{
    (void)state;
    static const struct {
        const char *text, *place, *want;
    } cases[] = {
        {"hostname = \"a.example\"\nrun_as = \"\"\ndns { trust_anchor = \"/nowhere\" }\n",
         ":3: ", "trust_anchor: cannot read /nowhere"},
        {"hostname = \"a.example\"\nrun_as = \"\"\nretry { first = \"5h\" max = \"1m\" }\n",
         ":3: ", "must not be longer than max"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        config_free(load(cases[i].text)); /* sealpostctl does not mind */
        assert_null(config_load(path, CONFIG_WHOLE, error, sizeof error));
        if (!strstr(error, cases[i].place) || !strstr(error, cases[i].want))
            fail_msg("%s", error);
    }
}

static void a_route_into_the_clear_is_warned_of(void **state)
{
    (void)state;
    static const struct {
        const char *route;
        unsigned want;
    } cases[] = {
        {"route \"x.example\" { next_hop = \"[127.0.0.1]:24\" tls = none }", 0},
        {"route \"x.example\" { next_hop = \"unix:/run/lmtp\" }", 0},
        {"route \".example\" { next_hop = \"[127.0.0.1]:24\" }", 1},
        {"route \"*\" { next_hop = \"[127.0.0.1]:24\" }", 1},
        {"route \"x.example\" { next_hop = \"[192.0.2.1]:24\" }", 1},
        {"route \"x.example\" { next_hop = \"[192.0.2.1]:24\" tls = encrypt }", 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[300];
        snprintf(text, sizeof text, "hostname = \"a.example\"\n%s\n", cases[i].route);
        struct config *c = load(text);
        if (!c)
            fail_msg("%s", error);
        if (c->warning_count != cases[i].want)
            fail_msg("%s", cases[i].route);
        config_free(c);
    }
}

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd >= 0 ? close(fd) : -1;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_documents),
        cmocka_unit_test(a_whole_file_is_read),
        cmocka_unit_test(fingerprints_of_policies_and_routes_are_kept),
        cmocka_unit_test(a_policy_may_be_that_of_an_address_literal),
        cmocka_unit_test(the_answer_at_rcpt_is_what_the_file_says),
        cmocka_unit_test(reports_are_made_for_an_organization_alone),
        cmocka_unit_test(what_is_wrong_names_line_and_key),
        cmocka_unit_test(a_certificate_that_cannot_be_read_names_its_line),
        cmocka_unit_test(the_daemon_checks_its_surroundings),
        cmocka_unit_test(a_route_into_the_clear_is_warned_of),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
