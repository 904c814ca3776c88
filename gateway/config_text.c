#include "gateway/config_text.h"

#include <errno.h>
#include <stdio.h>

#include "mail/buffer.h"

int config_text_open_line(const char *text, const char **what)
{
    int line = 1;
    int begun = 0;
    char inside = 0; /* '"', '\'', '#' for the rest of a line, '*' for a C comment */
    for (const char *p = text; *p; p++) {
        bool ends = (inside == '#' && *p == '\n') ||
                    (inside == '*' && p[0] == '*' && p[1] == '/') ||
                    ((inside == '"' || inside == '\'') && *p == inside);
        if ((inside == '"' || inside == '\'') && p[0] == '\\' && p[1]) {
            p++;
        } else if (ends) {
            p += inside == '*';
            inside = 0;
        } else if (!inside && (*p == '"' || *p == '\'' || *p == '#' ||
                               (*p == '/' && (p[1] == '/' || p[1] == '*')))) {
            inside = *p != '/' ? *p : p[1] == '*' ? '*' : '#';
            begun = line;
            p += *p == '/';
        }
        line += *p == '\n';
    }
    *what = inside == '*' ? "comment" : "text";
    return inside && inside != '#' ? begun : 0;
}

char *config_text_read(const char *path)
{
    FILE *file = fopen(path, "r");
    struct buffer text;
    if (!file)
        return NULL;
    buffer_init(&text, (size_t)16 << 20);
    bool is_read = true;
    for (size_t got = 1; got > 0 && is_read;) {
        char piece[4096];
        got = fread(piece, 1, sizeof piece, file);
        is_read = buffer_append(&text, (struct slice){piece, got});
    }
    int error = is_read ? 0 : EFBIG;
    if (ferror(file))
        error = errno ? errno : EIO;
    fclose(file);
    char *copy = error == 0 ? xprintf("%.*s", SLICE_ARG(buffer_slice(&text))) : NULL;
    buffer_free(&text);
    errno = error;
    return copy;
}
