/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernel/instance.h"

#include <assert.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/loader.h"
#include "util/macro.h"

static_assert(sizeof(struct cgp_config) <= CGP_SMALL_IMAGE_SIZE, "a configuration fits everywhere");

/* Programs can only read it: whatever is wrong with them, they cannot change their policy. */
static int make_map(const char *name, uint32_t size, uint32_t flags, int *ret_fd) {
        LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_RDONLY_PROG | flags);
        int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, name, sizeof(uint32_t), size, 1, &opts);

        if (fd < 0)
                return kernel_errno(fd);
        *ret_fd = fd;
        return 0;
}

static int write_map(int fd, const void *value) {
        uint32_t zero = 0;

        return bpf_map_update_elem(fd, &zero, value, BPF_ANY) < 0 ? kernel_errno(-errno) : 0;
}

/* The kernel reads as many bytes as the map's value has, so what is shorter is copied. */
static int write_padded(int fd, uint32_t size, const void *first, size_t first_size,
        const void *second, size_t second_size, size_t second_offset) {
        _cleanup_free_ uint8_t *value = NULL;

        assert(first_size <= size);
        assert(second_offset <= size && second_size <= size - second_offset);
        assert(second_size == 0 || second_offset >= first_size);

        value = calloc(1, size);
        if (!value)
                return -ENOMEM;
        if (first_size > 0)
                memcpy(value, first, first_size);
        if (second_size > 0)
                memcpy(value + second_offset, second, second_size);
        return write_map(fd, value);
}

Instance *instance_free(Instance *instance) {
        if (!instance)
                return NULL;
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                (void)close_keep_errno(instance->prog_fds[hook]);
        (void)close_keep_errno(instance->image_fd);
        (void)close_keep_errno(instance->tables_fd);
        free(instance);
        return NULL;
}

int instance_new(uint32_t image_size, uint32_t table_size, int tables_fd, Instance **ret) {
        _cleanup_(instance_freep) Instance *instance = NULL;
        int r;

        assert(image_size >= CGP_SMALL_IMAGE_SIZE);
        assert(table_size >= CGP_SMALL_TABLE_SIZE);
        assert(ret);

        instance = malloc(sizeof(*instance));
        if (!instance)
                return -ENOMEM;
        *instance = (Instance){
                .image_fd = -EBADF,
                .tables_fd = -EBADF,
                .image_size = image_size,
                .table_size = table_size,
        };
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                instance->prog_fds[hook] = -EBADF;
        r = make_map("cgp_image", image_size, 0, &instance->image_fd);
        if (r == 0 && tables_fd < 0)
                r = make_map("cgp_tables", table_size, 0, &instance->tables_fd);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(instance);
        return 0;
}

int instance_check_image(const PolicyImage *image) {
        const struct cgp_config *c = &image->config;
        uint64_t nodes_end = (uint64_t)c->n_nodes * 256 * sizeof(__u16);
        uint64_t paths_end = c->paths + (uint64_t)c->n_paths * sizeof(struct cgp_path);
        uint64_t cells_end = c->cells + (uint64_t)c->n_cells * sizeof(__u16);

        if (c->abi_version != CGP_ABI_VERSION || c->subject >= CGP_MAX_SUBJECTS)
                return -EINVAL;
        if (c->n_verdicts > CGP_MAX_VERDICTS || c->n_nodes > CGP_MAX_NODES ||
                c->n_paths > CGP_MAX_PATHS || c->n_cells > CGP_MAX_CELLS ||
                c->table_size > CGP_MAX_TABLE_SIZE || c->n_places > CGP_MAX_PLACES)
                return -EINVAL;
        if (c->verdicts < sizeof(*c) || c->verdicts % 8 != 0 || c->verdicts > CGP_SMALL_IMAGE_SIZE)
                return -EINVAL;
        if (nodes_end > c->table_size || paths_end > c->table_size || cells_end > c->table_size ||
                c->paths % 8 != 0 || c->cells % 8 != 0)
                return -EINVAL;
        if (c->n_places > 1 && !(c->features & CGP_FEATURE_PLACE))
                return -EINVAL;
        for (unsigned view = 0; view < CGP_N_VIEWS; view++)
                if (c->view[view].n_set_classes > 1 && !(c->features & CGP_FEATURE_SETS))
                        return -EINVAL;
        return 0;
}

uint32_t instance_image_size(const PolicyImage *image) {
        uint32_t size = image->config.verdicts +
                image->config.n_verdicts * (uint32_t)sizeof(struct cgp_verdict);

        return MAX(size, CGP_SMALL_IMAGE_SIZE);
}

uint32_t instance_table_size(const PolicyImage *image) {
        return MAX(image->config.table_size, CGP_SMALL_TABLE_SIZE);
}

int instance_fill(Instance *instance, const PolicyImage *image) {
        const struct cgp_config *c = &image->config;
        int r;

        assert(instance_check_image(image) == 0);
        assert(instance_image_size(image) <= instance->image_size);
        assert(instance_table_size(image) <= instance->table_size);

        if (c->features & CGP_INSTANCE_FEATURES & ~instance->can)
                return -EINVAL;
        if (instance->tables_fd >= 0) {
                r = write_padded(instance->tables_fd, instance->table_size, image->tables,
                        c->table_size, NULL, 0, 0);
                if (r < 0)
                        return r;
        }
        return write_padded(instance->image_fd, instance->image_size, c, sizeof(*c),
                image->verdicts, c->n_verdicts * sizeof(*image->verdicts), c->verdicts);
}

int instance_clear(Instance *instance) {
        int r;

        r = write_padded(instance->image_fd, instance->image_size, NULL, 0, NULL, 0, 0);
        if (r == 0 && instance->tables_fd >= 0)
                r = write_padded(instance->tables_fd, instance->table_size, NULL, 0, NULL, 0, 0);
        return r;
}

int instance_make_tables(const PolicyImage *image, int *ret_fd) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        assert(instance_check_image(image) == 0);

        /* Mapped when it is compared with the tables of another image. */
        r = make_map("cgp_tables", instance_table_size(image), BPF_F_MMAPABLE, &fd);
        if (r < 0)
                return r;
        if (image->config.table_size < CGP_SMALL_TABLE_SIZE)
                r = write_padded(fd, CGP_SMALL_TABLE_SIZE, image->tables, image->config.table_size,
                        NULL, 0, 0);
        else
                r = write_map(fd, image->tables);
        if (r < 0)
                return r;
        if (bpf_map_freeze(fd) < 0)
                return kernel_errno(-errno);
        *ret_fd = TAKE_FD(fd);
        return 0;
}
