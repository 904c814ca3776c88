/* Connections on the loopback, both ends in one loop. Each event is noted as a letter, and a test
 * says what an end does when it sees one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "gateway/net/conn.h"

struct end {
    struct pair *pair;
    struct conn *conn;
    char seen[64]; /* o d w e t c: opened data drained ended deadline closed */
    size_t len;
    int error;
    struct buffer got;
    /* What to do on an event; 0: nothing. */
    char close_on; /* close gracefully */
    char abort_on; /* close with reset */
    char pause_on; /* stop reading */
    const char *say_when_opened;
    bool echoes;
    bool is_paused;
    const char *answer; /* said on data */
};

struct pair {
    struct loop *loop;
    struct listener *listener;
    struct net_address address;
    struct end client, server;
    struct loop_timer *timer;
    void (*on_timer)(struct pair *p);
    unsigned open;
    int trouble;
    struct net_address seen_peer; /* of the accepted end */
    bool has_uid;
    uint32_t uid;
    bool is_over;
};

static void event(struct end *e, char letter)
{
    /* Pieces of data and draining come in any number. */
    if (e->len == 0 || e->seen[e->len - 1] != letter || letter == 'e' || letter == 'c')
        if (e->len + 1 < sizeof(e->seen))
            e->seen[e->len++] = letter;
    assert_null(strchr(e->seen, 'c') && letter != 'c' ? "after closed" : NULL);
    if (e->pause_on == letter) {
        conn_pause(e->conn);
        e->is_paused = true;
    }
    if (e->close_on == letter || e->abort_on == letter) {
        char seen[sizeof(e->seen)];
        memcpy(seen, e->seen, sizeof(seen));
        conn_close(e->conn, e->abort_on == letter);
        assert_memory_equal(seen, e->seen, sizeof(seen)); /* nothing came from inside the call */
    }
}

static void on_opened(void *context)
{
    struct end *e = context;
    if (e->say_when_opened)
        assert_true(conn_write(e->conn, slice_of(e->say_when_opened)));
    event(e, 'o');
}

static void on_data(void *context, struct slice bytes)
{
    struct end *e = context;
    assert_false(e->is_paused);
    assert_true(buffer_append(&e->got, bytes));
    if (e->echoes)
        assert_true(conn_write(e->conn, bytes));
    if (e->answer)
        assert_true(conn_write(e->conn, slice_of(e->answer)));
    event(e, 'd');
}

static void on_drained(void *context)
{
    event(context, 'w');
}

static void on_ended(void *context, int error)
{
    struct end *e = context;
    e->error = error;
    event(e, 'e');
}

static void on_deadline(void *context)
{
    event(context, 't');
}

static void stop_if_over(struct pair *p)
{
    if (--p->open > 0)
        return;
    p->is_over = true;
    listener_free(p->listener);
    loop_timer_free(p->timer);
    loop_stop(p->loop);
}

static void on_closed(void *context)
{
    struct end *e = context;
    event(e, 'c');
    e->conn = NULL;
    stop_if_over(e->pair);
}

static const struct conn_handler handler = {
    .opened = on_opened,
    .data = on_data,
    .drained = on_drained,
    .ended = on_ended,
    .deadline = on_deadline,
    .closed = on_closed,
};

static void accepted(void *context, struct conn *c)
{
    struct pair *p = context;
    assert_null(p->server.conn);
    p->open++;
    p->server.conn = c;
    conn_set_handler(c, &handler, &p->server);
    uint32_t gid;
    p->seen_peer = *conn_peer(c);
    p->has_uid = conn_peer_uid(c, &p->uid, &gid);
    assert_true(net_address_equal(conn_local(c), &p->address));
    on_opened(&p->server);
}

static void on_trouble(void *context, int error)
{
    struct pair *p = context;
    p->trouble = error;
}

static void on_timer(void *context)
{
    struct pair *p = context;
    p->on_timer(p);
}

static void listen_at(struct pair *p, struct net_address address)
{
    char error[200] = "";
    int fd = net_bind(&address, error, sizeof(error)), problem = 0;
    if (fd < 0)
        fail_msg("%s", error);
    p->listener = listener_new(p->loop, fd, accepted, on_trouble, p, &problem);
    assert_non_null(p->listener);
    close(fd);
}

static struct net_address loopback(uint16_t port)
{
    struct net_address a;
    assert_true(net_address_parse(slice_of("127.0.0.1"), &a));
    a.port = port;
    return a;
}

/* One that nobody has at the moment. */
static uint16_t free_port(void)
{
    char error[200] = "";
    struct net_address any = loopback(0);
    struct sockaddr_in name;
    socklen_t len = sizeof(name);
    int fd = net_bind(&any, error, sizeof(error));
    assert_true(fd >= 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &len), 0);
    close(fd);
    return ntohs(name.sin_port);
}

static void begin(struct pair *p)
{
    *p = (struct pair){.client.pair = p, .server.pair = p};
    p->loop = loop_new();
    assert_non_null(p->loop);
    buffer_init(&p->client.got, 16 << 20);
    buffer_init(&p->server.got, 16 << 20);
    p->timer = loop_timer_new(p->loop, on_timer, p);
    p->address = loopback(free_port());
}

static void open_client(struct pair *p)
{
    int error = 0;
    p->client.conn = conn_connect(p->loop, &p->address, NULL, &handler, &p->client, &error);
    assert_non_null(p->client.conn);
    assert_int_equal(error, 0);
    assert_string_equal(p->client.seen, "");
    p->open++;
}

static void run(struct pair *p)
{
    loop_run(p->loop);
    assert_true(p->is_over);
    loop_free(p->loop);
}

static void finish(struct pair *p)
{
    buffer_free(&p->client.got);
    buffer_free(&p->server.got);
}

static void assert_got(struct end *e, const char *want)
{
    assert_true(slice_equal(buffer_slice(&e->got), slice_of(want)));
}

static void both_ends_talk_and_close(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    listen_at(&p, p.address);
    p.client.say_when_opened = "hello";
    p.server.echoes = true;
    p.client.close_on = 'd';
    p.server.close_on = 'e';
    open_client(&p);
    assert_int_equal(conn_peer(p.client.conn)->port, p.address.port);
    run(&p);
    assert_string_equal(p.client.seen, "owdc");
    assert_string_equal(p.server.seen, "odwec");
    assert_got(&p.client, "hello");
    assert_int_equal(p.server.error, 0);
    finish(&p);
}

/* The last words are not lost although the client has more to say than we ever read. */
static void what_was_written_before_a_close_arrives(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    listen_at(&p, p.address);
    char *much = xalloc(900001);
    memset(much, 'x', 900000);
    p.client.say_when_opened = much;
    p.server.say_when_opened = "421 ";
    p.server.answer = "too busy";
    p.server.close_on = 'd'; /* with most of it unread: closing would reset */
    p.client.close_on = 'e';
    open_client(&p);
    run(&p);
    assert_got(&p.client, "421 too busy");
    assert_int_equal(p.client.error, 0);
    assert_string_equal(p.server.seen, "owdc");
    free(much);
    finish(&p);
}

static void an_end_may_close_in_any_callback(void **state)
{
    (void)state;
    for (unsigned abort = 0; abort < 2; abort++)
        for (const char *on = "odwet"; *on; on++) {
            struct pair p;
            begin(&p);
            listen_at(&p, p.address);
            *(abort ? &p.client.abort_on : &p.client.close_on) = *on;
            p.client.say_when_opened = "hello";
            p.server.echoes = true;
            p.server.close_on = *on == 'e' ? 'd' : 'e';
            open_client(&p);
            if (*on == 't')
                conn_set_deadline(p.client.conn, 30);
            run(&p);
            assert_non_null(strchr(p.client.seen, *on));
            assert_int_equal(p.client.seen[p.client.len - 1], 'c');
            /* After the event it closed in nothing came but closed. */
            assert_int_equal(p.client.seen[p.client.len - 2], *on);
            finish(&p);
        }
}

static void the_accepting_end_may_close_in_any_callback(void **state)
{
    (void)state;
    for (unsigned abort = 0; abort < 2; abort++)
        for (const char *on = "odwe"; *on; on++) {
            struct pair p;
            begin(&p);
            listen_at(&p, p.address);
            *(abort ? &p.server.abort_on : &p.server.close_on) = *on;
            p.client.say_when_opened = "hello";
            p.server.echoes = true;
            p.client.close_on = *on == 'e' ? 'd' : 'e';
            open_client(&p);
            run(&p);
            assert_int_equal(p.server.seen[p.server.len - 1], 'c');
            assert_int_equal(p.server.seen[p.server.len - 2], *on);
            finish(&p);
        }
}

static void abort_resets(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    listen_at(&p, p.address);
    p.client.say_when_opened = "hello";
    p.server.abort_on = 'd';
    p.client.close_on = 'e';
    open_client(&p);
    run(&p);
    assert_int_equal(p.client.error, -ECONNRESET);
    assert_string_equal(conn_error_text(p.client.error), "Connection reset by peer");
    finish(&p);
}

static void a_refused_connection_ends_with_words(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    p.client.close_on = 'e';
    open_client(&p);
    run(&p);
    assert_string_equal(p.client.seen, "ec");
    assert_string_equal(conn_error_text(p.client.error), "Connection refused");
    finish(&p);
}

static void an_unreachable_address_ends_later_not_inside_connect(void **state)
{
    (void)state;
    static const char *const addresses[] = {"fe80::1", "255.255.255.255"};
    for (size_t i = 0; i < COUNT_OF(addresses); i++) {
        struct pair p;
        begin(&p);
        assert_true(net_address_parse(slice_of(addresses[i]), &p.address));
        p.address.port = 25;
        p.client.abort_on = 'e';
        p.client.close_on = 't';
        open_client(&p);
        conn_set_deadline(p.client.conn, 200);
        run(&p);
        if (strcmp(p.client.seen, "ec") != 0 && strcmp(p.client.seen, "tc") != 0)
            fail_msg("%s: %s", addresses[i], p.client.seen);
        finish(&p);
    }
}

static void close_at_once_after_connect_is_fine(void **state)
{
    (void)state;
    for (unsigned abort = 0; abort < 2; abort++) {
        struct pair p;
        begin(&p);
        open_client(&p);
        conn_close(p.client.conn, abort);
        conn_close(p.client.conn, true); /* hastening is allowed */
        run(&p);
        assert_string_equal(p.client.seen, "c");
        finish(&p);
    }
}

static void a_bad_source_is_our_own_fault(void **state)
{
    (void)state;
    struct pair p;
    struct net_address source;
    int error = 0;
    begin(&p);
    assert_true(net_address_parse(slice_of("192.0.2.77"), &source));
    assert_null(conn_connect(p.loop, &p.address, &source, &handler, &p.client, &error));
    assert_int_equal(error, -EADDRNOTAVAIL);
    assert_true(net_address_parse(slice_of("::1"), &source));
    assert_null(conn_connect(p.loop, &p.address, &source, &handler, &p.client, &error));
    assert_int_equal(error, -EAFNOSUPPORT);
    p.open = 1;
    stop_if_over(&p);
    run(&p);
    finish(&p);
}

static void the_source_address_is_used(void **state)
{
    (void)state;
    struct pair p;
    struct net_address source;
    int error = 0;
    begin(&p);
    listen_at(&p, p.address);
    assert_true(net_address_parse(slice_of("127.0.0.9"), &source));
    p.client.close_on = 'o';
    p.server.close_on = 'e';
    p.client.conn = conn_connect(p.loop, &p.address, &source, &handler, &p.client, &error);
    assert_non_null(p.client.conn);
    p.open++;
    run(&p);
    assert_true(p.seen_peer.port != 0);
    p.seen_peer.port = 0;
    assert_true(net_address_equal(&p.seen_peer, &source));
    assert_false(p.has_uid);
    finish(&p);
}

static void descriptors_that_are_out_are_our_own_fault(void **state)
{
    (void)state;
    struct pair p;
    struct rlimit old, none;
    int error = 0;
    begin(&p);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = (struct rlimit){0, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct conn *c = conn_connect(p.loop, &p.address, NULL, &handler, &p.client, &error);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_null(c);
    assert_int_equal(error, -EMFILE);
    p.open = 1;
    stop_if_over(&p);
    run(&p);
    finish(&p);
}

static struct rlimit descriptors;

static void give_descriptors_back(struct pair *p)
{
    assert_int_equal(p->trouble, -EMFILE);
    assert_null(p->server.conn);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &descriptors), 0);
}

static void accepting_goes_on_after_descriptors_were_out(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    listen_at(&p, p.address);
    p.client.say_when_opened = "hello";
    p.server.echoes = true;
    p.client.close_on = 'd';
    p.server.close_on = 'e';
    open_client(&p);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &descriptors), 0);
    struct rlimit none = {0, descriptors.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    p.on_timer = give_descriptors_back;
    loop_timer_start(p.timer, 50);
    run(&p);
    assert_got(&p.client, "hello");
    finish(&p);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void abort_server(struct pair *p)
{
    conn_close(p->server.conn, true);
}

static void a_close_does_not_wait_for_a_peer_that_has_gone(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    listen_at(&p, p.address);
    char *much = xalloc(1000001);
    memset(much, 'x', 1000000);
    p.client.say_when_opened = much;
    p.client.close_on = 'o';
    p.server.pause_on = 'o';
    p.on_timer = abort_server;
    loop_timer_start(p.timer, 100);
    open_client(&p);
    int64_t from = now_ms();
    run(&p);
    assert_in_range(now_ms() - from, 50, 900);
    free(much);
    finish(&p);
}

static void a_deadline_fires_once_and_moves(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    listen_at(&p, p.address);
    p.client.close_on = 't';
    p.server.close_on = 'e';
    open_client(&p);
    int64_t from = now_ms();
    conn_set_deadline(p.client.conn, 5000);
    conn_set_deadline(p.client.conn, 10);
    conn_set_deadline(p.client.conn, -1);
    conn_set_deadline(p.client.conn, 60);
    run(&p);
    /* The loop's clock stands still within a turn, so by ours it may be a little early. */
    assert_in_range(now_ms() - from, 50, 3000);
    assert_string_equal(p.client.seen, "otc");
    finish(&p);
}

enum { MUCH = 8 << 20, PIECE = 256 << 10 };
static size_t written;

static void write_more(void *context)
{
    struct end *e = context;
    static char piece[PIECE];
    if (written == MUCH) {
        conn_close(e->conn, false);
        return;
    }
    for (size_t i = 0; i < PIECE; i++)
        piece[i] = (char)((written + i) * 31 >> 3);
    assert_true(conn_write(e->conn, (struct slice){piece, PIECE}));
    assert_true(conn_unsent(e->conn) >= PIECE);
    written += PIECE;
}

static const struct conn_handler writer = {
    .opened = write_more,
    .drained = write_more,
    .closed = on_closed,
};

static void resume_server(struct pair *p)
{
    p->server.is_paused = false;
    if (p->server.conn)
        conn_resume(p->server.conn);
    loop_timer_start(p->timer, 1);
}

/* The reader pauses again and again; the writer waits for drained each time. */
static void back_pressure_holds_the_writer_and_loses_nothing(void **state)
{
    (void)state;
    struct pair p;
    int error = 0;
    begin(&p);
    listen_at(&p, p.address);
    written = 0;
    p.server.pause_on = 'd';
    p.server.close_on = 'e';
    p.on_timer = resume_server;
    loop_timer_start(p.timer, 20);
    p.client.conn = conn_connect(p.loop, &p.address, NULL, &writer, &p.client, &error);
    assert_non_null(p.client.conn);
    p.open++;
    run(&p);
    struct slice got = buffer_slice(&p.server.got);
    assert_int_equal(got.len, MUCH);
    for (size_t i = 0; i < MUCH; i += 997)
        assert_int_equal(got.data[i], (char)((i / PIECE * PIECE + i % PIECE) * 31 >> 3));
    finish(&p);
}

static void the_write_ceiling_holds(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    static char block[1 << 16];
    size_t total = 0;
    open_client(&p);
    while (conn_write(p.client.conn, (struct slice){block, sizeof(block)}))
        total += sizeof(block);
    assert_int_equal(total, 1 << 20);
    assert_int_equal(conn_unsent(p.client.conn), 1 << 20);
    conn_close(p.client.conn, true);
    run(&p);
    finish(&p);
}

static void a_unix_connection_knows_its_peer(void **state)
{
    (void)state;
    struct pair p;
    char directory[] = "/tmp/test-conn-XXXXXX", path[64];
    struct stat info;
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/socket", directory);
    for (unsigned round = 0; round < 2; round++) { /* the second finds a stale socket */
        begin(&p);
        assert_true(net_address_unix(slice_of(path), &p.address));
        listen_at(&p, p.address);
        assert_int_equal(stat(path, &info), 0);
        assert_int_equal(info.st_mode & 0777, 0660);
        p.client.say_when_opened = "hello";
        p.client.close_on = 'd';
        p.server.echoes = true;
        p.server.close_on = 'e';
        open_client(&p);
        run(&p);
        assert_true(p.has_uid);
        assert_int_equal(p.uid, getuid());
        assert_got(&p.client, "hello");
        finish(&p);
    }
    unlink(path);
    rmdir(directory);
}

static void an_address_in_use_is_told_in_words(void **state)
{
    (void)state;
    struct pair p;
    char error[200] = "";
    begin(&p);
    int fd = net_bind(&p.address, error, sizeof(error));
    assert_true(fd >= 0);
    assert_int_equal(net_bind(&p.address, error, sizeof(error)), -EADDRINUSE);
    assert_non_null(strstr(error, "cannot listen on 127.0.0.1 port "));
    assert_non_null(strstr(error, ": Address already in use"));
    close(fd);
    p.open = 1;
    stop_if_over(&p);
    run(&p);
    finish(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ends_talk_and_close),
        cmocka_unit_test(what_was_written_before_a_close_arrives),
        cmocka_unit_test(an_end_may_close_in_any_callback),
        cmocka_unit_test(the_accepting_end_may_close_in_any_callback),
        cmocka_unit_test(abort_resets),
        cmocka_unit_test(a_refused_connection_ends_with_words),
        cmocka_unit_test(an_unreachable_address_ends_later_not_inside_connect),
        cmocka_unit_test(close_at_once_after_connect_is_fine),
        cmocka_unit_test(a_bad_source_is_our_own_fault),
        cmocka_unit_test(the_source_address_is_used),
        cmocka_unit_test(descriptors_that_are_out_are_our_own_fault),
        cmocka_unit_test(accepting_goes_on_after_descriptors_were_out),
        cmocka_unit_test(a_close_does_not_wait_for_a_peer_that_has_gone),
        cmocka_unit_test(a_deadline_fires_once_and_moves),
        cmocka_unit_test(back_pressure_holds_the_writer_and_loses_nothing),
        cmocka_unit_test(the_write_ceiling_holds),
        cmocka_unit_test(a_unix_connection_knows_its_peer),
        cmocka_unit_test(an_address_in_use_is_told_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
