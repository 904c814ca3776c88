/* users.c - user add, set, list, show, remove, alias, unalias. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/control/answer.h"
#include "gateway/control/duration.h"
#include "gateway/tls/scram.h"
#include "mail/date.h"
#include "queue/exception.h"

#define PASSWORD_SIZE 1024
#define HOLD_BACK_MAX_MS ((int64_t)7 * 86400 * 1000)

/* What `add` and `set` are asked to change. */
struct wanted {
    bool has_password;
    bool has_hold_back;
    int64_t hold_back_ms;
    bool has_receipts;
    bool wants_receipts;
    const char *language;         /* borrowed from the request; NULL: stays */
    char password[PASSWORD_SIZE]; /* prepared; wiped as soon as the verifiers are made */
    struct queue_verifier sha256;
    struct queue_verifier sha1;
    bool is_failed;
};

static void free_wanted(void *state)
{
    explicit_bzero(state, sizeof(struct wanted));
    free(state);
}

/* ---- showing ---- */

static void put_flag(json_t *out, const struct queue_flag *flag, bool is_own)
{
    /* In a dry run the flag counts as off, and that is what scripts go by. */
    json_put(out, "guarantee", json_text(level_name(flag->is_dry_run ? LEVEL_OFF : flag->level)));
    json_put(out, "dry_run", json_boolean(flag->is_dry_run));
    json_put(out, "dry_run_level",
             flag->is_dry_run ? json_text(level_name(flag->level)) : json_null());
    json_put(out, "guarantee_locked", json_boolean(flag->is_locked));
    json_put(out, "guarantee_own", json_boolean(is_own)); /* false: default_level */
}

/* What --for returns to. */
static json_t *back_json(const struct queue_account *a, const struct control_facts *facts)
{
    struct queue_flag flag = queue_account_flag(a, facts->default_level, a->level_until);
    json_t *back = json_object();
    put_flag(back, &flag, a->back_has_flag);
    return back;
}

static json_t *user_json(const struct queue_account *a, const struct control_facts *facts)
{
    json_t *user = json_object();
    json_t *aliases = json_array();
    int64_t now = date_now();
    struct queue_flag flag = queue_account_flag(a, facts->default_level, now);
    bool is_for_a_while = a->level_until > now;
    for (size_t i = 0; i < a->alias_count; i++)
        json_add(aliases, json_text(a->aliases[i]));
    json_put(user, "address", json_text(a->address));
    json_put(user, "aliases", aliases);
    bool is_back = a->level_until != 0 && !is_for_a_while;
    put_flag(user, &flag, is_back ? a->back_has_flag : a->has_flag);
    json_put(user, "guarantee_back", is_for_a_while ? back_json(a, facts) : json_null());
    json_put(user, "guarantee_until", json_time(is_for_a_while ? a->level_until * 1000 : 0));
    json_put(user, "guarantee_since", json_time(flag.since * 1000));
    json_put(user, "language", json_text(a->language[0] ? a->language : "en"));
    json_put(user, "hold_back_seconds", json_integer(a->hold_back_ms / 1000));
    json_put(user, "receipts", json_boolean(a->wants_receipts));
    return user;
}

static bool add_exception(void *context, const struct queue_exception *e)
{
    json_t *exception = json_object();
    json_put(exception, "domain", json_text(e->domain));
    json_put(exception, "until", json_time(e->until * 1000));
    json_add(context, exception);
    return true;
}

static bool add_forward(void *context, const char *owner, const char *target)
{
    (void)owner;
    json_add(context, json_text(target));
    return true;
}

/* A list of forwards that is damaged hides nothing else of the user: null. */
static void put_exemptions(struct command *c, const struct queue_account *a, json_t *user)
{
    json_t *exceptions = json_array();
    json_t *forwards = json_array();
    queue_exceptions_walk(c->host->queue, a->address, date_now(), add_exception, exceptions);
    if (queue_forwards_walk(c->host->queue, a->address, add_forward, forwards) != 0) {
        json_decref(forwards);
        forwards = json_null();
    }
    json_put(user, "exceptions", exceptions);
    json_put(user, "forwards", forwards);
}

json_t *user_read(struct command *c)
{
    struct queue_account a = {0};
    json_t *user = NULL;
    int error = queue_account_find(c->host->queue, &c->address, &a);
    if (error == -ENOENT)
        answer_error(c, EXIT_REFUSED, "%s: no such user", c->address.text);
    else if (error != 0)
        answer_queue_error(c, error);
    else
        user = user_json(&a, &c->facts);
    if (user)
        put_exemptions(c, &a, user);
    queue_account_clear(&a);
    return user;
}

void answer_user(struct command *c)
{
    json_t *user = user_read(c);
    if (user)
        answer_ok(c, user);
}

void user_show(struct command *c)
{
    if (argument_address(c, "address", &c->address))
        answer_user(c);
}

/* The whole listing is made off the thread: accounts cannot be read in slices. */
static bool list_user(void *context, const struct queue_account *a)
{
    struct command *c = context;
    json_add(c->state, user_json(a, &c->facts));
    return true;
}

static void list_users(void *command)
{
    struct command *c = command;
    c->error = queue_accounts_walk(c->host->queue, list_user, c);
}

void user_list(struct command *c)
{
    command_collect(c, list_users);
}

/* ---- add and set ---- */

static bool read_language(struct command *c, struct wanted *w)
{
    w->language = argument_text(c, "language");
    if (!w->language || strcmp(w->language, "de") == 0 || strcmp(w->language, "en") == 0)
        return true;
    answer_error(c, EXIT_USAGE, "language \"%s\" is not known: de or en", w->language);
    return false;
}

static bool read_hold_back(struct command *c, struct wanted *w)
{
    const char *text = argument_text(c, "hold_back");
    w->has_hold_back = text != NULL;
    if (!text ||
        (duration_parse(slice_of(text), &w->hold_back_ms) && w->hold_back_ms <= HOLD_BACK_MAX_MS))
        return true;
    answer_error(c, EXIT_USAGE, "--hold-back wants a time of at most 7d such as 30s, not \"%s\"",
                 text);
    return false;
}

static bool read_password(struct command *c, struct wanted *w)
{
    const json_t *value = json_object_get(c->request, "password");
    w->has_password = value != NULL;
    if (!value)
        return true;
    struct slice text = {json_string_value(value), json_string_length(value)};
    if (text.len == 0)
        answer_error(c, EXIT_REFUSED, "the password is empty");
    else if (!c->facts.prepare_password)
        answer_error(c, EXIT_TEMPORARY, "passwords cannot be set here");
    else if (!c->facts.prepare_password(text, w->password, sizeof w->password))
        answer_error(c, EXIT_REFUSED,
                     "the password is too long or holds characters that no "
                     "password may have (RFC 4013)");
    else
        return true;
    return false;
}

static bool read_receipts(struct command *c, struct wanted *w)
{
    w->wants_receipts = argument_flag(c, "receipts");
    w->has_receipts = w->wants_receipts || argument_flag(c, "no_receipts");
    if (!w->wants_receipts || !argument_flag(c, "no_receipts"))
        return true;
    answer_error(c, EXIT_USAGE, "--receipts and --no-receipts exclude each other");
    return false;
}

static bool read_wanted(struct command *c, struct wanted **out)
{
    struct wanted *w = xalloc(sizeof *w);
    c->state = w;
    c->free_state = free_wanted;
    *out = w;
    return argument_address(c, "address", &c->address) && read_language(c, w) &&
           read_hold_back(c, w) && read_receipts(c, w) && read_password(c, w);
}

static bool make_verifier(enum scram_hash hash, const char *password, struct queue_verifier *out)
{
    struct scram_keys keys;
    bool is_made = scram_new(hash, slice_of(password), &keys);
    if (is_made) {
        *out = (struct queue_verifier){
            .iterations = keys.iterations,
            .salt_len = (uint8_t)keys.salt_len,
            .key_len = (uint8_t)keys.key_len,
        };
        memcpy(out->salt, keys.salt, keys.salt_len);
        memcpy(out->stored_key, keys.stored_key, keys.key_len);
        memcpy(out->server_key, keys.server_key, keys.key_len);
    }
    explicit_bzero(&keys, sizeof keys);
    return is_made;
}

static void make_verifiers(void *command)
{
    struct command *c = command;
    struct wanted *w = c->state;
    w->is_failed = !make_verifier(SCRAM_SHA256, w->password, &w->sha256) ||
                   (c->facts.keeps_sha1 && !make_verifier(SCRAM_SHA1, w->password, &w->sha1));
    explicit_bzero(w->password, sizeof w->password);
}

static void apply(const struct wanted *w, struct queue_account *a)
{
    if (w->has_password) {
        a->sha256 = w->sha256;
        a->sha1 = w->sha1; /* none where it is not configured: an old one would still log in */
    }
    if (w->has_hold_back)
        a->hold_back_ms = w->hold_back_ms;
    if (w->has_receipts)
        a->wants_receipts = w->wants_receipts;
    if (w->language && !slice_copy(slice_of(w->language), a->language, sizeof a->language))
        panic("language %s", w->language);
}

static void user_stored(void *context, int error)
{
    struct command *c = context;
    if (!command_resume(c))
        return;
    if (error == 0)
        answer_user(c);
    else if (error == -EEXIST)
        answer_error(c, EXIT_REFUSED, "%s is a user or an alias of one already", c->address.text);
    else if (error == -ENOENT)
        answer_error(c, EXIT_REFUSED, "%s: no such user", c->address.text);
    else
        answer_queue_error(c, error);
}

static void store_user(struct command *c, const struct queue_account *a, bool is_new)
{
    command_wait(c);
    queue_account_put(c->host->queue, a, is_new, &c->host->poster, user_stored, c);
}

static void add_now(void *command)
{
    struct command *c = command;
    struct queue_account a = {0};
    if (!command_resume(c))
        return;
    struct wanted *w = c->state;
    if (w->is_failed) {
        answer_error(c, EXIT_TEMPORARY, "the password could not be prepared for storage");
        return;
    }
    memcpy(a.address, c->address.text, sizeof a.address);
    apply(w, &a);
    store_user(c, &a, true);
    queue_account_clear(&a);
}

void user_add(struct command *c)
{
    struct wanted *w;
    if (!read_wanted(c, &w))
        return;
    if (!w->has_password)
        answer_error(c, EXIT_USAGE, "a new user needs a password");
    else
        command_job(c, make_verifiers, add_now);
}

static void set_in_turn(struct command *c)
{
    struct queue_account a = {0};
    int error = queue_account_find(c->host->queue, &c->address, &a);
    if (error == 0) {
        apply(c->state, &a);
        store_user(c, &a, false);
    } else if (error == -ENOENT) {
        answer_error(c, EXIT_REFUSED, "%s: no such user", c->address.text);
    } else {
        answer_queue_error(c, error);
    }
    queue_account_clear(&a);
}

static void set_now(void *command)
{
    struct command *c = command;
    if (!command_resume(c))
        return;
    if (((struct wanted *)c->state)->is_failed)
        answer_error(c, EXIT_TEMPORARY, "the password could not be prepared for storage");
    else
        command_take_turn(c, set_in_turn);
}

void user_set(struct command *c)
{
    struct wanted *w;
    if (!read_wanted(c, &w))
        return;
    if (w->has_password)
        command_job(c, make_verifiers, set_now);
    else if (w->language || w->has_hold_back || w->has_receipts)
        command_take_turn(c, set_in_turn);
    else
        answer_error(c, EXIT_USAGE,
                     "nothing to set: --password-stdin, --language, --hold-back, --receipts or "
                     "--no-receipts");
}

/* ---- remove and aliases ---- */

static void user_removed(void *context, int error)
{
    struct command *c = context;
    if (!command_resume(c))
        return;
    if (error == -ENOENT) {
        answer_error(c, EXIT_REFUSED, "%s: no such user", c->address.text);
    } else if (error != 0) {
        answer_queue_error(c, error);
    } else {
        json_t *result = json_object();
        json_put(result, "address", json_text(c->address.text));
        answer_ok(c, result);
    }
}

void user_remove(struct command *c)
{
    if (!argument_address(c, "address", &c->address))
        return;
    command_wait(c);
    queue_account_remove(c->host->queue, &c->address, &c->host->poster, user_removed, c);
}

bool user_find_own(struct command *c, bool *is_user)
{
    struct queue_account a = {0};
    struct address own;
    int error = queue_account_find(c->host->queue, &c->address, &a);
    if (error == 0 && address_parse(slice_of(a.address), &own) == ADDRESS_OK)
        c->address = own;
    queue_account_clear(&a);
    *is_user = error == 0;
    if (error == 0 || error == -ENOENT)
        return true;
    answer_queue_error(c, error);
    return false;
}

bool user_exists(struct command *c)
{
    struct queue_account a = {0};
    int error = queue_account_find(c->host->queue, &c->address, &a);
    queue_account_clear(&a);
    if (error == -ENOENT)
        answer_error(c, EXIT_REFUSED, "%s: no such user", c->address.text);
    else if (error != 0)
        answer_queue_error(c, error);
    return error == 0;
}

static void alias_changed(void *context, int error)
{
    struct command *c = context;
    if (!command_resume(c))
        return;
    if (error == 0)
        answer_user(c);
    else if (error == -EEXIST)
        answer_error(c, EXIT_REFUSED, "%s is a user or an alias of one already", c->other.text);
    else if (error != -ENOENT)
        answer_queue_error(c, error);
    else if (user_exists(c))
        answer_error(c, EXIT_REFUSED, "%s is no alias of %s", c->other.text, c->address.text);
}

void user_alias(struct command *c)
{
    if (!argument_address(c, "address", &c->address) || !argument_address(c, "alias", &c->other))
        return;
    command_wait(c);
    queue_alias_add(c->host->queue, &c->address, &c->other, &c->host->poster, alias_changed, c);
}

void user_unalias(struct command *c)
{
    if (!argument_address(c, "address", &c->address) || !argument_address(c, "alias", &c->other))
        return;
    command_wait(c);
    queue_alias_remove(c->host->queue, &c->address, &c->other, &c->host->poster, alias_changed, c);
}
