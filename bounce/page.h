/* page.h - a buffer that is written to without asking after each piece. Inside of the room only;
 * one thread at a time.
 *
 * The first piece that does not fit makes the page full; all later ones are dropped. Ask
 * page.is_full at the end. */
#ifndef BOUNCE_PAGE_H
#define BOUNCE_PAGE_H

#include "mail/buffer.h"
#include "mail/outcome.h"

struct page {
    struct buffer *out; /* borrowed */
    bool is_full;
};

void page_put(struct page *p, struct slice s);
void page_text(struct page *p, const char *text);
void page_printf(struct page *p, const char *format, ...) PRINTF_LIKE(2, 3);

/* Copies `in` as one line of printable characters into out[size], cut to fit at a character's edge:
 * a control or what is no UTF-8 becomes '?', so that no value can begin a line or a field of its
 * own. */
void page_clean(const char *in, char *out, size_t size);
/* The same, ASCII alone: for header fields and the delivery status (RFC 3464 section 2.1). */
void page_clean_ascii(const char *in, char *out, size_t size);
/* "Name: value" CRLF with the value made clean ASCII, cut to what a line may hold. Nothing when the
 * value is "". */
void page_field(struct page *p, const char *name, const char *value);

#define PAGE_HOST_SIZE (DOMAIN_SIZE + 96)
/* "mx.example[192.0.2.9]": the host that an outcome is about. One that has no other name than its
 * address, or is a socket, is named once. */
const char *page_host(const struct outcome *o, char out[PAGE_HOST_SIZE]);

#define PAGE_DIAGNOSTIC_SIZE (OUTCOME_TEXT_SIZE + 16)
/* A reply with its code as the host said it, or the text of a local cause. */
void page_diagnostic(const struct outcome *o, char out[PAGE_DIAGNOSTIC_SIZE]);

#endif
