/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a set of a million networks costs: to read, to build, to put into the kernel, and to ask, there over a
 * program that does everything else. Needs root. Usage: set-bench OBJECT [NETWORKS]
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "policy/set.h"
#include "util/macro.h"

#define N_KEYS (1U << 20)
#define N_WARM 8U /* the same few */
#define N_RUNS N_KEYS
#define ROUNDS 9

typedef struct Key {
        uint64_t hi;
        uint64_t lo;
} Key;

/* The program's struct control. */
typedef struct Control {
        uint64_t mask;
        uint64_t hash;
        uint64_t next;
        uint64_t sum;
        uint64_t broken;
} Control;

typedef struct Bench {
        struct bpf_object *object;
        int fd_empty;
        int fd_lookup;
        int fd_sets;
        Key *keys;        /* mapped */
        Control *control; /* mapped */
} Bench;

static void bench_done(Bench *b) {
        bpf_object__close(b->object);
}

/* What a list is made of. */
typedef struct Kind {
        const char *name;
        bool is_v4;
        unsigned bits_min;
        unsigned bits_max;
} Kind;

static const Kind kinds[] = {
        { "IPv4 /8-/32", true, 8, 32 },
        { "IPv4 /32", true, 32, 32 },
        { "IPv6 /29-/64", false, 29, 64 },
        { "IPv6 /128", false, 128, 128 },
};

static uint64_t random_state = 88172645463325252ULL;

static uint64_t random_word(void) {
        random_state ^= random_state << 13;
        random_state ^= random_state >> 7;
        random_state ^= random_state << 17;
        return random_state * 0x2545f4914f6cdd1dULL;
}

static double now(void) {
        struct timespec t;

        if (clock_gettime(CLOCK_MONOTONIC, &t) < 0)
                return 0;
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static Key random_key(const Kind *kind) {
        if (kind->is_v4)
                return (Key){ 0, 0xffff00000000ULL | random_word() >> 32 };
        return (Key){ 1ULL << 61 | random_word() >> 3, random_word() };
}

/* Sets what lies behind the first n of the 64 bits to zero. */
static uint64_t cut(uint64_t word, unsigned n) {
        return n == 0 ? 0 : word & UINT64_MAX << (64 - MIN(n, 64U));
}

static size_t print_network(const Kind *kind, char *buf, size_t size) {
        unsigned bits =
                kind->bits_min + (unsigned)(random_word() % (kind->bits_max - kind->bits_min + 1));
        Key key = random_key(kind);
        int n;

        if (kind->is_v4) {
                uint32_t a = (uint32_t)(cut(key.lo << 32, bits) >> 32);

                n = snprintf(buf, size, "%u.%u.%u.%u/%u\n", a >> 24, a >> 16 & 255, a >> 8 & 255,
                        a & 255, bits);
        } else {
                uint64_t hi = cut(key.hi, bits), lo = cut(key.lo, bits > 64 ? bits - 64 : 0);

                n = snprintf(buf, size, "%x:%x:%x:%x:%x:%x:%x:%x/%u\n", (unsigned)(hi >> 48),
                        (unsigned)(hi >> 32 & 0xffff), (unsigned)(hi >> 16 & 0xffff),
                        (unsigned)(hi & 0xffff), (unsigned)(lo >> 48),
                        (unsigned)(lo >> 32 & 0xffff), (unsigned)(lo >> 16 & 0xffff),
                        (unsigned)(lo & 0xffff), bits);
        }
        return n > 0 && (size_t)n < size ? (size_t)n : 0;
}

static int make_list(const Kind *kind, size_t n, PolicyList **ret) {
        _cleanup_free_ char *text = NULL;
        size_t size = n * 48, used = 0;

        text = malloc(size + 1);
        if (!text)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                used += print_network(kind, text + used, size + 1 - used);
        return policy_list_parse("bench", "generated", text, used, NULL, ret);
}

static int compare_doubles(const void *a, const void *b) {
        const double *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

static int run_once(int fd, double *ret_nsec) {
        uint8_t packet[64] = { [12] = 0x08, [14] = 0x45 };
        LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = sizeof(packet),
                .repeat = N_RUNS);
        int r;

        r = bpf_prog_test_run_opts(fd, &opts);
        if (r < 0)
                return r;
        *ret_nsec = opts.duration;
        return 0;
}

/* The median of what the look-up costs beside the rest, the programs taking turns. */
static int measure(Bench *b, uint64_t n_keys, double *ret_nsec) {
        double costs[ROUNDS];

        b->control->mask = n_keys - 1;
        for (unsigned i = 0; i < ROUNDS; i++) {
                double empty = 0, lookup = 0;
                int r;

                r = run_once(b->fd_empty, &empty);
                if (r >= 0)
                        r = run_once(b->fd_lookup, &lookup);
                if (r < 0)
                        return r;
                costs[i] = lookup - empty;
        }
        qsort(costs, ROUNDS, sizeof(costs[0]), compare_doubles);
        *ret_nsec = costs[ROUNDS / 2];
        return 0;
}

/* Does the kernel say of every key what the library says? */
static int verify(Bench *b, const PolicySet *set) {
        uint64_t sum = 0;
        double nsec;
        int r;

        for (size_t i = 0; i < N_KEYS; i++) {
                uint8_t address[16];

                for (unsigned k = 0; k < 8; k++) {
                        address[k] = (uint8_t)(b->keys[i].hi >> (56 - 8 * k));
                        address[8 + k] = (uint8_t)(b->keys[i].lo >> (56 - 8 * k));
                }
                sum += policy_set_lookup(set, address);
        }
        b->control->mask = N_KEYS - 1;
        b->control->next = b->control->sum = b->control->broken = 0;
        r = run_once(b->fd_lookup, &nsec);
        if (r < 0)
                return r;
        return b->control->broken == 0 && b->control->sum == sum ? 0 : -EBADMSG;
}

static long map_memory(int fd) {
        char path[64], line[128];
        _cleanup_fclose_ FILE *f = NULL;
        long bytes = -1;

        (void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
        f = fopen(path, "re");
        while (f && fgets(line, sizeof(line), f))
                if (sscanf(line, "memlock: %ld", &bytes) == 1)
                        break;
        return bytes;
}

/* Makes a map of the set and puts it in its place. */
static int publish(Bench *b, const PolicySet *set, int *ret_fd) {
        LIBBPF_OPTS(bpf_map_create_opts, create, .map_flags = BPF_F_INNER_MAP);
        LIBBPF_OPTS(bpf_map_batch_opts, batch);
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ uint32_t *numbers = NULL;
        uint32_t n = (uint32_t)set->n_pages, slot = 0;
        int r;

        numbers = malloc(n * sizeof(*numbers));
        if (!numbers)
                return -ENOMEM;
        for (uint32_t i = 0; i < n; i++)
                numbers[i] = i;
        fd = bpf_map_create(
                BPF_MAP_TYPE_ARRAY, "bench_set", sizeof(uint32_t), CGP_SET_PAGE_SIZE, n, &create);
        if (fd < 0)
                return fd;
        r = bpf_map_update_batch(fd, numbers, set->pages, &n, &batch);
        if (r < 0)
                return r;
        r = bpf_map_update_elem(b->fd_sets, &slot, &fd, BPF_ANY);
        if (r < 0)
                return r;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static int bench_kind(Bench *b, const Kind *kind, size_t n) {
        _cleanup_(policy_list_unrefp) PolicyList *list = NULL;
        _cleanup_(policy_set_unrefp) PolicySet *set = NULL;
        _cleanup_close_ int fd = -EBADF;
        double start, parsed, built, published, warm, cold;
        const char *limit = "";
        int r;

        start = now();
        r = make_list(kind, n, &list);
        if (r < 0)
                return r;
        parsed = now();
        r = policy_set_build(&list, 1, &limit, &set);
        if (r < 0) {
                fprintf(stderr, "%s: %s %s\n", kind->name, strerror(-r), limit);
                return r;
        }
        built = now();
        r = publish(b, set, &fd);
        if (r < 0)
                return r;
        published = now();

        b->control->hash = set->hash;
        for (size_t i = 0; i < N_KEYS; i++)
                b->keys[i] = random_key(kind);
        r = verify(b, set);
        if (r >= 0)
                r = measure(b, N_WARM, &warm);
        if (r >= 0)
                r = measure(b, N_KEYS, &cold);
        if (r < 0)
                return r;
        printf("%-13s %8zu  make and parse %5.0f  build %4.0f  publish %4.0f ms  %5.1f MiB  "
               "warm %+4.0f  random %+4.0f ns\n",
                kind->name, n, (parsed - start) * 1e3, (built - parsed) * 1e3,
                (published - built) * 1e3, (double)map_memory(fd) / (1 << 20), warm, cold);
        return 0;
}

static int bench_init(Bench *b, const char *path) {
        struct bpf_program *program;
        int r;

        b->object = bpf_object__open_file(path, NULL);
        if (!b->object)
                return -errno;
        r = bpf_object__load(b->object);
        if (r < 0)
                return r;
        b->fd_empty = b->fd_lookup = -EBADF;
        bpf_object__for_each_program(program, b->object) {
                struct bpf_prog_info info = {};
                uint32_t info_size = sizeof(info);
                int fd = bpf_program__fd(program);

                if (streq(bpf_program__name(program), "run_empty"))
                        b->fd_empty = fd;
                else
                        b->fd_lookup = fd;
                r = bpf_obj_get_info_by_fd(fd, &info, &info_size);
                if (r < 0)
                        return r;
                printf("%-10s %5u instructions verified\n", bpf_program__name(program),
                        info.verified_insns);
        }
        b->fd_sets = bpf_object__find_map_fd_by_name(b->object, "sets");
        b->keys = mmap(NULL, N_KEYS * sizeof(Key), PROT_READ | PROT_WRITE, MAP_SHARED,
                bpf_object__find_map_fd_by_name(b->object, "keys"), 0);
        if (b->keys == MAP_FAILED)
                return -errno;
        b->control = mmap(NULL, sizeof(*b->control), PROT_READ | PROT_WRITE, MAP_SHARED,
                bpf_map__fd(bpf_object__find_map_by_name(b->object, ".bss")), 0);
        if (b->control == MAP_FAILED)
                return -errno;
        return 0;
}

int main(int argc, char *argv[]) {
        _cleanup_(bench_done) Bench b = {};
        size_t n = 1000000;
        int r;

        if (argc < 2 || argc > 3) {
                fprintf(stderr, "Usage: %s OBJECT [NETWORKS]\n", argv[0]);
                return EXIT_FAILURE;
        }
        if (argc > 2)
                n = strtoul(argv[2], NULL, 10);
        r = bench_init(&b, argv[1]);
        for (size_t i = 0; i < ELEMENTSOF(kinds) && r >= 0; i++)
                r = bench_kind(&b, &kinds[i], n);
        if (r < 0) {
                fprintf(stderr, "%s: %s\n", argv[0], strerror(-r));
                return EXIT_FAILURE;
        }
        return EXIT_SUCCESS;
}
