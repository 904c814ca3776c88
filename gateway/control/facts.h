/* facts.h - what a host showed, in the words of INTERFACE.md ("check"). Constant; any thread. */
#ifndef GATEWAY_CONTROL_FACTS_H
#define GATEWAY_CONTROL_FACTS_H

/* By their numbers in gateway/guarantee/judge.h; the store may hold one that nobody knows:
 * "unknown". */
const char *fact_tlsa(unsigned tlsa);         /* none, usable, unusable, error */
const char *fact_sts(unsigned sts);           /* none, testing, covered, excluded, unknown */
const char *fact_verified(unsigned verified); /* no, dane, sts, pkix */

#endif
