/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/loader.h"

static void run_nft(const char *arguments) {
        char command[512];

        (void)snprintf(command, sizeof(command), "nft %s", arguments);
        if (system(command) != 0)
                bench_fail(command, 0);
}

void site_open(Site *site, const char *cgroup, const char *bpffs) {
        struct stat st;

        site->cgroup_fd = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (site->cgroup_fd < 0 || fstat(site->cgroup_fd, &st) < 0)
                bench_fail(cgroup, errno);
        site->cgroup_id = st.st_ino;
        site->kernel = bench_kernel(bpffs);
}

void config_attach(Config *config, const Site *site) {
        char arguments[400];

        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++) {
                int r = 0;

                if (config->progs)
                        r = site->kernel->ops->link_create(site->kernel, config->progs, hook,
                                site->cgroup_fd, 1, site->cgroup_id, &config->links[hook]);
                else if (config->programs[hook] >= 0)
                        r = config->fds[hook] = bpf_link_create(config->programs[hook],
                                site->cgroup_fd, loader_attach_type(hook), NULL);
                if (r < 0)
                        bench_fail("attach", r);
        }
        if (config->nft) {
                (void)snprintf(arguments, sizeof(arguments), "-f %s", config->nft);
                run_nft(arguments);
        }
}

void config_detach(Config *config, const Site *site) {
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++) {
                if (config->links[hook])
                        (void)site->kernel->ops->link_destroy(site->kernel, config->links[hook]);
                if (config->fds[hook] >= 0)
                        (void)close(config->fds[hook]);
                config->links[hook] = NULL;
                config->fds[hook] = -1;
        }
        if (config->nft)
                run_nft("delete table inet cgpbench");
}

static void config_ours(
        Config *config, const Site *site, const BenchPolicy *policy, PolicyHost *host) {
        _cleanup_(policy_image_freep) PolicyImage *image = NULL;

        if (policy->list)
                bench_host_add_list(host, site->kernel, policy->list);
        image = bench_image(policy, host, 1);
        config->progs = bench_progs(site->kernel, image);
}

void config_init(Config *config, const Site *site, const char *text) {
        PolicyHost *host = calloc(1, sizeof(*host));
        unsigned n, egress, ingress;

        *config = (Config){ .text = text };
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                config->programs[hook] = config->fds[hook] = -1;
        if (!host)
                bench_fail("memory", ENOMEM);
        if (strcmp(text, "none") == 0)
                return;
        if (strcmp(text, "empty") == 0 || strcmp(text, "empty-all") == 0) {
                for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                        if (hook >= CGP_HOOK_EGRESS || text[5])
                                config->programs[hook] = bench_empty(hook);
        } else if (sscanf(text, "ours:%u", &n) == 1) {
                config_ours(config, site, &(BenchPolicy){ .n_rules = n }, host);
        } else if (sscanf(text, "ours6:%u", &n) == 1) {
                config_ours(config, site, &(BenchPolicy){ .n_rules = n, .is_v6 = true }, host);
        } else if (sscanf(text, "open:%u", &n) == 1) {
                config_ours(config, site, &(BenchPolicy){ .n_rules = n, .is_open = true }, host);
        } else if (strncmp(text, "list:", 5) == 0) {
                config_ours(config, site, &(BenchPolicy){ .n_rules = 1, .list = text + 5 }, host);
        } else if (sscanf(text, "prog:%*[^:]:%u:%u", &egress, &ingress) == 2) {
                config->programs[CGP_HOOK_EGRESS] = bpf_prog_get_fd_by_id(egress);
                config->programs[CGP_HOOK_INGRESS] = bpf_prog_get_fd_by_id(ingress);
                if (config->programs[CGP_HOOK_EGRESS] < 0 || config->programs[CGP_HOOK_INGRESS] < 0)
                        bench_fail(text, errno);
        } else if (strncmp(text, "nft:", 4) == 0 && strchr(text + 4, ':')) {
                config->nft = strchr(text + 4, ':') + 1;
        } else {
                bench_fail(text, EINVAL);
        }
}
