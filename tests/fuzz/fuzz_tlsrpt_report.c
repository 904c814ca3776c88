/* A report from whatever was counted: the JSON is read back by jansson and says the same numbers,
 * and the mail around it keeps its form. Lines: the first octet chooses, the rest is text. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/tlsrpt/letter.h"
#include "tests/fuzz/fuzz.h"

enum { ENTRIES_MAX = 64 };

static char *copy_of(struct slice s)
{
    char *text = xalloc(s.len + 1);
    for (size_t i = 0; i < s.len; i++)
        text[i] = (char)(s.data[i] ? s.data[i] : 1); /* texts of the store end at a NUL */
    return text;
}

static void fill(char *out, size_t size, const char *text)
{
    size_t len = strnlen(text, size - 1);
    memcpy(out, text, len);
    out[len] = '\0';
}

/* Numbers of all sizes out of a few octets. */
static uint64_t number_of(struct slice s)
{
    uint64_t number = 0;
    for (size_t i = 0; i < s.len && i < 9; i++)
        number = number * 256 + (uint8_t)s.data[i];
    return number;
}

/* Returns what was added to the failures that are listed. */
static size_t add_line(struct document *d, struct slice line, bool *has_policy)
{
    char *text = copy_of(slice_sub(line, 1, line.len));
    char *strings = copy_of(slice_sub(line, line.len / 2, line.len));
    for (char *p = strings; *p; p++)
        if (*p == '|')
            *p = '\n';
    struct queue_tlsrpt_policy policy = {
        .type = (enum queue_tlsrpt_type)((uint8_t)line.data[0] % 3),
        .strings = strings,
        .mx_hosts = text,
        .successes = number_of(line),
        .failures = number_of(slice_sub(line, 3, line.len)),
    };
    struct queue_tlsrpt_failure failure = {
        .cause = (enum queue_tlsrpt_cause)((uint8_t)line.data[0] % 11),
        .count = number_of(slice_sub(line, 1, line.len)),
    };
    fill(failure.mx_host, sizeof failure.mx_host, text);
    fill(failure.reason, sizeof failure.reason, strings);
    fill(failure.sending_address, sizeof failure.sending_address, strings);
    fill(failure.receiving_helo, sizeof failure.receiving_helo, text);
    bool is_failure = (uint8_t)line.data[0] & 0x80;
    HOLDS(document_add(d, &policy, is_failure ? &failure : NULL));
    size_t listed = is_failure && *has_policy;
    *has_policy = *has_policy || !is_failure;
    free(text);
    free(strings);
    return listed;
}

static void check_text(const json_t *value)
{
    const char *text = json_string_value(value);
    HOLDS(!value || (text && strpbrk(text, "\r\n\t\033") == NULL));
}

static size_t check_policy(const json_t *entry)
{
    const json_t *policy = json_object_get(entry, "policy");
    const json_t *summary = json_object_get(entry, "summary");
    const json_t *failures = json_object_get(entry, "failure-details");
    const json_t *strings = json_object_get(policy, "policy-string");
    HOLDS(json_is_string(json_object_get(policy, "policy-type")));
    HOLDS(json_is_string(json_object_get(policy, "policy-domain")));
    HOLDS(!strings || (json_is_array(strings) && json_array_size(strings) > 0));
    for (size_t i = 0; i < json_array_size(strings); i++)
        check_text(json_array_get(strings, i));
    HOLDS(json_integer_value(json_object_get(summary, "total-successful-session-count")) >= 0);
    HOLDS(json_integer_value(json_object_get(summary, "total-failure-session-count")) >= 0);
    for (size_t i = 0; i < json_array_size(failures); i++) {
        const json_t *one = json_array_get(failures, i);
        HOLDS(json_is_string(json_object_get(one, "result-type")));
        HOLDS(json_is_integer(json_object_get(one, "failed-session-count")));
        HOLDS(json_integer_value(json_object_get(one, "failed-session-count")) >= 0);
        check_text(json_object_get(one, "failure-reason-code"));
        check_text(json_object_get(one, "receiving-mx-hostname"));
    }
    return json_array_size(failures);
}

static void check_letter(const struct document_head *head, struct slice report)
{
    struct tlsrpt_place place = {.kind = TLSRPT_MAILTO, .address = "a@a.example"};
    struct tlsrpt_places places = {1, &place};
    struct letter letter = {
        .head = *head,
        .from = "from@x.example",
        .places = &places,
        .queue_id = "1",
        .now = 1,
        .report = report,
    };
    struct buffer packed, mail;
    struct slice left, line;
    buffer_init(&packed, DOCUMENT_MAX);
    buffer_init(&mail, 2 * DOCUMENT_MAX);
    HOLDS(document_pack(report, &packed));
    letter.report = buffer_slice(&packed);
    HOLDS(letter_write(&letter, &mail));
    left = buffer_slice(&mail);
    while (slice_cut(&left, '\n', &line))
        HOLDS(line.len > 0 && line.len <= 999 && line.data[line.len - 1] == '\r' &&
              !slice_has_8bit(line));
    buffer_free(&packed);
    buffer_free(&mail);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = fuzz_input(data, size);
    struct slice line = {0};
    struct document_head head = {.hostname = "mail.x.example", .domain = "y.example", .day = 16892};
    bool has_policy = false;
    size_t listed = 0;
    size_t found = 0;
    (void)slice_cut(&in, '\n', &line);
    char *organization = copy_of(line);
    head.organization = head.contact = organization;
    struct document *d = document_new(&head);
    for (size_t i = 0; i < ENTRIES_MAX && slice_cut(&in, '\n', &line); i++)
        if (line.len > 0)
            listed += add_line(d, line, &has_policy);
    struct buffer text;
    buffer_init(&text, DOCUMENT_MAX);
    HOLDS(document_write(d, &text));
    json_error_t error;
    json_t *json = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, &error);
    HOLDS(json);
    const json_t *policies = json_object_get(json, "policies");
    HOLDS(json_array_size(policies) == document_policies(d));
    for (size_t i = 0; i < json_array_size(policies); i++)
        found += check_policy(json_array_get(policies, i));
    HOLDS(found == listed);
    check_text(json_object_get(json, "organization-name"));
    check_letter(&head, buffer_slice(&text));
    json_decref(json);
    buffer_free(&text);
    document_free(d);
    free(organization);
    return 0;
}
