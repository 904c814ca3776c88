/* journal.h - what a worker that is about to be killed tells its parent, and what the parent then
 * expects to find in the store.
 *
 * A worker says what it is about to do (intent) and, once the queue has answered, that it is done.
 * A killed worker leaves intents without an answer: for these both states are legal, all of one
 * operation or nothing of it. */
#ifndef TESTS_CRASH_JOURNAL_H
#define TESTS_CRASH_JOURNAL_H

#include "queue/queue.h"

enum place {
    PLACE_ABSENT,
    PLACE_QUEUED,
    PLACE_DEFERRED,
    PLACE_HELD_UNREPORTED,
    PLACE_HELD,
    PLACE_FAILED_UNREPORTED,
};

enum { MAILS_MAX = 20000, RECIPIENTS_MAX = 2 };

struct mail {
    uint64_t id;
    uint32_t size;
    uint32_t count;
    struct mail_recipient {
        enum place now;
        enum place next;    /* where the operation under way will put it */
        uint32_t operation; /* 0: none under way */
    } recipients[RECIPIENTS_MAX];
};

struct entry {
    enum entry_kind { ENTRY_ID, ENTRY_MAIL, ENTRY_INTENT, ENTRY_DONE } kind;
    uint32_t index;
    enum place next;
    uint32_t operation;
    uint64_t id;
    uint32_t size;
    uint32_t count;
};

struct model {
    struct mail mails[MAILS_MAX];
    size_t count;
    uint64_t highest_id; /* ever handed out */
    uint32_t operations; /* numbers used */
};

/* Takes one entry in. Aborts the program when an ID comes twice. */
void model_note(struct model *m, const struct entry *e);
/* Compares the store in `directory` with the model, aborts the program with words when it is not in
 * a legal state, and takes over what is there as the new truth. */
void model_check(struct model *m, const char *directory, uint64_t limit);

#endif
