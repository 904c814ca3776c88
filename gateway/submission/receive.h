/* receive.h - message data on its way from the wire to the store: dot-stuffing undone, limits kept,
 * header section fixed up.
 *
 * Pure: the store is two functions. Holds the header section (at most RECEIVE_HEADER_MAX) until its
 * end, after that one piece of the body. A message that is refused is still read to its end;
 * nothing more is stored of it. One thread. */
#ifndef GATEWAY_SUBMISSION_RECEIVE_H
#define GATEWAY_SUBMISSION_RECEIVE_H

#include "gateway/submission/fixup.h"

#define RECEIVE_HEADER_MAX ((size_t)256 * 1024)

struct receive; /* opaque */

struct receive_options { /* texts are borrowed for the life of the receive */
    struct fixup fixup;
    uint64_t message_size; /* octets; 0: no limit */
    unsigned max_received;
    /* Takes content. 0; -ENOSPC; another negative errno. */
    int (*append)(void *context, struct slice content);
    /* Is this address the user's? Not asked on the relay listener. */
    bool (*owns)(void *context, const struct address *a);
    void *context;
};

NODISCARD struct receive *receive_new(const struct receive_options *o);
void receive_free(struct receive *r); /* NULL is fine */
/* Takes bytes off *in. True: the end of the data was read, *in stands behind it. */
bool receive_feed(struct receive *r, struct slice *in);

/* After the end: what to answer instead of taking the message; code 0: it is good, all of it was
 * appended. */
struct command_error receive_verdict(const struct receive *r);
/* The store refused a piece after receive_feed() had returned; from now on nothing is stored. */
void receive_store_failed(struct receive *r, int error);
/* After the end of a good message: */
const struct header_facts *receive_header(const struct receive *r); /* as the client wrote it */
uint64_t receive_size(const struct receive *r);                     /* octets given to append */
bool receive_has_8bit(const struct receive *r);

#endif
