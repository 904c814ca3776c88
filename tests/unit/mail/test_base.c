#include "mail/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void xprintf_makes_an_owned_string(void **state)
{
    (void)state;
    char *text = xprintf("%s-%d", "a", 7);
    assert_string_equal(text, "a-7");
    free(text);
}

static void xalloc_gives_zeros(void **state)
{
    (void)state;
    static const char zeros[64];
    char *memory = xalloc(sizeof zeros);
    assert_memory_equal(memory, zeros, sizeof zeros);
    memory = xrealloc(memory, 0);
    assert_non_null(memory);
    free(memory);
}

static void panic_aborts_the_process(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        panic("%s", "expected in this test");
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(xprintf_makes_an_owned_string),
        cmocka_unit_test(xalloc_gives_zeros),
        cmocka_unit_test(panic_aborts_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
