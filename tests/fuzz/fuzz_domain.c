/* A domain name: the A-label form is a fixed point, and what people see leads back to it. */
#include <string.h>

#include "mail/domain.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char ascii[DOMAIN_SIZE], again[DOMAIN_SIZE], shown[1100];
    if (!domain_to_ascii(fuzz_input(data, size), ascii)) {
        HOLDS(ascii[0] == '\0');
        return 0;
    }
    HOLDS(strlen(ascii) <= 253);
    HOLDS(strspn(ascii, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == strlen(ascii));
    HOLDS(domain_to_ascii(slice_of(ascii), again) && strcmp(ascii, again) == 0);
    HOLDS(domain_matches(ascii, ascii));
    domain_to_unicode(ascii, shown, sizeof shown);
    HOLDS(domain_to_ascii(slice_of(shown), again) && strcmp(ascii, again) == 0);
    return 0;
}
