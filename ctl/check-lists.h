/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a policy file's named lists hold, as far as one can tell without the daemon. */
#pragma once

#include "policy/diag.h"
#include "policy/model.h"

/* Reads each list that the file defines and adds what is wrong with its content, with the list's own path and line. path
 * is where the policy file stands (NULL: nowhere). A relative list is looked for beside it, and above it if its folder is
 * "policy.d", as the daemon does; one that cannot be read is a warning, for the daemon may find what we do not.
 * -ENOMEM; -EINVAL: some content is invalid. */
int check_lists(const PolicyFile *file, const char *path, PolicyDiags *diags) _warn_unused_result_;
