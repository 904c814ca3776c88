#include "gateway/section.h"

#include <string.h>

#include "gateway/schema.h"

/* The table lets nothing else through; what is not set at all has been reported. */
static void expect(struct section s, const char *key, bool is_read)
{
    if (!is_read && !section_has_errors(s))
        panic("unchecked value of %s", key);
}

int64_t section_number(struct section s, const char *key)
{
    uint64_t value = 0;
    expect(s, key, slice_number(slice_of(section_text(s, key)), INT64_MAX, &value));
    return (int64_t)value;
}

int64_t section_duration(struct section s, const char *key)
{
    int64_t ms = 0;
    expect(s, key, schema_duration(slice_of(section_text(s, key)), &ms));
    return ms;
}

uint64_t section_octets(struct section s, const char *key)
{
    uint64_t size = 0;
    expect(s, key, schema_size(slice_of(section_text(s, key)), &size));
    return size;
}

bool section_is(struct section s, const char *key, const char *word)
{
    return strcmp(section_text(s, key), word) == 0;
}

struct net_network *section_networks(struct section s, const char *key, size_t *count)
{
    unsigned size = section_count(s, key);
    struct net_network *out = xalloc((size + 1) * sizeof *out);
    for (unsigned i = 0; i < size; i++)
        if (!net_network_parse(slice_of(section_item(s, key, i)), &out[i]))
            panic("unchecked network in %s", key);
    *count = size;
    return out;
}

struct net_address *section_addresses(struct section s, const char *key, uint16_t port,
                                      size_t *count)
{
    unsigned size = section_count(s, key);
    struct net_address *out = xalloc((2 * size + 1) * sizeof *out);
    *count = 0;
    for (unsigned i = 0; i < size; i++) {
        const char *value = section_item(s, key, i);
        if (strcmp(value, "*") == 0) {
            out[(*count)++] = (struct net_address){.family = NET_IPV4, .port = port};
            out[(*count)++] = (struct net_address){.family = NET_IPV6, .port = port};
            continue;
        }
        if (!net_address_parse(slice_of(value), &out[*count]))
            panic("unchecked address in %s", key);
        out[(*count)++].port = port;
    }
    return out;
}

void section_domain(struct section s, const char *key, char out[DOMAIN_SIZE])
{
    const char *name = section_text(s, key);
    out[0] = '\0';
    if (name[0] != '\0' && !domain_to_ascii(slice_of(name), out))
        panic("unchecked name %s", key);
}
