#include "gateway/control/usage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mail/slice.h"

/* The man page and the completion say what the program understands. */

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char *text = xalloc(1 << 16);
    size_t len = fread(text, 1, (1 << 16) - 1, file);
    assert_in_range(len, 1000, (1 << 16) - 2);
    fclose(file);
    return text;
}

/* Takes roff's escapes and quotes out. */
static void strip(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++) {
        if (strncmp(from, "\\f", 2) == 0)
            from += 2;
        else if (*from != '\\' && *from != '"')
            *to++ = *from;
    }
    *to = '\0';
}

static void the_man_page_knows_every_command_and_option(void **state)
{
    (void)state;
    char *page = read_file(SEALPOST_SOURCE "/etc/man/sealpostctl.8");
    strip(page);
    for (size_t i = 0; i < usage_count; i++) {
        char entry[80];
        snprintf(entry, sizeof entry, " %s", usages[i].command);
        const char *at = strstr(page, entry);
        if (!at)
            fail_msg("the man page lacks %s", usages[i].command);
        for (size_t k = 0; k < USAGE_OPTIONS && usages[i].options[k].name; k++) {
            if (!strstr(at, usages[i].options[k].name))
                fail_msg("the man page lacks %s of %s", usages[i].options[k].name,
                         usages[i].command);
        }
    }
    free(page);
}

static void the_completion_knows_every_word_and_option(void **state)
{
    (void)state;
    char *script = read_file(SEALPOST_SOURCE "/etc/completion/sealpostctl.bash");
    for (size_t i = 0; i < usage_count; i++) {
        char line[200];
        char words[40];
        snprintf(words, sizeof words, "%s", usages[i].command);
        char *verb = strchr(words, ' ');
        if (verb)
            *verb++ = '\0';
        const char *group = strstr(script, "echo \"user guarantee");
        assert_true(group && slice_copy(slice_sub(slice_of(group), 0, strcspn(group, "\n")), line,
                                        sizeof line));
        assert_non_null(strstr(line, words));
        snprintf(line, sizeof line, "        %s) echo \"", words);
        const char *verbs = strstr(script, line);
        if (verb) {
            assert_non_null(verbs);
            assert_true(strstr(verbs, verb) && strstr(verbs, verb) < strchr(verbs, '\n'));
        }
        for (size_t k = 0; k < USAGE_OPTIONS && usages[i].options[k].name; k++)
            assert_non_null(strstr(script, usages[i].options[k].name));
    }
    free(script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_man_page_knows_every_command_and_option),
        cmocka_unit_test(the_completion_knows_every_word_and_option),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
