/* Handshakes with peers that are not ours: old, picky, talking something else, or gone. The foreign
 * peer is a thread with a blocking socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/tls/context_ssl.h"
#include "tests/support/pki.h"
#include "tests/unit/gateway/tls/ends.h"

static char directory[] = "/tmp/test-handshake-XXXXXX";
static char certificate_file[80], key_file[80];
static struct pki_identity identity;
static struct tls_context *server_tls, *server_tls13, *client_tls;

/* ---- the foreign peer ---- */

struct peer {
    pthread_t thread;
    struct net_address address;
    int listening; /* -1: it connects */
    void (*play)(struct peer *p, int fd);
    SSL_CTX *ctx;         /* owned */
    SSL_SESSION *session; /* owned; used when set, set when one came */
    const char *words;
    unsigned long error; /* of its handshake */
    char got[64];        /* what it read after it */
    bool is_resumed, has_binding, keeps_session;
    uint8_t binding[32];
};

static struct sockaddr_in sockaddr_of_peer(const struct peer *p)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(p->address.port)};
    memcpy(&a.sin_addr, p->address.bytes, 4);
    return a;
}

static int meet(struct peer *p)
{
    struct sockaddr_in a = sockaddr_of_peer(p);
    if (p->listening >= 0)
        return accept(p->listening, NULL, NULL);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0)
        panic("peer: cannot connect");
    return fd;
}

static void make_blocking(int fd)
{
    assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK), 0);
}

static void *live(void *argument)
{
    struct peer *p = argument;
    int fd = meet(p);
    struct timeval limit = {.tv_sec = 10};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    p->play(p, fd);
    close(fd);
    return NULL;
}

static void peer_start(struct peer *p, const struct ends *n, bool listens)
{
    p->address = n->address;
    p->listening = -1;
    if (listens) {
        char error[200] = "";
        p->listening = net_bind(&p->address, error, sizeof(error));
        assert_true(p->listening >= 0);
        make_blocking(p->listening); /* the thread waits in accept() */
    }
    assert_int_equal(pthread_create(&p->thread, NULL, live, p), 0);
}

static void peer_end(struct peer *p)
{
    pthread_join(p->thread, NULL);
    if (p->listening >= 0)
        close(p->listening);
    SSL_CTX_free(p->ctx);
    if (!p->keeps_session)
        SSL_SESSION_free(p->session);
}

/* A handshake from either side; then reads until the other closes. */
static void play_tls(struct peer *p, int fd)
{
    static const char label[] = "EXPORTER-Channel-Binding";
    SSL *ssl = SSL_new(p->ctx);
    SSL_set_fd(ssl, fd);
    if (p->session)
        SSL_set_session(ssl, p->session);
    int done = p->listening >= 0 ? SSL_accept(ssl) : SSL_connect(ssl);
    if (done == 1) {
        size_t len = 0;
        int got;
        p->is_resumed = SSL_session_reused(ssl);
        p->has_binding = SSL_export_keying_material(ssl, p->binding, 32, label, sizeof(label) - 1,
                                                    NULL, 0, 0) == 1;
        if (p->words)
            SSL_write(ssl, p->words, (int)strlen(p->words));
        while (len + 1 < sizeof(p->got) &&
               (got = SSL_read(ssl, p->got + len, (int)(sizeof(p->got) - 1 - len))) > 0)
            len += (size_t)got;
        SSL_SESSION_free(p->session);
        p->session = SSL_get1_session(ssl);
        SSL_shutdown(ssl);
    }
    p->error = ERR_peek_error();
    ERR_clear_error();
    SSL_free(ssl);
}

static SSL_CTX *peer_ctx(bool is_server, int min, int max, const char *ciphers)
{
    SSL_CTX *ctx = SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());
    assert_non_null(ctx);
    SSL_CTX_set_security_level(ctx, 0);
    assert_int_equal(SSL_CTX_set_min_proto_version(ctx, min), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(ctx, max), 1);
    if (ciphers)
        assert_int_equal(SSL_CTX_set_cipher_list(ctx, ciphers), 1);
    if (is_server) {
        assert_int_equal(SSL_CTX_use_certificate(ctx, identity.certificate), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(ctx, identity.key), 1);
    }
    return ctx;
}

/* Our client meets the peer; what it came to is in n->client. */
static void client_meets(struct ends *n, struct peer *p)
{
    n->expect = 1;
    n->client.close_on = 's';
    n->client.abort_on = 'f'; /* even so our alert must go out */
    peer_start(p, n, true);
    ends_connect(n);
    ends_run(n);
    peer_end(p);
}

static void server_meets(struct ends *n, struct peer *p)
{
    n->expect = 1;
    ends_listen(n);
    peer_start(p, n, false);
    ends_run(n);
    peer_end(p);
}

static void assert_failure(const struct end *e, enum tls_failure_kind kind, const char *text)
{
    if (!strstr(e->seen, "f") || e->failure.kind != kind || !strstr(e->failure.text, text))
        fail_msg("got \"%s\", %d, \"%s\"; want %d, \"%s\"", e->seen, (int)e->failure.kind,
                 e->failure.text, (int)kind, text);
}

/* ---- old and picky ---- */

static void a_server_below_1_2_gives_unsupported_protocol(void **state)
{
    (void)state;
    struct ends n;
    struct peer p = {.play = play_tls, .ctx = peer_ctx(true, TLS1_VERSION, TLS1_1_VERSION, NULL)};
    ends_begin(&n, NULL, client_tls);
    client_meets(&n, &p);
    assert_failure(&n.client, TLS_FAILURE_HANDSHAKE, "unsupported protocol");
    assert_int_equal(ERR_GET_REASON(p.error), SSL_R_UNSUPPORTED_PROTOCOL);
    ends_finish(&n);
}

/* A real old server answers with its own version; only then is it our side that notices. */
static void play_old_server(struct peer *p, int fd)
{
    static const unsigned char hello[] = {
        0x16, 3, 2,    0,  49,    /* handshake record */
        2,    0, 0,    45, 3,  2, /* ServerHello, TLS 1.1 */
        1,    2, 3,    4,  5,  6, 7,  8,  9,  10, 11, 12, 13, 14, 15,   16,   1, 2, 3,
        4,    5, 6,    7,  8,  9, 10, 11, 12, 13, 14, 15, 16, 0,  0xc0, 0x13, 0, /* no session, a
                                                                                    cipher, no
                                                                                    compression */
        0,    5, 0xff, 1,  0,  1, 0, /* secure renegotiation */
    };
    unsigned char buffer[2048];
    if (recv(fd, buffer, sizeof(buffer), 0) <= 0 || send(fd, hello, sizeof(hello), 0) <= 0)
        return;
    /* Our alert: record type 21, level 2 (fatal), 70 (protocol version). */
    ssize_t got = recv(fd, buffer, sizeof(buffer), 0);
    if (got == 7 && buffer[0] == 21 && buffer[5] == 2 && buffer[6] == 70)
        snprintf(p->got, sizeof(p->got), "alert");
}

static void an_old_answer_is_refused_and_told_so(void **state)
{
    (void)state;
    struct ends n;
    struct peer p = {.play = play_old_server};
    ends_begin(&n, NULL, client_tls);
    client_meets(&n, &p);
    assert_failure(&n.client, TLS_FAILURE_HANDSHAKE, "unsupported protocol");
    assert_string_equal(p.got, "alert");
    ends_finish(&n);
}

static void a_client_below_1_2_is_refused_and_told_so(void **state)
{
    (void)state;
    static const struct {
        int version;
        bool only13;
    } cases[] = {{TLS1_1_VERSION, false}, {TLS1_VERSION, false}, {TLS1_2_VERSION, true}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct ends n;
        struct peer p = {.play = play_tls,
                         .ctx = peer_ctx(false, TLS1_VERSION, cases[i].version, NULL)};
        ends_begin(&n, cases[i].only13 ? server_tls13 : server_tls, NULL);
        n.server.abort_on = 'f';
        server_meets(&n, &p);
        assert_failure(&n.server, TLS_FAILURE_HANDSHAKE, "unsupported protocol");
        assert_int_equal(ERR_GET_REASON(p.error), SSL_R_TLSV1_ALERT_PROTOCOL_VERSION);
        ends_finish(&n);
    }
}

static void a_client_without_a_cipher_of_ours_is_told_so(void **state)
{
    (void)state;
    struct ends n;
    struct peer p = {.play = play_tls,
                     .ctx = peer_ctx(false, TLS1_2_VERSION, TLS1_2_VERSION, "AES128-SHA")};
    ends_begin(&n, server_tls, NULL);
    n.server.abort_on = 'f';
    server_meets(&n, &p);
    assert_failure(&n.server, TLS_FAILURE_HANDSHAKE, "no shared cipher");
    assert_int_equal(ERR_GET_REASON(p.error), SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE);
    ends_finish(&n);
}

static void an_alert_of_the_server_is_told_by_name(void **state)
{
    (void)state;
    struct ends n;
    /* It has an ECDSA certificate and takes RSA alone. */
    struct peer p = {.play = play_tls,
                     .ctx = peer_ctx(true, TLS1_2_VERSION, TLS1_2_VERSION, "aRSA")};
    ends_begin(&n, NULL, client_tls);
    client_meets(&n, &p);
    assert_failure(&n.client, TLS_FAILURE_HANDSHAKE, "peer sent alert: handshake failure");
    ends_finish(&n);
}

static void an_alert_of_the_client_is_told_by_name(void **state)
{
    (void)state;
    struct ends n;
    struct peer p = {.play = play_tls, .ctx = peer_ctx(false, TLS1_2_VERSION, 0, NULL)};
    SSL_CTX_set_verify(p.ctx, SSL_VERIFY_PEER, NULL); /* and it knows no CA */
    ends_begin(&n, server_tls, NULL);
    n.server.close_on = 'f';
    server_meets(&n, &p);
    assert_failure(&n.server, TLS_FAILURE_HANDSHAKE, "peer sent alert: ");
    ends_finish(&n);
}

/* ---- TLS 1.2 ---- */

static void tls_1_2_works_on_both_sides(void **state)
{
    (void)state;
    struct ends n;
    struct peer p = {.play = play_tls, .ctx = peer_ctx(true, TLS1_2_VERSION, TLS1_2_VERSION, NULL)};
    ends_begin(&n, NULL, client_tls);
    client_meets(&n, &p);
    assert_string_equal(n.client.facts.protocol, "TLSv1.2");
    assert_true(n.client.has_binding);
    assert_memory_equal(n.client.binding, p.binding, 32);
    ends_finish(&n);

    p = (struct peer){.play = play_tls,
                      .words = "hello",
                      .ctx = peer_ctx(false, TLS1_2_VERSION, TLS1_2_VERSION, NULL)};
    ends_begin(&n, server_tls, NULL);
    n.server.close_on = 'd';
    server_meets(&n, &p);
    assert_string_equal(n.server.facts.protocol, "TLSv1.2");
    end_assert_got(&n.server, "hello");
    assert_true(n.server.has_binding && p.has_binding);
    assert_memory_equal(n.server.binding, p.binding, 32);
    ends_finish(&n);
}

static void without_extended_master_secret_there_is_no_binding(void **state)
{
    (void)state;
    struct ends n;
    struct peer p = {.play = play_tls,
                     .ctx = peer_ctx(false, TLS1_2_VERSION, TLS1_2_VERSION, NULL)};
    SSL_CTX_set_options(p.ctx, SSL_OP_NO_EXTENDED_MASTER_SECRET);
    ends_begin(&n, server_tls, NULL);
    n.server.close_on = 's';
    server_meets(&n, &p);
    assert_string_equal(n.server.facts.protocol, "TLSv1.2");
    assert_false(n.server.has_binding);
    ends_finish(&n);
}

/* Old Exchange signs with SHA-1 and speaks CBC: still better than clear text. */
static void weak_servers_are_spoken_to(void **state)
{
    (void)state;
    struct ends n;
    struct peer p = {.play = play_tls,
                     .ctx =
                         peer_ctx(true, TLS1_2_VERSION, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA")};
    char sha1[] = "ECDSA+SHA1";
    assert_int_equal(SSL_CTX_set1_sigalgs_list(p.ctx, sha1), 1);
    ends_begin(&n, NULL, client_tls);
    client_meets(&n, &p);
    assert_string_equal(n.client.facts.cipher, "ECDHE-ECDSA-AES128-SHA");
    ends_finish(&n);
}

static void a_server_without_certificate_serves_where_nobody_asks_for_one(void **state)
{
    (void)state;
    for (unsigned asks = 0; asks < 2; asks++) {
        struct ends n;
        struct peer p = {.play = play_tls,
                         .ctx = peer_ctx(true, TLS1_2_VERSION, TLS1_2_VERSION, "aNULL")};
        ends_begin(&n, NULL, client_tls);
        n.options.pkix_names[0] = asks ? "mx.example.test" : NULL;
        client_meets(&n, &p);
        if (asks)
            assert_failure(&n.client, TLS_FAILURE_HANDSHAKE, "peer sent alert: handshake failure");
        else
            assert_non_null(strstr(n.client.facts.cipher, "AES"));
        ends_finish(&n);
    }
}

/* ---- no TLS at all ---- */

static void play_words(struct peer *p, int fd)
{
    if (send(fd, p->words, strlen(p->words), 0) < 0)
        return;
    while (recv(fd, p->got, sizeof(p->got), 0) > 0)
        continue;
}

static void play_ssl_3(struct peer *p, int fd)
{
    static const unsigned char hello[] = {
        0x16, 3, 0, 0, 45, 1, 0, 0, 41, 3,  0,                      /* ClientHello */
        1,    2, 3, 4, 5,  6, 7, 8, 9,  10, 11, 12, 13, 14, 15, 16, /* random */
        1,    2, 3, 4, 5,  6, 7, 8, 9,  10, 11, 12, 13, 14, 15, 16,
        0,    0, 2, 0, 5,  1, 0, /* no session, one cipher, no compression */
    };
    unsigned char answer[64];
    if (send(fd, hello, sizeof(hello), 0) > 0 && recv(fd, answer, sizeof(answer), 0) == 7 &&
        answer[0] == 21)
        snprintf(p->got, sizeof(p->got), "alert");
}

static void a_client_of_ssl_3_is_refused_in_the_same_words(void **state)
{
    (void)state;
    struct ends n;
    struct peer p = {.play = play_ssl_3};
    ends_begin(&n, server_tls, NULL);
    n.server.abort_on = 'f';
    server_meets(&n, &p);
    assert_failure(&n.server, TLS_FAILURE_HANDSHAKE, "unsupported protocol");
    assert_string_equal(p.got, "alert");
    ends_finish(&n);
}

static void bytes_that_are_no_tls_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *words, *client_says, *server_says;
    } cases[] = {
        {"500 5.5.1 what is this?\r\n", "wrong version number", "wrong version number"},
        {"EHLO mx.example.test\r\n", "wrong version number", "wrong version number"},
        {"GET / HTTP/1.0\r\n\r\n", "http request", "http request"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct ends n;
        struct peer p = {.play = play_words, .words = cases[i].words};
        ends_begin(&n, NULL, client_tls);
        client_meets(&n, &p);
        assert_failure(&n.client, TLS_FAILURE_HANDSHAKE, cases[i].client_says);
        ends_finish(&n);

        p = (struct peer){.play = play_words, .words = cases[i].words};
        ends_begin(&n, server_tls, NULL);
        n.server.abort_on = 'f';
        server_meets(&n, &p);
        assert_failure(&n.server, TLS_FAILURE_HANDSHAKE, cases[i].server_says);
        ends_finish(&n);
    }
}

/* ---- cut ---- */

static void play_gone(struct peer *p, int fd)
{
    char buffer[2048];
    /* Reading first makes it an end; leaving bytes unread would make it a reset. */
    (void)p;
    while (recv(fd, buffer, sizeof(buffer), 0) < 0)
        continue;
}

static void play_reset(struct peer *p, int fd)
{
    char buffer[2048];
    struct linger now = {1, 0};
    (void)p;
    while (recv(fd, buffer, 1, 0) < 0)
        continue;
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

static void play_silent(struct peer *p, int fd)
{
    char buffer[2048];
    (void)p;
    while (recv(fd, buffer, sizeof(buffer), 0) > 0)
        continue;
}

static void play_half(struct peer *p, int fd)
{
    /* The front of a ServerHello. */
    static const unsigned char hello[] = {0x16, 3, 3, 0, 122, 2, 0, 0, 118, 3, 3};
    play_gone(p, fd);
    send(fd, hello, sizeof(hello), 0);
}

static void deadline_soon(struct end *e, char letter)
{
    if (letter == 'o')
        stream_set_deadline(e->stream, 50);
}

static void a_handshake_that_is_cut_is_no_alert(void **state)
{
    (void)state;
    static const struct {
        void (*play)(struct peer *p, int fd);
        const char *want;
    } cases[] = {
        {play_gone, "Connection closed by the peer during the TLS handshake"},
        {play_half, "Connection closed by the peer during the TLS handshake"},
        {play_reset, "Connection reset by peer during the TLS handshake"},
        {play_silent, "timed out during the TLS handshake"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct ends n;
        struct peer p = {.play = cases[i].play};
        ends_begin(&n, NULL, client_tls);
        if (cases[i].play == play_silent)
            n.client.on_event = deadline_soon;
        client_meets(&n, &p);
        assert_failure(&n.client, TLS_FAILURE_CUT, cases[i].want);
        /* Neither ended nor deadline besides. */
        assert_null(strpbrk(n.client.seen, "et"));
        ends_finish(&n);
    }
}

static void play_end_without_notify(struct peer *p, int fd)
{
    SSL *ssl = SSL_new(p->ctx);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1)
        SSL_write(ssl, "221 bye\r\n", 9);
    SSL_read(ssl, p->got, 4); /* QUIT, so that closing makes no reset */
    SSL_free(ssl);
}

static void an_end_without_close_notify_is_an_end(void **state)
{
    (void)state;
    struct ends n;
    struct peer p = {.play = play_end_without_notify,
                     .ctx = peer_ctx(true, TLS1_2_VERSION, TLS1_2_VERSION, NULL)};
    ends_begin(&n, NULL, client_tls);
    n.client.say = "QUIT";
    n.expect = 1;
    n.client.close_on = 'e';
    peer_start(&p, &n, true);
    ends_connect(&n);
    ends_run(&n);
    peer_end(&p);
    end_assert_got(&n.client, "221 bye\r\n");
    assert_int_equal(n.client.error, 0);
    ends_finish(&n);
}

static void play_notify_and_stay(struct peer *p, int fd)
{
    SSL *ssl = SSL_new(p->ctx);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1)
        SSL_shutdown(ssl);
    while (recv(fd, p->got, sizeof(p->got), 0) > 0)
        continue;
    SSL_free(ssl);
}

static void late_deadline(struct end *e, char letter)
{
    if (letter == 's')
        stream_set_deadline(e->stream, 1000);
}

static void close_notify_is_an_end_by_itself(void **state)
{
    (void)state;
    struct ends n;
    struct peer p = {.play = play_notify_and_stay, .ctx = peer_ctx(true, TLS1_2_VERSION, 0, NULL)};
    ends_begin(&n, NULL, client_tls);
    n.client.on_event = late_deadline;
    n.client.close_on = 'e';
    n.expect = 1;
    peer_start(&p, &n, true);
    ends_connect(&n);
    ends_run(&n);
    peer_end(&p);
    assert_int_equal(n.client.error, 0);
    assert_null(strchr(n.client.seen, 't'));
    ends_finish(&n);
}

static void play_garbage_inside(struct peer *p, int fd)
{
    static const unsigned char record[] = {0x17, 3,  3,  0,  32, 1,  2,  3,  4,  5,  6,  7,  8,
                                           9,    10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
                                           22,   23, 24, 25, 26, 27, 28, 29, 30, 31, 32};
    SSL *ssl = SSL_new(p->ctx);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1)
        send(fd, record, sizeof(record), 0);
    SSL_read(ssl, p->got, 4);
    p->error = ERR_peek_error();
    SSL_free(ssl);
}

static void garbage_after_the_handshake_ends_with_words(void **state)
{
    (void)state;
    struct ends n;
    struct peer p = {.play = play_garbage_inside,
                     .ctx = peer_ctx(true, TLS1_3_VERSION, TLS1_3_VERSION, NULL)};
    ends_begin(&n, NULL, client_tls);
    n.expect = 1;
    n.client.close_on = 'e';
    peer_start(&p, &n, true);
    ends_connect(&n);
    ends_run(&n);
    peer_end(&p);
    assert_string_equal(conn_error_text(n.client.error), "Protocol error");
    assert_non_null(strstr(n.client.error_text, "bad record mac"));
    ends_finish(&n);
}

/* ---- tickets ---- */

/* One session; the peer's ticket goes on to the next. */
static bool resume(struct tls_context *server, SSL_SESSION **session, int version)
{
    struct peer p = {.play = play_tls,
                     .ctx = peer_ctx(false, version, version, NULL),
                     .session = *session,
                     .keeps_session = true};
    struct ends n;
    ends_begin(&n, server, NULL);
    n.server.say = "220 hello\r\n"; /* the ticket comes with it */
    n.server.close_on = 's';
    server_meets(&n, &p);
    assert_string_equal(p.got, "220 hello\r\n");
    assert_int_equal(n.server.facts.is_resumed, p.is_resumed);
    ends_finish(&n);
    *session = p.session;
    return p.is_resumed;
}

static void clients_can_resume_while_the_ticket_keys_live(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < COUNT_OF(versions); i++) {
        SSL_SESSION *session = NULL;
        assert_false(resume(server_tls, &session, versions[i]));
        assert_true(resume(server_tls, &session, versions[i]));
        /* Sealed with the key before: accepted, and answered with a fresh ticket. */
        tls_tickets_age(server_tls->tickets, 13L * 3600);
        SSL_SESSION *other = NULL;
        assert_false(resume(server_tls, &other, versions[i]));
        assert_true(resume(server_tls, &session, versions[i]));
        SSL_SESSION_free(other);
        tls_tickets_age(server_tls->tickets, 13L * 3600);
        assert_true(resume(server_tls, &session, versions[i]));
        tls_tickets_age(server_tls->tickets, 25L * 3600);
        assert_false(resume(server_tls, &session, versions[i]));
        assert_true(resume(server_tls, &session, versions[i]));
        SSL_SESSION_free(session);
    }
}

/* ---- a network that carries single octets ---- */

struct relay {
    pthread_t thread;
    int listening;
    struct net_address to;
};

static bool copy_octet(int from, int to)
{
    char octet;
    return recv(from, &octet, 1, 0) == 1 && send(to, &octet, 1, MSG_NOSIGNAL) == 1;
}

static void *relay_octets(void *argument)
{
    struct relay *r = argument;
    struct peer other = {.address = r->to, .listening = -1};
    int near = accept(r->listening, NULL, NULL), far = meet(&other), on = 1;
    setsockopt(near, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(far, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    struct pollfd fds[2] = {{.fd = near, .events = POLLIN}, {.fd = far, .events = POLLIN}};
    bool is_open = true;
    while (is_open && poll(fds, 2, 5000) > 0) {
        if (fds[0].revents)
            is_open = copy_octet(near, far);
        if (is_open && fds[1].revents)
            is_open = copy_octet(far, near);
    }
    close(near);
    close(far);
    return NULL;
}

static void close_when_echoed(struct end *e, char letter)
{
    if (letter == 'd' && e->got.len == strlen("220 go\r\n") + strlen(e->say))
        stream_close(e->stream, false);
}

static void octets_may_come_one_at_a_time(void **state)
{
    (void)state;
    struct ends n;
    char error[200] = "";
    ends_begin(&n, server_tls, client_tls);
    ends_listen(&n);
    struct relay r = {.to = n.address};
    assert_true(net_address_parse(slice_of("127.0.0.2"), &n.address));
    n.address.port = r.to.port; /* free there, too */
    r.listening = net_bind(&n.address, error, sizeof(error));
    assert_true(r.listening >= 0);
    make_blocking(r.listening);
    assert_int_equal(pthread_create(&r.thread, NULL, relay_octets, &r), 0);
    n.client.say = "hello, one at a time";
    n.server.echoes = true;
    n.server.close_on = 'e';
    n.server.say = "220 go\r\n";
    n.client.on_event = close_when_echoed;
    ends_connect(&n);
    ends_run(&n);
    pthread_join(r.thread, NULL);
    close(r.listening);
    end_assert_got(&n.server, "hello, one at a time");
    end_assert_got(&n.client, "220 go\r\nhello, one at a time");
    ends_finish(&n);
}

static int make_all(void **state)
{
    (void)state;
    char error[300] = "";
    struct pki_options o = {.common_name = "mx.example.test", .alt_names = "DNS:mx.example.test"};
    if (!mkdtemp(directory))
        return -1;
    snprintf(certificate_file, sizeof(certificate_file), "%s/cert.pem", directory);
    snprintf(key_file, sizeof(key_file), "%s/key.pem", directory);
    identity = pki_make(&o, NULL);
    pki_write(&identity, NULL, certificate_file, key_file);
    struct tls_server_options options = {certificate_file, key_file, true};
    server_tls = tls_server_new(&options, error, sizeof(error));
    options.allows_tls12 = false;
    server_tls13 = tls_server_new(&options, error, sizeof(error));
    client_tls = tls_client_new(certificate_file, error, sizeof(error));
    unlink(certificate_file);
    unlink(key_file);
    rmdir(directory);
    return server_tls && server_tls13 && client_tls ? 0 : -1;
}

static int free_all(void **state)
{
    (void)state;
    pki_free(&identity);
    tls_context_unref(server_tls);
    tls_context_unref(server_tls13);
    tls_context_unref(client_tls);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_below_1_2_gives_unsupported_protocol),
        cmocka_unit_test(an_old_answer_is_refused_and_told_so),
        cmocka_unit_test(a_client_below_1_2_is_refused_and_told_so),
        cmocka_unit_test(a_client_without_a_cipher_of_ours_is_told_so),
        cmocka_unit_test(an_alert_of_the_server_is_told_by_name),
        cmocka_unit_test(an_alert_of_the_client_is_told_by_name),
        cmocka_unit_test(tls_1_2_works_on_both_sides),
        cmocka_unit_test(without_extended_master_secret_there_is_no_binding),
        cmocka_unit_test(weak_servers_are_spoken_to),
        cmocka_unit_test(a_server_without_certificate_serves_where_nobody_asks_for_one),
        cmocka_unit_test(a_client_of_ssl_3_is_refused_in_the_same_words),
        cmocka_unit_test(bytes_that_are_no_tls_are_told),
        cmocka_unit_test(a_handshake_that_is_cut_is_no_alert),
        cmocka_unit_test(an_end_without_close_notify_is_an_end),
        cmocka_unit_test(close_notify_is_an_end_by_itself),
        cmocka_unit_test(garbage_after_the_handshake_ends_with_words),
        cmocka_unit_test(clients_can_resume_while_the_ticket_keys_live),
        cmocka_unit_test(octets_may_come_one_at_a_time),
    };
    return cmocka_run_group_tests(tests, make_all, free_all);
}
