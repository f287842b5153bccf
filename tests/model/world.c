/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "world.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "core/manager-internal.h"
#include "core/services.h"
#include "util/io.h"
#include "util/log.h"
#include "util/macro.h"
#include "util/strv.h"

#define EXIT_SKIP   77
#define PREFIX      "cgpolicy-model-test-"
#define WAIT_USEC   (10 * USEC_PER_SEC)
#define WORLDS_SIZE "size=512m"

static const char *base_path; /* of the tmpfs that worlds live on */
static int base_fd = -EBADF;  /* the cgroup that worlds live below */
static unsigned n_worlds;

/* The processes that live in jobs go from world to world: to end one takes longer than all the rest. That
 * one was killed, maybe in a child, is in shared memory. */
static pid_t pool[WORLD_PROCESSES];
static bool *pool_killed;

/* -- The process around the tests ------------------------------------------------------------------ */

static int skipped(const char *why, int error) {
        printf("1..0 # SKIP %s: %s\n", why, strerror(error));
        return EXIT_SKIP;
}

static int enter(void) {
        if (unshare(CLONE_NEWNS) < 0)
                return skipped("unshare", errno);
        if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return skipped("private mounts", errno);
        pool_killed = mmap(
                NULL, WORLD_PROCESSES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (pool_killed == MAP_FAILED)
                return skipped("shared memory", errno);
        if (mount("tmpfs", base_path, "tmpfs", 0, "mode=0700," WORLDS_SIZE) < 0)
                return skipped("mount of a tmpfs", errno);
        return 0;
}

static int run_child(int (*tests)(void)) {
        int status;
        pid_t pid;

        (void)fflush(stdout);
        pid = fork();
        if (pid < 0)
                return skipped("fork", errno);
        if (pid == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                status = enter();
                if (status == 0)
                        status = tests();
                /* Not _exit(): who looks for leaks of memory does so at the end. */
                exit(status);
        }
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return EXIT_FAILURE;
        if (WIFSIGNALED(status)) {
                fprintf(stderr, "test killed by signal %d\n", WTERMSIG(status));
                return EXIT_FAILURE;
        }
        return WEXITSTATUS(status);
}

/* What tests whose outer process was killed, too, have left: the name tells who made it. */
static void remove_leftovers(int mount_fd) {
        _cleanup_closedir_ DIR *d = NULL;
        const struct dirent *de;

        d = fdopendir(openat(mount_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        while (d && (de = readdir(d))) {
                const char *pid = startswith(de->d_name, PREFIX);
                char path[sizeof("/tmp/") + NAME_MAX];

                if (!pid || kill((pid_t)atoi(pid), 0) == 0 || errno != ESRCH)
                        continue;
                (void)snprintf(path, sizeof(path), "/tmp/%s", de->d_name);
                (void)rmdir(path);
                if (cgroup_remove(mount_fd, de->d_name) < 0)
                        fprintf(stderr, "cgroup %s stays\n", de->d_name);
        }
}

/* The processes of worlds end with the one that tests, but not in the same moment. */
static int wait_empty(int cgroup_fd) {
        _cleanup_close_ int fd = openat(cgroup_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
        struct pollfd p = { .fd = fd, .events = POLLPRI };
        int r;

        if (fd < 0)
                return -errno;
        r = cgroup_kill(cgroup_fd);
        while (r >= 0 && (r = cgroup_is_populated(cgroup_fd)) > 0)
                if (poll(&p, 1, 5000) <= 0)
                        return -ETIMEDOUT;
        return r;
}

static int run_in_cgroup(int mount_fd, int (*tests)(void)) {
        char name[64], path[96];
        int r, status;

        (void)snprintf(name, sizeof(name), PREFIX "%d", (int)getpid());
        r = cgroup_create(mount_fd, name, /* exclusive= */ true, &base_fd);
        if (r < 0)
                return skipped("no writable cgroup2", -r);
        (void)snprintf(path, sizeof(path), "/tmp/%s", name);
        base_path = path;
        if (mkdir(path, 0700) >= 0) {
                status = run_child(tests);
                (void)rmdir(path);
        } else
                status = skipped("mkdir in /tmp", errno);
        r = wait_empty(base_fd);
        base_fd = close_keep_errno(base_fd);
        if (r >= 0)
                r = cgroup_remove(mount_fd, name);
        if (r < 0) {
                fprintf(stderr, "cgroup %s stays: %s\n", name, strerror(-r));
                return EXIT_FAILURE;
        }
        return status;
}

int world_main(int (*tests)(void)) {
        _cleanup_free_ char *mount_path = NULL;
        _cleanup_close_ int mount_fd = -EBADF;
        int r;

        if (geteuid() != 0)
                return skipped("not root", EPERM);
        r = cgroup_find_mount(&mount_path);
        if (r < 0)
                return skipped("no cgroup2 mount", -r);
        mount_fd = open(mount_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (mount_fd < 0)
                return skipped("no cgroup2 mount", errno);
        /* What the manager has to say about faults that are wanted is no part of the result. */
        if (!getenv("WORLD_LOG"))
                log_set_max_level(-1);
        remove_leftovers(mount_fd);
        return run_in_cgroup(mount_fd, tests);
}

/* -- The network ----------------------------------------------------------------------------------- */

static char lo[] = "lo", eth0[] = "eth0", uplink[] = "uplink", wg0[] = "wg0";
static char *lo_names[] = { lo, NULL };
static char *eth0_names[] = { eth0, NULL };
static char *eth0_names_later[] = { eth0, wg0, uplink, NULL };
static char *wg0_names[] = { wg0, NULL };
static NetInterface interfaces[] = {
        { .ifindex = 1, .names = lo_names, .is_loopback = true },
        { .ifindex = FAKE_ETH0, .names = eth0_names },
        { .ifindex = FAKE_WG0, .names = wg0_names },
};
/* wg0 is gone, and its name is one more of eth0's. */
static NetInterface interfaces_later[] = {
        { .ifindex = 1, .names = lo_names, .is_loopback = true },
        { .ifindex = FAKE_ETH0, .names = eth0_names_later },
};
static NetNetwork networks[] = {
        { .address = { [10] = 0xff, [11] = 0xff, 10, 1 }, .bits = 112 },
};
static NetNetwork networks_later[] = {
        { .address = { [10] = 0xff, [11] = 0xff, 10, 2 }, .bits = 112 },
};

const NetState world_net = {
        .netns = 1,
        .interfaces = interfaces,
        .n_interfaces = ELEMENTSOF(interfaces),
        .networks = networks,
        .n_networks = 1,
};
const NetState world_net_later = {
        .netns = 1,
        .interfaces = interfaces_later,
        .n_interfaces = ELEMENTSOF(interfaces_later),
        .networks = networks_later,
        .n_networks = 1,
};

/* -- One world ------------------------------------------------------------------------------------- */

static pid_t start_process(void) {
        pid_t pid = fork();

        if (pid == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (;;)
                        (void)pause();
        }
        return pid;
}

World *world_new(void) {
        return world_new_mounted(NULL);
}

World *world_new_mounted(const char *options) {
        World *w = calloc(1, sizeof(*w));
        char name[16];

        if (!w)
                return NULL;
        w->dir_fd = w->cgroup_fd = -EBADF;
        w->net = &world_net;
        (void)snprintf(name, sizeof(name), "w%u", n_worlds++);
        (void)snprintf(w->dir, sizeof(w->dir), "%s/%s", base_path, name);
        (void)snprintf(w->cgroup, sizeof(w->cgroup), "/%s", name);
        if (mkdir(w->dir, 0700) < 0)
                return world_free(w);
        if (options) {
                if (mount("tmpfs", w->dir, "tmpfs", 0, options) < 0)
                        return world_free(w);
                w->mounted = true;
        }
        w->dir_fd = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (w->dir_fd < 0 || cgroup_create(base_fd, name, true, &w->cgroup_fd) < 0 ||
                fake_kernel_new(w->cgroup_fd, &w->fake) < 0)
                return world_free(w);
        for (unsigned i = 0; i < WORLD_PROCESSES; i++) {
                if (pool[i] <= 0)
                        pool[i] = start_process();
                if (pool[i] < 0)
                        return world_free(w);
        }
        return w;
}

static int move_process(int cgroup_fd, const char *path, pid_t pid) {
        _cleanup_close_ int fd = openat(cgroup_fd, path, O_WRONLY | O_CLOEXEC);
        char text[16];
        int n;

        if (fd < 0)
                return -errno;
        n = snprintf(text, sizeof(text), "%d", (int)pid);
        return write(fd, text, (size_t)n) < 0 ? -errno : 0;
}

static void bring_home(unsigned i) {
        if (pool[i] <= 0)
                return;
        if (pool_killed[i] || move_process(base_fd, "cgroup.procs", pool[i]) < 0) {
                (void)kill(pool[i], SIGKILL);
                (void)waitpid(pool[i], NULL, 0);
                pool[i] = 0;
                pool_killed[i] = false;
        }
}

/* Everything below a directory, and itself. */
static int remove_tree(int parent_fd, const char *name) {
        _cleanup_closedir_ DIR *d = NULL;
        const struct dirent *de;

        d = fdopendir(openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
        if (!d)
                return -errno;
        while ((de = readdir(d))) {
                if (streq(de->d_name, ".") || streq(de->d_name, ".."))
                        continue;
                if (de->d_type == DT_DIR)
                        (void)remove_tree(dirfd(d), de->d_name);
                else
                        (void)unlinkat(dirfd(d), de->d_name, 0);
        }
        return unlinkat(parent_fd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

World *world_free(World *w) {
        if (!w)
                return NULL;
        (void)world_stop(w);
        for (unsigned i = 0; i < WORLD_PROCESSES; i++)
                bring_home(i);
        (void)close_keep_errno(w->cgroup_fd);
        (void)close_keep_errno(w->dir_fd);
        if (w->mounted)
                (void)umount(w->dir);
        (void)remove_tree(AT_FDCWD, w->dir);
        if (cgroup_remove(base_fd, w->cgroup + 1) < 0)
                fprintf(stderr, "cgroup %s stays\n", w->cgroup);
        fake_kernel_free(w->fake);
        free(w);
        return NULL;
}

int world_setup(void **state) {
        *state = world_new();
        return *state ? 0 : -1;
}

int world_teardown(void **state) {
        world_free(*state);
        return 0;
}

int world_start(World *w) {
        static const KernelCapabilities capabilities = { .dry_run = true };
        ManagerConfig config = {
                .dir_fd = w->dir_fd,
                .dir = w->dir,
                .cgroup_fd = w->cgroup_fd,
                .cgroup = w->cgroup,
                .services = &services_host,
                .capabilities = &capabilities,
                .net = w->net,
        };
        int r;

        r = sd_event_new(&w->event);
        if (r < 0)
                return r;
        w->kernel = fake_kernel_open(w->fake);
        if (!w->kernel)
                return -ENOMEM;
        r = manager_new(w->event, w->kernel, &config, &w->manager);
        return r < 0 ? r : manager_start(w->manager);
}

int world_stop(World *w) {
        w->manager = manager_free(w->manager);
        fake_kernel_close(w->kernel);
        w->kernel = NULL;
        w->event = sd_event_unref(w->event);
        return w->fake ? (int)fake_kernel_n_handles(w->fake) : 0;
}

int world_restart(World *w) {
        int r = world_stop(w);

        return r != 0 ? -EBUSY : world_start(w);
}

int world_create(World *w, const char *name, PolicyDefault verdict, const char *const *rules) {
        JobOptions options = { .default_verdict = verdict, .rules = rules };
        _cleanup_(manager_error_done) ManagerError error = { 0 };
        _cleanup_close_ int fd = -EBADF;
        uint64_t generation;
        int r;

        r = manager_create_job(w->manager, name, &options, w, &error, &fd, &generation);
        if (r == -EREMOTEIO)
                log_error("%s: %s", name, strempty(error.message));
        return r;
}

int world_enter(World *w, unsigned i, const char *name) {
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "%s/cgroup.procs", name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        return move_process(w->cgroup_fd, path, pool[i]);
}

static bool all_seen(World *w) {
        for (size_t i = 0; i < w->manager->n_units; i++)
                if (w->manager->units[i]->state && !w->manager->units[i]->was_populated)
                        return false;
        return true;
}

int world_wait_seen(World *w) {
        return world_wait(w, all_seen);
}

int world_job(
        World *w, unsigned i, const char *name, PolicyDefault verdict, const char *const *rules) {
        int r;

        r = world_create(w, name, verdict, rules);
        if (r >= 0)
                r = world_enter(w, i, name);
        return r < 0 ? r : world_wait_seen(w);
}

void world_kill(World *w, unsigned i) {
        pool_killed[i] = true;
        (void)kill(pool[i], SIGKILL);
}

int world_wait(World *w, bool (*done)(World *w)) {
        uint64_t now, end = 0;
        int r;

        while (!done(w)) {
                r = sd_event_run(w->event, 100 * USEC_PER_MSEC);
                if (r < 0)
                        return r;
                r = sd_event_now(w->event, CLOCK_MONOTONIC, &now);
                if (r < 0)
                        return r;
                end = end ? end : now + WAIT_USEC;
                if (now > end)
                        return -ETIMEDOUT;
        }
        return 0;
}

uint64_t world_cgroup_id(World *w, const char *name) {
        Unit *u = manager_get_unit(w->manager, name);

        return u ? unit_get_cgroup_id(u) : 0;
}

uint64_t world_passes(World *w, const char *name) {
        return fake_kernel_passes(w->fake, world_cgroup_id(w, name));
}

int world_put(World *w, const char *name, const char *text) {
        _cleanup_close_ int fd = -EBADF;

        if (!text)
                return unlinkat(w->dir_fd, name, 0) < 0 ? -errno : 0;
        fd = openat(w->dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        return fd < 0 ? -errno : io_write_all(fd, text, strlen(text));
}

char *world_get(World *w, const char *name) {
        char *text = NULL;

        return io_read_file(w->dir_fd, name, 64 << 20, &text, NULL) < 0 ? NULL : text;
}
