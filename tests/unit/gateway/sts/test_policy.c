#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "gateway/sts/policy.h"

#define HEAD "version: STSv1\nmode: enforce\nmax_age: 600\n"
#define X32 "abcdefghijklmnopqrstuvwxyz012345"

/* A slice in a table. */
#define BYTES(literal)                                                                             \
    {                                                                                              \
        "" literal, sizeof(literal) - 1                                                            \
    }

/* A table entry without `why` is good. */
struct policy_case {
    const char *claim;
    struct slice text;
    const char *why;
    const char *want; /* "enforce 600 mx.example" */
};

static const struct policy_case policies[] = {
    {"the_example_of_the_rfc",
     BYTES("version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\n"
           "mx: backupmx.example.com\r\nmax_age: 604800\r\n"),
     NULL, "enforce 604800 mail.example.com *.example.net backupmx.example.com"},
    {"lf_ends_a_line_too", BYTES(HEAD "mx: a.example\n"), NULL, "enforce 600 a.example"},
    {"line_ends_may_be_mixed", BYTES(HEAD "mx: a.example\r\nmx: b.example\n"), NULL,
     "enforce 600 a.example b.example"},
    {"the_last_line_needs_no_end", BYTES(HEAD "mx: a.example"), NULL, "enforce 600 a.example"},
    {"empty_lines_at_the_end_are_none", BYTES(HEAD "mx: a.example\r\n\r\n \n"), NULL,
     "enforce 600 a.example"},
    {"no_blank_is_needed_behind_the_colon", BYTES("version:STSv1\nmode:testing\nmax_age:1\nmx:a\n"),
     NULL, "testing 1 a"},
    {"blanks_and_tabs_around_a_value_are_no_part_of_it",
     BYTES("version: \tSTSv1 \t\r\nmode:  none \nmax_age:\t5\t\n"), NULL, "none 5"},
    {"fields_may_come_in_any_order",
     BYTES("mx: a.example\nmax_age: 600\nmode: enforce\nversion: STSv1\n"), NULL,
     "enforce 600 a.example"},
    {"mode_none_needs_no_mx", BYTES("version: STSv1\nmode: none\nmax_age: 86400\n"), NULL,
     "none 86400"},
    {"unknown_fields_are_ignored",
     BYTES(HEAD "mx: a.example\nfuture_field.x-1: any: thing = \303\274 \360\237\224\222\n"), NULL,
     "enforce 600 a.example"},
    {"names_of_fields_have_a_case", BYTES(HEAD "mx: a.example\nMX: b.example\nMode: none\n"), NULL,
     "enforce 600 a.example"},
    {"of_repeated_fields_the_first_counts",
     BYTES(HEAD "mx: a.example\nmode: none\nmax_age: 1\nversion: STSv2\n"), NULL,
     "enforce 600 a.example"},
    {"a_repeated_field_is_ignored_whatever_it_says",
     BYTES(HEAD "mx: a.example\nmode: nonsense\nmax_age: x\n"), NULL, "enforce 600 a.example"},
    {"names_are_kept_in_lower_case", BYTES(HEAD "mx: MX.Example\nmx: *.EXAMPLE\n"), NULL,
     "enforce 600 mx.example *.example"},
    {"max_age_0_is_a_number", BYTES("version: STSv1\nmode: none\nmax_age: 0\n"), NULL, "none 0"},
    {"max_age_may_be_a_year", BYTES("version: STSv1\nmode: none\nmax_age: 31557600\n"), NULL,
     "none 31557600"},
    {"more_than_a_year_is_a_year", BYTES("version: STSv1\nmode: none\nmax_age: 9999999999\n"), NULL,
     "none 31557600"},
    {"a_name_of_a_field_has_up_to_32_characters", BYTES(HEAD "mx: a\n" X32 ": x\n"), NULL,
     "enforce 600 a"},

    {"nothing_is_no_policy", BYTES(""), "no version", NULL},
    {"blanks_alone_are_no_policy", BYTES("  \r\n"), "no version", NULL},
    {"without_version", BYTES("mode: enforce\nmax_age: 600\nmx: a\n"), "no version", NULL},
    {"without_mode", BYTES("version: STSv1\nmax_age: 600\nmx: a\n"), "no mode", NULL},
    {"without_max_age", BYTES("version: STSv1\nmode: enforce\nmx: a\n"), "no max_age", NULL},
    {"enforce_without_mx", BYTES(HEAD), "no mx", NULL},
    {"testing_without_mx", BYTES("version: STSv1\nmode: testing\nmax_age: 600\n"), "no mx", NULL},
    {"another_version", BYTES("version: STSv2\nmode: none\nmax_age: 600\n"),
     "a version that is not STSv1", NULL},
    {"a_version_in_another_case", BYTES("version: stsv1\nmode: none\nmax_age: 600\n"),
     "a version that is not STSv1", NULL},
    {"a_mode_in_another_case", BYTES("version: STSv1\nmode: Enforce\nmax_age: 600\nmx: a\n"),
     "an unknown mode", NULL},
    {"an_unknown_mode", BYTES("version: STSv1\nmode: report\nmax_age: 600\nmx: a\n"),
     "an unknown mode", NULL},
    {"a_negative_max_age", BYTES("version: STSv1\nmode: none\nmax_age: -1\n"),
     "a max_age that is no number", NULL},
    {"a_max_age_with_a_unit", BYTES("version: STSv1\nmode: none\nmax_age: 1d\n"),
     "a max_age that is no number", NULL},
    {"a_max_age_of_11_digits", BYTES("version: STSv1\nmode: none\nmax_age: 00000000001\n"),
     "a max_age that is no number", NULL},
    {"an_empty_value", BYTES(HEAD "mx:\n"), "a line that is no field", NULL},
    {"an_empty_line_inside", BYTES(HEAD "\nmx: a\n"), "a line that is no field", NULL},
    {"an_empty_line_before", BYTES("\n" HEAD "mx: a\n"), "a line that is no field", NULL},
    {"a_line_without_colon", BYTES(HEAD "mx: a\nhello\n"), "a line that is no field", NULL},
    {"html_instead_of_a_policy", BYTES("<!DOCTYPE html>\n<title>mta-sts: x</title>\n"),
     "a line that is no field", NULL},
    {"blanks_before_a_field", BYTES(HEAD " mx: a\n"), "a line that is no field", NULL},
    {"a_blank_before_the_colon", BYTES(HEAD "mx : a\n"), "a line that is no field", NULL},
    {"a_name_of_33_characters", BYTES(HEAD "mx: a\nz" X32 ": x\n"), "a line that is no field",
     NULL},
    {"a_name_that_begins_with_a_hyphen", BYTES(HEAD "mx: a\n-a: x\n"), "a line that is no field",
     NULL},
    {"a_bare_cr_inside", BYTES(HEAD "mx: a\rmx: b\n"), "a line that is no field", NULL},
    {"a_tab_inside_a_value", BYTES(HEAD "mx: a\nx: a\tb\n"), "a line that is no field", NULL},
    {"a_nul_inside", BYTES(HEAD "mx: a\nx: a\0b\n"), "a line that is no field", NULL},
    {"a_value_that_is_no_utf_8", BYTES(HEAD "mx: a\nx: \374\n"), "a line that is no field", NULL},
    {"a_byte_order_mark", BYTES("\357\273\277" HEAD "mx: a\n"), "a line that is no field", NULL},
    {"a_wildcard_in_the_middle", BYTES(HEAD "mx: mx.*.example\n"), "an mx field that names no host",
     NULL},
    {"a_wildcard_of_a_part_of_a_label", BYTES(HEAD "mx: mx*.example\n"),
     "an mx field that names no host", NULL},
    {"a_wildcard_alone", BYTES(HEAD "mx: *\n"), "an mx field that names no host", NULL},
    {"a_wildcard_and_a_dot", BYTES(HEAD "mx: *.\n"), "an mx field that names no host", NULL},
    {"a_dot_in_front_is_the_wildcard_of_a_draft", BYTES(HEAD "mx: .example\n"),
     "an mx field that names no host", NULL},
    {"a_dot_at_the_end", BYTES(HEAD "mx: a.example.\n"), "an mx field that names no host", NULL},
    {"an_empty_label", BYTES(HEAD "mx: a..example\n"), "an mx field that names no host", NULL},
    {"two_hosts_in_one_field", BYTES(HEAD "mx: a.example b.example\n"),
     "an mx field that names no host", NULL},
    {"a_host_with_a_preference", BYTES(HEAD "mx: 10 a.example\n"), "an mx field that names no host",
     NULL},
    {"a_label_that_ends_with_a_hyphen", BYTES(HEAD "mx: a-.example\n"),
     "an mx field that names no host", NULL},
    {"a_label_that_begins_with_a_hyphen", BYTES(HEAD "mx: a.-example\n"),
     "an mx field that names no host", NULL},
    {"a_label_of_64_octets", BYTES(HEAD "mx: " X32 X32 ".example\n"),
     "an mx field that names no host", NULL},
    {"a_u_label", BYTES(HEAD "mx: m\303\274ller.example\n"), "an mx field that names no host",
     NULL},
};

static void show(const struct sts_policy *p, char *out, size_t size)
{
    int used = snprintf(out, size, "%s %lld", sts_mode_name(p->mode), (long long)p->max_age);
    for (size_t i = 0; i < p->mx_count; i++)
        used += snprintf(out + used, size - (size_t)used, " %s", p->mx[i]);
}

/* An exact copy lets the sanitizer see a read behind the end. */
static struct slice exact_copy(struct slice s)
{
    char *copy = malloc(s.len ? s.len : 1);
    memcpy(copy, s.data, s.len);
    return (struct slice){copy, s.len};
}

static void read_policy(void **state)
{
    const struct policy_case *c = *state;
    struct slice text = exact_copy(c->text);
    struct sts_policy policy;
    const char *why;
    char got[512];
    bool is_good = sts_policy_parse(text, &policy, &why);
    free((char *)(uintptr_t)text.data);
    assert_string_equal(why, c->why ? c->why : "");
    assert_int_equal(is_good, c->why == NULL);
    if (is_good) {
        show(&policy, got, sizeof got);
        assert_string_equal(got, c->want);
        assert_int_equal(strlen(policy.text), c->text.len);
        assert_memory_equal(policy.text, c->text.data, c->text.len);
    } else {
        assert_null(policy.mx);
        assert_null(policy.text);
    }
    sts_policy_clear(&policy);
}

/* Fills up with fields nobody knows. */
static void size_of_64_kib_is_the_greatest(void **state)
{
    (void)state;
    static char text[STS_TEXT_MAX + 1];
    struct sts_policy policy;
    const char *why;
    size_t used = (size_t)snprintf(text, sizeof text, "%s", HEAD "mx: a\nx: ");
    memset(text + used, 'y', sizeof text - used);
    assert_true(sts_policy_parse((struct slice){text, STS_TEXT_MAX}, &policy, &why));
    sts_policy_clear(&policy);
    assert_false(sts_policy_parse((struct slice){text, STS_TEXT_MAX + 1}, &policy, &why));
    assert_string_equal(why, "larger than 64 KiB");
}

static void a_thousand_mx_fields_are_the_most(void **state)
{
    (void)state;
    static char text[32768];
    struct sts_policy policy;
    const char *why;
    size_t used = (size_t)snprintf(text, sizeof text, "%s", HEAD);
    for (unsigned i = 0; i < 1000; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "mx: mx%u.example\n", i);
    assert_true(sts_policy_parse((struct slice){text, used}, &policy, &why));
    assert_int_equal(policy.mx_count, 1000);
    assert_string_equal(policy.mx[0], "mx0.example");
    assert_string_equal(policy.mx[999], "mx999.example");
    sts_policy_clear(&policy);
    used += (size_t)snprintf(text + used, sizeof text - used, "mx: a\n");
    assert_false(sts_policy_parse((struct slice){text, used}, &policy, &why));
    assert_string_equal(why, "too many mx fields");
}

static void a_host_is_covered_by_its_name_or_by_its_name_behind_one_label(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        bool want;
    } cases[] = {
        {"mx.example", true},
        {"MX.Example", true},
        {"mx.example.", true},
        {"amx.example", false},
        {"a.mx.example", false},
        {"example", false},
        {"mx.example.net", false},
        {"a.wild.example", true},
        {"A.WILD.example.", true},
        {"wild.example", false},
        {".wild.example", false},
        {"a.b.wild.example", false},
        {"awild.example", false},
        {"*.wild.example", true},
        {"", false},
        {".", false},
        {"a.wild.example..", false},
    };
    struct sts_policy policy;
    const char *why;
    assert_true(
        sts_policy_parse(SLICE(HEAD "mx: mx.example\nmx: *.wild.example\n"), &policy, &why));
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        if (sts_policy_covers(&policy, cases[i].host) != cases[i].want)
            fail_msg("%s", cases[i].host);
    }
    sts_policy_clear(&policy);
}

struct txt_case {
    const char *claim;
    struct slice texts[4];
    enum sts_txt want;
    const char *id;
};

#define GOOD BYTES("v=STSv1; id=20160831085700Z;")

static const struct txt_case txts[] = {
    {"the_record_of_the_rfc", {GOOD}, STS_TXT_VALID, "20160831085700Z"},
    {"no_semicolon_is_needed_at_the_end", {BYTES("v=STSv1; id=1")}, STS_TXT_VALID, "1"},
    {"no_blank_is_needed", {BYTES("v=STSv1;id=1;")}, STS_TXT_VALID, "1"},
    {"blanks_may_stand_around_semicolons",
     {BYTES("v=STSv1 \t; \tid=1 ; a=b ; ")},
     STS_TXT_VALID,
     "1"},
    {"other_fields_are_ignored", {BYTES("v=STSv1; a.b-c_d=x:y<z; id=1; e=f")}, STS_TXT_VALID, "1"},
    {"an_id_has_up_to_32_characters", {BYTES("v=STSv1; id=" X32)}, STS_TXT_VALID, X32},
    {"of_two_ids_the_first_counts", {BYTES("v=STSv1; id=1; id=2;")}, STS_TXT_VALID, "1"},
    {"records_of_others_do_not_count",
     {BYTES("v=spf1 -all"), GOOD, BYTES(""), BYTES("v=STSv2; id=9")},
     STS_TXT_VALID,
     "20160831085700Z"},
    {"nothing_is_no_record", {{NULL, 0}}, STS_TXT_NONE, ""},
    {"another_version_is_no_record", {BYTES("v=STSv10; id=1;")}, STS_TXT_NONE, ""},
    {"another_case_is_no_record", {BYTES("v=stsv1; id=1;")}, STS_TXT_NONE, ""},
    {"a_version_that_is_not_first_is_no_record", {BYTES("id=1; v=STSv1;")}, STS_TXT_NONE, ""},
    {"a_blank_before_the_version_is_no_record", {BYTES(" v=STSv1; id=1;")}, STS_TXT_NONE, ""},
    {"a_version_without_semicolon_is_no_record", {BYTES("v=STSv1 id=1")}, STS_TXT_NONE, ""},
    {"two_records_are_an_error", {GOOD, GOOD}, STS_TXT_INVALID, ""},
    {"a_good_and_a_bad_record_are_an_error", {BYTES("v=STSv1;"), GOOD}, STS_TXT_INVALID, ""},
    {"no_id", {BYTES("v=STSv1;")}, STS_TXT_INVALID, ""},
    {"no_id_beside_others", {BYTES("v=STSv1; a=b;")}, STS_TXT_INVALID, ""},
    {"an_id_in_capitals_is_another_field", {BYTES("v=STSv1; ID=1;")}, STS_TXT_INVALID, ""},
    {"an_empty_id", {BYTES("v=STSv1; id=;")}, STS_TXT_INVALID, ""},
    {"an_id_of_33_characters", {BYTES("v=STSv1; id=z" X32)}, STS_TXT_INVALID, ""},
    {"an_id_with_a_hyphen", {BYTES("v=STSv1; id=2016-08")}, STS_TXT_INVALID, ""},
    {"a_second_id_that_is_none", {BYTES("v=STSv1; id=1; id=a-b")}, STS_TXT_INVALID, ""},
    {"an_id_with_a_nul", {BYTES("v=STSv1; id=a\0b")}, STS_TXT_INVALID, ""},
    {"an_id_in_quotes", {BYTES("v=STSv1; id=\"1\"")}, STS_TXT_INVALID, ""},
    {"blanks_around_the_equals_sign", {BYTES("v=STSv1; id = 1")}, STS_TXT_INVALID, ""},
    {"a_blank_behind_the_last_field", {BYTES("v=STSv1; id=1 ")}, STS_TXT_INVALID, ""},
    {"two_semicolons", {BYTES("v=STSv1; id=1;; a=b")}, STS_TXT_INVALID, ""},
    {"two_semicolons_at_the_start", {BYTES("v=STSv1;; id=1")}, STS_TXT_INVALID, ""},
    {"two_semicolons_at_the_end", {BYTES("v=STSv1; id=1; ;")}, STS_TXT_INVALID, ""},
    {"a_field_without_equals_sign", {BYTES("v=STSv1; id=1; a")}, STS_TXT_INVALID, ""},
    {"an_extension_without_value", {BYTES("v=STSv1; id=1; a=")}, STS_TXT_INVALID, ""},
    {"an_extension_with_two_equals_signs", {BYTES("v=STSv1; id=1; a=b=c")}, STS_TXT_INVALID, ""},
    {"an_extension_with_a_blank", {BYTES("v=STSv1; id=1; a=b c")}, STS_TXT_INVALID, ""},
    {"an_extension_with_8_bits", {BYTES("v=STSv1; id=1; a=\303\274")}, STS_TXT_INVALID, ""},
};

static void read_txt(void **state)
{
    const struct txt_case *c = *state;
    struct slice texts[4];
    size_t count = 0;
    char id[STS_ID_SIZE] = "left over";
    const char *why;
    for (; count < 4 && c->texts[count].data; count++)
        texts[count] = exact_copy(c->texts[count]);
    assert_int_equal(sts_txt_read(texts, count, id, &why), c->want);
    assert_string_equal(id, c->id);
    assert_int_equal(why[0] != '\0', c->want == STS_TXT_INVALID);
    while (count > 0)
        free((char *)(uintptr_t)texts[--count].data);
}

int main(void)
{
    static struct policy_case policy_copies[COUNT_OF(policies)];
    static struct txt_case txt_copies[COUNT_OF(txts)];
    struct CMUnitTest tests[COUNT_OF(policies) + COUNT_OF(txts) + 3] = {
        cmocka_unit_test(size_of_64_kib_is_the_greatest),
        cmocka_unit_test(a_thousand_mx_fields_are_the_most),
        cmocka_unit_test(a_host_is_covered_by_its_name_or_by_its_name_behind_one_label),
    };
    struct CMUnitTest *next = &tests[3];
    for (size_t i = 0; i < COUNT_OF(policies); i++) {
        policy_copies[i] = policies[i];
        *next++ =
            (struct CMUnitTest){policies[i].claim, read_policy, NULL, NULL, &policy_copies[i]};
    }
    for (size_t i = 0; i < COUNT_OF(txts); i++) {
        txt_copies[i] = txts[i];
        *next++ = (struct CMUnitTest){txts[i].claim, read_txt, NULL, NULL, &txt_copies[i]};
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
