#include <inttypes.h>
#include <string.h>

#include "gateway/control/duration.h"
#include "gateway/control/printing.h"

#define INDENT PRINT_INDENT
#define TEXT_SIZE PRINT_TEXT_SIZE

static void join_aliases(const struct printing *p, const json_t *user, char *out, size_t size)
{
    const json_t *aliases = json_object_get(user, "aliases");
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < json_array_size(aliases) && len < size; i++) {
        char address[SHOWN_SIZE];
        len += (size_t)snprintf(
            out + len, size - len, "%s%s", i ? ", " : "",
            show_address(p, json_string_value(json_array_get(aliases, i)), address));
    }
}

/* "encrypt", or "off (dry run of encrypt)" */
static void show_guarantee(const json_t *user, char *out, size_t size)
{
    const char *trial = member_text(user, "dry_run_level");
    snprintf(out, size, "%s%s%s%s", member_text(user, "guarantee"), *trial ? " (dry run of " : "",
             trial, *trial ? ")" : "");
}

static const char *lock_words(const json_t *user)
{
    return json_is_true(json_object_get(user, "guarantee_locked")) ? ", locked" : "";
}

static const char *default_words(const json_t *user)
{
    return json_is_false(json_object_get(user, "guarantee_own")) ? ", by default" : "";
}

static void print_guarantee(const struct printing *p, const json_t *user)
{
    const json_t *back = json_object_get(user, "guarantee_back");
    char level[60];
    char since[TIME_SIZE];
    char until[TIME_SIZE];
    char line[TEXT_SIZE];
    show_time(user, "guarantee_since", since);
    show_time(user, "guarantee_until", until);
    show_guarantee(user, level, sizeof level);
    snprintf(line, sizeof line, "%s%s%s%s%s%s%s", level, default_words(user), lock_words(user),
             *since ? ", since " : "", since, *until ? ", until " : "", until);
    print_pair(p, "Guarantee:", line);
    if (json_is_object(back)) {
        show_guarantee(back, level, sizeof level);
        snprintf(line, sizeof line, "then %s%s%s", level, default_words(back), lock_words(back));
        print_pair(p, "", line);
    }
    if (member_flag(user, "lock_removed"))
        print_pair(p, "", "not locked any more: the user may lower it");
}

static void print_exemptions(const struct printing *p, const json_t *user)
{
    const json_t *exceptions = json_object_get(user, "exceptions");
    const json_t *forwards = json_object_get(user, "forwards");
    char name[SHOWN_SIZE];
    char until[TIME_SIZE];
    char line[TEXT_SIZE];
    for (size_t i = 0; i < json_array_size(exceptions); i++) {
        const json_t *exception = json_array_get(exceptions, i);
        show_time(exception, "until", until);
        snprintf(line, sizeof line, "%s%s%s",
                 show_domain(p, member_text(exception, "domain"), name), *until ? " until " : "",
                 until);
        print_pair(p, i == 0 ? "Exceptions:" : "", line);
    }
    for (size_t i = 0; i < json_array_size(forwards); i++)
        print_pair(p, i == 0 ? "Forwards:" : "",
                   show_address(p, json_string_value(json_array_get(forwards, i)), name));
    if (json_is_null(forwards))
        print_pair(p, "Forwards:", "the store cannot say");
}

void print_user(struct printing *p, const json_t *user)
{
    char address[SHOWN_SIZE];
    char aliases[TEXT_SIZE - 20];
    char hold_back[DURATION_SIZE];
    join_aliases(p, user, aliases, sizeof aliases);
    print_pair(p, "Address:", show_address(p, member_text(user, "address"), address));
    print_pair(p, "Aliases:", aliases);
    print_guarantee(p, user);
    print_pair(p, "Language:", member_text(user, "language"));
    if (member_flag(user, "receipts"))
        print_pair(p, "Receipts:", "always");
    if (member_number(user, "hold_back_seconds") > 0)
        print_pair(
            p, "Hold back:", duration_text(member_number(user, "hold_back_seconds"), hold_back));
    print_exemptions(p, user);
}

void print_user_row(struct printing *p, const json_t *user)
{
    static const char *const headings[] = {"ADDRESS", "GUARANTEE", "UNTIL", "ALIASES"};
    char address[SHOWN_SIZE];
    char aliases[TEXT_SIZE];
    char guarantee[80];
    char level[60];
    char until[TIME_SIZE];
    if (p->count == 0)
        table_init(&p->table, headings, COUNT_OF(headings));
    show_guarantee(user, level, sizeof level);
    snprintf(guarantee, sizeof guarantee, "%s%s", level, lock_words(user));
    join_aliases(p, user, aliases, sizeof aliases);
    table_add(&p->table,
              (const char *const[]){show_address(p, member_text(user, "address"), address),
                                    guarantee, show_time(user, "guarantee_until", until), aliases});
}

void print_forward_row(struct printing *p, const json_t *forward)
{
    static const char *const headings[] = {"OWNER", "TARGET"};
    char owner[SHOWN_SIZE];
    char target[SHOWN_SIZE];
    if (p->count == 0)
        table_init(&p->table, headings, COUNT_OF(headings));
    table_add(&p->table,
              (const char *const[]){show_address(p, member_text(forward, "owner"), owner),
                                    show_address(p, member_text(forward, "target"), target)});
}

void print_forward(struct printing *p, const json_t *result)
{
    char owner[SHOWN_SIZE];
    char target[SHOWN_SIZE];
    char line[TEXT_SIZE];
    snprintf(line, sizeof line, "%s %s a forward of %s",
             show_address(p, member_text(result, "target"), target),
             strcmp(p->command, "forward add") == 0 ? "is now" : "is no longer",
             show_address(p, member_text(result, "owner"), owner));
    table_wrap(p->out, 0, INDENT, line);
}
