/* policy.h - the two texts of MTA-STS, read strictly (RFC 8461 sections 3.1 and 3.2).
 *
 * Pure, any thread. Both texts come from strangers. What the grammar does not allow is no record
 * and no policy; three kindnesses are named at the functions. */
#ifndef GATEWAY_STS_POLICY_H
#define GATEWAY_STS_POLICY_H

#include "mail/slice.h"

#define STS_ID_SIZE 33           /* 1*32 letters and digits, and the NUL */
#define STS_TEXT_MAX 65536       /* octets of a policy; more is no policy (RFC 8461 3.3) */
#define STS_MX_MAX 1000          /* mx fields of a policy; more is no policy */
#define STS_MAX_AGE_MAX 31557600 /* seconds, a year (RFC 8461 3.2) */

/* Why no policy was found although the domain announces one, as reports name it (RFC 8460 section
 * 4.3.2.2). */
enum sts_failure {
    STS_FAILURE_NONE,
    STS_FAILURE_FETCH,   /* sts-policy-fetch-error */
    STS_FAILURE_INVALID, /* sts-policy-invalid */
    STS_FAILURE_WEBPKI,  /* sts-webpki-invalid */
};

enum sts_mode { STS_MODE_NONE, STS_MODE_TESTING, STS_MODE_ENFORCE };

struct sts_policy {
    enum sts_mode mode;
    char id[STS_ID_SIZE]; /* of the TXT record that announced it */
    int64_t max_age;      /* seconds */
    /* Wall clock seconds. */
    int64_t fetched_at;
    int64_t expires_at;
    size_t mx_count;         /* 0 with mode none alone */
    char (*mx)[DOMAIN_SIZE]; /* owned; lower case, "mx.example" or "*.example" */
    char *text;              /* owned; as it was served, no NUL inside */
};

/* Fills mode, max_age, mx and text; id, fetched_at and expires_at are the caller's. False: *why
 * says what is wrong (static), *out is empty. More than the greatest max_age counts as the
 * greatest, and empty lines at the end are none. */
NODISCARD bool sts_policy_parse(struct slice text, struct sts_policy *out, const char **why);
void sts_policy_copy(struct sts_policy *to, const struct sts_policy *from); /* deep */
void sts_policy_clear(struct sts_policy *policy); /* frees what it holds; empties it */
const char *sts_mode_name(enum sts_mode mode);    /* "none", "testing", "enforce" */

/* Is `host` one of the policy's? Case and a final dot do not matter; "*" stands for exactly one
 * label, the leftmost (RFC 8461 section 4.1). Says nothing of the mode. */
bool sts_policy_covers(const struct sts_policy *policy, const char *host);

enum sts_txt {
    STS_TXT_NONE,    /* no record begins with "v=STSv1;": the domain does without */
    STS_TXT_VALID,   /* exactly one does, and it is well-formed */
    STS_TXT_INVALID, /* several do, or the one is not well-formed: no policy can be found */
};
/* Of all TXT records of _mta-sts.DOMAIN. id is "" unless valid, *why says why it is not. A blank
 * before the first semicolon is let pass, as the grammar does and the prose does not. */
enum sts_txt sts_txt_read(const struct slice *texts, size_t count, char id[STS_ID_SIZE],
                          const char **why);

#endif
