/* limits.h - what addresses and users may do, counted once for the whole process.
 *
 * Any thread: a mutex of its own guards every call. Addresses are counted as clients can hold them:
 * IPv4 singly, IPv6 by /64, Unix sockets together. A `max` of 0 is no limit. Times are milliseconds
 * of the wall clock; one that goes back only makes a window longer. */
#ifndef GATEWAY_SUBMISSION_LIMITS_H
#define GATEWAY_SUBMISSION_LIMITS_H

#include "gateway/submission/submission.h"

enum limits_answer {
    LIMITS_OK,
    LIMITS_TOTAL,   /* the process holds as many connections as it may */
    LIMITS_ADDRESS, /* this address does */
};

/* Counts a connection in; only LIMITS_OK has counted and is to be paired with limits_disconnect().
 */
NODISCARD enum limits_answer limits_connect(struct submission_limits *l,
                                            const struct net_address *peer, unsigned max_total,
                                            unsigned max_address);
void limits_disconnect(struct submission_limits *l, const struct net_address *peer);

/* A number that no other session of this process has. */
uint64_t limits_session_number(struct submission_limits *l);

/* Failed logins leak away evenly: after an hour without one, `max` of them are forgiven. */
void limits_auth_failed(struct submission_limits *l, const struct net_address *peer, unsigned max,
                        int64_t now_ms);
bool limits_auth_is_blocked(struct submission_limits *l, const struct net_address *peer,
                            unsigned max, int64_t now_ms);

enum limits_kind { LIMITS_MESSAGES, LIMITS_RECIPIENTS, LIMITS_KINDS };

/* Takes one message or recipient out of the user's hour (which begins with the first). False: none
 * is left. What was taken and then not sent is given back. */
NODISCARD bool limits_take(struct submission_limits *l, const char *user, enum limits_kind kind,
                           unsigned max, int64_t now_ms);
void limits_give_back(struct submission_limits *l, const char *user, enum limits_kind kind,
                      unsigned count);

#endif
