/* Part 1: what happened and what the reader can do now, in the reader's language. Reasons and
 * evidence stay as they are, so that the postmaster of the other side and programs that read
 * bounces understand them. */
#include <stdio.h>
#include <string.h>

#include "bounce/parts.h"
#include "bounce/phrases.h"
#include "mail/date.h"

/* Keeps together what stands in one piece: commands to copy, dates, what a program looks for. */
static void bind(char *text)
{
    for (char *c = text; *c != '\0'; c++)
        if (*c == ' ')
            *c = WRAP_HARD_SPACE;
}

/* A time in the reader's language; the fields for programs keep RFC 5322. */
static const char *show_date(const struct bounce_report *report, int64_t at, char out[DATE_SIZE])
{
    char iso[DATE_SIZE];
    if (report->language == BOUNCE_ENGLISH)
        return date_rfc5322(at, out);
    date_rfc3339(at, iso);
    snprintf(out, DATE_SIZE, "%.2s.%.2s.%.4s %.8s UTC", iso + 8, iso + 5, iso, iso + 11);
    return out;
}

/* Writes a phrase with its values; NULL for those that it has not. */
static void say(const struct bounce_report *report, struct page *text, enum phrase phrase,
                const char *first, const char *second)
{
    const char *values[] = {first, second};
    size_t next = 0;
    for (const char *c = phrase_text(report->language, phrase); *c != '\0'; c++) {
        if (*c != '%') {
            page_put(text, (struct slice){c, 1});
            continue;
        }
        if (next == COUNT_OF(values) || values[next] == NULL)
            panic("say: phrase %d lacks a value", (int)phrase);
        char clean[1024];
        page_clean(values[next++], clean, sizeof clean);
        bind(clean);
        page_text(text, clean);
    }
}

/* "<bob@plain.example>: reason", in one line however long: programs look for the reason word for
 * word (INTERFACE.md). */
static void write_reason(const struct bounce_report *report, const struct bounce_recipient *r,
                         struct page *text)
{
    const struct outcome *o = r->outcome;
    char reason[PAGE_DIAGNOSTIC_SIZE], clean[PAGE_DIAGNOSTIC_SIZE];
    char address[ADDRESS_SIZE], host[PAGE_HOST_SIZE];
    page_clean(r->address, address, sizeof address);
    page_printf(text, "%c<%s>: ", WRAP_WHOLE_LINE, address);
    page_diagnostic(o, reason);
    if (o->code != 0 && o->mx[0] != '\0')
        say(report, text, PHRASE_HOST_SAID, page_host(o, host), NULL);
    page_clean(reason, clean, sizeof clean);
    page_printf(text, "%s\n", clean);
}

/* Whoever before `r` had the same evidence; NULL: nobody. */
static const struct bounce_recipient *first_with_evidence_of(const struct bounce_report *report,
                                                             const struct bounce_recipient *r)
{
    for (const struct bounce_recipient *other = report->recipients; other < r; other++)
        if (other->is_stopped && strcmp(other->evidence, r->evidence) == 0)
            return other;
    return NULL;
}

static void write_evidence_lines(const struct bounce_report *report, struct slice evidence,
                                 struct page *text)
{
    struct slice rest = evidence, line;
    while (slice_cut(&rest, '\n', &line)) {
        char raw[2048], clean[2048];
        size_t shown = (size_t)(line.data - evidence.data) + line.len;
        if (report->evidence_max > 0 && shown > report->evidence_max) {
            say(report, text, PHRASE_EVIDENCE_CUT, NULL, NULL);
            return;
        }
        if (!slice_copy(slice_sub(line, 0, sizeof raw - 1), raw, sizeof raw))
            continue;
        page_clean(raw, clean, sizeof clean);
        page_printf(text, "      %s\n", clean);
    }
}

static void write_evidence(const struct bounce_report *report, const struct bounce_recipient *r,
                           struct page *text)
{
    if (r->evidence[0] == '\0')
        return;
    const struct bounce_recipient *first = first_with_evidence_of(report, r);
    if (first) {
        say(report, text, PHRASE_EVIDENCE_AS_FOR, first->address, NULL);
        return;
    }
    say(report, text, PHRASE_EVIDENCE, NULL, NULL);
    write_evidence_lines(report, slice_of(r->evidence), text);
}

/* An address that a shell takes as it is. Others are left out of commands that people will copy:
 * a sender chose them. */
static bool is_shell_safe(const char *address)
{
    static const char safe[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@._+-";
    return address[0] != '-' && address[0] != '\0' && address[strspn(address, safe)] == '\0';
}

/* "sealpostctl release ID bob@plain.example --recheck" */
static void say_command(const struct bounce_report *report, const struct bounce_recipient *r,
                        struct page *text, enum phrase phrase, const char *option)
{
    char command[ADDRESS_SIZE + 96];
    bool is_named = is_shell_safe(r->address);
    snprintf(command, sizeof command, "sealpostctl release %.40s%s%s%s%s", report->id,
             is_named ? " " : "", is_named ? r->address : "", option[0] ? " " : "", option);
    say(report, text, phrase, command, NULL);
}

/* The words of what was required name the guarantee where the sender's flag is among it. */
static bool names_guarantee(const struct bounce_recipient *r)
{
    return strstr(r->required, "guarantee") != NULL;
}

static void write_required(const struct bounce_report *report, const struct bounce_recipient *r,
                           struct page *text)
{
    char clean[1024];
    if (r->required[0] != '\0') {
        say(report, text, PHRASE_REQUIRED, NULL, NULL);
        page_clean(r->required, clean, sizeof clean);
        phrase_required(report->language, clean, text);
        page_text(text, "\n");
    }
    if (r->release == BOUNCE_RELEASE_FORCE && !strstr(r->required, "MTA-STS policy"))
        say(report, text, PHRASE_REQUIRED_BY_DOMAIN, NULL, NULL);
}

static void write_cause(const struct bounce_report *report, const struct bounce_recipient *r,
                        struct page *text)
{
    char since[DATE_SIZE];
    if (!names_guarantee(r))
        say(report, text, PHRASE_REQUIREMENT, NULL, NULL);
    else if (report->guarantee_since != 0)
        say(report, text, PHRASE_GUARANTEE_SINCE, show_date(report, report->guarantee_since, since),
            NULL);
    else
        say(report, text, PHRASE_GUARANTEE, NULL, NULL);
    write_required(report, r, text);
    /* GUARANTEE.md section 1: it lifts an unlocked flag of mail submitted here. */
    if (names_guarantee(r) && report_says_tls_required_no(report))
        say(report, text, PHRASE_TLS_REQUIRED_NO, NULL, NULL);
}

static void write_held(const struct bounce_report *report, const struct bounce_recipient *r,
                       struct page *text)
{
    char until[DATE_SIZE];
    if (r->release == BOUNCE_NOT_HELD)
        say(report, text, PHRASE_NOT_HELD, NULL, NULL);
    else if (r->held_until != 0)
        say(report, text, PHRASE_HELD_UNTIL, report->id, show_date(report, r->held_until, until));
    else
        say(report, text, PHRASE_HELD, report->id, NULL);
}

/* Level verified stopped it at a host that has TLS: to send in clear is more than is needed. */
static bool lacks_proof_alone(const struct bounce_recipient *r)
{
    static const char not_verified[] = "Server certificate not verified";
    return strstr(r->required, "to a verified server") != NULL &&
           strncmp(r->outcome->text, not_verified, sizeof not_verified - 1) == 0;
}

/* Offers only what works: nothing is released that would stop again, and switching the guarantee
 * off helps only where nothing else stands in the way. */
static void write_advice(const struct bounce_report *report, const struct bounce_recipient *r,
                         struct page *text)
{
    say(report, text, PHRASE_NOW, NULL, NULL);
    switch (r->release) {
    case BOUNCE_NOT_HELD:
        if (names_guarantee(r) && !r->would_stop_again)
            say(report, text, lacks_proof_alone(r) ? PHRASE_LOWER_FIRST : PHRASE_SWITCH_FIRST, NULL,
                NULL);
        break;
    case BOUNCE_RELEASE:
        say_command(report, r, text, PHRASE_RELEASE, "");
        say_command(report, r, text, PHRASE_RECHECK, "--recheck");
        if (names_guarantee(r))
            say(report, text, lacks_proof_alone(r) ? PHRASE_LOWER : PHRASE_SWITCH, NULL, NULL);
        break;
    case BOUNCE_RELEASE_FORCE:
        say_command(report, r, text, PHRASE_RELEASE_FORCE, "--force");
        say_command(report, r, text, PHRASE_RECHECK, "--recheck");
        break;
    case BOUNCE_RELEASE_REFUSED:
        say(report, text, PHRASE_RELEASE_REFUSED, NULL, NULL);
        say_command(report, r, text, PHRASE_RECHECK, "--recheck");
        break;
    }
    say(report, text, PHRASE_POSTMASTER, NULL, NULL);
}

/* A host that had TLS and lost it is another event than one that never had it. */
static void write_downgrade(const struct bounce_report *report, const struct bounce_recipient *r,
                            struct page *text)
{
    char host[PAGE_HOST_SIZE], date[DATE_SIZE];
    if (r->tls_seen_at != 0)
        say(report, text, PHRASE_DOWNGRADE, page_host(r->outcome, host),
            show_date(report, r->tls_seen_at, date));
}

static void write_stop(const struct bounce_report *report, const struct bounce_recipient *r,
                       struct page *text)
{
    page_text(text, "\n");
    write_cause(report, r, text);
    write_downgrade(report, r, text);
    write_evidence(report, r, text);
    page_text(text, "\n");
    write_held(report, r, text);
    write_advice(report, r, text);
}

/* What it is waiting for. */
static void write_waiting(const struct bounce_report *report, const struct bounce_recipient *r,
                          struct page *text)
{
    write_downgrade(report, r, text);
    if (r->is_suspended)
        say(report, text, PHRASE_SUSPENDED, NULL, NULL);
    else if (r->tls_seen_at != 0)
        say(report, text, PHRASE_NOT_IN_CLEAR, NULL, NULL);
}

/* By its name among people; NULL: by nothing. */
static const char *verification_name(const char *verified)
{
    static const struct {
        const char *word, *name;
    } names[] = {{"dane", "DANE"}, {"sts", "MTA-STS"}, {"pkix", "WebPKI"}};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (strcmp(names[i].word, verified) == 0)
            return names[i].name;
    return NULL;
}

static void write_encryption(const struct bounce_report *report, const struct bounce_recipient *r,
                             struct page *text)
{
    char how[160];
    const char *verification = verification_name(r->verified);
    snprintf(how, sizeof how, "%s%s%s", r->protocol, r->cipher[0] ? " " : "", r->cipher);
    say(report, text, PHRASE_LEFT_TLS, how, NULL);
    if (verification)
        say(report, text, PHRASE_LEFT_VERIFIED, verification, NULL);
    else if (!r->is_local)
        say(report, text, PHRASE_LEFT_UNVERIFIED, NULL, NULL);
}

/* The receipt: how the message left. */
static void write_leaving(const struct bounce_report *report, const struct bounce_recipient *r,
                          struct page *text)
{
    char host[PAGE_HOST_SIZE], date[DATE_SIZE];
    enum phrase taken = r->is_passed_on ? PHRASE_PASSED_ON : PHRASE_RELAYED;
    say(report, text, r->is_relayed ? taken : PHRASE_DELIVERED, NULL, NULL);
    if (r->outcome->mx[0] != '\0' && r->last_attempt_at != 0)
        say(report, text, PHRASE_LEFT_AT, show_date(report, r->last_attempt_at, date),
            page_host(r->outcome, host));
    if (r->is_local)
        say(report, text, PHRASE_LEFT_LOCAL, NULL, NULL);
    if (r->protocol[0] != '\0')
        write_encryption(report, r, text);
    else if (!r->is_local)
        say(report, text, PHRASE_LEFT_CLEAR, NULL, NULL);
}

static void write_recipient(const struct bounce_report *report, const struct bounce_recipient *r,
                            struct page *text)
{
    char until[DATE_SIZE];
    page_text(text, "\n");
    write_reason(report, r, text);
    switch (r->disposition) {
    case DISPOSITION_DELIVERED:
        write_leaving(report, r, text);
        return;
    case DISPOSITION_DEFERRED:
        write_waiting(report, r, text);
        if (r->retry_until != 0)
            say(report, text, r->is_suspended ? PHRASE_RETRY_SUSPENDED : PHRASE_RETRY_UNTIL,
                show_date(report, r->retry_until, until), NULL);
        return;
    case DISPOSITION_FAILED:
    case DISPOSITION_HELD:
        if (r->is_stopped) {
            write_stop(report, r, text);
            return;
        }
        write_downgrade(report, r, text);
        if (!outcome_is_permanent(r->outcome))
            say(report, text, PHRASE_TIME_IS_OVER, NULL, NULL);
        return;
    }
    panic("write_recipient: disposition %d", (int)r->disposition);
}

static enum phrase introduction(enum bounce_kind kind)
{
    switch (kind) {
    case BOUNCE_FAILURE:
        return PHRASE_FAILURE;
    case BOUNCE_DELAY:
        return PHRASE_DELAY;
    case BOUNCE_SUCCESS:
        return PHRASE_SUCCESS;
    }
    panic("introduction: kind %d", (int)kind);
}

void explanation_write(const struct bounce_report *report, struct page *text)
{
    say(report, text, PHRASE_GREETING, report->hostname, NULL);
    page_text(text, "\n");
    say(report, text, introduction(report->kind), NULL, NULL);
    for (size_t i = 0; i < report->count; i++)
        write_recipient(report, &report->recipients[i], text);
    if (report->is_redacted) {
        page_text(text, "\n");
        say(report, text, PHRASE_REDACTED, NULL, NULL);
    }
}
