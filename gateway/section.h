/* section.h - a section of the configuration file while it is read: its values by their keys, and
 * complaints that name the line where a key was set.
 *
 * schema.h has checked every value before; what is wrong with it beyond that is reported, and
 * reading goes on: the first report is the error of config_load(), and nothing is made of what was
 * read. Main thread only; a section is gone, with all that is borrowed from it, when config_load()
 * returns. */
#ifndef GATEWAY_SECTION_H
#define GATEWAY_SECTION_H

#include "gateway/net/address.h"
#include "mail/domain.h"

/* A plain value; what it points to is config.c's. */
struct section {
    struct reading *reading;
    struct cfg_t *parsed;
};

/* ---- as it stands in the file; in config.c, for libConfuse has one door ---- */

struct section section_of(struct section s, const char *name); /* one that is there once */
/* Sections of that name, or items of that list. */
unsigned section_count(struct section s, const char *name);
struct section section_at(struct section s, const char *name, unsigned index);
const char *section_item(struct section s, const char *key, unsigned index); /* borrowed */

const char *section_name(struct section s);  /* borrowed */
const char *section_title(struct section s); /* borrowed; only of titled ones */
/* Borrowed. What is not set and has no preset is reported, and "". */
const char *section_text(struct section s, const char *key);

/* "NAME "TITLE": KEY: ..." at the line of the key, or of the section where it is not set. */
void section_report(struct section s, const char *key, const char *format, ...) PRINTF_LIKE(3, 4);
/* "NAME "TITLE": ..." at the line of the section. Only of titled ones. */
void section_report_title(struct section s, const char *format, ...) PRINTF_LIKE(2, 3);
/* At the line of the key; key NULL: of the section. Only said: the file is as good as without. */
void section_warn(struct section s, const char *key, const char *format, ...) PRINTF_LIKE(3, 4);
bool section_has_errors(struct section s); /* anything was reported, of the whole file */

/* ---- as values; in section.c. What the caller owns, he frees ---- */

int64_t section_number(struct section s, const char *key);
int64_t section_duration(struct section s, const char *key); /* ms */
uint64_t section_octets(struct section s, const char *key);
bool section_is(struct section s, const char *key, const char *word);
void section_domain(struct section s, const char *key, char out[DOMAIN_SIZE]); /* A-labels, or "" */
NODISCARD struct net_network *section_networks(struct section s, const char *key, size_t *count);
/* With that port. "*" stands for all addresses of both families. */
NODISCARD struct net_address *section_addresses(struct section s, const char *key, uint16_t port,
                                                size_t *count);

#endif
