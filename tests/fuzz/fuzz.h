/* fuzz.h - what the targets share. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include "mail/slice.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property that must hold for every input. */
#define HOLDS(claim)                                                                               \
    do {                                                                                           \
        if (!(claim))                                                                              \
            panic("%s:%d: does not hold: %s", __FILE__, __LINE__, #claim);                         \
    } while (0)

/* Takes one byte off the front as a choice for the target: 0 when there is none left. */
static inline unsigned fuzz_choice(struct slice *in)
{
    unsigned choice = in->len > 0 ? (uint8_t)in->data[0] : 0;
    *in = slice_sub(*in, 1, in->len);
    return choice;
}

static inline struct slice fuzz_input(const uint8_t *data, size_t size)
{
    return (struct slice){(const char *)data, size};
}

/* Printable ASCII alone: nothing in it can end a line or a field. */
static inline bool fuzz_is_printable(const char *text)
{
    for (; *text; text++)
        if (*text < 32 || *text > 126)
            return false;
    return true;
}

#endif
