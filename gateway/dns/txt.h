/* txt.h - the texts of a name: the decision behind dns_find_txt() (RFC 1035 3.3.14).
 *
 * One question. No I/O of its own: it asks through struct dns_asker. Home loop only. */
#ifndef GATEWAY_DNS_TXT_H
#define GATEWAY_DNS_TXT_H

#include "gateway/dns/answer.h"

#define DNS_TXT_MAX 64

struct txt_lookup {
    struct dns_ask ask;
    void (*done)(void *context, struct txt_lookup *lookup);
    void *context;
    struct dns_txt txt; /* the result; texts are owned */
    char *bytes;        /* owned: what the texts point into */
};

/* done() is called once, as the last thing the look-up does; it may free the look-up. */
void txt_lookup_start(struct txt_lookup *lookup, const struct dns_asker *asker, const char *name,
                      void (*done)(void *context, struct txt_lookup *lookup), void *context);
void txt_lookup_clear(struct txt_lookup *lookup); /* frees what the result holds */

#endif
