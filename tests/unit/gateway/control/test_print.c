#include "gateway/control/print.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static char *out_text, *err_text;
static size_t out_len, err_len;

static int print(const char *command, const char *answer, bool wants_json)
{
    free(out_text);
    free(err_text);
    FILE *out = open_memstream(&out_text, &out_len);
    FILE *err = open_memstream(&err_text, &err_len);
    int status = print_answer(command, slice_of(answer), wants_json, true, out, err);
    fclose(out);
    fclose(err);
    return status;
}

static int teardown(void **state)
{
    (void)state;
    free(out_text);
    free(err_text);
    out_text = err_text = NULL;
    return 0;
}

#define OK(result) "{\"ok\":true,\"result\":" result "}\n"

/* What people read, to the letter. */
static const struct {
    const char *command;
    const char *answer;
    const char *want;
} goldens[] = {
    {"user show",
     OK("{\"address\":\"alice@xn--bcher-kva.example\",\"aliases\":[\"a@x.example\","
        "\"b@x.example\"],\"guarantee\":\"verified\",\"guarantee_until\":null,"
        "\"guarantee_since\":\"2026-11-22T15:28:50Z\",\"guarantee_locked\":true,"
        "\"language\":\"de\",\"hold_back_seconds\":90}"),
     "Address:     alice@b\xc3\xbc"
     "cher.example\n"
     "Aliases:     a@x.example, b@x.example\n"
     "Guarantee:   verified, locked, since 2026-11-22 15:28:50Z\n"
     "Language:    de\n"
     "Hold back:   1m 30s\n"},
    {"user show",
     OK("{\"address\":\"alice@x.example\",\"guarantee\":\"verified\",\"guarantee_own\":true,"
        "\"guarantee_until\":\"2026-11-22T15:28:50Z\",\"guarantee_locked\":true,\"language\":"
        "\"en\","
        "\"guarantee_back\":{\"guarantee\":\"off\",\"dry_run_level\":\"encrypt\",\"guarantee_"
        "locked\":"
        "true,\"guarantee_own\":true},\"exceptions\":[{\"domain\":\"xn--bcher-kva.example\","
        "\"until\":null},{\"domain\":\".y.example\",\"until\":\"2026-12-31T00:00:00Z\"}],"
        "\"forwards\":[\"bob@else.example\",\"eve@else.example\"]}"),
     "Address:     alice@x.example\n"
     "Guarantee:   verified, locked, until 2026-11-22 15:28:50Z\n"
     "             then off (dry run of encrypt), locked\n"
     "Language:    en\n"
     "Exceptions:  b\xc3\xbc"
     "cher.example\n"
     "             .y.example until 2026-12-31 00:00:00Z\n"
     "Forwards:    bob@else.example\n"
     "             eve@else.example\n"},
    {"user show",
     OK("{\"address\":\"alice@x.example\",\"guarantee\":\"off\",\"guarantee_own\":false,"
        "\"guarantee_until\":null,\"guarantee_back\":null,\"language\":\"en\",\"exceptions\":[],"
        "\"forwards\":null}"),
     "Address:     alice@x.example\n"
     "Guarantee:   off, by default\n"
     "Language:    en\n"
     "Forwards:    the store cannot say\n"},
    {"user show",
     OK("{\"address\":\"alice@x.example\",\"guarantee\":\"encrypt\",\"guarantee_own\":true,"
        "\"guarantee_until\":\"2026-11-22T15:28:50Z\",\"guarantee_back\":{\"guarantee\":\"off\","
        "\"guarantee_own\":false},\"language\":\"en\",\"exceptions\":[],\"forwards\":[]}"),
     "Address:     alice@x.example\n"
     "Guarantee:   encrypt, until 2026-11-22 15:28:50Z\n"
     "             then off, by default\n"
     "Language:    en\n"},
    {"user list",
     OK("[{\"address\":\"alice@x.example\",\"aliases\":[],\"guarantee\":\"off\","
        "\"guarantee_until\":\"2026-11-22T15:28:50Z\"},{\"address\":\"b@x.example\",\"aliases\":"
        "[\"c@x.example\"],\"guarantee\":\"encrypt\",\"guarantee_locked\":true}]"),
     "ADDRESS          GUARANTEE        UNTIL                 ALIASES\n"
     "alice@x.example  off              2026-11-22 15:28:50Z\n"
     "b@x.example      encrypt, locked                        c@x.example\n"},
    {"user list", OK("[]"), "there are no users\n"},
    {"guarantee",
     OK("{\"address\":\"alice@x.example\",\"aliases\":[],\"guarantee\":\"off\",\"dry_run\":true,"
        "\"dry_run_level\":\"verified\",\"guarantee_since\":\"2026-11-22T15:28:50Z\","
        "\"language\":\"en\",\"receipts\":true}"),
     "Address:     alice@x.example\n"
     "Guarantee:   off (dry run of verified), since 2026-11-22 15:28:50Z\n"
     "Language:    en\n"
     "Receipts:    always\n"},
    {"guarantee",
     OK("{\"address\":\"alice@x.example\",\"guarantee\":\"off\",\"language\":\"en\","
        "\"lock_removed\":true}"),
     "Address:     alice@x.example\n"
     "Guarantee:   off\n"
     "             not locked any more: the user may lower it\n"
     "Language:    en\n"},
    {"exception add",
     OK("{\"user\":\"alice@x.example\",\"domain\":\"y.example\",\"until\":"
        "\"2026-12-31T00:00:00Z\"}"),
     "the guarantee of alice@x.example does not bind mail to y.example until\n"
     "    2026-12-31 00:00:00Z\n"},
    {"exception add", OK("{\"user\":\"a@x.example\",\"domain\":\".y.example\",\"until\":null}"),
     "the guarantee of a@x.example does not bind mail to .y.example\n"},
    {"exception add",
     OK("{\"user\":\"a@x.example\",\"domain\":\"y.example\",\"until\":null,\"replaced\":{"
        "\"until\":\"2026-12-31T00:00:00Z\",\"set_at\":\"2026-11-22T15:28:50Z\"}}"),
     "the guarantee of a@x.example does not bind mail to y.example\n"
     "it replaces the one until 2026-12-31 00:00:00Z, set 2026-11-22 15:28:50Z\n"},
    {"exception add",
     OK("{\"user\":\"a@x.example\",\"domain\":\"y.example\",\"until\":\"2026-12-31T00:00:00Z\","
        "\"replaced\":{\"until\":null,\"set_at\":\"2026-11-22T15:28:50Z\"}}"),
     "the guarantee of a@x.example does not bind mail to y.example until 2026-12-31\n"
     "    00:00:00Z\n"
     "it replaces the one for good, set 2026-11-22 15:28:50Z\n"},
    {"exception remove", OK("{\"user\":\"a@x.example\",\"domain\":\"y.example\",\"until\":null}"),
     "the guarantee of a@x.example binds mail again to y.example\n"},
    {"exception list",
     OK("[{\"user\":\"a@x.example\",\"domain\":\"xn--bcher-kva.example\",\"until\":null,"
        "\"set_at\":\"2026-11-22T15:28:50Z\"},{\"user\":\"a@x.example\",\"domain\":\".y.example\","
        "\"until\":\"2026-12-31T00:00:00Z\",\"set_at\":\"2026-11-22T15:28:50Z\"}]"),
     "USER         DOMAIN          UNTIL                 SET\n"
     "a@x.example  b\xc3\xbc"
     "cher.example  for good              2026-11-22 15:28:50Z\n"
     "a@x.example  .y.example      2026-12-31 00:00:00Z  2026-11-22 15:28:50Z\n"},
    {"exception list", OK("[]"), "there are no exceptions\n"},
    {"report dry-run",
     OK("[{\"at\":\"2026-11-22T15:28:50Z\",\"id\":\"3K7W9XHR2M4P\",\"user\":\"a@x.example\","
        "\"recipient\":\"bob@y.example\",\"status\":\"5.7.4\",\"reason\":\"TLS is required, but "
        "was not offered by host mx.y.example[192.0.2.9]\"}]"),
     "2026-11-22 15:28:50Z  a@x.example to bob@y.example\n"
     "    3K7W9XHR2M4P: 5.7.4 TLS is required, but was not offered by host\n"
     "        mx.y.example[192.0.2.9]\n"},
    {"report dry-run", OK("[]"), "nothing would have been stopped\n"},
    {"posture",
     OK("[{\"domain\":\"y.example\",\"host\":\"mx1.y.example\",\"first_seen_at\":"
        "\"2026-11-01T10:00:00Z\",\"last_seen_at\":\"2026-11-22T15:28:50Z\",\"looks\":12,"
        "\"tls_looks\":11,\"tls_first_at\":\"2026-11-01T10:00:00Z\",\"tls_last_at\":"
        "\"2026-11-21T15:28:50Z\",\"protocol\":\"TLSv1.3\",\"cipher\":\"TLS_AES_256_GCM_SHA384\","
        "\"key_exchange\":\"X25519\",\"key_digest\":\"0123456789abcdef0123\",\"tlsa\":\"usable\","
        "\"sts\":\"covered\",\"verified\":\"dane\",\"refusals\":1,\"refusal_first_at\":"
        "\"2026-11-22T15:28:50Z\",\"refusal_last_at\":\"2026-11-22T15:28:50Z\",\"refusal\":"
        "\"no TLS\"},{\"domain\":\"y.example\",\"host\":\"mx2.y.example\",\"first_seen_at\":"
        "\"2026-11-22T15:28:50Z\",\"last_seen_at\":\"2026-11-22T15:28:50Z\",\"looks\":4,"
        "\"tls_looks\":1,\"tls_last_at\":\"2026-11-22T15:28:50Z\",\"protocol\":\"TLSv1.3\","
        "\"cipher\":\"TLS_AES_128_GCM_SHA256\",\"tlsa\":\"none\",\"sts\":\"none\",\"verified\":"
        "\"no\",\"refusals\":0,\"refusal_first_at\":\"2026-11-02T10:00:00Z\",\"refusal_last_at\":"
        "\"2026-11-03T10:00:00Z\",\"refusal\":\"no TLS\"}]"),
     "mx1.y.example for y.example\n"
     "    seen 2026-11-22 15:28:50Z, first 2026-11-01 10:00:00Z; 12 looks\n"
     "    acceptable TLS on 11 looks, last 2026-11-21 15:28:50Z\n"
     "    TLSv1.3, TLS_AES_256_GCM_SHA384, X25519, key 0123456789abcdef...\n"
     "    DANE: usable; MTA-STS: covered; verified: dane\n"
     "    no acceptable TLS on 1 look since then:\n"
     "        first 2026-11-22 15:28:50Z, last 2026-11-22 15:28:50Z\n"
     "        no TLS\n"
     "mx2.y.example for y.example\n"
     "    seen 2026-11-22 15:28:50Z, first 2026-11-22 15:28:50Z; 4 looks\n"
     "    acceptable TLS on 1 look, last 2026-11-22 15:28:50Z\n"
     "    TLSv1.3, TLS_AES_128_GCM_SHA256\n"
     "    DANE: none; MTA-STS: none; verified: no\n"
     "    no acceptable TLS in the past:\n"
     "        first 2026-11-02 10:00:00Z, last 2026-11-03 10:00:00Z\n"
     "        no TLS\n"},
    {"posture",
     OK("[{\"domain\":\"y.example\",\"host\":\"mx.y.example\",\"first_seen_at\":"
        "\"2026-11-22T15:28:50Z\",\"last_seen_at\":\"2026-11-22T15:28:50Z\",\"looks\":1,"
        "\"tls_looks\":0,\"tls_last_at\":null,\"protocol\":\"TLSv1.3\",\"cipher\":"
        "\"TLS_AES_256_GCM_SHA384\",\"key_exchange\":\"X25519\",\"key_digest\":"
        "\"0123456789abcdef0123\",\"tlsa\":\"usable\",\"sts\":\"none\",\"verified\":\"no\","
        "\"failed\":\"dane\",\"refusals\":1,\"refusal_first_at\":\"2026-11-22T15:28:50Z\","
        "\"refusal_last_at\":\"2026-11-22T15:28:50Z\",\"refusal\":\"no TLSA record matches\"}]"),
     "mx.y.example for y.example\n"
     "    seen 2026-11-22 15:28:50Z, first 2026-11-22 15:28:50Z; 1 look\n"
     "    TLSv1.3, TLS_AES_256_GCM_SHA384, X25519, key 0123456789abcdef...\n"
     "    not acceptable: what DANE requires failed\n"
     "    DANE: usable; MTA-STS: none; verified: no\n"
     "    no acceptable TLS on 1 look:\n"
     "        first 2026-11-22 15:28:50Z, last 2026-11-22 15:28:50Z\n"
     "        no TLSA record matches\n"},
    {"posture", OK("[]"), "nothing has been seen\n"},
    {"sts list",
     OK("[{\"domain\":\"y.example\",\"id\":\"a1\",\"mode\":\"enforce\",\"mx\":[\"mx.y.example\","
        "\"*.z.example\"],\"fetched_at\":\"2026-11-22T15:28:50Z\",\"expires_at\":"
        "\"2026-11-29T15:28:50Z\",\"expired\":false},{\"domain\":\"z.example\",\"id\":\"b\","
        "\"mode\":"
        "null,\"mx\":[],\"fetched_at\":\"2026-11-02T15:28:50Z\",\"expires_at\":"
        "\"2026-11-09T15:28:50Z\",\"expired\":true}]"),
     "y.example: enforce, id a1\n"
     "    fetched 2026-11-22 15:28:50Z, good until 2026-11-29 15:28:50Z\n"
     "    mx: mx.y.example\n"
     "    mx: *.z.example\n"
     "z.example: damaged, id b\n"
     "    fetched 2026-11-02 15:28:50Z, expired 2026-11-09 15:28:50Z\n"},
    {"sts list", OK("[]"), "there are no MTA-STS policies\n"},
    {"sts purge", OK("{\"domain\":\"y.example\",\"kept\":true}"),
     "the MTA-STS policy of y.example is forgotten\n"},
    {"sts purge", OK("{\"domain\":\"y.example\",\"kept\":false}"),
     "no MTA-STS policy of y.example was kept\n"},
    {"user remove", OK("{\"address\":\"a@x.example\"}"), "a@x.example is no user any more\n"},
    {"forward add", OK("{\"owner\":\"a@x.example\",\"target\":\"b@y.example\"}"),
     "b@y.example is now a forward of a@x.example\n"},
    {"forward remove", OK("{\"owner\":\"a@x.example\",\"target\":\"b@y.example\"}"),
     "b@y.example is no longer a forward of a@x.example\n"},
    {"forward list", OK("[{\"owner\":\"a@x.example\",\"target\":\"b@y.example\"}]"),
     "OWNER        TARGET\n"
     "a@x.example  b@y.example\n"},
    {"queue list",
     OK("[{\"id\":\"3K7W9XHR2M4P\",\"sender\":\"alice@site.example\",\"user\":"
        "\"alice@site.example\",\"size\":2048,\"arrived_at\":\"2026-11-22T15:28:50Z\","
        "\"recipients\":[{\"address\":\"bob@plain.example\",\"state\":\"deferred\",\"attempts\":1,"
        "\"next_attempt_at\":\"2026-11-22T15:33:50Z\",\"reason\":\"450 4.2.0 greylisted\"},"
        "{\"address\":\"eve@plain.example\",\"state\":\"held\",\"attempts\":2,"
        "\"next_attempt_at\":null,\"reason\":\"no TLS\"}]}]"),
     "3K7W9XHR2M4P  2026-11-22 15:28:50Z  2.0 KiB  from alice@site.example\n"
     "    bob@plain.example: deferred, 1 attempt, next 2026-11-22 15:33:50Z\n"
     "        450 4.2.0 greylisted\n"
     "    eve@plain.example: held, 2 attempts\n"
     "        no TLS\n"},
    {"queue list", OK("[]"), "the queue is empty\n"},
    {"queue retry", OK("{\"id\":null}"), "all that waits is tried again now\n"},
    {"queue retry", OK("{\"id\":\"B1\",\"running\":true}"), "B1 is tried again now\n"},
    {"queue retry", OK("{\"id\":\"B1\",\"running\":false}"),
     "B1 is tried again when sealpostd starts\n"},
    {"queue retry", OK("{\"id\":null,\"running\":false}"),
     "all that waits is tried again when sealpostd starts\n"},
    {"queue remove", OK("{\"id\":\"B1\"}"), "B1 is removed\n"},
    {"held drop", OK("{\"id\":\"B1\"}"), "B1 is dropped\n"},
    {"held list",
     OK("[{\"id\":\"3K7W9XHR2M4P\",\"sender\":\"\",\"user\":null,\"size\":700,\"stopped_at\":"
        "\"2026-11-22T15:28:50Z\",\"expires_at\":\"2026-11-29T15:28:50Z\",\"recipients\":["
        "{\"address\":\"bob@plain.example\",\"reason\":\"TLS is required, but was not offered by "
        "host mx.plain.example[192.0.2.9]\",\"status\":\"5.7.4\",\"release\":\"force\",\"notice\":"
        "false}]}]"),
     "3K7W9XHR2M4P  stopped 2026-11-22 15:28:50Z, kept until 2026-11-29 15:28:50Z\n"
     "    from <>, 700 B\n"
     "    bob@plain.example: 5.7.4 TLS is required, but was not offered by host\n"
     "        mx.plain.example[192.0.2.9]\n"
     "        its domain publishes DANE or MTA-STS, or it could not be learnt: release\n"
     "        needs --force\n"
     "        nobody could be told of the stop by mail\n"},
    {"held list", OK("[]"), "nothing is held\n"},
    {"held show",
     OK("{\"id\":\"B1\",\"sender\":\"a@x.example\",\"user\":\"a@x.example\",\"size\":700,"
        "\"arrived_at\":\"2026-11-22T15:28:50Z\",\"origin\":\"submission\",\"envid\":null,"
        "\"recipients\":[{\"address\":\"bob@plain.example\",\"reason\":\"no TLS\",\"status\":"
        "\"5.7.4\",\"release\":\"refused\",\"notice\":true,\"guarantee\":\"encrypt\",\"owner\":"
        "\"a@x.example\",\"mx\":\"mx.plain.example\",\"mx_address\":\"192.0.2.9\",\"required\":"
        "\"TLS\",\"evidence\":\"line one\\nline two\\n\"}]}"),
     "ID:          B1\n"
     "Sender:      a@x.example\n"
     "User:        a@x.example\n"
     "Came by:     submission\n"
     "Arrived:     2026-11-22 15:28:50Z\n"
     "Size:        700 B\n"
     "\n"
     "    bob@plain.example: 5.7.4 no TLS\n"
     "        a policy or REQUIRETLS is the cause: only release --recheck is possible\n"
     "        guarantee: encrypt\n"
     "        of: a@x.example\n"
     "        host: mx.plain.example[192.0.2.9]\n"
     "        required: TLS\n"
     "        what was seen:\n"
     "            line one\n"
     "            line two\n"},
    {"release", OK("{\"id\":\"B1\",\"mode\":\"release\",\"recipients\":[\"b@y.example\"]}"),
     "B1: mail to b@y.example is sent without the guarantee\n"},
    {"release", OK("{\"id\":\"B1\",\"mode\":\"recheck\",\"recipients\":[\"b@y.example\"]}"),
     "B1: mail to b@y.example is tried again under the guarantee\n"},
    {"release",
     OK("{\"id\":\"B1\",\"mode\":\"release\",\"recipients\":[\"b@y.example\"],\"running\":false}"),
     "B1: mail to b@y.example is sent without the guarantee when sealpostd starts\n"},
    {"check",
     OK("{\"domain\":\"xn--bcher-kva.example\",\"verdict\":\"deliverable\",\"level\":\"dane\","
        "\"asked_level\":\"encrypt\",\"at\":\"2026-11-22T15:28:55Z\",\"reason\":null,\"hosts\":["
        "{\"host\":\"mx1.y.example\",\"preference\":10,\"address\":\"192.0.2.9\",\"port\":25,"
        "\"at\":\"2026-11-22T15:28:50Z\",\"reachable\":true,\"starttls\":true,\"protocol\":"
        "\"TLSv1.3\",\"cipher\":\"TLS_AES_256_GCM_SHA384\",\"key_exchange\":\"X25519\","
        "\"key_digest\":\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\","
        "\"tlsa\":\"usable\",\"sts\":\"covered\",\"verified\":\"dane\",\"requiretls\":true,"
        "\"acceptable\":true,\"certificate_error\":null,\"error\":null},"
        "{\"host\":\"mx2.y.example\",\"preference\":20,\"address\":\"192.0.2.10\",\"port\":25,"
        "\"at\":\"2026-11-22T15:28:50Z\",\"reachable\":true,\"starttls\":false,\"tlsa\":"
        "\"none\",\"sts\":\"none\",\"verified\":\"no\",\"acceptable\":false,\"error\":\"5.7.4 "
        "TLS is required, but was not offered by host mx2.y.example[192.0.2.10]\"},"
        "{\"host\":\"mx3.y.example\",\"preference\":30,\"address\":null,\"port\":25,\"at\":null,"
        "\"reachable\":false,\"starttls\":false,\"tlsa\":\"error\",\"sts\":\"unknown\","
        "\"sts_error\":\"HTTP 503\",\"verified\":\"no\",\"acceptable\":false,\"error\":"
        "\"4.4.3 no address\"}]}"),
     "Domain:      b\xc3\xbc"
     "cher.example\n"
     "Verdict:     deliverable at level encrypt\n"
     "Best level:  dane\n"
     "Checked:     2026-11-22 15:28:55Z\n"
     "\n"
     "PREF  HOST           ADDRESS     STARTTLS  TLS      TLSA    VERIFIED\n"
     "10    mx1.y.example  192.0.2.9   yes       TLSv1.3  usable  dane\n"
     "20    mx2.y.example  192.0.2.10  no        -        none    no\n"
     "30    mx3.y.example  -           -         -        error   no\n"
     "\n"
     "mx1.y.example[192.0.2.9]:25 at 2026-11-22 15:28:50Z\n"
     "    TLSv1.3, TLS_AES_256_GCM_SHA384, X25519, key SHA-256 0123456789abcdef...,\n"
     "    offers REQUIRETLS\n"
     "    MTA-STS: covered\n"
     "    acceptable\n"
     "\n"
     "mx2.y.example[192.0.2.10]:25 at 2026-11-22 15:28:50Z\n"
     "    5.7.4 TLS is required, but was not offered by host mx2.y.example[192.0.2.10]\n"
     "\n"
     "mx3.y.example\n"
     "    MTA-STS: unknown, HTTP 503\n"
     "    4.4.3 no address\n"},
    {"check",
     OK("{\"domain\":\"y.example\",\"verdict\":\"deliverable\",\"level\":\"encrypt\",\"asked_"
        "level\":"
        "\"encrypt\",\"at\":\"2026-11-22T15:28:55Z\",\"reason\":\"5.7.5 not valid\",\"required\":"
        "\"a valid certificate, by our policy\",\"hosts\":[{\"host\":\"mx1.y.example\","
        "\"preference\":10,\"address\":null,\"port\":25,\"at\":null,\"reachable\":false,\"tlsa\":"
        "\"none\",\"sts\":\"testing\",\"sts_under_enforce\":\"5.7.5 not listed\",\"verified\":"
        "\"no\",\"error\":\"5.7.5 not valid\"},{\"host\":\"mx2.y.example\",\"preference\":20,"
        "\"address\":null,\"port\":25,\"at\":null,\"reachable\":false,\"tlsa\":\"none\",\"sts\":"
        "\"none\",\"sts_error\":\"HTTP 404\",\"verified\":\"no\",\"error\":null,"
        "\"local_route\":true}]}"),
     "Domain:      y.example\n"
     "Verdict:     deliverable at level encrypt\n"
     "Required:    a valid certificate, by our policy\n"
     "Best level:  encrypt (local route)\n"
     "Checked:     2026-11-22 15:28:55Z\n"
     "\n"
     "PREF  HOST           ADDRESS  STARTTLS  TLS  TLSA  VERIFIED\n"
     "10    mx1.y.example  -        -         -    none  no\n"
     "20    mx2.y.example  -        -         -    none  no\n"
     "\n"
     "mx1.y.example\n"
     "    MTA-STS: testing\n"
     "        under mode enforce: 5.7.5 not listed\n"
     "    5.7.5 not valid\n"
     "\n"
     "mx2.y.example\n"
     "    MTA-STS: none, HTTP 404\n"
     "    acceptable: a local route, nothing crosses a network\n"},
    {"status",
     OK("{\"version\":\"0.1.0\",\"running\":true,\"uptime_seconds\":3700,\"queued\":1,"
        "\"deferred\":2,\"held\":3,\"held_without_notice\":1,\"connections\":4,\"messages\":5,"
        "\"used_bytes\":1048576,\"limit_bytes\":68719476736,"
        "\"resolver\":\"self-test: expected a secure answer for example.org, but the answer is "
        "insecure\",\"breaker\":\"closed\",\"downgrades\":3}"),
     "sealpost 0.1.0, running for 1h 1m\n"
     "Queued:      1 recipient not tried yet\n"
     "Deferred:    2 recipients to be tried again\n"
     "Held:        3 recipients stopped for lack of the TLS that is required\n"
     "Untold:      1 of them nobody could be told of by mail\n"
     "Messages:    5 in the store\n"
     "Connections: 4 open\n"
     "Store:       1.0 MiB of 64.0 GiB\n"
     "Resolver:    self-test: expected a secure answer for example.org, but the answer\n"
     "             is insecure\n"
     "Breaker:     closed\n"
     "Downgrades:  3 alarms since start: a host offered TLS and then did not\n"},
    {"status",
     OK("{\"version\":\"0.1.0\",\"running\":true,\"uptime_seconds\":3700,\"queued\":2,"
        "\"deferred\":1,\"held\":1,\"resolver\":\"ok\",\"breaker\":\"open: no TLS at 30 of 31 "
        "destinations\",\"breaker_open\":true,\"breaker_opened_at\":\"2026-11-22T15:28:50Z\","
        "\"downgrades\":1}"),
     "sealpost 0.1.0, running for 1h 1m\n"
     "Queued:      2 recipients not tried yet\n"
     "Deferred:    1 recipient to be tried again\n"
     "Held:        1 recipient stopped for lack of the TLS that is required\n"
     "Untold:      0 of them nobody could be told of by mail\n"
     "Messages:    0 in the store\n"
     "Connections: 0 open\n"
     "Store:       0 B of 0 B\n"
     "Resolver:    ok\n"
     "Breaker:     open: no TLS at 30 of 31 destinations\n"
     "             since 2026-11-22 15:28:50Z; stops are suspended meanwhile\n"
     "Downgrades:  1 alarm since start: a host offered TLS and then did not\n"},
    {"status", OK("{\"version\":\"0.1.0\",\"running\":false,\"resolver\":\"\"}"),
     "sealpost 0.1.0, not running\n"
     "Queued:      0 recipients not tried yet\n"
     "Deferred:    0 recipients to be tried again\n"
     "Held:        0 recipients stopped for lack of the TLS that is required\n"
     "Untold:      0 of them nobody could be told of by mail\n"
     "Messages:    0 in the store\n"
     "Connections: 0 open\n"
     "Store:       0 B of 0 B\n"},
};

static void each_answer_reads_as_it_should(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(goldens); i++) {
        assert_int_equal(print(goldens[i].command, goldens[i].answer, false), 0);
        assert_string_equal(out_text, goldens[i].want);
        assert_string_equal(err_text, "");
    }
}

static void with_json_the_result_is_one_document_as_it_came(void **state)
{
    (void)state;
    assert_int_equal(print("queue list", OK("[{\"id\":\"B1\"},{\"id\":\"B2\"}]"), true), 0);
    assert_string_equal(out_text, "[{\"id\":\"B1\"},{\"id\":\"B2\"}]\n");
}

static void the_exit_status_of_a_check_is_its_verdict(void **state)
{
    static const struct {
        const char *answer;
        int want;
    } cases[] = {
        {OK("{\"verdict\":\"deliverable\",\"hosts\":[]}"), 0},
        {OK("{\"verdict\":\"refused\",\"asked_level\":\"verified\",\"reason\":\"5.1.2 no such "
            "domain\",\"hosts\":[]}"),
         1},
        {OK("{\"verdict\":\"unknown\",\"reason\":\"4.4.3 no answer\",\"hosts\":[]}"), 75},
        {OK("{}"), 75},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(print("check", cases[i].answer, false), cases[i].want);
        assert_int_equal(print("check", cases[i].answer, true), cases[i].want);
        assert_string_equal(err_text, "");
    }
    assert_int_equal(print("check", cases[1].answer, false), 1);
    assert_string_equal(
        out_text, "Verdict:     refused at level verified\nReason:      5.1.2 no such domain\n");
    assert_int_equal(print("check", OK("{\"verdict\":\"deliverable\""), true), 75);
}

static void an_error_is_one_line_with_its_exit_status(void **state)
{
    (void)state;
    assert_int_equal(
        print("release", "{\"error\":\"B1: no\\nsuch \\u001bthing\",\"exit\":1}\n", false), 1);
    assert_string_equal(out_text, "");
    assert_string_equal(err_text, "sealpostctl: B1: no?such ?thing\n");
    assert_int_equal(print("release", "{\"error\":\"later\",\"exit\":75}\n", true), 75);
}

static void an_answer_that_is_not_whole_is_temporary(void **state)
{
    static const char *const cut[] = {
        "",
        "{",
        "{\"ok\":true,\"result\":[{\"id\":\"B1\"}",
        "{\"ok\":true,\"result\":[{\"id\":\"B1\"},",
        "{\"error\":\"no exit\"}\n",
        "{\"error\":\"\",\"exit\":1}\n",
        "{\"error\":\"exit 0\",\"exit\":0}\n",
        "garbage\n",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cut); i++) {
        assert_int_equal(print("queue list", cut[i], false), 75);
        assert_int_equal(print("queue list", cut[i], true), 75);
        assert_non_null(strstr(err_text, "broke off"));
    }
    assert_int_equal(print("queue list", OK("[{]"), false), 75);
    assert_int_equal(print("queue list", OK("[{} {}]"), false), 75);
    assert_int_equal(print("queue list", OK("{}"), false), 75);
    assert_int_equal(print("user show", OK("{"), false), 75);
}

static void without_a_terminal_for_it_domains_stay_as_they_are(void **state)
{
    (void)state;
    free(out_text);
    FILE *out = open_memstream(&out_text, &out_len);
    assert_int_equal(print_answer("user remove", SLICE(OK("{\"address\":\"a@xn--bcher-kva.x\"}")),
                                  false, false, out, stderr),
                     0);
    fclose(out);
    assert_string_equal(out_text, "a@xn--bcher-kva.x is no user any more\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(each_answer_reads_as_it_should, teardown),
        cmocka_unit_test_teardown(with_json_the_result_is_one_document_as_it_came, teardown),
        cmocka_unit_test_teardown(the_exit_status_of_a_check_is_its_verdict, teardown),
        cmocka_unit_test_teardown(an_error_is_one_line_with_its_exit_status, teardown),
        cmocka_unit_test_teardown(an_answer_that_is_not_whole_is_temporary, teardown),
        cmocka_unit_test_teardown(without_a_terminal_for_it_domains_stay_as_they_are, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
