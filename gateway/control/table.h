/* table.h - text for people on 80 columns. Main thread of sealpostctl.
 *
 * What comes from outside (addresses, replies of hosts) is cleaned here: nothing of it moves the
 * terminal's cursor. One character counts as one column. */
#ifndef GATEWAY_CONTROL_TABLE_H
#define GATEWAY_CONTROL_TABLE_H

#include <stdio.h>

#include "mail/base.h"

#define TABLE_WIDTH 80

struct table {
    unsigned columns;
    const char *const *headings; /* borrowed */
    char **cells;                /* owned; row by row */
    size_t count;                /* of cells */
    size_t room;
};

void table_init(struct table *t, const char *const *headings, unsigned columns);
void table_add(struct table *t, const char *const *cells); /* one row; copied, NULL is "" */
/* Columns as wide as they need to be; where that is more than 80 together, the widest give way and
 * their cells go on in the next line. */
void table_print(const struct table *t, FILE *out);
void table_free(struct table *t);

/* Text in lines of at most 80, broken at spaces where there are any: the first line indented by
 * `first`, the others by `indent`. A newline in it begins a line. */
void table_wrap(FILE *out, unsigned first, unsigned indent, const char *text);

#endif
