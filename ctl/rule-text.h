/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rules as they are typed: judged here, before a daemon is asked, and echoed with everything spelled out. Needs
 * services(5) of this host. Functions return an exit code; what is not CTL_OK has been explained. */
#pragma once

#include "policy/parse.h"
#include "util/cleanup.h"

extern const PolicyServices ctl_services;

/* The words with one blank between them. Owned; NULL without memory. */
char *words_join(char *const *words, size_t n);

/* Prints diagnostics as "path:line:column: message"; those without a path begin with "cgpolicyctl: ". */
void diags_print(const PolicyDiags *diags);

/* Checks a body ("in tcp/8080"); warnings go to standard error. ret_expanded (may be NULL) is the echo, a line
 * for each direction, owned. CTL_INVALID, CTL_NOT_SUPPORTED. */
int rule_check_body(PolicyVerdict verdict, const char *body, char **ret_expanded);

/* As rule_check_body() for a whole rule, "allow in tcp/8080". */
int rule_check_whole(const char *text, char **ret_expanded);
