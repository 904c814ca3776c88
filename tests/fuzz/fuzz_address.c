/* A path or mailbox: what is accepted is safe to write, and reads back as itself. */
#include <string.h>

#include "mail/address.h"
#include "tests/fuzz/fuzz.h"

static void check(const struct address *a)
{
    struct address again;
    char key[ADDRESS_SIZE], path[ADDRESS_SIZE + 2] = "<";
    HOLDS(fuzz_is_printable(a->text));
    HOLDS(a->local_len <= 64 && a->local_len <= strlen(a->text));
    HOLDS(address_domain(a)[0] == '\0' || a->text[a->local_len] == '@');
    address_key(a, key);
    HOLDS(fuzz_is_printable(key) && address_equal(a, a));
    memcpy(path + 1, a->text, strlen(a->text) + 1);
    memcpy(path + strlen(path), ">", 2);
    struct slice in = slice_of(path);
    HOLDS(address_parse_path(&in, &again) == ADDRESS_OK && in.len == 0);
    HOLDS(strcmp(again.text, a->text) == 0 && again.is_literal == a->is_literal);
    if (address_domain(a)[0] != '\0') {
        HOLDS(address_parse(slice_of(a->text), &again) == ADDRESS_OK);
        HOLDS(strcmp(again.text, a->text) == 0 && again.local_len == a->local_len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = fuzz_input(data, size), rest = in;
    struct address a;
    if (address_parse_path(&rest, &a) == ADDRESS_OK) {
        HOLDS(rest.len < in.len && in.data[in.len - rest.len - 1] == '>');
        check(&a);
    } else {
        HOLDS(rest.len == in.len && address_is_null(&a));
    }
    if (address_parse(in, &a) == ADDRESS_OK) {
        HOLDS(address_domain(&a)[0] != '\0');
        check(&a);
    } else {
        HOLDS(address_is_null(&a));
    }
    return 0;
}
