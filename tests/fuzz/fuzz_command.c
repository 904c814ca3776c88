/* An SMTP command line with its DSN parameters: a fault is a whole reply, and what is kept is safe
 * to write. */
#include <string.h>

#include "mail/command.h"
#include "mail/xtext.h"
#include "tests/fuzz/fuzz.h"

static bool is_fault(struct command_error e)
{
    HOLDS(e.code == 0 || (e.code >= 500 && e.code <= 599 && e.status.class == 5 && e.text));
    return e.code != 0;
}

static void check_mail(struct slice rest)
{
    struct mail_command mail;
    char text[ENVID_SIZE], back[3 * ENVID_SIZE];
    if (is_fault(command_parse_mail(rest, &mail)))
        return;
    HOLDS(fuzz_is_printable(mail.reverse_path.text) && strlen(mail.envid) <= 100);
    HOLDS(xtext_decode(slice_of(mail.envid), text, sizeof text) && fuzz_is_printable(text));
    HOLDS(xtext_encode(slice_of(text), back, sizeof back));
    char again[ENVID_SIZE];
    HOLDS(xtext_decode(slice_of(back), again, sizeof again) && strcmp(again, text) == 0);
}

static void check_rcpt(struct slice rest)
{
    struct rcpt_command rcpt;
    if (is_fault(command_parse_rcpt(rest, &rcpt)))
        return;
    HOLDS(!address_is_null(&rcpt.recipient) && fuzz_is_printable(rcpt.recipient.text));
    HOLDS(fuzz_is_printable(rcpt.orcpt) && !strchr(rcpt.orcpt, ' '));
    HOLDS(rcpt.orcpt[0] == '\0' || strchr(rcpt.orcpt, ';'));
    HOLDS(!(rcpt.notify & NOTIFY_NEVER) || rcpt.notify == NOTIFY_NEVER);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice line = fuzz_input(data, size), rest;
    enum verb verb = command_parse(line, &rest);
    HOLDS(rest.len <= line.len && verb_name(verb)[0] != '\0');
    check_mail(verb == VERB_MAIL ? rest : line);
    check_rcpt(verb == VERB_RCPT ? rest : line);
    return 0;
}
