/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Control groups with real processes in them, in a subtree of our own. Everything waits for events; what a
 * test leaves is killed and removed by its teardown.
 */
#include "track/cgroup.h"

#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "util/io.h"
#include "util/macro.h"
#include "util/strv.h"

static int mount_fd = -EBADF;
static char *mount_path;
static char top_name[64];

/* What a test has: a cgroup of its own, open. */
typedef struct Fixture {
        int fd;
        sd_event *event;
} Fixture;

static int fixture_setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        if (!f)
                return -1;
        *state = f;
        f->fd = -EBADF;
        if (sd_event_new(&f->event) < 0)
                return -1;
        return cgroup_create(mount_fd, top_name, true, &f->fd);
}

/* Kills by the kernel's own means, not by what is tested, and waits until all are gone. */
static int fixture_teardown(void **state) {
        Fixture *f = *state;
        _cleanup_close_ int kill_fd = openat(f->fd, "cgroup.kill", O_WRONLY | O_CLOEXEC);
        int r;

        if (kill_fd >= 0)
                (void)!write(kill_fd, "1", 1);
        while (wait(NULL) >= 0 || errno == EINTR)
                ;
        r = cgroup_remove(mount_fd, top_name);
        (void)sd_event_unref(f->event);
        (void)close(f->fd);
        free(f);
        return r < 0 && r != -ENOENT ? -1 : 0;
}

static int make(int parent_fd, const char *name) {
        int fd = -EBADF;

        assert_int_equal(cgroup_create(parent_fd, name, true, &fd), 0);
        return fd;
}

static void write_file(int cgroup_fd, const char *file, const char *value) {
        _cleanup_close_ int fd = openat(cgroup_fd, file, O_WRONLY | O_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(io_write_all(fd, value, strlen(value)), 0);
}

/* In a child: moves itself. */
static void enter(int cgroup_fd) {
        int fd = openat(cgroup_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);

        if (fd < 0 || write(fd, "0", 1) != 1)
                _exit(111);
        (void)close(fd);
}

/* A process in the cgroup that lives until it is killed or *ret_leash is closed. When this returns, it is
 * there. */
static pid_t spawn(int cgroup_fd, int *ret_leash) {
        int ready[2], leash[2];
        char byte;
        pid_t pid;

        assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
        assert_int_equal(pipe2(leash, O_CLOEXEC), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                enter(cgroup_fd);
                (void)close(leash[1]);
                (void)!write(ready[1], "x", 1);
                (void)!read(leash[0], &byte, 1);
                _exit(0);
        }
        (void)close(ready[1]);
        (void)close(leash[0]);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        (void)close(ready[0]);
        *ret_leash = leash[1];
        return pid;
}

/* A process that forks and exits, again and again, so that there is always one and never one for long. It
 * ends with the test. */
static void spawn_chain(int cgroup_fd) {
        pid_t pid, test = getpid();
        int ready[2];
        char byte;

        assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                enter(cgroup_fd);
                (void)!write(ready[1], "x", 1);
                (void)close(ready[1]);
                while (kill(test, 0) >= 0)
                        if (fork() > 0)
                                break;
                _exit(0);
        }
        (void)close(ready[1]);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        (void)close(ready[0]);
}

typedef struct Seen {
        int last; /* INT_MAX: nothing yet */
        unsigned n;
        CgroupWatch **free_me;
} Seen;

static void on_change(void *userdata, int populated) {
        Seen *seen = userdata;

        seen->last = populated;
        seen->n++;
        if (seen->free_me)
                *seen->free_me = cgroup_watch_free(*seen->free_me);
}

static void run_until(sd_event *event, const Seen *seen, int state) {
        while (seen->last != state)
                assert_true(sd_event_run(event, UINT64_MAX) >= 0);
}

static int on_barrier(sd_event_source *s, uint64_t usec, void *userdata) {
        *(bool *)userdata = true;
        return 0;
}

/* Runs the loop until everything that is pending now was dispatched. */
static void run_pending(sd_event *event) {
        sd_event_source *source = NULL;
        bool done = false;

        assert_true(
                sd_event_add_time(event, &source, CLOCK_MONOTONIC, 0, 1, on_barrier, &done) >= 0);
        assert_true(sd_event_source_set_priority(source, SD_EVENT_PRIORITY_IDLE) >= 0);
        while (!done)
                assert_true(sd_event_run(event, UINT64_MAX) >= 0);
        (void)sd_event_source_disable_unref(source);
}

static void test_names(void **state) {
        static const char *const good[] = { "web", "a", "nginx.service", "getty@tty1.service",
                "a:b", "with\\x2ddash", "_x", "0", "cpu", "cgroup", "memory", "cgroups.x",
                "memo.ry", "io-cost.x", "x.cgroup", "x..y" };
        static const char *const bad[] = { "", ".", "..", ".x", "-x", "a/b", "a b", "a\n",
                "\xc3\xbc", "cgroup.procs", "cgroup.", "memory.max", "cpu.stat", "cpuset.cpus",
                "io.max", "pids.max", "rdma.max", "hugetlb.2MB.max", "misc.max", "perf_event.x",
                "irq.pressure", "net_cls.x", "net_prio.x", "devices.x", "freezer.x", "dmem.max",
                "blkio.x", "cpuacct.x", "debug.x" };
        char name[257] = "";

        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                if (!cgroup_name_is_valid(good[i]))
                        fail_msg("'%s' is refused", good[i]);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                if (cgroup_name_is_valid(bad[i]))
                        fail_msg("'%s' is accepted", bad[i]);
        memset(name, 'n', 255);
        assert_true(cgroup_name_is_valid(name));
        name[255] = 'n';
        assert_false(cgroup_name_is_valid(name));
}

static void assert_mounts(const char *mountinfo, const char *expect) {
        _cleanup_(strv_freep) char **paths = NULL;
        char joined[256] = "";

        assert_int_equal(cgroup_parse_mounts(mountinfo, &paths), 0);
        for (char **p = paths; *p; p++) {
                strcat(joined, *p);
                strcat(joined, "|");
        }
        assert_string_equal(joined, expect);
}

static void test_parse_mounts(void **state) {
        char **paths = NULL;

        assert_int_equal(cgroup_parse_mounts("", &paths), -ENOENT);
        assert_int_equal(
                cgroup_parse_mounts("21 1 0:1 / /sys rw - sysfs cgroup2 rw\n", &paths), -ENOENT);
        assert_int_equal(
                cgroup_parse_mounts("- cgroup2 x\n - cgroup2 x\n1 2 3 - cgroup2 x", &paths),
                -ENOENT);
        assert_null(paths);

        assert_mounts("22 1 0:2 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n",
                "/sys/fs/cgroup|");
        assert_mounts("22 1 0:2 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
                      "23 1 0:3 / /sys/fs/cgroup/unified rw master:1 shared:2 - cgroup2 none rw",
                "/sys/fs/cgroup/unified|");
        /* Parts of the tree come after the whole of it. */
        assert_mounts("22 1 0:2 /job /part rw - cgroup2 c rw\n"
                      "23 1 0:2 /../.. /above rw - cgroup2 c rw\n"
                      "24 1 0:2 / /whole rw - cgroup2 c rw\n",
                "/whole|/part|/above|");
        assert_mounts("22 1 0:2 / /a\\040b\\134c\\011\\012d\\9\\04 rw - cgroup2 c rw\n",
                "/a b\\c\t\nd\\9\\04|");
        /* The type of the source is not the type of the file system. */
        assert_mounts("22 1 0:2 / /mnt/-\\040cgroup2\\040 rw - tmpfs cgroup2 rw\n"
                      "23 1 0:2 / /x rw - cgroup2 c rw\n",
                "/x|");
}

static void test_create(void **state) {
        Fixture *f = *state;
        int fd, again = -EBADF, untouched = -77;
        uint64_t id, other;
        struct stat st;

        fd = make(f->fd, "job");
        assert_int_equal(cgroup_create(f->fd, "job", true, &untouched), -EEXIST);
        assert_int_equal(cgroup_create(f->fd, "cgroup.procs", false, &untouched), -EINVAL);
        assert_int_equal(cgroup_create(f->fd, "..", false, &untouched), -EINVAL);
        assert_int_equal(untouched, -77);
        assert_int_equal(cgroup_create(f->fd, "job", false, &again), 0);

        assert_int_equal(cgroup_get_id(fd, &id), 0);
        assert_int_equal(fstat(again, &st), 0);
        assert_int_equal(id, st.st_ino);
        assert_int_equal(cgroup_get_id(f->fd, &other), 0);
        assert_int_not_equal(id, other);
        (void)close(fd);
        (void)close(again);
}

static void test_populated(void **state) {
        Fixture *f = *state;
        int outer, inner, leash;
        pid_t pid;

        outer = make(f->fd, "outer");
        inner = make(outer, "inner");
        assert_int_equal(cgroup_is_populated(outer), 0);
        pid = spawn(inner, &leash);
        assert_int_equal(cgroup_is_populated(inner), 1);
        assert_int_equal(cgroup_is_populated(outer), 1);
        (void)close(leash);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_int_equal(cgroup_is_populated(outer), 0);

        assert_int_equal(cgroup_remove(f->fd, "outer"), 0);
        assert_int_equal(cgroup_is_populated(inner), -ENODEV);
        assert_int_equal(cgroup_is_populated(outer), -ENODEV);
        (void)close(outer);
        (void)close(inner);
}

static void test_remove(void **state) {
        Fixture *f = *state;
        int outer, inner, leash;
        uint64_t id, same;
        pid_t pid;

        assert_int_equal(cgroup_remove(f->fd, "job"), -ENOENT);
        assert_int_equal(cgroup_remove(f->fd, ".."), -EINVAL);

        outer = make(f->fd, "job");
        for (char name[] = "sibling0"; name[7] <= '9'; name[7]++)
                (void)close(make(outer, name));
        inner = make(outer, "inner");
        assert_int_equal(cgroup_get_id(outer, &id), 0);
        pid = spawn(inner, &leash);
        assert_int_equal(cgroup_remove(f->fd, "job"), -EBUSY);
        (void)close(outer);
        assert_int_equal(cgroup_create(f->fd, "job", false, &outer), 0);
        assert_int_equal(cgroup_get_id(outer, &same), 0);
        assert_int_equal(same, id);
        assert_int_equal(cgroup_is_populated(outer), 1);

        (void)close(leash);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_int_equal(cgroup_remove(f->fd, "job"), 0);
        assert_int_equal(cgroup_remove(f->fd, "job"), -ENOENT);

        /* A process in the named one itself. */
        (void)close(outer);
        outer = make(f->fd, "job");
        pid = spawn(outer, &leash);
        assert_int_equal(cgroup_remove(f->fd, "job"), -EBUSY);
        (void)close(leash);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_int_equal(cgroup_remove(f->fd, "job"), 0);
        (void)close(outer);
        (void)close(inner);
}

/* Deeper than there are file descriptors, and than a path is long. */
static void test_remove_deep(void **state) {
        static char name[201];
        Fixture *f = *state;
        struct rlimit old, limit;
        int fd, r;

        memset(name, 'd', 200);
        fd = make(f->fd, "deep");
        for (unsigned depth = 0; depth < 200; depth++) {
                int next = make(fd, name);

                (void)close(fd);
                fd = next;
        }
        (void)close(fd);

        assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
        limit = (struct rlimit){ .rlim_cur = 32, .rlim_max = old.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        r = cgroup_remove(f->fd, "deep");
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
        assert_int_equal(r, 0);
        assert_int_equal(faccessat(f->fd, "deep", F_OK, 0), -1);
}

/* Two that remove the same tree: both come to an end, and it is gone. */
static void test_remove_twice_at_once(void **state) {
        Fixture *f = *state;

        for (unsigned round = 0; round < 20; round++) {
                int outer = make(f->fd, "job"), r, status;
                pid_t pid;

                for (char name[] = "a"; name[0] <= 'h'; name[0]++) {
                        int inner = make(outer, name);

                        (void)close(make(inner, "x"));
                        (void)close(make(inner, "y"));
                        (void)close(inner);
                }
                (void)close(outer);
                pid = fork();
                assert_true(pid >= 0);
                if (pid == 0) {
                        r = cgroup_remove(f->fd, "job");
                        _exit(r == 0 || r == -ENOENT ? 0 : 1);
                }
                r = cgroup_remove(f->fd, "job");
                assert_true(r == 0 || r == -ENOENT);
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_int_equal(status, 0);
                assert_int_equal(faccessat(f->fd, "job", F_OK, 0), -1);
        }
}

static void check_kill(Fixture *f, int (*kill_cgroup)(int cgroup_fd)) {
        _cleanup_(cgroup_watch_freep) CgroupWatch *watch = NULL;
        Seen seen = { .last = INT_MAX };
        int outer, inner, leashes[4], bystander, status;
        pid_t pids[4], outside;

        outer = make(f->fd, "job");
        inner = make(outer, "inner");
        outside = spawn(f->fd, &bystander);
        for (unsigned i = 0; i < 4; i++)
                pids[i] = spawn(i % 2 ? inner : outer, &leashes[i]);
        assert_int_equal(kill(pids[3], SIGSTOP), 0);

        assert_int_equal(cgroup_watch_new(f->event, outer, on_change, &seen, &watch), 0);
        assert_int_equal(kill_cgroup(outer), 0);
        run_until(f->event, &seen, 0);
        for (unsigned i = 0; i < 4; i++) {
                assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
                assert_true(WIFSIGNALED(status));
                assert_int_equal(WTERMSIG(status), SIGKILL);
                (void)close(leashes[i]);
        }
        assert_int_equal(kill_cgroup(outer), 0);

        /* What is not in it lives on, and the cgroup can be used again. */
        (void)close(bystander);
        assert_int_equal(waitpid(outside, &status, 0), outside);
        assert_true(WIFEXITED(status));
        pids[0] = spawn(outer, &leashes[0]);
        (void)close(leashes[0]);
        assert_int_equal(waitpid(pids[0], &status, 0), pids[0]);
        assert_true(WIFEXITED(status));

        assert_int_equal(cgroup_remove(f->fd, "job"), 0);
        assert_int_equal(kill_cgroup(outer), -ENODEV);
        (void)close(outer);
        (void)close(inner);
}

static void test_kill(void **state) {
        check_kill(*state, cgroup_kill);
}

static void test_kill_by_signal(void **state) {
        check_kill(*state, cgroup_kill_by_signal);
}

static void check_kill_forking(Fixture *f, int (*kill_cgroup)(int cgroup_fd)) {
        /* The many that die are not to be waited for one by one. */
        (void)signal(SIGCHLD, SIG_IGN);
        for (unsigned round = 0; round < 10; round++) {
                _cleanup_(cgroup_watch_freep) CgroupWatch *watch = NULL;
                Seen seen = { .last = INT_MAX };
                int fd = make(f->fd, "job"), inner = make(fd, "inner");

                /* One alone could be caught by luck. */
                for (unsigned i = 0; i < 6; i++)
                        spawn_chain(i % 2 ? inner : fd);
                assert_int_equal(cgroup_watch_new(f->event, fd, on_change, &seen, &watch), 0);
                assert_int_equal(kill_cgroup(fd), 0);
                if (cgroup_is_populated(fd) != 0)
                        run_until(f->event, &seen, 0);
                assert_int_equal(cgroup_is_populated(fd), 0);
                assert_int_equal(cgroup_remove(f->fd, "job"), 0);
                (void)close(fd);
                (void)close(inner);
        }
        (void)signal(SIGCHLD, SIG_DFL);
}

static void test_kill_forking(void **state) {
        check_kill_forking(*state, cgroup_kill);
}

static void test_kill_forking_by_signal(void **state) {
        check_kill_forking(*state, cgroup_kill_by_signal);
}

static void test_watch(void **state) {
        Fixture *f = *state;
        _cleanup_(cgroup_watch_freep) CgroupWatch *watch = NULL;
        Seen seen = { .last = INT_MAX };
        int fd, inner, leash;
        unsigned n;
        pid_t pid;

        fd = make(f->fd, "job");
        assert_int_equal(cgroup_watch_new(f->event, fd, on_change, &seen, &watch), 0);
        run_pending(f->event);
        assert_int_equal(seen.n, 0);

        /* In it, and below it. */
        pid = spawn(fd, &leash);
        run_until(f->event, &seen, 1);
        (void)close(leash);
        run_until(f->event, &seen, 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        inner = make(fd, "inner");
        pid = spawn(inner, &leash);
        run_until(f->event, &seen, 1);
        (void)close(leash);
        run_until(f->event, &seen, 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);

        /* What happens beside it is not told. */
        n = seen.n;
        (void)close(make(f->fd, "other"));
        assert_int_equal(cgroup_remove(f->fd, "other"), 0);
        run_pending(f->event);
        assert_int_equal(seen.n, n);
        (void)close(inner);
        (void)close(fd);
}

/* The watch needs nobody to keep the directory open, tells the end once, and stays silent when another cgroup
 * of the name comes and goes. */
static void test_watch_removal(void **state) {
        Fixture *f = *state;
        _cleanup_(cgroup_watch_freep) CgroupWatch *watch = NULL;
        Seen seen = { .last = INT_MAX };
        CgroupWatch *none = NULL;
        int fd;

        fd = make(f->fd, "job");
        assert_int_equal(cgroup_watch_new(f->event, fd, on_change, &seen, &watch), 0);
        (void)close(fd);
        assert_int_equal(cgroup_remove(f->fd, "job"), 0);
        run_until(f->event, &seen, -ENODEV);
        assert_int_equal(seen.n, 1);

        fd = make(f->fd, "job");
        assert_int_equal(cgroup_remove(f->fd, "job"), 0);
        run_pending(f->event);
        assert_int_equal(seen.n, 1);
        assert_int_equal(cgroup_watch_new(f->event, fd, on_change, &seen, &none), -ENODEV);
        assert_null(none);
        (void)close(fd);
}

/* Removed right after its last process: the kernel may drop the change of the file, the end is told. */
static void test_watch_short_life(void **state) {
        Fixture *f = *state;

        for (unsigned round = 0; round < 50; round++) {
                _cleanup_(cgroup_watch_freep) CgroupWatch *watch = NULL;
                Seen seen = { .last = INT_MAX };
                int fd = make(f->fd, "job"), leash;
                pid_t pid;

                assert_int_equal(cgroup_watch_new(f->event, fd, on_change, &seen, &watch), 0);
                pid = spawn(fd, &leash);
                (void)close(leash);
                assert_int_equal(waitpid(pid, NULL, 0), pid);
                assert_int_equal(cgroup_remove(f->fd, "job"), 0);
                run_until(f->event, &seen, -ENODEV);
                (void)close(fd);
        }
}

static void test_watch_freed_by_callback(void **state) {
        Fixture *f = *state;
        CgroupWatch *watch = NULL;
        Seen seen = { .last = INT_MAX, .free_me = &watch };
        int fd, leash;
        pid_t pid;

        fd = make(f->fd, "job");
        assert_int_equal(cgroup_watch_new(f->event, fd, on_change, &seen, &watch), 0);
        pid = spawn(fd, &leash);
        run_until(f->event, &seen, 1);
        assert_null(watch);
        (void)close(leash);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_int_equal(cgroup_remove(f->fd, "job"), 0);
        run_pending(f->event);
        assert_int_equal(seen.n, 1);
        (void)close(fd);
}

static void test_many_watches(void **state) {
        enum { N = 100 };
        Fixture *f = *state;
        CgroupWatch *watches[N] = { NULL };
        Seen seen[N];
        char name[16];

        for (unsigned i = 0; i < N; i++) {
                int fd;

                (void)snprintf(name, sizeof(name), "job%u", i);
                fd = make(f->fd, name);
                seen[i] = (Seen){ .last = INT_MAX };
                assert_int_equal(
                        cgroup_watch_new(f->event, fd, on_change, &seen[i], &watches[i]), 0);
                (void)close(fd);
        }
        for (unsigned i = 0; i < N; i += 2) {
                (void)snprintf(name, sizeof(name), "job%u", i);
                assert_int_equal(cgroup_remove(f->fd, name), 0);
        }
        for (unsigned i = 0; i < N; i += 2)
                run_until(f->event, &seen[i], -ENODEV);
        run_pending(f->event);
        for (unsigned i = 0; i < N; i++) {
                assert_int_equal(seen[i].n, i % 2 ? 0 : 1);
                watches[i] = cgroup_watch_free(watches[i]);
        }
}

static void test_mount(void **state) {
        _cleanup_free_ char *events = NULL;
        Fixture *f = *state;
        int fd;

        /* That the mount was found is what the other tests stand on; it is not a controller's of cgroup v1. */
        assert_int_equal(mount_path[0], '/');
        fd = make(f->fd, "job");
        assert_int_equal(io_read_file(fd, "cgroup.events", 4096, &events, NULL), 0);
        assert_non_null(strstr(events, "populated 0"));
        write_file(fd, "cgroup.freeze", "0");
        (void)close(fd);
}

/* Why the tests cannot run here, or NULL. */
static const char *probe(void) {
        int fd = -EBADF;

        if (cgroup_find_mount(&mount_path) < 0)
                return "cgroup2 is not mounted";
        mount_fd = open(mount_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (mount_fd < 0)
                return "cgroup2 cannot be opened";
        (void)snprintf(top_name, sizeof(top_name), "cgpolicy-test-%d", (int)getpid());
        if (cgroup_create(mount_fd, top_name, true, &fd) < 0)
                return "cgroup2 is not writable";
        (void)close(fd);
        return cgroup_remove(mount_fd, top_name) < 0 ? "cgroup2 is not writable" : NULL;
}

#define IN_CGROUP(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_parse_mounts),
                IN_CGROUP(test_mount),
                IN_CGROUP(test_create),
                IN_CGROUP(test_populated),
                IN_CGROUP(test_remove),
                IN_CGROUP(test_remove_deep),
                IN_CGROUP(test_remove_twice_at_once),
                IN_CGROUP(test_kill),
                IN_CGROUP(test_kill_by_signal),
                IN_CGROUP(test_kill_forking),
                IN_CGROUP(test_kill_forking_by_signal),
                IN_CGROUP(test_watch),
                IN_CGROUP(test_watch_removal),
                IN_CGROUP(test_watch_short_life),
                IN_CGROUP(test_watch_freed_by_callback),
                IN_CGROUP(test_many_watches),
        };
        const char *reason = probe();
        int r;

        if (reason) {
                (void)printf("1..0 # SKIP %s\n", reason);
                return 0;
        }
        /* Orphans too are ours to wait for. */
        (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
        r = cmocka_run_group_tests_name("cgroup", tests, NULL, NULL);
        (void)close(mount_fd);
        free(mount_path);
        return r;
}
