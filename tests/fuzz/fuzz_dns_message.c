/* Rdata from strangers through every reader. The first byte chooses the type, the second how the
 * rest is cut into records. */
#include <stdlib.h>
#include <string.h>

#include "gateway/dns/message.h"
#include "gateway/dns/tlsa.h"
#include "tests/fuzz/fuzz.h"

static void check_name(const char *name)
{
    HOLDS(strlen(name) > 0 && strlen(name) <= 253);
    if (strcmp(name, ".") == 0)
        return;
    HOLDS(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == strlen(name));
    HOLDS(name[0] != '.' && name[strlen(name) - 1] != '.' && !strstr(name, ".."));
}

static void check_names(struct slice in)
{
    char name[DOMAIN_SIZE];
    char folded[DOMAIN_SIZE];
    unsigned preference;
    struct slice rest = in;
    if (dns_read_name(&rest, name)) {
        check_name(name);
        HOLDS(rest.len < in.len);
        HOLDS(rest.len == 0 || rest.data + rest.len == in.data + in.len);
        HOLDS(dns_fold_name(slice_of(name), folded) && strcmp(name, folded) == 0);
    } else {
        HOLDS(rest.data == in.data && rest.len == in.len);
    }
    if (dns_read_mx(in, &preference, name)) {
        check_name(name);
        HOLDS(preference <= 65535);
    }
    (void)!dns_fold_name(in, folded);
}

static void check_addresses(struct slice in)
{
    struct net_address a;
    HOLDS(dns_read_a(in, &a) == (in.len == 4));
    HOLDS(dns_read_aaaa(in, &a) == (in.len == 16));
}

static void check_tlsa(struct slice in, size_t step)
{
    struct slice records[DNS_TLSA_MAX + 10];
    struct dns_tlsa_record *kept;
    size_t count = 0;
    while (in.len > 0 && count < COUNT_OF(records)) {
        records[count++] = slice_sub(in, 0, step);
        in = slice_sub(in, step, in.len);
    }
    size_t left = dns_tlsa_filter(records, count, &kept);
    HOLDS(left <= count && left <= DNS_TLSA_MAX && (left == 0) == (kept == NULL));
    for (size_t i = 0; i < left; i++) {
        HOLDS(dns_tlsa_is_usable(&kept[i]));
        for (size_t j = 0; j < left; j++)
            HOLDS(kept[i].usage != kept[j].usage || kept[i].selector != kept[j].selector ||
                  kept[i].matching == 0 || kept[j].matching == 0 ||
                  kept[i].matching == kept[j].matching);
    }
    free(kept);
}

static void check_txt(struct slice in)
{
    size_t len = 0;
    char *out = malloc(in.len ? in.len : 1);
    if (dns_read_txt(in, out, &len))
        HOLDS(in.len > 0 && len < in.len && in.len - len >= (in.len + 255) / 256);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = fuzz_input(data, size);
    unsigned type = fuzz_choice(&in);
    size_t step = fuzz_choice(&in) + 1;
    /* Numbers that no input of the other three types had when texts came. */
    if (type >= 128)
        check_txt(in);
    else if (type % 3 == 0)
        check_names(in);
    else if (type % 3 == 1)
        check_addresses(in);
    else
        check_tlsa(in, step);
    return 0;
}
