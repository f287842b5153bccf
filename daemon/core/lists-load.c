/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading lists, in whichever thread, and what is kept of them for the day when they cannot be read. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "core/lists-private.h"
#include "util/io.h"
#include "util/macro.h"
#include "util/strv.h"

#define GOOD_PREFIX "list-"
#define GOOD_SUFFIX ".txt"
#define TEMP_SUFFIX ".new"

int list_stamp(int dir_fd, const char *file, ListStamp *ret) {
        struct stat st;

        if (fstatat(dir_fd, file, &st, 0) < 0)
                return -errno;
        *ret = (ListStamp){
                .device = st.st_dev,
                .inode = st.st_ino,
                .size = (uint64_t)st.st_size,
                .changed_nsec = st.st_ctim.tv_sec * (int64_t)NSEC_PER_SEC + st.st_ctim.tv_nsec,
        };
        return 0;
}

uint64_t list_table_wanted_size(const ListTable *table, int dir_fd) {
        uint64_t size = 0;

        for (size_t i = 0; i < table->n_entries; i++) {
                ListStamp stamp;

                if (table->entries[i].wanted && table->entries[i].file &&
                        list_stamp(dir_fd, table->entries[i].file, &stamp) >= 0)
                        size += stamp.size;
        }
        return size;
}

/* -- One list --------------------------------------------------------------------------------------- */

static int entry_set_error(ListEntry *entry, const char *format, ...) _printf_(2, 3);

static int entry_set_error(ListEntry *entry, const char *format, ...) {
        char *error = NULL;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&error, format, ap);
        va_end(ap);
        if (n < 0)
                return -ENOMEM;
        free(entry->error);
        entry->error = error;
        return 0;
}

static int entry_set_diags(ListEntry *entry, const PolicyDiags *diags, const char *path) {
        _cleanup_free_ char *text = NULL;

        if (diags->n_diags == 0)
                return entry_set_error(entry, "%s: cannot be read", path);
        text = policy_diag_to_string(&diags->diags[0]);
        return text ? entry_set_error(entry, "%s", text) : -ENOMEM;
}

static uint64_t realtime_usec(void) {
        struct timespec ts = { 0 };

        (void)clock_gettime(CLOCK_REALTIME, &ts);
        return (uint64_t)ts.tv_sec * USEC_PER_SEC + (uint64_t)ts.tv_nsec / NSEC_PER_USEC;
}

static void entry_set_fresh(ListEntry *entry, PolicyList *list) {
        entry->fresh = list;
        entry->state = LIST_LOADED;
        entry->loaded_usec = realtime_usec();
        free(entry->error);
        entry->error = NULL;
}

/* Beside the good text, to be renamed when it is in force. That it cannot be written costs no more than the last
 * good version after a restart; the operator is told by the caller of the rename. */
static void entry_stage_good(ListEntry *entry, int good_fd, const char *text, size_t size) {
        _cleanup_free_ char *temp = NULL;
        _cleanup_close_ int fd = -EBADF;

        /* Another thread may be at the same list. */
        if (asprintf(&temp, GOOD_PREFIX "%s" GOOD_SUFFIX ".%d" TEMP_SUFFIX, entry->name,
                    (int)gettid()) < 0) {
                temp = NULL;
                return;
        }
        fd = openat(good_fd, temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return;
        if (io_write_all(fd, text, size) < 0) {
                (void)unlinkat(good_fd, temp, 0);
                return;
        }
        free(entry->temp);
        entry->temp = TAKE_PTR(temp);
}

/* 1: it has fresh content; 0: it has an error. */
static int entry_read(ListEntry *entry, int dir_fd, int good_fd) {
        _cleanup_(policy_diags_done) PolicyDiags diags = { 0 };
        _cleanup_free_ char *text = NULL;
        PolicyList *list = NULL;
        ListStamp stamp = { 0 };
        size_t size;
        int r;

        if (!entry->file) {
                r = policy_list_from_strv(
                        entry->name, entry->source, entry->line, entry->networks, &diags, &list);
                if (r == -ENOMEM)
                        return r;
                if (r < 0)
                        return entry_set_diags(entry, &diags, entry->source);
                entry_set_fresh(entry, list);
                return 1;
        }
        (void)list_stamp(dir_fd, entry->file, &stamp);
        r = io_read_file(dir_fd, entry->file, POLICY_LIST_SIZE_MAX, &text, &size);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return entry_set_error(entry, "%s: cannot be read: %s", entry->file,
                        r == -EFBIG ? "the file is too large" : strerror(-r));
        r = policy_list_parse(entry->name, entry->file, text, size, &diags, &list);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return entry_set_diags(entry, &diags, entry->file);
        entry->stamp = stamp;
        entry_set_fresh(entry, list);
        if (!entry->content || entry->content->hash != list->hash)
                entry_stage_good(entry, good_fd, text, size);
        return 1;
}

static int entry_read_good(ListEntry *entry, int good_fd) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        PolicyList *list = NULL;
        size_t size;
        int r;

        if (asprintf(&path, GOOD_PREFIX "%s" GOOD_SUFFIX, entry->name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        r = io_read_file(good_fd, path, POLICY_LIST_SIZE_MAX, &text, &size);
        if (r >= 0)
                r = policy_list_parse(entry->name, path, text, size, NULL, &list);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return 0;
        entry->fresh = list;
        return 0;
}

static int entry_load(ListEntry *entry, int dir_fd, int good_fd) {
        int r;

        r = entry_read(entry, dir_fd, good_fd);
        if (r == 0 && !entry->content)
                r = entry_read_good(entry, good_fd);
        if (r < 0)
                return r;
        entry->wanted = false;
        if (entry->error)
                entry->state = entry->content || entry->fresh ? LIST_KEPT : LIST_NEVER_LOADED;
        return 0;
}

/* -- All of them ------------------------------------------------------------------------------------ */

/* One list too many for the set: nothing of this reading counts. */
static int table_refuse(ListTable *table, const char *limit) {
        for (size_t i = 0; i < table->n_entries; i++) {
                ListEntry *entry = &table->entries[i];
                int r;

                if (!entry->fresh)
                        continue;
                policy_list_unref(entry->fresh);
                entry->fresh = NULL;
                r = entry_set_error(entry,
                        "%s: all lists together need more %s than one set may have; use fewer or "
                        "wider networks",
                        entry->file ? entry->file : entry->source, strempty(limit));
                if (r < 0)
                        return r;
                entry->state = entry->content ? LIST_KEPT : LIST_NEVER_LOADED;
                entry->stamp = (ListStamp){ 0 };
        }
        return 0;
}

/* Does the set that there is stand for these? It is built of names and hashes alone. */
static bool set_is_of(const ListTable *table, PolicyList *const *contents, size_t n) {
        size_t i = 0, n_before = 0;

        if (!table->set)
                return n == 0;
        for (size_t k = 0; k < table->n_entries; k++) {
                const ListEntry *entry = &table->entries[k];

                n_before += entry->content != NULL;
                if (entry->fresh && (!entry->content || entry->content->hash != entry->fresh->hash))
                        return false;
        }
        if (n != n_before || strv_length(table->set->names) != n)
                return false;
        while (i < n && streq(table->set->names[i], contents[i]->name))
                i++;
        return i == n;
}

int list_table_load(ListTable *table, int dir_fd) {
        _cleanup_free_ PolicyList **contents = NULL;
        const char *limit = NULL;
        PolicySet *set = NULL;
        size_t n = 0;
        int r;

        for (size_t i = 0; i < table->n_entries; i++) {
                if (!table->entries[i].wanted)
                        continue;
                r = entry_load(&table->entries[i], dir_fd, table->good_fd);
                if (r < 0)
                        return r;
        }
        r = list_table_contents(table, &contents, &n);
        if (r < 0)
                return r;
        if (set_is_of(table, contents, n))
                return 0;
        if (n > 0) {
                r = policy_set_build(contents, n, &limit, &set);
                if (r == -E2BIG)
                        return table_refuse(table, limit);
                if (r < 0)
                        return r;
        }
        table->fresh_set = set;
        table->has_fresh_set = true;
        return 0;
}

bool list_table_settle(ListTable *table) {
        bool changed;

        for (size_t i = 0; i < table->n_entries; i++) {
                ListEntry *entry = &table->entries[i];

                if (!entry->fresh)
                        continue;
                policy_list_unref(entry->content);
                entry->content = TAKE_PTR(entry->fresh);
        }
        if (!table->has_fresh_set)
                return false;
        changed = !table->set != !table->fresh_set ||
                (table->set && table->set->hash != table->fresh_set->hash);
        policy_set_unref(table->set);
        table->set = TAKE_PTR(table->fresh_set);
        table->has_fresh_set = false;
        if (changed)
                table->has_slot = false;
        return changed;
}

/* -- Last good versions ----------------------------------------------------------------------------- */

static bool is_temp(const char *file) {
        size_t n = strlen(file);

        return startswith(file, GOOD_PREFIX) && n > strlen(TEMP_SUFFIX) &&
                streq(file + n - strlen(TEMP_SUFFIX), TEMP_SUFFIX);
}

static bool good_is_needed(const ListTable *table, const char *file) {
        _cleanup_free_ char *name = NULL;
        const char *s = startswith(file, GOOD_PREFIX);
        const ListEntry *entry;
        size_t n;

        if (!s || is_temp(file))
                return true; /* not a list's, or somebody is at it */
        n = strlen(s);
        if (n <= strlen(GOOD_SUFFIX) || !streq(s + n - strlen(GOOD_SUFFIX), GOOD_SUFFIX))
                return true;
        name = strndup(s, n - strlen(GOOD_SUFFIX));
        entry = name ? list_table_find(table, name) : NULL;
        return !name || (entry && entry->file);
}

static void remove_from(int dir_fd, bool (*keep)(const ListTable *table, const char *file),
        const ListTable *table) {
        _cleanup_closedir_ DIR *d = NULL;

        if (io_opendir(dir_fd, ".", &d) < 0)
                return;
        for (const struct dirent *de; (de = readdir(d));)
                if (!keep(table, de->d_name))
                        (void)unlinkat(dir_fd, de->d_name, 0);
}

static bool is_no_temp(const ListTable *table, const char *file) {
        return !is_temp(file);
}

void list_remove_temps(int good_fd) {
        remove_from(good_fd, is_no_temp, NULL);
}

void list_table_keep_good(ListTable *table) {
        for (size_t i = 0; i < table->n_entries; i++) {
                ListEntry *entry = &table->entries[i];
                _cleanup_free_ char *name = NULL;

                if (!entry->temp)
                        continue;
                if (asprintf(&name, GOOD_PREFIX "%s" GOOD_SUFFIX, entry->name) < 0)
                        name = NULL;
                if (!name || renameat(table->good_fd, entry->temp, table->good_fd, name) < 0)
                        (void)unlinkat(table->good_fd, entry->temp, 0);
                free(entry->temp);
                entry->temp = NULL;
        }
        remove_from(table->good_fd, good_is_needed, table);
}
