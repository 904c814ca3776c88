#include "gateway/config_text.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[] = "/tmp/sealpost-config-text-XXXXXX";

static void what_is_left_open_is_found_where_it_begins(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int want;
        const char *what;
    } cases[] = {
        {"", 0, NULL},
        {"a = 1\n", 0, NULL},
        {"a = \"x\"\nb = 'y'\n/* c\n */ # d\n// e", 0, NULL},
        {"# it's the rest of a line only", 0, NULL},
        {"// so is \" this\na = 1\n", 0, NULL},
        {"a = 1\n/* b\n\n", 2, "comment"},
        {"/*/", 1, "comment"},
        {"/**/\n/***/\n/*", 3, "comment"},
        {"a = 1\nb = \"c\nd\n", 2, "text"},
        {"\n\na = 'b", 3, "text"},
        {"a = \"b\\\"\n", 1, "text"},
        {"a = \"b\\\\\"\n", 0, NULL},
        {"a = \"it's\"\nb = '\"'\n", 0, NULL},
        {"a = \"/* no comment\"\nb = \"# nor this\"\n", 0, NULL},
        {"/* \"no text */ a = 1\n", 0, NULL},
        {"a = \"\\", 1, "text"},
        {"# a\nb = \"c", 2, "text"},
        {"/* a *//* b", 1, "comment"},
        {"a = \"it's", 1, "text"},
        {"a = \"b\\\nc\"\nd = \"e", 3, "text"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *what = "?";
        int got = config_text_open_line(cases[i].text, &what);
        if (got != cases[i].want)
            fail_msg("%s\n-> %d", cases[i].text, got);
        if (got != 0)
            assert_string_equal(what, cases[i].what);
    }
}

static void write_file(size_t count, const char *piece)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (size_t i = 0; i < count; i++)
        assert_true(fputs(piece, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void a_file_is_read_whole(void **state)
{
    (void)state;
    write_file(3000, "a = 1\n");
    char *text = config_text_read(path);
    assert_non_null(text);
    assert_int_equal(strlen(text), 18000);
    assert_memory_equal(text + 17994, "a = 1\n", 7);
    free(text);
    write_file(0, "");
    text = config_text_read(path);
    assert_string_equal(text, "");
    free(text);
}

static void what_cannot_be_read_says_why(void **state)
{
    char kilobyte[1025] = "";
    (void)state;
    memset(kilobyte, '#', sizeof kilobyte - 1);
    assert_null(config_text_read("/nowhere/sealpost.conf"));
    assert_int_equal(errno, ENOENT);
    assert_null(config_text_read("/"));
    assert_int_equal(errno, EISDIR);
    write_file((size_t)(16 << 10) + 1, kilobyte);
    assert_null(config_text_read(path));
    assert_int_equal(errno, EFBIG);
}

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd >= 0 ? close(fd) : -1;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_open_is_found_where_it_begins),
        cmocka_unit_test(a_file_is_read_whole),
        cmocka_unit_test(what_cannot_be_read_says_why),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
