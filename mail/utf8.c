#include "mail/utf8.h"

size_t utf8_decode(struct slice in, uint32_t *code_point)
{
    /* The smallest value each length may hold: anything below is an overlong form. */
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (in.len == 0)
        return 0;
    uint8_t first = (uint8_t)in.data[0];
    size_t len = first < 0x80 ? 1 : first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if ((first >= 0x80 && first < 0xC2) || first > 0xF4 || in.len < len)
        return 0;
    uint32_t value = len == 1 ? first : (uint32_t)(first & (0xFF >> (len + 1)));
    for (size_t i = 1; i < len; i++) {
        uint8_t next = (uint8_t)in.data[i];
        if ((next & 0xC0) != 0x80)
            return 0;
        value = value << 6 | (next & 0x3F);
    }
    if (value < smallest[len] || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF))
        return 0;
    *code_point = value;
    return len;
}

bool utf8_is_printable(uint32_t c)
{
    if (c < 0x20 || (c >= 0x7F && c < 0xA0))
        return false;
    if (c == 0xAD || c == 0x61C || c == 0xFEFF || (c >= 0x200B && c <= 0x200F))
        return false;
    if ((c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F))
        return false;
    return c < 0xE0000 && (c & 0xFFFE) != 0xFFFE;
}
