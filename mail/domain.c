#include "mail/domain.h"

#include <string.h>

#include <idn2.h>

#include "mail/utf8.h"

/* RFC 1035 allows 255 octets on the wire, which is 253 characters of text. */
#define NAME_MAX_TEXT 253
#define LABEL_MAX 63

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter_digit(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z');
}

static bool label_is_good(struct slice label)
{
    if (label.len == 0 || label.len > LABEL_MAX || label.data[0] == '-' ||
        label.data[label.len - 1] == '-')
        return false;
    for (size_t i = 0; i < label.len; i++)
        if (!is_letter_digit(label.data[i]) && label.data[i] != '-' && label.data[i] != '_')
            return false;
    return true;
}

static bool is_number(struct slice label)
{
    for (size_t i = 0; i < label.len; i++)
        if (!is_digit(label.data[i]))
            return false;
    return true;
}

/* Lower-case ASCII already. A last label of digits alone is an address written without brackets,
 * never a name (RFC 3696 section 2). */
static bool name_is_good(struct slice name)
{
    struct slice label = {NULL, 0};
    if (name.len == 0 || name.len > NAME_MAX_TEXT || name.data[name.len - 1] == '.')
        return false;
    while (slice_cut(&name, '.', &label))
        if (!label_is_good(label))
            return false;
    return !is_number(label);
}

static bool is_ascii(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((uint8_t)s.data[i] > 127)
            return false;
    return true;
}

/* What comes out is checked again by the caller: mapping may bring forth '/', ' ' and the like. */
static bool to_a_labels(struct slice in, char out[DOMAIN_SIZE])
{
    /* A UTF-8 name of 253 A-label characters has at most four octets for each. */
    char text[NAME_MAX_TEXT * 4 + 1];
    char *ascii = NULL;
    if (!slice_copy(in, text, sizeof text))
        return false;
    if (idn2_to_ascii_8z(text, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
        return false;
    bool fits = slice_copy(slice_of(ascii), out, DOMAIN_SIZE);
    idn2_free(ascii);
    return fits;
}

bool domain_to_ascii(struct slice in, char out[DOMAIN_SIZE])
{
    out[0] = '\0';
    if (!(is_ascii(in) ? slice_copy(in, out, DOMAIN_SIZE) : to_a_labels(in, out)))
        return false;
    size_t len = strlen(out);
    for (size_t i = 0; i < len; i++)
        if (out[i] >= 'A' && out[i] <= 'Z')
            out[i] = (char)(out[i] + 32);
    if (len > 1 && out[len - 1] == '.')
        out[--len] = '\0';
    if (name_is_good((struct slice){out, len}))
        return true;
    out[0] = '\0';
    return false;
}

enum script { SCRIPT_COMMON, SCRIPT_LATIN, SCRIPT_OTHER, SCRIPT_LOOKALIKE };

/* Cyrillic, Greek and the like hold letters that look Latin; those names are shown as A-labels. */
static enum script script_of(uint32_t c)
{
    static const struct {
        uint32_t from, to;
        enum script script;
    } ranges[] = {
        {'a', 'z', SCRIPT_LATIN},       {'0', '9', SCRIPT_COMMON},
        {'-', '-', SCRIPT_COMMON},      {'_', '_', SCRIPT_COMMON},
        {0xDF, 0xF6, SCRIPT_LATIN},     {0xF8, 0x130, SCRIPT_LATIN},
        {0x132, 0x137, SCRIPT_LATIN},   {0x139, 0x17E, SCRIPT_LATIN},
        {0x5D0, 0x5EA, SCRIPT_OTHER},   {0x620, 0x6FF, SCRIPT_OTHER},
        {0x900, 0xE7F, SCRIPT_OTHER},   {0x3041, 0x30FF, SCRIPT_OTHER},
        {0x3400, 0x4DBF, SCRIPT_OTHER}, {0x4E00, 0x9FFF, SCRIPT_OTHER},
        {0xAC00, 0xD7A3, SCRIPT_OTHER},
    };
    for (size_t i = 0; i < COUNT_OF(ranges); i++)
        if (c >= ranges[i].from && c <= ranges[i].to)
            return ranges[i].script;
    return SCRIPT_LOOKALIKE;
}

static bool label_is_safe(struct slice label)
{
    bool has[SCRIPT_LOOKALIKE + 1] = {false};
    while (label.len > 0) {
        uint32_t c = 0;
        size_t octets = utf8_decode(label, &c);
        if (octets == 0)
            return false;
        has[script_of(c)] = true;
        label = slice_sub(label, octets, label.len);
    }
    return !has[SCRIPT_LOOKALIKE] && !(has[SCRIPT_LATIN] && has[SCRIPT_OTHER]);
}

/* Safe: no label mixes scripts or uses one full of Latin look-alikes, and the way back gives the
 * same name. */
static bool is_safe(const char *unicode, const char *ascii)
{
    char back[DOMAIN_SIZE];
    struct slice rest = slice_of(unicode), label;
    while (slice_cut(&rest, '.', &label))
        if (!label_is_safe(label))
            return false;
    return domain_to_ascii(slice_of(unicode), back) && strcmp(back, ascii) == 0;
}

void domain_to_unicode(const char *ascii, char *out, size_t size)
{
    char *unicode = NULL;
    bool is_done = strstr(ascii, "xn--") != NULL &&
                   idn2_to_unicode_8z8z(ascii, &unicode, IDN2_NONTRANSITIONAL) == IDN2_OK &&
                   is_safe(unicode, ascii) && slice_copy(slice_of(unicode), out, size);
    idn2_free(unicode);
    if (!is_done && !slice_copy(slice_of(ascii), out, size) && size > 0)
        out[0] = '\0';
}

bool domain_matches(const char *pattern, const char *domain)
{
    struct slice p = slice_of(pattern), d = slice_of(domain);
    if (p.len == 0 || d.len == 0)
        return false;
    if (p.data[0] == '.')
        return d.len > p.len && slice_ends_nocase(d, p);
    return slice_equal_nocase(p, d);
}
