#include "mail/header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct header_facts scan(const char *section)
{
    struct header_facts facts;
    header_scan(slice_of(section), &facts);
    return facts;
}

static void fields_are_taken_one_by_one(void **state)
{
    (void)state;
    struct slice in = SLICE("From: a@x.example\r\nSubject : one\r\n two\r\n\tthree "
                            "\r\nEmpty:\r\nX:\r\n \r\nno field\r\n more\r\n"
                            "Last: y");
    static const struct {
        const char *name, *value, *whole;
    } want[] = {
        {"From", "a@x.example", "From: a@x.example\r\n"},
        {"Subject", "one\r\n two\r\n\tthree", "Subject : one\r\n two\r\n\tthree \r\n"},
        {"Empty", "", "Empty:\r\n"},
        {"X", "", "X:\r\n \r\n"},
        {"", "no field\r\n more", "no field\r\n more\r\n"},
        {"Last", "y", "Last: y"},
    };
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        struct header_field f;
        assert_true(header_next(&in, &f));
        assert_true(slice_equal(f.name, slice_of(want[i].name)));
        assert_true(slice_equal(f.value, slice_of(want[i].value)));
        assert_true(slice_equal(f.whole, slice_of(want[i].whole)));
    }
    struct header_field f;
    assert_false(header_next(&in, &f));
}

static void what_is_no_field_has_no_name(void **state)
{
    (void)state;
    static const char *const cases[] = {" From: a\r\n",
                                        "\tFrom: a\r\n",
                                        ": a\r\n",
                                        "From\r\n",
                                        "Fr om: a\r\n",
                                        "\r\n",
                                        "Fr\xC3\xB6m: a\r\n",
                                        "From\r\n : a\r\n",
                                        "\x01: a\r\n",
                                        "From\x7F: a\r\n",
                                        "From x@y Mon Nov 22 15:28:50 2026\r\n"};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct slice in = slice_of(cases[i]);
        struct header_field f;
        assert_true(header_next(&in, &f));
        if (f.name.len != 0)
            fail_msg("case %zu has the name %.*s", i, SLICE_ARG(f.name));
        assert_true(slice_equal(f.value, slice_sub(slice_of(cases[i]), 0, strlen(cases[i]) - 2)));
        assert_true(scan(cases[i]).is_malformed);
    }
}

static void only_crlf_ends_a_field(void **state)
{
    (void)state;
    struct slice in = SLICE("A: x\nFrom: a@x.example\rB: y\r\nC: z\r\n");
    struct header_field f;
    assert_true(header_next(&in, &f) && slice_equal(f.name, SLICE("A")));
    assert_true(header_next(&in, &f) && slice_equal(f.name, SLICE("C")));
    assert_false(header_next(&in, &f));
    assert_true(scan("A: x\nB: y\r\n").is_malformed);
    assert_true(scan("A: x\rB: y\r\n").is_malformed);
    assert_true(scan("A: x\r\r\n").is_malformed);
    assert_true(scan("A: x\r\n\nB: y\r\n").is_malformed);
    assert_true(scan("A: x\n").is_malformed);
    assert_true(scan("A: x\r").is_malformed);
    assert_false(scan("A: x\r\n y\r\nB: z").is_malformed);
    assert_false(scan("").is_malformed);
    struct header_facts facts;
    header_scan(SLICE("A: x\0y\r\n"), &facts);
    assert_true(facts.is_malformed);
}

static void only_auto_replied_is_an_automatic_reply(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        bool want;
    } cases[] = {
        {"auto-replied", true},
        {" Auto-Replied ", true},
        {"auto-replied (vacation)", true},
        {"(a (nested) comment) auto-replied", true},
        {"\r\n auto-replied\r\n (folded)", true},
        {"auto-replied; owner-email=\"a;b@x.example\"", true},
        {"auto-replied ; x=y; z=(c)w", true},
        {"auto-replied;", true},
        {"auto-generated", false},
        {"no", false},
        {"", false},
        {"auto-replied-not", false},
        {"auto-repliedx", false},
        {"xauto-replied", false},
        {"auto-replied, auto-generated", false},
        {"auto-replied auto-generated", false},
        {"auto-generated; auto-replied", false},
        {"auto-generated (auto-replied)", false},
        {"(auto-replied)", false},
        {"(auto-replied) no", false},
        {"\"auto-replied\"", false},
        {"auto-\r\n replied", false},
        {"auto-(c)replied", false},
        {"auto-replied (unclosed", false},
        {"auto-replied )", false},
        {"auto-replied; x=\"unclosed", false},
        {"auto-replied; x=(unclosed", false},
        {"auto-replied; x=y)", false},
        {"auto-replied; \\", false},
        {"auto-replied\rX: y", false},
        {"auto-replied\nX: y", false},
        {"auto-replied\r\nX: y", false},
        {"auto-replied; x\ny", false},
        {"auto-replied\x01", false},
        {"((((((((((((((((((((x)))))))))))))))))))) auto-replied", false},
        {"=?us-ascii?Q?auto-replied?=", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (header_says_auto_replied(slice_of(cases[i].value)) != cases[i].want)
            fail_msg("\"%s\"", cases[i].value);
    assert_false(header_says_auto_replied(SLICE("auto-replied\0")));
    assert_false(header_says_auto_replied(SLICE("auto-replied; x=\0")));
}

static void an_exemption_needs_a_section_without_doubt(void **state)
{
    (void)state;
    static const struct {
        const char *section;
        bool want;
        unsigned fields;
    } cases[] = {
        {"Auto-Submitted: auto-replied\r\n", true, 1},
        {"auto-submitted:auto-replied\r\n", true, 1},
        {"Auto-Submitted:\r\n auto-replied\r\n (x)\r\n", true, 1},
        {"Auto-Submitted: auto-replied\r\nAuto-Submitted: auto-replied\r\n", false, 2},
        {"Auto-Submitted: auto-replied\r\nSubject: x\r\nAUTO-SUBMITTED : no\r\n", false, 2},
        {"Auto-Submitted : auto-replied\r\n", false, 1},
        {"Auto-Submitted\t: no\r\nAuto-Submitted: auto-replied\r\n", false, 2},
        {"Subject: x\r\n Auto-Submitted: auto-replied\r\n", false, 0},
        {"Auto-Submitted\r\n : auto-replied\r\n", false, 0},
        {"Auto-Submitted: auto-replied\r\nno field\r\n", false, 1},
        {"no field\r\nAuto-Submitted: auto-replied\r\n", false, 1},
        {"X: y\nZ: w\r\nAuto-Submitted: auto-replied\r\n", false, 1},
        {"X-Auto-Submitted: auto-replied\r\n", false, 0},
        {"Auto-Submitted: auto-generated\r\n", false, 1},
        {"X-Autoreply: yes\r\n", true, 0},
        {"X-Autorespond:\r\n", true, 0},
        {"X-Autoreply: no\r\n", false, 0},
        {"X-Autoreply : yes\r\n", false, 0},
        {"Precedence: auto_reply\r\n", true, 0},
        {"Precedence: Auto_Reply (c)\r\n", true, 0},
        {"Precedence: auto_reply; x\r\n", false, 0},
        {"Precedence: bulk\r\n", false, 0},
        {"Precedence: bulk\r\nPrecedence: auto_reply\r\n", false, 0},
        {"Precedence: auto_reply\r\nPrecedence: bulk\r\n", false, 0},
        {"X-Autoreply: yes\r\nAuto-Submitted: auto-generated\r\n", false, 1},
        {"X-Autoreply: yes\r\nAuto-Submitted: auto-replied\r\n", true, 1},
        {"X-Autoreply: yes\r\nAuto-Submitted: auto-replied\r\nAuto-Submitted: auto-replied\r\n",
         false, 2},
        {"", false, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct header_facts facts = scan(cases[i].section);
        if (facts.is_auto_replied != cases[i].want || facts.auto_submitted != cases[i].fields)
            fail_msg("%s gave %d, %u", cases[i].section, facts.is_auto_replied,
                     facts.auto_submitted);
    }
}

static void only_one_plain_no_is_tls_required_no(void **state)
{
    (void)state;
    static const struct {
        const char *section;
        bool want;
        unsigned fields;
    } cases[] = {
        {"TLS-Required: No\r\n", true, 1},
        {"tls-required:no\r\n", true, 1},
        {"TLS-Required:\r\n No\r\n", true, 1},
        {"TLS-Required: No (really)\r\n", false, 1},
        {"TLS-Required: \"No\"\r\n", false, 1},
        {"TLS-Required: None\r\n", false, 1},
        {"TLS-Required: N\r\n o\r\n", false, 1},
        {"TLS-Required: Yes\r\n", false, 1},
        {"TLS-Required:\r\n", false, 1},
        {"TLS-Required : No\r\n", false, 1},
        {"TLS-Required: No\r\nTLS-Required: No\r\n", false, 2},
        {"TLS-Required: No\r\nTLS-Required : Yes\r\n", false, 2},
        {"TLS-Required: No\r\r\n", false, 1},
        {"TLS-Required: No\r\n x\r\n", false, 1},
        {"junk\r\nTLS-Required: No\r\n", false, 1},
        {"X-TLS-Required: No\r\n", false, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct header_facts facts = scan(cases[i].section);
        if (facts.tls_required_no != cases[i].want || facts.tls_required != cases[i].fields)
            fail_msg("%s gave %d, %u", cases[i].section, facts.tls_required_no, facts.tls_required);
    }
}

static void from_is_read_once_and_counted_always(void **state)
{
    (void)state;
    static const struct {
        const char *section;
        unsigned fields, count;
        bool is_unreadable;
        const char *first;
    } cases[] = {
        {"From: Bob <bob@x.example>\r\n", 1, 1, false, "bob@x.example"},
        {"From: a@x.example, b@x.example\r\n", 1, 2, false, "a@x.example"},
        {"From: Team: a@x.example, b@x.example;\r\n", 1, 2, false, "a@x.example"},
        {"From: a@x.example\r\nFROM : b@x.example\r\n", 2, 1, false, "a@x.example"},
        {"From: a@x.example\r\n , b@x.example\r\n", 1, 2, false, "a@x.example"},
        {"From: a@x.example\r\nFrom\r\n : b@x.example\r\n", 1, 1, false, "a@x.example"},
        {"From: nobody\r\nFrom: b@x.example\r\n", 2, 0, true, NULL},
        {"From: a@x.example b@x.example\r\n", 1, 0, true, NULL},
        {"From: a@x.example, b\r\n", 1, 0, true, NULL},
        {"From:\r\n", 1, 0, true, NULL},
        {"From: nobody:;\r\n", 1, 0, true, NULL},
        {"From: <>\r\n", 1, 0, true, NULL},
        {"From: a@x.example\nFrom: b@x.example\r\n", 1, 0, true, NULL},
        {"From: 1@x,2@x,3@x,4@x,5@x,6@x,7@x,8@x\r\n", 1, 8, false, "1@x"},
        {"From: 1@x,2@x,3@x,4@x,5@x,6@x,7@x,8@x,9@x\r\n", 1, 0, true, NULL},
        {"Subject: x\r\n", 0, 0, false, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct header_facts facts = scan(cases[i].section);
        if (facts.from.fields != cases[i].fields || facts.from.count != cases[i].count ||
            facts.from.is_unreadable != cases[i].is_unreadable)
            fail_msg("%s gave %u fields, %u addresses, unreadable %d", cases[i].section,
                     facts.from.fields, facts.from.count, facts.from.is_unreadable);
        if (cases[i].first)
            assert_string_equal(facts.from.addresses[0].text, cases[i].first);
    }
}

static bool join(void *context, const struct address *a)
{
    char *out = context;
    size_t len = strlen(out);
    snprintf(out + len, 256 - len, "%s ", a->text);
    return true;
}

static void an_unreadable_field_shows_what_looks_like_an_address(void **state)
{
    (void)state;
    static const struct {
        const char *section, *seen;
    } cases[] = {
        {"From: a@x.example, (b@x.example) c@x.example\r\n", "a@x.example c@x.example "},
        {"From: a@x.example A@X.example b@x.example\r\n", "a@x.example b@x.example "},
        {"From: \"a@x.example\" (b@x.example) <c@x.example> d\r\n",
         "c@x.example a@x.example b@x.example "},
        {"From: x 'a@x.example'\r\n", "'a@x.example a@x.example "},
        {"From: x \"a b\"@x.example\r\n", "\"a b\"@x.example "},
        {"From: x \"a b@[192.0.2.1]\r\n", "b@[192.0.2.1] "},
        {"From: x a@b\xC3\xBC"
         "cher.example-\r\n",
         "a@b a@xn--bcher-kva.example "},
        {"From: 1@x,2@x,3@x,4@x,5@x,6@x,7@x,8@x,9@x\r\n", "1@x 2@x 3@x 4@x 5@x 6@x 7@x 8@x 9@x "},
        {"From: a b@ @c @ \"@x [\r\n", ""},
        {"From: a@[\r\n", ""},
        {"From: @\r\n", ""},
        {"From:\r\n", ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct header_facts facts = scan(cases[i].section);
        char seen[256] = "";
        header_named_walk(&facts.from, join, seen);
        if (strcmp(seen, cases[i].seen) != 0)
            fail_msg("%s showed %s", cases[i].section, seen);
    }
}

static void forwarding_fields_give_their_topmost_addresses(void **state)
{
    (void)state;
    struct header_facts facts =
        scan("X-Sieve-Redirected-From: anna@x.example\r\n"
             "Delivered-To: top@x.example\r\nDelivered-To: below@x.example\r\n"
             "Resent-From: R <r@x.example>\r\nx-original-to: anna@x.example\r\n"
             "Sender: s@x.example\r\n");
    assert_string_equal(facts.forwarding[HEADER_X_SIEVE_REDIRECTED_FROM].addresses[0].text,
                        "anna@x.example");
    assert_string_equal(facts.forwarding[HEADER_DELIVERED_TO].addresses[0].text, "top@x.example");
    assert_int_equal(facts.forwarding[HEADER_DELIVERED_TO].fields, 2);
    assert_int_equal(facts.forwarding[HEADER_DELIVERED_TO].count, 1);
    assert_string_equal(facts.forwarding[HEADER_RESENT_FROM].addresses[0].text, "r@x.example");
    assert_string_equal(facts.forwarding[HEADER_X_ORIGINAL_TO].addresses[0].text, "anna@x.example");
    assert_string_equal(facts.sender.addresses[0].text, "s@x.example");
}

static void the_small_facts_are_noted(void **state)
{
    (void)state;
    struct header_facts facts = scan("Received: a\r\nreceived: b\r\n c\r\nDate: x\r\nMessage-Id: "
                                     "<1@x>\r\nMessage-ID: <2@x>\r\n");
    assert_int_equal(facts.received, 2);
    assert_true(facts.has_date && facts.has_message_id);
    assert_string_equal(facts.message_id, "<1@x>");
    assert_false(facts.has_8bit || facts.is_malformed);
    facts = scan("Subject: gr\xC3\xBC\xC3\x9F\r\n");
    assert_true(facts.has_8bit);
    assert_false(facts.has_date || facts.has_message_id || facts.is_malformed);
    facts = scan("Message-ID:\r\n <1@x>\r\n");
    assert_string_equal(facts.message_id, "<1@x>");
    facts = scan("Message-ID: <1\x1B@x>\r\n");
    assert_true(facts.has_message_id);
    assert_string_equal(facts.message_id, "");

    char section[600];
    for (int len = 254; len <= 257; len++) {
        snprintf(section, sizeof section, "Message-ID: %0*d\r\n", len, 0);
        facts = scan(section);
        assert_int_equal(strlen(facts.message_id), len <= 255 ? len : 0);
    }
}

static void copying_leaves_out_what_is_named(void **state)
{
    (void)state;
    static const struct slice drop[] = {{"Bcc", 3}, {"Return-Path", 11}};
    struct slice section = SLICE("A: 1\r\nbcc: x\r\n y\r\nB: 2\r\n folded\r\nBCC : "
                                 "z\r\njunk\r\nReturn-path: <>\r\nBccx: 3\r\n");
    const char *want = "A: 1\r\nB: 2\r\n folded\r\njunk\r\nBccx: 3\r\n";
    struct buffer out;
    buffer_init(&out, strlen(want));
    assert_true(header_copy_without(section, drop, COUNT_OF(drop), &out));
    assert_string_equal(buffer_text(&out), want);
    buffer_free(&out);
    buffer_init(&out, strlen(want) - 1);
    assert_false(header_copy_without(section, drop, COUNT_OF(drop), &out));
    assert_int_equal(out.len, 0);
    buffer_free(&out);
}

static void a_value_is_unfolded_and_harmless(void **state)
{
    (void)state;
    char out[64];
    struct slice section =
        SLICE("Subject: one\r\n two\r\n\tthree\r\nEvil: a\nb\rc\x1B[d\r\nTwice: 1\r\nTwice: 2\r\n");
    assert_true(header_value(section, SLICE("subject"), out, sizeof out));
    assert_string_equal(out, "one two three");
    assert_true(header_value(section, SLICE("Evil"), out, sizeof out));
    assert_string_equal(out, "a?b?c?[d");
    assert_true(header_value(section, SLICE("Twice"), out, sizeof out));
    assert_string_equal(out, "1");
    assert_true(header_value(section, SLICE("Subject"), out, 5));
    assert_string_equal(out, "one ");
    assert_false(header_value(section, SLICE("None"), out, sizeof out));
    assert_string_equal(out, "");
    assert_false(header_value(SLICE("junk\r\n"), SLICE(""), out, sizeof out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_taken_one_by_one),
        cmocka_unit_test(what_is_no_field_has_no_name),
        cmocka_unit_test(only_crlf_ends_a_field),
        cmocka_unit_test(only_auto_replied_is_an_automatic_reply),
        cmocka_unit_test(an_exemption_needs_a_section_without_doubt),
        cmocka_unit_test(only_one_plain_no_is_tls_required_no),
        cmocka_unit_test(from_is_read_once_and_counted_always),
        cmocka_unit_test(an_unreadable_field_shows_what_looks_like_an_address),
        cmocka_unit_test(forwarding_fields_give_their_topmost_addresses),
        cmocka_unit_test(the_small_facts_are_noted),
        cmocka_unit_test(copying_leaves_out_what_is_named),
        cmocka_unit_test(a_value_is_unfolded_and_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
