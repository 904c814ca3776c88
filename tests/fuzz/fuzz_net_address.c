/* An IP address or network: what is accepted reads back as itself, and a network has its base. */
#include <string.h>

#include "gateway/net/address.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = fuzz_input(data, size);
    struct net_address a, again;
    struct net_network n;
    char text[NET_ADDRESS_SIZE];
    if (net_address_parse(in, &a)) {
        HOLDS(a.port == 0 && a.path[0] == '\0');
        HOLDS(fuzz_is_printable(net_address_text(&a, text)));
        HOLDS(net_address_parse(slice_of(text), &again) && net_address_equal(&a, &again));
        net_address_unmap(&again);
        HOLDS(net_address_is_loopback(&a) == net_address_is_loopback(&again));
    }
    if (net_network_parse(in, &n)) {
        HOLDS(n.prefix <= (n.base.family == NET_IPV4 ? 32 : 128));
        HOLDS(net_network_has(&n, &n.base));
    }
    return 0;
}
