#include "gateway/control/arguments.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WORDS_MAX 12

static struct arguments arguments;
static int saved_err;

static int setup(void **state)
{
    (void)state;
    saved_err = dup(STDERR_FILENO);
    int nowhere = open("/dev/null", O_WRONLY);
    dup2(nowhere, STDERR_FILENO);
    close(nowhere);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    dup2(saved_err, STDERR_FILENO);
    close(saved_err);
    return 0;
}

/* The exit status, 0 for a request. */
static int read_words(const char *const *words)
{
    char copies[WORDS_MAX][64];
    char *argv[WORDS_MAX + 1];
    int argc = 0;
    int status = 0;
    for (; words[argc]; argc++) {
        assert_true(argc < WORDS_MAX && slice_copy(slice_of(words[argc]), copies[argc], 64));
        argv[argc] = copies[argc];
    }
    argv[argc] = NULL;
    arguments_free(&arguments);
    return arguments_read(argc, argv, &arguments, &status) ? 0 : status;
}

static const char *request(void)
{
    const char *text = buffer_text(&arguments.request);
    return text ? text : "";
}

static void give_input(const char *text, size_t len)
{
    int file = memfd_create("input", 0);
    assert_int_equal(write(file, text, len), len);
    lseek(file, 0, SEEK_SET);
    dup2(file, STDIN_FILENO);
    close(file);
}

static void a_command_line_becomes_a_request(void **state)
{
    static const struct {
        const char *words[WORDS_MAX];
        const char *want;
    } cases[] = {
        {{"status"}, "{\"command\":\"status\"}\n"},
        {{"user", "list", "--json"}, "{\"command\":\"user list\"}\n"},
        {{"user", "alias", "a@x.example", "b@x.example"},
         "{\"command\":\"user alias\",\"address\":\"a@x.example\",\"alias\":\"b@x.example\"}\n"},
        {{"user", "set", "a@x.example", "--hold-back", "30s", "--language=de"},
         "{\"command\":\"user set\",\"address\":\"a@x.example\",\"hold_back\":\"30s\",\"language\":"
         "\"de\"}\n"},
        {{"guarantee", "--locked", "a@x.example", "on", "--for", "30m"},
         "{\"command\":\"guarantee\",\"locked\":true,\"address\":\"a@x.example\",\"level\":\"on\","
         "\"for\":\"30m\"}\n"},
        {{"guarantee", "a@x.example", "dry-run", "verified"},
         "{\"command\":\"guarantee\",\"address\":\"a@x.example\",\"level\":\"dry-run\",\"trial\":"
         "\"verified\"}\n"},
        {{"user", "set", "a@x.example", "--receipts"},
         "{\"command\":\"user set\",\"address\":\"a@x.example\",\"receipts\":true}\n"},
        {{"user", "set", "a@x.example", "--no-receipts"},
         "{\"command\":\"user set\",\"address\":\"a@x.example\",\"no_receipts\":true}\n"},
        {{"check", "y.example", "--level", "verified"},
         "{\"command\":\"check\",\"domain\":\"y.example\",\"level\":\"verified\"}\n"},
        {{"exception", "add", "a@x.example", ".y.example", "--until=30d"},
         "{\"command\":\"exception add\",\"user\":\"a@x.example\",\"domain\":\".y.example\","
         "\"until\":\"30d\"}\n"},
        {{"report", "dry-run"}, "{\"command\":\"report dry-run\"}\n"},
        {{"posture", "y.example"}, "{\"command\":\"posture\",\"domain\":\"y.example\"}\n"},
        {{"sts", "purge", "y.example"}, "{\"command\":\"sts purge\",\"domain\":\"y.example\"}\n"},
        {{"forward", "list"}, "{\"command\":\"forward list\"}\n"},
        {{"queue", "retry", "B1"}, "{\"command\":\"queue retry\",\"id\":\"B1\"}\n"},
        {{"held", "list", "--user", "a@x.example"},
         "{\"command\":\"held list\",\"user\":\"a@x.example\"}\n"},
        {{"release", "B1", "--force"},
         "{\"command\":\"release\",\"id\":\"B1\",\"mode\":\"force\"}\n"},
        {{"release", "--recheck", "B1", "a@x.example", "--", "--odd@x.example"},
         "{\"command\":\"release\",\"mode\":\"recheck\",\"id\":\"B1\",\"recipients\":["
         "\"a@x.example\",\"--odd@x.example\"]}\n"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(read_words(cases[i].words), 0);
        assert_string_equal(request(), cases[i].want);
    }
}

static void json_is_understood_at_the_end_too(void **state)
{
    (void)state;
    assert_int_equal(read_words((const char *const[]){"queue", "list", "--json", NULL}), 0);
    assert_true(arguments.wants_json);
    assert_int_equal(read_words((const char *const[]){"queue", "list", NULL}), 0);
    assert_false(arguments.wants_json);
    assert_int_equal(read_words((const char *const[]){"release", "B1", "--", "--json", NULL}), 0);
    assert_false(arguments.wants_json);
}

static void wrong_usage_is_refused(void **state)
{
    static const char *const cases[][WORDS_MAX] = {
        {NULL},
        {"no-such-command"},
        {"user"},
        {"user", "frobnicate"},
        {"chuck", "x.example"},
        {"user", "show"},
        {"user", "show", "a@x.example", "b@x.example"},
        {"user", "alias", "a@x.example"},
        {"user", "list", "--all"},
        {"user", "add", "a@x.example", "--password-stdin=secret"},
        {"user", "set", "a@x.example", "--language"},
        {"guarantee", "a@x.example"},
        {"guarantee", "a@x.example", "on", "--for"},
        {"guarantee", "a@x.example", "on", "--locked=yes"},
        {"queue", "show"},
        {"release"},
        {"release", "B1", "--force", "--recheck"},
        {"release", "B1", "-f"},
        {"user", "show", "\xff@x.example"},
        {"release", "B1", "\xff@x.example"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(read_words(cases[i]), 2);
}

static int read_password(const char *input, size_t len)
{
    give_input(input, len);
    return read_words(
        (const char *const[]){"user", "add", "a@x.example", "--password-stdin", NULL});
}

static void a_password_comes_from_standard_input_without_its_newline(void **state)
{
    static const char *const inputs[] = {"pass word\n", "pass word\r\n", "pass word"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(inputs); i++) {
        assert_int_equal(read_password(inputs[i], strlen(inputs[i])), 0);
        assert_string_equal(request(), "{\"command\":\"user add\",\"address\":\"a@x.example\","
                                       "\"password\":\"pass word\"}\n");
    }
}

static void a_password_that_is_none_is_refused(void **state)
{
    static char long_one[2000];
    (void)state;
    memset(long_one, 'x', sizeof long_one);
    assert_int_equal(read_password("", 0), 1);
    assert_int_equal(read_password("\n", 1), 1);
    assert_int_equal(read_password("\r\n", 2), 1);
    assert_int_equal(read_password("p\xffq\n", 4), 1);
    assert_int_equal(read_password(long_one, sizeof long_one), 1);
}

static void every_command_has_words_of_help_on_eighty_columns(void **state)
{
    (void)state;
    for (size_t i = 0; i < usage_count; i++) {
        const struct usage *u = &usages[i];
        assert_true(strlen(u->help) > 10);
        for (const char *at = u->help; *at; at += strcspn(at, "\n") + (at[strcspn(at, "\n")] != 0))
            assert_in_range(strcspn(at, "\n"), 1, 74);
        /* Of the first line, as it is said of wrong usage. */
        size_t margin = strlen("usage: sealpostctl ") + strlen(u->command) + 1;
        for (const char *at = u->synopsis; *at; margin = 0) {
            size_t len = strcspn(at, "\n");
            assert_in_range(margin + len, 1, 80);
            at += len + (at[len] == '\n');
        }
        for (size_t k = 0; k < USAGE_OPTIONS && u->options[k].name; k++)
            assert_non_null(strstr(u->synopsis, u->options[k].name));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_line_becomes_a_request),
        cmocka_unit_test(json_is_understood_at_the_end_too),
        cmocka_unit_test(wrong_usage_is_refused),
        cmocka_unit_test(a_password_comes_from_standard_input_without_its_newline),
        cmocka_unit_test(a_password_that_is_none_is_refused),
        cmocka_unit_test(every_command_has_words_of_help_on_eighty_columns),
    };
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    arguments_free(&arguments);
    return failed;
}
