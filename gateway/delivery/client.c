/* Glue between the session machine and the stream: translates, decides nothing. */
#include "gateway/delivery/client.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/delivery/session.h"
#include "mail/date.h"

struct client {
    const struct client_handler *handler; /* borrowed from the owner */
    void *context;
    struct delivery_session *session; /* owned */
    struct stream *stream;            /* owned until its `closed`; NULL: gone, or never there */
    struct loop *loop;                /* borrowed */
    struct loop_later wake;
    struct tls_context *tls; /* a reference */
    struct tls_client_options tls_options;
    struct tlsa_record *tlsa; /* owned */
    struct net_address to;
    struct delivery_content content;
    bool is_released; /* client_free() was called */
    char number[24];  /* of the session, for the log */
    char *texts[12];  /* owned copies of what the options point to */
    unsigned text_count;
    char address[NET_ADDRESS_SIZE];
};

/* ---- lifetime ---- */

/* Nothing but the session may be asked about a client that was released, and nothing of it may
 * go while the stream still calls back. */
static void free_when_done(struct client *c)
{
    if (!c->is_released || c->stream)
        return;
    loop_later_cancel(&c->wake);
    delivery_session_free(c->session);
    delivery_content_free(&c->content);
    tls_context_unref(c->tls);
    free(c->tlsa);
    for (unsigned i = 0; i < c->text_count; i++)
        free(c->texts[i]);
    free(c);
}

static const char *keep(struct client *c, const char *text)
{
    if (!text)
        return NULL;
    if (c->text_count == COUNT_OF(c->texts))
        panic("a client keeps more texts than it has room for");
    return c->texts[c->text_count++] = xstrdup(text);
}

/* ---- what the session says to the stream ---- */

static bool port_send(void *context, struct slice bytes)
{
    struct client *c = context;
    return c->stream && stream_write(c->stream, bytes);
}

static bool port_start_tls(void *context, struct tls_failure *failure)
{
    struct client *c = context;
    return stream_start_tls_client(c->stream, c->tls, &c->tls_options, failure);
}

static void port_set_deadline(void *context, int64_t in_ms)
{
    struct client *c = context;
    if (c->stream)
        stream_set_deadline(c->stream, in_ms);
}

static enum delivery_content_step port_content(void *context, struct buffer *out)
{
    struct client *c = context;
    return delivery_content_next(&c->content, out);
}

static void woken(void *context)
{
    struct client *c = context;
    delivery_session_woken(c->session);
}

static void port_wake(void *context)
{
    struct client *c = context;
    loop_later_start(c->loop, &c->wake, woken, c);
}

static void port_close(void *context, bool abort)
{
    struct client *c = context;
    if (c->stream)
        stream_close(c->stream, abort);
}

static void port_rested(void *context)
{
    struct client *c = context;
    c->handler->rested(c->context, c);
}

static void port_sent(void *context)
{
    struct client *c = context;
    delivery_content_free(&c->content);
    c->handler->sent(c->context, c);
}

static int64_t port_now(void *context)
{
    (void)context;
    return date_now();
}

static const struct delivery_session_port port = {
    .send = port_send,
    .start_tls = port_start_tls,
    .set_deadline = port_set_deadline,
    .content = port_content,
    .wake = port_wake,
    .close = port_close,
    .rested = port_rested,
    .sent = port_sent,
    .now = port_now,
};

/* ---- what the stream says to the session ---- */

static void stream_opened(void *context)
{
    struct client *c = context;
    delivery_session_opened(c->session);
}

static void stream_data(void *context, struct slice *in)
{
    struct client *c = context;
    delivery_session_data(c->session, in);
}

static void stream_secured(void *context, const struct tls_facts *facts)
{
    struct client *c = context;
    delivery_session_secured(c->session, facts);
}

static void stream_tls_failed(void *context, const struct tls_failure *failure)
{
    struct client *c = context;
    delivery_session_tls_failed(c->session, failure);
}

static void stream_drained(void *context)
{
    struct client *c = context;
    delivery_session_drained(c->session);
}

static void stream_ended(void *context, int error)
{
    struct client *c = context;
    delivery_session_gone(c->session, error ? conn_error_text(error) : NULL);
}

static void stream_deadline(void *context)
{
    struct client *c = context;
    delivery_session_deadline(c->session);
}

static void stream_closed(void *context)
{
    struct client *c = context;
    c->stream = NULL;
    free_when_done(c);
}

static const struct stream_handler stream_events = {
    .opened = stream_opened,
    .data = stream_data,
    .secured = stream_secured,
    .tls_failed = stream_tls_failed,
    .drained = stream_drained,
    .ended = stream_ended,
    .deadline = stream_deadline,
    .closed = stream_closed,
};

/* ---- the interface ---- */

static void copy_tls_options(struct client *c, const struct tls_client_options *o)
{
    c->tls_options = *o;
    c->tls_options.sni = keep(c, o->sni ? o->sni : "");
    for (unsigned i = 0; i < COUNT_OF(o->dane_names); i++)
        c->tls_options.dane_names[i] = keep(c, o->dane_names[i]);
    for (unsigned i = 0; i < COUNT_OF(o->pkix_names); i++)
        c->tls_options.pkix_names[i] = keep(c, o->pkix_names[i]);
    c->tlsa = xalloc((o->tlsa_count + 1) * sizeof *c->tlsa);
    if (o->tlsa_count > 0)
        memcpy(c->tlsa, o->tlsa, o->tlsa_count * sizeof *c->tlsa);
    c->tls_options.tlsa = c->tlsa;
}

static struct delivery_session *new_session(struct client *c, const struct client_options *o)
{
    struct delivery_session_options s = {
        .protocol = o->protocol,
        .connect_timeout_ms = o->connect_timeout_ms,
        .hostname = keep(c, o->hostname),
        .host = o->host,
        .tlsa_expires_at = o->tlsa_expires_at,
        .events = o->events,
        .number = c->number,
    };
    s.host.name = keep(c, o->host.name);
    s.host.sts_domain = keep(c, o->host.sts_domain);
    s.host.sts_detail = keep(c, o->host.sts_detail);
    s.host.address = net_address_text(&c->to, c->address);
    s.host.port = c->to.port;
    return delivery_session_new(&s, &port, c);
}

static void connect_to_host(struct client *c, const struct client_options *o)
{
    const struct net_address *source = o->source.family == NET_NONE ? NULL : &o->source;
    char why[128];
    int error = 0;
    c->stream = stream_connect(o->loop, &c->to, source, &stream_events, c, &error);
    if (c->stream) {
        stream_set_deadline(c->stream, o->connect_timeout_ms);
        return;
    }
    snprintf(why, sizeof why, "cannot begin to connect: %s", conn_error_text(error));
    delivery_session_our_fault(c->session, why);
}

struct client *client_new(const struct client_options *o, const struct client_handler *handler,
                          void *context)
{
    static atomic_uint_fast64_t last_number;
    struct client *c = xalloc(sizeof *c);
    *c = (struct client){.handler = handler, .context = context, .loop = o->loop, .to = o->to};
    snprintf(c->number, sizeof c->number, "d%llx",
             (unsigned long long)atomic_fetch_add(&last_number, 1) + 1);
    c->tls = tls_context_ref(o->tls);
    copy_tls_options(c, &o->tls_options);
    c->session = new_session(c, o);
    connect_to_host(c, o);
    return c;
}

void client_set_handler(struct client *c, const struct client_handler *handler, void *context)
{
    c->handler = handler;
    c->context = context;
}

enum client_state client_state(const struct client *c)
{
    return delivery_session_state(c->session);
}

struct guarantee_host client_facts(const struct client *c)
{
    return delivery_session_facts(c->session);
}

const struct tls_facts *client_tls(const struct client *c)
{
    return c->stream ? stream_facts(c->stream) : NULL;
}

const struct ehlo_facts *client_ehlo(const struct client *c)
{
    return delivery_session_ehlo(c->session);
}

unsigned client_transactions(const struct client *c)
{
    return delivery_session_transactions(c->session);
}

const struct net_address *client_address(const struct client *c)
{
    return &c->to;
}

struct net_address client_local(const struct client *c)
{
    return c->stream ? *conn_local(stream_conn(c->stream))
                     : (struct net_address){.family = NET_NONE};
}

void client_start_tls(struct client *c)
{
    delivery_session_start_tls(c->session);
}

void client_send(struct client *c, struct client_transaction *t)
{
    /* What the machine believes of the wire must be what the wire is. */
    bool is_secured = client_state(c) == CLIENT_SECURED;
    if (is_secured != (c->stream && stream_is_secure(c->stream)))
        panic("a client and its stream disagree about TLS");
    delivery_content_free(&c->content);
    delivery_content_init(&c->content, t->queue, t->id, t->size);
    delivery_session_send(c->session, t);
}

void client_free(struct client *c)
{
    if (!c)
        return;
    c->is_released = true;
    delivery_session_quit(c->session);
    free_when_done(c);
}
