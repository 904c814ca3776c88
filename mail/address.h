/* address.h - mailboxes and paths (RFC 5321 section 4.1.2, RFC 6409). Any thread.
 *
 * A path keeps the local part as it was written; comparison follows INTERFACE.md: local part
 * without case, domain as A-label. '%' and '!' are plain characters. */
#ifndef MAIL_ADDRESS_H
#define MAIL_ADDRESS_H

#include "mail/slice.h"

enum address_error {
    ADDRESS_OK,
    ADDRESS_SYNTAX,    /* 501 5.1.3 / 5.1.7 */
    ADDRESS_NON_ASCII, /* 553 5.6.7: needs SMTPUTF8 */
    ADDRESS_TOO_LONG,  /* local part over 64, domain over 255 octets */
};

struct address {
    char text[ADDRESS_SIZE]; /* local part as written (unquoted where quotes were needless), "@",
                              * A-label domain or literal;
                              * "" is the null reverse-path. Valid as the inside of <...> on the
                              * wire. */
    uint16_t local_len;      /* bytes of text before the '@' */
    bool is_literal; /* the domain is an address literal, "[192.0.2.1]" or "[IPv6:2001:db8::1]" */
};

/* Reads "<...>" at the front of *in (RFC 5321 Path; a source route is dropped; "<>" gives an empty
 * address and is for the caller to allow; "<postmaster>" without a domain likewise gives local_len
 * == strlen(text)). Moves *in behind the '>' only on ADDRESS_OK. */
NODISCARD enum address_error address_parse_path(struct slice *in, struct address *out);
/* Reads a bare mailbox "local@domain", all of `in`. UTF-8 domains are accepted here (command line,
 * configuration). It also reads back the text of any address but the null one and "postmaster". */
NODISCARD enum address_error address_parse(struct slice in, struct address *out);
bool address_is_null(const struct address *a);
const char *address_domain(const struct address *a); /* behind the '@'; "" when there is none */
/* The form for comparing and for keys: local part lower-cased (ASCII) and unquoted, '@', domain. */
void address_key(const struct address *a, char out[ADDRESS_SIZE]);
bool address_equal(const struct address *a, const struct address *b);

/* One mailbox of a header's address list, comments and display name gone. */
typedef bool address_visit(void *context, const struct address *a);
/* Walks an address-list or mailbox-list of RFC 5322 section 3.4 (groups, comments, folding, quoted
 * and encoded display names, obsolete routes). Calls visit for each mailbox; visit returns false to
 * stop. False when the field does not parse: then what was visited so far must not be relied on. A
 * non-ASCII local part counts as not parsing. */
NODISCARD bool address_list_walk(struct slice field_value, address_visit *visit, void *context);

#endif
