/* https.c - libcurl's multi socket interface on a loop.
 *
 * Each request has a multi handle of its own: nothing of one request (connections, TLS sessions,
 * addresses) is ever met by another, and ending a request ends all it had. */
#include "gateway/sts/https.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "mail/buffer.h"
#include "mail/domain.h"

#define HEAD_MAX 65536
#define DETAIL_SIZE 400

/* A socket of curl's. */
struct watched {
    LIST_ENTRY(watched) entry;
    struct https_request *request;
    struct loop_watch *watch;
    curl_socket_t fd;
};
LIST_HEAD(watches, watched);

struct https_request {
    struct loop *loop; /* borrowed */
    void (*done)(void *context, const struct https_answer *answer);
    void *context;
    char *host; /* owned, as all of these */
    char *body_sent;
    CURLM *multi;
    CURL *easy;
    struct curl_slist *resolve;
    struct curl_slist *head;
    struct loop_timer *timer;
    struct watches watches;
    struct buffer body;
    size_t head_len;
    size_t answer_max;
    bool is_ending; /* curl may call while it is taken down: nothing is for it any more */
    bool is_too_large;
    bool is_reached;   /* TLS is up, and the chain is trusted */
    bool is_nameless;  /* no DNS name in the certificate is the host's */
    bool is_our_fault; /* descriptors or memory were out */
    CURLcode failed;   /* what could not even be set up; CURLE_OK: all could */
    char error[CURL_ERROR_SIZE];
};

/* --- the library --- */

static void library_begin(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        panic("curl_global_init failed");
}

void https_begin(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, library_begin);
}

/* --- the end of a request --- */

static void release(struct https_request *r)
{
    struct watched *w;
    r->is_ending = true;
    while ((w = LIST_FIRST(&r->watches)) != NULL) {
        LIST_REMOVE(w, entry);
        loop_watch_free(w->watch);
        free(w);
    }
    loop_timer_free(r->timer);
    if (r->multi && r->easy)
        curl_multi_remove_handle(r->multi, r->easy);
    curl_easy_cleanup(r->easy);
    curl_multi_cleanup(r->multi);
    curl_slist_free_all(r->resolve);
    curl_slist_free_all(r->head);
    buffer_free(&r->body);
    free(r->host);
    free(r->body_sent);
    free(r);
}

void https_cancel(struct https_request *r)
{
    release(r);
}

static enum https_status status_of(const struct https_request *r, CURLcode code)
{
    if (r->is_nameless)
        return HTTPS_CERTIFICATE;
    if (r->is_too_large)
        return HTTPS_TOO_LARGE;
    switch ((int)code) {
    case CURLE_OK:
        return HTTPS_ANSWERED;
    case CURLE_PEER_FAILED_VERIFICATION:
        return HTTPS_CERTIFICATE;
    case CURLE_OUT_OF_MEMORY:
    case CURLE_FAILED_INIT:
    case CURLE_NOT_BUILT_IN:
    case CURLE_UNKNOWN_OPTION:
    case CURLE_BAD_FUNCTION_ARGUMENT:
    case CURLE_URL_MALFORMAT:
    case CURLE_COULDNT_RESOLVE_HOST: /* it was told where the host is */
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ENGINE_INITFAILED:
        return HTTPS_OUR_FAULT;
    default:
        return r->is_our_fault ? HTTPS_OUR_FAULT : HTTPS_TROUBLE;
    }
}

/* Curl's words may quote the server's. */
static void explain(const struct https_request *r, CURLcode code, char out[DETAIL_SIZE])
{
    const char *why = r->is_nameless    ? "no DNS name in the certificate is that of the host"
                      : r->is_too_large ? "the answer is too large"
                      : r->error[0]     ? r->error
                                        : curl_easy_strerror(code);
    snprintf(out, DETAIL_SIZE, "https://%s: %s", r->host, why);
    for (char *c = out; *c; c++) {
        if (*c < ' ' || *c > '~')
            *c = '?';
    }
}

/* The chain is verified before the name is. Curl tells only what was wrong with the chain: for a
 * wrong name the result stays as it was at the start, X509_V_ERR_UNSPECIFIED, which is 1. */
static bool has_trusted_chain(struct https_request *r, CURLcode code)
{
    long result = 0;
    if (r->is_reached)
        return true;
    return code == CURLE_PEER_FAILED_VERIFICATION &&
           curl_easy_getinfo(r->easy, CURLINFO_SSL_VERIFYRESULT, &result) == CURLE_OK &&
           result <= 1;
}

/* The last thing done with the request. */
static void finish(struct https_request *r, CURLcode code)
{
    char detail[DETAIL_SIZE] = "";
    char *type = NULL;
    long http_code = 0;
    struct https_answer answer = {
        .status = status_of(r, code), .content_type = "", .detail = detail};
    answer.is_reached = has_trusted_chain(r, code);
    if (answer.status == HTTPS_ANSWERED) {
        curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &http_code);
        curl_easy_getinfo(r->easy, CURLINFO_CONTENT_TYPE, &type);
        answer.code = (unsigned)http_code;
        answer.content_type = type ? type : "";
        answer.body = buffer_slice(&r->body);
    } else {
        explain(r, code, detail);
    }
    r->done(r->context, &answer);
    release(r);
}

/* After any event: the request may be over. */
static void look_for_end(struct https_request *r)
{
    int left;
    CURLMsg *message = curl_multi_info_read(r->multi, &left);
    if (message && message->msg == CURLMSG_DONE)
        finish(r, message->data.result);
}

/* --- events --- */

static void act(struct https_request *r, curl_socket_t fd, int events)
{
    int running;
    CURLMcode code = curl_multi_socket_action(r->multi, fd, events, &running);
    if (code != CURLM_OK) {
        r->is_our_fault = true;
        finish(r, CURLE_OUT_OF_MEMORY);
        return;
    }
    look_for_end(r);
}

static void socket_is_ready(void *context, bool is_readable, bool is_writable)
{
    struct watched *w = context;
    act(w->request, w->fd,
        (is_readable ? CURL_CSELECT_IN : 0) | (is_writable ? CURL_CSELECT_OUT : 0));
}

static void time_is_up(void *context)
{
    struct https_request *r = context;
    if (r->failed != CURLE_OK)
        finish(r, r->failed);
    else
        act(r, CURL_SOCKET_TIMEOUT, 0);
}

static int set_timer(CURLM *multi, long in_ms, void *context)
{
    struct https_request *r = context;
    (void)multi;
    if (r->is_ending)
        return 0;
    if (in_ms < 0)
        loop_timer_stop(r->timer);
    else
        loop_timer_start(r->timer, in_ms);
    return 0;
}

static struct watched *watch(struct https_request *r, curl_socket_t fd)
{
    struct watched *w = xalloc(sizeof *w);
    w->request = r;
    w->fd = fd;
    w->watch = loop_watch_new_both(r->loop, fd, socket_is_ready, w);
    if (!w->watch) {
        free(w);
        return NULL;
    }
    LIST_INSERT_HEAD(&r->watches, w, entry);
    curl_multi_assign(r->multi, fd, w);
    return w;
}

static void unwatch(struct https_request *r, struct watched *w)
{
    curl_multi_assign(r->multi, w->fd, NULL);
    LIST_REMOVE(w, entry);
    loop_watch_free(w->watch);
    free(w);
}

static int set_watch(CURL *easy, curl_socket_t fd, int what, void *context, void *of_socket)
{
    struct https_request *r = context;
    struct watched *w = of_socket;
    (void)easy;
    if (r->is_ending)
        return 0;
    if (what == CURL_POLL_REMOVE) {
        if (w)
            unwatch(r, w);
        return 0;
    }
    if (!w)
        w = watch(r, fd);
    if (!w) {
        r->is_our_fault = true;
        return -1;
    }
    loop_watch_select(w->watch, what & CURL_POLL_IN, what & CURL_POLL_OUT);
    return 0;
}

/* --- what curl asks us on the way --- */

/* So that we know whether it is we who have no socket to give. */
static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct https_request *r = context;
    (void)purpose;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (fd < 0)
        r->is_our_fault = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
    /* cppcheck-suppress resourceLeak; it is curl's from here on */
    return fd < 0 ? CURL_SOCKET_BAD : fd;
}

/* "mta-sts.example.org", or "*.example.org". */
static bool is_name_of(struct slice pattern, const char *host)
{
    struct slice name = slice_of(host);
    if (slice_equal_nocase(pattern, name))
        return true;
    ptrdiff_t dot = slice_find(name, '.');
    return dot > 0 && pattern.len > 2 && pattern.data[0] == '*' &&
           slice_equal_nocase(slice_sub(pattern, 1, pattern.len),
                              slice_sub(name, (size_t)dot, name.len));
}

/* "DNS:a.example, DNS:*.b.example, IP Address:192.0.2.1" */
static bool names_have(struct slice names, const char *host)
{
    struct slice one;
    while (slice_cut(&names, ',', &one)) {
        one = slice_trim(one);
        if (slice_starts_nocase(one, SLICE("DNS:")) && is_name_of(slice_sub(one, 4, one.len), host))
            return true;
    }
    return false;
}

/* Curl has verified the chain and a name by now, but takes the common name where the certificate
 * has no alternative names, which RFC 8461 section 3.3 does not (nor RFC 6125 for newer uses). */
static bool has_dns_name(struct https_request *r)
{
    static const char key[] = "X509v3 Subject Alternative Name:";
    struct curl_certinfo *info = NULL;
    if (curl_easy_getinfo(r->easy, CURLINFO_CERTINFO, &info) != CURLE_OK || !info ||
        info->num_of_certs < 1)
        return false;
    for (struct curl_slist *line = info->certinfo[0]; line; line = line->next) {
        if (strncmp(line->data, key, sizeof key - 1) == 0)
            return names_have(slice_of(line->data + sizeof key - 1), r->host);
    }
    return false;
}

/* TLS is up, nothing has been sent. */
static int before_request(void *context, char *primary, char *local, int primary_port,
                          int local_port)
{
    struct https_request *r = context;
    (void)primary, (void)local, (void)primary_port, (void)local_port;
    r->is_reached = true;
    r->is_nameless = !has_dns_name(r);
    return r->is_nameless ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static size_t take_head(char *data, size_t size, size_t count, void *context)
{
    struct https_request *r = context;
    (void)data;
    r->head_len += size * count;
    r->is_too_large = r->head_len > HEAD_MAX;
    return r->is_too_large ? 0 : size * count;
}

static size_t take_body(char *data, size_t size, size_t count, void *context)
{
    struct https_request *r = context;
    size_t len = size * count;
    if (len > r->answer_max - r->body.len)
        r->is_too_large = true;
    else if (!buffer_append(&r->body, (struct slice){data, len}))
        r->is_our_fault = true;
    return r->is_too_large || r->is_our_fault ? 0 : len;
}

/* --- a request is made --- */

static bool add_line(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (longer)
        *list = longer;
    return longer != NULL;
}

/* "mta-sts.example:443:192.0.2.1,[2001:db8::1]" */
static bool set_addresses(struct https_request *r, const struct https_call *call)
{
    struct buffer line;
    buffer_init(&line, (size_t)64 * 1024);
    bool is_good = buffer_printf(&line, "%s:%u:", call->host, (unsigned)call->port);
    for (size_t i = 0; i < call->address_count && is_good; i++) {
        char text[NET_ADDRESS_SIZE];
        bool is_v6 = call->addresses[i].family == NET_IPV6;
        is_good = buffer_printf(&line, "%s%s%s%s", i > 0 ? "," : "", is_v6 ? "[" : "",
                                net_address_text(&call->addresses[i], text), is_v6 ? "]" : "");
    }
    const char *text = is_good ? buffer_text(&line) : NULL;
    is_good = text && add_line(&r->resolve, text);
    buffer_free(&line);
    return is_good;
}

/* Sets an option unless one before failed. */
#define SET(r, option, value)                                                                      \
    do {                                                                                           \
        if ((r)->failed == CURLE_OK)                                                               \
            (r)->failed = curl_easy_setopt((r)->easy, (option), (value));                          \
    } while (0)

static void set_where(struct https_request *r, const struct https_call *call)
{
    char *url = xprintf("https://%s:%u%s", call->host, (unsigned)call->port, call->path);
    SET(r, CURLOPT_URL, url);
    free(url);
    if (!set_addresses(r, call))
        r->failed = CURLE_OUT_OF_MEMORY;
    SET(r, CURLOPT_RESOLVE, r->resolve);
    SET(r, CURLOPT_PROXY, "");
    SET(r, CURLOPT_NOPROXY, "*");
    SET(r, CURLOPT_PROTOCOLS_STR, "https");
    SET(r, CURLOPT_FOLLOWLOCATION, 0L);
    SET(r, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    SET(r, CURLOPT_OPENSOCKETDATA, r);
    SET(r, CURLOPT_NOSIGNAL, 1L);
    SET(r, CURLOPT_TIMEOUT_MS, (long)call->timeout_ms);
    SET(r, CURLOPT_CONNECTTIMEOUT_MS, (long)call->timeout_ms);
}

static void set_tls(struct https_request *r, const struct https_call *call)
{
    SET(r, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(r, CURLOPT_SSL_VERIFYPEER, 1L);
    SET(r, CURLOPT_SSL_VERIFYHOST, 2L);
    SET(r, CURLOPT_CERTINFO, 1L);
    SET(r, CURLOPT_PREREQFUNCTION, before_request);
    SET(r, CURLOPT_PREREQDATA, r);
    if (!call->ca_file[0])
        return;
    SET(r, CURLOPT_CAINFO, call->ca_file);
    /* Else the folder that curl was built with would count beside the file. */
    SET(r, CURLOPT_CAPATH, NULL);
}

static void set_post(struct https_request *r, const struct https_call *call)
{
    char *type = xprintf("Content-Type: %s", call->content_type);
    r->body_sent = xalloc(call->body.len + 1);
    if (call->body.len > 0)
        memcpy(r->body_sent, call->body.data, call->body.len);
    /* No waiting for a "100 Continue" that many servers do not send. */
    if (!add_line(&r->head, type) || !add_line(&r->head, "Expect:"))
        r->failed = CURLE_OUT_OF_MEMORY;
    free(type);
    SET(r, CURLOPT_POST, 1L);
    SET(r, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.len);
    SET(r, CURLOPT_POSTFIELDS, r->body_sent);
    SET(r, CURLOPT_HTTPHEADER, r->head);
}

static void set_http(struct https_request *r, const struct https_call *call)
{
    SET(r, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(r, CURLOPT_USERAGENT, "sealpost/" SEALPOST_VERSION);
    SET(r, CURLOPT_HEADERFUNCTION, take_head);
    SET(r, CURLOPT_HEADERDATA, r);
    SET(r, CURLOPT_WRITEFUNCTION, take_body);
    SET(r, CURLOPT_WRITEDATA, r);
    SET(r, CURLOPT_ERRORBUFFER, r->error);
    if (call->content_type)
        set_post(r, call);
}

static bool set_multi(struct https_request *r)
{
    return curl_multi_setopt(r->multi, CURLMOPT_SOCKETFUNCTION, set_watch) == CURLM_OK &&
           curl_multi_setopt(r->multi, CURLMOPT_SOCKETDATA, r) == CURLM_OK &&
           curl_multi_setopt(r->multi, CURLMOPT_TIMERFUNCTION, set_timer) == CURLM_OK &&
           curl_multi_setopt(r->multi, CURLMOPT_TIMERDATA, r) == CURLM_OK &&
           curl_multi_add_handle(r->multi, r->easy) == CURLM_OK;
}

struct https_request *https_start(struct loop *l, const struct https_call *call,
                                  void (*done)(void *context, const struct https_answer *answer),
                                  void *context)
{
    struct https_request *r = xalloc(sizeof *r);
    https_begin();
    r->loop = l;
    r->done = done;
    r->context = context;
    r->host = xstrdup(call->host);
    r->answer_max = call->answer_max;
    buffer_init(&r->body, call->answer_max);
    LIST_INIT(&r->watches);
    r->timer = loop_timer_new(l, time_is_up, r);
    r->multi = curl_multi_init();
    r->easy = curl_easy_init();
    if (!r->multi || !r->easy) {
        r->failed = CURLE_OUT_OF_MEMORY;
    } else {
        set_where(r, call);
        set_tls(r, call);
        set_http(r, call);
        if (r->failed == CURLE_OK && !set_multi(r))
            r->failed = CURLE_FAILED_INIT;
    }
    /* What failed is told at the next turn; else curl has set the timer for its first step. */
    if (r->failed != CURLE_OK)
        loop_timer_start(r->timer, 0);
    return r;
}

/* --- addresses on the web --- */

static bool get_part(CURLU *parsed, CURLUPart part, unsigned flags, char *out, size_t size)
{
    char *text = NULL;
    bool fits = curl_url_get(parsed, part, &text, flags) == CURLUE_OK &&
                slice_copy(slice_of(text), out, size);
    curl_free(text);
    return fits;
}

static bool has_part(CURLU *parsed, CURLUPart part)
{
    char *text = NULL;
    bool has = curl_url_get(parsed, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return has;
}

static bool read_parts(CURLU *parsed, struct https_url *out)
{
    char scheme[16];
    char host[DOMAIN_SIZE];
    char port[8];
    char query[HTTPS_PATH_SIZE];
    uint64_t number;
    struct net_address address;
    if (!get_part(parsed, CURLUPART_SCHEME, 0, scheme, sizeof scheme) ||
        strcmp(scheme, "https") != 0 || has_part(parsed, CURLUPART_USER) ||
        has_part(parsed, CURLUPART_PASSWORD) || has_part(parsed, CURLUPART_FRAGMENT) ||
        !get_part(parsed, CURLUPART_HOST, 0, host, sizeof host) ||
        net_address_parse(slice_of(host), &address) ||
        !domain_to_ascii(slice_of(host), out->host) ||
        !get_part(parsed, CURLUPART_PORT, CURLU_DEFAULT_PORT, port, sizeof port) ||
        !slice_number(slice_of(port), 65535, &number) || number == 0 ||
        !get_part(parsed, CURLUPART_PATH, 0, out->path, sizeof out->path))
        return false;
    out->port = (uint16_t)number;
    if (!has_part(parsed, CURLUPART_QUERY))
        return true;
    size_t used = strlen(out->path);
    return get_part(parsed, CURLUPART_QUERY, 0, query, sizeof query) &&
           (size_t)snprintf(out->path + used, sizeof out->path - used, "?%s", query) <
               sizeof out->path - used;
}

bool https_url_parse(struct slice url, struct https_url *out)
{
    char text[2 * HTTPS_PATH_SIZE];
    *out = (struct https_url){0};
    if (!slice_copy(url, text, sizeof text))
        return false;
    /* A character that belongs in no URL would travel into the request line. */
    for (const char *c = text; *c; c++) {
        if (*c <= ' ' || *c > '~')
            return false;
    }
    /* Curl would take "https:///name" for "https://name". */
    if (slice_starts_nocase(url, SLICE("https:///")))
        return false;
    CURLU *parsed = curl_url();
    bool is_good = parsed && curl_url_set(parsed, CURLUPART_URL, text, 0) == CURLUE_OK &&
                   read_parts(parsed, out);
    curl_url_cleanup(parsed);
    if (!is_good)
        *out = (struct https_url){0};
    return is_good;
}
