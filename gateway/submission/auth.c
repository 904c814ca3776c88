#include "gateway/submission/auth.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gsasl.h>

#include "gateway/tls/scram.h"

#define BINDING_LEN 32
#define ANSWER_MAX ((size_t)12288) /* RFC 4954 section 4: the line, and so what it decodes to */

struct auth_library {
    Gsasl *gsasl; /* owned */
};

struct auth {
    enum submission_mechanism mechanism;
    struct auth_directory directory;
    Gsasl_session *session;  /* owned */
    struct buffer answer;    /* owned: decoded, may hold a password; wiped */
    struct buffer challenge; /* owned: base64 */
    bool has_answer;
    bool is_started; /* a step was made */
    bool
        is_last_due; /* all is proved; the client has to acknowledge our proof with an empty line */
    enum auth_result result;
    bool is_looked_up;
    bool is_known; /* `account` holds the user of the login name */
    struct queue_account account;
    struct queue_verifier verifier; /* the account's of this mechanism, or a made-up one */
};

/* Strongest first: many clients take the first that they know. */
static const struct {
    enum submission_mechanism mechanism;
    const char *name;
    bool may_bind; /* a -PLUS is offered for this hash: its "y" would be false */
} mechanisms[] = {
    {MECHANISM_SCRAM_SHA_256_PLUS, "SCRAM-SHA-256-PLUS", true},
    {MECHANISM_SCRAM_SHA_256, "SCRAM-SHA-256", true},
    {MECHANISM_SCRAM_SHA_1, "SCRAM-SHA-1", false},
    {MECHANISM_PLAIN, "PLAIN", false},
    {MECHANISM_LOGIN, "LOGIN", false},
};

static size_t row_of(enum submission_mechanism mechanism)
{
    for (size_t i = 0; i < COUNT_OF(mechanisms); i++)
        if (mechanisms[i].mechanism == mechanism)
            return i;
    panic("auth: mechanism %d has no row", (int)mechanism);
}

const char *auth_mechanism_name(enum submission_mechanism mechanism)
{
    return mechanisms[row_of(mechanism)].name;
}

bool auth_mechanism_find(struct slice name, unsigned offered, enum submission_mechanism *out)
{
    for (size_t i = 0; i < COUNT_OF(mechanisms); i++) {
        if ((offered & (unsigned)mechanisms[i].mechanism) &&
            slice_equal_nocase(name, slice_of(mechanisms[i].name))) {
            *out = mechanisms[i].mechanism;
            return true;
        }
    }
    return false;
}

void auth_mechanism_list(unsigned offered, char *out, size_t size)
{
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < COUNT_OF(mechanisms); i++) {
        if (!(offered & (unsigned)mechanisms[i].mechanism))
            continue;
        int written = snprintf(out + len, size - len, "%s%s", len ? " " : "", mechanisms[i].name);
        if (written < 0 || (size_t)written >= size - len)
            panic("auth: room for %zu octets is too small for the mechanisms", size);
        len += (size_t)written;
    }
}

/* A verifier that no password fits. Salt and count must look the same at every try and like those
 * of a user, so that probing does not tell users apart. */
static bool decoy_verifier(struct slice name, size_t key_len, struct queue_verifier *out)
{
    memset(out, 0, sizeof *out);
    out->iterations = SCRAM_ITERATIONS;
    out->salt_len = SCRAM_SALT_LEN;
    out->key_len = (uint8_t)key_len;
    return scram_fake_salt(name, out->salt) && random_bytes(out->stored_key, key_len) &&
           random_bytes(out->server_key, key_len);
}

/* Finds the user once per exchange and chooses the verifier. False: our own fault. */
static bool look_up(struct auth *a, const char *name)
{
    if (a->is_looked_up)
        return true;
    a->is_looked_up = true;
    struct slice text = slice_of(name);
    struct address address;
    if (address_parse(text, &address) == ADDRESS_OK) {
        int error = a->directory.find(a->directory.context, &address, &a->account);
        if (error != 0 && error != -ENOENT)
            return false;
        a->is_known = error == 0;
    }
    bool wants_sha1 = a->mechanism == MECHANISM_SCRAM_SHA_1;
    size_t key_len = wants_sha1 ? 20 : 32;
    const struct queue_verifier *v = wants_sha1 ? &a->account.sha1 : &a->account.sha256;
    if (a->is_known && v->iterations > 0 && v->key_len == key_len) {
        a->verifier = *v;
        return true;
    }
    /* Case and quotes do not make another user, so they must not make another salt. */
    char key[ADDRESS_SIZE];
    if (address_parse(text, &address) == ADDRESS_OK) {
        address_key(&address, key);
        text = slice_of(key);
    }
    return decoy_verifier(text, key_len, &a->verifier);
}

/* May the user act as `authzid`? Only as himself. */
static bool authzid_fits(const struct auth *a, const char *authzid)
{
    if (!authzid || !*authzid)
        return true;
    struct address address;
    return address_parse(slice_of(authzid), &address) == ADDRESS_OK &&
           queue_account_owns(&a->account, &address);
}

/* PLAIN and LOGIN: the password came as it is. A name that is no user costs the same time. */
static int validate_simple(struct auth *a, Gsasl_session *session)
{
    const char *name = gsasl_property_fast(session, GSASL_AUTHID);
    const char *password = gsasl_property_fast(session, GSASL_PASSWORD);
    if (!name || !password)
        return GSASL_AUTHENTICATION_ERROR;
    if (!look_up(a, name))
        return GSASL_CRYPTO_ERROR;
    struct scram_keys keys = {.iterations = a->verifier.iterations,
                              .salt_len = a->verifier.salt_len,
                              .key_len = a->verifier.key_len};
    if (keys.salt_len > sizeof keys.salt || keys.key_len > sizeof keys.stored_key)
        return GSASL_CRYPTO_ERROR;
    memcpy(keys.salt, a->verifier.salt, keys.salt_len);
    memcpy(keys.stored_key, a->verifier.stored_key, keys.key_len);
    memcpy(keys.server_key, a->verifier.server_key, keys.key_len);
    char prepared[1024];
    bool is_password = auth_password_prepare(slice_of(password), prepared, sizeof prepared) &&
                       scram_matches(SCRAM_SHA256, slice_of(prepared), &keys);
    explicit_bzero(prepared, sizeof prepared);
    explicit_bzero(&keys, sizeof keys);
    bool is_allowed =
        is_password && a->is_known && authzid_fits(a, gsasl_property_fast(session, GSASL_AUTHZID));
    return is_allowed ? GSASL_OK : GSASL_AUTHENTICATION_ERROR;
}

static int set_base64(Gsasl_session *session, Gsasl_property property, const uint8_t *data,
                      size_t len)
{
    char *text = NULL;
    size_t text_len = 0;
    int error = gsasl_base64_to((const char *)data, len, &text, &text_len);
    if (error == GSASL_OK)
        error = gsasl_property_set_raw(session, property, text, text_len);
    gsasl_free(text);
    return error;
}

static int give_scram(struct auth *a, Gsasl_session *session, Gsasl_property property)
{
    const char *name = gsasl_property_fast(session, GSASL_AUTHID);
    if (!name || !look_up(a, name))
        return GSASL_CRYPTO_ERROR;
    const struct queue_verifier *v = &a->verifier;
    switch ((int)property) {
    case GSASL_SCRAM_ITER: {
        char count[16];
        snprintf(count, sizeof count, "%u", v->iterations);
        return gsasl_property_set(session, property, count);
    }
    case GSASL_SCRAM_SALT:
        return set_base64(session, property, v->salt, v->salt_len);
    case GSASL_SCRAM_STOREDKEY:
        return set_base64(session, property, v->stored_key, v->key_len);
    case GSASL_SCRAM_SERVERKEY:
        return set_base64(session, property, v->server_key, v->key_len);
    default:
        return GSASL_NO_CALLBACK;
    }
}

static int callback(Gsasl *gsasl, Gsasl_session *session, Gsasl_property property)
{
    (void)gsasl;
    struct auth *a = gsasl_session_hook_get(session);
    switch ((int)property) {
    case GSASL_VALIDATE_SIMPLE:
        return validate_simple(a, session);
    case GSASL_SCRAM_ITER:
    case GSASL_SCRAM_SALT:
    case GSASL_SCRAM_STOREDKEY:
    case GSASL_SCRAM_SERVERKEY:
        return give_scram(a, session, property);
    default: /* the library's enum, not ours: whatever else it asks for, we have not */
        return GSASL_NO_CALLBACK;
    }
}

struct auth_library *auth_library_new(void)
{
    struct auth_library *l = xalloc(sizeof *l);
    if (gsasl_init(&l->gsasl) != GSASL_OK) {
        free(l);
        return NULL;
    }
    gsasl_callback_set(l->gsasl, callback);
    return l;
}

void auth_library_free(struct auth_library *l)
{
    if (!l)
        return;
    gsasl_done(l->gsasl);
    free(l);
}

struct auth *auth_begin(struct auth_library *l, enum submission_mechanism mechanism,
                        const uint8_t *binding, const struct auth_directory *directory)
{
    struct auth *a = xalloc(sizeof *a);
    a->mechanism = mechanism;
    a->directory = *directory;
    a->result = AUTH_TROUBLE;
    buffer_init(&a->answer, ANSWER_MAX);
    buffer_init(&a->challenge, ANSWER_MAX);
    if (gsasl_server_start(l->gsasl, auth_mechanism_name(mechanism), &a->session) != GSASL_OK) {
        a->session = NULL;
        auth_free(a);
        return NULL;
    }
    gsasl_session_hook_set(a->session, a);
    /* The property has to be there before the first step: only then is a false "y" refused. */
    if (mechanisms[row_of(mechanism)].may_bind && binding &&
        set_base64(a->session, GSASL_CB_TLS_EXPORTER, binding, BINDING_LEN) != GSASL_OK) {
        auth_free(a);
        return NULL;
    }
    return a;
}

void auth_free(struct auth *a)
{
    if (!a)
        return;
    if (a->session) {
        /* The library frees the password without wiping it; the copy is ours to write to, for the
         * session that owns it ends here. */
        const char *password = gsasl_property_fast(a->session, GSASL_PASSWORD);
        if (password) {
            /* NOLINTNEXTLINE(performance-no-int-to-ptr): the way around -Wcast-qual */
            explicit_bzero((void *)(uintptr_t)password, strlen(password));
        }
        gsasl_finish(a->session);
    }
    buffer_wipe_free(&a->answer);
    buffer_free(&a->challenge);
    queue_account_clear(&a->account);
    explicit_bzero(a, sizeof *a);
    free(a);
}

bool auth_feed(struct auth *a, const struct slice *base64)
{
    buffer_clear(&a->answer);
    buffer_clear(&a->challenge);
    a->has_answer = base64 != NULL;
    if (!base64 || base64->len == 0)
        return true;
    char *decoded = NULL;
    size_t len = 0;
    if (gsasl_base64_from(base64->data, base64->len, &decoded, &len) != GSASL_OK || !decoded)
        return false;
    bool fits = buffer_append(&a->answer, (struct slice){decoded, len});
    explicit_bzero(decoded, len);
    gsasl_free(decoded);
    return fits;
}

bool auth_is_slow(const struct auth *a)
{
    return a->has_answer && !a->is_last_due &&
           (a->mechanism == MECHANISM_PLAIN || a->mechanism == MECHANISM_LOGIN);
}

static enum auth_result result_of(int code)
{
    switch (code) {
    case GSASL_OK:
        return AUTH_OK;
    case GSASL_NEEDS_MORE:
        return AUTH_MORE;
    case GSASL_AUTHENTICATION_ERROR:
    case GSASL_INTEGRITY_ERROR:
    case GSASL_SASLPREP_ERROR:
    /* The client binds to another kind of channel than the one we have. */
    case GSASL_NO_CB_TLS_UNIQUE:
    case GSASL_NO_CB_TLS_EXPORTER:
        return AUTH_WRONG;
    case GSASL_MECHANISM_PARSE_ERROR:
    case GSASL_BASE64_ERROR:
    case GSASL_MECHANISM_CALLED_TOO_MANY_TIMES:
        return AUTH_MALFORMED;
    default:
        return AUTH_TROUBLE;
    }
}

/* One step of the library; its output goes to ->challenge in base64. */
static enum auth_result step(struct auth *a, struct slice input)
{
    char *output = NULL;
    size_t len = 0;
    enum auth_result result =
        result_of(gsasl_step(a->session, input.data ? input.data : "", input.len, &output, &len));
    if ((result == AUTH_MORE || result == AUTH_OK) && len > 0) {
        char *text = NULL;
        size_t text_len = 0;
        if (gsasl_base64_to(output, len, &text, &text_len) != GSASL_OK ||
            !buffer_append(&a->challenge, (struct slice){text, text_len}))
            result = AUTH_TROUBLE;
        gsasl_free(text);
    }
    gsasl_free(output);
    return result;
}

static enum auth_result check_authzid(const struct auth *a, enum auth_result result)
{
    if (result != AUTH_OK)
        return result;
    bool fits = a->is_known && authzid_fits(a, gsasl_property_fast(a->session, GSASL_AUTHZID));
    return fits ? AUTH_OK : AUTH_WRONG;
}

static enum auth_result run(struct auth *a)
{
    if (a->is_last_due)
        return a->answer.len == 0 ? AUTH_OK : AUTH_MALFORMED;
    bool is_first = !a->is_started;
    a->is_started = true;
    /* LOGIN throws its first input away: it speaks first. So it gets an empty one, and the initial
     * response behind it. */
    if (is_first && a->has_answer && a->mechanism == MECHANISM_LOGIN) {
        enum auth_result asked = step(a, SLICE(""));
        buffer_clear(&a->challenge);
        if (asked != AUTH_MORE)
            return asked;
    }
    enum auth_result result = check_authzid(a, step(a, buffer_slice(&a->answer)));
    buffer_wipe_free(&a->answer);
    /* An empty answer to mechanisms where the client speaks first: the library would ask for ever.
     */
    if (result == AUTH_MORE && a->has_answer && a->challenge.len == 0)
        return AUTH_MALFORMED;
    /* SMTP cannot carry our proof in the 235, so it goes as a challenge (RFC 4954 section 4). */
    if (result == AUTH_OK && a->challenge.len > 0) {
        a->is_last_due = true;
        return AUTH_MORE;
    }
    return result;
}

void auth_run(struct auth *a)
{
    a->result = run(a);
}

enum auth_result auth_result(const struct auth *a)
{
    return a->result;
}

struct slice auth_challenge(const struct auth *a)
{
    return buffer_slice(&a->challenge);
}

enum submission_mechanism auth_mechanism(const struct auth *a)
{
    return a->mechanism;
}

const char *auth_user(const struct auth *a)
{
    if (a->result != AUTH_OK)
        panic("auth: asked for the user of an exchange that did not succeed");
    return a->account.address;
}

const char *auth_known_user(const struct auth *a)
{
    return a->is_known ? a->account.address : "";
}

bool auth_password_prepare(struct slice password, char *out, size_t size)
{
    out[0] = '\0';
    char plain[1024];
    if (password.len == 0 || !slice_copy(password, plain, sizeof plain))
        return false;
    char *prepared = NULL;
    bool fits = gsasl_saslprep(plain, GSASL_ALLOW_UNASSIGNED, &prepared, NULL) == GSASL_OK &&
                prepared && *prepared && slice_copy(slice_of(prepared), out, size);
    explicit_bzero(plain, sizeof plain);
    if (prepared)
        explicit_bzero(prepared, strlen(prepared));
    gsasl_free(prepared);
    return fits;
}
