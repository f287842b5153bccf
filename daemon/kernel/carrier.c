/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernel/carrier.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct Carrier {
        Pool *pool;
        Instance *instance;
        Tables *tables;
        unsigned n_links;
        bool has_handle;
        bool is_lost; /* something of it may be in force that is not counted */
};

int carrier_new(Pool *pool, Instance *instance, Tables *tables, Carrier **ret) {
        Carrier *carrier = malloc(sizeof(*carrier));

        if (!carrier)
                return -ENOMEM;
        *carrier = (Carrier){
                .pool = pool_ref(pool),
                .instance = instance,
                .tables = tables,
                .has_handle = true,
        };
        *ret = carrier;
        return 0;
}

static bool is_of_the_pools_kind(const Instance *instance) {
        return instance->tables_fd >= 0 && instance->image_size == CGP_SMALL_IMAGE_SIZE &&
                instance->table_size == CGP_SMALL_TABLE_SIZE;
}

static void collect(Carrier *carrier) {
        if (carrier->has_handle || carrier->n_links > 0)
                return;
        if (!carrier->is_lost && is_of_the_pools_kind(carrier->instance))
                pool_give(carrier->pool, carrier->instance);
        else
                (void)instance_free(carrier->instance);
        (void)tables_unref(carrier->tables);
        (void)pool_unref(carrier->pool);
        free(carrier);
}

void carrier_drop_handle(Carrier *carrier) {
        assert(carrier->has_handle);
        carrier->has_handle = false;
        collect(carrier);
}

void carrier_add_link(Carrier *carrier) {
        carrier->n_links++;
}

void carrier_drop_link(Carrier *carrier) {
        assert(carrier->n_links > 0);
        carrier->n_links--;
        collect(carrier);
}

void carrier_lose_link(Carrier *carrier) {
        carrier->is_lost = true;
        carrier_drop_link(carrier);
}

const Instance *carrier_instance(const Carrier *carrier) {
        return carrier->instance;
}
