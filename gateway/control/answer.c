#include "gateway/control/answer.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mail/date.h"
#include "mail/id.h"
#include "mail/utf8.h"

static void free_wiped(void *memory)
{
    if (!memory)
        return;
    explicit_bzero(memory, malloc_usable_size(memory));
    free(memory);
}

static void set_functions(void)
{
    json_set_alloc_funcs(malloc, free_wiped);
}

void json_wipes(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_functions);
}

/* Small values of our own making: out of memory ends the program, as with xalloc(). */
static json_t *made(json_t *value)
{
    if (!value)
        panic("out of memory for an answer");
    return value;
}

json_t *json_text(const char *text)
{
    struct slice rest = slice_of(text ? text : "");
    json_t *value = json_stringn(rest.data, rest.len);
    if (value)
        return value;
    char *clean = xalloc(rest.len + 1);
    size_t len = 0;
    while (rest.len > 0) {
        uint32_t code_point;
        size_t octets = utf8_decode(rest, &code_point);
        if (octets == 0)
            clean[len++] = '?';
        else
            memcpy(clean + len, rest.data, octets);
        len += octets;
        rest = slice_sub(rest, octets ? octets : 1, rest.len);
    }
    value = json_stringn(clean, len);
    free(clean);
    return made(value);
}

json_t *json_text_or_null(const char *text)
{
    return text && *text ? json_text(text) : json_null();
}

json_t *json_time(int64_t at_ms)
{
    char text[DATE_SIZE];
    return at_ms == 0 ? json_null() : json_text(date_rfc3339(at_ms / 1000, text));
}

json_t *json_id(uint64_t id)
{
    char text[ID_SIZE];
    return json_text(id_text(id, text));
}

void json_put(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, made(value)) != 0)
        panic("out of memory for an answer");
}

void json_add(json_t *array, json_t *value)
{
    if (json_array_append_new(array, made(value)) != 0)
        panic("out of memory for an answer");
}

static int append(const char *data, size_t len, void *context)
{
    return buffer_append(context, (struct slice){data, len}) ? 0 : -1;
}

bool json_write(struct buffer *out, json_t *value)
{
    bool fits = json_dump_callback(value, append, out, JSON_COMPACT | JSON_ENCODE_ANY) == 0;
    json_decref(value);
    return fits;
}

/* What of a request goes into the log, and as what. */
static const struct told {
    const char *key;
    enum event_key field;
    bool is_address;
} told[] = {
    {"address", KEY_USER, true}, {"owner", KEY_OWNER, true},    {"alias", KEY_TO, true},
    {"target", KEY_TO, true},    {"id", KEY_ID, false},         {"mode", KEY_REASON, false},
    {"user", KEY_USER, true},    {"domain", KEY_DOMAIN, false},
};

/* One spelling for each address, so that a search of the log finds all that was done to it. */
static const char *told_text(const struct told *t, const char *text, char key[ADDRESS_SIZE])
{
    struct address address;
    if (!t->is_address || address_parse(slice_of(text), &address) != ADDRESS_OK)
        return text;
    address_key(&address, key);
    return key;
}

/* "encrypt for 30m, locked", "dry-run verified"; NULL where no level was set. A lock that has held
 * on, or has gone, was not asked for in words: the result says it. */
static const char *told_level(const struct command *c, const json_t *result, char *out, size_t size)
{
    const char *level = argument_text(c, "level");
    /* By its own name, as in every other line: "on" is only another word for it. */
    if (level && strcmp(level, "on") == 0)
        level = level_name(LEVEL_ENCRYPT);
    const char *trial = argument_text(c, "trial");
    const char *time = argument_text(c, "for");
    const char *lock = json_is_true(json_object_get(result, "guarantee_locked")) ? ", locked"
                       : json_is_true(json_object_get(result, "lock_removed"))
                           ? ", not locked any more"
                           : "";
    snprintf(out, size, "%s%s%s%s%s%s", level ? level : "", trial ? " " : "", trial ? trial : "",
             time ? " for " : "", time ? time : "", lock);
    return level ? out : NULL;
}

/* One line for each change: who did what to whom. */
static void log_change(const struct command *c, const json_t *result)
{
    char level[80];
    char until[80];
    struct event_field fields[COUNT_OF(told) + 4];
    char keys[COUNT_OF(told)][ADDRESS_SIZE];
    size_t count = 0;
    fields[count++] = FIELD(KEY_COMMAND, argument_text(c, "command"));
    fields[count++] = FIELD_NUMBER(KEY_UID, c->uid);
    for (size_t i = 0; i < COUNT_OF(told); i++) {
        const char *text = argument_text(c, told[i].key);
        if (text)
            fields[count++] = FIELD(told[i].field, told_text(&told[i], text, keys[i]));
    }
    if (told_level(c, result, level, sizeof level))
        fields[count++] = FIELD(KEY_LEVEL, level);
    if (argument_text(c, "until")) {
        snprintf(until, sizeof until, "until %s", argument_text(c, "until"));
        fields[count++] = FIELD(KEY_REASON, until);
    }
    event_emit(c->host->events, EVENT_INFO, "control", fields, count);
}

/* An answer that memory had no room for is cut: the client sees that it is not whole. */
static void finish(struct command *c, bool fits)
{
    if (!fits)
        buffer_free(&c->text);
    command_end(c);
}

void answer_ok(struct command *c, json_t *result)
{
    if (command_is_change(c))
        log_change(c, result);
    bool fits = buffer_append_text(&c->text, "{\"ok\":true,\"result\":");
    fits = json_write(&c->text, made(result)) && fits;
    finish(c, fits && buffer_append_text(&c->text, "}\n"));
}

void answer_error(struct command *c, int exit_status, const char *format, ...)
{
    va_list arguments;
    struct buffer words;
    buffer_init(&words, 8192);
    va_start(arguments, format);
    if (!buffer_vprintf(&words, format, arguments))
        buffer_clear(&words);
    va_end(arguments);
    const char *text = buffer_text(&words);
    json_t *answer = made(json_object());
    json_put(answer, "error", json_text(text && *text ? text : "refused"));
    json_put(answer, "exit", json_integer(exit_status));
    buffer_free(&words);
    bool fits = json_write(&c->text, answer);
    finish(c, fits && buffer_append_text(&c->text, "\n"));
}

void answer_queue_error(struct command *c, int error)
{
    if (error == -ENOSPC)
        answer_error(c, EXIT_TEMPORARY, "the store is full; nothing was changed");
    else
        answer_error(c, EXIT_TEMPORARY, "the store says: %s; nothing was changed",
                     strerror(-error));
}

void answer_element(struct command *c, json_t *element)
{
    if (c->is_over) {
        json_decref(element);
        return;
    }
    const char *before = c->has_elements ? "," : "{\"ok\":true,\"result\":[";
    bool fits = buffer_append_text(&c->text, before);
    fits = json_write(&c->text, made(element)) && fits;
    c->has_elements = true;
    if (!fits)
        finish(c, false);
}

void answer_end_list(struct command *c)
{
    if (c->is_over)
        return;
    const char *end = c->has_elements ? "]}\n" : "{\"ok\":true,\"result\":[]}\n";
    finish(c, buffer_append_text(&c->text, end));
}
