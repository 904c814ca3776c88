#include "queue/store.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HEADROOM_MIN ((uint64_t)64 << 20)
/* A view holds a slot only while a call runs; far above any number of threads. */
#define READERS_MAX 1024
/* What LMDB puts in front of a value that has pages of its own (PAGEHDRSZ). */
#define PAGE_HEADER 16

static const char *const table_names[TABLE_COUNT] = {
    [TABLE_META] = "meta",           [TABLE_MESSAGE] = "message",
    [TABLE_BODY] = "body",           [TABLE_RECIPIENT] = "recipient",
    [TABLE_PARTIAL] = "partial",     [TABLE_DUE] = "due",
    [TABLE_NOTICE] = "notice",       [TABLE_NOTICE_DUE] = "notice_due",
    [TABLE_HELD] = "held",           [TABLE_ACCOUNT] = "account",
    [TABLE_ALIAS] = "alias",         [TABLE_FORWARD] = "forward",
    [TABLE_POLICY] = "policy",       [TABLE_POSTURE] = "posture",
    [TABLE_EXCEPTION] = "exception", [TABLE_TRIAL] = "trial",
    [TABLE_TLSRPT] = "tlsrpt",
};

struct txn {
    struct store *store;
    MDB_txn *mdb;      /* owned */
    int64_t began_ms;  /* of a view under way */
    struct txn *next;  /* in store->idle or store->busy */
    struct txn **back; /* in store->busy */
};

struct store {
    MDB_env *env;
    MDB_dbi tables[TABLE_COUNT];
    size_t page_size;
    uint64_t map_size;
    pthread_mutex_t lock; /* for the two lists */
    struct txn *idle;     /* views that were reset: taking one up again costs no allocation */
    struct txn *busy;
};

static int64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int translate(int rc)
{
    switch (rc) {
    case MDB_SUCCESS:
        return 0;
    case MDB_NOTFOUND:
        return -ENOENT;
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
    case ENOSPC:
    case EDQUOT:
        return -ENOSPC;
    case ENOMEM:
        return -ENOMEM;
    default:
        return -EIO;
    }
}

static MDB_val to_val(struct slice s)
{
    /* LMDB takes no const, but reads only. */
    union {
        const char *in;
        void *out;
    } pointer = {.in = s.data};
    return (MDB_val){.mv_size = s.len, .mv_data = pointer.out};
}

static struct slice from_val(MDB_val v)
{
    return (struct slice){v.mv_data, v.mv_size};
}

/* The map is wider than the limit for new mail, so that outcomes, which free space, can still be
 * committed when mail is refused. A store that is larger already (the limit was lowered) keeps its
 * headroom too. */
static uint64_t map_size(const char *directory, uint64_t limit)
{
    char path[4096];
    struct stat st;
    snprintf(path, sizeof path, "%s/data.mdb", directory);
    uint64_t base = limit;
    if (stat(path, &st) == 0 && (uint64_t)st.st_size > base)
        base = (uint64_t)st.st_size;
    uint64_t headroom = base / 20 > HEADROOM_MIN ? base / 20 : HEADROOM_MIN;
    uint64_t size = base + headroom;
    return size - size % 65536;
}

static int check_format(MDB_txn *txn, MDB_dbi meta, char *error, size_t error_size)
{
    MDB_val key = to_val(SLICE("format"));
    MDB_val value;
    int rc = mdb_get(txn, meta, &key, &value);
    if (rc == MDB_NOTFOUND) {
        uint8_t fresh[4] = {0, 0, 0, STORE_FORMAT};
        value = (MDB_val){.mv_size = sizeof fresh, .mv_data = fresh};
        rc = mdb_put(txn, meta, &key, &value, 0);
    } else if (rc == 0) {
        const uint8_t *b = value.mv_data;
        unsigned format = value.mv_size == 4 ? (unsigned)b[0] << 24 | (unsigned)b[1] << 16 |
                                                   (unsigned)b[2] << 8 | b[3]
                                             : 0;
        if (format > STORE_FORMAT) {
            snprintf(error, error_size,
                     "store format %u is newer than this program's %u: start the version of "
                     "sealpost that wrote it, or a newer one",
                     format, (unsigned)STORE_FORMAT);
            return -EPROTO;
        }
        if (format == 0) {
            snprintf(error, error_size, "the store's format record is damaged");
            return -EIO;
        }
    }
    if (rc != 0)
        snprintf(error, error_size, "reading the store's format: %s", mdb_strerror(rc));
    return translate(rc);
}

static int open_tables(struct store *s, char *error, size_t error_size)
{
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(s->env, NULL, 0, &txn);
    /* TABLE_META is the first: a newer store is refused before anything in it is touched. */
    for (unsigned i = 0; rc == 0 && i < TABLE_COUNT; i++) {
        rc = mdb_dbi_open(txn, table_names[i], MDB_CREATE, &s->tables[i]);
        if (rc == 0 && i == TABLE_META) {
            int refused = check_format(txn, s->tables[i], error, error_size);
            if (refused != 0) {
                mdb_txn_abort(txn);
                return refused;
            }
        }
    }
    if (rc == 0)
        rc = mdb_txn_commit(txn);
    else if (txn)
        mdb_txn_abort(txn);
    if (rc != 0)
        snprintf(error, error_size, "opening the store: %s", mdb_strerror(rc));
    return translate(rc);
}

/* LMDB flushes its file, not the directory entry that leads to it. */
static int flush_directory(const char *directory)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rc = fsync(fd) == 0 ? 0 : -errno;
    close(fd);
    return rc;
}

int store_open(const char *directory, uint64_t size_limit, struct store **out, char *error,
               size_t error_size)
{
    struct store *s = xalloc(sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    s->map_size = map_size(directory, size_limit);
    int rc = mdb_env_create(&s->env);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(s->env, TABLE_COUNT);
    if (rc == 0)
        rc = mdb_env_set_maxreaders(s->env, READERS_MAX);
    if (rc == 0)
        rc = mdb_env_set_mapsize(s->env, s->map_size);
    /* NOTLS: views belong to calls, not to threads. No flag here may weaken the flush. */
    if (rc == 0)
        rc = mdb_env_open(s->env, directory, MDB_NOTLS, 0600);
    MDB_stat stat;
    if (rc == 0)
        rc = mdb_env_stat(s->env, &stat);
    int result = translate(rc);
    if (rc != 0) {
        snprintf(error, error_size, "%s/data.mdb: %s", directory, mdb_strerror(rc));
    } else {
        s->page_size = stat.ms_psize;
        result = open_tables(s, error, error_size);
    }
    if (result == 0 && (result = flush_directory(directory)) != 0)
        snprintf(error, error_size, "%s: %s", directory, strerror(-result));
    if (result != 0) {
        store_close(s);
        return result;
    }
    store_check_readers(s);
    *out = s;
    return 0;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    while (s->idle) {
        struct txn *t = s->idle;
        s->idle = t->next;
        mdb_txn_abort(t->mdb);
        free(t);
    }
    if (s->env)
        mdb_env_close(s->env);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

size_t store_piece_size(const struct store *s)
{
    return s->page_size - PAGE_HEADER;
}

/* A quarter of the least headroom is for outcomes alone: even a removal needs fresh pages before it
 * gives back old ones. */
uint64_t store_safe_size(const struct store *s)
{
    return s->map_size - HEADROOM_MIN / 4;
}

uint64_t store_oldest_view_ms(struct store *s)
{
    int64_t oldest = INT64_MAX;
    pthread_mutex_lock(&s->lock);
    for (struct txn *t = s->busy; t; t = t->next) {
        if (t->began_ms < oldest)
            oldest = t->began_ms;
    }
    pthread_mutex_unlock(&s->lock);
    return oldest == INT64_MAX ? 0 : (uint64_t)(clock_ms() - oldest);
}

void store_check_readers(struct store *s)
{
    int dead;
    (void)mdb_reader_check(s->env, &dead);
}

int store_begin(struct store *s, struct txn **out)
{
    struct txn *t = xalloc(sizeof *t);
    t->store = s;
    int rc = mdb_txn_begin(s->env, NULL, 0, &t->mdb);
    if (rc != 0) {
        free(t);
        return translate(rc);
    }
    *out = t;
    return 0;
}

int store_commit(struct txn *t)
{
    int rc = mdb_txn_commit(t->mdb);
    free(t);
    return translate(rc);
}

void store_abort(struct txn *t)
{
    mdb_txn_abort(t->mdb);
    free(t);
}

struct txn *store_view(struct store *s)
{
    pthread_mutex_lock(&s->lock);
    struct txn *t = s->idle;
    if (t)
        s->idle = t->next;
    pthread_mutex_unlock(&s->lock);

    int rc;
    if (t) {
        rc = mdb_txn_renew(t->mdb);
    } else {
        t = xalloc(sizeof *t);
        t->store = s;
        rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &t->mdb);
    }
    if (rc != 0) {
        if (t->mdb)
            mdb_txn_abort(t->mdb);
        free(t);
        return NULL;
    }
    t->began_ms = clock_ms();
    pthread_mutex_lock(&s->lock);
    t->next = s->busy;
    t->back = &s->busy;
    if (s->busy)
        s->busy->back = &t->next;
    s->busy = t;
    pthread_mutex_unlock(&s->lock);
    return t;
}

void store_view_end(struct txn *t)
{
    struct store *s = t->store;
    mdb_txn_reset(t->mdb);
    pthread_mutex_lock(&s->lock);
    *t->back = t->next;
    if (t->next)
        t->next->back = t->back;
    t->next = s->idle;
    s->idle = t;
    pthread_mutex_unlock(&s->lock);
}

uint64_t store_table_used(struct txn *t, enum table table)
{
    MDB_stat stat;
    if (mdb_stat(t->mdb, t->store->tables[table], &stat) != 0)
        return 0;
    return (stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages) *
           t->store->page_size;
}

uint64_t store_used(struct txn *t)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < TABLE_COUNT; i++)
        bytes += store_table_used(t, (enum table)i);
    return bytes;
}

int store_get(struct txn *t, enum table table, struct slice key, struct slice *value)
{
    MDB_val k = to_val(key);
    MDB_val v = {0};
    int rc = mdb_get(t->mdb, t->store->tables[table], &k, &v);
    *value = from_val(v);
    return translate(rc);
}

int store_put(struct txn *t, enum table table, struct slice key, struct slice value)
{
    MDB_val k = to_val(key);
    MDB_val v = to_val(value);
    return translate(mdb_put(t->mdb, t->store->tables[table], &k, &v, 0));
}

int store_delete(struct txn *t, enum table table, struct slice key)
{
    MDB_val k = to_val(key);
    return translate(mdb_del(t->mdb, t->store->tables[table], &k, NULL));
}

int cursor_open(struct txn *t, enum table table, struct cursor *c)
{
    *c = (struct cursor){0};
    return translate(mdb_cursor_open(t->mdb, t->store->tables[table], &c->handle));
}

void cursor_close(struct cursor *c)
{
    if (c->handle)
        mdb_cursor_close(c->handle);
    *c = (struct cursor){0};
}

static int cursor_move(struct cursor *c, MDB_val key, MDB_cursor_op op)
{
    MDB_val value = {0};
    int rc = mdb_cursor_get(c->handle, &key, &value, op);
    c->key = rc == 0 ? from_val(key) : (struct slice){0};
    c->value = from_val(value);
    return translate(rc);
}

int cursor_seek(struct cursor *c, struct slice key)
{
    /* An empty key is no key for LMDB. */
    if (key.len == 0)
        return cursor_move(c, (MDB_val){0}, MDB_FIRST);
    return cursor_move(c, to_val(key), MDB_SET_RANGE);
}

int cursor_next(struct cursor *c)
{
    return cursor_move(c, (MDB_val){0}, MDB_NEXT);
}

int cursor_delete(struct cursor *c)
{
    return translate(mdb_cursor_del(c->handle, 0));
}
