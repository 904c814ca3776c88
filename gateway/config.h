/* config.h - the configuration file, read and checked: what every room is told to do.
 *
 * Main thread only; the settings it holds are shared by reference count
 * (gateway/submission/settings.h, gateway/delivery/settings.h). */
#ifndef GATEWAY_CONFIG_H
#define GATEWAY_CONFIG_H

#include "gateway/delivery/settings.h"
#include "gateway/submission/settings.h"
#include "gateway/tlsrpt/sign.h"
#include "mail/event.h"

struct config {
    char hostname[DOMAIN_SIZE];
    char *state_directory; /* owned, as all texts here */
    char *control_socket;
    char *run_as;     /* "" stays */
    unsigned workers; /* as configured; 0: one for each core */
    int64_t shutdown_grace_ms;
    enum event_severity log_level;
    char *trust_anchor;
    char *unbound_config;
    char *ca_file;                      /* delivery.ca_file, for HTTPS */
    char self_test_signed[DOMAIN_SIZE]; /* A-labels; "": not asked */
    char self_test_unsigned[DOMAIN_SIZE];
    char self_test_bogus[DOMAIN_SIZE];
    size_t resolver_count;
    char **resolvers;
    uint64_t queue_size;
    enum level default_level;
    char *report_organization; /* "": no reports about TLS; of them also: */
    char *report_contact;
    char *report_from; /* never "" where there is an organization */
    int64_t report_spread_ms;
    struct sign_key *report_key; /* NULL: reports by mail are not signed; only of CONFIG_WHOLE */
    bool keeps_sha1;             /* SCRAM-SHA-1 is configured: its verifiers are made */
    struct submission_settings *submission; /* one reference */
    struct delivery_settings *delivery;     /* one reference */
    size_t warning_count;
    char **warnings; /* "FILE:LINE: ..." */
};

enum config_use {
    CONFIG_WHOLE,   /* the daemon: certificates and the like are read too */
    CONFIG_CONTROL, /* sealpostctl: keys it may not be able to read are left alone */
};
/* NULL: "FILE:LINE: what is wrong" (or "FILE: ...") is in error. The caller frees. */
NODISCARD struct config *config_load(const char *file, enum config_use use, char *error,
                                     size_t error_size);
void config_free(struct config *c);

#endif
