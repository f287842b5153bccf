/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whole files: what is refused, what is left behind, and what a failure leaves as it was. */
#include "util/io.h"

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
#include "util/macro.h"

static void put(int dir_fd, const char *name, const void *data, size_t size) {
        _cleanup_close_ int fd =
                openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, data, size), size);
}

static void assert_content(int dir_fd, const char *name, const void *data, size_t size) {
        _cleanup_free_ char *got = NULL;
        size_t got_size = 0;

        assert_int_equal(io_read_file(dir_fd, name, 1 << 24, &got, &got_size), 0);
        assert_int_equal(got_size, size);
        assert_memory_equal(got, data, size);
        assert_int_equal(got[size], '\0');
}

static unsigned count_entries(int dir_fd, unsigned *ret_temps) {
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent *entry;
        unsigned n = 0;

        dir = fdopendir(openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        assert_non_null(dir);
        *ret_temps = 0;
        while ((entry = readdir(dir))) {
                if (streq(entry->d_name, ".") || streq(entry->d_name, ".."))
                        continue;
                n++;
                *ret_temps += io_is_temp_name(entry->d_name);
        }
        return n;
}

static void assert_no_temps(int dir_fd) {
        unsigned n_temps;

        (void)count_entries(dir_fd, &n_temps);
        assert_int_equal(n_temps, 0);
}

static void test_read(void **state) {
        int fd = ((TempDir *)*state)->fd;
        _cleanup_free_ char *big = malloc(1 << 20);

        put(fd, "empty", "", 0);
        assert_content(fd, "empty", "", 0);
        put(fd, "small", "hello", 5);
        assert_content(fd, "small", "hello", 5);
        assert_int_equal(symlinkat("small", fd, "link"), 0);
        assert_content(fd, "link", "hello", 5);

        assert_non_null(big);
        for (size_t i = 0; i < 1 << 20; i++)
                big[i] = (char)(i * 7 + i / 256);
        for (size_t size = 4090; size < 4100; size++) {
                put(fd, "big", big, size);
                assert_content(fd, "big", big, size);
        }
        put(fd, "big", big, 1 << 20);
        assert_content(fd, "big", big, 1 << 20);
}

static void test_read_bound(void **state) {
        int fd = ((TempDir *)*state)->fd;
        _cleanup_free_ char *got = NULL;
        char *untouched = (char *)1;
        size_t size = 77;

        put(fd, "five", "12345", 5);
        assert_int_equal(io_read_file(fd, "five", 5, &got, &size), 0);
        assert_int_equal(size, 5);
        size = 77;
        assert_int_equal(io_read_file(fd, "five", 4, &untouched, &size), -EFBIG);
        assert_int_equal(io_read_file(fd, "five", 0, &untouched, &size), -EFBIG);
        /* A file that says it is empty and is not. */
        assert_int_equal(
                io_read_file(AT_FDCWD, "/proc/self/status", 16, &untouched, &size), -EFBIG);
        assert_ptr_equal(untouched, (char *)1);
        assert_int_equal(size, 77);

        free(TAKE_PTR(got));
        assert_int_equal(io_read_file(AT_FDCWD, "/proc/self/status", 1 << 20, &got, NULL), 0);
        assert_non_null(strstr(got, "\nPid:"));
}

static void test_read_refuses(void **state) {
        int fd = ((TempDir *)*state)->fd;
        _cleanup_free_ char *got = NULL;
        size_t size;

        assert_int_equal(mkfifoat(fd, "fifo", 0600), 0);
        assert_int_equal(io_read_file(fd, "fifo", 10, &got, &size), -EBADFD);
        assert_int_equal(io_read_file(fd, ".", 10, &got, &size), -EISDIR);
        assert_int_equal(io_read_file(fd, "missing", 10, &got, &size), -ENOENT);
        assert_int_equal(io_read_file(AT_FDCWD, "/dev/null", 10, &got, &size), -EBADFD);
        assert_null(got);

        put(fd, "nul", "a\0b", 3);
        assert_int_equal(io_read_file(fd, "nul", 10, &got, NULL), -EBADMSG);
        assert_null(got);
        assert_content(fd, "nul", "a\0b", 3);
}

static void test_stage_and_commit(void **state) {
        int fd = ((TempDir *)*state)->fd;
        _cleanup_free_ char *temp = NULL;
        mode_t mask = umask(077);
        unsigned n_temps;
        struct stat st;

        put(fd, "file", "old", 3);
        assert_int_equal(io_stage_file(fd, "file", "new text", 8, 0644, &temp), 0);
        (void)umask(mask);
        assert_true(io_is_temp_name(temp));
        assert_content(fd, "file", "old", 3);
        assert_content(fd, temp, "new text", 8);
        assert_int_equal(count_entries(fd, &n_temps), 2);

        assert_int_equal(io_commit_file(fd, temp, "file"), 0);
        assert_content(fd, "file", "new text", 8);
        assert_int_equal(fstatat(fd, "file", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0644);
        assert_int_equal(count_entries(fd, &n_temps), 1);

        /* The staged file is gone: committing it again fails and changes nothing. */
        assert_int_equal(io_commit_file(fd, temp, "file"), -ENOENT);
        assert_content(fd, "file", "new text", 8);
}

static void test_path_fd(void **state) {
        TempDir *t = *state;
        _cleanup_close_ int fd = open(t->path, O_PATH | O_DIRECTORY | O_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(io_write_file(fd, "x", "1", 1, 0600), 0);
        assert_content(fd, "x", "1", 1);
        assert_int_equal(io_remove_temps(fd), 0);
}

static void test_discard(void **state) {
        int fd = ((TempDir *)*state)->fd;
        _cleanup_free_ char *temp = NULL;
        unsigned n_temps;

        assert_int_equal(io_stage_file(fd, "file", NULL, 0, 0600, &temp), 0);
        assert_int_equal(io_discard_file(fd, temp), 0);
        assert_int_equal(io_discard_file(fd, temp), 0);
        assert_int_equal(count_entries(fd, &n_temps), 0);

        put(fd, "precious", "x", 1);
        assert_int_equal(io_discard_file(fd, "precious"), -EINVAL);
        assert_content(fd, "precious", "x", 1);
}

static void test_names(void **state) {
        int fd = ((TempDir *)*state)->fd;
        const char *const bad[] = { "", ".", "..", "a/b", "/a", "a/", "../a" };
        char name[256] = "";

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(io_write_file(fd, bad[i], "x", 1, 0600), -EINVAL);

        /* The longest name that a file can have needs no longer one to be staged. */
        memset(name, 'n', 255);
        assert_int_equal(io_write_file(fd, name, "x", 1, 0600), 0);
        assert_content(fd, name, "x", 1);

        assert_false(io_is_temp_name(".cgp-temp-"));
        assert_false(io_is_temp_name(".cgp-temp-0123456789abcde"));
        assert_false(io_is_temp_name(".cgp-temp-0123456789abcdef0"));
        assert_false(io_is_temp_name(".cgp-temp-0123456789abcdeF"));
        assert_false(io_is_temp_name("10-web.json"));
        assert_true(io_is_temp_name(".cgp-temp-0123456789abcdef"));
}

static void test_failed_commit(void **state) {
        int fd = ((TempDir *)*state)->fd;
        _cleanup_free_ char *temp = NULL;

        /* A directory cannot be replaced by a file. */
        assert_int_equal(mkdirat(fd, "taken", 0700), 0);
        put(fd, "taken/inside", "x", 1);
        assert_int_equal(io_stage_file(fd, "taken", "new", 3, 0600, &temp), 0);
        assert_int_equal(io_commit_file(fd, temp, "taken"), -EISDIR);
        assert_content(fd, temp, "new", 3);
        assert_content(fd, "taken/inside", "x", 1);
        assert_int_equal(io_discard_file(fd, temp), 0);

        assert_int_equal(io_write_file(fd, "taken", "new", 3, 0600), -EISDIR);
        assert_no_temps(fd);
}

/* A file size limit is a disk that is full, for this process only. */
static void test_full_disk(void **state) {
        int fd = ((TempDir *)*state)->fd;
        void (*old_handler)(int) = signal(SIGXFSZ, SIG_IGN);
        struct rlimit old, limit;
        char data[8192] = "";
        char *temp = (char *)1;
        int r_stage, r_write;

        put(fd, "file", "old", 3);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
        limit = (struct rlimit){ .rlim_cur = 5000, .rlim_max = old.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        r_stage = io_stage_file(fd, "file", data, sizeof(data), 0600, &temp);
        r_write = io_write_file(fd, "file", data, sizeof(data), 0600);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        (void)signal(SIGXFSZ, old_handler);

        assert_int_equal(r_stage, -EFBIG);
        assert_int_equal(r_write, -EFBIG);
        assert_ptr_equal(temp, (char *)1);
        assert_content(fd, "file", "old", 3);
        assert_no_temps(fd);
}

static void test_remove_temps(void **state) {
        int fd = ((TempDir *)*state)->fd;
        unsigned n_temps;

        for (unsigned i = 0; i < 5; i++) {
                _cleanup_free_ char *temp = NULL;

                assert_int_equal(io_stage_file(fd, "x", "x", 1, 0600, &temp), 0);
        }
        put(fd, "keep", "k", 1);
        put(fd, ".cgp-temp-mine", "k", 1);
        assert_int_equal(count_entries(fd, &n_temps), 7);
        assert_int_equal(n_temps, 5);

        assert_int_equal(io_remove_temps(fd), 5);
        assert_int_equal(count_entries(fd, &n_temps), 2);
        assert_int_equal(io_remove_temps(fd), 0);

        /* One that cannot be removed is reported, and does not keep the others. */
        assert_int_equal(mkdirat(fd, ".cgp-temp-0123456789abcdef", 0700), 0);
        put(fd, ".cgp-temp-0000000000000000", "x", 1);
        put(fd, ".cgp-temp-ffffffffffffffff", "x", 1);
        assert_int_equal(io_remove_temps(fd), -EISDIR);
        assert_int_equal(count_entries(fd, &n_temps), 3);
        assert_int_equal(n_temps, 1);
}

static void test_write_all(void **state) {
        _cleanup_free_ uint8_t *data = malloc(1 << 20);
        int fds[2], status;
        pid_t pid;

        assert_non_null(data);
        for (size_t i = 0; i < 1 << 20; i++)
                data[i] = (uint8_t)(i ^ i >> 8);

        /* A pipe takes 64 KiB at once: the rest needs further turns. */
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                uint8_t buf[1000];
                size_t n_read = 0;
                ssize_t n;

                (void)close(fds[1]);
                while ((n = read(fds[0], buf, sizeof(buf))) > 0) {
                        if (memcmp(buf, data + n_read, (size_t)n) != 0)
                                _exit(1);
                        n_read += (size_t)n;
                }
                _exit(n == 0 && n_read == 1 << 20 ? 0 : 2);
        }
        (void)close(fds[0]);
        assert_int_equal(io_write_all(fds[1], data, 1 << 20), 0);
        (void)close(fds[1]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);

        assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
        assert_int_equal(io_write_all(fds[1], data, 1 << 20), -EAGAIN);
        assert_int_equal(io_write_all(fds[1], NULL, 0), 0);
        (void)close(fds[0]);
        (void)close(fds[1]);
        assert_int_equal(io_write_all(-EBADF, "x", 1), -EBADF);
}

static void test_mkdir_open(void **state) {
        int fd = ((TempDir *)*state)->fd, untouched = -77;
        mode_t mask = umask(0077);
        struct stat st;
        int dir = -EBADF;

        assert_int_equal(io_mkdir_open(fd, "d", 0750, &dir), 1);
        (void)umask(mask);
        assert_int_equal(fstat(dir, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0750);
        put(dir, "x", "1", 1);
        assert_content(fd, "d/x", "1", 1);
        (void)close(dir);

        assert_int_equal(io_mkdir_open(fd, "d", 0700, &dir), 0);
        assert_int_equal(fstat(dir, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0750);
        (void)close(dir);
        assert_int_equal(io_mkdir_open(fd, "d/sub", 0700, &dir), 1);
        (void)close(dir);

        assert_int_equal(symlinkat("d", fd, "link"), 0);
        put(fd, "file", "", 0);
        assert_int_equal(io_mkdir_open(fd, "link", 0700, &untouched), -ENOTDIR);
        assert_int_equal(io_mkdir_open(fd, "file", 0700, &untouched), -ENOTDIR);
        assert_int_equal(io_mkdir_open(fd, "no/where", 0700, &untouched), -ENOENT);
        assert_int_equal(untouched, -77);
}

static void test_opendir(void **state) {
        DIR *untouched = NULL;
        int fd = ((TempDir *)*state)->fd;

        put(fd, "file", "", 0);
        /* The descriptor itself is not read on, so each time begins at the first entry. */
        for (unsigned i = 0; i < 2; i++) {
                _cleanup_closedir_ DIR *dir = NULL;
                unsigned n = 0;

                assert_int_equal(io_opendir(fd, ".", &dir), 0);
                while (readdir(dir))
                        n++;
                assert_int_equal(n, 3);
        }
        assert_int_equal(io_opendir(fd, "file", &untouched), -ENOTDIR);
        assert_int_equal(io_opendir(fd, "none", &untouched), -ENOENT);
        assert_null(untouched);
}

#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, temp_dir_setup, temp_dir_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                IN_DIR(test_read),
                IN_DIR(test_read_bound),
                IN_DIR(test_read_refuses),
                IN_DIR(test_stage_and_commit),
                IN_DIR(test_path_fd),
                IN_DIR(test_discard),
                IN_DIR(test_names),
                IN_DIR(test_failed_commit),
                IN_DIR(test_full_disk),
                IN_DIR(test_remove_temps),
                cmocka_unit_test(test_write_all),
                IN_DIR(test_mkdir_open),
                IN_DIR(test_opendir),
        };

        return cmocka_run_group_tests_name("io", tests, NULL, NULL);
}
