#include "mail/address.h"

#include <arpa/inet.h>
#include <string.h>

#include "mail/domain.h"
#include "mail/lexer.h"

#define LOCAL_MAX 64 /* RFC 5321 section 4.5.3.1.1 */

/* A local part while it is put together: decoded, so that one mailbox has one spelling. */
struct local {
    char text[LOCAL_MAX + 1];
    size_t len;
    enum address_error error; /* of the octets seen so far */
};

static void local_add(struct local *l, char c)
{
    if ((uint8_t)c > 127)
        l->error = ADDRESS_NON_ASCII;
    else if (c < 32 || c == 127)
        l->error = ADDRESS_SYNTAX;
    else if (l->len < sizeof l->text)
        l->text[l->len++] = c;
}

static void local_add_atom(struct local *l, struct slice atom)
{
    for (size_t i = 0; i < atom.len; i++)
        local_add(l, atom.data[i]);
}

/* Quoted-pairs are undone, and so is folding (its CRLF goes, its white space stays). */
static void local_add_quoted(struct local *l, struct slice inside)
{
    for (size_t i = 0; i < inside.len; i++) {
        if (inside.data[i] == '\\' && i + 1 < inside.len)
            i++;
        else if (inside.data[i] == '\r' || inside.data[i] == '\n')
            continue;
        local_add(l, inside.data[i]);
    }
}

/* Can it stand without quotes? Dots at odd places are tolerated: some providers gave out such
 * addresses, and nothing but the provider's own server gives the local part a meaning. */
static bool is_plain(const struct local *l)
{
    for (size_t i = 0; i < l->len; i++)
        if (!lexer_is_atext(l->text[i]) && l->text[i] != '.')
            return false;
    return l->len > 0;
}

/* Writes the local part, in quotes where it needs them. Fails where nothing is left or it is too
 * long. */
static enum address_error write_local(const struct local *l, struct address *out)
{
    size_t len = 0;
    bool needs_quotes = !is_plain(l);
    if (l->error != ADDRESS_OK)
        return l->error;
    /* RFC 5321 lets "" pass; its key would be that of a whole domain. */
    if (l->len == 0)
        return ADDRESS_SYNTAX;
    if (needs_quotes)
        out->text[len++] = '"';
    for (size_t i = 0; i < l->len; i++) {
        if (l->text[i] == '"' || l->text[i] == '\\')
            out->text[len++] = '\\';
        out->text[len++] = l->text[i];
    }
    if (needs_quotes)
        out->text[len++] = '"';
    out->text[len] = '\0';
    out->local_len = (uint16_t)len;
    return len > LOCAL_MAX ? ADDRESS_TOO_LONG : ADDRESS_OK;
}

_Static_assert(2 * (LOCAL_MAX + 1) + 3 < ADDRESS_SIZE, "write_local() checks the length last");

/* "[192.0.2.1]" or "[IPv6:2001:db8::1]", written in one spelling. */
static enum address_error write_literal(struct slice domain, struct address *out)
{
    char text[64], canonical[INET6_ADDRSTRLEN];
    unsigned char octets[16];
    const struct slice tag = SLICE("IPv6:");
    struct slice inside = slice_sub(domain, 1, domain.len);
    if (inside.len == 0 || inside.data[inside.len - 1] != ']')
        return ADDRESS_SYNTAX;
    inside.len--;
    bool is_ipv6 = slice_starts_nocase(inside, tag);
    int family = is_ipv6 ? AF_INET6 : AF_INET;
    if (!slice_copy(is_ipv6 ? slice_sub(inside, tag.len, inside.len) : inside, text, sizeof text) ||
        inet_pton(family, text, octets) != 1 ||
        !inet_ntop(family, octets, canonical, sizeof canonical))
        return ADDRESS_SYNTAX;
    struct slice parts[] = {SLICE("["), is_ipv6 ? tag : SLICE(""), slice_of(canonical), SLICE("]")};
    size_t len = strlen(out->text);
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        memcpy(out->text + len, parts[i].data, parts[i].len);
        len += parts[i].len;
    }
    out->text[len] = '\0';
    out->is_literal = true;
    return ADDRESS_OK;
}

/* Behind the local part: '@' and the domain as A-label or literal. */
static enum address_error write_domain(struct slice domain, struct address *out)
{
    char ascii[DOMAIN_SIZE];
    size_t len = strlen(out->text);
    out->text[len] = '@';
    out->text[len + 1] = '\0';
    if (domain.len > 0 && domain.data[0] == '[')
        return write_literal(domain, out);
    /* 255 octets in the DNS are 253 characters of text. */
    if (domain.len > DOMAIN_MAX - 2 && !slice_has_8bit(domain))
        return ADDRESS_TOO_LONG;
    /* domain_to_ascii() drops a final dot; in a mailbox there must be none. */
    if (domain.len == 0 || domain.data[domain.len - 1] == '.' || !domain_to_ascii(domain, ascii))
        return ADDRESS_SYNTAX;
    memcpy(out->text + len + 1, ascii, strlen(ascii) + 1);
    return ADDRESS_OK;
}

static enum address_error finish(const struct local *l, struct slice domain, struct address *out)
{
    enum address_error error = write_local(l, out);
    return error == ADDRESS_OK ? write_domain(domain, out) : error;
}

/* ---- The wire and the command line (RFC 5321) ---- */

/* A Dot-string or Quoted-string of RFC 5321 at the front of *in. */
static bool take_local(struct slice *in, struct local *l)
{
    struct slice inside, atom;
    if (lexer_quoted(in, &inside)) {
        /* Folding is for headers. local_add() would drop the CRLF; here it is an error like any
         * control character. */
        if (slice_find(inside, '\r') >= 0)
            return false;
        local_add_quoted(l, inside);
        return true;
    }
    size_t len = 0;
    while (len < in->len && (lexer_is_atext(in->data[len]) || in->data[len] == '.'))
        len++;
    atom = slice_sub(*in, 0, len);
    *in = slice_sub(*in, len, in->len);
    local_add_atom(l, atom);
    return len > 0;
}

/* The domain or literal at the front: letters, digits, '-', '.', '_' and octets above 127, or up to
 * ']'. */
static struct slice take_domain(struct slice *in)
{
    size_t len = 0;
    ptrdiff_t end = -1;
    if (in->len > 0 && in->data[0] == '[') {
        end = slice_find(*in, ']');
        len = end < 0 ? 0 : (size_t)end + 1;
    } else {
        while (len < in->len && (in->data[len] == '.' || lexer_is_atext(in->data[len])))
            len++;
    }
    struct slice domain = slice_sub(*in, 0, len);
    *in = slice_sub(*in, len, in->len);
    return domain;
}

/* "@a.example,@b.example:" at the front goes (RFC 5321 appendix C: must be accepted, should be
 * ignored). */
static bool drop_route(struct slice *in)
{
    if (in->len == 0 || in->data[0] != '@')
        return true;
    do {
        char ascii[DOMAIN_SIZE];
        if (!lexer_byte(in, '@') || !domain_to_ascii(take_domain(in), ascii))
            return false;
    } while (lexer_byte(in, ','));
    return lexer_byte(in, ':');
}

static enum address_error take_path(struct slice *in, struct address *out)
{
    struct local l = {.error = ADDRESS_OK};
    if (!lexer_byte(in, '<'))
        return ADDRESS_SYNTAX;
    if (lexer_byte(in, '>'))
        return ADDRESS_OK;
    if (!drop_route(in) || !take_local(in, &l))
        return ADDRESS_SYNTAX;
    if (lexer_byte(in, '>')) {
        enum address_error error = write_local(&l, out);
        bool is_known = slice_equal_nocase(slice_of(out->text), SLICE("postmaster"));
        return error == ADDRESS_OK && !is_known ? ADDRESS_SYNTAX : error;
    }
    if (!lexer_byte(in, '@'))
        return l.error == ADDRESS_NON_ASCII ? ADDRESS_NON_ASCII : ADDRESS_SYNTAX;
    struct slice domain = take_domain(in);
    if (!lexer_byte(in, '>'))
        return ADDRESS_SYNTAX;
    if (l.error == ADDRESS_OK && slice_has_8bit(domain))
        return ADDRESS_NON_ASCII;
    return finish(&l, domain, out);
}

enum address_error address_parse_path(struct slice *in, struct address *out)
{
    struct slice rest = *in;
    *out = (struct address){.text = ""};
    enum address_error error = take_path(&rest, out);
    if (error == ADDRESS_OK)
        *in = rest;
    else
        *out = (struct address){.text = ""};
    return error;
}

enum address_error address_parse(struct slice in, struct address *out)
{
    struct local l = {.error = ADDRESS_OK};
    enum address_error error = ADDRESS_SYNTAX;
    *out = (struct address){.text = ""};
    if (take_local(&in, &l) && lexer_byte(&in, '@')) {
        struct slice domain = take_domain(&in);
        error = in.len == 0 ? finish(&l, domain, out) : ADDRESS_SYNTAX;
    }
    if (error != ADDRESS_OK)
        *out = (struct address){.text = ""};
    return error;
}

/* ---- Reading an address ---- */

bool address_is_null(const struct address *a)
{
    return a->text[0] == '\0';
}

const char *address_domain(const struct address *a)
{
    const char *at = a->text + a->local_len;
    return *at == '@' ? at + 1 : "";
}

void address_key(const struct address *a, char out[ADDRESS_SIZE])
{
    size_t len = 0;
    bool is_quoted = a->text[0] == '"';
    size_t end = a->local_len - (is_quoted ? 1u : 0u);
    for (size_t i = is_quoted; i < end; i++) {
        char c = a->text[i];
        if (is_quoted && c == '\\' && i + 1 < end)
            c = a->text[++i];
        out[len++] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
    /* The domain is lower case already; "[IPv6:...]" stays as it is written everywhere. */
    const char *rest = a->text + a->local_len;
    memcpy(out + len, rest, strlen(rest) + 1);
}

bool address_equal(const struct address *a, const struct address *b)
{
    char key_a[ADDRESS_SIZE], key_b[ADDRESS_SIZE];
    address_key(a, key_a);
    address_key(b, key_b);
    return strcmp(key_a, key_b) == 0;
}

/* ---- Address lists of headers (RFC 5322 section 3.4, 4.4) ---- */

struct walk {
    struct slice in;
    address_visit *visit;
    void *context;
    bool is_in_group;
    bool is_stopped; /* by the visitor */
};

/* The words in front of '@', '<', ':' or the end of an element: a local part or a display name,
 * which only the next character tells. */
struct words {
    struct local local;
    size_t count;  /* atoms and quoted strings */
    bool is_local; /* words and dots take turns as a local part wants it */
    bool is_last_a_word;
};

static bool words_add_word(struct words *w, struct slice *in)
{
    struct slice text;
    if (w->is_last_a_word)
        w->is_local = false;
    if (lexer_quoted(in, &text))
        local_add_quoted(&w->local, text);
    else if (lexer_atom(in, &text))
        local_add_atom(&w->local, text);
    else
        return false;
    w->is_last_a_word = true;
    w->count++;
    return true;
}

static bool take_words(struct slice *in, struct words *w)
{
    *w = (struct words){.is_local = true};
    if (!lexer_skip_cfws(in))
        return false;
    while (in->len > 0 && (lexer_is_atext(in->data[0]) || strchr("\".", in->data[0]) != NULL)) {
        if (lexer_byte(in, '.')) {
            local_add(&w->local, '.');
            w->is_last_a_word = false;
        } else if (!words_add_word(w, in))
            return false;
        if (!lexer_skip_cfws(in))
            return false;
    }
    return true;
}

/* Appends one token to a domain that may have white space between its tokens. */
static bool domain_add(char *text, size_t *len, size_t size, struct slice token)
{
    if (token.len > size - *len)
        return false;
    memcpy(text + *len, token.data, token.len);
    *len += token.len;
    return true;
}

/* A domain behind '@', white space and comments taken out, and what follows it skipped. */
static bool take_header_domain(struct slice *in, char *text, size_t size, size_t *len)
{
    struct slice token;
    *len = 0;
    if (!lexer_skip_cfws(in))
        return false;
    if (in->len > 0 && in->data[0] == '[') {
        token = take_domain(in);
        return token.len > 0 && domain_add(text, len, size, token) && lexer_skip_cfws(in);
    }
    do {
        if (*len > 0 && !domain_add(text, len, size, SLICE(".")))
            return false;
        if (!lexer_skip_cfws(in) || !lexer_atom(in, &token) ||
            !domain_add(text, len, size, token) || !lexer_skip_cfws(in))
            return false;
    } while (lexer_byte(in, '.'));
    return true;
}

/* What the words and the domain at the front of the input make is given to the visitor. */
static bool take_addr_spec(struct walk *w, const struct words *words)
{
    char domain[DOMAIN_SIZE * 4];
    size_t len = 0;
    struct address a = {.text = ""};
    if (!words->is_local || words->count == 0 || !lexer_byte(&w->in, '@') ||
        !take_header_domain(&w->in, domain, sizeof domain, &len))
        return false;
    if (finish(&words->local, (struct slice){domain, len}, &a) != ADDRESS_OK)
        return false;
    if (!w->is_stopped)
        w->is_stopped = !w->visit(w->context, &a);
    return true;
}

/* "@a,,@b:" inside angle brackets (obs-route). */
static bool drop_header_route(struct slice *in)
{
    char domain[DOMAIN_SIZE * 4];
    size_t len = 0;
    if (!lexer_skip_cfws(in))
        return false;
    if (in->len == 0 || (in->data[0] != '@' && in->data[0] != ','))
        return true;
    do {
        if (!lexer_skip_cfws(in))
            return false;
        if (lexer_byte(in, '@') && !take_header_domain(in, domain, sizeof domain, &len))
            return false;
    } while (lexer_byte(in, ','));
    return lexer_byte(in, ':');
}

static bool take_angle(struct walk *w)
{
    struct words words;
    return lexer_byte(&w->in, '<') && drop_header_route(&w->in) && take_words(&w->in, &words) &&
           take_addr_spec(w, &words) && lexer_byte(&w->in, '>') && lexer_skip_cfws(&w->in);
}

static char peek(const struct walk *w)
{
    return w->in.len > 0 ? w->in.data[0] : '\0';
}

/* One element between commas: a mailbox, a group's name and its first mailbox, or nothing
 * (obs-addr-list). */
static bool take_element(struct walk *w)
{
    struct words words;
    if (!take_words(&w->in, &words))
        return false;
    if (!w->is_in_group && words.count > 0 && lexer_byte(&w->in, ':')) {
        w->is_in_group = true;
        if (!take_words(&w->in, &words))
            return false;
    }
    if (peek(w) == '@')
        return take_addr_spec(w, &words);
    if (peek(w) == '<')
        return take_angle(w);
    return words.count == 0 && words.local.len == 0;
}

bool address_list_walk(struct slice field_value, address_visit *visit, void *context)
{
    struct walk w = {.in = field_value, .visit = visit, .context = context};
    if (slice_ends_nocase(field_value, SLICE("\r\n")))
        w.in.len -= 2;
    for (;;) {
        if (w.is_stopped)
            return true;
        if (!take_element(&w))
            return false;
        if (w.is_in_group && lexer_byte(&w.in, ';')) {
            w.is_in_group = false;
            if (!lexer_skip_cfws(&w.in))
                return false;
        }
        if (!lexer_byte(&w.in, ','))
            return w.in.len == 0 && !w.is_in_group;
    }
}
