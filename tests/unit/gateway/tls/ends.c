#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/gateway/tls/ends.h"

static void event(struct end *e, char letter)
{
    if (strchr(e->seen, 'c'))
        fail_msg("'%c' after closed", letter);
    bool repeats = letter == 'd' || letter == 'w';
    if (!repeats || e->len == 0 || e->seen[e->len - 1] != letter)
        if (e->len + 1 < sizeof(e->seen))
            e->seen[e->len++] = letter;
    if (e->on_event)
        e->on_event(e, letter);
    if (e->pause_on == letter)
        stream_pause(e->stream);
    if (e->close_on == letter || e->abort_on == letter) {
        size_t len = e->len;
        bool is_abort = e->abort_on == letter;
        e->close_on = e->abort_on = 0;
        stream_close(e->stream, is_abort);
        assert_int_equal(e->len, len); /* nothing came from inside the call */
    }
}

void end_start_tls(struct end *e)
{
    struct tls_failure failure = {.text = ""};
    size_t len = e->len;
    bool is_started =
        e->is_server
            ? stream_start_tls_server(e->stream, e->ends->server_tls, &failure)
            : stream_start_tls_client(e->stream, e->ends->client_tls, &e->ends->options, &failure);
    if (!is_started)
        fail_msg("%s", failure.text);
    assert_int_equal(e->len, len);
    assert_false(stream_is_secure(e->stream));
    assert_null(stream_facts(e->stream));
}

static void on_opened(void *context)
{
    struct end *e = context;
    if (!e->waits)
        end_start_tls(e);
    event(e, 'o');
}

static void on_data(void *context, struct slice *in)
{
    struct end *e = context;
    assert_int_equal(stream_unread(e->stream), in->len);
    size_t count = e->take ? e->take(e, *in) : in->len;
    struct slice taken = slice_sub(*in, 0, count);
    assert_true(buffer_append(&e->got, taken));
    *in = slice_sub(*in, count, in->len);
    assert_int_equal(stream_unread(e->stream), in->len);
    if (e->echoes)
        assert_true(stream_write(e->stream, taken));
    event(e, 'd');
}

static void on_secured(void *context, const struct tls_facts *facts)
{
    struct end *e = context;
    e->facts = *facts;
    e->has_binding = stream_channel_binding(e->stream, e->binding);
    assert_true(stream_is_secure(e->stream));
    assert_ptr_equal(stream_facts(e->stream), facts);
    if (e->say)
        assert_true(stream_write(e->stream, slice_of(e->say)));
    event(e, 's');
}

static void on_tls_failed(void *context, const struct tls_failure *failure)
{
    struct end *e = context;
    e->failure = *failure;
    event(e, 'f');
}

static void on_drained(void *context)
{
    event(context, 'w');
}

static void on_ended(void *context, int error)
{
    struct end *e = context;
    e->error = error;
    snprintf(e->error_text, sizeof(e->error_text), "%s", stream_error_text(e->stream));
    event(e, 'e');
}

static void on_deadline(void *context)
{
    event(context, 't');
}

static void on_closed(void *context)
{
    struct end *e = context;
    struct ends *n = e->ends;
    event(e, 'c');
    e->stream = NULL;
    if (--n->expect > 0)
        return;
    listener_free(n->listener);
    loop_timer_free(n->timer);
    loop_stop(n->loop);
}

static const struct stream_handler handler = {
    .opened = on_opened,
    .data = on_data,
    .secured = on_secured,
    .tls_failed = on_tls_failed,
    .drained = on_drained,
    .ended = on_ended,
    .deadline = on_deadline,
    .closed = on_closed,
};

static void accepted(void *context, struct conn *c)
{
    struct ends *n = context;
    assert_null(n->server.stream);
    n->server.stream = stream_accept(c, &handler, &n->server);
    assert_non_null(n->server.stream);
    on_opened(&n->server);
}

static void on_timer(void *context)
{
    struct ends *n = context;
    n->on_timer(n);
}

/* On the loopback, with a port that nobody has at the moment. */
static struct net_address free_address(void)
{
    char error[200] = "";
    struct net_address a;
    struct sockaddr_in name;
    socklen_t len = sizeof(name);
    assert_true(net_address_parse(slice_of("127.0.0.1"), &a));
    int fd = net_bind(&a, error, sizeof(error));
    assert_true(fd >= 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &len), 0);
    close(fd);
    a.port = ntohs(name.sin_port);
    return a;
}

void ends_begin(struct ends *n, struct tls_context *server, struct tls_context *client)
{
    *n = (struct ends){.server_tls = server, .client_tls = client, .expect = 2};
    n->client.ends = n->server.ends = n;
    n->server.is_server = true;
    n->options.sni = "";
    buffer_init(&n->client.got, 64 << 20);
    buffer_init(&n->server.got, 64 << 20);
    n->loop = loop_new();
    assert_non_null(n->loop);
    n->timer = loop_timer_new(n->loop, on_timer, n);
    n->address = free_address();
}

void ends_listen(struct ends *n)
{
    char error[200] = "";
    int problem = 0, fd = net_bind(&n->address, error, sizeof(error));
    if (fd < 0)
        fail_msg("%s", error);
    n->listener = listener_new(n->loop, fd, accepted, NULL, n, &problem);
    assert_non_null(n->listener);
    close(fd);
}

void ends_connect(struct ends *n)
{
    int error = 0;
    n->client.stream = stream_connect(n->loop, &n->address, NULL, &handler, &n->client, &error);
    assert_non_null(n->client.stream);
}

void ends_run(struct ends *n)
{
    loop_run(n->loop);
    loop_free(n->loop);
    assert_int_equal(n->expect, 0);
}

void ends_finish(struct ends *n)
{
    buffer_free(&n->client.got);
    buffer_free(&n->server.got);
}

void end_assert_got(struct end *e, const char *want)
{
    const char *got = buffer_text(&e->got);
    assert_string_equal(got, want);
}
