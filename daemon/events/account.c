/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What was told of each cause. The kernel forgets causes too, and begins a new epoch when one comes back;
 * records of both epochs may reach us in the wrong order, because each CPU has its own buffer. So the epoch
 * before the current one is remembered beside it.
 */
#include "events/cause-table.h"
#include "events/event.h"
#include "util/macro.h"

#define LIST_BY_USE 0 /* least recently used first */

typedef struct AccountEpoch {
        uint64_t epoch;
        uint64_t told;
} AccountEpoch;

typedef struct AccountCause {
        AccountEpoch current;
        AccountEpoch before; /* all zero: there was none */
} AccountCause;

struct EventAccount {
        CauseTable table;
        AccountCause *causes;
};

int event_account_new(size_t n_max, EventAccount **ret) {
        _cleanup_(event_account_freep) EventAccount *account = NULL;
        int r;

        assert(ret);

        account = calloc(1, sizeof(*account));
        if (!account)
                return -ENOMEM;
        r = cause_table_init(&account->table, n_max);
        if (r < 0)
                return r;
        account->causes = calloc(n_max, sizeof(*account->causes));
        if (!account->causes)
                return -ENOMEM;

        *ret = TAKE_PTR(account);
        return 0;
}

EventAccount *event_account_free(EventAccount *account) {
        if (!account)
                return NULL;
        cause_table_done(&account->table);
        free(account->causes);
        free(account);
        return NULL;
}

static AccountCause *event_account_get(
        EventAccount *account, const struct cgp_denial_key *key, bool *ret_known) {
        CauseTable *t = &account->table;
        uint32_t i = cause_table_find(t, key);

        *ret_known = i != CAUSE_NONE;
        if (*ret_known) {
                cause_table_move_last(t, i, LIST_BY_USE);
                return &account->causes[i];
        }

        i = cause_table_insert(t, key, LIST_BY_USE);
        if (i == CAUSE_NONE) {
                cause_table_remove(t, cause_table_first(t, LIST_BY_USE));
                i = cause_table_insert(t, key, LIST_BY_USE);
        }
        account->causes[i] = (AccountCause){ 0 };
        return &account->causes[i];
}

uint64_t event_account_add(EventAccount *account, const struct cgp_denial_key *key, uint64_t epoch,
        uint64_t total, uint64_t known_total) {
        AccountCause *cause;
        AccountEpoch *told;
        uint64_t n_new;
        bool known;

        assert(account);
        assert(key);

        cause = event_account_get(account, key, &known);
        if (!known)
                cause->current = (AccountEpoch){ .epoch = epoch, .told = known_total };
        else if (epoch > cause->current.epoch) {
                cause->before = cause->current;
                cause->current = (AccountEpoch){ .epoch = epoch, .told = known_total };
        } else if (epoch < cause->current.epoch && epoch > cause->before.epoch)
                cause->before = (AccountEpoch){ .epoch = epoch, .told = known_total };

        if (epoch == cause->current.epoch)
                told = &cause->current;
        else if (epoch == cause->before.epoch)
                told = &cause->before;
        else
                /* Older than both: nothing is known, so that telling it twice is the only risk left. */
                return total > known_total ? total - known_total : 0;

        n_new = total > told->told ? total - told->told : 0;
        told->told += n_new;
        return n_new;
}
