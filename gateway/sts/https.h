/* https.h - one HTTPS request to addresses that are known already.
 *
 * libcurl stays behind this header. No redirect is followed, no proxy, cookie, netrc or environment
 * is used, no name is looked up, TLS is 1.2 or newer, HTTP is 1.1. The certificate must be valid
 * for the host by a DNS name in its subjectAltName, whole or behind a "*" that is the whole
 * leftmost label (RFC 8461 section 3.3); a common name never counts. It is judged before a byte of
 * the request is sent. All functions belong to the loop's thread. */
#ifndef GATEWAY_STS_HTTPS_H
#define GATEWAY_STS_HTTPS_H

#include "gateway/net/address.h"
#include "gateway/net/loop.h"

#define HTTPS_PATH_SIZE 1024

struct https_call {
    const char *host; /* A-label: SNI, Host field, name in the certificate */
    uint16_t port;
    const char *path; /* "/.well-known/mta-sts.txt" */
    /* Tried in the way of RFC 8305; their ports do not count. */
    const struct net_address *addresses;
    size_t address_count;
    const char *content_type; /* NULL: GET; else POST of `body` */
    struct slice body;
    const char *ca_file; /* PEM; "": those of the system. Never both. */
    size_t answer_max;   /* octets of the answer's body; 0 is fine */
    int64_t timeout_ms;  /* for all of it */
};

enum https_status {
    HTTPS_ANSWERED,    /* a whole answer, whatever its code */
    HTTPS_CERTIFICATE, /* not valid, or not for this host */
    HTTPS_TOO_LARGE,   /* body above answer_max, or head above 64 KiB */
    HTTPS_TROUBLE,     /* what may pass: no connection, no TLS, cut off, too slow, no HTTP */
    HTTPS_OUR_FAULT,   /* descriptors, memory, the CA file */
};

/* Borrowed for the call. */
struct https_answer {
    enum https_status status;
    unsigned code;            /* ANSWERED: 200, 301, ... */
    const char *content_type; /* ANSWERED: as sent, "" without */
    struct slice body;        /* ANSWERED */
    const char *detail;       /* else: what went wrong, printable ASCII */
    /* The server showed a certificate with a chain to a root of ours: what else went wrong is not
     * the way there, nor the CA file. */
    bool is_reached;
};

struct https_request; /* opaque: a call under way */

/* All that `call` points to is copied. done() comes once, never from inside this call; the request
 * is gone after it. The first call of the process should come before other threads make use of
 * OpenSSL, because it starts libcurl (https_begin() does it too). */
NODISCARD struct https_request *
https_start(struct loop *l, const struct https_call *call,
            void (*done)(void *context, const struct https_answer *answer), void *context);
void https_cancel(struct https_request *r); /* before done() began, which does not come; not NULL */
/* Starts libcurl; once is enough, more is harmless. Main thread, before others begin. */
void https_begin(void);

/* What a stranger gives us to post to (RFC 8460 section 3). */
struct https_url {
    char host[DOMAIN_SIZE];     /* A-label, lower case, no address */
    uint16_t port;              /* 443 unless given */
    char path[HTTPS_PATH_SIZE]; /* with the query; "/" at least */
};
/* False: not https, no host name, a user or fragment in it, or too long. */
NODISCARD bool https_url_parse(struct slice url, struct https_url *out);

#endif
