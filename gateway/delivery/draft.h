/* draft.h - one message's order for notices, turned into notices: who is told what, in which
 * language, and how much of the message comes back (GUARANTEE.md section 4).
 *
 * Reads the queue and changes nothing there. Everything that is still to be reported of a message
 * makes one notice for each addressee and kind where it can. A notice is bounded: evidence is cut
 * before the recipients are spread over several notices, and each notice is bounded on its own, so
 * that there is none that could never be made. Loop thread only. */
#ifndef GATEWAY_DELIVERY_DRAFT_H
#define GATEWAY_DELIVERY_DRAFT_H

#include "gateway/delivery/settings.h"
#include "queue/notice.h"

struct draft {
    struct queue_notice *notices; /* owned; id, envelope and content are ready to be committed */
    size_t notice_count;
    struct queue_reported *reported; /* owned; what these notices report, and what nobody can be
                                        told of */
    size_t reported_count;
    struct draft_summary {
        const char *to; /* borrowed from the draft */
        enum queue_report report;
        size_t recipients;
    } * summaries;               /* owned; one for each notice, for the log */
    struct draft_source *source; /* owned; what the texts borrow from */
};

/* 0, or negative errno: the message or its recipients could not be read (-ENOENT: the message is
 * gone), or the store hands out no ID. At most DRAFT_NOTICES_MAX notices are made; recipients for
 * whom there was no more room stay unreported: their order is kept and due as before. */
#define DRAFT_NOTICES_MAX 8
NODISCARD int draft_make(struct queue *q, const struct delivery_settings *s,
                         const struct event_sink *events, uint64_t id, struct draft *out);
void draft_free(struct draft *d); /* the content; after failure of draft_make() nothing is there */

#endif
