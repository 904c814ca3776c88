/* breaker.h - is it they who lost TLS, or we?
 *
 * When many unrelated destinations lose TLS within minutes, or every signed zone turns bogus, the
 * fault is most likely in our own network or resolver: stops are suspended then (mail is deferred,
 * never sent in clear), and the operator is told. Two fuses of one make, one for TLS and one for
 * DNSSEC; the breaker is open while one of them is.
 *
 * An outsider must not be able to suspend stops. So a look is a vote only where both the
 * recipients' domain and the host are new to the count, address literals have none, and the time
 * open is limited, whatever is seen: then stops go on.
 *
 * Pure: the caller brings the clock and holds the lock. Memory is bounded: the FUSE_SIGHTS pairs
 * looked at last. Times are seconds of any clock that goes forward; one that is set back is
 * survived. */
#ifndef GATEWAY_POSTURE_BREAKER_H
#define GATEWAY_POSTURE_BREAKER_H

#include "mail/base.h"

#define BREAKER_WINDOW 600    /* seconds in which looks count together */
#define BREAKER_LOST 5        /* votes for lost TLS, if they are half of those looked at ... */
#define BREAKER_MOMENT 60     /* ... since the first of them was lost, or this long ago */
#define BREAKER_BARE 10       /* votes for no TLS, if none has it */
#define BREAKER_BOGUS_ZONES 5 /* votes for bogus zones, if none answers securely */
#define BREAKER_RECOVERED 3   /* votes for TLS again, if they are most of those that had it */
#define BREAKER_QUIET 3600    /* seconds without a new loss that close it, too */
#define BREAKER_OPEN_MAX                                                                           \
    14400 /* seconds open in a day, which begins when it opens first; then it                      \
             stays closed for as long as makes up a day */
#define BREAKER_DAY 86400
#define BREAKER_FUSE_SIGHTS 256 /* remembered by each fuse */
#define BREAKER_GROUP_SIZE 128  /* two labels of 63 octets, the dot and the NUL */
#define BREAKER_WORDS_SIZE 320

/* What somebody looked at: the first three a host of a domain, the others a zone (which stands for
 * both). */
enum breaker_look {
    BREAKER_TLS,      /* acceptable TLS was there */
    BREAKER_TLS_LOST, /* it was there on many looks, and now a final TLS verdict, or cut */
    BREAKER_NO_TLS,   /* the same where nothing was known */
    BREAKER_SECURE,   /* a secure answer */
    BREAKER_BOGUS,
};

/* Destinations with the same two last labels belong together: one operator, or one attacker with
 * many names. Below a registry such as co.uk strangers count as one, which errs towards not
 * opening. A longer name is cut. False: an address, which may be anybody's; it has no group. */
bool breaker_group(const char *host, char out[BREAKER_GROUP_SIZE]);

struct breaker_group {
    uint32_t hash;
    char name[BREAKER_GROUP_SIZE];
};

struct breaker_sight {
    struct breaker_group domain, host;
    enum breaker_look look; /* the last one */
    int64_t at;
    /* While the fuse is open: */
    bool is_sound; /* was well when it opened and ever since: no sign of recovery */
    bool is_seen;  /* looked at since */
    bool was_lost; /* bad before it opened or since: bad again, it is no new loss */
    /* Stayed bad through a whole trouble: theirs after all. Counts for nothing until it is well. */
    bool is_written_off;
};

struct breaker_fuse {
    bool is_open;
    int64_t opened_at;
    int64_t lost_at;                /* open: the last new loss */
    unsigned bad;                   /* what opened it: so many votes ... */
    unsigned looked;                /* ... of so many */
    char words[BREAKER_WORDS_SIZE]; /* why it opened, or why it closed last; "" never did */
    size_t count;
    struct breaker_sight sights[BREAKER_FUSE_SIGHTS];
};

struct breaker {
    struct breaker_fuse tls, dns;
    int64_t open_since;   /* one of them, or both in turn */
    int64_t day_began_at; /* by the first opening ... */
    int64_t spent;        /* ... and seconds open in it, but for the present opening */
    int64_t rests_until;  /* it does not open before */
};

/* All zero: breaker_init(), or static. About 150 KiB: not for a stack. */
void breaker_init(struct breaker *b);

/* `domain`: of the recipients. The fuse that this look opened or closed; NULL: nothing changed.
 * Borrowed until the next call. */
const struct breaker_fuse *breaker_look(struct breaker *b, const char *domain, const char *host,
                                        enum breaker_look look, int64_t now);
/* Closes what has been quiet for BREAKER_QUIET, or open for BREAKER_OPEN_MAX; as breaker_look().
 * Again until it returns NULL. */
const struct breaker_fuse *breaker_tick(struct breaker *b, int64_t now);

bool breaker_is_open(const struct breaker *b);
/* Until when it stays open if nothing more happens; 0: it is closed. */
int64_t breaker_open_until(const struct breaker *b);
/* "closed", or "open: " and why, for the operator. */
void breaker_words(const struct breaker *b, char *out, size_t size);

#endif
