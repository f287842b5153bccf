/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus/error.h"

#include "bus/api.h"
#include "util/macro.h"

static const char *const names[_MANAGER_ERROR_MAX] = {
        [MANAGER_ERROR_NO_SUCH_UNIT] = CGPOLICY_ERROR_NO_SUCH_UNIT,
        [MANAGER_ERROR_NO_SUCH_RULE] = CGPOLICY_ERROR_NO_SUCH_RULE,
        [MANAGER_ERROR_NO_SUCH_PROFILE] = CGPOLICY_ERROR_NO_SUCH_PROFILE,
        [MANAGER_ERROR_NO_SUCH_LIST] = CGPOLICY_ERROR_NO_SUCH_LIST,
        [MANAGER_ERROR_INVALID_NAME] = CGPOLICY_ERROR_INVALID_NAME,
        [MANAGER_ERROR_INVALID_RULE] = CGPOLICY_ERROR_INVALID_RULE,
        [MANAGER_ERROR_INVALID_POLICY] = CGPOLICY_ERROR_INVALID_POLICY,
        [MANAGER_ERROR_INVALID_ARGS] = SD_BUS_ERROR_INVALID_ARGS,
        [MANAGER_ERROR_CONFLICT] = CGPOLICY_ERROR_CONFLICT,
        [MANAGER_ERROR_NOT_SUPPORTED] = CGPOLICY_ERROR_NOT_SUPPORTED,
        [MANAGER_ERROR_LIMIT_EXCEEDED] = CGPOLICY_ERROR_LIMIT_EXCEEDED,
        [MANAGER_ERROR_STORE] = CGPOLICY_ERROR_STORE,
        [MANAGER_ERROR_KERNEL] = CGPOLICY_ERROR_KERNEL,
};

const char *bus_error_name(ManagerErrorKind kind) {
        return kind < _MANAGER_ERROR_MAX ? names[kind] : NULL;
}

int bus_error_set(sd_bus_error *error, int r, const ManagerError *details) {
        const char *name = details ? bus_error_name(details->kind) : NULL;

        if (r == -EREMOTEIO && name)
                return sd_bus_error_set(
                        error, name, details->message ? details->message : "out of memory");
        if (r == -ENOMEM)
                return sd_bus_error_set(error, SD_BUS_ERROR_NO_MEMORY, "out of memory");
        return sd_bus_error_set_errno(error, r);
}
