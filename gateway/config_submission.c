#include "gateway/config_submission.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/section.h"

static unsigned mechanisms(struct section root)
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
    for (unsigned i = 0; i < section_count(root, "auth_mechanisms"); i++)
        for (size_t k = 0; k < COUNT_OF(known); k++)
            if (strcmp(section_item(root, "auth_mechanisms", i), known[k].name) == 0)
                bits |= known[k].bit;
    return bits;
}

static void read_listener(struct section section, struct submission_listener *l)
{
    snprintf(l->title, sizeof l->title, "%s", section_title(section));
    l->addresses = section_addresses(section, "address", (uint16_t)section_number(section, "port"),
                                     &l->address_count);
    if (l->address_count == 0)
        section_report(section, "address", "must be set");
    l->trusted = section_networks(section, "trusted", &l->trusted_count);
    l->is_relay = l->trusted_count > 0;
    l->tls = section_is(section, "tls", "implicit")   ? SUBMISSION_IMPLICIT
             : section_is(section, "tls", "optional") ? SUBMISSION_OPTIONAL
                                                      : SUBMISSION_STARTTLS;
    if (l->tls == SUBMISSION_OPTIONAL && !l->is_relay)
        section_report(
            section, "tls",
            "optional TLS needs `trusted`: without it clients log in, and that only under TLS");
}

static void read_server_tls(struct section tls, struct submission_settings *s)
{
    char why[400];
    struct tls_server_options o = {
        .certificate = section_text(tls, "certificate"),
        .key = section_text(tls, "key"),
        .allows_tls12 = section_is(tls, "min_protocol", "TLSv1.2"),
    };
    bool is_needed = false;
    for (size_t i = 0; i < s->listener_count; i++)
        is_needed |= s->listeners[i].tls != SUBMISSION_OPTIONAL;
    if (o.certificate[0] == '\0' && !is_needed)
        return;
    if (o.certificate[0] == '\0' || o.key[0] == '\0') {
        section_report(tls, o.certificate[0] ? "key" : "certificate",
                       "must be set: a listener offers TLS");
        return;
    }
    for (int i = 0; i < 2; i++)
        if (access(i ? o.key : o.certificate, R_OK) != 0) {
            section_report(tls, i ? "key" : "certificate", "cannot read %.300s: %s",
                           i ? o.key : o.certificate, strerror(errno));
            return;
        }
    s->tls = tls_server_new(&o, why, sizeof why);
    if (!s->tls)
        section_report(tls, strstr(why, o.key) ? "key" : "certificate", "%s", why);
}

static enum submission_at_rcpt at_rcpt(struct section guarantee)
{
    if (section_is(guarantee, "at_rcpt", "probe"))
        return SUBMISSION_AT_RCPT_PROBE;
    return section_is(guarantee, "at_rcpt", "known") ? SUBMISSION_AT_RCPT_KNOWN
                                                     : SUBMISSION_AT_RCPT_OFF;
}

struct submission_settings *config_submission_read(struct section root, const struct config *c,
                                                   enum config_use use)
{
    struct submission_settings *s = submission_settings_new();
    struct section limits = section_of(root, "limits");
    struct section tls = section_of(root, "tls");
    memcpy(s->hostname, c->hostname, sizeof s->hostname);
    free(s->assistance);
    s->assistance = xstrdup(section_text(tls, "assistance"));
    s->mechanisms = mechanisms(root);
    s->default_level = c->default_level;
    s->exempt_auto_replies =
        section_is(section_of(root, "guarantee"), "exempt_auto_replies", "true");
    s->at_rcpt = at_rcpt(section_of(root, "guarantee"));
    s->message_size = section_octets(limits, "message_size");
    s->recipients = (unsigned)section_number(limits, "recipients");
    s->messages_per_hour = (unsigned)section_number(limits, "messages_per_hour");
    s->recipients_per_hour = (unsigned)section_number(limits, "recipients_per_hour");
    s->connections = (unsigned)section_number(limits, "connections");
    s->connections_per_address = (unsigned)section_number(limits, "connections_per_address");
    s->auth_failures_per_address = (unsigned)section_number(limits, "auth_failures_per_address");
    s->command_timeout_ms = s->data_timeout_ms = section_duration(limits, "command_timeout");
    s->listener_count = section_count(root, "listen");
    s->listeners = xalloc((s->listener_count + 1) * sizeof *s->listeners);
    for (unsigned i = 0; i < s->listener_count; i++)
        read_listener(section_at(root, "listen", i), &s->listeners[i]);
    if (use == CONFIG_WHOLE && !section_has_errors(root))
        read_server_tls(tls, s);
    return s;
}
