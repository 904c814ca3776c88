/* operator.h - whose policy host is it? Strangers are told apart by the registered domain and by
 * the addresses of the policy host, so that one operator's silence is not taken for another's.
 *
 * Pure, any thread. */
#ifndef GATEWAY_STS_OPERATOR_H
#define GATEWAY_STS_OPERATOR_H

#include "gateway/net/address.h"

#define OPERATOR_DOMAIN_MARK 0 /* the others are of addresses */
#define OPERATOR_ADDRESSES_MAX 4
#define OPERATOR_MARKS_MAX (1 + OPERATOR_ADDRESSES_MAX)

struct sts_operator {
    size_t count;
    /* "one.example", "192.0.2.1", "2001:db8:1:2::" */
    char marks[OPERATOR_MARKS_MAX][DOMAIN_SIZE];
};

/* Of a policy domain and its policy host's addresses; of many, the first count. The registered
 * domain is guessed, without a list: the last two labels, and three below the likes of "co.uk". An
 * IPv6 address stands for its /64. */
void operator_of(const char *domain, const struct net_address *addresses, size_t count,
                 struct sts_operator *out);
bool operator_is_related(const struct sts_operator *a, const struct sts_operator *b);

#endif
