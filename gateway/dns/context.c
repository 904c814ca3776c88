#include "gateway/dns/context.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mail/slice.h"

struct setting {
    const char *option;
    const char *value;
};

/* Read before the operator's own file, which may say otherwise. */
static const struct setting defaults[] = {
    /* The library is made for one program's few questions (16 ports, 1 MB); we ask for many
     * destinations at a time. */
    {"outgoing-range:", "512"},
    {"num-queries-per-thread:", "1024"},
    {"outgoing-num-tcp:", "64"},
    {"msg-cache-size:", "16m"},
    {"rrset-cache-size:", "32m"},
    {"key-cache-size:", "8m"},
    {"neg-cache-size:", "2m"},
    /* TLSA answers larger than this come over TCP: fragments get lost and can be forged. */
    {"edns-buffer-size:", "1232"},
    /* Some servers cannot answer it, and DNSSEC does the same job for the names that matter. */
    {"use-caps-for-id:", "no"},
    /* Without it a network outage of ours leaves all servers marked as dead for 15 minutes. */
    {"infra-keep-probing:", "yes"},
};

/* Read after it: without these our answers would not mean what the guarantee takes them for. */
static const struct setting fixed[] = {
    {"module-config:", "validator iterator"},
    {"val-permissive-mode:", "no"},
    {"serve-expired:", "no"},
    /* Denials made from cached NSEC records would answer the control question (control.h) without
     * asking anybody. */
    {"aggressive-nsec:", "no"},
};

static bool apply(struct ub_ctx *ctx, const struct setting *settings, size_t count, char *error,
                  size_t error_size)
{
    for (size_t i = 0; i < count; i++) {
        int result = ub_ctx_set_option(ctx, settings[i].option, settings[i].value);
        if (result != 0) {
            snprintf(error, error_size, "libunbound %s does not know \"%s %s\": %s", ub_version(),
                     settings[i].option, settings[i].value, ub_strerror(result));
            return false;
        }
    }
    return true;
}

/* An anchor file without a key is none of libunbound's errors: every answer would be insecure, and
 * DANE would be off without a word. */
static bool has_key(const char *path, char *error, size_t error_size)
{
    FILE *file = path && path[0] ? fopen(path, "re") : NULL;
    if (!file) {
        snprintf(error, error_size, "trust anchor \"%s\": %s", path ? path : "",
                 path && path[0] ? strerror(errno) : "no file is named");
        return false;
    }
    bool is_found = false;
    char *line = NULL;
    size_t size = 0;
    while (!is_found && getline(&line, &size, file) >= 0) {
        line[strcspn(line, ";")] = '\0';
        is_found = strstr(line, " DS") || strstr(line, "\tDS") || strstr(line, "DNSKEY");
    }
    free(line);
    fclose(file);
    if (!is_found)
        snprintf(error, error_size, "trust anchor \"%s\": no DS or DNSKEY record in it", path);
    return is_found;
}

static bool add_resolver(struct ub_ctx *ctx, const char *resolver, char *error, size_t error_size)
{
    struct slice rest = slice_of(resolver);
    struct slice address_text = rest;
    struct net_address address;
    uint64_t port = 53;
    bool has_port = slice_find(rest, '@') >= 0;
    if (has_port && !slice_cut(&rest, '@', &address_text))
        address_text = (struct slice){0};
    bool is_good = net_address_parse(address_text, &address) &&
                   (!has_port || (slice_number(rest, 65535, &port) && port > 0));
    char text[NET_ADDRESS_SIZE];
    char forward[NET_ADDRESS_SIZE + 8];
    if (is_good) {
        /* Rewritten, because libunbound knows no brackets and takes any number for a port. */
        snprintf(forward, sizeof forward, "%s@%u", net_address_text(&address, text),
                 (unsigned)port);
        is_good = ub_ctx_set_fwd(ctx, forward) == 0;
    }
    if (is_good && net_address_is_loopback(&address))
        is_good = ub_ctx_set_option(ctx, "do-not-query-localhost:", "no") == 0;
    if (!is_good)
        snprintf(error, error_size, "resolver \"%s\": not an \"ADDRESS@PORT\"", resolver);
    return is_good;
}

/* The words of the first line that libunbound logged: behind "[time] libunbound[pid:0] error: ". */
static void copy_log(const char *log, char *out, size_t size)
{
    const char *words = strstr(log, "error: ");
    words = words ? words + strlen("error: ") : log;
    snprintf(out, size, "%.*s", (int)strcspn(words, "\n"), words);
}

/* Any call that looks into the finished context makes the library read its files. */
static bool finish(struct ub_ctx *ctx, const char *trust_anchor, char *error, size_t error_size)
{
    char *log = NULL;
    size_t log_len = 0;
    FILE *stream = open_memstream(&log, &log_len);
    if (!stream) {
        snprintf(error, error_size, "%s", strerror(errno));
        return false;
    }
    ub_ctx_debugout(ctx, stream);
    int result = ub_ctx_zone_remove(ctx, "sealpost.invalid.");
    /* Silent from now on: what an answer lacks is in the answer. */
    ub_ctx_debugout(ctx, NULL);
    fclose(stream);
    if (result != 0) {
        char words[200];
        copy_log(log ? log : "", words, sizeof words);
        snprintf(error, error_size, "trust anchor \"%s\" or unbound_config: %s", trust_anchor,
                 words[0] ? words : ub_strerror(result));
    }
    free(log);
    return result == 0;
}

static bool configure(struct ub_ctx *ctx, const struct dns_options *o, char *error,
                      size_t error_size)
{
    if (!apply(ctx, defaults, COUNT_OF(defaults), error, error_size))
        return false;
    if (o->unbound_config && o->unbound_config[0]) {
        int result = ub_ctx_config(ctx, o->unbound_config);
        if (result != 0) {
            snprintf(error, error_size, "unbound_config \"%s\": %s", o->unbound_config,
                     ub_strerror(result));
            return false;
        }
    }
    if (!apply(ctx, fixed, COUNT_OF(fixed), error, error_size))
        return false;
    for (size_t i = 0; i < o->resolver_count; i++) {
        if (!add_resolver(ctx, o->resolvers[i], error, error_size))
            return false;
    }
    if (!has_key(o->trust_anchor, error, error_size))
        return false;
    int result = ub_ctx_add_ta_file(ctx, o->trust_anchor);
    if (result == 0)
        /* A thread: a forked child would inherit the store and the keys. */
        result = ub_ctx_async(ctx, 1);
    if (result != 0) {
        snprintf(error, error_size, "libunbound: %s", ub_strerror(result));
        return false;
    }
    return finish(ctx, o->trust_anchor, error, error_size);
}

struct ub_ctx *dns_context_new(const struct dns_options *o, char *error, size_t error_size)
{
    struct ub_ctx *ctx = ub_ctx_create();
    if (!ctx) {
        snprintf(error, error_size, "libunbound: no context: %s", strerror(errno));
        return NULL;
    }
    if (!configure(ctx, o, error, error_size)) {
        ub_ctx_delete(ctx);
        return NULL;
    }
    return ctx;
}
