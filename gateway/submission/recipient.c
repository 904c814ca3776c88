/* RCPT: what is refused at once, what is asked before it is taken (configuration
 * guarantee.at_rcpt), and what is taken. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/submission/machine.h"

/* With code and enhanced code below the 512 octets of RFC 5321 section 4.5.3.1.5. */
#define WORDS_SIZE 481

static struct command_error fault(unsigned code, struct status status, const char *text)
{
    return (struct command_error){code, status, text};
}

static bool is_there_already(const struct transaction *t, const struct address *a)
{
    for (const struct recipient *r = t->first; r; r = r->next)
        if (strcmp(r->address.text, a->text) == 0)
            return true;
    return false;
}

/* "postmaster" alone is ours (RFC 5321 section 4.5.1). */
static struct command_error complete_address(const struct session *s, struct address *a)
{
    if (address_is_null(a))
        return fault(501, STATUS(5, 1, 3), "The recipient address is empty");
    if (*address_domain(a))
        return (struct command_error){0};
    char *text = xprintf("%s@%s", a->text, session_settings(s)->hostname);
    bool is_address = address_parse(slice_of(text), a) == ADDRESS_OK;
    free(text);
    if (!is_address)
        return fault(501, STATUS(5, 1, 3), "The recipient address has no domain");
    return (struct command_error){0};
}

static struct command_error check_rcpt(struct session *s, struct slice rest, struct rcpt_command *c)
{
    const struct submission_settings *settings = session_settings(s);
    struct command_error why = command_parse_rcpt(rest, c);
    if (why.code == 0)
        why = complete_address(s, &c->recipient);
    if (why.code == 0 && settings->recipients > 0 && s->transaction.count >= settings->recipients)
        why = fault(452, STATUS(4, 5, 3), "Too many recipients");
    if (why.code == 0 && !transaction_take(s, LIMITS_RECIPIENTS, settings->recipients_per_hour))
        why = fault(450, STATUS(4, 7, 1), "Too many recipients within an hour");
    return why;
}

static enum state add_recipient(struct session *s, const struct rcpt_command *command)
{
    struct transaction *t = &s->transaction;
    reply(s, 250, STATUS(2, 1, 5), "Ok");
    /* Said twice, sent once. */
    if (is_there_already(t, &command->recipient))
        return STATE_RCPT;
    struct recipient *r = arena_alloc(&t->arena, sizeof *r);
    r->address = command->recipient;
    r->orcpt = arena_copy(&t->arena, slice_of(command->orcpt));
    r->notify = command->notify;
    *t->last = r;
    t->last = &r->next;
    t->count++;
    return STATE_RCPT;
}

/* ---- Asking ---- */

/* The flag that will bind the recipient as far as can be told before the header was seen. Off:
 * nobody is to be asked. */
static enum level level_for(const struct session *s, const struct address *recipient)
{
    const struct queue_account *account = &s->transaction.account;
    void *context = s->options.context;
    struct queue_flag flag = queue_account_flag(account, session_settings(s)->default_level,
                                                s->outside->now_ms(context) / 1000);
    /* A target of the user's own forward is not refused, nor where the administrator lifts the
     * flag; and not where that cannot be found out. */
    if (flag.level == LEVEL_OFF || flag.is_dry_run ||
        s->outside->has_forward(context, account->address, recipient) != 0)
        return LEVEL_OFF;
    if (s->outside->has_exception &&
        s->outside->has_exception(context, account->address, recipient) != 0)
        return LEVEL_OFF;
    return flag.level;
}

/* The null reverse-path is what automatic replies use, and a recipient taken already stays taken.
 */
static bool ask(struct session *s, const struct address *recipient)
{
    enum submission_at_rcpt at_rcpt = session_settings(s)->at_rcpt;
    if (at_rcpt == SUBMISSION_AT_RCPT_OFF || s->listener->is_relay ||
        address_is_null(&s->transaction.mail.reverse_path) ||
        is_there_already(&s->transaction, recipient))
        return false;
    enum level level = level_for(s, recipient);
    if (level == LEVEL_OFF)
        return false;
    struct submission_question question = {
        .recipient = recipient, .level = level, .may_probe = at_rcpt == SUBMISSION_AT_RCPT_PROBE};
    return s->outside->ask_rcpt(s->options.context, &question);
}

enum state recipient_rcpt(struct session *s, struct slice rest)
{
    struct transaction *t = &s->transaction;
    struct rcpt_command command;
    memset(&command, 0, sizeof command);
    struct command_error why = check_rcpt(s, rest, &command);
    if (why.code != 0) {
        t->refused = command.recipient.text;
        reply_error(s, why);
        t->refused = NULL;
        return s->state;
    }
    if (!ask(s, &command.recipient))
        return add_recipient(s, &command);
    t->asked = arena_alloc(&t->arena, sizeof *t->asked);
    *t->asked = command;
    return STATE_ASKING;
}

/* A host may have had its say in the words. */
static void refuse(struct session *s, const struct outcome *why)
{
    char clean[WORDS_SIZE];
    snprintf(clean, sizeof clean, "%.*s", (int)sizeof clean - 1, why->text);
    for (char *c = clean; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    reply(s, 550, why->status, "%s", clean);
}

enum state recipient_answered(struct session *s, const struct outcome *why)
{
    struct transaction *t = &s->transaction;
    const struct rcpt_command *command = t->asked;
    t->asked = NULL;
    if (!why)
        return add_recipient(s, command);
    if (!outcome_is_permanent(why))
        panic("a recipient is refused for what may pass");
    t->refused = command->recipient.text;
    refuse(s, why);
    t->refused = NULL;
    if (t->taken[LIMITS_RECIPIENTS] > 0) {
        limits_give_back(s->options.limits, s->user, LIMITS_RECIPIENTS, 1);
        t->taken[LIMITS_RECIPIENTS]--;
    }
    return t->count > 0 ? STATE_RCPT : STATE_MAIL;
}
