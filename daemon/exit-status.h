/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Exit statuses of the daemon: the same numbers as the command's. */
#pragma once

#define EXIT_STATUS_FAILURE        1
#define EXIT_STATUS_USAGE          2
#define EXIT_STATUS_NOT_AUTHORISED 7
#define EXIT_STATUS_CONFLICT       8
#define EXIT_STATUS_NOT_SUPPORTED  10
