/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finds the text of a profile that is built in. */
#include "policy/profile.h"

#include "util/macro.h"

const char *policy_builtin_profile(const char *name) {
        assert(name);

        for (size_t i = 0; policy_builtin_profiles[i]; i++)
                if (streq(policy_builtin_profiles[i], name))
                        return policy_builtin_texts[i];
        return NULL;
}
