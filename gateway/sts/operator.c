#include "gateway/sts/operator.h"

#include <stdio.h>
#include <string.h>

#define HALF_OF_IPV6 8 /* octets that name the network */

/* Where the label that ends before `end` begins. */
static size_t label_before(const char *domain, size_t end)
{
    while (end > 0 && domain[end - 1] != '.')
        end--;
    return end;
}

static const char *registered(const char *domain)
{
    size_t len = strlen(domain);
    size_t last = label_before(domain, len);
    if (last == 0)
        return domain;
    size_t second = label_before(domain, last - 1);
    bool is_below_country = len - last == 2 && last - 1 - second <= 3;
    if (is_below_country && second > 0)
        second = label_before(domain, second - 1);
    return domain + second;
}

static void add_address(struct sts_operator *o, const struct net_address *address)
{
    struct net_address network = *address;
    char text[NET_ADDRESS_SIZE];
    net_address_unmap(&network);
    if (network.family == NET_IPV6)
        memset(network.bytes + HALF_OF_IPV6, 0, sizeof network.bytes - HALF_OF_IPV6);
    snprintf(o->marks[o->count], DOMAIN_SIZE, "%s", net_address_text(&network, text));
    for (size_t i = 0; i < o->count; i++) {
        if (strcmp(o->marks[i], o->marks[o->count]) == 0)
            return;
    }
    o->count++;
}

void operator_of(const char *domain, const struct net_address *addresses, size_t count,
                 struct sts_operator *out)
{
    *out = (struct sts_operator){.count = 1};
    snprintf(out->marks[OPERATOR_DOMAIN_MARK], DOMAIN_SIZE, "%s", registered(domain));
    for (size_t i = 0; i < count && i < OPERATOR_ADDRESSES_MAX; i++)
        add_address(out, &addresses[i]);
}

bool operator_is_related(const struct sts_operator *a, const struct sts_operator *b)
{
    for (size_t i = 0; i < a->count; i++) {
        for (size_t n = 0; n < b->count; n++) {
            if (strcmp(a->marks[i], b->marks[n]) == 0)
                return true;
        }
    }
    return false;
}
