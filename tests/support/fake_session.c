#include "tests/support/fake_session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/tls/scram.h"

#define CEILING ((size_t)16 * 1024 * 1024)

static struct fake_session *fake(void *context)
{
    return context;
}

static void must(bool condition, const char *what)
{
    if (!condition)
        panic("fake session: %s", what);
}

static void do_send(void *context, struct slice bytes)
{
    struct fake_session *f = context;
    must(!f->is_finished, "send after finish");
    f->writes++;
    must(buffer_append(&f->sent, bytes), "too much was sent");
}

static void do_start_tls(void *context)
{
    must(!fake(context)->is_finished, "start_tls after finish");
    fake(context)->is_handshaking = true;
}

static void do_set_deadline(void *context, int64_t in_ms)
{
    fake(context)->deadline_ms = in_ms;
}

static void do_hold_input(void *context, bool is_held)
{
    must(fake(context)->is_held != is_held, "hold_input said twice");
    fake(context)->is_held = is_held;
}

static void do_finish(void *context, bool abort)
{
    must(!fake(context)->is_finished, "finish said twice");
    fake(context)->is_finished = true;
    fake(context)->is_aborted = abort;
}

static bool do_hash(void *context, struct auth *a)
{
    if (fake(context)->is_hash_refused)
        return false;
    fake(context)->hashing = a;
    return true;
}

static int64_t do_now_ms(void *context)
{
    return fake(context)->now_ms;
}

/* Verifiers are dear: made once for the process. */
static const struct queue_verifier *verifier(bool is_alice)
{
    static struct queue_verifier made[2];
    struct queue_verifier *v = &made[is_alice];
    if (v->iterations > 0)
        return v;
    struct scram_keys keys;
    static const uint8_t salt[SCRAM_SALT_LEN] = "0123456789abcde";
    must(scram_derive(SCRAM_SHA256, is_alice ? SLICE("secret") : SLICE("hunter2"), salt,
                      sizeof salt, 4096, &keys),
         "no verifier");
    v->iterations = keys.iterations;
    v->salt_len = (uint8_t)keys.salt_len;
    v->key_len = (uint8_t)keys.key_len;
    memcpy(v->salt, keys.salt, keys.salt_len);
    memcpy(v->stored_key, keys.stored_key, keys.key_len);
    memcpy(v->server_key, keys.server_key, keys.key_len);
    return v;
}

static int do_find_account(void *context, const struct address *name, struct queue_account *out)
{
    struct fake_session *f = context;
    char key[ADDRESS_SIZE];
    if (f->accounts_error != 0) {
        if (f->accounts_answers == 0)
            return f->accounts_error;
        f->accounts_answers--;
    }
    address_key(name, key);
    bool is_alice = strcmp(key, "alice@example.org") == 0 || strcmp(key, "al@example.org") == 0;
    if (!is_alice && strcmp(key, "bob@example.org") != 0)
        return -ENOENT;
    if (is_alice && f->is_alice_gone)
        return -ENOENT;
    memset(out, 0, sizeof *out);
    strncpy(out->address, is_alice ? "alice@example.org" : "bob@example.org", ADDRESS_SIZE - 1);
    out->sha256 = *verifier(is_alice);
    if (is_alice) {
        out->aliases = xalloc(sizeof *out->aliases);
        strncpy(out->aliases[0], "al@example.org", ADDRESS_SIZE - 1);
        out->alias_count = 1;
        out->has_flag = true;
        out->is_dry_run = f->is_dry_run;
        out->is_locked = true;
        out->level = LEVEL_ENCRYPT;
        out->hold_back_ms = 30000;
        out->wants_receipts = f->wants_receipts;
    }
    return 0;
}

static int do_has_forward(void *context, const char *owner, const struct address *target)
{
    (void)owner;
    (void)target;
    return fake(context)->has_forward;
}

static int do_has_exception(void *context, const char *owner, const struct address *recipient)
{
    must(strcmp(owner, "alice@example.org") == 0 || strcmp(owner, "bob@example.org") == 0,
         "an exception is looked for under another name than the account's");
    (void)recipient;
    return fake(context)->has_exception;
}

static bool do_is_store_full(void *context)
{
    return fake(context)->is_store_full;
}

static bool do_message_begin(void *context, uint64_t *id)
{
    struct fake_session *f = context;
    must(!f->is_open && !f->is_finished, "a message is open already");
    if (f->is_store_broken)
        return false;
    f->is_open = true;
    buffer_clear(&f->content);
    *id = 123456789 + f->commits;
    return true;
}

static int do_message_append(void *context, struct slice content)
{
    struct fake_session *f = context;
    must(f->is_open, "append without a message");
    if (f->append_error == 0)
        must(buffer_append(&f->content, content), "too much content");
    return f->append_error;
}

static bool do_message_is_behind(void *context)
{
    must(fake(context)->is_open, "no message can be behind");
    return fake(context)->is_behind;
}

static void do_message_commit(void *context, struct envelope *envelope, int64_t arrived_at_ms,
                              int64_t due_at_ms)
{
    struct fake_session *f = context;
    must(f->is_open && !f->is_finished, "commit without a message");
    must(envelope->size == f->content.len, "the envelope's size is not the content's");
    f->is_open = false;
    f->is_committing = true;
    envelope_free(&f->envelope);
    f->envelope = *envelope;
    envelope_init(envelope);
    f->arrived_at_ms = arrived_at_ms;
    f->due_at_ms = due_at_ms;
}

static void do_message_abort(void *context)
{
    struct fake_session *f = context;
    must(f->is_open, "abort without a message");
    f->is_open = false;
    f->aborts++;
}

static bool do_ask_rcpt(void *context, const struct submission_question *question)
{
    struct fake_session *f = context;
    must(!f->is_asking && !f->is_finished, "two questions at a time");
    if (f->is_hook_missing)
        return false;
    f->is_asking = true;
    f->asked++;
    snprintf(f->question, sizeof f->question, "%s %s %s", question->recipient->text,
             level_name(question->level), question->may_probe ? "probe" : "known");
    return true;
}

static void do_cancel_rcpt(void *context)
{
    struct fake_session *f = context;
    must(f->is_asking && !f->is_finished, "there is no question to cancel");
    f->is_asking = false;
    f->cancelled++;
}

static const struct session_outside outside = {
    .send = do_send,
    .start_tls = do_start_tls,
    .set_deadline = do_set_deadline,
    .hold_input = do_hold_input,
    .finish = do_finish,
    .hash = do_hash,
    .now_ms = do_now_ms,
    .find_account = do_find_account,
    .has_forward = do_has_forward,
    .has_exception = do_has_exception,
    .is_store_full = do_is_store_full,
    .message_begin = do_message_begin,
    .message_append = do_message_append,
    .message_is_behind = do_message_is_behind,
    .message_commit = do_message_commit,
    .message_abort = do_message_abort,
    .ask_rcpt = do_ask_rcpt,
    .cancel_rcpt = do_cancel_rcpt,
};

static void emit(void *context, enum event_severity severity, const char *event,
                 const struct event_field *fields, size_t count)
{
    struct fake_session *f = context;
    (void)severity;
    bool fits = buffer_append_text(&f->log, event);
    for (size_t i = 0; i < count; i++) {
        fits = fits && buffer_printf(&f->log, " %s=", event_key_name(fields[i].key));
        if (fields[i].text)
            fits = fits && buffer_append_text(&f->log, fields[i].text);
        else
            fits = fits && buffer_printf(&f->log, "%lld", (long long)fields[i].number);
    }
    must(fits && buffer_append_text(&f->log, "\n"), "too much was logged");
}

static struct net_address address_of(const char *text)
{
    struct net_address a;
    must(net_address_parse(slice_of(text), &a), "bad address");
    return a;
}

static void add_listeners(struct submission_settings *settings)
{
    settings->listener_count = FAKE_LISTENERS;
    settings->listeners = xalloc(FAKE_LISTENERS * sizeof *settings->listeners);
    static const char *const titles[] = {"submission", "submissions", "relay"};
    for (int i = 0; i < FAKE_LISTENERS; i++)
        strncpy(settings->listeners[i].title, titles[i], sizeof settings->listeners[i].title - 1);
    settings->listeners[FAKE_SUBMISSION].tls = SUBMISSION_STARTTLS;
    settings->listeners[FAKE_SUBMISSIONS].tls = SUBMISSION_IMPLICIT;
    struct submission_listener *relay = &settings->listeners[FAKE_RELAY];
    relay->tls = SUBMISSION_OPTIONAL;
    relay->is_relay = true;
    relay->trusted_count = 1;
    relay->trusted = xalloc(sizeof *relay->trusted);
    must(net_network_parse(SLICE("127.0.0.0/8"), relay->trusted), "bad network");
}

/* The session looks only at whether there is a context; nobody takes a reference of this one. */
static struct tls_context *some_context(void)
{
    static char place;
    return (struct tls_context *)(void *)&place;
}

void fake_session_init(struct fake_session *f)
{
    memset(f, 0, sizeof *f);
    f->settings = submission_settings_new();
    strncpy(f->settings->hostname, "mail.example.org", sizeof f->settings->hostname - 1);
    f->settings->tls = some_context();
    f->settings->mechanisms =
        MECHANISM_PLAIN | MECHANISM_LOGIN | MECHANISM_SCRAM_SHA_256 | MECHANISM_SCRAM_SHA_256_PLUS;
    f->settings->exempt_auto_replies = true;
    f->settings->message_size = 100000;
    f->settings->recipients = 3;
    add_listeners(f->settings);
    f->limits = submission_limits_new();
    f->auth_library = auth_library_new();
    must(f->auth_library != NULL, "no libgsasl");
    f->events = (struct event_sink){emit, f, EVENT_DEBUG};
    f->peer = address_of("127.0.0.1");
    f->now_ms = 1795361330000; /* Sun, 22 Nov 2026 15:28:50 +0000 */
    f->has_binding = true;
    memset(f->binding, 7, sizeof f->binding);
    buffer_init(&f->unread, CEILING);
    buffer_init(&f->sent, CEILING);
    buffer_init(&f->content, CEILING);
    buffer_init(&f->log, CEILING);
    envelope_init(&f->envelope);
}

void fake_session_start(struct fake_session *f, int listener)
{
    struct session_options o = {.settings = f->settings,
                                .listener = (size_t)listener,
                                .peer = f->peer,
                                .limits = f->limits,
                                .auth_library = f->auth_library,
                                .events = &f->events,
                                .outside = &outside,
                                .context = f};
    f->session = session_new(&o);
    session_start(f->session);
    fake_session_run(f);
}

void fake_session_commit(struct fake_session *f)
{
    must(f->is_committing, "nothing to commit");
    f->is_committing = false;
    f->commits += f->commit_error == 0;
    session_committed(f->session, f->commit_error);
}

void fake_session_answer(struct fake_session *f)
{
    must(f->is_asking, "nobody was asked");
    f->is_asking = false;
    if (!f->rcpt_words) {
        session_rcpt_answered(f->session, NULL);
        return;
    }
    /* Borrowed for the call: gone afterwards. The text is as a careless hook may leave it. */
    struct outcome *why = xalloc(sizeof *why);
    *why = (struct outcome){.status = f->rcpt_status};
    if (why->status.class == 0)
        why->status = status_make(5, 7, 4);
    snprintf(why->text, sizeof why->text, "%s", f->rcpt_words);
    session_rcpt_answered(f->session, why);
    free(why);
}

/* Answers one thing that the session waits for. */
static bool answer(struct fake_session *f)
{
    if (f->hashing) {
        auth_run(f->hashing);
        f->hashing = NULL;
        session_auth_done(f->session);
    } else if (f->is_committing && !f->waits_for_commit) {
        fake_session_commit(f);
    } else if (f->is_finished) {
        return false;
    } else if (f->is_asking && !f->waits_for_answer) {
        fake_session_answer(f);
    } else if (f->is_handshaking && !f->is_handshake_endless) {
        f->is_handshaking = false;
        struct session_tls tls = {"TLSv1.3", "TLS_AES_256_GCM_SHA384", f->has_binding, {0}};
        memcpy(tls.binding, f->binding, sizeof tls.binding);
        buffer_clear(&f->unread); /* as the stream does: clear bytes are never given out */
        session_tls_ready(f->session, &tls);
    } else if (f->is_open && f->is_held) {
        session_drained(f->session, f->drain_error);
    } else {
        return false;
    }
    return true;
}

void fake_session_run(struct fake_session *f)
{
    bool is_moving = true;
    while (is_moving) {
        is_moving = answer(f);
        if (is_moving || f->is_held || f->is_finished || f->is_handshaking || f->unread.len == 0)
            continue;
        /* An exact copy lets the sanitizer see a read beyond. */
        char *copy = xalloc(f->unread.len);
        memcpy(copy, f->unread.data, f->unread.len);
        struct slice in = {copy, f->unread.len};
        session_data(f->session, &in);
        must(in.len <= f->unread.len, "more was left than there was");
        is_moving = in.len < f->unread.len;
        if (f->is_handshaking)
            buffer_clear(&f->unread);
        else
            buffer_consume(&f->unread, f->unread.len - in.len);
        free(copy);
    }
}

void fake_session_say(struct fake_session *f, struct slice bytes)
{
    size_t step = f->is_one_by_one ? 1 : bytes.len;
    for (size_t at = 0; at < bytes.len; at += step) {
        if (f->is_finished)
            return;
        must(buffer_append(&f->unread, slice_sub(bytes, at, step)), "too much input");
        fake_session_run(f);
    }
}

const char *fake_session_heard(struct fake_session *f)
{
    static char *heard;
    free(heard);
    const char *text = buffer_text(&f->sent);
    heard = xstrdup(text ? text : "");
    buffer_clear(&f->sent);
    return heard;
}

void fake_session_free(struct fake_session *f)
{
    if (f->session) {
        f->waits_for_commit = false;
        f->drain_error = 0;
        session_gone(f->session, "test is over");
        fake_session_run(f);
        must(f->is_finished, "the session does not end");
        must(!f->is_asking, "a question is left open");
        must(!f->is_open, "a message is left open");
        session_free(f->session);
    }
    must(submission_limits_connections(f->limits) == 0, "a connection is still counted");
    f->settings->tls = NULL;
    submission_settings_unref(f->settings);
    submission_limits_free(f->limits);
    auth_library_free(f->auth_library);
    envelope_free(&f->envelope);
    buffer_free(&f->unread);
    buffer_free(&f->sent);
    buffer_free(&f->content);
    buffer_free(&f->log);
}
