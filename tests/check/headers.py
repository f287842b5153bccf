#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every header compiles alone, so that no file depends on what another one included before it."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from check import Tap, files

WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-unused-function"]


def compile_alone(header):
    if header.endswith(".bpf.h"):
        # Programs' headers speak of kernel helpers; they are for the bpf target.
        command = ["clang", "-target", "bpf", "-g", "-O2", "-std=gnu17", f"-I{multiarch()}"]
        prefix = "#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n" if needs_helpers(header) else ""
    else:
        command = ["gcc", "-std=gnu17", "-D_GNU_SOURCE", "-Idaemon", "-Ictl", *TESTS]
        prefix = ""
    command += [*WARNINGS, "-Ibpf", "-Ibpf/include", "-fsyntax-only", "-x", "c", "-"]
    text = f'{prefix}#include "{os.path.abspath(header)}"\n'
    run = subprocess.run(command, input=text, stderr=subprocess.PIPE, text=True)
    return [f"{header}: does not compile alone", *run.stderr.splitlines()[:8]] if run.returncode else []


def needs_helpers(header):
    # match.bpf.h is also compiled for the host and so includes nothing of the kernel's.
    return os.path.basename(header) != "match.bpf.h"


def multiarch():
    run = subprocess.run(["gcc", "-print-multiarch"], stdout=subprocess.PIPE, text=True, check=True)
    return f"/usr/include/{run.stdout.strip()}"


TESTS = [f"-I{d}" for d in sorted({os.path.dirname(f) for f in files("tests/*.h")})]
if not shutil.which("clang"):
    sys.exit("clang is missing")
tap = Tap()
headers = files("*.h")
with ThreadPoolExecutor(os.cpu_count()) as pool:
    results = list(pool.map(compile_alone, headers))
for folder in sorted({os.path.dirname(h) for h in headers}):
    problems = [p for h, r in zip(headers, results) for p in r if os.path.dirname(h) == folder]
    tap.case(f"headers of {folder}/ compile alone", problems)
tap.done()
