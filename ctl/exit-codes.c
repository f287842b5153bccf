/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One table from error names to exit codes and next steps, and the one place that prints errors. */
#include "exit-codes.h"

#include <stdarg.h>

#include "bus/api.h"
#include "util/macro.h"

typedef struct ErrorEntry {
        const char *name;
        CtlExit code;
        const char *next;
} ErrorEntry;

#define DBUS_ERROR(name) "org.freedesktop.DBus.Error." name
#define NEXT_STATUS      "'cgpolicyctl status' tells more"
#define NEXT_VERSION     "daemon and command are of different versions: install the same one"
#define NEXT_DAEMON      "is cgpolicyd running? Start it, or name another one with --private DIR"
#define NEXT_ROOT        "run it as root or as the user that the daemon runs as"

static const ErrorEntry errors[] = {
        { CGPOLICY_ERROR_NO_SUCH_UNIT, CTL_NO_SUCH, "'cgpolicyctl status' lists the subjects" },
        { CGPOLICY_ERROR_NO_SUCH_RULE, CTL_NO_SUCH, "'cgpolicyctl show SUBJECT' lists the rules" },
        { CGPOLICY_ERROR_NO_SUCH_PROFILE, CTL_NO_SUCH, "'cgpolicyctl profile' lists them" },
        { CGPOLICY_ERROR_NO_SUCH_LIST, CTL_NO_SUCH,
                "'cgpolicyctl lists' shows those that there are" },
        { CGPOLICY_ERROR_INVALID_NAME, CTL_USAGE, "use letters, digits and :_.-@ in a name" },
        { CGPOLICY_ERROR_INVALID_RULE, CTL_INVALID, "'cgpolicyctl help allow' shows the grammar" },
        { CGPOLICY_ERROR_INVALID_POLICY, CTL_INVALID, "'cgpolicyctl check FILE' finds all errors" },
        { CGPOLICY_ERROR_CONFLICT, CTL_CONFLICT,
                "'cgpolicyctl status' and 'show' tell who has it" },
        { CGPOLICY_ERROR_NOT_SUPPORTED, CTL_NOT_SUPPORTED,
                "the capabilities in 'cgpolicyctl status --json' tell what this kernel can do" },
        { CGPOLICY_ERROR_LIMIT_EXCEEDED, CTL_FAILURE,
                "nothing was changed; remove rules or end jobs first" },
        { CGPOLICY_ERROR_DEGRADED, CTL_FAILURE, NEXT_STATUS },
        { CGPOLICY_ERROR_STORE, CTL_FAILURE,
                "nothing was changed; see to the daemon's directory (space, permissions)" },
        { CGPOLICY_ERROR_KERNEL, CTL_FAILURE, "nothing was changed; " NEXT_STATUS },
        { CGPOLICY_ERROR_ACCESS_DENIED, CTL_NOT_AUTHORISED, NEXT_ROOT },
        { DBUS_ERROR("AccessDenied"), CTL_NOT_AUTHORISED, NEXT_ROOT },
        { DBUS_ERROR("AuthFailed"), CTL_NOT_AUTHORISED, NEXT_ROOT },
        { DBUS_ERROR("InteractiveAuthorizationRequired"), CTL_NOT_AUTHORISED, NEXT_ROOT },
        { DBUS_ERROR("InvalidArgs"), CTL_USAGE, "'cgpolicyctl help' shows the forms" },
        { DBUS_ERROR("UnknownObject"), CTL_NO_SUCH, "'cgpolicyctl status' lists the subjects" },
        { DBUS_ERROR("UnknownMethod"), CTL_FAILURE, NEXT_VERSION },
        { DBUS_ERROR("UnknownInterface"), CTL_FAILURE, NEXT_VERSION },
        { DBUS_ERROR("UnknownProperty"), CTL_FAILURE, NEXT_VERSION },
        { DBUS_ERROR("NoReply"), CTL_UNREACHABLE, NEXT_DAEMON },
        { DBUS_ERROR("Timeout"), CTL_UNREACHABLE, NEXT_DAEMON },
        { DBUS_ERROR("TimedOut"), CTL_UNREACHABLE, NEXT_DAEMON },
        { DBUS_ERROR("Disconnected"), CTL_UNREACHABLE, NEXT_DAEMON },
        { DBUS_ERROR("NoServer"), CTL_UNREACHABLE, NEXT_DAEMON },
        { DBUS_ERROR("ServiceUnknown"), CTL_UNREACHABLE, NEXT_DAEMON },
        { DBUS_ERROR("NameHasNoOwner"), CTL_UNREACHABLE, NEXT_DAEMON },
};

static const ErrorEntry *error_find(const char *name) {
        if (!name)
                return NULL;
        for (size_t i = 0; i < ELEMENTSOF(errors); i++)
                if (streq(errors[i].name, name))
                        return &errors[i];
        return NULL;
}

CtlExit ctl_exit_from_bus_error(const char *name) {
        const ErrorEntry *entry = error_find(name);

        return entry ? entry->code : CTL_FAILURE;
}

const char *ctl_next_step(const char *name) {
        const ErrorEntry *entry = error_find(name);

        return entry ? entry->next : NULL;
}

CtlExit ctl_exit_from_errno(int error) {
        switch (error < 0 ? -error : error) {
        case EACCES:
        case EPERM:
                return CTL_NOT_AUTHORISED;
        case EAGAIN: /* a socket whose backlog is full */
        case ECONNREFUSED:
        case ECONNRESET:
        case EHOSTDOWN:
        case ENOENT:
        case ENOTCONN:
        case ENOTDIR:
        case EPIPE:
        case ESHUTDOWN:
        case ETIMEDOUT:
                return CTL_UNREACHABLE;
        default:
                return CTL_FAILURE;
        }
}

static void print_prefixed(const char *prefix, const char *format, va_list ap) {
        (void)fflush(stdout); /* in order where both streams go to one file */
        (void)fprintf(stderr, "cgpolicyctl: %s", prefix);
        (void)vfprintf(stderr, format, ap);
        (void)fputc('\n', stderr);
}

int ctl_fail(CtlExit code, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        print_prefixed("", format, ap);
        va_end(ap);
        return (int)code;
}

void ctl_warn(const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        print_prefixed("warning: ", format, ap);
        va_end(ap);
}

int ctl_oom(void) {
        return ctl_fail(CTL_FAILURE, "out of memory");
}
