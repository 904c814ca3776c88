#include "gateway/checks.h"

#include <stdlib.h>

#define DEADLINE_MS 60000

struct check {
    struct checks *checks; /* borrowed */
    struct probe *probe;   /* owned until it is done */
    control_viewed *viewed;
    void *asker;
    LIST_ENTRY(check) entry;
};

static void end(struct check *check)
{
    check->checks->count--;
    LIST_REMOVE(check, entry);
    free(check);
}

static struct control_sight sight_of(const struct probe_host *h)
{
    return (struct control_sight){
        .facts = &h->facts,
        .why = h->is_acceptable ? NULL : &h->why,
        .is_tlsa_insecure = h->is_tlsa_insecure,
        .verified = h->verified,
        .key_exchange = h->key_exchange,
        .key_digest = h->key_digest,
    };
}

static void probed(void *context, const struct probe_result *result)
{
    struct check *check = context;
    struct control_sight *sights = xalloc((result->count + 1) * sizeof *sights);
    for (size_t i = 0; i < result->count; i++)
        sights[i] = sight_of(&result->hosts[i]);
    struct control_view view = {
        .verdict = probe_verdict_name(result->verdict),
        .level = result->level,
        .outcome = result->verdict == PROBE_DELIVERABLE ? NULL : &result->outcome,
        .required = result->required,
        .sights = sights,
        .count = result->count,
    };
    check->viewed(check->asker, &view);
    free(sights);
    end(check);
}

struct check *checks_begin(struct checks *c, const struct probe_options *look,
                           control_viewed *viewed, void *asker)
{
    if (c->count == CHECKS_MAX)
        return NULL;
    struct check *check = xalloc(sizeof *check);
    *check = (struct check){.checks = c, .viewed = viewed, .asker = asker};
    struct probe_options o = *look;
    o.deadline_ms = DEADLINE_MS;
    o.done = probed;
    o.context = check;
    check->probe = probe_new(&o);
    if (!check->probe) {
        free(check);
        return NULL;
    }
    c->count++;
    LIST_INSERT_HEAD(&c->under_way, check, entry);
    return check;
}

void checks_cancel(struct check *check)
{
    probe_cancel(check->probe);
    end(check);
}

void checks_end(struct checks *c)
{
    while (!LIST_EMPTY(&c->under_way)) {
        struct check *check = LIST_FIRST(&c->under_way);
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it is off the list before it is freed */
        probe_cancel(check->probe);
        check->viewed(check->asker, NULL);
        end(check);
    }
}
