/* What a stream does with TLS up on both ends, on the way there, and when it ends. Who the server
 * is, is the matter of test_peer.c; what goes wrong in a handshake that of test_handshake.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/pki.h"
#include "tests/unit/gateway/tls/ends.h"

static char directory[] = "/tmp/test-stream-XXXXXX";
static struct tls_context *server_tls, *client_tls;
static char certificate_file[64], key_file[64];

static void both_ends_agree_and_talk(void **state)
{
    (void)state;
    struct ends n;
    ends_begin(&n, server_tls, client_tls);
    ends_listen(&n);
    n.client.say = "EHLO";
    n.server.echoes = true;
    n.client.close_on = 'd';
    n.server.close_on = 'e';
    ends_connect(&n);
    ends_run(&n);
    end_assert_got(&n.client, "EHLO");
    assert_string_equal(n.client.facts.protocol, "TLSv1.3");
    assert_string_equal(n.server.facts.cipher, n.client.facts.cipher);
    assert_false(n.server.facts.is_resumed);
    assert_int_equal(n.client.facts.dane, TLS_DANE_NOT_ASKED);
    assert_int_equal(n.server.error, 0);
    assert_string_equal(n.server.error_text, "");
    ends_finish(&n);
}

static void the_channel_binding_is_the_same_on_both_ends(void **state)
{
    (void)state;
    static const uint8_t nothing[32];
    struct ends n;
    ends_begin(&n, server_tls, client_tls);
    ends_listen(&n);
    n.client.close_on = 's';
    n.server.close_on = 'e';
    ends_connect(&n);
    ends_run(&n);
    assert_true(n.client.has_binding && n.server.has_binding);
    assert_memory_equal(n.client.binding, n.server.binding, 32);
    assert_memory_not_equal(n.client.binding, nothing, 32);
    ends_finish(&n);
}

/* ---- STARTTLS ---- */

static size_t take_line(struct end *e, struct slice in)
{
    (void)e;
    ptrdiff_t at = slice_find(in, '\n');
    return at < 0 ? 0 : (size_t)at + 1;
}

static void say_starttls(struct end *e, char letter)
{
    if (letter == 'o')
        assert_true(stream_write(e->stream, SLICE("STARTTLS\r\nRSET\r\n")));
    if (letter == 'd' && !stream_is_secure(e->stream))
        end_start_tls(e);
}

static void answer_starttls(struct end *e, char letter)
{
    if (letter != 'd' || stream_is_secure(e->stream))
        return;
    assert_int_equal(stream_unread(e->stream), strlen("RSET\r\n"));
    assert_true(stream_write(e->stream, SLICE("220 go\r\n")));
    end_start_tls(e);
    assert_false(stream_write(e->stream, SLICE("never in clear")));
}

/* CVE-2011-0411: what came in the clear must not be read as if it had come inside. */
static void clear_bytes_behind_starttls_are_seen_and_then_forgotten(void **state)
{
    (void)state;
    struct ends n;
    ends_begin(&n, server_tls, client_tls);
    ends_listen(&n);
    n.client.waits = n.server.waits = true;
    n.client.on_event = say_starttls;
    n.server.on_event = answer_starttls;
    n.server.take = take_line;
    n.client.say = "EHLO\r\n";
    n.server.say = "hello\r\n";
    n.server.close_on = 'e';
    n.client.take = take_line;
    n.client.pause_on = 0;
    ends_connect(&n);
    n.on_timer = NULL;
    /* The client leaves once it has both lines: on the drained that follows its own words. */
    n.client.close_on = 's';
    ends_run(&n);
    end_assert_got(&n.server, "STARTTLS\r\nEHLO\r\n");
    assert_memory_equal(buffer_text(&n.client.got), "220 go\r\n", 8);
    ends_finish(&n);
}

/* ---- taking in pieces ---- */

static size_t take_one(struct end *e, struct slice in)
{
    (void)in;
    stream_resume(e->stream); /* offers the rest, not from inside this call */
    return 1;
}

static void what_is_not_taken_is_offered_again(void **state)
{
    (void)state;
    struct ends n;
    ends_begin(&n, server_tls, client_tls);
    ends_listen(&n);
    n.client.say = "one byte at a time";
    n.client.close_on = 's';
    n.server.take = take_one;
    n.server.close_on = 'e';
    ends_connect(&n);
    ends_run(&n);
    /* close_notify was held back until the owner had asked for it all. */
    end_assert_got(&n.server, "one byte at a time");
    ends_finish(&n);
}

static void say_much_and_go(struct end *e, char letter)
{
    if (letter == 'o')
        assert_true(stream_write(e->stream, SLICE("in clear, byte by byte")));
}

static void the_end_waits_for_bytes_that_were_asked_for_in_clear_too(void **state)
{
    (void)state;
    struct ends n;
    ends_begin(&n, server_tls, client_tls);
    ends_listen(&n);
    n.client.waits = n.server.waits = true;
    n.client.on_event = say_much_and_go;
    n.client.close_on = 'o';
    n.server.take = take_one;
    n.server.close_on = 'e';
    ends_connect(&n);
    ends_run(&n);
    end_assert_got(&n.server, "in clear, byte by byte");
    ends_finish(&n);
}

static size_t take_none(struct end *e, struct slice in)
{
    (void)e, (void)in;
    return 0;
}

static void write_much(struct end *e, char letter)
{
    static char block[128 * 1024];
    if ((letter == 's' || letter == 'w') && stream_is_secure(e->stream))
        assert_true(stream_write(e->stream, (struct slice){block, sizeof(block)}));
}

static void an_owner_that_never_takes_is_told_the_end(void **state)
{
    (void)state;
    struct ends n;
    ends_begin(&n, server_tls, client_tls);
    ends_listen(&n);
    n.client.on_event = write_much;
    n.client.close_on = 'e';
    n.server.take = take_none;
    n.server.abort_on = 'e';
    ends_connect(&n);
    ends_run(&n);
    assert_int_equal(n.server.error, -ENOBUFS);
    ends_finish(&n);
}

/* ---- much data ---- */

enum { MUCH = 8 << 20, PIECE = 100 * 1000 };
static size_t written;

static char pattern(size_t at)
{
    return (char)(at * 2654435761U >> 13);
}

static void write_more(struct end *e, char letter)
{
    static char piece[PIECE];
    if (!stream_is_secure(e->stream) || (letter != 's' && letter != 'w') || written == MUCH)
        return;
    size_t len = MUCH - written < PIECE ? MUCH - written : PIECE;
    for (size_t i = 0; i < len; i++)
        piece[i] = pattern(written + i);
    assert_true(stream_write(e->stream, (struct slice){piece, len}));
    assert_true(stream_unsent(e->stream) >= len);
    written += len;
    if (written == MUCH)
        stream_close(e->stream, false);
}

static size_t take_and_pause(struct end *e, struct slice in)
{
    static unsigned turn;
    if (++turn % 3 != 0)
        stream_pause(e->stream);
    return turn % 5 == 0 ? in.len / 2 : in.len;
}

static void resume_server(struct ends *n)
{
    if (n->server.stream && n->server.len > 0 && strchr(n->server.seen, 's'))
        stream_resume(n->server.stream);
    loop_timer_start(n->timer, 1);
}

static void back_pressure_holds_the_writer_and_loses_nothing(void **state)
{
    (void)state;
    struct ends n;
    ends_begin(&n, server_tls, client_tls);
    ends_listen(&n);
    written = 0;
    n.client.on_event = write_more;
    n.server.take = take_and_pause;
    n.server.close_on = 'e';
    n.on_timer = resume_server;
    loop_timer_start(n.timer, 1);
    ends_connect(&n);
    ends_run(&n);
    struct slice got = buffer_slice(&n.server.got);
    assert_int_equal(got.len, MUCH);
    for (size_t i = 0; i < MUCH; i++)
        if (got.data[i] != pattern(i))
            fail_msg("octet %zu differs", i);
    ends_finish(&n);
}

static void over_the_ceiling_a_write_fails(void **state)
{
    (void)state;
    struct ends n;
    ends_begin(&n, server_tls, client_tls);
    ends_listen(&n);
    static char block[(1 << 20) + 1];
    n.client.close_on = 's';
    n.server.close_on = 'e';
    n.server.abort_on = 'f';
    ends_connect(&n);
    assert_false(stream_write(n.client.stream, (struct slice){block, sizeof(block)}));
    ends_run(&n);
    ends_finish(&n);
}

/* ---- pausing around the handshake ---- */

static void pause_early(struct end *e, char letter)
{
    if (letter == 'o') {
        stream_pause(e->stream);
        end_start_tls(e);
    }
    if (letter == 's')
        loop_timer_start(e->ends->timer, 20);
}

static void resume_then(struct ends *n)
{
    assert_string_equal(n->server.seen, "osw");
    stream_resume(n->server.stream);
}

static void a_paused_owner_gets_its_handshake_and_no_data(void **state)
{
    (void)state;
    struct ends n;
    ends_begin(&n, server_tls, client_tls);
    ends_listen(&n);
    n.client.say = "hello";
    n.server.waits = true;
    n.server.on_event = pause_early;
    n.on_timer = resume_then;
    n.server.close_on = 'd';
    n.client.close_on = 'e';
    ends_connect(&n);
    ends_run(&n);
    end_assert_got(&n.server, "hello");
    ends_finish(&n);
}

/* ---- the end, everywhere ---- */

static void deadline_soon(struct end *e, char letter)
{
    if (letter == 's')
        stream_set_deadline(e->stream, 20);
}

static void close_in(char letter, bool is_abort, bool by_server)
{
    struct ends n;
    ends_begin(&n, server_tls, client_tls);
    ends_listen(&n);
    struct end *one = by_server ? &n.server : &n.client, *other = by_server ? &n.client : &n.server;
    *(is_abort ? &one->abort_on : &one->close_on) = letter;
    if (letter == 't')
        one->on_event = deadline_soon;
    one->say = "hello";
    other->echoes = true;
    other->say = letter == 'w' || letter == 't' ? NULL : "there";
    other->close_on = letter == 'e' ? 'd' : 'e';
    /* The other end may be cut in its handshake. */
    other->abort_on = 'f';
    ends_connect(&n);
    ends_run(&n);
    if (one->len < 2 || one->seen[one->len - 1] != 'c' || one->seen[one->len - 2] != letter)
        fail_msg("%c, abort %d, server %d: %s", letter, is_abort, by_server, one->seen);
    ends_finish(&n);
}

static void an_end_may_close_in_any_callback(void **state)
{
    (void)state;
    for (const char *letter = "osdwet"; *letter; letter++)
        for (unsigned i = 0; i < 4; i++)
            close_in(*letter, i & 1, i & 2);
}

static size_t close_with_half(struct end *e, struct slice in)
{
    stream_close(e->stream, false);
    return in.len / 2;
}

static void an_end_may_close_while_it_leaves_bytes(void **state)
{
    (void)state;
    struct ends n;
    ends_begin(&n, server_tls, client_tls);
    ends_listen(&n);
    n.client.say = "hello";
    n.client.close_on = 'e';
    n.server.take = close_with_half;
    ends_connect(&n);
    ends_run(&n);
    end_assert_got(&n.server, "he");
    ends_finish(&n);
}

static void close_while_paused(struct ends *n)
{
    stream_close(n->server.stream, false);
}

static void a_paused_end_may_close(void **state)
{
    (void)state;
    struct ends n;
    ends_begin(&n, server_tls, client_tls);
    ends_listen(&n);
    n.client.say = "hello";
    n.client.close_on = 'e';
    n.server.pause_on = 's';
    n.on_timer = close_while_paused;
    loop_timer_start(n.timer, 100);
    ends_connect(&n);
    ends_run(&n);
    end_assert_got(&n.server, "");
    ends_finish(&n);
}

static void close_both_now(struct ends *n)
{
    stream_close(n->client.stream, false);
    stream_close(n->server.stream, true);
    stream_close(n->client.stream, true);
}

static void both_may_close_outside_of_callbacks(void **state)
{
    (void)state;
    struct ends n;
    ends_begin(&n, server_tls, client_tls);
    ends_listen(&n);
    n.on_timer = close_both_now;
    loop_timer_start(n.timer, 100);
    ends_connect(&n);
    ends_run(&n);
    assert_int_equal(n.client.seen[n.client.len - 1], 'c');
    ends_finish(&n);
}

static void a_refused_connection_ends(void **state)
{
    (void)state;
    struct ends n;
    ends_begin(&n, server_tls, client_tls);
    n.expect = 1;
    n.client.close_on = 'e';
    ends_connect(&n);
    ends_run(&n);
    assert_int_equal(n.client.error, -ECONNREFUSED);
    assert_string_equal(n.client.seen, "ec");
    ends_finish(&n);
}

/* ---- contexts ---- */

static void a_context_may_be_given_back_while_it_is_in_use(void **state)
{
    (void)state;
    char error[300] = "";
    struct tls_server_options o = {certificate_file, key_file, true};
    struct ends n;
    struct tls_context *server = tls_server_new(&o, error, sizeof(error));
    assert_non_null(server);
    ends_begin(&n, server, client_tls);
    ends_listen(&n);
    n.client.say = "EHLO";
    n.server.echoes = true;
    n.client.close_on = 'd';
    n.server.close_on = 'e';
    ends_connect(&n);
    tls_context_unref(tls_context_ref(server));
    ends_run(&n);
    tls_context_unref(server);
    end_assert_got(&n.client, "EHLO");
    ends_finish(&n);
}

static void a_bad_file_is_named_with_its_reason(void **state)
{
    (void)state;
    char error[300] = "";
    struct tls_server_options o = {"/nonexistent/cert.pem", key_file, true};
    assert_null(tls_server_new(&o, error, sizeof(error)));
    assert_string_equal(error, "certificate /nonexistent/cert.pem: No such file or directory");
    o = (struct tls_server_options){certificate_file, "/nonexistent/key.pem", true};
    assert_null(tls_server_new(&o, error, sizeof(error)));
    assert_string_equal(error, "key /nonexistent/key.pem: No such file or directory");
    o = (struct tls_server_options){key_file, key_file, true};
    assert_null(tls_server_new(&o, error, sizeof(error)));
    assert_non_null(strstr(error, key_file));
    assert_non_null(strstr(error, "no start line"));
    assert_null(tls_client_new("/nonexistent/ca.pem", error, sizeof(error)));
    assert_string_equal(error, "ca_file /nonexistent/ca.pem: No such file or directory");
    assert_null(tls_client_new(key_file, error, sizeof(error)));
    assert_non_null(strstr(error, key_file));
}

static void a_key_of_another_certificate_is_refused(void **state)
{
    (void)state;
    char error[300] = "", other_certificate[80], other_key[80];
    snprintf(other_certificate, sizeof(other_certificate), "%s/other.pem", directory);
    snprintf(other_key, sizeof(other_key), "%s/other.key", directory);
    struct pki_options o = {.common_name = "other"};
    struct pki_identity other = pki_make(&o, NULL);
    pki_write(&other, NULL, other_certificate, other_key);
    struct tls_server_options options = {certificate_file, other_key, true};
    assert_null(tls_server_new(&options, error, sizeof(error)));
    assert_non_null(strstr(error, "key values mismatch"));
    unlink(other_certificate);
    unlink(other_key);
    pki_free(&other);
}

static int make_files(void **state)
{
    (void)state;
    char error[300] = "";
    struct pki_options o = {.common_name = "mx.example.test", .alt_names = "DNS:mx.example.test"};
    if (!mkdtemp(directory))
        return -1;
    snprintf(certificate_file, sizeof(certificate_file), "%s/cert.pem", directory);
    snprintf(key_file, sizeof(key_file), "%s/key.pem", directory);
    struct pki_identity i = pki_make(&o, NULL);
    pki_write(&i, NULL, certificate_file, key_file);
    pki_free(&i);
    struct tls_server_options options = {certificate_file, key_file, true};
    server_tls = tls_server_new(&options, error, sizeof(error));
    client_tls = tls_client_new(certificate_file, error, sizeof(error));
    if (!server_tls || !client_tls)
        print_error("%s\n", error);
    return server_tls && client_tls ? 0 : -1;
}

static int remove_files(void **state)
{
    (void)state;
    tls_context_unref(server_tls);
    tls_context_unref(client_tls);
    unlink(certificate_file);
    unlink(key_file);
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ends_agree_and_talk),
        cmocka_unit_test(the_channel_binding_is_the_same_on_both_ends),
        cmocka_unit_test(clear_bytes_behind_starttls_are_seen_and_then_forgotten),
        cmocka_unit_test(what_is_not_taken_is_offered_again),
        cmocka_unit_test(the_end_waits_for_bytes_that_were_asked_for_in_clear_too),
        cmocka_unit_test(an_owner_that_never_takes_is_told_the_end),
        cmocka_unit_test(back_pressure_holds_the_writer_and_loses_nothing),
        cmocka_unit_test(over_the_ceiling_a_write_fails),
        cmocka_unit_test(a_paused_owner_gets_its_handshake_and_no_data),
        cmocka_unit_test(an_end_may_close_in_any_callback),
        cmocka_unit_test(an_end_may_close_while_it_leaves_bytes),
        cmocka_unit_test(a_paused_end_may_close),
        cmocka_unit_test(both_may_close_outside_of_callbacks),
        cmocka_unit_test(a_refused_connection_ends),
        cmocka_unit_test(a_context_may_be_given_back_while_it_is_in_use),
        cmocka_unit_test(a_bad_file_is_named_with_its_reason),
        cmocka_unit_test(a_key_of_another_certificate_is_refused),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
