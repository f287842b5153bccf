/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/error.h"

#include <stdarg.h>

void manager_error_done(ManagerError *error) {
        free(error->message);
        *error = (ManagerError){ 0 };
}

int manager_error_set(ManagerError *error, ManagerErrorKind kind, const char *format, ...) {
        va_list ap;

        if (!error)
                return -EREMOTEIO;

        manager_error_done(error);
        error->kind = kind;
        va_start(ap, format);
        if (vasprintf(&error->message, format, ap) < 0)
                error->message = NULL;
        va_end(ap);
        return -EREMOTEIO;
}
