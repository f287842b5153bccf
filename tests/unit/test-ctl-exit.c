/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Exit codes are an interface: each error of the bus has one, and says what to do next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bus/api.h"
#include "exit-codes.h"
#include "util/macro.h"

static void test_bus_errors(void **state) {
        static const struct {
                const char *name;
                int code;
        } cases[] = {
                { CGPOLICY_ERROR_NO_SUCH_UNIT, 4 },
                { CGPOLICY_ERROR_NO_SUCH_RULE, 4 },
                { CGPOLICY_ERROR_NO_SUCH_PROFILE, 4 },
                { CGPOLICY_ERROR_INVALID_NAME, 2 },
                { CGPOLICY_ERROR_INVALID_RULE, 5 },
                { CGPOLICY_ERROR_NO_SUCH_LIST, 4 },
                { CGPOLICY_ERROR_INVALID_POLICY, 5 },
                { CGPOLICY_ERROR_CONFLICT, 8 },
                { CGPOLICY_ERROR_NOT_SUPPORTED, 10 },
                { CGPOLICY_ERROR_LIMIT_EXCEEDED, 1 },
                { CGPOLICY_ERROR_DEGRADED, 1 },
                { CGPOLICY_ERROR_STORE, 1 },
                { CGPOLICY_ERROR_KERNEL, 1 },
                { CGPOLICY_ERROR_ACCESS_DENIED, 7 },
                { "org.freedesktop.DBus.Error.AccessDenied", 7 },
                { "org.freedesktop.DBus.Error.NoReply", 6 },
                { "org.freedesktop.DBus.Error.Disconnected", 6 },
                { "org.freedesktop.DBus.Error.ServiceUnknown", 6 },
                { "org.freedesktop.DBus.Error.InvalidArgs", 2 },
                { "org.freedesktop.DBus.Error.UnknownMethod", 1 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                assert_int_equal(ctl_exit_from_bus_error(cases[i].name), cases[i].code);
                assert_non_null(ctl_next_step(cases[i].name));
        }
        assert_int_equal(ctl_exit_from_bus_error("org.example.Other"), 1);
        assert_int_equal(ctl_exit_from_bus_error(NULL), 1);
        assert_null(ctl_next_step(NULL));
}

static void test_errnos(void **state) {
        assert_int_equal(ctl_exit_from_errno(-EACCES), 7);
        assert_int_equal(ctl_exit_from_errno(-EPERM), 7);
        assert_int_equal(ctl_exit_from_errno(EPERM), 7);
        assert_int_equal(ctl_exit_from_errno(-ECONNREFUSED), 6);
        assert_int_equal(ctl_exit_from_errno(-ENOENT), 6);
        assert_int_equal(ctl_exit_from_errno(-ETIMEDOUT), 6);
        assert_int_equal(ctl_exit_from_errno(-EIO), 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_bus_errors),
                cmocka_unit_test(test_errnos),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
