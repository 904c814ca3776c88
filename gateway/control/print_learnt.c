/* print_learnt.c - exceptions, findings of dry run, postures, MTA-STS policies. */
#include <inttypes.h>
#include <string.h>

#include "gateway/control/printing.h"

#define DIGEST_SHOWN 16 /* digits of a key's digest: enough to compare by eye */
#define TWICE (2 * PRINT_INDENT)

/* ---- exceptions ---- */

static const char *show_until(const json_t *exception, char out[TIME_SIZE])
{
    show_time(exception, "until", out);
    return *out ? out : "for good";
}

void print_exception_row(struct printing *p, const json_t *exception)
{
    static const char *const headings[] = {"USER", "DOMAIN", "UNTIL", "SET"};
    char user[SHOWN_SIZE];
    char domain[SHOWN_SIZE];
    char until[TIME_SIZE];
    char set[TIME_SIZE];
    if (p->count == 0)
        table_init(&p->table, headings, COUNT_OF(headings));
    table_add(&p->table, (const char *const[]){
                             show_address(p, member_text(exception, "user"), user),
                             show_domain(p, member_text(exception, "domain"), domain),
                             show_until(exception, until), show_time(exception, "set_at", set)});
}

static void print_replaced(const struct printing *p, const json_t *replaced)
{
    char until[TIME_SIZE];
    char set[TIME_SIZE];
    char line[PRINT_TEXT_SIZE];
    if (!json_is_object(replaced))
        return;
    bool has_end = *show_time(replaced, "until", until);
    snprintf(line, sizeof line, "it replaces the one %s%s, set %s", has_end ? "until " : "for good",
             until, show_time(replaced, "set_at", set));
    table_wrap(p->out, 0, PRINT_INDENT, line);
}

void print_exception(struct printing *p, const json_t *exception)
{
    char user[SHOWN_SIZE];
    char domain[SHOWN_SIZE];
    char until[TIME_SIZE];
    char line[PRINT_TEXT_SIZE];
    bool is_added = strcmp(p->command, "exception add") == 0;
    show_time(exception, "until", until);
    snprintf(line, sizeof line, "the guarantee of %s %s %s%s%s",
             show_address(p, member_text(exception, "user"), user),
             is_added ? "does not bind mail to" : "binds mail again to",
             show_domain(p, member_text(exception, "domain"), domain),
             is_added && *until ? " until " : "", is_added ? until : "");
    table_wrap(p->out, 0, PRINT_INDENT, line);
    print_replaced(p, json_object_get(exception, "replaced"));
}

/* ---- dry run ---- */

void print_finding(struct printing *p, const json_t *finding)
{
    char at[TIME_SIZE];
    char user[SHOWN_SIZE];
    char recipient[SHOWN_SIZE];
    char line[PRINT_TEXT_SIZE];
    snprintf(line, sizeof line, "%s  %s to %s", show_time(finding, "at", at),
             show_address(p, member_text(finding, "user"), user),
             show_address(p, member_text(finding, "recipient"), recipient));
    table_wrap(p->out, 0, PRINT_INDENT, line);
    snprintf(line, sizeof line, "%s: %s %s", member_text(finding, "id"),
             member_text(finding, "status"), member_text(finding, "reason"));
    table_wrap(p->out, PRINT_INDENT, TWICE, line);
}

/* ---- postures ---- */

static void print_looks(const struct printing *p, const json_t *host)
{
    char first[TIME_SIZE];
    char last[TIME_SIZE];
    char line[PRINT_TEXT_SIZE];
    json_int_t looks = member_number(host, "looks");
    json_int_t tls_looks = member_number(host, "tls_looks");
    snprintf(line, sizeof line, "seen %s, first %s; %" PRId64 " look%s",
             show_time(host, "last_seen_at", last), show_time(host, "first_seen_at", first),
             (int64_t)looks, looks == 1 ? "" : "s");
    table_wrap(p->out, PRINT_INDENT, TWICE, line);
    if (!*show_time(host, "tls_last_at", last))
        return;
    snprintf(line, sizeof line, "acceptable TLS on %" PRId64 " look%s, last %s", (int64_t)tls_looks,
             tls_looks == 1 ? "" : "s", last);
    table_wrap(p->out, PRINT_INDENT, TWICE, line);
}

/* Whether it was acceptable or not: whose key it was is what one asks where it was not. */
static void print_last_tls(const struct printing *p, const json_t *host)
{
    char line[PRINT_TEXT_SIZE];
    const char *exchange = member_text(host, "key_exchange");
    const char *digest = member_text(host, "key_digest");
    const char *failed = member_text(host, "failed");
    if (!*member_text(host, "protocol"))
        return;
    snprintf(line, sizeof line, "%s, %s%s%s%s%.*s%s", member_text(host, "protocol"),
             member_text(host, "cipher"), *exchange ? ", " : "", exchange, *digest ? ", key " : "",
             DIGEST_SHOWN, digest, *digest ? "..." : "");
    table_wrap(p->out, PRINT_INDENT, TWICE, line);
    if (!*failed)
        return;
    snprintf(line, sizeof line, "not acceptable: what %s requires failed",
             strcmp(failed, "sts") == 0 ? "MTA-STS" : "DANE");
    table_wrap(p->out, PRINT_INDENT, TWICE, line);
}

/* No acceptable TLS: not offered, refused, failed, or up without the authentication it needs. */
static void print_refusals(const struct printing *p, const json_t *host)
{
    char first[TIME_SIZE];
    char last[TIME_SIZE];
    char line[PRINT_TEXT_SIZE];
    json_int_t count = member_number(host, "refusals");
    bool had_tls = member_number(host, "tls_looks") > 0;
    if (!*show_time(host, "refusal_last_at", last))
        return;
    show_time(host, "refusal_first_at", first);
    if (count > 0)
        snprintf(line, sizeof line, "no acceptable TLS on %" PRId64 " look%s%s:", (int64_t)count,
                 count == 1 ? "" : "s", had_tls ? " since then" : "");
    else
        snprintf(line, sizeof line, "no acceptable TLS in the past:");
    table_wrap(p->out, PRINT_INDENT, TWICE, line);
    snprintf(line, sizeof line, "first %s, last %s", first, last);
    table_wrap(p->out, TWICE, TWICE, line);
    table_wrap(p->out, TWICE, TWICE, member_text(host, "refusal"));
}

void print_posture(struct printing *p, const json_t *host)
{
    char name[SHOWN_SIZE];
    char domain[SHOWN_SIZE];
    char line[PRINT_TEXT_SIZE];
    snprintf(line, sizeof line, "%s for %s", show_domain(p, member_text(host, "host"), name),
             show_domain(p, member_text(host, "domain"), domain));
    table_wrap(p->out, 0, PRINT_INDENT, line);
    print_looks(p, host);
    print_last_tls(p, host);
    snprintf(line, sizeof line, "DANE: %s; MTA-STS: %s; verified: %s", member_text(host, "tlsa"),
             member_text(host, "sts"), member_text(host, "verified"));
    table_wrap(p->out, PRINT_INDENT, TWICE, line);
    print_refusals(p, host);
}

/* ---- MTA-STS policies ---- */

void print_policy(struct printing *p, const json_t *policy)
{
    char domain[SHOWN_SIZE];
    char fetched[TIME_SIZE];
    char expires[TIME_SIZE];
    char line[PRINT_TEXT_SIZE];
    const json_t *patterns = json_object_get(policy, "mx");
    const char *mode = member_text(policy, "mode");
    snprintf(line, sizeof line, "%s: %s, id %s",
             show_domain(p, member_text(policy, "domain"), domain), *mode ? mode : "damaged",
             member_text(policy, "id"));
    table_wrap(p->out, 0, PRINT_INDENT, line);
    snprintf(line, sizeof line, "fetched %s, %s %s", show_time(policy, "fetched_at", fetched),
             member_flag(policy, "expired") ? "expired" : "good until",
             show_time(policy, "expires_at", expires));
    table_wrap(p->out, PRINT_INDENT, TWICE, line);
    for (size_t i = 0; i < json_array_size(patterns); i++) {
        snprintf(line, sizeof line, "mx: %s", json_string_value(json_array_get(patterns, i)));
        table_wrap(p->out, PRINT_INDENT, TWICE, line);
    }
}

void print_purged(struct printing *p, const json_t *result)
{
    char domain[SHOWN_SIZE];
    char line[PRINT_TEXT_SIZE];
    show_domain(p, member_text(result, "domain"), domain);
    snprintf(line, sizeof line,
             member_flag(result, "kept") ? "the MTA-STS policy of %s is forgotten"
                                         : "no MTA-STS policy of %s was kept",
             domain);
    table_wrap(p->out, 0, PRINT_INDENT, line);
}
