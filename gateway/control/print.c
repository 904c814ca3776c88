#include "gateway/control/print.h"

#include <inttypes.h>
#include <string.h>

#include "gateway/control/answer.h"
#include "gateway/control/duration.h"
#include "gateway/control/printing.h"
#include "mail/domain.h"

#define INDENT PRINT_INDENT
#define TEXT_SIZE PRINT_TEXT_SIZE

/* ---- values ---- */

const char *member_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

json_int_t member_number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

bool member_flag(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

const char *show_domain(const struct printing *p, const char *text, char out[SHOWN_SIZE])
{
    out[0] = '\0';
    if (p->with_unicode)
        domain_to_unicode(text, out, SHOWN_SIZE);
    if (!out[0])
        snprintf(out, SHOWN_SIZE, "%s", text);
    return out;
}

const char *show_address(const struct printing *p, const char *text, char out[SHOWN_SIZE])
{
    char domain[ADDRESS_SIZE];
    const char *at = strrchr(text, '@');
    domain[0] = '\0';
    if (p->with_unicode && at)
        domain_to_unicode(at + 1, domain, sizeof domain);
    if (domain[0])
        snprintf(out, SHOWN_SIZE, "%.*s@%s", (int)(at - text), text, domain);
    else
        snprintf(out, SHOWN_SIZE, "%s", *text ? text : "<>");
    return out;
}

const char *show_time(const json_t *object, const char *key, char out[TIME_SIZE])
{
    snprintf(out, TIME_SIZE, "%s", member_text(object, key));
    char *t = strchr(out, 'T');
    if (t)
        *t = ' ';
    return out;
}

const char *show_size(json_int_t size, char out[SIZE_TEXT_SIZE])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    if (size < 1024) {
        snprintf(out, SIZE_TEXT_SIZE, "%" PRId64 " B", (int64_t)size);
        return out;
    }
    double value = (double)size / 1024;
    size_t unit = 0;
    for (; value >= 1024 && unit + 1 < COUNT_OF(units); unit++)
        value /= 1024;
    snprintf(out, SIZE_TEXT_SIZE, "%.1f %s", value, units[unit]);
    return out;
}

bool waits_for_daemon(const json_t *result)
{
    return json_is_false(json_object_get(result, "running"));
}

void print_pair(const struct printing *p, const char *name, const char *value)
{
    char line[TEXT_SIZE + 16];
    if (!*value)
        return;
    snprintf(line, sizeof line, "%-13s%s", name, value);
    table_wrap(p->out, 0, 13, line);
}

/* ---- what a command did ---- */

static void print_change(struct printing *p, const json_t *result)
{
    static const struct {
        const char *command, *words, *words_without_daemon;
    } done[] = {
        {"user remove", "is no user any more", NULL},
        {"queue retry", "is tried again now", "is tried again when sealpostd starts"},
        {"queue remove", "is removed", NULL},
        {"held drop", "is dropped", NULL},
    };
    char address[SHOWN_SIZE];
    char line[TEXT_SIZE];
    const char *what = member_text(result, "id");
    if (*member_text(result, "address"))
        what = show_address(p, member_text(result, "address"), address);
    for (size_t i = 0; i < COUNT_OF(done); i++) {
        if (strcmp(done[i].command, p->command) != 0)
            continue;
        bool is_later = done[i].words_without_daemon && waits_for_daemon(result);
        snprintf(line, sizeof line, "%s %s", *what ? what : "all that waits",
                 is_later ? done[i].words_without_daemon : done[i].words);
        table_wrap(p->out, 0, INDENT, line);
    }
}

/* ---- status ---- */

static void print_counts(const struct printing *p, const json_t *s)
{
    static const struct {
        const char *name, *key, *one, *what;
    } counts[] = {
        {"Queued:", "queued", "recipient", "not tried yet"},
        {"Deferred:", "deferred", "recipient", "to be tried again"},
        {"Held:", "held", "recipient", "stopped for lack of the TLS that is required"},
        {"Untold:", "held_without_notice", NULL, "of them nobody could be told of by mail"},
        {"Messages:", "messages", NULL, "in the store"},
        {"Connections:", "connections", NULL, "open"},
    };
    char line[TEXT_SIZE];
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        int64_t count = member_number(s, counts[i].key);
        const char *one = counts[i].one;
        snprintf(line, sizeof line, "%" PRId64 " %s%s%s", count, one ? one : "",
                 !one         ? ""
                 : count == 1 ? " "
                              : "s ",
                 counts[i].what);
        print_pair(p, counts[i].name, line);
    }
}

/* What the daemon alone knows. */
static void print_watch(const struct printing *p, const json_t *s)
{
    char line[TEXT_SIZE];
    char since[TIME_SIZE];
    int64_t alarms = member_number(s, "downgrades");
    print_pair(p, "Resolver:", member_text(s, "resolver"));
    print_pair(p, "Breaker:", member_text(s, "breaker"));
    if (member_flag(s, "breaker_open")) {
        snprintf(line, sizeof line, "since %s; stops are suspended meanwhile",
                 show_time(s, "breaker_opened_at", since));
        print_pair(p, "", line);
    }
    if (!member_flag(s, "running"))
        return;
    snprintf(line, sizeof line,
             "%" PRId64 " alarm%s since start: a host offered TLS and then did not", alarms,
             alarms == 1 ? "" : "s");
    print_pair(p, "Downgrades:", line);
}

static void print_status(struct printing *p, const json_t *s)
{
    char line[TEXT_SIZE];
    char text[DURATION_SIZE];
    char used[SIZE_TEXT_SIZE];
    char limit[SIZE_TEXT_SIZE];
    if (json_is_true(json_object_get(s, "running")))
        snprintf(line, sizeof line, "sealpost %s, running for %s", member_text(s, "version"),
                 duration_text(member_number(s, "uptime_seconds"), text));
    else
        snprintf(line, sizeof line, "sealpost %s, not running", member_text(s, "version"));
    table_wrap(p->out, 0, INDENT, line);
    print_counts(p, s);
    snprintf(line, sizeof line, "%s of %s", show_size(member_number(s, "used_bytes"), used),
             show_size(member_number(s, "limit_bytes"), limit));
    print_pair(p, "Store:", line);
    print_watch(p, s);
}

/* ---- answers ---- */

static const struct form {
    const char *command;
    void (*print)(struct printing *p, const json_t *result);
    const char *empty;                   /* of a listing: the words for an empty one */
    int (*status)(const json_t *result); /* to exit with; NULL: 0 */
} forms[] = {
    {"user add", print_user, NULL, NULL},
    {"user set", print_user, NULL, NULL},
    {"user list", print_user_row, "there are no users", NULL},
    {"user show", print_user, NULL, NULL},
    {"user remove", print_change, NULL, NULL},
    {"user alias", print_user, NULL, NULL},
    {"user unalias", print_user, NULL, NULL},
    {"guarantee", print_user, NULL, NULL},
    {"forward add", print_forward, NULL, NULL},
    {"forward remove", print_forward, NULL, NULL},
    {"forward list", print_forward_row, "there are no forwards", NULL},
    {"queue list", print_queue_element, "the queue is empty", NULL},
    {"queue show", print_mail, NULL, NULL},
    {"queue retry", print_change, NULL, NULL},
    {"queue remove", print_change, NULL, NULL},
    {"held list", print_held_element, "nothing is held", NULL},
    {"held show", print_mail, NULL, NULL},
    {"held drop", print_change, NULL, NULL},
    {"release", print_released, NULL, NULL},
    {"check", print_check, NULL, check_status},
    {"exception add", print_exception, NULL, NULL},
    {"exception remove", print_exception, NULL, NULL},
    {"exception list", print_exception_row, "there are no exceptions", NULL},
    {"posture", print_posture, "nothing has been seen", NULL},
    {"report dry-run", print_finding, "nothing would have been stopped", NULL},
    {"status", print_status, NULL, NULL},
    {"sts list", print_policy, "there are no MTA-STS policies", NULL},
    {"sts purge", print_purged, NULL, NULL},
};

static const struct form *form_of(const char *command)
{
    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        if (strcmp(forms[i].command, command) == 0)
            return &forms[i];
    }
    panic("no form for the answer of %s", command);
}

/* Elements are parsed one at a time: a listing of a million needs its text in memory, no tree. */
static bool print_list(struct printing *p, const struct form *form, struct slice list)
{
    struct slice rest = slice_sub(list, 1, list.len - 2); /* between the brackets */
    while (rest.len > 0) {
        json_error_t error;
        json_t *element =
            json_loadb(rest.data, rest.len, JSON_DISABLE_EOF_CHECK | JSON_DECODE_ANY, &error);
        if (!element)
            return false;
        form->print(p, element);
        json_decref(element);
        p->count++;
        rest = slice_sub(rest, (size_t)error.position, rest.len);
        if (rest.len > 0 && rest.data[0] != ',')
            return false;
        rest = slice_sub(rest, 1, rest.len);
    }
    if (p->table.columns > 0)
        table_print(&p->table, p->out);
    if (p->count == 0)
        fprintf(p->out, "%s\n", form->empty);
    table_free(&p->table);
    return true;
}

static int cut_short(FILE *errors)
{
    fputs("sealpostctl: the daemon broke off its answer; whether the command was carried out is "
          "not known\n",
          errors);
    return EXIT_TEMPORARY;
}

/* As a table; 75 when it is not whole. */
static int print_result(struct printing *p, const struct form *form, struct slice result,
                        FILE *errors)
{
    if (form->empty) {
        bool is_list = result.len >= 2 && result.data[0] == '[';
        return is_list && print_list(p, form, result) ? EXIT_DONE : cut_short(errors);
    }
    json_t *value = json_loadb(result.data, result.len, 0, NULL);
    if (!value)
        return cut_short(errors);
    form->print(p, value);
    int status = form->status ? form->status(value) : EXIT_DONE;
    json_decref(value);
    return status;
}

/* As the document it is; it is read only where the exit status depends on it. */
static int write_result(const struct printing *p, const struct form *form, struct slice result,
                        FILE *errors)
{
    int status = EXIT_DONE;
    if (form->status) {
        json_t *value = json_loadb(result.data, result.len, 0, NULL);
        if (!value)
            return cut_short(errors);
        status = form->status(value);
        json_decref(value);
    }
    fwrite(result.data, 1, result.len, p->out);
    fputc('\n', p->out);
    return status;
}

static int print_error(struct slice answer, FILE *errors)
{
    json_t *value = json_loadb(answer.data ? answer.data : "", answer.len, 0, NULL);
    const char *words = member_text(value, "error");
    json_int_t status = member_number(value, "exit");
    bool is_whole = *words && status > 0 && status < 256;
    if (is_whole) {
        fputs("sealpostctl: ", errors);
        for (const char *c = words; *c; c++) /* one line, whatever a host has said */
            fputc((unsigned char)*c < ' ' || *c == 0x7F ? '?' : *c, errors);
        fputc('\n', errors);
    }
    json_decref(value);
    return is_whole ? (int)status : cut_short(errors);
}

int print_answer(const char *command, struct slice answer, bool wants_json, bool with_unicode,
                 FILE *out, FILE *errors)
{
    const struct slice front = SLICE("{\"ok\":true,\"result\":");
    struct printing p = {.out = out, .command = command, .with_unicode = with_unicode};
    json_wipes();
    if (!slice_starts_nocase(answer, front))
        return print_error(answer, errors);
    if (!slice_ends_nocase(answer, SLICE("}\n")))
        return cut_short(errors);
    struct slice result = slice_sub(answer, front.len, answer.len - front.len - 2);
    const struct form *form = form_of(command);
    return wants_json ? write_result(&p, form, result, errors)
                      : print_result(&p, form, result, errors);
}
