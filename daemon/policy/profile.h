/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The seam between profile.c and the file that the build makes from policies/profiles. */
#pragma once

#include "policy/parse.h"

extern const char *const policy_builtin_texts[]; /* as policy_builtin_profiles, without the NULL */
