#include "gateway/delivery/commands.h"

#include <inttypes.h>

/* Whoever gets a line end into a path or a parameter writes commands of his own on our connection.
 */
static const char *one_line(const char *text)
{
    for (const char *p = text; *p; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            panic("a control character in an envelope from the queue");
    }
    return text;
}

static const char *ret_parameter(enum ret ret)
{
    switch (ret) {
    case RET_ABSENT:
        return "";
    case RET_FULL:
        return " RET=FULL";
    case RET_HDRS:
        return " RET=HDRS";
    }
    panic("ret %d", (int)ret);
}

static bool say_mail_dsn(struct buffer *out, const struct client_transaction *t)
{
    if (!buffer_append_text(out, ret_parameter(t->ret)))
        return false;
    return t->envid[0] == '\0' || buffer_printf(out, " ENVID=%s", one_line(t->envid));
}

bool delivery_say_mail(struct buffer *out, const struct ehlo_facts *ehlo,
                       const struct client_transaction *t, bool requiretls)
{
    if (!buffer_printf(out, "MAIL FROM:<%s>", one_line(t->reverse_path)))
        return false;
    if (ehlo->size && !buffer_printf(out, " SIZE=%" PRIu64, t->size))
        return false;
    /* Decided by content: a host that only passes 7 bits on must not see the parameter needlessly.
     */
    if (ehlo->eightbitmime && t->content_8bit && !buffer_append_text(out, " BODY=8BITMIME"))
        return false;
    if (requiretls && ehlo->requiretls && !buffer_append_text(out, " REQUIRETLS"))
        return false;
    if (ehlo->dsn && !say_mail_dsn(out, t))
        return false;
    return buffer_append_text(out, "\r\n");
}

static bool say_notify(struct buffer *out, unsigned notify)
{
    static const struct {
        unsigned bit;
        const char *name;
    } names[] = {
        {NOTIFY_NEVER, "NEVER"},
        {NOTIFY_SUCCESS, "SUCCESS"},
        {NOTIFY_FAILURE, "FAILURE"},
        {NOTIFY_DELAY, "DELAY"},
    };
    const char *before = " NOTIFY=";
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (!(notify & names[i].bit))
            continue;
        if (!buffer_printf(out, "%s%s", before, names[i].name))
            return false;
        before = ",";
    }
    return true;
}

bool delivery_say_rcpt(struct buffer *out, const struct ehlo_facts *ehlo,
                       const struct client_recipient *r)
{
    if (!buffer_printf(out, "RCPT TO:<%s>", one_line(r->address)))
        return false;
    if (ehlo->dsn && !say_notify(out, r->notify))
        return false;
    if (ehlo->dsn && r->orcpt[0] != '\0' && !buffer_printf(out, " ORCPT=%s", one_line(r->orcpt)))
        return false;
    return buffer_append_text(out, "\r\n");
}
