/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One denial of the event stream as a line that people read. Pure but for the time zone. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>

#include "util/cleanup.h"

/* "2026-11-22 00:01:02.123 web  DENIED out tcp 10.0.0.2:40112 -> 192.0.2.1:443  nginx[812] uid 33  connect4
 * default.out  (+3 suppressed)  allow: out tcp/443 to 192.0.2.1", without a newline. The arrow points to the
 * side that was asked: for `in`, the peer stands before it. Parts that are not known are left out. Owned.
 * -EBADMSG: no event; -ENOMEM. */
int event_line_format(struct json_object *event, bool color, char **ret) _warn_unused_result_;

/* RFC 3339 in UTC to "YYYY-MM-DD HH:MM:SS.mmm" of the local time zone; what is no such time is copied. buf
 * holds 64 bytes. Returns buf. */
char *event_time_to_local(const char *time, char buf[64]);
