#include "gateway/submission/fixup.h"

#include <inttypes.h>
#include <stdio.h>

#include "gateway/guarantee/bind.h"
#include "mail/date.h"

static const char *protocol_name(const struct fixup *f)
{
    if (f->is_relay)
        return f->tls_protocol ? "ESMTPS" : "ESMTP";
    return f->tls_protocol ? "ESMTPSA" : "ESMTPA"; /* RFC 3848 */
}

/* Folded with CRLF and one space: unfolding (taking the CRLFs out) gives the line of INTERFACE.md.
 */
static bool add_received(const struct fixup *f, struct buffer *out)
{
    char date[DATE_SIZE];
    bool fits = buffer_printf(out, "Received: from localhost%s\r\n by %s with %s",
                              f->is_relay ? "" : " (authenticated)", f->hostname, protocol_name(f));
    if (f->tls_protocol)
        fits = fits && buffer_printf(out, " (%s %s)", f->tls_protocol, f->tls_cipher);
    fits = fits && buffer_printf(out, "\r\n id %s", f->id);
    if (f->only_recipient)
        fits = fits && buffer_printf(out, "\r\n for <%s>", f->only_recipient);
    return fits && buffer_printf(out, ";\r\n %s\r\n", date_rfc5322(f->at, date));
}

const char *fixup_message_id(const struct fixup *f, char out[FIXUP_MESSAGE_ID_SIZE])
{
    /* The ID alone would come again should the store ever be made anew. */
    snprintf(out, FIXUP_MESSAGE_ID_SIZE, "<%" PRId64 ".%s@%s>", f->at, f->id, f->hostname);
    return out;
}

bool fixup_apply(const struct fixup *f, struct slice section, const struct header_facts *facts,
                 struct buffer *out)
{
    /* Return-Path is the final host's to write (RFC 5321 section 4.4); X-Originating-IP tells where
     * the user sits. */
    static const struct slice dropped[] = {
        {"Bcc", 3},
        {"Resent-Bcc", 10},
        {"Return-Path", 11},
        {"X-Originating-IP", 16},
    };
    if (!add_received(f, out))
        return false;
    if (f->is_relay)
        return buffer_append(out, section);
    if (!header_copy_without(section, dropped, COUNT_OF(dropped), out))
        return false;
    char date[DATE_SIZE];
    if (!facts->has_date && !buffer_printf(out, "Date: %s\r\n", date_rfc5322(f->at, date)))
        return false;
    char message_id[FIXUP_MESSAGE_ID_SIZE];
    return facts->has_message_id ||
           buffer_printf(out, "Message-ID: %s\r\n", fixup_message_id(f, message_id));
}

static struct command_error refused(unsigned code, unsigned subject, unsigned detail,
                                    const char *text)
{
    return (struct command_error){code, status_make(5, subject, detail), text};
}

struct command_error fixup_check(const struct header_facts *facts, unsigned max_received,
                                 bool is_relay,
                                 bool (*owns)(void *context, const struct address *a),
                                 void *context)
{
    if (max_received > 0 && facts->received > max_received)
        return refused(554, 4, 6, "Too many Received fields: this message goes round in circles");
    /* What others wrote is forwarded as it is; what our users write has to be readable, or another
     * reader might see another From in it. */
    if (is_relay)
        return (struct command_error){0};
    if (facts->is_malformed)
        return refused(554, 6, 0, "The header section holds a line that is no header field");
    if (!guarantee_owns_from(facts, owns, context))
        return refused(550, 7, 1, "The From (or Sender) field is missing or not your address");
    return (struct command_error){0};
}
