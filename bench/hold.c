/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Puts configs in the way of a cgroup's traffic, as it is told: reads numbers of configs from standard input, one a
 * line, attaches that one instead of the last, and answers with a line.
 *
 * usage: hold CGROUP BPFFS CONFIG...
 */
#include <stdio.h>
#include <stdlib.h>

#include "config.h"

#define CONFIGS_MAX 24

int main(int argc, char **argv) {
        static Config configs[CONFIGS_MAX];
        Config *attached = NULL;
        char line[32];
        Site site;

        if (argc < 4 || argc - 3 > CONFIGS_MAX)
                bench_fail("usage: hold CGROUP BPFFS CONFIG...", 0);
        site_open(&site, argv[1], argv[2]);
        for (int i = 3; i < argc; i++)
                config_init(&configs[i - 3], &site, argv[i]);
        printf("ready\n");
        (void)fflush(stdout);
        while (fgets(line, sizeof(line), stdin)) {
                int number = atoi(line);

                if (number < 0 || number >= argc - 3)
                        bench_fail("number of a config", 0);
                if (attached)
                        config_detach(attached, &site);
                attached = &configs[number];
                config_attach(attached, &site);
                printf("%s\n", attached->text);
                (void)fflush(stdout);
        }
        if (attached)
                config_detach(attached, &site);
        return EXIT_SUCCESS;
}
