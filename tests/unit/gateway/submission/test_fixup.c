#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/submission/fixup.h"

#define NOW 1795361330

static struct fixup base(void)
{
    return (struct fixup){.hostname = "mail.example.org",
                          .id = "3FGX",
                          .at = NOW,
                          .tls_protocol = "TLSv1.3",
                          .tls_cipher = "TLS_AES_256_GCM_SHA384"};
}

static const char *apply(const struct fixup *f, const char *section)
{
    static struct buffer out;
    struct header_facts facts;
    buffer_free(&out);
    buffer_init(&out, 65536);
    header_scan(slice_of(section), &facts);
    assert_true(fixup_apply(f, slice_of(section), &facts, &out));
    return buffer_text(&out);
}

#define RECEIVED                                                                                   \
    "Received: from localhost (authenticated)\r\n by mail.example.org with ESMTPSA (TLSv1.3 "      \
    "TLS_AES_256_GCM_SHA384)\r\n id 3FGX;\r\n Sun, 22 Nov 2026 15:28:50 +0000\r\n"
#define DATE "Date: Mon, 1 Jan 2024 00:00:00 +0000\r\n"
#define ID "Message-ID: <x@y>\r\n"
#define FROM "From: alice@example.org\r\n"
#define MADE_DATE "Date: Sun, 22 Nov 2026 15:28:50 +0000\r\n"
#define MADE_ID "Message-ID: <1795361330.3FGX@mail.example.org>\r\n"

static void the_header_section_is_fixed_up(void **state)
{
    (void)state;
    static const struct {
        const char *given, *want;
    } cases[] = {
        {DATE ID FROM, RECEIVED DATE ID FROM},
        {ID FROM, RECEIVED ID FROM MADE_DATE},
        {DATE FROM, RECEIVED DATE FROM MADE_ID},
        {FROM, RECEIVED FROM MADE_DATE MADE_ID},
        {"", RECEIVED MADE_DATE MADE_ID},
        {"date: yes\r\nMESSAGE-ID : <a@b>\r\n" FROM,
         RECEIVED "date: yes\r\nMESSAGE-ID : <a@b>\r\n" FROM},
        {DATE "Bcc: secret@example.net\r\n" ID FROM, RECEIVED DATE ID FROM},
        {DATE "bCC:\r\n a@b,\r\n\tc@d\r\n" ID "BCC: again\r\n" FROM, RECEIVED DATE ID FROM},
        {"Resent-Bcc: x@y\r\n" DATE ID FROM, RECEIVED DATE ID FROM},
        {"Return-Path: <x@y>\r\n" DATE ID FROM, RECEIVED DATE ID FROM},
        {"X-Originating-IP: [192.0.2.1]\r\n" DATE ID FROM, RECEIVED DATE ID FROM},
        {DATE ID "X-Bcc: stays\r\nBcc-Like: stays\r\n" FROM,
         RECEIVED DATE ID "X-Bcc: stays\r\nBcc-Like: stays\r\n" FROM},
    };
    struct fixup f = base();
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_string_equal(apply(&f, cases[i].given), cases[i].want);
}

static void for_names_the_only_recipient(void **state)
{
    (void)state;
    struct fixup f = base();
    f.only_recipient = "bob@example.net";
    assert_string_equal(apply(&f, DATE ID FROM),
                        "Received: from localhost (authenticated)\r\n by mail.example.org with "
                        "ESMTPSA (TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n id 3FGX\r\n for "
                        "<bob@example.net>;\r\n Sun, 22 Nov 2026 15:28:50 +0000\r\n" DATE ID FROM);
}

static void the_relay_listener_adds_received_and_nothing_else(void **state)
{
    (void)state;
    struct fixup f = base();
    f.is_relay = true;
    assert_string_equal(apply(&f, "Bcc: x@y\r\nReturn-Path: <z>\r\n"),
                        "Received: from localhost\r\n by mail.example.org with ESMTPS (TLSv1.3 "
                        "TLS_AES_256_GCM_SHA384)\r\n id 3FGX;\r\n Sun, 22 Nov 2026 15:28:50 "
                        "+0000\r\nBcc: x@y\r\nReturn-Path: <z>\r\n");
    f.tls_protocol = NULL;
    assert_string_equal(apply(&f, FROM),
                        "Received: from localhost\r\n by mail.example.org with ESMTP\r\n id "
                        "3FGX;\r\n Sun, 22 Nov 2026 15:28:50 +0000\r\n" FROM);
}

static void a_buffer_that_is_too_small_is_told(void **state)
{
    (void)state;
    struct fixup f = base();
    for (size_t ceiling = 0; ceiling < strlen(RECEIVED DATE ID FROM MADE_DATE); ceiling++) {
        struct header_facts facts;
        struct buffer out;
        buffer_init(&out, ceiling);
        header_scan(SLICE(FROM ID), &facts);
        if (ceiling < strlen(RECEIVED FROM ID MADE_DATE))
            assert_false(fixup_apply(&f, SLICE(FROM ID), &facts, &out));
        buffer_free(&out);
    }
}

static bool alice_owns(void *context, const struct address *a)
{
    (void)context;
    return strcmp(a->text, "alice@example.org") == 0;
}

static void what_is_refused_and_with_which_reply(void **state)
{
    (void)state;
    static const struct {
        const char *given;
        bool is_relay;
        unsigned code, subject, detail;
    } cases[] = {
        {FROM, false, 0, 0, 0},
        {"From: Alice <alice@example.org>\r\n", false, 0, 0, 0},
        {"From: bob@example.org\r\n", false, 550, 7, 1},
        {"Subject: none\r\n", false, 550, 7, 1},
        {"", false, 550, 7, 1},
        {FROM FROM, false, 550, 7, 1},
        {"From: alice@example.org, bob@example.org\r\n", false, 550, 7, 1},
        {FROM "Sender: bob@example.org\r\n", false, 550, 7, 1},
        {"From: bob@example.org\r\n", true, 0, 0, 0},
        {"no field\r\n" FROM, false, 554, 6, 0},
        {"no field\r\n" FROM, true, 0, 0, 0},
        {FROM "Received: 1\r\nReceived: 2\r\nReceived: 3\r\n", false, 0, 0, 0},
        {FROM "Received: 1\r\nReceived: 2\r\nReceived: 3\r\nreceived: 4\r\n", false, 554, 4, 6},
        {FROM "Received: 1\r\nReceived: 2\r\nReceived: 3\r\nreceived: 4\r\n", true, 554, 4, 6},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct header_facts facts;
        header_scan(slice_of(cases[i].given), &facts);
        struct command_error got = fixup_check(&facts, 3, cases[i].is_relay, alice_owns, NULL);
        assert_int_equal(got.code, cases[i].code);
        assert_int_equal(got.status.subject, cases[i].subject);
        assert_int_equal(got.status.detail, cases[i].detail);
        assert_int_equal(got.text != NULL, got.code != 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_header_section_is_fixed_up),
        cmocka_unit_test(for_names_the_only_recipient),
        cmocka_unit_test(the_relay_listener_adds_received_and_nothing_else),
        cmocka_unit_test(a_buffer_that_is_too_small_is_told),
        cmocka_unit_test(what_is_refused_and_with_which_reply),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
