#include "gateway/sts/policy.h"

#include <stdlib.h>
#include <string.h>

#include "mail/utf8.h"

#define NAME_LEN_MAX 32 /* of a field: 1 and 31 more */
#define LABEL_MAX 63

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct slice trim_left(struct slice s)
{
    while (s.len > 0 && is_blank(s.data[0]))
        s = slice_sub(s, 1, s.len);
    return s;
}

static struct slice trim_right(struct slice s)
{
    while (s.len > 0 && is_blank(s.data[s.len - 1]))
        s.len--;
    return s;
}

/* sts-ext-name, sts-policy-ext-name. The names that have a meaning are of the same form. */
static bool is_field_name(struct slice name)
{
    if (name.len == 0 || name.len > NAME_LEN_MAX || !is_letter_or_digit(name.data[0]))
        return false;
    for (size_t i = 1; i < name.len; i++) {
        char c = name.data[i];
        if (!is_letter_or_digit(c) && c != '_' && c != '-' && c != '.')
            return false;
    }
    return true;
}

/* --- the policy (section 3.2) --- */

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static bool is_label(struct slice label)
{
    if (label.len == 0 || label.len > LABEL_MAX || label.data[0] == '-' ||
        label.data[label.len - 1] == '-')
        return false;
    for (size_t i = 0; i < label.len; i++) {
        if (!is_letter_or_digit(label.data[i]) && label.data[i] != '-')
            return false;
    }
    return true;
}

/* Domain of RFC 5321 section 4.1.2: letters, digits and inner hyphens in each label. */
static bool is_domain(struct slice s)
{
    struct slice label;
    if (s.len == 0 || s.len > DOMAIN_MAX || s.data[s.len - 1] == '.')
        return false;
    while (slice_cut(&s, '.', &label)) {
        if (!is_label(label))
            return false;
    }
    return true;
}

static bool add_mx(struct sts_policy *policy, struct slice value, const char **why)
{
    struct slice domain =
        slice_starts_nocase(value, SLICE("*.")) ? slice_sub(value, 2, value.len) : value;
    *why = "an mx field that names no host";
    if (!is_domain(domain) || value.len > DOMAIN_MAX)
        return false;
    *why = "too many mx fields";
    if (policy->mx_count == STS_MX_MAX)
        return false;
    /* Grows by doubling: at 1, 2, 4, ... */
    if ((policy->mx_count & (policy->mx_count - 1)) == 0) {
        size_t room = policy->mx_count > 0 ? 2 * policy->mx_count : 1;
        policy->mx = xrealloc(policy->mx, room * sizeof *policy->mx);
    }
    char *out = policy->mx[policy->mx_count++];
    for (size_t i = 0; i < value.len; i++)
        out[i] = lower(value.data[i]);
    out[value.len] = '\0';
    return true;
}

static bool read_mode(struct slice value, enum sts_mode *mode)
{
    static const enum sts_mode modes[] = {STS_MODE_NONE, STS_MODE_TESTING, STS_MODE_ENFORCE};
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        if (slice_equal(value, slice_of(sts_mode_name(modes[i])))) {
            *mode = modes[i];
            return true;
        }
    }
    return false;
}

static bool read_max_age(struct slice value, int64_t *max_age)
{
    uint64_t seconds;
    if (value.len > 10 || !slice_number(value, 9999999999, &seconds))
        return false;
    /* A year is the most that a policy may ask for. To refuse a greater number would leave the
     * domain without the protection that it asks for. */
    *max_age = seconds < STS_MAX_AGE_MAX ? (int64_t)seconds : STS_MAX_AGE_MAX;
    return true;
}

/* sts-policy-ext-value: no controls, UTF-8, and something. */
static bool is_value(struct slice value)
{
    if (value.len == 0)
        return false;
    while (value.len > 0) {
        uint32_t code_point;
        size_t len = utf8_decode(value, &code_point);
        if (len == 0 || code_point < 0x20 || code_point == 0x7f)
            return false;
        value = slice_sub(value, len, value.len);
    }
    return true;
}

/* What has been met so far. */
struct reading {
    struct sts_policy *policy;
    bool has_version, has_mode, has_max_age;
    const char *why;
};

/* Of a field other than mx the first counts, whatever follows (section 3.2). */
static bool take_field(struct reading *r, struct slice name, struct slice value)
{
    if (slice_equal(name, SLICE("mx")))
        return add_mx(r->policy, value, &r->why);
    if (slice_equal(name, SLICE("version")) && !r->has_version) {
        r->has_version = true;
        r->why = "a version that is not STSv1";
        return slice_equal(value, SLICE("STSv1"));
    }
    if (slice_equal(name, SLICE("mode")) && !r->has_mode) {
        r->has_mode = true;
        r->why = "an unknown mode";
        return read_mode(value, &r->policy->mode);
    }
    if (slice_equal(name, SLICE("max_age")) && !r->has_max_age) {
        r->has_max_age = true;
        r->why = "a max_age that is no number";
        return read_max_age(value, &r->policy->max_age);
    }
    return true;
}

static bool read_line(struct reading *r, struct slice line)
{
    struct slice name;
    struct slice value = trim_right(line);
    r->why = "a line that is no field";
    if (slice_find(value, ':') < 0 || !slice_cut(&value, ':', &name) || !is_field_name(name))
        return false;
    value = trim_left(value);
    return is_value(value) && take_field(r, name, value);
}

static struct slice trim_empty_lines(struct slice text)
{
    while (text.len > 0 && (is_blank(text.data[text.len - 1]) || text.data[text.len - 1] == '\n' ||
                            text.data[text.len - 1] == '\r'))
        text.len--;
    return text;
}

static bool read_lines(struct reading *r, struct slice text)
{
    struct slice line;
    while (slice_cut(&text, '\n', &line)) {
        if (line.len > 0 && line.data[line.len - 1] == '\r')
            line.len--;
        if (!read_line(r, line))
            return false;
    }
    return true;
}

static bool is_whole(struct reading *r)
{
    if (!r->has_version)
        r->why = "no version";
    else if (!r->has_mode)
        r->why = "no mode";
    else if (!r->has_max_age)
        r->why = "no max_age";
    else if (r->policy->mx_count == 0 && r->policy->mode != STS_MODE_NONE)
        r->why = "no mx";
    else
        return true;
    return false;
}

bool sts_policy_parse(struct slice text, struct sts_policy *out, const char **why)
{
    struct reading r = {.policy = out, .why = "larger than 64 KiB"};
    *out = (struct sts_policy){0};
    bool is_good =
        text.len <= STS_TEXT_MAX && read_lines(&r, trim_empty_lines(text)) && is_whole(&r);
    *why = is_good ? "" : r.why;
    if (!is_good) {
        sts_policy_clear(out);
        return false;
    }
    out->text = xalloc(text.len + 1);
    memcpy(out->text, text.data, text.len);
    return true;
}

void sts_policy_copy(struct sts_policy *to, const struct sts_policy *from)
{
    *to = *from;
    to->text = xstrdup(from->text);
    to->mx = xalloc((from->mx_count + 1) * sizeof *to->mx);
    if (from->mx_count > 0)
        memcpy(to->mx, from->mx, from->mx_count * sizeof *to->mx);
}

void sts_policy_clear(struct sts_policy *policy)
{
    free(policy->mx);
    free(policy->text);
    *policy = (struct sts_policy){0};
}

const char *sts_mode_name(enum sts_mode mode)
{
    switch (mode) {
    case STS_MODE_NONE:
        return "none";
    case STS_MODE_TESTING:
        return "testing";
    case STS_MODE_ENFORCE:
        return "enforce";
    }
    return "?";
}

bool sts_policy_covers(const struct sts_policy *policy, const char *host)
{
    struct slice name = slice_of(host);
    if (name.len > 0 && name.data[name.len - 1] == '.')
        name.len--;
    ptrdiff_t dot = slice_find(name, '.');
    struct slice behind_label = dot > 0 ? slice_sub(name, (size_t)dot, name.len) : SLICE("");
    for (size_t i = 0; i < policy->mx_count; i++) {
        const char *mx = policy->mx[i];
        if (mx[0] == '*' ? slice_equal_nocase(behind_label, slice_of(mx + 1))
                         : slice_equal_nocase(name, slice_of(mx)))
            return true;
    }
    return false;
}

/* --- the TXT record (section 3.1) --- */

/* "v=STSv1" and the semicolon behind it; the fields remain in *in. */
static bool take_version(struct slice *in)
{
    struct slice version = SLICE("v=STSv1");
    if (!slice_equal(slice_sub(*in, 0, version.len), version))
        return false;
    struct slice rest = trim_left(slice_sub(*in, version.len, in->len));
    if (rest.len == 0 || rest.data[0] != ';')
        return false;
    *in = slice_sub(rest, 1, rest.len);
    return true;
}

static bool is_id(struct slice value)
{
    for (size_t i = 0; i < value.len; i++) {
        if (!is_letter_or_digit(value.data[i]))
            return false;
    }
    return value.len > 0 && value.len < STS_ID_SIZE;
}

static bool is_extension_value(struct slice value)
{
    for (size_t i = 0; i < value.len; i++) {
        char c = value.data[i];
        if (c < 0x21 || c > 0x7e || c == '=' || c == ';')
            return false;
    }
    return value.len > 0;
}

static bool take_txt_field(struct slice field, char id[STS_ID_SIZE])
{
    struct slice name;
    if (slice_find(field, '=') < 0 || !slice_cut(&field, '=', &name) || !is_field_name(name))
        return false;
    if (!slice_equal(name, SLICE("id")))
        return is_extension_value(field);
    return is_id(field) && (id[0] || slice_copy(field, id, STS_ID_SIZE));
}

/* One semicolon may end the record, and blanks may stand behind it; not without it, and no second
 * one. */
static bool take_end(struct slice *in)
{
    struct slice bare = trim_right(*in);
    if (bare.len == 0 || bare.data[bare.len - 1] != ';')
        return bare.len == in->len;
    *in = trim_right(slice_sub(bare, 0, bare.len - 1));
    return in->len == 0 || in->data[in->len - 1] != ';';
}

static bool parse_txt(struct slice in, char id[STS_ID_SIZE])
{
    struct slice field;
    if (!take_version(&in) || !take_end(&in))
        return false;
    while (slice_cut(&in, ';', &field)) {
        if (!take_txt_field(trim_left(trim_right(field)), id))
            return false;
    }
    return id[0] != '\0';
}

enum sts_txt sts_txt_read(const struct slice *texts, size_t count, char id[STS_ID_SIZE],
                          const char **why)
{
    const struct slice *found = NULL;
    size_t found_count = 0;
    id[0] = '\0';
    *why = "";
    for (size_t i = 0; i < count; i++) {
        struct slice rest = texts[i];
        if (take_version(&rest)) {
            found = &texts[i];
            found_count++;
        }
    }
    if (found_count == 0)
        return STS_TXT_NONE;
    if (found_count == 1 && parse_txt(*found, id))
        return STS_TXT_VALID;
    id[0] = '\0';
    *why = found_count > 1 ? "more than one MTA-STS TXT record" : "malformed MTA-STS TXT record";
    return STS_TXT_INVALID;
}
