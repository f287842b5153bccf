/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bounded log: whole lines whatever happened to the writer, and never more than the bound. */
#include "events/log-file.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "temp-dir.h"
#include "util/io.h"
#include "util/macro.h"
#include "util/strv.h"

#define MAX_SIZE (4ULL * LOG_FILE_LINE_MAX)

static uint64_t seed;

static uint64_t next_random(void) {
        /* splitmix64 */
        uint64_t z = seed += 0x9e3779b97f4a7c15ULL;

        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
        return z ^ z >> 31;
}

typedef struct Collected {
        char **lines;
        unsigned n_asked;
        int stop; /* what `line` returns at the line "stop" */
} Collected;

static int wanted_even(void *userdata, const char *line) {
        Collected *c = userdata;

        c->n_asked++;
        return (line[strlen(line) - 1] - '0') % 2 == 0;
}

static int wanted_stop(void *userdata, const char *line) {
        return streq(line, "stop") ? -ECANCELED : 1;
}

static int collect(void *userdata, const char *line) {
        Collected *c = userdata;

        assert_int_equal(strv_extend(&c->lines, line), 0);
        return streq(line, "stop") ? c->stop : 0;
}

/* The last n_max lines, joined by commas. */
static char *tail(LogFile *log, size_t n_max, LogFileWanted wanted) {
        Collected c = { 0 };
        char *joined = calloc(1, 1 << 20);

        assert_non_null(joined);
        assert_int_equal(log_file_tail(log, n_max, wanted, collect, &c), 0);
        for (char **l = c.lines; l && *l; l++) {
                strcat(joined, *l);
                if (l[1])
                        strcat(joined, ",");
        }
        (void)strv_free(c.lines);
        return joined;
}

static void assert_tail(LogFile *log, size_t n_max, LogFileWanted wanted, const char *expect) {
        _cleanup_free_ char *got = tail(log, n_max, wanted);

        assert_string_equal(got, expect);
}

static void put(int dir_fd, const char *name, const void *data, size_t size) {
        _cleanup_close_ int fd =
                openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        assert_true(fd >= 0);
        assert_int_equal(io_write_all(fd, data, size), 0);
}

static void assert_file(int dir_fd, const char *name, const char *expect) {
        _cleanup_free_ char *got = NULL;

        assert_int_equal(io_read_file(dir_fd, name, 1 << 24, &got, NULL), 0);
        assert_string_equal(got, expect);
}

static void test_append_and_tail(void **state) {
        int fd = ((TempDir *)*state)->fd;
        _cleanup_(log_file_closep) LogFile *log = NULL;
        struct stat st;

        assert_int_equal(log_file_open(fd, "log", MAX_SIZE, &log), 0);
        assert_tail(log, 0, NULL, "");
        for (char line[] = "line 1"; line[5] <= '5'; line[5]++)
                assert_int_equal(log_file_append(log, line), 0);
        assert_tail(log, 0, NULL, "line 1,line 2,line 3,line 4,line 5");
        assert_tail(log, 2, NULL, "line 4,line 5");
        assert_tail(log, 9, NULL, "line 1,line 2,line 3,line 4,line 5");
        assert_tail(log, 0, wanted_even, "line 2,line 4");
        assert_tail(log, 1, wanted_even, "line 4");
        assert_int_equal(fstatat(fd, "log", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0600);

        /* A new writer goes on where the old one ended. */
        log = log_file_close(log);
        assert_int_equal(log_file_open(fd, "log", MAX_SIZE, &log), 0);
        assert_int_equal(log_file_append(log, "line 6"), 0);
        assert_tail(log, 2, NULL, "line 5,line 6");
        assert_int_equal(log_file_get_lost(log), 0);
}

static void test_callbacks(void **state) {
        int fd = ((TempDir *)*state)->fd;
        _cleanup_(log_file_closep) LogFile *log = NULL;
        Collected c = { .stop = -ENOTCONN };

        assert_int_equal(log_file_open(fd, "log", MAX_SIZE, &log), 0);
        assert_int_equal(log_file_append(log, "line 2"), 0);
        assert_int_equal(log_file_append(log, "stop"), 0);
        assert_int_equal(log_file_append(log, "line 4"), 0);
        assert_int_equal(log_file_append(log, "line 5"), 0);

        assert_int_equal(log_file_tail(log, 0, wanted_stop, collect, &c), -ECANCELED);
        assert_null(c.lines);
        assert_int_equal(log_file_tail(log, 2, wanted_stop, collect, &c), 0);
        assert_int_equal(strv_length(c.lines), 2);
        c.lines = strv_free(c.lines);
        assert_int_equal(log_file_tail(log, 0, NULL, collect, &c), -ENOTCONN);
        assert_int_equal(strv_length(c.lines), 2);
        c.lines = strv_free(c.lines);

        /* Nothing older is asked for than what is needed. */
        assert_int_equal(log_file_tail(log, 1, wanted_even, collect, &c), 0);
        assert_int_equal(c.n_asked, 2);
        c.lines = strv_free(c.lines);
}

static void test_refuses(void **state) {
        int fd = ((TempDir *)*state)->fd;
        _cleanup_free_ char *wide = malloc(LOG_FILE_LINE_MAX + 1);
        _cleanup_(log_file_closep) LogFile *log = NULL;

        assert_int_equal(log_file_open(fd, "log", 2 * LOG_FILE_LINE_MAX - 1, &log), -EINVAL);
        assert_int_equal(log_file_open(fd, "log", UINT64_MAX, &log), -EINVAL);
        assert_int_equal(mkdirat(fd, "dir", 0700), 0);
        assert_int_equal(log_file_open(fd, "dir", MAX_SIZE, &log), -EISDIR);
        assert_int_equal(mkfifoat(fd, "fifo", 0600), 0);
        assert_int_equal(log_file_open(fd, "fifo", MAX_SIZE, &log), -EBADFD);
        assert_int_equal(symlinkat("target", fd, "link"), 0);
        assert_int_equal(log_file_open(fd, "link", MAX_SIZE, &log), -ELOOP);
        assert_null(log);

        assert_non_null(wide);
        assert_int_equal(log_file_open(fd, "log", 2 * LOG_FILE_LINE_MAX, &log), 0);
        assert_int_equal(log_file_append(log, ""), -EINVAL);
        assert_int_equal(log_file_append(log, "two\nlines"), -EINVAL);
        assert_int_equal(log_file_append(log, "end\n"), -EINVAL);
        memset(wide, 'w', LOG_FILE_LINE_MAX);
        wide[LOG_FILE_LINE_MAX] = '\0';
        assert_int_equal(log_file_append(log, wide), -EMSGSIZE);
        assert_int_equal(log_file_get_lost(log), 4);
        assert_tail(log, 0, NULL, "");

        wide[LOG_FILE_LINE_MAX - 1] = '\0';
        assert_int_equal(log_file_append(log, wide), 0);
        assert_tail(log, 0, NULL, wide);
        assert_int_equal(log_file_append(log, wide), 0);
        assert_int_equal(log_file_append(log, "last"), 0);
        assert_tail(log, 1, NULL, "last");
}

static void test_cut_line(void **state) {
        static const struct {
                const char *before, *tail, *after;
        } cases[] = {
                { "one\ntwo\nthr", "one,two", "one\ntwo\nnew\n" },
                { "thr", "", "new\n" },
                { "one\n", "one", "one\nnew\n" },
                { "", "", "new\n" },
                { "\n\none\n\n", "one", "\n\none\n\nnew\n" },
        };
        int fd = ((TempDir *)*state)->fd;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(log_file_closep) LogFile *log = NULL;

                put(fd, "log", cases[i].before, strlen(cases[i].before));
                assert_int_equal(log_file_open(fd, "log", MAX_SIZE, &log), 0);
                assert_tail(log, 0, NULL, cases[i].tail);
                assert_int_equal(log_file_append(log, "new"), 0);
                assert_file(fd, "log", cases[i].after);
        }
}

/* A reader that comes before the writer mended the end, and files that are not ours inside. */
static void test_foreign_content(void **state) {
        int fd = ((TempDir *)*state)->fd;
        _cleanup_(log_file_closep) LogFile *log = NULL;
        _cleanup_free_ char *data = malloc(400000);
        size_t n = 0;

        assert_non_null(data);
        assert_int_equal(log_file_open(fd, "log", 1 << 20, &log), 0);
        n += (size_t)sprintf(data + n, "one\n");
        memset(data + n, 'w', LOG_FILE_LINE_MAX); /* a byte too long */
        n += LOG_FILE_LINE_MAX;
        n += (size_t)sprintf(data + n, "\ntwo\n");
        memset(data + n, 'x', 200000); /* longer than what is read at once */
        n += 200000;
        n += (size_t)sprintf(data + n, "\nthree\n");
        memset(data + n, '\0', 5000); /* lost by the file system */
        n += 5000;
        n += (size_t)sprintf(data + n, "\nfour\ncut");
        put(fd, "log", data, n);
        assert_tail(log, 0, NULL, "one,two,three,four");
        assert_tail(log, 2, NULL, "three,four");
}

static void test_full_disk(void **state) {
        int fd = ((TempDir *)*state)->fd;
        _cleanup_(log_file_closep) LogFile *log = NULL;
        void (*old_handler)(int) = signal(SIGXFSZ, SIG_IGN);
        struct rlimit old, limit;
        int r_part, r_none;

        assert_int_equal(log_file_open(fd, "log", MAX_SIZE, &log), 0);
        assert_int_equal(log_file_append(log, "0123456789"), 0);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);

        /* First a line of which a part has room, then one of which nothing has. */
        limit = (struct rlimit){ .rlim_cur = 15, .rlim_max = old.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        r_part = log_file_append(log, "0123456789");
        limit.rlim_cur = 11;
        (void)setrlimit(RLIMIT_FSIZE, &limit);
        r_none = log_file_append(log, "0123456789");
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        (void)signal(SIGXFSZ, old_handler);

        assert_int_equal(r_part, -ENOSPC);
        assert_int_equal(r_none, -EFBIG);
        assert_int_equal(log_file_get_lost(log), 2);
        assert_file(fd, "log", "0123456789\n");
        assert_int_equal(log_file_append(log, "more"), 0);
        assert_file(fd, "log", "0123456789\nmore\n");
}

static void test_removed_and_oversize(void **state) {
        int fd = ((TempDir *)*state)->fd;
        _cleanup_(log_file_closep) LogFile *log = NULL;
        _cleanup_free_ char *big = calloc(1, MAX_SIZE);

        assert_non_null(big);
        assert_int_equal(log_file_open(fd, "log", MAX_SIZE, &log), 0);
        assert_int_equal(log_file_append(log, "seen"), 0);
        assert_int_equal(unlinkat(fd, "log", 0), 0);
        assert_int_equal(log_file_append(log, "again"), 0);
        assert_file(fd, "log", "again\n");
        log = log_file_close(log);

        /* A bound that was lowered. */
        memset(big, '\n', MAX_SIZE);
        put(fd, "log", big, MAX_SIZE / 2 + 1);
        put(fd, "log.1", big, MAX_SIZE / 2 + 1);
        assert_int_equal(log_file_open(fd, "log", MAX_SIZE, &log), 0);
        assert_file(fd, "log", "");
        assert_int_equal(faccessat(fd, "log.1", F_OK, 0), -1);
        put(fd, "log.1", "old\n", 4);
        assert_int_equal(log_file_append(log, "new"), 0);
        assert_tail(log, 0, NULL, "old,new");
}

static uint64_t file_size(int dir_fd, const char *name) {
        struct stat st;

        return fstatat(dir_fd, name, &st, 0) < 0 ? 0 : (uint64_t)st.st_size;
}

/* Against a list of all lines ever written: what is there is an end of it, whole in both files, a fair part
 * of the bound long once that much was written, and never longer than the bound. The files are several
 * times as long as what is read at once. */
static void test_model(void **state) {
        static const uint64_t max_size = 16ULL * LOG_FILE_LINE_MAX;
        int fd = ((TempDir *)*state)->fd;
        _cleanup_(log_file_closep) LogFile *log = NULL;
        char *lines[3000] = { NULL };
        uint64_t written = 0;
        size_t n = 0;

        seed = 42;
        assert_int_equal(log_file_open(fd, "log", max_size, &log), 0);
        for (; n < ELEMENTSOF(lines); n++) {
                size_t size = next_random() % 50 == 0 ? LOG_FILE_LINE_MAX - 1 - next_random() % 3
                                                      : 8 + next_random() % 300;
                uint64_t kept, read = 0;
                size_t n_max, k;
                Collected c = { 0 };

                lines[n] = malloc(size + 1);
                assert_non_null(lines[n]);
                memset(lines[n], 'a' + (int)(n % 26), size);
                lines[n][size] = '\0';
                (void)sprintf(lines[n], "%07zu", n);
                lines[n][7] = 'x';
                assert_int_equal(log_file_append(log, lines[n]), 0);
                written += size + 1;
                assert_true(file_size(fd, "log") <= max_size / 2);
                assert_true(file_size(fd, "log.1") <= max_size / 2);
                kept = file_size(fd, "log") + file_size(fd, "log.1");
                assert_true(kept >= MIN(written, max_size / 2 - LOG_FILE_LINE_MAX));
                if (next_random() % 20 != 0)
                        continue;

                n_max = next_random() % 3 == 0 ? 0 : next_random() % 500;
                assert_int_equal(log_file_tail(log, n_max, NULL, collect, &c), 0);
                k = strv_length(c.lines);
                for (size_t i = 0; i < k; i++) {
                        assert_string_equal(c.lines[i], lines[n + 1 - k + i]);
                        read += strlen(c.lines[i]) + 1;
                }
                if (n_max > 0 && read < kept)
                        assert_int_equal(k, n_max);
                else
                        assert_int_equal(read, kept);
                c.lines = strv_free(c.lines);
        }
        for (size_t i = 0; i < n; i++)
                free(lines[i]);
}

typedef struct Appender {
        LogFile *log;
        unsigned n;
} Appender;

static int append_more(void *userdata, const char *line) {
        Appender *a = userdata;
        char more[4096];

        memset(more, 'm', sizeof(more) - 1);
        more[sizeof(more) - 1] = '\0';
        for (unsigned i = 0; i < 40; i++)
                assert_int_equal(log_file_append(a->log, more), 0);
        a->n++;
        return 0;
}

/* The files are renamed under a reader that has begun. */
static void test_append_while_reading(void **state) {
        int fd = ((TempDir *)*state)->fd;
        _cleanup_(log_file_closep) LogFile *log = NULL;
        Appender a;

        assert_int_equal(log_file_open(fd, "log", MAX_SIZE, &log), 0);
        for (unsigned i = 0; i < 10; i++)
                assert_int_equal(log_file_append(log, "line"), 0);
        a = (Appender){ .log = log };
        assert_int_equal(log_file_tail(log, 0, NULL, append_more, &a), 0);
        assert_int_equal(a.n, 10);
}

/* A writer that is killed at any moment leaves whole lines. */
static void test_killed_writer(void **state) {
        int fd = ((TempDir *)*state)->fd;

        for (unsigned round = 0; round < 20; round++) {
                _cleanup_(log_file_closep) LogFile *log = NULL;
                Collected c = { 0 };
                int fds[2], status;
                char byte;
                pid_t pid;

                assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
                pid = fork();
                assert_true(pid >= 0);
                if (pid == 0) {
                        char line[2000];

                        if (log_file_open(fd, "log", MAX_SIZE, &log) < 0)
                                _exit(1);
                        for (unsigned i = 0;; i++) {
                                size_t size = 10 + i % (sizeof(line) - 11);

                                memset(line, '.', size);
                                line[0] = '{';
                                line[size - 1] = '}';
                                line[size] = '\0';
                                if (log_file_append(log, line) < 0)
                                        _exit(2);
                                if (i == 50 * round && write(fds[1], "x", 1) != 1)
                                        _exit(3);
                        }
                }
                (void)close(fds[1]);
                assert_int_equal(read(fds[0], &byte, 1), 1);
                (void)close(fds[0]);
                assert_int_equal(kill(pid, SIGKILL), 0);
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_true(WIFSIGNALED(status));

                assert_int_equal(log_file_open(fd, "log", MAX_SIZE, &log), 0);
                assert_int_equal(log_file_append(log, "{after}"), 0);
                assert_int_equal(log_file_tail(log, 0, NULL, collect, &c), 0);
                assert_true(strv_length(c.lines) > 1);
                for (char **l = c.lines; *l; l++) {
                        size_t size = strlen(*l);

                        assert_true((*l)[0] == '{' && (*l)[size - 1] == '}');
                        assert_ptr_equal(strchr(*l, '}'), *l + size - 1);
                }
                c.lines = strv_free(c.lines);
        }
}

#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, temp_dir_setup, temp_dir_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                IN_DIR(test_append_and_tail),
                IN_DIR(test_callbacks),
                IN_DIR(test_refuses),
                IN_DIR(test_cut_line),
                IN_DIR(test_foreign_content),
                IN_DIR(test_full_disk),
                IN_DIR(test_removed_and_oversize),
                IN_DIR(test_model),
                IN_DIR(test_append_while_reading),
                IN_DIR(test_killed_writer),
        };

        return cmocka_run_group_tests_name("log-file", tests, NULL, NULL);
}
