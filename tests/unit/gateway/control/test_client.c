#include "gateway/control/control.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/control_stage.h"
#include "tests/support/queue_desk.h"

#define SECOND_MS 10 /* a second of the client's patience */

static struct stage stage;

int __real_setsockopt(int fd, int level, int name, const void *value, socklen_t len);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
    struct timeval fast;
    if (level == SOL_SOCKET && (name == SO_RCVTIMEO || name == SO_SNDTIMEO)) {
        memcpy(&fast, value, sizeof fast);
        int64_t ms = fast.tv_sec * SECOND_MS;
        fast = (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
        value = &fast;
    }
    return __real_setsockopt(fd, level, name, value, len);
}

static int setup(void **state)
{
    (void)state;
    stage_open(&stage);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    stage_close(&stage);
    return 0;
}

static void without_a_daemon_the_store_itself_is_changed(void **state)
{
    (void)state;
    assert_int_equal(stage_run(&stage, "secret\n", "user|add|a@x.example|--password-stdin"), 0);
    assert_non_null(strstr(stage.out, "a@x.example"));
    assert_int_equal(stage_run(&stage, "", "user|alias|a@x.example|b@x.example"), 0);
    assert_int_equal(stage_run(&stage, "", "guarantee|b@x.example|on"), 0);
    assert_int_equal(stage_run(&stage, "", "--json|user|list"), 2);
    assert_int_equal(stage_run(&stage, "", "user|list|--json"), 0);
    assert_non_null(strstr(stage.out, "\"aliases\":[\"b@x.example\"],\"guarantee\":\"encrypt\""));
    stage.client.wants_json = true;
    assert_int_equal(stage_run(&stage, "", "queue|list"), 0);
    assert_string_equal(stage.out, "[]\n");
    assert_int_equal(stage_run(&stage, "", "held|list"), 0);
    assert_string_equal(stage.out, "[]\n");
    assert_int_equal(stage_run(&stage, "", "status"), 0);
    assert_non_null(strstr(stage.out, "\"running\":false,\"uptime_seconds\":0"));
}

static void a_refusal_is_one_line_and_one(void **state)
{
    (void)state;
    assert_int_equal(stage_run(&stage, "", "user|show|a@x.example"), 1);
    assert_string_equal(stage.err, "sealpostctl: a@x.example: no such user\n");
    assert_string_equal(stage.out, "");
    assert_int_equal(stage_run(&stage, "forbidden\n", "user|add|a@x.example|--password-stdin"), 1);
    assert_int_equal(stage_run(&stage, "\n", "user|add|a@x.example|--password-stdin"), 1);
    assert_int_equal(stage_run(&stage, "", "user|add|a@x.example"), 2);
}

static void help_is_printed_and_is_no_error(void **state)
{
    (void)state;
    assert_int_equal(stage_run(&stage, "", "user|--help"), 0);
    assert_non_null(strstr(stage.out, "user add ADDRESS --password-stdin"));
    assert_null(strstr(stage.out, "held drop"));
    assert_int_equal(stage_run(&stage, "", "help"), 0);
    assert_non_null(strstr(stage.out, "held drop ID"));
    assert_int_equal(stage_run(&stage, "", "help|user"), 0);
    assert_null(strstr(stage.out, "held drop ID"));
    static const char *const of_nothing[] = {"help|nosuch", "nosuch|--help", "use|-h"};
    for (size_t i = 0; i < COUNT_OF(of_nothing); i++) {
        assert_int_equal(stage_run(&stage, "", of_nothing[i]), 2);
        assert_string_equal(stage.out, "");
        assert_non_null(strstr(stage.err, "there is no command"));
    }
    assert_int_equal(stage_run(&stage, "", "no-such-command"), 2);
    assert_string_equal(stage.out, "");
    assert_non_null(strstr(stage.err, "no-such-command"));
    assert_int_equal(access(stage.state, F_OK), -1);
}

static void wrong_usage_says_what_would_be_right(void **state)
{
    static const struct {
        const char *arguments, *want;
    } cases[] = {
        {"user", "\"user\" is no command by itself\nusage: sealpostctl user add "},
        {"report", "\"report\" is no command by itself\nusage: sealpostctl report dry-run "},
        {"user|frobnicate", "there is no command \"user frobnicate\"\nusage: sealpostctl user add"},
        {"release|B1|--recheck|--force", "--recheck and --force exclude each other"},
        {"guarantee|a@x.example|maybe", "on, off, verified, default or dry-run, not \"maybe\""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(stage_run(&stage, "", cases[i].arguments), 2);
        if (!strstr(stage.err, cases[i].want))
            fail_msg("%s: %s", cases[i].arguments, stage.err);
    }
}

static void without_a_daemon_a_check_is_temporary_and_touches_nothing(void **state)
{
    (void)state;
    assert_int_equal(stage_run(&stage, "", "check|y.example"), 75);
    assert_string_equal(stage.out, "");
    assert_non_null(strstr(stage.err, stage.socket));
    assert_int_equal(strcspn(stage.err, "\n"), strlen(stage.err) - 1);
    assert_int_equal(access(stage.state, F_OK), -1);
}

static void a_store_that_another_holds_is_temporary(void **state)
{
    struct desk desk;
    (void)state;
    desk_open_at(&desk, stage.state, (uint64_t)64 << 20);
    assert_int_equal(stage_run(&stage, "", "user|list"), 75);
    assert_int_equal(strcspn(stage.err, "\n"), strlen(stage.err) - 1);
    assert_non_null(strstr(stage.err, stage.socket));
    desk_shut(&desk);
    assert_int_equal(stage_run(&stage, "", "user|list"), 0);
    desk_close(&desk);
}

static int bind_socket(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(name.sun_path, sizeof name.sun_path, "%s", stage.socket);
    assert_int_equal(bind(fd, (const struct sockaddr *)&name, sizeof name), 0);
    return fd;
}

static void a_socket_that_a_dead_daemon_left_is_nobody(void **state)
{
    (void)state;
    close(bind_socket());
    assert_int_equal(stage_run(&stage, "", "user|list"), 0);
}

static void a_daemon_that_breaks_off_is_temporary(void **state)
{
    (void)state;
    int fd = bind_socket();
    assert_int_equal(listen(fd, 1), 0);
    pid_t child = fork();
    if (child == 0) {
        char request[256];
        int client = accept(fd, NULL, NULL);
        (void)!recv(client, request, sizeof request, 0);
        (void)!send(client, "{\"ok\":tr", 8, MSG_NOSIGNAL);
        _exit(0);
    }
    close(fd);
    assert_int_equal(stage_run(&stage, "", "user|list"), 75);
    assert_non_null(strstr(stage.err, "broke off"));
    waitpid(child, NULL, 0);
}

static int64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void a_daemon_that_hangs_is_waited_for_a_short_while_only(void **state)
{
    (void)state;
    int fd = bind_socket();
    assert_int_equal(listen(fd, 1), 0); /* takes the request and says nothing */
    int64_t began_ms = clock_ms();
    assert_int_equal(stage_run(&stage, "", "user|list"), 75);
    assert_in_range(clock_ms() - began_ms, 20 * SECOND_MS, 50 * SECOND_MS);
    assert_non_null(strstr(stage.err, "no answer from the daemon: Connection timed out"));
    close(fd);
}

static void a_long_answer_may_pause_longer_once_it_has_begun(void **state)
{
    (void)state;
    int fd = bind_socket();
    assert_int_equal(listen(fd, 1), 0);
    pid_t child = fork();
    if (child == 0) {
        const struct timespec pause = {.tv_nsec = 60 * SECOND_MS * 1000000L};
        char request[256];
        int client = accept(fd, NULL, NULL);
        (void)!recv(client, request, sizeof request, 0);
        (void)!send(client, "{\"ok\":true,\"result\":[", 21, MSG_NOSIGNAL);
        nanosleep(&pause, NULL);
        (void)!send(client, "]}\n", 3, MSG_NOSIGNAL);
        _exit(0);
    }
    close(fd);
    assert_int_equal(stage_run(&stage, "", "user|list"), 0);
    assert_string_equal(stage.out, "there are no users\n");
    waitpid(child, NULL, 0);
}

/* "queue retry" of all goes through the whole queue before it answers, "check" asks hosts. */
static void slow_work_is_waited_for_longer(void **state)
{
    (void)state;
    int fd = bind_socket();
    assert_int_equal(listen(fd, 1), 0);
    pid_t child = fork();
    if (child == 0) {
        static const char answer[] =
            "{\"ok\":true,\"result\":{\"id\":null,\"verdict\":\"deliverable\"}}\n";
        const struct timespec pause = {.tv_nsec = 60 * SECOND_MS * 1000000L};
        char request[256];
        alarm(10); /* where the parent has given up */
        for (unsigned i = 0; i < 3; i++) {
            int client = accept(fd, NULL, NULL);
            (void)!recv(client, request, sizeof request, 0);
            nanosleep(&pause, NULL);
            (void)!send(client, answer, sizeof answer - 1, MSG_NOSIGNAL);
            close(client);
        }
        _exit(0);
    }
    close(fd);
    assert_int_equal(stage_run(&stage, "", "queue|retry"), 0);
    assert_int_equal(stage_run(&stage, "", "check|y.example"), 0);
    assert_int_equal(stage_run(&stage, "", "queue|retry|0000000000000001"), 75);
    waitpid(child, NULL, 0);
}

static void a_store_out_of_reach_is_refused_with_words(void **state)
{
    (void)state;
    stage.client.state_directory = "/nonexistent/sealpost";
    assert_int_equal(stage_run(&stage, "", "user|list"), 1);
    assert_non_null(strstr(stage.err, "/nonexistent/sealpost"));
    stage.client.run_as = "no-such-user-of-ours";
    if (geteuid() == 0) {
        assert_int_equal(stage_run(&stage, "", "user|list"), 1);
        assert_non_null(strstr(stage.err, "no-such-user-of-ours"));
    }
}

/* In a child: there is no way back from being somebody else. */
static void root_becomes_the_daemons_user_before_it_touches_the_store(void **state)
{
    char file[128];
    struct stat st;
    (void)state;
    const struct passwd *user = getpwnam("nobody");
    if (geteuid() != 0 || !user)
        skip();
    uid_t uid = user->pw_uid;
    assert_int_equal(chmod(stage.directory, 0711), 0);
    pid_t child = fork();
    if (child == 0) {
        stage.client.run_as = "nobody";
        _exit(stage_run(&stage, "secret\n", "user|add|a@x.example|--password-stdin"));
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(stat(stage.state, &st), 0);
    assert_int_equal(st.st_uid, uid);
    assert_int_equal(st.st_mode & 0777, 0700);
    snprintf(file, sizeof file, "%s/lock", stage.state);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_uid, uid);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_a_daemon_the_store_itself_is_changed),
        TEST(a_refusal_is_one_line_and_one),
        TEST(help_is_printed_and_is_no_error),
        TEST(wrong_usage_says_what_would_be_right),
        TEST(without_a_daemon_a_check_is_temporary_and_touches_nothing),
        TEST(a_store_that_another_holds_is_temporary),
        TEST(a_socket_that_a_dead_daemon_left_is_nobody),
        TEST(a_daemon_that_breaks_off_is_temporary),
        TEST(a_daemon_that_hangs_is_waited_for_a_short_while_only),
        TEST(a_long_answer_may_pause_longer_once_it_has_begun),
        TEST(slow_work_is_waited_for_longer),
        TEST(a_store_out_of_reach_is_refused_with_words),
        TEST(root_becomes_the_daemons_user_before_it_touches_the_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
