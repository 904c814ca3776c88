#include "gateway/tls/stream.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/tls/context_ssl.h"
#include "gateway/tls/fault.h"
#include "gateway/tls/peer.h"

/* What an owner may leave untaken, and ciphertext that waits while it pauses. */
enum { KEPT_CEILING = 256 * 1024, RECORD_SIZE = 16 * 1024 };

/* CLEAR -> HANDSHAKE -> SECURE, and from the middle one to FAILED. */
enum state { CLEAR, HANDSHAKE, SECURE, FAILED };

struct stream {
    struct conn *conn;                    /* owned until its `closed` */
    const struct stream_handler *handler; /* borrowed */
    void *context;
    enum state state;
    bool is_closing; /* nothing but `closed` comes any more */
    bool is_paused;
    bool has_ended; /* `ended` was told */
    bool owes_end;  /* the peer closed its side while the owner had asked for the rest again */
    bool owes_ticket;
    bool owes_drained;       /* swallowed during the handshake */
    SSL *ssl;                /* owned; NULL: CLEAR */
    struct tls_context *tls; /* owned reference */
    struct slice cipher;     /* borrowed: ciphertext that the SSL has not read yet */
    struct buffer cipher_kept;
    struct buffer kept;    /* plaintext that the owner did not take */
    struct slice *offered; /* borrowed, while `data` runs */
    struct loop_later pump;
    struct tls_peer peer;
    struct tls_facts facts;
    struct tls_failure failure;
};

/* ---- the BIO: ciphertext comes from s->cipher and goes to the conn, copied once each ---- */

static int bio_read(BIO *bio, char *out, int size)
{
    struct stream *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (s->cipher.len == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t count = s->cipher.len < (size_t)size ? s->cipher.len : (size_t)size;
    memcpy(out, s->cipher.data, count);
    s->cipher = slice_sub(s->cipher, count, s->cipher.len);
    return (int)count;
}

static int bio_write(BIO *bio, const char *data, int size)
{
    struct stream *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    return conn_write(s->conn, (struct slice){data, (size_t)size}) ? size : -1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

static pthread_once_t method_once = PTHREAD_ONCE_INIT;
static BIO_METHOD *method; /* lives as long as the process; NULL: out of memory */

static void make_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
    if (!method)
        return;
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_ctrl(method, bio_ctrl);
    BIO_meth_set_create(method, bio_create);
}

static BIO *bio_new(struct stream *s)
{
    pthread_once(&method_once, make_method);
    BIO *bio = method ? BIO_new(method) : NULL;
    if (bio)
        BIO_set_data(bio, s);
    return bio;
}

/* ---- what the owner is told ---- */

static void tell_end(struct stream *s, int error)
{
    if (s->is_closing || s->has_ended || s->state == FAILED)
        return;
    s->has_ended = true;
    if (s->handler->ended)
        s->handler->ended(s->context, error);
}

/* The alert, if one is due, lies in the conn already. */
static void tell_failure(struct stream *s)
{
    s->state = FAILED;
    s->cipher.len = 0;
    conn_pause(s->conn);
    if (s->handler->tls_failed)
        s->handler->tls_failed(s->context, &s->failure);
}

static void handshake_cut(struct stream *s, const char *why)
{
    s->failure.kind = TLS_FAILURE_CUT;
    snprintf(s->failure.text, sizeof(s->failure.text), "%s during the TLS handshake", why);
    tell_failure(s);
}

/* May plaintext be given to the owner now? */
static bool may_offer(const struct stream *s)
{
    return (s->state == CLEAR || s->state == SECURE) && !s->is_closing && !s->is_paused &&
           !s->has_ended;
}

/* The owner has left bytes and asked for them again: the end waits until it has them. */
static bool is_owed_bytes(const struct stream *s)
{
    return s->kept.len > 0 && s->pump.next;
}

/* Offers bytes once; what is left stays in *in. False: TLS has begun meanwhile, and what was left
 * came in the clear: forget it (RFC 3207 section 4.2). */
static bool offer_once(struct stream *s, struct slice *in)
{
    enum state before = s->state;
    size_t len = in->len;
    s->offered = in;
    if (s->handler->data)
        s->handler->data(s->context, in);
    else
        in->len = 0;
    s->offered = NULL;
    if (in->len > len)
        panic("stream: more was left than there was");
    return s->state == before;
}

static void offer_kept(struct stream *s)
{
    struct slice in = buffer_slice(&s->kept);
    size_t len = in.len;
    if (!offer_once(s, &in) || in.len == 0)
        buffer_wipe_free(&s->kept);
    else
        buffer_consume(&s->kept, len - in.len);
}

/* Takes note of new plaintext and offers all there is. The bytes are borrowed. */
static void offer(struct stream *s, struct slice bytes)
{
    bool has_room = true;
    if (s->kept.len > 0) {
        has_room = buffer_append(&s->kept, bytes);
        if (has_room)
            offer_kept(s);
    } else if (offer_once(s, &bytes) && bytes.len > 0 && !s->is_closing) {
        has_room = buffer_append(&s->kept, bytes);
    }
    if (!has_room)
        tell_end(s, -ENOBUFS);
}

static void on_drained(void *context)
{
    struct stream *s = context;
    if (s->state == HANDSHAKE)
        s->owes_drained = true;
    else if (s->state != FAILED && s->handler->drained)
        s->handler->drained(s->context);
}

/* ---- one function moves bytes ---- */

/* Decrypts as much as there is room for; *step says why it stopped. */
static size_t decrypt(struct stream *s, char *out, size_t size, enum tls_step *step)
{
    size_t len = 0;
    *step = TLS_STEP_DONE;
    while (*step == TLS_STEP_DONE && size - len >= RECORD_SIZE) {
        ERR_clear_error();
        int got = SSL_read(s->ssl, out + len, RECORD_SIZE);
        *step = tls_step_of(s->ssl, got, &s->failure);
        if (got > 0)
            len += (size_t)got;
    }
    return len;
}

static void move_secure(struct stream *s)
{
    enum tls_step step = TLS_STEP_DONE;
    char *plain = loop_scratch(conn_loop(s->conn));
    while (step == TLS_STEP_DONE && may_offer(s)) {
        size_t len = decrypt(s, plain, LOOP_SCRATCH_SIZE, &step);
        if (len > 0)
            offer(s, (struct slice){plain, len});
        explicit_bzero(plain, len); /* mail, passwords */
    }
    /* While the owner pauses the end waits, too: SSL_read() will say the same again. */
    if (!may_offer(s) || is_owed_bytes(s))
        return;
    if (step == TLS_STEP_CLOSED)
        tell_end(s, 0);
    else if (step == TLS_STEP_FAILED)
        tell_end(s, -EPROTO);
}

static void read_facts(struct stream *s)
{
    s->facts.protocol = SSL_get_version(s->ssl);
    s->facts.cipher = SSL_get_cipher_name(s->ssl);
    s->facts.is_resumed = SSL_session_reused(s->ssl) == 1;
}

static void move_handshake(struct stream *s)
{
    ERR_clear_error();
    switch (tls_step_of(s->ssl, SSL_do_handshake(s->ssl), &s->failure)) {
    case TLS_STEP_WAIT:
        return;
    case TLS_STEP_CLOSED:
        handshake_cut(s, conn_error_text(0));
        return;
    case TLS_STEP_FAILED:
        tell_failure(s);
        return;
    case TLS_STEP_DONE:
        break;
    }
    read_facts(s);
    if (!s->tls->is_server && !tls_peer_judge(&s->peer, s->ssl, &s->facts, &s->failure)) {
        tell_failure(s);
        return;
    }
    s->owes_ticket = s->tls->is_server && SSL_version(s->ssl) == TLS1_3_VERSION;
    s->state = SECURE;
    if (s->is_paused)
        conn_pause(s->conn);
    if (s->handler->secured)
        s->handler->secured(s->context, &s->facts);
    if (s->owes_drained && !s->is_closing)
        on_drained(s);
}

static void move_tls(struct stream *s)
{
    if (s->state == HANDSHAKE && !s->is_closing)
        move_handshake(s);
    if (s->state == SECURE)
        move_secure(s);
}

/* Ciphertext is left over only while the owner pauses, or when nobody wants it any more. */
static void feed(struct stream *s, struct slice bytes)
{
    if (s->cipher_kept.len == 0) {
        s->cipher = bytes;
        move_tls(s);
        if (s->is_paused && s->cipher.len > 0 && !buffer_append(&s->cipher_kept, s->cipher))
            tell_end(s, -ENOBUFS);
    } else if (buffer_append(&s->cipher_kept, bytes)) {
        s->cipher = buffer_slice(&s->cipher_kept);
        move_tls(s);
        size_t rest = s->cipher.len;
        buffer_consume(&s->cipher_kept, s->cipher_kept.len - rest);
        if (rest == 0)
            buffer_free(&s->cipher_kept);
    } else {
        tell_end(s, -ENOBUFS);
    }
    s->cipher = (struct slice){NULL, 0};
}

/* The handshake goes on while the owner pauses: it is not the owner's data that it brings. */
static bool may_read(const struct stream *s)
{
    return !s->is_closing && s->state != FAILED && (!s->is_paused || s->state == HANDSHAKE);
}

static void pump(void *context)
{
    struct stream *s = context;
    if (s->kept.len > 0 && may_offer(s))
        offer_kept(s);
    if (s->ssl && may_read(s))
        feed(s, (struct slice){NULL, 0});
    if (may_read(s))
        conn_resume(s->conn);
    if (s->owes_end && may_offer(s) && !is_owed_bytes(s))
        tell_end(s, 0);
}

static void pump_later(struct stream *s)
{
    loop_later_start(conn_loop(s->conn), &s->pump, pump, s);
}

/* ---- what the conn tells ---- */

static void on_opened(void *context)
{
    struct stream *s = context;
    if (s->handler->opened)
        s->handler->opened(s->context);
}

static void on_data(void *context, struct slice bytes)
{
    struct stream *s = context;
    if (s->ssl)
        feed(s, bytes);
    else
        offer(s, bytes);
}

static void on_ended(void *context, int error)
{
    struct stream *s = context;
    if (s->state == HANDSHAKE)
        handshake_cut(s, conn_error_text(error));
    else if (error == 0 && is_owed_bytes(s))
        s->owes_end = true;
    else
        tell_end(s, error);
}

static void on_deadline(void *context)
{
    struct stream *s = context;
    if (s->state == HANDSHAKE)
        handshake_cut(s, "timed out");
    else if (s->state != FAILED && s->handler->deadline)
        s->handler->deadline(s->context);
}

static void on_closed(void *context)
{
    struct stream *s = context;
    if (s->handler->closed)
        s->handler->closed(s->context);
    loop_later_cancel(&s->pump);
    SSL_free(s->ssl);
    tls_context_unref(s->tls);
    tls_peer_free(&s->peer);
    buffer_free(&s->cipher_kept);
    buffer_wipe_free(&s->kept);
    free(s);
}

static const struct conn_handler conn_events = {
    .opened = on_opened,
    .data = on_data,
    .drained = on_drained,
    .ended = on_ended,
    .deadline = on_deadline,
    .closed = on_closed,
};

/* ---- what the owner asks ---- */

static struct stream *stream_new(const struct stream_handler *handler, void *context)
{
    struct stream *s = xalloc(sizeof(*s));
    buffer_init(&s->cipher_kept, KEPT_CEILING);
    buffer_init(&s->kept, KEPT_CEILING);
    stream_set_handler(s, handler, context);
    return s;
}

struct stream *stream_accept(struct conn *c, const struct stream_handler *handler, void *context)
{
    struct stream *s = stream_new(handler, context);
    s->conn = c;
    conn_set_handler(c, &conn_events, s);
    return s;
}

struct stream *stream_connect(struct loop *l, const struct net_address *to,
                              const struct net_address *source,
                              const struct stream_handler *handler, void *context, int *error)
{
    struct stream *s = stream_new(handler, context);
    s->conn = conn_connect(l, to, source, &conn_events, s, error);
    if (s->conn)
        return s;
    free(s);
    return NULL;
}

void stream_set_handler(struct stream *s, const struct stream_handler *handler, void *context)
{
    s->handler = handler;
    s->context = context;
}

struct conn *stream_conn(struct stream *s)
{
    return s->conn;
}

static bool make_ssl(struct stream *s, SSL_CTX *ctx, struct tls_failure *failure)
{
    if (s->ssl || s->is_closing)
        panic("stream: TLS started twice or on a closed stream");
    ERR_clear_error();
    BIO *bio = bio_new(s);
    s->ssl = bio ? SSL_new(ctx) : NULL;
    if (!s->ssl) {
        BIO_free(bio);
        return tls_fault_ours(failure, "cannot start TLS");
    }
    SSL_set_bio(s->ssl, bio, bio); /* both ends are the one BIO, which is the SSL's now */
    return true;
}

/* The first step comes at the end of this turn: no callback from inside the call. */
static void begin_handshake(struct stream *s, struct tls_context *context)
{
    s->tls = tls_context_ref(context);
    s->state = HANDSHAKE;
    if (!s->offered)
        buffer_wipe_free(&s->kept);
    pump_later(s);
}

bool stream_start_tls_server(struct stream *s, struct tls_context *context,
                             struct tls_failure *failure)
{
    if (!context->is_server)
        panic("stream: a server needs a server's context");
    if (!make_ssl(s, context->ssl, failure))
        return false;
    SSL_set_accept_state(s->ssl);
    begin_handshake(s, context);
    return true;
}

bool stream_start_tls_client(struct stream *s, struct tls_context *context,
                             const struct tls_client_options *options, struct tls_failure *failure)
{
    if (context->is_server)
        panic("stream: a client needs a client's context");
    /* With names or records somebody asks for a certificate, so there must be one. */
    bool is_anonymous_fine =
        options->tlsa_count == 0 && !options->pkix_names[0] && !options->pkix_names[1];
    if (!make_ssl(s, is_anonymous_fine ? context->anonymous : context->ssl, failure))
        return false;
    if (!tls_peer_ask(&s->peer, s->ssl, options, failure)) {
        SSL_free(s->ssl);
        s->ssl = NULL;
        return false;
    }
    SSL_set_connect_state(s->ssl);
    begin_handshake(s, context);
    return true;
}

bool stream_is_secure(const struct stream *s)
{
    return s->state == SECURE;
}

const struct tls_facts *stream_facts(const struct stream *s)
{
    return s->state == SECURE ? &s->facts : NULL;
}

const char *stream_error_text(const struct stream *s)
{
    return s->failure.text;
}

bool stream_channel_binding(const struct stream *s, uint8_t out[32])
{
    static const char label[] = "EXPORTER-Channel-Binding";
    if (s->state != SECURE ||
        (SSL_version(s->ssl) < TLS1_3_VERSION && SSL_get_extms_support(s->ssl) != 1))
        return false;
    ERR_clear_error();
    /* On TLS 1.2 no context and an empty one differ; GnuTLS and with it most clients give none. */
    bool is_done =
        SSL_export_keying_material(s->ssl, out, 32, label, sizeof(label) - 1, NULL, 0, 0) == 1;
    ERR_clear_error();
    return is_done;
}

size_t stream_unread(const struct stream *s)
{
    return s->offered ? s->offered->len : s->kept.len;
}

static bool write_secure(struct stream *s, struct slice bytes)
{
    struct tls_failure failure;
    ERR_clear_error();
    /* The ticket shares a segment with the first thing we say, instead of one of its own. */
    if (s->owes_ticket && SSL_new_session_ticket(s->ssl) != 1)
        ERR_clear_error();
    s->owes_ticket = false;
    if (bytes.len > INT_MAX)
        return false;
    int result = SSL_write(s->ssl, bytes.data, (int)bytes.len);
    return tls_step_of(s->ssl, result, &failure) == TLS_STEP_DONE;
}

bool stream_write(struct stream *s, struct slice bytes)
{
    if (s->is_closing || s->state == FAILED || bytes.len == 0)
        return true;
    if (s->state == CLEAR)
        return conn_write(s->conn, bytes);
    return s->state == SECURE && write_secure(s, bytes);
}

size_t stream_unsent(const struct stream *s)
{
    return conn_unsent(s->conn);
}

void stream_pause(struct stream *s)
{
    s->is_paused = true;
    if (s->state != HANDSHAKE)
        conn_pause(s->conn);
}

void stream_resume(struct stream *s)
{
    bool has_work = s->is_paused || s->kept.len > 0 || s->offered;
    if (!has_work || s->is_closing)
        return;
    s->is_paused = false;
    pump_later(s);
}

void stream_set_deadline(struct stream *s, int64_t in_ms)
{
    conn_set_deadline(s->conn, in_ms);
}

void stream_close(struct stream *s, bool abort)
{
    if (!s->is_closing && s->state == SECURE && !abort) {
        ERR_clear_error();
        (void)SSL_shutdown(s->ssl); /* one close_notify; we do not wait for theirs */
        ERR_clear_error();
    }
    /* The peer's administrator shall see our alert. A second call may still hasten the first. */
    bool has_alert = s->state == FAILED && !s->is_closing;
    s->is_closing = true;
    loop_later_cancel(&s->pump);
    conn_close(s->conn, abort && !has_alert);
}
