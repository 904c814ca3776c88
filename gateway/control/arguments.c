#include "gateway/control/arguments.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "gateway/control/answer.h"

#define REQUEST_MAX ((size_t)256 * 1024)
#define REQUEST_ROOM ((size_t)8192)
#define PASSWORD_MAX 1024

struct reading {
    struct arguments *out;
    json_t *request; /* owned */
    unsigned words;
    bool is_password_wanted;
    int status;
};

static bool put_text(struct reading *r, json_t *text, const char *key)
{
    if (text && json_object_set_new(r->request, key, text) == 0)
        return true;
    usage_complain(r->out->usage, "%s is not UTF-8", key);
    r->status = EXIT_USAGE;
    return false;
}

static bool wrong(struct reading *r, const char *format, ...) PRINTF_LIKE(2, 3);
static bool wrong(struct reading *r, const char *format, ...)
{
    char words[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    usage_complain(r->out->usage, "%s", words);
    r->status = EXIT_USAGE;
    return false;
}

/* ---- the password ---- */

static struct termios hide_typing(bool *is_hidden)
{
    struct termios before = {0};
    *is_hidden = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &before) == 0;
    if (*is_hidden) {
        struct termios silent = before;
        silent.c_lflag &= ~(tcflag_t)ECHO;
        fputs("Password: ", stderr);
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    }
    return before;
}

static void show_typing(const struct termios *before)
{
    tcsetattr(STDIN_FILENO, TCSAFLUSH, before);
    fputs("\n", stderr);
}

/* All of standard input, or one line from a person. -1: too long, or it cannot be read. */
static ptrdiff_t read_input(char *out, size_t size, bool is_person)
{
    size_t len = 0;
    while (len < size) {
        ssize_t got = read(STDIN_FILENO, out + len, size - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        len += (size_t)got;
        if (got == 0 || (is_person && out[len - 1] == '\n'))
            return (ptrdiff_t)len;
    }
    return -1;
}

static bool read_password(struct reading *r)
{
    char text[PASSWORD_MAX + 2];
    bool is_hidden;
    struct termios before = hide_typing(&is_hidden);
    ptrdiff_t len = read_input(text, sizeof text, is_hidden);
    if (is_hidden)
        show_typing(&before);
    if (len > 0 && text[len - 1] == '\n')
        len--;
    if (len > 0 && text[len - 1] == '\r')
        len--;
    json_t *value = len > 0 ? json_stringn(text, (size_t)len) : NULL;
    explicit_bzero(text, sizeof text);
    if (value && json_object_set_new(r->request, "password", value) == 0)
        return true;
    fprintf(stderr, "sealpostctl: the password is %s\n",
            len < 0    ? "too long or cannot be read"
            : len == 0 ? "empty"
                       : "not UTF-8");
    r->status = EXIT_REFUSED;
    return false;
}

/* ---- arguments ---- */

static bool read_mode(struct reading *r, const struct usage_option *option)
{
    const char *other = json_string_value(json_object_get(r->request, option->key));
    if (other && strcmp(other, option->name + 2) != 0)
        return wrong(r, "--%s and %s exclude each other", other, option->name);
    return put_text(r, json_string(option->name + 2), option->key);
}

/* One option at argv[0]; *used says how many arguments it took. */
static bool read_option(struct reading *r, int argc, char **argv, int *used)
{
    const struct usage_option *options = r->out->usage->options;
    const char *equals = strchr(argv[0], '=');
    size_t len = equals ? (size_t)(equals - argv[0]) : strlen(argv[0]);
    *used = 1;
    for (size_t i = 0; i < USAGE_OPTIONS && options[i].name; i++) {
        const struct usage_option *o = &options[i];
        if (strlen(o->name) != len || memcmp(o->name, argv[0], len) != 0)
            continue;
        if (o->kind != OPTION_VALUE && equals)
            return wrong(r, "%s takes no value", o->name);
        switch (o->kind) {
        case OPTION_FLAG:
            json_put(r->request, o->key, json_true());
            return true;
        case OPTION_MODE:
            return read_mode(r, o);
        case OPTION_PASSWORD:
            r->is_password_wanted = true;
            return true;
        case OPTION_VALUE:
            if (!equals && argc < 2)
                return wrong(r, "%s needs a value", o->name);
            *used = equals ? 1 : 2;
            return put_text(r, json_string(equals ? equals + 1 : argv[1]), o->key);
        }
    }
    return wrong(r, "there is no option %s here", argv[0]);
}

static bool read_word(struct reading *r, const char *word)
{
    const struct usage *u = r->out->usage;
    if (r->words < USAGE_WORDS && u->words[r->words])
        return put_text(r, json_string(word), u->words[r->words++]);
    if (!u->rest)
        return wrong(r, "\"%s\" is one argument too many", word);
    json_t *list = json_object_get(r->request, u->rest);
    if (!list) {
        json_put(r->request, u->rest, json_array());
        list = json_object_get(r->request, u->rest);
    }
    json_t *text = json_string(word);
    if (text && json_array_append_new(list, text) == 0)
        return true;
    return wrong(r, "an argument is not UTF-8");
}

static bool read_all(struct reading *r, int argc, char **argv)
{
    bool are_options_over = false;
    for (int i = 0; i < argc;) {
        int used = 1;
        bool is_option = !are_options_over && argv[i][0] == '-' && argv[i][1] != '\0';
        if (is_option && strcmp(argv[i], "--") == 0)
            are_options_over = true;
        else if (is_option && strcmp(argv[i], "--json") == 0)
            r->out->wants_json = true;
        else if (is_option ? !read_option(r, argc - i, argv + i, &used) : !read_word(r, argv[i]))
            return false;
        i += used;
    }
    if (r->words < r->out->usage->required)
        return wrong(r, "%s is missing", r->out->usage->words[r->words]);
    r->out->is_long = r->out->usage->is_long_without_words && r->words == 0;
    return true;
}

bool arguments_read(int argc, char **argv, struct arguments *out, int *status)
{
    *out = (struct arguments){0};
    buffer_init(&out->request, REQUEST_MAX);
    /* Enough from the start for any password: growing would leave a copy behind. */
    if (!buffer_reserve(&out->request, REQUEST_ROOM))
        panic("out of memory for a request");
    json_wipes();
    int used = 0;
    out->usage = usage_find(argc, argv, &used);
    *status = EXIT_USAGE;
    if (argc < 1) {
        usage_complain(NULL, "a command is missing");
        return false;
    }
    if (!out->usage) {
        usage_complain_unknown(argc, argv);
        return false;
    }
    struct reading r = {.out = out, .request = json_object(), .status = EXIT_USAGE};
    json_put(r.request, "command", json_string(out->usage->command));
    bool is_read = read_all(&r, argc - used, argv + used);
    if (is_read && r.is_password_wanted)
        is_read = read_password(&r);
    if (!is_read) {
        json_decref(r.request);
        *status = r.status;
        return false;
    }
    if (json_write(&out->request, r.request) && buffer_append_byte(&out->request, '\n'))
        return true;
    usage_complain(out->usage, "these are too many arguments");
    return false;
}

void arguments_free(struct arguments *a)
{
    buffer_wipe_free(&a->request);
}
