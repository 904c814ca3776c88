/* The client on real sockets: loopback, a host that follows a script, TLS with a certificate made
 * for the run, content from a real queue. */
#include "gateway/delivery/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/net/loop.h"
#include "queue/incoming.h"

/* What the host expects to hear, and what it says then: text, or one of the names below. */
struct exchange {
    const char *want; /* front of a line */
    const char *reply;
};
static const char start_tls[] = "220 go ahead, and TLS";
static const char cut[] = "220 go ahead, and the connection is reset";
static const char take_data[] = "354, and the content is kept";
static const char take_and_vanish[] = "354, the content, 250 and a reset";
static const char take_and_hang_up[] = "354, the content, and no reply";

struct world {
    struct loop *loop;
    struct loop_timer *watchdog;
    struct queue *queue;
    char directory[64];
    struct tls_context *server_tls, *client_tls;
    uint64_t message;
    size_t message_size;

    struct listener *listener;
    int fd;
    struct net_address at;
    struct stream *host;
    const struct exchange *script;
    const char *greeting;
    struct buffer heard, content;
    const char *in_data; /* take_data and its kin, while content comes */
    unsigned connections;

    struct client *client;
    struct client_options options;
    struct guarantee_requirement requirement;
    struct client_transaction transaction;
    struct client_recipient recipients[2];
    unsigned messages; /* to be sent over one connection */
    unsigned rested, sent;
    enum client_state state;
    enum guarantee_contact contact;
    enum guarantee_tls tls;
    bool is_dane_matched;
    char cause[OUTCOME_TEXT_SIZE], protocol[16];
    bool frees_in_transaction;
};

/* ---- a host ---- */

static void end_when_over(struct world *w)
{
    if (w->client || w->host)
        return;
    if (w->listener)
        listener_free(w->listener);
    w->listener = NULL;
    loop_timer_free(w->watchdog);
    w->watchdog = NULL;
    loop_stop(w->loop);
}

static void host_say(struct world *w, const char *text)
{
    assert_true(stream_write(w->host, slice_of(text)));
}

static void host_take_content(struct world *w)
{
    struct slice all = buffer_slice(&w->heard);
    if (all.len < 5 || memcmp(all.data + all.len - 5, "\r\n.\r\n", 5) != 0)
        return;
    assert_true(buffer_append(&w->content, slice_sub(all, 0, all.len - 3)));
    buffer_clear(&w->heard);
    const char *way = w->in_data;
    w->in_data = NULL;
    if (way == take_and_hang_up) {
        stream_close(w->host, false);
        return;
    }
    host_say(w, "250 2.0.0 taken\r\n");
    if (way == take_and_vanish)
        stream_close(w->host, false);
}

static void host_answer(struct world *w, const char *reply)
{
    struct tls_failure failure;
    if (reply == start_tls) {
        host_say(w, "220 go ahead\r\n");
        assert_true(stream_start_tls_server(w->host, w->server_tls, &failure));
    } else if (reply == cut) {
        host_say(w, "220 go ahead\r\n");
        stream_close(w->host, false);
    } else if (reply == take_data || reply == take_and_vanish || reply == take_and_hang_up) {
        w->in_data = reply;
        host_say(w, "354 go\r\n");
    } else {
        host_say(w, reply);
    }
}

static void host_hear_line(struct world *w, struct slice line)
{
    if (slice_starts_nocase(line, SLICE("QUIT"))) {
        host_say(w, "221 bye\r\n");
        stream_close(w->host, false);
        return;
    }
    if (!w->script->want || !slice_starts_nocase(line, slice_of(w->script->want)))
        fail_msg("the host heard \"%.*s\", not \"%s\"", SLICE_ARG(line),
                 w->script->want ? w->script->want : "nothing");
    host_answer(w, (w->script++)->reply);
}

static void host_data(void *context, struct slice *in)
{
    struct world *w = context;
    assert_true(buffer_append(&w->heard, *in));
    *in = slice_sub(*in, in->len, 0);
    while (!w->in_data) {
        ptrdiff_t end = slice_find(buffer_slice(&w->heard), '\n');
        if (end < 0)
            return;
        char line[1024];
        assert_true(slice_copy(slice_sub(buffer_slice(&w->heard), 0, (size_t)end), line, 1024));
        buffer_consume(&w->heard, (size_t)end + 1);
        host_hear_line(w, slice_trim(slice_of(line)));
    }
    host_take_content(w);
}

static void host_secured(void *context, const struct tls_facts *facts)
{
    (void)context;
    (void)facts;
}

static void host_tls_failed(void *context, const struct tls_failure *failure)
{
    struct world *w = context;
    (void)failure;
    stream_close(w->host, true);
}

static void host_drained(void *context)
{
    (void)context;
}

static void host_ended(void *context, int error)
{
    struct world *w = context;
    (void)error;
    stream_close(w->host, true);
}

static void host_closed(void *context)
{
    struct world *w = context;
    w->host = NULL;
    end_when_over(w);
}

static void host_accepted(void *context, struct conn *c)
{
    static const struct stream_handler events = {
        .data = host_data,
        .secured = host_secured,
        .tls_failed = host_tls_failed,
        .drained = host_drained,
        .ended = host_ended,
        .deadline = host_drained,
        .closed = host_closed,
    };
    struct world *w = context;
    w->connections++;
    w->host = stream_accept(c, &events, w);
    assert_non_null(w->host);
    host_say(w, w->greeting);
}

static void host_troubled(void *context, int error)
{
    (void)context;
    fail_msg("listener: %d", error);
}

/* ---- the owner of the client ---- */

static void let_go(struct world *w, struct client *c)
{
    struct guarantee_host facts = client_facts(c);
    w->state = client_state(c);
    w->contact = facts.contact;
    w->tls = facts.tls;
    w->is_dane_matched = facts.is_dane_matched;
    snprintf(w->cause, sizeof w->cause, "%s", facts.cause.text);
    snprintf(w->protocol, sizeof w->protocol, "%s", facts.protocol);
    client_free(c);
    w->client = NULL;
    end_when_over(w);
}

static void send_next(struct world *w, struct client *c)
{
    for (unsigned i = 0; i < COUNT_OF(w->recipients); i++)
        w->recipients[i] = (struct client_recipient){
            .address = i == 0 ? "a@b.example" : "c@b.example",
            .orcpt = "",
            .requirement = w->requirement,
        };
    w->transaction = (struct client_transaction){
        .queue = w->queue,
        .id = w->message,
        .reverse_path = "s@y.example",
        .envid = "",
        .size = w->message_size,
        .count = 1,
        .recipients = w->recipients,
    };
    client_send(c, &w->transaction);
    if (w->frees_in_transaction)
        let_go(w, c);
}

static void rested(void *context, struct client *c)
{
    struct world *w = context;
    w->rested++;
    assert_ptr_equal(c, w->client);
    struct guarantee_host facts = client_facts(c);
    if (client_state(c) == CLIENT_GREETED && facts.tls == GUARANTEE_TLS_UNTRIED &&
        guarantee_wants_starttls(&w->requirement, &facts))
        client_start_tls(c);
    else if (client_state(c) != CLIENT_DEAD && w->messages > 0)
        send_next(w, c);
    else
        let_go(w, c);
}

static void sent(void *context, struct client *c)
{
    struct world *w = context;
    assert_ptr_equal(c, w->client);
    if (++w->sent < w->messages)
        send_next(w, c);
    else
        let_go(w, c);
}

static const struct client_handler handler = {.rested = rested, .sent = sent};

/* ---- the world ---- */

static void run(const char *format, ...) PRINTF_LIKE(1, 2);
static void run(const char *format, ...)
{
    char command[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    assert_int_equal(system(command), 0);
}

static void post(void *context, void (*task)(void *argument), void *argument)
{
    loop_post(context, task, argument);
}

static void too_late(void *context)
{
    (void)context;
    fail_msg("nothing happens any more");
}

static void message_stored(void *context, int error)
{
    struct world *w = context;
    assert_int_equal(error, 0);
    loop_stop(w->loop);
}

/* A message of `len` octets, full of lines that begin with dots. */
static void store_message(struct world *w, size_t len)
{
    struct loop *waiting = loop_new();
    struct loop *world = w->loop;
    struct queue_poster poster = {post, waiting};
    struct queue_incoming *in = queue_incoming_begin(w->queue, &poster);
    struct envelope e;
    assert_non_null(in);
    envelope_init(&e);
    (void)envelope_add(&e, "a@b.example");
    for (size_t i = 0; i < len; i += 10)
        assert_int_equal(queue_incoming_append(in, SLICE("..2345678\r\n")), 0);
    w->message = queue_incoming_id(in);
    w->message_size = (len + 9) / 10 * 11;
    w->loop = waiting;
    queue_incoming_commit(in, &e, 1000, 1000, message_stored, w);
    loop_run(waiting);
    loop_free(waiting);
    envelope_free(&e);
    w->loop = world;
}

static void make_tls(struct world *w)
{
    char certificate[128], key[128], error[256];
    snprintf(certificate, sizeof certificate, "%s/cert.pem", w->directory);
    snprintf(key, sizeof key, "%s/key.pem", w->directory);
    run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "
        "/CN=mx.example -addext subjectAltName=DNS:mx.example -keyout %s -out %s 2>/dev/null",
        key, certificate);
    struct tls_server_options o = {.certificate = certificate, .key = key, .allows_tls12 = true};
    w->server_tls = tls_server_new(&o, error, sizeof error);
    assert_non_null(w->server_tls);
    w->client_tls = tls_client_new(certificate, error, sizeof error);
    assert_non_null(w->client_tls);
}

static void listen_at(struct world *w, const struct net_address *at)
{
    char why[256];
    int error = 0;
    w->at = *at;
    w->fd = net_bind(at, why, sizeof why);
    assert_true(w->fd >= 0);
    if (at->family == NET_IPV4) {
        struct sockaddr_in bound;
        socklen_t len = sizeof bound;
        assert_int_equal(getsockname(w->fd, (struct sockaddr *)&bound, &len), 0);
        w->at.port = ntohs(bound.sin_port);
    }
    w->listener = listener_new(w->loop, w->fd, host_accepted, host_troubled, w, &error);
    assert_non_null(w->listener);
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    char error[256];
    *state = w;
    strcpy(w->directory, "/tmp/sealpost-client-XXXXXX");
    assert_non_null(mkdtemp(w->directory));
    struct queue_options q = {.directory = w->directory, .size_limit = (uint64_t)64 << 20};
    assert_int_equal(queue_open(&q, &w->queue, error, sizeof error), 0);
    make_tls(w);
    w->loop = loop_new();
    assert_non_null(w->loop);
    store_message(w, 200);
    buffer_init(&w->heard, (size_t)8 << 20);
    buffer_init(&w->content, (size_t)8 << 20);
    w->watchdog = loop_timer_new(w->loop, too_late, w);
    loop_timer_start(w->watchdog, 20000);
    struct net_address any = {.family = NET_IPV4, .bytes = {127, 0, 0, 1}};
    listen_at(w, &any);
    w->greeting = "220 mx.example ESMTP\r\n";
    w->messages = 1;
    w->requirement = (struct guarantee_requirement){
        .level = LEVEL_ENCRYPT, .policy = GUARANTEE_POLICY_MAY, .route = GUARANTEE_POLICY_MAY};
    w->options = (struct client_options){
        .hostname = "client.example",
        .connect_timeout_ms = 5000,
        .tls_options = {.sni = "mx.example", .pkix_names = {"mx.example"}},
        .host = {.name = "mx.example", .is_name_secure = true},
    };
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    close(w->fd);
    loop_free(w->loop);
    queue_close(w->queue);
    tls_context_unref(w->server_tls);
    tls_context_unref(w->client_tls);
    buffer_free(&w->heard);
    buffer_free(&w->content);
    run("rm -rf %s", w->directory);
    free(w);
    return 0;
}

static void play(struct world *w, const struct exchange *script)
{
    w->script = script;
    w->options.loop = w->loop;
    w->options.to = w->at;
    w->options.tls = w->client_tls;
    w->client = client_new(&w->options, &handler, w);
    assert_non_null(w->client);
    loop_run(w->loop);
}

#define TO_TLS                                                                                     \
    {"EHLO client.example", "250-mx.example\r\n250 STARTTLS\r\n"}, {"STARTTLS", start_tls},        \
    {                                                                                              \
        "EHLO", "250-mx.example\r\n250 PIPELINING\r\n"                                             \
    }
#define ENVELOPE                                                                                   \
    {"MAIL FROM:<s@y.example>", "250 ok\r\n"},                                                     \
    {                                                                                              \
        "RCPT TO:<a@b.example>", "250 ok\r\n"                                                      \
    }

static void a_message_is_delivered_under_tls_octet_for_octet(void **state)
{
    struct world *w = *state;
    static const struct exchange script[] = {TO_TLS, ENVELOPE, {"DATA", take_data}, {NULL, NULL}};
    store_message(w, 3000000);
    play(w, script);
    assert_int_equal(w->sent, 1);
    assert_int_equal(w->recipients[0].answer, GUARANTEE_ANSWER_DELIVERED);
    assert_string_equal(w->recipients[0].reply.text, "2.0.0 taken");
    assert_string_equal(w->recipients[0].reply.mx, "mx.example");
    assert_string_equal(w->recipients[0].reply.address, "127.0.0.1");
    assert_int_equal(w->state, CLIENT_SECURED);
    assert_string_equal(w->protocol, "TLSv1.3");
    assert_int_equal(w->content.len, w->message_size / 11 * 12);
    for (size_t i = 0; i < w->content.len; i += 12)
        assert_memory_equal(w->content.data + i, "...2345678\r\n", 12);
}

static void one_connection_carries_several_messages(void **state)
{
    struct world *w = *state;
    static const struct exchange script[] = {TO_TLS,
                                             ENVELOPE,
                                             {"DATA", take_data},
                                             ENVELOPE,
                                             {"DATA", take_data},
                                             ENVELOPE,
                                             {"DATA", take_data},
                                             {NULL, NULL}};
    w->messages = 3;
    play(w, script);
    assert_int_equal(w->sent, 3);
    assert_int_equal(w->connections, 1);
    assert_int_equal(w->recipients[0].answer, GUARANTEE_ANSWER_DELIVERED);
}

static void nothing_is_said_in_clear_for_who_demands_tls(void **state)
{
    struct world *w = *state;
    static const struct exchange script[] = {{"EHLO", "250 mx.example\r\n"}, {NULL, NULL}};
    play(w, script);
    assert_int_equal(w->sent, 1);
    assert_int_equal(w->recipients[0].answer, GUARANTEE_ANSWER_NONE);
    assert_int_equal(w->recipients[0].verdict.kind, GUARANTEE_NOT_OFFERED);
    assert_int_equal(w->state, CLIENT_GREETED);
}

static void clear_text_carries_who_demands_nothing(void **state)
{
    struct world *w = *state;
    static const struct exchange script[] = {
        {"EHLO", "250 mx.example\r\n"}, ENVELOPE, {"DATA", take_data}, {NULL, NULL}};
    w->requirement.level = LEVEL_OFF;
    play(w, script);
    assert_int_equal(w->recipients[0].answer, GUARANTEE_ANSWER_DELIVERED);
    assert_int_equal(w->tls, GUARANTEE_TLS_NOT_OFFERED);
}

static void a_refused_connection_is_no_contact(void **state)
{
    struct world *w = *state;
    static const struct exchange script[] = {{NULL, NULL}};
    listener_free(w->listener);
    w->listener = NULL;
    assert_int_equal(shutdown(w->fd, SHUT_RDWR), 0);
    play(w, script);
    assert_int_equal(w->rested, 1);
    assert_int_equal(w->state, CLIENT_DEAD);
    assert_int_equal(w->contact, GUARANTEE_NO_CONTACT);
    assert_string_equal(w->cause, "Connection refused");
}

static void a_cut_handshake_is_cut(void **state)
{
    struct world *w = *state;
    static const struct exchange script[] = {
        {"EHLO", "250-mx.example\r\n250 STARTTLS\r\n"}, {"STARTTLS", cut}, {NULL, NULL}};
    play(w, script);
    assert_int_equal(w->state, CLIENT_DEAD);
    assert_int_equal(w->contact, GUARANTEE_IN_CONTACT);
    assert_int_equal(w->tls, GUARANTEE_TLS_CUT);
}

static void bytes_behind_the_220_fail_the_handshake(void **state)
{
    struct world *w = *state;
    static const struct exchange script[] = {
        {"EHLO", "250-mx.example\r\n250 STARTTLS\r\n"},
        {"STARTTLS", "220 go ahead\r\n250-mx.example\r\n250 HELLO AGAIN\r\n"},
        {NULL, NULL}};
    play(w, script);
    assert_int_equal(w->state, CLIENT_DEAD);
    assert_int_equal(w->contact, GUARANTEE_IN_CONTACT);
    assert_int_equal(w->tls, GUARANTEE_TLS_FAILED);
    assert_string_equal(w->cause, "bytes in the clear behind the reply to STARTTLS");
}

static void a_reply_that_was_read_is_delivered_though_the_host_vanishes(void **state)
{
    struct world *w = *state;
    static const struct exchange script[] = {
        TO_TLS, ENVELOPE, {"DATA", take_and_vanish}, {NULL, NULL}};
    play(w, script);
    assert_int_equal(w->recipients[0].answer, GUARANTEE_ANSWER_DELIVERED);
}

static void no_reply_to_the_end_of_data_is_undecided(void **state)
{
    struct world *w = *state;
    static const struct exchange script[] = {
        TO_TLS, ENVELOPE, {"DATA", take_and_hang_up}, {NULL, NULL}};
    play(w, script);
    assert_int_equal(w->recipients[0].answer, GUARANTEE_ANSWER_UNDECIDED);
    assert_int_equal(w->state, CLIENT_DEAD);
}

static void content_that_is_gone_is_our_own_fault_and_nothing_arrives(void **state)
{
    struct world *w = *state;
    static const struct exchange script[] = {TO_TLS, ENVELOPE, {"DATA", take_data}, {NULL, NULL}};
    w->message += 1000;
    play(w, script);
    assert_int_equal(w->recipients[0].answer, GUARANTEE_ANSWER_NONE);
    assert_int_equal(w->contact, GUARANTEE_OUR_FAULT);
    assert_int_equal(w->content.len, 0);
}

static void a_client_may_be_let_go_in_its_transaction(void **state)
{
    struct world *w = *state;
    static const struct exchange script[] = {TO_TLS, ENVELOPE, {"DATA", take_data}, {NULL, NULL}};
    w->frees_in_transaction = true;
    play(w, script);
    assert_int_equal(w->sent, 0);
    assert_int_equal(w->content.len, 0);
}

static void a_unix_socket_carries_lmtp(void **state)
{
    struct world *w = *state;
    static const struct exchange script[] = {
        {"LHLO client.example", "250 store\r\n"}, ENVELOPE, {"DATA", take_data}, {NULL, NULL}};
    listener_free(w->listener);
    close(w->fd);
    struct net_address at = {.family = NET_UNIX};
    snprintf(at.path, sizeof at.path, "%s/lmtp", w->directory);
    listen_at(w, &at);
    w->options.protocol = CLIENT_LMTP;
    w->options.host.is_local_route = true;
    play(w, script);
    assert_int_equal(w->recipients[0].answer, GUARANTEE_ANSWER_DELIVERED);
    assert_string_equal(w->recipients[0].reply.address, at.path);
}

/* The digest of the host's certificate as a "3 0 1" record. */
static struct tlsa_record tlsa_of(const struct world *w)
{
    struct tlsa_record r = {.usage = 3, .selector = 0, .matching = 1, .len = 32};
    char path[128];
    run("openssl x509 -in %s/cert.pem -outform DER | openssl dgst -sha256 -binary > %s/digest",
        w->directory, w->directory);
    snprintf(path, sizeof path, "%s/digest", w->directory);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fread(r.data, 1, 32, file), 32);
    fclose(file);
    return r;
}

static void a_matching_tlsa_record_delivers_at_level_verified(void **state)
{
    struct world *w = *state;
    static const struct exchange script[] = {TO_TLS, ENVELOPE, {"DATA", take_data}, {NULL, NULL}};
    struct tlsa_record record = tlsa_of(w);
    w->options.tls_options.tlsa = &record;
    w->options.tls_options.tlsa_count = 1;
    w->options.host.tlsa = GUARANTEE_TLSA_USABLE;
    w->requirement.level = LEVEL_VERIFIED;
    play(w, script);
    assert_true(w->is_dane_matched);
    assert_int_equal(w->recipients[0].verdict.verified, GUARANTEE_VERIFIED_DANE);
    assert_int_equal(w->recipients[0].answer, GUARANTEE_ANSWER_DELIVERED);
}

static void a_tlsa_record_that_does_not_match_gets_no_mail(void **state)
{
    struct world *w = *state;
    static const struct exchange script[] = {TO_TLS, {NULL, NULL}};
    struct tlsa_record record = tlsa_of(w);
    record.data[7] ^= 1;
    w->options.tls_options.tlsa = &record;
    w->options.tls_options.tlsa_count = 1;
    w->options.host.tlsa = GUARANTEE_TLSA_USABLE;
    w->requirement.level = LEVEL_OFF;
    play(w, script);
    assert_false(w->is_dane_matched);
    assert_int_equal(w->recipients[0].verdict.kind, GUARANTEE_NOT_AUTHENTICATED);
    assert_int_equal(w->recipients[0].answer, GUARANTEE_ANSWER_NONE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_message_is_delivered_under_tls_octet_for_octet),
        TEST(one_connection_carries_several_messages),
        TEST(nothing_is_said_in_clear_for_who_demands_tls),
        TEST(clear_text_carries_who_demands_nothing),
        TEST(a_refused_connection_is_no_contact),
        TEST(a_cut_handshake_is_cut),
        TEST(bytes_behind_the_220_fail_the_handshake),
        TEST(a_reply_that_was_read_is_delivered_though_the_host_vanishes),
        TEST(no_reply_to_the_end_of_data_is_undecided),
        TEST(content_that_is_gone_is_our_own_fault_and_nothing_arrives),
        TEST(a_client_may_be_let_go_in_its_transaction),
        TEST(a_unix_socket_carries_lmtp),
        TEST(a_matching_tlsa_record_delivers_at_level_verified),
        TEST(a_tlsa_record_that_does_not_match_gets_no_mail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
