/* document.h - the report itself: RFC 8460 section 4.4 as JSON, and packed by gzip.
 *
 * The one door to zlib; jansson's door for reports. Pure: counts in, octets out; one thread at a
 * time. Whatever the counts hold, the JSON is well-formed: what is no printable UTF-8 becomes '?'.
 */
#ifndef GATEWAY_TLSRPT_DOCUMENT_H
#define GATEWAY_TLSRPT_DOCUMENT_H

#include "mail/buffer.h"
#include "queue/tlsrpt.h"

/* A report about the fullest domain is below 2 MiB; one that is not is not sent. */
#define DOCUMENT_MAX ((size_t)8 << 20)

/* Who reports on what. Borrowed. */
struct document_head {
    const char *organization;
    const char *contact;  /* address */
    const char *hostname; /* of this gateway: reports of one organisation may come from several */
    const char *domain;   /* policy domain */
    uint32_t day;         /* UTC, in days since the epoch */
};

struct document; /* opaque */
NODISCARD struct document *document_new(const struct document_head *head);
void document_free(struct document *d); /* NULL is fine */
/* A queue_tlsrpt_visit with the document as its context. */
bool document_add(void *context, const struct queue_tlsrpt_policy *policy,
                  const struct queue_tlsrpt_failure *failure);
size_t document_policies(const struct document *d);
/* Appends the JSON. False: memory is out, or it is too large. */
NODISCARD bool document_write(struct document *d, struct buffer *out);

/* Appends `in` as a gzip member that is the same each time. False as above. */
NODISCARD bool document_pack(struct slice in, struct buffer *out);

/* The same for the same head whenever it is asked, and for no other: DAY.DOMAIN@HOSTNAME. */
#define DOCUMENT_ID_SIZE (2 * DOMAIN_SIZE + 24)
const char *document_id(const struct document_head *head, char out[DOCUMENT_ID_SIZE]);
/* The day's first and last second. */
int64_t document_begins_at(const struct document_head *head);
int64_t document_ends_at(const struct document_head *head);

#endif
