/* errand.h - one report on its way: the TXT record, the document, the mail, the posts, and the end
 * of what was counted. Not for other rooms; home loop only.
 *
 *     waiting -> asking -> writing -> mailing -> resolving -> posting -> removing -> gone
 *        ^         |          |          |        '---<-------'  |
 *        '---------'----------'----------'-----------------------'   tried again later
 */
#ifndef GATEWAY_TLSRPT_ERRAND_H
#define GATEWAY_TLSRPT_ERRAND_H

#include "gateway/tlsrpt/tlsrpt.h"

struct errand; /* opaque */

/* What errands share; the owner's. */
struct errand_desk {
    struct loop *loop;
    struct queue *queue;
    struct dns *dns;
    struct tlsrpt_settings settings;
    const struct event_sink *events;
    bool is_halted; /* nothing new is begun: the end, or switched off */
    /* The errand rests: it is to be run again at errand_due_at(), or is to be freed where is_gone;
     * that never comes from inside errand_run(). */
    void (*rested)(void *context, struct errand *e, bool is_gone);
    void *context;
};

#define ERRAND_KEPT_SECONDS ((int64_t)48 * 3600) /* after the end of the day */

struct errand *errand_new(struct errand_desk *desk, const char *domain, uint32_t day);
bool errand_is_about(const struct errand *e, const char *domain, uint32_t day);
int64_t errand_due_at(const struct errand *e); /* wall clock seconds */
bool errand_is_running(const struct errand *e);
void errand_run(struct errand *e); /* while it rests */
/* Drops what is on the wire: an errand that waited for it rests. `rested` is not called. False:
 * it waits for a commit or for the document, and will rest by itself. */
bool errand_interrupt(struct errand *e);
void errand_free(struct errand *e); /* at rest */

#endif
