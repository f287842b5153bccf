#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every C file is as clang-format writes it. Other versions format differently: 14 is the one."""

import re
import subprocess

from check import Tap, files

tap = Tap()
version = subprocess.run(["clang-format", "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
major = re.search(r"version (\d+)", version)[1]
if major != "14":
    tap.skip("clang-format", f"version {major}, not 14")
else:
    sources = files("*.c", "*.h")
    run = subprocess.run(
        ["clang-format", "--dry-run", "-Werror", "--style=file", *sources], stderr=subprocess.PIPE, text=True
    )
    problems = [line for line in run.stderr.splitlines() if "error:" in line]
    if run.returncode and not problems:
        problems = [run.stderr or f"clang-format ended with {run.returncode}"]
    tap.case(f"{len(sources)} C files are formatted", problems)
tap.done()
