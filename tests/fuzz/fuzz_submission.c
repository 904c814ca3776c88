/* fuzz_submission.c - the SMTP server session against any client and any outside.
 *
 * First octet: listener, how far the session is when the input begins, and what is answered at
 * RCPT. Then what the client says, in batches; 0xFF and an octet behind it is an event instead: the
 * outside changes its ways, or something happens. */
#include <errno.h>
#include <string.h>

#include "tests/support/fake_session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void happen(struct fake_session *f, uint8_t event)
{
    switch (event % 13) {
    case 0:
        session_deadline(f->session);
        break;
    case 1:
        session_gone(f->session, event & 16 ? "Connection reset by peer" : "");
        break;
    case 2:
        session_stop(f->session);
        break;
    case 3:
        session_stop_now(f->session);
        break;
    case 4:
        f->is_one_by_one = !f->is_one_by_one;
        break;
    case 5:
        f->is_behind = !f->is_behind;
        break;
    case 6:
        f->append_error = f->append_error ? 0 : -ENOSPC;
        break;
    case 7:
        f->commit_error = f->commit_error ? 0 : event & 16 ? -ENOSPC : -EIO;
        break;
    case 8:
        f->drain_error = f->drain_error ? 0 : -EIO;
        break;
    case 9:
        f->is_store_broken = !f->is_store_broken;
        break;
    case 10:
        f->is_store_full = !f->is_store_full;
        break;
    case 11:
        f->is_alice_gone = !f->is_alice_gone;
        break;
    case 12:
        f->accounts_error = f->accounts_error ? 0 : -EIO;
        f->accounts_answers = event & 16 ? 2 : 0;
        f->has_forward = event & 32 ? -EIO : f->has_forward;
        break;
    }
    fake_session_run(f);
}

/* What must hold whatever was said. */
static void check(struct fake_session *f, bool may_send)
{
    if (f->commits > 0 && !may_send)
        panic("a message was queued that nobody was allowed to send");
    if (f->content.len > 0 && strncmp(f->content.data, "Received: from localhost", 24) != 0)
        panic("a message without our Received field");
    const char *log = buffer_text(&f->log);
    if (log && strstr(log, "hunter2"))
        panic("a password in the log");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 100000)
        return 0;
    struct fake_session f;
    fake_session_init(&f);
    f.settings->auth_failures_per_address = 3;
    f.has_forward = (data[0] & 4) != 0;
    f.has_binding = data[0] & 8;
    if (data[0] & 32) {
        f.settings->at_rcpt = SUBMISSION_AT_RCPT_PROBE;
        f.settings->default_level = LEVEL_ENCRYPT;
        f.rcpt_words = data[0] & 64 ? "host said: \xff\r\n250 Ok" : NULL;
        f.waits_for_answer = data[0] & 128;
    }
    int listener = data[0] % 4 < FAKE_LISTENERS ? data[0] % 4 : FAKE_RELAY;
    bool is_logged_in = listener == FAKE_SUBMISSIONS && data[0] & 16;
    fake_session_start(&f, listener);
    if (is_logged_in)
        fake_session_say(&f, SLICE("EHLO x\r\nAUTH PLAIN AGJvYkBleGFtcGxlLm9yZwBodW50ZXIy\r\n"));
    for (size_t at = 1; at < size;) {
        const uint8_t *mark = memchr(data + at, 0xFF, size - at);
        size_t end = mark ? (size_t)(mark - data) : size;
        fake_session_say(&f, (struct slice){(const char *)data + at, end - at});
        if (mark && end + 1 < size)
            happen(&f, data[end + 1]);
        at = end + 2;
    }
    check(&f, listener == FAKE_RELAY ||
                  strstr(buffer_text(&f.log) ? buffer_text(&f.log) : "", "auth session=") != NULL);
    fake_session_free(&f);
    return 0;
}
