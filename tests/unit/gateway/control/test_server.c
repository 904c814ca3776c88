#include "gateway/control/control.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "gateway/net/conn.h"
#include "tests/support/control_stage.h"
#include "tests/support/queue_desk.h"

#define NOBODY 65534
#define LONG_GID 4711

/* The daemon's side on a thread of its own, the client on the test's. */
static struct stage stage;
static struct desk desk;
static struct loop *loop;
static pthread_t thread;
static struct control_server *server;
static int server_fd;
static bool is_running;

static void *run_loop(void *argument)
{
    loop_run(argument);
    return NULL;
}

static void stopped(void *context)
{
    (void)context;
    control_server_free(server);
    loop_stop(loop);
}

static void stop(void *argument)
{
    (void)argument;
    control_server_stop(server, stopped, NULL);
}

/* Milliseconds that it took. */
static int64_t stop_server(void)
{
    struct timespec from;
    struct timespec to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    loop_post(loop, stop, NULL);
    pthread_join(thread, NULL);
    is_running = false;
    clock_gettime(CLOCK_MONOTONIC, &to);
    return (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000;
}

static int setup(void **state)
{
    char error[200];
    struct net_address address;
    (void)state;
    stage_open(&stage);
    desk_open(&desk, (uint64_t)64 << 20);
    loop = loop_new();
    assert_non_null(loop);
    assert_true(net_address_unix(slice_of(stage.socket), &address));
    server_fd = net_bind(&address, error, sizeof error);
    assert_true(server_fd >= 0);
    /* Others come as far as the look at who they are. */
    assert_int_equal(chmod(stage.directory, 0755), 0);
    assert_int_equal(chmod(stage.socket, 0666), 0);
    if (geteuid() == 0)
        assert_int_equal(chown(stage.socket, 0, LONG_GID), 0);
    struct control_facts facts = stage.client.facts;
    facts.started_at = 1;
    server = control_server_new(loop, server_fd, desk.q, &facts, &desk.events);
    assert_non_null(server);
    assert_int_equal(pthread_create(&thread, NULL, run_loop, loop), 0);
    is_running = true;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (is_running)
        stop_server();
    loop_free(loop);
    close(server_fd);
    desk_close(&desk);
    stage_close(&stage);
    return 0;
}

/* ---- a client that speaks as it likes ---- */

static int connect_raw(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    const struct timeval patience = {.tv_sec = 10};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(name.sun_path, sizeof name.sun_path, "%s", stage.socket);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return connect(fd, (const struct sockaddr *)&name, sizeof name) == 0 ? fd : -1;
}

static void say(int fd, const char *text)
{
    (void)send(fd, text, strlen(text), MSG_NOSIGNAL);
}

/* What comes until the end, at most size - 1 octets; -1: an error came first. */
static ssize_t hear(int fd, char *out, size_t size)
{
    size_t len = 0;
    out[0] = '\0';
    while (len + 1 < size) {
        ssize_t got = recv(fd, out + len, size - 1 - len, 0);
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        len += (size_t)got;
        out[len] = '\0';
    }
    return (ssize_t)len;
}

static const char *exchange(const char *request)
{
    static char answer[8192];
    int fd = connect_raw();
    assert_true(fd >= 0);
    say(fd, request);
    assert_true(hear(fd, answer, sizeof answer) >= 0);
    close(fd);
    return answer;
}

/* ---- tests ---- */

enum { MESSAGES = 130, RECIPIENTS = 60 };

/* A listing of more than a MiB. */
static void fill_queue(void)
{
    const char *to[RECIPIENTS];
    uint64_t id;
    for (size_t i = 0; i < RECIPIENTS; i++)
        to[i] = "somebody.with.a.long.name@a-domain-with-a-long-name.example";
    for (size_t i = 0; i < MESSAGES; i++)
        assert_int_equal(desk_queue(&desk, "a@x.example", to, RECIPIENTS, 10, 1000, &id), 0);
}

static void a_command_goes_over_the_socket(void **state)
{
    struct stat st;
    (void)state;
    assert_int_equal(stage_run(&stage, "secret\n", "user|add|a@x.example|--password-stdin"), 0);
    assert_string_equal(stage.err, "");
    assert_int_equal(stage_run(&stage, "", "user|show|A@x.example|--json"), 0);
    assert_non_null(strstr(stage.out, "\"address\":\"a@x.example\""));
    assert_int_equal(stage_run(&stage, "", "user|show|b@x.example"), 1);
    assert_string_equal(stage.out, "");
    assert_string_equal(stage.err, "sealpostctl: b@x.example: no such user\n");
    assert_int_equal(stage_run(&stage, "", "status"), 0);
    assert_non_null(strstr(stage.out, "running for"));
    assert_int_equal(stage_run(&stage, "", "guarantee|a@x.example|sideways"), 2);
    assert_non_null(strstr(stage.err, "usage: sealpostctl guarantee ADDRESS"));
    /* The store of its own was never touched. */
    assert_int_equal(stat(stage.state, &st), -1);
    struct queue_account account = {0};
    struct address a;
    assert_int_equal(address_parse(SLICE("a@x.example"), &a), ADDRESS_OK);
    assert_int_equal(queue_account_find(desk.q, &a, &account), 0);
    assert_true(account.sha256.iterations > 0);
    queue_account_clear(&account);
    assert_string_equal(desk.last_event, "control");
}

static void a_listing_longer_than_any_buffer_arrives_whole(void **state)
{
    (void)state;
    fill_queue();
    assert_int_equal(stage_run(&stage, "", "queue|list|--json"), 0);
    size_t count = 0;
    for (const char *at = stage.out; (at = strstr(at, "\"state\":\"queued\"")); at++)
        count++;
    assert_int_equal(count, MESSAGES * RECIPIENTS);
    assert_true(strlen(stage.out) > 1 << 20);
    assert_int_equal(stage_run(&stage, "", "queue|list"), 0);
    count = 0;
    for (const char *at = stage.out; (at = strstr(at, ".example: queued")); at++)
        count++;
    assert_int_equal(count, MESSAGES * RECIPIENTS);
}

static void a_request_may_come_in_any_pieces(void **state)
{
    static const char request[] = "{\"command\":\"user list\"}\n";
    char answer[256];
    (void)state;
    int fd = connect_raw();
    for (size_t i = 0; i < sizeof request - 1; i++) {
        const char octet[2] = {request[i], '\0'};
        say(fd, octet);
        usleep(500);
    }
    assert_true(hear(fd, answer, sizeof answer) > 0);
    close(fd);
    assert_string_equal(answer, "{\"ok\":true,\"result\":[]}\n");
}

static void the_client_may_close_its_side_behind_the_request(void **state)
{
    char answer[256];
    (void)state;
    int fd = connect_raw();
    say(fd, "{\"command\":\"user list\"}\n");
    shutdown(fd, SHUT_WR);
    assert_true(hear(fd, answer, sizeof answer) > 0);
    close(fd);
    assert_string_equal(answer, "{\"ok\":true,\"result\":[]}\n");
}

static void one_connection_carries_one_request(void **state)
{
    (void)state;
    assert_string_equal(exchange("{\"command\":\"user list\"}\n{\"command\":\"user list\"}\n"),
                        "{\"ok\":true,\"result\":[]}\n");
}

static void what_is_said_behind_the_request_is_not_heard(void **state)
{
    static char answer[8 << 20];
    (void)state;
    fill_queue();
    int fd = connect_raw();
    say(fd, "{\"command\":\"queue list\"}\n");
    usleep(200000); /* the answer fills all buffers by now, and is not over */
    say(fd, "{\"command\":\"user list\"}\n");
    ssize_t len = hear(fd, answer, sizeof answer);
    close(fd);
    assert_true(len > 1 << 20);
    assert_ptr_equal(strchr(answer, '\n'), answer + len - 1);
    assert_string_equal(answer + len - 4, "}]}\n");
}

static void what_is_no_request_is_refused(void **state)
{
    static const char *const cases[] = {"\n", "GET / HTTP/1.1\r\n", "{\"command\":\"x\"}\n",
                                        "[[[[[[\n", "{\"command\":\n"};
    char answer[16];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_non_null(strstr(exchange(cases[i]), "\"exit\":2}\n"));
    int fd = connect_raw();
    say(fd, "{\"command\":");
    shutdown(fd, SHUT_WR);
    assert_true(hear(fd, answer, sizeof answer) <= 0);
    close(fd);
}

static void a_request_without_end_is_cut_off(void **state)
{
    char answer[256];
    char piece[4096];
    (void)state;
    memset(piece, ' ', sizeof piece);
    int fd = connect_raw();
    for (size_t i = 0; i < 80; i++) {
        if (send(fd, piece, sizeof piece, MSG_NOSIGNAL) < 0)
            break;
    }
    assert_true(hear(fd, answer, sizeof answer) > 0);
    close(fd);
    assert_string_equal(answer, "{\"error\":\"the request is too long\",\"exit\":1}\n");
}

static void too_many_at_once_are_told_to_come_again(void **state)
{
    enum { MANY = 65 };
    int fds[MANY];
    char answer[256];
    (void)state;
    for (size_t i = 0; i < MANY; i++) {
        fds[i] = connect_raw();
        assert_true(fds[i] >= 0);
    }
    assert_true(hear(fds[MANY - 1], answer, sizeof answer) > 0);
    assert_non_null(strstr(answer, "\"exit\":75"));
    for (size_t i = 0; i < MANY; i++)
        close(fds[i]);
    /* There is room again as soon as they are gone. */
    for (int i = 0; i < 100 && stage_run(&stage, "", "user|list") != 0; i++)
        usleep(20000);
    assert_int_equal(stage_run(&stage, "", "user|list"), 0);
}

/* Asks as another user; returns what was answered: 'o' ok, 'r' refused, '?' else. */
static int ask_as(uid_t uid, gid_t gid)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char answer[512] = "";
        if (setgroups(0, NULL) != 0 || setgid(gid) != 0 || setuid(uid) != 0)
            _exit('!');
        int fd = connect_raw();
        say(fd, "{\"command\":\"user list\"}\n");
        (void)hear(fd, answer, sizeof answer);
        _exit(strstr(answer, "\"ok\":true") ? 'o' : strstr(answer, "you may not") ? 'r' : '?');
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void only_root_the_daemons_user_and_the_sockets_group_may_ask(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(ask_as(0, 0), 'o');
    assert_int_equal(ask_as(NOBODY, LONG_GID), 'o');
    assert_int_equal(ask_as(NOBODY, NOBODY), 'r');
    /* A user that the system does not know. */
    assert_int_equal(ask_as(54321, 54321), 'r');
}

static void a_stop_does_not_wait_for_who_says_nothing(void **state)
{
    (void)state;
    int fd = connect_raw();
    say(fd, "{\"comm");
    usleep(50000);
    assert_true(stop_server() < 600);
    close(fd);
}

static void a_stop_does_not_wait_for_who_takes_no_answer(void **state)
{
    (void)state;
    fill_queue();
    int fd = connect_raw();
    say(fd, "{\"command\":\"queue list\"}\n");
    usleep(300000);
    assert_in_range(stop_server(), 300, 2000);
    close(fd);
}

static void who_goes_in_the_middle_leaves_nothing_behind(void **state)
{
    (void)state;
    for (size_t i = 0; i < 40; i++) {
        int fd = connect_raw();
        say(fd, "{\"command\":\"user add\",\"address\":\"a@x.example\",\"password\":\"x\"}\n");
        if (i % 2)
            usleep(1000);
        close(fd);
    }
    assert_true(stop_server() < 5000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_command_goes_over_the_socket),
        TEST(a_listing_longer_than_any_buffer_arrives_whole),
        TEST(a_request_may_come_in_any_pieces),
        TEST(the_client_may_close_its_side_behind_the_request),
        TEST(one_connection_carries_one_request),
        TEST(what_is_said_behind_the_request_is_not_heard),
        TEST(what_is_no_request_is_refused),
        TEST(a_request_without_end_is_cut_off),
        TEST(too_many_at_once_are_told_to_come_again),
        TEST(only_root_the_daemons_user_and_the_sockets_group_may_ask),
        TEST(a_stop_does_not_wait_for_who_says_nothing),
        TEST(a_stop_does_not_wait_for_who_takes_no_answer),
        TEST(who_goes_in_the_middle_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
