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
        pool_use(pool, instance);
        *ret = carrier;
        return 0;
}

static void collect(Carrier *carrier) {
        if (carrier->has_handle || carrier->n_links > 0)
                return;
        if (carrier->is_lost)
                pool_lose(carrier->pool, carrier->instance);
        else
                pool_give(carrier->pool, carrier->instance);
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
