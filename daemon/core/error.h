/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a client is told when a request fails: a kind, which the bus maps to an error name, and a sentence that
 * says what was wrong and what to do. Functions that take one return -EREMOTEIO after setting it; any
 * other negative return is an errno that was not foreseen.
 */
#pragma once

#include "util/cleanup.h"

typedef enum ManagerErrorKind {
        MANAGER_ERROR_NONE,
        MANAGER_ERROR_NO_SUCH_UNIT,
        MANAGER_ERROR_NO_SUCH_RULE,
        MANAGER_ERROR_NO_SUCH_PROFILE,
        MANAGER_ERROR_NO_SUCH_LIST,
        MANAGER_ERROR_INVALID_NAME,
        MANAGER_ERROR_INVALID_RULE,
        MANAGER_ERROR_INVALID_POLICY,
        MANAGER_ERROR_INVALID_ARGS,
        MANAGER_ERROR_CONFLICT,
        MANAGER_ERROR_NOT_SUPPORTED,
        MANAGER_ERROR_LIMIT_EXCEEDED,
        MANAGER_ERROR_STORE,
        MANAGER_ERROR_KERNEL,
        _MANAGER_ERROR_MAX,
} ManagerErrorKind;

typedef struct ManagerError {
        ManagerErrorKind kind;
        char *message; /* owned; NULL without memory */
} ManagerError;

void manager_error_done(ManagerError *error);

/* Replaces what is there. error may be NULL. Always returns -EREMOTEIO, to be returned in turn. */
int manager_error_set(ManagerError *error, ManagerErrorKind kind, const char *format, ...)
        _printf_(3, 4);
