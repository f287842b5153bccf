/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernel/tables.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kernel/instance.h"

struct Tables {
        unsigned n_ref;
        int fd;
        uint64_t hash;
        uint32_t size; /* of the image's; the map's value may be larger */
        TablesRegistry *registry;
        Tables *next;
};

/* The hash has no secret: only the bytes tell. */
static int is_equal(const Tables *tables, const PolicyImage *image) {
        void *memory;
        int r;

        if (tables->hash != image->tables_hash || tables->size != image->config.table_size)
                return 0;
        if (tables->size == 0)
                return 1;
        memory = mmap(NULL, tables->size, PROT_READ, MAP_SHARED, tables->fd, 0);
        if (memory == MAP_FAILED)
                return -errno;
        r = memcmp(memory, image->tables, tables->size) == 0;
        (void)munmap(memory, tables->size);
        return r;
}

int tables_get(TablesRegistry *registry, const PolicyImage *image, Tables **ret) {
        Tables *tables;
        int r;

        for (tables = *registry; tables; tables = tables->next) {
                r = is_equal(tables, image);
                if (r < 0)
                        return r;
                if (r > 0) {
                        tables->n_ref++;
                        *ret = tables;
                        return 0;
                }
        }
        tables = malloc(sizeof(*tables));
        if (!tables)
                return -ENOMEM;
        *tables = (Tables){
                .n_ref = 1,
                .hash = image->tables_hash,
                .size = image->config.table_size,
                .registry = registry,
                .next = *registry,
        };
        r = instance_make_tables(image, &tables->fd);
        if (r < 0) {
                free(tables);
                return r;
        }
        *registry = tables;
        *ret = tables;
        return 0;
}

Tables *tables_unref(Tables *tables) {
        Tables **place;

        if (!tables || --tables->n_ref > 0)
                return NULL;
        if (tables->registry) {
                for (place = tables->registry; *place != tables; place = &(*place)->next)
                        assert(*place);
                *place = tables->next;
        }
        (void)close_keep_errno(tables->fd);
        free(tables);
        return NULL;
}

void tables_forget_all(TablesRegistry *registry) {
        while (*registry) {
                Tables *tables = *registry;

                *registry = tables->next;
                tables->registry = NULL;
                tables->next = NULL;
        }
}

int tables_fd(const Tables *tables) {
        return tables->fd;
}

unsigned tables_users(const Tables *tables) {
        return tables->n_ref;
}
