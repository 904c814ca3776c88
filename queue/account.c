#include "queue/account.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "queue/directory.h"
#include "queue/room.h"

void queue_account_clear(struct queue_account *a)
{
    explicit_bzero(&a->sha256, sizeof a->sha256);
    explicit_bzero(&a->sha1, sizeof a->sha1);
    free(a->aliases);
    *a = (struct queue_account){0};
}

struct queue_flag queue_account_flag(const struct queue_account *a, enum level default_level,
                                     int64_t now)
{
    bool is_back = a->level_until != 0 && now >= a->level_until;
    struct queue_flag flag = {.level = default_level,
                              .since = is_back ? a->level_until : a->level_since};
    if (is_back ? a->back_has_flag : a->has_flag) {
        flag.level = is_back ? a->back_level : a->level;
        flag.is_locked = is_back ? a->back_is_locked : a->is_locked;
        flag.is_dry_run = is_back ? a->back_is_dry_run : a->is_dry_run;
    }
    return flag;
}

enum level queue_account_level(const struct queue_account *a, enum level default_level, int64_t now,
                               int64_t *since, bool *is_locked)
{
    struct queue_flag flag = queue_account_flag(a, default_level, now);
    if (since)
        *since = flag.since;
    if (is_locked)
        *is_locked = flag.is_locked;
    return flag.level;
}

bool directory_key(const char *text, char out[ADDRESS_SIZE])
{
    struct address address;
    if (address_parse(slice_of(text), &address) != ADDRESS_OK)
        return false;
    address_key(&address, out);
    return true;
}

bool queue_account_owns(const struct queue_account *a, const struct address *address)
{
    char wanted[ADDRESS_SIZE];
    char own[ADDRESS_SIZE];
    address_key(address, wanted);
    if (directory_key(a->address, own) && strcmp(own, wanted) == 0)
        return true;
    for (size_t i = 0; i < a->alias_count; i++) {
        if (directory_key(a->aliases[i], own) && strcmp(own, wanted) == 0)
            return true;
    }
    return false;
}

int directory_resolve(struct txn *txn, char key[ADDRESS_SIZE])
{
    struct slice value;
    int rc = store_get(txn, TABLE_ACCOUNT, slice_of(key), &value);
    if (rc != -ENOENT)
        return rc;
    rc = store_get(txn, TABLE_ALIAS, slice_of(key), &value);
    if (rc == 0 && !slice_copy(value, key, ADDRESS_SIZE))
        rc = -EIO;
    return rc;
}

static int read_account(struct txn *txn, const char *key, struct queue_account *out)
{
    struct slice value;
    int rc = store_get(txn, TABLE_ACCOUNT, slice_of(key), &value);
    return rc != 0 ? rc : record_get_account(value, out) ? 0 : -EIO;
}

static int write_account(struct txn *txn, const char *key, const struct queue_account *a)
{
    struct buffer record;
    buffer_init(&record, 4096 + (a->alias_count + 1) * (ADDRESS_SIZE + 4));
    record_put_account(&record, a);
    int rc = store_put(txn, TABLE_ACCOUNT, slice_of(key), buffer_slice(&record));
    buffer_wipe_free(&record);
    return rc;
}

static void report_damage(struct queue *q, const char *key)
{
    EVENT(room_events(q), EVENT_ERROR, "store-damaged", FIELD(KEY_USER, key),
          FIELD(KEY_ERROR, "account"));
}

int queue_account_find(struct queue *q, const struct address *address, struct queue_account *out)
{
    char key[ADDRESS_SIZE];
    address_key(address, key);
    if (key[0] == '\0')
        return -ENOENT;
    struct txn *view = store_view(q->store);
    if (!view)
        return -EIO;
    int rc = directory_resolve(view, key);
    if (rc == 0) {
        rc = read_account(view, key, out);
        if (rc == -ENOENT)
            rc = -EIO; /* an alias that leads nowhere */
    }
    store_view_end(view);
    if (rc == -EIO)
        report_damage(q, key);
    return rc;
}

int queue_accounts_walk(struct queue *q, queue_account_visit *visit, void *context)
{
    /* A view for each account: the visitor takes its time without holding back pages. */
    char after[ADDRESS_SIZE + 1] = "";
    size_t after_len = 0;
    for (bool goes_on = true; goes_on;) {
        struct queue_account a = {0};
        struct cursor c = {0};
        struct txn *view = store_view(q->store);
        if (!view)
            return -EIO;
        int rc = cursor_open(view, TABLE_ACCOUNT, &c);
        if (rc == 0)
            rc = cursor_seek(&c, (struct slice){after, after_len});
        if (rc == 0 && !slice_copy(c.key, after, ADDRESS_SIZE))
            rc = -EIO;
        bool is_sound = rc == 0 && record_get_account(c.value, &a);
        cursor_close(&c);
        store_view_end(view);
        if (rc != 0)
            return rc == -ENOENT ? 0 : rc;
        /* The next key is the first behind this one and a NUL. */
        after_len = strlen(after) + 1;
        if (is_sound)
            goes_on = visit(context, &a);
        else
            report_damage(q, after);
        queue_account_clear(&a);
    }
    return 0;
}

/* Changes. */

static void account_free(struct op *op)
{
    struct directory_op *change = (struct directory_op *)op;
    queue_account_clear(&change->account);
    free(change);
}

struct directory_op *directory_op_new(int (*run)(struct op *op, struct batch *b),
                                      const struct address *address, const struct address *other,
                                      const struct queue_poster *poster, queue_done *done,
                                      void *context)
{
    struct directory_op *change = op_new(sizeof *change, run, poster, done, context);
    change->op.free = account_free;
    if (address)
        address_key(address, change->key);
    if (other)
        address_key(other, change->other);
    return change;
}

int directory_answer(struct op *op, int rc)
{
    if (rc != -ENOENT && rc != -EEXIST && rc != -EINVAL)
        return rc;
    op->answer = rc;
    return 0;
}

static int run_put(struct op *op, struct batch *b)
{
    struct directory_op *change = (struct directory_op *)op;
    struct queue_account old = {0};
    char owner[ADDRESS_SIZE];
    if (change->is_invalid)
        return directory_answer(op, -EINVAL);
    memcpy(owner, change->key, sizeof owner);
    int rc = directory_resolve(b->txn, owner);
    if (change->is_new) {
        if (rc != -ENOENT)
            return rc == 0 ? directory_answer(op, -EEXIST) : rc;
    } else {
        if (rc == 0)
            rc = read_account(b->txn, change->key, &old); /* an alias is no account */
        if (rc != 0)
            return directory_answer(op, rc);
    }
    struct queue_account now = change->account;
    now.aliases = old.aliases;
    now.alias_count = old.alias_count;
    rc = write_account(b->txn, change->key, &now);
    explicit_bzero(&now, sizeof now);
    queue_account_clear(&old);
    return rc;
}

void queue_account_put(struct queue *q, const struct queue_account *a, bool is_new,
                       const struct queue_poster *poster, queue_done *done, void *context)
{
    struct directory_op *change = directory_op_new(run_put, NULL, NULL, poster, done, context);
    change->account = *a;
    change->account.aliases = NULL;
    change->account.alias_count = 0;
    change->is_new = is_new;
    change->is_invalid = !directory_key(a->address, change->key) ||
                         a->sha256.salt_len > QUEUE_SALT_MAX || a->sha256.key_len > QUEUE_KEY_MAX ||
                         a->sha1.salt_len > QUEUE_SALT_MAX || a->sha1.key_len > QUEUE_KEY_MAX;
    writer_submit(q, &change->op);
}

int directory_forget(struct batch *b, enum table table, const char *key)
{
    int rc = store_delete(b->txn, table, slice_of(key));
    return rc == -ENOENT ? 0 : rc;
}

static int run_account_remove(struct op *op, struct batch *b)
{
    struct directory_op *change = (struct directory_op *)op;
    struct queue_account old;
    char alias[ADDRESS_SIZE];
    int rc = read_account(b->txn, change->key, &old);
    if (rc != 0)
        return directory_answer(op, rc);
    for (size_t i = 0; rc == 0 && i < old.alias_count; i++) {
        if (directory_key(old.aliases[i], alias))
            rc = directory_forget(b, TABLE_ALIAS, alias);
    }
    queue_account_clear(&old);
    if (rc == 0)
        rc = directory_forget(b, TABLE_FORWARD, change->key);
    if (rc == 0)
        rc = directory_forget(b, TABLE_EXCEPTION, change->key);
    return rc == 0 ? store_delete(b->txn, TABLE_ACCOUNT, slice_of(change->key)) : rc;
}

void queue_account_remove(struct queue *q, const struct address *address,
                          const struct queue_poster *poster, queue_done *done, void *context)
{
    writer_submit(q,
                  &directory_op_new(run_account_remove, address, NULL, poster, done, context)->op);
}

size_t addresses_find(char (*list)[ADDRESS_SIZE], size_t count, const char *wanted)
{
    size_t i = 0;
    while (i < count && strcmp(list[i], wanted) != 0)
        i++;
    return i;
}

void addresses_add(char (**list)[ADDRESS_SIZE], size_t *count, const char *text)
{
    *list = xrealloc(*list, (*count + 1) * sizeof **list);
    if (!slice_copy(slice_of(text), (*list)[*count], ADDRESS_SIZE))
        panic("address of %zu octets", strlen(text));
    ++*count;
}

void addresses_remove(char (*list)[ADDRESS_SIZE], size_t *count, size_t at)
{
    memmove(&list[at], &list[at + 1], (*count - at - 1) * sizeof *list);
    --*count;
}

static int run_alias(struct op *op, struct batch *b)
{
    struct directory_op *change = (struct directory_op *)op;
    struct queue_account a;
    char key[ADDRESS_SIZE];
    char taken[ADDRESS_SIZE];
    memcpy(key, change->key, sizeof key);
    memcpy(taken, change->other, sizeof taken);
    int rc = directory_resolve(b->txn, key);
    if (rc != 0)
        return directory_answer(op, rc);
    rc = directory_resolve(b->txn, taken);
    if (rc != 0 && rc != -ENOENT)
        return rc;
    if (change->is_new && rc == 0)
        return directory_answer(op, -EEXIST);
    rc = read_account(b->txn, key, &a);
    if (rc != 0)
        return directory_answer(op, rc);
    size_t at = addresses_find(a.aliases, a.alias_count, change->other);
    if (change->is_new) {
        addresses_add(&a.aliases, &a.alias_count, change->other);
        rc = store_put(b->txn, TABLE_ALIAS, slice_of(change->other), slice_of(key));
    } else if (at < a.alias_count) {
        addresses_remove(a.aliases, &a.alias_count, at);
        rc = directory_forget(b, TABLE_ALIAS, change->other);
    } else {
        rc = -ENOENT;
    }
    if (rc == 0)
        rc = write_account(b->txn, key, &a);
    queue_account_clear(&a);
    return directory_answer(op, rc);
}

void queue_alias_add(struct queue *q, const struct address *account, const struct address *alias,
                     const struct queue_poster *poster, queue_done *done, void *context)
{
    struct directory_op *change =
        directory_op_new(run_alias, account, alias, poster, done, context);
    change->is_new = true;
    writer_submit(q, &change->op);
}

void queue_alias_remove(struct queue *q, const struct address *account, const struct address *alias,
                        const struct queue_poster *poster, queue_done *done, void *context)
{
    writer_submit(q, &directory_op_new(run_alias, account, alias, poster, done, context)->op);
}
