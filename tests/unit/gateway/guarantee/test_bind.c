/* Whose flag binds, and which exemption lifts it: GUARANTEE.md section 1, sentence by sentence. */
#include "gateway/guarantee/bind.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct address mailbox(const char *text)
{
    struct address a = {0};
    snprintf(a.text, sizeof a.text, "%s", text);
    const char *at = strrchr(text, '@');
    a.local_len = (uint16_t)(at ? (size_t)(at - text) : strlen(text));
    return a;
}

/* The directory of all tests: addresses and aliases, their flags, and the forwards. */
static const struct {
    const char *mailbox, *account;
    enum level level;
    bool is_locked, is_dry_run;
} users[] = {
    {"anna@site.example", "anna@site.example", LEVEL_ENCRYPT, false, false},
    {"anna.alias@site.example", "anna@site.example", LEVEL_ENCRYPT, false, false},
    {"vera@site.example", "vera@site.example", LEVEL_VERIFIED, false, false},
    {"olaf@site.example", "olaf@site.example", LEVEL_OFF, false, false},
    {"lena@site.example", "lena@site.example", LEVEL_ENCRYPT, true, false},
    {"emil@site.example", "emil@site.example", LEVEL_ENCRYPT, false, false},
    {"dora@site.example", "dora@site.example", LEVEL_VERIFIED, false, true},
    {"drew@site.example", "drew@site.example", LEVEL_ENCRYPT, true, true},
    {"dino@site.example", "dino@site.example", LEVEL_OFF, false, true},
};
/* Owner and recipient domain. */
static const char *const exceptions[][2] = {
    {"anna@site.example", "old.example"}, {"vera@site.example", "old.example"},
    {"lena@site.example", "old.example"}, {"olaf@site.example", "old.example"},
    {"dora@site.example", "old.example"}, {"anna@site.example", "home.example"},
};
static const char *const forwards[][2] = {
    {"anna@site.example", "anna@home.example"}, {"vera@site.example", "vera@home.example"},
    {"lena@site.example", "lena@home.example"}, {"emil@site.example", "emil@home.example"},
    {"anna@site.example", "both@home.example"}, {"emil@site.example", "both@home.example"},
    {"olaf@site.example", "olaf@home.example"},
};

static bool find_user(void *context, const struct address *address, struct guarantee_user *out)
{
    (void)context;
    for (size_t i = 0; i < COUNT_OF(users); i++) {
        if (strcasecmp(users[i].mailbox, address->text) != 0)
            continue;
        *out = (struct guarantee_user){.level = users[i].level,
                                       .is_locked = users[i].is_locked,
                                       .is_dry_run = users[i].is_dry_run};
        snprintf(out->address, sizeof out->address, "%s", users[i].account);
        return true;
    }
    return false;
}

static bool has_forward(void *context, const char *owner, const struct address *target)
{
    (void)context;
    for (size_t i = 0; i < COUNT_OF(forwards); i++)
        if (strcmp(forwards[i][0], owner) == 0 && strcasecmp(forwards[i][1], target->text) == 0)
            return true;
    return false;
}

/* Says only what it is asked: an owner, never an alias. */
static bool has_exception(void *context, const char *owner, const struct address *recipient)
{
    (void)context;
    const char *at = strrchr(recipient->text, '@');
    for (size_t i = 0; i < COUNT_OF(exceptions); i++)
        if (strcmp(exceptions[i][0], owner) == 0 && at != NULL &&
            strcasecmp(exceptions[i][1], at + 1) == 0)
            return true;
    return false;
}

static const struct guarantee_directory directory = {
    .find_user = find_user,
    .has_forward = has_forward,
};
static const struct guarantee_directory directory_with_exceptions = {
    .find_user = find_user,
    .has_forward = has_forward,
    .has_exception = has_exception,
};

static void see(struct header_named *field, const char *text)
{
    size_t size = strlen(text) + 1;
    assert_true(size <= sizeof field->seen.text - field->seen.len);
    memcpy(field->seen.text + field->seen.len, text, size);
    field->seen.len += size;
}

/* "a b" names two addresses; a leading '!' makes the field unreadable, a leading '+' says that
 * there are two fields of the name. NULL: no field. */
static struct header_named named(const char *spec)
{
    struct header_named field = {0};
    if (spec == NULL)
        return field;
    field.fields = 1;
    for (; *spec == '!' || *spec == '+'; spec++) {
        field.is_unreadable |= *spec == '!';
        field.fields += *spec == '+';
    }
    struct slice rest = slice_of(spec), word;
    while (slice_cut(&rest, ' ', &word)) {
        char text[ADDRESS_SIZE];
        assert_true(slice_copy(word, text, sizeof text));
        if (field.is_unreadable)
            see(&field, text);
        else
            field.addresses[field.count++] = mailbox(text);
    }
    return field;
}

struct bind_case {
    const char *claim;
    const char *user; /* submission by this one; NULL: relay listener */
    const char *reverse_path, *recipient, *from;
    const char *sieve, *resent, *delivered, *original;
    bool auto_replied, tls_required_no, no_exempt_auto, requiretls;
    struct {
        enum level level;
        enum exemption exemption;
        const char *owner;
    } want;
};

static struct guarantee_binding bind_by(const struct bind_case *c,
                                        const struct guarantee_directory *asked)
{
    struct header_facts header = {.from = named(c->from),
                                  .is_auto_replied = c->auto_replied,
                                  .tls_required_no = c->tls_required_no};
    header.forwarding[HEADER_X_SIEVE_REDIRECTED_FROM] = named(c->sieve);
    header.forwarding[HEADER_RESENT_FROM] = named(c->resent);
    header.forwarding[HEADER_DELIVERED_TO] = named(c->delivered);
    header.forwarding[HEADER_X_ORIGINAL_TO] = named(c->original);
    struct guarantee_user user;
    struct address who = mailbox(c->user ? c->user : "");
    struct guarantee_message message = {
        .origin = c->user ? ORIGIN_SUBMISSION : ORIGIN_RELAY,
        .reverse_path = mailbox(c->reverse_path),
        .requiretls = c->requiretls,
        .header = &header,
        .exempt_auto_replies = !c->no_exempt_auto,
    };
    if (c->user) {
        assert_true(find_user(NULL, &who, &user));
        message.user = &user;
    }
    struct address recipient = mailbox(c->recipient);
    return guarantee_bind(&message, &recipient, asked);
}

static void check_by(const struct bind_case *cases, size_t count,
                     const struct guarantee_directory *asked)
{
    unsigned wrong = 0;
    for (size_t i = 0; i < count; i++) {
        const struct bind_case *c = &cases[i];
        struct guarantee_binding got = bind_by(c, asked);
        if (got.level == c->want.level && got.exemption == c->want.exemption &&
            strcmp(got.owner, c->want.owner) == 0)
            continue;
        wrong++;
        print_error("%s: got %s/%s/%s want %s/%s/%s\n", c->claim, level_name(got.level),
                    exemption_name(got.exemption), got.owner, level_name(c->want.level),
                    exemption_name(c->want.exemption), c->want.owner);
    }
    assert_int_equal(wrong, 0);
}

static void check(const struct bind_case *cases, size_t count)
{
    check_by(cases, count, &directory);
}

#define ANNA "anna@site.example"
#define ALIAS "anna.alias@site.example"
#define VERA "vera@site.example"
#define OLAF "olaf@site.example"
#define LENA "lena@site.example"
#define EMIL "emil@site.example"
#define BOB "bob@far.example"
#define EVE "eve@far.example"
#define ANNA_HOME "anna@home.example"
#define VERA_HOME "vera@home.example"
#define LENA_HOME "lena@home.example"
#define EMIL_HOME "emil@home.example"
#define BOTH_HOME "both@home.example"
#define OLAF_HOME "olaf@home.example"
#define DORA "dora@site.example"
#define DREW "drew@site.example"
#define DINO "dino@site.example"
#define OLD "bob@old.example"

static void on_submission_the_authenticated_users_flag_binds(void **state)
{
    (void)state;
    static const struct bind_case cases[] = {
        {"flag on", ANNA, ANNA, BOB, ANNA, .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"flag verified", VERA, VERA, BOB, VERA, .want = {LEVEL_VERIFIED, EXEMPTION_NONE, VERA}},
        {"flag off", OLAF, OLAF, BOB, OLAF, .want = {LEVEL_OFF, EXEMPTION_NONE, OLAF}},
        {"sent as alias", ANNA, ALIAS, BOB, ALIAS, .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"null reverse-path (a receipt)", ANNA, "", BOB, ANNA,
         .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"the reverse-path of somebody else changes nothing", ANNA, VERA, BOB, ANNA,
         .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"a flag that is off is not raised by reverse-path", OLAF, VERA, BOB, OLAF,
         .want = {LEVEL_OFF, EXEMPTION_NONE, OLAF}},
        {"forwarding headers are for the relay listener only", OLAF, OLAF, BOB, OLAF,
         .delivered = VERA, .want = {LEVEL_OFF, EXEMPTION_NONE, OLAF}},
    };
    check(cases, COUNT_OF(cases));
}

static void on_submission_only_unlocked_flags_are_lifted(void **state)
{
    (void)state;
    static const struct bind_case cases[] = {
        {"automatic reply", ANNA, "", BOB, ANNA, .auto_replied = true,
         .want = {LEVEL_ENCRYPT, EXEMPTION_AUTO_REPLY, ANNA}},
        {"automatic reply, verified", VERA, VERA, BOB, VERA, .auto_replied = true,
         .want = {LEVEL_VERIFIED, EXEMPTION_AUTO_REPLY, VERA}},
        {"automatic reply, locked", LENA, "", BOB, LENA, .auto_replied = true,
         .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, LENA}},
        {"automatic reply, exempt_auto_replies = false", ANNA, "", BOB, ANNA, .auto_replied = true,
         .no_exempt_auto = true, .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"automatic reply, flag off: nothing to lift", OLAF, "", BOB, OLAF, .auto_replied = true,
         .want = {LEVEL_OFF, EXEMPTION_NONE, OLAF}},
        {"TLS-Required: No", ANNA, ANNA, BOB, ANNA, .tls_required_no = true,
         .want = {LEVEL_ENCRYPT, EXEMPTION_TLS_REQUIRED_NO, ANNA}},
        {"TLS-Required: No, verified", VERA, VERA, BOB, VERA, .tls_required_no = true,
         .want = {LEVEL_VERIFIED, EXEMPTION_TLS_REQUIRED_NO, VERA}},
        {"TLS-Required: No, locked", LENA, LENA, BOB, LENA, .tls_required_no = true,
         .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, LENA}},
        {"TLS-Required: No, flag off: lifts DANE", OLAF, OLAF, BOB, OLAF, .tls_required_no = true,
         .want = {LEVEL_OFF, EXEMPTION_TLS_REQUIRED_NO, OLAF}},
        {"TLS-Required: No under REQUIRETLS", ANNA, ANNA, BOB, ANNA, .tls_required_no = true,
         .requiretls = true, .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"TLS-Required: No under REQUIRETLS, flag off", OLAF, OLAF, BOB, OLAF,
         .tls_required_no = true, .requiretls = true, .want = {LEVEL_OFF, EXEMPTION_NONE, OLAF}},
        {"all that lifts under REQUIRETLS: the field says nothing, the reply counts", ANNA, "", BOB,
         ANNA, .auto_replied = true, .tls_required_no = true, .requiretls = true,
         .want = {LEVEL_ENCRYPT, EXEMPTION_AUTO_REPLY, ANNA}},
        {"automatic reply under REQUIRETLS", ANNA, "", BOB, ANNA, .auto_replied = true,
         .requiretls = true, .want = {LEVEL_ENCRYPT, EXEMPTION_AUTO_REPLY, ANNA}},
        {"TLS-Required: No has nothing to do with exempt_auto_replies", ANNA, ANNA, BOB, ANNA,
         .tls_required_no = true, .no_exempt_auto = true,
         .want = {LEVEL_ENCRYPT, EXEMPTION_TLS_REQUIRED_NO, ANNA}},
        {"both: the one that lifts more", ANNA, "", BOB, ANNA, .auto_replied = true,
         .tls_required_no = true, .want = {LEVEL_ENCRYPT, EXEMPTION_TLS_REQUIRED_NO, ANNA}},
        {"both, locked", LENA, "", BOB, LENA, .auto_replied = true, .tls_required_no = true,
         .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, LENA}},
        {"a forward is for the relay listener only", ANNA, ANNA, ANNA_HOME, EVE, .delivered = ANNA,
         .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
    };
    check(cases, COUNT_OF(cases));
}

static void on_the_relay_listener_the_owner_is_found_in_this_order(void **state)
{
    (void)state;
    static const struct bind_case cases[] = {
        {"nobody named: off", NULL, EVE, BOB, EVE, .want = {LEVEL_OFF, EXEMPTION_NONE, ""}},
        {"null reverse-path, nobody named: off", NULL, "", BOB, EVE,
         .want = {LEVEL_OFF, EXEMPTION_NONE, ""}},
        {"reverse-path names a user", NULL, ANNA, BOB, ANNA,
         .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"reverse-path names an alias", NULL, ALIAS, BOB, EVE,
         .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"reverse-path names a user whose flag is off", NULL, OLAF, BOB, OLAF,
         .want = {LEVEL_OFF, EXEMPTION_NONE, OLAF}},
        {"reverse-path goes before forwarding headers", NULL, OLAF, BOB, EVE, .delivered = VERA,
         .want = {LEVEL_OFF, EXEMPTION_NONE, OLAF}},
        {"X-Sieve-Redirected-From", NULL, EVE, BOB, EVE, .sieve = ANNA,
         .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"Resent-From", NULL, EVE, BOB, EVE, .resent = VERA,
         .want = {LEVEL_VERIFIED, EXEMPTION_NONE, VERA}},
        {"Delivered-To", NULL, EVE, BOB, EVE, .delivered = ANNA,
         .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"X-Original-To", NULL, EVE, BOB, EVE, .original = ALIAS,
         .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"null reverse-path: forwarding headers go before From", NULL, "", BOB, VERA,
         .delivered = ANNA, .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"null reverse-path: the user in From", NULL, "", BOB, ANNA,
         .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"null reverse-path: the alias in From", NULL, "", BOB, ALIAS,
         .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"a reverse-path of somebody else: From names nobody", NULL, EVE, BOB, ANNA,
         .want = {LEVEL_OFF, EXEMPTION_NONE, ""}},
        {"several users in From of a null reverse-path: the strictest", NULL, "", BOB,
         ANNA " " VERA, .want = {LEVEL_VERIFIED, EXEMPTION_NONE, VERA}},
        {"several users in several headers: the strictest", NULL, EVE, BOB, EVE, .sieve = OLAF,
         .resent = ANNA, .delivered = VERA, .want = {LEVEL_VERIFIED, EXEMPTION_NONE, VERA}},
        {"several users in one header: the strictest", NULL, EVE, BOB, EVE,
         .delivered = OLAF " " ANNA, .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"strangers beside a user", NULL, EVE, BOB, EVE, .delivered = BOB " " EVE, .original = ANNA,
         .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"an unreadable field still binds whom it shows", NULL, EVE, BOB, EVE,
         .delivered = "!" ANNA, .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"all named have it off", NULL, EVE, BOB, EVE, .delivered = OLAF,
         .want = {LEVEL_OFF, EXEMPTION_NONE, OLAF}},
    };
    check(cases, COUNT_OF(cases));
}

static void automatic_replies_pass_the_relay_listener_even_when_locked(void **state)
{
    (void)state;
    static const struct bind_case cases[] = {
        {"vacation reply", NULL, "", BOB, ANNA, .auto_replied = true,
         .want = {LEVEL_ENCRYPT, EXEMPTION_AUTO_REPLY, ANNA}},
        {"vacation reply of a locked flag", NULL, "", BOB, LENA, .auto_replied = true,
         .want = {LEVEL_ENCRYPT, EXEMPTION_AUTO_REPLY, LENA}},
        {"vacation reply with a reverse-path", NULL, VERA, BOB, VERA, .auto_replied = true,
         .want = {LEVEL_VERIFIED, EXEMPTION_AUTO_REPLY, VERA}},
        {"switched off in the configuration", NULL, "", BOB, ANNA, .auto_replied = true,
         .no_exempt_auto = true, .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"flag off: nothing to lift", NULL, OLAF, BOB, OLAF, .auto_replied = true,
         .want = {LEVEL_OFF, EXEMPTION_NONE, OLAF}},
        {"TLS-Required: No is not honoured here", NULL, ANNA, BOB, ANNA, .tls_required_no = true,
         .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"TLS-Required: No is not honoured of strangers either", NULL, EVE, BOB, EVE,
         .tls_required_no = true, .want = {LEVEL_OFF, EXEMPTION_NONE, ""}},
    };
    check(cases, COUNT_OF(cases));
}

static void a_configured_forward_is_exempt(void **state)
{
    (void)state;
    static const struct bind_case cases[] = {
        {"X-Sieve-Redirected-From", NULL, EVE, ANNA_HOME, EVE, .sieve = ANNA,
         .want = {LEVEL_ENCRYPT, EXEMPTION_FORWARD, ANNA}},
        {"Resent-From", NULL, EVE, ANNA_HOME, EVE, .resent = ANNA,
         .want = {LEVEL_ENCRYPT, EXEMPTION_FORWARD, ANNA}},
        {"Delivered-To", NULL, EVE, ANNA_HOME, EVE, .delivered = ANNA,
         .want = {LEVEL_ENCRYPT, EXEMPTION_FORWARD, ANNA}},
        {"X-Original-To with the alias", NULL, EVE, ANNA_HOME, EVE, .original = ALIAS,
         .want = {LEVEL_ENCRYPT, EXEMPTION_FORWARD, ANNA}},
        {"the reverse-path was rewritten to the owner", NULL, ANNA, ANNA_HOME, EVE,
         .delivered = ANNA, .want = {LEVEL_ENCRYPT, EXEMPTION_FORWARD, ANNA}},
        {"a bounce is forwarded", NULL, "", ANNA_HOME, "mailer-daemon@far.example",
         .delivered = ANNA, .want = {LEVEL_ENCRYPT, EXEMPTION_FORWARD, ANNA}},
        {"the target's case does not matter", NULL, EVE, "ANNA@home.example", EVE,
         .delivered = ANNA, .want = {LEVEL_ENCRYPT, EXEMPTION_FORWARD, ANNA}},
        {"a locked flag", NULL, EVE, LENA_HOME, EVE, .delivered = LENA,
         .want = {LEVEL_ENCRYPT, EXEMPTION_FORWARD, LENA}},
        {"level verified", NULL, EVE, VERA_HOME, EVE, .delivered = VERA,
         .want = {LEVEL_VERIFIED, EXEMPTION_FORWARD, VERA}},
        {"From is another user", NULL, EVE, ANNA_HOME, VERA, .delivered = ANNA,
         .want = {LEVEL_ENCRYPT, EXEMPTION_FORWARD, ANNA}},
        {"users whose flag is off do not count", NULL, EVE, ANNA_HOME, EVE, .delivered = ANNA,
         .original = OLAF, .want = {LEVEL_ENCRYPT, EXEMPTION_FORWARD, ANNA}},
        {"the same user in two headers", NULL, EVE, ANNA_HOME, EVE, .delivered = ANNA,
         .original = ALIAS, .want = {LEVEL_ENCRYPT, EXEMPTION_FORWARD, ANNA}},
        {"two users of one level, both with this forward", NULL, EVE, BOTH_HOME, EVE,
         .delivered = ANNA, .original = EMIL, .want = {LEVEL_ENCRYPT, EXEMPTION_FORWARD, ANNA}},
        {"an unreadable field beside a readable one", NULL, EVE, ANNA_HOME, EVE, .sieve = ANNA,
         .delivered = "!", .want = {LEVEL_ENCRYPT, EXEMPTION_FORWARD, ANNA}},
        {"flag off: nothing to lift", NULL, EVE, OLAF_HOME, EVE, .delivered = OLAF,
         .want = {LEVEL_OFF, EXEMPTION_NONE, OLAF}},
        {"an automatic reply that is forwarded too", NULL, EVE, ANNA_HOME, EVE, .delivered = ANNA,
         .auto_replied = true, .want = {LEVEL_ENCRYPT, EXEMPTION_AUTO_REPLY, ANNA}},
    };
    check(cases, COUNT_OF(cases));
}

static void what_only_looks_like_a_forward_is_not_exempt(void **state)
{
    (void)state;
    static const struct bind_case cases[] = {
        {"a fresh message of the owner to the target", NULL, ANNA, ANNA_HOME, ANNA,
         .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"From is the owner", NULL, EVE, ANNA_HOME, ANNA, .delivered = ANNA,
         .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"From is an alias of the owner", NULL, EVE, ANNA_HOME, ALIAS, .delivered = ANNA,
         .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"several From addresses", NULL, EVE, ANNA_HOME, EVE " " BOB, .delivered = ANNA,
         .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"several From fields", NULL, EVE, ANNA_HOME, "+" EVE, .delivered = ANNA,
         .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"unreadable From", NULL, EVE, ANNA_HOME, "!" EVE, .delivered = ANNA,
         .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"no From", NULL, EVE, ANNA_HOME, NULL, .delivered = ANNA,
         .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"the recipient is not the target", NULL, EVE, BOB, EVE, .delivered = ANNA,
         .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"the recipient is somebody else's target", NULL, EVE, VERA_HOME, EVE, .delivered = ANNA,
         .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"no header shows delivery to the owner", NULL, ANNA, ANNA_HOME, EVE,
         .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"headers show strangers only", NULL, ANNA, ANNA_HOME, EVE, .delivered = BOB,
         .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"the field that names the owner is unreadable", NULL, EVE, ANNA_HOME, EVE,
         .delivered = "!" ANNA, .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"several named: a forward of the lesser flag", NULL, EVE, ANNA_HOME, EVE,
         .delivered = ANNA, .original = VERA, .want = {LEVEL_VERIFIED, EXEMPTION_NONE, VERA}},
        {"several named: a forward of the strictest passes", NULL, EVE, VERA_HOME, EVE,
         .delivered = ANNA, .original = VERA, .want = {LEVEL_VERIFIED, EXEMPTION_FORWARD, VERA}},
        {"two of one level: a forward of the first alone", NULL, EVE, ANNA_HOME, EVE,
         .delivered = ANNA, .original = EMIL, .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, EMIL}},
        {"two of one level: a forward of the second alone", NULL, EVE, EMIL_HOME, EVE,
         .delivered = ANNA, .original = EMIL, .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"another user's forward does not lift the sender's flag", NULL, ANNA, EMIL_HOME, ANNA,
         .delivered = EMIL, .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"nor where From is a stranger", NULL, ANNA, EMIL_HOME, EVE, .delivered = EMIL,
         .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"the sender's forward, but a stricter user is named", NULL, ANNA, ANNA_HOME, EVE,
         .delivered = ANNA, .original = VERA, .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"the sender's forward, but a user of the same level without it is named", NULL, ANNA,
         ANNA_HOME, EVE, .delivered = ANNA, .original = EMIL,
         .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"null reverse-path, From the owner, target his own", NULL, "", ANNA_HOME, ANNA,
         .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
    };
    check(cases, COUNT_OF(cases));
}

static void an_exception_of_the_administrator_lifts_the_owners_flag(void **state)
{
    (void)state;
    static const struct bind_case cases[] = {
        {"submission", ANNA, ANNA, OLD, ANNA, .want = {LEVEL_ENCRYPT, EXEMPTION_EXCEPTION, ANNA}},
        {"the domain's case does not matter", ANNA, ANNA, "bob@OLD.example", ANNA,
         .want = {LEVEL_ENCRYPT, EXEMPTION_EXCEPTION, ANNA}},
        {"level verified", VERA, VERA, OLD, VERA,
         .want = {LEVEL_VERIFIED, EXEMPTION_EXCEPTION, VERA}},
        {"sent as alias", ANNA, ALIAS, OLD, ALIAS,
         .want = {LEVEL_ENCRYPT, EXEMPTION_EXCEPTION, ANNA}},
        {"another domain", ANNA, ANNA, BOB, ANNA, .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"another user", EMIL, EMIL, OLD, EMIL, .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, EMIL}},
        {"a locked flag: the lock is against the user", LENA, LENA, OLD, LENA,
         .want = {LEVEL_ENCRYPT, EXEMPTION_EXCEPTION, LENA}},
        {"a locked flag and TLS-Required: No", LENA, LENA, OLD, LENA, .tls_required_no = true,
         .want = {LEVEL_ENCRYPT, EXEMPTION_EXCEPTION, LENA}},
        {"a locked flag and an automatic reply", LENA, LENA, OLD, LENA, .auto_replied = true,
         .want = {LEVEL_ENCRYPT, EXEMPTION_EXCEPTION, LENA}},
        {"flag off: nothing to lift", OLAF, OLAF, OLD, OLAF,
         .want = {LEVEL_OFF, EXEMPTION_NONE, OLAF}},
        {"an automatic reply is one before", ANNA, ANNA, OLD, ANNA, .auto_replied = true,
         .want = {LEVEL_ENCRYPT, EXEMPTION_AUTO_REPLY, ANNA}},
        {"TLS-Required: No lifts more", ANNA, ANNA, OLD, ANNA, .tls_required_no = true,
         .want = {LEVEL_ENCRYPT, EXEMPTION_TLS_REQUIRED_NO, ANNA}},
        {"dry run comes after", DORA, DORA, OLD, DORA,
         .want = {LEVEL_VERIFIED, EXEMPTION_EXCEPTION, DORA}},
        {"relay, by reverse-path", NULL, ANNA, OLD, ANNA,
         .want = {LEVEL_ENCRYPT, EXEMPTION_EXCEPTION, ANNA}},
        {"relay, by header", NULL, EVE, OLD, EVE, .delivered = VERA,
         .want = {LEVEL_VERIFIED, EXEMPTION_EXCEPTION, VERA}},
        {"relay, by From of a null reverse-path", NULL, "", OLD, LENA,
         .want = {LEVEL_ENCRYPT, EXEMPTION_EXCEPTION, LENA}},
        {"relay, by an unreadable field", NULL, EVE, OLD, EVE, .delivered = "!" ANNA,
         .want = {LEVEL_ENCRYPT, EXEMPTION_EXCEPTION, ANNA}},
        {"relay, nobody named", NULL, EVE, OLD, EVE, .want = {LEVEL_OFF, EXEMPTION_NONE, ""}},
        {"relay, automatic reply", NULL, "", OLD, ANNA, .auto_replied = true,
         .want = {LEVEL_ENCRYPT, EXEMPTION_AUTO_REPLY, ANNA}},
        {"relay, TLS-Required: No", NULL, ANNA, OLD, ANNA, .tls_required_no = true,
         .want = {LEVEL_ENCRYPT, EXEMPTION_EXCEPTION, ANNA}},
        {"relay, configured forward", NULL, EVE, ANNA_HOME, EVE, .delivered = ANNA,
         .want = {LEVEL_ENCRYPT, EXEMPTION_FORWARD, ANNA}},
        {"relay, a fresh message to the target", NULL, ANNA, ANNA_HOME, ANNA,
         .want = {LEVEL_ENCRYPT, EXEMPTION_EXCEPTION, ANNA}},
        /* One user's exception never takes away what another's flag asks for. */
        {"the strictest has one, a lesser has none", NULL, EVE, OLD, EVE, .delivered = VERA,
         .original = EMIL, .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, EMIL}},
        {"the lesser has one, the strictest has none", NULL, EVE, ANNA_HOME, EVE, .delivered = VERA,
         .original = ANNA, .want = {LEVEL_VERIFIED, EXEMPTION_NONE, VERA}},
        {"two of one level, the first has one", NULL, EVE, OLD, EVE, .delivered = ANNA,
         .original = EMIL, .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, EMIL}},
        {"two of one level, the second has one", NULL, EVE, OLD, EVE, .delivered = EMIL,
         .original = ANNA, .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, EMIL}},
        {"all have one: the strictest", NULL, EVE, OLD, EVE, .delivered = ANNA, .original = VERA,
         .want = {LEVEL_VERIFIED, EXEMPTION_EXCEPTION, VERA}},
        {"all have one or are off", NULL, EVE, OLD, EVE, .delivered = OLAF, .original = ANNA,
         .want = {LEVEL_ENCRYPT, EXEMPTION_EXCEPTION, ANNA}},
        {"an unreadable one without, a readable one with", NULL, EVE, OLD, EVE, .delivered = VERA,
         .original = "!" EMIL, .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, EMIL}},
        {"two unreadable ones, the stricter with", NULL, EVE, OLD, EVE, .delivered = "!" VERA,
         .original = "!" EMIL, .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, EMIL}},
        {"a forward of the strictest that counts", NULL, EVE, EMIL_HOME, EVE, .delivered = ANNA,
         .original = EMIL, .want = {LEVEL_ENCRYPT, EXEMPTION_FORWARD, EMIL}},
    };
    check_by(cases, COUNT_OF(cases), &directory_with_exceptions);
}

static void in_a_dry_run_the_flag_counts_as_off_and_stays_recorded(void **state)
{
    (void)state;
    static const struct bind_case cases[] = {
        {"submission", DORA, DORA, BOB, DORA, .want = {LEVEL_VERIFIED, EXEMPTION_DRY_RUN, DORA}},
        {"locked", DREW, DREW, BOB, DREW, .want = {LEVEL_ENCRYPT, EXEMPTION_DRY_RUN, DREW}},
        {"flag off", DINO, DINO, BOB, DINO, .want = {LEVEL_OFF, EXEMPTION_NONE, DINO}},
        {"automatic reply: it would pass anyhow", DORA, DORA, BOB, DORA, .auto_replied = true,
         .want = {LEVEL_VERIFIED, EXEMPTION_AUTO_REPLY, DORA}},
        {"automatic reply, locked: it would not", DREW, DREW, BOB, DREW, .auto_replied = true,
         .want = {LEVEL_ENCRYPT, EXEMPTION_DRY_RUN, DREW}},
        {"TLS-Required: No", DORA, DORA, BOB, DORA, .tls_required_no = true,
         .want = {LEVEL_VERIFIED, EXEMPTION_TLS_REQUIRED_NO, DORA}},
        {"TLS-Required: No, locked", DREW, DREW, BOB, DREW, .tls_required_no = true,
         .want = {LEVEL_ENCRYPT, EXEMPTION_DRY_RUN, DREW}},
        {"relay, by reverse-path", NULL, DORA, BOB, DORA,
         .want = {LEVEL_VERIFIED, EXEMPTION_DRY_RUN, DORA}},
        {"relay, by header", NULL, EVE, BOB, EVE, .delivered = DREW,
         .want = {LEVEL_ENCRYPT, EXEMPTION_DRY_RUN, DREW}},
        {"relay, automatic reply", NULL, "", BOB, DREW, .auto_replied = true,
         .want = {LEVEL_ENCRYPT, EXEMPTION_AUTO_REPLY, DREW}},
        {"relay, beside a lesser flag that binds", NULL, EVE, BOB, EVE, .delivered = DORA,
         .original = ANNA, .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"relay, beside one of the same level", NULL, EVE, BOB, EVE, .delivered = DREW,
         .original = ANNA, .want = {LEVEL_ENCRYPT, EXEMPTION_NONE, ANNA}},
        {"relay, beside a stricter one", NULL, EVE, BOB, EVE, .delivered = DREW, .original = VERA,
         .want = {LEVEL_VERIFIED, EXEMPTION_NONE, VERA}},
        {"relay, beside one that is off", NULL, EVE, BOB, EVE, .delivered = OLAF, .original = DREW,
         .want = {LEVEL_ENCRYPT, EXEMPTION_DRY_RUN, DREW}},
        {"relay, beside another that is lifted: the strictest", NULL, EVE, BOB, EVE,
         .delivered = DREW, .original = DORA, .want = {LEVEL_VERIFIED, EXEMPTION_DRY_RUN, DORA}},
        {"relay, a configured forward of one whose flag binds", NULL, EVE, ANNA_HOME, EVE,
         .delivered = DORA, .original = ANNA, .want = {LEVEL_ENCRYPT, EXEMPTION_FORWARD, ANNA}},
        {"relay, reverse-path in a dry run: no header binds", NULL, DORA, BOB, DORA,
         .delivered = ANNA, .want = {LEVEL_VERIFIED, EXEMPTION_DRY_RUN, DORA}},
    };
    check(cases, COUNT_OF(cases));
}

static void nothing_binds_our_own_notices(void **state)
{
    (void)state;
    struct header_facts header = {.from = named(ANNA)};
    header.forwarding[HEADER_DELIVERED_TO] = named(VERA);
    struct guarantee_message message = {
        .origin = ORIGIN_NOTICE, .reverse_path = mailbox(""), .header = &header};
    struct address recipient = mailbox(BOB);
    struct guarantee_binding got = guarantee_bind(&message, &recipient, &directory);
    assert_int_equal(got.level, LEVEL_OFF);
    assert_int_equal(got.exemption, EXEMPTION_NONE);
    assert_string_equal(got.owner, "");
}

static void all_addresses_of_the_biggest_header_are_looked_at(void **state)
{
    (void)state;
    struct header_facts header = {.from = named(EVE)};
    for (int i = 0; i < HEADER_FORWARDING_COUNT; i++) {
        header.forwarding[i] = named(BOB);
        header.forwarding[i].count = HEADER_NAMED_MAX;
        for (int j = 1; j < HEADER_NAMED_MAX; j++)
            header.forwarding[i].addresses[j] = mailbox(j % 2 ? ANNA : EMIL);
    }
    header.forwarding[HEADER_X_ORIGINAL_TO].addresses[HEADER_NAMED_MAX - 1] = mailbox(VERA);
    struct guarantee_message message = {
        .origin = ORIGIN_RELAY, .reverse_path = mailbox(EVE), .header = &header};
    struct address recipient = mailbox(BOB);
    struct guarantee_binding got = guarantee_bind(&message, &recipient, &directory);
    assert_int_equal(got.level, LEVEL_VERIFIED);
    assert_string_equal(got.owner, VERA);
}

/* ---- From the text of a header to what binds ---- */

static struct guarantee_binding bind_text(const char *section, const char *reverse_path,
                                          const char *recipient)
{
    static struct header_facts header;
    header_scan(slice_of(section), &header);
    struct guarantee_message message = {.origin = ORIGIN_RELAY,
                                        .reverse_path = mailbox(reverse_path),
                                        .header = &header,
                                        .exempt_auto_replies = true};
    struct address to = mailbox(recipient);
    return guarantee_bind(&message, &to, &directory);
}

#define EIGHT                                                                                      \
    "1@f.example, 2@f.example, 3@f.example, 4@f.example, 5@f.example, 6@f.example, "               \
    "7@f.example, 8@f.example"

static void a_field_that_does_not_parse_binds_whoever_is_seen_in_it(void **state)
{
    (void)state;
    static const struct {
        const char *section, *reverse_path, *owner;
    } cases[] = {
        {"From: Doe, John <" ANNA ">\r\n", "", ANNA},
        {"From: John Doe " ANNA "\r\n", "", ANNA},
        {"From: <" ANNA "\r\n", "", ANNA},
        {"From: \"Anna <" ANNA ">\r\n", "", ANNA},
        {"From: (Anna " ANNA "\r\n", "", ANNA},
        {"From: Anna '" ANNA "'\r\n", "", ANNA},
        {"From: Anna \xE2\x80\x9C" ANNA "\xE2\x80\x9D\r\n", "", ANNA},
        {"From: Anna mailto:" ANNA ".\r\n", "", ANNA},
        {"From: Anna A. anna\r\n @\r\n site.example\r\n", "", ANNA},
        {"From: Anna A. \"anna\"@site.example\r\n", "", ANNA},
        {"From: Anna A. ANNA.Alias@Site.Example\r\n", "", ANNA},
        {"From: a@b@" ANNA "@c\r\n", "", ANNA},
        {"From: " ANNA ", " VERA " x\r\n", "", VERA},
        {"From: " EIGHT ", " ANNA "\r\n", "", ANNA},
        {"From: (c) anna (c) @ (c) site.example, Doe, J <x@y.example>\r\n", "", ANNA},
        {"Resent-From: Dr. X: Y <" ANNA ">\r\nFrom: e@f.example\r\n", EVE, ANNA},
        {"Delivered-To: " ANNA " " ANNA "\r\nFrom: e@f.example\r\n", EVE, ANNA},
        {"X-Original-To: " EIGHT "\r\n , " ANNA "\r\nFrom: e@f.example\r\n", EVE, ANNA},
        {"X-Sieve-Redirected-From: <" ANNA ">>\r\nFrom: e@f.example\r\n", EVE, ANNA},
        {"Delivered-To: anna\r\nX-Original-To: @ anna@ @site.example\r\n", EVE, ""},
        {"Resent-From: Anna " ANNA "\r\nDelivered-To: " OLAF "\r\n", EVE, ANNA},
        {"Resent-From: Anna " ANNA "\r\nDelivered-To: Vera " VERA "\r\n", EVE, VERA},
    };
    unsigned wrong = 0;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct guarantee_binding got = bind_text(cases[i].section, cases[i].reverse_path, BOB);
        if (strcmp(got.owner, cases[i].owner) == 0)
            continue;
        wrong++;
        print_error("%s: got %s want %s\n", cases[i].section, got.owner, cases[i].owner);
    }
    assert_int_equal(wrong, 0);
}

static void the_last_of_very_many_addresses_binds(void **state)
{
    (void)state;
    static char section[64 * 1024];
    for (int distinct = 0; distinct <= 1; distinct++) {
        int count = distinct ? 150 : 900;
        size_t len = (size_t)snprintf(section, sizeof section, "Delivered-To: ");
        for (int i = 0; i < count; i++)
            len += (size_t)snprintf(section + len, sizeof section - len, "stranger%d@far.example, ",
                                    distinct ? i : 0);
        snprintf(section + len, sizeof section - len, VERA "\r\n");
        assert_string_equal(bind_text(section, EVE, BOB).owner, VERA);
    }
}

/* However many: what is seen stays within its bounds (and the sanitizers see that it does). */
static void a_field_of_endless_addresses_does_no_harm(void **state)
{
    (void)state;
    static char section[256 * 1024];
    size_t len = (size_t)snprintf(section, sizeof section, "Resent-From: " ANNA " ");
    for (int i = 0; len + 32 < sizeof section; i++)
        len += (size_t)snprintf(section + len, sizeof section - len, "%d@far.example,", i);
    assert_string_equal(bind_text(section, EVE, BOB).owner, ANNA);
}

static void a_field_that_does_not_parse_exempts_nobody(void **state)
{
    (void)state;
    static const char *const sections[] = {
        "Delivered-To: " ANNA " " ANNA "\r\nFrom: " EVE "\r\n",
        "Delivered-To: " ANNA "\r\nFrom: Eve " EVE "\r\n",
        "Delivered-To: " ANNA "\r\nX-Original-To: Emil " EMIL "\r\nFrom: " EVE "\r\n",
    };
    for (size_t i = 0; i < COUNT_OF(sections); i++) {
        struct guarantee_binding got = bind_text(sections[i], EVE, ANNA_HOME);
        assert_int_equal(got.level, LEVEL_ENCRYPT);
        assert_int_equal(got.exemption, EXEMPTION_NONE);
    }
    struct guarantee_binding got = bind_text(
        "Delivered-To: " ANNA "\r\nX-Original-To: A " ANNA "\r\nFrom: " EVE "\r\n", EVE, ANNA_HOME);
    assert_int_equal(got.exemption, EXEMPTION_FORWARD);
}

static bool is_annas(void *context, const struct address *a)
{
    (void)context;
    return strcasecmp(a->text, ANNA) == 0 || strcasecmp(a->text, ALIAS) == 0;
}

static void a_sender_must_own_every_address_of_from_and_sender(void **state)
{
    (void)state;
    static const struct {
        const char *from, *sender;
        bool want;
    } cases[] = {
        {ANNA, NULL, true},
        {ALIAS, NULL, true},
        {ANNA " " ALIAS, NULL, true},
        {ANNA, ANNA, true},
        {ANNA " " ALIAS, ALIAS, true},
        {NULL, NULL, false},
        {NULL, ANNA, false},
        {"", NULL, false},
        {"+" ANNA, NULL, false},
        {"!" ANNA, NULL, false},
        {EVE, NULL, false},
        {ANNA " " EVE, NULL, false},
        {EVE " " ANNA, NULL, false},
        {EVE, ANNA, false},
        {ANNA, EVE, false},
        {ANNA, "", false},
        {ANNA, "!" ANNA, false},
        {ANNA, "+" ANNA, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct header_facts header = {.from = named(cases[i].from),
                                      .sender = named(cases[i].sender)};
        bool got = guarantee_owns_from(&header, is_annas, NULL);
        if (got != cases[i].want)
            fail_msg("From %s Sender %s: got %d want %d", cases[i].from, cases[i].sender, got,
                     cases[i].want);
    }
}

static void nobody_owns_a_from_that_does_not_parse(void **state)
{
    (void)state;
    static const char *const sections[] = {
        "From: Doe, Anna <" ANNA ">\r\n",
        "From: Anna " ANNA "\r\n",
        "From: " ANNA "\r\nSender: Anna " ANNA "\r\n",
    };
    static struct header_facts header;
    for (size_t i = 0; i < COUNT_OF(sections); i++) {
        header_scan(slice_of(sections[i]), &header);
        assert_false(guarantee_owns_from(&header, is_annas, NULL));
    }
    header_scan(SLICE("From: Anna <" ANNA ">\r\n"), &header);
    assert_true(guarantee_owns_from(&header, is_annas, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_submission_the_authenticated_users_flag_binds),
        cmocka_unit_test(on_submission_only_unlocked_flags_are_lifted),
        cmocka_unit_test(on_the_relay_listener_the_owner_is_found_in_this_order),
        cmocka_unit_test(automatic_replies_pass_the_relay_listener_even_when_locked),
        cmocka_unit_test(a_configured_forward_is_exempt),
        cmocka_unit_test(what_only_looks_like_a_forward_is_not_exempt),
        cmocka_unit_test(an_exception_of_the_administrator_lifts_the_owners_flag),
        cmocka_unit_test(in_a_dry_run_the_flag_counts_as_off_and_stays_recorded),
        cmocka_unit_test(nothing_binds_our_own_notices),
        cmocka_unit_test(all_addresses_of_the_biggest_header_are_looked_at),
        cmocka_unit_test(a_field_that_does_not_parse_binds_whoever_is_seen_in_it),
        cmocka_unit_test(the_last_of_very_many_addresses_binds),
        cmocka_unit_test(a_field_of_endless_addresses_does_no_harm),
        cmocka_unit_test(a_field_that_does_not_parse_exempts_nobody),
        cmocka_unit_test(nobody_owns_a_from_that_does_not_parse),
        cmocka_unit_test(a_sender_must_own_every_address_of_from_and_sender),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
