/* directory.h - what account.c and forward.c share: from names to accounts, and the operation that
 * changes one. Not for others. */
#ifndef QUEUE_DIRECTORY_H
#define QUEUE_DIRECTORY_H

#include "queue/account.h"
#include "queue/writer.h"

/* The key of an address in text; false: it is none. */
NODISCARD bool directory_key(const char *text, char out[ADDRESS_SIZE]);
/* Turns the key of an address or alias into the account's. -ENOENT: nobody's. */
NODISCARD int directory_resolve(struct txn *txn, char key[ADDRESS_SIZE]);
/* Removing what is not there is no error. */
NODISCARD int directory_forget(struct batch *b, enum table table, const char *key);

struct directory_op {
    struct op op;
    struct queue_account account; /* aliases: none */
    bool is_new;
    bool is_invalid;
    char key[ADDRESS_SIZE];
    char other[ADDRESS_SIZE]; /* alias or target */
};
/* Either address may be NULL. */
NODISCARD struct directory_op *directory_op_new(int (*run)(struct op *op, struct batch *b),
                                                const struct address *address,
                                                const struct address *other,
                                                const struct queue_poster *poster, queue_done *done,
                                                void *context);
/* What the run of an operation returns: a refusal (-ENOENT, -EEXIST, -EINVAL) is an answer, all
 * else the store's error. */
NODISCARD int directory_answer(struct op *op, int rc);

/* The place of a text among addresses; count when it is not there. */
size_t addresses_find(char (*list)[ADDRESS_SIZE], size_t count, const char *wanted);
void addresses_add(char (**list)[ADDRESS_SIZE], size_t *count, const char *text);
void addresses_remove(char (*list)[ADDRESS_SIZE], size_t *count, size_t at);

#endif
