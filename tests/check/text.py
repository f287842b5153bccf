#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What can be seen in the text of the files: licence lines, budgets, words, scripts that parse."""

import os
import re
import shutil
import subprocess

from check import Tap, files, first_line, read

FUNCTION_LINES_MAX = 100
FILE_LINES_MAX = 900

tap = Tap()
everything = files()
c_files = files("*.c", "*.h")
scripts = [f for f in everything if re.match(r"#!.*\b(sh|bash)\b", first_line(f))]
python = [f for f in everything if f.endswith(".py") or re.match(r"#!.*python", first_line(f))]
sources = sorted(
    {*c_files, *scripts, *python, *files("*.sh", "*meson.build", "meson_options.txt")}
)


def spdx_problem(path):
    head = "".join(read(path).splitlines(keepends=True)[:3])
    found = re.search(r"SPDX-License-Identifier: (.+?)(?: \*/)?$", head, flags=re.MULTILINE)
    if not found:
        return f"{path}: no SPDX line at its top"
    if path == "bpf/include/cgp-abi.h":
        expected = "GPL-2.0-only OR LGPL-2.1-or-later"
    elif path.endswith((".bpf.c", ".bpf.h")):
        # These are also part of the policy library.
        expected = None if path in ("bpf/match.bpf.h", "bpf/set.bpf.h") else "GPL-2.0-only"
    else:
        expected = "LGPL-2.1-or-later"
    if expected and found[1] != expected:
        return f"{path}: {found[1]}, where {expected} is due"
    return None


def purpose_problem(path):
    """After the SPDX line a C file says in a comment what it owns, or its header does."""
    paths = [path] + ([path[:-2] + ".h"] if path.endswith(".c") and os.path.exists(path[:-2] + ".h") else [])
    lines = [read(p).splitlines()[1:2] for p in paths]
    return None if any(line and line[0].startswith("/*") for line in lines) else f"{path}:2: does not say what it owns"


def long_functions(path):
    start = name = None
    for number, line in enumerate(read(path).splitlines(), 1):
        # The house style puts a function's end, and nothing else of it, into the first column.
        if start is None and re.match(r"[A-Za-z_].*\{$", line) and "=" not in line:
            if not re.match(r"(typedef |static const |const )?(struct|enum|union)\b[^()]*\{$|extern ", line):
                start, name = number, line
        elif start is None and re.match(r"\s+.*\)( [\w_]+)* \{$", line):
            start, name = number, line.strip()
        elif line.startswith("}") and start is not None:
            if number - start + 1 > FUNCTION_LINES_MAX:
                yield f"{path}:{start}: {number - start + 1} lines: {name}"
            start = None


# Put together from halves, so that this file does not hold what it looks for.
unfinished = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
workplace = re.compile(r"/wo" + r"rk/|/tmp/cg" + r"p-|DESI" + r"GN\.md|\bissue #?\d+|(?<!\()#\d{2,}\b")


def words(pattern, paths):
    for path in paths:
        for number, line in enumerate(read(path).splitlines(), 1):
            if found := pattern.search(line):
                yield f"{path}:{number}: {found[0]}"


prose = [f for f in everything if not f.startswith("LICENSES/") and os.path.splitext(f)[1] not in (".bin", ".pcap")]
prose = [f for f in prose if not f.startswith("tests/data/") and not f.startswith("tests/fuzz/corpus")]

tap.case(f"{len(sources)} sources name their licence", [p for f in sources if (p := spdx_problem(f))])
tap.case(f"{len(c_files)} C files say what they own", [p for f in c_files if (p := purpose_problem(f))])
tap.case(
    f"no function is longer than {FUNCTION_LINES_MAX} lines", [p for f in files("*.c", "*.h") for p in long_functions(f)]
)
tap.case(
    f"no file is longer than {FILE_LINES_MAX} lines",
    [f"{f}: {n} lines" for f in sources if (n := len(read(f).splitlines())) > FILE_LINES_MAX],
)
tap.case("nothing is left undone", list(words(unfinished, prose)))
tap.case("nothing refers to where it was written", list(words(workplace, prose)))
tap.case(
    "lines end without blanks and files with a newline",
    [
        f"{f}:{number}: blank at the end"
        for f in sources
        for number, line in enumerate(read(f).split("\n"), 1)
        if line != line.rstrip()
    ]
    + [f"{f}: no newline at its end" for f in sources if not read(f).endswith("\n")],
)


def shell_problem(path):
    # A file that is only sourced has no #! line, but tells shellcheck.
    shell = "bash" if "bash" in first_line(path) or "shellcheck shell=bash" in read(path) else "sh"
    run = subprocess.run([shell, "-n", path], stderr=subprocess.PIPE, text=True)
    return run.stderr if run.returncode else None


shell_files = sorted({*scripts, *files("*.sh")})
tap.case(f"{len(shell_files)} shell scripts parse", [p for f in shell_files if (p := shell_problem(f))])
if shutil.which("shellcheck"):
    run = subprocess.run(
        ["shellcheck", "-x", "-S", "warning", "-f", "gcc", *shell_files], stdout=subprocess.PIPE, text=True
    )
    tap.case("shellcheck has nothing to say", run.stdout.splitlines())
else:
    tap.skip("shellcheck has nothing to say", "shellcheck is not installed")


def python_problem(path):
    try:
        compile(read(path), path, "exec")
    except SyntaxError as error:
        return f"{path}:{error.lineno}: {error.msg}"
    return None


tap.case(f"{len(python)} Python files parse", [p for f in python if (p := python_problem(f))])
tap.done()
