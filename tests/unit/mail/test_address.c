#include "mail/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct path_case {
    const char *in;
    enum address_error error;
    const char *text; /* when ADDRESS_OK */
    const char *rest;
};

static const struct path_case path_cases[] = {
    {"<>", ADDRESS_OK, "", ""},
    {"<bob@example.org> SIZE=1", ADDRESS_OK, "bob@example.org", " SIZE=1"},
    {"<Bob@EXAMPLE.org>", ADDRESS_OK, "Bob@example.org", ""},
    {"<a.b+c%d!e@x.example>", ADDRESS_OK, "a.b+c%d!e@x.example", ""},
    {"<postmaster>", ADDRESS_OK, "postmaster", ""},
    {"<PostMaster>", ADDRESS_OK, "PostMaster", ""},
    {"<bob>", ADDRESS_SYNTAX, NULL, NULL},
    {"<@a.example,@b.example:bob@c.example>", ADDRESS_OK, "bob@c.example", ""},
    {"<@a.example:bob@c.example>", ADDRESS_OK, "bob@c.example", ""},
    {"<@a.example:>", ADDRESS_SYNTAX, NULL, NULL},
    {"<@a.example,bob@c.example>", ADDRESS_SYNTAX, NULL, NULL},
    {"<@:bob@c.example>", ADDRESS_SYNTAX, NULL, NULL},
    /* Quotes are kept where they are needed and nowhere else. */
    {"<\"bob\"@x.example>", ADDRESS_OK, "bob@x.example", ""},
    {"<\"b\\ob\"@x.example>", ADDRESS_OK, "bob@x.example", ""},
    {"<\"bob smith\"@x.example>", ADDRESS_OK, "\"bob smith\"@x.example", ""},
    {"<\"a\\\"b\\\\c\"@x.example>", ADDRESS_OK, "\"a\\\"b\\\\c\"@x.example", ""},
    {"<\"a@b\"@x.example>", ADDRESS_OK, "\"a@b\"@x.example", ""},
    {"<\"a>b\"@x.example>", ADDRESS_OK, "\"a>b\"@x.example", ""},
    {"<\"\"@x.example>", ADDRESS_SYNTAX, NULL, NULL},
    {"<\"a\tb\"@x.example>", ADDRESS_SYNTAX, NULL, NULL},
    {"<\"a\r\n b\"@x.example>", ADDRESS_SYNTAX, NULL, NULL},
    {"<\"\r\n b\"@x.example>", ADDRESS_SYNTAX, NULL, NULL},
    {"<a\x7F@x.example>", ADDRESS_SYNTAX, NULL, NULL},
    {"<\"a\x7F\"@x.example>", ADDRESS_SYNTAX, NULL, NULL},
    {"<azAZ09@azAZ09.example>", ADDRESS_OK, "azAZ09@azaz09.example", ""},
    {"<\"a\\\r\n b\"@x.example>", ADDRESS_SYNTAX, NULL, NULL},
    {"<\"a@x.example>", ADDRESS_SYNTAX, NULL, NULL},
    {"<\"a\"b@x.example>", ADDRESS_SYNTAX, NULL, NULL},
    /* Dots where the RFC wants none: such mailboxes exist. */
    {"<a..b.@x.example>", ADDRESS_OK, "a..b.@x.example", ""},
    {"<bob@x.example.>", ADDRESS_SYNTAX, NULL, NULL},
    {"<bob@x..example>", ADDRESS_SYNTAX, NULL, NULL},
    {"<bob@>", ADDRESS_SYNTAX, NULL, NULL},
    {"<@x.example>", ADDRESS_SYNTAX, NULL, NULL},
    {"<bob@-x.example>", ADDRESS_SYNTAX, NULL, NULL},
    {"<bob@192.0.2.1>", ADDRESS_SYNTAX, NULL, NULL},
    {"<bob@x@y.example>", ADDRESS_SYNTAX, NULL, NULL},
    {"<bob@[192.0.2.1]>", ADDRESS_OK, "bob@[192.0.2.1]", ""},
    {"<bob@[ipv6:2001:DB8:0::1]>", ADDRESS_OK, "bob@[IPv6:2001:db8::1]", ""},
    {"<bob@[2001:db8::1]>", ADDRESS_SYNTAX, NULL, NULL},
    {"<bob@[192.0.2.256]>", ADDRESS_SYNTAX, NULL, NULL},
    {"<bob@[192.0.2]>", ADDRESS_SYNTAX, NULL, NULL},
    {"<bob@[x-tag:y]>", ADDRESS_SYNTAX, NULL, NULL},
    {"<bob@[]>", ADDRESS_SYNTAX, NULL, NULL},
    {"<bob@[192.0.2.1>", ADDRESS_SYNTAX, NULL, NULL},
    {"<b\xC3\xB6\142@x.example>", ADDRESS_NON_ASCII, NULL, NULL},
    {"<\"b\xC3\xB6\142\"@x.example>", ADDRESS_NON_ASCII, NULL, NULL},
    {"<bob@b\xC3\xBC"
     "cher.example>",
     ADDRESS_NON_ASCII, NULL, NULL},
    {"<bob@x.example", ADDRESS_SYNTAX, NULL, NULL},
    {"bob@x.example", ADDRESS_SYNTAX, NULL, NULL},
    {"< bob@x.example>", ADDRESS_SYNTAX, NULL, NULL},
    {"<bob@x.example >", ADDRESS_SYNTAX, NULL, NULL},
    {"<bo b@x.example>", ADDRESS_SYNTAX, NULL, NULL},
    {"<bob@x.example(c)>", ADDRESS_SYNTAX, NULL, NULL},
    {"<bob\r\n@x.example>", ADDRESS_SYNTAX, NULL, NULL},
    {"<<bob@x.example>>", ADDRESS_SYNTAX, NULL, NULL},
    {"<", ADDRESS_SYNTAX, NULL, NULL},
    {"", ADDRESS_SYNTAX, NULL, NULL},
};

static void paths_are_read_as_the_wire_has_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(path_cases); i++) {
        const struct path_case *c = &path_cases[i];
        struct slice in = slice_of(c->in);
        struct address a;
        enum address_error error = address_parse_path(&in, &a);
        if (error != c->error)
            fail_msg("%s gave %d", c->in, (int)error);
        assert_string_equal(a.text, error == ADDRESS_OK ? c->text : "");
        assert_true(slice_equal(in, slice_of(error == ADDRESS_OK ? c->rest : c->in)));
    }
    struct slice in = SLICE("<a\0b@x.example>");
    struct address a;
    assert_int_equal(address_parse_path(&in, &a), ADDRESS_SYNTAX);
    in = SLICE("<\"a\\\0b\"@x.example>");
    assert_int_equal(address_parse_path(&in, &a), ADDRESS_SYNTAX);
}

static void lengths_are_those_of_rfc_5321(void **state)
{
    (void)state;
    char text[400];
    struct address a;
    for (int len = 60; len < 70; len++) {
        snprintf(text, sizeof text, "%.*s@x.example", len,
                 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz");
        assert_int_equal(address_parse(slice_of(text), &a),
                         len <= 64 ? ADDRESS_OK : ADDRESS_TOO_LONG);
    }
    memset(text, 'a', sizeof text);
    text[0] = 'x';
    text[1] = '@';
    text[60] = text[120] = text[180] = '.';
    assert_int_equal(address_parse((struct slice){text, 2 + 240}, &a), ADDRESS_OK);
    text[240] = '.';
    assert_int_equal(address_parse((struct slice){text, 2 + 253}, &a), ADDRESS_OK);
    assert_int_equal(address_parse((struct slice){text, 2 + 254}, &a), ADDRESS_TOO_LONG);
    /* 64 octets that all need quoting and escaping. */
    memset(text, '\\', sizeof text);
    text[0] = text[129] = '"';
    memcpy(text + 130, "@x.example", 10);
    assert_int_equal(address_parse((struct slice){text, 140}, &a), ADDRESS_TOO_LONG);
}

static void a_bare_mailbox_may_have_a_utf8_domain(void **state)
{
    (void)state;
    struct address a;
    assert_int_equal(address_parse(SLICE("Bob@B\xC3\xBC"
                                         "cher.example"),
                                   &a),
                     ADDRESS_OK);
    assert_string_equal(a.text, "Bob@xn--bcher-kva.example");
    assert_int_equal(a.local_len, 3);
    assert_string_equal(address_domain(&a), "xn--bcher-kva.example");
    assert_false(a.is_literal);
    assert_int_equal(address_parse(SLICE("b\xC3\xB6\142@x.example"), &a), ADDRESS_NON_ASCII);
    assert_int_equal(address_parse(SLICE("postmaster"), &a), ADDRESS_SYNTAX);
    assert_int_equal(address_parse(SLICE("<bob@x.example>"), &a), ADDRESS_SYNTAX);
    assert_int_equal(address_parse(SLICE("bob@x.example "), &a), ADDRESS_SYNTAX);
    assert_int_equal(address_parse(SLICE(""), &a), ADDRESS_SYNTAX);
    assert_true(address_is_null(&a));
}

static void keys_compare_local_parts_without_case_and_quotes(void **state)
{
    (void)state;
    static const struct {
        const char *in, *key;
    } cases[] = {
        {"Bob@X.example", "bob@x.example"},
        {"\"Bob Smith\"@x.example", "bob smith@x.example"},
        {"\"A\\\"B\\\\\"@x.example", "a\"b\\@x.example"},
        {"\"a@b\"@x.example", "a@b@x.example"},
        {"BOB@[ipv6:2001:DB8::1]", "bob@[IPv6:2001:db8::1]"},
    };
    struct address a, b;
    char key[ADDRESS_SIZE];
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(address_parse(slice_of(cases[i].in), &a), ADDRESS_OK);
        address_key(&a, key);
        assert_string_equal(key, cases[i].key);
        /* What is kept is a mailbox that reads back as itself. */
        assert_int_equal(address_parse(slice_of(a.text), &b), ADDRESS_OK);
        assert_string_equal(b.text, a.text);
        assert_true(address_equal(&a, &b));
    }
    assert_int_equal(address_parse(SLICE("bob@y.example"), &b), ADDRESS_OK);
    assert_false(address_equal(&a, &b));
    struct slice in = SLICE("<>");
    assert_int_equal(address_parse_path(&in, &a), ADDRESS_OK);
    address_key(&a, key);
    assert_string_equal(key, "");
    assert_string_equal(address_domain(&a), "");
    in = SLICE("<Postmaster>");
    assert_int_equal(address_parse_path(&in, &a), ADDRESS_OK);
    address_key(&a, key);
    assert_string_equal(key, "postmaster");
    assert_string_equal(address_domain(&a), "");
}

static bool join(void *context, const struct address *a)
{
    char *all = context;
    size_t len = strlen(all);
    snprintf(all + len, 1000 - len, "%s%s", len ? " " : "", a->text);
    return true;
}

static void check_list(const char *in, const char *want)
{
    char all[1000] = "";
    bool is_good = address_list_walk(slice_of(in), join, all);
    if (is_good != (want != NULL) || (want && strcmp(all, want) != 0))
        fail_msg("%s gave %d: %s", in, is_good, all);
}

static void lists_give_their_mailboxes(void **state)
{
    (void)state;
    static const struct {
        const char *in, *want;
    } cases[] = {
        {"bob@x.example", "bob@x.example"},
        {" Bob Smith <bob@x.example>\r\n", "bob@x.example"},
        {"\"Smith, Bob <eve@y.example>\" <bob@x.example>", "bob@x.example"},
        {"=?utf-8?Q?B=C3=B6b?= <bob@x.example>", "bob@x.example"},
        {"B\xC3\xB6\142 <bob@x.example>", "bob@x.example"},
        {"Bob Q. Smith <bob@x.example>", "bob@x.example"},
        {"bob@x.example (Bob (the) \\) builder, eve@y.example)", "bob@x.example"},
        {"(a)bob(b)@(c)x(d).(e)example(f)", "bob@x.example"},
        {"bob\r\n @x.\r\n\texample", "bob@x.example"},
        {"<bob . smith @ x . example>", "bob.smith@x.example"},
        {"\"bob\".\"smith\"@x.example", "bob.smith@x.example"},
        {"\"bob smith\"@x.example", "\"bob smith\"@x.example"},
        {"\"bob\\ smith\"@x.example", "\"bob smith\"@x.example"},
        {"\"bob\r\n smith\"@x.example", "\"bob smith\"@x.example"},
        {"<@a.example,@b.example:bob@x.example>", "bob@x.example"},
        {"<@a.example,,@b.example: bob@x.example>", "bob@x.example"},
        {"bob@[192.0.2.1]", "bob@[192.0.2.1]"},
        {"bob@B\xC3\xBC"
         "cher.example",
         "bob@xn--bcher-kva.example"},
        {"a@x.example, B <b@x.example> ,c@x.example", "a@x.example b@x.example c@x.example"},
        {",a@x.example,, (nobody) ,b@x.example,", "a@x.example b@x.example"},
        {"Team: a@x.example, B <b@x.example>; , c@x.example",
         "a@x.example b@x.example c@x.example"},
        {"undisclosed-recipients:;", ""},
        {"undisclosed recipients : (none) ; (really)", ""},
        {"A: a@x.example;, \"B\": b@x.example;", "a@x.example b@x.example"},
        {"", ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check_list(cases[i].in, cases[i].want);
}

static void what_two_readers_could_read_differently_does_not_parse(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "bob",
        "Bob Smith",
        "bob smith@x.example",
        "bob(x)smith@x.example",
        "<a@x.example> <b@y.example>",
        "a@x.example <b@y.example>",
        "a@x.example b@y.example",
        "<a@x.example> b",
        "<a@x.example>, b",
        "a@x.example; b@y.example",
        "a@x.example@y.example",
        "<a@x.example",
        "a@x.example>",
        "<<a@x.example>>",
        "<a@x.example, b@y.example>",
        "<>",
        "<a>",
        "@x.example",
        "a@",
        "a@x..example",
        "a@x.example.",
        "\"a@x.example",
        "(a@x.example",
        "a@x.example)",
        "a@x.example (b\\",
        "\"a\\",
        "A: a@x.example",
        "A: B: a@x.example;;",
        "A: a@x.example;;",
        "A: a@x.example; b@x.example",
        ": a@x.example;",
        "A: a@x.example; b@x.example:;",
        "b\xC3\xB6\142@x.example",
        "a\r@x.example",
        "a\n @x.example",
        "a@x.example\r\nb",
        "\"a\r\nb\"@x.example",
        "a@x.example (\r\n)",
        "a@x.example (\x01)",
        "a@(\x01)x.example",
        "<(\x01)@y.example:a@x.example>",
        "A: a@x.example; (\x01)",
        "a\x7F@x.example",
        "=?utf-8?Q?a@b?= <a@x.example>",
        "=?utf-8?Q?a,b?= c <a@x.example>",
        "a@[192.0.2.1] x",
        "a@[ 192.0.2.1 ]",
        "a@x.example[192.0.2.1]",
        "<@a.example bob@x.example>",
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check_list(cases[i], NULL);
    char all[1000] = "";
    assert_false(address_list_walk(SLICE("a@x.example\0, b@x.example"), join, all));
    assert_false(address_list_walk(SLICE("a@x.example (\0)"), join, all));
    assert_false(address_list_walk(SLICE("\"\\\0\" <a@x.example>"), join, all));
}

static void comments_nest_to_a_depth_and_no_further(void **state)
{
    (void)state;
    char text[200], all[1000] = "";
    for (int depth = 15; depth <= 18; depth++) {
        int len = snprintf(text, sizeof text, "%.*s%.*s a@x.example", depth,
                           "((((((((((((((((((((((((", depth, "))))))))))))))))))))))))");
        assert_int_equal(address_list_walk((struct slice){text, (size_t)len}, join, all),
                         depth <= 16);
    }
}

static bool stop_at_second(void *context, const struct address *a)
{
    (void)a;
    return ++*(unsigned *)context < 2;
}

static void the_visitor_may_stop(void **state)
{
    (void)state;
    unsigned count = 0;
    assert_true(
        address_list_walk(SLICE("a@x.example,b@x.example,c@x.example"), stop_at_second, &count));
    assert_int_equal(count, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_read_as_the_wire_has_them),
        cmocka_unit_test(lengths_are_those_of_rfc_5321),
        cmocka_unit_test(a_bare_mailbox_may_have_a_utf8_domain),
        cmocka_unit_test(keys_compare_local_parts_without_case_and_quotes),
        cmocka_unit_test(lists_give_their_mailboxes),
        cmocka_unit_test(what_two_readers_could_read_differently_does_not_parse),
        cmocka_unit_test(comments_nest_to_a_depth_and_no_further),
        cmocka_unit_test(the_visitor_may_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
