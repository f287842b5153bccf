/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/slots.h"

#include "util/macro.h"

struct Slots {
        uint32_t first;
        uint32_t n;
        uint32_t n_free;
        uint32_t cursor;
        bool taken[];
};

int slots_new(uint32_t first, uint32_t last, Slots **ret) {
        uint32_t n = last - first + 1;
        Slots *slots = calloc(1, sizeof(*slots) + n * sizeof(slots->taken[0]));

        if (!slots)
                return -ENOMEM;
        slots->first = first;
        slots->n = n;
        slots->n_free = n;
        *ret = slots;
        return 0;
}

Slots *slots_free(Slots *slots) {
        free(slots);
        return NULL;
}

int slots_take(Slots *slots, uint32_t *ret) {
        if (slots->n_free == 0)
                return -E2BIG;
        while (slots->taken[slots->cursor])
                slots->cursor = (slots->cursor + 1) % slots->n;
        slots->taken[slots->cursor] = true;
        slots->n_free--;
        *ret = slots->first + slots->cursor;
        slots->cursor = (slots->cursor + 1) % slots->n;
        return 0;
}

int slots_claim(Slots *slots, uint32_t number) {
        if (number < slots->first || number - slots->first >= slots->n)
                return -ERANGE;
        if (slots->taken[number - slots->first])
                return -EEXIST;
        slots->taken[number - slots->first] = true;
        slots->n_free--;
        return 0;
}

void slots_give_back(Slots *slots, uint32_t number) {
        if (number < slots->first || number - slots->first >= slots->n ||
                !slots->taken[number - slots->first])
                return;
        slots->taken[number - slots->first] = false;
        slots->n_free++;
}

uint32_t slots_get_next(const Slots *slots) {
        return slots->first + slots->cursor;
}

void slots_set_next(Slots *slots, uint32_t number) {
        if (number >= slots->first && number - slots->first < slots->n)
                slots->cursor = number - slots->first;
}

uint32_t slots_n_free(const Slots *slots) {
        return slots->n_free;
}
