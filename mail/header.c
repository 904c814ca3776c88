#include "mail/header.h"

#include <string.h>

#include "mail/domain.h"
#include "mail/lexer.h"

/* ---- Fields ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Octets of the field at the front: up to and with the first CRLF that no space or tab follows. A
 * bare LF ends nothing: who takes it for a line end sees other fields than we do, and such messages
 * are refused. */
static size_t field_len(struct slice in)
{
    const char *end = in.data + in.len, *p = in.data;
    while (p < end) {
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        if (!lf)
            break;
        p = lf + 1;
        bool is_line_end = lf > in.data && lf[-1] == '\r';
        if (is_line_end && (p == end || !is_blank(*p)))
            return (size_t)(p - in.data);
    }
    return in.len;
}

/* Octets of the name at the front of a field (ftext of RFC 5322: printable ASCII but ':'). */
static size_t name_len(struct slice in)
{
    size_t len = 0;
    while (len < in.len && in.data[len] > 32 && in.data[len] < 127 && in.data[len] != ':')
        len++;
    return len;
}

/* White space and CRLFs at both ends go. Not slice_trim(): a stray CR or LF must stay to be seen.
 */
static struct slice trim_folding(struct slice s)
{
    while (s.len > 0) {
        if (is_blank(s.data[0]))
            s = slice_sub(s, 1, s.len);
        else if (slice_starts_nocase(s, SLICE("\r\n")))
            s = slice_sub(s, 2, s.len);
        else
            break;
    }
    while (s.len > 0) {
        if (is_blank(s.data[s.len - 1]))
            s.len--;
        else if (slice_ends_nocase(s, SLICE("\r\n")))
            s.len -= 2;
        else
            break;
    }
    return s;
}

bool header_next(struct slice *in, struct header_field *out)
{
    if (in->len == 0)
        return false;
    out->whole = slice_sub(*in, 0, field_len(*in));
    *in = slice_sub(*in, out->whole.len, in->len);
    size_t len = name_len(out->whole), colon = len;
    while (colon < out->whole.len && is_blank(out->whole.data[colon]))
        colon++;
    bool is_field = len > 0 && colon < out->whole.len && out->whole.data[colon] == ':';
    out->name = (struct slice){out->whole.data, is_field ? len : 0};
    out->value = slice_sub(out->whole, is_field ? colon + 1 : 0, out->whole.len);
    if (is_field)
        out->value = trim_folding(out->value);
    else if (slice_ends_nocase(out->value, SLICE("\r\n")))
        out->value.len -= 2;
    return true;
}

/* ---- What single fields say ---- */

/* "; name=value ..." to the end: balanced, or not to be trusted. */
static bool parameters_are_sane(struct slice in)
{
    struct slice inside;
    if (!lexer_byte(&in, ';'))
        return false;
    for (;;) {
        if (!lexer_skip_cfws(&in))
            return false;
        if (in.len == 0)
            return true;
        if (in.data[0] == ')' || in.data[0] == '\\')
            return false;
        if (in.data[0] != '"')
            in = slice_sub(in, 1, in.len);
        else if (!lexer_quoted(&in, &inside))
            return false;
    }
}

/* Is the value this one word, comments and white space around it; parameters may follow where they
 * are allowed. */
static bool says_word(struct slice value, struct slice word, bool may_have_parameters)
{
    struct slice atom;
    if (!lexer_skip_cfws(&value) || !lexer_atom(&value, &atom) || !lexer_skip_cfws(&value))
        return false;
    if (!slice_equal_nocase(atom, word))
        return false;
    return value.len == 0 || (may_have_parameters && parameters_are_sane(value));
}

bool header_says_auto_replied(struct slice value)
{
    return says_word(value, SLICE("auto-replied"), true);
}

/* ---- Addresses in a field that does not parse ---- */

/* Whoever broke the field, its owner's flag must not go with it. So every '@' is looked at wherever
 * it stands: in quotes, in comments, behind too many others. Seeing one too many does no harm:
 * these addresses bind, and never lift. */

#define SEEN_LOCAL_MAX 128 /* a quoted local part of 64 octets, all of them escaped */

struct seen {
    struct header_named *named;
    unsigned visited;
};

static void keep_seen(struct header_named *named, const struct address *a)
{
    struct slice rest = {named->seen.text, named->seen.len}, text, all = slice_of(a->text);
    while (slice_cut(&rest, '\0', &text))
        if (slice_equal_nocase(text, all))
            return;
    if (all.len + 1 > sizeof named->seen.text - named->seen.len)
        return;
    memcpy(named->seen.text + named->seen.len, a->text, all.len + 1);
    named->seen.len += all.len + 1;
}

static bool visit_seen(void *context, const struct address *a)
{
    struct seen *s = context;
    keep_seen(s->named, a);
    return ++s->visited < HEADER_SEEN_MAX;
}

static bool is_white(char c)
{
    return is_blank(c) || c == '\r' || c == '\n';
}

static bool is_punctuation(char c)
{
    return c == '-' || c == '.' || c == '_';
}

static bool is_alphanumeric(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The end of `before` that could be a local part: a quoted string, or a run of atext and dots.
 * Octets above 127 end the run: no local part of ours has them, but typographic quotes do. */
static struct slice local_at_end(struct slice before)
{
    while (before.len > 0 && is_white(before.data[before.len - 1]))
        before.len--;
    size_t len = 0, max = before.len < SEEN_LOCAL_MAX ? before.len : SEEN_LOCAL_MAX;
    const char *end = before.data + before.len;
    if (max > 1 && end[-1] == '"') {
        for (len = 2; len <= max; len++)
            if (end[-(ptrdiff_t)len] == '"' && (len == max || end[-(ptrdiff_t)len - 1] != '\\'))
                return slice_sub(before, before.len - len, len);
        return slice_sub(before, before.len, 0);
    }
    while (len < max) {
        char c = end[-(ptrdiff_t)len - 1];
        if ((uint8_t)c > 127 || (!lexer_is_atext(c) && c != '.'))
            break;
        len++;
    }
    return slice_sub(before, before.len - len, len);
}

/* The front of `behind` that could be a domain, with octets above 127 or without. */
static struct slice domain_at_front(struct slice behind, bool may_have_8bit)
{
    size_t len = 0;
    while (behind.len > 0 && is_white(behind.data[0]))
        behind = slice_sub(behind, 1, behind.len);
    if (behind.len > 0 && behind.data[0] == '[')
        return slice_sub(behind, 0, (size_t)(slice_find(slice_sub(behind, 0, 64), ']') + 1));
    while (len < behind.len && len < DOMAIN_SIZE &&
           (is_alphanumeric(behind.data[len]) || is_punctuation(behind.data[len]) ||
            (may_have_8bit && (uint8_t)behind.data[len] > 127)))
        len++;
    while (len > 0 && is_punctuation(behind.data[len - 1]))
        len--;
    return slice_sub(behind, 0, len);
}

static void look_at(struct header_named *named, struct slice local, struct slice domain)
{
    char text[SEEN_LOCAL_MAX + 1 + DOMAIN_SIZE];
    struct address a;
    if (local.len == 0 || domain.len == 0)
        return;
    memcpy(text, local.data, local.len);
    text[local.len] = '@';
    memcpy(text + local.len + 1, domain.data, domain.len);
    if (address_parse((struct slice){text, local.len + 1 + domain.len}, &a) == ADDRESS_OK)
        keep_seen(named, &a);
}

/* All readings of what stands around one '@': as it is, without what people put in front of an
 * address ('owner@x'), with and without octets above 127 behind it. */
static void look_around(struct header_named *named, struct slice before, struct slice behind)
{
    struct slice local = local_at_end(before), bare = local;
    while (bare.len > 0 && bare.data[0] != '"' && !is_alphanumeric(bare.data[0]))
        bare = slice_sub(bare, 1, bare.len);
    struct slice domain = domain_at_front(behind, false), wide = domain_at_front(behind, true);
    look_at(named, local, domain);
    if (bare.len != local.len)
        look_at(named, bare, domain);
    if (wide.len == domain.len)
        return;
    look_at(named, local, wide);
    if (bare.len != local.len)
        look_at(named, bare, wide);
}

static void note_seen(struct header_named *named, struct slice value)
{
    struct seen s = {.named = named};
    named->count = 0;
    memset(&named->seen, 0, sizeof named->seen);
    /* The list as far as it parses: this reading knows comments and folding inside an address. */
    bool parses = address_list_walk(value, visit_seen, &s);
    (void)parses;
    struct slice behind = value, part;
    for (unsigned i = 0; i < HEADER_SEEN_MAX && slice_cut(&behind, '@', &part); i++) {
        size_t at = (size_t)(part.data + part.len - value.data);
        if (at < value.len)
            look_around(named, slice_sub(value, 0, at), behind);
    }
}

/* ---- The scan ---- */

struct scan {
    struct header_facts *facts;
    bool says_auto_replied; /* the last Auto-Submitted field */
    bool says_no;           /* the last TLS-Required field */
    unsigned precedence;
    bool has_old_marker; /* of an automatic reply, from before RFC 3834 */
};

/* RFC 5322 writes the colon right behind the name; with white space between the two some readers do
 * not know the field. Such a field counts, but it lifts nothing. */
static bool is_plain(const struct header_field *f)
{
    return f->whole.data[f->name.len] == ':';
}

static bool keep_address(void *context, const struct address *a)
{
    struct header_named *named = context;
    if (named->count == HEADER_NAMED_MAX) {
        named->is_unreadable = true;
        return false;
    }
    named->addresses[named->count++] = *a;
    return true;
}

static void note_named(struct header_named *named, const struct header_field *f)
{
    if (named->fields++ > 0)
        return;
    if (!address_list_walk(f->value, keep_address, named) || named->count == 0)
        named->is_unreadable = true;
    if (named->is_unreadable)
        note_seen(named, f->value);
}

void header_named_walk(const struct header_named *named, address_visit *visit, void *context)
{
    for (unsigned i = 0; i < named->count && !named->is_unreadable; i++)
        if (!visit(context, &named->addresses[i]))
            return;
    struct slice rest = {named->seen.text, named->is_unreadable ? named->seen.len : 0}, text;
    while (slice_cut(&rest, '\0', &text)) {
        struct address a;
        if (address_parse(text, &a) == ADDRESS_OK && !visit(context, &a))
            return;
    }
}

/* Copies a value with folding undone, cut to fit. Control characters become '?'; was there one? */
static bool unfold(struct slice value, char *out, size_t size)
{
    size_t len = 0;
    bool has_control = false;
    for (size_t i = 0; i < value.len && len + 1 < size; i++) {
        char c = value.data[i];
        if (c == '\r' && slice_equal(slice_sub(value, i, 2), SLICE("\r\n")) && i + 2 < value.len &&
            is_blank(value.data[i + 2])) {
            i++;
            continue;
        }
        bool is_control = c != '\t' && ((uint8_t)c < 32 || c == 127);
        has_control = has_control || is_control;
        out[len++] = is_control ? '?' : c == '\t' ? ' ' : c;
    }
    if (size > 0)
        out[len] = '\0';
    return has_control;
}

static void note_received(struct scan *s, const struct header_field *f)
{
    (void)f;
    s->facts->received++;
}

static void note_date(struct scan *s, const struct header_field *f)
{
    (void)f;
    s->facts->has_date = true;
}

static void note_message_id(struct scan *s, const struct header_field *f)
{
    struct header_facts *facts = s->facts;
    if (facts->has_message_id)
        return;
    facts->has_message_id = true;
    if (f->value.len >= sizeof facts->message_id ||
        unfold(f->value, facts->message_id, sizeof facts->message_id))
        facts->message_id[0] = '\0';
}

static void note_from(struct scan *s, const struct header_field *f)
{
    note_named(&s->facts->from, f);
}

static void note_sender(struct scan *s, const struct header_field *f)
{
    note_named(&s->facts->sender, f);
}

static void note_auto_submitted(struct scan *s, const struct header_field *f)
{
    s->facts->auto_submitted++;
    s->says_auto_replied = is_plain(f) && header_says_auto_replied(f->value);
}

static void note_old_marker(struct scan *s, const struct header_field *f)
{
    if (is_plain(f) && !slice_equal_nocase(f->value, SLICE("no")))
        s->has_old_marker = true;
}

static void note_precedence(struct scan *s, const struct header_field *f)
{
    /* Two of them contradict each other: then none is believed. */
    if (++s->precedence == 1 && is_plain(f) && says_word(f->value, SLICE("auto_reply"), false))
        s->has_old_marker = true;
}

static void note_tls_required(struct scan *s, const struct header_field *f)
{
    s->facts->tls_required++;
    s->says_no = is_plain(f) && slice_equal_nocase(f->value, SLICE("No"));
}

static const struct {
    struct slice name;
    void (*note)(struct scan *s, const struct header_field *f);
} known[] = {
    {{"Received", 8}, note_received},       {{"Date", 4}, note_date},
    {{"Message-ID", 10}, note_message_id},  {{"From", 4}, note_from},
    {{"Sender", 6}, note_sender},           {{"Auto-Submitted", 14}, note_auto_submitted},
    {{"X-Autoreply", 11}, note_old_marker}, {{"X-Autorespond", 13}, note_old_marker},
    {{"Precedence", 10}, note_precedence},  {{"TLS-Required", 12}, note_tls_required},
};

static const struct slice forwarding[HEADER_FORWARDING_COUNT] = {
    [HEADER_X_SIEVE_REDIRECTED_FROM] = {"X-Sieve-Redirected-From", 23},
    [HEADER_RESENT_FROM] = {"Resent-From", 11},
    [HEADER_DELIVERED_TO] = {"Delivered-To", 12},
    [HEADER_X_ORIGINAL_TO] = {"X-Original-To", 13},
};

static void note_field(struct scan *s, const struct header_field *f)
{
    if (f->name.len == 0)
        s->facts->is_malformed = true;
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (slice_equal_nocase(f->name, known[i].name))
            known[i].note(s, f);
    for (size_t i = 0; i < COUNT_OF(forwarding); i++)
        if (slice_equal_nocase(f->name, forwarding[i]))
            note_named(&s->facts->forwarding[i], f);
}

/* A CR or LF that is not part of a CRLF, or a NUL: what follows it may be a new field to others. */
static bool has_stray_octet(struct slice section)
{
    struct slice rest = section, line;
    while (slice_cut(&rest, '\n', &line)) {
        bool has_lf = line.data + line.len < section.data + section.len;
        bool has_cr = line.len > 0 && line.data[line.len - 1] == '\r';
        line.len -= has_cr;
        if (has_lf != has_cr || slice_find(line, '\r') >= 0)
            return true;
    }
    return slice_find(section, '\0') >= 0;
}

_Static_assert(sizeof(struct header_facts) < (size_t)32 * 1024, "one is kept per transaction");

void header_scan(struct slice section, struct header_facts *out)
{
    struct scan s = {.facts = out};
    struct header_field field;
    memset(out, 0, sizeof *out);
    out->has_8bit = slice_has_8bit(section);
    out->is_malformed = has_stray_octet(section);
    while (header_next(&section, &field))
        note_field(&s, &field);
    /* Some readers take a line that is no field for the end of the section, or a bare LF for a line
     * end. They do not see what we see: nothing is lifted. */
    if (out->is_malformed)
        return;
    /* The old markers are for senders that do not know Auto-Submitted; they do not outvote it. */
    if (out->auto_submitted == 0)
        out->is_auto_replied = s.has_old_marker && s.precedence <= 1;
    else
        out->is_auto_replied = out->auto_submitted == 1 && s.says_auto_replied;
    out->tls_required_no = out->tls_required == 1 && s.says_no;
}

/* ---- Copying ---- */

static bool is_among(struct slice name, const struct slice *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (name.len > 0 && slice_equal_nocase(name, names[i]))
            return true;
    return false;
}

bool header_copy_without(struct slice section, const struct slice *drop, size_t count,
                         struct buffer *out)
{
    struct header_field field;
    size_t before = out->len;
    while (header_next(&section, &field)) {
        if (is_among(field.name, drop, count) || buffer_append(out, field.whole))
            continue;
        out->len = before;
        return false;
    }
    return true;
}

bool header_value(struct slice section, struct slice name, char *out, size_t size)
{
    struct header_field field;
    if (size > 0)
        out[0] = '\0';
    while (header_next(&section, &field)) {
        if (!is_among(field.name, &name, 1))
            continue;
        unfold(field.value, out, size);
        return true;
    }
    return false;
}
