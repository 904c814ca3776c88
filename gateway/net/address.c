#include "gateway/net/address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

enum { MAPPED_BITS = 96 };

static bool is_mapped(const struct net_address *a)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    return a->family == NET_IPV6 && memcmp(a->bytes, mapped, sizeof(mapped)) == 0;
}

/* A scope is a number or the name of an interface of this machine. */
static bool parse_scope(struct slice in, uint32_t *scope)
{
    char name[IF_NAMESIZE];
    uint64_t number;
    if (slice_number(in, UINT32_MAX, &number)) {
        *scope = (uint32_t)number;
        return number > 0;
    }
    if (in.len == 0 || !slice_copy(in, name, sizeof(name)))
        return false;
    *scope = if_nametoindex(name);
    return *scope > 0;
}

static bool parse_ipv6(struct slice in, bool may_have_scope, struct net_address *out)
{
    char text[INET6_ADDRSTRLEN];
    struct net_address a = {.family = NET_IPV6};
    ptrdiff_t percent = slice_find(in, '%');
    if (percent >= 0) {
        if (!may_have_scope || !parse_scope(slice_sub(in, (size_t)percent + 1, in.len), &a.scope))
            return false;
        in = slice_sub(in, 0, (size_t)percent);
    }
    if (!slice_copy(in, text, sizeof(text)) || inet_pton(AF_INET6, text, a.bytes) != 1)
        return false;
    *out = a;
    return true;
}

static bool parse_ipv4(struct slice in, struct net_address *out)
{
    char text[INET_ADDRSTRLEN];
    struct net_address a = {.family = NET_IPV4};
    if (!slice_copy(in, text, sizeof(text)) || inet_pton(AF_INET, text, a.bytes) != 1)
        return false;
    *out = a;
    return true;
}

bool net_address_parse(struct slice in, struct net_address *out)
{
    static const struct slice tag = {"IPv6:", 5};
    if (in.len >= 2 && in.data[0] == '[' && in.data[in.len - 1] == ']')
        in = slice_sub(in, 1, in.len - 2);
    if (slice_starts_nocase(in, tag))
        return parse_ipv6(slice_sub(in, tag.len, in.len), false, out);
    return slice_find(in, ':') >= 0 ? parse_ipv6(in, true, out) : parse_ipv4(in, out);
}

bool net_address_unix(struct slice path, struct net_address *out)
{
    struct net_address a = {.family = NET_UNIX};
    if (path.len == 0 || !slice_copy(path, a.path, sizeof(a.path)))
        return false;
    *out = a;
    return true;
}

const char *net_address_text(const struct net_address *a, char out[NET_ADDRESS_SIZE])
{
    out[0] = '\0';
    switch (a->family) {
    case NET_NONE:
        break;
    case NET_IPV4:
        inet_ntop(AF_INET, a->bytes, out, NET_ADDRESS_SIZE);
        break;
    case NET_IPV6:
        inet_ntop(AF_INET6, a->bytes, out, NET_ADDRESS_SIZE);
        if (a->scope > 0)
            snprintf(out + strlen(out), NET_ADDRESS_SIZE - strlen(out), "%%%u", a->scope);
        break;
    case NET_UNIX:
        snprintf(out, NET_ADDRESS_SIZE, "%s", a->path);
        break;
    }
    return out;
}

bool net_address_equal(const struct net_address *a, const struct net_address *b)
{
    if (a->family != b->family)
        return false;
    switch (a->family) {
    case NET_NONE:
        return true;
    case NET_IPV4:
        return a->port == b->port && memcmp(a->bytes, b->bytes, 4) == 0;
    case NET_IPV6:
        return a->port == b->port && a->scope == b->scope && memcmp(a->bytes, b->bytes, 16) == 0;
    case NET_UNIX:
        return strcmp(a->path, b->path) == 0;
    }
    return false;
}

void net_address_unmap(struct net_address *a)
{
    if (!is_mapped(a))
        return;
    memmove(a->bytes, a->bytes + 12, 4);
    memset(a->bytes + 4, 0, 12);
    a->family = NET_IPV4;
    a->scope = 0;
}

bool net_address_is_loopback(const struct net_address *a)
{
    static const uint8_t one[16] = {[15] = 1};
    struct net_address copy = *a;
    net_address_unmap(&copy);
    switch (copy.family) {
    case NET_NONE:
        return false;
    case NET_IPV4:
        return copy.bytes[0] == 127;
    case NET_IPV6:
        return memcmp(copy.bytes, one, sizeof(one)) == 0;
    case NET_UNIX:
        return true;
    }
    return false;
}

static unsigned address_bits(const struct net_address *a)
{
    return a->family == NET_IPV4 ? 32 : 128;
}

/* Are the first `prefix` bits of both the same? */
static bool same_prefix(const uint8_t *a, const uint8_t *b, unsigned prefix)
{
    unsigned whole = prefix / 8, rest = prefix % 8;
    if (memcmp(a, b, whole) != 0)
        return false;
    return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

static bool has_bits_behind(const struct net_address *a, unsigned prefix)
{
    for (unsigned bit = prefix; bit < address_bits(a); bit++)
        if (a->bytes[bit / 8] >> (7 - bit % 8) & 1)
            return true;
    return false;
}

bool net_network_parse(struct slice in, struct net_network *out)
{
    struct net_network n;
    ptrdiff_t slash = slice_find(in, '/');
    if (!net_address_parse(slash < 0 ? in : slice_sub(in, 0, (size_t)slash), &n.base) ||
        n.base.scope != 0)
        return false;
    uint64_t prefix = address_bits(&n.base);
    if (slash >= 0) {
        struct slice digits = slice_sub(in, (size_t)slash + 1, in.len);
        if (digits.len > 1 && digits.data[0] == '0')
            return false;
        if (!slice_number(digits, prefix, &prefix))
            return false;
    }
    if (has_bits_behind(&n.base, (unsigned)prefix))
        return false;
    /* Addresses are unmapped before they are compared, so the network must be too. */
    if (is_mapped(&n.base) && prefix >= MAPPED_BITS) {
        net_address_unmap(&n.base);
        prefix -= MAPPED_BITS;
    }
    n.prefix = (uint8_t)prefix;
    *out = n;
    return true;
}

bool net_network_has(const struct net_network *n, const struct net_address *a)
{
    struct net_address copy = *a;
    net_address_unmap(&copy);
    if (copy.family != n->base.family || (copy.family != NET_IPV4 && copy.family != NET_IPV6))
        return false;
    return same_prefix(n->base.bytes, copy.bytes, n->prefix);
}
