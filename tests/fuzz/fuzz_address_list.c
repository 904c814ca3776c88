/* A header's address list: each mailbox found is one that a path could hold, and none comes out of
 * a list whose bytes hold no '@'. */
#include <string.h>

#include "mail/address.h"
#include "tests/fuzz/fuzz.h"

static bool check(void *context, const struct address *a)
{
    struct address again;
    ++*(size_t *)context;
    HOLDS(fuzz_is_printable(a->text) && address_domain(a)[0] != '\0');
    HOLDS(address_parse(slice_of(a->text), &again) == ADDRESS_OK);
    HOLDS(strcmp(again.text, a->text) == 0);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = fuzz_input(data, size);
    size_t count = 0, signs = 0;
    bool is_good = address_list_walk(in, check, &count);
    for (size_t i = 0; i < size; i++)
        signs += data[i] == '@';
    HOLDS(count <= signs);
    HOLDS(!is_good || size == 0 || slice_find(in, '\0') < 0);
    return 0;
}
