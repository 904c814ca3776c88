#include "tests/crash/journal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mail/id.h"
#include "queue/record.h"
#include "queue/store.h"
#include "tests/support/queue_desk.h"

static struct mail *find(struct model *m, uint64_t id)
{
    for (size_t i = m->count; i-- > 0;) {
        if (m->mails[i].id == id)
            return &m->mails[i];
    }
    return NULL;
}

void model_note(struct model *m, const struct entry *e)
{
    struct mail *mail;
    switch (e->kind) {
    case ENTRY_ID:
        if (e->id <= m->highest_id)
            panic("ID %llx was used before", (unsigned long long)e->id);
        m->highest_id = e->id;
        break;
    case ENTRY_MAIL:
        if (m->count == MAILS_MAX)
            panic("too many messages");
        mail = &m->mails[m->count++];
        *mail = (struct mail){.id = e->id, .size = e->size, .count = e->count};
        for (uint32_t i = 0; i < e->count; i++)
            mail->recipients[i] = (struct mail_recipient){PLACE_ABSENT, PLACE_QUEUED, e->operation};
        break;
    case ENTRY_INTENT:
        mail = find(m, e->id);
        if (!mail || mail->recipients[e->index].operation != 0)
            panic("bad intent");
        mail->recipients[e->index].next = e->next;
        mail->recipients[e->index].operation = e->operation;
        break;
    case ENTRY_DONE:
        for (size_t i = 0; i < m->count; i++) {
            for (uint32_t j = 0; j < m->mails[i].count; j++) {
                struct mail_recipient *r = &m->mails[i].recipients[j];
                if (r->operation == e->operation) {
                    r->now = r->next;
                    r->operation = 0;
                }
            }
        }
        break;
    }
}

/* The tables must agree with each other: every entry of one has its partner in the other. */

static size_t entries(struct txn *view, enum table table)
{
    struct cursor c;
    size_t count = 0;
    if (cursor_open(view, table, &c) != 0)
        panic("cursor");
    for (int rc = cursor_seek(&c, (struct slice){0}); rc == 0; rc = cursor_next(&c))
        count++;
    cursor_close(&c);
    return count;
}

static bool has(struct txn *view, enum table table, struct key key)
{
    struct slice value;
    return store_get(view, table, key_slice(&key), &value) == 0;
}

static void check_bodies(struct txn *view)
{
    struct cursor c;
    uint64_t id = 0;
    if (cursor_open(view, TABLE_BODY, &c) != 0)
        panic("cursor");
    for (int rc = cursor_seek(&c, (struct slice){0}); rc == 0; rc = cursor_next(&c)) {
        if (!key_get_id(c.key, &id))
            panic("a body key is damaged");
        /* Before the sweep the pieces of an unfinished message may be there, but marked. */
        if (has(view, TABLE_MESSAGE, key_id(id)) == has(view, TABLE_PARTIAL, key_id(id)))
            panic("a piece of %llx belongs to nothing", (unsigned long long)id);
    }
    cursor_close(&c);
}

static void check_recipients(struct txn *view)
{
    struct cursor c;
    struct record_peek peek;
    uint64_t id = 0;
    uint32_t index = 0;
    size_t due = 0, held = 0;
    if (cursor_open(view, TABLE_RECIPIENT, &c) != 0)
        panic("cursor");
    for (int rc = cursor_seek(&c, (struct slice){0}); rc == 0; rc = cursor_next(&c)) {
        if (!key_get_part(c.key, &id, &index) || !record_peek_recipient(c.value, &peek))
            panic("a recipient is damaged");
        if (!has(view, TABLE_MESSAGE, key_id(id)))
            panic("a recipient without a message");
        if (peek.report != QUEUE_REPORT_NONE && !has(view, TABLE_NOTICE, key_id(id)))
            panic("an unreported stop without an order for its notice");
        if (peek.state == QUEUE_QUEUED || peek.state == QUEUE_DEFERRED) {
            due++;
            if (!has(view, TABLE_DUE, key_due(&peek.lane, peek.due_at_ms, id, index)))
                panic("a waiting recipient is not in its lane");
        } else if (peek.state == QUEUE_HELD) {
            held++;
            if (!has(view, TABLE_HELD, key_part(id, index)))
                panic("a held recipient is not among the held");
        }
    }
    cursor_close(&c);
    if (entries(view, TABLE_DUE) != due || entries(view, TABLE_HELD) != held)
        panic("a lane or the held name somebody who is not there");
    if (entries(view, TABLE_NOTICE) != entries(view, TABLE_NOTICE_DUE))
        panic("the two tables of orders differ");
}

static void check_tables(const char *directory, uint64_t limit, bool is_swept)
{
    struct store *store;
    char error[256];
    if (store_open(directory, limit, &store, error, sizeof error) != 0)
        panic("%s", error);
    struct txn *view = store_view(store);
    check_bodies(view);
    check_recipients(view);
    if (is_swept && entries(view, TABLE_PARTIAL) > 0)
        panic("the sweep left something");
    store_view_end(view);
    store_close(store);
}

static enum place place_of(const struct queue_recipient *r)
{
    bool is_reported = r->report == QUEUE_REPORT_NONE;
    switch (r->state) {
    case QUEUE_QUEUED:
        return PLACE_QUEUED;
    case QUEUE_DEFERRED:
        return PLACE_DEFERRED;
    case QUEUE_HELD:
        return is_reported ? PLACE_HELD : PLACE_HELD_UNREPORTED;
    case QUEUE_FAILED:
        if (!is_reported)
            return PLACE_FAILED_UNREPORTED;
        break;
    case QUEUE_DELIVERED:
    case QUEUE_DISCARDED:
        break;
    }
    panic("a recipient in a state that nobody put it into");
}

static void check_content(struct desk *d, const struct mail *mail)
{
    struct buffer got;
    char *want = desk_content(mail->size, (unsigned)mail->id);
    buffer_init(&got, mail->size + 1);
    int64_t n = queue_content_read(d->q, mail->id, 0, mail->size + 1, &got);
    if (n != (int64_t)mail->size || (n > 0 && memcmp(got.data, want, (size_t)n) != 0))
        panic("content is damaged");
    buffer_free(&got);
    free(want);
}

/* Notes whether an operation under way at the kill was carried out: 1 yes, -1 no, 0 not known yet.
 */
static void decide(struct model *m, signed char *verdicts, struct mail_recipient *r,
                   enum place found)
{
    if (r->operation == 0) {
        if (found != r->now)
            panic("a recipient is at %d, but %d was promised", (int)found, (int)r->now);
        return;
    }
    if (found != r->now && found != r->next)
        panic("a recipient is at %d, legal are %d and %d", (int)found, (int)r->now, (int)r->next);
    if (r->now != r->next) {
        signed char *verdict = &verdicts[r->operation % (m->operations + 1)];
        signed char now = found == r->next ? 1 : -1;
        if (*verdict != 0 && *verdict != now)
            panic("an operation was carried out by half");
        *verdict = now;
    }
    r->now = found;
    r->operation = 0;
}

static void check_mail(struct model *m, struct desk *d, struct mail *mail, signed char *verdicts)
{
    struct queue_recipient *list = NULL;
    size_t count = 0;
    enum place found[RECIPIENTS_MAX] = {PLACE_ABSENT};
    int rc = queue_recipients_read(d->q, mail->id, &list, &count);
    if (rc != 0 && rc != -ENOENT)
        panic("reading recipients: %d", rc);
    if (rc == 0 && count == 0)
        panic("a message without recipients");
    for (size_t i = 0; i < count; i++)
        found[list[i].index] = place_of(&list[i]);
    queue_recipients_free(list, count);
    if (rc == 0)
        check_content(d, mail);
    for (uint32_t i = 0; i < mail->count; i++)
        decide(m, verdicts, &mail->recipients[i], found[i]);
}

static void forget_absent(struct model *m)
{
    size_t kept = 0;
    for (size_t i = 0; i < m->count; i++) {
        bool is_there = false;
        for (uint32_t j = 0; j < m->mails[i].count; j++)
            is_there |= m->mails[i].recipients[j].now != PLACE_ABSENT;
        if (is_there)
            m->mails[kept++] = m->mails[i];
    }
    m->count = kept;
}

void model_check(struct model *m, const char *directory, uint64_t limit)
{
    struct desk d;
    struct queue_status status;
    signed char *verdicts = xalloc(m->operations + 1);
    check_tables(directory, limit, false);
    desk_open_at(&d, directory, limit);
    for (size_t i = 0; i < m->count; i++)
        check_mail(m, &d, &m->mails[i], verdicts);
    free(verdicts);
    forget_absent(m);
    queue_status(d.q, &status);
    if (status.messages != m->count)
        panic("%zu messages expected, %zu found", m->count, (size_t)status.messages);
    desk_shut(&d);
    check_tables(directory, limit, true);
}
