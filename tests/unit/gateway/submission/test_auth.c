/* The other side is libgsasl's own client, in this process. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <gsasl.h>

#include "gateway/submission/auth.h"
#include "gateway/tls/scram.h"

static const uint8_t binding[32] = "0123456789abcdef0123456789abcde";
static const uint8_t other_binding[32] = "another channel, another binding";

/* ---- Users ---- */

static void fill(struct queue_verifier *v, enum scram_hash hash, struct slice password)
{
    struct scram_keys keys;
    assert_true(scram_derive(hash, password, (const uint8_t *)"0123456789abcdef", 16, 4096, &keys));
    v->iterations = keys.iterations;
    v->salt_len = (uint8_t)keys.salt_len;
    v->key_len = (uint8_t)keys.key_len;
    memcpy(v->salt, keys.salt, keys.salt_len);
    memcpy(v->stored_key, keys.stored_key, keys.key_len);
    memcpy(v->server_key, keys.server_key, keys.key_len);
}

static int find_error;
static unsigned errors_left; /* before find_error is over */

static int find(void *context, const struct address *name, struct queue_account *out)
{
    (void)context;
    if (find_error != 0 && errors_left > 0) {
        errors_left--;
        return find_error;
    }
    char key[ADDRESS_SIZE];
    address_key(name, key);
    memset(out, 0, sizeof *out);
    if (strcmp(key, "alice@example.org") == 0 || strcmp(key, "al@example.org") == 0) {
        strcpy(out->address, "alice@example.org");
        out->aliases = xalloc(sizeof *out->aliases);
        strcpy(out->aliases[0], "al@example.org");
        out->alias_count = 1;
        fill(&out->sha256, SCRAM_SHA256, SLICE("secret"));
        fill(&out->sha1, SCRAM_SHA1, SLICE("secret"));
        return 0;
    }
    if (strcmp(key, "accent@example.org") == 0) {
        strcpy(out->address, "accent@example.org");
        fill(&out->sha256, SCRAM_SHA256,
             SLICE("pass w\xc3\xb6rd")); /* prepared: NFKC, plain space */
        return 0;
    }
    return -ENOENT;
}

static const struct auth_directory directory = {find, NULL};

/* ---- One conversation ---- */

struct client {
    const char *mechanism; /* the client's */
    enum submission_mechanism server;
    const char *user, *password, *authzid;
    const uint8_t *client_binding, *server_binding;
    enum { NORMALLY, LATE } how; /* LATE: no initial response */
};

static int client_callback(Gsasl *gsasl, Gsasl_session *session, Gsasl_property property)
{
    (void)gsasl;
    const struct client *c = gsasl_session_hook_get(session);
    switch ((int)property) {
    case GSASL_AUTHID:
        return gsasl_property_set(session, property, c->user);
    case GSASL_PASSWORD:
        return gsasl_property_set(session, property, c->password);
    case GSASL_AUTHZID:
        return c->authzid ? gsasl_property_set(session, property, c->authzid) : GSASL_NO_CALLBACK;
    case GSASL_CB_TLS_EXPORTER: {
        char *text = NULL;
        if (!c->client_binding ||
            gsasl_base64_to((const char *)c->client_binding, 32, &text, NULL) != GSASL_OK)
            return GSASL_NO_CALLBACK;
        int error = gsasl_property_set(session, property, text);
        gsasl_free(text);
        return error;
    }
    default:
        return GSASL_NO_CALLBACK;
    }
}

/* What the client says to a challenge; false: it gives up. *is_done: it needs no more. */
static bool client_says(Gsasl_session *session, struct slice challenge, struct buffer *out,
                        bool *is_done)
{
    char *text = NULL, in[4096];
    assert_true(slice_copy(challenge, in, sizeof in));
    int code = gsasl_step64(session, in, &text);
    buffer_clear(out);
    if (text)
        assert_true(buffer_append_text(out, text));
    gsasl_free(text);
    *is_done = code == GSASL_OK;
    return code == GSASL_OK || code == GSASL_NEEDS_MORE;
}

static struct auth_library *library;
static char logged_in[ADDRESS_SIZE], known[ADDRESS_SIZE];

static void remember(const struct auth *a)
{
    logged_in[0] = '\0';
    strcpy(known, auth_known_user(a));
    if (auth_result(a) == AUTH_OK)
        strcpy(logged_in, auth_user(a));
}

/* Lets both sides talk to the end. AUTH_MORE: the client gave up. */
static enum auth_result talk(const struct client *c)
{
    Gsasl *gsasl;
    Gsasl_session *session;
    assert_int_equal(gsasl_init(&gsasl), GSASL_OK);
    gsasl_callback_set(gsasl, client_callback);
    assert_int_equal(gsasl_client_start(gsasl, c->mechanism, &session), GSASL_OK);
    gsasl_session_hook_set(session, (void *)(uintptr_t)c);
    struct auth *a = auth_begin(library, c->server, c->server_binding, &directory);
    assert_non_null(a);
    struct buffer out;
    buffer_init(&out, 65536);
    bool is_done = false, goes_on = true;
    bool speaks_first = strcmp(c->mechanism, "LOGIN") != 0;
    if (c->how == LATE || !speaks_first) {
        assert_true(auth_feed(a, NULL));
    } else {
        goes_on = client_says(session, SLICE(""), &out, &is_done);
        struct slice first = buffer_slice(&out);
        assert_true(auth_feed(a, &first));
    }
    auth_run(a);
    for (int i = 0; i < 10 && goes_on && auth_result(a) == AUTH_MORE; i++) {
        if (is_done)
            buffer_clear(&out);
        else
            goes_on = client_says(session, auth_challenge(a), &out, &is_done);
        struct slice answer = buffer_slice(&out);
        assert_true(auth_feed(a, &answer));
        if (goes_on)
            auth_run(a);
    }
    enum auth_result result = goes_on ? auth_result(a) : AUTH_MORE;
    if (result == AUTH_OK)
        assert_true(is_done); /* under SCRAM the server has to prove itself, too */
    remember(a);
    auth_free(a);
    buffer_free(&out);
    gsasl_finish(session);
    gsasl_done(gsasl);
    return result;
}

#define PLUS "SCRAM-SHA-256-PLUS", MECHANISM_SCRAM_SHA_256_PLUS
#define SHA256 "SCRAM-SHA-256", MECHANISM_SCRAM_SHA_256
#define SHA1 "SCRAM-SHA-1", MECHANISM_SCRAM_SHA_1
#define PLAIN "PLAIN", MECHANISM_PLAIN
#define LOGIN "LOGIN", MECHANISM_LOGIN
#define ALICE "alice@example.org", "secret"

static void every_mechanism_lets_in_whom_it_should(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        struct client client;
        enum auth_result want;
    } cases[] = {
        {"plus", {PLUS, ALICE, NULL, binding, binding, NORMALLY}, AUTH_OK},
        {"plus, late", {PLUS, ALICE, NULL, binding, binding, LATE}, AUTH_OK},
        {"plus, alias",
         {PLUS, "AL@Example.ORG", "secret", NULL, binding, binding, NORMALLY},
         AUTH_OK},
        {"plus, wrong",
         {PLUS, "alice@example.org", "Secret", NULL, binding, binding, NORMALLY},
         AUTH_WRONG},
        {"plus, nobody",
         {PLUS, "eve@example.org", "x", NULL, binding, binding, NORMALLY},
         AUTH_WRONG},
        {"plus, mitm", {PLUS, ALICE, NULL, other_binding, binding, NORMALLY}, AUTH_WRONG},
        {"sha256, n", {SHA256, ALICE, NULL, NULL, binding, NORMALLY}, AUTH_OK},
        {"sha256, n, no binding", {SHA256, ALICE, NULL, NULL, NULL, NORMALLY}, AUTH_OK},
        {"sha256, late", {SHA256, ALICE, NULL, NULL, binding, LATE}, AUTH_OK},
        {"sha256, p",
         {"SCRAM-SHA-256-PLUS", MECHANISM_SCRAM_SHA_256, ALICE, NULL, binding, binding, NORMALLY},
         AUTH_WRONG},
        {"plus, n",
         {"SCRAM-SHA-256", MECHANISM_SCRAM_SHA_256_PLUS, ALICE, NULL, NULL, binding, NORMALLY},
         AUTH_WRONG},
        {"sha256, wrong",
         {SHA256, "alice@example.org", "", NULL, NULL, NULL, NORMALLY},
         AUTH_WRONG},
        {"sha256, nobody",
         {SHA256, "eve@example.org", "x", NULL, NULL, NULL, NORMALLY},
         AUTH_WRONG},
        {"sha256, no address", {SHA256, "alice", "secret", NULL, NULL, NULL, NORMALLY}, AUTH_WRONG},
        {"sha256, as himself", {SHA256, ALICE, "al@example.org", NULL, NULL, NORMALLY}, AUTH_OK},
        {"sha256, as another",
         {SHA256, ALICE, "bob@example.org", NULL, NULL, NORMALLY},
         AUTH_WRONG},
        {"sha256, prepared",
         {SHA256, "accent@example.org", "pass\xc2\xa0w\xc3\xb6rd", NULL, NULL, NULL, NORMALLY},
         AUTH_OK},
        {"sha1", {SHA1, ALICE, NULL, NULL, binding, NORMALLY}, AUTH_OK},
        {"sha1, no verifier",
         {SHA1, "accent@example.org", "x", NULL, NULL, NULL, NORMALLY},
         AUTH_WRONG},
        {"plain", {PLAIN, ALICE, NULL, NULL, binding, NORMALLY}, AUTH_OK},
        {"plain, late", {PLAIN, ALICE, NULL, NULL, NULL, LATE}, AUTH_OK},
        {"plain, alias", {PLAIN, "al@example.org", "secret", NULL, NULL, NULL, NORMALLY}, AUTH_OK},
        {"plain, wrong",
         {PLAIN, "alice@example.org", "secret ", NULL, NULL, NULL, NORMALLY},
         AUTH_WRONG},
        {"plain, nobody",
         {PLAIN, "eve@example.org", "secret", NULL, NULL, NULL, NORMALLY},
         AUTH_WRONG},
        {"plain, as himself", {PLAIN, ALICE, "ALICE@example.org", NULL, NULL, NORMALLY}, AUTH_OK},
        {"plain, as another", {PLAIN, ALICE, "eve@example.org", NULL, NULL, NORMALLY}, AUTH_WRONG},
        {"plain, prepared",
         {PLAIN, "accent@example.org", "pass\xc2\xa0wo\xcc\x88rd", NULL, NULL, NULL, NORMALLY},
         AUTH_OK},
        {"login", {LOGIN, ALICE, NULL, NULL, NULL, NORMALLY}, AUTH_OK},
        {"login, wrong", {LOGIN, "alice@example.org", "x", NULL, NULL, NULL, NORMALLY}, AUTH_WRONG},
        {"login, nobody", {LOGIN, "eve@example.org", "x", NULL, NULL, NULL, NORMALLY}, AUTH_WRONG},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        enum auth_result got = talk(&cases[i].client);
        if (got != cases[i].want)
            fail_msg("%s: got %d, want %d", cases[i].what, (int)got, (int)cases[i].want);
        if (got == AUTH_OK)
            assert_string_equal(logged_in, cases[i].client.user[1] == 'c' ? "accent@example.org"
                                                                          : "alice@example.org");
    }
}

static void a_name_is_known_only_if_it_is_a_user(void **state)
{
    (void)state;
    struct client wrong = {PLAIN, "al@example.org", "wrong", NULL, NULL, NULL, NORMALLY};
    assert_int_equal(talk(&wrong), AUTH_WRONG);
    assert_string_equal(known, "alice@example.org");
    struct client nobody = {SHA256, "my-password", "my-password", NULL, NULL, NULL, NORMALLY};
    assert_int_equal(talk(&nobody), AUTH_WRONG);
    assert_string_equal(known, "");
}

static void trouble_in_the_store_is_ours(void **state)
{
    (void)state;
    static const struct client clients[] = {
        {PLAIN, ALICE, NULL, NULL, NULL, NORMALLY},
        {PLAIN, "alice@example.org", "wrong", NULL, NULL, NULL, LATE},
        {PLAIN, "nobody@example.org", "wrong", NULL, NULL, NULL, NORMALLY},
        {LOGIN, ALICE, NULL, NULL, NULL, NORMALLY},
        {SHA256, ALICE, NULL, NULL, NULL, NORMALLY},
        {SHA256, "alice@example.org", "wrong", NULL, NULL, NULL, LATE},
        {SHA1, ALICE, NULL, NULL, NULL, NORMALLY},
    };
    /* For good, and for a moment only: what was not known at first is not made up later. */
    for (size_t i = 0; i < 2 * COUNT_OF(clients); i++) {
        find_error = -EIO;
        errors_left = i < COUNT_OF(clients) ? 1000 : 1;
        enum auth_result got = talk(&clients[i % COUNT_OF(clients)]);
        find_error = 0;
        assert_int_equal(got, AUTH_TROUBLE);
    }
}

/* ---- Single lines ---- */

static enum auth_result one(enum submission_mechanism mechanism, const char *base64)
{
    struct auth *a = auth_begin(library, mechanism, NULL, &directory);
    struct slice answer = slice_of(base64);
    enum auth_result result = AUTH_MALFORMED;
    if (auth_feed(a, &answer)) {
        auth_run(a);
        result = auth_result(a);
    }
    auth_free(a);
    return result;
}

static void what_the_mechanism_does_not_speak_is_malformed(void **state)
{
    (void)state;
    static const struct {
        enum submission_mechanism mechanism;
        const char *base64;
    } cases[] = {
        {MECHANISM_PLAIN, ""},
        {MECHANISM_PLAIN, "AAAA"},
        {MECHANISM_PLAIN, "bm8gbnVs"},
        {MECHANISM_PLAIN, "###"},
        {MECHANISM_PLAIN, "AAA"},
        {MECHANISM_SCRAM_SHA_256, ""},
        {MECHANISM_SCRAM_SHA_256, "bm8gc2NyYW0="},
        {MECHANISM_SCRAM_SHA_256, "AA=A"},
        {MECHANISM_LOGIN, "=="},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        enum auth_result got = one(cases[i].mechanism, cases[i].base64);
        if (got != AUTH_MALFORMED && !(i == 1 && got == AUTH_WRONG))
            fail_msg("case %zu: got %d", i, (int)got);
    }
}

static void login_takes_the_name_as_initial_response(void **state)
{
    (void)state;
    struct auth *a = auth_begin(library, MECHANISM_LOGIN, NULL, &directory);
    struct slice name = SLICE("YWxpY2VAZXhhbXBsZS5vcmc="), password = SLICE("c2VjcmV0");
    assert_true(auth_feed(a, &name));
    auth_run(a);
    assert_int_equal(auth_result(a), AUTH_MORE);
    assert_true(slice_equal(auth_challenge(a), SLICE("UGFzc3dvcmQ="))); /* "Password" */
    assert_true(auth_feed(a, &password));
    assert_true(auth_is_slow(a));
    auth_run(a);
    assert_int_equal(auth_result(a), AUTH_OK);
    auth_free(a);
}

/* "y": I could bind, but you did not offer it. Where we did, somebody took the offer away. */
static void a_false_y_is_refused_at_once(void **state)
{
    (void)state;
    char *text = NULL;
    const char *message = "y,,n=alice@example.org,r=abcdefgh";
    assert_int_equal(gsasl_base64_to(message, strlen(message), &text, NULL), GSASL_OK);
    struct slice answer = slice_of(text);
    static const struct {
        enum submission_mechanism mechanism;
        const uint8_t *binding;
        enum auth_result want;
    } cases[] = {
        {MECHANISM_SCRAM_SHA_256, binding, AUTH_WRONG},
        {MECHANISM_SCRAM_SHA_256, NULL, AUTH_MORE},
        {MECHANISM_SCRAM_SHA_1, binding, AUTH_MORE}, /* there is no SCRAM-SHA-1-PLUS here */
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct auth *a = auth_begin(library, cases[i].mechanism, cases[i].binding, &directory);
        assert_true(auth_feed(a, &answer));
        auth_run(a);
        assert_int_equal(auth_result(a), cases[i].want);
        auth_free(a);
    }
    gsasl_free(text);
}

/* What the server says first to a name, under SCRAM. */
static void first_challenge(const char *name, char *salt, size_t size)
{
    char message[512], *text = NULL;
    snprintf(message, sizeof message, "n,,n=%s,r=abcdefgh", name);
    assert_int_equal(gsasl_base64_to(message, strlen(message), &text, NULL), GSASL_OK);
    struct auth *a = auth_begin(library, MECHANISM_SCRAM_SHA_256, NULL, &directory);
    struct slice answer = slice_of(text);
    assert_true(auth_feed(a, &answer));
    assert_false(auth_is_slow(a));
    auth_run(a);
    assert_int_equal(auth_result(a), AUTH_MORE);
    char *plain = NULL;
    size_t len = 0;
    struct slice challenge = auth_challenge(a);
    assert_int_equal(gsasl_base64_from(challenge.data, challenge.len, &plain, &len), GSASL_OK);
    const char *found = memmem(plain, len, ",s=", 3);
    assert_non_null(found);
    assert_true(slice_copy((struct slice){found, len - (size_t)(found - plain)}, salt, size));
    gsasl_free(plain);
    gsasl_free(text);
    auth_free(a);
}

static void unknown_users_get_a_stable_salt_like_any_other(void **state)
{
    (void)state;
    char one_salt[128], same[128], again[128], other[128], real[128];
    first_challenge("eve@example.org", one_salt, sizeof one_salt);
    first_challenge("eve@example.org", same, sizeof same);
    first_challenge("EVE@EXAMPLE.org", again, sizeof again);
    first_challenge("mallory@example.org", other, sizeof other);
    first_challenge("alice@example.org", real, sizeof real);
    assert_string_equal(one_salt, same);
    assert_string_equal(one_salt, again);
    assert_string_not_equal(one_salt, other);
    /* Same length of salt; the iteration count is that of new users. */
    assert_int_equal(strcspn(one_salt + 1, ","), strcspn(real + 1, ","));
}

static void only_offered_mechanisms_are_found(void **state)
{
    (void)state;
    enum submission_mechanism m;
    unsigned offered = MECHANISM_PLAIN | MECHANISM_SCRAM_SHA_256;
    assert_true(auth_mechanism_find(SLICE("plain"), offered, &m));
    assert_int_equal(m, MECHANISM_PLAIN);
    assert_true(auth_mechanism_find(SLICE("SCRAM-SHA-256"), offered, &m));
    assert_int_equal(m, MECHANISM_SCRAM_SHA_256);
    static const char *const not_found[] = {"SCRAM-SHA-256-PLUS",
                                            "SCRAM-SHA-1",
                                            "LOGIN",
                                            "ANONYMOUS",
                                            "EXTERNAL",
                                            "CRAM-MD5",
                                            "DIGEST-MD5",
                                            "",
                                            "PLAI",
                                            "PLAINX",
                                            "SECURID",
                                            "OPENID20"};
    for (size_t i = 0; i < COUNT_OF(not_found); i++)
        assert_false(auth_mechanism_find(slice_of(not_found[i]), offered, &m));
    char list[128];
    auth_mechanism_list(offered | MECHANISM_LOGIN | MECHANISM_SCRAM_SHA_1 |
                            MECHANISM_SCRAM_SHA_256_PLUS,
                        list, sizeof list);
    assert_string_equal(list, "SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN");
    auth_mechanism_list(0, list, sizeof list);
    assert_string_equal(list, "");
}

static void passwords_are_prepared_or_refused(void **state)
{
    (void)state;
    static const struct {
        const char *given, *want; /* NULL: refused */
    } cases[] = {
        {"secret", "secret"},
        {"pass\xc2\xa0word", "pass word"},
        {"wo\xcc\x88rd", "w\xc3\xb6rd"},
        {"\xe2\x85\xa3", "IV"},
        {"", NULL},
        {"\xff\xfe", NULL},
        {"bell\x07", NULL},
        {"\xc2\xad", NULL}, /* soft hyphen: mapped to nothing */
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char out[128];
        assert_int_equal(auth_password_prepare(slice_of(cases[i].given), out, sizeof out),
                         cases[i].want != NULL);
        assert_string_equal(out, cases[i].want ? cases[i].want : "");
    }
    char small[4];
    assert_false(auth_password_prepare(SLICE("secret"), small, sizeof small));
}

static int set_up(void **state)
{
    (void)state;
    library = auth_library_new();
    return library ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    auth_library_free(library);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mechanism_lets_in_whom_it_should),
        cmocka_unit_test(a_name_is_known_only_if_it_is_a_user),
        cmocka_unit_test(trouble_in_the_store_is_ours),
        cmocka_unit_test(what_the_mechanism_does_not_speak_is_malformed),
        cmocka_unit_test(a_false_y_is_refused_at_once),
        cmocka_unit_test(login_takes_the_name_as_initial_response),
        cmocka_unit_test(unknown_users_get_a_stable_salt_like_any_other),
        cmocka_unit_test(only_offered_mechanisms_are_found),
        cmocka_unit_test(passwords_are_prepared_or_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
