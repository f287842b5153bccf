/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of lists share among themselves and with nobody else. */
#pragma once

#include "core/lists.h"

/* lists-load.c: what a list's file is now. Negative: it cannot be told. */
int list_stamp(int dir_fd, const char *file, ListStamp *ret);
