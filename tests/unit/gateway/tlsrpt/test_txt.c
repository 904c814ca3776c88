#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "gateway/tlsrpt/txt.h"

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* `want` lists the places of a valid record; else it says why there is none. */
struct record_case {
    const char *claim;
    const char *text;
    enum tlsrpt_txt found;
    const char *want;
};

#define VALID TLSRPT_TXT_VALID
#define NONE TLSRPT_TXT_NONE
#define INVALID TLSRPT_TXT_INVALID
#define NO_PLACE "rua names no mailto or https address that can be used"
#define BAD_NAME "a field name with a character that may not stand there"
#define BAD_VALUE "a value with a character that may not stand there"
#define NO_FIELD "a field without name or value"

static const struct record_case records[] = {
    {"the_mail_example_of_the_rfc", "v=TLSRPTv1;rua=mailto:reports@example.com", VALID,
     "mailto:reports@example.com"},
    {"the_https_example_of_the_rfc", "v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt",
     VALID, "https://reporting.example.com:443/v1/tlsrpt"},
    {"several_places_keep_their_order",
     "v=TLSRPTv1; rua=https://b.example/x , mailto:a@a.example,mailto:c@c.example", VALID,
     "https://b.example:443/x mailto:a@a.example mailto:c@c.example"},
    {"a_last_semicolon", "v=TLSRPTv1; rua=mailto:a@a.example;", VALID, "mailto:a@a.example"},
    {"blanks_around_semicolons_and_at_the_end", "v=TLSRPTv1 \t; \trua=mailto:a@a.example \t; ",
     VALID, "mailto:a@a.example"},
    {"fields_we_do_not_know", "v=TLSRPTv1; ext-1.x_y=Z; rua=mailto:a@a.example; more=!", VALID,
     "mailto:a@a.example"},
    {"a_scheme_in_any_case", "v=TLSRPTv1; rua=MailTo:a@a.example", VALID, "mailto:a@a.example"},
    {"a_port_and_a_query", "v=TLSRPTv1; rua=https://a.example:8443/x?token=a=b", VALID,
     "https://a.example:8443/x?token=a=b"},
    {"encoded_characters_of_an_address", "v=TLSRPTv1; rua=mailto:one%2Btwo%21@a.example", VALID,
     "mailto:one+two!@a.example"},
    {"fields_of_a_mailto_are_ours_to_choose",
     "v=TLSRPTv1; rua=mailto:a@a.example?subject=x&bcc=b@b.example", VALID, "mailto:a@a.example"},
    {"a_domain_in_capitals", "v=TLSRPTv1; rua=mailto:a@A.EXAMPLE", VALID, "mailto:a@a.example"},
    {"the_same_place_twice",
     "v=TLSRPTv1; rua=mailto:a@a.example,https://b.example/,mailto:a@A.example,https://b.example",
     VALID, "mailto:a@a.example https://b.example:443/"},
    {"the_first_rua_counts", "v=TLSRPTv1; rua=mailto:a@a.example; rua=mailto:b@b.example", VALID,
     "mailto:a@a.example"},
    {"what_cannot_be_used_is_left_out",
     "v=TLSRPTv1; rua=ftp://a.example/x,http://a.example/x,mailto:nobody,mailto:a@a.example,"
     "https://192.0.2.1/x",
     VALID, "mailto:a@a.example"},
    {"more_than_ten_places_are_too_many",
     "v=TLSRPTv1; rua=mailto:0@a.example,mailto:1@a.example,mailto:2@a.example,"
     "mailto:3@a.example,mailto:4@a.example,mailto:5@a.example,mailto:6@a.example,"
     "mailto:7@a.example,mailto:8@a.example,mailto:9@a.example,mailto:10@a.example",
     VALID,
     "mailto:0@a.example mailto:1@a.example mailto:2@a.example mailto:3@a.example "
     "mailto:4@a.example mailto:5@a.example mailto:6@a.example mailto:7@a.example "
     "mailto:8@a.example mailto:9@a.example"},

    {"another_record", "v=spf1 -all", NONE, "no record"},
    {"another_version", "v=TLSRPTv10; rua=mailto:a@a.example", NONE, "no record"},
    {"a_version_in_small_letters", "v=tlsrptv1; rua=mailto:a@a.example", NONE, "no record"},
    {"blanks_in_the_version", "v = TLSRPTv1; rua=mailto:a@a.example", NONE, "no record"},
    {"a_version_that_is_not_first", "rua=mailto:a@a.example; v=TLSRPTv1", NONE, "no record"},
    {"no_semicolon", "v=TLSRPTv1", NONE, "no record"},
    {"no_semicolon_before_rua", "v=TLSRPTv1 rua=mailto:a@a.example", NONE, "no record"},
    {"nothing", "", NONE, "no record"},

    {"no_fields", "v=TLSRPTv1;", INVALID, "no rua"},
    {"no_rua", "v=TLSRPTv1; ruf=mailto:a@a.example", INVALID, "no rua"},
    {"rua_in_capitals", "v=TLSRPTv1; RUA=mailto:a@a.example", INVALID, "no rua"},
    {"a_blank_before_the_sign", "v=TLSRPTv1; rua =mailto:a@a.example", INVALID, BAD_NAME},
    {"an_empty_rua", "v=TLSRPTv1; rua=", INVALID, BAD_VALUE},
    {"an_empty_field", "v=TLSRPTv1; ; rua=mailto:a@a.example", INVALID, NO_FIELD},
    {"a_field_without_a_sign", "v=TLSRPTv1; rua", INVALID, NO_FIELD},
    {"a_field_without_a_name", "v=TLSRPTv1; =x; rua=mailto:a@a.example", INVALID, NO_FIELD},
    {"a_long_name", "v=TLSRPTv1; " A64 "=x; rua=mailto:a@a.example", INVALID, BAD_NAME},
    {"a_name_that_begins_with_a_sign", "v=TLSRPTv1; -a=x; rua=mailto:a@a.example", INVALID,
     BAD_NAME},
    {"a_blank_in_another_field", "v=TLSRPTv1; a=x y; rua=mailto:a@a.example", INVALID, BAD_VALUE},
    {"a_control", "v=TLSRPTv1; rua=mailto:a@a.example\r\nBcc: b", INVALID, BAD_VALUE},
    {"an_eighth_bit", "v=TLSRPTv1; rua=mailto:\303\244@a.example", INVALID, BAD_VALUE},
    {"no_place_that_can_be_used", "v=TLSRPTv1; rua=ftp://a.example/", INVALID, NO_PLACE},
    {"an_encoded_line_end", "v=TLSRPTv1; rua=mailto:a%0d%0a@a.example", INVALID, NO_PLACE},
    {"an_encoded_nul", "v=TLSRPTv1; rua=mailto:a@a.example%00", INVALID, NO_PLACE},
    {"an_encoding_that_is_cut", "v=TLSRPTv1; rua=mailto:a@a.example%4", INVALID, NO_PLACE},
    {"an_encoding_of_other_letters", "v=TLSRPTv1; rua=mailto:a%GG@a.example", INVALID, NO_PLACE},
    {"a_size_as_dmarc_has_it", "v=TLSRPTv1; rua=mailto:a@a.example!10m", INVALID, NO_PLACE},
    {"a_size_behind_a_url", "v=TLSRPTv1; rua=https://a.example/x!10m", INVALID, NO_PLACE},
    {"two_addresses_in_one", "v=TLSRPTv1; rua=mailto:a@a.example%2Cb@b.example", INVALID, NO_PLACE},
    {"an_address_literal", "v=TLSRPTv1; rua=mailto:a@[192.0.2.1]", INVALID, NO_PLACE},
    {"a_long_local_part", "v=TLSRPTv1; rua=mailto:" A64 "b@a.example", INVALID, NO_PLACE},
    {"a_user_in_the_url", "v=TLSRPTv1; rua=https://user@a.example/", INVALID, NO_PLACE},
};

static void write_places(const struct tlsrpt_places *p, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < p->count; i++) {
        const struct tlsrpt_place *one = &p->list[i];
        const char *lead = i > 0 ? " " : "";
        if (one->kind == TLSRPT_MAILTO)
            used += (size_t)snprintf(out + used, size - used, "%smailto:%s", lead, one->address);
        else
            used += (size_t)snprintf(out + used, size - used, "%shttps://%s:%u%s", lead,
                                     one->url.host, one->url.port, one->url.path);
    }
}

static void records_are_read_as_the_grammar_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(records); i++) {
        const struct record_case *c = &records[i];
        struct slice text = slice_of(c->text);
        struct tlsrpt_places places;
        const char *why;
        char got[4000];
        enum tlsrpt_txt found = tlsrpt_txt_read(&text, 1, &places, &why);
        write_places(&places, got, sizeof got);
        if (found != c->found || strcmp(found == VALID ? got : why, c->want) != 0)
            fail_msg("%s: got %d \"%s\" (%s), want %d \"%s\"", c->claim, (int)found, got, why,
                     (int)c->found, c->want);
        assert_true((found == VALID) == (why[0] == '\0'));
        assert_true((found == VALID) == (places.count > 0));
        tlsrpt_places_clear(&places);
    }
}

static void records_of_others_do_not_count(void **state)
{
    struct tlsrpt_places places;
    const char *why;
    struct slice texts[] = {SLICE("v=spf1 -all"), SLICE("v=TLSRPTv1; rua=mailto:a@a.example"),
                            SLICE(""), SLICE("v=TLSRPTv2; rua=mailto:b@b.example")};
    (void)state;
    assert_int_equal(tlsrpt_txt_read(texts, COUNT_OF(texts), &places, &why), VALID);
    assert_string_equal(places.list[0].address, "a@a.example");
    tlsrpt_places_clear(&places);
}

static void two_records_are_as_none(void **state)
{
    struct tlsrpt_places places;
    const char *why;
    struct slice texts[] = {SLICE("v=TLSRPTv1; rua=mailto:a@a.example"),
                            SLICE("v=TLSRPTv1; nonsense")};
    (void)state;
    assert_int_equal(tlsrpt_txt_read(texts, 2, &places, &why), NONE);
    assert_string_equal(why, "several records");
    assert_int_equal(tlsrpt_txt_read(texts, 0, &places, &why), NONE);
}

static void a_nul_is_no_end(void **state)
{
    struct tlsrpt_places places;
    const char *why;
    struct slice text = SLICE("v=TLSRPTv1; rua=mailto:a@a.example\0,mailto:b@b.example");
    struct slice name = SLICE("v=TLSRPTv1; a\0b=c; rua=mailto:a@a.example");
    (void)state;
    assert_int_equal(tlsrpt_txt_read(&text, 1, &places, &why), INVALID);
    assert_int_equal(tlsrpt_txt_read(&name, 1, &places, &why), INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_read_as_the_grammar_says),
        cmocka_unit_test(records_of_others_do_not_count),
        cmocka_unit_test(two_records_are_as_none),
        cmocka_unit_test(a_nul_is_no_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
