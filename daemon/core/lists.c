/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Definitions of lists: which of several counts, and what a new table takes over from the one before. */
#include "core/lists-private.h"
#include "util/macro.h"
#include "util/strv.h"

static const char *const list_states[_LIST_STATE_MAX] = {
        [LIST_NEVER_LOADED] = "never-loaded",
        [LIST_LOADED] = "loaded",
        [LIST_KEPT] = "kept",
};

const char *list_state_to_string(ListState state) {
        return list_states[state];
}

static void list_entry_done(ListEntry *entry, int good_fd) {
        if (entry->temp && good_fd >= 0)
                (void)unlinkat(good_fd, entry->temp, 0);
        free(entry->temp);
        policy_list_unref(entry->content);
        policy_list_unref(entry->fresh);
        strv_free(entry->networks);
        free(entry->name);
        free(entry->file);
        free(entry->source);
        free(entry->error);
}

ListTable *list_table_ref(ListTable *table) {
        table->n_ref++;
        return table;
}

ListTable *list_table_unref(ListTable *table) {
        if (!table || --table->n_ref > 0)
                return NULL;

        for (size_t i = 0; i < table->n_entries; i++)
                list_entry_done(&table->entries[i], table->good_fd);
        free(table->entries);
        strv_free(table->problems);
        policy_set_unref(table->set);
        policy_set_unref(table->fresh_set);
        free(table);
        return NULL;
}

/* -- Definitions ------------------------------------------------------------------------------------ */

static bool strv_equal(char *const *a, char *const *b) {
        for (; a && b && *a && *b; a++, b++)
                if (!streq(*a, *b))
                        return false;
        return (!a || !*a) && (!b || !*b);
}

static int list_entry_init(ListEntry *entry, const PolicyListDefinition *definition) {
        int r;

        *entry = (ListEntry){ .line = definition->source.line, .wanted = true };
        entry->name = strdup(definition->name);
        entry->source = strdup(strempty(definition->source.path));
        entry->file = definition->file ? strdup(definition->file) : NULL;
        r = definition->file ? 0 : strv_copy(definition->networks, &entry->networks);
        return r < 0 || !entry->name || !entry->source || (definition->file && !entry->file)
                ? -ENOMEM
                : 0;
}

static int table_note_conflict(
        ListTable *table, const ListEntry *entry, const PolicyListDefinition *definition) {
        _cleanup_free_ char *line = NULL;

        if (asprintf(&line,
                    "%s:%u: list '%s' is defined otherwise in %s:%u, which counts; remove one of them",
                    strempty(definition->source.path), definition->source.line, entry->name,
                    entry->source, entry->line) < 0) {
                line = NULL;
                return -ENOMEM;
        }
        return strv_push(&table->problems, &line);
}

/* layer_begin: entries from here on are of the same layer. The array is by time until it is sorted. */
static int table_add_definition(
        ListTable *table, const PolicyListDefinition *definition, size_t layer_begin) {
        ListEntry *entries;
        int r;

        for (size_t i = 0; i < table->n_entries; i++) {
                const ListEntry *entry = &table->entries[i];

                if (!streq(entry->name, definition->name))
                        continue;
                if (i < layer_begin ||
                        (streq_ptr(entry->file, definition->file) &&
                                strv_equal(entry->networks, definition->networks)))
                        return 0;
                return table_note_conflict(table, entry, definition);
        }
        if (table->n_entries >= POLICY_LISTS_MAX)
                return -E2BIG;
        entries = reallocarray(table->entries, table->n_entries + 1, sizeof(*entries));
        if (!entries)
                return -ENOMEM;
        table->entries = entries;
        r = list_entry_init(&entries[table->n_entries], definition);
        table->n_entries++;
        return r;
}

static int table_add_file(ListTable *table, const PolicyFile *file, size_t layer_begin) {
        for (size_t i = 0; i < file->n_lists; i++) {
                int r = table_add_definition(table, &file->lists[i], layer_begin);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int compare_entries(const void *a, const void *b) {
        return strcmp(((const ListEntry *)a)->name, ((const ListEntry *)b)->name);
}

int list_table_new(const Store *store, int good_fd, ListTable **ret) {
        _cleanup_(list_table_unrefp) ListTable *table = NULL;
        size_t layer_begin = 0;
        int r;

        table = calloc(1, sizeof(*table));
        if (!table)
                return -ENOMEM;
        table->n_ref = 1;
        table->good_fd = good_fd;
        /* By layer, then by name: the first one counts. */
        for (size_t i = 0; i < store->n_files; i++) {
                const StoreFile *file = store->files[i];

                if (i > 0 && file->layer != store->files[i - 1]->layer)
                        layer_begin = table->n_entries;
                if (!store_file_is_used(store, file))
                        continue;
                r = table_add_file(table, file->policy, layer_begin);
                if (r < 0)
                        return r;
        }
        layer_begin = table->n_entries;
        for (size_t i = 0; i < store->n_profiles; i++) {
                r = table_add_file(table, store->profiles[i], layer_begin);
                if (r < 0)
                        return r;
        }
        if (table->n_entries > 1)
                qsort(table->entries, table->n_entries, sizeof(*table->entries), compare_entries);
        *ret = TAKE_PTR(table);
        return 0;
}

ListEntry *list_table_find(const ListTable *table, const char *name) {
        for (size_t i = 0; table && i < table->n_entries; i++)
                if (streq(table->entries[i].name, name))
                        return &table->entries[i];
        return NULL;
}

static bool entry_same(const ListEntry *a, const ListEntry *b) {
        return streq(a->name, b->name) && streq_ptr(a->file, b->file) &&
                strv_equal(a->networks, b->networks);
}

bool list_table_same(const ListTable *a, const ListTable *b) {
        if (a->n_entries != b->n_entries || !strv_equal(a->problems, b->problems))
                return false;
        for (size_t i = 0; i < a->n_entries; i++)
                if (!entry_same(&a->entries[i], &b->entries[i]) ||
                        !streq(a->entries[i].source, b->entries[i].source) ||
                        a->entries[i].line != b->entries[i].line)
                        return false;
        return true;
}

/* -- From one table to the next --------------------------------------------------------------------- */

static void entry_inherit(ListEntry *entry, const ListEntry *from, bool reread, int dir_fd) {
        ListStamp stamp;

        entry->state = from->state;
        entry->error = from->error ? strdup(from->error) : NULL;
        entry->loaded_usec = from->loaded_usec;
        entry->content = from->content ? policy_list_ref(from->content) : NULL;
        entry->stamp = from->stamp;
        entry->wanted = !from->content ||
                (reread && entry->file &&
                        (from->state != LIST_LOADED ||
                                list_stamp(dir_fd, entry->file, &stamp) < 0 ||
                                memcmp(&stamp, &from->stamp, sizeof(stamp)) != 0));
}

void list_table_inherit(ListTable *table, const ListTable *previous, bool reread, int dir_fd) {
        for (size_t i = 0; previous && i < table->n_entries; i++) {
                const ListEntry *from = list_table_find(previous, table->entries[i].name);

                if (!from)
                        continue;
                if (entry_same(&table->entries[i], from))
                        entry_inherit(&table->entries[i], from, reread, dir_fd);
                else if (from->content && table->entries[i].file) {
                        /* Defined anew: if that cannot be read, what is in force stays. */
                        table->entries[i].content = policy_list_ref(from->content);
                        table->entries[i].loaded_usec = from->loaded_usec;
                        table->entries[i].state = LIST_KEPT;
                }
        }
        if (!previous)
                return;
        table->set = previous->set ? policy_set_ref(previous->set) : NULL;
        table->has_slot = previous->has_slot;
        table->slot = previous->slot;
}

bool list_table_is_wanted(const ListTable *table) {
        for (size_t i = 0; i < table->n_entries; i++)
                if (table->entries[i].wanted)
                        return true;
        return false;
}

int list_table_contents(const ListTable *table, PolicyList ***ret, size_t *ret_n) {
        PolicyList **contents = calloc(MAX(table->n_entries, 1U), sizeof(PolicyList *));
        size_t n = 0;

        if (!contents)
                return -ENOMEM;
        for (size_t i = 0; i < table->n_entries; i++) {
                PolicyList *list = table->entries[i].fresh ? table->entries[i].fresh
                                                           : table->entries[i].content;

                if (list)
                        contents[n++] = list;
        }
        *ret = contents;
        *ret_n = n;
        return 0;
}
