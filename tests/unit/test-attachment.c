/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The hooks of one subject: attached, switched, recognised by a successor, let go. Which moments lie between,
 * the model tests hold. The cgroup is an ordinary directory: the fake kernel asks for no more. */
#include "core/attachment.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "../model/fake-kernel.h"
#include "temp-dir.h"
#include "util/macro.h"

#define SUBJECT 7U

typedef struct Fixture {
        TempDir *dir;
        FakeKernel *fake;
        Kernel *kernel;
        int cgroup_fd;
        uint64_t cgroup_id;
} Fixture;

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));
        void *dir = NULL;
        struct stat st;

        if (!f || temp_dir_setup(&dir) < 0)
                return -1;
        f->dir = dir;
        if (mkdirat(f->dir->fd, "job", 0700) < 0)
                return -1;
        f->cgroup_fd = openat(f->dir->fd, "job", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (f->cgroup_fd < 0 || fstat(f->cgroup_fd, &st) < 0 ||
                fake_kernel_new(f->dir->fd, &f->fake) < 0)
                return -1;
        f->cgroup_id = st.st_ino;
        f->kernel = fake_kernel_open(f->fake);
        *state = f;
        return f->kernel ? 0 : -1;
}

static int teardown(void **state) {
        Fixture *f = *state;
        void *dir = f->dir;
        unsigned n_handles = fake_kernel_n_handles(f->fake);

        fake_kernel_close(f->kernel);
        fake_kernel_free(f->fake);
        (void)close_keep_errno(f->cgroup_fd);
        free(f);
        return temp_dir_teardown(&dir) < 0 || n_handles > 0 ? -1 : 0;
}

static KernelProgs *load(Fixture *f, uint64_t hash) {
        uint8_t tables[8] = { 0 };
        PolicyImage image = { .config.table_size = sizeof(tables), .tables = tables, .hash = hash };
        KernelProgs *progs = NULL;

        assert_int_equal(f->kernel->ops->progs_load(f->kernel, &image, NULL, &progs), 0);
        return progs;
}

static Attachment *attach(Fixture *f, uint64_t hash) {
        KernelProgs *progs = load(f, hash);
        Attachment *a = NULL;

        assert_int_equal(
                attachment_new(f->kernel, SUBJECT, f->cgroup_fd, f->cgroup_id, &progs, hash, &a),
                0);
        assert_null(progs);
        return a;
}

static void free_progs(Fixture *f, KernelProgs *progs) {
        if (progs)
                (void)f->kernel->ops->progs_free(progs);
}

static void assert_carried(Fixture *f, uint64_t hash) {
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                assert_int_equal(fake_kernel_hook_hash(f->fake, f->cgroup_id, hook), hash);
}

static int found_add(void *userdata, KernelFound *found) {
        Attachment *a = userdata;
        KernelLink *again = found->link;

        assert_int_equal(found->subject, SUBJECT);
        assert_int_equal(attachment_adopt(a, found->hook, &found->link), 0);
        assert_null(found->link);
        assert_int_equal(attachment_adopt(a, found->hook, &again), -EEXIST);
        return 0;
}

/* As a successor does. */
static Attachment *adopt(Fixture *f) {
        Attachment *a = NULL;

        assert_int_equal(attachment_new_empty(f->kernel, SUBJECT, f->cgroup_id, &a), 0);
        assert_int_equal(f->kernel->ops->links_find(f->kernel, found_add, a), 0);
        attachment_recognise(a);
        return a;
}

static void test_attach_and_let_go(void **state) {
        Fixture *f = *state;
        _cleanup_(attachment_freep) Attachment *a = attach(f, 11);

        assert_int_equal(a->hash, 11);
        assert_carried(f, 11);
        assert_int_equal(fake_kernel_n_records(f->fake), 1);
        assert_int_equal(attachment_destroy(a), 0);
        assert_int_equal(fake_kernel_n_links(f->fake), 0);
        assert_int_equal(fake_kernel_n_records(f->fake), 0);
        /* Nothing is left to do, and that is no failure. */
        assert_int_equal(attachment_destroy(a), 0);
}

static void test_failed_attach_leaves_nothing(void **state) {
        Fixture *f = *state;
        KernelProgs *progs = load(f, 11);
        Attachment *a = NULL;

        /* Two writes of the record, and the hooks between them. */
        for (unsigned n = 1; n <= CGP_N_HOOKS + 2; n++) {
                fake_kernel_fail(f->fake, FAKE_OP_ANY, n, EPERM);
                assert_int_equal(attachment_new(f->kernel, SUBJECT, f->cgroup_fd, f->cgroup_id,
                                         &progs, 11, &a),
                        -EPERM);
                fake_kernel_fail(f->fake, FAKE_OP_ANY, 0, 0);
                assert_null(a);
                assert_non_null(progs);
                assert_int_equal(fake_kernel_n_links(f->fake), 0);
                assert_int_equal(fake_kernel_n_records(f->fake), 0);
        }
        free_progs(f, progs);
}

static void test_publish(void **state) {
        static const PolicyChange changes[] = { POLICY_CHANGE_NONE, POLICY_CHANGE_LOOSEN,
                POLICY_CHANGE_TIGHTEN, POLICY_CHANGE_MIXED };
        Fixture *f = *state;
        Attachment *a = attach(f, 11);
        uint64_t hash = 11;

        for (size_t i = 0; i < ELEMENTSOF(changes); i++) {
                KernelProgs *between = NULL, *progs = load(f, hash + 1);

                if (changes[i] == POLICY_CHANGE_MIXED)
                        between = load(f, 99);
                assert_int_equal(
                        attachment_publish(a, changes[i], between, 99, &progs, hash + 1), 0);
                free_progs(f, between);
                /* What was carried before is handed back, if anybody had it. */
                assert_true((progs != NULL) == (i == 0));
                free_progs(f, progs);
                hash++;
                assert_int_equal(a->hash, hash);
                assert_carried(f, hash);
                attachment_free(a);
                a = adopt(f);
                assert_int_equal(a->hash, hash);
        }
        assert_int_equal(attachment_destroy(a), 0);
        attachment_free(a);
}

/* Nobody has the old programs: what was switched cannot be taken back, and it is not claimed to be. */
static void test_publish_without_a_way_back(void **state) {
        Fixture *f = *state;
        Attachment *a = attach(f, 11);
        KernelProgs *progs = load(f, 12);

        attachment_free(a);
        a = adopt(f);
        assert_null(a->progs);
        fake_kernel_fail(f->fake, FAKE_LINK_UPDATE, 4, EIO);
        assert_int_equal(attachment_publish(a, POLICY_CHANGE_TIGHTEN, NULL, 0, &progs, 12), -EIO);
        fake_kernel_fail(f->fake, FAKE_OP_ANY, 0, 0);
        assert_int_equal(a->hash, 0);
        assert_non_null(progs);
        assert_int_equal(fake_kernel_n_links(f->fake), CGP_N_HOOKS);

        /* A successor sees that, too. */
        attachment_free(a);
        a = adopt(f);
        assert_int_equal(a->hash, 0);
        assert_int_equal(attachment_publish(a, POLICY_CHANGE_TIGHTEN, NULL, 0, &progs, 12), 0);
        assert_carried(f, 12);
        free_progs(f, progs);
        assert_int_equal(attachment_destroy(a), 0);
        attachment_free(a);
}

/* A cgroup that is gone has nothing to be switched: not a failure of the change. */
static void test_publish_to_a_dead_cgroup(void **state) {
        Fixture *f = *state;
        _cleanup_(attachment_freep) Attachment *a = attach(f, 11);
        KernelProgs *progs = load(f, 12);

        assert_false(attachment_is_dead(a));
        assert_int_equal(unlinkat(f->dir->fd, "job", AT_REMOVEDIR), 0);
        assert_true(attachment_is_dead(a));
        assert_int_equal(attachment_publish(a, POLICY_CHANGE_LOOSEN, NULL, 0, &progs, 12), 0);
        free_progs(f, progs);
        /* What cannot be asked is not dead. */
        fake_kernel_fail(f->fake, FAKE_LINK_QUERY, 1, EIO);
        assert_false(attachment_is_dead(a));
        fake_kernel_fail(f->fake, FAKE_OP_ANY, 0, 0);
        assert_int_equal(attachment_destroy(a), 0);
        assert_int_equal(fake_kernel_n_links(f->fake), 0);
}

static void test_recognise_is_not_fooled(void **state) {
        Fixture *f = *state;
        Attachment *a = attach(f, 11);
        struct cgp_record record, bad;

        attachment_free(a);
        assert_int_equal(f->kernel->ops->record_read(f->kernel, f->cgroup_id, &record), 0);
        for (unsigned i = 0; i < 4; i++) {
                bad = record;
                if (i == 0)
                        bad.abi_version++;
                if (i == 1)
                        bad.subject++;
                if (i == 2)
                        bad.hook[3].cur_prog_id = 1;
                if (i == 3)
                        bad.hook[CGP_N_HOOKS - 1].cur_hash++;
                assert_int_equal(f->kernel->ops->record_write(f->kernel, &bad), 0);
                a = adopt(f);
                assert_int_equal(a->hash, 0);
                attachment_free(a);
        }
        assert_int_equal(f->kernel->ops->record_write(f->kernel, &record), 0);
        fake_kernel_tear_off(f->fake, f->cgroup_id, 0);
        a = adopt(f);
        assert_int_equal(a->hash, 0);
        assert_int_equal(attachment_destroy(a), 0);
        attachment_free(a);
}

static void test_complete(void **state) {
        Fixture *f = *state;
        Attachment *a = attach(f, 11);
        KernelProgs *progs = load(f, 12);

        attachment_free(a);
        fake_kernel_tear_off(f->fake, f->cgroup_id, CGP_HOOK_CONNECT4);
        fake_kernel_tear_off(f->fake, f->cgroup_id, CGP_HOOK_INGRESS);
        a = adopt(f);
        assert_int_equal(attachment_complete(a, f->cgroup_fd, progs), 0);
        assert_int_equal(fake_kernel_n_links(f->fake), CGP_N_HOOKS);
        assert_int_equal(attachment_publish(a, POLICY_CHANGE_TIGHTEN, NULL, 0, &progs, 12), 0);
        assert_null(progs);
        assert_carried(f, 12);
        attachment_free(a);
        a = adopt(f);
        assert_int_equal(a->hash, 12);
        assert_int_equal(attachment_destroy(a), 0);
        attachment_free(a);
}

/* What could not be let go is still held, and what was let go can be attached again. */
static void test_restore(void **state) {
        Fixture *f = *state;
        _cleanup_(attachment_freep) Attachment *a = attach(f, 11);

        for (unsigned n = 1; n <= CGP_N_HOOKS + 1; n++) {
                fake_kernel_fail(f->fake, FAKE_OP_ANY, n, EROFS);
                assert_int_equal(attachment_destroy(a), -EROFS);
                fake_kernel_fail(f->fake, FAKE_OP_ANY, 0, 0);
                assert_int_equal(fake_kernel_n_links(f->fake), n == 1 ? 0 : 1);
                assert_int_equal(attachment_restore(a, f->cgroup_fd), 0);
                assert_int_equal(a->hash, 11);
                assert_carried(f, 11);
                assert_int_equal(fake_kernel_n_records(f->fake), 1);
        }
        /* Once more after an error. */
        fake_kernel_fail(f->fake, FAKE_LINK_DESTROY, 2, EROFS);
        assert_int_equal(attachment_destroy(a), -EROFS);
        fake_kernel_fail(f->fake, FAKE_OP_ANY, 0, 0);
        assert_int_equal(attachment_destroy(a), 0);
        assert_int_equal(fake_kernel_n_links(f->fake), 0);
}

int main(void) {
#define FIXTURE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        static const struct CMUnitTest tests[] = {
                FIXTURE(test_attach_and_let_go),
                FIXTURE(test_failed_attach_leaves_nothing),
                FIXTURE(test_publish),
                FIXTURE(test_publish_without_a_way_back),
                FIXTURE(test_publish_to_a_dead_cgroup),
                FIXTURE(test_recognise_is_not_fooled),
                FIXTURE(test_complete),
                FIXTURE(test_restore),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
