/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Messages: what stands on stderr, as plain lines and as a stream to the journal. */
#include "util/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "util/io.h"
#include "util/macro.h"

#define NAME "test-log: "

/* Runs body in a child with stderr on a pipe, which it gets announced as a journal stream or not. */
static char *capture(void (*body)(void), bool journal, ino_t shift) {
        char *out = calloc(1, 65536);
        size_t n_out = 0;
        int fds[2], status;
        ssize_t n;
        pid_t pid;

        assert_non_null(out);
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                char stream[64];
                struct stat st;

                if (fstat(fds[1], &st) < 0 || dup2(fds[1], STDERR_FILENO) < 0)
                        _exit(1);
                (void)snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev,
                        (uintmax_t)(st.st_ino + shift));
                (void)unsetenv("JOURNAL_STREAM");
                if (journal)
                        (void)setenv("JOURNAL_STREAM", stream, 1);
                body();
                _exit(0);
        }
        (void)close(fds[1]);
        while ((n = read(fds[0], out + n_out, 65535 - n_out)) > 0)
                n_out += (size_t)n;
        (void)close(fds[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        return out;
}

static void say(void) {
        errno = EXDEV;
        log_info("plain %d", 7);
        if (errno != EXDEV || log_error_errno(-ENOENT, "Failed to open '%s': %m", "x") != -ENOENT ||
                errno != EXDEV || log_debug_errno(EPERM, "hidden") != -EPERM)
                _exit(2);
        log_debug("hidden");
        log_set_max_level(LOG_DEBUG);
        log_debug("seen");
        log_set_max_level(LOG_ERR);
        log_warning("hidden");
        if (log_get_max_level() != LOG_ERR)
                _exit(3);
}

static void test_plain(void **state) {
        _cleanup_free_ char *out = capture(say, false, 0);

        assert_string_equal(out,
                NAME "plain 7\n" NAME "Failed to open 'x': No such file or directory\n" NAME
                     "seen\n");
}

static void test_journal(void **state) {
        _cleanup_free_ char *out = capture(say, true, 0);

        assert_string_equal(
                out, "<6>plain 7\n<3>Failed to open 'x': No such file or directory\n<7>seen\n");
}

static void test_other_stream(void **state) {
        _cleanup_free_ char *out = capture(say, true, 1);

        assert_non_null(startswith(out, NAME "plain 7\n"));
}

static void say_wild(void) {
        char *wide = malloc(10001);

        if (!wide)
                _exit(1);
        log_error("a\nb\tc\x1b[31m\x7f\n\n");
        memset(wide, 'w', 10000);
        wide[10000] = '\0';
        log_error("%s", wide);
        free(wide);
}

/* Whatever is in a message: one line each. */
static void test_lines(void **state) {
        _cleanup_free_ char *out = capture(say_wild, false, 0);
        const char *rest = startswith(out, NAME "a b c [31m \n" NAME "www");

        assert_non_null(rest);
        assert_ptr_equal(strchr(rest, '\n'), rest + strlen(rest) - 1);
        assert_in_range(strlen(rest), 4000, 4096);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_plain),
                cmocka_unit_test(test_journal),
                cmocka_unit_test(test_other_stream),
                cmocka_unit_test(test_lines),
        };

        return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
