#include "mail/lexer.h"

#include <string.h>

static bool is_control(char c)
{
    return ((uint8_t)c < 32 && c != '\t') || c == 127;
}

bool lexer_is_atext(char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return true;
    return (uint8_t)c > 127 || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* Octets of folding white space at the front: a space or tab, or a CRLF that a space or tab
 * follows. */
static size_t white_len(struct slice in)
{
    if (in.len > 0 && (in.data[0] == ' ' || in.data[0] == '\t'))
        return 1;
    if (in.len > 2 && in.data[0] == '\r' && in.data[1] == '\n' &&
        (in.data[2] == ' ' || in.data[2] == '\t'))
        return 3;
    return 0;
}

/* Octets of one character of a comment or quoted string at the front, folding and quoted-pairs
 * whole; 0: none may stand there. */
static size_t character_len(struct slice in)
{
    size_t white = white_len(in);
    if (white > 0)
        return white;
    if (in.len == 0 || is_control(in.data[0]))
        return 0;
    if (in.data[0] != '\\')
        return 1;
    return in.len > 1 && !is_control(in.data[1]) ? 2 : 0;
}

/* A loop, not recursion: the depth is the sender's choice. */
static bool skip_comment(struct slice *in)
{
    struct slice rest = *in;
    unsigned depth = 0;
    do {
        size_t len = character_len(rest);
        if (len == 0)
            return false;
        if (rest.data[0] == '(' && ++depth > LEXER_COMMENT_DEPTH)
            return false;
        if (rest.data[0] == ')')
            depth--;
        rest = slice_sub(rest, len, rest.len);
    } while (depth > 0);
    *in = rest;
    return true;
}

bool lexer_skip_cfws(struct slice *in)
{
    struct slice rest = *in;
    while (rest.len > 0) {
        size_t white = white_len(rest);
        if (white > 0)
            rest = slice_sub(rest, white, rest.len);
        else if (rest.data[0] == '(') {
            if (!skip_comment(&rest))
                return false;
        } else if (is_control(rest.data[0]))
            return false;
        else
            break;
    }
    *in = rest;
    return true;
}

bool lexer_atom(struct slice *in, struct slice *atom)
{
    size_t len = 0;
    while (len < in->len && lexer_is_atext(in->data[len]))
        len++;
    *atom = slice_sub(*in, 0, len);
    *in = slice_sub(*in, len, in->len);
    return len > 0;
}

bool lexer_quoted(struct slice *in, struct slice *inside)
{
    struct slice rest = *in;
    if (!lexer_byte(&rest, '"'))
        return false;
    struct slice text = rest;
    while (rest.len > 0 && rest.data[0] != '"') {
        size_t len = character_len(rest);
        if (len == 0)
            return false;
        rest = slice_sub(rest, len, rest.len);
    }
    *inside = slice_sub(text, 0, text.len - rest.len);
    if (!lexer_byte(&rest, '"'))
        return false;
    *in = rest;
    return true;
}

bool lexer_byte(struct slice *in, char byte)
{
    if (in->len == 0 || in->data[0] != byte)
        return false;
    *in = slice_sub(*in, 1, in->len);
    return true;
}
