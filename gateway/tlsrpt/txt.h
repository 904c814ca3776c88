/* txt.h - who wants reports about a domain: the TXT record of _smtp._tls.DOMAIN, read strictly
 * (RFC 8460 section 3).
 *
 * Pure, any thread. The text comes from strangers; what the grammar does not allow is no record. */
#ifndef GATEWAY_TLSRPT_TXT_H
#define GATEWAY_TLSRPT_TXT_H

#include "gateway/sts/https.h"

#define TLSRPT_NAME_PREFIX "_smtp._tls."
#define TLSRPT_PLACES_MAX 10 /* more are left out */

/* Where reports are to go. */
struct tlsrpt_place {
    enum { TLSRPT_MAILTO, TLSRPT_HTTPS } kind;
    char address[ADDRESS_SIZE]; /* MAILTO: path text */
    struct https_url url;       /* HTTPS */
};

struct tlsrpt_places {
    size_t count;
    struct tlsrpt_place *list; /* owned; in the order of the record, none twice */
};

enum tlsrpt_txt {
    TLSRPT_TXT_NONE,    /* no record begins with "v=TLSRPTv1;", or several do: nobody asks */
    TLSRPT_TXT_VALID,   /* exactly one does, is well-formed and names a place */
    TLSRPT_TXT_INVALID, /* the one is not well-formed, or names none that we can reach */
};
/* Of all TXT records of the name. *out is empty unless valid; *why says why it is not (static). A
 * blank before the first semicolon is let pass, and blanks at the end. Addresses that are no
 * mailto or https or that cannot be read are left out; of several rua the first counts. */
enum tlsrpt_txt tlsrpt_txt_read(const struct slice *texts, size_t count, struct tlsrpt_places *out,
                                const char **why);
void tlsrpt_places_clear(struct tlsrpt_places *p);

#endif
