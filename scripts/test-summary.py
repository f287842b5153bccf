#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Turns what `meson test` left behind into one count per test case.

usage: test-summary.py BUILD EXPECTED-SKIPS [--not-run SUITE...]

A case is one line of TAP, or the whole executable where that speaks no TAP. meson's own totals count
executables, and a TAP program that dies after its last case, or prints nothing at all, is not a failure
to it; here it is. The last line printed is "N passed, N failed, N skipped"; the exit code is 0 only if
nothing failed, something passed and every skip is listed in EXPECTED-SKIPS.
"""

import json
import re
import subprocess
import sys

TEST_LINE = re.compile(r"(not )?ok\b\s*(\d+)?\s*(?:-\s*)?(.*)")
PLAN_LINE = re.compile(r"1\.\.(\d+)\s*(?:#\s*skip\S*\s*(.*))?$", re.IGNORECASE)
SKIP = re.compile(r"(.*?)\s*#\s*skip\S*\s*(.*)", re.IGNORECASE)


class Summary:
    def __init__(self):
        self.passed = 0
        self.failed = []  # (name, details)
        self.skipped = []  # (name, reason)


def read_tap(summary, name, output):
    """Adds the cases of one TAP program. Returns what is wrong with the output as a whole, or None."""
    planned = None
    seen = 0
    last_failed = False
    for line in output.splitlines():
        if plan := PLAN_LINE.match(line):
            if planned is not None:
                return "TAP: more than one plan"
            planned = int(plan[1])
            if planned == 0:
                summary.skipped.append((name, plan[2] or "no reason given"))
            continue
        if re.match(r"Bail out!", line):
            return "TAP: " + line
        test = TEST_LINE.match(line)
        if not test:
            # Diagnostics belong to the failed case before them.
            if last_failed:
                summary.failed[-1][1].append(line)
            continue
        seen += 1
        last_failed = False
        if test[2] and int(test[2]) != seen:
            return f"TAP: test {test[2]} where {seen} was due"
        if test[1]:
            summary.failed.append((f"{name}: {test[3]}", []))
            last_failed = True
        elif skip := SKIP.match(test[3]):
            # cmocka writes the name where the reason belongs.
            summary.skipped.append((f"{name}: {skip[1] or skip[2]}", skip[2] or "no reason given"))
        else:
            summary.passed += 1
    if planned is None:
        return "TAP: no plan: it did not come to its end, or tested nothing"
    if planned != seen:
        return f"TAP: {planned} cases planned, {seen} seen"
    return None


def read_result(summary, name, protocol, result):
    stdout = result.get("stdout") or ""
    stderr = [line for line in (result.get("stderr") or "").splitlines() if line.strip()]
    n_failed = len(summary.failed)
    wrong = None
    if protocol == "tap":
        wrong = read_tap(summary, name, stdout)
        if result["result"] == "TIMEOUT":
            wrong = "timed out" + (f" ({wrong})" if wrong else "")
        elif result["returncode"] != 0 and (result["returncode"] < 0 or len(summary.failed) == n_failed):
            wrong = f"ended with {result['returncode']}" + (f" ({wrong})" if wrong else "")
    elif result["result"] == "SKIP":
        text = [line for line in stdout.splitlines() if line.strip()] + stderr
        summary.skipped.append((name, text[-1] if text else "no reason given"))
    elif result["result"] in ("OK", "EXPECTEDFAIL"):
        summary.passed += 1
    else:
        wrong = f"{result['result']}, exit code {result['returncode']}"
    if wrong:
        tail = (stdout.splitlines()[-60:] if len(summary.failed) == n_failed else []) + [wrong]
        summary.failed.append((name, tail))
    # meson adds a last line of its own on the exit code.
    stderr = [line for line in stderr if not line.startswith("(test program exited with")]
    if len(summary.failed) > n_failed and stderr:
        summary.failed[-1][1].extend(["stderr:"] + stderr[-60:])


def read_expected(path):
    """One skip a line, "suite/test: case" or "suite/test"; # begins a comment."""
    with open(path, encoding="utf-8") as f:
        lines = (line.split("#", 1)[0].strip() for line in f)
        return {line for line in lines if line}


def main(argv):
    build, expected_path = argv[0], argv[1]
    not_run = set(argv[3:]) if len(argv) > 2 and argv[2] == "--not-run" else set()
    tests = json.loads(
        subprocess.run(["meson", "introspect", "--tests", build], check=True, stdout=subprocess.PIPE).stdout
    )
    summary = Summary()
    left_out = set()
    known = []
    for test in tests:
        # A suite is introspected as "project:suite" or as "suite".
        suites = [suite.split(":")[-1] for suite in test["suite"]]
        full = f"{suites[0] if suites else '-'}/{test['name']}"
        known.append((test["name"], test["cmd"], full, test["protocol"]))
        if not_run.intersection(suites):
            summary.skipped.append((full, "needs root"))
            left_out.add(full)

    n_results = 0
    with open(f"{build}/meson-logs/testlog.json", encoding="utf-8") as f:
        for line in f:
            result = json.loads(line)
            n_results += 1
            # The log has "name" or "project:suite / name", as it pleases meson. Two suites may use one
            # name; the command tells them apart.
            full, protocol = next(
                (full, protocol)
                for name, command, full, protocol in known
                if name == result["name"].split(" / ")[-1] and result["command"][-len(command) :] == command
            )
            read_result(summary, full, protocol, result)

    expected = read_expected(expected_path)
    unlisted = [name for name, _ in summary.skipped if name not in expected | left_out]

    for name, reason in summary.skipped:
        print(f"skipped  {name}: {reason}")
    for name, details in summary.failed:
        print(f"FAILED   {name}")
        for line in details:
            print(f"         {line}")
    if unlisted:
        print(f"A skip that {expected_path} does not list counts as a failure of the run:")
        for name in unlisted:
            print(f"         {name}")
    if n_results == 0:
        print("No test ran.")
    print(f"{summary.passed} passed, {len(summary.failed)} failed, {len(summary.skipped)} skipped")
    return 1 if summary.failed or unlisted or summary.passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
