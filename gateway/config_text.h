/* config_text.h - the text of a configuration file, before libConfuse gets it.
 *
 * Pure but for the reading. */
#ifndef GATEWAY_CONFIG_TEXT_H
#define GATEWAY_CONFIG_TEXT_H

#include "mail/base.h"

/* The whole file, 16 MiB at most; what stands behind a NUL is left out. NULL with errno. The caller
 * frees. */
NODISCARD char *config_text_read(const char *path);

/* The line on which the comment or the text begins that is still open at the end; 0: there is none.
 * what: "comment" or "text". libConfuse would take the end of the file for its end, and what it
 * swallowed would be silently gone. */
NODISCARD int config_text_open_line(const char *text, const char **what);

#endif
