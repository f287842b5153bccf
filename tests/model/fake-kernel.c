/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-kernel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake-private.h"
#include "packet-view.h"
#include "util/cleanup.h"
#include "util/macro.h"

/* Handles are ordinary memory of the daemon, so that whoever looks for leaks of memory finds theirs. */
typedef struct FakeHandle {
        Kernel kernel;
        FakeKernel *fake;
} FakeHandle;

struct KernelProgs {
        FakeKernel *fake;
        unsigned set;
};

struct KernelLink {
        FakeKernel *fake;
        unsigned link;
};

static FakeKernel *fake_of(Kernel *k) {
        return ((FakeHandle *)(void *)k)->fake;
}

const char *fake_op_to_string(FakeOp op) {
        static const char *const names[_FAKE_OP_MAX] = { "progs_load", "link_create", "link_update",
                "link_query", "link_destroy", "links_find", "record_write", "record_read",
                "record_delete", "counter_read", "counter_clear", "stat_read", "flows_count",
                "denials_each", "flushed_read", "flushed_write", "dry_run", "set_load", "set_drop",
                "sets_each", "interfaces_write", "sockets_each", "progs_free", "link_free" };

        return op < _FAKE_OP_MAX ? names[op] : "any";
}

/* -- Moments and faults ---------------------------------------------------------------------------- */

static void fake_moment(FakeKernel *fake) {
        if (fake->kill_in == 0)
                _exit(FAKE_KILLED);
        if (fake->kill_in > 0)
                fake->kill_in--;
}

static int fake_begin(FakeKernel *fake, FakeOp op) {
        fake_moment(fake);
        fake->n_calls[op]++;
        if (fake->on_call)
                fake->on_call(fake->on_call_userdata, op);
        if (op == FAKE_PROGS_FREE || op == FAKE_LINK_FREE)
                return 0;
        if (fake->fail_in == 0 || (fake->fail_op != FAKE_OP_ANY && fake->fail_op != op))
                return 0;
        if (--fake->fail_in > 0)
                return 0;
        fake->failed = true;
        fake->failed_op = op;
        return -fake->fail_error;
}

static int fake_end(FakeKernel *fake, int r) {
        fake_moment(fake);
        return r;
}

/* After a change of what hooks carry. */
static int fake_changed(FakeKernel *fake, FakeOp op, unsigned hook) {
        fake_check(fake, op, hook);
        return fake_end(fake, 0);
}

void fake_kernel_fail(FakeKernel *fake, FakeOp op, unsigned n, int error) {
        fake->fail_op = op;
        fake->fail_in = n;
        fake->fail_error = error;
        fake->failed = false;
}

bool fake_kernel_has_failed(const FakeKernel *fake, FakeOp *ret_op) {
        if (fake->failed && ret_op)
                *ret_op = fake->failed_op;
        return fake->failed;
}

void fake_kernel_kill(FakeKernel *fake, int n) {
        fake->kill_in = n;
}

void fake_kernel_on_call(
        FakeKernel *fake, void (*callback)(void *userdata, FakeOp op), void *userdata) {
        fake->on_call = callback;
        fake->on_call_userdata = userdata;
}

unsigned fake_kernel_n_calls(const FakeKernel *fake, FakeOp op) {
        unsigned n = 0;

        for (unsigned i = 0; i < _FAKE_OP_MAX; i++)
                if (op == FAKE_OP_ANY || op == i)
                        n += fake->n_calls[i];
        return n;
}

void fake_kernel_reset_calls(FakeKernel *fake) {
        memset(fake->n_calls, 0, sizeof(fake->n_calls));
}

/* -- Programs -------------------------------------------------------------------------------------- */

const FakeSet *fake_find_set(const FakeKernel *fake, uint32_t prog_id) {
        for (unsigned i = 0; i < FAKE_SETS_MAX; i++) {
                const FakeSet *set = &fake->sets[i];

                if (set->used && prog_id >= set->first_id && prog_id - set->first_id < CGP_N_HOOKS)
                        return set;
        }
        return NULL;
}

PolicyImage fake_set_image(const FakeKernel *fake, const FakeSet *set) {
        assert(set);
        return (PolicyImage){
                .config = set->config,
                .verdicts = (struct cgp_verdict *)(uintptr_t)(fake->heap + set->verdicts),
                .tables = (uint8_t *)(uintptr_t)(fake->heap + set->tables),
                .hash = set->hash,
        };
}

static bool set_is_carried(const FakeKernel *fake, const FakeSet *set) {
        for (unsigned i = 0; i < FAKE_LINKS_MAX; i++)
                if (fake->links[i].used && fake_find_set(fake, fake->links[i].prog_id) == set)
                        return true;
        return false;
}

/* A program lives while somebody has it open or a hook carries it. */
static void collect_sets(FakeKernel *fake) {
        for (unsigned i = 0; i < FAKE_SETS_MAX; i++) {
                FakeSet *set = &fake->sets[i];

                if (set->used && set->n_handles == 0 && !set_is_carried(fake, set))
                        set->used = false;
        }
}

/* The caller knows that there is room. */
static size_t heap_put(FakeKernel *fake, const void *data, size_t size) {
        size_t offset = fake->heap_used;

        memcpy(fake->heap + offset, data, size);
        fake->heap_used += (size + 7U) & ~(size_t)7U;
        return offset;
}

static int fake_progs_load(
        Kernel *k, const PolicyImage *image, KernelFailure *reterr, KernelProgs **ret) {
        FakeKernel *fake = fake_of(k);
        KernelProgs *progs = NULL;
        FakeSet *set = NULL;
        int r;

        r = fake_begin(fake, FAKE_PROGS_LOAD);
        if (r < 0) {
                if (reterr)
                        *reterr = (KernelFailure){ .step = "load", .hook = CGP_HOOK_EGRESS };
                return r;
        }
        for (unsigned i = 0; i < FAKE_SETS_MAX && !set; i++)
                if (!fake->sets[i].used)
                        set = &fake->sets[i];
        if (!set ||
                image->config.table_size + 16 +
                                image->config.n_verdicts * sizeof(*image->verdicts) >
                        FAKE_HEAP_SIZE - fake->heap_used)
                return -ENOMEM;
        progs = malloc(sizeof(*progs));
        if (!progs)
                return -ENOMEM;
        *set = (FakeSet){
                .used = true,
                .n_handles = 1,
                .first_id = fake->next_prog_id,
                .config = image->config,
                .tables = heap_put(fake, image->tables, image->config.table_size),
                .verdicts = heap_put(
                        fake, image->verdicts, image->config.n_verdicts * sizeof(*image->verdicts)),
                .hash = image->hash,
        };
        fake->next_prog_id += CGP_N_HOOKS;
        *progs = (KernelProgs){ .fake = fake, .set = (unsigned)(set - fake->sets) };
        *ret = progs;
        return fake_end(fake, 0);
}

static KernelProgs *fake_progs_free(KernelProgs *progs) {
        FakeKernel *fake;

        if (!progs)
                return NULL;
        fake = progs->fake;
        (void)fake_begin(fake, FAKE_PROGS_FREE);
        assert(fake->sets[progs->set].n_handles > 0);
        fake->sets[progs->set].n_handles--;
        collect_sets(fake);
        free(progs);
        (void)fake_end(fake, 0);
        return NULL;
}

static uint32_t fake_progs_id(const KernelProgs *progs, unsigned hook) {
        return progs->fake->sets[progs->set].first_id + hook;
}

/* -- Links ----------------------------------------------------------------------------------------- */

const FakeLink *fake_find_link(const FakeKernel *fake, uint64_t cgroup_id, unsigned hook) {
        for (unsigned i = 0; i < FAKE_LINKS_MAX; i++)
                if (fake->links[i].used && fake->links[i].cgroup_id == cgroup_id &&
                        fake->links[i].hook == hook)
                        return &fake->links[i];
        return NULL;
}

bool fake_cgroup_is_there(const FakeKernel *fake, uint64_t cgroup_id) {
        _cleanup_closedir_ DIR *d = NULL;
        const struct dirent *de;
        int fd;

        for (unsigned i = 0; i < FAKE_WATCHES_MAX; i++)
                if (fake->lingering[i] == cgroup_id)
                        return true;
        fd = openat(fake->cgroup_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        d = fdopendir(fd);
        assert(d);
        while ((de = readdir(d))) {
                struct stat st;

                if (de->d_type == DT_DIR &&
                        fstatat(fake->cgroup_fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) >= 0 &&
                        st.st_ino == cgroup_id)
                        return true;
        }
        return false;
}

static int new_link_handle(FakeKernel *fake, unsigned i, KernelLink **ret) {
        KernelLink *handle = malloc(sizeof(*handle));

        if (!handle)
                return -ENOMEM;
        *handle = (KernelLink){ .fake = fake, .link = i };
        fake->n_link_handles++;
        *ret = handle;
        return 0;
}

static void free_link_handle(KernelLink *link) {
        assert(link->fake->n_link_handles > 0);
        link->fake->n_link_handles--;
        free(link);
}

static int fake_link_create(Kernel *k, const KernelProgs *progs, unsigned hook, int cgroup_fd,
        uint32_t subject, uint64_t cgroup_id, KernelLink **ret) {
        FakeKernel *fake = fake_of(k);
        FakeLink *free_link = NULL;
        struct stat st;
        int r;

        r = fake_begin(fake, FAKE_LINK_CREATE);
        if (r < 0)
                return r;
        if (fstat(cgroup_fd, &st) < 0)
                return -errno;
        if (st.st_ino != cgroup_id || hook >= CGP_N_HOOKS)
                return -EINVAL;
        for (unsigned i = 0; i < FAKE_LINKS_MAX; i++) {
                FakeLink *link = &fake->links[i];

                if (!link->used)
                        free_link = free_link ? free_link : link;
                else if (link->subject == subject && link->cgroup_id == cgroup_id &&
                        link->hook == hook)
                        return -EEXIST;
        }
        if (!free_link)
                return -ENOMEM;
        r = new_link_handle(fake, (unsigned)(free_link - fake->links), ret);
        if (r < 0)
                return r;
        *free_link = (FakeLink){ true, subject, cgroup_id, hook, fake_progs_id(progs, hook) };
        return fake_changed(fake, FAKE_LINK_CREATE, hook);
}

static int fake_link_update(Kernel *k, KernelLink *link, const KernelProgs *progs, unsigned hook) {
        FakeKernel *fake = fake_of(k);
        FakeLink *l = &fake->links[link->link];
        int r;

        r = fake_begin(fake, FAKE_LINK_UPDATE);
        if (r < 0)
                return r;
        if (!l->used || !fake_cgroup_is_there(fake, l->cgroup_id))
                return -ENOLINK;
        if (l->hook != hook)
                return -EINVAL;
        l->prog_id = fake_progs_id(progs, hook);
        collect_sets(fake);
        return fake_changed(fake, FAKE_LINK_UPDATE, hook);
}

static int fake_link_query(
        Kernel *k, KernelLink *link, uint32_t *ret_prog_id, uint64_t *ret_cgroup_id) {
        FakeKernel *fake = fake_of(k);
        const FakeLink *l = &fake->links[link->link];
        int r;

        r = fake_begin(fake, FAKE_LINK_QUERY);
        if (r < 0)
                return r;
        *ret_prog_id = l->prog_id;
        *ret_cgroup_id = l->used && fake_cgroup_is_there(fake, l->cgroup_id) ? l->cgroup_id : 0;
        return fake_end(fake, 0);
}

static int fake_link_destroy(Kernel *k, KernelLink *link) {
        FakeKernel *fake = fake_of(k);
        unsigned hook = fake->links[link->link].hook;
        int r;

        r = fake_begin(fake, FAKE_LINK_DESTROY);
        if (r < 0)
                return r;
        fake->links[link->link].used = false;
        collect_sets(fake);
        free_link_handle(link);
        return fake_changed(fake, FAKE_LINK_DESTROY, hook);
}

static KernelLink *fake_link_free(KernelLink *link) {
        FakeKernel *fake;

        if (!link)
                return NULL;
        fake = link->fake;
        (void)fake_begin(fake, FAKE_LINK_FREE);
        free_link_handle(link);
        (void)fake_end(fake, 0);
        return NULL;
}

static int fake_links_find(Kernel *k, KernelFoundCallback callback, void *userdata) {
        FakeKernel *fake = fake_of(k);
        int r;

        r = fake_begin(fake, FAKE_LINKS_FIND);
        if (r < 0)
                return r;
        for (unsigned i = 0; i < FAKE_LINKS_MAX; i++) {
                const FakeLink *l = &fake->links[i];
                KernelFound found = { l->subject, l->cgroup_id, l->hook, NULL };

                if (!l->used)
                        continue;
                r = new_link_handle(fake, i, &found.link);
                if (r >= 0)
                        r = callback(userdata, &found);
                if (r < 0)
                        return r;
        }
        return fake_end(fake, (int)fake->n_strangers);
}

/* -- Records and counters -------------------------------------------------------------------------- */

static struct cgp_record *find_record(FakeKernel *fake, uint64_t cgroup_id) {
        for (unsigned i = 0; i < FAKE_RECORDS_MAX; i++)
                if (fake->records[i].cgroup_id == cgroup_id)
                        return &fake->records[i];
        return NULL;
}

static int fake_record_write(Kernel *k, const struct cgp_record *record) {
        FakeKernel *fake = fake_of(k);
        struct cgp_record *place;
        int r;

        r = fake_begin(fake, FAKE_RECORD_WRITE);
        if (r < 0)
                return r;
        if (record->cgroup_id == 0)
                return -EINVAL;
        place = find_record(fake, record->cgroup_id);
        if (!place)
                place = find_record(fake, 0);
        if (!place)
                return -E2BIG;
        *place = *record;
        return fake_end(fake, 0);
}

static int fake_record_read(Kernel *k, uint64_t cgroup_id, struct cgp_record *ret) {
        FakeKernel *fake = fake_of(k);
        const struct cgp_record *record;
        int r;

        r = fake_begin(fake, FAKE_RECORD_READ);
        if (r < 0)
                return r;
        record = cgroup_id != 0 ? find_record(fake, cgroup_id) : NULL;
        if (!record)
                return fake_end(fake, -ENOENT);
        *ret = *record;
        return fake_end(fake, 0);
}

static int fake_record_delete(Kernel *k, uint64_t cgroup_id) {
        FakeKernel *fake = fake_of(k);
        struct cgp_record *record;
        int r;

        r = fake_begin(fake, FAKE_RECORD_DELETE);
        if (r < 0)
                return r;
        record = cgroup_id != 0 ? find_record(fake, cgroup_id) : NULL;
        if (record)
                *record = (struct cgp_record){ 0 };
        return fake_end(fake, 0);
}

static int fake_counter_read(Kernel *k, uint32_t slot, struct cgp_counter *ret) {
        FakeKernel *fake = fake_of(k);
        int r;

        r = fake_begin(fake, FAKE_COUNTER_READ);
        if (r < 0)
                return r;
        if (slot >= CGP_MAX_COUNTERS)
                return -ENOENT;
        *ret = fake->counters[slot];
        return fake_end(fake, 0);
}

static int fake_counter_clear(Kernel *k, uint32_t slot) {
        FakeKernel *fake = fake_of(k);
        int r;

        r = fake_begin(fake, FAKE_COUNTER_CLEAR);
        if (r < 0)
                return r;
        if (slot >= CGP_MAX_COUNTERS)
                return -ENOENT;
        fake->counters[slot] = (struct cgp_counter){ 0 };
        return fake_end(fake, 0);
}

static int fake_stat_read(Kernel *k, uint32_t stat, uint64_t *ret) {
        FakeKernel *fake = fake_of(k);
        int r;

        r = fake_begin(fake, FAKE_STAT_READ);
        if (r < 0)
                return r;
        if (stat >= CGP_N_STATS)
                return -ENOENT;
        *ret = fake->stats[stat];
        return fake_end(fake, 0);
}

/* Without packets nothing is ever remembered. */
static int fake_flows_count(Kernel *k, uint64_t *ret_entries, uint64_t *ret_max) {
        FakeKernel *fake = fake_of(k);
        int r;

        r = fake_begin(fake, FAKE_FLOWS_COUNT);
        if (r < 0)
                return r;
        *ret_entries = 0;
        *ret_max = 65536;
        return fake_end(fake, 0);
}

/* -- Denials --------------------------------------------------------------------------------------- */

static FakeDenial *find_denial(FakeKernel *fake, const struct cgp_denial_key *key) {
        for (unsigned i = 0; i < FAKE_DENIALS_MAX; i++)
                if (fake->denials[i].used && memcmp(&fake->denials[i].key, key, sizeof(*key)) == 0)
                        return &fake->denials[i];
        return NULL;
}

static int fake_denials_each(Kernel *k, KernelDenialCallback callback, void *userdata) {
        FakeKernel *fake = fake_of(k);
        int r;

        r = fake_begin(fake, FAKE_DENIALS_EACH);
        for (unsigned i = 0; r >= 0 && i < FAKE_DENIALS_MAX; i++)
                if (fake->denials[i].used)
                        r = callback(userdata, &fake->denials[i].key, &fake->denials[i].denial);
        return r < 0 ? r : fake_end(fake, 0);
}

static int fake_flushed_read(Kernel *k, const struct cgp_denial_key *key, struct cgp_flushed *ret) {
        FakeKernel *fake = fake_of(k);
        const FakeDenial *denial;
        int r;

        r = fake_begin(fake, FAKE_FLUSHED_READ);
        if (r < 0)
                return r;
        denial = find_denial(fake, key);
        if (!denial || !denial->is_flushed)
                return fake_end(fake, -ENOENT);
        *ret = denial->flushed;
        return fake_end(fake, 0);
}

static int fake_flushed_write(
        Kernel *k, const struct cgp_denial_key *key, const struct cgp_flushed *flushed) {
        FakeKernel *fake = fake_of(k);
        FakeDenial *denial;
        int r;

        r = fake_begin(fake, FAKE_FLUSHED_WRITE);
        if (r < 0)
                return r;
        denial = find_denial(fake, key);
        if (!denial)
                return -ENOENT;
        denial->flushed = *flushed;
        denial->is_flushed = true;
        return fake_end(fake, 0);
}

/* -- Dry run --------------------------------------------------------------------------------------- */

static int fake_dry_run(Kernel *k, KernelLink *link, KernelDryRun *run) {
        FakeKernel *fake = fake_of(k);
        const FakeLink *l = &fake->links[link->link];
        bool out = l->hook == CGP_HOOK_EGRESS;
        struct cgp_verdict verdict;
        PolicyImage image;
        PolicyFlow flow;
        PacketView view;
        int r;

        r = fake_begin(fake, FAKE_DRY_RUN);
        if (r < 0)
                return r;
        if (!out && l->hook != CGP_HOOK_INGRESS)
                return -EINVAL;
        image = fake_set_image(fake, fake_find_set(fake, l->prog_id));
        r = packet_view(run->packet, run->size, &view);
        if (r < 0)
                verdict = out ? image.config.unparsable_out : image.config.unparsable_in;
        else {
                flow = (PolicyFlow){
                        .direction = out ? CGP_DIR_OUT : CGP_DIR_IN,
                        .protocol = view.protocol,
                        .remote_port = out ? view.destination_port : view.source_port,
                        .local_port = out ? view.source_port : view.destination_port,
                        .local_is_multicast = !out && packet_address_is_multicast(view.destination),
                        .local_is_broadcast = !out && run->broadcast,
                };
                memcpy(flow.remote, out ? view.destination : view.source, sizeof(flow.remote));
                verdict = fake_judge(
                        fake, &image, l->hook, &flow, run->host_netns ? run->ifindex : 0);
        }
        run->rule = verdict.rule;
        run->action = verdict.action;
        run->passes = fake_mode_passes(&image, &verdict);
        return fake_end(fake, 0);
}

/* -- Lists, interfaces, sockets ------------------------------------------------------------------------ */

static int fake_set_load(Kernel *k, const PolicySet *set, uint32_t *ret_slot) {
        FakeKernel *fake = fake_of(k);
        size_t size = set->n_pages * CGP_SET_PAGE_SIZE;
        FakeLists *free_slot = NULL;
        int r;

        r = fake_begin(fake, FAKE_SET_LOAD);
        if (r < 0)
                return r;
        for (unsigned i = 0; i < CGP_MAX_SET_SLOTS; i++) {
                if (fake->lists[i].used && fake->lists[i].hash == set->hash) {
                        *ret_slot = i;
                        return fake_end(fake, 0);
                }
                if (!fake->lists[i].used && !free_slot)
                        free_slot = &fake->lists[i];
        }
        if (!free_slot)
                return -ENOSPC;
        if (size + 8 > FAKE_HEAP_SIZE - fake->heap_used)
                return -ENOMEM;
        *free_slot = (FakeLists){
                .used = true,
                .hash = set->hash,
                .pages = heap_put(fake, set->pages, size),
                .n_pages = set->n_pages,
        };
        *ret_slot = (uint32_t)(free_slot - fake->lists);
        return fake_end(fake, 0);
}

/* Whoever names the slot now is blind: nobody may. */
static int fake_set_drop(Kernel *k, uint32_t slot) {
        FakeKernel *fake = fake_of(k);
        int r;

        r = fake_begin(fake, FAKE_SET_DROP);
        if (r < 0)
                return r;
        if (slot >= CGP_MAX_SET_SLOTS)
                return -EINVAL;
        for (unsigned i = 0; i < FAKE_LINKS_MAX; i++) {
                const FakeSet *set;

                if (!fake->links[i].used)
                        continue;
                set = fake_find_set(fake, fake->links[i].prog_id);
                if ((set->config.features & CGP_FEATURE_SETS) && set->config.set_slot == slot)
                        fake_violate(fake,
                                "set_drop of slot %u, which hook %u of cgroup %llu names", slot,
                                fake->links[i].hook, (unsigned long long)fake->links[i].cgroup_id);
        }
        fake->lists[slot] = (FakeLists){ 0 };
        return fake_end(fake, 0);
}

static int fake_sets_each(
        Kernel *k, int (*callback)(void *userdata, uint32_t slot, uint64_t hash), void *userdata) {
        FakeKernel *fake = fake_of(k);
        int r;

        r = fake_begin(fake, FAKE_SETS_EACH);
        for (unsigned i = 0; r >= 0 && i < CGP_MAX_SET_SLOTS; i++)
                if (fake->lists[i].used)
                        r = callback(userdata, i, fake->lists[i].hash);
        return r < 0 ? r : fake_end(fake, 0);
}

/* One entry at a time, as a map is written: at every moment what passes must be what may. */
static int fake_interfaces_write(Kernel *k, const KernelInterface *interfaces, size_t n) {
        FakeKernel *fake = fake_of(k);
        int r;

        r = fake_begin(fake, FAKE_INTERFACES_WRITE);
        if (r < 0)
                return r;
        if (n > FAKE_INTERFACES_MAX)
                return -E2BIG;
        for (size_t i = 0; i < n; i++) {
                size_t k_entry = 0;

                while (k_entry < fake->n_interfaces &&
                        fake->interfaces[k_entry].ifindex != interfaces[i].ifindex)
                        k_entry++;
                if (k_entry == FAKE_INTERFACES_MAX)
                        return -E2BIG;
                fake->interfaces[k_entry] = interfaces[i];
                fake->n_interfaces = MAX(fake->n_interfaces, k_entry + 1);
                fake_check(fake, FAKE_INTERFACES_WRITE, CGP_N_HOOKS);
        }
        memcpy(fake->interfaces, interfaces, n * sizeof(*interfaces));
        fake->n_interfaces = n;
        return fake_changed(fake, FAKE_INTERFACES_WRITE, CGP_N_HOOKS);
}

static int fake_sockets_each(
        Kernel *k, int cgroup_fd, KernelSocketCallback callback, void *userdata) {
        FakeKernel *fake = fake_of(k);
        struct stat st;
        int r;

        r = fake_begin(fake, FAKE_SOCKETS_EACH);
        if (r >= 0 && fstat(cgroup_fd, &st) < 0)
                r = -errno;
        for (unsigned i = 0; r >= 0 && i < FAKE_SOCKETS_MAX; i++)
                if (fake->sockets[i].cgroup_id == st.st_ino)
                        r = callback(userdata, &fake->sockets[i]);
        return r < 0 ? r : fake_end(fake, 0);
}

static const KernelOps fake_ops = {
        .progs_load = fake_progs_load,
        .progs_free = fake_progs_free,
        .progs_id = fake_progs_id,
        .link_create = fake_link_create,
        .link_update = fake_link_update,
        .link_query = fake_link_query,
        .link_destroy = fake_link_destroy,
        .link_free = fake_link_free,
        .links_find = fake_links_find,
        .record_write = fake_record_write,
        .record_read = fake_record_read,
        .record_delete = fake_record_delete,
        .counter_read = fake_counter_read,
        .counter_clear = fake_counter_clear,
        .stat_read = fake_stat_read,
        .flows_count = fake_flows_count,
        .denials_each = fake_denials_each,
        .flushed_read = fake_flushed_read,
        .flushed_write = fake_flushed_write,
        .set_load = fake_set_load,
        .set_drop = fake_set_drop,
        .sets_each = fake_sets_each,
        .interfaces_write = fake_interfaces_write,
        .sockets_each = fake_sockets_each,
        .dry_run = fake_dry_run,
};

/* -- The kernel as a whole ------------------------------------------------------------------------- */

int fake_kernel_new(int cgroup_fd, FakeKernel **ret) {
        FakeKernel *fake;

        fake = mmap(NULL, sizeof(*fake) + FAKE_HEAP_SIZE, PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (fake == MAP_FAILED)
                return -errno;
        fake->cgroup_fd = cgroup_fd;
        fake->next_prog_id = 100;
        fake->kill_in = -1;
        *ret = fake;
        return 0;
}

FakeKernel *fake_kernel_free(FakeKernel *fake) {
        if (fake)
                (void)munmap(fake, sizeof(*fake) + FAKE_HEAP_SIZE);
        return NULL;
}

Kernel *fake_kernel_open(FakeKernel *fake) {
        FakeHandle *handle = malloc(sizeof(*handle));

        if (!handle)
                return NULL;
        *handle = (FakeHandle){ .kernel = { .ops = &fake_ops }, .fake = fake };
        return &handle->kernel;
}

void fake_kernel_close(Kernel *kernel) {
        free(kernel);
}

unsigned fake_kernel_n_handles(const FakeKernel *fake) {
        unsigned n = fake->n_link_handles;

        for (unsigned i = 0; i < FAKE_SETS_MAX; i++)
                if (fake->sets[i].used)
                        n += fake->sets[i].n_handles;
        return n;
}

void fake_kernel_forget_handles(FakeKernel *fake) {
        for (unsigned i = 0; i < FAKE_SETS_MAX; i++)
                fake->sets[i].n_handles = 0;
        fake->n_link_handles = 0;
        collect_sets(fake);
}

uint64_t fake_kernel_hook_hash(const FakeKernel *fake, uint64_t cgroup_id, unsigned hook) {
        const FakeLink *link = fake_find_link(fake, cgroup_id, hook);

        return link ? fake_find_set(fake, link->prog_id)->hash : 0;
}

uint32_t fake_kernel_hook_program(const FakeKernel *fake, uint64_t cgroup_id, unsigned hook) {
        const FakeLink *link = fake_find_link(fake, cgroup_id, hook);

        return link ? link->prog_id : 0;
}

unsigned fake_kernel_n_links(const FakeKernel *fake) {
        unsigned n = 0;

        for (unsigned i = 0; i < FAKE_LINKS_MAX; i++)
                n += fake->links[i].used;
        return n;
}

unsigned fake_kernel_n_records(const FakeKernel *fake) {
        unsigned n = 0;

        for (unsigned i = 0; i < FAKE_RECORDS_MAX; i++)
                n += fake->records[i].cgroup_id != 0;
        return n;
}

unsigned fake_kernel_n_images(const FakeKernel *fake) {
        unsigned n = 0;

        for (unsigned i = 0; i < FAKE_SETS_MAX; i++)
                n += fake->sets[i].used;
        return n;
}

void fake_kernel_count(FakeKernel *fake, uint32_t slot, const struct cgp_counter *add) {
        struct cgp_counter *counter = &fake->counters[slot];

        assert(slot > 0 && slot < CGP_MAX_COUNTERS);
        counter->packets += add->packets;
        counter->bytes += add->bytes;
        counter->blocked += add->blocked;
        counter->would += add->would;
}

void fake_kernel_linger(FakeKernel *fake, uint64_t cgroup_id) {
        for (unsigned i = 0; i < FAKE_WATCHES_MAX; i++) {
                if (fake->lingering[i] == cgroup_id) {
                        fake->lingering[i] = 0;
                        return;
                }
        }
        for (unsigned i = 0; i < FAKE_WATCHES_MAX; i++) {
                if (fake->lingering[i] == 0) {
                        fake->lingering[i] = cgroup_id;
                        return;
                }
        }
}

void fake_kernel_tear_off(FakeKernel *fake, uint64_t cgroup_id, unsigned hook) {
        const FakeLink *link = fake_find_link(fake, cgroup_id, hook);

        assert(link);
        fake->links[link - fake->links].used = false;
        collect_sets(fake);
}

void fake_kernel_tamper(FakeKernel *fake, uint64_t cgroup_id, unsigned hook) {
        const FakeLink *link = fake_find_link(fake, cgroup_id, hook);
        const FakeSet *set;

        assert(link);
        set = fake_find_set(fake, link->prog_id);
        for (unsigned i = 0; i < set->config.n_verdicts; i++) {
                struct cgp_verdict verdict;
                uint8_t *p = fake->heap + set->verdicts + i * sizeof(verdict);

                memcpy(&verdict, p, sizeof(verdict));
                verdict.action =
                        verdict.action == CGP_ACTION_ALLOW ? CGP_ACTION_DENY : CGP_ACTION_ALLOW;
                memcpy(p, &verdict, sizeof(verdict));
        }
}

unsigned fake_kernel_n_lists(const FakeKernel *fake) {
        unsigned n = 0;

        for (unsigned i = 0; i < CGP_MAX_SET_SLOTS; i++)
                n += fake->lists[i].used;
        return n;
}

uint64_t fake_kernel_lists_hash(const FakeKernel *fake, uint32_t slot) {
        return slot < CGP_MAX_SET_SLOTS && fake->lists[slot].used ? fake->lists[slot].hash : 0;
}

int fake_kernel_interface_id(const FakeKernel *fake, uint32_t ifindex, uint32_t version) {
        for (size_t i = 0; i < fake->n_interfaces; i++)
                for (unsigned k = 0; k < 2; k++)
                        if (fake->interfaces[i].ifindex == ifindex &&
                                fake->interfaces[i].interface.version[k] == version)
                                return (int)fake->interfaces[i].interface.id[k];
        return -1;
}

void fake_kernel_add_socket(FakeKernel *fake, const KernelSocket *socket) {
        for (unsigned i = 0; i < FAKE_SOCKETS_MAX; i++)
                if (fake->sockets[i].cgroup_id == 0) {
                        fake->sockets[i] = *socket;
                        return;
                }
        assert(!"no room for a socket");
}

void fake_kernel_set_strangers(FakeKernel *fake, unsigned n) {
        fake->n_strangers = n;
}
