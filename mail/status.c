#include "mail/status.h"

#include <stdio.h>

struct status status_make(unsigned class, unsigned subject, unsigned detail)
{
    if ((class != 2 && class != 4 && class != 5) || subject > 999 || detail > 999)
        panic("status_make: %u.%u.%u", class, subject, detail);
    return (struct status){(uint8_t) class, (uint16_t)subject, (uint16_t)detail};
}

bool status_equal(struct status a, struct status b)
{
    return a.class == b.class && a.subject == b.subject && a.detail == b.detail;
}

/* One to three digits at the front. RFC 3463 forbids leading zeros, but nothing is confused by
 * them. */
static bool take_number(struct slice *in, uint16_t *number)
{
    unsigned value = 0;
    size_t digits = 0;
    while (digits < in->len && in->data[digits] >= '0' && in->data[digits] <= '9') {
        if (++digits > 3)
            return false;
        value = value * 10 + (unsigned)(in->data[digits - 1] - '0');
    }
    *in = slice_sub(*in, digits, in->len);
    *number = (uint16_t)value;
    return digits > 0;
}

static bool take_dot(struct slice *in)
{
    if (in->len == 0 || in->data[0] != '.')
        return false;
    *in = slice_sub(*in, 1, in->len);
    return true;
}

bool status_parse(struct slice *in, struct status *out)
{
    struct slice rest = *in;
    uint16_t class = 0, subject = 0, detail = 0;
    if (!take_number(&rest, &class) || rest.data != in->data + 1 || !take_dot(&rest) ||
        !take_number(&rest, &subject) || !take_dot(&rest) || !take_number(&rest, &detail))
        return false;
    if (class != 2 && class != 4 && class != 5)
        return false;
    *out = (struct status){(uint8_t) class, subject, detail};
    *in = rest;
    return true;
}

const char *status_text(struct status s, char out[STATUS_SIZE])
{
    snprintf(out, STATUS_SIZE, "%u.%u.%u", s.class % 10u, s.subject % 1000u, s.detail % 1000u);
    return out;
}
