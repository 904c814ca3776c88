#include "mail/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void only_well_formed_characters_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        size_t octets;
        uint32_t code_point;
    } cases[] = {
        {"a", 1, 'a'},
        {"\xC3\xBC", 2, 0xFC},
        {"\xE2\x82\xAC", 3, 0x20AC},
        {"\xF0\x9F\x98\x80", 4, 0x1F600},
        {"\xF4\x8F\xBF\xBF", 4, 0x10FFFF},
        {"\xF4\x90\x80\x80", 0, 0}, /* above U+10FFFF */
        {"\xF5\x80\x80\x80", 0, 0},
        {"\xC0\x80", 0, 0}, /* overlong forms */
        {"\xC1\xBF", 0, 0},
        {"\xE0\x9F\xBF", 0, 0},
        {"\xF0\x8F\xBF\xBF", 0, 0},
        {"\xED\xA0\x80", 0, 0}, /* a surrogate */
        {"\x80", 0, 0},
        {"\xBF", 0, 0},
        {"\xC3", 0, 0},
        {"\xE2\x82", 0, 0},
        {"\xC3\xC3", 0, 0},
        {"\xE2\x28\xA1", 0, 0},
        {"\xFF", 0, 0},
        {"", 0, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint32_t c = 0;
        size_t octets = utf8_decode(slice_of(cases[i].in), &c);
        if (octets != cases[i].octets || c != cases[i].code_point)
            fail_msg("case %zu gave %zu, U+%X", i, octets, c);
    }
}

static void what_moves_the_reader_is_not_printable(void **state)
{
    (void)state;
    static const uint32_t bad[] = {0,      '\n',   0x1B,   0x7F,   0x85,   0xAD,
                                   0x200B, 0x2028, 0x202E, 0x2066, 0xFEFF, 0xFFFE};
    static const uint32_t good[] = {' ', 'a', '~', 0xA0, 0xFC, 0x20AC, 0x4E2D, 0x1F600};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(utf8_is_printable(bad[i]));
    for (size_t i = 0; i < COUNT_OF(good); i++)
        assert_true(utf8_is_printable(good[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_well_formed_characters_are_read),
        cmocka_unit_test(what_moves_the_reader_is_not_printable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
