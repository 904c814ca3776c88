#include <inttypes.h>
#include <string.h>

#include "gateway/control/printing.h"

#define INDENT PRINT_INDENT
#define TEXT_SIZE PRINT_TEXT_SIZE

static void print_state(const struct printing *p, const json_t *r)
{
    char address[SHOWN_SIZE];
    char next[TIME_SIZE];
    char line[TEXT_SIZE];
    json_int_t attempts = member_number(r, "attempts");
    int len =
        snprintf(line, sizeof line, "%s: %s", show_address(p, member_text(r, "address"), address),
                 member_text(r, "state"));
    if (attempts > 0)
        len += snprintf(line + len, sizeof line - (size_t)len, ", %" PRId64 " attempt%s",
                        (int64_t)attempts, attempts == 1 ? "" : "s");
    if (*show_time(r, "next_attempt_at", next))
        snprintf(line + len, sizeof line - (size_t)len, ", next %s", next);
    table_wrap(p->out, INDENT, 2 * INDENT, line);
    if (*member_text(r, "reason"))
        table_wrap(p->out, 2 * INDENT, 2 * INDENT, member_text(r, "reason"));
}

static void print_held_notes(const struct printing *p, const json_t *r)
{
    const char *way = member_text(r, "release");
    if (strcmp(way, "force") == 0)
        table_wrap(p->out, 2 * INDENT, 2 * INDENT,
                   "its domain publishes DANE or MTA-STS, or it could not be learnt: release "
                   "needs --force");
    else if (strcmp(way, "refused") == 0)
        table_wrap(p->out, 2 * INDENT, 2 * INDENT,
                   "a policy or REQUIRETLS is the cause: only release --recheck is possible");
    if (json_is_false(json_object_get(r, "notice")))
        table_wrap(p->out, 2 * INDENT, 2 * INDENT, "nobody could be told of the stop by mail");
}

static void print_held(const struct printing *p, const json_t *r)
{
    char address[SHOWN_SIZE];
    char line[TEXT_SIZE];
    snprintf(line, sizeof line, "%s: %s %s", show_address(p, member_text(r, "address"), address),
             member_text(r, "status"), member_text(r, "reason"));
    table_wrap(p->out, INDENT, 2 * INDENT, line);
    print_held_notes(p, r);
}

void print_queue_element(struct printing *p, const json_t *m)
{
    char arrived[TIME_SIZE];
    char size[SIZE_TEXT_SIZE];
    char sender[SHOWN_SIZE];
    char line[TEXT_SIZE];
    const json_t *recipients = json_object_get(m, "recipients");
    snprintf(line, sizeof line, "%s  %s  %s  from %s", member_text(m, "id"),
             show_time(m, "arrived_at", arrived), show_size(member_number(m, "size"), size),
             show_address(p, member_text(m, "sender"), sender));
    table_wrap(p->out, 0, INDENT, line);
    for (size_t i = 0; i < json_array_size(recipients); i++)
        print_state(p, json_array_get(recipients, i));
}

void print_held_element(struct printing *p, const json_t *m)
{
    char stopped[TIME_SIZE];
    char expires[TIME_SIZE];
    char size[SIZE_TEXT_SIZE];
    char sender[SHOWN_SIZE];
    char line[TEXT_SIZE];
    const json_t *recipients = json_object_get(m, "recipients");
    snprintf(line, sizeof line, "%s  stopped %s, kept until %s", member_text(m, "id"),
             show_time(m, "stopped_at", stopped), show_time(m, "expires_at", expires));
    table_wrap(p->out, 0, INDENT, line);
    snprintf(line, sizeof line, "from %s, %s", show_address(p, member_text(m, "sender"), sender),
             show_size(member_number(m, "size"), size));
    table_wrap(p->out, INDENT, 2 * INDENT, line);
    for (size_t i = 0; i < json_array_size(recipients); i++)
        print_held(p, json_array_get(recipients, i));
}

static void print_detail(const struct printing *p, const char *name, const char *value)
{
    char line[TEXT_SIZE];
    if (!*value)
        return;
    snprintf(line, sizeof line, "%s: %s", name, value);
    table_wrap(p->out, 2 * INDENT, 3 * INDENT, line);
}

static void print_recipient_details(const struct printing *p, const json_t *r)
{
    char last[TIME_SIZE];
    char expires[TIME_SIZE];
    char host[TEXT_SIZE / 2];
    char owner[SHOWN_SIZE];
    const char *mx = member_text(r, "mx");
    snprintf(host, sizeof host, "%s%s%s%s", mx, *member_text(r, "mx_address") ? "[" : "",
             member_text(r, "mx_address"), *member_text(r, "mx_address") ? "]" : "");
    print_detail(p, "guarantee", member_text(r, "guarantee"));
    if (*member_text(r, "owner"))
        print_detail(p, "of", show_address(p, member_text(r, "owner"), owner));
    print_detail(p, "exemption", member_text(r, "exemption"));
    print_detail(p, "last attempt", show_time(r, "last_attempt_at", last));
    print_detail(p, "host", *mx ? host : "");
    print_detail(p, "kept until", show_time(r, "expires_at", expires));
    print_detail(p, "required", member_text(r, "required"));
    if (*member_text(r, "evidence")) {
        table_wrap(p->out, 2 * INDENT, 2 * INDENT, "what was seen:");
        table_wrap(p->out, 3 * INDENT, 3 * INDENT, member_text(r, "evidence"));
    }
}

void print_mail(struct printing *p, const json_t *m)
{
    char sender[SHOWN_SIZE];
    char user[SHOWN_SIZE];
    char arrived[TIME_SIZE];
    char size[SIZE_TEXT_SIZE];
    const json_t *recipients = json_object_get(m, "recipients");
    bool is_held = strcmp(p->command, "held show") == 0;
    print_pair(p, "ID:", member_text(m, "id"));
    print_pair(p, "Sender:", show_address(p, member_text(m, "sender"), sender));
    if (*member_text(m, "user"))
        print_pair(p, "User:", show_address(p, member_text(m, "user"), user));
    print_pair(p, "Came by:", member_text(m, "origin"));
    print_pair(p, "Arrived:", show_time(m, "arrived_at", arrived));
    print_pair(p, "Size:", show_size(member_number(m, "size"), size));
    print_pair(p, "Envelope ID:", member_text(m, "envid"));
    for (size_t i = 0; i < json_array_size(recipients); i++) {
        const json_t *r = json_array_get(recipients, i);
        fputc('\n', p->out);
        if (is_held)
            print_held(p, r);
        else
            print_state(p, r);
        print_recipient_details(p, r);
    }
}

void print_released(struct printing *p, const json_t *result)
{
    const json_t *recipients = json_object_get(result, "recipients");
    const char *mode = member_text(result, "mode");
    const char *how = strcmp(mode, "recheck") == 0 ? "is tried again under the guarantee"
                      : strcmp(mode, "force") == 0
                          ? "is sent without the guarantee, whatever the destination publishes"
                          : "is sent without the guarantee";
    for (size_t i = 0; i < json_array_size(recipients); i++) {
        char address[SHOWN_SIZE];
        char line[TEXT_SIZE];
        snprintf(line, sizeof line, "%s: mail to %s %s%s", member_text(result, "id"),
                 show_address(p, json_string_value(json_array_get(recipients, i)), address), how,
                 waits_for_daemon(result) ? " when sealpostd starts" : "");
        table_wrap(p->out, 0, INDENT, line);
    }
}
