/* Lines for people: at most 78 columns (RFC 5322 section 2.1.1), one character a column. */
#include "bounce/parts.h"

#define COLUMNS 78

/* How much of the line fits behind `margin` columns: all, or up to a space behind its first `fixed`
 * octets; where there is none the first piece however long. */
static size_t fitting(struct slice line, size_t fixed, size_t margin)
{
    size_t space = 0, column = margin;
    for (size_t i = 0; i < line.len; i++) {
        bool is_space = line.data[i] == ' ' && i > fixed;
        if (is_space && column > COLUMNS)
            return space > 0 ? space : i;
        if (is_space)
            space = i;
        column += ((unsigned char)line.data[i] & 0xc0) != 0x80;
    }
    return column <= COLUMNS || space == 0 ? line.len : space;
}

static void put_line(struct slice line, size_t margin, struct page *out)
{
    page_printf(out, "%*s", (int)margin, "");
    for (size_t i = 0; i < line.len; i++)
        page_put(out, line.data[i] == WRAP_HARD_SPACE ? SLICE(" ") : slice_sub(line, i, 1));
    page_text(out, "\n");
}

static void wrap_line(struct slice line, struct page *out)
{
    size_t indent = 0;
    if (line.len > 0 && line.data[0] == WRAP_WHOLE_LINE) {
        put_line(slice_sub(line, 1, line.len), 0, out);
        return;
    }
    while (indent < line.len && line.data[indent] == ' ')
        indent++;
    bool is_item = slice_equal(slice_sub(line, indent, 2), SLICE("- "));
    size_t fixed = is_item ? indent + 2 : indent, margin = 0;
    /* What goes on stands below the words of an item, and is set off from the next line of a list
     * without marks (evidence), and of what is not indented (reasons). */
    size_t hanging = indent == 0 ? 4 : is_item || indent > 4 ? indent + 2 : indent;
    do {
        size_t len = fitting(line, fixed, margin);
        put_line(slice_sub(line, 0, len), margin, out);
        line = slice_sub(line, len + 1, line.len);
        margin = hanging;
        fixed = 0;
    } while (line.len > 0);
}

void wrap_text(struct slice text, struct page *out)
{
    struct slice line;
    while (slice_cut(&text, '\n', &line))
        wrap_line(line, out);
}
