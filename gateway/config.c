#include "gateway/config.h"

#include <confuse.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/config_daemon.h"
#include "gateway/config_delivery.h"
#include "gateway/config_submission.h"
#include "gateway/config_text.h"
#include "gateway/schema.h"
#include "gateway/section.h"

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

/* "listen \"submission\": " or "delivery: ", or nothing at the top level. */
static const char *section_words(const cfg_t *section, char *out, size_t size)
{
    if (strcmp(section->name, "root") == 0)
        out[0] = '\0';
    else if (section->title)
        snprintf(out, size, "%s \"%s\": ", section->name, section->title);
    else
        snprintf(out, size, "%s: ", section->name);
    return out;
}

static void library_error(cfg_t *cfg, const char *format, va_list arguments) PRINTF_LIKE(2, 0);
static void library_error(cfg_t *cfg, const char *format, va_list arguments)
{
    char what[400];
    char words[250] = "";
    vsnprintf(what, sizeof what, format, arguments);
    if (strstr(what, SENTINEL))
        snprintf(what, sizeof what, "the end of the file: a section, list or text is not closed");
    else if (cfg)
        section_words(cfg, words, sizeof words);
    report(now_reading, cfg ? cfg->line : 0, "%s%s", words, what);
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

/* "listen \"submission\": port" or "delivery: port" or "hostname". */
static const char *key_words(const cfg_t *section, const char *key, char *out, size_t size)
{
    char front[250];
    snprintf(out, size, "%s%s", section_words(section, front, sizeof front), key);
    return out;
}

/* ---- from the table to libConfuse's ---- */

static const char *name_in_table(const cfg_t *cfg)
{
    return strcmp(cfg->name, "root") == 0 ? "" : cfg->name;
}

enum { VALUE_SHOWN = 100 };
static int check_value(cfg_t *cfg, cfg_opt_t *opt)
{
    char expected[200];
    char words[280];
    const struct schema_key *key = schema_find(name_in_table(cfg), opt->name);
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

/* ---- section.h: what the readers see ---- */

struct section section_of(struct section s, const char *name)
{
    return (struct section){s.reading, cfg_getsec(s.parsed, name)};
}

unsigned section_count(struct section s, const char *name)
{
    return cfg_size(s.parsed, name);
}

struct section section_at(struct section s, const char *name, unsigned index)
{
    return (struct section){s.reading, cfg_getnsec(s.parsed, name, index)};
}

const char *section_item(struct section s, const char *key, unsigned index)
{
    return cfg_getnstr(s.parsed, key, index);
}

const char *section_name(struct section s)
{
    return s.parsed->name;
}

const char *section_title(struct section s)
{
    return s.parsed->title;
}

const char *section_text(struct section s, const char *key)
{
    const char *value = cfg_getstr(s.parsed, key);
    if (!value)
        section_report(s, key, "must be set");
    return value ? value : "";
}

bool section_has_errors(struct section s)
{
    return s.reading->error[0] != '\0';
}

void section_report(struct section s, const char *key, const char *format, ...)
{
    char words[300];
    char what[500];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    int line = line_of(s.reading, s.parsed, key);
    report(s.reading, line > 0 ? line : line_of(s.reading, s.parsed, NULL), "%s: %s",
           key_words(s.parsed, key, words, sizeof words), what);
}

void section_report_title(struct section s, const char *format, ...)
{
    char what[500];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    report(s.reading, line_of(s.reading, s.parsed, NULL), "%s \"%s\": %s", s.parsed->name,
           s.parsed->title, what);
}

void section_warn(struct section s, const char *key, const char *format, ...)
{
    char what[500];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    struct config *c = s.reading->config;
    c->warnings = xrealloc(c->warnings, (c->warning_count + 1) * sizeof *c->warnings);
    c->warnings[c->warning_count++] =
        xprintf("%s:%d: warning: %s", s.reading->file, line_of(s.reading, s.parsed, key), what);
}

/* ---- the file ---- */

/* The file's text with the sentinel behind it; NULL with words reported. The caller frees. */
static char *whole_text(struct reading *r)
{
    const char *what;
    char *text = config_text_read(r->file);
    if (!text) {
        report(r, 0, "cannot read it: %s", strerror(errno));
        return NULL;
    }
    int line = config_text_open_line(text, &what);
    if (line > 0)
        report(r, line, "this %s is not closed", what);
    char *whole = line > 0 ? NULL : xprintf("%s\n" SENTINEL " = 1\n", text);
    free(text);
    return whole;
}

/* In this order: the later ones look at what the earlier ones made of the file. */
static void read_all(struct section root, struct config *c, enum config_use use)
{
    config_daemon_read(root, c, use);
    c->submission = config_submission_read(root, c, use);
    c->delivery = config_delivery_read(root, c, use);
    c->keeps_sha1 = c->submission->mechanisms & MECHANISM_SCRAM_SHA_1;
}

static bool parse(struct reading *r, cfg_t *root, enum config_use use)
{
    char *text = whole_text(r);
    if (!text)
        return false;
    int result = cfg_parse_buf(root, text);
    free(text);
    if (result != CFG_SUCCESS) {
        report(r, root->line, "cannot be parsed");
        return false;
    }
    read_all((struct section){r, root}, r->config, use);
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
    sign_key_free(c->report_key);
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
