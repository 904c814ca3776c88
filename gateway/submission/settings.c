#include "gateway/submission/settings.h"

#include <stdatomic.h>
#include <stdlib.h>

#define MINUTE_MS ((int64_t)60 * 1000)

/* The count sits in front of the public part, so that readers of settings.h see plain values only.
 */
struct counted {
    atomic_uint references;
    struct submission_settings settings;
};

static struct counted *counted_of(struct submission_settings *s)
{
    return (struct counted *)(void *)((char *)s - offsetof(struct counted, settings));
}

struct submission_settings *submission_settings_new(void)
{
    struct counted *c = xalloc(sizeof *c);
    atomic_init(&c->references, 1);
    c->settings.assistance = xstrdup("");
    c->settings.max_received = 50;
    c->settings.command_timeout_ms = 5 * MINUTE_MS; /* RFC 5321 section 4.5.3.2.7 */
    c->settings.data_timeout_ms = 5 * MINUTE_MS;
    return &c->settings;
}

struct submission_settings *submission_settings_ref(struct submission_settings *s)
{
    atomic_fetch_add_explicit(&counted_of(s)->references, 1, memory_order_relaxed);
    return s;
}

void submission_settings_unref(struct submission_settings *s)
{
    if (!s)
        return;
    struct counted *c = counted_of(s);
    if (atomic_fetch_sub_explicit(&c->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < s->listener_count; i++) {
        free(s->listeners[i].trusted);
        free(s->listeners[i].addresses);
    }
    free(s->listeners);
    free(s->assistance);
    if (s->tls)
        tls_context_unref(s->tls);
    free(c);
}
