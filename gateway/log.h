/* log.h - events as lines on stderr: "time=... level=info event=disposition id=... to=...". Any
 * thread; one write a line. */
#ifndef GATEWAY_LOG_H
#define GATEWAY_LOG_H

#include "mail/event.h"

/* The sink that all rooms are handed. Its threshold may be changed at any time. Under systemd
 * (JOURNAL_STREAM) the time is left out: the journal has it. */
const struct event_sink *log_sink(void);
void log_set_threshold(enum event_severity severity);

/* Why the daemon cannot start (event=start). False, for the caller to return. */
bool log_complain(const char *format, ...) PRINTF_LIKE(1, 2);

/* Formats one line with its newline into out; what does not fit is cut. Returns its length. For
 * tests. */
size_t log_line(char *out, size_t size, bool with_time, int64_t now_ms,
                enum event_severity severity, const char *event, const struct event_field *fields,
                size_t count);

#endif
