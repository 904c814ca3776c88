#include "mail/envelope.h"

#include <stdlib.h>

const char *level_name(enum level l)
{
    switch (l) {
    case LEVEL_OFF:
        return "off";
    case LEVEL_ENCRYPT:
        return "encrypt";
    case LEVEL_VERIFIED:
        return "verified";
    }
    panic("level_name: %d", (int)l);
}

bool level_parse(struct slice in, enum level *out)
{
    for (enum level l = LEVEL_OFF; l <= LEVEL_VERIFIED; l++) {
        if (slice_equal(in, slice_of(level_name(l)))) {
            *out = l;
            return true;
        }
    }
    return false;
}

const char *exemption_name(enum exemption e)
{
    switch (e) {
    case EXEMPTION_NONE:
        return "";
    case EXEMPTION_AUTO_REPLY:
        return "auto-reply";
    case EXEMPTION_FORWARD:
        return "forward";
    case EXEMPTION_TLS_REQUIRED_NO:
        return "tls-required-no";
    case EXEMPTION_RELEASE:
        return "release";
    case EXEMPTION_RELEASE_FORCE:
        return "release-force";
    case EXEMPTION_EXCEPTION:
        return "exception";
    case EXEMPTION_DRY_RUN:
        return "dry-run";
    }
    panic("exemption_name: %d", (int)e);
}

void envelope_init(struct envelope *e)
{
    *e = (struct envelope){.reverse_path = xstrdup(""), .user = xstrdup(""), .envid = xstrdup("")};
}

void envelope_free(struct envelope *e)
{
    for (size_t i = 0; i < e->count; i++) {
        free(e->recipients[i].address);
        free(e->recipients[i].orcpt);
        free(e->recipients[i].owner);
    }
    free(e->recipients);
    free(e->reverse_path);
    free(e->user);
    free(e->envid);
    *e = (struct envelope){0};
}

struct envelope_recipient *envelope_add(struct envelope *e, const char *address)
{
    /* Grown at powers of two: the count alone says how much memory there is. */
    if ((e->count & (e->count - 1)) == 0) {
        size_t room = e->count ? e->count * 2 : 1;
        e->recipients = xrealloc(e->recipients, room * sizeof *e->recipients);
    }
    struct envelope_recipient *added = &e->recipients[e->count++];
    *added = (struct envelope_recipient){
        .address = xstrdup(address), .orcpt = xstrdup(""), .owner = xstrdup("")};
    return added;
}

void envelope_set(char **member, const char *text)
{
    /* The copy comes first: the text may lie in the member itself. */
    char *copy = xstrdup(text);
    free(*member);
    *member = copy;
}
