/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of the bus interface, shared with the command. The text of the interface is in API.md. */
#pragma once

#define CGPOLICY_BUS_NAME  "org.cgpolicy1"
#define CGPOLICY_PATH      "/org/cgpolicy1"
#define CGPOLICY_UNIT_PATH "/org/cgpolicy1/unit"
#define CGPOLICY_MANAGER   "org.cgpolicy1.Manager"
#define CGPOLICY_UNIT      "org.cgpolicy1.Unit"

/* The socket of a private daemon, below its directory. */
#define CGPOLICY_PRIVATE_SOCKET "bus"

#define CGPOLICY_ERROR(name)           "org.cgpolicy1.Error." name
#define CGPOLICY_ERROR_NO_SUCH_UNIT    CGPOLICY_ERROR("NoSuchUnit")
#define CGPOLICY_ERROR_NO_SUCH_RULE    CGPOLICY_ERROR("NoSuchRule")
#define CGPOLICY_ERROR_NO_SUCH_PROFILE CGPOLICY_ERROR("NoSuchProfile")
#define CGPOLICY_ERROR_NO_SUCH_LIST    CGPOLICY_ERROR("NoSuchList")
#define CGPOLICY_ERROR_INVALID_NAME    CGPOLICY_ERROR("InvalidName")
#define CGPOLICY_ERROR_INVALID_RULE    CGPOLICY_ERROR("InvalidRule")
#define CGPOLICY_ERROR_INVALID_POLICY  CGPOLICY_ERROR("InvalidPolicy")
#define CGPOLICY_ERROR_CONFLICT        CGPOLICY_ERROR("Conflict")
#define CGPOLICY_ERROR_NOT_SUPPORTED   CGPOLICY_ERROR("NotSupported")
#define CGPOLICY_ERROR_LIMIT_EXCEEDED  CGPOLICY_ERROR("LimitExceeded")
#define CGPOLICY_ERROR_DEGRADED        CGPOLICY_ERROR("Degraded")
#define CGPOLICY_ERROR_STORE           CGPOLICY_ERROR("StoreFailed")
#define CGPOLICY_ERROR_KERNEL          CGPOLICY_ERROR("KernelFailed")
#define CGPOLICY_ERROR_ACCESS_DENIED   CGPOLICY_ERROR("AccessDenied")
