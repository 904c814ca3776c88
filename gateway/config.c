#include "gateway/config.h"

#include <confuse.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/schema.h"
#include "mail/address.h"
#include "mail/domain.h"

/* libConfuse takes the end of the file for the end of every section. A key behind it, known at the
 * top level alone, shows where it stands. */
#define SENTINEL "sealpost_end_of_file"

/* Where a key was set, so that what is found wrong later still names its line. */
struct mark {
    const cfg_t *section;
    const char *key; /* NULL: the end of the section itself */
    int line;
};

/* One reading of one file. libConfuse's callbacks carry no context: this is where they find theirs.
 */
struct reading {
    const char *file;
    char *error; /* the first one is kept */
    size_t error_size;
    struct mark *marks;
    size_t mark_count;
    struct config *config;
};
static struct reading *now_reading;

/* ---- errors that name their place ---- */

static void report(struct reading *r, int line, const char *format, ...) PRINTF_LIKE(3, 4);
static void report(struct reading *r, int line, const char *format, ...)
{
    char place[32] = "";
    char what[600];
    va_list arguments;
    if (r->error[0] != '\0')
        return;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    if (line > 0)
        snprintf(place, sizeof place, ":%d", line);
    snprintf(r->error, r->error_size, "%s%s: %s", r->file, place, what);
}

static void warn(struct reading *r, int line, const char *format, ...) PRINTF_LIKE(3, 4);
static void warn(struct reading *r, int line, const char *format, ...)
{
    char what[500];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    struct config *c = r->config;
    c->warnings = xrealloc(c->warnings, (c->warning_count + 1) * sizeof *c->warnings);
    c->warnings[c->warning_count++] = xprintf("%s:%d: warning: %s", r->file, line, what);
}

static void library_error(cfg_t *cfg, const char *format, va_list arguments) PRINTF_LIKE(2, 0);
static void library_error(cfg_t *cfg, const char *format, va_list arguments)
{
    char what[400];
    vsnprintf(what, sizeof what, format, arguments);
    if (strstr(what, SENTINEL))
        snprintf(what, sizeof what, "the end of the file: a section, list or text is not closed");
    report(now_reading, cfg ? cfg->line : 0, "%s", what);
}

static void add_mark(const cfg_t *section, const char *key, int line)
{
    struct reading *r = now_reading;
    r->marks = xrealloc(r->marks, (r->mark_count + 1) * sizeof *r->marks);
    r->marks[r->mark_count++] = (struct mark){section, key, line};
}

static int line_of(const struct reading *r, const cfg_t *section, const char *key)
{
    int line = 0;
    for (size_t i = 0; i < r->mark_count; i++) {
        const struct mark *m = &r->marks[i];
        bool is_it = key ? m->key && strcmp(m->key, key) == 0 : !m->key;
        if (m->section == section && is_it)
            line = m->line;
    }
    return line;
}

/* "listen submission: port" or "delivery: port" or "hostname". */
static const char *key_words(const cfg_t *section, const char *key, char *out, size_t size)
{
    if (strcmp(section->name, "root") == 0)
        snprintf(out, size, "%s", key);
    else if (section->title)
        snprintf(out, size, "%s \"%s\": %s", section->name, section->title, key);
    else
        snprintf(out, size, "%s: %s", section->name, key);
    return out;
}

static void report_key(struct reading *r, const cfg_t *section, const char *key, const char *what)
{
    char words[300];
    int line = line_of(r, section, key);
    report(r, line > 0 ? line : line_of(r, section, NULL), "%s: %s",
           key_words(section, key, words, sizeof words), what);
}

/* ---- from the table to libConfuse's ---- */

static const char *section_name(const cfg_t *cfg)
{
    return strcmp(cfg->name, "root") == 0 ? "" : cfg->name;
}

enum { VALUE_SHOWN = 100 };
static int check_value(cfg_t *cfg, cfg_opt_t *opt)
{
    char expected[200];
    char words[280];
    const struct schema_key *key = schema_find(section_name(cfg), opt->name);
    if (!key)
        panic("key %s is not in the table", opt->name);
    if (cfg->line > 0)
        add_mark(cfg, key->key, cfg->line);
    for (unsigned i = 0; i < cfg_opt_size(opt); i++) {
        const char *value = cfg_opt_getnstr(opt, i);
        if (schema_check(key, value ? value : "", expected, sizeof expected))
            continue;
        bool is_long = value && strlen(value) > VALUE_SHOWN; /* what was expected must be seen */
        report(now_reading, cfg->line, "%s = \"%.*s%s\": expected %s",
               key_words(cfg, key->key, words, sizeof words), VALUE_SHOWN, value ? value : "",
               is_long ? "..." : "", expected);
        return -1;
    }
    return 0;
}

static int end_section(cfg_t *cfg, cfg_opt_t *opt)
{
    cfg_t *section = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
    add_mark(section, NULL, cfg->line);
    return 0;
}

static bool is_list(enum schema_kind kind)
{
    return kind == SCHEMA_CHOICES || kind == SCHEMA_ADDRESSES || kind == SCHEMA_NETWORKS ||
           kind == SCHEMA_RESOLVERS;
}

enum { SECTIONS = 16, KEYS = 24, PRESET_SIZE = 512 };
struct option_tables {
    const char *names[SECTIONS]; /* [0] is the top level */
    size_t count;
    cfg_opt_t options[SECTIONS][KEYS];
    size_t sizes[SECTIONS];
    char presets[SECTIONS][KEYS][PRESET_SIZE]; /* lists in the form libConfuse parses */
};

static size_t section_index(struct option_tables *t, const char *name)
{
    for (size_t i = 0; i < t->count; i++)
        if (strcmp(t->names[i], name) == 0)
            return i;
    if (t->count == SECTIONS)
        panic("more sections than SECTIONS");
    t->names[t->count] = name;
    return t->count++;
}

static char *list_preset(const char *preset, char out[PRESET_SIZE])
{
    struct slice left = slice_of(preset ? preset : "");
    struct slice item;
    size_t used = (size_t)snprintf(out, PRESET_SIZE, "{");
    for (bool is_first = true; slice_cut(&left, ',', &item); is_first = false) {
        item = slice_trim(item);
        used += (size_t)snprintf(out + used, PRESET_SIZE - used, "%s\"%.*s\"", is_first ? "" : ",",
                                 SLICE_ARG(item));
    }
    snprintf(out + used, PRESET_SIZE - used, "}");
    return out;
}

static void add_option(struct option_tables *t, const struct schema_key *key)
{
    size_t s = section_index(t, key->section);
    size_t k = t->sizes[s]++;
    if (k + 1 >= KEYS)
        panic("more keys in %s than KEYS", key->section);
    cfg_opt_t scalar = CFG_STR(key->key, key->preset, CFGF_NONE);
    cfg_opt_t list = CFG_STR_LIST(key->key, list_preset(key->preset, t->presets[s][k]), CFGF_NONE);
    t->options[s][k] = is_list(key->kind) ? list : scalar;
    t->options[s][k].validcb = check_value;
}

static void build_options(struct option_tables *t)
{
    memset(t, 0, sizeof *t);
    (void)section_index(t, "");
    for (size_t i = 0; i < schema_key_count; i++)
        add_option(t, &schema_keys[i]);
    cfg_opt_t sentinel = CFG_STR(SENTINEL, "", CFGF_NONE);
    t->options[0][t->sizes[0]++] = sentinel;
    for (size_t s = 1; s < t->count; s++) {
        cfg_flag_t flags = schema_is_titled(t->names[s])
                               ? CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES
                               : CFGF_NONE;
        cfg_opt_t section = CFG_SEC(t->names[s], t->options[s], flags);
        section.validcb = end_section;
        t->options[0][t->sizes[0]++] = section;
        if (t->sizes[0] >= KEYS)
            panic("more keys at the top level than KEYS");
    }
}

/* ---- typed values; the table has checked them ---- */

static const char *text(cfg_t *section, const char *key)
{
    const char *value = cfg_getstr(section, key);
    if (!value)
        report_key(now_reading, section, key, "must be set");
    return value ? value : "";
}

static int64_t number(cfg_t *section, const char *key)
{
    uint64_t value = 0;
    const char *in = text(section, key);
    if (!slice_number(slice_of(in), INT64_MAX, &value) && now_reading->error[0] == '\0')
        panic("unchecked number %s", key);
    return (int64_t)value;
}

static int64_t duration(cfg_t *section, const char *key)
{
    int64_t ms = 0;
    if (!schema_duration(slice_of(text(section, key)), &ms) && now_reading->error[0] == '\0')
        panic("unchecked duration %s", key);
    return ms;
}

static uint64_t octets(cfg_t *section, const char *key)
{
    uint64_t size = 0;
    if (!schema_size(slice_of(text(section, key)), &size) && now_reading->error[0] == '\0')
        panic("unchecked size %s", key);
    return size;
}

static bool is_set_to(cfg_t *section, const char *key, const char *value)
{
    return strcmp(text(section, key), value) == 0;
}

static enum guarantee_policy tls_words(cfg_t *section, struct guarantee_fingerprints *named)
{
    enum guarantee_policy policy = GUARANTEE_POLICY_MAY;
    struct slice in = slice_of(text(section, "tls"));
    if (guarantee_fingerprints_parse(in, named))
        return GUARANTEE_POLICY_FINGERPRINT;
    if (!guarantee_policy_parse(in, &policy) && now_reading->error[0] == '\0')
        panic("unchecked tls word");
    return policy;
}

static struct net_network *networks(cfg_t *section, const char *key, size_t *count)
{
    unsigned size = cfg_size(section, key);
    struct net_network *out = xalloc((size + 1) * sizeof *out);
    for (unsigned i = 0; i < size; i++)
        if (!net_network_parse(slice_of(cfg_getnstr(section, key, i)), &out[i]))
            panic("unchecked network");
    *count = size;
    return out;
}

/* "*" stands for all addresses of both families. */
static struct net_address *addresses(cfg_t *section, const char *key, uint16_t port, size_t *count)
{
    unsigned size = cfg_size(section, key);
    struct net_address *out = xalloc((2 * size + 1) * sizeof *out);
    *count = 0;
    for (unsigned i = 0; i < size; i++) {
        const char *value = cfg_getnstr(section, key, i);
        if (strcmp(value, "*") == 0) {
            out[(*count)++] = (struct net_address){.family = NET_IPV4, .port = port};
            out[(*count)++] = (struct net_address){.family = NET_IPV6, .port = port};
            continue;
        }
        if (!net_address_parse(slice_of(value), &out[*count]))
            panic("unchecked address");
        out[(*count)++].port = port;
    }
    return out;
}

/* "[192.0.2.1]", in the one spelling that it has in a recipient's address. */
static bool is_literal(const char *title, char out[DOMAIN_SIZE])
{
    struct address mailbox;
    char text[DOMAIN_SIZE];
    snprintf(text, sizeof text, "x@%.250s", title);
    return title[0] == '[' && address_parse(slice_of(text), &mailbox) == ADDRESS_OK &&
           mailbox.is_literal && slice_copy(slice_of(address_domain(&mailbox)), out, DOMAIN_SIZE);
}

/* Titles are domains: exact, ".below", or (routes only) "*", or (policies only) a literal. */
static void read_pattern(struct reading *r, cfg_t *section, bool allows_star, char out[DOMAIN_SIZE])
{
    const char *title = section->title;
    char domain[DOMAIN_SIZE];
    bool is_below = title[0] == '.';
    bool is_policy = strcmp(section->name, "policy") == 0;
    if (allows_star && strcmp(title, "*") == 0) {
        snprintf(out, DOMAIN_SIZE, "*");
        return;
    }
    if (is_policy && is_literal(title, out))
        return;
    if (domain_to_ascii(slice_of(title + is_below), domain) &&
        snprintf(out, DOMAIN_SIZE, "%s%.254s", is_below ? "." : "", domain) < DOMAIN_SIZE)
        return;
    report(r, line_of(r, section, NULL), "%s \"%s\": expected a domain name%s", section->name,
           title,
           allows_star ? ", \".DOMAIN\" or \"*\""
           : is_policy ? ", \".DOMAIN\" or an address literal such as \"[192.0.2.1]\""
                       : " or \".DOMAIN\"");
}

/* ---- settings of the rooms ---- */

static unsigned mechanisms(cfg_t *root)
{
    static const struct {
        const char *name;
        enum submission_mechanism bit;
    } known[] = {
        {"PLAIN", MECHANISM_PLAIN},
        {"LOGIN", MECHANISM_LOGIN},
        {"SCRAM-SHA-1", MECHANISM_SCRAM_SHA_1},
        {"SCRAM-SHA-256", MECHANISM_SCRAM_SHA_256},
        {"SCRAM-SHA-256-PLUS", MECHANISM_SCRAM_SHA_256_PLUS},
    };
    unsigned bits = 0;
    for (unsigned i = 0; i < cfg_size(root, "auth_mechanisms"); i++)
        for (size_t k = 0; k < COUNT_OF(known); k++)
            if (strcmp(cfg_getnstr(root, "auth_mechanisms", i), known[k].name) == 0)
                bits |= known[k].bit;
    return bits;
}

static void read_listener(struct reading *r, cfg_t *section, struct submission_listener *l)
{
    snprintf(l->title, sizeof l->title, "%s", section->title);
    l->addresses =
        addresses(section, "address", (uint16_t)number(section, "port"), &l->address_count);
    if (l->address_count == 0)
        report_key(r, section, "address", "must be set");
    l->trusted = networks(section, "trusted", &l->trusted_count);
    l->is_relay = l->trusted_count > 0;
    l->tls = is_set_to(section, "tls", "implicit")   ? SUBMISSION_IMPLICIT
             : is_set_to(section, "tls", "optional") ? SUBMISSION_OPTIONAL
                                                     : SUBMISSION_STARTTLS;
    if (l->tls == SUBMISSION_OPTIONAL && !l->is_relay)
        report_key(
            r, section, "tls",
            "optional TLS needs `trusted`: without it clients log in, and that only under TLS");
}

static void read_server_tls(struct reading *r, cfg_t *tls, struct submission_settings *s)
{
    char why[400];
    struct tls_server_options o = {
        .certificate = text(tls, "certificate"),
        .key = text(tls, "key"),
        .allows_tls12 = is_set_to(tls, "min_protocol", "TLSv1.2"),
    };
    bool is_needed = false;
    for (size_t i = 0; i < s->listener_count; i++)
        is_needed |= s->listeners[i].tls != SUBMISSION_OPTIONAL;
    if (o.certificate[0] == '\0' && !is_needed)
        return;
    if (o.certificate[0] == '\0' || o.key[0] == '\0') {
        report_key(r, tls, o.certificate[0] ? "key" : "certificate",
                   "must be set: a listener offers TLS");
        return;
    }
    for (int i = 0; i < 2; i++)
        if (access(i ? o.key : o.certificate, R_OK) != 0) {
            snprintf(why, sizeof why, "cannot read %.300s: %s", i ? o.key : o.certificate,
                     strerror(errno));
            report_key(r, tls, i ? "key" : "certificate", why);
            return;
        }
    s->tls = tls_server_new(&o, why, sizeof why);
    if (!s->tls)
        report_key(r, tls, strstr(why, o.key) ? "key" : "certificate", why);
}

static enum submission_at_rcpt at_rcpt(cfg_t *guarantee)
{
    if (is_set_to(guarantee, "at_rcpt", "probe"))
        return SUBMISSION_AT_RCPT_PROBE;
    return is_set_to(guarantee, "at_rcpt", "known") ? SUBMISSION_AT_RCPT_KNOWN
                                                    : SUBMISSION_AT_RCPT_OFF;
}

static struct submission_settings *read_submission(struct reading *r, cfg_t *root,
                                                   enum config_use use)
{
    struct submission_settings *s = submission_settings_new();
    cfg_t *limits = cfg_getsec(root, "limits");
    cfg_t *tls = cfg_getsec(root, "tls");
    memcpy(s->hostname, r->config->hostname, sizeof s->hostname);
    free(s->assistance);
    s->assistance = xstrdup(text(tls, "assistance"));
    s->mechanisms = mechanisms(root);
    s->default_level = r->config->default_level;
    s->exempt_auto_replies =
        is_set_to(cfg_getsec(root, "guarantee"), "exempt_auto_replies", "true");
    s->at_rcpt = at_rcpt(cfg_getsec(root, "guarantee"));
    s->message_size = octets(limits, "message_size");
    s->recipients = (unsigned)number(limits, "recipients");
    s->messages_per_hour = (unsigned)number(limits, "messages_per_hour");
    s->recipients_per_hour = (unsigned)number(limits, "recipients_per_hour");
    s->connections = (unsigned)number(limits, "connections");
    s->connections_per_address = (unsigned)number(limits, "connections_per_address");
    s->auth_failures_per_address = (unsigned)number(limits, "auth_failures_per_address");
    s->command_timeout_ms = s->data_timeout_ms = duration(limits, "command_timeout");
    s->listener_count = cfg_size(root, "listen");
    s->listeners = xalloc((s->listener_count + 1) * sizeof *s->listeners);
    for (unsigned i = 0; i < s->listener_count; i++)
        read_listener(r, cfg_getnsec(root, "listen", i), &s->listeners[i]);
    if (use == CONFIG_WHOLE && r->error[0] == '\0')
        read_server_tls(r, tls, s);
    return s;
}

static void add_own(struct delivery_settings *s, struct net_address a)
{
    net_address_unmap(&a);
    s->own = xrealloc(s->own, (s->own_count + 1) * sizeof *s->own);
    s->own[s->own_count++] = a;
}

/* A wildcard listener answers on every address this machine has. */
static void add_own_interfaces(struct delivery_settings *s, const struct net_address *wildcard)
{
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) != 0)
        return; /* the loop check then rests on the host name and the Received count */
    for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
        struct net_address a = {.family = wildcard->family, .port = wildcard->port};
        if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET && a.family == NET_IPV4)
            memcpy(a.bytes, &((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr, 4);
        else if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET6 && a.family == NET_IPV6)
            memcpy(a.bytes, &((const struct sockaddr_in6 *)(const void *)i->ifa_addr)->sin6_addr,
                   16);
        else
            continue;
        add_own(s, a);
    }
    freeifaddrs(all);
}

static void read_own(struct delivery_settings *s, const struct submission_settings *from)
{
    static const uint8_t zero[16];
    for (size_t i = 0; i < from->listener_count; i++) {
        const struct submission_listener *l = &from->listeners[i];
        for (size_t k = 0; k < l->address_count; k++) {
            if (memcmp(l->addresses[k].bytes, zero, sizeof zero) == 0)
                add_own_interfaces(s, &l->addresses[k]);
            else
                add_own(s, l->addresses[k]);
        }
    }
}

static void read_route(struct reading *r, cfg_t *section, struct delivery_route *route)
{
    read_pattern(r, section, true, route->pattern);
    route->protocol = is_set_to(section, "protocol", "lmtp") ? CLIENT_LMTP : CLIENT_SMTP;
    route->tls = tls_words(section, &route->fingerprints);
    if (!delivery_next_hop_parse(slice_of(text(section, "next_hop")), &route->next_hop))
        return; /* reported as missing */
    bool is_address =
        route->next_hop.kind == NEXT_HOP_LITERAL || route->next_hop.kind == NEXT_HOP_UNIX;
    bool is_local = is_address && net_address_is_loopback(&route->next_hop.address) &&
                    route->pattern[0] != '.' && strcmp(route->pattern, "*") != 0;
    if (!is_local && route->tls <= GUARANTEE_POLICY_MAY)
        warn(r, line_of(r, section, NULL),
             "route \"%s\" is not local and has tls = \"%s\": mail without a guarantee may travel "
             "in clear text to %s",
             route->pattern, guarantee_policy_name(route->tls), text(section, "next_hop"));
}

static void read_source(struct reading *r, cfg_t *section, struct delivery_source *source)
{
    size_t count;
    struct net_address *list = addresses(section, "address", 0, &count);
    read_pattern(r, section, false, source->domain);
    for (size_t i = 0; i < count; i++) {
        struct net_address *slot = &source->addresses[list[i].family == NET_IPV6];
        if (slot->family != NET_NONE)
            report_key(r, section, "address", "at most one address per family");
        *slot = list[i];
    }
    if (count == 0)
        report_key(r, section, "address", "must be set");
    free(list);
}

/* libConfuse compares titles as they are written; A-labels and case make other spellings of the
 * same domain. */
static void check_repeated(struct reading *r, const cfg_t *section, const char *pattern,
                           const char *before)
{
    if (strcmp(pattern, before) == 0)
        report(r, line_of(r, section, NULL), "%s \"%s\": the same domain as an earlier title (%s)",
               section->name, section->title, pattern);
}

static void read_destinations(struct reading *r, cfg_t *root, struct delivery_settings *s)
{
    s->route_count = cfg_size(root, "route");
    s->routes = xalloc((s->route_count + 1) * sizeof *s->routes);
    for (unsigned i = 0; i < s->route_count; i++) {
        read_route(r, cfg_getnsec(root, "route", i), &s->routes[i]);
        for (unsigned k = 0; k < i; k++)
            check_repeated(r, cfg_getnsec(root, "route", i), s->routes[i].pattern,
                           s->routes[k].pattern);
    }
    s->policy_count = cfg_size(root, "policy");
    s->policies = xalloc((s->policy_count + 1) * sizeof *s->policies);
    for (unsigned i = 0; i < s->policy_count; i++) {
        cfg_t *section = cfg_getnsec(root, "policy", i);
        read_pattern(r, section, false, s->policies[i].pattern);
        s->policies[i].tls = tls_words(section, &s->policies[i].fingerprints);
        for (unsigned k = 0; k < i; k++)
            check_repeated(r, section, s->policies[i].pattern, s->policies[k].pattern);
    }
    s->source_count = cfg_size(root, "source");
    s->sources = xalloc((s->source_count + 1) * sizeof *s->sources);
    for (unsigned i = 0; i < s->source_count; i++) {
        read_source(r, cfg_getnsec(root, "source", i), &s->sources[i]);
        for (unsigned k = 0; k < i; k++)
            check_repeated(r, cfg_getnsec(root, "source", i), s->sources[i].domain,
                           s->sources[k].domain);
    }
}

static void read_client_tls(struct reading *r, cfg_t *delivery, struct delivery_settings *s)
{
    char why[400];
    s->tls = tls_client_new(text(delivery, "ca_file"), why, sizeof why);
    if (!s->tls)
        report_key(r, delivery, "ca_file", why);
}

static struct delivery_settings *read_delivery(struct reading *r, cfg_t *root, enum config_use use)
{
    struct delivery_settings *s = delivery_settings_new();
    cfg_t *delivery = cfg_getsec(root, "delivery");
    cfg_t *retry = cfg_getsec(root, "retry");
    cfg_t *guarantee = cfg_getsec(root, "guarantee");
    const char *ip_version = text(delivery, "ip_version");
    memcpy(s->hostname, r->config->hostname, sizeof s->hostname);
    s->port = (uint16_t)number(delivery, "port");
    s->blocked = networks(delivery, "blocked_networks", &s->blocked_count);
    s->concurrency = (unsigned)number(delivery, "concurrency_per_destination");
    s->connect_timeout_ms = duration(delivery, "connect_timeout");
    s->remember_tls_ms = duration(delivery, "remember_tls");
    s->ip_version = ip_version[0] == 'b' ? 0 : ip_version[0] - '0';
    s->retry_first_ms = duration(retry, "first");
    s->retry_max_ms = duration(retry, "max");
    s->lifetime_ms = duration(retry, "lifetime");
    s->warn_after_ms = duration(retry, "warn_after");
    s->discards_stopped = is_set_to(guarantee, "on_stop", "discard");
    s->hold_for_ms = duration(guarantee, "hold_for");
    s->patience_ms = duration(guarantee, "patience");
    s->counts_for_reports = r->config->report_organization[0] != '\0';
    read_own(s, r->config->submission);
    read_destinations(r, root, s);
    if (use == CONFIG_WHOLE && r->error[0] == '\0')
        read_client_tls(r, delivery, s);
    return s;
}

/* What the daemon would trip over at its start, said with its line while somebody looks. */
static void check_surroundings(struct reading *r, cfg_t *root)
{
    char why[400];
    const struct config *c = r->config;
    cfg_t *dns = cfg_getsec(root, "dns");
    cfg_t *retry = cfg_getsec(root, "retry");
    const char *const files[] = {c->trust_anchor, c->unbound_config};
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        if (files[i][0] == '\0' || access(files[i], R_OK) == 0)
            continue;
        snprintf(why, sizeof why, "cannot read %.300s: %s", files[i], strerror(errno));
        report_key(r, dns, i ? "unbound_config" : "trust_anchor", why);
    }
    /* cppcheck-suppress getpwnamCalled ; one thread */
    if (c->run_as[0] != '\0' && geteuid() == 0 && !getpwnam(c->run_as))
        warn(r, line_of(r, root, "run_as"), "run_as: there is no user \"%s\" yet", c->run_as);
    if (duration(retry, "first") > duration(retry, "max"))
        report_key(r, retry, "first", "must not be longer than max");
}

/* Where an address is to stand: as it is used. The caller frees. */
static char *address_text(struct reading *r, cfg_t *section, const char *key)
{
    struct address address;
    const char *in = text(section, key);
    if (in[0] == '\0')
        return xstrdup("");
    if (address_parse(slice_of(in), &address) != ADDRESS_OK) {
        report_key(r, section, key, "expected an address such as \"postmaster@example.org\"");
        return xstrdup("");
    }
    return xstrdup(address.text);
}

static void read_reports(struct reading *r, cfg_t *tlsrpt)
{
    struct config *c = r->config;
    c->report_organization = xstrdup(text(tlsrpt, "organization"));
    c->report_contact = address_text(r, tlsrpt, "contact");
    c->report_from = address_text(r, tlsrpt, "from");
    c->report_spread_ms = duration(tlsrpt, "spread");
    if (c->report_organization[0] != '\0' && c->report_contact[0] == '\0')
        report_key(r, tlsrpt, "contact", "must be set: organization is");
    if (c->report_from[0] == '\0') {
        free(c->report_from);
        c->report_from = xstrdup(c->report_contact);
    }
}

static void read_name(cfg_t *section, const char *key, char out[DOMAIN_SIZE])
{
    const char *name = text(section, key);
    out[0] = '\0';
    if (name[0] != '\0' && !domain_to_ascii(slice_of(name), out))
        panic("unchecked name %s", key);
}

static void read_top(struct reading *r, cfg_t *root, enum config_use use)
{
    static const char *const severities[] = {"debug", "info", "warning", "error"};
    struct config *c = r->config;
    cfg_t *dns = cfg_getsec(root, "dns");
    if (!domain_to_ascii(slice_of(text(root, "hostname")), c->hostname) && r->error[0] == '\0')
        panic("unchecked host name");
    c->state_directory = xstrdup(text(root, "state_directory"));
    c->control_socket = xstrdup(text(root, "control_socket"));
    c->run_as = xstrdup(text(root, "run_as"));
    c->workers = (unsigned)number(root, "workers");
    c->shutdown_grace_ms = duration(root, "shutdown_grace");
    for (size_t i = 0; i < COUNT_OF(severities); i++)
        if (is_set_to(root, "log_level", severities[i]))
            c->log_level = (enum event_severity)i;
    c->trust_anchor = xstrdup(text(dns, "trust_anchor"));
    c->unbound_config = xstrdup(text(dns, "unbound_config"));
    c->ca_file = xstrdup(text(cfg_getsec(root, "delivery"), "ca_file"));
    read_name(dns, "self_test_signed", c->self_test_signed);
    read_name(dns, "self_test_unsigned", c->self_test_unsigned);
    read_name(dns, "self_test_bogus", c->self_test_bogus);
    c->resolver_count = cfg_size(dns, "resolvers");
    c->resolvers = xalloc((c->resolver_count + 1) * sizeof *c->resolvers);
    for (unsigned i = 0; i < c->resolver_count; i++)
        c->resolvers[i] = xstrdup(cfg_getnstr(dns, "resolvers", i));
    read_reports(r, cfg_getsec(root, "tlsrpt"));
    c->queue_size = octets(cfg_getsec(root, "limits"), "queue_size");
    if (!level_parse(slice_of(text(cfg_getsec(root, "guarantee"), "default_level")),
                     &c->default_level))
        panic("unchecked level");
    if (use == CONFIG_WHOLE)
        check_surroundings(r, root);
    c->keeps_sha1 = mechanisms(root) & MECHANISM_SCRAM_SHA_1;
}

/* libConfuse takes the end of the file for the end of a comment or a text, too, and what it
 * swallowed is silently gone. Returns the line on which the open one begins, 0 when none is open.
 */
static int open_at_end(const char *text, const char **what)
{
    int line = 1;
    int begun = 0;
    char inside = 0; /* '"', '\'', '#' for the rest of a line, '*' for a C comment */
    for (const char *p = text; *p; p++) {
        bool ends = (inside == '#' && *p == '\n') ||
                    (inside == '*' && p[0] == '*' && p[1] == '/') ||
                    ((inside == '"' || inside == '\'') && *p == inside);
        if ((inside == '"' || inside == '\'') && p[0] == '\\' && p[1]) {
            line += p[1] == '\n';
            p++;
        } else if (ends) {
            p += inside == '*';
            inside = 0;
        } else if (!inside && (*p == '"' || *p == '\'' || *p == '#' ||
                               (*p == '/' && (p[1] == '/' || p[1] == '*')))) {
            inside = *p != '/' ? *p : p[1] == '*' ? '*' : '#';
            begun = line;
            p += *p == '/';
        }
        line += *p == '\n';
    }
    *what = inside == '*' ? "comment" : "text";
    return inside && inside != '#' ? begun : 0;
}

/* The file's text with the sentinel behind it; NULL with errno. The caller frees. */
static char *read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    struct buffer text;
    if (!file)
        return NULL;
    buffer_init(&text, (size_t)16 << 20);
    bool is_read = true;
    for (size_t got = 1; got > 0 && is_read;) {
        char piece[4096];
        got = fread(piece, 1, sizeof piece, file);
        is_read = buffer_append(&text, (struct slice){piece, got});
    }
    int error = is_read ? 0 : EFBIG;
    if (ferror(file))
        error = errno ? errno : EIO;
    fclose(file);
    char *copy =
        error == 0 ? xprintf("%.*s\n" SENTINEL " = 1\n", SLICE_ARG(buffer_slice(&text))) : NULL;
    buffer_free(&text);
    errno = error;
    return copy;
}

static bool parse(struct reading *r, cfg_t *root, enum config_use use)
{
    char *text = read_file(r->file);
    if (!text) {
        report(r, 0, "cannot read it: %s", strerror(errno));
        return false;
    }
    const char *what;
    int open_line = open_at_end(text, &what);
    if (open_line > 0)
        report(r, open_line, "this %s is not closed", what);
    int result = open_line > 0 ? CFG_PARSE_ERROR : cfg_parse_buf(root, text);
    free(text);
    if (result != CFG_SUCCESS) {
        report(r, root->line, "cannot be parsed");
        return false;
    }
    read_top(r, root, use);
    r->config->submission = read_submission(r, root, use);
    r->config->delivery = read_delivery(r, root, use);
    return r->error[0] == '\0';
}

struct config *config_load(const char *file, enum config_use use, char *error, size_t error_size)
{
    struct reading r = {.file = file, .error = error, .error_size = error_size};
    struct option_tables *tables = xalloc(sizeof *tables);
    r.config = xalloc(sizeof *r.config);
    error[0] = '\0';
    now_reading = &r;
    build_options(tables);
    cfg_t *root = cfg_init(tables->options[0], CFGF_NONE);
    if (!root)
        panic("out of memory");
    cfg_set_error_function(root, library_error);
    bool is_good = parse(&r, root, use);
    cfg_free(root);
    free(tables);
    free(r.marks);
    now_reading = NULL;
    if (is_good)
        return r.config;
    config_free(r.config);
    return NULL;
}

void config_free(struct config *c)
{
    if (!c)
        return;
    free(c->state_directory);
    free(c->control_socket);
    free(c->run_as);
    free(c->trust_anchor);
    free(c->unbound_config);
    free(c->report_organization);
    free(c->report_contact);
    free(c->report_from);
    free(c->ca_file);
    for (size_t i = 0; i < c->resolver_count; i++)
        free(c->resolvers[i]);
    free(c->resolvers);
    for (size_t i = 0; i < c->warning_count; i++)
        free(c->warnings[i]);
    free(c->warnings);
    submission_settings_unref(c->submission);
    delivery_settings_unref(c->delivery);
    free(c);
}
