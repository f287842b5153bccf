#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The count of scripts/test is itself tested: what is no success must never be counted as one."""

import importlib.util

from check import Tap

spec = importlib.util.spec_from_file_location("test_summary", "scripts/test-summary.py")
test_summary = importlib.util.module_from_spec(spec)
spec.loader.exec_module(test_summary)

# name, protocol, what meson says, exit code, output, (passed, failed, skipped)
CASES = [
    ("all pass", "tap", "OK", 0, "1..2\nok 1 - a\n# noise\nok 2 - b\n", (2, 0, 0)),
    ("plan at the end", "tap", "OK", 0, "ok 1 - a\nok 2 - b\n1..2\n", (2, 0, 0)),
    ("one fails", "tap", "FAIL", 1, "1..2\nok 1 - a\nnot ok 2 - b\n# why\n", (1, 1, 0)),
    ("one fails, and it ends by a signal", "tap", "FAIL", -11, "1..2\nnot ok 1 - a\n", (0, 2, 0)),
    ("a failure that meson missed", "tap", "OK", 0, "1..1\nnot ok 1 - a\n", (0, 1, 0)),
    ("a signal after the last case", "tap", "ERROR", -11, "1..1\nok 1 - a\n", (1, 1, 0)),
    ("an exit code after the last case", "tap", "ERROR", 3, "1..1\nok 1 - a\n", (1, 1, 0)),
    ("says nothing", "tap", "SKIP", 0, "", (0, 1, 0)),
    ("no plan", "tap", "OK", 0, "ok 1 - a\n", (1, 1, 0)),
    ("two plans", "tap", "ERROR", 0, "1..1\nok 1 - a\n1..1\n", (1, 1, 0)),
    ("short of its plan", "tap", "ERROR", 0, "1..3\nok 1 - a\n", (1, 1, 0)),
    ("a number left out", "tap", "ERROR", 0, "1..2\nok 1 - a\nok 3 - b\n", (1, 1, 0)),
    ("gives up", "tap", "ERROR", 1, "1..2\nok 1 - a\nBail out! no bpffs\n", (1, 1, 0)),
    ("too long", "tap", "TIMEOUT", -15, "1..2\nok 1 - a\n", (1, 1, 0)),
    ("one skipped", "tap", "OK", 0, "1..2\nok 1 - a # SKIP no ipv6\nok 2 - b\n", (1, 0, 1)),
    ("all skipped", "tap", "SKIP", 0, "1..0 # SKIP no root\n", (0, 0, 1)),
    ("a plain success", "exitcode", "OK", 0, "", (1, 0, 0)),
    ("a plain failure", "exitcode", "FAIL", 1, "", (0, 1, 0)),
    ("a plain skip", "exitcode", "SKIP", 77, "no root\n", (0, 0, 1)),
    ("a plain signal", "exitcode", "FAIL", -6, "", (0, 1, 0)),
]

tap = Tap()
for name, protocol, verdict, code, output, expected in CASES:
    summary = test_summary.Summary()
    test_summary.read_result(
        summary, "suite/test", protocol, {"stdout": output, "result": verdict, "returncode": code}
    )
    counted = (summary.passed, len(summary.failed), len(summary.skipped))
    tap.case(name, [] if counted == expected else [f"passed, failed, skipped: {counted}, not {expected}"])
tap.done()
