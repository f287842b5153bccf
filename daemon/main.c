/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cgpolicyd: arguments, surroundings, wiring, event loop. No logic. */
#include <getopt.h>
#include <signal.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "bus/server.h"
#include "core/manager.h"
#include "core/services.h"
#include "exit-status.h"
#include "private.h"
#include "util/log.h"
#include "util/macro.h"

DEFINE_CLEANUP(sd_event *, event_unrefp, sd_event_unref);

static void help(void) {
        puts("cgpolicyd --private DIR [OPTION]...\n"
             "\n"
             "Per-service network policy on control groups, in the foreground.\n"
             "\n"
             "  --private DIR       state, socket and log in DIR, a cgroup subtree of its own;\n"
             "                      'cgpolicyctl --private DIR' talks to it\n"
             "  --log-level LEVEL   err, warning, notice, info (default), debug\n"
             "  --version           print the version\n"
             "  --help              print this\n"
             "\n"
             "Stopping it keeps what is in force; 'cgpolicyctl --private DIR detach --all' lets go.\n"
             "It ends with 0, or 1 failure, 2 wrong usage, 7 lacking privileges, 8 another one runs\n"
             "on DIR, 10 the kernel lacks something.");
}

static int parse_level(const char *s) {
        static const struct {
                const char *name;
                int level;
        } levels[] = {
                { "err", LOG_ERR },
                { "warning", LOG_WARNING },
                { "notice", LOG_NOTICE },
                { "info", LOG_INFO },
                { "debug", LOG_DEBUG },
        };

        for (size_t i = 0; i < ELEMENTSOF(levels); i++)
                if (streq(levels[i].name, s))
                        return levels[i].level;
        return -EINVAL;
}

/* 0: go on with *ret_dir; negative: done, successfully; positive: exit status. */
static int parse_arguments(int argc, char *argv[], const char **ret_dir) {
        enum { ARG_PRIVATE = 256, ARG_SYSTEM, ARG_LEVEL, ARG_VERSION, ARG_HELP };
        static const struct option options[] = {
                { "private", required_argument, NULL, ARG_PRIVATE },
                { "system", no_argument, NULL, ARG_SYSTEM },
                { "log-level", required_argument, NULL, ARG_LEVEL },
                { "version", no_argument, NULL, ARG_VERSION },
                { "help", no_argument, NULL, ARG_HELP },
                { 0 },
        };
        const char *dir = NULL;
        int c, level;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case ARG_PRIVATE:
                        dir = optarg;
                        break;
                case ARG_SYSTEM:
                        log_error("--system is not in this release; use --private DIR");
                        return EXIT_STATUS_NOT_SUPPORTED;
                case ARG_LEVEL:
                        level = parse_level(optarg);
                        if (level < 0) {
                                log_error("'%s' is no log level; try 'cgpolicyd --help'", optarg);
                                return EXIT_STATUS_USAGE;
                        }
                        log_set_max_level(level);
                        break;
                case ARG_VERSION:
                        puts("cgpolicyd " CGPOLICY_VERSION);
                        return -1;
                case ARG_HELP:
                case 'h':
                        help();
                        return -1;
                default:
                        return EXIT_STATUS_USAGE;
                }
        if (!dir || !*dir || optind < argc) {
                log_error("%s; try 'cgpolicyd --help'",
                        dir && optind < argc ? "too many arguments" : "--private DIR is missing");
                return EXIT_STATUS_USAGE;
        }
        *ret_dir = dir;
        return 0;
}

static void log_libbpf(int level, const char *message) {
        log_full(level == 0 ? LOG_INFO : LOG_DEBUG, "libbpf: %s", message);
}

/* Links and programs are file descriptors; a thousand subjects are thousands of them. */
static void raise_file_limit(void) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
                log_debug_errno(errno, "Cannot raise the limit of open files, ignoring: %m");
}

/* *kernel is to be closed in any case: what was pinned by then can only be removed through it. */
static int open_kernel(
        const PrivateDir *dir, Kernel **kernel, KernelCapabilities *ret_capabilities) {
        KernelFailure failure = { .hook = -1 };
        int r;

        r = kernel_open(dir->bpf_fd, NULL, &failure, kernel);
        if (r >= 0)
                r = kernel_probe(*kernel, ret_capabilities, &failure);
        if (r < 0) {
                log_error_errno(r, "The kernel refused to %s%s%s: %m%s%s", strempty(failure.step),
                        failure.hook >= 0 ? " hook " : "",
                        failure.hook >= 0 ? kernel_hook_to_string((unsigned)failure.hook) : "",
                        failure.log[0] ? ": " : "", failure.log);
                return r == -EPERM ? EXIT_STATUS_NOT_AUTHORISED : EXIT_STATUS_NOT_SUPPORTED;
        }
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                if (!ret_capabilities->hooks[hook]) {
                        log_error(
                                "This kernel cannot run hook %s, without which a policy would have a hole; "
                                "Linux 5.10 or newer with CONFIG_CGROUP_BPF is needed",
                                kernel_hook_to_string(hook));
                        return EXIT_STATUS_NOT_SUPPORTED;
                }
        return 0;
}

static int run_loop(sd_event *event) {
        static const int signals[] = { SIGTERM, SIGINT };
        sigset_t set;
        int r;

        sigemptyset(&set);
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                sigaddset(&set, signals[i]);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
                r = sd_event_add_signal(event, NULL, signals[i], NULL, NULL);
                if (r < 0)
                        return r;
        }
        r = sd_event_set_watchdog(event, true);
        if (r < 0)
                return r;
        (void)sd_notify(0, "READY=1");
        r = sd_event_loop(event);
        (void)sd_notify(0, "STOPPING=1");
        return r;
}

static int serve(PrivateDir *dir, bool *ret_in_force) {
        _cleanup_(event_unrefp) sd_event *event = NULL;
        _cleanup_(kernel_closep) Kernel *kernel = NULL;
        _cleanup_(manager_freep) Manager *manager = NULL;
        _cleanup_(bus_server_freep) BusServer *server = NULL;
        KernelCapabilities capabilities = { 0 };
        int r, status;

        status = open_kernel(dir, &kernel, &capabilities);
        if (status != 0)
                goto end;
        r = sd_event_default(&event);
        if (r < 0)
                goto fail;
        r = manager_new(event, kernel,
                &(ManagerConfig){
                        .dir_fd = dir->fd,
                        .dir = dir->path,
                        .cgroup_fd = dir->cgroup_fd,
                        .cgroup = dir->cgroup,
                        .services = &services_host,
                        .capabilities = &capabilities,
                        .watch_net = true,
                },
                &manager);
        if (r >= 0)
                r = manager_start(manager);
        if (r >= 0)
                r = manager_start_events(manager);
        if (r < 0)
                goto fail;

        status = private_listen(dir);
        if (status != 0)
                goto end;
        r = bus_server_new(event, manager, &dir->socket_fd, &server);
        if (r < 0)
                goto fail;
        log_info("listening on %s/bus, jobs below %s%s", dir->path, dir->cgroup_mount, dir->cgroup);
        r = run_loop(event);

        private_close_socket(dir);
        server = bus_server_free(server);
        *ret_in_force = manager_finish(manager);
        if (*ret_in_force)
                log_info("what is in force stays; the next cgpolicyd on %s takes it over",
                        dir->path);
        else if (kernel_remove_pins(kernel) < 0) {
                log_warning("some pins below %s/bpf could not be removed", dir->path);
                *ret_in_force = true;
        }
        if (r >= 0)
                return 0;
fail:
        log_error_errno(r, "Stopping: %m");
        status = EXIT_STATUS_FAILURE;
end:
        /* A start that failed leaves nothing, unless there was something in force already. */
        if (kernel && kernel_remove_pins(kernel) >= 0)
                *ret_in_force = false;
        return status;
}

int main(int argc, char *argv[]) {
        _cleanup_(private_done) PrivateDir dir = PRIVATE_DIR_INIT;
        bool in_force = true;
        const char *path;
        int status;

        status = parse_arguments(argc, argv, &path);
        if (status != 0)
                return status < 0 ? 0 : status;
        if (geteuid() != 0) {
                log_error("this needs root (to load BPF programs and make cgroups); try 'sudo "
                          "cgpolicyd --private %s'",
                        path);
                return EXIT_STATUS_NOT_AUTHORISED;
        }
        raise_file_limit();
        kernel_set_log(log_libbpf);
        status = private_open(path, &dir);
        if (status != 0)
                return status;
        status = serve(&dir, &in_force);
        if (!in_force)
                private_cleanup(&dir);
        return status;
}
