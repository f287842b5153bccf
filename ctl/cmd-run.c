/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* run: asks the daemon for a cgroup that has the policy, and executes a command in it. Once the command runs, the
 * daemon is not needed any more. Prints nothing on standard output. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>

#include "client.h"
#include "exit-codes.h"
#include "rule-text.h"
#include "run.h"
#include "util/macro.h"
#include "verbs.h"

static int check_options(const Options *options, const char *name) {
        if (!options->command)
                return ctl_fail(CTL_USAGE,
                        "no '--' before the command: cgpolicyctl run %s [OPTIONS] -- CMD [ARG...]",
                        name);
        if (options->n_command == 0 || !*options->command[0])
                return ctl_fail(CTL_USAGE,
                        "no command is given: cgpolicyctl run %s [OPTIONS] -- CMD [ARG...]", name);
        if (options->default_verdict && policy_default_from_string(options->default_verdict) < 0)
                return ctl_fail(CTL_USAGE, "--default=%s: expected allow or deny",
                        options->default_verdict);
        if (options->mode && policy_mode_from_string(options->mode) < 0)
                return ctl_fail(
                        CTL_USAGE, "--mode=%s: expected one of enforce, audit, off", options->mode);
        for (size_t i = 0; i < options->n_rules; i++) {
                int r = rule_check_whole(options->rules[i], NULL);

                if (r != CTL_OK)
                        return r;
        }
        return CTL_OK;
}

static bool is_network_socket(int fd) {
        int domain = AF_UNSPEC, flags = fcntl(fd, F_GETFD);
        socklen_t size = sizeof(domain);

        return flags >= 0 && !(flags & FD_CLOEXEC) &&
                getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
                (domain == AF_INET || domain == AF_INET6);
}

/* A socket belongs to the cgroup in which it was made, for good. */
static void warn_inherited_sockets(const Options *options, const char *name) {
        _cleanup_closedir_ DIR *dir = NULL;

        if (options->quiet)
                return;
        dir = opendir("/proc/self/fd");
        if (!dir) {
                ctl_warn("cannot look for inherited network sockets (/proc/self/fd: %m)");
                return;
        }
        for (struct dirent *entry; (entry = readdir(dir));) {
                int fd = atoi(entry->d_name);

                if (entry->d_name[0] != '.' && is_network_socket(fd))
                        ctl_warn(
                                "descriptor %d is a network socket that was made outside: it keeps "
                                "its cgroup and is not under the policy of '%s'; close it (%d>&-) "
                                "if it is not meant to be inherited",
                                fd, name, fd);
        }
}

static int append_job(const Options *options, sd_bus_message *call, const char *name) {
        int r;

        r = sd_bus_message_append(call, "s", name);
        if (r >= 0)
                r = sd_bus_message_open_container(call, 'a', "s");
        for (size_t i = 0; r >= 0 && i < options->n_rules; i++)
                r = sd_bus_message_append(call, "s", options->rules[i]);
        if (r >= 0)
                r = sd_bus_message_close_container(call);
        return r < 0
                ? r
                : client_append_options(call, "default", options->default_verdict, "profile",
                          options->profile && !streq(options->profile, "none") ? options->profile
                                                                               : NULL,
                          "mode", options->mode, NULL);
}

static int create_job(
        const Options *options, Client *client, const char *name, int *ret_cgroup_fd) {
        _cleanup_message_ sd_bus_message *call = NULL, *reply = NULL;
        int fd, r;

        r = client_new_call(client, "CreateJob", &call);
        if (r != CTL_OK)
                return r;
        r = append_job(options, call, name);
        if (r < 0)
                return client_bad_message(r);
        r = client_send(client, call, NULL, &reply);
        if (r != CTL_OK)
                return r;
        r = sd_bus_message_read(reply, "soht", NULL, NULL, &fd, NULL);
        if (r < 0)
                return client_bad_message(r);
        fd = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        if (fd < 0)
                return ctl_fail(CTL_FAILURE, "cannot keep the cgroup of '%s': %m", name);
        *ret_cgroup_fd = fd;
        return CTL_OK;
}

/* From here on the cgroup's population is what keeps the job alive. */
static void close_client(void *userdata) {
        Client **client = userdata;

        *client = client_close(*client);
}

static int explain_report(const RunReport *report, const char *name, const char *command) {
        const char *error = strerror(report->error);

        switch (report->stage) {
        case RUN_STAGE_EXEC:
                if (report->error == ENOENT)
                        return ctl_fail((CtlExit)127, "command '%s' is not found", command);
                return ctl_fail((CtlExit)126, "cannot execute '%s': %s", command, error);
        case RUN_STAGE_CGROUP:
                return ctl_fail(report->error == EACCES || report->error == EPERM
                                ? CTL_NOT_AUTHORISED
                                : CTL_FAILURE,
                        "cannot enter the cgroup of '%s': %s; '%s' was not executed", name, error,
                        command);
        case RUN_STAGE_PARENT:
        case RUN_STAGE_SIGNALS:
                break;
        }
        return ctl_fail(CTL_FAILURE, "cannot prepare '%s': %s", command, error);
}

static int run_command(
        const Options *options, Client **client, const char *name, int cgroup_fd, Keeper *keeper) {
        RunChild child = { .report_fd = -EBADF };
        RunSignals signals;
        RunResult result;
        int r;

        r = run_signals_block(&signals);
        if (r >= 0)
                r = keeper_start(cgroup_fd, keeper);
        if (r >= 0)
                r = run_child_start(cgroup_fd, keeper->fd, options->command, &signals, &child);
        if (r < 0)
                return ctl_fail(CTL_FAILURE, "cannot start a process: %s", strerror(-r));

        r = run_wait(&child, close_client, client, &result);
        if (r < 0) /* the keeper is not dismissed: it ends the job */
                return ctl_fail(CTL_FAILURE, "cannot wait for '%s', so it is killed: %s",
                        options->command[0], strerror(-r));
        keeper_dismiss(keeper);
        return result.started ? result.status
                              : explain_report(&result.report, name, options->command[0]);
}

int verb_run(const Options *options, char **args, size_t n_args) {
        _cleanup_(client_closep) Client *client = NULL;
        _cleanup_close_ int cgroup_fd = -EBADF;
        Keeper keeper = KEEPER_NONE;
        int r;

        r = check_options(options, args[0]);
        if (r != CTL_OK)
                return r;
        warn_inherited_sockets(options, args[0]);

        r = client_open(options, &client);
        if (r != CTL_OK)
                return r;
        r = create_job(options, client, args[0], &cgroup_fd);
        if (r != CTL_OK)
                return r;
        return run_command(options, &client, args[0], cgroup_fd, &keeper);
}
