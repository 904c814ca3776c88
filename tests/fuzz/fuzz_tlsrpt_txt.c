/* The TXT records of _smtp._tls.DOMAIN, one a line. */
#include <string.h>

#include "gateway/tlsrpt/txt.h"
#include "mail/address.h"
#include "tests/fuzz/fuzz.h"

static void check_place(const struct tlsrpt_place *p)
{
    struct address address;
    if (p->kind == TLSRPT_MAILTO) {
        /* It stands in a header field and in an envelope as it is. */
        HOLDS(address_parse(slice_of(p->address), &address) == ADDRESS_OK);
        HOLDS(strcmp(address.text, p->address) == 0 && !address.is_literal);
        HOLDS(strpbrk(p->address, "\r\n <>,") == NULL || strchr(p->address, '"') != NULL);
        HOLDS(strpbrk(p->address, "\r\n") == NULL);
        return;
    }
    HOLDS(p->kind == TLSRPT_HTTPS && p->url.host[0] != '\0' && p->url.path[0] == '/');
    HOLDS(p->address[0] == '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = fuzz_input(data, size);
    struct slice texts[8];
    struct tlsrpt_places places;
    size_t count = 0;
    const char *why;
    while (count < COUNT_OF(texts) && slice_cut(&in, '\n', &texts[count]))
        count++;
    enum tlsrpt_txt txt = tlsrpt_txt_read(texts, count, &places, &why);
    HOLDS((txt == TLSRPT_TXT_VALID) == (places.count > 0));
    HOLDS((txt == TLSRPT_TXT_VALID) == (why[0] == '\0'));
    HOLDS(places.count <= TLSRPT_PLACES_MAX);
    for (size_t i = 0; i < places.count; i++)
        check_place(&places.list[i]);
    tlsrpt_places_clear(&places);
    return 0;
}
