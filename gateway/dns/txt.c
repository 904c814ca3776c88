#include "gateway/dns/txt.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/dns/message.h"

static size_t size_of_all(const struct dns_answer *answer, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += answer->records[i].len;
    return size;
}

/* A malformed record is left out: it says nothing, and says it to nobody. */
static void read_texts(struct txt_lookup *lookup, const struct dns_answer *answer)
{
    struct dns_txt *txt = &lookup->txt;
    size_t count = answer->count < DNS_TXT_MAX ? answer->count : DNS_TXT_MAX;
    size_t used = 0;
    lookup->bytes = xalloc(size_of_all(answer, count) + 1);
    txt->texts = xalloc((count + 1) * sizeof *txt->texts);
    for (size_t i = 0; i < count; i++) {
        size_t len;
        if (!dns_read_txt(answer->records[i], lookup->bytes + used, &len))
            continue;
        txt->texts[txt->count++] = (struct slice){lookup->bytes + used, len};
        used += len;
    }
    if (answer->count > DNS_TXT_MAX)
        snprintf(txt->detail, sizeof txt->detail, "%zu TXT records, of which the first %d count",
                 answer->count, DNS_TXT_MAX);
}

static void answered(void *context, struct dns_ask *ask, const struct dns_answer *answer)
{
    struct txt_lookup *lookup = context;
    struct dns_txt *txt = &lookup->txt;
    txt->status = answer->status;
    txt->security = answer->security;
    txt->expires_at = answer->expires_at;
    switch (answer->status) {
    case DNS_DATA:
        read_texts(lookup, answer);
        break;
    case DNS_NODATA:
    case DNS_NXDOMAIN:
        break;
    case DNS_FAILED:
    case DNS_BOGUS:
    case DNS_OUR_FAULT:
        dns_explain(ask, answer, txt->detail);
        break;
    }
    lookup->done(lookup->context, lookup);
}

void txt_lookup_start(struct txt_lookup *lookup, const struct dns_asker *asker, const char *name,
                      void (*done)(void *context, struct txt_lookup *lookup), void *context)
{
    *lookup = (struct txt_lookup){.done = done, .context = context};
    lookup->ask.type = DNS_TYPE_TXT;
    lookup->ask.answered = answered;
    lookup->ask.context = lookup;
    char folded[DOMAIN_SIZE];
    /* A name that does not fit is cut, and not found. */
    bool fits = dns_fold_name(slice_of(name), folded);
    snprintf(lookup->ask.name, sizeof lookup->ask.name, "%s", fits ? folded : name);
    asker->ask(asker->context, &lookup->ask);
}

void txt_lookup_clear(struct txt_lookup *lookup)
{
    free(lookup->txt.texts);
    free(lookup->bytes);
    lookup->txt.texts = NULL;
    lookup->txt.count = 0;
    lookup->bytes = NULL;
}
