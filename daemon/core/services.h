/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of services from the host's services(5), for the rule parser. */
#pragma once

#include "policy/parse.h"

extern const PolicyServices services_host;
