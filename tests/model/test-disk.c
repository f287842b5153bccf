/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The disk is full at each moment of each request, or cannot be written: nothing has changed, and it is told. */
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checks.h"
#include "requests.h"

#define FILL       "zz-fill"
#define PAGE       4096U
#define PAGES_MAX  64U
#define INODES_MAX 32U

static World *prepared(const Request *request, const char *options) {
        World *w = world_new_mounted(options);

        assert_non_null(w);
        assert_int_equal(world_start(w), 0);
        assert_int_equal(request->prepare(w), 0);
        return w;
}

/* All but n pages. */
static void fill_pages(World *w, unsigned n) {
        static const char page[PAGE];
        _cleanup_close_ int fd =
                openat(w->dir_fd, FILL, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        off_t size = 0;

        assert_true(fd >= 0);
        while (write(fd, page, sizeof(page)) == sizeof(page))
                size += PAGE;
        assert_int_equal(errno, ENOSPC);
        assert_true(size >= n * PAGE);
        assert_int_equal(ftruncate(fd, size - n * PAGE), 0);
}

/* All but n names. */
static void fill_inodes(World *w, unsigned n) {
        unsigned made = 0;
        char name[32];
        int r;

        for (;; made++) {
                (void)snprintf(name, sizeof(name), FILL "-%u", made);
                r = mknodat(w->dir_fd, name, S_IFREG | 0600, 0);
                if (r < 0)
                        break;
        }
        assert_int_equal(errno, ENOSPC);
        assert_true(made >= n);
        while (n-- > 0) {
                (void)snprintf(name, sizeof(name), FILL "-%u", --made);
                assert_int_equal(unlinkat(w->dir_fd, name, 0), 0);
        }
}

static void empty(World *w) {
        _cleanup_closedir_ DIR *d =
                fdopendir(openat(w->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        const struct dirent *de;

        assert_non_null(d);
        while ((de = readdir(d)))
                if (startswith(de->d_name, FILL))
                        assert_int_equal(unlinkat(w->dir_fd, de->d_name, 0), 0);
}

/* Without what fills the disk, and for a reload without the copies of valid files. */
static char *files(World *w, const Request *request) {
        char *text = world_files(w, request->files_except);
        char *fill = strstr(text, FILL);

        if (fill && (fill == text || fill[-1] == '\n'))
                *fill = '\0';
        return text;
}

static void assert_full(World *w, const Request *request, int r, ManagerError *e, const char *force,
        const char *disk, unsigned n) {
        _cleanup_free_ char *force_after = world_in_force(w), *disk_after = files(w, request);
        _cleanup_free_ char *wrong = world_audit(w);

        if (r != -EREMOTEIO || e->kind != MANAGER_ERROR_STORE || !e->message || !*e->message)
                fail_msg("room for %u: %d, kind %d, '%s'", n, r, e->kind, strempty(e->message));
        manager_error_done(e);
        assert_same(force, force_after, "in force, room for", n);
        assert_same(disk, disk_after, "on disk, room for", n);
        if (wrong)
                fail_msg("room for %u: %s", n, wrong);
}

/* Returns whether the request needed more room than there was. */
static bool run_full(const Request *request, const RequestEffect *effect, const char *options,
        void (*fill)(World *w, unsigned n), unsigned n) {
        World *w = prepared(request, options);
        _cleanup_free_ char *disk = files(w, request), *force = world_in_force(w);
        _cleanup_free_ char *wrong = NULL;
        ManagerError e = { 0 };
        int r;

        request_watch(w, effect, /* strict= */ true);
        fill(w, n);
        r = request->run(w, &e);
        if (r < 0) {
                assert_full(w, request, r, &e, force, disk, n);
                empty(w);
                assert_ok(request->run(w, &e), &e);
        } else
                empty(w);
        fake_kernel_unwatch(w->fake);
        for (size_t i = 0; i < REQUEST_JOBS; i++)
                if (world_cgroup_id(w, request_jobs[i]) != 0)
                        assert_int_equal(world_passes(w, request_jobs[i]), effect->after[i]);
        wrong = world_audit(w);
        if (wrong)
                fail_msg("room for %u: %s", n, wrong);
        /* What is on disk is what is in force. */
        if (!request->makes_job)
                assert_int_equal(world_restart(w), 0);
        for (size_t i = 0; i < REQUEST_JOBS; i++)
                if (world_cgroup_id(w, request_jobs[i]) != 0)
                        assert_int_equal(world_passes(w, request_jobs[i]), effect->after[i]);
        world_free(w);
        return r < 0;
}

static void test_full(void **state) {
        const Request *request = *state;
        RequestEffect effect;
        unsigned n = 0;

        assert_int_equal(request_measure(request, &effect), 0);
        while (run_full(request, &effect, "size=1m", fill_pages, n))
                assert_true(n++ < PAGES_MAX);
        assert_true(n > 0 || request->ends_job || request->files_except);
        n = 0;
        while (run_full(request, &effect, "nr_inodes=200", fill_inodes, n))
                assert_true(n++ < INODES_MAX);
        assert_true(n > 0 || request->ends_job || request->files_except);
}

static void remount(World *w, unsigned long flags) {
        assert_int_equal(mount("none", w->dir, NULL, MS_REMOUNT | flags, "size=1m"), 0);
}

static void test_read_only(void **state) {
        const Request *request = *state;
        World *w = prepared(request, "size=1m");
        _cleanup_free_ char *disk = files(w, request), *force = world_in_force(w);
        ManagerError e = { 0 };
        int r;

        remount(w, MS_RDONLY);
        r = request->run(w, &e);
        assert_full(w, request, r, &e, force, disk, 0);
        remount(w, 0);
        assert_ok(request->run(w, &e), &e);
        assert_in_order(w);
        world_free(w);
}

/* A job ends even so, and its files when they can. */
static void test_end_of_a_job(void **state) {
        const Request *request = *state;
        World *w = prepared(request, "size=1m");
        ManagerError e = { 0 };

        remount(w, MS_RDONLY);
        assert_ok(request->run(w, &e), &e);
        assert_null(manager_get_unit(w->manager, request_jobs[0]));
        remount(w, 0);
        assert_int_equal(world_restart(w), 0);
        assert_null(manager_get_unit(w->manager, request_jobs[0]));
        assert_in_order(w);
        world_free(w);
}

/* Between the moment when all is prepared and the renaming. */
static void test_rename_fails(void **state) {
        _cleanup_(store_stage_done) StoreStage stage = STORE_STAGE_INIT;
        World *w = world_new_mounted("size=1m");
        StoreDir dir = { .fd = w->dir_fd, .path = w->dir };
        _cleanup_free_ char *before = NULL, *after = NULL;

        assert_int_equal(store_dir_prepare(&dir), 0);
        assert_int_equal(world_put(w, "policy.d/a.json", "old"), 0);
        before = world_files(w, NULL);
        assert_int_equal(store_stage(&dir, POLICY_LAYER_LOCAL, "a.json", "new", &stage), 0);
        remount(w, MS_RDONLY);
        assert_int_equal(store_commit(&stage), -EROFS);
        assert_false(stage.committed);
        remount(w, 0);
        store_stage_done(&stage);
        after = world_files(w, NULL);
        assert_string_equal(before, after);
        world_free(w);
}

static int tests(void) {
        struct CMUnitTest list[128] = { cmocka_unit_test(test_rename_fails) };
        char names[ELEMENTSOF(list)][80];
        size_t n = 1;

        /* What nobody asked for has nobody to be refused to. */
        for (size_t i = 0; i < n_requests; i++)
                for (unsigned read_only = 0; read_only < 2 && !requests[i].nobody_asked;
                        read_only++) {
                        (void)snprintf(names[n], sizeof(names[n]), "%s, %s", requests[i].name,
                                read_only ? "read only" : "full");
                        list[n] = (struct CMUnitTest){
                                .name = names[n],
                                .test_func = !read_only        ? test_full
                                        : requests[i].ends_job ? test_end_of_a_job
                                                               : test_read_only,
                                .initial_state = (void *)(uintptr_t)&requests[i],
                        };
                        n++;
                }
        assert(n <= ELEMENTSOF(list));
        return _cmocka_run_group_tests("disk", list, n, NULL, NULL);
}

int main(void) {
        return world_main(tests);
}
