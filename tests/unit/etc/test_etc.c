/* What etc/ says about the configuration is what the table of keys says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/schema.h"
#include "mail/buffer.h"

static struct buffer sample, page;

static void read_whole(const char *path, struct buffer *out)
{
    char piece[4096];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    buffer_init(out, 1 << 20);
    for (size_t n; (n = fread(piece, 1, sizeof piece, file)) > 0;)
        assert_true(buffer_append(out, (struct slice){piece, n}));
    fclose(file);
}

static int read_files(void **state)
{
    (void)state;
    read_whole(ETC "/sealpost.conf", &sample);
    read_whole(ETC "/man/sealpost.conf.5", &page);
    return 0;
}

static int free_files(void **state)
{
    (void)state;
    buffer_free(&sample);
    buffer_free(&page);
    return 0;
}

/* Without leading blanks and "#". */
static struct slice bare(struct slice line)
{
    while (line.len > 0 && strchr(" #", line.data[0]))
        line = slice_sub(line, 1, line.len);
    return line;
}

/* The name of the section that the line opens. */
static bool opens_section(struct slice line, char *name, size_t size)
{
    size_t len = 0;
    if (line.len == 0 || line.data[line.len - 1] != '{' || slice_find(line, '=') >= 0)
        return false;
    while (len < line.len && line.data[len] != ' ')
        len++;
    snprintf(name, size, "%.*s", (int)len, line.data);
    return true;
}

/* As presets are compared: without quotes, braces, blanks and roff's escapes. */
static void strip(struct slice in, char *out, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < in.len && used + 1 < size; i++) {
        bool is_escape = in.data[i] == '\\' && i + 1 < in.len && in.data[i + 1] == '&';
        i += is_escape;
        if (!is_escape && !strchr("\"{} ", in.data[i]))
            out[used++] = in.data[i];
    }
    out[used] = '\0';
}

static bool is_preset(const struct schema_key *key, struct slice value)
{
    char got[600];
    char want[600];
    strip(value, got, sizeof got);
    strip(slice_of(key->preset), want, sizeof want);
    return strcmp(got, want) == 0;
}

/* A line "key = value" of this key; *value is what stands behind the sign. */
static bool sets(struct slice line, const struct schema_key *key, struct slice *value)
{
    ptrdiff_t sign = slice_find(line, '=');
    if (sign < 0 || !slice_equal(slice_trim(slice_sub(line, 0, (size_t)sign)), slice_of(key->key)))
        return false;
    *value = slice_trim(slice_sub(line, (size_t)sign + 1, line.len));
    return true;
}

/* Is the key shown in its section, its help in the line above, with its preset where it is not set?
 */
static bool is_in_sample(const struct schema_key *key)
{
    struct slice left = buffer_slice(&sample);
    struct slice line, value;
    struct slice above = {0};
    char section[32] = "";
    while (slice_cut(&left, '\n', &line)) {
        struct slice words = bare(line);
        bool is_set = words.data == line.data || slice_trim(line).data == words.data;
        if (slice_equal(words, SLICE("}")))
            section[0] = '\0';
        else if (!opens_section(words, section, sizeof section) &&
                 strcmp(section, key->section) == 0 && sets(words, key, &value) &&
                 slice_equal(above, slice_of(key->help)) &&
                 (is_set || !key->preset || is_preset(key, value)))
            return true;
        above = words;
    }
    return false;
}

static void the_sample_shows_every_key_with_its_help_and_preset(void **state)
{
    (void)state;
    for (size_t i = 0; i < schema_key_count; i++)
        if (!is_in_sample(&schema_keys[i]))
            fail_msg("%s: %s is missing, or its help or preset differ", schema_keys[i].section,
                     schema_keys[i].key);
}

static void the_sample_shows_no_key_that_is_unknown(void **state)
{
    (void)state;
    struct slice left = buffer_slice(&sample);
    struct slice line;
    char section[32] = "";
    char key[64];
    while (slice_cut(&left, '\n', &line)) {
        struct slice words = bare(line);
        ptrdiff_t sign = slice_find(words, '=');
        if (slice_equal(words, SLICE("}")))
            section[0] = '\0';
        if (opens_section(words, section, sizeof section) || sign < 0)
            continue;
        struct slice name = slice_trim(slice_sub(words, 0, (size_t)sign));
        if (slice_find(name, ' ') >= 0)
            continue; /* a sentence */
        snprintf(key, sizeof key, "%.*s", SLICE_ARG(name));
        if (!schema_find(section, key))
            fail_msg("%s: %s is no key", section, key);
    }
}

/* "Ss listen Ar title ..." and "It Ic port Bq ..." */
static bool begins_with(struct slice line, const char *words, struct slice *rest)
{
    size_t len = strlen(words);
    if (line.len < len || memcmp(line.data, words, len) != 0)
        return false;
    *rest = slice_sub(line, len, line.len);
    return true;
}

static bool is_on_page(const struct schema_key *key)
{
    struct slice left = buffer_slice(&page);
    struct slice line, rest, word, preset;
    bool is_here = false;
    while (slice_cut(&left, '\n', &line)) {
        if (begins_with(line, ".Ss ", &rest))
            is_here = slice_cut(&rest, ' ', &word) &&
                      slice_equal(word, slice_of(key->section[0] ? key->section : "Top"));
        if (!is_here || !begins_with(line, ".It Ic ", &rest) || !slice_cut(&rest, ' ', &word) ||
            !slice_equal(word, slice_of(key->key)))
            continue;
        return key->preset ? begins_with(rest, "Bq ", &preset) && is_preset(key, preset)
                           : rest.len == 0;
    }
    return false;
}

static void the_manual_has_every_key_with_its_preset(void **state)
{
    (void)state;
    for (size_t i = 0; i < schema_key_count; i++)
        if (!is_on_page(&schema_keys[i]))
            fail_msg("%s: %s is missing, or its preset differs", schema_keys[i].section,
                     schema_keys[i].key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sample_shows_every_key_with_its_help_and_preset),
        cmocka_unit_test(the_sample_shows_no_key_that_is_unknown),
        cmocka_unit_test(the_manual_has_every_key_with_its_preset),
    };
    return cmocka_run_group_tests(tests, read_files, free_files);
}
