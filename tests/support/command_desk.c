#include "tests/support/command_desk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB ((uint64_t)1 << 20)

struct desk desk;
struct command_host host;
json_t *answer;
char event[512];
unsigned slices;

static bool prepare_password(struct slice password, char *out, size_t size)
{
    return slice_copy(password, out, size) && !strstr(out, "forbidden");
}

static bool job(void *context, void (*work)(void *argument), void (*done)(void *argument),
                void *argument)
{
    if (context)
        return false;
    work(argument);
    desk.poster.post(desk.poster.context, done, argument);
    return true;
}

static void emit(void *context, enum event_severity severity, const char *name,
                 const struct event_field *fields, size_t count)
{
    (void)context;
    (void)severity;
    size_t len = (size_t)snprintf(event, sizeof event, "%s", name);
    for (size_t i = 0; i < count && len < sizeof event; i++) {
        const char *key = event_key_name(fields[i].key);
        if (fields[i].text)
            len += (size_t)snprintf(event + len, sizeof event - len, " %s=%s", key, fields[i].text);
        else
            len += (size_t)snprintf(event + len, sizeof event - len, " %s=%lld", key,
                                    (long long)fields[i].number);
    }
}

static const struct event_sink sink = {.emit = emit, .threshold = EVENT_INFO};

int commands_setup(void **state)
{
    (void)state;
    desk_open(&desk, 64 * MIB);
    host = (struct command_host){
        .queue = desk.q,
        .events = &sink,
        .facts = {.prepare_password = prepare_password},
        .poster = desk.poster,
        .job = job,
    };
    event[0] = '\0';
    return 0;
}

int commands_teardown(void **state)
{
    (void)state;
    json_decref(answer);
    answer = NULL;
    assert_int_equal(host.count, 0);
    assert_null(host.turns);
    desk_close(&desk);
    return 0;
}

void note_progress(void *context)
{
    *(bool *)context = true;
}

int ask(const char *request)
{
    bool has_progress = false;
    struct command *c = command_start(&host, slice_of(request), 1000, note_progress, &has_progress);
    assert_false(has_progress);
    for (slices = 0; !command_is_over(c); slices++) {
        command_more(c);
        has_progress = false;
        assert_true(desk_wait_for(&desk, &has_progress, 10000));
    }
    struct slice text = buffer_slice(command_text(c));
    assert_true(text.len > 0 && text.data[text.len - 1] == '\n');
    json_decref(answer);
    answer = json_loadb(text.data, text.len, 0, NULL);
    assert_non_null(answer);
    command_free(c);
    if (json_is_true(json_object_get(answer, "ok"))) {
        assert_non_null(json_object_get(answer, "result"));
        return 0;
    }
    return (int)json_integer_value(json_object_get(answer, "exit"));
}

int askf(const char *format, const char *value)
{
    char request[1024];
    const char *at = strchr(format, '%');
    assert_non_null(at);
    snprintf(request, sizeof request, "%.*s%s%s", (int)(at - format), format, value, at + 1);
    return ask(request);
}

const json_t *result(void)
{
    return json_object_get(answer, "result");
}

const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

const char *error_text(void)
{
    return text_of(answer, "error");
}

struct address address_of(const char *text)
{
    struct address a;
    assert_int_equal(address_parse(slice_of(text), &a), ADDRESS_OK);
    return a;
}

void add_alice(void)
{
    assert_int_equal(ask("{\"command\":\"user add\",\"address\":\"Alice@site.example\","
                         "\"password\":\"secret\"}"),
                     0);
}
