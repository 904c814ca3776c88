/* A header section: no octet is lost between fields, and nothing is lifted in doubt. */
#include <string.h>

#include "mail/header.h"
#include "tests/fuzz/fuzz.h"

static bool check_address(void *context, const struct address *a)
{
    (void)context;
    HOLDS(fuzz_is_printable(a->text) && !address_is_null(a));
    return true;
}

static void check_named(const struct header_named *named)
{
    HOLDS(named->count <= HEADER_NAMED_MAX && (named->fields > 0 || named->count == 0));
    HOLDS(named->is_unreadable ? named->count == 0 : named->fields == 0 || named->count > 0);
    HOLDS(!named->is_unreadable || named->seen.len <= sizeof named->seen.text);
    header_named_walk(named, check_address, NULL);
}

static unsigned count_fields(struct slice section, struct slice name)
{
    struct header_field field;
    unsigned count = 0;
    while (header_next(&section, &field))
        count += slice_equal_nocase(field.name, name);
    return count;
}

static void check_fields(struct slice section)
{
    struct header_field field;
    struct slice rest = section;
    size_t octets = 0;
    while (header_next(&rest, &field)) {
        HOLDS(field.whole.len > 0 && field.whole.data == section.data + octets);
        octets += field.whole.len;
        HOLDS(field.value.len <= field.whole.len && field.name.len < field.whole.len + 1);
    }
    HOLDS(octets == section.len);
}

static void check_copies(struct slice section)
{
    static const struct slice drop[] = {{"Bcc", 3}, {"From", 4}};
    char value[32];
    struct buffer all, some;
    buffer_init(&all, section.len);
    buffer_init(&some, section.len);
    HOLDS(header_copy_without(section, NULL, 0, &all));
    HOLDS(slice_equal(buffer_slice(&all), section));
    HOLDS(header_copy_without(section, drop, COUNT_OF(drop), &some));
    HOLDS(count_fields(buffer_slice(&some), drop[1]) == 0);
    bool has_from = header_value(section, drop[1], value, sizeof value);
    HOLDS(has_from == (count_fields(section, drop[1]) > 0));
    HOLDS(!strpbrk(value, "\r\n"));
    buffer_free(&all);
    buffer_free(&some);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct header_facts facts;
    struct slice section = fuzz_input(data, size);
    header_scan(section, &facts);
    HOLDS(!facts.is_auto_replied || (facts.auto_submitted <= 1 && !facts.is_malformed));
    HOLDS(!facts.tls_required_no || (facts.tls_required == 1 && !facts.is_malformed));
    HOLDS(facts.auto_submitted == count_fields(section, SLICE("Auto-Submitted")));
    HOLDS(facts.from.fields == count_fields(section, SLICE("From")));
    HOLDS(!strpbrk(facts.message_id, "\r\n"));
    check_named(&facts.from);
    check_named(&facts.sender);
    for (unsigned i = 0; i < HEADER_FORWARDING_COUNT; i++)
        check_named(&facts.forwarding[i]);
    check_fields(section);
    check_copies(section);
    return 0;
}
