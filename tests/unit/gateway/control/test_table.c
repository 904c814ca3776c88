#include "gateway/control/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static char *printed;
static size_t printed_len;

static FILE *begin(void)
{
    free(printed);
    printed = NULL;
    return open_memstream(&printed, &printed_len);
}

static const char *wrapped(unsigned first, unsigned indent, const char *text)
{
    FILE *out = begin();
    table_wrap(out, first, indent, text);
    fclose(out);
    return printed;
}

static int teardown(void **state)
{
    (void)state;
    free(printed);
    printed = NULL;
    return 0;
}

static void columns_are_as_wide_as_they_need_to_be(void **state)
{
    static const char *const headings[] = {"ADDRESS", "GUARANTEE", "ALIASES"};
    struct table t;
    (void)state;
    table_init(&t, headings, 3);
    table_add(&t, (const char *const[]){"alice@example.org", "encrypt", ""});
    table_add(&t, (const char *const[]){"b@example.org", "", "b\xc3\xb6@example.org"});
    FILE *out = begin();
    table_print(&t, out);
    fclose(out);
    table_free(&t);
    assert_string_equal(printed, "ADDRESS            GUARANTEE  ALIASES\n"
                                 "alice@example.org  encrypt\n"
                                 "b@example.org                 b\xc3\xb6@example.org\n");
}

static void the_widest_column_gives_way_and_its_cells_go_on_below(void **state)
{
    static const char *const headings[] = {"ADDRESS", "UNTIL", "ALIASES"};
    struct table t;
    (void)state;
    table_init(&t, headings, 3);
    table_add(&t, (const char *const[]){
                      "a.rather.long.name.of.somebody@department.example.org", "2026-11-22",
                      "one@example.org, two@example.org, three@example.org, four@example.org"});
    FILE *out = begin();
    table_print(&t, out);
    fclose(out);
    table_free(&t);
    assert_string_equal(
        printed,
        "ADDRESS                            UNTIL       ALIASES\n"
        "a.rather.long.name.of.somebody@de  2026-11-22  one@example.org, two@example.org,\n"
        "partment.example.org                           three@example.org,\n"
        "                                               four@example.org\n");
}

static void no_line_is_wider_than_eighty(void **state)
{
    static const char *const headings[] = {"A", "B", "C", "D"};
    char cell[400];
    struct table t;
    (void)state;
    memset(cell, 'x', sizeof cell - 1);
    cell[sizeof cell - 1] = '\0';
    table_init(&t, headings, 4);
    table_add(&t, (const char *const[]){cell, cell, cell, cell});
    FILE *out = begin();
    table_print(&t, out);
    fclose(out);
    table_free(&t);
    size_t crosses = 0;
    for (const char *at = printed; *at; at += strcspn(at, "\n") + 1) {
        assert_in_range(strcspn(at, "\n"), 1, TABLE_WIDTH);
    }
    for (const char *at = printed; *at; at++)
        crosses += *at == 'x';
    assert_int_equal(crosses, 4 * (sizeof cell - 1));
}

static void text_is_broken_at_spaces_and_goes_on_indented(void **state)
{
    (void)state;
    assert_string_equal(wrapped(4, 8, "short"), "    short\n");
    assert_string_equal(
        wrapped(
            4, 8,
            "TLS is required, but was not offered by host mx.plain.example[192.0.2.9] and there "
            "is more to say of it"),
        "    TLS is required, but was not offered by host mx.plain.example[192.0.2.9] and\n"
        "        there is more to say of it\n");
    assert_string_equal(wrapped(0, 2, ""), "\n");
    assert_string_equal(wrapped(0, 2, "one\ntwo"), "one\n  two\n");
}

static void a_word_too_long_for_a_line_is_cut(void **state)
{
    char text[100];
    (void)state;
    memset(text, 'y', 90);
    text[90] = '\0';
    const char *got = wrapped(0, 4, text);
    assert_int_equal(strcspn(got, "\n"), 80);
    assert_string_equal(got + 81, "    yyyyyyyyyy\n");
}

static void nothing_printed_moves_the_cursor(void **state)
{
    (void)state;
    assert_string_equal(wrapped(0, 0,
                                "a\x1b[2Jb\rc\xff"
                                "d\xe2\x80\xae"
                                "e"),
                        "a?[2Jb?c?d?e\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(columns_are_as_wide_as_they_need_to_be, teardown),
        cmocka_unit_test_teardown(the_widest_column_gives_way_and_its_cells_go_on_below, teardown),
        cmocka_unit_test_teardown(no_line_is_wider_than_eighty, teardown),
        cmocka_unit_test_teardown(text_is_broken_at_spaces_and_goes_on_indented, teardown),
        cmocka_unit_test_teardown(a_word_too_long_for_a_line_is_cut, teardown),
        cmocka_unit_test_teardown(nothing_printed_moves_the_cursor, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
