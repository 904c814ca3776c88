#include "gateway/schema.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gateway/delivery/settings.h"
#include "gateway/net/address.h"
#include "mail/domain.h"

#define SECOND ((int64_t)1000)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)
#define YEAR (366 * DAY)
#define BLOCKED                                                                                    \
    "127.0.0.0/8, 0.0.0.0/8, 169.254.0.0/16, 224.0.0.0/4, ::/128, ::1/128, fe80::/10, ff00::/8"
#define TLS_WORDS "none|may|encrypt|dane|verify"
#define TLS_EXPECTED                                                                               \
    TLS_WORDS " or fingerprint=HEX[,HEX...], each HEX a SHA-256 digest of 64 hex digits, with or " \
              "without colons"

/* clang-format off: a table is read by its columns. */
const struct schema_key schema_keys[] = {
    {"", "hostname", SCHEMA_DOMAIN, NULL, 1, DOMAIN_MAX, NULL,
     "EHLO name, Received, Reporting-MTA, Message-ID domain"},
    {"", "state_directory", SCHEMA_TEXT, "/var/lib/sealpost", 1, 4000, NULL,
     "where the store lives"},
    {"", "control_socket", SCHEMA_TEXT, "/run/sealpost/control", 1, 107, NULL,
     "Unix socket that sealpostctl asks"},
    {"", "run_as", SCHEMA_TEXT, "sealpost", 0, 64, NULL,
     "user to become after binding; \"\" stays"},
    {"", "workers", SCHEMA_NUMBER, "0", 0, 1024, NULL, "event-loop threads; 0 = one per core"},
    {"", "shutdown_grace", SCHEMA_DURATION, "30s", 0, HOUR, NULL,
     "how long what is on the wire may take to finish"},
    {"", "log_level", SCHEMA_CHOICE, "info", 0, 0, "debug|info|warning|error",
     "the least severe event that is logged"},
    {"", "auth_mechanisms", SCHEMA_CHOICES, "SCRAM-SHA-256-PLUS, SCRAM-SHA-256, PLAIN, LOGIN", 0, 0,
     "SCRAM-SHA-256-PLUS|SCRAM-SHA-256|SCRAM-SHA-1|PLAIN|LOGIN", "what clients may log in with"},

    {"listen", "address", SCHEMA_ADDRESSES, NULL, 1, 0, NULL,
     "addresses to bind; \"*\" = all of both families"},
    {"listen", "port", SCHEMA_NUMBER, NULL, 1, 65535, NULL, "port to bind"},
    {"listen", "tls", SCHEMA_CHOICE, "starttls", 0, 0, "starttls|implicit|optional",
     "optional only where `trusted` is set"},
    {"listen", "trusted", SCHEMA_NETWORKS, "", 0, 0, NULL,
     "a relay listener: no AUTH, these networks only"},

    {"tls", "certificate", SCHEMA_TEXT, "", 0, 4000, NULL, "PEM file, the whole chain"},
    {"tls", "key", SCHEMA_TEXT, "", 0, 4000, NULL, "PEM file"},
    {"tls", "min_protocol", SCHEMA_CHOICE, "TLSv1.2", 0, 0, "TLSv1.2|TLSv1.3",
     "oldest TLS version clients may use"},
    {"tls", "assistance", SCHEMA_TEXT, "", 0, 400, NULL, "second line of the 530 reply before TLS"},

    {"dns", "resolvers", SCHEMA_RESOLVERS, "", 0, 0, NULL,
     "ADDRESS@PORT; empty = recurse from the root"},
    {"dns", "trust_anchor", SCHEMA_TEXT, "/usr/share/dns/root.key", 1, 4000, NULL,
     "DS or DNSKEY file"},
    {"dns", "unbound_config", SCHEMA_TEXT, "", 0, 4000, NULL,
     "a further libunbound configuration file"},
    {"dns", "self_test_signed", SCHEMA_DOMAIN, "ietf.org", 0, DOMAIN_MAX, NULL,
     "a name whose answer must be secure; \"\" is not asked"},
    {"dns", "self_test_unsigned", SCHEMA_DOMAIN, "google.com", 0, DOMAIN_MAX, NULL,
     "a name whose answer must be insecure; \"\" is not asked"},
    {"dns", "self_test_bogus", SCHEMA_DOMAIN, "dnssec-failed.org", 0, DOMAIN_MAX, NULL,
     "a name whose answer must be bogus; \"\" is not asked"},

    {"delivery", "port", SCHEMA_NUMBER, "25", 1, 65535, NULL, "port of MX hosts"},
    {"delivery", "ca_file", SCHEMA_TEXT, "", 0, 4000, NULL,
     "CA certificates for \"verify\" and MTA-STS; \"\" = the system's store"},
    {"delivery", "blocked_networks", SCHEMA_NETWORKS, BLOCKED, 0, 0, NULL,
     "never connected to for an MX look-up or address literal"},
    {"delivery", "concurrency_per_destination", SCHEMA_NUMBER, "20", 1, 1000, NULL,
     "connections to one next hop"},
    {"delivery", "connect_timeout", SCHEMA_DURATION, "30s", SECOND, HOUR, NULL, "for each address"},
    {"delivery", "ip_version", SCHEMA_CHOICE, "both", 0, 0, "4|6|both", "address families used"},
    {"delivery", "remember_tls", SCHEMA_DURATION, "0s", 0, YEAR, NULL,
     "mail waits where TLS was always seen until so long ago and now is not; 0s = never"},

    {"retry", "first", SCHEMA_DURATION, "5m", SECOND, YEAR, NULL,
     "wait after the first failed attempt; doubled after each"},
    {"retry", "max", SCHEMA_DURATION, "4h", SECOND, YEAR, NULL, "longest wait"},
    {"retry", "lifetime", SCHEMA_DURATION, "5d", SECOND, YEAR, NULL,
     "then the message is returned"},
    {"retry", "warn_after", SCHEMA_DURATION, "4h", 0, YEAR, NULL,
     "when the sender is told of a delay; 0s = never"},

    {"guarantee", "default_level", SCHEMA_CHOICE, "off", 0, 0, "off|encrypt|verified",
     "for users without a flag of their own"},
    {"guarantee", "on_stop", SCHEMA_CHOICE, "hold", 0, 0, "hold|discard",
     "hold: keep it for release; discard: notice only"},
    {"guarantee", "hold_for", SCHEMA_DURATION, "7d", SECOND, YEAR, NULL,
     "how long a stopped message is kept"},
    {"guarantee", "patience", SCHEMA_DURATION, "1h", 0, YEAR, NULL,
     "how long passing TLS trouble is retried"},
    {"guarantee", "exempt_auto_replies", SCHEMA_SWITCH, "true", 0, 0, NULL,
     "automatic replies pass without the guarantee"},
    {"guarantee", "at_rcpt", SCHEMA_CHOICE, "off", 0, 0, "off|known|probe",
     "refuse at RCPT what would be stopped; doubt takes it"},

    {"route", "next_hop", SCHEMA_NEXT_HOP, NULL, 1, 0, NULL,
     "[HOST]:PORT (no MX look-up), DOMAIN, unix:/PATH"},
    {"route", "protocol", SCHEMA_CHOICE, "smtp", 0, 0, "smtp|lmtp", "spoken there"},
    {"route", "tls", SCHEMA_TLS, "may", 0, 0, TLS_WORDS, "required there; raises, never lowers"},

    {"policy", "tls", SCHEMA_TLS, NULL, 0, 0, TLS_WORDS,
     "required of hosts of this domain; raises, never lowers"},

    {"source", "address", SCHEMA_ADDRESSES, NULL, 1, 0, NULL,
     "outgoing address for senders of that domain, one per family"},

    {"tlsrpt", "organization", SCHEMA_TEXT, "", 0, 200, NULL,
     "whose reports about TLS they are; \"\" = none are made"},
    {"tlsrpt", "contact", SCHEMA_TEXT, "", 0, ADDRESS_SIZE - 1, NULL,
     "address said in the reports; must be set with organization"},
    {"tlsrpt", "from", SCHEMA_TEXT, "", 0, ADDRESS_SIZE - 1, NULL,
     "address that reports by mail come from; \"\" = contact"},
    {"tlsrpt", "spread", SCHEMA_DURATION, "4h", 0, 20 * HOUR, NULL,
     "the time after midnight UTC over which reports go out"},
    {"tlsrpt", "dkim_domain", SCHEMA_DOMAIN, "", 0, DOMAIN_MAX, NULL,
     "signs reports by mail (DKIM d=): the domain of from; receivers ignore unsigned ones"},
    {"tlsrpt", "dkim_selector", SCHEMA_DOMAIN, "", 0, DOMAIN_MAX, NULL,
     "DKIM s=: the public key is published at SELECTOR._domainkey.DOMAIN"},
    {"tlsrpt", "dkim_key", SCHEMA_TEXT, "", 0, 4000, NULL, "PEM file, private RSA key"},

    {"limits", "message_size", SCHEMA_SIZE, "50M", 1024, INT64_MAX, NULL, "largest message"},
    {"limits", "recipients", SCHEMA_NUMBER, "100", 1, 100000, NULL, "per message"},
    {"limits", "queue_size", SCHEMA_SIZE, "64G", 1 << 20, INT64_MAX, NULL,
     "new mail is refused above it"},
    {"limits", "messages_per_hour", SCHEMA_NUMBER, "0", 0, INT32_MAX, NULL,
     "per user; 0 = no limit"},
    {"limits", "recipients_per_hour", SCHEMA_NUMBER, "0", 0, INT32_MAX, NULL,
     "per user; 0 = no limit"},
    {"limits", "connections", SCHEMA_NUMBER, "20000", 1, 1000000, NULL, "clients at a time"},
    {"limits", "connections_per_address", SCHEMA_NUMBER, "200", 1, 1000000, NULL,
     "from one address (IPv6: /64)"},
    {"limits", "auth_failures_per_address", SCHEMA_NUMBER, "10", 1, 1000000, NULL,
     "then that address is refused for a while"},
    {"limits", "command_timeout", SCHEMA_DURATION, "5m", SECOND, HOUR, NULL,
     "how long a client may be silent"},
};
/* clang-format on */
const size_t schema_key_count = COUNT_OF(schema_keys);

bool schema_is_titled(const char *section)
{
    static const char *const titled[] = {"listen", "route", "policy", "source"};
    for (size_t i = 0; i < COUNT_OF(titled); i++)
        if (strcmp(section, titled[i]) == 0)
            return true;
    return false;
}

const struct schema_key *schema_find(const char *section, const char *key)
{
    for (size_t i = 0; i < schema_key_count; i++)
        if (strcmp(schema_keys[i].section, section) == 0 && strcmp(schema_keys[i].key, key) == 0)
            return &schema_keys[i];
    return NULL;
}

/* A number and one letter out of `units`; factors in the same order. */
static bool parse_with_unit(struct slice in, const char *units, const uint64_t *factors,
                            uint64_t *out)
{
    uint64_t number;
    if (in.len < 2)
        return false;
    const char *unit = strchr(units, in.data[in.len - 1]);
    if (!unit || !slice_number(slice_sub(in, 0, in.len - 1), INT64_MAX, &number))
        return false;
    uint64_t factor = factors[unit - units];
    if (number > INT64_MAX / factor)
        return false;
    *out = number * factor;
    return true;
}

bool schema_duration(struct slice in, int64_t *ms)
{
    static const uint64_t factors[] = {SECOND, 60 * SECOND, HOUR, DAY, 7 * DAY};
    uint64_t value;
    if (!parse_with_unit(in, "smhdw", factors, &value))
        return false;
    *ms = (int64_t)value;
    return true;
}

bool schema_size(struct slice in, uint64_t *octets)
{
    static const uint64_t factors[] = {1 << 10, 1 << 20, 1 << 30, (uint64_t)1 << 40};
    return parse_with_unit(in, "KMGT", factors, octets) || slice_number(in, INT64_MAX, octets);
}

static bool is_choice(const char *choices, struct slice value)
{
    struct slice left = slice_of(choices);
    struct slice word;
    while (slice_cut(&left, '|', &word))
        if (slice_equal(word, value))
            return true;
    return false;
}

static bool is_fingerprints(struct slice value)
{
    struct guarantee_fingerprints read = {0};
    bool is_read = guarantee_fingerprints_parse(value, &read);
    guarantee_fingerprints_clear(&read);
    return is_read;
}

static bool is_resolver(struct slice value)
{
    struct net_address address;
    uint64_t port;
    ptrdiff_t at = slice_find(value, '@');
    if (at < 0)
        return net_address_parse(value, &address);
    return net_address_parse(slice_sub(value, 0, (size_t)at), &address) &&
           slice_number(slice_sub(value, (size_t)at + 1, value.len), 65535, &port) && port > 0;
}

static bool expect(bool is_good, char *expected, size_t size, const char *what)
{
    if (!is_good)
        snprintf(expected, size, "%s", what);
    return is_good;
}

/* In the largest unit that says it exactly, as it would be written in the file. */
static const char *limit_text(const struct schema_key *key, int64_t value, char out[24])
{
    static const struct {
        int64_t ms;
        const char *letter;
    } units[] = {{DAY, "d"}, {HOUR, "h"}, {60 * SECOND, "m"}, {SECOND, "s"}};
    size_t unit = 0;
    if (key->kind != SCHEMA_DURATION) {
        snprintf(out, 24, "%" PRId64, value);
        return out;
    }
    while (unit + 1 < COUNT_OF(units) && (value == 0 || value % units[unit].ms != 0))
        unit++;
    snprintf(out, 24, "%" PRId64 "%s", value / units[unit].ms, units[unit].letter);
    return out;
}

static bool check_range(const struct schema_key *key, bool is_read, int64_t value, char *expected,
                        size_t size)
{
    static const char *const forms[] = {
        [SCHEMA_NUMBER] = "a whole number",
        [SCHEMA_DURATION] = "a duration such as \"30s\", \"15m\", \"4h\" or \"5d\"",
        [SCHEMA_SIZE] = "a size such as \"25M\"",
    };
    if (!is_read)
        return expect(false, expected, size, forms[key->kind]);
    if (value >= key->min && value <= key->max)
        return true;
    char min[24];
    char max[24];
    snprintf(expected, size, "%s from %s to %s", forms[key->kind], limit_text(key, key->min, min),
             limit_text(key, key->max, max));
    return false;
}

bool schema_check(const struct schema_key *key, const char *value, char *expected, size_t size)
{
    struct slice in = slice_of(value);
    struct net_address address;
    struct net_network network;
    struct delivery_next_hop next_hop;
    char domain[DOMAIN_SIZE];
    uint64_t number = 0;
    int64_t ms = 0;
    bool is_read;
    switch (key->kind) {
    case SCHEMA_TEXT:
        return expect((int64_t)in.len >= key->min && (int64_t)in.len <= key->max &&
                          slice_find(in, '\n') < 0,
                      expected, size,
                      key->min > 0 ? "a text that is not empty" : "a shorter text of one line");
    case SCHEMA_DOMAIN:
        return expect((key->min == 0 && in.len == 0) || domain_to_ascii(in, domain), expected, size,
                      "a domain name");
    case SCHEMA_NUMBER:
        is_read = slice_number(in, INT64_MAX, &number);
        return check_range(key, is_read, (int64_t)number, expected, size);
    case SCHEMA_SIZE:
        is_read = schema_size(in, &number);
        return check_range(key, is_read, (int64_t)number, expected, size);
    case SCHEMA_DURATION:
        is_read = schema_duration(in, &ms);
        return check_range(key, is_read, ms, expected, size);
    case SCHEMA_SWITCH:
        return expect(is_choice("true|false", in), expected, size, "true or false");
    case SCHEMA_CHOICE:
    case SCHEMA_CHOICES:
        return expect(is_choice(key->choices, in), expected, size, key->choices);
    case SCHEMA_TLS:
        return expect(is_choice(key->choices, in) || is_fingerprints(in), expected, size,
                      TLS_EXPECTED);
    case SCHEMA_ADDRESSES:
        return expect(slice_equal(in, SLICE("*")) || net_address_parse(in, &address), expected,
                      size, "an IP address, or \"*\"");
    case SCHEMA_NETWORKS:
        return expect(net_network_parse(in, &network), expected, size,
                      "a network such as \"192.0.2.0/24\"");
    case SCHEMA_RESOLVERS:
        return expect(is_resolver(in), expected, size, "\"ADDRESS@PORT\"");
    case SCHEMA_NEXT_HOP:
        return expect(delivery_next_hop_parse(in, &next_hop), expected, size,
                      "\"[HOST]:PORT\", \"DOMAIN\" or \"unix:/PATH\"");
    }
    panic("no such kind: %d", (int)key->kind);
}
