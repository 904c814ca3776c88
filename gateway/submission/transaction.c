#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/guarantee/bind.h"
#include "gateway/submission/machine.h"

void transaction_init(struct session *s)
{
    memset(&s->transaction, 0, sizeof s->transaction);
    arena_init(&s->transaction.arena);
    s->transaction.last = &s->transaction.first;
}

void transaction_end(struct session *s)
{
    struct transaction *t = &s->transaction;
    if (t->asked)
        s->outside->cancel_rcpt(s->options.context);
    if (t->is_message_open)
        s->outside->message_abort(s->options.context);
    for (int kind = 0; kind < LIMITS_KINDS; kind++)
        if (t->taken[kind] > 0)
            limits_give_back(s->options.limits, s->user, (enum limits_kind)kind, t->taken[kind]);
    receive_free(t->receive);
    queue_account_clear(&t->account);
    arena_free(&t->arena);
    transaction_init(s);
}

bool transaction_take(struct session *s, enum limits_kind kind, unsigned max)
{
    if (!s->user[0])
        return true;
    if (!limits_take(s->options.limits, s->user, kind, max, s->outside->now_ms(s->options.context)))
        return false;
    s->transaction.taken[kind]++;
    return true;
}

/* ---- MAIL ---- */

static struct command_error fault(unsigned code, struct status status, const char *text)
{
    return (struct command_error){code, status, text};
}

static struct command_error accounts_unreadable(void)
{
    return fault(451, STATUS(4, 3, 0), "Accounts cannot be read");
}

static struct command_error check_parameters(const struct session *s, const struct mail_command *m)
{
    uint64_t max = session_settings(s)->message_size;
    if (m->smtputf8 || (m->has_auth && mechanisms_offered(s) == 0))
        return fault(555, STATUS(5, 5, 4), "Unsupported parameter: it was not offered");
    /* RFC 8689 section 2 allows the parameter under TLS alone and names no reply. It is a keyword
     * that we did not offer: 555 (RFC 5321 section 4.1.1.11). 523 5.7.10, which others say, is
     * about authentication (RFC 5248). */
    if (m->requiretls && !s->has_tls)
        return fault(555, STATUS(5, 5, 4), "REQUIRETLS needs TLS: it was not offered");
    if (max > 0 && m->size > max)
        return fault(552, STATUS(5, 3, 4), "Message size exceeds the fixed limit");
    return (struct command_error){0};
}

/* The user as he is now: what an administrator changed counts from the next message on. */
static struct command_error check_sender(struct session *s, const struct mail_command *m)
{
    const struct address *from = &m->reverse_path;
    if (s->listener->is_relay)
        return (struct command_error){0};
    struct address user;
    int error = -ENOENT;
    if (address_parse(slice_of(s->user), &user) == ADDRESS_OK)
        error = s->outside->find_account(s->options.context, &user, &s->transaction.account);
    if (error == -ENOENT)
        return fault(550, STATUS(5, 7, 1), "Your account is gone");
    if (error != 0)
        return accounts_unreadable();
    if (!address_is_null(from) && !queue_account_owns(&s->transaction.account, from))
        return fault(553, STATUS(5, 7, 1),
                     "The sender address is neither yours nor an alias of yours");
    return (struct command_error){0};
}

static struct command_error check_mail(struct session *s, struct slice rest, struct mail_command *m)
{
    struct command_error why = command_parse_mail(rest, m);
    if (why.code == 0)
        why = check_parameters(s, m);
    if (why.code == 0)
        why = check_sender(s, m);
    if (why.code == 0 && s->outside->is_store_full(s->options.context))
        why = fault(452, STATUS(4, 3, 1), "Insufficient system storage");
    if (why.code == 0 &&
        !transaction_take(s, LIMITS_MESSAGES, session_settings(s)->messages_per_hour))
        why = fault(450, STATUS(4, 7, 1), "Too many messages within an hour");
    return why;
}

enum state transaction_mail(struct session *s, struct slice rest)
{
    struct mail_command m;
    memset(&m, 0, sizeof m);
    transaction_end(s);
    struct command_error why = check_mail(s, rest, &m);
    if (why.code != 0) {
        reply_error(s, why);
        transaction_end(s);
        return STATE_READY;
    }
    s->transaction.mail = m;
    reply(s, 250, STATUS(2, 1, 0), "Ok");
    return STATE_MAIL;
}

/* ---- DATA ---- */

static int append(void *context, struct slice content)
{
    const struct session *s = context;
    return s->outside->message_append(s->options.context, content);
}

static bool owns(void *context, const struct address *a)
{
    const struct session *s = context;
    return queue_account_owns(&s->transaction.account, a);
}

static struct fixup fixup_of(const struct session *s)
{
    const struct transaction *t = &s->transaction;
    return (struct fixup){
        .hostname = session_settings(s)->hostname,
        .id = t->id_text,
        .at = t->at_ms / 1000,
        .tls_protocol = s->has_tls ? s->tls.protocol : NULL,
        .tls_cipher = s->has_tls ? s->tls.cipher : NULL,
        .is_relay = s->listener->is_relay,
        .only_recipient = t->count == 1 ? t->first->address.text : NULL,
    };
}

enum state transaction_data(struct session *s, struct slice rest)
{
    (void)rest;
    struct transaction *t = &s->transaction;
    if (t->count == 0) {
        reply(s, 554, STATUS(5, 5, 1), "No valid recipients");
        return s->state;
    }
    if (!s->outside->message_begin(s->options.context, &t->id)) {
        reply(s, 451, STATUS(4, 3, 0), "The queue is not available");
        return s->state;
    }
    t->is_message_open = true;
    t->at_ms = s->outside->now_ms(s->options.context);
    id_text(t->id, t->id_text);
    struct receive_options o = {.fixup = fixup_of(s),
                                .message_size = session_settings(s)->message_size,
                                .max_received = session_settings(s)->max_received,
                                .append = append,
                                .owns = owns,
                                .context = s};
    t->receive = receive_new(&o);
    session_reply_line(s, "354 End data with <CR><LF>.<CR><LF>");
    return STATE_DATA;
}

/* ---- The end of the data: who is bound by what, and into the queue ---- */

static void read_flag(const struct session *s, const struct queue_account *account,
                      struct guarantee_user *out)
{
    struct queue_flag flag = queue_account_flag(account, session_settings(s)->default_level,
                                                s->outside->now_ms(s->options.context) / 1000);
    *out = (struct guarantee_user){
        .level = flag.level, .is_locked = flag.is_locked, .is_dry_run = flag.is_dry_run};
    memcpy(out->address, account->address, sizeof out->address);
}

/* The directory that guarantee_bind() asks knows only yes and no; an error is noted beside it and
 * looked at afterwards. */
static bool find_user(void *context, const struct address *address, struct guarantee_user *out)
{
    struct session *s = context;
    struct queue_account account;
    memset(&account, 0, sizeof account);
    int error = s->outside->find_account(s->options.context, address, &account);
    s->transaction.is_directory_broken |= error != 0 && error != -ENOENT;
    if (error != 0)
        return false;
    read_flag(s, &account, out);
    queue_account_clear(&account);
    return true;
}

static bool has_forward(void *context, const char *owner, const struct address *target)
{
    struct session *s = context;
    int has = s->outside->has_forward(s->options.context, owner, target);
    s->transaction.is_directory_broken |= has < 0;
    return has > 0;
}

static bool has_exception(void *context, const char *owner, const struct address *recipient)
{
    struct session *s = context;
    int has = s->outside->has_exception(s->options.context, owner, recipient);
    s->transaction.is_directory_broken |= has < 0;
    return has > 0;
}

static void bind_recipient(struct session *s, const struct guarantee_message *message,
                           const struct recipient *r, struct envelope *e)
{
    const struct guarantee_directory directory = {
        .context = s,
        .find_user = find_user,
        .has_forward = has_forward,
        .has_exception = s->outside->has_exception ? has_exception : NULL};
    struct guarantee_binding binding = guarantee_bind(message, &r->address, &directory);
    struct envelope_recipient *to = envelope_add(e, r->address.text);
    envelope_set(&to->orcpt, r->orcpt);
    envelope_set(&to->owner, binding.owner);
    to->notify = r->notify;
    /* Of the user who logged in; the relay listener knows none. */
    to->wants_receipt = s->transaction.account.wants_receipts;
    to->level = binding.level;
    to->exemption = binding.exemption;
}

/* Asked anew: the flag counts as it stands when 250 is said. Where the user was removed since MAIL,
 * as it stood then. */
static void sender_now(struct session *s, struct guarantee_user *out)
{
    const struct queue_account *account = &s->transaction.account;
    struct address address;
    if (address_parse(slice_of(s->user), &address) == ADDRESS_OK && find_user(s, &address, out))
        return;
    read_flag(s, account, out);
}

static void log_exemptions(const struct session *s, const struct envelope *e)
{
    for (size_t i = 0; i < e->count; i++) {
        const struct envelope_recipient *to = &e->recipients[i];
        if (to->exemption != EXEMPTION_NONE)
            EVENT(s->options.events, EVENT_INFO, "exempt", FIELD(KEY_SESSION, s->number),
                  FIELD(KEY_ID, s->transaction.id_text), FIELD(KEY_TO, to->address),
                  FIELD(KEY_OWNER, to->owner), FIELD(KEY_LEVEL, level_name(to->level)),
                  FIELD(KEY_EXEMPT, exemption_name(to->exemption)));
    }
}

/* False: it could not be found out who is bound by what. */
static bool bind_recipients(struct session *s, struct envelope *e)
{
    const struct transaction *t = &s->transaction;
    bool is_relay = s->listener->is_relay;
    struct guarantee_user user;
    if (!is_relay)
        sender_now(s, &user);
    const struct guarantee_message message = {
        .origin = is_relay ? ORIGIN_RELAY : ORIGIN_SUBMISSION,
        .user = is_relay ? NULL : &user,
        .reverse_path = t->mail.reverse_path,
        .requiretls = t->mail.requiretls,
        .header = receive_header(t->receive),
        .exempt_auto_replies = session_settings(s)->exempt_auto_replies,
    };
    for (const struct recipient *r = t->first; r && !t->is_directory_broken; r = r->next)
        bind_recipient(s, &message, r, e);
    if (!t->is_directory_broken)
        log_exemptions(s, e);
    return !t->is_directory_broken;
}

static enum state commit(struct session *s)
{
    struct transaction *t = &s->transaction;
    struct envelope e;
    envelope_init(&e);
    e.origin = s->listener->is_relay ? ORIGIN_RELAY : ORIGIN_SUBMISSION;
    envelope_set(&e.reverse_path, t->mail.reverse_path.text);
    envelope_set(&e.user, s->user);
    envelope_set(&e.envid, t->mail.envid);
    e.ret = t->mail.ret;
    e.requiretls = t->mail.requiretls;
    e.content_8bit = receive_has_8bit(t->receive);
    e.size = t->size = receive_size(t->receive);
    if (!bind_recipients(s, &e)) {
        envelope_free(&e);
        reply_error(s, accounts_unreadable());
        transaction_end(s);
        return STATE_READY;
    }
    const struct header_facts *header = receive_header(t->receive);
    struct fixup fixup = fixup_of(s);
    char made_up[FIXUP_MESSAGE_ID_SIZE];
    const char *message_id = header->message_id;
    if (!header->has_message_id && !s->listener->is_relay)
        message_id = fixup_message_id(&fixup, made_up);
    struct slice kept = slice_sub(slice_of(message_id), 0, sizeof t->message_id - 1);
    if (!slice_copy(kept, t->message_id, sizeof t->message_id))
        t->message_id[0] = '\0';
    receive_free(t->receive);
    t->receive = NULL;
    t->is_message_open = false;
    int64_t now_ms = s->outside->now_ms(s->options.context);
    s->outside->message_commit(s->options.context, &e, now_ms, now_ms + t->account.hold_back_ms);
    envelope_free(&e);
    return STATE_COMMITTING;
}

enum state transaction_content(struct session *s, struct slice *in)
{
    struct transaction *t = &s->transaction;
    if (!receive_feed(t->receive, in))
        return s->outside->message_is_behind(s->options.context) ? STATE_BEHIND : STATE_DATA;
    struct command_error why = receive_verdict(t->receive);
    if (why.code == 0)
        return commit(s);
    reply_error(s, why);
    transaction_end(s);
    return STATE_READY;
}

enum state transaction_drained(struct session *s, int error)
{
    if (error != 0)
        receive_store_failed(s->transaction.receive, error);
    return STATE_DATA;
}

static void log_queued(struct session *s)
{
    const struct transaction *t = &s->transaction;
    EVENT(s->options.events, EVENT_INFO, "queued", FIELD(KEY_SESSION, s->number),
          FIELD(KEY_ID, t->id_text), FIELD(KEY_LISTENER, s->listener->title),
          FIELD(KEY_USER, s->user), FIELD(KEY_FROM, t->mail.reverse_path.text),
          FIELD_NUMBER(KEY_SIZE, t->size), FIELD_NUMBER(KEY_RECIPIENTS, t->count),
          FIELD(KEY_MESSAGE_ID, t->message_id),
          FIELD(KEY_TLS, s->has_tls ? s->tls.protocol : "none"),
          FIELD(KEY_CIPHER, s->has_tls ? s->tls.cipher : ""));
    if (s->is_gone)
        EVENT(s->options.events, EVENT_WARNING, "gone", FIELD(KEY_SESSION, s->number),
              FIELD(KEY_ID, t->id_text), FIELD(KEY_CLIENT, s->peer),
              FIELD(KEY_REASON, "the client left before the reply; the message is queued"));
}

enum state transaction_committed(struct session *s, int error)
{
    struct transaction *t = &s->transaction;
    if (error == 0) {
        log_queued(s);
        memset(t->taken, 0, sizeof t->taken); /* really used */
        reply(s, 250, STATUS(2, 0, 0), "Ok: queued as %s", t->id_text);
    } else if (error == -ENOSPC) {
        reply(s, 452, STATUS(4, 3, 1), "Insufficient system storage");
    } else {
        reply(s, 451, STATUS(4, 3, 0), "The queue is not available");
    }
    transaction_end(s);
    return STATE_READY;
}
