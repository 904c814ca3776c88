/* The hook at RCPT on real sockets: a listener with TLS and passwords, and a client in a thread of
 * its own that logs in. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/net/conn.h"
#include "gateway/submission/submission.h"
#include "gateway/tls/scram.h"
#include "queue/account.h"
#include "tests/support/pki.h"

#define NO_TLS "TLS is required, but was not offered by host mx.carol.example[192.0.2.9]"

static struct {
    char directory[64];
    struct loop *loop;
    struct queue *queue;
    struct submission_settings *settings;
    struct submission_limits *limits;
    struct submission *submission;
    uint16_t port;
} house;

/* ---- Who is asked ---- */

static struct {
    struct loop_timer *timer; /* owned */
    void (*answered)(void *asker, const struct outcome *why);
    void *asker;
    const char *words;
    bool is_silent, is_refusing;
    unsigned asked, cancelled;
    bool may_probe;
    enum level level;
    char recipient[ADDRESS_SIZE];
} oracle;

static void answer(void *context)
{
    (void)context;
    if (!oracle.words) {
        oracle.answered(oracle.asker, NULL);
        return;
    }
    struct outcome why = outcome_local(status_make(5, 7, 4), "%s", oracle.words);
    oracle.answered(oracle.asker, &why);
}

static void *ask_oracle(void *context, struct loop *loop,
                        const struct submission_question *question,
                        void (*answered)(void *asker, const struct outcome *why), void *asker)
{
    assert_ptr_equal(context, &oracle);
    assert_ptr_equal(loop, house.loop);
    oracle.asked++;
    oracle.level = question->level;
    oracle.may_probe = question->may_probe;
    snprintf(oracle.recipient, sizeof oracle.recipient, "%s", question->recipient->text);
    oracle.answered = answered;
    oracle.asker = asker;
    if (oracle.is_refusing)
        return NULL;
    if (!oracle.is_silent)
        loop_timer_start(oracle.timer, 20);
    return &oracle.asked;
}

static void cancel_oracle(void *context, void *asked)
{
    assert_ptr_equal(context, &oracle);
    assert_ptr_equal(asked, &oracle.asked);
    oracle.cancelled++;
    loop_timer_stop(oracle.timer);
}

static const struct submission_ask_rcpt hook = {&oracle, ask_oracle, cancel_oracle};

/* ---- The client's side ---- */

static const char *said, *wanted;
static bool is_good;

static SSL *dial(int *fd)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(house.port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct timeval patience = {.tv_sec = 10};
    *fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(*fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);
    SSL_CTX_free(context);
    SSL_set_fd(ssl, *fd);
    if (connect(*fd, (struct sockaddr *)&to, sizeof to) != 0 || SSL_connect(ssl) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    return ssl;
}

/* Says all at once, and reads until `want` is the end of what was heard. */
static bool talk(SSL *ssl, const char *say, const char *want)
{
    char heard[8192];
    size_t len = 0;
    if (SSL_write(ssl, say, (int)strlen(say)) <= 0)
        return false;
    while (len < strlen(want) || memcmp(heard + len - strlen(want), want, strlen(want)) != 0) {
        int got = SSL_read(ssl, heard + len, (int)(sizeof heard - 1 - len));
        if (got <= 0) {
            heard[len] = '\0';
            fprintf(stderr, "heard:\n%s\nwant:\n%s\n", heard, want);
            return false;
        }
        len += (size_t)got;
    }
    return true;
}

static void stopped(void *context)
{
    (void)context;
    submission_free(house.submission);
    loop_timer_free(oracle.timer);
    loop_stop(house.loop);
}

static void stop(void *context)
{
    (void)context;
    submission_stop(house.submission, 0, stopped, NULL);
}

static void *client_main(void *context)
{
    (void)context;
    int fd;
    SSL *ssl = dial(&fd);
    /* "\0alice@example.org\0secret" */
    is_good = ssl &&
              talk(ssl, "EHLO x\r\nAUTH PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldA==\r\n",
                   "235 2.7.0 Authentication successful\r\n") &&
              talk(ssl, said, wanted);
    SSL_free(ssl);
    close(fd);
    loop_post(house.loop, stop, NULL);
    return NULL;
}

/* ---- The house ---- */

static void run_here(void *context, void (*run)(void *argument), void *argument)
{
    (void)context;
    run(argument);
}

static atomic_int put;

static void was_put(void *context, int error)
{
    (void)context;
    atomic_store(&put, error == 0 ? 1 : -1);
}

static void add_alice(void)
{
    struct queue_account a = {.address = "alice@example.org", .has_flag = true};
    struct queue_poster poster = {run_here, NULL};
    struct scram_keys keys;
    a.level = LEVEL_ENCRYPT;
    assert_true(scram_derive(SCRAM_SHA256, SLICE("secret"), (const uint8_t *)"0123456789abcde",
                             SCRAM_SALT_LEN, 4096, &keys));
    a.sha256.iterations = keys.iterations;
    a.sha256.salt_len = (uint8_t)keys.salt_len;
    a.sha256.key_len = (uint8_t)keys.key_len;
    memcpy(a.sha256.salt, keys.salt, keys.salt_len);
    memcpy(a.sha256.stored_key, keys.stored_key, keys.key_len);
    memcpy(a.sha256.server_key, keys.server_key, keys.key_len);
    atomic_store(&put, 0);
    queue_account_put(house.queue, &a, true, &poster, was_put, NULL);
    for (int i = 0; i < 500 && atomic_load(&put) == 0; i++)
        usleep(10000);
    assert_int_equal(atomic_load(&put), 1);
}

static struct tls_context *make_tls(void)
{
    char error[256], certificate[128], key[128];
    snprintf(certificate, sizeof certificate, "%s/c.pem", house.directory);
    snprintf(key, sizeof key, "%s/k.pem", house.directory);
    struct pki_identity identity =
        pki_make(&(struct pki_options){.common_name = "mail.example.org"}, NULL);
    pki_write(&identity, NULL, certificate, key);
    pki_free(&identity);
    struct tls_server_options o = {certificate, key, true};
    struct tls_context *tls = tls_server_new(&o, error, sizeof error);
    assert_non_null(tls);
    return tls;
}

static void listen_on_loopback(void)
{
    char error[256];
    struct net_address loopback;
    struct sockaddr_in bound;
    socklen_t len = sizeof bound;
    assert_true(net_address_parse(SLICE("127.0.0.1"), &loopback));
    int fd = net_bind(&loopback, error, sizeof error);
    assert_true(fd >= 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&bound, &len), 0);
    house.port = ntohs(bound.sin_port);
    assert_int_equal(submission_listen(house.submission, fd, 0), 0);
    close(fd);
}

static void build(const struct submission_ask_rcpt *ask)
{
    char error[256];
    strcpy(house.directory, "/tmp/sealpost-ask-XXXXXX");
    assert_non_null(mkdtemp(house.directory));
    struct queue_options q = {.directory = house.directory, .size_limit = 64 << 20};
    assert_int_equal(queue_open(&q, &house.queue, error, sizeof error), 0);
    add_alice();
    house.loop = loop_new();
    house.settings = submission_settings_new();
    strcpy(house.settings->hostname, "mail.example.org");
    house.settings->tls = make_tls();
    house.settings->mechanisms = MECHANISM_PLAIN;
    house.settings->at_rcpt = SUBMISSION_AT_RCPT_PROBE;
    house.settings->listener_count = 1;
    house.settings->listeners = xalloc(sizeof *house.settings->listeners);
    strcpy(house.settings->listeners[0].title, "submissions");
    house.settings->listeners[0].tls = SUBMISSION_IMPLICIT;
    house.limits = submission_limits_new();
    struct submission_options o = {.loop = house.loop,
                                   .queue = house.queue,
                                   .settings = house.settings,
                                   .limits = house.limits,
                                   .ask_rcpt = ask};
    house.submission = submission_new(&o);
    oracle.timer = loop_timer_new(house.loop, answer, NULL);
    listen_on_loopback();
}

/* Milliseconds that it took. */
static int64_t converse(const struct submission_ask_rcpt *ask, const char *say, const char *want)
{
    pthread_t thread;
    struct timespec from, until;
    char command[128];
    oracle.asked = oracle.cancelled = 0;
    said = say;
    wanted = want;
    build(ask);
    clock_gettime(CLOCK_MONOTONIC, &from);
    assert_int_equal(pthread_create(&thread, NULL, client_main, NULL), 0);
    loop_run(house.loop);
    pthread_join(thread, NULL);
    clock_gettime(CLOCK_MONOTONIC, &until);
    loop_free(house.loop);
    queue_close(house.queue);
    submission_settings_unref(house.settings);
    submission_limits_free(house.limits);
    snprintf(command, sizeof command, "rm -r '%s'", house.directory);
    assert_int_equal(system(command), 0);
    assert_true(is_good);
    return (until.tv_sec - from.tv_sec) * 1000 + (until.tv_nsec - from.tv_nsec) / 1000000;
}

#define ENVELOPE                                                                                   \
    "MAIL FROM:<alice@example.org>\r\nRCPT TO:<carol@example.net>\r\nRCPT "                        \
    "TO:<dave@example.net>\r\n"                                                                    \
    "NOOP\r\n"
#define MAIL_OK "250 2.1.0 Ok\r\n"
#define RCPT_OK "250 2.1.5 Ok\r\n"
#define NOOP_OK "250 2.0.0 Ok\r\n"

static void the_words_of_the_hook_are_said_in_their_turn(void **state)
{
    (void)state;
    oracle.words = NO_TLS;
    converse(&hook, ENVELOPE, MAIL_OK "550 5.7.4 " NO_TLS "\r\n550 5.7.4 " NO_TLS "\r\n" NOOP_OK);
    assert_int_equal(oracle.asked, 2);
    assert_int_equal(oracle.cancelled, 0);
    assert_int_equal(oracle.level, LEVEL_ENCRYPT);
    assert_true(oracle.may_probe);
    assert_string_equal(oracle.recipient, "dave@example.net");
    oracle.words = NULL;
    converse(&hook, ENVELOPE, MAIL_OK RCPT_OK RCPT_OK NOOP_OK);
    assert_int_equal(oracle.asked, 2);
}

static void without_a_hook_or_an_answer_recipients_are_taken(void **state)
{
    (void)state;
    oracle.words = NO_TLS;
    converse(NULL, ENVELOPE, MAIL_OK RCPT_OK RCPT_OK NOOP_OK);
    assert_int_equal(oracle.asked, 0);
    oracle.is_refusing = true;
    converse(&hook, ENVELOPE, MAIL_OK RCPT_OK RCPT_OK NOOP_OK);
    oracle.is_refusing = false;
    assert_int_equal(oracle.asked, 2);
    assert_int_equal(oracle.cancelled, 0);
}

static void a_hook_that_is_silent_is_cancelled_after_three_seconds(void **state)
{
    (void)state;
    oracle.is_silent = true;
    int64_t took_ms = converse(
        &hook, "MAIL FROM:<alice@example.org>\r\nRCPT TO:<c@example.net>\r\n", MAIL_OK RCPT_OK);
    assert_in_range(took_ms, 2900, 8000);
    assert_int_equal(oracle.cancelled, 1);
    /* The client goes, and the house with it, while the question is open. */
    took_ms =
        converse(&hook, "MAIL FROM:<alice@example.org>\r\nRCPT TO:<c@example.net>\r\n", MAIL_OK);
    oracle.is_silent = false;
    assert_in_range(took_ms, 0, 2500);
    assert_int_equal(oracle.cancelled, oracle.asked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_words_of_the_hook_are_said_in_their_turn),
        cmocka_unit_test(without_a_hook_or_an_answer_recipients_are_taken),
        cmocka_unit_test(a_hook_that_is_silent_is_cancelled_after_three_seconds),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    loop_end_pool(); /* what OpenSSL keeps for its threads */
    return failed;
}
