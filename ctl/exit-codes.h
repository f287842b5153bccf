/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Exit codes, and how failures become one. Functions of the command that can fail return an exit code;
 * what is not CTL_OK has then been explained on standard error, with the next step, by ctl_fail().
 */
#pragma once

#include "util/cleanup.h"

typedef enum CtlExit {
        CTL_OK = 0, /* done; allowed */
        CTL_FAILURE = 1,
        CTL_USAGE = 2,
        CTL_NEGATIVE = 3,    /* the answer is no: denied */
        CTL_NO_SUCH = 4,     /* unit, rule, profile or list */
        CTL_INVALID = 5,     /* policy or rule */
        CTL_UNREACHABLE = 6, /* no daemon, or it does not answer */
        CTL_NOT_AUTHORISED = 7,
        CTL_CONFLICT = 8,
        CTL_NOT_SUPPORTED = 10, /* by this kernel, or by this release */
} CtlExit;

/* The exit code of a bus error's name. NULL and unknown names are CTL_FAILURE. */
CtlExit ctl_exit_from_bus_error(const char *name);

/* The exit code of a negative or positive errno that a bus or socket call gave. */
CtlExit ctl_exit_from_errno(int error);

/* What a person can do about a bus error, or NULL. Static. */
const char *ctl_next_step(const char *name);

/* Prints "cgpolicyctl: MESSAGE" to standard error and returns the code. */
int ctl_fail(CtlExit code, const char *format, ...) _printf_(2, 3);

/* As ctl_fail(), for a warning: returns nothing. */
void ctl_warn(const char *format, ...) _printf_(1, 2);

int ctl_oom(void);
