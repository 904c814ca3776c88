#include "queue/exception.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mail/domain.h"
#include "queue/directory.h"
#include "queue/learn.h"
#include "queue/room.h"

/* One list for each user. */
struct exceptions {
    struct queue_exception *list; /* owned */
    size_t count;
};

static int read_list(struct txn *txn, const char *user, struct exceptions *e)
{
    struct slice value;
    *e = (struct exceptions){0};
    int rc = store_get(txn, TABLE_EXCEPTION, slice_of(user), &value);
    if (rc == -ENOENT)
        return 0;
    return rc != 0 ? rc : record_get_exceptions(value, &e->list, &e->count) ? 0 : -EIO;
}

static int write_list(struct batch *b, const char *user, const struct exceptions *e)
{
    struct buffer record;
    if (e->count == 0)
        return directory_forget(b, TABLE_EXCEPTION, user);
    buffer_init(&record, 64 + e->count * (DOMAIN_SIZE + 20));
    record_put_exceptions(&record, e->list, e->count);
    int rc = store_put(b->txn, TABLE_EXCEPTION, slice_of(user), buffer_slice(&record));
    buffer_free(&record);
    return rc;
}

static bool is_expired(const struct queue_exception *e, int64_t now)
{
    return e->until != 0 && e->until <= now;
}

static size_t find(const struct exceptions *e, const char *domain)
{
    size_t i = 0;
    while (i < e->count && strcmp(e->list[i].domain, domain) != 0)
        i++;
    return i;
}

static void drop(struct exceptions *e, size_t at)
{
    memmove(&e->list[at], &e->list[at + 1], (e->count - at - 1) * sizeof *e->list);
    e->count--;
}

/* Changes. */

struct exception_op {
    struct op op;
    struct queue_exception exception; /* user: key of the name given */
    bool is_new;
};

static int change_list(const struct exception_op *change, struct exceptions *e)
{
    size_t at = find(e, change->exception.domain);
    if (change->is_new) {
        if (at == e->count)
            e->list = xrealloc(e->list, ++e->count * sizeof *e->list);
        e->list[at] = change->exception;
        return 0;
    }
    if (at == e->count)
        return -ENOENT;
    drop(e, at);
    return 0;
}

static int run_exception(struct op *op, struct batch *b)
{
    struct exception_op *change = (struct exception_op *)op;
    struct exceptions e = {0};
    char user[ADDRESS_SIZE];
    memcpy(user, change->exception.user, sizeof user);
    if (change->exception.domain[0] == '\0')
        return directory_answer(op, -EINVAL);
    int rc = *user ? directory_resolve(b->txn, user) : -ENOENT;
    if (rc == 0)
        rc = read_list(b->txn, user, &e);
    if (rc == 0)
        rc = change_list(change, &e);
    if (rc == 0)
        rc = write_list(b, user, &e);
    free(e.list);
    return directory_answer(op, rc);
}

static struct exception_op *exception_op_new(const struct address *user, const char *domain,
                                             const struct queue_poster *poster, queue_done *done,
                                             void *context)
{
    struct exception_op *change = op_new(sizeof *change, run_exception, poster, done, context);
    address_key(user, change->exception.user);
    if (!slice_copy(slice_of(domain), change->exception.domain, DOMAIN_SIZE))
        change->exception.domain[0] = '\0';
    return change;
}

void queue_exception_add(struct queue *q, const struct address *user, const char *domain,
                         int64_t set_at, int64_t until, const struct queue_poster *poster,
                         queue_done *done, void *context)
{
    struct exception_op *change = exception_op_new(user, domain, poster, done, context);
    change->is_new = true;
    change->exception.set_at = set_at;
    change->exception.until = until;
    writer_submit(q, &change->op);
}

void queue_exception_remove(struct queue *q, const struct address *user, const char *domain,
                            const struct queue_poster *poster, queue_done *done, void *context)
{
    writer_submit(q, &exception_op_new(user, domain, poster, done, context)->op);
}

/* Reading. */

int queue_exception_has(struct queue *q, const char *user, const char *domain, int64_t now)
{
    struct exceptions e = {0};
    char key[ADDRESS_SIZE];
    bool has = false;
    if (!directory_key(user, key))
        return 0;
    struct txn *view = store_view(q->store);
    if (!view)
        return -EIO;
    int rc = directory_resolve(view, key);
    if (rc == 0)
        rc = read_list(view, key, &e);
    store_view_end(view);
    for (size_t i = 0; rc == 0 && i < e.count; i++)
        has |= !is_expired(&e.list[i], now) && domain_matches(e.list[i].domain, domain);
    free(e.list);
    return has ? 1 : rc == -ENOENT ? 0 : rc;
}

static bool visit_list(const char *user, struct exceptions *e, int64_t now,
                       queue_exception_visit *visit, void *context)
{
    for (size_t i = 0; i < e->count; i++) {
        if (is_expired(&e->list[i], now))
            continue;
        if (!slice_copy(slice_of(user), e->list[i].user, ADDRESS_SIZE))
            panic("user of %zu octets", strlen(user));
        if (!visit(context, &e->list[i]))
            return false;
    }
    return true;
}

static void walk_one(struct queue *q, const char *user, int64_t now, queue_exception_visit *visit,
                     void *context)
{
    struct exceptions e = {0};
    char key[ADDRESS_SIZE];
    if (!directory_key(user, key))
        return;
    struct txn *view = store_view(q->store);
    if (!view)
        return;
    int rc = directory_resolve(view, key);
    if (rc == 0)
        rc = read_list(view, key, &e);
    store_view_end(view);
    if (rc == 0)
        (void)visit_list(key, &e, now, visit, context);
    free(e.list);
}

void queue_exceptions_walk(struct queue *q, const char *user, int64_t now,
                           queue_exception_visit *visit, void *context)
{
    struct walk w;
    if (user) {
        walk_one(q, user, now, visit, context);
        return;
    }
    walk_init(&w, (struct slice){0});
    for (bool goes_on = true; goes_on && walk_next(&w, q, TABLE_EXCEPTION);) {
        struct exceptions e;
        char key[ADDRESS_SIZE];
        if (!slice_copy(walk_key(&w), key, sizeof key) ||
            !record_get_exceptions(buffer_slice(&w.value), &e.list, &e.count))
            continue;
        goes_on = visit_list(key, &e, now, visit, context);
        free(e.list);
    }
    walk_free(&w);
}

/* A damaged list stays: somebody set it, and is to see that it cannot be read. */
int exception_sweep(struct batch *b, struct slice key, struct slice value, int64_t now)
{
    struct exceptions e;
    char user[ADDRESS_SIZE];
    if (!slice_copy(key, user, sizeof user) || !record_get_exceptions(value, &e.list, &e.count))
        return 0;
    size_t before = e.count;
    for (size_t i = e.count; i > 0; i--) {
        if (is_expired(&e.list[i - 1], now))
            drop(&e, i - 1);
    }
    int rc = e.count < before ? write_list(b, user, &e) : 0;
    free(e.list);
    return rc;
}
