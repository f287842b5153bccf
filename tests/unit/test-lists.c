/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Named lists: whose definition counts, what is read again, and what is kept when that fails. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "core/lists.h"
#include "temp-dir.h"
#include "util/io.h"
#include "util/macro.h"
#include "util/strv.h"

/* A store of files of the local layer, each with lists of its own. */
typedef struct Files {
        Store store;
        StoreFile files[4];
        StoreFile *pointers[4];
        PolicyListDefinition definitions[4][2];
        PolicyFile policies[4];
} Files;

static void add_file(Files *f, PolicyLayer layer, const char *name, const char *list,
        const char *file, char **networks) {
        size_t i = f->store.n_files++;

        f->definitions[i][0] = (PolicyListDefinition){
                .name = (char *)(uintptr_t)list,
                .file = (char *)(uintptr_t)file,
                .networks = networks,
                .source = { .path = name, .line = 3 },
        };
        f->policies[i] = (PolicyFile){ .lists = f->definitions[i], .n_lists = 1 };
        f->files[i] = (StoreFile){
                .n_ref = 1,
                .layer = layer,
                .name = (char *)(uintptr_t)name,
                .policy = &f->policies[i],
        };
        f->pointers[i] = &f->files[i];
        f->store.files = f->pointers;
}

static void put(int fd, const char *name, const char *text) {
        _cleanup_close_ int file = openat(fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(file >= 0);
        assert_int_equal(io_write_all(file, text, strlen(text)), 0);
}

static int good_of(int fd) {
        int good = -EBADF;

        assert_true(io_mkdir_open(fd, "good.d", 0700, &good) >= 0);
        return good;
}

static ListTable *table_of(const Files *f, int good_fd, const ListTable *previous, int fd) {
        ListTable *table = NULL;

        assert_int_equal(list_table_new(&f->store, good_fd, &table), 0);
        list_table_inherit(table, previous, /* reread= */ true, fd);
        assert_int_equal(list_table_load(table, fd), 0);
        (void)list_table_settle(table);
        return table;
}

static bool exists(int fd, const char *name) {
        return faccessat(fd, name, F_OK, AT_SYMLINK_NOFOLLOW) >= 0;
}

static void test_highest_layer_wins(void **state) {
        int fd = ((TempDir *)*state)->fd;
        _cleanup_close_ int good = good_of(fd);
        char *one[] = { (char[]){ "192.0.2.0/24" }, NULL };
        char *two[] = { (char[]){ "198.51.100.0/24" }, (char[]){ "2001:db8::/32" }, NULL };
        Files f = { 0 };
        ListTable *table;

        add_file(&f, POLICY_LAYER_LOCAL, "10-a.json", "bad", NULL, two);
        add_file(&f, POLICY_LAYER_LOCAL, "20-b.json", "bad", NULL, one);
        add_file(&f, POLICY_LAYER_VENDOR, "30-c.json", "bad", NULL, one);
        table = table_of(&f, good, NULL, fd);
        assert_int_equal(table->n_entries, 1);
        assert_string_equal(table->entries[0].source, "10-a.json");
        assert_int_equal(table->entries[0].content->n_networks4, 1);
        assert_int_equal(table->entries[0].content->n_networks6, 1);
        /* The one of the same layer contradicts; a lower layer is there to be overridden. */
        assert_int_equal(strv_length(table->problems), 1);
        assert_non_null(strstr(table->problems[0], "20-b.json"));
        list_table_unref(table);
}

static void test_file_is_read_again_when_it_changes(void **state) {
        int fd = ((TempDir *)*state)->fd;
        _cleanup_close_ int good = good_of(fd);
        ListTable *first, *same, *other;
        Files f = { 0 };

        put(fd, "bad.txt", "192.0.2.0/24\n");
        add_file(&f, POLICY_LAYER_LOCAL, "10-a.json", "bad", "bad.txt", NULL);
        first = table_of(&f, good, NULL, fd);
        assert_int_equal(first->entries[0].state, LIST_LOADED);
        assert_non_null(first->set);
        assert_false(exists(good, "list-bad.txt"));
        list_table_keep_good(first);
        assert_true(exists(good, "list-bad.txt"));

        assert_int_equal(list_table_new(&f.store, good, &same), 0);
        list_table_inherit(same, first, /* reread= */ true, fd);
        assert_false(list_table_is_wanted(same));
        assert_ptr_equal(same->entries[0].content, first->entries[0].content);

        put(fd, "new.txt", "192.0.2.0/24\n198.51.100.7\n");
        assert_int_equal(renameat(fd, "new.txt", fd, "bad.txt"), 0);
        other = table_of(&f, good, first, fd);
        assert_int_equal(other->entries[0].content->n_networks4, 2);
        assert_true(other->set->hash != first->set->hash);
        assert_false(other->has_slot);
        list_table_unref(first);
        list_table_unref(same);
        list_table_unref(other);
}

static void test_broken_file_keeps_what_there_was(void **state) {
        int fd = ((TempDir *)*state)->fd;
        _cleanup_close_ int good = good_of(fd);
        ListTable *first, *broken, *gone, *restarted;
        Files f = { 0 };

        put(fd, "bad.txt", "192.0.2.0/24\n");
        add_file(&f, POLICY_LAYER_LOCAL, "10-a.json", "bad", "bad.txt", NULL);
        first = table_of(&f, good, NULL, fd);
        list_table_keep_good(first);

        put(fd, "bad.txt", "192.0.2.0/24\nrubbish\n");
        broken = table_of(&f, good, first, fd);
        assert_int_equal(broken->entries[0].state, LIST_KEPT);
        assert_ptr_equal(broken->entries[0].content, first->entries[0].content);
        assert_non_null(strstr(broken->entries[0].error, "bad.txt:2"));
        assert_int_equal(broken->set->hash, first->set->hash);

        assert_int_equal(unlinkat(fd, "bad.txt", 0), 0);
        gone = table_of(&f, good, broken, fd);
        assert_int_equal(gone->entries[0].state, LIST_KEPT);
        assert_ptr_equal(gone->entries[0].content, first->entries[0].content);

        /* Also over a restart: from the copy. */
        restarted = table_of(&f, good, NULL, fd);
        assert_int_equal(restarted->entries[0].state, LIST_KEPT);
        assert_int_equal(restarted->entries[0].content->hash, first->entries[0].content->hash);
        assert_int_equal(restarted->set->hash, first->set->hash);
        list_table_unref(first);
        list_table_unref(broken);
        list_table_unref(gone);
        list_table_unref(restarted);
}

static void test_never_loaded(void **state) {
        int fd = ((TempDir *)*state)->fd;
        _cleanup_close_ int good = good_of(fd);
        Files f = { 0 };
        ListTable *table;

        add_file(&f, POLICY_LAYER_LOCAL, "10-a.json", "bad", "none.txt", NULL);
        table = table_of(&f, good, NULL, fd);
        assert_int_equal(table->entries[0].state, LIST_NEVER_LOADED);
        assert_null(table->entries[0].content);
        assert_null(table->set);
        assert_non_null(strstr(table->entries[0].error, "No such file"));
        list_table_unref(table);

        /* Not what a FIFO or a directory is: a regular file, or none. */
        assert_int_equal(mkfifoat(fd, "none.txt", 0600), 0);
        table = table_of(&f, good, NULL, fd);
        assert_int_equal(table->entries[0].state, LIST_NEVER_LOADED);
        list_table_unref(table);
}

/* A reading that is given up leaves nothing, and a copy goes with the last definition. */
static void test_leaves_nothing(void **state) {
        int fd = ((TempDir *)*state)->fd;
        _cleanup_close_ int good = good_of(fd);
        _cleanup_closedir_ DIR *d = NULL;
        Files f = { 0 }, none = { 0 };
        ListTable *table;

        put(fd, "bad.txt", "192.0.2.0/24\n");
        add_file(&f, POLICY_LAYER_LOCAL, "10-a.json", "bad", "bad.txt", NULL);
        list_table_unref(table_of(&f, good, NULL, fd));
        put(good, "list-bad.txt.12.new", "half");
        put(good, "local-10-a.json", "{}");
        list_remove_temps(good);
        assert_int_equal(io_opendir(good, ".", &d), 0);
        for (const struct dirent *de; (de = readdir(d));)
                assert_true(de->d_name[0] == '.' || streq(de->d_name, "local-10-a.json"));

        table = table_of(&f, good, NULL, fd);
        list_table_keep_good(table);
        assert_true(exists(good, "list-bad.txt"));
        list_table_unref(table);
        table = table_of(&none, good, NULL, fd);
        list_table_keep_good(table);
        assert_false(exists(good, "list-bad.txt"));
        assert_true(exists(good, "local-10-a.json"));
        list_table_unref(table);
}

int main(void) {
#define DIR_TEST(f) cmocka_unit_test_setup_teardown(f, temp_dir_setup, temp_dir_teardown)
        static const struct CMUnitTest tests[] = {
                DIR_TEST(test_highest_layer_wins),
                DIR_TEST(test_file_is_read_again_when_it_changes),
                DIR_TEST(test_broken_file_keeps_what_there_was),
                DIR_TEST(test_never_loaded),
                DIR_TEST(test_leaves_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
