#include "mail/command.h"

#include "mail/lexer.h"
#include "mail/xtext.h"

static const char *const names[] = {
    [VERB_EHLO] = "EHLO", [VERB_HELO] = "HELO", [VERB_STARTTLS] = "STARTTLS", [VERB_AUTH] = "AUTH",
    [VERB_MAIL] = "MAIL", [VERB_RCPT] = "RCPT", [VERB_DATA] = "DATA",         [VERB_BDAT] = "BDAT",
    [VERB_RSET] = "RSET", [VERB_NOOP] = "NOOP", [VERB_QUIT] = "QUIT",         [VERB_VRFY] = "VRFY",
    [VERB_EXPN] = "EXPN", [VERB_HELP] = "HELP", [VERB_UNKNOWN] = "UNKNOWN",
};
_Static_assert(COUNT_OF(names) == VERB_COUNT, "a verb without a name");

const char *verb_name(enum verb v)
{
    if ((unsigned)v >= COUNT_OF(names))
        panic("verb_name: %d", (int)v);
    return names[v];
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Not slice_trim(): a CR here is a bare one, and must stay to be refused. */
static struct slice trim_blanks(struct slice s)
{
    while (s.len > 0 && is_blank(s.data[0]))
        s = slice_sub(s, 1, s.len);
    while (s.len > 0 && is_blank(s.data[s.len - 1]))
        s.len--;
    return s;
}

enum verb command_parse(struct slice line, struct slice *rest)
{
    size_t len = 0;
    while (len < line.len && !is_blank(line.data[len]))
        len++;
    *rest = trim_blanks(slice_sub(line, len, line.len));
    for (enum verb v = 0; v < VERB_UNKNOWN; v++)
        if (slice_equal_nocase(slice_sub(line, 0, len), slice_of(names[v])))
            return v;
    return VERB_UNKNOWN;
}

/* ---- Parameters of MAIL and RCPT (RFC 5321 section 4.1.2) ---- */

static struct command_error fault(unsigned code, unsigned subject, unsigned detail,
                                  const char *text)
{
    return (struct command_error){code, status_make(code / 100, subject, detail), text};
}

static const struct command_error no_error;

struct parameter {
    struct slice keyword;
    struct slice value;
    bool has_value;
};

static bool is_keyword_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
}

/* Reads one "keyword" or "keyword=value". */
static bool read_parameter(struct slice word, struct parameter *out)
{
    struct slice rest = word;
    if (!slice_cut(&rest, '=', &out->keyword))
        return false;
    out->has_value = out->keyword.len < word.len;
    out->value = rest;
    if (out->keyword.len == 0 || out->keyword.data[0] == '-' || (out->has_value && rest.len == 0))
        return false;
    for (size_t i = 0; i < out->keyword.len; i++)
        if (!is_keyword_char(out->keyword.data[i]))
            return false;
    for (size_t i = 0; i < rest.len; i++)
        if (rest.data[i] <= 32 || rest.data[i] > 126 || rest.data[i] == '=')
            return false;
    return true;
}

/* One known parameter: how it is written, and what takes its value into the command. */
struct parameter_rule {
    const char *keyword;
    bool wants_value;
    bool (*take)(void *command, struct slice value);
    const char *complaint;
};

static struct command_error take_parameter(struct slice word, const struct parameter_rule *rules,
                                           size_t count, unsigned *seen, void *command)
{
    struct parameter p;
    if (!read_parameter(word, &p))
        return fault(501, 5, 4, "Bad parameter syntax");
    for (size_t i = 0; i < count; i++) {
        if (!slice_equal_nocase(p.keyword, slice_of(rules[i].keyword)))
            continue;
        if (*seen & 1u << i)
            return fault(501, 5, 4, "A parameter is given twice");
        *seen |= 1u << i;
        if (p.has_value != rules[i].wants_value || !rules[i].take(command, p.value))
            return fault(501, 5, 4, rules[i].complaint);
        return no_error;
    }
    return fault(555, 5, 4, "Unsupported parameter");
}

static struct command_error take_parameters(struct slice rest, const struct parameter_rule *rules,
                                            size_t count, void *command)
{
    struct slice word;
    unsigned seen = 0;
    while (slice_cut(&rest, ' ', &word)) {
        if (word.len == 0)
            continue;
        struct command_error error = take_parameter(word, rules, count, &seen, command);
        if (error.code != 0)
            return error;
    }
    return no_error;
}

/* ---- MAIL ---- */

static bool take_size(void *command, struct slice value)
{
    struct mail_command *mail = command;
    for (size_t i = 0; i < value.len; i++)
        if (value.data[i] < '0' || value.data[i] > '9')
            return false;
    /* RFC 1870 allows 20 digits. What does not fit is too large for anyone, and must get that
     * answer. */
    if (!slice_number(value, UINT64_MAX, &mail->size))
        mail->size = UINT64_MAX;
    return value.len <= 20;
}

static bool take_body(void *command, struct slice value)
{
    struct mail_command *mail = command;
    mail->is_8bitmime = slice_equal_nocase(value, SLICE("8BITMIME"));
    return mail->is_8bitmime || slice_equal_nocase(value, SLICE("7BIT"));
}

static bool take_ret(void *command, struct slice value)
{
    struct mail_command *mail = command;
    if (slice_equal_nocase(value, SLICE("FULL")))
        mail->ret = RET_FULL;
    else if (slice_equal_nocase(value, SLICE("HDRS")))
        mail->ret = RET_HDRS;
    return mail->ret != RET_ABSENT;
}

static bool take_envid(void *command, struct slice value)
{
    struct mail_command *mail = command;
    return value.len <= 100 && xtext_is_printable(value) &&
           slice_copy(value, mail->envid, sizeof mail->envid);
}

static bool take_auth(void *command, struct slice value)
{
    struct mail_command *mail = command;
    mail->has_auth = true;
    return slice_equal(value, SLICE("<>")) || xtext_is_printable(value);
}

static bool take_requiretls(void *command, struct slice value)
{
    (void)value;
    ((struct mail_command *)command)->requiretls = true;
    return true;
}

static bool take_smtputf8(void *command, struct slice value)
{
    (void)value;
    ((struct mail_command *)command)->smtputf8 = true;
    return true;
}

static const struct parameter_rule mail_rules[] = {
    {"SIZE", true, take_size, "Bad SIZE value"},
    {"BODY", true, take_body, "BODY wants 7BIT or 8BITMIME"},
    {"RET", true, take_ret, "RET wants FULL or HDRS"},
    {"ENVID", true, take_envid, "ENVID wants at most 100 characters of xtext"},
    {"AUTH", true, take_auth, "AUTH wants xtext or <>"},
    {"REQUIRETLS", false, take_requiretls, "REQUIRETLS takes no value"},
    {"SMTPUTF8", false, take_smtputf8, "SMTPUTF8 takes no value"},
};

/* ---- RCPT ---- */

static bool take_notify(void *command, struct slice value)
{
    static const struct {
        const char *word;
        enum notify bit;
    } words[] = {{"NEVER", NOTIFY_NEVER},
                 {"SUCCESS", NOTIFY_SUCCESS},
                 {"FAILURE", NOTIFY_FAILURE},
                 {"DELAY", NOTIFY_DELAY}};
    struct rcpt_command *rcpt = command;
    struct slice word;
    /* slice_cut() does not show the empty word behind a last comma. */
    if (value.data[value.len - 1] == ',')
        return false;
    while (slice_cut(&value, ',', &word)) {
        unsigned bit = 0;
        for (size_t i = 0; i < COUNT_OF(words); i++)
            if (slice_equal_nocase(word, slice_of(words[i].word)))
                bit = words[i].bit;
        if (bit == 0)
            return false;
        rcpt->notify |= bit;
    }
    return !(rcpt->notify & NOTIFY_NEVER) || rcpt->notify == NOTIFY_NEVER;
}

static bool take_orcpt(void *command, struct slice value)
{
    struct rcpt_command *rcpt = command;
    struct slice rest = value, type;
    if (value.len > 500 || !lexer_atom(&rest, &type) || !lexer_byte(&rest, ';'))
        return false;
    return rest.len > 0 && xtext_is_printable(rest) &&
           slice_copy(value, rcpt->orcpt, sizeof rcpt->orcpt);
}

static const struct parameter_rule rcpt_rules[] = {
    {"NOTIFY", true, take_notify, "NOTIFY wants NEVER, or SUCCESS, FAILURE and DELAY"},
    {"ORCPT", true, take_orcpt, "ORCPT wants type;xtext of at most 500 characters"},
};

/* ---- The paths in front of them ---- */

/* Takes "FROM:<...>" off *rest; what is left is empty or begins with a space. */
static bool take_path(struct slice *rest, struct slice keyword, struct address *out,
                      enum address_error *error)
{
    *error = ADDRESS_SYNTAX;
    if (!slice_starts_nocase(*rest, keyword))
        return false;
    *rest = trim_blanks(slice_sub(*rest, keyword.len, rest->len));
    *error = address_parse_path(rest, out);
    return *error == ADDRESS_OK && (rest->len == 0 || rest->data[0] == ' ');
}

static struct command_error path_fault(enum address_error error, unsigned detail,
                                       const char *syntax)
{
    if (error == ADDRESS_NON_ASCII)
        return fault(553, 6, 7, "A non-ASCII address needs SMTPUTF8");
    if (error == ADDRESS_TOO_LONG)
        return fault(501, 1, detail, "The address is too long");
    return fault(501, 1, detail, syntax);
}

struct command_error command_parse_mail(struct slice rest, struct mail_command *out)
{
    const char *syntax = "Syntax: MAIL FROM:<address> [parameters]";
    enum address_error error;
    *out = (struct mail_command){.size = 0};
    if (!take_path(&rest, SLICE("FROM:"), &out->reverse_path, &error))
        return path_fault(error, 7, syntax);
    /* <postmaster> without a domain is for recipients alone. */
    if (!address_is_null(&out->reverse_path) && address_domain(&out->reverse_path)[0] == '\0')
        return path_fault(ADDRESS_SYNTAX, 7, syntax);
    return take_parameters(rest, mail_rules, COUNT_OF(mail_rules), out);
}

struct command_error command_parse_rcpt(struct slice rest, struct rcpt_command *out)
{
    const char *syntax = "Syntax: RCPT TO:<address> [parameters]";
    enum address_error error;
    *out = (struct rcpt_command){.notify = NOTIFY_DEFAULT};
    if (!take_path(&rest, SLICE("TO:"), &out->recipient, &error) ||
        address_is_null(&out->recipient))
        return path_fault(error, 3, syntax);
    return take_parameters(rest, rcpt_rules, COUNT_OF(rcpt_rules), out);
}
