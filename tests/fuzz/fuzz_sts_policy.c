/* A policy as a web server may serve it. */
#include <string.h>

#include "gateway/sts/policy.h"
#include "tests/fuzz/fuzz.h"

static void check_mx(const struct sts_policy *policy, const char *mx)
{
    char host[DOMAIN_SIZE + 1];
    size_t len = strlen(mx);
    HOLDS(len > 0 && len <= DOMAIN_MAX);
    HOLDS(strspn(mx, "abcdefghijklmnopqrstuvwxyz0123456789-.*") == len);
    HOLDS(!strchr(mx + 1, '*') && !strstr(mx, "..") && mx[len - 1] != '.' && mx[0] != '.');
    HOLDS(mx[0] != '*' || mx[1] == '.');
    memcpy(host, mx, len + 1);
    if (host[0] == '*')
        host[0] = 'a';
    HOLDS(sts_policy_covers(policy, host));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = fuzz_input(data, size);
    struct sts_policy policy;
    const char *why;
    if (!sts_policy_parse(in, &policy, &why)) {
        HOLDS(why[0] && !policy.mx && !policy.text && policy.mx_count == 0);
        return 0;
    }
    HOLDS(!why[0] && size <= STS_TEXT_MAX && policy.mx_count <= STS_MX_MAX);
    HOLDS(policy.max_age >= 0 && policy.max_age <= STS_MAX_AGE_MAX);
    HOLDS(policy.mx_count > 0 || policy.mode == STS_MODE_NONE);
    HOLDS(strlen(policy.text) == size);
    for (size_t i = 0; i < policy.mx_count; i++)
        check_mx(&policy, policy.mx[i]);
    sts_policy_clear(&policy);
    return 0;
}
