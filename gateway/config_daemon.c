#include "gateway/config_daemon.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/section.h"
#include "mail/address.h"

/* What the daemon would trip over at its start, said with its line while somebody looks. */
static void check_surroundings(struct section root, const struct config *c)
{
    struct section dns = section_of(root, "dns");
    struct section retry = section_of(root, "retry");
    const char *const files[] = {c->trust_anchor, c->unbound_config};
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        if (files[i][0] == '\0' || access(files[i], R_OK) == 0)
            continue;
        section_report(dns, i ? "unbound_config" : "trust_anchor", "cannot read %.300s: %s",
                       files[i], strerror(errno));
    }
    /* cppcheck-suppress getpwnamCalled ; one thread */
    if (c->run_as[0] != '\0' && geteuid() == 0 && !getpwnam(c->run_as))
        section_warn(root, "run_as", "run_as: there is no user \"%s\" yet", c->run_as);
    if (section_duration(retry, "first") > section_duration(retry, "max"))
        section_report(retry, "first", "must not be longer than max");
}

/* Where an address is to stand: as it is used. The caller frees. */
static char *address_text(struct section section, const char *key)
{
    struct address address;
    const char *in = section_text(section, key);
    if (in[0] == '\0')
        return xstrdup("");
    if (address_parse(slice_of(in), &address) != ADDRESS_OK) {
        section_report(section, key, "expected an address such as \"postmaster@example.org\"");
        return xstrdup("");
    }
    return xstrdup(address.text);
}

static void read_reports(struct section tlsrpt, struct config *c)
{
    c->report_organization = xstrdup(section_text(tlsrpt, "organization"));
    c->report_contact = address_text(tlsrpt, "contact");
    c->report_from = address_text(tlsrpt, "from");
    c->report_spread_ms = section_duration(tlsrpt, "spread");
    if (c->report_organization[0] != '\0' && c->report_contact[0] == '\0')
        section_report(tlsrpt, "contact", "must be set: organization is");
    if (c->report_from[0] == '\0') {
        free(c->report_from);
        c->report_from = xstrdup(c->report_contact);
    }
}

/* The domain is the reporter's own (RFC 8460 section 3); the file is read as those of `tls` are. */
static void load_report_key(struct section tlsrpt, struct config *c, enum config_use use)
{
    char domain[DOMAIN_SIZE];
    char selector[DOMAIN_SIZE];
    char why[400];
    section_domain(tlsrpt, "dkim_domain", domain);
    section_domain(tlsrpt, "dkim_selector", selector);
    if (c->report_from[0] != '\0' && !sign_is_aligned(domain, c->report_from)) {
        section_report(tlsrpt, "dkim_domain", "expected the domain of %s, from which reports come",
                       c->report_from);
    } else if (use == CONFIG_WHOLE) {
        c->report_key =
            sign_key_new(domain, selector, section_text(tlsrpt, "dkim_key"), why, sizeof why);
        if (!c->report_key)
            section_report(tlsrpt, "dkim_key", "%s", why);
    }
}

static void read_signing(struct section tlsrpt, struct config *c, enum config_use use)
{
    static const char *const keys[] = {"dkim_domain", "dkim_selector", "dkim_key"};
    size_t count = 0;
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        count += section_text(tlsrpt, keys[i])[0] != '\0';
    if (count == COUNT_OF(keys)) {
        load_report_key(tlsrpt, c, use);
    } else if (count > 0) {
        for (size_t i = 0; i < COUNT_OF(keys); i++)
            if (section_text(tlsrpt, keys[i])[0] == '\0')
                section_report(tlsrpt, keys[i],
                               "must be set: dkim_domain, dkim_selector and dkim_key go together");
    } else if (c->report_organization[0] != '\0') {
        section_warn(tlsrpt, "organization",
                     "tlsrpt: without dkim_key reports by mail are not signed, and receivers "
                     "ignore them (RFC 8460)");
    }
}

static void read_resolver(struct section dns, struct config *c)
{
    c->trust_anchor = xstrdup(section_text(dns, "trust_anchor"));
    c->unbound_config = xstrdup(section_text(dns, "unbound_config"));
    section_domain(dns, "self_test_signed", c->self_test_signed);
    section_domain(dns, "self_test_unsigned", c->self_test_unsigned);
    section_domain(dns, "self_test_bogus", c->self_test_bogus);
    c->resolver_count = section_count(dns, "resolvers");
    c->resolvers = xalloc((c->resolver_count + 1) * sizeof *c->resolvers);
    for (unsigned i = 0; i < c->resolver_count; i++)
        c->resolvers[i] = xstrdup(section_item(dns, "resolvers", i));
}

void config_daemon_read(struct section root, struct config *c, enum config_use use)
{
    static const char *const severities[] = {"debug", "info", "warning", "error"};
    section_domain(root, "hostname", c->hostname);
    c->state_directory = xstrdup(section_text(root, "state_directory"));
    c->control_socket = xstrdup(section_text(root, "control_socket"));
    c->run_as = xstrdup(section_text(root, "run_as"));
    c->workers = (unsigned)section_number(root, "workers");
    c->shutdown_grace_ms = section_duration(root, "shutdown_grace");
    for (size_t i = 0; i < COUNT_OF(severities); i++)
        if (section_is(root, "log_level", severities[i]))
            c->log_level = (enum event_severity)i;
    read_resolver(section_of(root, "dns"), c);
    c->ca_file = xstrdup(section_text(section_of(root, "delivery"), "ca_file"));
    read_reports(section_of(root, "tlsrpt"), c);
    read_signing(section_of(root, "tlsrpt"), c, use);
    c->queue_size = section_octets(section_of(root, "limits"), "queue_size");
    if (!level_parse(slice_of(section_text(section_of(root, "guarantee"), "default_level")),
                     &c->default_level))
        panic("unchecked level");
    if (use == CONFIG_WHOLE)
        check_surroundings(root, c);
}
