/* store.h - the engine behind the queue: tables of keys and values, write transactions, views.
 *
 * The only door to LMDB: no other file knows it. Errors are negative errno: -ENOENT no such key,
 * -ENOSPC the map or the disk is full, -EIO anything else the engine says. One thread writes (the
 * writer); views may be taken by any thread and must end before the function that took them
 * returns. Slices that come out of the store are borrowed from the map until the transaction ends,
 * or until the next write in it. */
#ifndef QUEUE_STORE_H
#define QUEUE_STORE_H

#include "mail/slice.h"

enum table {
    TABLE_META,
    TABLE_MESSAGE,    /* id -> message record */
    TABLE_RECIPIENT,  /* id, index -> recipient record */
    TABLE_BODY,       /* id, piece -> octets */
    TABLE_PARTIAL,    /* id -> nothing: pieces are stored, the message is not (yet) */
    TABLE_DUE,        /* domain, NUL, flow, due, id, index -> nothing */
    TABLE_NOTICE,     /* id -> due: a notice is ordered for this message */
    TABLE_NOTICE_DUE, /* due, id -> nothing: the same by time */
    TABLE_HELD,       /* id, index -> expires_at */
    TABLE_ACCOUNT,    /* address key -> account record */
    TABLE_ALIAS,      /* address key -> address key of the account */
    TABLE_FORWARD,    /* address key of the owner -> list of targets */
    TABLE_POLICY,     /* policy domain -> MTA-STS policy record */
    TABLE_POSTURE,    /* domain, NUL, MX host -> posture record */
    TABLE_EXCEPTION,  /* address key of the account -> list of exceptions */
    TABLE_TRIAL,      /* time, id, hash of the recipient -> finding of dry run */
    TABLE_TLSRPT,     /* day, policy domain, NUL, hash of the policy -> policy and totals;
                       * the same with the hash of a failure -> failure and count */
    TABLE_COUNT,
};

#define STORE_FORMAT 1

struct store; /* opaque */
struct txn;   /* opaque: a write transaction or a view */

/* `directory` must exist. The words for people go to error[]. */
NODISCARD int store_open(const char *directory, uint64_t size_limit, struct store **out,
                         char *error, size_t error_size);
void store_close(struct store *s);
/* The largest value that takes exactly one page of its own. Pages of one size keep the free list
 * useful for ever: no run of neighbouring free pages is needed for a body. */
size_t store_piece_size(const struct store *s);
/* Age of the oldest view under way, in ms; 0 when there is none. */
uint64_t store_oldest_view_ms(struct store *s);
void store_check_readers(struct store *s);
/* What all tables may take at most before even an outcome's commit is in danger. */
uint64_t store_safe_size(const struct store *s);

NODISCARD int store_begin(struct store *s, struct txn **out);
NODISCARD int store_commit(struct txn *t); /* durable on 0; t is gone in any case */
void store_abort(struct txn *t);
struct txn *store_view(struct store *s); /* NULL: the store is broken */
void store_view_end(struct txn *t);
/* Bytes in pages that hold something. */
uint64_t store_used(struct txn *t);
uint64_t store_table_used(struct txn *t, enum table table); /* of these, those of one table */

NODISCARD int store_get(struct txn *t, enum table table, struct slice key, struct slice *value);
NODISCARD int store_put(struct txn *t, enum table table, struct slice key, struct slice value);
NODISCARD int store_delete(struct txn *t, enum table table, struct slice key);

/* Walks a table in the order of keys. Close it before the transaction ends. */
struct cursor {
    struct MDB_cursor *handle; /* owned */
    struct slice key;          /* borrowed, of the present entry */
    struct slice value;
};
NODISCARD int cursor_open(struct txn *t, enum table table, struct cursor *c);
void cursor_close(struct cursor *c);
/* The first entry whose key is not below `key`; -ENOENT: none. */
NODISCARD int cursor_seek(struct cursor *c, struct slice key);
NODISCARD int cursor_next(struct cursor *c);
/* Removes the present entry. Seek again before going on. */
NODISCARD int cursor_delete(struct cursor *c);

#endif
