#include "gateway/control/table.h"

#include <stdlib.h>
#include <string.h>

#include "mail/utf8.h"

#define GAP 2
#define NARROWEST 8

/* One character off the front, cleaned. *octets: how many of `out` it takes. */
static void next_character(struct slice *in, char out[4], size_t *octets)
{
    uint32_t code_point;
    size_t len = utf8_decode(*in, &code_point);
    if (len > 0 && utf8_is_printable(code_point)) {
        memcpy(out, in->data, len);
        *octets = len;
    } else {
        out[0] = '?';
        *octets = 1;
    }
    *in = slice_sub(*in, len ? len : 1, in->len);
}

static size_t width_of(struct slice text)
{
    size_t width = 0;
    char character[4];
    size_t octets;
    while (text.len > 0) {
        next_character(&text, character, &octets);
        width++;
    }
    return width;
}

/* Writes at most `room` characters; returns how many. */
static size_t write_clean(FILE *out, struct slice text, size_t room)
{
    size_t width = 0;
    while (text.len > 0 && width < room) {
        char character[4];
        size_t octets;
        next_character(&text, character, &octets);
        fwrite(character, 1, octets, out);
        width++;
    }
    return width;
}

/* Takes what fits into `room` columns off the front: up to a newline, else up to the last space
 * that fits, else as much as fits. */
static struct slice take_line(struct slice *in, size_t room)
{
    struct slice rest = *in;
    size_t width = 0;
    size_t space = 0; /* where the last space stands, when there is one behind the first octet */
    while (rest.len > 0 && rest.data[0] != '\n' && width < room) {
        char character[4];
        size_t octets;
        size_t at = in->len - rest.len;
        if (rest.data[0] == ' ' && at > 0)
            space = at;
        next_character(&rest, character, &octets);
        width++;
    }
    size_t end = in->len - rest.len;
    bool is_cut = rest.len > 0 && rest.data[0] != '\n' && rest.data[0] != ' ';
    if (is_cut && space > 0)
        end = space;
    struct slice line = slice_sub(*in, 0, end);
    *in = slice_sub(*in, end, in->len);
    if (in->len > 0 && (in->data[0] == ' ' || in->data[0] == '\n'))
        *in = slice_sub(*in, 1, in->len);
    return line;
}

void table_wrap(FILE *out, unsigned first, unsigned indent, const char *text)
{
    struct slice rest = slice_of(text);
    unsigned margin = first;
    do {
        struct slice line = take_line(&rest, TABLE_WIDTH - margin);
        fprintf(out, "%*s", (int)margin, "");
        write_clean(out, line, TABLE_WIDTH);
        fputc('\n', out);
        margin = indent;
    } while (rest.len > 0);
}

/* ---- tables ---- */

void table_init(struct table *t, const char *const *headings, unsigned columns)
{
    *t = (struct table){.columns = columns, .headings = headings};
}

void table_add(struct table *t, const char *const *cells)
{
    if (t->count + t->columns > t->room) {
        t->room = (t->room + t->columns) * 2;
        t->cells = xrealloc(t->cells, t->room * sizeof *t->cells);
    }
    for (unsigned i = 0; i < t->columns; i++)
        t->cells[t->count++] = xstrdup(cells[i] ? cells[i] : "");
}

void table_free(struct table *t)
{
    for (size_t i = 0; i < t->count; i++)
        free(t->cells[i]);
    free(t->cells);
    t->cells = NULL;
    t->count = t->room = 0;
}

/* The widest column gives way until all fit. */
static void fit(size_t *widths, unsigned columns)
{
    for (;;) {
        size_t total = (size_t)GAP * (columns - 1);
        unsigned widest = 0;
        for (unsigned i = 0; i < columns; i++) {
            total += widths[i];
            if (widths[i] > widths[widest])
                widest = i;
        }
        if (total <= TABLE_WIDTH || widths[widest] <= NARROWEST)
            return;
        widths[widest]--;
    }
}

static void print_row(const char *const *cells, const size_t *widths, unsigned columns, FILE *out)
{
    struct slice *rest = xalloc(columns * sizeof *rest);
    bool is_left = true;
    for (unsigned i = 0; i < columns; i++)
        rest[i] = slice_of(cells[i]);
    while (is_left) {
        size_t owed = 0; /* blanks, written once something follows them */
        is_left = false;
        for (unsigned i = 0; i < columns; i++) {
            struct slice line = take_line(&rest[i], widths[i]);
            if (line.len > 0)
                fprintf(out, "%*s", (int)owed, "");
            size_t width = line.len > 0 ? write_clean(out, line, widths[i]) : 0;
            owed = (line.len > 0 ? 0 : owed) + widths[i] - width + GAP;
            is_left = is_left || rest[i].len > 0;
        }
        fputc('\n', out);
    }
    free(rest);
}

void table_print(const struct table *t, FILE *out)
{
    size_t *widths = xalloc(t->columns * sizeof *widths);
    for (unsigned i = 0; i < t->columns; i++)
        widths[i] = width_of(slice_of(t->headings[i]));
    for (size_t i = 0; i < t->count; i++) {
        size_t width = width_of(slice_of(t->cells[i]));
        /* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): what has cells has columns */
        size_t *widest = &widths[i % t->columns];
        if (width > *widest)
            *widest = width;
    }
    fit(widths, t->columns);
    print_row(t->headings, widths, t->columns, out);
    for (size_t i = 0; i < t->count; i += t->columns)
        print_row((const char *const *)&t->cells[i], widths, t->columns, out);
    free(widths);
}
