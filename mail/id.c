#include "mail/id.h"

#include <string.h>

/* No vowels: an ID must never spell a word that a customer reads aloud to the help desk. */
static const char alphabet[] = "0123456789BCDFGHJKLMNPQRSTVWXYZ";
#define BASE (sizeof alphabet - 1)
#define SHORTEST 12
#define LONGEST 13 /* 31^13 is above 2^64 */

const char *id_text(uint64_t id, char out[ID_SIZE])
{
    char digits[LONGEST];
    size_t count = 0;
    for (; id > 0 || count < SHORTEST; id /= BASE)
        digits[count++] = alphabet[id % BASE];
    for (size_t i = 0; i < count; i++)
        out[i] = digits[count - 1 - i];
    out[count] = '\0';
    return out;
}

static bool digit_value(char c, uint64_t *value)
{
    char upper = c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
    const char *at = memchr(alphabet, upper, BASE);
    if (!at)
        return false;
    *value = (uint64_t)(at - alphabet);
    return true;
}

bool id_parse(struct slice in, uint64_t *id)
{
    uint64_t number = 0;
    /* One text per number: a thirteenth character only where it is needed. */
    if (in.len < SHORTEST || in.len > LONGEST || (in.len == LONGEST && in.data[0] == '0'))
        return false;
    for (size_t i = 0; i < in.len; i++) {
        uint64_t value = 0;
        if (!digit_value(in.data[i], &value) || number > (UINT64_MAX - value) / BASE)
            return false;
        number = number * BASE + value;
    }
    *id = number;
    return true;
}
