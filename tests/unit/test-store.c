/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What happens to a policy when somebody breaks, removes or misnames a file: it never gets wider for it, and
 * what was deleted stays so. */
#include "core/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "temp-dir.h"
#include "util/io.h"
#include "util/macro.h"
#include "util/strv.h"

#define TIGHT      "{\"cgpolicy\":1,\"default\":\"deny\"}"
#define WITH_TIGHT "{\"cgpolicy\":1,\"match\":{\"units\":[\"web\"]},\"profile\":\"tight\"}"
#define WITH_HTTPS "{\"cgpolicy\":1,\"match\":{\"units\":[\"web\"]},\"rules\":[\"deny out https\"]}"
#define ALLOWING   "{\"cgpolicy\":1,\"match\":{\"units\":[\"web\"]},\"rules\":[\"allow out udp/9\"]}"
#define BROKEN     "{\"cgpolicy\":1,"

static bool has_services;

static int lookup(void *userdata, const char *name, PolicyService *services, size_t n_max) {
        if (!has_services || !streq(name, "https") || n_max == 0)
                return -ENOENT;
        services[0] = (PolicyService){ .protocol = 6, .port_min = 443, .port_max = 443 };
        return 1;
}

static const PolicyServices test_services = { .lookup = lookup };

static StoreDir test_dir(void **state) {
        const TempDir *t = *state;
        StoreDir dir = { .fd = t->fd, .path = t->path, .services = &test_services };

        has_services = true;
        assert_true(store_dir_prepare(&dir) >= 0);
        return dir;
}

static void write_file(const StoreDir *dir, const char *folder, const char *name, const char *s) {
        _cleanup_close_ int fd = openat(dir->fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        assert_true(fd >= 0);
        assert_true(io_write_file(fd, name, s, strlen(s), 0600) >= 0);
}

static void remove_file(const StoreDir *dir, const char *path) {
        assert_int_equal(unlinkat(dir->fd, path, 0), 0);
}

/* Reads everything anew, in place of *store. */
static void load(const StoreDir *dir, Store **store) {
        Store *next = NULL;

        assert_int_equal(store_load(dir, *store, &next), 0);
        store_accept(dir, next);
        store_unref(*store);
        *store = next;
}

/* As after a restart of the daemon. */
static void load_fresh(const StoreDir *dir, Store **store) {
        *store = store_unref(*store);
        load(dir, store);
}

static size_t n_problems(const Store *store) {
        return strv_length(store->problems);
}

static PolicyDefault default_out(const Store *store) {
        _cleanup_free_ PolicyStackInput *inputs = NULL;
        PolicyStack stack = { 0 };
        PolicyDefault verdict;
        size_t n;

        assert_int_equal(store_inputs(store, "web", &inputs, &n), 0);
        assert_int_equal(policy_stack_init(&stack, inputs, n), 0);
        verdict = stack.default_out;
        policy_stack_done(&stack);
        return verdict;
}

static size_t n_rules(const Store *store) {
        _cleanup_free_ PolicyStackInput *inputs = NULL;
        PolicyStack stack = { 0 };
        size_t n;

        assert_int_equal(store_inputs(store, "web", &inputs, &n), 0);
        assert_int_equal(policy_stack_init(&stack, inputs, n), 0);
        n = stack.n_entries;
        policy_stack_done(&stack);
        return n;
}

static void test_profile_that_breaks(void **state) {
        _cleanup_(store_unrefp) Store *store = NULL;
        StoreDir dir = test_dir(state);

        write_file(&dir, "profiles", "tight.json", TIGHT);
        write_file(&dir, "runtime.d", "web.json", WITH_TIGHT);
        load(&dir, &store);
        assert_int_equal(n_problems(store), 0);
        assert_int_equal(default_out(store), POLICY_DEFAULT_DENY);

        write_file(&dir, "profiles", "tight.json", BROKEN);
        load(&dir, &store);
        assert_int_equal(n_problems(store), 1);
        assert_non_null(strstr(store->problems[0], "last good version"));
        assert_int_equal(default_out(store), POLICY_DEFAULT_DENY);
        load_fresh(&dir, &store);
        assert_int_equal(default_out(store), POLICY_DEFAULT_DENY);

        /* Not the policy that it was: a profile with a match is none. */
        write_file(&dir, "profiles", "tight.json", ALLOWING);
        load(&dir, &store);
        assert_int_equal(n_problems(store), 1);
        assert_int_equal(default_out(store), POLICY_DEFAULT_DENY);
}

static void test_profile_that_goes(void **state) {
        _cleanup_(store_unrefp) Store *store = NULL;
        StoreDir dir = test_dir(state);

        write_file(&dir, "profiles", "tight.json", TIGHT);
        write_file(&dir, "policy.d", "web.json", WITH_TIGHT);
        load(&dir, &store);
        remove_file(&dir, "profiles/tight.json");
        for (unsigned i = 0; i < 2; i++) {
                load(&dir, &store);
                assert_int_equal(n_problems(store), 1);
                assert_non_null(strstr(store->problems[0], "is gone"));
                assert_int_equal(default_out(store), POLICY_DEFAULT_DENY);
        }
        load_fresh(&dir, &store);
        assert_int_equal(n_problems(store), 1);
        assert_int_equal(default_out(store), POLICY_DEFAULT_DENY);

        /* With its last user it is forgotten. */
        remove_file(&dir, "policy.d/web.json");
        load(&dir, &store);
        assert_int_equal(n_problems(store), 0);
        assert_null(store_profile(store, "tight"));
        write_file(&dir, "policy.d", "web.json", WITH_TIGHT);
        load_fresh(&dir, &store);
        assert_null(store_profile(store, "tight"));
}

/* Whoever removes a file that stood in front of a built-in profile wants that one. */
static void test_builtin_profile_comes_back(void **state) {
        _cleanup_(store_unrefp) Store *store = NULL;
        StoreDir dir = test_dir(state);

        write_file(&dir, "profiles", "default.json", TIGHT);
        write_file(&dir, "policy.d", "web.json",
                "{\"cgpolicy\":1,\"match\":{\"units\":[\"web\"]},\"profile\":\"default\"}");
        load(&dir, &store);
        assert_int_equal(n_rules(store), 0);
        remove_file(&dir, "profiles/default.json");
        load(&dir, &store);
        assert_int_equal(n_problems(store), 0);
        assert_true(n_rules(store) > 0);
}

static void test_service_that_the_host_loses(void **state) {
        _cleanup_(store_unrefp) Store *store = NULL;
        StoreDir dir = test_dir(state);

        write_file(&dir, "policy.d", "web.json", WITH_HTTPS);
        load(&dir, &store);
        assert_int_equal(n_rules(store), 1);
        has_services = false;
        load(&dir, &store);
        assert_int_equal(n_problems(store), 1);
        assert_int_equal(n_rules(store), 1);
}

static void test_runtime_file_that_goes(void **state) {
        _cleanup_(store_unrefp) Store *store = NULL, *without = NULL;
        StoreDir dir = test_dir(state);

        write_file(&dir, "profiles", "tight.json", TIGHT);
        write_file(&dir, "runtime.d", "web.json", WITH_TIGHT);
        load(&dir, &store);
        remove_file(&dir, "runtime.d/web.json");
        load(&dir, &store);
        assert_int_equal(n_problems(store), 1);
        assert_int_equal(default_out(store), POLICY_DEFAULT_DENY);

        /* The job ends: then it is over with the policy. */
        assert_int_equal(store_with(store, POLICY_LAYER_RUNTIME, "web.json", NULL, &without), 0);
        load(&dir, &without);
        assert_int_equal(n_problems(without), 0);
        assert_null(store_find(without, POLICY_LAYER_RUNTIME, "web.json"));
}

static void test_deleted_file_does_not_come_back(void **state) {
        _cleanup_(store_unrefp) Store *store = NULL;
        StoreDir dir = test_dir(state);

        write_file(&dir, "policy.d", "web.json", ALLOWING);
        load(&dir, &store);
        assert_int_equal(n_rules(store), 1);
        remove_file(&dir, "policy.d/web.json");
        load(&dir, &store);
        assert_int_equal(n_rules(store), 0);
        write_file(&dir, "policy.d", "web.json", BROKEN);
        load(&dir, &store);
        assert_int_equal(n_problems(store), 1);
        assert_int_equal(n_rules(store), 0);

        /* Nor from behind a mask. */
        write_file(&dir, "policy.d", "web.json", ALLOWING);
        load(&dir, &store);
        remove_file(&dir, "policy.d/web.json");
        assert_int_equal(symlinkat("/dev/null", dir.fd, "policy.d/web.json"), 0);
        load(&dir, &store);
        remove_file(&dir, "policy.d/web.json");
        write_file(&dir, "policy.d", "web.json", BROKEN);
        load_fresh(&dir, &store);
        assert_int_equal(n_rules(store), 0);
}

static void test_names_that_cannot_be_shown(void **state) {
        static const char *const names[] = { "\xff.json", "a\x1b[31m.json", "a\nb.json" };
        _cleanup_(store_unrefp) Store *store = NULL;
        StoreDir dir = test_dir(state);

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                write_file(&dir, "policy.d", names[i], ALLOWING);
        write_file(&dir, "policy.d", "\xc3\xa9.json", ALLOWING);
        load(&dir, &store);
        assert_int_equal(n_problems(store), ELEMENTSOF(names));
        assert_int_equal(store->n_files, 1);
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                for (const char *p = store->problems[i]; *p; p++)
                        assert_true(*p >= ' ' && *p <= '~');
}

static void test_as_many_files_as_can_be_read_again(void **state) {
        _cleanup_(store_file_unrefp) StoreFile *file = NULL;
        _cleanup_(store_unrefp) Store *store = NULL, *next = NULL;
        StoreDir dir = test_dir(state);

        for (unsigned i = 0; i < STORE_FILES_MAX; i++) {
                char path[32];
                int fd;

                (void)snprintf(path, sizeof(path), "policy.d/%u.json", i);
                fd = openat(dir.fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
                assert_true(fd >= 0);
                assert_true(io_write_all(fd, ALLOWING, strlen(ALLOWING)) >= 0);
                (void)close(fd);
        }
        load(&dir, &store);
        assert_int_equal(
                store_parse(&dir, store, POLICY_LAYER_LOCAL, "new.json", ALLOWING, NULL, &file), 0);
        assert_int_equal(store_with(store, POLICY_LAYER_LOCAL, "new.json", file, &next), -EDQUOT);
        assert_int_equal(store_with(store, POLICY_LAYER_RUNTIME, "new.json", file, &next), 0);
        next = store_unref(next);
        assert_int_equal(store_with(store, POLICY_LAYER_LOCAL, "7.json", file, &next), 0);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, temp_dir_setup, temp_dir_teardown)
        static const struct CMUnitTest tests[] = {
                TEST(test_profile_that_breaks),
                TEST(test_profile_that_goes),
                TEST(test_builtin_profile_comes_back),
                TEST(test_service_that_the_host_loses),
                TEST(test_runtime_file_that_goes),
                TEST(test_deleted_file_does_not_come_back),
                TEST(test_names_that_cannot_be_shown),
                TEST(test_as_many_files_as_can_be_read_again),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
