#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "gateway/tlsrpt/letter.h"

static struct tlsrpt_place list[] = {
    {.kind = TLSRPT_MAILTO, .address = "a@a.example"},
    {.kind = TLSRPT_HTTPS, .url = {.host = "b.example"}},
    {.kind = TLSRPT_MAILTO, .address = "c@c.example"},
};
static const struct tlsrpt_places places = {COUNT_OF(list), list};

static struct letter letter_of(struct slice report)
{
    return (struct letter){
        .head = {.organization = "Company-X",
                 .contact = "contact@company-x.example",
                 .hostname = "mail.company-x.example",
                 .domain = "company-y.example",
                 .day = 16892},
        .from = "from@company-x.example",
        .places = &places,
        .queue_id = "4f2a",
        .now = (int64_t)16893 * 86400 + 60,
        .report = report,
    };
}

static void a_report_is_a_mail_as_the_rfc_wants_it(void **state)
{
    static const char want[] =
        "Date: Sat, 2 Apr 2016 00:01:00 +0000\r\n"
        "From: <from@company-x.example>\r\n"
        "To: <a@a.example>,\r\n"
        " <c@c.example>\r\n"
        "Subject: Report Domain: company-y.example\r\n"
        " Submitter: mail.company-x.example\r\n"
        " Report-ID: <2016-04-01.company-y.example@mail.company-x.example>\r\n"
        "Message-ID: <4f2a.tls-report@mail.company-x.example>\r\n"
        "TLS-Report-Domain: company-y.example\r\n"
        "TLS-Report-Submitter: mail.company-x.example\r\n"
        "TLS-Required: No\r\n"
        "Auto-Submitted: auto-generated\r\n"
        "MIME-Version: 1.0\r\n"
        "Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n"
        "\tboundary=\"=_ tls report\"\r\n"
        "\r\n"
        "--=_ tls report\r\n"
        "Content-Type: text/plain; charset=us-ascii\r\n"
        "\r\n"
        "This is a report about TLS in mail to the domain\r\n"
        "    company-y.example\r\n"
        "on 2016-04-01 (UTC), as the mail gateway\r\n"
        "    mail.company-x.example\r\n"
        "saw it (RFC 8460). The TXT record of _smtp._tls.DOMAIN asks for it.\r\n"
        "\r\n"
        "--=_ tls report\r\n"
        "Content-Type: application/tlsrpt+gzip\r\n"
        "Content-Transfer-Encoding: base64\r\n"
        "Content-Disposition: attachment;\r\n"
        "\tfilename=\"mail.company-x.example!company-y.example!1459468800!1459555199!001.json.gz\""
        "\r\n"
        "\r\n"
        "AAEC/w==\r\n"
        "--=_ tls report--\r\n";
    struct buffer out;
    (void)state;
    struct letter l = letter_of(SLICE("\0\1\2\377"));
    buffer_init(&out, 1 << 20);
    assert_true(letter_write(&l, &out));
    assert_string_equal(buffer_text(&out), want);
    buffer_free(&out);
}

static void base64_has_lines_of_76(void **state)
{
    static const struct {
        size_t len;
        const char *last; /* line of the attachment */
    } cases[] = {
        {1, "eA=="}, {2, "eHg="}, {3, "eHh4"}, {57, "x76"}, {58, "eA=="}, {114, "x76"},
    };
    char octets[200];
    (void)state;
    memset(octets, 'x', sizeof octets);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buffer out;
        struct letter l = letter_of((struct slice){octets, cases[i].len});
        buffer_init(&out, 1 << 20);
        assert_true(letter_write(&l, &out));
        const char *end = strstr(buffer_text(&out), "\r\n--=_ tls report--\r\n");
        assert_non_null(end);
        const char *begin = end;
        while (begin[-1] != '\n')
            begin--;
        size_t len = (size_t)(end - begin);
        if (strcmp(cases[i].last, "x76") == 0)
            assert_int_equal(len, 76);
        else
            assert_true(slice_equal((struct slice){begin, len}, slice_of(cases[i].last)));
        buffer_free(&out);
    }
}

static void no_line_is_longer_than_mail_allows(void **state)
{
    char name[DOMAIN_SIZE];
    struct buffer out;
    struct slice left, line;
    (void)state;
    memset(name, 'x', DOMAIN_MAX);
    name[DOMAIN_MAX] = '\0';
    struct letter l = letter_of(SLICE("report"));
    l.head.hostname = l.head.domain = name;
    buffer_init(&out, 1 << 20);
    assert_true(letter_write(&l, &out));
    left = buffer_slice(&out);
    while (slice_cut(&left, '\n', &line))
        assert_true(line.len <= 999 && line.data[line.len - 1] == '\r');
    buffer_free(&out);
}

static void a_letter_that_does_not_fit_is_none(void **state)
{
    (void)state;
    struct letter l = letter_of(SLICE("report"));
    struct buffer whole;
    buffer_init(&whole, 1 << 20);
    assert_true(letter_write(&l, &whole));
    for (size_t ceiling = 0; ceiling <= whole.len; ceiling++) {
        struct buffer out;
        buffer_init(&out, ceiling);
        assert_true(letter_write(&l, &out) == (ceiling == whole.len));
        buffer_free(&out);
    }
    buffer_free(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_is_a_mail_as_the_rfc_wants_it),
        cmocka_unit_test(base64_has_lines_of_76),
        cmocka_unit_test(no_line_is_longer_than_mail_allows),
        cmocka_unit_test(a_letter_that_does_not_fit_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
