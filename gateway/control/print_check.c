/* print_check.c - what `check` found, as something a postmaster can paste into a mail to the other
 * side: first the verdict, then all addresses in a table, then what each of them showed. */
#include <inttypes.h>
#include <string.h>

#include "gateway/control/commands.h"
#include "gateway/control/printing.h"

#define DIGEST_SHOWN 16 /* digits of a key's digest: enough to compare by eye */

int check_status(const json_t *result)
{
    const char *verdict = member_text(result, "verdict");
    if (strcmp(verdict, "deliverable") == 0)
        return EXIT_DONE;
    return strcmp(verdict, "refused") == 0 ? EXIT_REFUSED : EXIT_TEMPORARY;
}

static bool has_local_route(const json_t *result)
{
    const json_t *hosts = json_object_get(result, "hosts");
    for (size_t i = 0; i < json_array_size(hosts); i++)
        if (member_flag(json_array_get(hosts, i), "local_route"))
            return true;
    return false;
}

static void print_head(const struct printing *p, const json_t *result)
{
    char domain[SHOWN_SIZE];
    char time[TIME_SIZE];
    char line[PRINT_TEXT_SIZE];
    bool is_deliverable = check_status(result) == EXIT_DONE;
    print_pair(p, "Domain:", show_domain(p, member_text(result, "domain"), domain));
    snprintf(line, sizeof line, "%s at level %s", member_text(result, "verdict"),
             member_text(result, "asked_level"));
    print_pair(p, "Verdict:", line);
    if (!is_deliverable)
        print_pair(p, "Reason:", member_text(result, "reason"));
    if (*member_text(result, "required"))
        print_pair(p, "Required:", member_text(result, "required"));
    snprintf(line, sizeof line, "%s%s", member_text(result, "level"),
             has_local_route(result) ? " (local route)" : "");
    print_pair(p, "Best level:", line);
    print_pair(p, "Checked:", show_time(result, "at", time));
}

static const char *starttls_words(const json_t *host)
{
    if (!member_flag(host, "reachable"))
        return "-";
    return member_flag(host, "starttls") ? "yes" : "no";
}

static void add_row(const struct printing *p, struct table *t, const json_t *host)
{
    char preference[24];
    char name[SHOWN_SIZE];
    const char *protocol = member_text(host, "protocol");
    const char *address = member_text(host, "address");
    snprintf(preference, sizeof preference, "%" PRId64, (int64_t)member_number(host, "preference"));
    table_add(t, (const char *const[]){preference, show_domain(p, member_text(host, "host"), name),
                                       *address ? address : "-", starttls_words(host),
                                       *protocol ? protocol : "-", member_text(host, "tlsa"),
                                       member_text(host, "verified")});
}

static void print_table(const struct printing *p, const json_t *hosts)
{
    static const char *const headings[] = {"PREF", "HOST", "ADDRESS", "STARTTLS",
                                           "TLS",  "TLSA", "VERIFIED"};
    struct table t;
    table_init(&t, headings, COUNT_OF(headings));
    for (size_t i = 0; i < json_array_size(hosts); i++)
        add_row(p, &t, json_array_get(hosts, i));
    table_print(&t, p->out);
    table_free(&t);
}

static void print_connection(const struct printing *p, const json_t *host)
{
    char line[PRINT_TEXT_SIZE];
    const char *exchange = member_text(host, "key_exchange");
    const char *digest = member_text(host, "key_digest");
    if (!*member_text(host, "protocol"))
        return;
    snprintf(line, sizeof line, "%s, %s%s%s%s%.*s%s%s", member_text(host, "protocol"),
             member_text(host, "cipher"), *exchange ? ", " : "", exchange,
             *digest ? ", key SHA-256 " : "", DIGEST_SHOWN, digest, *digest ? "..." : "",
             member_flag(host, "requiretls") ? ", offers REQUIRETLS" : "");
    table_wrap(p->out, PRINT_INDENT, PRINT_INDENT, line);
}

static void print_sts(const struct printing *p, const json_t *host)
{
    char line[PRINT_TEXT_SIZE];
    const char *sts = member_text(host, "sts");
    const char *why = member_text(host, "sts_error");
    const char *under_enforce = member_text(host, "sts_under_enforce");
    /* Where there simply is none nothing is to be said. */
    if (!*sts || (strcmp(sts, "none") == 0 && !*why))
        return;
    snprintf(line, sizeof line, "MTA-STS: %s%s%s", sts, *why ? ", " : "", why);
    table_wrap(p->out, PRINT_INDENT, 2 * PRINT_INDENT, line);
    if (!*under_enforce)
        return;
    snprintf(line, sizeof line, "under mode enforce: %s", under_enforce);
    table_wrap(p->out, 2 * PRINT_INDENT, 2 * PRINT_INDENT, line);
}

/* "mx.example.org[192.0.2.9]:25 at 2026-11-22 15:28:50Z", and what it showed. */
static void print_host(const struct printing *p, const json_t *host)
{
    char name[SHOWN_SIZE];
    char time[TIME_SIZE];
    char line[PRINT_TEXT_SIZE];
    const char *address = member_text(host, "address");
    const char *error = member_text(host, "error");
    const char *certificate = member_text(host, "certificate_error");
    show_time(host, "at", time);
    show_domain(p, member_text(host, "host"), name);
    if (*address)
        snprintf(line, sizeof line, "%s[%s]:%" PRId64 "%s%s", name, address,
                 (int64_t)member_number(host, "port"), *time ? " at " : "", time);
    else
        snprintf(line, sizeof line, "%s", name);
    fputc('\n', p->out);
    table_wrap(p->out, 0, PRINT_INDENT, line);
    print_connection(p, host);
    print_sts(p, host);
    const char *accepted = member_flag(host, "local_route")
                               ? "acceptable: a local route, nothing crosses a network"
                               : "acceptable";
    table_wrap(p->out, PRINT_INDENT, PRINT_INDENT, *error ? error : accepted);
    /* Where nothing depended on the certificate, nobody is to be told of its faults. */
    if (*error && *certificate && !strstr(error, certificate)) {
        snprintf(line, sizeof line, "its certificate: %s", certificate);
        table_wrap(p->out, PRINT_INDENT, PRINT_INDENT, line);
    }
}

void print_check(struct printing *p, const json_t *result)
{
    const json_t *hosts = json_object_get(result, "hosts");
    print_head(p, result);
    if (json_array_size(hosts) == 0)
        return;
    fputc('\n', p->out);
    print_table(p, hosts);
    for (size_t i = 0; i < json_array_size(hosts); i++)
        print_host(p, json_array_get(hosts, i));
}
