#include "gateway/tlsrpt/sign.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <dkim.h>

#include "gateway/tls/key.h"
#include "mail/domain.h"

#define LEAD DKIM_SIGNHEADER ": "

enum {
    FILE_MAX = 32768,
    RSA_BITS_MIN = 1024, /* nobody verifies with less (RFC 8301 section 3.2) */
};

struct sign_key {
    DKIM_LIB *library;  /* owned */
    struct buffer text; /* of the file; secret */
    char *pem;          /* in it */
    char domain[DOMAIN_SIZE];
    char selector[DOMAIN_SIZE];
};

/* ---- the library's memory: it copies the key, and does not wipe it ---- */

static void *library_malloc(void *closure, size_t size)
{
    (void)closure;
    return malloc(size);
}

static void library_free(void *closure, void *p)
{
    (void)closure;
    if (p)
        explicit_bzero(p, malloc_usable_size(p));
    free(p);
}

/* ---- the file ---- */

/* Into one piece of memory: growing would leave parts of the key behind, and so would stdio. */
static int read_key(const char *file, struct buffer *out)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    char *at = buffer_reserve(out, FILE_MAX);
    ssize_t got = fd >= 0 && at ? 1 : -1;
    while (got > 0 && buffer_room(out) > 0) {
        got = read(fd, out->data + out->len, buffer_room(out));
        if (got > 0)
            buffer_commit(out, (size_t)got);
    }
    int error = got < 0 ? errno : got > 0 ? EFBIG : 0;
    if (fd >= 0)
        close(fd);
    return error;
}

/* NULL: fit. The library asks the terminal for a passphrase, and leaks what it does not like; so it
 * gets only keys that are known to be good. It could sign with Ed25519, too, but leaks each of
 * these keys, and there are receivers who cannot verify it. */
static const char *unfit(struct slice pem, char *words, size_t size)
{
    unsigned bits;
    switch (tls_key_look(pem, &bits, words, size)) {
    case TLS_KEY_NONE:
        return words;
    case TLS_KEY_RSA:
        return bits < RSA_BITS_MIN ? "an RSA key needs 1024 bits at least, and better 2048" : NULL;
    case TLS_KEY_OTHER:
        break;
    }
    return "not an RSA key";
}

/* ---- signing ---- */

static bool complain(DKIM *d, DKIM_STAT status, char *error, size_t error_size)
{
    const char *words = d ? dkim_geterror(d) : NULL;
    snprintf(error, error_size, "%s", words && words[0] ? words : dkim_getresultstr(status));
    return false;
}

static DKIM_STAT feed(DKIM *d, struct slice message)
{
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): the way around -Wcast-qual; it only reads */
    DKIM_STAT status = dkim_chunk(d, (u_char *)(uintptr_t)message.data, message.len);
    if (status == DKIM_STAT_OK)
        status = dkim_chunk(d, NULL, 0);
    return status == DKIM_STAT_OK ? dkim_eom(d, NULL) : status;
}

static bool take_signature(DKIM *d, struct buffer *out, char *error, size_t error_size)
{
    u_char *value;
    size_t len;
    DKIM_STAT status = dkim_getsighdr_d(d, sizeof LEAD - 1, &value, &len);
    if (status != DKIM_STAT_OK)
        return complain(d, status, error, error_size);
    if (buffer_append_text(out, LEAD) &&
        buffer_append(out, (struct slice){(const char *)value, len}) &&
        buffer_append_text(out, "\r\n"))
        return true;
    snprintf(error, error_size, "out of memory");
    return false;
}

bool sign_write(const struct sign_key *k, struct slice message, int64_t now, struct buffer *out,
                char *error, size_t error_size)
{
    uint64_t time_s = (uint64_t)now;
    DKIM_STAT status =
        dkim_options(k->library, DKIM_OP_SETOPT, DKIM_OPTS_FIXEDTIME, &time_s, sizeof time_s);
    if (status != DKIM_STAT_OK)
        return complain(NULL, status, error, error_size);
    DKIM *d = dkim_sign(k->library, (const u_char *)"report", NULL, (dkim_sigkey_t)k->pem,
                        (const u_char *)k->selector, (const u_char *)k->domain, DKIM_CANON_RELAXED,
                        DKIM_CANON_RELAXED, DKIM_SIGN_RSASHA256, -1, &status);
    if (!d)
        return complain(NULL, status, error, error_size);
    status = feed(d, message);
    bool is_signed = status == DKIM_STAT_OK ? take_signature(d, out, error, error_size)
                                            : complain(d, status, error, error_size);
    dkim_free(d);
    return is_signed;
}

/* ---- keys ---- */

/* Whether the library can use a key is seen when it signs. */
static bool try_key(const struct sign_key *k, char *error, size_t error_size)
{
    struct buffer out;
    buffer_init(&out, 1 << 16);
    bool works =
        sign_write(k, SLICE("From: <postmaster@localhost>\r\n\r\n"), 1, &out, error, error_size);
    buffer_free(&out);
    return works;
}

/* In the text of the file; what does not begin with dashes the library takes for no PEM. */
static char *find_pem(struct buffer *text)
{
    return buffer_text(text) ? strstr(text->data, "-----BEGIN ") : NULL;
}

static bool open_key(struct sign_key *k, const char *file, char *error, size_t error_size)
{
    char words[200] = "no private key in PEM form";
    int code = read_key(file, &k->text);
    if (code != 0) {
        snprintf(error, error_size, "cannot read %s: %s", file, strerrordesc_np(code));
        return false;
    }
    k->pem = find_pem(&k->text);
    const char *why = k->pem ? unfit(slice_of(k->pem), words, sizeof words) : words;
    if (!why && !try_key(k, words, sizeof words))
        why = words;
    if (why)
        snprintf(error, error_size, "%s: %s", file, why);
    return !why;
}

struct sign_key *sign_key_new(const char *domain, const char *selector, const char *file,
                              char *error, size_t error_size)
{
    struct sign_key *k = xalloc(sizeof *k);
    snprintf(k->domain, sizeof k->domain, "%s", domain);
    snprintf(k->selector, sizeof k->selector, "%s", selector);
    buffer_init(&k->text, FILE_MAX);
    k->library = dkim_init(library_malloc, library_free);
    if (!k->library)
        panic("out of memory");
    if (open_key(k, file, error, error_size))
        return k;
    sign_key_free(k);
    return NULL;
}

void sign_key_free(struct sign_key *k)
{
    if (!k)
        return;
    dkim_close(k->library);
    buffer_wipe_free(&k->text);
    free(k);
}

static bool is_below(const char *domain, const char *parent)
{
    char pattern[DOMAIN_SIZE + 1];
    snprintf(pattern, sizeof pattern, ".%s", parent);
    return strchr(parent, '.') && domain_matches(pattern, domain);
}

bool sign_is_aligned(const char *domain, const char *address)
{
    const char *at = strrchr(address, '@');
    if (!at)
        return false;
    return strcmp(at + 1, domain) == 0 || is_below(at + 1, domain) || is_below(domain, at + 1);
}
